//! DTMF. What a phone sends by RFC 4733 is relayed by the media plane; what a client sends is made there (S69). Phones that know INFO alone are
//! understood, and spoken to in their way.

use cas::control::{Digit, Refusal, RefusalCode, Ticket};
use media::Codec;

use super::leg::{Leg, LegId, LegState};
use super::offer::refused;
use super::party::PartyState;
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::sip::body::is_type;
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::transaction::ServerTx;

/// Digits that may wait for the INFO of the one before.
const MAX_WAITING: usize = 64;
/// How long a key is said to be held in an INFO, in milliseconds.
const DURATION: u32 = 160;
/// What is said to be understood.
const ACCEPT: &str = "application/dtmf-relay, application/dtmf";

impl Engine {
    /// Plays digits to the far phone; what may be done was asked before.
    pub(crate) fn send_digits(&mut self, at: At<'_>, far: LegId, digits: &[Digit]) -> Ticket {
        let ticket = self.ticket();
        let result = match self.play_digits(at, far, digits) {
            true => Ok(None),
            false => {
                let text = "Too many digits wait already for the far phone".to_owned();
                Err(Refusal { code: RefusalCode::Limit, text: text.into() })
            }
        };
        self.complete(ticket, result);
        ticket
    }

    /// Whether a phone can be sent digits.
    pub(crate) fn takes_digits(&self, id: LegId) -> bool {
        let up = self.table.leg(id).and_then(|leg| match &leg.state {
            LegState::Up(up) => Some(up),
            _ => None,
        });
        self.takes_events(id) || up.is_some_and(|up| up.takes.info)
    }

    /// Whether a phone has agreed to telephone-events.
    fn takes_events(&self, id: LegId) -> bool {
        let audio = self.table.leg(id).and_then(|leg| leg.audio.as_ref());
        audio.is_some_and(|audio| {
            audio.payloads.0.iter().any(|(_, codec)| matches!(codec, Codec::TelephoneEvent { .. }))
        })
    }

    /// In its sound where the phone takes events there, else by INFO, one after the other. False where too many wait.
    fn play_digits(&mut self, at: At<'_>, far: LegId, digits: &[Digit]) -> bool {
        if self.takes_events(far) {
            let told = self.seats.send_digits(far, digits.iter().map(|digit| digit.event()).collect());
            self.media(told);
            return true;
        }
        let Some(up) = self.up(far) else { return true };
        if up.digits.len() + digits.len() > MAX_WAITING {
            return false;
        }
        let idle = up.digits.is_empty();
        up.digits.extend(digits);
        if idle {
            self.inform(at, far);
        }
        true
    }

    /// The first digit that waits goes out.
    fn inform(&mut self, at: At<'_>, id: LegId) {
        let Some(up) = self.up(id) else { return };
        let Some(digit) = up.digits.front() else { return };
        let body = format!("Signal={}\r\nDuration={DURATION}\r\n", digit.to_char());
        let info = up.dialog.request(Method::Info).with_body("application/dtmf-relay", body);
        let flow = up.dialog.flow();
        self.endpoint.request(at.now.mono, flow, info, Owner::Info(id));
    }

    /// The phone has answered an INFO, however: on to the next digit.
    pub(crate) fn info_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        match response.status {
            status if status.is_provisional() => {}
            Status(481) => self.probe_unanswered(at, id),
            _ => self.next_digit(at, id),
        }
    }

    pub(crate) fn info_unanswered(&mut self, at: At<'_>, id: LegId) {
        self.next_digit(at, id);
    }

    fn next_digit(&mut self, at: At<'_>, id: LegId) {
        if let Some(up) = self.up(id) {
            up.digits.pop_front();
            self.inform(at, id);
        }
    }

    /// An INFO of the phone's: a digit for the other party, or nothing (RFC 6086 §1, the "legacy INFO usage").
    pub(crate) fn informed(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let response = self.answer_info(at, request, id);
        self.endpoint.respond(at.now.mono, tx, &response);
    }

    fn answer_info(&mut self, at: At<'_>, request: &Request, id: LegId) -> Response {
        if request.headers.get(&Name::Other("Info-Package".into())).is_some() {
            // RFC 6086 §4.2.2: none was agreed on.
            return request.response(Status(469)).with(Name::Other("Recv-Info".into()), "");
        }
        if request.body.is_empty() {
            return request.response(Status(200));
        }
        let relay = is_type(&request.headers, "application/dtmf-relay");
        if !relay && !is_type(&request.headers, "application/dtmf") {
            return request.response(Status(415)).with(Name::Accept, ACCEPT);
        }
        let Some(digit) = read_digit(&request.body, relay) else {
            return refused(request, Status(400), "No digit can be read in the body");
        };
        match self.far_of(id) {
            Far::Phone(far) if self.takes_digits(far) => match self.play_digits(at, far, &[digit]) {
                true => request.response(Status(200)),
                false => request.response(Status(503)).with(Name::RetryAfter, "1"),
            },
            Far::Phone(_) | Far::Nobody => refused(request, Status(488), "Nobody at the far end takes digits"),
            Far::Service => request.response(Status(200)),
        }
    }

    fn far_of(&self, id: LegId) -> Far {
        let Some(Leg { call, side, .. }) = self.table.leg(id) else { return Far::Nobody };
        match self.table.call(*call).map(|call| &call.party(side.other()).state) {
            Some(PartyState::Up { leg, .. }) => Far::Phone(*leg),
            Some(PartyState::Service(_)) => Far::Service,
            _ => Far::Nobody,
        }
    }
}

enum Far {
    Phone(LegId),
    Service,
    Nobody,
}

/// `Signal=5` in a line of its own, blanks allowed, or the digit alone.
fn read_digit(body: &[u8], relay: bool) -> Option<Digit> {
    let text = std::str::from_utf8(body).ok()?;
    let key = match relay {
        true => text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        })?,
        false => text.trim(),
    };
    let mut keys = key.chars();
    let digit = Digit::from_char(keys.next()?)?;
    keys.next().is_none().then_some(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_read_from_either_body() {
        let read = |body: &str, relay| read_digit(body.as_bytes(), relay).map(Digit::to_char);
        assert_eq!(read("Signal=5\r\nDuration=160\r\n", true), Some('5'));
        assert_eq!(read("Duration = 100\nsignal = # \n", true), Some('#'));
        assert_eq!(read("*", false), Some('*'));
        for (body, relay) in [("", true), ("Signal=", true), ("Signal=55", true), ("55", false), ("Signal=x", true)] {
            assert_eq!(read(body, relay), None, "{body}");
        }
    }
}
