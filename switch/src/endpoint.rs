//! The engine's hands: transactions, the timer table, what is to be sent, and the streams that are up. Call control and the registrar speak SIP
//! through this and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use cas::entropy::Entropy;
use cas::site::DeviceId;

use crate::call::{CallNo, LegId};
use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::timer::Timers;
use crate::sip::transaction::{self, Alarms, ClientTx, Indication, Io, ServerTx, Transactions};
use crate::sip::uri::{Host, Uri};
use crate::sip::wire::{Frame, Framer};

/// Whose a transaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody waits for it.
    #[default]
    Nobody,
    /// The INVITE that made, or is to make, this leg; either direction.
    Invite(LegId),
    /// A re-INVITE within it; either direction.
    Reinvite(LegId),
    /// The OPTIONS that asks whether the phone is still there.
    Probe(LegId),
    /// The BYE that ends it.
    Bye(LegId),
}

/// Every timer of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The transaction layer's.
    Transaction(transaction::Timer),
    /// The answer to a failed attempt is due.
    LateAnswer(ServerTx),
    /// The next binding of a device ends.
    Binding(DeviceId),
    /// Nobody has answered a call.
    NoAnswer(CallNo),
    /// An offer that met the phone's own is made again (RFC 3261 §14.1).
    Reoffer(LegId),
    /// The rest of a message has not come on a stream.
    Unfinished(StreamId),
    /// The running calls have had their ten seconds.
    Stop,
}

/// A stream that is up or being opened, and what of its next message has come.
struct Stream {
    flow: Flow,
    framer: Framer,
}

/// SIP as the rest of the engine speaks it.
pub(crate) struct Endpoint {
    pub(crate) transactions: Transactions<Owner>,
    pub(crate) timers: Timers<Timer>,
    pub(crate) entropy: Box<dyn Entropy>,
    sends: VecDeque<(Flow, Bytes)>,
    connects: VecDeque<(StreamId, SocketAddr)>,
    closes: VecDeque<StreamId>,
    streams: BTreeMap<StreamId, Stream>,
    next_stream: u64,
}

impl Alarms for Timers<Timer> {
    fn set(&mut self, timer: transaction::Timer, at: Instant) {
        Timers::set(self, Timer::Transaction(timer), at);
    }

    fn cancel(&mut self, timer: transaction::Timer) {
        Timers::cancel(self, Timer::Transaction(timer));
    }
}

impl Endpoint {
    pub(crate) fn new(max_transactions: usize, entropy: Box<dyn Entropy>) -> Endpoint {
        Endpoint {
            transactions: Transactions::new(max_transactions),
            timers: Timers::default(),
            entropy,
            sends: VecDeque::new(),
            connects: VecDeque::new(),
            closes: VecDeque::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
        }
    }

    /// Random hexadecimal: a tag, a branch, a Call-ID.
    pub(crate) fn token(&mut self) -> String {
        self.entropy.token(12)
    }

    pub(crate) fn respond(&mut self, now: Instant, tx: ServerTx, response: &Response) {
        let (transactions, mut io) = self.io(now);
        transactions.respond(&mut io, tx, response);
    }

    /// Answers a request and keeps nothing of it.
    pub(crate) fn refuse(&mut self, now: Instant, tx: ServerTx, response: &Response) {
        let (transactions, mut io) = self.io(now);
        transactions.refuse(&mut io, tx, response);
    }

    /// Sends a request as a transaction of its own.
    pub(crate) fn request(&mut self, now: Instant, flow: Flow, request: Request, owner: Owner) -> ClientTx {
        let branch = self.token();
        let flow = self.reach(flow, &request.uri);
        let (transactions, mut io) = self.io(now);
        transactions.request(&mut io, flow, request, &branch, owner)
    }

    /// Sends the ACK of a 2xx: no transaction (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&mut self, flow: Flow, mut ack: Request) {
        let branch = format!("z9hG4bK{}", self.token());
        let flow = self.reach(flow, &ack.uri);
        ack.headers.push_front(Name::Via, flow.via(&branch));
        self.send(flow, ack.encode());
    }

    pub(crate) fn cancel(&mut self, now: Instant, tx: ClientTx, reason: &str) {
        let (transactions, mut io) = self.io(now);
        transactions.cancel(&mut io, tx, reason);
    }

    pub(crate) fn acknowledged(&mut self, now: Instant, tx: ServerTx) {
        let (transactions, mut io) = self.io(now);
        transactions.acknowledged(&mut io, tx);
    }

    pub(crate) fn receive_request(&mut self, now: Instant, flow: Flow, request: Request) -> Option<Indication<Owner>> {
        let (transactions, mut io) = self.io(now);
        transactions.receive_request(&mut io, flow, request)
    }

    pub(crate) fn receive_response(&mut self, now: Instant, response: Response) -> Option<Indication<Owner>> {
        let (transactions, mut io) = self.io(now);
        transactions.receive_response(&mut io, response)
    }

    pub(crate) fn timeout(&mut self, now: Instant, timer: transaction::Timer) -> Option<Indication<Owner>> {
        let (transactions, mut io) = self.io(now);
        transactions.timeout(&mut io, timer)
    }

    pub(crate) fn flow_opened(&mut self, flow: Flow) {
        if let Channel::Tcp(stream) = flow.channel {
            self.streams.insert(stream, Stream { flow, framer: Framer::default() });
        }
    }

    /// Bytes of a stream; those of one that has ended are nobody's.
    pub(crate) fn push(&mut self, stream: StreamId, bytes: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.framer.push(bytes);
        }
    }

    /// The next message of a stream that has come whole.
    pub(crate) fn next_frame(&mut self, stream: StreamId) -> Option<(Flow, Frame)> {
        let stream = self.streams.get_mut(&stream)?;
        let frame = stream.framer.next_frame()?;
        Some((stream.flow, frame))
    }

    /// Whether part of a message has come on a stream, and its rest has not.
    pub(crate) fn is_mid_message(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| !stream.framer.is_idle())
    }

    pub(crate) fn flow_closed(&mut self, now: Instant, stream: StreamId) -> Vec<Indication<Owner>> {
        self.streams.remove(&stream);
        self.timers.cancel(Timer::Unfinished(stream));
        let (transactions, mut io) = self.io(now);
        transactions.flow_closed(&mut io, stream)
    }

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.sends.push_back((flow, bytes));
    }

    /// A stream that has ended is opened anew, to where the peer says it listens.
    pub(crate) fn reach(&mut self, flow: Flow, target: &Uri) -> Flow {
        match flow.channel {
            Channel::Tcp(stream) if !self.streams.contains_key(&stream) => {
                let peer = match (&target.host, target.port) {
                    (Some(Host::Ip(ip)), port) => SocketAddr::new(*ip, port.unwrap_or(5060)),
                    _ => flow.peer,
                };
                let same = |open: &&Stream| open.flow.peer == peer && open.flow.local.ip() == flow.local.ip();
                if let Some(open) = self.streams.values().find(same) {
                    return open.flow;
                }
                self.next_stream += 2;
                let stream = StreamId(self.next_stream);
                let flow = Flow { channel: Channel::Tcp(stream), local: flow.local, peer };
                self.connects.push_back((stream, peer));
                self.streams.insert(stream, Stream { flow, framer: Framer::default() });
                flow
            }
            _ => flow,
        }
    }

    /// Ends a stream, once what is to be sent on it is sent.
    pub(crate) fn close(&mut self, stream: StreamId) {
        self.closes.push_back(stream);
    }

    pub(crate) fn poll_close(&mut self) -> Option<StreamId> {
        self.closes.pop_front()
    }

    pub(crate) fn poll_connect(&mut self) -> Option<(StreamId, SocketAddr)> {
        self.connects.pop_front()
    }

    pub(crate) fn poll_send(&mut self) -> Option<(Flow, Bytes)> {
        self.sends.pop_front()
    }

    fn io(&mut self, now: Instant) -> (&mut Transactions<Owner>, Io<'_>) {
        (&mut self.transactions, Io { now, alarms: &mut self.timers, sends: &mut self.sends })
    }
}
