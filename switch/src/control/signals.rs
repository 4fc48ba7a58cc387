//! The signals of the process: TERM and INT end it in order, a second one at once; HUP has the configuration read again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use super::{EndError, Running};
use crate::supervisor::Supervisor;

/// From its making on, the process no longer ends by itself on TERM, INT and HUP.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// How a switch ended.
pub enum Ending {
    /// By itself or by one signal.
    InOrder(Result<(), EndError>),
    /// By a second signal: running calls were not ended, what was confirmed as stored is.
    AtOnce,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take() -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        drop(context);
        Ok(Signals { runtime, terminate, interrupt, hang_up })
    }

    /// Waits for the end of a switch: its own, or that by signals. HUP calls `reread`.
    pub fn wait(self, mut running: Running, supervisor: &Supervisor, mut reread: impl FnMut(&Running)) -> Ending {
        let Signals { runtime, mut terminate, mut interrupt, mut hang_up } = self;
        let mut asked = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let ended = runtime.block_on(async {
            loop {
                tokio::select! {
                    () = running.ended() => return true,
                    () = asked() => break,
                    _ = hang_up.recv() => {}
                }
                supervisor.reloading();
                reread(&running);
                supervisor.ready();
            }
            supervisor.stopping();
            running.stop();
            tokio::select! {
                () = running.ended() => true,
                () = asked() => false,
            }
        });
        if ended {
            Ending::InOrder(running.join())
        } else {
            warn!("a second signal: ending at once");
            Ending::AtOnce
        }
    }
}
