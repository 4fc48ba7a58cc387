//! Streams that end and switches that end, in hard orders.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::json;
use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, DOMAIN, End, PhoneId, Status, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn options(phone: &mut Template) -> String {
    let number = phone.fresh();
    let lines = format!(
        "From: <sip:501@{DOMAIN}>;tag=o\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: options{number}\r\nCSeq: {number} OPTIONS\r\n"
    );
    phone.request("OPTIONS", &format!("sip:{DOMAIN}"), &lines, "")
}

fn statuses(phone: &mut Template, world: &mut World) -> Vec<u16> {
    phone.hear(world).iter().map(Sip::status).collect()
}

/// RFC 3261 §18.3, §7.5: without a length the stream cannot be followed, but what came before it is whole.
#[test]
fn what_came_before_a_request_without_content_length_is_answered_before_the_close() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1).over_tcp(&mut world);
    let (good, bad) = (options(&mut phone), options(&mut phone).replace("Content-Length: 0\r\n", ""));
    phone.say(&mut world, &format!("{good}{bad}"));
    let heard = phone.hear(&mut world);
    assert_eq!(heard.iter().map(Sip::status).collect::<Vec<_>>(), [200, 400]);
    assert!(!world.is_open(phone.stream().unwrap()));
    phone.say(&mut world, &good);
    assert_eq!(phone.hear(&mut world), []);
}

#[test]
fn a_message_cut_anywhere_is_one_message() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1).over_tcp(&mut world);
    let stream = phone.stream().unwrap();
    let length = options(&mut phone).len();
    for cut in 1..length - 1 {
        let message = options(&mut phone);
        let (head, tail) = message.split_at(cut.min(message.len() - 1));
        world.send_on(stream, head.as_bytes());
        assert_eq!(phone.hear(&mut world), [], "cut at {cut}");
        world.send_on(stream, tail.as_bytes());
        assert_eq!(statuses(&mut phone, &mut world), [200], "cut at {cut}");
    }
    for byte in options(&mut phone).bytes() {
        world.send_on(stream, &[byte]);
    }
    assert_eq!(statuses(&mut phone, &mut world), [200]);
}

/// A stream that owes the rest of a message is no phone's: it would hold its place, and what has come of the message, for ever.
#[test]
fn a_message_that_is_not_ended_ends_its_stream_and_line_ends_do_not() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1).over_tcp(&mut world);
    let stream = phone.stream().unwrap();
    let message = options(&mut phone);
    world.send_on(stream, message.as_bytes());
    world.send_on(stream, b"\r\n");
    world.run_for(secs(200));
    assert!(world.is_open(stream));
    world.send_on(stream, &message.as_bytes()[..40]);
    world.run_for(secs(20));
    world.send_on(stream, &message.as_bytes()[40..80]);
    assert!(world.is_open(stream));
    world.run_for(secs(13));
    assert!(!world.is_open(stream));
}

/// 501 on TCP, registered, and a caller.
fn tcp_callee() -> (World, PhoneId, Template) {
    let mut world = World::new(1);
    let [caller] = world.add_phones(["502"]);
    let mut callee = Template::new("501", 1).over_tcp(&mut world);
    callee.register(&mut world);
    world.call(caller, "501");
    (world, caller, callee)
}

#[test]
fn a_stream_that_closes_while_its_telephone_rings_ends_that_ringing() {
    let (mut world, caller, mut callee) = tcp_callee();
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.respond(&mut world, &invite, 180, "b", "");
    world.run_for(secs(1));
    world.close_stream(callee.stream().unwrap());
    world.run_for(secs(1));
    assert!(matches!(world.ended(caller), Some(End::Refused(400..600))));
    assert!(world.is_quiet());
    world.quiesce();
}

/// The two in a call.
fn tcp_talker() -> (World, PhoneId, Template) {
    let (mut world, caller, mut callee) = tcp_callee();
    let invite = callee.wait_request(&mut world, "INVITE");
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    (world, caller, callee)
}

/// The telephone on another connection, with the same contact.
fn reconnected(world: &mut World, phone: &Template) -> Template {
    let mut again = phone.at_port(40_000).over_tcp(world);
    again.claim(&phone.uri());
    again
}

#[track_caller]
fn is_hung_up(world: &mut World, phone: &mut Template) {
    let bye = phone.wait_request(world, "BYE");
    phone.respond(world, &bye, 200, "", "");
}

/// RFC 3261 §18.2.2: the 200 to an INVITE whose connection has ended comes over another. Its telephone was given up, or its caller had hung up before.
#[test]
fn a_telephone_that_answers_when_its_stream_has_closed_is_acknowledged_and_hung_up() {
    for gives_up in [false, true] {
        let (mut world, caller, mut callee) = tcp_callee();
        let invite = callee.wait_request(&mut world, "INVITE");
        callee.respond(&mut world, &invite, 180, "b", "");
        world.run_for(secs(1));
        if gives_up {
            world.hang_up(caller);
            callee.wait_request(&mut world, "CANCEL");
        }
        world.close_stream(callee.stream().unwrap());
        world.run_for(secs(1));
        assert!(world.ended(caller).is_some());
        let mut again = reconnected(&mut world, &callee);
        let body = callee.sdp();
        again.respond(&mut world, &invite, 200, "b", &body);
        again.wait_request(&mut world, "ACK");
        is_hung_up(&mut world, &mut again);
        world.run_for(secs(40));
        assert!(again.hear(&mut world).is_empty() && world.is_quiet());
        world.quiesce();
    }
}

/// RFC 5626 §7: the same telephone rings over its other flow, and that goes on.
#[test]
fn an_answer_to_the_invite_over_the_flow_that_failed_leaves_the_other_ringing() {
    let mut world = World::new(1);
    let [caller] = world.add_phones(["502"]);
    let mut other = Template::new("501", 1).over_tcp(&mut world);
    let mut callee = other.at_port(5070).over_tcp(&mut world);
    for (id, phone) in [(1, &mut other), (2, &mut callee)] {
        let flow = format!("+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\";reg-id={id}");
        let contact = format!("Supported: outbound\r\nContact: <{}>;{flow};expires=300\r\n", phone.uri());
        phone.ask_to_register(&mut world, &contact);
        phone.wait_status(&mut world, "REGISTER", 200);
        world.run_for(secs(1));
    }
    world.call(caller, "501");
    let first = callee.wait_request(&mut world, "INVITE");
    callee.respond(&mut world, &first, 180, "b", "");
    world.close_stream(callee.stream().unwrap());
    let second = other.wait_request(&mut world, "INVITE");
    let body = callee.sdp();
    other.respond(&mut world, &first, 200, "b", &body);
    assert!(other.wait_request(&mut world, "ACK").header("To").ends_with("tag=b"));
    is_hung_up(&mut world, &mut other);
    other.respond(&mut world, &second, 200, "c", &body);
    assert!(other.wait_request(&mut world, "ACK").header("To").ends_with("tag=c"));
    world.run_for(secs(1));
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    world.hang_up(caller);
    is_hung_up(&mut world, &mut other);
    world.quiesce();
}

/// The ACK went down with the connection, and the 200 comes again.
#[test]
fn an_answer_that_comes_again_when_its_stream_has_closed_is_acknowledged_again() {
    let (mut world, caller, mut callee) = tcp_callee();
    let invite = callee.wait_request(&mut world, "INVITE");
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    world.close_stream(callee.stream().unwrap());
    world.run_for(secs(1));
    callee.hear(&mut world);
    let contact = callee.uri();
    let mut again = reconnected(&mut world, &callee);
    again.claim(&contact);
    again.register(&mut world);
    again.respond(&mut world, &invite, 200, "b", &body);
    again.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    world.hang_up(caller);
    is_hung_up(&mut world, &mut again);
    world.quiesce();
}

/// A hold over a connection that ends: its 200 comes over another. The client was told that it failed, so the telephone is told, too.
#[test]
fn an_answer_to_a_reinvite_whose_stream_has_closed_is_acknowledged_and_the_phone_told_how_things_stand() {
    let (mut world, caller, mut callee) = tcp_talker();
    let body = callee.sdp();
    let client = world.log_in("501");
    let call = world.calls(client)[0]["call-id"].clone();
    let held = world.execute(client, json!({"topic": "tel", "message": "hold", "call-id": call}));
    let offer = callee.wait_request(&mut world, "INVITE");
    world.close_stream(callee.stream().unwrap());
    assert_ne!(world.completion(client, &held["response"])["error"], 0);
    let mut again = reconnected(&mut world, &callee);
    again.register(&mut world);
    again.respond(&mut world, &offer, 200, "b", &format!("{body}a=inactive\r\n"));
    assert_eq!(again.wait_request(&mut world, "ACK").number(), offer.number());
    let anew = again.wait_request(&mut world, "INVITE");
    assert!(anew.body().contains("a=sendrecv"), "{}", anew.0);
    again.respond(&mut world, &anew, 200, "b", &body);
    again.wait_request(&mut world, "ACK");
    // The late answer once more wants its ACK, and nothing else.
    again.respond(&mut world, &offer, 200, "b", &body);
    world.run_for(secs(1));
    assert!(again.hear(&mut world).iter().all(|sip| !sip.is("INVITE")));
    assert_eq!(world.calls(client)[0]["state"], "connected");
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    world.hang_up(caller);
    is_hung_up(&mut world, &mut again);
    world.quiesce();
}

#[test]
fn after_its_stream_has_closed_a_request_in_the_dialog_opens_a_new_one() {
    let (mut world, caller, mut callee) = tcp_talker();
    world.close_stream(callee.stream().unwrap());
    world.run_for(secs(1));
    assert_eq!(world.phone(caller).status(), Status::Talking { held: false });
    world.listen_at(callee.address());
    world.hang_up(caller);
    let bye = callee.wait_request(&mut world, "BYE");
    let stream = world.stream_to(callee.address()).expect("a new connection");
    let response = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        bye.header("Via"),
        bye.header("From"),
        bye.header("To"),
        bye.header("Call-ID"),
        bye.header("CSeq")
    );
    world.send_on(stream, response.as_bytes());
    world.run_for(secs(1));
    assert!(world.is_quiet());
    world.quiesce();
}

#[test]
fn a_bye_to_a_telephone_that_takes_no_connection_ends_the_call_all_the_same() {
    let (mut world, caller, mut callee) = tcp_callee();
    let invite = callee.wait_request(&mut world, "INVITE");
    let body = callee.sdp();
    callee.respond(&mut world, &invite, 200, "b", &body);
    world.run_for(secs(1));
    world.close_stream(callee.stream().unwrap());
    world.hang_up(caller);
    world.run_for(secs(1));
    assert!(world.is_quiet());
    world.quiesce();
}

fn refused_while_ending(world: &mut World) {
    let mut late = Template::new("503", 3);
    let body = late.sdp();
    let invite = late.invite(world, "502", &body);
    let refused = late.wait_status(world, "INVITE", 503);
    assert!(!refused.header("Retry-After").is_empty());
    late.acknowledge_refusal(world, &invite, &refused);
}

#[test]
fn a_stop_with_nothing_to_end_is_told_once() {
    let mut world = World::new(1);
    world.stop();
    world.stop();
    world.run_for(secs(60));
    assert_eq!(world.times_stopped(), 1);
}

#[test]
fn a_stop_while_a_telephone_rings_ends_the_ringing_after_its_time() {
    let mut world = World::new(1);
    let [a, b] = world.add_phones(["501", "502"]);
    world.behave(b, Behaviour::Ring);
    world.call(a, "502");
    world.run_for(secs(1));
    world.stop();
    refused_while_ending(&mut world);
    world.run_for(secs(9));
    assert_eq!((world.phone(b).status(), world.times_stopped()), (Status::Ringing, 0));
    world.run_for(secs(4));
    assert_eq!((world.phone(a).status(), world.phone(b).status()), (Status::Idle, Status::Idle));
    world.run_for(secs(60));
    assert_eq!(world.times_stopped(), 1);
}

#[test]
fn a_stop_waits_no_longer_than_two_seconds_for_a_telephone_that_does_not_answer_its_bye() {
    let mut world = World::new(1);
    let [b] = world.add_phones(["502"]);
    let mut caller = Template::new("501", 1);
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    world.run_for(secs(1));
    world.stop();
    refused_while_ending(&mut world);
    world.run_for(Duration::from_millis(10_500));
    caller.wait_request(&mut world, "BYE");
    assert_eq!((world.ended(b), world.times_stopped()), (Some(End::There), 0));
    world.run_for(secs(2));
    assert_eq!(world.times_stopped(), 1);
    world.run_for(secs(60));
    assert_eq!(world.times_stopped(), 1);
}
