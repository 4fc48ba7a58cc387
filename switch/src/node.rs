//! The whole switch without I/O: the site, the engine and the CAS. Inputs go in, outputs are polled, time comes with each input.

use crate::sounds::announcement::Audience;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::cas::{Cas, Endpoint, Job, Reply, Request, RequestId};
use cas::entropy::Entropy;
use cas::site::{MachineKey, Site};
use cas::store;
use cas::time::Now;

pub use crate::engine::Pressure;
use crate::engine::{At, Engine};
pub use crate::engine::{Seen, Wish};
pub use crate::sip::flow::{Channel, Flow, StreamId};
pub use media::WorkerId;

/// Who asked the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreUser {
    /// The registrar and call records.
    Engine,
    /// The CAS.
    Cas,
}

/// What the configuration says, checked, and what the start found.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SIP domain, lower case; any address the switch listens on counts as it too.
    pub domain: String,
    /// The digest of devices that name none of their own.
    pub digest: cas::site::DigestPolicy,
    /// What is written into SDP; `None`: the address of ours that the phone speaks to.
    pub media_address: Option<std::net::IpAddr>,
    /// The RTP ports that were bound, and the media thread that each belongs to when nobody is there.
    pub ports: Vec<(WorkerId, media::Port)>,
    /// Calls at a time; one more is a 503.
    pub max_calls: usize,
    /// A phone's 3xx is followed where it leads to a number of this switch.
    pub follow_redirects: bool,
    /// Users, by their extensions, whose callers hear other music on hold than that of the site.
    pub music_of: BTreeMap<String, media::SoundId>,
    /// After how long who has somebody on hold is rung; `None`: never.
    pub hold_reminder: Option<Duration>,
    /// Who is told that he reaches nobody.
    pub announcements: Audience,
    /// SIP transactions at a time; a request beyond is a 503.
    pub max_transactions: usize,
    /// Bindings of one device (RFC 3261 §10.3).
    pub max_bindings: usize,
    /// Feature codes and park orbits.
    pub plan: cas::site::plan::Plan,
    /// What one source may have, and what is no call and no transaction.
    pub limits: Limits,
    /// The CAS's own.
    pub cas: cas::cas::Settings,
}

/// How much there may be of one source (an address, or an IPv6 /64), and of what else has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time that phones of one source have begun; a gateway has what all have.
    pub calls_per_source: usize,
    /// Server transactions of a source without gateway or registered phone.
    pub transactions_per_source: usize,
    /// Bindings in all.
    pub registrations: usize,
    /// Bindings of one source.
    pub registrations_per_source: usize,
    /// Subscriptions in all.
    pub subscriptions: usize,
    /// Subscriptions of one device.
    pub subscriptions_per_device: usize,
    /// Call-backs that are booked.
    pub call_backs: usize,
    /// Those of one user.
    pub call_backs_per_user: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls_per_source: 5000,
            transactions_per_source: 10_000,
            registrations: 50_000,
            registrations_per_source: 20_000,
            subscriptions: 50_000,
            subscriptions_per_device: 250,
            call_backs: 10_000,
            call_backs_per_user: 10,
        }
    }
}

/// What of the settings may change while the switch runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// As in [`Settings`].
    pub domain: String,
    /// As in [`Settings`].
    pub digest: cas::site::DigestPolicy,
    /// As in [`Settings`].
    pub media_address: Option<std::net::IpAddr>,
    /// As in [`Settings`].
    pub follow_redirects: bool,
}

/// What a node is told.
#[derive(Debug)]
pub enum Input {
    /// A SIP datagram came.
    Datagram(Flow, Bytes),
    /// Bytes came on a stream, in order.
    Stream(StreamId, Bytes),
    /// A stream is up: accepted, or opened by [`Output::Connect`].
    FlowOpened(Flow),
    /// A stream ended, or could not be opened.
    FlowClosed(StreamId),
    /// The answer to [`Output::Resolve`]: the address of ours that reaches the peer, if any does.
    Resolved(SocketAddr, Option<SocketAddr>),
    /// A media worker tells.
    Media(media::Event),
    /// The store answers.
    Stored(StoreUser, store::RequestId, Result<store::Reply, store::StoreError>),
    /// A helper answers.
    Helped(u64, cas::cas::Finding),
    /// A CAS client asks.
    Request(RequestId, Request),
    /// It no longer waits.
    RequestGone(RequestId),
    /// No new calls; running ones get ten seconds, then BYE. [`Output::Stopped`] tells when all have ended.
    Stop,
    /// How far the sockets are behind with what comes in.
    Pressure(Pressure),
    /// An operator has changed settings.
    Change(Live),
    /// An operator wants to see this of the wire from now on, or nothing: [`Output::Traced`].
    Tap(Option<Wish>),
    /// Time passed.
    Timeout,
}

/// What a node wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Send SIP.
    Send(Flow, Bytes),
    /// Open a TCP connection; answered by [`Input::FlowOpened`] or [`Input::FlowClosed`]. What is sent on it meanwhile waits.
    Connect(StreamId, SocketAddr),
    /// Close a stream once what was sent is out.
    Close(StreamId),
    /// Which address of ours reaches this UDP peer?
    Resolve(SocketAddr),
    /// A command for a media worker.
    Media(WorkerId, media::Command),
    /// Work for the store thread.
    Store(StoreUser, store::RequestId, store::Request),
    /// Work for the helper pool.
    Help(Job),
    /// The answer to a CAS client.
    Reply(RequestId, Reply),
    /// Seen on the wire, by [`Input::Tap`].
    Traced(Seen),
    /// After [`Input::Stop`]: nothing is left to end.
    Stopped,
}

/// The switch.
pub struct Node {
    site: Site,
    engine: Engine,
    cas: Cas,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A switch as the store holds it, with nothing begun. Outputs may be waiting at once.
    pub fn new(
        now: Now,
        settings: &Settings,
        snapshot: &store::Snapshot,
        key: MachineKey,
        mut entropy: impl FnMut() -> Box<dyn Entropy>,
    ) -> Node {
        let mut site = Site::new(snapshot);
        site.plan = settings.plan.clone();
        let engine = Engine::new(now, settings, &site, snapshot, entropy());
        let cas = Cas::new(settings.cas.clone(), snapshot, key, entropy());
        let mut node = Node { site, engine, cas, outputs: VecDeque::new() };
        // Who follows a schedule is known from the start.
        node.ask_cas(now, cas::cas::Input::Timeout);
        node.settle(now);
        node
    }

    /// One input, handled to its end: what it causes is in the outputs.
    pub fn handle(&mut self, now: Now, input: Input) {
        let at = At { now, site: &self.site };
        match input {
            Input::Datagram(flow, bytes) => self.engine.datagram(at, flow, &bytes),
            Input::Stream(stream, bytes) => self.engine.stream(at, stream, &bytes),
            Input::FlowOpened(flow) => self.engine.flow_opened(at, flow),
            Input::FlowClosed(stream) => self.engine.flow_closed(at, stream),
            Input::Resolved(peer, local) => self.engine.resolved(peer, local),
            Input::Media(event) => self.engine.media_event(at, event),
            Input::Stored(StoreUser::Engine, id, result) => self.engine.stored(at, id, result),
            Input::Pressure(pressure) => self.engine.press(pressure),
            Input::Stop => self.engine.stop(at),
            Input::Change(live) => self.engine.change(live),
            Input::Tap(wish) => self.engine.set_tap(wish),
            Input::Timeout => {
                self.engine.timeout(at);
                self.ask_cas(now, cas::cas::Input::Timeout);
            }
            Input::Stored(StoreUser::Cas, id, result) => self.ask_cas(now, cas::cas::Input::Stored(id, result)),
            Input::Helped(id, finding) => self.ask_cas(now, cas::cas::Input::Helped(id, finding)),
            Input::Request(id, request) if request.endpoint == Endpoint::Metrics => self.metrics(id),
            Input::Request(id, request) => self.ask_cas(now, cas::cas::Input::Request(id, request)),
            Input::RequestGone(id) => self.ask_cas(now, cas::cas::Input::Gone(id)),
        }
        self.settle(now);
    }

    fn ask_cas(&mut self, now: Now, input: cas::cas::Input) {
        self.cas.handle(now, &mut self.site, &mut self.engine, input);
    }

    /// What the engine has to tell goes to the CAS, what either wants done to the outputs, until neither has anything left.
    fn settle(&mut self, now: Now) {
        loop {
            if let Some(event) = self.engine.poll_event() {
                self.cas.publish(now, &self.site, &self.engine, event);
            } else if let Some(output) = self.engine.poll_output() {
                self.outputs.push_back(output);
            } else if let Some(output) = self.cas.poll_output() {
                match output {
                    cas::cas::Output::Reply(id, reply) => self.outputs.push_back(Output::Reply(id, reply)),
                    cas::cas::Output::Store(id, request) => {
                        // What the engine has to write is older than what the client writes or reads.
                        self.engine.flush_behind();
                        self.outputs.extend(std::iter::from_fn(|| self.engine.poll_output()));
                        self.outputs.push_back(Output::Store(StoreUser::Cas, id, request));
                    }
                    cas::cas::Output::Help(job) => self.outputs.push_back(Output::Help(job)),
                    cas::cas::Output::SiteChanged(devices) => {
                        self.engine.site_changed(At { now, site: &self.site }, &devices);
                    }
                    cas::cas::Output::HandlingChanged(users) => {
                        self.engine.handling_changed(At { now, site: &self.site }, &users);
                    }
                }
            } else {
                return;
            }
        }
    }

    fn metrics(&mut self, id: RequestId) {
        let body = crate::metrics::render(&self.engine, &self.cas.stats());
        let reply = Reply::new(200, "text/plain; version=0.0.4; charset=utf-8", body);
        self.outputs.push_back(Output::Reply(id, reply));
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        [self.engine.next_timeout(), self.cas.next_timeout()].into_iter().flatten().min()
    }

    /// The data of the site, as it stands.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Call control, as it stands.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The same, to be broken by tests (see [`Engine::tamper`]).
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}
