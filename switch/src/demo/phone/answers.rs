//! What comes back to the telephone's own INVITEs, and what time does to the call.

use std::time::{Duration, Instant};

use rand_chacha::rand_core::Rng;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::HeadersExt;
use rsip::{Method, Response};

use super::call::{Call, Change, Phase, cancel_key, record_route};
use super::message;
use super::sdp::Description;
use super::transaction::T2;
use super::{End, Event, Phone, PhoneOutput};

impl Phone {
    /// Reads a description of the other side, and complains where it does not follow from the one before.
    pub(super) fn read(&mut self, body: &[u8]) -> Option<Description> {
        let remote = Description::parse(body)?;
        if let Some(Err(breach)) = self.call.as_mut().map(|call| call.remote.follow(body)) {
            self.tell(Event::Malformed(breach));
        }
        Some(remote)
    }

    fn settle(&mut self, now: Instant, remote: &Description) {
        if let Some(call) = &mut self.call {
            call.settle(now, remote);
        }
    }

    /// The first INVITE was answered.
    pub(super) fn invite_answered(&mut self, now: Instant, branch: &str, response: &Response) {
        let status = response.status_code.code();
        let ours = |phase: &Phase| matches!(phase, Phase::Calling { branch: own, .. } if own == branch);
        let Some(call) = self.call.as_mut().filter(|call| ours(&call.phase)) else {
            return self.acknowledge(branch, response);
        };
        let Phase::Calling { ringing, giving_up, .. } = &mut call.phase else { return };
        let giving_up = *giving_up;
        match status {
            ..200 => {
                if status > 100 {
                    *ringing = true;
                    if let Some(remote) = self.read(&response.body) {
                        self.settle(now, &remote);
                    }
                    self.tell(Event::Progress(status));
                }
                if giving_up && !self.clients.contains_key(&cancel_key(branch)) {
                    self.cancel(now, branch);
                }
            }
            200..300 => {
                self.acknowledge(branch, response);
                self.answered(now, response, giving_up);
            }
            _ => self.end(if giving_up { End::Here } else { End::Refused(status) }),
        }
    }

    fn answered(&mut self, now: Instant, response: &Response, giving_up: bool) {
        let remote = self.read(&response.body);
        let Some(call) = &mut self.call else { return };
        call.phase = Phase::Talking(None);
        let dialog = &mut call.dialog;
        if let Ok(to) = response.to_header() {
            to.value().clone_into(&mut dialog.remote);
        }
        dialog.remote_tag = message::Essentials::of(response).ok().and_then(|essentials| essentials.to_tag);
        dialog.route = record_route(response).rev().collect();
        let complete = match (message::contact(response), remote) {
            (Some(target), Some(remote)) if dialog.remote_tag.is_some() => {
                dialog.target = target;
                call.settle(now, &remote);
                true
            }
            _ => false,
        };
        if !complete {
            self.tell(Event::Malformed("a 2xx to INVITE without To tag, Contact or session description".into()));
        }
        if giving_up || !complete {
            self.bye(now);
            self.end(if complete { End::Here } else { End::Lost });
        } else {
            self.tell(Event::Connected);
        }
    }

    /// The ACK of a 2xx (RFC 3261 §13.2.2.4), made of the request it belongs to, since the call may be over by now.
    fn acknowledge(&mut self, branch: &str, response: &Response) {
        if !(200..300).contains(&response.status_code.code()) {
            return;
        }
        let Some(client) = self.clients.get(branch) else { return };
        let mut ack = message::companion(&client.request, Method::Ack, response.to_header().ok());
        ack.uri = message::contact(response).unwrap_or(ack.uri);
        let transport = if self.is_reliable() { "TCP" } else { "UDP" };
        let via = message::via(transport, self.config.sip, &self.branch());
        for header in ack.headers.iter_mut() {
            if let Header::Via(value) = header {
                value.replace(via.clone());
            }
        }
        let ack = message::encode(ack);
        if let Some(client) = self.clients.get_mut(branch) {
            client.acknowledge_with(ack.clone());
        }
        self.send(ack, self.config.registrar);
    }

    /// A hold or resumption was answered.
    pub(super) fn reinvite_answered(&mut self, now: Instant, branch: &str, response: &Response) {
        self.acknowledge(branch, response);
        let status = response.status_code.code();
        let pending = |call: &Call| matches!(&call.change, Change::Pending { branch: own, .. } if own == branch);
        let delay = Duration::from_millis(2100 + u64::from(self.random.next_u32() % 1900));
        let Some(call) = self.call.as_mut().filter(|call| pending(call)) else { return };
        let Change::Pending { hold, .. } = call.change else { return };
        match status {
            ..200 => {}
            200..300 => {
                call.change = Change::None;
                call.held = hold;
                if let Some(remote) = self.read(&response.body) {
                    self.settle(now, &remote);
                    self.tell(Event::Held(hold));
                } else {
                    self.tell(Event::Malformed("a 2xx to re-INVITE without session description".into()));
                }
            }
            491 => call.change = Change::Again { at: now + delay, hold },
            408 | 481 => self.invite_unanswered(now, branch),
            _ => {
                call.change = Change::None;
                self.tell(Event::ChangeRefused(status));
            }
        }
    }

    /// No answer came: a call that was not up is refused, one that was is over (RFC 3261 §12.2.1.2).
    pub(super) fn invite_unanswered(&mut self, now: Instant, branch: &str) {
        let Some(call) = &self.call else { return };
        match (&call.phase, &call.change) {
            (Phase::Calling { branch: own, giving_up, .. }, _) if own == branch => {
                self.end(if *giving_up { End::Here } else { End::Refused(408) });
            }
            (Phase::Talking(_), Change::Pending { branch: own, .. }) if own == branch => {
                self.bye(now);
                self.end(End::Lost);
            }
            _ => {}
        }
    }

    /// An ACK for a 2xx came.
    pub(super) fn acknowledged(&mut self, now: Instant, cseq: u32, body: &[u8]) {
        let Some(call) = &mut self.call else { return };
        let Phase::Talking(waiting) = &mut call.phase else { return };
        let Some(done) = waiting.take_if(|unacknowledged| unacknowledged.cseq == cseq) else { return };
        if done.offered {
            match self.read(body) {
                Some(remote) => self.settle(now, &remote),
                None => self.tell(Event::Malformed("an ACK without the answer to the offer in the 2xx".into())),
            }
        }
        if done.leaving {
            self.bye(now);
            self.end(End::Here);
        } else if done.first {
            self.tell(Event::Connected);
        }
    }

    pub(super) fn elapse_call(&mut self, now: Instant) {
        self.repeat_answer(now);
        let Some(call) = &mut self.call else { return };
        if let Change::Again { at, hold } = call.change
            && at <= now
        {
            call.change = Change::None;
            self.change(now, hold);
        }
        if let Some(Phase::Ringing { answer_at: Some(at), .. }) = self.call.as_ref().map(|call| &call.phase)
            && *at <= now
        {
            self.answer(now);
        }
        while let Some((packet, to)) = self.call.as_mut().and_then(|call| call.stream.speak(now)) {
            self.outputs.push_back(PhoneOutput::Rtp(packet.into(), to));
        }
    }

    fn repeat_answer(&mut self, now: Instant) {
        let Some(Phase::Talking(Some(waiting))) = self.call.as_mut().map(|call| &mut call.phase) else { return };
        if waiting.until <= now {
            self.bye(now);
            self.end(End::Lost);
        } else if waiting.resend.due(now, Some(T2)) {
            let (answer, to) = (waiting.answer.clone(), waiting.to);
            self.send(answer, to);
        }
    }
}
