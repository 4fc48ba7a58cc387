//! baresip as a telephone: a tone for its microphone, a file for its loudspeaker, its `ctrl_tcp` module for its keys.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{PATIENCE, Switch, loopback, ports, secret, until};
use crate::wav;

/// How a telephone speaks SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// One connection that it opens.
    Tcp,
}

/// What telephone to start.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Its user, also its SIP user name; its secret is [`secret`] of that.
    pub extension: &'static str,
    /// How it speaks SIP.
    pub transport: Transport,
    /// The tone that its microphone hears, in Hz.
    pub tone: u32,
    /// The codecs it offers, in its order, as baresip calls them.
    pub codecs: &'static str,
    /// Samples a second of microphone and loudspeaker: 8000, and 16000 for G.722.
    pub rate: u32,
    /// For how many seconds it registers; 0: not at all.
    pub expires: u32,
}

impl Model {
    /// A plain one: UDP, G.711.
    pub fn new(extension: &'static str, tone: u32) -> Model {
        Model { extension, transport: Transport::Udp, tone, codecs: "pcmu,pcma", rate: 8000, expires: 60 }
    }
}

/// A running telephone.
pub struct Baresip {
    /// Its user.
    pub extension: &'static str,
    /// Where it speaks SIP.
    pub sip: SocketAddr,
    /// Its ports for RTP and RTCP.
    pub rtp: RangeInclusive<u16>,
    registrar: SocketAddr,
    child: Child,
    folder: TempDir,
    control: TcpStream,
    buffer: Vec<u8>,
    events: VecDeque<Value>,
    commands: u64,
}

impl Baresip {
    /// Starts one and waits until it is registered.
    pub fn start(switch: &Switch, model: Model) -> Baresip {
        let mut phone = Baresip::boot(switch.sip, model);
        until("a telephone to register", || phone.command("reginfo", None).contains("OK").then_some(()));
        phone
    }

    /// Starts one at the registrar's address of this machine, IPv4 or IPv6, and waits until it takes commands.
    pub fn boot(registrar: SocketAddr, model: Model) -> Baresip {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // baresip takes the port after its own for TLS.
        let ports = ports(20);
        let (sip, control) = (SocketAddr::new(registrar.ip(), *ports.start()), loopback(*ports.end()));
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("a file is written");
        fs::create_dir(folder.path().join("heard")).expect("a folder");
        wav::write_tone(&folder.path().join("tone.wav"), model.tone, model.rate, 120);
        write("contacts", String::new());
        write("accounts", account(registrar, model));
        write("config", config(&folder, sip, control, model.rate));
        let log = File::create(folder.path().join("log")).expect("a log file");
        let again = log.try_clone().expect("a second handle to the log");
        let mut command = Command::new("baresip");
        command.arg("-v").arg("-f").arg(folder.path()).stdin(Stdio::null()).stdout(log).stderr(again);
        let child = command.spawn().expect("baresip is installed");
        let stream = until("baresip to take commands", || TcpStream::connect(control).ok());
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        Baresip {
            extension: model.extension,
            sip,
            rtp: sip.port() + 2..=control.port() - 1,
            registrar,
            child,
            folder,
            control: stream,
            buffer: Vec::new(),
            events: VecDeque::new(),
            commands: 0,
        }
    }

    /// Dials a number of the switch it is registered with.
    pub fn dial(&mut self, number: &str) {
        let target = format!("sip:{number}@{}", self.registrar);
        self.command("dial", Some(&target));
    }

    /// Waits until it rings, and answers. Returns the event that it rang with.
    pub fn answer(&mut self) -> Value {
        let ring = self.event("CALL_INCOMING");
        self.command("accept", None);
        ring
    }

    /// Dials, waits until the other one rings and lets it answer.
    pub fn call(&mut self, other: &mut Baresip) {
        self.dial(other.extension);
        other.answer();
        self.event("CALL_ESTABLISHED");
        other.event("CALL_ESTABLISHED");
    }

    /// Dials a number that nobody answers, and returns why: status and reason.
    pub fn refused(&mut self, number: &str) -> String {
        self.dial(number);
        self.closed()
    }

    /// Hangs up.
    pub fn hang_up(&mut self) {
        self.command("hangup", None);
        self.closed();
    }

    /// Waits until its call is over, and returns why. What it heard is forgotten.
    pub fn closed(&mut self) -> String {
        let closed = self.event("CALL_CLOSED");
        let heard = fs::read_dir(self.folder.path().join("heard")).expect("its folder is there");
        for file in heard.flatten() {
            fs::remove_file(file.path()).expect("its files can be removed");
        }
        closed["param"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether it has rung and nobody has looked yet.
    pub fn has_rung(&mut self) -> bool {
        self.read();
        self.events.iter().any(|event| event["type"] == "CALL_INCOMING")
    }

    /// Waits for the next event of a kind (`CALL_ESTABLISHED` …) and takes it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn event(&mut self, kind: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["type"] == kind) {
                return self.events.remove(at).expect("found just now");
            }
            assert!(Instant::now() < deadline, "{}: no {kind} among {:#?}", self.extension, self.events);
            self.read();
        }
    }

    /// The next digits that it is told, each from press to release.
    pub fn digits(&mut self, count: usize) -> String {
        let digit = |_| {
            let pressed = self.event("CALL_DTMF_START");
            self.event("CALL_DTMF_END");
            pressed["param"].as_str().unwrap_or("?").to_owned()
        };
        (0..count).map(digit).collect()
    }

    /// Does what a key or a typed command does; its answer.
    pub fn command(&mut self, command: &str, parameter: Option<&str>) -> String {
        self.commands += 1;
        let token = self.commands.to_string();
        let mut message = json!({"command": command, "token": token});
        if let Some(parameter) = parameter {
            message["params"] = parameter.into();
        }
        let message = message.to_string();
        self.control.write_all(format!("{}:{message},", message.len()).as_bytes()).expect("baresip reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = |event: &Value| event["response"] == true && event["token"] == token.as_str();
            if let Some(at) = self.events.iter().position(answer) {
                let answer = self.events.remove(at).expect("found just now");
                assert_eq!(answer["ok"], true, "{command}: {answer}");
                return answer["data"].as_str().unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < deadline, "{}: no answer to {command}", self.extension);
            self.read();
        }
    }

    /// Waits until the latest call's loudspeaker plays this tone, alone.
    pub fn hears(&self, hz: u32) {
        let mut last = None;
        let start = Instant::now();
        while last != Some(hz) {
            assert!(start.elapsed() < PATIENCE, "{} hears {last:?} instead of {hz} Hz", self.extension);
            std::thread::sleep(Duration::from_millis(50));
            last = self.heard();
        }
    }

    /// The tone in the last 400 ms of what the latest call's loudspeaker played.
    fn heard(&self) -> Option<u32> {
        let (samples, rate) = self.played()?;
        let tail = samples.len().checked_sub(rate as usize * 2 / 5)?;
        wav::dominant(&samples[tail..], rate)
    }

    /// The last so many seconds of it.
    pub fn heard_for(&self, seconds: f64) -> Option<Vec<i16>> {
        let (samples, rate) = self.played()?;
        let tail = samples.len().checked_sub((f64::from(rate) * seconds) as usize)?;
        Some(samples[tail..].to_vec())
    }

    fn played(&self) -> Option<(Vec<i16>, u32)> {
        let files = fs::read_dir(self.folder.path().join("heard")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let decoded = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        wav::read(&decoded.max()?)
    }

    /// Takes in what has come, waiting a moment for it.
    fn read(&mut self) {
        let mut bytes = [0; 16_384];
        match self.control.read(&mut bytes) {
            Ok(0) => panic!("{}: baresip has ended", self.extension),
            Ok(count) => self.buffer.extend(&bytes[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(e) => panic!("{}: {e}", self.extension),
        }
        while let Some((message, rest)) = netstring(&self.buffer) {
            self.events.push_back(serde_json::from_slice(message).expect("baresip writes JSON"));
            self.buffer.drain(..rest);
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- {}'s log ---\n{}", self.extension, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// The first whole `LENGTH:BYTES,` and where the next one begins.
fn netstring(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let colon = buffer.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&buffer[..colon]).ok()?.parse().ok()?;
    let message = buffer.get(colon + 1..colon + 1 + length)?;
    let rest = colon + 2 + length;
    (buffer.len() >= rest).then_some((message, rest))
}

fn account(registrar: SocketAddr, model: Model) -> String {
    let transport = match model.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let Model { extension, codecs, expires, .. } = model;
    let secret = secret(extension);
    format!(
        "<sip:{extension}@{registrar};transport={transport}>;auth_user={extension};auth_pass={secret};answermode=manual;\
         audio_codecs={codecs};regint={expires};mwi=no\n"
    )
}

fn config(folder: &TempDir, sip: SocketAddr, control: SocketAddr, rate: u32) -> String {
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let (tone, heard) = (path("tone.wav"), path("heard"));
    let (first, last) = (sip.port() + 2, control.port() - 1);
    let mut text = format!(
        "sip_listen {sip}\nnet_interface {}\naudio_source aufile,{}\naudio_player aubridge,sink\naudio_alert aubridge,alert\n\
         ausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\nrtp_ports {first}-{last}\nsnd_path {}\n\
         ctrl_tcp_listen {control}\nmodule_path /usr/lib/baresip/modules\nmodule_app menu.so\n",
        sip.ip(),
        tone.display(),
        heard.display(),
    );
    for module in ["g711", "g722", "aufile", "aubridge", "sndfile", "ctrl_tcp", "account", "contact", "uuid"] {
        text.push_str(&format!("module {module}.so\n"));
    }
    text
}
