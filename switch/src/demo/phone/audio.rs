//! Sound to packets and back in each of the telephone's codecs; those of the media plane do the work.

use media::codec::g711::Law;
use media::codec::{g722, opus};
use media::tone::Sine;

use super::sdp::Codec;

/// The rate of what is kept of the sound heard.
pub(super) const RATE: u32 = 8000;
/// Samples of 20 ms.
const SAMPLES: usize = 160;
/// Opus has so many for one of ours.
const OPUS: usize = opus::FRAME / SAMPLES;

/// Speaks a tone without end.
#[derive(Debug)]
pub(super) struct Mouth {
    hz: u32,
    narrow: Sine,
    wide: Sine,
    opus: Option<opus::Encoder>,
}

impl Mouth {
    pub(super) fn new(hz: u32) -> Mouth {
        let rate = RATE * OPUS as u32;
        Mouth { hz, narrow: Sine::new(hz, RATE), wide: Sine::new(hz, rate), opus: None }
    }

    /// The next 20 ms.
    pub(super) fn frame(&mut self, codec: Codec) -> Vec<u8> {
        match codec {
            Codec::Pcmu => self.g711(Law::Mu),
            Codec::Pcma => self.g711(Law::A),
            // There is no coder for it yet: this is no sound, but tells whose it is.
            Codec::G722 => vec![self.hz as u8; SAMPLES],
            Codec::Opus => self.opus(),
            Codec::Event => Vec::new(),
        }
    }

    fn g711(&mut self, law: Law) -> Vec<u8> {
        (0..SAMPLES).map(|_| law.encode(self.narrow.next_sample())).collect()
    }

    fn opus(&mut self) -> Vec<u8> {
        let encoder = match &mut self.opus {
            Some(encoder) => encoder,
            empty => empty.insert(opus::Encoder::new().expect("libopus knows 48 kHz mono")),
        };
        let samples: [i16; opus::FRAME] = std::array::from_fn(|_| self.wide.next_sample());
        let mut packet = vec![0; opus::LONGEST];
        let length = encoder.encode(&samples, &mut packet).expect("a whole frame and room for any packet");
        packet.truncate(length);
        packet
    }
}

/// Understands what comes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    opus: Option<opus::Decoder>,
    g722: Option<g722::Decoder>,
}

impl Decoder {
    /// The samples of a packet; none where it cannot be understood.
    pub(super) fn samples(&mut self, codec: Codec, payload: &[u8]) -> Vec<i16> {
        match codec {
            Codec::Pcmu => payload.iter().map(|&byte| Law::Mu.decode(byte)).collect(),
            Codec::Pcma => payload.iter().map(|&byte| Law::A.decode(byte)).collect(),
            Codec::Opus => self.opus(payload).unwrap_or_default(),
            Codec::G722 => self.g722(payload),
            Codec::Event => Vec::new(),
        }
    }

    /// The first of each two samples is enough, too.
    fn g722(&mut self, payload: &[u8]) -> Vec<i16> {
        let decoder = self.g722.get_or_insert_with(g722::Decoder::new);
        payload.iter().map(|byte| decoder.decode(*byte)[0]).collect()
    }

    /// Every sixth sample is enough for a tone below 4 kHz.
    fn opus(&mut self, payload: &[u8]) -> Option<Vec<i16>> {
        let decoder = match &mut self.opus {
            Some(decoder) => decoder,
            empty => empty.insert(opus::Decoder::new().ok()?),
        };
        let mut samples = [0; OPUS * SAMPLES * 6];
        let length = decoder.decode(Some(payload), &mut samples).ok()?;
        Some(samples[..length].iter().step_by(OPUS).copied().collect())
    }
}
