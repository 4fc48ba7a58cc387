//! Calls in hard orders: messages that cross, come late, come twice, or never.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::template::{Dialog, Sip, Template, branch, sdp};
use tests::world::{Behaviour, ClientId, Codec, End, Event, Handset, Manners, PhoneId, Status, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A template calls a telephone, which has answered; the ACK is still to come: the 200 and its dialog.
fn answered_call() -> (World, Template, PhoneId, Sip, Dialog) {
    let mut world = World::new(1);
    let [callee] = world.add_phones(["502"]);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "502", &body);
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    assert_eq!(branch(&ok), branch(&invite));
    let dialog = Dialog::of_caller(&ok);
    (world, caller, callee, invite, dialog)
}

fn acknowledged_call() -> (World, Template, PhoneId, Dialog) {
    let (mut world, mut caller, callee, _, dialog) = answered_call();
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    (world, caller, callee, dialog)
}

/// A telephone calls a template, which has been asked to ring: its INVITE.
fn ringing_template() -> (World, PhoneId, Template, Sip) {
    let mut world = World::new(1);
    let [caller] = world.add_phones(["501"]);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    assert!(world.call(caller, "502"));
    let invite = callee.wait_request(&mut world, "INVITE");
    (world, caller, callee, invite)
}

/// The same, answered and acknowledged.
fn talking_template() -> (World, PhoneId, Template, Dialog) {
    let (mut world, caller, mut callee, invite) = ringing_template();
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    (world, caller, callee, Dialog::of_callee(&invite, "b"))
}

/// 502's client asks for the call of his telephone, a template, to be held: the client, the request's `response`, and the offer that comes.
#[track_caller]
fn held_by_cas(world: &mut World, callee: &mut Template) -> (ClientId, Value, Sip) {
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = world.execute(client, json!({"topic": "tel", "message": "hold", "call-id": call}));
    assert_eq!(reply["error"], 0, "{reply}");
    (client, reply["response"].clone(), callee.wait_request(world, "INVITE"))
}

/// The switch ends a template's dialog: its BYE, answered.
#[track_caller]
fn is_hung_up(world: &mut World, template: &mut Template) -> Sip {
    let bye = template.wait_request(world, "BYE");
    template.respond(world, &bye, 200, "", "");
    bye
}

/// A template ends its dialog.
#[track_caller]
fn hangs_up(world: &mut World, template: &mut Template, dialog: &Dialog, number: u32) {
    template.say_within(world, dialog, "BYE", number, "");
    template.wait_status(world, "BYE", 200);
}

#[track_caller]
fn nothing_is_left(world: &mut World) {
    world.run_for(secs(40));
    assert!(world.is_quiet());
    assert_eq!(world.open_legs(), 0);
    world.quiesce();
}

/// RFC 3261 §14.1, §16.6 11: a re-INVITE that is never answered ends, and the hold with it.
#[test]
fn a_hold_answered_100_and_then_nothing_completes_with_an_error() {
    let (mut world, caller, mut callee, _) = talking_template();
    let (client, hold, offer) = held_by_cas(&mut world, &mut callee);
    callee.respond(&mut world, &offer, 100, "", "");
    let mut waited = 0;
    while world.events_told(client).iter().all(|event| event["message"] != "tel-completion-evt") {
        world.run_for(secs(1));
        waited += 1;
        assert!(waited < 200, "the hold never completes");
        for request in callee.hear(&mut world).into_iter().filter(|sip| sip.is("OPTIONS")) {
            callee.respond(&mut world, &request, 200, "", "");
        }
    }
    let completion = world.completion(client, &hold);
    assert_ne!(completion["error"], 0);
    if let Some(bye) = callee.hear(&mut world).into_iter().find(|sip| sip.is("BYE")) {
        callee.respond(&mut world, &bye, 200, "", "");
    }
    world.hang_up(caller);
    nothing_is_left(&mut world);
}

/// From an element that takes the ACK of a 2xx for part of the transaction (RFC 6026 §7.1).
#[test]
fn an_ack_of_the_2xx_with_the_branch_of_its_invite_counts() {
    let (mut world, mut caller, callee, invite, dialog) = answered_call();
    let ack = caller.request_within_as(&dialog, "ACK", 2, branch(&invite), "");
    caller.say(&mut world, &ack.0);
    caller.hear(&mut world);
    world.run_for(secs(40));
    assert!(caller.hear(&mut world).iter().all(|sip| sip.status() != 200));
    assert_eq!(world.phone(callee).status(), Status::Talking { held: false });
    hangs_up(&mut world, &mut caller, &dialog, 3);
    nothing_is_left(&mut world);
}

#[test]
fn a_late_ack_of_the_first_invite_does_not_settle_the_second() {
    let (mut world, mut caller, _, _, dialog) = answered_call();
    let body = caller.sdp();
    caller.say_within(&mut world, &dialog, "INVITE", 3, &body);
    caller.wait(&mut world, |sip| sip.status() == 200 && sip.number() == 3);
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    caller.hear(&mut world);
    world.run_for(secs(3));
    let repeated = caller.hear(&mut world);
    assert!(repeated.iter().any(|sip| sip.status() == 200 && sip.number() == 3), "{repeated:?}");
    assert!(repeated.iter().all(|sip| sip.number() != 2), "{repeated:?}");
    caller.say_within(&mut world, &dialog, "ACK", 3, "");
    world.run_for(secs(5));
    assert_eq!(caller.hear(&mut world), []);
    hangs_up(&mut world, &mut caller, &dialog, 4);
    nothing_is_left(&mut world);
}

#[test]
fn after_a_bye_the_200_whose_ack_was_lost_is_not_repeated() {
    let (mut world, mut caller, callee, _, dialog) = answered_call();
    hangs_up(&mut world, &mut caller, &dialog, 3);
    caller.hear(&mut world);
    world.run_for(secs(40));
    assert_eq!(caller.hear(&mut world), []);
    assert_eq!(world.ended(callee), Some(End::There));
    nothing_is_left(&mut world);
}

/// RFC 3261 §15: no BYE before the ACK of the 2xx, or before it will not come.
#[test]
fn the_caller_gets_his_bye_only_after_his_ack() {
    for acknowledged in [true, false] {
        let (mut world, mut caller, callee, _, dialog) = answered_call();
        world.run_for(secs(1));
        world.hang_up(callee);
        world.run_for(secs(5));
        assert!(caller.hear(&mut world).iter().all(|sip| !sip.is("BYE")));
        if acknowledged {
            caller.say_within(&mut world, &dialog, "ACK", 2, "");
        } else {
            world.run_for(secs(32));
        }
        let bye = is_hung_up(&mut world, &mut caller);
        assert!(bye.header("To").contains("tag=t") && !bye.header("Reason").is_empty(), "{bye:?}");
        nothing_is_left(&mut world);
    }
}

/// RFC 3261 §9.2: a CANCEL that comes after the 200 is answered and does nothing.
#[test]
fn a_cancel_after_the_200_does_nothing() {
    let (mut world, mut caller, callee, invite, dialog) = answered_call();
    caller.cancel(&mut world, &invite);
    caller.wait_status(&mut world, "CANCEL", 200);
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    world.run_for(secs(5));
    assert!(caller.hear(&mut world).iter().all(|sip| sip.status() != 487));
    assert_eq!(world.phone(callee).status(), Status::Talking { held: false });
    hangs_up(&mut world, &mut caller, &dialog, 3);
    nothing_is_left(&mut world);
}

/// RFC 3261 §9.1: the answer to the cancelled INVITE is acknowledged and hung up.
#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let (mut world, caller, mut callee, invite) = ringing_template();
    callee.respond(&mut world, &invite, 180, "b", "");
    world.run_for(secs(1));
    world.hang_up(caller);
    let cancel = callee.wait_request(&mut world, "CANCEL");
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.respond(&mut world, &cancel, 200, "b", "");
    callee.wait_request(&mut world, "ACK");
    is_hung_up(&mut world, &mut callee);
    nothing_is_left(&mut world);
}

/// A caller has given up before the telephone he calls has said anything: he has his 487, and it has no CANCEL.
fn given_up_in_silence() -> (World, Template, Sip) {
    let (mut world, caller, mut callee, invite) = ringing_template();
    world.run_for(secs(1));
    world.hang_up(caller);
    world.run_for(secs(2));
    assert_eq!(world.ended(caller), Some(End::Here));
    let heard = callee.hear(&mut world);
    assert!(
        heard.len() >= 2 && heard.iter().all(|sip| sip.0 == invite.0),
        "the INVITE alone, again and again: {heard:?}"
    );
    (world, callee, invite)
}

/// RFC 3261 §9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent; rather, the client MUST wait".
#[test]
fn a_telephone_that_says_nothing_is_cancelled_when_it_has_said_something() {
    for status in [100, 180, 183] {
        let (mut world, mut callee, invite) = given_up_in_silence();
        callee.respond(&mut world, &invite, status, "b", "");
        let cancel = callee.wait_request(&mut world, "CANCEL");
        assert_eq!((branch(&cancel), cancel.number()), (branch(&invite), invite.number()));
        assert!(!cancel.header("Reason").is_empty() && !cancel.header("To").contains("tag="), "{cancel:?}");
        callee.respond(&mut world, &cancel, 200, "b", "");
        callee.respond(&mut world, &invite, 487, "b", "");
        callee.wait_request(&mut world, "ACK");
        nothing_is_left(&mut world);
    }
}

#[test]
fn a_telephone_that_answers_when_its_caller_has_given_up_is_hung_up_without_a_cancel() {
    let (mut world, mut callee, invite) = given_up_in_silence();
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.wait_request(&mut world, "ACK");
    is_hung_up(&mut world, &mut callee);
    world.run_for(secs(1));
    assert!(callee.hear(&mut world).iter().all(|sip| !sip.is("CANCEL")));
    nothing_is_left(&mut world);
}

#[test]
fn a_telephone_that_refuses_when_its_caller_has_given_up_hears_no_cancel() {
    let (mut world, mut callee, invite) = given_up_in_silence();
    callee.respond(&mut world, &invite, 486, "b", "");
    callee.wait_request(&mut world, "ACK");
    nothing_is_left(&mut world);
    assert!(callee.hear(&mut world).is_empty());
}

#[test]
fn a_telephone_that_never_says_anything_is_given_up_with_timer_b() {
    let (mut world, mut callee, invite) = given_up_in_silence();
    world.run_for(secs(70));
    let heard = callee.hear(&mut world);
    assert!(heard.len() == 4 && heard.iter().all(|sip| sip.0 == invite.0), "at 3.5, 7.5, 15.5 and 31.5 s: {heard:?}");
    assert_eq!(world.transactions(), 0);
    nothing_is_left(&mut world);
}

/// Its INVITE is forgotten, and nothing more can be said of it.
#[test]
fn a_telephone_that_is_given_up_and_rings_all_the_same_is_left_to_itself() {
    let (mut world, mut callee, invite) = given_up_in_silence();
    world.run_for(secs(40));
    callee.hear(&mut world);
    callee.respond(&mut world, &invite, 180, "b", "");
    world.run_for(secs(1));
    assert_eq!(callee.hear(&mut world), []);
    nothing_is_left(&mut world);
}

/// A telephone of the world, slow to say anything at all; whatever it says then, its caller is gone.
#[test]
fn silent_telephones_end_their_ringing_when_their_caller_has_given_up() {
    for behaviour in [Behaviour::Ring, Behaviour::Answer(Duration::ZERO), Behaviour::Reject(486)] {
        let mut world = World::new(1);
        let [caller] = world.add_phones(["501"]);
        let silent = Manners { silent: secs(3), ..Manners::default() };
        let callee = world.add_phone(Handset { behaviour, manners: silent, ..Handset::of("502") });
        world.register(callee);
        world.run_for(secs(1));
        world.call(caller, "502");
        world.run_for(secs(1));
        world.hang_up(caller);
        world.run_for(secs(1));
        assert_eq!((world.ended(caller), world.phone(callee).status()), (Some(End::Here), Status::Idle));
        world.run_for(secs(5));
        assert_eq!(world.phone(callee).status(), Status::Idle, "{behaviour:?}");
        assert!(world.events_of(callee).iter().all(|event| !matches!(event, Event::Malformed(_))), "{behaviour:?}");
        nothing_is_left(&mut world);
    }
}

/// RFC 3261 §13.2.2.4: a proxy behind the contact has forked.
#[test]
fn a_second_2xx_with_another_to_tag_is_acknowledged_and_hung_up() {
    let (mut world, caller, mut callee, invite) = ringing_template();
    let body = callee.sdp();
    for tag in ["first", "second"] {
        callee.respond(&mut world, &invite, 200, tag, &body);
        let ack = callee.wait_request(&mut world, "ACK");
        assert!(ack.header("To").ends_with(tag), "{ack:?}");
    }
    let bye = is_hung_up(&mut world, &mut callee);
    assert!(bye.header("To").ends_with("second"), "{bye:?}");
    world.run_for(secs(1));
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    world.hang_up(caller);
    let bye = is_hung_up(&mut world, &mut callee);
    assert!(bye.header("To").ends_with("first"), "{bye:?}");
    nothing_is_left(&mut world);
}

/// RFC 3261 §15: the caller may end an early dialog with BYE.
#[test]
fn a_bye_of_the_early_dialog_ends_the_ringing() {
    let mut world = World::new(1);
    let [callee] = world.add_phones(["502"]);
    world.behave(callee, Behaviour::Ring);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "502", &body);
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    caller.say_within(&mut world, &Dialog::of_caller(&ringing), "BYE", 3, "");
    caller.wait_status(&mut world, "BYE", 200);
    let refused = caller.wait_status(&mut world, "INVITE", 487);
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    world.run_for(secs(1));
    assert_eq!(world.ended(callee), Some(End::There));
    nothing_is_left(&mut world);
}

#[test]
fn an_answer_without_sound_is_hung_up_and_the_caller_gets_488() {
    for (port, formats) in [(0, "0"), (4000, "99"), (4000, "101")] {
        let (mut world, caller, mut callee, invite) = ringing_template();
        let body = sdp(callee.address(), port, formats);
        callee.respond(&mut world, &invite, 200, "b", &body);
        callee.wait_request(&mut world, "ACK");
        is_hung_up(&mut world, &mut callee);
        world.run_for(secs(1));
        assert_eq!(world.ended(caller), Some(End::Refused(488)), "{port} {formats}");
        nothing_is_left(&mut world);
    }
}

/// RFC 3261 §14.2: our offer is out.
#[test]
fn an_offer_that_meets_ours_is_491_and_ours_goes_on() {
    let (mut world, caller, mut callee, dialog) = talking_template();
    let (client, hold, ours) = held_by_cas(&mut world, &mut callee);
    let body = callee.sdp();
    let theirs = callee.request_within(&dialog, "INVITE", 1, &body);
    callee.say(&mut world, &theirs.0);
    let refused = callee.wait_status(&mut world, "INVITE", 491);
    callee.acknowledge_refusal(&mut world, &theirs, &refused);
    callee.respond(&mut world, &ours, 200, "", &body);
    callee.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &hold)["error"], 0);
    assert_eq!(world.calls(client)[0]["state"], "held");
    world.hang_up(caller);
    is_hung_up(&mut world, &mut callee);
    nothing_is_left(&mut world);
}

/// RFC 3261 §14.1: whoever made the Call-ID waits 2.1 to 4 s.
#[test]
fn a_hold_answered_491_is_tried_again_and_completes() {
    let (mut world, caller, mut callee, _) = talking_template();
    let (client, hold, mut offer) = held_by_cas(&mut world, &mut callee);
    for _ in 0..2 {
        callee.respond(&mut world, &offer, 491, "", "");
        callee.wait_request(&mut world, "ACK");
        world.run_for(secs(2));
        assert!(callee.hear(&mut world).iter().all(|sip| !sip.is("INVITE")));
        world.check();
        offer = callee.wait_request(&mut world, "INVITE");
    }
    let body = callee.sdp();
    assert!(offer.body().contains("a=inactive"), "{offer:?}");
    callee.respond(&mut world, &offer, 200, "", &body.replace("a=rtpmap:99", "a=inactive\r\na=rtpmap:99"));
    assert_eq!(world.completion(client, &hold)["error"], 0);
    assert_eq!(world.calls(client)[0]["state"], "held");
    world.hang_up(caller);
    is_hung_up(&mut world, &mut callee);
    nothing_is_left(&mut world);
}

/// Every command accepted completes (invariant 4).
#[test]
fn a_hold_that_waits_to_be_offered_again_completes_when_the_call_ends() {
    let (mut world, caller, mut callee, _) = talking_template();
    let (client, hold, offer) = held_by_cas(&mut world, &mut callee);
    callee.respond(&mut world, &offer, 491, "", "");
    callee.wait_request(&mut world, "ACK");
    world.hang_up(caller);
    is_hung_up(&mut world, &mut callee);
    assert_ne!(world.completion(client, &hold)["error"], 0);
    world.run_for(secs(10));
    assert!(callee.hear(&mut world).iter().all(|sip| !sip.is("INVITE")));
    nothing_is_left(&mut world);
}

/// The own telephone was offered everything before the destination was known.
#[test]
fn make_call_brings_the_own_telephone_to_the_codec_of_the_destination() {
    let mut world = World::new(1);
    let codecs = [vec![Codec::G722, Codec::Pcma, Codec::Event], vec![Codec::Pcma, Codec::Event]];
    let [a, b] = ["501", "502"].map(|user| {
        let codecs = codecs[usize::from(user == "502")].clone();
        let phone = world.add_phone(Handset { codecs, ..Handset::of(user) });
        world.register(phone);
        phone
    });
    world.run_for(secs(1));
    let client = world.log_in("501");
    let reply = world.execute(client, json!({"topic": "tel", "message": "make-call", "dest": "502"}));
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
    world.quiesce();
}

#[test]
fn a_user_deleted_in_a_call_or_while_ringing_leaves_nothing() {
    for (talking, deleted) in [(true, "501"), (true, "502"), (false, "501"), (false, "502")] {
        let mut world = World::new(1);
        let [a, b] = world.add_phones(["501", "502"]);
        let admin = world.log_in("admin");
        let other = world.log_in(if deleted == "501" { "502" } else { "501" });
        if !talking {
            world.behave(b, Behaviour::Ring);
        }
        world.call(a, "502");
        world.run_for(secs(3));
        let reply = world.execute(admin, json!({"topic": "config", "message": "delete-user", "ext": deleted}));
        assert_eq!(reply["error"], 0, "{reply}");
        world.run_for(secs(2));
        assert_eq!(
            (world.phone(a).status(), world.phone(b).status()),
            (Status::Idle, Status::Idle),
            "{talking} {deleted}"
        );
        assert!(world.calls(other).is_empty());
        assert!(world.is_quiet());
        assert_eq!(world.registrations(), 1);
    }
}

fn two_phones_of_502() -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    let c = world.add_phone(Handset::of("502"));
    world.register(c);
    world.run_for(secs(1));
    for phone in [b, c] {
        world.behave(phone, Behaviour::Ring);
    }
    (world, a, b, c)
}

/// RFC 3261 §16.7 5.
#[test]
fn a_6xx_of_one_telephone_stops_the_others() {
    let (mut world, a, b, c) = two_phones_of_502();
    world.call(a, "502");
    world.run_for(secs(1));
    world.reject(c, 603);
    world.run_for(secs(1));
    assert_eq!(world.ended(a), Some(End::Refused(603)));
    assert_eq!(world.ended(b), Some(End::There));
    world.quiesce();
}

#[test]
fn busy_tells_the_caller_more_than_no_answer() {
    for (first, second) in [(486, 480), (480, 486), (486, 486)] {
        let (mut world, a, b, c) = two_phones_of_502();
        world.call(a, "502");
        world.run_for(secs(1));
        world.reject(b, first);
        world.run_for(secs(1));
        assert_eq!(world.phone(a).status(), Status::Calling { ringing: true });
        world.reject(c, second);
        world.run_for(secs(1));
        assert_eq!(world.ended(a), Some(End::Refused(486)));
        world.quiesce();
    }
}

#[test]
fn a_busy_telephone_is_486_with_a_reason() {
    let mut world = World::new(1);
    let [callee] = world.add_phones(["502"]);
    world.behave(callee, Behaviour::Reject(486));
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "502", &body);
    let refused = caller.wait_status(&mut world, "INVITE", 486);
    assert!(refused.header("Reason").starts_with("Q.850;cause=17"), "{refused:?}");
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    nothing_is_left(&mut world);
}

#[test]
fn a_bye_that_comes_twice_and_one_out_of_order_are_answered() {
    let (mut world, mut caller, callee, dialog) = acknowledged_call();
    caller.say_within(&mut world, &dialog, "BYE", 1, "");
    caller.wait_status(&mut world, "BYE", 500);
    world.run_for(secs(1));
    assert_eq!(world.phone(callee).status(), Status::Talking { held: false });
    let bye = caller.request_within(&dialog, "BYE", 7, "");
    for _ in 0..2 {
        caller.say(&mut world, &bye.0);
        caller.wait_status(&mut world, "BYE", 200);
    }
    caller.say_within(&mut world, &dialog, "BYE", 8, "");
    world.run_for(secs(1));
    assert!(matches!(caller.hear(&mut world).last().map(Sip::status), Some(200 | 481)));
    assert!(world.events_of(callee).contains(&Event::Ended(End::There)));
    nothing_is_left(&mut world);
}
