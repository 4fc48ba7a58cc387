//! Requests and responses: a start line, headers in their order, a body.

mod phrase;

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{BufMut as _, Bytes, BytesMut};

use self::phrase::phrase;
use super::header::{Headers, Name};
use super::lex::{is_control, is_token_byte};
use super::uri::{Uri, Written as _, put_number, written};

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The headers.
    pub headers: Headers,
    /// Exactly Content-Length bytes.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// The reason phrase.
    pub reason: String,
    /// The headers.
    pub headers: Headers,
    /// Exactly Content-Length bytes.
    pub body: Bytes,
}

/// Declares the methods once: variant and spelling.
macro_rules! methods {
    ($($method:ident = $text:literal,)*) => {
        /// The methods the switch distinguishes; they compare with regard to case (RFC 3261 §7.1).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each is its own name")]
        pub enum Method {
            $($method,)*
            Other(String),
        }

        impl Method {
            /// As on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$method => $text,)*
                    Method::Other(method) => method,
                }
            }

            /// From the wire; any token.
            pub fn from_token(token: &str) -> Method {
                match token {
                    $($text => Method::$method,)*
                    other => Method::Other(other.to_owned()),
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Register = "REGISTER",
    Options = "OPTIONS",
    Info = "INFO",
    Update = "UPDATE",
    Prack = "PRACK",
    Refer = "REFER",
    Notify = "NOTIFY",
    Subscribe = "SUBSCRIBE",
    Message = "MESSAGE",
    Publish = "PUBLISH",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A status code, 100-699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u16);

impl Status {
    /// 1xx.
    pub fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// The phrase of RFC 3261 §21 (and later RFCs) for the code; for one that has none, that of its class (RFC 3261 §8.1.3.2).
    pub fn phrase(self) -> &'static str {
        phrase(self.0)
    }
}

/// Why bytes are not a message, or a header is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What would be answered: 400, 505 or 513.
    pub status: Status,
    /// A short sentence, fit for a reason phrase.
    pub text: String,
}

impl ParseError {
    /// A 400.
    pub fn bad(text: impl Into<String>) -> ParseError {
        ParseError { status: Status(400), text: text.into() }
    }

    /// A 505.
    pub fn version() -> ParseError {
        ParseError { status: Status(505), text: "SIP version other than 2.0".to_owned() }
    }

    /// A 513.
    pub fn too_large(text: impl Into<String>) -> ParseError {
        ParseError { status: Status(513), text: text.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ParseError {}

impl Request {
    /// A bare request; the caller adds headers.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request { method, uri, headers: Headers::with_capacity(16), body: Bytes::new() }
    }

    /// Sets body and Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Request {
        self.headers.set(Name::ContentType, content_type.to_owned());
        self.body = body.into();
        self
    }

    /// A response to this request: Via, From, To, Call-ID, CSeq copied, Timestamp for a 100 (RFC 3261 §8.2.6). The To tag is the caller's
    /// to add. The phrase is the status's own.
    pub fn response(&self, status: Status) -> Response {
        let mut response = self.untagged(status);
        if status != Status(100) {
            self.tag_to(&mut response.headers);
        }
        response
    }

    /// A response within a dialog, or one that makes it: with our tag.
    pub fn response_tagged(&self, status: Status, tag: &str) -> Response {
        let mut response = self.untagged(status);
        if let Some(to) = self.tagged_to(tag) {
            response.headers.set(Name::To, to);
        }
        response
    }

    /// To with our tag; `None` where it is not well formed.
    pub(super) fn tagged_to(&self, tag: &str) -> Option<Bytes> {
        let to = self.headers.to().ok()?;
        let as_it_is = self.headers.shared(&Name::To).ok()?;
        match to.tag() {
            Some(theirs) if theirs == tag => Some(as_it_is),
            None if to.params.get("tag").is_none() => Some([&as_it_is, &b";tag="[..], tag.as_bytes()].concat().into()),
            _ => {
                let mut to = to.clone();
                to.params.set("tag", Some(tag.into()));
                Some(written(&to))
            }
        }
    }

    fn untagged(&self, status: Status) -> Response {
        let mut headers = Headers::with_capacity(10);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            headers.copy(&self.headers, &name);
        }
        if status == Status(100) {
            headers.copy(&self.headers, &Name::Timestamp);
        }
        Response { status, reason: status.phrase().to_owned(), headers, body: Bytes::new() }
    }

    /// §8.2.6.2: every response but a 100 has a To tag; the same for the same request, though nothing of it is kept (§8.2.7). Who makes
    /// a dialog sets his own instead.
    fn tag_to(&self, headers: &mut Headers) {
        if self.headers.to().is_ok_and(|to| to.tag().is_none()) {
            let mut hasher = DefaultHasher::new();
            (self.headers.get(&Name::Via), self.headers.get(&Name::CallId)).hash(&mut hasher);
            if let Some(to) = self.tagged_to(&format!("{:016x}", hasher.finish())) {
                headers.set(Name::To, to);
            }
        }
    }

    /// How many bytes it has on the wire.
    pub fn length(&self) -> usize {
        let mut counted = Counted(0);
        // Counting cannot fail.
        let _ = self.uri.put(&mut counted);
        let _ = put_number(&mut counted, self.body.len() as u64);
        counted.0 += self.method.as_str().len() + "  SIP/2.0\r\nContent-Length: \r\n\r\n".len();
        counted.0 + fields_length(&self.headers) + self.body.len()
    }

    /// On the wire, Content-Length written last and right.
    pub fn encode(&self) -> Bytes {
        let mut out = room_for(&self.headers, &self.body, 160);
        put_token(&mut out, self.method.as_str());
        // Writing to memory cannot fail.
        out.put_slice(b" ");
        let _ = self.uri.put(&mut out);
        out.put_slice(b" SIP/2.0\r\n");
        put_rest(out, &self.headers, &self.body)
    }
}

impl Response {
    /// Sets body and Content-Type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Response {
        self.headers.set(Name::ContentType, content_type.to_owned());
        self.body = body.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: Name, value: impl Into<Bytes>) -> Response {
        self.headers.push(name, value);
        self
    }

    /// On the wire, Content-Length written last and right.
    pub fn encode(&self) -> Bytes {
        // The final response is kept as long as it may have to be repeated: without room to spare.
        let mut out = room_for(&self.headers, &self.body, 40 + self.reason.len());
        let _ = write!(out, "SIP/2.0 {:03} ", self.status.0);
        put_text(&mut out, self.reason.as_bytes());
        out.put_slice(b"\r\n");
        put_rest(out, &self.headers, &self.body)
    }
}

/// A buffer that holds the message, most likely without growing.
fn room_for(headers: &Headers, body: &Bytes, rest: usize) -> BytesMut {
    BytesMut::with_capacity(fields_length(headers) + body.len() + rest)
}

fn fields_length(headers: &Headers) -> usize {
    let written = headers.iter().filter(|(name, _)| **name != Name::ContentLength);
    written.map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Counts what is written to it.
struct Counted(usize);

impl fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Everything after the start line.
fn put_rest(mut out: BytesMut, headers: &Headers, body: &Bytes) -> Bytes {
    for (name, value) in headers.iter().filter(|(name, _)| **name != Name::ContentLength) {
        match name {
            Name::Other(name) => put_token(&mut out, name),
            known => out.put_slice(known.as_str().as_bytes()),
        }
        out.put_slice(b": ");
        put_text(&mut out, value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"Content-Length: ");
    // Writing to memory cannot fail.
    let _ = put_number(&mut out, body.len() as u64);
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
    out.freeze()
}

/// Writes text that cannot leave its line, whoever made it: controls become blanks.
fn put_text(out: &mut BytesMut, text: &[u8]) {
    let start = out.len();
    out.put_slice(text);
    // Without a branch per byte, since hardly ever one is found.
    if text.iter().fold(false, |found, byte| found | is_control(*byte)) {
        for byte in out[start..].iter_mut().filter(|byte| is_control(**byte)) {
            *byte = b' ';
        }
    }
}

/// Writes what should be a token, and makes it one.
fn put_token(out: &mut BytesMut, token: &str) {
    let start = out.len();
    out.put_slice(token.as_bytes());
    for byte in out[start..].iter_mut().filter(|byte| !is_token_byte(**byte)) {
        *byte = b'-';
    }
}

#[cfg(test)]
mod tests;
