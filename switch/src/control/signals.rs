//! The signals of the process: TERM and INT end it in order, a second one at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use super::{EndError, Running};

/// From its making on, the process no longer ends by itself on TERM, INT and HUP.
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    /// Nothing is reread while the switch runs, and a closed terminal is no reason to end calls: HUP is taken and forgotten.
    _hang_up: Signal,
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
        Ok(Signals { runtime, terminate, interrupt, _hang_up: hang_up })
    }

    /// Waits for the end of a switch: its own, or that by signals.
    pub fn wait(self, mut running: Running) -> Ending {
        let Signals { runtime, mut terminate, mut interrupt, .. } = self;
        let mut asked = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let ended = runtime.block_on(async {
            tokio::select! {
                () = running.ended() => return true,
                () = asked() => running.stop(),
            }
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
