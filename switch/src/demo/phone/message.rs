//! What `rsip` leaves to be done for a telephone: taking messages in, putting them together, digest answers.

use std::net::SocketAddr;

use bytes::Bytes;
use rsip::headers::{Header, Headers, ToTypedHeader, UntypedHeader, auth};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::services::DigestGenerator;
use rsip::{Method, Request, Response, typed};

/// What is under a message.
pub(super) struct Body {
    kind: &'static str,
    text: String,
}

impl Body {
    pub(super) fn new(kind: &'static str, text: impl Into<String>) -> Body {
        Body { kind, text: text.into() }
    }

    pub(super) fn sdp(text: String) -> Body {
        Body { kind: "application/sdp", text }
    }
}

/// `sip:user@address`.
pub(super) fn uri(user: Option<&str>, host: rsip::HostWithPort) -> rsip::Uri {
    rsip::Uri {
        scheme: Some(rsip::Scheme::Sip),
        auth: user.map(|user| rsip::Auth { user: user.to_owned(), password: None }),
        host_with_port: host,
        ..rsip::Uri::default()
    }
}

/// The value of a header that `rsip` has no name for.
pub(super) fn other<'a>(message: &'a impl HasHeaders, name: &str) -> Option<&'a str> {
    message.headers().iter().find_map(|header| match header {
        Header::Other(n, value) if n.eq_ignore_ascii_case(name) => Some(value.as_str()),
        _ => None,
    })
}

/// A header that `rsip` has no name for.
pub(super) fn extra(name: &str, value: &(impl ToString + ?Sized)) -> Header {
    Header::Other(name.to_owned(), value.to_string())
}

/// The value of the first header of this name, whether or not `rsip` has one for it.
pub(super) fn value(message: &impl HasHeaders, name: &str) -> Option<String> {
    message.headers().iter().find_map(|header| {
        let text = header.to_string();
        let (key, value) = text.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Whether a header that lists tokens lists this one.
pub(super) fn lists(message: &impl HasHeaders, name: &str, token: &str) -> bool {
    message.headers().iter().any(|header| {
        let text = header.to_string();
        let Some((key, value)) = text.split_once(':') else { return false };
        key.trim().eq_ignore_ascii_case(name)
            && value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(token))
    })
}

/// Whether a request has this Call-ID.
pub(super) fn is_of(request: &Request, call_id: &str) -> bool {
    request.call_id_header().is_ok_and(|header| header.value() == call_id)
}

/// A header's number, and one of its parameters where it is there: `1800;refresher=uac`.
pub(super) fn number<'a>(message: &'a impl HasHeaders, name: &str, parameter: &str) -> Option<(u32, Option<&'a str>)> {
    let mut words = other(message, name)?.split(';').map(str::trim);
    let number = words.next()?.parse().ok()?;
    Some((number, words.find_map(|word| word.strip_prefix(parameter)?.strip_prefix('='))))
}

/// What a message must have to be of use (RFC 3261 §8.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Essentials {
    pub(super) branch: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) method: Method,
    pub(super) from_tag: String,
    pub(super) to_tag: Option<String>,
}

impl Essentials {
    pub(super) fn of(message: &impl HeadersExt) -> Result<Essentials, String> {
        let read = || -> Result<Essentials, rsip::Error> {
            let via = message.via_header()?.typed()?;
            let cseq = message.cseq_header()?.typed()?;
            let from = message.from_header()?.typed()?;
            let to = message.to_header()?.typed()?;
            let missing = |what: &str| rsip::Error::InvalidParam(format!("no {what}"));
            Ok(Essentials {
                branch: via.branch().ok_or_else(|| missing("branch"))?.value().to_owned(),
                call_id: message.call_id_header()?.value().to_owned(),
                cseq: cseq.seq,
                method: cseq.method,
                from_tag: from.tag().ok_or_else(|| missing("From tag"))?.value().to_owned(),
                to_tag: to.tag().map(|tag| tag.value().to_owned()),
            })
        };
        read().map_err(|error| error.to_string())
    }
}

/// Whether Content-Length tells the length of the body, where it is there. `rsip` takes whatever came.
pub(super) fn length_is_right(message: &(impl HasHeaders + ?Sized), body: &[u8]) -> bool {
    message.headers().iter().all(|header| match header {
        Header::ContentLength(length) => length.value().trim().parse() == Ok(body.len()),
        _ => true,
    })
}

/// The URI of the first Contact.
pub(super) fn contact(message: &impl HeadersExt) -> Option<rsip::Uri> {
    message.contact_header().ok()?.uri().ok()
}

/// Puts a body and its length under a message.
pub(super) fn with_body(headers: &mut Headers, slot: &mut Vec<u8>, body: Option<Body>) {
    if let Some(body) = body {
        headers.push(Header::ContentType(body.kind.into()));
        *slot = body.text.into_bytes();
    }
    headers.push(Header::ContentLength((slot.len() as u32).into()));
}

/// A response to this request (RFC 3261 §8.2.6.2).
pub(super) fn response(request: &Request, status: u16, tag: &str, extra: Vec<Header>, body: Option<Body>) -> Response {
    let mut headers = Headers::default();
    for header in request.headers().iter() {
        match header {
            Header::Via(_) | Header::From(_) | Header::CallId(_) | Header::CSeq(_) | Header::RecordRoute(_) => {
                headers.push(header.clone());
            }
            Header::To(to) if to.value().contains("tag=") || status == 100 => headers.push(header.clone()),
            Header::To(to) => headers.push(Header::To(format!("{};tag={tag}", to.value()).into())),
            _ => {}
        }
    }
    headers.extend(extra);
    let mut response = Response { status_code: status.into(), headers, ..Response::default() };
    with_body(&mut response.headers, &mut response.body, body);
    response
}

/// On the wire.
pub(super) fn encode(message: impl Into<rsip::SipMessage>) -> Bytes {
    Bytes::from(message.into().to_string())
}

/// CANCEL or the ACK of a failure: the request's own Via, URI, From, Call-ID, Route and number (RFC 3261 §9.1, §17.1.1.3).
pub(super) fn companion(
    request: &Request,
    method: Method,
    to: Option<&rsip::headers::To>,
    body: Option<Body>,
) -> Request {
    let mut headers = Headers::default();
    for header in request.headers().iter() {
        match header {
            Header::Via(_) | Header::From(_) | Header::CallId(_) | Header::Route(_) | Header::MaxForwards(_) => {
                headers.push(header.clone());
            }
            Header::To(own) => headers.push(Header::To(to.unwrap_or(own).clone())),
            Header::CSeq(cseq) => {
                let number = cseq.value().split(' ').next().unwrap_or_default();
                headers.push(Header::CSeq(format!("{number} {method}").into()));
            }
            _ => {}
        }
    }
    let mut companion =
        Request { method, uri: request.uri.clone(), version: rsip::Version::V2, headers, body: Vec::new() };
    with_body(&mut companion.headers, &mut companion.body, body);
    companion
}

/// A challenge, as a registrar or a proxy puts it.
pub(super) struct Challenge {
    values: typed::WwwAuthenticate,
    by_proxy: bool,
}

impl Challenge {
    /// The first challenge of a 401 or 407 that this telephone can answer (RFC 8760 §2.4): MD5, and SHA-256 where it knows that.
    pub(super) fn of(response: &Response, sha256: bool) -> Option<Challenge> {
        response.headers().iter().find_map(|header| {
            let (value, by_proxy) = match header {
                Header::WwwAuthenticate(value) => (value.value(), false),
                Header::ProxyAuthenticate(value) => (value.value(), true),
                _ => return None,
            };
            // `rsip` knows the algorithm, and not its name (RFC 7616 §3.3).
            let value = value.replace("SHA-256", "SHA256");
            let values = rsip::headers::WwwAuthenticate::from(value).typed().ok()?;
            let known = match values.algorithm {
                None | Some(auth::Algorithm::Md5) => true,
                Some(algorithm) => sha256 && algorithm == auth::Algorithm::Sha256,
            };
            known.then_some(Challenge { values, by_proxy })
        })
    }

    /// The request again, answering the challenge under this number and a new branch (RFC 3261 §22.2).
    pub(super) fn answered(
        &self,
        request: &Request,
        (user, secret): (&str, &str),
        number: u32,
        (branch, cnonce): (&str, &str),
    ) -> Request {
        let mut again = request.clone();
        let algorithm = self.values.algorithm.unwrap_or(auth::Algorithm::Md5);
        let qop = self.values.qop.as_ref().map(|_| auth::AuthQop::Auth { cnonce: cnonce.to_owned(), nc: 1 });
        let answer = DigestGenerator {
            username: user,
            password: secret,
            nonce: &self.values.nonce,
            uri: &request.uri,
            realm: &self.values.realm,
            method: &request.method,
            qop: qop.as_ref(),
            algorithm,
        };
        let authorization = typed::Authorization {
            scheme: auth::Scheme::Digest,
            username: user.to_owned(),
            realm: self.values.realm.clone(),
            nonce: self.values.nonce.clone(),
            uri: request.uri.clone(),
            response: answer.compute(),
            algorithm: Some(algorithm),
            opaque: self.values.opaque.clone(),
            qop,
        };
        again.headers.retain(|header| !matches!(header, Header::Authorization(_) | Header::ProxyAuthorization(_)));
        for header in again.headers.iter_mut() {
            match header {
                Header::Via(via) => via.replace(with_branch(via.value(), branch)),
                Header::CSeq(cseq) => cseq.replace(format!("{number} {}", request.method)),
                _ => {}
            }
        }
        let credentials = rsip::headers::Authorization::from(authorization).value().replace("SHA256", "SHA-256");
        again.headers.push(match self.by_proxy {
            true => Header::ProxyAuthorization(credentials.into()),
            false => Header::Authorization(credentials.into()),
        });
        again
    }
}

/// A Via of this telephone.
pub(super) fn via(transport: &str, sent_by: SocketAddr, branch: &str) -> String {
    format!("SIP/2.0/{transport} {sent_by};branch={branch};rport")
}

fn with_branch(via: &str, branch: &str) -> String {
    let start = via.find("branch=").map_or(via.len(), |at| at + "branch=".len());
    let end = via[start..].find(';').map_or(via.len(), |length| start + length);
    format!("{}{branch}{}", &via[..start], &via[end..])
}

/// Cuts a stream into messages by their Content-Length, which `rsip` ignores.
#[derive(Debug, Default)]
pub(super) struct Framer(Vec<u8>);

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        let blank = self.0.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.0.drain(..blank);
        let head = self.0.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.0[..head]).to_ascii_lowercase();
        let body: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:").or(line.strip_prefix("l:")))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        (self.0.len() >= head + body).then(|| self.0.drain(..head + body).collect::<Vec<u8>>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_challenge_goes_under_a_new_number_and_branch() {
        let request = Request {
            method: Method::Invite,
            uri: uri(Some("bob"), rsip::Host::from("biloxi.com").into()),
            version: rsip::Version::V2,
            headers: vec![
                Header::Via(via("UDP", "10.0.0.1:5060".parse().unwrap(), "z9hG4bKa").into()),
                Header::CSeq("7 INVITE".into()),
            ]
            .into(),
            body: Vec::new(),
        };
        let values =
            typed::WwwAuthenticate { realm: "biloxi.com".into(), nonce: "dcd98b71".into(), ..Default::default() };
        let again =
            Challenge { values, by_proxy: false }.answered(&request, ("bob", "zanzibar"), 8, ("z9hG4bKb", "0a4f"));
        let text = again.to_string();
        // md5(md5("bob:biloxi.com:zanzibar"):dcd98b71:md5("INVITE:sip:bob@biloxi.com"))
        assert!(text.contains("response=\"c178477f832a64804f0ee4ad83a8e8eb\""), "{text}");
        assert!(text.contains("CSeq: 8 INVITE") && text.contains("branch=z9hG4bKb;rport"), "{text}");
    }

    #[test]
    fn a_stream_is_cut_where_messages_end() {
        let one = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";
        let mut framer = Framer::default();
        framer.push(b"\r\n\r\n");
        framer.push(&one.as_bytes()[..20]);
        assert_eq!(framer.next(), None);
        framer.push(&one.as_bytes()[20..]);
        framer.push(one.as_bytes());
        assert_eq!(framer.next().as_deref(), Some(one.as_bytes()));
        assert_eq!(framer.next().as_deref(), Some(one.as_bytes()));
        assert_eq!(framer.next(), None);
    }
}
