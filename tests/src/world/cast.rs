//! The telephones of the world.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cas::time::Wall;
use switch::demo::phone::{Behaviour, Codec, Config, Ear, End, Event, Hold, Manners, Phone, Status, Talk, Transport};
use switch::node::StreamId;

use super::hearing::Talked;
use super::{DOMAIN, World, site, switch_address};

/// Events kept of one telephone.
const KEPT: usize = 256;

/// Names a telephone of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhoneId(pub(super) usize);

/// What a telephone is like.
#[derive(Clone, Debug)]
pub struct Handset {
    /// The user whose device it is.
    pub user: &'static str,
    /// Its secret, where it is not the right one.
    pub wrong_secret: Option<&'static str>,
    /// UDP or TCP.
    pub transport: Transport,
    /// Its codecs, in its order.
    pub codecs: Vec<Codec>,
    /// What it does when called.
    pub behaviour: Behaviour,
    /// Whether it speaks as a real one, or little.
    pub talk: Talk,
    /// How it puts a call on hold.
    pub hold: Hold,
    /// The registration it asks for, in seconds.
    pub expires: u32,
    /// Whether it knows auto-answer headers.
    pub auto_answer: bool,
    /// What it knows beyond plain calls, and where it is contrary.
    pub manners: Manners,
}

impl Handset {
    /// A plain UDP telephone that answers after a second.
    pub fn of(user: &'static str) -> Handset {
        Handset {
            user,
            wrong_secret: None,
            transport: Transport::Udp,
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Event],
            behaviour: Behaviour::Answer(Duration::from_secs(1)),
            talk: Talk::Always,
            hold: Hold::SendOnly,
            expires: 3600,
            auto_answer: true,
            manners: Manners::default(),
        }
    }
}

/// A telephone and what hangs on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) phone: Phone,
    pub(super) stream: Option<StreamId>,
    /// The last answer to a registration, and none asked for since: it is, or is not, registered.
    pub(super) confirmed: Option<bool>,
    /// Its last call began before a restart: the switch knows nothing of it, and its ports may be another's.
    pub(super) stale: bool,
    /// Until when it was so last.
    pub(super) was_stale: Option<Instant>,
    /// The switch was restarted: what confirms a registration may have been under way, and its write lost.
    pub(super) unsure: bool,
    /// When its binding ends, as the switch has found it in the store when it was started: the clock may have been set since it was told.
    pub(super) found: Option<Wall>,
    /// Its call, and the one before.
    pub(super) call: Option<Talked>,
    pub(super) call_before: Option<Talked>,
    /// Since when it is in a call that the switch knows nothing of.
    pub(super) orphaned: Option<Instant>,
    /// Since when it waits for the outcome of a transfer that is settled.
    pub(super) untold: Option<Instant>,
    /// The connection broke during its call: what it was to show may have been lost with that.
    pub(super) was_cut: bool,
    /// Since when it waits for what a lamp is to show.
    pub(super) dark: Option<Instant>,
    index: usize,
    events: Vec<Event>,
}

impl Line {
    pub(super) fn name(&self) -> String {
        format!("{}#{}", self.phone.config().user, self.index)
    }

    /// Another call begins.
    pub(super) fn renew(&mut self, now: Instant, stale: bool) {
        self.was_cut = false;
        if std::mem::replace(&mut self.stale, stale) {
            self.was_stale = Some(now);
        }
    }

    pub(super) fn take_event(&mut self, event: Event) {
        match event {
            Event::Registered => {
                self.confirmed = (!std::mem::take(&mut self.unsure)).then_some(true);
                self.found = None;
            }
            Event::Unregistered => self.confirmed = Some(false),
            Event::RegistrationFailed(_) => self.confirmed = None,
            _ => {}
        }
        if self.events.len() < KEPT {
            self.events.push(event);
        }
    }
}

impl World {
    /// Adds a telephone. It is not registered yet.
    pub fn add_phone(&mut self, handset: Handset) -> PhoneId {
        let index = self.phones.len();
        let host = [10, 0, 1, index as u8 + 1];
        let config = Config {
            user: handset.user.to_owned(),
            secret: handset.wrong_secret.map_or_else(|| site::secret(handset.user), str::to_owned),
            domain: DOMAIN.to_owned(),
            registrar: switch_address(),
            sip: SocketAddr::from((host, 5060)),
            rtp: SocketAddr::from((host, 4000)),
            transport: handset.transport,
            codecs: handset.codecs,
            tone_hz: tone(index),
            talk: handset.talk,
            behaviour: handset.behaviour,
            auto_answer: handset.auto_answer,
            hold: handset.hold,
            expires: handset.expires,
            manners: handset.manners,
        };
        let seed = self.seed.wrapping_mul(31).wrapping_add(index as u64);
        let phone = Phone::new(config, seed);
        self.phones.push(Line {
            phone,
            stream: None,
            confirmed: None,
            stale: false,
            was_stale: None,
            unsure: false,
            found: None,
            call: None,
            call_before: None,
            orphaned: None,
            untold: None,
            was_cut: false,
            dark: None,
            index,
            events: Vec::new(),
        });
        PhoneId(index)
    }

    /// Adds a plain telephone for each of these users, registered.
    pub fn add_phones<const N: usize>(&mut self, users: [&'static str; N]) -> [PhoneId; N] {
        let ids = users.map(|user| self.add_phone(Handset::of(user)));
        for id in ids {
            self.register(id);
        }
        self.run_for(Duration::from_millis(500));
        for id in ids {
            assert!(self.phone(id).is_registered(), "{} is registered", self.phones[id.0].name());
        }
        ids
    }

    /// A telephone, to be looked at.
    pub fn phone(&self, id: PhoneId) -> &Phone {
        &self.phones[id.0].phone
    }

    /// What a telephone hears.
    pub fn ear(&self, id: PhoneId) -> &Ear {
        self.phone(id).ear()
    }

    /// The user a telephone belongs to.
    pub fn user_of(&self, id: PhoneId) -> &str {
        &self.phone(id).config().user
    }

    /// What happened to a telephone since this was last asked.
    pub fn events_of(&mut self, id: PhoneId) -> Vec<Event> {
        std::mem::take(&mut self.phones[id.0].events)
    }

    /// Whether the two are in a call and each hears now the tone the other speaks.
    pub fn hear_each_other(&mut self, a: PhoneId, b: PhoneId) -> bool {
        self.listen();
        [(a, b), (b, a)].into_iter().all(|(ear, mouth)| self.ear(ear).hears(tone(mouth.0)))
    }

    /// Whether it hears itself now.
    pub fn hears_itself(&mut self, id: PhoneId) -> bool {
        self.listen();
        self.ear(id).hears(tone(id.0))
    }

    /// Forgets what all telephones heard, and lets them listen for a while.
    pub fn listen(&mut self) {
        self.run_for(Duration::from_millis(100));
        for line in &mut self.phones {
            line.phone.listen_anew();
        }
        self.run_for(Duration::from_millis(300));
    }

    /// Presses keys on a telephone.
    pub(super) fn press<T>(&mut self, id: PhoneId, key: impl FnOnce(&mut Phone, Instant) -> T) -> T {
        let pressed = key(&mut self.phones[id.0].phone, self.now.mono);
        self.drain_phone(id);
        pressed
    }

    /// Registers a telephone.
    pub fn register(&mut self, id: PhoneId) {
        self.phones[id.0].confirmed = None;
        self.press(id, Phone::register);
    }

    /// Takes its registration back.
    pub fn unregister(&mut self, id: PhoneId) {
        self.phones[id.0].confirmed = None;
        self.press(id, Phone::unregister);
    }

    /// Dials.
    pub fn call(&mut self, id: PhoneId, number: &str) -> bool {
        let called = self.press(id, |phone, now| phone.call(now, number));
        if called {
            self.phones[id.0].renew(self.now.mono, false);
        }
        called
    }

    /// Picks up.
    pub fn answer(&mut self, id: PhoneId) -> bool {
        self.press(id, Phone::answer)
    }

    /// Declines with a status.
    pub fn reject(&mut self, id: PhoneId, status: u16) -> bool {
        self.press(id, |phone, now| phone.reject(now, status))
    }

    /// Hangs up, gives up or declines, as the case may be.
    pub fn hang_up(&mut self, id: PhoneId) -> bool {
        self.press(id, Phone::hang_up)
    }

    /// Puts the other side on hold.
    pub fn hold(&mut self, id: PhoneId) -> bool {
        self.press(id, Phone::hold)
    }

    /// Takes it off hold.
    pub fn resume(&mut self, id: PhoneId) -> bool {
        self.press(id, Phone::resume)
    }

    /// Sends the other side to a number (REFER), or, with the call of another telephone, to whom that one has; `told`: it wants to hear what comes of it.
    pub fn transfer(&mut self, id: PhoneId, number: &str, with: Option<PhoneId>, told: bool) -> bool {
        let with = with.and_then(|with| self.phone(with).dialog_name());
        self.press(id, |phone, now| phone.refer(now, number, with.as_ref(), told))
    }

    /// Sends DTMF.
    pub fn dial_digits(&mut self, id: PhoneId, digits: &str) -> bool {
        self.press(id, |phone, now| phone.press(now, digits))
    }

    /// Changes what a telephone does when called.
    pub fn behave(&mut self, id: PhoneId, behaviour: Behaviour) {
        self.phones[id.0].phone.behave(behaviour);
    }

    /// Changes a telephone's manners.
    pub fn teach(&mut self, id: PhoneId, manners: Manners) {
        self.phones[id.0].phone.teach(manners);
    }

    /// Pulls a telephone's plug.
    pub fn vanish(&mut self, id: PhoneId) {
        self.note(|| format!("phone {} vanishes", id.0));
        self.phones[id.0].phone.vanish();
        self.phones[id.0].confirmed = None;
        if let Some(stream) = self.phones[id.0].stream.take() {
            self.cut(stream, true);
        }
        self.follow_call(id);
    }

    /// Puts the plug back and registers.
    pub fn come_back(&mut self, id: PhoneId) {
        self.phones[id.0].phone.come_back();
        self.register(id);
    }

    /// A call from one to the other, up, in calm weather.
    pub fn connect_call(&mut self, caller: PhoneId, callee: PhoneId) {
        let number = self.user_of(callee).to_owned();
        assert!(self.call(caller, &number));
        self.run_for(Duration::from_secs(2));
        assert_eq!(self.phone(caller).status(), Status::Talking { held: false });
        assert_eq!(self.phone(callee).status(), Status::Talking { held: false });
    }

    /// How a telephone's last call ended, if it has.
    pub fn ended(&mut self, id: PhoneId) -> Option<End> {
        self.events_of(id).into_iter().rev().find_map(|event| match event {
            Event::Ended(end) => Some(end),
            _ => None,
        })
    }
}

/// The tone a telephone speaks.
fn tone(index: usize) -> u32 {
    400 + 170 * index as u32
}
