//! Topic `system`, of calls: those of everybody, for administrators.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::telephony::call_id;
use super::{Context, Outcome, Progress};
use crate::control::{CallLine, CallReport, CallStage, LegReport, MessageReport, Shown};
use crate::wire::rows::Rows;
use crate::wire::{Code, Failure, Fields};

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

pub(super) fn get_calls(cx: &mut Context<'_>, request: GetCalls) -> Outcome {
    let shown = if request.ended == Some(true) { Shown::Ended } else { Shown::Live };
    let (calls, total) = cx.control.calls(cx.now, shown, request.max.unwrap_or(MAX_CALLS).min(MAX_CALLS));
    let mut rows = Rows::new(&["call-id", "far-id", "from", "to", "state", "started", "talked", "ended", "cause"]);
    for call in calls {
        let CallLine { id, far, from, to, stage, started, talked_msec } = call;
        let (ended, cause) = ended(stage);
        rows.push(vec![
            id.to_string().into(),
            far.to_string().into(),
            from.into(),
            to.into(),
            stage.name().into(),
            started.0.into(),
            talked_msec.into(),
            ended,
            cause,
        ]);
    }
    Ok(Progress::Done(Fields::from_iter([("calls".to_owned(), rows.into()), ("total".to_owned(), total.into())])))
}

pub(super) fn get_call(cx: &mut Context<'_>, request: GetCall) -> Outcome {
    let text = || format!("there is no call {}, or it ended too long ago", request.call_id);
    let missing = || Failure::of("call-id", Code::NOT_FOUND, text());
    let id = call_id(&request.call_id)?;
    let report = cx.control.report(cx.now, id).ok_or_else(missing)?;
    Ok(Progress::Done(described(cx, &report)))
}

fn described(cx: &Context<'_>, report: &CallReport) -> Fields {
    let CallLine { id, far, from, to, stage, started, talked_msec } = &report.line;
    let (ended, cause) = ended(*stage);
    Fields::from_iter([
        ("call-id".to_owned(), id.to_string().into()),
        ("far-id".to_owned(), far.to_string().into()),
        ("from".to_owned(), from.as_str().into()),
        ("to".to_owned(), to.as_str().into()),
        ("state".to_owned(), stage.name().into()),
        ("started".to_owned(), started.0.into()),
        ("talked".to_owned(), (*talked_msec).into()),
        ("ended".to_owned(), ended),
        ("cause".to_owned(), cause),
        ("legs".to_owned(), legs(cx, &report.legs)),
        ("messages".to_owned(), messages(&report.messages)),
        ("omitted".to_owned(), report.omitted.into()),
    ])
}

fn ended(stage: CallStage) -> (Value, Value) {
    match stage {
        CallStage::Ended(at, cause) => (at.0.into(), cause.name().into()),
        CallStage::Ringing | CallStage::Talking => (Value::Null, Value::Null),
    }
}

fn legs(cx: &Context<'_>, legs: &[LegReport]) -> Value {
    let columns = ["party", "user", "device", "transport", "peer", "local", "rtp-port", "codecs", "media", "counted"];
    let mut rows = Rows::new(&columns);
    for leg in legs {
        let user = cx.site.device(leg.device).and_then(|device| device.user);
        let user = user.and_then(|user| cx.site.extension_of(user)).map(|extension| extension.0.as_str());
        // It was written by the switch itself, so that it can be read.
        let media: Value = serde_json::from_str(&leg.media).unwrap_or_default();
        rows.push(vec![
            if leg.is_caller { "caller" } else { "called" }.into(),
            user.into(),
            leg.device.0.to_string().into(),
            leg.transport.into(),
            leg.peer.to_string().into(),
            leg.local.to_string().into(),
            leg.port.into(),
            json!(leg.codecs),
            media,
            leg.counted.map(|at| at.0).into(),
        ]);
    }
    rows.into()
}

fn messages(messages: &[MessageReport]) -> Value {
    let mut rows = Rows::new(&["after-usec", "leg", "from-phone", "text"]);
    for message in messages {
        rows.push(vec![
            message.after_usec.into(),
            message.leg.into(),
            message.from_phone.into(),
            message.text.as_str().into(),
        ]);
    }
    rows.into()
}
