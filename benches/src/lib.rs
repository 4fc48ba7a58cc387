//! Benchmarks: the floors, the load, and what the switch costs beside both. `README.md` says how to run them and what came of it.
//!
//! Nothing here uses the switch's own code: it is put under load from outside, as its users do it.

pub mod experiment;
pub mod floor;
pub mod load;
pub mod process;
pub mod report;
pub mod sample;
pub mod sip;
pub mod sockets;
pub mod target;
