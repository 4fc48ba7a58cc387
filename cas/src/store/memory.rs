//! The driver that keeps nothing: for the virtual world, for tests of whatever lies above, and as the plain statement of what a store does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{
    BindingRecord, CUT_SHORT, CallHandling, Configuration, Directory, History, HistoryQuery, HistoryRecord, LastCalls,
    MAX_HISTORY, Registrations, Store, StoreError, SubscriptionRecord, Subscriptions, refusal,
};
use crate::site::handling::Handling;
use crate::site::schedule::Schedules;
use crate::site::{Access, Device, DeviceId, Extension, Feature, Target, User, UserId};
use crate::time::Wall;

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    realm: String,
    users: Table<UserId, User>,
    devices: Table<DeviceId, Device>,
    numbers: Table<Extension, Target>,
    handlings: Table<UserId, Handling>,
    schedules: Table<Option<UserId>, Schedules>,
    bindings: Table<(DeviceId, String, u32), BindingRecord>,
    history: Table<u64, HistoryRecord>,
    last_calls: Table<UserId, LastCalls>,
    subscriptions: Table<u64, SubscriptionRecord>,
    last_user: Table<(), UserId>,
    last_device: Table<(), DeviceId>,
}

impl Memory {
    /// A new store, as a first start makes it.
    pub fn new(realm: &str) -> Memory {
        let mut memory = Memory {
            realm: realm.to_owned(),
            users: Table::default(),
            devices: Table::default(),
            numbers: Table::default(),
            handlings: Table::default(),
            schedules: Table::default(),
            bindings: Table::default(),
            history: Table::default(),
            last_calls: Table::default(),
            subscriptions: Table::default(),
            last_user: Table::default(),
            last_device: Table::default(),
        };
        memory.numbers.put(Extension("*43".to_owned()), Target::Feature(Feature::Echo));
        memory
    }

    fn tables(&mut self) -> [&mut dyn Undo; 11] {
        [
            &mut self.users,
            &mut self.devices,
            &mut self.numbers,
            &mut self.handlings,
            &mut self.schedules,
            &mut self.bindings,
            &mut self.history,
            &mut self.last_calls,
            &mut self.subscriptions,
            &mut self.last_user,
            &mut self.last_device,
        ]
    }

    fn must_have_user(&self, id: UserId) -> Result<(), StoreError> {
        self.users.rows.contains_key(&id).then_some(()).ok_or_else(refusal::dangling)
    }

    fn must_have_device(&self, id: DeviceId) -> Result<(), StoreError> {
        self.devices.rows.contains_key(&id).then_some(()).ok_or_else(refusal::dangling)
    }
}

impl Directory for Memory {
    fn users(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.users.rows.values().cloned().collect())
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        Ok(self.devices.rows.values().cloned().collect())
    }

    fn numbers(&self) -> Result<Vec<(Extension, Target)>, StoreError> {
        Ok(self.numbers.rows.clone().into_iter().collect())
    }

    fn last_ids(&self) -> Result<(UserId, DeviceId), StoreError> {
        let user = self.last_user.rows.get(&()).copied().unwrap_or_default();
        let device = self.last_device.rows.get(&()).copied().unwrap_or_default();
        Ok((user, device))
    }

    fn put_user(&mut self, user: &User) -> Result<(), StoreError> {
        if self.users.rows.values().any(|other| other.id != user.id && other.login == user.login) {
            return Err(refusal::login_taken());
        }
        let last = self.last_ids()?.0.max(user.id);
        self.last_user.put((), last);
        self.users.put(user.id, user.clone());
        Ok(())
    }

    fn remove_user(&mut self, id: UserId) -> Result<(), StoreError> {
        self.users.remove(&id);
        self.devices.change(|device| device.user == Some(id), |device| device.user = None);
        self.numbers.remove_where(|target| *target == Target::User(id));
        self.handlings.remove(&id);
        self.schedules.remove(&Some(id));
        self.history.remove_where(|record| record.user == id);
        self.last_calls.remove(&id);
        self.subscriptions.remove_where(|subscription| subscription.user == id);
        Ok(())
    }

    fn put_device(&mut self, device: &Device) -> Result<(), StoreError> {
        for other in self.devices.rows.values().filter(|other| other.id != device.id) {
            match (&other.access, &device.access) {
                (Access::Digest { sip_user: a, .. }, Access::Digest { sip_user: b, .. }) if a == b => {
                    return Err(refusal::sip_user_taken());
                }
                (Access::Address(a), Access::Address(b)) if a == b => return Err(refusal::address_taken()),
                _ => {}
            }
        }
        device.user.map_or(Ok(()), |user| self.must_have_user(user))?;
        let last = self.last_ids()?.1.max(device.id);
        self.last_device.put((), last);
        self.devices.put(device.id, device.clone());
        Ok(())
    }

    fn remove_device(&mut self, id: DeviceId) -> Result<(), StoreError> {
        self.devices.remove(&id);
        self.bindings.remove_where(|binding| binding.device == id);
        self.subscriptions.remove_where(|subscription| subscription.device == Some(id));
        Ok(())
    }

    fn put_number(&mut self, number: &Extension, target: &Target) -> Result<(), StoreError> {
        if let Target::User(user) = target {
            self.must_have_user(*user)?;
        }
        self.numbers.put(number.clone(), target.clone());
        Ok(())
    }

    fn remove_number(&mut self, number: &Extension) -> Result<(), StoreError> {
        self.numbers.remove(number);
        Ok(())
    }
}

impl CallHandling for Memory {
    fn handlings(&self) -> Result<Vec<(UserId, Handling)>, StoreError> {
        Ok(self.handlings.rows.clone().into_iter().collect())
    }

    fn put_handling(&mut self, user: UserId, handling: &Handling) -> Result<(), StoreError> {
        self.must_have_user(user)?;
        self.handlings.put(user, handling.clone());
        Ok(())
    }

    fn schedules(&self) -> Result<Vec<(Option<UserId>, Schedules)>, StoreError> {
        Ok(self.schedules.rows.clone().into_iter().collect())
    }

    fn put_schedules(&mut self, owner: Option<UserId>, schedules: &Schedules) -> Result<(), StoreError> {
        owner.map_or(Ok(()), |user| self.must_have_user(user))?;
        self.schedules.put(owner, schedules.clone());
        Ok(())
    }
}

impl Configuration for Memory {
    fn realm(&self) -> Result<String, StoreError> {
        Ok(self.realm.clone())
    }
}

impl Registrations for Memory {
    fn bindings(&self) -> Result<Vec<BindingRecord>, StoreError> {
        Ok(self.bindings.rows.values().cloned().collect())
    }

    fn put_binding(&mut self, binding: &BindingRecord) -> Result<(), StoreError> {
        self.must_have_device(binding.device)?;
        self.bindings.put((binding.device, binding.contact.clone(), binding.reg_id), binding.clone());
        Ok(())
    }

    fn remove_binding(&mut self, device: DeviceId, contact: &str, reg_id: u32) -> Result<(), StoreError> {
        self.bindings.remove(&(device, contact.to_owned(), reg_id));
        Ok(())
    }

    fn remove_ended_bindings(&mut self, now: Wall) -> Result<(), StoreError> {
        self.bindings.remove_where(|binding| binding.expires <= now);
        Ok(())
    }
}

impl History for Memory {
    fn records(&self, query: &HistoryQuery) -> Result<Vec<HistoryRecord>, StoreError> {
        let wanted = |record: &&HistoryRecord| {
            record.user == query.user
                && !record.cause.is_empty()
                && query.device.is_none_or(|device| record.device == Some(device))
                && query.kind.is_none_or(|kind| record.kind == kind)
                && query.before.is_none_or(|before| record.started < before)
                && query.after.is_none_or(|after| record.started > after)
        };
        let mut records: Vec<HistoryRecord> = self.history.rows.values().filter(wanted).cloned().collect();
        // Call ids are compared as SQLite does, whose integers have a sign: they are names, their order means nothing.
        records.sort_by_key(|record| Reverse((record.started, record.call.0.cast_signed())));
        records.truncate(query.max.min(MAX_HISTORY));
        Ok(records)
    }

    fn end_records(&mut self) -> Result<(), StoreError> {
        self.history.change(|record| record.cause.is_empty(), |record| CUT_SHORT.clone_into(&mut record.cause));
        Ok(())
    }

    fn count_records(&self, user: UserId) -> Result<usize, StoreError> {
        Ok(self.history.rows.values().filter(|record| record.user == user).count())
    }

    fn remove_oldest(&mut self, user: UserId, before: Option<Wall>, most: usize) -> Result<usize, StoreError> {
        let wanted =
            |record: &&HistoryRecord| record.user == user && before.is_none_or(|before| record.started < before);
        let mut found: Vec<(Wall, i64, u64)> = (self.history.rows.values().filter(wanted))
            .map(|record| (record.started, record.call.0.cast_signed(), record.call.0))
            .collect();
        found.sort_unstable();
        found.truncate(most);
        found.iter().for_each(|(.., call)| self.history.remove(call));
        Ok(found.len())
    }

    fn put_record(&mut self, record: &HistoryRecord) -> Result<(), StoreError> {
        if self.users.rows.contains_key(&record.user) {
            self.history.put(record.call.0, record.clone());
        }
        Ok(())
    }

    fn last_calls(&self) -> Result<Vec<LastCalls>, StoreError> {
        Ok(self.last_calls.rows.values().cloned().collect())
    }

    fn put_last_calls(&mut self, last: &LastCalls) -> Result<(), StoreError> {
        if self.users.rows.contains_key(&last.user) {
            self.last_calls.put(last.user, last.clone());
        }
        Ok(())
    }
}

impl Subscriptions for Memory {
    fn subscriptions(&self) -> Result<Vec<SubscriptionRecord>, StoreError> {
        Ok(self.subscriptions.rows.values().cloned().collect())
    }

    fn put_subscription(&mut self, subscription: &SubscriptionRecord) -> Result<(), StoreError> {
        self.must_have_user(subscription.user)?;
        subscription.device.map_or(Ok(()), |device| self.must_have_device(device))?;
        self.subscriptions.put(subscription.id, subscription.clone());
        Ok(())
    }

    fn remove_subscription(&mut self, id: u64) -> Result<(), StoreError> {
        self.subscriptions.remove(&id);
        Ok(())
    }
}

impl Store for Memory {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.commit()
    }

    fn mark(&mut self) -> Result<(), StoreError> {
        self.tables().into_iter().for_each(|table| table.mark());
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn undo(&mut self) -> Result<(), StoreError> {
        self.tables().into_iter().for_each(|table| table.undo_to_mark());
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.tables().into_iter().for_each(|table| table.forget());
        Ok(())
    }

    fn abandon(&mut self) {
        self.tables().into_iter().for_each(|table| table.undo_all());
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Rows, and what they were before each change of the transaction.
#[derive(Debug)]
struct Table<K, V> {
    rows: BTreeMap<K, V>,
    before: Vec<(K, Option<V>)>,
    mark: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { rows: BTreeMap::new(), before: Vec::new(), mark: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    fn put(&mut self, key: K, value: V) {
        let old = self.rows.insert(key.clone(), value);
        self.before.push((key, old));
    }

    fn remove(&mut self, key: &K) {
        if let Some(old) = self.rows.remove(key) {
            self.before.push((key.clone(), Some(old)));
        }
    }

    fn remove_where(&mut self, gone: impl Fn(&V) -> bool) {
        let keys: Vec<K> = self.rows.iter().filter(|(_, value)| gone(value)).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    fn change(&mut self, concerned: impl Fn(&V) -> bool, change: impl Fn(&mut V)) {
        for (key, value) in self.rows.iter_mut().filter(|(_, value)| concerned(value)) {
            self.before.push((key.clone(), Some(value.clone())));
            change(value);
        }
    }

    fn undo_to(&mut self, length: usize) {
        for (key, old) in self.before.drain(length..).rev() {
            match old {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

trait Undo {
    fn mark(&mut self);
    fn undo_to_mark(&mut self);
    fn undo_all(&mut self);
    fn forget(&mut self);
}

impl<K: Ord + Clone, V: Clone> Undo for Table<K, V> {
    fn mark(&mut self) {
        self.mark = self.before.len();
    }

    fn undo_to_mark(&mut self) {
        self.undo_to(self.mark);
    }

    fn undo_all(&mut self) {
        self.undo_to(0);
    }

    fn forget(&mut self) {
        self.before.clear();
        self.mark = 0;
    }
}
