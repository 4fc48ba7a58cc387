//! Whatever the network and the engine do.

use std::collections::BTreeSet;

use media::net::Channel;
use media::{Codec, Command, Event, LegId, PayloadMap};
use proptest::prelude::*;

use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Turns(u8),
    Talk(u8, u16),
    Garbage(u8, bool, Vec<u8>),
    Almost(u8, Vec<u8>),
    Update(u8, bool, bool, bool),
    Bridge(u8, u8),
    Echo(u8),
    Digits(u8, Vec<u8>),
    Close(u8),
    Open(u8),
    Travel(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let leg = 0..4u8;
    prop_oneof![
        3 => (1..20u8).prop_map(Step::Turns),
        6 => (leg.clone(), any::<u16>()).prop_map(|(leg, n)| Step::Talk(leg, n)),
        1 => (leg.clone(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(|(leg, rtcp, bytes)| Step::Garbage(leg, rtcp, bytes)),
        2 => (leg.clone(), proptest::collection::vec(any::<u8>(), 14..40)).prop_map(|(leg, bytes)| Step::Almost(leg, bytes)),
        1 => (leg.clone(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(leg, a, b, c)| Step::Update(leg, a, b, c)),
        1 => (leg.clone(), leg.clone()).prop_map(|(a, b)| Step::Bridge(a, b)),
        1 => leg.clone().prop_map(Step::Echo),
        1 => (leg.clone(), proptest::collection::vec(0..20u8, 0..5)).prop_map(|(leg, digits)| Step::Digits(leg, digits)),
        1 => leg.clone().prop_map(Step::Close),
        1 => leg.clone().prop_map(Step::Open),
        2 => (leg, any::<bool>()).prop_map(|(leg, away)| Step::Travel(leg, away)),
    ]
}

fn act(world: &mut World, step: Step) {
    match step {
        Step::Turns(count) => world.turns(count.into()),
        Step::Talk(leg, n) => world.say(
            leg.into(),
            &Rtp { sequence: n, timestamp: u32::from(n) * 160, ..Rtp::sound(u32::from(n / 20_000), 0) },
        ),
        Step::Garbage(leg, rtcp, bytes) => {
            let (channel, from) =
                if rtcp { (Channel::Rtcp, phone_rtcp(leg.into())) } else { (Channel::Rtp, phone(leg.into())) };
            world.arrive(leg.into(), channel, from, bytes);
        }
        Step::Almost(leg, mut bytes) => {
            bytes[0] = 0x80 | bytes[0] & 0x11;
            bytes[1] = [0, 8, 101, 0x80 | 101][usize::from(bytes[1] % 4)];
            world.arrive(leg.into(), Channel::Rtp, phone(leg.into()), bytes);
        }
        Step::Update(leg, send, receive, opus) => world.update(leg.into(), |stream| {
            (stream.send, stream.receive) = (send, receive);
            if opus {
                stream.outgoing = PayloadMap(vec![(96, Codec::Opus), (101, Codec::TelephoneEvent { rate: 48000 })]);
            }
        }),
        Step::Bridge(a, b) => world.command(Command::Bridge { a: LegId(a.into()), b: LegId(b.into()) }),
        Step::Echo(leg) => world.command(Command::Echo(LegId(leg.into()))),
        Step::Digits(leg, digits) => world.command(Command::SendDigits { leg: LegId(leg.into()), digits }),
        Step::Close(leg) => world.command(Command::Close(LegId(leg.into()))),
        Step::Open(leg) => world.open(leg.into()),
        Step::Travel(leg, away) => world.travel([leg.into()], away.into()),
    }
}

proptest! {
    /// No panic; every leg closed once; what a telephone hears has one SSRC and no number twice.
    #[test]
    fn nothing_breaks_the_rules(steps in proptest::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        let (mut opened, mut open) = (0, BTreeSet::new());
        for step in steps {
            match step {
                Step::Open(leg) => opened += usize::from(open.insert(leg)),
                Step::Close(leg) => { open.remove(&leg); }
                _ => {}
            }
            // A leg that ends takes its stream with it: look at what was heard before.
            if matches!(step, Step::Close(_)) {
                check(&mut world)?;
            }
            act(&mut world, step);
        }
        world.close_all();
        world.turn();
        let closed = world.events.iter().filter(|event| matches!(event, Event::Closed { .. })).count();
        prop_assert_eq!(closed, opened);
        prop_assert_eq!(world.legs(), [0, 0]);
        prop_assert!(world.net.open.is_empty());
    }

    /// Loss, doubles and disorder in, and out come loss and disorder: the same gaps, no doubles, and timestamps that belong to the numbers.
    #[test]
    fn a_bad_network_is_heard_as_it_is(fates in proptest::collection::vec((0..10u8, 0..15usize), 50..150)) {
        let mut world = World::call();
        let mut line: Vec<(usize, u32)> = Vec::new();
        for (n, (fate, delay)) in fates.into_iter().enumerate() {
            for _ in 0..match fate { 0 => 0, 1 => 2, _ => 1 } {
                // The first is on time, so that the numbers below count from it.
                line.push((if n == 0 { 0 } else { n + delay }, n as u32));
            }
        }
        line.retain(|(_, n)| *n > 0);
        line.push((0, 0));
        line.sort_by_key(|(at, _)| *at);
        let mut said = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, n) in line {
            world.say(1, &Rtp::sound(1, n));
            world.turn();
            if seen.insert(n) {
                said.push(n);
            }
        }
        let heard: Vec<_> = world.heard(2).iter().map(|packet| {
            (u32::from(packet.sequence.wrapping_sub(start(2).sequence)), packet.timestamp.wrapping_sub(start(2).timestamp))
        }).collect();
        let expected: Vec<_> = said.into_iter().map(|n| (n, n * 160)).collect();
        prop_assert_eq!(heard, expected);
    }
}

/// What each telephone heard since the last look.
fn check(world: &mut World) -> Result<(), TestCaseError> {
    for leg in 0..4 {
        let heard = world.heard(leg);
        let numbers: BTreeSet<_> = heard.iter().map(|packet| packet.sequence).collect();
        prop_assert_eq!(numbers.len(), heard.len());
        prop_assert!(heard.iter().all(|packet| packet.ssrc == start(leg).ssrc));
    }
    Ok(())
}
