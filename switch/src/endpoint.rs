//! The engine's hands: transactions, the timer table, what is to be sent, and the streams that are up. Call control and the registrar speak SIP
//! through this and nothing else.

mod large;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use cas::control::CallId;
use cas::entropy::Entropy;
use cas::site::DeviceId;

use crate::call::bookings::BookingNo;
use crate::call::{CallNo, LegId};
use crate::engine::sources::for_strangers;
use crate::node::Settings;
use crate::registrar::{Phone, gruu};
use crate::sip::flow::{Flow, StreamId};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::timer::Timers;
use crate::sip::transaction::{self, Alarms, ClientTx, Indication, Io, ServerTx, Transactions};
use crate::subscribe::SubId;
use crate::subscribe::publish::PubId;

use self::large::Large;
use self::streams::Streams;

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
    /// One that tells the phone whom it has.
    Display(LegId),
    /// An INFO with a digit.
    Info(LegId),
    /// The NOTIFY that tells a phone that rings to talk.
    Talk(LegId),
    /// The OPTIONS that asks whether the phone is still there.
    Probe(LegId),
    /// The BYE that ends it.
    Bye(LegId),
    /// A NOTIFY.
    Notify(SubId),
    /// The NOTIFY that tells a phone what it has lost.
    Farewell(SubId),
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
    /// The way to a phone of a device, behind a NAT, is to be used again.
    KeepAlive(DeviceId),
    /// Nobody has answered a call.
    NoAnswer(CallNo),
    /// A parked call was got by nobody.
    Recall(CallNo),
    /// Where a call is parked was shown for long enough.
    Parked(CallNo),
    /// Who has somebody on hold is to be reminded.
    Reminder(CallId),
    /// What was done was shown for long enough.
    Notice(CallNo),
    /// A call-back is booked no more.
    CallBack(BookingNo),
    /// An offer that met the phone's own is made again (RFC 3261 §14.1).
    Reoffer(LegId),
    /// A phone that was to answer for its user has not.
    Prompt(LegId),
    /// A session is to be refreshed, or is over (RFC 4028).
    Session(LegId),
    /// The rest of a message has not come on a stream.
    Unfinished(StreamId),
    /// Nothing has come on a stream for a while.
    Idle(StreamId),
    /// A stream for what is too large for UDP is not up yet.
    Large(StreamId),
    /// A port has been guarded for a while.
    Guard(LegId),
    /// A subscription was not renewed.
    Subscription(SubId),
    /// What a subscription has to tell may be told now.
    Notify(SubId),
    /// A publication was not renewed.
    Publication(PubId),
    /// Calls that were answered lately, and go on, are to have records.
    Answered,
    /// What is written behind has waited long enough.
    Behind,
    /// Records that the store could not take are tried again.
    Kept,
    /// The running calls have had their ten seconds.
    Stop,
}

/// SIP as the rest of the engine speaks it.
pub(crate) struct Endpoint {
    pub(crate) transactions: Transactions<Owner>,
    pub(crate) timers: Timers<Timer>,
    pub(crate) entropy: Box<dyn Entropy>,
    sends: VecDeque<(Flow, Bytes)>,
    connects: VecDeque<(StreamId, SocketAddr)>,
    closes: VecDeque<StreamId>,
    streams: Streams,
    /// Requests too large for UDP whose connection is being opened.
    large: Large,
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
            streams: Streams::default(),
            large: Large::default(),
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
        match self.large_flow(now, flow, &request) {
            Some(large) => self.request_large(now, (flow, large), request, &branch, owner),
            None => {
                let flow = self.reach_hop(flow, &request);
                let (transactions, mut io) = self.io(now);
                transactions.request(&mut io, flow, request, &branch, owner)
            }
        }
    }

    /// Sends the ACK of a 2xx: no transaction (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&mut self, flow: Flow, mut ack: Request) {
        let branch = format!("z9hG4bK{}", self.token());
        let flow = self.retarget(flow, &mut ack);
        let flow = self.reach_hop(flow, &ack);
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
            request.headers.push(Name::Route, hop.encode());
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

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.sends.push_back((flow, bytes));
    }

    pub(crate) fn poll_send(&mut self) -> Option<(Flow, Bytes)> {
        self.sends.pop_front()
    }

    fn io(&mut self, now: Instant) -> (&mut Transactions<Owner>, Io<'_>) {
        (&mut self.transactions, Io { now, alarms: &mut self.timers, sends: &mut self.sends })
    }
}
