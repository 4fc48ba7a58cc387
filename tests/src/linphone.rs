//! linphone as a telephone, by its daemon: what baresip has not is attended transfer. Its sound card is a PulseAudio of its own: a tone for its microphone, a file
//! for its loudspeaker.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{PATIENCE, Switch, ports, secret, until};
use crate::wav;

/// Samples a second of its loudspeaker's file.
const RATE: u32 = 8_000;

/// A running telephone.
pub struct Linphone {
    /// Its user.
    pub extension: &'static str,
    /// Its ports for RTP and RTCP.
    pub rtp: RangeInclusive<u16>,
    registrar: SocketAddr,
    pipe: PathBuf,
    commands: UnixStream,
    /// The daemon, its sound card and what speaks and records there: all end with it.
    processes: Vec<Child>,
    folder: TempDir,
}

impl Linphone {
    /// Starts one whose microphone hears this tone, and waits until it is registered.
    pub fn start(switch: &Switch, extension: &'static str, tone: u32) -> Linphone {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = ports(12);
        let (sip, rtp) = (*ports.start(), ports.start() + 2);
        let path = |name: &str| folder.path().join(name);
        wav::write_tone(&path("tone.wav"), tone, RATE, 120);
        fs::write(path("default.pa"), sound_card(&path("native"))).expect("a file is written");
        fs::write(path("rc"), settings(sip, rtp)).expect("a file is written");
        let run = |program: &str, arguments: &[&str]| {
            let log = File::create(path(&format!("{program}.log"))).expect("a log file");
            let again = log.try_clone().expect("a second handle to the log");
            let mut command = Command::new(program);
            command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(log).stderr(again);
            for variable in ["HOME", "XDG_RUNTIME_DIR"] {
                command.env(variable, folder.path());
            }
            command.env("PULSE_SERVER", format!("unix:{}", path("native").display()));
            command.spawn().unwrap_or_else(|error| panic!("{program} is installed: {error}"))
        };
        let card = ["-n", "-F", "default.pa", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"];
        let mut processes = vec![run("pulseaudio", &[&card[..], &["--disable-shm=yes"]].concat())];
        until("a sound card", || UnixStream::connect(path("native")).ok());
        processes.push(run("paplay", &["--device=mic", "tone.wav"]));
        let (rate, file) =
            (format!("--rate={RATE}"), ["--channels=1", "--format=s16le", "--file-format=wav", "heard.wav"]);
        processes.push(run("parecord", &[&["--device=spk.monitor", &rate][..], &file].concat()));
        // It puts its socket where it wants to, under the name that it is given.
        let name = format!("switch-test-{}-{sip}", std::process::id());
        let pipe = Path::new("/tmp").join(&name);
        let daemon = ["--config", "rc", "--log", "log", "--pipe", &name, "--disable-stats-events"];
        processes.push(run("linphone-daemon", &daemon));
        let commands = until("linphone to take commands", || UnixStream::connect(&pipe).ok());
        commands.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let (registrar, rtp) = (switch.sip, rtp..=*ports.end());
        let mut phone = Linphone { extension, rtp, registrar, pipe, commands, processes, folder };
        phone.command("audio-codec-disable ALL");
        phone.command("audio-codec-enable PCMU/8000/1");
        phone.command(&format!("register sip:{extension}@{registrar} sip:{registrar} {}", secret(extension)));
        until("a telephone to register", || {
            phone.command("register-status ALL").contains("RegistrationOk").then_some(())
        });
        phone
    }

    /// Dials, and returns by what its call is named.
    pub fn dial(&mut self, number: &str) -> u32 {
        let reply = self.command(&format!("call sip:{number}@{}", self.registrar));
        field(&reply, "Id").and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no call: {reply}"))
    }

    /// Waits until a call of its is up and has its sound.
    pub fn talks(&mut self, call: u32) {
        self.call_is(call, "LinphoneCallStreamsRunning");
    }

    /// Puts a call on hold, and waits until it is.
    pub fn hold(&mut self, call: u32) {
        self.command(&format!("call-pause {call}"));
        self.call_is(call, "LinphoneCallPaused");
    }

    /// Joins whom it has in two calls (REFER with Replaces).
    pub fn transfer(&mut self, call: u32, to: u32) {
        self.command(&format!("call-transfer {call} {to}"));
    }

    /// Waits until a call of its is no more.
    pub fn is_out_of(&mut self, call: u32) {
        until("a call to be over", || {
            let state = self.state(call);
            state.is_none_or(|state| ["End", "Released", "Error"].iter().any(|end| state.ends_with(end))).then_some(())
        });
    }

    fn call_is(&mut self, call: u32, state: &str) {
        until(&format!("a call to be {state}"), || (self.state(call)? == state).then_some(()));
    }

    fn state(&mut self, call: u32) -> Option<String> {
        let reply = self.ask(&format!("call-status {call}"));
        field(&reply, "State").map(str::to_owned)
    }

    /// Waits until its loudspeaker plays this tone, alone.
    pub fn hears(&self, hz: u32) {
        until(&format!("{} to hear {hz} Hz", self.extension), || (self.heard()? == hz).then_some(()));
    }

    fn heard(&self) -> Option<u32> {
        let (samples, rate) = wav::read(&self.folder.path().join("heard.wav"))?;
        let tail = samples.len().checked_sub(rate as usize * 2 / 5)?;
        wav::dominant(&samples[tail..], rate)
    }

    /// Does what a typed command does; its answer.
    fn command(&mut self, command: &str) -> String {
        let reply = self.ask(command);
        assert!(reply.starts_with("Status: Ok"), "{command}: {reply}");
        reply
    }

    fn ask(&mut self, command: &str) -> String {
        self.commands.write_all(format!("{command}\n").as_bytes()).expect("linphone reads");
        let (mut reply, deadline) = (String::new(), Instant::now() + PATIENCE);
        let mut bytes = [0; 16_384];
        // A reply is as long as it is: it ends where nothing more comes.
        loop {
            match self.commands.read(&mut bytes) {
                Ok(0) => panic!("{}: linphone has ended", self.extension),
                Ok(count) => reply.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("{}: {e}", self.extension)
                }
                Err(_) if !reply.is_empty() => return reply,
                Err(_) => assert!(Instant::now() < deadline, "{}: no answer to {command}", self.extension),
            }
        }
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // One may have ended by itself: then there is nothing to end.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_file(&self.pipe);
        if std::thread::panicking() {
            for name in ["linphone-daemon.log", "pulseaudio.log", "log"] {
                let log = fs::read(self.folder.path().join(name)).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<_> = log.lines().collect();
                eprintln!(
                    "--- {name} of {} ---\n{}",
                    self.extension,
                    lines[lines.len().saturating_sub(40)..].join("\n")
                );
            }
        }
    }
}

/// The value of a line `NAME: VALUE` of a reply.
fn field<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What PulseAudio is to be: a card with a microphone that hears what is played into it, and a loudspeaker. (linphone takes no monitor for a microphone.)
fn sound_card(socket: &Path) -> String {
    let sink = |name: &str| {
        let properties = format!("rate=48000 channels=1 sink_properties=device.description={name}");
        format!("load-module module-null-sink sink_name={name} {properties}\n")
    };
    format!(
        "load-module module-native-protocol-unix socket={} auth-anonymous=1\n{}{}\
         load-module module-remap-source source_name=src master=mic.monitor source_properties=device.description=src\n",
        socket.display(),
        sink("mic"),
        sink("spk"),
    )
}

fn settings(sip: u16, rtp: u16) -> String {
    format!(
        "[sip]\nsip_port={sip}\nsip_tcp_port={sip}\ndefault_proxy=-1\nguess_hostname=0\nuse_ipv6=0\nbind_address=127.0.0.1\n\
         register_only_when_network_is_up=0\n[net]\nfirewall_policy=0\ndns_srv_enabled=0\ndns_search_enabled=0\n\
         [rtp]\naudio_rtp_port={rtp}\naudio_adaptive_jitt_comp_enabled=0\n\
         [sound]\nechocancellation=0\nplayback_dev_id=PulseAudio Unknown: spk\nringer_dev_id=PulseAudio Unknown: spk\n\
         media_dev_id=PulseAudio Unknown: spk\ncapture_dev_id=PulseAudio Unknown: src\n\
         [misc]\nconference_server_enabled=0\n[storage]\nuri=null\n[lime]\nenabled=0\n[video]\nenabled=0\n"
    )
}
