//! The harness: what the scenarios in `tests/` are played with.

pub mod world;
