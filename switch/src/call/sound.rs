//! A leg's sound in the media plane: opened, told what was agreed, joined, closed.

use std::net::SocketAddr;

use cas::store::HistoryRecord;
use media::{Stream, StreamStart};

use super::CallNo;
use super::leg::{Leg, LegId};
use super::offer::agreed;
use super::party::PartyState;
use super::table::Closing;
use crate::engine::Engine;
use crate::ports::Place;
use crate::service::Service;

impl Engine {
    pub(crate) fn open_media(&mut self, leg: LegId, place: Place) {
        let random = self.endpoint.entropy.number();
        // The sequence begins in the lower half, so that no receiver takes an early wrap for a restart (RFC 3711 §3.3.1).
        let start = StreamStart {
            ssrc: random as u32,
            sequence: (random >> 32) as u16 & 0x7fff,
            timestamp: self.endpoint.entropy.number() as u32,
        };
        let told = self.seats.open(leg, place, start);
        self.media(told);
    }

    /// Tells the media plane what the last exchange of a leg has settled.
    pub(crate) fn update_media(&mut self, id: LegId) {
        let Some(leg) = self.table.leg(id).filter(|leg| leg.is_agreed()) else { return };
        let Some(audio) = &leg.audio else { return };
        // Who names one of our own ports as his wants the switch to talk to itself without end.
        let ours = [leg.sdp.local().0, leg.flow().local.ip()];
        let elsewhere = |remote: &SocketAddr| !(ours.contains(&remote.ip()) && self.ports.has(remote.port()));
        let stream = Stream {
            remote: audio.rtp.filter(elsewhere),
            remote_rtcp: audio.rtcp.filter(elsewhere),
            send: audio.direction.receives() && leg.direction.sends(),
            receive: audio.direction.sends() && leg.direction.receives(),
            incoming: leg.sdp.payloads().clone(),
            outgoing: agreed(audio, leg.sdp.payloads()),
        };
        self.journal.settled(id, &stream.outgoing);
        let told = self.seats.update(id, stream);
        self.media(told);
    }

    /// Lets the two parties of a call hear each other, as far as both have a leg whose sound is agreed, and once they sit on one thread; or the caller
    /// himself, where that is what he has called.
    pub(crate) fn join(&mut self, no: CallNo) {
        let Some(call) = self.table.call(no) else { return };
        if let PartyState::Service(Service::Echo) = call.callee.state {
            return self.echo(no);
        }
        let (Some(a), Some(b)) = (call.caller.speaker(), call.callee.speaker()) else { return };
        if [a, b].iter().all(|id| self.table.leg(*id).is_some_and(Leg::is_agreed)) {
            let told = self.seats.join(a, b);
            self.media(told);
        }
    }

    pub(crate) fn close_media(&mut self, id: LegId, place: Place, record: Option<HistoryRecord>) {
        let told = self.seats.close(id);
        self.media(told);
        self.table.close(id, Closing::new(place, record));
    }
}
