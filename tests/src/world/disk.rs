//! The disk under the world's store: well, full, failing now and then, or broken.

use cas::store::Request;
use rand_chacha::ChaCha8Rng;

use super::network::below;

/// What the store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// Everything.
    Well,
    /// Read.
    Full,
    /// Now this, now that: so many of a hundred requests fail.
    Failing(u32),
    /// Nothing.
    Broken,
}

impl Disk {
    /// More often well than not.
    pub(super) fn random(random: &mut ChaCha8Rng) -> Disk {
        match below(random, 10) {
            0..6 => Disk::Well,
            6 | 7 => Disk::Full,
            8 => Disk::Failing(10 + below(random, 80)),
            _ => Disk::Broken,
        }
    }

    /// Whether a request is done, or why not. One that fails changes nothing.
    pub(super) fn takes(self, random: &mut ChaCha8Rng, request: &Request) -> Result<(), &'static str> {
        match (self, request) {
            (Disk::Well, _) | (Disk::Full, Request::History(_)) => Ok(()),
            (Disk::Full, Request::Write(_)) => Err("the disk is full"),
            (Disk::Failing(percent), _) if below(random, 100) >= percent => Ok(()),
            (Disk::Failing(_) | Disk::Broken, _) => Err("the disk fails"),
        }
    }
}
