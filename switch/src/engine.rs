//! Calls, registrations and dialogs: the half of the node that speaks SIP. An input goes in, and is handled to its end: through the wire layer and the
//! transactions to the registrar or to a verb of call control.
//!
//! The engine never calls the CAS; what there is to tell is in its events.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::control::{CallEvent, CallId, Cause, Refusal, Ticket};
use cas::entropy::Entropy;
use cas::site::{Access, DeviceId, DigestPolicy, Site};
use cas::store::{self, Change, Snapshot};
use cas::time::Now;

use crate::auth::{Gate, Verdict};
use crate::call::cause::Failure;
use crate::call::leg::{Exchange, LeavingState, LegState};
use crate::call::table::Table;
use crate::call::{CallNo, LegId};
use crate::endpoint::{Endpoint, Owner, Timer};
use crate::node::{Output, Settings, StoreUser, WorkerId};
use crate::ports::Ports;
use crate::registrar::{Answer, Registrar};
use crate::sip::flow::{Flow, StreamId};
use crate::sip::header::Name;
use crate::sip::message::{Message, Method, ParseError, Request, Status};
use crate::sip::transaction::{Indication, ServerTx, Unanswered};
use crate::sip::uri::Scheme;
use crate::sip::wire::{Frame, Parsed, parse_datagram};

/// What the switch takes (RFC 3261 §20.5).
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER";
/// What it calls itself.
pub(crate) const AGENT: &str = "switch";
/// How long running calls go on after a stop was asked for.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// How long phones may take to answer the BYEs after that.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The instant and the site of one step.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) now: Now,
    pub(crate) site: &'a Site,
}

/// What of the settings the engine asks for.
pub(crate) struct EngineSettings {
    pub(crate) domain: String,
    pub(crate) digest: DigestPolicy,
    pub(crate) media_address: Option<IpAddr>,
    pub(crate) max_calls: usize,
}

/// Whether the switch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// No new calls; the running ones have until the timer.
    LastCalls,
    /// The running ones were ended.
    LastWords,
    Over,
}

impl Life {
    pub(crate) fn is_ending(self) -> bool {
        self != Life::Running
    }
}

/// What has happened since the start, for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls begun.
    pub calls: u64,
    /// SIP messages in.
    pub messages: u64,
    /// SIP messages that could not be read.
    pub malformed: u64,
    /// Failed authentications.
    pub refused: u64,
    /// Writes that the store could not do.
    pub store_failures: u64,
}

/// See the module.
pub struct Engine {
    pub(crate) settings: EngineSettings,
    pub(crate) endpoint: Endpoint,
    pub(crate) registrar: Registrar,
    pub(crate) table: Table,
    pub(crate) ports: Ports,
    /// Gateways, and the address of ours that reaches each.
    pub(crate) gateways: BTreeMap<SocketAddr, Option<SocketAddr>>,
    /// Calls that changed in this step, and why.
    pub(crate) touched: BTreeMap<CallNo, Option<Cause>>,
    pub(crate) events: VecDeque<CallEvent>,
    /// Completions of this step: told after the changes they belong to.
    pub(crate) completions: Vec<CallEvent>,
    pub(crate) counts: Counts,
    pub(crate) life: Life,
    pub(crate) next_ticket: u64,
    gate: Gate,
    /// Answers to failed attempts that are not due yet.
    pub(crate) late: BTreeMap<ServerTx, crate::sip::message::Response>,
    outputs: VecDeque<Output>,
    next_store: u64,
}

impl Engine {
    /// With the bindings that outlived a restart.
    pub fn new(now: Now, settings: &Settings, site: &Site, snapshot: &Snapshot, entropy: Box<dyn Entropy>) -> Engine {
        let mut endpoint = Endpoint::new(settings.max_transactions, entropy);
        let mut key = [0; 32];
        endpoint.entropy.fill(&mut key);
        let random = endpoint.entropy.number();
        let mut engine = Engine {
            settings: EngineSettings {
                domain: settings.domain.clone(),
                digest: settings.digest,
                media_address: settings.media_address,
                max_calls: settings.max_calls,
            },
            endpoint,
            registrar: Registrar::new(now, &snapshot.bindings, settings.max_bindings),
            table: Table::default(),
            ports: Ports::new(&settings.ports, random),
            gateways: BTreeMap::new(),
            touched: BTreeMap::new(),
            events: VecDeque::new(),
            completions: Vec::new(),
            counts: Counts::default(),
            life: Life::Running,
            next_ticket: 0,
            gate: Gate::new(now, key),
            late: BTreeMap::new(),
            outputs: VecDeque::new(),
            next_store: 0,
        };
        let devices: Vec<DeviceId> = engine.registrar.devices().collect();
        for device in devices {
            engine.watch_binding(device);
        }
        engine.site_changed(At { now, site });
        engine
    }

    // ---- Inputs -------------------------------------------------------------------------------------------------------------------

    pub(crate) fn datagram(&mut self, at: At<'_>, flow: Flow, bytes: &Bytes) {
        self.parsed(at, flow, parse_datagram(bytes));
        self.end_step(at);
    }

    pub(crate) fn stream(&mut self, at: At<'_>, stream: StreamId, bytes: &[u8]) {
        self.endpoint.push(stream, bytes);
        while let Some((flow, frame)) = self.endpoint.next_frame(stream) {
            match frame {
                Frame::Parsed(parsed) => self.parsed(at, flow, parsed),
                Frame::Ping => self.endpoint.send(flow, Bytes::from_static(b"\r\n")),
                Frame::Lost(parsed) => {
                    self.parsed(at, flow, parsed);
                    self.endpoint.close(stream);
                    break;
                }
            }
        }
        self.end_step(at);
    }

    pub(crate) fn flow_opened(&mut self, flow: Flow) {
        self.endpoint.flow_opened(flow);
    }

    pub(crate) fn flow_closed(&mut self, at: At<'_>, stream: StreamId) {
        for indication in self.endpoint.flow_closed(at.now.mono, stream) {
            self.indicated(at, indication, None);
        }
        self.end_step(at);
    }

    pub(crate) fn resolved(&mut self, peer: SocketAddr, local: Option<SocketAddr>) {
        if let Some(known) = self.gateways.get_mut(&peer) {
            *known = local;
        }
    }

    pub(crate) fn media_event(&mut self, at: At<'_>, event: &media::Event) {
        match event {
            media::Event::Silent { leg, .. } => self.silent(at, *leg),
            media::Event::Closed { leg, stats } => {
                if let Some((place, record)) = self.table.closed(*leg, stats) {
                    self.ports.give_back(place);
                    if let Some(record) = record {
                        self.write_history(record);
                    }
                }
            }
            // Relayed within the media plane; services that listen for digits come later.
            media::Event::Dtmf { .. } => {}
        }
        self.end_step(at);
    }

    pub(crate) fn stored(&mut self, at: At<'_>, id: store::RequestId, written: bool) {
        if !written {
            tracing::error!("the store could not write: a registration is refused, or a call record is lost");
            self.counts.store_failures += 1;
        }
        if let Some(settled) = self.registrar.stored(id, written) {
            self.endpoint.respond(at.now.mono, settled.tx, &settled.response);
            self.watch_binding(settled.device);
            if let Some(registered) = settled.turned {
                tracing::info!(device = settled.device.0, registered, "a device came or went");
                self.events.push_back(CallEvent::Device { device: settled.device, registered });
            }
            for (tx, request, flow) in settled.queued {
                self.register(at, tx, &request, flow, settled.device);
            }
        }
        self.end_step(at);
    }

    pub(crate) fn timeout(&mut self, at: At<'_>) {
        while let Some(timer) = self.endpoint.timers.pop(at.now.mono) {
            match timer {
                Timer::Transaction(timer) => {
                    if let Some(indication) = self.endpoint.timeout(at.now.mono, timer) {
                        self.indicated(at, indication, None);
                    }
                }
                Timer::LateAnswer(tx) => {
                    if let Some(response) = self.late.remove(&tx) {
                        self.endpoint.refuse(at.now.mono, tx, &response);
                    }
                }
                Timer::Binding(device) => {
                    let (changes, gone) = self.registrar.expire(at.now, device);
                    self.unbound(device, changes, gone);
                }
                Timer::NoAnswer(no) => self.no_answer(at, no),
                Timer::Reoffer(leg) => self.settled(at, leg),
                Timer::Stop => self.stop_timer(at),
            }
        }
        self.end_step(at);
    }

    /// Users, devices or numbers changed: what hangs on those that are gone ends.
    pub(crate) fn site_changed(&mut self, at: At<'_>) {
        let gone: Vec<DeviceId> = self.registrar.devices().filter(|id| at.site.device(*id).is_none()).collect();
        for device in gone {
            let (changes, gone) = self.registrar.remove(device);
            self.unbound(device, changes, gone);
        }
        let orphans: Vec<CallNo> = self
            .table
            .legs()
            .filter(|(_, leg)| at.site.device(leg.device).is_none())
            .map(|(_, leg)| leg.call)
            .collect();
        for no in orphans {
            self.end_call(at, no, Failure::new(Cause::Normal), None);
        }
        let peers = at.site.devices().filter_map(|device| match device.access {
            Access::Address(peer) => Some(peer),
            Access::Digest { .. } => None,
        });
        let known = std::mem::take(&mut self.gateways);
        for peer in peers {
            self.gateways.insert(peer, known.get(&peer).copied().flatten());
            self.outputs.push_back(Output::Resolve(peer));
        }
        self.end_step(at);
    }

    /// TERM: in order.
    pub(crate) fn stop(&mut self, at: At<'_>) {
        if self.life == Life::Running {
            self.life = Life::LastCalls;
            self.endpoint.timers.set(Timer::Stop, at.now.mono + LAST_CALLS);
        }
        self.end_step(at);
    }

    fn stop_timer(&mut self, at: At<'_>) {
        match self.life {
            Life::LastCalls => {
                self.life = Life::LastWords;
                self.endpoint.timers.set(Timer::Stop, at.now.mono + LAST_WORDS);
                let calls: Vec<CallNo> = self.table.calls().map(|(no, _)| no).collect();
                for no in calls {
                    self.end_call(at, no, Failure::new(Cause::Shutdown), None);
                }
            }
            Life::LastWords => self.over(),
            Life::Running | Life::Over => {}
        }
    }

    fn over(&mut self) {
        self.life = Life::Over;
        self.endpoint.timers.cancel(Timer::Stop);
        self.outputs.push_back(Output::Stopped);
    }

    fn end_step(&mut self, at: At<'_>) {
        self.tell_changes(at);
        if matches!(self.life, Life::LastCalls | Life::LastWords) && self.table.is_quiet() {
            self.over();
        }
    }

    // ---- Messages -----------------------------------------------------------------------------------------------------------------

    fn parsed(&mut self, at: At<'_>, flow: Flow, parsed: Parsed) {
        self.counts.messages += 1;
        match parsed {
            Parsed::Message(Message::Request(mut request)) => {
                flow.note_source(&mut request.headers);
                if let Some(indication) = self.endpoint.receive_request(at.now.mono, flow, request) {
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
        let Ok(via) = request.headers.via() else { return };
        let mut response = request.response(error.status);
        response.reason.clone_from(&error.text);
        self.endpoint.send(flow.of_reply(&via), response.encode());
    }

    fn indicated(&mut self, at: At<'_>, indication: Indication<Owner>, flow: Option<Flow>) {
        match indication {
            Indication::Request(tx, request) => {
                if let Some(flow) = flow {
                    self.requested(at, tx, request, flow);
                }
            }
            Indication::Ack(ack) => self.acknowledged(at, &ack),
            Indication::Cancel(_, Owner::Invite(leg), _) => self.cancelled(at, leg),
            Indication::Cancel(tx, ..) => self.cancelled_while_late(at, tx),
            Indication::Response(owner, response) => match owner {
                Owner::Invite(leg) => self.invite_response(at, leg, &response),
                Owner::Reinvite(leg) => self.reinvite_response(at, leg, &response),
                Owner::Probe(leg) => self.probe_response(at, leg, &response),
                Owner::Bye(leg) if !response.status.is_provisional() => drop(self.table.remove_leaving(leg)),
                Owner::Bye(_) | Owner::Nobody => {}
            },
            Indication::Unanswered(owner, why) => self.unanswered(at, owner, why),
            Indication::NoAck(Owner::Invite(leg) | Owner::Reinvite(leg)) => self.unacknowledged(at, leg),
            Indication::NoAck(_) => {}
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
            Owner::Reinvite(leg) => self.reinvite_unanswered(at, leg),
            Owner::Probe(leg) => self.probe_unanswered(at, leg),
            Owner::Bye(leg) => drop(self.table.remove_leaving(leg)),
            Owner::Nobody => {}
        }
    }

    /// A new request. The order of the checks is RFC 3261 §8.2's and §16.3's: scheme, hops, extensions; then who, then where to.
    fn requested(&mut self, at: At<'_>, tx: ServerTx, request: Request, flow: Flow) {
        if let Some(response) = refused_at_the_door(&request) {
            return self.endpoint.refuse(at.now.mono, tx, &response);
        }
        let tag = request.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
        if let Some(tag) = tag {
            return self.in_dialog(at, tx, &request, flow, &tag);
        }
        match request.method {
            Method::Options => {
                let mut response = request.response(Status(200)).with(Name::Allow, ALLOW);
                response.headers.push(Name::Accept, "application/sdp");
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
            Method::Invite | Method::Register => self.authenticated(at, tx, request, flow),
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

    fn authenticated(&mut self, at: At<'_>, tx: ServerTx, request: Request, flow: Flow) {
        let registrar = &self.registrar;
        let registered_from = |device, source| registrar.is_registered_from(device, source);
        match self.gate.check(at.now, at.site, self.settings.digest, &request, &flow, registered_from) {
            Verdict::Device(device) if request.method == Method::Register => {
                self.register(at, tx, &request, flow, device);
            }
            Verdict::Device(device) => self.invited(at, tx, request, flow, device),
            Verdict::Challenge(response) | Verdict::Malformed(response) => {
                self.endpoint.refuse(at.now.mono, tx, &response);
            }
            Verdict::Refused(response, delay) => {
                self.counts.refused += 1;
                tracing::warn!(source = %flow.peer, method = %request.method, ?delay, "a wrong secret, or an unknown user");
                if delay.is_zero() {
                    return self.endpoint.refuse(at.now.mono, tx, &response);
                }
                self.endpoint.timers.set(Timer::LateAnswer(tx), at.now.mono + delay);
                self.late.insert(tx, response);
            }
        }
    }

    fn register(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        if let Some(status) = self.wrong_registration(at.site, request, &flow, device) {
            return self.endpoint.respond(at.now.mono, tx, &request.response(status));
        }
        let id = store::RequestId(self.next_store + 1);
        match self.registrar.register(at.now, tx, request, flow, device, id) {
            Answer::Now(response, changes) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                self.write(changes);
                self.watch_binding(device);
            }
            Answer::AfterStore(changes) => {
                let written = self.write(changes);
                debug_assert_eq!(written, Some(id), "the registrar waits for the request that is made now");
                self.watch_binding(device);
            }
            Answer::Queued => {}
        }
    }

    /// §10.3 steps 1, 4 and 5: the domain is ours, and a device registers itself and no other.
    fn wrong_registration(&self, site: &Site, request: &Request, flow: &Flow, device: DeviceId) -> Option<Status> {
        let to = request.headers.to().ok()?.uri;
        match site.device(device).map(|device| &device.access) {
            Some(Access::Digest { .. }) if !self.serves(&request.uri, flow) => Some(Status(404)),
            Some(Access::Digest { sip_user, .. }) if to.user.as_deref() != Some(sip_user) => Some(Status(403)),
            Some(Access::Digest { .. }) => None,
            // A gateway is known by its address: there is nothing to register.
            Some(Access::Address(_)) | None => Some(Status(403)),
        }
    }

    /// A request with a To tag (RFC 3261 §12.2.2).
    fn in_dialog(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, tag: &str) {
        let unknown = request.response(Status(481));
        let Some(id) = self.table.by_tag(tag) else {
            return self.endpoint.respond(at.now.mono, tx, &unknown);
        };
        if self.table.leaving(id).is_some() {
            return self.within_leaving(at, tx, request, id);
        }
        let Some(leg) = self.table.leg_mut(id) else { return self.endpoint.respond(at.now.mono, tx, &unknown) };
        match &mut leg.state {
            LegState::Up(up) if up.dialog.owns(request) => match up.dialog.receive(request, flow) {
                Ok(()) => self.within(at, tx, request, id),
                Err(status) => self.endpoint.respond(at.now.mono, tx, &request.response(status)),
            },
            // §15: a caller may end an early dialog with BYE too.
            LegState::Incoming(incoming) if request.method == Method::Bye && incoming.dialog.owns(request) => {
                self.endpoint.respond(at.now.mono, tx, &request.response(Status(200)));
                self.cancelled(at, id);
            }
            _ => self.endpoint.respond(at.now.mono, tx, &unknown),
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
            Method::Options => {
                let response = request.response(Status(200)).with(Name::Allow, ALLOW);
                self.endpoint.respond(at.now.mono, tx, &response);
            }
            Method::Other(_) => {
                self.endpoint.respond(at.now.mono, tx, &request.response(Status(501)).with(Name::Allow, ALLOW));
            }
            _ => self.endpoint.respond(at.now.mono, tx, &request.response(Status(405)).with(Name::Allow, ALLOW)),
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
                Exchange::Unacknowledged { tx, number: answered } if number == Some(answered) => {
                    up.exchange = Exchange::Settled;
                    self.endpoint.acknowledged(at.now.mono, tx);
                    self.settled(at, id);
                }
                _ => {}
            },
            Some(_) => {}
            None => self.acknowledged_late(at, id, number),
        }
    }

    // ---- What the verbs use ---------------------------------------------------------------------------------------------------------

    /// A call has changed, and is compared with what was told of it when the step ends.
    pub(crate) fn touch(&mut self, no: CallNo, cause: Option<Cause>) {
        let entry = self.touched.entry(no).or_default();
        *entry = cause.or(*entry);
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(crate) fn complete(&mut self, ticket: Ticket, result: Result<Option<CallId>, Refusal>) {
        self.completions.push(CallEvent::Completed(ticket, result));
    }

    pub(crate) fn media(&mut self, worker: WorkerId, command: media::Command) {
        self.outputs.push_back(Output::Media(worker, command));
    }

    /// Queues a write; `None` where there is nothing to write.
    pub(crate) fn write(&mut self, changes: Vec<Change>) -> Option<store::RequestId> {
        if changes.is_empty() {
            return None;
        }
        self.next_store += 1;
        let id = store::RequestId(self.next_store);
        self.outputs.push_back(Output::Store(StoreUser::Engine, id, store::Request::Write(changes)));
        Some(id)
    }

    fn watch_binding(&mut self, device: DeviceId) {
        match self.registrar.next_end(device) {
            Some(end) => self.endpoint.timers.set(Timer::Binding(device), end),
            None => self.endpoint.timers.cancel(Timer::Binding(device)),
        }
    }

    fn unbound(&mut self, device: DeviceId, changes: Vec<Change>, gone: bool) {
        self.write(changes);
        self.watch_binding(device);
        if gone {
            tracing::info!(device = device.0, registered = false, "a device came or went");
            self.events.push_back(CallEvent::Device { device, registered: false });
        }
    }

    // ---- Outputs --------------------------------------------------------------------------------------------------------------------

    pub(crate) fn poll_event(&mut self) -> Option<CallEvent> {
        self.events.pop_front()
    }

    /// Media commands and writes, then what is to be sent: a phone never hears of a port that is not open.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if let Some((stream, peer)) = self.endpoint.poll_connect() {
            return Some(Output::Connect(stream, peer));
        }
        if let Some((flow, bytes)) = self.endpoint.poll_send() {
            return Some(Output::Send(flow, bytes));
        }
        self.endpoint.poll_close().map(Output::Close)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.endpoint.timers.next()
    }

    /// Every timer that is armed.
    pub fn armed_timers(&self) -> impl Iterator<Item = Timer> {
        self.endpoint.timers.armed()
    }

    /// RTP ports that are free.
    pub fn free_ports(&self) -> usize {
        self.ports.free()
    }

    /// Whether no call, and nothing of one, is left.
    pub fn is_quiet(&self) -> bool {
        self.table.is_quiet()
    }

    /// For the metrics.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// 416, 483, 420: before anybody asks who it is.
fn refused_at_the_door(request: &Request) -> Option<crate::sip::message::Response> {
    if let Scheme::Other(_) = request.uri.scheme {
        return Some(request.response(Status(416)));
    }
    match request.headers.max_forwards() {
        Ok(Some(0)) => return Some(request.response(Status(483))),
        Ok(_) => {}
        Err(error) => {
            let mut response = request.response(error.status);
            response.reason = error.text;
            return Some(response);
        }
    }
    let mut required = request.headers.tokens(&Name::Require);
    required.extend(request.headers.tokens(&Name::ProxyRequire));
    (!required.is_empty()).then(|| request.response(Status(420)).with(Name::Unsupported, required.join(", ")))
}
