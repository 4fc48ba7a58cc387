//! How a message reaches a peer.

use std::net::SocketAddr;

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

/// Names a stream connection. Those accepted count up from 1 in steps of 2, those the engine opens from 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

impl Flow {
    /// Whether the transport itself delivers: no retransmissions then (RFC 3261 §17).
    pub fn is_reliable(&self) -> bool {
        self.channel != Channel::Udp
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
}
