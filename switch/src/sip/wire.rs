//! Bytes to messages. Limits: a message at most [`MAX_MESSAGE`] bytes, [`MAX_HEADERS`] header lines, a line at most [`MAX_LINE`].

use bytes::{Bytes, BytesMut};

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
    /// A request that is not well formed, but enough of it was read to answer it: what could be read, and why not.
    Answerable(Box<super::message::Request>, ParseError),
    /// A keep-alive: CRLFs (RFC 5626 §4.4.1).
    KeepAlive,
    /// Neither can be answered.
    Unusable(ParseError),
}

/// Reads one datagram: with Content-Length, the body is that long and what follows is ignored; shorter is a 400 (RFC 3261 §18.3).
pub fn parse_datagram(datagram: &Bytes) -> Parsed {
    todo!("{datagram:?}")
}

/// Cuts a stream into messages (RFC 3261 §18.3).
#[derive(Debug, Default)]
pub struct Framer {
    _buffer: BytesMut,
}

/// What the framer found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, well formed or not.
    Parsed(Parsed),
    /// A double CRLF: answer with one CRLF (RFC 5626 §4.4.1).
    Ping,
    /// The stream can no longer be followed (no Content-Length, over a limit): answer what can be answered, close it.
    Lost(Parsed),
}

impl Framer {
    /// Takes bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// The next frame, `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        todo!()
    }
}
