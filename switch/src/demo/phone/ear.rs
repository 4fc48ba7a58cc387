//! What a telephone hears: the last of the sound, the digits, and whether the stream to it ever broke.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rtp_rs::RtpReader;

use super::audio::{Decoder, RATE};
use super::sdp::Codec;

/// What is kept, and judged: a quarter of a second.
const WINDOW: usize = RATE as usize / 4;
/// How far a tone that was heard may be from the one that was spoken.
const TOLERANCE: u32 = 10;
/// Digits and sources kept.
const MOST: usize = 64;

/// What came in, since the call began.
#[derive(Debug, Default)]
pub struct Ear {
    decoder: Decoder,
    samples: VecDeque<i16>,
    digits: String,
    last_digit: Option<u32>,
    sources: BTreeSet<u32>,
    highest: Option<Highest>,
    /// When the last packet came.
    last: Option<Instant>,
    /// The longest time between two packets, since the sound heard was forgotten.
    pub longest_gap: Duration,
    /// RTP packets heard.
    pub packets: u64,
    /// Sequence numbers that were skipped; one that came late counts too.
    pub lost: u64,
    /// Timestamps that did not advance where the sequence number did.
    pub timestamp_faults: u64,
    /// Packets whose payload type was not agreed on, or that were not RTP.
    pub strange: u64,
    /// Codecs heard.
    pub codecs: BTreeSet<Codec>,
}

#[derive(Clone, Copy, Debug)]
struct Highest {
    sequence: u16,
    timestamp: u32,
    event: bool,
}

impl Ear {
    /// Which tone is heard now; `None` for silence, noise, or less than a quarter of a second of sound.
    pub fn tone(&self) -> Option<u32> {
        if self.samples.len() < WINDOW {
            return None;
        }
        media::tone::dominant(&self.samples.iter().copied().collect::<Vec<_>>(), RATE)
    }

    /// Whether this tone is heard now.
    pub fn hears(&self, hz: u32) -> bool {
        self.tone().is_some_and(|heard| heard.abs_diff(hz) <= TOLERANCE)
    }

    /// The digits heard, by RFC 4733 or INFO.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// How many synchronisation sources spoke: one for the life of a dialog.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Forgets the sound heard so far: the next judgement is of what comes now.
    pub fn forget_sound(&mut self) {
        self.samples.clear();
        (self.last, self.longest_gap) = (None, Duration::ZERO);
    }

    /// A digit came by INFO.
    pub(super) fn told(&mut self, digit: char) {
        if self.digits.len() < MOST {
            self.digits.push(digit);
        }
    }

    /// Takes a packet; tells the digit that began with it, if one did.
    pub(super) fn hear(&mut self, now: Instant, packet: &[u8], codec_of: impl Fn(u8) -> Option<Codec>) -> Option<char> {
        let Some((reader, codec)) =
            RtpReader::new(packet).ok().and_then(|reader| codec_of(reader.payload_type()).map(|codec| (reader, codec)))
        else {
            self.strange += 1;
            return None;
        };
        self.packets += 1;
        let since = self.last.replace(now);
        self.longest_gap = self.longest_gap.max(since.map_or(Duration::ZERO, |since| now - since));
        if self.sources.len() < MOST {
            self.sources.insert(reader.ssrc());
        }
        self.codecs.insert(codec);
        self.follow(&reader, codec == Codec::Event);
        if codec == Codec::Event {
            return self.digit(&reader);
        }
        self.samples.extend(self.decoder.samples(codec, reader.payload()));
        let over = self.samples.len().saturating_sub(WINDOW);
        self.samples.drain(..over);
        None
    }

    /// RFC 3550 §5.1: sequence numbers go up by one; the timestamp goes up with them, but for the packets of one event (RFC 4733 §2.2).
    fn follow(&mut self, reader: &RtpReader<'_>, event: bool) {
        let now = Highest { sequence: reader.sequence_number().into(), timestamp: reader.timestamp(), event };
        let Some(before) = self.highest else {
            self.highest = Some(now);
            return;
        };
        let steps = now.sequence.wrapping_sub(before.sequence);
        if steps == 0 || steps >= 0x8000 {
            return;
        }
        self.lost += u64::from(steps) - 1;
        let advance = now.timestamp.wrapping_sub(before.timestamp);
        let same_event = advance == 0 && event && before.event;
        if !same_event && (advance == 0 || advance >= 0x8000_0000) {
            self.timestamp_faults += 1;
        }
        self.highest = Some(now);
    }

    fn digit(&mut self, reader: &RtpReader<'_>) -> Option<char> {
        let event = usize::from(*reader.payload().first()?);
        if self.last_digit == Some(reader.timestamp()) {
            return None;
        }
        self.last_digit = Some(reader.timestamp());
        let digit = "0123456789*#ABCD".chars().nth(event)?;
        if self.digits.len() < MOST {
            self.digits.push(digit);
        }
        Some(digit)
    }
}
