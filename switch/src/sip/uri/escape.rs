//! `%HH` (RFC 3261 §19.1.2). What is unescaped is text, though escapes can spell any bytes: a byte that is no UTF-8 becomes a stand-in
//! character and is written as the same byte again.

use std::fmt;

use super::super::message::ParseError;
use super::Text;

/// U+EF80 to U+EFFF stand for the bytes 80 to FF.
const STAND_IN: u32 = 0xef00;

fn stand_in(byte: u8) -> char {
    char::from_u32(STAND_IN + u32::from(byte)).expect("U+EF00 to U+EFFF are characters")
}

/// The byte a character stands in for.
fn stood_for(char: char) -> Option<u8> {
    u8::try_from(u32::from(char).wrapping_sub(STAND_IN)).ok().filter(|byte| *byte >= 0x80)
}

/// Takes the escapes off.
pub(in crate::sip) fn unescape(text: &str) -> Result<Text, ParseError> {
    if text.bytes().all(|byte| byte.is_ascii() && byte != b'%') {
        return Ok(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(ParseError::bad("URI with a malformed escape")),
            },
            plain => plain,
        });
    }
    let mut unescaped = Text::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            // A stand-in that was itself sent: taken byte by byte, so that no two spellings become one.
            match stood_for(char) {
                Some(_) => unescaped.extend(char.encode_utf8(&mut [0; 4]).bytes().map(stand_in)),
                None => unescaped.push(char),
            }
        }
        unescaped.extend(chunk.invalid().iter().copied().map(stand_in));
    }
    Ok(unescaped)
}

/// Escapes what is not ASCII.
pub(super) fn escape_foreign(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            0x80.. => escaped.push_str(&format!("%{byte:02X}")),
            ascii => escaped.push(ascii.into()),
        }
    }
    escaped
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Writes `text` with all bytes escaped but those `plain` allows, which are ASCII.
pub(super) fn put_escaped(out: &mut impl fmt::Write, text: &str, plain: impl Fn(u8) -> bool) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !plain(byte)) {
        let (before, from) = rest.split_at(at);
        out.write_str(before)?;
        let char = from.chars().next().expect("a byte was found here, and plain bytes are whole characters");
        match stood_for(char) {
            Some(byte) => write!(out, "%{byte:02X}")?,
            None => char.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(out, "%{byte:02X}"))?,
        }
        rest = &from[char.len_utf8()..];
    }
    out.write_str(rest)
}
