//! Failed attempts to prove who one is, a phone's or a client's: counted by source and by user. Five are free, then each answer comes later than the
//! last. What is right is taken at once, whatever failed before; only while [`MAX_LATE`] answers to the same source's attempts on the same user are
//! still to come, its further ones on that user are not looked at. So guesses sent side by side are no faster than so many in the time of the longest
//! delay, others behind the same address may try, and nobody can be locked out by strangers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Attempts that cost nothing.
const FREE: u32 = 5;
/// The longest delay.
pub const LONGEST: Duration = Duration::from_secs(30);
/// After so long without a failure all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Late answers to one source's attempts on one user.
const MAX_LATE: usize = 8;
/// Sources, and users, that are remembered.
const ENTRIES: usize = 10_000;

/// Who failed how often.
#[derive(Debug, Default)]
pub struct Attempts {
    by_source: BTreeMap<IpAddr, Count>,
    by_user: BTreeMap<String, Count>,
    /// When each late answer to a source's attempts on a user is due.
    late: BTreeMap<(IpAddr, String), Vec<Instant>>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Instant,
}

impl Attempts {
    /// Counts a failure; says how long its answer waits.
    pub fn failed(&mut self, now: Instant, source: IpAddr, user: &str) -> Duration {
        self.sweep(now);
        let (source, user) = (network(source), name(user));
        let by_source = count(&mut self.by_source, now, source);
        let by_user = count(&mut self.by_user, now, user.clone());
        let delay = delay(by_source.max(by_user));
        if !delay.is_zero() && self.late.len() < ENTRIES {
            let answers = self.late.entry((source, user)).or_default();
            answers.retain(|due| *due > now);
            answers.push(now + delay);
        }
        delay
    }

    /// How long this source's attempts on this user are still not looked at, if they are not.
    pub fn penalty(&self, now: Instant, source: IpAddr, user: &str) -> Option<Duration> {
        let answers = self.late.get(&(network(source), name(user)))?;
        let mut left: Vec<Duration> = answers.iter().map(|due| due.saturating_duration_since(now)).collect();
        left.retain(|left| !left.is_zero());
        if left.len() >= MAX_LATE { left.into_iter().min() } else { None }
    }

    /// It was right: the user's failures are forgotten. Those of the source are not, since it may own one account and guess at others.
    pub fn succeeded(&mut self, source: IpAddr, user: &str) {
        let (source, user) = (network(source), name(user));
        self.by_user.remove(&user);
        self.late.remove(&(source, user));
    }

    /// Makes room, at most once a second however many attempts there are.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now - swept < Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        self.late.retain(|_, answers| answers.iter().any(|due| *due > now));
        self.by_source.retain(|_, count| now - count.last <= MEMORY);
        self.by_user.retain(|_, count| now - count.last <= MEMORY);
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, Count>, now: Instant, key: K) -> u32 {
    if counts.len() >= ENTRIES && !counts.contains_key(&key) {
        // Full of fresh failures: an attack. Whoever is new is treated as part of it.
        return u32::MAX;
    }
    let entry = counts.entry(key).or_insert(Count { failures: 0, last: now });
    if now - entry.last > MEMORY {
        entry.failures = 0;
    }
    entry.failures = entry.failures.saturating_add(1);
    entry.last = now;
    entry.failures
}

/// No name of ours is longer, and one that is must not fill the memory.
fn name(user: &str) -> String {
    user.chars().take(64).collect()
}

/// 0 for the free ones, then 1, 2, 4 … 30 s.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)).min(LONGEST),
    }
}

/// What counts as one source: an address, or an IPv6 /64, which one host may own whole.
#[must_use]
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
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
    fn a_success_and_fifteen_quiet_minutes_each_wipe_the_slate_of_the_user() {
        let mut attempts = Attempts::default();
        let (now, elsewhere) = (Instant::now(), IpAddr::from([192, 0, 2, 9]));
        let guess = |attempts: &mut Attempts, now| {
            (1..=6).map(|n| attempts.failed(now, IpAddr::from([192, 0, 2, n]), "501")).max().unwrap_or_default()
        };
        assert!(!guess(&mut attempts, now).is_zero());
        attempts.succeeded(elsewhere, "501");
        assert_eq!(attempts.failed(now, elsewhere, "501"), Duration::ZERO);
        assert!(!guess(&mut attempts, now).is_zero());
        let later = now + MEMORY + Duration::from_secs(1);
        assert_eq!(attempts.failed(later, elsewhere, "501"), Duration::ZERO);
    }

    #[test]
    fn while_eight_answers_are_late_the_source_is_not_listened_to_on_that_user() {
        let mut attempts = Attempts::default();
        let (now, source) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..(5 + 7) {
            attempts.failed(now, source, "501");
            assert_eq!(attempts.penalty(now, source, "501"), None);
        }
        attempts.failed(now, source, "501");
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(attempts.penalty(now, source, "501"), Some(Duration::from_secs(1)));
        assert_eq!(attempts.penalty(now, source, "502"), None);
        assert_eq!(attempts.penalty(now, other, "501"), None);
        assert_eq!(attempts.penalty(now + Duration::from_secs(1), source, "501"), None);
    }

    #[test]
    fn one_ipv6_network_is_one_source_and_a_mapped_address_its_own() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
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
