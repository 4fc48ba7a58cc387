//! Reports between us and one telephone (RFC 3550 §6): written every five seconds, read when they come.
//!
//! `rtcp-types` reads reports. Its builders make room on the heap for 31 report blocks, so that what goes out for the whole life of a leg
//! (SDES and BYE) is built with them once, and the report before it is written here.

use std::time::{Duration, Instant};

use rtcp_types::prelude::*;
use rtcp_types::{Bye, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport};

use crate::clock::{Clock, middle};
use crate::command::StreamStart;
use crate::reception::Figures;

/// Between two reports, on the average (RFC 3550 §6.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// SDES with one CNAME of sixteen characters.
const DESCRIPTION: usize = 28;
/// BYE of one source.
const BYE: usize = 8;
/// The longest that [`Reporter::write`] writes: SR with one block, SDES, BYE.
pub(crate) const LONGEST: usize = 28 + ReportBlock::EXPECTED_SIZE + DESCRIPTION + BYE;

/// The reports about one leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter {
    ssrc: u32,
    /// SDES and BYE, ready to send.
    tail: [u8; DESCRIPTION + BYE],
    /// What the intervals are drawn from.
    draw: u32,
    due: Instant,
    /// The telephone's last sender report.
    last: Option<LastReport>,
    /// Packets sent when we last reported.
    sent: u64,
    /// Whether we ever did.
    spoke: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastReport {
    ssrc: u32,
    /// The middle 32 bits of its NTP time.
    middle: u32,
    came: Instant,
}

/// What a sender report says of our stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) timestamp: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What the telephone says of our stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) fraction_lost: u8,
    pub(crate) round_trip: Option<Duration>,
}

/// A datagram that is no RTCP compound packet (RFC 3550 §A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Reporter {
    /// Reports begin half an interval or more from now.
    pub(crate) fn new(now: Instant, start: StreamStart) -> Reporter {
        let mut reporter = Reporter {
            ssrc: start.ssrc,
            tail: tail(start),
            draw: start.ssrc | 1,
            due: now,
            last: None,
            sent: 0,
            spoke: false,
        };
        reporter.due = now + reporter.interval();
        reporter
    }

    /// 0.5 to 1.5 times [`INTERVAL`] (RFC 3550 §6.2), so that legs do not report in step. Xorshift: it only has to be uneven.
    fn interval(&mut self) -> Duration {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 17;
        self.draw ^= self.draw << 5;
        INTERVAL / 2 + INTERVAL * (self.draw >> 16) / 0x1_0000
    }

    /// Whether a report is to be written now; the next is then an interval away.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let due = now >= self.due;
        if due {
            self.due = now + self.interval();
        }
        due
    }

    /// When the next report is due.
    pub(crate) fn next(&self) -> Instant {
        self.due
    }

    /// Whether a report was ever written.
    pub(crate) fn spoke(&self) -> bool {
        self.spoke
    }

    /// Writes a compound packet, SR where something was sent since the last, else RR; its length. `bye`: the last one of the leg.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        clock: &Clock,
        sent: Sent,
        received: Option<Figures>,
        bye: bool,
        out: &mut [u8; LONGEST],
    ) -> usize {
        let mut writer = Writer { out, length: 0 };
        let sender = sent.packets != self.sent;
        (self.sent, self.spoke) = (sent.packets, true);
        let blocks = u8::from(received.is_some());
        let words = if sender { 6 } else { 1 } + 6 * u16::from(blocks);
        writer.put(&[2 << 6 | blocks, if sender { SenderReport::PACKET_TYPE } else { ReceiverReport::PACKET_TYPE }]);
        writer.put(&words.to_be_bytes());
        writer.put(&self.ssrc.to_be_bytes());
        if sender {
            writer.put(&clock.ntp(now).to_be_bytes());
            // The counts wrap (RFC 3550 §6.4.1).
            for word in [sent.timestamp, sent.packets as u32, sent.bytes as u32] {
                writer.put(&word.to_be_bytes());
            }
        }
        if let Some(figures) = received {
            let lost = u32::from(figures.fraction_lost) << 24 | figures.cumulative_lost;
            let (middle, delay) = match self.last {
                Some(last) if last.ssrc == figures.ssrc => {
                    let delay = now.saturating_duration_since(last.came);
                    (last.middle, (delay.as_nanos() * 0x1_0000 / 1_000_000_000) as u32)
                }
                _ => (0, 0),
            };
            for word in [figures.ssrc, lost, figures.highest, figures.jitter, middle, delay] {
                writer.put(&word.to_be_bytes());
            }
        }
        let tail = self.tail;
        writer.put(if bye { &tail } else { &tail[..DESCRIPTION] });
        writer.length
    }

    /// Reads a compound packet; what it says about our stream, if anything.
    pub(crate) fn read(&mut self, now: Instant, clock: &Clock, datagram: &[u8]) -> Result<Option<Heard>, Malformed> {
        check(datagram)?;
        let mut heard = None;
        let mut rest = datagram;
        while let Some((packet, after)) = split(rest) {
            rest = after;
            match packet[1] {
                SenderReport::PACKET_TYPE => {
                    let report = SenderReport::parse(packet).map_err(|_| Malformed)?;
                    self.last =
                        Some(LastReport { ssrc: report.ssrc(), middle: middle(report.ntp_timestamp()), came: now });
                    heard = report.report_blocks().find_map(|block| self.ours(now, clock, &block)).or(heard);
                }
                ReceiverReport::PACKET_TYPE => {
                    let report = ReceiverReport::parse(packet).map_err(|_| Malformed)?;
                    heard = report.report_blocks().find_map(|block| self.ours(now, clock, &block)).or(heard);
                }
                // SDES and BYE tell us nothing that SIP does not; others were not agreed on.
                _ => {}
            }
        }
        Ok(heard)
    }

    fn ours(&self, now: Instant, clock: &Clock, block: &ReportBlock<'_>) -> Option<Heard> {
        (block.ssrc() == self.ssrc).then(|| Heard {
            fraction_lost: block.fraction_lost(),
            round_trip: round_trip(middle(clock.ntp(now)), block),
        })
    }
}

/// RFC 3550 §6.4.1: now, less the time of our report, less the time the telephone kept it. Nonsense is told by its size.
fn round_trip(now: u32, block: &ReportBlock<'_>) -> Option<Duration> {
    const MINUTE: u32 = 60 << 16;
    let ours = block.last_sender_report_timestamp();
    let passed = now.wrapping_sub(ours).wrapping_sub(block.delay_since_last_sender_report_timestamp());
    (ours != 0 && passed < MINUTE).then(|| Duration::from_nanos(u64::from(passed) * 1_000_000_000 / 0x1_0000))
}

/// The checks of RFC 3550 §A.2: begins with a report, every part has version 2, the lengths add up.
fn check(datagram: &[u8]) -> Result<(), Malformed> {
    let mut rest = datagram;
    while let Some((packet, after)) = split(rest) {
        let kind = packet[1];
        let first = rest.len() == datagram.len();
        let padded = packet[0] & 0x20 != 0;
        if packet[0] >> 6 != 2
            || first && !matches!(kind, SenderReport::PACKET_TYPE | ReceiverReport::PACKET_TYPE)
            || padded && !after.is_empty()
        {
            return Err(Malformed);
        }
        rest = after;
    }
    if rest.is_empty() && !datagram.is_empty() { Ok(()) } else { Err(Malformed) }
}

/// The first packet of a compound and what follows. `None` where there is none as long as it claims.
fn split(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, _, high, low] = *compound.first_chunk()?;
    compound.split_at_checked((usize::from(u16::from_be_bytes([high, low])) + 1) * 4)
}

/// SDES and BYE. The canonical name says nothing of anybody and is not the same in two calls (RFC 7022 §4.2).
fn tail(start: StreamStart) -> [u8; DESCRIPTION + BYE] {
    let seed = u64::from(start.ssrc) << 32 | u64::from(start.timestamp);
    let name = format!("{:016x}", scatter(seed ^ u64::from(start.sequence) << 16));
    let item = SdesItem::builder(SdesItem::CNAME, &name);
    let description = Sdes::builder().add_chunk(SdesChunk::builder(start.ssrc).add_item(item));
    let bye = Bye::builder().add_source(start.ssrc);
    let mut tail = [0; DESCRIPTION + BYE];
    let (first, second) = tail.split_at_mut(DESCRIPTION);
    description.write_into(first).expect("a name of sixteen characters has its room");
    bye.write_into(second).expect("one source has its room");
    tail
}

/// The finaliser of splitmix64: every bit of the input changes half of the output.
fn scatter(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

struct Writer<'a> {
    out: &'a mut [u8; LONGEST],
    length: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use rtcp_types::{Compound, Packet};

    use super::*;

    const OURS: StreamStart = StreamStart { ssrc: 0x1111, sequence: 5, timestamp: 9 };
    const SENT: Sent = Sent { timestamp: 777, packets: 3, bytes: 480 };
    const FIGURES: Figures =
        Figures { ssrc: 0x2222, fraction_lost: 12, cumulative_lost: 34, highest: 0x1_0005, jitter: 56 };

    fn clock() -> (Instant, Clock) {
        let now = Instant::now();
        (now, Clock::new(now, UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
    }

    fn written(
        reporter: &mut Reporter,
        now: Instant,
        clock: &Clock,
        sent: Sent,
        received: Option<Figures>,
        bye: bool,
    ) -> Vec<u8> {
        let mut out = [0; LONGEST];
        let length = reporter.write(now, clock, sent, received, bye, &mut out);
        out[..length].to_vec()
    }

    #[test]
    fn a_sender_report_reads_as_written() {
        let (now, clock) = clock();
        let bytes = written(&mut Reporter::new(now, OURS), now, &clock, SENT, Some(FIGURES), true);
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
        let [Packet::Sr(report), Packet::Sdes(description), Packet::Bye(bye)] = &packets[..] else {
            panic!("{packets:?}")
        };
        assert_eq!((report.ssrc(), report.ntp_timestamp()), (0x1111, clock.ntp(now)));
        assert_eq!((report.rtp_timestamp(), report.packet_count(), report.octet_count()), (777, 3, 480));
        let block = report.report_blocks().next().unwrap();
        assert_eq!((block.ssrc(), block.fraction_lost(), block.cumulative_lost()), (0x2222, 12, 34));
        assert_eq!((block.extended_sequence_number(), block.interarrival_jitter()), (0x1_0005, 56));
        assert_eq!(block.last_sender_report_timestamp(), 0);
        let chunk = description.chunks().next().unwrap();
        let item = chunk.items().next().unwrap();
        assert_eq!((chunk.ssrc(), item.type_(), item.value().len()), (0x1111, SdesItem::CNAME, 16));
        assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [0x1111]);
    }

    #[test]
    fn who_sent_nothing_since_the_last_report_is_a_receiver() {
        let (now, clock) = clock();
        let mut reporter = Reporter::new(now, OURS);
        written(&mut reporter, now, &clock, SENT, None, false);
        let bytes = written(&mut reporter, now, &clock, SENT, None, false);
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
        let [Packet::Rr(report), Packet::Sdes(_)] = &packets[..] else { panic!("{packets:?}") };
        assert_eq!((report.ssrc(), report.n_reports()), (0x1111, 0));
    }

    #[test]
    fn two_parties_measure_the_way_between_them() {
        let (start, clock) = clock();
        let theirs = StreamStart { ssrc: FIGURES.ssrc, ..OURS };
        let (mut we, mut they) = (Reporter::new(start, OURS), Reporter::new(start, theirs));
        let way = Duration::from_millis(30);
        let ours = written(&mut we, start, &clock, SENT, None, false);
        assert_eq!(they.read(start + way, &clock, &ours), Ok(None));
        let answered = start + way + Duration::from_secs(2);
        let about_us = Figures { ssrc: OURS.ssrc, ..FIGURES };
        let answer = written(&mut they, answered, &clock, SENT, Some(about_us), false);
        let heard = we.read(answered + way, &clock, &answer).unwrap().unwrap();
        assert_eq!(heard.fraction_lost, 12);
        let measured = heard.round_trip.unwrap().as_micros();
        assert!((59_950..=60_050).contains(&measured), "{measured}");
    }

    #[test]
    fn reports_about_others_say_nothing_of_us() {
        let (now, clock) = clock();
        let theirs = StreamStart { ssrc: 0x3333, ..OURS };
        let bytes = written(&mut Reporter::new(now, theirs), now, &clock, SENT, Some(FIGURES), false);
        assert_eq!(Reporter::new(now, OURS).read(now, &clock, &bytes), Ok(None));
    }

    #[test]
    fn only_a_whole_compound_that_begins_with_a_report_is_read() {
        let (now, clock) = clock();
        let mut reporter = Reporter::new(now, OURS);
        let good = written(&mut Reporter::new(now, OURS), now, &clock, SENT, Some(FIGURES), true);
        assert_eq!(reporter.read(now, &clock, &good), Ok(None));
        let mut version = good.clone();
        version[0] ^= 0x40;
        let mut padded_within = good.clone();
        padded_within[0] |= 0x20;
        for bad in [&good[..good.len() - 1], &good[52..], &[], &version, &padded_within] {
            assert_eq!(reporter.read(now, &clock, bad), Err(Malformed));
        }
    }

    #[test]
    fn reports_are_two_and_a_half_to_seven_and_a_half_seconds_apart_and_five_on_the_average() {
        let now = Instant::now();
        let mut reporter = Reporter::new(now, OURS);
        let mut sum = Duration::ZERO;
        for _ in 0..1000 {
            let interval = reporter.interval();
            assert!(interval >= INTERVAL / 2 && interval < INTERVAL * 3 / 2);
            sum += interval;
        }
        assert!((4800..5200).contains(&(sum / 1000).as_millis()), "{sum:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 200u8..208, words in 0u8..20) {
            let (now, clock) = clock();
            let mut reporter = Reporter::new(now, OURS);
            let _ = reporter.read(now, &clock, &bytes);
            let mut shaped = bytes;
            if shaped.len() >= 4 {
                let first = 0x80 | shaped[0] & 0x3f;
                shaped[..4].copy_from_slice(&[first, kind, 0, words]);
                let _ = reporter.read(now, &clock, &shaped);
            }
        }
    }
}
