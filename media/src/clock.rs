//! The one clock of a worker: `Instant`s are handed in, this turns them into RTP units and NTP time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900, where NTP time begins (RFC 5905 §6), to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// What an instant is on the wall. Never jumps: the wall is read once, at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall: Duration,
}

impl Clock {
    pub(crate) fn new(start: Instant, wall: SystemTime) -> Clock {
        Clock { start, wall: wall.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// How long the workers have been there.
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// The instant in units of an RTP clock, for differences only.
    pub(crate) fn units(&self, now: Instant, rate: u32) -> u32 {
        units(now.saturating_duration_since(self.start), rate)
    }

    /// The instant in NTP time: seconds since 1900 in 32.32 fixed point.
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        let wall = self.wall + now.saturating_duration_since(self.start);
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        (wall.as_secs() + NTP_TO_UNIX) << 32 | fraction
    }
}

/// A duration in units of an RTP clock, modulo 2³².
pub(crate) fn units(duration: Duration, rate: u32) -> u32 {
    let rate = u64::from(rate);
    let part = u64::from(duration.subsec_nanos()) * rate / 1_000_000_000;
    duration.as_secs().wrapping_mul(rate).wrapping_add(part) as u32
}

/// So many units of an RTP clock as a duration.
pub(crate) fn duration(units: u32, rate: u32) -> Duration {
    Duration::from_nanos(u64::from(units) * 1_000_000_000 / u64::from(rate.max(1)))
}

/// The middle 32 bits of NTP time, in which RTCP counts delays (RFC 3550 §4).
pub(crate) fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_begins_in_1900_and_goes_on_with_the_instants() {
        let start = Instant::now();
        let clock = Clock::new(start, UNIX_EPOCH + Duration::from_secs(1));
        let later = clock.ntp(start + Duration::from_millis(500));
        assert_eq!(later, (2_208_988_801 << 32) | 0x8000_0000);
        assert_eq!(middle(later), (2_208_988_801u64 << 16) as u32 | 0x8000);
    }

    #[test]
    fn units_and_durations_agree() {
        assert_eq!(units(Duration::from_millis(20), 8000), 160);
        assert_eq!(units(Duration::from_secs(100_000), 48000), (100_000u64 * 48000) as u32);
        assert_eq!(units(Duration::from_nanos(1_999_999_999), 8000), 15_999);
        assert_eq!(
            units(Duration::MAX, u32::MAX),
            ((Duration::MAX.as_nanos() * u128::from(u32::MAX)) / 1_000_000_000) as u32
        );
        assert_eq!(duration(960, 48000), Duration::from_millis(20));
    }
}
