//! Fuzz targets: whatever a telephone sends as RTP and RTCP. A failure prints its seed (`BOLERO_RANDOM_SEED` replays it).

use std::time::{Duration, Instant, UNIX_EPOCH};

use bolero::check;

use crate::clock::Clock;
use crate::command::StreamStart;
use crate::dtmf::Listener;
use crate::rtcp::{LONGEST, Reporter, Sent};
use crate::rtp;

/// Inputs of one target in `cargo test`.
const INPUTS: usize = 8_000;

#[test]
fn fuzz_rtp() {
    check!().with_iterations(INPUTS).with_type::<(u8, Vec<u8>)>().for_each(|(first, bytes)| {
        // Mostly of the version that is read; padding, extension and CSRC count as they come.
        let version = if first % 8 == 7 { *first } else { 2 << 6 | first & 0x3f };
        let mut packet = [&[version], &bytes[..]].concat();
        let Some((header, payload)) = rtp::read(&packet) else { return };
        assert!(payload.len() + rtp::HEADER <= packet.len());
        let (before, payload) = (packet.clone(), payload.to_vec());
        let other = rtp::Header { sequence: !header.sequence, ssrc: !header.ssrc, marker: !header.marker, ..header };
        rtp::rewrite(&mut packet, other);
        assert_eq!(rtp::read(&packet), Some((other, &payload[..])));
        rtp::rewrite(&mut packet, header);
        assert_eq!(packet, before, "nothing but the header was touched");
    });
}

#[test]
fn fuzz_rtcp() {
    check!().with_iterations(INPUTS).with_type::<Vec<(u8, u8, u8, Vec<u8>)>>().for_each(|parts| {
        let now = Instant::now();
        let clock = Clock::new(now, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let start = StreamStart { ssrc: 0x1111, sequence: 1, timestamp: 1 };
        let mut reporter = Reporter::new(now, start);
        // Parts that claim their own length, or nearly, or another.
        let mut compound = Vec::new();
        for (flags, kind, lie, bytes) in parts.iter().take(8) {
            let words = match lie % 4 {
                0 => u16::from(*lie),
                _ => (bytes.len() / 4) as u16,
            };
            compound.extend_from_slice(&[2 << 6 | flags & 0x3f, 200 + kind % 8]);
            compound.extend_from_slice(&words.to_be_bytes());
            compound.extend_from_slice(&bytes[..bytes.len() / 4 * 4]);
        }
        if let Ok(Some(heard)) = reporter.read(now, &clock, &compound) {
            assert!(heard.round_trip.is_none_or(|time| time < Duration::from_secs(60)));
        }
        // Whatever was read, what is written next is well formed, and of its own length.
        let mut out = [0; LONGEST];
        let sent = Sent { timestamp: 1, packets: 1, bytes: 1 };
        let length = reporter.write(now, &clock, sent, None, true, &mut out);
        assert_eq!(Reporter::new(now, start).read(now, &clock, &out[..length]), Ok(None));
    });
}

#[test]
fn fuzz_telephone_events() {
    check!().with_iterations(INPUTS).with_type::<Vec<(u8, u16, u32, Vec<u8>)>>().for_each(|packets| {
        let mut now = Instant::now();
        let mut listener = Listener::default();
        let mut keys = 0;
        for (rate, passed, timestamp, payload) in packets {
            now += Duration::from_millis(u64::from(*passed % 300));
            let rate = if rate % 2 == 0 { 8_000 } else { 48_000 };
            listener.hear(now, *timestamp, payload, rate, &mut |key| keys += usize::from(key.digit <= 15));
            listener.expire(now, &mut |_| keys += 1);
        }
        assert!(keys <= packets.len(), "{keys} keys of {} packets", packets.len());
    });
}
