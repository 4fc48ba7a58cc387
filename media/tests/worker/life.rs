//! From Open to Closed.

use std::time::Duration;

use media::net::Channel;
use media::{Command, Event, LegId, LegStats};

use crate::world::*;

#[test]
fn what_waited_at_the_port_is_thrown_away() {
    let mut world = World::new();
    for n in 0..50 {
        world.say(1, &Rtp::sound(1, n));
    }
    world.arrive(1, Channel::Rtcp, phone_rtcp(1), vec![1, 2, 3]);
    world.open(1);
    world.turns(8);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.unusable, stats.strangers, stats.peer), (0, 0, 0, None));
}

#[test]
fn a_port_keeps_what_comes_only_while_a_leg_is_there() {
    let mut world = World::call();
    assert_eq!(world.net.open.iter().copied().collect::<Vec<_>>(), [port(1), port(2)]);
    world.say(1, &Rtp::sound(1, 0));
    world.arrive(1, Channel::Rtcp, phone_rtcp(1), vec![1, 2, 3]);
    // The port has another leg in the same turn.
    world.command(Command::Close(LegId(1)));
    world.command(Command::Open { leg: LegId(3), port: port(1), start: start(3) });
    world.turn();
    assert_eq!(world.net.open.len(), 2);
    world.say(1, &Rtp::sound(1, 1));
    world.close(3);
    world.close(2);
    assert!(world.net.open.is_empty());
    assert!(world.net.waiting.values().all(|waiting| waiting.is_empty()), "no memory is held");
}

#[test]
fn a_leg_that_ends_before_its_first_turn_leaves_its_port_alone() {
    let mut world = World::new();
    world.say(1, &Rtp::sound(1, 0));
    world.open(1);
    let stats = world.close(1);
    assert_eq!((stats, world.legs()), (LegStats::default(), [0, 0]));
    assert_eq!(world.net.waiting.values().map(|waiting| waiting.len()).sum::<usize>(), 1, "nobody has asked the port");
    // The next one at the port is opened, once, and what waits is not for it.
    world.open(2);
    world.command(Command::Close(LegId(2)));
    world.command(Command::Open { leg: LegId(3), port: port(1), start: start(3) });
    world.turn();
    assert_eq!(world.net.open.iter().copied().collect::<Vec<_>>(), [port(1)]);
    assert_eq!(world.close(3).received, 0);
    assert!(world.net.open.is_empty());
}

#[test]
fn nothing_is_accepted_before_the_first_update() {
    let mut world = World::new();
    world.command(Command::Open { leg: LegId(1), port: port(1), start: start(1) });
    world.turn();
    world.talk(1, 0..3);
    world.wait(100);
    assert_eq!(world.events, []);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.unusable, stats.peer), (0, 3, None));
}

#[test]
fn every_leg_is_closed_once_and_its_port_and_name_may_be_used_again() {
    let mut world = World::call();
    world.talk(1, 0..3);
    assert_eq!(world.legs(), [2, 0]);
    world.command(Command::Close(LegId(1)));
    world.command(Command::Close(LegId(1)));
    world.command(Command::Bridge { a: LegId(1), b: LegId(2) });
    world.turn();
    assert_eq!(world.legs(), [1, 0]);
    let closed = world.events.iter().filter(|event| matches!(event, Event::Closed { leg: LegId(1), .. })).count();
    assert_eq!(closed, 1);
    world.events.clear();
    world.open(1);
    world.turn();
    world.talk(1, 0..3);
    assert_eq!(world.close(1).received, 3);
}

#[test]
fn a_second_leg_at_a_port_is_closed_at_once_and_the_first_lives() {
    let mut world = World::call();
    world.command(Command::Open { leg: LegId(9), port: port(1), start: start(9) });
    assert_eq!(world.legs(), [3, 0]);
    world.turn();
    assert!(matches!(world.events[..], [Event::Closed { leg: LegId(9), .. }]));
    world.talk(1, 0..1);
    assert_eq!(world.heard(2).len(), 1);
}

#[test]
fn a_second_leg_of_the_same_name_is_ignored() {
    let mut world = World::call();
    world.command(Command::Open { leg: LegId(1), port: port(9), start: start(9) });
    world.talk(1, 0..1);
    assert_eq!(world.heard(2).len(), 1);
    assert_eq!(world.close(1).received, 1);
}

#[test]
fn commands_for_legs_that_are_not_there_are_ignored() {
    let mut world = World::new();
    world.update(5, |_| ());
    world.command(Command::Bridge { a: LegId(5), b: LegId(6) });
    world.command(Command::Echo(LegId(5)));
    world.command(Command::SendDigits { leg: LegId(5), digits: vec![1] });
    world.command(Command::Close(LegId(5)));
    world.turn();
    assert_eq!((world.legs(), world.events.len()), ([0, 0], 0));
}

#[test]
fn the_party_that_stays_hears_nothing_and_may_be_joined_again() {
    let mut world = World::call();
    world.talk(1, 0..5);
    world.close(1);
    world.talk(2, 0..5);
    world.open(3);
    world.command(Command::Bridge { a: LegId(2), b: LegId(3) });
    world.turn();
    world.talk(3, 900..901);
    let heard = world.heard(2);
    assert_eq!(heard.len(), 6);
    assert_eq!(heard[5].sequence, heard[4].sequence.wrapping_add(1));
}

#[test]
fn a_telephone_that_vanished_is_told_of_every_minute() {
    let mut world = World::call();
    world.talk(1, 0..1);
    for _ in 0..125 {
        world.now += Duration::from_secs(1);
        world.turn();
    }
    let mut silent: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Silent { leg, quiet } => Some((leg.0, quiet.as_secs())),
            _ => None,
        })
        .collect();
    silent.sort();
    assert_eq!(silent, [(1, 60), (1, 120), (2, 60), (2, 120)]);
    world.events.clear();
    world.talk(1, 1..2);
    world.wait(61);
    assert_eq!(
        world.events,
        [
            Event::Silent { leg: LegId(1), quiet: Duration::from_secs(60) },
            Event::Silent { leg: LegId(2), quiet: Duration::from_secs(180) }
        ]
    );
}

#[test]
fn the_account_of_a_leg_is_whole() {
    let mut world = World::call();
    world.talk(1, 0..100);
    world.talk(2, 0..50);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.received_bytes, stats.sent, stats.sent_bytes), (100, 400, 50, 200));
    assert_eq!((stats.lost, stats.jitter_us, stats.peer), (0, 0, Some(phone(1))));
}

#[test]
fn closing_all_says_so_for_each() {
    let mut world = World::call();
    world.close_all();
    world.turn();
    assert_eq!((world.legs(), world.events.len()), ([0, 0], 2));
}

#[test]
fn a_leg_tells_what_it_has_counted_without_ending() {
    let mut world = World::call();
    world.talk(1, 0..3);
    world.command(Command::Count(LegId(1)));
    world.command(Command::Count(LegId(99)));
    world.turn();
    let counted = world.events.iter().map(|event| match event {
        Event::Counted { leg, stats } => (leg.0, stats.received),
        other => panic!("{other:?}"),
    });
    assert_eq!(counted.collect::<Vec<_>>(), [(1, 3)]);
    world.events.clear();
    world.talk(1, 3..5);
    assert_eq!(world.close(1).received, 5);
}
