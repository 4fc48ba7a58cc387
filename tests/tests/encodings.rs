//! S21, S22: clients that speak XML, against the real switch. The reader of XML here is a few lines of its own.

use tests::curl::{Answer, ask};
use tests::process::{Switch, password};

const XML: [&str; 2] = ["-H", "Content-Type: application/xml"];

fn send(switch: &Switch, path: &str, arguments: &[&str], inside: &str) -> Answer {
    let body = format!("<cas>{inside}</cas>");
    ask(switch.http, path, &[&XML[..], arguments, &["--data-raw", &body]].concat())
}

/// The text of the first element of this name.
#[track_caller]
fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let body = &answer.body;
    let rest = body.split_once(&format!("<{name}")).unwrap_or_else(|| panic!("no {name} in {body}")).1;
    let rest = rest.split_once('>').expect("a tag ends").1;
    rest.split_once(&format!("</{name}>")).expect("an element ends").0
}

fn log_in(switch: &Switch) -> String {
    let inside = format!("<app-id>phone</app-id><username>501</username><password>{}</password>", password("501"));
    let answer = send(switch, "/login", &[], &inside);
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/xml"), "{}", answer.body);
    assert_eq!(text(&answer, "user-role"), "user");
    text(&answer, "SessionId").to_owned()
}

#[test]
fn s22_a_client_logs_in_asks_and_hears_events_in_xml_alone() {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let session = log_in(&switch);
    let execute = format!("/Execute?SessionId={session}");

    let asked = "<topic>find</topic><message>lookup-contacts</message><tokens><item>aus</item></tokens><max>5</max><request-id type=\"number\">26</request-id>";
    let found = send(&switch, &execute, &[], asked);
    assert_eq!((found.status, text(&found, "error"), text(&found, "request-id")), (200, "0", "26"), "{}", found.body);
    assert!(
        found.body.contains("<item>Austin</item>") && found.body.contains("<request-id type=\"number\">"),
        "{}",
        found.body
    );

    let subscribe = "<topic>subscribe</topic><message>subscribe-events</message><subscribe><item><item>tel</item><item>device</item></item></subscribe>";
    assert_eq!(text(&send(&switch, &execute, &[], subscribe), "error"), "0");
    let events = ask(switch.http, &format!("/GetEvents?SessionId={session}&timeout=30"), &[]);
    assert_eq!(events.content_type, "application/xml");
    assert_eq!(text(&events, "message"), "snapshot-evt", "{}", events.body);

    let bulk = "<item><topic>session</topic><message>keep-alive</message></item><item><topic>tel</topic><message>get-calls</message></item>";
    let replies = send(&switch, &execute, &[], bulk);
    assert!(replies.body.contains("<cas type=\"array\"><item>"), "{}", replies.body);
    assert_eq!(replies.body.matches("<error type=\"number\">0</error>").count(), 2, "{}", replies.body);

    // Nobody has a telephone that is registered.
    let call = send(&switch, &execute, &[], "<topic>tel</topic><message>make_call</message><dest>502</dest>");
    assert_eq!((call.status, text(&call, "error")), (200, "22"), "{}", call.body);

    let out = ask(switch.http, &format!("/Logout?SessionId={session}"), &[&XML[..], &["-X", "POST"]].concat());
    assert_eq!((out.status, text(&out, "error")), (200, "0"));
    let late = send(&switch, &execute, &[], asked);
    assert_eq!((late.status, text(&late, "error")), (401, "10"), "{}", late.body);
}

#[test]
fn s22_the_reply_is_in_what_the_client_accepts() {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington")]);
    let execute = format!("/Execute?SessionId={}", log_in(&switch));
    let asked = "<topic>session</topic><message>keep-alive</message>";
    let json = send(&switch, &execute, &["-H", "Accept: application/json"], asked);
    assert_eq!(json.content_type, "application/json");
    let json: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
    assert_eq!(json["error"], 0);

    let asked = r#"{"topic":"session","message":"keep-alive"}"#;
    let xml = ask(switch.http, &execute, &["-H", "Accept: text/xml", "--data-raw", asked]);
    assert_eq!((xml.content_type.as_str(), text(&xml, "error")), ("text/xml", "0"));
}

/// S21: whoever can reach the address has the schema, as JSON whatever he accepts; the clients of these tests check all they send and are told by it.
#[test]
fn s21_the_schema_is_there_without_a_session() {
    let switch = Switch::start();
    let answer = ask(switch.http, "/Schema", &["-H", "Accept: application/xml"]);
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/schema+json"));
    let schema: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(schema["messages"]["tel"]["make-call"]["answered"], "asynchronously");
    let make_call = &schema["$defs"]["tel.make-call"];
    assert!(make_call["required"].as_array().is_some_and(|names| names.contains(&"dest".into())), "{make_call}");
    assert_eq!(ask(switch.http, "/schema", &["-X", "POST", "-d", ""]).status, 405);
}

#[test]
fn a_body_that_is_no_xml_is_answered_in_xml_and_ends_no_session() {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington")]);
    let execute = format!("/Execute?SessionId={}", log_in(&switch));
    for inside in ["<topic>", "&unknown;", "<a/><a/>"] {
        let answer = send(&switch, &execute, &[], inside);
        assert_eq!((answer.status, text(&answer, "error")), (400, "1"), "{inside}: {}", answer.body);
        assert!(text(&answer, "error-text").contains("XML"), "{}", answer.body);
    }
    let bomb = "<!DOCTYPE cas [<!ENTITY a \"aaaaaaaaaa\">]><cas><topic>&a;</topic></cas>";
    let answer = ask(switch.http, &execute, &[&XML[..], &["--data-raw", bomb]].concat());
    assert_eq!((answer.status, text(&answer, "error")), (400, "1"), "{}", answer.body);
    let answer = send(&switch, &execute, &[], "<topic>session</topic><message>keep-alive</message>");
    assert_eq!((answer.status, text(&answer, "error")), (200, "0"), "{}", answer.body);
}
