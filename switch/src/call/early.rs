//! Before the answer: what rings, what is heard already (early media), and provisional responses that must not be lost (RFC 3262), from both ends.

use cas::control::Cause;

use super::CallNo;
use super::cause::Failure;
use super::leg::{EarlyDialog, Incoming, Leg, LegId, LegState, Outgoing, Provisional, Terms, Then};
use super::offer::{Reply, read_answer, read_offer, refused};
use super::party::{PartyState, Side};
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::sip::dialog::Dialog;
use crate::sip::header::{CSeq, Name, RAck};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::transaction::ServerTx;

/// Early dialogs of one leg: what a forking proxy may bring about.
const MAX_EARLY: usize = 8;

impl Engine {
    /// A provisional response of a phone that is rung: the caller hears once that it rings, and as soon as there is something to hear, that.
    pub(crate) fn progress(&mut self, at: At<'_>, id: LegId, response: &Response) {
        if response.status == Status(100) || !self.take_reliably(at, id, response) {
            return;
        }
        let speaks = self.take_early_answer(id, response);
        let Some(leg) = self.table.leg_mut(id) else { return };
        let (no, side) = (leg.call, leg.side);
        if let (LegState::Outgoing(outgoing), Ok(to)) = (&mut leg.state, response.headers.to()) {
            outgoing.remote_tag = to.tag().unwrap_or_default().to_owned();
            outgoing.note_talk(response);
        }
        let Some(call) = self.table.call_mut(no) else { return };
        let sought = call.sought();
        let PartyState::Ringing { rung, heard, .. } = &mut call.party_mut(side).state else { return };
        // Who is rung in another's place is not heard beside that one's own phones.
        let is_heard = speaks && side == Side::Callee && heard.is_none() && sought.is_none();
        if is_heard {
            *heard = Some(id);
        }
        let rings = !*rung && (response.status == Status(180) || !is_heard);
        *rung |= rings;
        if !rings && !is_heard {
            return;
        }
        if let (Side::Callee, PartyState::Calling(caller)) = (side, &call.caller.state) {
            let caller = *caller;
            self.tell_caller(at, caller, Status(if rings { 180 } else { 183 }));
        }
        if let Some(sought) = sought {
            self.rings_elsewhere(at, sought);
        }
        self.join(no);
        self.touch(no, None);
    }

    /// RFC 3262 §4: a reliable response is acknowledged, and taken once and in its order. False for one that is not to be taken.
    fn take_reliably(&mut self, at: At<'_>, id: LegId, response: &Response) -> bool {
        let rseq = response.headers.rseq().filter(|_| response.headers.lists(&Name::Require, "100rel"));
        let (Some(rseq), Ok(cseq)) = (rseq, response.headers.cseq().cloned()) else { return true };
        let Some(Leg { state: LegState::Outgoing(outgoing), .. }) = self.table.leg_mut(id) else { return false };
        // Without a Contact there is no dialog to acknowledge it in: it is worth as much as one that may be lost.
        let Ok(dialog) = Dialog::client(response, outgoing.way_after(response)) else { return true };
        let known = outgoing.early.iter().position(|early| early.dialog.remote_tag() == dialog.remote_tag());
        let early = match known {
            Some(known) => &mut outgoing.early[known],
            None if outgoing.early.len() >= MAX_EARLY => return false,
            None => {
                outgoing.early.push(EarlyDialog { dialog, rseq: None });
                outgoing.early.last_mut().expect("it was pushed")
            }
        };
        // The same once more, which its PRACK has crossed, or one that another must come before.
        if early.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        early.rseq = Some(rseq);
        let mut prack = early.dialog.request(Method::Prack);
        prack.headers.push(Name::RAck, RAck { rseq, cseq }.to_string());
        let flow = early.dialog.flow();
        self.endpoint.request(at.now.mono, flow, prack, Owner::Nobody);
        true
    }

    /// The first answer to our offer comes before the final response: whether there is one.
    fn take_early_answer(&mut self, id: LegId, response: &Response) -> bool {
        let Some(leg) = self.table.leg_mut(id).filter(|leg| leg.audio.is_none()) else { return false };
        let Reply::Answer(audio) = read_answer(&response.headers, &response.body, leg.sdp.payloads()) else {
            return false;
        };
        leg.audio = Some(audio);
        self.update_media(id);
        true
    }

    /// Tells a phone that waits how its call gets on: with an answer to its offer where the callee is heard already, reliably where that is asked for,
    /// or where the phone can and there is something in it that must not be lost.
    pub(crate) fn tell_caller(&mut self, at: At<'_>, id: LegId, status: Status) {
        let Some(leg) = self.table.leg_mut(id) else { return };
        let no = leg.call;
        let LegState::Incoming(incoming) = &mut leg.state else { return };
        let rseq = match &mut incoming.provisional {
            Provisional::Unpracked { then: Some(Then::Answer), .. } => return,
            Provisional::Unpracked { then, .. } => return *then = Some(Then::Tell(status)),
            Provisional::Free { next } => *next,
        };
        let body = self.early_description(no, id);
        // Whom he has now, where that is not whom he has called.
        let was_sent_on = self.table.call(no).is_some_and(|call| call.trail.is_ours());
        let asserted = self.other_of(id).filter(|_| was_sent_on).map(|other| self.address(other).to_string());
        let Some(Leg { state: LegState::Incoming(incoming), tag, .. }) = self.table.leg_mut(id) else { return };
        let mut response = incoming.response(tag, status);
        if let Some(asserted) = asserted {
            response.headers.push(Name::PAssertedIdentity, asserted);
        }
        let reliable = incoming.wants_reliable() || (incoming.knows_reliable() && body.is_some());
        if let Some(body) = body {
            response = response.with_body("application/sdp", body);
        }
        let tx = incoming.tx;
        if !reliable {
            return self.endpoint.respond(at.now.mono, tx, &response);
        }
        incoming.provisional = Provisional::Unpracked { rseq, then: None };
        response.headers.push(Name::Require, "100rel");
        response.headers.push(Name::RSeq, rseq.to_string());
        self.endpoint.respond_reliably(at.now.mono, tx, &response);
    }

    /// What a provisional response is to carry: the answer, where the callee is heard; our offer, where the INVITE had none and the response will be
    /// reliable (RFC 3262 §5).
    fn early_description(&mut self, no: CallNo, id: LegId) -> Option<String> {
        let heard = self.table.call(no).is_some_and(|call| call.callee.speaker().is_some()) || self.tells(no).is_some();
        let offer = self.offer_of(no, Side::Callee);
        let leg = self.table.leg_mut(id)?;
        let LegState::Incoming(incoming) = &mut leg.state else { return None };
        match &incoming.terms {
            Terms::Offered(description) if heard => {
                let body =
                    leg.sdp.answer(description, &offer.codecs(), &offer.fmtp, offer.ptime, leg.direction).ok()?;
                incoming.terms = Terms::Agreed(Some(body.clone()));
                self.update_media(id);
                Some(body)
            }
            Terms::Open if incoming.wants_reliable() || (heard && incoming.knows_reliable()) => {
                incoming.terms = Terms::Proposed;
                Some(leg.sdp.offer(&offer.payloads, &offer.fmtp, offer.ptime, leg.direction))
            }
            _ => None,
        }
    }

    /// A PRACK of the caller's.
    pub(crate) fn pracked(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let Some(Leg { state: LegState::Incoming(incoming), .. }) = self.table.leg(id) else {
            return self.endpoint.respond(at.now.mono, tx, &request.response(Status(481)));
        };
        let rack = match request.headers.rack() {
            Ok(rack) => rack,
            Err(error) => return self.endpoint.respond(at.now.mono, tx, &refused(request, Status(400), &error.text)),
        };
        let answered = CSeq { number: incoming.number, method: Method::Invite };
        let (rseq, then) = match incoming.provisional {
            Provisional::Unpracked { rseq, then } if rack.rseq == rseq && rack.cseq == answered => (rseq, then),
            _ => return self.endpoint.respond(at.now.mono, tx, &request.response(Status(481))),
        };
        let response = match self.take_prack_body(request, id) {
            Ok(response) => response,
            Err(PrackError::Refused(response)) => return self.endpoint.respond(at.now.mono, tx, &response),
            Err(PrackError::NoAnswer(response)) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                return self.incompatible(at, id);
            }
        };
        self.endpoint.respond(at.now.mono, tx, &response);
        let Some(Leg { state: LegState::Incoming(incoming), call, .. }) = self.table.leg_mut(id) else { return };
        let (invite, no) = (incoming.tx, *call);
        incoming.provisional = Provisional::Free { next: rseq + 1 };
        // What has arrived need not be said again.
        if let Terms::Agreed(answer) = &mut incoming.terms {
            *answer = None;
        }
        self.endpoint.pracked(at.now.mono, invite);
        self.update_media(id);
        self.join(no);
        match then {
            Some(Then::Tell(status)) => self.tell_caller(at, id, status),
            Some(Then::Answer) => self.connect(at, no),
            None => {}
        }
    }

    /// The answer to the offer that we made in the provisional response, or a further offer (RFC 3262 §5).
    fn take_prack_body(&mut self, request: &Request, id: LegId) -> Result<Response, PrackError> {
        let Some(leg) = self.table.leg_mut(id) else { return Err(PrackError::Refused(request.response(Status(481)))) };
        let LegState::Incoming(incoming) = &mut leg.state else {
            return Err(PrackError::Refused(request.response(Status(481))));
        };
        if let Terms::Proposed = incoming.terms {
            let Reply::Answer(audio) = read_answer(&request.headers, &request.body, leg.sdp.payloads()) else {
                return Err(PrackError::NoAnswer(request.response(Status(200))));
            };
            incoming.terms = Terms::Agreed(None);
            leg.audio = Some(audio);
            return Ok(request.response(Status(200)));
        }
        let is_open = !matches!(incoming.terms, Terms::Agreed(_));
        match read_offer(request).map_err(PrackError::Refused)? {
            None => Ok(request.response(Status(200))),
            Some(_) if is_open => {
                let response = refused(request, Status(400), "The offer of the INVITE has no answer yet");
                Err(PrackError::Refused(response))
            }
            Some((offer, audio)) => {
                let body = self.take_offer(id, &offer, audio);
                let body = body.map_err(|status| PrackError::Refused(request.response(status)))?;
                Ok(request.response(Status(200)).with_body("application/sdp", body))
            }
        }
    }

    /// RFC 3262 §3: the PRACK never came.
    pub(crate) fn unpracked(&mut self, at: At<'_>, id: LegId) {
        if let Some(leg) = self.table.leg(id) {
            let failure = Failure { status: Status(504), cause: Cause::Vanished };
            self.end_call(at, leg.call, failure, None);
        }
    }

    /// A phone's session description is not one that sound can be made of.
    pub(crate) fn incompatible(&mut self, at: At<'_>, id: LegId) {
        if let Some(leg) = self.table.leg(id) {
            self.end_call(at, leg.call, Failure::new(Cause::Incompatible), None);
        }
    }
}

/// Why a PRACK does not do what it should.
enum PrackError {
    /// It is refused, and its response still waits for a better one.
    Refused(Response),
    /// It has acknowledged the response, and not answered the offer in it: nothing can come of the call.
    NoAnswer(Response),
}

impl Outgoing {
    /// Whether the phone that rings can be told to talk: it says so itself (Allow-Events), or has said so when it registered. Then its dialog is kept.
    fn note_talk(&mut self, response: &Response) {
        if response.headers.get(&Name::AllowEvents).is_some() {
            self.asked.takes_talk = response.headers.lists(&Name::AllowEvents, "talk");
        }
        let is_known = self.early.iter().any(|early| early.dialog.remote_tag() == self.remote_tag);
        if !self.asked.takes_talk || is_known || self.early.len() >= MAX_EARLY {
            return;
        }
        // Without a Contact, or a tag, there is none.
        if let Ok(dialog) = Dialog::client(response, self.way_after(response)) {
            self.early.extend((!dialog.remote_tag().is_empty()).then_some(EarlyDialog { dialog, rseq: None }));
        }
    }
}

impl Incoming {
    /// The RSeq of a first provisional response, from chance (RFC 3262 §3: 1 to 2^31 - 1, with room to count up).
    pub(crate) fn first_rseq(random: u64) -> Provisional {
        Provisional::Free { next: 1 + (random as u32 & 0x3fff_ffff) }
    }
}
