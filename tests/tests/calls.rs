//! Calls from telephone to telephone, in virtual time.

use std::time::Duration;

use tests::template::Template;
use tests::world::{Behaviour, End, Event, Handset, PhoneId, Status, Weather, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pair() -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    (world, a, b)
}

fn in_call() -> (World, PhoneId, PhoneId) {
    let (mut world, a, b) = pair();
    world.connect_call(a, b);
    (world, a, b)
}

/// The status the caller's call was refused with.
fn refusal(world: &mut World, caller: PhoneId) -> Option<u16> {
    match world.ended(caller) {
        Some(End::Refused(status)) => Some(status),
        _ => None,
    }
}

#[test]
fn two_telephones_hear_each_other() {
    let (mut world, a, b) = in_call();
    assert!(world.hear_each_other(a, b));
    for phone in [a, b] {
        let ear = world.ear(phone);
        assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults, ear.strange), (1, 0, 0, 0));
    }
    world.quiesce();
}

#[test]
fn the_called_telephone_is_told_who_the_store_says_the_caller_is() {
    let (mut world, a, b) = pair();
    world.call(a, "502");
    world.run_for(secs(1));
    assert!(world.events_of(b).contains(&Event::Incoming("501".into())));
}

#[test]
fn the_caller_hears_that_it_rings() {
    let (mut world, a, b) = pair();
    world.behave(b, Behaviour::Ring);
    world.call(a, "502");
    world.run_for(secs(1));
    assert_eq!(world.phone(a).status(), Status::Calling { ringing: true });
    assert!(world.answer(b));
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
}

#[test]
fn either_side_hangs_up() {
    for caller_hangs_up in [true, false] {
        let (mut world, a, b) = in_call();
        let (first, second) = if caller_hangs_up { (a, b) } else { (b, a) };
        world.hang_up(first);
        world.run_for(secs(1));
        assert_eq!((world.ended(first), world.ended(second)), (Some(End::Here), Some(End::There)));
        assert_eq!(world.open_legs(), 0);
        world.quiesce();
    }
}

#[test]
fn both_hang_up_at_once() {
    let (mut world, a, b) = in_call();
    world.hang_up(a);
    world.hang_up(b);
    world.run_for(secs(1));
    assert_eq!((world.phone(a).status(), world.phone(b).status()), (Status::Idle, Status::Idle));
    world.quiesce();
}

#[test]
fn a_busy_telephone_is_486() {
    let (mut world, a, b) = pair();
    world.behave(b, Behaviour::Reject(486));
    world.call(a, "502");
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, a), Some(486));
}

#[test]
fn a_telephone_in_a_call_is_486() {
    let (mut world, _, _) = in_call();
    let [c] = world.add_phones(["503"]);
    world.call(c, "502");
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, c), Some(486));
}

#[test]
fn a_declined_call_is_603() {
    let (mut world, a, b) = pair();
    world.behave(b, Behaviour::Ring);
    world.call(a, "502");
    world.run_for(secs(1));
    assert!(world.reject(b, 603));
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, a), Some(603));
}

#[test]
fn nobody_answering_is_480_and_the_telephone_stops_ringing() {
    let (mut world, a, b) = pair();
    world.behave(b, Behaviour::Ring);
    world.call(a, "502");
    world.run_for(secs(300));
    assert_eq!(refusal(&mut world, a), Some(480));
    assert_eq!(world.phone(b).status(), Status::Idle);
    assert_eq!(world.open_legs(), 0);
}

#[test]
fn an_unknown_number_is_404() {
    let (mut world, a, _) = pair();
    world.call(a, "999");
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, a), Some(404));
}

#[test]
fn a_user_without_a_registered_telephone_is_480() {
    let (mut world, a, _) = pair();
    world.call(a, "503");
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, a), Some(480));
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let (mut world, a, b) = pair();
    world.behave(b, Behaviour::Ring);
    world.call(a, "502");
    world.run_for(secs(1));
    world.hang_up(a);
    world.run_for(secs(1));
    assert_eq!((world.ended(a), world.ended(b)), (Some(End::Here), Some(End::There)));
    world.quiesce();
}

/// RFC 3261 §9.1: the 200 wins, and the caller says BYE. The answer falls anywhere around the CANCEL.
#[test]
fn a_cancel_and_an_answer_may_cross() {
    for millis in 0..12 {
        let (mut world, a, b) = pair();
        world.behave(b, Behaviour::Ring);
        world.call(a, "502");
        world.run_for(secs(1));
        world.answer(b);
        world.run_for(Duration::from_micros(millis * 400));
        world.hang_up(a);
        world.run_for(secs(2));
        assert_eq!((world.phone(a).status(), world.phone(b).status()), (Status::Idle, Status::Idle));
        assert_eq!(world.open_legs(), 0);
        world.quiesce();
    }
}

#[test]
fn a_call_survives_whatever_is_lost() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let [a, b] = world.add_phones(["501", "502"]);
        world.set_weather(Weather { lost: 250, doubled: 100, jitter: Duration::from_millis(50), ..Weather::CALM });
        world.call(a, "502");
        world.run_for(secs(30));
        assert_eq!(world.phone(a).status(), Status::Talking { held: false }, "seed {seed}");
        assert_eq!(world.phone(b).status(), Status::Talking { held: false }, "seed {seed}");
        world.hang_up(a);
        world.run_for(secs(60));
        assert_eq!(world.phone(b).status(), Status::Idle, "seed {seed}");
        world.quiesce();
    }
}

#[test]
fn every_telephone_of_the_user_rings_and_one_answers() {
    let (mut world, a, b) = pair();
    let c = world.add_phone(Handset::of("502"));
    world.register(c);
    world.run_for(secs(1));
    for phone in [b, c] {
        world.behave(phone, Behaviour::Ring);
    }
    world.call(a, "502");
    world.run_for(secs(1));
    assert_eq!((world.phone(b).status(), world.phone(c).status()), (Status::Ringing, Status::Ringing));
    world.answer(c);
    world.run_for(secs(1));
    assert_eq!(world.ended(b), Some(End::There));
    assert!(world.hear_each_other(a, c));
    world.quiesce();
}

#[test]
fn both_telephones_of_a_user_answer_at_once_and_one_of_them_gets_the_call() {
    let (mut world, a, b) = pair();
    let c = world.add_phone(Handset::of("502"));
    world.register(c);
    world.run_for(secs(1));
    world.call(a, "502");
    world.run_for(secs(3));
    let talking = [b, c].into_iter().filter(|phone| world.phone(*phone).status() != Status::Idle).count();
    assert_eq!(talking, 1);
    world.quiesce();
}

#[test]
fn a_telephone_that_declines_does_not_stop_the_others() {
    let (mut world, a, b) = pair();
    let c = world.add_phone(Handset::of("502"));
    world.register(c);
    world.run_for(secs(1));
    world.behave(b, Behaviour::Reject(486));
    world.call(a, "502");
    world.run_for(secs(2));
    assert!(world.hear_each_other(a, c));
}

#[test]
fn a_telephone_that_vanished_ends_the_call_after_a_minute_of_silence() {
    let (mut world, a, b) = in_call();
    world.vanish(b);
    world.run_for(secs(55));
    assert_eq!(world.phone(a).status(), Status::Talking { held: false });
    world.run_for(secs(60));
    assert_eq!(world.ended(a), Some(End::There));
    assert_eq!(world.open_legs(), 0);
}

#[test]
fn a_silent_telephone_that_answers_options_keeps_its_call() {
    let (mut world, a, b) = in_call();
    world.hold(a);
    world.run_for(secs(200));
    assert_eq!(world.phone(b).status(), Status::Talking { held: false });
    world.resume(a);
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
}

#[test]
fn a_full_table_is_503_with_retry_after() {
    let mut world = World::with(1, |settings| settings.max_calls = 1);
    let [a, b, _] = world.add_phones(["501", "502", "504"]);
    world.connect_call(a, b);
    let mut late = Template::new("503", 3);
    let body = late.sdp();
    let invite = late.invite(&mut world, "504", &body);
    let refused = late.wait_status(&mut world, "INVITE", 503);
    let seconds: u32 = refused.header("Retry-After").parse().expect("Retry-After in seconds");
    assert!(seconds > 0, "{refused:?}");
    late.acknowledge_refusal(&mut world, &invite, &refused);
    assert!(world.hear_each_other(a, b));
}

#[test]
fn without_a_free_port_a_call_is_503() {
    let mut world = World::with(1, |settings| settings.ports.truncate(2));
    let [a, b, c, _d] = world.add_phones(["501", "502", "503", "504"]);
    world.connect_call(a, b);
    world.call(c, "504");
    world.run_for(secs(1));
    assert_eq!(refusal(&mut world, c), Some(503));
    world.hang_up(a);
    world.run_for(secs(1));
    world.call(c, "504");
    world.run_for(secs(2));
    assert_eq!(world.phone(c).status(), Status::Talking { held: false });
}

#[test]
fn term_refuses_new_calls_gives_running_ones_ten_seconds_and_ends() {
    let mut world = World::new(1);
    let [a, b, c, _d] = world.add_phones(["501", "502", "503", "504"]);
    world.connect_call(a, b);
    world.stop();
    world.call(c, "504");
    world.run_for(secs(5));
    assert_eq!(refusal(&mut world, c), Some(503));
    assert_eq!(world.phone(a).status(), Status::Talking { held: false });
    assert!(!world.has_stopped());
    world.run_for(secs(7));
    assert_eq!((world.ended(a), world.ended(b)), (Some(End::There), Some(End::There)));
    assert!(world.has_stopped());
}

#[test]
fn term_without_calls_ends_at_once() {
    let (mut world, _, _) = pair();
    world.stop();
    world.run_for(Duration::from_millis(100));
    assert!(world.has_stopped());
}

#[test]
fn telephones_on_udp_and_tcp_talk() {
    use switch::demo::phone::Transport;
    let (mut world, a, _) = pair();
    let c = world.add_phone(Handset { transport: Transport::Tcp, ..Handset::of("503") });
    world.register(c);
    world.run_for(secs(1));
    world.connect_call(a, c);
    assert!(world.hear_each_other(a, c));
    world.hang_up(c);
    world.run_for(secs(1));
    world.connect_call(c, a);
    assert!(world.hear_each_other(a, c));
    world.quiesce();
}
