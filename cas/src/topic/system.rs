//! Topic `system`: how the switch is doing, who is reachable and who is logged in, and the way to end either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telephony::device_id;
use super::{Context, Nothing, Outcome, Progress, Waiting};
use crate::control::RegistrationInfo;
use crate::session::{Session, SessionKey};
use crate::site::{Access, DeviceId};
use crate::store::Request;
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure, json};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct EndRegistration {
    /// All phones of this user.
    ext: Option<String>,
    /// Or one phone.
    device: Option<String>,
    /// Of these, what is registered at this contact; all of it by default.
    contact: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct EndSession {
    session: String,
}

/// Whether new calls are taken.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Running,
    /// After TERM.
    Stopping,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct State {
    state: Phase,
    version: &'static str,
    calls: usize,
    /// Since the start.
    calls_total: u64,
    registrations: usize,
    /// Of SIP.
    transactions: usize,
    sessions: usize,
    users: usize,
}

row! {
    /// A phone that is reachable.
    pub(super) struct Registration {
        device: String,
        /// The extension.
        user: Option<String>,
        sip_user: Option<String>,
        contact: String,
        /// `udp` or `tcp`, and the address its requests come from.
        source: String,
        /// The phone's User-Agent.
        agent: String,
        expires: u64,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Registrations {
    registrations: Table<Registration>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ended {
    /// How many.
    ended: usize,
}

row! {
    /// A session of anybody's.
    pub(super) struct SessionRow {
        /// Its name here; it is no token.
        session: String,
        user: Option<String>,
        app_id: String,
        device: Option<String>,
        /// Where it logged in from.
        source: String,
        since: u64,
        /// Since its last request, in milliseconds.
        idle: u64,
        /// It waits for events.
        polling: bool,
        /// How many.
        subscriptions: usize,
        /// Commands under way.
        pending: usize,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionList {
    sessions: Table<SessionRow>,
}

pub(super) fn get_state(cx: &mut Context<'_>, _: Nothing) -> Outcome<State> {
    let status = cx.control.status();
    let stats = cx.core.stats();
    Ok(Progress::Done(State {
        state: if status.stopping { Phase::Stopping } else { Phase::Running },
        version: env!("CARGO_PKG_VERSION"),
        calls: status.calls,
        calls_total: status.calls_total,
        registrations: status.registrations,
        transactions: status.transactions,
        sessions: stats.sessions,
        users: cx.site.users().count(),
    }))
}

pub(super) fn get_registrations(cx: &mut Context<'_>, _: Nothing) -> Outcome<Registrations> {
    let row = |binding: RegistrationInfo| {
        let device = cx.site.device(binding.device);
        let user = device.and_then(|device| device.user).and_then(|user| cx.site.extension_of(user));
        let sip_user = device.and_then(|device| match &device.access {
            Access::Digest { sip_user, .. } => Some(sip_user.clone()),
            Access::Address(_) => None,
        });
        Registration {
            device: binding.device.0.to_string(),
            user: user.map(|extension| extension.0.clone()),
            sip_user,
            contact: binding.contact,
            source: binding.source,
            agent: binding.agent,
            expires: binding.expires.0,
        }
    };
    let registrations = cx.control.registrations().into_iter().map(row).collect();
    Ok(Progress::Done(Registrations { registrations }))
}

/// The phone may register again: who is to stay away is given another secret, or removed.
pub(super) fn end_registration(cx: &mut Context<'_>, request: EndRegistration) -> Outcome<Ended> {
    let devices: Vec<DeviceId> = match (&request.ext, &request.device) {
        (_, Some(device)) => vec![device_id(cx.site, device)?],
        (Some(ext), None) => {
            let missing = || Failure::of("ext", Code::NOT_FOUND, format!("there is no user {ext}"));
            let user = cx.site.user_by_login(ext).ok_or_else(missing)?;
            cx.site.devices_of(user.id).map(|device| device.id).collect()
        }
        (None, None) => return Err(Failure::missing_one_of(&["ext", "device"])),
    };
    let ended = cx.control.unregister(cx.now, cx.site, &devices, request.contact.as_deref());
    let changes = ended.map_err(|refusal| {
        let failure = Failure::from(refusal);
        let field = match (failure.code, &request) {
            (Code::NOT_FOUND, EndRegistration { contact: Some(_), .. }) => "contact",
            (Code::NOT_FOUND, EndRegistration { device: Some(_), .. }) => "device",
            (Code::NOT_FOUND, _) => "ext",
            _ => return failure,
        };
        let whose = request.ext.as_deref().filter(|_| request.device.is_none());
        let phone =
            whose.map_or("the phone is not registered".to_owned(), |ext| format!("no phone of {ext} is registered"));
        let there = if request.contact.is_some() { " at this contact" } else { "" };
        Failure::of(field, Code::NOT_FOUND, phone + there)
    })?;
    let reply = json::fields(&Ended { ended: changes.len() });
    Ok(Progress::Store(Request::Write(changes), Waiting::Done(reply)))
}

pub(super) fn get_sessions(cx: &mut Context<'_>, _: Nothing) -> Outcome<SessionList> {
    let row = |(key, session): (SessionKey, &Session)| SessionRow {
        session: key.0.to_string(),
        user: cx.site.user(session.client.user).map(|user| user.login.clone()),
        app_id: session.client.app_id.clone(),
        device: session.client.device.map(|device| device.0.to_string()),
        source: session.from.to_string(),
        since: session.since.0,
        idle: session.idle(cx.now).as_millis() as u64,
        polling: session.is_polling(),
        subscriptions: session.subscriptions.len(),
        pending: session.pending,
    };
    Ok(Progress::Done(SessionList { sessions: cx.core.sessions.all().map(row).collect() }))
}

/// As if it had logged out: its poll is answered 401, its subscriptions are forgotten. Commands of its that are under way go on.
pub(super) fn end_session(cx: &mut Context<'_>, request: EndSession) -> Outcome<Nothing> {
    let missing = || Failure::of("session", Code::NOT_FOUND, format!("there is no session {}", request.session));
    let key = request.session.parse().map(SessionKey).map_err(|_| missing())?;
    let user = cx.core.sessions.get(key).ok_or_else(missing)?.client.user;
    cx.core.end_session(cx.now, key);
    tracing::info!(session = key.0, user = user.0, "a session was ended by an administrator");
    Ok(Progress::Done(Nothing {}))
}
