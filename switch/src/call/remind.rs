//! The hold reminder. A telephone that holds wants to hear nothing, so that no tone can reach it, and SIP has no request that would make it remind its user
//! (many do so of themselves). So who has had somebody on hold for long is rung at that telephone, as one who has parked a call is; the display says who
//! waits. Who answers has the one who waits, and the call on hold is over; who does not is rung again later, and so is who is in another call there by then. Taking the
//! call off hold ends the ringing.
//!
//! Until it is answered a reminder is a bell and no call: clients, lamps and records know nothing of it, and nobody picks it up or sends it on.

use cas::control::{CallId, Cause};
use cas::site::DeviceId;

use super::cause::Failure;
use super::party::{Hold, Identity, Party, PartyState, Side};
use super::{Call, CallNo, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::service::Service;

/// Of a user with more calls than anybody has at hand not all are looked at.
const AT_HAND: usize = 16;

/// How far the reminder of one who holds has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reminder {
    /// He is rung later.
    Later,
    /// He is rung by this call.
    Ringing(CallNo),
}

impl Engine {
    /// After a step: whether the parties of a touched call have somebody on hold, and so are to be reminded.
    pub(crate) fn remind(&mut self, at: At<'_>, no: CallNo) {
        for side in [Side::Caller, Side::Callee] {
            let Some(call) = self.table.call(no) else { return };
            let id = call.party(side).id;
            match (self.keeps_waiting(call, side), self.reminders.contains_key(&id)) {
                (true, false) => self.remind_later(at, id),
                (false, true) => self.forget_reminder(at, id),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Whether a user is to be reminded that somebody waits for him.
    pub(crate) fn keeps_waiting(&self, call: &Call, side: Side) -> bool {
        let (party, other) = (call.party(side), call.party(side.other()));
        let holds = matches!(party.state, PartyState::Up { hold, .. } if hold != Hold::default());
        self.settings.hold_reminder.is_some() && party.identity.user.is_some() && holds && other.leg().is_some()
    }

    fn remind_later(&mut self, at: At<'_>, id: CallId) {
        let Some(wait) = self.settings.hold_reminder else { return };
        self.reminders.insert(id, Reminder::Later);
        self.endpoint.timers.set(Timer::Reminder(id), at.now.mono + wait);
    }

    /// Who was to be reminded is not any more.
    pub(crate) fn forget_reminder(&mut self, at: At<'_>, id: CallId) {
        match self.reminders.remove(&id) {
            Some(Reminder::Later) => self.endpoint.timers.cancel(Timer::Reminder(id)),
            Some(Reminder::Ringing(no)) => self.end_call(at, no, Failure::new(Cause::Cancelled), None),
            None => {}
        }
    }

    /// Somebody has been on hold for long.
    pub(crate) fn reminder_due(&mut self, at: At<'_>, id: CallId) {
        let call = self.table.end(id).and_then(|(no, side)| Some((self.table.call(no)?, side)));
        let Some((call, side)) = call.filter(|(call, side)| self.keeps_waiting(call, *side)) else { return };
        let (holder, who) = (call.party(side), call.party(side.other()).identity.clone());
        let device = holder.device.filter(|device| !self.is_in_use(holder, *device));
        let contacts = device.map(|device| self.device_contacts(at.site, device)).unwrap_or_default();
        if contacts.is_empty() || self.is_full() {
            return self.remind_later(at, id);
        }
        let callee = holder.identity.clone();
        let name = format!("On hold: {}", who.name);
        let name = name.trim_end_matches([':', ' ']).to_owned();
        let caller = Identity { user: None, number: who.number, name };
        let stage = Stage::Ringing { ticket: None, failure: None };
        let no = self.begin(at, caller, callee, stage, 70, None);
        if let Some(call) = self.table.call_mut(no) {
            call.caller.state = PartyState::Service(Service::Reminder(id));
            // He misses nobody by it.
            call.callee.met = call.callee.identity.clone();
        }
        self.reminders.insert(id, Reminder::Ringing(no));
        let offer = self.offer_of(no, Side::Caller);
        self.ring(at, no, Side::Callee, contacts, &offer);
    }

    /// Whether the user of a phone that holds talks there, dials or is rung for another call.
    fn is_in_use(&self, holder: &Party, device: DeviceId) -> bool {
        let busy = |party: &Party| match party.state {
            PartyState::Ringing { .. } => true,
            PartyState::Calling(_) => party.device == Some(device),
            PartyState::Up { hold, .. } => party.device == Some(device) && hold == Hold::default(),
            PartyState::Idle | PartyState::Service(_) => false,
        };
        let others = holder.identity.user.into_iter().flat_map(|user| self.parties_of(user));
        others.filter(|(_, party)| party.id != holder.id).take(AT_HAND).any(|(_, party)| busy(party))
    }

    /// Who was reminded has answered: the one who waits takes his place in this call, and the one on hold is over. Nothing has changed after a failure.
    pub(crate) fn fetch_held(&mut self, at: At<'_>, no: CallNo, id: CallId) -> Result<(), Failure> {
        let gone = Failure::new(Cause::Cancelled);
        let (from, side) = self.table.end(id).ok_or(gone)?;
        let standin = self.party(at, Identity::default(), Identity::default());
        let waiting = self.table.replace(from, side.other(), standin).ok_or(gone)?;
        for leg in waiting.legs() {
            self.journal.hand_over(leg, no, Side::Caller);
        }
        let who = waiting.identity.clone();
        self.table.replace(no, Side::Caller, waiting);
        if let Some(call) = self.table.call_mut(no) {
            call.callee.met = who;
        }
        // The call that reminded him is no longer one that does.
        self.reminders.remove(&id);
        self.end_call(at, from, Failure::new(Cause::AnsweredElsewhere), None);
        self.touch(no, None);
        Ok(())
    }

    /// A call is over: nobody is reminded of it any more; or it was the one that reminded, and was not answered.
    pub(crate) fn end_reminders(&mut self, at: At<'_>, no: CallNo, call: &Call) {
        for party in [&call.caller, &call.callee] {
            self.forget_reminder(at, party.id);
            if let PartyState::Service(Service::Reminder(id)) = party.state
                && self.reminders.get(&id) == Some(&Reminder::Ringing(no))
            {
                self.remind_later(at, id);
            }
        }
    }
}
