//! STUN Binding requests on the SIP port (RFC 5626 §8, RFC 8489): a phone keeps its way through a NAT open with them, and sees when the NAT has given it
//! another address. Without authentication, as RFC 5626 wants it, and without a FINGERPRINT: no SIP message begins with two zero bits.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut as _, Bytes, BytesMut};

const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Attributes of a request that must be understood, and are: USERNAME, MESSAGE-INTEGRITY and its SHA-256, REALM, NONCE. None is asked for, none is an error.
const UNDERSTOOD: [u16; 5] = [0x0006, 0x0008, 0x001c, 0x0014, 0x0015];
/// More that are not understood need not be named.
const MAX_UNKNOWN: usize = 8;

/// The answer to a Binding request from this peer; `None` for anything else, which may be SIP.
pub fn answer(datagram: &[u8], peer: SocketAddr) -> Option<Bytes> {
    let (header, mut attributes) = datagram.split_at_checked(HEADER)?;
    let (kind, length) = (u16_at(header, 0)?, usize::from(u16_at(header, 2)?));
    if kind != BINDING || length != attributes.len() || length % 4 != 0 {
        return None;
    }
    let id = header.get(4..)?;
    let mut unknown = Vec::new();
    while !attributes.is_empty() {
        let (kind, length) = (u16_at(attributes, 0)?, usize::from(u16_at(attributes, 2)?));
        if kind < 0x8000 && !UNDERSTOOD.contains(&kind) && unknown.len() < MAX_UNKNOWN {
            unknown.push(kind);
        }
        attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
    }
    Some(if unknown.is_empty() { success(id, peer) } else { error(id, &unknown) })
}

fn success(id: &[u8], peer: SocketAddr) -> Bytes {
    // RFC 8489 §11: a client of RFC 3489 has no cookie, and knows only the plain attribute.
    let is_new = id.starts_with(&COOKIE.to_be_bytes());
    let mask = |at: usize| if is_new { id[at] } else { 0 };
    let mut value = BytesMut::with_capacity(HEADER);
    value.put_u8(0);
    let address: Vec<u8> = match peer.ip() {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    };
    value.put_u8(if peer.is_ipv4() { 1 } else { 2 });
    value.extend(peer.port().to_be_bytes().iter().enumerate().map(|(at, byte)| byte ^ mask(at)));
    value.extend(address.iter().enumerate().map(|(at, byte)| byte ^ mask(at)));
    message(SUCCESS, id, &[(if is_new { XOR_MAPPED_ADDRESS } else { MAPPED_ADDRESS }, &value)])
}

/// 420: attributes that must be understood and are not (RFC 8489 §6.3.1).
fn error(id: &[u8], unknown: &[u16]) -> Bytes {
    let code = [&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat();
    let named: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    message(ERROR, id, &[(ERROR_CODE, &code), (UNKNOWN_ATTRIBUTES, &named)])
}

fn message(kind: u16, id: &[u8], attributes: &[(u16, &[u8])]) -> Bytes {
    let length: usize = attributes.iter().map(|(_, value)| 4 + value.len().next_multiple_of(4)).sum();
    let mut out = BytesMut::with_capacity(HEADER + length);
    out.put_u16(kind);
    out.put_u16(length as u16);
    out.put_slice(id);
    for (kind, value) in attributes {
        out.put_u16(*kind);
        out.put_u16(value.len() as u16);
        out.put_slice(value);
        out.put_bytes(0, value.len().next_multiple_of(4) - value.len());
    }
    out.freeze()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction of RFC 5769's vectors.
    const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn request(attributes: &[(u16, &[u8])]) -> Bytes {
        let id = [&COOKIE.to_be_bytes()[..], &ID].concat();
        message(BINDING, &id, attributes)
    }

    #[test]
    fn rfc_5769_section_2_2_the_address_over_ipv4() {
        let answer = answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(answer[..4], [0x01, 0x01, 0x00, 0x0c]);
        assert_eq!(answer[8..20], ID);
        assert_eq!(answer[20..], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn rfc_5769_section_2_3_the_address_over_ipv6() {
        let peer = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let answer = answer(&request(&[]), peer).unwrap();
        let expected = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25,
            0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(answer[20..], expected);
    }

    #[test]
    fn a_client_of_rfc_3489_is_told_its_plain_address() {
        let old = message(BINDING, &[7; 16], &[]);
        let answer = answer(&old, "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(answer[20..], [0x00, 0x01, 0x00, 0x08, 0x00, 0x01, 0x80, 0x55, 192, 0, 2, 1]);
    }

    #[test]
    fn what_need_not_be_understood_is_no_matter_and_what_must_be_is_420() {
        let peer = "192.0.2.1:5060".parse().unwrap();
        // USERNAME, SOFTWARE, FINGERPRINT
        let taken = answer(&request(&[(0x0006, b"abc"), (0x8022, b"x"), (0x8028, &[1, 2, 3, 4])]), peer).unwrap();
        assert_eq!(taken[..2], [0x01, 0x01]);
        let refused = answer(&request(&[(0x0003, &[0, 0, 0, 4])]), peer).unwrap();
        assert_eq!(refused[..2], [0x01, 0x11]);
        assert!(refused.windows(4).any(|bytes| bytes == [0, 0, 4, 20]));
        assert_eq!(refused[refused.len() - 8..], [0x00, 0x0a, 0x00, 0x02, 0x00, 0x03, 0x00, 0x00]);
        assert_eq!(refused.len() - 20, usize::from(u16_at(&refused, 2).unwrap()));
    }

    #[test]
    fn all_else_may_be_sip() {
        let peer = "192.0.2.1:5060".parse().unwrap();
        let whole = request(&[(0x8022, b"abcd")]);
        for cut in 0..whole.len() {
            assert_eq!(answer(&whole[..cut], peer), None, "{cut}");
        }
        assert_eq!(answer(b"\r\n\r\n", peer), None);
        assert_eq!(answer(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", peer), None);
        let mut indication = whole.to_vec();
        indication[1] = 0x11;
        assert_eq!(answer(&indication, peer), None);
        let mut long = whole.to_vec();
        long[23] = 200;
        assert_eq!(answer(&long, peer), None, "an attribute that ends beyond the message");
    }
}
