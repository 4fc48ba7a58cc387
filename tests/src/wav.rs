//! Sound files: what a telephone's microphone hears and what its loudspeaker played.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

/// Writes `seconds` of a sine as 16-bit mono.
pub fn write_tone(path: &Path, hz: u32, rate: u32, seconds: u32) {
    let sample = |i: u32| (8_000.0 * (TAU * f64::from(hz) * f64::from(i) / f64::from(rate)).sin()) as i16;
    let sound: Vec<u8> = (0..seconds * rate).flat_map(|i| sample(i).to_le_bytes()).collect();
    let length = u32::try_from(sound.len()).expect("minutes, not days");
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    // PCM, one channel, two bytes for each sample.
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(sound);
    fs::write(path, file).expect("a tone is written");
}

/// The samples of a 16-bit mono file and their rate. The file may still be growing: lengths in its header are not believed.
pub fn read(path: &Path) -> Option<(Vec<i16>, u32)> {
    let file = fs::read(path).ok()?;
    let rate = u32::from_le_bytes(file.get(24..28)?.try_into().ok()?);
    let data = file.windows(4).position(|word| word == b"data")? + 8;
    let samples = file.get(data..)?.chunks_exact(2);
    Some((samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(), rate))
}

/// The frequency in Hz, to the next ten, that holds nearly all of a sound's power; `None` for silence, noise and mixtures.
pub fn dominant(samples: &[i16], rate: u32) -> Option<u32> {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    if power < 10_000.0 {
        return None;
    }
    // Goertzel's algorithm for each candidate.
    let strength = |hz: u32| {
        let turn = 2.0 * (TAU * f64::from(hz) / f64::from(rate)).cos();
        let (mut s1, mut s2) = (0.0, 0.0);
        for sample in samples {
            (s1, s2) = (f64::from(*sample) + turn * s1 - s2, s1);
        }
        (s1 * s1 + s2 * s2 - turn * s1 * s2) * 2.0 / (samples.len() as f64).powi(2)
    };
    let strongest = (20..rate / 20).map(|tens| (tens * 10, strength(tens * 10)));
    let (hz, strength) = strongest.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (strength > power * 0.8).then_some(hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_tone_is_read_and_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tone.wav");
        write_tone(&path, 1_270, 16_000, 1);
        let (samples, rate) = read(&path).unwrap();
        assert_eq!((samples.len(), rate), (16_000, 16_000));
        assert_eq!(dominant(&samples[..6_400], rate), Some(1_270));
    }

    #[test]
    fn silence_noise_and_a_mixture_have_no_dominant_tone() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 4
        };
        let noise: Vec<i16> = (0..3_200).map(|_| noise()).collect();
        assert_eq!(dominant(&noise, 8_000), None);
        assert_eq!(dominant(&[0; 3_200], 8_000), None);
        assert_eq!(dominant(&[], 8_000), None);
        let sine = |i: usize, hz: f64| 4_000.0 * (TAU * hz * i as f64 / 8_000.0).sin();
        let two: Vec<i16> = (0..3_200).map(|i| (sine(i, 440.0) + sine(i, 1_000.0)) as i16).collect();
        assert_eq!(dominant(&two, 8_000), None);
    }
}
