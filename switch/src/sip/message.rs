//! Requests and responses: a start line, headers in their order, a body.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::header::{Headers, Name};
use super::uri::Uri;

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

/// The methods the switch distinguishes; they compare with regard to case (RFC 3261 §7.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Info,
    Update,
    Prack,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    Other(String),
}

impl Method {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        todo!()
    }

    /// From the wire; any token.
    pub fn from_token(token: &str) -> Method {
        todo!("{token}")
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

    /// The phrase of RFC 3261 §21 (and later RFCs) for the code.
    pub fn phrase(self) -> &'static str {
        todo!()
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
        Request { method, uri, headers: Headers::default(), body: Bytes::new() }
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
        todo!("{status:?}")
    }

    /// On the wire, Content-Length written last and right.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let _ = &mut out;
        todo!()
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
        todo!()
    }
}
