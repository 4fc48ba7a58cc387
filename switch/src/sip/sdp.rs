//! Offer and answer (RFC 3264, RFC 8866). One audio stream; other m= lines are refused with port 0.
//!
//! The switch speaks for itself to each telephone: addresses, ports, `o=` and payload types of what it writes are its own; the codecs are the other
//! telephone's, in that one's order.
//!
//! [`parse`] reads what a telephone wrote, [`Session`] writes the switch's own side. Which telephone hears which is the call's business, not decided here.

mod read;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use media::{Codec, PayloadMap};

pub use read::parse;
pub use session::Session;

/// Most m= lines a session description may have.
pub const MAX_MEDIA_LINES: usize = 16;
/// Most formats an m= line may have.
pub const MAX_FORMATS: usize = 64;

/// What one side's session description says of its audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Where it wants RTP; `None` for port 0 (refused) or an unspecified address (old hold).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP: `a=rtcp` (RFC 3605), or the next port.
    pub rtcp: Option<SocketAddr>,
    /// What it wants, from its own side. The old hold (`c=0.0.0.0`, RFC 3264 §8.4) reads as the direction it stands for: one that does not listen.
    pub direction: Direction,
    /// Codecs known to the media plane with the payload types it will *receive* them under, in its order; a telephone-event for each rate.
    pub payloads: PayloadMap,
    /// `a=fmtp` of Opus, G.722 or telephone-event, verbatim, to be passed on. By codec: the payload type may be another one on the other side.
    pub fmtp: Vec<(Codec, String)>,
    /// a=ptime in ms, if written.
    pub ptime: Option<u16>,
    /// a=rtcp-mux was written. Not used yet: never answered with it.
    pub rtcp_mux: bool,
}

/// sendrecv, sendonly, recvonly, inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The describing side only speaks.
    SendOnly,
    /// The describing side only listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The same seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            both => both,
        }
    }

    /// Whether the describing side speaks.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether it listens.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// A session description as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The first usable audio stream: RTP/AVP or RTP/AVPF, with a voice codec the media plane knows, port not 0; or else the first one with port 0.
    pub audio: Option<Audio>,
    /// Every m= line in order, so that an answer can have as many: media, port, protocol, formats as written, and whether it is the audio above.
    pub lines: Vec<MediaLine>,
}

impl Description {
    /// Whether the audio stream is there only to be refused or taken away: its port is 0 (RFC 3264 §6, §8.2).
    pub fn is_refused(&self) -> bool {
        self.lines.iter().any(|line| line.chosen && line.port == 0)
    }
}

/// One m= line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLine {
    /// `audio`, `video` …
    pub media: String,
    /// As written; 0 refuses the stream or takes it away.
    pub port: u16,
    /// `RTP/AVP` …
    pub protocol: String,
    /// The formats, verbatim.
    pub formats: String,
    /// This line is [`Description::audio`].
    pub chosen: bool,
}

/// Why a body is not a usable session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// Not SDP: 400.
    Malformed(String),
    /// SDP without an audio stream the switch can carry, or no codec in common: 488.
    NotAcceptable(String),
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SdpError::Malformed(why) => write!(f, "not a session description: {why}"),
            SdpError::NotAcceptable(why) => write!(f, "no acceptable audio stream: {why}"),
        }
    }
}

impl std::error::Error for SdpError {}

/// The payload type that RFC 3551 §6 fixes for a codec.
fn static_payload_type(codec: Codec) -> Option<u8> {
    match codec {
        Codec::Pcmu => Some(0),
        Codec::Pcma => Some(8),
        Codec::G722 => Some(9),
        Codec::Opus | Codec::TelephoneEvent { .. } => None,
    }
}
