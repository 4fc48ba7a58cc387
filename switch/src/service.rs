//! Endpoints inside the switch: what a number can lead to besides phones.

pub(crate) mod echo;
pub(crate) mod orbit;

use cas::control::CallId;
use cas::site::Feature;

use self::orbit::Slot;
use crate::call::cause::Failure;
use crate::call::transfer::Asked;
use crate::call::{CallNo, PartyState};
use crate::engine::{At, Engine};

/// What stands in for a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Plays the caller his own voice.
    Echo,
    /// Nobody, until it is known what came of the transfer that made this call: the transferor hears nothing of it.
    Transfer(CallNo),
    /// Keeps company to a parked call.
    Park(Slot),
    /// Calls whoever has parked the call there, which takes its place when he answers.
    Recall(Slot),
    /// Rings who has somebody on hold by this end of a call: that somebody takes its place when he answers.
    Reminder(CallId),
    /// Tells whoever has parked a call where it is, so many phrases of it already; then the transfer that he may have asked for is done.
    Parked(Slot, Option<Asked>, u8),
    /// Tells a caller why he reaches nobody, so many phrases of it already; then his call ends so.
    Tells(Failure, u8),
    /// Rings somebody in the place of the one at this end of another call, whose caller he is to have.
    Seek(CallId),
    /// Shows a caller that what he has asked for by a code is done.
    Notice,
}

impl Engine {
    /// A service takes the callee's place.
    pub(crate) fn serve(&mut self, at: At<'_>, no: CallNo, feature: Feature) {
        let service = match feature {
            Feature::Echo => Service::Echo,
        };
        if let Some(call) = self.table.call_mut(no) {
            call.callee.state = PartyState::Service(service);
        }
        self.connect(at, no);
    }
}
