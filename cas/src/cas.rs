//! The heart of the CAS: sessions, events, subscriptions, and the way of a message to its topic.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::bulk::Exchange;
use crate::control::{CallControl, CallEvent, CallInfo, Cause, Ticket};
use crate::core::{Core, logged_out};
use crate::entropy::Entropy;
use crate::event::Event;
use crate::execute::{Command, JobWait, SiteQueue, StoreWait};
use crate::login::Logins;
use crate::session::{Due, SessionKey};
use crate::site::{DeviceId, MachineKey, Site};
use crate::store;
use crate::subscription;
use crate::time::Now;
use crate::topic::telephony;
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
    /// The body, whole.
    pub body: Bytes,
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
        Reply { status, content_type, headers: Vec::new(), body: body.into() }
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
        Reply::json(status, json::encode(&fields))
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

/// Exchanges under way.
pub(crate) const MAX_EXCHANGES: usize = 4096;
/// Those of one session: no client can take them all.
pub(crate) const MAX_EXCHANGES_OF_SESSION: usize = 64;
/// The longest a `GetEvents` waits.
const MAX_POLL: Duration = Duration::from_secs(120);

/// The CAS.
pub struct Cas {
    pub(crate) core: Core,
    /// Bodies to `/Execute` that are not answered yet.
    pub(crate) exchanges: BTreeMap<RequestId, Exchange>,
    /// Those of them that can go on.
    pub(crate) runnable: VecDeque<RequestId>,
    /// What waits for the store.
    pub(crate) stored: BTreeMap<store::RequestId, StoreWait>,
    /// What waits for a helper.
    pub(crate) jobs: BTreeMap<u64, JobWait>,
    /// What waits for call control.
    pub(crate) tickets: BTreeMap<Ticket, Command>,
    /// What waits for its turn to change the site.
    pub(crate) site_queue: SiteQueue,
    pub(crate) logins: Logins,
}

/// What comes with every input.
pub(crate) struct Environment<'a> {
    pub(crate) now: Now,
    pub(crate) site: &'a mut Site,
    pub(crate) control: &'a mut dyn CallControl,
}

impl Cas {
    /// A CAS without sessions.
    pub fn new(settings: Settings, snapshot: &store::Snapshot, key: MachineKey, entropy: Box<dyn Entropy>) -> Cas {
        Cas {
            core: Core::new(settings, snapshot, key, entropy),
            exchanges: BTreeMap::new(),
            runnable: VecDeque::new(),
            stored: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tickets: BTreeMap::new(),
            site_queue: SiteQueue::default(),
            logins: Logins::default(),
        }
    }

    /// One input, handled to its end.
    pub fn handle(&mut self, now: Now, site: &mut Site, control: &mut dyn CallControl, input: Input) {
        let mut env = Environment { now, site, control };
        self.core.kept.start(now);
        self.expire(now);
        match input {
            Input::Request(id, request) => self.request(&mut env, id, &request),
            Input::Gone(id) => self.gone(now, id),
            Input::Stored(id, result) => self.stored(&mut env, id, result),
            Input::Helped(id, finding) => self.helped(&mut env, id, finding),
            Input::Timeout => {}
        }
        self.run(&mut env);
    }

    /// Something happened to a call or a device: tells every session concerned.
    pub fn publish(&mut self, now: Now, site: &Site, control: &dyn CallControl, event: CallEvent) {
        match event {
            CallEvent::Changed(call, cause) => self.call_changed(now, site, control, &call, cause),
            CallEvent::Ended { call, user, cause, duration_msec } => {
                let event = telephony::call_ended_event(now, call, cause, duration_msec);
                self.core.tell(now, user, &event);
            }
            CallEvent::Completed(ticket, result) => self.completed(now, site, ticket, result),
            CallEvent::Device { device, registered } => {
                if let Some((device, user)) = site.device(device).and_then(|device| Some((device, device.user?))) {
                    self.core.tell(now, user, &telephony::device_event(now, device, registered));
                }
            }
        }
    }

    /// The next output, in order. Polls are answered last, so that one answer carries all events of a step.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front().or_else(|| {
            let (request, events) = self.core.sessions.next_ready()?;
            Some(Output::Reply(request, Reply::json(200, events)))
        })
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        let timers = [self.core.sessions.next_timeout(), self.logins.next_timeout(), self.core.kept.next_timeout()];
        timers.into_iter().flatten().min()
    }

    /// What the metrics count.
    pub fn stats(&self) -> Stats {
        Stats { pending: self.tickets.len(), failed_logins: self.logins.failed, ..self.core.stats() }
    }

    fn request(&mut self, env: &mut Environment<'_>, id: RequestId, request: &Request) {
        match request.endpoint {
            Endpoint::Login => self.login(env, id, request),
            Endpoint::Execute => self.execute(env, id, request),
            Endpoint::GetEvents { timeout, after } => match self.core.session_of(request) {
                Some(key) => self.get_events(env.now, id, key, Duration::from_secs(timeout), after),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Logout => match self.core.session_of(request) {
                Some(key) => self.logout(env.now, id, key),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Session => match self.core.session_of(request) {
                Some(_) => self.core.reply(id, Reply::json(200, Bytes::from_static(b"{}"))),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Health => self.core.reply(id, Reply::json(200, Bytes::from_static(b"{\"status\":\"ok\"}"))),
            Endpoint::Metrics => {
                let failure = Failure::not_found("the node answers for the metrics");
                self.core.reply(id, Reply::refused(env.now, 404, failure));
            }
        }
    }

    fn get_events(&mut self, now: Now, id: RequestId, key: SessionKey, timeout: Duration, after: Option<u64>) {
        let superseded = self.core.sessions.poll(now, key, id, timeout.min(MAX_POLL), after);
        if let Some(old) = superseded {
            self.core.reply(old, Reply::json(200, Bytes::from_static(b"[]")));
        }
        self.expire(now);
    }

    /// Answered once the store has forgotten the subscriptions: they do not outlive the logout.
    fn logout(&mut self, now: Now, id: RequestId, key: SessionKey) {
        match self.core.end_session(now, key) {
            Some(store) => {
                self.stored.insert(store, StoreWait::Logout(id));
            }
            None => self.core.reply(id, logged_out(now)),
        }
    }

    fn gone(&mut self, now: Now, id: RequestId) {
        if self.core.sessions.poll_gone(now, id) || self.logins.gone(id) {
            return;
        }
        // What it asked is done all the same; only the answer is not wanted.
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.wanted = false;
        }
        for wait in self.jobs.values_mut() {
            match wait {
                JobWait::Login(attempt) if attempt.request == Some(id) => attempt.request = None,
                JobWait::Login(_) | JobWait::Message(..) => {}
            }
        }
        self.stored.retain(|_, wait| !matches!(wait, StoreWait::Logout(request) if *request == id));
    }

    /// Does what the time has come for.
    fn expire(&mut self, now: Now) {
        while let Some(due) = self.core.sessions.next_due(now) {
            match due {
                Due::PollEnded(request) => {
                    if let Some(events) = self.core.sessions.take_poll(now, request) {
                        self.core.reply(request, Reply::json(200, events));
                    }
                }
                Due::Abandoned(key) => {
                    self.core.end_session(now, key);
                }
            }
        }
        self.release_held_logins(now);
        let unclaimed = self.core.kept.expire(now);
        self.core.write(unclaimed);
    }

    /// The event is encoded once for all who may do the same with the call.
    fn call_changed(
        &mut self,
        now: Now,
        site: &Site,
        control: &dyn CallControl,
        call: &CallInfo,
        cause: Option<Cause>,
    ) {
        let mut encoded: Vec<(Option<DeviceId>, Event)> = Vec::new();
        for key in self.core.sessions.of_user(call.user) {
            let Some(who) = self.core.principal(site, key) else { continue };
            if !self.core.sessions.get(key).is_some_and(subscription::sees_own_device) {
                continue;
            }
            let known = encoded.iter().find(|(device, _)| *device == who.device).map(|(_, event)| event.clone());
            let event = known.unwrap_or_else(|| {
                let event = telephony::call_event(now, call, control.allowed(site, &who, call.id), cause);
                encoded.push((who.device, event.clone()));
                event
            });
            self.core.sessions.push(now, key, event);
        }
    }
}

#[cfg(test)]
mod tests;
