//! Who asks, and where phones can be reached: the engine around the gate and the registrar.

use cas::control::CallEvent;
use cas::site::{Access, DeviceId, Site};
use cas::store::{self, Change};

use super::{At, Engine};
use crate::auth::Verdict;
use crate::endpoint::Timer;
use crate::registrar::Answer;
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Request, Status};
use crate::sip::transaction::ServerTx;

impl Engine {
    pub(super) fn authenticated(&mut self, at: At<'_>, tx: ServerTx, request: Request, flow: Flow) {
        let registrar = &self.registrar;
        let registered_from = |device, source| registrar.is_registered_from(device, source);
        match self.gate.check(at.now, at.site, self.settings.digest, &request, &flow, registered_from) {
            Verdict::Device(device) if request.method == Method::Register => {
                self.register(at, tx, &request, flow, device);
            }
            Verdict::Device(device) => self.invited(at, tx, request, flow, device),
            Verdict::Challenge(response) | Verdict::Malformed(response) => {
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
            Verdict::Refused(response, delay) => {
                self.counts.refused += 1;
                tracing::warn!(source = %flow.peer, method = %request.method, ?delay, "a wrong secret, or an unknown user");
                if delay.is_zero() {
                    return self.endpoint.refuse(at.now.mono, tx, &response);
                }
                self.endpoint.timers.set(Timer::LateAnswer(tx), at.now.mono + delay);
                self.late.insert(tx, response);
            }
        }
    }

    pub(super) fn register(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        if let Some(status) = self.wrong_registration(at.site, request, &flow, device) {
            return self.endpoint.respond(at.now.mono, tx, &request.response(status));
        }
        let id = store::RequestId(self.next_store + 1);
        match self.registrar.register(at.now, tx, request, flow, device, id) {
            Answer::Now(response, changes) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                self.write(changes);
                self.watch_binding(device);
            }
            Answer::AfterStore(changes) => {
                let written = self.write(changes);
                debug_assert_eq!(written, Some(id), "the registrar waits for the request that is made now");
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

    pub(super) fn unbound(&mut self, device: DeviceId, changes: Vec<Change>, gone: bool) {
        self.write(changes);
        self.watch_binding(device);
        if gone {
            tracing::info!(device = device.0, registered = false, "a device came or went");
            self.events.push_back(CallEvent::Device { device, registered: false });
        }
    }
}
