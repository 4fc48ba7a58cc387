//! Whoever supervises the process, by the protocol of systemd (sd_notify(3)): told when the switch serves, reloads and ends, and, as long as the control
//! thread turns, that it does. A switch whose control thread is stuck looks alive to everybody else; the watchdog ends and restarts it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tracing::debug;

/// A supervisor, or nobody.
#[derive(Debug, Default)]
pub struct Supervisor {
    at: Option<(UnixDatagram, SocketAddr)>,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    pub fn of_environment() -> Supervisor {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Supervisor::default() };
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // A process that was started by the one that is watched is not meant itself.
        let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_ours).map(Duration::from_micros);
        Supervisor::at(&name, watchdog)
    }

    /// The one at this address: a path, or `@` and an abstract name.
    pub fn at(name: &OsStr, watchdog: Option<Duration>) -> Supervisor {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(name),
        };
        match address.and_then(|address| Ok((UnixDatagram::unbound()?, address))) {
            Ok((socket, address)) => {
                // Nobody may make the switch wait.
                let _ = socket.set_nonblocking(true);
                Supervisor { at: Some((socket, address)), watchdog }
            }
            Err(error) => {
                debug!(%error, "the supervisor cannot be spoken to");
                Supervisor::default()
            }
        }
    }

    /// It serves.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Its configuration is read again; [`ready`](Self::ready) ends that.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells for ever that the thread this runs on turns; twice in the time that the supervisor waits.
    pub async fn show_life(self) {
        let Some(watchdog) = self.watchdog else { return };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(watchdog / 2).await;
        }
    }

    fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.at else { return };
        let told: io::Result<usize> = socket.send_to_addr(what.as_bytes(), address);
        if let Err(error) = told {
            debug!(%error, what, "the supervisor was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// Everything told so far.
    fn told(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        let next =
            || socket.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
        std::iter::from_fn(next).collect()
    }

    fn supervisor(watchdog: Option<Duration>) -> (UnixDatagram, Supervisor, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, Supervisor::at(path.as_os_str(), watchdog), folder)
    }

    #[test]
    fn it_is_told_what_the_switch_does() {
        let (socket, supervisor, _folder) = supervisor(None);
        supervisor.ready();
        supervisor.reloading();
        supervisor.stopping();
        let told = told(&socket);
        assert_eq!((told[0].as_str(), told[2].as_str()), ("READY=1", "STOPPING=1"));
        assert!(told[1].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{}", told[1]);
        Supervisor::default().ready();
    }

    #[test]
    fn there_are_signs_of_life_as_long_as_the_thread_turns() {
        let watchdog = Duration::from_millis(10);
        let (socket, supervisor, _folder) = supervisor(Some(watchdog));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            spawn_local(supervisor.show_life());
            let mut heard = 0;
            while heard < 3 {
                tokio::task::yield_now().await;
                heard += told(&socket).len();
            }
        });
    }

    #[test]
    fn an_abstract_name_is_one_too() {
        let name = format!("switch-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Supervisor::at(OsStr::new(&format!("@{name}")), None).ready();
        assert_eq!(told(&socket), ["READY=1"]);
    }
}
