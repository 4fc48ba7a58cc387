//! Two threads (and a third), legs that are joined while they sit apart, and everything that can be told meanwhile.
//!
//! The legs are real: a worker gives them away and takes them back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use media::net::{Channel, Net};
use media::{Event, PayloadMap, Port, Worker};

use super::*;

/// Nothing comes, and what is sent is gone.
struct Quiet;

impl Net for Quiet {
    fn receive(&mut self, _: Port, _: Channel, _: &mut [u8]) -> Option<(usize, SocketAddr)> {
        None
    }

    fn send(&mut self, _: Port, _: Channel, _: SocketAddr, _: &[u8]) -> bool {
        true
    }
}

/// Seats and the threads they speak of. What was told is written down; events wait until they are heard.
struct Threads {
    seats: Seats,
    workers: BTreeMap<WorkerId, Worker>,
    events: Vec<Event>,
    told: Vec<String>,
}

impl Threads {
    fn new() -> Threads {
        let worker = |number| (WorkerId(number), Worker::new(Instant::now(), SystemTime::UNIX_EPOCH));
        Threads { seats: Seats::default(), workers: (0..3).map(worker).collect(), events: Vec::new(), told: Vec::new() }
    }

    fn tell(&mut self, told: Told) {
        for (worker, command) in told {
            self.told.push(format!("{} {}", worker.0, short(&command)));
            self.workers.get_mut(&worker).unwrap().command(Instant::now(), command);
        }
        for worker in self.workers.values_mut() {
            worker.turn(Instant::now(), &mut Quiet, &mut |event| self.events.push(event));
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Seats) -> Told) {
        let told = act(&mut self.seats);
        self.tell(told);
    }

    /// Opens a leg on a thread.
    fn open(&mut self, leg: u64, worker: u8) -> LegId {
        let place = Place { worker: WorkerId(worker), port: Port(20_000 + 2 * leg as u16) };
        self.act(|seats| seats.open(LegId(leg), place, StreamStart { ssrc: 1, sequence: 1, timestamp: 1 }));
        LegId(leg)
    }

    /// Hears what the threads have told so far, and what they tell of that, to the end.
    fn hear(&mut self) {
        while !self.events.is_empty() {
            match self.events.remove(0) {
                Event::Detached(leg) => self.act(|seats| seats.detached(leg)),
                Event::Closed { leg, .. } => {
                    self.told.push(format!("closed {}", leg.0));
                    self.seats.closed(leg);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// What was told since the last look.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

fn short(command: &Command) -> String {
    match command {
        Command::Open { leg, .. } => format!("open {}", leg.0),
        Command::Update { leg, .. } => format!("update {}", leg.0),
        Command::Bridge { a, b } => format!("bridge {} {}", a.0, b.0),
        Command::Echo(leg) => format!("echo {}", leg.0),
        Command::Part(leg) => format!("part {}", leg.0),
        Command::Learn { .. } => "learn".to_owned(),
        Command::Play { leg, sound, .. } => format!("play {} {}", leg.0, sound.0),
        Command::Hush(leg) => format!("hush {}", leg.0),
        Command::SendDigits { leg, digits } => format!("digits {} {digits:?}", leg.0),
        Command::Detach(leg) => format!("detach {}", leg.0),
        Command::Attach(leg) => format!("attach {}", leg.id().0),
        Command::Count(leg) => format!("count {}", leg.0),
        Command::Close(leg) => format!("close {}", leg.0),
    }
}

fn stream(send: bool) -> Stream {
    let none = PayloadMap::default;
    Stream { remote: None, remote_rtcp: None, send, receive: true, incoming: none(), outgoing: none() }
}

#[test]
fn two_on_one_thread_are_joined_at_once() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 0));
    threads.told();
    threads.act(|seats| seats.join(a, b));
    assert_eq!(threads.told(), ["0 bridge 1 2"]);
    assert!(threads.seats.are_joined(a, b) && !threads.seats.is_moving(b));
}

#[test]
fn two_that_sit_apart_are_brought_together_first() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 1));
    threads.told();
    threads.act(|seats| seats.join(a, b));
    assert!(threads.seats.is_moving(b) && threads.seats.are_joined(a, b));
    assert_eq!(threads.told(), ["1 detach 2"]);
    threads.hear();
    assert_eq!(threads.told(), ["0 attach 2", "0 bridge 2 1"]);
    assert_eq!((threads.seats.thread(b), threads.seats.is_moving(b)), (Some(WorkerId(0)), false));
    assert_eq!(threads.workers.values().map(Worker::legs).collect::<Vec<_>>(), [2, 0, 0]);
}

#[test]
fn what_a_leg_is_told_on_its_way_waits_for_its_arrival() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 1));
    threads.act(|seats| seats.join(a, b));
    threads.told();
    threads.act(|seats| seats.update(b, stream(true)));
    threads.act(|seats| seats.send_digits(b, vec![1; 40]));
    threads.act(|seats| seats.update(b, stream(false)));
    threads.act(|seats| seats.play(b, Some((SoundId(3), Repeat::Always))));
    threads.act(|seats| seats.play(b, Some((SoundId(7), Repeat::Together))));
    threads.act(|seats| seats.send_digits(b, vec![2; 40]));
    assert_eq!(threads.told(), Vec::<String>::new());
    threads.hear();
    let digits = [[1; 40].as_slice(), &[2; 24]].concat();
    assert_eq!(
        threads.told(),
        ["0 attach 2", "0 update 2", "0 play 2 7", &format!("0 digits 2 {digits:?}"), "0 bridge 2 1"]
    );
}

#[test]
fn a_leg_closed_on_its_way_is_closed_once_where_it_arrives() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 1));
    threads.act(|seats| seats.join(a, b));
    threads.told();
    threads.act(|seats| seats.close(b));
    threads.act(|seats| seats.close(a));
    threads.hear();
    let mut told = threads.told();
    told.sort();
    assert_eq!(told, ["0 attach 2", "0 close 1", "0 close 2", "closed 1", "closed 2"]);
    assert_eq!(threads.seats.legs().count(), 0);
    assert_eq!(threads.workers.values().map(Worker::legs).sum::<usize>(), 0);
}

#[test]
fn the_last_join_counts_though_another_was_under_way() {
    let mut threads = Threads::new();
    let (a, b, c) = (threads.open(1, 0), threads.open(2, 1), threads.open(3, 2));
    threads.act(|seats| seats.join(a, b));
    // The second is out, and is now wanted elsewhere: it goes there at once.
    threads.act(|seats| seats.join(c, b));
    threads.told();
    threads.hear();
    assert_eq!(threads.told(), ["2 attach 2", "2 bridge 2 3"]);
    assert!(threads.seats.are_joined(b, c) && !threads.seats.are_joined(a, b));
}

#[test]
fn a_join_that_is_no_longer_wanted_does_not_take_anybody_away() {
    let mut threads = Threads::new();
    let (a, b, c) = (threads.open(1, 0), threads.open(2, 1), threads.open(3, 0));
    threads.act(|seats| seats.join(a, b));
    threads.act(|seats| seats.join(a, c));
    threads.told();
    threads.hear();
    assert_eq!(threads.told(), ["0 attach 2"]);
    assert!(threads.seats.are_joined(a, c));
}

#[test]
fn one_on_its_way_goes_to_the_one_it_is_to_hear() {
    for (first_moves, other) in [(true, 2), (false, 2), (true, 0), (false, 0)] {
        let mut threads = Threads::new();
        let (a, b, c) = (threads.open(1, 0), threads.open(2, 1), threads.open(3, other));
        threads.act(|seats| seats.join(a, b));
        threads.act(|seats| if first_moves { seats.join(b, c) } else { seats.join(c, b) });
        threads.hear();
        assert_eq!(threads.seats.thread(b), threads.seats.thread(c));
        assert!(threads.seats.are_joined(b, c));
        assert_eq!(threads.told().iter().filter(|told| told.contains("bridge")).count(), 1);
    }
}

#[test]
fn whoever_is_left_is_parted_at_once_and_two_that_are_joined_again_are_not() {
    let mut threads = Threads::new();
    let (a, b, c) = (threads.open(1, 0), threads.open(2, 0), threads.open(3, 1));
    threads.act(|seats| seats.join(a, b));
    threads.told();
    threads.act(|seats| seats.join(a, b));
    assert_eq!(threads.told(), ["0 bridge 1 2"]);
    threads.act(|seats| seats.join(a, c));
    assert_eq!(threads.told(), ["0 part 1", "1 detach 3"]);
    assert_eq!((threads.seats.peer(b), threads.seats.peer(a)), (None, Some(c)));
    threads.hear();
    threads.told();
    threads.act(|seats| seats.part(c));
    assert_eq!(threads.told(), ["0 part 3"]);
    threads.act(|seats| seats.part(c));
    assert_eq!(threads.told(), Vec::<String>::new());
}

#[test]
fn a_sound_is_told_once_and_its_end_too() {
    let mut threads = Threads::new();
    let a = threads.open(1, 0);
    threads.told();
    let music = Some((SoundId(7), Repeat::Together));
    for sound in [music, music, None, None] {
        threads.act(|seats| seats.play(a, sound));
    }
    assert_eq!(threads.told(), ["0 play 1 7", "0 hush 1"]);
}

#[test]
fn an_echo_waits_for_the_arrival_too() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 1));
    threads.act(|seats| seats.join(a, b));
    threads.act(|seats| seats.echo(b));
    threads.told();
    threads.hear();
    assert_eq!(threads.told(), ["0 attach 2", "0 echo 2"]);
    assert!(!threads.seats.are_joined(a, b));
}

#[test]
fn nothing_is_told_of_legs_that_are_not_there() {
    let mut threads = Threads::new();
    let a = threads.open(1, 0);
    threads.told();
    let nobody = LegId(9);
    threads.act(|seats| seats.join(a, nobody));
    threads.act(|seats| seats.join(a, a));
    threads.act(|seats| seats.update(nobody, stream(true)));
    threads.act(|seats| seats.send_digits(nobody, vec![1]));
    threads.act(|seats| seats.echo(nobody));
    threads.act(|seats| seats.part(nobody));
    threads.act(|seats| seats.play(nobody, Some((SoundId(1), Repeat::Always))));
    threads.act(|seats| seats.close(nobody));
    assert_eq!(threads.told(), Vec::<String>::new());
}

#[test]
fn a_leg_that_is_parted_hears_nobody_though_it_was_on_its_way_to_another() {
    let mut threads = Threads::new();
    let (a, b) = (threads.open(1, 0), threads.open(2, 0));
    threads.act(|seats| seats.join(a, b));
    threads.told();
    threads.act(|seats| seats.part(b));
    assert_eq!(threads.told(), ["0 part 2"]);
    assert!(!threads.seats.are_joined(a, b));
    let c = threads.open(3, 1);
    threads.act(|seats| seats.join(a, c));
    threads.act(|seats| seats.part(c));
    threads.told();
    threads.hear();
    assert_eq!(threads.told(), ["0 attach 3"], "it arrives, and is joined to nobody");
}
