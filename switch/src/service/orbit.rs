//! Where calls are parked: one call at each place, and a watch over all of them.

use std::collections::BTreeMap;

use cas::site::plan::{Orbit, Plan};
use cas::site::{Dialled, Site, UserId};
use cas::time::Wall;

use crate::call::CallNo;
use crate::call::party::Identity;

/// A place where a call can be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// A number that is there for nothing else.
    Orbit(Orbit),
    /// Beside a user's extension.
    User(UserId),
}

impl Slot {
    /// The place that a number names.
    pub(crate) fn of(site: &Site, number: &str) -> Option<Slot> {
        match site.dialled(number)? {
            Dialled::User(user) => Some(Slot::User(user)),
            Dialled::Orbit(orbit) => Some(Slot::Orbit(orbit)),
            Dialled::Feature(_) | Dialled::Code(..) => None,
        }
    }

    /// The number that names it.
    pub(crate) fn number(self, site: &Site) -> String {
        match self {
            Slot::Orbit(orbit) => site.plan.orbits.number(orbit),
            Slot::User(user) => site.extension_of(user).map(|number| number.0.clone()).unwrap_or_default(),
        }
    }
}

/// A parked call.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) call: CallNo,
    /// That of the place, as it is told.
    pub(crate) number: String,
    /// Who is parked.
    pub(crate) who: Identity,
    /// Who has parked him.
    pub(crate) parker: UserId,
    pub(crate) since: Wall,
    pub(crate) recall: Recall,
}

/// How it stands with the one who has parked a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recall {
    /// He is rung when the timer says so.
    Waiting,
    /// He is rung by this call.
    Ringing(CallNo),
    /// He is never rung.
    Never,
}

/// All parked calls.
#[derive(Debug, Default)]
pub(crate) struct Parks(BTreeMap<Slot, Parked>);

impl Parks {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Parked> {
        self.0.get(&slot)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Parked> {
        self.0.get_mut(&slot)
    }

    pub(crate) fn insert(&mut self, slot: Slot, parked: Parked) {
        self.0.insert(slot, parked);
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Parked> {
        self.0.remove(&slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Parked)> {
        self.0.iter().map(|(slot, parked)| (*slot, parked))
    }

    /// Where a call is parked.
    pub(crate) fn slot_of(&self, no: CallNo) -> Option<Slot> {
        self.iter().find(|(_, parked)| parked.call == no).map(|(slot, _)| slot)
    }

    /// The first orbit that is free; a number that the store has is none.
    pub(crate) fn first_free(&self, site: &Site) -> Option<Slot> {
        let Plan { orbits, .. } = &site.plan;
        let is_free =
            |orbit: &Orbit| !self.0.contains_key(&Slot::Orbit(*orbit)) && site.target(&orbits.number(*orbit)).is_none();
        orbits.all().find(is_free).map(Slot::Orbit)
    }
}
