//! The legs of a worker: found by name for commands, by slot on the way of a packet.

use std::collections::BTreeMap;

use crate::command::{LegId, Port};
use crate::stream::Leg;

/// The place of a leg while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// A slab that grows only when a leg is added. There are never more legs than ports.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    slots: Vec<Option<Leg>>,
    free: Vec<Slot>,
    by_id: BTreeMap<LegId, Slot>,
    by_port: BTreeMap<Port, Slot>,
}

impl Legs {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Every slot, with or without a leg.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.slots.len()).map(Slot)
    }

    pub(crate) fn find(&self, id: LegId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn is_used(&self, port: Port) -> bool {
        self.by_port.contains_key(&port)
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
        self.by_port.insert(leg.port, slot);
        self.slots[slot.0] = Some(leg);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Leg> {
        let leg = self.slots.get_mut(slot.0)?.take()?;
        self.by_id.remove(&leg.id);
        self.by_port.remove(&leg.port);
        self.free.push(slot);
        Some(leg)
    }
}
