//! rtpengine in user space, and as much of its control protocol (`ng`: bencoded dictionaries over UDP) as it takes to bridge two phones.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{free_ports, loopback, until};
use crate::process::{self, Process};
use crate::sip;

/// Running, without the kernel's help.
#[derive(Debug)]
pub struct Rtpengine {
    /// The program.
    pub process: Process,
    control: UdpSocket,
    _folder: tempfile::TempDir,
}

impl Rtpengine {
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path) -> io::Result<Rtpengine> {
        let folder = tempfile::tempdir()?;
        let address = loopback(free_ports(2)?);
        let log = folder.path().join("log");
        let output = fs::File::create(&log)?;
        let mut command = process::command(program);
        // A file without anything in it: not that of the machine.
        let config = folder.path().join("rtpengine.conf");
        fs::write(&config, "[rtpengine]\n")?;
        command.args([
            "--foreground",
            "--log-stderr",
            "--log-level=2",
            "--table=-1",
            "--no-fallback",
            "--num-threads=2",
        ]);
        command.args(["--interface=127.0.0.1", "--port-min=20000", "--port-max=59999"]);
        command.arg(format!("--listen-ng={address}")).arg("--config-file").arg(&config);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut process = Process::start(&mut command)?;
        let control = UdpSocket::bind(loopback(0))?;
        control.connect(address)?;
        control.set_read_timeout(Some(Duration::from_millis(200)))?;
        until("rtpengine to answer", || {
            if let Some(status) = process.child().try_wait()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("rtpengine ended with {status}: {log}")));
            }
            Ok(ask(&control, "1", "d7:command4:pinge").ok())
        })?;
        Ok(Rtpengine { process, control, _folder: folder })
    }

    /// Bridges two phones: the ports for the sound of each.
    ///
    /// # Errors
    /// It will not.
    pub fn bridge(&self, number: usize, phones: [SocketAddr; 2]) -> io::Result<[SocketAddr; 2]> {
        let (call, sessions) = (format!("call-{number}"), phones.map(sip::session));
        let word = |text: &str| format!("{}:{text}", text.len());
        let message = |command: &str, sdp: &str, rest: &str| {
            format!(
                "d7:call-id{}7:command{}8:from-tag{}{rest}3:sdp{}e",
                word(&call),
                word(command),
                word("a"),
                word(sdp)
            )
        };
        let options = "7:replacel6:origine";
        let offer = ask(&self.control, &format!("{number}a"), &message("offer", &sessions[0], options))?;
        let answer = message("answer", &sessions[1], options);
        // Keys are in order: to-tag comes last.
        let answer = format!("{}6:to-tag{}e", &answer[..answer.len() - 1], word("b"));
        let answer = ask(&self.control, &format!("{number}b"), &answer)?;
        let port = |reply: &str| {
            let port = sip::media_port(reply).ok_or_else(|| io::Error::other(reply.to_owned()))?;
            Ok::<_, io::Error>(loopback(port))
        };
        Ok([port(&answer)?, port(&offer)?])
    }
}

fn ask(control: &UdpSocket, cookie: &str, message: &str) -> io::Result<String> {
    let mut buffer = vec![0; 8192];
    for _ in 0..10 {
        control.send(format!("{cookie} {message}").as_bytes())?;
        if let Ok(length) = control.recv(&mut buffer) {
            return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    Err(io::Error::other("rtpengine does not answer"))
}
