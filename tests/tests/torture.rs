//! Every message of RFC 4475 and RFC 5118 to the real switch, over UDP and TCP, and an OPTIONS after each. What it answers is the table in
//! `tests/TORTURE.md`; `TORTURE=write cargo test -p tests --test torture` writes it anew.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use tests::process::Switch;
use tests::stranger::{Connection, Stranger, own_address};
use tests::template::Sip;
use tests::torture::{MESSAGES, Message};

/// The ports that Vias of the sets name.
const PORTS: [u16; 3] = [5050, 6050, 19_823];

/// What the switch made of a message.
struct Verdict {
    udp: String,
    tcp: String,
    /// Over UDP from a gateway, which is believed: only then are the offer and the number looked at.
    trusted: String,
}

#[test]
fn every_torture_message_gets_its_verdict_and_harms_nothing() {
    let mut table = String::new();
    let ipv4 = Switch::start();
    let mut gateway = Stranger::at(own_address(2), &PORTS, ipv4.sip);
    ipv4.told(&["user", "add", "600", "--name", "PSTN", "--address", &gateway.address().to_string()]);
    let stranger = Stranger::at(own_address(1), &PORTS, ipv4.sip);
    write_table(&mut table, 4475, "over IPv4", stranger, &mut gateway);

    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let ipv6 = Switch::start_on(host);
    let stranger = Stranger::at(host, &PORTS, ipv6.sip);
    write_table(&mut table, 5118, "over IPv6, to trust over IPv4", stranger, &mut gateway);

    for switch in [ipv4, ipv6] {
        assert!(!switch.log().contains("panicked"), "{}", switch.log());
    }
    compare(&table);
}

fn write_table(table: &mut String, rfc: u16, how: &str, mut stranger: Stranger, gateway: &mut Stranger) {
    table.push_str(&format!(
        "\n## RFC {rfc}, {how}\n\n| § | message | what is odd | the RFC asks | UDP | TCP | trusted |\n|---|---|---|---|---|---|---|\n"
    ));
    for message in MESSAGES.iter().filter(|message| message.rfc == rfc) {
        let Message { section, name, title, asks, .. } = message;
        let Verdict { udp, tcp, trusted } = judge(message, &mut stranger, gateway);
        let (title, asks) = (title.replace('<', "&lt;").replace('>', "&gt;"), asks.describe());
        table.push_str(&format!("| {section} | {name} | {title} | {asks} | {udp} | {tcp} | {trusted} |\n"));
    }
}

fn judge(message: &Message, stranger: &mut Stranger, gateway: &mut Stranger) -> Verdict {
    let bytes = message.bytes();
    let answers = stranger.ask(&bytes);
    let udp = finals(&answers);
    assert!(message.asks.allows(&udp, false), "{} over UDP was answered {answers:?}", message.name);

    let mut connection = Connection::open(stranger.switch());
    connection.send(&bytes);
    let rest = message.missing();
    connection.send(&vec![b'\n'; rest]);
    let (answers, open) = connection.answers();
    let tcp = finals(&answers);
    // A stream has no end of a datagram that would say what is missing.
    let judged_by_its_length = rest > 0 || !open;
    assert!(
        judged_by_its_length || message.asks.allows(&tcp, false),
        "{} over TCP was answered {answers:?}",
        message.name
    );
    // Whatever became of that connection, the next one is served.
    assert!(Connection::open(stranger.switch()).answers().1, "{}: the next connection is closed", message.name);

    let mut trusted = String::new();
    if message.is_invite() {
        let answers = gateway.ask(&bytes);
        answers.iter().filter(|sip| sip.status() >= 200).for_each(|refusal| gateway.acknowledge(refusal));
        let known = finals(&answers);
        assert!(message.asks.allows(&known, true), "{} from a gateway was answered {answers:?}", message.name);
        trusted = words(&known);
    }
    let how = match (rest, open) {
        (0, true) => "",
        (0, false) => ", closed",
        _ => ", once all of it has come",
    };
    Verdict { udp: words(&udp), tcp: words(&tcp) + how, trusted }
}

/// An OPTIONS of so many bytes, with these lines in its head and the rest in its body.
fn sized(transport: &str, from: SocketAddr, size: usize, lines: &str) -> Vec<u8> {
    let head = |length: usize| {
        format!(
            "OPTIONS sip:switch.invalid SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKsize{size};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: size{size}\r\nCSeq: 1 OPTIONS\r\n{lines}\
             Content-Length: {length:05}\r\n\r\n"
        )
    };
    let body = size.saturating_sub(head(0).len());
    [head(body).into_bytes(), vec![b'x'; body]].concat()
}

#[test]
fn messages_of_64_kb_are_taken_and_what_is_over_a_limit_is_a_513() {
    /// What an IPv4 datagram has room for.
    const DATAGRAM: usize = 65_507;
    let switch = Switch::start();
    let mut stranger = Stranger::at(own_address(3), &[], switch.sip);
    let from = stranger.address();
    let long_line = format!("Subject: {}\r\n", "x".repeat(20_000));
    let many_lines = "X: y\r\n".repeat(300);
    assert_eq!(finals(&stranger.ask(&sized("UDP", from, DATAGRAM, ""))), [200]);
    for lines in [&long_line, &many_lines] {
        let answers = stranger.ask(&sized("UDP", from, 0, lines));
        assert_eq!(finals(&answers), [513]);
        assert!(answers[0].0.len() < 1_000, "the answer repeats none of it");
    }

    let mut connection = Connection::open(switch.sip);
    let from = connection.address();
    for (bytes, status, open) in [
        (sized("TCP", from, 65_535, ""), 200, true),
        (sized("TCP", from, 0, &many_lines), 513, true),
        (sized("TCP", from, 0, &long_line), 513, true),
        (sized("TCP", from, 65_536, ""), 513, false),
    ] {
        let (answers, went_on) = connection.ask(&bytes);
        assert_eq!((finals(&answers), went_on), (vec![status], open), "{} bytes", bytes.len());
    }
    // A head without an end, and a connection that is cut at many a byte.
    let mut connection = Connection::open(switch.sip);
    let endless =
        format!("{}{}", String::from_utf8_lossy(&sized("TCP", from, 0, "")).trim_end(), "\r\nX: y".repeat(12_000));
    let (answers, open) = connection.ask(endless.as_bytes());
    assert_eq!((finals(&answers), open), (vec![513], false));
    let whole = sized("TCP", from, 600, "");
    for at in (0..whole.len()).step_by(7) {
        let mut connection = Connection::open(switch.sip);
        connection.send(&whole[..at]);
        connection.close();
    }
    assert!(Connection::open(switch.sip).answers().1, "the next connection is served");
}

/// The final ones among the answers.
fn finals(answers: &[Sip]) -> Vec<u16> {
    answers.iter().map(Sip::status).filter(|status| *status >= 200).collect()
}

fn words(statuses: &[u16]) -> String {
    match statuses {
        [] => "ignored".to_owned(),
        _ => statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The table of the documentation is the one of this run.
fn compare(table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("TORTURE.md");
    let written = fs::read_to_string(&file).unwrap_or_default();
    let text = written.split_once("\n## ").map_or(written.as_str(), |(text, _)| text).trim_end();
    let expected = format!("{text}\n{table}");
    if std::env::var_os("TORTURE").is_some_and(|value| value == "write") {
        fs::write(&file, &expected).expect("the table is written");
    }
    let differs = written.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        written == expected || std::env::var_os("TORTURE").is_some(),
        "tests/TORTURE.md is not what the switch does (TORTURE=write writes it): {differs:?}"
    );
}
