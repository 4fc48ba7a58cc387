//! The pool of RTP ports: bound at the start, handed out without waiting, so that SDP can be written at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use media::Port;

use crate::node::WorkerId;

/// A port and the media thread that a leg there begins on.
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
        let (worker, ports) = self.free.iter_mut().max_by_key(|(_, ports)| ports.len())?;
        Some(Place { worker: *worker, port: ports.pop_front()? })
    }

    /// A port of this thread, as all legs of a bridge sit on one; of another where this one has none left: then the leg moves when it is joined.
    pub(crate) fn take_beside(&mut self, worker: WorkerId) -> Option<Place> {
        match self.free.get_mut(&worker).and_then(VecDeque::pop_front) {
            Some(port) => Some(Place { worker, port }),
            None => self.take(),
        }
    }

    /// To the thread it came from, wherever its leg went meanwhile.
    pub(crate) fn give_back(&mut self, place: Place) {
        self.free.entry(place.worker).or_default().push_back(place.port);
    }

    /// Whether the port, or its RTCP's, is of the pool, in use or not.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.all.contains(&Port(port & !1))
    }

    /// How many ports there are, in use or not.
    pub(crate) fn all(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn free(&self) -> usize {
        self.free.values().map(VecDeque::len).sum()
    }
}
