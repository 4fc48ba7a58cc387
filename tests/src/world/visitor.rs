//! What scenarios do to the world that its telephones do not: connections of byte templates, a store that is slow or fails, a wall clock
//! that jumps.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cas::cas::{Endpoint, RequestId};
use cas::control::CallControl;
use cas::time::Wall;
use serde_json::Value;
use switch::node::{Channel, Flow, Input, StreamId};

use super::client::ClientId;
use super::disk::Disk;
use super::{Due, World, switch_address};

/// Connections of visitors have numbers of their own.
const FIRST_STREAM: u64 = 1_000_001;

impl World {
    /// Connects to the switch from an address that is no telephone's; what the switch sends comes to [`World::received_by`].
    pub fn open_stream(&mut self, peer: SocketAddr) -> StreamId {
        let stream = StreamId(FIRST_STREAM + 2 * self.next_stream);
        self.next_stream += 2;
        self.visitors.insert(stream, peer);
        self.tell_node(Input::FlowOpened(Flow { channel: Channel::Tcp(stream), local: switch_address(), peer }));
        stream
    }

    /// Sends bytes on such a connection.
    pub fn send_on(&mut self, stream: StreamId, bytes: &[u8]) {
        if bytes.starts_with(b"INVITE ") {
            self.wire.arrives(self.now.mono, Some(stream), bytes);
        }
        self.tell_node(Input::Stream(stream, Bytes::copy_from_slice(bytes)));
    }

    /// Sends bytes of any kind, as a datagram or on such a connection. Whether they are an INVITE that must be answered is not watched.
    pub fn throw(&mut self, from: SocketAddr, stream: Option<StreamId>, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.note(|| format!("{from} → switch  {}", super::trace::sip(&bytes)));
        self.wire.thrown(&bytes);
        self.tell_node(match stream {
            Some(stream) => Input::Stream(stream, bytes),
            None => Input::Datagram(Flow { channel: Channel::Udp, local: switch_address(), peer: from }, bytes),
        });
    }

    /// Sends a packet of sound to a port of the switch: its number counts up.
    pub fn send_sound(&mut self, port: u16, from: SocketAddr, number: u8) {
        let head = [0x80, 0, 0, number, 0, 0, number, 0, 1, 2, 3, 4];
        let packet = Bytes::from([&head[..], &[0xff; 160]].concat());
        self.schedule(Duration::from_millis(1), Due::Media(media::Port(port), packet, from));
    }

    /// Ends such a connection.
    pub fn close_stream(&mut self, stream: StreamId) {
        self.visitors.remove(&stream);
        self.wire.broke(stream);
        self.tell_node(Input::FlowClosed(stream));
    }

    /// Whether neither side has ended such a connection.
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.visitors.contains_key(&stream)
    }

    /// Lets the switch connect to this address.
    pub fn listen_at(&mut self, address: SocketAddr) {
        self.listening.insert(address);
    }

    /// Whoever connects to this address hears nothing at all.
    pub fn swallow_at(&mut self, address: SocketAddr) {
        self.swallowing.insert(address);
    }

    /// The switch connects: whether somebody listens there, or nobody says that nobody does.
    pub(super) fn accepts(&mut self, stream: StreamId, peer: SocketAddr) -> bool {
        if self.swallowing.contains(&peer) {
            return true;
        }
        let listens = self.listening.contains(&peer);
        if listens {
            self.visitors.insert(stream, peer);
            let flow = Flow { channel: Channel::Tcp(stream), local: switch_address(), peer };
            self.schedule(Duration::from_millis(1), Due::Node(Box::new(Input::FlowOpened(flow))));
        }
        listens
    }

    /// The connection by which the switch reaches this address, if there is one.
    pub fn stream_to(&self, address: SocketAddr) -> Option<StreamId> {
        self.visitors.iter().find(|(_, peer)| **peer == address).map(|(stream, _)| *stream)
    }

    /// From now on the store takes so much longer.
    pub fn slow_store(&mut self, by: Duration) {
        self.store_delay = by;
    }

    /// From now on the store can, or cannot, do what it is asked.
    pub fn fail_store(&mut self, fails: bool) {
        self.disk = if fails { Disk::Broken } else { Disk::Well };
    }

    /// RTP ports where a media leg is.
    pub fn used_ports(&self) -> Vec<media::Port> {
        self.plane.ports()
    }

    /// RTP of nobody's making reaches a port, without delay.
    pub fn send_rtp(&mut self, from: SocketAddr, port: media::Port, packet: impl Into<Bytes>) {
        self.schedule(Duration::ZERO, Due::Media(port, packet.into(), from));
    }

    /// Ports kept out of use because a phone may still send there.
    pub fn guarded_ports(&self) -> usize {
        self.node.engine().guarded_ports()
    }

    /// The wall clock is set, by so many seconds.
    pub fn set_clock(&mut self, seconds: i64) {
        let shift = |wall: Wall| Wall(wall.0.saturating_add_signed(seconds * 1000));
        self.start.wall = shift(self.start.wall);
        self.now.wall = shift(self.now.wall);
    }

    /// How often the switch said it has ended.
    pub fn times_stopped(&self) -> usize {
        self.stops
    }

    /// RTP ports the switch has to give.
    pub fn free_ports(&self) -> usize {
        self.node.engine().free_ports()
    }

    /// Bindings the switch holds.
    pub fn registrations(&self) -> usize {
        self.node.engine().status().registrations
    }

    /// Sends a client's message without waiting for its reply.
    pub fn begin(&mut self, client: ClientId, message: Value) -> RequestId {
        let asked = self.dress(client, message);
        self.post(client, Endpoint::Execute, &asked)
    }

    /// Whether nothing of any call is left in the switch.
    pub fn is_quiet(&self) -> bool {
        self.node.engine().is_quiet()
    }
}
