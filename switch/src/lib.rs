//! The telephony switch: SIP, call control and the threads around them.
//!
//! Start at [`node`]: the whole switch without I/O. [`control`] is the thread that feeds it, [`engine`] the half that handles calls.

mod auth;
mod call;
mod endpoint;
pub mod engine;
mod metrics;
pub mod node;
mod ports;
mod registrar;
mod service;
pub mod sip;
