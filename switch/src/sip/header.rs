//! Headers: a list in the order of the wire, each value unparsed until somebody asks for its type.
//!
//! Compact names are known, folding is undone, several values in a line are told apart; what is not known is kept verbatim.

use std::fmt;

use bytes::Bytes;

use super::message::{Method, ParseError};
use super::uri::{Host, Params, Uri};

/// The header names the switch distinguishes; compact forms read as their long ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Name {
    Accept,
    AlertInfo,
    Allow,
    AuthenticationInfo,
    Authorization,
    CallId,
    CallInfo,
    Contact,
    ContentEncoding,
    ContentLength,
    ContentType,
    CSeq,
    Date,
    Event,
    Expires,
    From,
    MaxForwards,
    MinExpires,
    PAssertedIdentity,
    Path,
    ProxyAuthorization,
    ProxyRequire,
    Reason,
    RecordRoute,
    Require,
    RetryAfter,
    Route,
    Server,
    Supported,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    WwwAuthenticate,
    Other(String),
}

impl Name {
    /// The long form, in customary case.
    pub fn as_str(&self) -> &str {
        todo!()
    }

    /// Long or compact form, any case.
    pub fn from_token(token: &str) -> Name {
        todo!("{token}")
    }
}

/// Headers in the order of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(Name, Bytes)>,
}

impl Headers {
    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.fields.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// The first field of this name, whole and unparsed.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The first field of this name, as text with bad UTF-8 replaced.
    pub fn text(&self, name: &Name) -> Option<std::borrow::Cow<'_, str>> {
        self.get(name).map(String::from_utf8_lossy)
    }

    /// Every value of a header that is a comma-separated list, over all its lines, commas in quotes and angle brackets respected, trimmed.
    pub fn values<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a [u8]> {
        let _ = name;
        todo!() as std::vec::IntoIter<&[u8]>
    }

    /// Adds at the end.
    pub fn push(&mut self, name: Name, value: impl Into<Bytes>) {
        self.fields.push((name, value.into()));
    }

    /// Adds at the front.
    pub fn push_front(&mut self, name: Name, value: impl Into<Bytes>) {
        self.fields.insert(0, (name, value.into()));
    }

    /// Replaces all fields of this name by one, in the place of the first.
    pub fn set(&mut self, name: Name, value: impl Into<Bytes>) {
        let _ = (name, value.into());
        todo!()
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &Name) {
        self.fields.retain(|(n, _)| n != name);
    }

    // Typed. `Err` where the header is missing (and RFC 3261 §8.1.1 demands it), there twice though it may not be, or not well formed.

    /// The top Via.
    pub fn via(&self) -> Result<Via, ParseError> {
        todo!()
    }

    /// Replaces the top Via value, leaving those below it.
    pub fn set_via(&mut self, via: &Via) {
        todo!("{via}")
    }

    /// From.
    pub fn from(&self) -> Result<Address, ParseError> {
        todo!()
    }

    /// To.
    pub fn to(&self) -> Result<Address, ParseError> {
        todo!()
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        todo!()
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, ParseError> {
        todo!()
    }

    /// Max-Forwards; `None` where it is missing (RFC 3261 §16.3 3: not an error).
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        todo!()
    }

    /// Expires, in seconds, capped at 2^32-1 (RFC 3261 §20.19: malformed reads as absent).
    pub fn expires(&self) -> Option<u32> {
        todo!()
    }

    /// All Contact values.
    pub fn contacts(&self) -> Result<Contacts, ParseError> {
        todo!()
    }

    /// All values of Route, Record-Route or Path.
    pub fn addresses(&self, name: &Name) -> Result<Vec<Address>, ParseError> {
        todo!("{name:?}")
    }

    /// All tokens of Require, Proxy-Require, Supported, Allow …, lower case.
    pub fn tokens(&self, name: &Name) -> Vec<String> {
        todo!("{name:?}")
    }
}

/// The Contact values of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`, alone.
    Star,
    /// Any number, none too.
    List(Vec<Address>),
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, …, upper case.
    pub transport: String,
    /// sent-by host.
    pub host: Host,
    /// sent-by port.
    pub port: Option<u16>,
    /// branch, received, rport …
    pub params: Params,
}

impl Via {
    /// The branch, where there is one.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }
}

impl fmt::Display for Via {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// name-addr or addr-spec with parameters: From, To, Contact, Route … An addr-spec's parameters are the header's (RFC 3261 §20.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The display name, unquoted.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// The header's parameters.
    pub params: Params,
}

impl Address {
    /// `<uri>`.
    pub fn new(uri: Uri) -> Address {
        Address { display: None, uri, params: Params::default() }
    }

    /// One value.
    pub fn parse(text: &[u8]) -> Result<Address, ParseError> {
        todo!("{text:?}")
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }
}

impl fmt::Display for Address {
    /// Always with angle brackets; the display name quoted and escaped where it is no plain token.
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// CSeq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method.as_str())
    }
}
