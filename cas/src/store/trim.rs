//! Call history has a limit: of each user the newest records are kept, and none that is older than so many days.
//!
//! The store thread asks a [`Trimmer`] between its commits. It removes the oldest first, a bounded number at a time, so that no request waits long behind
//! it, and keeps a count of each user's records so that it need not ask the store for every one. Counting is done in steps of a tenth of the limit: a user
//! may have that many more than it for a while.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Request, Store, StoreError};
use crate::site::UserId;
use crate::time::Wall;

/// Records removed in one commit.
const BATCH: usize = 200;

/// A day.
const DAY_MSEC: u64 = 24 * 60 * 60 * 1000;

/// How much call history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Records of one user.
    pub records: usize,
    /// How many days old they may be; `None`: any number.
    pub days: Option<u32>,
}

impl Default for HistoryLimits {
    fn default() -> HistoryLimits {
        HistoryLimits { records: 10_000, days: None }
    }
}

/// Which users may have too many records.
#[derive(Debug)]
pub struct Trimmer {
    limits: HistoryLimits,
    /// At most so many records of each user that wrote one since he was last counted.
    counts: BTreeMap<UserId, usize>,
    due: BTreeSet<UserId>,
}

impl Trimmer {
    /// One that knows of nobody's records yet.
    pub fn new(limits: HistoryLimits) -> Trimmer {
        Trimmer { limits, counts: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// A request was done.
    pub fn note(&mut self, request: &Request) {
        let Request::Write(changes) = request else { return };
        let most = self.limits.records + self.limits.records / 10;
        for change in changes {
            let Change::PutHistory(record) = change else { continue };
            match self.counts.get_mut(&record.user) {
                Some(count) if *count < most => *count += 1,
                // Too many, or how many is not known.
                Some(_) | None => drop(self.due.insert(record.user)),
            }
        }
    }

    /// All users are to be looked at: for those whose records have only become old.
    pub fn sweep(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.counts.clear();
        self.due = store.users()?.into_iter().map(|user| user.id).collect();
        Ok(())
    }

    /// Whether there is something to do.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Looks at one user, and removes what he has too many; how many records that were.
    ///
    /// # Errors
    /// Nothing was removed then; it will be tried again when he has another record, or at the next sweep.
    pub fn turn(&mut self, store: &mut dyn Store, now: Wall) -> Result<usize, StoreError> {
        let Some(user) = self.due.pop_first() else { return Ok(0) };
        self.counts.remove(&user);
        let (count, removed) = self.trim(store, user, now).inspect_err(|_| store.abandon())?;
        if removed == BATCH {
            self.due.insert(user);
        } else {
            self.counts.insert(user, count - removed);
        }
        Ok(removed)
    }

    /// How many records the user had, and how many were removed.
    fn trim(&self, store: &mut dyn Store, user: UserId, now: Wall) -> Result<(usize, usize), StoreError> {
        let count = store.count_records(user)?;
        let over = count.saturating_sub(self.limits.records);
        let oldest = self.limits.days.map(|days| Wall(now.0.saturating_sub(u64::from(days) * DAY_MSEC)));
        store.begin()?;
        let mut removed = if over > 0 { store.remove_oldest(user, None, over.min(BATCH))? } else { 0 };
        if let Some(oldest) = oldest.filter(|_| removed < BATCH) {
            removed += store.remove_oldest(user, Some(oldest), BATCH - removed)?;
        }
        store.commit()?;
        Ok((count, removed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use crate::store::sqlite::Sqlite;
    use crate::store::tests::{REALM, of_user, open, record, site, write};

    const TODAY: Wall = Wall(1_700_000_000_000);

    /// Both drivers, with two users.
    fn stores() -> Vec<(Box<dyn Store>, Option<tempfile::TempDir>)> {
        let folder = tempfile::tempdir().unwrap();
        let sqlite: Sqlite = open(folder.path());
        let mut stores: Vec<(Box<dyn Store>, _)> =
            vec![(Box::new(Memory::new(REALM)), None), (Box::new(sqlite), Some(folder))];
        for (store, _) in &mut stores {
            write(&mut **store, &site()).unwrap();
        }
        stores
    }

    /// Writes records of a user, each begun a second after the one before.
    fn put(store: &mut dyn Store, trimmer: &mut Trimmer, user: u64, calls: std::ops::Range<u64>) {
        let records = calls.map(|call| Change::PutHistory(record(call, user, TODAY.0 + 1000 * call))).collect();
        let request = Request::Write(records);
        assert!(crate::store::run(store, [&request])[0].is_ok());
        trimmer.note(&request);
    }

    fn calls(store: &dyn Store, user: u64) -> Vec<u64> {
        let records = store.records(&crate::store::HistoryQuery { max: 1000, ..of_user(user) }).unwrap();
        records.iter().map(|record| record.call.0).collect()
    }

    /// Until nothing is due; what each turn removed.
    fn trim(store: &mut dyn Store, trimmer: &mut Trimmer, now: Wall) -> Vec<usize> {
        std::iter::from_fn(|| trimmer.is_due().then(|| trimmer.turn(store, now).unwrap())).collect()
    }

    #[test]
    fn of_each_user_the_newest_records_are_kept() {
        for (mut store, _folder) in stores() {
            let mut trimmer = Trimmer::new(HistoryLimits { records: 10, days: None });
            put(&mut *store, &mut trimmer, 1, 0..25);
            put(&mut *store, &mut trimmer, 2, 100..105);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [15, 0]);
            assert_eq!(calls(&*store, 1), (15..25).rev().collect::<Vec<_>>());
            assert_eq!(calls(&*store, 2).len(), 5);
        }
    }

    #[test]
    fn a_tenth_more_may_come_before_anybody_counts_again() {
        for (mut store, _folder) in stores() {
            let mut trimmer = Trimmer::new(HistoryLimits { records: 100, days: None });
            put(&mut *store, &mut trimmer, 1, 0..100);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [0]);
            put(&mut *store, &mut trimmer, 1, 100..110);
            assert!(!trimmer.is_due());
            put(&mut *store, &mut trimmer, 1, 110..111);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [11]);
            assert_eq!(calls(&*store, 1), (11..111).rev().collect::<Vec<_>>());
            // A record that is written again, with its end, is no second one.
            put(&mut *store, &mut trimmer, 1, 100..111);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [0]);
        }
    }

    #[test]
    fn a_limit_that_became_smaller_is_reached_in_bounded_steps() {
        for (mut store, _folder) in stores() {
            let mut trimmer = Trimmer::new(HistoryLimits { records: 10, days: None });
            put(&mut *store, &mut trimmer, 1, 0..510);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [200, 200, 100]);
            assert_eq!(calls(&*store, 1), (500..510).rev().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_became_too_old_goes_at_the_next_sweep() {
        for (mut store, _folder) in stores() {
            let mut trimmer = Trimmer::new(HistoryLimits { records: 1000, days: Some(30) });
            put(&mut *store, &mut trimmer, 1, 0..300);
            assert_eq!(trim(&mut *store, &mut trimmer, TODAY), [0]);
            let later = Wall(TODAY.0 + 30 * DAY_MSEC + 250_000);
            trimmer.sweep(&*store).unwrap();
            assert_eq!(trim(&mut *store, &mut trimmer, later).iter().sum::<usize>(), 250);
            assert_eq!(calls(&*store, 1), (250..300).rev().collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_has_too_many_records_keeps_no_old_ones_either() {
        for (mut store, _folder) in stores() {
            let mut trimmer = Trimmer::new(HistoryLimits { records: 10, days: Some(30) });
            put(&mut *store, &mut trimmer, 1, 0..25);
            let later = Wall(TODAY.0 + 30 * DAY_MSEC + 20_000);
            assert_eq!(trim(&mut *store, &mut trimmer, later), [20]);
            assert_eq!(calls(&*store, 1), (20..25).rev().collect::<Vec<_>>());
        }
    }
}
