//! The disk is full, fails or is slow, and recovers: in virtual time.

use std::time::Duration;

use cas::site::UserId;
use cas::store::History;
use serde_json::json;
use tests::world::{Behaviour, Handset, PhoneId, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn in_call() -> (World, PhoneId, PhoneId) {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.connect_call(a, b);
    (world, a, b)
}

/// Causes and durations in seconds of a user's records.
fn records(world: &World, user: &str) -> Vec<(String, u64)> {
    let records = world.records_of(user).into_iter();
    records.map(|record| (record.cause, record.duration_msec / 1000)).collect()
}

#[test]
fn a_call_that_the_end_of_the_switch_cut_short_is_in_the_history() {
    let (mut world, ..) = in_call();
    world.run_for(secs(8));
    assert_eq!(records(&world, "501"), [], "it goes on");
    world.restart();
    for user in ["501", "502"] {
        assert_eq!(records(&world, user), [("restart".to_owned(), 0)]);
    }
}

#[test]
fn a_call_that_ends_has_one_record_however_long_it_was() {
    for (length, begins) in [(2, 0), (4, 0), (6, 1), (60, 1)] {
        let (mut world, a, _) = in_call();
        world.run_for(secs(length));
        assert_eq!(world.store().count_records(UserId(2)), Ok(begins), "after {length} s");
        world.hang_up(a);
        world.run_for(secs(10));
        for user in ["501", "502"] {
            let records = records(&world, user);
            assert!(matches!(&records[..], [(cause, _)] if cause == "normal"), "{records:?}");
        }
        world.quiesce();
    }
}

#[test]
fn calls_go_on_while_the_disk_is_full_and_their_records_are_written_when_there_is_room() {
    let (mut world, a, b) = in_call();
    world.fail_store(true);
    for _ in 0..3 {
        world.run_for(secs(7));
        assert!(world.hear_each_other(a, b));
        world.hang_up(a);
        world.run_for(secs(3));
        world.connect_call(b, a);
    }
    assert_eq!(records(&world, "501"), []);
    world.fail_store(false);
    world.run_for(secs(12));
    assert_eq!(records(&world, "501").len(), 3);
    assert_eq!(records(&world, "502").len(), 3);
    world.hang_up(a);
    world.quiesce();
}

#[test]
fn a_client_is_told_and_nothing_is_half_done() {
    let mut world = World::new(1);
    let phone = world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of("501") });
    world.register(phone);
    let client = world.log_in("501");
    world.fail_store(true);
    let message = json!({"topic": "subscribe", "message": "unsubscribe", "unsubscribe": [["tel", "device"]]});
    let refused = world.execute(client, message.clone());
    assert_eq!((&refused["response"], &refused["error"]), (&json!(0), &json!(50)), "{refused}");
    let listed = world.execute(client, json!({"topic": "subscribe", "message": "list"}));
    assert_eq!(listed["subscriptions"].as_array().map(Vec::len), Some(2), "the head and the row: {listed}");
    world.fail_store(false);
    let done = world.execute(client, message);
    assert_eq!((&done["error"], done["subscriptions"].as_array().map(Vec::len)), (&json!(0), Some(1)), "{done}");
    world.quiesce();
}
