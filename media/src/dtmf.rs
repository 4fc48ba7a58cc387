//! DTMF as telephone events (RFC 4733): recognising the telephone's keys, and pressing keys towards it.

use std::time::{Duration, Instant};

use crate::clock::{duration, units};

/// Events 0-9, `*`, `#`, A-D (RFC 4733 §3.2).
const LAST_DIGIT: u8 = 15;
/// An event whose packets cease has ended (RFC 4733 §2.5.2.2 leaves it to us: several update intervals, of at most 50 ms by custom).
const CEASED: Duration = Duration::from_millis(250);
/// Between two packets of an event we send.
const STEP: Duration = Duration::from_millis(20);
/// A digit lasts so many steps.
const TONE_STEPS: u16 = 5;
/// The last packet is sent three times (RFC 4733 §2.5.1.4).
const ENDS: u16 = 3;
/// From the beginning of a digit to that of the next: 100 ms of tone, 60 ms of silence.
const PERIOD_STEPS: u32 = 8;
/// Digits that may wait.
pub(crate) const QUEUE: usize = 64;

/// The payload of a telephone-event (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payload {
    event: u8,
    end: bool,
    duration: u16,
}

impl Payload {
    fn read(bytes: &[u8]) -> Option<Payload> {
        let [event, flags, high, low] = *bytes.first_chunk()?;
        Some(Payload { event, end: flags & 0x80 != 0, duration: u16::from_be_bytes([high, low]) })
    }

    fn write(self) -> [u8; 4] {
        /// −10 dBm0, what telephones use.
        const VOLUME: u8 = 10;
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | VOLUME, high, low]
    }
}

/// A key that was pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) digit: u8,
    pub(crate) held: Duration,
}

/// Hears the telephone's keys: each exactly once, when it ends, however many of its packets were lost, doubled or late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listener {
    state: Listening,
}

#[derive(Clone, Copy, Debug, Default)]
enum Listening {
    #[default]
    Nothing,
    /// A key is down.
    Down(Press),
    /// The event that began at this timestamp is over; more of its packets may come.
    Over { timestamp: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    /// When it (or its present segment) began: its identity.
    timestamp: u32,
    duration: u16,
    /// The length of the segments before this one (RFC 4733 §2.5.1.3), in clock units.
    before: u32,
    rate: u32,
    seen: Instant,
}

impl Press {
    fn tell(&self, up: &mut impl FnMut(Key)) {
        if self.event <= LAST_DIGIT {
            let held = duration(self.before.saturating_add(u32::from(self.duration)), self.rate);
            up(Key { digit: self.event, held });
        }
    }

    /// Whether an event that begins there is the next segment of this one: a duration has 16 bits.
    fn continues_at(&self, timestamp: u32, event: u8) -> bool {
        event == self.event
            && self.duration == u16::MAX
            && timestamp == self.timestamp.wrapping_add(u32::from(u16::MAX))
    }
}

impl Listener {
    /// Takes a packet of an event; tells keys that are up now: this one, and the one before it if its end never came.
    pub(crate) fn hear(&mut self, now: Instant, timestamp: u32, payload: &[u8], rate: u32, up: &mut impl FnMut(Key)) {
        let Some(payload) = Payload::read(payload) else { return };
        let press = match self.state {
            Listening::Down(press) if press.timestamp == timestamp => {
                // A late packet must not make it shorter.
                Press { duration: press.duration.max(payload.duration), seen: now, ..press }
            }
            Listening::Down(Press { timestamp: newest, .. }) | Listening::Over { timestamp: newest }
                if !after(timestamp, newest) =>
            {
                return;
            }
            state => {
                let before = match state {
                    Listening::Down(press) if press.continues_at(timestamp, payload.event) => {
                        press.before.saturating_add(u32::from(press.duration))
                    }
                    Listening::Down(press) => {
                        press.tell(up);
                        0
                    }
                    Listening::Over { .. } | Listening::Nothing => 0,
                };
                Press { event: payload.event, timestamp, duration: payload.duration, before, rate, seen: now }
            }
        };
        self.state = if payload.end { Listening::over(press, up) } else { Listening::Down(press) };
    }

    /// Time passed: tells a key whose packets ceased.
    pub(crate) fn expire(&mut self, now: Instant, up: &mut impl FnMut(Key)) {
        if let Listening::Down(press) = self.state
            && now.saturating_duration_since(press.seen) >= CEASED
        {
            self.state = Listening::over(press, up);
        }
    }

    /// When a key that is down would be told, if nothing more came of it.
    pub(crate) fn expires(&self) -> Option<Instant> {
        match self.state {
            Listening::Down(press) => Some(press.seen + CEASED),
            Listening::Nothing | Listening::Over { .. } => None,
        }
    }

    /// The source of the packets changed, and with it the meaning of timestamps: tells a key that was down.
    pub(crate) fn restart(&mut self, up: &mut impl FnMut(Key)) {
        if let Listening::Down(press) = self.state {
            Listening::over(press, up);
        }
        self.state = Listening::Nothing;
    }
}

impl Listening {
    fn over(press: Press, up: &mut impl FnMut(Key)) -> Listening {
        press.tell(up);
        Listening::Over { timestamp: press.timestamp }
    }
}

/// Whether a timestamp is later than another, around the wrap.
fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Presses keys towards the telephone, one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    waiting: [u8; QUEUE],
    count: usize,
    state: Pressing,
}

#[derive(Clone, Copy, Debug)]
enum Pressing {
    /// No digit sounds; the next may begin at this instant, or (`None`) at once.
    Pause(Option<Instant>),
    /// A digit sounds, or its end is being repeated.
    Sounding(Tone),
}

#[derive(Clone, Copy, Debug)]
struct Tone {
    digit: u8,
    began: Instant,
    /// That of all its packets.
    timestamp: u32,
    /// How many went out.
    packets: u16,
    /// When the next does.
    due: Instant,
}

/// What to send of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The first packet has the marker.
    pub(crate) first: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: [u8; 4],
}

impl Generator {
    pub(crate) fn new() -> Generator {
        Generator { waiting: [0; QUEUE], count: 0, state: Pressing::Pause(None) }
    }

    /// Queues digits; the number of those refused, because too many wait or because they are none.
    pub(crate) fn push(&mut self, digits: &[u8]) -> usize {
        let mut refused = 0;
        for &digit in digits {
            if digit > LAST_DIGIT || self.count == QUEUE {
                refused += 1;
            } else {
                self.waiting[self.count] = digit;
                self.count += 1;
            }
        }
        refused
    }

    /// Whether a digit sounds, so that nothing else may.
    pub(crate) fn sounding(&self) -> bool {
        matches!(self.state, Pressing::Sounding(_))
    }

    /// Whether [`step`](Self::step) would have something to do, now or later.
    pub(crate) fn busy(&self) -> bool {
        self.count > 0 || self.sounding()
    }

    /// When [`step`](Self::step) next has something to do; at once, it says as `now`.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        match self.state {
            Pressing::Pause(until) => (self.count > 0).then_some(until.unwrap_or(now)),
            Pressing::Sounding(tone) => Some(tone.due),
        }
    }

    /// Gives up what sounds and what waits; the number of digits that were not sent to their end.
    pub(crate) fn clear(&mut self) -> usize {
        let lost = self.count + usize::from(self.sounding());
        (self.count, self.state) = (0, Pressing::Pause(None));
        lost
    }

    /// The packet due now, if any; one call a turn. Durations count in units of `rate`; `begin` gives an event its timestamp.
    pub(crate) fn step(&mut self, now: Instant, rate: u32, begin: impl FnOnce() -> u32) -> Option<Step> {
        let tone = match self.state {
            Pressing::Pause(until) if self.count > 0 && until.is_none_or(|until| now >= until) => {
                let digit = self.waiting[0];
                self.waiting.copy_within(1..self.count, 0);
                self.count -= 1;
                Tone { digit, began: now, timestamp: begin(), packets: 0, due: now }
            }
            Pressing::Sounding(tone) if now >= tone.due => tone,
            Pressing::Pause(_) | Pressing::Sounding(_) => return None,
        };
        self.state = if tone.packets + 1 == TONE_STEPS + ENDS {
            Pressing::Pause(Some(tone.began + STEP * PERIOD_STEPS))
        } else {
            // A turn that came late is followed by the next one, not by a burst.
            Pressing::Sounding(Tone { packets: tone.packets + 1, due: (tone.due + STEP).max(now), ..tone })
        };
        // A packet tells how long the tone lasts up to the next one.
        let lasts = STEP * u32::from((tone.packets + 1).min(TONE_STEPS));
        let end = tone.packets >= TONE_STEPS;
        let payload = Payload { event: tone.digit, end, duration: units(lasts, rate) as u16 };
        Some(Step { first: tone.packets == 0, timestamp: tone.timestamp, payload: payload.write() })
    }
}

#[cfg(test)]
mod tests;
