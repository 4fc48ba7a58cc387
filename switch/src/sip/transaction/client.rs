//! The client's side: requests that go out, and what is answered to them.

use super::client_invite::ClientInvite;
use super::client_other::ClientOther;
use super::key::{ClientKey, MAGIC_COOKIE};
use super::{Client, ClientMachine, ClientTx, Indication, Io, Timer, Transactions};
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response};

impl<O> Client<O> {
    pub(super) fn is_unanswered(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_unanswered(),
            ClientMachine::Other(machine) => machine.is_unanswered(),
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        matches!(&self.machine, ClientMachine::Invite(machine) if machine.is_given_up())
    }
}

impl<O: Copy + Default> Transactions<O> {
    /// Whose the INVITE is that went out under this branch, while its transaction lasts.
    pub fn owner_of_branch(&self, branch: &str) -> Option<O> {
        let tx = self.client_keys.get(&ClientKey::new(branch, false))?;
        self.clients.get(tx).map(|client| client.owner)
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
        let key = ClientKey::new(branch, request.method == Method::Cancel);
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
        let key = ClientKey::new(via.branch()?, method == Method::Cancel);
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

    /// Whether a transaction goes on without the stream it was on: that of an INVITE, as long as there is room for it.
    pub(super) fn outlives_flow(&mut self, io: &mut Io<'_>, tx: ClientTx, room: &mut usize) -> bool {
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

    pub(super) fn with_client(
        &mut self,
        tx: ClientTx,
        step: impl FnOnce(Flow, ClientMachine) -> Option<ClientMachine>,
    ) {
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

    pub(super) fn end_client(&mut self, io: &mut Io<'_>, tx: ClientTx) -> Option<Box<Client<O>>> {
        let client = self.clients.remove(&tx)?;
        self.client_keys.remove(&client.key);
        io.alarms.cancel(Timer::ClientRetransmit(tx));
        io.alarms.cancel(Timer::ClientEnd(tx));
        Some(client)
    }
}
