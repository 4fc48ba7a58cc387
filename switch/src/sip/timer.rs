//! The timer table: every timer of the engine is a row of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Round-trip estimate (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between retransmissions of a non-INVITE request or an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: how long a transaction waits for the other side (timers B, F, H, J, L, M).
pub const TIMEOUT: Duration = Duration::from_secs(32);

/// Timers by key: a key has one timer at most, and setting it again moves it. Timers due at the same instant fire in the order of their keys.
#[derive(Debug)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Arms `key` for `at`, wherever it stood before.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
    }

    /// Whether `key` is armed.
    pub fn is_armed(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Disarms `key`, if it is armed.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Takes the next timer that is due.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// All armed timers, by key.
    pub fn armed(&self) -> impl Iterator<Item = K> {
        self.by_key.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_set_again_fires_once_at_the_new_time() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set('a', start + T1);
        timers.set('b', start + T1);
        timers.set('a', start + T2);
        timers.cancel('b');
        assert_eq!(timers.next(), Some(start + T2));
        assert_eq!(timers.pop(start + T1), None);
        assert_eq!(timers.pop(start + T2), Some('a'));
        assert_eq!(timers.pop(start + T4), None);
        assert_eq!(timers.armed().count(), 0);
    }
}
