//! `*43`: the caller hears himself, and knows that his sound goes out and comes back.

use media::Command;

use crate::call::CallNo;
use crate::engine::{At, Engine};

impl Engine {
    pub(crate) fn echo(&mut self, at: At<'_>, no: CallNo) {
        self.connect(at, no);
        let leg = self.table.call(no).and_then(|call| call.caller.leg());
        if let Some((id, leg)) = leg.and_then(|id| Some((id, self.table.leg(id)?))) {
            self.media(leg.place.worker, Command::Echo(id));
        }
    }
}
