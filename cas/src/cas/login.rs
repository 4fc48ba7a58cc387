//! Login: a password against its hash, and answers that come later and later to whoever guesses.
//!
//! A wrong password is answered 401, and late where many were wrong ([`attempts`](crate::attempts)).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::execute::JobWait;
use super::{Cas, Environment};
use crate::attempts::Attempts;
use crate::boundary::{Format, Job, Output, Reply, Request, RequestId, Source, Work};
use crate::password::DUMMY_HASH;
use crate::permission;
use crate::session::{Client, SessionKey};
use crate::site::{Role, UserId};
use crate::subscription::{self, Subscribed};
use crate::time::Now;
use crate::topic::subscription::snapshots;
use crate::topic::telephony::{self, DeviceRow};
use crate::topic::{self, Grade};
use crate::wire::rows::Table;
use crate::wire::{self, Code, Failure, json};

/// Passwords being verified.
const MAX_VERIFYING: usize = 256;
/// Answers held back; one more is given at once.
const MAX_HELD: usize = 1024;
/// The longest name of a user, a client or a device, and password.
const MAX_TEXT: usize = 256;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct Login {
    app_id: String,
    username: String,
    password: String,
    /// The device the client stands at, by its id.
    device: Option<String>,
}

/// The answer to a login.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct LoggedIn {
    #[serde(rename = "SessionId")]
    session_id: String,
    user_id: String,
    user: String,
    name: String,
    user_role: Role,
    home_cas: String,
    /// By topic, the messages that may be asked.
    permissions: BTreeMap<String, Vec<&'static str>>,
    devices: Table<DeviceRow>,
    subscriptions: Table<Subscribed>,
    /// The number of the last event queued.
    sequence_id: u64,
    /// In seconds.
    idle_timeout: u64,
    timestamp: u64,
    response: u32,
    error: u16,
}

/// The schemas of a login and of its answer.
pub(super) fn schemas() -> [Value; 2] {
    [topic::schema_of::<Login>(), topic::schema_of::<LoggedIn>()]
}

/// A password being verified.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Who waits; `None` once the connection has gone.
    pub(super) request: Option<RequestId>,
    format: Format,
    source: IpAddr,
    username: String,
    /// Whose hash is being compared with; `None`: nobody's.
    user: Option<(UserId, String)>,
    app_id: String,
    device: Option<String>,
}

/// Who failed how often, and the answers held back.
#[derive(Debug, Default)]
pub(super) struct Logins {
    attempts: Attempts,
    held: BTreeMap<(Instant, RequestId), Duration>,
    /// Failed since the start.
    pub(super) failed: u64,
}

impl Logins {
    /// When an answer held back is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((at, _), _)| *at)
    }

    /// The connection of a held answer has gone. Whether it was one.
    pub(super) fn gone(&mut self, request: RequestId) -> bool {
        let before = self.held.len();
        self.held.retain(|(_, held), _| *held != request);
        self.held.len() < before
    }

    fn next_due(&mut self, now: Now) -> Option<(RequestId, Duration)> {
        let entry = self.held.first_entry().filter(|entry| entry.key().0 <= now.mono)?;
        let ((_, request), delay) = entry.remove_entry();
        Some((request, delay))
    }
}

impl Cas {
    /// `POST /login`
    pub(super) fn login(&mut self, env: &mut Environment<'_>, id: RequestId, request: &Request) {
        let login = match read(request) {
            Ok(login) => login,
            Err(failure) => {
                let status = if failure.code == Code::MALFORMED { 400 } else { 200 };
                return self.core.reply(id, Reply::refused(env.now, status, failure));
            }
        };
        let source = source(request.source);
        if let Some(left) = self.logins.attempts.penalty(env.now.mono, source, &login.username) {
            return self.core.reply(id, wrong(env.now, left));
        }
        if self.jobs.len() >= MAX_VERIFYING {
            self.core.overloads += 1;
            let failure = Failure::new(Code::OVERLOADED, "too many logins at once: try again in a second");
            return self.core.reply(id, Reply::refused(env.now, 503, failure).with_retry_after(1));
        }
        let user = env.site.user_by_login(&login.username).map(|user| (user.id, user.password_hash.clone()));
        let hash = user.as_ref().map_or_else(|| DUMMY_HASH.to_owned(), |(_, hash)| hash.clone());
        let attempt = Attempt {
            request: Some(id),
            format: request.format,
            source,
            username: login.username,
            user,
            app_id: login.app_id,
            device: login.device,
        };
        let job = self.core.next_job();
        self.jobs.insert(job, JobWait::Login(attempt));
        self.core
            .outputs
            .push_back(Output::Help(Job { id: job, work: Work::Verify { hash, password: login.password } }));
    }

    pub(super) fn verified(&mut self, env: &mut Environment<'_>, attempt: Attempt, fits: bool) {
        // It may have been sent along with the one that failed meanwhile: guesses in parallel are no faster.
        if let Some(left) = self.logins.attempts.penalty(env.now.mono, attempt.source, &attempt.username) {
            if let Some(request) = attempt.request {
                self.core.reply(request, wrong(env.now, left));
            }
            return;
        }
        // The user may have gone, or changed his password, while the helper was at it.
        let user =
            attempt.user.as_ref().filter(|_| fits).and_then(|(id, hash)| {
                env.site.user(*id).filter(|user| user.password_hash == *hash).map(|user| user.id)
            });
        let Some(user) = user else { return self.login_failed(env.now, &attempt) };
        self.logins.attempts.succeeded(attempt.source, &attempt.username);
        let Some(request) = attempt.request else { return };
        let reply = match self.open_session(env, user, attempt) {
            Ok(reply) => reply,
            Err(failure) if failure.code == Code::LIMIT => Reply::refused(env.now, 503, failure).with_retry_after(10),
            Err(failure) => Reply::refused(env.now, 200, failure),
        };
        self.core.reply(request, reply);
    }

    fn login_failed(&mut self, now: Now, attempt: &Attempt) {
        self.logins.failed += 1;
        let delay = self.logins.attempts.failed(now.mono, attempt.source, &attempt.username);
        tracing::warn!(source = %attempt.source, ?delay, "a login failed");
        let Some(request) = attempt.request else { return };
        match delay.is_zero() || self.logins.held.len() >= MAX_HELD {
            true => self.core.reply(request, wrong(now, delay)),
            false => {
                self.logins.held.insert((now.mono + delay, request), delay);
            }
        }
    }

    /// Gives the answers whose time has come.
    pub(super) fn release_held_logins(&mut self, now: Now) {
        while let Some((request, delay)) = self.logins.next_due(now) {
            self.core.reply(request, wrong(now, delay));
        }
    }

    fn open_session(&mut self, env: &mut Environment<'_>, user: UserId, attempt: Attempt) -> Result<Reply, Failure> {
        let device = attempt.device.map(|id| telephony::own_device_id(env.site, user, &id)).transpose()?;
        let settings = &self.core.settings;
        if self.core.sessions.of_user(user).len() >= settings.sessions_per_user.max(1) {
            if let Some(least_used) = self.core.sessions.least_used(user) {
                self.core.end_session(env.now, least_used);
            }
        } else if self.core.sessions.len() >= settings.sessions {
            self.core.overloads += 1;
            return Err(Failure::new(Code::LIMIT, "the switch has as many sessions as it may have"));
        } else if self.core.sessions.of_source(attempt.source) >= settings.sessions_per_source {
            self.core.overloads += 1;
            return Err(Failure::new(Code::LIMIT, "there are as many sessions from this address as there may be"));
        }
        let client = Client { user, app_id: attempt.app_id, device };
        let (kept, surplus) = self.core.kept.take(&client);
        self.core.write(surplus);
        let token = self.core.entropy.token(16);
        let key = self.core.sessions.open(env.now, client, attempt.source, &token);
        if let Some(session) = self.core.sessions.get_mut(key) {
            session.format = attempt.format;
        }
        if !kept.is_empty() {
            if let Some(session) = self.core.sessions.get_mut(key) {
                session.subscriptions.extend(kept.into_iter().map(|record| (record.id, record)));
            }
            self.snapshot(env, key);
        }
        let reply = self.login_reply(env, key, &token).ok_or_else(Failure::ended)?;
        Ok(Reply::json(200, json::encode(&reply)).with_header("set-cookie", cookie(&token)))
    }

    /// The first events of subscriptions taken up.
    fn snapshot(&mut self, env: &mut Environment<'_>, key: SessionKey) {
        let Some(who) = self.core.principal(env.site, key) else { return };
        let Some(session) = self.core.sessions.get(key) else { return };
        let subscriptions = session.subscriptions.values();
        let kinds = subscriptions.map(|record| (record.topic.clone(), record.kind.clone())).collect();
        for event in snapshots(env.now, env.site, env.control, &who, session, &kinds) {
            self.core.sessions.push(env.now, key, event);
        }
    }

    fn login_reply(&self, env: &Environment<'_>, key: SessionKey, token: &str) -> Option<LoggedIn> {
        let session = self.core.sessions.get(key)?;
        let user = env.site.user(session.client.user)?;
        Some(LoggedIn {
            session_id: token.to_owned(),
            user_id: user.id.0.to_string(),
            user: user.login.clone(),
            name: user.display_name(),
            user_role: user.role,
            home_cas: env.site.realm.clone(),
            permissions: permission::of_all(Grade::from(user.role)),
            devices: telephony::devices(env.site, env.control, user.id),
            subscriptions: subscription::summary(session),
            sequence_id: session.last_event(),
            idle_timeout: self.core.settings.idle.as_secs(),
            timestamp: env.now.wall.0,
            response: 0,
            error: 0,
        })
    }
}

fn read(request: &Request) -> Result<Login, Failure> {
    static SHAPE: LazyLock<Value> = LazyLock::new(topic::schema_of::<Login>);
    let body = wire::decode(request.format, &request.body, &SHAPE, topic::asked)?;
    let Value::Object(fields) = body else {
        return Err(Failure::new(Code::MALFORMED, "the body is an object: app-id, username, password"));
    };
    let login: Login = json::members(wire::canonical(fields))?;
    let texts =
        [("app-id", Some(&login.app_id)), ("username", Some(&login.username)), ("password", Some(&login.password))];
    for (field, text) in texts.into_iter().chain([("device", login.device.as_ref())]) {
        if text.is_some_and(|text| text.len() > MAX_TEXT) {
            return Err(Failure::bad(field, format!("{field} is at most {MAX_TEXT} bytes")));
        }
    }
    if login.app_id.trim().is_empty() || login.app_id.chars().any(char::is_control) {
        return Err(Failure::bad("app-id", "app-id is the client's name for its own kind, without control characters"));
    }
    Ok(login)
}

fn wrong(now: Now, delay: Duration) -> Reply {
    let failure = Failure::new(Code::NOT_PERMITTED, "user name or password is not right");
    let reply = Reply::refused(now, 401, failure);
    if delay.is_zero() { reply } else { reply.with_retry_after(delay.as_millis().div_ceil(1000) as u64) }
}

/// Not readable by scripts, and not sent along with what another site asks.
fn cookie(token: &str) -> String {
    format!("SessionId={token}; Path=/; HttpOnly; SameSite=Strict")
}

/// An IPv6 source is the network of its /64: one customer has them all.
fn source(source: Source) -> IpAddr {
    match source {
        Source::Console => Ipv4Addr::LOCALHOST.into(),
        Source::Network(address) => address,
    }
}
