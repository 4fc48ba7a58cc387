//! INVITE, client's side (RFC 3261 §17.1.1 with RFC 6026 §7.2), its CANCEL (§9.1), and the ACK of a 3xx-6xx (§17.1.1.3). The ACK of a 2xx is
//! the user's.

use std::time::Duration;

use bytes::Bytes;

use super::{ClientTx, Io, Timer};
use crate::sip::flow::Flow;
use crate::sip::header::{CSeq, Name};
use crate::sip::message::{Method, Request, Response};
use crate::sip::timer::{T1, TIMEOUT};

/// How long 3xx-6xx are absorbed over UDP: timer D, at least 32 s.
const ABSORB: Duration = Duration::from_secs(32);

/// How long a final response may take after a provisional one (RFC 3261 §16.6 11: more than three minutes).
const TIMER_C: Duration = Duration::from_secs(185);

/// `stem`: what ACK and CANCEL are made of, the INVITE without body and without what concerns only it. Boxed, so that what is over is small.
pub(super) enum ClientInvite {
    /// Sent, nothing back: timers A and B. `cancel`: the reason, where a CANCEL is to follow the first provisional response.
    Calling { stem: Box<Request>, request: Bytes, interval: Duration, cancel: Option<String> },
    /// A provisional response came.
    Proceeding { stem: Box<Request> },
    /// A CANCEL is out: the final response is awaited for 64·T1.
    Cancelling { stem: Box<Request> },
    /// 3xx-6xx came; it is acknowledged each time it comes again, until timer D.
    Completed { ack: Bytes },
    /// 2xx came; the user is told of each one until timer M.
    Accepted,
    /// The connection it went over has ended, and the user has given it up. Its response may come over another (§18.2.2), and a 2xx makes a dialog that
    /// somebody has to end.
    GivenUp,
}

/// What a response asks of the layer.
#[derive(Default)]
pub(super) struct Outcome {
    /// The user is told.
    pub(super) tell: bool,
    /// This CANCEL is to be sent.
    pub(super) cancel: Option<Request>,
}

impl ClientInvite {
    pub(super) fn start(io: &mut Io<'_>, tx: ClientTx, flow: Flow, invite: &Request, bytes: Bytes) -> ClientInvite {
        io.send(flow, &bytes);
        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
        if !flow.is_reliable() {
            io.alarms.set(Timer::ClientRetransmit(tx), io.now + T1);
        }
        ClientInvite::Calling { stem: Box::new(stem(invite)), request: bytes, interval: T1, cancel: None }
    }

    /// Begins anew on another flow, unless an answer came on the first.
    pub(super) fn reroute(self, io: &mut Io<'_>, tx: ClientTx, flow: Flow, invite: &Request) -> ClientInvite {
        let ClientInvite::Calling { cancel: wanted, .. } = self else { return self };
        let mut begun = ClientInvite::start(io, tx, flow, invite, invite.encode());
        if let ClientInvite::Calling { cancel, .. } = &mut begun {
            *cancel = wanted;
        }
        begun
    }

    pub(super) fn is_unanswered(&self) -> bool {
        !matches!(self, ClientInvite::Completed { .. } | ClientInvite::Accepted | ClientInvite::GivenUp)
    }

    pub(super) fn is_given_up(&self) -> bool {
        matches!(self, ClientInvite::GivenUp)
    }

    /// Its connection has ended. What had no answer is given up, and remembered for as long as a phone may ring.
    pub(super) fn flow_closed(self, io: &mut Io<'_>, tx: ClientTx) -> ClientInvite {
        if !self.is_unanswered() {
            return self;
        }
        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMER_C);
        ClientInvite::GivenUp
    }

    /// Whether it is to be sent again, by itself; its end always comes.
    pub(super) fn repeats(&self, flow: Flow) -> bool {
        matches!(self, ClientInvite::Calling { .. }) && !flow.is_reliable()
    }

    /// Timer A.
    pub(super) fn retransmit(self, io: &mut Io<'_>, tx: ClientTx, flow: Flow) -> ClientInvite {
        match self {
            ClientInvite::Calling { stem, request, interval, cancel } => {
                io.send(flow, &request);
                let interval = interval * 2;
                io.alarms.set(Timer::ClientRetransmit(tx), io.now + interval);
                ClientInvite::Calling { stem, request, interval, cancel }
            }
            other => other,
        }
    }

    /// The CANCEL to be sent, if it is to be sent now.
    pub(super) fn cancel(self, io: &mut Io<'_>, tx: ClientTx, reason: &str) -> (ClientInvite, Option<Request>) {
        match self {
            ClientInvite::Calling { stem, request, interval, .. } => {
                (ClientInvite::Calling { stem, request, interval, cancel: Some(reason.to_owned()) }, None)
            }
            ClientInvite::Proceeding { stem } => {
                io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
                let cancel = follow_up(&stem, Method::Cancel, reason);
                (ClientInvite::Cancelling { stem }, Some(cancel))
            }
            other => (other, None),
        }
    }

    pub(super) fn response(
        self,
        io: &mut Io<'_>,
        tx: ClientTx,
        flow: Flow,
        response: &Response,
    ) -> (Option<ClientInvite>, Outcome) {
        let status = response.status;
        match self {
            ClientInvite::Accepted => (Some(self), Outcome { tell: status.is_success(), cancel: None }),
            ClientInvite::GivenUp if status.is_provisional() => (Some(self), Outcome::default()),
            ClientInvite::GivenUp if status.is_success() => {
                io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
                (Some(ClientInvite::Accepted), Outcome { tell: true, cancel: None })
            }
            // Over a stream it is not said twice, and needs no ACK to be silent.
            ClientInvite::GivenUp => {
                io.alarms.cancel(Timer::ClientEnd(tx));
                (None, Outcome::default())
            }
            ClientInvite::Completed { ref ack } => {
                if !status.is_provisional() {
                    io.send(flow, ack);
                }
                (Some(self), Outcome::default())
            }
            ClientInvite::Calling { stem, cancel, .. } if status.is_provisional() => {
                io.alarms.cancel(Timer::ClientRetransmit(tx));
                // Timer B has done its work. How long a phone may ring is the user's to say; but nothing waits for ever.
                let wait = if cancel.is_some() { TIMEOUT } else { TIMER_C };
                io.alarms.set(Timer::ClientEnd(tx), io.now + wait);
                let cancel = cancel.map(|reason| follow_up(&stem, Method::Cancel, &reason));
                let state = match cancel {
                    Some(_) => ClientInvite::Cancelling { stem },
                    None => ClientInvite::Proceeding { stem },
                };
                (Some(state), Outcome { tell: true, cancel })
            }
            ClientInvite::Proceeding { .. } if status.is_provisional() => {
                io.alarms.set(Timer::ClientEnd(tx), io.now + TIMER_C);
                (Some(self), Outcome { tell: true, cancel: None })
            }
            ClientInvite::Cancelling { .. } if status.is_provisional() => {
                (Some(self), Outcome { tell: true, cancel: None })
            }
            ClientInvite::Calling { stem, .. }
            | ClientInvite::Proceeding { stem }
            | ClientInvite::Cancelling { stem } => {
                (answered(io, tx, flow, &stem, response), Outcome { tell: true, cancel: None })
            }
        }
    }
}

/// The final response. Of the INVITE no more is kept than what may have to be said again.
fn answered(io: &mut Io<'_>, tx: ClientTx, flow: Flow, stem: &Request, response: &Response) -> Option<ClientInvite> {
    io.alarms.cancel(Timer::ClientRetransmit(tx));
    if response.status.is_success() {
        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
        return Some(ClientInvite::Accepted);
    }
    let ack = ack(stem, response);
    io.send(flow, &ack);
    if flow.is_reliable() {
        io.alarms.cancel(Timer::ClientEnd(tx));
        return None;
    }
    io.alarms.set(Timer::ClientEnd(tx), io.now + ABSORB);
    Some(ClientInvite::Completed { ack })
}

/// §17.1.1.3: the INVITE's top Via, the response's To.
fn ack(stem: &Request, response: &Response) -> Bytes {
    let mut ack = follow_up(stem, Method::Ack, "");
    if let Some(to) = response.headers.get(&Name::To) {
        ack.headers.set(Name::To, Bytes::copy_from_slice(to));
    }
    // Kept for half a minute: without the room that encoding leaves.
    Bytes::copy_from_slice(&ack.encode())
}

fn stem(invite: &Request) -> Request {
    let mut stem = Request::new(Method::Invite, invite.uri.clone());
    for (name, value) in invite.headers.iter() {
        let kept = matches!(
            name,
            Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq | Name::Route | Name::MaxForwards
        );
        if kept {
            stem.headers.push(name.clone(), Bytes::copy_from_slice(value));
        }
    }
    stem
}

/// An ACK or CANCEL: everything as in the INVITE but the method (§9.1, §17.1.1.3).
fn follow_up(stem: &Request, method: Method, reason: &str) -> Request {
    let mut request = stem.clone();
    if let Ok(cseq) = stem.headers.cseq() {
        request.headers.set(Name::CSeq, CSeq { number: cseq.number, method: method.clone() }.to_string());
    }
    if !reason.is_empty() {
        request.headers.push(Name::Reason, reason.to_owned());
    }
    request.method = method;
    request
}
