//! Transactions (RFC 3261 §17, RFC 6026): retransmission, matching and absorption, so that what lies above sees each message once.
//!
//! Four machines, one file each. A machine is a value: an event consumes its state and yields the next, or `None` when it ends. What a machine
//! wants done goes through [`Io`]: bytes to send, timers to arm. This file owns the tables, matches messages to machines and
//! tells the transaction user ([`Indication`]).
//!
//! `O` is whatever the user wants to be reminded of with each indication.

mod client_invite;
mod client_other;
mod key;
mod server_invite;
mod server_other;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use super::flow::{Channel, Flow, StreamId};
use super::header::{Name, Via};
use super::message::{Method, Request, Response, Status};
use crate::histogram::Histogram;
use client_invite::ClientInvite;
use client_other::ClientOther;
use key::{MAGIC_COOKIE, Origin, ServerKey};
use server_invite::ServerInvite;
use server_other::ServerOther;

/// A request that came in and is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTx(u64);

/// A request that went out and is to be answered by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTx(u64);

/// A timer of a transaction, by the letters of RFC 3261 §17 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Send again: A, E.
    ClientRetransmit(ClientTx),
    /// Give up, or forget: B, D, F, K, M, and the wait for a final response after a CANCEL (§9.1).
    ClientEnd(ClientTx),
    /// Send again: G, and the 2xx of §13.3.1.4.
    ServerRetransmit(ServerTx),
    /// Give up, or forget: H, I, J, L.
    ServerEnd(ServerTx),
}

/// Where timers are armed: the table of the layer above.
pub trait Alarms {
    /// Arms or moves.
    fn set(&mut self, timer: Timer, at: Instant);
    /// Disarms.
    fn cancel(&mut self, timer: Timer);
}

/// What a machine may do within one step.
pub struct Io<'a> {
    /// The instant of the step.
    pub now: Instant,
    /// The timer table.
    pub alarms: &'a mut dyn Alarms,
    /// Messages to be sent, in order.
    pub sends: &'a mut VecDeque<(Flow, Bytes)>,
}

impl Io<'_> {
    fn send(&mut self, flow: Flow, bytes: &Bytes) {
        self.sends.push_back((flow, bytes.clone()));
    }
}

/// What the transaction user is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Indication<O> {
    /// A new request, to be answered through [`Transactions::respond`].
    Request(ServerTx, Request),
    /// A new request that there is no room for: to be answered 503, and nothing of it kept.
    Full(Request),
    /// The ACK of a 2xx, which belongs to no transaction; not for one that a machine has absorbed.
    Ack(Request),
    /// A CANCEL for an INVITE that has no final response yet. The CANCEL itself has been answered (§9.2).
    Cancel(ServerTx, O, Request),
    /// A response: each provisional, each 2xx to an INVITE (retransmitted ones too), one final otherwise.
    Response(O, Response),
    /// No final response came in time, or the message could not be delivered. The last word of this transaction.
    Unanswered(O, Unanswered),
    /// The ACK of a 2xx did not come within 64·T1 (§13.3.1.4): the user ends the dialog.
    NoAck(O),
    /// The PRACK of a reliable provisional response did not come within 64·T1 (RFC 3262 §3): the user refuses the INVITE.
    NoPrack(O),
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Timer B or F, or no final response after a CANCEL.
    Timeout,
    /// The connection ended.
    Unreachable,
}

struct Server<O> {
    key: ServerKey,
    /// Where a copy that came another way is looked for (§8.2.2.2); none within a dialog.
    origin: Option<Origin>,
    flow: Flow,
    /// Where the sender of the request listens, should its connection end (§18.2.2): the port of its Via.
    port: u16,
    owner: O,
    machine: ServerMachine,
    /// When it came, until it has its final response.
    began: Option<Instant>,
}

enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

struct Client<O> {
    key: (String, bool),
    flow: Flow,
    owner: O,
    machine: ClientMachine,
    /// When it was sent, until it has its final response.
    began: Option<Instant>,
}

enum ClientMachine {
    Invite(Box<ClientInvite>),
    Other(ClientOther),
}

impl<O> Client<O> {
    fn is_unanswered(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_unanswered(),
            ClientMachine::Other(machine) => machine.is_unanswered(),
        }
    }

    fn is_given_up(&self) -> bool {
        matches!(&self.machine, ClientMachine::Invite(machine) if machine.is_given_up())
    }
}

/// INVITEs whose connections have ended that are remembered; of one more a late 2xx is not heard.
const GIVEN_UP: usize = 1000;

/// All transactions of a switch.
pub struct Transactions<O> {
    /// Boxed, as the nodes of a tree that grows at one end are half empty.
    servers: BTreeMap<ServerTx, Box<Server<O>>>,
    server_keys: BTreeMap<ServerKey, ServerTx>,
    /// Requests outside of dialogs, by what their copies have in common.
    origins: BTreeMap<Origin, ServerTx>,
    clients: BTreeMap<ClientTx, Box<Client<O>>>,
    /// By branch, and whether it is a CANCEL (which shares the branch of its INVITE).
    client_keys: BTreeMap<(String, bool), ClientTx>,
    /// Server transactions of each source.
    sources: BTreeMap<IpAddr, usize>,
    next: u64,
    limits: Limits,
    durations: Durations,
}

/// How long requests waited for their final responses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Those that came, for ours.
    pub server: Histogram,
    /// Ours, for the phones'.
    pub client: Histogram,
}

/// Server transactions at a time. (Client transactions follow from calls, which have a limit of their own.)
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// So many in all leave no room for a stranger's.
    pub strangers: usize,
    /// Of one source that is a stranger.
    pub per_source: usize,
}

impl<O: Copy + Default> Transactions<O> {
    /// None yet, and at most so many.
    pub fn new(limits: Limits) -> Transactions<O> {
        Transactions {
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            origins: BTreeMap::new(),
            clients: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            sources: BTreeMap::new(),
            next: 0,
            limits,
            durations: Durations::default(),
        }
    }

    /// How long they took, since the start.
    pub fn durations(&self) -> Durations {
        self.durations
    }

    /// How many there are now.
    pub fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for a new request, whoever sends it.
    pub fn is_full(&self) -> bool {
        self.servers.len() >= self.limits.all
    }

    /// Whether a request with this top Via has come before.
    pub fn has(&self, method: &Method, via: &Via) -> bool {
        ServerKey::of_branch(method, via).is_some_and(|key| self.server_keys.contains_key(&key))
    }

    fn has_room(&self, source: IpAddr, is_known: impl FnOnce() -> bool) -> bool {
        let strange = self.servers.len() < self.limits.strangers
            && self.sources.get(&source).is_none_or(|taken| *taken < self.limits.per_source);
        strange || (!self.is_full() && is_known())
    }

    /// A request came, its top Via completed by [`Flow::note_source`]. `is_known`: whether its sender is more than a stranger, to whom less is granted.
    pub fn receive_request(
        &mut self,
        io: &mut Io<'_>,
        flow: Flow,
        request: Request,
        is_known: impl FnOnce() -> bool,
    ) -> Option<Indication<O>> {
        // The wire layer has parsed the top Via of every request it lets through.
        let via = request.headers.via().ok()?;
        let key = ServerKey::of(&request, via);
        if let Some(&tx) = self.server_keys.get(&key) {
            if request.method == Method::Ack && self.has_succeeded(tx) {
                // From an element that gives the ACK of a 2xx the branch of its INVITE (RFC 6026 §7.1: passed on).
                return Some(Indication::Ack(request));
            }
            self.repeated(io, tx, &request);
            return None;
        }
        match request.method {
            Method::Ack => return Some(Indication::Ack(request)),
            Method::Cancel => return self.cancelled(io, flow, key, request),
            _ => {}
        }
        if !self.has_room(flow.source(), is_known) {
            return Some(Indication::Full(request));
        }
        let origin = Origin::of(&request);
        if origin.is_some_and(|origin| self.origins.contains_key(&origin)) {
            // §8.2.2.2: a proxy on the way has forked it, and its copies meet here.
            io.send(flow.of_reply(via), &request.response(Status(482)).encode());
            return None;
        }
        let tx = self.open_server(io.now, flow, via, key, origin, &request.method);
        Some(Indication::Request(tx, request))
    }

    fn open_server(
        &mut self,
        now: Instant,
        flow: Flow,
        via: &Via,
        key: ServerKey,
        origin: Option<Origin>,
        method: &Method,
    ) -> ServerTx {
        self.next += 1;
        let tx = ServerTx(self.next);
        let machine = match method {
            Method::Invite => ServerMachine::Invite(ServerInvite::new()),
            _ => ServerMachine::Other(ServerOther::new()),
        };
        *self.sources.entry(flow.source()).or_default() += 1;
        self.server_keys.insert(key.clone(), tx);
        self.origins.extend(origin.map(|origin| (origin, tx)));
        let (flow, port) = (flow.of_reply(via), via.port.unwrap_or(5060));
        self.servers
            .insert(tx, Box::new(Server { key, origin, flow, port, owner: O::default(), machine, began: Some(now) }));
        tx
    }

    fn has_succeeded(&self, tx: ServerTx) -> bool {
        match self.servers.get(&tx).map(|server| &server.machine) {
            Some(ServerMachine::Invite(machine)) => machine.has_succeeded(),
            _ => false,
        }
    }

    fn awaits_prack(&self, tx: ServerTx) -> bool {
        match self.servers.get(&tx).map(|server| &server.machine) {
            Some(ServerMachine::Invite(machine)) => machine.awaits_prack(),
            _ => false,
        }
    }

    fn repeated(&mut self, io: &mut Io<'_>, tx: ServerTx, request: &Request) {
        self.with_server(tx, |flow, machine| match machine {
            ServerMachine::Invite(machine) if request.method == Method::Ack => {
                machine.ack(io, tx, flow).map(ServerMachine::Invite)
            }
            ServerMachine::Invite(machine) => Some(ServerMachine::Invite(machine.retransmission(io, flow))),
            ServerMachine::Other(machine) => Some(ServerMachine::Other(machine.retransmission(io, flow))),
        });
    }

    /// §9.2: a CANCEL is answered by the transaction layer; the INVITE it names is the user's to answer with 487.
    fn cancelled(&mut self, io: &mut Io<'_>, flow: Flow, key: ServerKey, cancel: Request) -> Option<Indication<O>> {
        let via = cancel.headers.via().ok()?;
        let Some(&invite) = self.server_keys.get(&key.of_invite()) else {
            // Without a transaction, so that nothing is kept for those who cancel what never was.
            io.send(flow.of_reply(via), &cancel.response(Status(481)).encode());
            return None;
        };
        let tx = self.open_server(io.now, flow, via, key, None, &Method::Cancel);
        self.respond(io, tx, &cancel.response(Status(200)));
        let server = self.servers.get(&invite)?;
        match &server.machine {
            ServerMachine::Invite(machine) if machine.is_proceeding() => {
                Some(Indication::Cancel(invite, server.owner, cancel))
            }
            _ => None,
        }
    }

    /// Answers a request. A second final response, or one after the transaction has ended, is ignored.
    pub fn respond(&mut self, io: &mut Io<'_>, tx: ServerTx, response: &Response) {
        let bytes = response.encode();
        if !response.status.is_provisional()
            && let Some(began) = self.servers.get_mut(&tx).and_then(|server| server.began.take())
        {
            self.durations.server.add(io.now.saturating_duration_since(began));
        }
        self.with_server(tx, |flow, machine| match machine {
            ServerMachine::Invite(machine) => {
                Some(ServerMachine::Invite(machine.respond(io, tx, flow, response.status, bytes)))
            }
            ServerMachine::Other(machine) => {
                machine.respond(io, tx, flow, response.status, bytes).map(ServerMachine::Other)
            }
        });
    }

    /// Answers a request and keeps nothing of it: for what costs a stranger nothing to send (RFC 3261 §26.3.2.4). A repetition is a
    /// new request.
    pub fn refuse(&mut self, io: &mut Io<'_>, tx: ServerTx, response: &Response) {
        if let Some(server) = self.end_server(io, tx) {
            if let Some(began) = server.began {
                self.durations.server.add(io.now.saturating_duration_since(began));
            }
            io.send(server.flow, &response.encode());
        }
    }

    /// Sends a provisional response to an INVITE until [`pracked`](Self::pracked) says that it has arrived (RFC 3262 §3).
    pub fn respond_reliably(&mut self, io: &mut Io<'_>, tx: ServerTx, response: &Response) {
        let bytes = response.encode();
        self.with_server(tx, |flow, machine| match machine {
            ServerMachine::Invite(machine) => {
                Some(ServerMachine::Invite(machine.respond_reliably(io, tx, flow, bytes)))
            }
            other => Some(other),
        });
    }

    /// The PRACK of a reliable provisional response came.
    pub fn pracked(&mut self, io: &mut Io<'_>, tx: ServerTx) {
        self.with_server(tx, |_, machine| match machine {
            ServerMachine::Invite(machine) => Some(ServerMachine::Invite(machine.pracked(io, tx))),
            other => Some(other),
        });
    }

    /// Whose the INVITE is that went out under this branch, while its transaction lasts.
    pub fn owner_of_branch(&self, branch: &str) -> Option<O> {
        let tx = self.client_keys.get(&(branch.to_ascii_lowercase(), false))?;
        self.clients.get(tx).map(|client| client.owner)
    }

    /// Whose transaction it is: comes back with its indications.
    pub fn set_owner(&mut self, tx: ServerTx, owner: O) {
        if let Some(server) = self.servers.get_mut(&tx) {
            server.owner = owner;
        }
    }

    /// The ACK of a 2xx came: it is not sent again.
    pub fn acknowledged(&mut self, io: &mut Io<'_>, tx: ServerTx) {
        self.with_server(tx, |_, machine| match machine {
            ServerMachine::Invite(machine) => Some(ServerMachine::Invite(machine.acknowledged(io, tx))),
            other => Some(other),
        });
    }

    /// Sends a request: its Via is added here. `branch` is random, without the cookie. Not for ACK.
    pub fn request(&mut self, io: &mut Io<'_>, flow: Flow, mut request: Request, branch: &str, owner: O) -> ClientTx {
        let branch = format!("{MAGIC_COOKIE}{branch}");
        request.headers.push_front(Name::Via, flow.via(&branch));
        self.open_client(io, flow, &request, &branch, owner)
    }

    /// A request goes another way, if nothing has been heard of it: as the same transaction, under another Via (§18.1.1).
    pub fn reroute(&mut self, io: &mut Io<'_>, tx: ClientTx, flow: Flow, mut request: Request, branch: &str) {
        request.headers.push_front(Name::Via, flow.via(&format!("{MAGIC_COOKIE}{branch}")));
        let Some(mut client) = self.clients.remove(&tx) else { return };
        client.flow = flow;
        client.machine = match client.machine {
            ClientMachine::Invite(machine) => ClientMachine::Invite(Box::new(machine.reroute(io, tx, flow, &request))),
            ClientMachine::Other(machine) => ClientMachine::Other(machine.reroute(io, tx, flow, &request)),
        };
        self.clients.insert(tx, client);
    }

    fn open_client(&mut self, io: &mut Io<'_>, flow: Flow, request: &Request, branch: &str, owner: O) -> ClientTx {
        self.next += 1;
        let tx = ClientTx(self.next);
        let bytes = request.encode();
        let machine = match request.method {
            Method::Invite => ClientMachine::Invite(Box::new(ClientInvite::start(io, tx, flow, request, bytes))),
            _ => ClientMachine::Other(ClientOther::start(io, tx, flow, bytes)),
        };
        let key = (branch.to_ascii_lowercase(), request.method == Method::Cancel);
        self.client_keys.insert(key.clone(), tx);
        self.clients.insert(tx, Box::new(Client { key, flow, owner, machine, began: Some(io.now) }));
        tx
    }

    /// Wants an INVITE cancelled (§9.1): at once when a provisional response has come, otherwise when one comes. Its final response still
    /// comes as an indication (487, or the 2xx that crossed), or [`Unanswered`].
    pub fn cancel(&mut self, io: &mut Io<'_>, tx: ClientTx, reason: &str) {
        let mut cancel = None;
        self.with_client(tx, |flow, machine| match machine {
            ClientMachine::Invite(machine) => {
                let (machine, request) = machine.cancel(io, tx, reason);
                cancel = request.map(|request| (flow, request));
                Some(ClientMachine::Invite(Box::new(machine)))
            }
            other => Some(other),
        });
        if let Some((flow, request)) = cancel {
            self.send_cancel(io, flow, &request);
        }
    }

    fn send_cancel(&mut self, io: &mut Io<'_>, flow: Flow, request: &Request) {
        let branch = request.headers.via().ok().and_then(|via| via.branch().map(str::to_owned)).unwrap_or_default();
        self.open_client(io, flow, request, &branch, O::default());
    }

    /// A response came.
    pub fn receive_response(&mut self, io: &mut Io<'_>, response: Response) -> Option<Indication<O>> {
        let via = response.headers.via().ok()?;
        let method = response.headers.cseq().ok()?.method.clone();
        let key = (via.branch()?.to_ascii_lowercase(), method == Method::Cancel);
        let tx = *self.client_keys.get(&key)?;
        let client = self.clients.get_mut(&tx)?;
        let owner = client.owner;
        if !response.status.is_provisional()
            && let Some(began) = client.began.take()
        {
            self.durations.client.add(io.now.saturating_duration_since(began));
        }
        let (mut told, mut cancel) = (false, None);
        self.with_client(tx, |flow, machine| match machine {
            ClientMachine::Invite(machine) if method == Method::Invite => {
                let (machine, outcome) = machine.response(io, tx, flow, &response);
                told = outcome.tell;
                cancel = outcome.cancel.map(|request| (flow, request));
                machine.map(|machine| ClientMachine::Invite(Box::new(machine)))
            }
            ClientMachine::Other(machine) if method != Method::Invite => {
                let (machine, tell) = machine.response(io, tx, flow, response.status);
                told = tell;
                machine.map(ClientMachine::Other)
            }
            other => Some(other),
        });
        if let Some((flow, request)) = cancel {
            self.send_cancel(io, flow, &request);
        }
        told.then_some(Indication::Response(owner, response))
    }

    /// The timers that are armed as things stand: no other belongs to a transaction, and none of them may be missing.
    pub fn wanted(&self) -> impl Iterator<Item = Timer> {
        let clients = self.clients.iter().map(|(tx, client)| {
            let repeats = match &client.machine {
                ClientMachine::Invite(machine) => machine.repeats(client.flow),
                ClientMachine::Other(machine) => machine.repeats(client.flow),
            };
            [repeats.then_some(Timer::ClientRetransmit(*tx)), Some(Timer::ClientEnd(*tx))]
        });
        let servers = self.servers.iter().map(|(tx, server)| {
            let (repeats, ends) = match &server.machine {
                ServerMachine::Invite(machine) => machine.repeats(server.flow),
                ServerMachine::Other(machine) => (false, machine.ends()),
            };
            [repeats.then_some(Timer::ServerRetransmit(*tx)), ends.then_some(Timer::ServerEnd(*tx))]
        });
        clients.chain(servers).flatten().flatten()
    }

    /// A timer of this layer fired.
    pub fn timeout(&mut self, io: &mut Io<'_>, timer: Timer) -> Option<Indication<O>> {
        match timer {
            Timer::ClientRetransmit(tx) => {
                self.with_client(tx, |flow, machine| match machine {
                    ClientMachine::Invite(machine) => {
                        Some(ClientMachine::Invite(Box::new(machine.retransmit(io, tx, flow))))
                    }
                    ClientMachine::Other(machine) => Some(ClientMachine::Other(machine.retransmit(io, tx, flow))),
                });
                None
            }
            Timer::ClientEnd(tx) => {
                let client = self.end_client(io, tx)?;
                client.is_unanswered().then_some(Indication::Unanswered(client.owner, Unanswered::Timeout))
            }
            Timer::ServerRetransmit(tx) => {
                self.with_server(tx, |flow, machine| match machine {
                    ServerMachine::Invite(machine) => Some(ServerMachine::Invite(machine.retransmit(io, tx, flow))),
                    other => Some(other),
                });
                None
            }
            Timer::ServerEnd(tx) if self.awaits_prack(tx) => {
                self.pracked(io, tx);
                self.servers.get(&tx).map(|server| Indication::NoPrack(server.owner))
            }
            Timer::ServerEnd(tx) => {
                let server = self.end_server(io, tx)?;
                match server.machine {
                    ServerMachine::Invite(machine) if machine.awaits_ack_of_success() => {
                        Some(Indication::NoAck(server.owner))
                    }
                    _ => None,
                }
            }
        }
    }

    /// A stream ended: requests on it that have no final response are given up, and responses go another way (§18.2.2). Of an INVITE a 2xx may come
    /// another way, too: it is told as nobody's, the owner being `O::default()`.
    pub fn flow_closed(&mut self, io: &mut Io<'_>, stream: StreamId) -> Vec<Indication<O>> {
        for server in self.servers.values_mut().filter(|server| server.flow.channel == Channel::Tcp(stream)) {
            server.flow.channel = Channel::ENDED;
            server.flow.peer.set_port(server.port);
        }
        let given_up = self.clients.values().filter(|client| client.is_given_up()).count();
        let mut room = GIVEN_UP.saturating_sub(given_up);
        let is_over_it = |client: &Client<O>| client.flow.channel == Channel::Tcp(stream) && !client.is_given_up();
        let over_it = self.clients.iter().filter(|(_, client)| is_over_it(client));
        let lost: Vec<(ClientTx, Option<O>)> =
            over_it.map(|(tx, client)| (*tx, client.is_unanswered().then_some(client.owner))).collect();
        let mut told = Vec::new();
        for (tx, waiting) in lost {
            if !self.outlives_flow(io, tx, &mut room) {
                self.end_client(io, tx);
            }
            told.extend(waiting.map(|owner| Indication::Unanswered(owner, Unanswered::Unreachable)));
        }
        told
    }

    /// Whether a transaction goes on without the stream it was on: that of an INVITE, as long as there is room for it.
    fn outlives_flow(&mut self, io: &mut Io<'_>, tx: ClientTx, room: &mut usize) -> bool {
        let Some(client) = self.clients.get_mut(&tx) else { return false };
        let is_invite = matches!(client.machine, ClientMachine::Invite(_));
        if client.is_unanswered() {
            if !is_invite || *room == 0 {
                return false;
            }
            *room -= 1;
            (client.owner, client.began) = (O::default(), None);
        }
        self.with_client(tx, |_, machine| match machine {
            ClientMachine::Invite(machine) => Some(ClientMachine::Invite(Box::new(machine.flow_closed(io, tx)))),
            ClientMachine::Other(_) => None,
        });
        is_invite
    }

    fn with_server(&mut self, tx: ServerTx, step: impl FnOnce(Flow, ServerMachine) -> Option<ServerMachine>) {
        let Some(server) = self.servers.get_mut(&tx) else { return };
        // A machine is consumed by its step; meanwhile this stands in its place.
        let machine = std::mem::replace(&mut server.machine, ServerMachine::Other(ServerOther::new()));
        match step(server.flow, machine) {
            Some(machine) => server.machine = machine,
            None => {
                if let Some(server) = self.servers.remove(&tx) {
                    self.forget_server(&server);
                }
            }
        }
    }

    fn forget_server(&mut self, server: &Server<O>) {
        self.server_keys.remove(&server.key);
        if let Some(origin) = server.origin {
            self.origins.remove(&origin);
        }
        let source = server.flow.source();
        if let Some(taken) = self.sources.get_mut(&source) {
            *taken -= 1;
            if *taken == 0 {
                self.sources.remove(&source);
            }
        }
    }

    fn with_client(&mut self, tx: ClientTx, step: impl FnOnce(Flow, ClientMachine) -> Option<ClientMachine>) {
        let Some(client) = self.clients.get_mut(&tx) else { return };
        let machine = std::mem::replace(&mut client.machine, ClientMachine::Other(ClientOther::Completed));
        match step(client.flow, machine) {
            Some(machine) => client.machine = machine,
            None => {
                if let Some(client) = self.clients.remove(&tx) {
                    self.client_keys.remove(&client.key);
                }
            }
        }
    }

    fn end_client(&mut self, io: &mut Io<'_>, tx: ClientTx) -> Option<Box<Client<O>>> {
        let client = self.clients.remove(&tx)?;
        self.client_keys.remove(&client.key);
        io.alarms.cancel(Timer::ClientRetransmit(tx));
        io.alarms.cancel(Timer::ClientEnd(tx));
        Some(client)
    }

    fn end_server(&mut self, io: &mut Io<'_>, tx: ServerTx) -> Option<Box<Server<O>>> {
        let server = self.servers.remove(&tx)?;
        self.forget_server(&server);
        io.alarms.cancel(Timer::ServerRetransmit(tx));
        io.alarms.cancel(Timer::ServerEnd(tx));
        Some(server)
    }
}

#[cfg(test)]
mod tests;
