//! What a message is: its function, whose parameter is what it asks for and whose outcome is what it tells. The decoder checks a message by the type of
//! that parameter, and the schema that clients are given is made from the same type: what one says is what the other does.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Context, Grade, Mode, Outcome, Progress};
use crate::wire::{Fields, json};

/// One message.
pub(crate) struct Spec {
    pub(crate) topic: &'static str,
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// Who may ask it.
    pub(crate) grades: &'static [Grade],
    /// Begins it.
    pub(crate) begin: fn(&mut Context<'_>, Fields) -> Outcome,
    /// Its own members.
    pub(super) asks: fn(&mut SchemaGenerator) -> Schema,
    /// Those of its reply.
    pub(super) tells: fn(&mut SchemaGenerator) -> Schema,
}

/// Declares messages: topic, name, mode, who may ask, and the function, which says the rest.
macro_rules! messages {
    ($($topic:literal $name:literal $mode:ident $grades:ident $begin:path;)*) => {
        &[$(Spec {
            topic: $topic,
            name: $name,
            mode: Mode::$mode,
            grades: $grades,
            begin: |cx, fields| $crate::topic::declaration::begin($begin, cx, fields),
            asks: |generator| $crate::topic::declaration::asks($begin, generator),
            tells: |generator| $crate::topic::declaration::tells($begin, generator),
        }),*]
    };
}
pub(super) use messages;

/// No members of its own: what some messages ask for, and others tell.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Nothing {}

/// Reads the members as what the function takes, and calls it.
pub(super) fn begin<Q: DeserializeOwned, R: Serialize>(
    message: impl FnOnce(&mut Context<'_>, Q) -> Outcome<R>,
    cx: &mut Context<'_>,
    fields: Fields,
) -> Outcome {
    match message(cx, json::members(fields)?)? {
        Progress::Done(reply) => told(&reply),
        Progress::Store(request, waiting) => Ok(Progress::Store(request, waiting)),
        Progress::Help(work, waiting) => Ok(Progress::Help(work, waiting)),
        Progress::Pending(ticket, call) => Ok(Progress::Pending(ticket, call)),
    }
}

/// A message has come to its end with this reply.
pub(super) fn told(reply: &impl Serialize) -> Outcome {
    Ok(Progress::Done(json::fields(reply)))
}

/// The schema of what the function takes.
pub(super) fn asks<Q: JsonSchema, R>(
    _: impl FnOnce(&mut Context<'_>, Q) -> Outcome<R>,
    generator: &mut SchemaGenerator,
) -> Schema {
    Q::json_schema(generator)
}

/// The schema of what it tells in the end.
pub(super) fn tells<Q, R: JsonSchema>(
    _: impl FnOnce(&mut Context<'_>, Q) -> Outcome<R>,
    generator: &mut SchemaGenerator,
) -> Schema {
    R::json_schema(generator)
}

/// The schema of a type, complete in itself.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    T::json_schema(&mut generator()).to_value()
}

/// Schemas as a message's reader takes them, each complete in itself.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

impl Spec {
    /// The schema of a whole request: headers and members.
    pub(crate) fn request_schema(&self) -> Value {
        let mut schema = (self.asks)(&mut generator()).to_value();
        let headers = json!({
            "topic": {"const": self.topic},
            "message": {"const": self.name},
            "timestamp": {"type": "integer"},
            "sequence-id": {"type": "integer"},
            "request-id": {"type": ["integer", "string", "null"]},
            "wait": {"type": ["boolean", "null"]},
            "dry-run": {"type": ["boolean", "null"]},
        });
        merge(&mut schema, "properties", headers);
        merge_required(&mut schema, &["topic", "message"]);
        schema
    }

    /// The schema of the members of a reply without error.
    pub(crate) fn reply_members(&self) -> Value {
        (self.tells)(&mut generator()).to_value()
    }
}

/// Members that must be there, too.
pub(crate) fn merge_required(schema: &mut Value, names: &[&str]) {
    let required = schema.as_object_mut().map(|schema| schema.entry("required").or_insert_with(|| json!([])));
    if let Some(required) = required.and_then(Value::as_array_mut) {
        required.extend(names.iter().map(|name| json!(name)));
    }
}

/// Adds members to an object within a schema; what is there already stays.
pub(crate) fn merge(schema: &mut Value, name: &str, more: Value) {
    let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) else { return };
    let target = schema.entry(name).or_insert_with(|| json!({}));
    if let Some(target) = target.as_object_mut() {
        for (name, value) in more {
            target.entry(name).or_insert(value);
        }
    }
}
