//! Datagrams on their way out. What a turn of the control thread has to say waits until the turn is over, and goes to the kernel together: whoever is sent
//! something wakes, and as like as not takes the processor at once, while what was heard beside it has not been worked on.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::cmsg_space;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::Udp;
use crate::node::Flow;

/// So many wait for no others: a millisecond's work of a busy switch.
const FULL: usize = 32;

/// What waits, in its order.
pub(super) struct Outbox {
    waiting: RefCell<Vec<(Flow, Bytes)>>,
    /// How many turns and steps go on, one within another.
    gathering: Cell<usize>,
    headers: RefCell<Headers>,
}

/// Memory for what the kernel is told of a batch: its source is a control message of another size in either family.
struct Headers {
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
}

impl Default for Outbox {
    fn default() -> Outbox {
        let headers = Headers {
            v4: MultiHeaders::preallocate(FULL, Some(cmsg_space!(libc::in_pktinfo))),
            v6: MultiHeaders::preallocate(FULL, Some(cmsg_space!(libc::in6_pktinfo))),
        };
        Outbox { waiting: RefCell::default(), gathering: Cell::default(), headers: RefCell::new(headers) }
    }
}

/// While this lives, what is sent waits.
pub struct Gathering<'a>(&'a Udp);

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        let gathering = &self.0.outbox.gathering;
        gathering.set(gathering.get() - 1);
        if gathering.get() == 0 {
            self.0.flush();
        }
    }
}

impl Udp {
    /// Begins a turn, or a step within one.
    pub fn gather(&self) -> Gathering<'_> {
        let gathering = &self.outbox.gathering;
        gathering.set(gathering.get() + 1);
        Gathering(self)
    }

    /// Sends one datagram from the flow's local address, at the end of the turn if one goes on. What cannot be sent then is dropped and counted: the
    /// transaction layer sends it again, or gives up in its own time (RFC 3261 §17.1.1.2).
    pub fn send(&self, flow: Flow, bytes: Bytes) {
        let waiting = {
            let mut waiting = self.outbox.waiting.borrow_mut();
            waiting.push((flow, bytes));
            waiting.len()
        };
        if waiting == FULL || self.outbox.gathering.get() == 0 {
            self.flush();
        }
    }

    /// Sends what waits now.
    pub fn flush(&self) {
        let mut waiting = self.outbox.waiting.borrow_mut();
        for run in waiting.chunk_by(|(one, _), (next, _)| one.local == next.local) {
            self.send_run(run[0].0.local, run);
        }
        waiting.clear();
    }

    /// Datagrams from one of our addresses.
    fn send_run(&self, local: SocketAddr, mut run: &[(Flow, Bytes)]) {
        let Some(socket) = self.socket_for(local) else { return self.without_socket(local, run.len()) };
        let headers = &mut *self.outbox.headers.borrow_mut();
        while !run.is_empty() {
            // The kernel ends a batch before a datagram that it refuses, and tells why when that one is the first.
            let sent = send_messages(socket.inner.get_ref(), headers, local, run).unwrap_or_else(|errno| {
                self.refused(errno, local);
                1
            });
            run = run.get(sent.max(1)..).unwrap_or_default();
        }
    }
}

/// How many of them went.
fn send_messages(
    socket: &UdpSocket,
    headers: &mut Headers,
    from: SocketAddr,
    datagrams: &[(Flow, Bytes)],
) -> nix::Result<usize> {
    let parts: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let to: Vec<Option<SockaddrStorage>> = datagrams.iter().map(|(flow, _)| Some(flow.peer.into())).collect();
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let sent = match from {
        SocketAddr::V4(from) => {
            let source = libc::in_addr { s_addr: u32::from(*from.ip()).to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } };
            sendmmsg(fd, &mut headers.v4, &parts, to, [ControlMessage::Ipv4PacketInfo(&info)], flags)?.count()
        }
        SocketAddr::V6(from) => {
            let source = libc::in6_addr { s6_addr: from.ip().octets() };
            let info = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: from.scope_id() };
            sendmmsg(fd, &mut headers.v6, &parts, to, [ControlMessage::Ipv6PacketInfo(&info)], flags)?.count()
        }
    };
    Ok(sent)
}
