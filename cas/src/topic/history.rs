//! Topic `history`: records of placed, received and missed calls (S112-S116), read by the store thread.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::telephony::own_device_id;
use super::{Context, Outcome, Progress, Waiting};
use crate::store::{HistoryKind, HistoryQuery, HistoryRecord, MAX_HISTORY, Request};
use crate::time::Wall;
use crate::wire::rows::Rows;
use crate::wire::{Failure, Fields};

const DEFAULT_MAX: usize = 100;

const COLUMNS: &[&str] =
    &["rec-id", "type", "addr", "name", "started", "duration-msec", "device", "call-id", "note", "actions", "cause"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct GetRecs {
    by: Option<By>,
    /// Which device: named, only its records are meant where `by` is left out. `by` device without it: the one the session stands at.
    device: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    max: Option<usize>,
    /// Begun before this instant, ms since 1970.
    before: Option<u64>,
    /// Begun after it.
    after: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    User,
    Device,
}

pub(super) fn get_recs(cx: &mut Context<'_>, request: GetRecs) -> Outcome {
    let who = cx.principal()?;
    let named = request.device.map(|id| own_device_id(cx.site, who.user, &id)).transpose()?;
    let device = match request.by {
        Some(By::Device) => Some(named.or(who.device).ok_or_else(|| Failure::missing("device"))?),
        Some(By::User) => None,
        None => named,
    };
    let kind = |name: String| {
        HistoryKind::from_name(&name).ok_or_else(|| Failure::bad("type", "type is placed, received or missed"))
    };
    let query = HistoryQuery {
        user: who.user,
        device,
        kind: request.kind.map(kind).transpose()?,
        before: request.before.map(Wall),
        after: request.after.map(Wall),
        max: request.max.unwrap_or(DEFAULT_MAX).min(MAX_HISTORY),
    };
    Ok(Progress::Store(Request::History(query), Waiting::Records))
}

/// The store's answer as rows, newest first.
pub(super) fn reply(records: &[HistoryRecord]) -> Progress {
    let mut rows = Rows::new(COLUMNS);
    for record in records {
        let id = record.call.to_string();
        rows.push(vec![
            id.as_str().into(),
            record.kind.name().into(),
            record.addr.as_str().into(),
            record.name.as_str().into(),
            record.started.0.into(),
            record.duration_msec.into(),
            record.device.map(|device| device.0.to_string()).into(),
            id.into(),
            record.note.as_str().into(),
            // Nothing can be done with a record yet: notes and deletion are messages to come.
            Value::Array(Vec::new()),
            record.cause.as_str().into(),
        ]);
    }
    Progress::Done(Fields::from_iter([("recs".to_owned(), rows.into())]))
}
