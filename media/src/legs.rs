//! The legs of a worker: found by name for commands, by slot on the way of a packet.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::command::{LegId, Port};
use crate::stream::Leg;

/// The place of a leg while it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// A slab that grows only when a leg is added. There are never more legs than ports.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    slots: Vec<Option<Leg>>,
    free: Vec<Slot>,
    by_id: BTreeMap<LegId, Slot>,
    /// By the number of the port: looked at for each packet.
    by_port: Vec<Option<Slot>>,
}

impl Legs {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Those for which time brings something.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = Slot> {
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, leg)| leg.as_ref().is_some_and(|leg| leg.is_due(now))).map(|(slot, _)| Slot(slot))
    }

    /// Every slot, with or without a leg.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.slots.len()).map(Slot)
    }

    pub(crate) fn find(&self, id: LegId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn is_used(&self, port: Port) -> bool {
        self.at(port).is_some()
    }

    /// Where the leg of a port is.
    pub(crate) fn at(&self, port: Port) -> Option<Slot> {
        *self.by_port.get(usize::from(port.0))?
    }

    /// The ports of all legs.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Port> {
        self.slots.iter().flatten().map(|leg| leg.port)
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Leg> {
        self.slots.get(slot.0)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Leg> {
        self.slots.get_mut(slot.0)?.as_mut()
    }

    /// Adds a leg whose name and port no other has.
    pub(crate) fn insert(&mut self, leg: Leg) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Room for every slot, so that taking a leg out never allocates.
            self.free.reserve(self.slots.len());
            Slot(self.slots.len() - 1)
        });
        self.by_id.insert(leg.id, slot);
        let port = usize::from(leg.port.0);
        if self.by_port.len() <= port {
            self.by_port.resize(port + 1, None);
        }
        self.by_port[port] = Some(slot);
        self.slots[slot.0] = Some(leg);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Leg> {
        let leg = self.slots.get_mut(slot.0)?.take()?;
        self.by_id.remove(&leg.id);
        self.by_port[usize::from(leg.port.0)] = None;
        self.free.push(slot);
        Some(leg)
    }
}
