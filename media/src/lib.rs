//! The media plane: RTP between telephones.
//!
//! A leg is one telephone's socket, the state of the streams to and from it, and its statistics. Legs are bridged in pairs; the worker
//! that owns them turns every 5 ms, takes what came in and sends it on. The engine of the switch gives [`Command`]s and hears
//! [`Event`]s, both plain data; it never sees a packet.

pub mod command;

pub use command::*;
