//! Where unpredictable bytes come from: the system in the running switch, a seed in the virtual world.

/// A source of cryptographically strong bytes.
pub trait Entropy {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Ready-made draws from any [`Entropy`].
impl dyn Entropy + '_ {
    /// A number uniform over all of `u64`.
    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// `bytes` random bytes, at most 32, as lower-case hexadecimal: tags, branches, session tokens.
    pub fn token(&mut self, bytes: usize) -> String {
        let mut raw = [0; 32];
        let raw = &mut raw[..bytes];
        self.fill(raw);
        let mut text = String::with_capacity(2 * bytes);
        for byte in raw.iter() {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        text
    }

    /// A password or SIP secret: 80 bits in 16 letters and digits that are not mistaken for one another when typed into a phone.
    pub fn secret(&mut self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }
}
