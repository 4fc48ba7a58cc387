//! Call handling modes that change by the clock: who follows schedules, what was in force for him last, and when to look again.
//!
//! Schedules are of the clock on the wall, which may be set; timers are of the other one. So nothing relies on a timer that was set long ago: one is set anew
//! with each input, for a minute at most, and where the wall's clock went back everybody is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::site::handling::Mode;
use crate::site::schedule::Source;
use crate::site::{Site, UserId};
use crate::time::{Now, Wall};

/// How long nothing is heard before the clock on the wall is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Users that are looked at in one step: at nine o'clock a whole site may change.
const BATCH: usize = 64;

/// What was in force last, and until when that need not be looked at.
#[derive(Clone, Copy, Debug)]
struct Known {
    mode: (Mode, Source),
    look: Wall,
}

/// Those who follow schedules.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    known: BTreeMap<UserId, Known>,
    looks: BTreeSet<(Wall, UserId)>,
    /// The wall's clock at the last input; `None` before the first.
    seen: Option<Wall>,
    timer: Option<Instant>,
}

impl Modes {
    /// When to be asked again.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Those for whom another mode is in force since the clock was looked at last; at first, whoever has chosen one.
    pub(crate) fn changed(&mut self, site: &Site, now: Now) -> Vec<UserId> {
        match self.seen.replace(now.wall) {
            None => {
                for user in site.followers() {
                    self.refresh(site, user, now.wall);
                }
                return site.handled().collect();
            }
            Some(seen) if now.wall < seen => {
                self.looks = self.known.keys().map(|user| (Wall(0), *user)).collect();
                self.known.values_mut().for_each(|known| known.look = Wall(0));
            }
            Some(_) => {}
        }
        let mut changed = Vec::new();
        for _ in 0..BATCH {
            let Some((_, user)) = self.looks.first().copied().filter(|(look, _)| *look <= now.wall) else { break };
            if self.refresh(site, user, now.wall) {
                changed.push(user);
            }
        }
        changed
    }

    /// The end of a step.
    pub(crate) fn arm(&mut self, now: Now) {
        let left = self.looks.first().map(|(look, _)| Duration::from_millis(look.0.saturating_sub(now.wall.0)));
        self.timer = left.map(|left| now.mono + left.min(LOOK));
    }

    /// Looks at one user. Whether another mode is in force than was last.
    pub(crate) fn refresh(&mut self, site: &Site, user: UserId, now: Wall) -> bool {
        let before = self.known.remove(&user);
        if let Some(known) = before {
            self.looks.remove(&(known.look, user));
        }
        if !site.follows(user) {
            return false;
        }
        let known = Known { mode: site.mode(user, now), look: site.schedules(Some(user)).next_look(now) };
        self.looks.insert((known.look, user));
        self.known.insert(user, known);
        before.is_some_and(|before| before.mode != known.mode)
    }
}
