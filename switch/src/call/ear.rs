//! What each phone hears: the other party, or a sound of the switch's in its place. Decided here alone, from how the call stands.
//!
//! No verb starts or stops music. At the end of each step the ears of every call that was touched are looked at ([`Engine::tune`]), and the media plane is
//! told where they are to hear something else; the audit works all of it out once more after each step of every test.
//!
//! - Who is held hears the music of the one who holds, and nothing of what that one's phone may send.
//! - Who has been transferred hears that music until the third phone rings, and ringback while it does; the transferor hears nothing of it.
//! - Who is parked hears the music of the site.
//! - Who has parked a call hears where, and who reaches nobody, why (`tell.rs`).
//! - Whose own phone answered a make-call, or was rung to call him back, hears ringback while the other rings.

use media::{Repeat, SoundId};

use super::party::{Hold, Party, PartyState, Side};
use super::tell::said_by;
use super::{Call, CallNo, LegId, Manner, Stage};
use crate::engine::Engine;
use crate::service::Service;
use crate::sounds::{self, MUSIC, RINGBACK};

impl Engine {
    /// Gives the ears of a call what they are to hear now.
    pub(crate) fn tune(&mut self, no: CallNo) {
        for side in [Side::Caller, Side::Callee] {
            let Some(call) = self.table.call(no) else { return };
            let Some(leg) = call.party(side).speaker() else { continue };
            if self.is_astray(call, side, leg) {
                let told = self.seats.part(leg);
                self.media(told);
            }
            let sound = self.table.call(no).and_then(|call| self.sound_for(call, side));
            let told = self.seats.play(leg, sound);
            self.media(told);
        }
    }

    /// Whether a leg still hears somebody who is no longer at the other end of its call.
    pub(crate) fn is_astray(&self, call: &Call, side: Side, leg: LegId) -> bool {
        self.seats.peer(leg).is_some_and(|peer| call.party(side.other()).speaker() != Some(peer))
    }

    /// The sound that a party hears in the place of the other, and how often.
    pub(crate) fn sound_for(&self, call: &Call, side: Side) -> Option<(SoundId, Repeat)> {
        let (party, other) = (call.party(side), call.party(side.other()));
        let lasting = || self.lasting_sound_for(call, side).map(|sound| (sound, sounds::repeat(sound)));
        match party.state {
            PartyState::Up { .. } => said_by(other).or_else(lasting),
            PartyState::Calling(_) => said_by(other),
            PartyState::Idle | PartyState::Ringing { .. } | PartyState::Service(_) => None,
        }
    }

    /// One that goes on until something else happens, for a party that has answered.
    fn lasting_sound_for(&self, call: &Call, side: Side) -> Option<SoundId> {
        let other = call.party(side.other());
        match other.state {
            PartyState::Up { hold, .. } => (hold != Hold::default()).then(|| self.music_of(other)),
            // What the phone that rings says of itself goes before (early media).
            PartyState::Ringing { heard: Some(_), .. } => None,
            PartyState::Ringing { rung: true, .. } => Some(RINGBACK),
            // A make-call, which has a ticket, begins with silence, and so does a call-back.
            PartyState::Idle | PartyState::Ringing { .. } => {
                let was_sent = matches!(call.stage, Stage::Ringing { ticket: None, .. });
                (was_sent && call.manner != Manner::CallBack).then_some(MUSIC)
            }
            PartyState::Service(Service::Park(_)) => Some(MUSIC),
            PartyState::Calling(_) | PartyState::Service(_) => None,
        }
    }

    /// The music that a party's callers hear.
    fn music_of(&self, party: &Party) -> SoundId {
        let own = party.identity.user.and_then(|_| self.settings.music_of.get(&party.identity.number));
        own.copied().unwrap_or(MUSIC)
    }
}
