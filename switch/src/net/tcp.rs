//! SIP over TCP: listeners, connections, and the bounded queue of bytes each one may owe its peer.
//!
//! The node hears of each connection exactly twice, [`Input::FlowOpened`] (unless it could not be opened) and [`Input::FlowClosed`], and
//! in between of its bytes in their order. Reading a connection waits while the node is at work, so a fast peer is slowed by TCP itself.
//! What the bytes are, and whether a connection says anything sensible, the node decides.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::attempts::network;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::stream::{Stream, hear_out};
use super::{BindError, Gauge, Sink, bind_all, count};
use crate::engine::sources::for_strangers;
use crate::node::{Channel, Flow, Input, StreamId};

mod stream;
#[cfg(test)]
mod tests;

/// How much each peer, and all together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all; one more is closed as soon as it is accepted. Of the last quarter strangers get none.
    pub connections: usize,
    /// Accepted connections of one address, or of one IPv6 network, that is a stranger: many phones may sit behind one NAT.
    pub per_source: usize,
    /// Bytes waiting for one peer; one more closes its connection.
    pub queue: usize,
    /// An accepted connection to which the node has sent nothing for so long is closed: nothing whole can have come on it.
    pub patience: Duration,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// How long a closing connection may take to deliver what it owes.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 8192,
            per_source: 512,
            queue: 1 << 20,
            patience: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            linger: Duration::from_secs(5),
        }
    }
}

/// A peer that acknowledges nothing for so long is gone, whether data or keep-alives went to it: timer B (RFC 3261 §17.1.1.2).
const UNACKNOWLEDGED: Duration = Duration::from_secs(32);

/// When nothing was said, the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long the peer of a closed connection may take to close too.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is read of one connection before the others have their turn: some dozen messages.
const PIECE: usize = 8 << 10;

/// Connections the kernel completes while the control thread is busy.
const BACKLOG: i32 = 1024;

/// The SIP listeners and connections.
pub struct Tcp {
    listeners: Vec<TcpListener>,
    limits: Limits,
    sink: Sink,
    streams: RefCell<BTreeMap<StreamId, Rc<Stream>>>,
    slots: Rc<Slots>,
    /// Whether a phone is registered from an address, or a gateway there: more than a stranger.
    knows: Rc<dyn Fn(IpAddr) -> bool>,
    next_accepted: Cell<u64>,
    /// From the switch's end on: none is accepted or opened any more.
    finishing: Cell<bool>,
    /// Told whenever a connection has ended for good.
    ended: Notify,
    /// Shared by all connections: an idle one keeps no buffer.
    buffer: RefCell<Vec<u8>>,
    gauge: Rc<Gauge>,
    /// Whether something has come since the round began.
    came: Cell<bool>,
    /// Told when something comes after a round in which nothing did.
    busy: Notify,
    counts: Counts,
}

/// What was refused or cut, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections closed at once: a limit was reached.
    pub refused: Cell<u64>,
    /// Connections cut because their peer did not take what was sent.
    pub overflowed: Cell<u64>,
    /// Messages for connections that were gone.
    pub unsent: Cell<u64>,
}

/// Connections now, in all and of each source.
#[derive(Default)]
struct Slots {
    all: Cell<usize>,
    accepted: RefCell<BTreeMap<IpAddr, usize>>,
}

/// The place one connection takes; given back when dropped.
struct Slot {
    slots: Rc<Slots>,
    /// Only accepted connections count for their source.
    source: Option<IpAddr>,
}

impl Slots {
    fn take(
        self: &Rc<Slots>,
        limits: &Limits,
        source: Option<IpAddr>,
        is_known: impl FnOnce() -> bool,
    ) -> Option<Slot> {
        if self.all.get() >= limits.connections {
            return None;
        }
        if let Some(source) = source {
            let mut accepted = self.accepted.borrow_mut();
            let taken = accepted.get(&source).copied().unwrap_or_default();
            let has_its_part = taken >= limits.per_source || self.all.get() >= for_strangers(limits.connections);
            if has_its_part && !is_known() {
                return None;
            }
            accepted.insert(source, taken + 1);
        }
        self.all.set(self.all.get() + 1);
        Some(Slot { slots: Rc::clone(self), source })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.all.set(self.slots.all.get() - 1);
        if let Some(source) = self.source {
            let mut accepted = self.slots.accepted.borrow_mut();
            if let Some(taken) = accepted.get_mut(&source) {
                *taken -= 1;
                if *taken == 0 {
                    accepted.remove(&source);
                }
            }
        }
    }
}

/// Listeners without connections yet: bound before there is anything to tell of them.
pub struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Binds every address. Must be called within the control thread's runtime.
    ///
    /// # Errors
    /// An address cannot be bound; those bound so far are given back.
    pub fn bind(setting: &'static str, addresses: &[SocketAddr]) -> Result<Listeners, BindError> {
        bind_all(setting, addresses, listen).map(Listeners)
    }

    /// The addresses bound, with the ports the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The listeners themselves, for another protocol than SIP.
    pub fn into_inner(self) -> Vec<TcpListener> {
        self.0
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // For TCP this only lets a restarted switch listen while connections of its predecessor are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Tcp {
    /// No connections yet; `sink` hears of each that comes, and by `gauge` of how long their bytes wait. Must be called within the control thread's runtime.
    pub fn new(
        listeners: Listeners,
        limits: Limits,
        sink: Sink,
        gauge: Rc<Gauge>,
        knows: Rc<dyn Fn(IpAddr) -> bool>,
    ) -> Tcp {
        Tcp {
            listeners: listeners.0,
            limits,
            sink,
            streams: RefCell::default(),
            slots: Rc::default(),
            knows,
            next_accepted: Cell::new(1),
            finishing: Cell::new(false),
            ended: Notify::new(),
            buffer: RefCell::new(vec![0; PIECE]),
            gauge,
            came: Cell::new(false),
            busy: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// How many listeners there are.
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// What was refused or cut so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Accepts at listener `index`, for ever. Must run in a `LocalSet`, where each connection becomes a task.
    pub async fn serve(self: Rc<Tcp>, index: usize) {
        loop {
            match self.listeners[index].accept().await {
                Ok((socket, peer)) => self.accepted(socket, peer),
                Err(error) => {
                    // Out of file descriptors, as a rule: others must close first. Trying at once would only burn the thread.
                    warn!(%error, "a TCP connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Measures how long a round of the connections takes, for ever.
    pub async fn measure(self: Rc<Tcp>) {
        let rounds = self.gauge.rounds();
        loop {
            self.busy.notified().await;
            while self.came.replace(false) {
                self.gauge.tell(&self.sink);
                rounds.begin(Instant::now());
                // Of those that have yielded, who came last is woken first: after two turns of ours each of the others has had one.
                for _ in 0..2 {
                    yield_now().await;
                }
            }
            rounds.end();
            if self.gauge.is_pressed() {
                self.gauge.tell(&self.sink);
            }
        }
    }

    fn accepted(self: &Rc<Tcp>, socket: TcpStream, peer: SocketAddr) {
        let Some(slot) = self.take(Some(peer.ip())) else { return };
        let id = StreamId(self.next_accepted.get());
        self.next_accepted.set(id.0 + 2);
        let stream = self.enter(id);
        let patience = Some(self.limits.patience);
        let tcp = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tcp.run(id, &stream, socket, peer, patience).await;
            tcp.leave(slot);
        });
    }

    /// Opens a connection. What is sent on it meanwhile waits.
    pub fn connect(self: &Rc<Tcp>, id: StreamId, peer: SocketAddr) {
        let slot = self.take(None);
        let stream = self.enter(id);
        let tcp = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let Some(slot) = slot else {
                tcp.forget(id);
                return;
            };
            let opened = timeout(tcp.limits.connect, TcpStream::connect(peer)).await;
            match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(socket) => tcp.run(id, &stream, socket, peer, None).await,
                Err(error) => {
                    debug!(%error, "a TCP connection could not be opened");
                    tcp.forget(id);
                }
            }
            tcp.leave(slot);
        });
    }

    /// Sends on a connection, at once where the kernel takes it.
    pub fn send(&self, id: StreamId, bytes: Bytes) {
        let Some(stream) = self.stream(id) else {
            count(&self.counts.unsent);
            return;
        };
        if !stream.send(bytes, self.limits.queue) {
            count(&self.counts.overflowed);
        }
    }

    /// Closes a connection once what was sent is out.
    pub fn close(&self, id: StreamId) {
        if let Some(stream) = self.stream(id) {
            stream.close();
        }
    }

    /// Closes all connections and waits until each has delivered what it owes, or had its time. Phones connect again at once: from now
    /// on each is refused.
    pub async fn finish(&self) {
        self.finishing.set(true);
        for stream in self.streams.borrow().values() {
            stream.close();
        }
        let all_ended = async {
            while self.slots.all.get() > 0 {
                self.ended.notified().await;
            }
        };
        if timeout(self.limits.linger + FAREWELL, all_ended).await.is_err() {
            debug!(open = self.slots.all.get(), "SIP connections were cut off at the end");
        }
    }

    /// A place for one more connection, if there is any.
    fn take(&self, from: Option<IpAddr>) -> Option<Slot> {
        if self.finishing.get() {
            return None;
        }
        let is_known = || from.is_some_and(|address| (self.knows)(address));
        let slot = self.slots.take(&self.limits, from.map(network), is_known);
        if slot.is_none() {
            count(&self.counts.refused);
        }
        slot
    }

    fn stream(&self, id: StreamId) -> Option<Rc<Stream>> {
        self.streams.borrow().get(&id).cloned()
    }

    fn enter(&self, id: StreamId) -> Rc<Stream> {
        let stream = Rc::new(Stream::default());
        self.streams.borrow_mut().insert(id, Rc::clone(&stream));
        stream
    }

    /// The node hears that the connection ended: the only place that tells.
    fn forget(&self, id: StreamId) {
        self.streams.borrow_mut().remove(&id);
        (self.sink)(Input::FlowClosed(id));
    }

    fn leave(&self, slot: Slot) {
        drop(slot);
        self.ended.notify_one();
    }

    /// The life of an open connection.
    async fn run(
        &self,
        id: StreamId,
        stream: &Stream,
        socket: TcpStream,
        peer: SocketAddr,
        patience: Option<Duration>,
    ) {
        let socket = Rc::new(socket);
        let local = match prepare(&socket) {
            Ok(local) => local,
            Err(error) => {
                debug!(%error, "a TCP connection ended as it began");
                return self.forget(id);
            }
        };
        stream.open(Rc::clone(&socket));
        (self.sink)(Input::FlowOpened(Flow { channel: Channel::Tcp(id), local, peer }));
        if let Err(error) = self.talk(id, stream, &socket, patience).await {
            debug!(%error, stream = id.0, "a TCP connection broke");
            stream.cut();
        }
        stream.end();
        self.forget(id);
        // The node is done with it. The peer is still owed what was sent before; a broken connection owes nothing.
        if let Ok(Ok(())) = timeout(self.limits.linger, stream.deliver(&socket)).await {
            let _ = timeout(FAREWELL, hear_out(&socket)).await;
        }
    }

    /// Carries bytes both ways until one side has had enough, or nothing was answered in all the time there was: bytes alone show no phone,
    /// and must not keep a place from those who speak SIP.
    async fn talk(
        &self,
        id: StreamId,
        stream: &Stream,
        socket: &TcpStream,
        patience: Option<Duration>,
    ) -> io::Result<()> {
        let unanswered = async {
            match patience {
                Some(patience) => sleep(patience).await,
                None => pending().await,
            }
            if stream.was_sent() {
                pending().await
            }
        };
        let mut unanswered = pin!(unanswered);
        while stream.is_open() {
            tokio::select! {
                biased;
                () = stream.changed() => {}
                ready = socket.writable(), if stream.owes() => {
                    ready?;
                    stream.write(socket)?;
                }
                ready = socket.readable() => {
                    ready?;
                    match self.read(socket)? {
                        Read::Bytes(bytes) => {
                            if !self.came.replace(true) {
                                self.busy.notify_one();
                            }
                            (self.sink)(Input::Stream(id, bytes));
                            // One piece, then the others' turn: a peer that never stops must not hold the thread.
                            yield_now().await;
                        }
                        Read::Nothing => {}
                        Read::End => return Ok(()),
                    }
                }
                () = &mut unanswered => return Ok(()),
            }
        }
        Ok(())
    }

    fn read(&self, socket: &TcpStream) -> io::Result<Read> {
        let mut buffer = self.buffer.borrow_mut();
        match socket.try_read(&mut buffer) {
            Ok(0) => Ok(Read::End),
            Ok(length) => Ok(Read::Bytes(Bytes::copy_from_slice(&buffer[..length]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }
}

enum Read {
    Bytes(Bytes),
    Nothing,
    End,
}

/// Sets what every connection needs, and says what our address is.
fn prepare(socket: &TcpStream) -> io::Result<SocketAddr> {
    // A SIP message is written whole; waiting for more of it gains nothing.
    socket.set_nodelay(true)?;
    let options = SockRef::from(socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(Duration::from_secs(10)))?;
    options.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.local_addr()
}
