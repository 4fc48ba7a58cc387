//! The load: operations begun at a set rate, each a few datagrams there and back, every answer looked at.
//!
//! [`drive`] is the loop of all of them; what an operation says and expects is its [`Load`]'s to know.

pub mod calls;
pub mod clients;
pub mod exchanges;
pub mod registrations;
pub mod relay;

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::sample::Times;
use crate::sockets;

/// RFC 3261's T1: what is not answered by then is sent again.
const T1: Duration = Duration::from_millis(500);
/// What is not over by then has failed.
const PATIENCE: Duration = Duration::from_secs(6);
/// Datagrams taken before new operations get their turn.
const BATCH: usize = 64;

/// Which of the load's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Of those who call.
    Caller = 0,
    /// Of those who are called.
    Callee = 1,
}

/// The two sockets, and who is under load.
#[derive(Debug)]
pub struct Line {
    sockets: [UdpSocket; 2],
    server: SocketAddr,
}

impl Line {
    /// Two sockets of these addresses that speak to the server only.
    ///
    /// # Errors
    /// The addresses are taken.
    pub fn open(addresses: [SocketAddr; 2], server: SocketAddr) -> std::io::Result<Line> {
        let [caller, callee] = addresses.map(sockets::udp);
        let sockets = [caller?, callee?];
        for socket in &sockets {
            socket.connect(server)?;
        }
        Ok(Line { sockets, server })
    }

    /// Who is under load.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    fn send(&self, side: Side, message: &[u8]) {
        // What the kernel does not take is sent again in its time.
        let _ = self.sockets[side as usize].send(message);
    }

    fn wait(&self, time: Duration) {
        sockets::wait(self.sockets.iter().map(|socket| socket as &dyn AsFd), time);
    }
}

/// Names an operation under way; its serial number tells late answers to an earlier one apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Where it is kept.
    pub slot: usize,
    /// Never used again.
    pub serial: u32,
}

/// One operation under way.
#[derive(Debug)]
struct Open {
    serial: u32,
    begun: Instant,
    /// What is sent again until it is answered, when, and after how long the next time.
    pending: Option<(Side, Vec<u8>)>,
    again: Duration,
}

/// What a load has done and seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Operations that went as they should.
    pub done: usize,
    /// Operations that did not: a wrong answer, or none.
    pub failed: usize,
    /// Messages sent or received a second time.
    pub repeated: usize,
    /// The first thing that went wrong.
    pub complaint: Option<String>,
    /// From the first message of an operation to what it is for.
    pub times: Times,
}

/// What a [`Load`] works with.
#[derive(Debug)]
pub struct Bench<'a> {
    line: &'a Line,
    /// The instant of this turn.
    pub now: Instant,
    open: Vec<Option<Open>>,
    free: Vec<usize>,
    serial: u32,
    alarms: VecDeque<(Instant, Id)>,
    tally: Tally,
}

impl Bench<'_> {
    /// A new operation.
    pub fn begin(&mut self) -> Id {
        self.serial += 1;
        let open = Open { serial: self.serial, begun: self.now, pending: None, again: T1 };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() - 1
        });
        self.open[slot] = Some(open);
        let id = Id { slot, serial: self.serial };
        self.alarms.push_back((self.now + T1, id));
        id
    }

    /// Whether an operation is still under way.
    pub fn is_open(&self, id: Id) -> bool {
        self.open.get(id.slot).and_then(Option::as_ref).is_some_and(|open| open.serial == id.serial)
    }

    fn get(&mut self, id: Id) -> Option<&mut Open> {
        self.open.get_mut(id.slot)?.as_mut().filter(|open| open.serial == id.serial)
    }

    /// Sends something once.
    pub fn send(&mut self, side: Side, message: &[u8]) {
        self.line.send(side, message);
    }

    /// Sends something again and again until [`answered`](Self::answered).
    pub fn ask(&mut self, id: Id, side: Side, message: Vec<u8>) {
        self.line.send(side, &message);
        if let Some(open) = self.get(id) {
            open.pending = Some((side, message));
        }
    }

    /// What was asked has an answer.
    pub fn answered(&mut self, id: Id) {
        if let Some(open) = self.get(id) {
            open.pending = None;
        }
    }

    /// The operation has come to what it is for: this is its time.
    pub fn reached(&mut self, id: Id) {
        let now = self.now;
        if let Some(open) = self.get(id) {
            let time = now.saturating_duration_since(open.begun);
            self.tally.times.push(time);
        }
    }

    /// It is over, and all was well.
    pub fn done(&mut self, id: Id) {
        if self.is_open(id) {
            self.close(id);
            self.tally.done += 1;
        }
    }

    /// It is over, and it was not well.
    pub fn failed(&mut self, id: Id, why: impl FnOnce() -> String) {
        if self.is_open(id) {
            self.close(id);
            self.complain(why);
        }
    }

    /// Something is wrong that belongs to no operation.
    pub fn complain(&mut self, why: impl FnOnce() -> String) {
        self.tally.failed += 1;
        self.tally.complaint.get_or_insert_with(why);
    }

    /// Something came a second time.
    pub fn repeated(&mut self) {
        self.tally.repeated += 1;
    }

    fn close(&mut self, id: Id) {
        self.open[id.slot] = None;
        self.free.push(id.slot);
    }

    fn busy(&self) -> usize {
        self.open.len() - self.free.len()
    }

    /// Sends again what is due, and gives up what is overdue. Alarms come in the order in which they were set, as all wait alike.
    fn keep_time(&mut self) {
        while let Some((at, id)) = self.alarms.front().copied().filter(|(at, _)| *at <= self.now) {
            self.alarms.pop_front();
            let now = self.now;
            let Some(open) = self.get(id) else { continue };
            if now.saturating_duration_since(open.begun) > PATIENCE {
                let pending = open.pending.take().map(|(_, message)| message).unwrap_or_default();
                self.failed(id, || {
                    let message = String::from_utf8_lossy(&pending);
                    format!("no answer, or no end; waited after: {}", message.lines().next().unwrap_or("(nothing)"))
                });
                continue;
            }
            // Looked at every T1, sent again in doubling times (RFC 3261 §17.1.1.2).
            if now.saturating_duration_since(open.begun) >= open.again
                && let Some((side, message)) = open.pending.clone()
            {
                open.again *= 2;
                self.repeated();
                self.line.send(side, &message);
            }
            self.alarms.push_back((at + T1, id));
        }
    }
}

/// A kind of operation.
pub trait Load {
    /// Begins one.
    fn begin(&mut self, bench: &mut Bench<'_>);
    /// Something came.
    fn receive(&mut self, bench: &mut Bench<'_>, side: Side, datagram: &[u8]);
    /// Once for every turn: what is due in the load's own time.
    fn tick(&mut self, _bench: &mut Bench<'_>) {}
    /// Whether the load itself is waiting for something once its operations are over.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// How much, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Operations a second.
    pub per_second: f64,
    /// Operations in all.
    pub count: usize,
}

impl Rate {
    /// So many a second for so long.
    pub fn new(per_second: f64, time: Duration) -> Rate {
        Rate { per_second, count: (per_second * time.as_secs_f64()).round() as usize }
    }

    fn due(&self, elapsed: Duration) -> usize {
        // The first at once.
        (((elapsed.as_secs_f64() * self.per_second) as usize) + 1).min(self.count)
    }

    fn next(&self, start: Instant, begun: usize) -> Option<Instant> {
        (begun < self.count).then(|| start + Duration::from_secs_f64(begun as f64 / self.per_second))
    }
}

/// Begins operations at the rate and sees them through to their end.
pub fn drive(line: &Line, load: &mut impl Load, rate: Rate) -> Tally {
    let start = Instant::now();
    let (open, free, alarms) = Default::default();
    // Serial numbers go on from run to run: a late answer of the last is nobody's.
    let serial = serials(rate.count);
    let mut bench = Bench { line, now: start, open, free, serial, alarms, tally: Tally::default() };
    let mut buffer = [0; 8192];
    let mut begun = 0;
    let mut last = None;
    loop {
        bench.now = Instant::now();
        let due = rate.due(bench.now - start);
        while begun < due {
            load.begin(&mut bench);
            begun += 1;
        }
        let mut heard = false;
        for side in [Side::Caller, Side::Callee] {
            for _ in 0..BATCH {
                let Ok(length) = line.sockets[side as usize].recv(&mut buffer) else { break };
                heard = true;
                bench.now = Instant::now();
                load.receive(&mut bench, side, &buffer[..length]);
            }
        }
        bench.keep_time();
        load.tick(&mut bench);
        if begun >= rate.count && bench.busy() == 0 {
            if load.is_quiet() {
                return bench.tally;
            }
            if bench.now > *last.get_or_insert(bench.now + PATIENCE) {
                bench.complain(|| "the other side never heard of an end".to_owned());
                return bench.tally;
            }
        }
        if !heard {
            let next = rate
                .next(start, begun)
                .map_or(Duration::from_millis(20), |at| at.saturating_duration_since(Instant::now()));
            line.wait(next.min(Duration::from_millis(20)));
        }
    }
}

/// The first of so many serial numbers that were never used before.
fn serials(count: usize) -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(u32::try_from(count).unwrap_or(u32::MAX) + 1, Ordering::Relaxed)
}
