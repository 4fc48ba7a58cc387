//! From a message, or what the transaction layer makes of it, to whom it concerns: the registrar or a verb of call control.

use super::{ALLOW, At, Engine, SUPPORTED};
use crate::auth::Verdict;
use crate::call::LegId;
use crate::call::leg::{Exchange, LeavingState, LegState, Said};
use crate::endpoint::{Owner, Timer};
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method, ParseError, Request, Response, Status};
use crate::sip::transaction::{Indication, ServerTx, Unanswered};
use crate::sip::uri::Scheme;
use crate::sip::wire::Parsed;
use crate::subscribe::package::ALLOW_EVENTS;

/// Answers to failed attempts that are held back; one more is given at once.
const LATE: usize = 10_000;

impl Engine {
    pub(super) fn parsed(&mut self, at: At<'_>, flow: Flow, parsed: Parsed) {
        self.counts.messages += 1;
        if let Parsed::Message(message) = &parsed {
            self.journal.heard(at.now.mono, message);
        }
        match parsed {
            Parsed::Message(Message::Request(mut request)) => {
                flow.note_source(&mut request.headers);
                if self.is_beyond(&request, &flow) {
                    return self.turn_away(&request, flow);
                }
                if let Some(indication) = {
                    let sources = &self.sources;
                    self.endpoint.receive_request(at.now.mono, flow, request, || sources.knows(flow.peer.ip()))
                } {
                    self.indicated(at, indication, Some(flow));
                }
            }
            Parsed::Message(Message::Response(response)) => {
                if let Some(indication) = self.endpoint.receive_response(at.now.mono, response) {
                    self.indicated(at, indication, Some(flow));
                }
            }
            Parsed::Answerable(request, error) => self.refuse_malformed(flow, *request, &error),
            Parsed::KeepAlive => {}
            Parsed::Unusable(error) => {
                self.counts.malformed += 1;
                tracing::debug!(%error, "an unusable SIP message");
            }
        }
    }

    fn refuse_malformed(&mut self, flow: Flow, mut request: Request, error: &ParseError) {
        self.counts.malformed += 1;
        if request.method == Method::Ack {
            return;
        }
        flow.note_source(&mut request.headers);
        let Ok(via) = request.headers.reply_via() else { return };
        let mut response = request.response(error.status);
        response.reason.clone_from(&error.text);
        self.endpoint.send(flow.of_reply(&via), response.encode());
    }

    pub(super) fn indicated(&mut self, at: At<'_>, indication: Indication<Owner>, flow: Option<Flow>) {
        match indication {
            Indication::Request(tx, request) => {
                if let Some(flow) = flow {
                    self.requested(at, tx, request, flow);
                }
            }
            Indication::Full(request) => {
                if let Some(flow) = flow {
                    self.turn_away(&request, flow);
                }
            }
            Indication::Ack(ack) => self.acknowledged(at, &ack),
            Indication::Cancel(_, Owner::Invite(leg), _) => self.cancelled(at, leg),
            Indication::Cancel(tx, ..) => self.cancelled_while_late(at, tx),
            Indication::Response(owner, response) => match owner {
                Owner::Invite(leg) => self.invite_response(at, leg, &response, flow),
                Owner::Reinvite(leg) => self.reinvite_response(at, leg, &response),
                Owner::Update(leg) => self.update_response(at, leg, &response),
                Owner::Display(leg) => self.display_response(at, leg, &response),
                Owner::Info(leg) => self.info_response(at, leg, &response),
                Owner::Talk(leg) => self.told_to_talk(at, leg, response.status),
                Owner::Probe(leg) => self.probe_response(at, leg, &response),
                Owner::Bye(leg) if !response.status.is_provisional() => drop(self.table.remove_leaving(leg)),
                Owner::Notify(id) => self.notify_response(at, id, &response),
                Owner::Farewell(id) => self.farewell_response(id, &response),
                Owner::Nobody => self.answered_nobody(at, &response, flow),
                Owner::Bye(_) => {}
            },
            Indication::Unanswered(owner, why) => self.unanswered(at, owner, why),
            Indication::NoAck(Owner::Invite(leg) | Owner::Reinvite(leg)) => self.unacknowledged(at, leg),
            Indication::NoPrack(Owner::Invite(leg)) => self.unpracked(at, leg),
            Indication::NoAck(_) | Indication::NoPrack(_) => {}
        }
    }

    /// §9.2: a CANCEL for an INVITE whose refusal is still held back.
    fn cancelled_while_late(&mut self, at: At<'_>, tx: ServerTx) {
        if let Some(mut response) = self.late.remove(&tx) {
            self.endpoint.timers.cancel(Timer::LateAnswer(tx));
            response.status = Status(487);
            Status(487).phrase().clone_into(&mut response.reason);
            response.headers.remove(&Name::WwwAuthenticate);
            self.endpoint.respond(at.now.mono, tx, &response);
        }
    }

    fn unanswered(&mut self, at: At<'_>, owner: Owner, why: Unanswered) {
        match owner {
            Owner::Invite(leg) => self.invite_unanswered(at, leg, why),
            Owner::Reinvite(leg) => self.reinvite_unanswered(at, leg, why),
            Owner::Update(leg) | Owner::Display(leg) => self.update_unanswered(at, leg, why),
            Owner::Info(leg) => self.info_unanswered(at, leg),
            Owner::Talk(leg) => self.told_to_talk(at, leg, Status(408)),
            Owner::Probe(leg) => self.probe_unanswered(at, leg),
            Owner::Bye(leg) => {
                self.table.unheard(leg);
                self.table.remove_leaving(leg);
            }
            Owner::Notify(id) => self.notify_unanswered(at, id),
            Owner::Farewell(id) => self.farewell_unanswered(id),
            Owner::Nobody => {}
        }
    }

    /// A new request. The order of the checks is RFC 3261 §8.2's and §16.3's: scheme, hops, extensions; then who, then where to.
    fn requested(&mut self, at: At<'_>, tx: ServerTx, request: Request, flow: Flow) {
        if let Some(response) = refused_before_authentication(&request) {
            return self.endpoint.refuse(at.now.mono, tx, &response);
        }
        let tag = request.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
        if let Some(tag) = tag {
            return self.in_dialog(at, tx, &request, flow, &tag);
        }
        match request.method {
            Method::Options => {
                // Nothing is kept of it: phones ask every half minute, to keep their way through a NAT open.
                self.endpoint.refuse(at.now.mono, tx, &capabilities(&request));
            }
            Method::Invite | Method::Register | Method::Subscribe | Method::Publish => {
                self.authenticate(at, tx, request, flow);
            }
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.endpoint.refuse(at.now.mono, tx, &request.response(Status(481)));
            }
            Method::Other(_) => {
                let response = request.response(Status(501)).with(Name::Allow, ALLOW);
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
            _ => {
                let response = request.response(Status(405)).with(Name::Allow, ALLOW);
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
        }
    }

    /// Who is it? Then to the registrar, or to call control.
    fn authenticate(&mut self, at: At<'_>, tx: ServerTx, request: Request, flow: Flow) {
        let registrar = &self.registrar;
        let registered_from = |device, source| registrar.is_registered_from(device, source);
        match self.authenticator.check(at.now, at.site, self.settings.digest, &request, &flow, registered_from) {
            Verdict::Device(device) => match request.method {
                Method::Register => self.register(at, tx, &request, flow, device),
                Method::Subscribe => self.subscribed(at, tx, &request, flow, device),
                Method::Publish => self.published(at, tx, &request, flow, device),
                _ => self.invited(at, tx, request, flow, device),
            },
            Verdict::Challenge(response) | Verdict::Malformed(response) => {
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
            Verdict::Refused(response, delay) => {
                self.counts.refused += 1;
                tracing::warn!(source = %flow.peer, method = %request.method, ?delay, "a wrong secret, or an unknown user");
                if delay.is_zero() || self.late.len() >= LATE {
                    return self.endpoint.refuse(at.now.mono, tx, &response);
                }
                self.endpoint.timers.set(Timer::LateAnswer(tx), at.now.mono + delay);
                self.late.insert(tx, response);
            }
        }
    }

    /// A request with a To tag (RFC 3261 §12.2.2).
    fn in_dialog(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, tag: &str) {
        let unknown = || request.response(Status(481));
        if let Some(id) = self.subscriptions.by_tag(tag) {
            return self.within_subscription(at, tx, request, flow, id);
        }
        let Some(id) = self.table.by_tag(tag) else {
            // Any tag costs a stranger nothing: a transaction for it, and an INVITE's refusal sent eleven times, would cost us.
            return self.endpoint.refuse(at.now.mono, tx, &unknown());
        };
        if self.table.leaving(id).is_some() {
            return self.within_leaving(at, tx, request, id);
        }
        let Some(leg) = self.table.leg_mut(id) else { return self.endpoint.respond(at.now.mono, tx, &unknown()) };
        match &mut leg.state {
            LegState::Up(up) if up.dialog.owns(request) => match up.dialog.receive(request, flow) {
                Ok(()) => self.within(at, tx, request, id),
                Err(status) => self.endpoint.respond(at.now.mono, tx, &request.response(status)),
            },
            LegState::Incoming(incoming) if incoming.dialog.owns(request) => {
                match incoming.dialog.receive(request, flow) {
                    Ok(()) => self.within_incoming(at, tx, request, id),
                    Err(status) => self.endpoint.respond(at.now.mono, tx, &request.response(status)),
                }
            }
            LegState::Outgoing(outgoing) => {
                let early = outgoing.early.iter_mut().find(|early| early.dialog.owns(request));
                match early.map(|early| early.dialog.receive(request, flow)) {
                    Some(Ok(())) if request.method == Method::Update => self.updated(at, tx, request, id),
                    Some(Err(status)) => self.endpoint.respond(at.now.mono, tx, &request.response(status)),
                    Some(Ok(())) | None => self.endpoint.respond(at.now.mono, tx, &unknown()),
                }
            }
            _ => self.endpoint.respond(at.now.mono, tx, &unknown()),
        }
    }

    /// The caller's requests before the answer.
    fn within_incoming(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        match request.method {
            // §15: a caller may end an early dialog with BYE too.
            Method::Bye => {
                self.endpoint.respond(at.now.mono, tx, &request.response(Status(200)));
                self.cancelled(at, id);
            }
            Method::Prack => self.pracked(at, tx, request, id),
            Method::Update => self.updated(at, tx, request, id),
            // §14.2: the first INVITE has no final response yet.
            Method::Invite => {
                let wait = self.endpoint.entropy.number() % 11;
                let response = request.response(Status(500)).with(Name::RetryAfter, wait.to_string());
                self.endpoint.respond(at.now.mono, tx, &response);
            }
            _ => self.endpoint.respond(at.now.mono, tx, &other_within(request)),
        }
    }

    /// Both hung up at once, or something crossed our BYE.
    fn within_leaving(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let (owned, unacknowledged) = match self.table.leaving(id).map(|leaving| &leaving.state) {
            Some(LeavingState::Ended(dialog)) => (dialog.owns(request), None),
            Some(LeavingState::Unacknowledged { dialog, tx, .. }) => (dialog.owns(request), Some(*tx)),
            Some(LeavingState::Cancelling { .. }) | None => (false, None),
        };
        if !owned || request.method != Method::Bye {
            return self.endpoint.respond(at.now.mono, tx, &request.response(Status(481)));
        }
        self.endpoint.respond(at.now.mono, tx, &request.response(Status(200)));
        if let Some(answered) = unacknowledged {
            self.endpoint.acknowledged(at.now.mono, answered);
            self.table.remove_leaving(id);
        }
    }

    fn within(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        match request.method {
            Method::Invite => self.reinvited(at, tx, request, id),
            Method::Bye => self.hung_up(at, tx, request, id),
            Method::Update => self.updated(at, tx, request, id),
            Method::Info => self.informed(at, tx, request, id),
            Method::Refer => self.referred(at, tx, request, id),
            // The response it acknowledges has been overtaken by the 2xx (RFC 3262 §3).
            Method::Prack => self.endpoint.respond(at.now.mono, tx, &request.response(Status(481))),
            _ => self.endpoint.respond(at.now.mono, tx, &other_within(request)),
        }
    }

    /// The ACK of a 2xx of ours.
    fn acknowledged(&mut self, at: At<'_>, ack: &Request) {
        let Some(tag) = ack.headers.to().ok().and_then(|to| to.tag().map(str::to_owned)) else { return };
        let Some(id) = self.table.by_tag(&tag) else { return };
        // An ACK that was long under way may be that of an earlier INVITE.
        let number = ack.headers.cseq().map(|cseq| cseq.number).ok();
        match self.table.leg_mut(id).map(|leg| &mut leg.state) {
            Some(LegState::Up(up)) if up.dialog.owns(ack) => match up.exchange {
                Exchange::Unacknowledged { tx, number: answered, said } if number == Some(answered) => {
                    up.exchange = Exchange::Settled;
                    self.endpoint.acknowledged(at.now.mono, tx);
                    if said == Said::Offer {
                        self.take_acknowledged_answer(at, id, ack);
                    }
                    self.settled(at, id);
                }
                _ => {}
            },
            Some(_) => {}
            None => self.acknowledged_late(at, id, number),
        }
    }
}

/// The answer to a request that has no place in its dialog.
pub(crate) fn other_within(request: &Request) -> Response {
    match request.method {
        Method::Options => capabilities(request),
        // RFC 6665 §4.5.2: a dialog is a subscription's own. There is none here to be told of.
        Method::Subscribe | Method::Publish => request.response(Status(403)),
        Method::Notify => request.response(Status(481)),
        Method::Other(_) => request.response(Status(501)).with(Name::Allow, ALLOW),
        _ => request.response(Status(405)).with(Name::Allow, ALLOW),
    }
}

/// §11.2: what the switch can do, the same to everybody and for every user, there or not: who there is, it tells only those who may call.
fn capabilities(options: &Request) -> Response {
    let mut response = options.response(Status(200)).with(Name::Allow, ALLOW);
    response.headers.push(Name::Accept, crate::sip::body::ACCEPT);
    response.headers.push(Name::AcceptEncoding, "identity");
    response.headers.push(Name::AcceptLanguage, "en");
    response.headers.push(Name::Supported, SUPPORTED);
    response.headers.push(Name::AllowEvents, ALLOW_EVENTS);
    response
}

/// An INVITE outside of a dialog: the one request that makes another.
fn begins_a_call(request: &Request) -> bool {
    request.method == Method::Invite && request.headers.to().is_ok_and(|to| to.tag().is_none())
}

/// 416, 483, 420: before anybody asks who it is.
fn refused_before_authentication(request: &Request) -> Option<Response> {
    if let Scheme::Other(_) = request.uri.scheme {
        return Some(request.response(Status(416)));
    }
    match request.headers.max_forwards() {
        // §16.3: what would go on to another. What ends here is taken as if there were hops left (RFC 4475 §3.3.11).
        Ok(Some(0)) if begins_a_call(request) => return Some(request.response(Status(483))),
        Ok(_) => {}
        Err(error) => {
            let mut response = request.response(error.status);
            response.reason = error.text;
            return Some(response);
        }
    }
    let mut required = request.headers.tokens(&Name::Require);
    required.retain(|token| !SUPPORTED.split(", ").any(|known| known == token));
    required.extend(request.headers.tokens(&Name::ProxyRequire));
    (!required.is_empty()).then(|| request.response(Status(420)).with(Name::Unsupported, required.join(", ")))
}
