//! A month of calls, one switch: what it keeps in memory after it is what it kept after the first week.
//!
//! The switch alone is counted: its telephones are a few lines here that keep nothing, its store forgets, its media plane says what is closed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::store;
use cas::time::{Now, Wall};
use media::{Command, Event, LegStats};
use switch::node::{Channel, Flow, Input, Node, Output};
use switch::sip::digest::{self, Algorithm};
use switch::sip::message::Method;
use tests::template::Sip;
use tests::world::{DOMAIN, SWITCH, bare};

#[path = "../src/counting.rs"]
mod counting;

const CALLER: &str = "10.0.2.1:5060";
const CALLEE: &str = "10.0.2.2:5060";

/// How a call ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Talked,
    GivenUp,
    Busy,
    Guessed,
}

/// The switch and the instant, and how the callee takes the calls.
struct Month {
    node: Node,
    start: Now,
    now: Now,
    number: u32,
    kind: Kind,
}

impl Month {
    fn new() -> Month {
        let start = Now { mono: Instant::now(), wall: Wall(1_700_000_000_000) };
        let mut month = Month { node: bare(start, 1), start, now: start, number: 0, kind: Kind::Talked };
        month.carry();
        month
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.node.next_timeout().filter(|at| *at <= end) {
            self.now = self.start.plus(at.max(self.now.mono) - self.start.mono);
            self.tell(Input::Timeout);
        }
        self.now = self.start.plus(end - self.start.mono);
    }

    fn tell(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.carry();
    }

    fn say(&mut self, from: &str, text: String) {
        let address = |text: &str| text.parse().expect("an address");
        let flow = Flow { channel: Channel::Udp, local: address(SWITCH), peer: address(from) };
        self.tell(Input::Datagram(flow, Bytes::from(text)));
    }

    fn carry(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send(flow, bytes) => self.heard(flow.peer, &Sip(String::from_utf8_lossy(&bytes).into_owned())),
                Output::Media(_, Command::Close(leg)) => {
                    self.tell(Input::Media(Event::Closed { leg, stats: LegStats::default() }));
                }
                Output::Store(user, id, _) => self.tell(Input::Stored(user, id, Ok(store::Reply::Written))),
                _ => {}
            }
        }
    }

    fn heard(&mut self, by: SocketAddr, sip: &Sip) {
        match by == CALLER.parse().expect("an address") {
            true => self.caller_hears(sip),
            false => self.callee_hears(sip),
        }
    }

    fn callee_hears(&mut self, sip: &Sip) {
        match (sip.status(), sip.method()) {
            (401, "REGISTER") => self.register(CALLEE, "502", Some(sip)),
            (0, "INVITE") => {
                self.respond(sip, 180, "");
                match self.kind {
                    Kind::Talked => self.respond(sip, 200, &tests::template::sdp(address(CALLEE), 4002, "0 8")),
                    Kind::Busy => self.respond(sip, 486, ""),
                    Kind::GivenUp | Kind::Guessed => {}
                }
            }
            (0, "CANCEL") => {
                self.respond(sip, 200, "");
                let invite = Sip(sip.0.replace("CANCEL", "INVITE"));
                self.respond(&invite, 487, "");
            }
            (0, "BYE" | "OPTIONS") => self.respond(sip, 200, ""),
            _ => {}
        }
    }

    fn respond(&mut self, request: &Sip, status: u16, body: &str) {
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let to = request.header("To");
        let tag = if to.contains(";tag=") { String::new() } else { format!(";tag=b{}", request.header("Call-ID")) };
        self.say(
            CALLEE,
            format!(
                "SIP/2.0 {status} Whatever\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
                 Contact: <sip:502@{CALLEE}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
                request.header("Via"),
                request.header("From"),
                request.header("Call-ID"),
                request.header("CSeq"),
                body.len()
            ),
        );
    }

    fn caller_hears(&mut self, sip: &Sip) {
        match (sip.method(), sip.status()) {
            ("REGISTER", 401) => self.register(CALLER, "501", Some(sip)),
            ("INVITE", 180) if self.kind == Kind::GivenUp => self.within(sip, "CANCEL", sip.number()),
            ("INVITE", 200) => self.within(sip, "ACK", sip.number()),
            ("INVITE", 401) if sip.number() < 20 => {
                self.within(sip, "ACK", sip.number());
                self.invite(sip.number() + 1, Some(sip));
            }
            ("INVITE", 300..) => self.within(sip, "ACK", sip.number()),
            _ => {}
        }
    }

    /// The caller's ACK, CANCEL or BYE.
    fn within(&mut self, sip: &Sip, method: &str, number: u32) {
        let call = self.number;
        let same = method == "CANCEL" || (method == "ACK" && sip.status() >= 300);
        let branch = if same { format!("z9hG4bKi{call}x{number}") } else { format!("z9hG4bK{method}{call}x{number}") };
        let to = if method == "CANCEL" { format!("<sip:502@{DOMAIN}>") } else { sip.header("To").to_owned() };
        let target = if same { format!("sip:502@{DOMAIN}") } else { sip.contact() };
        self.say(
            CALLER,
            format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
                 To: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
                sip.header("From"),
                sip.header("Call-ID")
            ),
        );
        if method == "ACK" && sip.status() == 200 && self.kind == Kind::Talked {
            self.pass(Duration::from_secs(20));
            self.within(sip, "BYE", number + 1);
        }
    }

    fn call(&mut self, kind: Kind) {
        self.number += 1;
        self.kind = kind;
        self.invite(1, None);
        self.pass(Duration::from_secs(40));
    }

    fn invite(&mut self, number: u32, challenge: Option<&Sip>) {
        let (call, uri, own) = (self.number, format!("sip:502@{DOMAIN}"), address(CALLER));
        let secret = if self.kind == Kind::Guessed { "wrong" } else { "secret501" };
        let authorization = challenge.map(|sip| authorization(sip, "501", secret, &Method::Invite, &uri));
        let sdp = tests::template::sdp(own, 4000, "0 8");
        self.say(
            CALLER,
            format!(
                "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKi{call}x{number};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:501@{DOMAIN}>;tag=a{call}\r\nTo: <{uri}>\r\nCall-ID: month{call}\r\nCSeq: {number} INVITE\r\n\
                 Contact: <sip:501@{CALLER}>\r\n{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                authorization.unwrap_or_default(),
                sdp.len()
            ),
        );
    }

    fn register(&mut self, own: &str, user: &str, challenge: Option<&Sip>) {
        self.number += 1;
        let (number, uri) = (self.number, format!("sip:{DOMAIN}"));
        let authorization =
            challenge.map(|sip| authorization(sip, user, &format!("secret{user}"), &Method::Register, &uri));
        self.say(
            own,
            format!(
                "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKr{number};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: register-{user}\r\nCSeq: {number} REGISTER\r\n\
                 Contact: <sip:{user}@{own}>;expires=3600\r\n{}Content-Length: 0\r\n\r\n",
                authorization.unwrap_or_default()
            ),
        );
    }

    /// Two calls an hour, of every kind, between registrations, then an hour of quiet; what is kept.
    fn day(&mut self) -> isize {
        for round in 0..24 {
            for (own, user) in [(CALLER, "501"), (CALLEE, "502")] {
                self.register(own, user, None);
            }
            self.call(Kind::Talked);
            let other = [Kind::GivenUp, Kind::Busy, Kind::Talked, Kind::Guessed];
            self.call(other[round % other.len()]);
            self.pass(Duration::from_secs(58 * 60));
        }
        for (own, user) in [(CALLER, "501"), (CALLEE, "502")] {
            self.register(own, user, None);
        }
        self.pass(Duration::from_secs(50 * 60));
        assert!(self.node.engine().is_quiet(), "no call is left");
        counting::live()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn authorization(challenge: &Sip, user: &str, secret: &str, method: &Method, uri: &str) -> String {
    let nonce = challenge.quoted("WWW-Authenticate", "nonce");
    let ha1 = digest::ha1(Algorithm::Md5, user, DOMAIN, secret);
    let response = digest::response(Algorithm::Md5, &ha1, nonce, Some(("c", "00000001")), method, uri);
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         qop=auth, nc=00000001, cnonce=\"c\"\r\n"
    )
}

#[test]
fn a_month_of_calls_leaves_no_more_memory_than_its_first_week() {
    let mut month = Month::new();
    let days: Vec<isize> = (0..30).map(|_| month.day()).collect();
    let counts = month.node.engine().counts();
    assert!(counts.calls >= 30 * 24 * 7 / 4, "{counts:?}");
    let timers = month.node.engine().armed_timers().count();
    assert!(timers <= 4, "{timers} timers are armed");
    // The ladders of the last calls are kept, so many and no more: they are full within the week.
    let (early, late) = (days[7], *days.iter().skip(20).max().expect("a month has more days"));
    assert!(late - early < 8192, "from {early} to {late} bytes: {days:?}");
    assert!(late < 1 << 20, "{late} bytes in all");
}
