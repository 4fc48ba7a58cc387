//! The system's two clocks: with [`entropy`](crate::entropy) the only place that asks the system for what a test must be able to repeat.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cas::time::{Now, Wall};

/// This instant on both clocks.
pub fn now() -> Now {
    // A machine whose battery died may believe in a time before 1970: that is 0, not a reason to stop.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), wall: Wall(wall.as_millis() as u64) }
}

/// A time of day as people read it: `2026-11-27 11:34:28 UTC`.
pub fn moment(wall_msec: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(wall_msec.min(LAST_MOMENT));
    let at = httpdate::HttpDate::from(at).to_string();
    // `Fri, 27 Nov 2026 11:34:28 GMT` (RFC 9110 §5.6.7): the words have their fixed places.
    let words: Vec<&str> = at.split_whitespace().collect();
    let [_, day, month, year, time, _] = words[..] else { return at };
    let month = MONTHS.iter().position(|name| *name == month).map_or(0, |month| month + 1);
    format!("{year}-{month:02}-{day} {time} UTC")
}

/// The end of the year 9999.
const LAST_MOMENT: u64 = 253_402_300_799_000;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(1_795_779_268_999), "2026-11-27 11:34:28 UTC");
        assert_eq!(moment(u64::MAX), "9999-12-31 23:59:59 UTC");
    }
}
