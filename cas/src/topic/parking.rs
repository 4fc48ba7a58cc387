//! Topic `tel`, of calls that are to be got: parked ones (S62), which are nobody's, and those that ring for another (S69).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telephony::{Commanded, command, execute, number};
use super::{Context, Nothing, Outcome, Progress};
use crate::control::{CallCommand, CallControl, ParkedInfo, ParkedState, Principal};
use crate::event::{Event, Tells};
use crate::site::Site;
use crate::time::Now;
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure};

row! {
    /// A parked call.
    pub(crate) struct ParkedRow {
        /// Where it is: an orbit or an extension.
        orbit: String,
        /// Who is parked.
        addr: String,
        name: String,
        /// The number of the user who parked it.
        by: String,
        since: u64,
        state: ParkedState,
        /// `unpark`, where this user may.
        actions: Vec<Fetch>,
    }
}

/// What may be done with a parked call.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fetch {
    Unpark,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Parked {
    parked: Table<ParkedRow>,
}

/// A call was parked, its parker is rung or no longer rung, or it is parked no more.
impl Tells for ParkedRow {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "parked-evt";
}

/// The first event of a subscription to `tel park`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ParkSnapshot {
    #[schemars(extend("const" = "park"))]
    kind: &'static str,
    parked: Table<ParkedRow>,
}

impl Tells for ParkSnapshot {
    const TOPIC: &'static str = "tel";
    const NAME: &'static str = "snapshot-evt";
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Park {
    call_id: String,
    orbit: Option<String>,
}

/// Where something is to be got.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Place {
    orbit: Option<String>,
    ext: Option<String>,
}

pub(super) fn park(cx: &mut Context<'_>, request: Park) -> Outcome<Commanded> {
    command(cx, &request.call_id, |call| {
        let orbit = request.orbit.as_deref().map(|orbit| number("orbit", orbit)).transpose()?;
        Ok(CallCommand::Park { call, orbit })
    })
}

pub(super) fn unpark(cx: &mut Context<'_>, request: Place) -> Outcome<Commanded> {
    fetch(cx, request, |orbit| CallCommand::Unpark { orbit }, "nothing is parked there")
}

pub(super) fn pickup(cx: &mut Context<'_>, request: Place) -> Outcome<Commanded> {
    fetch(cx, request, |ext| CallCommand::Pickup { ext }, "nothing rings there, and nothing is parked")
}

fn fetch(
    cx: &mut Context<'_>,
    request: Place,
    command: fn(String) -> CallCommand,
    nothing: &str,
) -> Outcome<Commanded> {
    let (field, orbit) = match (request.orbit, request.ext) {
        (Some(orbit), _) => ("orbit", orbit),
        (None, Some(ext)) => ("ext", ext),
        (None, None) => return Err(Failure::missing_one_of(&["orbit", "ext"])),
    };
    let orbit = number(field, &orbit)?;
    let outcome = execute(cx, command(orbit), None);
    outcome.map_err(|failure| match failure.code {
        Code::NOT_FOUND => Failure::of(field, Code::NOT_FOUND, nothing),
        _ => failure,
    })
}

pub(super) fn get_parked(cx: &mut Context<'_>, _: Nothing) -> Outcome<Parked> {
    let who = cx.principal()?;
    Ok(Progress::Done(Parked { parked: parked(cx.site, cx.control, &who) }))
}

/// All parked calls.
fn parked(site: &Site, control: &dyn CallControl, who: &Principal) -> Table<ParkedRow> {
    let calls = control.parked(site);
    calls.iter().map(|call| row(call, control.may_unpark(site, who, &call.orbit))).collect()
}

fn row(call: &ParkedInfo, may_unpark: bool) -> ParkedRow {
    ParkedRow {
        orbit: call.orbit.clone(),
        addr: call.addr.clone(),
        name: call.name.clone(),
        by: call.by.clone(),
        since: call.since.0,
        state: call.state,
        actions: may_unpark.then_some(Fetch::Unpark).into_iter().collect(),
    }
}

pub(crate) fn snapshot_event(now: Now, site: &Site, control: &dyn CallControl, who: &Principal) -> Event {
    Event::of(now, &ParkSnapshot { kind: "park", parked: parked(site, control, who) })
}

/// A parked call began, changed, or is parked no more.
pub(crate) fn event(now: Now, call: &ParkedInfo, may_unpark: bool) -> Event {
    Event::of(now, &row(call, may_unpark))
}
