//! The lexical rules of RFC 3261 §25.1 that header values and credentials share. Folding is undone before anything here is asked.

use memchr::{memchr, memchr3};

use super::message::ParseError;

/// A byte of a token (RFC 3261 §25.1).
pub(super) fn is_token_byte(byte: u8) -> bool {
    static BYTES: [bool; 256] = bytes_of(b"-.!%*_+`'~");
    BYTES[usize::from(byte)]
}

/// Letters, digits and these: a table, since every byte of a message is looked up in one of them, more than once.
pub(super) const fn bytes_of(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// A whole, non-empty token.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// Blank within a line.
pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Bytes that may never be written in a header: they end lines, or strings in programs less careful.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Without the blanks at both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// `1*DIGIT`, held at `u64::MAX` where it is larger.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// Reads a value from left to right.
#[derive(Clone, Debug)]
pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Scan<'a> {
        Scan { rest: text }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads `byte` if it comes next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.rest = &self.rest[1..];
        }
        next
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    /// Reads `byte` with the blanks around it: SLASH, EQUAL, COLON … of the grammar.
    pub(super) fn eat_spaced(&mut self, byte: u8) -> bool {
        let before = self.rest;
        self.skip_space();
        if !self.eat(byte) {
            self.rest = before;
            return false;
        }
        self.skip_space();
        true
    }

    pub(super) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// A token; `None` where none begins here.
    pub(super) fn token(&mut self) -> Option<&'a str> {
        let token = self.take_while(is_token_byte);
        if token.is_empty() { None } else { std::str::from_utf8(token).ok() }
    }

    /// A quoted string, its quotes and backslashes taken off, bad UTF-8 replaced.
    pub(super) fn quoted(&mut self) -> Result<String, ParseError> {
        let length = quoted_length(self.rest).ok_or_else(|| ParseError::bad("Quoted string without its end"))?;
        let quoted = self.take(length);
        let inner = &quoted[1..quoted.len() - 1];
        let mut text = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(byte) = bytes.next() {
            text.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
        }
        Ok(String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
    }
}

/// How long the quoted string is that `text` begins with, quotes included.
fn quoted_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The values of a comma-separated list, trimmed; commas within quotes and angle brackets separate nothing, and where nothing stands
/// between two commas there is no value.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    pub(super) fn new(text: &'a [u8]) -> Values<'a> {
        Values { rest: text }
    }

    /// What follows the values taken so far.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = separator(self.rest);
            let value = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// Where the first comma stands that separates values, or the end.
fn separator(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr3(b',', b'"', b'<', &text[at..]) {
        at += found;
        let skipped = match text[at] {
            b',' => return at,
            b'"' => quoted_length(&text[at..]),
            _ => memchr(b'>', &text[at..]),
        };
        match skipped {
            Some(length) => at += length,
            None => break,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        Values::new(text.as_bytes()).map(|value| std::str::from_utf8(value).unwrap()).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_separate_nothing() {
        assert_eq!(
            values(r#" "a,\",b" <sip:x,y@h> , <sip:z>;t="," ,c"#),
            [r#""a,\",b" <sip:x,y@h>"#, r#"<sip:z>;t=",""#, "c"]
        );
    }

    #[test]
    fn empty_values_are_left_out() {
        assert_eq!(values(" , a,, b ,"), ["a", "b"]);
        assert_eq!(values(",,,,"), [""; 0]);
        assert_eq!(values(""), [""; 0]);
    }

    #[test]
    fn what_is_opened_and_not_closed_takes_the_rest() {
        assert_eq!(values("a,\"b,c"), ["a", "\"b,c"]);
        assert_eq!(values("a,<b,c"), ["a", "<b,c"]);
        assert_eq!(values("\"a\\"), ["\"a\\"]);
    }

    #[test]
    fn a_quoted_string_loses_its_escapes() {
        let mut scan = Scan::new(br#""a\"b\\" rest"#);
        assert_eq!(scan.quoted().unwrap(), r#"a"b\"#);
        assert_eq!(scan.rest(), b" rest");
        assert!(Scan::new(br#""a\""#).quoted().is_err());
    }

    #[test]
    fn numbers_are_digits_and_saturate() {
        assert_eq!(number(b"0009"), Some(9));
        assert_eq!(number(b"99999999999999999999999"), Some(u64::MAX));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
    }
}
