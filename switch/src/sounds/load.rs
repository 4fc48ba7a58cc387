//! The thread that makes the sounds: tones of the zone, and the files that the configuration names. It does so once, at the start, at low priority; until a
//! sound is made, whoever is to hear it hears nothing.

use std::io;
use std::sync::Arc;
use std::thread;

use media::tone::zone::Tone;
use media::{Sound, SoundId};
use tracing::{error, warn};

use super::{MUSIC, music_of, tone, wav};
use crate::config::{self, Music};
use crate::helpers::step_back;

/// Makes every sound, and hands each on as soon as it is there.
pub(crate) fn start(config: &config::Sound, teach: impl Fn(SoundId, Arc<Sound>) + Send + 'static) -> io::Result<()> {
    let config = config.clone();
    thread::Builder::new().name("sounds".to_owned()).spawn(move || {
        step_back();
        all(&config, teach);
    })?;
    Ok(())
}

fn all(config: &config::Sound, teach: impl Fn(SoundId, Arc<Sound>)) {
    let music = Arc::new(music(&config.music));
    teach(MUSIC, Arc::clone(&music));
    for kind in Tone::ALL {
        match Sound::encode(&config.zone.samples(kind)) {
            Ok(sound) => teach(tone(kind), Arc::new(sound)),
            Err(error) => error!(%error, ?kind, "a tone could not be made"),
        }
    }
    for (nth, file) in config.music_of.values().enumerate() {
        teach(music_of(nth), file_or(file, || (*music).clone()));
    }
}

fn music(music: &Music) -> Sound {
    match music {
        Music::BuiltIn => Sound::music(),
        Music::None => Sound::silence().unwrap_or_else(|error| {
            error!(%error, "silence could not be made");
            Sound::music()
        }),
        Music::File(file) => Arc::unwrap_or_clone(file_or(file, Sound::music)),
    }
}

/// The file was in order when the configuration was read; where it is no longer, callers hear something nevertheless.
fn file_or(file: &std::path::Path, other: impl FnOnce() -> Sound) -> Arc<Sound> {
    let why = match wav::read(file).map(|samples| Sound::encode(&samples)) {
        Ok(Ok(sound)) => return Arc::new(sound),
        Ok(Err(error)) => error.to_string(),
        Err(expected) => format!("expected {expected}"),
    };
    warn!(file = %file.display(), why, "music cannot be played, and other music is played instead");
    Arc::new(other())
}
