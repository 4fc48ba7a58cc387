//! Fuzz targets: whatever JSON or XML a client sends, it gets one reply that is JSON, says what is wrong, and is no larger than what it asked for. A failure prints
//! its seed (`BOLERO_RANDOM_SEED` replays it).

use bolero::check;

use super::*;
use crate::topic::MESSAGES;

/// Inputs of one target in `cargo test`.
const INPUTS: usize = 1_500;

/// The names of members, those of the protocol first.
const MEMBERS: &[&str] = &[
    "dest",
    "call-id",
    "device",
    "digits",
    "name-hint",
    "wait",
    "request-id",
    "tokens",
    "max",
    "type",
    "by",
    "before",
    "after",
    "subscribe",
    "sub-id",
    "extension",
    "name",
    "password",
    "old",
    "new",
    "role",
    "email",
    "sip-secret",
    "digest",
    "pin",
    "address",
    "user",
    "users",
    "messages",
    "mode",
    "rules",
    "rules-of",
    "always",
    "no-answer",
    "rings",
    "to",
    "find-me",
    "follow-schedule",
    "kind",
    "entries",
    "days",
    "from",
    "date",
    "time-zone",
    "off-hours",
    "site",
    "topic",
    "message",
    "call_id",
    "",
    "é",
];
const STRINGS: &[&str] = &[
    "",
    " ",
    "502",
    "*43",
    "a1",
    "tel",
    "device",
    "user",
    "admin",
    "501",
    "999999999999",
    "12#",
    "é\u{0}\n",
    "\"\\",
    "<script>",
    "%00",
    "../../etc",
    "sip:502@switch.local",
    "md5",
    "both",
    "192.0.2.9:5060",
    "ffffffffffffffff",
    "true",
    "voicemail",
    "out-of-office",
    "standard",
    "on-hours",
    "holiday",
    "custom",
    "mon",
    "09:00",
    "02-29",
    "2026-03-29T02:30",
    "Europe/Berlin",
    "-1",
];
const NUMBERS: &[f64] =
    &[0.0, -0.0, 1.0, -1.0, 0.5, 255.0, 256.0, 65_536.0, 2_147_483_648.0, 9_007_199_254_740_993.0, 1e19, 1e308, -1e308];

/// A value of a fuzzer's bytes, at most so deep.
fn value(bytes: &mut std::slice::Iter<'_, u8>, depth: usize) -> Value {
    let (kind, which) = (bytes.next().copied().unwrap_or(0), usize::from(bytes.next().copied().unwrap_or(0)));
    match kind % 9 {
        0 => Value::Null,
        1 => json!(which % 2 == 0),
        2 => json!(NUMBERS[which % NUMBERS.len()]),
        3 => json!(which),
        4 => json!(STRINGS[which % STRINGS.len()].repeat(1 + which / 16)),
        5 => json!(String::from_utf8_lossy(bytes.as_slice().get(..which % 16).unwrap_or_default())),
        6 if depth > 0 => (0..which % 5).map(|_| value(bytes, depth - 1)).collect(),
        7 if depth > 0 => {
            let members =
                (0..which % 5).map(|n| (MEMBERS[(which + n) % MEMBERS.len()].to_owned(), value(bytes, depth - 1)));
            Value::Object(members.collect())
        }
        _ => json!(STRINGS[which % STRINGS.len()]),
    }
}

/// A message of the protocol with any members.
fn any_message(which: u8, bytes: &[u8]) -> Value {
    let spec = &MESSAGES[usize::from(which) % MESSAGES.len()];
    let mut bytes = bytes.iter();
    let mut members = serde_json::Map::new();
    while bytes.len() > 0 {
        let name = MEMBERS[usize::from(bytes.next().copied().unwrap_or(0)) % MEMBERS.len()];
        members.insert(name.to_owned(), value(&mut bytes, 4));
    }
    message(spec.topic, spec.name, Value::Object(members))
}

/// What was answered is JSON, blames nobody but the client, and is bounded.
fn check_replies(bench: &mut Bench, asked: usize) {
    bench.pass(Duration::from_secs(120));
    for (id, reply) in std::mem::take(&mut bench.replies) {
        let told: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{id:?}: {error}"));
        let errors = told.as_array().cloned().unwrap_or_else(|| vec![told.clone()]);
        assert!(errors.iter().all(|reply| reply["error"] != 50), "{told}");
        assert!(reply.body.len() <= 4 * asked + 16_384, "{} bytes for {asked}", reply.body.len());
    }
}

#[test]
fn fuzz_bodies_of_any_bytes() {
    check!().with_iterations(INPUTS).with_max_len(256).for_each(|bytes: &[u8]| {
        let mut bench = Bench::new();
        let session = bench.log_in("501");
        for endpoint in [Endpoint::Execute, Endpoint::Login] {
            for format in [Format::Json, Format::Xml] {
                bench.post_as(format, endpoint, Some(&session), NETWORK, bytes);
                assert_eq!(bench.replies.len(), 1, "one reply");
                check_replies(&mut bench, bytes.len());
            }
        }
    });
}

/// Pieces of XML, and of what is none.
const PIECES: &[&str] = &[
    "<cas>",
    "</cas>",
    "<item>",
    "</item>",
    "<topic>tel</topic>",
    "<message>get-calls</message>",
    "<message>",
    "</message>",
    "<a",
    " type=\"array\"",
    " type='number'",
    " type='null'",
    " escaped='text name'",
    "<entry name='",
    "'>",
    ">",
    "/>",
    "</entry>",
    "</a>",
    "&lt;",
    "&#10;",
    "&#0;",
    "&x;",
    "\\u0041",
    "\\",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<!DOCTYPE a>",
    "<?xml version='1.0'?>",
    "5",
    "true",
    " ",
    "\n",
    "é",
    "<max>5</max>",
    "<tokens/>",
];

#[test]
fn fuzz_xml_of_any_pieces() {
    check!().with_iterations(INPUTS).with_type::<Vec<u8>>().for_each(|bytes| {
        let mut bench = Bench::new();
        let session = bench.log_in("501");
        let pieces = bytes.iter().map(|byte| PIECES[usize::from(*byte) % PIECES.len()]);
        for body in [pieces.clone().collect::<String>(), format!("<cas>{}</cas>", pieces.collect::<String>())] {
            bench.post_as(Format::Xml, Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
            assert_eq!(bench.replies.len(), 1, "one reply");
            check_replies(&mut bench, body.len());
        }
    });
}

/// No text in it reads as anything else, so that XML without types does not leave it open what is meant.
fn unmistakable(value: &mut Value) {
    match value {
        Value::String(text) => text.insert(0, '='),
        Value::Array(items) => items.iter_mut().for_each(unmistakable),
        Value::Object(fields) => fields.values_mut().for_each(unmistakable),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A message is the same message in either encoding.
#[test]
fn fuzz_messages_in_both_encodings() {
    check!().with_iterations(INPUTS / 2).with_type::<(u8, Vec<u8>)>().for_each(|(which, bytes)| {
        let mut message = any_message(*which, bytes);
        let members =
            message.as_object_mut().unwrap().iter_mut().filter(|(name, _)| *name != "topic" && *name != "message");
        members.for_each(|(_, value)| unmistakable(value));
        let replies = [Format::Json, Format::Xml].map(|format| {
            let mut bench = Bench::new();
            let session = bench.log_in("admin");
            let body = match format {
                Format::Json => message.to_string().into_bytes(),
                Format::Xml => crate::wire::xml::encode(&message).to_vec(),
            };
            let id = bench.post_as(format, Endpoint::Execute, Some(&session), NETWORK, &body);
            bench.replies.remove(&id).map(|reply| reply.body)
        });
        assert_eq!(replies[0], replies[1], "{message}");
    });
}

#[test]
fn fuzz_messages_of_the_protocol() {
    check!().with_iterations(INPUTS).with_type::<Vec<(u8, Vec<u8>)>>().for_each(|messages| {
        let mut bench = Bench::new();
        bench.control.calls = vec![call(0xa1, 2, CallState::Connected)];
        for login in ["501", "admin"] {
            let session = bench.log_in(login);
            bench.subscribe(&session);
            let mut asked = 0;
            for (which, bytes) in messages.iter().take(12) {
                let message = any_message(*which, bytes);
                asked += message.to_string().len();
                bench.send(&session, &message);
            }
            check_replies(&mut bench, asked);
        }
    });
}

#[test]
fn fuzz_bulk_and_console() {
    check!().with_iterations(INPUTS / 2).with_type::<Vec<(u8, Vec<u8>)>>().for_each(|messages| {
        let mut bench = Bench::new();
        let session = bench.log_in("501");
        let bulk: Vec<Value> = messages.iter().take(12).map(|(which, bytes)| any_message(*which, bytes)).collect();
        let body = Value::Array(bulk).to_string();
        bench.post(Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
        bench.post(Endpoint::Execute, None, Source::Console, body.as_bytes());
        check_replies(&mut bench, body.len());
    });
}
