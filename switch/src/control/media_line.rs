//! The way of commands to the media plane.
//!
//! A worker takes its commands at its tick. When its queue is full, commands wait here, in order, until it has turned.

use std::io;

use tokio::sync::mpsc;

use crate::config;
use crate::node::{Input, WorkerId};

/// The media plane, and what waits for it.
pub(super) struct MediaLine {
    ports: Vec<(WorkerId, media::Port)>,
}

impl MediaLine {
    pub(super) fn start(_config: &config::Media, _tell: mpsc::Sender<Input>) -> io::Result<MediaLine> {
        Ok(MediaLine { ports: Vec::new() })
    }

    pub(super) fn ports(&self) -> Vec<(WorkerId, media::Port)> {
        self.ports.clone()
    }

    pub(super) fn send(&mut self, _worker: WorkerId, _command: media::Command) {}
}
