//! Sounds of the switch's own: who hears them, in which codec, and that the stream of whoever hears them stays one.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use media::tone::Sine;
use media::{Codec, Command, Event, LegId, PayloadMap, PlayId, Repeat, Sound, SoundId};

use crate::world::*;

const TONE: SoundId = SoundId(3);
const OTHER: SoundId = SoundId(1);

fn tone(hz: u32, packets: usize) -> Arc<Sound> {
    let mut sine = Sine::new(hz, media::sound::RATE);
    let samples: Vec<i16> = (0..packets * 320).map(|_| sine.next_sample()).collect();
    Arc::new(Sound::encode(&samples).expect("a tone can be encoded"))
}

/// Seven packets.
static SOUND: LazyLock<Arc<Sound>> = LazyLock::new(|| tone(730, 7));

fn payload(codec: Codec, packet: u32) -> Vec<u8> {
    SOUND.payload(codec, packet).expect("it is in every codec").to_vec()
}

/// A call whose worker knows the sound.
fn call() -> World {
    let mut world = World::call();
    world.command(Command::Learn { sound: TONE, is: Arc::clone(&SOUND) });
    world
}

fn play(world: &mut World, leg: u64, repeat: Repeat) {
    world.command(Command::Play { leg: LegId(leg), sound: TONE, repeat });
}

fn hush(world: &mut World, leg: u64) {
    world.command(Command::Hush(LegId(leg)));
}

fn payloads_of(heard: &[Rtp]) -> Vec<Vec<u8>> {
    heard.iter().map(|packet| packet.payload.clone()).collect()
}

/// One stream: the leg's SSRC, numbers without a gap, timestamps that follow the clock.
fn is_one_stream(heard: &[Rtp], leg: u64) {
    assert!(heard.iter().all(|packet| packet.ssrc == start(leg).ssrc));
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{pair:?}");
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((160..=480).contains(&step), "{step} between {pair:?}");
    }
}

#[test]
fn a_leg_to_which_is_played_hears_that_and_nothing_of_its_peer() {
    let mut world = call();
    world.talk(1, 0..10);
    play(&mut world, 2, Repeat::Always);
    world.talk(1, 10..30);
    let heard = world.heard(2);
    is_one_stream(&heard, 2);
    let expected: Vec<_> =
        (0..10u32).map(|n| n.to_be_bytes().to_vec()).chain((0..20).map(|n| payload(Codec::Pcmu, n))).collect();
    assert_eq!(payloads_of(&heard), expected);
    let marked: Vec<_> = heard.iter().enumerate().filter(|(_, packet)| packet.marker).map(|(n, _)| n).collect();
    assert_eq!(marked, [0, 10], "where the talk starts anew");
    let steps: Vec<_> = heard[10..].windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp)).collect();
    assert_eq!(steps, [160; 19]);
}

#[test]
fn who_plays_no_part_in_it_still_hears_the_leg() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.talk(2, 0..10);
    assert_eq!(world.heard(1).len(), 10);
}

#[test]
fn a_sound_that_is_hushed_goes_on_until_the_other_speaks_so_that_there_is_no_gap() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(40);
    hush(&mut world, 2);
    // The telephone needs a while to come back.
    world.turns(40);
    let before = world.heard(2);
    assert_eq!(before.len(), 20);
    world.talk(1, 0..10);
    let after = world.heard(2);
    assert_eq!(payloads_of(&after)[1..], (1..10u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
    assert!(after[0].marker && after[0].payload == [0; 4]);
    is_one_stream(&[before, after].concat(), 2);
}

#[test]
fn where_nobody_speaks_a_hushed_sound_ends_soon() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    hush(&mut world, 2);
    world.turns(200);
    assert_eq!(world.heard(2).len(), 20, "0.4 seconds");
}

#[test]
fn a_sound_played_once_tells_its_end_when_it_has_been_heard() {
    let mut world = call();
    play(&mut world, 2, Repeat::Once(PlayId(77)));
    world.turns(7 * 4);
    assert_eq!(world.events, []);
    world.turns(1);
    assert_eq!(world.events, [Event::Played { leg: LegId(2), play: PlayId(77) }]);
    assert_eq!(payloads_of(&world.heard(2)), (0..7).map(|n| payload(Codec::Pcmu, n)).collect::<Vec<_>>());
    world.talk(1, 0..3);
    assert_eq!(world.heard(2).len(), 3, "then its peer is heard again");
}

#[test]
fn a_sound_whose_place_another_takes_tells_nothing() {
    let mut world = call();
    play(&mut world, 2, Repeat::Once(PlayId(1)));
    world.turns(4);
    play(&mut world, 2, Repeat::Once(PlayId(2)));
    world.turns(4);
    hush(&mut world, 2);
    world.turns(400);
    assert_eq!(world.events, []);
    let heard = world.heard(2);
    assert_eq!(heard[1].payload, payload(Codec::Pcmu, 0));
    assert!(heard[1].marker);
}

#[test]
fn what_nobody_has_taught_is_silent_and_over_at_once() {
    let mut world = call();
    world.command(Command::Play { leg: LegId(2), sound: OTHER, repeat: Repeat::Once(PlayId(5)) });
    world.command(Command::Play { leg: LegId(1), sound: SoundId(900), repeat: Repeat::Always });
    world.turns(8);
    assert_eq!(world.events, [Event::Played { leg: LegId(2), play: PlayId(5) }]);
    assert_eq!((world.heard(1).len(), world.heard(2).len()), (0, 0));
    world.command(Command::Learn { sound: SoundId(900), is: Arc::clone(&SOUND) });
    world.turns(8);
    assert_eq!(world.heard(1).len(), 2, "it begins when it is known");
}

#[test]
fn whoever_hears_a_sound_together_is_at_the_same_place_in_it_whenever_he_came() {
    let mut world = call();
    world.wait(3);
    play(&mut world, 1, Repeat::Together);
    world.turns(4 * 33);
    play(&mut world, 2, Repeat::Together);
    world.turns(4 * 20);
    let (first, second) = (world.heard(1), world.heard(2));
    assert_eq!(payloads_of(&first[33..]), payloads_of(&second));
}

#[test]
fn each_telephone_gets_the_codec_it_agreed_to() {
    for (codec, payload_type) in [(Codec::Pcmu, 0), (Codec::Pcma, 8), (Codec::G722, 9), (Codec::Opus, 107)] {
        let mut world = call();
        world.update(2, |stream| stream.outgoing = PayloadMap(vec![(payload_type, codec)]));
        play(&mut world, 2, Repeat::Always);
        world.turns(40);
        let heard = world.heard(2);
        assert_eq!(payloads_of(&heard), (0..10).map(|n| payload(codec, n)).collect::<Vec<_>>(), "{codec:?}");
        assert!(heard.iter().all(|packet| packet.payload_type == payload_type));
        let step = heard[2].timestamp.wrapping_sub(heard[1].timestamp);
        assert_eq!(step, codec.clock_rate() / 50);
    }
}

#[test]
fn the_codec_heard_last_is_kept_though_another_is_preferred() {
    let mut world = call();
    world.update(1, |stream| stream.incoming = PayloadMap(vec![(8, Codec::Pcma)]));
    world.say(1, &Rtp { payload_type: 8, ..Rtp::sound(1, 0) });
    world.turns(4);
    play(&mut world, 2, Repeat::Always);
    world.turns(8);
    assert!(world.heard(2).iter().all(|packet| packet.payload_type == 8));
}

#[test]
fn a_telephone_without_any_of_the_codecs_hears_nothing_and_that_is_counted() {
    let mut world = call();
    world.update(2, |stream| stream.outgoing = PayloadMap(vec![(101, Codec::TelephoneEvent { rate: 8000 })]));
    play(&mut world, 2, Repeat::Always);
    world.turns(40);
    assert_eq!(world.heard(2), []);
    assert_eq!(world.close(2).unsent, 10);
}

#[test]
fn a_telephone_that_wants_to_hear_nothing_is_sent_nothing_and_the_sound_goes_on_in_time() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(40);
    world.update(2, |stream| stream.send = false);
    world.turns(40);
    world.update(2, |stream| stream.send = true);
    world.turns(8);
    let heard = world.heard(2);
    assert_eq!(
        heard[10..].iter().map(|packet| packet.payload.clone()).collect::<Vec<_>>(),
        [payload(Codec::Pcmu, 20), payload(Codec::Pcmu, 21)]
    );
    assert!(heard[10].marker);
    assert_eq!(heard[10].sequence, heard[9].sequence.wrapping_add(1), "what was not wanted is no loss");
    assert_eq!(heard[10].timestamp.wrapping_sub(heard[9].timestamp), 11 * 160);
}

#[test]
fn a_codec_that_goes_and_comes_back_leaves_no_gap_that_looks_like_loss() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(40);
    let agreed = PayloadMap(vec![(0, Codec::Pcmu)]);
    world.update(2, |stream| stream.outgoing = PayloadMap(vec![(101, Codec::TelephoneEvent { rate: 8000 })]));
    world.turns(40);
    world.update(2, |stream| stream.outgoing = agreed);
    world.turns(8);
    let heard = world.heard(2);
    assert_eq!(payloads_of(&heard[10..]), [payload(Codec::Pcmu, 20), payload(Codec::Pcmu, 21)]);
    assert!(heard[10].marker);
    assert_eq!(heard[10].sequence, heard[9].sequence.wrapping_add(1));
    assert_eq!(heard[10].timestamp.wrapping_sub(heard[9].timestamp), 11 * 160);
}

#[test]
fn what_a_long_pause_leaves_out_does_not_look_like_loss() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(40);
    world.now += Duration::from_secs(2);
    world.turns(16);
    let heard = world.heard(2);
    assert!(heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    assert_eq!(heard[10].payload, payload(Codec::Pcmu, 110));
    let marked: Vec<_> = heard.iter().enumerate().filter(|(_, packet)| packet.marker).map(|(n, _)| n).collect();
    assert_eq!(marked, [0, 10], "where it goes on");
    let step = heard[10].timestamp.wrapping_sub(heard[9].timestamp);
    assert!((100 * 160..=102 * 160).contains(&step), "{step}: the clock went on");
    assert!(heard[10..].windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 160));
    assert_eq!(heard.len(), 10 + 4, "and nothing is made up for");
}

#[test]
fn a_late_turn_is_made_up_for_and_a_long_pause_is_not() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(4);
    world.now += Duration::from_millis(40);
    world.turns(8);
    assert_eq!(world.heard(2).len(), 5);
    world.now += Duration::from_secs(2);
    world.turns(16);
    let heard = world.heard(2);
    assert!((4..=8).contains(&heard.len()), "{}", heard.len());
    is_one_stream(&heard[1..], 2);
}

#[test]
fn keys_are_heard_through_it() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(20);
    world.command(Command::SendDigits { leg: LegId(2), digits: vec![5] });
    world.turns(80);
    let heard = world.heard(2);
    let keys: Vec<_> = heard.iter().filter(|packet| packet.payload_type == 101).collect();
    assert!(keys.len() >= 5);
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    let first_key = heard.iter().position(|packet| packet.payload_type == 101).unwrap();
    let last_key = heard.iter().rposition(|packet| packet.payload_type == 101).unwrap();
    assert_eq!(last_key - first_key + 1, keys.len(), "nothing else while a key lasts");
}

#[test]
fn a_leg_takes_its_sound_along_to_another_worker() {
    let mut world = call();
    play(&mut world, 2, Repeat::Always);
    world.turns(20);
    world.travel([1, 2], 1);
    world.turns(20);
    let heard = world.heard(2);
    is_one_stream(&heard, 2);
    assert_eq!(payloads_of(&heard), (0..heard.len() as u32).map(|n| payload(Codec::Pcmu, n)).collect::<Vec<_>>());
}

#[test]
fn legs_that_are_parted_hear_nothing_of_each_other() {
    let mut world = call();
    world.talk(1, 0..3);
    world.command(Command::Part(LegId(2)));
    world.talk(1, 3..6);
    world.talk(2, 0..3);
    assert_eq!((world.heard(1).len(), world.heard(2).len()), (0, 3));
}

#[test]
fn the_music_of_the_switch_is_whole_in_every_codec() {
    let music = Sound::music();
    assert_eq!(music.packets(), 2560);
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        assert!((0..2560).all(|packet| music.payload(codec, packet).is_some_and(|payload| !payload.is_empty())));
        assert_eq!(music.payload(codec, 2560 + 7), music.payload(codec, 7));
    }
    assert_eq!(music.payload(Codec::TelephoneEvent { rate: 8000 }, 0), None);
}
