//! What one telephone says, the other hears, as one continuous stream.

use std::net::SocketAddr;

use media::{Codec, Command, LegId, PayloadMap};

use crate::world::*;

/// A leg's port as a telephone would name it.
fn at_our(leg: u64) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], port(leg).0))
}

#[test]
fn each_hears_the_other_with_the_ssrc_of_its_own_leg() {
    let mut world = World::call();
    world.talk(1, 0..3);
    world.talk(2, 0..3);
    for (talker, listener) in [(1u64, 2u64), (2, 1)] {
        let heard = world.heard(listener);
        let begin = start(listener);
        let expected: Vec<_> = (0..3u32)
            .map(|n| Rtp {
                marker: n == 0,
                sequence: begin.sequence.wrapping_add(n as u16),
                timestamp: begin.timestamp.wrapping_add(160 * n),
                ssrc: begin.ssrc,
                ..Rtp::sound(talker as u32, n)
            })
            .collect();
        assert_eq!(heard, expected);
    }
}

#[test]
fn loss_and_disorder_stay_visible_and_doubles_go() {
    let mut world = World::call();
    for n in [0, 1, 4, 3, 3, 6, 4] {
        world.say(1, &Rtp::sound(1, n));
    }
    world.turn();
    let numbers: Vec<_> = world.heard(2).iter().map(|packet| packet.sequence.wrapping_sub(start(2).sequence)).collect();
    assert_eq!(numbers, [0, 1, 4, 3, 6]);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.duplicate, stats.reordered, stats.lost), (5, 2, 1, 2));
}

#[test]
fn another_ssrc_goes_on_where_the_last_one_was() {
    let mut world = World::call();
    world.talk(1, 0..10);
    world.say(1, &Rtp { sequence: 9, timestamp: 12, ..Rtp::sound(0xabcd, 0) });
    world.turn();
    let heard = world.heard(2);
    let [.., last, first] = &heard[..] else { panic!() };
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    assert_eq!(first.timestamp, last.timestamp.wrapping_add(160));
    assert_eq!((first.marker, first.ssrc), (true, last.ssrc));
}

#[test]
fn a_new_party_goes_on_where_the_last_one_was_and_the_old_one_hears_nothing() {
    let mut world = World::call();
    world.open(3);
    world.turn();
    world.talk(1, 0..10);
    world.command(Command::Bridge { a: LegId(3), b: LegId(2) });
    world.turns(200);
    world.talk(3, 5000..5002);
    world.talk(1, 10..12);
    let heard = world.heard(2);
    assert_eq!(heard.len(), 12);
    assert_eq!(heard[10].sequence, heard[9].sequence.wrapping_add(1));
    // From the ninth packet, 20 ms to the end of the talk and a second of silence.
    assert_eq!(heard[10].timestamp, heard[9].timestamp.wrapping_add(160 + 8000));
    assert!(heard[10].marker && !heard[11].marker);
    assert_eq!(world.heard(1), []);
    assert_eq!(world.heard(3), []);
}

#[test]
fn joining_those_who_are_joined_breaks_nothing() {
    let mut world = World::call();
    world.talk(1, 0..2);
    world.command(Command::Bridge { a: LegId(2), b: LegId(1) });
    world.talk(1, 2..4);
    let heard = world.heard(2);
    assert_eq!(heard.iter().filter(|packet| packet.marker).count(), 1);
}

#[test]
fn an_echo_is_heard_by_the_one_who_spoke() {
    let mut world = World::call();
    world.command(Command::Echo(LegId(1)));
    world.talk(1, 0..3);
    world.talk(2, 0..3);
    let heard = world.heard(1);
    assert_eq!(heard.iter().map(|packet| &packet.payload[..]).collect::<Vec<_>>(), [0u32, 1, 2].map(u32::to_be_bytes));
    assert_eq!(heard[0].ssrc, start(1).ssrc);
    assert_eq!(world.heard(2), []);
}

#[test]
fn a_stream_that_comes_back_to_us_goes_round_once_rfc_3550_8_2() {
    // Telephone 2 named the port of leg 1 as its own: what leg 2 sends arrives there, and is taken for telephone 1's.
    let mut bridged = World::call();
    bridged.update(2, |stream| stream.remote = Some(at_our(1)));
    bridged.say_from(1, at_our(2), &Rtp::sound(1, 0));
    bridged.turn();
    let [(_, looped)] = &bridged.sent(2)[..] else { panic!("it is relayed once") };
    bridged.say_from(1, at_our(2), looped);
    bridged.turn();
    assert_eq!(bridged.sent(2), []);
    assert_eq!(bridged.close(2).unsent, 1);

    let mut echoed = World::call();
    echoed.command(Command::Echo(LegId(1)));
    echoed.talk(1, 0..1);
    let looped = echoed.heard(1).remove(0);
    echoed.say(1, &looped);
    echoed.turn();
    assert_eq!(echoed.heard(1), []);
}

#[test]
fn a_telephone_that_sends_back_what_it_hears_is_heard() {
    let mut world = World::call();
    world.talk(1, 0..1);
    let mirrored = world.heard(2).remove(0);
    world.say(2, &mirrored);
    world.turn();
    assert_eq!(world.heard(1).len(), 1);
}

#[test]
fn payload_types_are_those_of_each_side() {
    let mut world = World::call();
    let opus = |number, event| PayloadMap(vec![(number, Codec::Opus), (event, Codec::TelephoneEvent { rate: 48000 })]);
    world.update(1, |stream| stream.incoming = opus(111, 110));
    world.update(2, |stream| stream.outgoing = opus(96, 97));
    for (payload_type, sequence) in [(111, 1), (110, 2)] {
        world.say(1, &Rtp { payload_type, sequence, ..Rtp::sound(1, 0) });
    }
    world.turn();
    assert_eq!(world.heard(2).iter().map(|packet| packet.payload_type).collect::<Vec<_>>(), [96, 97]);
}

#[test]
fn a_codec_the_other_side_did_not_agree_on_is_counted_there_and_leaves_no_gap() {
    let mut world = World::call();
    world.update(2, |stream| stream.outgoing = PayloadMap(vec![(0, Codec::Pcmu)]));
    for (n, payload_type) in [(0, 0), (1, 8), (2, 0)] {
        world.say(1, &Rtp { payload_type, ..Rtp::sound(1, n) });
    }
    world.turn();
    let heard = world.heard(2);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1].sequence, heard[0].sequence.wrapping_add(1));
    assert_eq!((world.close(2).unsent, world.close(1).received), (1, 3));
}

#[test]
fn hold_and_resume_leave_one_continuous_stream() {
    let mut world = World::call();
    world.talk(1, 0..5);
    world.update(2, |stream| stream.send = false);
    world.talk(1, 5..55);
    assert_eq!(world.heard(2).len(), 5);
    world.update(2, |_| ());
    world.talk(1, 55..57);
    let heard = world.heard(2);
    assert_eq!(heard[0].sequence, start(2).sequence.wrapping_add(5));
    assert_eq!(heard[0].timestamp, start(2).timestamp.wrapping_add(160 * 55));
    assert!(heard[0].marker);
    assert_eq!(world.close(2).unsent, 0, "what is not wanted is not missed");
}

#[test]
fn what_a_held_telephone_says_is_counted_and_dropped() {
    let mut world = World::call();
    world.update(1, |stream| stream.receive = false);
    world.talk(1, 0..3);
    assert_eq!(world.heard(2), []);
    let stats = world.close(1);
    assert_eq!((stats.unusable, stats.received, stats.peer), (3, 0, Some(phone(1))));
}

#[test]
fn what_is_withheld_is_neither_lost_nor_a_gap() {
    let mut world = World::call();
    world.talk(1, 0..5);
    world.update(1, |stream| stream.receive = false);
    world.talk(1, 5..50);
    world.update(1, |_| ());
    world.talk(1, 50..55);
    world.say(1, &Rtp { payload_type: 13, ..Rtp::sound(1, 55) });
    world.talk(1, 56..60);
    let heard = world.heard(2);
    assert_eq!(heard.len(), 14);
    for (n, packet) in heard.iter().enumerate() {
        assert_eq!(packet.sequence, start(2).sequence.wrapping_add(n as u16));
    }
    let first_markers: Vec<_> = (0..14).filter(|n| heard[*n].marker).collect();
    assert_eq!(first_markers, [0, 5, 10]);
    assert_eq!(heard[5].timestamp, heard[0].timestamp.wrapping_add(50 * 160));
    let stats = world.close(1);
    assert_eq!((stats.lost, stats.unusable), (0, 46));
}

#[test]
fn a_telephone_without_an_address_is_sent_nothing_and_keeps_its_lock() {
    let mut world = World::call();
    let behind_nat = "203.0.113.7:61000".parse().unwrap();
    world.say_from(2, behind_nat, &Rtp::sound(2, 0));
    world.turn();
    world.update(2, |stream| (stream.remote, stream.remote_rtcp) = (None, None));
    world.talk(1, 0..3);
    assert_eq!(world.sent(2), []);
    world.update(2, |_| ());
    world.talk(1, 3..4);
    assert_eq!(world.sent(2)[0].0, behind_nat);
}

#[test]
fn a_flood_at_one_port_takes_no_turn_from_another() {
    let mut world = World::call();
    for n in 0..100 {
        world.say(1, &Rtp::sound(1, n));
    }
    world.say(2, &Rtp::sound(2, 0));
    world.turn();
    let first = world.heard(2).len();
    assert!((8..=20).contains(&first), "{first}");
    assert_eq!(world.heard(1).len(), 1);
    world.turns(20);
    assert_eq!(world.heard(2).len() + first, 100, "the rest comes later");
}

#[test]
fn what_the_network_refuses_is_counted() {
    let mut world = World::call();
    world.net.refusing = true;
    world.talk(1, 0..1);
    let stats = world.close(2);
    assert_eq!((stats.sent, stats.unsent), (0, 1));
}

#[test]
fn a_datagram_cut_off_by_the_buffer_is_not_relayed() {
    let mut world = World::call();
    world.say(1, &Rtp { payload: vec![7; 3000], ..Rtp::sound(1, 0) });
    world.turn();
    assert_eq!(world.heard(2), []);
    assert_eq!(world.close(1).unusable, 1);
}

#[test]
fn two_that_are_parted_hear_nothing_until_they_are_joined_again() {
    let mut world = World::call();
    world.talk(1, 0..2);
    world.command(Command::Part(LegId(1)));
    world.talk(1, 2..4);
    world.talk(2, 0..2);
    assert_eq!((world.heard(2).len(), world.heard(1).len()), (2, 0));
    world.command(Command::Bridge { a: LegId(1), b: LegId(2) });
    world.talk(2, 2..4);
    assert_eq!(world.heard(1).len(), 2);
    let stats = world.close(1);
    assert_eq!((stats.received, stats.sent), (4, 2), "what nobody hears is counted all the same");
}
