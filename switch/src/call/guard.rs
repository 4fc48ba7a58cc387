//! Ports of phones that never heard that their call was over.
//!
//! A phone whose network failed answers no BYE. When it is back it goes on sending to the port of a call that is no more, and a new call there could take
//! it for its own phone. So a port is free when its media leg is closed and its phone has heard so. Where it has not, the port is guarded: a media leg without
//! a stream is there, which counts what comes and lets nothing through, until for a whole minute nobody has sent anything. A minority of the ports can be
//! guarded at a time: beyond, the risk is the lesser evil.

use std::time::Duration;

use media::LegStats;

use super::leg::LegId;
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::ports::Place;

/// How long nothing may have come. Phones that send no silence send reports (RTCP).
const WATCH: Duration = Duration::from_secs(60);
/// One of so many ports can be guarded.
const SHARE: usize = 4;

impl Engine {
    /// A leg's media has closed, or its phone has left: its port is free once both are so.
    pub(crate) fn vacate(&mut self, at: At<'_>, id: LegId) {
        let Some((place, heard)) = self.table.vacated(id) else { return };
        if heard {
            return self.ports.give_back(place);
        }
        if self.guards.len() >= self.ports.all() / SHARE {
            self.counts.unguarded += 1;
            tracing::warn!(
                port = place.port.0,
                "too many phones never heard that their calls are over: a port of one is used again"
            );
            return self.ports.give_back(place);
        }
        self.guard(at, place);
    }

    fn guard(&mut self, at: At<'_>, place: Place) {
        let guard = LegId(self.table.number(at.now));
        tracing::debug!(port = place.port.0, "a port is guarded: its phone never heard that the call is over");
        self.guards.insert(guard, place);
        self.open_media(guard, place);
        self.endpoint.timers.set(Timer::Guard(guard), at.now.mono + WATCH);
    }

    /// A minute has passed: what came is in the account of the guard.
    pub(crate) fn relieve(&mut self, guard: LegId) {
        let told = self.seats.close(guard);
        self.media(told);
    }

    /// A guard tells what it has seen; whether it was one.
    pub(crate) fn relieved(&mut self, at: At<'_>, guard: LegId, stats: &LegStats) -> bool {
        let Some(place) = self.guards.remove(&guard) else { return false };
        match stats.unusable {
            0 => self.ports.give_back(place),
            _ => self.guard(at, place),
        }
        true
    }

    /// Ports that are guarded.
    pub fn guarded_ports(&self) -> usize {
        self.guards.len()
    }
}
