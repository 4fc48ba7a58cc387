//! Events: encoded once for all who see the same, numbered for each session, kept until they are acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::time::Now;
use crate::topic::telephony::Commanded;
use crate::wire::{Failure, json};

/// What an event tells besides its headers, declared with its name.
pub(crate) trait Tells: Serialize + JsonSchema {
    const TOPIC: &'static str;
    const NAME: &'static str;
}

/// Something was not queued for want of room: the client asks for snapshots.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Resync {}

impl Tells for Resync {
    const TOPIC: &'static str = "session";
    const NAME: &'static str = "resync-evt";
}

/// An asynchronous message has come to its end. The topic is that of the message, and stands in the event's name.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Completion {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RequestIdTold>")]
    request_id: Option<Value>,
    /// The message that it completes.
    name: &'static str,
    /// The number that its reply had.
    response: u32,
    error: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(flatten)]
    commanded: Commanded,
}

/// As the client chose it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the schema alone")]
enum RequestIdTold {
    Number(i128),
    Text(String),
}

impl Completion {
    pub(crate) fn new(
        request_id: Option<Value>,
        name: &'static str,
        response: u32,
        result: Result<Commanded, Failure>,
    ) -> Completion {
        let (failure, commanded) = match result {
            Ok(commanded) => (None, commanded),
            Err(failure) => {
                let call_id = failure.call_id.clone();
                (Some(failure), Commanded { call_id, orbit: None })
            }
        };
        let (error, error_text, field) = match failure {
            Some(Failure { code, text, field, .. }) => (code.0, Some(text), field),
            None => (0, None, None),
        };
        Completion { request_id, name, response, error, error_text, field, commanded }
    }
}

/// An event without its number. Cloning shares the encoded bytes.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Up to and including `"sequence-id":`.
    head: Bytes,
    /// All that follows the number.
    tail: Bytes,
}

impl Event {
    pub(crate) fn of<T: Tells>(now: Now, told: &T) -> Event {
        Event::new(now, T::TOPIC, T::NAME, told)
    }

    /// `told`: what is written as an object.
    pub(crate) fn new(now: Now, topic: &str, message: &str, told: &impl Serialize) -> Event {
        let head = format!(
            "{{\"topic\":{},\"message\":{},\"timestamp\":{},\"sequence-id\":",
            json!(topic),
            json!(message),
            now.wall.0
        );
        let members = json::encode(told);
        let tail = match members.len() == "{}".len() {
            true => members.slice(1..),
            false => [b",", &members[1..]].concat().into(),
        };
        Event { head: head.into(), tail }
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(&self.tail);
    }
}

/// The events of one session that its client may not have yet.
///
/// Numbers count up from 1, and a client never sees a gap. One that tells `after` acknowledges by it; one that never does has what an
/// earlier answer carried. Of events no answer has carried yet, the ring holds `limit`, and as many again that wait to be acknowledged. The last
/// place is for a `session/resync-evt`: what happens after it is not queued until an answer has carried it, and its client then asks for snapshots.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Numbered consecutively, the last one [`Ring::last`].
    events: VecDeque<Event>,
    last: u64,
    /// The last one that an answer carried.
    delivered: u64,
    limit: usize,
    /// The number of the last `resync-evt`.
    resync: u64,
    /// Something was not queued since a `resync-evt` was delivered: another one is due when there is room.
    missed: bool,
}

impl Ring {
    pub(crate) fn new(limit: usize) -> Ring {
        Ring { events: VecDeque::new(), last: 0, delivered: 0, limit: limit.max(2), resync: 0, missed: false }
    }

    /// The number of the last event queued; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Queues, where there is room. `true` where the ring overflowed with it.
    pub(crate) fn push(&mut self, now: Now, event: Event) -> bool {
        let is_closed = self.resync > self.delivered;
        let undelivered = self.last - self.delivered;
        match self.has_room() {
            _ if is_closed => false,
            true if undelivered + 1 < self.limit as u64 => {
                self.append(event);
                false
            }
            true => {
                self.append_resync(now);
                true
            }
            false => !std::mem::replace(&mut self.missed, true),
        }
    }

    fn has_room(&self) -> bool {
        self.events.len() < 2 * self.limit
    }

    fn append_resync(&mut self, now: Now) {
        self.append(Event::of(now, &Resync {}));
        self.resync = self.last;
    }

    fn append(&mut self, event: Event) {
        self.last += 1;
        self.events.push_back(event);
    }

    /// The client has all up to `after`; without it, all that was delivered. What no answer has carried nobody can have: a higher number
    /// is an earlier session's, and acknowledges nothing.
    pub(crate) fn acknowledge(&mut self, now: Now, after: Option<u64>) {
        let after = after.unwrap_or(self.delivered);
        while after <= self.delivered && !self.events.is_empty() && self.first() <= after {
            self.events.pop_front();
        }
        if self.missed && self.has_room() {
            self.missed = false;
            self.append_resync(now);
        }
    }

    /// Whether there is anything to deliver.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.events.is_empty()
    }

    /// All that waits, as one JSON array.
    pub(crate) fn deliver(&mut self) -> Bytes {
        let first = self.first();
        let mut out = vec![b'['];
        for (number, event) in (first..).zip(&self.events) {
            if number > first {
                out.push(b',');
            }
            event.write(number, &mut out);
        }
        out.push(b']');
        self.delivered = self.last;
        out.into()
    }

    fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::time::Wall;

    fn now() -> Now {
        Now { mono: Instant::now(), wall: Wall(1000) }
    }

    fn push(ring: &mut Ring, n: u64) -> bool {
        let fields = json!({"n": n});
        ring.push(now(), Event::new(now(), "tel", "call-evt", fields.as_object().unwrap()))
    }

    /// Number and content of each; no content in a resync.
    fn deliver(ring: &mut Ring) -> Vec<(u64, Option<u64>)> {
        let events: Vec<Value> = serde_json::from_slice(&ring.deliver()).unwrap();
        events.iter().map(|event| (event["sequence-id"].as_u64().unwrap(), event["n"].as_u64())).collect()
    }

    #[test]
    fn events_are_numbered_from_one_without_a_gap_and_kept_until_acknowledged() {
        let mut ring = Ring::new(8);
        (1..=3).for_each(|n| assert!(!push(&mut ring, n)));
        assert_eq!(deliver(&mut ring), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
        ring.acknowledge(now(), Some(1));
        push(&mut ring, 4);
        assert_eq!(deliver(&mut ring), [(2, Some(2)), (3, Some(3)), (4, Some(4))]);
        ring.acknowledge(now(), Some(4));
        assert!(!ring.is_waiting());
        assert_eq!(ring.deliver(), "[]");
        push(&mut ring, 5);
        assert_eq!(deliver(&mut ring), [(5, Some(5))]);
    }

    #[test]
    fn a_number_beyond_what_was_delivered_acknowledges_nothing() {
        let mut ring = Ring::new(8);
        (1..=2).for_each(|n| assert!(!push(&mut ring, n)));
        ring.acknowledge(now(), Some(1));
        assert_eq!(deliver(&mut ring), [(1, Some(1)), (2, Some(2))], "it was queued, but never sent");
        push(&mut ring, 3);
        ring.acknowledge(now(), Some(99));
        assert_eq!(deliver(&mut ring), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
    }

    #[test]
    fn a_client_that_never_tells_after_hears_each_event_once() {
        let mut ring = Ring::new(8);
        push(&mut ring, 1);
        ring.acknowledge(now(), None);
        assert_eq!(deliver(&mut ring), [(1, Some(1))]);
        push(&mut ring, 2);
        ring.acknowledge(now(), None);
        assert_eq!(deliver(&mut ring), [(2, Some(2))]);
    }

    #[test]
    fn an_overflow_is_told_once_and_leaves_no_gap() {
        let mut ring = Ring::new(4);
        (1..=3).for_each(|n| assert!(!push(&mut ring, n)));
        assert!(push(&mut ring, 4));
        assert!(!push(&mut ring, 5));
        assert_eq!(deliver(&mut ring), [(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, None)]);
        // The client asks for snapshots now; what follows is told, acknowledged or not.
        push(&mut ring, 6);
        assert_eq!(deliver(&mut ring).last(), Some(&(5, Some(6))));
        ring.acknowledge(now(), Some(5));
        push(&mut ring, 7);
        assert_eq!(deliver(&mut ring), [(6, Some(7))]);
    }

    #[test]
    fn a_client_that_fetches_and_never_acknowledges_loses_nothing_untold() {
        let mut ring = Ring::new(4);
        let mut heard = 0;
        for n in 0..100 {
            push(&mut ring, n);
            let events = deliver(&mut ring);
            assert!(events.len() <= 8, "{events:?}");
            heard = events.last().unwrap().0;
        }
        ring.acknowledge(now(), Some(heard));
        assert_eq!(deliver(&mut ring), [(heard + 1, None)], "a resync");
        ring.acknowledge(now(), Some(heard + 1));
        push(&mut ring, 100);
        assert_eq!(deliver(&mut ring), [(heard + 2, Some(100))]);
    }

    #[test]
    fn an_event_without_members_is_well_formed() {
        let mut ring = Ring::new(4);
        ring.push(now(), Event::new(now(), "session", "x", &Resync {}));
        assert_eq!(ring.deliver(), r#"[{"topic":"session","message":"x","timestamp":1000,"sequence-id":1}]"#);
    }
}
