//! Tones: a source of one, and the ear that tells which one is heard; those of each country are in [`zone`].

pub mod zone;

use std::f64::consts::TAU;

/// Quieter than this (root mean square of 16-bit samples, −50 dB) is silence.
const SILENCE: f64 = 100.0;
/// A tone has at least this part of the whole energy within its peak; noise and speech have not.
const SHARE: f64 = 0.5;
/// Half the width of a peak in bins of an unpadded transform: that of the main lobe of a Hann window.
const LOBE: f64 = 2.0;

/// A sine that never ends, at a quarter of full scale.
#[derive(Clone, Copy, Debug)]
pub struct Sine {
    phase: f64,
    step: f64,
}

impl Sine {
    /// A frequency in Hz at a sample rate.
    pub fn new(hz: u32, rate: u32) -> Sine {
        Sine { phase: 0.0, step: f64::from(hz) / f64::from(rate) }
    }

    /// Goes on by one sample.
    pub fn next_sample(&mut self) -> i16 {
        let sample = (self.phase * TAU).sin() * f64::from(i16::MAX) / 4.0;
        self.phase = (self.phase + self.step).fract();
        sample as i16
    }
}

/// The frequency in Hz, to within 5 Hz, of the tone that fills a block of a quarter of a second or more. `None`: silence, or no tone.
pub fn dominant(samples: &[i16], rate: u32) -> Option<u32> {
    if samples.is_empty() {
        return None;
    }
    let count = samples.len() as f64;
    // A constant offset is no sound.
    let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / count;
    let power = samples.iter().map(|sample| (f64::from(*sample) - mean).powi(2)).sum::<f64>() / count;
    if power.sqrt() < SILENCE {
        return None;
    }
    // Twice as many points as samples: the peak is then finely enough resolved to be interpolated.
    let size = (2 * samples.len()).next_power_of_two();
    let mut points: Vec<Complex> = (0..size)
        .map(|n| {
            let window = 0.5 - 0.5 * (TAU * n as f64 / count).cos();
            (samples.get(n).map_or(0.0, |sample| (f64::from(*sample) - mean) * window), 0.0)
        })
        .collect();
    transform(&mut points);
    let energy: Vec<f64> = points[..size / 2].iter().map(|(re, im)| re * re + im * im).collect();
    let peak = (1..energy.len() - 1).max_by(|a, b| energy[*a].total_cmp(&energy[*b]))?;
    let lobe = (LOBE * size as f64 / count).ceil() as usize;
    let within: f64 = energy[peak.saturating_sub(lobe)..(peak + lobe + 1).min(energy.len())].iter().sum();
    if within < SHARE * energy.iter().sum::<f64>() {
        return None;
    }
    // The top of the parabola through the peak and its neighbours, in decibels.
    let [left, top, right] = [peak - 1, peak, peak + 1].map(|bin| (energy[bin] + f64::MIN_POSITIVE).ln());
    let shift = 0.5 * (left - right) / (left - 2.0 * top + right);
    Some(((peak as f64 + shift) * f64::from(rate) / size as f64).round() as u32)
}

type Complex = (f64, f64);

/// The fast Fourier transform in place (Cooley and Tukey, radix 2). The length is a power of two.
fn transform(points: &mut [Complex]) {
    let count = points.len();
    let bits = count.trailing_zeros();
    for n in 0..count {
        let mirrored = n.reverse_bits() >> (usize::BITS - bits).min(usize::BITS - 1);
        if n < mirrored {
            points.swap(n, mirrored);
        }
    }
    let mut half = 1;
    while half < count {
        for block in points.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let (sin, cos) = (-TAU * k as f64 / (2 * half) as f64).sin_cos();
                let turned = (b.0 * cos - b.1 * sin, b.0 * sin + b.1 * cos);
                (*a, *b) = ((a.0 + turned.0, a.1 + turned.1), (a.0 - turned.0, a.1 - turned.1));
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rate: u32, count: usize, mut sample: impl FnMut() -> i16) -> (Vec<i16>, u32) {
        ((0..count).map(|_| sample()).collect(), rate)
    }

    fn tone(hz: u32, rate: u32) -> (Vec<i16>, u32) {
        let mut sine = Sine::new(hz, rate);
        block(rate, rate as usize / 4, || sine.next_sample())
    }

    fn near(heard: Option<u32>, hz: u32) -> bool {
        heard.is_some_and(|heard| heard.abs_diff(hz) <= 5)
    }

    #[test]
    fn tones_are_told_within_five_hertz() {
        for rate in [8000, 16_000, 48_000] {
            for hz in (200..3800).step_by(37) {
                let (samples, rate) = tone(hz, rate);
                let heard = dominant(&samples, rate);
                assert!(near(heard, hz), "{hz} Hz at {rate} was heard as {heard:?}");
            }
        }
    }

    #[test]
    fn a_tone_is_told_through_g711_and_beside_a_weaker_one() {
        use crate::codec::g711::Law;
        let (strong, rate) = tone(440, 8000);
        let (weak, _) = tone(660, 8000);
        let mixed: Vec<_> = strong.iter().zip(weak).map(|(a, b)| Law::Mu.decode(Law::Mu.encode(a + b / 4))).collect();
        assert!(near(dominant(&mixed, rate), 440));
    }

    #[test]
    fn silence_is_no_tone() {
        assert_eq!(dominant(&[], 8000), None);
        assert_eq!(dominant(&[0; 2000], 8000), None);
        assert_eq!(dominant(&[5000; 2000], 8000), None, "an offset is no sound");
        let mut n = 0;
        let (hum, rate) = block(8000, 2000, || {
            n += 1;
            if n % 16 < 8 { 8 } else { -8 }
        });
        assert_eq!(dominant(&hum, rate), None, "what G.711 makes of silence");
    }

    #[test]
    fn noise_is_no_tone() {
        let mut state = 1u32;
        let (noise, rate) = block(8000, 4000, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 4
        });
        assert_eq!(dominant(&noise, rate), None);
    }

    #[test]
    fn the_shortest_blocks_do_not_panic() {
        for count in 1..20 {
            let _ = dominant(&vec![i16::MAX; count], 8000);
            let _ = dominant(&(0..count).map(|n| if n % 2 == 0 { 9000 } else { -9000 }).collect::<Vec<_>>(), 8000);
        }
    }
}
