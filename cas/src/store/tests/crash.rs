//! A process killed in the middle of its writes: whatever it had been told was written is there.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "SWITCH_TEST_CRASH_FOLDER";

/// Not a test by itself: the process that gets killed. It writes without end and prints each call the store has confirmed.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut store = open(Path::new(&folder));
    write(&mut store, &site()).unwrap();
    let thread = StoreThread::start(Box::new(store), HistoryLimits::default(), |call, reply| {
        assert_eq!(reply, Ok(Reply::Written));
        println!("\nconfirmed {call}");
        std::io::stdout().flush().unwrap();
    });
    let thread = thread.unwrap();
    let mut call = 1;
    loop {
        // Both ends of a call in one request: after the crash there are both or neither.
        let ends = vec![Change::PutHistory(record(call, 1, call)), Change::PutHistory(record(call + 1, 2, call))];
        match thread.submit(call, Request::Write(ends)) {
            Ok(()) => call += 2,
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn what_was_confirmed_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    for round in [50, 500, 5000] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let confirmed = lines.filter_map(|line| line.strip_prefix("confirmed ")?.parse().ok());
        let confirmed: Vec<u64> = confirmed.take(round).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(confirmed.len(), round);

        let store = open(folder.path());
        let of = |user, call| {
            let (after, before) = (Some(Wall(call - 1)), Some(Wall(call + 1)));
            store.records(&HistoryQuery { after, before, ..of_user(user) }).unwrap()
        };
        for call in confirmed {
            assert_eq!(of(1, call), [record(call, 1, call)]);
        }
        let newest = |user| store.records(&HistoryQuery { max: 1, ..of_user(user) }).unwrap()[0].started;
        assert_eq!(newest(1), newest(2), "half a request was kept");
    }
}
