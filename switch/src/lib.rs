//! The telephony switch: SIP, call control and the threads around them.
//!
//! Start at [`node`]: the whole switch without I/O. [`control`] is the thread that feeds it, [`engine`] the half that handles calls.

pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod entropy;
pub mod helpers;
pub mod log;
pub mod net;
pub mod node;
pub mod sip;
