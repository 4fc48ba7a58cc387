//! A copy of what goes over the wire, for an operator who wants to look at it.
//!
//! It lies around the network and not in the way of a packet: without a tap, a packet costs one look at an `Option`; with one, its bytes are copied into a
//! ring that another thread empties in its own time. Nothing is allocated, no lock is taken, and nobody is woken; what finds the ring full is counted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::command::Port;
use crate::net::{Channel, Net};

/// In front of each datagram in the ring.
const HEAD: usize = 34;
/// What is kept of a datagram where only headers are wanted: the fixed part of one of RTP (RFC 3550 §5.1).
const RTP_HEADER: usize = 12;
/// Bits in a word of the set of ports.
const WORD: usize = 64;

/// The ports whose datagrams are wanted: set by whoever knows the calls, read by the media threads.
#[derive(Debug)]
pub struct Wanted(Box<[AtomicU64]>);

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted((0..(1 << 16) / WORD).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Wanted {
    /// From now on what comes to this port and its RTCP, and goes from them, is wanted, or is not.
    pub fn set(&self, port: Port, wanted: bool) {
        let (word, bit) = Wanted::place(port);
        match wanted {
            true => self.0[word].fetch_or(bit, Ordering::Relaxed),
            false => self.0[word].fetch_and(!bit, Ordering::Relaxed),
        };
    }

    fn has(&self, port: Port) -> bool {
        let (word, bit) = Wanted::place(port);
        self.0[word].load(Ordering::Relaxed) & bit != 0
    }

    fn place(port: Port) -> (usize, u64) {
        (usize::from(port.0) / WORD, 1 << (usize::from(port.0) % WORD))
    }
}

/// The end of a ring that a media thread writes.
#[derive(Debug)]
pub struct Tap {
    wanted: Arc<Wanted>,
    ring: Producer<u8>,
    lost: Arc<AtomicU64>,
    headers_only: bool,
}

/// The other end.
#[derive(Debug)]
pub struct Reader {
    ring: Consumer<u8>,
    lost: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

/// A datagram that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// In microseconds since 1970.
    pub at_usec: u64,
    /// Our port: that of RTP, whichever of its two sockets it was.
    pub port: Port,
    /// Which.
    pub channel: Channel,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it came, or went.
    pub incoming: bool,
    /// How long it was.
    pub length: usize,
    /// Its bytes, or the first of them.
    pub bytes: &'a [u8],
}

/// A ring of so many bytes.
pub fn tap(wanted: Arc<Wanted>, bytes: usize, headers_only: bool) -> (Tap, Reader) {
    let (producer, consumer) = RingBuffer::new(bytes);
    let lost = Arc::new(AtomicU64::new(0));
    let tap = Tap { wanted, ring: producer, lost: Arc::clone(&lost), headers_only };
    (tap, Reader { ring: consumer, lost, buffer: Vec::new() })
}

impl Tap {
    fn copy(&mut self, port: Port, channel: Channel, peer: SocketAddr, incoming: bool, datagram: &[u8]) {
        if !self.wanted.has(port) {
            return;
        }
        let most = if self.headers_only && channel == Channel::Rtp { RTP_HEADER } else { usize::from(u16::MAX) };
        let kept = &datagram[..datagram.len().min(most)];
        let head = head(port, channel, peer, incoming, datagram.len(), kept.len());
        let Ok(mut room) = self.ring.write_chunk(HEAD + kept.len()) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (first, second) = room.as_mut_slices();
        put(first, second, 0, &head);
        put(first, second, HEAD, kept);
        room.commit_all();
    }
}

/// Copies to a place in two slices that lie one behind the other.
fn put(first: &mut [u8], second: &mut [u8], at: usize, bytes: &[u8]) {
    let split = first.len().saturating_sub(at).min(bytes.len());
    let (before, after) = bytes.split_at(split);
    if !before.is_empty() {
        first[at..at + split].copy_from_slice(before);
    }
    if !after.is_empty() {
        let from = at + split - first.len();
        second[from..from + after.len()].copy_from_slice(after);
    }
}

fn head(port: Port, channel: Channel, peer: SocketAddr, incoming: bool, length: usize, kept: usize) -> [u8; HEAD] {
    // A clock before 1970 tells 0.
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&at.to_le_bytes());
    head[8..24].copy_from_slice(&ip.octets());
    head[24..26].copy_from_slice(&peer.port().to_le_bytes());
    head[26..28].copy_from_slice(&port.0.to_le_bytes());
    head[28..30].copy_from_slice(&length.to_le_bytes());
    head[30..32].copy_from_slice(&(kept as u16).to_le_bytes());
    head[32] = u8::from(incoming);
    head[33] = u8::from(channel == Channel::Rtcp);
    head
}

impl Reader {
    /// How many bytes wait now.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Datagrams that found the ring full, since its making.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The next datagram.
    pub fn read(&mut self) -> Option<Tapped<'_>> {
        let mut head = [0; HEAD];
        self.take(HEAD)?;
        head.copy_from_slice(&self.buffer);
        let two = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        // A head and its datagram are committed as one.
        self.take(usize::from(two(30)))?;
        let (at, ip) = (head.first_chunk::<8>()?, head[8..24].first_chunk::<16>()?);
        Some(Tapped {
            at_usec: u64::from_le_bytes(*at),
            port: Port(two(26)),
            channel: if head[33] == 1 { Channel::Rtcp } else { Channel::Rtp },
            peer: SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), two(24)),
            incoming: head[32] == 1,
            length: usize::from(two(28)),
            bytes: &self.buffer,
        })
    }

    fn take(&mut self, length: usize) -> Option<()> {
        let chunk = self.ring.read_chunk(length).ok()?;
        let (first, second) = chunk.as_slices();
        self.buffer.clear();
        self.buffer.extend_from_slice(first);
        self.buffer.extend_from_slice(second);
        chunk.commit_all();
        Some(())
    }
}

/// A network with a tap, when there is one.
#[derive(Debug)]
pub struct TappedNet<N> {
    net: N,
    tap: Option<Box<Tap>>,
}

impl<N: Net> TappedNet<N> {
    /// Without a tap.
    pub fn new(net: N) -> TappedNet<N> {
        TappedNet { net, tap: None }
    }

    /// With another tap, or without.
    pub fn set(&mut self, tap: Option<Box<Tap>>) {
        self.tap = tap;
    }

    /// The network itself.
    pub fn inner(&mut self) -> &mut N {
        &mut self.net
    }
}

impl<N: Net> Net for TappedNet<N> {
    fn open(&mut self, port: Port) {
        self.net.open(port);
    }

    fn close(&mut self, port: Port) {
        self.net.close(port);
    }

    fn waiting(&mut self, places: &mut Vec<(Port, Channel)>) -> bool {
        self.net.waiting(places)
    }

    fn attach(&mut self, port: Port) {
        self.net.attach(port);
    }

    fn detach(&mut self, port: Port) {
        self.net.detach(port);
    }

    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (length, from) = self.net.receive(port, channel, buffer)?;
        if let Some(tap) = &mut self.tap {
            tap.copy(port, channel, from, true, &buffer[..length.min(buffer.len())]);
        }
        Some((length, from))
    }

    fn send(&mut self, port: Port, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        if let Some(tap) = &mut self.tap {
            tap.copy(port, channel, to, false, datagram);
        }
        self.net.send(port, channel, to, datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Port = Port(20_000);

    fn peer() -> SocketAddr {
        "192.0.2.1:4000".parse().unwrap()
    }

    fn wanted() -> Arc<Wanted> {
        let wanted = Arc::new(Wanted::default());
        wanted.set(PORT, true);
        wanted
    }

    #[test]
    fn what_is_wanted_is_copied_wherever_the_ring_ends() {
        let (mut tap, mut reader) = tap(wanted(), 300, false);
        // Longer and longer, so that heads and bytes are cut at every place.
        for n in 0..200u8 {
            let bytes: Vec<u8> = (0..n).collect();
            let (channel, incoming) = (if n % 3 == 0 { Channel::Rtcp } else { Channel::Rtp }, n % 2 == 0);
            tap.copy(PORT, channel, peer(), incoming, &bytes);
            let told = reader.read().unwrap();
            assert_eq!((told.bytes, told.length), (&bytes[..], bytes.len()));
            assert_eq!((told.port, told.channel, told.peer, told.incoming), (PORT, channel, peer(), incoming));
        }
        assert_eq!((reader.lost(), reader.read()), (0, None));
    }

    #[test]
    fn other_ports_are_left_alone_and_a_full_ring_is_counted() {
        let wanted = wanted();
        let (mut tap, mut reader) = tap(Arc::clone(&wanted), 100, false);
        tap.copy(Port(20_002), Channel::Rtp, peer(), true, &[1]);
        assert_eq!(reader.waiting(), 0);
        for _ in 0..5 {
            tap.copy(PORT, Channel::Rtp, "[2001:db8::1]:7".parse().unwrap(), true, &[1, 2]);
        }
        assert_eq!(reader.lost(), 3);
        assert_eq!(reader.read().map(|told| told.peer), "[2001:db8::1]:7".parse().ok());
        wanted.set(PORT, false);
        tap.copy(PORT, Channel::Rtp, peer(), true, &[1, 2]);
        assert!(reader.read().is_some() && reader.read().is_none());
    }

    #[test]
    fn of_headers_only_the_sound_is_left_out_and_the_length_told() {
        let (mut tap, mut reader) = tap(wanted(), 1000, true);
        tap.copy(PORT, Channel::Rtp, peer(), true, &[7; 172]);
        tap.copy(PORT, Channel::Rtcp, peer(), true, &[7; 64]);
        assert_eq!(reader.read().map(|told| (told.bytes.len(), told.length)), Some((12, 172)));
        assert_eq!(reader.read().map(|told| (told.bytes.len(), told.length)), Some((64, 64)));
    }
}
