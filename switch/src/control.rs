//! The control thread: I/O around a [`Node`], and nothing else.
//!
//! One thread owns every SIP socket, the HTTP listener, the control socket, all timers and the node. An input becomes a [`step`]: the node
//! handles it to its end, and what it wants done is done before the next. There is no queue, no lock and no hop between a request and the
//! INVITE it causes.
//!
//! SIP and timers go first: before a client's request is executed, the datagrams waiting in the sockets are handled and due timers fired; and HTTP as a
//! whole has a millisecond a turn ([`Turns`]). So no flood of clients delays a call. The store thread, the helper pool and the media workers answer through one bounded queue.
//!
//! [`step`]: Control::step

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cas::cas::{Reply, Request, RequestId};
use cas::http::Turns;
use cas::store::thread::StoreThread;
use media::Plane;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{spawn_local, yield_now};
use tokio::time::sleep_until;

use crate::clock;
use crate::helpers::Pool;
use crate::histogram::Histogram;
use crate::net::tcp::{Limits, Listeners, Tcp};
use crate::net::udp::Udp;
use crate::net::{Gauge, Sink};
use crate::node::{Channel, Input, Node, Output, StoreUser};

use self::operator::Tracing;
use self::over::{Over, Watch};

mod first_users;
mod io_counts;
mod media_events;
mod open_files;
mod operator;
mod over;
mod running;
mod signals;
mod start;

pub use first_users::{FirstUser, FirstUsers, SeedError, Seeded};
pub use running::{EndError, Running};
pub use signals::{Ending, Signals};
pub use start::{Ready, StartError};

/// Between two looks at what is not told of by itself.
const BEAT: Duration = Duration::from_secs(1);

/// Answers of other threads handled before the sockets get their turn.
const BATCH: usize = 64;

/// The node, and all that carries its outputs out.
pub struct Control {
    node: RefCell<Node>,
    /// Inputs that an output gave rise to on the spot.
    answers: RefCell<VecDeque<Input>>,
    /// A step with whatever a socket hears.
    sink: Sink,
    udp: Udp,
    tcp: Rc<Tcp>,
    media: RefCell<Plane>,
    store: StoreThread<(StoreUser, cas::store::RequestId)>,
    helpers: Pool,
    clients: RefCell<BTreeMap<RequestId, oneshot::Sender<Reply>>>,
    next_request: Cell<u64>,
    /// SIP and timers, then HTTP.
    http_turns: Rc<Turns>,
    alarm: Alarm,
    times: Cell<Times>,
    /// When the client's request that is being executed came.
    asked: Cell<Option<Instant>>,
    /// The trace that is being written, and the last one.
    tracing: RefCell<Tracing>,
    over: Arc<Over>,
}

/// What the start made, to be brought together here.
struct Parts {
    node: Node,
    /// How far the sockets are behind.
    gauge: Rc<Gauge>,
    udp: Udp,
    tcp: Listeners,
    tcp_limits: Limits,
    media: Plane,
    store: StoreThread<(StoreUser, cas::store::RequestId)>,
    helpers: Pool,
    /// The data folder.
    folder: PathBuf,
    over: Arc<Over>,
}

/// What other threads tell the control thread.
struct Told {
    /// Of the store and the helpers.
    answers: mpsc::Receiver<Input>,
    /// Of the media plane.
    events: mpsc::Receiver<media::Event>,
    /// Sounds that have been made.
    sounds: mpsc::UnboundedReceiver<(media::SoundId, Arc<media::Sound>)>,
}

/// How long things took, as only the control thread can tell.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// From when something was due to when it was done.
    lag: Histogram,
    /// From a client's make-call to the INVITE it caused.
    make_call: Histogram,
}

/// When the node wants to be told that time passed.
struct Alarm {
    /// Wakes are whole ticks after this.
    start: Instant,
    at: Cell<Option<Instant>>,
    /// Told when it is earlier than it was.
    earlier: Notify,
}

/// A timer fires within so long after it is due. No timer of SIP is finer, and a call leaves a handful that end it half a minute later: a wake for each
/// would cost more than what it does.
const WAKE: Duration = Duration::from_millis(10);

impl Alarm {
    fn new() -> Alarm {
        Alarm { start: Instant::now(), at: Cell::default(), earlier: Notify::new() }
    }

    /// When to wake for what is due at this instant.
    fn wake(&self, at: Instant) -> Instant {
        let ticks = at.saturating_duration_since(self.start).as_nanos().div_ceil(WAKE.as_nanos());
        self.start + WAKE * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn set(&self, at: Option<Instant>) {
        let before = self.at.replace(at);
        if at.is_some_and(|at| before.is_none_or(|before| at < before)) {
            self.earlier.notify_one();
        }
    }

    fn due(&self) -> bool {
        self.at.get().is_some_and(|at| at <= Instant::now())
    }
}

impl Control {
    fn new(parts: Parts) -> Rc<Control> {
        let Parts { node, gauge, udp, tcp, tcp_limits, media, store, helpers, folder, over } = parts;
        Rc::new_cyclic(|control| {
            let sink = sink(control.clone());
            let first = control.clone();
            let http_turns = Turns::new(move || {
                if let Some(control) = first.upgrade() {
                    control.sip_first();
                }
            });
            let node_of = control.clone();
            let knows: Rc<dyn Fn(IpAddr) -> bool> = Rc::new(move |address| {
                node_of.upgrade().is_some_and(|control| control.node.borrow().engine().knows(address))
            });
            Control {
                node: RefCell::new(node),
                answers: RefCell::default(),
                udp,
                tcp: Rc::new(Tcp::new(tcp, tcp_limits, Rc::clone(&sink), gauge, knows)),
                sink,
                media: RefCell::new(media),
                store,
                helpers,
                clients: RefCell::default(),
                next_request: Cell::new(1),
                http_turns,
                alarm: Alarm::new(),
                times: Cell::default(),
                asked: Cell::default(),
                tracing: RefCell::new(Tracing::new(folder)),
                over,
            }
        })
    }

    /// Hands the node an input and does what it wants done.
    pub fn step(&self, input: Input) {
        if self.over.is_broken() {
            return;
        }
        let _watch = Watch(Arc::clone(&self.over));
        let _gathering = self.udp.gather();
        let mut node = self.node.borrow_mut();
        let mut next = Some(input);
        while let Some(input) = next {
            node.handle(clock::now(), input);
            while let Some(output) = node.poll_output() {
                self.carry_out(output);
            }
            next = self.answers.borrow_mut().pop_front();
        }
        self.alarm.set(node.next_timeout());
    }

    fn carry_out(&self, output: Output) {
        match output {
            Output::Send(flow, bytes) => {
                let asked = self.asked.take().filter(|_| bytes.starts_with(b"INVITE "));
                match flow.channel {
                    Channel::Udp => self.udp.send(flow, bytes),
                    Channel::Tcp(id) => self.tcp.send(id, bytes),
                }
                if let Some(asked) = asked {
                    self.udp.flush();
                    self.time(|times| times.make_call.add(asked.elapsed()));
                }
            }
            Output::Connect(id, peer) => self.tcp.connect(id, peer),
            Output::Close(id) => self.tcp.close(id),
            Output::Resolve(peer) => self.answer(Input::Resolved(peer, self.udp.local_for(peer))),
            Output::Media(worker, command) => self.media.borrow_mut().command(worker, command),
            Output::Store(user, id, request) => {
                if let Err(((user, id), error)) = self.store.submit((user, id), request) {
                    self.answer(Input::Stored(user, id, Err(error)));
                }
            }
            Output::Help(job) => self.helpers.submit(job),
            Output::Reply(id, reply) => {
                // A client that has gone meanwhile is told nothing.
                if let Some(client) = self.clients.borrow_mut().remove(&id) {
                    let _ = client.send(reply);
                }
            }
            Output::Traced(seen) => self.tracing.borrow().see(seen),
            Output::Stopped => self.over.tell(),
        }
    }

    fn time(&self, add: impl FnOnce(&mut Times)) {
        let mut times = self.times.get();
        add(&mut times);
        self.times.set(times);
    }

    fn answer(&self, input: Input) {
        self.answers.borrow_mut().push_back(input);
    }

    /// Executes a client's request, after the SIP and the timers that wait. The future is the reply; dropped, it tells the node that the
    /// client has gone.
    pub fn ask(self: &Rc<Control>, request: Request) -> Asked {
        let came = Instant::now();
        self.sip_first();
        let id = RequestId(self.next_request.get());
        self.next_request.set(id.0 + 1);
        let (client, reply) = oneshot::channel();
        self.clients.borrow_mut().insert(id, client);
        self.asked.set(Some(came));
        self.step(Input::Request(id, request));
        self.asked.set(None);
        Asked { control: Rc::clone(self), id, reply }
    }

    fn sip_first(&self) {
        self.udp.drain(&self.sink);
        if self.alarm.due() {
            self.step(Input::Timeout);
        }
    }

    /// Does what the node wants from its first moment on, and starts a task for each socket and one for the timers. Must run in a
    /// `LocalSet`.
    fn begin(self: &Rc<Control>, told: Told) {
        self.step(Input::Timeout);
        for index in 0..self.udp.addresses().len() {
            let control = Rc::clone(self);
            spawn_local(async move { control.udp.serve(index, &control.sink).await });
        }
        for index in 0..self.tcp.listeners() {
            spawn_local(Rc::clone(&self.tcp).serve(index));
        }
        spawn_local(Rc::clone(&self.tcp).measure());
        spawn_local(Rc::clone(self).keep_time());
        spawn_local(Rc::clone(self).beat());
        spawn_local(Rc::clone(&self.http_turns).run());
        spawn_local(Rc::clone(self).hear(told.answers, |input| input));
        spawn_local(Rc::clone(self).hear(told.events, Input::Media));
        spawn_local(Rc::clone(self).learn(told.sounds));
    }

    /// Passes on the sounds that are made after the start.
    async fn learn(self: Rc<Control>, mut sounds: mpsc::UnboundedReceiver<(media::SoundId, Arc<media::Sound>)>) {
        while let Some((sound, is)) = sounds.recv().await {
            self.media.borrow_mut().learn(sound, &is);
        }
    }

    async fn keep_time(self: Rc<Control>) {
        loop {
            let earlier = self.alarm.earlier.notified();
            match self.alarm.at.get() {
                None => earlier.await,
                Some(at) => tokio::select! {
                    () = sleep_until(self.alarm.wake(at).into()) => {}
                    () = earlier => {}
                },
            }
            if self.alarm.due() {
                let due = self.alarm.at.get().unwrap_or_else(Instant::now);
                self.time(|times| times.lag.add(due.elapsed()));
                self.step(Input::Timeout);
            }
        }
    }

    /// What wants to be looked at once in a while.
    async fn beat(self: Rc<Control>) {
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due.into()).await;
            self.time(|times| times.lag.add(due.elapsed()));
            operator::stop_if_over(&self).await;
        }
    }

    /// Hands on what another thread tells, a batch at a time, until it has ended.
    async fn hear<T>(self: Rc<Control>, mut told: mpsc::Receiver<T>, to_input: fn(T) -> Input) {
        let mut batch = Vec::with_capacity(BATCH);
        while told.recv_many(&mut batch, BATCH).await > 0 {
            let gathering = self.udp.gather();
            for told in batch.drain(..) {
                self.step(to_input(told));
            }
            drop(gathering);
            // As long as there is more, the next batch would be there at once.
            yield_now().await;
        }
    }
}

fn sink(control: Weak<Control>) -> Sink {
    Rc::new(move |input| {
        if let Some(control) = control.upgrade() {
            control.step(input);
        }
    })
}

/// A request under way.
pub struct Asked {
    control: Rc<Control>,
    id: RequestId,
    reply: oneshot::Receiver<Reply>,
}

impl Future for Asked {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let reply = Pin::new(&mut self.reply).poll(context);
        reply.map(|reply| reply.expect("a request is forgotten only by its reply or by the drop of this"))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.control.clients.borrow_mut().remove(&self.id).is_some() {
            self.control.step(Input::RequestGone(self.id));
        }
    }
}

#[cfg(test)]
mod tests;
