//! The command line and the configuration file, as a user meets them.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tests::process::Switch;

#[test]
fn the_example_is_a_valid_configuration_with_a_comment_for_each_setting() {
    let switch = Switch::new();
    let example = switch.told(&["config", "example"]);
    for setting in ["data", "udp", "tcp", "domain", "digest", "address", "ports", "listen", "level"] {
        let line = example.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{setting} =")));
        let line = line.unwrap_or_else(|| panic!("{setting} is not in the example:\n{example}"));
        assert!(line.split_once('=').is_some_and(|(_, rest)| rest.contains('#')), "no comment: {line}");
    }
    switch.configure(&example);
    let file = switch.config();
    switch.told(&["config", "check", file.to_str().expect("UTF-8")]);
    assert!(!switch.data().exists(), "no first start is needed, and none is made");
}

#[test]
fn a_wrong_file_ends_the_start_with_one_line_that_says_where_and_what() {
    let switch = Switch::new();
    let file = switch.config();
    let wrong = [
        ("[sip]\nudp = [\"nonsense\"]\n", 2, "nonsense"),
        ("[sip]\nupd = []\n", 2, "upd"),
        ("[media]\nports = \"9-1\"\n", 2, "9-1"),
        ("[sip]\n\ndigest = \"sha1\"\n", 3, "sha1"),
        ("data = \n", 1, ""),
    ];
    for (text, line, word) in wrong {
        switch.configure(text);
        for arguments in [&["run"][..], &["config", "check", file.to_str().expect("UTF-8")]] {
            let complaint = switch.complaint(arguments);
            let place = complaint.contains(&format!("line {line}")) || complaint.contains(&format!(":{line}:"));
            assert!(place && complaint.contains(word), "{text:?}: {complaint}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let switch = Switch::new();
    std::fs::remove_file(switch.config()).expect("it was there");
    assert!(switch.complaint(&["run"]).contains("switch.toml"));
}

#[test]
fn a_taken_port_is_named() {
    let switch = Switch::new();
    let complaint_names = |address: std::net::SocketAddr| {
        let complaint = switch.complaint(&["run"]);
        assert!(complaint.contains(&address.to_string()), "{complaint}");
    };
    let udp = UdpSocket::bind(switch.sip).expect("free");
    complaint_names(switch.sip);
    drop(udp);
    for address in [switch.sip, switch.http] {
        let _taken = TcpListener::bind(address).expect("free");
        complaint_names(address);
    }
}

#[test]
fn users_are_managed_while_the_switch_runs_and_while_it_does_not() {
    let mut switch = Switch::new();
    switch.add_user("501", "Vanessa Kensington");
    let random = switch.told(&["user", "add", "502", "--name", "Austin Powers"]);
    switch.run();
    switch.add_user("503", "Basil Exposition");
    assert!(switch.complaint(&["user", "add", "501", "--name", "Again"]).contains("501"));
    assert!(switch.complaint(&["user", "remove", "999"]).contains("999"));
    switch.told(&["user", "remove", "501"]);
    let list = switch.told(&["user", "list"]);
    let listed = |name: &str| list.contains(name);
    assert!(!listed("Vanessa") && listed("Austin Powers") && listed("Basil Exposition"), "{list}");
    switch.terminate();
    assert_eq!(switch.told(&["user", "list"]), list);

    // What was made at random is told once, and nowhere else.
    let secrets: Vec<_> = random.split_whitespace().filter(|word| word.len() >= 12).collect();
    assert!(secrets.len() >= 2, "a password and a SIP secret: {random}");
    for secret in secrets {
        assert!(!list.contains(secret) && !switch.log().contains(secret), "{secret} is told again");
    }
}

#[test]
fn only_the_owner_may_open_the_control_socket() {
    let switch = Switch::start();
    let socket = std::fs::metadata(switch.data().join("switch.sock")).expect("the socket is there");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(!switch.told(&["status"]).is_empty());
}

#[test]
fn a_second_switch_on_the_same_data_is_refused() {
    let switch = Switch::start();
    switch.complaint(&["run"]);
    switch.told(&["status"]);
}

/// S59, S20: the program shows a call by itself.
#[test]
fn the_demo_shows_a_call() {
    let shown = Switch::new().told(&["demo", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("one JSON object");
    assert_eq!(shown["ok"], true, "{shown}");
    assert_eq!(shown["registered"], 2, "{shown}");
    assert_eq!(shown["rtp_lost"], 0, "{shown}");
    assert_ne!(shown["heard"]["501"], shown["heard"]["502"], "{shown}");
    assert!(shown["make_call_to_invite_us"].is_u64() && shown["events"].is_array(), "{shown}");
}
