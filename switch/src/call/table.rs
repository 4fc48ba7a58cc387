//! The tables of call control: calls, legs, and the ways to find them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cas::control::CallId;
use cas::site::UserId;
use cas::store::HistoryRecord;
use cas::time::Now;
use media::LegStats;

use super::leg::{Leaving, Leg, LegId};
use super::party::{Party, PartyState, Side};
use super::{Call, CallNo};
use crate::ports::Place;
use crate::service::Service;
use crate::subscribe::watch::Subject;

/// Every call, leg and leaving leg, by every name they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Table {
    calls: BTreeMap<CallNo, Call>,
    ends: BTreeMap<CallId, (CallNo, Side)>,
    /// The ends of each user's calls, oldest first.
    users: BTreeSet<(UserId, CallId)>,
    /// How many calls have come from each source.
    sources: BTreeMap<IpAddr, usize>,
    legs: BTreeMap<LegId, Leg>,
    leaving: BTreeMap<LegId, Leaving>,
    /// Our dialog tags, of legs and of those leaving.
    tags: BTreeMap<String, LegId>,
    /// Media legs that are closing: their ports, and the record that waits for their statistics.
    closing: BTreeMap<LegId, Closing>,
    /// Legs that have left.
    left: Vec<LegId>,
    /// Whether anybody watches lamps, or waits to call somebody back; and whose calls were touched since they were looked at.
    pub(crate) are_watched: bool,
    touched: BTreeSet<Subject>,
    next: u64,
}

/// A media leg that has been told to close.
#[derive(Debug)]
pub(crate) struct Closing {
    place: Place,
    record: Option<HistoryRecord>,
    closed: bool,
    /// That its phone knows it is over, as far as is known.
    heard: bool,
}

impl Closing {
    pub(crate) fn new(place: Place, record: Option<HistoryRecord>) -> Closing {
        Closing { place, record, closed: false, heard: true }
    }
}

impl Table {
    /// A number for something new. Call ids stay unique over restarts, since records keep them: the clock is in their high bits.
    pub(crate) fn number(&mut self, now: Now) -> u64 {
        self.next = (self.next + 1).max(now.wall.0 << 20);
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Nothing is left, not even what leaves.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls.is_empty() && self.leaving.is_empty() && self.closing.is_empty()
    }

    /// With whatever legs its parties have already.
    pub(crate) fn insert(&mut self, no: CallNo, call: Call) {
        for side in [Side::Caller, Side::Callee] {
            self.seat(no, side, call.party(side));
        }
        if let Some(source) = call.source {
            *self.sources.entry(source).or_default() += 1;
        }
        self.calls.insert(no, call);
        self.touch(no);
    }

    pub(crate) fn remove(&mut self, no: CallNo) -> Option<Call> {
        self.touch(no);
        let call = self.calls.remove(&no)?;
        self.ends.remove(&call.caller.id);
        self.ends.remove(&call.callee.id);
        for party in [&call.caller, &call.callee] {
            if let Some(user) = party.identity.user {
                self.users.remove(&(user, party.id));
            }
        }
        if let Some(source) = call.source
            && let Some(calls) = self.sources.get_mut(&source)
        {
            *calls -= 1;
            if *calls == 0 {
                self.sources.remove(&source);
            }
        }
        Some(call)
    }

    /// A party takes a place in a call, with whatever legs it has; who had the place is returned, and is in no call any more.
    pub(crate) fn replace(&mut self, no: CallNo, side: Side, party: Party) -> Option<Party> {
        self.calls.get(&no)?;
        self.touch(no);
        self.seat(no, side, &party);
        let call = self.calls.get_mut(&no)?;
        let before = std::mem::replace(call.party_mut(side), party);
        if self.ends.get(&before.id) == Some(&(no, side)) {
            self.ends.remove(&before.id);
            if let Some(user) = before.identity.user {
                self.users.remove(&(user, before.id));
            }
        }
        self.touch(no);
        Some(before)
    }

    fn seat(&mut self, no: CallNo, side: Side, party: &Party) {
        for id in party.legs() {
            if let Some(leg) = self.legs.get_mut(&id) {
                (leg.call, leg.side) = (no, side);
            }
        }
        self.ends.insert(party.id, (no, side));
        self.users.extend(party.identity.user.map(|user| (user, party.id)));
    }

    /// A call may be about to change: the lamps of its users, and of where it is parked, are looked at when the step ends.
    fn touch(&mut self, no: CallNo) {
        if let Some(call) = self.calls.get(&no).filter(|_| self.are_watched) {
            let subjects = |party: &Party| {
                let slot = match party.state {
                    PartyState::Service(Service::Park(slot)) => Some(Subject::of_slot(slot)),
                    _ => None,
                };
                party.identity.user.map(Subject::User).into_iter().chain(slot)
            };
            self.touched.extend([&call.caller, &call.callee].into_iter().flat_map(subjects));
        }
    }

    /// Whose calls were touched since this was last asked.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<Subject> {
        std::mem::take(&mut self.touched)
    }

    /// The users among them, before they are taken.
    pub(crate) fn touched_users(&self) -> impl Iterator<Item = UserId> {
        self.touched.iter().filter_map(|subject| match subject {
            Subject::User(user) => Some(*user),
            Subject::Orbit(_) => None,
        })
    }

    /// Calls that have come from this source.
    pub(crate) fn calls_from(&self, source: IpAddr) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    pub(crate) fn call(&self, no: CallNo) -> Option<&Call> {
        self.calls.get(&no)
    }

    pub(crate) fn call_mut(&mut self, no: CallNo) -> Option<&mut Call> {
        self.touch(no);
        self.calls.get_mut(&no)
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (CallNo, &Call)> {
        self.calls.iter().map(|(no, call)| (*no, call))
    }

    /// The call, and which end of it, that a client means.
    pub(crate) fn end(&self, id: CallId) -> Option<(CallNo, Side)> {
        self.ends.get(&id).copied()
    }

    /// The ends of a user's calls, oldest first.
    pub(crate) fn ends_of(&self, user: UserId) -> impl DoubleEndedIterator<Item = CallId> {
        self.users.range((user, CallId(0))..=(user, CallId(u64::MAX))).map(|(_, id)| *id)
    }

    pub(crate) fn insert_leg(&mut self, id: LegId, leg: Leg) {
        self.touch(leg.call);
        self.tags.insert(leg.tag.clone(), id);
        self.legs.insert(id, leg);
    }

    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(&id)
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        if let Some(no) = self.legs.get(&id).map(|leg| leg.call).filter(|_| self.are_watched) {
            self.touch(no);
        }
        self.legs.get_mut(&id)
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        self.legs.iter().map(|(id, leg)| (*id, leg))
    }

    /// The leg's tag goes with it, unless it is left in [`leave`](Self::leave).
    pub(crate) fn remove_leg(&mut self, id: LegId) -> Option<Leg> {
        let leg = self.legs.remove(&id)?;
        self.touch(leg.call);
        self.tags.remove(&leg.tag);
        Some(leg)
    }

    pub(crate) fn leave(&mut self, id: LegId, leaving: Leaving) {
        self.tags.insert(leaving.tag.clone(), id);
        self.leaving.insert(id, leaving);
    }

    pub(crate) fn leaving(&self, id: LegId) -> Option<&Leaving> {
        self.leaving.get(&id)
    }

    pub(crate) fn remove_leaving(&mut self, id: LegId) -> Option<Leaving> {
        let leaving = self.leaving.remove(&id)?;
        self.tags.remove(&leaving.tag);
        self.left.push(id);
        Some(leaving)
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<LegId> {
        self.tags.get(tag).copied()
    }

    pub(crate) fn close(&mut self, id: LegId, closing: Closing) {
        self.closing.insert(id, closing);
    }

    pub(crate) fn is_closing(&self, id: LegId) -> bool {
        self.closing.contains_key(&id)
    }

    /// The media leg is closed: its record has its statistics.
    pub(crate) fn closed(&mut self, id: LegId, stats: &LegStats) -> Option<(Place, Option<HistoryRecord>)> {
        let closing = self.closing.get_mut(&id)?;
        closing.closed = true;
        let with_statistics = |record| HistoryRecord { media: super::record::statistics(stats), ..record };
        Some((closing.place, closing.record.take().map(with_statistics)))
    }

    /// The phone of a leg that leaves has not answered its BYE.
    pub(crate) fn unheard(&mut self, id: LegId) {
        if let Some(closing) = self.closing.get_mut(&id) {
            closing.heard = false;
        }
    }

    /// The place of a leg whose media is closed and whose phone has left, once; and whether the phone has heard that it is over.
    pub(crate) fn vacated(&mut self, id: LegId) -> Option<(Place, bool)> {
        let over = self.closing.get(&id)?.closed && !self.leaving.contains_key(&id);
        let closing = if over { self.closing.remove(&id)? } else { return None };
        Some((closing.place, closing.heard))
    }

    /// Legs that have left since the last look.
    pub(crate) fn take_left(&mut self) -> Vec<LegId> {
        std::mem::take(&mut self.left)
    }
}
