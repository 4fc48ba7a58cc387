//! G.711: a logarithmic byte for each sample at 8000 Hz, in the two laws of the world.

/// One of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// µ-law: North America, Japan.
    Mu,
    /// A-law: the rest.
    A,
}

impl Law {
    /// A 16-bit sample as a byte.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => encode_mu(sample),
            Law::A => encode_a(sample),
        }
    }

    /// A byte as a 16-bit sample.
    pub fn decode(self, byte: u8) -> i16 {
        let table = match self {
            Law::Mu => &MU,
            Law::A => &A,
        };
        table[usize::from(byte)]
    }
}

static MU: [i16; 256] = table(Law::Mu);
static A: [i16; 256] = table(Law::A);

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match law {
            Law::Mu => decode_mu(byte as u8),
            Law::A => decode_a(byte as u8),
        };
        byte += 1;
    }
    table
}

/// Added before the segment is found, so that segments begin at powers of two; in 16-bit units.
const BIAS: i32 = 0x84;
/// The largest magnitude µ-law has.
const CLIP: i32 = 32_635;

/// Table 2a of G.711: sign, segment, interval, all bits inverted.
fn encode_mu(sample: i16) -> u8 {
    // The one's complement, as the reference code of the ITU (G.191) takes it; so it cannot overflow.
    let magnitude = i32::from(if sample < 0 { !sample } else { sample }).min(CLIP) + BIAS;
    // The bias makes bit 7 the lowest that can be the highest.
    let segment = 24 - magnitude.leading_zeros();
    let interval = (magnitude >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment as u8) << 4 | interval as u8)
}

const fn decode_mu(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((byte & 0x0f) as i32) << 3 | BIAS) << ((byte >> 4) & 7);
    let magnitude = (magnitude - BIAS) as i16;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

/// Table 1a of G.711: sign, segment, interval, even bits inverted. Positive values have the sign bit set.
fn encode_a(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    // Segments 0 and 1 have the same width; above, each is twice the one below.
    let segment = 24u32.saturating_sub((magnitude as u32).leading_zeros());
    let interval = (magnitude >> (segment.max(1) + 3)) & 0x0f;
    (sign | (segment as u8) << 4 | interval as u8) ^ 0x55
}

const fn decode_a(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = (byte >> 4) & 7;
    // The middle of the interval.
    let interval = ((byte & 0x0f) as i16) << 4 | 8;
    let magnitude = if segment == 0 { interval } else { (interval | 0x100) << (segment - 1) };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_mu_law() {
        for (byte, sample) in
            [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xfe, 8), (0x7e, -8), (0xf0, 120), (0xef, 132)]
        {
            assert_eq!(Law::Mu.decode(byte), sample, "{byte:#x}");
        }
        for (sample, byte) in [(0, 0xff), (i16::MAX, 0x80), (i16::MIN, 0x00), (-1, 0x7f), (1000, 0xce), (-1000, 0x4e)] {
            assert_eq!(Law::Mu.encode(sample), byte, "{sample}");
        }
    }

    #[test]
    fn known_values_of_a_law() {
        for (byte, sample) in [(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0xc5, 264), (0xf5, 528)] {
            assert_eq!(Law::A.decode(byte), sample, "{byte:#x}");
        }
        for (sample, byte) in [(0, 0xd5), (-1, 0x55), (i16::MAX, 0xaa), (i16::MIN, 0x2a), (1000, 0xfa), (-1000, 0x7a)] {
            assert_eq!(Law::A.encode(sample), byte, "{sample}");
        }
    }

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in 0..=255u8 {
            // µ-law has two zeros.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(byte)), expected);
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte);
        }
    }

    /// FNV-1a over the codes of all samples: what the formulas of the ITU's reference code (G.191) give.
    #[test]
    fn every_sample_has_the_code_of_the_reference() {
        for (law, expected) in [(Law::Mu, 0x04ec_1f08_3fd7_8c2d), (Law::A, 0xf030_666e_b780_cf25)] {
            let hash = (i16::MIN..=i16::MAX).fold(0xcbf2_9ce4_8422_2325u64, |hash, sample| {
                (hash ^ u64::from(law.encode(sample))).wrapping_mul(0x100_0000_01b3)
            });
            assert_eq!(hash, expected, "{law:?} {hash:#x}");
        }
    }

    #[test]
    fn every_sample_is_off_by_half_an_interval_at_most() {
        for law in [Law::Mu, Law::A] {
            // What is above the last interval is cut.
            for sample in -32_635..=32_635i16 {
                let decoded = i32::from(law.decode(law.encode(sample)));
                let off = (decoded - i32::from(sample)).abs();
                assert!(off <= decoded.abs() / 32 + 8, "{law:?} {sample}");
            }
        }
    }
}
