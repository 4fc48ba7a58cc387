//! The header values that have a type: Via, addresses, CSeq.

use std::fmt;

use bytes::Bytes;
use memchr::{memchr, memchr3};

use super::super::lex::{Scan, Values, is_control, is_space, is_token, is_token_byte, number, trim};
use super::super::message::{Method, ParseError};
use super::super::uri::{Host, Params, Text, Uri, Written, host_port, put_number, put_quoted, written};

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, …, upper case.
    pub transport: Text,
    /// sent-by host.
    pub host: Host,
    /// sent-by port.
    pub port: Option<u16>,
    /// branch, received, rport … (`received` without the brackets some write, RFC 5118 §4.5).
    pub params: Params,
}

impl Via {
    /// One value. The version is not looked at: a request of another one needs a Via to be answered along.
    pub fn parse(value: &[u8]) -> Result<Via, ParseError> {
        let mut scan = Scan::new(trim(value));
        let mut via = Via::parse_sent_by(&mut scan)?;
        via.params = Params::parse_header(&mut scan)?;
        if !scan.is_empty() {
            return Err(ParseError::bad("Malformed Via"));
        }
        let bare = via.params.value("received").and_then(|value| value.strip_prefix('[')?.strip_suffix(']'));
        if let Some(bare) = bare.map(Text::from) {
            via.params.set("received", Some(bare));
        }
        Ok(via)
    }

    /// Where an answer goes: parameters that are not well formed are left out, since a 400 can do without them (RFC 4475 §3.1.2.1).
    pub fn parse_for_reply(value: &[u8]) -> Result<Via, ParseError> {
        Via::parse(value).or_else(|_| Via::parse_sent_by(&mut Scan::new(trim(value))))
    }

    /// Everything before the parameters.
    fn parse_sent_by(scan: &mut Scan<'_>) -> Result<Via, ParseError> {
        let malformed = || ParseError::bad("Malformed Via");
        let protocol = scan.token().filter(|name| name.eq_ignore_ascii_case("SIP"));
        if protocol.is_none() || !scan.eat_spaced(b'/') || scan.token().is_none() || !scan.eat_spaced(b'/') {
            return Err(malformed());
        }
        let mut transport = Text::from(scan.token().ok_or_else(malformed)?);
        transport.make_ascii_uppercase();
        if scan.take_while(is_space).is_empty() {
            return Err(malformed());
        }
        let sent_by = std::str::from_utf8(trim(scan.take_while(|byte| byte != b';'))).map_err(|_| malformed())?;
        let (host, port) = host_port(sent_by)?;
        Ok(Via { transport, host, port, params: Params::default() })
    }

    /// The branch, where there is one.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }
}

impl Written for Via {
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str("SIP/2.0/")?;
        put_token(out, &self.transport)?;
        out.write_str(" ")?;
        self.host.put(out)?;
        if let Some(port) = self.port {
            out.write_str(":")?;
            put_number(out, port.into())?;
        }
        self.params.put(out)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

/// name-addr or addr-spec with parameters: From, To, Contact, Route … An addr-spec's parameters are the header's (RFC 3261 §20.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The display name, unquoted; `None` for an empty one too.
    pub display: Option<Text>,
    /// The URI.
    pub uri: Uri,
    /// The header's parameters.
    pub params: Params,
}

impl Address {
    /// On the wire.
    pub fn encode(&self) -> Bytes {
        written(self)
    }

    /// `<uri>`.
    pub fn new(uri: Uri) -> Address {
        Address { display: None, uri, params: Params::default() }
    }

    /// One value.
    pub fn parse(text: &[u8]) -> Result<Address, ParseError> {
        let mut scan = Scan::new(trim(text));
        let display = display_name(&mut scan)?;
        let uri = if scan.eat(b'<') {
            let end = memchr(b'>', scan.rest()).ok_or_else(|| ParseError::bad("Address without closing bracket"))?;
            let uri = parse_uri(scan.take(end))?;
            scan.eat(b'>');
            uri
        } else if display.is_some() {
            return Err(ParseError::bad("Display name without an address"));
        } else {
            let uri = scan.take_while(|byte| byte != b';' && !is_space(byte));
            if uri.iter().any(|byte| matches!(byte, b'?' | b',')) {
                return Err(ParseError::bad("Address that must be in angle brackets")); // RFC 3261 §20
            }
            parse_uri(uri)?
        };
        let params = Params::parse_header(&mut scan)?;
        scan.skip_space();
        if !scan.is_empty() {
            return Err(ParseError::bad("Malformed address"));
        }
        Ok(Address { display, uri, params })
    }

    /// Any number of values with commas between.
    pub fn parse_list(text: &[u8]) -> Result<Vec<Address>, ParseError> {
        Values::new(text).map(Address::parse).collect()
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }
}

/// Reads a display name, up to the angle bracket. Unquoted ones are taken with more than tokens in them, since phones write such, but not
/// with what would make the rest ambiguous.
fn display_name(scan: &mut Scan<'_>) -> Result<Option<Text>, ParseError> {
    let display = if scan.peek() == Some(b'"') {
        let quoted = scan.quoted()?;
        scan.skip_space();
        if scan.peek() != Some(b'<') {
            return Err(ParseError::bad("Display name without an address"));
        }
        quoted.into()
    } else {
        match memchr3(b'<', b';', b'"', scan.rest()) {
            Some(at) if scan.rest()[at] == b'<' => {
                let text = trim(scan.take(at));
                if text.iter().any(|byte| is_control(*byte) || matches!(byte, b',' | b'\\' | b'>')) {
                    return Err(ParseError::bad("Display name that must be quoted"));
                }
                Text::from_utf8_lossy(text)
            }
            _ => return Ok(None),
        }
    };
    Ok(Some(display).filter(|display| !display.is_empty()))
}

fn parse_uri(text: &[u8]) -> Result<Uri, ParseError> {
    Uri::parse(std::str::from_utf8(text).map_err(|_| ParseError::bad("URI that is not UTF-8"))?)
}

impl Written for Address {
    /// Always with angle brackets; the display name quoted and escaped where it is no plain token.
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self.display.as_deref() {
            None | Some("") => {}
            Some(text) => {
                if text.bytes().all(is_token_byte) {
                    out.write_str(text)?;
                } else {
                    put_quoted(out, text)?;
                }
                out.write_str(" ")?;
            }
        }
        out.write_str("<")?;
        self.uri.put(out)?;
        out.write_str(">")?;
        self.params.put(out)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
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

impl CSeq {
    /// On the wire.
    pub fn encode(&self) -> Bytes {
        written(self)
    }

    /// The header's value (RFC 3261 §20.16).
    pub fn parse(value: &[u8]) -> Result<CSeq, ParseError> {
        let malformed = || ParseError::bad("Malformed CSeq");
        let mut scan = Scan::new(trim(value));
        let digits = number(scan.take_while(|byte| byte.is_ascii_digit())).ok_or_else(malformed)?;
        let number = u32::try_from(digits).ok().filter(|number| *number < 1 << 31);
        let number = number.ok_or_else(|| ParseError::bad("CSeq out of range"))?;
        if scan.take_while(is_space).is_empty() {
            return Err(malformed());
        }
        let method = Method::from_token(scan.token().ok_or_else(malformed)?);
        if scan.is_empty() { Ok(CSeq { number, method }) } else { Err(malformed()) }
    }
}

impl Written for CSeq {
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        put_number(out, self.number.into())?;
        out.write_str(" ")?;
        put_token(out, self.method.as_str())
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

/// RAck: which provisional response a PRACK acknowledges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the response.
    pub rseq: u32,
    /// The CSeq of the response.
    pub cseq: CSeq,
}

impl RAck {
    /// The header's value (RFC 3262 §7.2).
    pub fn parse(value: &[u8]) -> Result<RAck, ParseError> {
        let malformed = || ParseError::bad("Malformed RAck");
        let mut scan = Scan::new(trim(value));
        let digits = number(scan.take_while(|byte| byte.is_ascii_digit())).ok_or_else(malformed)?;
        let rseq = u32::try_from(digits).map_err(|_| malformed())?;
        if scan.take_while(is_space).is_empty() {
            return Err(malformed());
        }
        Ok(RAck { rseq, cseq: CSeq::parse(scan.rest()).map_err(|_| malformed())? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Writes what should be a token, and makes it one.
fn put_token(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    if is_token(text.as_bytes()) {
        return out.write_str(text);
    }
    text.bytes().try_for_each(|byte| out.write_char(if is_token_byte(byte) { byte.into() } else { '-' }))
}
