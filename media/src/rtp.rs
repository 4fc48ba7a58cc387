//! The fixed header of RTP (RFC 3550 §5.1). Reading is the work of `rtp-rs`, which checks every length; rewriting in place is ours, because a
//! relay changes ten bytes of a packet and copies none.

use rtp_rs::RtpReader;

/// The bytes before CSRCs, extension and payload.
pub(crate) const HEADER: usize = 12;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// Reads a datagram: its header and its payload, without extension and padding. `None`: not RTP version 2.
pub(crate) fn read(datagram: &[u8]) -> Option<(Header, &[u8])> {
    let reader = RtpReader::new(datagram).ok()?;
    let header = Header {
        payload_type: reader.payload_type(),
        marker: reader.mark(),
        sequence: reader.sequence_number().into(),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
    };
    Some((header, reader.payload()))
}

/// Writes a header over that of a packet that [`read`] accepted. Padding, CSRCs and extension stay as they are.
pub(crate) fn rewrite(packet: &mut [u8], header: Header) {
    let fixed: &mut [u8; HEADER] = packet.first_chunk_mut().expect("a packet that was read has a whole header");
    fixed[1] = u8::from(header.marker) << 7 | (header.payload_type & 0x7f);
    fixed[2..4].copy_from_slice(&header.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
}

/// Writes a packet of our own; its length. Of a payload for which there is no room nothing is written.
pub(crate) fn write(header: Header, payload: &[u8], packet: &mut [u8]) -> usize {
    let length = HEADER + payload.len();
    let Some(packet) = packet.get_mut(..length) else { return 0 };
    packet[0] = 2 << 6;
    rewrite(packet, header);
    packet[HEADER..].copy_from_slice(payload);
    length
}

/// A packet of our own with a payload of four bytes, which is what a telephone-event has (RFC 4733 §2.3).
pub(crate) fn event_packet(header: Header, payload: [u8; 4]) -> [u8; HEADER + 4] {
    let mut packet = [0; HEADER + 4];
    write(header, &payload, &mut packet);
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER_A: Header =
        Header { payload_type: 8, marker: true, sequence: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    #[test]
    fn a_rewritten_header_reads_back_and_the_rest_is_untouched() {
        // One CSRC, an extension of one word, three bytes of payload, one of padding.
        let mut packet =
            vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 1, 2, 3, 1];
        rewrite(&mut packet, HEADER_A);
        assert_eq!(read(&packet), Some((HEADER_A, &[1, 2, 3][..])));
        assert_eq!(packet[12..], [9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 1, 2, 3, 1]);
    }

    #[test]
    fn an_event_packet_is_rtp() {
        assert_eq!(read(&event_packet(HEADER_A, [1, 2, 3, 4])), Some((HEADER_A, &[1, 2, 3, 4][..])));
    }

    #[test]
    fn only_version_2_is_read() {
        for version in [0, 1, 3] {
            let mut packet = event_packet(HEADER_A, [0; 4]);
            packet[0] = version << 6;
            assert_eq!(read(&packet), None);
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for lie in [
            &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],    // short of a header
            &[0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], // fifteen CSRCs that are not there
            &[0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..], // an extension longer than the packet
            &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5][..], // more padding than payload
            &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], // padding of no length
        ] {
            assert_eq!(read(lie), None, "{lie:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_whatever_is_read_can_be_rewritten(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if read(&bytes).is_some() {
                rewrite(&mut bytes, HEADER_A);
                prop_assert_eq!(read(&bytes).map(|(header, _)| header), Some(HEADER_A));
            }
        }
    }
}
