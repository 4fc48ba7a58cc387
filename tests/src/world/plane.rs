//! The media workers of the world, on a network of their own, and a watch over their legs: each opened once, at a port that is free, at one worker at a
//! time, and closed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use media::net::{Channel, Net};
use media::{Command, Event, LegId, Port, Worker, WorkerId};

use super::sounds;

/// A turn of the workers.
const TICK: Duration = Duration::from_millis(5);
/// With nothing coming in it is enough to look this often; what is late by it is only silence told of and reports.
const IDLE: Duration = Duration::from_millis(500);
/// After something came in, the worker turns each tick for this long: a digit is sent in that time.
const BUSY: Duration = Duration::from_millis(20);
const DIGIT: Duration = Duration::from_millis(160);
/// And for so long after a sound has begun; later it is heard now and then, as the telephones are that say little.
const SPURT: Duration = Duration::from_millis(300);

/// The media plane of the world.
#[derive(Debug)]
pub(super) struct Plane {
    workers: BTreeMap<WorkerId, Worker>,
    air: Air,
    /// Legs from their opening to the event that they are closed: their ports, and the worker that has each; none while it is on its way.
    legs: BTreeMap<LegId, (Port, Option<WorkerId>)>,
    /// Legs that went from one worker to another.
    moves: usize,
    /// When a leg was last opened at each port.
    opened: BTreeMap<Port, Instant>,
    /// Legs that are joined, in the order they were named last; with itself one that hears an echo.
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
        let worker = |(id, _): &(WorkerId, Port)| {
            let mut worker = Worker::new(now, SystemTime::UNIX_EPOCH);
            sounds::all().for_each(|(sound, is)| worker.command(now, Command::Learn { sound, is }));
            (*id, worker)
        };
        Plane {
            workers: ports.iter().map(worker).collect(),
            air: Air { bound: ports.iter().map(|(_, port)| *port).collect(), ..Air::default() },
            legs: BTreeMap::new(),
            opened: BTreeMap::new(),
            moves: 0,
            joined: BTreeSet::new(),
            last_turn: now,
            busy_until: now,
        }
    }

    /// Legs not yet told to be closed.
    pub(super) fn open(&self) -> usize {
        self.legs.len()
    }

    /// The ports where a leg is.
    pub(super) fn ports(&self) -> Vec<Port> {
        self.legs.values().map(|(port, _)| *port).collect()
    }

    /// When a leg was last opened at this port.
    pub(super) fn opened(&self, port: u16) -> Option<Instant> {
        self.opened.get(&Port(port)).copied()
    }

    /// A port that is in use.
    pub(super) fn used(&self) -> Option<Port> {
        self.legs.values().next().map(|(port, _)| *port)
    }

    /// A leg of this worker that is neither of these.
    pub(super) fn another(&self, worker: WorkerId, a: LegId, b: LegId) -> Option<LegId> {
        let other =
            |(leg, (_, at)): &(&LegId, &(Port, Option<WorkerId>))| *at == Some(worker) && **leg != a && **leg != b;
        self.legs.iter().find(other).map(|(leg, _)| *leg)
    }

    /// Whether these two legs were joined, and neither with another since.
    pub(super) fn joins(&self, a: LegId, b: LegId) -> bool {
        self.joined.contains(&(a, b)) || self.joined.contains(&(b, a))
    }

    /// Whether one of these two is joined with somebody else.
    pub(super) fn hears_another(&self, a: LegId, b: LegId) -> bool {
        !self.joins(a, b) && self.joined.iter().any(|(x, y)| [a, b].iter().any(|leg| leg == x || leg == y))
    }

    /// How many legs have gone from one worker to another.
    pub(super) fn moves(&self) -> usize {
        self.moves
    }

    /// A command of the engine. `Err`: one that a sound engine does not give.
    pub(super) fn command(&mut self, now: Instant, to: WorkerId, command: Command) -> Result<(), String> {
        self.busy_until = now + BUSY;
        match &command {
            Command::Open { leg, port, .. } => {
                if !self.air.bound.contains(port) || self.legs.values().any(|(used, _)| used == port) {
                    return Err(format!("a leg was opened at port {}, which is not free", port.0));
                }
                self.opened.insert(*port, now);
                if self.legs.insert(*leg, (*port, Some(to))).is_some() {
                    return Err(format!("leg {} was opened twice", leg.0));
                }
            }
            Command::Update { leg, .. } | Command::Hush(leg) | Command::Count(leg) | Command::Close(leg) => {
                self.must_be_at(to, *leg)?;
            }
            Command::Echo(leg) => {
                self.must_be_at(to, *leg)?;
                self.join(*leg, *leg);
            }
            Command::Part(leg) => {
                self.must_be_at(to, *leg)?;
                self.joined.retain(|(a, b)| a != leg && b != leg);
            }
            Command::Play { leg, .. } => {
                self.must_be_at(to, *leg)?;
                self.busy_until = now + SPURT;
            }
            Command::Learn { sound, .. } => return Err(format!("{sound:?} is taught by the world alone")),
            Command::Detach(leg) => {
                self.must_be_at(to, *leg)?;
                if let Some((_, at)) = self.legs.get_mut(leg) {
                    *at = None;
                }
            }
            Command::Attach(leg) => match self.legs.get_mut(&leg.id()) {
                Some((_, at @ None)) => {
                    *at = Some(to);
                    self.moves += 1;
                }
                _ => return Err(format!("leg {} was attached and had not been detached", leg.id().0)),
            },
            Command::SendDigits { leg, digits } => {
                self.must_be_at(to, *leg)?;
                self.busy_until = now + DIGIT * (digits.len() as u32 + 2);
            }
            Command::Bridge { a, b } => {
                self.must_be_at(to, *a)?;
                self.must_be_at(to, *b)?;
                self.join(*a, *b);
            }
        }
        let worker = self.workers.get_mut(&to).ok_or_else(|| format!("a command for {to:?}, which is not there"))?;
        worker.command(now, command);
        Ok(())
    }

    fn join(&mut self, a: LegId, b: LegId) {
        self.joined.retain(|(x, y)| ![a, b].iter().any(|leg| leg == x || leg == y));
        self.joined.insert((a, b));
    }

    fn must_be_at(&self, worker: WorkerId, leg: LegId) -> Result<(), String> {
        match self.legs.get(&leg) {
            Some((_, Some(at))) if *at == worker => Ok(()),
            Some((_, Some(at))) => Err(format!("a command to {worker:?} for leg {}, which is at {at:?}", leg.0)),
            Some((_, None)) => Err(format!("a command for leg {}, which is on its way", leg.0)),
            None => Err(format!("a command for leg {}, which is not open", leg.0)),
        }
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

    /// When the workers turn next.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let pause = if self.last_turn < self.busy_until { TICK } else { IDLE };
        self.workers.values().any(|worker| worker.legs() > 0).then(|| self.last_turn + pause)
    }

    /// A turn: what it sends and tells.
    pub(super) fn turn(&mut self, now: Instant) -> (Vec<(Port, SocketAddr, Bytes)>, Vec<Event>) {
        self.last_turn = now;
        let mut events = Vec::new();
        for worker in self.workers.values_mut() {
            worker.turn(now, &mut self.air, &mut |event| events.push(event));
        }
        for event in &events {
            if let Event::Closed { leg, .. } = event {
                self.legs.remove(leg);
                self.joined.retain(|(a, b)| a != leg && b != leg);
            }
        }
        (std::mem::take(&mut self.air.sent), events)
    }
}
