//! What of the wire an operator wants to see: every SIP message, or those of one call; and which legs' sound belongs to them.
//!
//! Pure as all of the engine: what is to be written is an output, with its secrets covered before it leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
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
    bytes: Vec<u8>,
    /// How much of the stream was read before it.
    from: u64,
    /// Whether it begins with a message: where the tap was set within one, the rest of that cannot be read, nor its secrets found.
    is_whole: bool,
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

    /// Bytes came on a stream, and have not been read yet.
    pub(super) fn tap_pushed(&mut self, stream: StreamId, bytes: &[u8]) {
        let from = self.endpoint.read_of(stream);
        let is_whole = !self.endpoint.is_mid_message(stream);
        let Some(tap) = &mut self.tap else { return };
        let raw = tap.streams.entry(stream).or_insert(Raw { bytes: Vec::new(), from, is_whole });
        raw.bytes.extend_from_slice(bytes);
    }

    /// A message was read from it, to its end.
    pub(super) fn tap_read(&mut self, stream: StreamId, flow: Flow) {
        let read = self.endpoint.read_of(stream);
        let Some(raw) = self.tap.as_mut().and_then(|tap| tap.streams.get_mut(&stream)) else { return };
        let length = usize::try_from(read.saturating_sub(raw.from)).unwrap_or(usize::MAX).min(raw.bytes.len());
        let message: Vec<u8> = raw.bytes.drain(..length).collect();
        raw.from = read;
        if std::mem::replace(&mut raw.is_whole, true) {
            self.tap_message(flow, true, &message);
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
