//! URIs (RFC 3261 §19.1, RFC 3966). Anything with a scheme is accepted here and kept verbatim; whether the scheme is one the switch
//! serves (416 otherwise) is asked later.

mod escape;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use compact_str::CompactString;
use memchr::memchr;

use self::escape::{escape_foreign, put_escaped};
use super::lex::{Scan, bytes_of, is_token, is_token_byte, number};
use super::message::ParseError;
pub(super) use escape::unescape;

/// The parts of an address, a user's number or a tag: nearly always so short that they are kept where they stand, without memory of their own.
pub type Text = CompactString;

/// The most parameters of one URI or one header value.
pub const MAX_PARAMS: usize = 64;
/// The longest host name (RFC 1035 §2.3.4).
const MAX_HOST: usize = 255;

/// A URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, unescaped, without a password (`tel:`: the number as written; unknown schemes: everything after the colon, verbatim).
    /// Escaped bytes that are no UTF-8 stand as U+EF80 to U+EFFF and are written as they came.
    pub user: Option<Text>,
    /// The host; `None` for `tel:` and unknown schemes.
    pub host: Option<Host>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// `;name=value`, in order.
    pub params: Params,
    /// `?name=value&…`, verbatim and without the question mark.
    pub headers: Option<Text>,
}

/// The schemes the switch distinguishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, lower case; empty for a text without a scheme, as a malformed Request-URI can be.
    Other(Text),
}

/// A host as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, lower case.
    Name(Text),
    /// An IPv4 address or an IPv6 reference.
    Ip(IpAddr),
}

/// Parameters: `;lr;transport=tcp;x="a;b"`. Names compare without regard to case and are kept in lower case; quotes (in headers) and escapes (in
/// URIs) are taken off values and put back where they are needed. `Display` writes them as header parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(Text, Option<Text>)>);

impl Params {
    /// The value of a parameter: `Some(None)` where it stands without one.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_deref())
    }

    /// The value of a parameter that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// Sets or replaces.
    pub fn set(&mut self, name: &str, value: Option<Text>) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Removes, if there.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }
}

impl Uri {
    /// `sip:user@address`.
    pub fn sip(user: Option<&str>, address: SocketAddr) -> Uri {
        Uri {
            scheme: Scheme::Sip,
            user: user.map(Text::from),
            host: Some(Host::Ip(address.ip())),
            port: Some(address.port()),
            params: Params::default(),
            headers: None,
        }
    }

    /// Parses a whole URI without angle brackets.
    pub fn parse(text: &str) -> Result<Uri, ParseError> {
        let classes = text.bytes().fold(0, |classes, byte| classes | CLASSES[usize::from(byte)]);
        if classes & FORBIDDEN != 0 {
            return Err(ParseError::bad("URI with a character it may not hold"));
        }
        if classes & FOREIGN != 0 {
            // Whatever is kept verbatim is kept as it will be written: RFC 3986 §2 knows ASCII alone.
            return Uri::parse_ascii(&escape_foreign(text));
        }
        Uri::parse_ascii(text)
    }

    fn parse_ascii(text: &str) -> Result<Uri, ParseError> {
        let (scheme, rest) = split_at(text, b':').ok_or_else(|| ParseError::bad("URI without a scheme"))?;
        if rest.is_empty() && is_scheme(scheme) {
            return Err(ParseError::bad("URI with nothing after its scheme"));
        }
        if scheme.eq_ignore_ascii_case("sip") {
            Uri::parse_sip(Scheme::Sip, rest)
        } else if !is_scheme(scheme) {
            Err(ParseError::bad("URI with a malformed scheme"))
        } else if scheme.eq_ignore_ascii_case("sips") {
            Uri::parse_sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case("tel") {
            let (number, params) = split_before(rest, |byte| byte == b';');
            let params = Params::parse_uri(params)?;
            Ok(Uri { params, ..Uri::verbatim(Scheme::Tel, number) })
        } else {
            Ok(Uri::verbatim(Scheme::Other(scheme.to_ascii_lowercase().into()), rest))
        }
    }

    /// A text that is not taken apart.
    pub(super) fn verbatim(scheme: Scheme, text: &str) -> Uri {
        Uri { scheme, user: Some(text.into()), host: None, port: None, params: Params::default(), headers: None }
    }

    /// What follows `sip:` or `sips:`.
    fn parse_sip(scheme: Scheme, rest: &str) -> Result<Uri, ParseError> {
        let (user, rest) = match split_at(rest, b'@') {
            Some((userinfo, rest)) => {
                let user = split_at(userinfo, b':').map_or(userinfo, |(user, _password)| user);
                if user.is_empty() {
                    return Err(ParseError::bad("URI with an empty user"));
                }
                (Some(unescape(user)?), rest)
            }
            None => (None, rest),
        };
        let (sent_to, rest) = split_before(rest, |byte| matches!(byte, b';' | b'?'));
        let (host, port) = host_port(sent_to)?;
        let mut uri = Uri { scheme, user, host: Some(host), port, params: Params::default(), headers: None };
        if rest.is_empty() {
            return Ok(uri);
        }
        let (params, headers) = split_before(rest, |byte| byte == b'?');
        if params.contains('@') {
            return Err(ParseError::bad("URI with two @"));
        }
        uri.params = Params::parse_uri(params)?;
        uri.headers = headers.strip_prefix('?').map(Text::from);
        Ok(uri)
    }

    /// Equality by RFC 3261 §19.1.4, for `tel:` by RFC 3966 §4; other schemes compare as text. Since `user` is unescaped, a reserved
    /// character that one URI escapes and the other does not compares as equal.
    pub fn same_as(&self, other: &Uri) -> bool {
        match (&self.scheme, &other.scheme) {
            (Scheme::Tel, Scheme::Tel) => {
                let digits = |uri: &Uri| {
                    uri.user.as_deref().map(|number| number.replace(['-', '.', '(', ')'], "").to_ascii_lowercase())
                };
                digits(self) == digits(other) && self.params.agree(&other.params, |_| true)
            }
            (ours, theirs) if ours != theirs => false,
            (Scheme::Other(_), _) => self == other,
            _ => {
                self.user == other.user
                    && self.host == other.host
                    && self.port == other.port
                    && self
                        .params
                        .agree(&other.params, |name| ["user", "ttl", "method", "maddr", "transport"].contains(&name))
                    && sorted_headers(self.headers.as_deref()) == sorted_headers(other.headers.as_deref())
            }
        }
    }
}

/// A URI's headers ready for comparison: unescaped, names in lower case, in any one order.
fn sorted_headers(headers: Option<&str>) -> Vec<(String, Cow<'_, str>)> {
    let plain = |text| unescape(text).map_or(Cow::Borrowed(text), |plain| Cow::Owned(plain.into()));
    let mut headers: Vec<_> = headers
        .into_iter()
        .flat_map(|headers| headers.split('&'))
        .map(|header| header.split_once('=').unwrap_or((header, "")))
        .map(|(name, value)| (plain(name).to_ascii_lowercase(), plain(value)))
        .collect();
    headers.sort_unstable();
    headers
}

/// Splits before the first character, an ASCII one, that separates, or at the end.
fn split_before(text: &str, separates: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(separates).unwrap_or(text.len()))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// May stand in no URI.
const FORBIDDEN: u8 = 1;
/// Not ASCII.
const FOREIGN: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            ..=b' ' | b'<' | b'>' | b'"' | 0x7f => FORBIDDEN,
            0x80.. => FOREIGN,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// What stands before and after the first of this ASCII character. (`str::split_once` costs several times as much in texts this short.)
fn split_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr(separator, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// `host[:port]`, with blanks around the colon as Via allows them.
pub(super) fn host_port(text: &str) -> Result<(Host, Option<u16>), ParseError> {
    let end_of_host = if text.starts_with('[') {
        memchr(b']', text.as_bytes()).map_or(0, |end| end + 1)
    } else {
        memchr(b':', text.as_bytes()).unwrap_or(text.len())
    };
    let (host, port) = text.split_at(end_of_host);
    let host = Host::parse(host.trim_ascii_end())?;
    let port = port.trim_ascii_start();
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port.strip_prefix(':').and_then(|port| number(port.trim_ascii_start().as_bytes()));
    match port.and_then(|port| u16::try_from(port).ok()) {
        Some(port) => Ok((host, Some(port))),
        None => Err(ParseError::bad("Malformed port")),
    }
}

impl Host {
    /// A name, an IPv4 address or an IPv6 reference.
    pub fn parse(text: &str) -> Result<Host, ParseError> {
        if let Some(reference) = text.strip_prefix('[') {
            let address = reference.strip_suffix(']').and_then(ipv6);
            return address
                .map(|address| Host::Ip(address.into()))
                .ok_or_else(|| ParseError::bad("Malformed IPv6 reference"));
        }
        if text.starts_with(|first: char| first.is_ascii_digit())
            && let Ok(address) = text.parse::<Ipv4Addr>()
        {
            return Ok(Host::Ip(address.into()));
        }
        if text.is_empty() || text.len() > MAX_HOST || !text.bytes().all(is_host_byte) {
            return Err(ParseError::bad("Malformed host"));
        }
        let mut name = Text::from(text);
        name.make_ascii_lowercase();
        Ok(Host::Name(name))
    }
}

/// An address as in an IPv6 reference. The grammar of RFC 3261 yields three colons before an embedded IPv4 address; RFC 5118 §4.10 asks
/// for them to be read as two.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| if text.contains('.') { text.replacen(":::", "::", 1).parse().ok() } else { None })
}

/// A byte of a host name; the underscore is in no grammar and in many networks.
fn is_host_byte(byte: u8) -> bool {
    static BYTES: [bool; 256] = bytes_of(b"-._");
    BYTES[usize::from(byte)]
}

/// `user-unreserved` and `unreserved` of RFC 3261 §25.1.
fn is_user_byte(byte: u8) -> bool {
    static BYTES: [bool; 256] = bytes_of(b"-_.!~*'()&=+$,;?/");
    BYTES[usize::from(byte)]
}

/// `paramchar` of RFC 3261 §25.1.
fn is_param_byte(byte: u8) -> bool {
    static BYTES: [bool; 256] = bytes_of(b"-_.!~*'()[]/:&+$");
    BYTES[usize::from(byte)]
}

/// What may stand in a text that is kept verbatim.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>\"".contains(&byte)
}

impl Params {
    /// The parameters of a URI, from the first semicolon on.
    fn parse_uri(text: &str) -> Result<Params, ParseError> {
        let mut params = Vec::new();
        if text.is_empty() {
            return Ok(Params(params));
        }
        for param in text.split(';').skip(1) {
            if params.len() == MAX_PARAMS {
                return Err(ParseError::bad("Too many URI parameters"));
            }
            let (name, value) = match split_at(param, b'=') {
                Some((name, value)) => (name, Some(unescape(value)?)),
                None => (param, None),
            };
            if name.is_empty() {
                return Err(ParseError::bad("Empty URI parameter"));
            }
            let mut name = unescape(name)?;
            name.make_ascii_lowercase();
            params.push((name, value));
        }
        Ok(Params(params))
    }

    /// The parameters of a header value, up to what is none.
    pub(super) fn parse_header(scan: &mut Scan<'_>) -> Result<Params, ParseError> {
        let mut params = Vec::new();
        while scan.eat_spaced(b';') {
            if params.len() == MAX_PARAMS {
                return Err(ParseError::bad("Too many header parameters"));
            }
            let name = scan.token().ok_or_else(|| ParseError::bad("Malformed header parameter"))?;
            let value = if !scan.eat_spaced(b'=') {
                None
            } else if scan.peek() == Some(b'"') {
                Some(scan.quoted()?.into())
            } else {
                let value = scan.take_while(is_bare_byte);
                if value.is_empty() {
                    return Err(ParseError::bad("Header parameter without its value"));
                }
                Some(Text::from_utf8_lossy(value))
            };
            let mut name = Text::from(name);
            name.make_ascii_lowercase();
            params.push((name, value));
        }
        Ok(Params(params))
    }

    /// Whether the values of parameters that both have are equal, and none that `counts` is missing in one of the two. Of parameters that stand
    /// there twice the first is meant, as everywhere.
    fn agree(&self, other: &Params, counts: impl Fn(&str) -> bool) -> bool {
        let all = |ours: &Params, theirs: &Params| {
            ours.0.iter().all(|(name, _)| match (ours.get(name), theirs.get(name)) {
                (Some(a), Some(b)) => a.unwrap_or("").eq_ignore_ascii_case(b.unwrap_or("")),
                _ => !counts(name),
            })
        };
        all(self, other) && all(other, self)
    }
}

/// A byte of a header parameter's value that stands without quotes. More than a token: addresses, and what phones write that should not.
fn is_bare_byte(byte: u8) -> bool {
    static BYTES: [bool; 256] = {
        let mut bytes = [true; 256];
        let mut byte = 0;
        while byte < bytes.len() {
            bytes[byte] = !matches!(byte as u8, 0..=b' ' | b';' | b',' | b'"' | b'<' | b'>' | b'\\' | 0x7f);
            byte += 1;
        }
        bytes
    };
    BYTES[usize::from(byte)]
}

/// Whether a parameter may be written without quotes: a token or a host (RFC 3261 §25.1, gen-value). The grammar of some knows no quotes: a peer
/// that breaks it gets back what it wrote.
fn is_bare(name: &str, value: &str) -> bool {
    let unquoted = ["branch", "expires", "maddr", "q", "received", "rport", "tag", "ttl"];
    is_token(value.as_bytes())
        || (unquoted.contains(&name)
            && !value.is_empty()
            && value.bytes().all(|byte| byte.is_ascii() && is_bare_byte(byte)))
        || value.parse::<Ipv6Addr>().is_ok()
        || (value.starts_with('[') && Host::parse(value).is_ok())
}

/// What is written on the wire. `Display` is the same; where it goes into memory, this spares each of its parts the way through a formatter.
pub(super) trait Written {
    /// Writes it.
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result;
}

/// On the wire, in a buffer that most values fit: one that grows to its size step by step costs more than the writing.
pub(super) fn written(value: &impl Written) -> Bytes {
    let mut text = String::with_capacity(160);
    // Writing to memory cannot fail.
    let _ = value.put(&mut text);
    text.into()
}

/// A number in decimal.
pub(super) fn put_number(out: &mut impl fmt::Write, mut number: u64) -> fmt::Result {
    let digit = |number: u64| char::from(b'0' + (number % 10) as u8);
    // Nearly all: the parts of addresses.
    if number < 1000 {
        if number >= 100 {
            out.write_char(digit(number / 100))?;
        }
        if number >= 10 {
            out.write_char(digit(number / 10))?;
        }
        return out.write_char(digit(number));
    }
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.write_str(std::str::from_utf8(&digits[start..]).expect("digits are ASCII"))
}

/// An address, an IPv6 one without the brackets of a URI.
pub(super) fn put_ip(out: &mut impl fmt::Write, ip: IpAddr) -> fmt::Result {
    let IpAddr::V4(address) = ip else { return write!(out, "{ip}") };
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            out.write_char('.')?;
        }
        put_number(out, octet.into())?;
    }
    Ok(())
}

/// Writes a quoted string; controls are left out.
pub(super) fn put_quoted(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for char in text.chars().filter(|char| !char.is_control() || *char == '\t') {
        if matches!(char, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(char)?;
    }
    out.write_char('"')
}

impl Written for Uri {
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let user = self.user.as_deref();
        match &self.scheme {
            Scheme::Sip => out.write_str("sip:")?,
            Scheme::Sips => out.write_str("sips:")?,
            Scheme::Tel => out.write_str("tel:")?,
            Scheme::Other(scheme) if scheme.is_empty() => {}
            Scheme::Other(scheme) => {
                put_escaped(out, scheme, is_uri_byte)?;
                out.write_str(":")?;
            }
        }
        match &self.host {
            Some(host) => {
                if let Some(user) = user {
                    put_escaped(out, user, is_user_byte)?;
                    out.write_str("@")?;
                }
                host.put(out)?;
            }
            None => put_escaped(out, user.unwrap_or(""), is_uri_byte)?,
        }
        if let Some(port) = self.port {
            out.write_str(":")?;
            put_number(out, port.into())?;
        }
        for (name, value) in &self.params.0 {
            out.write_str(";")?;
            put_escaped(out, name, is_param_byte)?;
            if let Some(value) = value {
                out.write_str("=")?;
                put_escaped(out, value, is_param_byte)?;
            }
        }
        if let Some(headers) = &self.headers {
            out.write_str("?")?;
            put_escaped(out, headers, is_uri_byte)?;
        }
        Ok(())
    }
}

impl Written for Host {
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Host::Name(name) => put_escaped(out, name, is_host_byte),
            Host::Ip(ip @ IpAddr::V4(_)) => put_ip(out, *ip),
            Host::Ip(IpAddr::V6(address)) => write!(out, "[{address}]"),
        }
    }
}

impl Written for Params {
    fn put(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for (name, value) in &self.0 {
            out.write_str(";")?;
            put_escaped(out, name, is_token_byte)?;
            match value {
                None => {}
                Some(value) if is_bare(name, value) => {
                    out.write_str("=")?;
                    out.write_str(value)?;
                }
                Some(value) => {
                    out.write_str("=")?;
                    put_quoted(out, value)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

#[cfg(test)]
mod tests;
