//! Thousands of INVITEs, REGISTERs and answers that are malformed, or well formed and odd (`tests/src/malformed.rs`): to the switch in virtual time, where all that is
//! kept of them can be counted, and to the real one.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tests::malformed::{Plain, Spoiler};
use tests::process::Switch;
use tests::stranger::{Connection, Stranger, ack_of, own_address};
use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, DOMAIN, Handset, PhoneId, Status, World};

/// Whom the spoilt INVITEs call: phones that answer, ring and refuse, the caller himself, nobody, the echo.
const NUMBERS: [&str; 6] = ["502", "503", "504", "501", "999", "*43"];

/// `Name: value` lines as pairs.
fn headers(lines: &str) -> Vec<(String, String)> {
    let pairs = lines.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A message as it would be before it is spoilt.
fn plain(start: &str, via: &str, lines: &str, body: &str) -> Plain {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let all = format!("Via: {via}\r\nMax-Forwards: 70\r\n{lines}{content}");
    Plain { start: start.to_owned(), headers: headers(&all), body: body.to_owned() }
}

/// Somebody with a phone, a right secret, and no manners.
struct Vandal {
    world: World,
    spoiler: Spoiler,
    phone: Template,
    nonce: String,
    used: u32,
    callers: Vec<PhoneId>,
    /// Statuses of the answers.
    answered: Vec<u16>,
}

impl Vandal {
    fn new(seed: u64) -> Vandal {
        let mut world = World::new(seed);
        let mut callers = Vec::new();
        for (user, behaviour) in [
            ("502", Behaviour::Answer(Duration::from_millis(20))),
            ("503", Behaviour::Ring),
            ("504", Behaviour::Reject(486)),
        ] {
            let phone = world.add_phone(Handset { behaviour, talk: tests::world::Talk::Sparse, ..Handset::of(user) });
            world.register(phone);
            callers.push(phone);
        }
        let mut phone = Template::new("501", 9);
        phone.register(&mut world);
        Vandal {
            world,
            spoiler: Spoiler::new(seed),
            phone,
            nonce: String::new(),
            used: 0,
            callers,
            answered: Vec::new(),
        }
    }

    fn next(&mut self) -> Plain {
        let transport = if self.spoiler.below(4) == 0 { "TCP" } else { "UDP" };
        let number = self.phone.fresh();
        let via = format!("SIP/2.0/{transport} {};branch=z9hG4bKspoilt{number};rport", self.phone.address());
        self.used += 1;
        let invite = self.spoiler.below(3) > 0;
        let method = if invite { "INVITE" } else { "REGISTER" };
        // Now and then somebody unknown.
        let authorization = match self.spoiler.below(8) {
            0 => String::new(),
            _ => self.phone.authorization(method, &self.phone.secret(), &self.nonce, Some(self.used)),
        };
        if !invite {
            // One of its own, mostly: with another's, a spoilt CSeq would end all that come after.
            let call_id =
                if self.spoiler.below(4) == 0 { self.phone.call_id() } else { format!("registration{number}") };
            let contact = format!("Contact: <{}>;expires=60\r\n", self.phone.uri());
            let lines = format!(
                "From: <sip:501@{DOMAIN}>;tag=r\r\nTo: <sip:501@{DOMAIN}>\r\nCall-ID: {call_id}\r\nCSeq: {number} REGISTER\r\n{contact}{authorization}"
            );
            return plain(&format!("REGISTER sip:{DOMAIN} SIP/2.0"), &via, &lines, "");
        }
        let dialled = NUMBERS[self.spoiler.below(NUMBERS.len())];
        let lines = format!("{}CSeq: 1 INVITE\r\n{authorization}", self.phone.invite_lines(dialled));
        let body = self.phone.sdp();
        plain(&format!("INVITE sip:{dialled}@{DOMAIN} SIP/2.0"), &via, &lines, &body)
    }

    /// Sends one, in pieces where it goes over a connection, which ends sooner or later.
    fn vandalise(&mut self) {
        let plain = self.next();
        let bytes = self.spoiler.spoil(&plain);
        let from = self.phone.address();
        if plain.headers[0].1.contains("/TCP ") {
            let stream = self.world.open_stream(from);
            let cut = self.spoiler.below(bytes.len() + 1);
            self.world.throw(from, Some(stream), &bytes[..cut]);
            if self.spoiler.below(4) > 0 && self.world.is_open(stream) {
                self.world.throw(from, Some(stream), &bytes[cut..]);
                self.pass();
            }
            if self.world.is_open(stream) {
                self.world.close_stream(stream);
            }
        } else {
            self.world.throw(from, None, &bytes);
            if self.spoiler.below(10) == 0 {
                self.world.throw(from, None, &bytes);
            }
            self.pass();
        }
    }

    /// A little time, and an end to whatever call came about.
    fn pass(&mut self) {
        let time = Duration::from_millis(1 + self.spoiler.below(60) as u64);
        self.world.run_for(time);
        for sip in self.phone.hear(&mut self.world) {
            check_answer(&sip);
            self.answered.push(sip.status());
            match sip.status() {
                200 if sip.method() == "INVITE" => {
                    let dialog = Dialog::of_caller(&sip);
                    self.phone.say_within(&mut self.world, &dialog, "ACK", sip.number(), "");
                    self.phone.say_within(&mut self.world, &dialog, "BYE", sip.number() + 1, "");
                }
                300.. if sip.method() == "INVITE" => self.phone.say(&mut self.world, &ack_of(&sip)),
                0 if sip.method() != "ACK" => self.answer(&sip),
                _ => {}
            }
        }
    }

    /// The switch's own request, a call for this phone or the end of one: answered, and mostly the answer is spoilt.
    fn answer(&mut self, request: &Sip) {
        let invite = request.method() == "INVITE";
        let statuses: &[&str] = if invite {
            &["180 R", "183 S", "200 O", "200 O", "200 O", "302 M", "486 B", "503 S"]
        } else {
            &["200 O", "200 O", "481 N"]
        };
        let status = statuses[self.spoiler.below(statuses.len())];
        let to = request.header("To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=v" };
        let lines = format!(
            "From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <{}>\r\n",
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.phone.uri()
        );
        let body = if invite { self.phone.sdp() } else { String::new() };
        let plain = plain(&format!("SIP/2.0 {status}"), request.header("Via"), &lines, &body);
        let bytes = self.spoiler.spoil(&plain);
        self.world.throw(self.phone.address(), None, &bytes);
    }

    /// Somebody calls this phone, or has had enough of it.
    fn be_called(&mut self) {
        let caller = self.callers[self.spoiler.below(self.callers.len())];
        match self.world.phone(caller).status() {
            Status::Idle => drop(self.world.call(caller, "501")),
            _ => drop(self.world.hang_up(caller)),
        }
    }

    fn alive(&mut self) {
        let lines = format!(
            "From: <sip:501@{DOMAIN}>;tag=o\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: alive\r\nCSeq: {} OPTIONS\r\n",
            self.used
        );
        let options = self.phone.request("OPTIONS", &format!("sip:{DOMAIN}"), &lines, "");
        self.phone.say(&mut self.world, &options);
        self.phone.wait_status(&mut self.world, "OPTIONS", 200);
    }

    /// So many messages; what they left is gone after it.
    fn rage(mut self, messages: u32) -> Vec<u16> {
        for _ in 0..messages / 50 {
            self.nonce = self.phone.nonce(&mut self.world);
            self.used = 0;
            for _ in 0..50 {
                self.vandalise();
                if self.spoiler.below(5) == 0 {
                    self.be_called();
                }
            }
            self.alive();
            self.world.check();
        }
        // What is still under way has its end.
        (0..2_000).for_each(|_| self.pass());
        self.world.run_for(Duration::from_secs(120));
        let answers = self.phone.hear(&mut self.world);
        answers.iter().for_each(check_answer);
        self.phone.ask_to_register(&mut self.world, "Contact: *\r\nExpires: 0\r\n");
        self.world.quiesce();
        self.answered
    }
}

/// An answer is a message of its own, whatever it repeats of what it answers.
fn check_answer(sip: &Sip) {
    if sip.0.trim().is_empty() {
        // To a keep-alive (RFC 5626 §4.4.1).
        return;
    }
    let (head, body) = sip.0.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of its head: {sip:?}"));
    assert!(!head.replace("\r\n", "").contains(|c: char| c.is_ascii_control() && c != '\t'), "controls: {sip:?}");
    assert_eq!(sip.header("Content-Length"), body.len().to_string(), "{sip:?}");
}

#[test]
fn spoilt_requests_of_a_known_phone_leave_nothing_behind() {
    let mut answered: Vec<u16> = Vec::new();
    for seed in 1..=8 {
        answered.extend(Vandal::new(seed).rage(1_500));
    }
    let count = |status| answered.iter().filter(|s| **s == status).count();
    let counts: Vec<_> =
        [100, 180, 200, 400, 401, 404, 415, 416, 420, 481, 486, 488, 505, 513].map(|s| (s, count(s))).to_vec();
    // They were understood in many ways, and went as far as ringing another's phone.
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

/// What was answered, and heard by this phone.
fn statuses(phone: &mut Template, world: &mut World) -> Vec<u16> {
    phone.hear(world).iter().filter(|sip| !sip.0.trim().is_empty()).map(Sip::status).collect()
}

#[test]
fn a_stream_cut_at_any_byte_is_read_the_same_and_ended_at_any_byte_leaves_nothing() {
    let mut world = World::new(5);
    let mut phone = Template::new("501", 9);
    phone.register(&mut world);
    let from = phone.address();
    let mut bytes = b"\r\n".to_vec();
    for method in ["OPTIONS", "INVITE", "REGISTER", "NONSENSE"] {
        let lines = format!(
            "From: <sip:501@{DOMAIN}>;tag=c\r\nTo: <sip:502@{DOMAIN}>\r\nSubject: folded\r\n over lines\r\nCall-ID: cut\r\nCSeq: 1 {method}\r\nContact: <{}>\r\n",
            phone.uri()
        );
        let body = if method == "INVITE" { phone.sdp() } else { String::new() };
        let request = phone.request(method, &format!("sip:502@{DOMAIN}"), &lines, &body);
        bytes.extend_from_slice(request.replace("SIP/2.0/UDP", "SIP/2.0/TCP").as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
    }
    for at in 0..=bytes.len() {
        let stream = world.open_stream(from);
        for piece in [&bytes[..at], &bytes[at..]] {
            world.throw(from, Some(stream), piece);
            world.run_for(Duration::from_millis(2));
        }
        assert_eq!(statuses(&mut phone, &mut world), [200, 401, 401, 501], "cut at {at}");
        assert!(world.is_open(stream), "cut at {at}");
        world.close_stream(stream);
    }
    for at in 0..=bytes.len() {
        let stream = world.open_stream(from);
        world.throw(from, Some(stream), &bytes[..at]);
        world.close_stream(stream);
    }
    phone.hear(&mut world);
    phone.ask_to_register(&mut world, "Contact: *\r\nExpires: 0\r\n");
    world.quiesce();
}

/// A spoilt request to the real switch.
fn thrown(spoiler: &mut Spoiler, from: std::net::SocketAddr, transport: &str, number: u32) -> Vec<u8> {
    let via = format!("SIP/2.0/{transport} {from};branch=z9hG4bKthrown{number};rport");
    let common = |method: &str| {
        format!(
            "From: <sip:501@example.com>;tag=t{number}\r\nTo: <sip:600@example.com>\r\nCall-ID: thrown{number}\r\nCSeq: 1 {method}\r\nContact: <sip:501@{from}>\r\n"
        )
    };
    let body = tests::template::sdp(from, 4000, "0 8 101");
    let plain = match spoiler.below(3) {
        0 => plain("REGISTER sip:example.com SIP/2.0", &via, &common("REGISTER"), ""),
        _ => plain("INVITE sip:*43@127.0.0.1 SIP/2.0", &via, &common("INVITE"), &body),
    };
    spoiler.spoil(&plain)
}

#[test]
fn the_real_switch_stands_what_is_thrown_at_it() {
    const BATCHES: u32 = 60;
    const BATCH: u32 = 50;
    let switch = Switch::start();
    let mut stranger = Stranger::at(own_address(1), &[], switch.sip);
    // From here nothing is challenged: bodies and numbers are looked at.
    let mut gateway = Stranger::at(own_address(2), &[], switch.sip);
    switch.told(&["user", "add", "600", "--name", "PSTN", "--address", &gateway.address().to_string()]);
    let mut spoiler = Spoiler::new(7);
    let (mut number, mut warm, mut answers) = (0, 0, 0);
    for batch in 0..BATCHES {
        for who in [&mut stranger, &mut gateway] {
            for _ in 0..BATCH {
                number += 1;
                who.send(&thrown(&mut spoiler, who.address(), "UDP", number));
            }
            let heard = who.answers();
            heard.iter().filter(|sip| sip.status() >= 300).for_each(|refusal| who.acknowledge(refusal));
            answers += heard.len();
        }
        for _ in 0..BATCH / 5 {
            number += 1;
            let mut connection = Connection::open(switch.sip);
            let bytes = thrown(&mut spoiler, connection.address(), "TCP", number);
            let cut = spoiler.below(bytes.len() + 1);
            connection.send(&bytes[..cut]);
            if spoiler.below(4) > 0 {
                connection.send(&bytes[cut..]);
            }
            connection.close();
        }
        if batch == BATCHES / 4 {
            warm = switch.memory();
        }
    }
    assert!(answers > 1_000, "only {answers} answers");
    let grown = switch.memory().saturating_sub(warm);
    assert!(grown < 16 << 20, "{grown} bytes more than after a quarter of it, when there were {warm}");
    assert!(!switch.log().contains("panicked"), "{}", switch.log());
    assert!(switch.told(&["status"]).contains("calls"), "and it can be asked");
}
