//! Topic `system`, of calls: those of everybody, for administrators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::telephony::call_id;
use super::{Context, Outcome, Progress};
use crate::control::{CallLine, CallStage, Cause, LegReport, MessageReport, Shown};
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure};

/// The most calls in one list.
const MAX_CALLS: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct GetCalls {
    /// Those that ended lately, instead of those that go on.
    ended: Option<bool>,
    max: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct GetCall {
    call_id: String,
}

row! {
    /// A call of anybody's.
    pub(super) struct Line {
        /// The caller's end.
        call_id: String,
        /// The called party's end.
        far_id: String,
        from: String,
        to: String,
        state: Stage,
        started: u64,
        /// How long the two have been talking, in milliseconds.
        talked: u64,
        ended: Option<u64>,
        cause: Option<Cause>,
    }
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Ringing,
    Talking,
    Ended,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Lines {
    calls: Table<Line>,
    /// How many there are.
    total: usize,
}

row! {
    /// One phone's part in a call.
    pub(super) struct Leg {
        party: Party,
        user: Option<String>,
        device: String,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// Where the phone is.
        peer: String,
        /// Where the switch is, towards it.
        local: String,
        /// Where it sends its sound.
        rtp_port: u16,
        codecs: Vec<String>,
        /// What its stream has counted, as in call records.
        media: Value,
        counted: Option<u64>,
    }
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Party {
    Caller,
    Called,
}

row! {
    /// One SIP message of a call.
    pub(super) struct Message {
        /// Since the call began.
        after_usec: u64,
        /// An index into `legs`, from 0.
        leg: usize,
        from_phone: bool,
        text: String,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report {
    #[serde(flatten)]
    line: Line,
    legs: Table<Leg>,
    messages: Table<Message>,
    /// How many messages there were besides.
    omitted: u32,
}

pub(super) fn get_calls(cx: &mut Context<'_>, request: GetCalls) -> Outcome<Lines> {
    let shown = if request.ended == Some(true) { Shown::Ended } else { Shown::Live };
    let (calls, total) = cx.control.calls(cx.now, shown, request.max.unwrap_or(MAX_CALLS).min(MAX_CALLS));
    Ok(Progress::Done(Lines { calls: calls.iter().map(line).collect(), total }))
}

pub(super) fn get_call(cx: &mut Context<'_>, request: GetCall) -> Outcome<Report> {
    let text = || format!("there is no call {}, or it ended too long ago", request.call_id);
    let missing = || Failure::of("call-id", Code::NOT_FOUND, text());
    let id = call_id(&request.call_id)?;
    let report = cx.control.report(cx.now, id).ok_or_else(missing)?;
    Ok(Progress::Done(Report {
        line: line(&report.line),
        legs: report.legs.iter().map(|told| leg(cx, told)).collect(),
        messages: report.messages.into_iter().map(message).collect(),
        omitted: report.omitted,
    }))
}

fn line(call: &CallLine) -> Line {
    let CallLine { id, far, from, to, stage, started, talked_msec } = call;
    let (state, ended, cause) = match stage {
        CallStage::Ringing => (Stage::Ringing, None, None),
        CallStage::Talking => (Stage::Talking, None, None),
        CallStage::Ended(at, cause) => (Stage::Ended, Some(at.0), Some(*cause)),
    };
    Line {
        call_id: id.to_string(),
        far_id: far.to_string(),
        from: from.clone(),
        to: to.clone(),
        state,
        started: started.0,
        talked: *talked_msec,
        ended,
        cause,
    }
}

fn leg(cx: &Context<'_>, leg: &LegReport) -> Leg {
    let user = cx.site.device(leg.device).and_then(|device| device.user);
    Leg {
        party: if leg.is_caller { Party::Caller } else { Party::Called },
        user: user.and_then(|user| cx.site.extension_of(user)).map(|extension| extension.0.clone()),
        device: leg.device.0.to_string(),
        transport: leg.transport,
        peer: leg.peer.to_string(),
        local: leg.local.to_string(),
        rtp_port: leg.port,
        codecs: leg.codecs.clone(),
        // It was written by the switch itself, so that it can be read.
        media: serde_json::from_str(&leg.media).unwrap_or_default(),
        counted: leg.counted.map(|at| at.0),
    }
}

fn message(message: MessageReport) -> Message {
    let MessageReport { after_usec, leg, from_phone, text } = message;
    Message { after_usec, leg, from_phone, text }
}
