//! DTMF: heard, relayed, sent.

use std::time::Duration;

use media::{Codec, Command, Event, LegId, PayloadMap};

use crate::world::*;

/// What a telephone sends for a key: updates, then three ends. Its sound is silent meanwhile.
fn key(event: u8, sequence: u16, timestamp: u32) -> Vec<Rtp> {
    let packet = |n: u16| {
        let [high, low] = ((n + 1).min(5) * 160).to_be_bytes();
        let payload = vec![event, if n >= 5 { 0x8a } else { 10 }, high, low];
        Rtp { payload_type: 101, marker: n == 0, sequence: sequence + n, timestamp, ssrc: 1, payload }
    };
    (0..8).map(packet).collect()
}

fn dtmf(world: &World) -> Vec<(u64, u8, u64)> {
    let told = world.events.iter().filter_map(|event| match event {
        Event::Dtmf { leg, digit, duration } => Some((leg.0, *digit, duration.as_millis() as u64)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_key_is_told_once_and_relayed_whole() {
    let mut world = World::call();
    world.update(2, |stream| {
        stream.outgoing = PayloadMap(vec![(0, Codec::Pcmu), (96, Codec::TelephoneEvent { rate: 8000 })])
    });
    world.talk(1, 0..1);
    let sent = key(5, 101, 160);
    for packet in &sent {
        world.say(1, packet);
        world.turns(4);
    }
    assert_eq!(dtmf(&world), [(1, 5, 100)]);
    let heard = world.heard(2);
    let events = &heard[1..];
    assert_eq!(events.len(), 8);
    assert!(
        events
            .iter()
            .all(|packet| packet.payload_type == 96 && packet.timestamp == heard[0].timestamp.wrapping_add(160))
    );
    assert_eq!(
        events.iter().map(|packet| &packet.payload).collect::<Vec<_>>(),
        sent.iter().map(|packet| &packet.payload).collect::<Vec<_>>()
    );
    assert!(events[0].marker && events[1..].iter().all(|packet| !packet.marker));
}

#[test]
fn a_key_among_opus_is_one_key_though_the_clock_of_its_duration_is_another() {
    let mut world = World::call();
    let payloads = || PayloadMap(vec![(96, Codec::Opus), (101, Codec::TelephoneEvent { rate: 8000 })]);
    world.update(1, |stream| stream.incoming = payloads());
    world.update(2, |stream| stream.outgoing = payloads());
    let sound = |n: u16| Rtp { payload_type: 96, timestamp: u32::from(n) * 960, sequence: n, ..Rtp::sound(1, 0) };
    world.say(1, &sound(0));
    for (n, event) in (0..).zip(key(7, 0, 960)) {
        // This telephone goes on with its sound meanwhile.
        world.say(1, &Rtp { sequence: 1 + 2 * n, ..event });
        world.say(1, &Rtp { sequence: 2 + 2 * n, ..sound(n + 1) });
        world.turns(4);
    }
    assert_eq!(dtmf(&world), [(1, 7, 100)]);
    let heard = world.heard(2);
    assert_eq!(heard.len(), 17);
    let begin = heard[0].timestamp;
    for packet in &heard[1..] {
        let due = if packet.payload_type == 101 {
            960
        } else {
            u32::from(packet.sequence.wrapping_sub(heard[0].sequence)) / 2 * 960
        };
        assert_eq!(packet.timestamp.wrapping_sub(begin), due);
    }
}

#[test]
fn a_key_without_its_end_is_told_by_time() {
    let mut world = World::call();
    for packet in &key(11, 101, 160)[..3] {
        world.say(1, packet);
        world.turns(4);
    }
    assert_eq!(dtmf(&world), []);
    world.turns(60);
    assert_eq!(dtmf(&world), [(1, 11, 60)]);
}

#[test]
fn a_key_of_a_leg_that_nobody_hears_is_told() {
    let mut world = World::new();
    world.open(1);
    world.turn();
    for packet in key(1, 101, 160).into_iter().chain(key(1, 109, 1760)) {
        world.say(1, &packet);
    }
    world.turn();
    assert_eq!(dtmf(&world), [(1, 1, 100), (1, 1, 100)]);
}

#[test]
fn digits_are_pressed_between_the_sound_without_breaking_the_stream() {
    let mut world = World::call();
    world.talk(2, 0..10);
    world.command(Command::SendDigits { leg: LegId(1), digits: vec![4, 15] });
    world.talk(2, 10..40);
    let heard = world.heard(1);
    let events: Vec<_> = heard.iter().filter(|packet| packet.payload_type == 101).collect();
    assert_eq!(events.len(), 16);
    assert_eq!(events.iter().map(|packet| packet.payload[0]).collect::<Vec<_>>(), [[4; 8], [15; 8]].concat());
    for digit in events.chunks(8) {
        assert!(digit[0].marker && digit[1..].iter().all(|packet| !packet.marker));
        assert!(digit.iter().all(|packet| packet.timestamp == digit[0].timestamp));
        assert_eq!(digit.iter().filter(|packet| packet.payload[1] & 0x80 != 0).count(), 3);
    }
    assert_eq!(events[8].timestamp.wrapping_sub(events[0].timestamp), 160 * 8);
    // One stream: every number used once, in order, and time goes on.
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert!((pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) >= 0);
    }
    // 600 ms of talk, less about 300 ms of digits.
    let sound = heard.len() - 16;
    assert!((24..=28).contains(&sound), "{sound}");
    let last = heard.last().unwrap().timestamp.wrapping_sub(heard[0].timestamp);
    assert!(last.abs_diff(39 * 160) <= 80, "the clock of the stream is the wall's: {last}");
}

#[test]
fn digits_have_the_clock_of_the_sound_where_the_telephone_has_such_events() {
    let mut world = World::call();
    world.update(1, |stream| {
        let events = [(101, 8000), (102, 48000)].map(|(number, rate)| (number, Codec::TelephoneEvent { rate }));
        stream.outgoing = PayloadMap([&[(96, Codec::Opus)][..], &events].concat());
    });
    world.command(Command::SendDigits { leg: LegId(1), digits: vec![1] });
    world.turns(40);
    let heard = world.heard(1);
    assert!(heard.iter().all(|packet| packet.payload_type == 102));
    assert_eq!(heard.last().unwrap().payload[2..], 4800u16.to_be_bytes());
}

#[test]
fn digits_have_the_clock_of_the_sound_that_is_heard_whatever_the_telephone_prefers() {
    let mut world = World::call();
    world.update(1, |stream| {
        let events = [(101, 8000), (102, 48000)].map(|(number, rate)| (number, Codec::TelephoneEvent { rate }));
        stream.outgoing = PayloadMap([&[(96, Codec::Opus), (0, Codec::Pcmu)][..], &events].concat());
    });
    world.talk(2, 0..10);
    world.command(Command::SendDigits { leg: LegId(1), digits: vec![1] });
    world.talk(2, 10..20);
    let heard = world.heard(1);
    assert_eq!(heard.iter().filter(|packet| packet.payload_type == 101).count(), 8);
    let last = heard.last().unwrap().timestamp.wrapping_sub(heard[0].timestamp);
    assert!(last.abs_diff(19 * 160) <= 80, "the clock of the stream is the wall's: {last}");
}

#[test]
fn digits_reach_a_telephone_that_answered_opus_with_events_of_another_clock() {
    let mut world = World::call();
    world.update(1, |stream| {
        stream.outgoing = PayloadMap(vec![(96, Codec::Opus), (101, Codec::TelephoneEvent { rate: 8000 })]);
    });
    world.command(Command::SendDigits { leg: LegId(1), digits: vec![1, 2] });
    world.turns(80);
    let heard = world.heard(1);
    assert_eq!(heard.len(), 16);
    assert!(heard.iter().all(|packet| packet.payload_type == 101));
    assert_eq!(heard[15].payload[2..], 800u16.to_be_bytes(), "100 ms in the clock of the events");
    let between = heard[8].timestamp.wrapping_sub(heard[0].timestamp);
    assert_eq!(between, 160 * 48, "160 ms in the clock of the stream");
}

#[test]
fn digits_without_a_payload_type_or_a_listener_are_counted() {
    let mut world = World::call();
    let digits = |leg| Command::SendDigits { leg: LegId(leg), digits: vec![1, 2, 3] };
    world.update(1, |stream| stream.outgoing = PayloadMap(vec![(0, Codec::Pcmu)]));
    world.command(digits(1));
    world.update(2, |stream| stream.send = false);
    world.command(digits(2));
    world.command(Command::Open { leg: LegId(3), port: port(3), start: start(3) });
    world.command(digits(3));
    world.turns(200);
    for leg in 1..=3 {
        assert_eq!(world.heard(leg), []);
        assert_eq!(world.close(leg).unsent, 3, "leg {leg}");
    }
}

#[test]
fn sixty_four_digits_wait() {
    let mut world = World::call();
    world.command(Command::SendDigits { leg: LegId(1), digits: vec![1; 70] });
    world.now += Duration::from_millis(5);
    world.turns(64 * 32 + 100);
    assert_eq!(world.heard(1).len(), 64 * 8);
    assert_eq!(world.close(1).unsent, 6);
}
