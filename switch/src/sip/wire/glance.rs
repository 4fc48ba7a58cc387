//! A request at a glance: what it takes to answer one that there is no time to read.
//!
//! Only what is plain is seen: a request outside of any dialog, its lines unfolded, its top Via alone in its line. Of everything else there is no
//! glance; it is read in full, or not at all.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{BufMut as _, Bytes, BytesMut};
use memchr::{memchr, memrchr};

use super::super::flow::Flow;
use super::super::header::Via;
use super::super::lex::{is_control, is_space, is_token, trim};
use super::super::message::{Method, Status};

/// Header lines that are looked at: nobody's first request has more.
const LINES: usize = 64;

/// What is seen of a request that begins something.
#[derive(Debug)]
pub struct Glance<'a> {
    /// Neither ACK nor CANCEL, which begin nothing.
    pub method: Method,
    /// The top one, its branch one of RFC 3261.
    pub via: Via,
    /// The values of those below.
    below: Vec<&'a [u8]>,
    from: &'a [u8],
    /// Without a tag.
    to: &'a [u8],
    call_id: &'a [u8],
    cseq: &'a [u8],
}

impl<'a> Glance<'a> {
    /// What is seen, if all of it is plain.
    pub fn at(datagram: &'a [u8]) -> Option<Glance<'a>> {
        let (start, mut rest) = line(datagram)?;
        let method = start.strip_suffix(b" SIP/2.0").and_then(|start| start.split(|byte| *byte == b' ').next())?;
        let method = std::str::from_utf8(method).ok().filter(|method| is_token(method.as_bytes()))?;
        let method =
            Some(Method::from_token(method)).filter(|method| !matches!(method, Method::Ack | Method::Cancel))?;
        let (mut via, mut below) = (None, Vec::new());
        let (mut from, mut to, mut call_id, mut cseq) = (None::<&[u8]>, None::<&[u8]>, None::<&[u8]>, None::<&[u8]>);
        for _ in 0..LINES {
            let (text, after) = line(rest)?;
            rest = after;
            if text.is_empty() {
                let to = to.filter(|to| !has_tag(to))?;
                return Some(Glance { method, via: via?, below, from: from?, to, call_id: call_id?, cseq: cseq? });
            }
            if is_space(text[0]) {
                return None;
            }
            let colon = memchr(b':', text)?;
            let (name, value) = (trim(&text[..colon]), trim(&text[colon + 1..]));
            let is = |long: &[u8], short: &[u8]| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
            let field = if is(b"Via", b"v") {
                match via {
                    None => via = Some(plain_via(value)?),
                    Some(_) => below.push(plain(value)?),
                }
                continue;
            } else if is(b"From", b"f") {
                &mut from
            } else if is(b"To", b"t") {
                &mut to
            } else if is(b"Call-ID", b"i") {
                &mut call_id
            } else if is(b"CSeq", b"CSeq") {
                &mut cseq
            } else {
                continue;
            };
            if field.replace(plain(value)?).is_some() {
                return None;
            }
        }
        None
    }

    /// A final response that came over this flow (RFC 3261 §8.2.6), with these further lines, each with its end.
    pub fn response(&self, flow: &Flow, status: Status, lines: &str) -> Bytes {
        let mut hasher = DefaultHasher::new();
        (self.via.branch(), self.call_id).hash(&mut hasher);
        let tag = format!(";tag={:016x}", hasher.finish());
        let mut via = self.via.clone();
        flow.note_in(&mut via);
        let mut out = BytesMut::with_capacity(640);
        out.put_slice(format!("SIP/2.0 {} {}\r\nVia: {via}\r\n", status.0, status.phrase()).as_bytes());
        let own = [("From: ", self.from, ""), ("To: ", self.to, tag.as_str()), ("Call-ID: ", self.call_id, "")];
        let fields = self.below.iter().map(|via| ("Via: ", *via, "")).chain(own).chain([("CSeq: ", self.cseq, "")]);
        for (name, value, end) in fields {
            out.put_slice(name.as_bytes());
            out.put_slice(value);
            out.put_slice(end.as_bytes());
            out.put_slice(b"\r\n");
        }
        out.put_slice(lines.as_bytes());
        out.put_slice(b"Content-Length: 0\r\n\r\n");
        out.freeze()
    }
}

/// A line without its end, and what follows.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

/// A value that can be repeated as it stands.
fn plain(value: &[u8]) -> Option<&[u8]> {
    Some(value).filter(|value| !value.is_empty() && !value.iter().any(|byte| is_control(*byte)))
}

fn plain_via(value: &[u8]) -> Option<Via> {
    let via = Via::parse(value).ok().filter(|_| memchr(b',', value).is_none())?;
    via.branch().is_some_and(|branch| branch.starts_with("z9hG4bK")).then_some(via)
}

/// Whether a tag may be among its parameters.
fn has_tag(to: &[u8]) -> bool {
    let params = memrchr(b'>', to).map_or(to, |end| &to[end..]);
    params.windows(3).any(|word| word.eq_ignore_ascii_case(b"tag"))
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, parse_datagram};
    use super::*;
    use crate::sip::flow::Channel;
    use crate::sip::header::Name;
    use crate::sip::message::Message;

    const INVITE: &str = "INVITE sip:502@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP phone.example:5070;branch=z9hG4bKa;rport\r\n\
        v: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb\r\nMax-Forwards: 70\r\nf: \"A, B\" <sip:501@switch.local>;tag=1\r\n\
        To: <sip:502@switch.local>\r\nCall-ID: c-1\r\nCSeq: 7 INVITE\r\nContent-Length: 3\r\n\r\nxyz";

    fn flow() -> Flow {
        let address = |text: &str| text.parse().unwrap();
        Flow { channel: Channel::Udp, local: address("192.0.2.1:5060"), peer: address("198.51.100.2:5070") }
    }

    #[test]
    fn a_request_is_answered_from_its_lines_as_it_is_when_it_was_read() {
        let bytes = Bytes::from_static(INVITE.as_bytes());
        let glance = Glance::at(&bytes).unwrap();
        assert_eq!(glance.method, Method::Invite);
        let answer = glance.response(&flow(), Status(503), "Retry-After: 7\r\n");
        let Parsed::Message(Message::Response(short)) = parse_datagram(&answer) else { panic!("{answer:?}") };
        let Parsed::Message(Message::Request(mut request)) = parse_datagram(&bytes) else { panic!("{bytes:?}") };
        flow().note_source(&mut request.headers);
        let long = request.response(Status(503));
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            let values =
                |headers: &crate::sip::header::Headers| headers.values(&name).map(<[u8]>::to_vec).collect::<Vec<_>>();
            assert_eq!(values(&short.headers), values(&long.headers), "{name:?}");
        }
        assert_eq!(short.headers.get(&Name::RetryAfter), Some(&b"7"[..]));
        let to = short.headers.to().unwrap();
        assert!(to.tag().is_some() && to.uri == request.headers.to().unwrap().uri);
        assert_eq!(answer, glance.response(&flow(), Status(503), "Retry-After: 7\r\n"), "the tag stays (§8.2.7)");
    }

    #[test]
    fn what_is_not_plain_is_not_seen() {
        let not_plain = [
            INVITE.replace("INVITE", "ACK"),
            INVITE.replace("INVITE", "CANCEL"),
            INVITE.replace("To: <sip:502@switch.local>", "To: <sip:502@switch.local>;Tag=2"),
            INVITE.replace("rport\r\n", "rport, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKc\r\n"),
            INVITE.replace("Call-ID: c-1\r\n", ""),
            INVITE.replace("Call-ID: c-1\r\n", "Call-ID: c-1\r\nCall-ID: c-2\r\n"),
            INVITE.replace("Call-ID: c-1", "Call-ID: c\r-1"),
            INVITE.replace("Call-ID: c-1", "Call-ID:\r\n c-1"),
            INVITE.replace("z9hG4bKa", "old"),
            INVITE.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
            INVITE.replace("\r\n\r\nxyz", "\r\n"),
            "SIP/2.0 200 OK\r\n\r\n".to_owned(),
            String::new(),
        ];
        for text in not_plain {
            assert!(Glance::at(text.as_bytes()).is_none(), "{text}");
        }
    }
}
