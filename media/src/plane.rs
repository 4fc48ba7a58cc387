//! The media thread and the handle to it: commands in, events out.

use std::io;
use std::ops::RangeInclusive;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::command::{Command, Event, Port};
use crate::net::Sweep;
use crate::worker::Worker;

/// Between two turns.
const TICK: Duration = Duration::from_millis(5);
/// Later than this, what was missed is not made up for.
const LATE: Duration = Duration::from_millis(50);
/// Commands that may wait for the next turn: what thousands of calls a second ask in half a second.
const QUEUE: usize = 16 * 1024;
/// Any of the real-time priorities preempts everything ordinary; the kernel's own threads may be above.
const PRIORITY: u8 = 10;

/// A media thread that runs. Dropping it ends all its legs, each with its BYE and its [`Event::Closed`], and the thread.
#[derive(Debug)]
pub struct Plane {
    ports: Vec<Port>,
    taken: usize,
    descriptors_left: u64,
    /// `None` only while the plane is dropped: the thread ends when its queue has lost its producer.
    commands: Option<Producer<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    /// Binds the ports of a range and starts the thread. `events` is called on it, and must not wait.
    pub fn start(ports: &RangeInclusive<u16>, events: impl FnMut(Event) + Send + 'static) -> io::Result<Plane> {
        let net = Sweep::bind(ports)?;
        let (ports, taken, descriptors_left) = (net.ports().collect(), net.taken(), net.descriptors_left());
        let (producer, consumer) = RingBuffer::new(QUEUE);
        let thread = thread::Builder::new().name("media".into()).spawn(move || run(net, consumer, events))?;
        Ok(Plane { ports, taken, descriptors_left, commands: Some(producer), thread: Some(thread) })
    }

    /// The ports bound.
    pub fn ports(&self) -> &[Port] {
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

    /// Gives a command, done within a tick. Commands are done in the order given, and none is ever dropped: if thousands wait because
    /// the thread is held up, this waits for room.
    pub fn command(&mut self, command: Command) {
        let (Some(commands), Some(thread)) = (&mut self.commands, &self.thread) else { return };
        let mut rest = command;
        while let Err(PushError::Full(command)) = commands.push(rest) {
            if commands.is_abandoned() {
                tracing::error!("the media thread has ended; a command is lost");
                return;
            }
            rest = command;
            thread::sleep(Duration::from_millis(1));
        }
        // Costs an atomic swap unless the thread is parked.
        thread.thread().unpark();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the media thread panicked");
            }
        }
    }
}

fn run(mut net: Sweep, mut commands: Consumer<Command>, mut events: impl FnMut(Event)) {
    // Not permitted to everybody, and not needed on a machine that is not busy.
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = PRIORITY.try_into().map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
    let real_time = set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok();
    tracing::debug!(real_time, "media thread started");
    let mut next = Instant::now();
    let mut worker = Worker::new(next, SystemTime::now());
    loop {
        // Asked before the queue is emptied, so that the last commands are not missed.
        let ending = commands.is_abandoned();
        let now = Instant::now();
        while let Ok(command) = commands.pop() {
            worker.command(now, command);
        }
        if ending {
            worker.close_all();
        }
        worker.turn(now, &mut net, &mut events);
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

    /// A plane on ports that were free.
    fn plane() -> (Plane, Receiver<Event>) {
        (0..200u16)
            .map(|n| 41_000 + (std::process::id() as u16 % 89) * 200 + n * 4)
            .find_map(|port| {
                let (sender, events) = mpsc::channel();
                let plane = Plane::start(&(port..=port + 3), move |event| sender.send(event).unwrap_or(())).ok()?;
                (plane.taken() == 0).then_some((plane, events))
            })
            .expect("some ports are free")
    }

    fn open(plane: &mut Plane, leg: u64, port: Port, remote: SocketAddr) {
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
        plane.command(Command::Open { leg: LegId(leg), port, start });
        plane.command(Command::Update { leg: LegId(leg), stream });
    }

    #[test]
    fn two_phones_hear_each_other_over_real_sockets() {
        let (mut plane, events) = plane();
        let phones = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = [plane.ports()[0], plane.ports()[1]];
        for (leg, phone) in phones.iter().enumerate() {
            phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            open(&mut plane, leg as u64, ports[leg], phone.local_addr().unwrap());
        }
        plane.command(Command::Bridge { a: LegId(0), b: LegId(1) });
        // What comes before the first turn is thrown away: send until something is heard.
        let mut heard = [0; 64];
        for (from, to) in [(0, 1), (1, 0)] {
            phones[to].set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let length = (0..250u8)
                .find_map(|n| {
                    let packet = [0x80, 0, 0, n, 0, 0, 0, n, 9, 9, 9, 9, 42];
                    phones[from].send_to(&packet, ("127.0.0.1", ports[from].0)).unwrap();
                    phones[to].recv(&mut heard).ok()
                })
                .expect("a packet arrives");
            assert_eq!((length, heard[12], heard[11]), (13, 42, to as u8));
        }
        drop(plane);
        let closed: Vec<_> = events.try_iter().collect();
        assert!(matches!(closed[..], [Event::Closed { .. }, Event::Closed { .. }]), "{closed:?}");
    }

    #[test]
    fn a_thread_without_legs_wakes_for_a_command() {
        let (mut plane, events) = plane();
        let port = plane.ports()[0];
        for leg in 0..3 {
            open(&mut plane, leg, port, SocketAddr::from(([127, 0, 0, 1], 9)));
            plane.command(Command::Close(LegId(leg)));
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
