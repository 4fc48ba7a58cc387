//! Any request but INVITE and ACK, server's side (RFC 3261 §17.2.2).

use bytes::Bytes;

use super::{Io, ServerTx, Timer};
use crate::sip::flow::Flow;
use crate::sip::message::Status;
use crate::sip::timer::TIMEOUT;

pub(super) enum ServerOther {
    /// Nothing sent yet.
    Trying,
    /// The last provisional response.
    Proceeding(Bytes),
    /// The final response, for retransmitted requests, until timer J.
    Completed(Bytes),
}

impl ServerOther {
    pub(super) fn new() -> ServerOther {
        ServerOther::Trying
    }

    /// Whether its end comes with time.
    pub(super) fn ends(&self) -> bool {
        matches!(self, ServerOther::Completed(_))
    }

    pub(super) fn respond(
        self,
        io: &mut Io<'_>,
        tx: ServerTx,
        flow: Flow,
        status: Status,
        response: Bytes,
    ) -> Option<ServerOther> {
        if let ServerOther::Completed(_) = self {
            return Some(self);
        }
        io.send(flow, &response);
        if status.is_provisional() {
            return Some(ServerOther::Proceeding(response));
        }
        if flow.is_reliable() {
            return None;
        }
        io.alarms.set(Timer::ServerEnd(tx), io.now + TIMEOUT);
        Some(ServerOther::Completed(response))
    }

    /// The request came again.
    pub(super) fn retransmission(self, io: &mut Io<'_>, flow: Flow) -> ServerOther {
        match &self {
            ServerOther::Trying => {}
            ServerOther::Proceeding(response) | ServerOther::Completed(response) => io.send(flow, response),
        }
        self
    }
}
