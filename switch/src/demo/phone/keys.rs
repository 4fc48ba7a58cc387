//! The keys a person presses, and what each sends.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;
use rsip::headers::Header;
use rsip::{Method, Request};

use super::call::{Agreement, Call, Change, Dialog, Peer, Phase, Unacknowledged, cancel_key, head};
use super::manners::{Answers, Digits, Reliable};
use super::message::{self, Body};
use super::sdp::Origin;
use super::stream::Stream;
use super::transaction::{Client, PATIENCE, Purpose, Resend};
use super::{DialogName, Ear, End, Event, Phone, Shown};

impl Phone {
    /// Dials. False where the line is in use.
    pub fn call(&mut self, now: Instant, number: &str) -> bool {
        self.call_in_place_of(now, number, None)
    }

    /// The same, to have the place of that dialog's telephone.
    pub(super) fn call_in_place_of(&mut self, now: Instant, number: &str, replaces: Option<DialogName>) -> bool {
        if self.call.is_some() || !self.on {
            return false;
        }
        let dialog = self.dialog_with(number);
        let mut call = self.new_call(dialog, Shown::dialled(number));
        call.replaces = replaces;
        let offer = (!self.config.manners.late_offer).then(|| self.offer(false));
        call.agreement = if offer.is_some() { Agreement::Offered } else { Agreement::Open };
        let body = offer.map(|offer| call.write(offer));
        self.call = Some(call);
        self.invite(now, body);
        true
    }

    /// A dialog that is to begin, with whoever has this number.
    pub(super) fn dialog_with(&mut self, number: &str) -> Dialog {
        let target = message::uri(Some(number), rsip::Host::from(self.config.domain.as_str()).into());
        let (call_id, local_tag) = (self.token(), self.token());
        Dialog {
            local: self.identity(&local_tag),
            remote: format!("<{target}>"),
            call_id,
            local_tag,
            remote_tag: None,
            target,
            route: Vec::new(),
            cseq: 1,
            remote_cseq: 0,
        }
    }

    /// Sends the INVITE of the call that begins, or sends it again under the next number.
    pub(super) fn invite(&mut self, now: Instant, body: Option<String>) {
        let Some(call) = &self.call else { return };
        let head = head(&call.dialog);
        let mut extra = self.abilities();
        if self.config.manners.reliable == Reliable::Required {
            extra.push(Header::Require("100rel".into()));
        }
        extra.extend(call.replaces.as_ref().map(|dialog| message::extra("Replaces", &dialog.replaces())));
        let request = self.request(Method::Invite, head, extra, body.map(Body::sdp));
        let branch = self.send_request(now, request, Purpose::Invite, false);
        if let Some(call) = &mut self.call {
            call.phase = Phase::Calling { branch, ringing: false, giving_up: false };
        }
    }

    /// A call with everything of its own.
    pub(super) fn new_call(&mut self, dialog: Dialog, shown: Shown) -> Call {
        self.ear = Ear::default();
        let (ssrc, start) = (self.random.next_u32(), self.random.next_u32());
        let stream = Stream::new(self.config.talk, self.config.tone_hz, ssrc, start as u16, self.random.next_u32());
        let session = u64::from(self.random.next_u32());
        Call {
            far: shown.number.clone(),
            shown,
            replaces: None,
            dialog,
            phase: Phase::Talking(None),
            stream,
            held: false,
            held_by_other: false,
            change: Change::None,
            session,
            version: 1,
            local: self.offer(false),
            remote: Origin::default(),
            agreement: Agreement::Open,
            peer: Peer::default(),
            rseqs: std::collections::BTreeMap::new(),
            provisional: None,
            session_timer: None,
            min_expires: 0,
            digits: std::collections::VecDeque::new(),
            referrals: std::collections::BTreeMap::new(),
        }
    }

    /// What a request says of this telephone: where it is, what it can do, how long the session is to last.
    pub(super) fn abilities(&self) -> Vec<Header> {
        let mut headers = self.abilities_of_answer();
        headers.extend(self.session_headers());
        headers
    }

    /// The same of an answer.
    pub(super) fn abilities_of_answer(&self) -> Vec<Header> {
        let manners = &self.config.manners;
        let options = [(manners.reliable != Reliable::Never, "100rel"), (manners.timer.is_some(), "timer")];
        let known: Vec<&str> = options.into_iter().filter(|(known, _)| *known).map(|(_, option)| option).collect();
        let mut headers = vec![self.contact(), Header::Allow(self.allow().into())];
        if !known.is_empty() {
            headers.push(Header::Supported(known.join(", ").into()));
        }
        headers
    }

    /// Picks up. False where it does not ring.
    pub fn answer(&mut self, now: Instant) -> bool {
        let Some(Phase::Ringing { key, request, .. }) = self.call.as_ref().map(|call| &call.phase) else {
            return false;
        };
        let (key, request) = (key.clone(), request.clone());
        if self.must_wait() {
            return true;
        }
        let mut extra = self.session_asked(now, &request);
        let agreement = self.call.as_ref().map_or(Agreement::Open, |call| call.agreement.clone());
        let body = match agreement {
            Agreement::Settled => None,
            _ => match self.describe(now, true) {
                Some(body) => Some(body),
                None => {
                    self.respond(now, &key, 488, Vec::new(), None);
                    self.end(End::Here);
                    return true;
                }
            },
        };
        extra.extend(self.abilities_of_answer());
        if let Some(call) = &mut self.call {
            call.provisional = None;
        }
        let sent = self.accept(now, &key, &request, extra, body, agreement == Agreement::Open, true);
        let offer = match &agreement {
            Agreement::Owed(offer) => Some(offer),
            _ => None,
        };
        match (self.config.manners.answers, sent) {
            (Answers::Twice, Some((answer, to))) => self.send(answer, to),
            (Answers::Forked, Some((_, to))) => self.answer_as_another(now, &request, offer, to),
            _ => {}
        }
        true
    }

    /// Sends the 200 to an INVITE and repeats it until its ACK comes.
    #[allow(clippy::too_many_arguments, reason = "what a 200 to an INVITE is made of")]
    pub(super) fn accept(
        &mut self,
        now: Instant,
        key: &(String, String),
        request: &Request,
        extra: Vec<Header>,
        body: Option<String>,
        offered: bool,
        first: bool,
    ) -> Option<(Bytes, SocketAddr)> {
        let (answer, to) = self.respond(now, key, 200, extra, body.map(Body::sdp))?;
        let cseq = message::Essentials::of(request).map_or(0, |essentials| essentials.cseq);
        let (resend, until) = (Resend::begin(now), now + PATIENCE);
        let sent = (answer.clone(), to);
        if let Some(call) = &mut self.call {
            call.phase = Phase::Talking(Some(Unacknowledged {
                cseq,
                answer,
                to,
                resend,
                until,
                offered,
                first,
                leaving: false,
            }));
        }
        Some(sent)
    }

    /// Declines a call that rings.
    pub fn reject(&mut self, now: Instant, status: u16) -> bool {
        let Some(Phase::Ringing { key, .. }) = self.call.as_ref().map(|call| &call.phase) else { return false };
        let key = key.clone();
        self.respond(now, &key, status, Vec::new(), None);
        self.end(End::Here);
        true
    }

    /// Puts the receiver down, whatever the call's state. False where there is none.
    pub fn hang_up(&mut self, now: Instant) -> bool {
        let Some(call) = &mut self.call else { return false };
        match &mut call.phase {
            Phase::Ringing { .. } => return self.reject(now, 603),
            Phase::Calling { giving_up, branch, .. } => {
                let again = std::mem::replace(giving_up, true);
                let branch = branch.clone();
                if !again {
                    self.cancel(now, &branch);
                }
            }
            Phase::Talking(Some(unacknowledged)) => {
                unacknowledged.leaving = true;
                call.stream.stop();
            }
            Phase::Talking(None) => {
                self.bye(now);
                self.end(End::Here);
            }
        }
        true
    }

    /// CANCEL, where a provisional answer permits it (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, now: Instant, branch: &str) {
        let Some(client) = self.clients.get_mut(branch).filter(|client| client.is_proceeding()) else { return };
        client.cancelled(now);
        let request = message::companion(&client.request, Method::Cancel, None, None);
        self.send(message::encode(request.clone()), self.config.registrar);
        let client = Client::begin(now, request, Purpose::Cancel, true, self.is_reliable());
        // It shares the INVITE's branch; a second key keeps them apart, the CSeq method tells whose an answer is.
        self.clients.insert(cancel_key(branch), client);
    }

    pub(super) fn bye(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        call.dialog.cseq += 1;
        let head = head(&call.dialog);
        let request = self.request(Method::Bye, head, Vec::new(), None);
        self.send_request(now, request, Purpose::Bye, false);
    }

    /// The call is over.
    pub(super) fn end(&mut self, how: End) {
        if self.call.take().is_some() {
            self.tell(Event::Ended(how));
        }
    }

    /// Presses keys. False where no digits can be sent now.
    pub fn press(&mut self, now: Instant, digits: &str) -> bool {
        let Some(call) = self.call.as_mut().filter(|call| matches!(call.phase, Phase::Talking(_))) else {
            return false;
        };
        if self.config.manners.digits != Digits::Rtp {
            call.digits.extend(digits.chars().filter(|digit| "0123456789*#ABCD".contains(*digit)));
            self.next_digit(now);
            return true;
        }
        let events = digits.chars().filter_map(|digit| "0123456789*#ABCD".find(digit)).map(|event| event as u8);
        call.stream.press(now, events)
    }

    /// Says something now, where it speaks little.
    pub fn speak_up(&mut self, now: Instant) {
        if let Some(call) = &mut self.call {
            call.stream.speak_up(now);
        }
    }
}
