//! Registration, and what the switch answers to requests that need no call, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cas::store::Registrations;
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, Event, Handset, PhoneId, Status, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stranger() -> SocketAddr {
    SocketAddr::from(([10, 0, 9, 9], 5060))
}

/// A request from an address that no telephone has; `lines` replace or follow the usual headers.
fn request(method: &str, uri: &str, lines: &[&str]) -> String {
    let replaced = |name: &str| lines.iter().any(|line| line.starts_with(name));
    let usual = [
        format!("Via: SIP/2.0/UDP 10.0.9.9:5060;branch=z9hG4bK{method}{};rport", lines.len()),
        "Max-Forwards: 70".to_owned(),
        format!("From: <sip:501@{DOMAIN}>;tag=a"),
        format!("To: <{uri}>"),
        format!("Call-ID: {method}{}", lines.join("").len()),
        format!("CSeq: 1 {method}"),
        "Content-Length: 0".to_owned(),
    ];
    let kept = usual.iter().map(String::as_str).filter(|line| !replaced(line.split(':').next().unwrap()));
    let all: Vec<&str> = kept.chain(lines.iter().copied()).collect();
    format!("{method} {uri} SIP/2.0\r\n{}\r\n\r\n", all.join("\r\n"))
}

/// What is answered to a request from a stranger: the last response.
fn answer(world: &mut World, message: String) -> String {
    world.send_from(stranger(), message);
    world.run_for(Duration::from_millis(100));
    let answers: Vec<Bytes> = world.received_by(stranger());
    String::from_utf8(answers.last().expect("an answer").to_vec()).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn register(world: &mut World, handset: Handset) -> (PhoneId, Vec<Event>) {
    let phone = world.add_phone(handset);
    world.register(phone);
    world.run_for(secs(1));
    let events = world.events_of(phone);
    (phone, events)
}

#[test]
fn a_telephone_registers_and_takes_it_back() {
    let mut world = World::new(1);
    let (phone, events) = register(&mut world, Handset::of("501"));
    assert_eq!(events, vec![Event::Registered]);
    assert_eq!(world.store().bindings().unwrap().len(), 1);
    world.unregister(phone);
    world.run_for(secs(1));
    assert_eq!(world.events_of(phone), vec![Event::Unregistered]);
    assert_eq!(world.store().bindings().unwrap(), vec![]);
}

#[test]
fn a_registration_is_refreshed_and_ends_when_it_is_not() {
    let mut world = World::new(1);
    let (phone, _) = register(&mut world, Handset { expires: 120, ..Handset::of("501") });
    let [other] = world.add_phones(["502"]);
    world.run_for(secs(600));
    assert!(world.events_of(phone).len() >= 8);
    world.vanish(phone);
    world.run_for(secs(130));
    world.call(other, "501");
    world.run_for(secs(1));
    assert_eq!(world.phone(other).status(), Status::Idle, "there is nobody to ring");
}

#[test]
fn too_short_a_registration_is_423_and_the_telephone_asks_for_more() {
    let mut world = World::new(1);
    let (phone, events) = register(&mut world, Handset { expires: 1, ..Handset::of("501") });
    assert_eq!(events, vec![Event::Registered]);
    assert!(world.phone(phone).is_registered());
}

/// Nobody learns from the answers which users there are.
#[test]
fn a_wrong_secret_and_an_unknown_user_get_the_same_answer() {
    let mut told = Vec::new();
    for (user, wrong_secret) in [("501", Some("wrong")), ("777", None)] {
        let mut world = World::new(1);
        let begin = world.now();
        let phone = world.add_phone(Handset { wrong_secret, ..Handset::of(user) });
        world.register(phone);
        while world.events_of(phone).is_empty() {
            world.run_for(Duration::from_millis(1));
        }
        let challenge =
            answer(&mut world, request("REGISTER", &format!("sip:{DOMAIN}"), &[&format!("To: <sip:{user}@{DOMAIN}>")]));
        let shape: Vec<String> =
            challenge.lines().map(|line| line.split(['"', ':']).next().unwrap().to_owned()).collect();
        told.push((world.now().mono - begin.mono, shape));
        assert!(!world.phone(phone).is_registered());
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn failed_attempts_are_answered_later_and_later_and_the_registered_telephone_is_not_slowed() {
    let mut world = World::new(1);
    let (good, _) = register(&mut world, Handset::of("501"));
    let bad = world.add_phone(Handset { wrong_secret: Some("guess"), ..Handset::of("501") });
    let mut waits = Vec::new();
    for _ in 0..8 {
        let begin = world.now();
        world.register(bad);
        while world.events_of(bad).is_empty() {
            world.run_for(Duration::from_millis(10));
        }
        waits.push((world.now().mono - begin.mono).as_secs());
    }
    assert_eq!(waits, vec![0, 0, 0, 0, 0, 1, 2, 4]);
    let begin = world.now();
    world.register(good);
    while !world.events_of(good).contains(&Event::Registered) {
        world.run_for(Duration::from_millis(10));
    }
    assert!(world.now().mono - begin.mono < secs(1));
}

/// Invariant 7.
#[test]
fn a_restart_keeps_registrations_and_calls_come_through() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.restart();
    world.connect_call(a, b);
    assert!(world.hear_each_other(a, b));
}

#[test]
fn a_restart_in_a_call_ends_it_for_both_when_they_next_speak_of_it() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.connect_call(a, b);
    world.restart();
    world.hang_up(a);
    assert!(world.hold(b));
    world.run_for(secs(2));
    assert_eq!((world.phone(a).status(), world.phone(b).status()), (Status::Idle, Status::Idle));
    world.connect_call(b, a);
}

#[test]
fn a_fifth_binding_of_a_device_is_refused() {
    let mut world = World::new(1);
    for _ in 0..4 {
        assert_eq!(register(&mut world, Handset::of("501")).1, vec![Event::Registered]);
    }
    let (_, events) = register(&mut world, Handset::of("501"));
    assert!(matches!(events[..], [Event::RegistrationFailed(_)]), "{events:?}");
}

#[test]
fn options_is_answered_to_anybody() {
    let answer = answer(&mut World::new(1), request("OPTIONS", &format!("sip:{DOMAIN}"), &[]));
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("Allow:"), "{answer}");
}

/// §11.2, and nobody learns from it which users there are.
#[test]
fn options_tells_what_the_switch_can_do_and_the_same_for_a_user_that_is_not_there() {
    let mut told = Vec::new();
    for uri in [format!("sip:{DOMAIN}"), format!("sip:501@{DOMAIN}"), format!("sip:nobody@{DOMAIN}")] {
        let answer = answer(&mut World::new(1), request("OPTIONS", &uri, &[]));
        assert_eq!(status(&answer), 200);
        let headers = ["Allow:", "Accept:", "Accept-Encoding:", "Accept-Language:", "Supported:"];
        let lines: Vec<String> = answer
            .lines()
            .filter(|line| headers.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), headers.len(), "{answer}");
        told.push(lines);
    }
    assert!(told.iter().all(|lines| *lines == told[0]), "{told:?}");
}

#[test]
fn max_forwards_0_is_483() {
    let answer = answer(&mut World::new(1), request("INVITE", &format!("sip:502@{DOMAIN}"), &["Max-Forwards: 0"]));
    assert_eq!(status(&answer), 483);
}

#[test]
fn an_unknown_method_is_501_and_one_not_served_405_both_with_allow() {
    let mut world = World::new(1);
    for (method, expected) in [("FROBNICATE", 501), ("MESSAGE", 405)] {
        let answer = answer(&mut world, request(method, &format!("sip:{DOMAIN}"), &[]));
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains("Allow:"), "{answer}");
    }
}

#[test]
fn a_scheme_not_served_is_416() {
    let answer = answer(&mut World::new(1), request("INVITE", "mailto:502@example.com", &[]));
    assert_eq!(status(&answer), 416);
}

#[test]
fn an_extension_required_and_not_known_is_420_and_named() {
    let mut world = World::new(1);
    let answer = answer(&mut world, request("INVITE", &format!("sip:502@{DOMAIN}"), &["Require: foo"]));
    assert_eq!(status(&answer), 420);
    assert!(answer.contains("Unsupported: foo"), "{answer}");
}

#[test]
fn another_version_is_505() {
    let message = request("OPTIONS", &format!("sip:{DOMAIN}"), &[]).replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1);
    assert_eq!(status(&answer(&mut World::new(1), message)), 505);
}

#[test]
fn a_request_without_call_id_is_400() {
    let message = request("OPTIONS", &format!("sip:{DOMAIN}"), &[]).replace("Call-ID", "X-Call");
    assert_eq!(status(&answer(&mut World::new(1), message)), 400);
}

#[test]
fn an_invite_without_credentials_is_challenged() {
    let answer = answer(&mut World::new(1), request("INVITE", &format!("sip:502@{DOMAIN}"), &[]));
    assert!(matches!(status(&answer), 401 | 407), "{answer}");
}

#[test]
fn a_cancel_or_bye_of_nothing_is_481() {
    let mut world = World::new(1);
    for method in ["CANCEL", "BYE"] {
        let to = format!("To: <sip:502@{DOMAIN}>;tag=b");
        assert_eq!(status(&answer(&mut world, request(method, &format!("sip:502@{DOMAIN}"), &[&to]))), 481);
    }
}

/// RFC 3261 §17.2.3: a repetition meets its transaction, and nothing rings twice.
#[test]
fn an_invite_that_comes_again_gets_the_last_response_and_rings_once() {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "502", &body);
    let rung = callee.wait_request(&mut world, "INVITE");
    for status in [180, 486] {
        callee.respond(&mut world, &rung, status, "b", "");
        let last = caller.wait_status(&mut world, "INVITE", status);
        caller.hear(&mut world);
        caller.say(&mut world, &invite.0);
        world.run_for(Duration::from_millis(100));
        assert_eq!(caller.hear(&mut world), [last]);
    }
    world.run_for(secs(5));
    let again: Vec<Sip> = callee.hear(&mut world).into_iter().filter(|sip| sip.is("INVITE")).collect();
    assert_eq!(again, [], "502 rings once");
}

/// None of it can be answered: a response, an ACK, and what names nobody to answer.
#[test]
fn garbage_is_survived_in_silence() {
    let mut world = World::new(1);
    for garbage in
        ["\r\n\r\n", "x", "SIP/2.0 200 OK\r\n\r\n", "INVITE\r\n\r\n", "\0\u{1}\u{2}", "ACK sip:a SIP/2.0\r\n\r\n"]
    {
        world.send_from(stranger(), garbage);
        world.run_for(secs(1));
        assert_eq!(world.received_by(stranger()), Vec::<Bytes>::new(), "{garbage:?}");
    }
    let answer = answer(&mut world, request("OPTIONS", &format!("sip:{DOMAIN}"), &[]));
    assert_eq!(status(&answer), 200);
}
