//! Topic `tel`: call control (S59-S77). Each message is one [`CallCommand`]; what happens to the calls comes back as [`CallEvent`](crate::control::CallEvent)s.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Nothing, Outcome, Progress};
use crate::control::{
    Accepted, Actions, CallBackInfo, CallBackState, CallCommand, CallControl, CallId, CallInfo, CallQuery, CallState,
    Cause, Digit, Direction, PartyInfo, Principal,
};
use crate::event::{Event, Tells};
use crate::site::{Access, Device, DeviceId, Site, UserId};
use crate::time::Now;
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure};

/// Commands of one session that call control has accepted and not completed.
pub(crate) const MAX_PENDING: usize = 64;
/// What may be dialled, and the hint shown with it.
const MAX_TEXT: usize = 128;
/// The longest id that a reply repeats.
const MAX_ID: usize = 64;
/// Digits in one `send-digits`.
const MAX_DIGITS: usize = 64;

row! {
    /// One call of a user's.
    pub(crate) struct CallRow {
        call_id: String,
        state: CallState,
        direction: Direction,
        /// The device it is at; null as long as that is open.
        device: Option<String>,
        /// The others.
        parties: Table<PartyRow>,
        started: u64,
        /// What may be done with it now.
        actions: Actions,
    }
}

row! {
    /// The other end of a call.
    pub(crate) struct PartyRow {
        addr: String,
        name: String,
        state: CallState,
    }
}

row! {
    /// A device of a user's.
    pub(crate) struct DeviceRow {
        device: String,
        /// null for a gateway.
        sip_user: Option<String>,
        registered: bool,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Calls {
    calls: Table<CallRow>,
}

/// What a command tells, at once as far as it knows, and in the end.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Commanded {
    /// The call it is about, or began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_id: Option<String>,
    /// Where the call is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) orbit: Option<String>,
}

impl Commanded {
    pub(crate) fn about(call: Option<CallId>) -> Commanded {
        Commanded { call_id: call.map(|call| call.to_string()), orbit: None }
    }
}

/// A call began or changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CallChanged {
    #[serde(flatten)]
    call: CallRow,
    /// Where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
}

impl Tells for CallChanged {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "call-evt";
}

/// The last event of a call.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CallEnded {
    call_id: String,
    cause: Cause,
    /// The time both talked.
    duration_msec: u64,
}

impl Tells for CallEnded {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "call-ended-evt";
}

/// A call-back of the user's was booked, is on its way or is over.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CallBack {
    addr: String,
    name: String,
    state: CallBackState,
    /// When it expires, in milliseconds since 1970.
    until: u64,
}

impl Tells for CallBack {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "call-back-evt";
}

/// A device became reachable, or ceased to be (S131).
impl Tells for DeviceRow {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "device-evt";
}

/// The first event of a subscription to `tel device`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeviceSnapshot {
    #[schemars(extend("const" = "device"))]
    kind: &'static str,
    calls: Table<CallRow>,
    devices: Table<DeviceRow>,
}

impl Tells for DeviceSnapshot {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "snapshot-evt";
}

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

pub(super) fn make_call(cx: &mut Context<'_>, request: MakeCall) -> Outcome<Commanded> {
    let dest = number("dest", &request.dest)?;
    let hint = request.name_hint.filter(|hint| !hint.trim().is_empty());
    if hint.as_ref().is_some_and(|hint| hint.len() > MAX_TEXT || hint.chars().any(char::is_control)) {
        return Err(Failure::bad("name-hint", format!("name-hint is a name of at most {MAX_TEXT} bytes")));
    }
    let user = cx.principal()?.user;
    let device = request.device.map(|id| own_device_id(cx.site, user, &id)).transpose()?;
    execute(cx, CallCommand::MakeCall { dest, name_hint: hint, device }, None)
}

pub(super) fn drop_call(cx: &mut Context<'_>, request: OneCall) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::Drop(call)))
}

pub(super) fn answer(cx: &mut Context<'_>, request: Answer) -> Outcome<Commanded> {
    let user = cx.principal()?.user;
    let device = request.device.map(|id| own_device_id(cx.site, user, &id)).transpose()?;
    command(cx, &request.call_id, |call| Ok(CallCommand::Answer { call, device }))
}

pub(super) fn hold(cx: &mut Context<'_>, request: OneCall) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::Hold(call)))
}

pub(super) fn unhold(cx: &mut Context<'_>, request: OneCall) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::Unhold(call)))
}

pub(super) fn send_digits(cx: &mut Context<'_>, request: SendDigits) -> Outcome<Commanded> {
    let digits: Option<Vec<Digit>> = request.digits.chars().take(MAX_DIGITS + 1).map(Digit::from_char).collect();
    let digits = digits.filter(|digits| (1..=MAX_DIGITS).contains(&digits.len()));
    let bad = || Failure::bad("digits", format!("digits are 1 to {MAX_DIGITS} of 0-9, *, #, A-D"));
    command(cx, &request.call_id, |call| Ok(CallCommand::SendDigits(call, digits.ok_or_else(bad)?)))
}

pub(super) fn blind_transfer(cx: &mut Context<'_>, request: OneCallTo) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::BlindTransfer(call, number("dest", &request.dest)?)))
}

pub(super) fn redirect(cx: &mut Context<'_>, request: OneCallTo) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::Redirect(call, number("dest", &request.dest)?)))
}

pub(super) fn consult(cx: &mut Context<'_>, request: OneCallTo) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| Ok(CallCommand::Consult(call, number("dest", &request.dest)?)))
}

pub(super) fn complete_transfer(cx: &mut Context<'_>, request: TwoCalls) -> Outcome<Commanded> {
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

pub(super) fn get_calls(cx: &mut Context<'_>, _: Nothing) -> Outcome<Calls> {
    let who = cx.principal()?;
    Ok(Progress::Done(Calls { calls: calls(cx.site, cx.control, &who) }))
}

/// A command for one call. Whatever it comes to, the client is told which call it was about.
pub(super) fn command(
    cx: &mut Context<'_>,
    asked: &str,
    command: impl FnOnce(CallId) -> Result<CallCommand, Failure>,
) -> Outcome<Commanded> {
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

pub(super) fn execute(cx: &mut Context<'_>, command: CallCommand, asked: Option<CallId>) -> Outcome<Commanded> {
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

/// All calls of a user.
fn calls(site: &Site, control: &dyn CallControl, who: &Principal) -> Table<CallRow> {
    let calls = control.view(site, who, CallQuery::OfUser(who.user));
    calls.iter().map(|call| call_row(call, control.allowed(site, who, call.id))).collect()
}

fn call_row(call: &CallInfo, actions: Actions) -> CallRow {
    let party = |party: &PartyInfo| PartyRow { addr: party.addr.clone(), name: party.name.clone(), state: party.state };
    CallRow {
        call_id: call.id.to_string(),
        state: call.state,
        direction: call.direction,
        device: call.device.map(|device| device.0.to_string()),
        parties: call.parties.iter().map(party).collect(),
        started: call.started.0,
        actions,
    }
}

/// A call began or changed.
pub(crate) fn call_event(now: Now, call: &CallInfo, actions: Actions, cause: Option<Cause>) -> Event {
    Event::of(now, &CallChanged { call: call_row(call, actions), cause })
}

/// A call is over.
pub(crate) fn call_ended_event(now: Now, call: CallId, cause: Cause, duration_msec: u64) -> Event {
    Event::of(now, &CallEnded { call_id: call.to_string(), cause, duration_msec })
}

/// A call-back of the user's was booked, is on its way or is over.
pub(crate) fn call_back_event(now: Now, info: &CallBackInfo) -> Event {
    let CallBackInfo { addr, name, state, until, .. } = info.clone();
    Event::of(now, &CallBack { addr, name, state, until: until.0 })
}

/// All devices of a user.
pub(crate) fn devices(site: &Site, control: &dyn CallControl, user: UserId) -> Table<DeviceRow> {
    site.devices_of(user).map(|device| device_row(device, control.is_registered(device.id))).collect()
}

fn device_row(device: &Device, registered: bool) -> DeviceRow {
    let sip_user = match &device.access {
        Access::Digest { sip_user, .. } => Some(sip_user.clone()),
        Access::Address(_) => None,
    };
    DeviceRow { device: device.id.0.to_string(), sip_user, registered }
}

/// All calls and devices of the user, cut at this instant.
pub(crate) fn snapshot_event(now: Now, site: &Site, control: &dyn CallControl, who: &Principal) -> Event {
    let (calls, devices) = (calls(site, control, who), devices(site, control, who.user));
    Event::of(now, &DeviceSnapshot { kind: "device", calls, devices })
}

/// A device became reachable or ceased to be.
pub(crate) fn device_event(now: Now, device: &Device, registered: bool) -> Event {
    Event::of(now, &device_row(device, registered))
}
