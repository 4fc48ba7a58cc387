//! The keys a person presses, and what each sends.

use std::time::Instant;

use rand_chacha::rand_core::Rng;
use rsip::headers::Header;
use rsip::{Method, Request};

use super::call::{Call, Change, Dialog, Phase, Unacknowledged, cancel_key, head};
use super::message::{self, ALLOW};
use super::sdp::{Description, Direction, Origin};
use super::stream::Stream;
use super::transaction::{Client, PATIENCE, Purpose, Resend};
use super::{Ear, End, Event, Phone};

impl Phone {
    /// Dials. False where the line is in use.
    pub fn call(&mut self, now: Instant, number: &str) -> bool {
        if self.call.is_some() || !self.on {
            return false;
        }
        let target = message::uri(Some(number), rsip::Host::from(self.config.domain.as_str()).into());
        let (call_id, local_tag) = (self.token(), self.token());
        let dialog = Dialog {
            local: self.identity(&local_tag),
            remote: format!("<{target}>"),
            call_id,
            local_tag,
            remote_tag: None,
            target,
            route: Vec::new(),
            cseq: 1,
            remote_cseq: 0,
        };
        let (mut call, body) = self.new_call(dialog);
        let request = self.invite(&call.dialog, body);
        let branch = self.send_request(now, request, Purpose::Invite, false);
        call.phase = Phase::Calling { branch, ringing: false, giving_up: false };
        self.call = Some(call);
        true
    }

    /// A call with everything of its own, and the offer it begins with.
    pub(super) fn new_call(&mut self, dialog: Dialog) -> (Call, String) {
        self.ear = Ear::default();
        let (ssrc, start) = (self.random.next_u32(), self.random.next_u32());
        let stream = Stream::new(self.config.talk, self.config.tone_hz, ssrc, start as u16, self.random.next_u32());
        let local = Description::offer(self.config.rtp, &self.config.codecs, Direction::SendRecv);
        let session = u64::from(self.random.next_u32());
        let body = local.write(session, 1);
        let call = Call {
            dialog,
            phase: Phase::Talking(None),
            stream,
            held: false,
            held_by_other: false,
            change: Change::None,
            session,
            version: 1,
            local,
            remote: Origin::default(),
        };
        (call, body)
    }

    fn invite(&mut self, dialog: &Dialog, body: String) -> Request {
        let extra = vec![self.contact(), Header::Allow(ALLOW.into())];
        self.request(Method::Invite, head(dialog), extra, Some(body))
    }

    /// Picks up. False where it does not ring.
    pub fn answer(&mut self, now: Instant) -> bool {
        let Some(mut call) = self.call.take_if(|call| matches!(call.phase, Phase::Ringing { .. })) else {
            return false;
        };
        let Phase::Ringing { key, request, offer, .. } = std::mem::replace(&mut call.phase, Phase::Talking(None))
        else {
            unreachable!("taken because it rings")
        };
        let offered = offer.is_none();
        let body = match offer {
            None => call.write(call.local.clone()),
            Some(offer) => match Description::answer(&offer, self.config.rtp, &self.config.codecs, true, true) {
                Some(answer) => {
                    let body = call.write(answer);
                    call.settle(now, &offer);
                    body
                }
                None => {
                    self.call = Some(call);
                    self.respond(now, &key, 488, Vec::new(), None);
                    self.end(End::Here);
                    return true;
                }
            },
        };
        self.call = Some(call);
        self.accept(now, &key, &request, body, offered, true);
        true
    }

    /// Sends the 200 to an INVITE and repeats it until its ACK comes.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        key: &(String, String),
        request: &Request,
        body: String,
        offered: bool,
        first: bool,
    ) {
        let extra = vec![self.contact(), Header::Allow(ALLOW.into())];
        let Some((answer, to)) = self.respond(now, key, 200, extra, Some(body)) else { return };
        let cseq = message::Essentials::of(request).map_or(0, |essentials| essentials.cseq);
        let (resend, until) = (Resend::begin(now), now + PATIENCE);
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
        let request = message::companion(&client.request, Method::Cancel, None);
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

    /// Puts the other side on hold. False where this is not possible now.
    pub fn hold(&mut self, now: Instant) -> bool {
        self.change(now, true)
    }

    /// Takes it off hold. False where this is not possible now.
    pub fn resume(&mut self, now: Instant) -> bool {
        self.change(now, false)
    }

    pub(super) fn change(&mut self, now: Instant, hold: bool) -> bool {
        let wanted = self.wants(hold);
        let Some(call) = &mut self.call else { return false };
        if !matches!(call.phase, Phase::Talking(None)) || call.is_changing() || call.held == hold {
            return false;
        }
        call.dialog.cseq += 1;
        let offer = Description::offer(self.config.rtp, &self.config.codecs, Direction::of(wanted.0, wanted.1));
        let body = call.write(offer);
        let dialog = call.dialog.clone();
        let request = self.invite(&dialog, body);
        let branch = self.send_request(now, request, Purpose::Reinvite, false);
        if let Some(call) = &mut self.call {
            call.change = Change::Pending { branch, hold };
        }
        true
    }

    /// Whether this side speaks and listens, on hold or not.
    pub(super) fn wants(&self, held: bool) -> (bool, bool) {
        if held { (self.config.hold.sends(), false) } else { (true, true) }
    }

    /// Presses keys. False where no digits can be sent now.
    pub fn press(&mut self, now: Instant, digits: &str) -> bool {
        let events = digits.chars().filter_map(|digit| "0123456789*#ABCD".find(digit)).map(|event| event as u8);
        self.call.as_mut().is_some_and(|call| matches!(call.phase, Phase::Talking(_)) && call.stream.press(now, events))
    }
}
