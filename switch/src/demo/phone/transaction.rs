//! The telephone's transactions (RFC 3261 §17), small and its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rsip::{Method, Request};

use super::manners::{Ask, Deaf};
use super::message;

pub(super) const T1: Duration = Duration::from_millis(500);
pub(super) const T2: Duration = Duration::from_secs(4);
const T4: Duration = Duration::from_secs(5);
/// 64·T1: how long anything is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(32);

/// A repetition whose interval doubles, to T2 at most where it is capped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resend {
    at: Instant,
    interval: Duration,
}

impl Resend {
    pub(super) fn begin(now: Instant) -> Resend {
        Resend { at: now + T1, interval: T1 }
    }

    /// Whether it is time; the next time is set if so.
    pub(super) fn due(&mut self, now: Instant, cap: Option<Duration>) -> bool {
        let due = self.at <= now;
        if due {
            self.interval = (self.interval * 2).min(cap.unwrap_or(Duration::MAX));
            self.at = now + self.interval;
        }
        due
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// What a client transaction was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Register {
        expires: u32,
    },
    Invite,
    Reinvite,
    Update,
    Bye,
    Cancel,
    /// A digit by INFO.
    Digit,
    /// A PRACK: nobody minds what becomes of it.
    Within,
    Ask(Ask),
    /// A transfer.
    Refer,
    /// To be told what a lamp is to show.
    Lamp,
}

/// A request of ours, until its last answer is past.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) request: Request,
    pub(super) purpose: Purpose,
    /// Sent with credentials already.
    pub(super) authorised: bool,
    state: ClientState,
    /// The To tag of the first 2xx, and the ACKs of those with others (RFC 3261 §13.2.2.4).
    accepted: Option<String>,
    forks: BTreeMap<String, Bytes>,
    /// So many 2xx more are not acknowledged.
    deaf: u32,
}

#[derive(Debug)]
enum ClientState {
    /// Nothing came yet (Calling, Trying); `resend` is timer A or E.
    Trying { resend: Option<Resend>, until: Instant },
    /// A provisional answer came. A non-INVITE goes on repeating at T2; an INVITE waits, for ever unless it was cancelled.
    Proceeding { resend: Option<Resend>, until: Option<Instant> },
    /// The final answer came; the ACK is repeated when that is (timers D, K, M).
    Completed { ack: Option<Bytes>, until: Instant },
}

/// What to do with a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// New: the telephone must look at it.
    New,
    /// Seen before.
    Repeated,
    /// Seen before: send this again.
    Acknowledge(Bytes),
}

/// What time brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elapsed {
    Nothing,
    Resend(Bytes),
    /// No answer came: a 408 (RFC 3261 §8.1.3.1).
    TimedOut,
    Over,
}

impl Client {
    pub(super) fn begin(now: Instant, request: Request, purpose: Purpose, authorised: bool, reliable: bool) -> Client {
        let resend = (!reliable).then(|| Resend::begin(now));
        let state = ClientState::Trying { resend, until: now + PATIENCE };
        Client { request, purpose, authorised, state, accepted: None, forks: BTreeMap::new(), deaf: 0 }
    }

    /// It hears its 2xx badly.
    pub(super) fn deafen(&mut self, deaf: Deaf) {
        self.deaf = match deaf {
            Deaf::No => 0,
            Deaf::AtFirst(times) => times,
            Deaf::Always => u32::MAX,
        };
    }

    /// A 2xx with this To tag: whether another came before.
    pub(super) fn is_fork(&mut self, tag: &str) -> bool {
        self.accepted.get_or_insert_with(|| tag.to_owned()) != tag
    }

    pub(super) fn fork(&self, tag: &str) -> Option<Bytes> {
        self.forks.get(tag).cloned()
    }

    pub(super) fn remember_fork(&mut self, tag: String, ack: Bytes) {
        self.forks.insert(tag, ack);
    }

    fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// An INVITE that has had a provisional answer and no final one.
    pub(super) fn is_proceeding(&self) -> bool {
        matches!(self.state, ClientState::Proceeding { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, ClientState::Completed { .. })
    }

    /// A response with this status came.
    pub(super) fn receive(&mut self, now: Instant, status: u16) -> Verdict {
        match (&mut self.state, status) {
            (ClientState::Completed { ack: Some(_), .. }, 200..300) if self.deaf > 0 => {
                self.deaf = if self.deaf == u32::MAX { u32::MAX } else { self.deaf - 1 };
                Verdict::Repeated
            }
            (ClientState::Completed { ack: Some(ack), .. }, 200..) => Verdict::Acknowledge(ack.clone()),
            (ClientState::Completed { .. }, _) => Verdict::Repeated,
            (ClientState::Trying { resend, until }, ..200) => {
                self.state = if self.request.method == Method::Invite {
                    ClientState::Proceeding { resend: None, until: None }
                } else {
                    ClientState::Proceeding { resend: *resend, until: Some(*until) }
                };
                Verdict::New
            }
            (ClientState::Proceeding { .. }, ..200) => Verdict::New,
            _ => {
                let linger = if self.is_invite() { PATIENCE } else { T4 };
                self.state = ClientState::Completed { ack: None, until: now + linger };
                Verdict::New
            }
        }
    }

    /// What to repeat with each repetition of the final answer; whether the first was heard.
    pub(super) fn acknowledge_with(&mut self, bytes: Bytes) -> bool {
        if let ClientState::Completed { ack, .. } = &mut self.state {
            *ack = Some(bytes);
        }
        self.deaf == 0
    }

    /// A CANCEL was sent: the final answer is awaited for 64·T1 (RFC 3261 §9.1).
    pub(super) fn cancelled(&mut self, now: Instant) {
        if let ClientState::Proceeding { until, .. } = &mut self.state {
            *until = Some(now + PATIENCE);
        }
    }

    pub(super) fn elapse(&mut self, now: Instant) -> Elapsed {
        let cap = (!self.is_invite()).then_some(T2);
        match &mut self.state {
            ClientState::Completed { until, .. } if *until <= now => Elapsed::Over,
            ClientState::Trying { until, .. } if *until <= now => Elapsed::TimedOut,
            ClientState::Proceeding { until: Some(until), .. } if *until <= now => Elapsed::TimedOut,
            ClientState::Trying { resend: Some(resend), .. } | ClientState::Proceeding { resend: Some(resend), .. } => {
                if resend.due(now, cap) {
                    Elapsed::Resend(message::encode(self.request.clone()))
                } else {
                    Elapsed::Nothing
                }
            }
            _ => Elapsed::Nothing,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            ClientState::Trying { resend, until } => Some(resend.map_or(*until, |resend| resend.at.min(*until))),
            ClientState::Proceeding { resend, until } => resend.map(|resend| resend.at).into_iter().chain(*until).min(),
            ClientState::Completed { until, .. } => Some(*until),
        }
    }
}

/// A request of theirs, until its repetitions are past.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) request: Request,
    to: SocketAddr,
    reliable: bool,
    state: ServerState,
}

#[derive(Debug)]
enum ServerState {
    /// Not finally answered; the last provisional answer is repeated.
    Proceeding(Option<Bytes>),
    /// Finally answered, repeated on demand and for an INVITE unasked (timer G).
    Completed { answer: Bytes, resend: Option<Resend>, until: Instant },
    /// Finally answered, but the answer is not out yet.
    Slow { answer: Bytes, status: u16, at: Instant },
    /// Acknowledged, or a 2xx, whose repetition is the call's (RFC 6026 §7.1): repetitions are swallowed.
    Absorbing { until: Instant },
}

impl Server {
    pub(super) fn begin(request: Request, to: SocketAddr, reliable: bool) -> Server {
        Server { request, to, reliable, state: ServerState::Proceeding(None) }
    }

    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.state, ServerState::Proceeding(_) | ServerState::Slow { .. })
    }

    /// Where answers go.
    pub(super) fn to(&self) -> SocketAddr {
        self.to
    }

    /// An answer is sent.
    pub(super) fn respond(&mut self, now: Instant, status: u16, answer: Bytes) {
        let invite = self.request.method == Method::Invite;
        self.state = match status {
            ..200 => ServerState::Proceeding(Some(answer)),
            200..300 if invite => ServerState::Absorbing { until: now + PATIENCE },
            _ => {
                let resend = (invite && !self.reliable).then(|| Resend::begin(now));
                ServerState::Completed { answer, resend, until: now + PATIENCE }
            }
        };
    }

    /// An answer is made, and sent after so long.
    pub(super) fn respond_slowly(&mut self, at: Instant, status: u16, answer: Bytes) {
        self.state = ServerState::Slow { answer, status, at };
    }

    /// The request came again.
    pub(super) fn repeated(&self) -> Option<Bytes> {
        match &self.state {
            ServerState::Slow { .. } => None,
            ServerState::Proceeding(answer) => answer.clone(),
            ServerState::Completed { answer, .. } => Some(answer.clone()),
            ServerState::Absorbing { .. } => None,
        }
    }

    /// The ACK of a failure came (timer I).
    pub(super) fn acknowledged(&mut self, now: Instant) {
        if let ServerState::Completed { .. } = self.state {
            self.state = ServerState::Absorbing { until: now + T4 };
        }
    }

    pub(super) fn elapse(&mut self, now: Instant) -> Elapsed {
        if let ServerState::Slow { answer, status, at } = &self.state {
            if *at > now {
                return Elapsed::Nothing;
            }
            let (answer, status) = (answer.clone(), *status);
            self.respond(now, status, answer.clone());
            return Elapsed::Resend(answer);
        }
        match &mut self.state {
            ServerState::Completed { until, .. } | ServerState::Absorbing { until } if *until <= now => Elapsed::Over,
            ServerState::Completed { answer, resend: Some(resend), .. } => {
                if resend.due(now, Some(T2)) {
                    Elapsed::Resend(answer.clone())
                } else {
                    Elapsed::Nothing
                }
            }
            _ => Elapsed::Nothing,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            ServerState::Proceeding(_) => None,
            ServerState::Slow { at, .. } => Some(*at),
            ServerState::Completed { resend, until, .. } => Some(resend.map_or(*until, |resend| resend.at.min(*until))),
            ServerState::Absorbing { until } => Some(*until),
        }
    }
}
