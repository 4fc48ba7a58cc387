//! Who hears whom: every telephone speaks a tone of its own, and each hears its partner, the switch's music while that one has put it on hold, or nothing. Who
//! the partner is, is asked of the engine's calls after each step (`Engine::partners`, in `switch/src/audit.rs`), so that it holds through redirections and
//! transfers; who holds, of the telephones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{LegId, SoundId};
use switch::demo::phone::{Phone, Status};
use switch::engine::Waits;
use switch::sounds::{MUSIC, MUSIC_OF_USERS, RINGBACK};

use super::deed::Deed;
use super::{PhoneId, Weather, World, sounds};

/// An RTP header without extensions.
const HEADER: usize = 12;
/// Shorter is no sound.
const SOUND: usize = 100;
/// How long a packet may be under way, or a telephone in learning what the switch knows.
const LATE: Duration = Duration::from_secs(2);
/// Those whom this user holds hear other music.
const OTHER_MUSIC: &str = "503";

/// What the world knows of who hears whom.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Whose a packet's sound is: there are few different ones of each tone.
    sounds: BTreeMap<Bytes, Mouth>,
    /// What of the switch's words each telephone has heard, packet by packet.
    said: BTreeMap<PhoneId, Vec<SoundId>>,
    /// The legs that the engine says may hear each other, and its tags in their dialogs.
    partners: BTreeMap<(LegId, LegId), [String; 2]>,
    /// By these tags, either way round: since when they may, and until when they might.
    pairs: BTreeMap<[String; 2], Pair>,
    /// When a telephone that knows nothing of a restart last spoke to a port.
    strays: BTreeMap<u16, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    since: Instant,
    over: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mouth {
    Phone(PhoneId),
    Switch(SoundId),
}

impl Hearing {
    pub(super) fn new() -> Hearing {
        let sounds = sounds::packets().map(|(packet, sound)| (packet, Mouth::Switch(sound))).collect();
        Hearing { sounds, ..Hearing::default() }
    }
}

/// A call of a telephone, as it sees it.
#[derive(Clone, Debug)]
pub(super) struct Talked {
    call_id: String,
    far: String,
    /// The switch's tag in its dialog, once that has one.
    tag: Option<String>,
    /// Where it speaks to, and since when.
    to: Option<(SocketAddr, Instant)>,
    /// Who was heard last.
    last: Option<(PhoneId, Instant)>,
    /// Since when it is on hold by its own telephone.
    held: Option<Instant>,
    /// Whether it is, or may be, on hold by its own telephone or by its user's client, and when it last was.
    holds: bool,
    holding: Option<Instant>,
    /// Which sound of the switch was heard last.
    sound: Option<(SoundId, Instant)>,
    over: Option<Instant>,
}

impl World {
    /// After anything a telephone did: its call may be another.
    pub(super) fn follow_call(&mut self, id: PhoneId) {
        let now = self.now.mono;
        let line = &mut self.phones[id.0];
        let phone = &line.phone;
        if line.call.as_ref().map(|call| call.call_id.as_str()) != phone.call_id() {
            if let Some(mut before) = line.call.take() {
                before.over = Some(now);
                if before.holds {
                    before.holding = Some(now);
                }
                line.call_before = Some(before);
            }
            line.call = phone.call_id().zip(phone.far()).map(|(call_id, far)| Talked {
                call_id: call_id.to_owned(),
                far: far.to_owned(),
                tag: None,
                to: None,
                last: None,
                held: None,
                holds: false,
                holding: None,
                sound: None,
                over: None,
            });
        }
        let Some(call) = &mut line.call else { return };
        if call.tag.as_deref() != phone.remote_tag() {
            call.tag = phone.remote_tag().map(str::to_owned);
        }
        if let Some(to) = phone.listens_to().filter(|to| call.to.is_none_or(|(before, _)| before != *to)) {
            call.to = Some((to, now));
        }
        let held = phone.status() == Status::Talking { held: true } && phone.is_settled();
        call.held = held.then(|| call.held.unwrap_or(now));
        // While a change is under way the switch may know of it already, or still.
        let holds = held || phone.is_held() || !phone.is_settled();
        if holds || call.holds {
            call.holding = Some(now);
        }
        call.holds = holds;
    }

    /// A telephone speaks, to this port.
    pub(super) fn spoke(&mut self, id: PhoneId, packet: &Bytes, port: u16) {
        if self.phones[id.0].stale {
            self.hearing.strays.insert(port, self.now.mono);
        }
        let Some(sound) = sound(packet) else { return };
        if *self.hearing.sounds.entry(sound).or_insert(Mouth::Phone(id)) != Mouth::Phone(id) {
            self.fail("two telephones of the world speak alike");
        }
    }

    /// After a step of the switch: who may hear whom may be another.
    pub(super) fn follow_partners(&mut self) {
        let (now, engine, hearing) = (self.now.mono, self.node.engine(), &mut self.hearing);
        let partners = engine.partners();
        if partners.len() == hearing.partners.len() && partners.iter().all(|pair| hearing.partners.contains_key(pair)) {
            return;
        }
        let gone = hearing.partners.keys().filter(|pair| !partners.contains(pair)).copied();
        for [a, b] in gone.collect::<Vec<_>>().into_iter().filter_map(|pair| hearing.partners.remove(&pair)) {
            for pair in [[a.clone(), b.clone()], [b, a]] {
                hearing.pairs.entry(pair).and_modify(|pair| pair.over = Some(now));
            }
        }
        hearing.pairs.retain(|_, pair| pair.over.is_none_or(|over| now - over < LATE));
        for pair in partners.into_iter().filter(|pair| !hearing.partners.contains_key(pair)).collect::<Vec<_>>() {
            let (Some(a), Some(b)) = (engine.tag_of(pair.0), engine.tag_of(pair.1)) else { continue };
            let (a, b) = (a.to_owned(), b.to_owned());
            hearing.partners.insert(pair, [a.clone(), b.clone()]);
            for tags in [[a.clone(), b.clone()], [b, a]] {
                hearing.pairs.insert(tags, Pair { since: now, over: None });
            }
        }
    }

    /// A packet reaches a telephone that listens to where it comes from.
    pub(super) fn heard(&mut self, ear: PhoneId, packet: &Bytes) {
        let mouth = match sound(packet).and_then(|sound| self.hearing.sounds.get(&sound).copied()) {
            Some(Mouth::Phone(mouth)) => mouth,
            Some(Mouth::Switch(sound)) => return self.heard_switch(ear, sound),
            None => return,
        };
        let now = self.now.mono;
        let (to, from) = (&self.phones[ear.0], &self.phones[mouth.0]);
        if to.stale || from.stale {
            return;
        }
        let Some(call) = &to.call else { return };
        let recent = from.call_before.as_ref().filter(|before| before.over.is_some_and(|over| now - over < LATE));
        let right = from.call.iter().chain(recent).any(|spoken| self.may_hear(call, spoken));
        let (hearer, speaker) = (to.name(), from.name());
        // A port that went to another call while its telephone still spoke: until the right one is heard, any other may be (`media/src/latch.rs`).
        let late = |call: &Talked| {
            call.to.is_some_and(|(to, since)| self.plane.opened(to.port()).is_some_and(|at| at > since))
        };
        if !right && from.call.iter().chain(recent).chain([call]).any(late) {
            return;
        }
        if !right {
            self.fail(&format!("{hearer}, whose call was with {}, hears {speaker}", call.far));
        }
        if call.held.is_some_and(|since| now - since > LATE) {
            self.fail(&format!("{hearer} has put the call on hold and hears {speaker}"));
        }
        if let Some(call) = &mut self.phones[ear.0].call {
            call.last = Some((mouth, now));
        }
    }

    /// A telephone hears the switch. Whoever has a partner hears music only while that one holds, and the music of that one, and never ringback; who is
    /// transferred has none until the third is there.
    fn heard_switch(&mut self, ear: PhoneId, sound: SoundId) {
        if sounds::is_phrase(sound) {
            self.hearing.said.entry(ear).or_default().push(sound);
        }
        let now = self.now.mono;
        let line = &self.phones[ear.0];
        let Some(call) = line.call.as_ref().filter(|_| !line.stale) else { return };
        let Some(tag) = &call.tag else { return };
        let mut wrong = None;
        for (at, other) in self.phones.iter().enumerate() {
            let Some(theirs) = &other.call else { continue };
            let pair = theirs.tag.as_ref().and_then(|theirs| self.hearing.pairs.get(&[tag.clone(), theirs.clone()]));
            let lasts = pair.is_some_and(|pair| pair.over.is_none() && now - pair.since > LATE);
            if !lasts || other.stale || !other.phone.is_on() || other.phone.tag() == line.phone.tag() {
                continue;
            }
            let holds = theirs.holds || theirs.holding.is_some_and(|at| now - at < LATE);
            if sound == RINGBACK || !holds || sound != self.music_of(at) {
                wrong = Some(format!("{} hears {sound:?} in its call with {}", line.name(), other.name()));
            }
        }
        if let Some(wrong) = wrong.filter(|_| self.is_unshaken()) {
            self.fail(&wrong);
        }
        if let Some(call) = &mut self.phones[ear.0].call {
            call.sound = Some((sound, now));
        }
    }

    /// What was said to a telephone since this was last asked, and in how many packets.
    pub fn said_to(&mut self, ear: PhoneId) -> Vec<(SoundId, usize)> {
        let said = self.hearing.said.remove(&ear).unwrap_or_default();
        said.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    /// Whether a telephone hears this sound of the switch now.
    pub fn hears_sound(&mut self, ear: PhoneId, sound: SoundId) -> bool {
        self.listen();
        self.ear(ear).hears(sounds::hz(sound))
    }

    /// Whether what is said in one call may be heard in the other: the engine has the two for partners, or had, a moment ago.
    fn may_hear(&self, heard: &Talked, spoken: &Talked) -> bool {
        let (Some(heard), Some(spoken)) = (&heard.tag, &spoken.tag) else { return false };
        let pair = self.hearing.pairs.get(&[heard.clone(), spoken.clone()]);
        pair.is_some_and(|pair| pair.over.is_none_or(|over| self.now.mono - over < LATE))
    }

    /// In calm weather everybody says something: whoever is in a call with somebody, neither on hold, hears it. Who is held, parked or sent on hears the sound for that.
    pub(super) fn listen_in(&mut self) {
        if self.weather != Weather::CALM {
            return;
        }
        let (began, before) = (self.now.mono, self.those_who_should_hear());
        self.run_for(LATE);
        for index in 0..self.phones.len() {
            self.press(PhoneId(index), Phone::speak_up);
        }
        let spoken = self.now.mono;
        self.run_for(Duration::from_millis(400));
        let mut due = self.those_who_should_hear();
        due.retain(|should| before.contains(should) && self.were_together(should, began) && !self.met_a_stray(should));
        for should in due {
            let line = &self.phones[should.ear.0];
            let (voice, sound) = line.call.as_ref().map_or((None, None), |call| (call.last, call.sound));
            let hears = match should.what {
                Mouth::Phone(mouth) => voice.is_some_and(|(whom, at)| whom == mouth && at >= spoken),
                Mouth::Switch(what) => sound.is_some_and(|(which, at)| which == what && at >= spoken),
            };
            if !hears {
                let name = line.name();
                self.fail(&format!(
                    "{name} does not hear {:?} ({:?}) in its call {}",
                    should.what, should.why, should.call_id
                ));
            }
            self.saw(should.why);
        }
    }

    /// Who was silent while a stray one spoke to his port has lost it (`media/src/latch.rs`).
    fn met_a_stray(&self, should: &Should) -> bool {
        let stray = |phone: PhoneId| {
            let port = self.phones[phone.0].call.as_ref().and_then(|call| call.to).map(|(to, _)| to.port());
            let (since, last) =
                (port.and_then(|port| self.plane.opened(port)), port.and_then(|port| self.hearing.strays.get(&port)));
            last.is_some_and(|last| since.is_none_or(|since| *last >= since))
        };
        stray(should.ear) || should.partner.is_some_and(stray)
    }

    /// Whether the two have had each other all the time since then: a transfer may have parted them for a moment.
    fn were_together(&self, should: &Should, since: Instant) -> bool {
        let Some(partner) = should.partner else { return true };
        let tag = |phone: PhoneId| self.phones[phone.0].call.as_ref().and_then(|call| call.tag.clone());
        let pair = tag(should.ear).zip(tag(partner)).and_then(|(ear, mouth)| self.hearing.pairs.get(&[ear, mouth]));
        pair.is_some_and(|pair| pair.since <= since && pair.over.is_none())
    }

    /// Telephones in a call with another that knows of it too, or with themselves, or with one that has put them on hold; those that are parked, and those that wait
    /// for one that is rung.
    fn those_who_should_hear(&self) -> BTreeSet<Should> {
        let whose = |tag: &str| (0..self.phones.len()).find(|at| self.phones[*at].phone.tag() == Some(tag));
        let engine = self.node.engine();
        let pairs = engine.talking().into_iter().filter_map(|(a, b)| whose(&a).zip(whose(&b)));
        let talking = pairs.flat_map(|(a, b)| [(a, b), (b, a)]).filter_map(|(ear, mouth)| {
            let what = match (self.is_free(mouth), self.holds(mouth)) {
                (true, _) => (Mouth::Phone(PhoneId(mouth)), Deed::Heard),
                (_, true) => (Mouth::Switch(self.music_of(mouth)), Deed::HeardMusic),
                _ => return None,
            };
            self.should(ear, Some(PhoneId(mouth)), what)
        });
        let waiting = engine.waiting().into_iter().filter_map(|(tag, waits)| {
            let what = match waits {
                Waits::Parked => (Mouth::Switch(MUSIC), Deed::HeardMusicParked),
                Waits::Sent => (Mouth::Switch(MUSIC), Deed::HeardMusic),
                Waits::Rung => (Mouth::Switch(RINGBACK), Deed::HeardRingback),
            };
            self.should(whose(&tag)?, None, what)
        });
        talking.chain(waiting).collect()
    }

    fn should(&self, ear: usize, partner: Option<PhoneId>, (what, why): (Mouth, Deed)) -> Option<Should> {
        let call = self.phones[ear].call.as_ref().filter(|_| self.is_free(ear))?;
        Some(Should { ear: PhoneId(ear), partner, what, why, call_id: call.call_id.clone() })
    }

    /// Whether a telephone, or its user's client, has put the other on hold.
    fn holds(&self, at: usize) -> bool {
        let line = &self.phones[at];
        let holds = line.phone.status() == Status::Talking { held: true } || line.phone.is_held();
        holds && line.phone.is_settled() && line.phone.is_on() && !line.stale
    }

    /// The music of those whom a telephone puts on hold.
    fn music_of(&self, at: usize) -> SoundId {
        if self.phones[at].phone.config().user == OTHER_MUSIC { MUSIC_OF_USERS } else { MUSIC }
    }

    /// Whether a telephone talks and nobody has put its call on hold, by it or by its user's client.
    fn is_free(&self, at: usize) -> bool {
        let line = &self.phones[at];
        let talks = line.phone.status() == Status::Talking { held: false };
        talks && line.phone.is_settled() && !line.phone.is_held() && !line.stale && line.phone.is_on()
    }
}

/// Who is to hear whom, and in which call of the one who hears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Should {
    ear: PhoneId,
    /// Who is at the other end.
    partner: Option<PhoneId>,
    what: Mouth,
    why: Deed,
    call_id: String,
}

fn sound(packet: &Bytes) -> Option<Bytes> {
    (packet.len() >= HEADER + SOUND).then(|| packet.slice(HEADER..))
}
