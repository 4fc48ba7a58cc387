//! HTTP's part of the thread it shares with telephony: about a millisecond a turn, and at most 64 sockets. Whoever comes when that is used up waits for the
//! next turn, which begins with what goes before HTTP. So a flood of clients delays a call by no more than one turn, and itself by as many as it takes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::yield_now;

/// What HTTP may take of a turn.
const BUDGET: Duration = Duration::from_millis(1);

/// Sockets read or flushed in a turn.
const SOCKETS: usize = 64;

/// The turns of all listeners of a thread.
pub struct Turns {
    /// What goes before HTTP.
    first: Box<dyn Fn()>,
    budget: Duration,
    sockets: usize,
    /// Used of this turn.
    used: Cell<Duration>,
    polled: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
    /// Told when somebody waits.
    wanted: Notify,
    /// Turns begun because somebody waited.
    pub(super) begun: Cell<u64>,
    /// Connections turned away.
    pub(super) refused: Cell<u64>,
}

/// One who may have to wait.
struct Ticket {
    standing: Cell<Standing>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not in the queue.
    Out,
    Queued,
    /// Its turn has come.
    Called,
}

impl Turns {
    /// `first` is done at the beginning of each turn. [`run`](Self::run) must be running.
    pub fn new(first: impl Fn() + 'static) -> Rc<Turns> {
        Turns::with(first, BUDGET, SOCKETS)
    }

    fn with(first: impl Fn() + 'static, budget: Duration, sockets: usize) -> Rc<Turns> {
        Rc::new(Turns {
            first: Box::new(first),
            budget,
            sockets,
            used: Cell::default(),
            polled: Cell::default(),
            waiting: RefCell::default(),
            wanted: Notify::new(),
            begun: Cell::default(),
            refused: Cell::default(),
        })
    }

    /// Begins a turn whenever somebody waits for one, for ever.
    pub async fn run(self: Rc<Turns>) {
        loop {
            self.wanted.notified().await;
            (self.first)();
            self.begun.set(self.begun.get() + 1);
            self.used.set(Duration::ZERO);
            self.polled.set(0);
            let called: Vec<Rc<Ticket>> = {
                let mut waiting = self.waiting.borrow_mut();
                let most = waiting.len().min(self.sockets);
                waiting.drain(..most).collect()
            };
            for ticket in called {
                ticket.standing.set(Standing::Called);
                if let Some(waker) = ticket.waker.take() {
                    waker.wake();
                }
            }
            // Those who were called, and all else that is ready, come before the next turn.
            yield_now().await;
            if !self.waiting.borrow().is_empty() {
                self.wanted.notify_one();
            }
        }
    }

    /// Connections turned away, since the start.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Turns that somebody had to wait for, since the start.
    pub fn begun(&self) -> u64 {
        self.begun.get()
    }

    fn admits(&self, ticket: &Rc<Ticket>, context: &Context<'_>) -> bool {
        let has_time = self.polled.get() < self.sockets && (self.polled.get() == 0 || self.used.get() < self.budget);
        let standing = ticket.standing.get();
        let goes = match standing {
            Standing::Out => has_time && self.waiting.borrow().is_empty(),
            Standing::Called => has_time,
            Standing::Queued => false,
        };
        if goes {
            ticket.standing.set(Standing::Out);
            self.polled.set(self.polled.get() + 1);
            return true;
        }
        *ticket.waker.borrow_mut() = Some(context.waker().clone());
        ticket.standing.set(Standing::Queued);
        match standing {
            Standing::Out => self.waiting.borrow_mut().push_back(Rc::clone(ticket)),
            Standing::Called => self.waiting.borrow_mut().push_front(Rc::clone(ticket)),
            Standing::Queued => {}
        }
        self.wanted.notify_one();
        false
    }
}

/// Where one connection, or the acceptance of new ones, does its work.
pub(super) struct Place {
    turns: Rc<Turns>,
    ticket: Rc<Ticket>,
}

impl Place {
    pub(super) fn new(turns: &Rc<Turns>) -> Place {
        let ticket = Ticket { standing: Cell::new(Standing::Out), waker: RefCell::default() };
        Place { turns: Rc::clone(turns), ticket: Rc::new(ticket) }
    }

    /// Does a piece of work, if there is time in this turn.
    pub(super) fn poll<T>(&self, context: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if !self.turns.admits(&self.ticket, context) {
            return Poll::Pending;
        }
        let begun = Instant::now();
        let outcome = work(context);
        self.turns.used.set(self.turns.used.get() + begun.elapsed());
        outcome
    }
}

/// A future that goes on only in its turn.
pub(super) struct InTurn {
    place: Place,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

impl InTurn {
    pub(super) fn new(turns: &Rc<Turns>, future: impl Future<Output = ()> + 'static) -> InTurn {
        InTurn { place: Place::new(turns), future: Box::pin(future) }
    }
}

impl Future for InTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let InTurn { place, future } = &mut *self;
        place.poll(context, |context| future.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// What each turn did of the work of so many tasks, all of them ready at once, each twice.
    fn work_of_each_turn(tasks: usize, budget: Duration, sockets: usize) -> Vec<usize> {
        let log = Rc::new(RefCell::new(vec![0]));
        let marks = Rc::clone(&log);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let turns = Turns::with(move || marks.borrow_mut().push(0), budget, sockets);
            spawn_local(Rc::clone(&turns).run());
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let log = Rc::clone(&log);
                    spawn_local(InTurn::new(&turns, async move {
                        for _ in 0..2 {
                            *log.borrow_mut().last_mut().unwrap() += 1;
                            yield_now().await;
                        }
                    }))
                })
                .collect();
            for task in all {
                task.await.unwrap();
            }
        });
        log.take()
    }

    #[test]
    fn no_more_than_64_sockets_have_their_turn_before_sip_has_its() {
        let turns = work_of_each_turn(1000, Duration::MAX, SOCKETS);
        assert_eq!(turns.iter().sum::<usize>(), 2000, "everybody's turn came");
        assert!(turns.iter().all(|work| *work <= SOCKETS), "{turns:?}");
    }

    #[test]
    fn when_the_time_is_used_up_sip_has_its_turn_after_every_socket() {
        let turns = work_of_each_turn(10, Duration::ZERO, SOCKETS);
        assert_eq!(turns.iter().sum::<usize>(), 20);
        assert!(turns.iter().all(|work| *work <= 1), "{turns:?}");
    }

    #[test]
    fn a_few_clients_wait_for_no_turn() {
        assert_eq!(work_of_each_turn(8, Duration::MAX, SOCKETS), [16]);
    }
}
