//! Where something waits: the kernel's list of it (`epoll`), read at each turn. Nobody sleeps on it, so that a packet that comes wakes nobody; but a socket
//! where nothing has come costs no system call, be there ten thousand of them. The list names a socket for as long as anything waits there, so that nobody
//! has to ask one until it is empty to know that it is.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Read from the list at a time.
const BATCH: usize = 1024;

/// One media thread's list. A clone is another's, and empty.
#[derive(Debug)]
pub(super) struct Ready {
    epoll: Option<Epoll>,
    /// Sockets of which the kernel does not tell: they are named each time.
    untold: BTreeSet<usize>,
    events: Box<[EpollEvent; BATCH]>,
}

impl Ready {
    pub(super) fn new() -> Ready {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok();
        Ready { epoll, untold: BTreeSet::new(), events: Box::new([EpollEvent::empty(); BATCH]) }
    }

    /// From now on this socket is named by its number when something waits there.
    pub(super) fn watch(&mut self, number: usize, socket: &impl AsFd) {
        let wanted = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        if self.epoll.as_ref().is_none_or(|epoll| epoll.add(socket, wanted).is_err()) {
            self.untold.insert(number);
        }
    }

    /// From now on it is not.
    pub(super) fn leave(&mut self, number: usize, socket: &impl AsFd) {
        if !self.untold.remove(&number)
            && let Some(epoll) = &self.epoll
        {
            // One that was never watched is not on the list.
            let _ = epoll.delete(socket);
        }
    }

    /// Reads the list, as much of it as is read at a time.
    pub(super) fn read(&mut self) -> impl Iterator<Item = usize> {
        let count = self.epoll.as_ref().and_then(|epoll| epoll.wait(&mut self.events[..], EpollTimeout::ZERO).ok());
        let told = self.events[..count.unwrap_or(0)].iter().map(|event| event.data() as usize);
        told.chain(self.untold.iter().copied())
    }
}

impl Clone for Ready {
    fn clone(&self) -> Ready {
        Ready::new()
    }
}
