//! Topic `history`: records of placed, received and missed calls (S112-S116), read by the store thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telephony::own_device_id;
use super::{Context, Outcome, Progress, Waiting};
use crate::store::{HistoryKind, HistoryQuery, HistoryRecord, MAX_HISTORY, Request};
use crate::time::Wall;
use crate::wire::Failure;
use crate::wire::rows::{Table, row};

const DEFAULT_MAX: usize = 100;

row! {
    /// A call record.
    pub(super) struct Rec {
        rec_id: String,
        r#type: HistoryKind,
        /// The number of the other.
        addr: String,
        /// His name; may be empty.
        name: String,
        started: u64,
        /// 0 where it was not answered.
        duration_msec: u64,
        device: Option<String>,
        call_id: String,
        note: String,
        /// Messages of this topic that the record may be named in.
        actions: Vec<String>,
        /// As in `call-ended-evt`.
        cause: String,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Recs {
    recs: Table<Rec>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct GetRecs {
    by: Option<By>,
    /// Which device: named, only its records are meant where `by` is left out. `by` device without it: the one the session stands at.
    device: Option<String>,
    #[serde(rename = "type")]
    #[schemars(with = "Option<HistoryKind>")]
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

pub(super) fn get_recs(cx: &mut Context<'_>, request: GetRecs) -> Outcome<Recs> {
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

/// The store's answer, newest first.
pub(super) fn recs(records: &[HistoryRecord]) -> Recs {
    let rec = |record: &HistoryRecord| Rec {
        rec_id: record.call.to_string(),
        r#type: record.kind,
        addr: record.addr.clone(),
        name: record.name.clone(),
        started: record.started.0,
        duration_msec: record.duration_msec,
        device: record.device.map(|device| device.0.to_string()),
        call_id: record.call.to_string(),
        note: record.note.clone(),
        // Nothing can be done with a record yet: notes and deletion are messages to come.
        actions: Vec::new(),
        cause: record.cause.clone(),
    };
    Recs { recs: records.iter().map(rec).collect() }
}
