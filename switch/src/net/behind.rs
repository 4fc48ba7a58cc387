//! How far SIP is behind: since when a socket for datagrams was never found empty, and how long a round of all streams takes.
//!
//! A queue that is emptied now and then is a burst, and none of anybody's concern. One that is not grows until the kernel drops what comes, the ACK and the BYE
//! along with the INVITE. Of a stream nothing is dropped: its sender waits, and who sends without end is behind for himself alone, as each has a piece read
//! and then it is the others' turn. What all of them have to bear is how long such a round takes.
//!
//! So what begins something is turned away ([`Pressure`]), the more the longer it is, until the queue was empty once, or a round short. Who was
//! behind lately is patient no more: otherwise every round of an overload that goes on would fill the queue anew.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Sink;
use crate::node::{Input, Pressure};

/// How long an overload is remembered.
const MEMORY: Duration = Duration::from_secs(5);

/// By how much patience is less while it is.
const IMPATIENCE: u32 = 10;

/// What the node is told of all sockets together ([`Input::Pressure`]).
#[derive(Debug)]
pub struct Gauge {
    /// What is borne.
    lag: Duration,
    queues: RefCell<Vec<Rc<Queue>>>,
    rounds: Rounds,
    /// When calls were last turned away.
    overloaded: Cell<Option<Instant>>,
    told: Cell<Pressure>,
}

impl Gauge {
    /// Where SIP is behind for longer than `lag`, calls are turned away.
    pub fn new(lag: Duration) -> Rc<Gauge> {
        Rc::new(Gauge {
            lag,
            queues: RefCell::default(),
            rounds: Rounds::default(),
            overloaded: Cell::default(),
            told: Cell::default(),
        })
    }

    /// One more socket for datagrams.
    pub(super) fn queue(&self) -> Rc<Queue> {
        let queue = Rc::new(Queue::default());
        self.queues.borrow_mut().push(Rc::clone(&queue));
        queue
    }

    /// The streams.
    pub(super) fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    /// Whether the node was told of anything.
    pub(super) fn is_pressed(&self) -> bool {
        self.told.get() != Pressure::None
    }

    /// Tells the node what is new.
    pub(super) fn tell(&self, sink: &Sink) {
        let pressure = self.pressure(Instant::now());
        if self.told.replace(pressure) != pressure {
            sink(Input::Pressure(pressure));
        }
    }

    fn pressure(&self, now: Instant) -> Pressure {
        let queues = self.queues.borrow();
        let behind = queues.iter().filter_map(|queue| queue.behind(now)).chain(self.rounds.behind(now)).max();
        let Some(behind) = behind else { return Pressure::None };
        let lately = self.overloaded.get().is_some_and(|at| now.saturating_duration_since(at) < MEMORY);
        let pressure = Pressure::of(behind, if lately { self.lag / IMPATIENCE } else { self.lag });
        if pressure >= Pressure::Calls {
            self.overloaded.set(Some(now));
        }
        pressure
    }
}

/// The measure of one socket for datagrams.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Since when it has not been empty.
    since: Cell<Option<Instant>>,
}

impl Queue {
    /// It was found empty, or not.
    pub(super) fn found(&self, now: Instant, empty: bool) {
        match (empty, self.since.get()) {
            (true, _) => self.since.set(None),
            (false, None) => self.since.set(Some(now)),
            (false, Some(_)) => {}
        }
    }

    fn behind(&self, now: Instant) -> Option<Duration> {
        self.since.get().map(|since| now.saturating_duration_since(since))
    }
}

/// The measure of all streams.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The round that goes on; `None` while nothing comes on any.
    current: Cell<Option<Round>>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    /// How long the one before took.
    before: Duration,
}

impl Rounds {
    /// Every stream on which something waits has its turn from now on.
    pub(super) fn begin(&self, now: Instant) {
        let before = self.current.get().map_or(Duration::ZERO, |round| now.saturating_duration_since(round.began));
        self.current.set(Some(Round { began: now, before }));
    }

    /// Nothing came in the last one.
    pub(super) fn end(&self) {
        self.current.set(None);
    }

    /// A round may be long because the machine had something else to do. Two are not.
    fn behind(&self, now: Instant) -> Option<Duration> {
        self.current.get().map(|round| now.saturating_duration_since(round.began).min(round.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longer_the_queue_is_never_empty_the_more_is_turned_away() {
        let (gauge, start) = (Gauge::new(LAG), Instant::now());
        let (queue, _other) = (gauge.queue(), gauge.queue());
        let after = |time: u64| gauge.pressure(start + ms(time));
        queue.found(start, true);
        assert_eq!(after(1000), Pressure::None);
        queue.found(start, false);
        queue.found(start + ms(40), false);
        assert_eq!([after(49), after(50), after(99)], [Pressure::None, Pressure::Strangers, Pressure::Strangers]);
        assert_eq!(after(100), Pressure::Calls);
        queue.found(start + ms(120), true);
        assert_eq!(after(120), Pressure::None);
    }

    #[test]
    fn the_longer_a_round_of_the_streams_takes_the_more_is_turned_away() {
        let (gauge, start) = (Gauge::new(LAG), Instant::now());
        let after = |time: u64| gauge.pressure(start + ms(time));
        gauge.rounds().begin(start);
        assert_eq!(after(1000), Pressure::None, "one may be long");
        gauge.rounds().begin(start + ms(1000));
        assert_eq!([after(1049), after(1050)], [Pressure::None, Pressure::Strangers]);
        gauge.rounds().begin(start + ms(1060));
        assert_eq!(after(1500), Pressure::Strangers, "the shorter of two counts");
        gauge.rounds().begin(start + ms(1500));
        assert_eq!([after(1600), after(1700)], [Pressure::Calls, Pressure::Requests]);
        gauge.rounds().end();
        assert_eq!(after(1700), Pressure::None);
    }

    #[test]
    fn streams_that_bring_much_for_long_in_short_rounds_keep_nobody_waiting() {
        let (gauge, start) = (Gauge::new(LAG), Instant::now());
        for round in 0..1000 {
            gauge.rounds().begin(start + ms(round * 40));
            assert_eq!(gauge.pressure(start + ms(round * 40 + 39)), Pressure::None);
        }
    }

    #[test]
    fn after_an_overload_patience_is_short_for_a_while() {
        let (gauge, start) = (Gauge::new(LAG), Instant::now());
        let queue = gauge.queue();
        let after = |time: u64| gauge.pressure(start + ms(time));
        queue.found(start, false);
        assert_eq!(after(250), Pressure::Requests);
        queue.found(start + ms(260), true);
        queue.found(start + ms(300), false);
        assert_eq!([after(309), after(310)], [Pressure::Strangers, Pressure::Calls]);
        queue.found(start + ms(320), true);
        let later = start + ms(320) + MEMORY;
        queue.found(later, false);
        assert_eq!(gauge.pressure(later + ms(49)), Pressure::None);
    }
}
