//! Where something waits: the kernel's list of it (`epoll`), read once a turn. Nobody sleeps on it, so that a packet that comes wakes nobody; but a socket
//! where nothing has come costs no system call, be there ten thousand of them.

use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Read from the list at a time.
const BATCH: usize = 256;

/// One media thread's list. A clone is another's, and empty.
#[derive(Debug)]
pub(super) struct Ready {
    epoll: Option<Epoll>,
    sockets: Vec<Socket>,
    events: [EpollEvent; BATCH],
}

/// What is known of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    /// It was found empty, and nothing has come since.
    Empty,
    /// Something may wait there.
    Waiting,
    /// The kernel does not tell of it: it is asked each time.
    Untold,
}

impl Ready {
    /// For sockets that are named by numbers below this.
    pub(super) fn new(sockets: usize) -> Ready {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok();
        Ready { epoll, sockets: vec![Socket::Untold; sockets], events: [EpollEvent::empty(); BATCH] }
    }

    /// From now on the kernel tells of this socket: each time something comes (`EPOLLET`), and at once if something waits.
    pub(super) fn watch(&mut self, number: usize, socket: &impl AsFd) {
        let wanted = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, number as u64);
        let told = self.epoll.as_ref().is_some_and(|epoll| epoll.add(socket, wanted).is_ok());
        self.sockets[number] = if told { Socket::Waiting } else { Socket::Untold };
    }

    /// The kernel tells no more.
    pub(super) fn leave(&mut self, number: usize, socket: &impl AsFd) {
        if let Some(epoll) = &self.epoll {
            // One that could not be watched is not on the list.
            let _ = epoll.delete(socket);
        }
        self.sockets[number] = Socket::Untold;
    }

    /// Reads the list.
    pub(super) fn turn(&mut self) {
        let Some(epoll) = &self.epoll else { return };
        while let Ok(count) = epoll.wait(&mut self.events, EpollTimeout::ZERO) {
            for event in &self.events[..count] {
                if let Some(socket @ Socket::Empty) = self.sockets.get_mut(event.data() as usize) {
                    *socket = Socket::Waiting;
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    /// Whether it is worth asking a socket.
    pub(super) fn may_wait(&self, number: usize) -> bool {
        self.sockets.get(number).is_some_and(|socket| *socket != Socket::Empty)
    }

    /// A socket was asked and had nothing.
    pub(super) fn was_empty(&mut self, number: usize) {
        if let Some(socket @ Socket::Waiting) = self.sockets.get_mut(number) {
            *socket = Socket::Empty;
        }
    }
}

impl Clone for Ready {
    fn clone(&self) -> Ready {
        Ready::new(self.sockets.len())
    }
}
