//! Ringing a party's phones: one leg, one INVITE for each.

use cas::control::Cause;
use media::{Codec, Command, PayloadMap, StreamStart};

use super::cause::Failure;
use super::leg::{Leg, LegId, LegState, Outgoing};
use super::party::{Identity, PartyState, Side};
use super::route::Contact;
use super::{CallNo, Stage};
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::ports::Place;
use crate::sip::flow::Flow;
use crate::sip::header::{Address, Name};
use crate::sip::message::{Method, Request};
use crate::sip::sdp::{self, Audio, Direction};
use crate::sip::uri::{Host, Params, Scheme, Uri};

/// What is offered to a phone: the other party's codecs, in its order.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) payloads: PayloadMap,
    pub(crate) fmtp: Vec<(Codec, String)>,
    pub(crate) ptime: Option<u16>,
}

impl Offer {
    /// All the media plane can pass on, where the other party is not known yet.
    pub(crate) fn everything() -> Offer {
        let payloads = vec![
            (9, Codec::G722),
            (0, Codec::Pcmu),
            (8, Codec::Pcma),
            (107, Codec::Opus),
            (101, Codec::TelephoneEvent { rate: 8000 }),
            (102, Codec::TelephoneEvent { rate: 48000 }),
        ];
        Offer { payloads: PayloadMap(payloads), fmtp: Vec::new(), ptime: Some(20) }
    }

    /// What one phone can, for the other.
    pub(crate) fn from_audio(audio: &Audio) -> Offer {
        Offer { payloads: audio.payloads.clone(), fmtp: audio.fmtp.clone(), ptime: audio.ptime }
    }

    pub(crate) fn codecs(&self) -> Vec<Codec> {
        self.payloads.0.iter().map(|(_, codec)| *codec).collect()
    }
}

impl Engine {
    /// Rings all these phones for a party; the first to answer has the call.
    pub(crate) fn ring(&mut self, at: At<'_>, no: CallNo, side: Side, contacts: Vec<Contact>, offer: &Offer) {
        let mut legs = Vec::new();
        let beside = self.table.call(no).and_then(|call| call.party(side.other()).legs().first().copied());
        let beside = beside.and_then(|leg| self.table.leg(leg)).map(|leg| leg.place.worker);
        for contact in contacts {
            let place = match beside {
                Some(worker) => self.ports.take_beside(worker),
                None => self.ports.take(),
            };
            let Some(place) = place else { break };
            legs.push(self.ring_one(at, no, side, contact, offer, place));
        }
        if legs.is_empty() {
            return self.end_call(at, no, Failure::new(Cause::Overloaded), None);
        }
        if let Some(call) = self.table.call_mut(no) {
            call.party_mut(side).state = PartyState::Ringing { legs, rung: false };
        }
        self.touch(no, None);
    }

    fn ring_one(&mut self, at: At<'_>, no: CallNo, side: Side, contact: Contact, offer: &Offer, place: Place) -> LegId {
        let leg = LegId(self.table.number(at.now));
        let tag = self.endpoint.token();
        let flow = self.endpoint.reach(contact.flow, &contact.uri);
        let mut sdp = self.session(&flow, place);
        let body = sdp.offer(&offer.payloads, &offer.fmtp, offer.ptime, Direction::SendRecv);
        self.open_media(leg, place);
        let invite = self.invite(no, side, contact.uri, &flow, &tag).with_body("application/sdp", body);
        let tx = self.endpoint.request(at.now.mono, flow, invite, Owner::Invite(leg));
        let state = LegState::Outgoing(Box::new(Outgoing { tx, flow }));
        self.table.insert_leg(leg, Leg { call: no, side, device: contact.device, tag, place, sdp, state });
        leg
    }

    /// The INVITE to a party's phone, without a body: from the other party, as the store knows it.
    fn invite(&mut self, no: CallNo, side: Side, uri: Uri, flow: &Flow, tag: &str) -> Request {
        let mut request = Request::new(Method::Invite, uri);
        let call_id = self.endpoint.token();
        let Some(call) = self.table.call(no) else { return request };
        let (to, other) = (&call.party(side).identity, &call.party(side.other()).identity);
        let mut from = self.address(other);
        let asserted = from.to_string();
        from.params.set("tag", Some(tag.to_owned()));
        let to = Address { display: None, ..self.address(to) };
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, call.max_forwards.to_string());
        headers.push(Name::From, from.to_string());
        headers.push(Name::To, to.to_string());
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, "1 INVITE");
        headers.push(Name::Contact, flow.contact());
        headers.push(Name::PAssertedIdentity, asserted);
        headers.push(Name::Allow, crate::engine::ALLOW);
        headers.push(Name::UserAgent, crate::engine::AGENT);
        if let Stage::Summoning { .. } = call.stage {
            // The user asked for this call: his phone need not be picked up, where it honours one of the makers' ways to say so.
            headers.push(Name::CallInfo, format!("<sip:{}>;answer-after=0", self.settings.domain));
            headers.push(Name::AlertInfo, "<http://127.0.0.1>;info=alert-autoanswer;delay=0");
        }
        request
    }

    /// A party as an address of this switch.
    fn address(&self, identity: &Identity) -> Address {
        let user = if identity.number.is_empty() { "anonymous" } else { &identity.number };
        let uri = Uri {
            scheme: Scheme::Sip,
            user: Some(user.to_owned()),
            host: Some(Host::Name(self.settings.domain.clone())),
            port: None,
            params: Params::default(),
            headers: None,
        };
        let display = Some(identity.name.clone()).filter(|name| !name.is_empty());
        Address { display, uri, params: Params::default() }
    }

    /// Our side of offers and answers with a phone reached over `flow`.
    pub(crate) fn session(&mut self, flow: &Flow, place: Place) -> sdp::Session {
        let ip = self.settings.media_address.unwrap_or(flow.local.ip());
        let id = self.endpoint.entropy.number() >> 2;
        sdp::Session::new(id, std::net::SocketAddr::new(ip, place.port.0))
    }

    pub(crate) fn open_media(&mut self, leg: LegId, place: Place) {
        let random = self.endpoint.entropy.number();
        // The sequence begins in the lower half, so that no receiver takes an early wrap for a restart (RFC 3711 §3.3.1).
        let start = StreamStart {
            ssrc: random as u32,
            sequence: (random >> 32) as u16 & 0x7fff,
            timestamp: self.endpoint.entropy.number() as u32,
        };
        self.media(place.worker, Command::Open { leg, port: place.port, start });
    }

    /// What a party's phone can: what its answered or waiting leg last said.
    pub(crate) fn offer_of(&self, no: CallNo, side: Side) -> Offer {
        let legs = self.table.call(no).map(|call| call.party(side).legs()).unwrap_or_default();
        let audio = legs.first().and_then(|leg| self.table.leg(*leg)).and_then(|leg| match &leg.state {
            LegState::Incoming(incoming) => Some(&incoming.audio),
            LegState::Up(up) => Some(&up.audio),
            LegState::Outgoing(_) => None,
        });
        audio.map_or_else(Offer::everything, Offer::from_audio)
    }
}
