//! Endpoints inside the switch: what a number can lead to besides phones.

pub(crate) mod echo;

use cas::site::Feature;

use crate::call::{CallNo, PartyState};
use crate::engine::{At, Engine};

impl Engine {
    /// A service takes the callee's place.
    pub(crate) fn serve(&mut self, at: At<'_>, no: CallNo, feature: Feature) {
        if let Some(call) = self.table.call_mut(no) {
            call.callee.state = PartyState::Service(feature);
        }
        match feature {
            Feature::Echo => self.echo(at, no),
        }
    }
}
