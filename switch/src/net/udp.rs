//! SIP over UDP: one socket per configured address, shared by all peers.
//!
//! A socket bound to a wildcard hears on every address of the machine. The kernel tells with each datagram which one it was sent to
//! (`IP_PKTINFO`), and that becomes the flow's local address; an answer on the flow leaves from there, as RFC 3581 §4 asks and as NATs
//! and firewalls between expect.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, warn};

use self::outbox::Outbox;
use super::behind::Queue;
use super::{BindError, Gauge, Sink, bind_all, count};
use crate::node::{Channel, Flow, Input};

mod outbox;

/// Datagrams taken from one socket before others get their turn.
pub const BATCH: usize = 64;

/// What a socket may hold while the control thread is busy: some 6,000 messages. The kernel grants what `net.core.rmem_max` allows.
const KERNEL_BUFFER: usize = 4 << 20;

/// No UDP payload is longer.
const LONGEST: usize = 65_535;

/// Room for one packet-info message of either family, one count of what was dropped, and their headers.
const CONTROL_ROOM: usize = 128;

/// The SIP sockets for datagrams.
pub struct Udp {
    sockets: Vec<Bound>,
    buffer: RefCell<Buffers>,
    outbox: Outbox,
    gauge: Rc<Gauge>,
    counts: Counts,
}

struct Bound {
    /// Waited on for reading alone: the kernel tells of room for writing after each datagram that has gone, and each time would wake the thread.
    inner: AsyncFd<UdpSocket>,
    address: SocketAddr,
    queue: Rc<Queue>,
    /// What the kernel says it has dropped here, since the socket was made.
    dropped: Cell<u32>,
}

struct Buffers {
    data: Vec<u8>,
    control: [u8; CONTROL_ROOM],
}

/// What went wrong, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams not sent because the kernel's buffer was full: the peer's retransmission timers repair it.
    pub full: Cell<u64>,
    /// Datagrams the kernel refused to send: no route, no such source address.
    pub unsent: Cell<u64>,
    /// Datagrams the kernel dropped because a socket was full: nobody but their senders could tell.
    pub dropped: Cell<u64>,
    /// Errors on receiving, among them ICMP errors of earlier sends.
    pub receive_errors: Cell<u64>,
}

/// What one attempt to receive came to.
enum Received {
    Datagram(Flow, Bytes),
    Error,
    Nothing,
}

impl Udp {
    /// Binds every address. How long datagrams wait is told to the node by `gauge`. Must be called within the control thread's runtime.
    ///
    /// # Errors
    /// An address cannot be bound; those bound so far are given back.
    pub fn bind(addresses: &[SocketAddr], gauge: Rc<Gauge>) -> Result<Udp, BindError> {
        let sockets = bind_all("[sip] udp", addresses, |address| Bound::new(address, gauge.queue()))?;
        let buffer = RefCell::new(Buffers { data: vec![0; LONGEST], control: [0; CONTROL_ROOM] });
        Ok(Udp { sockets, buffer, outbox: Outbox::default(), gauge, counts: Counts::default() })
    }

    /// The addresses bound, with the ports the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|socket| socket.address).collect()
    }

    /// What went wrong so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Hands on what socket `index` hears, for ever.
    pub async fn serve(&self, index: usize, sink: &Sink) {
        let socket = &self.sockets[index];
        loop {
            // An error says that the runtime is shutting down.
            let Ok(mut ready) = socket.inner.readable().await else { return };
            match self.drain_socket(socket, sink) {
                // The socket is not asked again before the kernel tells of more.
                Drained::Empty => ready.clear_ready(),
                Drained::More => yield_now().await,
                // Whatever it is, it must not cost the whole thread.
                Drained::Broken => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Hands on what waits in the sockets now, a batch of each at most. Asks the kernel, not the runtime, whose readiness is as old as
    /// its last turn: called before other work is begun, it keeps SIP ahead of it.
    pub fn drain(&self, sink: &Sink) {
        for socket in &self.sockets {
            self.drain_socket(socket, sink);
        }
    }

    fn drain_socket(&self, socket: &Bound, sink: &Sink) -> Drained {
        let mut errors = 0;
        let _gathering = self.gather();
        self.gauge.tell(sink);
        for _ in 0..BATCH {
            match self.receive(socket) {
                Received::Datagram(flow, bytes) => sink(Input::Datagram(flow, bytes)),
                Received::Error => errors += 1,
                Received::Nothing => {
                    socket.queue.found(Instant::now(), true);
                    // Nothing may come here for long, and on streams all the same.
                    if self.gauge.is_pressed() {
                        self.gauge.tell(sink);
                    }
                    return Drained::Empty;
                }
            }
        }
        socket.queue.found(Instant::now(), false);
        if errors == BATCH { Drained::Broken } else { Drained::More }
    }

    fn receive(&self, socket: &Bound) -> Received {
        let mut buffers = self.buffer.borrow_mut();
        let Buffers { data, control } = &mut *buffers;
        let outcome = receive_message(socket, data, control);
        match outcome {
            Ok((flow, length, dropped)) => {
                if let Some(dropped) = dropped {
                    let more = dropped.wrapping_sub(socket.dropped.replace(dropped));
                    self.counts.dropped.set(self.counts.dropped.get() + u64::from(more));
                }
                Received::Datagram(flow, Bytes::copy_from_slice(&data[..length]))
            }
            Err(Errno::EAGAIN) => Received::Nothing,
            Err(errno) => {
                count(&self.counts.receive_errors);
                debug!(%errno, address = %socket.address, "receiving a datagram failed");
                Received::Error
            }
        }
    }

    fn without_socket(&self, local: SocketAddr, datagrams: usize) {
        self.counts.unsent.set(self.counts.unsent.get() + datagrams as u64);
        warn!(%local, datagrams, "no SIP socket has this address: nothing was sent");
    }

    fn refused(&self, errno: Errno, local: SocketAddr) {
        match errno {
            Errno::EAGAIN | Errno::ENOBUFS => count(&self.counts.full),
            errno => {
                count(&self.counts.unsent);
                debug!(%errno, %local, "a datagram was not sent");
            }
        }
    }

    /// The address of ours that reaches `peer`: what the routing table says, with the port of the socket that hears there.
    pub fn local_for(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // Connecting a datagram socket sends nothing; it only has the kernel choose a route.
        let probe = UdpSocket::bind(any).and_then(|probe| {
            probe.connect(peer)?;
            probe.local_addr()
        });
        let mut local = probe.ok()?;
        let heard = self.sockets.iter().find(|socket| socket.address.ip() == local.ip());
        let heard = heard.or_else(|| self.sockets.iter().find(|socket| is_wildcard_of(socket.address, local)))?;
        local.set_port(heard.address.port());
        Some(local)
    }

    /// The address that a phone elsewhere would type: ours on the way to the outside, where there is one.
    pub fn outward(&self) -> Option<SocketAddr> {
        // Addresses of documentation (RFC 5737, RFC 3849): routed like any other, and nothing is sent.
        let outside =
            [(Ipv4Addr::new(192, 0, 2, 1), 9).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()];
        outside.into_iter().find_map(|peer| self.local_for(peer)).or_else(|| self.addresses().first().copied())
    }

    fn socket_for(&self, local: SocketAddr) -> Option<&Bound> {
        let same_port = || self.sockets.iter().filter(|socket| socket.address.port() == local.port());
        same_port()
            .find(|socket| socket.address.ip() == local.ip())
            .or_else(|| same_port().find(|socket| is_wildcard_of(socket.address, local)))
    }
}

/// How a turn at a socket ended.
#[derive(Clone, Copy)]
enum Drained {
    Empty,
    More,
    Broken,
}

impl Bound {
    fn new(address: SocketAddr, queue: Rc<Queue>) -> io::Result<Bound> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // No SO_REUSEADDR: with it a second switch would bind the same port and take half of the datagrams.
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        // A smaller buffer than wished for is no reason not to start.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        // With CAP_NET_ADMIN, as much as is wished for.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &KERNEL_BUFFER);
        // On a kernel that does not count, nothing is counted.
        let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe, for the sake of types whose descriptor may change: a UdpSocket's does not"
        )]
        let inner = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Bound { inner, address, queue, dropped: Cell::new(0) })
    }
}

fn is_wildcard_of(bound: SocketAddr, local: SocketAddr) -> bool {
    bound.ip().is_unspecified() && bound.is_ipv4() == local.is_ipv4()
}

/// A datagram: whence, how long, and how many the kernel has dropped before it, if any.
fn receive_message(socket: &Bound, data: &mut [u8], control: &mut [u8]) -> nix::Result<(Flow, usize, Option<u32>)> {
    let mut parts = [IoSliceMut::new(data)];
    let fd = socket.inner.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let peer = message.address.as_ref().and_then(to_socket_addr).ok_or(Errno::EAFNOSUPPORT)?;
    let (mut local, mut dropped) = (socket.address, None);
    for info in message.cmsgs()? {
        match info {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                // The specific destination: for a broadcast our own address, which is what an answer must leave from.
                local.set_ip(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                // A link-local address means something only together with its interface (RFC 4007 §6).
                let scope = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                local = SocketAddrV6::new(address, local.port(), 0, scope).into();
            }
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            _ => {}
        }
    }
    Ok((Flow { channel: Channel::Udp, local, peer }, message.bytes, dropped))
}

fn to_socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4(SocketAddrV4::from(*address)));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6(SocketAddrV6::from(*address))))
}

#[cfg(test)]
mod tests;
