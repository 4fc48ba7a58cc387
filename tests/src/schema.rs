//! Messages as the switch's own schema says they are (`GET /schema`).

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use jsonschema::Validator;
use serde_json::{Value, json};

/// A document, and a validator for each definition that was needed.
pub struct Schema {
    document: Value,
    validators: RwLock<BTreeMap<String, &'static Validator>>,
}

impl Schema {
    /// That of the sources as they are.
    pub fn of_sources() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Schema::new(serde_json::from_slice(cas::cas::schema()).expect("the schema is JSON")))
    }

    /// That of a document which a switch has given.
    pub fn new(document: Value) -> Schema {
        Schema { document, validators: RwLock::default() }
    }

    /// Checks a request and the reply to it.
    ///
    /// # Panics
    /// The reply, or a request that was carried out, is not what the schema says.
    pub fn check(&self, asked: &Value, reply: &Value) {
        match (asked, reply) {
            (Value::Array(asked), Value::Array(replies)) => {
                asked.iter().zip(replies).for_each(|(asked, reply)| self.check(asked, reply));
            }
            _ => {
                if reply["error"] == 0 {
                    self.check_one("", asked);
                }
                self.check_one(".reply", reply);
            }
        }
    }

    /// Checks an event.
    ///
    /// # Panics
    /// It is not what the schema says.
    pub fn check_event(&self, event: &Value) {
        self.check_one("", event);
    }

    fn check_one(&self, kind: &str, message: &Value) {
        let (Some(topic), Some(name)) = (message["topic"].as_str(), message["message"].as_str()) else { return };
        let definition = format!("{topic}.{}{kind}", name.replace('_', "-"));
        if self.document["$defs"].get(&definition).is_none() {
            // What there is not is answered with an error.
            assert!(
                message["error"] != 0 || message["error"].is_null(),
                "{definition} is not in the schema: {message}"
            );
            return;
        }
        if let Err(error) = self.validator(&definition).validate(message) {
            panic!("{message} is not {definition}: {error}");
        }
    }

    fn validator(&self, definition: &str) -> &'static Validator {
        let known = self.validators.read().unwrap_or_else(PoisonError::into_inner).get(definition).copied();
        known.unwrap_or_else(|| {
            let schema = json!({"$ref": format!("#/$defs/{definition}"), "$defs": self.document["$defs"]});
            let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{definition}: {error}"));
            // A few of them, for as long as the tests run.
            let validator: &'static Validator = Box::leak(Box::new(validator));
            self.validators.write().unwrap_or_else(PoisonError::into_inner).insert(definition.to_owned(), validator);
            validator
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "is not tel.call-ended-evt")]
    fn what_is_not_as_the_schema_says_is_noticed() {
        let event = json!({"topic": "tel", "message": "call-ended-evt", "timestamp": 0, "sequence-id": 1, "call-id": "a",
            "cause": "boredom", "duration-msec": 0});
        Schema::of_sources().check_event(&event);
    }
}
