//! The random walk: each step somebody does something, or time passes.

use std::net::SocketAddr;
use std::time::Duration;
use switch::demo::phone::{
    Answers, Ask, Behaviour, Codec, Deaf, Digits, Hold, Manners, Phone, Reliable, SessionTimer, Status, Talk, Transport,
};
use switch::engine::Waits;
use switch::sounds::announcement::Audience;

use super::cast::Line;
use super::client::ClientId;
use super::deed::Walked;
use super::disk::Disk;
use super::network::{Weather, below};
use super::{Handset, PhoneId, World, orders, ports, site};

/// What may be called: users, one who is not there, nobody's number, the echo.
const NUMBERS: [&str; 7] = ["501", "502", "503", "504", "502", "999", "*43"];
/// What may be dialled besides, whether or not it does anything now.
const CODES: [&str; 16] = [
    "*69", "*07", "*68", "*68701", "*68502", "*68999", "700", "701", "*88502", "*88503", "**501", "**502", "**503",
    "*8", "*80501", "*80502",
];
/// Codes that know who has called whom.
const LAST: [&str; 7] = ["*66", "*66501", "*66502", "*66503", "*86", "*69", "*07"];
/// Those who answer each other's calls (`site.rs`).
const GROUP: [&str; 2] = ["502", "503"];
/// Where those are parked who are sent there.
const ORBITS: [&str; 5] = ["*68", "*68701", "*68502", "700", "701"];
/// What lamps may be for.
const LAMPS: [&str; 6] = ["501", "502", "503", "504", "700", "701"];
/// Two for each user.
const MOST_PHONES: usize = 8;
impl World {
    /// A world of its own for this seed: cast, clients and weather.
    pub fn random(seed: u64) -> World {
        // One media worker, two, or so many that most legs that talk have to be brought together.
        let workers = [1, 2, 12, 24][seed as usize % 4];
        // Whoever parks a call is rung for it never, soon, or after the usual time.
        let recall = [Some(10), Some(20), Some(60), None][seed as usize / 4 % 4];
        let mut world = World::furnished(
            seed,
            |settings| {
                settings.ports = ports(workers);
                // None is left at the end.
                settings.plan.call_back = Duration::from_secs(100);
                settings.plan.recall = recall.map(Duration::from_secs);
                settings.hold_reminder = Some(Duration::from_secs(5));
                settings.announcements = [Audience::Everybody, Audience::Connected][seed as usize / 4 % 2];
            },
            &orders::random(seed),
        );
        for at in 0..MOST_PHONES.min(4 + below(&mut world.random, 5) as usize) {
            let handset = world.handset(site::USERS[at % site::USERS.len()]);
            let phone = world.add_phone(handset);
            world.register(phone);
            if world.chance(60) {
                world.watch_something(phone);
            }
        }
        for user in site::USERS.into_iter().take(3) {
            let client = world.log_in(user);
            world.subscribe(client);
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
        std::mem::take(&mut self.walked)
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        below(&mut self.random, 100) < percent
    }

    pub(super) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
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
            // Somebody waits for one who rings, or is parked: what do they hear?
            0..40 if self.node.engine().waiting().iter().any(|(_, waits)| *waits == Waits::Rung) => self.listen_in(),
            0..10 if !self.node.engine().waiting().is_empty() => self.listen_in(),
            0..52 => self.act_at_a_phone(),
            52..86 => {
                let client = ClientId(below(&mut self.random, self.clients.len() as u32) as usize);
                self.act_as_client(client);
            }
            86..88 => {
                let phone = self.some_phone();
                if self.phone(phone).is_on() {
                    self.vanish(phone);
                } else {
                    self.come_back(phone);
                }
            }
            88..94 => self.listen_in(),
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
            (Status::Idle, 0..9) => {
                let number = self.something_to_dial(Some(phone));
                self.call(phone, &number);
            }
            (Status::Idle, 9..11) => self.press_some_lamp(phone),
            (Status::Idle, 11) => self.watch_something(phone),
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
                let code = self.choose(&LAST);
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

    /// What somebody would dial as things are: mostly another user, often a code that does something now, at times one that does nothing.
    pub(super) fn something_to_dial(&mut self, phone: Option<PhoneId>) -> String {
        let user = phone.map(|phone| self.user_of(phone).to_owned());
        let is_on = |line: &Line, status| line.phone.status() == status && line.phone.is_on();
        let holds = |line: &&Line| user.as_ref().is_some_and(|user| *user == line.phone.config().user);
        // Both of his telephones are one device: the call that one of them holds is parked from the other.
        let parks = self.phones.iter().filter(holds).any(|line| is_on(line, Status::Talking { held: true }));
        let rings =
            self.phones.iter().find(|line| is_on(line, Status::Ringing)).map(|line| line.phone.config().user.clone());
        let is_mate = |number: &String| GROUP.contains(&number.as_str());
        let in_group = rings
            .as_ref()
            .is_some_and(|rings| is_mate(rings) && user.as_ref().is_some_and(|own| is_mate(own) && own != rings));
        let parked = self.parked();
        match (below(&mut self.random, 20), rings, parked.first()) {
            (0..8, ..) if parks => self.choose(&["*68", "*68", "*68", "*68700", "*68502"]).to_owned(),
            (8..14, ..) if in_group => "*8".to_owned(),
            (8..12, Some(user), _) => format!("**{user}"),
            (12..14, Some(_), _) => "*8".to_owned(),
            (4..8, _, Some(orbit)) if orbit.starts_with('7') => orbit.clone(),
            (4..8, _, Some(user)) => format!("*88{user}"),
            (14, ..) => format!("*80{}", self.choose(&site::USERS)),
            (15..17, ..) => self.choose(&CODES).to_owned(),
            _ => self.choose(&NUMBERS).to_owned(),
        }
    }

    /// Presses the key of a lamp that is lit, if there is one.
    fn press_some_lamp(&mut self, phone: PhoneId) {
        let telephone = self.phone(phone);
        let is_lit = |number: &&str| telephone.lamp(number).is_some_and(|(_, lit)| !lit.is_empty());
        let lit: Vec<String> = telephone.watched().filter(is_lit).map(str::to_owned).collect();
        if !lit.is_empty() {
            let number = lit[below(&mut self.random, lit.len() as u32) as usize].clone();
            self.press_lamp(phone, &number);
        }
    }

    /// Somebody gives his telephone another lamp, or takes one away.
    fn watch_something(&mut self, phone: PhoneId) {
        let number = self.choose(&LAMPS);
        let has_it = self.phone(phone).watched().any(|watched| watched == number);
        match has_it && self.chance(30) {
            true => self.unwatch(phone, number),
            false => drop(self.watch(phone, number)),
        }
    }

    /// Where somebody would send one he talks to: to another, or to where he is parked.
    pub(super) fn somewhere_to_send(&mut self) -> String {
        match below(&mut self.random, 10) {
            0..4 => self.choose(&ORBITS),
            4 => self.choose(&CODES),
            _ => self.choose(&NUMBERS),
        }
        .to_owned()
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
            let number = self.somewhere_to_send();
            self.transfer(phone, &number, None, told);
        } else {
            let with = self.choose(&others);
            let number = self.phone(with).far().unwrap_or_default().to_owned();
            self.transfer(phone, &number, Some(with), told);
        }
    }
}
