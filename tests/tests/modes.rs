//! Call handling modes, in virtual time: what a client sets reaches clients and telephones, by hand and by the clock, and outlives a restart.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::needless_pass_by_value, reason = "members are written where they are sent")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::template::{Sip, Template};
use tests::world::{ClientId, World};

/// The world begins on a Tuesday, 2023-11-14 22:13:20 UTC.
const LUNCH: (&str, &str) = ("2023-11-14T22:20", "2023-11-14T22:25");

fn ask(world: &mut World, client: ClientId, name: &str, members: Value) -> Value {
    let mut message = json!({"topic": "config", "message": name});
    message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let reply = world.execute(client, message);
    assert_eq!(reply["error"], 0, "{reply}");
    reply
}

/// The events of the configuration a client was told, in order: what is in force.
fn modes(world: &mut World, client: ClientId) -> Vec<String> {
    let events = world.events_told(client).into_iter().filter(|event| event["message"] == "call-handling-evt");
    events.map(|event| format!("{} {}", event["source"].as_str().unwrap(), event["mode"].as_str().unwrap())).collect()
}

/// The next NOTIFY, answered.
#[track_caller]
fn take(world: &mut World, phone: &mut Template) -> Sip {
    let notify = phone.wait_request(world, "NOTIFY");
    phone.respond(world, &notify, 200, "", "");
    notify
}

fn subscribe(world: &mut World, phone: &mut Template) -> Sip {
    phone.ask(world, "SUBSCRIBE", "502", "Event: presence\r\nAccept: application/pidf+xml\r\n", "");
    let answer = phone.wait(world, |sip| sip.status() >= 200 && sip.method() == "SUBSCRIBE");
    assert_eq!(answer.status(), 200, "{answer:?}");
    take(world, phone)
}

#[track_caller]
fn shows(notify: &Sip, note: &str, activities: &str) {
    assert!(notify.body().contains(&format!("<note>{note}</note>")), "{note}: {}", notify.body());
    match activities {
        "" => assert!(!notify.body().contains("<rpid:activities>"), "{}", notify.body()),
        some => {
            assert!(notify.body().contains(&format!("<rpid:activities>{some}</rpid:activities>")), "{}", notify.body())
        }
    }
}

#[test]
fn s133_a_mode_set_by_a_client_is_seen_by_clients_and_telephones() {
    let mut world = World::new(1);
    let [_, _] = world.add_phones(["501", "502"]);
    let client = world.log_in("502");
    world.execute(client, json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["config"]]}));
    let mut phone = Template::new("503", 1);
    shows(&subscribe(&mut world, &mut phone), "Available", "");
    for (members, note, activities) in [
        (json!({"mode": "out-of-office"}), "Out of Office", "<rpid:away/>"),
        (json!({"mode": "extended-absence"}), "Extended Absence", "<rpid:vacation/>"),
        (json!({"mode": "in-a-meeting"}), "In a Meeting", "<rpid:meeting/>"),
        (json!({"mode": "standard", "rules": {"dnd": true}}), "Do not disturb", "<rpid:busy/>"),
        (json!({"rules": {"dnd": false}}), "Available", ""),
    ] {
        ask(&mut world, client, "set-call-handling", members);
        shows(&take(&mut world, &mut phone), note, activities);
    }
    let told = modes(&mut world, client);
    let expected =
        ["hand out-of-office", "hand extended-absence", "hand in-a-meeting", "hand standard", "hand standard"];
    assert_eq!(told, expected);
}

#[test]
fn s133_a_mode_that_the_clock_changes_is_told_at_the_instant() {
    let mut world = World::new(1);
    let [_, _] = world.add_phones(["501", "502"]);
    let client = world.log_in("502");
    world.execute(client, json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["config"]]}));
    let entries = json!([["from", "to", "mode", "name"], [LUNCH.0, LUNCH.1, "in-a-meeting", "Lunch"]]);
    ask(&mut world, client, "set-schedule", json!({"kind": "custom", "entries": entries}));
    let reply = ask(&mut world, client, "set-call-handling", json!({"follow-schedule": true}));
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let until = reply["until"].as_u64().unwrap();
    assert_eq!(until, 1_700_000_000_000 + 400_000, "{reply}");
    let mut phone = Template::new("503", 1);
    shows(&subscribe(&mut world, &mut phone), "Available", "");
    assert_eq!(modes(&mut world, client), ["off-hours standard"], "he follows from now on");

    // The client is there all the while.
    while until - world.now().wall.0 > 60_000 {
        world.run_for(minutes(1));
        assert_eq!(modes(&mut world, client), [""; 0]);
    }
    let left = Duration::from_millis(until - world.now().wall.0);
    world.run_for(left - Duration::from_millis(1));
    assert_eq!(modes(&mut world, client), [""; 0]);
    world.run_for(Duration::from_millis(1));
    assert_eq!(modes(&mut world, client), ["custom in-a-meeting"]);
    shows(&take(&mut world, &mut phone), "In a Meeting", "<rpid:meeting/>");

    world.run_for(minutes(1));
    world.restart();
    let client = world.log_in("502");
    let reply = ask(&mut world, client, "get-call-handling", json!({}));
    assert_eq!((&reply["mode"], &reply["source"]), (&json!("in-a-meeting"), &json!("custom")), "{reply}");
    let mut phone = Template::new("503", 2);
    shows(&subscribe(&mut world, &mut phone), "In a Meeting", "<rpid:meeting/>");
    let end = until + 5 * 60_000;
    world.run_for(Duration::from_millis(end - world.now().wall.0));
    shows(&take(&mut world, &mut phone), "Available", "");
}
