//! The little sound a test telephone needs: G.711, a tone to speak with, and an ear that tells which tone it hears.

use std::f64::consts::TAU;

/// The sample rate of everything here.
pub const RATE: u32 = 8000;

/// A sine at half of full scale, without a break between frames.
#[derive(Clone, Debug)]
pub struct Tone {
    step: f64,
    phase: f64,
}

impl Tone {
    /// A tone of so many Hz.
    pub fn new(hz: u32) -> Tone {
        Tone { step: TAU * f64::from(hz) / f64::from(RATE), phase: 0.0 }
    }

    /// The next samples.
    pub fn frame(&mut self, samples: usize) -> impl Iterator<Item = i16> + '_ {
        (0..samples).map(|_| {
            let sample = (self.phase.sin() * 16_000.0) as i16;
            self.phase = (self.phase + self.step) % TAU;
            sample
        })
    }
}

/// G.711 µ-law.
pub fn to_ulaw(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs() + BIAS).min(0x7fff);
    let exponent = (31 - (magnitude as u32).leading_zeros()) as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) | mantissa) as u8
}

/// G.711 µ-law.
pub fn from_ulaw(code: u8) -> i16 {
    let code = i32::from(!code);
    let magnitude = ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
    (if code & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

/// G.711 A-law.
pub fn to_alaw(sample: i16) -> u8 {
    // Twelve bits of magnitude; the sign bit is set for positive values.
    let (sign, magnitude) =
        if sample >= 0 { (0x80, i32::from(sample) >> 3) } else { (0, (-1 - i32::from(sample)) >> 3) };
    let exponent = (32 - (magnitude as u32).leading_zeros() as i32 - 5).max(0);
    let mantissa = if exponent == 0 { magnitude >> 1 } else { magnitude >> exponent } & 0x0f;
    ((sign | (exponent << 4) | mantissa) as u8) ^ 0x55
}

/// G.711 A-law.
pub fn from_alaw(code: u8) -> i16 {
    let code = i32::from(code ^ 0x55);
    let exponent = (code >> 4) & 7;
    let mantissa = ((code & 0x0f) << 4) + 8;
    let magnitude = if exponent == 0 { mantissa } else { (mantissa + 0x100) << (exponent - 1) };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

/// The tone that carries most of the sound, to 10 Hz; `None` for silence, noise, or less than 50 ms of sound.
pub fn dominant(samples: &[i16]) -> Option<u32> {
    const SHORTEST: usize = RATE as usize / 20;
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let length = samples.len() as f64;
    if samples.len() < SHORTEST || (energy / length).sqrt() < 200.0 {
        return None;
    }
    let (hz, power) =
        (20..340).map(|tens| (tens * 10, goertzel(samples, tens * 10))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    // A pure tone has all of its energy here (|X|² = energy · length / 2), one of two equal ones half of that.
    (power > energy * length * 0.35).then_some(hz)
}

/// The power at one frequency.
fn goertzel(samples: &[i16], hz: u32) -> f64 {
    let turn = 2.0 * (TAU * f64::from(hz) / f64::from(RATE)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        (last, before) = (f64::from(sample) + turn * last - before, last);
    }
    last * last + before * before - turn * last * before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_loses_no_more_than_its_step() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let step = (i32::from(sample).abs() / 16).max(16);
            for back in [from_ulaw(to_ulaw(sample)), from_alaw(to_alaw(sample))] {
                assert!((i32::from(back) - i32::from(sample)).abs() <= step, "{sample} became {back}");
            }
        }
    }

    #[test]
    fn g711_codes_survive_a_round_trip() {
        for code in 0..=255 {
            assert_eq!(from_ulaw(to_ulaw(from_ulaw(code))), from_ulaw(code));
            assert_eq!(to_alaw(from_alaw(code)), code);
        }
    }

    #[test]
    fn the_ear_tells_tones_apart() {
        for hz in [300, 440, 600, 1000, 2600] {
            let samples: Vec<i16> = Tone::new(hz).frame(800).map(|s| from_ulaw(to_ulaw(s))).collect();
            assert_eq!(dominant(&samples), Some(hz));
        }
    }

    #[test]
    fn the_ear_hears_no_tone_in_silence_or_in_two() {
        assert_eq!(dominant(&[0; 800]), None);
        let (mut one, mut other) = (Tone::new(440), Tone::new(1000));
        let both: Vec<i16> = one.frame(800).zip(other.frame(800)).map(|(a, b)| a / 2 + b / 2).collect();
        assert_eq!(dominant(&both), None);
    }
}
