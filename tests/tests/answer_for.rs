//! A client has the phone that rings answer (S65): told to talk, or called anew with the makers' headers; what becomes of the call where nothing comes of it.

#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use tests::calls::{Phone, nothing_is_left, registered, secs, tel};
use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, ClientId, End, Handset, Manners, PhoneId, Status, World};

/// 501 calls 502, whose telephone rings, and a client of 502's looks on.
fn ringing(b: Handset) -> (World, PhoneId, PhoneId, ClientId) {
    let mut world = World::new(1);
    let [a] = world.add_phones(["501"]);
    let b = world.add_phone(Handset { behaviour: Behaviour::Ring, ..b });
    world.register(b);
    world.run_for(secs(1));
    let client = world.log_in("502");
    world.call(a, "502");
    world.run_for(secs(1));
    assert_eq!(world.phone(b).status(), Status::Ringing);
    (world, a, b, client)
}

fn call_id(world: &mut World, client: ClientId) -> Value {
    world.calls(client)[0]["call-id"].clone()
}

fn offers_answer(world: &mut World, client: ClientId) -> bool {
    world.calls(client)[0]["actions"].as_array().unwrap().contains(&json!("answer"))
}

#[test]
fn s65_a_telephone_that_takes_it_is_told_to_talk_and_another_is_called_anew() {
    for (talk, auto_answer) in [(true, false), (false, true), (true, true)] {
        let manners = Manners { talk, ..Manners::default() };
        let (mut world, a, b, client) = ringing(Handset { auto_answer, manners, ..Handset::of("502") });
        let before = world.phone(b).call_id().map(str::to_owned);
        let call = call_id(&mut world, client);
        assert!(offers_answer(&mut world, client));
        let reply = tel(&mut world, client, "answer", &json!({"call-id": call}));
        assert_eq!(reply["error"], 0, "{reply}");
        assert!(!offers_answer(&mut world, client), "once at a time");
        let again = tel(&mut world, client, "answer", &json!({"call-id": call}));
        assert_eq!(again["error"], 12, "{again}");
        let completion = world.completion(client, &reply["response"]);
        assert_eq!((&completion["error"], &completion["call-id"]), (&json!(0), &call), "{completion}");
        assert_eq!(world.phone(b).call_id() == before.as_deref(), talk, "the first INVITE was answered");
        world.run_for(secs(1));
        assert!(world.hear_each_other(a, b));
        assert_eq!(world.calls(client)[0]["state"], "connected");
        world.quiesce();
    }
}

/// It neither takes the word nor answers by itself; nor does one that takes the word and does not heed it.
#[test]
fn s65_a_telephone_that_will_not_rings_on_and_its_user_may_still_answer() {
    let (mut world, a, b, client) = ringing(Handset { auto_answer: false, ..Handset::of("502") });
    let call = call_id(&mut world, client);
    for _ in 0..2 {
        let reply = tel(&mut world, client, "answer", &json!({"call-id": call}));
        let completion = world.completion(client, &reply["response"]);
        assert_eq!(completion["error"], 23, "{completion}");
        assert_eq!(world.phone(b).status(), Status::Ringing);
        assert_eq!(world.phone(a).status(), Status::Calling { ringing: true });
        assert_eq!((&world.calls(client)[0]["state"], offers_answer(&mut world, client)), (&json!("offering"), true));
    }
    world.answer(b);
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
    world.quiesce();
}

/// What somebody does at a telephone meanwhile: the caller's, the one that rings.
type Act = fn(&mut World, PhoneId, PhoneId) -> bool;

#[test]
fn s65_what_becomes_of_the_call_meanwhile_is_what_the_client_is_told() {
    let acts: [(Act, u64); 3] = [
        (|world, a, _| world.hang_up(a), 13),
        (|world, _, b| world.reject(b, 603), 25),
        (|world, _, b| world.answer(b), 0),
    ];
    for (act, error) in acts {
        let (mut world, a, b, client) = ringing(Handset { auto_answer: false, ..Handset::of("502") });
        let call = call_id(&mut world, client);
        let reply = tel(&mut world, client, "answer", &json!({"call-id": call}));
        world.run_for(secs(1));
        assert!(act(&mut world, a, b));
        let completion = world.completion(client, &reply["response"]);
        assert_eq!(completion["error"], error, "{completion}");
        world.quiesce();
    }
}

#[test]
fn s65_only_a_call_that_rings_at_a_phone_of_the_users_can_be_answered() {
    let (mut world, a, b, client) = ringing(Handset::of("502"));
    let caller = world.log_in("501");
    let (own, call) = (call_id(&mut world, caller), call_id(&mut world, client));
    assert!(!offers_answer(&mut world, caller));
    assert_eq!(tel(&mut world, caller, "answer", &json!({"call-id": own}))["error"], 12);
    assert_eq!(tel(&mut world, caller, "answer", &json!({"call-id": call}))["error"], 11);
    // His own device is one of them.
    let replies = ["999", "1", "2", "3", "4"]
        .map(|device| tel(&mut world, client, "answer", &json!({"call-id": call, "device": device})));
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply["error"] == 0);
    assert!(refused.iter().all(|reply| reply["error"] == 11 && reply["field"] == "device"), "{refused:?}");
    assert_eq!(world.completion(client, &done[0]["response"])["error"], 0);
    assert_eq!(done.len(), 1);
    world.run_for(secs(1));
    world.check();
    assert_eq!(world.phone(b).status(), Status::Talking { held: false });
    world.run_for(secs(1));
    assert_eq!(tel(&mut world, client, "answer", &json!({"call-id": call}))["error"], 12);
    world.hang_up(a);
    world.quiesce();
}

/// Several telephones of a user: the others ring no more when the one has answered.
#[test]
fn s65_one_of_several_telephones_answers_and_the_others_ring_no_more() {
    let mut world = World::new(1);
    let [a] = world.add_phones(["501"]);
    let [b, c] = [(); 2].map(|()| world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of("502") }));
    world.register(b);
    world.register(c);
    world.run_for(secs(1));
    let client = world.log_in("502");
    world.call(a, "502");
    world.run_for(secs(1));
    let call = call_id(&mut world, client);
    let reply = tel(&mut world, client, "answer", &json!({"call-id": call}));
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    world.run_for(secs(1));
    let ends = [b, c].map(|phone| (world.phone(phone).status(), world.ended(phone)));
    assert!(ends.iter().any(|(status, _)| *status == Status::Talking { held: false }), "{ends:?}");
    assert!(ends.contains(&(Status::Idle, Some(End::There))), "{ends:?}");
    world.quiesce();
}

/// A template of 502's that rings for a call of 501's, and says this of itself as it does.
fn rings(world: &mut World, says: &str) -> (Template, Template, Sip, ClientId) {
    let [mut a, mut b] = registered(world, ["501", "502"]);
    let client = world.log_in("502");
    let body = a.sdp();
    a.call(world, "502", &body);
    let rung = b.wait_request(world, "INVITE");
    b.adds(says);
    b.respond(world, &rung, 180, "b", "");
    b.adds("");
    a.wait_status(world, "INVITE", 180);
    (a, b, rung, client)
}

#[track_caller]
fn asks(world: &mut World, client: ClientId) -> Value {
    let call = call_id(world, client);
    let reply = tel(world, client, "answer", &json!({"call-id": call}));
    assert_eq!(reply["error"], 0, "{reply}");
    reply["response"].clone()
}

/// The first INVITE is cancelled, in words that leave no missed call behind, and the second asks for an answer.
#[track_caller]
fn is_called_anew(world: &mut World, b: &mut Template, rung: &Sip) -> Sip {
    let cancel = b.wait_request(world, "CANCEL");
    assert!(cancel.header("Reason").contains("Call completed elsewhere"), "{}", cancel.0);
    b.respond(world, &cancel, 200, "b", "");
    world.run_for(secs(1));
    assert!(b.hear(world).iter().all(|sip| !sip.is("INVITE")), "not before the first is over");
    b.respond(world, rung, 487, "b", "");
    b.wait_request(world, "ACK");
    let invite = b.wait_request(world, "INVITE");
    assert_ne!(invite.header("Call-ID"), rung.header("Call-ID"));
    assert!(invite.header("Call-Info").ends_with(";answer-after=0"), "{}", invite.0);
    invite
}

#[track_caller]
fn both_hang_up(world: &mut World, mut a: Template, b: Template, invite: &Sip) {
    let ok = a.wait_status(world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    a.say_within(world, &dialog, "ACK", 2, "");
    world.run_for(secs(1));
    world.check();
    Phone { template: a, dialog, number: 2 }.hangs_up(world);
    Phone { template: b, dialog: Dialog::of_callee(invite, "b"), number: 0 }.is_hung_up(world);
    nothing_is_left(world);
}

#[track_caller]
fn picks_up(world: &mut World, b: &mut Template, invite: &Sip) {
    b.respond(world, invite, 200, "b", &b.sdp());
    b.wait_request(world, "ACK");
}

#[test]
fn s65_the_notify_is_one_of_the_dialog_that_rings() {
    let mut world = World::new(1);
    let (a, mut b, rung, client) = rings(&mut world, "Allow-Events: talk,hold,conference\r\n");
    let response = asks(&mut world, client);
    let notify = b.wait_request(&mut world, "NOTIFY");
    assert_eq!((notify.header("Event"), notify.header("Call-ID")), ("talk", rung.header("Call-ID")));
    assert!(notify.header("To").ends_with(";tag=b"), "{}", notify.0);
    assert_eq!((notify.header("From"), notify.number()), (rung.header("From"), rung.number() + 1));
    b.respond(&mut world, &notify, 200, "b", "");
    picks_up(&mut world, &mut b, &rung);
    assert_eq!(world.completion(client, &response)["error"], 0);
    both_hang_up(&mut world, a, b, &rung);
}

/// Refused, or taken and not heeded.
#[test]
fn s65_one_that_does_not_talk_when_it_is_told_to_is_called_anew() {
    for status in [489, 481, 200] {
        let mut world = World::new(1);
        let (a, mut b, rung, client) = rings(&mut world, "Allow-Events: talk\r\n");
        let response = asks(&mut world, client);
        let notify = b.wait_request(&mut world, "NOTIFY");
        b.respond(&mut world, &notify, status, "b", "");
        let invite = is_called_anew(&mut world, &mut b, &rung);
        picks_up(&mut world, &mut b, &invite);
        assert_eq!(world.completion(client, &response)["error"], 0);
        both_hang_up(&mut world, a, b, &invite);
    }
}

/// What it has said when it registered counts as long as it says nothing else.
#[test]
fn s65_a_telephone_says_what_it_takes_when_it_registers_or_rings() {
    let told = |registers: &str, rings: &str| {
        let mut world = World::new(1);
        let mut a = Template::new("501", 1);
        a.register(&mut world);
        let mut b = Template::new("502", 2);
        b.adds(registers);
        b.register(&mut world);
        let client = world.log_in("502");
        let body = a.sdp();
        a.call(&mut world, "502", &body);
        let rung = b.wait_request(&mut world, "INVITE");
        b.adds(rings);
        b.respond(&mut world, &rung, 180, "b", "");
        b.adds("");
        a.wait_status(&mut world, "INVITE", 180);
        asks(&mut world, client);
        b.wait(&mut world, |sip| sip.is("NOTIFY") || sip.is("CANCEL")).is("NOTIFY")
    };
    assert!(told("Allow-Events: talk, hold\r\n", ""));
    assert!(told("User-Agent: Yealink SIP-T46U 108.86.0.20\r\n", ""));
    assert!(!told("User-Agent: Yealink SIP-T46U 108.86.0.20\r\nAllow-Events: dialog\r\n", ""));
    assert!(!told("Allow-Events: talk, hold\r\n", "Allow-Events: presence\r\n"));
    assert!(!told("", ""));
}

/// Its user picks up at the very moment.
#[test]
fn s65_an_answer_that_crosses_the_cancel_is_the_answer() {
    let mut world = World::new(1);
    let (a, mut b, rung, client) = rings(&mut world, "");
    let response = asks(&mut world, client);
    let cancel = b.wait_request(&mut world, "CANCEL");
    picks_up(&mut world, &mut b, &rung);
    b.respond(&mut world, &cancel, 200, "b", "");
    assert_eq!(world.completion(client, &response)["error"], 0);
    both_hang_up(&mut world, a, b, &rung);
}

/// It says only then that the first INVITE is over: nobody waits for it to answer by itself any more.
#[test]
fn s65_one_that_is_called_anew_too_late_only_rings() {
    let mut world = World::new(1);
    let (a, mut b, rung, client) = rings(&mut world, "");
    let response = asks(&mut world, client);
    let cancel = b.wait_request(&mut world, "CANCEL");
    b.respond(&mut world, &cancel, 200, "b", "");
    assert_eq!(world.completion(client, &response)["error"], 23);
    b.respond(&mut world, &rung, 487, "b", "");
    let invite = b.wait_request(&mut world, "INVITE");
    assert_eq!(invite.header("Call-Info"), "");
    picks_up(&mut world, &mut b, &invite);
    both_hang_up(&mut world, a, b, &invite);
}
