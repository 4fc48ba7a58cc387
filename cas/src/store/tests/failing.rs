//! A disk that fails now and then, or cannot be written at all: each write is there whole or was refused with the reason, and the next one works without
//! the store having been opened anew.

use std::process::{Command, Output};

use super::*;

const FOLDER: &str = "SWITCH_TEST_FAILING_FOLDER";
const WRITER: &str = "store::tests::failing::writer";
const STARTER: &str = "store::tests::failing::starter";

/// Requests the writer makes.
const REQUESTS: u64 = 4;

/// Both ends of a call, and a registration: all three are there or none.
fn request(n: u64) -> Vec<Change> {
    vec![
        Change::PutHistory(record(2 * n, 1, n)),
        Change::PutBinding(BindingRecord { cseq: n as u32, ..binding(1, "sip:501@192.0.2.7", u64::MAX >> 1) }),
        Change::PutHistory(record(2 * n + 1, 2, n)),
    ]
}

/// Exactly this is there: the calls of both users, and the registration of the last.
fn holds(store: &Sqlite, confirmed: &[u64]) {
    for user in [1, 2] {
        let records = store.records(&of_user(user)).unwrap();
        let calls: Vec<u64> = records.iter().rev().map(|record| record.started.0).collect();
        assert_eq!(calls, confirmed, "of user {user}");
    }
    let registration = store.bindings().unwrap().first().map(|binding| u64::from(binding.cseq));
    assert_eq!(registration, confirmed.last().copied());
}

/// Not a test by itself: the process whose disk fails once. It prints what was confirmed and what was refused, and looks after each write what is there.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn writer() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let mut store = match Sqlite::open(Folder::open(Path::new(&path)).unwrap(), REALM) {
        Ok(store) => store,
        Err(error) => return println!("\nrefused {error}"),
    };
    let mut confirmed = Vec::new();
    for n in 1..=REQUESTS {
        match write(&mut store, &request(n)) {
            Ok(()) => {
                println!("\nconfirmed {n}");
                confirmed.push(n);
            }
            Err(error) => println!("\nrefused {}", error.0),
        }
        holds(&store, &confirmed);
    }
}

/// Not a test by itself: a start of the switch. It prints why there is none.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn starter() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let error = match Folder::open(Path::new(&path)) {
        Ok(folder) => Sqlite::open(folder, REALM).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    println!("\nrefused {error}");
}

/// What a process printed behind this word.
fn printed(output: &Output, word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    text.lines().filter_map(|line| Some(line.strip_prefix(word)?.trim_start().to_owned())).collect()
}

/// The nth of these system calls fails, for each n; what was refused, and why, in each of these lives.
fn with_each_failing(call: &str, error: &str) -> Vec<Vec<String>> {
    let mut lives = Vec::new();
    loop {
        let scratch = tempfile::tempdir().unwrap();
        let (folder, log) = (scratch.path().join("data"), scratch.path().join("log"));
        write(&mut open(&folder), &site()).unwrap();
        let inject = format!("inject={call}:error={error}:when={}", lives.len() + 1);
        let output = Command::new("strace")
            .args(["-f", "-e", &format!("trace={call}"), "-e", &inject, "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", WRITER, "--ignored", "--nocapture"])
            .env(FOLDER, &folder)
            .output()
            .expect("strace is installed (tests/setup.sh)");
        let refused = printed(&output, "refused");
        let confirmed: Vec<u64> = printed(&output, "confirmed").iter().map(|n| n.parse().unwrap()).collect();
        holds(&open(&folder), &confirmed);
        if !std::fs::read_to_string(&log).unwrap().contains("(INJECTED)") {
            assert_eq!(refused, [""; 0], "nothing failed");
            return lives;
        }
        lives.push(refused);
    }
}

/// One failure costs one write, or the start, and the operator reads why; each write was hit by one of them.
fn each_is_told(call: &str, error: &str, told: &str) {
    let lives = with_each_failing(call, error);
    assert!(lives.iter().all(|refused| refused.len() <= 1), "{call} {error}: {lives:?}");
    let (starts, writes): (Vec<&String>, Vec<&String>) =
        lives.iter().flatten().partition(|message| message.starts_with("cannot open "));
    assert!(starts.iter().all(|message| message.contains("switch.db: the disk ")), "{call} {error}: {lives:?}");
    assert!(writes.iter().all(|message| message.starts_with(told)), "{call} {error}: {lives:?}");
    assert!(writes.len() as u64 >= REQUESTS, "{call} {error}: {lives:?}");
}

#[test]
fn a_failing_disk_is_told_and_half_of_nothing_is_kept() {
    each_is_told("pwrite64", "EIO", "the disk fails (");
}

#[test]
fn a_disk_that_is_full_for_a_moment_is_told_and_half_of_nothing_is_kept() {
    each_is_told("pwrite64", "ENOSPC", "the disk is full");
}

/// What a kernel does to a file system that it finds damaged.
#[test]
fn a_file_system_that_becomes_read_only_is_told_and_half_of_nothing_is_kept() {
    each_is_told("pwrite64", "EROFS", "the disk fails (");
}

/// Starts with this, in the data folder, mounted on itself for reading only, in a view of its own.
fn start_with_read_only(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &site()).unwrap();
    let before = everything(&mut store);
    drop(store);
    let script =
        r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$0" --exact "$2" --ignored --nocapture"#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path().join(name))
        .arg(STARTER)
        .env(FOLDER, folder.path())
        .output()
        .expect("unshare is part of util-linux");
    let refused = printed(&output, "refused");
    assert_eq!(everything(&mut open(folder.path())), before);
    assert_eq!(refused.len(), 1, "{refused:?}");
    (refused.concat(), folder.path().display().to_string())
}

#[test]
fn a_start_on_a_read_only_file_system_is_refused_and_changes_nothing() {
    let (refused, folder) = start_with_read_only("");
    let folder = folder.trim_end_matches('/');
    assert_eq!(refused, format!("cannot write {folder}/switch.lock: Read-only file system (os error 30)"));
}

#[test]
fn a_start_on_a_read_only_database_is_refused_and_changes_nothing() {
    let (refused, folder) = start_with_read_only("switch.db");
    assert_eq!(refused, format!("cannot open {folder}/switch.db: Read-only file system (os error 30)"));
}
