//! What comes back to the telephone's own INVITEs, and what time does to the call.

use std::time::Instant;

use rsip::Response;
use rsip::headers::UntypedHeader;
use rsip::message::HeadersExt;

use super::call::{Agreement, Phase, cancel_key};
use super::sdp::{Description, Origin};
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

    /// The first INVITE was answered.
    pub(super) fn invite_answered(&mut self, now: Instant, branch: &str, response: &Response) {
        let status = response.status_code.code();
        let ours = |phase: &Phase| matches!(phase, Phase::Calling { branch: own, .. } if own == branch);
        let Some(call) = self.call.as_mut().filter(|call| ours(&call.phase)) else {
            return self.acknowledge(branch, response, None);
        };
        let Phase::Calling { giving_up, .. } = &call.phase else { return };
        let giving_up = *giving_up;
        match status {
            ..200 => {
                self.provisional_came(now, response);
                if giving_up && !self.clients.contains_key(&cancel_key(branch)) {
                    self.cancel(now, branch);
                }
            }
            200..300 => self.answered(now, branch, response, giving_up),
            422 if !giving_up && self.session_minimum(response) => self.invite_again(now, branch),
            _ => self.end(if giving_up { End::Here } else { End::Refused(status) }),
        }
    }

    /// The same INVITE under the next number (RFC 4028 §7.3).
    fn invite_again(&mut self, now: Instant, branch: &str) {
        let late = self.config.manners.late_offer;
        let Some(before) = self.clients.get(branch).map(|client| client.request.clone()) else { return };
        let Some(call) = &mut self.call else { return };
        // An early dialog ended with the refusal.
        call.dialog.cseq += 1;
        call.dialog.remote_tag = None;
        call.dialog.route.clear();
        if let Ok(to) = before.to_header() {
            to.value().clone_into(&mut call.dialog.remote);
        }
        call.dialog.target = before.uri;
        call.rseqs.clear();
        let local = call.local.clone();
        let body = (!late).then(|| call.write(local));
        call.agreement = if late { Agreement::Open } else { Agreement::Offered };
        call.remote = Origin::default();
        self.invite(now, body);
    }

    fn answered(&mut self, now: Instant, branch: &str, response: &Response, giving_up: bool) {
        let remote = self.read(&response.body);
        let established = self.establish(response);
        let Some(call) = &mut self.call else { return };
        call.phase = Phase::Talking(None);
        call.peer.learn(response);
        let before = std::mem::replace(&mut call.agreement, Agreement::Settled);
        let mut answer = None;
        let described = match (before, remote) {
            (Agreement::Offered, Some(remote)) => {
                call.settle(now, &remote);
                true
            }
            (Agreement::Open, Some(offer)) => {
                let taken = self.take_offer(now, &offer);
                let refused = taken.is_none();
                answer = Some(taken.unwrap_or_else(|| self.decline(&offer)));
                if refused {
                    self.acknowledge(branch, response, answer);
                    self.bye(now);
                    return self.end(End::Here);
                }
                true
            }
            (Agreement::Settled, _) => true,
            _ => false,
        };
        self.show(response);
        self.session_agreed(now, response);
        self.acknowledge(branch, response, answer);
        let complete = established && described;
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

    /// Acknowledges a 2xx, with the answer where that had the offer.
    pub(super) fn acknowledge(&mut self, branch: &str, response: &Response, answer: Option<String>) {
        if !(200..300).contains(&response.status_code.code()) {
            return;
        }
        let Some(request) = self.clients.get(branch).map(|client| client.request.clone()) else { return };
        let ack = self.ack_of(&request, response, answer);
        let deaf = self.config.manners.deaf;
        let Some(client) = self.clients.get_mut(branch) else { return };
        client.deafen(deaf);
        if client.acknowledge_with(ack.clone()) {
            self.send(ack, self.config.registrar);
        }
    }

    /// No answer came: the call is refused.
    pub(super) fn invite_unanswered(&mut self, branch: &str) {
        let Some(call) = &self.call else { return };
        if let Phase::Calling { branch: own, giving_up, .. } = &call.phase
            && own == branch
        {
            self.end(if *giving_up { End::Here } else { End::Refused(408) });
        }
    }

    /// An ACK for a 2xx came.
    pub(super) fn acknowledged(&mut self, now: Instant, cseq: u32, body: &[u8]) {
        let Some(call) = &mut self.call else { return };
        let Phase::Talking(waiting) = &mut call.phase else { return };
        let Some(done) = waiting.take_if(|unacknowledged| unacknowledged.cseq == cseq) else { return };
        if done.offered {
            self.take_answer(now, body, "an ACK");
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
        self.elapse_provisional(now);
        self.elapse_change(now);
        self.elapse_session(now);
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
