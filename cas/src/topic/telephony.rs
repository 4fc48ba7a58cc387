//! Topic `tel`: call control (S59-S77). Each message is one [`CallCommand`]; what happens to the calls comes back as [`CallEvent`](crate::control::CallEvent)s.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Nothing, Outcome, Progress};
use crate::control::{
    Accepted, Actions, CallCommand, CallControl, CallId, CallInfo, CallQuery, Cause, Digit, Direction, PartyInfo,
    Principal,
};
use crate::event::Event;
use crate::site::{Access, Device, DeviceId, Site, UserId};
use crate::time::Now;
use crate::wire::rows::{self, Rows};
use crate::wire::{Code, Failure, Fields};

/// Commands of one session that call control has accepted and not completed.
pub(crate) const MAX_PENDING: usize = 64;
/// What may be dialled, and the hint shown with it.
const MAX_TEXT: usize = 128;
/// The longest id that a reply repeats.
const MAX_ID: usize = 64;
/// Digits in one `send-digits`.
const MAX_DIGITS: usize = 64;

const CALL_COLUMNS: &[&str] = &["call-id", "state", "direction", "device", "parties", "started", "actions"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MakeCall {
    dest: String,
    name_hint: Option<String>,
    device: Option<String>,
    /// The flow it guides comes with transfer and conference; phones in the field send it with every call (S61).
    #[serde(rename = "guided-conf-transfer")]
    _guided: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OneCall {
    call_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Answer {
    call_id: String,
    device: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SendDigits {
    call_id: String,
    digits: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OneCallTo {
    call_id: String,
    dest: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TwoCalls {
    call_id: String,
    with: String,
}

pub(super) fn make_call(cx: &mut Context<'_>, request: MakeCall) -> Outcome {
    let dest = number("dest", &request.dest)?;
    let hint = request.name_hint.filter(|hint| !hint.trim().is_empty());
    if hint.as_ref().is_some_and(|hint| hint.len() > MAX_TEXT || hint.chars().any(char::is_control)) {
        return Err(Failure::bad("name-hint", format!("name-hint is a name of at most {MAX_TEXT} bytes")));
    }
    let user = cx.principal()?.user;
    let device = request.device.map(|id| own_device_id(cx.site, user, &id)).transpose()?;
    execute(cx, CallCommand::MakeCall { dest, name_hint: hint, device }, None)
}

pub(super) fn drop_call(cx: &mut Context<'_>, request: OneCall) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::Drop(call)))
}

pub(super) fn answer(cx: &mut Context<'_>, request: Answer) -> Outcome {
    let user = cx.principal()?.user;
    let device = request.device.map(|id| own_device_id(cx.site, user, &id)).transpose()?;
    command(cx, &request.call_id, |call| Ok(CallCommand::Answer { call, device }))
}

pub(super) fn hold(cx: &mut Context<'_>, request: OneCall) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::Hold(call)))
}

pub(super) fn unhold(cx: &mut Context<'_>, request: OneCall) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::Unhold(call)))
}

pub(super) fn send_digits(cx: &mut Context<'_>, request: SendDigits) -> Outcome {
    let digits: Option<Vec<Digit>> = request.digits.chars().take(MAX_DIGITS + 1).map(Digit::from_char).collect();
    let digits = digits.filter(|digits| (1..=MAX_DIGITS).contains(&digits.len()));
    let bad = || Failure::bad("digits", format!("digits are 1 to {MAX_DIGITS} of 0-9, *, #, A-D"));
    command(cx, &request.call_id, |call| Ok(CallCommand::SendDigits(call, digits.ok_or_else(bad)?)))
}

pub(super) fn blind_transfer(cx: &mut Context<'_>, request: OneCallTo) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::BlindTransfer(call, number("dest", &request.dest)?)))
}

pub(super) fn redirect(cx: &mut Context<'_>, request: OneCallTo) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::Redirect(call, number("dest", &request.dest)?)))
}

pub(super) fn consult(cx: &mut Context<'_>, request: OneCallTo) -> Outcome {
    command(cx, &request.call_id, |call| Ok(CallCommand::Consult(call, number("dest", &request.dest)?)))
}

pub(super) fn complete_transfer(cx: &mut Context<'_>, request: TwoCalls) -> Outcome {
    let who = cx.principal()?;
    let is_there = |id: CallId| !cx.control.view(cx.site, &who, CallQuery::One(id)).is_empty();
    let other = call_id(&request.with).map_err(|_| no_such_call("with"));
    let with = other.and_then(|id| if is_there(id) { Ok(id) } else { Err(not_there(cx, who.user, "with", id)) });
    // The call that is to be transferred is to blame first.
    let named = call_id(&request.call_id).is_ok_and(is_there);
    command(cx, &request.call_id, |call| match with {
        Err(failure) if named => Err(failure),
        Ok(with) => Ok(CallCommand::CompleteTransfer { call, with }),
        Err(_) => Err(Failure::new(Code::NOT_FOUND, String::new())),
    })
}

/// What may be dialled.
pub(super) fn number(field: &str, dest: &str) -> Result<String, Failure> {
    let dest = dest.trim();
    match dest.is_empty() || dest.len() > MAX_TEXT {
        true => Err(Failure::bad(field, format!("{field} is a number of at most {MAX_TEXT} bytes"))),
        false => Ok(dest.to_owned()),
    }
}

pub(super) fn get_calls(cx: &mut Context<'_>, _: Nothing) -> Outcome {
    let who = cx.principal()?;
    let calls = calls(cx.site, cx.control, &who);
    Ok(Progress::Done(Fields::from_iter([("calls".to_owned(), calls)])))
}

/// A command for one call. Whatever it comes to, the client is told which call it was about.
pub(super) fn command(
    cx: &mut Context<'_>,
    asked: &str,
    command: impl FnOnce(CallId) -> Result<CallCommand, Failure>,
) -> Outcome {
    let user = cx.principal()?.user;
    let outcome = match call_id(asked) {
        Ok(call) => command(call).and_then(|command| execute(cx, command, Some(call))).map_err(|failure| {
            let is_about_it = failure.code == Code::NOT_FOUND && failure.field.is_none();
            if is_about_it { not_there(cx, user, "call-id", call) } else { failure }
        }),
        Err(failure) => Err(failure),
    };
    let call_id = Some(asked).filter(|asked| asked.len() <= MAX_ID).map(str::to_owned);
    outcome.map_err(|failure| Failure { call_id, ..failure })
}

/// Why a call cannot be found: it was this user's and has ended, or (another's, and one that never was, are told alike) there is none.
fn not_there(cx: &Context<'_>, user: UserId, field: &str, call: CallId) -> Failure {
    match cx.core.gone.was(call, user) {
        true => Failure::of(field, Code::GONE, "the call has ended"),
        false => no_such_call(field),
    }
}

pub(super) fn execute(cx: &mut Context<'_>, command: CallCommand, asked: Option<CallId>) -> Outcome {
    let who = cx.principal()?;
    let session = cx.session()?;
    if cx.core.sessions.get(session).is_some_and(|session| session.pending >= MAX_PENDING) {
        return Err(Failure::new(Code::OVERLOADED, format!("{MAX_PENDING} commands of this session are pending")));
    }
    let place = place_of(&command);
    let accepted = cx.control.execute(cx.now, cx.site, &who, command).map_err(Failure::from);
    let Accepted { ticket, call } = accepted.map_err(|failure| match failure.code {
        Code::BAD_VALUE | Code::NO_ROUTE => Failure { field: place.map(str::to_owned), ..failure },
        _ => failure,
    })?;
    Ok(Progress::Pending(ticket, call.or(asked)))
}

/// The member that says where to: what else could be wrong with a command that call control understands?
fn place_of(command: &CallCommand) -> Option<&'static str> {
    match command {
        CallCommand::MakeCall { .. }
        | CallCommand::BlindTransfer(..)
        | CallCommand::Redirect(..)
        | CallCommand::Consult(..) => Some("dest"),
        CallCommand::Park { .. } => Some("orbit"),
        CallCommand::Drop(_)
        | CallCommand::Answer { .. }
        | CallCommand::Hold(_)
        | CallCommand::Unhold(_)
        | CallCommand::SendDigits(..)
        | CallCommand::Unpark { .. }
        | CallCommand::Pickup { .. }
        | CallCommand::CompleteTransfer { .. } => None,
    }
}

/// Adds `call-id` where there is one.
pub(crate) fn with_call(mut fields: Fields, call: Option<CallId>) -> Fields {
    if let Some(call) = call {
        fields.insert("call-id".into(), call.to_string().into());
    }
    fields
}

/// Ids are opaque: one that was never given is not found, whatever it looks like.
pub(super) fn call_id(text: &str) -> Result<CallId, Failure> {
    let id = u64::from_str_radix(text, 16).ok().map(CallId).filter(|id| id.to_string() == text);
    id.ok_or_else(|| no_such_call("call-id"))
}

fn no_such_call(field: &str) -> Failure {
    Failure::of(field, Code::NOT_FOUND, "there is no such call")
}

/// Likewise.
pub(crate) fn device_id(site: &Site, text: &str) -> Result<DeviceId, Failure> {
    let id = text.parse().ok().map(DeviceId).filter(|id| id.0.to_string() == text && site.device(*id).is_some());
    id.ok_or_else(no_such_device)
}

/// One of this user's: another's is told like one that is not there.
pub(crate) fn own_device_id(site: &Site, user: UserId, text: &str) -> Result<DeviceId, Failure> {
    let is_own = |id: &DeviceId| site.device(*id).is_some_and(|device| device.user == Some(user));
    device_id(site, text).ok().filter(is_own).ok_or_else(no_such_device)
}

fn no_such_device() -> Failure {
    Failure::of("device", Code::NOT_FOUND, "there is no such device")
}

/// All calls of a user, as rows.
pub(crate) fn calls(site: &Site, control: &dyn CallControl, who: &Principal) -> Value {
    let mut rows = Rows::new(CALL_COLUMNS);
    for call in control.view(site, who, CallQuery::OfUser(who.user)) {
        rows.push(call_row(&call, control.allowed(site, who, call.id)));
    }
    rows.into()
}

fn call_row(call: &CallInfo, actions: Actions) -> Vec<Value> {
    let direction = match call.direction {
        Direction::Out => "out",
        Direction::In => "in",
    };
    vec![
        call.id.to_string().into(),
        call.state.name().into(),
        direction.into(),
        call.device.map(|device| device.0.to_string()).into(),
        parties(&call.parties),
        call.started.0.into(),
        actions.names().map(Value::from).collect(),
    ]
}

fn parties(parties: &[PartyInfo]) -> Value {
    let mut rows = Rows::new(&["addr", "name", "state"]);
    for party in parties {
        rows.push(vec![party.addr.as_str().into(), party.name.as_str().into(), party.state.name().into()]);
    }
    rows.into()
}

/// A call began or changed.
pub(crate) fn call_event(now: Now, call: &CallInfo, actions: Actions, cause: Option<Cause>) -> Event {
    let mut fields = rows::as_object(CALL_COLUMNS, call_row(call, actions));
    if let Some(cause) = cause {
        fields.insert("cause".into(), cause.name().into());
    }
    Event::new(now, "tel", "call-evt", &fields)
}

/// A call is over.
pub(crate) fn call_ended_event(now: Now, call: CallId, cause: Cause, duration_msec: u64) -> Event {
    let mut fields = with_call(Fields::new(), Some(call));
    fields.insert("cause".into(), cause.name().into());
    fields.insert("duration-msec".into(), duration_msec.into());
    Event::new(now, "tel", "call-ended-evt", &fields)
}

const DEVICE_COLUMNS: &[&str] = &["device", "sip-user", "registered"];

/// All devices of a user, as rows.
pub(crate) fn devices(site: &Site, control: &dyn CallControl, user: UserId) -> Value {
    let mut rows = Rows::new(DEVICE_COLUMNS);
    for device in site.devices_of(user) {
        rows.push(device_row(device, control.is_registered(device.id)));
    }
    rows.into()
}

fn device_row(device: &Device, registered: bool) -> Vec<Value> {
    let sip_user = match &device.access {
        Access::Digest { sip_user, .. } => sip_user.as_str().into(),
        Access::Address(_) => Value::Null,
    };
    vec![device.id.0.to_string().into(), sip_user, registered.into()]
}

/// The first event of a subscription to `tel device`: all calls and devices of the user, cut at this instant.
pub(crate) fn snapshot_event(now: Now, site: &Site, control: &dyn CallControl, who: &Principal) -> Event {
    let mut fields = Fields::new();
    fields.insert("kind".into(), "device".into());
    fields.insert("calls".into(), calls(site, control, who));
    fields.insert("devices".into(), devices(site, control, who.user));
    Event::new(now, "tel", "snapshot-evt", &fields)
}

/// A device became reachable or ceased to be (S131).
pub(crate) fn device_event(now: Now, device: &Device, registered: bool) -> Event {
    Event::new(now, "tel", "device-evt", &rows::as_object(DEVICE_COLUMNS, device_row(device, registered)))
}
