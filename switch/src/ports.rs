//! The pool of RTP ports: bound at the start, handed out without waiting, so that SDP can be written at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use media::Port;

use crate::node::WorkerId;

/// A port and the media thread that owns its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) worker: WorkerId,
    pub(crate) port: Port,
}

/// Free ports, the one unused for longest first: a late packet of an ended call finds nobody.
pub(crate) struct Ports {
    free: BTreeMap<WorkerId, VecDeque<Port>>,
    all: BTreeSet<Port>,
}

impl Ports {
    /// Handed out from a place that `random` tells: after a restart, who still sends to a port of before is unlikely to meet a new call there.
    pub(crate) fn new(ports: &[(WorkerId, Port)], random: u64) -> Ports {
        let mut free: BTreeMap<WorkerId, VecDeque<Port>> = BTreeMap::new();
        for (worker, port) in ports {
            free.entry(*worker).or_default().push_back(*port);
        }
        for ports in free.values_mut() {
            ports.rotate_left((random % ports.len() as u64) as usize);
        }
        Ports { free, all: ports.iter().map(|(_, port)| *port).collect() }
    }

    /// A port of the thread that has most of them free.
    pub(crate) fn take(&mut self) -> Option<Place> {
        let worker = *self.free.iter().max_by_key(|(_, ports)| ports.len())?.0;
        self.take_beside(worker)
    }

    /// A port of this thread: all legs of a bridge sit on one.
    pub(crate) fn take_beside(&mut self, worker: WorkerId) -> Option<Place> {
        let port = self.free.get_mut(&worker)?.pop_front()?;
        Some(Place { worker, port })
    }

    pub(crate) fn give_back(&mut self, place: Place) {
        self.free.entry(place.worker).or_default().push_back(place.port);
    }

    /// Whether the port, or its RTCP's, is of the pool, in use or not.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.all.contains(&Port(port & !1))
    }

    pub(crate) fn free(&self) -> usize {
        self.free.values().map(VecDeque::len).sum()
    }
}
