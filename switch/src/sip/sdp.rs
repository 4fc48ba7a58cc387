//! Offer and answer (RFC 3264, RFC 8866) over `sdp-types`. One audio stream; other m= lines are refused with port 0.
//!
//! The switch speaks for itself to each telephone: addresses, ports, `o=` and payload types of what it writes are its own; the codecs are the other
//! telephone's, in that one's order.

use std::net::{IpAddr, SocketAddr};

use media::{Codec, PayloadMap};

/// What one side's session description says of its audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Where it wants RTP; `None` for port 0 (refused) or an unspecified address (old hold).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP: `a=rtcp` (RFC 3605), or the next port.
    pub rtcp: Option<SocketAddr>,
    /// What it wants, from its own side.
    pub direction: Direction,
    /// Codecs known to the media plane with the payload types it will *receive* them under, in its order; a telephone-event for each rate.
    pub payloads: PayloadMap,
    /// `a=fmtp` of Opus, G.722 or telephone-event by payload type, verbatim, to be passed on.
    pub fmtp: Vec<(u8, String)>,
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
    /// The first usable audio stream (RTP/AVP, port not 0 or else the first refused one).
    pub audio: Option<Audio>,
    /// Every m= line in order, so that an answer can have as many: media, port, protocol, formats as written, and whether it is the audio above.
    pub lines: Vec<MediaLine>,
}

/// One m= line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLine {
    /// `audio`, `video` …
    pub media: String,
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

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Description, SdpError> {
    todo!("{body:?}")
}

/// The switch's own side of one offer/answer session with one telephone: the `o=` line's id and version, and what was last written.
#[derive(Clone, Debug)]
pub struct Session {
    _private: (),
}

impl Session {
    /// `id` is random below 2^62; `rtp` the address and port of the leg.
    pub fn new(id: u64, rtp: SocketAddr) -> Session {
        todo!("{id}{rtp}")
    }

    /// Writes an offer with these payloads. The version in `o=` rises exactly when the text differs from the one written before (RFC 3264 §8).
    pub fn offer(
        &mut self,
        payloads: &PayloadMap,
        fmtp: &[(u8, String)],
        ptime: Option<u16>,
        direction: Direction,
    ) -> String {
        todo!("{payloads:?}{fmtp:?}{ptime:?}{direction:?}")
    }

    /// Writes the answer to `offer`: its m= lines in its order, all but the audio refused; of the offer's payloads those whose codec is in
    /// `common`, with the offer's payload types, in the offer's order.
    pub fn answer(
        &mut self,
        offer: &Description,
        common: &[Codec],
        fmtp: &[(u8, String)],
        ptime: Option<u16>,
        direction: Direction,
    ) -> Result<String, SdpError> {
        todo!("{offer:?}{common:?}{fmtp:?}{ptime:?}{direction:?}")
    }

    /// The payloads last written towards the telephone: how its packets read.
    pub fn payloads(&self) -> &PayloadMap {
        todo!()
    }

    /// The address and port written into SDP.
    pub fn local(&self) -> (IpAddr, u16) {
        todo!()
    }
}
