//! Call handling: what becomes of a call to a user, by the mode that is in force for him.
//!
//! Each user has a set of [`Rules`] for each of the five [`Mode`]s; what he has not set is as it comes. A mode is chosen by hand, or
//! follows [schedules](super::schedule). The engine asks [`Site::handling`] at each call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::schedule::{Followed, Schedules, Source};
use super::{Extension, Site, UserId, named};
use crate::time::Wall;

/// One of the five modes that users of such systems know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// At the desk.
    #[default]
    Standard,
    /// Not to be disturbed for a while.
    InAMeeting,
    /// Away for hours.
    OutOfOffice,
    /// Away for days.
    ExtendedAbsence,
    /// Whatever the user makes of it.
    Custom,
}

named!(Mode {
    Standard = "standard",
    InAMeeting = "in-a-meeting",
    OutOfOffice = "out-of-office",
    ExtendedAbsence = "extended-absence",
    Custom = "custom",
});

impl Mode {
    /// All, in the order of a menu.
    pub const ALL: [Mode; 5] =
        [Mode::Standard, Mode::InAMeeting, Mode::OutOfOffice, Mode::ExtendedAbsence, Mode::Custom];

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Mode::Standard => "Standard",
            Mode::InAMeeting => "In a Meeting",
            Mode::OutOfOffice => "Out of Office",
            Mode::ExtendedAbsence => "Extended Absence",
            Mode::Custom => "Custom",
        }
    }
}

/// Where a call goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// To what is reached by dialling this.
    Number(Extension),
    /// To the user's mailbox. There are none yet: the caller is told that nobody is there (480).
    Voicemail,
}

/// What becomes of a call that nobody has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// After so many rings of [`RING`], [`MIN_RINGS`] to [`MAX_RINGS`].
    pub rings: u8,
    /// It goes there.
    pub to: Forward,
}

/// One ring and the pause after it, as users count them.
pub const RING: Duration = Duration::from_secs(6);
/// The fewest rings before a call is forwarded.
pub const MIN_RINGS: u8 = 1;
/// The rings of one who has set none.
pub const RINGS: u8 = 4;
/// The most rings.
pub const MAX_RINGS: u8 = 15;
/// The most numbers of [`Rules::find_me`], and of [`Rules::ring_also`].
pub const MAX_NUMBERS: usize = 5;

/// What becomes of calls to a user in one mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// His telephones do not ring: a call goes the way of [`busy`](Self::busy) at once.
    pub dnd: bool,
    /// Every call goes there, and nothing rings.
    pub always: Option<Forward>,
    /// Where a call goes that all his telephones refuse as busy.
    pub busy: Option<Forward>,
    /// Where a call goes that nobody answers; `None`: it rings as long as calls do, and the caller is told.
    pub no_answer: Option<NoAnswer>,
    /// Where a call goes while none of his telephones can be reached.
    pub not_registered: Option<Forward>,
    /// Numbers that are tried together after his own telephones have not answered, and before [`no_answer`](Self::no_answer) forwards.
    pub find_me: Vec<Extension>,
    /// Numbers that ring together with his own telephones.
    pub ring_also: Vec<Extension>,
}

/// A telephone that does nothing but ring.
static PLAIN: Rules = Rules {
    dnd: false,
    always: None,
    busy: None,
    no_answer: None,
    not_registered: None,
    find_me: Vec::new(),
    ring_also: Vec::new(),
};
/// Nobody is to be reached.
static AWAY: Rules = Rules {
    dnd: false,
    always: Some(Forward::Voicemail),
    busy: None,
    no_answer: None,
    not_registered: None,
    find_me: Vec::new(),
    ring_also: Vec::new(),
};

impl Rules {
    /// How long the user's telephones ring before something else is tried; `None`: nothing else is, and they ring as long as calls do.
    pub fn rings_for(&self) -> Option<Duration> {
        let rings = match &self.no_answer {
            Some(no_answer) => no_answer.rings,
            None if self.find_me.is_empty() => return None,
            None => RINGS,
        };
        Some(RING * u32::from(rings))
    }

    /// What a mode does as long as its user has not said otherwise: at the desk the telephone rings, away it does not.
    pub fn of(mode: Mode) -> &'static Rules {
        match mode {
            Mode::Standard | Mode::Custom => &PLAIN,
            Mode::InAMeeting | Mode::OutOfOffice | Mode::ExtendedAbsence => &AWAY,
        }
    }
}

/// A user's call handling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// The mode he has chosen.
    pub mode: Mode,
    /// Whether schedules go before it.
    pub follows: bool,
    /// The modes whose rules he has set.
    pub rules: BTreeMap<Mode, Rules>,
}

impl Handling {
    /// What a mode does.
    pub fn rules(&self, mode: Mode) -> &Rules {
        self.rules.get(&mode).unwrap_or_else(|| Rules::of(mode))
    }
}

impl Site {
    /// The mode that is in force for a user at this instant, and what it does.
    pub fn handling(&self, user: UserId, now: Wall) -> (Mode, &Rules) {
        let (mode, _) = self.mode(user, now);
        (mode, self.handlings.get(&user).map_or(Rules::of(mode), |handling| handling.rules(mode)))
    }

    /// The mode that is in force for a user, and why.
    pub fn mode(&self, user: UserId, now: Wall) -> (Mode, Source) {
        let Some(handling) = self.handlings.get(&user) else { return (Mode::default(), Source::Hand) };
        if !handling.follows {
            return (handling.mode, Source::Hand);
        }
        let (mode, source) = self.schedules(Some(user)).mode(now);
        (mode.unwrap_or(handling.mode), source)
    }

    /// What a user has chosen and set.
    pub fn chosen_handling(&self, user: UserId) -> Handling {
        self.handlings.get(&user).cloned().unwrap_or_default()
    }

    /// Users who have chosen or set anything, by id.
    pub fn handled(&self) -> impl Iterator<Item = UserId> {
        self.handlings.keys().copied()
    }

    /// Users who follow schedules, by id.
    pub fn followers(&self) -> impl Iterator<Item = UserId> {
        self.handlings.iter().filter(|(_, handling)| handling.follows).map(|(user, _)| *user)
    }

    /// Whether this user does.
    pub fn follows(&self, user: UserId) -> bool {
        self.handlings.get(&user).is_some_and(|handling| handling.follows)
    }

    /// The schedules of a user, or of the site.
    pub fn schedules(&self, owner: Option<UserId>) -> Followed<'_> {
        let own = owner.and_then(|user| self.schedules.get(&Some(user)));
        Followed::new(own, self.schedules.get(&None))
    }

    /// What of them he has set himself.
    pub fn own_schedules(&self, owner: Option<UserId>) -> Schedules {
        self.schedules.get(&owner).cloned().unwrap_or_default()
    }
}
