//! Return and redial: the last caller, and the number dialled last, are called once more; by code and by client, after restarts, too.

#![allow(clippy::unwrap_used, reason = "a test")]

use cas::store::HistoryKind;
use serde_json::json;
use tests::calls::{Phone, nothing_is_left, registered, secs, talking, tel};
use tests::template::{Dialog, Sip, Template, sdp};
use tests::world::{Behaviour, DOMAIN, End, Status, World};

const RETURN: &str = "*69";
const REDIAL: &str = "*07";

/// A call that its caller gives up while it rings.
fn calls_in_vain(world: &mut World, caller: &mut Template, number: &str, callee: &mut Template) -> Sip {
    let body = caller.sdp();
    let invite = caller.call(world, number, &body);
    let rung = callee.wait_request(world, "INVITE");
    callee.respond(world, &rung, 180, "b", "");
    caller.wait_status(world, "INVITE", 180);
    caller.cancel(world, &invite);
    let cancel = callee.wait_request(world, "CANCEL");
    callee.respond(world, &cancel, 200, "b", "");
    callee.respond(world, &rung, 487, "b", "");
    let ended = caller.wait_status(world, "INVITE", 487);
    caller.acknowledge_refusal(world, &invite, &ended);
    rung
}

/// A call that is refused: its final response.
fn is_refused(world: &mut World, caller: &mut Template, number: &str) -> Sip {
    let body = sdp(caller.address(), 4002, "0 8");
    let invite = caller.call(world, number, &body);
    let answer =
        caller.wait(world, |sip| sip.method() == "INVITE" && sip.status() >= 300 && sip.number() == invite.number());
    caller.acknowledge_refusal(world, &invite, &answer);
    answer
}

/// Time for what is written behind.
fn settle(world: &mut World) {
    world.run_for(secs(2));
}

#[test]
fn return_calls_whoever_called_last_and_shows_him() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    calls_in_vain(&mut world, &mut c, "502", &mut b);
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    let body = b.sdp();
    let invite = b.call(&mut world, RETURN, &body);
    let rung = a.wait_request(&mut world, "INVITE");
    assert!(rung.header("From").contains("<sip:502@") && rung.header("To").contains("<sip:501@"), "{}", rung.0);
    a.respond(&mut world, &rung, 200, "a", &a.sdp());
    a.wait_request(&mut world, "ACK");
    let ok = b.wait_status(&mut world, "INVITE", 200);
    assert!(ok.header("P-Asserted-Identity").contains("\"First501 Last501\" <sip:501@"), "{}", ok.0);
    let dialog = Dialog::of_caller(&ok);
    b.say_within(&mut world, &dialog, "ACK", 2, "");
    world.check();
    Phone { template: b, dialog, number: invite.number() }.hangs_up(&mut world);
    Phone { template: a, dialog: Dialog::of_callee(&rung, "a"), number: 0 }.is_hung_up(&mut world);
    nothing_is_left(&mut world);
    let placed = world.records_of("502").into_iter().find(|record| record.kind == HistoryKind::Placed).unwrap();
    assert_eq!((placed.addr.as_str(), placed.cause.as_str()), ("501", "normal"));
}

#[test]
fn who_talked_was_busy_or_was_not_there_was_called_all_the_same() {
    // He talked to the last caller.
    let mut world = World::with(1, |settings| settings.plan.waiting = 0);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    // Another called meanwhile.
    assert_eq!(is_refused(&mut world, &mut c, "502").status(), 486);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    calls_in_vain(&mut world, &mut b.template, RETURN, &mut c);
    calls_in_vain(&mut world, &mut a.template, REDIAL, &mut b.template);
    calls_in_vain(&mut world, &mut b.template, RETURN, &mut a.template);
    // His telephone was off.
    let mut d = Template::new("504", 4);
    assert_eq!(is_refused(&mut world, &mut c, "504").status(), 480);
    d.register(&mut world);
    calls_in_vain(&mut world, &mut d, RETURN, &mut c);
    nothing_is_left(&mut world);
}

#[test]
fn nobody_has_called_and_who_gives_no_number_cannot_be_called() {
    let mut world = World::new(1);
    let admin = world.log_in("admin");
    let mut gateway = Template::new("anonymous", 11);
    let address = gateway.address().to_string();
    let user = json!({"topic": "config", "message": "add-user", "ext": "600", "name": "Gateway", "password": "pass", "address": address});
    assert_eq!(world.execute(admin, user)["error"], 0);
    world.run_for(secs(1));
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    for code in [RETURN, REDIAL] {
        let refusal = is_refused(&mut world, &mut b, code);
        assert_eq!((refusal.status(), refusal.header("Reason")), (404, "Q.850;cause=1;text=\"Nothing is there\""));
    }
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    let lines = format!("{}CSeq: 1 INVITE\r\n", gateway.invite_lines("502"));
    let body = gateway.sdp();
    let invite = gateway.request("INVITE", &format!("sip:502@{DOMAIN}"), &lines, &body);
    gateway.say(&mut world, &invite);
    let rung = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &rung, 603, "b", "");
    let declined = gateway.wait_status(&mut world, "INVITE", 603);
    gateway.acknowledge_refusal(&mut world, &Sip(invite), &declined);
    for _ in 0..2 {
        let refusal = is_refused(&mut world, &mut b, RETURN);
        let reason = "Q.850;cause=3;text=\"The last caller gave no number\"";
        assert_eq!((refusal.status(), refusal.header("Reason")), (404, reason));
        settle(&mut world);
        world.restart();
    }
    nothing_is_left(&mut world);
}

#[test]
fn redial_knows_what_was_dialled_at_another_telephone_and_by_a_client() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let mut second = a.at_port(5070);
    second.register(&mut world);
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    calls_in_vain(&mut world, &mut second, REDIAL, &mut b);
    let client = world.log_in("501");
    let call = tel(&mut world, client, "make-call", &json!({"dest": "503"}));
    assert_eq!(call["error"], 0, "{call}");
    tel(&mut world, client, "drop", &json!({"call-id": call["call-id"]}));
    world.run_for(secs(1));
    let mut third = a.at_port(5080);
    calls_in_vain(&mut world, &mut third, REDIAL, &mut c);
    // A client may dial the code as well.
    let [mut other] = [Template::new("504", 4)];
    other.register(&mut world);
    calls_in_vain(&mut world, &mut other, "502", &mut b);
    let client = world.log_in("504");
    let call = tel(&mut world, client, "make-call", &json!({"dest": REDIAL}));
    assert_eq!(call["error"], 0, "{call}");
    let own = other.wait_request(&mut world, "INVITE");
    other.respond(&mut world, &own, 200, "d", &other.sdp());
    let rung = b.wait_request(&mut world, "INVITE");
    assert!(rung.header("From").contains("<sip:504@"), "{}", rung.0);
    let row = world.calls(client).remove(0);
    assert_eq!(row["parties"][1][0], "502", "the client sees whom he calls: {row:?}");
    tel(&mut world, client, "drop", &json!({"call-id": call["call-id"]}));
    nothing_is_left(&mut world);
}

#[test]
fn codes_and_orbits_are_not_dialled_again_and_an_intercom_is_one_again() {
    let mut world = World::new(1);
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    let rung = calls_in_vain(&mut world, &mut a, "*80502", &mut b);
    assert!(rung.header("Alert-Info").contains("alert-autoanswer"));
    for code in ["*68", "**502", "*8", "700", "*88502", RETURN] {
        assert_eq!(is_refused(&mut world, &mut a, code).status(), 404, "{code}");
    }
    let rung = calls_in_vain(&mut world, &mut a, REDIAL, &mut b);
    assert!(rung.header("Alert-Info").contains("alert-autoanswer"), "{}", rung.0);
    // What he mistyped was dialled, too: whom he did not mean is not called instead.
    assert_eq!(is_refused(&mut world, &mut a, "5o2").status(), 404);
    assert_eq!(is_refused(&mut world, &mut a, REDIAL).status(), 404);
    assert_eq!(is_refused(&mut world, &mut a, &"5".repeat(2000)).status(), 404);
    assert!(!b.hear(&mut world).iter().any(|sip| sip.is("INVITE")));
    nothing_is_left(&mut world);
}

/// Whoever was called at a number that is another's, or nobody's, by now.
#[test]
fn a_number_that_leads_nowhere_any_more_is_not_found() {
    let mut world = World::new(1);
    let admin = world.log_in("admin");
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    calls_in_vain(&mut world, &mut b, "501", &mut a);
    let gone = world.execute(admin, json!({"topic": "config", "message": "delete-user", "ext": "502"}));
    assert_eq!(gone["error"], 0, "{gone}");
    for code in [RETURN, REDIAL] {
        let refusal = is_refused(&mut world, &mut a, code);
        assert_eq!((refusal.status(), refusal.header("Reason").contains("Unallocated number")), (404, true), "{code}");
    }
    nothing_is_left(&mut world);
}

#[test]
fn both_outlive_a_restart() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    calls_in_vain(&mut world, &mut b, "503", &mut c);
    settle(&mut world);
    for _ in 0..2 {
        world.restart();
        calls_in_vain(&mut world, &mut a, REDIAL, &mut b);
        calls_in_vain(&mut world, &mut b, RETURN, &mut a);
        settle(&mut world);
    }
    // What rang when the power failed counts, too.
    let body = c.sdp();
    c.call(&mut world, "501", &body);
    a.wait_request(&mut world, "INVITE");
    settle(&mut world);
    world.restart();
    a.hear(&mut world);
    calls_in_vain(&mut world, &mut a, RETURN, &mut c);
    calls_in_vain(&mut world, &mut c, REDIAL, &mut a);
    nothing_is_left(&mut world);
}

/// What the store could not take it takes later.
#[test]
fn a_full_disk_costs_no_last_call() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    calls_in_vain(&mut world, &mut a, "503", &mut c);
    settle(&mut world);
    world.fail_store(true);
    calls_in_vain(&mut world, &mut a, "502", &mut b);
    world.run_for(secs(15));
    world.fail_store(false);
    world.run_for(secs(15));
    world.restart();
    calls_in_vain(&mut world, &mut a, REDIAL, &mut b);
    nothing_is_left(&mut world);
}

/// Each is the other's last caller.
#[test]
fn two_return_at_once() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    let [a2, b2] = world.add_phones(["501", "502"]);
    for phone in [a, b, a2, b2] {
        world.behave(phone, Behaviour::Ring);
    }
    for (caller, number) in [(a, "502"), (b, "501")] {
        assert!(world.call(caller, number));
        world.run_for(secs(1));
        world.hang_up(caller);
        world.run_for(secs(1));
    }
    assert!(world.call(a, RETURN) && world.call(b, RETURN));
    world.run_for(secs(1));
    world.check();
    assert_eq!((world.phone(a2).status(), world.phone(b2).status()), (Status::Ringing, Status::Ringing));
    assert!(world.answer(a2));
    world.run_for(secs(1));
    assert!(world.hear_each_other(b, a2));
    world.quiesce();
}

/// Nobody is sent to whoever called the one who sends him.
#[test]
fn nobody_is_transferred_or_forwarded_to_them() {
    let mut world = World::new(1);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    for code in [RETURN, REDIAL] {
        assert_eq!(b.refer(&mut world, &format!("sip:{code}@{DOMAIN}")).status(), 404);
    }
    let body = c.sdp();
    let invite = c.call(&mut world, "502", &body);
    let rung = b.template.wait_request(&mut world, "INVITE");
    b.template.claim(&format!("sip:{RETURN}@{DOMAIN}"));
    b.template.respond(&mut world, &rung, 302, "b", "");
    let ended = c.wait_status(&mut world, "INVITE", 480);
    c.acknowledge_refusal(&mut world, &invite, &ended);
    world.check();
    assert_eq!(world.ends_of("501").len(), 1, "the call is kept");
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// The code is answered by whoever it reaches, not by the caller himself.
#[test]
fn who_calls_himself_is_not_his_own_last_caller() {
    let mut world = World::new(1);
    let [a, second, b] = world.add_phones(["501", "501", "502"]);
    for phone in [a, second, b] {
        world.behave(phone, Behaviour::Ring);
    }
    for (caller, number) in [(b, "501"), (a, "501")] {
        assert!(world.call(caller, number));
        world.run_for(secs(1));
        world.hang_up(caller);
        world.run_for(secs(1));
    }
    world.events_of(a);
    assert!(world.call(a, RETURN));
    world.run_for(secs(1));
    assert_eq!((world.phone(b).status(), world.ended(a)), (Status::Ringing, None::<End>));
    world.quiesce();
}
