//! Many values, told in a few: percentiles within a round, the median and the spread over rounds.

use std::time::Duration;

/// Times of one round.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<u32>);

impl Times {
    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time in microseconds that so many per thousand do not exceed; 0 where there is none.
    pub fn per_mille(&mut self, part: usize) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() * part).div_ceil(1000).saturating_sub(1);
        self.0.get(at).copied().map_or(0.0, f64::from)
    }
}

/// The median of the rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these; zeros where there are none.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else { return Spread::default() };
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Spread { median, least, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_from_end_to_end() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert!((Spread::of(&[4.0, 1.0]).median - 2.5).abs() < 1e-9);
        assert_eq!(Spread::of(&[]), Spread::default());
    }

    #[test]
    fn ninety_nine_of_a_hundred_do_not_exceed_p99() {
        let mut times = Times::default();
        (1..=100).rev().for_each(|time| times.push(Duration::from_micros(time)));
        assert_eq!((times.per_mille(500), times.per_mille(990), times.per_mille(1000)), (50.0, 99.0, 100.0));
        assert_eq!(Times::default().per_mille(990), 0.0);
    }
}
