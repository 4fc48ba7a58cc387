//! The way of a packet allocates nothing: sound both ways, keys heard, relayed and pressed, reports in and out, and sounds of the switch's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use media::net::{Channel, Net};
use media::tap::{TappedNet, Wanted, tap};
use media::{
    Codec, Command, Event, LegId, PayloadMap, PlayId, Port, Repeat, Sound, SoundId, Stream, StreamStart, Worker,
};
use rtcp_types::prelude::*;
use rtcp_types::{ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport};

#[path = "../../tests/src/counting.rs"]
mod counting;

/// One datagram waits at each socket at most; what is sent is counted. By leg, then RTP and RTCP.
#[derive(Default)]
struct Still {
    waiting: [[Option<Datagram>; 2]; 2],
    sent: [[u64; 2]; 2],
}

struct Datagram {
    from: SocketAddr,
    bytes: [u8; 256],
    length: usize,
}

fn index(port: Port, channel: Channel) -> (usize, usize) {
    (usize::from(port.0 - 20_000) / 2, usize::from(channel == Channel::Rtcp))
}

impl Still {
    fn arrive(&mut self, leg: usize, channel: usize, datagram: &[u8]) {
        let mut bytes = [0; 256];
        bytes[..datagram.len()].copy_from_slice(datagram);
        self.waiting[leg][channel] = Some(Datagram { from: phone(leg), bytes, length: datagram.len() });
    }
}

impl Net for Still {
    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (leg, channel) = index(port, channel);
        let Datagram { from, bytes, length } = self.waiting[leg][channel].take()?;
        buffer[..length].copy_from_slice(&bytes[..length]);
        Some((length, from))
    }

    fn send(&mut self, port: Port, channel: Channel, _: SocketAddr, _: &[u8]) -> bool {
        let (leg, channel) = index(port, channel);
        self.sent[leg][channel] += 1;
        true
    }
}

fn phone(leg: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, leg as u8], 4000))
}

/// What telephone `leg` sends as its nth packet: sound, with a key of eight packets among each hundred.
fn rtp(leg: usize, n: u32) -> [u8; 172] {
    let key = n % 100 >= 92;
    let mut packet = [0x55; 172];
    packet[0] = 0x80;
    packet[1] = if key { 101 } else { 0 };
    packet[2..4].copy_from_slice(&(n as u16).to_be_bytes());
    let timestamp = 160 * if key { n / 100 * 100 + 92 } else { n };
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&(leg as u32).to_be_bytes());
    if key {
        packet[12..16].copy_from_slice(&[5, if n % 100 >= 97 { 0x8a } else { 10 }, 3, 32]);
    }
    packet
}

/// SR about us with SDES, as telephones send it.
fn report(leg: usize) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    let about = || ReportBlock::builder(leg as u32 + 100).fraction_lost(3).last_sender_report_timestamp(7);
    let mut length = SenderReport::builder(leg as u32)
        .ntp_timestamp(1 << 40)
        .add_report_block(about())
        .write_into(&mut bytes)
        .expect("there is room");
    length += ReceiverReport::builder(leg as u32)
        .add_report_block(about())
        .write_into(&mut bytes[length..])
        .expect("there is room");
    let chunk = SdesChunk::builder(leg as u32).add_item(SdesItem::builder(SdesItem::CNAME, "someone"));
    length += Sdes::builder().add_chunk(chunk).write_into(&mut bytes[length..]).expect("there is room");
    bytes.truncate(length);
    bytes
}

#[test]
fn a_call_of_minutes_allocates_nothing() {
    a_call_of_minutes(TappedNet::new(Still::default()));
}

#[test]
fn nor_does_one_that_is_traced_even_when_nobody_reads_the_trace() {
    let wanted = std::sync::Arc::new(Wanted::default());
    wanted.set(Port(20_000), true);
    let (tap, reader) = tap(wanted, 1 << 20, false);
    let mut net = TappedNet::new(Still::default());
    net.set(Some(Box::new(tap)));
    a_call_of_minutes(net);
    assert!(reader.waiting() > (1 << 20) - 512 && reader.lost() > 10_000);
}

fn a_call_of_minutes(mut net: TappedNet<Still>) {
    let mut now = Instant::now();
    let mut worker = Worker::new(now, SystemTime::UNIX_EPOCH);
    let payloads = || PayloadMap(vec![(0, Codec::Pcmu), (101, Codec::TelephoneEvent { rate: 8000 })]);
    for leg in 0..2 {
        let id = LegId(leg as u64);
        let start = StreamStart { ssrc: leg as u32 + 100, sequence: 7, timestamp: 7 };
        worker.command(now, Command::Open { leg: id, port: Port(20_000 + 2 * leg as u16), start });
        let stream = Stream {
            remote: Some(phone(leg)),
            remote_rtcp: Some(phone(leg)),
            send: true,
            receive: true,
            incoming: payloads(),
            outgoing: payloads(),
        };
        worker.command(now, Command::Update { leg: id, stream });
    }
    worker.command(now, Command::Bridge { a: LegId(0), b: LegId(1) });
    worker.turn(now, &mut net, &mut |_| ());
    let reports = [report(0), report(1)];
    let (mut keys, mut allocations) = (0, 0);
    for n in 0..10_000u32 {
        for (leg, report) in reports.iter().enumerate() {
            net.inner().arrive(leg, 0, &rtp(leg, n));
            if n % 250 == 249 {
                net.inner().arrive(leg, 1, report);
            }
        }
        if n % 500 == 250 {
            worker.command(now, Command::SendDigits { leg: LegId(0), digits: vec![1, 2] });
        }
        for _ in 0..4 {
            now += Duration::from_millis(5);
            let before = counting::calls();
            worker.turn(now, &mut net, &mut |event| keys += u32::from(matches!(event, Event::Dtmf { .. })));
            allocations += counting::calls() - before;
        }
    }
    assert_eq!(keys, 200);
    // 40 times two digits of eight packets; each keeps some of the sound away.
    let [[to_0, reports_0], [to_1, reports_1]] = net.inner().sent;
    assert_eq!(to_1, 10_000);
    assert!((9_900..10_300).contains(&to_0), "{to_0}");
    assert!(reports_0 > 30 && reports_1 > 30, "{reports_0} {reports_1}");
    assert_eq!(allocations, 0);
}

#[test]
fn nor_does_music_nor_the_change_to_it_and_back() {
    let (mut now, mut net) = (Instant::now(), Still::default());
    let mut worker = Worker::new(now, SystemTime::UNIX_EPOCH);
    let music = SoundId(0);
    worker.command(now, Command::Learn { sound: music, is: Arc::new(Sound::music()) });
    for (leg, codec) in [(0, Codec::Pcmu), (1, Codec::Opus)] {
        let id = LegId(leg as u64);
        let start = StreamStart { ssrc: leg as u32 + 100, sequence: 7, timestamp: 7 };
        worker.command(now, Command::Open { leg: id, port: Port(20_000 + 2 * leg as u16), start });
        let payloads = PayloadMap(vec![(0, codec)]);
        let stream = Stream {
            remote: Some(phone(leg)),
            remote_rtcp: Some(phone(leg)),
            send: true,
            receive: true,
            incoming: payloads.clone(),
            outgoing: payloads,
        };
        worker.command(now, Command::Update { leg: id, stream });
    }
    worker.command(now, Command::Bridge { a: LegId(0), b: LegId(1) });
    worker.turn(now, &mut net, &mut |_| ());
    let (mut ended, mut allocations) = (0, 0);
    for n in 0..20_000u32 {
        now += Duration::from_millis(5);
        let before = counting::calls();
        for leg in [LegId(0), LegId(1)] {
            match n % 4_000 {
                0 => worker.command(now, Command::Play { leg, sound: music, repeat: Repeat::Together }),
                3_000 => worker.command(now, Command::Hush(leg)),
                3_500 => worker.command(now, Command::Play { leg, sound: music, repeat: Repeat::Once(PlayId(1)) }),
                _ => {}
            }
        }
        worker.turn(now, &mut net, &mut |event| ended += u32::from(matches!(event, Event::Played { .. })));
        allocations += counting::calls() - before;
    }
    assert_eq!((ended, allocations), (0, 0));
    let [[to_0, _], [to_1, _]] = net.sent;
    assert!(to_0 > 4_000 && to_1 > 4_000, "{to_0} {to_1}");
}
