//! Replies, errors, bulk, repeats, completions.

use super::*;

fn code(reply: &Value) -> (u64, &str) {
    (reply["error"].as_u64().expect("every reply has an error"), reply["field"].as_str().unwrap_or(""))
}

fn make_call(request_id: u64) -> Value {
    message("tel", "make-call", json!({"dest": "502", "request-id": request_id}))
}

#[test]
fn the_error_table() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    for (asked, error, field) in [
        (json!(7), 1, ""),
        (json!({"message": "get-calls"}), 4, "topic"),
        (json!({"topic": "tel"}), 4, "message"),
        (message("fax", "send", json!({})), 2, ""),
        (message("tel", "teleport", json!({})), 3, ""),
        (message("tel", "make-call", json!({})), 4, "dest"),
        (message("tel", "make-call", json!({"dest": 501})), 5, "dest"),
        (message("tel", "make-call", json!({"dest": " "})), 5, "dest"),
        (message("tel", "make-call", json!({"dest": "502", "device": "99"})), 11, "device"),
        (message("tel", "make-call", json!({"dest": "502", "dry-run": true})), 5, "dry-run"),
        (message("tel", "drop", json!({"call-id": "nonsense"})), 11, "call-id"),
        (message("tel", "send-digits", json!({"call-id": "a1", "digits": "12x"})), 5, "digits"),
        (message("tel", "get-calls", json!({"wait": "yes"})), 5, "wait"),
        (message("tel", "get-calls", json!({"request-id": 1.5})), 5, "request-id"),
        (message("config", "get-users", json!({})), 10, ""),
        (message("find", "lookup-contacts", json!({})), 4, "tokens"),
        (message("find", "lookup-contacts", json!({"tokens": "v"})), 5, "tokens"),
        (message("find", "lookup-contacts", json!({"tokens": [], "max": -1})), 5, "max"),
        (message("history", "get-recs", json!({"type": "lost"})), 5, "type"),
        (message("history", "get-recs", json!({"by": "device"})), 4, "device"),
        (message("subscribe", "subscribe-events", json!({"subscribe": [["vm", ""]]})), 5, "subscribe"),
        (message("subscribe", "subscribe-events", json!({"subscribe": ["tel"]})), 5, "subscribe"),
        (message("history", "get-recs", json!({"by": "device", "device": "2"})), 11, "device"),
        (message("history", "get-recs", json!({"by": "device", "device": "zzz"})), 11, "device"),
        (message("history", "get-recs", json!({"device": "zzz"})), 11, "device"),
        (message("find", "lookup-contacts", json!({"tokens": [], "pres": 2})), 5, "pres"),
        (message("tel", "unpark", json!({})), 4, "orbit"),
        (message("tel", "complete-transfer", json!({"call-id": "nonsense", "with": "nope"})), 11, "call-id"),
        (message("tel", "make-call", json!({"dest": "502", "device": "2"})), 11, "device"),
        (
            message("session", "change-password", json!({"old-password": "x", "new-password": "7654321"})),
            5,
            "new-password",
        ),
        (
            message("session", "change-password", json!({"old-password": "x", "new-password": "87654321"})),
            10,
            "old-password",
        ),
        (
            message("session", "change-password", json!({"old-password": "x", "new-password": "8765\r\n4321"})),
            5,
            "new-password",
        ),
        (message("subscribe", "unsubscribe", json!({})), 4, "sub-id"),
        (message("subscribe", "unsubscribe", json!({"sub-id": "7"})), 11, "sub-id"),
    ] {
        // An array, so that what is no message at all is not taken for a body that cannot be read.
        let reply = bench.execute(&session, json!([asked]))[0].clone();
        assert_eq!(code(&reply), (error, field), "{asked} was answered {reply}");
        assert!(reply["error-text"].as_str().is_some_and(|text| (9..500).contains(&text.len())), "{reply}");
    }
    assert!(bench.control.commands.is_empty(), "a message that fails changes nothing");
}

#[test]
fn a_body_that_cannot_be_read_is_400_and_ends_no_session() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    for body in ["{", "", "7", "\"x\"", "\u{0}"] {
        let id = bench.post(Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
        let (status, reply) = bench.reply(id);
        assert_eq!((status, code(&reply).0), (400, 1), "{body:?}");
    }
    let parts = json!(vec![message("tel", "get-calls", json!({})); 257]);
    assert_eq!(code(&bench.execute(&session, parts)).0, 40);
    assert_eq!(code(&bench.execute(&session, message("session", "keep-alive", json!({})))).0, 0);
}

#[test]
fn s42_without_a_session_nothing_is_served() {
    let mut bench = Bench::new();
    let poll = Endpoint::GetEvents { timeout: 0, after: None };
    for endpoint in [Endpoint::Execute, poll, Endpoint::Logout, Endpoint::Session] {
        for session in [None, Some("0123456789abcdef0123456789abcdef")] {
            let id = bench.post(endpoint, session, NETWORK, b"{}");
            let (status, reply) = bench.reply(id);
            assert_eq!((status, code(&reply).0), (401, 10), "{endpoint:?}");
        }
    }
    let id = bench.post(Endpoint::Health, None, NETWORK, b"");
    assert_eq!(bench.reply(id), (200, json!({"status": "ok"})));
}

#[test]
fn s27_s30_s122_every_reply_has_the_headers_the_outcome_and_permissions() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    for spec in crate::topic::MESSAGES {
        let asked = message(spec.topic, spec.name, json!({"request-id": "r", "wait": false}));
        let reply = bench.execute(&session, asked);
        assert_eq!((&reply["topic"], &reply["message"]), (&json!(spec.topic), &json!(spec.name)));
        assert_eq!(reply["request-id"], "r");
        assert!(reply["timestamp"].is_u64() && reply["sequence-id"].is_u64() && reply["response"].is_u64(), "{reply}");
        let listed = reply["permissions"].as_array().expect("permissions").contains(&json!(spec.name));
        assert_eq!(listed, code(&reply).0 != 10, "offered is accepted: {reply}");
    }
    assert_eq!(bench.execute(&session, message("fax", "send", json!({})))["permissions"], json!([]));
}

#[test]
fn s36_s38_s41_make_call_is_answered_at_once_and_completed_by_event() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    // The seed's own request, as printed.
    let reply = bench.execute(
        &session,
        json!({"topic":"tel","message":"make-call","timestamp":1291231721388u64,"sequence-id":27,"request-id":27,
               "dest":"502","name-hint":"Austin","guided-conf-transfer":true}),
    );
    assert_eq!((code(&reply).0, &reply["response"], &reply["call-id"]), (0, &json!(1), &json!("a1")));
    assert_eq!(reply["sequence-id"], 0);
    let command = CallCommand::MakeCall { dest: "502".into(), name_hint: Some("Austin".into()), device: None };
    assert_eq!(bench.control.commands, [command]);
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Call(CallId(0xa1)))));
    let events = bench.events(&session, 0);
    let wanted = json!([{"topic": "tel", "message": "tel-completion-evt", "timestamp": 1_700_000_000_000u64,
        "sequence-id": 1, "request-id": 27, "name": "make-call", "response": 1, "error": 0, "call-id": "a1"}]);
    assert_eq!(json!(events), wanted);
}

#[test]
fn s39_parallel_requests_complete_in_any_order() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let responses: Vec<u64> =
        (0..50).map(|n| bench.execute(&session, make_call(n))["response"].as_u64().unwrap()).collect();
    let mut unique = responses.clone();
    unique.dedup();
    assert_eq!(unique.len(), 50);
    for n in (0..50u64).map(|n| n * 7 % 50) {
        let result = match n % 2 {
            0 => Ok(Yield::Call(CallId(n))),
            _ => Err(Refusal { code: RefusalCode::Busy, text: "busy".into() }),
        };
        bench.publish(CallEvent::Completed(Ticket(n + 1), result));
    }
    let events = bench.events(&session, 0);
    assert_eq!(events.len(), 50);
    for event in events {
        let n = event["request-id"].as_u64().unwrap();
        assert_eq!(event["response"], responses[n as usize]);
        assert_eq!(event["error"], if n % 2 == 0 { 0 } else { 24 });
    }
    assert_eq!(bench.cas.stats().pending, 0);
}

#[test]
fn s40_wait_answers_with_the_final_reply_alone() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let id = bench.send(&session, &message("tel", "drop", json!({"call-id": "a1", "wait": true})));
    assert!(bench.replies.is_empty());
    let refusal = Refusal { code: RefusalCode::Gone, text: "the call has ended".into() };
    bench.publish(CallEvent::Completed(Ticket(1), Err(refusal)));
    let reply = bench.reply(id).1;
    assert_eq!(
        (code(&reply).0, &reply["response"], &reply["error-text"]),
        (13, &json!(0), &json!("the call has ended"))
    );
    assert!(bench.events(&session, 0).is_empty());
}

#[test]
fn what_a_command_came_to_names_the_call_however_it_ended() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let refusal = Refusal { code: RefusalCode::Busy, text: "busy".into() };
    let about = |name: &str| message("tel", name, json!({"call-id": "b7", "digits": "1", "dest": "502"}));
    for (name, call) in [("make-call", "a1"), ("drop", "b7"), ("hold", "b7"), ("unhold", "b7"), ("send-digits", "b7")] {
        let reply = bench.execute(&session, about(name));
        assert_eq!(reply["call-id"], call, "{reply}");
        bench.publish(CallEvent::Completed(Ticket(bench.control.tickets), Err(refusal.clone())));
        let completion = bench.events(&session, 0).pop().unwrap();
        assert_eq!((&completion["name"], &completion["error"]), (&json!(name), &json!(24)));
        assert_eq!(completion["call-id"], call, "{completion}");
    }
    let mut waits = about("hold");
    waits["wait"] = true.into();
    let id = bench.send(&session, &waits);
    bench.publish(CallEvent::Completed(Ticket(6), Err(refusal)));
    assert_eq!(bench.reply(id).1["call-id"], "b7");
    bench.control.refuse = Some(Refusal { code: RefusalCode::WrongState, text: "not answered".into() });
    let reply = bench.execute(&session, waits);
    assert_eq!((code(&reply).0, &reply["call-id"]), (12, &json!("b7")));
}

#[test]
fn a_call_or_device_that_is_not_there_is_told_the_same_whatever_was_named() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let refuse = |code, text: &'static str| Some(Refusal { code, text: text.into() });
    let ask = |bench: &mut Bench, name: &str, members: Value| {
        let reply = bench.execute(&session, message("tel", name, members));
        (code(&reply).0, reply["field"].clone(), reply["error-text"].clone())
    };
    let malformed = ask(&mut bench, "drop", json!({"call-id": "nonsense"}));
    assert_eq!((malformed.0, &malformed.1), (11, &json!("call-id")));
    let unknown_device = ask(&mut bench, "make-call", json!({"dest": "502", "device": "99"}));
    assert_eq!((unknown_device.0, &unknown_device.1), (11, &json!("device")));
    bench.control.refuse = refuse(RefusalCode::NotFound, "some words of the engine's");
    for name in ["drop", "hold", "unhold", "send-digits"] {
        assert_eq!(ask(&mut bench, name, json!({"call-id": "a1", "digits": "1"})), malformed, "{name}");
    }
    assert_eq!(ask(&mut bench, "make-call", json!({"dest": "502", "device": "2"})), unknown_device);
}

#[test]
fn a_refusal_of_call_control_is_the_reply() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.control.refuse = Some(Refusal { code: RefusalCode::NotRegistered, text: "your phone is off".into() });
    let reply = bench.execute(&session, make_call(1));
    assert_eq!((code(&reply).0, &reply["response"]), (22, &json!(0)));
}

#[test]
fn what_call_control_will_not_take_there_is_told_of_the_member_that_says_where() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.control.calls.push(call(0xa, 2, CallState::Connected));
    for code in [RefusalCode::BadValue, RefusalCode::NoRoute] {
        bench.control.refuse = Some(Refusal { code, text: "not there".into() });
        for (name, field) in [
            ("make-call", "dest"),
            ("consult", "dest"),
            ("blind-transfer", "dest"),
            ("redirect", "dest"),
            ("park", "orbit"),
        ] {
            let asked = message("tel", name, json!({"call-id": "a", "dest": "501", "orbit": "9"}));
            let reply = bench.execute(&session, asked);
            assert_eq!((&reply["error"], &reply["field"]), (&json!(code as u16), &json!(field)), "{name}: {reply}");
        }
    }
    bench.control.refuse = Some(Refusal { code: RefusalCode::WrongState, text: "not now".into() });
    assert_eq!(bench.execute(&session, make_call(1)).get("field"), None);
}

#[test]
fn the_other_call_of_a_transfer_is_told_by_its_own_member() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.control.calls.push(call(0xa, 2, CallState::Connected));
    for with in ["nope", "b", ""] {
        let asked = message("tel", "complete-transfer", json!({"call-id": "a", "with": with}));
        let reply = bench.execute(&session, asked);
        assert_eq!((code(&reply), &reply["call-id"]), ((11, "with"), &json!("a")), "{reply}");
    }
}

#[test]
fn a_call_that_has_ended_is_gone_for_its_user_and_unknown_to_others() {
    let mut bench = Bench::new();
    let (session, other) = (bench.log_in("501"), bench.log_in("502"));
    let ended = CallEvent::Ended { call: CallId(0xb), user: UserId(2), cause: Cause::Normal, duration_msec: 1 };
    bench.publish(ended);
    bench.control.calls.push(call(0xa, 2, CallState::Connected));
    bench.control.refuse = Some(Refusal { code: RefusalCode::NotFound, text: "".into() });
    let drop = message("tel", "drop", json!({"call-id": "b"}));
    assert_eq!(code(&bench.execute(&session, drop.clone())), (13, "call-id"));
    assert_eq!(code(&bench.execute(&other, drop)), (11, "call-id"));
    assert_eq!(code(&bench.execute(&session, message("tel", "drop", json!({"call-id": "c"})))), (11, "call-id"));
    let asked = message("tel", "complete-transfer", json!({"call-id": "a", "with": "b"}));
    assert_eq!(code(&bench.execute(&session, asked)), (13, "with"));
}

#[test]
fn a_long_value_is_not_told_back_whole() {
    let mut bench = Bench::new();
    let (session, long) = (bench.log_in("501"), "9".repeat(70_000));
    for asked in [
        message("tel", "drop", json!({"call-id": long})),
        message("system", "end-session", json!({"session": long})),
        message("config", "delete-user", json!({"ext": long})),
    ] {
        let session = if asked["topic"] == "tel" { session.clone() } else { bench.log_in("admin") };
        let reply = bench.execute(&session, asked);
        assert_eq!(reply["error"], 11);
        assert!(reply.to_string().len() < 2000, "{reply}");
    }
}

#[test]
fn what_is_missing_where_one_of_several_is_needed_is_told_of_all() {
    let mut bench = Bench::new();
    let session = bench.log_in("admin");
    for (topic, name, field, all) in [
        ("tel", "unpark", "orbit", "orbit or ext"),
        ("tel", "pickup", "orbit", "orbit or ext"),
        ("system", "end-registration", "ext", "ext or device"),
        ("subscribe", "unsubscribe", "sub-id", "sub-id or sub-ids or unsubscribe"),
    ] {
        let reply = bench.execute(&session, message(topic, name, json!({})));
        assert_eq!(code(&reply), (4, field));
        assert!(reply["error-text"].as_str().unwrap().starts_with(all), "{reply}");
    }
}

#[test]
fn a_session_has_no_more_than_64_commands_pending() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let replies: Vec<Value> = (0..65).map(|n| bench.execute(&session, make_call(n))).collect();
    assert!(replies[..64].iter().all(|reply| code(reply).0 == 0));
    assert_eq!(code(&replies[64]).0, 20);
    bench.publish(CallEvent::Completed(Ticket(9), Ok(Yield::Done)));
    assert_eq!(
        code(&bench.execute(&session, make_call(64))).0,
        0,
        "an overload is not remembered: the same may be tried"
    );
}

#[test]
fn a_session_whose_commands_all_wait_can_still_look_and_the_next_command_is_told_why_not() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "make-call", json!({"dest": "502", "wait": true}));
    for _ in 0..64 {
        bench.send(&session, &asked);
    }
    assert_eq!(code(&bench.execute(&session, message("tel", "get-calls", json!({})))).0, 0);
    let reply = bench.execute(&session, asked);
    assert_eq!((code(&reply).0, &reply["message"]), (20, &json!("make-call")));
}

#[test]
fn a_session_has_no_more_than_128_requests_waiting_and_others_are_served() {
    let mut bench = Bench::new();
    let (session, other) = (bench.log_in("501"), bench.log_in("502"));
    // Repeats of one, all of which wait for it.
    let asked = message("tel", "make-call", json!({"dest": "502", "wait": true, "request-id": 1}));
    for _ in 0..128 {
        bench.send(&session, &asked);
    }
    let id = bench.send(&session, &asked);
    assert_eq!(bench.replies[&id].headers, [("retry-after", "1".to_owned())]);
    let (status, reply) = bench.reply(id);
    assert_eq!((status, code(&reply).0), (200, 20));
    assert_eq!(code(&bench.execute(&other, make_call(1))).0, 0);
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Done)));
    assert_eq!(code(&bench.execute(&session, message("tel", "get-calls", json!({})))).0, 0);
}

#[test]
fn s28_the_fields_way_of_writing_names_is_accepted() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked =
        json!({"topic": "tel", "message": "make_call", "request_id": 5, "dest": "502", "name_hint": "A", "version": 3});
    let reply = bench.execute(&session, asked);
    assert_eq!((code(&reply).0, &reply["message"], &reply["request-id"]), (0, &json!("make-call"), &json!(5)));
}

#[test]
fn s151_s154_an_array_is_answered_in_its_order() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let names = |replies: &Value| -> Vec<String> {
        replies.as_array().unwrap().iter().map(|reply| reply["message"].as_str().unwrap().to_owned()).collect()
    };
    let parts = json!([
        message("history", "get-recs", json!({})),
        make_call(1),
        message("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]]})),
        message("subscribe", "list", json!({})),
        message("find", "lookup-contacts", json!({"tokens": ["v"]})),
    ]);
    let replies = bench.execute(&session, parts);
    assert_eq!(names(&replies), ["get-recs", "make-call", "subscribe-events", "list", "lookup-contacts"]);
    assert_eq!(replies[3]["subscriptions"], replies[2]["subscriptions"], "what a part changed is there for the next");
    assert_eq!(bench.execute(&session, json!([])), json!([]));
}

#[test]
fn a_part_that_waits_for_its_completion_does_not_hold_back_the_rest() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let first = message("tel", "make-call", json!({"dest": "502", "wait": true}));
    let id = bench.send(&session, &json!([first, message("tel", "drop", json!({"call-id": "a1"}))]));
    assert_eq!(bench.control.commands.len(), 2);
    assert!(bench.replies.is_empty());
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Call(CallId(0xa1)))));
    let replies = bench.reply(id).1;
    assert_eq!((&replies[0]["response"], &replies[1]["response"]), (&json!(0), &json!(2)));
}

#[test]
fn a_repeated_request_is_done_once() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let mut asked = make_call(9);
    let first = bench.execute(&session, asked.clone());
    asked["timestamp"] = 99.into();
    asked["sequence-id"] = 4.into();
    assert_eq!(bench.execute(&session, asked.clone()), first);
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Done)));
    assert_eq!(bench.execute(&session, asked.clone()), first, "the first one's reply, after the completion too");
    assert_eq!(bench.control.commands.len(), 1);
    asked["dest"] = "503".into();
    assert_eq!(code(&bench.execute(&session, asked.clone())), (14, "request-id"));
    let other = bench.log_in("501");
    assert_eq!(code(&bench.execute(&other, asked)).0, 0, "ids are a session's own");
}

#[test]
fn a_repeat_may_be_written_and_waited_for_otherwise() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let first = bench.execute(&session, make_call(9));
    let mut other = json!({"topic": "tel", "message": "make_call", "request_id": 9, "dest": "502", "wait": true});
    assert_eq!(bench.execute(&session, other.clone()), first);
    other["request_id"] = json!(9.0);
    assert_eq!(bench.execute(&session, other), first);
    assert_eq!(bench.control.commands.len(), 1);
}

#[test]
fn a_request_that_failed_at_once_may_be_corrected_under_its_id() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "make-call", json!({"request-id": 1}));
    assert_eq!(code(&bench.execute(&session, asked)), (4, "dest"));
    bench.control.refuse = Some(Refusal { code: RefusalCode::NotRegistered, text: "your phone is off".into() });
    assert_eq!(code(&bench.execute(&session, make_call(1))).0, 22);
    bench.control.refuse = None;
    assert_eq!(code(&bench.execute(&session, make_call(1))).0, 0, "his phone has come back");
    assert_eq!(bench.control.commands.len(), 1);
}

#[test]
fn what_was_begun_and_failed_is_not_begun_again() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "make-call", json!({"dest": "502", "wait": true, "request-id": 1}));
    let id = bench.send(&session, &asked);
    bench.publish(CallEvent::Completed(
        Ticket(1),
        Err(Refusal { code: RefusalCode::Overloaded, text: "the switch is ending".into() }),
    ));
    let first = bench.reply(id).1;
    assert_eq!(code(&first).0, 20);
    assert_eq!(bench.execute(&session, asked), first);
    assert_eq!(bench.control.commands.len(), 1);
}

#[test]
fn a_repeat_of_a_request_under_way_waits_for_the_same_reply() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "make-call", json!({"dest": "502", "wait": true, "request-id": 1}));
    let first = bench.send(&session, &asked);
    bench.input(Input::Gone(first));
    let second = bench.send(&session, &asked);
    assert!(bench.replies.is_empty());
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Call(CallId(0xa1)))));
    assert_eq!(bench.reply(second).1["call-id"], "a1");
    assert!(bench.replies.is_empty(), "who has gone is not answered");
    assert_eq!(bench.control.commands.len(), 1);
}

#[test]
fn reading_messages_are_answered_afresh() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "get-calls", json!({"request-id": 1}));
    assert_eq!(bench.execute(&session, asked.clone())["calls"].as_array().unwrap().len(), 1);
    bench.control.calls.push(call(1, 2, CallState::Connected));
    let calls = bench.execute(&session, asked)["calls"].clone();
    let wanted = json!([
        ["call-id", "state", "direction", "device", "parties", "started", "actions"],
        [
            "1",
            "connected",
            "out",
            "1",
            [["addr", "name", "state"], ["502", "Austin Powers", "connected"]],
            1000,
            ["drop", "hold"]
        ]
    ]);
    assert_eq!(calls, wanted);
}

#[test]
fn a_store_that_fails_is_told_with_an_id_and_nothing_has_changed() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.hold = true;
    let asked = message("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]], "request-id": 1}));
    let id = bench.send(&session, &asked);
    bench.fail_store();
    let reply = bench.reply(id).1;
    assert_eq!(code(&reply).0, 50);
    assert!(reply["error-text"].as_str().unwrap().contains("fault 1"), "{reply}");
    assert!(bench.events(&session, 0).is_empty());
    bench.hold = false;
    assert_eq!(code(&bench.execute(&session, asked)).0, 0, "the same may be tried again");
}

#[test]
fn s112_s116_history_is_read_from_the_store() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let record = |call: u64, kind| store::HistoryRecord {
        call: CallId(call),
        user: UserId(2),
        device: Some(DeviceId(1)),
        kind,
        addr: "502".into(),
        name: "Austin Powers".into(),
        started: Wall(call * 1000),
        duration_msec: 7,
        cause: "normal".into(),
        media: String::new(),
        note: String::new(),
    };
    let changes = [(0xa, store::HistoryKind::Placed), (0xb, store::HistoryKind::Missed)];
    let changes = changes.map(|(call, kind)| Change::PutHistory(record(call, kind))).to_vec();
    store::run(&mut bench.store, [&store::Request::Write(changes)]);
    let recs = bench.execute(&session, message("history", "get-recs", json!({})))["recs"].clone();
    let wanted = json!([
        ["rec-id", "type", "addr", "name", "started", "duration-msec", "device", "call-id", "note", "actions", "cause"],
        ["b", "missed", "502", "Austin Powers", 11000, 7, "1", "b", "", [], "normal"],
        ["a", "placed", "502", "Austin Powers", 10000, 7, "1", "a", "", [], "normal"]
    ]);
    assert_eq!(recs, wanted);
    let missed = json!({"type": "missed", "by": "device", "device": "1", "max": 5, "after": 1});
    let recs = bench.execute(&session, message("history", "get-recs", missed))["recs"].clone();
    assert_eq!((recs.as_array().unwrap().len(), &recs[1][0]), (2, &json!("b")));
    let other = bench.log_in("502");
    assert_eq!(bench.execute(&other, message("history", "get-recs", json!({})))["recs"].as_array().unwrap().len(), 1);
}

#[test]
fn the_console_may_ask_what_an_administrator_may_and_is_no_user() {
    let mut bench = Bench::new();
    let state = bench.console(message("system", "get-state", json!({})));
    assert_eq!((code(&state).0, &state["users"]), (0, &json!(3)));
    assert_eq!(code(&bench.console(make_call(1))).0, 10);
    bench.control.registered.push(RegistrationInfo {
        device: DeviceId(1),
        contact: "sip:501@192.0.2.1".into(),
        source: "udp 192.0.2.1:5060".into(),
        agent: "phone".into(),
        expires: Wall(5),
    });
    let rows = bench.console(message("system", "get-registrations", json!({})))["registrations"].clone();
    let wanted = json!([
        ["device", "user", "sip-user", "contact", "source", "agent", "expires"],
        ["1", "501", "501", "sip:501@192.0.2.1", "udp 192.0.2.1:5060", "phone", 5]
    ]);
    assert_eq!(rows, wanted);
}

#[test]
fn what_is_printed_for_a_log_shows_no_secret() {
    let printed = [
        format!("{:?}", user(2, "501", "Vanessa Kensington", Role::User)),
        format!("{:?}", phone(1, 2, "501")),
        format!("{:?}", Change::PutUser(user(2, "501", "V", Role::User))),
        format!("{:?}", Finding::Hashed(vec!["hash:secret".into()])),
        format!("{:?}", Reply::new(200, "text/plain", "secret").with_header("set-cookie", "secret".into())),
        format!(
            "{:?}",
            Input::Request(
                RequestId(1),
                Request {
                    endpoint: Endpoint::Login,
                    session: Some("secret".into()),
                    source: NETWORK,
                    format: Format::Json,
                    body: "secret".into()
                }
            )
        ),
    ];
    let Access::Digest { ha1_md5, ha1_sha256, .. } = phone(1, 2, "501").access else { unreachable!() };
    for text in printed {
        for secret in ["secret", "hash", &ha1_md5, &ha1_sha256] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
