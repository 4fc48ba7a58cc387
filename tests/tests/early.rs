//! Before the answer: early media and reliable provisional responses (RFC 3262), with telephones that say exactly what a test tells them to.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tests::template::{Dialog, Sip, Template, sdp};
use tests::world::World;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// 501 calls 502, both templates: what 501 adds to its INVITE and its body; the two, and the INVITE that each has.
fn ringing(adds: &str, body: Option<String>) -> (World, Template, Sip, Template, Sip) {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = body.unwrap_or_else(|| caller.sdp());
    caller.adds(adds);
    let invite = caller.call(&mut world, "502", &body);
    caller.adds("");
    let rung = callee.wait_request(&mut world, "INVITE");
    (world, caller, invite, callee, rung)
}

/// A reliable provisional response of the callee's, and the PRACK it brings.
#[track_caller]
fn say_reliably(world: &mut World, callee: &mut Template, invite: &Sip, status: u16, rseq: u32, body: &str) -> Sip {
    callee.adds(&format!("Require: 100rel\r\nRSeq: {rseq}\r\n"));
    callee.respond(world, invite, status, "b", body);
    callee.adds("");
    let prack = callee.wait_request(world, "PRACK");
    assert_eq!(prack.header("RAck"), format!("{rseq} {} INVITE", invite.number()));
    prack
}

fn prack(world: &mut World, caller: &mut Template, response: &Sip, number: u32, body: &str) -> Sip {
    let dialog = Dialog::of_caller(response);
    caller.adds(&format!("RAck: {} {} INVITE\r\n", response.header("RSeq"), response.number()));
    caller.say_within(world, &dialog, "PRACK", number, body);
    caller.adds("");
    caller.wait(world, |sip| sip.method() == "PRACK" && sip.status() > 0)
}

#[track_caller]
fn all_hang_up(world: &mut World, caller: &mut Template, ok: &Sip, number: u32, callee: &mut Template) {
    let dialog = Dialog::of_caller(ok);
    caller.say_within(world, &dialog, "BYE", number, "");
    caller.wait_status(world, "BYE", 200);
    let bye = callee.wait_request(world, "BYE");
    callee.respond(world, &bye, 200, "", "");
    nothing_is_left(world);
}

/// The telephone that rings is cancelled, and says so.
#[track_caller]
fn is_cancelled(world: &mut World, callee: &mut Template, invite: &Sip) {
    let cancel = callee.wait_request(world, "CANCEL");
    callee.respond(world, &cancel, 200, "b", "");
    callee.respond(world, invite, 487, "b", "");
}

#[track_caller]
fn nothing_is_left(world: &mut World) {
    world.run_for(secs(40));
    assert!(world.is_quiet());
    world.quiesce();
}

#[test]
fn the_caller_hears_what_the_callee_says_before_it_answers() {
    let (mut world, mut caller, _, mut callee, invite) = ringing("", None);
    let body = sdp(callee.address(), 4000, "8");
    callee.respond(&mut world, &invite, 183, "b", &body);
    let progress = caller.wait_status(&mut world, "INVITE", 183);
    assert!(progress.body().contains("RTP/AVP 8\r\n"), "the callee's codec: {}", progress.0);
    assert_eq!(progress.header("Require"), "", "the caller does not know reliable responses");
    callee.respond(&mut world, &invite, 180, "b", "");
    caller.wait_status(&mut world, "INVITE", 180);
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    assert_eq!(ok.body(), progress.body(), "the answer may have been lost: it is said again, the same");
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    world.run_for(secs(2));
    world.check();
    all_hang_up(&mut world, &mut caller, &ok, 3, &mut callee);
}

#[test]
fn rfc_3262_section_4_a_reliable_response_is_acknowledged_once_and_in_order() {
    let (mut world, mut caller, _, mut callee, invite) = ringing("", None);
    assert!(invite.header("Supported").contains("100rel"), "{}", invite.0);
    let body = callee.sdp();
    let first = say_reliably(&mut world, &mut callee, &invite, 183, 7, &body);
    caller.wait_status(&mut world, "INVITE", 183);
    // The same once more, and one that comes before its turn.
    callee.adds("Require: 100rel\r\nRSeq: 7\r\n");
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    callee.adds("Require: 100rel\r\nRSeq: 9\r\n");
    callee.respond(&mut world, &invite, 180, "b", "");
    callee.adds("");
    callee.respond(&mut world, &first, 200, "b", "");
    world.run_for(secs(1));
    assert!(callee.hear(&mut world).is_empty());
    let second = say_reliably(&mut world, &mut callee, &invite, 180, 8, "");
    assert_eq!(second.number(), first.number() + 1);
    callee.respond(&mut world, &second, 200, "b", "");
    caller.wait_status(&mut world, "INVITE", 180);
    // RFC 3262 §5: the answer was given before, and the 200 need not repeat it.
    callee.respond(&mut world, &invite, 200, "b", "");
    let ack = callee.wait_request(&mut world, "ACK");
    assert_eq!(ack.number(), invite.number());
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(&mut world, &dialog, "BYE", 3, "");
    caller.wait_status(&mut world, "BYE", 200);
    let bye = callee.wait_request(&mut world, "BYE");
    assert!(bye.number() > second.number(), "the numbers of the dialog go on");
    callee.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

#[test]
fn rfc_3262_section_3_a_response_that_must_not_be_lost_is_repeated_until_its_prack_and_the_answer_waits_for_it() {
    let (mut world, mut caller, _, mut callee, invite) = ringing("Supported: 100rel\r\n", None);
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    let progress = caller.wait_status(&mut world, "INVITE", 183);
    assert_eq!(progress.header("Require"), "100rel");
    callee.respond(&mut world, &invite, 180, "b", "");
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    world.run_for(secs(2));
    let mut repeated = caller.hear(&mut world);
    repeated.retain(|sip| sip.status() > 100);
    assert!(repeated.len() >= 2 && repeated.iter().all(|sip| sip == &progress), "neither 180 nor 200: {repeated:?}");
    let answer = prack(&mut world, &mut caller, &progress, 3, "");
    assert_eq!(answer.status(), 200);
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    assert_eq!(ok.body(), "", "what has arrived is not said again");
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    // A second PRACK of the same response acknowledges nothing.
    let again = prack(&mut world, &mut caller, &progress, 4, "");
    assert_eq!(again.status(), 481);
    all_hang_up(&mut world, &mut caller, &ok, 5, &mut callee);
}

#[test]
fn a_caller_that_requires_reliable_responses_gets_each_of_them_so() {
    let (mut world, mut caller, _, callee, invite) = ringing("Require: 100rel\r\n", None);
    callee.respond(&mut world, &invite, 180, "b", "");
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    assert_eq!((ringing.header("Require"), ringing.body()), ("100rel", ""));
    // A response with a wrong RAck stays unacknowledged.
    let mut wrong = ringing.clone();
    wrong.0 = wrong.0.replace("RSeq: ", "RSeq: 1");
    assert_eq!(prack(&mut world, &mut caller, &wrong, 3, "").status(), 481);
    assert_eq!(prack(&mut world, &mut caller, &ringing, 4, "").status(), 200);
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    let progress = caller.wait_status(&mut world, "INVITE", 183);
    let rseq = |sip: &Sip| sip.header("RSeq").parse::<u32>().unwrap();
    assert_eq!(rseq(&progress), rseq(&ringing) + 1);
    assert_eq!(prack(&mut world, &mut caller, &progress, 5, "").status(), 200);
    callee.respond(&mut world, &invite, 486, "b", "");
    let busy = caller.wait_status(&mut world, "INVITE", 486);
    assert_eq!(busy.header("Reason"), "Q.850;cause=17;text=\"User busy\"");
    nothing_is_left(&mut world);
}

#[test]
fn rfc_3262_section_3_a_prack_that_never_comes_ends_the_call() {
    let (mut world, mut caller, invite, mut callee, rung) = ringing("Require: 100rel\r\n", None);
    callee.respond(&mut world, &rung, 180, "b", "");
    caller.wait_status(&mut world, "INVITE", 180);
    world.run_for(secs(30));
    let refused = caller.wait_status(&mut world, "INVITE", 504);
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    is_cancelled(&mut world, &mut callee, &rung);
    nothing_is_left(&mut world);
}

#[test]
fn rfc_3262_section_5_an_invite_without_an_offer_gets_one_in_the_first_reliable_response() {
    let (mut world, mut caller, _, mut callee, invite) = ringing("Require: 100rel\r\n", Some(String::new()));
    assert!(invite.body().contains("m=audio"), "the callee is offered all the same");
    callee.respond(&mut world, &invite, 180, "b", "");
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    assert!(ringing.body().contains("m=audio"), "{}", ringing.0);
    let answer = caller.sdp();
    assert_eq!(prack(&mut world, &mut caller, &ringing, 3, &answer).status(), 200);
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    assert_eq!(ok.body(), "");
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    world.run_for(secs(1));
    world.check();
    all_hang_up(&mut world, &mut caller, &ok, 4, &mut callee);
}

#[test]
fn a_prack_that_does_not_answer_the_offer_ends_the_call() {
    let (mut world, mut caller, _, mut callee, invite) = ringing("Require: 100rel\r\n", Some(String::new()));
    callee.respond(&mut world, &invite, 180, "b", "");
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    assert_eq!(prack(&mut world, &mut caller, &ringing, 3, "").status(), 200);
    caller.wait_status(&mut world, "INVITE", 488);
    is_cancelled(&mut world, &mut callee, &invite);
    nothing_is_left(&mut world);
}

#[test]
fn rfc_3262_section_5_a_prack_may_make_a_further_offer() {
    let (mut world, mut caller, _, callee, invite) = ringing("Supported: 100rel\r\n", None);
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    let progress = caller.wait_status(&mut world, "INVITE", 183);
    let moved = sdp(caller.address(), 4100, "8");
    let answer = prack(&mut world, &mut caller, &progress, 3, &moved);
    assert!(answer.status() == 200 && answer.body().contains("RTP/AVP 8\r\n"), "{}", answer.0);
    callee.respond(&mut world, &invite, 603, "b", "");
    caller.wait_status(&mut world, "INVITE", 603);
    nothing_is_left(&mut world);
}

#[test]
fn cancel_crosses_a_reliable_response_and_nothing_is_left() {
    let (mut world, mut caller, invite, mut callee, rung) = ringing("Supported: 100rel\r\n", None);
    callee.respond(&mut world, &rung, 183, "b", &callee.sdp());
    caller.wait_status(&mut world, "INVITE", 183);
    caller.cancel(&mut world, &invite);
    caller.wait_status(&mut world, "CANCEL", 200);
    let refused = caller.wait_status(&mut world, "INVITE", 487);
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    is_cancelled(&mut world, &mut callee, &rung);
    nothing_is_left(&mut world);
}

/// RFC 3261 §14.2: a second INVITE before the first is answered.
#[test]
fn a_reinvite_before_the_answer_is_to_be_made_later() {
    let (mut world, mut caller, _, callee, invite) = ringing("", None);
    callee.respond(&mut world, &invite, 180, "b", "");
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    let body = caller.sdp();
    caller.say_within(&mut world, &Dialog::of_caller(&ringing), "INVITE", 3, &body);
    let refused = caller.wait_status(&mut world, "INVITE", 500);
    assert!(refused.header("Retry-After").parse::<u32>().unwrap() <= 10);
    callee.respond(&mut world, &invite, 486, "b", "");
    caller.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}

#[test]
fn the_first_of_several_telephones_with_something_to_hear_is_heard_and_the_one_that_answers_then() {
    let mut world = World::new(1);
    let mut one = Template::new("502", 2);
    one.register(&mut world);
    let mut two = Template::new("502", 3);
    two.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let (invite_one, invite_two) = (one.wait_request(&mut world, "INVITE"), two.wait_request(&mut world, "INVITE"));
    one.respond(&mut world, &invite_one, 183, "one", &one.sdp());
    caller.wait_status(&mut world, "INVITE", 183);
    two.respond(&mut world, &invite_two, 183, "two", &two.sdp());
    two.respond(&mut world, &invite_two, 200, "two", &two.sdp());
    two.wait_request(&mut world, "ACK");
    let cancel = one.wait_request(&mut world, "CANCEL");
    assert!(cancel.header("Reason").contains("Call completed elsewhere"));
    one.respond(&mut world, &cancel, 200, "one", "");
    one.respond(&mut world, &invite_one, 487, "one", "");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    world.run_for(secs(1));
    world.check();
    all_hang_up(&mut world, &mut caller, &ok, 3, &mut two);
}
