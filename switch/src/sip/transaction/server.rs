//! The server's side: requests that come in, matched to their transactions, and what is answered to them.

use std::net::IpAddr;
use std::time::Instant;

use super::key::{Origin, ServerKey};
use super::server_invite::ServerInvite;
use super::server_other::ServerOther;
use super::{Indication, Io, Server, ServerMachine, ServerTx, Timer, Transactions};
use crate::sip::flow::Flow;
use crate::sip::header::Via;
use crate::sip::message::{Method, Request, Response, Status};

impl<O: Copy + Default> Transactions<O> {
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

    pub(super) fn awaits_prack(&self, tx: ServerTx) -> bool {
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

    pub(super) fn with_server(
        &mut self,
        tx: ServerTx,
        step: impl FnOnce(Flow, ServerMachine) -> Option<ServerMachine>,
    ) {
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

    pub(super) fn end_server(&mut self, io: &mut Io<'_>, tx: ServerTx) -> Option<Box<Server<O>>> {
        let server = self.servers.remove(&tx)?;
        self.forget_server(&server);
        io.alarms.cancel(Timer::ServerRetransmit(tx));
        io.alarms.cancel(Timer::ServerEnd(tx));
        Some(server)
    }
}
