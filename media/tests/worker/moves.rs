//! A leg goes from one worker to another: nothing of its streams breaks, and nothing is handled twice.

use std::time::Duration;

use media::net::Channel;
use media::{Command, Event, LegId};
use rtcp_types::{Compound, Packet};

use crate::world::*;

/// Both legs of a call go to a worker, and are joined there.
fn move_call(world: &mut World, to: usize) {
    world.travel([1, 2], to);
    world.command(Command::Bridge { a: LegId(1), b: LegId(2) });
}

#[test]
fn the_stream_a_telephone_hears_goes_on() {
    let mut world = World::call();
    for round in 0..20 {
        world.talk(1, round * 10..round * 10 + 9);
        // The tenth comes while the legs are nowhere: it waits in the socket.
        world.say(1, &Rtp::sound(1, round * 10 + 9));
        move_call(&mut world, (round as usize + 1) % 2);
        world.turns(3);
        assert_eq!(world.legs(), if round % 2 == 0 { [0, 2] } else { [2, 0] });
    }
    let heard = world.heard(2);
    assert_eq!(heard.len(), 200);
    for (n, packet) in heard.iter().enumerate() {
        assert_eq!(packet.payload, (n as u32).to_be_bytes(), "each is heard once, in its order");
        assert_eq!((packet.ssrc, packet.sequence), (start(2).ssrc, start(2).sequence.wrapping_add(n as u16)));
    }
    for pair in heard.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((160..=200).contains(&step), "the timestamp follows the clock, not {step}");
    }
}

#[test]
fn the_account_of_a_leg_is_that_of_its_whole_life() {
    let mut world = World::call();
    world.talk(1, 0..50);
    move_call(&mut world, 1);
    world.talk(1, 50..60);
    world.talk(1, 62..100);
    world.say(1, &Rtp::sound(1, 99));
    world.turn();
    let stats = world.close(1);
    assert_eq!((stats.received, stats.received_bytes, stats.lost, stats.duplicate), (98, 392, 2, 1));
    assert!(stats.jitter_us < 1000, "another worker is no other clock: {}", stats.jitter_us);
    assert_eq!(stats.peer, Some(phone(1)));
    assert_eq!(world.close(2).sent, 98);
}

#[test]
fn who_was_taken_stays_taken_and_strangers_stay_strangers() {
    let mut world = World::call();
    world.talk(1, 0..5);
    move_call(&mut world, 1);
    for n in 0..5 {
        world.say_from(1, phone(7), &Rtp::sound(7, n));
        world.turns(4);
    }
    world.talk(1, 5..10);
    assert_eq!(world.heard(2).len(), 10);
    let stats = world.close(1);
    assert_eq!((stats.strangers, stats.peer), (5, Some(phone(1))));
}

#[test]
fn a_key_held_meanwhile_is_one_key() {
    let mut world = World::call();
    world.talk(1, 0..1);
    for n in 0..8u16 {
        let [high, low] = ((n + 1).min(5) * 160).to_be_bytes();
        let payload = vec![5, if n >= 5 { 0x8a } else { 10 }, high, low];
        world.say(1, &Rtp { payload_type: 101, marker: n == 0, sequence: 101 + n, timestamp: 160, ssrc: 1, payload });
        if n % 3 == 2 {
            move_call(&mut world, usize::from(n == 2));
        }
        world.turns(4);
    }
    let keys: Vec<_> = world.events.iter().filter(|event| matches!(event, Event::Dtmf { .. })).collect();
    assert_eq!(keys, [&Event::Dtmf { leg: LegId(1), digit: 5, duration: Duration::from_millis(100) }]);
}

#[test]
fn digits_being_sent_are_sent_to_their_end() {
    let heard = |moving: bool| {
        let mut world = World::call();
        world.talk(1, 0..3);
        world.command(Command::SendDigits { leg: LegId(2), digits: vec![1, 2, 3] });
        for turn in 0..200 {
            match moving && turn % 7 == 3 {
                true => world.travel([2], usize::from(turn % 2 == 0)),
                false => world.turn(),
            }
        }
        assert_eq!(world.legs() == [2, 0], !moving || world.legs()[1] == 0);
        let heard = world.heard(2).into_iter().filter(|packet| packet.payload_type == 101);
        heard.map(|packet| (packet.sequence, packet.payload)).collect::<Vec<_>>()
    };
    let still = heard(false);
    assert_eq!(still.len(), 24);
    let keys = |packets: &[(u16, Vec<u8>)]| packets.iter().map(|(_, payload)| payload[0]).collect::<Vec<_>>();
    assert_eq!(keys(&heard(true)), keys(&still));
    let numbers: Vec<u16> = heard(true).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, still.iter().map(|(number, _)| *number).collect::<Vec<_>>());
}

#[test]
fn reports_go_on_counting() {
    let mut world = World::call();
    let mut sent = Vec::new();
    for round in 0..4 {
        world.talk(1, round * 500..round * 500 + 500);
        for (to, report) in world.reports(2) {
            assert_eq!(to, phone_rtcp(2));
            let first = Compound::parse(&report).unwrap().next().unwrap().unwrap();
            let Packet::Sr(report) = first else { panic!("sound is sent: a sender report is due") };
            assert_eq!(report.ssrc(), start(2).ssrc);
            sent.push((report.ntp_timestamp(), report.packet_count()));
        }
        move_call(&mut world, (round as usize + 1) % 2);
    }
    assert!((5..=16).contains(&sent.len()), "one in five seconds, not {}", sent.len());
    assert!(sent.is_sorted(), "{sent:?}");
    assert!(sent.last().unwrap().1 > 1500);
}

#[test]
fn a_telephone_that_vanished_is_told_of_though_its_leg_moves() {
    let mut world = World::call();
    world.talk(1, 0..1);
    for second in 0..125 {
        world.now += Duration::from_secs(1);
        world.travel([1], second % 2);
        world.turn();
    }
    let silent = world.events.iter().filter(|event| matches!(event, Event::Silent { leg: LegId(1), .. })).count();
    assert_eq!(silent, 2);
}

#[test]
fn what_was_no_leg_s_is_thrown_away_even_where_the_leg_goes_at_once() {
    let mut world = World::new();
    world.say(1, &Rtp::sound(1, 0));
    world.arrive(1, Channel::Rtcp, phone_rtcp(1), vec![1, 2, 3]);
    world.open(1);
    world.travel([1], 1);
    world.say(1, &Rtp::sound(1, 1));
    world.turns(8);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.unusable), (1, 0));
}

#[test]
fn the_party_that_stays_hears_nothing_until_it_is_joined_again() {
    let mut world = World::call();
    world.talk(1, 0..3);
    world.travel([1], 1);
    world.talk(1, 3..6);
    assert_eq!(world.heard(2).len(), 3);
    world.travel([1], 0);
    world.command(Command::Bridge { a: LegId(1), b: LegId(2) });
    world.talk(1, 6..9);
    let heard = world.heard(2);
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].sequence, start(2).sequence.wrapping_add(3));
}

#[test]
fn a_leg_closed_before_it_came_out_is_closed_and_does_not_come_out() {
    let mut world = World::call();
    world.command(Command::Detach(LegId(1)));
    world.command(Command::Close(LegId(1)));
    world.turn();
    assert!(matches!(world.events[..], [Event::Closed { leg: LegId(1), .. }]));
    assert_eq!(world.legs(), [1, 0]);
}

#[test]
fn the_port_of_a_leg_is_open_wherever_it_is_and_shut_when_it_is_closed() {
    let mut world = World::call();
    world.travel([1, 2], 1);
    assert_eq!(world.net.open.len(), 2);
    world.close(1);
    assert_eq!(world.net.open.iter().copied().collect::<Vec<_>>(), [port(2)]);
}

#[test]
fn a_leg_whose_name_or_port_another_has_is_closed() {
    let mut world = World::call();
    world.command(Command::Detach(LegId(1)));
    world.turn();
    // A sound engine would not.
    world.open(1);
    world.arrive_at(0);
    world.turn();
    assert!(matches!(world.events[..], [Event::Closed { leg: LegId(1), .. }]));
    assert_eq!(world.legs(), [2, 0]);
}
