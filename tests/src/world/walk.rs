//! The random walk: each step somebody does something, or time passes.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use switch::sounds::announcement::Audience;

use cas::control::CallControl;
use serde_json::{Map, Value, json};
use switch::demo::phone::{
    Answers, Ask, Behaviour, Codec, Deaf, Digits, Hold, Manners, Phone, Reliable, SessionTimer, Status, Talk, Transport,
};

use super::client::{ClientId, rows};
use super::disk::Disk;
use super::network::{Weather, below};
use super::{Handset, PhoneId, World, orders, ports, site};

/// What may be dialled: users, one who is not there, nobody's number, the echo, an orbit.
const NUMBERS: [&str; 8] = ["501", "502", "503", "504", "502", "999", "*43", "700"];
/// Codes that know who has called whom.
const CODES: [&str; 7] = ["*66", "*66501", "*66502", "*66503", "*86", "*69", "*07"];
/// Two for each user.
const MOST_PHONES: usize = 8;
/// The telephony actions of a call.
const ACTIONS: [&str; 10] = [
    "drop",
    "answer",
    "hold",
    "unhold",
    "send-digits",
    "blind-transfer",
    "redirect",
    "consult",
    "complete-transfer",
    "park",
];
/// Errors of the protocol that an offered action may meet because of its destination (`cas/REFERENCE.md`).
const BAD_VALUE: u64 = 5;
const OVERLOADED: u64 = 20;
const NO_ROUTE: u64 = 21;
const NOT_REGISTERED: u64 = 22;
const BUSY: u64 = 24;

/// What a walk has seen, so that one that sees nothing is found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// Calls that were found as their clients had been told.
    pub compared: usize,
    /// Telephones that were found to hear their partner.
    pub listened: usize,
    /// Transfers that were accepted, of telephones and of clients.
    pub transfers: usize,
    /// Those that reached somebody, as far as he who had asked was told.
    pub reached: usize,
}

impl Walked {
    /// That of another walk besides.
    pub fn add(&mut self, other: Walked) {
        self.compared += other.compared;
        self.listened += other.listened;
        self.transfers += other.transfers;
        self.reached += other.reached;
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls were as their clients knew them, {} telephones heard their partner, {} transfers were accepted, {} reached somebody",
            self.compared, self.listened, self.transfers, self.reached
        )
    }
}

impl World {
    /// A world of its own for this seed: cast, clients and weather.
    pub fn random(seed: u64) -> World {
        // One media worker, two, or so many that most legs that talk have to be brought together.
        let workers = [1, 2, 12, 24][seed as usize % 4];
        let mut world = World::furnished(
            seed,
            |settings| {
                settings.ports = ports(workers);
                // None is left at the end.
                settings.plan.call_back = Duration::from_secs(100);
                settings.hold_reminder = Some(Duration::from_secs(5));
                settings.announcements = [Audience::Everybody, Audience::Connected][seed as usize / 4 % 2];
            },
            &orders::random(seed),
        );
        for at in 0..MOST_PHONES.min(4 + below(&mut world.random, 5) as usize) {
            let handset = world.handset(site::USERS[at % site::USERS.len()]);
            let phone = world.add_phone(handset);
            world.register(phone);
        }
        for user in site::USERS.into_iter().take(3) {
            world.log_in(user);
        }
        let weather = Weather::random(&mut world.random);
        world.set_weather(weather);
        world
    }

    fn handset(&mut self, user: &'static str) -> Handset {
        Handset {
            transport: if self.chance(25) { Transport::Tcp } else { Transport::Udp },
            codecs: if self.chance(30) {
                vec![Codec::Pcma, Codec::Pcmu, Codec::Event]
            } else {
                vec![Codec::G722, Codec::Pcmu, Codec::Event]
            },
            behaviour: self.behaviour(),
            talk: Talk::Sparse,
            hold: self.choose(&[Hold::SendOnly, Hold::Inactive, Hold::Zero]),
            expires: 60 + below(&mut self.random, 600),
            auto_answer: self.chance(60),
            manners: self.manners(),
            ..Handset::of(user)
        }
    }

    /// Two of five telephones are plain; the others know more, or behave worse.
    fn manners(&mut self) -> Manners {
        if self.chance(40) {
            return Manners::default();
        }
        let timer = SessionTimer {
            expires: 90 + below(&mut self.random, 300),
            min: 90 + below(&mut self.random, 2) * below(&mut self.random, 200),
            refreshes: self.chance(50),
        };
        Manners {
            reliable: match below(&mut self.random, 20) {
                0 => Reliable::Required,
                1..8 => Reliable::Supported,
                _ => Reliable::Never,
            },
            early_media: self.chance(30),
            late_offer: self.chance(15),
            update: self.chance(40),
            timer: self.chance(30).then_some(timer),
            digits: self.choose(&[Digits::Rtp, Digits::Rtp, Digits::Relay, Digits::Plain]),
            deaf: match below(&mut self.random, 30) {
                0 => Deaf::Always,
                1..4 => Deaf::AtFirst(1 + below(&mut self.random, 3)),
                _ => Deaf::No,
            },
            answers: match below(&mut self.random, 20) {
                0 => Answers::Forked,
                1 | 2 => Answers::Twice,
                _ => Answers::Once,
            },
            elsewhere: if self.chance(20) { vec!["504".into(), "503".into()] } else { Vec::new() },
            second_contact: self.chance(10).then_some(5070),
            slow: Duration::from_millis(if self.chance(20) { u64::from(below(&mut self.random, 3000)) } else { 0 }),
            ptime: self.choose(&[0, 0, 20, 40]),
            silent: Duration::ZERO,
            sha256: false,
            talk: self.chance(30),
        }
    }

    /// So many random acts, the invariants checked after each, and at the end that nothing is left.
    pub fn walk(mut self, steps: u64) -> Walked {
        for step in 0..steps {
            self.step = step;
            self.act();
            let pause = self.pause();
            self.run_for(pause);
            self.check();
        }
        self.quiesce();
        Walked {
            compared: self.calls_compared,
            listened: self.listened,
            transfers: self.transfers,
            reached: self.reached,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        below(&mut self.random, 100) < percent
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[below(&mut self.random, from.len() as u32) as usize]
    }

    fn pause(&mut self) -> Duration {
        let most = match below(&mut self.random, 100) {
            0..40 => 50,
            40..75 => 700,
            75..95 => 3_000,
            95..98 => 15_000,
            _ => 80_000,
        };
        Duration::from_millis(u64::from(below(&mut self.random, most)))
    }

    fn behaviour(&mut self) -> Behaviour {
        match below(&mut self.random, 20) {
            0 => Behaviour::Reject(486),
            1 => Behaviour::Reject(603),
            2 => Behaviour::Reject(302),
            3 => Behaviour::Reject(503),
            4..8 => Behaviour::Ring,
            _ => Behaviour::Answer(Duration::from_millis(u64::from(below(&mut self.random, 1500)))),
        }
    }

    fn act(&mut self) {
        match below(&mut self.random, 100) {
            0..52 => self.act_at_a_phone(),
            52..88 => {
                let client = ClientId(below(&mut self.random, self.clients.len() as u32) as usize);
                self.act_as_client(client);
            }
            88..90 => {
                let phone = self.some_phone();
                if self.phone(phone).is_on() {
                    self.vanish(phone);
                } else {
                    self.come_back(phone);
                }
            }
            90..94 => self.listen_in(),
            _ => self.befall(),
        }
    }

    /// The disk becomes full, fails, or recovers; now and then it takes longer than a phone waits.
    pub(super) fn change_disk(&mut self) {
        self.disk = Disk::random(&mut self.random);
        let most = if self.chance(70) { 1 } else { 6_000 };
        self.store_delay = Duration::from_millis(u64::from(below(&mut self.random, most)));
        let (disk, delay) = (self.disk, self.store_delay);
        self.note(|| format!("the disk is {disk:?}, {delay:?} late"));
    }

    fn some_phone(&mut self) -> PhoneId {
        PhoneId(below(&mut self.random, self.phones.len() as u32) as usize)
    }

    /// What a person would do with the telephone as it is; now and then what makes no sense.
    fn act_at_a_phone(&mut self) {
        let phone = self.some_phone();
        match (self.phone(phone).status(), below(&mut self.random, 20)) {
            (Status::Idle, 0..12) => {
                let number = self.choose(&NUMBERS);
                self.call(phone, number);
            }
            (Status::Idle, 12) => {
                let behaviour = self.behaviour();
                self.behave(phone, behaviour);
            }
            (Status::Idle, 13) => {
                let second_contact = self.phone(phone).config().manners.second_contact;
                let manners = Manners { second_contact, ..self.manners() };
                self.teach(phone, manners);
            }
            (Status::Idle, 14 | 15) => self.unregister(phone),
            (Status::Idle, 16 | 17) => self.ask_something(phone, false),
            (Status::Idle, 18) => {
                let code = self.choose(&CODES);
                self.call(phone, code);
            }
            (Status::Idle, _) => self.register(phone),
            (Status::Ringing, 0..10) => {
                self.answer(phone);
            }
            (Status::Ringing, 10..14) => {
                self.reject(phone, 486);
            }
            (Status::Talking { .. }, at @ 0..14) => self.act_in_a_call(phone, at),
            (Status::Talking { .. }, 14..17) => self.refer(phone),
            (Status::Calling { ringing: true } | Status::Ringing, 14) => {
                self.hold(phone);
            }
            (Status::Calling { .. }, 0..12) => {}
            _ => {
                self.hang_up(phone);
            }
        }
    }

    fn act_in_a_call(&mut self, phone: PhoneId, at: u32) {
        let held = self.phone(phone).status() == Status::Talking { held: true };
        match at {
            0..4 if held => {
                self.resume(phone);
            }
            0..4 => {
                self.hold(phone);
            }
            4..6 => {
                self.dial_digits(phone, "4#");
            }
            6 => {
                self.press(phone, Phone::reorder);
            }
            7 => {
                let rtp =
                    SocketAddr::new(self.phone(phone).config().rtp.ip(), 4000 + 2 * below(&mut self.random, 50) as u16);
                self.press(phone, |phone, now| phone.move_to(now, rtp));
            }
            8 => {
                self.press(phone, Phone::refresh);
            }
            9 => {
                self.press(phone, Phone::ask_for_offer);
            }
            10 => {
                self.press(phone, Phone::take_back);
            }
            11 => {
                // Somebody changes his mind in the middle of a change.
                self.hold(phone);
                self.hang_up(phone);
            }
            _ => self.ask_something(phone, true),
        }
    }

    fn ask_something(&mut self, phone: PhoneId, within: bool) {
        let ask = self.choose(&Ask::ALL);
        self.press(phone, |phone, now| phone.ask(now, ask, within));
    }

    /// A REFER: blind, or with the call of another telephone; mostly one of the same user's, since others are refused.
    fn refer(&mut self, phone: PhoneId) {
        let (told, any) = (self.chance(85), self.chance(10));
        let user = self.user_of(phone);
        let is_his = |other: &PhoneId| *other != phone && (any || self.user_of(*other) == user);
        let has_call = |other: &PhoneId| self.phone(*other).dialog_name().is_some();
        let others: Vec<_> = (0..self.phones.len()).map(PhoneId).filter(is_his).filter(has_call).collect();
        if others.is_empty() || self.chance(25) {
            let number = self.choose(&NUMBERS);
            self.transfer(phone, number, None, told);
        } else {
            let with = self.choose(&others);
            let number = self.phone(with).far().unwrap_or_default().to_owned();
            self.transfer(phone, &number, Some(with), told);
        }
    }

    fn act_as_client(&mut self, client: ClientId) {
        let state = &self.clients[client.0];
        if state.session.is_none() {
            if state.login.is_none() {
                self.begin_login(client);
            }
            return;
        }
        if !state.view.complete {
            return self.subscribe(client);
        }
        match below(&mut self.random, 20) {
            0..6 => self.make_call(client),
            6..14 => self.act_on_a_call(client),
            14..16 => {
                if self.clients[client.0].poll.is_none() {
                    let timeout = u64::from(below(&mut self.random, 20));
                    self.begin_poll(client, timeout);
                }
            }
            16 => self.break_poll(client),
            17 => self.log_out(client),
            18 => self.unpark(client),
            _ => self.subscribe(client),
        }
    }

    fn subscribe(&mut self, client: ClientId) {
        let message = json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["tel", "device"]]});
        self.execute(client, message);
    }

    fn make_call(&mut self, client: ClientId) {
        let dest = self.choose(&NUMBERS);
        let asked = self.dress(client, json!({"topic": "tel", "message": "make-call", "dest": dest}));
        let reply = self.execute_as_is(client, &asked);
        if self.chance(20) {
            self.repeat(client, &asked, &reply);
        }
    }

    /// What is parked is offered to whoever can have it, and he gets it (invariant 6).
    fn unpark(&mut self, client: ClientId) {
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "get-parked"}));
        let Ok(rows) = rows(&reply["parked"]) else { self.fail(&format!("no rows: {reply}")) };
        let orbit = rows.first().map_or(json!("700"), |row| row["orbit"].clone());
        let offered = rows.first().is_some_and(|row| row["actions"] == json!(["unpark"]));
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "unpark", "orbit": orbit}));
        if (reply["error"] == 0) != offered {
            self.fail(&format!("unpark was offered: {offered}; it was answered {reply} for {rows:?}"));
        }
    }

    /// A request that comes again gets the first one's reply, and nothing is done twice.
    fn repeat(&mut self, client: ClientId, asked: &Value, first: &Value) {
        let legs = self.open_legs();
        let pending = self.clients[client.0].view.pending.clone();
        let again = self.execute_as_is(client, asked);
        if again["response"] != first["response"] || again["call-id"] != first["call-id"] || legs != self.open_legs() {
            self.fail(&format!("a repetition of {asked} was answered {again}, not {first}"));
        }
        self.clients[client.0].view.pending = pending;
    }

    /// An action offered is accepted, one not offered is refused (invariant 6).
    fn act_on_a_call(&mut self, client: ClientId) {
        let calls = self.calls(client);
        if calls.is_empty() {
            return;
        }
        let call = &calls[below(&mut self.random, calls.len() as u32) as usize];
        let action = self.choose(&ACTIONS);
        let offered = call["actions"].as_array().is_some_and(|actions| actions.iter().any(|name| name == action));
        if action == "complete-transfer" {
            return self.complete_a_transfer(client, call, &calls, offered);
        }
        let mut message = json!({"topic": "tel", "message": action, "call-id": call["call-id"]});
        let mut excuses = Vec::new();
        match action {
            "send-digits" => message["digits"] = "12#".into(),
            "blind-transfer" | "redirect" | "consult" => {
                let dest = self.choose(&NUMBERS);
                message["dest"] = dest.into();
                excuses = self.excuses(client, action, dest, call);
            }
            _ => {}
        }
        let reply = self.execute_at_once(client, message);
        let error = reply["error"].as_u64().unwrap_or_default();
        let right = match (offered, excuses.as_slice()) {
            (false, _) => error != 0,
            (true, []) => error == 0,
            (true, [Excuse::Must(code)]) => error == *code,
            (true, excuses) => error == 0 || excuses.contains(&Excuse::May(error)),
        };
        if !right {
            self.fail(&format!("{action} was offered: {offered}; it was answered {reply} for {call:?}"));
        }
        self.transfers += usize::from(action == "blind-transfer" && error == 0);
    }

    /// Why an action that is offered may be refused, or must be, because of where the call is to go.
    fn excuses(&self, client: ClientId, action: &str, dest: &str, call: &Map<String, Value>) -> Vec<Excuse> {
        let is_full = self.node.engine().status().calls >= self.settings.max_calls;
        if is_full && action != "redirect" {
            return vec![Excuse::Must(OVERLOADED)];
        }
        let own = self.clients[client.0].user;
        let far = call["parties"][1][0].as_str();
        match (action, dest) {
            (_, "999") => vec![Excuse::Must(NO_ROUTE)],
            (_, "*43") => Vec::new(),
            // Another call is parked there.
            ("blind-transfer", "700") => vec![Excuse::May(BUSY)],
            ("blind-transfer", user) if user == own || Some(user) == far => vec![Excuse::Must(BAD_VALUE)],
            // It may have been there already.
            ("redirect", user) if user == own => vec![Excuse::Must(BAD_VALUE)],
            ("redirect", _) => vec![Excuse::May(BAD_VALUE)],
            // The user's telephones are all one device.
            ("consult", user) if user == own => vec![Excuse::Must(BAD_VALUE)],
            // Nothing is parked there.
            ("consult", "700") => vec![Excuse::May(NO_ROUTE)],
            ("consult", _) => vec![Excuse::May(NOT_REGISTERED)],
            _ => Vec::new(),
        }
    }

    /// That it is offered says that it can be completed with one of the user's other calls.
    fn complete_a_transfer(
        &mut self,
        client: ClientId,
        call: &Map<String, Value>,
        calls: &[Map<String, Value>],
        offered: bool,
    ) {
        let first = below(&mut self.random, calls.len() as u32) as usize;
        let mut replies = Vec::new();
        for with in calls.iter().cycle().skip(first).take(calls.len()) {
            let (call, with) = (&call["call-id"], &with["call-id"]);
            let message = json!({"topic": "tel", "message": "complete-transfer", "call-id": call, "with": with});
            let reply = self.execute_at_once(client, message);
            let accepted = reply["error"] == 0;
            replies.push(reply);
            if accepted {
                self.transfers += 1;
                break;
            }
        }
        if replies.iter().any(|reply| reply["error"] == 0) != offered {
            self.fail(&format!("complete-transfer was offered: {offered}; it was answered {replies:?} for {call:?}"));
        }
    }
}

/// A refusal of what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    /// With this error it may be refused.
    May(u64),
    /// With this error it has to be.
    Must(u64),
}
