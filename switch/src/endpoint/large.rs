//! Requests over 1300 bytes (RFC 3261 §18.1.1): over TCP to the same address, so that no router on the way cuts them into fragments that get lost.
//!
//! A peer that refuses the connection, or does not answer in two seconds, gets them over UDP after all, and for an hour is not tried again. A phone behind
//! a NAT, which its contact tells, cannot be connected to and stays on its flow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Endpoint, Owner, Timer};
use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::{Address, Name};
use crate::sip::message::Request;
use crate::sip::transaction::ClientTx;
use crate::sip::uri::{Host, Uri};

/// The longest request over UDP, where the MTU of the way is not known.
const LONGEST: usize = 1300;
/// What the Via adds at most: `SIP/2.0/UDP [IPv6]:port;rport;branch=…`.
const VIA: usize = 120;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a peer that has refused one is not asked again.
const MEMORY: Duration = Duration::from_secs(3600);
/// Peers that are remembered to have refused.
const DEAF: usize = 10_000;

/// What waits for a connection, and who has refused one.
#[derive(Default)]
pub(super) struct Large {
    waiting: BTreeMap<StreamId, Vec<Waiting>>,
    deaf: BTreeMap<SocketAddr, Instant>,
}

struct Waiting {
    tx: ClientTx,
    /// The way it goes if there is no connection.
    flow: Flow,
    request: Request,
    branch: String,
}

impl Endpoint {
    /// The peer that a request is too large for to be sent over UDP, if TCP may be tried.
    pub(super) fn large_flow(&mut self, now: Instant, flow: Flow, request: &Request) -> Option<SocketAddr> {
        if flow.channel != Channel::Udp || request.length() + VIA <= LONGEST {
            return None;
        }
        let route = request.headers.values(&Name::Route).next().and_then(|value| Address::parse(value).ok());
        let is_direct = listens_at(route.as_ref().map_or(&request.uri, |route| &route.uri), flow.peer);
        let is_deaf = self.large.deaf.get(&flow.peer).is_some_and(|until| *until > now);
        (is_direct && !is_deaf).then_some(flow.peer)
    }

    /// Sends such a request; it is kept until the connection is up.
    pub(super) fn request_large(
        &mut self,
        now: Instant,
        (flow, peer): (Flow, SocketAddr),
        request: Request,
        branch: &str,
        owner: Owner,
    ) -> ClientTx {
        let large = self.connect(flow.local, peer);
        let (transactions, mut io) = self.io(now);
        let tx = transactions.request(&mut io, large, request.clone(), branch, owner);
        if let Channel::Tcp(id) = large.channel
            && !self.has_opened(id)
        {
            self.large.waiting.entry(id).or_default().push(Waiting { tx, flow, request, branch: branch.to_owned() });
            self.timers.set(Timer::Large(id), now + PATIENCE);
        }
        tx
    }

    /// The connection is up: what was sent on it arrives.
    pub(super) fn large_is_up(&mut self, id: StreamId) {
        if self.large.waiting.remove(&id).is_some() {
            self.timers.cancel(Timer::Large(id));
        }
    }

    /// There is no connection: all goes over UDP, as the same transactions.
    pub(super) fn large_is_refused(&mut self, now: Instant, id: StreamId) {
        let Some(waiting) = self.large.waiting.remove(&id) else { return };
        self.timers.cancel(Timer::Large(id));
        for Waiting { tx, flow, request, branch } in waiting {
            self.remember_deaf(now, flow.peer);
            let (transactions, mut io) = self.io(now);
            transactions.reroute(&mut io, tx, flow, request, &branch);
        }
    }

    /// The connection takes too long.
    pub(crate) fn large_is_late(&mut self, now: Instant, id: StreamId) {
        self.large_is_refused(now, id);
        self.close(id);
    }

    /// Streams that something waits for.
    pub(crate) fn waited_for(&self) -> impl Iterator<Item = StreamId> {
        self.large.waiting.keys().copied()
    }

    fn remember_deaf(&mut self, now: Instant, peer: SocketAddr) {
        if self.large.deaf.len() >= DEAF {
            self.large.deaf.retain(|_, until| *until > now);
            if self.large.deaf.len() >= DEAF {
                self.large.deaf.pop_first();
            }
        }
        self.large.deaf.insert(peer, now + MEMORY);
    }
}

/// Whether a URI names the very address a flow leads to: then there is no NAT between that would refuse connections.
fn listens_at(uri: &Uri, peer: SocketAddr) -> bool {
    uri.host == Some(Host::Ip(peer.ip())) && uri.port.unwrap_or(5060) == peer.port()
}
