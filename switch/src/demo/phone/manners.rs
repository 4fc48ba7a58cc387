//! What a telephone knows beyond plain calls, and where it is contrary. All of it is off in a plain one.

use std::time::Duration;

/// The manners of a telephone.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Reliable provisional answers (RFC 3262), as caller and as callee.
    pub reliable: Reliable,
    /// Called, it sends 183 with its session description, so that it is heard before it answers.
    pub early_media: bool,
    /// Its INVITEs have no offer: the other side makes it (RFC 3261 §13.2.1).
    pub late_offer: bool,
    /// UPDATE (RFC 3311): answered, and used for changes where the other side allows it.
    pub update: bool,
    /// Session timers (RFC 4028).
    pub timer: Option<SessionTimer>,
    /// How it sends digits.
    pub digits: Digits,
    /// How many repetitions of a 2xx it lets pass before it acknowledges one.
    pub deaf: Deaf,
    /// How it says 200 to an INVITE.
    pub answers: Answers,
    /// Numbers that its 3xx answers name.
    pub elsewhere: Vec<String>,
    /// A second contact in its registration, at this port.
    pub second_contact: Option<u16>,
    /// How long it takes to answer a request within a call.
    pub slow: Duration,
    /// Called, how long it says nothing at all.
    pub silent: Duration,
    /// It knows SHA-256 (RFC 8760): of several challenges it takes the first.
    pub sha256: bool,
    /// Told to talk (NOTIFY, event `talk`) while it rings, it answers, and it says so.
    pub talk: bool,
    /// What it wants to hear at a time, in milliseconds; 0 is the usual 20.
    pub ptime: u16,
}

/// Reliable provisional answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// Unknown to it: where they are required it refuses.
    #[default]
    Never,
    /// It says so.
    Supported,
    /// As a caller it insists.
    Required,
}

/// A telephone that keeps its sessions fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// The interval it asks for, in seconds.
    pub expires: u32,
    /// The shortest it takes.
    pub min: u32,
    /// Whether it wants to be the one who refreshes.
    pub refreshes: bool,
}

/// How digits are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digits {
    /// In the stream of sound (RFC 4733).
    #[default]
    Rtp,
    /// By INFO with application/dtmf-relay.
    Relay,
    /// By INFO with application/dtmf.
    Plain,
}

/// How a telephone hears the 2xx to its INVITEs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deaf {
    /// Well.
    #[default]
    No,
    /// The ACKs of the first so many are lost.
    AtFirst(u32),
    /// It never acknowledges one.
    Always,
}

/// How a telephone says 200 to an INVITE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// Once, and again until its ACK comes.
    #[default]
    Once,
    /// Twice at once.
    Twice,
    /// As two telephones behind one contact: a second 200 with another To tag.
    Forked,
}

/// How a telephone puts a call on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// a=sendonly (RFC 3264 §8.4).
    SendOnly,
    /// a=inactive.
    Inactive,
    /// c=IN IP4 0.0.0.0, as RFC 2543 had it.
    Zero,
}

/// What a telephone can ask besides calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// What the other side can do.
    Options,
    /// To call somebody else (RFC 3515).
    Refer,
    /// To be told of something (RFC 6665).
    Subscribe,
    /// It tells of something nobody asked for.
    Notify,
    /// To show a text (RFC 3428).
    Message,
    /// To keep a state (RFC 3903).
    Publish,
    /// Something within a call (RFC 6086).
    Info,
}

impl Ask {
    /// All of them.
    pub const ALL: [Ask; 7] =
        [Ask::Options, Ask::Refer, Ask::Subscribe, Ask::Notify, Ask::Message, Ask::Publish, Ask::Info];

    pub(super) fn method(self) -> rsip::Method {
        match self {
            Ask::Options => rsip::Method::Options,
            Ask::Refer => rsip::Method::Refer,
            Ask::Subscribe => rsip::Method::Subscribe,
            Ask::Notify => rsip::Method::Notify,
            Ask::Message => rsip::Method::Message,
            Ask::Publish => rsip::Method::Publish,
            Ask::Info => rsip::Method::Info,
        }
    }
}
