//! Call-back (`*66`): who has called in vain is rung when the other is free, and whoever answers there is called as soon as he is.
//!
//! Whether somebody is free is worked out at the end of each step in which one of his calls was touched, or one of his phones came or went; nobody asks for it in between. Both are free who
//! have no call and can be rung. Of several who wait for the same user the oldest booking comes first, and the next when that has had its turn. One who
//! did not answer, or was busy without a call here, is waited for until he has used his phone.
//!
//! A booking has had its turn when the booker's phone has rung for it; it waits anew where the other was busy again. Bookings are not stored: a restart forgets them, as it ends calls.

use std::collections::BTreeSet;
use std::time::Duration;

use cas::control::{CallBackInfo, CallBackState, CallEvent, Cause, Direction};
use cas::site::{Site, UserId};

use super::bookings::{Booking, BookingNo, BookingState, For, Vain};
use super::cause::Failure;
use super::offer::Offer;
use super::party::{Identity, Party, PartyState, Side};
use super::route::{self, Destination};
use super::waiting::is_gateway;
use super::{CallNo, Manner, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::sip::message::Status;

/// How long the booker's phones are rung: others may wait for the same user.
const RUNG: Duration = Duration::from_secs(30);

impl Engine {
    /// Whether a user may book a call-back, of whom, and what it waits for. Without a number: of whom he has called in vain last.
    pub(crate) fn may_book(
        &self,
        site: &Site,
        booker: UserId,
        wanted: Option<UserId>,
    ) -> Result<(UserId, For), Failure> {
        let vain = self.bookings.vain(booker);
        let (wanted, waits) = match wanted {
            None => vain.ok_or(Failure::new(Cause::NothingThere))?,
            Some(wanted) => vain.filter(|(whom, _)| *whom == wanted).unwrap_or((wanted, For::Free)),
        };
        // Who is behind a gateway is free when that says so.
        if wanted == booker || is_gateway(site, wanted) || site.extension_of(wanted).is_none() {
            return Err(Failure::new(Cause::NoRoute));
        }
        let limits = &self.settings.limits;
        match self.bookings.between(booker, wanted) {
            Some(_) => {}
            None if self.bookings.len() >= limits.call_backs => return Err(Failure::new(Cause::Overloaded)),
            None if self.bookings.by(booker).count() >= limits.call_backs_per_user => {
                return Err(Failure { status: Status(403), cause: Cause::Declined });
            }
            None => {}
        }
        Ok((wanted, waits))
    }

    /// The code was dialled: who booked it already has it for as long again.
    pub(crate) fn book(&mut self, at: At<'_>, no: CallNo, wanted: Option<UserId>) {
        let booker = self.booker(no).ok_or(Failure::new(Cause::NothingThere));
        let booked = booker.and_then(|booker| Ok((booker, self.may_book(at.site, booker, wanted)?)));
        let (booker, (wanted, waits)) = match booked {
            Ok(booked) => booked,
            Err(failure) => return self.unreached(at, no, failure),
        };
        let booking =
            Booking { booker, wanted, until: at.now.mono + at.site.plan.call_back, state: BookingState::Waits(waits) };
        let id = self.bookings.between(booker, wanted);
        match id.and_then(|id| Some((id, self.bookings.get(id)?.state))) {
            // It is just what he wants.
            Some((_, BookingState::Calls(_))) => {}
            Some((id, BookingState::Waits(_))) => self.wait_to_call_back(at, id, booking),
            None => {
                let id = BookingNo(self.table.number(at.now));
                self.wait_to_call_back(at, id, booking);
            }
        }
        let who = route::user_identity(at.site, wanted);
        self.show_done(at, no, &who.number, called_back(&who.name));
    }

    /// Those that the caller has booked, or the one of this user, are booked no more.
    pub(crate) fn unbook(&mut self, at: At<'_>, no: CallNo, wanted: Option<UserId>) {
        let booked = self.booker(no).into_iter().flat_map(|booker| self.bookings.by(booker));
        let meant = booked.filter(|(_, booking)| wanted.is_none_or(|wanted| booking.wanted == wanted));
        let meant: Vec<BookingNo> = meant.map(|(id, _)| id).collect();
        if meant.is_empty() {
            return self.unreached(at, no, Failure::new(Cause::NothingThere));
        }
        for id in meant {
            self.end_booking(at, id, CallBackState::Cancelled);
        }
        let dialled = self.table.call(no).map(|call| call.callee.identity.number.clone()).unwrap_or_default();
        self.show_done(at, no, &dialled, "No call back".to_owned());
    }

    fn booker(&self, no: CallNo) -> Option<UserId> {
        self.table.call(no)?.caller.identity.user
    }

    fn wait_to_call_back(&mut self, at: At<'_>, id: BookingNo, booking: Booking) {
        self.bookings.insert(id, booking);
        self.endpoint.timers.set(Timer::CallBack(id), booking.until);
        self.watch_calls();
        self.tell_call_back(at, booking, CallBackState::Booked);
    }

    /// It has waited for long enough.
    pub(crate) fn call_back_expired(&mut self, at: At<'_>, id: BookingNo) {
        self.end_booking(at, id, CallBackState::Expired);
    }

    /// A call that rings the booker for it ends with it.
    fn end_booking(&mut self, at: At<'_>, id: BookingNo, state: CallBackState) {
        let Some(booking) = self.bookings.remove(id) else { return };
        self.endpoint.timers.cancel(Timer::CallBack(id));
        self.watch_calls();
        self.tell_call_back(at, booking, state);
        if let BookingState::Calls(no) = booking.state
            && self.table.call(no).is_some_and(|call| matches!(call.stage, Stage::RingingCaller { .. }))
        {
            self.end_call(at, no, Failure::new(Cause::Cancelled), None);
        }
    }

    /// Bookings want to know whose calls are touched, as lamps do.
    pub(crate) fn watch_calls(&mut self) {
        self.table.are_watched = self.subscriptions.is_watching() || !self.bookings.is_empty();
    }

    /// At the end of a step: of whom it has touched, those who are free now are called back.
    pub(crate) fn call_back_the_free(&mut self, at: At<'_>) {
        if self.bookings.is_empty() {
            return;
        }
        let mut users = self.bookings.take_touched();
        users.extend(self.table.touched_users());
        if self.bookings.wait_for_room && self.has_room() {
            self.bookings.wait_for_room = false;
            users.extend(self.bookings.iter().map(|(_, booking)| booking.wanted));
        }
        // One that could not be rung makes room for those behind him.
        while !users.is_empty() {
            let concerned = users.into_iter().flat_map(|user| self.bookings.of_user(user)).map(|(id, _)| id);
            for id in concerned.collect::<BTreeSet<BookingNo>>() {
                if let Some(booking) = self.bookings.get(id) {
                    self.see_to_booking(at, id, booking);
                }
            }
            users = self.bookings.take_touched();
        }
    }

    fn see_to_booking(&mut self, at: At<'_>, id: BookingNo, booking: Booking) {
        let BookingState::Waits(waits) = booking.state else { return };
        match (waits, self.is_engaged(booking.wanted)) {
            (For::Use, true) => self.bookings.set(id, BookingState::Waits(For::Free)),
            (For::Use, false) | (For::Free, true) => {}
            (For::Free, false) if self.may_call_back(at.site, &booking) => match self.has_room() {
                true => self.call_back(at, id, booking),
                false => self.bookings.wait_for_room = true,
            },
            (For::Free, false) => {}
        }
    }

    /// Whether nothing is in the way of a call-back.
    pub(crate) fn is_due(&self, site: &Site, booking: &Booking) -> bool {
        booking.state == BookingState::Waits(For::Free)
            && !self.is_engaged(booking.wanted)
            && self.may_call_back(site, booking)
            && self.has_room()
    }

    /// Whether the booker has no call, nobody is before him, and both can be rung.
    fn may_call_back(&self, site: &Site, booking: &Booking) -> bool {
        let is_before =
            |other: &Booking| other.wanted == booking.wanted && matches!(other.state, BookingState::Calls(_));
        !self.is_engaged(booking.booker)
            && !self.bookings.of_user(booking.wanted).any(|(_, other)| is_before(other))
            && [booking.booker, booking.wanted]
                .iter()
                .all(|user| site.devices_of(*user).any(|device| self.can_be_rung(site, device.id)))
    }

    fn is_engaged(&self, user: UserId) -> bool {
        self.parties_of(user).any(|(_, party)| party.is_engaged())
    }

    fn has_room(&self) -> bool {
        !self.is_full() && self.ports.free() > 0
    }

    /// The booker is rung, and shown whom he gets.
    fn call_back(&mut self, at: At<'_>, id: BookingNo, booking: Booking) {
        let Booking { booker, wanted, .. } = booking;
        let caller = route::user_identity(at.site, booker);
        let callee = route::user_identity(at.site, wanted);
        let callee = Identity { name: called_back(&callee.name), ..callee };
        let stage = Stage::RingingCaller { ticket: None, destination: Destination::User(wanted), goal: None };
        let no = self.begin(at, caller, callee, stage, 70, None);
        if let Some(call) = self.table.call_mut(no) {
            call.manner = Manner::CallBack;
        }
        self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + RUNG);
        self.endpoint.timers.cancel(Timer::CallBack(id));
        self.bookings.set(id, BookingState::Calls(no));
        self.tell_call_back(at, booking, CallBackState::Calling);
        let own = self.contacts(at.site, booker);
        self.ring(at, no, Side::Caller, own, &Offer::everything());
    }

    /// The booker has answered: from now on he is shown the other as anybody is.
    pub(crate) fn called_back(&mut self, at: At<'_>, no: CallNo) {
        if let Some(call) = self.table.call_mut(no).filter(|call| call.manner == Manner::CallBack)
            && let Some(wanted) = call.callee.identity.user
        {
            call.callee.identity = route::user_identity(at.site, wanted);
            call.caller.met = call.callee.identity.clone();
        }
    }

    /// A call is over that was made for a booking, or nobody was reached by it: it has had its turn, or waits for another.
    pub(crate) fn call_back_over(
        &mut self,
        at: At<'_>,
        no: CallNo,
        booker: Option<UserId>,
        rang: bool,
        failure: Failure,
    ) {
        let Some(id) = booker.and_then(|booker| self.bookings.of_call(booker, no)) else { return };
        let Some(booking) = self.bookings.get(id) else { return };
        match failure.cause {
            Cause::Busy if !rang && booking.until > at.now.mono => {
                let state = BookingState::Waits(For::Use);
                self.wait_to_call_back(at, id, Booking { state, ..booking });
            }
            _ => self.end_booking(at, id, CallBackState::Unreached),
        }
    }

    /// Two have each other: neither has to call the other back. A booking whose call this is has had its turn, whoever has answered in the other's place.
    pub(crate) fn have_met(&mut self, at: At<'_>, no: CallNo) {
        let users = self.table.call(no).map(|call| (call.caller.identity.user, call.callee.identity.user));
        let Some((Some(a), b)) = users else { return };
        if let Some(id) = self.bookings.of_call(a, no) {
            self.end_booking(at, id, CallBackState::Reached);
        }
        let Some(b) = b else { return };
        for (booker, wanted) in [(a, b), (b, a)] {
            self.bookings.forget_vain(booker, wanted);
            if let Some(id) = self.bookings.between(booker, wanted) {
                self.end_booking(at, id, CallBackState::Reached);
            }
        }
    }

    /// Whom the caller of a call has not reached though he was there: he may have him called back.
    pub(crate) fn in_vain(&self, at: At<'_>, caller: &Party, callee: &Party, failure: Failure) -> Option<Vain> {
        let (user, whom) = caller.identity.user.zip(callee.identity.user)?;
        let rings = matches!(callee.state, PartyState::Ringing { .. });
        let waits = match failure.cause {
            Cause::Busy if self.is_engaged(whom) => For::Free,
            // His phone says so, and nothing else tells why.
            Cause::Busy | Cause::NoAnswer => For::Use,
            Cause::Cancelled if rings => For::Use,
            _ => return None,
        };
        let has_called = caller.direction == Direction::Out && caller.answered.is_none();
        (has_called && user != whom && !is_gateway(at.site, whom)).then_some(Vain { user, whom, waits })
    }

    /// Users may have gone.
    pub(crate) fn keep_bookings(&mut self, at: At<'_>) {
        let is_user = |user: UserId| at.site.user(user).is_some();
        self.bookings.keep(is_user);
        let gone = self.bookings.iter().filter(|(_, booking)| !is_user(booking.booker) || !is_user(booking.wanted));
        for id in gone.map(|(id, _)| id).collect::<Vec<_>>() {
            self.end_booking(at, id, CallBackState::Cancelled);
        }
    }

    fn tell_call_back(&mut self, at: At<'_>, booking: Booking, state: CallBackState) {
        let Identity { number, name, .. } = route::user_identity(at.site, booking.wanted);
        let until = at.now.plus(booking.until.saturating_duration_since(at.now.mono)).wall;
        let info = CallBackInfo { user: booking.booker, addr: number, name, state, until };
        self.events.push_back(CallEvent::CallBack(info));
    }
}

/// What the booker's telephone shows.
fn called_back(name: &str) -> String {
    format!("Call back: {name}").trim_end_matches([':', ' ']).to_owned()
}
