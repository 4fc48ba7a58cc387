//! Ringing a party's phones: one leg, one INVITE for each.

use super::cause::Failure;
use super::leg::{Asked, Leg, LegId, LegState, Outgoing, Prompt};
use super::offer::Offer;
use super::party::{PartyState, Side};
use super::route::Contact;
use super::{Call, CallNo, Manner, Stage};
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::journal::{DialogKey, Part};
use crate::ports::Place;
use crate::sip::flow::{Channel, Flow};
use crate::sip::header::{Address, CSeq, Name};
use crate::sip::message::{Method, Request, Response};
use crate::sip::sdp::Direction;
use crate::sip::session_timer::{INTERVAL, SessionTimer, min_se};
use cas::control::Cause;

/// RFC 7462 §7: whoever is called is in another call.
const CALL_WAITING: &str = "<urn:alert:service:call-waiting>";

impl Engine {
    /// Rings all these phones for a party; the first to answer has the call.
    pub(crate) fn ring(&mut self, at: At<'_>, no: CallNo, side: Side, contacts: Vec<Contact>, offer: &Offer) {
        let legs = self.ring_each(at, no, side, contacts, offer);
        match legs.is_empty() {
            true => self.unreached(at, no, Failure::new(Cause::Overloaded)),
            false => self.set_ringing(no, side, legs),
        }
    }

    /// These legs ring for a party.
    pub(crate) fn set_ringing(&mut self, no: CallNo, side: Side, legs: Vec<LegId>) {
        if let Some(call) = self.table.call_mut(no) {
            call.party_mut(side).state = PartyState::Ringing { legs, also: Vec::new(), rung: false, heard: None };
        }
        self.touch(no, None);
    }

    /// Sends each of these phones its INVITE, as far as there is room; one that wants to be left alone gets none.
    pub(crate) fn ring_each(
        &mut self,
        at: At<'_>,
        no: CallNo,
        side: Side,
        contacts: Vec<Contact>,
        offer: &Offer,
    ) -> Vec<LegId> {
        let mut legs = Vec::new();
        let beside = self.voice(no, side.other()).and_then(|party| party.legs().first().copied());
        let beside = beside.and_then(|leg| self.seats.thread(leg));
        let asked = contacts
            .into_iter()
            .filter(|contact| self.resting.get(&contact.flow.peer).is_none_or(|until| *until <= at.now.mono));
        for contact in asked.collect::<Vec<_>>() {
            let place = match beside {
                Some(worker) => self.ports.take_beside(worker),
                None => self.ports.take(),
            };
            let Some(place) = place else { break };
            legs.push(self.ring_one(at, no, side, contact, offer, place));
        }
        legs
    }

    fn ring_one(&mut self, at: At<'_>, no: CallNo, side: Side, contact: Contact, offer: &Offer, place: Place) -> LegId {
        let leg = LegId(self.table.number(at.now));
        let tag = self.endpoint.token();
        let flow = self.endpoint.reach(contact.flow, contact.next_hop());
        let mut sdp = self.session(&flow, place);
        let body = sdp.offer(&offer.payloads, &offer.fmtp, offer.ptime, Direction::SendRecv);
        self.open_media(leg, place);
        let asked = Asked {
            uri: contact.uri,
            route: contact.route,
            spare: contact.spare,
            call_id: self.endpoint.token(),
            number: 1,
            seconds: INTERVAL,
            manner: self.manner_of(no, side),
            takes_talk: contact.takes_talk,
        };
        let invite = self.invite(at, no, side, &asked, &flow, &tag).with_body("application/sdp", body);
        let part = Part::new(leg, side, contact.device, flow, sdp.local().into());
        self.take_part(no, DialogKey::of_request(&invite), part);
        let tx = self.endpoint.request(at.now.mono, flow, invite, Owner::Invite(leg));
        let state = LegState::Outgoing(Box::new(Outgoing::new(tx, flow, asked, Prompt::None)));
        let (device, direction, audio) = (contact.device, Direction::SendRecv, None);
        let shown = self.table.call(no).map(|call| call.party(side.other()).identity.clone()).unwrap_or_default();
        self.table.insert_leg(leg, Leg { call: no, side, device, tag, place, sdp, audio, direction, shown, state });
        leg
    }

    /// RFC 4028 §7.3: the phone wants longer sessions, and is asked again so. False where it has been given what it wants.
    pub(crate) fn ring_again(&mut self, at: At<'_>, id: LegId, response: &Response) -> bool {
        let Some(leg) = self.table.leg(id) else { return false };
        let LegState::Outgoing(outgoing) = &leg.state else { return false };
        // Once: who wants more each time would be asked without end.
        let wanted =
            min_se(&response.headers).filter(|seconds| *seconds > INTERVAL && outgoing.asked.seconds == INTERVAL);
        let Some(seconds) = wanted else { return false };
        let flow = outgoing.flow;
        let asked = Asked { number: outgoing.asked.number + 1, seconds, ..outgoing.asked.clone() };
        self.ask(at, id, flow, asked);
        true
    }

    /// RFC 5626 §7: the flow that a phone was rung over has failed, and it has another. False where it has none.
    pub(crate) fn ring_over(&mut self, at: At<'_>, id: LegId) -> bool {
        let Some(Leg { state: LegState::Outgoing(outgoing), .. }) = self.table.leg(id) else { return false };
        let is_up = |flow: Flow| match flow.channel {
            Channel::Tcp(stream) => self.endpoint.is_up(stream),
            Channel::Udp => true,
        };
        let mut spare = outgoing.asked.spare.iter().skip_while(|contact| !is_up(contact.flow)).cloned();
        let Some(next) = spare.next() else { return false };
        let (spare, number) = (spare.collect(), outgoing.asked.number + 1);
        let asked = Asked { uri: next.uri, route: next.route, spare, number, ..outgoing.asked.clone() };
        self.ask(at, id, next.flow, asked);
        true
    }

    /// The INVITE that a client has had cancelled is over: the phone is called anew, in a dialog of its own. False where none was.
    pub(crate) fn ring_anew(&mut self, at: At<'_>, id: LegId) -> bool {
        let Some(Leg { state: LegState::Outgoing(outgoing), .. }) = self.table.leg(id) else { return false };
        if !matches!(outgoing.prompt, Prompt::Cancelled(_)) {
            return false;
        }
        let (flow, asked, call_id) = (outgoing.flow, outgoing.asked.clone(), self.endpoint.token());
        self.journal.also(id, DialogKey::of(call_id.as_bytes()));
        self.ask(at, id, flow, Asked { call_id, number: 1, ..asked });
        true
    }

    /// The INVITE once more, in other words or another way.
    fn ask(&mut self, at: At<'_>, id: LegId, flow: Flow, mut asked: Asked) {
        let Some((no, side, tag)) = self.table.leg(id).map(|leg| (leg.call, leg.side, leg.tag.clone())) else { return };
        let prompt = self.next_prompt(at, id);
        if let Prompt::Wished(_) = prompt {
            asked.manner = Manner::Intercom;
        }
        let offer = self.offer_of(no, side.other());
        let mut invite = self.invite(at, no, side, &asked, &flow, &tag);
        if asked.seconds > INTERVAL {
            invite.headers.push(Name::MinSe, asked.seconds.to_string());
        }
        let Some(leg) = self.table.leg_mut(id) else { return };
        let body = leg.sdp.offer(&offer.payloads, &offer.fmtp, offer.ptime, Direction::SendRecv);
        let tx = self.endpoint.request(at.now.mono, flow, invite.with_body("application/sdp", body), Owner::Invite(id));
        leg.state = LegState::Outgoing(Box::new(Outgoing::new(tx, flow, asked, prompt)));
        // What it said the first time belongs to a dialog that is no more.
        leg.audio = None;
        if let Some(PartyState::Ringing { heard, .. }) =
            self.table.call_mut(no).map(|call| &mut call.party_mut(side).state)
        {
            heard.take_if(|heard| *heard == id);
        }
        self.touch(no, None);
    }

    /// Whether a party's phones are to answer by themselves: its user has asked for the call now, or his caller for an intercom.
    fn manner_of(&self, no: CallNo, side: Side) -> Manner {
        match self.table.call(no) {
            // Whom he waited for is free; he may be elsewhere by now.
            Some(Call { stage: Stage::RingingCaller { .. }, manner: Manner::CallBack, .. }) => Manner::Plain,
            Some(Call { stage: Stage::RingingCaller { .. }, .. }) => Manner::Intercom,
            Some(call) if side == Side::Callee => call.manner,
            Some(_) | None => Manner::Plain,
        }
    }

    /// The INVITE to a party's phone, without a body: from the other party, as the store knows it.
    fn invite(&self, at: At<'_>, no: CallNo, side: Side, asked: &Asked, flow: &Flow, tag: &str) -> Request {
        let mut request = Request::new(Method::Invite, asked.uri.clone());
        let Some(call) = self.table.call(no) else { return request };
        let (to, other) = (&call.party(side).identity, &call.party(side.other()).identity);
        let mut from = self.address(other);
        let asserted = from.encode();
        from.params.set("tag", Some(tag.into()));
        let to = Address { display: None, ..self.address(to) };
        let target = to.uri.clone();
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, call.max_forwards.to_string());
        headers.push(Name::From, from.encode());
        headers.push(Name::To, to.encode());
        headers.push(Name::CallId, asked.call_id.clone());
        headers.push(Name::CSeq, CSeq { number: asked.number, method: Method::Invite }.encode());
        headers.push(Name::Contact, flow.contact());
        headers.push(Name::PAssertedIdentity, asserted);
        if let Some(referrer) = self.referrer(no) {
            headers.push(Name::ReferredBy, referrer.to_string());
        }
        headers.push(Name::Allow, crate::engine::ALLOW);
        headers.push(Name::Supported, crate::engine::SUPPORTED);
        if side == Side::Callee {
            call.trail.tell(headers, &target);
        }
        for hop in &asked.route {
            headers.push(Name::Route, hop.encode());
        }
        headers.push(Name::SessionExpires, SessionTimer::wanted(asked.seconds).expires().to_string());
        headers.push(Name::UserAgent, crate::engine::AGENT);
        if asked.manner == Manner::Intercom {
            // The phone need not be picked up, where it honours one of the makers' ways to say so (Call-Info of Cisco, Snom and Grandstream, Alert-Info of
            // Yealink, Aastra and Polycom), or RFC 5373.
            headers.push(Name::AnswerMode, "Auto");
            headers.push(Name::CallInfo, format!("<sip:{}>;answer-after=0", self.settings.domain));
            headers.push(Name::AlertInfo, "<http://127.0.0.1>;info=alert-autoanswer;delay=0");
        } else if let Some(user) = call.party(side).identity.user
            && self.is_in_another_call(at.site, user, no)
        {
            headers.push(Name::AlertInfo, CALL_WAITING);
        }
        request
    }
}
