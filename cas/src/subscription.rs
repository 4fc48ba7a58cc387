//! Subscriptions: what a session is told of, and how it outlives a restart of the switch.
//!
//! A live session has its own list. What the store held at the start belongs to clients that have not come back yet: the first login
//! of the same user, `app-id` and device takes it up; what nobody took up in time is removed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::session::{Client, Session};
use crate::site::UserId;
use crate::store::{Change, SubscriptionRecord};
use crate::time::Now;
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure};

/// Subscriptions of one session.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 256;
/// How long after the start a client may take up what it had subscribed to.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// What is subscribed to: a row of `subscribe-events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) topic: String,
    pub(crate) kind: String,
    pub(crate) args: Vec<String>,
}

/// The shape of a list of rows as [`Row::parse`] takes them.
pub(crate) fn rows_asked(_: &mut SchemaGenerator) -> Schema {
    let (text, texts) =
        (json!({"type": ["string", "null"]}), json!({"type": ["array", "null"], "items": {"type": "string"}}));
    json_schema!({"type": "array", "items": {
        "type": "array", "minItems": 1, "maxItems": 3, "prefixItems": [text, text, texts], "items": false,
    }})
}

impl Row {
    /// Reads `[topic, kind, [argument, …]]`; kind and arguments may be left out.
    pub(crate) fn parse(field: &str, row: &Value) -> Result<Row, Failure> {
        let bad = || Failure::bad(field, "a row is [topic, kind, [argument, …]]");
        let items = row.as_array().filter(|items| (1..=3).contains(&items.len())).ok_or_else(bad)?;
        let text = |index: usize| match items.get(index) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.replace('_', "-")),
            Some(_) => Err(bad()),
        };
        let args = match items.get(2) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(args)) => {
                args.iter().map(|arg| arg.as_str().map(str::to_owned).ok_or_else(bad)).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(bad()),
        };
        Ok(Row { topic: text(0)?, kind: text(1)?, args })
    }

    /// Whether there are such events.
    pub(crate) fn check(&self, field: &str) -> Result<(), Failure> {
        match (self.topic.as_str(), self.kind.as_str(), self.args.is_empty()) {
            ("tel", "device" | "park", true) => Ok(()),
            ("tel", "device", false) => {
                Err(Failure::bad(field, "tel device is one's own calls and devices: it takes no arguments"))
            }
            ("tel", "park", false) => Err(Failure::bad(field, "tel park is all parked calls: it takes no arguments")),
            // Who may name whom is for the topic to say.
            ("config", "", _) => Ok(()),
            (topic, kind, _) => Err(Failure::bad(
                field,
                format!("there are no events of topic {topic:?}, kind {kind:?}: tel device, tel park, config"),
            )),
        }
    }

    pub(crate) fn is(&self, record: &SubscriptionRecord) -> bool {
        self.topic == record.topic && self.kind == record.kind && self.args == record.args
    }
}

/// Whether a session is told of its user's calls and devices.
pub(crate) fn sees_own_device(session: &Session) -> bool {
    session.subscriptions.values().any(|record| record.topic == "tel" && record.kind == "device")
}

/// Whether a session is told of parked calls.
pub(crate) fn sees_parked(session: &Session) -> bool {
    session.subscriptions.values().any(|record| record.topic == "tel" && record.kind == "park")
}

/// Whether a session is told of the configuration: of this user, or of anybody. An administrator's names users; everybody's own names nobody.
pub(crate) fn sees_configuration(session: &Session, of: Option<(UserId, &str)>) -> bool {
    session.subscriptions.values().filter(|record| record.topic == "config").any(|record| match of {
        None => true,
        Some((user, _)) if record.args.is_empty() => user == session.client.user,
        Some((_, login)) => record.args.iter().any(|arg| arg == login),
    })
}

row! {
    /// A subscription.
    pub(crate) struct Subscribed {
        sub_id: String,
        topic: String,
        kind: String,
        args: Vec<String>,
    }
}

/// The summary that every read and write of subscriptions answers with (S53, S55).
pub(crate) fn summary(session: &Session) -> Table<Subscribed> {
    let row = |(id, record): (&u64, &SubscriptionRecord)| Subscribed {
        sub_id: id.to_string(),
        topic: record.topic.clone(),
        kind: record.kind.clone(),
        args: record.args.clone(),
    };
    session.subscriptions.iter().map(row).collect()
}

/// What the store held at the start and nobody has taken up.
#[derive(Debug)]
pub(crate) struct Kept {
    records: BTreeMap<Client, Vec<SubscriptionRecord>>,
    until: Option<Instant>,
}

impl Kept {
    pub(crate) fn new(records: &[SubscriptionRecord]) -> Kept {
        let mut kept: BTreeMap<Client, Vec<SubscriptionRecord>> = BTreeMap::new();
        for record in records {
            let client = Client { user: record.user, app_id: record.app_id.clone(), device: record.device };
            kept.entry(client).or_default().push(record.clone());
        }
        Kept { records: kept, until: None }
    }

    /// The first input starts the clock.
    pub(crate) fn start(&mut self, now: Now) {
        self.until.get_or_insert(now.mono + KEPT_FOR);
    }

    /// What this client had subscribed to; identical rows are merged, the second list is what the store no longer needs.
    pub(crate) fn take(&mut self, client: &Client) -> (Vec<SubscriptionRecord>, Vec<Change>) {
        let mut taken: Vec<SubscriptionRecord> = Vec::new();
        let mut surplus = Vec::new();
        for record in self.records.remove(client).unwrap_or_default() {
            let row = Row { topic: record.topic.clone(), kind: record.kind.clone(), args: record.args.clone() };
            match taken.len() >= MAX_SUBSCRIPTIONS || taken.iter().any(|other| row.is(other)) {
                true => surplus.push(Change::RemoveSubscription(record.id)),
                false => taken.push(record),
            }
        }
        (taken, surplus)
    }

    /// The user is no more; the store has removed what was his.
    pub(crate) fn forget(&mut self, user: UserId) {
        self.records.retain(|client, _| client.user != user);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.until.filter(|_| !self.records.is_empty())
    }

    /// What the store no longer needs, once the time is over.
    pub(crate) fn expire(&mut self, now: Now) -> Vec<Change> {
        if self.next_timeout().is_none_or(|until| now.mono < until) {
            return Vec::new();
        }
        let records = std::mem::take(&mut self.records).into_values().flatten();
        records.map(|record| Change::RemoveSubscription(record.id)).collect()
    }
}

/// No more than the limit.
pub(crate) fn check_room(session: &Session, more: usize) -> Result<(), Failure> {
    match session.subscriptions.len() + more <= MAX_SUBSCRIPTIONS {
        true => Ok(()),
        false => {
            Err(Failure::new(Code::LIMIT, format!("a session has at most {MAX_SUBSCRIPTIONS} subscriptions: end some")))
        }
    }
}
