//! Bytes to messages. Limits: a message at most [`MAX_MESSAGE`] bytes, [`MAX_HEADERS`] header lines, a line at most [`MAX_LINE`].
//!
//! Read here, once and for good: the start line, the lines of the headers, the length of the body, and the headers without which there is
//! neither transaction nor dialog (RFC 3261 §8.1.1). Whatever else a header says is read when somebody asks for it.

mod framer;
mod glance;
mod head;

use bytes::Bytes;

pub use self::framer::{Frame, Framer};
pub use self::glance::Glance;
use self::head::{Head, Length};
use super::message::{Message, ParseError};

/// The largest message taken, body included.
pub const MAX_MESSAGE: usize = 65_535;
/// The most header lines.
pub const MAX_HEADERS: usize = 256;
/// The longest unfolded header value or start line.
pub const MAX_LINE: usize = 16_384;

/// What a datagram or a cut-out frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A message.
    Message(Message),
    /// A request that is not well formed, but enough of it was read to answer it: what could be read, and why not. Its top Via says where
    /// it was sent from and it is no ACK; any other header may be missing or malformed.
    Answerable(Box<super::message::Request>, ParseError),
    /// A keep-alive: CRLFs (RFC 5626 §4.4.1).
    KeepAlive,
    /// Neither can be answered.
    Unusable(ParseError),
}

/// Reads one datagram: with Content-Length, the body is that long and what follows is ignored; shorter is a 400 (RFC 3261 §18.3).
pub fn parse_datagram(datagram: &Bytes) -> Parsed {
    let Some(start) = datagram.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
        return Parsed::KeepAlive;
    };
    let (mut head, end) = Head::read(&datagram.slice(start..));
    if datagram.len() > MAX_MESSAGE {
        head.fail(ParseError::too_large("Message over 65535 bytes"));
    }
    let body = datagram.slice(start + end..);
    let body = match head.length {
        Length::Absent => body,
        Length::Bytes(length) if length <= body.len() => body.slice(..length),
        Length::Bytes(_) => {
            head.fail(ParseError::bad("Body shorter than Content-Length"));
            Bytes::new()
        }
        Length::Malformed => Bytes::new(),
    };
    head.finish(body)
}

#[cfg(test)]
mod tests;
