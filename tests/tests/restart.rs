//! What was confirmed is there after the process has ended, in order or not.

use std::time::Instant;

use tests::baresip::{Baresip, Model};
use tests::curl::Client;
use tests::process::{PATIENCE, Switch, until};

/// A telephone that will not register again within the test.
fn patient(extension: &'static str, tone: u32) -> Model {
    Model { expires: 3_600, ..Model::new(extension, tone) }
}

fn office() -> (Switch, Baresip, Baresip) {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let vanessa = Baresip::start(&switch, patient("501", 440));
    let austin = Baresip::start(&switch, patient("502", 1_000));
    (switch, vanessa, austin)
}

/// What both users' records and the registrations say.
fn remembered(switch: &Switch) -> (Vec<serde_json::Value>, bool) {
    let mut records = Client::login(switch, "501").records(1);
    records.extend(Client::login(switch, "502").records(1));
    let registrations = switch.told(&["registrations"]);
    (records, registrations.contains("501") && registrations.contains("502"))
}

#[test]
fn users_registrations_and_records_survive_a_kill() {
    let (mut switch, mut vanessa, mut austin) = office();
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    austin.hang_up();
    vanessa.closed();
    let before = remembered(&switch);
    assert!(before.1, "both are registered");

    switch.kill();
    switch.run();
    assert_eq!(remembered(&switch), before);
    // They can be called at once, without having registered again.
    austin.call(&mut vanessa);
    austin.hears(440);
    austin.hang_up();
}

/// TERM: no new calls, ten seconds for those that run, then BYE.
#[test]
fn a_call_is_ended_in_order_and_remembered() {
    let (mut switch, mut vanessa, mut austin) = office();
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    switch.add_user("503", "Basil Exposition");
    let mut basil = Baresip::start(&switch, patient("503", 600));

    let asked = Instant::now();
    switch.ask_to_end();
    until("new calls to be refused", || basil.refused("999").starts_with("503").then_some(()));
    vanessa.closed();
    austin.closed();
    assert!(switch.ended().success());
    assert!(asked.elapsed() < PATIENCE, "it took {:?}", asked.elapsed());

    switch.run();
    assert!(remembered(&switch).1, "both are still registered");
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
}
