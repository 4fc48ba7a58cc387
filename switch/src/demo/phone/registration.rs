//! Registering, refreshing and taking it back (RFC 3261 §10.2).

use std::time::{Duration, Instant};

use rsip::headers::{Header, ToTypedHeader, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::{Method, Response};

use super::message;
use super::transaction::Purpose;
use super::{Event, Head, Phone};

/// After a failure, the next attempt.
const RETRY: Duration = Duration::from_secs(10);

/// Where the registration stands.
#[derive(Debug, Default)]
pub(super) struct Registration {
    call_id: Option<String>,
    pub(super) cseq: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody asked for one.
    #[default]
    Off,
    /// Asked for, not confirmed; the next attempt once one has failed.
    Wanted { retry_at: Option<Instant> },
    /// Confirmed.
    Up { refresh_at: Instant },
}

impl Registration {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// What carried it is gone.
    pub(super) fn try_again(&mut self, now: Instant) {
        if !matches!(self.state, State::Off) {
            self.state = State::Wanted { retry_at: Some(now) };
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Off => None,
            State::Wanted { retry_at } => retry_at,
            State::Up { refresh_at } => Some(refresh_at),
        }
    }
}

impl Phone {
    /// Registers, and keeps itself registered.
    pub fn register(&mut self, now: Instant) {
        if self.on {
            self.registration.state = State::Wanted { retry_at: None };
            self.send_register(now, self.config.expires);
        }
    }

    /// Takes the registration back.
    pub fn unregister(&mut self, now: Instant) {
        if self.on {
            self.registration.state = State::Off;
            self.send_register(now, 0);
        }
    }

    fn send_register(&mut self, now: Instant, expires: u32) {
        // RFC 3261 §10.2: one at a time; what is under way is given up, its answer no longer awaited.
        self.clients.retain(|_, client| !(client.is_open() && matches!(client.purpose, Purpose::Register { .. })));
        let call_id = match &self.registration.call_id {
            Some(call_id) => call_id.clone(),
            None => self.token(),
        };
        self.registration.call_id = Some(call_id.clone());
        self.registration.cseq += 1;
        let target = message::uri(None, rsip::Host::from(self.config.domain.as_str()).into());
        let tag = self.token();
        let head = Head {
            target,
            from: self.identity(&tag),
            to: format!("<{}>", self.address_of_record()),
            call_id,
            cseq: self.registration.cseq,
            route: Vec::new(),
        };
        let mut extra = vec![self.contact(), Header::Expires(expires.into())];
        if let Some(port) = self.config.manners.second_contact {
            let address = std::net::SocketAddr::new(self.config.sip.ip(), port);
            let uri = message::uri(Some(&self.config.user), address.into());
            extra.push(Header::Contact(format!("<{uri}>;q=0.5").into()));
        }
        let request = self.request(Method::Register, head, extra, None);
        self.send_request(now, request, Purpose::Register { expires }, false);
    }

    pub(super) fn register_answered(&mut self, now: Instant, expires: u32, response: &Response) {
        match response.status_code.code() {
            ..200 => {}
            200..300 if expires == 0 => self.tell(Event::Unregistered),
            200..300 => match self.granted(response) {
                Some(granted) => {
                    let refresh_at = now + Duration::from_secs(u64::from(granted.max(2) / 2));
                    self.registration.state = State::Up { refresh_at };
                    self.tell(Event::Registered);
                }
                None => self.tell(Event::Malformed("a 200 to REGISTER without this telephone's Contact".into())),
            },
            423 if expires != 0 => match minimum(response) {
                Some(minimum) => self.send_register(now, minimum),
                None => self.tell(Event::Malformed("a 423 without Min-Expires".into())),
            },
            status => self.register_failed(now, status),
        }
    }

    pub(super) fn register_failed(&mut self, now: Instant, status: u16) {
        if !matches!(self.registration.state, State::Off) {
            self.registration.state = State::Wanted { retry_at: Some(now + RETRY) };
        }
        self.tell(Event::RegistrationFailed(status));
    }

    pub(super) fn elapse_registration(&mut self, now: Instant) {
        if self.registration.next_timeout().is_some_and(|at| at <= now) {
            if let State::Wanted { retry_at } = &mut self.registration.state {
                *retry_at = None;
            } else {
                self.registration.state = State::Up { refresh_at: now + RETRY };
            }
            self.send_register(now, self.config.expires);
        }
    }

    /// The expiry the registrar gave to this telephone's own Contact (RFC 3261 §10.2.4).
    fn granted(&self, response: &Response) -> Option<u32> {
        let own = self.config.sip.to_string();
        response.contact_headers().into_iter().find_map(|contact| {
            let contact = contact.typed().ok()?;
            (contact.uri.host_with_port.to_string() == own)
                .then(|| contact.expires().and_then(|expires| expires.value().parse().ok()))?
        })
    }
}

fn minimum(response: &Response) -> Option<u32> {
    response.headers().iter().find_map(|header| match header {
        Header::MinExpires(minimum) => minimum.value().trim().parse().ok(),
        _ => None,
    })
}
