//! Topic `tel`, of calls that are to be got: parked ones (S62), which are nobody's, and those that ring for another (S69).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::telephony::{command, execute, number};
use super::{Context, Nothing, Outcome, Progress};
use crate::control::{CallCommand, CallControl, ParkedInfo, Principal};
use crate::event::Event;
use crate::site::Site;
use crate::time::Now;
use crate::wire::rows::{self, Rows};
use crate::wire::{Code, Failure, Fields};

const COLUMNS: &[&str] = &["orbit", "addr", "name", "by", "since", "state", "actions"];

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

pub(super) fn park(cx: &mut Context<'_>, request: Park) -> Outcome {
    command(cx, &request.call_id, |call| {
        let orbit = request.orbit.as_deref().map(|orbit| number("orbit", orbit)).transpose()?;
        Ok(CallCommand::Park { call, orbit })
    })
}

pub(super) fn unpark(cx: &mut Context<'_>, request: Place) -> Outcome {
    fetch(cx, request, |orbit| CallCommand::Unpark { orbit }, "nothing is parked there")
}

pub(super) fn pickup(cx: &mut Context<'_>, request: Place) -> Outcome {
    fetch(cx, request, |ext| CallCommand::Pickup { ext }, "nothing rings there, and nothing is parked")
}

fn fetch(cx: &mut Context<'_>, request: Place, command: fn(String) -> CallCommand, nothing: &str) -> Outcome {
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

pub(super) fn get_parked(cx: &mut Context<'_>, _: Nothing) -> Outcome {
    let who = cx.principal()?;
    let parked = parked(cx.site, cx.control, &who);
    Ok(Progress::Done(Fields::from_iter([("parked".to_owned(), parked)])))
}

/// All parked calls, as rows.
fn parked(site: &Site, control: &dyn CallControl, who: &Principal) -> Value {
    let mut rows = Rows::new(COLUMNS);
    for call in control.parked(site) {
        rows.push(row(&call, control.may_unpark(site, who, &call.orbit)));
    }
    rows.into()
}

fn row(call: &ParkedInfo, may_unpark: bool) -> Vec<Value> {
    vec![
        call.orbit.as_str().into(),
        call.addr.as_str().into(),
        call.name.as_str().into(),
        call.by.as_str().into(),
        call.since.0.into(),
        call.state.name().into(),
        may_unpark.then_some("unpark").into_iter().map(Value::from).collect(),
    ]
}

/// The first event of a subscription to `tel park`.
pub(crate) fn snapshot_event(now: Now, site: &Site, control: &dyn CallControl, who: &Principal) -> Event {
    let mut fields = Fields::new();
    fields.insert("kind".into(), "park".into());
    fields.insert("parked".into(), parked(site, control, who));
    Event::new(now, "tel", "snapshot-evt", &fields)
}

/// A parked call began, changed, or is parked no more.
pub(crate) fn event(now: Now, call: &ParkedInfo, may_unpark: bool) -> Event {
    Event::new(now, "tel", "parked-evt", &rows::as_object(COLUMNS, row(call, may_unpark)))
}
