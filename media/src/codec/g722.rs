//! G.722 at 64 kbit/s: 16,000 samples a second, a byte for each two of them. A filter splits the sound into two bands, each of which is predicted, and
//! what the prediction misses is sent: six bits of the lower band, two of the upper.
//!
//! Names of steps in comments are those of the recommendation's block diagrams.

/// Samples a second.
pub const RATE: u32 = 16_000;

/// The coefficients of the filter that splits and joins the bands (table 11): one half of it, which is symmetrical.
const FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
/// Half the distance of two decision levels of the lower band (table 14).
#[rustfmt::skip]
const LEVELS: [i32; 30] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195,
    2557, 2919,
];
/// The decision level of the upper band (table 20).
const HIGH_LEVEL: i32 = 564;
/// The codes of the lower band's intervals, from the middle outwards, above and below zero (table 15).
const LOW_ABOVE: [u8; 2] = [61, 60];
const LOW_BELOW: [u8; 3] = [63, 62, 31];
/// What the codes of the lower band stand for, of which the adaption sees the upper four bits (table 17), and the listener all six.
const LOW_STEPS: [i32; 16] =
    [0, -20_456, -12_896, -8968, -6288, -4240, -2584, -1200, 20_456, 12_896, 8968, 6288, 4240, 2584, 1200, 0];
#[rustfmt::skip]
const LOW_FINE: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232, -9360, -8576, -7856, -7192, -6576, -6000,
    -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280,
    11_192, 10_232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432,
    -136,
];
const HIGH_STEPS: [i32; 4] = [-7408, -1616, 7408, 1616];
/// How the scale changes with each code (tables 18 and 21).
const LOW_GROWTH: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const HIGH_GROWTH: [i32; 4] = [798, -214, 798, -214];
/// From the logarithm of the scale to the scale (table 19).
#[rustfmt::skip]
const POWERS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371,
    3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

fn below_zero(value: i32) -> bool {
    value < 0
}

/// What is known of one band: the scale of its steps, and a prediction from what was sent before (two poles, six zeros).
#[derive(Clone, Copy, Debug)]
struct Band {
    prediction: i32,
    from_zeros: i32,
    scale: i32,
    log_scale: i32,
    /// Sums and partial sums of the last two samples.
    sums: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    steps: [i32; 6],
    zeros: [i32; 6],
}

impl Band {
    fn new(scale: i32) -> Band {
        Band {
            prediction: 0,
            from_zeros: 0,
            scale,
            log_scale: 0,
            sums: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            steps: [0; 6],
            zeros: [0; 6],
        }
    }

    fn low() -> Band {
        Band::new(32)
    }

    fn high() -> Band {
        Band::new(8)
    }

    fn step(&self, size: i32) -> i32 {
        (self.scale * size) >> 15
    }

    /// LOGSCL, SCALEL and those of the upper band.
    fn rescale(&mut self, growth: i32, most: i32, shift: i32) {
        self.log_scale = (((self.log_scale * 127) >> 7) + growth).clamp(0, most);
        let power = POWERS[(self.log_scale >> 6 & 31) as usize];
        let shift = shift - (self.log_scale >> 11);
        self.scale = (if shift < 0 { power << -shift } else { power >> shift }) << 2;
    }

    fn follow_low(&mut self, code: u8) {
        let code = usize::from(code >> 2);
        let step = self.step(LOW_STEPS[code]);
        self.rescale(LOW_GROWTH[code], 18_432, 8);
        self.predict(step);
    }

    fn follow_high(&mut self, code: u8) {
        let code = usize::from(code);
        let step = self.step(HIGH_STEPS[code]);
        self.rescale(HIGH_GROWTH[code], 22_528, 10);
        self.predict(step);
    }

    /// Block 4: adapts to the step that was sent, and predicts the next sample.
    fn predict(&mut self, step: i32) {
        let sum = saturate(self.prediction + step);
        let partial = saturate(self.from_zeros + step);
        let alike = |before: i32| below_zero(partial) == below_zero(before);

        // UPPOL2
        let turned = saturate(self.poles[0] << 2);
        let turned = if alike(self.partial[0]) { (-turned).min(32_767) } else { turned };
        let second = (turned >> 7) + if alike(self.partial[1]) { 128 } else { -128 };
        let second = (second + ((self.poles[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1
        let first = if alike(self.partial[0]) { 192 } else { -192 };
        let first = saturate(first + ((self.poles[0] * 32_640) >> 15));
        let most = saturate(15_360 - second);
        self.poles = [first.clamp(-most, most), second];
        // UPZERO
        let by = if step == 0 { 0 } else { 128 };
        for (zero, before) in self.zeros.iter_mut().zip(self.steps) {
            let by = if below_zero(before) == below_zero(step) { by } else { -by };
            *zero = saturate(by + ((*zero * 32_640) >> 15));
        }
        // DELAYA
        self.steps.rotate_right(1);
        self.steps[0] = step;
        self.sums = [sum, self.sums[0]];
        self.partial = [partial, self.partial[0]];
        // FILTEP, FILTEZ, PREDIC
        let weighed = |(weight, value): (i32, i32)| (weight * saturate(2 * value)) >> 15;
        let from_poles = saturate(self.poles.into_iter().zip(self.sums).map(weighed).sum());
        self.from_zeros = saturate(self.zeros.into_iter().zip(self.steps).map(weighed).sum());
        self.prediction = saturate(from_poles + self.from_zeros);
    }
}

/// The filter's memory, oldest first.
type Past = [i32; 24];

fn remember(past: &mut Past, pair: [i32; 2]) {
    past.copy_within(2.., 0);
    past[22..].copy_from_slice(&pair);
}

/// The two halves of the filter.
fn split(past: &Past) -> [i32; 2] {
    let half = |odd: usize, coefficient: fn(usize) -> usize| {
        (0..12).map(|n| past[2 * n + odd] * FILTER[coefficient(n)]).sum::<i32>()
    };
    [half(0, |n| n), half(1, |n| 11 - n)]
}

/// Sound to bytes.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    past: Past,
    low: Band,
    high: Band,
}

impl Encoder {
    /// With nothing said yet.
    #[allow(clippy::new_without_default, reason = "codecs begin by `new`")]
    pub fn new() -> Encoder {
        Encoder { past: [0; 24], low: Band::low(), high: Band::high() }
    }

    /// Two samples as a byte.
    pub fn encode(&mut self, samples: [i16; 2]) -> u8 {
        remember(&mut self.past, samples.map(i32::from));
        let [odd, even] = split(&self.past);
        let (low, high) = ((even + odd) >> 14, (even - odd) >> 14);

        let missed = saturate(low - self.low.prediction);
        let size = if missed < 0 { -(missed + 1) } else { missed };
        let interval = (1..30).find(|n| size < (LEVELS[*n] * self.low.scale) >> 12).unwrap_or(30);
        let low = low_code(missed < 0, interval);
        self.low.follow_low(low);

        let missed = saturate(high - self.high.prediction);
        let size = if missed < 0 { -(missed + 1) } else { missed };
        let far = size >= (HIGH_LEVEL * self.high.scale) >> 12;
        let high = match (missed < 0, far) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        self.high.follow_high(high);
        high << 6 | low
    }
}

/// The code of an interval of the lower band, from 1: the two next to zero have codes of their own (below zero three).
fn low_code(below: bool, interval: usize) -> u8 {
    let near = if below { &LOW_BELOW[..] } else { &LOW_ABOVE[..] };
    let further = |first: u8, from: usize| first - (interval - 1 - from) as u8;
    match near.get(interval - 1) {
        Some(code) => *code,
        None if below => further(30, LOW_BELOW.len()),
        None => further(59, LOW_ABOVE.len()),
    }
}

/// Bytes to sound.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    past: Past,
    low: Band,
    high: Band,
}

impl Decoder {
    /// With nothing heard yet.
    #[allow(clippy::new_without_default, reason = "codecs begin by `new`")]
    pub fn new() -> Decoder {
        Decoder { past: [0; 24], low: Band::low(), high: Band::high() }
    }

    /// A byte as two samples.
    pub fn decode(&mut self, byte: u8) -> [i16; 2] {
        let (low, high) = (byte & 0x3f, byte >> 6);
        let limit = |value: i32| value.clamp(-16_384, 16_383);
        let low_sum = limit(self.low.prediction + self.low.step(LOW_FINE[usize::from(low)]));
        let high_sum = limit(self.high.prediction + self.high.step(HIGH_STEPS[usize::from(high)]));
        self.low.follow_low(low);
        self.high.follow_high(high);
        remember(&mut self.past, [low_sum + high_sum, low_sum - high_sum]);
        let [second, first] = split(&self.past);
        [first, second].map(|sample| saturate(sample >> 11) as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Sine, dominant};

    fn there_and_back(mut sound: impl FnMut() -> i16, pairs: usize) -> (Vec<i16>, Vec<i16>, Vec<u8>) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let said: Vec<i16> = (0..2 * pairs).map(|_| sound()).collect();
        let bytes: Vec<u8> = said.chunks(2).map(|pair| encoder.encode([pair[0], pair[1]])).collect();
        (said, bytes.iter().flat_map(|byte| decoder.decode(*byte)).collect(), bytes)
    }

    #[test]
    fn tones_of_both_bands_are_the_same_tones_afterwards() {
        for hz in [300, 440, 1000, 3400, 4500, 6000, 7000] {
            let mut sine = Sine::new(hz, RATE);
            let (_, heard, _) = there_and_back(|| sine.next_sample(), 4000);
            let found = dominant(&heard[2000..], RATE);
            assert!(found.is_some_and(|found| found.abs_diff(hz) <= 5), "{hz} Hz was heard as {found:?}");
        }
    }

    #[test]
    fn what_comes_out_is_what_went_in_but_for_noise_30_db_below() {
        let (mut a, mut b) = (Sine::new(440, RATE), Sine::new(1250, RATE));
        let (said, heard, _) = there_and_back(|| a.next_sample() / 2 + b.next_sample() / 2, 8000);
        // The filters delay by 22 samples together.
        let power =
            |samples: &mut dyn Iterator<Item = i32>| samples.map(|sample| f64::from(sample).powi(2)).sum::<f64>();
        let noise = power(&mut said[4000..].iter().zip(&heard[4022..]).map(|(a, b)| i32::from(*a) - i32::from(*b)));
        let sound = power(&mut said[4000..].iter().map(|sample| i32::from(*sample)));
        assert!(noise * 1000.0 < sound, "{:.1} dB", 10.0 * (sound / noise).log10());
    }

    #[test]
    fn silence_stays_silent() {
        let (_, heard, _) = there_and_back(|| 0, 1000);
        assert!(heard.iter().all(|sample| sample.unsigned_abs() < 32), "{:?}", heard.iter().max());
    }

    #[test]
    fn every_interval_has_its_code() {
        let codes = |below| (1..=30).map(move |interval| low_code(below, interval)).collect::<Vec<_>>();
        assert_eq!(codes(false), (32..=61).rev().collect::<Vec<u8>>());
        assert_eq!(codes(true), [63, 62].into_iter().chain((4..=31).rev()).collect::<Vec<u8>>());
    }

    #[test]
    fn no_bytes_panic() {
        let mut decoder = Decoder::new();
        let mut state = 1u32;
        for _ in 0..100_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let _ = decoder.decode((state >> 24) as u8);
        }
        let mut encoder = Encoder::new();
        for n in 0..20_000 {
            let _ = encoder.encode(if n % 7 < 3 { [i16::MAX; 2] } else { [i16::MIN, i16::MAX] });
        }
    }
}
