use std::process::Command;

use bytes::Bytes;
use media::net::Net;
use media::tap::TappedNet;

use super::*;
use crate::node::{Flow, StreamId};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn flow(channel: Channel, local: &str, peer: &str) -> Flow {
    Flow { channel, local: address(local), peer: address(peer) }
}

const ALL: Wanting = Wanting { limit: 1 << 20, headers_only: false };

/// These fields of every packet that passes the filter, as tshark reads the file. Nothing is told to it beforehand.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    tshark.arg("-r").arg(file).args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().expect("tshark is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn is_sound(file: &Path) {
    let wrong = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0";
    assert_eq!(tshark(file, wrong, &["frame.number", "_ws.expert.message"]), Vec::<String>::new());
}

fn message(method: &str, body: &str) -> Bytes {
    Bytes::from(format!(
        "{method} sip:502@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1\r\nFrom: <sip:501@switch.local>;tag=1\r\n\
         To: <sip:502@switch.local>\r\nCall-ID: a\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:501@192.0.2.1:5062>\r\n\
         {}Content-Length: {}\r\n\r\n{body}",
        if body.starts_with("v=") { "Content-Type: application/sdp\r\n" } else { "Content-Type: text/plain\r\n" },
        body.len()
    ))
}

#[test]
fn wireshark_reads_sip_of_either_transport_and_family() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(folder.path(), ALL).unwrap();
    let tcp = Channel::Tcp(StreamId(1));
    let see = |flow, incoming, bytes| recorder.see(Seen::Message { flow, incoming, bytes });
    see(flow(Channel::Udp, "192.0.2.7:5060", "192.0.2.1:5062"), true, message("INVITE", ""));
    see(flow(Channel::Udp, "[2001:db8::7]:5060", "[2001:db8::1]:5062"), false, message("BYE", ""));
    see(flow(tcp, "192.0.2.7:5060", "192.0.2.1:40000"), true, message("OPTIONS", ""));
    see(flow(tcp, "192.0.2.7:5060", "192.0.2.1:40000"), false, message("REGISTER", ""));
    see(flow(tcp, "192.0.2.7:5060", "192.0.2.1:40000"), true, message("MESSAGE", &"x".repeat(64_000)));
    let progress = recorder.stop();
    assert_eq!((progress.packets, progress.lost), (6, 0));
    assert_eq!(std::fs::metadata(&progress.path).unwrap().len(), progress.bytes);
    is_sound(&progress.path);
    let methods = tshark(&progress.path, "sip.Method", &["sip.Method", "ip.src", "ipv6.src"]);
    let expected = [
        "INVITE\t192.0.2.1\t",
        "BYE\t\t2001:db8::7",
        "OPTIONS\t192.0.2.1\t",
        "REGISTER\t192.0.2.7\t",
        "MESSAGE\t192.0.2.1\t",
    ];
    assert_eq!(methods, expected);
}

/// A network that has one datagram after the other.
struct Endless;

impl Net for Endless {
    fn receive(&mut self, _: Port, _: Socket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        buffer[..172].fill(0x55);
        buffer[0] = 0x80;
        buffer[1..12].fill(0);
        Some((172, address("192.0.2.1:4000")))
    }

    fn send(&mut self, _: Port, _: Socket, _: SocketAddr, _: &[u8]) -> bool {
        true
    }
}

fn sdp() -> &'static str {
    "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n"
}

fn with_sound(wanting: Wanting) -> Progress {
    let folder = tempfile::tempdir().unwrap().keep();
    let recorder = Recorder::start(&folder, wanting).unwrap();
    let mut readers = Vec::new();
    let mut net = TappedNet::new(Endless);
    net.set(Some(Box::new(recorder.tap(wanting.headers_only, &mut readers))));
    recorder.taps_made(readers);
    recorder.see(Seen::Leg(address("192.0.2.7:20000")));
    let offer = message("INVITE", sdp());
    let flow = flow(Channel::Udp, "192.0.2.7:5060", "192.0.2.1:5062");
    recorder.see(Seen::Message { flow, incoming: false, bytes: offer });
    for port in [20_000, 20_002] {
        for _ in 0..100 {
            net.receive(Port(port), Socket::Rtp, &mut [0; 2048]);
        }
    }
    net.set(None);
    recorder.stop()
}

#[test]
fn the_sound_of_known_legs_is_rtp_to_wireshark() {
    let progress = with_sound(ALL);
    is_sound(&progress.path);
    let rtp = tshark(&progress.path, "rtp", &["ip.src", "ip.dst", "udp.dstport", "rtp.p_type"]);
    assert_eq!(rtp.len(), 100, "the port of another call is not there");
    assert_eq!(rtp[0], "192.0.2.1\t192.0.2.7\t20000\t0");
    std::fs::remove_dir_all(progress.path.parent().unwrap()).unwrap();
}

#[test]
fn of_headers_only_the_file_is_small_and_right() {
    let progress = with_sound(Wanting { headers_only: true, ..ALL });
    is_sound(&progress.path);
    assert_eq!(tshark(&progress.path, "rtp", &["rtp.p_type"]).len(), 100);
    assert!(progress.bytes < 15_000, "{progress}");
    std::fs::remove_dir_all(progress.path.parent().unwrap()).unwrap();
}

#[test]
fn a_file_is_no_larger_than_it_may_be_and_whole() {
    let progress = with_sound(Wanting { limit: 10_000, ..ALL });
    let length = std::fs::metadata(&progress.path).unwrap().len();
    assert!((9_000..=10_000).contains(&length), "{length}");
    is_sound(&progress.path);
    assert!(!tshark(&progress.path, "rtp", &["rtp.p_type"]).is_empty());
    std::fs::remove_dir_all(progress.path.parent().unwrap()).unwrap();
}

#[test]
fn traces_begun_within_one_second_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let names = (0..3).map(|_| create(folder.path(), "20260101120000").unwrap().0.file_name().unwrap().to_owned());
    let expected = ["trace-20260101120000.pcapng", "trace-20260101120000-2.pcapng", "trace-20260101120000-3.pcapng"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}
