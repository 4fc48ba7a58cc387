//! WAV files, as music: looked at when the configuration is read, so that a wrong one is told with its line, and read when the switch starts.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
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
    /// Its samples have so many bits, or are kept in a way in which nobody keeps them.
    Depth(u16),
    /// Its end is missing.
    Cut,
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
            WavError::Depth(bits) => {
                write!(f, "a WAV file of 8, 16, 24 or 32 bits a sample, or of 32 as floating point (it has {bits})")
            }
            WavError::Cut => f.write_str("a whole WAV file (its end is missing)"),
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

type Reader = WavReader<BufReader<File>>;

/// Looks at a file's head, and whether what it promises is there.
pub fn check(path: &Path) -> Result<(), WavError> {
    open(path).map(|_| ())
}

fn open(path: &Path) -> Result<Reader, WavError> {
    // A folder can be opened, and not read.
    if path.is_dir() {
        return Err(WavError::Unreadable(io::ErrorKind::IsADirectory.into()));
    }
    let mut file = BufReader::new(File::open(path).map_err(WavError::Unreadable)?);
    let head = WavReader::new(&mut file)?;
    let (spec, samples, length) = (head.spec(), head.len(), head.duration());
    if !RATES.contains(&spec.sample_rate) {
        return Err(WavError::Rate(spec.sample_rate));
    }
    match length.div_ceil(spec.sample_rate) {
        0 => return Err(WavError::Empty),
        seconds if seconds > MOST_SECONDS => return Err(WavError::Long(seconds)),
        _ => {}
    }
    let (promised, there) = data(&mut file).map_err(WavError::Unreadable)?;
    match (spec.sample_format, promised / samples, spec.bits_per_sample) {
        (SampleFormat::Int, 1, 8) | (SampleFormat::Int, 2, 16) | (SampleFormat::Int, 3 | 4, 24) => {}
        (SampleFormat::Int | SampleFormat::Float, 4, 32) => {}
        (.., bits) => return Err(WavError::Depth(bits)),
    }
    if there < u64::from(promised) {
        return Err(WavError::Cut);
    }
    file.rewind().map_err(WavError::Unreadable)?;
    Ok(WavReader::new(file)?)
}

/// How many bytes of samples a file says that it has, and how many come: it stands behind its head, the end of which says the former.
fn data(file: &mut BufReader<File>) -> io::Result<(u32, u64)> {
    let there = file.get_ref().metadata()?.len().saturating_sub(file.stream_position()?);
    let mut promised = [0; 4];
    file.seek(SeekFrom::Current(-(promised.len() as i64)))?;
    file.read_exact(&mut promised)?;
    Ok((u32::from_le_bytes(promised), there))
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

    /// A second of noughts in one channel, in the form that tells the bits of its samples (`wValidBitsPerSample`) apart from the bytes they take.
    fn extensible(sort: u16, bytes: u16, bits: u16) -> (tempfile::TempDir, std::path::PathBuf) {
        const RATE: u32 = 8000;
        let length = u32::from(bytes) * RATE;
        let mut file = Vec::new();
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&(60 + length).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt ");
        file.extend_from_slice(&40u32.to_le_bytes());
        file.extend([0xfffe, 1].map(u16::to_le_bytes).as_flattened());
        file.extend([RATE, length].map(u32::to_le_bytes).as_flattened());
        file.extend([bytes, bytes * 8, 22, bits].map(u16::to_le_bytes).as_flattened());
        file.extend_from_slice(&4u32.to_le_bytes());
        file.extend_from_slice(&sort.to_le_bytes());
        file.extend_from_slice(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71data");
        file.extend_from_slice(&length.to_le_bytes());
        file.resize(file.len() + length as usize, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("music.wav");
        std::fs::write(&path, file).unwrap();
        (folder, path)
    }

    /// What the check accepts is read, and what it refuses is not: whatever the samples are said to be.
    #[test]
    fn bits_that_nobody_has_are_told_when_the_configuration_is_read() {
        const PCM: u16 = 1;
        const FLOAT: u16 = 3;
        let plain = [(PCM, 1, 8), (PCM, 2, 16), (PCM, 3, 24), (PCM, 4, 24), (PCM, 4, 32), (FLOAT, 4, 32)];
        for sort in [PCM, FLOAT] {
            for bytes in 1..=9 {
                for bits in [1, 8, 12, 16, 20, 24, 31, 32, 33, 64, 65, 66, 1000, u16::MAX] {
                    let (_folder, path) = extensible(sort, bytes, bits);
                    let right = plain.contains(&(sort, bytes, bits));
                    assert_eq!(read(&path).is_ok(), right, "{sort} {bytes} {bits}");
                    let told = check(&path).map_err(|error| error.to_string());
                    let expected = format!(
                        "a WAV file of 8, 16, 24 or 32 bits a sample, or of 32 as floating point (it has {bits})"
                    );
                    assert_eq!(told, if right { Ok(()) } else { Err(expected) }, "{sort} {bytes} {bits}");
                }
            }
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
            assert!(check(&path).is_err(), "{length} bytes are told when the configuration is read");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(check(&path).unwrap_err().to_string(), "a whole WAV file (its end is missing)");
        // What comes behind the samples, such as a title, is no part of them.
        std::fs::write(&path, [&whole[..], b"LIST"].concat()).unwrap();
        assert_eq!(read(&path).unwrap().len(), 16_000);
    }
}
