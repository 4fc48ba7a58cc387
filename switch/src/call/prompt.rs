//! Answering for a user (S65): his client has a phone that rings answer, by the phone's own means.
//!
//! A phone that takes it is told to talk: by NOTIFY, event `talk`, in the dialog that its ringing has made (BroadSoft's, and many makers' since). One that does not, or has not answered
//! then, is called anew with the headers by which phones are asked to answer by themselves. One that rings would find itself busy for that; so its first INVITE is cancelled, and the second
//! goes out when the phone has said that it is. Nothing of this shows at the other end: the leg stays among those that ring, a 200 that crosses the CANCEL is the answer, and a phone
//! that does not answer by itself rings on.

use std::time::Duration;

use cas::control::{CallId, Cause, Direction, Principal, Refusal, RefusalCode, Ticket};
use cas::site::{Access, DeviceId, Site};

use super::CallNo;
use super::cause::{self, Failure, Whose};
use super::leg::{Leg, LegId, LegState, Outgoing, Prompt};
use super::party::{PartyState, Side};
use super::transfer::wrong_state;
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::header::Name;
use crate::sip::message::{Method, Status};

/// How long a phone that was told to talk may take to answer.
const TALKS: Duration = Duration::from_secs(4);
/// And one that is called anew, from the CANCEL on.
const ANSWERS: Duration = Duration::from_secs(8);

impl Engine {
    /// Whether a client may have the call answered, and the phone that is to do it: the named one, else the one he acts at, else the first that rings.
    pub(crate) fn may_answer(
        &self,
        site: &Site,
        who: &Principal,
        id: CallId,
        device: Option<DeviceId>,
    ) -> Result<LegId, Refusal> {
        let (no, side) = self.may_drop(who, id)?;
        let party = self.table.call(no).map(|call| call.party(side));
        let party = party.filter(|party| party.direction == Direction::In);
        let Some(PartyState::Ringing { legs, rung: true, .. }) = party.map(|party| &party.state) else {
            return Err(wrong_state("The call does not ring at a phone of the user's"));
        };
        let legs = || legs.iter().filter_map(|id| Some((*id, self.table.leg(*id)?)));
        if legs().any(|(_, leg)| !is_free(leg)) {
            return Err(wrong_state("A phone is being asked to answer already"));
        }
        // Who is behind a gateway has a telephone of his own, which nobody answers but he.
        let is_phone =
            |leg: &Leg| matches!(site.device(leg.device).map(|device| &device.access), Some(Access::Digest { .. }));
        let may = legs().filter(|(_, leg)| device.is_none_or(|device| leg.device == device) && is_phone(leg));
        let last = |leg: &Leg| (who.device.is_some_and(|device| leg.device != device), !has_rung(leg));
        let leg = may.min_by_key(|(_, leg)| last(leg)).map(|(id, _)| id);
        leg.ok_or_else(|| wrong_state("No phone rings that could be asked to answer"))
    }

    /// What may be done was asked before.
    pub(crate) fn answer_for_client(&mut self, at: At<'_>, id: LegId) -> Ticket {
        let ticket = self.ticket();
        let Some(outgoing) = self.outgoing_mut(id) else { return ticket };
        let Some(dialog) = outgoing.talks_in() else {
            self.cancel_for(at, id, ticket);
            return ticket;
        };
        let mut notify = dialog.request(Method::Notify);
        let flow = dialog.flow();
        outgoing.prompt = Prompt::Told(ticket);
        notify.headers.push(Name::Contact, flow.contact());
        notify.headers.push(Name::Event, "talk");
        notify.headers.push(Name::SubscriptionState, "active");
        self.endpoint.timers.set(Timer::Prompt(id), at.now.mono + TALKS);
        self.endpoint.request(at.now.mono, flow, notify, Owner::Talk(id));
        self.touch_leg(id);
        ticket
    }

    /// The phone is to be called anew: its INVITE is cancelled, and may be answered before the phone hears so.
    fn cancel_for(&mut self, at: At<'_>, id: LegId, ticket: Ticket) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.prompt = Prompt::Cancelled(Some(ticket));
        let tx = outgoing.tx;
        self.endpoint.timers.set(Timer::Prompt(id), at.now.mono + ANSWERS);
        // It is not to show a missed call.
        self.endpoint.cancel(at.now.mono, tx, &cause::reason(Cause::AnsweredElsewhere));
        self.touch_leg(id);
    }

    /// A phone answers the NOTIFY; that of one that will not talk, or does not know the word, is a reason to call it anew.
    pub(crate) fn told_to_talk(&mut self, at: At<'_>, id: LegId, status: Status) {
        if let Some(Outgoing { prompt: Prompt::Told(ticket), .. }) = self.outgoing_mut(id)
            && status.0 >= 300
        {
            let ticket = *ticket;
            self.cancel_for(at, id, ticket);
        }
    }

    /// The phone has not answered in time.
    pub(crate) fn prompt_due(&mut self, at: At<'_>, id: LegId) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let ticket = match outgoing.prompt {
            Prompt::None | Prompt::Cancelled(None) => return,
            Prompt::Told(ticket) => return self.cancel_for(at, id, ticket),
            Prompt::Cancelled(Some(ticket)) => {
                outgoing.prompt = Prompt::Cancelled(None);
                ticket
            }
            Prompt::Wished(ticket) => {
                outgoing.prompt = Prompt::None;
                ticket
            }
        };
        self.complete(
            ticket,
            Err(Refusal {
                code: RefusalCode::NoAnswer,
                text: "The phone rings on, and did not answer by itself".into(),
            }),
        );
        self.touch_leg(id);
    }

    /// The prompt that goes with the next INVITE to a phone.
    pub(crate) fn next_prompt(&mut self, at: At<'_>, id: LegId) -> Prompt {
        let prompt = self.outgoing_mut(id).map(|outgoing| outgoing.prompt).unwrap_or_default();
        if let Prompt::Told(_) = prompt {
            self.endpoint.timers.set(Timer::Prompt(id), at.now.mono + ANSWERS);
        }
        prompt.next()
    }

    /// A party has answered: whoever wanted it to has what he wants, whichever of its phones it was.
    pub(crate) fn prompts_fulfilled(&mut self, no: CallNo, side: Side) {
        let Some(party) = self.table.call(no).map(|call| call.party(side)) else { return };
        let call = party.id;
        for id in party.legs() {
            let prompt = self.outgoing_mut(id).map(|outgoing| std::mem::take(&mut outgoing.prompt));
            if let Some(ticket) = prompt.and_then(Prompt::ticket) {
                self.endpoint.timers.cancel(Timer::Prompt(id));
                self.complete(ticket, Ok(Some(call)));
            }
        }
    }

    /// A phone rings no more, and has not answered.
    pub(crate) fn end_prompt(&mut self, id: LegId, state: &LegState, failure: Failure) {
        if let LegState::Outgoing(outgoing) = state
            && let Some(ticket) = outgoing.prompt.ticket()
        {
            self.endpoint.timers.cancel(Timer::Prompt(id));
            self.complete(ticket, Err(failure.refusal(Whose::Own)));
        }
    }

    fn outgoing_mut(&mut self, id: LegId) -> Option<&mut Outgoing> {
        match &mut self.table.leg_mut(id)?.state {
            LegState::Outgoing(outgoing) => Some(outgoing),
            LegState::Incoming(_) | LegState::Up(_) => None,
        }
    }

    fn touch_leg(&mut self, id: LegId) {
        if let Some(no) = self.table.leg(id).map(|leg| leg.call) {
            self.touch(no, None);
        }
    }
}

/// Nobody has it called anew or asked to answer.
fn is_free(leg: &Leg) -> bool {
    matches!(&leg.state, LegState::Outgoing(outgoing) if outgoing.prompt == Prompt::None)
}

/// Its phone has said that it rings.
fn has_rung(leg: &Leg) -> bool {
    matches!(&leg.state, LegState::Outgoing(outgoing) if !outgoing.remote_tag.is_empty())
}
