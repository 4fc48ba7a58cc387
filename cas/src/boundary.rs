//! What goes into the CAS and comes out of it: requests and replies, work for others and what they found, settings and counts.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::site::{DeviceId, UserId};
use crate::store;
use crate::time::Now;
use crate::wire::{Failure, Fields, json};

/// Names an HTTP request (or a line of the control socket) until its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What came in at a listener.
#[derive(Clone)]
pub struct Request {
    /// Where it is meant for.
    pub endpoint: Endpoint,
    /// The session it claims: query, cookie or bearer.
    pub session: Option<String>,
    /// Who asks.
    pub source: Source,
    /// How the body is written.
    pub format: Format,
    /// The body, whole.
    pub body: Bytes,
}

impl Request {
    /// A message of the control socket.
    pub fn of_console(body: impl Into<Bytes>) -> Request {
        let (endpoint, source, format) = (Endpoint::Execute, Source::Console, Format::Json);
        Request { endpoint, session: None, source, format, body: body.into() }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    #[default]
    Json,
    /// `application/xml`, `text/xml`
    Xml,
}

/// Without session and body: passwords are among them.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("endpoint", &self.endpoint)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
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
    /// None of the protocol's: whether the session lives, asked by the listener before it takes a large body. 200, or else 401.
    Session,
    /// `GET /schema`
    Schema,
    /// `GET /health`
    Health,
    /// `GET /metrics`: answered by the node, which knows all the counts.
    Metrics,
}

/// What goes back.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// How its reader wants a CAS body, if he has not said so with the request: a body leaves the CAS as JSON, and the listener writes it.
    pub format: Format,
    /// Further headers, names in lower case: `set-cookie`, `retry-after`.
    pub headers: Vec<(&'static str, String)>,
    /// The body, whole.
    pub body: Bytes,
}

/// Without headers and body: a session's token is in both.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.body.len();
        f.debug_struct("Reply").field("status", &self.status).field("length", &length).finish_non_exhaustive()
    }
}

impl Reply {
    /// Any body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply { status, content_type, format: Format::Json, headers: Vec::new(), body: body.into() }
    }

    /// A JSON body.
    pub(crate) fn json(status: u16, body: Bytes) -> Reply {
        Reply::new(status, "application/json", body)
    }

    /// A CAS body that tells why.
    pub(crate) fn refused(now: Now, status: u16, failure: Failure) -> Reply {
        let mut fields = Fields::new();
        fields.insert("timestamp".into(), now.wall.0.into());
        fields.insert("response".into(), 0.into());
        failure.describe(&mut fields);
        fields.insert("permissions".into(), serde_json::Value::Array(Vec::new()));
        let reply = Reply::json(status, json::encode(&fields));
        // RFC 9110 §15.5.2: with a 401 comes what is wanted.
        if status == 401 { reply.with_header("www-authenticate", "Bearer".to_owned()) } else { reply }
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// When it may be tried again.
    #[must_use]
    pub(crate) fn with_retry_after(self, seconds: u64) -> Reply {
        self.with_header("retry-after", seconds.to_string())
    }
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

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Verify { .. } => "Verify",
            Work::Hash { .. } => "Hash",
        })
    }
}

/// What a helper found.
#[derive(Clone, PartialEq, Eq)]
pub enum Finding {
    /// Whether the password matches.
    Verified(bool),
    /// PHC strings, in order.
    Hashed(Vec<String>),
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Verified(fits) => f.debug_tuple("Verified").field(fits).finish(),
            Finding::Hashed(hashes) => write!(f, "Hashed({})", hashes.len()),
        }
    }
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
    /// These devices came, changed or went: the engine ends what hangs on those that are gone.
    SiteChanged(BTreeSet<DeviceId>),
    /// Another call handling mode is in force for these users, or does something else: who watches them is told.
    HandlingChanged(Vec<UserId>),
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
    /// Sessions opened from one source: an address, or an IPv6 /64.
    pub sessions_per_source: usize,
    /// Sessions in all.
    pub sessions: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            idle: Duration::from_secs(120),
            ring: 1024,
            sessions_per_user: 16,
            sessions_per_source: 5000,
            sessions: 10_000,
        }
    }
}

/// What the metrics count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions now.
    pub sessions: usize,
    /// `GetEvents` waiting now.
    pub polls: usize,
    /// Commands that call control has accepted and not completed.
    pub pending: usize,
    /// Messages since the start.
    pub messages: u64,
    /// Events queued since the start.
    pub events: u64,
    /// Event rings that overflowed since the start.
    pub resyncs: u64,
    /// Logins with a wrong name or password since the start.
    pub failed_logins: u64,
    /// Requests turned away because a limit was reached, since the start.
    pub overloads: u64,
}
