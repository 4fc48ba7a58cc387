//! What the tests stand on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use media::net::{Channel, Net};
use media::{Codec, Command, Event, LegId, LegStats, PayloadMap, Port, Stream, StreamStart, Worker};
use rtp_rs::{RtpPacketBuilder, RtpReader};

/// Legs and phones are numbered alike; leg 1's port is 20002, its telephone 192.0.2.1:4000, with RTCP at 4001.
pub(crate) fn port(leg: u64) -> Port {
    Port(20_000 + 2 * leg as u16)
}

pub(crate) fn phone(leg: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, leg as u8], 4000))
}

pub(crate) fn phone_rtcp(leg: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, leg as u8], 4001))
}

/// Where a leg's stream begins.
pub(crate) fn start(leg: u64) -> StreamStart {
    StreamStart { ssrc: 0x1000 + leg as u32, sequence: 65_500, timestamp: u32::MAX - 5000 }
}

/// PCMU, PCMA and their events, at the usual numbers.
pub(crate) fn payloads() -> PayloadMap {
    PayloadMap(vec![(0, Codec::Pcmu), (8, Codec::Pcma), (101, Codec::TelephoneEvent { rate: 8000 })])
}

pub(crate) fn stream(leg: u64) -> Stream {
    Stream {
        remote: Some(phone(leg)),
        remote_rtcp: Some(phone_rtcp(leg)),
        send: true,
        receive: true,
        incoming: payloads(),
        outgoing: payloads(),
    }
}

/// A packet as a telephone says or hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rtp {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

impl Rtp {
    /// The nth packet of 20 ms of a telephone's PCMU.
    pub(crate) fn sound(ssrc: u32, n: u32) -> Rtp {
        let sequence = (n as u16).wrapping_add(100);
        Rtp { payload_type: 0, marker: false, sequence, timestamp: n * 160, ssrc, payload: n.to_be_bytes().to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .marked(self.marker)
            .sequence(self.sequence.into())
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(&self.payload)
            .build()
            .expect("a packet of a telephone is RTP")
    }

    fn read(bytes: &[u8]) -> Rtp {
        let reader = RtpReader::new(bytes).expect("a worker sends RTP");
        Rtp {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            payload: reader.payload().to_vec(),
        }
    }
}

/// From or to an address.
pub(crate) type Datagram = (SocketAddr, Vec<u8>);

/// Datagrams that wait, and datagrams that were sent.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) waiting: BTreeMap<(Port, Channel), VecDeque<Datagram>>,
    pub(crate) sent: Vec<(Port, Channel, SocketAddr, Vec<u8>)>,
    /// The ports whose sockets keep what comes.
    pub(crate) open: BTreeSet<Port>,
    /// Whether sending fails.
    pub(crate) refusing: bool,
}

impl Net for Queues {
    fn open(&mut self, port: Port) {
        self.open.insert(port);
    }

    fn close(&mut self, port: Port) {
        self.open.remove(&port);
    }

    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (from, bytes) = self.waiting.get_mut(&(port, channel))?.pop_front()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Some((length, from))
    }

    fn send(&mut self, port: Port, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        if !self.refusing {
            self.sent.push((port, channel, to, datagram.to_vec()));
        }
        !self.refusing
    }
}

pub(crate) struct World {
    /// Legs are at the first, unless they [`travel`](World::travel).
    workers: [Worker; 2],
    /// Those that have travelled.
    elsewhere: BTreeMap<LegId, usize>,
    pub(crate) net: Queues,
    pub(crate) events: Vec<Event>,
    pub(crate) began: Instant,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new() -> World {
        let began = Instant::now();
        let workers = [(); 2].map(|()| Worker::new(began, SystemTime::UNIX_EPOCH));
        World { workers, elsewhere: BTreeMap::new(), net: Queues::default(), events: Vec::new(), began, now: began }
    }

    /// Two telephones that talk: legs 1 and 2.
    pub(crate) fn call() -> World {
        let mut world = World::new();
        world.open(1);
        world.open(2);
        world.command(Command::Bridge { a: LegId(1), b: LegId(2) });
        world.turn();
        world
    }

    /// Tells the worker that has the leg.
    pub(crate) fn command(&mut self, command: Command) {
        let leg = match &command {
            Command::Open { leg, .. }
            | Command::Update { leg, .. }
            | Command::Bridge { a: leg, .. }
            | Command::SendDigits { leg, .. }
            | Command::Echo(leg)
            | Command::Part(leg)
            | Command::Play { leg, .. }
            | Command::Hush(leg)
            | Command::Detach(leg)
            | Command::Count(leg)
            | Command::Close(leg) => *leg,
            Command::Attach(leg) => leg.id(),
            Command::Learn { sound, is } => {
                for worker in &mut self.workers {
                    worker.command(self.now, Command::Learn { sound: *sound, is: Arc::clone(is) });
                }
                return;
            }
        };
        let at = self.at(leg);
        self.workers[at].command(self.now, command);
    }

    fn at(&self, leg: LegId) -> usize {
        self.elsewhere.get(&leg).copied().unwrap_or(0)
    }

    /// These legs go to a worker, in one turn.
    pub(crate) fn travel(&mut self, legs: impl IntoIterator<Item = u64>, to: usize) {
        for leg in legs {
            self.command(Command::Detach(LegId(leg)));
        }
        self.turn();
        self.arrive_at(to);
    }

    /// The legs that came out go to a worker.
    pub(crate) fn arrive_at(&mut self, to: usize) {
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Detached(leg) => {
                    self.elsewhere.insert(leg.id(), to);
                    self.command(Command::Attach(leg));
                }
                event => self.events.push(event),
            }
        }
    }

    /// How many legs each worker has.
    pub(crate) fn legs(&self) -> [usize; 2] {
        self.workers.each_ref().map(Worker::legs)
    }

    pub(crate) fn close_all(&mut self) {
        self.workers.iter_mut().for_each(Worker::close_all);
    }

    /// Opens a leg and settles its stream.
    pub(crate) fn open(&mut self, leg: u64) {
        self.command(Command::Open { leg: LegId(leg), port: port(leg), start: start(leg) });
        self.update(leg, |_| ());
    }

    /// Settles the usual stream, but for something.
    pub(crate) fn update(&mut self, leg: u64, change: impl FnOnce(&mut Stream)) {
        let mut stream = stream(leg);
        change(&mut stream);
        self.command(Command::Update { leg: LegId(leg), stream });
    }

    pub(crate) fn turn(&mut self) {
        for worker in &mut self.workers {
            worker.turn(self.now, &mut self.net, &mut |event| self.events.push(event));
        }
        self.now += Duration::from_millis(5);
    }

    pub(crate) fn turns(&mut self, count: u32) {
        for _ in 0..count {
            self.turn();
        }
    }

    /// Jumps, with a turn at the end.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.turn();
    }

    /// A datagram arrives at a leg's port.
    pub(crate) fn arrive(&mut self, leg: u64, channel: Channel, from: SocketAddr, bytes: Vec<u8>) {
        self.net.waiting.entry((port(leg), channel)).or_default().push_back((from, bytes));
    }

    /// A leg's telephone sends.
    pub(crate) fn say(&mut self, leg: u64, packet: &Rtp) {
        self.say_from(leg, phone(leg), packet);
    }

    pub(crate) fn say_from(&mut self, leg: u64, from: SocketAddr, packet: &Rtp) {
        self.arrive(leg, Channel::Rtp, from, packet.bytes());
    }

    /// A leg's telephone sends `packets` of sound, one every 20 ms, beginning with the nth.
    pub(crate) fn talk(&mut self, leg: u64, packets: std::ops::Range<u32>) {
        for n in packets {
            self.say(leg, &Rtp::sound(leg as u32, n));
            self.turns(4);
        }
    }

    /// What was sent from a leg's port since the last look, and where to.
    pub(crate) fn sent(&mut self, leg: u64) -> Vec<(SocketAddr, Rtp)> {
        self.taken(leg, Channel::Rtp).into_iter().map(|(to, bytes)| (to, Rtp::read(&bytes))).collect()
    }

    /// What a leg's telephone heard since the last look.
    pub(crate) fn heard(&mut self, leg: u64) -> Vec<Rtp> {
        let sent = self.sent(leg);
        assert!(sent.iter().all(|(to, _)| *to == phone(leg)), "all goes to the telephone");
        sent.into_iter().map(|(_, packet)| packet).collect()
    }

    pub(crate) fn reports(&mut self, leg: u64) -> Vec<Datagram> {
        self.taken(leg, Channel::Rtcp)
    }

    fn taken(&mut self, leg: u64, channel: Channel) -> Vec<Datagram> {
        let taken = self.net.sent.extract_if(.., |(at, on, ..)| *at == port(leg) && *on == channel);
        taken.map(|(_, _, to, bytes)| (to, bytes)).collect()
    }

    /// Ends a leg; its account.
    pub(crate) fn close(&mut self, leg: u64) -> LegStats {
        self.command(Command::Close(LegId(leg)));
        self.turn();
        let mut closed = self.events.iter().filter_map(|event| match event {
            Event::Closed { leg: closed, stats } if *closed == LegId(leg) => Some(*stats),
            _ => None,
        });
        let stats = closed.next().expect("a leg that is closed tells so");
        assert_eq!(closed.next(), None, "once");
        stats
    }
}
