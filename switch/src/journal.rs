//! What is remembered of each call for whoever asks what happened: its phones, and a line for each of its SIP messages. Of a call that goes on,
//! and of the last ones that ended.
//!
//! Small on purpose: a line has sixteen bytes, of a long call the first and the last lines are kept, and nothing is written for people before
//! somebody asks. It decides nothing: the engine would do the same without it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

use cas::control::{CallId, Cause, MessageReport};
use cas::site::DeviceId;
use cas::time::{Now, Wall};
use media::{Codec, LegId, LegStats, PayloadMap};
use memchr::memchr;
use memchr::memmem::Finder;

use crate::call::{CallNo, Side};
use crate::histogram::Histogram;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method, Request};

/// Calls that are remembered after their end.
const ENDED: usize = 256;
/// Phones of one call that are remembered: twice as many as may have one extension.
const LEGS: usize = 32;
/// Of the messages of a call the first so many are kept …
const FIRST: usize = 24;
/// … and the last so many.
const LAST: usize = 24;
/// Codecs of a leg that are remembered.
const CODECS: usize = 6;

/// The methods that lines tell apart.
const METHODS: [Method; 14] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Register,
    Method::Options,
    Method::Info,
    Method::Update,
    Method::Prack,
    Method::Refer,
    Method::Notify,
    Method::Subscribe,
    Method::Message,
    Method::Publish,
];

/// What an SDP body may say of a stream that is not usual.
const DIRECTIONS: [&str; 3] = ["a=sendonly", "a=recvonly", "a=inactive"];

/// Made once: they are looked for in every body.
static FINDERS: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| DIRECTIONS.map(Finder::new));
static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// A Call-ID, as far as it takes to find it again: that two fall together is unlikely, and would cost a wrong line in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DialogKey(u64);

impl DialogKey {
    pub(crate) fn of(call_id: &[u8]) -> DialogKey {
        let mut hasher = DefaultHasher::new();
        hasher.write(call_id);
        DialogKey(hasher.finish())
    }

    /// That of a request.
    pub(crate) fn of_request(request: &Request) -> DialogKey {
        DialogKey::of(request.headers.get(&Name::CallId).unwrap_or_default())
    }
}

/// One message, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    after_usec: u64,
    leg: u8,
    from_phone: bool,
    what: What,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct What {
    /// 0 for a request.
    status: u16,
    /// Into [`METHODS`]; beyond for another.
    method: u8,
    /// Into [`DIRECTIONS`]; beyond for none.
    direction: u8,
}

/// A phone's part in a call.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) leg: LegId,
    pub(crate) side: Side,
    pub(crate) device: DeviceId,
    pub(crate) flow: Flow,
    /// Where its phone sends its sound.
    pub(crate) sound: SocketAddr,
    pub(crate) codecs: [Option<Codec>; CODECS],
    pub(crate) counted: Option<Box<(Wall, LegStats)>>,
}

impl Part {
    pub(crate) fn new(leg: LegId, side: Side, device: DeviceId, flow: Flow, sound: SocketAddr) -> Part {
        Part { leg, side, device, flow, sound, codecs: [None; CODECS], counted: None }
    }
}

/// A call that is over.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) caller: CallId,
    pub(crate) callee: CallId,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) ended: Wall,
    pub(crate) cause: Cause,
    pub(crate) talked_msec: u64,
}

/// What is remembered of one call.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) started: Now,
    pub(crate) parts: Vec<Part>,
    /// Once it is over.
    pub(crate) end: Option<Box<End>>,
    pub(crate) omitted: u32,
    first: Vec<Line>,
    last: VecDeque<Line>,
    /// Of each part.
    keys: Vec<DialogKey>,
    /// Those that parts had before.
    earlier: Vec<DialogKey>,
    /// Whether its caller's phone was told that it rings, and that it is answered.
    is_ringing: bool,
    is_answered: bool,
}

impl Entry {
    fn add(&mut self, line: Line) {
        if self.first.len() < FIRST {
            return self.first.push(line);
        }
        if self.last.len() >= LAST {
            self.last.pop_front();
            self.omitted = self.omitted.saturating_add(1);
        }
        self.last.push_back(line);
    }

    pub(crate) fn messages(&self) -> Vec<MessageReport> {
        let report = |line: &Line| MessageReport {
            after_usec: line.after_usec,
            leg: usize::from(line.leg),
            from_phone: line.from_phone,
            text: line.what.to_string(),
        };
        self.first.iter().chain(&self.last).map(report).collect()
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let method = METHODS.get(usize::from(self.method)).map_or("another method", Method::as_str);
        match self.status {
            0 => f.write_str(method)?,
            status => write!(f, "{status} to {method}")?,
        }
        DIRECTIONS.get(usize::from(self.direction)).map_or(Ok(()), |attribute| write!(f, ", {}", &attribute[2..]))
    }
}

impl What {
    fn new(status: u16, method: Option<&Method>, body: &[u8]) -> What {
        let method = METHODS.iter().position(|known| Some(known) == method).unwrap_or(METHODS.len()) as u8;
        let says = |attribute: &Finder<'_>| attribute.find(body).is_some();
        let direction = if body.is_empty() { None } else { FINDERS.iter().position(says) };
        What { status, method, direction: direction.unwrap_or(DIRECTIONS.len()) as u8 }
    }

    /// Of a message that came.
    fn heard(message: &Message) -> What {
        match message {
            Message::Request(request) => What::new(0, Some(&request.method), &request.body),
            Message::Response(response) => {
                let method = response.headers.cseq().ok().map(|cseq| &cseq.method);
                What::new(response.status.0, method, &response.body)
            }
        }
    }
}

fn last_word(text: &[u8]) -> &str {
    let word = text.rsplit(|byte| *byte == b' ').find(|word| !word.is_empty()).unwrap_or_default();
    std::str::from_utf8(word).unwrap_or_default()
}

/// The Call-ID of a message of ours, and what it is. Our own writing is known: long names, one blank, no folding.
fn said(bytes: &[u8]) -> Option<(DialogKey, What)> {
    let (mut key, mut answers) = (None, None);
    let mut rest = bytes;
    let mut lines = std::iter::from_fn(|| {
        let end = memchr(b'\n', rest)?;
        let line = &rest[..end.saturating_sub(1)];
        rest = &rest[end + 1..];
        Some(line)
    });
    let start = lines.next()?;
    let is_response = start.starts_with(b"SIP/2.0 ");
    for line in lines {
        if let Some(value) = line.strip_prefix(b"Call-ID: ") {
            key = Some(DialogKey::of(value));
        } else if let Some(value) = line.strip_prefix(b"CSeq: ") {
            answers = Some(last_word(value));
        }
        if line.is_empty() || (key.is_some() && answers.is_some()) {
            break;
        }
    }
    let body = HEAD_END.find(bytes).map_or(&b""[..], |end| &bytes[end + 4..]);
    let what = if is_response {
        let status = std::str::from_utf8(start.get(8..11)?).ok()?.parse().ok()?;
        What::new(status, answers.map(Method::from_token).as_ref(), body)
    } else {
        let end = memchr(b' ', start)?;
        What::new(0, Some(&Method::from_token(std::str::from_utf8(&start[..end]).ok()?)), body)
    };
    Some((key?, what))
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The instant of the step: what is said in it is said now.
    now: Instant,
    entries: BTreeMap<CallNo, Entry>,
    /// Those that are over, the oldest first.
    ended: VecDeque<CallNo>,
    dialogs: BTreeMap<DialogKey, (CallNo, u8)>,
    legs: BTreeMap<LegId, CallNo>,
    /// A request that belongs to no call yet, and may begin one.
    newcomer: Option<(DialogKey, What)>,
    pub(crate) setup: SetupTimes,
}

/// How long callers waited: from a phone's INVITE to what it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetupTimes {
    /// To the first 180.
    pub(crate) ringing: Histogram,
    /// To the 200.
    pub(crate) answer: Histogram,
}

impl Journal {
    pub(crate) fn new(now: Now) -> Journal {
        Journal {
            now: now.mono,
            entries: BTreeMap::new(),
            ended: VecDeque::new(),
            dialogs: BTreeMap::new(),
            legs: BTreeMap::new(),
            newcomer: None,
            setup: SetupTimes::default(),
        }
    }

    /// What is said from here on is said at this instant.
    pub(crate) fn turn(&mut self, now: Now) {
        self.now = now.mono;
    }

    pub(crate) fn begin(&mut self, no: CallNo, now: Now) {
        let entry = Entry {
            started: now,
            parts: Vec::new(),
            end: None,
            omitted: 0,
            first: Vec::new(),
            last: VecDeque::new(),
            keys: Vec::new(),
            earlier: Vec::new(),
            is_ringing: false,
            is_answered: false,
        };
        self.entries.insert(no, entry);
    }

    /// A phone gets a part in the call; its messages have this Call-ID.
    pub(crate) fn part(&mut self, no: CallNo, key: DialogKey, part: Part) {
        let Some(entry) = self.entries.get_mut(&no).filter(|entry| entry.parts.len() < LEGS) else { return };
        let index = entry.parts.len() as u8;
        self.dialogs.insert(key, (no, index));
        self.legs.insert(part.leg, no);
        entry.keys.push(key);
        entry.parts.push(part);
        if let Some((_, what)) = self.newcomer.take().filter(|(newcomer, _)| *newcomer == key) {
            entry.add(Line { after_usec: 0, leg: index, from_phone: true, what });
        }
    }

    /// A phone's messages have this Call-ID from now on.
    pub(crate) fn also(&mut self, leg: LegId, key: DialogKey) {
        let Some(no) = self.legs.get(&leg) else { return };
        let Some(entry) = self.entries.get_mut(no) else { return };
        if let Some(index) = entry.parts.iter().position(|part| part.leg == leg) {
            let before = std::mem::replace(&mut entry.keys[index], key);
            // What is still said of the one before is the part's, too.
            entry.earlier.push(before);
            self.dialogs.insert(key, (*no, index as u8));
        }
    }

    /// A phone's part goes on in another call: from now on its messages are that one's.
    pub(crate) fn hand_over(&mut self, leg: LegId, to: CallNo, side: Side) {
        let entry = self.legs.get(&leg).and_then(|from| self.entries.get(from));
        let index = entry.and_then(|entry| entry.parts.iter().position(|part| part.leg == leg));
        let (Some(entry), Some(index)) = (entry, index) else { return };
        let (key, part) = (entry.keys[index], &entry.parts[index]);
        let part = Part {
            leg,
            side,
            device: part.device,
            flow: part.flow,
            sound: part.sound,
            codecs: part.codecs,
            counted: None,
        };
        self.part(to, key, part);
    }

    /// A message came.
    pub(crate) fn heard(&mut self, now: Instant, message: &Message) {
        let headers = match message {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        };
        let Some(key) = headers.get(&Name::CallId).map(DialogKey::of) else { return };
        if self.dialogs.contains_key(&key) {
            self.add(now, key, true, What::heard(message));
        } else {
            let begins = matches!(message, Message::Request(request) if request.method == Method::Invite);
            self.newcomer = begins.then(|| (key, What::heard(message)));
        }
    }

    /// A message is sent.
    pub(crate) fn said(&mut self, bytes: &[u8]) {
        if self.dialogs.is_empty() {
            return;
        }
        if let Some((key, what)) = said(bytes) {
            self.add(self.now, key, false, what);
        }
    }

    fn add(&mut self, now: Instant, key: DialogKey, from_phone: bool, what: What) {
        let Some(&(no, leg)) = self.dialogs.get(&key) else { return };
        let Some(entry) = self.entries.get_mut(&no) else { return };
        let after = now.saturating_duration_since(entry.started.mono);
        if !from_phone && leg == 0 && METHODS.get(usize::from(what.method)) == Some(&Method::Invite) {
            match what.status {
                180..200 if !std::mem::replace(&mut entry.is_ringing, true) => self.setup.ringing.add(after),
                200 if !std::mem::replace(&mut entry.is_answered, true) => self.setup.answer.add(after),
                _ => {}
            }
        }
        let after_usec = after.as_micros() as u64;
        entry.add(Line { after_usec, leg, from_phone, what });
    }

    /// What offer and answer settled for a leg.
    pub(crate) fn settled(&mut self, leg: LegId, payloads: &PayloadMap) {
        if let Some(part) = self.part_of(leg) {
            let mut codecs = payloads.0.iter().map(|(_, codec)| *codec);
            part.codecs = std::array::from_fn(|_| codecs.next());
        }
    }

    /// What a leg's stream has counted.
    pub(crate) fn counted(&mut self, leg: LegId, now: Now, stats: &LegStats) {
        if let Some(part) = self.part_of(leg) {
            part.counted = Some(Box::new((now.wall, *stats)));
        }
    }

    fn part_of(&mut self, leg: LegId) -> Option<&mut Part> {
        let entry = self.entries.get_mut(self.legs.get(&leg)?)?;
        entry.parts.iter_mut().find(|part| part.leg == leg)
    }

    /// A call is over, and is forgotten when so many others are.
    pub(crate) fn end(&mut self, no: CallNo, end: End) {
        let Some(entry) = self.entries.get_mut(&no) else { return };
        entry.end = Some(Box::new(end));
        self.ended.push_back(no);
        if self.ended.len() > ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, no: CallNo) {
        let Some(entry) = self.entries.remove(&no) else { return };
        for key in entry.keys.into_iter().chain(entry.earlier) {
            // A phone may have used the Call-ID again, for another call.
            if self.dialogs.get(&key).is_some_and(|(owner, _)| *owner == no) {
                self.dialogs.remove(&key);
            }
        }
        for part in entry.parts {
            // It may go on in another call.
            if self.legs.get(&part.leg) == Some(&no) {
                self.legs.remove(&part.leg);
            }
        }
    }

    /// The call that messages of this dialog belong to.
    pub(crate) fn call_of(&self, key: DialogKey) -> Option<CallNo> {
        self.dialogs.get(&key).map(|(no, _)| *no)
    }

    pub(crate) fn entry(&self, no: CallNo) -> Option<&Entry> {
        self.entries.get(&no)
    }

    /// Those that are over, the oldest first.
    pub(crate) fn ended(&self) -> impl DoubleEndedIterator<Item = (CallNo, &Entry, &End)> {
        self.ended.iter().filter_map(|no| {
            let entry = self.entries.get(no)?;
            Some((*no, entry, entry.end.as_deref()?))
        })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len() + self.dialogs.len() + self.legs.len()
    }
}

#[cfg(test)]
mod tests;
