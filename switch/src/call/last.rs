//! Redial and return: a user's last call once more, whichever of his phones it was at.
//!
//! Each phone has a redial key that knows what was dialled there, and a list of those who have called it; these know the user. What a phone has dialled counts as he dialled it,
//! codes aside, and whether or not anybody answered; whoever has called him, whether he was there or not. Kept by the store, behind the calls: it outlives a restart.

use std::collections::{BTreeMap, BTreeSet};

use cas::control::Cause;
use cas::site::{Site, UserId};
use cas::store::{self, Change};

use super::CallNo;
use super::cause::Failure;
use super::party::{Identity, Party, Side};
use super::route::{self, Destination};
use super::waiting::is_gateway;
use crate::engine::{At, Engine};

/// More is no number that anybody has dialled.
const LONGEST: usize = 64;

/// The last calls of all users.
#[derive(Debug, Default)]
pub(crate) struct LastCalls {
    of: BTreeMap<UserId, Last>,
    /// Those that the store is asked to keep.
    writing: BTreeMap<store::RequestId, BTreeSet<UserId>>,
}

#[derive(Debug, Default)]
struct Last {
    /// As it was dialled.
    dialled: Option<String>,
    /// The caller's number; empty where he gave none.
    caller: Option<String>,
}

impl LastCalls {
    /// As the store has them.
    pub(crate) fn new(stored: &[store::LastCalls]) -> LastCalls {
        let last =
            |last: &store::LastCalls| (last.user, Last { dialled: last.dialled.clone(), caller: last.caller.clone() });
        LastCalls { of: stored.iter().map(last).collect(), writing: BTreeMap::new() }
    }

    /// Whether that is something new.
    fn dials(&mut self, user: UserId, number: &str) -> bool {
        replace(&mut self.of.entry(user).or_default().dialled, number)
    }

    fn is_called(&mut self, user: UserId, number: &str) -> bool {
        replace(&mut self.of.entry(user).or_default().caller, number)
    }

    /// Whether there is what is to be done once more: a return, or a redial.
    pub(crate) fn has(&self, user: UserId, destination: &Destination) -> bool {
        self.of.get(&user).is_some_and(|last| match destination {
            Destination::Return => last.caller.is_some(),
            Destination::Redial => last.dialled.is_some(),
            _ => false,
        })
    }

    /// These users' are being written.
    pub(crate) fn write(&mut self, id: store::RequestId, users: BTreeSet<UserId>) -> Vec<Change> {
        let change = |user: &UserId| {
            let Last { dialled, caller } = self.of.get(user)?;
            let (dialled, caller) = (dialled.clone(), caller.clone());
            Some(Change::PutLastCalls(store::LastCalls { user: *user, dialled, caller }))
        };
        let changes = users.iter().filter_map(change).collect();
        self.writing.insert(id, users);
        changes
    }

    /// The store has answered, where this was asked of it: whose.
    pub(crate) fn stored(&mut self, id: store::RequestId) -> Option<BTreeSet<UserId>> {
        self.writing.remove(&id)
    }

    /// Those who are users no more have called nobody.
    pub(crate) fn keep(&mut self, site: &Site) {
        self.of.retain(|user, _| site.user(*user).is_some());
    }
}

fn replace(number: &mut Option<String>, by: &str) -> bool {
    let is_new = number.as_deref() != Some(by);
    if is_new {
        *number = Some(by.to_owned());
    }
    is_new
}

/// Whether a number that leads there can be dialled once more. What is parked or rings is another's by then; a number that leads nowhere may lead somewhere.
fn can_be_dialled_again(destination: Option<&Destination>) -> bool {
    match destination {
        None | Some(Destination::User(_) | Destination::Service(_) | Destination::Intercom(_)) => true,
        Some(
            Destination::Phone(..)
            | Destination::Orbit(_)
            | Destination::Park(_)
            | Destination::Pickup(_)
            | Destination::GroupPickup
            | Destination::Redial
            | Destination::Return
            | Destination::CallBack(_)
            | Destination::NoCallBack(_),
        ) => false,
    }
}

impl Engine {
    /// A user has dialled.
    pub(crate) fn note_dialled(&mut self, at: At<'_>, user: UserId, number: &str, to: Option<&Destination>) {
        let is_one = (1..=LONGEST).contains(&number.len()) && can_be_dialled_again(to);
        if is_one && self.last_calls.dials(user, number) {
            self.write_last_calls(at, user);
        }
    }

    /// A user is called, be he there or not.
    pub(crate) fn note_caller(&mut self, at: At<'_>, no: CallNo, user: UserId) {
        let Some(Identity { user: by, number, .. }) = self.table.call(no).map(|call| call.caller.identity.clone())
        else {
            return;
        };
        if by == Some(user) || number.len() > LONGEST || is_gateway(at.site, user) {
            return;
        }
        // What gateways say of callers who withhold their numbers (RFC 3261 §8.1.1.3).
        let number = if number.eq_ignore_ascii_case("anonymous") { "" } else { &number };
        if self.last_calls.is_called(user, number) {
            self.write_last_calls(at, user);
        }
    }

    /// The caller's last number is dialled once more.
    pub(crate) fn redial(&mut self, at: At<'_>, no: CallNo) {
        let last = self.last_of_caller(no).and_then(|last| last.dialled.clone());
        self.dial_again(at, no, last.ok_or(Failure::new(Cause::NothingThere)));
    }

    /// Whoever called the caller last is called.
    pub(crate) fn return_call(&mut self, at: At<'_>, no: CallNo) {
        let last = self.last_of_caller(no).and_then(|last| last.caller.clone());
        self.dial_again(
            at,
            no,
            match last {
                None => Err(Failure::new(Cause::NothingThere)),
                Some(number) if number.is_empty() => Err(Failure::new(Cause::Anonymous)),
                Some(number) => Ok(number),
            },
        );
    }

    fn last_of_caller(&self, no: CallNo) -> Option<&Last> {
        self.last_calls.of.get(&self.table.call(no)?.caller.identity.user?)
    }

    /// The call goes to a number instead of the code that was dialled.
    fn dial_again(&mut self, at: At<'_>, no: CallNo, number: Result<String, Failure>) {
        let there = number.and_then(|number| {
            let destination = route::destination(at.site, &number).filter(|there| can_be_dialled_again(Some(there)));
            Ok((destination.ok_or(Failure::new(Cause::NoRoute))?, number))
        });
        let (destination, number) = match there {
            Ok(there) => there,
            Err(failure) => return self.unreached(at, no, failure),
        };
        let Some(caller) = self.table.call(no).map(|call| call.caller.identity.clone()) else { return };
        if let Some(user) = caller.user {
            self.note_dialled(at, user, &number, Some(&destination));
        }
        let callee = route::identity(at.site, &number);
        if let Some(call) = self.table.call_mut(no) {
            call.caller.met = callee.clone();
        }
        let callee: Party = self.party(at, callee, caller);
        self.table.replace(no, Side::Callee, callee);
        self.touch(no, None);
        self.reach_destination(at, no, &destination);
    }
}
