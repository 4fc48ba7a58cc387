//! How a message reaches a peer: where a request says it comes from, where a response goes (RFC 3261 §18, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use cas::attempts::network;

use super::header::{Headers, Via};
use super::uri::{Host, Params, Text, Uri, Written as _, put_ip, put_number, written};

/// A way to a peer: a UDP socket and the peer's address, or one stream connection (RFC 5626 §3: a flow).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// UDP, or which stream.
    pub channel: Channel,
    /// Our address as the peer sees it: never a wildcard.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// What carries a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Datagrams.
    Udp,
    /// A TCP connection; its number is never used again.
    Tcp(StreamId),
}

impl Channel {
    /// A connection that is never up: what is to go over it goes over one that is opened for it.
    pub const ENDED: Channel = Channel::Tcp(StreamId(0));
}

/// Names a stream connection. Those accepted count up from 1 in steps of 2, those the engine opens from 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

impl Flow {
    /// Whether the transport itself delivers: no retransmissions then (RFC 3261 §17).
    pub fn is_reliable(&self) -> bool {
        self.channel != Channel::Udp
    }

    /// What the peer counts as for limits: its address, or its IPv6 /64.
    pub fn source(&self) -> IpAddr {
        network(self.peer.ip())
    }

    /// The transport's name in a Via (RFC 3261 §20.42).
    pub fn via_transport(&self) -> &'static str {
        match self.channel {
            Channel::Udp => "UDP",
            Channel::Tcp(_) => "TCP",
        }
    }

    /// The transport's name in a URI parameter and in the store.
    pub fn transport(&self) -> &'static str {
        match self.channel {
            Channel::Udp => "udp",
            Channel::Tcp(_) => "tcp",
        }
    }

    /// Our Contact for a peer on this flow.
    pub fn contact(&self) -> String {
        let mut uri = Uri::sip(None, self.local);
        if self.is_reliable() {
            uri.params.set("transport", Some(self.transport().into()));
        }
        let mut text = String::with_capacity(48);
        text.push('<');
        // Writing to memory cannot fail.
        let _ = uri.put(&mut text);
        text.push('>');
        text
    }

    /// The Via of a request of ours: with rport, so that the answer finds its way back through a NAT (RFC 3581 §3).
    pub fn via(&self, branch: &str) -> Bytes {
        let mut params = Params::default();
        params.set("rport", None);
        params.set("branch", Some(branch.into()));
        let via = Via {
            transport: self.via_transport().into(),
            host: Host::Ip(self.local.ip()),
            port: Some(self.local.port()),
            params,
        };
        written(&via)
    }

    /// Writes into the top Via of a request where it really came from (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn note_source(&self, headers: &mut Headers) {
        headers.change_via(|via| self.note_in(via));
    }

    /// The same, in a Via by itself.
    pub fn note_in(&self, via: &mut Via) {
        let wants_port = via.params.get("rport").is_some();
        if wants_port {
            let mut rport = Text::default();
            // Writing to memory cannot fail.
            let _ = put_number(&mut rport, self.peer.port().into());
            via.params.set("rport", Some(rport));
        }
        if wants_port || via.host != Host::Ip(self.peer.ip()) {
            let mut received = Text::default();
            // Writing to memory cannot fail.
            let _ = put_ip(&mut received, self.peer.ip());
            via.params.set("received", Some(received));
        }
    }

    /// From the same address of ours to where a URI says its owner listens, over what it says he speaks; `None` where it names no address of this family.
    pub fn to(&self, uri: &Uri) -> Option<Flow> {
        let Some(Host::Ip(ip)) = uri.host else { return None };
        let peer = SocketAddr::new(ip, uri.port.unwrap_or(5060));
        let is_tcp = uri.params.value("transport").is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
        let channel = if is_tcp { Channel::ENDED } else { Channel::Udp };
        (peer.is_ipv4() == self.local.is_ipv4()).then_some(Flow { channel, local: self.local, peer })
    }

    /// The way of the response to a request with this top Via (RFC 3261 §18.2.2, RFC 3581 §4).
    #[must_use]
    pub fn of_reply(self, via: &Via) -> Flow {
        if self.is_reliable() || via.params.get("rport").is_some() {
            return self;
        }
        let mut peer = self.peer;
        peer.set_port(via.port.unwrap_or(5060));
        Flow { peer, ..self }
    }
}
