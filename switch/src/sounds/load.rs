//! The thread that makes the sounds: tones of the zone, and the files that the configuration names. It does so once, at the start, at low priority; until a
//! sound is made, whoever is to hear it hears nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use media::tone::zone::Tone;
use media::{Sound, SoundId};
use tracing::{error, warn};

use super::announcement::Phrase;
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

fn all(config: &config::Sound, mut teach: impl FnMut(SoundId, Arc<Sound>)) {
    // The tones first: they are made in a moment, and a long piece of music takes its time.
    for kind in Tone::ALL {
        match Sound::encode(&config.zone.samples(kind)) {
            Ok(sound) => teach(tone(kind), Arc::new(sound)),
            Err(error) => error!(%error, ?kind, "a tone could not be made"),
        }
    }
    // They lie in the program.
    for phrase in Phrase::all() {
        match Sound::phrase(&phrase.name()) {
            Some(sound) => teach(phrase.sound(), Arc::new(sound)),
            None => error!(?phrase, "a phrase is missing"),
        }
    }
    let music = music(&config.music);
    teach(MUSIC, Arc::clone(&music));
    // One file may be for many: it is encoded once, and lies once in memory.
    let mut made = BTreeMap::new();
    if let Music::File(file) = &config.music {
        made.insert(file.as_path(), Arc::clone(&music));
    }
    for (nth, file) in config.music_of.values().enumerate() {
        let sound = made.entry(file).or_insert_with(|| of_file(file).unwrap_or_else(|| Arc::clone(&music)));
        teach(music_of(nth), Arc::clone(sound));
    }
}

fn music(music: &Music) -> Arc<Sound> {
    let sound = match music {
        Music::BuiltIn => Sound::music(),
        Music::None => Sound::silence().unwrap_or_else(|error| {
            error!(%error, "silence could not be made");
            Sound::music()
        }),
        Music::File(file) => return of_file(file).unwrap_or_else(|| Arc::new(Sound::music())),
    };
    Arc::new(sound)
}

/// The file was in order when the configuration was read; where it is no longer, callers hear something nevertheless.
fn of_file(file: &Path) -> Option<Arc<Sound>> {
    let why = match wav::read(file).map(|samples| Sound::encode(&samples)) {
        Ok(Ok(sound)) => return Some(Arc::new(sound)),
        Ok(Err(error)) => error.to_string(),
        Err(expected) => format!("expected {expected}"),
    };
    warn!(file = %file.display(), why, "music cannot be played, and other music is played instead");
    None
}

#[cfg(test)]
mod tests {
    use hound::{SampleFormat, WavSpec, WavWriter};
    use media::tone::Sine;

    use super::*;
    use crate::sounds::{CALL_WAITING, RINGBACK};

    fn made(music: Music, music_of: &[(&str, &Path)]) -> Vec<(SoundId, Arc<Sound>)> {
        let music_of = music_of.iter().map(|(user, file)| ((*user).to_owned(), file.to_path_buf())).collect();
        let config = config::Sound { music, music_of, ..config::Config::default().sound };
        let mut made = Vec::new();
        all(&config, |id, sound| made.push((id, sound)));
        made
    }

    fn of(made: &[(SoundId, Arc<Sound>)], id: SoundId) -> &Arc<Sound> {
        made.iter().find_map(|(of, sound)| (*of == id).then_some(sound)).expect("it was made")
    }

    fn write(path: &Path, hz: u32) {
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(path, spec).unwrap();
        let mut sine = Sine::new(hz, spec.sample_rate);
        (0..800).for_each(|_| writer.write_sample(sine.next_sample()).unwrap());
        writer.finalize().unwrap();
    }

    #[test]
    fn ringback_does_not_wait_for_the_music() {
        let order: Vec<_> = made(Music::BuiltIn, &[]).into_iter().map(|(id, _)| id).collect();
        assert_eq!((order.len(), order[0], order[17]), (18, RINGBACK, MUSIC), "{order:?}");
        assert!(order[..4].contains(&CALL_WAITING));
    }

    #[test]
    fn a_file_that_many_have_lies_in_memory_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one.wav", "other.wav"].map(|name| folder.path().join(name));
        write(&one, 600);
        write(&other, 900);
        let made = made(Music::File(one.clone()), &[("501", &other), ("502", &one), ("503", &other), ("504", &other)]);
        let [site, first, second, third, fourth] =
            [MUSIC, music_of(0), music_of(1), music_of(2), music_of(3)].map(|id| of(&made, id));
        assert!(Arc::ptr_eq(first, third) && Arc::ptr_eq(first, fourth));
        assert!(Arc::ptr_eq(site, second) && site != first);
    }

    #[test]
    fn who_has_a_file_that_cannot_be_read_has_the_music_of_the_site_itself_and_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let [good, gone] = ["good.wav", "gone.wav"].map(|name| folder.path().join(name));
        write(&good, 600);
        for music in [Music::BuiltIn, Music::None, Music::File(good)] {
            let made = made(music, &[("501", &gone), ("502", &gone)]);
            let site = of(&made, MUSIC);
            assert!([0, 1].into_iter().all(|nth| Arc::ptr_eq(site, of(&made, music_of(nth)))));
        }
        let made = made(Music::File(gone.clone()), &[("501", &gone)]);
        assert_eq!(**of(&made, MUSIC), Sound::music());
        assert!(Arc::ptr_eq(of(&made, MUSIC), of(&made, music_of(0))));
    }
}
