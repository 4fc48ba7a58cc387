//! The telephony switch: SIP, call control and the threads around them.
//!
//! Start at [`node`]: the whole switch without I/O. [`control`] is the thread that feeds it, [`engine`] the half that handles calls.

pub mod demo;
pub mod node;
pub mod sip;
