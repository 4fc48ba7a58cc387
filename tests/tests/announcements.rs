//! What the switch says in words: where a call is parked, and why a caller reaches nobody.

#![allow(clippy::unwrap_used, reason = "a test")]

use media::SoundId;
use serde_json::{Value, json};
use switch::sounds::BUSY;
use switch::sounds::announcement::{Audience, Phrase};
use tests::calls::{secs, tel};
use tests::world::{Behaviour, End, Handset, Manners, PhoneId, Reliable, Status, World};

/// Each phrase of the world is five packets long.
fn words(phrases: &[(Phrase, usize)]) -> Vec<(SoundId, usize)> {
    phrases.iter().map(|(phrase, times)| (phrase.sound(), 5 * times)).collect()
}

/// That 502 is not available.
fn not_available() -> Vec<(SoundId, usize)> {
    words(&[(Phrase::Digit(5), 1), (Phrase::Digit(0), 1), (Phrase::Digit(2), 1), (Phrase::NotAvailable, 1)])
}

fn telling(audience: Audience) -> World {
    World::with(1, |settings| settings.announcements = audience)
}

#[test]
fn who_parks_a_call_hears_where_while_his_display_shows_it() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.call(a, "502");
    world.run_for(secs(3));
    assert!(world.transfer(b, "*68", None, true));
    world.run_for(secs(3));
    assert_eq!(world.phone(b).status(), Status::Talking { held: false });
    assert_eq!(world.said_to(b), words(&[(Phrase::ParkedAt, 1), (Phrase::Digit(7), 1), (Phrase::Digit(0), 2)]));
    assert!(world.said_to(a).is_empty());
    world.run_for(secs(2));
    assert_eq!((world.ended(b), world.parked()), (Some(End::There), vec!["700".to_owned()]));
    world.quiesce();
}

/// 501's own telephone has answered the call that her client makes to 502.
fn make_call(world: &mut World, behaviour: Behaviour) -> (PhoneId, Value) {
    let [a] = world.add_phones(["501"]);
    let b = world.add_phone(Handset { behaviour, ..Handset::of("502") });
    world.register(b);
    world.run_for(secs(1));
    let client = world.log_in("501");
    let reply = tel(world, client, "make-call", &json!({"dest": "502"}));
    assert_eq!(reply["error"], 0, "{reply}");
    let completion = world.completion(client, &reply["response"]);
    (a, completion)
}

#[test]
fn who_is_connected_and_reaches_nobody_is_told_why_before_the_call_ends() {
    let mut world = telling(Audience::Connected);
    let (a, completion) = make_call(&mut world, Behaviour::Reject(603));
    assert_eq!(completion["error"], 25, "the client knows at once: {completion}");
    assert_eq!(world.phone(a).status(), Status::Talking { held: false });
    world.run_for(secs(1));
    assert_eq!((world.said_to(a), world.ended(a)), (not_available(), Some(End::There)));
    let causes: Vec<_> = world.records_of("501").into_iter().map(|record| record.cause).collect();
    assert_eq!(causes, ["declined"]);
    world.quiesce();
}

#[test]
fn who_is_connected_to_somebody_busy_hears_the_tone() {
    let mut world = telling(Audience::Connected);
    let (a, completion) = make_call(&mut world, Behaviour::Reject(486));
    assert_eq!(completion["error"], 24, "{completion}");
    world.run_for(secs(2));
    assert!(world.hears_sound(a, BUSY));
    world.run_for(secs(3));
    assert_eq!(world.ended(a), Some(End::There));
    world.quiesce();
}

#[test]
fn who_hangs_up_meanwhile_hears_no_more() {
    let mut world = telling(Audience::Connected);
    let (a, _) = make_call(&mut world, Behaviour::Reject(603));
    assert!(world.hang_up(a));
    world.run_for(secs(1));
    assert!(world.ends_of("501").is_empty());
    world.quiesce();
}

#[test]
fn a_status_says_all_where_nobody_is_to_be_told_or_only_who_is_connected() {
    for audience in [Audience::Nobody, Audience::Connected] {
        let mut world = telling(audience);
        let [a] = world.add_phones(["501"]);
        world.call(a, "999");
        world.run_for(secs(1));
        assert_eq!((world.said_to(a), world.ended(a)), (Vec::new(), Some(End::Refused(404))));
        world.quiesce();
    }
}

/// By early media, before the status; as reliably as the telephone wants to be told.
#[test]
fn a_telephone_that_waits_for_its_answer_hears_it_before_the_status() {
    for reliable in [Reliable::Never, Reliable::Supported, Reliable::Required] {
        let mut world = telling(Audience::Everybody);
        let a = world.add_phone(Handset { manners: Manners { reliable, ..Manners::default() }, ..Handset::of("501") });
        world.register(a);
        world.run_for(secs(1));
        world.call(a, "999");
        world.run_for(secs(1));
        assert_eq!((world.said_to(a), world.ended(a)), (words(&[(Phrase::NotInService, 1)]), Some(End::Refused(404))));
        world.call(a, "502");
        world.run_for(secs(1));
        assert_eq!((world.said_to(a), world.ended(a)), (not_available(), Some(End::Refused(480))));
        // Its own tone says so.
        let b = world.add_phone(Handset { behaviour: Behaviour::Reject(486), ..Handset::of("503") });
        world.register(b);
        world.run_for(secs(1));
        world.call(a, "503");
        world.run_for(secs(1));
        assert_eq!((world.said_to(a), world.ended(a)), (Vec::new(), Some(End::Refused(486))));
        world.quiesce();
    }
}
