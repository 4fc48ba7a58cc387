//! Pickup: whoever wants it answers a call that rings at somebody else's phones, or takes over from another phone of his own.
//!
//! The number behind the code names whose call it is; a phone that shows a lamp names the dialog itself, by Replaces (RFC 3891). Either way the picker's own call is over as soon as his
//! end has its place in the other.

use cas::control::{Accepted, CallEvent, Cause, Direction, Principal, Refusal};
use cas::site::{Access, DeviceId, Site, UserId};
use cas::store::HistoryKind;

use super::cause::{Failure, Whose};
use super::leg::{LeavingState, LegState};
use super::offer::refused;
use super::party::{Identity, Party, PartyState, Side};
use super::route::Destination;
use super::{CallNo, Stage};
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::service::orbit::Slot;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::sip::replaces::Replaces;

/// What the dialog is whose place an INVITE is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// One with a phone that rings for this call.
    Ringing(CallNo),
    /// One with a phone that has answered.
    Up(CallNo, Side),
    /// That of who is parked there.
    Parked(Slot),
}

impl Engine {
    /// The call that rings at a user's phones, the oldest of them; one that another may have in his place.
    pub(crate) fn may_pick_up(&self, who: UserId, user: UserId) -> Option<CallNo> {
        let ends = self.table.ends_of(user).filter_map(|id| self.table.end(id));
        let mut ringing = ends.filter(|(no, side)| *side == Side::Callee && self.may_be_picked_up(who, *no));
        ringing.next().map(|(no, _)| no)
    }

    /// The call that a user may get by going there, if that is what one goes there for.
    pub(crate) fn to_be_got(&self, site: &Site, who: UserId, destination: &Destination) -> Option<CallNo> {
        match destination {
            Destination::Orbit(slot) => self.parks.get(*slot).map(|parked| parked.call),
            Destination::Pickup(user) => self.may_pick_up(who, *user),
            Destination::GroupPickup => site.pickup_group(who).filter_map(|user| self.may_pick_up(who, user)).min(),
            Destination::User(_)
            | Destination::Phone(..)
            | Destination::Service(_)
            | Destination::Park(_)
            | Destination::Intercom(_)
            | Destination::Return
            | Destination::Redial
            | Destination::CallBack(_)
            | Destination::NoCallBack(_) => None,
        }
    }

    /// Whether a client's user has anything of going there: who wants to get or park a call finds one now.
    pub(crate) fn is_worth_it(&self, site: &Site, who: &Principal, destination: &Destination) -> bool {
        match destination {
            Destination::Orbit(_) | Destination::Pickup(_) | Destination::GroupPickup => {
                self.to_be_got(site, who.user, destination).is_some()
            }
            // His telephone may put it on hold when it answers.
            Destination::Park(_) => self.table.ends_of(who.user).any(|id| self.may_transfer(who, id).is_ok()),
            Destination::Return | Destination::Redial => self.last_calls.has(who.user, destination),
            Destination::CallBack(wanted) => self.may_book(site, who.user, *wanted).is_ok(),
            Destination::NoCallBack(wanted) => self.bookings.any(who.user, *wanted),
            Destination::User(_) | Destination::Phone(..) | Destination::Service(_) | Destination::Intercom(_) => true,
        }
    }

    /// What was to be got there is not any more: another was first, or it has gone.
    pub(crate) fn forestalled(&self, destination: &Destination, goal: CallNo) -> Failure {
        let ended = self.journal.ended().rev().find(|(no, ..)| *no == goal).map(|(_, _, end)| end);
        let is_got = match (destination, ended) {
            // Who has got it took the party out of the parked call, which was over with that.
            (Destination::Orbit(_), ended) => ended.is_some_and(|end| end.cause == Cause::AnsweredElsewhere),
            (_, Some(end)) => end.talked_msec > 0,
            (_, None) => self.table.call(goal).is_some_and(|call| matches!(call.stage, Stage::Talking)),
        };
        Failure::new(if is_got { Cause::AnsweredElsewhere } else { Cause::NothingThere })
    }

    /// Not by who has called himself.
    fn may_be_picked_up(&self, who: UserId, no: CallNo) -> bool {
        self.table.call(no).is_some_and(|call| {
            matches!((&call.stage, &call.callee.state), (Stage::Ringing { .. }, PartyState::Ringing { .. }))
                && self.voice(no, Side::Caller).is_none_or(|caller| caller.identity.user != Some(who))
                && call.reminds().is_none()
        })
    }

    /// A client picks up what rings for a user, or what is parked beside him; his own telephone is rung first.
    pub(crate) fn pick_up_for_client(
        &mut self,
        at: At<'_>,
        who: &Principal,
        number: &str,
    ) -> Result<Accepted, Refusal> {
        let Some(Slot::User(user)) = Slot::of(at.site, number) else { return self.unpark(at, who, number) };
        let Some(no) = self.may_pick_up(who.user, user) else { return self.unpark(at, who, number) };
        self.may_begin()?;
        let own = self.contacts(at.site, who.user);
        if own.is_empty() {
            return Err(Failure::new(Cause::NotRegistered).refusal(Whose::Own));
        }
        let caller = self.table.call(no).map(|call| call.caller.identity.clone()).unwrap_or_default();
        Ok(self.ring_own(at, who, own, Destination::Pickup(user), Identity { user: None, ..caller }))
    }

    /// Somebody has dialled whose call he wants, and is there.
    pub(crate) fn pick_up_of(&mut self, at: At<'_>, no: CallNo, users: &[UserId]) {
        let who = self.table.call(no).and_then(|call| call.caller.identity.user);
        // The one that has waited longest.
        let target = who.and_then(|who| users.iter().filter_map(|user| self.may_pick_up(who, *user)).min());
        let picked = target.ok_or(Failure::new(Cause::NothingThere)).and_then(|target| self.pick_up(at, no, target));
        if let Err(failure) = picked {
            self.unreached(at, no, failure);
        }
    }

    /// Somebody has dialled the code with a number behind it, or pressed the key of its lamp: he wants what rings there, else what is parked there.
    pub(crate) fn pick_up_at(&mut self, at: At<'_>, no: CallNo, user: UserId) {
        let who = self.table.call(no).and_then(|call| call.caller.identity.user);
        let rings = who.is_some_and(|who| self.may_pick_up(who, user).is_some());
        match self.parks.get(Slot::User(user)) {
            Some(_) if !rings => self.retrieve(at, no, Slot::User(user)),
            Some(_) | None => self.pick_up_of(at, no, &[user]),
        }
    }

    /// Somebody wants whatever rings in his group.
    pub(crate) fn pick_up_in_group(&mut self, at: At<'_>, no: CallNo) {
        let who = self.table.call(no).and_then(|call| call.caller.identity.user);
        let others: Vec<UserId> = who.into_iter().flat_map(|who| at.site.pickup_group(who)).collect();
        self.pick_up_of(at, no, &others);
    }

    /// The caller of one call answers another in the place of whom it rings for. Nothing has changed after a failure.
    pub(crate) fn pick_up(&mut self, at: At<'_>, no: CallNo, target: CallNo) -> Result<(), Failure> {
        self.take_seat(at, no, target, Side::Callee)?;
        self.connect(at, target);
        Ok(())
    }

    /// The caller of one call goes on with another in the place of one who has answered that.
    pub(crate) fn take_over(&mut self, at: At<'_>, no: CallNo, target: CallNo, side: Side) -> Result<(), Failure> {
        self.take_seat(at, no, target, side)?;
        if let Some(PartyState::Calling(leg)) = self.table.call(target).map(|call| &call.party(side).state) {
            let leg = *leg;
            if let Err(failure) = self.answer_waiting(at, target, leg) {
                self.end_call(at, target, failure, None);
                return Ok(());
            }
        }
        if let Some(call) = self.table.call_mut(target) {
            call.party_mut(side).answered.get_or_insert(at.now.mono);
        }
        self.join(target);
        self.agree(at, target, Side::Caller);
        self.agree(at, target, Side::Callee);
        self.touch(target, None);
        Ok(())
    }

    /// The caller of one call takes a place in another, and his own call is over. Who had the place is told that it was answered elsewhere.
    fn take_seat(&mut self, at: At<'_>, no: CallNo, target: CallNo, side: Side) -> Result<(), Failure> {
        let nothing = Failure::new(Cause::NothingThere);
        let own = self.table.call(no).and_then(|call| call.caller.speaker()).ok_or(nothing)?;
        let offer = self.offer_of(target, side.other());
        if !self.would_understand(own, &offer) {
            return Err(Failure::new(Cause::Incompatible));
        }
        let seat = self.table.call(target).ok_or(nothing)?.party(side);
        let (direction, met, seat_of) = (seat.direction, seat.met.clone(), seat.identity.user);
        let standin = self.party(at, Identity::default(), Identity::default());
        let picker = self.table.replace(no, Side::Caller, standin).ok_or(nothing)?;
        let id = picker.id;
        self.journal.hand_over(own, target, side);
        let (who, picker) = (picker.identity.user, Party { direction, met, ..picker });
        let before = self.table.replace(target, side, picker).ok_or(nothing)?;
        // One's own call, answered at another phone, is one call.
        let unanswered = if who == seat_of { None } else { Some(HistoryKind::Received) };
        self.dismiss(at, &before, Cause::AnsweredElsewhere, unanswered);
        if let Some(who) = who.filter(|_| direction == Direction::In) {
            self.note_caller(at, target, who);
        }
        let ticket = self.table.call_mut(no).and_then(|call| match &mut call.stage {
            Stage::Ringing { ticket, .. } => ticket.take(),
            Stage::RingingCaller { .. } | Stage::Talking => None,
        });
        if let Some(ticket) = ticket {
            self.complete(ticket, Ok(Some(id)));
        }
        self.end_call(at, no, Failure::new(Cause::AnsweredElsewhere), None);
        self.touch(target, None);
        Ok(())
    }

    /// Who is in no call any more: his phones, his clients and his history are told. `unanswered`: what a call that came to him, and that he has not
    /// answered, was for him; `None`: it is in his history already.
    pub(crate) fn dismiss(&mut self, at: At<'_>, party: &Party, cause: Cause, unanswered: Option<HistoryKind>) {
        self.forget_reminder(at, party.id);
        let talked = party.talked_msec(at.now.mono);
        let mut record = super::record::history(party, cause, talked, unanswered);
        for leg in party.legs() {
            self.leave(at, leg, Failure::new(cause), record.take());
        }
        for other in party.also() {
            self.end_call(at, other, Failure::new(cause), None);
        }
        if let Some(record) = record {
            self.write_history(at, record);
        }
        if let Some(user) = party.identity.user {
            self.touch_calls_of(user);
            if party.told.is_some() {
                self.events.push_back(CallEvent::Ended { call: party.id, user, cause, duration_msec: talked });
            }
        }
    }

    /// RFC 3891 §3: the dialog that an INVITE wants to replace, if it wants to replace one and may.
    pub(crate) fn replaced(
        &self,
        at: At<'_>,
        invite: &Request,
        device: DeviceId,
    ) -> Result<Option<Replaced>, Response> {
        let mut values = invite.headers.values(&Name::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(refused(invite, Status(400), "Exactly one dialog can be replaced"));
        }
        let replaces = Replaces::parse(value).map_err(|error| refused(invite, error.status, &error.text))?;
        let status = |status| invite.response(Status(status));
        let device = at.site.device(device).filter(|device| matches!(device.access, Access::Digest { .. }));
        let who = device.and_then(|device| device.user).ok_or_else(|| status(403))?;
        let Some(id) = self.by_replaces(&replaces) else {
            return Err(status(if self.has_ended(&replaces) { 603 } else { 481 }));
        };
        let Some(leg) = self.table.leg(id) else { return Err(status(481)) };
        let Some(call) = self.table.call(leg.call) else { return Err(status(481)) };
        let (party, other) = (call.party(leg.side), call.party(leg.side.other()));
        match (&leg.state, &other.state) {
            // An early dialog that the phone itself has begun.
            (LegState::Incoming(_), _) => Err(status(481)),
            (LegState::Outgoing(_), _) if leg.side == Side::Callee && self.may_be_picked_up(who, leg.call) => {
                Ok(Some(Replaced::Ringing(leg.call)))
            }
            (LegState::Outgoing(_), _) => Err(status(481)),
            (LegState::Up(_), _) if replaces.early_only => Err(status(486)),
            (LegState::Up(_), PartyState::Service(Service::Park(slot))) if party.identity.user != Some(who) => {
                Ok(Some(Replaced::Parked(*slot)))
            }
            // A conversation is one's own, to be gone on with at another phone.
            (LegState::Up(_), PartyState::Up { .. }) if party.identity.user == Some(who) => {
                Ok(Some(Replaced::Up(leg.call, leg.side)))
            }
            (LegState::Up(_), PartyState::Up { .. }) => Err(status(403)),
            (LegState::Up(_), _) => Err(status(481)),
        }
    }

    /// Whether the dialog was here, and is ending.
    fn has_ended(&self, replaces: &Replaces) -> bool {
        let ends = |ours: &str, theirs: &str| {
            let leaving = self.table.by_tag(ours).and_then(|id| self.table.leaving(id));
            leaving.is_some_and(|leaving| match &leaving.state {
                LeavingState::Ended(dialog) | LeavingState::Unacknowledged { dialog, .. } => {
                    dialog.is(&replaces.call_id, theirs)
                }
                LeavingState::Cancelling { outgoing, .. } => outgoing.asked.call_id == replaces.call_id,
            })
        };
        ends(&replaces.to_tag, &replaces.from_tag) || ends(&replaces.from_tag, &replaces.to_tag)
    }

    /// An INVITE takes the place of a dialog.
    pub(crate) fn replace_dialog(&mut self, at: At<'_>, no: CallNo, replaced: Replaced) {
        let done = match replaced {
            Replaced::Ringing(target) => self.pick_up(at, no, target),
            Replaced::Up(target, side) => self.take_over(at, no, target, side),
            Replaced::Parked(slot) => return self.retrieve(at, no, slot),
        };
        if let Err(failure) = done {
            self.end_call(at, no, failure, None);
        }
    }
}
