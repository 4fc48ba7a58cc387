//! What a telephone asks besides calls, in a call or outside of one, and what it is asked: OPTIONS, REFER, INFO and the rest.

use std::time::Instant;

use rsip::headers::{Header, UntypedHeader};
use rsip::message::HasHeaders;
use rsip::{Method, Request};

use super::call::{Phase, head};
use super::manners::{Ask, Digits};
use super::message::{self, Body};
use super::transaction::Purpose;
use super::{Event, Head, Phone};

impl Phone {
    /// Asks the switch, within the call where `within` and there is one that is up. False where it is switched off.
    pub fn ask(&mut self, now: Instant, ask: Ask, within: bool) -> bool {
        if !self.on {
            return false;
        }
        let head = match self.call.as_mut().filter(|call| within && matches!(call.phase, Phase::Talking(_))) {
            Some(call) => {
                call.dialog.cseq += 1;
                head(&call.dialog)
            }
            None => {
                let target = message::uri(None, rsip::Host::from(self.config.domain.as_str()).into());
                let (call_id, tag) = (self.token(), self.token());
                let to = format!("<{target}>");
                Head { target, from: self.identity(&tag), to, call_id, cseq: 1, route: Vec::new() }
            }
        };
        let (extra, body) = self.asking(ask);
        let request = self.request(ask.method(), head, extra, body);
        self.send_request(now, request, Purpose::Ask(ask), false);
        true
    }

    fn asking(&self, ask: Ask) -> (Vec<Header>, Option<Body>) {
        let contact = self.contact();
        match ask {
            Ask::Options => (vec![Header::Accept("application/sdp".into())], None),
            Ask::Refer => {
                let elsewhere = format!("<sip:503@{}>", self.config.domain);
                (vec![contact, message::extra("Refer-To", &elsewhere)], None)
            }
            Ask::Subscribe => (vec![contact, Header::Event("presence".into()), Header::Expires(300.into())], None),
            Ask::Notify => {
                let state = Header::SubscriptionState("active;expires=60".into());
                (vec![contact, Header::Event("presence".into()), state], None)
            }
            Ask::Message => (Vec::new(), Some(Body::new("text/plain", "dinner at eight"))),
            Ask::Publish => (vec![Header::Event("presence".into()), Header::Expires(300.into())], None),
            Ask::Info => (Vec::new(), Some(Body::new("application/x-nothing", "nothing"))),
        }
    }

    /// Sends the next digit by INFO, where none is under way.
    pub(super) fn next_digit(&mut self, now: Instant) {
        if self.clients.values().any(|client| client.is_open() && client.purpose == Purpose::Digit) {
            return;
        }
        let Some(call) = self.call.as_mut().filter(|call| matches!(call.phase, Phase::Talking(_))) else { return };
        let Some(digit) = call.digits.pop_front() else { return };
        call.dialog.cseq += 1;
        let head = head(&call.dialog);
        let body = match self.config.manners.digits {
            Digits::Plain => Body::new("application/dtmf", digit),
            _ => Body::new("application/dtmf-relay", format!("Signal={digit}\r\nDuration=160\r\n")),
        };
        let request = self.request(Method::Info, head, Vec::new(), Some(body));
        self.send_request(now, request, Purpose::Digit, false);
    }

    /// What became of a digit; the next follows.
    pub(super) fn digit_answered(&mut self, now: Instant, status: u16) {
        self.tell(Event::Answer(Ask::Info, status));
        self.next_digit(now);
    }

    /// An INFO of the other side: a digit, or nothing this telephone knows.
    pub(super) fn receive_info(&mut self, now: Instant, key: &(String, String), request: &Request) {
        match digit(request) {
            Some(digit) => {
                self.ear.told(digit);
                self.tell(Event::Digit(digit));
                self.refuse(now, key, 200);
            }
            None => {
                let accept = Header::Accept("application/dtmf-relay, application/dtmf".into());
                self.respond(now, key, 415, vec![accept], None);
            }
        }
    }
}

/// The digit of an INFO.
fn digit(request: &Request) -> Option<char> {
    let kind = request.headers().iter().find_map(|header| match header {
        Header::ContentType(kind) => Some(kind.value().to_ascii_lowercase()),
        _ => None,
    })?;
    let text = std::str::from_utf8(&request.body).ok()?;
    let signal = match kind.as_str() {
        "application/dtmf" => text.trim(),
        "application/dtmf-relay" => text.lines().find_map(|line| line.strip_prefix("Signal="))?.trim(),
        _ => return None,
    };
    signal.chars().next().filter(|digit| "0123456789*#ABCD".contains(*digit))
}
