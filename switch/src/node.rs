//! The whole switch without I/O: the site, the engine and the CAS. Inputs go in, outputs are polled, time comes with each input.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use cas::cas::{Job, Reply, Request, RequestId};
use cas::entropy::Entropy;
use cas::site::MachineKey;
use cas::store;
use cas::time::Now;

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
    /// The RTP ports that were bound, and whose they are.
    pub ports: Vec<(WorkerId, media::Port)>,
    /// Calls at a time; one more is a 503.
    pub max_calls: usize,
    /// SIP transactions at a time; a request beyond is a 503.
    pub max_transactions: usize,
    /// Bindings of one device (RFC 3261 §10.3).
    pub max_bindings: usize,
    /// The CAS's own.
    pub cas: cas::cas::Settings,
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
    /// After [`Input::Stop`]: nothing is left to end.
    Stopped,
}

/// A media thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// The switch.
pub struct Node {
    _private: (),
}

impl Node {
    /// A switch as the store holds it, with nothing begun. Outputs may be waiting at once.
    pub fn new(
        now: Now,
        settings: Settings,
        snapshot: &store::Snapshot,
        key: MachineKey,
        entropy: impl FnMut() -> Box<dyn Entropy>,
    ) -> Node {
        let _ = (now, settings, snapshot, key, entropy);
        todo!()
    }

    /// One input, handled to its end: what it causes is in the outputs.
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input);
        todo!()
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
