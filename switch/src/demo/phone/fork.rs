//! Two answers to one INVITE: those that come, of which all but the first are hung up (RFC 3261 §13.2.2.4), and those that this telephone
//! gives as if two stood behind its contact.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::HeadersExt;
use rsip::{Method, Request, Response};

use super::message::{self, Body, Essentials};
use super::sdp::Description;
use super::transaction::{PATIENCE, Purpose, Resend, T2};
use super::{Event, Head, Phone};

/// The second answer of this telephone: it waits to be acknowledged and hung up.
#[derive(Debug)]
pub(super) struct Ghost {
    call_id: String,
    tag: String,
    answer: Bytes,
    to: SocketAddr,
    /// Until it is acknowledged.
    resend: Option<Resend>,
    until: Instant,
}

impl Ghost {
    pub(super) fn next_timeout(&self) -> Instant {
        self.resend.map_or(self.until, |resend| resend.at().min(self.until))
    }
}

impl Phone {
    /// Says 200 a second time, with another To tag, from a telephone that is not there.
    pub(super) fn answer_as_another(
        &mut self,
        now: Instant,
        request: &Request,
        offer: Option<&Description>,
        to: SocketAddr,
    ) {
        let Ok(essentials) = Essentials::of(request) else { return };
        let tag = self.token();
        let own = match offer {
            Some(offer) => self.answer_to(offer, false),
            None => Some(self.offer(false)),
        };
        let Some(own) = own else { return };
        let body = own.write(u64::from(essentials.cseq) + 7_000_000, 1);
        let response = message::response(request, 200, &tag, vec![self.contact()], Some(Body::sdp(body)));
        let answer = message::encode(response);
        self.send(answer.clone(), to);
        let (resend, until) = (Some(Resend::begin(now)), now + 2 * PATIENCE);
        self.ghosts.push(Ghost { call_id: essentials.call_id, tag, answer, to, resend, until });
    }

    /// A request to the telephone that is not there; false where it is for somebody else.
    pub(super) fn is_for_ghost(&mut self, now: Instant, method: Method, essentials: &Essentials) -> bool {
        let ours =
            |ghost: &Ghost| ghost.call_id == essentials.call_id && essentials.to_tag.as_ref() == Some(&ghost.tag);
        let Some(at) = self.ghosts.iter().position(ours) else { return false };
        match method {
            Method::Ack => self.ghosts[at].resend = None,
            Method::Bye => {
                self.ghosts.remove(at);
                self.refuse(now, &(essentials.branch.clone(), method.to_string()), 200);
            }
            _ => self.refuse(now, &(essentials.branch.clone(), method.to_string()), 481),
        }
        true
    }

    pub(super) fn elapse_ghosts(&mut self, now: Instant) {
        for at in (0..self.ghosts.len()).rev() {
            let ghost = &mut self.ghosts[at];
            if ghost.until <= now {
                self.ghosts.remove(at);
                self.tell(Event::LeftAlone);
            } else if ghost.resend.as_mut().is_some_and(|resend| resend.due(now, Some(T2))) {
                let (answer, to) = (ghost.answer.clone(), ghost.to);
                self.send(answer, to);
            }
        }
    }

    /// A second 2xx of somebody else came: acknowledged each time, and hung up once.
    pub(super) fn answered_by_another(&mut self, now: Instant, branch: &str, response: &Response, tag: String) {
        let Some(client) = self.clients.get(branch) else { return };
        let request = client.request.clone();
        if let Some(ack) = client.fork(&tag) {
            return self.send(ack, self.config.registrar);
        }
        let ack = self.ack_of(&request, response, None);
        if let Some(client) = self.clients.get_mut(branch) {
            client.remember_fork(tag, ack.clone());
        }
        self.send(ack, self.config.registrar);
        let (Ok(from), Ok(to), Ok(call_id)) = (request.from_header(), response.to_header(), request.call_id_header())
        else {
            return;
        };
        let head = Head {
            target: message::contact(response).unwrap_or(request.uri.clone()),
            from: from.value().to_owned(),
            to: to.value().to_owned(),
            call_id: call_id.value().to_owned(),
            cseq: Essentials::of(&request).map_or(1, |essentials| essentials.cseq + 1),
            route: Vec::new(),
        };
        let bye = self.request(Method::Bye, head, Vec::new(), None);
        self.send_request(now, bye, Purpose::Bye, false);
    }

    /// The ACK of a 2xx (RFC 3261 §13.2.2.4), made of the request it belongs to, since the call may be over by now.
    pub(super) fn ack_of(&mut self, request: &Request, response: &Response, body: Option<String>) -> Bytes {
        let mut ack = message::companion(request, Method::Ack, response.to_header().ok(), body.map(Body::sdp));
        ack.uri = message::contact(response).unwrap_or(ack.uri);
        let transport = if self.is_reliable() { "TCP" } else { "UDP" };
        let via = message::via(transport, self.config.sip, &self.branch());
        for header in ack.headers.iter_mut() {
            if let Header::Via(value) = header {
                value.replace(via.clone());
            }
        }
        message::encode(ack)
    }
}
