//! The end of the switch: reached in order, or because a thread of it has panicked.
//!
//! A switch without its media or its store would look alive and serve nobody. Where one of its threads panics all of it ends, and whoever
//! supervises it starts it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::Notify;
use tracing::error;

/// Whether there is anything left to serve.
#[derive(Debug, Default)]
pub(super) struct Over {
    told: Notify,
    broken: AtomicBool,
}

impl Over {
    /// The node has stopped.
    pub(super) fn tell(&self) {
        self.told.notify_one();
    }

    /// Waits for the end, one waiter at a time.
    pub(super) async fn wait(&self) {
        self.told.notified().await;
    }

    /// Whether a thread has panicked: the node may be in a state that no step may find it in.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// Held by what must not end in a panic: a step, and the voice of every other thread.
#[derive(Clone)]
pub(super) struct Watch(pub(super) Arc<Over>);

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            error!(thread = thread::current().name(), "a thread has panicked: the switch ends");
            self.0.broken.store(true, Ordering::Relaxed);
            self.0.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_ends_the_switch_and_one_that_ends_does_not() {
        let over = Arc::new(Over::default());
        let watch = Watch(Arc::clone(&over));
        thread::spawn({
            let watch = watch.clone();
            move || drop(watch)
        })
        .join()
        .unwrap();
        assert!(!over.is_broken());

        let voice = move || drop(watch.clone());
        thread::spawn(move || {
            voice();
            panic!("as a test")
        })
        .join()
        .unwrap_err();
        assert!(over.is_broken());
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(over.wait());
    }
}
