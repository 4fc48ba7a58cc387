//! What telephones show: whom they have, on their displays, and how others stand, by their lamps. Both have to be as the engine has it whenever nothing is under way
//! that would tell them otherwise.

use std::time::Duration;

use super::deed::Deed;
use super::{PhoneId, World};

/// In calm weather a lamp is told within this.
const TOLD: Duration = Duration::from_secs(5);

impl World {
    /// No display lies, and no lamp.
    pub(super) fn check_what_is_shown(&mut self) {
        for id in (0..self.phones.len()).map(PhoneId) {
            let line = &self.phones[id.0];
            if line.phone.is_on() && !line.stale && !line.was_cut {
                self.check_display(id);
            }
            self.check_lamps(id);
            self.check_lamps_are_told(id);
        }
    }

    /// RFC 6665 §4.2.1.4: a NOTIFY follows every SUBSCRIBE that is accepted, at once.
    fn check_lamps_are_told(&mut self, id: PhoneId) {
        let (now, line) = (self.now.mono, &self.phones[id.0]);
        let waits = line.phone.is_on() && line.phone.awaits_lamp() && self.is_unshaken();
        let since = waits.then(|| line.dark.unwrap_or(now));
        if since.is_some_and(|since| now - since > TOLD) {
            self.fail(&format!("{} has subscribed to a lamp and was told nothing", line.name()));
        }
        self.phones[id.0].dark = since;
    }

    fn check_display(&mut self, id: PhoneId) {
        let (line, engine) = (&self.phones[id.0], self.node.engine());
        let told = line.phone.remote_tag().and_then(|tag| engine.shown_at(tag));
        let (Some(shows), Some((number, name)), Some(far)) = (line.phone.shows(), told, line.phone.far()) else {
            return;
        };
        if (&shows.number, &shows.name) != (&number, &name) {
            self.fail(&format!("{} shows {shows:?} and is with {number} {name:?}", line.name()));
        }
        if *far != number {
            self.saw(Deed::Shown);
        }
    }

    fn check_lamps(&mut self, id: PhoneId) {
        let watched: Vec<String> = self.phones[id.0].phone.watched().map(str::to_owned).collect();
        for number in watched {
            let line = &self.phones[id.0];
            let Some((tag, lit)) = line.phone.lamp(&number) else { continue };
            let Some(mut told) = self.node.engine().lit_at(tag) else { continue };
            told.sort();
            let shows: Vec<_> = lit
                .iter()
                .map(|call| (call.id.clone(), call.state.as_str(), call.is_initiator, call.remote.clone()))
                .collect();
            if shows != told {
                self.fail(&format!("the lamp of {number} at {} shows {shows:?} and not {told:?}", line.name()));
            }
            if !shows.is_empty() {
                self.saw(if number.starts_with('7') { Deed::LitOrbit } else { Deed::Lit });
            }
        }
    }

    /// With nobody in a call no lamp is lit.
    pub(super) fn check_lamps_are_dark(&self) {
        for line in &self.phones {
            let lit = line.phone.watched().filter_map(|number| Some((number, line.phone.lamp(number)?.1)));
            if let Some((number, calls)) = lit.into_iter().find(|(_, calls)| !calls.is_empty()) {
                self.fail(&format!("with nobody in a call, the lamp of {number} at {} shows {calls:?}", line.name()));
            }
        }
    }

    /// A lamp for this number.
    pub fn watch(&mut self, id: PhoneId, number: &str) -> bool {
        self.press(id, |phone, now| phone.watch(now, number))
    }

    /// Puts it out.
    pub fn unwatch(&mut self, id: PhoneId, number: &str) {
        self.press(id, |phone, now| phone.unwatch(now, number));
    }

    /// Puts out all lamps of all telephones.
    pub(super) fn put_out_lamps(&mut self) {
        for id in (0..self.phones.len()).map(PhoneId) {
            let watched: Vec<String> = self.phones[id.0].phone.watched().map(str::to_owned).collect();
            for number in watched {
                self.unwatch(id, &number);
            }
        }
    }

    /// Presses the key beside a lamp.
    pub fn press_lamp(&mut self, id: PhoneId, number: &str) -> bool {
        let called = self.press(id, |phone, now| phone.press_lamp(now, number));
        if called {
            self.phones[id.0].renew(self.now.mono, false);
        }
        called
    }
}
