//! `node`: the switch without its input and output, driven in this process: what of a call's cost is its own. For profiles
//! (`valgrind --tool=callgrind`, `perf`), and for more calls open at a time than this machine has ports for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use benches::sample::Spread;
use benches::sip::{Account, Message, finish, session};
use bytes::Bytes;
use cas::cas::Settings as CasSettings;
use cas::site::plan::Plan;
use cas::site::{Access, Device, DeviceId, DigestPolicy, Extension, MachineKey, Role, Target, User, UserId};
use cas::store::{self, Change, Reply, Request, memory::Memory};
use cas::time::{Now, Wall};
use clap::Parser;
use media::{Command, Event, LegStats, Port};
use mimalloc::MiMalloc;
use switch::entropy::Seeded;
use switch::node::{Channel, Flow, Input, Limits, Node, Output, Settings, WorkerId};

/// The switch's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The switch without its input and output: microseconds of each call
#[derive(Parser)]
struct Cli {
    /// Calls of a round
    #[arg(long, default_value_t = 20_000)]
    calls: usize,
    /// Calls that stay open meanwhile
    #[arg(long, default_value_t = 0)]
    open: usize,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// REGISTER, challenged, instead of calls
    #[arg(long)]
    register: bool,
}

const REALM: &str = "switch.local";
const PHONES: usize = 40;
const SWITCH: &str = "127.0.0.1:5060";
/// Between one call and the next: a thousand a second.
const STEP: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    let mut world = World::new(cli.open + 1000).map_err(io::Error::other)?;
    (0..2 * PHONES).for_each(|phone| world.register(phone));
    (0..cli.open).for_each(|_| world.call(false));
    let mut rounds = Vec::new();
    for _ in 0..cli.rounds {
        world.spent = Duration::ZERO;
        for number in 0..cli.calls {
            if cli.register { world.register(number % (2 * PHONES)) } else { world.call(true) }
        }
        rounds.push(world.spent.as_secs_f64() * 1e6 / cli.calls as f64);
    }
    let Spread { median, least, most } = Spread::of(&rounds);
    let what = if cli.register { "REGISTER" } else { "call" };
    println!("{what}, beside {} open ones: {median:.2} µs ({least:.2} … {most:.2}), {} failed", cli.open, world.failed);
    Ok(())
}

/// A node, its telephones, and a clock that is moved on.
struct World {
    node: Node,
    now: Now,
    accounts: Vec<Account>,
    sessions: [String; 2],
    /// Of the node only.
    spent: Duration,
    failed: usize,
    serial: u32,
}

impl World {
    fn new(calls: usize) -> Result<World, store::StoreError> {
        let key = MachineKey([7; 32]);
        let mut memory = Memory::new(REALM);
        let names: Vec<String> = (0..2 * PHONES).map(|n| (1000 + n).to_string()).collect();
        let changes = names.iter().zip(2..).flat_map(|(name, id)| user(&key, id, name)).collect();
        store::run(&mut memory, [&Request::Write(changes)]).remove(0)?;
        let now = Now { mono: Instant::now(), wall: Wall(1_700_000_000_000) };
        let snapshot = store::snapshot(&mut memory, now.wall)?;
        // A call has two ports; their numbers mean nothing here, and repeat.
        let ports = (0..2 * calls).map(|n| (WorkerId(0), Port(20_000 + 2 * (n % 20_000) as u16))).collect();
        let settings = Settings {
            domain: REALM.to_owned(),
            digest: DigestPolicy::Md5,
            media_address: None,
            ports,
            max_calls: calls,
            follow_redirects: true,
            music_of: BTreeMap::new(),
            hold_reminder: None,
            announcements: switch::sounds::announcement::Audience::Nobody,
            max_transactions: 1_000_000,
            max_bindings: 4,
            plan: Plan { waiting: calls, ..Plan::default() },
            limits: Limits { calls_per_source: calls, ..Limits::default() },
            cas: CasSettings::default(),
        };
        let node = Node::new(now, &settings, &snapshot, key, || Box::new(Seeded::new(7)));
        let accounts = names.into_iter().map(|name| Account::new(name.clone(), secret(&name))).collect();
        let sessions = [caller(), callee()].map(session);
        Ok(World { node, now, accounts, sessions, spent: Duration::ZERO, failed: 0, serial: 0 })
    }

    /// The node hears something; what it says is the answer.
    fn say(&mut self, from: SocketAddr, message: Vec<u8>) -> Vec<(SocketAddr, Bytes)> {
        let flow = Flow { channel: Channel::Udp, local: address(SWITCH), peer: from };
        self.feed(Input::Datagram(flow, message.into()))
    }

    fn feed(&mut self, input: Input) -> Vec<(SocketAddr, Bytes)> {
        let mut said = Vec::new();
        let mut inputs = VecDeque::from([input]);
        let begun = Instant::now();
        while let Some(input) = inputs.pop_front() {
            self.node.handle(self.now, input);
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Send(flow, bytes) => said.push((flow.peer, bytes)),
                    Output::Media(_, Command::Close(leg)) => {
                        inputs.push_back(Input::Media(Event::Closed { leg, stats: LegStats::default() }));
                    }
                    Output::Store(user, id, _) => inputs.push_back(Input::Stored(user, id, Ok(Reply::Written))),
                    _ => {}
                }
            }
        }
        self.spent += begun.elapsed();
        said
    }

    /// Time passes.
    fn step(&mut self) {
        self.now = Now { mono: self.now.mono + STEP, wall: Wall(self.now.wall.0 + 1) };
        if self.node.next_timeout().is_some_and(|at| at <= self.now.mono) {
            self.feed(Input::Timeout);
        }
    }

    /// Whether the node said just these, by status or method.
    fn expect(&mut self, said: &[(SocketAddr, Bytes)], expected: &[&str]) {
        let words = said.iter().map(|(_, bytes)| bytes.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let found: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        if found.len() != expected.len()
            || !found.iter().zip(expected).all(|(found, expected)| found.contains(expected))
        {
            if self.failed == 0 {
                eprintln!("expected {expected:?}, heard {found:?}");
            }
            self.failed += 1;
        }
    }

    fn register(&mut self, phone: usize) {
        self.step();
        self.serial += 2;
        let (serial, from) = (self.serial, if phone < PHONES { caller() } else { callee() });
        self.accounts[phone].forget();
        let request = |account: &mut Account, number: u32| {
            let uri = format!("sip:{SWITCH}");
            let (authorization, user) = (account.authorization("REGISTER", &uri), &account.user);
            let text = format!(
                "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKr{number};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:{user}@{SWITCH}>;tag=r{serial}\r\nTo: <sip:{user}@{SWITCH}>\r\nCall-ID: r{user}\r\n\
                 CSeq: {number} REGISTER\r\nContact: <sip:{user}@{from}>\r\nExpires: 3600\r\n{authorization}User-Agent: load\r\n"
            );
            finish(text, "")
        };
        let first = request(&mut self.accounts[phone], serial);
        let said = self.say(from, first);
        self.expect(&said, &["401"]);
        if let Some(message) = said.first().and_then(|(_, bytes)| Message::read(bytes)) {
            self.accounts[phone].challenged(&message);
        }
        let second = request(&mut self.accounts[phone], serial + 1);
        let said = self.say(from, second);
        self.expect(&said, &["200"]);
    }

    /// A whole call, or one that is kept.
    fn call(&mut self, ends: bool) {
        self.step();
        self.serial += 1;
        let (serial, caller, callee) = (self.serial, caller(), callee());
        let phone = serial as usize % PHONES;
        let to = self.accounts[PHONES + phone].user.clone();
        let uri = format!("sip:{to}@{SWITCH}");
        let mut challenge = None;
        let mut said = Vec::new();
        for number in 1..=2 {
            if let Some(challenge) = challenge.take().as_ref().and_then(|bytes: &Bytes| Message::read(bytes)) {
                self.accounts[phone].challenged(&challenge);
            }
            let (authorization, user) =
                (self.accounts[phone].authorization("INVITE", &uri), &self.accounts[phone].user);
            let text = format!(
                "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};branch=z9hG4bKc{serial}.{number};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:{user}@{SWITCH}>;tag=c{serial}\r\nTo: <{uri}>\r\nCall-ID: c{serial}\r\nCSeq: {number} INVITE\r\n\
                 Contact: <sip:{user}@{caller}>\r\n{authorization}Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nUser-Agent: load\r\n"
            );
            let invite = finish(text, &self.sessions[0]);
            said = self.say(caller, invite);
            match said.as_slice() {
                [(_, bytes)] if bytes.starts_with(b"SIP/2.0 401") => challenge = Some(bytes.clone()),
                _ => break,
            }
        }
        self.expect(&said, &["100", "INVITE"]);
        let invite = said.pop().map(|(_, bytes)| bytes).unwrap_or_default();
        let Some(invite) = Message::read(&invite) else { return };
        let ringing = self.say(callee, invite.answer("100 Trying", serial, None, ""));
        self.expect(&ringing, &[]);
        let ringing = self.say(callee, invite.answer("180 Ringing", serial, Some(callee), ""));
        self.expect(&ringing, &["180"]);
        let answer = invite.answer("200 OK", serial, Some(callee), &self.sessions[1]);
        let answered = self.say(callee, answer);
        self.expect(&answered, &["ACK", "200"]);
        let answer = answered.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let Some(answer) = Message::read(&answer) else { return };
        let within = |method: &str, number: u32| {
            let (target, from, to, call_id) = (answer.contact, answer.from, answer.to, answer.call_id);
            let text = format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {caller};branch=z9hG4bK{method}{serial};rport\r\n\
                 Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n"
            );
            finish(text, "")
        };
        let number = answer.cseq.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(1);
        let nothing = self.say(caller, within("ACK", number));
        self.expect(&nothing, &[]);
        if ends {
            let ended = self.say(caller, within("BYE", number + 1));
            self.expect(&ended, &["200", "BYE"]);
            let bye = ended.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
            if let Some(bye) = Message::read(&bye) {
                let nothing = self.say(callee, bye.answer("200 OK", serial, None, ""));
                self.expect(&nothing, &[]);
            }
        }
    }
}

fn user(key: &MachineKey, id: u64, name: &str) -> [Change; 3] {
    let access = Access::digest(key, [id as u8; 12], name, REALM, &secret(name), None);
    let user = User {
        id: UserId(id),
        login: name.to_owned(),
        first: name.to_owned(),
        last: String::new(),
        email: None,
        role: Role::User,
        password_hash: String::new(),
        pin_hash: None,
        pickup_group: None,
    };
    [
        Change::PutUser(user),
        Change::PutDevice(Device { id: DeviceId(id), user: Some(UserId(id)), access }),
        Change::PutNumber(Extension(name.to_owned()), Target::User(UserId(id))),
    ]
}

fn secret(name: &str) -> String {
    format!("secret-{name}")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn caller() -> SocketAddr {
    address("127.0.0.1:6000")
}

fn callee() -> SocketAddr {
    address("127.0.0.1:6002")
}
