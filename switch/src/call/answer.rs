//! What phones answer to our INVITEs, and what comes of it.

use cas::control::Cause;

use super::cause::{self, Failure};
use super::leg::{
    Exchange, Leaving, LeavingState, Leg, LegId, LegState, Outgoing, Provisional, Said, Takes, Terms, Then, Up,
};
use super::offer::{Reply, has_sound, holds, read_answer};
use super::party::{Hold, PartyState, Side};
use super::{Call, CallNo, Stage};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Method, Response, Status};
use crate::sip::session_timer::SessionTimer;
use crate::sip::transaction::Unanswered;

impl Engine {
    /// A response to the INVITE that is to make a leg.
    pub(crate) fn invite_response(&mut self, at: At<'_>, id: LegId, response: &Response, flow: Option<Flow>) {
        if let Some(leg) = self.table.leg(id) {
            match &leg.state {
                LegState::Outgoing(_) if response.status.is_provisional() => self.progress(at, id, response),
                LegState::Outgoing(_) if response.status.is_success() => self.answered(at, id, response),
                LegState::Outgoing(_) => self.refused(at, id, response),
                LegState::Up(up) => {
                    let dialog = up.dialog.clone();
                    self.answered_again(at, &dialog, response);
                }
                LegState::Incoming(_) => {}
            }
            return;
        }
        if self.table.leaving(id).is_some() {
            return self.response_after_leaving(at, id, response);
        }
        // The call came and went, and another telephone behind the same contact answers its INVITE only now (RFC 3261 §13.2.2.4).
        if let Some(flow) = flow.filter(|_| response.status.is_success())
            && let Ok(late) = Dialog::client(response, flow)
        {
            self.hang_up_late(at, late, response, Cause::AnsweredElsewhere);
        }
    }

    /// What is answered to a request that nobody waits for. A 2xx to an INVITE whose connection has ended comes over another (RFC 3261 §18.2.2), long after
    /// the phone was given up: it is acknowledged and hung up, or it would be in a call that nobody has. A re-INVITE's is acknowledged, and the call goes on.
    pub(crate) fn answered_nobody(&mut self, at: At<'_>, response: &Response, flow: Option<Flow>) {
        let is_invite = response.headers.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let Some(flow) = flow.filter(|_| is_invite && response.status.is_success()) else { return };
        let Ok(dialog) = Dialog::client(response, flow) else { return };
        match self.goes_on(response, &dialog) {
            Some(id) => {
                self.acknowledge(&dialog, response);
                self.accepted_late(at, id, response);
            }
            None => self.hang_up_late(at, dialog, response, Cause::Normal),
        }
    }

    /// The leg of a dialog, where it is up, or its end is told to the phone already.
    fn goes_on(&self, response: &Response, dialog: &Dialog) -> Option<LegId> {
        let id = self.table.by_tag(response.headers.from().ok()?.tag()?)?;
        let known = match (self.table.leg(id).map(|leg| &leg.state), self.table.leaving(id).map(|leg| &leg.state)) {
            (Some(LegState::Up(up)), _) => &up.dialog,
            (_, Some(LeavingState::Ended(dialog))) => dialog,
            _ => return None,
        };
        (known.remote_tag() == dialog.remote_tag()).then_some(id)
    }

    /// No answer at all to the INVITE.
    pub(crate) fn invite_unanswered(&mut self, at: At<'_>, id: LegId, why: Unanswered) {
        let failure = match why {
            Unanswered::Timeout => Failure { status: Status(408), cause: Cause::NoAnswer },
            // A 503 of that phone's (RFC 3261 §8.1.3.1), which is not passed on (§16.7 6): to the caller it is not there.
            Unanswered::Unreachable => Failure::new(Cause::NotRegistered),
        };
        if self.table.leg(id).is_some() {
            if !self.ring_over(at, id) {
                self.leg_failed(at, id, failure);
            }
        } else {
            self.table.remove_leaving(id);
        }
    }

    /// A leg that was cancelled hears of it late, or has answered meanwhile.
    fn response_after_leaving(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(leaving) = self.table.leaving(id) else { return };
        match &leaving.state {
            LeavingState::Cancelling { outgoing, reason } if response.status.is_success() => {
                let (flow, reason) = (outgoing.way_after(response), reason.clone());
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
        let Ok(second) = Dialog::client(response, dialog.flow()) else { return };
        if second.remote_tag() != dialog.remote_tag() {
            return self.hang_up_late(at, second, response, Cause::AnsweredElsewhere);
        }
        self.acknowledge(&second, response);
    }

    /// A dialog that nobody wants any more is acknowledged and ended.
    fn hang_up_late(&mut self, at: At<'_>, mut late: Dialog, response: &Response, why: Cause) {
        self.acknowledge(&late, response);
        let mut bye = late.request(Method::Bye);
        bye.headers.push(Name::Reason, cause::reason(why));
        self.endpoint.request(at.now.mono, late.flow(), bye, Owner::Nobody);
    }

    /// ACKs a 2xx.
    pub(crate) fn acknowledge(&mut self, dialog: &Dialog, response: &Response) {
        let Ok(cseq) = response.headers.cseq() else { return };
        self.endpoint.ack(dialog.flow(), dialog.ack(cseq.number));
    }

    /// A phone will not have the call as it was asked, or not at all.
    fn refused(&mut self, at: At<'_>, id: LegId, response: &Response) {
        self.heed_retry_after(at, id, response);
        match response.status {
            Status(422) if self.ring_again(at, id, response) => {}
            Status(487) if self.ring_anew(at, id) => {}
            Status(300..=399) if self.redirected(at, id, response) => {}
            Status(408 | 430) if self.ring_over(at, id) => {}
            _ => self.leg_failed(at, id, Failure::from_response(response)),
        }
    }

    /// A phone answered. Its 2xx is acknowledged whatever comes of it.
    fn answered(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(Leg { state: LegState::Outgoing(outgoing), .. }) = self.table.leg(id) else { return };
        let Ok(dialog) = Dialog::client(response, outgoing.way_after(response)) else {
            // Without a Contact there is no way to acknowledge it.
            return self.leg_failed(at, id, Failure::new(Cause::Failed));
        };
        let dialog = match outgoing.early.iter().find(|early| early.dialog.remote_tag() == dialog.remote_tag()) {
            Some(early) => dialog.after(&early.dialog),
            None => dialog,
        };
        self.acknowledge(&dialog, response);
        let Some(leg) = self.table.leg_mut(id) else { return };
        match read_answer(&response.headers, &response.body, leg.sdp.payloads()) {
            Reply::Answer(audio) => leg.audio = Some(audio),
            // It was given before.
            Reply::None if leg.audio.is_some() => {}
            Reply::None | Reply::Unusable => return self.unusable_answer(at, id, dialog),
        }
        let by_phone = leg.audio.as_ref().is_some_and(holds);
        let (no, side, device) = (leg.call, leg.side, leg.device);
        self.prompts_fulfilled(no, side);
        let Some(leg) = self.table.leg_mut(id) else { return };
        leg.state = LegState::Up(Box::new(Up::new(dialog, Exchange::Settled, Takes::of(&response.headers))));
        self.settle_session(at, id, SessionTimer::settled(response));
        self.update_media(id);
        let Some(call) = self.table.call_mut(no) else { return };
        let party = call.party_mut(side);
        party.device = Some(device);
        let (others, also) = (party.legs(), party.also());
        party.state = PartyState::Up { leg: id, hold: Hold { by_phone, by_client: false } };
        for other in others.into_iter().filter(|other| *other != id) {
            self.leave(at, other, Failure::new(Cause::AnsweredElsewhere), None);
        }
        for other in also {
            self.end_call(at, other, Failure::new(Cause::AnsweredElsewhere), None);
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
        let caller = call.caller.identity.user;
        if let Stage::RingingCaller { ticket, destination, goal } = before {
            call.stage = Stage::Ringing { ticket, failure: None };
            self.called_back(at, no);
            self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + super::originate::NO_ANSWER);
            let is_there = |who| self.to_be_got(at.site, who, &destination).is_some();
            match goal.filter(|_| !caller.is_some_and(is_there)) {
                Some(goal) => self.unreached(at, no, self.forestalled(&destination, goal)),
                None => self.reach_destination(at, no, &destination),
            }
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
        self.end_prompt(id, &leg.state, failure);
        self.close_media(id, leg.place, None);
        let no = leg.call;
        let Some(left) = self.unring(no, id) else { return };
        let Some(call) = self.table.call_mut(no) else { return };
        let best = match &mut call.stage {
            Stage::Ringing { failure: best, .. } => {
                let better = best.filter(|best| best.rank() <= failure.rank()).unwrap_or(failure);
                *best = Some(better);
                better
            }
            Stage::RingingCaller { .. } | Stage::Talking => failure,
        };
        if left == 0 || failure.status.0 >= 600 {
            self.unreached(at, no, best);
        }
    }

    /// A leg is no longer among those that are rung: how many still are, with the calls that ring others; `None` where none was.
    pub(crate) fn unring(&mut self, no: CallNo, id: LegId) -> Option<usize> {
        // It may have been the one that is heard.
        self.touch(no, None);
        let call = self.table.call_mut(no)?;
        [Side::Caller, Side::Callee].into_iter().find_map(|side| {
            let PartyState::Ringing { legs, also, heard, .. } = &mut call.party_mut(side).state else { return None };
            legs.retain(|other| *other != id);
            if *heard == Some(id) {
                *heard = None;
            }
            Some(legs.len() + also.len())
        })
    }

    /// The callee is there: the caller is answered, and the two hear each other.
    pub(crate) fn connect(&mut self, at: At<'_>, no: CallNo) {
        let Some(call) = self.table.call(no) else { return };
        if let Some(sought) = call.sought() {
            return self.found(at, no, sought);
        }
        if let PartyState::Service(Service::Recall(slot)) = call.caller.state
            && let Err(failure) = self.fetch_parked(at, no, Side::Caller, slot)
        {
            return self.end_call(at, no, failure, None);
        }
        if let Some(id) = self.table.call(no).and_then(Call::reminds)
            && let Err(failure) = self.fetch_held(at, no, id)
        {
            return self.end_call(at, no, failure, None);
        }
        // Who picks a call up waits for his answer as the caller does.
        for side in [Side::Callee, Side::Caller] {
            let Some(PartyState::Calling(leg)) = self.table.call(no).map(|call| &call.party(side).state) else {
                continue;
            };
            match self.answer_waiting(at, no, *leg) {
                Ok(true) => {}
                Ok(false) => return self.touch(no, None),
                Err(failure) => return self.end_call(at, no, failure, None),
            }
        }
        let Some(call) = self.table.call_mut(no) else { return };
        let before = std::mem::replace(&mut call.stage, Stage::Talking);
        let transferor = call.transferor.take();
        for side in [Side::Caller, Side::Callee] {
            call.party_mut(side).answered.get_or_insert(at.now.mono);
        }
        tracing::debug!(call = %call.caller.id, far = %call.callee.id, "a call is answered");
        let caller_id = call.caller.id;
        self.endpoint.timers.cancel(Timer::NoAnswer(no));
        self.note_answered(at, no);
        if let Stage::Ringing { ticket: Some(ticket), .. } = before {
            self.complete(ticket, Ok(Some(caller_id)));
        }
        if let Some(transferor) = transferor {
            self.settle_transfer(at, &transferor, Ok(()));
        }
        self.have_met(at, no);
        self.join(no);
        self.agree(at, no, Side::Caller);
        self.agree(at, no, Side::Callee);
        self.touch(no, None);
    }

    /// The 200 to a phone that has called: with the codecs the other has taken, or with an offer of them where the INVITE made none. `Ok(false)`: a
    /// provisional response waits for its PRACK, and then we come back (RFC 3262 §3).
    pub(crate) fn answer_waiting(&mut self, at: At<'_>, no: CallNo, id: LegId) -> Result<bool, Failure> {
        let side = self.table.leg(id).map_or(Side::Caller, |leg| leg.side);
        let agreed = self.offer_agreed(no, side.other());
        let offer = if self.would_understand(id, &agreed) { agreed } else { self.offer_of(no, side.other()) };
        let asserted = self.other_of(id).map(|other| (other.clone(), self.address(other).encode()));
        let Some(leg) = self.table.leg_mut(id) else { return Err(Failure::new(Cause::Failed)) };
        let LegState::Incoming(incoming) = &mut leg.state else { return Err(Failure::new(Cause::Failed)) };
        if let Provisional::Unpracked { then, .. } = &mut incoming.provisional {
            *then = Some(Then::Answer);
            return Ok(false);
        }
        let (body, said) = match &incoming.terms {
            Terms::Offered(description) => {
                let answer = leg.sdp.answer(description, &offer.codecs(), &offer.fmtp, offer.ptime, leg.direction);
                let answer = answer.ok().filter(|_| has_sound(leg.sdp.payloads()));
                (Some(answer.ok_or_else(|| Failure::new(Cause::Incompatible))?), Said::Answer)
            }
            Terms::Agreed(answer) => (answer.clone(), Said::Answer),
            Terms::Open | Terms::Proposed => {
                (Some(leg.sdp.offer(&offer.payloads, &offer.fmtp, offer.ptime, leg.direction)), Said::Offer)
            }
        };
        let mut response = incoming.response(&leg.tag, Status(200));
        if let Some(body) = body {
            response = response.with_body("application/sdp", body);
        }
        if let Some(asserted) = asserted {
            leg.shown = asserted.0;
            response.headers.push(Name::PAssertedIdentity, asserted.1);
        }
        let timer = incoming.grant.map(|grant| {
            grant.write(&mut response);
            grant.timer()
        });
        let (tx, number) = (incoming.tx, incoming.number);
        let takes = Takes::of(&incoming.invite.headers);
        let exchange = Exchange::Unacknowledged { tx, number, said };
        let by_phone = leg.audio.as_ref().is_some_and(holds);
        leg.state = LegState::Up(Box::new(Up::new(incoming.dialog.clone(), exchange, takes)));
        self.endpoint.respond(at.now.mono, tx, &response);
        if let Some(call) = self.table.call_mut(no) {
            call.party_mut(side).state = PartyState::Up { leg: id, hold: Hold { by_phone, by_client: false } };
        }
        self.settle_session(at, id, timer);
        self.update_media(id);
        Ok(true)
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
