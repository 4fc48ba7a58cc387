//! What carries SIP: UDP and TCP, NATs between, connections that come and go, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tests::template::{Dialog, Sip, Template, branch};
use tests::world::{DOMAIN, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A telephone whose contact makes every INVITE to it longer than 1300 bytes.
fn long_winded(world: &mut World) -> Template {
    let mut phone = Template::new("501", 1);
    phone.claim(&format!("sip:501@{};why={}", phone.address(), "x".repeat(1000)));
    phone.register(world);
    phone
}

/// 502 calls 501.
fn call(world: &mut World) -> (Template, Sip) {
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    let invite = caller.call(world, "501", &body);
    (caller, invite)
}

fn via_transport(sip: &Sip) -> &str {
    sip.header("Via").split(' ').next().unwrap()
}

/// Puts the callee's answer through and has the ACK come; its dialog.
fn answer(world: &mut World, callee: &mut Template, invite: &Sip) -> Dialog {
    let body = callee.sdp();
    callee.respond(world, invite, 200, "b", &body);
    callee.wait_request(world, "ACK");
    Dialog::of_callee(invite, "b")
}

/// RFC 3261 §18.1.1.
#[test]
fn a_request_over_1300_bytes_goes_over_tcp() {
    let mut world = World::new(1);
    let mut callee = long_winded(&mut world);
    world.listen_at(callee.address());
    let (mut caller, _) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert!(invite.0.len() > 1300);
    assert_eq!(via_transport(&invite), "SIP/2.0/TCP");
    let stream = world.stream_to(callee.address()).unwrap();
    let ringing = format!(
        "SIP/2.0 180 Ringing\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        invite.header("Via"),
        invite.header("From"),
        invite.header("To"),
        invite.header("Call-ID")
    );
    world.send_on(stream, ringing.as_bytes());
    caller.wait_status(&mut world, "INVITE", 180);
}

#[test]
fn what_is_shorter_stays_on_udp() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1);
    callee.register(&mut world);
    world.listen_at(callee.address());
    call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert_eq!(via_transport(&invite), "SIP/2.0/UDP");
    assert_eq!(world.stream_to(callee.address()), None);
}

/// "the element SHOULD retry the request, using UDP".
#[test]
fn a_telephone_that_refuses_tcp_gets_it_over_udp_and_is_not_asked_again_for_an_hour() {
    let mut world = World::new(1);
    let mut callee = long_winded(&mut world);
    let (mut caller, cancelled) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert_eq!(via_transport(&invite), "SIP/2.0/UDP");
    callee.respond(&mut world, &invite, 180, "b", "");
    world.run_for(secs(1));
    caller.cancel(&mut world, &cancelled);
    let cancel = callee.wait_request(&mut world, "CANCEL");
    assert_eq!((via_transport(&cancel), branch(&cancel)), ("SIP/2.0/UDP", branch(&invite)));
    callee.respond(&mut world, &cancel, 200, "b", "");
    callee.respond(&mut world, &invite, 487, "b", "");
    world.listen_at(callee.address());
    for (after, transport) in [(1, "SIP/2.0/UDP"), (3600, "SIP/2.0/TCP")] {
        world.run_for(secs(after));
        callee.register(&mut world);
        callee.hear(&mut world);
        let body = caller.sdp();
        let cancelled = caller.call(&mut world, "501", &body);
        let invite = callee.wait_request(&mut world, "INVITE");
        assert_eq!(via_transport(&invite), transport);
        caller.cancel(&mut world, &cancelled);
        callee.respond(&mut world, &invite, 486, "b", "");
        caller.wait(&mut world, |sip| sip.status() > 400 && sip.method() == "INVITE" && sip.status() != 401);
        world.run_for(secs(40));
    }
}

#[test]
fn a_firewall_that_says_nothing_costs_two_seconds() {
    let mut world = World::new(1);
    let mut callee = long_winded(&mut world);
    world.swallow_at(callee.address());
    let (caller, cancelled) = call(&mut world);
    world.run_for(Duration::from_millis(1900));
    assert!(callee.hear(&mut world).iter().all(|sip| via_transport(sip) == "SIP/2.0/TCP"), "nothing that arrives");
    // The caller gives up meanwhile: it is cancelled as soon as it can be.
    caller.cancel(&mut world, &cancelled);
    let invite = callee.wait(&mut world, |sip| sip.is("INVITE") && via_transport(sip) == "SIP/2.0/UDP");
    callee.respond(&mut world, &invite, 180, "b", "");
    let cancel = callee.wait_request(&mut world, "CANCEL");
    callee.respond(&mut world, &cancel, 200, "b", "");
    callee.respond(&mut world, &invite, 487, "b", "");
    world.run_for(secs(60));
    assert!(world.is_quiet());
}

/// A private contact, as behind a NAT: all goes to where the phone's messages come from, however long it is.
#[test]
fn a_telephone_behind_a_nat_is_reached_at_its_flow() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1);
    let contact = format!("sip:501@192.168.7.7:5062;why={}", "x".repeat(1000));
    callee.claim(&contact);
    callee.register(&mut world);
    world.listen_at(callee.address());
    let (mut caller, _) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert_eq!(via_transport(&invite), "SIP/2.0/UDP");
    let dialog = answer(&mut world, &mut callee, &invite);
    let answered = caller.wait_status(&mut world, "INVITE", 200);
    let theirs = Dialog::of_caller(&answered);
    caller.say_within(&mut world, &theirs, "ACK", 2, "");
    caller.say_within(&mut world, &theirs, "BYE", 3, "");
    let bye = callee.wait_request(&mut world, "BYE");
    assert!(bye.0.starts_with(&format!("BYE {contact} SIP/2.0")), "{}", bye.0);
    assert_eq!(bye.header("Call-ID"), dialog.call_id);
}

/// It comes back under another port in mid-call, as NATs do: what it sends is answered there, and it is reached there.
#[test]
fn a_nat_that_changes_its_port_in_mid_call_loses_nothing() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1);
    callee.claim("sip:501@192.168.7.7");
    callee.register(&mut world);
    let (mut caller, _) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    let dialog = answer(&mut world, &mut callee, &invite);
    let answered = caller.wait_status(&mut world, "INVITE", 200);
    let theirs = Dialog::of_caller(&answered);
    caller.say_within(&mut world, &theirs, "ACK", 2, "");
    let mut moved = callee.at_port(6000);
    moved.claim("sip:501@192.168.7.7");
    let body = moved.sdp();
    moved.say_within(&mut world, &dialog, "INVITE", 1, &body);
    let ok = moved.wait_status(&mut world, "INVITE", 200);
    assert!(ok.header("Via").contains("rport=6000"), "{}", ok.0);
    moved.say_within(&mut world, &dialog, "ACK", 1, "");
    caller.say_within(&mut world, &theirs, "BYE", 3, "");
    moved.wait_request(&mut world, "BYE");
}

#[test]
fn a_telephone_behind_a_nat_hears_two_line_ends_every_25_seconds_and_no_other_does() {
    let mut world = World::new(1);
    let mut behind = Template::new("501", 1);
    behind.claim("sip:501@192.168.7.7");
    behind.register(&mut world);
    let mut before = Template::new("502", 2);
    before.register(&mut world);
    let mut caring = Template::new("503", 3);
    caring.claim("sip:503@192.168.7.7");
    let contact = format!(
        "Supported: outbound\r\nContact: <{}>;+sip.instance=\"<urn:uuid:3>\";reg-id=1;expires=300\r\n",
        caring.uri()
    );
    caring.ask_to_register(&mut world, &contact);
    caring.wait_status(&mut world, "REGISTER", 200);
    world.run_for(secs(260));
    assert_eq!(behind.hear(&mut world).iter().filter(|sip| sip.0 == "\r\n\r\n").count(), 10);
    assert_eq!((before.hear(&mut world), caring.hear(&mut world)), (vec![], vec![]));
    world.run_for(secs(60));
    behind.hear(&mut world);
    world.run_for(secs(60));
    assert_eq!(behind.hear(&mut world), [], "its registration has ended");
}

/// RFC 5626 §8 on UDP, §4.4.1 on TCP.
#[test]
fn keep_alives_are_answered_each_in_its_way() {
    let mut world = World::new(1);
    let phone = SocketAddr::from(([10, 0, 2, 9], 5060));
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    world.send_from(phone, stun);
    world.run_for(secs(1));
    let answers = world.received_by(phone);
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(answer[..2], [1, 1]);
    // 10.0.2.9:5060 under the cookie
    assert_eq!(answer[20..], [0, 0x20, 0, 8, 0, 1, 0x13 ^ 0x21, 0xc4 ^ 0x12, 10 ^ 0x21, 0x12, 2 ^ 0xa4, 9 ^ 0x42]);
    world.send_from(phone, "\r\n\r\n");
    world.run_for(secs(1));
    assert_eq!(world.received_by(phone), Vec::<Bytes>::new(), "nothing answers line ends on UDP");
    let stream = world.open_stream(phone);
    for piece in ["\r\n", "\r", "\n", "\r\n\r\n"] {
        world.send_on(stream, piece.as_bytes());
    }
    world.run_for(secs(1));
    assert_eq!(world.received_by(phone), ["\r\n", "\r\n"]);
}

/// RFC 3261 §18.2.2: "open a connection to the IP address in the received parameter, using the port in the sent-by value".
#[test]
fn a_response_whose_connection_has_ended_goes_over_a_new_one() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1);
    callee.register(&mut world);
    let mut caller = Template::new("502", 2).over_tcp(&mut world);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "501", &body);
    let rung = callee.wait_request(&mut world, "INVITE");
    world.listen_at(caller.address());
    world.close_stream(caller.stream().unwrap());
    world.run_for(secs(1));
    caller.hear(&mut world);
    callee.respond(&mut world, &rung, 486, "b", "");
    let refused = caller.wait_status(&mut world, "INVITE", 486);
    assert_eq!(branch(&refused), branch(&invite));
    assert!(world.stream_to(caller.address()).is_some());
}

#[test]
fn a_response_that_can_go_nowhere_is_given_up() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1);
    callee.register(&mut world);
    let mut caller = Template::new("502", 2).over_tcp(&mut world);
    let body = caller.sdp();
    caller.call(&mut world, "501", &body);
    let rung = callee.wait_request(&mut world, "INVITE");
    world.close_stream(caller.stream().unwrap());
    answer(&mut world, &mut callee, &rung);
    world.run_for(secs(40));
    callee.wait_request(&mut world, "BYE");
    world.run_for(secs(40));
    assert!(world.is_quiet());
}

/// RFC 5626 §4.4: the phone finds its connection broken, makes another and registers over it.
#[test]
fn a_telephone_that_comes_back_over_another_connection_is_reached_over_that() {
    let mut world = World::new(1);
    let mut callee = Template::new("501", 1).over_tcp(&mut world);
    callee.register(&mut world);
    let (mut caller, _) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    answer(&mut world, &mut callee, &invite);
    let answered = caller.wait_status(&mut world, "INVITE", 200);
    let theirs = Dialog::of_caller(&answered);
    caller.say_within(&mut world, &theirs, "ACK", 2, "");
    world.close_stream(callee.stream().unwrap());
    world.run_for(secs(1));
    // From another port, as every new connection; its contact is the same.
    let contact = callee.uri();
    let mut again = callee.at_port(40_000).over_tcp(&mut world);
    again.claim(&contact);
    again.register(&mut world);
    caller.say_within(&mut world, &theirs, "BYE", 3, "");
    again.wait_request(&mut world, "BYE");
}

#[test]
fn an_idle_connection_is_closed_unless_somebody_is_registered_or_talks_over_it() {
    let mut world = World::new(1);
    let idle = world.open_stream(SocketAddr::from(([10, 0, 2, 9], 5060)));
    let mut phone = Template::new("501", 1).over_tcp(&mut world);
    phone.register(&mut world);
    let mut talking = Template::new("502", 2).over_tcp(&mut world);
    let body = talking.sdp();
    talking.call(&mut world, "501", &body);
    let rung = phone.wait_request(&mut world, "INVITE");
    answer(&mut world, &mut phone, &rung);
    let answered = talking.wait_status(&mut world, "INVITE", 200);
    talking.say_within(&mut world, &Dialog::of_caller(&answered), "ACK", 2, "");
    // Some sound, and so no question whether they are still there.
    let ports: Vec<u16> =
        [&rung, &answered].map(|sip| sip.body().split("m=audio ").nth(1).unwrap()[..5].parse().unwrap()).into();
    for minute in 0..12 {
        for (port, from) in ports.iter().zip([phone.address(), talking.address()]) {
            world.send_sound(*port, SocketAddr::new(from.ip(), 4000), minute);
        }
        world.run_for(secs(50));
        assert_eq!(world.is_open(idle), minute < 5, "{minute}");
    }
    assert!(world.is_open(talking.stream().unwrap()), "a call goes over it");
    assert!(world.is_open(phone.stream().unwrap()), "so does this one's");
    talking.say_within(&mut world, &Dialog::of_caller(&answered), "BYE", 3, "");
    world.run_for(secs(700));
    assert!(!world.is_open(talking.stream().unwrap()) && !world.is_open(phone.stream().unwrap()));
}

/// The way of a request is noted in its Via (RFC 3261 §18.2.1, RFC 3581 §4), and the answer goes there.
#[test]
fn answers_find_their_way_with_rport_and_without() {
    let mut world = World::new(1);
    let source = SocketAddr::from(([10, 0, 9, 9], 6000));
    let sent_by = SocketAddr::from(([10, 0, 9, 9], 5070));
    for (via, to, noted) in [
        ("10.0.9.9:5070;branch=z9hG4bKa;rport", source, ";rport=6000;received=10.0.9.9"),
        ("192.168.7.7:5070;branch=z9hG4bKb;rport", source, ";rport=6000;received=10.0.9.9"),
        ("192.168.7.7:5070;branch=z9hG4bKc", sent_by, ";received=10.0.9.9"),
        ("phone.example:5070;branch=z9hG4bKd", sent_by, ";received=10.0.9.9"),
        ("10.0.9.9:5070;branch=z9hG4bKe", sent_by, ""),
    ] {
        world.send_from(
            source,
            format!(
                "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nMax-Forwards: 70\r\nFrom: <sip:x@y>;tag=a\r\n\
                 To: <sip:{DOMAIN}>\r\nCall-ID: {via}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        world.run_for(secs(1));
        let answers = world.received_by(to);
        let answer = Sip(String::from_utf8(answers.last().expect(via).to_vec()).unwrap());
        let line = answer.header("Via");
        assert!(line.ends_with(noted) && (!noted.is_empty() || !line.contains("received")), "{via}: {line}");
    }
}

/// A switch with an address in each of two networks, which do not know one another: every phone is told the one it speaks to, in Via, Contact and SDP.
#[test]
fn each_telephone_is_told_the_address_of_the_switch_that_it_speaks_to() {
    let mut world = World::new(1);
    let other: SocketAddr = "172.16.0.1:5060".parse().unwrap();
    let mut callee = Template::new("501", 1);
    callee.speak_to(other);
    callee.register(&mut world);
    let (mut caller, _) = call(&mut world);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert!(invite.header("Via").contains("172.16.0.1:5060") && invite.contact().contains("172.16.0.1:5060"));
    assert!(invite.body().contains("c=IN IP4 172.16.0.1") && !invite.0.contains("10.0.0.1"), "{}", invite.0);
    let dialog = answer(&mut world, &mut callee, &invite);
    let answered = caller.wait_status(&mut world, "INVITE", 200);
    assert!(answered.contact().contains("10.0.0.1:5060") && answered.body().contains("c=IN IP4 10.0.0.1"));
    assert!(!answered.0.contains("172.16"), "{}", answered.0);
    caller.say_within(&mut world, &Dialog::of_caller(&answered), "ACK", 2, "");
    // What goes on in the call stays there.
    let body = callee.sdp();
    callee.say_within(&mut world, &dialog, "INVITE", 1, &body);
    let refreshed = callee.wait_status(&mut world, "INVITE", 200);
    assert!(refreshed.body().contains("c=IN IP4 172.16.0.1") && refreshed.contact().contains("172.16.0.1"));
}
