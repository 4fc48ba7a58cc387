//! The sounds of the world's switch: each a tone that no telephone speaks, so that it is known by its packets and by ear.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use media::tone::Sine;
use media::{Codec, Sound, SoundId};
use switch::sounds::announcement::Phrase;
use switch::sounds::{BUSY, MUSIC, MUSIC_OF_USERS, RINGBACK};

/// Half a second, after which each of the tones is at its beginning again.
const SAMPLES: u32 = media::sound::RATE / 2;

static SOUNDS: LazyLock<Vec<(SoundId, Arc<Sound>)>> = LazyLock::new(|| {
    let sound = |(id, hz)| {
        let mut sine = Sine::new(hz, media::sound::RATE);
        let samples: Vec<i16> = (0..SAMPLES).map(|_| sine.next_sample()).collect();
        (id, Arc::new(Sound::encode(&samples).expect("a tone can be encoded")))
    };
    let phrases = Phrase::all().map(|phrase| {
        let mut sine = Sine::new(hz(phrase.sound()), media::sound::RATE);
        let samples: Vec<i16> = (0..SAMPLES / 5).map(|_| sine.next_sample()).collect();
        (phrase.sound(), Arc::new(Sound::encode(&samples).expect("a tone can be encoded")))
    });
    [MUSIC, MUSIC_OF_USERS, RINGBACK, BUSY].map(|id| sound((id, hz(id)))).into_iter().chain(phrases).collect()
});

/// What a sound is heard as.
pub(super) fn hz(sound: SoundId) -> u32 {
    match sound {
        MUSIC => 2750,
        MUSIC_OF_USERS => 3050,
        BUSY => 2500,
        phrase if is_phrase(phrase) => 1650 + 50 * u32::from(phrase.0 % 20),
        _ => 3350,
    }
}

/// Whether it is something said.
pub(super) fn is_phrase(sound: SoundId) -> bool {
    Phrase::all().any(|phrase| phrase.sound() == sound)
}

/// Every sound.
pub(super) fn all() -> impl Iterator<Item = (SoundId, Arc<Sound>)> {
    SOUNDS.iter().map(|(id, sound)| (*id, Arc::clone(sound)))
}

/// Every packet of every sound.
pub(super) fn packets() -> impl Iterator<Item = (Bytes, SoundId)> {
    let codecs = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
    SOUNDS.iter().flat_map(move |(id, sound)| {
        let of = move |codec| (0..sound.packets()).filter_map(move |packet| sound.payload(codec, packet));
        codecs.into_iter().flat_map(of).map(|payload| (Bytes::copy_from_slice(payload), *id))
    })
}
