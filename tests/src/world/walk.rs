//! The random walk: each step somebody does something, or time passes.

use std::time::Duration;

use serde_json::{Value, json};
use switch::demo::phone::{Ask, Behaviour, Codec, Hold, Status, Talk, Transport};
use switch::node::StreamId;

use super::client::ClientId;
use super::disk::Disk;
use super::network::{Weather, below};
use super::{Handset, PhoneId, World, ports, site};

/// What may be dialled: users, one who is not there, nobody's number, and the echo.
const NUMBERS: [&str; 7] = ["501", "502", "503", "504", "502", "999", "*43"];
/// The telephony actions of a call.
const ACTIONS: [&str; 4] = ["drop", "hold", "unhold", "send-digits"];

impl World {
    /// A world of its own for this seed: cast, clients and weather.
    pub fn random(seed: u64) -> World {
        // One media worker, two, or so many that most legs that talk have to be brought together.
        let workers = [1, 2, 12, 24][seed as usize % 4];
        let mut world = World::with(seed, |settings| settings.ports = ports(workers));
        let handsets = [("501", false), ("502", false), ("503", true), ("502", false), ("504", false)];
        for (user, tcp) in handsets {
            let pcma_first = world.chance(30);
            let handset = Handset {
                transport: if tcp { Transport::Tcp } else { Transport::Udp },
                codecs: if pcma_first {
                    vec![Codec::Pcma, Codec::Pcmu, Codec::Event]
                } else {
                    vec![Codec::G722, Codec::Pcmu, Codec::Event]
                },
                behaviour: world.behaviour(),
                talk: Talk::Sparse,
                hold: if world.chance(50) { Hold::SendOnly } else { Hold::Inactive },
                expires: 60 + below(&mut world.random, 600),
                auto_answer: world.chance(60),
                ..Handset::of(user)
            };
            let phone = world.add_phone(handset);
            world.register(phone);
        }
        for user in site::USERS.into_iter().take(3) {
            world.log_in(user);
        }
        world.weather = Weather::random(&mut world.random);
        world
    }

    /// So many random acts, the invariants checked after each, and at the end that nothing is left. How many calls were found as their
    /// clients had been told.
    pub fn walk(mut self, steps: u64) -> usize {
        for step in 0..steps {
            self.step = step;
            self.act();
            let pause = self.pause();
            self.run_for(pause);
            self.check();
        }
        self.quiesce();
        self.calls_compared
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
        match below(&mut self.random, 10) {
            0 => Behaviour::Reject(486),
            1 => Behaviour::Reject(603),
            2 | 3 => Behaviour::Ring,
            _ => Behaviour::Answer(Duration::from_millis(u64::from(below(&mut self.random, 1500)))),
        }
    }

    fn act(&mut self) {
        match below(&mut self.random, 100) {
            0..50 => self.act_at_a_phone(),
            50..92 => {
                let client = ClientId(below(&mut self.random, self.clients.len() as u32) as usize);
                self.act_as_client(client);
            }
            92..95 => {
                let phone = self.some_phone();
                if self.phone(phone).is_on() {
                    self.vanish(phone);
                } else {
                    self.come_back(phone);
                }
            }
            95..97 => self.cut_a_stream(),
            97..98 => self.restart(),
            98..99 => self.change_disk(),
            _ => self.weather = Weather::random(&mut self.random),
        }
    }

    /// The disk becomes full, fails, or recovers; now and then it takes longer than a phone waits.
    fn change_disk(&mut self) {
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
        match (self.phone(phone).status(), below(&mut self.random, 10)) {
            (Status::Idle, 0..6) => {
                let number = self.choose(&NUMBERS);
                self.call(phone, number);
            }
            (Status::Idle, 6) => {
                let behaviour = self.behaviour();
                self.behave(phone, behaviour);
            }
            (Status::Idle, 7) => self.unregister(phone),
            (Status::Idle, 8) => {
                self.press(phone, |phone, now| phone.ask(now, Ask::Options, false));
            }
            (Status::Idle, _) => self.register(phone),
            (Status::Ringing, 0..6) => {
                self.answer(phone);
            }
            (Status::Ringing, 6..8) => {
                self.reject(phone, 486);
            }
            (Status::Talking { held: false }, 0..4) => {
                self.hold(phone);
            }
            (Status::Talking { held: true }, 0..5) => {
                self.resume(phone);
            }
            (Status::Talking { held: false }, 4..6) => {
                self.dial_digits(phone, "4#");
            }
            (Status::Calling { .. }, 0..7) => {}
            _ => {
                self.hang_up(phone);
            }
        }
    }

    fn cut_a_stream(&mut self) {
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        if !streams.is_empty() {
            let stream = self.choose(&streams);
            self.cut(stream, true);
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
