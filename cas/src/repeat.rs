//! Repeated requests: a client that lost an answer asks again under the same `request-id`, and nothing is done twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::boundary::RequestId;
use crate::wire::Fields;

/// Writing and asynchronous requests remembered for a session.
const MAX_REMEMBERED: usize = 256;
/// For so long.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Where a reply belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) request: RequestId,
    pub(crate) index: usize,
}

/// Headers that may differ from one sending to the next: the request is the same.
const HOW_IT_IS_SENT: [&str; 3] = ["timestamp", "sequence-id", "wait"];

/// What a message asks for, however often and however it is sent: its content in canonical writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(fields: &Fields) -> Fingerprint {
        let mut hash = Sha256::new();
        let told = fields.iter().filter(|(name, _)| !HOW_IT_IS_SENT.contains(&name.as_str()));
        hash_members(&mut hash, told);
        Fingerprint(hash.finalize().into())
    }
}

/// Members count in any order; every value is preceded by its kind and length, so that no two contents run together.
fn hash_members<'a>(hash: &mut Sha256, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(name, _)| *name);
    hash.update(format!("{{{}:", members.len()));
    for (name, value) in members {
        hash.update(format!("{}:{name}", name.len()));
        hash_value(hash, value);
    }
}

fn hash_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => hash.update(format!("={value};")),
        Value::String(text) => hash.update(format!("\"{}:{text}", text.len())),
        Value::Array(items) => {
            hash.update(format!("[{}:", items.len()));
            items.iter().for_each(|item| hash_value(hash, item));
        }
        Value::Object(fields) => hash_members(hash, fields.iter()),
    }
}

/// The requests of one session that must not be done twice, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Repeats(VecDeque<Remembered>);

#[derive(Debug)]
struct Remembered {
    key: RepeatKey,
    fingerprint: Fingerprint,
    at: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not answered yet; who else wants the answer.
    Pending(Vec<Place>),
    Answered(Bytes),
}

/// A `request-id` as it is compared: 26 and "26" are two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepeatKey(String);

impl RepeatKey {
    pub(crate) fn new(request_id: &Value) -> RepeatKey {
        RepeatKey(request_id.to_string())
    }
}

/// What is known of a request that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// New, and remembered from now on.
    New,
    /// A repeat: the first one's reply.
    Answered(Bytes),
    /// A repeat of one not answered yet: it gets the same reply.
    Joined,
    /// The id was used for something else.
    OtherContent,
    /// All that is remembered is still pending.
    Full,
}

impl Repeats {
    pub(crate) fn begin(&mut self, now: Instant, key: &RepeatKey, fingerprint: Fingerprint, place: Place) -> Seen {
        while self.0.front().is_some_and(|first| first.is_answered() && now >= first.at + REMEMBERED_FOR) {
            self.0.pop_front();
        }
        if let Some(known) = self.0.iter_mut().find(|known| known.key == *key) {
            return match &mut known.state {
                _ if known.fingerprint != fingerprint => Seen::OtherContent,
                State::Answered(reply) => Seen::Answered(reply.clone()),
                State::Pending(waiting) => {
                    waiting.push(place);
                    Seen::Joined
                }
            };
        }
        if self.0.len() >= MAX_REMEMBERED {
            let Some(oldest) = self.0.iter().position(Remembered::is_answered) else { return Seen::Full };
            self.0.remove(oldest);
        }
        let state = State::Pending(Vec::new());
        self.0.push_back(Remembered { key: key.clone(), fingerprint, at: now, state });
        Seen::New
    }

    /// The reply to a remembered request; yields who waited for it besides the first.
    pub(crate) fn answered(&mut self, key: &RepeatKey, reply: &Bytes) -> Vec<Place> {
        let Some(known) = self.0.iter_mut().find(|known| known.key == *key) else { return Vec::new() };
        match std::mem::replace(&mut known.state, State::Answered(reply.clone())) {
            State::Pending(waiting) => waiting,
            State::Answered(_) => Vec::new(),
        }
    }

    /// Nothing was done, and the same request may well succeed later: it is new then. Yields who waited for it.
    pub(crate) fn forget(&mut self, key: &RepeatKey) -> Vec<Place> {
        let Some(at) = self.0.iter().position(|known| known.key == *key) else { return Vec::new() };
        match self.0.remove(at).map(|known| known.state) {
            Some(State::Pending(waiting)) => waiting,
            _ => Vec::new(),
        }
    }
}

impl Remembered {
    fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fingerprint(value: &Value) -> Fingerprint {
        Fingerprint::of(value.as_object().unwrap())
    }

    fn place(n: u64) -> Place {
        Place { request: RequestId(n), index: 0 }
    }

    #[test]
    fn the_content_counts_without_timestamp_sequence_id_wait_and_order() {
        let first = fingerprint(&json!({"a": 1, "b": [1, "x"], "timestamp": 5, "sequence-id": 9, "wait": true}));
        assert_eq!(first, fingerprint(&json!({"b": [1, "x"], "sequence-id": 10, "a": 1})));
        for other in [json!({"a": "1", "b": [1, "x"]}), json!({"a": 1, "b": [1, "x", null]}), json!({"a": 1})] {
            assert_ne!(first, fingerprint(&other));
        }
        assert_ne!(fingerprint(&json!({"a": ["b", "c"]})), fingerprint(&json!({"a": ["bc"]})));
    }

    #[test]
    fn a_repeat_gets_the_first_reply_or_waits_for_it() {
        let (mut repeats, now, key) = (Repeats::default(), Instant::now(), RepeatKey::new(&json!(26)));
        let print = fingerprint(&json!({"a": 1}));
        assert_eq!(repeats.begin(now, &key, print, place(1)), Seen::New);
        assert_eq!(repeats.begin(now, &key, print, place(2)), Seen::Joined);
        assert_eq!(repeats.begin(now, &key, fingerprint(&json!({})), place(3)), Seen::OtherContent);
        assert_eq!(repeats.answered(&key, &Bytes::from_static(b"r")), [place(2)]);
        assert_eq!(repeats.begin(now, &key, print, place(4)), Seen::Answered("r".into()));
        assert_eq!(repeats.begin(now, &RepeatKey::new(&json!("26")), print, place(5)), Seen::New);
    }

    #[test]
    fn the_last_256_are_remembered_for_ten_minutes_and_pending_ones_longer() {
        let (mut repeats, now, print) = (Repeats::default(), Instant::now(), fingerprint(&json!({})));
        let key = |n: usize| RepeatKey::new(&json!(n));
        for n in 0..=MAX_REMEMBERED {
            assert_eq!(repeats.begin(now, &key(n), print, place(1)), Seen::New);
            if n > 0 {
                repeats.answered(&key(n), &Bytes::new());
            }
        }
        assert_eq!(repeats.begin(now, &key(0), print, place(2)), Seen::Joined, "still pending");
        assert_eq!(repeats.begin(now, &key(1), print, place(2)), Seen::New, "the oldest answered one made room");
        repeats.answered(&key(0), &Bytes::new());
        assert_eq!(repeats.begin(now + REMEMBERED_FOR, &key(0), print, place(2)), Seen::New);
    }

    #[test]
    fn nothing_more_is_begun_while_all_that_is_remembered_is_pending() {
        let (mut repeats, now, print) = (Repeats::default(), Instant::now(), fingerprint(&json!({})));
        for n in 0..MAX_REMEMBERED {
            repeats.begin(now, &RepeatKey::new(&json!(n)), print, place(1));
        }
        assert_eq!(repeats.begin(now, &RepeatKey::new(&json!("x")), print, place(1)), Seen::Full);
    }
}
