//! The virtual world: a whole switch, its telephones and its clients in virtual time, over a network that loses, delays, doubles and
//! reorders, all from one seed, so that whatever fails replays.
//!
//! A [`World`] holds a [`Node`], a media worker, a store in memory and a cast of telephones and CAS clients. Scenarios act through its
//! methods and let time pass with [`World::run_for`]; [`World::walk`] acts at random. After every step the invariants of
//! `ARCHITECTURE.md` are checked; a breach panics, and the seed and what happened last are printed.

mod carry;
mod cast;
mod check;
mod client;
mod deed;
mod disk;
mod errand;
mod hearing;
mod mishap;
mod network;
mod orders;
mod plane;
mod sabotage;
mod shows;
mod site;
mod sounds;
mod trace;
mod visitor;
mod walk;
mod wire;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::cas::{Reply, RequestId};
use cas::control::{CallControl, CallInfo, CallQuery, Principal};
use cas::site::MachineKey;
use cas::site::handling::Rules;
use cas::store::{self, memory::Memory};
use cas::time::{Now, Wall};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use switch::demo::phone::PhoneInput;
use switch::node::{Channel, Flow, Input, Node, Settings, StoreUser, StreamId};

pub use self::cast::{Handset, PhoneId};
pub use self::client::ClientId;
pub use self::deed::{Deed, Walked};
pub use self::network::Weather;
pub use self::sabotage::Fault;
pub use self::site::{bare, ports};
pub use switch::demo::phone::{
    Answers, Ask, Behaviour, Codec, Deaf, Digits, End, Event, Hold, Manners, Reliable, SessionTimer, Status, Talk,
};
pub use switch::engine::{Counts, Pressure};

use self::carry::Stream;
use self::cast::Line;
use self::client::Client;
use self::disk::Disk;
use self::hearing::Hearing;
use self::network::below;
use self::plane::Plane;
use self::trace::Trace;
use self::wire::Wire;

/// Where the switch listens.
pub const SWITCH: &str = "10.0.0.1:5060";
/// The domain it serves.
pub const DOMAIN: &str = "switch.local";
/// What one input may cause at most; more would be a loop.
const MOST_OUTPUTS: usize = 2_000;

/// A virtual world.
pub struct World {
    seed: u64,
    step: u64,
    start: Now,
    now: Now,
    random: ChaCha8Rng,
    weather: Weather,
    node: Node,
    settings: Settings,
    key: MachineKey,
    store: Memory,
    /// What the store was asked and has not done yet, in order; the answer is due at the instant.
    store_queue: Vec<(Instant, StoreUser, store::RequestId, store::Request)>,
    queue: BTreeMap<(Instant, u64), Due>,
    next_due: u64,
    plane: Plane,
    phones: Vec<Line>,
    streams: BTreeMap<StreamId, Stream>,
    next_stream: u64,
    clients: Vec<Client>,
    next_request: u64,
    unanswered: BTreeSet<RequestId>,
    replies: BTreeMap<RequestId, Reply>,
    /// What came to addresses that are no telephone's.
    strangers: BTreeMap<SocketAddr, Vec<Bytes>>,
    /// Connections that are no telephone's, and where else the switch may connect to.
    visitors: BTreeMap<StreamId, SocketAddr>,
    listening: BTreeSet<SocketAddr>,
    swallowing: BTreeSet<SocketAddr>,
    store_delay: Duration,
    disk: Disk,
    wire: Wire,
    /// What users have ordered for their calls.
    orders: Vec<(&'static str, Rules)>,
    hearing: Hearing,
    /// What was done in it.
    walked: Walked,
    /// What clients were told of parked calls, so that it counts once: orbit, since when, and how they stood.
    parks_told: BTreeSet<(String, String, String)>,
    /// Until when something that happened excuses what a telephone misses.
    shaken: Instant,
    clock_was_set: bool,
    /// When the switch was started last.
    started: Instant,
    fault: Option<Fault>,
    /// Requests of a flood.
    flood: BTreeSet<RequestId>,
    trace: Trace,
    stops: usize,
}

/// What will happen.
#[derive(Debug)]
enum Due {
    /// Reaches the switch, unless it was restarted since it was sent on a stream or by a helper.
    Node(Box<Input>),
    /// SIP reaches a telephone.
    Sip(PhoneId, Bytes),
    /// The telephone's connection has ended.
    Cut(PhoneId, StreamId),
    /// RTP reaches a telephone.
    Rtp(PhoneId, Bytes, SocketAddr),
    /// RTP reaches the switch.
    Media(media::Port, Bytes, SocketAddr),
}

impl World {
    /// A world with the users 501 to 504, in calm weather. See [`World::add_phone`] for their telephones.
    pub fn new(seed: u64) -> World {
        World::with(seed, |_| {})
    }

    /// A world with other settings.
    pub fn with(seed: u64, change: impl FnOnce(&mut Settings)) -> World {
        World::furnished(seed, change, &[])
    }

    /// A world in which these users have ordered what becomes of their calls.
    pub fn ordered(seed: u64, rules: &[(&'static str, Rules)]) -> World {
        World::furnished(seed, |_| {}, rules)
    }

    /// Both.
    pub fn furnished(seed: u64, change: impl FnOnce(&mut Settings), rules: &[(&'static str, Rules)]) -> World {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let now = Now { mono: Instant::now(), wall: Wall(1_700_000_000_000) };
        let key = MachineKey([7; 32]);
        let mut settings = site::settings();
        change(&mut settings);
        let mut store = site::store(&key);
        orders::order(&mut store, rules);
        let node = site::node(now, &settings, &mut store, &key, random.next_u64());
        let plane = Plane::new(&settings.ports, now.mono);
        let mut world = World {
            seed,
            step: 0,
            start: now,
            now,
            random,
            weather: Weather::CALM,
            node,
            settings,
            key,
            store,
            store_queue: Vec::new(),
            queue: BTreeMap::new(),
            next_due: 0,
            plane,
            phones: Vec::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
            clients: Vec::new(),
            next_request: 1,
            unanswered: BTreeSet::new(),
            replies: BTreeMap::new(),
            strangers: BTreeMap::new(),
            visitors: BTreeMap::new(),
            listening: BTreeSet::new(),
            swallowing: BTreeSet::new(),
            store_delay: Duration::ZERO,
            disk: Disk::Well,
            wire: Wire::default(),
            orders: rules.to_vec(),
            hearing: Hearing::new(),
            walked: Walked::default(),
            parks_told: BTreeSet::new(),
            shaken: now.mono,
            clock_was_set: false,
            started: now.mono,
            fault: None,
            flood: BTreeSet::new(),
            trace: Trace::new(now.mono),
            stops: 0,
        };
        world.drain();
        world
    }

    /// Changes what the network does.
    pub fn set_weather(&mut self, weather: Weather) {
        if self.weather.lost > 0 {
            self.shake();
        }
        self.weather = weather;
    }

    /// The instant.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The store as it would be found after a power cut.
    pub fn store(&mut self) -> &mut Memory {
        &mut self.store
    }

    /// RTP ports in use for calls.
    pub fn open_legs(&self) -> usize {
        self.plane.open() - self.node.engine().guarded_ports()
    }

    /// How many legs have gone from one media worker to another, since the last restart.
    pub fn moved_legs(&self) -> usize {
        self.plane.moves()
    }

    /// Whether the switch has ended after [`World::stop`].
    pub fn has_stopped(&self) -> bool {
        self.stops > 0
    }

    /// Asks the switch to end in order.
    pub fn stop(&mut self) {
        self.tell_node(Input::Stop);
    }

    /// The sockets are so far behind.
    pub fn put_under(&mut self, pressure: Pressure) {
        self.tell_node(Input::Pressure(pressure));
    }

    /// What the switch has counted since its start.
    pub fn counts(&self) -> Counts {
        self.node.engine().counts()
    }

    /// The ends of a user's calls, as his clients would see them.
    pub fn ends_of(&self, login: &str) -> Vec<CallInfo> {
        let user = self.node.site().user_by_login(login).expect("a user of the world");
        let who = Principal { user: user.id, role: user.role, device: None };
        self.node.engine().view(self.node.site(), &who, CallQuery::OfUser(user.id))
    }

    /// The orbits where calls are parked.
    pub fn parked(&self) -> Vec<String> {
        self.node.engine().parked(self.node.site()).into_iter().map(|call| call.orbit).collect()
    }

    /// SIP transactions that are remembered.
    pub fn transactions(&self) -> usize {
        self.node.engine().status().transactions
    }

    /// Subscriptions of telephones.
    pub fn subscriptions(&self) -> usize {
        self.node.engine().subscriptions()
    }

    /// What the switch sent to an address that is no telephone's, since it was last asked.
    pub fn received_by(&mut self, address: SocketAddr) -> Vec<Bytes> {
        self.strangers.remove(&address).unwrap_or_default()
    }

    /// Sends a datagram to the switch from an address that is no telephone's.
    pub fn send_from(&mut self, address: SocketAddr, message: impl Into<Bytes>) {
        self.send_from_to(address, switch_address(), message);
    }

    /// Sends it to another address of the switch.
    pub fn send_from_to(&mut self, address: SocketAddr, local: SocketAddr, message: impl Into<Bytes>) {
        let message = message.into();
        self.note(|| format!("{address} → switch  {}", trace::sip(&message)));
        self.wire.arrives(self.now.mono, None, &message);
        let flow = Flow { channel: Channel::Udp, local, peer: address };
        self.tell_node(Input::Datagram(flow, message));
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.mono + time;
        let mut at_once = 0;
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            at_once = if next <= self.now.mono { at_once + 1 } else { 0 };
            if at_once > 10_000 {
                self.fail("time stands still: something is due at once for ever");
            }
            self.advance(next);
            self.happen();
            self.settle_clients();
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Instant) {
        let passed = to.max(self.now.mono) - self.start.mono;
        self.now = self.start.plus(passed);
    }

    fn next_instant(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let stored = self.store_queue.first().map(|(at, ..)| *at);
        let phones = self.phones.iter().filter_map(|line| line.phone.next_timeout()).min();
        [queued, stored, phones, self.node.next_timeout(), self.plane.next_turn()].into_iter().flatten().min()
    }

    /// Whatever is due now.
    fn happen(&mut self) {
        let now = self.now.mono;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            self.occur(due);
        }
        while self.store_queue.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, who, id, request) = self.store_queue.remove(0);
            let reply = match self.disk.takes(&mut self.random, &request) {
                Err(why) => {
                    self.lose(&request);
                    Err(store::StoreError(why.to_owned()))
                }
                Ok(()) => store::run(&mut self.store, [&request]).remove(0),
            };
            self.tell_node(Input::Stored(who, id, reply));
        }
        if self.node.next_timeout().is_some_and(|at| at <= now) {
            self.tell_node(Input::Timeout);
        }
        for index in 0..self.phones.len() {
            if self.phones[index].phone.next_timeout().is_some_and(|at| at <= now) {
                self.tell_phone(PhoneId(index), PhoneInput::Tick);
            }
        }
        if self.plane.next_turn().is_some_and(|at| at <= now) {
            self.turn_media();
        }
    }

    fn occur(&mut self, due: Due) {
        match due {
            Due::Node(input) => {
                if let Input::Datagram(_, bytes) = &*input {
                    self.wire.arrives(self.now.mono, None, bytes);
                }
                self.tell_node(*input);
            }
            Due::Sip(phone, bytes) => self.tell_phone(phone, PhoneInput::Sip(bytes, switch_address())),
            Due::Cut(phone, stream) => {
                if self.phones[phone.0].stream == Some(stream) {
                    self.phones[phone.0].stream = None;
                    self.tell_phone(phone, PhoneInput::Disconnected);
                }
            }
            Due::Rtp(phone, bytes, from) => {
                if self.phones[phone.0].phone.listens_to() == Some(from) {
                    self.heard(phone, &bytes);
                }
                self.tell_phone(phone, PhoneInput::Rtp(bytes, from));
            }
            Due::Media(port, bytes, from) => self.plane.receive(self.now.mono, port, bytes, from),
        }
    }

    fn turn_media(&mut self) {
        let (packets, events) = self.plane.turn(self.now.mono);
        for (port, to, bytes) in packets {
            let Some(phone) = self.phones.iter().position(|line| line.phone.config().rtp == to) else { continue };
            let from = SocketAddr::new(switch_address().ip(), port.0);
            let Some(bytes) = self.spoil_sound(&bytes).map(Bytes::from) else { continue };
            if self.trace.is_full() {
                self.note(|| format!("rtp {} → phone {phone}, {} bytes", port.0, bytes.len()));
            }
            for delay in self.weather.copies(&mut self.random) {
                self.schedule(delay, Due::Rtp(PhoneId(phone), bytes.clone(), from));
            }
        }
        for event in events {
            match event {
                media::Event::Detached(leg) => {
                    self.note(|| format!("media → switch  Detached({:?})", leg.id()));
                    // The control thread may be long in hearing it, and much may happen to the leg meanwhile.
                    let delay = Duration::from_millis(u64::from(below(&mut self.random, 40)));
                    self.schedule(delay, Due::Node(Box::new(Input::Media(media::Event::Detached(leg)))));
                }
                event => {
                    self.note(|| format!("media → switch  {event:?}"));
                    self.tell_node(Input::Media(event));
                }
            }
        }
    }

    fn schedule(&mut self, after: Duration, due: Due) {
        self.schedule_at(self.now.mono + after, due);
    }

    fn schedule_at(&mut self, at: Instant, due: Due) {
        self.next_due += 1;
        self.queue.insert((at, self.next_due), due);
    }

    /// Hands the switch an input and carries out what it causes.
    fn tell_node(&mut self, input: Input) {
        if self.is_lost(&input) {
            return;
        }
        self.step(input);
        self.follow_partners();
        self.drain();
        if let Err(breach) = self.node.engine().audit() {
            self.fail(&breach);
        }
        if let Err(breach) = self.node.engine().audit_lamps(self.node.site()) {
            self.fail(&breach);
        }
        if let Err(breach) = self.node.engine().audit_call_backs(self.node.site()) {
            self.fail(&breach);
        }
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.node.poll_output() {
            outputs += 1;
            if outputs > MOST_OUTPUTS {
                self.fail("one input causes outputs without end");
            }
            for output in self.spoil_output(output) {
                self.carry_out(output);
            }
        }
    }

    /// The power fails and comes back: what the store has confirmed is there, what it was still asked may be.
    pub fn restart(&mut self) {
        self.note(|| "the switch is restarted".to_owned());
        let queue = std::mem::take(&mut self.store_queue);
        let done = below(&mut self.random, queue.len() as u32 + 1) as usize;
        store::run(&mut self.store, queue.iter().take(done).map(|(.., request)| request));
        self.check_bindings_are_stored();
        self.forget_ended_bindings();
        for (.., request) in queue.iter().skip(done) {
            self.lose(request);
        }
        self.queue.retain(|_, due| match due {
            Due::Node(input) => matches!(**input, Input::Datagram(..)),
            _ => true,
        });
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.cut(stream, false);
        }
        for line in &mut self.phones {
            line.stale |= line.phone.status() != Status::Idle;
            line.phone.forget_transfers();
            line.unsure = true;
        }
        self.wire.forget();
        self.shake();
        self.started = self.now.mono;
        self.flood.clear();
        self.unanswered.clear();
        self.replies.clear();
        self.forget_sessions();
        self.stops = 0;
        self.plane = Plane::new(&self.settings.ports, self.now.mono);
        if self.fault == Some(Fault::OrdersForgotten) {
            orders::forget(&mut self.store);
        }
        let entropy = self.random.next_u64();
        self.node = site::node(self.now, &self.settings, &mut self.store, &self.key, entropy);
        self.follow_partners();
        self.drain();
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now.mono, line);
    }

    /// An invariant does not hold.
    #[track_caller]
    fn fail(&self, breach: &str) -> ! {
        BREACH.set(Some(breach.to_owned()));
        panic!("{breach}")
    }
}

thread_local! {
    static BREACH: Cell<Option<String>> = const { Cell::new(None) };
}

/// What ended the last world of this thread, if an invariant did and no other panic. It is told once.
pub fn take_breach() -> Option<String> {
    BREACH.take()
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && self.fault.is_none() {
            self.trace.print();
            eprintln!("WORLD_SEED={} (step {}) replays this", self.seed, self.step);
        }
    }
}

fn switch_address() -> SocketAddr {
    SWITCH.parse().expect("a socket address")
}
