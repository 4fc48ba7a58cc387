//! What was confirmed is there after the process has ended, in order or not, and though the disk was full meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use serde_json::json;

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

/// Registrations and messages are refused while nothing can be written, calls go on, and all is well again when there is room, without a restart.
#[test]
fn a_full_disk_ends_no_call_and_loses_no_record() {
    let mut switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    assert!(switch.terminate().success());
    switch.run_on_small_disk(2 << 20);
    let mut vanessa = Baresip::start(&switch, patient("501", 440));
    let mut austin = Baresip::start(&switch, patient("502", 1_000));
    let client = Client::login(&switch, "501");
    vanessa.call(&mut austin);
    vanessa.hears(1_000);

    let filler = switch.seen_data().join("filler");
    let mut file = File::create(&filler).unwrap();
    // Whole blocks first, then what is left of the last.
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    // An open file would keep its room when its name is gone.
    drop(file);
    let mut second = Baresip::boot(switch.sip, patient("501", 440));
    until("a registration to be refused", || second.command("reginfo", None).contains("ERR").then_some(()));
    assert!(switch.log().contains("a registration is refused"), "{}", switch.log());
    drop(second);
    let subscribe = json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["tel", "device"]]});
    let refused = client.ask(&subscribe);
    assert_eq!(refused["error"], 50, "{refused}");
    austin.hears(440);
    austin.hang_up();
    vanessa.closed();
    austin.call(&mut vanessa);
    austin.hears(440);
    austin.hang_up();
    vanessa.closed();
    assert!(switch.log().contains("the disk is full"), "{}", switch.log());

    fs::remove_file(&filler).unwrap();
    assert_eq!(client.ask(&subscribe)["error"], 0);
    Client::login(&switch, "501").records(2);
    Client::login(&switch, "502").records(2);
}
