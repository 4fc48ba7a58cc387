//! INVITE, server's side (RFC 3261 §17.2.1 with RFC 6026 §7.1). The retransmission of a 2xx until its ACK (§13.3.1.4), which the RFC leaves
//! to the core, is done here too: it is the same clockwork.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Io, ServerTx, Timer};
use crate::sip::flow::Flow;
use crate::sip::message::Status;
use crate::sip::timer::{T1, T2, T4, TIMEOUT};

pub(super) enum ServerInvite {
    /// No final response yet; the last provisional one, for retransmitted INVITEs.
    Proceeding(Option<Bytes>),
    /// A reliable provisional response waits for its PRACK: it is sent again, over streams too (RFC 3262 §3).
    Unpracked { response: Bytes, interval: Duration },
    /// 3xx-6xx sent, ACK awaited: timers G and H.
    Completed { response: Bytes, interval: Duration },
    /// Its ACK came; further ones are absorbed until timer I.
    Confirmed,
    /// 2xx sent, its ACK (which comes to the user) awaited.
    Accepted { response: Bytes, interval: Duration, until: Instant },
    /// Its ACK came; further INVITEs are absorbed until timer L.
    Acknowledged,
}

impl ServerInvite {
    pub(super) fn new() -> ServerInvite {
        ServerInvite::Proceeding(None)
    }

    pub(super) fn is_proceeding(&self) -> bool {
        matches!(self, ServerInvite::Proceeding(_) | ServerInvite::Unpracked { .. })
    }

    pub(super) fn has_succeeded(&self) -> bool {
        matches!(self, ServerInvite::Accepted { .. } | ServerInvite::Acknowledged)
    }

    pub(super) fn awaits_prack(&self) -> bool {
        matches!(self, ServerInvite::Unpracked { .. })
    }

    pub(super) fn awaits_ack_of_success(&self) -> bool {
        matches!(self, ServerInvite::Accepted { .. })
    }

    /// Whether its last response is to be sent again, by itself; and whether its end comes with time.
    pub(super) fn repeats(&self, flow: Flow) -> (bool, bool) {
        match self {
            ServerInvite::Proceeding(_) => (false, false),
            ServerInvite::Unpracked { .. } | ServerInvite::Accepted { .. } => (true, true),
            ServerInvite::Completed { .. } => (!flow.is_reliable(), true),
            ServerInvite::Confirmed | ServerInvite::Acknowledged => (false, true),
        }
    }

    pub(super) fn respond(
        self,
        io: &mut Io<'_>,
        tx: ServerTx,
        flow: Flow,
        status: Status,
        response: Bytes,
    ) -> ServerInvite {
        if !self.is_proceeding() {
            return self;
        }
        if let ServerInvite::Unpracked { .. } = self {
            io.alarms.cancel(Timer::ServerRetransmit(tx));
            io.alarms.cancel(Timer::ServerEnd(tx));
        }
        io.send(flow, &response);
        if status.is_provisional() {
            return ServerInvite::Proceeding(Some(response));
        }
        io.alarms.set(Timer::ServerEnd(tx), io.now + TIMEOUT);
        if status.is_success() {
            io.alarms.set(Timer::ServerRetransmit(tx), io.now + T1);
            return ServerInvite::Accepted { response, interval: T1, until: io.now + TIMEOUT };
        }
        if !flow.is_reliable() {
            io.alarms.set(Timer::ServerRetransmit(tx), io.now + T1);
        }
        ServerInvite::Completed { response, interval: T1 }
    }

    /// RFC 3262 §3: a provisional response that is sent until its PRACK comes, for 64·T1 at most.
    pub(super) fn respond_reliably(self, io: &mut Io<'_>, tx: ServerTx, flow: Flow, response: Bytes) -> ServerInvite {
        if !self.is_proceeding() {
            return self;
        }
        io.send(flow, &response);
        io.alarms.set(Timer::ServerEnd(tx), io.now + TIMEOUT);
        io.alarms.set(Timer::ServerRetransmit(tx), io.now + T1);
        ServerInvite::Unpracked { response, interval: T1 }
    }

    /// The PRACK came, or will not come: the response is not sent again but for an INVITE that comes again.
    pub(super) fn pracked(self, io: &mut Io<'_>, tx: ServerTx) -> ServerInvite {
        let ServerInvite::Unpracked { response, .. } = self else { return self };
        io.alarms.cancel(Timer::ServerRetransmit(tx));
        io.alarms.cancel(Timer::ServerEnd(tx));
        ServerInvite::Proceeding(Some(response))
    }

    /// The INVITE came again.
    pub(super) fn retransmission(self, io: &mut Io<'_>, flow: Flow) -> ServerInvite {
        match &self {
            ServerInvite::Proceeding(Some(response))
            | ServerInvite::Unpracked { response, .. }
            | ServerInvite::Completed { response, .. } => {
                io.send(flow, response);
            }
            ServerInvite::Proceeding(None)
            | ServerInvite::Confirmed
            | ServerInvite::Accepted { .. }
            | ServerInvite::Acknowledged => {}
        }
        self
    }

    /// An ACK with the INVITE's own branch: of a 3xx-6xx.
    pub(super) fn ack(self, io: &mut Io<'_>, tx: ServerTx, flow: Flow) -> Option<ServerInvite> {
        let ServerInvite::Completed { .. } = self else { return Some(self) };
        io.alarms.cancel(Timer::ServerRetransmit(tx));
        if flow.is_reliable() {
            io.alarms.cancel(Timer::ServerEnd(tx));
            return None;
        }
        io.alarms.set(Timer::ServerEnd(tx), io.now + T4);
        Some(ServerInvite::Confirmed)
    }

    pub(super) fn acknowledged(self, io: &mut Io<'_>, tx: ServerTx) -> ServerInvite {
        let ServerInvite::Accepted { until, .. } = self else { return self };
        io.alarms.cancel(Timer::ServerRetransmit(tx));
        io.alarms.set(Timer::ServerEnd(tx), until);
        ServerInvite::Acknowledged
    }

    /// Timer G, or the next turn of the 2xx or of a reliable provisional response (whose interval has no upper bound, RFC 3262 §3).
    pub(super) fn retransmit(self, io: &mut Io<'_>, tx: ServerTx, flow: Flow) -> ServerInvite {
        match self {
            ServerInvite::Unpracked { response, interval } => {
                io.send(flow, &response);
                let interval = interval * 2;
                io.alarms.set(Timer::ServerRetransmit(tx), io.now + interval);
                ServerInvite::Unpracked { response, interval }
            }
            ServerInvite::Completed { response, interval } => {
                io.send(flow, &response);
                let interval = (interval * 2).min(T2);
                io.alarms.set(Timer::ServerRetransmit(tx), io.now + interval);
                ServerInvite::Completed { response, interval }
            }
            ServerInvite::Accepted { response, interval, until } => {
                io.send(flow, &response);
                let interval = (interval * 2).min(T2);
                io.alarms.set(Timer::ServerRetransmit(tx), io.now + interval);
                ServerInvite::Accepted { response, interval, until }
            }
            other => other,
        }
    }
}
