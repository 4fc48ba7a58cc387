//! Who may speak at a leg's port. The rules are in `latch`; here is what they come to.

use std::net::SocketAddr;

use media::net::Channel;
use media::{Command, LegId};

use crate::world::*;

fn elsewhere(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 50_000))
}

#[test]
fn until_a_packet_comes_sound_goes_to_the_signalled_address() {
    let mut world = World::call();
    world.talk(1, 0..1);
    assert_eq!(world.heard(2).len(), 1);
}

#[test]
fn a_telephone_behind_a_nat_is_sent_to_where_it_sends_from() {
    let mut world = World::call();
    world.say_from(2, elsewhere(2), &Rtp::sound(2, 0));
    world.turn();
    world.talk(1, 0..1);
    assert_eq!(world.sent(2)[0].0, elsewhere(2));
    assert_eq!(world.close(2).peer, Some(elsewhere(2)));
}

#[test]
fn a_stranger_is_not_heard_not_sent_to_and_counted() {
    let mut world = World::call();
    world.talk(1, 0..1);
    world.say_from(1, elsewhere(9), &Rtp::sound(1, 1));
    world.turn();
    world.talk(2, 0..1);
    assert_eq!(world.heard(1).len(), 1);
    assert_eq!(world.heard(2).len(), 1);
    assert_eq!(world.close(1).strangers, 1);
}

#[test]
fn after_five_seconds_no_other_source_is_taken() {
    let mut world = World::call();
    world.wait(5);
    world.say_from(1, elsewhere(9), &Rtp::sound(1, 0));
    world.turn();
    assert_eq!(world.heard(2), []);
    world.talk(1, 0..1);
    assert_eq!(world.heard(2).len(), 1);
}

#[test]
fn only_rtp_as_agreed_takes_a_leg() {
    let mut world = World::call();
    world.arrive(1, Channel::Rtp, elsewhere(9), b"GET / HTTP/1.1\r\n\r\n".to_vec());
    world.say_from(1, elsewhere(9), &Rtp { payload_type: 34, ..Rtp::sound(1, 0) });
    let mut old = Rtp::sound(1, 0).bytes();
    old[0] = 0x40;
    world.arrive(1, Channel::Rtp, elsewhere(9), old);
    world.turn();
    world.say_from(1, elsewhere(3), &Rtp::sound(1, 0));
    world.turn();
    let stats = world.close(1);
    assert_eq!((stats.unusable, stats.peer), (3, Some(elsewhere(3))));
}

#[test]
fn a_telephone_that_moves_is_followed() {
    let mut world = World::call();
    world.talk(1, 0..2);
    let moved: SocketAddr = "198.51.100.20:7000".parse().unwrap();
    world.update(1, |stream| stream.remote = Some(moved));
    world.say(1, &Rtp::sound(1, 2));
    world.turn();
    world.say_from(1, moved, &Rtp::sound(1, 3));
    world.turn();
    world.talk(2, 0..1);
    assert_eq!(world.sent(1)[0].0, moved);
    let stats = world.close(1);
    assert_eq!((stats.strangers, stats.peer), (1, Some(moved)));
}

#[test]
fn after_a_long_hold_a_telephone_is_heard_through_the_new_mapping_of_its_nat() {
    let mut world = World::call();
    world.say_from(1, elsewhere(1), &Rtp::sound(1, 0));
    world.turn();
    for on_hold in [true, false] {
        world.wait(300);
        world.update(1, |stream| (stream.send, stream.receive) = (!on_hold, !on_hold));
    }
    world.talk(2, 0..1);
    assert_eq!(world.sent(1)[0].0, elsewhere(1), "as long as no other is known");
    world.say_from(1, elsewhere(3), &Rtp::sound(1, 15_000));
    // A first number so far from the last is believed when the second follows it.
    world.say_from(1, elsewhere(3), &Rtp::sound(1, 15_001));
    world.turn();
    world.talk(2, 1..2);
    assert_eq!(world.sent(1)[0].0, elsewhere(3));
    assert!(!world.sent(2).is_empty());
    let stats = world.close(1);
    assert_eq!((stats.strangers, stats.peer), (0, Some(elsewhere(3))));
}

#[test]
fn a_leg_with_no_address_takes_nobody() {
    let mut world = World::new();
    world.command(Command::Open { leg: LegId(1), port: port(1), start: start(1) });
    world.update(1, |stream| stream.remote = None);
    world.turn();
    world.talk(1, 0..1);
    assert_eq!(world.close(1).strangers, 1);
}
