//! The telephone's one call: its dialog (RFC 3261 §12), offers and answers (RFC 3264), and the keys a person presses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::rand_core::Rng;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::{Method, Request, Response};

use super::message::{self, ALLOW};
use super::sdp::{Description, Direction, Origin};
use super::stream::Stream;
use super::transaction::{PATIENCE, Purpose, Resend, T2};
use super::{Ear, End, Event, Head, Phone, Status};

/// A call, from the first INVITE to the last word about it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) dialog: Dialog,
    pub(super) phase: Phase,
    pub(super) stream: Stream,
    pub(super) held: bool,
    pub(super) held_by_other: bool,
    change: Change,
    session: u64,
    version: u64,
    /// What this side last wrote.
    pub(super) local: Description,
    remote: Origin,
}

/// Both ends of the dialog, as headers.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: Option<String>,
    /// From and To of what is sent from here.
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: rsip::Uri,
    pub(super) route: Vec<String>,
    pub(super) cseq: u32,
    pub(super) remote_cseq: u32,
}

/// Where the call stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// The INVITE is out.
    Calling {
        branch: String,
        ringing: bool,
        /// The caller hung up: CANCEL as soon as it may be sent, BYE if it comes too late (RFC 3261 §9.1, §15).
        giving_up: bool,
    },
    /// It rings here.
    Ringing { key: (String, String), request: Box<Request>, offer: Option<Description>, answer_at: Option<Instant> },
    /// Up; a 2xx of this side may still wait for its ACK.
    Talking(Option<Unacknowledged>),
}

/// A 2xx to an INVITE, repeated until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    answer: Bytes,
    to: SocketAddr,
    resend: Resend,
    until: Instant,
    /// The 2xx had the offer: the ACK has the answer.
    pub(super) offered: bool,
    /// The 2xx is that to the first INVITE.
    pub(super) first: bool,
    /// Hang up as soon as the ACK is there.
    pub(super) leaving: bool,
}

/// A re-INVITE of this side.
#[derive(Debug)]
enum Change {
    None,
    Pending {
        branch: String,
        hold: bool,
    },
    /// It met one of the other side (491) and is tried again (RFC 3261 §14.1).
    Again {
        at: Instant,
        hold: bool,
    },
}

impl Call {
    pub(super) fn status(&self) -> Status {
        match &self.phase {
            Phase::Calling { ringing, .. } => Status::Calling { ringing: *ringing },
            Phase::Ringing { .. } => Status::Ringing,
            Phase::Talking(_) => Status::Talking { held: self.held },
        }
    }

    /// A request of this dialog was challenged: it goes again under the next number.
    pub(super) fn challenged(&mut self, new_branch: &str) {
        self.dialog.cseq += 1;
        match (&mut self.phase, &mut self.change) {
            (Phase::Calling { branch, .. }, _) | (_, Change::Pending { branch, .. }) => new_branch.clone_into(branch),
            _ => {}
        }
    }

    pub(super) fn is_changing(&self) -> bool {
        matches!(self.change, Change::Pending { .. })
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Ringing { answer_at, .. } => *answer_at,
            Phase::Talking(Some(unacknowledged)) => Some(unacknowledged.resend.at().min(unacknowledged.until)),
            _ => None,
        };
        let again = match self.change {
            Change::Again { at, .. } => Some(at),
            _ => None,
        };
        phase.into_iter().chain(again).chain(self.stream.next_timeout()).min()
    }

    /// Writes a description of this side; the version rises when it differs from the last (RFC 3264 §8).
    pub(super) fn write(&mut self, description: Description) -> String {
        if self.local != description {
            self.version += 1;
        }
        self.local = description;
        self.local.write(self.session, self.version)
    }

    /// The other side's description came.
    pub(super) fn settle(&mut self, now: Instant, remote: &Description) {
        self.stream.settle(now, &self.local, remote);
    }
}

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
    fn cancel(&mut self, now: Instant, branch: &str) {
        let Some(client) = self.clients.get_mut(branch).filter(|client| client.is_proceeding()) else { return };
        client.cancelled(now);
        let request = message::companion(&client.request, Method::Cancel, None);
        self.send(message::encode(request.clone()), self.config.registrar);
        let client = super::Client::begin(now, request, Purpose::Cancel, true, self.is_reliable());
        // It shares the INVITE's branch; a second key keeps them apart, the CSeq method tells whose an answer is.
        self.clients.insert(cancel_key(branch), client);
    }

    fn bye(&mut self, now: Instant) {
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

    fn change(&mut self, now: Instant, hold: bool) -> bool {
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
            self.outputs.push_back(super::PhoneOutput::Rtp(packet.into(), to));
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

/// CANCEL has its INVITE's branch.
pub(super) fn cancel_key(branch: &str) -> String {
    format!("{branch} CANCEL")
}

fn head(dialog: &Dialog) -> Head {
    Head {
        target: dialog.target.clone(),
        from: dialog.local.clone(),
        to: dialog.remote.clone(),
        call_id: dialog.call_id.clone(),
        cseq: dialog.cseq,
        route: dialog.route.clone(),
    }
}

/// Record-Route, one line each.
pub(super) fn record_route(message: &impl HasHeaders) -> impl DoubleEndedIterator<Item = String> {
    let lines = message.headers().iter().filter_map(|header| match header {
        Header::RecordRoute(route) => Some(route.value().to_owned()),
        _ => None,
    });
    lines.collect::<Vec<_>>().into_iter()
}
