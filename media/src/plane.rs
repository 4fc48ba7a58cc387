//! The media threads and the handle to them: commands in, events out.

use std::io;
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::command::{Command, Event, Port, SoundId, WorkerId};
use crate::lateness::{Counter, Lateness};
use crate::net::Sweep;
use crate::sound::Sound;
use crate::tap::{Tap, TappedNet};
use crate::worker::Worker;

/// Between two turns.
const TICK: Duration = Duration::from_millis(5);
/// Later than this, what was missed is not made up for.
const LATE: Duration = Duration::from_millis(50);
/// Commands that may wait for the next turn: what thousands of calls a second ask in half a second.
const QUEUE: usize = 16 * 1024;
/// Taps that may wait for the next turn.
const TAPS: usize = 4;
/// Any of the real-time priorities preempts everything ordinary; the kernel's own threads may be above.
const PRIORITY: u8 = 10;

/// The media threads. Dropping it ends all their legs, each with its BYE and its [`Event::Closed`] (but for one that is on its way between two
/// threads), and the threads.
#[derive(Debug)]
pub struct Plane {
    ports: Vec<(WorkerId, Port)>,
    taken: usize,
    descriptors_left: u64,
    threads: Vec<Thread>,
    lateness: Arc<Counter>,
}

/// A thread, and the way to it.
#[derive(Debug)]
struct Thread {
    commands: Producer<Command>,
    taps: Producer<Option<Box<Tap>>>,
    handle: JoinHandle<()>,
}

impl Plane {
    /// Binds the ports of a range, divides them among so many threads (at least one) and starts these. `events` is called on them, one of it on each, and
    /// must not wait.
    pub fn start(
        ports: &RangeInclusive<u16>,
        threads: NonZeroU8,
        events: impl FnMut(Event) + Send + Clone + 'static,
    ) -> io::Result<Plane> {
        let net = Sweep::bind(ports)?;
        let workers = (0..threads.get()).map(WorkerId);
        let mut plane = Plane {
            // In turn, so that each thread has its part of what was free.
            ports: workers.clone().cycle().zip(net.ports()).collect(),
            taken: net.taken(),
            descriptors_left: net.descriptors_left(),
            threads: Vec::new(),
            lateness: Arc::default(),
        };
        // One beginning of time for all: legs go from one to another.
        let (start, wall) = (Instant::now(), SystemTime::now());
        for WorkerId(number) in workers {
            let (producer, consumer) = RingBuffer::new(QUEUE);
            let (taps, new_taps) = RingBuffer::new(TAPS);
            let (events, lateness) = (events.clone(), Arc::clone(&plane.lateness));
            let net = TappedNet::new(net.clone());
            let worker = Worker::new(start, wall);
            let thread = thread::Builder::new().name(format!("media-{number}"));
            let handle = thread.spawn(move || run(worker, net, consumer, new_taps, &lateness, events))?;
            plane.threads.push(Thread { commands: producer, taps, handle });
        }
        Ok(plane)
    }

    /// The ports bound, and whose each is when nobody is there.
    pub fn ports(&self) -> &[(WorkerId, Port)] {
        &self.ports
    }

    /// How many ports of the range somebody else had.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many open files the limit, raised as far as it goes, leaves to the rest of the process: at least half of it.
    pub fn descriptors_left(&self) -> u64 {
        self.descriptors_left
    }

    /// How late the threads have turned.
    pub fn lateness(&self) -> Lateness {
        self.lateness.read()
    }

    /// Gives every thread a tap of its own, or takes it away: from its next turn on. Whether all of them have understood; one that is held up may not,
    /// and keeps what it has.
    pub fn tap(&mut self, mut tap: impl FnMut() -> Option<Tap>) -> bool {
        let mut understood = true;
        for Thread { taps, handle, .. } in &mut self.threads {
            understood &= taps.push(tap().map(Box::new)).is_ok();
            handle.thread().unpark();
        }
        understood
    }

    /// Teaches every thread a sound.
    pub fn learn(&mut self, sound: SoundId, is: &Arc<Sound>) {
        for number in 0..self.threads.len() as u8 {
            self.command(WorkerId(number), Command::Learn { sound, is: Arc::clone(is) });
        }
    }

    /// Gives a thread a command, done within a tick. Commands are done in the order given, and none is ever dropped: if thousands wait because
    /// the thread is held up, this waits for room.
    pub fn command(&mut self, worker: WorkerId, command: Command) {
        let Some(Thread { commands, handle, .. }) = self.threads.get_mut(usize::from(worker.0)) else {
            tracing::error!(worker = worker.0, "there is no such media thread; a command is lost");
            return;
        };
        let mut rest = command;
        while let Err(PushError::Full(command)) = commands.push(rest) {
            if commands.is_abandoned() {
                tracing::error!("a media thread has ended; a command is lost");
                return;
            }
            rest = command;
            thread::sleep(Duration::from_millis(1));
        }
        // Costs an atomic swap unless the thread is parked.
        handle.thread().unpark();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let end = |Thread { commands, handle, .. }| {
            drop(commands);
            handle.thread().unpark();
            handle
        };
        // All are told before the first is waited for.
        let handles: Vec<JoinHandle<()>> = self.threads.drain(..).map(end).collect();
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a media thread panicked");
            }
        }
    }
}

fn run(
    mut worker: Worker,
    mut net: TappedNet<Sweep>,
    mut commands: Consumer<Command>,
    mut taps: Consumer<Option<Box<Tap>>>,
    lateness: &Counter,
    mut events: impl FnMut(Event),
) {
    // Not permitted to everybody, and not needed on a machine that is not busy.
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = PRIORITY.try_into().map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
    let real_time = set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok();
    tracing::debug!(real_time, "media thread started");
    let mut next = Instant::now();
    let mut told = Vec::new();
    loop {
        // Asked before the queue is emptied, so that the last commands are not missed.
        let ending = commands.is_abandoned();
        let now = Instant::now();
        while let Ok(command) = commands.pop() {
            worker.command(now, command);
        }
        while let Ok(tap) = taps.pop() {
            net.set(tap);
        }
        if ending {
            worker.close_all();
        }
        worker.turn(now, &mut net, &mut |event| told.push(event));
        // Together, so that whoever hears of them is woken once.
        told.drain(..).for_each(&mut events);
        if ending {
            return;
        }
        if worker.legs() == 0 {
            // A command that came meanwhile has left its token: then this does not wait.
            thread::park();
            next = Instant::now();
        } else {
            next = next_tick(next, Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
            lateness.add(next.elapsed());
        }
    }
}

/// When to turn next: in step with the last turn, unless that is long past.
fn next_tick(last: Instant, now: Instant) -> Instant {
    let next = last + TICK;
    if now.saturating_duration_since(next) > LATE { now } else { next }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::mpsc::{self, Receiver};

    use super::*;
    use crate::command::{Codec, LegId, PayloadMap, Stream, StreamStart};

    const FIRST: WorkerId = WorkerId(0);

    /// A plane of so many threads on two ports that were free.
    fn plane(threads: u8) -> (Plane, Receiver<Event>) {
        let threads = NonZeroU8::new(threads).unwrap();
        (0..200u16)
            .map(|n| 41_000 + (std::process::id() as u16 % 89) * 200 + n * 4)
            .find_map(|port| {
                let (sender, events) = mpsc::channel();
                let tell = move |event| sender.send(event).unwrap_or(());
                let plane = Plane::start(&(port..=port + 3), threads, tell).ok()?;
                (plane.taken() == 0).then_some((plane, events))
            })
            .expect("some ports are free")
    }

    fn open(plane: &mut Plane, leg: u64, (worker, port): (WorkerId, Port), remote: SocketAddr) {
        let payloads = PayloadMap(vec![(0, Codec::Pcmu)]);
        let start = StreamStart { ssrc: leg as u32, sequence: 0, timestamp: 0 };
        let stream = Stream {
            remote: Some(remote),
            remote_rtcp: None,
            send: true,
            receive: true,
            incoming: payloads.clone(),
            outgoing: payloads,
        };
        plane.command(worker, Command::Open { leg: LegId(leg), port, start });
        plane.command(worker, Command::Update { leg: LegId(leg), stream });
    }

    /// Two legs with their telephones, not joined.
    fn two_legs(plane: &mut Plane) -> [UdpSocket; 2] {
        let phones = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (leg, phone) in phones.iter().enumerate() {
            phone.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let port = plane.ports()[leg];
            open(plane, leg as u64, port, phone.local_addr().unwrap());
        }
        phones
    }

    /// What comes before the first turn is thrown away: each sends until the other hears something.
    fn hear_each_other(plane: &Plane, phones: &[UdpSocket; 2], from: u8) {
        let mut heard = [0; 64];
        for (speaker, listener) in [(0, 1), (1, 0)] {
            let length = (from..250)
                .find_map(|n| {
                    let packet = [0x80, 0, 0, n, 0, 0, 0, n, 9, 9, 9, 9, 42];
                    phones[speaker].send_to(&packet, ("127.0.0.1", plane.ports()[speaker].1.0)).unwrap();
                    phones[listener].recv(&mut heard).ok()
                })
                .expect("a packet arrives");
            assert_eq!((length, heard[12], heard[11]), (13, 42, listener as u8));
        }
    }

    #[test]
    fn two_phones_hear_each_other_over_real_sockets() {
        let (mut plane, events) = plane(1);
        let phones = two_legs(&mut plane);
        plane.command(FIRST, Command::Bridge { a: LegId(0), b: LegId(1) });
        hear_each_other(&plane, &phones, 0);
        assert!(plane.lateness().count() > 0);
        drop(plane);
        let closed: Vec<_> = events.try_iter().collect();
        assert!(matches!(closed[..], [Event::Closed { .. }, Event::Closed { .. }]), "{closed:?}");
    }

    #[test]
    fn a_leg_goes_from_thread_to_thread_with_its_socket() {
        let (mut plane, events) = plane(2);
        let phones = two_legs(&mut plane);
        assert_eq!(plane.ports().iter().map(|(worker, _)| worker.0).collect::<Vec<_>>(), [0, 1]);
        let mut at = WorkerId(1);
        for round in 0..4 {
            // The second leg to the first, then both of them back and forth.
            let to = WorkerId(round % 2);
            let movers = if round == 0 { vec![1] } else { vec![0, 1] };
            for leg in &movers {
                plane.command(at, Command::Detach(LegId(*leg)));
            }
            for _ in movers {
                let Event::Detached(leg) = events.recv_timeout(Duration::from_secs(5)).unwrap() else {
                    panic!("a leg is detached")
                };
                plane.command(to, Command::Attach(leg));
            }
            plane.command(to, Command::Bridge { a: LegId(0), b: LegId(1) });
            hear_each_other(&plane, &phones, round * 50);
            at = to;
        }
        drop(plane);
        let closed: Vec<_> = events.try_iter().collect();
        assert!(matches!(closed[..], [Event::Closed { .. }, Event::Closed { .. }]), "{closed:?}");
    }

    #[test]
    fn a_thread_without_legs_wakes_for_a_command() {
        let (mut plane, events) = plane(1);
        let place = plane.ports()[0];
        for leg in 0..3 {
            open(&mut plane, leg, place, SocketAddr::from(([127, 0, 0, 1], 9)));
            plane.command(FIRST, Command::Close(LegId(leg)));
            let event = events.recv_timeout(Duration::from_secs(5)).unwrap();
            assert!(matches!(event, Event::Closed { leg: LegId(closed), .. } if closed == leg));
        }
    }

    #[test]
    fn a_turn_that_is_a_little_late_is_made_up_for_and_a_long_pause_is_not() {
        let last = Instant::now();
        assert_eq!(next_tick(last, last + Duration::from_millis(2)), last + TICK);
        assert_eq!(next_tick(last, last + Duration::from_millis(12)), last + TICK);
        assert_eq!(next_tick(last, last + Duration::from_secs(3)), last + Duration::from_secs(3));
    }
}
