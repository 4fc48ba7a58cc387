//! What can be dialled besides the numbers of the store: feature codes and park orbits, as the configuration has them.

use std::fmt;
use std::time::Duration;

use super::{Extension, named};

/// What a user asks for by dialling a code, alone or with a number behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Parks the call that is on hold, at the first free orbit, or at the orbit or extension behind it.
    Park,
    /// Gets the call that is parked at the extension behind it.
    Retrieve,
    /// Answers the call that rings at the extension behind it.
    Pickup,
    /// Answers the call that rings at another of one's group.
    GroupPickup,
    /// Calls the extension behind it, whose telephone answers by itself.
    Intercom,
    /// Calls whoever called last.
    Return,
    /// Calls whom one has called last.
    Redial,
    /// Calls whom one has called in vain, last or at the extension behind it, as soon as he is free.
    CallBack,
    /// Does not, of whomever it is, or of the extension behind it.
    NoCallBack,
}

named!(Code {
    Park = "park",
    Retrieve = "retrieve",
    Pickup = "pickup",
    GroupPickup = "group-pickup",
    Intercom = "intercom",
    Return = "return",
    Redial = "redial",
    CallBack = "call-back",
    NoCallBack = "no-call-back",
});

impl Code {
    /// All, in the order of the configuration.
    pub const ALL: [Code; 9] = [
        Code::Park,
        Code::Retrieve,
        Code::Pickup,
        Code::GroupPickup,
        Code::Intercom,
        Code::Return,
        Code::Redial,
        Code::CallBack,
        Code::NoCallBack,
    ];

    /// What it is if nobody sets another.
    pub fn default_number(self) -> &'static str {
        match self {
            Code::Park => "*68",
            Code::Retrieve => "*88",
            Code::Pickup => "**",
            Code::GroupPickup => "*8",
            Code::Intercom => "*80",
            Code::Return => "*69",
            Code::Redial => "*07",
            Code::CallBack => "*66",
            Code::NoCallBack => "*86",
        }
    }

    /// Whether it may be dialled with a number behind it.
    pub fn takes_number(self) -> bool {
        self.takes() != Takes::Nothing
    }

    /// Whether it is dialled with a number behind it.
    fn takes(self) -> Takes {
        match self {
            Code::Park | Code::CallBack | Code::NoCallBack => Takes::Either,
            Code::Retrieve | Code::Pickup | Code::Intercom => Takes::Number,
            Code::GroupPickup | Code::Return | Code::Redial => Takes::Nothing,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Number,
    Either,
}

/// One of the places where calls are parked, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Orbit(pub u32);

/// The places where calls are parked: numbers that follow one another, all of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orbits {
    first: u32,
    last: u32,
    width: usize,
}

/// More orbits than this are no orbits any more: nobody finds his call.
const MOST_ORBITS: u32 = 1000;

impl Orbits {
    /// Two numbers and a dash.
    pub fn parse(text: &str) -> Option<Orbits> {
        let (first, last) = text.split_once('-').map(|(first, last)| (first.trim(), last.trim()))?;
        let is_number = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(first) || !is_number(last) || first.len() != last.len() {
            return None;
        }
        let orbits = Orbits { first: first.parse().ok()?, last: last.parse().ok()?, width: first.len() };
        (orbits.first <= orbits.last && orbits.last - orbits.first < MOST_ORBITS).then_some(orbits)
    }

    /// All of them, in their order.
    pub fn all(self) -> impl Iterator<Item = Orbit> {
        (self.first..=self.last).map(Orbit)
    }

    /// As it is dialled.
    pub fn number(self, orbit: Orbit) -> String {
        format!("{:0width$}", orbit.0, width = self.width)
    }

    /// The orbit that this number is.
    pub fn at(self, number: &str) -> Option<Orbit> {
        let is_one = number.len() == self.width && number.bytes().all(|byte| byte.is_ascii_digit());
        let orbit = if is_one { number.parse().ok()? } else { return None };
        (self.first..=self.last).contains(&orbit).then_some(Orbit(orbit))
    }
}

impl fmt::Display for Orbits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number(Orbit(self.first)), self.number(Orbit(self.last)))
    }
}

/// The codes and orbits of a site, and what belongs to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A code that is not here cannot be dialled.
    pub codes: Vec<(Code, Extension)>,
    /// Where calls are parked.
    pub orbits: Orbits,
    /// Calls that may come to a user beside the one he has; one more finds him busy.
    pub waiting: usize,
    /// How long a call-back is booked.
    pub call_back: Duration,
    /// How long a call is parked before whoever parked it is rung; `None`: he never is.
    pub recall: Option<Duration>,
}

impl Default for Plan {
    fn default() -> Plan {
        let codes = Code::ALL.into_iter().map(|code| (code, Extension(code.default_number().to_owned())));
        let orbits = Orbits { first: 700, last: 719, width: 3 };
        let (call_back, recall) = (Duration::from_secs(30 * 60), Some(Duration::from_secs(60)));
        Plan { codes: codes.collect(), orbits, waiting: 2, call_back, recall }
    }
}

impl Plan {
    /// The code that is dialled so, and what is behind it; the longest, where several begin alike.
    pub fn code<'a>(&self, number: &'a str) -> Option<(Code, &'a str)> {
        let dialled = self.codes.iter().filter_map(|(code, written)| {
            let rest = number.strip_prefix(written.as_str())?;
            let fits = match code.takes() {
                Takes::Nothing => rest.is_empty(),
                Takes::Number => !rest.is_empty(),
                Takes::Either => true,
            };
            fits.then_some((*code, rest))
        });
        dialled.min_by_key(|(_, rest)| rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orbits_are_numbers_of_one_length() {
        let orbits = Orbits::parse("07-12").unwrap();
        assert_eq!(orbits.to_string(), "07-12");
        assert_eq!(
            (orbits.at("08"), orbits.at("8"), orbits.at("13"), orbits.at("+8")),
            (Some(Orbit(8)), None, None, None)
        );
        assert_eq!((orbits.number(Orbit(9)), orbits.all().count()), ("09".to_owned(), 6));
        for wrong in ["", "700", "719-700", "7-10", "a-b", "0000-1000", "1-1000000000", "-1-2"] {
            assert_eq!(Orbits::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_code_is_meant_and_one_that_needs_a_number_has_one() {
        let plan = Plan::default();
        assert_eq!(plan.code("*68"), Some((Code::Park, "")));
        assert_eq!(plan.code("*68702"), Some((Code::Park, "702")));
        assert_eq!(plan.code("*88502"), Some((Code::Retrieve, "502")));
        assert_eq!((plan.code("*8"), plan.code("*81")), (Some((Code::GroupPickup, "")), None));
        assert_eq!((plan.code("*88"), plan.code("68"), plan.code("*6")), (None, None, None));
        let longer = (Code::Retrieve, Extension("*687".to_owned()));
        let plan = Plan { codes: vec![(Code::Park, Extension("*68".to_owned())), longer], ..plan };
        assert_eq!((plan.code("*6871"), plan.code("*687")), (Some((Code::Retrieve, "1")), Some((Code::Park, "7"))));
    }
}
