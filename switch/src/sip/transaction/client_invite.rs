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

pub(super) struct ClientInvite {
    /// What ACK and CANCEL are made of: the INVITE without body and without what concerns only it.
    stem: Request,
    state: State,
}

enum State {
    /// Sent, nothing back: timers A and B. `cancel`: the reason, where a CANCEL is to follow the first provisional response.
    Calling { request: Bytes, interval: Duration, cancel: Option<String> },
    /// A provisional response came.
    Proceeding,
    /// A CANCEL is out: the final response is awaited for 64·T1.
    Cancelling,
    /// 3xx-6xx came; it is acknowledged each time it comes again, until timer D.
    Completed { ack: Bytes },
    /// 2xx came; the user is told of each one until timer M.
    Accepted,
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
        let state = State::Calling { request: bytes, interval: T1, cancel: None };
        ClientInvite { stem: stem(invite), state }
    }

    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding | State::Cancelling)
    }

    /// Timer A.
    pub(super) fn retransmit(self, io: &mut Io<'_>, tx: ClientTx, flow: Flow) -> ClientInvite {
        let State::Calling { request, interval, cancel } = self.state else { return self };
        io.send(flow, &request);
        let interval = interval * 2;
        io.alarms.set(Timer::ClientRetransmit(tx), io.now + interval);
        ClientInvite { state: State::Calling { request, interval, cancel }, ..self }
    }

    /// The CANCEL to be sent, if it is to be sent now.
    pub(super) fn cancel(self, io: &mut Io<'_>, tx: ClientTx, reason: &str) -> (ClientInvite, Option<Request>) {
        match self.state {
            State::Calling { request, interval, .. } => {
                let state = State::Calling { request, interval, cancel: Some(reason.to_owned()) };
                (ClientInvite { state, ..self }, None)
            }
            State::Proceeding => {
                io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
                let cancel = follow_up(&self.stem, Method::Cancel, reason);
                (ClientInvite { state: State::Cancelling, ..self }, Some(cancel))
            }
            _ => (self, None),
        }
    }

    pub(super) fn response(
        self,
        io: &mut Io<'_>,
        tx: ClientTx,
        flow: Flow,
        response: &Response,
    ) -> (Option<ClientInvite>, Outcome) {
        let mut outcome = Outcome { tell: true, cancel: None };
        let state = match self.state {
            State::Accepted if response.status.is_success() => State::Accepted,
            State::Accepted => {
                outcome.tell = false;
                State::Accepted
            }
            State::Completed { ack } => {
                if !response.status.is_provisional() {
                    io.send(flow, &ack);
                }
                outcome.tell = false;
                State::Completed { ack }
            }
            waiting if response.status.is_provisional() => {
                io.alarms.cancel(Timer::ClientRetransmit(tx));
                match waiting {
                    State::Calling { cancel: Some(reason), .. } => {
                        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
                        outcome.cancel = Some(follow_up(&self.stem, Method::Cancel, &reason));
                        State::Cancelling
                    }
                    State::Cancelling => State::Cancelling,
                    // Timer B has done its work. How long a phone may ring is the user's to say; but nothing waits for ever.
                    _ => {
                        io.alarms.set(Timer::ClientEnd(tx), io.now + TIMER_C);
                        State::Proceeding
                    }
                }
            }
            _ => {
                io.alarms.cancel(Timer::ClientRetransmit(tx));
                if response.status.is_success() {
                    io.alarms.set(Timer::ClientEnd(tx), io.now + TIMEOUT);
                    State::Accepted
                } else {
                    let ack = self.ack(response);
                    io.send(flow, &ack);
                    if flow.is_reliable() {
                        io.alarms.cancel(Timer::ClientEnd(tx));
                        return (None, outcome);
                    }
                    io.alarms.set(Timer::ClientEnd(tx), io.now + ABSORB);
                    State::Completed { ack }
                }
            }
        };
        (Some(ClientInvite { state, ..self }), outcome)
    }

    /// §17.1.1.3: the INVITE's top Via, the response's To.
    fn ack(&self, response: &Response) -> Bytes {
        let mut ack = follow_up(&self.stem, Method::Ack, "");
        if let Some(to) = response.headers.get(&Name::To) {
            ack.headers.set(Name::To, Bytes::copy_from_slice(to));
        }
        ack.encode()
    }
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
