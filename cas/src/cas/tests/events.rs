//! Events, polls, subscriptions, and how sessions end.

use super::*;

fn changed(id: u64, state: CallState) -> CallEvent {
    CallEvent::Changed(call(id, 2, state), None)
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["sequence-id"].as_u64().unwrap()).collect()
}

#[test]
fn s49_s54_s55_a_subscription_begins_with_a_snapshot_and_is_confirmed_by_the_summary() {
    let mut bench = Bench::new();
    bench.control.calls.push(call(1, 2, CallState::Held));
    let session = bench.log_in("501");
    let reply = bench.subscribe(&session);
    assert_eq!(reply["subscriptions"], json!([["sub-id", "topic", "kind", "args"], ["1", "tel", "device", []]]));
    assert_eq!(reply["sequence-id"], 1, "the snapshot was queued before the reply was made");
    let events = bench.events(&session, 0);
    assert_eq!((&events[0]["message"], &events[0]["kind"]), (&json!("snapshot-evt"), &json!("device")));
    assert_eq!(events[0]["calls"][1][1], "held");
    assert_eq!(events[0]["devices"], json!([["device", "sip-user", "registered"], ["1", "501", false]]));
    let again = bench.subscribe(&session);
    assert_eq!(again["subscriptions"], reply["subscriptions"], "identical rows merge");
}

#[test]
fn to_subscribe_to_nothing_is_no_event() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let reply = bench.execute(&session, message("subscribe", "subscribe-events", json!({"subscribe": []})));
    assert_eq!((&reply["error"], reply["subscriptions"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    assert!(bench.events(&session, 0).is_empty());
}

#[test]
fn s74_s131_calls_and_devices_are_told_to_their_user_alone() {
    let mut bench = Bench::new();
    let (own, second, other, deaf) =
        (bench.log_in("501"), bench.log_in("501"), bench.log_in("502"), bench.log_in("501"));
    for session in [&own, &second, &other] {
        bench.subscribe(session);
        bench.events(session, 0);
    }
    bench.control.calls.push(call(1, 2, CallState::Connected));
    bench.publish(CallEvent::Changed(call(1, 2, CallState::Connected), Some(Cause::AnsweredElsewhere)));
    bench.publish(CallEvent::Device { device: DeviceId(1), registered: true });
    bench.publish(CallEvent::Ended { call: CallId(1), user: UserId(2), cause: Cause::Normal, duration_msec: 5 });
    let events = bench.events(&own, 1);
    let wanted = json!([
        {"topic": "tel", "message": "call-evt", "timestamp": 1_700_000_000_000u64, "sequence-id": 2, "call-id": "1",
         "state": "connected", "direction": "out", "device": "1",
         "parties": [["addr", "name", "state"], ["502", "Austin Powers", "connected"]], "started": 1000,
         "actions": ["drop", "hold"], "cause": "answered-elsewhere"},
        {"topic": "tel", "message": "device-evt", "timestamp": 1_700_000_000_000u64, "sequence-id": 3, "device": "1",
         "sip-user": "501", "registered": true},
        {"topic": "tel", "message": "call-ended-evt", "timestamp": 1_700_000_000_000u64, "sequence-id": 4,
         "call-id": "1", "cause": "normal", "duration-msec": 5}]);
    assert_eq!(json!(events), wanted);
    assert_eq!(json!(bench.events(&second, 1)), wanted);
    assert!(bench.events(&other, 1).is_empty() && bench.events(&deaf, 0).is_empty());
}

#[test]
fn s44_a_poll_is_answered_with_all_events_of_a_step_while_requests_run() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.events(&session, 0);
    let poll = bench.poll(&session, 30, Some(1));
    assert!(bench.replies.is_empty());
    bench.execute(&session, message("session", "keep-alive", json!({})));
    for id in 1..=3 {
        bench.cas.publish(bench.now, &bench.site, &bench.control, changed(id, CallState::Dialing));
    }
    bench.settle();
    let events = bench.reply(poll).1;
    assert_eq!(numbers(events.as_array().unwrap()), [2, 3, 4]);
}

#[test]
fn a_poll_waits_as_long_as_it_says_and_two_minutes_at_most() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    for (asked, waits) in [(7, 7), (10_000, 120)] {
        let poll = bench.poll(&session, asked, None);
        bench.pass(Duration::from_secs(waits - 1));
        assert!(bench.replies.is_empty());
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.reply(poll), (200, json!([])));
    }
}

#[test]
fn a_second_poll_supersedes_the_first() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let first = bench.poll(&session, 30, None);
    let second = bench.poll(&session, 30, None);
    assert_eq!(bench.reply(first), (200, json!([])));
    bench.subscribe(&session);
    assert_eq!(numbers(bench.reply(second).1.as_array().unwrap()), [1]);
}

#[test]
fn a_lost_connection_loses_no_event() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    assert_eq!(numbers(&bench.events(&session, 0)), [1]);
    let poll = bench.poll(&session, 30, Some(0));
    assert_eq!(numbers(bench.reply(poll).1.as_array().unwrap()), [1], "not acknowledged: again");
    let poll = bench.poll(&session, 30, Some(1));
    bench.input(Input::Gone(poll));
    bench.publish(changed(1, CallState::Dialing));
    assert!(bench.replies.is_empty());
    assert_eq!(numbers(&bench.events(&session, 1)), [2]);
}

#[test]
fn a_client_that_carries_an_old_number_into_a_new_session_hears_everything() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.publish(changed(1, CallState::Dialing));
    assert_eq!(numbers(&bench.events(&session, 4711)), [1, 2]);
}

#[test]
fn a_ring_that_overflowed_yields_one_resync() {
    let mut bench = Bench::with(Settings { ring: 8, ..Settings::default() });
    let session = bench.log_in("501");
    bench.subscribe(&session);
    (0..10).for_each(|id| bench.publish(changed(id, CallState::Dialing)));
    let events = bench.events(&session, 0);
    assert_eq!(numbers(&events), [1, 2, 3, 4, 5, 6, 7, 8], "no gap");
    assert_eq!((&events[7]["topic"], &events[7]["message"]), (&json!("session"), &json!("resync-evt")));
    bench.publish(changed(99, CallState::Dialing));
    let events = bench.events(&session, 8);
    assert_eq!((numbers(&events), &events[0]["call-id"]), (vec![9], &json!("63")));
    assert_eq!(bench.cas.stats().resyncs, 1);
}

#[test]
fn s52_s53_unsubscribed_is_unheard() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.events(&session, 0);
    let reply = bench.execute(&session, message("subscribe", "unsubscribe", json!({"sub-id": "1"})));
    assert_eq!(reply["subscriptions"], json!([["sub-id", "topic", "kind", "args"]]));
    bench.publish(changed(1, CallState::Dialing));
    assert!(bench.events(&session, 1).is_empty());
    bench.subscribe(&session);
    let rows = json!({"unsubscribe": [["tel", "device"]]});
    bench.execute(&session, message("subscribe", "unsubscribe", rows));
    let list = bench.execute(&session, message("subscribe", "list", json!({})));
    assert_eq!(list["subscriptions"].as_array().unwrap().len(), 1);
    assert!(store::snapshot(&mut bench.store, Wall(0)).unwrap().subscriptions.is_empty());
}

#[test]
fn s56_subscriptions_are_taken_up_once_after_a_restart() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    let mut bench = bench.restart();
    let other = bench.log_in("502");
    assert!(bench.events(&other, 0).is_empty());
    let (_, reply) = bench.try_login("501", "secret-501");
    assert_eq!(reply["subscriptions"][1], json!(["1", "tel", "device", []]));
    let first = reply["SessionId"].as_str().unwrap().to_owned();
    assert_eq!(bench.events(&first, 0)[0]["message"], "snapshot-evt");
    bench.publish(changed(1, CallState::Dialing));
    assert_eq!(bench.events(&first, 1).len(), 1);
    let second = bench.log_in("501");
    assert!(bench.events(&second, 0).is_empty(), "each session has its own list");
    let reply = bench.subscribe(&second);
    assert_eq!(reply["subscriptions"][1][0], "2", "no id is given twice");
}

#[test]
fn subscriptions_nobody_takes_up_are_removed_in_time() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    let mut bench = bench.restart();
    bench.input(Input::Timeout);
    bench.pass(Duration::from_secs(3600));
    assert!(store::snapshot(&mut bench.store, Wall(0)).unwrap().subscriptions.is_empty());
    assert_eq!(bench.cas.next_timeout(), None);
}

#[test]
fn s43_logout_ends_session_poll_and_subscriptions() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.events(&session, 0);
    let poll = bench.poll(&session, 30, Some(1));
    bench.hold = true;
    let logout = bench.post(Endpoint::Logout, Some(&session), NETWORK, b"");
    assert_eq!(bench.reply(poll).0, 401);
    assert!(bench.replies.is_empty(), "the store must have forgotten first");
    bench.hold = false;
    bench.release();
    assert_eq!(bench.reply(logout).1["error"], 0);
    assert!(store::snapshot(&mut bench.store, Wall(0)).unwrap().subscriptions.is_empty());
    let again = bench.send(&session, &message("session", "keep-alive", json!({})));
    assert_eq!(bench.reply(again).0, 401);
    assert_eq!((bench.cas.stats().sessions, bench.cas.next_timeout()), (0, None));
}

#[test]
fn s48_an_abandoned_session_frees_its_subscriptions() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.pass(Duration::from_secs(119));
    bench.execute(&session, message("session", "keep-alive", json!({})));
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.cas.stats().sessions, 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.cas.stats().sessions, 0);
    assert!(store::snapshot(&mut bench.store, Wall(0)).unwrap().subscriptions.is_empty());
    let poll = bench.poll(&session, 0, None);
    assert_eq!(bench.reply(poll).0, 401);
}

#[test]
fn a_session_that_waits_for_an_answer_is_not_abandoned() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let asked = message("tel", "make-call", json!({"dest": "502", "wait": true}));
    let id = bench.send(&session, &asked);
    bench.pass(Duration::from_secs(500));
    assert_eq!(bench.cas.stats().sessions, 1);
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Done)));
    assert_eq!(bench.reply(id).0, 200);
    bench.pass(Duration::from_secs(120));
    assert_eq!(bench.cas.stats().sessions, 0);
}

#[test]
fn a_session_that_ended_while_the_store_wrote_leaves_no_subscription() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.hold = true;
    let asked = message("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]]}));
    let subscribe = bench.send(&session, &asked);
    bench.post(Endpoint::Logout, Some(&session), NETWORK, b"");
    bench.hold = false;
    bench.release();
    assert_eq!(bench.reply(subscribe).1["error"], 10);
    assert!(store::snapshot(&mut bench.store, Wall(0)).unwrap().subscriptions.is_empty());
}

#[test]
fn the_completion_of_a_session_that_has_ended_is_nobodys() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.execute(&session, message("tel", "make-call", json!({"dest": "502"})));
    bench.post(Endpoint::Logout, Some(&session), NETWORK, b"");
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Done)));
    assert_eq!(bench.cas.stats().pending, 0);
}

#[test]
fn s62_parked_calls_are_everybodys_and_offered_to_whoever_has_a_telephone() {
    let mut bench = Bench::new();
    let parked = |state| ParkedInfo {
        orbit: "700".into(),
        addr: "501".into(),
        name: "Vanessa Kensington".into(),
        by: "502".into(),
        since: Wall(5),
        state,
    };
    bench.control.parked.push(parked(ParkedState::Parked));
    bench.control.registered.push(RegistrationInfo {
        device: DeviceId(2),
        contact: String::new(),
        source: String::new(),
        agent: String::new(),
        expires: Wall(0),
    });
    let columns = json!(["orbit", "addr", "name", "by", "since", "state", "actions"]);
    for (user, actions) in [("501", json!([])), ("502", json!(["unpark"]))] {
        let session = bench.log_in(user);
        let asked = message("subscribe", "subscribe-events", json!({"subscribe": [["tel", "park"]]}));
        assert_eq!(bench.execute(&session, asked)["error"], 0);
        let row = json!(["700", "501", "Vanessa Kensington", "502", 5, "parked", actions]);
        let snapshot = bench.events(&session, 0).remove(0);
        assert_eq!((&snapshot["kind"], &snapshot["parked"]), (&json!("park"), &json!([columns, row])), "{snapshot}");
        assert_eq!(bench.execute(&session, message("tel", "get-parked", json!({})))["parked"], json!([columns, row]));
        bench.publish(CallEvent::Parked(parked(ParkedState::Recalling)));
        let event = bench.events(&session, 1).remove(0);
        assert_eq!((&event["message"], &event["state"]), (&json!("parked-evt"), &json!("recalling")));
        assert_eq!(event["actions"], actions);
        let wrong = json!({"subscribe": [["tel", "park", ["700"]]]});
        assert_eq!(bench.execute(&session, message("subscribe", "subscribe-events", wrong))["error"], 5);
    }
}

#[test]
fn s62_park_and_unpark_are_commands_of_call_control() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.execute(&session, message("tel", "park", json!({"call-id": "b7", "request-id": 1})));
    bench.execute(&session, message("tel", "park", json!({"call-id": "b7", "orbit": "705"})));
    bench.execute(&session, message("tel", "unpark", json!({"orbit": "705"})));
    bench.execute(&session, message("tel", "unpark", json!({"ext": "502"})));
    let call = CallId(0xb7);
    let expected = [
        CallCommand::Park { call, orbit: None },
        CallCommand::Park { call, orbit: Some("705".into()) },
        CallCommand::Unpark { orbit: "705".into() },
        CallCommand::Unpark { orbit: "502".into() },
    ];
    assert_eq!(bench.control.commands, expected);
    bench.publish(CallEvent::Completed(Ticket(1), Ok(Yield::Orbit("700".into()))));
    let completion = bench.events(&session, 0).remove(0);
    assert_eq!((&completion["orbit"], &completion["call-id"]), (&json!("700"), &json!("b7")), "{completion}");
    let refusal = Refusal { code: RefusalCode::NotFound, text: "".into() };
    bench.control.refuse = Some(refusal);
    let reply = bench.execute(&session, message("tel", "unpark", json!({"ext": "502"})));
    assert_eq!((&reply["error"], &reply["field"]), (&json!(11), &json!("ext")), "{reply}");
    assert_eq!(bench.execute(&session, message("tel", "unpark", json!({})))["error"], 4);
}
