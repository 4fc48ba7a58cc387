//! What phones say of their sound, and what is said to them: the offers and answers of a call (RFC 3264).

use bytes::Bytes;
use cas::control::Cause;
use media::{Codec, PayloadMap};

use super::leg::{Leg, LegId, LegState, Reoffer, Terms};
use super::party::{Party, PartyState, Side};
use super::{CallNo, cause};
use crate::engine::{At, Engine};
use crate::ports::Place;
use crate::service::Service;
use crate::sip::body::{self, accepts_descriptions};
use crate::sip::flow::Flow;
use crate::sip::header::{Headers, Name};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::sdp::{self, Audio, Description, Direction, SdpError};

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

/// The offer in a request, if it makes one, or the answer that says why it cannot be taken.
pub(crate) fn read_offer(request: &Request) -> Result<Option<(Description, Audio)>, Response> {
    if request.method == Method::Invite && !accepts_descriptions(&request.headers) {
        return Err(request.response(Status(406)).with(Name::Accept, body::ACCEPT));
    }
    let text = body::session_description(&request.headers, &request.body).map_err(|error| error.response(request))?;
    let Some(text) = text else { return Ok(None) };
    let offer = sdp::parse(&text).map_err(|error| match error {
        SdpError::Malformed(text) => refused(request, Status(400), &text),
        SdpError::NotAcceptable(text) => refused(request, Status(488), &text),
    })?;
    match offer.audio.clone() {
        Some(audio) if has_sound(&audio.payloads) && !offer.is_refused() => Ok(Some((offer, audio))),
        _ => Err(refused(request, Status(488), "No audio codec of the offer is known here")),
    }
}

/// With a Warning that says why (RFC 3261 §20.43, 399: miscellaneous), and where that is one of the ISDN's the cause (RFC 6432).
pub(crate) fn refused(request: &Request, status: Status, text: &str) -> Response {
    let text: String = text.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
    let response = request.response(status).with(Name::Warning, format!("399 switch \"{text}\""));
    let cause = match status.0 {
        403 => Cause::Declined,
        404 => Cause::NoRoute,
        486 => Cause::Busy,
        488 => Cause::Incompatible,
        // What is wrong with the message itself has no cause of a telephone's.
        _ => return response,
    };
    response.with(Name::Reason, cause::reason(cause))
}

/// What a message says to an offer of ours.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Nothing.
    None,
    /// The sound in its answer.
    Answer(Audio),
    /// An answer without any sound that can be carried.
    Unusable,
}

/// The answer in a response, an ACK or a PRACK to what we have offered.
pub(crate) fn read_answer(headers: &Headers, body: &Bytes, offered: &PayloadMap) -> Reply {
    let text = match body::session_description(headers, body) {
        Ok(Some(text)) => text,
        Ok(None) => return Reply::None,
        Err(_) => return Reply::Unusable,
    };
    let answer = sdp::parse(&text).ok().filter(|answer| !answer.is_refused());
    let audio = answer.and_then(|answer| answer.audio).filter(|audio| has_sound(&agreed(audio, offered)));
    audio.map_or(Reply::Unusable, Reply::Answer)
}

/// What the phone has named of what we have.
pub(crate) fn agreed(audio: &Audio, ours: &PayloadMap) -> PayloadMap {
    let known = |codec| ours.payload_type(codec).is_some();
    PayloadMap(audio.payloads.0.iter().filter(|(_, codec)| known(*codec)).copied().collect())
}

/// At least one codec that is not only for events.
pub(crate) fn has_sound(payloads: &PayloadMap) -> bool {
    payloads.0.iter().any(|(_, codec)| !matches!(codec, media::Codec::TelephoneEvent { .. }))
}

/// Whether the phone has put us on hold.
pub(crate) fn holds(audio: &Audio) -> bool {
    !audio.direction.receives() || audio.rtp.is_none()
}

impl Engine {
    /// Our side of offers and answers with a phone reached over `flow`.
    pub(crate) fn session(&mut self, flow: &Flow, place: Place) -> sdp::Session {
        let ip = self.settings.media_address.unwrap_or(flow.local.ip());
        let id = self.endpoint.entropy.number() >> 2;
        sdp::Session::new(id, std::net::SocketAddr::new(ip, place.port.0))
    }

    /// Whether a phone that calls, or has answered, understands something of what another can.
    pub(crate) fn would_understand(&self, id: LegId, offer: &Offer) -> bool {
        let Some(leg) = self.table.leg(id) else { return false };
        let open = match &leg.state {
            LegState::Incoming(incoming) => match &incoming.terms {
                Terms::Offered(description) => Some(description),
                Terms::Open | Terms::Proposed => return true,
                Terms::Agreed(_) => None,
            },
            LegState::Outgoing(_) | LegState::Up(_) => None,
        };
        if let Some(description) = open {
            let mut trial = leg.sdp.clone();
            let answer = trial.answer(description, &offer.codecs(), &offer.fmtp, offer.ptime, leg.direction);
            return answer.is_ok() && has_sound(trial.payloads());
        }
        leg.audio.as_ref().is_none_or(|audio| has_sound(&agreed(audio, &offer.payloads)))
    }

    /// A party, or the one a service of the switch speaks for in its place: who is parked, waits, or has
    /// his call brought to somebody else.
    pub(crate) fn voice(&self, no: CallNo, side: Side) -> Option<&Party> {
        let party = self.table.call(no)?.party(side);
        match party.state {
            PartyState::Service(Service::Recall(slot)) => Some(&self.table.call(self.parks.get(slot)?.call)?.caller),
            PartyState::Service(Service::Seek(end) | Service::Reminder(end)) => {
                let (no, side) = self.table.end(end)?;
                Some(self.table.call(no)?.party(side.other()))
            }
            _ => Some(party),
        }
    }

    /// What a party's phone can: what its answered or waiting leg, or the one that is heard already, last said.
    pub(crate) fn offer_of(&self, no: CallNo, side: Side) -> Offer {
        let audio = self
            .voice(no, side)
            .and_then(Party::speaker)
            .and_then(|leg| self.table.leg(leg))
            .and_then(|leg| leg.audio.as_ref());
        audio.map_or_else(Offer::everything, Offer::from_audio)
    }

    /// The same without what a phone could, and has not agreed to: in an answered call it would not understand it.
    pub(crate) fn offer_agreed(&self, no: CallNo, side: Side) -> Offer {
        let mut offer = self.offer_of(no, side);
        let leg = self.table.call(no).and_then(|call| call.party(side).leg()).and_then(|leg| self.table.leg(leg));
        if let Some(both) = leg.and_then(|leg| Some(agreed(leg.audio.as_ref()?, leg.sdp.payloads()))).filter(has_sound)
        {
            offer.payloads = both;
        }
        offer
    }

    /// Takes an offer of the phone's within a session, and says what is answered; nothing has changed after an error.
    pub(crate) fn take_offer(&mut self, id: LegId, offer: &Description, audio: Audio) -> Result<String, Status> {
        let Some(leg) = self.table.leg(id) else { return Err(Status(481)) };
        let (call, other) = (leg.call, leg.side.other());
        // What the other has agreed to it understands now; what else it can, it has to be offered again.
        let others = [self.offer_agreed(call, other), self.offer_of(call, other)];
        let is_taken_back = self.takes_back(id, &audio);
        let Some(leg) = self.table.leg_mut(id) else { return Err(Status(481)) };
        let direction = if is_taken_back { Direction::SendRecv } else { leg.direction };
        let answered = |other: &Offer| {
            let mut trial = leg.sdp.clone();
            let body = trial.answer(offer, &other.codecs(), &other.fmtp, other.ptime, direction);
            body.ok().filter(|_| has_sound(trial.payloads())).map(|body| (trial, body))
        };
        let (trial, body) = others.iter().find_map(answered).ok_or(Status(488))?;
        leg.sdp = trial;
        leg.audio = Some(audio);
        leg.direction = direction;
        let (no, side) = (leg.call, leg.side);
        if let Some(PartyState::Up { hold, .. }) = self.table.call_mut(no).map(|call| &mut call.party_mut(side).state) {
            hold.by_client &= !is_taken_back;
        }
        Ok(body)
    }

    /// Whether an offer is the resume key of a phone whose call a client has put on hold: it speaks and listens again, and did not before. One that only
    /// says again what it has said (RFC 4028 §7.4) takes nothing back.
    fn takes_back(&self, id: LegId, audio: &Audio) -> bool {
        let both_ways = |audio: &Audio| audio.direction == Direction::SendRecv && audio.rtp.is_some();
        let Some(leg) = self.table.leg(id) else { return false };
        let party = self.table.call(leg.call).map(|call| &call.party(leg.side).state);
        let is_on_hold = matches!(party, Some(PartyState::Up { hold, .. }) if hold.by_client);
        is_on_hold && both_ways(audio) && leg.audio.as_ref().is_some_and(|before| !both_ways(before))
    }

    /// Who may still send what the other cannot hear is offered only what both have.
    pub(crate) fn agree(&mut self, at: At<'_>, no: CallNo, side: Side) {
        let spoken = |side| {
            let id = self.table.call(no)?.party(side).leg()?;
            let leg = self.table.leg(id)?;
            Some((id, agreed(leg.audio.as_ref()?, leg.sdp.payloads())))
        };
        let (Some((id, ours)), Some((_, theirs))) = (spoken(side), spoken(side.other())) else { return };
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg(id) else { return };
        if up.next.is_none() && ours.0.iter().any(|(_, codec)| theirs.payload_type(*codec).is_none()) {
            self.reoffer(at, id, Reoffer::again());
        }
    }
}
