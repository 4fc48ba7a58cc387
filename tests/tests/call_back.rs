//! Call-back: who was called in vain is called again as soon as he is free; by the code alone, with a number behind it, and not any more.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::{Value, json};
use switch::sounds::announcement::Audience;
use switch::sounds::{BUSY, RINGBACK};
use tests::calls::{Phone, nothing_is_left, refused, registered, secs, talking};
use tests::template::{Dialog, Template};
use tests::world::{Behaviour, ClientId, DOMAIN, End, Handset, Manners, PhoneId, Status, World};

const BOOK: &str = "*66";
const CANCEL: &str = "*86";
/// How long it is shown that something is booked.
const SHOWN: Duration = secs(5);

/// One call each: without call waiting, who has one is busy.
fn world(seed: u64) -> World {
    World::with(seed, |settings| {
        settings.plan.waiting = 0;
        settings.announcements = Audience::Connected;
    })
}

/// Telephones that ring until somebody answers.
fn ringing<const N: usize>(world: &mut World, users: [&'static str; N]) -> [PhoneId; N] {
    let phones = users.map(|user| world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of(user) }));
    phones.iter().for_each(|phone| world.register(*phone));
    world.run_for(secs(1));
    phones
}

/// The two talk.
fn talk(world: &mut World, caller: PhoneId, callee: PhoneId) {
    let number = world.user_of(callee).to_owned();
    assert!(world.call(caller, &number));
    world.run_for(secs(1));
    assert!(world.answer(callee));
    world.run_for(secs(1));
    assert_eq!(world.phone(callee).status(), Status::Talking { held: false });
}

/// A number is dialled, and refused.
#[track_caller]
fn is_refused(world: &mut World, phone: PhoneId, number: &str, status: u16) {
    world.events_of(phone);
    assert!(world.call(phone, number));
    world.run_for(secs(1));
    assert_eq!(world.ended(phone), Some(End::Refused(status)), "{number}");
}

/// A code is dialled, is answered, and hung up again after a moment.
#[track_caller]
fn is_done(world: &mut World, phone: PhoneId, code: &str) {
    world.events_of(phone);
    assert!(world.call(phone, code));
    world.run_for(secs(1));
    assert_eq!(world.phone(phone).status(), Status::Talking { held: false }, "{code}");
    world.run_for(SHOWN);
    assert_eq!(world.phone(phone).status(), Status::Idle, "{code}");
}

#[track_caller]
fn rings(world: &World, phone: PhoneId) -> bool {
    world.phone(phone).status() == Status::Ringing
}

/// States of call-backs that a client was told since it was last asked.
fn told(world: &mut World, client: ClientId) -> Vec<String> {
    let events = world.events_told(client).into_iter().filter(|event| event["message"] == "call-back-evt");
    events.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

fn listens(world: &mut World, user: &'static str) -> ClientId {
    let client = world.log_in(user);
    let subscribe = json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["tel", "device"]]});
    assert_eq!(world.execute(client, subscribe)["error"], 0);
    client
}

#[test]
fn who_was_busy_is_called_as_soon_as_he_is_free() {
    let mut world = world(1);
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    let client = listens(&mut world, "503");
    talk(&mut world, a, b);
    is_refused(&mut world, c, "502", 486);
    is_done(&mut world, c, BOOK);
    world.run_for(secs(60));
    assert!(!rings(&world, c), "he still talks");
    world.events_told(client);
    world.hang_up(a);
    world.run_for(secs(1));
    assert!(rings(&world, c) && !rings(&world, b), "the booker's telephone first");
    assert!(world.answer(c));
    world.run_for(secs(1));
    assert!(rings(&world, b));
    assert!(world.hears_sound(c, RINGBACK));
    assert!(world.answer(b));
    world.run_for(secs(1));
    assert!(world.hear_each_other(b, c));
    assert_eq!(told(&mut world, client), ["calling", "reached"]);
    world.hang_up(b);
    world.run_for(secs(60));
    assert!(!rings(&world, c), "once");
    world.quiesce();
}

#[test]
fn his_telephone_shows_that_it_is_booked_and_then_whom_he_gets() {
    let mut world = world(1);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let client = listens(&mut world, "503");
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let body = c.sdp();
    c.call(&mut world, "*66502", &body);
    let ok = c.wait_status(&mut world, "INVITE", 200);
    assert!(ok.header("P-Asserted-Identity").contains("\"Call back: First502 Last502\" <sip:502@"), "{}", ok.0);
    c.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    let booked = world.events_told(client).into_iter().find(|event| event["message"] == "call-back-evt").unwrap();
    let until = booked["until"].as_u64().unwrap() - booked["timestamp"].as_u64().unwrap();
    assert_eq!((&booked["addr"], &booked["state"], until), (&json!("502"), &json!("booked"), 30 * 60 * 1000));
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    let rung = c.wait_request(&mut world, "INVITE");
    assert!(rung.header("From").contains("\"Call back: First502 Last502\" <sip:502@"), "{}", rung.0);
    assert_eq!((rung.header("Answer-Mode"), rung.header("Call-Info")), ("", ""), "he may not be there");
    c.adds("Allow: INVITE, UPDATE\r\n");
    c.respond(&mut world, &rung, 200, "c", &c.sdp());
    c.adds("");
    c.wait_request(&mut world, "ACK");
    let called = b.template.wait_request(&mut world, "INVITE");
    assert!(called.header("From").contains("\"First503 Last503\" <sip:503@"), "{}", called.0);
    let shown = c.wait_request(&mut world, "UPDATE");
    assert!(shown.header("P-Asserted-Identity").contains("\"First502 Last502\" <sip:502@"), "{}", shown.0);
    c.respond(&mut world, &shown, 200, "", "");
    b.template.respond(&mut world, &called, 480, "b", "");
    // Meanwhile he hears that nobody is reached.
    world.run_for(secs(5));
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
    let record = world.records_of("503").into_iter().find(|record| record.addr == "502").unwrap();
    assert_eq!((record.name.as_str(), record.cause.as_str()), ("First502 Last502", "no-answer"));
}

/// He was there, and did not answer: he is waited for until he has used his telephone.
#[test]
fn who_did_not_answer_is_called_when_he_has_been_seen() {
    let mut world = world(1);
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    for gives_up in [true, false] {
        assert!(world.call(c, "502"));
        world.run_for(secs(20));
        if gives_up {
            world.hang_up(c);
        }
        world.run_for(secs(60));
        assert_eq!(world.phone(c).status(), Status::Idle);
        is_done(&mut world, c, BOOK);
        world.run_for(secs(60));
        assert!(!rings(&world, c), "he is as he was");
        talk(&mut world, b, a);
        world.hang_up(b);
        world.run_for(secs(1));
        assert!(rings(&world, c));
        world.answer(c);
        world.run_for(secs(1));
        assert!(world.answer(b));
        world.run_for(secs(1));
        world.hang_up(c);
        world.run_for(secs(1));
    }
    world.quiesce();
}

#[test]
fn who_is_free_already_is_called_at_once() {
    let mut world = world(1);
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    talk(&mut world, a, b);
    is_refused(&mut world, c, "502", 486);
    world.hang_up(a);
    world.run_for(secs(60));
    assert!(world.call(c, BOOK));
    world.run_for(SHOWN);
    assert!(rings(&world, c), "as soon as his telephone has shown it");
    world.quiesce();
}

#[test]
fn nothing_to_book_is_refused_and_so_are_more_than_there_may_be() {
    let mut world = World::with(1, |settings| {
        settings.plan.waiting = 0;
        (settings.limits.call_backs, settings.limits.call_backs_per_user) = (3, 2);
    });
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    for (number, status) in
        [("*66", 404), ("*66503", 404), ("*66999", 404), ("*66700", 404), ("*86", 404), ("*86502", 404)]
    {
        is_refused(&mut world, c, number, status);
    }
    talk(&mut world, a, b);
    for number in ["*66501", "*66502", "*66501", "*66502"] {
        is_done(&mut world, c, number);
    }
    is_refused(&mut world, c, "*66504", 403);
    is_done(&mut world, d, "*66501");
    is_refused(&mut world, d, "*66502", 503);
    // One is enough to make room for one.
    is_done(&mut world, c, "*86501");
    is_done(&mut world, d, "*66502");
    is_done(&mut world, c, CANCEL);
    is_refused(&mut world, c, CANCEL, 404);
    is_done(&mut world, d, CANCEL);
    world.hang_up(a);
    world.run_for(secs(10));
    assert!(!rings(&world, c) && !rings(&world, d));
    world.quiesce();
}

#[test]
fn a_booking_ends_after_its_time_and_booking_again_renews_it() {
    let mut world = World::with(1, |settings| {
        settings.plan.waiting = 0;
        settings.plan.call_back = secs(60);
    });
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    let client = listens(&mut world, "503");
    talk(&mut world, a, b);
    is_done(&mut world, c, "*66502");
    world.run_for(secs(40));
    is_done(&mut world, c, "*66502");
    world.run_for(secs(40));
    assert_eq!(told(&mut world, client), ["booked", "booked"]);
    world.run_for(secs(20));
    assert_eq!(told(&mut world, client), ["expired"]);
    world.hang_up(a);
    world.run_for(secs(1));
    assert!(!rings(&world, c));
    world.quiesce();
}

#[test]
fn both_have_to_be_free_and_to_be_there() {
    let mut world = world(1);
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    talk(&mut world, a, b);
    is_done(&mut world, c, "*66502");
    // The booker talks when the other is free.
    talk(&mut world, c, d);
    world.hang_up(a);
    world.run_for(secs(1));
    assert_eq!(world.phone(c).status(), Status::Talking { held: false });
    // The other has gone when the booker is free.
    world.unregister(b);
    world.run_for(secs(1));
    world.hang_up(d);
    world.run_for(secs(1));
    assert!(!rings(&world, c));
    // The booker has gone when the other comes back.
    world.unregister(c);
    world.run_for(secs(1));
    world.register(b);
    world.run_for(secs(1));
    world.register(c);
    world.run_for(secs(1));
    assert!(rings(&world, c));
    world.answer(c);
    world.run_for(secs(1));
    assert!(rings(&world, b));
    world.quiesce();
}

/// One after the other, by the age of their bookings.
#[test]
fn of_several_who_wait_the_first_has_the_first_turn() {
    let mut world = world(1);
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    talk(&mut world, a, b);
    is_done(&mut world, d, "*66502");
    is_done(&mut world, c, "*66502");
    world.hang_up(a);
    world.run_for(secs(1));
    assert!(rings(&world, d) && !rings(&world, c));
    // He is not there.
    world.run_for(secs(31));
    assert!(!rings(&world, d) && rings(&world, c));
    world.answer(c);
    world.run_for(secs(1));
    world.answer(b);
    world.run_for(secs(1));
    assert!(world.hear_each_other(b, c));
    world.hang_up(b);
    world.run_for(secs(10));
    assert!(!rings(&world, d), "he has had his turn");
    world.quiesce();
}

/// Each has booked the other: one of the two calls is enough.
#[test]
fn two_who_wait_for_each_other_meet_once() {
    let mut world = world(1);
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    talk(&mut world, a, c);
    talk(&mut world, b, d);
    let [a2, b2] = ringing(&mut world, ["501", "502"]);
    is_done(&mut world, a2, "*66502");
    is_done(&mut world, b2, "*66501");
    world.hang_up(c);
    world.run_for(secs(1));
    world.hang_up(d);
    world.run_for(secs(1));
    assert!(rings(&world, a) && !rings(&world, b));
    world.answer(a);
    world.run_for(secs(1));
    world.answer(b);
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
    world.hang_up(a);
    world.run_for(secs(10));
    assert!(!rings(&world, a) && !rings(&world, b));
    world.quiesce();
}

/// While the booker's telephone rings, the other calls him himself.
#[test]
fn who_is_called_by_whom_he_waits_for_need_not_be_called_back() {
    let mut world = World::new(1);
    let [a, b, c, c2] = ringing(&mut world, ["501", "502", "503", "503"]);
    let client = listens(&mut world, "503");
    talk(&mut world, a, b);
    is_done(&mut world, c, "*66502");
    world.hang_up(a);
    world.run_for(secs(1));
    assert!(rings(&world, c) && rings(&world, c2));
    world.reject(c2, 486);
    world.run_for(secs(1));
    assert!(world.call(b, "503"));
    world.run_for(secs(1));
    assert!(rings(&world, c2) && world.answer(c2));
    world.run_for(secs(1));
    assert_eq!(world.phone(c).status(), Status::Idle, "it rings no more for it");
    assert!(world.hear_each_other(b, c2));
    assert_eq!(told(&mut world, client), ["booked", "calling", "reached"]);
    world.quiesce();
}

/// Somebody else was faster: he hears busy, and waits on.
#[test]
fn who_is_busy_again_by_then_is_waited_for_once_more() {
    let mut world = world(1);
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    let client = listens(&mut world, "503");
    talk(&mut world, a, b);
    is_done(&mut world, c, "*66502");
    world.hang_up(a);
    world.run_for(secs(1));
    talk(&mut world, d, b);
    assert!(rings(&world, c) && world.answer(c));
    world.run_for(secs(1));
    assert!(world.hears_sound(c, BUSY));
    assert_eq!(told(&mut world, client), ["booked", "calling", "booked"]);
    world.hang_up(d);
    world.run_for(secs(1));
    assert!(!rings(&world, c), "he hears the tone yet");
    world.hang_up(c);
    world.run_for(secs(1));
    assert!(rings(&world, c));
    world.quiesce();
}

/// What his telephone says of itself need not mean that he has a call: it is not asked again and again.
#[test]
fn a_telephone_that_says_it_is_busy_is_left_alone_until_it_was_used() {
    let mut world = world(1);
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    world.behave(b, Behaviour::Reject(486));
    is_refused(&mut world, c, "502", 486);
    is_done(&mut world, c, BOOK);
    world.run_for(secs(60));
    assert!(!rings(&world, c));
    talk(&mut world, b, a);
    world.hang_up(b);
    world.run_for(secs(1));
    assert!(rings(&world, c) && world.answer(c));
    world.run_for(secs(1));
    assert!(world.hears_sound(c, BUSY));
    world.run_for(secs(60));
    assert_eq!(world.phone(c).status(), Status::Idle, "and so again");
    world.quiesce();
}

#[test]
fn the_one_or_the_other_is_a_user_no_more() {
    let mut world = world(1);
    let admin = world.log_in("admin");
    let [a, b, c, d] = ringing(&mut world, ["501", "502", "503", "504"]);
    talk(&mut world, a, b);
    for phone in [c, d] {
        is_done(&mut world, phone, "*66502");
    }
    let delete = |ext: &str| json!({"topic": "config", "message": "delete-user", "ext": ext});
    let gone: Value = world.execute(admin, delete("503"));
    assert_eq!(gone["error"], 0, "{gone}");
    world.run_for(secs(1));
    world.hang_up(a);
    world.run_for(secs(1));
    assert!(rings(&world, d));
    world.execute(admin, delete("502"));
    world.run_for(secs(1));
    assert_eq!(world.phone(d).status(), Status::Idle);
    world.check();
}

/// Neither bookings nor calls outlive it.
#[test]
fn a_restart_forgets_what_is_booked() {
    let mut world = world(1);
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    talk(&mut world, a, b);
    is_refused(&mut world, c, "502", 486);
    is_done(&mut world, c, BOOK);
    world.restart();
    for phone in [a, b] {
        world.hang_up(phone);
    }
    world.run_for(secs(5));
    assert!(!rings(&world, c));
    is_refused(&mut world, c, BOOK, 404);
    is_refused(&mut world, c, CANCEL, 404);
    world.quiesce();
}

/// A switch that is full when it would be his turn has not forgotten him.
#[test]
fn who_cannot_be_called_back_for_want_of_room_is_so_when_there_is_some() {
    let mut world = World::with(1, |settings| {
        settings.plan.waiting = 0;
        settings.max_calls = 2;
    });
    let [a, b, c] = ringing(&mut world, ["501", "502", "503"]);
    let [d, e] = ringing(&mut world, ["504", "504"]);
    talk(&mut world, a, b);
    is_done(&mut world, c, "*66502");
    for phone in [d, e] {
        world.call(phone, "*43");
    }
    world.run_for(secs(1));
    world.hang_up(a);
    world.call(e, "*43");
    world.run_for(secs(1));
    world.hang_up(e);
    world.run_for(secs(1));
    assert!(rings(&world, c));
    world.quiesce();
}

/// Nobody is sent to it, and who dials it in a call keeps that.
#[test]
fn a_transfer_to_it_is_refused_and_the_call_is_kept() {
    let mut world = World::new(1);
    let [a, b] = registered(&mut world, ["501", "502"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    for code in ["*66", "*66503", "*86"] {
        assert_eq!(b.refer(&mut world, &format!("sip:{code}@{DOMAIN}")).status(), 404);
    }
    let mut line = b.template.at_port(5060);
    assert_eq!(refused(&mut world, &mut line, "*86"), 404);
    world.check();
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// Whom the other has his calls sent on to answers, and is transferred away: the booking has had its turn.
#[test]
fn somebody_else_may_answer_in_his_place() {
    let mut world = world(1);
    let [a, b] = ringing(&mut world, ["501", "502"]);
    let [mut c] = [Template::new("503", 13)];
    c.register(&mut world);
    let client = listens(&mut world, "503");
    talk(&mut world, a, b);
    let body = c.sdp();
    c.call(&mut world, "*66502", &body);
    let ok = c.wait_status(&mut world, "INVITE", 200);
    c.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    world.teach(b, Manners { elsewhere: vec!["501".into()], ..Manners::default() });
    world.behave(b, Behaviour::Reject(302));
    world.hang_up(a);
    let rung = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &rung, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    assert!(rings(&world, a) && world.answer(a));
    world.run_for(secs(1));
    assert_eq!(told(&mut world, client), ["booked", "calling", "reached"]);
    let mut c = Phone { template: c, dialog: Dialog::of_callee(&rung, "c"), number: 0 };
    assert_eq!(c.refer(&mut world, &format!("sip:*43@{DOMAIN}")).status(), 202);
    world.run_for(secs(5));
    world.check();
    world.hang_up(a);
    world.run_for(secs(40));
    world.quiesce();
}
