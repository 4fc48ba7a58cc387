//! `*43`: the caller hears himself, and knows that his sound goes out and comes back.

use crate::call::CallNo;
use crate::engine::{At, Engine};

impl Engine {
    pub(crate) fn echo(&mut self, at: At<'_>, no: CallNo) {
        self.connect(at, no);
        if let Some(leg) = self.table.call(no).and_then(|call| call.caller.leg()) {
            let told = self.seats.echo(leg);
            self.media(told);
        }
    }
}
