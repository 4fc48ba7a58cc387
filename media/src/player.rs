//! What is played to one leg: which packet of which sound is due.
//!
//! All is counted from the clock, so that a late turn leaves no gap behind it, and a leg that goes to another worker goes on where it was.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::command::{PlayId, Repeat, SoundId};
use crate::sound::{Sound, Sounds};

/// The sound of a packet.
const FRAME: Duration = Duration::from_millis(20);
/// Packets that a turn may be late by, and that are made up for; of more, all are left out.
const LATE: u32 = 3;
/// How long a sound that is to end waits for somebody to take over. Telephones that come back from hold speak within a few packets.
const LINGER: Duration = Duration::from_millis(400);

/// A sound that is being played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Player {
    pub(crate) sound: SoundId,
    repeat: Repeat,
    /// Tells this playing from the one before, to whoever places its packets.
    pub(crate) generation: u32,
    began: Option<Beginning>,
    /// The packet that is next, counted from the beginning.
    next: u32,
    /// When it is to end, if it is.
    ending: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    at: Instant,
    /// The packet of the sound it began with.
    offset: u32,
}

/// What a turn has for the telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// The nth packet of this playing, which of the sound that is, and whether some before it were left out.
    Packet { nth: u32, of_sound: u32, skipped: bool },
    /// It is over.
    Over(Option<PlayId>),
}

impl Player {
    pub(crate) fn new(sound: SoundId, repeat: Repeat, generation: u32) -> Player {
        Player { sound, repeat, generation, began: None, next: 0, ending: None }
    }

    /// It ends with the first that somebody says, or soon.
    pub(crate) fn hush(&mut self, now: Instant) {
        self.ending.get_or_insert(now + LINGER);
    }

    /// Whether somebody else may take over now.
    pub(crate) fn gives_way(&self) -> bool {
        self.ending.is_some()
    }

    /// When something is due next.
    pub(crate) fn wakes(&self, now: Instant) -> Instant {
        let next = self.began.map_or(now, |began| began.at + FRAME * self.next);
        self.ending.map_or(next, |end| end.min(next))
    }

    /// What is due at this time.
    pub(crate) fn due(&mut self, now: Instant, clock: &Clock, sounds: &Sounds) -> Due {
        // Of one that was hushed nobody wants to know the end.
        let over = match self.repeat {
            Repeat::Once(play) if self.ending.is_none() => Due::Over(Some(play)),
            Repeat::Once(_) | Repeat::Together | Repeat::Always => Due::Over(None),
        };
        let once = matches!(self.repeat, Repeat::Once(_));
        if self.ending.is_some_and(|end| end <= now) {
            return over;
        }
        let Some(packets) = sounds.get(self.sound).map(Sound::packets) else {
            return if once { over } else { Due::Nothing };
        };
        let repeat = self.repeat;
        let began = *self.began.get_or_insert_with(|| Beginning {
            at: now,
            offset: match repeat {
                // The clock is that of all workers.
                Repeat::Together => (clock.since_start(now).as_millis() / FRAME.as_millis()) as u32 % packets,
                Repeat::Always | Repeat::Once(_) => 0,
            },
        });
        let reached = (now.saturating_duration_since(began.at).as_millis() / FRAME.as_millis()) as u32;
        // After a long pause it goes on where it would be: what is made up for at once is little.
        let skipped = reached.saturating_sub(self.next) > LATE;
        let nth = if skipped { reached } else { self.next };
        if once && nth >= packets {
            // The last one has been heard to its end.
            return if reached >= packets { over } else { Due::Nothing };
        }
        if nth > reached {
            return Due::Nothing;
        }
        self.next = nth + 1;
        Due::Packet { nth, of_sound: began.offset.wrapping_add(nth), skipped }
    }
}
