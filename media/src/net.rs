//! The edge to the network: what a worker asks of it, so that tests can put a network of their own there.

mod ready;
mod sweep;

use std::net::SocketAddr;

pub use sweep::Sweep;

use crate::command::Port;

/// Which of a port's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The port itself.
    Rtp,
    /// One above (RFC 3550 §11).
    Rtcp,
}

/// Datagrams in and out. No call waits, and neither [`receive`](Net::receive) nor [`send`](Net::send) may allocate.
pub trait Net {
    /// A leg begins at a port: what comes there will be received. Told twice it does no harm. A network that keeps as much for every port has
    /// nothing to do.
    fn open(&mut self, _port: Port) {}

    /// Where something waits, as far as this network knows: is added to `places`, each socket once. `false`: it keeps no account of that, and every port is
    /// to be asked. May not allocate while `places` has room.
    fn waiting(&mut self, _places: &mut Vec<(Port, Channel)>) -> bool {
        false
    }

    /// A leg that was another worker's is at a port: what comes there, and what waits, will be received.
    fn attach(&mut self, _port: Port) {}

    /// A leg goes to another worker, with all that waits at its port.
    fn detach(&mut self, _port: Port) {}

    /// No leg is at a port any more: nobody will ask what comes there until it is opened again.
    fn close(&mut self, _port: Port) {}

    /// The next datagram that waits at a socket: its length and its source. IPv4 sources are told as IPv4, whatever the socket. What is
    /// longer than the buffer is cut off there. `None`: nothing waits, or the port is not bound.
    fn receive(&mut self, port: Port, channel: Channel, buffer: &mut [u8]) -> Option<(usize, SocketAddr)>;

    /// Sends from a socket. Whether the network took it.
    fn send(&mut self, port: Port, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool;
}
