//! The sounds of the switch's own, by the names that media workers know them by.
//!
//! The engine says which of them a phone is to hear (`call/ear.rs`), and never has one in its hands: they are made on a thread of their own ([`load`]), and
//! control teaches them to the media threads.

pub mod announcement;
pub mod load;
pub mod wav;

use media::tone::zone::Tone;
use media::{Repeat, SoundId};

/// The music of the site.
pub const MUSIC: SoundId = SoundId(0);
/// What a caller hears while the other phone rings.
pub const RINGBACK: SoundId = SoundId(1);
/// Whom he called is in a call.
pub const BUSY: SoundId = SoundId(2);
/// His call cannot be put through.
pub const CONGESTION: SoundId = SoundId(3);
/// Another call waits: made and known to the media threads. Telephones play it themselves.
pub const CALL_WAITING: SoundId = SoundId(4);
/// The names from this one on are those of phrases.
const PHRASES: u16 = 100;
/// The names from this one on are for the music of single users.
pub const MUSIC_OF_USERS: SoundId = SoundId(1000);

/// The music of the nth user with music of his own.
pub fn music_of(nth: usize) -> SoundId {
    SoundId(u16::try_from(nth).map_or(u16::MAX, |nth| nth.saturating_add(MUSIC_OF_USERS.0)))
}

/// The tones of a zone.
pub fn tone(tone: Tone) -> SoundId {
    match tone {
        Tone::Ringback => RINGBACK,
        Tone::Busy => BUSY,
        Tone::Congestion => CONGESTION,
        Tone::CallWaiting => CALL_WAITING,
    }
}

/// How a sound is played that goes on until something else happens.
pub(crate) fn repeat(sound: SoundId) -> Repeat {
    match sound == MUSIC || sound >= MUSIC_OF_USERS {
        true => Repeat::Together,
        false => Repeat::Always,
    }
}
