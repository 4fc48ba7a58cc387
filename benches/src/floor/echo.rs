//! What receiving and sending one datagram costs.

use std::io;
use std::net::Ipv4Addr;

use crate::sockets;

/// More than any message of the load.
const LONGEST: usize = 4096;

pub(super) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = sockets::udp((Ipv4Addr::LOCALHOST, 0).into())?;
        super::tell(socket.local_addr()?)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let mut buffer = vec![0; LONGEST];
        loop {
            socket.readable().await?;
            while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
                // What the kernel cannot take now is lost, and counted by the load.
                let _ = socket.try_send_to(&buffer[..length], from);
            }
        }
    })
}
