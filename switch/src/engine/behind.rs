//! What is written behind: refreshes and ends of registrations, call records, last calls. Nobody waits for it, so it goes to the store together, a few times a second:
//! a commit for each would cost more than the call it tells of.

use std::collections::BTreeSet;
use std::time::Duration;

use cas::site::UserId;
use cas::store::{Change, HistoryRecord, RequestId};

use super::{At, Engine};
use crate::endpoint::Timer;

/// How long the first of them waits for others.
const DELAY: Duration = Duration::from_millis(200);
/// After a failure of the store.
const RETRY: Duration = Duration::from_secs(10);
/// So many wait for no others.
const FULL: usize = 500;

/// What waits for company.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    changes: Vec<Change>,
    records: Vec<HistoryRecord>,
    /// Users whose last calls are others than the store has.
    last_calls: BTreeSet<UserId>,
}

impl Behind {
    fn len(&self) -> usize {
        self.changes.len() + self.records.len() + self.last_calls.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Engine {
    pub(super) fn write_behind(&mut self, at: At<'_>, changes: Vec<Change>) {
        self.behind.changes.extend(changes);
        self.watch_behind(at);
    }

    /// The record of a call that has ended, or of one of its ends.
    pub(crate) fn write_history(&mut self, at: At<'_>, record: HistoryRecord) {
        self.behind.records.push(record);
        self.watch_behind(at);
    }

    /// A user's last calls are others now.
    pub(crate) fn write_last_calls(&mut self, at: At<'_>, user: UserId) {
        self.behind.last_calls.insert(user);
        self.watch_behind(at);
    }

    /// The store has answered; whether it was about last calls. What it could not take is tried again.
    pub(super) fn last_calls_stored(&mut self, at: At<'_>, id: RequestId, written: bool) -> bool {
        let Some(users) = self.last_calls.stored(id) else { return false };
        if !written {
            self.behind.last_calls.extend(users);
            if !self.behind.is_empty() && !self.endpoint.timers.is_armed(Timer::Behind) {
                self.endpoint.timers.set(Timer::Behind, at.now.mono + RETRY);
            }
        }
        true
    }

    fn watch_behind(&mut self, at: At<'_>) {
        match self.behind.len() {
            0 => {}
            FULL.. => self.flush_behind(),
            // The first of them sets the time.
            _ if self.endpoint.timers.is_armed(Timer::Behind) => {}
            _ => self.endpoint.timers.set(Timer::Behind, at.now.mono + DELAY),
        }
    }

    /// Hands it to the store: in its time, and before anything that is to be written after it or that reads it.
    pub(crate) fn flush_behind(&mut self) {
        self.endpoint.timers.cancel(Timer::Behind);
        let Behind { changes, records, last_calls } = std::mem::take(&mut self.behind);
        self.write_records(records);
        if !changes.is_empty() {
            let id = self.next_store();
            self.write_as(id, changes);
        }
        if !last_calls.is_empty() {
            let id = self.next_store();
            let changes = self.last_calls.write(id, last_calls);
            self.write_as(id, changes);
        }
    }
}
