//! WAV files, as music: looked at when the configuration is read, so that a wrong one is told with its line, and read when the switch starts.

use std::fmt;
use std::io;
use std::path::Path;

use hound::{SampleFormat, WavReader};
use media::sound::RATE;

/// The longest: a minute of sound takes 1.6 MB of memory once it is encoded.
const MOST_SECONDS: u32 = 300;
/// Samples a second.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// Why a file is no music.
#[derive(Debug)]
pub enum WavError {
    /// There is no reading it.
    Unreadable(io::Error),
    /// It is no WAV file, or one of samples that are coded.
    NotWav,
    /// It has so many samples a second.
    Rate(u32),
    /// It has no sound.
    Empty,
    /// It lasts so many seconds.
    Long(u32),
}

/// What would be right.
impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::Unreadable(error) => write!(f, "a WAV file that the switch can read ({error})"),
            WavError::NotWav => f.write_str("a WAV file of plain samples (PCM), as `sox SOUND music.wav` makes one"),
            WavError::Rate(rate) => write!(f, "a WAV file of 8000 to 96000 samples a second (it has {rate})"),
            WavError::Empty => f.write_str("a WAV file with sound in it"),
            WavError::Long(seconds) => {
                write!(f, "a WAV file of {MOST_SECONDS} seconds at most (it has {seconds})")
            }
        }
    }
}

impl std::error::Error for WavError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WavError::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> WavError {
        match error {
            // What ends too soon is no file of its kind.
            hound::Error::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => WavError::Unreadable(error),
            _ => WavError::NotWav,
        }
    }
}

type Reader = WavReader<io::BufReader<std::fs::File>>;

/// Looks at a file's head.
pub fn check(path: &Path) -> Result<(), WavError> {
    open(path).map(|_| ())
}

fn open(path: &Path) -> Result<Reader, WavError> {
    // A folder can be opened, and not read.
    if path.is_dir() {
        return Err(WavError::Unreadable(io::ErrorKind::IsADirectory.into()));
    }
    let reader = WavReader::open(path)?;
    let spec = reader.spec();
    if !RATES.contains(&spec.sample_rate) {
        return Err(WavError::Rate(spec.sample_rate));
    }
    match reader.duration().div_ceil(spec.sample_rate) {
        0 => Err(WavError::Empty),
        seconds if seconds > MOST_SECONDS => Err(WavError::Long(seconds)),
        _ => Ok(reader),
    }
}

/// The whole file as one channel at the rate at which sounds are encoded.
pub fn read(path: &Path) -> Result<Vec<i16>, WavError> {
    let mut reader = open(path)?;
    let spec = reader.spec();
    let mixed = match spec.sample_format {
        SampleFormat::Float => mix(reader.samples::<f32>(), spec.channels),
        SampleFormat::Int => {
            let full = (1u64 << (spec.bits_per_sample - 1)) as f32;
            mix(reader.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 / full)), spec.channels)
        }
    };
    Ok(media::resample(&mixed?, spec.sample_rate, RATE))
}

/// Of each frame the mean of its channels, while it is read: a file may have many of them, and only what is left of them is kept.
fn mix(mut samples: impl Iterator<Item = hound::Result<f32>>, channels: u16) -> Result<Vec<i16>, WavError> {
    let mut mixed = Vec::new();
    while let Some(first) = samples.next() {
        let mut sum = first?;
        for sample in samples.by_ref().take(usize::from(channels).saturating_sub(1)) {
            sum += sample?;
        }
        // The conversion saturates, and makes silence of what is no number.
        mixed.push((sum / f32::from(channels) * f32::from(i16::MAX)).round() as i16);
    }
    Ok(mixed)
}

#[cfg(test)]
mod tests {
    use hound::{WavSpec, WavWriter};
    use media::tone::{Sine, dominant};

    use super::*;

    fn written(name: &str, spec: WavSpec, seconds: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut writer = WavWriter::create(&path, spec).unwrap();
        let mut sine = Sine::new(600, spec.sample_rate);
        for _ in 0..seconds * spec.sample_rate {
            let sample = sine.next_sample();
            for _ in 0..spec.channels {
                match (spec.sample_format, spec.bits_per_sample) {
                    (SampleFormat::Float, _) => writer.write_sample(f32::from(sample) / 32_768.0).unwrap(),
                    (SampleFormat::Int, 8) => writer.write_sample(sample >> 8).unwrap(),
                    (SampleFormat::Int, bits) => writer.write_sample(i32::from(sample) << (bits - 16)).unwrap(),
                }
            }
        }
        writer.finalize().unwrap();
        (folder, path)
    }

    #[test]
    fn every_kind_of_plain_samples_is_read_as_the_same_sound() {
        use SampleFormat::{Float, Int};
        for (channels, sample_rate, bits_per_sample, sample_format) in [
            (1, 8000, 16, Int),
            (2, 44_100, 16, Int),
            (1, 48_000, 24, Int),
            (2, 16_000, 8, Int),
            (1, 22_050, 32, Float),
            (200, 16_000, 8, Int),
        ] {
            let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
            let (_folder, path) = written("music.wav", spec, 1);
            check(&path).unwrap();
            let samples = read(&path).unwrap();
            assert!(samples.len().abs_diff(16_000) < 4, "{spec:?}: {}", samples.len());
            assert!(dominant(&samples[2000..14_000], RATE).is_some_and(|hz| hz.abs_diff(600) <= 5), "{spec:?}");
            let loudest = samples[2000..14_000].iter().max().copied().unwrap_or_default();
            assert!(loudest.abs_diff(i16::MAX / 4) < 300, "{spec:?}: {loudest}");
        }
    }

    #[test]
    fn what_is_no_music_is_told_with_what_would_be() {
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let told = |path: &Path| check(path).unwrap_err().to_string();
        let (folder, empty) = written("empty.wav", spec, 0);
        assert_eq!(told(&empty), "a WAV file with sound in it");
        let (_long, long) = written("long.wav", spec, 301);
        assert_eq!(told(&long), "a WAV file of 300 seconds at most (it has 301)");
        let (_slow, slow) = written("slow.wav", WavSpec { sample_rate: 4000, ..spec }, 1);
        assert_eq!(told(&slow), "a WAV file of 8000 to 96000 samples a second (it has 4000)");
        let other = folder.path().join("music.mp3");
        std::fs::write(&other, b"ID3 and so on, which is nothing that could be played").unwrap();
        assert!(told(&other).starts_with("a WAV file of plain samples"));
        assert!(told(&folder.path().join("none.wav")).contains("No such file"));
        assert!(told(folder.path()).contains("directory"));
    }

    #[test]
    fn a_file_that_was_cut_off_is_an_error_and_no_panic() {
        let spec = WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let (_folder, path) = written("music.wav", spec, 1);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 12, 20, 43, 44, 45, 1001] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length} bytes");
        }
    }
}
