//! The two clocks, handed in with every input so that nothing behind them ever asks the system.

use std::time::{Duration, Instant};

/// The instant of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Drives every timer; never jumps.
    pub mono: Instant,
    /// What people and history are told; may jump when the clock is set.
    pub wall: Wall,
}

impl Now {
    /// The same instant, `by` later on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Now {
        Now { mono: self.mono + by, wall: Wall(self.wall.0 + by.as_millis() as u64) }
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub u64);
