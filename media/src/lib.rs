//! The media plane: RTP between telephones.
//!
//! A leg is one telephone's socket, the state of the streams to and from it, and its statistics. Legs are bridged in pairs; the worker
//! that owns them turns every 5 ms, takes what came in and sends it on. The engine of the switch gives [`Command`]s and hears
//! [`Event`]s, both plain data; it never sees a packet.
//!
//! # The walk of a packet
//!
//! 1. [`net`]: [`Worker::turn`] asks the socket of each leg for what waits there, a bounded number of datagrams, into the worker's one buffer.
//! 2. `stream` (`Leg::ingress`), in this order: is it RTP of an agreed payload type (`rtp`); may its source speak here (`latch`); do we want
//!    to hear it; is it new, late, doubled or astray, and what does it say of the line (`reception`); is it a key (`dtmf`).
//! 3. `bridge`: which leg hears it, perhaps its own.
//! 4. `stream` (`Leg::relay`) of that leg: does its telephone want it, under which payload type, and where does it go in the one continuous stream
//!    the telephone hears (`egress`). The header is rewritten in the buffer where it lies.
//! 5. [`net`]: sent, before the next datagram is taken.
//!
//! A leg to which a sound of the switch's own is played ([`sound`], `player`) hears that instead: step 4 ends for it, and each 20 ms `Leg::tick` sends the
//! bytes that lie ready, in the same one stream.
//!
//! On this way nothing is allocated and no lock is taken (`tests/no_alloc.rs` counts). What only time brings (reports, digits of ours, keys that ended
//! unseen, silence) is done in the same turn, leg by leg (`Leg::tick`).
//!
//! # Threads
//!
//! [`Worker`] is pure: time and network are handed in, so that tests drive it in virtual time. [`Plane`] is one thread around each, with real sockets
//! ([`net::Sweep`]), the clock, and its queue of commands. A thread sleeps from tick to tick, and parks when it has no leg.
//!
//! All legs of a bridge sit on one thread. Where two that are to be joined do not, the engine moves one: [`Command::Detach`] takes the whole [`Leg`] out
//! of its worker, and [`Command::Attach`] puts it into another. There is only ever one of it, so that no packet is handled twice; what comes while it is
//! under way waits in its socket, which every thread can reach. The threads share nothing else.

pub mod codec;
pub mod command;
pub mod net;
pub mod sound;
pub mod tap;
pub mod tone;

mod bridge;
mod clock;
mod dtmf;
mod egress;
mod latch;
mod lateness;
mod legs;
mod outbox;
mod plane;
mod player;
mod reception;
mod resample;
mod rtcp;
mod rtp;
mod stream;
#[cfg(test)]
mod tests;
mod worker;

pub use command::*;
pub use lateness::{BOUNDS_US, Lateness};
pub use plane::Plane;
pub use resample::resample;
pub use sound::Sound;
pub use worker::Worker;
