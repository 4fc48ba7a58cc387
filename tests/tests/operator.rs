//! What an operator does while the switch runs: looks at calls, sessions and registrations, and ends them.

use serde_json::json;
use tests::baresip::{Baresip, Model};
use tests::curl::Client;
use tests::process::{Switch, until};

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
    let switch = Switch::with_users(&[("501", "Vanessa Kensington")]);
    let mut client = Client::login(&switch, "501");
    let sessions = switch.told(&["sessions"]);
    let session = line(&sessions, "501");
    assert!(switch.told(&["session", "end", session[0]]).contains("ended"));
    assert_eq!(switch.told(&["sessions"]).lines().count(), 1);
    assert!(switch.complaint(&["session", "end", session[0]]).contains("no session"));
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        client.execute("session", "keep-alive", json!({}));
    }));
    assert!(asked.is_err(), "its token is worth nothing any more");
}

#[test]
fn a_registration_is_ended_for_good_until_the_phone_comes_again() {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    let patient = |extension, tone| Model { expires: 3_600, ..Model::new(extension, tone) };
    let mut switch = switch;
    let mut vanessa = Baresip::start(&switch, patient("501", 440));
    let _austin = Baresip::start(&switch, patient("502", 1_000));
    let told = switch.told(&["registration", "end", "502"]);
    assert!(told.starts_with("502: 1 ended"), "{told}");
    assert!(vanessa.refused("502").starts_with("480"));
    assert!(switch.complaint(&["registration", "end", "502"]).contains("not registered"));

    // What was told to be forgotten is forgotten by the store too.
    switch.kill();
    switch.run();
    let registrations = switch.told(&["registrations"]);
    assert!(registrations.contains("sip:501") && !registrations.contains("sip:502"), "{registrations}");
}
