//! What may be asked by whom: a fixed table by role, until rules of its own replace it.
//!
//! The table that lists an action in `permissions` is the one that admits the message: offered is accepted.

use serde_json::Value;

use crate::topic::{Grade, MESSAGES, Spec};
use crate::wire::{Code, Failure, Fields};

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
pub(crate) fn of_topic(grade: Grade, topic: &str) -> Value {
    let permitted = MESSAGES.iter().filter(|spec| spec.topic == topic && check(grade, spec).is_ok());
    permitted.map(|spec| Value::from(spec.name)).collect()
}

/// The same for all topics of which anything may be asked.
pub(crate) fn of_all(grade: Grade) -> Fields {
    let permitted = MESSAGES.iter().filter(|spec| check(grade, spec).is_ok());
    permitted.map(|spec| (spec.topic.to_owned(), of_topic(grade, spec.topic))).collect()
}
