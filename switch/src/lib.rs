//! The telephony switch: SIP, call control and the threads around them.
//!
//! Start at [`node`]: the whole switch without I/O. [`control`] is the thread that feeds it, [`engine`] the half that handles calls.

#![forbid(unsafe_code)]

mod audit;
mod auth;
mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod control;
pub mod demo;
mod endpoint;
pub mod engine;
pub mod entropy;
pub mod helpers;
pub mod histogram;
mod journal;
pub mod log;
mod metrics;
pub mod net;
pub mod node;
mod ports;
mod registrar;
mod seats;
mod service;
pub mod sip;
pub mod sounds;
mod subscribe;
pub mod supervisor;
pub mod trace;
