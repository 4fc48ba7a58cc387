//! The engine's hands: transactions, the timer table, what is to be sent, and the streams that are up. Call control and the registrar speak SIP
//! through this and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use cas::entropy::Entropy;
use cas::site::DeviceId;

use crate::call::{CallNo, LegId};
use crate::engine::sources::for_strangers;
use crate::node::Settings;
use crate::registrar::{Phone, gruu};
use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::{Address, Name};
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
    /// An UPDATE within it.
    Update(LegId),
    /// An INFO with a digit.
    Info(LegId),
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
    /// A session is to be refreshed, or is over (RFC 4028).
    Session(LegId),
    /// The rest of a message has not come on a stream.
    Unfinished(StreamId),
    /// Calls that were answered lately, and go on, are to have records.
    Answered,
    /// Records that the store could not take are tried again.
    Kept,
    /// The running calls have had their ten seconds.
    Stop,
}

/// A stream that is up or being opened, and what of its next message has come.
struct Stream {
    flow: Flow,
    framer: Framer,
    /// Who is registered over it.
    devices: BTreeSet<DeviceId>,
}

impl Stream {
    fn new(flow: Flow) -> Stream {
        Stream { flow, framer: Framer::default(), devices: BTreeSet::new() }
    }
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
    /// By SIP user.
    phones: BTreeMap<String, Vec<Phone>>,
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
    pub(crate) fn new(settings: &Settings, entropy: Box<dyn Entropy>) -> Endpoint {
        let limits = transaction::Limits {
            all: settings.max_transactions,
            strangers: for_strangers(settings.max_transactions),
            per_source: settings.limits.transactions_per_source,
        };
        Endpoint {
            transactions: Transactions::new(limits),
            timers: Timers::default(),
            entropy,
            sends: VecDeque::new(),
            connects: VecDeque::new(),
            closes: VecDeque::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            phones: BTreeMap::new(),
        }
    }

    /// Random hexadecimal: a tag, a branch, a Call-ID.
    pub(crate) fn token(&mut self) -> String {
        self.entropy.token(12)
    }

    /// How long a refused peer is asked to wait, in seconds: by chance, so that they do not come back all at once.
    pub(crate) fn retry_after(&mut self) -> u64 {
        5 + self.entropy.number() % 10
    }

    pub(crate) fn respond(&mut self, now: Instant, tx: ServerTx, response: &Response) {
        let (transactions, mut io) = self.io(now);
        transactions.respond(&mut io, tx, response);
    }

    /// Sends a provisional response until its PRACK comes.
    pub(crate) fn respond_reliably(&mut self, now: Instant, tx: ServerTx, response: &Response) {
        let (transactions, mut io) = self.io(now);
        transactions.respond_reliably(&mut io, tx, response);
    }

    pub(crate) fn pracked(&mut self, now: Instant, tx: ServerTx) {
        let (transactions, mut io) = self.io(now);
        transactions.pracked(&mut io, tx);
    }

    /// Answers a request and keeps nothing of it.
    pub(crate) fn refuse(&mut self, now: Instant, tx: ServerTx, response: &Response) {
        let (transactions, mut io) = self.io(now);
        transactions.refuse(&mut io, tx, response);
    }

    /// Sends a request as a transaction of its own.
    pub(crate) fn request(&mut self, now: Instant, flow: Flow, mut request: Request, owner: Owner) -> ClientTx {
        let branch = self.token();
        let flow = self.retarget(flow, &mut request);
        let flow = self.reach(flow, &next_hop(&request));
        let (transactions, mut io) = self.io(now);
        transactions.request(&mut io, flow, request, &branch, owner)
    }

    /// Sends the ACK of a 2xx: no transaction (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&mut self, flow: Flow, mut ack: Request) {
        let branch = format!("z9hG4bK{}", self.token());
        let flow = self.retarget(flow, &mut ack);
        let flow = self.reach(flow, &next_hop(&ack));
        ack.headers.push_front(Name::Via, flow.via(&branch));
        self.send(flow, ack.encode());
    }

    /// A request to a GRUU of ours goes to where that phone is registered now (RFC 5627 §5.4); to one that no longer is, the way of its dialog.
    fn retarget(&self, flow: Flow, request: &mut Request) -> Flow {
        let Some(gr) = gruu::instance(&request.uri) else { return flow };
        let Some(phone) = request.uri.user.as_deref().and_then(|user| self.phone(user, gr)) else { return flow };
        if request.headers.get(&Name::Route).is_some() {
            request.uri = phone.uri.clone();
            return flow;
        }
        let (uri, route, flow) = (phone.uri.clone(), phone.route.clone(), phone.flow);
        request.uri = uri;
        for hop in route {
            request.headers.push(Name::Route, hop.to_string());
        }
        flow
    }

    /// Where the phones of a SIP user that have a GRUU are now.
    pub(crate) fn set_phones(&mut self, sip_user: &str, phones: Vec<Phone>) {
        if phones.is_empty() {
            self.phones.remove(sip_user);
        } else {
            self.phones.insert(sip_user.to_owned(), phones);
        }
    }

    /// Those of users that are no more are forgotten.
    pub(crate) fn keep_phones(&mut self, is_there: impl Fn(&str) -> bool) {
        self.phones.retain(|sip_user, _| is_there(sip_user));
    }

    /// The phone that a GRUU means, if it is registered.
    pub(crate) fn phone(&self, sip_user: &str, gr: &str) -> Option<&Phone> {
        self.phones.get(sip_user)?.iter().find(|phone| gruu::names(gr, &phone.instance))
    }

    pub(crate) fn cancel(&mut self, now: Instant, tx: ClientTx, reason: &str) {
        let (transactions, mut io) = self.io(now);
        transactions.cancel(&mut io, tx, reason);
    }

    pub(crate) fn acknowledged(&mut self, now: Instant, tx: ServerTx) {
        let (transactions, mut io) = self.io(now);
        transactions.acknowledged(&mut io, tx);
    }

    /// `is_known`: whether its sender is more than a stranger.
    pub(crate) fn receive_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: Request,
        is_known: impl FnOnce() -> bool,
    ) -> Option<Indication<Owner>> {
        let (transactions, mut io) = self.io(now);
        transactions.receive_request(&mut io, flow, request, is_known)
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
            self.streams.insert(stream, Stream::new(flow));
        }
    }

    /// A device has registered over a stream. Whether it is still up.
    pub(crate) fn registered_over(&mut self, stream: StreamId, device: DeviceId) -> bool {
        let stream = self.streams.get_mut(&stream);
        stream.map(|stream| stream.devices.insert(device)).is_some()
    }

    /// The devices that have registered over a stream.
    pub(crate) fn devices_over(&self, stream: StreamId) -> Vec<DeviceId> {
        self.streams.get(&stream).into_iter().flat_map(|stream| stream.devices.iter().copied()).collect()
    }

    /// Whether a stream is up, or being opened.
    pub(crate) fn is_up(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
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
                self.streams.insert(stream, Stream::new(flow));
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

/// Where a request goes first: to the top Route, else to its Request-URI (RFC 3261 §8.1.2).
fn next_hop(request: &Request) -> Uri {
    let route = request.headers.values(&Name::Route).next().and_then(|value| Address::parse(value).ok());
    route.map_or_else(|| request.uri.clone(), |route| route.uri)
}
