//! What is to be sent, kept until there is a batch of it. Receiving and sending each walk through much of the kernel: done in turn for every packet, they
//! push each other out of the processor's caches, which costs a tenth of the time.

use std::net::SocketAddr;

use crate::legs::Slot;

/// Datagrams kept.
const DATAGRAMS: usize = 128;
/// Bytes kept of all of them together: those of so many packets of sound, and of fewer if they are long.
const BYTES: usize = 32 * 1024;

/// Datagrams of sound.
#[derive(Debug)]
pub(crate) struct Outbox {
    datagrams: Vec<Outgoing>,
    bytes: Vec<u8>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The leg it belongs to.
    pub(crate) leg: Slot,
    pub(crate) to: SocketAddr,
    /// How much of it is payload.
    pub(crate) payload: usize,
    /// How long it is.
    length: usize,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        Outbox { datagrams: Vec::with_capacity(DATAGRAMS), bytes: Vec::with_capacity(BYTES) }
    }

    /// Whether there is room for one of so many bytes.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.datagrams.len() < DATAGRAMS && self.bytes.len() + length <= BYTES
    }

    pub(crate) fn push(&mut self, leg: Slot, to: SocketAddr, payload: usize, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push(Outgoing { leg, to, payload, length: datagram.len() });
    }

    /// Gives out all, in the order they came.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Outgoing, &[u8])) {
        let mut rest = &self.bytes[..];
        for outgoing in self.datagrams.drain(..) {
            let (datagram, after) = rest.split_at(outgoing.length);
            each(outgoing, datagram);
            rest = after;
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(length: usize) -> (Outbox, usize) {
        let mut outbox = Outbox::new();
        let mut count = 0;
        while outbox.has_room(length) {
            let to = SocketAddr::from(([127, 0, 0, 1], count as u16));
            outbox.push(Slot::default(), to, length - 12, &vec![count as u8; length]);
            count += 1;
        }
        (outbox, count)
    }

    #[test]
    fn what_is_kept_comes_out_in_order_and_whole() {
        let (mut outbox, count) = filled(172);
        assert_eq!(count, DATAGRAMS);
        let mut seen = 0;
        outbox.drain(|outgoing, datagram| {
            assert_eq!((outgoing.to.port(), outgoing.payload), (seen, 160));
            assert_eq!(datagram, [seen as u8; 172]);
            seen += 1;
        });
        assert_eq!(usize::from(seen), count);
        outbox.drain(|_, _| panic!("nothing is left"));
    }

    #[test]
    fn of_long_ones_there_is_room_for_fewer() {
        assert_eq!(filled(1400).1, BYTES / 1400);
        assert!(!Outbox::new().has_room(BYTES + 1));
    }
}
