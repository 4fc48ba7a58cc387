//! What is put under load: the switch, a floor, a peer. Each is started on free loopback ports with a folder of its own, and ends with its value.

mod kamailio;
mod rtpengine;
mod switch;

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::process::{self, Process};

pub use kamailio::kamailio;
pub use rtpengine::Rtpengine;
pub use switch::{Switch, password, secret};

/// How long a program may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that listens somewhere.
#[derive(Debug)]
pub struct Target {
    /// The program.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Kept as long as it runs.
    _folder: Option<tempfile::TempDir>,
}

/// A floor: this very program again.
///
/// # Errors
/// It does not start.
pub fn floor(program: &Path, arguments: &[&str]) -> io::Result<Target> {
    let mut command = process::command(program);
    command.arg("floor").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let mut line = String::new();
    if let Some(stdout) = process.child().stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().parse().map_err(|_| io::Error::other(format!("a floor said {line:?}")))?;
    Ok(Target { process, address, _folder: None })
}

/// A port on this machine.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Free ports on loopback, below the RTP ports and those that the system hands out.
///
/// # Errors
/// None are left.
pub fn free_ports(count: u16) -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 6_000;
    const ALL: u16 = 13_000;
    let begin = (std::process::id() % u32::from(ALL)) as u16;
    let step = count.next_multiple_of(2);
    for _ in 0..2_000 {
        let offset = NEXT.fetch_add(step, Ordering::Relaxed).wrapping_add(begin) % (ALL - step) / 2 * 2;
        let first = FIRST + offset;
        let is_free = |port| TcpListener::bind(loopback(port)).is_ok() && UdpSocket::bind(loopback(port)).is_ok();
        if (first..first + step).all(is_free) {
            return Ok(first);
        }
    }
    Err(io::Error::other("no free ports are left on loopback"))
}

/// Asks until there is an answer.
fn until<T>(what: &str, mut probe: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other(format!("waited in vain for {what}")))
}
