//! Transactions (RFC 3261 §17, RFC 6026): retransmission, matching and absorption, so that what lies above sees each message once.
//!
//! Four machines, one file each. A machine is a value: an event consumes its state and yields the next, or `None` when it ends. What a machine
//! wants done goes through [`Io`]: bytes to send, timers to arm. This file has the tables, their timers and the end of a stream; `server` and `client` match
//! messages to machines. The transaction user is told by [`Indication`].
//!
//! `O` is whatever the user wants to be reminded of with each indication.

mod client;
mod client_invite;
mod client_other;
mod key;
mod server;
mod server_invite;
mod server_other;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use super::flow::{Channel, Flow, StreamId};
use super::header::Via;
use super::message::{Method, Request, Response};
use crate::histogram::Histogram;
use client_invite::ClientInvite;
use client_other::ClientOther;
use key::{ClientKey, Origin, ServerKey};
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
    key: ClientKey,
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
    client_keys: BTreeMap<ClientKey, ClientTx>,
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

impl<O: Copy + Default + PartialEq> Transactions<O> {
    /// Whether a request of this owner's has no final answer yet.
    pub fn is_asking(&self, owner: O) -> bool {
        self.clients.values().any(|client| client.owner == owner && client.is_unanswered())
    }
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
}

#[cfg(test)]
mod tests;
