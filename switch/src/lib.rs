//! The telephony switch: SIP, call control and the threads around them.
//!
//! Start at [`node`]: the whole switch without I/O. [`control`] is the thread that feeds it, [`engine`] the half that handles calls.

<<<<<<< HEAD
mod auth;
mod call;
mod endpoint;
pub mod engine;
mod metrics;
=======
pub mod clock;
pub mod config;
pub mod console;
pub mod entropy;
pub mod helpers;
pub mod log;
pub mod net;
>>>>>>> store
pub mod node;
mod ports;
mod registrar;
mod service;
pub mod sip;
