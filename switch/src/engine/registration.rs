//! Where phones can be reached: the engine around the registrar.

use std::time::Duration;

use bytes::Bytes;
use cas::control::{CallEvent, Refusal, RefusalCode};
use cas::site::{Access, DeviceId, Site};
use cas::store::{self, Change};

use super::{At, Engine};
use crate::endpoint::Timer;
use crate::registrar::{Answer, Settled};
use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::message::{Request, Status};
use crate::sip::transaction::ServerTx;

/// REGISTERs that wait for the store: half of what its queue takes.
const WAITING: usize = store::thread::QUEUE / 2;
/// How often a way through a NAT is used: NATs forget one that is not for half a minute (RFC 5626 §4.4.2).
const KEEP_ALIVE: Duration = Duration::from_secs(25);

impl Engine {
    pub(super) fn register(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        if let Some(status) = self.wrong_registration(at.site, request, &flow, device) {
            return self.endpoint.respond(at.now.mono, tx, &request.response(status));
        }
        if self.registrar.waiting() >= WAITING || !self.has_room_to_register(flow.peer.ip(), device) {
            self.counts.turned_away += 1;
            let response = self.unavailable(request);
            return self.endpoint.respond(at.now.mono, tx, &response);
        }
        let id = self.next_store();
        match self.registrar.register(at.now, tx, request, flow, device, id) {
            Answer::Now(response, changes) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                self.write_behind(at, changes);
                self.watch_binding(at, device);
                self.registered_over(at, device, flow);
                self.device_is_back(at, device, flow);
            }
            Answer::AfterStore(changes) => {
                self.flush_behind();
                self.write_as(id, changes);
                self.watch_binding(at, device);
            }
            Answer::Queued => {}
        }
    }

    /// §10.3 steps 1, 4 and 5: the domain is ours, a device registers itself and no other, and what it registers is an address of ours.
    fn wrong_registration(&self, site: &Site, request: &Request, flow: &Flow, device: DeviceId) -> Option<Status> {
        let to = match request.headers.to() {
            Ok(to) => &to.uri,
            Err(error) => return Some(error.status),
        };
        // A gateway is known by its address: there is nothing to register.
        let Some(Access::Digest { sip_user, .. }) = site.device(device).map(|device| &device.access) else {
            return Some(Status(403));
        };
        if !self.serves(&request.uri, flow) || !self.serves(to, flow) {
            return Some(Status(404));
        }
        match to.user.as_deref() {
            Some(user) if user == sip_user => None,
            Some(user) if site.device_by_sip_user(user).is_some() => Some(Status(403)),
            _ => Some(Status(404)),
        }
    }

    /// A device may have a binding over this flow: if that is a connection, the one may end with the other.
    pub(super) fn registered_over(&mut self, at: At<'_>, device: DeviceId, flow: Flow) {
        let Channel::Tcp(stream) = flow.channel else { return };
        let contacts = self.registrar.contacts_over(device, stream);
        if !self.endpoint.registered_over(stream, device, contacts) {
            // It ended while the REGISTER waited for others.
            self.flows_failed(at, device);
        }
    }

    /// A connection has ended: the flows over it are no more.
    pub(super) fn flows_failed(&mut self, at: At<'_>, device: DeviceId) {
        let (changes, gone) = self.registrar.flows_failed(device, |stream| self.endpoint.is_up(stream));
        self.unbound(at, device, changes, gone);
    }

    /// The store has answered what a REGISTER wanted of it.
    pub(super) fn registration_stored(&mut self, at: At<'_>, settled: Settled) {
        let Settled { device, tx, flow, response, turned, queued } = settled;
        self.endpoint.respond(at.now.mono, tx, &response);
        if let Some(registered) = turned {
            self.device_turned(at, device, registered);
        }
        self.registered_over(at, device, flow);
        // Connections that ended meanwhile, this one or another of the device's.
        self.flows_failed(at, device);
        self.device_is_back(at, device, flow);
        for (tx, request, flow) in queued {
            self.register(at, tx, &request, flow, device);
        }
    }

    /// A connection on which nothing comes is needed by those who are registered over it, and by calls.
    pub(super) fn idle(&mut self, at: At<'_>, stream: StreamId) {
        let channel = Channel::Tcp(stream);
        let mut devices = self.endpoint.devices_over(stream).into_iter();
        let is_needed = devices.any(|device| !self.registrar.contacts_over(device, stream).is_empty())
            || self.table.legs().any(|(_, leg)| leg.flow().channel == channel)
            || self.subscriptions.uses(channel);
        self.endpoint.idle(at.now.mono, stream, is_needed);
    }

    /// The bindings of a device have changed: when the next one ends, and where its phones are now.
    pub(super) fn watch_binding(&mut self, at: At<'_>, device: DeviceId) {
        self.sources.bound(device, self.registrar.sources(device));
        let user = at.site.device(device).and_then(|device| device.user);
        self.subscriptions.touch(user);
        if let Some(user) = user {
            self.bookings.touch(user);
        }
        if let Some(Access::Digest { sip_user, .. }) = at.site.device(device).map(|device| &device.access) {
            let phones = self.registrar.phones(device, |stream| self.endpoint.is_up(stream));
            self.endpoint.set_phones(sip_user, phones);
        }
        match self.registrar.next_end(device) {
            Some(end) => self.endpoint.timers.set(Timer::Binding(device), end),
            None => self.endpoint.timers.cancel(Timer::Binding(device)),
        }
        match self.registrar.behind_nat(device).next() {
            Some(_) => self.endpoint.timers.set(Timer::KeepAlive(device), at.now.mono + KEEP_ALIVE),
            None => self.endpoint.timers.cancel(Timer::KeepAlive(device)),
        }
    }

    /// A phone behind a NAT that does nothing itself to stay reachable hears from us in time: two line ends, which are no message (RFC 3261 §7.5).
    pub(super) fn keep_alive(&mut self, at: At<'_>, device: DeviceId) {
        for flow in self.registrar.behind_nat(device) {
            self.endpoint.send(flow, Bytes::from_static(b"\r\n\r\n"));
        }
        self.endpoint.timers.set(Timer::KeepAlive(device), at.now.mono + KEEP_ALIVE);
    }

    /// An administrator ends registrations. Memory forgets them now; what the store is to forget with them is for whoever asked to write,
    /// as he waits for it.
    pub(crate) fn end_registrations(
        &mut self,
        at: At<'_>,
        devices: &[DeviceId],
        contact: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        if devices.iter().any(|device| self.registrar.is_busy(*device)) {
            let text = "A registration of this phone is being stored: try again".to_owned();
            return Err(Refusal { code: RefusalCode::WrongState, text: text.into() });
        }
        let mut all = Vec::new();
        for device in devices {
            let (changes, gone) = self.registrar.end(*device, contact);
            all.extend(changes);
            self.unbound(at, *device, Vec::new(), gone);
        }
        match all.is_empty() {
            true => Err(Refusal { code: RefusalCode::NotFound, text: "It is not registered".into() }),
            false => Ok(all),
        }
    }

    pub(super) fn unbound(&mut self, at: At<'_>, device: DeviceId, changes: Vec<Change>, gone: bool) {
        self.write_behind(at, changes);
        self.watch_binding(at, device);
        if gone {
            self.device_turned(at, device, false);
        }
    }

    /// A device became reachable, or ceased to be.
    pub(super) fn device_turned(&mut self, at: At<'_>, device: DeviceId, registered: bool) {
        let sip_user = match at.site.device(device).map(|device| &device.access) {
            Some(Access::Digest { sip_user, .. }) => sip_user.as_str(),
            _ => "",
        };
        let what = if registered { "a phone is registered" } else { "a phone is registered no more" };
        tracing::info!(device = device.0, sip_user, "{what}");
        self.events.push_back(CallEvent::Device { device, registered });
        // What may be done with his calls may depend on it.
        if let Some(user) = at.site.device(device).and_then(|device| device.user) {
            self.touch_calls_of(user);
        }
    }
}
