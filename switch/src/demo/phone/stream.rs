//! What a telephone says: a tone in 20 ms packets, DTMF by RFC 4733, under one SSRC for the life of the dialog.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp_rs::RtpPacketBuilder;

use super::audio::Mouth;
use super::sdp::{Codec, Description, PTIME};

const FRAME: Duration = Duration::from_millis(20);
/// How long an event packet says the key was down, in ticks of 8000 Hz (RFC 4733 §2.3.5).
const TICKS: u16 = 160;
/// Packets in which a digit grows (100 ms), and those that say it has ended (RFC 4733 §2.5.1.4).
const DIGIT_PACKETS: u16 = 5;
const END_PACKETS: u16 = 3;
/// Packets of sound between two digits.
const PAUSE: u8 = 3;
/// In sparse talk: packets spoken after each change, and the time between two after that.
const SPURT: u32 = 15;
const SPARSE: Duration = Duration::from_secs(10);

/// How much a telephone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Fifty packets a second, as a real one.
    Always,
    /// Three tenths of a second after each change, then a packet in ten seconds, so that hours of virtual time cost little.
    Sparse,
}

/// The stream from a telephone.
#[derive(Debug)]
pub(super) struct Stream {
    talk: Talk,
    mouth: Mouth,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    digits: VecDeque<u8>,
    speaking: Speaking,
    settled: Option<Settled>,
    /// When the next packet is due, and how many of a spurt are left.
    due: Option<Instant>,
    spurt: u32,
}

/// What offer and answer came to.
#[derive(Clone, Debug)]
struct Settled {
    to: SocketAddr,
    codec: (u8, Codec),
    event: Option<u8>,
    payloads: Vec<(u8, Codec)>,
    sends: bool,
    /// Frames in a packet, as the other side wants them.
    frames: u32,
}

#[derive(Clone, Copy, Debug)]
enum Speaking {
    Tone { pause: u8 },
    Digit { event: u8, packet: u16, began: u32 },
}

impl Stream {
    pub(super) fn new(talk: Talk, tone_hz: u32, ssrc: u32, sequence: u16, timestamp: u32) -> Stream {
        let mouth = Mouth::new(tone_hz);
        let speaking = Speaking::Tone { pause: 0 };
        let digits = VecDeque::new();
        Stream { talk, mouth, ssrc, sequence, timestamp, digits, speaking, settled: None, due: None, spurt: 0 }
    }

    /// Offer and answer are settled: `local` is what this telephone wrote, `remote` what it read.
    pub(super) fn settle(&mut self, now: Instant, local: &Description, remote: &Description) {
        let common = |(_, codec): &&(u8, Codec)| local.payloads.iter().any(|(_, ours)| ours == codec);
        let find = |event: bool| {
            remote.payloads.iter().filter(common).find(|(_, codec)| (*codec == Codec::Event) == event).copied()
        };
        let Some(codec) = find(false) else { return };
        let usable = remote.address.port() != 0 && !remote.address.ip().is_unspecified();
        let joinable = matches!(codec.1, Codec::Pcmu | Codec::Pcma) && remote.ptime.is_multiple_of(PTIME);
        self.settled = Some(Settled {
            frames: if joinable { u32::from(remote.ptime / PTIME).clamp(1, 3) } else { 1 },
            to: remote.address,
            codec,
            event: find(true).map(|(format, _)| format),
            payloads: local.payloads.clone(),
            sends: usable && local.direction.sends() && remote.direction.receives(),
        });
        self.spurt = SPURT;
        self.due = Some(now + FRAME);
    }

    /// Speaks up for a moment, where it speaks little.
    pub(super) fn speak_up(&mut self, now: Instant) {
        self.spurt = SPURT;
        self.due = self.due.map(|due| due.min(now + FRAME));
    }

    /// Stops for good.
    pub(super) fn stop(&mut self) {
        self.settled = None;
        self.due = None;
    }

    /// Whether sound may be sent as things stand.
    pub(super) fn sends(&self) -> bool {
        self.settled.as_ref().is_some_and(|settled| settled.sends)
    }

    /// Where sound must come from: whence else it comes, it belongs to another call.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.settled.as_ref().map(|settled| settled.to)
    }

    /// What a payload type of an incoming packet stands for.
    pub(super) fn codec(&self, payload_type: u8) -> Option<Codec> {
        let payloads = &self.settled.as_ref()?.payloads;
        payloads.iter().find(|(format, _)| *format == payload_type).map(|(_, codec)| *codec)
    }

    /// Queues digits; false where the other side takes none.
    pub(super) fn press(&mut self, now: Instant, events: impl Iterator<Item = u8>) -> bool {
        if !self.settled.as_ref().is_some_and(|settled| settled.sends && settled.event.is_some()) {
            return false;
        }
        self.digits.extend(events);
        self.due = self.due.map(|due| due.min(now + FRAME));
        true
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.sends())
    }

    /// The packet that is due, if one is.
    pub(super) fn speak(&mut self, now: Instant) -> Option<(Vec<u8>, SocketAddr)> {
        let due = self.next_timeout().filter(|due| *due <= now)?;
        let settled = self.settled.clone()?;
        if let Speaking::Tone { pause: 0 } = self.speaking
            && let Some(event) = self.digits.pop_front()
        {
            self.speaking = Speaking::Digit { event, packet: 0, began: self.timestamp };
        }
        let packet = match (self.speaking, settled.event) {
            (Speaking::Digit { event, packet, began }, Some(format)) => {
                self.digit(format, settled.codec.1.ticks(), event, packet, began)
            }
            _ => self.sound(settled.codec, settled.frames),
        };
        self.spurt = self.spurt.saturating_sub(1);
        let idle = self.digits.is_empty() && matches!(self.speaking, Speaking::Tone { pause: 0 });
        let pause = match idle {
            true if self.talk == Talk::Sparse && self.spurt == 0 => SPARSE,
            true => FRAME * settled.frames,
            false => FRAME,
        };
        // What could not be said in time is not said later.
        let next = if due + pause + FRAME < now { now + pause } else { due + pause };
        let frames = (next - due).as_millis() as u32 / 20;
        if matches!(self.speaking, Speaking::Tone { .. }) {
            self.timestamp = self.timestamp.wrapping_add(frames.max(1) * settled.codec.1.ticks());
        }
        self.due = Some(next);
        Some((packet, settled.to))
    }

    fn sound(&mut self, (format, codec): (u8, Codec), frames: u32) -> Vec<u8> {
        if let Speaking::Tone { pause } = &mut self.speaking {
            *pause = pause.saturating_sub(1);
        }
        let payload: Vec<u8> = (0..frames).flat_map(|_| self.mouth.frame(codec)).collect();
        self.packet(format, false, self.timestamp, &payload)
    }

    fn digit(&mut self, format: u8, ticks: u32, event: u8, packet: u16, began: u32) -> Vec<u8> {
        let ended = packet >= DIGIT_PACKETS;
        let duration = (packet + 1).min(DIGIT_PACKETS) * TICKS;
        let [high, low] = duration.to_be_bytes();
        let built = self.packet(format, packet == 0, began, &[event, if ended { 0x8a } else { 0x0a }, high, low]);
        if packet + 1 == DIGIT_PACKETS + END_PACKETS {
            self.timestamp = began.wrapping_add(u32::from(DIGIT_PACKETS + END_PACKETS - 1) * ticks);
            self.speaking = Speaking::Tone { pause: PAUSE };
        } else {
            self.speaking = Speaking::Digit { event, packet: packet + 1, began };
        }
        built
    }

    fn packet(&mut self, format: u8, marked: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        RtpPacketBuilder::new()
            .payload_type(format)
            .marked(marked)
            .ssrc(self.ssrc)
            .sequence(sequence.into())
            .timestamp(timestamp)
            .payload(payload)
            .build()
            .expect("the payload type is below 128 and there is no extension")
    }
}
