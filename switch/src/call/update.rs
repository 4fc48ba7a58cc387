//! UPDATE of a phone's (RFC 3311): within a call and before its answer, with an offer or only to refresh the session.

use super::leg::{Exchange, Leg, LegId, LegState, Said, Terms};
use super::offer::read_offer;
use crate::engine::{At, Engine};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::sip::session_timer::Grant;
use crate::sip::transaction::ServerTx;

impl Engine {
    /// An UPDATE in the dialog of a leg.
    pub(crate) fn updated(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let response = match self.answer_update(at, request, id) {
            Ok(response) | Err(response) => response,
        };
        self.endpoint.respond(at.now.mono, tx, &response);
    }

    fn answer_update(&mut self, at: At<'_>, request: &Request, id: LegId) -> Result<Response, Response> {
        let grant = Grant::of(request)?;
        let body = match read_offer(request)? {
            Some((offer, audio)) => {
                if let Some(status) = self.may_not_offer(id) {
                    return Err(self.later(request, status));
                }
                Some(self.take_offer(id, &offer, audio).map_err(|status| request.response(status))?)
            }
            None => None,
        };
        let Some(leg) = self.table.leg_mut(id) else { return Err(request.response(Status(481))) };
        let mut response = request.response(Status(200));
        response.headers.push(Name::Contact, leg.flow().contact());
        response.headers.push(Name::Allow, crate::engine::ALLOW);
        response.headers.push(Name::Supported, crate::engine::SUPPORTED);
        match &mut leg.state {
            LegState::Incoming(incoming) => incoming.dialog.refresh(request.headers.contacts()),
            LegState::Outgoing(outgoing) => {
                if let Some(early) = outgoing.early.iter_mut().find(|early| early.dialog.owns(request)) {
                    early.dialog.refresh(request.headers.contacts());
                }
            }
            LegState::Up(_) => {}
        }
        if let LegState::Up(up) = &mut leg.state {
            up.dialog.refresh(request.headers.contacts());
            up.takes.renew(&request.headers);
            // Before the answer the session timer is the INVITE's to settle.
            let timer = grant.map(|grant| {
                grant.write(&mut response);
                grant.timer()
            });
            self.settle_session(at, id, timer);
        }
        let Some(body) = body else { return Ok(response) };
        self.offer_taken(at, id);
        Ok(response.with_body("application/sdp", body))
    }

    /// §5.2: an offer that meets another one is to be made again, that of ours (491) or one that still has no answer (500).
    fn may_not_offer(&self, id: LegId) -> Option<Status> {
        match self.table.leg(id) {
            Some(Leg { state: LegState::Up(up), .. }) => match up.exchange {
                Exchange::Offered { .. } | Exchange::Unacknowledged { said: Said::Offer, .. } => Some(Status(491)),
                Exchange::Settled | Exchange::Unacknowledged { said: Said::Answer, .. } => None,
            },
            Some(Leg { state: LegState::Incoming(incoming), .. }) => match incoming.terms {
                // An answer that may have been lost is none yet (§5.1).
                Terms::Offered(_) | Terms::Open | Terms::Agreed(Some(_)) => Some(Status(500)),
                Terms::Proposed => Some(Status(491)),
                Terms::Agreed(None) => None,
            },
            Some(Leg { state: LegState::Outgoing(_), audio, .. }) => audio.is_none().then_some(Status(491)),
            None => Some(Status(481)),
        }
    }

    fn later(&mut self, request: &Request, status: Status) -> Response {
        let response = request.response(status);
        match status {
            Status(500) => response.with(Name::RetryAfter, (self.endpoint.entropy.number() % 11).to_string()),
            _ => response,
        }
    }
}
