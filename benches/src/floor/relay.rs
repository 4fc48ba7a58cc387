//! What passing on one RTP packet costs: a batch in, a batch out, one socket for all.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::sockets::{self, Received, Receiver, Sender};

/// As the switch's: a tick wakes less often than packets come.
const TICK: Duration = Duration::from_millis(5);

pub(super) fn serve(a: SocketAddr, b: SocketAddr) -> io::Result<()> {
    let socket = sockets::udp((Ipv4Addr::LOCALHOST, 0).into())?;
    super::tell(socket.local_addr()?)?;
    let (mut receiver, mut sender) = (Receiver::new(), Sender::new());
    let mut next = Instant::now();
    loop {
        loop {
            let count = receiver.receive(&socket, |Received { from, datagram }| {
                sender.push(if from == a { b } else { a }, datagram);
            });
            sender.flush(&socket);
            if count < sockets::BATCH {
                break;
            }
        }
        next = (next + TICK).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
