//! What walks have seen done: counted, so that walks that never do something cannot pass for having shown it.

use std::collections::BTreeMap;
use std::fmt;

use super::World;

/// Something that a walk has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A call was as its client had been told.
    Compared,
    /// So was a parked one.
    ComparedParked,
    /// A telephone heard its partner.
    Heard,
    /// One that was held heard the music of who held it.
    HeardMusic,
    /// One that was parked heard music.
    HeardMusicParked,
    /// One that was sent on, or whose client called, heard that it rang.
    HeardRingback,
    /// A display showed another than the number dialled, or the caller, and rightly.
    Shown,
    /// A lamp of a user was lit, and rightly.
    Lit,
    /// So was one of an orbit.
    LitOrbit,
    /// A transfer was accepted, of a telephone or of a client.
    Transferred,
    /// One has reached somebody, as far as he who asked was told.
    Reached,
    /// A client's call was consulted about.
    Consulted,
    /// A client has completed a transfer.
    Completed,
    /// A client has sent on a call that rang.
    Redirected,
    /// A call was parked, by whatever means.
    Parked,
    /// By the code, in a second call.
    ParkedByCode,
    /// By a client.
    ParkedByClient,
    /// Somebody has got a parked call, by whatever means.
    Retrieved,
    /// By its number, or by the code.
    Fetched,
    /// By client.
    Unparked,
    /// One who had parked a call was rung for it.
    Recalled,
    /// A call that rang elsewhere was answered by code.
    PickedUp,
    /// By the code of the group.
    PickedUpInGroup,
    /// By client, or got from beside him for whom it was.
    PickedUpByClient,
    /// The key beside a lamp has got a call.
    GotByLamp,
    /// An intercom call was answered.
    Intercom,
    /// So was one to who had called last, or to whom its telephone's user had.
    CalledAgain,
}

impl Deed {
    /// All of them.
    pub const ALL: [Deed; 27] = [
        Deed::Compared,
        Deed::ComparedParked,
        Deed::Heard,
        Deed::HeardMusic,
        Deed::HeardMusicParked,
        Deed::HeardRingback,
        Deed::Shown,
        Deed::Lit,
        Deed::LitOrbit,
        Deed::Transferred,
        Deed::Reached,
        Deed::Consulted,
        Deed::Completed,
        Deed::Redirected,
        Deed::Parked,
        Deed::ParkedByCode,
        Deed::ParkedByClient,
        Deed::Retrieved,
        Deed::Fetched,
        Deed::Unparked,
        Deed::Recalled,
        Deed::PickedUp,
        Deed::PickedUpInGroup,
        Deed::PickedUpByClient,
        Deed::GotByLamp,
        Deed::Intercom,
        Deed::CalledAgain,
    ];

    /// What a telephone has done that is in the call it has dialled.
    pub(super) fn of_number(dialled: &str) -> Option<Deed> {
        Some(match dialled {
            "*8" => Deed::PickedUpInGroup,
            "*69" | "*07" => Deed::CalledAgain,
            _ if dialled.starts_with("*68") => Deed::ParkedByCode,
            _ if dialled.starts_with("*88") || dialled.starts_with('7') => Deed::Fetched,
            _ if dialled.starts_with("**") => Deed::PickedUp,
            _ if dialled.starts_with("*80") => Deed::Intercom,
            _ => return None,
        })
    }

    /// What a client has done whose request of this name has come to a good end.
    pub(super) fn of_message(name: &str) -> Option<Deed> {
        Some(match name {
            "consult" => Deed::Consulted,
            "complete-transfer" => Deed::Completed,
            "redirect" => Deed::Redirected,
            "park" => Deed::ParkedByClient,
            "unpark" => Deed::Unparked,
            "pickup" => Deed::PickedUpByClient,
            _ => return None,
        })
    }
}

/// What a walk has seen, and how often.
#[derive(Clone, Debug, Default)]
pub struct Walked(BTreeMap<Deed, usize>);

impl Walked {
    /// That of another walk besides.
    pub fn add(&mut self, other: &Walked) {
        for (deed, times) in &other.0 {
            *self.0.entry(*deed).or_default() += times;
        }
    }

    /// What was seen less often than so.
    pub fn seldom(&self, least: usize) -> Vec<Deed> {
        Deed::ALL.into_iter().filter(|deed| self.0.get(deed).copied().unwrap_or_default() < least).collect()
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(deed, times)| write!(f, "{times} {deed:?}, "))
    }
}

impl World {
    /// A walk has seen this.
    pub(super) fn saw(&mut self, deed: Deed) {
        *self.walked.0.entry(deed).or_default() += 1;
    }
}
