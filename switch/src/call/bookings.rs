//! Booked call-backs: who wants to be called back when whom he has called in vain is free.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use cas::site::UserId;

use super::CallNo;

/// Names a booking within the switch; never used again. The older one has the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BookingNo(pub u64);

/// A call-back that was booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booking {
    pub(crate) booker: UserId,
    /// Whom he wants to reach.
    pub(crate) wanted: UserId,
    /// Until when it may wait.
    pub(crate) until: Instant,
    pub(crate) state: BookingState,
}

/// How far a call-back has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BookingState {
    Waits(For),
    /// The booker's phones ring for it, or he waits for the other's answer.
    Calls(CallNo),
}

/// What a call-back waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// That both are free.
    Free,
    /// That whom he wants is seen in a call, and is free after it: he did not answer, or would not, though he had none.
    Use,
}

/// A user has called another in vain; what a booking of that waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vain {
    pub(crate) user: UserId,
    pub(crate) whom: UserId,
    pub(crate) waits: For,
}

/// Everything that is booked, and whom users have called in vain.
#[derive(Debug, Default)]
pub(crate) struct Bookings {
    of: BTreeMap<BookingNo, Booking>,
    /// By booker, and by whom he wants.
    concerned: BTreeSet<(UserId, BookingNo)>,
    /// Whom each user has called in vain last, and what a booking of that waits for.
    vain: BTreeMap<UserId, (UserId, For)>,
    /// Users whose phones came or went, or of whose bookings one is new.
    touched: BTreeSet<UserId>,
    /// The switch was full when somebody was to be called back.
    pub(crate) wait_for_room: bool,
}

impl Bookings {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    pub(crate) fn get(&self, no: BookingNo) -> Option<Booking> {
        self.of.get(&no).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BookingNo, &Booking)> {
        self.of.iter().map(|(no, booking)| (*no, booking))
    }

    pub(crate) fn insert(&mut self, no: BookingNo, booking: Booking) {
        self.concerned.extend([(booking.booker, no), (booking.wanted, no)]);
        self.of.insert(no, booking);
        self.touch(booking.wanted);
    }

    pub(crate) fn set(&mut self, no: BookingNo, state: BookingState) {
        if let Some(booking) = self.of.get_mut(&no) {
            booking.state = state;
        }
    }

    pub(crate) fn remove(&mut self, no: BookingNo) -> Option<Booking> {
        let booking = self.of.remove(&no)?;
        self.concerned.remove(&(booking.booker, no));
        self.concerned.remove(&(booking.wanted, no));
        // Others may have waited for the end of this one.
        self.touch(booking.wanted);
        Some(booking)
    }

    /// Those that a user has booked, or that others have booked of him, the oldest first.
    pub(crate) fn of_user(&self, user: UserId) -> impl Iterator<Item = (BookingNo, &Booking)> {
        let of = self.concerned.range((user, BookingNo(0))..=(user, BookingNo(u64::MAX)));
        of.filter_map(|(_, no)| Some((*no, self.of.get(no)?)))
    }

    /// Those that a user has booked.
    pub(crate) fn by(&self, booker: UserId) -> impl Iterator<Item = (BookingNo, &Booking)> {
        self.of_user(booker).filter(move |(_, booking)| booking.booker == booker)
    }

    /// Whether a user has booked any, or one of another.
    pub(crate) fn any(&self, booker: UserId, wanted: Option<UserId>) -> bool {
        self.by(booker).any(|(_, booking)| wanted.is_none_or(|wanted| booking.wanted == wanted))
    }

    /// The one that a user has booked of another.
    pub(crate) fn between(&self, booker: UserId, wanted: UserId) -> Option<BookingNo> {
        self.by(booker).find(|(_, booking)| booking.wanted == wanted).map(|(no, _)| no)
    }

    /// The one whose call this is.
    pub(crate) fn of_call(&self, booker: UserId, call: CallNo) -> Option<BookingNo> {
        self.by(booker).find(|(_, booking)| booking.state == BookingState::Calls(call)).map(|(no, _)| no)
    }

    /// A user's bookings, and those of him, are to be looked at when the step ends.
    pub(crate) fn touch(&mut self, user: UserId) {
        if !self.is_empty() {
            self.touched.insert(user);
        }
    }

    pub(crate) fn take_touched(&mut self) -> BTreeSet<UserId> {
        std::mem::take(&mut self.touched)
    }

    /// A user has called another in vain.
    pub(crate) fn note_vain(&mut self, Vain { user, whom, waits }: Vain) {
        self.vain.insert(user, (whom, waits));
    }

    /// Whom he has called in vain last, and what a booking of that waits for.
    pub(crate) fn vain(&self, user: UserId) -> Option<(UserId, For)> {
        self.vain.get(&user).copied()
    }

    /// The two have talked.
    pub(crate) fn forget_vain(&mut self, user: UserId, whom: UserId) {
        if self.vain(user).is_some_and(|(wanted, _)| wanted == whom) {
            self.vain.remove(&user);
        }
    }

    /// Those who are users no more are called by nobody.
    pub(crate) fn keep(&mut self, is_user: impl Fn(UserId) -> bool) {
        self.vain.retain(|user, (whom, _)| is_user(*user) && is_user(*whom));
    }
}
