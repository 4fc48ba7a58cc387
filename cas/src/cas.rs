//! The heart of the CAS: sessions, events, subscriptions, and the way of a message to its topic.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::control::{CallControl, CallEvent};
use crate::entropy::Entropy;
use crate::site::{MachineKey, Site};
use crate::store;
use crate::time::Now;

/// Names an HTTP request (or a line of the control socket) until its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What came in at a listener.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it is meant for.
    pub endpoint: Endpoint,
    /// The session it claims: query, cookie or bearer.
    pub session: Option<String>,
    /// Who asks.
    pub source: Source,
    /// The body, whole.
    pub body: Bytes,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client over HTTP.
    Network(IpAddr),
    /// The control socket: whoever may open it is the administrator.
    Console,
}

/// The endpoints of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /login`
    Login,
    /// `POST /Execute`
    Execute,
    /// `GET /GetEvents`
    GetEvents {
        /// How long to wait for a first event, in seconds.
        timeout: u64,
        /// The last event the client has.
        after: Option<u64>,
    },
    /// `POST /Logout`
    Logout,
    /// `GET /health`
    Health,
    /// `GET /metrics`: answered by the node, which knows all the counts.
    Metrics,
}

/// What goes back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body, whole.
    pub body: Bytes,
}

/// Work that would block or burn the control thread.
#[derive(Clone, Debug)]
pub struct Job {
    /// Names it until [`Input::Helped`].
    pub id: u64,
    /// What to do.
    pub work: Work,
}

/// What a helper can do.
#[derive(Clone, PartialEq, Eq)]
pub enum Work {
    /// argon2id: does the password match the hash?
    Verify {
        /// PHC string.
        hash: String,
        /// In clear; never logged.
        password: String,
    },
    /// argon2id: the PHC string of each password.
    Hash {
        /// In clear; never logged.
        passwords: Vec<String>,
        /// One salt for each.
        salts: Vec<[u8; 16]>,
    },
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Work::Verify { .. } => "Verify",
            Work::Hash { .. } => "Hash",
        })
    }
}

/// What a helper found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Whether the password matches.
    Verified(bool),
    /// PHC strings, in order.
    Hashed(Vec<String>),
}

/// What the CAS is told by its node.
#[derive(Debug)]
pub enum Input {
    /// A client asks.
    Request(RequestId, Request),
    /// The client that asked has gone: no reply is wanted.
    Gone(RequestId),
    /// The store answers.
    Stored(store::RequestId, Result<store::Reply, store::StoreError>),
    /// A helper answers.
    Helped(u64, Finding),
    /// Time passed.
    Timeout,
}

/// What the CAS wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Answer a client; exactly one for each [`Input::Request`] that is not [`Input::Gone`].
    Reply(RequestId, Reply),
    /// Store or read.
    Store(store::RequestId, store::Request),
    /// Have a helper do it.
    Help(Job),
    /// These users or devices changed or went: the engine ends what hangs on them.
    SiteChanged,
}

/// What the configuration says of the CAS, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A session with no request for so long is abandoned.
    pub idle: Duration,
    /// Events kept for a session that does not fetch them.
    pub ring: usize,
    /// Sessions of one user.
    pub sessions_per_user: usize,
    /// Sessions in all.
    pub sessions: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { idle: Duration::from_secs(120), ring: 1024, sessions_per_user: 16, sessions: 10_000 }
    }
}

/// The CAS.
pub struct Cas {
    _entropy: Box<dyn Entropy>,
}

impl Cas {
    /// A CAS without sessions.
    pub fn new(settings: Settings, snapshot: &store::Snapshot, key: MachineKey, entropy: Box<dyn Entropy>) -> Cas {
        let _ = (settings, snapshot, key);
        Cas { _entropy: entropy }
    }

    /// One input, handled to its end.
    pub fn handle(&mut self, now: Now, site: &mut Site, control: &mut dyn CallControl, input: Input) {
        let _ = (now, site, control, input);
        todo!()
    }

    /// Something happened to a call or a device: tells every session concerned.
    pub fn publish(&mut self, now: Now, site: &Site, control: &dyn CallControl, event: CallEvent) {
        let _ = (now, site, control, event);
        todo!()
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
