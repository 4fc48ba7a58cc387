//! The media plane and the way of its events to the control thread.

use std::io;

use media::{Event, Plane};
use tokio::sync::mpsc;
use tracing::warn;

use super::over::Watch;
use crate::config;

/// Events that may wait, other than those that say where a leg has gone.
const WAITING: usize = 4096;

/// Starts the plane. What it tells waits in the receiver.
pub(super) fn start(config: &config::Media, watch: Watch) -> io::Result<(Plane, mpsc::Receiver<Event>)> {
    // No more legs than ports, and no port is used again before its leg's end was heard; nor is a leg closed before its move was. While one thread looks
    // whether there is room, each of the others may take some.
    let kept = config.ports.len() + usize::from(config.threads.get());
    let (tell, events) = mpsc::channel(WAITING + kept);
    let plane = Plane::start(&config.ports, config.threads, teller(tell, kept, watch))?;
    if plane.taken() > 0 {
        warn!(taken = plane.taken(), bound = plane.ports().len(), "other programs have some of the RTP ports");
    }
    Ok((plane, events))
}

/// Runs on a media thread, where nothing may wait. Room for the move or the end of every leg is kept free; of a flood of anything else, the rest is
/// dropped and told.
fn teller(tell: mpsc::Sender<Event>, kept: usize, watch: Watch) -> impl FnMut(Event) + Send + Clone + 'static {
    let mut dropped: u64 = 0;
    move |event| {
        let _watched = &watch;
        if matches!(event, Event::Closed { .. } | Event::Detached(_)) || tell.capacity() > kept {
            // At the end of the switch nobody listens any more.
            let _ = tell.try_send(event);
        } else {
            dropped += 1;
            if dropped.is_power_of_two() {
                warn!(dropped, "the control thread is behind: events of media legs were dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use media::{LegId, LegStats};

    use super::*;

    #[test]
    fn a_flood_of_digits_never_costs_the_end_of_a_leg() {
        let (tell, mut events) = mpsc::channel(3 + 2);
        let mut told = teller(tell, 2, Watch(Arc::default()));
        for digit in 0..16 {
            told(Event::Dtmf { leg: LegId(1), digit, duration: Duration::ZERO });
        }
        for leg in [LegId(1), LegId(2)] {
            told(Event::Closed { leg, stats: LegStats::default() });
        }
        drop(told);
        let heard: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        assert_eq!(heard.len(), 5);
        assert!(matches!(heard[3..], [Event::Closed { leg: LegId(1), .. }, Event::Closed { leg: LegId(2), .. }]));
    }
}
