//! More than can be done: what is turned away, and how, at the least cost. A 503 with Retry-After is written from the lines of the request, before anything
//! else of it is read; nothing is kept. What belongs to a dialog or a transaction that is there goes on: it ends what is under way.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use cas::control::Cause;
use cas::site::DeviceId;

use super::Engine;
use crate::call::cause;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::wire::Glance;

/// How far the switch is behind with what comes in, by what it turns away for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Nothing.
    #[default]
    None,
    /// What begins something and comes from nobody it knows.
    Strangers,
    /// And every new call.
    Calls,
    /// And everything else that begins something.
    Requests,
}

impl Pressure {
    /// What being behind for so long comes to, where `lag` is what is borne.
    pub(crate) fn of(behind: Duration, lag: Duration) -> Pressure {
        match behind {
            behind if behind < lag / 2 => Pressure::None,
            behind if behind < lag => Pressure::Strangers,
            behind if behind < 2 * lag => Pressure::Calls,
            _ => Pressure::Requests,
        }
    }
}

impl Engine {
    pub(crate) fn press(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// Answers a datagram that there is no time for. Whether it was one.
    pub(super) fn is_turned_away(&mut self, flow: Flow, datagram: &Bytes) -> bool {
        if !self.is_pressed() {
            return false;
        }
        // What is not plain at a glance is read in full, and judged then.
        let Some(glance) = Glance::at(datagram) else { return false };
        if self.endpoint.transactions.has(&glance.method, &glance.via) || self.takes(&glance.method, &flow) {
            return false;
        }
        self.counts.messages += 1;
        self.counts.turned_away += 1;
        let retry_after = self.endpoint.retry_after();
        let reason = match glance.method {
            Method::Invite => format!("Reason: {}\r\n", cause::reason(Cause::Overloaded)),
            _ => String::new(),
        };
        let refusal = glance.response(&flow, Status(503), &format!("{reason}Retry-After: {retry_after}\r\n"));
        self.endpoint.send(flow.of_reply(&glance.via), refusal);
        true
    }

    /// Whether a request that was read in full begins something there is no time for.
    pub(super) fn is_beyond(&self, request: &Request, flow: &Flow) -> bool {
        self.is_pressed()
            && !matches!(request.method, Method::Ack | Method::Cancel)
            && request.headers.to().is_ok_and(|to| to.tag().is_none())
            && request.headers.via().is_ok_and(|via| !self.endpoint.transactions.has(&request.method, via))
            && !self.takes(&request.method, flow)
    }

    /// The answer to it, of which nothing is kept.
    pub(super) fn turn_away(&mut self, request: &Request, flow: Flow) {
        let Ok(via) = request.headers.via() else { return };
        self.counts.turned_away += 1;
        let response = self.unavailable(request);
        self.endpoint.send(flow.of_reply(via), response.encode());
    }

    /// 503, and when to try again.
    pub(crate) fn unavailable(&mut self, request: &Request) -> Response {
        let mut response = request.response(Status(503));
        if request.method == Method::Invite {
            response.headers.push(Name::Reason, cause::reason(Cause::Overloaded));
        }
        response.with(Name::RetryAfter, self.endpoint.retry_after().to_string())
    }

    /// Whether anything is turned away. Full tables are met where they cost least, too.
    fn is_pressed(&self) -> bool {
        self.pressure != Pressure::None || self.is_full() || self.endpoint.transactions.is_full()
    }

    /// Whether there is room and time for what begins so.
    fn takes(&self, method: &Method, flow: &Flow) -> bool {
        let is_call = *method == Method::Invite;
        if self.endpoint.transactions.is_full() || (is_call && self.is_full()) {
            return false;
        }
        match self.pressure {
            Pressure::None => true,
            Pressure::Strangers => self.sources.knows(flow.peer.ip()),
            Pressure::Calls => !is_call && self.sources.knows(flow.peer.ip()),
            Pressure::Requests => false,
        }
    }

    /// Whether this source has as many calls as it may begin.
    pub(crate) fn has_its_calls(&self, flow: &Flow) -> bool {
        self.table.calls_from(flow.source()) >= self.settings.limits.calls_per_source
            && !self.sources.is_gateway(flow.peer.ip())
    }

    /// Whether there is room for one more binding from there. One that is there already may be refreshed or replaced.
    pub(super) fn has_room_to_register(&self, source: IpAddr, device: DeviceId) -> bool {
        let limits = &self.settings.limits;
        self.sources.has(device, source)
            || (self.sources.bindings() < limits.registrations
                && self.sources.bindings_from(source) < limits.registrations_per_source)
    }
}
