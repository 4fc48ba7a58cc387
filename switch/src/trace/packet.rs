//! The packets around what was said: IP with UDP or TCP, as they may have been on the wire. The switch sees neither; addresses and ports are real, the rest is made up
//! so that it is right.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Hops left, as hosts usually begin with.
const HOPS: u8 = 64;
const UDP: u8 = 17;
const TCP: u8 = 6;
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
/// Bytes of a stream in one packet: with its headers it is one that IP can carry.
const SEGMENT: usize = 60_000;
/// Streams whose numbers are known; those of the others begin anew.
const STREAMS: usize = 65_536;

/// From whom to whom. Both are of one family: an IPv4 address in an IPv6 packet is written as it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ends {
    from: SocketAddr,
    to: SocketAddr,
}

impl Ends {
    pub(super) fn new(local: SocketAddr, peer: SocketAddr, incoming: bool) -> Ends {
        let (from, to) = if incoming { (peer, local) } else { (local, peer) };
        Ends { from, to }
    }

    fn reversed(self) -> Ends {
        Ends { from: self.to, to: self.from }
    }
}

/// A datagram of this length, of which these are the first bytes.
pub(super) fn udp(ends: Ends, length: usize, bytes: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(UDP_HEADER + bytes.len());
    datagram.extend(ends.from.port().to_be_bytes());
    datagram.extend(ends.to.port().to_be_bytes());
    datagram.extend(((UDP_HEADER + length) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(bytes);
    if bytes.len() == length {
        // A sum of 0 is written as its other form, since 0 says that there is none (RFC 768).
        let sum = match checksum(&[&pseudo_header(ends, UDP, datagram.len()), &datagram]) {
            0 => 0xffff,
            sum => sum,
        };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    ip(ends, UDP, UDP_HEADER + length, &datagram)
}

/// How far each direction of each stream has come.
#[derive(Debug, Default)]
pub(super) struct Packets {
    sequence: BTreeMap<Ends, u32>,
}

impl Packets {
    /// Bytes of a stream, in as many packets as it takes.
    pub(super) fn tcp(&mut self, ends: Ends, bytes: &[u8]) -> Vec<Vec<u8>> {
        if self.sequence.len() >= STREAMS {
            self.sequence.clear();
        }
        let acknowledged = *self.sequence.entry(ends.reversed()).or_insert(1);
        let sequence = self.sequence.entry(ends).or_insert(1);
        let packet = |bytes: &[u8]| {
            let mut segment = Vec::with_capacity(TCP_HEADER + bytes.len());
            segment.extend(ends.from.port().to_be_bytes());
            segment.extend(ends.to.port().to_be_bytes());
            segment.extend(sequence.to_be_bytes());
            segment.extend(acknowledged.to_be_bytes());
            // Five words of header; PSH and ACK; a window; sum and urgent pointer.
            segment.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
            segment.extend(bytes);
            let sum = checksum(&[&pseudo_header(ends, TCP, segment.len()), &segment]);
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
            *sequence = sequence.wrapping_add(bytes.len() as u32);
            ip(ends, TCP, segment.len(), &segment)
        };
        bytes.chunks(SEGMENT).map(packet).collect()
    }
}

/// A packet whose payload is this long, and begins so.
fn ip(ends: Ends, protocol: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + payload.len());
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (ends.from.ip(), ends.to.ip()) {
        packet.extend([0x45, 0]);
        packet.extend(u16::try_from(20 + length).unwrap_or(u16::MAX).to_be_bytes());
        // No identification, not to be fragmented.
        packet.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend([protocol, HOPS]);
        packet.extend(v6(ends.from).octets());
        packet.extend(v6(ends.to).octets());
    }
    packet.extend(payload);
    packet
}

fn v6(address: SocketAddr) -> Ipv6Addr {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// What the sums of UDP and TCP count besides (RFC 768, RFC 8200 §8.1).
fn pseudo_header(ends: Ends, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (ends.from.ip(), ends.to.ip()) {
        header.extend(from.octets());
        header.extend(to.octets());
    } else {
        header.extend(v6(ends.from).octets());
        header.extend(v6(ends.to).octets());
    }
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

/// RFC 1071. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
