//! Who hears whom: every telephone speaks a tone of its own, and each hears its partner or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use switch::demo::phone::{Phone, Status};

use super::{PhoneId, Weather, World};

/// An RTP header without extensions.
const HEADER: usize = 12;
/// Shorter is no sound.
const SOUND: usize = 100;
/// How long a packet may be under way, or a telephone in learning what the switch knows.
const LATE: Duration = Duration::from_secs(2);
/// Who calls this number hears himself.
const ECHO: &str = "*43";

/// Whose a packet's sound is: there are few different ones of each tone.
#[derive(Debug, Default)]
pub(super) struct Hearing(BTreeMap<Bytes, PhoneId>);

/// A call of a telephone, as it sees it.
#[derive(Clone, Debug)]
pub(super) struct Talked {
    call_id: String,
    far: String,
    /// Where it speaks to, and since when.
    to: Option<(SocketAddr, Instant)>,
    /// Since when it is up, and who was heard since a while after.
    up: Option<Instant>,
    heard: Option<PhoneId>,
    last: Option<Instant>,
    /// Since when it is on hold by its own telephone.
    held: Option<Instant>,
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
                line.call_before = Some(before);
            }
            line.call = phone.call_id().zip(phone.far()).map(|(call_id, far)| Talked {
                call_id: call_id.to_owned(),
                far: far.to_owned(),
                to: None,
                up: None,
                heard: None,
                last: None,
                held: None,
                over: None,
            });
        }
        let Some(call) = &mut line.call else { return };
        if let Some(to) = phone.listens_to().filter(|to| call.to.is_none_or(|(before, _)| before != *to)) {
            call.to = Some((to, now));
        }
        let since = |before: Option<Instant>, is: bool| is.then(|| before.unwrap_or(now));
        call.up = since(call.up, matches!(phone.status(), Status::Talking { .. }));
        call.held = since(call.held, phone.status() == Status::Talking { held: true } && phone.is_settled());
    }

    /// A telephone speaks.
    pub(super) fn spoke(&mut self, id: PhoneId, packet: &Bytes) {
        let Some(sound) = sound(packet) else { return };
        if *self.hearing.0.entry(sound).or_insert(id) != id {
            self.fail("two telephones of the world speak alike");
        }
    }

    /// A packet reaches a telephone that listens to where it comes from.
    pub(super) fn heard(&mut self, ear: PhoneId, packet: &Bytes) {
        let Some(mouth) = sound(packet).and_then(|sound| self.hearing.0.get(&sound).copied()) else { return };
        let now = self.now.mono;
        let (to, from) = (&self.phones[ear.0], &self.phones[mouth.0]);
        if to.stale || from.stale {
            return;
        }
        let Some(call) = &to.call else { return };
        let recent = from.call_before.as_ref().filter(|before| before.over.is_some_and(|over| now - over < LATE));
        let speaks_to = |user: &str| from.call.iter().chain(recent).any(|call| self.reaches(&call.far, user));
        let right = match ear == mouth {
            true => call.far == ECHO,
            false => self.reaches(&call.far, &from.phone.config().user) && speaks_to(&to.phone.config().user),
        };
        let (hearer, speaker) = (to.name(), from.name());
        // A port that went to another call while its telephone still spoke: until the right one is heard, any other may be (`media/src/latch.rs`).
        let late = |call: &Talked| {
            call.to.is_some_and(|(to, since)| self.plane.opened(to.port()).is_some_and(|at| at > since))
        };
        if !right && from.call.iter().chain(recent).chain([call]).any(late) {
            return;
        }
        if !right {
            self.fail(&format!("{hearer}, in a call with {}, hears {speaker}", call.far));
        }
        if call.held.is_some_and(|since| now - since > LATE) {
            self.fail(&format!("{hearer} has put the call on hold and hears {speaker}"));
        }
        if call.up.is_some_and(|since| now - since > LATE) {
            if call.heard.is_some_and(|before| before != mouth) {
                self.fail(&format!("{hearer} hears {speaker} in a call in which it has heard another"));
            }
            if let Some(call) = &mut self.phones[ear.0].call {
                call.heard = Some(mouth);
            }
        }
        if let Some(call) = &mut self.phones[ear.0].call {
            call.last = Some(now);
        }
    }

    /// Whether who calls this number may be speaking to that user: itself, or to whom a telephone of it has redirected.
    fn reaches(&self, number: &str, user: &str) -> bool {
        let (mut reached, mut next) = (BTreeSet::new(), vec![number]);
        while let Some(number) = next.pop() {
            if reached.insert(number) {
                next.extend(self.redirected.iter().filter(|(from, _)| from == number).map(|(_, to)| to.as_str()));
            }
        }
        reached.contains(user)
    }

    /// A telephone answers 3xx.
    pub(super) fn redirects(&mut self, id: PhoneId) {
        let config = self.phones[id.0].phone.config();
        let named: Vec<_> = config.manners.elsewhere.iter().map(|to| (config.user.clone(), to.clone())).collect();
        self.redirected.extend(named);
    }

    /// In calm weather everybody says something: whoever is in a call with somebody, neither on hold, hears it.
    pub(super) fn listen_in(&mut self) {
        if self.weather != Weather::CALM {
            return;
        }
        let before = self.those_who_should_hear();
        self.run_for(LATE);
        for index in 0..self.phones.len() {
            self.press(PhoneId(index), Phone::speak_up);
        }
        let spoken = self.now.mono;
        self.run_for(Duration::from_millis(400));
        let after = self.those_who_should_hear();
        for (id, call) in before.into_iter().filter(|talking| after.contains(talking)) {
            let line = &self.phones[id.0];
            if line.call.as_ref().is_none_or(|call| call.last.is_none_or(|last| last < spoken)) {
                self.fail(&format!("{} hears nobody in its call {call}", line.name()));
            }
            self.listened += 1;
        }
    }

    /// Telephones in a call with another that knows of it too, and their calls.
    fn those_who_should_hear(&self) -> Vec<(PhoneId, String)> {
        let free = |at: usize| {
            let line = &self.phones[at];
            let talks = line.phone.status() == Status::Talking { held: false };
            talks && line.phone.is_settled() && !line.phone.is_held() && !line.stale && line.phone.is_on()
        };
        let whose = |tag: &str| (0..self.phones.len()).find(|at| self.phones[*at].phone.tag() == Some(tag));
        let named = |at: usize| self.phones[at].call.as_ref().map(|call| (PhoneId(at), call.call_id.clone()));
        let pairs = self.node.engine().talking().into_iter().filter_map(|(a, b)| whose(&a).zip(whose(&b)));
        pairs.filter(|(a, b)| free(*a) && free(*b)).flat_map(|(a, b)| [a, b]).filter_map(named).collect()
    }
}

fn sound(packet: &Bytes) -> Option<Bytes> {
    (packet.len() >= HEADER + SOUND).then(|| packet.slice(HEADER..))
}
