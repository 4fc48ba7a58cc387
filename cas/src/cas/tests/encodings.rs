//! JSON and XML (S21, S22): the contract's own examples in both, and clients that speak XML alone.

use super::*;
use crate::wire::xml;

/// The seed's examples, rebuilt by the contract, and one of what is hard to write. The XML was not written by the code that is tested.
const GOLDEN: [(&str, &str); 6] = [
    (include_str!("golden/1-lookup-contacts.json"), include_str!("golden/1-lookup-contacts.xml")),
    (include_str!("golden/2-make-call.json"), include_str!("golden/2-make-call.xml")),
    (include_str!("golden/3-contacts.json"), include_str!("golden/3-contacts.xml")),
    (include_str!("golden/4-interim.json"), include_str!("golden/4-interim.xml")),
    (include_str!("golden/5-completion.json"), include_str!("golden/5-completion.xml")),
    (include_str!("golden/6-bulk.json"), include_str!("golden/6-bulk.xml")),
];

fn cas(inside: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?>\n<cas>{inside}</cas>").into_bytes()
}

impl Bench {
    #[track_caller]
    fn xml(&mut self, session: &str, inside: &str) -> Value {
        let id = self.post_as(Format::Xml, Endpoint::Execute, Some(session), NETWORK, &cas(inside));
        self.reply(id).1
    }
}

#[test]
fn s6_s22_the_contracts_examples_are_the_same_in_both_encodings() {
    for (json, xml) in GOLDEN {
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(String::from_utf8(xml::encode(&value).to_vec()).unwrap(), xml);
        let read = xml::read(xml.as_bytes()).and_then(|root| root.value(None));
        assert_eq!(read.unwrap().to_string(), json.trim_end(), "in the same order, too");
    }
}

#[test]
fn s22_the_seeds_requests_are_answered_alike_in_both_encodings() {
    for (json, xml) in &GOLDEN[..2] {
        let mut replies = Vec::new();
        for (format, body) in [(Format::Json, json), (Format::Xml, xml)] {
            let mut bench = Bench::new();
            let session = bench.log_in("501");
            let id = bench.post_as(format, Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
            let (status, reply) = bench.reply(id);
            assert_eq!((status, &reply["error"]), (200, &json!(0)), "{reply}");
            replies.push(reply);
        }
        assert_eq!(replies[0], replies[1]);
    }
}

#[test]
fn s22_a_client_that_writes_no_types_is_understood() {
    let mut bench = Bench::new();
    let login = cas("<app_id>phone</app_id><username>501</username><password>secret-501</password>");
    let id = bench.post_as(Format::Xml, Endpoint::Login, None, NETWORK, &login);
    let session = bench.reply(id).1["SessionId"].as_str().expect("a session").to_owned();

    let found = bench.xml(
        &session,
        "<topic>find</topic><message>lookup-contacts</message><tokens><item>v</item></tokens><max>5</max><request-id>7</request-id>",
    );
    assert_eq!((&found["error"], &found["request-id"]), (&json!(0), &json!("7")), "{found}");
    assert_eq!(found["contacts"].as_array().unwrap().len(), 2);

    let rows = "<item><item>tel</item><item>device</item></item><item><item>tel</item><item>park</item><item/></item>";
    let subscribed = bench.xml(
        &session,
        &format!("<topic>subscribe</topic><message>subscribe_events</message><subscribe>{rows}</subscribe>"),
    );
    assert_eq!(subscribed["subscriptions"].as_array().unwrap().len(), 3, "{subscribed}");

    let called = "<topic>tel</topic><message>make_call</message><dest>502</dest><guided_conf_transfer>true</guided_conf_transfer>";
    assert_eq!(bench.xml(&session, called)["response"], 1);
    let id = bench.post_as(
        Format::Xml,
        Endpoint::Execute,
        Some(&session),
        NETWORK,
        &cas(&format!("{called}<wait>true</wait>")),
    );
    assert!(!bench.replies.contains_key(&id), "it waits");
    bench.publish(CallEvent::Completed(Ticket(2), Ok(Yield::Done)));
    assert_eq!(bench.reply(id).1["error"], 0);
}

#[test]
fn s22_a_bulk_request_may_be_written_with_and_without_types() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let parts = "<item><topic>tel</topic><message>get-calls</message></item>\n<item><topic>find</topic><message>lookup-contacts</message><tokens/></item>";
    for root in ["<cas>", "<cas type=\"array\">"] {
        let body = format!("{root}{parts}</cas>");
        let id = bench.post_as(Format::Xml, Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
        let replies = bench.reply(id).1;
        assert_eq!((&replies[0]["message"], &replies[1]["error"]), (&json!("get-calls"), &json!(0)), "{replies}");
    }
}

#[test]
fn what_is_wrong_in_xml_is_told_as_in_json() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    for (inside, error, field) in [
        ("<topic>tel</topic>", 4, "message"),
        ("<topic>fax</topic><message>send</message>", 2, ""),
        ("<topic>tel</topic><message>make-call</message><dest type=\"number\">502</dest>", 5, "dest"),
        ("<topic>find</topic><message>lookup-contacts</message><tokens/><max>soon</max>", 5, "max"),
        ("<topic>find</topic><message>lookup-contacts</message><tokens/><max type=\"string\">5</max>", 5, "max"),
    ] {
        let reply = bench.xml(&session, inside);
        assert_eq!(
            (&reply["error"], reply["field"].as_str().unwrap_or("")),
            (&json!(error), field),
            "{inside}: {reply}"
        );
    }
    for body in [&b"<cas><topic></cas>"[..], b"{}", b"<cas>7</cas>", b""] {
        let id = bench.post_as(Format::Xml, Endpoint::Execute, Some(&session), NETWORK, body);
        let (status, reply) = bench.reply(id);
        assert_eq!((status, &reply["error"]), (400, &json!(1)), "{reply}");
    }
    assert_eq!(bench.execute(&session, message("session", "keep-alive", json!({})))["error"], 0, "the session lives");
}

#[test]
fn s22_who_logs_in_by_xml_is_told_events_in_it() {
    let mut bench = Bench::new();
    let login = cas("<app-id>phone</app-id><username>501</username><password>secret-501</password>");
    let id = bench.post_as(Format::Xml, Endpoint::Login, None, NETWORK, &login);
    let session = bench.reply(id).1["SessionId"].as_str().expect("a session").to_owned();
    let other = bench.log_in("501");
    for (session, format) in [(&session, Format::Xml), (&other, Format::Json)] {
        let now = bench.poll(session, 0, None);
        assert_eq!(bench.replies[&now].format, format);
        let (waiting, second) = (bench.poll(session, 30, None), bench.poll(session, 30, None));
        assert_eq!(bench.replies[&waiting].format, format, "superseded");
        bench.subscribe(session);
        assert_eq!(bench.replies[&second].format, format);
    }
}
