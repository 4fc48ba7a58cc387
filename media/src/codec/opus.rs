//! Opus (RFC 6716) as telephones use it over RTP (RFC 7587): one channel, 48,000 Hz, 20 ms a packet. The work is libopus's.

use audiopus::coder;
use audiopus::{Application, Channels, MutSignals, SampleRate};

/// Samples of a packet.
pub const FRAME: usize = 960;
/// No packet is longer: libopus's own advice.
pub const LONGEST: usize = 4000;

/// What libopus refused, in its words.
pub type Error = audiopus::Error;

/// Sound to packets.
#[derive(Debug)]
pub struct Encoder(coder::Encoder);

impl Encoder {
    /// For speech.
    pub fn new() -> Result<Encoder, Error> {
        coder::Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip).map(Encoder)
    }

    /// For music and tones that were made at 16,000 Hz; a packet of 20 ms has so many samples fewer. The listener need not know (RFC 7587 §4.1).
    pub fn of_music() -> Result<Encoder, Error> {
        coder::Encoder::new(SampleRate::Hz16000, Channels::Mono, Application::Audio).map(Encoder)
    }

    /// Encodes 20 ms; the length of the packet.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, Error> {
        self.0.encode(samples, packet)
    }
}

/// Packets to sound.
#[derive(Debug)]
pub struct Decoder(coder::Decoder);

impl Decoder {
    /// With nothing heard yet.
    pub fn new() -> Result<Decoder, Error> {
        coder::Decoder::new(SampleRate::Hz48000, Channels::Mono).map(Decoder)
    }

    /// Decodes a packet, or makes up for one that was lost (`None`); the number of samples. A packet longer than the room for its samples is an
    /// error; 5760 are room for any.
    pub fn decode(&mut self, packet: Option<&[u8]>, samples: &mut [i16]) -> Result<usize, Error> {
        let packet = packet.map(TryInto::try_into).transpose()?;
        self.0.decode(packet, MutSignals::try_from(samples)?, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Sine, dominant};

    #[test]
    fn a_tone_is_the_same_tone_afterwards_even_with_a_packet_lost() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let mut tone = Sine::new(440, 48_000);
        let mut heard = Vec::new();
        for n in 0..25 {
            let (mut packet, mut samples) = ([0; LONGEST], [0; FRAME]);
            let spoken: [i16; FRAME] = std::array::from_fn(|_| tone.next_sample());
            let length = encoder.encode(&spoken, &mut packet).unwrap();
            let packet = (n != 10).then_some(&packet[..length]);
            assert_eq!(decoder.decode(packet, &mut samples).unwrap(), FRAME);
            heard.extend(samples);
        }
        assert!(dominant(&heard, 48_000).is_some_and(|hz| hz.abs_diff(440) <= 5));
    }

    #[test]
    fn bytes_that_are_no_packet_are_an_error_or_noise_but_no_panic() {
        let mut decoder = Decoder::new().unwrap();
        let mut samples = [0; 5760];
        assert!(decoder.decode(Some(&[]), &mut samples).is_err());
        for byte in 0..=255 {
            let _ = decoder.decode(Some(&[byte, 1, 2, 3, 255]), &mut samples);
        }
    }
}
