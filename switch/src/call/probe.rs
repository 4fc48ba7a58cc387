//! Phones that vanish: a minute without RTP, then an OPTIONS in the dialog that nobody answers, ends the call.

use cas::control::Cause;

use super::CallNo;
use super::cause::Failure;
use super::leg::{Leg, LegId, LegState};
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::sip::message::{Method, Response};

impl Engine {
    /// No RTP for a minute.
    pub(crate) fn silent(&mut self, at: At<'_>, id: LegId) {
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        let flow = up.dialog.flow();
        let options = up.dialog.request(Method::Options);
        self.endpoint.request(at.now.mono, flow, options, Owner::Probe(id));
    }

    /// Any answer shows a phone, but for those that say it knows nothing of the call (RFC 3261 §12.2.1.2).
    pub(crate) fn probe_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        if matches!(response.status.0, 408 | 481) {
            self.probe_unanswered(at, id);
        }
    }

    pub(crate) fn probe_unanswered(&mut self, at: At<'_>, id: LegId) {
        if let Some(leg) = self.table.leg(id) {
            self.vanished(at, leg.call);
        }
    }

    /// A phone of the call no longer answers.
    pub(crate) fn vanished(&mut self, at: At<'_>, no: CallNo) {
        self.end_call(at, no, Failure::new(Cause::Vanished), None);
    }
}
