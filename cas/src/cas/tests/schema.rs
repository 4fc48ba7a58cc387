//! The schema (S21): complete, well formed, and true. Every message of every test here is checked against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jsonschema::Validator;

use super::*;
use crate::topic::MESSAGES;
use crate::wire::json as wire_json;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| wire_json::decode(crate::cas::schema()).unwrap());

/// One for each definition, and what members it names.
static VALIDATORS: LazyLock<BTreeMap<String, (Validator, BTreeSet<String>)>> = LazyLock::new(|| {
    let defs = DOCUMENT["$defs"].as_object().unwrap();
    let validator = |name: &String| {
        let schema = json!({"$ref": format!("#/$defs/{name}"), "$defs": defs});
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    defs.iter().map(|(name, schema)| (name.clone(), (validator(name), named(schema)))).collect()
});

/// The members that a schema names, in whatever form.
fn named(schema: &Value) -> BTreeSet<String> {
    let forms = schema["anyOf"].as_array().map_or_else(|| vec![schema], |forms| forms.iter().collect());
    let failure = ["error-text", "field", "call-id"].map(str::to_owned);
    let members = forms.into_iter().filter_map(|form| form["properties"].as_object());
    members.flat_map(|members| members.keys().cloned()).chain(failure).collect()
}

fn fits(name: &str, value: &Value) -> bool {
    VALIDATORS[name].0.is_valid(value)
}

/// What is answered, or told by an event, is what the schema says, and nothing besides.
#[track_caller]
fn check_told(told: &Value) {
    let name = |member: &str| told[member].as_str().unwrap_or_default();
    let (topic, message) = (name("topic"), name("message"));
    let definition = match message.ends_with("-evt") {
        true => format!("{topic}.{message}"),
        false => format!("{topic}.{message}.reply"),
    };
    let Some((validator, members)) = VALIDATORS.get(&definition) else {
        assert!(!message.ends_with("-evt"), "no event is not in the schema: {told}");
        assert!(told["error"] == 0 || fits("failure", told), "{told}");
        return;
    };
    if let Err(error) = validator.validate(told) {
        panic!("{told} is not {definition}: {error}");
    }
    let besides = told.as_object().unwrap().keys().find(|member| !members.contains(*member));
    assert_eq!(besides, None, "the schema of {definition} does not name it: {told}");
}

/// The message as the schema speaks of it.
fn canonical(asked: &Value) -> Option<(String, Value)> {
    let Value::Object(fields) = asked else { return None };
    let mut fields = crate::wire::canonical(fields.clone());
    for header in ["topic", "message"] {
        let name = crate::wire::hyphenated(fields.get(header)?.as_str()?);
        fields.insert(header.to_owned(), name.into());
    }
    let name = |header: &str| fields[header].as_str().unwrap_or_default();
    Some((format!("{}.{}", name("topic"), name("message")), Value::Object(fields)))
}

/// A request that the schema refuses is not carried out; one that it takes lacks no member that must be there.
#[track_caller]
fn check_asked(asked: &Value, reply: &Value) {
    let Some((name, asked)) = canonical(asked) else { return };
    let Some((validator, _)) = VALIDATORS.get(&name) else { return };
    assert!(
        reply["error"] != 0 || validator.is_valid(&asked),
        "{asked} was carried out: {:?}",
        validator.validate(&asked)
    );
}

#[track_caller]
pub(super) fn check_reply(asked: Option<&Value>, reply: &Reply) {
    if reply.content_type != "application/json" {
        return;
    }
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    match &told {
        Value::Array(all) => all.iter().for_each(check_told),
        Value::Object(fields) if fields.contains_key("error") && fields.contains_key("message") => check_told(&told),
        _ => {}
    }
    match (asked, &told) {
        (Some(Value::Array(asked)), Value::Array(told)) => {
            asked.iter().zip(told).for_each(|(asked, told)| check_asked(asked, told));
        }
        (Some(asked), told) => check_asked(asked, told),
        (None, _) => {}
    }
}

#[test]
fn s21_the_schema_is_valid_and_names_every_message_once() {
    assert!(jsonschema::meta::is_valid(&DOCUMENT));
    let named: Vec<(String, String)> = DOCUMENT["messages"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(topic, all)| all.as_object().unwrap().keys().map(|name| (topic.clone(), name.clone())))
        .collect();
    assert_eq!(named.len(), MESSAGES.len());
    for spec in MESSAGES {
        let entry = &DOCUMENT["messages"][spec.topic][spec.name];
        for part in ["request", "reply"] {
            let reference = entry[part]["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            assert!(VALIDATORS.contains_key(reference), "{reference}");
        }
        let asynchronous = entry["answered"] == "asynchronously";
        assert_eq!(asynchronous, spec.mode == crate::topic::Mode::Asynchronous);
    }
}

#[test]
fn s21_anybody_may_have_the_schema() {
    let mut bench = Bench::new();
    let id = bench.post(Endpoint::Schema, None, NETWORK, b"");
    let reply = &bench.replies[&id];
    assert_eq!((reply.status, reply.content_type), (200, "application/schema+json"));
    assert_eq!(&reply.body, crate::cas::schema());
}

#[test]
fn s21_the_schema_asks_for_what_the_decoder_asks_for() {
    for (name, members, is_valid) in [
        ("tel.make-call", json!({"dest": "502"}), true),
        (
            "tel.make-call",
            json!({"dest": "502", "name-hint": null, "wait": false, "request-id": 26, "version": 3}),
            true,
        ),
        ("tel.make-call", json!({}), false),
        ("tel.make-call", json!({"dest": 502}), false),
        ("tel.make-call", json!({"dest": "502", "request-id": 1.5}), false),
        ("find.lookup-contacts", json!({"tokens": ["v"], "max": 5}), true),
        ("find.lookup-contacts", json!({"tokens": ["v"], "max": null}), false),
        ("find.lookup-contacts", json!({"tokens": [7]}), false),
        ("history.get-recs", json!({"type": "lost"}), false),
        ("history.get-recs", json!({"type": "missed", "by": "device"}), true),
        (
            "subscribe.subscribe-events",
            json!({"subscribe": [["tel", "device"], ["tel", "monitor", ["501"]], ["vm"]]}),
            true,
        ),
        ("subscribe.subscribe-events", json!({"subscribe": ["tel"]}), false),
        ("config.add-user", json!({"ext": "503", "role": "king"}), false),
    ] {
        let (topic, message_name) = name.split_once('.').unwrap();
        let asked = message(topic, message_name, members);
        assert_eq!(fits(name, &asked), is_valid, "{asked}");
        let mut bench = Bench::new();
        let session = bench.log_in("admin");
        let error = bench.execute(&session, asked.clone())["error"].as_u64().unwrap();
        assert!(is_valid || error == 4 || error == 5, "{asked}: {error}");
    }
}

#[test]
fn s31_a_reply_of_the_seed_fits_the_schema() {
    let mut contacts: Value = serde_json::from_str(include_str!("golden/3-contacts.json")).unwrap();
    // What this protocol has besides.
    contacts["error"] = json!(0);
    contacts["permissions"] = json!([]);
    assert!(fits("find.lookup-contacts.reply", &contacts));
    let completion: Value = serde_json::from_str(include_str!("golden/5-completion.json")).unwrap();
    assert!(fits("tel.tel-completion-evt", &completion));
    let login = &DOCUMENT["login"]["reply"];
    let schema = json!({"anyOf": login["anyOf"], "$defs": DOCUMENT["$defs"]});
    let (_, reply) = Bench::new().try_login("501", "secret-501");
    assert!(jsonschema::is_valid(&schema, &reply), "{reply}");
}
