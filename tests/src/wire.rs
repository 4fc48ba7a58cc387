//! What goes over the wire, as tshark sees it: an opinion on our messages that is not ours.
//!
//! Capturing needs root, or sudo without a password.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::{Switch, until};

/// A capture of all that one switch says and hears.
pub struct Capture {
    tshark: Tshark,
    folder: TempDir,
    marker: UdpSocket,
    sip: u16,
}

impl Capture {
    /// Starts one and waits until it has begun.
    pub fn start(switch: &Switch) -> Capture {
        Capture::of(switch.sip.port(), &switch.rtp)
    }

    /// The same for anyone who speaks SIP on this port and RTP on these.
    pub fn of(sip: u16, rtp: &RangeInclusive<u16>) -> Capture {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let marker = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = marker.local_addr().expect("bound").port();
        marker.connect(("127.0.0.1", port)).expect("it can speak to itself");
        let (first, last) = (rtp.start(), rtp.end());
        let filter = format!("port {sip} or udp portrange {first}-{last} or udp port {port}");
        let log = File::create(folder.path().join("log")).expect("a log file");
        let mut tshark = privileged("tshark");
        // Made here, so that it is ours to read when another writes it.
        let file = folder.path().join("trace.pcapng");
        File::create(&file).expect("a file for the capture");
        tshark.args(["-q", "-i", "lo", "-f", &filter, "-w"]).arg(file);
        let tshark =
            tshark.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("tshark is installed");
        let mut capture = Capture { tshark: Tshark(tshark), folder, marker, sip };
        capture.mark("begin");
        capture
    }

    /// Ends it when all that was said before is in the file.
    pub fn stop(mut self) -> Trace {
        self.mark("end");
        Trace { folder: self.folder, sip: self.sip }
    }

    /// Says a word on a port of its own until it is found in the file: tshark tells neither when it begins to hear nor how far it has written.
    fn mark(&mut self, word: &str) {
        let word = format!("--{word} of capture--").into_bytes();
        let file = self.folder.path().join("trace.pcapng");
        until("tshark to capture", || {
            if let Some(status) = self.tshark.0.try_wait().expect("a child can be asked") {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("tshark ended with {status}: {log}");
            }
            // Nobody reads the socket; when it is full the capture has heard enough.
            let _ = self.marker.send(&word);
            let bytes = fs::read(&file).ok()?;
            bytes.windows(word.len()).any(|window| window == word).then_some(())
        });
    }
}

/// The process, ended with its value.
struct Tshark(Child);

impl Drop for Tshark {
    fn drop(&mut self) {
        // TERM and not KILL, so that tshark ends the process that captures for it.
        let _ = privileged("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// The head of a packet of RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Its source.
    pub ssrc: String,
    /// Its number.
    pub sequence: u16,
    /// Its place in time, in units of the codec's clock.
    pub timestamp: u32,
}

/// A finished capture.
pub struct Trace {
    folder: TempDir,
    sip: u16,
}

/// These fields of every packet of a file that a display filter lets through, as tshark reads it when nothing is told to it.
pub fn fields(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-Y", filter, "-T", "fields"]);
    told(tshark, filter, fields)
}

fn told(mut tshark: Command, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.stdin(Stdio::null()).output().expect("tshark is installed");
    assert!(output.status.success(), "tshark -Y '{filter}': {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

impl Trace {
    /// These fields of every packet that a display filter lets through.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(self.file()).args(["-Y", filter, "-T", "fields"]);
        for transport in ["udp", "tcp"] {
            tshark.args(["-d", &format!("{transport}.port=={},sip", self.sip)]);
        }
        told(tshark, filter, fields)
    }

    /// Asserts that there was SIP and that tshark can read every message of it.
    pub fn is_well_formed(&self) {
        assert!(!self.fields("sip", &["frame.number"]).is_empty(), "no SIP was captured");
        let malformed = self.fields("sip && _ws.malformed", &["frame.number", "sip.Request-Line", "sip.Status-Line"]);
        assert!(malformed.is_empty(), "malformed messages: {malformed:?}");
    }

    /// The digits in RTP (RFC 4733) to one of these ports, each once.
    pub fn digits(&self, to: &RangeInclusive<u16>) -> String {
        let filter = format!("rtpevent.end_of_event == 1 && {}", arriving(to));
        let ends = self.fields(&filter, &["rtp.ssrc", "rtp.timestamp", "rtpevent.event_id"]);
        // The last packet of an event is sent three times.
        let mut seen = BTreeSet::new();
        let once = ends.iter().filter(|event| seen.insert(*event));
        let digit = |event: &Vec<String>| {
            event[2].parse().ok().and_then(|number: usize| "0123456789*#ABCD".chars().nth(number))
        };
        once.map(|event| digit(event).unwrap_or('?')).collect()
    }

    /// The RTP that came to one of these ports, in its order.
    pub fn rtp(&self, to: &RangeInclusive<u16>) -> Vec<Rtp> {
        let packets = self.fields(&format!("rtp && {}", arriving(to)), &["rtp.ssrc", "rtp.seq", "rtp.timestamp"]);
        let read = |packet: Vec<String>| Rtp {
            ssrc: packet[0].clone(),
            sequence: packet[1].parse().expect("tshark writes numbers"),
            timestamp: packet[2].parse().expect("tshark writes numbers"),
        };
        packets.into_iter().map(read).collect()
    }

    /// When RTP came to one of these ports, in seconds since 1970.
    pub fn rtp_times(&self, to: &RangeInclusive<u16>) -> Vec<f64> {
        self.times(&format!("rtp && {}", arriving(to)))
    }

    /// When the packets that a display filter lets through came, in seconds since 1970.
    pub fn times(&self, filter: &str) -> Vec<f64> {
        let times = self.fields(filter, &["frame.time_epoch"]);
        times.iter().map(|time| time[0].parse().expect("tshark writes seconds")).collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("trace.pcapng")
    }
}

fn arriving(ports: &RangeInclusive<u16>) -> String {
    format!("udp.dstport >= {} && udp.dstport <= {}", ports.start(), ports.end())
}

/// A command that needs the rights of root.
fn privileged(command: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(command);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", command]);
    sudo
}
