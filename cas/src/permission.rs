//! What may be asked by whom: a fixed table by role, until rules of its own replace it.
//!
//! The table that lists an action in `permissions` is the one that admits the message: offered is accepted.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::topic::{Grade, MESSAGES, Spec};
use crate::wire::{Code, Failure, json};

/// Whether the message may be asked.
pub(crate) fn check(grade: Grade, spec: &Spec) -> Result<(), Failure> {
    match spec.grades.contains(&grade) {
        true => Ok(()),
        false => {
            let text = format!("{}/{} is not permitted to you", spec.topic, spec.name);
            Err(Failure::new(Code::NOT_PERMITTED, text))
        }
    }
}

/// The names of a topic's messages that may be asked.
pub(crate) fn of_topic(grade: Grade, topic: &str) -> Vec<&'static str> {
    let permitted = MESSAGES.iter().filter(|spec| spec.topic == topic && check(grade, spec).is_ok());
    permitted.map(|spec| spec.name).collect()
}

/// The same as it is on the wire: every reply has it.
pub(crate) fn encoded(grade: Grade, topic: &str) -> &'static [u8] {
    static ALL: LazyLock<Vec<(Grade, &'static str, Bytes)>> = LazyLock::new(|| {
        let all = MESSAGES.iter().flat_map(|spec| spec.grades.iter().map(move |grade| (*grade, spec.topic)));
        all.map(|(grade, topic)| (grade, topic, json::encode(&of_topic(grade, topic)))).collect()
    });
    let found = ALL.iter().find(|(of, named, _)| *of == grade && *named == topic);
    found.map_or(NOTHING, |(_, _, permitted)| permitted)
}

/// No message of the topic may be asked, or there is no such topic.
pub(crate) const NOTHING: &[u8] = b"[]";

/// The same for all topics of which anything may be asked.
pub(crate) fn of_all(grade: Grade) -> BTreeMap<String, Vec<&'static str>> {
    let permitted = MESSAGES.iter().filter(|spec| check(grade, spec).is_ok());
    permitted.map(|spec| (spec.topic.to_owned(), of_topic(grade, spec.topic))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_wire_is_what_may_be_asked() {
        for grade in [Grade::User, Grade::Admin, Grade::Console] {
            for topic in ["session", "tel", "config", "system", "nonsense"] {
                assert_eq!(
                    json::decode(encoded(grade, topic)).ok(),
                    Some(serde_json::json!(of_topic(grade, topic))),
                    "{topic}"
                );
            }
        }
    }
}
