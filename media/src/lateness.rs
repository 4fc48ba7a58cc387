//! How late a media thread turns: counted in buckets by the thread, read by whoever asks, without either waiting for the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds; the last bucket has none. 250 is the goal for the 99th percentile at real-time priority; one tick is 5000.
pub const BOUNDS_US: [u64; 10] = [50, 100, 160, 250, 500, 1000, 2500, 5000, 10_000, 50_000];

/// Turns of all media threads since the start, by how late they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Turns no later than each of [`BOUNDS_US`] and later than the one before it; the last are those later than all.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Lateness {
    /// How many turns were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The bound that so many of a thousand turns kept; `None` where no bound says, or nothing was counted.
    pub fn within(&self, permille: u64) -> Option<Duration> {
        let wanted = (self.count() * permille).div_ceil(1000);
        let mut kept = 0;
        let bound = BOUNDS_US.iter().zip(self.buckets).find(|(_, turns)| {
            kept += turns;
            kept >= wanted
        });
        bound.filter(|_| wanted > 0).map(|(us, _)| Duration::from_micros(*us))
    }
}

/// What the threads count in. Each turn adds to two counters; nobody locks anything.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Counter {
    pub(crate) fn add(&self, late: Duration) {
        let us = late.as_micros() as u64;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Lateness {
        Lateness {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_in_the_bucket_of_the_least_bound_it_kept() {
        let counter = Counter::default();
        for us in [0, 50, 51, 5000, 70_000] {
            counter.add(Duration::from_micros(us));
        }
        let lateness = counter.read();
        assert_eq!(lateness.buckets, [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1]);
        assert_eq!((lateness.count(), lateness.sum_us), (5, 75_101));
    }

    #[test]
    fn a_percentile_is_the_bound_that_so_many_kept() {
        let counter = Counter::default();
        assert_eq!(counter.read().within(990), None);
        (0..99).for_each(|_| counter.add(Duration::from_micros(40)));
        counter.add(Duration::from_secs(1));
        assert_eq!(counter.read().within(500), Some(Duration::from_micros(50)));
        assert_eq!(counter.read().within(990), Some(Duration::from_micros(50)));
        assert_eq!(counter.read().within(999), None);
    }
}
