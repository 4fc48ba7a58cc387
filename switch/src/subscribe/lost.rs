//! Phones that believe wrongly that they are told: those whose NOTIFY was not answered, for which a subscription is over (RFC 6665 §4.2.2), though the phone
//! may only have been out of reach.
//!
//! No lamp is left wrong for that: when its device registers again, the phone is told in the old dialog that it has no subscription any more (`deactivated`, §4.1.3: it
//! makes another at once), or says itself that it knows nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use cas::site::DeviceId;
use cas::time::Wall;

use super::{Reason, SubId};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::dialog::Dialog;
use crate::sip::event::Event;
use crate::sip::flow::{Channel, Flow};
use crate::sip::header::Name;
use crate::sip::message::{Method, Response};

/// What is left of a subscription.
#[derive(Debug)]
pub(super) struct Remnant {
    device: DeviceId,
    event: Event,
    dialog: Dialog,
    /// It is being told.
    is_asked: bool,
}

/// Subscriptions that are over, and whose phone does not know.
#[derive(Debug, Default)]
pub(super) struct Lost {
    all: BTreeMap<SubId, Remnant>,
    of_devices: BTreeSet<(DeviceId, SubId)>,
}

impl Lost {
    fn insert(&mut self, id: SubId, remnant: Remnant) {
        self.of_devices.insert((remnant.device, id));
        self.all.insert(id, remnant);
    }

    fn remove(&mut self, id: SubId) {
        if let Some(remnant) = self.all.remove(&id) {
            self.of_devices.remove(&(remnant.device, id));
        }
    }

    fn of(&self, device: DeviceId) -> impl Iterator<Item = (SubId, &Remnant)> {
        let ids = self.of_devices.range((device, SubId(0))..=(device, SubId(u64::MAX)));
        ids.filter_map(|(_, id)| Some((*id, self.all.get(id)?)))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SubId> {
        self.all.keys().copied()
    }
}

/// The first CSeq of a subscription's NOTIFYs. Higher for each later one, with seconds since 2020 more than one NOTIFY in each could use up.
pub(super) fn first_number(now: Wall) -> u32 {
    (now.0 / 1000).saturating_sub(1_577_836_800).min(1 << 30) as u32
}

impl Engine {
    /// A phone does not answer: its subscription is over.
    pub(super) fn lose(&mut self, at: At<'_>, id: SubId) {
        let Some(sub) = self.forget_subscription(id) else { return };
        if sub.is_ending() || self.subscriptions.lost.all.len() >= self.settings.limits.subscriptions {
            return;
        }
        self.endpoint.timers.set(Timer::Subscription(id), sub.ends.max(at.now.mono));
        let (device, event, dialog) = (sub.device, sub.event, sub.dialog);
        self.subscriptions.lost.insert(id, Remnant { device, event, dialog, is_asked: false });
    }

    /// A device has registered over this flow: its phones that were out of reach are told, those that may be there.
    pub(crate) fn device_is_back(&mut self, at: At<'_>, device: DeviceId, flow: Flow) {
        let is_here = |remnant: &Remnant| !remnant.is_asked && remnant.dialog.flow().peer.ip() == flow.peer.ip();
        let here = self.subscriptions.lost.of(device).filter(|(_, remnant)| is_here(remnant)).map(|(id, _)| id);
        for id in here.collect::<Vec<SubId>>() {
            self.undeceive(at, id, flow);
        }
    }

    fn undeceive(&mut self, at: At<'_>, id: SubId, flow: Flow) {
        let Some(remnant) = self.subscriptions.lost.all.get_mut(&id) else { return };
        // A connection that has ended is not the way; the one that is up now is.
        if matches!(remnant.dialog.flow().channel, Channel::Tcp(stream) if !self.endpoint.is_up(stream)) {
            remnant.dialog.move_to(flow);
        }
        remnant.is_asked = true;
        let mut request = remnant.dialog.request(Method::Notify);
        let way = remnant.dialog.flow();
        request.headers.push(Name::Contact, way.contact());
        request.headers.push(Name::Event, remnant.event.to_string());
        request.headers.push(Name::SubscriptionState, format!("terminated;reason={}", Reason::Deactivated.name()));
        self.endpoint.request(at.now.mono, way, request, Owner::Farewell(id));
    }

    /// The phone knows, or knew.
    pub(crate) fn farewell_response(&mut self, id: SubId, response: &Response) {
        if !response.status.is_provisional() {
            self.endpoint.timers.cancel(Timer::Subscription(id));
            self.subscriptions.lost.remove(id);
        }
    }

    /// It is still out of reach.
    pub(crate) fn farewell_unanswered(&mut self, id: SubId) {
        if let Some(remnant) = self.subscriptions.lost.all.get_mut(&id) {
            remnant.is_asked = false;
        }
    }

    /// The phone has given it up by itself.
    pub(super) fn lost_is_over(&mut self, id: SubId) {
        self.subscriptions.lost.remove(id);
    }
}
