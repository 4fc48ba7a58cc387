//! The engine as the CAS sees it. What may be done with a call is decided in one place (the `may_…` functions): what is offered is what is accepted.

use cas::control::{
    Accepted, Action, Actions, CallCommand, CallControl, CallId, CallInfo, CallLine, CallQuery, CallReport, CallState,
    Cause, Direction as CallDirection, EngineStatus, ParkedInfo, PartyInfo, Principal, Refusal, RefusalCode,
    RegistrationInfo, Shown,
};
use cas::site::{DeviceId, Site, UserId};
use cas::store::Change;
use cas::time::Now;

use super::cause::{Failure, Whose};
use super::leg::{Exchange, LegId, LegState, Reoffer};
use super::originate::dialled;
use super::party::{Hold, PartyState, Side};
use super::transfer::Asked;
use super::{Call, CallNo, Stage};
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::sip::diversion::Reason;
use crate::sip::sdp::Direction;

/// A user with more calls than anybody has at hand, one that stands for a gateway: what each of them makes possible for the others is told when those
/// change themselves. Otherwise a call would cost as much as there are others.
const AT_HAND: usize = 16;

impl CallControl for Engine {
    fn execute(&mut self, now: Now, site: &Site, who: &Principal, command: CallCommand) -> Result<Accepted, Refusal> {
        let at = At { now, site };
        let accepted = match command {
            CallCommand::MakeCall { dest, name_hint, device } => self.make_call(at, who, &dest, name_hint, device)?,
            CallCommand::Drop(id) => {
                let (no, side) = self.may_drop(who, id)?;
                Accepted { ticket: self.drop_call(at, no, side), call: None }
            }
            CallCommand::Answer { call, device } => {
                let leg = self.may_answer(site, who, call, device)?;
                Accepted { ticket: self.answer_for_client(at, leg), call: None }
            }
            CallCommand::Hold(id) => {
                let leg = self.may_hold(who, id)?;
                Accepted { ticket: self.reoffer_for_client(at, leg, Direction::Inactive), call: None }
            }
            CallCommand::Unhold(id) => {
                let leg = self.may_unhold(who, id)?;
                Accepted { ticket: self.reoffer_for_client(at, leg, Direction::SendRecv), call: None }
            }
            CallCommand::SendDigits(id, digits) => {
                let far = self.may_send_digits(who, id)?;
                Accepted { ticket: self.send_digits(at, far, &digits), call: None }
            }
            CallCommand::BlindTransfer(id, dest) => {
                let number = dialled(&dest);
                let (end, destination) = self.may_blind_transfer(at, who, id, &number)?;
                let ticket = self.ticket();
                self.send_to(at, end, &number, &destination, Asked::Client(ticket));
                Accepted { ticket, call: None }
            }
            CallCommand::Redirect(id, dest) => {
                let number = dialled(&dest);
                let (no, destination) = self.may_redirect(at, who, id, &number)?;
                let ticket = self.ticket();
                self.send_on(at, no, &number, &destination, Reason::Deflection);
                self.complete(ticket, Ok(None));
                Accepted { ticket, call: None }
            }
            CallCommand::Park { call, orbit } => self.park_for_client(at, who, call, orbit.as_deref())?,
            CallCommand::Pickup { ext } => self.pick_up_for_client(at, who, &dialled(&ext))?,
            CallCommand::Unpark { orbit } => self.unpark(at, who, &dialled(&orbit))?,
            CallCommand::Consult(id, dest) => self.consult(at, who, id, &dest)?,
            CallCommand::CompleteTransfer { call, with } => {
                let (end, with) = self.may_complete(who, call, with)?;
                let ticket = self.ticket();
                self.join_ends(at, end, with, Asked::Client(ticket));
                Accepted { ticket, call: None }
            }
        };
        self.tell_changes(at);
        Ok(accepted)
    }

    fn allowed(&self, site: &Site, who: &Principal, call: CallId) -> Actions {
        let Ok((no, _)) = self.may_drop(who, call) else { return Actions::default() };
        // What all of these ask first, each by itself.
        let talks = self.table.call(no).is_some_and(|call| matches!(call.stage, Stage::Talking));
        let may = |action: &Action| match action {
            Action::Drop => true,
            Action::Answer => self.may_answer(site, who, call, None).is_ok(),
            Action::Hold
            | Action::Unhold
            | Action::BlindTransfer
            | Action::Consult
            | Action::CompleteTransfer
            | Action::Park
                if !talks =>
            {
                false
            }
            Action::Hold => self.may_hold(who, call).is_ok(),
            Action::Unhold => self.may_unhold(who, call).is_ok(),
            Action::SendDigits => self.may_send_digits(who, call).is_ok(),
            // Where to is another question: an orbit, or an extension, may be taken.
            Action::BlindTransfer | Action::Park => self.may_transfer(who, call).is_ok(),
            Action::Redirect => self.may_send_on_at_all(who, call).is_ok(),
            Action::Consult => self.may_consult(site, who, call).is_ok(),
            Action::CompleteTransfer => self.may_complete_with_any(who, call).is_ok(),
        };
        Action::ALL.iter().copied().filter(may).collect()
    }

    fn view(&self, _site: &Site, who: &Principal, query: CallQuery) -> Vec<CallInfo> {
        let ends = match query {
            CallQuery::OfUser(user) => self.table.ends_of(user).collect(),
            CallQuery::One(id) => vec![id],
        };
        let row = |id| {
            let (no, side) = self.table.end(id)?;
            info(self.table.call(no)?, side)
        };
        ends.into_iter()
            .filter_map(row)
            .filter(|info| matches!(query, CallQuery::OfUser(_)) || info.user == who.user)
            .collect()
    }

    fn parked(&self, site: &Site) -> Vec<ParkedInfo> {
        self.parked_calls(site)
    }

    fn may_unpark(&self, site: &Site, who: &Principal, orbit: &str) -> bool {
        self.may_unpark_at(site, who, orbit).is_ok()
    }

    fn registrations(&self) -> Vec<RegistrationInfo> {
        self.registrar.view()
    }

    fn is_registered(&self, device: DeviceId) -> bool {
        self.registrar.is_registered(device)
    }

    fn status(&self) -> EngineStatus {
        EngineStatus {
            calls: self.table.len(),
            registrations: self.registrar.len(),
            transactions: self.endpoint.transactions.len(),
            calls_total: self.counts.calls,
            stopping: self.life.is_ending(),
        }
    }

    fn calls(&self, now: Now, shown: Shown, max: usize) -> (Vec<CallLine>, usize) {
        self.call_lines(now, shown, max)
    }

    fn report(&mut self, now: Now, id: CallId) -> Option<CallReport> {
        self.call_report(now, id)
    }

    fn unregister(
        &mut self,
        now: Now,
        site: &Site,
        devices: &[DeviceId],
        contact: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        self.end_registrations(At { now, site }, devices, contact)
    }
}

impl Engine {
    // The decisions behind offering and accepting: policy (it is the user's own call) and state. What is allowed is what they permit.

    pub(crate) fn may_drop(&self, who: &Principal, id: CallId) -> Result<(CallNo, Side), Refusal> {
        let missing = || refusal(RefusalCode::NotFound, "There is no such call");
        let (no, side) = self.table.end(id).ok_or_else(missing)?;
        let user = self.table.call(no).and_then(|call| seen_by(call, side));
        user.filter(|user| *user == who.user).map(|_| (no, side)).ok_or_else(missing)
    }

    fn may_hold(&self, who: &Principal, id: CallId) -> Result<LegId, Refusal> {
        let (leg, hold) = self.may_reoffer(who, id)?;
        if hold.by_client { Err(refusal(RefusalCode::WrongState, "The call is on hold")) } else { Ok(leg) }
    }

    fn may_unhold(&self, who: &Principal, id: CallId) -> Result<LegId, Refusal> {
        let (leg, hold) = self.may_reoffer(who, id)?;
        if hold.by_client {
            Ok(leg)
        } else {
            Err(refusal(RefusalCode::WrongState, "No client has put the call on hold"))
        }
    }

    /// The user's own leg, and whether it is to be put on hold before another number is called from its phone, which must be reachable.
    fn may_consult(&self, site: &Site, who: &Principal, id: CallId) -> Result<(LegId, DeviceId, bool), Refusal> {
        let (leg, hold) = self.may_reoffer(who, id)?;
        let device = self.table.leg(leg).map(|leg| leg.device);
        let device = device.filter(|device| self.can_be_rung(site, *device));
        let device = device.ok_or_else(|| Failure::new(Cause::NotRegistered).refusal(Whose::Own))?;
        Ok((leg, device, hold == Hold::default()))
    }

    /// The start of an attended transfer or a conference (S61, S67).
    fn consult(&mut self, at: At<'_>, who: &Principal, id: CallId, dest: &str) -> Result<Accepted, Refusal> {
        let (leg, device, holds) = self.may_consult(at.site, who, id)?;
        let accepted = self.make_call(at, who, dest, None, Some(device))?;
        if holds {
            self.reoffer(at, leg, Reoffer { direction: Some(Direction::Inactive), ..Reoffer::again() });
        }
        Ok(accepted)
    }

    /// The user's own leg, where a client may change what it offers.
    fn may_reoffer(&self, who: &Principal, id: CallId) -> Result<(LegId, Hold), Refusal> {
        let wrong = |text| Err(refusal(RefusalCode::WrongState, text));
        let (no, side) = self.may_drop(who, id)?;
        let call = self.table.call(no).filter(|call| matches!(call.stage, Stage::Talking));
        let Some(PartyState::Up { leg, hold }) = call.map(|call| &call.party(side).state) else {
            return wrong("The call is not answered");
        };
        match self.table.leg(*leg).map(|leg| &leg.state) {
            Some(LegState::Up(up)) if up.next.is_none() => match &up.exchange {
                // An offer for the same end is under way; one of the switch's own may be followed by another.
                Exchange::Offered { reoffer, .. } if reoffer.ticket.is_some() => {
                    wrong("The phone is being asked already")
                }
                _ => Ok((*leg, *hold)),
            },
            _ => wrong("The phone is being asked already"),
        }
    }

    /// The far leg, where its phone takes digits.
    fn may_send_digits(&self, who: &Principal, id: CallId) -> Result<LegId, Refusal> {
        let wrong = |text| Err(refusal(RefusalCode::WrongState, text));
        let (no, side) = self.may_drop(who, id)?;
        let legs = self.table.call(no).map(|call| (call.party(side).leg(), call.party(side.other()).leg()));
        let Some((Some(_), Some(far))) = legs else { return wrong("No phone at the far end has answered") };
        if self.takes_digits(far) { Ok(far) } else { wrong("The far end takes no telephone-events") }
    }

    /// What may be done with one call of a user depends on his others: they may have changed with it.
    fn touch_others(&mut self, no: CallNo) {
        let users = self.table.call(no).map(|call| [call.caller.identity.user, call.callee.identity.user]);
        for user in users.into_iter().flatten().flatten() {
            self.touch_calls_of(user);
        }
    }

    pub(crate) fn touch_calls_of(&mut self, user: UserId) {
        let ends: Vec<CallId> = self.table.ends_of(user).take(AT_HAND + 1).collect();
        if ends.len() > AT_HAND {
            return;
        }
        for id in ends {
            if let Some((no, _)) = self.table.end(id) {
                self.touch(no, None);
            }
        }
    }

    /// Tells what has changed since it was told last: once a step, for each end, as it is now.
    pub(crate) fn tell_changes(&mut self, at: At<'_>) {
        self.journal.turn(at.now);
        self.call_back_the_free(at);
        for no in self.touched.keys().copied().collect::<Vec<_>>() {
            self.touch_others(no);
            self.show(at, no);
            self.tune(no);
            self.remind(at, no);
        }
        for (no, cause) in std::mem::take(&mut self.touched) {
            for side in [Side::Caller, Side::Callee] {
                let Some(info) = self.table.call(no).and_then(|call| info(call, side)) else { continue };
                let role = at.site.user(info.user).map_or(cas::site::Role::User, |user| user.role);
                let owner = Principal { user: info.user, role, device: None };
                let actions = self.allowed(at.site, &owner, info.id);
                let told = (info, actions);
                let Some(call) = self.table.call_mut(no) else { continue };
                let party = call.party_mut(side);
                if party.told.as_ref() != Some(&told) {
                    self.events.push_back(cas::control::CallEvent::Changed(told.0.clone(), cause));
                    party.told = Some(told);
                }
            }
        }
        self.events.extend(self.completions.drain(..));
        self.light_lamps(at);
    }
}

/// Who sees this end of a call; `None` while there is nothing of it to see.
fn seen_by(call: &Call, side: Side) -> Option<UserId> {
    let party = call.party(side);
    match party.state {
        PartyState::Idle | PartyState::Service(_) => None,
        PartyState::Ringing { .. } if call.reminds().is_some() => None,
        PartyState::Ringing { .. } | PartyState::Calling(_) | PartyState::Up { .. } => party.identity.user,
    }
}

/// One end of a call as its user sees it.
fn info(call: &Call, side: Side) -> Option<CallInfo> {
    let user = seen_by(call, side)?;
    let (party, other) = (call.party(side), call.party(side.other()));
    let state = match (&party.state, party.direction) {
        (PartyState::Idle | PartyState::Service(_), _) => return None,
        (PartyState::Ringing { .. }, CallDirection::In) => CallState::Offering,
        (PartyState::Ringing { .. }, CallDirection::Out) => CallState::Dialing,
        (PartyState::Calling(_), _) => other.seen(),
        (PartyState::Up { .. }, _) => match (party.seen(), other.seen()) {
            _ if matches!(other.state, PartyState::Service(Service::Park(_))) => CallState::Parked,
            // His own end is up; the call is not, before the other's is.
            (_, waiting @ (CallState::Dialing | CallState::Ringing)) => waiting,
            (own, _) => own,
        },
    };
    let parties =
        vec![PartyInfo { addr: other.identity.number.clone(), name: other.identity.name.clone(), state: other.seen() }];
    Some(CallInfo {
        id: party.id,
        user,
        device: party.device,
        state,
        direction: party.direction,
        parties,
        started: party.started.wall,
    })
}

fn refusal(code: RefusalCode, text: &'static str) -> Refusal {
    Refusal { code, text: text.into() }
}
