//! Calls, registrations and dialogs: the half of the node that speaks SIP. An input goes in, and is handled to its end: through the wire layer and the
//! transactions to the registrar or to a verb of call control.
//!
//! The engine never calls the CAS; what there is to tell is in its events.

mod behind;
pub(crate) mod message;
pub(crate) mod overload;
mod registration;
pub(crate) mod sources;
mod tap;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::control::{CallEvent, CallId, Cause, Refusal, Ticket, Yield};
use cas::entropy::Entropy;
use cas::site::{Access, DeviceId, DigestPolicy, Site};
use cas::store::{self, Change, Snapshot, StoreError};
use cas::time::Now;

use self::behind::Behind;
pub use crate::audit::Waits;
use crate::auth::Authenticator;
use crate::call::CallNo;
use crate::call::bookings::Bookings;
use crate::call::cause::Failure;
use crate::call::history::History;
use crate::call::last::LastCalls;
use crate::call::remind::Reminder;
use crate::call::table::Table;
use crate::endpoint::Endpoint;
pub use crate::endpoint::Timer;
use crate::engine::sources::Sources;
use crate::engine::tap::Tap;
pub use crate::engine::tap::{Seen, Wish};
use crate::journal::{Journal, SetupTimes};
use crate::node::{Limits, Live, Output, Settings, StoreUser};
use crate::ports::{Place, Ports};
use crate::registrar::Registrar;
use crate::seats::{Seats, Told};
use crate::service::orbit::Parks;
use crate::sip::flow::{Flow, StreamId};
use crate::sip::message::Response;
use crate::sip::stun;
use crate::sip::timer::TIMEOUT;
use crate::sip::transaction::{Durations, ServerTx};
use crate::sip::wire::{Frame, parse_datagram};
use crate::sounds::announcement::Audience;
use crate::subscribe::table::Subscriptions;

pub use overload::Pressure;

/// What the switch takes (RFC 3261 §20.5).
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, SUBSCRIBE, NOTIFY, PUBLISH";
/// The extensions it knows: offered, and no reason to refuse a request that requires them (RFC 3261 §20.37).
pub(crate) const SUPPORTED: &str = "100rel, eventlist, gruu, norefersub, outbound, path, replaces, timer";
/// What it calls itself.
pub(crate) const AGENT: &str = "switch";
/// How long running calls go on after a stop was asked for.
const DRAINING: Duration = Duration::from_secs(10);
/// How long phones may take to answer the BYEs after that.
const HANGING_UP: Duration = Duration::from_secs(2);

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
    pub(crate) follow_redirects: bool,
    pub(crate) music_of: BTreeMap<String, media::SoundId>,
    pub(crate) hold_reminder: Option<Duration>,
    pub(crate) announcements: Audience,
    pub(crate) limits: Limits,
}

/// Whether the switch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// No new calls; the running ones have until the timer.
    Draining,
    /// The running ones were ended.
    HangingUp,
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
    /// Requests answered 503: the switch was behind, a table was full, or a source had its part.
    pub turned_away: u64,
    /// Ports used again though their phones never heard that their calls were over.
    pub unguarded: u64,
    /// Writes that the store could not do.
    pub store_failures: u64,
}

/// Call control, the registrar and what they work with. Its verbs are `impl Engine` blocks in `call/`, one file each.
pub struct Engine {
    pub(crate) settings: EngineSettings,
    pub(crate) endpoint: Endpoint,
    pub(crate) registrar: Registrar,
    pub(crate) table: Table,
    pub(crate) parks: Parks,
    pub(crate) history: History,
    pub(crate) last_calls: LastCalls,
    pub(crate) bookings: Bookings,
    pub(crate) behind: Behind,
    pub(crate) ports: Ports,
    pub(crate) seats: Seats,
    /// The media legs at ports that are guarded.
    pub(crate) guards: BTreeMap<media::LegId, Place>,
    pub(crate) sources: Sources,
    pub(crate) subscriptions: Subscriptions,
    /// How far the sockets say we are behind.
    pressure: Pressure,
    /// Gateways, and the address of ours that reaches each.
    pub(crate) gateways: BTreeMap<SocketAddr, Option<SocketAddr>>,
    /// Peers that have answered 503, and until when they are not asked again.
    pub(crate) resting: BTreeMap<SocketAddr, Instant>,
    /// Calls that changed in this step, and why.
    pub(crate) touched: BTreeMap<CallNo, Option<Cause>>,
    pub(crate) events: VecDeque<CallEvent>,
    /// Completions of this step: told after the changes they belong to.
    pub(crate) completions: Vec<CallEvent>,
    pub(crate) counts: Counts,
    pub(crate) life: Life,
    /// For whoever asks what became of a call.
    pub(crate) journal: Journal,
    /// What an operator wants to see.
    tap: Option<Tap>,
    /// Who is reminded of a call on hold, by his end of it.
    pub(crate) reminders: BTreeMap<CallId, Reminder>,
    pub(crate) next_ticket: u64,
    authenticator: Authenticator,
    /// Answers to failed attempts that are not due yet.
    pub(crate) late: BTreeMap<ServerTx, Response>,
    outputs: VecDeque<Output>,
    next_store: u64,
}

impl Engine {
    /// With the bindings that outlived a restart.
    pub fn new(now: Now, settings: &Settings, site: &Site, snapshot: &Snapshot, entropy: Box<dyn Entropy>) -> Engine {
        let mut endpoint = Endpoint::new(settings, entropy);
        let mut key = [0; 32];
        endpoint.entropy.fill(&mut key);
        let random = endpoint.entropy.number();
        let mut engine = Engine {
            settings: EngineSettings {
                domain: settings.domain.clone(),
                digest: settings.digest,
                media_address: settings.media_address,
                max_calls: settings.max_calls,
                follow_redirects: settings.follow_redirects,
                music_of: settings.music_of.clone(),
                hold_reminder: settings.hold_reminder,
                announcements: settings.announcements,
                limits: settings.limits.clone(),
            },
            endpoint,
            registrar: Registrar::new(now, &snapshot.bindings, settings.max_bindings),
            table: Table::default(),
            parks: Parks::default(),
            history: History::default(),
            last_calls: LastCalls::new(&snapshot.last_calls),
            bookings: Bookings::default(),
            behind: Behind::default(),
            ports: Ports::new(&settings.ports, random),
            seats: Seats::default(),
            guards: BTreeMap::new(),
            sources: Sources::default(),
            subscriptions: Subscriptions::default(),
            pressure: Pressure::None,
            gateways: BTreeMap::new(),
            resting: BTreeMap::new(),
            touched: BTreeMap::new(),
            events: VecDeque::new(),
            completions: Vec::new(),
            counts: Counts::default(),
            life: Life::Running,
            journal: Journal::new(now),
            tap: None,
            reminders: BTreeMap::new(),
            next_ticket: 0,
            authenticator: Authenticator::new(now, key),
            late: BTreeMap::new(),
            outputs: VecDeque::new(),
            next_store: 0,
        };
        let mut devices: BTreeSet<DeviceId> = engine.registrar.devices().collect();
        for device in &devices {
            engine.watch_binding(At { now, site }, *device);
        }
        devices.extend(site.devices().map(|device| device.id));
        engine.site_changed(At { now, site }, &devices);
        engine
    }

    pub(crate) fn datagram(&mut self, at: At<'_>, flow: Flow, bytes: &Bytes) {
        self.tap_message(flow, true, bytes);
        if self.is_turned_away(flow, bytes) {
            return;
        }
        match stun::answer(bytes, flow.peer) {
            Some(answer) => self.endpoint.send(flow, answer),
            None => self.parsed(at, flow, parse_datagram(bytes)),
        }
        self.end_step(at);
    }

    pub(crate) fn stream(&mut self, at: At<'_>, stream: StreamId, bytes: &[u8]) {
        let mut begun = !self.endpoint.is_mid_message(stream);
        if self.tap.is_some() {
            self.tap_pushed(stream, bytes);
        }
        self.endpoint.push(at.now.mono, stream, bytes);
        while let Some((flow, frame)) = self.endpoint.next_frame(stream) {
            begun = true;
            if self.tap.is_some() {
                self.tap_read(stream, flow);
            }
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
        self.tap_waits(stream);
        match self.endpoint.is_mid_message(stream) {
            true if begun => self.endpoint.timers.set(Timer::Unfinished(stream), at.now.mono + TIMEOUT),
            true => {}
            false => self.endpoint.timers.cancel(Timer::Unfinished(stream)),
        }
        self.end_step(at);
    }

    pub(crate) fn flow_opened(&mut self, at: At<'_>, flow: Flow) {
        self.endpoint.flow_opened(at.now.mono, flow);
    }

    pub(crate) fn flow_closed(&mut self, at: At<'_>, stream: StreamId) {
        let devices = self.endpoint.devices_over(stream);
        self.tap_closed(stream);
        for indication in self.endpoint.flow_closed(at.now.mono, stream) {
            self.indicated(at, indication, None);
        }
        for device in devices {
            self.flows_failed(at, device);
        }
        self.end_step(at);
    }

    pub(crate) fn resolved(&mut self, peer: SocketAddr, local: Option<SocketAddr>) {
        if let Some(known) = self.gateways.get_mut(&peer) {
            *known = local;
        }
    }

    pub(crate) fn media_event(&mut self, at: At<'_>, event: media::Event) {
        match event {
            media::Event::Silent { leg, .. } => self.silent(at, leg),
            media::Event::Detached(leg) => {
                let told = self.seats.detached(leg);
                self.media(told);
            }
            media::Event::Counted { leg, stats } => self.journal.counted(leg, at.now, &stats),
            media::Event::Closed { leg, stats } => {
                self.journal.counted(leg, at.now, &stats);
                self.seats.closed(leg);
                if !self.relieved(at, leg, &stats) {
                    if let Some((place, record)) = self.table.closed(leg, &stats) {
                        self.tap_leg_ended(place.port);
                        if let Some(record) = record {
                            self.write_history(at, record);
                        }
                    }
                    self.vacate(at, leg);
                }
            }
            media::Event::Played { leg, play } => self.phrase_said(at, leg, play),
            // Relayed within the media plane; services that listen for digits come later.
            media::Event::Dtmf { .. } => {}
        }
        self.end_step(at);
    }

    pub(crate) fn stored(&mut self, at: At<'_>, id: store::RequestId, result: Result<store::Reply, StoreError>) {
        let settled = self.registrar.stored(id, result.is_ok(), |device| at.site.device(device).is_some());
        let records = self.records_stored(at, id, result.is_ok());
        let last_calls = self.last_calls_stored(at, id, result.is_ok());
        if let Err(error) = result {
            let consequence = match settled {
                Some(_) => "a registration is refused",
                None if records => "call records wait for it",
                None if last_calls => "whom users have called last waits for it",
                None => "the refresh of a registration, or its end, is not kept",
            };
            tracing::error!(%error, consequence);
            self.counts.store_failures += 1;
        }
        if let Some(settled) = settled {
            self.registration_stored(at, settled);
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
                    self.unbound(at, device, changes, gone);
                }
                Timer::KeepAlive(device) => self.keep_alive(at, device),
                Timer::NoAnswer(no) => self.no_answer(at, no),
                Timer::Reminder(id) => self.reminder_due(at, id),
                Timer::Recall(no) => self.recall_due(at, no),
                Timer::Parked(no) => self.parked_shown(at, no),
                Timer::Notice(no) => self.noticed(at, no),
                Timer::CallBack(booking) => self.call_back_expired(at, booking),
                Timer::Reoffer(leg) => self.settled(at, leg),
                Timer::Prompt(leg) => self.prompt_due(at, leg),
                Timer::Session(leg) => self.session_due(at, leg),
                Timer::Unfinished(stream) => self.endpoint.close(stream),
                Timer::Guard(guard) => self.relieve(guard),
                Timer::Idle(stream) => self.idle(at, stream),
                Timer::Large(stream) => self.endpoint.large_is_late(at.now.mono, stream),
                Timer::Subscription(id) => self.subscription_over(at, id),
                Timer::Notify(id) => self.notify_due(at, id),
                Timer::Publication(id) => self.publication_over(id),
                Timer::Answered => self.write_begun(),
                Timer::Behind => self.flush_behind(),
                Timer::Kept => self.write_kept(at),
                Timer::Stop => self.stop_timer(at),
            }
        }
        self.end_step(at);
    }

    /// These devices came, changed or went: what hangs on those that are gone ends.
    pub(crate) fn site_changed(&mut self, at: At<'_>, devices: &BTreeSet<DeviceId>) {
        for id in devices {
            let device = at.site.device(*id);
            if device.is_none() && self.registrar.is_registered(*id) {
                let (changes, gone) = self.registrar.remove(*id);
                self.unbound(at, *id, changes, gone);
            }
            let peer = device.and_then(|device| match device.access {
                Access::Address(peer) => Some(peer),
                Access::Digest { .. } => None,
            });
            let before = self.sources.gateway(*id, peer).filter(|before| Some(*before) != peer);
            if let Some(left) = before.filter(|left| at.site.gateway_at(*left).is_none()) {
                self.gateways.remove(&left);
            }
            if let Some(peer) = peer {
                self.gateways.entry(peer).or_default();
                self.outputs.push_back(Output::Resolve(peer));
            }
        }
        // Legs and phones are looked through once, and only where a device has gone.
        if devices.iter().any(|id| at.site.device(*id).is_none()) {
            self.endpoint.keep_phones(|sip_user| at.site.device_by_sip_user(sip_user).is_some());
            let is_orphan = |device: &DeviceId| devices.contains(device) && at.site.device(*device).is_none();
            let orphans = self.table.legs().filter(|(_, leg)| is_orphan(&leg.device)).map(|(_, leg)| leg.call);
            for no in orphans.collect::<Vec<CallNo>>() {
                self.end_call(at, no, Failure::new(Cause::NotRegistered), None);
            }
        }
        self.keep_publications(|device| at.site.device(device).is_some());
        self.keep_parked(at);
        self.last_calls.keep(at.site);
        self.keep_bookings(at);
        self.look_at_all(at);
        self.end_step(at);
    }

    /// Whether a gateway is there, or a phone is registered from there.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.sources.knows(address)
    }

    /// TERM: in order.
    pub(crate) fn stop(&mut self, at: At<'_>) {
        if self.life == Life::Running {
            self.life = Life::Draining;
            self.endpoint.timers.set(Timer::Stop, at.now.mono + DRAINING);
            self.end_subscriptions(at);
        }
        self.end_step(at);
    }

    fn stop_timer(&mut self, at: At<'_>) {
        match self.life {
            Life::Draining => {
                self.life = Life::HangingUp;
                self.endpoint.timers.set(Timer::Stop, at.now.mono + HANGING_UP);
                let calls: Vec<CallNo> = self.table.calls().map(|(no, _)| no).collect();
                for no in calls {
                    self.end_call(at, no, Failure::new(Cause::Shutdown), None);
                }
            }
            Life::HangingUp => self.over(),
            Life::Running | Life::Over => {}
        }
    }

    fn over(&mut self) {
        self.life = Life::Over;
        self.flush_behind();
        if self.history.kept() > 0 {
            tracing::error!(records = self.history.kept(), "call records that the store could not take are lost");
        }
        self.endpoint.timers.cancel(Timer::Stop);
        self.outputs.push_back(Output::Stopped);
    }

    fn end_step(&mut self, at: At<'_>) {
        self.tell_changes(at);
        for leg in self.table.take_left() {
            self.vacate(at, leg);
        }
        if matches!(self.life, Life::Draining | Life::HangingUp) && self.table.is_quiet() {
            self.over();
        }
    }

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
        self.completions.push(CallEvent::Completed(ticket, result.map(Yield::from)));
    }

    /// A call is parked, and whoever asked is told where.
    pub(crate) fn complete_at(&mut self, ticket: Ticket, orbit: String) {
        self.completions.push(CallEvent::Completed(ticket, Ok(Yield::Orbit(orbit))));
    }

    pub(crate) fn media(&mut self, told: Told) {
        self.outputs.extend(told.into_iter().map(|(worker, command)| Output::Media(worker, command)));
    }

    pub(crate) fn next_store(&mut self) -> store::RequestId {
        self.next_store += 1;
        store::RequestId(self.next_store)
    }

    pub(crate) fn write_as(&mut self, id: store::RequestId, changes: Vec<Change>) {
        self.outputs.push_back(Output::Store(StoreUser::Engine, id, store::Request::Write(changes)));
    }

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
            self.journal.said(&bytes);
            self.tap_message(flow, false, &bytes);
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

    /// Whether a media leg is on its way from one thread to another.
    pub fn is_moving(&self, leg: media::LegId) -> bool {
        self.seats.is_moving(leg)
    }

    /// Call records that wait for the store to be well again; and how many were lost because too many did.
    pub fn kept_records(&self) -> (usize, u64) {
        (self.history.kept(), self.history.lost())
    }

    /// Subscriptions of phones.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
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
    pub(crate) fn setup_times(&self) -> SetupTimes {
        self.journal.setup
    }

    /// For the metrics.
    pub(crate) fn transaction_times(&self) -> Durations {
        self.endpoint.transactions.durations()
    }

    /// What an operator has changed while the switch runs: it counts from the next request on.
    pub(crate) fn change(&mut self, live: Live) {
        let Live { domain, digest, media_address, follow_redirects } = live;
        let settings = &mut self.settings;
        (settings.domain, settings.digest) = (domain, digest);
        (settings.media_address, settings.follow_redirects) = (media_address, follow_redirects);
    }

    /// For the metrics.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
