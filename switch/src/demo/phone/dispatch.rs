//! Messages, answers and time that has passed: to which part of the telephone they go.

use std::net::SocketAddr;
use std::time::Instant;

use rsip::{Method, SipMessage};

use super::call::cancel_key;
use super::message::{self, Essentials};
use super::transaction::{Elapsed, Purpose, Verdict};
use super::{End, Event, Phone};

impl Phone {
    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8], from: SocketAddr) {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        let message = match SipMessage::try_from(bytes) {
            Ok(message) => message,
            Err(error) => return self.tell(Event::Malformed(error.to_string())),
        };
        if !message::length_is_right(&message, message.body()) {
            return self.tell(Event::Malformed("Content-Length is not the length of the body".into()));
        }
        let essentials = match &message {
            SipMessage::Request(request) => Essentials::of(request),
            SipMessage::Response(response) => Essentials::of(response),
        };
        match (essentials, message) {
            (Err(error), _) => self.tell(Event::Malformed(error)),
            (Ok(essentials), SipMessage::Request(request)) => self.receive_request(now, request, &essentials, from),
            (Ok(essentials), SipMessage::Response(response)) => self.receive_response(now, &response, &essentials),
        }
    }

    fn receive_response(&mut self, now: Instant, response: &rsip::Response, essentials: &Essentials) {
        let status = response.status_code.code();
        let key = match essentials.method {
            Method::Cancel => cancel_key(&essentials.branch),
            _ => essentials.branch.clone(),
        };
        let Some(client) = self.clients.get_mut(&key).filter(|client| client.request.method == essentials.method)
        else {
            return;
        };
        if let (Method::Invite, 200..300, Some(tag)) = (essentials.method, status, &essentials.to_tag)
            && client.is_fork(tag)
        {
            return self.answered_by_another(now, &key, response, tag.clone());
        }
        match client.receive(now, status) {
            Verdict::Repeated => return,
            Verdict::Acknowledge(ack) => return self.send(ack, self.config.registrar),
            Verdict::New => {}
        }
        let (purpose, authorised, request) = (client.purpose, client.authorised, client.request.clone());
        if request.method == Method::Invite && status >= 300 {
            self.acknowledge_failure(&essentials.branch, &request, response);
        }
        if matches!(status, 401 | 407) && !authorised && self.answer_challenge(now, &request, purpose, response) {
            return;
        }
        match purpose {
            Purpose::Register { expires } => self.register_answered(now, expires, response),
            Purpose::Invite => self.invite_answered(now, &essentials.branch, response),
            Purpose::Reinvite => self.change_answered(now, &essentials.branch, response, true),
            Purpose::Update => self.change_answered(now, &essentials.branch, response, false),
            Purpose::Ask(ask) if status >= 200 => self.tell(Event::Answer(ask, status)),
            Purpose::Refer if status >= 200 => self.refer_answered(&request, status),
            Purpose::Digit if status >= 200 => self.digit_answered(now, status),
            Purpose::Lamp => self.lamp_answered(now, &request, status, Some(response)),
            Purpose::Ask(_) | Purpose::Refer | Purpose::Digit | Purpose::Within | Purpose::Bye | Purpose::Cancel => {}
        }
    }

    /// RFC 3261 §17.1.1.3.
    fn acknowledge_failure(&mut self, branch: &str, request: &rsip::Request, response: &rsip::Response) {
        use rsip::message::HeadersExt;
        let ack = message::encode(message::companion(request, Method::Ack, response.to_header().ok(), None));
        if let Some(client) = self.clients.get_mut(branch) {
            client.acknowledge_with(ack.clone());
        }
        self.send(ack, self.config.registrar);
    }

    /// Sends the request again with credentials; false where the challenge cannot be answered.
    fn answer_challenge(
        &mut self,
        now: Instant,
        request: &rsip::Request,
        purpose: Purpose,
        response: &rsip::Response,
    ) -> bool {
        let Some(challenge) = message::Challenge::of(response, self.config.manners.sha256) else { return false };
        let (branch, cnonce) = (self.branch(), self.token());
        let number = Essentials::of(request).map_or(1, |essentials| essentials.cseq + 1);
        let number = match (purpose, &mut self.call) {
            (Purpose::Register { .. }, _) => {
                self.registration.cseq += 1;
                self.registration.cseq
            }
            (_, Some(call)) if message::is_of(request, &call.dialog.call_id) => {
                call.dialog.cseq = number.max(call.dialog.cseq + 1);
                let old = Essentials::of(request).map_or_else(|_| String::new(), |essentials| essentials.branch);
                call.challenged(&old, &branch);
                call.dialog.cseq
            }
            (Purpose::Lamp, _) => self.lamp_challenged(request).unwrap_or(number),
            _ => number,
        };
        let (user, secret) = (self.config.user.as_str(), self.config.secret.as_str());
        let again = challenge.answered(request, (user, secret), number, (&branch, &cnonce));
        self.send_request(now, again, purpose, true);
        true
    }

    pub(super) fn elapse(&mut self, now: Instant) {
        let branches: Vec<String> = self.clients.keys().cloned().collect();
        for branch in branches {
            match self.clients.get_mut(&branch).map_or(Elapsed::Nothing, |client| client.elapse(now)) {
                Elapsed::Nothing => {}
                Elapsed::Resend(bytes) => self.send(bytes, self.config.registrar),
                Elapsed::Over => drop(self.clients.remove(&branch)),
                Elapsed::TimedOut => self.unanswered(now, &branch),
            }
        }
        let keys: Vec<_> = self.servers.keys().cloned().collect();
        for key in keys {
            let Some(server) = self.servers.get_mut(&key) else { continue };
            let to = server.to();
            match server.elapse(now) {
                Elapsed::Nothing => {}
                Elapsed::Resend(bytes) => self.send(bytes, to),
                Elapsed::Over | Elapsed::TimedOut => drop(self.servers.remove(&key)),
            }
        }
        self.elapse_registration(now);
        self.elapse_asked(now);
        self.elapse_unheard(now);
        self.elapse_ghosts(now);
        self.elapse_lamps(now);
        self.elapse_call(now);
    }

    fn unanswered(&mut self, now: Instant, branch: &str) {
        let Some(client) = self.clients.remove(branch) else { return };
        match client.purpose {
            Purpose::Register { .. } => self.register_failed(now, 408),
            Purpose::Invite => self.invite_unanswered(branch),
            Purpose::Reinvite | Purpose::Update => self.change_fails(now, branch, End::Lost),
            Purpose::Ask(ask) => self.tell(Event::Answer(ask, 408)),
            Purpose::Refer => self.refer_answered(&client.request, 408),
            Purpose::Digit => self.digit_answered(now, 408),
            Purpose::Lamp => self.lamp_answered(now, &client.request, 408, None),
            Purpose::Bye | Purpose::Cancel | Purpose::Within => {}
        }
    }
}
