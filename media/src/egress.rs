//! The one continuous stream a telephone hears (RFC 3550 §5.1), whoever feeds it.
//!
//! The SSRC is the leg's own and never changes. While one source feeds the stream its gaps and its order are kept, so that what the network
//! lost is still seen as lost. When the feed changes (another party, another SSRC, digits of our own, the end of hold), the sequence
//! goes on at the next number, the timestamp where the wall clock says it should be, and the marker is set.

use std::time::{Duration, Instant};

use crate::clock::{duration, units};
use crate::command::{LegId, StreamStart};

/// How far back in a feed a late packet may still find its number.
const LATE: u16 = 1000;
/// A packet's worth of sound, until the source has shown its own.
const USUAL_FRAME: Duration = Duration::from_millis(20);
/// No packet holds more sound.
const LONGEST_FRAME: Duration = Duration::from_millis(200);
/// A timestamp so far ahead of the wall clock was set anew by its source.
const LEAP: Duration = Duration::from_secs(10);

/// Whose packets feed a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feeder {
    /// Those of a leg's telephone.
    Leg(LegId),
    /// Those of the switch: see `player`.
    Player,
}

/// Who feeds a stream: changes when sequence numbers or clock begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) feeder: Feeder,
    pub(crate) generation: u32,
    pub(crate) rate: u32,
}

/// Where a packet goes in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// The first of its feed: the marker is set (RFC 3551 §4.1).
    pub(crate) first: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Egress {
    ssrc: u32,
    /// The number after the highest sent.
    next: u16,
    head: Head,
    /// The sound of one packet.
    frame: Duration,
    /// The clock of what was last relayed, in Hz, once something was.
    rate: Option<u32>,
    feed: Option<Feed>,
}

/// The newest timestamp.
#[derive(Clone, Copy, Debug)]
enum Head {
    /// Nothing was sent: the first packet has this one.
    Start(u32),
    /// Sent at this instant.
    Sent(u32, Instant),
}

/// How the numbers of a source become those of the stream.
#[derive(Clone, Copy, Debug)]
struct Feed {
    source: Source,
    sequence: u16,
    timestamp: u32,
    /// Numbers before this one belong to whoever fed the stream before.
    floor: u16,
}

impl Egress {
    pub(crate) fn new(start: StreamStart) -> Egress {
        let StreamStart { ssrc, sequence, timestamp } = start;
        Egress { ssrc, next: sequence, head: Head::Start(timestamp), frame: USUAL_FRAME, rate: None, feed: None }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The clock the stream now counts in, in Hz, unless nothing was relayed yet.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// Places a packet of a source. `event`: its timestamp is that of an event's beginning, which may be older than the sound beside it.
    /// `None`: it is older than the beginning of its feed, and its number has been used.
    pub(crate) fn place(
        &mut self,
        now: Instant,
        source: Source,
        sequence: u16,
        timestamp: u32,
        event: bool,
    ) -> Option<Place> {
        let feed = match self.feed {
            Some(feed) if feed.source == source && (event || self.plausible(now, &feed, sequence, timestamp)) => feed,
            _ => self.begin(now, source, sequence, timestamp),
        };
        let placed = Place {
            sequence: sequence.wrapping_add(feed.sequence),
            timestamp: timestamp.wrapping_add(feed.timestamp),
            first: self.feed.is_none(),
        };
        if before(placed.sequence, feed.floor) {
            self.feed = Some(feed);
            return None;
        }
        self.advance(now, source.rate, placed, event);
        self.rate = Some(source.rate);
        let oldest = self.next.wrapping_sub(LATE);
        self.feed = Some(Feed { floor: if before(feed.floor, oldest) { oldest } else { feed.floor }, ..feed });
        Some(placed)
    }

    /// Whether the timestamp of a newest packet goes on from the one before it: some telephones begin a new count within the same SSRC.
    fn plausible(&self, now: Instant, feed: &Feed, sequence: u16, timestamp: u32) -> bool {
        let Head::Sent(newest, at) = self.head else { return true };
        if before(sequence.wrapping_add(feed.sequence), self.next) {
            return true;
        }
        let step = timestamp.wrapping_add(feed.timestamp).wrapping_sub(newest) as i32;
        let most = units(now.saturating_duration_since(at) + LEAP, feed.source.rate);
        step >= 0 && step as u32 <= most
    }

    fn begin(&mut self, now: Instant, source: Source, sequence: u16, timestamp: u32) -> Feed {
        self.feed = None;
        Feed {
            source,
            sequence: self.next.wrapping_sub(sequence),
            timestamp: self.due(now, source.rate).wrapping_sub(timestamp),
            floor: self.next,
        }
    }

    fn advance(&mut self, now: Instant, rate: u32, placed: Place, event: bool) {
        if before(placed.sequence, self.next) {
            return;
        }
        let consecutive = placed.sequence == self.next && !placed.first && !event;
        self.next = placed.sequence.wrapping_add(1);
        match self.head {
            Head::Sent(newest, _) => {
                let step = placed.timestamp.wrapping_sub(newest);
                if (step as i32) <= 0 {
                    return;
                }
                if consecutive && step <= units(LONGEST_FRAME, rate) {
                    self.frame = duration(step, rate);
                }
            }
            Head::Start(_) => {}
        }
        self.head = Head::Sent(placed.timestamp, now);
    }

    /// The timestamp of a packet that begins a feed now: on from the last by the time that passed, but never into the sound already sent.
    fn due(&self, now: Instant, rate: u32) -> u32 {
        match self.head {
            Head::Start(timestamp) => timestamp,
            Head::Sent(newest, at) => {
                newest.wrapping_add(units(now.saturating_duration_since(at).max(self.frame), rate))
            }
        }
    }

    /// The timestamp that belongs to this instant (RFC 3550 §6.4.1, in a sender report).
    pub(crate) fn timestamp(&self, now: Instant, rate: u32) -> u32 {
        match self.head {
            Head::Start(timestamp) => timestamp,
            Head::Sent(newest, at) => newest.wrapping_add(units(now.saturating_duration_since(at), rate)),
        }
    }

    /// Ends the feed: the next packet, even of the same source, begins anew. For what was not sent on purpose and is no loss.
    pub(crate) fn interrupt(&mut self) {
        self.feed = None;
    }

    /// Something of our own begins now, at this timestamp.
    pub(crate) fn interject(&mut self, now: Instant, rate: u32) -> u32 {
        let timestamp = self.due(now, rate);
        self.head = Head::Sent(timestamp, now);
        self.feed = None;
        timestamp
    }

    /// The number of a packet of our own.
    pub(crate) fn number(&mut self) -> u16 {
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        sequence
    }
}

/// Whether one number precedes another, around the wrap (RFC 1982).
fn before(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) < 0
}

#[cfg(test)]
mod tests;
