//! The media worker of the world, on a network of its own, and a watch over its legs: each opened once, at a port that is free, and closed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use media::net::{Channel, Net};
use media::{Command, Event, LegId, Port, Worker};
use switch::node::WorkerId;

/// A turn of the worker.
const TICK: Duration = Duration::from_millis(5);
/// With nothing coming in it is enough to look this often; what is late by it is only silence told of and reports.
const IDLE: Duration = Duration::from_millis(500);
/// After something came in, the worker turns each tick for this long: a digit is sent in that time.
const BUSY: Duration = Duration::from_millis(20);
const DIGIT: Duration = Duration::from_millis(160);

/// The media plane of the world.
#[derive(Debug)]
pub(super) struct Plane {
    worker: Worker,
    air: Air,
    /// The ports of legs from their opening to the event that they are closed.
    legs: BTreeMap<LegId, Port>,
    /// Legs that were joined, in the order they were named.
    joined: BTreeSet<(LegId, LegId)>,
    last_turn: Instant,
    busy_until: Instant,
}

/// Datagrams between the worker and the world.
#[derive(Debug, Default)]
struct Air {
    bound: Vec<Port>,
    waiting: BTreeMap<Port, VecDeque<(Bytes, SocketAddr)>>,
    sent: Vec<(Port, SocketAddr, Bytes)>,
}

impl Net for Air {
    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if channel == Channel::Rtcp {
            return None;
        }
        let (packet, from) = self.waiting.get_mut(&port)?.pop_front()?;
        let length = packet.len().min(buffer.len());
        buffer[..length].copy_from_slice(&packet[..length]);
        Some((length, from))
    }

    fn send(&mut self, port: Port, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        if channel == Channel::Rtp {
            self.sent.push((port, to, Bytes::copy_from_slice(datagram)));
        }
        true
    }
}

impl Plane {
    pub(super) fn new(ports: &[(WorkerId, Port)], now: Instant) -> Plane {
        Plane {
            worker: Worker::new(now, SystemTime::UNIX_EPOCH),
            air: Air { bound: ports.iter().map(|(_, port)| *port).collect(), ..Air::default() },
            legs: BTreeMap::new(),
            joined: BTreeSet::new(),
            last_turn: now,
            busy_until: now,
        }
    }

    /// Legs not yet told to be closed.
    pub(super) fn open(&self) -> usize {
        self.legs.len()
    }

    /// Whether these two legs were joined.
    pub(super) fn joins(&self, a: LegId, b: LegId) -> bool {
        self.joined.contains(&(a, b))
    }

    /// A command of the engine. `Err`: one that a sound engine does not give.
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<(), String> {
        self.busy_until = now + BUSY;
        match &command {
            Command::Open { leg, port, .. } => {
                if !self.air.bound.contains(port) || self.legs.values().any(|used| used == port) {
                    return Err(format!("a leg was opened at port {}, which is not free", port.0));
                }
                if self.legs.insert(*leg, *port).is_some() {
                    return Err(format!("leg {} was opened twice", leg.0));
                }
            }
            Command::Update { leg, .. } | Command::Echo(leg) | Command::Close(leg) => self.must_be_open(*leg)?,
            Command::SendDigits { leg, digits } => {
                self.must_be_open(*leg)?;
                self.busy_until = now + DIGIT * (digits.len() as u32 + 2);
            }
            Command::Bridge { a, b } => {
                self.must_be_open(*a)?;
                self.must_be_open(*b)?;
                self.joined.insert((*a, *b));
            }
        }
        self.worker.command(now, command);
        Ok(())
    }

    fn must_be_open(&self, leg: LegId) -> Result<(), String> {
        self.legs
            .contains_key(&leg)
            .then_some(())
            .ok_or_else(|| format!("a command for leg {}, which is not open", leg.0))
    }

    /// A packet reaches a port.
    pub(super) fn receive(&mut self, now: Instant, port: Port, packet: Bytes, from: SocketAddr) {
        if self.air.bound.contains(&port) {
            let waiting = self.air.waiting.entry(port).or_default();
            waiting.push_back((packet, from));
            // A socket's buffer ends somewhere.
            let over = waiting.len().saturating_sub(100);
            waiting.drain(..over);
            self.busy_until = now + BUSY;
        }
    }

    /// When the worker turns next.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let pause = if self.last_turn < self.busy_until { TICK } else { IDLE };
        (self.worker.legs() > 0).then(|| self.last_turn + pause)
    }

    /// A turn: what it sends and tells.
    pub(super) fn turn(&mut self, now: Instant) -> (Vec<(Port, SocketAddr, Bytes)>, Vec<Event>) {
        self.last_turn = now;
        let mut events = Vec::new();
        self.worker.turn(now, &mut self.air, &mut |event| events.push(event));
        for event in &events {
            if let Event::Closed { leg, .. } = event {
                self.legs.remove(leg);
                self.joined.retain(|(a, b)| a != leg && b != leg);
            }
        }
        (std::mem::take(&mut self.air.sent), events)
    }
}
