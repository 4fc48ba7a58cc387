//! Session timers (RFC 4028), in both roles: no call outlives its telephones, and none is ended that is refreshed.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tests::template::{Dialog, Sip, Template};
use tests::world::World;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// 501 calls 502 and both have answered; what each adds to its INVITE or its 200.
fn talking(caller_adds: &str, callee_adds: &str) -> (World, Template, Sip, Template, Sip) {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    caller.adds(caller_adds);
    caller.call(&mut world, "502", &body);
    caller.adds("");
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.adds(callee_adds);
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.adds("");
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    (world, caller, ok, callee, invite)
}

/// Lets time pass, both telephones answering whether they are still there.
fn pass(world: &mut World, phones: [&mut Template; 2], time: Duration) -> [Vec<Sip>; 2] {
    let mut heard = [Vec::new(), Vec::new()];
    let [one, two] = phones;
    for _ in 0..time.as_secs() {
        world.run_for(secs(1));
        for (phone, heard) in [&mut *one, &mut *two].into_iter().zip(&mut heard) {
            for sip in phone.hear(world).into_iter().filter(|sip| sip.status() != 100) {
                match sip.is("OPTIONS") {
                    true => phone.respond(world, &sip, 200, "", ""),
                    false => heard.push(sip),
                }
            }
        }
    }
    heard
}

fn first<'a>(heard: &'a [Sip], method: &str) -> &'a Sip {
    heard.iter().find(|sip| sip.is(method)).unwrap_or_else(|| panic!("no {method} in {heard:?}"))
}

#[track_caller]
fn all_are_hung_up(world: &mut World, heard: [Vec<Sip>; 2], phones: [&mut Template; 2]) {
    for (phone, heard) in phones.into_iter().zip(heard) {
        let bye = first(&heard, "BYE").clone();
        assert!(!bye.header("Reason").is_empty());
        phone.respond(world, &bye, 200, "", "");
    }
    world.run_for(secs(40));
    assert!(world.is_quiet());
    world.quiesce();
}

#[test]
fn section_7_2_what_the_called_telephone_grants_is_kept_and_refreshed_at_half_time_by_update() {
    let (mut world, mut caller, _, mut callee, invite) =
        talking("", "Session-Expires: 200;refresher=uac\r\nRequire: timer\r\nAllow: INVITE, UPDATE\r\n");
    assert!(invite.header("Supported").contains("timer"), "{}", invite.0);
    assert_eq!(invite.header("Session-Expires"), "1800;refresher=uac");
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(98));
    assert!(heard.iter().all(Vec::is_empty), "{heard:?}");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(4));
    let update = first(&heard, "UPDATE").clone();
    assert_eq!((update.header("Session-Expires"), update.body()), ("200;refresher=uac", ""));
    callee.adds("Session-Expires: 200;refresher=uac\r\n");
    callee.respond(&mut world, &update, 200, "", "");
    callee.adds("");
    // The second refresh is never answered, and nor is anything else: after 64·T1 the call is over.
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(102));
    assert!(first(&heard, "UPDATE").number() > update.number());
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(40));
    all_are_hung_up(&mut world, heard, [&mut caller, &mut callee]);
}

#[test]
fn a_telephone_without_update_is_refreshed_by_reinvite_with_the_same_description() {
    let (mut world, mut caller, _, mut callee, invite) =
        talking("", "Session-Expires: 100;refresher=uac\r\nAllow: INVITE\r\n");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(52));
    let refresh = first(&heard, "INVITE").clone();
    assert_eq!(refresh.body(), invite.body(), "RFC 4028 §7.4: the same offer, its version not moved");
    assert_eq!(refresh.header("Session-Expires"), "100;refresher=uac");
    callee.respond(&mut world, &refresh, 200, "", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    // Its 200 grants no timer any more: the session does not expire.
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(400));
    assert!(heard.iter().flatten().all(|sip| !sip.is("BYE") && !sip.is("INVITE")), "{heard:?}");
    let client = world.log_in("501");
    assert_eq!(world.calls(client)[0]["state"], "connected");
}

#[test]
fn an_update_that_is_not_taken_after_all_is_followed_by_a_reinvite() {
    let (mut world, mut caller, _, mut callee, _) =
        talking("", "Session-Expires: 100;refresher=uac\r\nAllow: INVITE, UPDATE\r\n");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(52));
    callee.respond(&mut world, first(&heard, "UPDATE"), 405, "", "");
    let offer = callee.wait_request(&mut world, "INVITE");
    callee.adds("Session-Expires: 100;refresher=uac\r\n");
    callee.respond(&mut world, &offer, 200, "", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
}

#[test]
fn section_7_3_a_telephone_that_wants_longer_sessions_is_asked_again() {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let first = callee.wait_request(&mut world, "INVITE");
    callee.adds("Min-SE: 3600\r\n");
    callee.respond(&mut world, &first, 422, "b", "");
    callee.adds("");
    callee.wait_request(&mut world, "ACK");
    let second = callee.wait_request(&mut world, "INVITE");
    assert_eq!(second.header("Session-Expires"), "3600;refresher=uac");
    assert_eq!((second.header("Min-SE"), second.number()), ("3600", 2));
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    // It is given what it wanted, and still refuses: then that is its answer.
    callee.adds("Min-SE: 3600\r\n");
    callee.respond(&mut world, &second, 422, "b", "");
    caller.wait(&mut world, |sip| sip.status() >= 300 && sip.number() == 2);
    world.run_for(secs(40));
    world.quiesce();
}

#[test]
fn section_9_a_caller_that_refreshes_is_granted_it_and_hung_up_when_it_does_not() {
    let adds = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let (mut world, mut caller, ok, mut callee, _) = talking(adds, "");
    assert_eq!((ok.header("Session-Expires"), ok.header("Require")), ("120;refresher=uac", "timer"));
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(80));
    assert!(heard.iter().all(Vec::is_empty), "{heard:?}");
    caller.adds(adds);
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "UPDATE", 3, "");
    caller.adds("");
    let refreshed = caller.wait_status(&mut world, "UPDATE", 200);
    assert_eq!(refreshed.header("Session-Expires"), "120;refresher=uac");
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(86));
    assert!(heard.iter().all(Vec::is_empty), "{heard:?}");
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(10));
    all_are_hung_up(&mut world, heard, [&mut caller, &mut callee]);
}

#[test]
fn section_6_too_short_a_session_is_refused_with_the_least_there_is() {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    caller.adds("Supported: timer\r\nSession-Expires: 30\r\n");
    caller.call(&mut world, "502", &body);
    let refused = caller.wait_status(&mut world, "INVITE", 422);
    assert_eq!(refused.header("Min-SE"), "90");
    world.run_for(secs(1));
    assert!(callee.hear(&mut world).is_empty());
}

#[test]
fn a_refresh_that_meets_another_failure_is_tried_again_until_the_session_ends() {
    let (mut world, mut caller, _, mut callee, _) =
        talking("", "Session-Expires: 200;refresher=uac\r\nAllow: INVITE, UPDATE\r\n");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(102));
    callee.respond(&mut world, first(&heard, "UPDATE"), 503, "", "");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(42));
    callee.respond(&mut world, first(&heard, "UPDATE"), 491, "", "");
    let [_, heard] = pass(&mut world, [&mut caller, &mut callee], secs(40));
    callee.respond(&mut world, first(&heard, "UPDATE"), 500, "", "");
    let heard = pass(&mut world, [&mut caller, &mut callee], secs(30));
    all_are_hung_up(&mut world, heard, [&mut caller, &mut callee]);
}
