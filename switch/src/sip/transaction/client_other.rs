//! Any request but INVITE and ACK, client's side (RFC 3261 §17.1.2).

use std::time::Duration;

use bytes::Bytes;

use super::{ClientTx, Io, Timer};
use crate::sip::flow::Flow;
use crate::sip::message::{Request, Status};
use crate::sip::timer::{T1, T2, T4, TIMEOUT};

pub(super) enum ClientOther {
    /// Sent, nothing back: timers E and F.
    Trying { request: Bytes, interval: Duration },
    /// A provisional response came: timer E at T2, timer F.
    Proceeding { request: Bytes },
    /// Answered; further responses are absorbed until timer K.
    Completed,
}

impl ClientOther {
    pub(super) fn start(io: &mut Io<'_>, tx: ClientTx, flow: Flow, request: Bytes) -> ClientOther {
        io.send(flow, &request);
        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
        if !flow.is_reliable() {
            io.alarms.set(Timer::ClientRetransmit(tx), io.now + T1);
        }
        ClientOther::Trying { request, interval: T1 }
    }

    /// Begins anew on another flow, unless an answer came on the first.
    pub(super) fn reroute(self, io: &mut Io<'_>, tx: ClientTx, flow: Flow, request: &Request) -> ClientOther {
        match self {
            ClientOther::Trying { .. } => ClientOther::start(io, tx, flow, request.encode()),
            answered => answered,
        }
    }

    pub(super) fn is_unanswered(&self) -> bool {
        !matches!(self, ClientOther::Completed)
    }

    /// Whether it is to be sent again, by itself; its end always comes.
    pub(super) fn repeats(&self, flow: Flow) -> bool {
        !matches!(self, ClientOther::Completed) && !flow.is_reliable()
    }

    /// Timer E.
    pub(super) fn retransmit(self, io: &mut Io<'_>, tx: ClientTx, flow: Flow) -> ClientOther {
        match self {
            ClientOther::Trying { request, interval } => {
                io.send(flow, &request);
                let interval = (interval * 2).min(T2);
                io.alarms.set(Timer::ClientRetransmit(tx), io.now + interval);
                ClientOther::Trying { request, interval }
            }
            ClientOther::Proceeding { request } => {
                io.send(flow, &request);
                io.alarms.set(Timer::ClientRetransmit(tx), io.now + T2);
                ClientOther::Proceeding { request }
            }
            ClientOther::Completed => ClientOther::Completed,
        }
    }

    /// The next state, and whether the user is told of the response.
    pub(super) fn response(
        self,
        io: &mut Io<'_>,
        tx: ClientTx,
        flow: Flow,
        status: Status,
    ) -> (Option<ClientOther>, bool) {
        let request = match self {
            ClientOther::Trying { request, .. } | ClientOther::Proceeding { request } => request,
            ClientOther::Completed => return (Some(ClientOther::Completed), false),
        };
        if status.is_provisional() {
            return (Some(ClientOther::Proceeding { request }), true);
        }
        io.alarms.cancel(Timer::ClientRetransmit(tx));
        if flow.is_reliable() {
            io.alarms.cancel(Timer::ClientEnd(tx));
            return (None, true);
        }
        io.alarms.set(Timer::ClientEnd(tx), io.now + T4);
        (Some(ClientOther::Completed), true)
    }
}
