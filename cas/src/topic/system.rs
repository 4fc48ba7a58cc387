//! Topic `system`: how the switch is doing, who is reachable and who is logged in, and the way to end either.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::telephony::device_id;
use super::{Context, Nothing, Outcome, Progress, Waiting};
use crate::session::SessionKey;
use crate::site::{Access, DeviceId};
use crate::store::Request;
use crate::wire::rows::Rows;
use crate::wire::{Code, Failure, Fields};

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

pub(super) fn get_state(cx: &mut Context<'_>, _: Nothing) -> Outcome {
    let status = cx.control.status();
    let stats = cx.core.stats();
    Ok(Progress::Done(Fields::from_iter([
        ("state".to_owned(), json!(if status.stopping { "stopping" } else { "running" })),
        ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ("calls".to_owned(), json!(status.calls)),
        ("calls-total".to_owned(), json!(status.calls_total)),
        ("registrations".to_owned(), json!(status.registrations)),
        ("transactions".to_owned(), json!(status.transactions)),
        ("sessions".to_owned(), json!(stats.sessions)),
        ("users".to_owned(), json!(cx.site.users().count())),
    ])))
}

pub(super) fn get_registrations(cx: &mut Context<'_>, _: Nothing) -> Outcome {
    let mut rows = Rows::new(&["device", "user", "sip-user", "contact", "source", "agent", "expires"]);
    for binding in cx.control.registrations() {
        let device = cx.site.device(binding.device);
        let user = device.and_then(|device| device.user).and_then(|user| cx.site.extension_of(user));
        let sip_user = device.and_then(|device| match &device.access {
            Access::Digest { sip_user, .. } => Some(sip_user.as_str()),
            Access::Address(_) => None,
        });
        rows.push(vec![
            binding.device.0.to_string().into(),
            user.map(|extension| extension.0.as_str()).into(),
            sip_user.into(),
            binding.contact.into(),
            binding.source.into(),
            binding.agent.into(),
            binding.expires.0.into(),
        ]);
    }
    Ok(Progress::Done(Fields::from_iter([("registrations".to_owned(), rows.into())])))
}

/// The phone may register again: who is to stay away is given another secret, or removed.
pub(super) fn end_registration(cx: &mut Context<'_>, request: EndRegistration) -> Outcome {
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
    let reply = Fields::from_iter([("ended".to_owned(), changes.len().into())]);
    Ok(Progress::Store(Request::Write(changes), Waiting::Done(reply)))
}

pub(super) fn get_sessions(cx: &mut Context<'_>, _: Nothing) -> Outcome {
    let columns =
        ["session", "user", "app-id", "device", "source", "since", "idle", "polling", "subscriptions", "pending"];
    let mut rows = Rows::new(&columns);
    for (key, session) in cx.core.sessions.all() {
        rows.push(vec![
            key.0.to_string().into(),
            cx.site.user(session.client.user).map(|user| user.login.as_str()).into(),
            session.client.app_id.as_str().into(),
            session.client.device.map(|device| device.0.to_string()).into(),
            session.from.to_string().into(),
            session.since.0.into(),
            (session.idle(cx.now).as_millis() as u64).into(),
            session.is_polling().into(),
            session.subscriptions.len().into(),
            session.pending.into(),
        ]);
    }
    Ok(Progress::Done(Fields::from_iter([("sessions".to_owned(), rows.into())])))
}

/// As if it had logged out: its poll is answered 401, its subscriptions are forgotten. Commands of its that are under way go on.
pub(super) fn end_session(cx: &mut Context<'_>, request: EndSession) -> Outcome {
    let missing = || Failure::of("session", Code::NOT_FOUND, format!("there is no session {}", request.session));
    let key = request.session.parse().map(SessionKey).map_err(|_| missing())?;
    let user = cx.core.sessions.get(key).ok_or_else(missing)?.client.user;
    cx.core.end_session(cx.now, key);
    tracing::info!(session = key.0, user = user.0, "a session was ended by an administrator");
    Ok(Progress::Done(Fields::new()))
}
