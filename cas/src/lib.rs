//! The Client Application Server: what a telephone user's clients ask for and are told.
//!
//! [`Cas`](crate::cas::Cas) answers messages without doing I/O: it is handed requests and events by the node that owns it, asks the
//! call-control engine through [`CallControl`](control::CallControl) as a plain function, and queues [`cas::Output`]s. [`site`] is the
//! data both sides read (users, devices, numbers); [`store`] keeps it; [`http`] is the only place that touches sockets.

#![forbid(unsafe_code)]

pub mod attempts;
mod boundary;
mod bulk;
pub mod cas;
pub mod control;
mod core;
pub mod entropy;
mod event;
mod gone;
pub mod http;
mod modes;
mod password;
mod permission;
mod repeat;
mod session;
pub mod site;
pub mod store;
mod subscription;
pub mod time;
mod topic;
mod wire;
