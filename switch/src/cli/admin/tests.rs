use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use cas::site::{Access, MachineKey};
use cas::store::folder::Folder;
use cas::store::sqlite::Sqlite;
use cas::store::{self, Snapshot};
use cas::time::Wall;
use clap::Parser;

use super::super::{Cli, Command};
use super::*;
use crate::entropy::System;

fn config(data: &Path) -> Config {
    Config { data: data.to_owned(), ..Config::default() }
}

fn command(line: &str) -> AdminCommand {
    let words = line.split('|').flat_map(|part| match part.strip_prefix('"') {
        Some(quoted) => vec![quoted.trim_end_matches('"')],
        None => part.split_whitespace().collect(),
    });
    match Cli::try_parse_from(std::iter::once("switch").chain(words)).map(|cli| cli.command) {
        Ok(Some(Command::Admin(command))) => command,
        other => panic!("{line}: {:?}", other.err()),
    }
}

/// What the command shows, or its error.
fn shown(data: &Path, line: &str) -> Result<String, String> {
    run(&command(line), &config(data)).map(|shown| shown.text).map_err(|error| error.to_string())
}

fn stored(data: &Path) -> (Snapshot, MachineKey) {
    let folder = Folder::open(data).unwrap();
    let key = folder.machine_key(&mut System::default()).unwrap();
    let mut store = Sqlite::open(folder, "-").unwrap();
    (store::snapshot(&mut store, Wall(0)).unwrap(), key)
}

/// A switch that answers one line, and returns what it was asked.
fn fake_switch(data: &Path, reply: &'static str) -> thread::JoinHandle<Value> {
    let listener = UnixListener::bind(data.join(crate::console::SOCKET)).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(reply.as_bytes()).unwrap();
        serde_json::from_str(&line).unwrap()
    })
}

#[test]
fn a_user_is_added_to_the_running_switch_and_his_secrets_are_shown_once() {
    let data = tempfile::tempdir().unwrap();
    let reply = "{\"error\":0,\"user-id\":\"1\",\"user\":\"501\",\"password\":\"pw\",\"sip-secret\":\"s3cret\"}\n";
    let switch = fake_switch(data.path(), reply);
    let text =
        shown(data.path(), "user add 501 --name|\"Vanessa Kensington\"|--email v@example.org --digest both").unwrap();
    assert_eq!(
        text,
        "501 is added: Vanessa Kensington.\n  CAS password  pw\n  SIP secret    s3cret\nWrite it down: it is not shown again.\n"
    );
    let expected = json!({
        "topic": "config", "message": "add-user", "ext": "501", "name": "Vanessa Kensington", "email": "v@example.org",
        "digest": "both",
    });
    assert_eq!(switch.join().unwrap(), expected);
}

#[test]
fn secrets_that_were_given_are_not_repeated() {
    let data = tempfile::tempdir().unwrap();
    let switch = fake_switch(data.path(), "{\"error\":0}\n");
    let text = shown(data.path(), "user set-secret 501 hunter2").unwrap();
    assert_eq!(text, "501 has another SIP secret: its phone must be given it too.\n");
    let expected = json!({"topic": "config", "message": "set-sip-secret", "ext": "501", "sip-secret": "hunter2"});
    assert_eq!(switch.join().unwrap(), expected);
}

#[test]
fn a_refusal_is_told_in_its_own_words() {
    let data = tempfile::tempdir().unwrap();
    let switch = fake_switch(data.path(), "{\"error\":11,\"error-text\":\"there is no user 509\"}\n");
    assert_eq!(shown(data.path(), "user remove 509").unwrap_err(), "there is no user 509");
    assert_eq!(switch.join().unwrap()["message"], "delete-user");
}

#[test]
fn a_switch_that_ends_or_babbles_is_told() {
    for (reply, expected) in
        [("", "it ended before it had answered"), ("hello\n", "no CAS reply"), ("{}\n", "no CAS reply")]
    {
        let data = tempfile::tempdir().unwrap();
        let switch = fake_switch(data.path(), reply);
        let error = shown(data.path(), "user list").unwrap_err();
        assert!(error.contains(expected), "{error}");
        switch.join().unwrap();
    }
}

#[test]
fn registrations_are_a_table() {
    let reply = json!({"registrations": [
        ["device", "user", "sip-user", "contact", "source", "agent", "expires"],
        ["1", "501", "501", "sip:501@192.0.2.7:5062", "udp 192.0.2.7:5062", "Phone\u{7}", 61_000],
        ["2", null, "reception", "sip:r@[2001:db8::1]", "tcp [2001:db8::1]:4000", "", 500],
    ]});
    assert_eq!(
        registrations(reply.as_object().unwrap(), 1000),
        "USER  SIP USER   CONTACT                 SOURCE                  AGENT   EXPIRES\n\
         501   501        sip:501@192.0.2.7:5062  udp 192.0.2.7:5062      Phone?  60 s\n      \
               reception  sip:r@[2001:db8::1]     tcp [2001:db8::1]:4000          0 s\n"
    );
}

#[test]
fn users_are_a_table() {
    let devices =
        json!([["device", "sip-user", "digest", "address"], ["1", "501", null, null], ["2", "501b", "md5", null]]);
    let gateway = json!([["device", "sip-user", "digest", "address"], ["3", null, null, "192.0.2.1:5060"]]);
    let reply = json!({"users": [
        ["user-id", "user", "first", "last", "email", "role", "devices", "pickup-group"],
        ["1", "admin", "Administrator", "", null, "admin", [], null],
        ["2", "501", "Vanessa", "Kensington", "v@example.org", "user", devices, "sales"],
        ["3", "9", "Trunk", "", null, "user", gateway, null],
    ]});
    assert_eq!(
        users(reply.as_object().unwrap()),
        "EXT    NAME                ROLE   E-MAIL         PICKUP GROUP  PHONES\n\
         admin  Administrator       admin\n\
         501    Vanessa Kensington  user   v@example.org  sales         501, 501b (md5)\n\
         9      Trunk               user                                192.0.2.1:5060\n"
    );
}

#[test]
fn the_status_of_a_switch_that_does_not_run_says_so_and_fails() {
    let reply = json!({"error": 0, "state": "running", "users": 2});
    let reply = reply.as_object().unwrap();
    let running = status(&Answer { reply: reply.clone(), running: true });
    assert!(running.well && running.text.starts_with("state          running\n"), "{}", running.text);
    let stopped = status(&Answer { reply: reply.clone(), running: false });
    assert!(!stopped.well && stopped.text.starts_with("state          not running\n"), "{}", stopped.text);
}

#[test]
fn without_a_switch_users_are_added_in_the_store() {
    let data = tempfile::tempdir().unwrap();
    let data = &data.path().join("data");
    let text = shown(data, "user add 501 --name|\"Vanessa Kensington\"|--pin 1234").unwrap();
    let secret = text.lines().find_map(|line| line.trim().strip_prefix("SIP secret")).unwrap().trim().to_owned();
    shown(data, "user add 9 --name Trunk --address 192.0.2.1:5060 --password x --role admin").unwrap();
    assert_eq!(
        shown(data, "user list").unwrap(),
        "EXT  NAME                ROLE   E-MAIL  PICKUP GROUP  PHONES\n\
         501  Vanessa Kensington  user                         501\n\
         9    Trunk               admin                        192.0.2.1:5060\n"
    );
    let (snapshot, key) = stored(data);
    assert_eq!(snapshot.realm, "switch.local");
    let Access::Digest { secret: sealed, .. } = &snapshot.devices[0].access else { panic!("a phone") };
    assert_eq!(key.open(sealed).unwrap(), secret.as_bytes());
    assert!(snapshot.users.iter().all(|user| user.password_hash.starts_with("$argon2id$")));

    shown(data, "user set-secret 501 hunter2").unwrap();
    let (snapshot, key) = stored(data);
    let Access::Digest { secret: sealed, .. } = &snapshot.devices[0].access else { panic!("a phone") };
    assert_eq!(key.open(sealed).unwrap(), b"hunter2");

    assert_eq!(shown(data, "user remove 501").unwrap(), "501 is removed.\n");
    assert_eq!(stored(data).0.users.len(), 1);
    assert_eq!(shown(data, "user remove 501").unwrap_err(), "there is no user 501");
}

#[test]
fn s90_s91_call_handling_is_shown_and_set_and_every_mode_can_be_named() {
    let data = tempfile::tempdir().unwrap();
    let data = &data.path().join("data");
    shown(data, "user add 501 --name V --password x --sip-secret x").unwrap();
    assert_eq!(
        shown(data, "handling 501").unwrap(),
        "501  Standard (chosen by hand)\n     the phones ring, and nothing else happens\n"
    );
    assert_eq!(
        shown(data, "handling 501 out-of-office").unwrap(),
        "501       Out of Office (chosen by hand)\n  always  voicemail\n"
    );
    for mode in cas::site::handling::Mode::ALL {
        let text = shown(data, &format!("handling 501 {}", mode.name())).unwrap();
        assert!(text.contains(mode.title()), "{text}");
    }
    assert_eq!(
        shown(data, "handling 501 schedule").unwrap().lines().next(),
        Some("501  Custom (by the schedule: off-hours)")
    );
    let (snapshot, _) = stored(data);
    assert!(snapshot.handlings[0].1.follows);
    assert_eq!(shown(data, "handling 509").unwrap_err(), "there is no user 509");
}

#[test]
fn all_rules_of_a_mode_are_told() {
    let reply = json!({"user": "501", "name": "Custom", "source": "custom", "until": 1_795_779_268_999_u64, "rules": {
        "dnd": true, "always": null, "busy": "502", "no-answer": {"rings": 3, "to": "voicemail"},
        "not-registered": "0171", "find-me": ["1", "2"], "ring-also": []}});
    assert_eq!(
        handling(reply.as_object().unwrap()),
        "501               Custom (by the schedule: custom, until 2026-11-27 11:34:28 UTC)\n\
         \u{20} dnd             yes\n\
         \u{20} busy            502\n\
         \u{20} no-answer       after 3 rings: voicemail\n\
         \u{20} not-registered  0171\n\
         \u{20} find-me         1, 2\n"
    );
}

#[test]
fn asking_makes_no_store() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for line in ["status", "registrations", "user list"] {
        let error = shown(&data, line).unwrap_err();
        assert_eq!(error, format!("no switch runs, and {} has no store yet: start one, or add a user", data.display()));
        assert!(!data.exists(), "{line}");
    }
}

#[test]
fn a_store_in_use_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let _switch = Folder::open(data.path()).unwrap();
    let error = shown(data.path(), "user add 501 --name V").unwrap_err();
    assert!(error.starts_with("the data folder is in use"), "{error}");
}
