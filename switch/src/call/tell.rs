//! Telling somebody in words, or by a tone, what has become of his call: where it is parked, or why it reaches nobody.
//!
//! A caller who is connected (his own phone has answered a make-call, or he was transferred) would hear nothing but the end; so he is told, and then it ends. To a phone that waits
//! for its answer the status says all, and most phones have a tone for it: it is told in words besides, by early media, only where the configuration wants that.

use std::time::Duration;

use cas::control::Cause;
use media::{PlayId, Repeat, SoundId};

use super::cause::{Failure, Whose};
use super::leg::{LegId, LegState, Terms};
use super::party::{Identity, Party, PartyState, Side};
use super::{CallNo, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::sip::message::Status;
use crate::sounds::announcement::{Announcement, Audience};
use crate::sounds::{BUSY, CONGESTION};

/// How long a tone is heard before the end.
const TONE: Duration = Duration::from_secs(4);
/// What is said in words is over by itself; it never takes longer.
const WORDS: Duration = Duration::from_secs(15);

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tidings {
    Words(Announcement),
    Tone(SoundId),
}

fn tidings(cause: Cause) -> Option<Tidings> {
    Some(match cause {
        Cause::NoRoute => Tidings::Words(Announcement::NotInService),
        Cause::NotRegistered | Cause::NoAnswer | Cause::Declined => Tidings::Words(Announcement::NotAvailable),
        Cause::Busy => Tidings::Tone(BUSY),
        Cause::Loop | Cause::Overloaded | Cause::Incompatible | Cause::Vanished | Cause::Failed => {
            Tidings::Tone(CONGESTION)
        }
        Cause::Normal
        | Cause::Cancelled
        | Cause::AnsweredElsewhere
        | Cause::Forwarded
        | Cause::Transferred
        | Cause::Parked
        | Cause::NothingThere
        | Cause::Anonymous
        | Cause::Shutdown => return None,
    })
}

/// What a service at the other end of a call says now, if it says anything.
pub(crate) fn said_by(teller: &Party) -> Option<(SoundId, Repeat)> {
    let (announcement, nth) = match teller.state {
        PartyState::Service(Service::Parked(_, _, nth)) => (Announcement::ParkedAt, nth),
        PartyState::Service(Service::Tells(failure, nth)) => match tidings(failure.cause)? {
            Tidings::Words(announcement) => (announcement, nth),
            Tidings::Tone(tone) => return Some((tone, Repeat::Always)),
        },
        _ => return None,
    };
    let phrase = announcement.phrase(&teller.identity.number, nth)?;
    Some((phrase.sound(), Repeat::Once(PlayId(nth.into()))))
}

impl Engine {
    /// A call comes to nothing: its caller is told why, where he is to be told more than the status, and then it ends.
    pub(crate) fn turn_down(&mut self, at: At<'_>, no: CallNo, failure: Failure) {
        match tidings(failure.cause).filter(|tidings| self.is_to_be_told(no, *tidings)) {
            Some(tidings) => self.tell_why(at, no, failure, tidings),
            None => self.end_call(at, no, failure, None),
        }
    }

    fn is_to_be_told(&self, no: CallNo, tidings: Tidings) -> bool {
        let Some(call) = self.table.call(no).filter(|_| !self.life.is_ending()) else { return false };
        let audience = self.settings.announcements;
        match call.caller.state {
            PartyState::Up { .. } => audience != Audience::Nobody && matches!(call.stage, Stage::Ringing { .. }),
            PartyState::Calling(leg) => {
                let words = matches!(tidings, Tidings::Words(_));
                words && audience == Audience::Everybody && self.takes_early_media(leg)
            }
            PartyState::Idle | PartyState::Ringing { .. } | PartyState::Service(_) => false,
        }
    }

    /// Whether a phone that has called can be heard something before its answer, once it is told so.
    fn takes_early_media(&self, leg: LegId) -> bool {
        match self.table.leg(leg).map(|leg| &leg.state) {
            Some(LegState::Incoming(incoming)) => matches!(incoming.terms, Terms::Offered(_) | Terms::Agreed(_)),
            _ => false,
        }
    }

    /// Who was called is called no more, and what tells of it takes his place. Who has asked for the call as a client knows at once.
    fn tell_why(&mut self, at: At<'_>, no: CallNo, failure: Failure, tidings: Tidings) {
        let Some(call) = self.table.call(no) else { return };
        let (to, met) = (Identity { user: None, ..call.callee.identity.clone() }, call.caller.identity.clone());
        let waits = match call.caller.state {
            PartyState::Calling(leg) => Some(leg),
            _ => None,
        };
        let mut teller = self.party(at, to, met);
        teller.state = PartyState::Service(Service::Tells(failure, 0));
        let Some(before) = self.table.replace(no, Side::Callee, teller) else { return };
        let caller = self.table.call(no).map(|call| &call.caller);
        let booker = caller.and_then(|caller| caller.identity.user);
        if let Some(vain) = caller.and_then(|caller| self.in_vain(at, caller, &before, failure)) {
            self.bookings.note_vain(vain);
        }
        self.call_back_over(at, no, booker, false, failure);
        self.dismiss(at, &before, failure.cause, super::record::unanswered(failure.cause));
        let ticket = self.table.call_mut(no).and_then(|call| match &mut call.stage {
            Stage::Ringing { ticket, .. } => ticket.take(),
            Stage::RingingCaller { .. } | Stage::Talking => None,
        });
        if let Some(ticket) = ticket {
            self.complete(ticket, Err(failure.refusal(Whose::Far)));
        }
        let most = if matches!(tidings, Tidings::Tone(_)) { TONE } else { WORDS };
        self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + most);
        if let Some(leg) = waits {
            self.tell_caller(at, leg, Status(183));
        }
        self.touch(no, Some(failure.cause));
    }

    /// Why a caller is told that he reaches nobody, where he is being told.
    pub(crate) fn tells(&self, no: CallNo) -> Option<Failure> {
        match self.table.call(no)?.callee.state {
            PartyState::Service(Service::Tells(failure, _)) => Some(failure),
            _ => None,
        }
    }

    /// A phrase has been heard to its end: the next one follows, or, after the last, the end of a call that reaches nobody.
    pub(crate) fn phrase_said(&mut self, at: At<'_>, leg: LegId, PlayId(said): PlayId) {
        let Some((no, side)) = self.table.leg(leg).map(|leg| (leg.call, leg.side)) else { return };
        let Some(call) = self.table.call_mut(no) else { return };
        let teller = call.party_mut(side.other());
        let PartyState::Service(Service::Parked(_, _, nth) | Service::Tells(_, nth)) = &mut teller.state else {
            return;
        };
        if u64::from(*nth) != said {
            return;
        }
        *nth = nth.saturating_add(1);
        let is_over = said_by(teller).is_none();
        self.touch(no, None);
        if let Some(failure) = self.tells(no).filter(|_| is_over) {
            self.end_call(at, no, failure, None);
        }
    }
}
