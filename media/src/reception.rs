//! What RFC 3550 has a receiver keep about a source: which sequence numbers came (§A.1), how many are missing (§A.3), how unevenly they come
//! (§A.8).

use std::time::Instant;

use crate::clock::Clock;
use crate::rtp::Header;

/// Steps forward within this are loss, beyond it a source that began anew (RFC 3550 §A.1: MAX_DROPOUT).
const MAX_DROPOUT: i16 = 3000;
/// Steps back within this are packets late or twice, beyond it a source that began anew (§A.1: MAX_MISORDER; 100 there, here the width of the window).
const MIN_STEP: i16 = -127;

/// Everything received on a leg.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reception {
    source: Option<Source>,
    /// How many times the source changed, began anew, or was withheld.
    generation: u32,
    /// Lost from the sources before this one.
    lost_before: u64,
    /// After a jump: the sequence number that would confirm it (§A.1: bad_seq).
    awaited: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// First and highest sequence number, with the count of cycles above the 16 bits.
    base: u64,
    highest: u64,
    received: u64,
    /// Which of the 128 up to the highest came: bit 0 is the highest.
    window: u128,
    /// Interarrival jitter times 16, in units of the clock it was last measured with.
    jitter: u32,
    rate: u32,
    transit: Option<u32>,
    /// `expected` and `received` at the last report.
    reported: (u64, u64),
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The newest of its source so far.
    New,
    /// Later than one that came after it.
    Late,
    /// Came before.
    Duplicate,
    /// So far off that it is believed only when its successor follows.
    Stray,
}

/// The figures of a report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    pub(crate) cumulative_lost: u32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
}

impl Reception {
    /// Takes note of a packet. `sound` is the clock rate where its timestamp says when it was sampled (that of a DTMF event does not).
    pub(crate) fn take(&mut self, now: Instant, clock: &Clock, header: Header, sound: Option<u32>) -> Arrival {
        let arrival = match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => source.arrive(header.sequence),
            _ => {
                self.restart(header);
                Arrival::New
            }
        };
        let arrival = match arrival {
            Arrival::Stray if self.awaited == Some(header.sequence) => {
                self.restart(header);
                Arrival::New
            }
            other => other,
        };
        self.awaited = (arrival == Arrival::Stray).then_some(header.sequence.wrapping_add(1));
        if let (Arrival::New | Arrival::Late, Some(rate), Some(source)) = (arrival, sound, &mut self.source) {
            source.measure(clock.units(now, rate), header.timestamp, rate);
        }
        arrival
    }

    fn restart(&mut self, header: Header) {
        self.lost_before = self.lost();
        self.generation = self.generation.wrapping_add(1);
        self.source = Some(Source::new(header));
    }

    /// Whether this is the source that packets come from.
    pub(crate) fn knows(&self, ssrc: u32) -> bool {
        self.source.is_some_and(|source| source.ssrc == ssrc)
    }

    /// A packet that came is not passed on: whoever hears the source must not take its number for lost.
    pub(crate) fn withhold(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Changes whenever sequence numbers do not go on from those passed on before.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Packets missing, of all sources.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_before + self.source.map_or(0, |source| source.expected().saturating_sub(source.received))
    }

    /// The clock of the sound that the source last sent, in Hz, once it has.
    pub(crate) fn sound_rate(&self) -> Option<u32> {
        self.source.map(|source| source.rate).filter(|rate| *rate > 0)
    }

    /// Interarrival jitter in microseconds.
    pub(crate) fn jitter_us(&self) -> u32 {
        self.source
            .map_or(0, |source| (u64::from(source.jitter >> 4) * 1_000_000 / u64::from(source.rate.max(1))) as u32)
    }

    /// For a report, which ends an interval. `None` when nothing came in it (RFC 3550 §6.4: only sources heard since the last report).
    pub(crate) fn report(&mut self) -> Option<Figures> {
        let source = self.source.as_mut()?;
        let (expected_then, received_then) = source.reported;
        let (expected, received) = (source.expected(), source.received);
        source.reported = (expected, received);
        if received == received_then {
            return None;
        }
        let due = expected.saturating_sub(expected_then);
        let missing = due.saturating_sub(received - received_then);
        Some(Figures {
            ssrc: source.ssrc,
            fraction_lost: if missing == 0 { 0 } else { (missing * 256 / due).min(255) as u8 },
            cumulative_lost: expected.saturating_sub(received).min(0x7f_ffff) as u32,
            // 16 bits of cycles above the sequence number: what is above them wraps.
            highest: source.highest as u32,
            jitter: source.jitter >> 4,
        })
    }
}

impl Source {
    fn new(header: Header) -> Source {
        // One cycle ahead, so that a packet from before the first has a number too; the report subtracts it by wrapping.
        let first = 1 << 32 | u64::from(header.sequence);
        Source {
            ssrc: header.ssrc,
            base: first,
            highest: first,
            received: 1,
            window: 1,
            jitter: 0,
            rate: 0,
            transit: None,
            reported: (0, 0),
        }
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    fn arrive(&mut self, sequence: u16) -> Arrival {
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        match step {
            1..MAX_DROPOUT => {
                self.highest += step as u64;
                self.window = self.window.checked_shl(step as u32).unwrap_or(0) | 1;
                self.received += 1;
                Arrival::New
            }
            MIN_STEP..=0 => {
                let bit = 1u128 << -step;
                if self.window & bit != 0 {
                    return Arrival::Duplicate;
                }
                self.window |= bit;
                self.received += 1;
                self.base = self.base.min(self.highest - step.unsigned_abs() as u64);
                Arrival::Late
            }
            _ => Arrival::Stray,
        }
    }

    /// RFC 3550 §A.8.
    fn measure(&mut self, arrived: u32, timestamp: u32, rate: u32) {
        let transit = arrived.wrapping_sub(timestamp);
        if self.rate != rate {
            // Another clock: nothing to compare with.
            (self.rate, self.transit, self.jitter) = (rate, None, 0);
        }
        if let Some(last) = self.transit {
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs();
            // A timestamp that jumped says nothing about the network: a second is no jitter.
            if difference < rate {
                self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
            }
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Line {
        reception: Reception,
        clock: Clock,
        now: Instant,
    }

    impl Line {
        fn new() -> Line {
            let now = Instant::now();
            Line { reception: Reception::default(), clock: Clock::new(now, SystemTime::UNIX_EPOCH), now }
        }

        fn take(&mut self, ssrc: u32, sequence: u16) -> Arrival {
            let header =
                Header { payload_type: 0, marker: false, sequence, timestamp: u32::from(sequence) * 160, ssrc };
            self.reception.take(self.now, &self.clock, header, Some(8000))
        }

        fn at(&mut self, millis: u64, sequence: u16) {
            self.now += Duration::from_millis(millis);
            self.take(1, sequence);
        }
    }

    #[test]
    fn gaps_are_loss_until_the_late_packet_comes() {
        let mut line = Line::new();
        assert_eq!(line.take(1, 65534), Arrival::New);
        assert_eq!(line.take(1, 1), Arrival::New);
        assert_eq!(line.reception.lost(), 2);
        assert_eq!(line.take(1, 65535), Arrival::Late);
        assert_eq!(line.reception.lost(), 1);
        assert_eq!(line.take(1, 65535), Arrival::Duplicate);
        assert_eq!(line.take(1, 1), Arrival::Duplicate);
        assert_eq!(line.reception.lost(), 1);
    }

    #[test]
    fn a_packet_from_before_the_first_is_no_negative_loss() {
        let mut line = Line::new();
        line.take(1, 0);
        assert_eq!(line.take(1, 65533), Arrival::Late);
        assert_eq!(line.reception.lost(), 2);
    }

    #[test]
    fn a_jump_is_believed_when_its_successor_follows() {
        let mut line = Line::new();
        line.take(1, 10);
        let generation = line.reception.generation();
        assert_eq!(line.take(1, 30_000), Arrival::Stray);
        assert_eq!(line.take(1, 11), Arrival::New);
        assert_eq!(line.reception.generation(), generation);
        assert_eq!(line.take(1, 30_000), Arrival::Stray);
        assert_eq!(line.take(1, 30_001), Arrival::New);
        assert_ne!(line.reception.generation(), generation);
        assert_eq!(line.reception.lost(), 0);
    }

    #[test]
    fn another_ssrc_is_another_generation_and_former_loss_stays() {
        let mut line = Line::new();
        line.take(1, 10);
        line.take(1, 12);
        let generation = line.reception.generation();
        assert_eq!(line.take(2, 500), Arrival::New);
        assert_ne!(line.reception.generation(), generation);
        assert_eq!(line.reception.lost(), 1);
    }

    #[test]
    fn fraction_lost_is_that_of_the_interval() {
        let mut line = Line::new();
        for sequence in (0..100).filter(|sequence| sequence % 4 != 3) {
            line.take(1, sequence);
        }
        line.take(1, 100);
        let first = line.reception.report().unwrap();
        // 25 of 101 are missing.
        assert_eq!((first.fraction_lost, first.cumulative_lost, first.highest), (63, 25, 100));
        assert_eq!(line.reception.report(), None);
        for sequence in 101..111 {
            line.take(1, sequence);
        }
        let second = line.reception.report().unwrap();
        assert_eq!((second.fraction_lost, second.cumulative_lost, second.highest), (0, 25, 110));
    }

    #[test]
    fn the_highest_sequence_number_counts_its_cycles() {
        let mut line = Line::new();
        line.take(1, 65535);
        line.take(1, 0);
        assert_eq!(line.reception.report().unwrap().highest, 0x1_0000);
    }

    #[test]
    fn even_packets_have_no_jitter_and_uneven_ones_approach_their_unevenness() {
        let mut even = Line::new();
        for sequence in 0..100 {
            even.at(20, sequence);
        }
        assert_eq!(even.reception.jitter_us(), 0);
        let mut uneven = Line::new();
        for sequence in 0..200 {
            uneven.at(if sequence % 2 == 0 { 10 } else { 30 }, sequence);
        }
        assert!((9_000..=10_000).contains(&uneven.reception.jitter_us()), "{}", uneven.reception.jitter_us());
    }
}
