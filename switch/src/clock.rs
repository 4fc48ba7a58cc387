//! The system's two clocks: with [`entropy`](crate::entropy) the only place that asks the system for what a test must be able to repeat.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cas::time::{Now, Wall};

/// This instant on both clocks.
pub fn now() -> Now {
    // A machine whose battery died may believe in a time before 1970: that is 0, not a reason to stop.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), wall: Wall(wall.as_millis() as u64) }
}
