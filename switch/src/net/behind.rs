//! How far the sockets are behind: since when one of them was never found empty.
//!
//! A queue that is emptied now and then is a burst, and none of anybody's concern. One that is not grows until the kernel drops what comes, the ACK and the BYE
//! along with the INVITE. So what begins something is turned away ([`Pressure`]), the more the longer it lasts, until the queue was empty once. Who was
//! behind lately is patient no more: otherwise every round of an overload that goes on would fill the queue anew.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::node::Pressure;

/// How long an overload is remembered.
const MEMORY: Duration = Duration::from_secs(5);

/// By how much patience is less while it is.
const IMPATIENCE: u32 = 10;

/// The measure of one socket.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Since when the queue has not been empty.
    since: Cell<Option<Instant>>,
    /// When calls were last turned away for it.
    overloaded: Cell<Option<Instant>>,
}

impl Behind {
    /// The queue was found empty, or not.
    pub(super) fn found(&self, now: Instant, empty: bool) {
        match (empty, self.since.get()) {
            (true, _) => self.since.set(None),
            (false, None) => self.since.set(Some(now)),
            (false, Some(_)) => {}
        }
    }

    /// What it comes to, where `lag` is what is borne.
    pub(super) fn pressure(&self, now: Instant, lag: Duration) -> Pressure {
        let Some(since) = self.since.get() else { return Pressure::None };
        let lately = self.overloaded.get().is_some_and(|at| now.saturating_duration_since(at) < MEMORY);
        let lag = if lately { lag / IMPATIENCE } else { lag };
        let pressure = Pressure::of(now.saturating_duration_since(since), lag);
        if pressure >= Pressure::Calls {
            self.overloaded.set(Some(now));
        }
        pressure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longer_the_queue_is_never_empty_the_more_is_turned_away() {
        let (behind, start) = (Behind::default(), Instant::now());
        let after = |time: u64| behind.pressure(start + ms(time), LAG);
        behind.found(start, true);
        assert_eq!(after(1000), Pressure::None);
        behind.found(start, false);
        behind.found(start + ms(40), false);
        assert_eq!([after(49), after(50), after(99)], [Pressure::None, Pressure::Strangers, Pressure::Strangers]);
        assert_eq!(after(100), Pressure::Calls);
        behind.found(start + ms(120), true);
        assert_eq!(after(120), Pressure::None);
    }

    #[test]
    fn after_an_overload_patience_is_short_for_a_while() {
        let (behind, start) = (Behind::default(), Instant::now());
        behind.found(start, false);
        assert_eq!(behind.pressure(start + ms(250), LAG), Pressure::Requests);
        behind.found(start + ms(260), true);
        behind.found(start + ms(300), false);
        assert_eq!(behind.pressure(start + ms(309), LAG), Pressure::Strangers);
        assert_eq!(behind.pressure(start + ms(310), LAG), Pressure::Calls);
        behind.found(start + ms(320), true);
        let later = start + ms(320) + MEMORY;
        behind.found(later, false);
        assert_eq!(behind.pressure(later + ms(49), LAG), Pressure::None);
    }
}
