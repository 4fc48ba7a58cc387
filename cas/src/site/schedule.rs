//! Schedules: which mode is in force when, for users who follow them.
//!
//! There are three kinds. A custom entry, made for one occasion, goes before a holiday, and a holiday before the hours of the week; within a kind the first entry
//! that covers the instant counts. A user has schedules of his own, or else those of the site, kind by kind.

mod when;

use jiff::civil::Date;

pub use self::when::{Clock, DAYS, Day, Hours, Span, Zone};
use self::when::{Interval, When};
use super::handling::Mode;
use super::named;
use crate::time::Wall;

/// The most entries of one kind.
pub const MAX_ENTRIES: usize = 64;
/// The longest name of an entry, in characters.
pub const MAX_ENTRY_NAME: usize = 50;

/// A kind of schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// From one instant to another.
    Custom,
    /// Whole days.
    Holiday,
    /// Hours of days of the week.
    OnHours,
}

named!(Kind { Custom = "custom", Holiday = "holiday", OnHours = "on-hours" });

impl Kind {
    /// All; each goes before those after it.
    pub const ALL: [Kind; 3] = [Kind::Custom, Kind::Holiday, Kind::OnHours];
}

/// In this mode, while that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<W> {
    /// When.
    pub when: W,
    /// Which.
    pub mode: Mode,
    /// What people call it; may be empty.
    pub name: String,
}

/// The schedules of a user or of the site. What is not set is the site's, and for the site there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    /// Whose clock counts; where nobody says, UTC.
    pub zone: Option<Zone>,
    /// The mode while no entry applies; where nobody says, the one the user has chosen.
    pub off_hours: Option<Mode>,
    /// Occasions.
    pub custom: Option<Vec<Entry<Span>>>,
    /// Days off.
    pub holiday: Option<Vec<Entry<Day>>>,
    /// The week.
    pub on_hours: Option<Vec<Entry<Hours>>>,
}

/// Why a mode is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The user has chosen it.
    Hand,
    /// An entry of this kind applies.
    Entry(Kind),
    /// None does.
    OffHours,
}

impl Source {
    /// As messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Source::Hand => "hand",
            Source::Entry(kind) => kind.name(),
            Source::OffHours => "off-hours",
        }
    }
}

/// The longest that one look ahead is good for.
const DAY: u64 = 24 * 3600 * 1000;
/// How far ahead a change is looked for, and in how many steps at most.
const HORIZON: u64 = 8 * DAY;
const MAX_STEPS: usize = 256;

/// The schedules that a user follows: his own, and the site's for what he has not set.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    own: Option<&'a Schedules>,
    site: Option<&'a Schedules>,
}

impl<'a> Followed<'a> {
    pub(super) fn new(own: Option<&'a Schedules>, site: Option<&'a Schedules>) -> Followed<'a> {
        Followed { own, site }
    }

    fn part<T: ?Sized>(self, part: impl Fn(&'a Schedules) -> Option<&'a T>) -> Option<&'a T> {
        self.own.and_then(&part).or_else(|| self.site.and_then(&part))
    }

    /// Whose clock counts.
    pub fn zone(self) -> &'a Zone {
        static UTC: Zone = Zone::UTC;
        self.part(|schedules| schedules.zone.as_ref()).unwrap_or(&UTC)
    }

    /// The mode while no entry applies; `None`: the one the user has chosen.
    pub fn off_hours(self) -> Option<Mode> {
        self.part(|schedules| schedules.off_hours.as_ref()).copied()
    }

    /// Occasions.
    pub fn custom(self) -> &'a [Entry<Span>] {
        self.part(|schedules| schedules.custom.as_deref()).unwrap_or_default()
    }

    /// Days off.
    pub fn holiday(self) -> &'a [Entry<Day>] {
        self.part(|schedules| schedules.holiday.as_deref()).unwrap_or_default()
    }

    /// The week.
    pub fn on_hours(self) -> &'a [Entry<Hours>] {
        self.part(|schedules| schedules.on_hours.as_deref()).unwrap_or_default()
    }

    /// The mode at an instant, and why; `None` as mode: the one the user has chosen.
    pub fn mode(self, at: Wall) -> (Option<Mode>, Source) {
        let (zone, date) = (self.zone(), self.zone().date(at));
        let entry = |kind: Kind| match kind {
            Kind::Custom => current(self.custom(), zone, date, at),
            Kind::Holiday => current(self.holiday(), zone, date, at),
            Kind::OnHours => current(self.on_hours(), zone, date, at),
        };
        match Kind::ALL.into_iter().find_map(|kind| Some((entry(kind)?, kind))) {
            Some((mode, kind)) => (Some(mode), Source::Entry(kind)),
            None => (self.off_hours(), Source::OffHours),
        }
    }

    /// The next instant at which an entry begins or ends; if there is none within a day, a day later.
    pub fn next_look(self, at: Wall) -> Wall {
        let (zone, date) = (self.zone(), self.zone().date(at));
        let all = intervals(self.custom(), zone, date).chain(intervals(self.holiday(), zone, date)).chain(intervals(
            self.on_hours(),
            zone,
            date,
        ));
        let limits = all.flat_map(|interval| [interval.from, interval.to]).filter(|limit| *limit > at);
        limits.min().map_or(Wall(at.0 + DAY), |limit| limit.min(Wall(at.0 + DAY)))
    }

    /// When the mode or the reason for it changes; `None`: not within a week.
    pub fn next_change(self, at: Wall) -> Option<Wall> {
        let now = self.mode(at);
        let looks = std::iter::successors(Some(self.next_look(at)), |last| Some(self.next_look(*last)));
        let looks = looks.take(MAX_STEPS).take_while(|look| look.0 <= at.0 + HORIZON);
        looks.into_iter().find(|look| self.mode(*look) != now)
    }
}

fn current<W: When>(entries: &[Entry<W>], zone: &Zone, date: Date, at: Wall) -> Option<Mode> {
    let covers =
        |entry: &&Entry<W>| entry.when.around(zone, date).into_iter().flatten().any(|interval| interval.has(at));
    entries.iter().find(covers).map(|entry| entry.mode)
}

fn intervals<'a, W: When>(
    entries: &'a [Entry<W>],
    zone: &'a Zone,
    date: Date,
) -> impl Iterator<Item = Interval> + use<'a, W> {
    entries.iter().flat_map(move |entry| entry.when.around(zone, date)).flatten()
}

#[cfg(test)]
mod tests;
