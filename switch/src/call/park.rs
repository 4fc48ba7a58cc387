//! Park (S62): the other party of a call waits at a place that has a number of its own, and whoever dials that number has it.
//!
//! A parked call is one of its own: its caller is who is parked, and [`Service::Park`] is at its other end. Whoever parked it by his telephone is shown there where it is,
//! before his own part ends. If nobody gets it in time he is rung ([`Service::Recall`]); it stays where it is until somebody answers.

use std::time::Duration;

use cas::control::{Accepted, CallEvent, CallId, Cause, ParkedInfo, ParkedState, Principal, Refusal, RefusalCode};
use cas::site::{Role, Site};

use super::cause::{Failure, Whose};
use super::originate::dialled;
use super::party::{Hold, Identity, Party, PartyState, Side};
use super::route::{self, Destination, Spot};
use super::transfer::{Asked, End};
use super::{Call, CallNo, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::service::orbit::{Parked, Recall, Slot};
use crate::sip::message::Status;

/// How long the telephone of one who has parked a call shows where, and he hears it said; and how much longer for each digit beyond five.
pub(crate) const SHOWN: Duration = Duration::from_secs(4);
const DIGIT: Duration = Duration::from_millis(600);

impl Engine {
    /// Whether a call's far end may be parked there, and where that is.
    pub(crate) fn may_park(
        &self,
        site: &Site,
        who: &Principal,
        id: CallId,
        spot: Spot,
    ) -> Result<(End, Slot), Refusal> {
        let end = self.may_transfer(who, id)?;
        let full = || Refusal {
            code: RefusalCode::Limit,
            text: format!("All orbits ({}) are taken", site.plan.orbits).into(),
        };
        let slot = match spot {
            Spot::FirstFree => self.parks.first_free(site).ok_or_else(full)?,
            Spot::At(slot) => slot,
        };
        match self.parks.get(slot) {
            None => Ok((end, slot)),
            Some(_) => {
                let text = format!("Another call is parked at {}", slot.number(site));
                Err(Refusal { code: RefusalCode::Busy, text: text.into() })
            }
        }
    }

    /// A client parks.
    pub(crate) fn park_for_client(
        &mut self,
        at: At<'_>,
        who: &Principal,
        id: CallId,
        orbit: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let nowhere = || Failure::new(Cause::NoRoute).refusal(Whose::Far);
        let spot = match orbit {
            None => Spot::FirstFree,
            Some(orbit) => Spot::At(Slot::of(at.site, &dialled(orbit)).ok_or_else(nowhere)?),
        };
        let (end, slot) = self.may_park(at.site, who, id, spot)?;
        let ticket = self.ticket();
        self.park(at, end, slot, Asked::Client(ticket));
        Ok(Accepted { ticket, call: None })
    }

    /// The far end of a call is parked, and who asked is told where: what may be done was asked before.
    pub(crate) fn park(&mut self, at: At<'_>, end: End, slot: Slot, asked: Asked) {
        match asked {
            Asked::Client(ticket) => {
                self.park_far(at, end, slot, None);
                self.complete_at(ticket, slot.number(at.site));
                self.end_call(at, end.call, Failure::new(Cause::Parked), None);
            }
            // His telephone shows it, and is not told before that the transfer is done: it would hang up.
            Asked::Phone { .. } => {
                self.park_far(at, end, slot, Some(asked));
                self.endpoint.timers.set(Timer::Parked(end.call), at.now.mono + shown_for(&slot.number(at.site)));
            }
        }
    }

    /// The code was dialled: the call that the caller's telephone has on hold is parked, and that shows where.
    pub(crate) fn park_held(&mut self, at: At<'_>, no: CallNo, spot: Spot) {
        let held = self.held_beside(at, no).ok_or(Failure::new(Cause::NothingThere));
        let parked = held.and_then(|(who, id)| {
            self.may_park(at.site, &who, id, spot).map_err(|refusal| match refusal.code {
                RefusalCode::Busy | RefusalCode::Limit => Failure::new(Cause::Busy),
                _ => Failure::new(Cause::NothingThere),
            })
        });
        let (end, slot) = match parked {
            Ok(parked) => parked,
            Err(failure) => return self.unreached(at, no, failure),
        };
        self.park_far(at, end, slot, None);
        self.end_call(at, end.call, Failure::new(Cause::Parked), None);
        if let Some(call) = self.table.call_mut(no) {
            call.callee.identity = shown(at.site, slot);
            call.callee.state = PartyState::Service(Service::Parked(slot, None, 0));
        }
        self.connect(at, no);
        if self.table.call(no).is_some() {
            self.endpoint.timers.set(Timer::Parked(no), at.now.mono + shown_for(&slot.number(at.site)));
        }
    }

    /// The last of the calls that a caller has on hold at the telephone he calls from.
    fn held_beside(&self, at: At<'_>, no: CallNo) -> Option<(Principal, CallId)> {
        let caller = &self.table.call(no)?.caller;
        let (user, device) = (caller.identity.user?, caller.device?);
        let is_held = |id: &CallId| {
            let Some((other, side)) = self.table.end(*id).filter(|(other, _)| *other != no) else { return false };
            let party =
                self.table.call(other).map(|call| call.party(side)).filter(|party| party.device == Some(device));
            party.is_some_and(|party| matches!(party.state, PartyState::Up { hold, .. } if hold != Hold::default()))
        };
        let role = at.site.user(user).map_or(Role::User, |user| user.role);
        let who = Principal { user, role, device: Some(device) };
        let may_be_parked = |id: &CallId| is_held(id) && self.may_transfer(&who, *id).is_ok();
        let id = self.table.ends_of(user).rev().find(may_be_parked)?;
        Some((who, id))
    }

    /// The far party of a call becomes a parked one. What tells where it is takes its place.
    fn park_far(&mut self, at: At<'_>, end: End, slot: Slot, asked: Option<Asked>) {
        let Some(call) = self.table.call(end.call) else { return };
        let Some(parker) = call.party(end.side).identity.user else { return };
        let side = end.side.other();
        let (direction, met) = (call.party(side).direction, call.party(side).met.clone());
        let id = CallId(self.table.number(at.now));
        let mut teller = Party::new(id, shown(at.site, slot), direction, met, at.now);
        teller.state = PartyState::Service(Service::Parked(slot, asked, 0));
        self.touch(end.call, None);
        let Some(far) = self.table.replace(end.call, side, teller) else { return };
        let who = far.identity.clone();
        let no = CallNo(self.table.number(at.now));
        let number = slot.number(at.site);
        let keeper = Identity { user: None, number: number.clone(), name: "Parked".to_owned() };
        let mut keeper = self.party(at, keeper, who.clone());
        keeper.state = PartyState::Service(Service::Park(slot));
        self.begin_transferred(at, (no, end.call), [far, keeper], Stage::Talking, None);
        self.touch(no, Some(Cause::Parked));
        let parked = Parked { call: no, number, who, parker, since: at.now.wall, recall: Recall::Never };
        self.parks.insert(slot, parked);
        self.recall_later(at, slot);
        self.tell_parked(at.site, slot, ParkedState::Parked);
    }

    /// A number that leads to a parked call was called: the two have each other, or the caller nobody.
    pub(crate) fn retrieve(&mut self, at: At<'_>, no: CallNo, slot: Slot) {
        match self.fetch_parked(at, no, Side::Callee, slot) {
            Ok(()) => self.connect(at, no),
            Err(failure) => self.unreached(at, no, failure),
        }
    }

    /// Who is parked takes a place in another call, and is parked no more. Nothing has changed after a failure.
    pub(crate) fn fetch_parked(&mut self, at: At<'_>, no: CallNo, side: Side, slot: Slot) -> Result<(), Failure> {
        let nothing = Failure::new(Cause::NothingThere);
        let from = self.parks.get(slot).map(|parked| parked.call).ok_or(nothing)?;
        let other = self.table.call(no).and_then(|call| call.party(side.other()).speaker()).ok_or(nothing)?;
        let offer = self.offer_of(from, Side::Caller);
        if !self.would_understand(other, &offer) {
            return Err(Failure::new(Cause::Incompatible));
        }
        let standin = self.party(at, Identity::default(), Identity::default());
        let far = self.table.replace(from, Side::Caller, standin).ok_or(nothing)?;
        for leg in far.legs() {
            self.journal.hand_over(leg, no, side);
        }
        let who = far.identity.clone();
        self.table.replace(no, side, far);
        if let Some(call) = self.table.call_mut(no) {
            call.party_mut(side.other()).met = who;
        }
        // The call that rang his parker is the one that has him now.
        if let Some(parked) = self.parks.get_mut(slot).filter(|parked| parked.recall == Recall::Ringing(no)) {
            parked.recall = Recall::Never;
        }
        self.end_call(at, from, Failure::new(Cause::AnsweredElsewhere), None);
        self.touch(no, None);
        Ok(())
    }

    /// Whether a user may have what is parked there, and which place that is.
    pub(crate) fn may_unpark_at(&self, site: &Site, who: &Principal, number: &str) -> Result<Slot, Refusal> {
        let missing = || Refusal { code: RefusalCode::NotFound, text: "Nothing is parked there".into() };
        let slot = Slot::of(site, number).filter(|slot| self.parks.get(*slot).is_some()).ok_or_else(missing)?;
        self.may_begin()?;
        match site.devices_of(who.user).any(|device| self.can_be_rung(site, device.id)) {
            true => Ok(slot),
            false => Err(Failure::new(Cause::NotRegistered).refusal(Whose::Own)),
        }
    }

    /// A client wants what is parked there: his own telephone is rung first.
    pub(crate) fn unpark(&mut self, at: At<'_>, who: &Principal, number: &str) -> Result<Accepted, Refusal> {
        let slot = self.may_unpark_at(at.site, who, number)?;
        let own = self.contacts(at.site, who.user);
        let callee = self.parks.get(slot).map(|parked| parked.who.clone()).unwrap_or_default();
        let callee = Identity { user: None, ..callee };
        Ok(self.ring_own(at, who, own, Destination::Orbit(slot), callee))
    }

    /// The one who has parked a call is rung when nobody gets it in time.
    fn recall_later(&mut self, at: At<'_>, slot: Slot) {
        let (Some(wait), Some(parked)) = (at.site.plan.recall, self.parks.get_mut(slot)) else { return };
        parked.recall = Recall::Waiting;
        let call = parked.call;
        self.endpoint.timers.set(Timer::Recall(call), at.now.mono + wait);
    }

    /// Nobody has got it in time.
    pub(crate) fn recall_due(&mut self, at: At<'_>, parked_call: CallNo) {
        let Some(slot) = self.parks.slot_of(parked_call) else { return };
        let Some(Parked { who, parker, .. }) = self.parks.get(slot).cloned() else { return };
        let contacts = self.contacts(at.site, parker);
        if contacts.is_empty() || self.is_full() || self.is_busy(at.site, parker) {
            return self.recall_later(at, slot);
        }
        let name = format!("Recall {}: {}", slot.number(at.site), who.name);
        let caller = Identity { user: None, number: who.number, name: name.trim_end_matches([':', ' ']).to_owned() };
        let callee = route::user_identity(at.site, parker);
        let stage = Stage::Ringing { ticket: None, failure: None };
        let no = self.begin(at, caller, callee, stage, 70, None);
        if let Some(call) = self.table.call_mut(no) {
            call.caller.state = PartyState::Service(Service::Recall(slot));
        }
        if let Some(parked) = self.parks.get_mut(slot) {
            parked.recall = Recall::Ringing(no);
        }
        self.tell_parked(at.site, slot, ParkedState::Recalling);
        let offer = self.offer_of(no, Side::Caller);
        self.ring(at, no, Side::Callee, contacts, &offer);
    }

    /// Numbers have changed: what is parked where its number leads no more has another, or goes to the first orbit that is free; without one it comes to its end.
    pub(crate) fn keep_parked(&mut self, at: At<'_>) {
        let leads = |slot: Slot, number: &str| Slot::of(at.site, number) == Some(slot);
        let lost = self.parks.iter().filter(|(slot, parked)| !leads(*slot, &parked.number)).map(|(slot, _)| slot);
        for slot in lost.collect::<Vec<Slot>>() {
            let here = Some(slot).filter(|slot| leads(*slot, &slot.number(at.site)));
            match here.or_else(|| self.parks.first_free(at.site)) {
                Some(to) => self.move_parked(at, slot, to),
                None => {
                    if let Some(no) = self.parks.get(slot).map(|parked| parked.call) {
                        self.end_call(at, no, Failure::new(Cause::Normal), None);
                    }
                }
            }
        }
    }

    fn move_parked(&mut self, at: At<'_>, from: Slot, to: Slot) {
        self.tell_parked(at.site, from, ParkedState::Ended);
        let Some(mut parked) = self.parks.remove(from) else { return };
        parked.number = to.number(at.site);
        let recall = match parked.recall {
            Recall::Ringing(no) => Some(no),
            Recall::Waiting | Recall::Never => None,
        };
        for no in [Some(parked.call), recall].into_iter().flatten() {
            let Some(call) = self.table.call_mut(no) else { continue };
            for side in [Side::Caller, Side::Callee] {
                let party = call.party_mut(side);
                match &mut party.state {
                    PartyState::Service(Service::Park(slot)) => {
                        *slot = to;
                        party.identity.number.clone_from(&parked.number);
                    }
                    PartyState::Service(Service::Recall(slot)) => *slot = to,
                    _ => {}
                }
            }
            self.touch(no, None);
        }
        let state = state(&parked);
        self.parks.insert(to, parked);
        self.tell_parked(at.site, to, state);
    }

    /// A telephone has shown for long enough where the call is parked.
    pub(crate) fn parked_shown(&mut self, at: At<'_>, no: CallNo) {
        let told = self.table.call(no).and_then(|call| {
            [&call.caller, &call.callee].into_iter().find_map(|party| match party.state {
                PartyState::Service(Service::Parked(slot, asked, _)) => Some((slot, asked)),
                _ => None,
            })
        });
        let Some((slot, asked)) = told else { return };
        if let Some(asked) = asked {
            self.notify_line(at, &asked, Status(200), &shown(at.site, slot).name);
        }
        self.end_call(at, no, Failure::new(Cause::Parked), None);
    }

    /// A call has ended that had to do with a parked one.
    pub(crate) fn end_parking(&mut self, at: At<'_>, no: CallNo, call: &Call, failure: Failure) {
        for party in [&call.caller, &call.callee] {
            match party.state {
                PartyState::Service(Service::Park(slot)) => self.vacate_slot(at, slot, failure.cause),
                PartyState::Service(Service::Parked(..)) => self.endpoint.timers.cancel(Timer::Parked(no)),
                // Who did not answer, or would not have it, is rung again later.
                PartyState::Service(Service::Recall(slot))
                    if self.parks.get(slot).is_some_and(|parked| parked.recall == Recall::Ringing(no)) =>
                {
                    self.recall_later(at, slot);
                    self.tell_parked(at.site, slot, ParkedState::Parked);
                }
                _ => {}
            }
        }
    }

    /// Nobody is parked there any more.
    fn vacate_slot(&mut self, at: At<'_>, slot: Slot, cause: Cause) {
        let is_retrieved = cause == Cause::AnsweredElsewhere;
        self.tell_parked(at.site, slot, if is_retrieved { ParkedState::Retrieved } else { ParkedState::Ended });
        let Some(parked) = self.parks.remove(slot) else { return };
        self.endpoint.timers.cancel(Timer::Recall(parked.call));
        if let Recall::Ringing(no) = parked.recall {
            let cause = if is_retrieved { Cause::AnsweredElsewhere } else { Cause::Cancelled };
            self.end_call(at, no, Failure::new(cause), None);
        }
    }

    fn tell_parked(&mut self, site: &Site, slot: Slot, state: ParkedState) {
        let info = self.parks.get(slot).map(|parked| parked_info(site, parked, state));
        self.events.extend(info.map(CallEvent::Parked));
    }

    /// All that is parked.
    pub(crate) fn parked_calls(&self, site: &Site) -> Vec<ParkedInfo> {
        self.parks.iter().map(|(_, parked)| parked_info(site, parked, state(parked))).collect()
    }
}

fn state(parked: &Parked) -> ParkedState {
    match parked.recall {
        Recall::Ringing(_) => ParkedState::Recalling,
        Recall::Waiting | Recall::Never => ParkedState::Parked,
    }
}

fn parked_info(site: &Site, parked: &Parked, state: ParkedState) -> ParkedInfo {
    ParkedInfo {
        orbit: parked.number.clone(),
        addr: parked.who.number.clone(),
        name: parked.who.name.clone(),
        by: route::user_identity(site, parked.parker).number,
        since: parked.since,
        state,
    }
}

fn shown_for(number: &str) -> Duration {
    SHOWN + DIGIT * number.len().saturating_sub(5) as u32
}

/// What the telephone of one who has parked a call shows.
fn shown(site: &Site, slot: Slot) -> Identity {
    let number = slot.number(site);
    Identity { user: None, name: format!("Parked at {number}"), number }
}
