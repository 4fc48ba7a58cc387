//! Call records on their way to the store.
//!
//! Nobody waits for a record. What the store cannot take is kept, and tried again until it can: a full disk costs no records, as long as the switch runs. A
//! call that goes on for some seconds has a record that says so, which its end replaces: where the switch ends without being asked to, the next start finds
//! it, and tells that the call was cut short. Shorter calls are spared that second write.

use std::collections::BTreeMap;
use std::time::Duration;

use cas::control::{CallId, Cause};
use cas::store::{Change, HistoryRecord, RequestId};

use super::party::Side;
use super::{CallNo, Stage};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};

/// Calls answered within so long of one another have their first records together.
const BEGUN: Duration = Duration::from_secs(5);
/// After a failure of the store.
const RETRY: Duration = Duration::from_secs(10);
/// Records in one request.
const BATCH: usize = 100;
/// Records kept for the store: those of an hour of a busy office. Beyond, the oldest are lost.
const KEPT: usize = 10_000;

/// The records that are not stored yet, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Calls answered lately.
    answered: Vec<CallNo>,
    writing: BTreeMap<RequestId, Vec<HistoryRecord>>,
    /// The last request of each end of a call that is being written.
    newest: BTreeMap<CallId, RequestId>,
    /// What the store could not take.
    kept: BTreeMap<CallId, HistoryRecord>,
    lost: u64,
}

impl History {
    /// These are being written.
    fn write(&mut self, id: RequestId, records: &[HistoryRecord]) {
        for record in records {
            self.newest.insert(record.call, id);
            self.kept.remove(&record.call);
        }
        self.writing.insert(id, records.to_vec());
    }

    /// The store has answered; whether it was a request for the history. What failed is kept, unless something newer of the same call was written after it.
    fn stored(&mut self, id: RequestId, written: bool) -> bool {
        let Some(records) = self.writing.remove(&id) else { return false };
        for record in records {
            if self.newest.get(&record.call) != Some(&id) {
                continue;
            }
            self.newest.remove(&record.call);
            if !written {
                self.kept.insert(record.call, record);
            }
        }
        while self.kept.len() > KEPT {
            self.kept.pop_first();
            self.lost += 1;
        }
        true
    }

    /// The oldest of what is kept.
    fn take_kept(&mut self) -> Vec<HistoryRecord> {
        let take = self.kept.len().min(BATCH);
        (0..take).filter_map(|_| self.kept.pop_first()).map(|(_, record)| record).collect()
    }

    /// Whether calls wait for their first records.
    pub(crate) fn has_answered(&self) -> bool {
        !self.answered.is_empty()
    }

    /// How many records wait for the store to be well again.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How many were lost because too many waited.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

impl Engine {
    /// Hands records to the store, so many in each request.
    pub(crate) fn write_records(&mut self, records: Vec<HistoryRecord>) {
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let batch: Vec<HistoryRecord> = records.by_ref().take(BATCH).collect();
            let id = self.next_store();
            self.history.write(id, &batch);
            self.write_as(id, batch.into_iter().map(Change::PutHistory).collect());
        }
        self.watch_kept(None);
    }

    /// A call is answered.
    pub(crate) fn note_answered(&mut self, at: At<'_>, no: CallNo) {
        if !self.history.has_answered() {
            self.endpoint.timers.set(Timer::Answered, at.now.mono + BEGUN);
        }
        self.history.answered.push(no);
    }

    /// Those of the calls answered lately that go on have their first records.
    pub(crate) fn write_begun(&mut self) {
        let mut records = Vec::new();
        for no in std::mem::take(&mut self.history.answered) {
            let Some(call) = self.table.call(no).filter(|call| matches!(call.stage, Stage::Talking)) else {
                continue;
            };
            for side in [Side::Caller, Side::Callee] {
                let record = super::record::history(call.party(side), Cause::Normal, 0, None);
                records.extend(record.map(|record| HistoryRecord { cause: String::new(), ..record }));
            }
        }
        self.write_records(records);
    }

    /// The store has answered; whether it was about records.
    pub(crate) fn records_stored(&mut self, at: At<'_>, id: RequestId, written: bool) -> bool {
        let ours = self.history.stored(id, written);
        if ours {
            // Where it could take these, it can take the rest.
            self.watch_kept(Some(at.now.mono + if written { Duration::ZERO } else { RETRY }));
        }
        ours
    }

    /// Sets the timer for what is kept, if there is anything and it was not set; without an instant it only cancels it.
    fn watch_kept(&mut self, due: Option<std::time::Instant>) {
        match due {
            _ if self.history.kept() == 0 => self.endpoint.timers.cancel(Timer::Kept),
            Some(due) => self.endpoint.timers.set(Timer::Kept, due),
            None => {}
        }
    }

    /// Tries again what the store could not take.
    pub(crate) fn write_kept(&mut self, at: At<'_>) {
        let records = self.history.take_kept();
        self.write_records(records);
        // Should no answer come before.
        self.watch_kept(Some(at.now.mono + RETRY));
    }
}

#[cfg(test)]
mod tests {
    use cas::site::UserId;
    use cas::store::HistoryKind;
    use cas::time::Wall;

    use super::*;

    fn record(call: u64, cause: &str) -> HistoryRecord {
        HistoryRecord {
            call: CallId(call),
            user: UserId(1),
            device: None,
            kind: HistoryKind::Placed,
            addr: String::new(),
            name: String::new(),
            started: Wall(0),
            duration_msec: 0,
            cause: cause.to_owned(),
            media: String::new(),
            note: String::new(),
        }
    }

    #[test]
    fn what_failed_is_kept_and_what_was_written_is_not() {
        let mut history = History::default();
        history.write(RequestId(1), &[record(1, "normal")]);
        history.write(RequestId(2), &[record(2, "normal")]);
        assert!(history.stored(RequestId(1), false) && history.stored(RequestId(2), true));
        assert!(!history.stored(RequestId(1), true), "once");
        assert!(!history.stored(RequestId(9), true), "another's");
        assert_eq!(history.take_kept(), [record(1, "normal")]);
        assert_eq!((history.kept(), history.newest.len(), history.writing.len()), (0, 0, 0));
    }

    #[test]
    fn an_older_record_never_comes_after_the_newer_one() {
        // It failed, and its call's end is under way or written.
        for ends_well in [true, false] {
            let mut history = History::default();
            history.write(RequestId(1), &[record(1, "")]);
            history.write(RequestId(2), &[record(1, "normal")]);
            history.stored(RequestId(1), false);
            history.stored(RequestId(2), ends_well);
            assert_eq!(history.take_kept(), if ends_well { vec![] } else { vec![record(1, "normal")] });
        }
        // It is kept, and its call ends.
        let mut history = History::default();
        history.write(RequestId(1), &[record(1, "")]);
        history.stored(RequestId(1), false);
        history.write(RequestId(2), &[record(1, "normal")]);
        assert_eq!(history.kept(), 0);
    }

    #[test]
    fn so_many_are_kept_and_the_oldest_are_lost_and_counted() {
        let mut history = History::default();
        let records: Vec<_> = (0..KEPT as u64 + 3).map(|call| record(call, "normal")).collect();
        history.write(RequestId(1), &records);
        history.stored(RequestId(1), false);
        assert_eq!((history.kept(), history.lost()), (KEPT, 3));
        assert_eq!(history.take_kept()[..2], [record(3, "normal"), record(4, "normal")]);
        assert_eq!(history.kept(), KEPT - BATCH);
    }
}
