//! The media plane: RTP between telephones.
//!
//! A leg is one telephone's socket, the state of the streams to and from it, and its statistics. Legs are bridged in pairs; the worker
//! that owns them turns every 5 ms, takes what came in and sends it on. The engine of the switch gives [`Command`]s and hears
//! [`Event`]s, both plain data; it never sees a packet.

pub mod command;
pub mod net;

mod bridge;
mod clock;
pub mod codec;
mod dtmf;
mod egress;
mod latch;
mod legs;
mod plane;
mod reception;
mod rtcp;
mod rtp;
mod stream;
pub mod tone;
mod worker;

pub use command::*;
pub use plane::Plane;
pub use worker::Worker;
