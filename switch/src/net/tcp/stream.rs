//! One connection's outgoing side: what it owes its peer, and whether it is still open.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// What the node sends on and the connection's task delivers.
#[derive(Default)]
pub(super) struct Stream {
    phase: RefCell<Phase>,
    queue: RefCell<VecDeque<Bytes>>,
    queued: Cell<usize>,
    was_sent: Cell<bool>,
    /// Told when the task has something to look at: the queue or the phase changed.
    changed: Notify,
}

#[derive(Default)]
enum Phase {
    /// No socket yet: what is sent waits.
    #[default]
    Connecting,
    /// Both ways.
    Open(Rc<TcpStream>),
    /// What is queued still goes out, nothing more is taken.
    Closing,
    /// Nothing goes out any more.
    Cut,
}

impl Stream {
    /// The connection is up.
    pub(super) fn open(&self, socket: Rc<TcpStream>) {
        let mut phase = self.phase.borrow_mut();
        if matches!(*phase, Phase::Connecting) {
            *phase = Phase::Open(socket);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Open(_))
    }

    /// Whether anything was ever sent on it.
    pub(super) fn was_sent(&self) -> bool {
        self.was_sent.get()
    }

    /// Whether bytes wait for the kernel to take them.
    pub(super) fn owes(&self) -> bool {
        self.queued.get() > 0
    }

    /// Takes bytes to send, and writes them at once where nothing waits before them. Answers whether there was room: where there was
    /// none, the peer has stopped reading, and the connection is cut.
    pub(super) fn send(&self, mut bytes: Bytes, limit: usize) -> bool {
        self.was_sent.set(true);
        match &*self.phase.borrow() {
            Phase::Closing | Phase::Cut => return true,
            Phase::Open(socket) if !self.owes() => {
                // Broken or not ready: the task will see which.
                let written = socket.try_write(&bytes).unwrap_or(0);
                bytes.advance(written);
            }
            Phase::Open(_) | Phase::Connecting => {}
        }
        if bytes.is_empty() {
            return true;
        }
        let fits = self.queued.get() + bytes.len() <= limit;
        if fits {
            self.queued.set(self.queued.get() + bytes.len());
            self.queue.borrow_mut().push_back(bytes);
            self.changed.notify_one();
        } else {
            self.cut();
        }
        fits
    }

    /// Writes what the kernel takes.
    pub(super) fn write(&self, socket: &TcpStream) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        while let Some(first) = queue.front_mut() {
            match socket.try_write(first) {
                Ok(written) => {
                    first.advance(written);
                    self.queued.set(self.queued.get() - written);
                    if first.is_empty() {
                        queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The node wants it closed.
    pub(super) fn close(&self) {
        self.end();
        self.changed.notify_one();
    }

    /// Nothing more is taken; what is queued may go out.
    pub(super) fn end(&self) {
        let mut phase = self.phase.borrow_mut();
        if !matches!(*phase, Phase::Cut) {
            *phase = Phase::Closing;
        }
    }

    /// Nothing more goes either way.
    pub(super) fn cut(&self) {
        *self.phase.borrow_mut() = Phase::Cut;
        self.queue.borrow_mut().clear();
        self.queued.set(0);
        self.changed.notify_one();
    }

    /// Waits for a change of queue or phase.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Hands the kernel what is owed, and tells the peer that no more comes.
    pub(super) async fn deliver(&self, socket: &TcpStream) -> io::Result<()> {
        while self.owes() {
            socket.writable().await?;
            self.write(socket)?;
        }
        SockRef::from(socket).shutdown(Shutdown::Write)
    }
}

/// Waits for the peer to close too: closing while its bytes lie unread would reset the connection, and lose what it has not read yet
/// (RFC 1122 §4.2.2.13).
pub(super) async fn hear_out(socket: &TcpStream) -> io::Result<()> {
    let mut rest = [0; 1024];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
