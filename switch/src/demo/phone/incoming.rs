//! What others ask of the telephone: calls, changes to them, their end, and what it can do.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::{Method, Request};

use super::call::{Agreement, Dialog, Phase, record_route};
use super::manners::{Digits, Reliable};
use super::message::{self, Body, Essentials};
use super::transaction::Server;
use super::{Behaviour, End, Event, Phone, Shown};

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
        if request.method == Method::Notify && self.receive_lamp(now, &key, &request, essentials) {
            return;
        }
        if essentials.to_tag.is_some() && request.method != Method::Cancel {
            return match self.place(essentials) {
                _ if self.is_for_ghost(now, request.method, essentials) => {}
                Place::Unknown => self.refuse(now, &key, 481),
                // RFC 3261 §12.2.2. What a NOTIFY tells that was overtaken, it does not hear.
                Place::Late => {
                    if request.method == Method::Notify {
                        self.forget_transfers();
                    }
                    self.refuse(now, &key, 500);
                }
                Place::Ours => self.receive_within(now, &key, &request, essentials),
            };
        }
        match request.method {
            Method::Cancel => self.receive_cancel(now, &key),
            Method::Invite if !self.config.manners.silent.is_zero() => {
                self.unheard.push((now + self.config.manners.silent, key));
            }
            Method::Invite => self.receive_invite(now, &key, request, essentials),
            Method::Bye | Method::Update | Method::PRack | Method::Info => self.refuse(now, &key, 481),
            Method::Options => {
                let status = if self.call.is_some() { 486 } else { 200 };
                self.respond(now, &key, status, self.abilities_of_answer(), None);
            }
            Method::Notify => self.refuse(now, &key, 200),
            Method::Subscribe => self.refuse(now, &key, 489),
            _ => self.not_allowed(now, &key),
        }
    }

    fn receive_within(&mut self, now: Instant, key: &Key, request: &Request, essentials: &Essentials) {
        self.note_number(essentials);
        let manners = &self.config.manners;
        match request.method {
            Method::Invite if manners.slow.is_zero() => self.receive_reinvite(now, key, request),
            Method::Invite => self.asked.push((now + manners.slow, key.clone())),
            Method::Bye => {
                self.refuse(now, key, 200);
                self.end(End::There);
            }
            Method::PRack if manners.reliable != Reliable::Never => self.receive_prack(now, key, request),
            Method::Update if manners.update => self.receive_update(now, key, request),
            Method::Info if manners.digits != Digits::Rtp => self.receive_info(now, key, request),
            Method::Options => {
                self.respond(now, key, 200, self.abilities_of_answer(), None);
            }
            Method::Notify if is_talk(request) => self.receive_talk(now, key),
            Method::Notify => self.receive_notify(now, key, request),
            Method::Refer => self.refuse(now, key, 603),
            Method::Subscribe => self.refuse(now, key, 489),
            _ => self.not_allowed(now, key),
        }
    }

    /// Somebody else has picked up for whoever sits here.
    fn receive_talk(&mut self, now: Instant, key: &Key) {
        let rings = matches!(self.call.as_ref().map(|call| &call.phase), Some(Phase::Ringing { .. }));
        match self.config.manners.talk && rings {
            true => {
                self.refuse(now, key, 200);
                self.answer(now);
            }
            false => self.refuse(now, key, 489),
        }
    }

    fn not_allowed(&mut self, now: Instant, key: &Key) {
        self.respond(now, key, 405, vec![Header::Allow(self.allow().into())], None);
    }

    /// The methods it answers.
    pub(super) fn allow(&self) -> String {
        let manners = &self.config.manners;
        let more = [
            (manners.reliable != Reliable::Never, ", PRACK"),
            (manners.update, ", UPDATE"),
            (manners.digits != Digits::Rtp, ", INFO"),
        ];
        let more: String = more.into_iter().filter(|(known, _)| *known).map(|(_, method)| method).collect();
        format!("INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY{more}")
    }

    /// re-INVITEs that were thought about for long enough. One whose call has ended meanwhile is 487 (RFC 3261 §15.1.2).
    pub(super) fn elapse_asked(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.asked).into_iter().partition(|(at, _)| *at <= now);
        self.asked = later;
        let due: Vec<(Instant, Key)> = due;
        for (_, key) in due {
            let Some(server) = self.servers.get(&key).filter(|server| !server.is_answered()) else { continue };
            let request = server.request.clone();
            let known = Essentials::of(&request).is_ok_and(|essentials| self.place(&essentials) != Place::Unknown);
            match known {
                true => self.receive_reinvite(now, &key, &request),
                false => self.refuse(now, &key, 487),
            }
        }
    }

    /// INVITEs that nothing was said to, for long enough.
    pub(super) fn elapse_unheard(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.unheard).into_iter().partition(|(at, _)| *at <= now);
        self.unheard = later;
        let due: Vec<(Instant, Key)> = due;
        for (_, key) in due {
            let Some(server) = self.servers.get(&key).filter(|server| !server.is_answered()) else { continue };
            let request = server.request.clone();
            if let Ok(essentials) = Essentials::of(&request) {
                self.receive_invite(now, &key, request, &essentials);
            }
        }
    }

    /// Where a request with a To tag belongs.
    fn place(&self, essentials: &Essentials) -> Place {
        let Some(dialog) = self.call.as_ref().map(|call| &call.dialog) else { return Place::Unknown };
        let ours = dialog.call_id == essentials.call_id
            && essentials.to_tag.as_ref() == Some(&dialog.local_tag)
            && dialog.remote_tag.as_ref() == Some(&essentials.from_tag);
        match ours {
            true if essentials.cseq >= dialog.remote_cseq => Place::Ours,
            true => Place::Late,
            false => Place::Unknown,
        }
    }

    /// A final answer with nothing in it.
    pub(super) fn refuse(&mut self, now: Instant, key: &Key, status: u16) {
        self.respond(now, key, status, Vec::new(), None);
    }

    /// Answers a request; what was sent, and where to.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        key: &Key,
        status: u16,
        extra: Vec<Header>,
        body: Option<Body>,
    ) -> Option<(Bytes, SocketAddr)> {
        let slow = self.config.manners.slow;
        let tag = match &self.call {
            Some(call) if matches!(&call.phase, Phase::Ringing { key: own, .. } if own == key) => {
                call.dialog.local_tag.clone()
            }
            Some(call) if status == 200 => call.dialog.local_tag.clone(),
            _ => self.token(),
        };
        let server = self.servers.get_mut(key)?;
        let answer = message::encode(message::response(&server.request, status, &tag, extra, body));
        let to = server.to();
        if !slow.is_zero() && !matches!(server.request.method, Method::Invite | Method::Cancel) {
            server.respond_slowly(now + slow, status, answer.clone());
            return Some((answer, to));
        }
        server.respond(now, status, answer.clone());
        self.send(answer.clone(), to);
        Some((answer, to))
    }

    fn receive_ack(&mut self, now: Instant, request: &Request, essentials: &Essentials) {
        if let Some(server) = self.servers.get_mut(&(essentials.branch.clone(), Method::Invite.to_string())) {
            return server.acknowledged(now);
        }
        if self.is_for_ghost(now, Method::Ack, essentials) {
            return;
        }
        let is_its = |dialog: &Dialog| {
            dialog.call_id == essentials.call_id && essentials.to_tag.as_ref() == Some(&dialog.local_tag)
        };
        if self.call.as_ref().is_some_and(|call| is_its(&call.dialog)) {
            self.acknowledged(now, essentials.cseq, &request.body);
        }
    }

    /// RFC 3261 §9.2.
    fn receive_cancel(&mut self, now: Instant, key: &Key) {
        let invite = (key.0.clone(), Method::Invite.to_string());
        if self.unheard.iter().any(|(_, unheard)| *unheard == invite) {
            // §9.1.
            self.tell(Event::Malformed("a CANCEL of an INVITE to which nothing was said".into()));
        }
        match self.servers.get(&invite).map(Server::is_answered) {
            None => self.refuse(now, key, 481),
            Some(answered) => {
                self.refuse(now, key, 200);
                if !answered {
                    let first = matches!(self.call.as_ref().map(|call| &call.phase), Some(Phase::Ringing { key, .. }) if *key == invite);
                    self.refuse(now, &invite, 487);
                    if first {
                        self.end(End::There);
                    }
                }
            }
        }
    }

    fn receive_invite(&mut self, now: Instant, key: &Key, request: Request, essentials: &Essentials) {
        if self.call.is_some() {
            return self.refuse(now, key, 486);
        }
        if let Behaviour::Reject(status) = self.config.behaviour {
            let elsewhere = self.config.manners.elsewhere.iter().filter(|_| (300..400).contains(&status));
            let contact = |number| Header::Contact(format!("<sip:{number}@{}>", self.config.domain).into());
            let contacts = elsewhere.map(contact).collect();
            self.respond(now, key, status, contacts, None);
            return;
        }
        if self.config.manners.reliable == Reliable::Never && message::lists(&request, "Require", "100rel") {
            let unknown = message::extra("Unsupported", "100rel");
            self.respond(now, key, 420, vec![unknown], None);
            return;
        }
        if let Some(minimum) = self.too_brief(&request) {
            self.respond(now, key, 422, vec![minimum], None);
            return;
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
        let caller = Shown::of_caller(&request);
        let answer_at = match self.config.behaviour {
            _ if self.config.auto_answer && asks_for_auto_answer(&request) => Some(now),
            Behaviour::Answer(after) => Some(now + after),
            Behaviour::Ring | Behaviour::Reject(_) => None,
        };
        let mut call = self.new_call(dialog, caller.clone());
        call.peer.learn(&request);
        self.call = Some(call);
        let offer = self.read(&request.body);
        let Some(call) = &mut self.call else { return };
        call.agreement = offer.map_or(Agreement::Open, Agreement::Owed);
        call.phase = Phase::Ringing { key: key.clone(), request: Box::new(request), answer_at };
        self.announce(now, key, essentials.cseq);
        if self.call.is_some() {
            self.tell(Event::Incoming(caller.number));
        }
    }
}

/// Where a request with a To tag belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unknown,
    /// To the call; its number is lower than one before.
    Late,
    Ours,
}

/// The headers by which phones are asked to answer at once.
fn asks_for_auto_answer(request: &Request) -> bool {
    request.headers().iter().any(|header| match header {
        Header::CallInfo(value) => value.value().contains("answer-after=0"),
        Header::AlertInfo(value) => value.value().to_ascii_lowercase().contains("auto"),
        _ => false,
    })
}

/// Event `talk`, which many makers' phones know.
fn is_talk(request: &Request) -> bool {
    message::value(request, "Event").is_some_and(|event| event == "talk")
}
