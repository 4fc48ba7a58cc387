//! The streams that are up or being opened: which carries what, and when one has had its day.
//!
//! A connection is used for as long as it is there, both ways, by whoever opened it, for the peer it leads to; `;alias` (RFC 5923) is not heeded, since
//! without TLS anybody could claim an address with it. What was to go over one that has ended goes over a new one: requests to where the peer says it
//! listens, responses as RFC 3261 §18.2.2 says. One that carries nothing for a while is closed, unless a phone is registered over it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cas::site::DeviceId;

use super::{Endpoint, Owner, Timer};
use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::{Address, Name};
use crate::sip::message::Request;
use crate::sip::transaction::Indication;
use crate::sip::uri::{Host, Uri};
use crate::sip::wire::{Frame, Framer};

/// How long a connection that nobody is registered over, and no call goes over, is kept after the last message (§18: longer than any transaction).
const IDLE: Duration = Duration::from_secs(300);

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<StreamId, Stream>,
    last: u64,
}

/// A stream that is up or being opened, and what of its next message has come.
struct Stream {
    flow: Flow,
    framer: Framer,
    /// When something last came on it; `None` while it is being opened.
    heard: Option<Instant>,
    /// Who is registered over it, and with which contacts.
    devices: BTreeMap<DeviceId, Vec<Uri>>,
}

impl Stream {
    fn new(flow: Flow) -> Stream {
        Stream { flow, framer: Framer::default(), heard: None, devices: BTreeMap::new() }
    }
}

impl Endpoint {
    /// A stream is up.
    pub(crate) fn flow_opened(&mut self, now: Instant, flow: Flow) {
        let Channel::Tcp(id) = flow.channel else { return };
        let stream = self.streams.open.entry(id).or_insert_with(|| Stream::new(flow));
        // One that was opened from here leaves from any port; the peer is told the one that is listened at.
        stream.flow.local.set_ip(flow.local.ip());
        stream.heard = Some(now);
        self.timers.set(Timer::Idle(id), now + IDLE);
        self.large_is_up(id);
    }

    /// A stream has ended, or could not be opened: requests on it that have no answer will not get one.
    pub(crate) fn flow_closed(&mut self, now: Instant, id: StreamId) -> Vec<Indication<Owner>> {
        self.streams.open.remove(&id);
        self.timers.cancel(Timer::Unfinished(id));
        self.timers.cancel(Timer::Idle(id));
        self.large_is_refused(now, id);
        let (transactions, mut io) = self.io(now);
        transactions.flow_closed(&mut io, id)
    }

    /// A stream was silent for a while. `Some`: it is closed, unless somebody needs it.
    pub(crate) fn idle(&mut self, now: Instant, id: StreamId, is_needed: bool) {
        let Some(heard) = self.streams.open.get(&id).and_then(|stream| stream.heard) else { return };
        let end = heard + IDLE;
        match end > now || is_needed {
            true => self.timers.set(Timer::Idle(id), end.max(now + IDLE / 5)),
            false => self.close(id),
        }
    }

    /// A device is registered over a stream with these contacts. Whether it is still up.
    pub(crate) fn registered_over(&mut self, id: StreamId, device: DeviceId, contacts: Vec<Uri>) -> bool {
        let Some(stream) = self.streams.open.get_mut(&id) else { return false };
        match contacts.is_empty() {
            true => stream.devices.remove(&device),
            false => stream.devices.insert(device, contacts),
        };
        true
    }

    /// The devices that have registered over a stream.
    pub(crate) fn devices_over(&self, id: StreamId) -> Vec<DeviceId> {
        self.streams.open.get(&id).into_iter().flat_map(|stream| stream.devices.keys().copied()).collect()
    }

    /// Whether a stream is up, or being opened.
    pub(crate) fn is_up(&self, id: StreamId) -> bool {
        self.streams.open.contains_key(&id)
    }

    /// Whether a stream is up: not one that is only being opened.
    pub(super) fn has_opened(&self, id: StreamId) -> bool {
        self.streams.open.get(&id).is_some_and(|stream| stream.heard.is_some())
    }

    /// Bytes of a stream; those of one that has ended are nobody's.
    pub(crate) fn push(&mut self, now: Instant, id: StreamId, bytes: &[u8]) {
        if let Some(stream) = self.streams.open.get_mut(&id) {
            stream.heard = Some(now);
            stream.framer.push(bytes);
        }
    }

    /// The next message of a stream that has come whole.
    pub(crate) fn next_frame(&mut self, id: StreamId) -> Option<(Flow, Frame)> {
        let stream = self.streams.open.get_mut(&id)?;
        let frame = stream.framer.next_frame()?;
        Some((stream.flow, frame))
    }

    /// How many bytes have come on a stream.
    pub(crate) fn pushed_of(&self, id: StreamId) -> u64 {
        self.streams.open.get(&id).map_or(0, |stream| stream.framer.pushed())
    }

    /// How many bytes of a stream have been read: all that was pushed, but for a message that has not come whole.
    pub(crate) fn read_of(&self, id: StreamId) -> u64 {
        self.streams.open.get(&id).map_or(0, |stream| stream.framer.read())
    }

    /// Whether part of a message has come on a stream, and its rest has not.
    pub(crate) fn is_mid_message(&self, id: StreamId) -> bool {
        self.streams.open.get(&id).is_some_and(|stream| !stream.framer.is_idle())
    }

    /// A stream that has ended is opened anew, to where a request goes first: the top Route, else its Request-URI (RFC 3261 §8.1.2).
    pub(super) fn reach_hop(&mut self, flow: Flow, request: &Request) -> Flow {
        let is_down = matches!(flow.channel, Channel::Tcp(id) if !self.is_up(id));
        if !is_down {
            return flow;
        }
        let route = request.headers.values(&Name::Route).next().and_then(|value| Address::parse(value).ok());
        self.reach(flow, route.as_ref().map_or(&request.uri, |route| &route.uri))
    }

    /// A stream that has ended is opened anew, to where the peer says it listens, unless another leads there already: that of a phone that has
    /// registered the same contact again.
    pub(crate) fn reach(&mut self, flow: Flow, target: &Uri) -> Flow {
        match flow.channel {
            Channel::Tcp(id) if !self.is_up(id) => {
                let leads_there = |stream: &&Stream| stream.devices.values().flatten().any(|contact| contact == target);
                if let Some(stream) = self.streams.open.values().find(leads_there) {
                    return stream.flow;
                }
                let peer = match (&target.host, target.port) {
                    (Some(Host::Ip(ip)), port) => SocketAddr::new(*ip, port.unwrap_or(5060)),
                    _ => flow.peer,
                };
                self.connect(flow.local, peer)
            }
            _ => flow,
        }
    }

    /// The stream that was opened to this peer, or a new one.
    pub(super) fn connect(&mut self, local: SocketAddr, peer: SocketAddr) -> Flow {
        let same = |open: &&Stream| open.flow.peer == peer && open.flow.local.ip() == local.ip();
        if let Some(stream) = self.streams.open.values().find(same) {
            return stream.flow;
        }
        self.streams.last += 2;
        let id = StreamId(self.streams.last);
        let flow = Flow { channel: Channel::Tcp(id), local, peer };
        self.connects.push_back((id, peer));
        self.streams.open.insert(id, Stream::new(flow));
        flow
    }

    /// Ends a stream, once what is to be sent on it is sent.
    pub(crate) fn close(&mut self, id: StreamId) {
        self.closes.push_back(id);
    }

    pub(crate) fn poll_close(&mut self) -> Option<StreamId> {
        self.closes.pop_front()
    }

    /// The next connection to be opened, that of the next message to be sent before those of later ones.
    pub(crate) fn poll_connect(&mut self) -> Option<(StreamId, SocketAddr)> {
        self.revive();
        self.connects.pop_front()
    }

    /// §18.2.2: the response to a request whose connection has ended goes over one that is opened to where the request says its sender listens.
    fn revive(&mut self) {
        let Some(ended) = self.sends.front().map(|(flow, _)| *flow).filter(|flow| flow.channel == Channel::ENDED)
        else {
            return;
        };
        let flow = self.connect(ended.local, ended.peer);
        if let Some(next) = self.sends.front_mut() {
            next.0 = flow;
        }
    }
}
