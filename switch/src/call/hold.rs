//! Hold and resume, and every other offer within a dialog, from either side (RFC 3261 §14, RFC 3264 §8).
//!
//! Hold ends at the switch: the other phone is not re-invited, it only hears no more of the holder.

use std::time::Duration;

use cas::control::{Refusal, RefusalCode, Ticket};

use super::leg::{Exchange, LeavingState, Leg, LegId, LegState, Reoffer, Said};
use super::offer::{Reply, holds, read_answer, read_offer};
use super::party::PartyState;
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::sdp::Direction;
use crate::sip::session_timer::{Grant, SessionTimer};
use crate::sip::transaction::{ServerTx, Unanswered};

/// A phone that is in the middle of something is offered anew after so many seconds at most (RFC 3261 §14.2).
const SOON: u64 = 10;
/// A phone that puts an offer off so often will not take it.
const MAX_PUT_OFF: u8 = 5;

impl Engine {
    /// A re-INVITE of the phone's.
    pub(crate) fn reinvited(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let response = match self.reanswer(at, tx, request, id) {
            Ok(response) | Err(response) => response,
        };
        self.endpoint.respond(at.now.mono, tx, &response);
        match response.status.is_success() {
            // It has said nothing of its sound yet: that is in the ACK.
            true if request.body.is_empty() => self.update_media(id),
            true => self.offer_taken(at, id),
            false => {}
        }
    }

    fn reanswer(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) -> Result<Response, Response> {
        let answer = |status| request.response(Status(status));
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg(id) else { return Err(answer(481)) };
        match up.exchange {
            Exchange::Offered { .. } | Exchange::Unacknowledged { said: Said::Offer, .. } => return Err(answer(491)),
            Exchange::Settled | Exchange::Unacknowledged { said: Said::Answer, .. } => {}
        }
        let grant = Grant::of(request)?;
        let offer = read_offer(request)?;
        let number = request.headers.cseq().map_err(|_| answer(400))?.number;
        let (body, said) = match offer {
            Some((offer, audio)) => {
                (self.take_offer(id, &offer, audio).map_err(|status| answer(status.0))?, Said::Answer)
            }
            None => (self.fresh_offer(id).ok_or_else(|| answer(481))?, Said::Offer),
        };
        let Some(leg) = self.table.leg_mut(id) else { return Err(answer(481)) };
        let LegState::Up(up) = &mut leg.state else { return Err(answer(481)) };
        up.dialog.refresh(request.headers.contacts());
        up.takes.renew(&request.headers);
        let mut response = request.response_tagged(Status(200), &leg.tag);
        response.headers.push(Name::Contact, up.dialog.flow().contact());
        response.headers.push(Name::Allow, crate::engine::ALLOW);
        response.headers.push(Name::Supported, crate::engine::SUPPORTED);
        // An earlier 2xx that still waits for its ACK is overtaken: whoever sends the next offer has seen it.
        let exchange = Exchange::Unacknowledged { tx, number, said };
        if let Exchange::Unacknowledged { tx: earlier, .. } = std::mem::replace(&mut up.exchange, exchange) {
            self.endpoint.acknowledged(at.now.mono, earlier);
        }
        self.endpoint.transactions.set_owner(tx, Owner::Reinvite(id));
        let timer = grant.map(|grant| {
            grant.write(&mut response);
            grant.timer()
        });
        self.settle_session(at, id, timer);
        Ok(response.with_body("application/sdp", body))
    }

    /// What we can, for a phone that asks for an offer (RFC 3261 §14.2).
    fn fresh_offer(&mut self, id: LegId) -> Option<String> {
        let leg = self.table.leg(id)?;
        let other = self.offer_of(leg.call, leg.side.other());
        let leg = self.table.leg_mut(id)?;
        Some(leg.sdp.offer(&other.payloads, &other.fmtp, other.ptime, leg.direction))
    }

    /// The phone has said anew what its sound is to be, and that was taken.
    pub(crate) fn offer_taken(&mut self, at: At<'_>, id: LegId) {
        self.update_media(id);
        self.note_hold_by_phone(id);
        if let Some((no, side)) = self.table.leg(id).map(|leg| (leg.call, leg.side)) {
            self.agree(at, no, side.other());
        }
    }

    /// The ACK of a 2xx that had our offer.
    pub(crate) fn take_acknowledged_answer(&mut self, at: At<'_>, id: LegId, ack: &Request) {
        let Some(leg) = self.table.leg_mut(id) else { return };
        match read_answer(&ack.headers, &ack.body, leg.sdp.payloads()) {
            Reply::Answer(audio) => {
                leg.audio = Some(audio);
                let (no, side, direction) = (leg.call, leg.side, leg.direction);
                self.update_media(id);
                self.join(no);
                // To an offer of silence there is no other answer: it is no hold of the phone's own.
                if direction == Direction::SendRecv {
                    self.note_hold_by_phone(id);
                }
                self.agree(at, no, side.other());
                self.agree(at, no, side);
            }
            // Nothing can come of a call without sound; one that has it goes on as it was.
            Reply::None | Reply::Unusable if leg.audio.is_none() => self.incompatible(at, id),
            Reply::None | Reply::Unusable => {}
        }
    }

    /// A phone that wants to hear nothing holds, whatever form it gives that (`sendonly`, `inactive`, `c=0.0.0.0`).
    fn note_hold_by_phone(&mut self, id: LegId) {
        let Some(leg) = self.table.leg(id) else { return };
        let (no, side, held) = (leg.call, leg.side, leg.audio.as_ref().is_some_and(holds));
        let Some(call) = self.table.call_mut(no) else { return };
        if let PartyState::Up { hold, .. } = &mut call.party_mut(side).state {
            hold.by_phone = held;
        }
        self.touch(no, None);
    }

    /// A client's hold (S63) and unhold; what may be done was asked before.
    pub(crate) fn reoffer_for_client(&mut self, at: At<'_>, id: LegId, direction: Direction) -> Ticket {
        let ticket = self.ticket();
        self.reoffer(at, id, Reoffer::asked(direction, ticket));
        ticket
    }

    /// Offers anew: now, or as soon as the exchange that is under way is over.
    pub(crate) fn reoffer(&mut self, at: At<'_>, id: LegId, reoffer: Reoffer) {
        let Some(leg) = self.table.leg(id) else { return };
        let (no, other) = (leg.call, leg.side.other());
        let other = self.offer_agreed(no, other);
        let Some(leg) = self.table.leg_mut(id) else { return };
        let LegState::Up(up) = &mut leg.state else { return };
        if !matches!(up.exchange, Exchange::Settled) {
            up.next = Some(reoffer);
            return self.touch(no, None);
        }
        let mut request = up.dialog.request(Method::Invite);
        let flow = up.dialog.flow();
        request.headers.push(Name::Contact, flow.contact());
        request.headers.push(Name::Allow, crate::engine::ALLOW);
        request.headers.push(Name::Supported, crate::engine::SUPPORTED);
        up.session.ask(&mut request);
        let direction = reoffer.direction.unwrap_or(leg.direction);
        let body = leg.sdp.offer(&other.payloads, &other.fmtp, other.ptime, direction);
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        up.exchange = Exchange::Offered { number, reoffer };
        self.assert_identity(id, &mut request);
        self.endpoint.request(at.now.mono, flow, request.with_body("application/sdp", body), Owner::Reinvite(id));
        self.touch(no, None);
    }

    /// The phone answers our re-INVITE.
    pub(crate) fn reinvite_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        if response.status.is_provisional() {
            return;
        }
        if response.status.is_success() {
            self.acknowledge_within(id, response);
        }
        let Some(leg) = self.table.leg_mut(id) else { return };
        let LegState::Up(up) = &mut leg.state else { return };
        // A 2xx that comes again only wanted its ACK: its exchange is settled, and the next may have begun.
        let answered = response.headers.cseq().map_or(0, |cseq| cseq.number);
        if !matches!(up.exchange, Exchange::Offered { number, .. } if number == answered) {
            return;
        }
        if let Exchange::Offered { reoffer, .. } = std::mem::replace(&mut up.exchange, Exchange::Settled) {
            match read_answer(&response.headers, &response.body, leg.sdp.payloads()) {
                Reply::Answer(audio) if response.status.is_success() => {
                    leg.audio = Some(audio);
                    leg.direction = reoffer.direction.unwrap_or(leg.direction);
                    up.dialog.refresh(response.headers.contacts());
                    self.settle_session(at, id, SessionTimer::settled(response));
                    self.reoffered(at, id, &reoffer);
                    // An answer tells of a hold as an offer does, unless it had no choice.
                    if self.table.leg(id).is_some_and(|leg| leg.direction == Direction::SendRecv) {
                        self.note_hold_by_phone(id);
                    }
                }
                _ if reoffer.put_off == MAX_PUT_OFF => self.reoffer_failed(at, id, &reoffer, response.status),
                _ if response.status == Status(491) => return self.offer_again(at, id, reoffer, None),
                // §14.2: the phone is in the middle of something.
                _ if response.status == Status(500) && response.headers.retry_after().is_some_and(|s| s <= SOON) => {
                    return self.offer_again(at, id, reoffer, response.headers.retry_after());
                }
                _ => self.reoffer_failed(at, id, &reoffer, response.status),
            }
        }
        self.settled(at, id);
    }

    /// The phone has accepted an offer that was given up when its connection ended: it lives by that, and is told how things stand. Said again, it has heard.
    pub(crate) fn accepted_late(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        let number = response.headers.cseq().map_or(0, |cseq| cseq.number);
        if number > up.accepted_late {
            up.accepted_late = number;
            self.reoffer(at, id, Reoffer::again());
        }
    }

    /// Every 2xx of the dialog wants its ACK, though a BYE of ours may have crossed it (RFC 3261 §13.2.2.4).
    fn acknowledge_within(&mut self, id: LegId, response: &Response) {
        let leaving = self.table.leaving(id).map(|leaving| &leaving.state);
        let dialog = match (self.table.leg(id).map(|leg| &leg.state), leaving) {
            (Some(LegState::Up(up)), _) => Some(up.dialog.clone()),
            (_, Some(LeavingState::Ended(dialog))) => Some(dialog.clone()),
            _ => None,
        };
        if let Some(dialog) = dialog {
            self.acknowledge(&dialog, response);
        }
    }

    /// Both sides offered at once (RFC 3261 §14.1): whoever made the Call-ID waits longer, so that the two do not meet again. Or the phone has said for
    /// how many seconds it is busy.
    fn offer_again(&mut self, at: At<'_>, id: LegId, mut reoffer: Reoffer, busy: Option<u64>) {
        reoffer.put_off += 1;
        let random = self.endpoint.entropy.number();
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        // A client's offer that waits already says all that one of the switch's own would.
        if up.next.as_ref().is_none_or(|next| next.ticket.is_none()) {
            up.next = Some(reoffer);
        }
        let wait = match busy {
            Some(seconds) => 1000 * seconds.max(1),
            None if up.dialog.is_ours() => 2100 + random % 1900,
            None => random % 2000,
        };
        self.endpoint.timers.set(Timer::Reoffer(id), at.now.mono + Duration::from_millis(wait));
        if let Some(no) = self.table.leg(id).map(|leg| leg.call) {
            self.touch(no, None);
        }
    }

    fn reoffered(&mut self, at: At<'_>, id: LegId, reoffer: &Reoffer) {
        self.update_media(id);
        let Some(leg) = self.table.leg(id) else { return };
        let (no, side) = (leg.call, leg.side);
        let Some(call) = self.table.call_mut(no) else { return };
        if let (PartyState::Up { hold, .. }, Some(direction)) = (&mut call.party_mut(side).state, reoffer.direction) {
            hold.by_client = direction == Direction::Inactive;
        }
        if let Some(ticket) = reoffer.ticket {
            self.complete(ticket, Ok(None));
        }
        self.agree(at, no, side.other());
        self.touch(no, None);
    }

    /// The session goes on as it was (RFC 3261 §14.1); where the phone knows no such dialog, the call is over.
    fn reoffer_failed(&mut self, at: At<'_>, id: LegId, reoffer: &Reoffer, status: Status) {
        if let Some(ticket) = reoffer.ticket {
            let (code, text) = match status.0 {
                200..=299 => (RefusalCode::Declined, "Your phone's answer has no sound that can be carried".to_owned()),
                408 => (RefusalCode::NoAnswer, "Your phone did not answer in time".to_owned()),
                491 | 500 => {
                    (RefusalCode::Declined, format!("Your phone is in the middle of something ({})", status.0))
                }
                other => (RefusalCode::Declined, format!("Your phone refused ({other})")),
            };
            self.complete(ticket, Err(Refusal { code, text: text.into() }));
        }
        match self.table.leg(id).map(|leg| leg.call) {
            Some(no) if matches!(status.0, 408 | 481) => self.vanished(at, no),
            Some(no) => self.touch(no, None),
            None => {}
        }
    }

    /// Our re-INVITE was never answered: the phone is gone. Where only its connection is, it may come back on another, and the call goes on as it
    /// was: a phone that does not is found by its silence.
    pub(crate) fn reinvite_unanswered(&mut self, at: At<'_>, id: LegId, why: Unanswered) {
        let status = match why {
            Unanswered::Timeout => Status(408),
            Unanswered::Unreachable => Status(503),
        };
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        if let Exchange::Offered { reoffer, .. } = std::mem::replace(&mut up.exchange, Exchange::Settled) {
            self.reoffer_failed(at, id, &reoffer, status);
        }
        self.settled(at, id);
    }

    /// An exchange is over: the offer that waited goes out.
    pub(crate) fn settled(&mut self, at: At<'_>, id: LegId) {
        self.endpoint.timers.cancel(Timer::Reoffer(id));
        let Some(Leg { state: LegState::Up(up), call, .. }) = self.table.leg_mut(id) else { return };
        let no = *call;
        if let Some(next) = up.next.take() {
            self.reoffer(at, id, next);
        }
        self.touch(no, None);
    }
}
