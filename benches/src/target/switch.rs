//! The switch: its release binary, with a store and a configuration of its own.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{free_ports, loopback, until};
use crate::load::clients::{Connection, post};
use crate::process::{self, Process};

/// A running switch with users.
#[derive(Debug)]
pub struct Switch {
    /// The program.
    pub process: Process,
    /// SIP over UDP.
    pub sip: SocketAddr,
    /// The CAS.
    pub http: SocketAddr,
    /// The extensions of its users.
    pub users: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Switch {
    /// Starts it with so many users.
    ///
    /// # Errors
    /// It does not start; the end of its log is in the error.
    pub fn start(binary: &Path, users: usize) -> io::Result<Switch> {
        let folder = tempfile::tempdir()?;
        let (sip, http) = (loopback(free_ports(2)?), loopback(free_ports(2)?));
        let (config, log) = (folder.path().join("switch.toml"), folder.path().join("log"));
        let data = folder.path().join("data");
        fs::write(
            &config,
            format!(
                "data = {data:?}\n[sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n[media]\naddress = \"127.0.0.1\"\n\
                 ports = \"20000-59999\"\n[calls]\nwaiting = 1000000\n[cas]\nlisten = [\"{http}\"]\n"
            ),
        )?;
        let mut command = process::command(binary);
        let output = File::create(&log)?;
        command.arg("run").arg("--config").arg(&config).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut process = Process::start(&mut command)?;
        until("the switch to be healthy", || {
            if let Some(status) = process.child().try_wait()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("the switch ended with {status}: {log}")));
            }
            Ok(healthy(http).is_ok().then_some(()))
        })?;
        let users: Vec<String> = (0..users).map(|n| (1000 + n).to_string()).collect();
        for user in &users {
            let mut command = Command::new(binary);
            command.arg("--config").arg(&config).args(["user", "add", user, "--name", user]);
            command.args(["--password", &password(user), "--sip-secret", &secret(user)]);
            let added = command.stdin(Stdio::null()).output()?;
            if !added.status.success() {
                return Err(io::Error::other(format!("no user {user}: {added:?}")));
            }
        }
        Ok(Switch { process, sip, http, users, _folder: folder })
    }

    /// The session of a client who logs in as this user.
    ///
    /// # Errors
    /// He is not let in.
    pub fn log_in(&self, user: &str) -> io::Result<String> {
        let mut connection = Connection::open(self.http)?;
        let body = format!(r#"{{"app-id":"bench","username":"{user}","password":"{}"}}"#, password(user));
        connection.ask(&post("/login", None, &body))?;
        let answer = connection.wait()?;
        let session = answer.split_once("\"SessionId\":\"").and_then(|(_, rest)| rest.split('"').next());
        session.map(str::to_owned).ok_or_else(|| io::Error::other(answer.clone()))
    }
}

fn healthy(http: SocketAddr) -> io::Result<()> {
    let mut connection = Connection::open(http)?;
    connection.ask(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
    connection.wait().map(drop)
}

/// Of a user's client.
pub fn password(user: &str) -> String {
    format!("password-{user}")
}

/// Of a user's telephone.
pub fn secret(user: &str) -> String {
    format!("secret-{user}")
}
