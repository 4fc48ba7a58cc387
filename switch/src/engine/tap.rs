//! What of the wire an operator wants to see: every SIP message, or those of one call; and which legs' sound belongs to them.
//!
//! Pure as all of the engine: what is to be written is an output, with its secrets covered before it leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use cas::control::CallId;
use media::Port;
use memchr::memchr;

use super::Engine;
use crate::call::CallNo;
use crate::journal::{DialogKey, Part};
use crate::node::Output;
use crate::sip::flow::{Flow, StreamId};
use crate::sip::redact::redacted;

/// What is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// All there is.
    Everything,
    /// The call with this end.
    Call(CallId),
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A SIP message.
    Message {
        /// Between whom.
        flow: Flow,
        /// Whether it came, or went.
        incoming: bool,
        /// Its bytes, the secrets covered.
        bytes: Bytes,
    },
    /// A leg whose sound is to be seen: at this address and port, as its phone was told.
    Leg(SocketAddr),
    /// It is over.
    LegEnded(Port),
}

/// A wish that is being fulfilled.
#[derive(Debug)]
pub(crate) struct Tap {
    only: Option<CallNo>,
    streams: BTreeMap<StreamId, Raw>,
}

/// What has come on a stream and is no whole message yet.
#[derive(Debug)]
struct Raw {
    bytes: BytesMut,
    /// How much of the stream came before it.
    from: u64,
    /// Whether it begins with a message: where the tap was set within one, the rest of that cannot be read, nor its secrets found.
    is_whole: bool,
}

impl Raw {
    /// What of it comes before this place in the stream.
    fn up_to(&mut self, place: u64) -> BytesMut {
        let length = usize::try_from(place.saturating_sub(self.from)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.from += length as u64;
        self.bytes.split_to(length)
    }
}

impl Engine {
    /// Whether there is such a call, or was one lately.
    pub fn has_call(&self, id: CallId) -> bool {
        self.call_no(id).is_some()
    }

    fn call_no(&self, id: CallId) -> Option<CallNo> {
        let ended = || self.journal.ended().find(|(_, _, end)| end.caller == id || end.callee == id).map(|(no, ..)| no);
        self.table.end(id).map(|(no, _)| no).or_else(ended)
    }

    /// From now on this is seen, or nothing.
    pub(crate) fn set_tap(&mut self, wish: Option<Wish>) {
        self.tap = wish.map(|wish| Tap {
            only: match wish {
                Wish::Everything => None,
                // A call that is not there has nothing to be seen.
                Wish::Call(id) => Some(self.call_no(id).unwrap_or(CallNo(0))),
            },
            streams: BTreeMap::new(),
        });
        let legs: Vec<_> = self.table.legs().map(|(_, leg)| (leg.call, leg.sdp.local())).collect();
        for (no, (ip, port)) in legs {
            self.tap_leg(no, SocketAddr::new(ip, port));
        }
    }

    /// A phone gets a part in a call.
    pub(crate) fn take_part(&mut self, no: CallNo, key: DialogKey, part: Part) {
        self.tap_leg(no, part.sound);
        self.journal.part(no, key, part);
    }

    fn tap_leg(&mut self, no: CallNo, sound: SocketAddr) {
        if self.tap.as_ref().is_some_and(|tap| tap.only.is_none_or(|only| only == no)) {
            self.outputs.push_back(Output::Traced(Seen::Leg(sound)));
        }
    }

    pub(super) fn tap_leg_ended(&mut self, port: Port) {
        if self.tap.is_some() {
            self.outputs.push_back(Output::Traced(Seen::LegEnded(port)));
        }
    }

    /// A whole message came, or goes.
    pub(super) fn tap_message(&mut self, flow: Flow, incoming: bool, bytes: &[u8]) {
        let Some(tap) = &self.tap else { return };
        // Line ends that keep a flow open are none.
        if !bytes.iter().any(u8::is_ascii_graphic) {
            return;
        }
        if tap.only.is_none_or(|only| key_of(bytes).and_then(|key| self.journal.call_of(key)) == Some(only)) {
            let bytes = Bytes::from(redacted(bytes));
            self.outputs.push_back(Output::Traced(Seen::Message { flow, incoming, bytes }));
        }
    }

    /// Bytes come on a stream, and are with the endpoint next.
    pub(super) fn tap_pushed(&mut self, stream: StreamId, bytes: &[u8]) {
        // Those of a stream that has ended are nobody's.
        if !self.endpoint.is_up(stream) {
            return;
        }
        let from = self.endpoint.pushed_of(stream);
        let is_whole = !self.endpoint.is_mid_message(stream);
        let Some(tap) = &mut self.tap else { return };
        let raw = tap.streams.entry(stream).or_insert(Raw { bytes: BytesMut::new(), from, is_whole });
        raw.bytes.extend_from_slice(bytes);
    }

    /// A message was read from it, to its end.
    pub(super) fn tap_read(&mut self, stream: StreamId, flow: Flow) {
        let read = self.endpoint.read_of(stream);
        let Some(raw) = self.tap.as_mut().and_then(|tap| tap.streams.get_mut(&stream)) else { return };
        let message = raw.up_to(read);
        if std::mem::replace(&mut raw.is_whole, true) {
            self.tap_message(flow, true, &message);
        }
    }

    /// No other message can be read from it until more comes. What is not the beginning of one is dropped: line ends between messages, and whatever comes
    /// after the stream could no longer be followed. So no more is kept than the endpoint keeps.
    pub(super) fn tap_waits(&mut self, stream: StreamId) {
        let read = self.endpoint.read_of(stream);
        let Some(tap) = &mut self.tap else { return };
        if let Some(raw) = tap.streams.get_mut(&stream) {
            raw.up_to(read);
            if raw.bytes.is_empty() {
                tap.streams.remove(&stream);
            }
        }
    }

    pub(super) fn tap_closed(&mut self, stream: StreamId) {
        if let Some(tap) = &mut self.tap {
            tap.streams.remove(&stream);
        }
    }
}

/// The Call-ID of whatever this is, well formed or not.
fn key_of(bytes: &[u8]) -> Option<DialogKey> {
    let mut rest = bytes;
    while let Some(end) = memchr(b'\n', rest) {
        let line = rest[..end].trim_ascii();
        rest = &rest[end + 1..];
        let colon = memchr(b':', line).unwrap_or(0);
        let name = line[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i") {
            return Some(DialogKey::of(line[colon + 1..].trim_ascii()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use cas::site::{DigestPolicy, Site};
    use cas::store::Snapshot;
    use cas::time::{Now, Wall};

    use super::*;
    use crate::engine::At;
    use crate::entropy::Seeded;
    use crate::node::{Limits, Settings};
    use crate::sip::flow::Channel;

    const STREAM: StreamId = StreamId(2);

    /// An engine with a connection that a stranger has opened.
    struct Wire {
        engine: Engine,
        site: Site,
        now: Now,
    }

    impl Wire {
        fn new() -> Wire {
            let settings = Settings {
                domain: "switch.local".into(),
                digest: DigestPolicy::Md5,
                media_address: None,
                ports: Vec::new(),
                max_calls: 10,
                follow_redirects: true,
                music_of: BTreeMap::new(),
                hold_reminder: None,
                announcements: crate::sounds::announcement::Audience::Nobody,
                max_transactions: 100,
                max_bindings: 16,
                plan: cas::site::plan::Plan::default(),
                limits: Limits::default(),
                cas: cas::cas::Settings::default(),
            };
            let (now, snapshot) = (Now { mono: Instant::now(), wall: Wall(0) }, Snapshot::default());
            let site = Site::new(&snapshot);
            let mut engine = Engine::new(now, &settings, &site, &snapshot, Box::new(Seeded::new(7)));
            let address = |text: &str| text.parse().unwrap();
            let flow = Flow {
                channel: Channel::Tcp(STREAM),
                local: address("192.0.2.1:5060"),
                peer: address("192.0.2.66:5060"),
            };
            engine.flow_opened(At { now, site: &site }, flow);
            Wire { engine, site, now }
        }

        fn tapped() -> Wire {
            let mut wire = Wire::new();
            wire.engine.set_tap(Some(Wish::Everything));
            wire
        }

        fn push(&mut self, bytes: &[u8]) {
            self.engine.stream(At { now: self.now, site: &self.site }, STREAM, bytes);
        }

        /// What was seen to come since the last time.
        fn seen(&mut self) -> Vec<String> {
            let message = |output| match output {
                Output::Traced(Seen::Message { incoming: true, bytes, .. }) => {
                    Some(String::from_utf8(bytes.to_vec()).unwrap())
                }
                _ => None,
            };
            self.engine.outputs.drain(..).filter_map(message).collect()
        }

        fn kept(&self) -> usize {
            self.engine.tap.as_ref().unwrap().streams.values().map(|raw| raw.bytes.len()).sum()
        }
    }

    /// A response to nothing, which nobody answers.
    fn message(number: usize) -> String {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
             Call-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
        )
    }

    #[test]
    fn messages_of_a_stream_are_seen_wherever_its_bytes_are_cut() {
        let messages: Vec<String> = (0..3).map(message).collect();
        let stream = format!("\r\n{}\r\n\r\n{}{}\r\n", messages[0], messages[1], messages[2]);
        for piece in 1..stream.len() {
            let mut wire = Wire::tapped();
            for bytes in stream.as_bytes().chunks(piece) {
                wire.push(bytes);
            }
            let seen = wire.seen();
            assert_eq!(seen.len(), 3, "in pieces of {piece}: {seen:?}");
            assert!(seen.iter().zip(&messages).all(|(seen, message)| seen.ends_with(message.as_str())), "{seen:?}");
            // The last line end may become a ping.
            assert!(wire.kept() <= 2, "in pieces of {piece}");
        }
    }

    #[test]
    fn where_the_tap_is_set_within_a_message_the_next_one_is_whole() {
        let (first, second) = (message(1), message(2));
        for cut in 1..first.len() {
            let mut wire = Wire::new();
            wire.push(&first.as_bytes()[..cut]);
            wire.engine.set_tap(Some(Wish::Everything));
            wire.push(&first.as_bytes()[cut..]);
            wire.push(second.as_bytes());
            assert_eq!(wire.seen(), [second.as_str()], "cut at {cut}");
            let mut wire = Wire::new();
            wire.push(&first.as_bytes()[..cut]);
            wire.engine.set_tap(Some(Wish::Everything));
            wire.push(format!("{}{second}", &first[cut..]).as_bytes());
            assert_eq!(wire.seen(), [second.as_str()], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_message_is_not_kept() {
        let mut wire = Wire::tapped();
        for _ in 0..1000 {
            wire.push(&[b'\n'; 100]);
            assert_eq!(wire.kept(), 0);
        }
        // A stream that can no longer be followed, from a peer that goes on.
        for _ in 0..1000 {
            wire.push(b"no SIP\r\n\r\nat all\r\n\r\n");
            assert_eq!(wire.kept(), 0);
        }
        wire.engine.flow_closed(At { now: wire.now, site: &wire.site }, STREAM);
        wire.push(b"late");
        assert_eq!(wire.kept(), 0);
        // A head without an end is kept as long as the endpoint keeps it.
        let mut wire = Wire::tapped();
        for _ in 0..1000 {
            wire.push(&[b'x'; 100]);
            assert!(wire.kept() <= 70_000);
        }
        assert_eq!(wire.kept(), 0);
    }
}
