//! UDP sockets that never wait, and datagrams in batches.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams of one system call.
pub const BATCH: usize = 64;

/// What a batch takes of each datagram.
const LONGEST: usize = 256;

/// What may wait in the kernel, as far as it grants it.
const KERNEL_BUFFER: usize = 4 << 20;

/// A UDP socket with large buffers.
///
/// # Errors
/// The address is taken.
pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Waits until one of these has something to read, or the time is over.
pub fn wait<'a>(sockets: impl Iterator<Item = &'a dyn AsFd>, time: Duration) {
    let mut polled: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    // Interrupted, it has only waited less.
    let _ = ppoll(&mut polled, Some(TimeSpec::from_duration(time)), None);
}

/// A datagram of a batch.
pub struct Received<'a> {
    /// Its source.
    pub from: SocketAddr,
    /// What it says.
    pub datagram: &'a [u8],
}

/// Takes batches.
pub struct Receiver {
    headers: MultiHeaders<SockaddrIn>,
    buffers: Vec<[u8; LONGEST]>,
}

impl Receiver {
    /// With its buffers.
    pub fn new() -> Receiver {
        Receiver { headers: MultiHeaders::preallocate(BATCH, None), buffers: vec![[0; LONGEST]; BATCH] }
    }

    /// Hands on what waits, a batch at most, and tells how many those were.
    pub fn receive(&mut self, socket: &UdpSocket, mut each: impl FnMut(Received<'_>)) -> usize {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let received = recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, MsgFlags::MSG_DONTWAIT, None);
        let Ok(received) = received else { return 0 };
        let heard: Vec<(Option<SockaddrIn>, usize)> =
            received.map(|message| (message.address, message.bytes)).collect();
        for ((from, length), buffer) in heard.iter().zip(&self.buffers) {
            if let Some(from) = from {
                let from = SocketAddr::V4(SocketAddrV4::from(*from));
                each(Received { from, datagram: &buffer[..*length] });
            }
        }
        heard.len()
    }
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::new()
    }
}

/// Sends batches.
pub struct Sender {
    headers: MultiHeaders<SockaddrIn>,
    addresses: Vec<Option<SockaddrIn>>,
    buffers: Vec<[u8; LONGEST]>,
    lengths: Vec<usize>,
}

impl Sender {
    /// Without anything to send.
    pub fn new() -> Sender {
        let headers = MultiHeaders::preallocate(BATCH, None);
        Sender {
            headers,
            addresses: Vec::with_capacity(BATCH),
            buffers: vec![[0; LONGEST]; BATCH],
            lengths: Vec::new(),
        }
    }

    /// One more. What is longer than a packet of sound is cut off; what is more than a batch is not sent.
    pub fn push(&mut self, to: SocketAddr, datagram: &[u8]) {
        let (SocketAddr::V4(to), Some(buffer)) = (to, self.buffers.get_mut(self.lengths.len())) else { return };
        let length = datagram.len().min(LONGEST);
        buffer[..length].copy_from_slice(&datagram[..length]);
        self.lengths.push(length);
        self.addresses.push(Some(SockaddrIn::from(to)));
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.lengths.len() == BATCH
    }

    /// Sends all. What the kernel does not take is lost.
    pub fn flush(&mut self, socket: &UdpSocket) {
        let mut first = 0;
        while first < self.lengths.len() {
            let datagrams = self.buffers[first..].iter().zip(&self.lengths[first..]);
            let slices: Vec<[IoSlice<'_>; 1]> =
                datagrams.map(|(buffer, length)| [IoSlice::new(&buffer[..*length])]).collect();
            let (fd, to) = (socket.as_raw_fd(), &self.addresses[first..]);
            let sent = sendmmsg(fd, &mut self.headers, &slices, to, [], MsgFlags::MSG_DONTWAIT);
            first += sent.map_or(0, Iterator::count).max(1);
        }
        self.lengths.clear();
        self.addresses.clear();
    }
}

impl Default for Sender {
    fn default() -> Sender {
        Sender::new()
    }
}
