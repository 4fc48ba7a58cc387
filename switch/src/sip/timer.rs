//! The timer table: every timer of the engine is a row of it.

use std::collections::{BTreeMap, VecDeque};
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
///
/// A call sets and cancels some thirty, and leaves some for half a minute: what is due in the same millisecond stands together, so that a change
/// touches little memory, and mostly what was touched last. Those are few, as no more is done in a millisecond, and come in their order as a rule.
#[derive(Debug)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    /// By the milliseconds since `start`, or before it, each in its order. No slot is empty.
    slots: BTreeMap<i64, VecDeque<(Instant, K)>>,
    start: Option<Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers { by_key: BTreeMap::new(), slots: BTreeMap::new(), start: None }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Arms `key` for `at`, wherever it stood before.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.take_out(before, key);
        }
        self.start.get_or_insert(at);
        let timers = self.slots.entry(self.slot(at)).or_default();
        let place = timers.partition_point(|timer| *timer < (at, key));
        timers.insert(place, (at, key));
    }

    /// Whether `key` is armed.
    pub fn is_armed(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Disarms `key`, if it is armed.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.take_out(at, key);
        }
    }

    /// Takes the next timer that is due.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| *at)
    }

    fn first(&self) -> Option<&(Instant, K)> {
        self.slots.first_key_value()?.1.front()
    }

    /// When a timer is due, if it is armed.
    pub fn due(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    /// All armed timers, by key.
    pub fn armed(&self) -> impl Iterator<Item = K> {
        self.by_key.keys().copied()
    }

    /// The first timer ever set may be due long after the others.
    fn slot(&self, at: Instant) -> i64 {
        let millis = |time: Duration| time.as_secs() as i64 * 1000 + i64::from(time.subsec_millis());
        let start = self.start.unwrap_or(at);
        at.checked_duration_since(start).map_or_else(|| -1 - millis(start - at), millis)
    }

    fn take_out(&mut self, at: Instant, key: K) {
        let slot = self.slot(at);
        let Some(timers) = self.slots.get_mut(&slot) else { return };
        if let Ok(place) = timers.binary_search(&(at, key)) {
            timers.remove(place);
        }
        if timers.is_empty() {
            self.slots.remove(&slot);
        }
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

    #[test]
    fn what_is_due_before_the_first_ever_set_does_not_crowd() {
        let start = Instant::now();
        let after = |micros| start + Duration::from_micros(micros);
        let mut timers = Timers::default();
        timers.set('z', after(3_600_000_000));
        for (key, micros) in [('c', 2500), ('a', 300), ('b', 1500)] {
            timers.set(key, after(micros));
        }
        assert_eq!(timers.slots.len(), 4);
        let fired: String = std::iter::from_fn(|| timers.pop(after(2500))).collect();
        assert_eq!((fired.as_str(), timers.next()), ("abc", Some(after(3_600_000_000))));
    }

    /// Against the plain way of keeping them.
    #[test]
    fn they_fire_in_order_whatever_was_set_moved_and_cancelled() {
        let start = Instant::now();
        let mut random = 7u32;
        let mut below = |limit: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % limit
        };
        let (mut timers, mut plain) = (Timers::default(), BTreeMap::new());
        let mut now = start;
        for _ in 0..20_000 {
            let key = below(40);
            match below(8) {
                0..4 => {
                    let at = now + Duration::from_micros(u64::from(below(5000)));
                    timers.set(key, at);
                    plain.insert(key, at);
                }
                4 => {
                    timers.cancel(key);
                    plain.remove(&key);
                }
                _ => now += Duration::from_micros(u64::from(below(900))),
            }
            assert_eq!(timers.next(), plain.values().min().copied());
            assert!(timers.armed().eq(plain.keys().copied()));
            let due = plain.iter().map(|(key, at)| (*at, *key)).filter(|(at, _)| *at <= now).min();
            assert_eq!(timers.pop(now), due.map(|(_, key)| key));
            plain.retain(|key, _| due.is_none_or(|(_, due)| *key != due));
        }
    }
}
