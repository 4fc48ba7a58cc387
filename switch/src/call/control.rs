//! The engine as the CAS sees it. What may be done with a call is decided in one place ([`Engine::may`]): what is offered is what is accepted.

use cas::control::{
    Actions, CallCommand, CallControl, CallId, CallInfo, CallQuery, CallState, Direction, EngineStatus, Outcome,
    PartyInfo, Principal, Refusal, RefusalCode, RegistrationInfo,
};
use cas::site::{DeviceId, Site};
use cas::time::Now;

use super::leg::{Exchange, LegId, LegState};
use super::party::{PartyState, Side};
use super::{Call, CallNo, Stage};
use crate::engine::{At, Engine};

/// What can be done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Drop,
    Hold,
    Unhold,
    SendDigits,
}

/// What a permitted verb works on.
struct Grip {
    call: CallNo,
    side: Side,
    /// The user's own leg (hold) or the far one (digits), where the verb needs one.
    leg: Option<LegId>,
}

impl CallControl for Engine {
    fn execute(&mut self, now: Now, site: &Site, who: &Principal, command: CallCommand) -> Result<Outcome, Refusal> {
        let at = At { now, site };
        let outcome = match command {
            CallCommand::MakeCall { dest, name_hint, device } => self.make_call(at, who, &dest, name_hint, device)?,
            CallCommand::Drop(id) => {
                let grip = self.may(who, id, Verb::Drop)?;
                self.drop_call(at, grip.call, grip.side)
            }
            CallCommand::Hold(id) => {
                let leg = self.may(who, id, Verb::Hold)?.leg()?;
                self.set_hold(at, leg, true)
            }
            CallCommand::Unhold(id) => {
                let leg = self.may(who, id, Verb::Unhold)?.leg()?;
                self.set_hold(at, leg, false)
            }
            CallCommand::SendDigits(id, digits) => {
                let far = self.may(who, id, Verb::SendDigits)?.leg()?;
                self.send_digits(far, &digits)
            }
        };
        self.tell_changes(at);
        Ok(outcome)
    }

    fn allowed(&self, _site: &Site, who: &Principal, call: CallId) -> Actions {
        let may = |verb| self.may(who, call, verb).is_ok();
        Actions {
            drop: may(Verb::Drop),
            hold: may(Verb::Hold),
            unhold: may(Verb::Unhold),
            send_digits: may(Verb::SendDigits),
        }
    }

    fn view(&self, _site: &Site, who: &Principal, query: CallQuery) -> Vec<CallInfo> {
        let ends = match query {
            CallQuery::OfUser(user) => self.table.ends_of(user),
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
        }
    }
}

impl Engine {
    /// The decision behind offering and accepting: policy (it is the user's own call) and state.
    fn may(&self, who: &Principal, id: CallId, verb: Verb) -> Result<Grip, Refusal> {
        let missing = || refusal(RefusalCode::NotFound, "There is no such call");
        let (no, side) = self.table.end(id).ok_or_else(missing)?;
        let call = self.table.call(no).ok_or_else(missing)?;
        let party = call.party(side);
        if party.identity.user != Some(who.user) || info(call, side).is_none() {
            return Err(missing());
        }
        let leg = match verb {
            Verb::Drop => None,
            Verb::Hold | Verb::Unhold => Some(self.may_hold(call, side, verb == Verb::Hold)?),
            Verb::SendDigits => Some(self.may_send_digits(call, side)?),
        };
        Ok(Grip { call: no, side, leg })
    }

    fn may_hold(&self, call: &Call, side: Side, held: bool) -> Result<LegId, Refusal> {
        let wrong = |text| Err(refusal(RefusalCode::WrongState, text));
        let (PartyState::Up { leg, hold }, Stage::Talking { .. }) = (&call.party(side).state, &call.stage) else {
            return wrong("The call is not answered");
        };
        if hold.by_client == held {
            return wrong(if held { "The call is on hold" } else { "The call is not on hold by a client" });
        }
        match self.table.leg(*leg).map(|leg| &leg.state) {
            Some(LegState::Up(up)) if up.next.is_none() => match &up.exchange {
                // An offer for the same end is under way; one of the switch's own may be followed by another.
                Exchange::Offered(reoffer) if reoffer.ticket.is_some() => wrong("The phone is being asked already"),
                _ => Ok(*leg),
            },
            _ => wrong("The phone is being asked already"),
        }
    }

    fn may_send_digits(&self, call: &Call, side: Side) -> Result<LegId, Refusal> {
        let wrong = |text| Err(refusal(RefusalCode::WrongState, text));
        let (Some(_), Some(far)) = (call.party(side).leg(), call.party(side.other()).leg()) else {
            return wrong("No phone at the far end has answered");
        };
        if self.takes_digits(far) { Ok(far) } else { wrong("The far end takes no telephone-events") }
    }

    /// Tells what has changed since it was told last: once a step, for each end, as it is now.
    pub(crate) fn tell_changes(&mut self, at: At<'_>) {
        for (no, cause) in std::mem::take(&mut self.touched) {
            for side in [Side::Caller, Side::Callee] {
                let Some(info) = self.table.call(no).and_then(|call| info(call, side)) else { continue };
                let role = at.site.user(info.user).map_or(cas::site::Role::User, |user| user.role);
                let owner = Principal { user: info.user, role, device: None };
                let told = (
                    info,
                    self.allowed(at.site, &owner, self.table.call(no).map_or(CallId(0), |call| call.party(side).id)),
                );
                let Some(call) = self.table.call_mut(no) else { continue };
                let party = call.party_mut(side);
                if party.told.as_ref() != Some(&told) {
                    self.events.push_back(cas::control::CallEvent::Changed(told.0.clone(), cause));
                    party.told = Some(told);
                }
            }
        }
        self.events.extend(self.completions.drain(..));
    }
}

/// One end of a call as its user sees it; `None` while there is nothing of it to see.
fn info(call: &Call, side: Side) -> Option<CallInfo> {
    let (party, other) = (call.party(side), call.party(side.other()));
    let state = match (&party.state, side) {
        (PartyState::Idle | PartyState::Service(_), _) => return None,
        (PartyState::Ringing { .. }, Side::Callee) => CallState::Offering,
        (PartyState::Ringing { .. }, Side::Caller) => CallState::Dialing,
        (PartyState::Calling(_), _) => other.seen(),
        (PartyState::Up { .. }, _) => match (party.seen(), other.seen()) {
            // His own end is up; the call is not, before the other's is.
            (_, waiting @ (CallState::Dialing | CallState::Ringing)) => waiting,
            (own, _) => own,
        },
    };
    let direction = match side {
        Side::Caller => Direction::Out,
        Side::Callee => Direction::In,
    };
    let parties =
        vec![PartyInfo { addr: other.identity.number.clone(), name: other.identity.name.clone(), state: other.seen() }];
    Some(CallInfo {
        id: party.id,
        user: party.identity.user?,
        device: party.device,
        state,
        direction,
        parties,
        started: party.started.wall,
    })
}

impl Grip {
    /// The leg of a verb that has one.
    fn leg(self) -> Result<LegId, Refusal> {
        self.leg.ok_or_else(|| refusal(RefusalCode::Internal, "The verb found no leg"))
    }
}

fn refusal(code: RefusalCode, text: &str) -> Refusal {
    Refusal { code, text: text.to_owned() }
}
