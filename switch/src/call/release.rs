//! How calls and legs end.

use cas::control::{CallEvent, Cause, Refusal, RefusalCode, Ticket};
use cas::store::HistoryRecord;

use super::cause::{self, Failure, Whose};
use super::leg::{Exchange, Leaving, LeavingState, LegId, LegState, Up};
use super::party::Side;
use super::{CallNo, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::journal::End;
use crate::log::Redacted;
use crate::sip::header::Name;
use crate::sip::message::{Request, Status};
use crate::sip::transaction::ServerTx;

impl Engine {
    /// A phone hangs up.
    pub(crate) fn hung_up(&mut self, at: At<'_>, tx: ServerTx, bye: &Request, id: LegId) {
        self.endpoint.respond(at.now.mono, tx, &bye.response(Status(200)));
        if let Some(leg) = self.table.leg(id) {
            self.end_call(at, leg.call, Failure::new(Cause::Normal), Some(id));
        }
    }

    /// The caller gives up before the answer; the CANCEL itself is answered already.
    pub(crate) fn cancelled(&mut self, at: At<'_>, id: LegId) {
        if let Some(leg) = self.table.leg(id) {
            self.end_call(at, leg.call, Failure::new(Cause::Cancelled), None);
        }
    }

    /// A client ends its user's part of a call (S66).
    pub(crate) fn drop_call(&mut self, at: At<'_>, no: CallNo, side: Side) -> Ticket {
        let ticket = self.ticket();
        let waiting = self.table.call(no).is_some_and(|call| !matches!(call.stage, Stage::Talking));
        let cause = match side {
            _ if !waiting => Cause::Normal,
            Side::Caller => Cause::Cancelled,
            Side::Callee => Cause::Declined,
        };
        self.end_call(at, no, Failure::new(cause), None);
        self.complete(ticket, Ok(None));
        ticket
    }

    /// Ends a call: every phone hears why, every record is written, every waiting command completes. `gone` is the leg whose phone hung up itself.
    pub(crate) fn end_call(&mut self, at: At<'_>, no: CallNo, failure: Failure, gone: Option<LegId>) {
        let Some(mut call) = self.table.remove(no) else { return };
        self.endpoint.timers.cancel(Timer::NoAnswer(no));
        self.endpoint.timers.cancel(Timer::Notice(no));
        self.touched.remove(&no);
        let talked = call.talked_msec(at.now.mono);
        let end = End {
            caller: call.caller.id,
            callee: call.callee.id,
            from: call.caller.identity.number.clone(),
            to: call.callee.identity.number.clone(),
            ended: at.now.wall,
            cause: failure.cause,
            talked_msec: talked,
        };
        self.journal.end(no, end);
        tracing::info!(
            call = %call.caller.id,
            far = %call.callee.id,
            from = %Redacted(&call.caller.identity.number),
            to = %Redacted(&call.callee.identity.number),
            cause = failure.cause.name(),
            talked_msec = talked,
            "a call has ended"
        );
        for other in call.caller.also().into_iter().chain(call.callee.also()) {
            self.end_call(at, other, failure, None);
        }
        for side in [Side::Caller, Side::Callee] {
            let party = call.party(side);
            let talked = party.talked_msec(at.now.mono);
            let mut record =
                super::record::history(party, failure.cause, talked, super::record::unanswered(failure.cause));
            for leg in party.legs() {
                let record = record.take();
                match gone == Some(leg) {
                    true => self.forget(at, leg, record),
                    false => self.leave(at, leg, failure, record),
                }
            }
            if let Some(record) = record {
                self.write_history(at, record);
            }
            if let (Some(user), Some(_)) = (party.identity.user, &party.told) {
                let event = CallEvent::Ended { call: party.id, user, cause: failure.cause, duration_msec: talked };
                self.events.push_back(event);
            }
        }
        let rang = matches!(call.stage, Stage::RingingCaller { .. });
        if let Some(vain) = self.in_vain(at, &call.caller, &call.callee, failure) {
            self.bookings.note_vain(vain);
        }
        self.call_back_over(at, no, call.caller.identity.user, rang, failure);
        if let Stage::RingingCaller { ticket: Some(ticket), .. } | Stage::Ringing { ticket: Some(ticket), .. } =
            call.stage
        {
            let whose = if rang { Whose::Own } else { Whose::Far };
            self.complete(ticket, Err(failure.refusal(whose)));
        }
        for user in [&call.caller, &call.callee].into_iter().filter_map(|party| party.identity.user) {
            self.touch_calls_of(user);
        }
        self.end_transfers(at, no, &mut call);
        self.end_reminders(at, no, &call);
        self.end_parking(at, no, &call, failure);
        if let Some(sought) = call.sought() {
            self.not_found(at, no, sought);
        }
    }

    /// A leg leaves its call; its phone is told in the way its state asks for.
    pub(crate) fn leave(&mut self, at: At<'_>, id: LegId, failure: Failure, record: Option<HistoryRecord>) {
        let Some(leg) = self.table.remove_leg(id) else { return };
        self.endpoint.timers.cancel(Timer::Reoffer(id));
        self.endpoint.timers.cancel(Timer::Session(id));
        self.end_prompt(id, &leg.state, failure);
        self.close_media(id, leg.place, record);
        let reason = cause::reason(failure.cause);
        match leg.state {
            LegState::Incoming(incoming) => {
                let mut response = incoming.invite.response_tagged(failure.status, &leg.tag);
                response.headers.push(Name::Reason, reason);
                if failure.status == Status(503) {
                    response.headers.push(Name::RetryAfter, self.endpoint.retry_after().to_string());
                }
                self.endpoint.respond(at.now.mono, incoming.tx, &response);
            }
            LegState::Outgoing(outgoing) => self.abandon(at, id, leg.tag, outgoing, reason),
            LegState::Up(up) => self.hang_up(at, id, leg.tag, *up, reason),
        }
    }

    /// §15: no BYE before the ACK of our 2xx.
    fn hang_up(&mut self, at: At<'_>, id: LegId, tag: String, up: Up, reason: String) {
        let Up { dialog, exchange, next, .. } = up;
        if let Some(ticket) = next.and_then(|next| next.ticket) {
            self.complete(ticket, Err(gone()));
        }
        match exchange {
            Exchange::Unacknowledged { tx, number, .. } => {
                let state = LeavingState::Unacknowledged { tx, number, dialog, reason };
                self.table.leave(id, Leaving { tag, state });
            }
            Exchange::Offered { reoffer, .. } => {
                if let Some(ticket) = reoffer.ticket {
                    self.complete(ticket, Err(gone()));
                }
                self.bye(at, id, tag, dialog, &reason);
            }
            Exchange::Settled => self.bye(at, id, tag, dialog, &reason),
        }
    }

    /// A leg whose phone has hung up.
    fn forget(&mut self, at: At<'_>, id: LegId, record: Option<HistoryRecord>) {
        let Some(leg) = self.table.remove_leg(id) else { return };
        self.endpoint.timers.cancel(Timer::Reoffer(id));
        self.endpoint.timers.cancel(Timer::Session(id));
        self.close_media(id, leg.place, record);
        if let LegState::Up(up) = leg.state {
            let offered = match up.exchange {
                Exchange::Offered { reoffer, .. } => reoffer.ticket,
                Exchange::Unacknowledged { tx, .. } => {
                    self.endpoint.acknowledged(at.now.mono, tx);
                    None
                }
                Exchange::Settled => None,
            };
            for ticket in offered.into_iter().chain(up.next.and_then(|next| next.ticket)) {
                self.complete(ticket, Err(gone()));
            }
        }
    }

    /// The ACK that a leaving leg waited for came, or (`None`) will not come.
    pub(crate) fn acknowledged_late(&mut self, at: At<'_>, id: LegId, acknowledged: Option<u32>) {
        match self.table.leaving(id).map(|leaving| &leaving.state) {
            Some(LeavingState::Unacknowledged { number, .. }) if acknowledged.is_none_or(|acked| acked == *number) => {}
            _ => return,
        }
        if let Some(Leaving { tag, state: LeavingState::Unacknowledged { tx, dialog, reason, .. } }) =
            self.table.remove_leaving(id)
        {
            self.endpoint.acknowledged(at.now.mono, tx);
            self.bye(at, id, tag, dialog, &reason);
        }
    }

    /// The ACK of our 2xx never came (RFC 3261 §13.3.1.4).
    pub(crate) fn unacknowledged(&mut self, at: At<'_>, id: LegId) {
        match self.table.leg_mut(id) {
            Some(leg) => {
                let no = leg.call;
                if let LegState::Up(up) = &mut leg.state {
                    up.exchange = Exchange::Settled;
                }
                self.end_call(at, no, Failure::new(Cause::Vanished), None);
            }
            None => self.acknowledged_late(at, id, None),
        }
    }
}

fn gone() -> Refusal {
    Refusal { code: RefusalCode::Gone, text: "The call has ended".into() }
}
