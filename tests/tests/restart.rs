//! What was confirmed is there after the process has ended, in order or not, and though the disk was full meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
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

/// Registrations and messages are refused while nothing can be written, calls go on, and all is well again as soon as the disk is, without a restart.
/// `breaks` ends the disk's health, and what it yields gives it back when dropped; `told` is what the log says.
fn a_bad_disk_ends_no_call_and_loses_no_record<T>(breaks: impl FnOnce(&Switch) -> T, told: &str) {
    let mut switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    assert!(switch.terminate().success());
    switch.run_on_small_disk(2 << 20);
    let mut vanessa = Baresip::start(&switch, patient("501", 440));
    let mut austin = Baresip::start(&switch, patient("502", 1_000));
    let client = Client::login(&switch, "501");
    vanessa.call(&mut austin);
    vanessa.hears(1_000);

    let broken = breaks(&switch);
    let mut second = Baresip::boot(switch.sip, patient("501", 440));
    until("a registration to be refused", || second.command("reginfo", None).contains("ERR").then_some(()));
    // The log is written by a thread of its own.
    until("the log to say so", || switch.log().contains("a registration is refused").then_some(()));
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
    until("the log to say why", || switch.log().contains(told).then_some(()));

    drop(broken);
    assert_eq!(client.ask(&subscribe)["error"], 0);
    Client::login(&switch, "501").records(2);
    Client::login(&switch, "502").records(2);
}

/// The rest of a disk, taken; given back when dropped.
struct Filler(PathBuf);

impl Filler {
    fn of(folder: &Path) -> Filler {
        let filler = Filler(folder.join("filler"));
        let mut file = File::create(&filler.0).expect("there is room for a name");
        // Whole blocks first, then what is left of the last. (An open file would keep its room when its name is gone.)
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // If it stays, what follows finds the disk full.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_full_disk_ends_no_call_and_loses_no_record() {
    a_bad_disk_ends_no_call_and_loses_no_record(|switch| Filler::of(&switch.seen_data()), "the disk is full");
}

#[test]
fn a_failing_disk_ends_no_call_and_loses_no_record() {
    a_bad_disk_ends_no_call_and_loses_no_record(|switch| switch.fail_disk("EIO"), "the disk fails");
}

/// What the kernel does to a file system that it finds damaged.
#[test]
fn a_disk_that_becomes_read_only_ends_no_call_and_loses_no_record() {
    a_bad_disk_ends_no_call_and_loses_no_record(|switch| switch.fail_disk("EROFS"), "the disk fails");
}

#[test]
fn a_start_on_a_read_only_disk_is_refused_in_a_line_and_changes_nothing() {
    let (mut switch, vanessa, austin) = office();
    drop((vanessa, austin));
    assert!(switch.terminate().success());
    let users = switch.told(&["user", "list"]);
    let refused = switch.refused_on_read_only_disk();
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert!(refused.contains("switch.lock") && refused.contains("Read-only file system"), "{refused}");
    assert_eq!(switch.told(&["user", "list"]), users);
    switch.run();
    let registrations = switch.told(&["registrations"]);
    assert!(registrations.contains("501") && registrations.contains("502"), "{registrations}");
}
