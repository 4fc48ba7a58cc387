//! `GET /schema`: every message, its reply and every event as JSON Schema, made from the types that read and write them.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::login;
use crate::event::{Completion, Resync, Tells};
use crate::topic::handling::{ConfigChanged, ConfigSnapshot, HandlingRow};
use crate::topic::parking::{ParkSnapshot, ParkedRow};
use crate::topic::telephony::{CallBack, CallChanged, CallEnded, DeviceRow, DeviceSnapshot};
use crate::topic::{MESSAGES, Mode, Spec, merge, merge_required, schema_of};
use crate::wire::json;

/// What one event tells: topic, name, schema of its members.
struct Told {
    topic: &'static str,
    name: &'static str,
    members: fn() -> Value,
}

const fn told<T: Tells>() -> Told {
    Told { topic: T::TOPIC, name: T::NAME, members: schema_of::<T> }
}

/// All events. One that has several forms stands there once for each.
static EVENTS: &[Told] = &[
    told::<Resync>(),
    told::<CallChanged>(),
    told::<CallEnded>(),
    told::<CallBack>(),
    told::<DeviceRow>(),
    told::<ParkedRow>(),
    told::<DeviceSnapshot>(),
    told::<ParkSnapshot>(),
    told::<HandlingRow>(),
    told::<ConfigChanged>(),
    told::<ConfigSnapshot>(),
    Told { topic: "tel", name: "tel-completion-evt", members: schema_of::<Completion> },
];

/// The document.
pub fn document() -> &'static Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| json::encode(&written()));
    &DOCUMENT
}

fn written() -> Value {
    let mut defs = Map::new();
    let mut messages: Map<String, Value> = Map::new();
    for spec in MESSAGES {
        let name = format!("{}.{}", spec.topic, spec.name);
        let reply = format!("{name}.reply");
        let entry = json!({
            "answered": if spec.mode == Mode::Asynchronous { "asynchronously" } else { "at once" },
            "done-once-for-each-request-id": spec.mode != Mode::Read,
            "request": reference(&name),
            "reply": reference(&reply),
        });
        member(&mut messages, spec.topic).insert(spec.name.to_owned(), entry);
        defs.insert(name, spec.request_schema());
        defs.insert(reply, reply_schema(spec));
    }
    let mut events: Map<String, Value> = Map::new();
    for event in EVENTS {
        let name = format!("{}.{}", event.topic, event.name);
        let schema = event_schema(event);
        member(&mut events, event.topic).insert(event.name.to_owned(), reference(&name));
        match defs.get_mut(&name) {
            Some(Value::Object(known)) if known.contains_key("anyOf") => {
                if let Some(forms) = known["anyOf"].as_array_mut() {
                    forms.push(schema);
                }
            }
            Some(known) => *known = json!({"anyOf": [known.take(), schema]}),
            None => {
                defs.insert(name, schema);
            }
        }
    }
    let all = MESSAGES.iter().map(|spec| reference(&format!("{}.{}", spec.topic, spec.name)));
    defs.insert("message".to_owned(), json!({"anyOf": all.collect::<Vec<_>>()}));
    defs.insert("failure".to_owned(), failure_schema());
    let [login, mut logged_in] = login::schemas();
    merge(&mut logged_in, "properties", json!({"error": {"const": 0}}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "CAS messages",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Names are in canonical writing: an underscore is taken for a hyphen. Members that are not named here may come.",
        "login": {"request": login, "reply": {"anyOf": [logged_in, reference("failure")]}},
        "messages": messages,
        "events": events,
        "$defs": defs,
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn member<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let entry = map.entry(name).or_insert_with(|| json!({}));
    entry.as_object_mut().expect("only objects are put in here")
}

fn reply_schema(spec: &Spec) -> Value {
    let mut schema = spec.reply_members();
    let headers = json!({
        "topic": {"const": spec.topic},
        "message": {"const": spec.name},
        "timestamp": {"type": "integer", "minimum": 0},
        "sequence-id": {"type": "integer", "minimum": 0},
        "request-id": request_id(),
        "response": if spec.mode == Mode::Asynchronous { json!({"type": "integer", "minimum": 0}) } else { json!({"const": 0}) },
        "error": {"const": 0},
        "permissions": {"type": "array", "items": {"type": "string"}},
    });
    merge(&mut schema, "properties", headers);
    merge_required(&mut schema, &["topic", "message", "timestamp", "sequence-id", "response", "error", "permissions"]);
    let failure = json!({
        "$ref": "#/$defs/failure",
        "properties": {"topic": {"const": spec.topic}, "message": {"const": spec.name}},
        "required": ["topic", "message"],
    });
    json!({"anyOf": [schema, failure]})
}

/// What every reply is that tells of an error.
fn failure_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "topic": {"type": "string"},
            "message": {"type": "string"},
            "timestamp": {"type": "integer", "minimum": 0},
            "sequence-id": {"type": "integer", "minimum": 0},
            "request-id": request_id(),
            "response": {"const": 0},
            "error": {"type": "integer", "minimum": 1},
            "error-text": {"type": "string"},
            "field": {"type": "string"},
            "call-id": {"type": "string"},
            "permissions": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["timestamp", "response", "error", "error-text", "permissions"],
    })
}

fn event_schema(event: &Told) -> Value {
    let mut schema = (event.members)();
    let headers = json!({
        "topic": {"const": event.topic},
        "message": {"const": event.name},
        "timestamp": {"type": "integer", "minimum": 0},
        "sequence-id": {"type": "integer", "minimum": 1},
    });
    merge(&mut schema, "properties", headers);
    merge_required(&mut schema, &["topic", "message", "timestamp", "sequence-id"]);
    schema
}

fn request_id() -> Value {
    json!({"type": ["integer", "string"]})
}
