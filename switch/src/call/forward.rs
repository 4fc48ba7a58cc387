//! What becomes of a call to a user: the rules of the mode that is in force for him ([`Site::handling`](cas::site::Site::handling)).
//!
//! In their order: every call is forwarded (`always`), or none may disturb him (`dnd`: it goes the way of `busy`, or ends busy); or his phones ring, and those of `ring_also` with them. If
//! nobody answers within his number of rings, or none of his phones can be reached, those of `find_me` are rung as well (`find_me.rs`), for as many rings again. Then the call is forwarded by
//! the rule for what was found: `busy` (who declines is as good as busy), `no_answer`, `not_registered`; and to whom it is forwarded, his own rules apply, until it has been sent on often enough.
//!
//! - A rule that leads nowhere (any more), back to the user himself, or to the caller, is as if it were not there: whom a user has his calls forwarded to reaches him by calling him.
//! - A rule that leads to one who has sent the call on already is not followed: `always` ends the call with 482, the others with what was found.
//! - No rule is asked where the switch brings a user what is his already: his own phone for a client's call, what he has parked, a call from one of his phones to another, what he picks
//!   up; nor for one phone that is called by its GRUU. Of an intercom, and of who is rung in another's place, only `dnd` is asked: a closed door stays closed.
//! - To the mailbox: there is none yet, which is 480.

use cas::control::{Cause, Refusal};
use cas::site::UserId;
use cas::site::handling::{Forward, Rules};

use super::cause::{Failure, Whose};
use super::originate::NO_ANSWER;
use super::party::{PartyState, Side};
use super::route::{self, Destination};
use super::{CallNo, Manner, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::sip::diversion::Reason;
use crate::sip::message::Status;

/// How far a call has come in what its callee has ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Course {
    /// He is not asked.
    #[default]
    Direct,
    /// His own phones ring.
    Own,
    /// And he has been looked for elsewhere.
    Sought,
}

/// Where a rule leads.
enum Way {
    To(String, Destination),
    Voicemail,
    /// It has been there.
    Circle,
    Nowhere,
}

impl Engine {
    /// A call is for a user.
    pub(crate) fn reach_user(&mut self, at: At<'_>, no: CallNo, user: UserId) {
        let Some(call) = self.table.call_mut(no) else { return };
        // Somebody brings back to him what he has sent away.
        if call.trail.has(user) {
            return self.give_up(at, no, Failure::new(Cause::Loop));
        }
        self.note_caller(at, no, user);
        let Some(call) = self.table.call_mut(no) else { return };
        let is_own = call.caller.identity.user == Some(user);
        let is_asked = !is_own && call.sought().is_none() && call.manner != Manner::Intercom;
        call.callee.is_wanted = !is_own;
        let (_, rules) = at.site.handling(user, at.now.wall);
        if is_asked {
            call.course = Course::Own;
            if let Some(always) = &rules.always {
                match self.way(at, no, always) {
                    Way::To(number, to) => return self.send_on(at, no, &number, &to, Reason::Unconditional),
                    Way::Voicemail => return self.give_up(at, no, unanswered(Cause::NoAnswer)),
                    Way::Circle => return self.give_up(at, no, Failure::new(Cause::Loop)),
                    Way::Nowhere => {}
                }
            }
        }
        if rules.dnd && !is_own || self.is_busy(at.site, user) {
            return self.unreached(at, no, Failure::new(Cause::Busy));
        }
        self.ring_user(at, no, user, is_asked.then_some(rules));
    }

    /// Rings a user's phones, and by his rules others with them.
    fn ring_user(&mut self, at: At<'_>, no: CallNo, user: UserId, rules: Option<&Rules>) {
        let own = self.table.call(no).and_then(|call| call.caller.device);
        let offer = self.offer_of(no, Side::Caller);
        let mut contacts = self.contacts(at.site, user);
        let is_registered = !contacts.is_empty();
        contacts.retain(|contact| Some(contact.device) != own);
        let Some(rules) = rules else {
            return match (is_registered, contacts.is_empty()) {
                (true, false) => self.ring(at, no, Side::Callee, contacts, &offer),
                // He has called himself from his only phone.
                (true, true) => self.unreached(at, no, Failure::new(Cause::Busy)),
                (false, _) => self.unreached(at, no, Failure::new(Cause::NotRegistered)),
            };
        };
        let legs = self.ring_each(at, no, Side::Callee, contacts, &offer);
        let why = if is_registered { Cause::Overloaded } else { Cause::NotRegistered };
        let none = legs.is_empty().then_some(Failure::new(why));
        self.set_ringing(no, Side::Callee, legs);
        if let Some(Stage::Ringing { failure, .. }) = self.table.call_mut(no).map(|call| &mut call.stage) {
            *failure = none;
        }
        let also = self.seek(at, no, &rules.ring_also);
        self.set_no_answer(at, no, rules);
        if let Some(failure) = none.filter(|_| !also) {
            self.unreached(at, no, failure);
        }
    }

    fn set_no_answer(&mut self, at: At<'_>, no: CallNo, rules: &Rules) {
        let wait = rules.rings_for().unwrap_or(NO_ANSWER);
        self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + wait);
    }

    /// Nobody has answered in time.
    pub(crate) fn no_answer(&mut self, at: At<'_>, no: CallNo) {
        if let Some(failure) = self.tells(no) {
            return self.end_call(at, no, failure, None);
        }
        let failure = self.outcome(no);
        self.unreached(at, no, failure);
    }

    /// What has come of ringing somebody's phones: what they said; as long as one of them rings, that nobody answers.
    pub(crate) fn outcome(&self, no: CallNo) -> Failure {
        let said = self.table.call(no).and_then(|call| match (&call.stage, &call.callee.state) {
            (Stage::Ringing { failure, .. }, PartyState::Ringing { legs, .. }) if legs.is_empty() => *failure,
            _ => None,
        });
        said.unwrap_or(Failure::new(Cause::NoAnswer))
    }

    /// The one whom a call is for cannot be reached so: what he has ordered for that is done, or the call is given up.
    pub(crate) fn unreached(&mut self, at: At<'_>, no: CallNo, failure: Failure) {
        let Some(call) = self.table.call(no) else { return };
        let user = match (&call.stage, &call.callee.state) {
            (Stage::Ringing { .. }, PartyState::Idle | PartyState::Ringing { .. }) if call.course != Course::Direct => {
                call.callee.identity.user
            }
            _ => None,
        };
        let Some(user) = user else { return self.give_up(at, no, failure) };
        let (_, rules) = at.site.handling(user, at.now.wall);
        if call.course == Course::Own && is_absence(failure.cause) && self.seek_elsewhere(at, no, rules, failure) {
            return;
        }
        let (rule, why) = match failure.cause {
            Cause::Busy if rules.dnd => (rules.busy.as_ref(), Reason::DoNotDisturb),
            Cause::Busy | Cause::Declined => (rules.busy.as_ref(), Reason::UserBusy),
            Cause::NoAnswer => (rules.no_answer.as_ref().map(|rule| &rule.to), Reason::NoAnswer),
            Cause::NotRegistered | Cause::NoRoute | Cause::Vanished | Cause::Failed | Cause::Overloaded => {
                (rules.not_registered.as_ref(), Reason::Unavailable)
            }
            _ => (None, Reason::Unknown),
        };
        match rule.map_or(Way::Nowhere, |rule| self.way(at, no, rule)) {
            Way::To(number, to) => self.send_on(at, no, &number, &to, why),
            Way::Voicemail => self.give_up(at, no, unanswered(failure.cause)),
            Way::Circle | Way::Nowhere => self.give_up(at, no, failure),
        }
    }

    /// Rings the numbers where a user may be found, for as long again; false where none of them can be rung.
    fn seek_elsewhere(&mut self, at: At<'_>, no: CallNo, rules: &Rules, failure: Failure) -> bool {
        if rules.find_me.is_empty() {
            return false;
        }
        let Some(call) = self.table.call_mut(no) else { return false };
        call.course = Course::Sought;
        if let Stage::Ringing { failure: said, .. } = &mut call.stage {
            said.get_or_insert(failure);
        }
        let found = self.seek(at, no, &rules.find_me);
        if found {
            self.set_no_answer(at, no, rules);
            self.touch(no, None);
        }
        found
    }

    /// Where a call that a rule is to forward goes.
    fn way(&self, at: At<'_>, no: CallNo, to: &Forward) -> Way {
        let number = match to {
            Forward::Voicemail => return Way::Voicemail,
            Forward::Number(number) => number.as_str(),
        };
        let (Some(to), Some(call)) = (route::destination(at.site, number), self.table.call(no)) else {
            return Way::Nowhere;
        };
        let is_in_it = |user| [&call.caller, &call.callee].iter().any(|party| party.identity.user == Some(user));
        match to {
            Destination::User(user) if is_in_it(user) => Way::Nowhere,
            Destination::User(_) | Destination::Service(_) if self.may_send_on(no, &to) => {
                Way::To(number.to_owned(), to)
            }
            Destination::User(_) | Destination::Service(_) => Way::Circle,
            // What is for users' own hands.
            _ => Way::Nowhere,
        }
    }

    /// Whether a call of this user, or of nobody here, may be answered there at all, by somebody or something.
    pub(crate) fn may_reach(&self, at: At<'_>, who: Option<UserId>, destination: &Destination) -> Result<(), Refusal> {
        let is_there = match destination {
            Destination::User(user) => self.is_within_reach(at, who, *user),
            Destination::Intercom(user) => !self.contacts(at.site, *user).is_empty(),
            _ => true,
        };
        if is_there { Ok(()) } else { Err(Failure::new(Cause::NotRegistered).refusal(Whose::Far)) }
    }

    fn is_within_reach(&self, at: At<'_>, who: Option<UserId>, user: UserId) -> bool {
        let (_, rules) = at.site.handling(user, at.now.wall);
        let elsewhere = rules.always.is_some()
            || rules.not_registered.is_some()
            || !rules.find_me.is_empty()
            || !rules.ring_also.is_empty();
        (who != Some(user) && elsewhere) || !self.contacts(at.site, user).is_empty()
    }

    /// The callee of one call is that of another now, with all that was begun for him.
    pub(crate) fn goes_on_as(&mut self, from: CallNo, to: CallNo) {
        let Some((trail, manner, course)) =
            self.table.call(from).map(|call| (call.trail.clone(), call.manner, call.course))
        else {
            return;
        };
        let said = match self.table.call(from).map(|call| &call.stage) {
            Some(Stage::Ringing { failure, .. }) => *failure,
            _ => None,
        };
        if let Some(call) = self.table.call_mut(to) {
            (call.trail, call.manner, call.course) = (trail, manner, course);
            if let Stage::Ringing { failure, .. } = &mut call.stage {
                *failure = said;
            }
        }
        if let Some(due) = self.endpoint.timers.due(Timer::NoAnswer(from)) {
            self.endpoint.timers.set(Timer::NoAnswer(to), due);
        }
    }
}

/// Whether a user may yet be found elsewhere: one who is busy or will not have the call has been found.
fn is_absence(cause: Cause) -> bool {
    matches!(cause, Cause::NoAnswer | Cause::NotRegistered | Cause::NoRoute | Cause::Vanished | Cause::Failed)
}

/// A mailbox would answer.
fn unanswered(cause: Cause) -> Failure {
    Failure { status: Status(480), cause }
}
