//! What a transaction that is over keeps until it is forgotten: at most 1 KB, however large its messages were.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use switch::sip::flow::{Channel, Flow};
use switch::sip::header::Name;
use switch::sip::message::{Message, Request, Response, Status};
use switch::sip::timer::Timers;
use switch::sip::transaction::{Alarms, Indication, Io, Limits, Timer, Transactions};
use switch::sip::wire::{Parsed, parse_datagram};

#[path = "../../tests/src/counting.rs"]
mod counting;

/// The timer table belongs to the cost.
#[derive(Default)]
struct Alarm(Timers<Timer>);

impl Alarms for Alarm {
    fn set(&mut self, timer: Timer, at: Instant) {
        self.0.set(timer, at);
    }

    fn cancel(&mut self, timer: Timer) {
        self.0.cancel(timer);
    }
}

struct Bench {
    transactions: Transactions<u64>,
    alarm: Alarm,
    sends: VecDeque<(Flow, Bytes)>,
    now: Instant,
    flow: Flow,
}

/// So many that the steps in which tables grow are small beside them.
const MANY: u32 = 2000;

impl Bench {
    fn new() -> Bench {
        let address = |text: &str| text.parse().expect("an address");
        let flow = Flow { channel: Channel::Udp, local: address("192.0.2.1:5060"), peer: address("192.0.2.200:5062") };
        let limits = Limits { all: 1 << 20, strangers: 1 << 20, per_source: 1 << 20 };
        Bench {
            transactions: Transactions::new(limits),
            alarm: Alarm::default(),
            sends: VecDeque::with_capacity(16),
            now: Instant::now(),
            flow,
        }
    }

    fn with<R>(&mut self, step: impl FnOnce(&mut Transactions<u64>, &mut Io<'_>, Flow) -> R) -> R {
        let mut io = Io { now: self.now, alarms: &mut self.alarm, sends: &mut self.sends };
        step(&mut self.transactions, &mut io, self.flow)
    }

    fn receive(&mut self, message: Message) -> Option<Indication<u64>> {
        match message {
            Message::Request(mut request) => {
                self.flow.note_source(&mut request.headers);
                self.with(|transactions, io, flow| transactions.receive_request(io, flow, request, || true))
            }
            Message::Response(response) => self.with(|transactions, io, _| transactions.receive_response(io, response)),
        }
    }

    /// Answers a request that came.
    fn answer(&mut self, text: &str, status: u16) {
        let Some(Indication::Request(tx, request)) = self.receive(parse(text.as_bytes())) else {
            panic!("not a new request: {text}")
        };
        let response = answer(&request, status);
        self.with(|transactions, io, _| transactions.respond(io, tx, &response));
        if !text.starts_with("INVITE") {
            return;
        }
        match status {
            200 => self.with(|transactions, io, _| transactions.acknowledged(io, tx)),
            _ => drop(self.receive(parse(text.replace("INVITE", "ACK").as_bytes()))),
        }
    }

    /// Sends a request and hears its answer.
    fn ask(&mut self, text: &str, status: u16) {
        let Message::Request(mut request) = parse(text.as_bytes()) else { panic!("no request: {text}") };
        request.headers.remove(&Name::Via);
        let branch = format!("{:024x}", self.transactions.len());
        self.with(|transactions, io, flow| transactions.request(io, flow, request, &branch, 7));
        let (_, sent) = self.sends.pop_back().expect("it was sent");
        let Message::Request(sent) = parse(&sent) else { panic!("{sent:?}") };
        let response = answer(&sent, status).encode();
        assert!(self.receive(parse(&response)).is_some());
    }
}

fn parse(bytes: &[u8]) -> Message {
    match parse_datagram(&Bytes::copy_from_slice(bytes)) {
        Parsed::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn answer(request: &Request, status: u16) -> Response {
    let mut response = request.response(Status(status));
    if status == 200 {
        response.headers.push(Name::Contact, "<sip:501@192.0.2.200:5062;ob>;expires=3600");
    }
    response
}

/// As a phone writes it, with credentials, many headers and a body.
fn request(method: &str, number: u32) -> String {
    let body =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n"
            .to_owned()
            + &"a=fmtp:101 0-16\r\n".repeat(40);
    format!(
        "{method} sip:502@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.200:5062;branch=z9hG4bKPj-{number:032};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Vanessa Kensington\" <sip:501@switch.local>;tag=0f8a7bd6c5e4{number}\r\n\
         To: <sip:502@switch.local>\r\nContact: <sip:501@192.0.2.200:5062;ob>\r\nCall-ID: 7f2f9c1a-8f1b-4f25-a1a5-{number:012}\r\n\
         CSeq: 20131 {method}\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n\
         User-Agent: Deskphone 4711/1.2.3\r\nAuthorization: Digest username=\"501\", realm=\"switch.local\", \
         nonce=\"0123456789abcdef0123456789abcdef0123456789abcdef\", uri=\"sip:502@switch.local\", \
         response=\"0123456789abcdef0123456789abcdef\", qop=auth, nc=00000001, cnonce=\"0123456789abcdef\"\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The bytes that each of many such transactions keeps.
fn kept_by_each(mut run: impl FnMut(&mut Bench, u32)) -> isize {
    let mut bench = Bench::new();
    run(&mut bench, 0);
    bench.sends.clear();
    let before = counting::live();
    for number in 1..=MANY {
        run(&mut bench, number);
        bench.sends.clear();
    }
    assert!(bench.transactions.len() > MANY as usize, "they are still there, to absorb what comes again");
    (counting::live() - before) / MANY as isize
}

#[test]
fn a_transaction_that_is_over_keeps_a_kilobyte_at_most() {
    type Run = fn(&mut Bench, u32);
    let runs: [(&str, Run); 7] = [
        ("an INVITE answered with 2xx", |bench, number| bench.answer(&request("INVITE", number), 200)),
        ("an INVITE refused", |bench, number| bench.answer(&request("INVITE", number), 486)),
        ("a REGISTER", |bench, number| bench.answer(&request("REGISTER", number), 200)),
        ("a BYE", |bench, number| bench.answer(&request("BYE", number), 200)),
        ("an INVITE of ours, answered with 2xx", |bench, number| bench.ask(&request("INVITE", number), 200)),
        ("an INVITE of ours, refused", |bench, number| bench.ask(&request("INVITE", number), 486)),
        ("a BYE of ours", |bench, number| bench.ask(&request("BYE", number), 200)),
    ];
    for (what, run) in runs {
        let kept = kept_by_each(run);
        println!("{what} keeps {kept} bytes");
        assert!(kept <= 1024, "{what} keeps {kept} bytes");
    }
}

#[test]
fn a_long_branch_is_not_what_is_kept() {
    let kept = kept_by_each(|bench, number| {
        let text = request("INVITE", number).replace("z9hG4bKPj-", &format!("z9hG4bK{}", "x".repeat(8000)));
        bench.answer(&text, 200);
    });
    assert!(kept <= 1024, "{kept} bytes");
}
