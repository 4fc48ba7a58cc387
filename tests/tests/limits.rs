//! Limits and overload, in virtual time: what is beyond them is told so, and what is known and under way goes on.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tests::template::{Dialog, Sip, Template};
use tests::world::{DOMAIN, End, Event, Pressure, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stranger(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 9, host], 5060))
}

/// A request of nobody's, under a number of its own.
fn request(from: SocketAddr, method: &str, number: u32) -> String {
    format!(
        "{method} sip:502@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKs{number};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{DOMAIN}>;tag={number}\r\nTo: <sip:502@{DOMAIN}>\r\nCall-ID: s{number}\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn answers(world: &mut World, to: SocketAddr) -> Vec<Sip> {
    world.run_for(Duration::from_millis(100));
    world.received_by(to).iter().map(|bytes| Sip(String::from_utf8_lossy(bytes).into_owned())).collect()
}

#[track_caller]
fn is_told_to_try_again(answer: &Sip) -> u32 {
    assert_eq!(answer.status(), 503, "{answer:?}");
    let seconds = answer.header("Retry-After").parse().unwrap();
    assert!((5..15).contains(&seconds), "{answer:?}");
    assert!(answer.header("To").contains(";tag="), "{answer:?}");
    seconds
}

#[test]
fn behind_the_switch_turns_strangers_away_and_serves_the_phones_it_knows() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.put_under(Pressure::Strangers);
    let mut waits = BTreeSet::new();
    for number in 0..20 {
        world.send_from(stranger(9), request(stranger(9), "INVITE", number));
        let told = answers(&mut world, stranger(9));
        waits.insert(is_told_to_try_again(&told[0]));
    }
    assert!(waits.len() > 1, "they would all come back at once");
    world.send_from(stranger(9), request(stranger(9), "OPTIONS", 100));
    is_told_to_try_again(&answers(&mut world, stranger(9))[0]);
    assert_eq!(world.counts().turned_away, 21);
    world.connect_call(a, b);
    assert!(world.hear_each_other(a, b));
    world.put_under(Pressure::None);
    world.send_from(stranger(9), request(stranger(9), "INVITE", 200));
    assert_eq!(answers(&mut world, stranger(9))[0].status(), 401);
}

#[test]
fn further_behind_it_takes_no_new_call_and_goes_on_with_those_there_are() {
    let mut world = World::new(1);
    let [a, b, c, _] = world.add_phones(["501", "502", "503", "504"]);
    world.connect_call(a, b);
    world.put_under(Pressure::Calls);
    world.call(c, "504");
    world.run_for(secs(1));
    let refused = world.events_of(c).into_iter().find_map(|event| match event {
        Event::Ended(End::Refused(status)) => Some(status),
        _ => None,
    });
    assert_eq!(refused, Some(503));
    world.register(c);
    world.hold(a);
    world.run_for(secs(1));
    world.resume(a);
    world.run_for(secs(1));
    assert!(world.hear_each_other(a, b), "a re-INVITE begins nothing");
    world.put_under(Pressure::Requests);
    world.hang_up(a);
    world.run_for(secs(1));
    assert_eq!(world.open_legs(), 0, "a BYE ends what there is");
    world.put_under(Pressure::None);
    world.run_for(secs(60));
    assert!(world.is_quiet());
    world.quiesce();
}

#[test]
fn what_it_has_begun_is_not_turned_away_when_it_comes_again() {
    let mut world = World::new(1);
    world.add_phones(["502"]);
    let mut caller = Template::new("501", 1);
    caller.register(&mut world);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "502", &body);
    caller.wait_status(&mut world, "INVITE", 180);
    world.put_under(Pressure::Requests);
    caller.hear(&mut world);
    caller.say(&mut world, &invite.0);
    assert_eq!(caller.wait(&mut world, |sip| sip.method() == "INVITE").status(), 180, "the INVITE again");
    caller.cancel(&mut world, &invite);
    caller.wait_status(&mut world, "CANCEL", 200);
    let refused = caller.wait_status(&mut world, "INVITE", 487);
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    world.run_for(secs(60));
    assert!(world.is_quiet());
}

#[test]
fn over_tcp_too() {
    let mut world = World::new(1);
    let mut late = Template::new("503", 3).over_tcp(&mut world);
    world.put_under(Pressure::Requests);
    let body = late.sdp();
    late.invite(&mut world, "504", &body);
    is_told_to_try_again(&late.wait(&mut world, |sip| sip.method() == "INVITE"));
}

#[test]
fn a_source_begins_so_many_calls_and_a_call_that_ends_makes_room() {
    let mut world = World::with(1, |settings| settings.limits.calls_per_source = 1);
    world.add_phones(["504"]);
    let mut caller = Template::new("501", 1);
    caller.register(&mut world);
    let body = caller.sdp();
    let first = caller.call(&mut world, "504", &body);
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    let second = caller.call(&mut world, "504", &body);
    let refused = caller.wait(&mut world, |sip| sip.method() == "INVITE" && sip.status() >= 300);
    is_told_to_try_again(&refused);
    caller.acknowledge_refusal(&mut world, &second, &refused);
    assert!(!Dialog::of_caller(&ringing).remote.is_empty());
    caller.cancel(&mut world, &first);
    let ended = caller.wait_status(&mut world, "INVITE", 487);
    caller.acknowledge_refusal(&mut world, &first, &ended);
    caller.hear(&mut world);
    caller.call(&mut world, "504", &body);
    caller.wait_status(&mut world, "INVITE", 180);
}

#[test]
fn so_many_registrations_and_those_there_are_may_be_refreshed() {
    for per_source in [false, true] {
        let mut world = World::with(1, |settings| match per_source {
            true => settings.limits.registrations_per_source = 1,
            false => settings.limits.registrations = 1,
        });
        let mut first = Template::new("501", 1);
        first.register(&mut world);
        let mut second = Template::new("502", if per_source { 1 } else { 2 }).at_port(5070);
        let contact = format!("Contact: <{}>;expires=300\r\n", second.uri());
        second.ask_to_register(&mut world, &contact);
        is_told_to_try_again(&second.wait(&mut world, |sip| sip.method() == "REGISTER" && sip.status() != 401));
        first.register(&mut world);
        first.ask_to_register(&mut world, &format!("Contact: <{}>;expires=0\r\n", first.uri()));
        first.wait_status(&mut world, "REGISTER", 200);
        second.register(&mut world);
    }
}

#[test]
fn guesses_fill_neither_the_table_nor_the_room_of_those_who_are_known() {
    let mut world = World::with(1, |settings| {
        settings.max_transactions = 40;
        settings.limits.transactions_per_source = 8;
    });
    let [a, b] = world.add_phones(["501", "502"]);
    world.run_for(secs(40));
    // Late answers are held back, and their transactions with them.
    let mut told = Vec::new();
    let nonce = Template::new("503", 100).nonce(&mut world);
    for host in 1..=9 {
        let mut guesser = Template::new("503", 100 + host);
        for number in 0..16 {
            let authorization = guesser.authorization("REGISTER", "wrong", &nonce, Some(number + 1));
            let cseq = guesser.fresh();
            let request = guesser.register_request(&format!("g{host}-{number}"), cseq, "", &authorization);
            guesser.say(&mut world, &request);
        }
        world.run_for(Duration::from_millis(10));
        told.extend(guesser.hear(&mut world));
    }
    let refused: Vec<&Sip> = told.iter().filter(|sip| sip.status() == 503).collect();
    assert!(refused.len() > 50, "{told:?}");
    for answer in refused {
        is_told_to_try_again(answer);
    }
    world.connect_call(a, b);
    assert!(world.hear_each_other(a, b));
}
