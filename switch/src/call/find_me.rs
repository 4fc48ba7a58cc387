//! Others who are rung in somebody's place, together with his own phones or after them: the first who answers has the call, and nobody's phone rings twice for it.
//!
//! Each is rung by a call of its own, with [`Service::Seek`] in the caller's place: so lamps, clients and records of whoever is rung show what his phones do, and whoever may answer
//! that call for him may. Who answers takes the place of the one who was called. Rules of others are not followed, or a call would be brought to people nobody has thought of: it only
//! counts whether their phones ring now.

use cas::control::{CallId, Cause};
use cas::site::{Extension, UserId};
use cas::store::HistoryKind;

use super::cause::Failure;
use super::party::{Identity, PartyState, Side};
use super::route::{self, Contact, Destination};
use super::{CallNo, Stage};
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::sip::diversion::Reason;
use crate::sip::message::Status;

impl Engine {
    /// Rings those of these numbers who can be, in the place of a call's callee; whether anybody is.
    pub(crate) fn seek(&mut self, at: At<'_>, no: CallNo, numbers: &[Extension]) -> bool {
        let mut any = false;
        for number in numbers {
            let Some(Destination::User(user)) = route::destination(at.site, number.as_str()) else { continue };
            let contacts = self.who_can_be_sought(at, no, user);
            if !contacts.is_empty() && !self.is_full() {
                any |= self.seek_at(at, no, user, contacts);
            }
        }
        any
    }

    /// The phones of somebody who may be rung in another's place: not of whoever is in the call already or has sent it on, and of nobody who wants no calls.
    fn who_can_be_sought(&self, at: At<'_>, no: CallNo, user: UserId) -> Vec<Contact> {
        let Some(call) = self.table.call(no) else { return Vec::new() };
        let rings = |other: &CallNo| {
            self.table.call(*other).is_some_and(|other| {
                // He may have sent it on to somebody else meanwhile.
                other.callee.identity.user == Some(user) || other.trail.has(user)
            })
        };
        let is_in_it = [&call.caller, &call.callee].iter().any(|party| party.identity.user == Some(user));
        if is_in_it || call.trail.has(user) || call.callee.also().iter().any(rings) {
            return Vec::new();
        }
        let (_, rules) = at.site.handling(user, at.now.wall);
        match rules.dnd || rules.always.is_some() || self.is_busy(at.site, user) {
            true => Vec::new(),
            false => self.contacts(at.site, user),
        }
    }

    fn seek_at(&mut self, at: At<'_>, no: CallNo, user: UserId, contacts: Vec<Contact>) -> bool {
        let Some(call) = self.table.call(no) else { return false };
        let (sought, device, hops) = (call.callee.id, call.caller.device, call.max_forwards);
        let caller = Identity { user: None, ..call.caller.identity.clone() };
        let mut trail = call.trail.clone();
        trail.push(self.stop_at(&call.callee.identity, Reason::FollowMe));
        let callee = route::user_identity(at.site, user);
        let stage = Stage::Ringing { ticket: None, failure: None };
        let other = self.begin(at, caller, callee, stage, hops, None);
        if let Some(call) = self.table.call_mut(other) {
            call.caller.state = PartyState::Service(Service::Seek(sought));
            // Should it be sent on to the caller himself: it does not ring the phone he calls from.
            call.caller.device = device;
            call.trail = trail;
        }
        let offer = self.offer_of(other, Side::Caller);
        let legs = self.ring_each(at, other, Side::Callee, contacts, &offer);
        if legs.is_empty() {
            self.end_call(at, other, Failure::new(Cause::Overloaded), None);
            return false;
        }
        self.set_ringing(other, Side::Callee, legs);
        self.note_caller(at, other, user);
        if let Some(PartyState::Ringing { also, .. }) = self.table.call_mut(no).map(|call| &mut call.callee.state) {
            also.push(other);
        }
        true
    }

    /// The phone of one who is rung in another's place says that it rings: so the caller is told that it rings there.
    pub(crate) fn rings_elsewhere(&mut self, at: At<'_>, sought: CallId) {
        let Some((no, side)) = self.table.end(sought) else { return };
        let Some(call) = self.table.call_mut(no) else { return };
        let PartyState::Ringing { rung, .. } = &mut call.party_mut(side).state else { return };
        if std::mem::replace(rung, true) {
            return;
        }
        if let PartyState::Calling(caller) = call.party(side.other()).state {
            self.tell_caller(at, caller, Status(180));
        }
        self.touch(no, None);
    }

    /// Somebody has answered, or picked up, in the place of the one who was called: he has it, and all others stop.
    pub(crate) fn found(&mut self, at: At<'_>, other: CallNo, sought: CallId) {
        let nobody = self.party(at, Identity::default(), Identity::default());
        let (Some((no, side)), Some(finder)) =
            (self.table.end(sought), self.table.replace(other, Side::Callee, nobody))
        else {
            return;
        };
        for leg in finder.legs() {
            self.journal.hand_over(leg, no, side);
        }
        let Some(before) = self.table.replace(no, side, finder) else { return };
        let stop = self.stop_at(&before.identity, Reason::FollowMe);
        if let Some(call) = self.table.call_mut(no) {
            call.trail.push(stop);
        }
        // That ends the call he was rung by, too.
        self.dismiss(at, &before, Cause::AnsweredElsewhere, Some(HistoryKind::Received));
        self.touch(no, Some(Cause::Forwarded));
        self.connect(at, no);
    }

    /// A call that rang somebody in another's place is over without an answer. He who was called is given up with the last of them, if his own phones ring no more.
    pub(crate) fn not_found(&mut self, at: At<'_>, other: CallNo, sought: CallId) {
        let Some((no, side)) = self.table.end(sought) else { return };
        let Some(call) = self.table.call_mut(no) else { return };
        let PartyState::Ringing { legs, also, .. } = &mut call.party_mut(side).state else { return };
        let before = also.len();
        also.retain(|listed| *listed != other);
        let is_last = legs.is_empty() && also.is_empty();
        if also.len() == before {
            return;
        }
        self.touch(no, None);
        if is_last {
            let failure = self.outcome(no);
            self.unreached(at, no, failure);
        }
    }
}
