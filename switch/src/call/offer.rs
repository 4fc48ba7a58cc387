//! What phones say of their sound, and what is said to them: the offers and answers of a call (RFC 3264).

use super::CallNo;
use super::leg::LegState;
use super::party::Side;
use crate::engine::Engine;
use crate::ports::Place;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::sip::sdp::{self, Audio, Description, SdpError};
use media::{Codec, PayloadMap};

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

/// The offer in an INVITE, or the answer that says why it cannot be taken.
pub(crate) fn read_offer(invite: &Request) -> Result<(Description, Audio), Response> {
    if invite.body.is_empty() {
        return Err(refused(invite, Status(488), "An offer (SDP) is needed in the INVITE"));
    }
    let content_type = invite.headers.text(&Name::ContentType).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/sdp") {
        return Err(invite.response(Status(415)).with(Name::Accept, "application/sdp"));
    }
    let offer = sdp::parse(&invite.body).map_err(|error| match error {
        SdpError::Malformed(text) => refused(invite, Status(400), &text),
        SdpError::NotAcceptable(text) => refused(invite, Status(488), &text),
    })?;
    match offer.audio.clone() {
        Some(audio) if has_sound(&audio.payloads) && !offer.is_refused() => Ok((offer, audio)),
        _ => Err(refused(invite, Status(488), "No audio codec of the offer is known here")),
    }
}

/// With a Warning that says why (RFC 3261 §20.43, 399: miscellaneous).
pub(crate) fn refused(request: &Request, status: Status, text: &str) -> Response {
    let text: String = text.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
    request.response(status).with(Name::Warning, format!("399 switch \"{text}\""))
}

/// The sound in a phone's answer to what we have offered; `None` where there is none that can be carried.
pub(crate) fn usable_answer(body: &[u8], offered: &PayloadMap) -> Option<Audio> {
    let answer = sdp::parse(body).ok().filter(|answer| !answer.is_refused())?;
    answer.audio.filter(|audio| has_sound(&agreed(audio, offered)))
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
