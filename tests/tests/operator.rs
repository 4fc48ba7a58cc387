//! What an operator does while the switch runs: looks at calls, sessions and registrations, and ends them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tests::baresip::{Baresip, Model, Transport};
use tests::curl::Client;
use tests::process::{Switch, password, secret, until};
use tests::wire::fields;

/// One scenario at a time: telephones have clocks to keep, and the machine may be small.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn office() -> (Switch, Baresip, Baresip) {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let vanessa = Baresip::start(&switch, Model::new("501", 440));
    let austin = Baresip::start(&switch, Model::new("502", 1_000));
    (switch, vanessa, austin)
}

/// The cells of the line that has this word, as wide columns separate them.
fn line<'a>(table: &'a str, word: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in\n{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn a_call_is_shown_while_it_goes_on_and_after_it() {
    let _turn = turn();
    let (switch, mut vanessa, mut austin) = office();
    assert_eq!(switch.told(&["calls"]).lines().count(), 1, "only the header");
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    austin.hears(440);

    let calls = switch.told(&["calls"]);
    let call = line(&calls, "talking");
    assert_eq!(call[1..4], ["501", "502", "talking"]);
    let shown = switch.told(&["call", call[0]]);
    for party in ["caller", "called"] {
        assert!(line(&shown, party).iter().any(|cell| cell.contains("PCMU")), "{shown}");
    }
    let counted = shown.lines().filter(|line| line.starts_with('A') || line.starts_with('B')).nth(2);
    let received = counted.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    assert!(received.is_some_and(|packets| packets > 10), "both send sound:\n{shown}");
    let ladder: Vec<&str> = shown.lines().filter(|line| line.contains('│')).collect();
    let order = ["A INVITE", "A 100 to INVITE", "B INVITE", "B 180 to INVITE", "A 180 to INVITE", "B 200 to INVITE"];
    let mut lines = ladder.iter();
    for message in order.into_iter().chain(["B ACK", "A 200 to INVITE", "A ACK"]) {
        assert!(lines.any(|line| line.contains(message)), "{message} is missing, or out of order:\n{shown}");
    }

    austin.hang_up();
    vanessa.closed();
    until("the end of the call", || (switch.told(&["calls"]).lines().count() == 1).then_some(()));
    let ended = switch.told(&["calls", "--ended"]);
    assert_eq!(line(&ended, call[0]).last(), Some(&"normal"), "{ended}");
    let shown = until("the 200 to both BYEs", || {
        let shown = switch.told(&["call", call[0]]);
        (shown.contains("A 200 to BYE") && shown.contains("B 200 to BYE")).then_some(shown)
    });
    assert!(shown.contains("normal"), "{shown}");
    assert!(switch.complaint(&["call", "1"]).contains("no call 1"));
}

#[test]
fn a_session_is_shown_and_ended() {
    let _turn = turn();
    let switch = Switch::with_users(&[("501", "Vanessa Kensington")]);
    let client = Client::login(&switch, "501");
    assert_eq!(client.status_of_a_request(), 200);
    let sessions = switch.told(&["sessions"]);
    let session = line(&sessions, "501");
    assert!(switch.told(&["session", "end", session[0]]).contains("ended"));
    assert_eq!(switch.told(&["sessions"]).lines().count(), 1);
    assert!(switch.complaint(&["session", "end", session[0]]).contains("no session"));
    assert_eq!(client.status_of_a_request(), 401, "its session is worth nothing any more");
}

#[test]
fn a_registration_is_ended_for_good_until_the_phone_comes_again() {
    let _turn = turn();
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let patient = |extension, tone| Model { expires: 3_600, ..Model::new(extension, tone) };
    let mut switch = switch;
    let mut vanessa = Baresip::start(&switch, patient("501", 440));
    let _austin = Baresip::start(&switch, patient("502", 1_000));
    let told = switch.told(&["registration", "end", "502"]);
    assert!(told.starts_with("502: 1 ended"), "{told}");
    assert!(vanessa.refused("502").starts_with("480"));
    assert!(switch.complaint(&["registration", "end", "502"]).contains("no phone of 502 is registered"));

    // What was told to be forgotten is forgotten by the store too.
    switch.kill();
    switch.run();
    let registrations = switch.told(&["registrations"]);
    assert!(registrations.contains("sip:501") && !registrations.contains("sip:502"), "{registrations}");
}

/// The file that a trace was written to.
fn file(told: &str) -> PathBuf {
    PathBuf::from(told.trim())
}

fn methods(file: &Path) -> BTreeSet<String> {
    fields(file, "sip.Method", &["sip.Method"]).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn a_trace_is_what_wireshark_reads_with_its_secrets_covered() {
    let _turn = turn();
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let file = file(&switch.told(&["trace", "on"]));
    assert!(switch.complaint(&["trace", "on"]).contains("is being written"));
    // One over each transport, registered within the trace.
    let mut vanessa = Baresip::start(&switch, Model::new("501", 440));
    let mut austin = Baresip::start(&switch, Model { transport: Transport::Tcp, ..Model::new("502", 1_000) });
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    austin.hears(440);
    austin.hang_up();
    vanessa.closed();
    assert!(switch.told(&["trace", "status"]).starts_with("on: "));
    let told = switch.told(&["trace", "off"]);
    assert!(told.starts_with("off: ") && !told.contains("found no room"), "{told}");

    assert_eq!(fs::metadata(&file).expect("the file is there").permissions().mode() & 0o777, 0o600);
    let malformed = fields(&file, "_ws.malformed", &["frame.number", "_ws.col.Info"]);
    assert!(malformed.is_empty(), "{malformed:?}");
    let wanted = ["ACK", "BYE", "INVITE", "REGISTER"].map(str::to_owned);
    assert!(wanted.iter().all(|method| methods(&file).contains(method)), "{:?}", methods(&file));
    assert!(!fields(&file, "sip && tcp", &["frame.number"]).is_empty(), "TCP");
    // Both directions of both legs, known as RTP by the SDP alone.
    let streams: BTreeSet<Vec<String>> = fields(&file, "rtp", &["udp.srcport", "udp.dstport"]).into_iter().collect();
    assert_eq!(streams.len(), 4, "{streams:?}");
    let proofs = fields(&file, "sip.auth.digest.response", &["sip.auth.digest.response"]);
    let covered = |proof: &String| proof.trim_matches('"').bytes().all(|byte| byte == b'*');
    assert!(!proofs.is_empty() && proofs.iter().flatten().all(covered), "{proofs:?}");
    let bytes = fs::read(&file).expect("the file is ours");
    for secret in [password("501"), secret("501"), secret("502")] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[test]
fn a_trace_of_one_call_has_no_other() {
    let _turn = turn();
    let (switch, mut vanessa, mut austin) = office();
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    let calls = switch.told(&["calls"]);
    let call = line(&calls, "talking")[0];
    assert!(switch.complaint(&["trace", "on", "--call", "1"]).contains("no call 1"));
    let file = file(&switch.told(&["trace", "on", "--call", call, "--headers"]));
    // A third phone comes and calls meanwhile.
    switch.add_user("503", "Basil Exposition");
    let mut basil = Baresip::start(&switch, Model::new("503", 600));
    basil.dial("*43");
    basil.event("CALL_ESTABLISHED");
    basil.hears(600);
    basil.hang_up();
    austin.hang_up();
    vanessa.closed();
    switch.told(&["trace", "off"]);
    assert!(!methods(&file).contains("REGISTER"), "{:?}", methods(&file));
    assert!(methods(&file).contains("BYE"));
    let strangers = fields(&file, "sip contains \"503\"", &["frame.number"]);
    assert!(strangers.is_empty(), "{strangers:?}");
    // Without the SDP tshark is not told that it is RTP; of its packets nothing but headers is there.
    let sound = fields(&file, "udp.length > 100 && frame.cap_len < 60", &["udp.srcport", "udp.dstport"]);
    let streams: BTreeSet<Vec<String>> = sound.into_iter().collect();
    assert_eq!(streams.len(), 4, "{streams:?}");
}

/// The whole way of a disaster: a backup while calls go on, the folder lost, the backup restored; phones register with the secrets they had.
#[test]
fn a_backup_brings_everything_back() {
    let _turn = turn();
    let (mut switch, mut vanessa, mut austin) = office();
    vanessa.call(&mut austin);
    vanessa.hears(1_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("backup.tar");
    let name = file.to_str().expect("UTF-8").to_owned();
    let told = switch.told(&["backup", &name]);
    assert!(told.contains("2 users"), "{told}");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(switch.complaint(&["backup", &name]).contains("is not overwritten"));
    assert!(switch.complaint(&["restore", &name, "--replace"]).contains("in use"));
    austin.hears(440);
    austin.hang_up();
    drop((vanessa, austin));

    let users = switch.told(&["user", "list"]);
    switch.kill();
    fs::remove_dir_all(switch.data()).expect("the data folder is lost");
    assert!(switch.told(&["restore", &name]).contains("2 users"));
    assert_eq!(switch.told(&["user", "list"]), users);
    switch.run();
    let mut vanessa = Baresip::start(&switch, Model::new("501", 440));
    let mut austin = Baresip::start(&switch, Model::new("502", 1_000));
    vanessa.call(&mut austin);
    austin.hears(440);

    // What is there is replaced when that is wanted, and only by a backup that is whole.
    switch.kill();
    assert!(switch.complaint(&["restore", &name]).contains("has a store already"));
    let bytes = fs::read(&file).expect("it is there");
    let cut = folder.path().join("cut.tar");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
    let cut = cut.to_str().expect("UTF-8").to_owned();
    assert!(switch.complaint(&["restore", &cut, "--replace"]).contains("of no use"));
    assert_eq!(switch.told(&["user", "list"]), users);
    switch.told(&["restore", &name, "--replace"]);
    assert!(switch.data().join("replaced/switch.db").exists());
    switch.run();
    assert_eq!(switch.told(&["user", "list"]), users);
}
