//! Calls made and seen by CAS clients, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::cas::Endpoint;
use serde_json::{Value, json};
use switch::sounds::MUSIC;
use tests::template::Template;
use tests::world::{Behaviour, ClientId, End, Event, Handset, PhoneId, Status, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at the call")]
fn tel(message: &str, members: Value) -> Value {
    let mut request = json!({"topic": "tel", "message": message});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

fn office() -> (World, PhoneId, PhoneId, ClientId) {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    let client = world.log_in("501");
    (world, a, b, client)
}

/// 501 calls 502 by CAS, and the call is up: its id.
fn made_call(world: &mut World, client: ClientId) -> Value {
    let reply = world.execute(client, tel("make-call", json!({"dest": "502"})));
    assert_eq!(reply["error"], 0, "{reply}");
    let completion = world.completion(client, &reply["response"]);
    assert_eq!((&completion["error"], &completion["name"]), (&json!(0), &json!("make-call")));
    reply["call-id"].clone()
}

/// The error a pending command came to.
fn outcome(world: &mut World, client: ClientId, request: Value) -> u64 {
    let reply = world.execute(client, request);
    assert_eq!(reply["error"], 0, "{reply}");
    world.completion(client, &reply["response"])["error"].as_u64().unwrap()
}

/// The states a client was told of, each once in a row.
fn states(events: &[Value]) -> String {
    let state = |event: &Value| match event["message"].as_str()? {
        "call-evt" => event["state"].as_str().map(str::to_owned),
        "call-ended-evt" => Some("ended".to_owned()),
        _ => None,
    };
    let mut states: Vec<String> = events.iter().filter_map(state).collect();
    states.dedup();
    states.join(" ")
}

/// S4, S59, S77: the caller's own phone first, then the destination.
#[test]
fn make_call_rings_the_own_telephone_then_the_destination() {
    let (mut world, a, b, client) = office();
    world.behave(a, Behaviour::Ring);
    let reply = world.execute(client, tel("make-call", json!({"dest": "502", "name-hint": "Vanessa"})));
    assert!(reply["response"].as_u64().unwrap() > 0 && reply["call-id"].is_string(), "{reply}");
    world.run_for(secs(2));
    assert_eq!(world.phone(b).status(), Status::Talking { held: false });
    assert!(world.hear_each_other(a, b));
    assert!(world.events_of(b).contains(&Event::Incoming("501".into())));
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    assert_eq!(states(&world.events_told(client)), "dialing ringing connected");
    world.quiesce();
}

#[test]
fn a_telephone_without_auto_answer_is_picked_up_by_hand() {
    let mut world = World::new(1);
    let handset = Handset { auto_answer: false, behaviour: Behaviour::Ring, ..Handset::of("501") };
    let a = world.add_phone(handset);
    world.register(a);
    let [b] = world.add_phones(["502"]);
    let client = world.log_in("501");
    world.execute(client, tel("make-call", json!({"dest": "502"})));
    world.run_for(secs(3));
    assert_eq!((world.phone(a).status(), world.phone(b).status()), (Status::Ringing, Status::Idle));
    world.answer(a);
    world.run_for(secs(2));
    assert!(world.hear_each_other(a, b));
}

#[test]
fn both_ends_have_ids_of_their_own_and_see_each_other() {
    let (mut world, _, _, client) = office();
    let other = world.log_in("502");
    let call = made_call(&mut world, client);
    let (mine, his) = (world.calls(client), world.calls(other));
    assert_eq!((mine.len(), his.len()), (1, 1));
    assert_eq!(mine[0]["call-id"], call);
    assert_ne!(his[0]["call-id"], call);
    assert_eq!((&mine[0]["direction"], &his[0]["direction"]), (&json!("out"), &json!("in")));
    assert_eq!((&mine[0]["parties"][1][0], &his[0]["parties"][1][0]), (&json!("502"), &json!("501")));
}

/// S66.
#[test]
fn drop_ends_the_call() {
    let (mut world, a, b, client) = office();
    let call = made_call(&mut world, client);
    assert_eq!(outcome(&mut world, client, tel("drop", json!({"call-id": call}))), 0);
    world.run_for(secs(1));
    assert_eq!((world.ended(a), world.ended(b)), (Some(End::There), Some(End::There)));
    assert!(world.calls(client).is_empty());
    let again = world.execute(client, tel("drop", json!({"call-id": call})));
    assert_eq!((&again["error"], &again["call-id"]), (&json!(13), &call), "it has gone");
    world.quiesce();
}

/// S63.
#[test]
fn hold_and_unhold_by_cas() {
    let (mut world, a, b, client) = office();
    let call = made_call(&mut world, client);
    world.events_of(a);
    assert_eq!(outcome(&mut world, client, tel("hold", json!({"call-id": call}))), 0);
    assert_eq!(world.calls(client)[0]["state"], "held");
    assert!(world.events_of(a).contains(&Event::HeldByOther(true)), "his own telephone is put on hold");
    assert!(world.hears_sound(b, MUSIC));
    assert_eq!(world.ear(a).tone(), None);
    assert_eq!(outcome(&mut world, client, tel("unhold", json!({"call-id": call}))), 0);
    assert_eq!(world.calls(client)[0]["state"], "connected");
    assert!(world.hear_each_other(a, b));
    for phone in [a, b] {
        assert_eq!((world.ear(phone).sources(), world.ear(phone).timestamp_faults), (1, 0));
    }
    world.quiesce();
}

/// S69.
#[test]
fn digits_by_cas_reach_the_far_end() {
    let (mut world, _, b, client) = office();
    let call = made_call(&mut world, client);
    world.execute(client, tel("send-digits", json!({"call-id": call, "digits": "19*#"})));
    world.run_for(secs(2));
    assert_eq!(world.ear(b).digits(), "19*#");
    assert_eq!((world.ear(b).lost, world.ear(b).timestamp_faults), (0, 0));
}

#[test]
fn a_hold_on_the_telephone_is_seen_by_the_client() {
    let (mut world, a, _, client) = office();
    made_call(&mut world, client);
    world.hold(a);
    world.run_for(secs(1));
    assert_eq!(world.calls(client)[0]["state"], "held");
    world.resume(a);
    world.run_for(secs(1));
    assert_eq!(world.calls(client)[0]["state"], "connected");
    world.check();
}

#[test]
fn make_call_completes_with_what_the_far_end_said() {
    let cases = [(Behaviour::Reject(486), 24), (Behaviour::Reject(603), 25), (Behaviour::Ring, 23)];
    for (behaviour, error) in cases {
        let (mut world, a, b, client) = office();
        world.behave(b, behaviour);
        assert_eq!(outcome(&mut world, client, tel("make-call", json!({"dest": "502"}))), error, "{behaviour:?}");
        assert!(world.calls(client).is_empty());
        world.run_for(secs(40));
        assert_eq!(world.phone(a).status(), Status::Idle);
        world.quiesce();
    }
}

/// An error that can be told at once is told in the reply, or else in the completion; either way nothing rings.
#[test]
fn make_call_that_leads_nowhere_is_an_error() {
    for (dest, error) in [("999", 21), ("503", 22)] {
        let (mut world, a, _, client) = office();
        let reply = world.execute(client, tel("make-call", json!({"dest": dest})));
        let told = match reply["response"].as_u64() {
            Some(1..) => world.completion(client, &reply["response"])["error"].clone(),
            _ => reply["error"].clone(),
        };
        assert_eq!(told, error, "{dest}");
        world.run_for(secs(2));
        assert_eq!(world.phone(a).status(), Status::Idle);
        world.quiesce();
    }
}

#[test]
fn make_call_to_ones_own_number_blames_the_number() {
    let (mut world, _, _, client) = office();
    let reply = world.execute(client, tel("make-call", json!({"dest": "501"})));
    assert_eq!((&reply["error"], &reply["field"]), (&json!(5), &json!("dest")), "{reply}");
    world.quiesce();
}

/// S60: whoever is behind a gateway is called what the client says; whom the store knows, what the store says.
#[test]
fn a_name_hint_is_shown_for_a_number_behind_a_gateway() {
    let (mut world, a, _, client) = office();
    let admin = world.log_in("admin");
    let address = Template::new("600", 11).address().to_string();
    let gateway = json!({"topic": "config", "message": "add-user", "ext": "600", "name": "PSTN", "address": address});
    assert_eq!(world.execute(admin, gateway)["error"], 0);
    world.run_for(secs(1));
    world.behave(a, Behaviour::Ring);
    for (dest, shown) in [("600", "Mum"), ("502", "First502 Last502")] {
        let reply = world.execute(client, tel("make-call", json!({"dest": dest, "name-hint": "Mum"})));
        assert_eq!(reply["error"], 0, "{reply}");
        assert_eq!(world.calls(client)[0]["parties"][1][1], shown);
        world.execute(client, tel("drop", json!({"call-id": reply["call-id"]})));
        world.run_for(secs(1));
    }
}

#[test]
fn make_call_without_an_own_telephone_is_22() {
    let mut world = World::new(1);
    let client = world.log_in("503");
    let reply = world.execute(client, tel("make-call", json!({"dest": "502"})));
    assert_eq!(reply["error"], 22);
}

#[test]
fn star_43_by_cas_is_an_echo() {
    let (mut world, a, _, client) = office();
    assert_eq!(outcome(&mut world, client, tel("make-call", json!({"dest": "*43"}))), 0);
    assert!(world.hears_itself(a));
}

/// S26: what was not acknowledged comes again; what was does not.
#[test]
fn events_are_kept_until_they_are_acknowledged() {
    let (mut world, a, _, client) = office();
    let after = world.last_event(client);
    world.call(a, "502");
    world.run_for(secs(2));
    let mut ask = |after| {
        let endpoint = Endpoint::GetEvents { timeout: 0, after: Some(after) };
        let reply = world.ask(client, endpoint, &Value::Null);
        let events: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
        events.iter().map(|event| event["sequence-id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let told = ask(after);
    assert!(told.len() >= 3);
    assert_eq!(told, (after + 1..=after + told.len() as u64).collect::<Vec<_>>());
    assert_eq!(ask(after), told);
    assert_eq!(ask(after + 2), told[2..]);
    assert_eq!(ask(after + told.len() as u64), Vec::<u64>::new());
}

#[test]
fn a_ring_that_overflowed_is_one_resync() {
    let mut world = World::with(1, |settings| settings.cas.ring = 4);
    let [a, _] = world.add_phones(["501", "502"]);
    let client = world.log_in("501");
    for _ in 0..5 {
        world.call(a, "502");
        world.run_for(secs(2));
        world.hang_up(a);
        world.run_for(secs(1));
    }
    let events = world.events_told(client);
    let resyncs = events.iter().filter(|event| event["message"] == "resync-evt").count();
    assert_eq!(resyncs, 1, "{events:?}");
    assert!(events.len() <= 4);
}

#[test]
fn a_long_poll_is_answered_by_the_first_event() {
    let (mut world, a, _, client) = office();
    let begin = world.now();
    let id = world.post(client, Endpoint::GetEvents { timeout: 30, after: None }, &Value::Null);
    world.run_for(secs(1));
    assert!(world.reply_to(id).is_none());
    world.call(a, "502");
    world.run_for(Duration::from_millis(100));
    let reply = world.reply_to(id).expect("the call is told of");
    assert!(world.now().mono - begin.mono < secs(2));
    assert!(!reply.body.is_empty());
}

#[test]
fn each_end_leaves_a_record() {
    let (mut world, _, b, client) = office();
    let other = world.log_in("502");
    made_call(&mut world, client);
    world.run_for(secs(5));
    world.hang_up(b);
    world.run_for(secs(1));
    for (client, kind, addr) in [(client, "placed", "502"), (other, "received", "501")] {
        let reply = world.execute(client, json!({"topic": "history", "message": "get-recs"}));
        let record = &reply["recs"][1];
        assert_eq!((&record[1], &record[2]), (&json!(kind), &json!(addr)), "{reply}");
        assert!(record[5].as_u64().unwrap() >= 4000, "{reply}");
    }
}

#[test]
fn the_records_of_a_call_hold_what_its_media_legs_saw() {
    let (mut world, a, b, _) = office();
    world.connect_call(a, b);
    world.run_for(secs(5));
    world.hang_up(b);
    world.run_for(secs(1));
    for user in ["501", "502"] {
        let records = world.records_of(user);
        let [record] = &records[..] else { panic!("not one record: {records:?}") };
        let media: Value = serde_json::from_str(&record.media).expect("statistics in JSON");
        for counter in ["received", "sent"] {
            assert!(media[counter].as_u64().unwrap() > 200, "{counter} in {record:?}");
        }
        assert_eq!((&media["lost"], &media["strangers"]), (&json!(0), &json!(0)), "{record:?}");
    }
}

#[test]
fn a_restart_ends_sessions_and_keeps_subscriptions() {
    let (mut world, a, _, client) = office();
    let session = world.session(client).expect("logged in").to_owned();
    let asked =
        json!({"topic": "tel", "message": "get-calls", "sequence-id": 100, "request-id": "again", "timestamp": 1});
    assert_eq!(world.ask_in(&session, Endpoint::Execute, &asked).status, 200);
    world.restart();
    assert_eq!(world.ask_in(&session, Endpoint::Execute, &asked).status, 401);
    let reply = world.log_in_again(client);
    assert_eq!(reply, 200);
    world.call(a, "502");
    world.run_for(secs(2));
    assert!(states(&world.events_told(client)).ends_with("connected"));
}

#[test]
fn a_call_by_telephone_is_told_to_both_users() {
    let (mut world, a, _, client) = office();
    let other = world.log_in("502");
    world.call(a, "502");
    world.run_for(secs(2));
    world.hang_up(a);
    world.run_for(secs(1));
    assert_eq!(states(&world.events_told(client)), "dialing ringing connected ended");
    assert_eq!(states(&world.events_told(other)), "offering connected ended");
}
