//! What the administrator sees of others, and ends.

use super::*;

fn report() -> CallReport {
    let line = CallLine {
        id: CallId(0xb1),
        far: CallId(0xb2),
        from: "501".into(),
        to: "502".into(),
        stage: CallStage::Ended(Wall(9000), Cause::Busy),
        started: Wall(8000),
        talked_msec: 0,
    };
    let leg = LegReport {
        is_caller: true,
        device: DeviceId(1),
        transport: "udp",
        peer: "192.0.2.1:5062".parse().unwrap(),
        local: "192.0.2.7:5060".parse().unwrap(),
        port: 20_000,
        codecs: vec!["PCMU".into()],
        media: r#"{"received":7}"#.into(),
        counted: Some(Wall(8900)),
    };
    let message = MessageReport { after_usec: 1500, leg: 0, from_phone: true, text: "INVITE".into() };
    CallReport { line, legs: vec![leg], messages: vec![message], omitted: 3 }
}

fn row(rows: &Value, n: usize) -> BTreeMap<&str, &Value> {
    let columns = rows[0].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    columns.zip(rows[n].as_array().unwrap()).collect()
}

#[test]
fn calls_of_others_are_for_administrators() {
    let mut bench = Bench::new();
    bench.control.reports = vec![report()];
    for name in ["get-calls", "get-call", "get-sessions", "end-session", "end-registration"] {
        let session = bench.log_in("501");
        assert_eq!(bench.execute(&session, message("system", name, json!({})))["error"], 10, "{name}");
    }
    let admin = bench.log_in("admin");
    let reply = bench.execute(&admin, message("system", "get-calls", json!({"ended": true})));
    let line = row(&reply["calls"], 1);
    assert_eq!((line["call-id"], line["state"], line["cause"]), (&json!("b1"), &json!("ended"), &json!("busy")));
    assert_eq!(reply["total"], 1);
    let reply = bench.execute(&admin, message("system", "get-call", json!({"call-id": "b1"})));
    let leg = row(&reply["legs"], 1);
    assert_eq!((leg["user"], leg["peer"]), (&json!("501"), &json!("192.0.2.1:5062")));
    assert_eq!((leg["codecs"], &leg["media"]["received"]), (&json!(["PCMU"]), &json!(7)));
    assert_eq!(row(&reply["messages"], 1)["text"], "INVITE");
    assert_eq!(reply["omitted"], 3);
    let reply = bench.execute(&admin, message("system", "get-call", json!({"call-id": "b9"})));
    assert_eq!(reply["error"], 11, "{reply}");
}

#[test]
fn a_session_that_is_ended_is_logged_out_and_told_so() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    let seen = bench.events(&session, 0).len() as u64;
    let poll = bench.poll(&session, 60, Some(seen));
    let sessions = bench.console(message("system", "get-sessions", json!({})))["sessions"].clone();
    let shown = row(&sessions, 1);
    assert_eq!((shown["user"], shown["polling"], shown["subscriptions"]), (&json!("501"), &json!(true), &json!(1)));
    assert_eq!(shown["source"], "127.0.0.1");
    let id = shown["session"].clone();
    assert!(!sessions.to_string().contains(&session), "the token is not told: {sessions}");
    assert_eq!(bench.console(message("system", "end-session", json!({"session": id})))["error"], 0);
    assert_eq!(bench.reply(poll).0, 401);
    let again = bench.send(&session, &message("session", "keep-alive", json!({})));
    assert_eq!(bench.reply(again).0, 401);
    assert_eq!(bench.console(message("system", "end-session", json!({"session": id})))["error"], 11);
    // Its subscriptions do not come back with the next login.
    let session = bench.log_in("501");
    let list = bench.execute(&session, message("subscribe", "list", json!({})));
    assert_eq!(list["subscriptions"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn an_administrator_may_end_his_own_session() {
    let mut bench = Bench::new();
    let session = bench.log_in("admin");
    let reply = bench.execute(&session, message("system", "end-session", json!({"session": "1"})));
    assert_eq!(reply["error"], 0, "{reply}");
    let again = bench.send(&session, &message("session", "keep-alive", json!({})));
    assert_eq!(bench.reply(again).0, 401);
}

#[test]
fn a_registration_is_ended_by_extension_by_phone_or_by_contact() {
    let mut bench = Bench::new();
    let at = |device, contact: &str| RegistrationInfo {
        device: DeviceId(device),
        contact: contact.into(),
        source: "udp 192.0.2.1:5060".into(),
        agent: String::new(),
        expires: Wall(0),
    };
    bench.control.registered = vec![at(1, "sip:a"), at(1, "sip:b"), at(2, "sip:c")];
    let mut end = |members| bench.console(message("system", "end-registration", members));
    assert_eq!(end(json!({}))["error"], 4);
    assert_eq!(end(json!({"ext": "999"}))["error"], 11);
    assert_eq!(end(json!({"ext": "501", "contact": "sip:a"}))["ended"], 1);
    assert_eq!(end(json!({"device": "1"}))["ended"], 1);
    assert_eq!(end(json!({"ext": "501"}))["error"], 11);
    assert_eq!(end(json!({"ext": "502"}))["ended"], 1);
    assert!(bench.control.registered.is_empty());
}

#[test]
fn the_end_of_a_registration_is_told_when_the_store_has_it() {
    let mut bench = Bench::new();
    bench.control.registered = vec![RegistrationInfo {
        device: DeviceId(1),
        contact: "sip:a".into(),
        source: String::new(),
        agent: String::new(),
        expires: Wall(0),
    }];
    bench.hold = true;
    let asked = message("system", "end-registration", json!({"ext": "501"})).to_string();
    let id = bench.post(Endpoint::Execute, None, Source::Console, asked.as_bytes());
    assert!(!bench.replies.contains_key(&id));
    bench.release();
    assert_eq!(bench.reply(id).1["error"], 0);
}
