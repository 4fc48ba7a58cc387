//! What others ask of the telephone: calls, changes to them, their end, and what it can do.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::{Method, Request};

use super::call::{Dialog, Phase, record_route};
use super::message::{self, ALLOW, Essentials};
use super::sdp::Description;
use super::transaction::Server;
use super::{Behaviour, End, Event, Phone};

/// A server transaction's key.
type Key = (String, String);

impl Phone {
    pub(super) fn receive_request(
        &mut self,
        now: Instant,
        request: Request,
        essentials: &Essentials,
        from: SocketAddr,
    ) {
        if request.method == Method::Ack {
            return self.receive_ack(now, &request, essentials);
        }
        let key = (essentials.branch.clone(), request.method.to_string());
        if let Some(server) = self.servers.get(&key) {
            if let Some(answer) = server.repeated() {
                self.send(answer, from);
            }
            return;
        }
        self.servers.insert(key.clone(), Server::begin(request.clone(), from, self.is_reliable()));
        let in_dialog = essentials.to_tag.is_some();
        let known = in_dialog && self.is_ours(essentials);
        match request.method {
            Method::Cancel => self.receive_cancel(now, &key),
            _ if in_dialog && !known => self.refuse(now, &key, 481),
            Method::Invite if known => self.receive_reinvite(now, &key, &request, essentials),
            Method::Invite => self.receive_invite(now, &key, request, essentials),
            Method::Bye if known => {
                self.refuse(now, &key, 200);
                self.end(End::There);
            }
            Method::Bye => self.refuse(now, &key, 481),
            Method::Options => {
                let status = if self.call.is_some() && !known { 486 } else { 200 };
                self.respond(now, &key, status, vec![Header::Allow(ALLOW.into()), self.contact()], None);
            }
            Method::Notify => self.refuse(now, &key, 200),
            _ => {
                self.respond(now, &key, 405, vec![Header::Allow(ALLOW.into())], None);
            }
        }
    }

    /// Whether a request belongs to the dialog at hand; a lower number than before does not (RFC 3261 §12.2.2).
    fn is_ours(&self, essentials: &Essentials) -> bool {
        self.call.as_ref().is_some_and(|call| {
            let dialog = &call.dialog;
            dialog.call_id == essentials.call_id
                && essentials.to_tag.as_ref() == Some(&dialog.local_tag)
                && dialog.remote_tag.as_ref() == Some(&essentials.from_tag)
                && essentials.cseq >= dialog.remote_cseq
        })
    }

    /// A final answer with nothing in it.
    fn refuse(&mut self, now: Instant, key: &Key, status: u16) {
        self.respond(now, key, status, Vec::new(), None);
    }

    /// Answers a request; what was sent, and where to.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        key: &Key,
        status: u16,
        extra: Vec<Header>,
        body: Option<String>,
    ) -> Option<(Bytes, SocketAddr)> {
        let tag = match &self.call {
            Some(call) if matches!(&call.phase, Phase::Ringing { key: own, .. } if own == key) => {
                call.dialog.local_tag.clone()
            }
            Some(call) if status == 200 => call.dialog.local_tag.clone(),
            _ => self.token(),
        };
        let server = self.servers.get_mut(key)?;
        let answer = message::encode(message::response(&server.request, status, &tag, extra, body));
        server.respond(now, status, answer.clone());
        let to = server.to();
        self.send(answer.clone(), to);
        Some((answer, to))
    }

    fn receive_ack(&mut self, now: Instant, request: &Request, essentials: &Essentials) {
        if let Some(server) = self.servers.get_mut(&(essentials.branch.clone(), Method::Invite.to_string())) {
            return server.acknowledged(now);
        }
        if self.call.as_ref().is_some_and(|call| call.dialog.call_id == essentials.call_id) {
            self.acknowledged(now, essentials.cseq, &request.body);
        }
    }

    /// RFC 3261 §9.2.
    fn receive_cancel(&mut self, now: Instant, key: &Key) {
        let invite = (key.0.clone(), Method::Invite.to_string());
        match self.servers.get(&invite).map(Server::is_answered) {
            None => self.refuse(now, key, 481),
            Some(answered) => {
                self.refuse(now, key, 200);
                if !answered {
                    self.refuse(now, &invite, 487);
                    self.end(End::There);
                }
            }
        }
    }

    fn receive_invite(&mut self, now: Instant, key: &Key, request: Request, essentials: &Essentials) {
        if self.call.is_some() {
            return self.refuse(now, key, 486);
        }
        if let Behaviour::Reject(status) = self.config.behaviour {
            return self.refuse(now, key, status);
        }
        let (Some(target), Ok(from), Ok(to)) = (message::contact(&request), request.from_header(), request.to_header())
        else {
            self.tell(Event::Malformed("an INVITE without Contact".into()));
            return self.refuse(now, key, 400);
        };
        let local_tag = self.token();
        let dialog = Dialog {
            call_id: essentials.call_id.clone(),
            local: format!("{};tag={local_tag}", to.value()),
            local_tag,
            remote_tag: Some(essentials.from_tag.clone()),
            remote: from.value().to_owned(),
            target,
            route: record_route(&request).collect(),
            cseq: 0,
            remote_cseq: essentials.cseq,
        };
        let caller = caller(&request);
        let answer_at = match self.config.behaviour {
            _ if self.config.auto_answer && asks_for_auto_answer(&request) => Some(now),
            Behaviour::Answer(after) => Some(now + after),
            Behaviour::Ring | Behaviour::Reject(_) => None,
        };
        let (call, _) = self.new_call(dialog);
        self.call = Some(call);
        let offer = self.read(&request.body);
        let Some(call) = &mut self.call else { return };
        call.phase = Phase::Ringing { key: key.clone(), request: Box::new(request), offer, answer_at };
        self.respond(now, key, 180, vec![self.contact()], None);
        self.tell(Event::Incoming(caller));
    }

    /// A change to the session by the other side (RFC 3261 §14.2).
    fn receive_reinvite(&mut self, now: Instant, key: &Key, request: &Request, essentials: &Essentials) {
        let offer = self.read(&request.body);
        let Some(call) = &mut self.call else { return };
        call.dialog.remote_cseq = essentials.cseq;
        if call.is_changing() {
            return self.refuse(now, key, 491);
        }
        if !matches!(call.phase, Phase::Talking(None)) {
            let retry = Header::RetryAfter("1".into());
            self.respond(now, key, 500, vec![retry], None);
            return;
        }
        let offered = offer.is_none();
        let (sends, receives) = self.wants(self.call.as_ref().is_some_and(|call| call.held));
        let description = match &offer {
            Some(offer) => Description::answer(offer, self.config.rtp, &self.config.codecs, sends, receives),
            None => {
                let direction = super::Direction::of(sends, receives);
                Some(Description::offer(self.config.rtp, &self.config.codecs, direction))
            }
        };
        let (Some(description), Some(call)) = (description, &mut self.call) else {
            return self.refuse(now, key, 488);
        };
        if let Some(target) = message::contact(request) {
            call.dialog.target = target;
        }
        let body = call.write(description);
        let mut held = None;
        if let Some(offer) = &offer {
            call.settle(now, offer);
            let on_hold = !offer.direction.receives() || offer.address.ip().is_unspecified();
            held = (call.held_by_other != on_hold).then_some(on_hold);
            call.held_by_other = on_hold;
        }
        self.accept(now, key, request, body, offered, false);
        if let Some(held) = held {
            self.tell(Event::HeldByOther(held));
        }
    }
}

/// Who calls: the asserted identity (RFC 3325), else From.
fn caller(request: &Request) -> String {
    let asserted = message::other(request, "P-Asserted-Identity").map(str::to_owned);
    let value = asserted.or_else(|| request.from_header().ok().map(|from| from.value().to_owned())).unwrap_or_default();
    let user = value.split_once("sip:").map_or("", |(_, rest)| rest);
    user.split(['@', '>', ';']).next().unwrap_or_default().to_owned()
}

/// The headers by which phones are asked to answer at once.
fn asks_for_auto_answer(request: &Request) -> bool {
    request.headers().iter().any(|header| match header {
        Header::CallInfo(value) => value.value().contains("answer-after=0"),
        Header::AlertInfo(value) => value.value().to_ascii_lowercase().contains("auto"),
        _ => false,
    })
}
