//! What the engine asks of a worker, and what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::sound::Sound;
pub use crate::stream::Leg;

/// A media thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// One telephone's end of a media stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

/// An RTP port of the pool; its RTCP is one above (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u16);

/// Names a sound of the switch's own: see [`Command::Learn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SoundId(pub u16);

/// Names one playing of a sound, so that its end is known for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayId(pub u64);

/// How a sound is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Without end, and everybody who hears it is at the same place in it, as with a radio.
    Together,
    /// Without end, from its beginning.
    Always,
    /// Once, from its beginning: then [`Event::Played`] is told, and whoever the leg is joined to is heard again.
    Once(PlayId),
}

/// What a worker is asked to do. Commands for a leg that does not exist are ignored.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// A leg begins at a bound port. Nothing is accepted before the first [`Command::Update`]; what waited in the socket is thrown away.
    /// A second leg of the same name is ignored; one at a port that another leg has is closed at once.
    Open {
        /// Names it from here on.
        leg: LegId,
        /// Its socket.
        port: Port,
        /// Where its outgoing stream begins (RFC 3550 §5.1: random).
        start: StreamStart,
    },
    /// What an offer/answer exchange settled. May come many times; the outgoing stream goes on without a break.
    Update {
        /// The leg.
        leg: LegId,
        /// The settled parameters.
        stream: Stream,
    },
    /// From now on each of the two hears the other. Ends whatever either was joined to.
    Bridge {
        /// One.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// From now on the leg hears itself.
    Echo(LegId),
    /// From now on the leg hears nobody, and nobody hears it: ends whatever it was joined to.
    Part(LegId),
    /// A sound, under the name by which it will be asked for; it takes the place of one that had the name.
    Learn {
        /// Its name.
        sound: SoundId,
        /// Itself.
        is: Arc<Sound>,
    },
    /// From now on the leg's telephone hears a sound, in 20 ms packets of the codec last sent to it or the one it prefers, and nothing of whoever
    /// the leg is joined to (who still hears the leg). Takes the place of a sound that was played to it. One that nobody has taught the worker is
    /// silent until somebody does; one to be played once is over at once. What cannot be sent as things stand (on hold) is passed over: time goes on.
    Play {
        /// The leg.
        leg: LegId,
        /// The sound.
        sound: SoundId,
        /// How.
        repeat: Repeat,
    },
    /// Ends what is played to the leg: with the first packet from whoever it is joined to, so that there is no gap, or, where none comes, soon.
    Hush(LegId),
    /// Sends DTMF towards this leg's telephone (RFC 4733), one digit after another, 100 ms each with 60 ms between; while a digit
    /// lasts, the other party's sound is not sent. At most 64 digits wait.
    SendDigits {
        /// The leg whose telephone gets them.
        leg: LegId,
        /// Event numbers 0-15.
        digits: Vec<u8>,
    },
    /// Takes a leg from this worker, with all that it is: answered by [`Event::Detached`]. Who was joined to it hears nothing any more. What comes to its
    /// port from now on waits in the socket.
    Detach(LegId),
    /// A leg that was taken from another worker goes on here, as if it had always been here: its streams do not break, and what waited in its socket is
    /// heard.
    Attach(Box<Leg>),
    /// Wants to know what a leg has counted so far: answered by [`Event::Counted`], where there is such a leg.
    Count(LegId),
    /// Ends a leg (with an RTCP BYE). Answered by [`Event::Closed`]; its port may be used again after that.
    Close(LegId),
}

/// The random beginnings of an outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its first sequence number.
    pub sequence: u16,
    /// Its first timestamp.
    pub timestamp: u32,
}

/// What offer and answer settled for one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where the telephone wants its RTP; `None`: nowhere (port 0, `c=0.0.0.0`).
    pub remote: Option<SocketAddr>,
    /// Where it wants its RTCP (`a=rtcp`, or the next port).
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether the telephone wants to hear us.
    pub send: bool,
    /// Whether we want to hear the telephone. What it sends otherwise is counted and dropped.
    pub receive: bool,
    /// How payload types read in packets from the telephone.
    pub incoming: PayloadMap,
    /// How they are written in packets to the telephone. A packet whose codec is not here is not sent, and counted.
    pub outgoing: PayloadMap,
}

/// Payload types and what they stand for; the first is the preferred one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadMap(pub Vec<(u8, Codec)>);

impl PayloadMap {
    /// What a payload type stands for.
    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.0.iter().find(|(pt, _)| *pt == payload_type).map(|(_, codec)| *codec)
    }

    /// The payload type of a codec.
    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.0.iter().find(|(_, c)| *c == codec).map(|(pt, _)| *pt)
    }
}

/// The codecs passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, 8000 Hz.
    Pcmu,
    /// G.711 A-law, 8000 Hz.
    Pcma,
    /// G.722; its RTP clock is 8000 Hz for historical reasons (RFC 3551 §4.5.2).
    G722,
    /// Opus, 48000 Hz (RFC 7587).
    Opus,
    /// DTMF and other events (RFC 4733) at an RTP clock rate.
    TelephoneEvent {
        /// In Hz: that of the audio codec beside it, as a rule.
        rate: u32,
    },
}

impl Codec {
    /// The RTP clock rate in Hz.
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8000,
            Codec::Opus => 48000,
            Codec::TelephoneEvent { rate } => rate,
        }
    }
}

/// What a worker tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The telephone sent a DTMF event: once for each, when it ends.
    Dtmf {
        /// From this leg.
        leg: LegId,
        /// Event number 0-15.
        digit: u8,
        /// How long the key was held.
        duration: Duration,
    },
    /// No RTP has come for a minute since the last (or since the first Update), and again for each further minute: the telephone may
    /// have vanished.
    Silent {
        /// The leg.
        leg: LegId,
        /// For how long.
        quiet: Duration,
    },
    /// A sound that was to be played once is over. Not told of one whose place another took, nor of one that was hushed.
    Played {
        /// To this leg.
        leg: LegId,
        /// Which it was.
        play: PlayId,
    },
    /// A leg has left its worker. Whoever gets this has the only one there is, and owes it an [`Command::Attach`].
    Detached(Box<Leg>),
    /// What a leg has counted up to now.
    Counted {
        /// The leg.
        leg: LegId,
        /// The count of its life so far.
        stats: LegStats,
    },
    /// A leg is closed: its last event.
    Closed {
        /// The leg.
        leg: LegId,
        /// The count of its whole life.
        stats: LegStats,
    },
}

/// What one leg saw. Counts of RTP packets unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegStats {
    /// Taken from the telephone.
    pub received: u64,
    /// Their payload bytes.
    pub received_bytes: u64,
    /// Sent to the telephone.
    pub sent: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// Meant for the telephone and not sent: of a codec, or a digit, that has no payload type there; too many digits; a straggler of a source
    /// that another has followed; our own, come back to us; refused by the network.
    pub unsent: u64,
    /// Missing from the telephone's sequence numbers.
    pub lost: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1) in microseconds, as seen at turns 5 ms apart.
    pub jitter_us: u32,
    /// Dropped: from an address that is not the telephone's. Reports (RTCP) count too.
    pub strangers: u64,
    /// Dropped: not RTP, or a payload type nobody agreed on, or sent while not wanted, or far from the sequence. Malformed RTCP counts too.
    pub unusable: u64,
    /// The last fraction lost that the telephone reported by RTCP, in 1/256.
    pub reported_loss: u8,
    /// Round-trip time from RTCP in microseconds, up to 5 ms too long (that is how often reports are looked for); 0 while unknown.
    pub round_trip_us: u32,
    /// The address the leg is locked to, once it is.
    pub peer: Option<SocketAddr>,
}
