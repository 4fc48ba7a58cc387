//! What was asked for by a code is done: the caller's telephone is answered, shows so for a moment, and is hung up.

use cas::control::Cause;

use super::CallNo;
use super::cause::Failure;
use super::park::SHOWN;
use super::party::{Identity, PartyState, Side};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::service::Service;

impl Engine {
    /// Shows this to the caller.
    pub(crate) fn show_done(&mut self, at: At<'_>, no: CallNo, number: &str, name: String) {
        let Some(caller) = self.table.call(no).map(|call| call.caller.identity.clone()) else { return };
        let mut teller = self.party(at, Identity { user: None, number: number.to_owned(), name }, caller);
        teller.state = PartyState::Service(Service::Notice);
        self.table.replace(no, Side::Callee, teller);
        self.connect(at, no);
        if self.table.call(no).is_some() {
            self.endpoint.timers.set(Timer::Notice(no), at.now.mono + SHOWN);
        }
    }

    /// It was shown for long enough.
    pub(crate) fn noticed(&mut self, at: At<'_>, no: CallNo) {
        self.end_call(at, no, Failure::new(Cause::Normal), None);
    }

    /// Whether a call is there for that alone.
    pub(crate) fn is_notice(&self, no: CallNo) -> bool {
        self.table.call(no).is_some_and(|call| matches!(call.callee.state, PartyState::Service(Service::Notice)))
    }
}
