use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::sip::flow::Channel;
use crate::sip::wire::{Parsed, parse_datagram};

fn now() -> Now {
    Now { mono: Instant::now(), wall: Wall(5000) }
}

fn flow() -> Flow {
    Flow { channel: Channel::Udp, local: "192.0.2.7:5060".parse().unwrap(), peer: "192.0.2.1:5062".parse().unwrap() }
}

fn request(call_id: &str, method: &str, body: &str) -> String {
    format!(
        "{method} sip:502@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1\r\nFrom: <sip:501@switch.local>;tag=1\r\n\
         To: <sip:502@switch.local>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn message(text: String) -> Message {
    match parse_datagram(&Bytes::from(text)) {
        Parsed::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn part(leg: u64) -> Part {
    Part::new(LegId(leg), Side::Caller, DeviceId(1), flow(), "192.0.2.7:20000".parse().unwrap())
}

fn end(id: u64) -> End {
    let (from, to) = ("501".to_owned(), "502".to_owned());
    let (caller, callee) = (CallId(id), CallId(id + 1));
    End { caller, callee, from, to, ended: Wall(9000), cause: Cause::Normal, talked_msec: 0 }
}

fn key(call_id: &str) -> DialogKey {
    DialogKey::of(call_id.as_bytes())
}

/// A call whose INVITE came from a phone.
fn begun(journal: &mut Journal, at: Now, no: u64, call_id: &str) {
    journal.heard(at.mono, &message(request(call_id, "INVITE", "")));
    journal.begin(CallNo(no), at);
    journal.part(CallNo(no), key(call_id), part(no));
}

fn texts(journal: &Journal, no: u64) -> Vec<String> {
    journal.entry(CallNo(no)).unwrap().messages().into_iter().map(|message| message.text).collect()
}

#[test]
fn the_invite_that_begins_a_call_is_its_first_line() {
    let (mut journal, at) = (Journal::new(now()), now());
    journal.heard(at.mono, &message(request("other", "INVITE", "")));
    begun(&mut journal, at, 1, "mine");
    journal.said(b"SIP/2.0 180 Ringing\r\nVia: x\r\nCall-ID: mine\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
    journal.turn(at.plus(Duration::from_millis(1500)));
    journal
        .said(b"SIP/2.0 200 OK\r\nCall-ID: mine\r\nCSeq: 1 INVITE\r\nContent-Length: 15\r\n\r\nv=0\r\na=inactive\r\n");
    journal.heard(at.mono + Duration::from_secs(2), &message(request("mine", "BYE", "")));
    journal.heard(at.mono, &message(request("nobody's", "BYE", "")));
    assert_eq!(texts(&journal, 1), ["INVITE", "180 to INVITE", "200 to INVITE, inactive", "BYE"]);
    let messages = journal.entry(CallNo(1)).unwrap().messages();
    assert_eq!(messages[2].after_usec, 1_500_000);
    let from_phone: Vec<bool> = messages.iter().map(|message| message.from_phone).collect();
    assert_eq!(from_phone, [true, false, false, true]);
}

#[test]
fn a_refused_invite_begins_no_later_call() {
    let (mut journal, at) = (Journal::new(now()), now());
    journal.heard(at.mono, &message(request("a", "INVITE", "")));
    journal.begin(CallNo(1), at);
    journal.part(CallNo(1), key("of ours"), part(1));
    assert!(texts(&journal, 1).is_empty());
}

#[test]
fn of_a_long_call_the_first_and_the_last_lines_are_kept() {
    let (mut journal, at) = (Journal::new(now()), now());
    begun(&mut journal, at, 1, "a");
    for _ in 0..1000 {
        journal.heard(at.mono, &message(request("a", "OPTIONS", "")));
    }
    journal.heard(at.mono, &message(request("a", "BYE", "")));
    let lines = texts(&journal, 1);
    assert_eq!(lines.len(), FIRST + LAST);
    assert_eq!((lines.first().map(String::as_str), lines.last().map(String::as_str)), (Some("INVITE"), Some("BYE")));
    assert_eq!(journal.entry(CallNo(1)).unwrap().omitted as usize, 1002 - FIRST - LAST);
}

#[test]
fn calls_that_ended_are_remembered_for_a_while_and_then_leave_nothing() {
    let (mut journal, at) = (Journal::new(now()), now());
    let all = 2 * ENDED as u64;
    for no in 0..all {
        begun(&mut journal, at, no, &format!("call-{no}"));
        journal.end(CallNo(no), end(no * 2));
    }
    assert_eq!(journal.ended().count(), ENDED);
    assert_eq!(journal.len(), 3 * ENDED);
    assert!(journal.entry(CallNo(0)).is_none());
    // What still comes for one that is over is its own.
    journal.heard(at.mono, &message(request(&format!("call-{}", all - 1), "BYE", "")));
    assert_eq!(texts(&journal, all - 1), ["INVITE", "BYE"]);
}

#[test]
fn a_call_id_used_again_is_that_of_the_later_call() {
    let (mut journal, at) = (Journal::new(now()), now());
    begun(&mut journal, at, 1, "a");
    begun(&mut journal, at, 2, "a");
    journal.end(CallNo(1), end(1));
    journal.forget(CallNo(1));
    journal.heard(at.mono, &message(request("a", "BYE", "")));
    assert_eq!(texts(&journal, 2).last().map(String::as_str), Some("BYE"));
}

#[test]
fn what_a_leg_agreed_and_counted_is_kept() {
    let (mut journal, at) = (Journal::new(now()), now());
    begun(&mut journal, at, 1, "a");
    journal.settled(LegId(1), &PayloadMap(vec![(0, Codec::Pcmu), (101, Codec::TelephoneEvent { rate: 8000 })]));
    journal.counted(LegId(1), at, &LegStats { received: 7, ..LegStats::default() });
    journal.counted(LegId(9), at, &LegStats::default());
    let part = &journal.entry(CallNo(1)).unwrap().parts[0];
    assert_eq!(part.codecs.iter().flatten().count(), 2);
    assert_eq!(part.counted.as_ref().map(|counted| (counted.0, counted.1.received)), Some((Wall(5000), 7)));
}

#[test]
fn nobodys_bytes_are_read_beyond_their_end() {
    for bytes in [&b""[..], b"SIP/2.0 ", b"SIP/2.0 2\r\n", b"INVITE\r\n", b"\n\n", b"Call-ID: a\r\nCSeq: \r\n\r\n"] {
        let _ = said(bytes);
    }
}
