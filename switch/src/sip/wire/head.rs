//! The head of a message: start line and header fields, up to the empty line.
//!
//! Reading goes on after the first error, so that as much as possible is known of what is to be answered.

use bytes::Bytes;
use memchr::memchr;

use super::super::header::{Headers, Name};
use super::super::lex::{is_space, is_token, number, trim};
use super::super::message::{Message, Method, ParseError, Request, Response, Status};
use super::super::uri::{Scheme, Text, Uri};
use super::{MAX_HEADERS, MAX_LINE, Parsed};

/// A head, well formed or not.
#[derive(Debug)]
pub(super) struct Head {
    start: Start,
    headers: Headers,
    /// What Content-Length says.
    pub(super) length: Length,
    /// Whether the start line names SIP, of whatever version.
    pub(super) is_sip: bool,
    error: Option<ParseError>,
}

/// The start line.
#[derive(Debug)]
enum Start {
    Request(Method, Uri),
    Response(Status, String),
    Neither,
}

/// Content-Length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Absent,
    Bytes(usize),
    /// No number, or two that differ.
    Malformed,
}

impl Head {
    /// Reads a head from the front of `message` and tells where it ends.
    pub(super) fn read(message: &Bytes) -> (Head, usize) {
        let mut head = Head {
            start: Start::Neither,
            headers: Headers::with_capacity(24),
            length: Length::Absent,
            is_sip: false,
            error: None,
        };
        let mut lines = Lines { text: message, at: 0 };
        if let Some(line) = lines.next() {
            head.start = head.start_line(line);
            head.is_sip = names_sip(line);
        }
        loop {
            let Some(line) = lines.next() else {
                head.fail(ParseError::bad("Headers without an empty line after them"));
                break;
            };
            if line.is_empty() {
                break;
            }
            if let Err(error) = head.field(message, line, &mut lines) {
                head.fail(error);
            }
        }
        (head, lines.at)
    }

    /// Keeps the first error.
    pub(super) fn fail(&mut self, error: ParseError) {
        self.error.get_or_insert(error);
    }

    /// Sets what weighs more than any error before.
    pub(super) fn replace_error(&mut self, error: ParseError) {
        self.error = Some(error);
    }

    fn start_line(&mut self, line: &[u8]) -> Start {
        if line.len() > MAX_LINE {
            self.fail(ParseError::too_large("Start line too long"));
        }
        let is_response = line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
        let (start, error) = if is_response { status_line(line) } else { request_line(line) };
        if let Some(error) = error {
            self.fail(error);
        }
        start
    }

    /// One field: a line, which is not empty, and those that continue it (RFC 3261 §7.3.1).
    fn field(&mut self, message: &Bytes, line: &[u8], lines: &mut Lines<'_>) -> Result<(), ParseError> {
        if is_space(line[0]) {
            return Err(ParseError::bad("Continuation of no header"));
        }
        let mut folded = None;
        let mut too_long = line.len() > MAX_LINE;
        while let Some(more) = lines.continuation().map(trim) {
            let folded = folded.get_or_insert_with(|| trim(line).to_vec());
            too_long |= folded.len() + more.len() > MAX_LINE;
            if !too_long && !more.is_empty() {
                folded.push(b' ');
                folded.extend_from_slice(more);
            }
        }
        if too_long {
            return Err(ParseError::too_large("Header line too long"));
        }
        match folded {
            Some(folded) => {
                let folded = Bytes::from(folded);
                self.add(&folded, &folded)
            }
            None => self.add(message, line),
        }
    }

    /// Adds the field that is on `line`, a part of `memory`.
    fn add(&mut self, memory: &Bytes, line: &[u8]) -> Result<(), ParseError> {
        let colon = memchr(b':', line).ok_or_else(|| ParseError::bad("Header line without a colon"))?;
        let name = trim(&line[..colon]);
        if !is_token(name) {
            return Err(ParseError::bad("Malformed header name"));
        }
        let name = Name::from_token(name);
        if memchr(b'\r', line).is_some() {
            return Err(ParseError::bad("Carriage return within a header line"));
        }
        let value = trim(&line[colon + 1..]);
        if name == Name::ContentLength {
            return self.content_length(value);
        }
        if self.headers.len() == MAX_HEADERS {
            return Err(ParseError::too_large("Too many header fields"));
        }
        self.headers.push(name, memory.slice_ref(value));
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), ParseError> {
        let length = number(value).map(|length| Length::Bytes(usize::try_from(length).unwrap_or(usize::MAX)));
        let (length, error) = match (length, self.length) {
            (Some(length), Length::Absent) => (length, None),
            (Some(length), before) if length == before => (length, None),
            (Some(_), _) => (Length::Malformed, Some("More than one Content-Length")),
            (None, _) => (Length::Malformed, Some("Malformed Content-Length")),
        };
        self.length = length;
        error.map_or(Ok(()), |text| Err(ParseError::bad(text)))
    }

    /// The message, once its body is there.
    pub(super) fn finish(mut self, body: Bytes) -> Parsed {
        let method = match &self.start {
            Start::Request(method, _) => Some(method),
            _ => None,
        };
        let error = self.error.take().or_else(|| check(&self.headers, method).err());
        let headers = self.headers;
        match (self.start, error) {
            (Start::Request(method, uri), None) => {
                Parsed::Message(Message::Request(Request { method, uri, headers, body }))
            }
            (Start::Response(status, reason), None) => {
                Parsed::Message(Message::Response(Response { status, reason, headers, body }))
            }
            (Start::Request(method, uri), Some(error)) if method != Method::Ack && headers.reply_via().is_ok() => {
                Parsed::Answerable(Box::new(Request { method, uri, headers, body }), error)
            }
            (_, Some(error)) => Parsed::Unusable(error),
            (Start::Neither, None) => Parsed::Unusable(ParseError::bad("Neither request nor response")),
        }
    }
}

/// The headers every message must have, once and well formed (RFC 3261 §8.1.1).
fn check(headers: &Headers, method: Option<&Method>) -> Result<(), ParseError> {
    headers.via()?;
    headers.call_id()?;
    let cseq = headers.cseq()?;
    if method.is_some() {
        headers.from()?;
        headers.to()?;
    } else {
        // They are the request's, which is known by the branch; what makes a dialog is read for it.
        headers.required(&Name::From)?;
        headers.required(&Name::To)?;
    }
    if method.is_some_and(|method| *method != cseq.method) {
        return Err(ParseError::bad("CSeq with another method than the request's"));
    }
    Ok(())
}

/// `Method SP Request-URI SP SIP-Version`, single spaces (RFC 3261 §7.1). What is wrong comes with what can be answered nevertheless.
fn request_line(line: &[u8]) -> (Start, Option<ParseError>) {
    let malformed = || ParseError::bad("Malformed request line");
    let Ok(line) = std::str::from_utf8(line) else { return (Start::Neither, Some(malformed())) };
    let (method, rest) = line.split_once(' ').unwrap_or((line, ""));
    if !is_token(method.as_bytes()) {
        return (Start::Neither, Some(malformed()));
    }
    let method = Method::from_token(method);
    let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let error = match (read_version(version), Uri::parse(target)) {
        (Version::Other, _) => ParseError::version(),
        (Version::Malformed, _) => malformed(),
        (Version::Ours, Err(error)) => error,
        (Version::Ours, Ok(Uri { headers: Some(_), .. })) => ParseError::bad("Request-URI with headers"), // RFC 3261 §19.1.1
        (Version::Ours, Ok(uri)) => return (Start::Request(method, uri), None),
    };
    (Start::Request(method, Uri::verbatim(Scheme::Other(Text::default()), target)), Some(error))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase` (RFC 3261 §7.2).
fn status_line(line: &[u8]) -> (Start, Option<ParseError>) {
    let text = String::from_utf8_lossy(line);
    let (version, rest) = text.split_once(' ').unwrap_or((&text, ""));
    // The space before an empty phrase is often forgotten.
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = Some(code).filter(|code| code.len() == 3).and_then(|code| number(code.as_bytes()));
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (100..700).contains(code)).map(Status);
    match (read_version(version), status) {
        (Version::Other, _) => (Start::Neither, Some(ParseError::version())),
        (Version::Ours, Some(status)) if !reason.contains('\r') => (Start::Response(status, reason.to_owned()), None),
        _ => (Start::Neither, Some(ParseError::bad("Malformed status line"))),
    }
}

/// Whether a start line is one of SIP, however malformed: its first word or its last names it.
fn names_sip(line: &[u8]) -> bool {
    let is_version = |word: &[u8]| word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    is_version(line) || trim(line).rsplit(|byte| is_space(*byte)).next().is_some_and(is_version)
}

enum Version {
    Ours,
    Other,
    Malformed,
}

/// `SIP/2.0`, in any case (RFC 3261 §7.1).
fn read_version(text: &str) -> Version {
    if text.eq_ignore_ascii_case("SIP/2.0") {
        return Version::Ours;
    }
    let numbers =
        text.get(..4).filter(|start| start.eq_ignore_ascii_case("SIP/")).and_then(|_| text[4..].split_once('.'));
    match numbers {
        Some((major, minor)) if number(major.as_bytes()).is_some() && number(minor.as_bytes()).is_some() => {
            Version::Other
        }
        _ => Version::Malformed,
    }
}

/// Lines end with LF or CRLF; CR alone ends nothing.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end; `None` where none ends any more.
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.text[self.at..];
        let end = memchr(b'\n', rest)?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next line, if it continues the one before it.
    fn continuation(&mut self) -> Option<&'a [u8]> {
        if self.text.get(self.at).copied().is_some_and(is_space) { self.next() } else { None }
    }
}
