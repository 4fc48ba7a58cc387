//! On which media thread each leg sits, whom it is to hear, and what is on its way from one thread to another.
//!
//! All legs of a bridge sit on one thread. Two that are to be joined and sit apart are brought together first: the second is taken from its thread, and
//! put where the first is once it has come out. Meanwhile it is nowhere, and what it is told waits with it. Its port stays its own until it is closed,
//! whatever thread it has gone to: sockets are reached from all of them (`media::net::Sweep`); then the port is that of its first thread again.
//!
//! Who is joined anew no longer hears, and is no longer heard by, whoever it was joined to: at once, though the two that belong together may still be
//! on their way to each other.
//!
//! What is to be told to the media plane is returned, in its order.

use std::collections::BTreeMap;

use media::{Command, Leg, LegId, Repeat, SoundId, Stream, StreamStart, WorkerId};

use crate::ports::Place;

/// What the media plane is to be told.
pub(crate) type Told = Vec<(WorkerId, Command)>;

/// Digits kept for a leg that is on its way: what a leg itself lets wait.
const DIGITS: usize = 64;

/// Every media leg from its opening to the event that it is closed.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    legs: BTreeMap<LegId, Seat>,
}

#[derive(Debug)]
struct Seat {
    whereabouts: Whereabouts,
    joined: Joined,
    /// The sound it is to hear instead.
    sound: Option<(SoundId, Repeat)>,
}

#[derive(Debug)]
enum Whereabouts {
    /// On a thread.
    At(WorkerId),
    /// Taken from its thread, and to be put on this one.
    Moving { to: WorkerId, waiting: Waiting },
}

/// What a leg on its way was told.
#[derive(Debug, Default)]
struct Waiting {
    /// The last that was settled.
    stream: Option<Stream>,
    /// That it hears another sound from now on, or none.
    sound: bool,
    digits: Vec<u8>,
    closing: bool,
}

/// Whom a leg is to hear. Always mutual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joined {
    Nobody,
    Itself,
    Peer(LegId),
}

impl Seats {
    /// A leg begins.
    pub(crate) fn open(&mut self, leg: LegId, place: Place, start: StreamStart) -> Told {
        self.legs.insert(leg, Seat { whereabouts: Whereabouts::At(place.worker), joined: Joined::Nobody, sound: None });
        vec![(place.worker, Command::Open { leg, port: place.port, start })]
    }

    /// An exchange has settled this.
    pub(crate) fn update(&mut self, leg: LegId, stream: Stream) -> Told {
        match self.whereabouts(leg) {
            Some(Whereabouts::At(worker)) => vec![(*worker, Command::Update { leg, stream })],
            Some(Whereabouts::Moving { waiting, .. }) => {
                waiting.stream = Some(stream);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Digits for the leg's phone. Those for which there is no room while it is on its way are told of in the log.
    pub(crate) fn send_digits(&mut self, leg: LegId, mut digits: Vec<u8>) -> Told {
        match self.whereabouts(leg) {
            Some(Whereabouts::At(worker)) => vec![(*worker, Command::SendDigits { leg, digits })],
            Some(Whereabouts::Moving { waiting, .. }) => {
                let room = DIGITS - waiting.digits.len();
                if digits.len() > room {
                    tracing::warn!(
                        leg = leg.0,
                        lost = digits.len() - room,
                        "too many digits for a leg that changes its thread"
                    );
                }
                digits.truncate(room);
                waiting.digits.append(&mut digits);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Has the leg tell what it has counted; one that is on its way is not asked.
    pub(crate) fn count(&mut self, leg: LegId) -> Told {
        match self.whereabouts(leg) {
            Some(Whereabouts::At(worker)) => vec![(*worker, Command::Count(leg))],
            Some(Whereabouts::Moving { .. }) | None => Vec::new(),
        }
    }

    /// From now on the leg hears itself.
    pub(crate) fn echo(&mut self, leg: LegId) -> Told {
        let mut told = self.part(leg);
        let Some(seat) = self.legs.get_mut(&leg) else { return Vec::new() };
        seat.joined = Joined::Itself;
        if let Whereabouts::At(worker) = seat.whereabouts {
            told.push((worker, Command::Echo(leg)));
        }
        told
    }

    /// From now on each of the two hears the other, and nobody else. Two that are joined stay so, without a break.
    pub(crate) fn join(&mut self, a: LegId, b: LegId) -> Told {
        if a == b || ![a, b].iter().all(|leg| self.legs.contains_key(leg)) {
            return Vec::new();
        }
        let mut told = Vec::new();
        if !self.are_joined(a, b) {
            for (leg, peer) in [(a, b), (b, a)] {
                told.extend(self.part(leg));
                if let Some(seat) = self.legs.get_mut(&leg) {
                    seat.joined = Joined::Peer(peer);
                }
            }
        }
        told.extend(self.gather(a, b));
        told
    }

    /// From now on the leg hears a sound of the switch's instead of whoever it is joined to; `None`: it hears that one again.
    pub(crate) fn play(&mut self, leg: LegId, sound: Option<(SoundId, Repeat)>) -> Told {
        let Some(seat) = self.legs.get_mut(&leg).filter(|seat| seat.sound != sound) else { return Vec::new() };
        seat.sound = sound;
        match &mut seat.whereabouts {
            Whereabouts::At(worker) => vec![(*worker, played(leg, sound))],
            Whereabouts::Moving { waiting, .. } => {
                waiting.sound = true;
                Vec::new()
            }
        }
    }

    /// The sound of the switch's that a leg hears.
    pub(crate) fn sound(&self, leg: LegId) -> Option<(SoundId, Repeat)> {
        self.legs.get(&leg)?.sound
    }

    /// Brings two legs to one thread, and joins them if they are there.
    fn gather(&mut self, a: LegId, b: LegId) -> Told {
        let Some(to) = self.thread(a) else { return Vec::new() };
        let at_rest =
            |seats: &Seats, leg| matches!(seats.legs.get(&leg), Some(Seat { whereabouts: Whereabouts::At(_), .. }));
        let here = at_rest(self, a);
        match self.whereabouts(b) {
            Some(Whereabouts::At(worker)) if *worker == to => match here {
                true => vec![(to, Command::Bridge { a, b })],
                // Once the first has arrived.
                false => Vec::new(),
            },
            Some(Whereabouts::At(worker)) => {
                let from = *worker;
                if !here {
                    // The one that is on its way goes to the other, so that only one is out.
                    self.redirect(a, from);
                    return Vec::new();
                }
                self.set_out(b, to);
                vec![(from, Command::Detach(b))]
            }
            Some(Whereabouts::Moving { .. }) => {
                self.redirect(b, to);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn set_out(&mut self, leg: LegId, to: WorkerId) {
        if let Some(whereabouts) = self.whereabouts(leg) {
            *whereabouts = Whereabouts::Moving { to, waiting: Waiting::default() };
        }
    }

    fn redirect(&mut self, leg: LegId, new: WorkerId) {
        if let Some(Whereabouts::Moving { to, .. }) = self.whereabouts(leg) {
            *to = new;
        }
    }

    /// A leg has come out of its thread: on to the next, with all that waited for it.
    pub(crate) fn detached(&mut self, leg: Box<Leg>) -> Told {
        let id = leg.id();
        let Some(Seat { whereabouts, joined, sound }) = self.legs.get_mut(&id) else {
            tracing::error!(leg = id.0, "a media leg that nobody knows has come out of its thread");
            return Vec::new();
        };
        let (joined, sound) = (*joined, *sound);
        let Whereabouts::Moving { to, waiting } = whereabouts else {
            tracing::error!(leg = id.0, "a media leg that was not asked to has come out of its thread");
            return Vec::new();
        };
        let (to, Waiting { stream, sound: changed, digits, closing }) = (*to, std::mem::take(waiting));
        *whereabouts = Whereabouts::At(to);
        let mut told = vec![(to, Command::Attach(leg))];
        told.extend(stream.map(|stream| (to, Command::Update { leg: id, stream })));
        if changed {
            told.push((to, played(id, sound)));
        }
        if !digits.is_empty() {
            told.push((to, Command::SendDigits { leg: id, digits }));
        }
        match joined {
            _ if closing => told.push((to, Command::Close(id))),
            Joined::Nobody => {}
            Joined::Itself => told.push((to, Command::Echo(id))),
            Joined::Peer(peer) => told.extend(self.gather(id, peer)),
        }
        told
    }

    /// A leg ends; one that is on its way when it has arrived.
    pub(crate) fn close(&mut self, leg: LegId) -> Told {
        self.unseat(leg);
        match self.whereabouts(leg) {
            Some(Whereabouts::At(worker)) => vec![(*worker, Command::Close(leg))],
            Some(Whereabouts::Moving { waiting, .. }) => {
                waiting.closing = true;
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// A leg has ended.
    pub(crate) fn closed(&mut self, leg: LegId) {
        self.unseat(leg);
        self.legs.remove(&leg);
    }

    /// Whoever hears a leg hears nobody any more, and the leg hears nobody.
    pub(crate) fn part(&mut self, leg: LegId) -> Told {
        match self.unseat(leg) {
            // One that is on its way was parted when it set out, and so was its peer.
            Joined::Peer(_) => match self.whereabouts(leg) {
                Some(Whereabouts::At(worker)) => vec![(*worker, Command::Part(leg))],
                Some(Whereabouts::Moving { .. }) | None => Vec::new(),
            },
            Joined::Itself | Joined::Nobody => Vec::new(),
        }
    }

    /// Ends whatever a leg is joined to, as far as this table goes.
    fn unseat(&mut self, leg: LegId) -> Joined {
        let Some(seat) = self.legs.get_mut(&leg) else { return Joined::Nobody };
        let joined = std::mem::replace(&mut seat.joined, Joined::Nobody);
        if let Joined::Peer(peer) = joined
            && let Some(peer) = self.legs.get_mut(&peer)
        {
            peer.joined = Joined::Nobody;
        }
        joined
    }

    /// Whom a leg is to hear.
    pub(crate) fn peer(&self, leg: LegId) -> Option<LegId> {
        match self.legs.get(&leg)?.joined {
            Joined::Peer(peer) => Some(peer),
            Joined::Nobody | Joined::Itself => None,
        }
    }

    fn whereabouts(&mut self, leg: LegId) -> Option<&mut Whereabouts> {
        self.legs.get_mut(&leg).map(|seat| &mut seat.whereabouts)
    }

    /// The thread a leg is on, or will be on.
    pub(crate) fn thread(&self, leg: LegId) -> Option<WorkerId> {
        match self.legs.get(&leg)?.whereabouts {
            Whereabouts::At(worker) | Whereabouts::Moving { to: worker, .. } => Some(worker),
        }
    }

    /// Whether a leg is on its way.
    pub(crate) fn is_moving(&self, leg: LegId) -> bool {
        matches!(self.legs.get(&leg), Some(Seat { whereabouts: Whereabouts::Moving { .. }, .. }))
    }

    /// Every leg there is.
    pub(crate) fn legs(&self) -> impl Iterator<Item = LegId> {
        self.legs.keys().copied()
    }

    /// Whether a leg is to hear itself.
    pub(crate) fn hears_itself(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|seat| seat.joined == Joined::Itself)
    }

    /// Whether two legs are to hear each other, and nobody else.
    pub(crate) fn are_joined(&self, a: LegId, b: LegId) -> bool {
        let hears = |leg, peer| self.legs.get(&leg).is_some_and(|seat| seat.joined == Joined::Peer(peer));
        hears(a, b) && hears(b, a)
    }
}

fn played(leg: LegId, sound: Option<(SoundId, Repeat)>) -> Command {
    match sound {
        Some((sound, repeat)) => Command::Play { leg, sound, repeat },
        None => Command::Hush(leg),
    }
}

#[cfg(test)]
mod tests;
