//! `*43`: the caller hears himself, and knows that his sound goes out and comes back.

use crate::call::CallNo;
use crate::call::leg::Leg;
use crate::engine::Engine;

impl Engine {
    /// As soon as he is answered and his sound is agreed.
    pub(crate) fn echo(&mut self, no: CallNo) {
        let leg = self.table.call(no).and_then(|call| call.caller.leg());
        if let Some(leg) = leg.filter(|leg| self.table.leg(*leg).is_some_and(Leg::is_agreed)) {
            let told = self.seats.echo(leg);
            self.media(told);
        }
    }
}
