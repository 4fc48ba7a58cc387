//! The floors: programs that do the input and output of a switch and nothing else. What the switch costs is told as a multiple of them.
//!
//! Each is a process of its own (`benches floor …`), so that its CPU time is counted in the same way as the switch's. It prints the address
//! it listens at and serves until its standard input ends.

mod echo;
mod http;
mod relay;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;

pub use http::ANSWER;

/// Which one.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Floor {
    /// Sends every datagram back: tokio's `current_thread` runtime, the socket drained before it sleeps
    Echo,
    /// Sends what comes from A to B and what comes from B to A: `recvmmsg` and `sendmmsg` at a tick of 5 ms
    Relay {
        /// One side
        a: SocketAddr,
        /// The other
        b: SocketAddr,
    },
    /// Answers every HTTP request with the same few bytes of JSON: bare hyper on tokio's `current_thread` runtime
    Http,
}

impl Floor {
    /// Serves until standard input ends.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub fn serve(self) -> io::Result<()> {
        // Whoever started it has gone, or wants it gone.
        thread::spawn(|| {
            let _ = io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        match self {
            Floor::Echo => echo::serve(),
            Floor::Relay { a, b } => relay::serve(a, b),
            Floor::Http => http::serve(),
        }
    }
}

fn tell(address: SocketAddr) -> io::Result<()> {
    println!("{address}");
    io::stdout().flush()
}
