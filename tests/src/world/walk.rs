//! The random walk: each step somebody does something, or time passes.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use switch::demo::phone::{
    Answers, Ask, Behaviour, Codec, Deaf, Digits, Hold, Manners, Phone, Reliable, SessionTimer, Status, Talk, Transport,
};

use super::client::ClientId;
use super::disk::Disk;
use super::network::{Weather, below};
use super::{Handset, PhoneId, World, ports, site};

/// What may be dialled: users, one who is not there, nobody's number, and the echo.
const NUMBERS: [&str; 7] = ["501", "502", "503", "504", "502", "999", "*43"];
/// Two for each user.
const MOST_PHONES: usize = 8;
/// The telephony actions of a call.
const ACTIONS: [&str; 4] = ["drop", "hold", "unhold", "send-digits"];

/// What a walk has seen, so that one that sees nothing is found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// Calls that were found as their clients had been told.
    pub compared: usize,
    /// Telephones that were found to hear their partner.
    pub listened: usize,
}

impl Walked {
    /// That of another walk besides.
    pub fn add(&mut self, other: Walked) {
        self.compared += other.compared;
        self.listened += other.listened;
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls were as their clients knew them, {} telephones heard their partner",
            self.compared, self.listened
        )
    }
}

impl World {
    /// A world of its own for this seed: cast, clients and weather.
    pub fn random(seed: u64) -> World {
        // One media worker, two, or so many that most legs that talk have to be brought together.
        let workers = [1, 2, 12, 24][seed as usize % 4];
        let mut world = World::with(seed, |settings| settings.ports = ports(workers));
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
        Walked { compared: self.calls_compared, listened: self.listened }
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
            (Status::Idle, _) => self.register(phone),
            (Status::Ringing, 0..10) => {
                self.answer(phone);
            }
            (Status::Ringing, 10..14) => {
                self.reject(phone, 486);
            }
            (Status::Talking { .. }, at @ 0..14) => self.act_in_a_call(phone, at),
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
        // A REFER within a call transfers it: who should hear whom then is for the tests of transfer.
        let ask = self.choose(&Ask::ALL);
        let ask = if within && ask == Ask::Refer { Ask::Options } else { ask };
        self.press(phone, |phone, now| phone.ask(now, ask, within));
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
            16..17 => self.break_poll(client),
            17..18 => self.log_out(client),
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
        let mut message = json!({"topic": "tel", "message": action, "call-id": call["call-id"]});
        if action == "send-digits" {
            message["digits"] = "12#".into();
        }
        let reply = self.execute_at_once(client, message);
        if (reply["error"] == 0) != offered {
            self.fail(&format!("{action} was offered: {offered}; it was answered {reply} for {call:?}"));
        }
    }
}
