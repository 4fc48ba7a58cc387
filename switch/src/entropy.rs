//! Random bytes: the system's in the running switch, a seed's in the virtual world, so that a failure replays.

use cas::entropy::Entropy;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Entropy for System {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the kernel has random numbers from its first second on");
    }
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
    use super::*;

    fn draw(entropy: &mut dyn Entropy) -> String {
        entropy.token(16)
    }

    #[test]
    fn a_seed_repeats_and_another_seed_differs() {
        assert_eq!(draw(&mut Seeded::new(7)), draw(&mut Seeded::new(7)));
        assert_ne!(draw(&mut Seeded::new(7)), draw(&mut Seeded::new(8)));
    }

    #[test]
    fn the_system_does_not_repeat() {
        assert_ne!(draw(&mut System), draw(&mut System));
    }
}
