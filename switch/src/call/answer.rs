//! What phones answer to our INVITEs, and what comes of it.

use cas::control::Cause;

use super::cause::{self, Failure};
use super::leg::{Exchange, Leaving, LeavingState, Leg, LegId, LegState, Outgoing, Reoffer, Up};
use super::offer::{has_sound, holds, usable_answer};
use super::party::{Hold, PartyState, Side};
use super::{CallNo, Stage};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::dialog::Dialog;
use crate::sip::header::Name;
use crate::sip::message::{Method, Response, Status};
use crate::sip::sdp::Direction;
use crate::sip::transaction::Unanswered;

impl Engine {
    /// A response to the INVITE that is to make a leg.
    pub(crate) fn invite_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        if let Some(leg) = self.table.leg(id) {
            match &leg.state {
                LegState::Outgoing(_) if response.status.is_provisional() => self.progress(at, id, response.status),
                LegState::Outgoing(_) if response.status.is_success() => self.answered(at, id, response),
                LegState::Outgoing(_) => self.leg_failed(at, id, Failure::from_response(response)),
                LegState::Up(up) => {
                    let dialog = up.dialog.clone();
                    self.answered_again(at, &dialog, response);
                }
                LegState::Incoming(_) => {}
            }
            return;
        }
        self.response_after_leaving(at, id, response);
    }

    /// No answer at all to the INVITE.
    pub(crate) fn invite_unanswered(&mut self, at: At<'_>, id: LegId, why: Unanswered) {
        let failure = match why {
            Unanswered::Timeout => Failure { status: Status(408), cause: Cause::NoAnswer },
            Unanswered::Unreachable => Failure::new(Cause::NotRegistered),
        };
        if self.table.leg(id).is_some() {
            self.leg_failed(at, id, failure);
        } else {
            self.table.remove_leaving(id);
        }
    }

    /// A leg that was cancelled hears of it late, or has answered meanwhile.
    fn response_after_leaving(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(leaving) = self.table.leaving(id) else { return };
        match &leaving.state {
            LeavingState::Cancelling { outgoing, reason } if response.status.is_success() => {
                let (flow, reason) = (outgoing.flow, reason.clone());
                let Some(Leaving { tag, .. }) = self.table.remove_leaving(id) else { return };
                if let Ok(dialog) = Dialog::client(response, flow) {
                    self.acknowledge(&dialog, response);
                    self.bye(at, id, tag, dialog, &reason);
                }
            }
            LeavingState::Cancelling { .. } if !response.status.is_provisional() => drop(self.table.remove_leaving(id)),
            LeavingState::Ended(dialog) if response.status.is_success() => {
                let dialog = dialog.clone();
                self.answered_again(at, &dialog, response);
            }
            _ => {}
        }
    }

    /// A further 2xx to an INVITE that made a dialog: the same once more, which wants its ACK, or that of a second phone behind the same
    /// contact, which is hung up at once (RFC 3261 §13.2.2.4).
    fn answered_again(&mut self, at: At<'_>, dialog: &Dialog, response: &Response) {
        let Ok(mut second) = Dialog::client(response, dialog.flow()) else { return };
        self.acknowledge(&second, response);
        if second.remote_tag() != dialog.remote_tag() {
            let mut bye = second.request(Method::Bye);
            bye.headers.push(Name::Reason, cause::reason(Cause::AnsweredElsewhere));
            self.endpoint.request(at.now.mono, second.flow(), bye, Owner::Nobody);
        }
    }

    /// ACKs a 2xx.
    pub(crate) fn acknowledge(&mut self, dialog: &Dialog, response: &Response) {
        let Ok(cseq) = response.headers.cseq() else { return };
        self.endpoint.ack(dialog.flow(), dialog.ack(cseq.number));
    }

    /// It rings: the caller hears so once.
    fn progress(&mut self, at: At<'_>, id: LegId, status: Status) {
        let Some(leg) = self.table.leg(id) else { return };
        let (no, side) = (leg.call, leg.side);
        let Some(call) = self.table.call_mut(no) else { return };
        let PartyState::Ringing { rung: rung @ false, .. } = &mut call.party_mut(side).state else { return };
        if status == Status(100) {
            return;
        }
        *rung = true;
        let waiting = match (side, &call.caller.state) {
            (Side::Callee, PartyState::Calling(leg)) => Some(*leg),
            _ => None,
        };
        if let Some(waiting) = waiting {
            self.respond_early(at, waiting, Status(180));
        }
        self.touch(no, None);
    }

    fn respond_early(&mut self, at: At<'_>, id: LegId, status: Status) {
        let Some(Leg { state: LegState::Incoming(incoming), tag, .. }) = self.table.leg(id) else { return };
        let response = incoming.response(tag, status);
        self.endpoint.respond(at.now.mono, incoming.tx, &response);
    }

    /// A phone answered. Its 2xx is acknowledged whatever comes of it.
    fn answered(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(Leg { state: LegState::Outgoing(outgoing), .. }) = self.table.leg(id) else { return };
        let Ok(dialog) = Dialog::client(response, outgoing.flow) else {
            // Without a Contact there is no way to acknowledge it.
            return self.leg_failed(at, id, Failure::new(Cause::Failed));
        };
        self.acknowledge(&dialog, response);
        let offered = self.table.leg(id).map(|leg| leg.sdp.payloads().clone()).unwrap_or_default();
        let Some(audio) = usable_answer(&response.body, &offered) else {
            return self.unusable_answer(at, id, dialog);
        };
        let by_phone = holds(&audio);
        let Some(leg) = self.table.leg_mut(id) else { return };
        let up = Up { dialog, audio, direction: Direction::SendRecv, exchange: Exchange::Settled, next: None };
        leg.state = LegState::Up(Box::new(up));
        let (no, side, device) = (leg.call, leg.side, leg.device);
        self.update_media(id);
        let Some(call) = self.table.call_mut(no) else { return };
        let party = call.party_mut(side);
        party.device = Some(device);
        let others = party.legs().into_iter().filter(|other| *other != id).collect::<Vec<_>>();
        party.state = PartyState::Up { leg: id, hold: Hold { by_phone, by_client: false } };
        for other in others {
            self.leave(at, other, Failure::new(Cause::AnsweredElsewhere), None);
        }
        self.touch(no, None);
        match side {
            Side::Caller => self.caller_answered(at, no),
            Side::Callee => self.connect(at, no),
        }
    }

    /// The caller's own phone has answered a make-call.
    fn caller_answered(&mut self, at: At<'_>, no: CallNo) {
        let Some(call) = self.table.call_mut(no) else { return };
        let before = std::mem::replace(&mut call.stage, Stage::Ringing { ticket: None, failure: None });
        if let Stage::RingingCaller { ticket, destination } = before {
            call.stage = Stage::Ringing { ticket: Some(ticket), failure: None };
            self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + super::originate::NO_ANSWER);
            self.reach_destination(at, no, &destination);
        }
    }

    /// A 2xx without a stream that can be carried: the phone is hung up, the call goes on looking for another.
    fn unusable_answer(&mut self, at: At<'_>, id: LegId, dialog: Dialog) {
        let failure = Failure::new(Cause::Incompatible);
        let tag = self.table.leg(id).map(|leg| leg.tag.clone()).unwrap_or_default();
        self.leg_failed(at, id, failure);
        self.bye(at, id, tag, dialog, &cause::reason(Cause::Incompatible));
    }

    /// One of a party's phones will not have the call. The last one decides; a 6xx decides at once (RFC 3261 §16.7 5).
    fn leg_failed(&mut self, at: At<'_>, id: LegId, failure: Failure) {
        let Some(leg) = self.table.remove_leg(id) else { return };
        self.close_media(id, leg.place, None);
        let (no, side) = (leg.call, leg.side);
        let Some(call) = self.table.call_mut(no) else { return };
        let PartyState::Ringing { legs, .. } = &mut call.party_mut(side).state else { return };
        legs.retain(|other| *other != id);
        let left = legs.len();
        let best = match &mut call.stage {
            Stage::Ringing { failure: best, .. } => {
                let better = best.filter(|best| best.rank() <= failure.rank()).unwrap_or(failure);
                *best = Some(better);
                better
            }
            Stage::RingingCaller { .. } | Stage::Talking { .. } => failure,
        };
        if left == 0 || failure.status.0 >= 600 {
            self.end_call(at, no, best, None);
        }
    }

    /// The callee is there: the caller is answered, and the two hear each other.
    pub(crate) fn connect(&mut self, at: At<'_>, no: CallNo) {
        let Some(call) = self.table.call(no) else { return };
        if let PartyState::Calling(leg) = call.caller.state
            && let Err(failure) = self.answer_caller(at, no, leg)
        {
            return self.end_call(at, no, failure, None);
        }
        let Some(call) = self.table.call_mut(no) else { return };
        let before = std::mem::replace(&mut call.stage, Stage::Talking { since: at.now.mono });
        tracing::debug!(call = %call.caller.id, far = %call.callee.id, "a call is answered");
        let (caller, callee) = (call.caller.leg(), call.callee.leg());
        let caller_id = call.caller.id;
        self.endpoint.timers.cancel(Timer::NoAnswer(no));
        if let Stage::Ringing { ticket: Some(ticket), .. } = before {
            self.complete(ticket, Ok(Some(caller_id)));
        }
        if let (Some(a), Some(b)) = (caller, callee) {
            self.join_media(a, b);
            self.agree(at, no, a);
        }
        self.touch(no, None);
    }

    /// The 200 to the caller, with the codecs the callee has taken, if the two have any in common.
    fn answer_caller(&mut self, at: At<'_>, no: CallNo, id: LegId) -> Result<(), Failure> {
        let offer = self.offer_of(no, Side::Callee);
        let Some(leg) = self.table.leg_mut(id) else { return Err(Failure::new(Cause::Failed)) };
        let LegState::Incoming(incoming) = &leg.state else { return Err(Failure::new(Cause::Failed)) };
        let answer = leg.sdp.answer(&incoming.offer, &offer.codecs(), &offer.fmtp, offer.ptime, Direction::SendRecv);
        let body = answer.ok().filter(|_| has_sound(leg.sdp.payloads()));
        let body = body.ok_or_else(|| Failure::new(Cause::Incompatible))?;
        let response = incoming.response(&leg.tag, Status(200)).with_body("application/sdp", body);
        let (tx, number) = (incoming.tx, incoming.number);
        let (audio, dialog) = (incoming.audio.clone(), incoming.dialog.clone());
        let by_phone = holds(&audio);
        let exchange = Exchange::Unacknowledged { tx, number };
        let up = Up { dialog, audio, direction: Direction::SendRecv, exchange, next: None };
        leg.state = LegState::Up(Box::new(up));
        self.endpoint.respond(at.now.mono, tx, &response);
        if let Some(call) = self.table.call_mut(no) {
            call.caller.state = PartyState::Up { leg: id, hold: Hold { by_phone, by_client: false } };
        }
        self.update_media(id);
        Ok(())
    }

    /// The phone that a make-call rang may have chosen a codec that the other side has not: then it is offered only what both have.
    fn agree(&mut self, at: At<'_>, no: CallNo, id: LegId) {
        let theirs = self.offer_of(no, Side::Callee).codecs();
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg(id) else { return };
        if up.next.is_none() && up.audio.payloads.0.iter().any(|(_, codec)| !theirs.contains(codec)) {
            self.reoffer(at, id, Reoffer { direction: up.direction, ticket: None });
        }
    }

    /// Ends a dialog that is no part of a call any more.
    pub(crate) fn bye(&mut self, at: At<'_>, id: LegId, tag: String, mut dialog: Dialog, reason: &str) {
        let mut bye = dialog.request(Method::Bye);
        bye.headers.push(Name::Reason, reason.to_owned());
        self.endpoint.request(at.now.mono, dialog.flow(), bye, Owner::Bye(id));
        self.table.leave(id, Leaving { tag, state: LeavingState::Ended(dialog) });
    }

    /// Our INVITE is cancelled; until its final response comes the leg is kept.
    pub(crate) fn abandon(&mut self, at: At<'_>, id: LegId, tag: String, outgoing: Box<Outgoing>, reason: String) {
        self.endpoint.cancel(at.now.mono, outgoing.tx, &reason);
        self.table.leave(id, Leaving { tag, state: LeavingState::Cancelling { outgoing, reason } });
    }
}
