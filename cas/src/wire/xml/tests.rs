use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::Code;
use crate::wire::shape::{ANY_MESSAGE, Shape};

fn back(xml: &[u8]) -> Value {
    read(xml).and_then(|root| root.value(None)).unwrap_or_else(|failure| panic!("{}", failure.text))
}

/// What a reader without a declaration makes of the inside of a root element.
fn inside(xml: &str) -> Result<Value, String> {
    let root = read(format!("<cas>{xml}</cas>").as_bytes());
    root.and_then(|root| root.value(None)).map_err(|failure| {
        assert_eq!(failure.code, Code::MALFORMED);
        failure.text
    })
}

#[track_caller]
fn refused(xml: &str, word: &str) {
    let text = inside(xml).unwrap_err();
    assert!(text.contains(word), "{xml}: {text}");
}

fn any_text() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        any::<char>(),
        prop::sample::select(
            "<>&\"'\\/\r\n\t \u{0}\u{1}\u{7f}\u{85}\u{2028}\u{fffe}\u{ffff}u0]ex-_.:1".chars().collect::<Vec<_>>()
        ),
    ];
    prop::collection::vec(characters, 0..8).prop_map(String::from_iter)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any_text().prop_map(Value::from),
        prop::sample::select(vec!["", "true", "1", "null", "item"]).prop_map(Value::from),
    ];
    let names = prop_oneof![
        any_text(),
        prop::sample::select(vec!["item", "entry", "cas", "type", "xml-a", "Xml", "call-id", "name", "a:b", "1a", ""])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn s22_from_json_to_xml_and_back_nothing_is_lost(value in any_value()) {
        let xml = encode(&value);
        prop_assert_eq!(back(&xml), value, "{}", String::from_utf8_lossy(&xml));
    }

    #[test]
    fn s22_what_was_read_is_written_so_that_it_reads_the_same(text in any_text()) {
        if let Ok(root) = read(format!("<cas><a>{text}</a></cas>").as_bytes()) && let Ok(value) = root.value(None) {
            prop_assert_eq!(back(&encode(&value)), value);
        }
    }
}

#[test]
fn s22_s32_null_absent_and_empty_stay_three_things() {
    let value = json!({"null": null, "empty": "", "none": [], "nothing": {}, "blank": " "});
    let xml = String::from_utf8(encode(&value).to_vec()).unwrap();
    assert!(xml.contains("<null type=\"null\"></null><empty></empty>"), "{xml}");
    assert_eq!(back(xml.as_bytes()), value);
    assert_eq!(inside("<a/>"), Ok(json!({"a": ""})));
}

#[test]
fn names_that_are_no_xml_names_stand_in_an_attribute() {
    let value = json!({"two words": 1, "entry": 2, "xmlish": 3, "": 4, "ü": 5, "\n\u{1}\\": 6, "fine": 7});
    let xml = String::from_utf8(encode(&value).to_vec()).unwrap();
    for part in [
        "<entry name=\"two words\"",
        "<entry name=\"entry\"",
        "<entry name=\"\"",
        "name=\"&#10;\\u0001\\\\\"",
        "<fine ",
    ] {
        assert!(xml.contains(part), "no {part} in {xml}");
    }
    assert_eq!(back(xml.as_bytes()), value);
    assert_eq!(inside("<entry>plain</entry>"), Ok(json!({"entry": "plain"})));
}

#[test]
fn what_a_person_writes_is_understood() {
    let xml = "\n  <!-- a call --> <topic>tel</topic>\n  <a xml:space='preserve' type='number'> 7 </a><b><![CDATA[<x>]]>&amp;&#x41;</b>\n<c type=\"boolean\"> true\n</c>";
    assert_eq!(inside(xml), Ok(json!({"topic": "tel", "a": 7, "b": "<x>&A", "c": true})));
    let whole = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><?pi?>\r\n<cas>a\r\nb</cas>\n";
    assert_eq!(back(whole.as_bytes()), json!("a\nb"));
}

#[test]
fn what_is_no_value_is_refused_with_a_reason() {
    for (xml, word) in [
        ("<a>", "</cas>"),
        ("<a type='fax'/>", "fax"),
        ("<a type='number'>x</a>", "number"),
        ("<a type='number'>1 2</a>", "number"),
        ("<a type='boolean'>yes</a>", "true"),
        ("<a type='null'>x</a>", "null"),
        ("<a type='array'><b/></a>", "item"),
        ("<a type='string'><b/></a>", "elements"),
        ("text<a/>", "beside"),
        ("<a/><a/>", "twice"),
        ("<a>&nbsp;</a>", "entity"),
        ("<a>&#7;</a>", "control"),
        ("<a b='&#7;'/>", "control"),
        ("<a escaped='text'>\\x</a>", "escaped"),
        ("<a escaped='text'>\\ud800</a>", "escaped"),
        ("\u{0}", "control"),
    ] {
        refused(xml, word);
    }
    for (body, word) in [
        ("", "root"),
        ("<html/>", "root"),
        ("<cas/><cas/>", "second"),
        ("<cas/>x", "outside"),
        ("<cas", ""),
        ("</cas>", ""),
        ("<!DOCTYPE cas><cas/>", "DTD"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><cas/>", "UTF-8"),
    ] {
        let failure = read(body.as_bytes()).unwrap_err();
        assert!(failure.text.contains(word), "{body}: {}", failure.text);
    }
    assert!(read(b"<cas>\xff</cas>").is_err());
}

#[test]
fn no_entity_is_expanded_and_nothing_grows() {
    let bomb = "<!DOCTYPE cas [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><cas>&b;</cas>";
    assert_eq!(read(bomb.as_bytes()).unwrap_err().code, Code::MALFORMED);
    let outside = "<!DOCTYPE cas SYSTEM \"file:///etc/passwd\"><cas/>";
    assert_eq!(read(outside.as_bytes()).unwrap_err().code, Code::MALFORMED);
}

#[test]
fn a_body_nested_or_filled_without_end_is_refused() {
    refused(&"<a>".repeat(200), "deep");
    refused(&"<a/>".repeat(70_000), "many elements");
    let attributes: String = (0..10_000).map(|n| format!(" a{n}=''")).collect();
    refused(&format!("<a{attributes}/>"), "many attributes");
}

fn no_messages(_: &str, _: &str) -> Option<&'static Value> {
    None
}

#[test]
fn s22_what_a_client_leaves_open_is_what_is_asked_for() {
    let schema = json!({"properties": {
        "max": {"type": ["integer", "null"]},
        "half": {"type": "number"},
        "wait": {"type": "boolean"},
        "dest": {"type": "string"},
        "by": {"enum": ["user", "device"]},
        "tokens": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "call-id": {"type": "string"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "members": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "anything": {},
    }});
    let reads =
        |xml: &str| read(format!("<cas>{xml}</cas>").as_bytes()).unwrap().value(Some(Shape::new(&schema, no_messages)));
    for (xml, value) in [
        ("<max>5</max>", json!({"max": 5})),
        ("<max>soon</max>", json!({"max": "soon"})),
        ("<max type='string'>5</max>", json!({"max": "5"})),
        ("<half> 0.5 </half><wait>true</wait>", json!({"half": 0.5, "wait": true})),
        ("<dest>501</dest><by>user</by>", json!({"dest": "501", "by": "user"})),
        ("<tokens><item>1</item></tokens>", json!({"tokens": ["1"]})),
        ("<tokens/>", json!({"tokens": []})),
        ("<rows><item><item>1</item><item>2</item></item></rows>", json!({"rows": [[1, 2]]})),
        ("<call_id>7</call_id>", json!({"call_id": "7"})),
        ("<either>7</either>", json!({"either": "7"})),
        ("<members/>", json!({"members": {}})),
        ("<members><n>1</n></members>", json!({"members": {"n": 1}})),
        ("<anything>5</anything><unknown>5</unknown>", json!({"anything": "5", "unknown": "5"})),
    ] {
        assert_eq!(reads(xml).unwrap(), value, "{xml}");
    }
}

#[test]
fn a_message_among_any_is_read_as_its_own_declaration_says() {
    fn messages(topic: &str, name: &str) -> Option<&'static Value> {
        static MAX: std::sync::LazyLock<Value> =
            std::sync::LazyLock::new(|| json!({"properties": {"max": {"type": "integer"}}}));
        (topic == "find" && name == "look-up").then(|| &*MAX)
    }
    let schema = json!({"type": "array", "items": {"$ref": ANY_MESSAGE}});
    let xml =
        "<cas><item><topic>find</topic><message>look_up</message><max>5</max></item><item><max>5</max></item></cas>";
    let value = read(xml.as_bytes()).unwrap().value(Some(Shape::new(&schema, messages))).unwrap();
    assert_eq!(value, json!([{"topic": "find", "message": "look_up", "max": 5}, {"max": "5"}]));
}
