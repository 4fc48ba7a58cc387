//! Who hears whom: legs joined in pairs, or to themselves.

use std::time::Instant;

use crate::legs::{Legs, Slot};
use crate::outbox::Outbox;
use crate::stream::Packet;

/// Where the sound of a leg goes. Always mutual: if one hears the other, the other hears the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Nowhere.
    Nobody,
    /// Back to the telephone it came from.
    Itself,
    /// To another leg.
    Peer(Slot),
}

/// Joins two legs; what each was joined to before hears nothing any more. Two that are joined stay so, without a break.
pub(crate) fn join(legs: &mut Legs, a: Slot, b: Slot) {
    let (wanted_a, wanted_b) =
        if a == b { (Joined::Itself, Joined::Itself) } else { (Joined::Peer(b), Joined::Peer(a)) };
    if legs.get(a).is_some_and(|leg| leg.joined == wanted_a) {
        return;
    }
    part(legs, a);
    part(legs, b);
    for (slot, joined) in [(a, wanted_a), (b, wanted_b)] {
        if let Some(leg) = legs.get_mut(slot) {
            leg.joined = joined;
            leg.interrupt();
        }
    }
}

/// Ends whatever a leg was joined to.
pub(crate) fn part(legs: &mut Legs, slot: Slot) {
    let Some(leg) = legs.get_mut(slot) else { return };
    let joined = std::mem::replace(&mut leg.joined, Joined::Nobody);
    if let Joined::Peer(peer) = joined
        && let Some(peer) = legs.get_mut(peer)
    {
        peer.joined = Joined::Nobody;
    }
}

/// Passes a packet that came at a leg on to whoever hears it.
pub(crate) fn forward(
    legs: &mut Legs,
    now: Instant,
    at: Slot,
    packet: Packet,
    datagram: &mut [u8],
    outbox: &mut Outbox,
) {
    let to = match legs.get(at).map(|leg| leg.joined) {
        Some(Joined::Itself) => at,
        Some(Joined::Peer(peer)) => peer,
        Some(Joined::Nobody) | None => return,
    };
    if let Some(address) = legs.get_mut(to).and_then(|leg| leg.relay(now, packet, datagram)) {
        outbox.push(to, address, packet.payload, datagram);
    }
}
