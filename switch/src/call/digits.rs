//! DTMF. What a phone sends by RFC 4733 is relayed by the media plane; what a client sends is made there (S69).

use cas::control::{Digit, Ticket};
use media::Codec;

use super::leg::{LegId, LegState};
use crate::engine::Engine;

impl Engine {
    /// Plays digits to the far phone; what may be done was asked before.
    pub(crate) fn send_digits(&mut self, far: LegId, digits: &[Digit]) -> Ticket {
        let ticket = self.ticket();
        let told = self.seats.send_digits(far, digits.iter().map(|digit| digit.event()).collect());
        self.media(told);
        self.complete(ticket, Ok(None));
        ticket
    }

    /// Whether a phone has agreed to telephone-events.
    pub(crate) fn takes_digits(&self, id: LegId) -> bool {
        let Some(LegState::Up(up)) = self.table.leg(id).map(|leg| &leg.state) else { return false };
        up.audio.payloads.0.iter().any(|(_, codec)| matches!(codec, Codec::TelephoneEvent { .. }))
    }
}
