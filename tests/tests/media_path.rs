//! Sound and digits between telephones, in virtual time.

use std::time::Duration;

use tests::world::{Behaviour, Codec, Event, Handset, Hold, PhoneId, World, ports};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn in_call() -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.connect_call(a, b);
    (world, a, b)
}

/// S63, S64: what the held side hears pauses; SSRC, sequence and timestamps go on.
#[test]
fn hold_and_resume_do_not_break_the_stream() {
    for (caller_holds, how) in [(true, Hold::SendOnly), (false, Hold::SendOnly), (true, Hold::Inactive)] {
        let mut world = World::new(1);
        let [a, b] = ["501", "502"].map(|user| world.add_phone(Handset { hold: how, ..Handset::of(user) }));
        [a, b].into_iter().for_each(|phone| world.register(phone));
        world.run_for(secs(1));
        world.connect_call(a, b);
        let (holder, held) = if caller_holds { (a, b) } else { (b, a) };
        for _ in 0..3 {
            assert!(world.hold(holder));
            world.run_for(secs(1));
            assert!(world.events_of(holder).contains(&Event::Held(true)));
            world.listen();
            assert_eq!(world.ear(holder).tone(), None, "the holder hears nothing");
            assert!(world.resume(holder));
            world.run_for(secs(1));
            assert!(world.hear_each_other(a, b));
        }
        for phone in [holder, held] {
            let ear = world.ear(phone);
            assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults, ear.strange), (1, 0, 0, 0));
        }
        world.quiesce();
    }
}

/// Each port is another media thread's: no two legs begin on one.
fn apart() -> World {
    World::with(1, |settings| settings.ports = ports(24))
}

#[test]
fn legs_on_different_threads_are_brought_together_and_nothing_is_lost() {
    let mut world = apart();
    let [a, b] = world.add_phones(["501", "502"]);
    for _ in 0..3 {
        world.connect_call(a, b);
        world.run_for(secs(1));
        assert!(world.hear_each_other(a, b));
        assert!(world.dial_digits(a, "12#"));
        world.run_for(secs(1));
        assert!(world.hold(b));
        world.run_for(secs(1));
        assert!(world.resume(b));
        world.run_for(secs(1));
        assert!(world.hear_each_other(a, b));
        for phone in [a, b] {
            let ear = world.ear(phone);
            assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults, ear.strange), (1, 0, 0, 0));
        }
        assert_eq!(world.ear(b).digits(), "12#");
        world.hang_up(a);
        world.run_for(secs(1));
    }
    assert_eq!(world.moved_legs(), 3);
    world.quiesce();
}

/// Whenever the caller hangs up: before the two were joined, while the callee's leg is on its way, or after.
#[test]
fn a_leg_on_its_way_is_closed_when_the_call_ends() {
    for wait in 0..80 {
        let mut world = apart();
        let [a, b] = world.add_phones(["501", "502"]);
        world.call(a, "502");
        world.run_for(Duration::from_millis(wait));
        world.hang_up(b);
        world.hang_up(a);
        world.run_for(secs(1));
        assert_eq!(world.open_legs(), 0, "after {wait} ms");
        world.quiesce();
    }
}

/// A second of a phone that never heard that its call is over: PCMU, a packet each 20 ms.
fn speak_to(world: &mut World, port: media::Port, second: u32) {
    for n in second * 50..second * 50 + 50 {
        let mut packet = vec![0x80, 0, (n >> 8) as u8, n as u8];
        packet.extend((n * 160).to_be_bytes());
        packet.extend(*b"lost");
        packet.extend([0x2a; 160]);
        world.send_rtp(([10, 0, 9, 9], 4000).into(), port, packet);
        world.run_for(Duration::from_millis(20));
    }
}

#[test]
fn a_phone_that_never_heard_its_bye_and_goes_on_sending_is_in_nobody_s_call() {
    let mut world = World::with(1, |settings| settings.ports.truncate(4));
    let [a, b, c] = world.add_phones(["501", "502", "503"]);
    world.connect_call(a, b);
    let ports = world.used_ports();
    world.vanish(b);
    world.hang_up(a);
    world.run_for(secs(1));
    // While the BYE is repeated the port is kept, then it is guarded.
    assert_eq!((world.free_ports(), world.guarded_ports()), (3, 0));
    world.run_for(secs(35));
    assert_eq!((world.free_ports(), world.guarded_ports()), (3, 1));
    let [port] = world.used_ports()[..] else { panic!("one port is guarded") };
    assert!(ports.contains(&port));
    for second in 0..150 {
        speak_to(&mut world, port, second);
        if second % 30 == 5 {
            world.connect_call(a, c);
            world.run_for(secs(1));
            assert!(world.hear_each_other(a, c));
            assert_eq!((world.ear(a).sources(), world.ear(c).sources(), world.ear(c).strange), (1, 1, 0));
            assert_eq!(world.used_ports().iter().filter(|used| **used == port).count(), 1, "nobody else is there");
            world.hang_up(a);
            world.run_for(secs(1));
        }
    }
    assert_eq!((world.free_ports(), world.guarded_ports()), (3, 1));
    world.run_for(secs(130));
    assert_eq!((world.free_ports(), world.guarded_ports()), (4, 0));
    world.quiesce();
}

#[test]
fn a_minority_of_the_ports_is_guarded() {
    let mut world = World::with(1, |settings| settings.ports.truncate(8));
    let [a, b, c, d] = world.add_phones(["501", "502", "503", "504"]);
    world.connect_call(a, b);
    world.connect_call(c, d);
    [a, b, c, d].into_iter().for_each(|phone| world.vanish(phone));
    // A minute of silence, a question that nobody answers, a BYE that nobody answers.
    world.run_for(secs(60 + 32 + 32 + 5));
    assert_eq!((world.free_ports(), world.guarded_ports()), (6, 2));
    world.run_for(secs(60));
    assert_eq!((world.free_ports(), world.guarded_ports()), (8, 0));
}

#[test]
fn both_may_hold_at_once_and_resume() {
    let (mut world, a, b) = in_call();
    assert!(world.hold(a) && world.hold(b));
    world.run_for(secs(10));
    assert!(world.events_of(a).contains(&Event::Held(true)));
    assert!(world.events_of(b).contains(&Event::Held(true)));
    assert!(world.resume(a));
    world.run_for(secs(1));
    assert!(world.resume(b));
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
}

#[test]
fn digits_are_relayed_once_each_without_a_break() {
    let (mut world, a, b) = in_call();
    assert!(world.dial_digits(a, "1234567890*#"));
    assert!(world.dial_digits(b, "99"));
    world.run_for(secs(5));
    assert_eq!((world.ear(b).digits(), world.ear(a).digits()), ("1234567890*#", "99"));
    assert_eq!((world.ear(b).lost, world.ear(b).timestamp_faults), (0, 0));
    assert!(world.hear_each_other(a, b));
}

#[test]
fn star_43_lets_the_caller_hear_himself() {
    let mut world = World::new(1);
    let [a] = world.add_phones(["501"]);
    assert!(world.call(a, "*43"));
    world.run_for(secs(1));
    assert!(world.hears_itself(a));
    world.hang_up(a);
    world.run_for(secs(1));
    assert_eq!(world.open_legs(), 0);
    world.quiesce();
}

#[test]
fn what_both_speak_is_passed_through() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let mut world = World::new(1);
        let codecs = vec![codec, Codec::Event];
        let [a, b] =
            ["501", "502"].map(|user| world.add_phone(Handset { codecs: codecs.clone(), ..Handset::of(user) }));
        [a, b].into_iter().for_each(|phone| world.register(phone));
        world.run_for(secs(1));
        world.connect_call(a, b);
        world.run_for(secs(1));
        assert!(codec == Codec::G722 || world.hear_each_other(a, b), "{codec:?}");
        for phone in [a, b] {
            let ear = world.ear(phone);
            assert!(ear.codecs.contains(&codec) && ear.packets > 40, "{codec:?}: {ear:?}");
            assert_eq!((ear.lost, ear.timestamp_faults, ear.strange), (0, 0, 0), "{codec:?}");
        }
    }
}

#[test]
fn telephones_without_a_common_codec_do_not_get_through() {
    let mut world = World::new(1);
    let a = world.add_phone(Handset { codecs: vec![Codec::Pcmu], ..Handset::of("501") });
    let b = world.add_phone(Handset { codecs: vec![Codec::Pcma], behaviour: Behaviour::Ring, ..Handset::of("502") });
    [a, b].into_iter().for_each(|phone| world.register(phone));
    world.run_for(secs(1));
    world.call(a, "502");
    world.run_for(secs(1));
    world.answer(b);
    world.run_for(secs(1));
    assert_eq!(world.ended(a), Some(tests::world::End::Refused(488)));
    assert_eq!(world.open_legs(), 0);
    world.quiesce();
}
