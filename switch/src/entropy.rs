//! Random bytes: the system's in the running switch, a seed's in the virtual world, so that a failure replays.

use cas::entropy::Entropy;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The kernel's random numbers, some drawn ahead: a call needs a dozen small ones, and a system call for each would be felt.
#[derive(Debug, Default)]
pub struct System {
    ahead: Vec<u8>,
}

/// How many bytes are drawn at a time: the kernel gives so many in one piece.
const AHEAD: usize = 256;

impl Entropy for System {
    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > AHEAD {
            return draw(out);
        }
        if self.ahead.len() < out.len() {
            self.ahead.resize(AHEAD, 0);
            draw(&mut self.ahead);
        }
        // What was handed out is nowhere else any more.
        let kept = self.ahead.len() - out.len();
        out.copy_from_slice(&self.ahead[kept..]);
        self.ahead[kept..].fill(0);
        self.ahead.truncate(kept);
    }
}

fn draw(out: &mut [u8]) {
    getrandom::fill(out).expect("the kernel has random numbers from its first second on");
}

/// The same bytes for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Seeded(ChaCha20Rng);

impl Seeded {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Seeded {
        Seeded(ChaCha20Rng::seed_from_u64(seed))
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn token(entropy: &mut dyn Entropy) -> String {
        entropy.token(16)
    }

    #[test]
    fn a_seed_repeats_and_another_seed_differs() {
        assert_eq!(token(&mut Seeded::new(7)), token(&mut Seeded::new(7)));
        assert_ne!(token(&mut Seeded::new(7)), token(&mut Seeded::new(8)));
    }

    #[test]
    fn the_system_does_not_repeat() {
        let mut system = System::default();
        let drawn: Vec<String> = (0..100).map(|_| token(&mut system)).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
        assert_ne!(token(&mut System::default()), token(&mut System::default()));
    }

    #[test]
    fn more_than_is_drawn_ahead_is_drawn_whole() {
        let mut out = [0; 3 * AHEAD];
        System::default().fill(&mut out);
        assert!(out.chunks(16).all(|chunk| chunk != [0; 16]));
    }
}
