//! What a phone says of itself when it will not be rung now: that another number should be (3xx), or that it wants to be left alone for a
//! while (503 with Retry-After).

use std::time::Duration;

use cas::control::{CallId, Cause, Direction, Principal, Refusal, RefusalCode};
use cas::store::HistoryKind;

use super::cause::Failure;
use super::forward::Course;
use super::leg::{LegId, LegState};
use super::party::{Party, PartyState, Side};
use super::route::{self, Destination};
use super::transfer::wrong_state;
use super::{CallNo, Manner, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::sip::diversion::{self, Reason};
use crate::sip::header::Contacts;
use crate::sip::message::{Response, Status};

/// Who answers 503 is left alone for so long at most, in seconds.
const MAX_REST: u64 = 300;
/// Peers that are left alone at a time; one more is asked again at once, which costs no more than its next 503.
const MAX_RESTING: usize = 1024;

impl Engine {
    /// RFC 3261 §8.1.3.4: a phone sends its callers elsewhere. That is followed where it leads to a number of this switch (a phone is no gateway to
    /// the rest of the world), and not in circles. False where it is not.
    pub(crate) fn redirected(&mut self, at: At<'_>, id: LegId, response: &Response) -> bool {
        let Some(leg) = self.table.leg(id).filter(|leg| leg.side == Side::Callee) else { return false };
        let no = leg.call;
        // Who is reminded of a call on hold is meant himself.
        if self.table.call(no).is_some_and(|call| call.reminds().is_some()) {
            return false;
        }
        let Some(number) = self.redirect_target(id, response).filter(|_| self.settings.follow_redirects) else {
            return false;
        };
        let Some(destination) = route::destination(at.site, &number) else { return false };
        if !self.may_send_on(no, &destination) {
            return false;
        }
        if let Some(leg) = self.table.remove_leg(id) {
            self.end_prompt(id, &leg.state, Failure::new(Cause::Forwarded));
            self.close_media(id, leg.place, None);
            self.unring(no, id);
        }
        // Why, a phone may say in its own words (RFC 5806 §5).
        let why = diversion::read(&response.headers).last().map_or(Reason::Deflection, |said| said.reason);
        self.send_on(at, no, &number, &destination, why);
        true
    }

    /// Not in circles, and not without end.
    pub(crate) fn may_send_on(&self, no: CallNo, destination: &Destination) -> bool {
        let Some(call) = self.table.call(no) else { return false };
        // What is not answered yet can neither be parked nor get what is.
        match destination {
            Destination::User(_) | Destination::Phone(..) | Destination::Service(_) => {}
            Destination::Orbit(_)
            | Destination::Park(_)
            | Destination::Pickup(_)
            | Destination::GroupPickup
            | Destination::Intercom(_)
            | Destination::Return
            | Destination::Redial
            | Destination::CallBack(_)
            | Destination::NoCallBack(_) => {
                return false;
            }
        }
        let is_circle = match destination {
            Destination::User(user) => {
                let parties = [&call.caller, &call.callee];
                call.trail.has(*user) || parties.iter().any(|party| party.identity.user == Some(*user))
            }
            _ => false,
        };
        !is_circle && call.trail.has_room()
    }

    /// Whether a client may send a call on that rings his user's phone (S69), and where to.
    pub(crate) fn may_redirect(
        &self,
        at: At<'_>,
        who: &Principal,
        id: CallId,
        number: &str,
    ) -> Result<(CallNo, Destination), Refusal> {
        let no = self.may_send_on_at_all(who, id)?;
        let destination = self.may_dial(at, number)?;
        if !self.may_send_on(no, &destination) {
            let text =
                "The call comes from there, has been there already, or cannot be sent there before it is answered";
            return Err(Refusal { code: RefusalCode::BadValue, text: text.into() });
        }
        let caller = self.table.call(no).and_then(|call| call.caller.identity.user);
        self.may_reach(at, caller, &destination)?;
        Ok((no, destination))
    }

    pub(crate) fn may_send_on_at_all(&self, who: &Principal, id: CallId) -> Result<CallNo, Refusal> {
        let (no, side) = self.may_drop(who, id)?;
        let rings = self.table.call(no).is_some_and(|call| {
            side == Side::Callee && matches!(call.callee.state, PartyState::Ringing { .. }) && call.trail.has_room()
        });
        match rings {
            true => Ok(no),
            false => Err(wrong_state("Only a call that rings can be sent on")),
        }
    }

    /// The number of the first contact, the preferred one first, that is meant for this switch.
    fn redirect_target(&self, id: LegId, response: &Response) -> Option<String> {
        let flow = self.table.leg(id)?.flow();
        let Ok(Contacts::List(mut contacts)) = response.headers.contacts() else { return None };
        let q = |value: Option<&str>| value.and_then(|q| q.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
        contacts.sort_by(|a, b| {
            let [a, b] = [a, b].map(|contact| q(contact.params.value("q")).unwrap_or(1.0));
            b.total_cmp(&a)
        });
        let ours = contacts.into_iter().find(|contact| self.serves(&contact.uri, &flow))?;
        ours.uri.user.map(String::from)
    }

    /// The callee's end becomes another's: his own phones ring no more, and his clients and his history are told.
    pub(crate) fn send_on(&mut self, at: At<'_>, no: CallNo, number: &str, destination: &Destination, why: Reason) {
        let Some(stop) = self.table.call(no).map(|call| self.stop_at(&call.callee.identity, why)) else { return };
        if let Some(call) = self.table.call_mut(no) {
            call.trail.push(stop);
            call.manner = Manner::Plain;
            call.course = Course::default();
        }
        let identity = route::identity(at.site, number);
        let Some(call) = self.table.call(no) else { return };
        let met = call.caller.identity.clone();
        let next = Party::new(CallId(self.table.number(at.now)), identity, Direction::In, met, at.now);
        let Some(before) = self.table.replace(no, Side::Callee, next) else { return };
        let unanswered = match why {
            // He, or his phone by his order, has seen to it.
            Reason::Deflection | Reason::Unconditional => HistoryKind::Received,
            _ => HistoryKind::Missed,
        };
        self.dismiss(at, &before, Cause::Forwarded, Some(unanswered));
        if let Some(call) = self.table.call_mut(no)
            && let Stage::Ringing { failure, .. } = &mut call.stage
        {
            *failure = None;
        }
        self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + super::originate::NO_ANSWER);
        self.touch(no, Some(Cause::Forwarded));
        if let Some(PartyState::Calling(caller)) = self.table.call(no).map(|call| &call.caller.state) {
            let caller = *caller;
            self.tell_caller(at, caller, Status(181));
        }
        self.reach_destination(at, no, destination);
    }

    /// RFC 3261 §21.5.4: who answers 503 and says for how long is not asked again before.
    pub(crate) fn heed_retry_after(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let seconds = response.headers.retry_after().filter(|_| response.status == Status(503));
        let (Some(seconds), Some(leg)) = (seconds, self.table.leg(id)) else { return };
        let LegState::Outgoing(outgoing) = &leg.state else { return };
        // Behind a proxy there are other phones, which have said nothing.
        if !outgoing.asked.route.is_empty() {
            return;
        }
        let peer = outgoing.flow.peer;
        if self.resting.len() >= MAX_RESTING {
            self.resting.retain(|_, until| *until > at.now.mono);
        }
        if self.resting.len() < MAX_RESTING {
            self.resting.insert(peer, at.now.mono + Duration::from_secs(seconds.min(MAX_REST)));
        }
    }
}
