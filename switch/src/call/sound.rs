//! A leg's sound in the media plane: opened, told what was agreed, joined, closed.

use std::net::SocketAddr;

use cas::store::HistoryRecord;
use media::{Stream, StreamStart};

use super::leg::{LegId, LegState};
use super::offer::agreed;
use super::table::Closing;
use crate::engine::Engine;
use crate::ports::Place;

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
        let Some(leg) = self.table.leg(id) else { return };
        let LegState::Up(up) = &leg.state else { return };
        // Who names one of our own ports as his wants the switch to talk to itself without end.
        let ours = [leg.sdp.local().0, up.dialog.flow().local.ip()];
        let elsewhere = |remote: &SocketAddr| !(ours.contains(&remote.ip()) && self.ports.has(remote.port()));
        let stream = Stream {
            remote: up.audio.rtp.filter(elsewhere),
            remote_rtcp: up.audio.rtcp.filter(elsewhere),
            send: up.audio.direction.receives() && up.direction.sends(),
            receive: up.audio.direction.sends() && up.direction.receives(),
            incoming: leg.sdp.payloads().clone(),
            outgoing: agreed(&up.audio, leg.sdp.payloads()),
        };
        let told = self.seats.update(id, stream);
        self.media(told);
    }

    /// The two hear each other, once they sit on one thread.
    pub(crate) fn join_media(&mut self, a: LegId, b: LegId) {
        let told = self.seats.join(a, b);
        self.media(told);
    }

    pub(crate) fn close_media(&mut self, id: LegId, place: Place, record: Option<HistoryRecord>) {
        let told = self.seats.close(id);
        self.media(told);
        self.table.close(id, Closing { place, record });
    }
}
