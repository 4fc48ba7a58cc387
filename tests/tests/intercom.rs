//! Intercom: a call whose telephone answers by itself, where it can.

#![allow(clippy::unwrap_used, reason = "a test")]

use tests::calls::{nothing_is_left, registered, secs};
use tests::world::{Behaviour, End, Handset, Status, World};

#[test]
fn the_headers_of_the_makers_ask_the_telephone_to_answer() {
    let mut world = World::new(1);
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    let body = a.sdp();
    for (number, asks) in [("*80502", true), ("502", false)] {
        a.call(&mut world, number, &body);
        let rung = b.wait_request(&mut world, "INVITE");
        assert_eq!(rung.header("Call-Info").ends_with(";answer-after=0"), asks, "{}", rung.0);
        assert_eq!(rung.header("Alert-Info").contains("info=alert-autoanswer"), asks);
        assert_eq!(rung.header("Answer-Mode") == "Auto", asks, "RFC 5373");
        assert!(rung.header("To").contains("<sip:502@"), "{}", rung.0);
        b.respond(&mut world, &rung, 486, "b", "");
        a.wait_status(&mut world, "INVITE", 486);
    }
    nothing_is_left(&mut world);
}

#[test]
fn a_telephone_that_can_answers_and_another_rings() {
    for auto_answer in [true, false] {
        let mut world = World::new(1);
        let [a] = world.add_phones(["501"]);
        let b = world.add_phone(Handset { auto_answer, behaviour: Behaviour::Ring, ..Handset::of("502") });
        world.register(b);
        world.run_for(secs(1));
        world.call(a, "*80502");
        world.run_for(secs(2));
        if auto_answer {
            assert!(world.hear_each_other(a, b));
        } else {
            assert_eq!(world.phone(b).status(), Status::Ringing);
        }
        world.quiesce();
    }
}

#[test]
fn nobody_is_there_or_the_number_leads_nowhere() {
    let mut world = World::new(1);
    let [a] = world.add_phones(["501"]);
    for (number, status) in [("*80502", 480), ("*80999", 404), ("*80700", 404), ("*80", 404)] {
        assert!(world.call(a, number));
        world.run_for(secs(1));
        assert_eq!(world.ended(a), Some(End::Refused(status)), "{number}");
    }
    world.quiesce();
}

/// Each code behind the last leads to nothing, however many there are.
#[test]
fn a_number_of_nothing_but_codes_leads_nowhere() {
    let mut world = World::new(1);
    let [mut a] = registered(&mut world, ["501"]);
    let body = a.sdp();
    a.call(&mut world, &"*80".repeat(4000), &body);
    a.wait_status(&mut world, "INVITE", 404);
    nothing_is_left(&mut world);
}
