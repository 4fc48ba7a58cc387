//! Topic `subscribe`: what the session is told of (S49-S56). A write is answered once the store has it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Context, Nothing, Outcome, Progress, Waiting, handling, parking, telephony};
use crate::control::{CallControl, Principal};
use crate::event::Event;
use crate::session::Session;
use crate::site::Site;
use crate::store::{Change, Request, SubscriptionRecord};
use crate::subscription::{self, Row, Subscribed, check_room, rows_asked};
use crate::time::Now;
use crate::wire::rows::Table;
use crate::wire::{Code, Failure};

/// What `subscribe-events` waits with.
pub(crate) struct Addition {
    /// What the store was given.
    records: Vec<SubscriptionRecord>,
    /// The topics and kinds that were asked for: each has its snapshot, also where it was subscribed to before.
    kinds: BTreeSet<(String, String)>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SubscribeEvents {
    #[schemars(schema_with = "rows_asked")]
    subscribe: Vec<Value>,
}

/// All of the session.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Subscriptions {
    subscriptions: Table<Subscribed>,
}

/// By id, several ids, or the rows that were subscribed to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Unsubscribe {
    sub_id: Option<String>,
    #[serde(default)]
    sub_ids: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "rows_asked")]
    unsubscribe: Vec<Value>,
}

pub(super) fn subscribe_events(cx: &mut Context<'_>, request: SubscribeEvents) -> Outcome<Subscriptions> {
    let rows = request.subscribe.iter().map(|row| Row::parse("subscribe", row)).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Ok(Progress::Done(current(cx)?));
    }
    rows.iter().try_for_each(|row| row.check("subscribe"))?;
    for ext in rows.iter().filter(|row| row.topic == "config").flat_map(|row| &row.args) {
        handling::whose(cx, "subscribe", Some(ext))?;
    }
    let key = cx.session()?;
    let Some(session) = cx.core.sessions.get(key) else { return Err(Failure::ended()) };
    let kinds = rows.iter().map(|row| (row.topic.clone(), row.kind.clone())).collect();
    let mut new: Vec<Row> = Vec::new();
    for row in rows {
        if !session.subscriptions.values().any(|record| row.is(record)) && !new.contains(&row) {
            new.push(row);
        }
    }
    check_room(session, new.len())?;
    let client = session.client.clone();
    let records: Vec<SubscriptionRecord> = new
        .into_iter()
        .map(|row| SubscriptionRecord {
            id: cx.core.next_subscription(),
            user: client.user,
            app_id: client.app_id.clone(),
            device: client.device,
            topic: row.topic,
            kind: row.kind,
            args: row.args,
        })
        .collect();
    if records.is_empty() {
        return Ok(Progress::Done(subscribed(cx, Addition { records, kinds })?));
    }
    let changes = records.iter().cloned().map(Change::PutSubscription).collect();
    Ok(Progress::Store(Request::Write(changes), Waiting::Subscribe(Addition { records, kinds })))
}

/// The store has it: from this instant on the session is told, and the snapshot is cut at the same.
pub(super) fn subscribed(cx: &mut Context<'_>, addition: Addition) -> Result<Subscriptions, Failure> {
    let surplus: Vec<Change> = addition.records.iter().map(|record| Change::RemoveSubscription(record.id)).collect();
    let key = match cx.session() {
        Ok(key) => key,
        Err(failure) => {
            // The session ended meanwhile, and its subscriptions with it.
            cx.core.write(surplus);
            return Err(failure);
        }
    };
    let who = cx.principal()?;
    let Some(session) = cx.core.sessions.get_mut(key) else { return Err(Failure::ended()) };
    session.subscriptions.extend(addition.records.into_iter().map(|record| (record.id, record)));
    let snapshots = snapshots(cx.now, cx.site, cx.control, &who, session, &addition.kinds);
    for snapshot in snapshots {
        cx.core.sessions.push(cx.now, key, snapshot);
    }
    current(cx)
}

/// What is so at the instant subscriptions of these topics and kinds begin.
pub(crate) fn snapshots(
    now: Now,
    site: &Site,
    control: &dyn CallControl,
    who: &Principal,
    session: &Session,
    kinds: &BTreeSet<(String, String)>,
) -> Vec<Event> {
    let snapshot = |(topic, kind): &(String, String)| match (topic.as_str(), kind.as_str()) {
        ("config", _) => Some(handling::snapshot_event(now, site, who, session)),
        ("tel", "device") => Some(telephony::snapshot_event(now, site, control, who)),
        ("tel", "park") => Some(parking::snapshot_event(now, site, control, who)),
        _ => None,
    };
    kinds.iter().filter_map(snapshot).collect()
}

pub(super) fn unsubscribe(cx: &mut Context<'_>, request: Unsubscribe) -> Outcome<Subscriptions> {
    if request.sub_id.is_none() && request.sub_ids.is_empty() && request.unsubscribe.is_empty() {
        return Err(Failure::missing_one_of(&["sub-id", "sub-ids", "unsubscribe"]));
    }
    let rows = request.unsubscribe.iter().map(|row| Row::parse("unsubscribe", row)).collect::<Result<Vec<_>, _>>()?;
    let Some(session) = cx.core.sessions.get(cx.session()?) else { return Err(Failure::ended()) };
    let not_found = |field| Failure::of(field, Code::NOT_FOUND, "there is no such subscription in this session");
    let mut ids = Vec::new();
    for id in request.sub_id.iter().chain(&request.sub_ids) {
        let known = id.parse().ok().filter(|known: &u64| session.subscriptions.contains_key(known));
        ids.push(known.ok_or_else(|| not_found("sub-id"))?);
    }
    for row in rows {
        let known = session.subscriptions.iter().find(|(_, record)| row.is(record)).map(|(id, _)| *id);
        ids.push(known.ok_or_else(|| not_found("unsubscribe"))?);
    }
    let changes = ids.iter().copied().map(Change::RemoveSubscription).collect();
    Ok(Progress::Store(Request::Write(changes), Waiting::Unsubscribe(ids)))
}

/// The store has it: no event after this instant.
pub(super) fn unsubscribed(cx: &mut Context<'_>, ids: &[u64]) -> Result<Subscriptions, Failure> {
    let key = cx.session()?;
    if let Some(session) = cx.core.sessions.get_mut(key) {
        session.subscriptions.retain(|id, _| !ids.contains(id));
    }
    current(cx)
}

pub(super) fn list(cx: &mut Context<'_>, _: Nothing) -> Outcome<Subscriptions> {
    Ok(Progress::Done(current(cx)?))
}

fn current(cx: &Context<'_>) -> Result<Subscriptions, Failure> {
    let session = cx.core.sessions.get(cx.session()?).ok_or_else(Failure::ended)?;
    Ok(Subscriptions { subscriptions: subscription::summary(session) })
}
