//! The thread that owns the store.
//!
//! Whatever waits when it turns goes into one commit. As a commit takes milliseconds, requests batch by themselves under load, and a single
//! one is never made to wait for company. After each commit, and when nothing waits, it removes what call history has too much of
//! ([`trim`](super::trim)).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::trim::{HistoryLimits, Trimmer};
use super::{Reply, Request, Store, StoreError, run};
use crate::time::Wall;

/// Requests that may wait; one more is refused at once.
pub const QUEUE: usize = 4096;

/// Requests in one commit.
const BATCH: usize = 1024;

/// Between two looks for records that have become too old.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// The store thread, as those who ask it see it. `T` names a request until its answer.
#[derive(Debug)]
pub struct StoreThread<T> {
    requests: SyncSender<(T, Request)>,
    trimmed: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl<T: Send + 'static> StoreThread<T> {
    /// Starts it. `answer` is called on the store's thread, once for each request that was taken, in their order.
    pub fn start(
        store: Box<dyn Store + Send>,
        limits: HistoryLimits,
        answer: impl FnMut(T, Result<Reply, StoreError>) + Send + 'static,
    ) -> io::Result<StoreThread<T>> {
        let (requests, queue) = mpsc::sync_channel(QUEUE);
        let trimmed = Arc::new(AtomicU64::new(0));
        let trim = Trim { trimmer: Trimmer::new(limits), next_sweep: Instant::now(), trimmed: Arc::clone(&trimmed) };
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || serve(store, &queue, trim, answer))?;
        Ok(StoreThread { requests, trimmed, thread })
    }

    /// Call records removed since the start, because there were too many or they were too old.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Relaxed)
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
    mut trim: Trim,
    mut answer: impl FnMut(T, Result<Reply, StoreError>),
) -> Result<(), StoreError> {
    loop {
        match queue.recv_timeout(trim.pause()) {
            Ok(first) => {
                let mut batch = vec![first];
                batch.extend(queue.try_iter().take(BATCH - 1));
                let replies = run(&mut *store, batch.iter().map(|(_, request)| request));
                for ((tag, request), reply) in batch.into_iter().zip(replies) {
                    if reply.is_ok() {
                        trim.trimmer.note(&request);
                    }
                    answer(tag, reply);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return store.close(),
        }
        trim.turn(&mut *store);
    }
}

/// The trimmer, and when it looks at everybody.
struct Trim {
    trimmer: Trimmer,
    next_sweep: Instant,
    trimmed: Arc<AtomicU64>,
}

impl Trim {
    /// How long nothing has to be done.
    fn pause(&self) -> Duration {
        match self.trimmer.is_due() {
            true => Duration::ZERO,
            false => self.next_sweep.saturating_duration_since(Instant::now()),
        }
    }

    fn turn(&mut self, store: &mut dyn Store) {
        if let Err(error) = self.try_turn(store) {
            tracing::warn!(%error, "call history could not be trimmed");
        }
    }

    fn try_turn(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.next_sweep <= Instant::now() {
            self.next_sweep += SWEEP;
            self.trimmer.sweep(store)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let removed = self.trimmer.turn(store, Wall(now.as_millis() as u64))?;
        self.trimmed.fetch_add(removed as u64, Ordering::Relaxed);
        Ok(())
    }
}
