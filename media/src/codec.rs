//! Sound to payload and back, for what speaks and listens inside the switch and for the test telephones. Bridged legs pass payloads through.

pub mod g711;
pub mod g722;
pub mod opus;
