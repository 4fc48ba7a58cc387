//! The tables of subscriptions: each by its tag, by its device, and by whom it watches; with how those stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cas::site::{DeviceId, UserId};

use super::lost::Lost;
use super::presence::Handled;
use super::publish::{PubId, Publications};
use super::watch::{State, Subject};
use super::{Package, SubId, Subscription};
use crate::sip::flow::Channel;

/// Every subscription, by every name it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: BTreeMap<SubId, Subscription>,
    /// By our dialog tags.
    tags: BTreeMap<String, SubId>,
    devices: BTreeMap<DeviceId, BTreeSet<SubId>>,
    watched: BTreeMap<(Package, Subject), Watched>,
    /// How those handle their calls who have chosen it.
    pub(super) handled: BTreeMap<UserId, Handled>,
    /// Users whose phones, publications or call handling have changed in this step.
    pub(super) touched: BTreeSet<UserId>,
    pub(super) lost: Lost,
    pub(super) publications: Publications,
    next: u64,
}

/// A subject that is watched.
#[derive(Debug)]
struct Watched {
    /// How it stands.
    state: Arc<State>,
    by: BTreeSet<SubId>,
}

impl Subscriptions {
    /// A number for something new.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn insert(&mut self, id: SubId, subscription: Subscription) {
        self.tags.insert(subscription.tag.clone(), id);
        self.devices.entry(subscription.device).or_default().insert(id);
        self.all.insert(id, subscription);
    }

    /// It is told of nothing more.
    pub(super) fn remove(&mut self, id: SubId) -> Option<Subscription> {
        let subscription = self.all.remove(&id)?;
        self.tags.remove(&subscription.tag);
        if let Some(of_device) = self.devices.get_mut(&subscription.device) {
            of_device.remove(&id);
            if of_device.is_empty() {
                self.devices.remove(&subscription.device);
            }
        }
        for (package, subject) in subscription.subjects().collect::<Vec<_>>() {
            self.unwatch(package, subject, id);
        }
        Some(subscription)
    }

    pub(crate) fn get(&self, id: SubId) -> Option<&Subscription> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SubId) -> Option<&mut Subscription> {
        self.all.get_mut(&id)
    }

    pub(crate) fn by_tag(&self, tag: &str) -> Option<SubId> {
        self.tags.get(tag).copied()
    }

    pub(crate) fn ids(&self) -> Vec<SubId> {
        self.all.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SubId, &Subscription)> {
        self.all.iter().map(|(id, subscription)| (*id, subscription))
    }

    pub(super) fn of_device(&self, device: DeviceId) -> impl Iterator<Item = (SubId, &Subscription)> {
        let ids = self.devices.get(&device).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    pub(super) fn count_of_device(&self, device: DeviceId) -> usize {
        self.devices.get(&device).map_or(0, BTreeSet::len)
    }

    /// Whether a subscription is told over this connection.
    pub(crate) fn uses(&self, channel: Channel) -> bool {
        self.all.values().any(|subscription| subscription.dialog.flow().channel == channel)
    }

    /// How a subject stands, if it is watched.
    pub(crate) fn state(&self, package: Package, subject: Subject) -> Option<Arc<State>> {
        self.watched.get(&(package, subject)).map(|watched| Arc::clone(&watched.state))
    }

    pub(super) fn watch(&mut self, package: Package, subject: Subject, id: SubId, state: Arc<State>) {
        self.watched.entry((package, subject)).or_insert(Watched { state, by: BTreeSet::new() }).by.insert(id);
    }

    pub(super) fn unwatch(&mut self, package: Package, subject: Subject, id: SubId) {
        if let Some(watched) = self.watched.get_mut(&(package, subject)) {
            watched.by.remove(&id);
            if watched.by.is_empty() {
                self.watched.remove(&(package, subject));
            }
        }
    }

    /// A subject stands so now; who is to be told.
    pub(super) fn changed(&mut self, package: Package, subject: Subject, state: Arc<State>) -> Vec<SubId> {
        let Some(watched) = self.watched.get_mut(&(package, subject)) else { return Vec::new() };
        watched.state = state;
        watched.by.iter().copied().collect()
    }

    pub(crate) fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Everything that is watched.
    pub(crate) fn watched(&self) -> Vec<(Package, Subject)> {
        self.watched.keys().copied().collect()
    }

    /// Subscriptions that are over, and whose phone does not know.
    pub(crate) fn lost_ids(&self) -> impl Iterator<Item = SubId> {
        self.lost.ids()
    }

    /// What is published.
    pub(crate) fn publications(&self) -> impl Iterator<Item = PubId> {
        self.publications.ids()
    }

    /// A user's phones came, went or said something of him.
    pub(crate) fn touch(&mut self, user: Option<UserId>) {
        if self.is_watching() {
            self.touched.extend(user);
        }
    }
}
