//! How long things took, counted in buckets with fixed bounds: adding is two additions, and nothing is allocated.

use std::time::Duration;

/// The upper bounds, in microseconds; the last bucket has none.
pub const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    15_000_000, 60_000_000,
];

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Something took so long.
    pub fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// For `/metrics`.
    pub fn series(&self) -> Series<'_> {
        Series { bounds_us: &BOUNDS_US, buckets: &self.buckets, sum_us: self.sum_us }
    }
}

/// Buckets with their bounds, as they are written.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Upper bounds, in microseconds.
    pub bounds_us: &'a [u64],
    /// One more than bounds: what lies between two of them.
    pub buckets: &'a [u64],
    /// All together, in microseconds.
    pub sum_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lies_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for us in [0, 100, 101, 60_000_000, 60_000_001] {
            histogram.add(Duration::from_micros(us));
        }
        let Series { buckets, sum_us, .. } = histogram.series();
        assert_eq!((buckets[0], buckets[1], buckets[15], buckets[16]), (2, 1, 1, 1));
        assert_eq!((histogram.count(), sum_us), (5, 120_000_202));
    }
}
