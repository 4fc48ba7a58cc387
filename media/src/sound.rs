//! Sounds of the switch's own: music, tones, announcements.
//!
//! A [`Sound`] is encoded once, in each codec that legs may have, when it is made; whoever hears it is sent the bytes that lie there. It is made away from
//! the media threads ([`Sound::encode`] takes its time), and given to them by [`Command::Learn`](crate::Command::Learn).

mod encode;
#[cfg(test)]
mod music;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use self::encode::Encoded;
pub use self::encode::RATE;
pub(crate) use self::encode::{LONGEST, PACKETS};
use crate::codec::opus;
use crate::command::{Codec, SoundId};

/// Bytes of a packet at 64 kbit/s.
const BYTES: usize = 160;

/// Sound in packets of 20 ms, in every codec there is.
#[derive(Clone, PartialEq, Eq)]
pub struct Sound {
    pcmu: Cow<'static, [u8]>,
    pcma: Cow<'static, [u8]>,
    g722: Cow<'static, [u8]>,
    opus: Cow<'static, [u8]>,
    /// Where the packets of `opus` end.
    ends: Cow<'static, [u32]>,
}

/// A sound that was encoded when the switch was built.
struct Shipped {
    name: &'static str,
    pcmu: &'static [u8],
    pcma: &'static [u8],
    g722: &'static [u8],
    opus: &'static [u8],
    ends: &'static [u32],
}

/// All of them, the music first (`build.rs`).
static SHIPPED: &[Shipped] = &include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Why samples are no sound.
#[derive(Debug)]
pub enum SoundError {
    /// There are none.
    Empty,
    /// libopus.
    Opus(opus::Error),
}

impl fmt::Display for SoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SoundError::Empty => f.write_str("there is no sound in it"),
            SoundError::Opus(error) => write!(f, "libopus: {error}"),
        }
    }
}

impl std::error::Error for SoundError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SoundError::Empty => None,
            SoundError::Opus(error) => Some(error),
        }
    }
}

impl Sound {
    /// Encodes samples at [`RATE`]; the last packet is filled up with silence. Takes some milliseconds for each second of sound.
    pub fn encode(samples: &[i16]) -> Result<Sound, SoundError> {
        if samples.is_empty() {
            return Err(SoundError::Empty);
        }
        let Encoded { pcmu, pcma, g722, opus, ends } = encode::encode(samples).map_err(SoundError::Opus)?;
        let [pcmu, pcma, g722, opus] = [pcmu, pcma, g722, opus].map(Cow::Owned);
        Ok(Sound { pcmu, pcma, g722, opus, ends: Cow::Owned(ends) })
    }

    /// The music that comes with the switch: composed and encoded when it was built (`sound/music.rs`), a loop of 51.2 seconds.
    pub fn music() -> Sound {
        Sound::shipped(&SHIPPED[0])
    }

    /// One of the phrases that come with the switch, by its name in `speech/phrases.txt`.
    pub fn phrase(name: &str) -> Option<Sound> {
        SHIPPED[1..].iter().find(|shipped| shipped.name == name).map(Sound::shipped)
    }

    fn shipped(shipped: &'static Shipped) -> Sound {
        let Shipped { pcmu, pcma, g722, opus, ends, .. } = *shipped;
        let [pcmu, pcma, g722, opus] = [pcmu, pcma, g722, opus].map(Cow::Borrowed);
        Sound { pcmu, pcma, g722, opus, ends: Cow::Borrowed(ends) }
    }

    /// What is heard when nothing is to be heard: a second of silence.
    pub fn silence() -> Result<Sound, SoundError> {
        Sound::encode(&[0; RATE as usize])
    }

    /// How many packets it has: at least one.
    pub fn packets(&self) -> u32 {
        (self.pcmu.len() / BYTES) as u32
    }

    /// The payload of a packet, counted from 0 and round the end. `None` for what is no sound (telephone-events).
    pub fn payload(&self, codec: Codec, packet: u32) -> Option<&[u8]> {
        let packet = (packet % self.packets().max(1)) as usize;
        match codec {
            Codec::Pcmu => self.pcmu.get(plain(packet)),
            Codec::Pcma => self.pcma.get(plain(packet)),
            Codec::G722 => self.g722.get(plain(packet)),
            Codec::Opus => {
                let begin = packet.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
                self.opus.get(begin as usize..*self.ends.get(packet)? as usize)
            }
            Codec::TelephoneEvent { .. } => None,
        }
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound of {} packets", self.packets())
    }
}

fn plain(packet: usize) -> Range<usize> {
    packet * BYTES..(packet + 1) * BYTES
}

/// The sounds a worker knows.
#[derive(Debug, Default)]
pub(crate) struct Sounds(Vec<Option<Arc<Sound>>>);

impl Sounds {
    /// Takes a sound, in the place of the one that had its name.
    pub(crate) fn learn(&mut self, SoundId(id): SoundId, sound: Arc<Sound>) {
        let at = usize::from(id);
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(sound);
    }

    pub(crate) fn get(&self, SoundId(id): SoundId) -> Option<&Sound> {
        self.0.get(usize::from(id))?.as_deref()
    }
}
