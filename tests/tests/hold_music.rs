//! Who is put on hold hears the switch's music, whatever form the hold has, and nothing of the one who holds; in virtual time.

use std::time::Duration;

use serde_json::json;
use switch::sounds::{MUSIC, MUSIC_OF_USERS, RINGBACK};
use tests::world::{Behaviour, Codec, Event, Handset, Hold, PhoneId, World, ports};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two telephones in a call.
fn in_call(first: Handset, second: Handset) -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [a, b] = [first, second].map(|handset| world.add_phone(handset));
    [a, b].into_iter().for_each(|phone| world.register(phone));
    world.run_for(secs(1));
    world.connect_call(a, b);
    (world, a, b)
}

fn holding(hold: Hold) -> Handset {
    Handset { hold, ..Handset::of("501") }
}

/// One stream from the first packet to the last, without a gap in its numbers.
fn heard_one_stream(world: &World, phones: &[PhoneId]) {
    for phone in phones {
        let ear = world.ear(*phone);
        assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults, ear.strange), (1, 0, 0, 0));
    }
}

/// S63: every form of RFC 3264, and the old one (RFC 2543); either side.
#[test]
fn whoever_is_held_hears_music_until_he_is_fetched_back() {
    for hold in [Hold::SendOnly, Hold::Inactive, Hold::Zero] {
        for caller_holds in [true, false] {
            let (mut world, a, b) = match caller_holds {
                true => in_call(holding(hold), Handset::of("502")),
                false => {
                    let (world, b, a) = in_call(Handset::of("502"), holding(hold));
                    (world, a, b)
                }
            };
            for _ in 0..2 {
                assert!(world.hold(a));
                world.run_for(secs(1));
                assert!(world.events_of(a).contains(&Event::Held(true)), "{hold:?}");
                assert!(world.hears_sound(b, MUSIC), "{hold:?}");
                assert_eq!(world.ear(a).tone(), None, "who holds hears nothing");
                assert!(world.resume(a));
                world.run_for(secs(1));
                assert!(world.hear_each_other(a, b), "{hold:?}");
            }
            heard_one_stream(&world, &[a, b]);
            world.quiesce();
        }
    }
}

/// A holder who offers `sendonly` still speaks, or plays music of his own: that is dropped.
#[test]
fn what_the_holder_s_phone_goes_on_to_send_is_not_heard() {
    let (mut world, a, b) = in_call(holding(Hold::SendOnly), Handset::of("502"));
    assert!(world.hold(a));
    world.run_for(secs(2));
    assert!(world.phone(a).speaks(), "it speaks on while it holds");
    assert!(world.hears_sound(b, MUSIC));
    world.quiesce();
}

#[test]
fn both_may_hold_and_each_hears_music_when_the_other_still_does() {
    let (mut world, a, b) = in_call(holding(Hold::SendOnly), Handset { hold: Hold::Inactive, ..Handset::of("502") });
    assert!(world.hold(a));
    world.run_for(secs(1));
    assert!(world.hold(b));
    world.run_for(secs(1));
    world.listen();
    assert_eq!((world.ear(a).tone(), world.ear(b).tone()), (None, None), "who holds wants to hear nothing");
    assert!(world.resume(a));
    world.run_for(secs(1));
    assert!(world.hears_sound(a, MUSIC), "the other still holds");
    assert!(world.resume(b));
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
    heard_one_stream(&world, &[a, b]);
    world.quiesce();
}

#[test]
fn a_user_may_have_music_of_his_own_for_those_he_holds() {
    let (mut world, a, b) = in_call(Handset::of("503"), Handset::of("502"));
    assert!(world.hold(a));
    world.run_for(secs(1));
    assert!(world.hears_sound(b, MUSIC_OF_USERS));
    assert!(world.resume(a));
    assert!(world.hold(b));
    world.run_for(secs(1));
    assert!(world.hears_sound(a, MUSIC), "his music is for others");
    world.quiesce();
}

#[test]
fn the_music_comes_in_the_codec_of_the_call() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let handset = |user| Handset { codecs: vec![codec, Codec::Event], ..Handset::of(user) };
        let (mut world, a, b) = in_call(handset("501"), handset("502"));
        assert!(world.hold(a));
        world.run_for(secs(1));
        assert!(world.hears_sound(b, MUSIC), "{codec:?}");
        heard_one_stream(&world, &[b]);
        world.quiesce();
    }
}

/// The legs begin on different media threads, and are brought together while the call is put on hold.
#[test]
fn hold_before_the_two_legs_have_come_together() {
    let (mut before, mut after) = (0, 0);
    // How long it takes them is chance.
    for wait in (0..80).step_by(5) {
        let mut world = World::with(1 + wait / 5, |settings| settings.ports = ports(24));
        let [a, b] = world.add_phones(["501", "502"]);
        assert!(world.call(a, "502"));
        world.run_for(Duration::from_millis(1000 + wait));
        // Who still hears it ring cannot hold.
        if world.hold(a) {
            *if world.moved_legs() == 0 { &mut before } else { &mut after } += 1;
            world.run_for(secs(1));
            assert!(world.hears_sound(b, MUSIC), "after {wait} ms");
            assert!(world.resume(a));
        }
        world.run_for(secs(1));
        assert!(world.hear_each_other(a, b), "after {wait} ms");
        assert!(world.moved_legs() > 0, "after {wait} ms");
        world.quiesce();
    }
    assert!(before > 0 && after > 0, "{before} before they had, {after} after");
}

/// S67: who is transferred without having been on hold hears ringback, and the one who transfers nothing of it; whatever becomes of it.
#[test]
fn who_is_transferred_hears_ringback_and_the_transferor_nothing() {
    for (answers, held_before) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = World::new(1);
        let [a, b, c] = world.add_phones(["501", "502", "503"]);
        world.behave(c, Behaviour::Ring);
        world.connect_call(a, b);
        let client = world.log_in("502");
        assert!(world.hear_each_other(a, b));
        if held_before {
            assert!(world.hold(b));
            world.run_for(secs(1));
            assert!(world.hears_sound(a, MUSIC));
        }
        let call = world.calls(client)[0]["call-id"].clone();
        let asked = json!({"topic": "tel", "message": "blind-transfer", "call-id": call, "dest": "503"});
        assert_eq!(world.execute(client, asked)["error"], 0);
        world.run_for(secs(1));
        assert!(world.hears_sound(a, RINGBACK));
        assert_eq!(world.ear(b).tone(), None, "the transferor");
        if answers {
            assert!(world.answer(c));
            world.run_for(secs(1));
            assert!(world.hear_each_other(a, c));
            world.hang_up(a);
        } else {
            assert!(world.reject(c, 486));
            world.run_for(secs(1));
            match held_before {
                true => assert!(world.hears_sound(a, MUSIC), "back on hold"),
                false => assert!(world.hear_each_other(a, b)),
            }
        }
        heard_one_stream(&world, &[a, b]);
        world.quiesce();
    }
}

/// S77: whose own phone has answered a make-call hears that the other rings.
#[test]
fn whoever_called_by_a_client_hears_ringback_until_the_other_answers() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.behave(b, Behaviour::Ring);
    let client = world.log_in("501");
    assert_eq!(world.execute(client, json!({"topic": "tel", "message": "make-call", "dest": "502"}))["error"], 0);
    world.run_for(secs(3));
    assert!(world.hears_sound(a, RINGBACK));
    assert!(world.answer(b));
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b));
    heard_one_stream(&world, &[a]);
    world.quiesce();
}

/// S67: from the voice of the one who transfers, through music or ringback, to that of the third, without a gap over 60 ms; the third hears none either.
#[test]
fn a_transfer_leaves_no_gap_in_what_either_hears() {
    const LONGEST: Duration = Duration::from_millis(60);
    for (attended, held) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut world = World::new(1);
        let [first, second, b, c] = world.add_phones(["501", "501", "502", "503"]);
        world.connect_call(first, b);
        match attended {
            true => world.connect_call(second, c),
            false => world.behave(c, Behaviour::Ring),
        }
        if held {
            assert!(world.hold(first));
            world.run_for(secs(1));
        }
        world.listen();
        assert!(world.transfer(first, "503", attended.then_some(second), true));
        world.run_for(secs(2));
        if !attended {
            assert!(world.answer(c));
            world.run_for(secs(2));
        }
        for phone in [b, c] {
            let gap = world.ear(phone).longest_gap;
            assert!(gap > Duration::ZERO && gap <= LONGEST, "{phone:?}, attended: {attended}, held: {held}: {gap:?}");
        }
        assert!(world.hear_each_other(b, c));
        heard_one_stream(&world, &[b, c]);
        world.quiesce();
    }
}
