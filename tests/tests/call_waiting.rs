//! Call waiting: how many calls a user may have at a time, and what his telephone is told of one more.

#![allow(clippy::unwrap_used, reason = "a test")]

use cas::store::HistoryKind;
use serde_json::json;
use tests::calls::{nothing_is_left, refused, registered, secs, talking, tel};
use tests::template::{Sip, Template};
use tests::world::{Behaviour, End, Handset, Status, World};

const WAITS: &str = "<urn:alert:service:call-waiting>";

/// A call that rings at the second telephone.
fn rings(world: &mut World, caller: &mut Template, callee: &mut Template, number: &str) -> (Sip, Sip) {
    let body = caller.sdp();
    let invite = caller.call(world, number, &body);
    let rung = callee.wait_request(world, "INVITE");
    callee.respond(world, &rung, 180, "b", "");
    caller.wait_status(world, "INVITE", 180);
    (invite, rung)
}

/// The caller gives up.
fn gives_up(world: &mut World, caller: &mut Template, invite: &Sip, callee: &mut Template, rung: &Sip) {
    caller.cancel(world, invite);
    let cancel = callee.wait_request(world, "CANCEL");
    callee.respond(world, &cancel, 200, "b", "");
    callee.respond(world, rung, 487, "b", "");
    let ended = caller.wait_status(world, "INVITE", 487);
    caller.acknowledge_refusal(world, invite, &ended);
}

#[test]
fn so_many_calls_wait_beside_one_and_the_next_caller_hears_busy() {
    let mut world = World::new(1);
    let [a, b, mut c, mut d] = registered(&mut world, ["501", "502", "503", "504"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let (second, rung) = rings(&mut world, &mut c, &mut b.template, "502");
    let (_, also_rung) = rings(&mut world, &mut d, &mut b.template, "502");
    assert_eq!((rung.header("Alert-Info"), also_rung.header("Alert-Info")), (WAITS, WAITS));
    let mut again = a.template.at_port(5060);
    assert_eq!(refused(&mut world, &mut again, "502"), 486);
    assert_eq!(refused(&mut world, &mut again, "*80502"), 486, "by intercom, too");
    assert!(!b.template.hear(&mut world).iter().any(|sip| sip.is("INVITE")), "no telephone rang");
    // One of those who wait gives up: there is room for another.
    gives_up(&mut world, &mut c, &second, &mut b.template, &rung);
    let (third, rung) = rings(&mut world, &mut c, &mut b.template, "502");
    gives_up(&mut world, &mut c, &third, &mut b.template, &rung);
    b.template.respond(&mut world, &also_rung, 486, "b", "");
    d.wait_status(&mut world, "INVITE", 486);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
    let missed = world.records_of("502").into_iter().filter(|record| record.kind == HistoryKind::Missed);
    let mut missed: Vec<_> = missed.map(|record| (record.addr, record.cause)).collect();
    missed.sort();
    let expected = [("501", "busy"), ("501", "busy"), ("503", "cancelled"), ("503", "cancelled"), ("504", "busy")];
    assert_eq!(missed, expected.map(|(addr, cause)| (addr.to_owned(), cause.to_owned())));
}

#[test]
fn without_call_waiting_one_call_is_all() {
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(refused(&mut world, &mut c, "502"), 486);
    assert_eq!(refused(&mut world, &mut c, "501"), 486, "whoever began it");
    // He himself may call.
    let mut line = b.template.at_port(5060);
    let (invite, rung) = rings(&mut world, &mut line, &mut c, "503");
    assert_eq!(rung.header("Alert-Info"), "", "who is in no call hears nothing of call waiting");
    gives_up(&mut world, &mut line, &invite, &mut c, &rung);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    let (invite, rung) = rings(&mut world, &mut c, &mut b.template, "502");
    gives_up(&mut world, &mut c, &invite, &mut b.template, &rung);
    nothing_is_left(&mut world);
}

/// It is the user who is busy, not one of his telephones.
#[test]
fn another_telephone_of_one_who_is_busy_does_not_ring() {
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let [a, b, second, c] = world.add_phones(["501", "502", "502", "503"]);
    world.behave(second, Behaviour::Ring);
    world.connect_call(a, b);
    world.events_of(second);
    assert!(world.call(c, "502"));
    world.run_for(secs(1));
    assert_eq!((world.ended(c), world.phone(second).status()), (Some(End::Refused(486)), Status::Idle));
    world.hang_up(a);
    world.run_for(secs(1));
    world.behave(b, Behaviour::Ring);
    assert!(world.call(c, "502"));
    world.run_for(secs(1));
    assert_eq!((world.phone(b).status(), world.phone(second).status()), (Status::Ringing, Status::Ringing));
    world.quiesce();
}

#[test]
fn an_intercom_asks_to_be_answered_and_says_nothing_of_waiting() {
    let mut world = World::new(1);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let (invite, rung) = rings(&mut world, &mut c, &mut b.template, "*80502");
    assert!(rung.header("Alert-Info").contains("alert-autoanswer"), "{}", rung.0);
    gives_up(&mut world, &mut c, &invite, &mut b.template, &rung);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// Whom he sends a caller to has a call: the caller comes back to him.
#[test]
fn a_transfer_to_one_who_is_busy_fails_and_the_call_is_kept() {
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let [a, b, c, d] = registered(&mut world, ["501", "502", "503", "504"]);
    let (mut c, mut d) = talking(&mut world, c, d, "504");
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, "sip:503@switch.local").status(), 202);
    b.is_notified(&mut world, 100);
    b.is_notified(&mut world, 486);
    world.check();
    assert_eq!(world.ends_of("501").len(), 1);
    for (one, other) in [(&mut a, &mut b), (&mut c, &mut d)] {
        one.hangs_up(&mut world);
        other.is_hung_up(&mut world);
    }
    nothing_is_left(&mut world);
}

/// He is rung when he has time for it.
#[test]
fn who_parked_a_call_and_is_busy_is_rung_later() {
    let mut world = World::with(1, |settings| {
        settings.plan.waiting = 0;
        settings.plan.recall = Some(secs(10));
    });
    let [a, b] = registered(&mut world, ["501", "502"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, "sip:*68@switch.local").status(), 202);
    b.is_notified(&mut world, 100);
    a.is_shown(&mut world, "700");
    b.is_shown(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let echo = world.add_phone(Handset::of("502"));
    world.register(echo);
    world.run_for(secs(1));
    assert!(world.call(echo, "*43"));
    world.run_for(secs(12));
    assert!(!b.template.hear(&mut world).iter().any(|sip| sip.is("INVITE")));
    assert_eq!(world.parked(), ["700"]);
    world.hang_up(echo);
    let rung = b.template.wait_request(&mut world, "INVITE");
    assert!(rung.header("From").contains("Recall 700"), "{}", rung.0);
    b.template.respond(&mut world, &rung, 486, "r", "");
    a.hangs_up(&mut world);
    nothing_is_left(&mut world);
}

/// It stands for many, and says itself when it has no line left.
#[test]
fn a_gateway_is_busy_when_it_says_so() {
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let admin = world.log_in("admin");
    let mut gateway = Template::new("600", 11);
    let address = gateway.address().to_string();
    let user = json!({"topic": "config", "message": "add-user", "ext": "600", "name": "Gateway", "password": "pass", "address": address});
    assert_eq!(world.execute(admin, user)["error"], 0);
    world.run_for(secs(1));
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    let (first, rung) = rings(&mut world, &mut a, &mut gateway, "600");
    let (second, also_rung) = rings(&mut world, &mut b, &mut gateway, "600");
    assert_eq!(also_rung.header("Alert-Info"), "");
    gives_up(&mut world, &mut a, &first, &mut gateway, &rung);
    gives_up(&mut world, &mut b, &second, &mut gateway, &also_rung);
    nothing_is_left(&mut world);
}

/// A client's call finds out when its user's own telephone is answered.
#[test]
fn a_client_is_told_that_whom_it_calls_is_busy() {
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let [a, b, _] = world.add_phones(["501", "502", "503"]);
    world.connect_call(a, b);
    let client = world.log_in("503");
    let reply = tel(&mut world, client, "make-call", &json!({"dest": "502"}));
    assert_eq!(reply["error"], 0, "{reply}");
    let completion = world.completion(client, &reply["response"]);
    assert_eq!(completion["error"], 24, "{completion}");
    world.hang_up(a);
    world.quiesce();
}
