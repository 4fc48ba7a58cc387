//! The portable way: a socket for every port, bound at the start; at every tick each where something has come is asked what waits in it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::ready::Ready;
use super::{Channel, Net};
use crate::command::Port;

/// What the sockets of a leg keep for us while we are late, in bytes; the kernel doubles it and counts its own overhead: some 80 packets of sound.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// The same where no leg is, so that nobody reads: the kernel makes of it the least there is, a packet or two (or one datagram of any size).
/// More would let strangers fill the memory that the kernel has for all UDP of the machine (`udp_mem`) through thousands of ports not in use.
const IDLE_BUFFER: usize = 1;
/// Expedited forwarding (RFC 3246), what telephony asks of routers (RFC 4594 §4.1), as a TOS byte.
const EXPEDITED: u32 = 46 << 2;
/// The limit on open files where the system does not tell: the least that is usual.
const USUAL_LIMIT: u64 = 1024;
/// Those of a port: RTP and RTCP.
const SOCKETS: u64 = 2;

/// Sockets of a range of ports. Clones share them: each media thread has one and asks at the ports of its own legs only, so that a leg that goes to
/// another thread finds its socket there, with all that waits in it.
#[derive(Clone, Debug)]
pub struct Sweep {
    first: u16,
    /// By port, from `first`, in steps of two.
    pairs: Arc<[Option<Pair>]>,
    family: Family,
    taken: usize,
    /// How many files the process may open, these sockets included.
    limit: u64,
    /// Of this thread's legs.
    ready: Ready,
}

#[derive(Debug)]
struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `[::]`, which takes IPv4 too, as mapped addresses (RFC 4291 §2.5.5.2).
    Both,
    V4,
}

impl Sweep {
    /// Binds every even port of the range with the odd one above it, on all addresses. A pair of which one is taken is skipped and counted.
    /// Takes at most half of the open files that the process may have, once their limit is raised as far as it goes: the other half is for SIP
    /// connections, HTTP clients and the store. An error where not a single pair could be bound.
    pub fn bind(ports: &RangeInclusive<u16>) -> io::Result<Sweep> {
        Sweep::bind_within(ports, raised_limit())
    }

    fn bind_within(ports: &RangeInclusive<u16>, limit: u64) -> io::Result<Sweep> {
        let first = ports.start().checked_next_multiple_of(2).unwrap_or(u16::MAX);
        let family = if open(Family::Both, 0).is_ok() { Family::Both } else { Family::V4 };
        let most = limit / 2 / SOCKETS;
        let mut pairs = Vec::new();
        let (mut bound, mut taken) = (0, 0);
        let mut reason = None;
        for port in (first..*ports.end()).step_by(2) {
            if bound == most {
                tracing::warn!(
                    bound,
                    limit,
                    "half the limit on open files (ulimit -n) allows no more RTP ports than these"
                );
                break;
            }
            let pair = Pair::bind(family, port);
            match &pair {
                Ok(_) => bound += 1,
                Err(_) => taken += 1,
            }
            pairs.push(pair.map_err(|error| reason = Some(error)).ok());
        }
        if bound == 0 {
            return Err(
                reason.unwrap_or_else(|| io::Error::other("the range holds no even port with the odd one above it"))
            );
        }
        Ok(Sweep { first, pairs: pairs.into(), family, taken, limit, ready: Ready::new() })
    }

    /// The ports bound.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        let bound = self.pairs.iter().enumerate().filter(|(_, pair)| pair.is_some());
        bound.map(|(index, _)| Port(self.first + 2 * index as u16))
    }

    /// How many pairs of the range were skipped, because somebody else has one of the two.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many open files the limit leaves to the rest of the process.
    pub fn descriptors_left(&self) -> u64 {
        self.limit.saturating_sub(SOCKETS * self.ports().count() as u64)
    }

    fn pair(&self, port: Port) -> Option<&Pair> {
        self.pairs.get(self.number(port, Channel::Rtp)? / 2)?.as_ref()
    }

    /// Names a socket, as [`place`] reads it: its pair's place doubled, and one more for reports.
    fn number(&self, port: Port, channel: Channel) -> Option<usize> {
        let offset = port.0.checked_sub(self.first).filter(|offset| offset % 2 == 0)?;
        Some(usize::from(offset) + usize::from(channel == Channel::Rtcp))
    }

    fn socket(&self, port: Port, channel: Channel) -> Option<&UdpSocket> {
        let pair = self.pair(port)?;
        Some(match channel {
            Channel::Rtp => &pair.rtp,
            Channel::Rtcp => &pair.rtcp,
        })
    }

    fn keep(&self, port: Port, bytes: usize) {
        let Some(Pair { rtp, rtcp }) = self.pair(port) else { return };
        for socket in [rtp, rtcp] {
            // The kernel grants any size, bent to its limits, and did so when the socket was made.
            let _ = SockRef::from(socket).set_recv_buffer_size(bytes);
        }
    }
}

impl Net for Sweep {
    fn open(&mut self, port: Port) {
        self.keep(port, RECEIVE_BUFFER);
        self.attach(port);
    }

    fn waiting(&mut self, places: &mut Vec<(Port, Channel)>) -> bool {
        let first = self.first;
        places.extend(self.ready.read().map(|number| place(first, number)));
        true
    }

    fn attach(&mut self, port: Port) {
        let pairs = Arc::clone(&self.pairs);
        if let Some(number) = self.number(port, Channel::Rtp)
            && let Some(Some(Pair { rtp, rtcp })) = pairs.get(number / 2)
        {
            self.ready.watch(number, rtp);
            self.ready.watch(number + 1, rtcp);
        }
    }

    fn detach(&mut self, port: Port) {
        let pairs = Arc::clone(&self.pairs);
        if let Some(number) = self.number(port, Channel::Rtp)
            && let Some(Some(Pair { rtp, rtcp })) = pairs.get(number / 2)
        {
            self.ready.leave(number, rtp);
            self.ready.leave(number + 1, rtcp);
        }
    }

    fn close(&mut self, port: Port) {
        self.detach(port);
        self.keep(port, IDLE_BUFFER);
    }

    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        // An error that is not that nothing waits is an ICMP message of what was sent before. What waits is behind it, until the next time.
        let (length, from) = self.socket(port, channel)?.recv_from(buffer).ok()?;
        Some((length, plain(from)))
    }

    fn send(&mut self, port: Port, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        let to = match (self.family, to) {
            (Family::Both, SocketAddr::V4(v4)) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            _ => to,
        };
        self.socket(port, channel).is_some_and(|socket| socket.send_to(datagram, to).is_ok())
    }
}

impl Pair {
    fn bind(family: Family, port: u16) -> io::Result<Pair> {
        Ok(Pair { rtp: open(family, port)?, rtcp: open(family, port + 1)? })
    }
}

fn open(family: Family, port: u16) -> io::Result<UdpSocket> {
    let (domain, address) = match family {
        Family::Both => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if family == Family::Both {
        socket.set_only_v6(false)?;
        // A mark that routers may honour; without it calls work as well.
        let _ = socket.set_tclass_v6(EXPEDITED);
    }
    let _ = socket.set_tos_v4(EXPEDITED);
    socket.set_recv_buffer_size(IDLE_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The socket of a number.
fn place(first: u16, number: usize) -> (Port, Channel) {
    let channel = if number.is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp };
    (Port(first + (number & !1) as u16), channel)
}

/// An address as SDP would name it: IPv4 where it is, no flow label; a scope only where the address has no meaning without.
fn plain(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else { return address };
    let scope = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
    match v6.ip().to_ipv4_mapped() {
        Some(v4) => SocketAddr::from((v4, v6.port())),
        None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope)),
    }
}

/// Raises the limit on open files as far as it goes, and tells it.
fn raised_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return USUAL_LIMIT };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few ports that are very likely free, and truly bound.
    fn sweep() -> Sweep {
        (0..100u16)
            .map(|n| 31_000 + (std::process::id() as u16 % 97) * 200 + n * 2)
            .find_map(|port| Sweep::bind(&(port..=port + 3)).ok().filter(|sweep| sweep.taken() == 0))
            .expect("some ports are free")
    }

    /// What comes without waiting for it: loopback delivers within the call that sends.
    fn receive(sweep: &mut Sweep, port: Port, channel: Channel) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 256];
        let (length, from) = sweep.receive(port, channel, &mut buffer)?;
        Some((buffer[..length].to_vec(), from))
    }

    #[test]
    fn ports_are_even_with_their_rtcp_above() {
        let sweep = sweep();
        let ports: Vec<_> = sweep.ports().collect();
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[1].0, ports[0].0 + 2);
        assert!(ports[0].0 % 2 == 0);
    }

    /// How many of a burst of packets of sound a port keeps.
    fn kept(sweep: &mut Sweep, port: Port, channel: Channel) -> usize {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = port.0 + u16::from(channel == Channel::Rtcp);
        for _ in 0..60 {
            peer.send_to(&[0; 172], ("127.0.0.1", to)).unwrap();
        }
        std::iter::from_fn(|| receive(sweep, port, channel)).count()
    }

    #[test]
    fn what_nobody_reads_is_kept_only_where_a_leg_is() {
        let mut sweep = sweep();
        let port = sweep.ports().next().unwrap();
        for channel in [Channel::Rtp, Channel::Rtcp] {
            assert!(kept(&mut sweep, port, channel) < 8);
            sweep.open(port);
            assert_eq!(kept(&mut sweep, port, channel), 60);
            sweep.close(port);
            assert!(kept(&mut sweep, port, channel) < 8);
        }
    }

    fn waiting(sweep: &mut Sweep) -> Vec<(Port, Channel)> {
        let mut places = Vec::new();
        assert!(sweep.waiting(&mut places));
        places
    }

    #[test]
    fn a_socket_is_named_for_as_long_as_something_waits_there_and_a_leg_is() {
        let mut sweep = sweep();
        let [here, there] = sweep.ports().collect::<Vec<_>>()[..] else { panic!("there are two ports") };
        sweep.open(here);
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        for to in [here.0, here.0, here.0 + 1, there.0] {
            peer.send_to(b"x", ("127.0.0.1", to)).unwrap();
        }
        let (sound, report) = ((here, Channel::Rtp), (here, Channel::Rtcp));
        assert_eq!(waiting(&mut sweep), [sound, report]);
        for left in [vec![sound, report], vec![report]] {
            assert!(receive(&mut sweep, here, Channel::Rtp).is_some());
            let mut named = waiting(&mut sweep);
            named.sort_unstable();
            assert_eq!(named, left);
        }
        let mut elsewhere = sweep.clone();
        assert_eq!(waiting(&mut elsewhere), []);
        sweep.detach(here);
        elsewhere.attach(here);
        assert_eq!((waiting(&mut sweep), waiting(&mut elsewhere)), (vec![], vec![report]));
    }

    #[test]
    fn an_ipv4_peer_is_an_ipv4_peer_both_ways() {
        let mut sweep = sweep();
        let port = sweep.ports().next().unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"rtp", ("127.0.0.1", port.0)).unwrap();
        peer.send_to(b"rtcp", ("127.0.0.1", port.0 + 1)).unwrap();
        let from = peer.local_addr().unwrap();
        assert_eq!(receive(&mut sweep, port, Channel::Rtcp), Some((b"rtcp".to_vec(), from)));
        assert_eq!(receive(&mut sweep, port, Channel::Rtp), Some((b"rtp".to_vec(), from)));
        assert_eq!(receive(&mut sweep, port, Channel::Rtp), None);
        assert!(sweep.send(port, Channel::Rtp, from, b"back"));
        let mut buffer = [0; 8];
        let (length, us) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], us), (&b"back"[..], SocketAddr::from(([127, 0, 0, 1], port.0))));
    }

    #[test]
    fn an_ipv6_peer_is_heard_where_there_is_ipv6() {
        let mut sweep = sweep();
        let Ok(peer) = UdpSocket::bind("[::1]:0") else { return };
        let port = sweep.ports().next().unwrap();
        peer.send_to(b"six", ("::1", port.0)).unwrap();
        assert_eq!(receive(&mut sweep, port, Channel::Rtp), Some((b"six".to_vec(), peer.local_addr().unwrap())));
    }

    #[test]
    fn a_taken_port_is_skipped_and_counted() {
        // Somebody has a port; as often as not the pair above it is free.
        let skipped = (0..100).find_map(|_| {
            let other = UdpSocket::bind("0.0.0.0:0").unwrap();
            let first = other.local_addr().unwrap().port() & !1;
            let sweep = Sweep::bind(&(first..=first.checked_add(3)?)).ok()?;
            Some((sweep.ports().collect::<Vec<_>>(), sweep.taken(), vec![Port(first + 2)]))
        });
        let (ports, taken, free) = skipped.unwrap();
        assert_eq!((ports, taken), (free, 1));
    }

    #[test]
    fn half_of_the_open_files_are_left_to_others() {
        let Port(first) = sweep().ports().next().unwrap();
        let sweep = Sweep::bind_within(&(first..=first + 99), 11).unwrap();
        assert_eq!((sweep.ports().count(), sweep.descriptors_left()), (2, 7));
    }

    #[test]
    fn a_range_without_a_pair_is_an_error() {
        assert!(Sweep::bind(&(30_001..=30_002)).is_err());
        assert!(Sweep::bind(&(u16::MAX..=u16::MAX)).is_err());
    }

    #[test]
    fn a_port_that_was_not_bound_neither_receives_nor_sends() {
        let mut sweep = sweep();
        let Port(first) = sweep.ports().next().unwrap();
        for port in [first - 2, first + 1, first + 400] {
            assert_eq!(sweep.receive(Port(port), Channel::Rtp, &mut [0; 8]), None);
            assert!(!sweep.send(Port(port), Channel::Rtp, SocketAddr::from(([127, 0, 0, 1], 9)), b""));
        }
    }

    #[test]
    fn addresses_are_told_as_sdp_names_them() {
        let mapped = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(), 5));
        assert_eq!(plain(mapped), SocketAddr::from(([192, 0, 2, 1], 5)));
        let labelled = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 5, 77, 3);
        assert_eq!(plain(SocketAddr::V6(labelled)), SocketAddr::from((Ipv6Addr::LOCALHOST, 5)));
    }
}
