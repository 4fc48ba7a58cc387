//! Failed attempts, counted by source and by user: five are free, then each answer comes later than the last.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Attempts that cost nothing.
const FREE: u32 = 5;
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(30);
/// After so long without a failure all is forgotten.
const MEMORY: Duration = Duration::from_secs(600);
/// Sources, and users, that are remembered.
const ENTRIES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_source: BTreeMap<IpAddr, Count>,
    by_user: BTreeMap<String, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Instant,
}

impl Attempts {
    /// Counts a failure; says how long its answer waits.
    pub(super) fn failed(&mut self, now: Instant, source: IpAddr, user: &str) -> Duration {
        let by_source = count(&mut self.by_source, now, network(source));
        let by_user = count(&mut self.by_user, now, user.to_owned());
        delay(by_source.max(by_user))
    }

    /// The right secret was given.
    pub(super) fn forget(&mut self, source: IpAddr, user: &str) {
        self.by_source.remove(&network(source));
        self.by_user.remove(user);
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, Count>, now: Instant, key: K) -> u32 {
    if counts.len() >= ENTRIES && !counts.contains_key(&key) {
        counts.retain(|_, count| now - count.last <= MEMORY);
        if counts.len() >= ENTRIES {
            // Full of fresh failures: an attack. Whoever is new is treated as part of it.
            return u32::MAX;
        }
    }
    let entry = counts.entry(key).or_insert(Count { failures: 0, last: now });
    if now - entry.last > MEMORY {
        entry.failures = 0;
    }
    entry.failures = entry.failures.saturating_add(1);
    entry.last = now;
    entry.failures
}

/// 0 for the free ones, then 1, 2, 4 … 30 s.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)).min(LONGEST),
    }
}

/// One host may own a whole IPv6 /64.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_are_free_and_then_the_wait_doubles_up_to_thirty_seconds() {
        let mut attempts = Attempts::default();
        let (now, source) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let delays: Vec<u64> = (0..12).map(|_| attempts.failed(now, source, "501").as_secs()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_user_guessed_from_many_sources_is_slowed_down_too() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for last in 1..=5 {
            attempts.failed(now, IpAddr::from([192, 0, 2, last]), "501");
        }
        assert_eq!(attempts.failed(now, IpAddr::from([192, 0, 2, 99]), "501").as_secs(), 1);
        assert_eq!(attempts.failed(now, IpAddr::from([192, 0, 2, 98]), "502").as_secs(), 0);
    }

    #[test]
    fn the_right_secret_and_ten_quiet_minutes_each_wipe_the_slate() {
        let mut attempts = Attempts::default();
        let (now, source) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..6 {
            attempts.failed(now, source, "501");
        }
        attempts.forget(source, "501");
        assert_eq!(attempts.failed(now, source, "501"), Duration::ZERO);
        for _ in 0..6 {
            attempts.failed(now, source, "501");
        }
        assert_eq!(attempts.failed(now + MEMORY + Duration::from_secs(1), source, "501"), Duration::ZERO);
    }

    #[test]
    fn the_tables_do_not_grow_beyond_their_limit() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for n in 0..(ENTRIES as u32 + 10) {
            attempts.failed(now, IpAddr::from(n.to_be_bytes()), &n.to_string());
        }
        assert_eq!(attempts.by_source.len(), ENTRIES);
        assert_eq!(attempts.failed(now, IpAddr::from([9, 9, 9, 9]), "new"), LONGEST);
    }
}
