//! From one sample rate to another, for sounds that are made or read once: each sample that is wanted is the sum of its neighbours under a windowed
//! sinc (Smith, "Digital Audio Resampling"), which takes out what the lower rate cannot have.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const REACH: f64 = 16.0;
/// Of the lower of the two rates, what is kept: the rest is the filter's slope.
const KEPT: f64 = 0.92;

/// The same sound at another rate. Rates are not 0.
pub fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to {
        return samples.to_vec();
    }
    let common = divisor(from, to);
    let (up, down) = (to / common, from / common);
    let cut = KEPT * (f64::from(to) / f64::from(from)).min(1.0);
    let reach = (REACH / cut).ceil() as i64;
    // Between two samples there are so many places that are asked for: the weights of the neighbours are worked out once for each.
    let places: Vec<Vec<f64>> = (0..up)
        .map(|place| {
            let past = f64::from(place) / f64::from(up);
            (-reach..=reach).map(|k| weight(k as f64 - past, cut, reach as f64 + 1.0)).collect()
        })
        .collect();
    let count = samples.len() as u64 * u64::from(to) / u64::from(from);
    (0..count)
        .map(|n| {
            let at = n * u64::from(down);
            let (at, weights) = ((at / u64::from(up)) as i64, &places[(at % u64::from(up)) as usize]);
            let first = at - reach;
            let (skipped, first) = ((-first).max(0) as usize, first.max(0) as usize);
            let near = weights.iter().skip(skipped).zip(samples.get(first..).unwrap_or_default());
            let sum: f64 = near.map(|(weight, sample)| weight * f64::from(*sample)).sum();
            sum.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A sinc under a Blackman window.
fn weight(distance: f64, cut: f64, reach: f64) -> f64 {
    let angle = PI * distance * cut;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    let part = PI * distance / reach;
    cut * sinc * (0.42 + 0.5 * part.cos() + 0.08 * (2.0 * part).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Sine, dominant};

    #[test]
    fn a_tone_stays_where_it_is_from_any_rate_to_any() {
        for from in [8000, 11_025, 22_050, 44_100, 48_000] {
            let mut sine = Sine::new(1000, from);
            let samples: Vec<i16> = (0..from / 2).map(|_| sine.next_sample()).collect();
            let heard = resample(&samples, from, 16_000);
            assert!(heard.len().abs_diff(8000) <= 1, "{from}: {}", heard.len());
            assert!(dominant(&heard, 16_000).is_some_and(|hz| hz.abs_diff(1000) <= 5), "{from}");
            let loudest = heard[1000..7000].iter().max().copied().unwrap_or_default();
            assert!(loudest.abs_diff(i16::MAX / 4) < 100, "{from}: {loudest}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_have_is_gone_and_not_folded_down() {
        let mut sine = Sine::new(5000, 16_000);
        let samples: Vec<i16> = (0..8000).map(|_| sine.next_sample()).collect();
        let heard = resample(&samples, 16_000, 8000);
        assert!(heard[100..3900].iter().all(|sample| sample.unsigned_abs() < 40), "{:?}", heard.iter().max());
    }
}
