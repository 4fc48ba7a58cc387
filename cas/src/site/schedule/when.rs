//! What an entry of a schedule covers, by the clock on the wall of its time zone.
//!
//! A limit is the first instant at which that clock shows it, or more. So an entry that begins in the hour skipped in spring begins when the clock jumps, and one
//! that begins in the hour repeated in autumn begins the first time, and is not interrupted by the second.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::time::Wall;

/// A time zone of the tz database, with its daylight saving. The database is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: Cow<'static, str>,
    rules: TimeZone,
}

impl Zone {
    /// What holds where nobody has named another.
    pub const UTC: Zone = Zone { name: Cow::Borrowed("UTC"), rules: TimeZone::UTC };

    /// `Europe/Berlin`, whatever the case.
    pub fn named(name: &str) -> Option<Zone> {
        let rules = TimeZone::get(name).ok()?;
        let name = rules.iana_name()?.to_owned();
        Some(Zone { name: name.into(), rules })
    }

    /// As the database writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the calendar shows.
    pub(super) fn date(&self, at: Wall) -> Date {
        let timestamp = i64::try_from(at.0).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        self.rules.to_datetime(timestamp.unwrap_or(Timestamp::MAX)).date()
    }

    /// The first instant at which the clock shows this, or more.
    fn first(&self, shown: DateTime) -> Option<Wall> {
        let ambiguous = self.rules.to_ambiguous_timestamp(shown);
        let first = match ambiguous.offset() {
            AmbiguousOffset::Gap { after, .. } => {
                let before_the_jump = after.to_timestamp(shown).ok()?;
                self.rules.following(before_the_jump).next()?.timestamp()
            }
            AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => ambiguous.earlier().ok()?,
        };
        u64::try_from(first.as_millisecond()).ok().map(Wall)
    }

    fn interval(&self, from: DateTime, to: DateTime) -> Option<Interval> {
        Some(Interval { from: self.first(from)?, to: self.first(to)? })
    }
}

/// From one instant up to and without another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) from: Wall,
    pub(super) to: Wall,
}

impl Interval {
    pub(super) fn has(self, at: Wall) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// What all entries have in common.
pub(super) trait When {
    /// The intervals that may have begun and not ended, or begin or end within a day, while the calendar shows this date.
    fn around(&self, zone: &Zone, date: Date) -> [Option<Interval>; 3];
}

/// The day before, the day itself and the day after.
fn days(date: Date) -> [Option<Date>; 3] {
    [date.yesterday().ok(), Some(date), date.tomorrow().ok()]
}

/// Hours of some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    days: u8,
    from: Clock,
    to: Clock,
}

/// The days of the week as they are written, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Hours {
    /// On these days of the week, by their index in [`DAYS`], from one time to another; where that is not later, to that time of the next day. `None`
    /// where no day is named, or the two times are the same.
    pub fn new(days: impl IntoIterator<Item = usize>, from: Clock, to: Clock) -> Option<Hours> {
        let days = days.into_iter().filter(|day| *day < DAYS.len()).fold(0, |bits, day| bits | 1 << day);
        (days != 0 && from != to && from.0 < Clock::DAY).then_some(Hours { days, from, to })
    }

    /// The days, Monday first.
    pub fn days(self) -> impl Iterator<Item = &'static str> {
        DAYS.into_iter().enumerate().filter(move |(day, _)| self.days & 1 << day != 0).map(|(_, name)| name)
    }

    /// When it begins on each of them.
    pub fn from(self) -> Clock {
        self.from
    }

    /// When it ends.
    pub fn to(self) -> Clock {
        self.to
    }

    fn is_on(self, day: Weekday) -> bool {
        self.days & 1 << day.to_monday_zero_offset() != 0
    }

    fn begun_on(self, zone: &Zone, date: Date) -> Option<Interval> {
        let end = if self.to > self.from { date } else { date.tomorrow().ok()? };
        let is_on = self.is_on(date.weekday());
        if is_on { zone.interval(self.from.on(date)?, self.to.on(end)?) } else { None }
    }
}

impl When for Hours {
    fn around(&self, zone: &Zone, date: Date) -> [Option<Interval>; 3] {
        days(date).map(|date| self.begun_on(zone, date?))
    }
}

/// A time of day, to the minute: minutes since midnight. 24:00 is the end of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock(u16);

impl Clock {
    const DAY: u16 = 24 * 60;

    /// `00:00` to `24:00`.
    pub fn parse(text: &str) -> Option<Clock> {
        let (hours, minutes) = text.split_once(':')?;
        let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let (hours, minutes): (u16, u16) =
            if two(hours) && two(minutes) { (hours.parse().ok()?, minutes.parse().ok()?) } else { return None };
        let clock = Clock(hours * 60 + minutes);
        (minutes < 60 && clock.0 <= Clock::DAY).then_some(clock)
    }

    fn on(self, date: Date) -> Option<DateTime> {
        match self.0 {
            Clock::DAY => Some(date.tomorrow().ok()?.to_datetime(Time::midnight())),
            minutes => Some(date.to_datetime(Time::midnight()).checked_add(i64::from(minutes).minutes()).ok()?),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A day, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// This one.
    Once(Date),
    /// The day of this month, each year that has it.
    Yearly {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
}

/// A leap year: it has all days.
const LEAP: &str = "2000-";

impl Day {
    /// `2026-12-25`, or `12-25` for each year's.
    pub fn parse(text: &str) -> Option<Day> {
        match text.len() {
            5 => date(&format!("{LEAP}{text}")).map(|date| Day::Yearly { month: date.month(), day: date.day() }),
            _ => date(text).map(Day::Once),
        }
    }

    fn is(self, date: Date) -> bool {
        match self {
            Day::Once(day) => day == date,
            Day::Yearly { month, day } => (month, day) == (date.month(), date.day()),
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Day::Once(date) => date.fmt(f),
            Day::Yearly { month, day } => write!(f, "{month:02}-{day:02}"),
        }
    }
}

impl When for Day {
    fn around(&self, zone: &Zone, date: Date) -> [Option<Interval>; 3] {
        days(date).map(|date| {
            let date = date.filter(|date| self.is(*date))?;
            zone.interval(date.to_datetime(Time::midnight()), date.tomorrow().ok()?.to_datetime(Time::midnight()))
        })
    }
}

/// From one time of one day to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: DateTime,
    to: DateTime,
}

impl Span {
    /// Two times as in `2026-12-24T13:00`, the second later.
    pub fn parse(from: &str, to: &str) -> Option<Span> {
        let (from, to) = (moment(from)?, moment(to)?);
        (from < to).then_some(Span { from, to })
    }

    /// As it was written.
    pub fn from(self) -> String {
        self.from.strftime("%Y-%m-%dT%H:%M").to_string()
    }

    /// As it was written.
    pub fn to(self) -> String {
        self.to.strftime("%Y-%m-%dT%H:%M").to_string()
    }
}

impl When for Span {
    fn around(&self, zone: &Zone, _: Date) -> [Option<Interval>; 3] {
        [zone.interval(self.from, self.to), None, None]
    }
}

fn moment(text: &str) -> Option<DateTime> {
    let (day, clock) = text.split_once('T')?;
    let clock = Clock::parse(clock).filter(|clock| clock.0 < Clock::DAY)?;
    clock.on(date(day)?)
}

/// `2026-12-25`: four digits, two and two; of this era of computers.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |length: usize| {
        let part =
            parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<i16>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    (parts.next().is_none() && (1971..=9998).contains(&year)).then_some(date)
}
