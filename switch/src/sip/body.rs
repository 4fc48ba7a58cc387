//! What a message carries: of one body or of several (RFC 2046 §5.1, RFC 5621) the session description, or why the body cannot be taken
//! (RFC 3261 §8.2.3).

use bytes::Bytes;
use memchr::memmem;

use super::header::{Headers, Name};
use super::lex::{Scan, trim};
use super::message::{Request, Response, Status};

/// What the switch reads: what is said in Accept.
pub const ACCEPT: &str = "application/sdp, multipart/mixed, multipart/alternative";
/// Parts of one multipart body that are looked at.
const MAX_PARTS: usize = 16;
/// How deep one multipart body may stand in another.
const MAX_DEPTH: usize = 4;

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// 415: the sender wants it understood, and its type, or its coding, is not known here.
    Unsupported,
    /// 415: it is compressed or otherwise coded.
    Encoded,
    /// 400: a multipart body without its boundary, or with too many parts.
    Malformed,
}

impl BodyError {
    /// The answer to a request with such a body (RFC 3261 §8.2.3, §21.4.13).
    pub fn response(self, request: &Request) -> Response {
        match self {
            BodyError::Unsupported => request.response(Status(415)).with(Name::Accept, ACCEPT),
            BodyError::Encoded => request.response(Status(415)).with(Name::AcceptEncoding, "identity"),
            BodyError::Malformed => {
                let mut response = request.response(Status(400));
                "Malformed multipart body".clone_into(&mut response.reason);
                response
            }
        }
    }
}

/// The session description among what a message carries; `None` where there is none.
///
/// What is neither a session description nor said to need understanding (`handling=required`) is passed over. A whole body of an unknown type
/// must be said to be optional, though (RFC 3261 §20.11).
pub fn session_description(headers: &Headers, body: &Bytes) -> Result<Option<Bytes>, BodyError> {
    if trim(body).is_empty() {
        return Ok(None);
    }
    let content_type = headers.get(&Name::ContentType).unwrap_or_default();
    let disposition = headers.get(&Name::ContentDisposition).unwrap_or_default();
    let encoding = trim(headers.get(&Name::ContentEncoding).unwrap_or_default());
    let part = Part { content_type, disposition, encoding, content: body };
    match part.find(body, 0)? {
        Found::Description(description) => Ok(Some(description)),
        Found::Nothing => Ok(None),
        Found::Unknown if part.handling() == Some(Handling::Optional) => Ok(None),
        Found::Unknown => Err(BodyError::Unsupported),
    }
}

/// The value of Content-Type without its parameters is this type.
pub fn is_type(headers: &Headers, wanted: &str) -> bool {
    headers.get(&Name::ContentType).is_some_and(|value| media_type(value).eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Whether who sent this would read a session description in the answer (RFC 3261 §20.1: no Accept means yes).
pub fn accepts_descriptions(headers: &Headers) -> bool {
    let mut accepted = headers.values(&Name::Accept).peekable();
    let wanted: [&[u8]; 3] = [b"application/sdp", b"application/*", b"*/*"];
    accepted.peek().is_none() || accepted.any(|value| wanted.iter().any(|t| media_type(value).eq_ignore_ascii_case(t)))
}

enum Found {
    Description(Bytes),
    /// Nothing that is for the switch, and nothing that it must understand.
    Nothing,
    /// A type that is not known here.
    Unknown,
}

#[derive(PartialEq, Eq)]
enum Handling {
    Optional,
    Required,
}

struct Part<'a> {
    content_type: &'a [u8],
    disposition: &'a [u8],
    encoding: &'a [u8],
    content: &'a [u8],
}

impl Part<'_> {
    fn find(&self, body: &Bytes, depth: usize) -> Result<Found, BodyError> {
        let media_type = media_type(self.content_type);
        if media_type.eq_ignore_ascii_case(b"application/sdp") {
            return match self.encoding.is_empty() || self.encoding.eq_ignore_ascii_case(b"identity") {
                true => Ok(Found::Description(body.slice_ref(self.content))),
                false => Err(BodyError::Encoded),
            };
        }
        match media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
            true => self.find_among_parts(body, depth),
            false => Ok(Found::Unknown),
        }
    }

    fn find_among_parts(&self, body: &Bytes, depth: usize) -> Result<Found, BodyError> {
        let boundary = parameter(self.content_type, "boundary").filter(|boundary| !boundary.is_empty());
        let boundary = boundary.filter(|_| depth < MAX_DEPTH).ok_or(BodyError::Malformed)?;
        let mut description = None;
        for part in parts(self.content, &boundary)? {
            match part.find(body, depth + 1)? {
                Found::Description(found) => description = description.or(Some(found)),
                Found::Nothing => {}
                Found::Unknown if part.handling() == Some(Handling::Required) => return Err(BodyError::Unsupported),
                Found::Unknown => {}
            }
        }
        Ok(description.map_or(Found::Nothing, Found::Description))
    }

    fn handling(&self) -> Option<Handling> {
        let handling = parameter(self.disposition, "handling")?;
        match () {
            () if handling.eq_ignore_ascii_case("required") => Some(Handling::Required),
            () if handling.eq_ignore_ascii_case("optional") => Some(Handling::Optional),
            () => None,
        }
    }
}

/// The parts between the boundaries; the last may be without its closing one.
fn parts<'a>(content: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, BodyError> {
    let delimiter = format!("--{boundary}");
    let starts_line = |at: usize| at == 0 || content[at - 1] == b'\n';
    let mut marks: Vec<usize> =
        memmem::find_iter(content, delimiter.as_bytes()).filter(|at| starts_line(*at)).collect();
    if marks.is_empty() || marks.len() > MAX_PARTS + 1 {
        return Err(BodyError::Malformed);
    }
    marks.push(content.len());
    let between =
        marks.windows(2).map(|pair| &content[pair[0] + delimiter.len()..pair[1].max(pair[0] + delimiter.len())]);
    Ok(between.take_while(|part| !part.starts_with(b"--")).filter_map(part).collect())
}

/// A part after its boundary: the rest of that line, its headers, an empty line, what it carries.
fn part(text: &[u8]) -> Option<Part<'_>> {
    let mut rest = after_line(text)?;
    let mut part = Part { content_type: b"text/plain", disposition: b"", encoding: b"", content: b"" };
    loop {
        let line = &rest[..memchr::memchr(b'\n', rest)?];
        rest = after_line(rest)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (trim(&line[..colon]), trim(&line[colon + 1..]));
        if name.eq_ignore_ascii_case(b"Content-Type") {
            part.content_type = value;
        } else if name.eq_ignore_ascii_case(b"Content-Disposition") {
            part.disposition = value;
        } else if name.eq_ignore_ascii_case(b"Content-Encoding") {
            part.encoding = value;
        }
    }
    // The line end before the next boundary belongs to the boundary.
    let content = rest.strip_suffix(b"\n").unwrap_or(rest);
    part.content = content.strip_suffix(b"\r").unwrap_or(content);
    Some(part)
}

fn after_line(text: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'\n', text).map(|end| &text[end + 1..])
}

fn media_type(value: &[u8]) -> &[u8] {
    trim(value.split(|byte| *byte == b';').next().unwrap_or_default())
}

/// A parameter of a header value, unquoted.
fn parameter(value: &[u8], wanted: &str) -> Option<String> {
    let mut scan = Scan::new(value);
    scan.take_while(|byte| byte != b';');
    while scan.eat_spaced(b';') {
        let name = scan.token()?;
        if !scan.eat_spaced(b'=') {
            continue;
        }
        let text = match scan.peek() {
            Some(b'"') => scan.quoted().ok()?,
            _ => String::from_utf8_lossy(trim(scan.take_while(|byte| byte != b';'))).into_owned(),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(Name, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.clone(), (*value).to_owned());
        }
        headers
    }

    fn found(content_type: &str, body: &str) -> Result<Option<Bytes>, BodyError> {
        session_description(&headers(&[(Name::ContentType, content_type)]), &Bytes::from(body.to_owned()))
    }

    const MIXED: &str = "preamble\r\n--b\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n\
        --b\r\ncontent-type: APPLICATION/SDP ;x=y\r\nContent-Disposition: session\r\n\r\nv=0\r\nm=audio\r\n--b--\r\n";

    #[test]
    fn a_description_is_found_alone_and_among_other_parts() {
        assert_eq!(found("application/sdp", "v=0\r\n"), Ok(Some(Bytes::from("v=0\r\n"))));
        assert_eq!(found("multipart/mixed;boundary=b", MIXED), Ok(Some(Bytes::from("v=0\r\nm=audio"))));
        assert_eq!(found("Multipart/Alternative; boundary=\"b\"", MIXED), Ok(Some(Bytes::from("v=0\r\nm=audio"))));
        assert_eq!(found("application/sdp", ""), Ok(None));
    }

    #[test]
    fn a_multipart_body_may_stand_in_another_but_not_without_end() {
        let nested = format!("--o\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n{MIXED}\r\n--o--\r\n");
        assert_eq!(found("multipart/mixed;boundary=o", &nested), Ok(Some(Bytes::from("v=0\r\nm=audio"))));
        let mut deep = MIXED.to_owned();
        for depth in 0..MAX_DEPTH {
            let inner = if depth == 0 { "b".to_owned() } else { format!("n{}", depth - 1) };
            deep = format!(
                "--n{depth}\r\nContent-Type: multipart/mixed;boundary={inner}\r\n\r\n{deep}\r\n--n{depth}--\r\n"
            );
        }
        let outer = format!("multipart/mixed;boundary=n{}", MAX_DEPTH - 1);
        assert_eq!(found(&outer, &deep), Err(BodyError::Malformed));
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused_and_what_need_not_be_is_passed_over() {
        assert_eq!(found("text/plain", "hello"), Err(BodyError::Unsupported));
        let optional = [(Name::ContentType, "text/plain"), (Name::ContentDisposition, "render; handling=optional")];
        assert_eq!(session_description(&headers(&optional), &Bytes::from("hello")), Ok(None));
        let required = MIXED.replace("pidf+xml\r\n", "pidf+xml\r\nContent-Disposition: x;handling=required\r\n");
        assert_eq!(found("multipart/mixed;boundary=b", &required), Err(BodyError::Unsupported));
        let gzip = [(Name::ContentType, "application/sdp"), (Name::ContentEncoding, "gzip")];
        assert_eq!(session_description(&headers(&gzip), &Bytes::from("v=0")), Err(BodyError::Encoded));
    }

    #[test]
    fn a_multipart_body_without_its_boundary_is_malformed() {
        for (content_type, body) in [
            ("multipart/mixed", MIXED),
            ("multipart/mixed;boundary=\"\"", MIXED),
            ("multipart/mixed;boundary=c", MIXED),
            ("multipart/mixed;boundary=b", "--b"),
        ] {
            let found = found(content_type, body);
            assert!(matches!(found, Err(BodyError::Malformed) | Ok(None)), "{content_type}: {found:?}");
        }
        assert_eq!(found("multipart/mixed;boundary=b", &"--b\r\n\r\nx\r\n".repeat(100)), Err(BodyError::Malformed));
    }

    #[test]
    fn accept_names_what_may_be_in_the_answer() {
        assert!(accepts_descriptions(&headers(&[])));
        assert!(accepts_descriptions(&headers(&[(Name::Accept, "text/plain, application/*;q=0.5")])));
        assert!(!accepts_descriptions(&headers(&[(Name::Accept, "text/plain")])));
    }
}
