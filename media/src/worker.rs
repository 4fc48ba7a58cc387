//! The tick: all that a media thread does, without the thread, the clock and the sockets.

use std::mem;
use std::time::{Instant, SystemTime};

use crate::bridge;
use crate::clock::Clock;
use crate::command::{Command, Event, LegId, LegStats, Port, StreamStart};
use crate::legs::{Legs, Slot};
use crate::net::{Channel, Net};
use crate::outbox::{Outbox, Outgoing};
use crate::sound::Sounds;
use crate::stream::Leg;

/// Datagrams taken from one socket in a turn: eight times what a telephone with 10 ms packets sends in the 20 ms after a late turn. What is more
/// waits in the socket, so that a flood at one port takes no time from the others.
const PER_TURN: usize = 16;
/// What may wait at a port before its leg opens, or after it closed (the socket holds less).
const STALE: usize = 512;
/// Room for so many sockets where something waits. Where more are told of at a time, it grows once.
const PLACES: usize = 2048;
/// Longer than any datagram that Ethernet carries whole.
const DATAGRAM: usize = 2048;

/// All the legs of one media thread.
#[derive(Debug)]
pub struct Worker {
    clock: Clock,
    legs: Legs,
    sounds: Sounds,
    /// Opened since the last turn: what waits at their ports was not meant for them.
    opened: Vec<Slot>,
    /// To be given away at the next turn.
    leaving: Vec<LegId>,
    /// Closed since the last turn: they still have to say so.
    closed: Vec<Leg>,
    /// Taken over since the last turn.
    attached: Vec<Slot>,
    /// Legs whose ports were never opened: refused, or closed before the turn that would have opened them.
    unopened: Vec<LegId>,
    /// Legs whose count is asked for.
    asked: Vec<LegId>,
    /// Those for which this turn's time brings something.
    due: Vec<Slot>,
    /// Sound on its way out.
    outbox: Outbox,
    /// Where the network says that something waits.
    places: Vec<(Port, Channel)>,
    buffer: Box<[u8; DATAGRAM]>,
}

impl Worker {
    /// A worker without legs. `wall` is the time of day at `start`; reports to telephones tell it. Workers that give legs to one another have the same
    /// `start` and `wall`.
    pub fn new(start: Instant, wall: SystemTime) -> Worker {
        Worker {
            clock: Clock::new(start, wall),
            legs: Legs::default(),
            sounds: Sounds::default(),
            opened: Vec::new(),
            leaving: Vec::new(),
            closed: Vec::new(),
            attached: Vec::new(),
            unopened: Vec::new(),
            asked: Vec::new(),
            due: Vec::new(),
            outbox: Outbox::new(),
            places: Vec::with_capacity(PLACES),
            buffer: Box::new([0; DATAGRAM]),
        }
    }

    /// How many legs there are, up to and with the turn that tells of their end. Without any, turns have nothing to do.
    pub fn legs(&self) -> usize {
        self.legs.len() + self.closed.len() + self.unopened.len()
    }

    /// Takes a command. What it causes on the network, and its events, come with the next turn.
    pub fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { leg, port, start } => self.open(leg, port, start),
            Command::Update { leg, stream } => {
                if let Some(leg) = self.leg(leg) {
                    leg.update(now, stream);
                }
            }
            Command::Bridge { a, b } => {
                if let (Some(a), Some(b)) = (self.legs.find(a), self.legs.find(b)) {
                    bridge::join(&mut self.legs, a, b);
                }
            }
            Command::Echo(leg) => {
                if let Some(slot) = self.legs.find(leg) {
                    bridge::join(&mut self.legs, slot, slot);
                }
            }
            Command::Part(leg) => {
                if let Some(slot) = self.legs.find(leg) {
                    bridge::part(&mut self.legs, slot);
                }
            }
            Command::Learn { sound, is } => self.sounds.learn(sound, is),
            Command::Play { leg, sound, repeat } => {
                if let Some(leg) = self.leg(leg) {
                    leg.play(now, sound, repeat);
                }
            }
            Command::Hush(leg) => {
                if let Some(leg) = self.leg(leg) {
                    leg.hush(now);
                }
            }
            Command::SendDigits { leg, digits } => {
                if let Some(leg) = self.leg(leg) {
                    leg.send_digits(now, &digits);
                }
            }
            Command::Detach(leg) => self.leaving.push(leg),
            Command::Attach(leg) => self.attach(*leg),
            Command::Count(leg) => self.asked.push(leg),
            Command::Close(leg) => self.close(leg),
        }
    }

    /// Closes every leg, as [`Command::Close`] does.
    pub fn close_all(&mut self) {
        for slot in self.legs.slots() {
            self.closed.extend(self.legs.remove(slot));
        }
    }

    fn open(&mut self, leg: LegId, port: Port, start: StreamStart) {
        if self.legs.find(leg).is_some() {
            tracing::error!(leg = leg.0, "a second media leg of the same name was ignored");
        } else if self.legs.is_used(port) {
            tracing::error!(leg = leg.0, port = port.0, "a media leg was refused: another one has its port");
            self.unopened.push(leg);
        } else {
            let slot = self.legs.insert(Leg::new(leg, port, start));
            self.opened.push(slot);
            self.due.reserve(self.legs.len());
        }
    }

    fn attach(&mut self, leg: Leg) {
        if self.legs.find(leg.id).is_some() || self.legs.is_used(leg.port) {
            tracing::error!(
                leg = leg.id.0,
                port = leg.port.0,
                "a media leg was not taken over: another one has its name or port"
            );
            self.unopened.push(leg.id);
        } else {
            // What waits at its port was meant for it.
            let slot = self.legs.insert(leg);
            self.attached.push(slot);
            self.due.reserve(self.legs.len());
        }
    }

    fn close(&mut self, id: LegId) {
        let Some(slot) = self.legs.find(id) else { return };
        bridge::part(&mut self.legs, slot);
        let leg = self.legs.remove(slot);
        match self.opened.iter().position(|opened| *opened == slot) {
            Some(at) => {
                self.opened.remove(at);
                self.unopened.push(id);
            }
            None => self.closed.extend(leg),
        }
    }

    fn leg(&mut self, leg: LegId) -> Option<&mut Leg> {
        let slot = self.legs.find(leg)?;
        self.legs.get_mut(slot)
    }

    /// One turn: takes what came in, sends it on, and does what is due at this time. Wanted every 5 ms while there are legs.
    pub fn turn(&mut self, now: Instant, net: &mut impl Net, events: &mut impl FnMut(Event)) {
        self.close_closed(now, net, events);
        self.open_opened(net);
        for slot in self.attached.drain(..) {
            if let Some(leg) = self.legs.get(slot) {
                net.attach(leg.port);
            }
        }
        self.detach_leaving(net, events);
        // What we press goes before the sound of this turn, and what did not come is looked for after it.
        let mut due = mem::take(&mut self.due);
        due.extend(self.legs.due(now));
        for slot in &due {
            if let Some(leg) = self.legs.get_mut(*slot) {
                leg.press(now, net);
            }
        }
        self.hear(now, net, events);
        for slot in due.drain(..) {
            if let Some(leg) = self.legs.get_mut(slot) {
                leg.tick(now, &self.clock, &self.sounds, net, events);
            }
        }
        self.due = due;
        for id in self.asked.drain(..) {
            if let Some(leg) = self.legs.find(id).and_then(|slot| self.legs.get(slot)) {
                events(Event::Counted { leg: leg.id, stats: leg.stats() });
            }
        }
    }

    fn close_closed(&mut self, now: Instant, net: &mut impl Net, events: &mut impl FnMut(Event)) {
        for leg in self.unopened.drain(..) {
            events(Event::Closed { leg, stats: LegStats::default() });
        }
        for mut leg in self.closed.drain(..) {
            let stats = leg.close(now, &self.clock, net);
            net.close(leg.port);
            drain(leg.port, net, &mut self.buffer[..]);
            events(Event::Closed { leg: leg.id, stats });
        }
    }

    fn open_opened(&mut self, net: &mut impl Net) {
        for slot in self.opened.drain(..) {
            let Some(leg) = self.legs.get(slot) else { continue };
            net.open(leg.port);
            drain(leg.port, net, &mut self.buffer[..]);
        }
    }

    /// After [`open_opened`](Self::open_opened): one that opened a moment ago leaves nothing at its port that was not meant for it.
    fn detach_leaving(&mut self, net: &mut impl Net, events: &mut impl FnMut(Event)) {
        for id in self.leaving.drain(..) {
            // One that was closed meanwhile tells so, and nothing else.
            let Some(slot) = self.legs.find(id) else { continue };
            bridge::part(&mut self.legs, slot);
            if let Some(leg) = self.legs.remove(slot) {
                net.detach(leg.port);
                events(Event::Detached(Box::new(leg)));
            }
        }
    }

    /// Takes what waits, a datagram of each socket in turn.
    fn hear(&mut self, now: Instant, net: &mut impl Net, events: &mut impl FnMut(Event)) {
        let mut places = mem::take(&mut self.places);
        for _ in 0..PER_TURN {
            places.clear();
            if !net.waiting(&mut places) {
                places.extend(self.legs.ports().flat_map(|port| [(port, Channel::Rtp), (port, Channel::Rtcp)]));
            }
            let mut heard = false;
            for &(port, channel) in &places {
                if !self.outbox.has_room(DATAGRAM) {
                    self.send_out(net);
                }
                heard |= self.hear_one(now, port, channel, net, events);
            }
            self.send_out(net);
            if !heard {
                break;
            }
        }
        self.places = places;
    }

    fn send_out(&mut self, net: &mut impl Net) {
        let legs = &mut self.legs;
        self.outbox.drain(|Outgoing { leg, to, payload, .. }, datagram| {
            if let Some(leg) = legs.get_mut(leg) {
                leg.send(to, datagram, payload, net);
            }
        });
    }

    /// Whether there was one.
    fn hear_one(
        &mut self,
        now: Instant,
        port: Port,
        channel: Channel,
        net: &mut impl Net,
        events: &mut impl FnMut(Event),
    ) -> bool {
        let Some(slot) = self.legs.at(port) else { return false };
        let Some((length, from)) = net.receive(port, channel, &mut self.buffer[..]) else { return false };
        // One that fills the buffer was cut off. Nothing is left of it, so that it is counted as no RTP.
        let datagram = &mut self.buffer[..if length < DATAGRAM { length } else { 0 }];
        let Some(leg) = self.legs.get_mut(slot) else { return true };
        match channel {
            Channel::Rtcp => leg.ingress_rtcp(now, &self.clock, from, datagram),
            Channel::Rtp => {
                if let Some(packet) = leg.ingress(now, &self.clock, from, datagram, events) {
                    bridge::forward(&mut self.legs, now, slot, packet, datagram, &mut self.outbox);
                }
            }
        }
        true
    }
}

/// Throws away what waits at a port.
fn drain(port: Port, net: &mut impl Net, buffer: &mut [u8]) {
    for channel in [Channel::Rtp, Channel::Rtcp] {
        let mut stale = 0;
        while stale < STALE && net.receive(port, channel, buffer).is_some() {
            stale += 1;
        }
    }
}
