//! The four machines, driven through the layer in virtual time; tests are named for the paragraph they show.

use std::time::Duration;

use super::*;
use crate::sip::flow::{Channel, StreamId};
use crate::sip::header::CSeq;
use crate::sip::header::Name;
use crate::sip::message::Message;
use crate::sip::message::Status;
use crate::sip::timer::{T1, T2, T4, TIMEOUT, Timers};
use crate::sip::uri::Uri;
use crate::sip::wire::{Parsed, parse_datagram};

impl Alarms for Timers<Timer> {
    fn set(&mut self, timer: Timer, at: Instant) {
        Timers::set(self, timer, at);
    }

    fn cancel(&mut self, timer: Timer) {
        Timers::cancel(self, timer);
    }
}

struct Bench {
    transactions: Transactions<u8>,
    timers: Timers<Timer>,
    sends: VecDeque<(Flow, Bytes)>,
    now: Instant,
    flow: Flow,
    is_known: bool,
}

impl Bench {
    fn new(channel: Channel) -> Bench {
        let flow = Flow { channel, local: "192.0.2.1:5060".parse().unwrap(), peer: "192.0.2.2:5062".parse().unwrap() };
        let (timers, sends) = (Timers::default(), VecDeque::new());
        let transactions = Transactions::new(Limits { all: 4, strangers: 3, per_source: 2 });
        Bench { transactions, timers, sends, now: Instant::now(), flow, is_known: true }
    }

    fn with<R>(&mut self, step: impl FnOnce(&mut Transactions<u8>, &mut Io<'_>, Flow) -> R) -> R {
        let mut io = Io { now: self.now, alarms: &mut self.timers, sends: &mut self.sends };
        step(&mut self.transactions, &mut io, self.flow)
    }

    /// Lets time pass, firing what is due in its order; the indications it brought.
    fn pass(&mut self, time: Duration) -> Vec<Indication<u8>> {
        let end = self.now + time;
        let mut told = Vec::new();
        while let Some(at) = self.timers.next().filter(|at| *at <= end) {
            self.now = at;
            let timer = self.timers.pop(at).expect("it is due");
            told.extend(self.with(|transactions, io, _| transactions.timeout(io, timer)));
        }
        self.now = end;
        told
    }

    /// What was sent, by its start line's first two words.
    fn sent(&mut self) -> Vec<String> {
        let line = |(_, bytes): (Flow, Bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.split(' ').take(2).collect::<Vec<_>>().join(" ")
        };
        self.sends.drain(..).map(line).collect()
    }

    fn last_sent(&mut self) -> Message {
        let (_, bytes) = self.sends.pop_back().expect("something was sent");
        match parse_datagram(&bytes) {
            Parsed::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, method: Method) -> ClientTx {
        let request = request(method);
        self.with(|transactions, io, flow| transactions.request(io, flow, request, "abc", 7))
    }

    fn answer(&mut self, to: &Request, status: u16) -> Option<Indication<u8>> {
        let mut response = to.response(Status(status));
        response.headers.set(Name::To, "<sip:b@example.com>;tag=b");
        self.with(|transactions, io, _| transactions.receive_response(io, response))
    }

    fn receive(&mut self, request: Request) -> Option<Indication<u8>> {
        let is_known = self.is_known;
        self.with(|transactions, io, flow| transactions.receive_request(io, flow, request, || is_known))
    }
}

fn request(method: Method) -> Request {
    let mut request = Request::new(method.clone(), Uri::parse("sip:b@example.com").unwrap());
    request.headers.push(Name::From, "<sip:a@example.com>;tag=a");
    request.headers.push(Name::To, "<sip:b@example.com>");
    request.headers.push(Name::CallId, "call");
    request.headers.push(Name::CSeq, CSeq { number: 1, method }.to_string());
    request
}

fn incoming(method: Method, branch: &str) -> Request {
    let mut request = request(method);
    request.headers.push_front(Name::Via, format!("SIP/2.0/UDP 192.0.2.2:5062;rport=5062;branch=z9hG4bK{branch}"));
    request
}

fn sent_request(bench: &mut Bench) -> Request {
    match bench.last_sent() {
        Message::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn section_17_1_1_2_an_invite_is_sent_again_with_doubling_intervals_until_timer_b() {
    let mut bench = Bench::new(Channel::Udp);
    bench.start(Method::Invite);
    let told = bench.pass(TIMEOUT - Duration::from_millis(1));
    assert!(told.is_empty());
    assert_eq!(bench.sent().len(), 7, "at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s");
    assert_eq!(bench.pass(Duration::from_millis(1)), [Indication::Unanswered(7, Unanswered::Timeout)]);
    assert_eq!(bench.timers.armed().count(), 0);
    assert!(bench.transactions.is_empty());
}

#[test]
fn section_17_1_1_2_a_provisional_response_stops_the_repeating_and_the_giving_up() {
    let mut bench = Bench::new(Channel::Udp);
    bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    assert!(matches!(bench.answer(&invite, 180), Some(Indication::Response(7, _))));
    assert!(bench.pass(Duration::from_secs(180)).is_empty());
    assert!(bench.sent().is_empty());
    let told = bench.pass(Duration::from_secs(5));
    assert_eq!(told, [Indication::Unanswered(7, Unanswered::Timeout)], "timer C");
}

#[test]
fn section_17_1_1_3_a_refusal_is_acknowledged_each_time_it_comes_and_told_once() {
    let mut bench = Bench::new(Channel::Udp);
    bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    assert!(matches!(bench.answer(&invite, 486), Some(Indication::Response(7, _))));
    let ack = sent_request(&mut bench);
    assert_eq!((ack.method.clone(), ack.headers.get(&Name::Via)), (Method::Ack, invite.headers.get(&Name::Via)));
    assert_eq!(ack.headers.get(&Name::To), Some(b"<sip:b@example.com>;tag=b".as_slice()));
    assert_eq!(bench.answer(&invite, 486), None);
    assert_eq!(bench.sent(), ["ACK sip:b@example.com"]);
    assert!(bench.pass(TIMEOUT).is_empty());
    assert!(bench.transactions.is_empty());
}

#[test]
fn rfc_6026_every_2xx_is_told_until_timer_m() {
    let mut bench = Bench::new(Channel::Udp);
    bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    for _ in 0..2 {
        assert!(matches!(bench.answer(&invite, 200), Some(Indication::Response(7, _))));
    }
    assert!(bench.pass(TIMEOUT).is_empty());
    assert_eq!(bench.answer(&invite, 200), None);
}

#[test]
fn section_9_1_a_cancel_waits_for_a_provisional_response() {
    let mut bench = Bench::new(Channel::Udp);
    let tx = bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    bench.with(|transactions, io, _| transactions.cancel(io, tx, "Q.850;cause=16"));
    assert!(bench.sent().is_empty());
    bench.answer(&invite, 100);
    let cancel = sent_request(&mut bench);
    assert_eq!((&cancel.method, cancel.headers.get(&Name::Via)), (&Method::Cancel, invite.headers.get(&Name::Via)));
    assert_eq!(*cancel.headers.cseq().unwrap(), CSeq { number: 1, method: Method::Cancel });
    assert!(matches!(bench.answer(&cancel, 200), Some(Indication::Response(0, _))));
    assert!(matches!(bench.answer(&invite, 487), Some(Indication::Response(7, _))));
}

#[test]
fn section_9_1_a_cancelled_invite_without_final_response_is_given_up_after_64_t1() {
    let mut bench = Bench::new(Channel::Udp);
    let tx = bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    bench.answer(&invite, 180);
    bench.with(|transactions, io, _| transactions.cancel(io, tx, ""));
    let told = bench.pass(TIMEOUT);
    assert!(told.contains(&Indication::Unanswered(7, Unanswered::Timeout)), "{told:?}");
}

#[test]
fn section_17_1_2_2_other_requests_are_sent_again_up_to_every_four_seconds_until_timer_f() {
    let mut bench = Bench::new(Channel::Udp);
    bench.start(Method::Options);
    assert_eq!(bench.pass(TIMEOUT), [Indication::Unanswered(7, Unanswered::Timeout)]);
    assert_eq!(bench.sent().len(), 11, "at 0, 0.5, 1.5, 3.5 and then every 4 s");
}

#[test]
fn section_17_over_a_stream_nothing_is_sent_twice_and_nothing_lingers() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    bench.start(Method::Options);
    bench.pass(T2);
    let options = sent_request(&mut bench);
    assert!(bench.sent().is_empty());
    assert!(matches!(bench.answer(&options, 200), Some(Indication::Response(7, _))));
    assert!(bench.transactions.is_empty());
    assert_eq!(bench.timers.armed().count(), 0);
}

#[test]
fn a_stream_that_ends_takes_its_open_requests_with_it() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    bench.start(Method::Options);
    let told = bench.with(|transactions, io, _| transactions.flow_closed(io, StreamId(1)));
    assert_eq!(told, [Indication::Unanswered(7, Unanswered::Unreachable)]);
    assert!(bench.transactions.is_empty());
}

/// An INVITE over a stream that ends at once, given up: what it was.
fn given_up(bench: &mut Bench) -> Request {
    bench.start(Method::Invite);
    let invite = sent_request(bench);
    assert_eq!(bench.answer(&invite, 180).map(|_| ()), Some(()));
    let told = bench.with(|transactions, io, _| transactions.flow_closed(io, StreamId(1)));
    assert_eq!(told, [Indication::Unanswered(7, Unanswered::Unreachable)]);
    invite
}

#[test]
fn section_18_2_2_a_2xx_to_an_invite_whose_stream_has_ended_may_come_another_way_and_is_nobodys() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    let invite = given_up(&mut bench);
    assert_eq!(bench.answer(&invite, 180), None);
    for _ in 0..2 {
        assert!(matches!(bench.answer(&invite, 200), Some(Indication::Response(0, _))));
    }
    assert_eq!(bench.pass(TIMEOUT), []);
    assert!(bench.transactions.is_empty());
}

#[test]
fn an_invite_that_was_given_up_is_forgotten_with_its_refusal_or_in_time() {
    for status in [Some(486), None] {
        let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
        let invite = given_up(&mut bench);
        match status {
            Some(status) => assert_eq!(bench.answer(&invite, status), None),
            None => assert_eq!(bench.pass(Duration::from_secs(185)), []),
        }
        assert!(bench.transactions.is_empty() && bench.timers.armed().count() == 0, "{status:?}");
    }
}

#[test]
fn only_so_many_invites_that_were_given_up_are_remembered() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    for _ in 0..GIVEN_UP + 5 {
        bench.start(Method::Invite);
    }
    let told = bench.with(|transactions, io, _| transactions.flow_closed(io, StreamId(1)));
    assert_eq!((told.len(), bench.transactions.len()), (GIVEN_UP + 5, GIVEN_UP));
}

/// Its ACK may have gone down with the stream: then it comes again.
#[test]
fn an_answer_outlives_the_stream_it_came_on() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    bench.start(Method::Invite);
    let invite = sent_request(&mut bench);
    bench.answer(&invite, 200);
    assert_eq!(bench.with(|transactions, io, _| transactions.flow_closed(io, StreamId(1))), []);
    assert!(matches!(bench.answer(&invite, 200), Some(Indication::Response(7, _))));
}

fn invited(bench: &mut Bench) -> (ServerTx, Request) {
    match bench.receive(incoming(Method::Invite, "i")) {
        Some(Indication::Request(tx, invite)) => (tx, invite),
        other => panic!("{other:?}"),
    }
}

#[test]
fn section_17_2_1_a_repeated_invite_gets_the_last_response_and_is_told_once() {
    let mut bench = Bench::new(Channel::Udp);
    let (tx, invite) = invited(&mut bench);
    bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(180))));
    assert_eq!(bench.receive(incoming(Method::Invite, "i")), None);
    assert_eq!(bench.sent(), ["SIP/2.0 180", "SIP/2.0 180"]);
}

#[test]
fn section_17_2_1_a_refusal_is_sent_again_until_its_ack_and_then_forgotten() {
    let mut bench = Bench::new(Channel::Udp);
    let (tx, invite) = invited(&mut bench);
    bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(486))));
    bench.pass(T1);
    assert_eq!(bench.sent().len(), 2);
    assert_eq!(bench.receive(incoming(Method::Ack, "i")), None, "the ACK of a refusal is no one's business");
    assert!(bench.pass(T4).is_empty());
    assert!(bench.sent().is_empty());
    assert!(bench.transactions.is_empty());
}

#[test]
fn section_13_3_1_4_a_2xx_is_sent_again_until_its_ack() {
    let mut bench = Bench::new(Channel::Udp);
    let (tx, invite) = invited(&mut bench);
    bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(200))));
    bench.pass(T1 * 3);
    assert_eq!(bench.sent().len(), 3);
    bench.with(|transactions, io, _| transactions.acknowledged(io, tx));
    assert!(bench.pass(TIMEOUT).is_empty());
    assert!(bench.sent().is_empty());
    assert!(bench.transactions.is_empty());
}

#[test]
fn section_13_3_1_4_a_2xx_without_ack_is_told() {
    let mut bench = Bench::new(Channel::Udp);
    let (tx, invite) = invited(&mut bench);
    bench.transactions.set_owner(tx, 9);
    bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(200))));
    assert_eq!(bench.pass(TIMEOUT), [Indication::NoAck(9)]);
}

#[test]
fn section_9_2_a_cancel_is_answered_and_told_only_while_the_invite_waits() {
    let mut bench = Bench::new(Channel::Udp);
    let (tx, invite) = invited(&mut bench);
    bench.transactions.set_owner(tx, 9);
    assert!(matches!(bench.receive(incoming(Method::Cancel, "i")), Some(Indication::Cancel(of, 9, _)) if of == tx));
    bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(487))));
    assert_eq!(bench.sent(), ["SIP/2.0 200", "SIP/2.0 487"]);
    assert_eq!(bench.receive(incoming(Method::Cancel, "i")), None);
    assert_eq!(bench.sent(), ["SIP/2.0 200"], "the same CANCEL again");
}

#[test]
fn section_9_2_a_cancel_finds_its_invite_however_long_the_branch() {
    // Around the longest sent-by and branch kept as they are, with and without the method of the CANCEL, and far beyond.
    for length in (80..140).chain([200, 4000]) {
        let branch = "b".repeat(length);
        let mut bench = Bench::new(Channel::Udp);
        let told = bench.receive(incoming(Method::Invite, &branch));
        let Some(Indication::Request(invite, _)) = told else { panic!("{length}: {told:?}") };
        bench.transactions.set_owner(invite, 9);
        let told = bench.receive(incoming(Method::Cancel, &branch));
        assert!(matches!(told, Some(Indication::Cancel(of, 9, _)) if of == invite), "{length}: {told:?}");
        assert!(bench.receive(incoming(Method::Invite, &branch)).is_none(), "{length}: the same INVITE again");
        let another = bench.receive(incoming(Method::Cancel, &branch.replacen('b', "c", 1)));
        assert!(another.is_none(), "{length}: another branch");
    }
}

#[test]
fn requests_with_long_methods_of_one_branch_are_each_their_own() {
    let (one, other) = ("M".repeat(300), format!("{}N", "M".repeat(299)));
    let mut bench = Bench::new(Channel::Udp);
    let mut told = |method: &str| bench.receive(incoming(Method::Other(method.into()), "x")).is_some();
    assert!(told(&one));
    assert!(told(&other));
    assert!(!told(&one), "the same again");
}

#[test]
fn section_9_2_a_cancel_of_nothing_is_a_481_and_keeps_nothing() {
    let mut bench = Bench::new(Channel::Udp);
    assert_eq!(bench.receive(incoming(Method::Cancel, "x")), None);
    assert_eq!(bench.sent(), ["SIP/2.0 481"]);
    assert!(bench.transactions.is_empty());
}

#[test]
fn a_stranger_has_his_part_and_leaves_room_for_those_who_are_known() {
    let mut bench = Bench::new(Channel::Udp);
    let options = |n: u32| {
        let mut options = incoming(Method::Options, &format!("o{n}"));
        options.headers.set(Name::CallId, format!("call-{n}"));
        options
    };
    let is_full = |told: Option<Indication<u8>>| matches!(told, Some(Indication::Full(_)));
    bench.is_known = false;
    assert!(!is_full(bench.receive(options(1))) && !is_full(bench.receive(options(2))));
    assert!(is_full(bench.receive(options(3))), "two of one source");
    bench.flow.peer = "192.0.2.3:5062".parse().unwrap();
    assert!(!is_full(bench.receive(options(4))));
    assert!(is_full(bench.receive(options(5))), "three of all strangers");
    bench.is_known = true;
    assert!(!is_full(bench.receive(options(6))));
    assert!(is_full(bench.receive(options(7))), "four of all");
    assert!(bench.transactions.is_full());
}

#[test]
fn what_has_ended_counts_for_its_source_no_more() {
    let mut bench = Bench::new(Channel::Tcp(StreamId(1)));
    for n in 0..9 {
        let mut options = incoming(Method::Options, &format!("o{n}"));
        options.headers.set(Name::CallId, format!("call-{n}"));
        let Some(Indication::Request(tx, request)) = bench.receive(options) else { panic!("no room for {n}") };
        bench.with(|transactions, io, _| transactions.respond(io, tx, &request.response(Status(200))));
    }
    assert!(bench.transactions.is_empty() && bench.transactions.sources.is_empty());
}

#[test]
fn rfc_3581_a_response_goes_where_the_request_came_from_if_asked_and_to_the_via_port_otherwise() {
    let flow = Bench::new(Channel::Udp).flow;
    let mut request = request(Method::Options);
    request.headers.push_front(Name::Via, "SIP/2.0/UDP 10.0.0.9:5099;branch=z9hG4bKx");
    flow.note_source(&mut request.headers);
    let via = request.headers.via().unwrap();
    assert_eq!(via.params.value("received"), Some("192.0.2.2"));
    assert_eq!(flow.of_reply(via).peer, "192.0.2.2:5099".parse().unwrap());

    request.headers.set(Name::Via, "SIP/2.0/UDP 10.0.0.9:5099;rport;branch=z9hG4bKx");
    flow.note_source(&mut request.headers);
    let via = request.headers.via().unwrap();
    assert_eq!((via.params.value("received"), via.params.value("rport")), (Some("192.0.2.2"), Some("5062")));
    assert_eq!(flow.of_reply(via).peer, flow.peer);
}

#[test]
fn section_8_2_2_2_a_copy_that_came_another_way_is_a_loop_and_a_request_within_a_dialog_is_none() {
    let mut bench = Bench::new(Channel::Udp);
    assert!(matches!(bench.receive(incoming(Method::Invite, "one")), Some(Indication::Request(..))));
    assert_eq!(bench.receive(incoming(Method::Invite, "two")), None);
    assert_eq!(bench.sent(), ["SIP/2.0 482"]);
    let mut within = incoming(Method::Invite, "three");
    within.headers.set(Name::To, "<sip:b@example.com>;tag=b");
    assert!(matches!(bench.receive(within), Some(Indication::Request(..))));
    let mut next = incoming(Method::Invite, "four");
    next.headers.set(Name::CSeq, "2 INVITE");
    assert!(matches!(bench.receive(next), Some(Indication::Request(..))), "another request of the same client");
}

#[test]
fn section_8_2_2_2_only_an_ongoing_transaction_makes_a_copy_a_loop() {
    let mut bench = Bench::new(Channel::Udp);
    let Some(Indication::Request(tx, request)) = bench.receive(incoming(Method::Invite, "one")) else { panic!() };
    bench.with(|transactions, io, _| transactions.refuse(io, tx, &request.response(Status(401))));
    assert!(matches!(bench.receive(incoming(Method::Invite, "two")), Some(Indication::Request(..))));
}

#[test]
fn rfc_3262_section_3_a_reliable_response_is_sent_until_its_prack_and_no_longer_than_64_t1() {
    for channel in [Channel::Udp, Channel::Tcp(StreamId(1))] {
        let mut bench = Bench::new(channel);
        let Some(Indication::Request(tx, invite)) = bench.receive(incoming(Method::Invite, "one")) else { panic!() };
        bench.with(|transactions, io, _| {
            transactions.set_owner(tx, 9);
            transactions.respond_reliably(io, tx, &invite.response(Status(183)));
        });
        assert!(bench.pass(Duration::from_secs(16)).is_empty());
        assert_eq!(bench.sent().len(), 6, "at 0, 0.5, 1.5, 3.5, 7.5 and 15.5 s: no upper bound of the interval");
        bench.with(|transactions, io, _| transactions.pracked(io, tx));
        assert!(bench.pass(TIMEOUT * 2).is_empty());
        assert!(bench.sent().is_empty());
        bench.with(|transactions, io, _| transactions.respond_reliably(io, tx, &invite.response(Status(180))));
        assert_eq!(bench.pass(TIMEOUT), [Indication::NoPrack(9)]);
        bench.with(|transactions, io, _| transactions.respond(io, tx, &invite.response(Status(504))));
        assert_eq!(bench.sent().last().map(String::as_str), Some("SIP/2.0 504"));
    }
}

#[test]
fn rfc_3262_section_3_a_final_response_ends_the_repeating_of_a_reliable_one() {
    let mut bench = Bench::new(Channel::Udp);
    let Some(Indication::Request(tx, invite)) = bench.receive(incoming(Method::Invite, "one")) else { panic!() };
    bench.with(|transactions, io, _| {
        transactions.respond_reliably(io, tx, &invite.response(Status(183)));
        transactions.respond(io, tx, &invite.response(Status(486)));
    });
    assert!(bench.receive(incoming(Method::Ack, "one")).is_none());
    bench.sent();
    assert!(bench.pass(TIMEOUT).is_empty());
    assert!(bench.sent().is_empty());
    assert!(bench.transactions.is_empty());
}

#[test]
fn rfc_4475_section_3_2_1_a_branch_of_nothing_but_the_cookie_names_no_transaction() {
    let mut bench = Bench::new(Channel::Udp);
    let told = |bench: &mut Bench, call_id: &str| {
        let mut request = incoming(Method::Options, "");
        request.headers.set(Name::CallId, call_id.to_owned());
        bench.receive(request).is_some()
    };
    assert!(told(&mut bench, "one"));
    assert!(told(&mut bench, "another"), "another request is not the first one again");
    assert!(!told(&mut bench, "one"), "and the first one is");
}
