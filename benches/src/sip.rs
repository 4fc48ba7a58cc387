//! As much of SIP as the load needs, and none of it the switch's own: messages written from templates, and read in one pass.

use std::fmt::Write;
use std::net::SocketAddr;

use md5::{Digest, Md5};

/// A message that came, its parts where they stand.
#[derive(Debug, Default)]
pub struct Message<'a> {
    /// Of a response; 0 for a request.
    pub status: u16,
    /// Of a request; the CSeq's for a response.
    pub method: &'a str,
    /// Of the Request-URI.
    pub user: &'a str,
    /// Each line, whole.
    pub vias: Vec<&'a str>,
    /// Each line, whole: of these a proxy makes the way of what follows.
    pub record_routes: Vec<&'a str>,
    /// With its tag.
    pub from: &'a str,
    /// With its tag, if there is one.
    pub to: &'a str,
    /// The Call-ID.
    pub call_id: &'a str,
    /// Number and method.
    pub cseq: &'a str,
    /// The URI of the Contact.
    pub contact: &'a str,
    /// What of the challenge.
    pub challenge: &'a str,
    /// After the head.
    pub body: &'a str,
}

impl<'a> Message<'a> {
    /// Reads one; `None` for what is none.
    pub fn read(datagram: &'a [u8]) -> Option<Message<'a>> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut message = Message { body, ..Message::default() };
        let start = lines.next()?;
        let request = match start.strip_prefix("SIP/2.0 ") {
            Some(status) => {
                message.status = status.get(..3)?.parse().ok()?;
                None
            }
            None => {
                let (method, rest) = start.split_once(' ')?;
                let uri = rest.strip_suffix(" SIP/2.0")?;
                message.user = uri.strip_prefix("sip:")?.split(['@', ';']).next()?;
                Some(method)
            }
        };
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim_start();
            match name {
                "Via" => message.vias.push(line),
                "Record-Route" => message.record_routes.push(line),
                "From" => message.from = value,
                "To" => message.to = value,
                "Call-ID" => message.call_id = value,
                "CSeq" => message.cseq = value,
                "Contact" => message.contact = value.split(['<', '>']).nth(1).unwrap_or(value),
                "WWW-Authenticate" | "Proxy-Authenticate" => message.challenge = value,
                _ => {}
            }
        }
        let (_, method) = message.cseq.split_once(' ')?;
        message.method = method;
        let whole = request.is_none_or(|request| request == method)
            && !message.vias.is_empty()
            && !message.from.is_empty()
            && !message.to.is_empty()
            && !message.call_id.is_empty();
        whole.then_some(message)
    }

    /// A parameter of the challenge, in quotation marks or not.
    fn challenged(&self, name: &str) -> &'a str {
        let parts = self.challenge.strip_prefix("Digest ").unwrap_or_default().split(',');
        let mut pairs = parts.filter_map(|part| part.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim_matches('"'))
    }

    /// The port of the first stream.
    pub fn media_port(&self) -> Option<u16> {
        media_port(self.body)
    }

    /// The answer, as a telephone gives it: without a body, the tag added where there is none.
    pub fn answer(&self, status: &str, tag: u32, contact: Option<SocketAddr>, body: &str) -> Vec<u8> {
        let mut text = String::with_capacity(800);
        let _ = write!(text, "SIP/2.0 {status}\r\n");
        for line in self.vias.iter().chain(&self.record_routes) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        let _ = write!(text, "From: {}\r\nTo: {}", self.from, self.to);
        if !self.to.contains(";tag=") && !status.starts_with("100") {
            let _ = write!(text, ";tag=b{tag}");
        }
        let _ = write!(text, "\r\nCall-ID: {}\r\nCSeq: {}\r\n", self.call_id, self.cseq);
        if let Some(contact) = contact {
            let _ = write!(text, "Contact: <sip:{}@{contact}>\r\n", self.user);
        }
        finish(text, body)
    }
}

/// The port of the first stream of a session description.
pub fn media_port(body: &str) -> Option<u16> {
    let line = body.lines().find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next()?.parse().ok()
}

/// The end of a message: the length, and the body if there is one.
pub fn finish(mut head: String, body: &str) -> Vec<u8> {
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n{body}", body.len());
    head.into_bytes()
}

/// A session description: G.711 and digits at this address.
pub fn session(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
    )
}

/// A user, and what he needs to prove that it is he. A nonce is used until another is given (RFC 7616 §3.3).
#[derive(Clone, Debug)]
pub struct Account {
    /// The extension.
    pub user: String,
    secret: String,
    realm: String,
    ha1: String,
    nonce: String,
    count: u32,
}

impl Account {
    /// Nobody has challenged him yet.
    pub fn new(user: String, secret: String) -> Account {
        let (realm, ha1, nonce) = Default::default();
        Account { user, secret, realm, ha1, nonce, count: 0 }
    }

    /// Takes the nonce of a challenge.
    pub fn challenged(&mut self, response: &Message<'_>) {
        let realm = response.challenged("realm");
        if realm != self.realm {
            realm.clone_into(&mut self.realm);
            self.ha1 = md5(&[&self.user, realm, &self.secret]);
        }
        response.challenged("nonce").clone_into(&mut self.nonce);
        self.count = 0;
    }

    /// Forgets the nonce: the next request is challenged.
    pub fn forget(&mut self) {
        self.nonce.clear();
    }

    /// The line that proves it, if he has been challenged.
    pub fn authorization(&mut self, method: &str, uri: &str) -> String {
        if self.nonce.is_empty() {
            return String::new();
        }
        self.count += 1;
        let Account { user, realm, ha1, nonce, count, .. } = self;
        let count = format!("{count:08x}");
        let response = md5(&[ha1, nonce, &count, "0a4f113b", "auth", &md5(&[method, uri])]);
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, qop=auth, cnonce=\"0a4f113b\", nc={count}\r\n"
        )
    }
}

fn md5(parts: &[&str]) -> String {
    hex::encode(Md5::digest(parts.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 127.0.0.1:9\r\nFrom: <sip:Mufasa@x>;tag=1\r\n\
         To: <sip:x>;tag=2\r\nCall-ID: a\r\nCSeq: 1 GET\r\nWWW-Authenticate: Digest realm=\"testrealm@host.com\", \
         qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn a_challenge_is_answered_as_in_rfc_2617_section_3_5() {
        let message = Message::read(CHALLENGE.as_bytes()).unwrap();
        assert_eq!(message.status, 401);
        let mut account = Account::new("Mufasa".into(), "Circle Of Life".into());
        assert_eq!(account.authorization("GET", "/dir/index.html"), "");
        account.challenged(&message);
        let line = account.authorization("GET", "/dir/index.html");
        assert!(line.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{line}");
    }

    #[test]
    fn a_message_is_read_where_it_stands() {
        let text = "INVITE sip:502@127.0.0.1:5;x=y SIP/2.0\r\nVia: a\r\nVia: b\r\nFrom: <sip:1@h>;tag=9\r\nTo: <sip:2@h>\r\n\
                    Call-ID: id\r\nCSeq: 7 INVITE\r\nContact: <sip:1@h:4>;x\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let message = Message::read(text.as_bytes()).unwrap();
        assert_eq!((message.user, message.contact, message.media_port()), ("502", "sip:1@h:4", Some(4000)));
        let answer = String::from_utf8(message.answer("200 OK", 3, None, "")).unwrap();
        assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: a\r\nVia: b\r\n"), "{answer}");
        assert!(answer.contains("To: <sip:2@h>;tag=b3\r\n"), "{answer}");
        assert!(Message::read(b"\r\n\r\n").is_none());
    }
}
