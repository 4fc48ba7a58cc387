//! No lamp is wrong: after any sequence of calls, holds, losses, expiries and restarts, what a watcher was told last is what the engine holds. `LAMPS_SEED=17` replays one
//! sequence, `LAMPS_SEEDS=1000` takes more than usual.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cas::control::{CallState, Direction};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, Handset, PhoneId, Status, Weather, World};

const SEEDS: u64 = 12;
const STEPS: usize = 60;
/// How long a subscription is asked for, in seconds.
const EXPIRES: u64 = 90;

/// A telephone of 504 that watches a number, or all of them by a list.
struct Watcher {
    phone: Template,
    number: &'static str,
    dialog: Option<Dialog>,
    /// CSeq of its SUBSCRIBEs and of the last NOTIFY it has taken.
    said: u32,
    taken: u32,
    renewed: std::time::Instant,
    /// By number: the version of its last document, and its calls by id.
    seen: BTreeMap<String, (u32, BTreeMap<String, Shown>)>,
    list_version: Option<u32>,
}

/// State and direction of a call.
type Shown = (String, String);

fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    random.next_u32() % bound
}

impl Watcher {
    fn new(world: &World, number: &'static str, host: u8) -> Watcher {
        let renewed = world.now().mono;
        let (seen, phone) = (BTreeMap::new(), Template::new("504", host).at_port(5060 + u16::from(host)));
        Watcher { phone, number, dialog: None, said: 0, taken: 0, renewed, seen, list_version: None }
    }

    fn lines(&self) -> String {
        format!("Event: dialog\r\nSupported: eventlist\r\nExpires: {EXPIRES}\r\n")
    }

    fn subscribe(&mut self, world: &mut World) {
        self.phone.hear(world);
        let lines = self.lines();
        self.phone.ask(world, "SUBSCRIBE", self.number, &lines, "");
        let answer = self.phone.wait(world, |sip| sip.method() == "SUBSCRIBE" && sip.status() >= 200);
        assert_eq!(answer.status(), 200, "{answer:?}");
        self.dialog = Some(Dialog::of_caller(&answer));
        (self.said, self.taken, self.renewed) = (2, 0, world.now().mono);
        self.seen.clear();
        self.list_version = None;
    }

    /// Renews it, or begins anew where the switch knows nothing of it.
    fn renew(&mut self, world: &mut World) {
        let Some(dialog) = self.dialog.clone() else { return self.subscribe(world) };
        self.said += 1;
        let about = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} SUBSCRIBE\r\nContact: <{}>\r\n{}",
            dialog.local,
            dialog.remote,
            dialog.call_id,
            self.said,
            self.phone.uri(),
            self.lines()
        );
        let request = self.phone.request("SUBSCRIBE", &dialog.target, &about, "");
        self.phone.say(world, &request);
        let said = self.said;
        let is_answer = |sip: &Sip| sip.method() == "SUBSCRIBE" && sip.status() >= 200 && sip.number() == said;
        match self.phone.wait(world, is_answer).status() {
            200 => self.renewed = world.now().mono,
            481 => {
                self.dialog = None;
                self.subscribe(world);
            }
            other => panic!("a renewal was answered {other}"),
        }
    }

    /// Takes what has come, but for what is lost on the way; so are some of its answers.
    fn listen(&mut self, world: &mut World, random: &mut ChaCha8Rng, loss: u32) {
        for notify in self.phone.hear(world) {
            if !notify.is("NOTIFY") || below(random, 100) < loss {
                continue;
            }
            let is_own = self.dialog.as_ref().is_some_and(|dialog| dialog.call_id == notify.header("Call-ID"));
            if !is_own {
                self.phone.respond(world, &notify, 481, "", "");
                continue;
            }
            if notify.number() > self.taken {
                self.taken = notify.number();
                self.take(&notify);
            }
            if below(random, 100) >= loss {
                self.phone.respond(world, &notify, 200, "", "");
            }
        }
    }

    fn take(&mut self, notify: &Sip) {
        if notify.header("Subscription-State").starts_with("terminated") {
            self.dialog = None;
        }
        let body = notify.body();
        for list in between(body, "<list ", "</list>") {
            let version: u32 = between(list, " version=\"", "\"")[0].parse().unwrap();
            let expected = self.list_version.map_or(0, |last| last + 1);
            assert_eq!(version, expected, "a version of the list was left out");
            self.list_version = Some(version);
        }
        for document in between(body, "<dialog-info ", "</dialog-info>") {
            let version: u32 = between(document, " version=\"", "\"")[0].parse().unwrap();
            let number = between(document, "entity=\"sip:", "@")[0].to_owned();
            let expected = self.seen.get(&number).map_or(0, |(last, _)| last + 1);
            assert_eq!(version, expected, "a version of {number} was left out");
            assert!(document.contains("state=\"full\""), "{document}");
            let mut calls = BTreeMap::new();
            for dialog in between(document, "<dialog ", "</dialog>") {
                let state = between(dialog, "<state>", "</state>")[0].to_owned();
                let direction = between(dialog, "direction=\"", "\"")[0].to_owned();
                if state != "terminated" {
                    calls.insert(between(dialog, "id=\"", "\"")[0].to_owned(), (state, direction));
                }
            }
            self.seen.insert(number, (version, calls));
        }
    }

    /// What it shows is so. How many calls of users its lamps show, and of orbits.
    fn check(&self, world: &World, seed: u64) -> Lit {
        let mut lit = Lit::default();
        assert!(self.dialog.is_some(), "LAMPS_SEED={seed}: it has no subscription");
        let numbers: &[&str] = match self.number {
            "lamps" => &["501", "502", "503"],
            "lamps+700+701" => &["700", "701"],
            number => &[number],
        };
        for number in numbers {
            let (_, shown) = &self.seen[*number];
            if number.starts_with('7') {
                let states: Vec<&str> = shown.values().map(|(state, _)| state.as_str()).collect();
                let right: &[&str] = if world.parked().contains(&(*number).to_owned()) { &["confirmed"] } else { &[] };
                assert_eq!(states, right, "LAMPS_SEED={seed}: the orbit {number}");
                lit.orbits += states.len();
                continue;
            }
            let held = world.ends_of(number);
            let ids: BTreeSet<String> = held.iter().map(|call| call.id.to_string()).collect();
            // What is parked at an extension is nobody's call there.
            let parked: Vec<&Shown> =
                shown.iter().filter(|(id, _)| !ids.contains(*id)).map(|(_, shown)| shown).collect();
            let right = match world.parked().contains(&(*number).to_owned()) {
                true => vec![("confirmed", "recipient")],
                false => Vec::new(),
            };
            let parked: Vec<_> = parked.into_iter().map(|(state, way)| (state.as_str(), way.as_str())).collect();
            assert_eq!(parked, right, "LAMPS_SEED={seed}: what is parked at {number}, of {shown:?} with {ids:?}");
            assert_eq!(shown.len(), ids.len() + right.len(), "LAMPS_SEED={seed}: the calls of {number}");
            lit.users += held.len();
            for call in held {
                let (state, direction) = &shown[&call.id.to_string()];
                let right: &[&str] = match call.state {
                    CallState::Connected | CallState::Held | CallState::Parked => &["confirmed"],
                    CallState::Ringing => &["early"],
                    CallState::Dialing | CallState::Offering => &["trying", "early"],
                };
                assert!(
                    right.contains(&state.as_str()),
                    "LAMPS_SEED={seed}: {number} is {:?}, shown {state}",
                    call.state
                );
                let is_initiator = call.direction == Direction::Out;
                assert_eq!(direction == "initiator", is_initiator, "LAMPS_SEED={seed}: {number}");
            }
        }
        lit
    }
}

/// Calls that lamps have shown when they were looked at, and rightly.
#[derive(Clone, Copy, Debug, Default)]
struct Lit {
    users: usize,
    orbits: usize,
}

impl Lit {
    fn and(self, other: Lit) -> Lit {
        Lit { users: self.users + other.users, orbits: self.orbits + other.orbits }
    }
}

/// A client of a user parks one of his calls, or has a parked one brought to his telephone.
fn park(world: &mut World, random: &mut ChaCha8Rng) {
    let client = world.log_in(["501", "502", "503"][below(random, 3) as usize]);
    let orbit = ["700", "701", "502", "503"][below(random, 4) as usize];
    let can_be_parked = |call: &Map<String, Value>| call["actions"].as_array().unwrap().contains(&json!("park"));
    let call = world.calls(client).into_iter().find(can_be_parked).map(|call| call["call-id"].clone());
    let message = match call {
        Some(call) => json!({"topic": "tel", "message": "park", "call-id": call, "orbit": orbit}),
        None => json!({"topic": "tel", "message": "unpark", "orbit": orbit}),
    };
    world.execute(client, message);
    world.log_out(client);
}

fn act(world: &mut World, random: &mut ChaCha8Rng, phones: &[PhoneId]) {
    let phone = phones[below(random, phones.len() as u32) as usize];
    match (world.phone(phone).status(), below(random, 14)) {
        (_, 12 | 13) => park(world, random),
        (_, 0) => world.restart(),
        (_, 1) => {
            let weathers = [Weather::CALM, Weather::CALM, Weather { lost: 200, ..Weather::CALM }];
            world.set_weather(weathers[below(random, 3) as usize]);
        }
        (Status::Idle, 2) => {
            let behaviours = [Behaviour::Ring, Behaviour::Reject(486), Behaviour::Answer(Duration::from_millis(700))];
            world.behave(phone, behaviours[below(random, 3) as usize]);
        }
        (Status::Idle, 3) => world.unregister(phone),
        (Status::Idle, 4) => world.register(phone),
        (Status::Idle, _) => {
            let number = ["501", "502", "503", "*43", "999", "700", "701"][below(random, 7) as usize];
            world.call(phone, number);
        }
        (Status::Ringing, 2..6) => drop(world.answer(phone)),
        (Status::Ringing, 6) => drop(world.reject(phone, 486)),
        (Status::Talking { held: false }, 2..6) => drop(world.hold(phone)),
        (Status::Talking { held: true }, 2..8) => drop(world.resume(phone)),
        (Status::Calling { .. }, 2..8) => {}
        _ => drop(world.hang_up(phone)),
    }
}

/// Time passes; watchers listen and renew in time.
fn pass(world: &mut World, random: &mut ChaCha8Rng, watchers: &mut [Watcher], time: Duration, loss: u32) {
    let end = world.now().mono + time;
    while world.now().mono < end {
        world.run_for(Duration::from_millis(100));
        for watcher in watchers.iter_mut() {
            watcher.listen(world, random, loss);
            let old = (world.now().mono - watcher.renewed).as_secs();
            if watcher.dialog.is_none() || old > EXPIRES * 2 / 3 {
                watcher.renew(world);
            }
        }
    }
}

fn sequence(seed: u64) -> Lit {
    let mut lit = Lit::default();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Whoever has parked a call is rung for it in every other sequence; in the rest it stays where it is.
    let mut world = World::with(seed, |settings| {
        settings.plan.recall = seed.is_multiple_of(2).then_some(Duration::from_secs(60));
    });
    let phones = ["501", "502", "503", "502"].map(|user| {
        let behaviour = Behaviour::Answer(Duration::from_millis(u64::from(below(&mut random, 1500))));
        let phone = world.add_phone(Handset { behaviour, expires: 60, ..Handset::of(user) });
        world.register(phone);
        phone
    });
    let mut watchers = [("501", 1), ("502", 2), ("lamps", 3), ("700", 4), ("lamps+700+701", 5)]
        .map(|(number, host)| Watcher::new(&world, number, host));
    for step in 0..STEPS {
        act(&mut world, &mut random, &phones);
        let time = Duration::from_millis(u64::from(below(&mut random, 2500)));
        // Some losses are so many that NOTIFYs go unanswered, and subscriptions end.
        let loss = [0, 20, 50, 95][below(&mut random, 4) as usize];
        pass(&mut world, &mut random, &mut watchers, time, loss);
        if step % 15 == 14 {
            world.set_weather(Weather::CALM);
            // A call, and what is there parked, so that something is lit.
            world.call(phones[0], "502");
            pass(&mut world, &mut random, &mut watchers, Duration::from_secs(3), 0);
            (0..2).for_each(|_| park(&mut world, &mut random));
            // A NOTIFY that got lost goes on for half a minute; after it, or after a restart, the next renewal shows what is so.
            pass(&mut world, &mut random, &mut watchers, Duration::from_secs(EXPIRES + 40), 0);
            lit = watchers.iter().map(|watcher| watcher.check(&world, seed)).fold(lit, Lit::and);
        }
    }
    for phone in phones {
        world.unregister(phone);
        for _ in 0..3 {
            world.hang_up(phone);
            pass(&mut world, &mut random, &mut watchers, Duration::from_secs(5), 0);
        }
    }
    // Nobody renews any more: nothing of it may be left.
    for _ in 0..EXPIRES + 80 {
        world.run_for(Duration::from_secs(1));
        for watcher in &mut watchers {
            watcher.listen(&mut world, &mut random, 0);
        }
    }
    assert_eq!(world.subscriptions(), 0, "LAMPS_SEED={seed}");
    assert_eq!(world.transactions(), 0, "LAMPS_SEED={seed}");
    lit
}

#[test]
fn no_lamp_is_wrong_after_any_sequence() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("LAMPS_SEED") {
        Some(seed) => drop(sequence(seed)),
        None => {
            let seeds = number("LAMPS_SEEDS").unwrap_or(SEEDS);
            let lit = (0..seeds).map(sequence).fold(Lit::default(), Lit::and);
            eprintln!("{seeds} sequences: {lit:?}");
            // Lamps that are never lit are never wrong.
            assert!(
                lit.users as u64 > 2 * seeds && 2 * lit.orbits as u64 > seeds,
                "the lamps were hardly lit: {lit:?}"
            );
        }
    }
}
