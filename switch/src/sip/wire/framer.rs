//! Messages out of a stream.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

use super::head::{Head, Length};
use super::{MAX_MESSAGE, Parsed};
use crate::sip::message::ParseError;

/// Cuts a stream into messages (RFC 3261 §18.3). Whoever pushes takes all frames before pushing more: then it never holds more than one
/// message and what was pushed last.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    state: State,
    pushed: u64,
}

#[derive(Debug)]
enum State {
    /// Between messages or within a head; no head ends before `searched`.
    Head { searched: usize },
    /// The head is read, and was that long; the body is that long.
    Body { head: Box<Head>, head_length: usize, length: usize },
    /// Nothing more can be read.
    Lost,
}

impl Default for State {
    fn default() -> State {
        State::Head { searched: 0 }
    }
}

/// What stands between two messages.
enum Between {
    Ping,
    /// Nothing yet, or what may become a ping.
    Nothing,
    /// The next message begins.
    Message,
}

/// What the framer found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, well formed or not.
    Parsed(Parsed),
    /// A double CRLF: answer with one CRLF (RFC 5626 §4.4.1).
    Ping,
    /// The stream can no longer be followed (no Content-Length, over a limit, no SIP): answer what can be answered, close it.
    Lost(Parsed),
}

impl Framer {
    /// Whether no message has begun that is not over: line ends between messages are none.
    pub fn is_idle(&self) -> bool {
        match self.state {
            State::Head { .. } => self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n')),
            State::Body { .. } => false,
            State::Lost => true,
        }
    }

    /// How many bytes of the stream were pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many of them are done with: what is left is the beginning of a message. A head that waits for its body is left.
    pub fn read(&self) -> u64 {
        let head = match &self.state {
            State::Body { head_length, .. } => *head_length,
            State::Head { .. } | State::Lost => 0,
        };
        self.pushed - (head + self.buffer.len()) as u64
    }

    /// Takes bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pushed += bytes.len() as u64;
        if !matches!(self.state, State::Lost) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes it keeps.
    #[cfg(test)]
    pub(in crate::sip) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        match std::mem::take(&mut self.state) {
            State::Head { searched } => self.in_head(searched),
            State::Body { head, head_length, length } => self.in_body(head, head_length, length),
            State::Lost => {
                self.state = State::Lost;
                None
            }
        }
    }

    fn in_head(&mut self, searched: usize) -> Option<Frame> {
        if searched == 0 {
            match self.skip_line_ends() {
                Between::Ping => return Some(Frame::Ping),
                Between::Nothing => return None,
                Between::Message => {}
            }
        }
        match end_of_head(&self.buffer, searched) {
            Ok(end) if end <= MAX_MESSAGE => self.read_head(end),
            Err(searched) if self.buffer.len() <= MAX_MESSAGE => {
                self.state = State::Head { searched };
                None
            }
            Ok(_) | Err(_) => {
                let (mut head, _) = Head::read(&Bytes::copy_from_slice(&self.buffer[..MAX_MESSAGE]));
                // Cut off as it is, the head ends without an empty line; that is not what is wrong with it.
                head.replace_error(too_large());
                self.lose(head)
            }
        }
    }

    /// Skips the line ends before a message (RFC 3261 §7.5), up to and with the first double CRLF, which is a ping.
    fn skip_line_ends(&mut self) -> Between {
        loop {
            match &self.buffer[..] {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.buffer.advance(4);
                    return Between::Ping;
                }
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Between::Nothing,
                [b'\r', b'\n', ..] => self.buffer.advance(2),
                [b'\n', ..] => self.buffer.advance(1),
                _ => return Between::Message,
            }
        }
    }

    /// The message gets memory of its own: what is kept of it then keeps nothing else of the stream, and the buffer is used again.
    fn take(&mut self, length: usize) -> Bytes {
        let taken = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        taken
    }

    fn read_head(&mut self, end: usize) -> Option<Frame> {
        let (mut head, _) = Head::read(&self.take(end));
        match head.length {
            // Something between two messages, or no SIP at all: what comes next would be read from the middle.
            _ if !head.is_sip => {
                head.fail(ParseError::bad("Neither request nor response"));
                self.lose(head)
            }
            Length::Bytes(length) if length <= MAX_MESSAGE - end => self.in_body(Box::new(head), end, length),
            Length::Bytes(_) => {
                head.replace_error(too_large());
                self.lose(head)
            }
            Length::Absent => {
                head.fail(ParseError::bad("Missing Content-Length"));
                self.lose(head)
            }
            Length::Malformed => self.lose(head),
        }
    }

    fn in_body(&mut self, head: Box<Head>, head_length: usize, length: usize) -> Option<Frame> {
        if self.buffer.len() < length {
            self.state = State::Body { head, head_length, length };
            return None;
        }
        let body = self.take(length);
        Some(Frame::Parsed(head.finish(body)))
    }

    fn lose(&mut self, head: Head) -> Option<Frame> {
        self.state = State::Lost;
        self.buffer = BytesMut::new();
        Some(Frame::Lost(head.finish(Bytes::new())))
    }
}

fn too_large() -> ParseError {
    ParseError::too_large("Message over 65535 bytes")
}

/// Where the head ends, after its empty line; or how far the search came: no line end before that need be looked at again.
fn end_of_head(text: &[u8], mut at: usize) -> Result<usize, usize> {
    while let Some(length) = memchr(b'\n', &text[at..]) {
        let end_of_line = at + length;
        match &text[end_of_line + 1..] {
            [b'\n', ..] => return Ok(end_of_line + 2),
            [b'\r', b'\n', ..] => return Ok(end_of_line + 3),
            [] | [b'\r'] => return Err(end_of_line),
            _ => at = end_of_line + 1,
        }
    }
    Err(text.len())
}
