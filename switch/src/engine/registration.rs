//! Where phones can be reached: the engine around the registrar.

use cas::control::CallEvent;
use cas::site::{Access, DeviceId, Site};
use cas::store::Change;

use super::{At, Engine};
use crate::endpoint::Timer;
use crate::registrar::Answer;
use crate::sip::flow::Flow;
use crate::sip::message::{Request, Status};
use crate::sip::transaction::ServerTx;

impl Engine {
    pub(super) fn register(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        if let Some(status) = self.wrong_registration(at.site, request, &flow, device) {
            return self.endpoint.respond(at.now.mono, tx, &request.response(status));
        }
        let id = self.next_store();
        match self.registrar.register(at.now, tx, request, flow, device, id) {
            Answer::Now(response, changes) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                self.write(changes);
                self.watch_binding(device);
            }
            Answer::AfterStore(changes) => {
                self.write_as(id, changes);
                self.watch_binding(device);
            }
            Answer::Queued => {}
        }
    }

    /// §10.3 steps 1, 4 and 5: the domain is ours, and a device registers itself and no other.
    fn wrong_registration(&self, site: &Site, request: &Request, flow: &Flow, device: DeviceId) -> Option<Status> {
        let to = request.headers.to().ok()?.uri;
        match site.device(device).map(|device| &device.access) {
            Some(Access::Digest { .. }) if !self.serves(&request.uri, flow) => Some(Status(404)),
            Some(Access::Digest { sip_user, .. }) if to.user.as_deref() != Some(sip_user) => Some(Status(403)),
            Some(Access::Digest { .. }) => None,
            // A gateway is known by its address: there is nothing to register.
            Some(Access::Address(_)) | None => Some(Status(403)),
        }
    }

    pub(super) fn watch_binding(&mut self, device: DeviceId) {
        match self.registrar.next_end(device) {
            Some(end) => self.endpoint.timers.set(Timer::Binding(device), end),
            None => self.endpoint.timers.cancel(Timer::Binding(device)),
        }
    }

    pub(super) fn unbound(&mut self, at: At<'_>, device: DeviceId, changes: Vec<Change>, gone: bool) {
        self.write(changes);
        self.watch_binding(device);
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
    }
}
