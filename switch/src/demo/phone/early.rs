//! What is said before a call is answered: reliable provisional answers (RFC 3262) and early media, as caller and as callee.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;
use rsip::headers::Header;
use rsip::{Method, Request, Response};

use super::call::{Agreement, Phase, head};
use super::manners::Reliable;
use super::message::{self, Body, Essentials};
use super::transaction::{PATIENCE, Purpose, Resend};
use super::{End, Event, Phone};

/// A reliable provisional answer of this telephone, until its PRACK comes.
#[derive(Debug)]
pub(super) struct Provisional {
    rseq: u32,
    cseq: u32,
    answer: Bytes,
    to: SocketAddr,
    resend: Resend,
    until: Instant,
    /// It has a session description: no 2xx may overtake it (RFC 3262 §5).
    described: bool,
    /// Somebody has picked up meanwhile.
    picked_up: bool,
}

impl Provisional {
    pub(super) fn next_timeout(&self) -> Instant {
        self.resend.at().min(self.until)
    }
}

impl Phone {
    /// Tells the caller that it rings, or lets it hear so.
    pub(super) fn announce(&mut self, now: Instant, key: &(String, String), cseq: u32) {
        let Some(call) = &self.call else { return };
        let reliable = call.peer.reliable && self.config.manners.reliable != Reliable::Never;
        let described = self.config.manners.early_media && (reliable || call.agreement != Agreement::Open);
        let body = match described {
            true => match self.describe(now, reliable) {
                Some(body) => Some(Body::sdp(body)),
                None => {
                    self.respond(now, key, 488, Vec::new(), None);
                    return self.end(End::Here);
                }
            },
            false => None,
        };
        let mut extra = vec![self.contact(), Header::Allow(self.allow().into())];
        if self.config.manners.talk {
            extra.push(message::extra("Allow-Events", "talk, hold"));
        }
        let rseq = self.random.next_u32() % 1000 + 1;
        if reliable {
            extra.extend([Header::Require("100rel".into()), message::extra("RSeq", &rseq)]);
        }
        let sent = self.respond(now, key, if described { 183 } else { 180 }, extra, body);
        if let (true, Some((answer, to)), Some(call)) = (reliable, sent, &mut self.call) {
            let (resend, until) = (Resend::begin(now), now + PATIENCE);
            call.provisional = Some(Provisional { rseq, cseq, answer, to, resend, until, described, picked_up: false });
        }
    }

    /// The answer to the caller's offer, or the offer he has left to this side; `None`: nothing is common. `finally`: no other follows.
    pub(super) fn describe(&mut self, now: Instant, finally: bool) -> Option<String> {
        match self.call.as_ref()?.agreement.clone() {
            Agreement::Owed(offer) => {
                let answer = self.answer_to(&offer, false)?;
                let call = self.call.as_mut()?;
                let body = call.write(answer);
                call.settle(now, &offer);
                if finally {
                    call.agreement = Agreement::Settled;
                }
                Some(body)
            }
            _ => {
                let offer = self.offer(false);
                let call = self.call.as_mut()?;
                call.agreement = Agreement::Offered;
                Some(call.write(offer))
            }
        }
    }

    /// Picking up waits for the PRACK of what was described (RFC 3262 §5); whether it does.
    pub(super) fn must_wait(&mut self) -> bool {
        let provisional = self.call.as_mut().and_then(|call| call.provisional.as_mut());
        let Some(waiting) = provisional.filter(|provisional| provisional.described) else { return false };
        waiting.picked_up = true;
        if let Some(Phase::Ringing { answer_at, .. }) = self.call.as_mut().map(|call| &mut call.phase) {
            *answer_at = None;
        }
        true
    }

    pub(super) fn receive_prack(&mut self, now: Instant, key: &(String, String), request: &Request) {
        let mut words = message::other(request, "RAck").unwrap_or_default().split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
        let named = (number(), number());
        let matches = |own: &mut Provisional| (Some(own.rseq), Some(own.cseq)) == named;
        let done = self.call.as_mut().and_then(|call| call.provisional.take_if(matches));
        let Some(done) = done else { return self.refuse(now, key, 481) };
        let body = match self.call.as_ref().map(|call| call.agreement.clone()) {
            Some(Agreement::Offered) => {
                self.take_answer(now, &request.body, "a PRACK");
                None
            }
            // RFC 3262 §5: a PRACK may have an offer of its own.
            _ => self.read(&request.body).and_then(|offer| self.take_offer(now, &offer)),
        };
        self.respond(now, key, 200, Vec::new(), body.map(Body::sdp));
        if done.picked_up {
            self.answer(now);
        }
    }

    /// The answer to this side's offer came in a request of this name.
    pub(super) fn take_answer(&mut self, now: Instant, body: &[u8], name: &str) {
        match self.read(body) {
            Some(remote) => {
                if let Some(call) = &mut self.call {
                    call.agreement = Agreement::Settled;
                    call.settle(now, &remote);
                }
            }
            None => self.tell(Event::Malformed(format!("{name} without the answer to the offer before it"))),
        }
    }

    /// The PRACK does not come: the answer is repeated, and after 64·T1 the INVITE refused (RFC 3262 §3).
    pub(super) fn elapse_provisional(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        let Some(provisional) = &mut call.provisional else { return };
        if provisional.until <= now {
            if let Phase::Ringing { key, .. } = &call.phase {
                let key = key.clone();
                self.refuse(now, &key, 504);
            }
            self.end(End::Lost);
        } else if provisional.resend.due(now, None) {
            let (answer, to) = (provisional.answer.clone(), provisional.to);
            self.send(answer, to);
        }
    }

    /// A provisional answer to this telephone's INVITE.
    pub(super) fn provisional_came(&mut self, now: Instant, response: &Response) {
        let status = response.status_code.code();
        if status == 100 {
            return;
        }
        let rseq = message::other(response, "RSeq").and_then(|number| number.trim().parse::<u32>().ok());
        let rseq = rseq.filter(|_| message::lists(response, "Require", "100rel"));
        let tag = Essentials::of(response).ok().and_then(|essentials| essentials.to_tag);
        let Some(call) = &mut self.call else { return };
        call.peer.learn(response);
        if let (Some(rseq), Some(tag)) = (rseq, &tag) {
            if self.config.manners.reliable == Reliable::Never {
                return self.tell(Event::Malformed("a reliable provisional answer, which nobody asked for".into()));
            }
            // RFC 3262 §4: out of its order it is not even looked at; one that comes again has its PRACK under way.
            if call.rseqs.get(tag).is_some_and(|last| *last + 1 != rseq) {
                return;
            }
            call.rseqs.insert(tag.clone(), rseq);
        }
        if let Phase::Calling { ringing, .. } = &mut call.phase {
            *ringing = true;
        }
        self.establish(response);
        let remote = self.read(&response.body);
        let agreement = self.call.as_ref().map(|call| call.agreement.clone());
        let mut answer = None;
        match (agreement, remote) {
            (Some(Agreement::Offered), Some(remote)) => {
                if let Some(call) = &mut self.call {
                    call.settle(now, &remote);
                    if rseq.is_some() {
                        call.agreement = Agreement::Settled;
                    }
                }
            }
            (Some(Agreement::Open), Some(offer)) if rseq.is_some() => {
                answer = Some(self.take_offer(now, &offer).unwrap_or_else(|| self.decline(&offer)));
            }
            _ => {}
        }
        if let Some(rseq) = rseq {
            self.send_prack(now, rseq, answer);
        }
        self.tell(Event::Progress(status));
    }

    fn send_prack(&mut self, now: Instant, rseq: u32, answer: Option<String>) {
        let Some(call) = &mut self.call else { return };
        let Phase::Calling { branch, .. } = &call.phase else { return };
        let Some(invite) = self.clients.get(branch) else { return };
        let cseq = Essentials::of(&invite.request).map_or(0, |essentials| essentials.cseq);
        call.dialog.cseq += 1;
        let head = head(&call.dialog);
        let extra = vec![message::extra("RAck", &format!("{rseq} {cseq} INVITE"))];
        let request = self.request(Method::PRack, head, extra, answer.map(Body::sdp));
        self.send_request(now, request, Purpose::Within, false);
    }

    /// A response with a To tag makes the dialog, early or for good (RFC 3261 §12.1.2). Whether all is there that it takes.
    pub(super) fn establish(&mut self, response: &Response) -> bool {
        let Some(call) = &mut self.call else { return false };
        let Some(tag) = Essentials::of(response).ok().and_then(|essentials| essentials.to_tag) else { return false };
        let target = message::contact(response);
        let is_complete = target.is_some();
        call.dialog.confirm(response, tag, target.unwrap_or_else(|| call.dialog.target.clone()));
        is_complete
    }
}
