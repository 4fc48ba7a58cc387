//! SIP as a protocol (RFC 3261 and what surrounds it), without I/O and without any idea of a telephone system.

pub mod body;
pub mod dialog;
pub mod digest;
pub mod diversion;
pub mod event;
pub mod flow;
pub mod header;
mod lex;
pub mod message;
pub mod redact;
pub mod replaces;
pub mod sdp;
pub mod session_timer;
pub mod stun;
pub mod timer;
pub mod transaction;
pub mod uri;
pub mod wire;

#[cfg(test)]
mod tests;
