//! From samples to packets in every codec. The build script has this file, too: what the product ships is encoded when it is built.

use crate::codec::g711::Law;
use crate::codec::{g722, opus};
use crate::resample::resample;

/// Samples a second of what is encoded.
pub const RATE: u32 = 16_000;
/// Packets a second.
pub(crate) const PACKETS: u32 = 50;
/// Samples of a packet.
pub(crate) const FRAME: usize = (RATE / PACKETS) as usize;
/// No packet is longer; of Opus, that is 200 kbit/s.
pub(crate) const LONGEST: usize = 512;

/// Packets of 20 ms, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) pcmu: Vec<u8>,
    pub(crate) pcma: Vec<u8>,
    pub(crate) g722: Vec<u8>,
    pub(crate) opus: Vec<u8>,
    /// Where the packets of `opus` end.
    pub(crate) ends: Vec<u32>,
}

/// Encodes samples at [`RATE`]; the last packet is filled up with silence.
pub(crate) fn encode(samples: &[i16]) -> Result<Encoded, opus::Error> {
    let mut samples = samples.to_vec();
    samples.resize(samples.len().next_multiple_of(FRAME), 0);
    let narrow = resample(&samples, RATE, RATE / 2);
    let law = |law: Law| narrow.iter().map(|sample| law.encode(*sample)).collect();
    let mut wide = g722::Encoder::new();
    let g722 = samples.chunks_exact(2).map(|pair| wide.encode([pair[0], pair[1]])).collect();
    let mut encoder = opus::Encoder::of_music()?;
    let (mut opus, mut ends) = (Vec::new(), Vec::new());
    for frame in samples.chunks_exact(FRAME) {
        let mut packet = [0; LONGEST];
        let length = encoder.encode(frame, &mut packet)?;
        opus.extend_from_slice(&packet[..length]);
        ends.push(opus.len() as u32);
    }
    Ok(Encoded { pcmu: law(Law::Mu), pcma: law(Law::A), g722, opus, ends })
}
