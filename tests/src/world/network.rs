//! The network between telephones and switch: late, lossy, in disorder, all from the world's seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// What the network does to datagrams. Streams are delayed by it and lose nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Of a thousand datagrams, so many are lost.
    pub lost: u32,
    /// Of a thousand, so many come twice.
    pub doubled: u32,
    /// The shortest time on the way.
    pub delay: Duration,
    /// Up to so much more, so that datagrams overtake one another.
    pub jitter: Duration,
}

impl Weather {
    /// Nothing is lost, all takes a millisecond.
    pub const CALM: Weather = Weather { lost: 0, doubled: 0, delay: Duration::from_millis(1), jitter: Duration::ZERO };

    /// Anything from calm to a bad mobile link.
    pub fn random(random: &mut ChaCha8Rng) -> Weather {
        match below(random, 3) {
            0 => Weather::CALM,
            1 => Weather { jitter: Duration::from_millis(20), doubled: 5, ..Weather::CALM },
            _ => Weather {
                lost: below(random, 120),
                doubled: below(random, 50),
                delay: Duration::from_millis(u64::from(below(random, 40))),
                jitter: Duration::from_millis(u64::from(below(random, 80))),
            },
        }
    }

    /// When each copy of a datagram arrives, from now.
    pub(super) fn copies(&self, random: &mut ChaCha8Rng) -> Vec<Duration> {
        if below(random, 1000) < self.lost {
            return Vec::new();
        }
        let copies = if below(random, 1000) < self.doubled { 2 } else { 1 };
        (0..copies).map(|_| self.delay(random)).collect()
    }

    /// How long something takes that is not lost.
    pub(super) fn delay(&self, random: &mut ChaCha8Rng) -> Duration {
        let jitter = self.jitter.as_micros() as u64;
        let extra = if jitter == 0 { 0 } else { random.next_u64() % jitter };
        self.delay + Duration::from_micros(extra)
    }
}

/// A number below `limit`.
pub(super) fn below(random: &mut ChaCha8Rng, limit: u32) -> u32 {
    random.next_u32() % limit.max(1)
}
