//! The thread that owns the store.
//!
//! Whatever waits when it turns goes into one commit. As a commit takes milliseconds, requests batch by themselves under load, and a single
//! one is never made to wait for company.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;

use super::{Reply, Request, Store, StoreError, run};

/// Requests that may wait; one more is refused at once.
pub const QUEUE: usize = 4096;

/// Requests in one commit.
const BATCH: usize = 1024;

/// The store thread, as those who ask it see it. `T` names a request until its answer.
#[derive(Debug)]
pub struct StoreThread<T> {
    requests: SyncSender<(T, Request)>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl<T: Send + 'static> StoreThread<T> {
    /// Starts it. `answer` is called on the store's thread, once for each request that was taken, in their order.
    pub fn start(
        store: Box<dyn Store + Send>,
        answer: impl FnMut(T, Result<Reply, StoreError>) + Send + 'static,
    ) -> io::Result<StoreThread<T>> {
        let (requests, queue) = mpsc::sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("store".to_owned()).spawn(move || serve(store, &queue, answer))?;
        Ok(StoreThread { requests, thread })
    }

    /// Hands a request over without waiting. One that comes back will not be answered by the thread: the queue is full, or the thread has
    /// gone.
    pub fn submit(&self, tag: T, request: Request) -> Result<(), (T, StoreError)> {
        self.requests.try_send((tag, request)).map_err(|error| match error {
            TrySendError::Full((tag, _)) => (tag, StoreError(format!("more than {QUEUE} requests wait for the disk"))),
            TrySendError::Disconnected((tag, _)) => (tag, StoreError("the store has ended".to_owned())),
        })
    }

    /// Ends it: everything handed over before is done and answered, and the store is closed.
    pub fn stop(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.thread.join().unwrap_or_else(|_| Err(StoreError("the store thread has panicked".to_owned())))
    }
}

fn serve<T>(
    mut store: Box<dyn Store + Send>,
    queue: &Receiver<(T, Request)>,
    mut answer: impl FnMut(T, Result<Reply, StoreError>),
) -> Result<(), StoreError> {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH - 1));
        let replies = run(&mut *store, batch.iter().map(|(_, request)| request));
        for ((tag, _), reply) in batch.into_iter().zip(replies) {
            answer(tag, reply);
        }
    }
    store.close()
}
