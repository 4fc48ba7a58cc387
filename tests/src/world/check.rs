//! The invariants of `ARCHITECTURE.md`, as they can be seen from outside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cas::control::CallControl;
use cas::store::{Directory, History, HistoryKind, HistoryQuery, HistoryRecord, Registrations};
use cas::time::Wall;
use serde_json::{Map, Value, json};
use switch::demo::phone::{Behaviour, Status};

use super::cast::Line;
use super::client::{ClientId, rows};
use super::deed::Deed;
use super::{PhoneId, World};

/// After this a BYE or CANCEL has been sent as often as it may be.
const ORPHANED: Duration = Duration::from_secs(100);

/// In calm weather one that rings is told within this.
const TOLD: Duration = Duration::from_secs(5);

impl World {
    /// What must hold between any two steps.
    pub fn check(&mut self) {
        self.settle_clients();
        for index in 0..self.clients.len() {
            self.check_view(ClientId(index));
        }
        let echoes = self.node.engine().echoes().into_iter().map(|leg| (leg, leg));
        for (a, b) in self.node.engine().bridges().into_iter().chain(echoes) {
            let moving = [a, b].iter().any(|leg| self.node.engine().is_moving(*leg));
            if !moving && !self.plane.joins(a, b) {
                self.fail(&format!("{a:?} and {b:?} talk and are not joined"));
            }
        }
        for line in self.phones.iter().filter(|line| !line.stale) {
            let ear = line.phone.ear();
            if ear.sources() > 1 {
                self.fail(&format!("{} heard {} sources in one dialog", line.name(), ear.sources()));
            }
            if ear.timestamp_faults > 0 {
                self.fail(&format!("{} heard a timestamp that did not advance", line.name()));
            }
        }
        self.check_what_is_shown();
        self.check_phones_are_known();
        self.check_transferors_are_told();
    }

    /// Who asks for a transfer and wants to hear what comes of it is told, where it is still in its call by then.
    fn check_transferors_are_told(&mut self) {
        let now = self.now.mono;
        for index in 0..self.phones.len() {
            let (line, engine) = (&self.phones[index], self.node.engine());
            let settled = |tag| engine.holds_dialog(tag) && !engine.is_ending(tag) && !engine.is_transferring(tag);
            let waits = line.phone.awaits_transfer() && !line.stale && line.phone.is_on();
            let untold = waits && line.phone.remote_tag().is_some_and(settled);
            let since = untold.then(|| line.untold.unwrap_or(now));
            let most = if self.is_unshaken() { TOLD } else { ORPHANED };
            if since.is_some_and(|since| now - since > most) {
                self.fail(&format!("{} was never told what came of its transfer", line.name()));
            }
            self.phones[index].untold = since;
        }
    }

    /// A telephone in a call that the switch knows nothing of is told so, however bad the weather.
    fn check_phones_are_known(&mut self) {
        let now = self.now.mono;
        for index in 0..self.phones.len() {
            let line = &self.phones[index];
            let rings = line.phone.status() == Status::Ringing;
            let engine = self.node.engine();
            let known =
                line.phone.remote_tag().is_none_or(|tag| engine.holds_dialog(tag) && !(rings && engine.is_ending(tag)));
            let most = if rings && self.is_unshaken() { TOLD } else { ORPHANED };
            let orphaned = !known && !line.stale && line.phone.is_on();
            let since = orphaned.then(|| line.orphaned.unwrap_or(now));
            if since.is_some_and(|since| now - since > most) {
                self.fail(&format!(
                    "{} is {:?}, and nobody told it that the call is over",
                    line.name(),
                    line.phone.status()
                ));
            }
            self.phones[index].orphaned = since;
        }
    }

    /// What a client was told by events is what the engine holds (invariant 5).
    fn check_view(&mut self, client: ClientId) {
        let idle = self.now.mono - self.clients[client.0].used;
        if self.clients[client.0].session.is_none() || idle >= self.settings.cas.idle {
            return;
        }
        self.fetch(client);
        let held = self.calls(client);
        let view = &self.clients[client.0].view;
        if !view.complete {
            return;
        }
        let shown = |call: &Map<String, Value>| {
            ["call-id", "state", "direction", "parties", "device", "actions"].map(|member| call.get(member).cloned())
        };
        let told: BTreeMap<_, _> = view.calls.iter().map(|(id, call)| (id.clone(), shown(call))).collect();
        let held: BTreeMap<_, _> = held
            .iter()
            .map(|call| (call.get("call-id").and_then(Value::as_str).unwrap_or_default().to_owned(), shown(call)))
            .collect();
        if told != held {
            let user = self.clients[client.0].user;
            self.fail(&format!("{user} was told\n  {told:?}\nand get-calls says\n  {held:?}"));
        }
        for _ in 0..held.len() {
            self.saw(Deed::Compared);
        }
        self.check_parked(client);
    }

    /// So is what it was told of parked calls.
    fn check_parked(&mut self, client: ClientId) {
        let Some(told) = &self.clients[client.0].view.parked else { return };
        if told.is_empty() && self.parked().is_empty() {
            return;
        }
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "get-parked"}));
        let Ok(rows) = rows(&reply["parked"]) else { self.fail(&format!("no rows: {reply}")) };
        let shown = |call: &Map<String, Value>| {
            ["orbit", "addr", "name", "by", "since", "state"].map(|member| call.get(member).cloned())
        };
        let told: Vec<_> = self.clients[client.0].view.parked.iter().flatten().map(|(_, call)| shown(call)).collect();
        let mut held: Vec<_> = rows.iter().map(shown).collect();
        held.sort_by_key(|row| format!("{:?}", row[0]));
        if told != held {
            let user = self.clients[client.0].user;
            self.fail(&format!("{user} was told\n  {told:?}\nand get-parked says\n  {held:?}"));
        }
        for _ in 0..held.len() {
            self.saw(Deed::ComparedParked);
        }
    }

    /// What a telephone was confirmed survives (invariant 7): what it registered is there, what it took back is not, or has ended. That it has
    /// registered *again* is written behind: where the disk fails, an end that has passed may be all that is there.
    pub(super) fn check_bindings_are_stored(&self) {
        for line in &self.phones {
            let stored = self.stored_end(line);
            let breach = match line.confirmed {
                Some(true) => stored.is_none() && line.found.is_none_or(|end| end > self.now.wall),
                // What had ended, and a failing disk kept, lives again when the clock is set back.
                Some(false) => !self.clock_was_set && stored.is_some_and(|end| end > self.now.wall),
                None => false,
            };
            if breach {
                self.fail(&format!(
                    "{} was told registered={:?}, the store says {stored:?}",
                    line.name(),
                    line.confirmed
                ));
            }
        }
    }

    /// The switch starts anew: it will know nothing of bindings that have ended in the store, and goes by what it finds of the others.
    pub(super) fn forget_ended_bindings(&mut self) {
        for index in 0..self.phones.len() {
            let end = self.stored_end(&self.phones[index]);
            let line = &mut self.phones[index];
            if end.map_or(line.confirmed == Some(true), |end| end <= self.now.wall) {
                line.confirmed = None;
            }
            line.found = end;
        }
    }

    /// When a telephone's binding ends, as the store has it.
    fn stored_end(&self, line: &Line) -> Option<Wall> {
        let contact = line.phone.config().sip.to_string();
        let stored = self.store.bindings().expect("a store in memory can be read").into_iter();
        stored.filter(|binding| binding.contact.contains(&contact)).map(|binding| binding.expires).max()
    }

    /// Everybody hangs up; then nothing may be left: no leg, no call, no timer, no answer owed (invariants 3 and 4).
    pub fn quiesce(&mut self) {
        self.set_weather(super::Weather::CALM);
        self.disk = super::Disk::Well;
        self.store_delay = Duration::ZERO;
        for index in 0..self.phones.len() {
            let id = PhoneId(index);
            if !self.phone(id).is_on() {
                self.come_back(id);
            }
            self.behave(id, Behaviour::Reject(486));
        }
        // Whoever is in a call by now is so on both sides.
        self.keep_sessions(ORPHANED + Duration::from_secs(40));
        // A make-call under way may still ring a phone, and a phone may find itself in a call that answers crossed.
        for _ in 0..6 {
            for index in 0..self.phones.len() {
                self.hang_up(PhoneId(index));
            }
            self.keep_sessions(Duration::from_secs(40));
        }
        self.check();
        if self.open_legs() > 0 {
            self.fail(&format!("{} media legs are open with nobody in a call", self.open_legs()));
        }
        let (free, all) = (self.free_ports(), self.settings.ports.len());
        if free != all || !self.is_quiet() {
            self.fail(&format!("with nobody in a call, {free} of {all} ports are free; quiet: {}", self.is_quiet()));
        }
        if let Err(breach) = self.wire.settle(self.now.mono) {
            self.fail(&breach);
        }
        // A registration or a lamp may be renewed at this very instant, and some telephones are slow to answer.
        for _ in 0..10 {
            if self.phones.iter().any(|line| !line.phone.is_quiet()) {
                self.run_for(Duration::from_secs(1));
            }
        }
        for line in &self.phones {
            if !line.phone.is_quiet() {
                self.fail(&format!("{} is not at rest: {:?}", line.name(), line.phone.status()));
            }
        }
        self.check_lamps_are_dark();
        self.check_clients_are_owed_nothing();
        self.check_records();
        self.check_no_timer_is_left();
    }

    /// Lets time pass without any session becoming idle.
    fn keep_sessions(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.run_for(Duration::from_secs(20));
            self.check();
        }
    }

    fn check_clients_are_owed_nothing(&mut self) {
        let known = |peer: &&SocketAddr| peer.ip().to_string().starts_with("10.0.7.");
        if let Some(peer) = self.strangers.keys().find(known) {
            self.fail(&format!("something was sent to {peer}, where nobody is"));
        }
        self.settle_flood();
        let polls: Vec<_> = self.clients.iter().filter_map(|client| client.poll).collect();
        if let Some(id) = self.unanswered.iter().find(|id| !polls.contains(id)) {
            self.fail(&format!("the request {id:?} was never answered"));
        }
        for client in &self.clients {
            if client.session.is_some() && !client.view.pending.is_empty() {
                self.fail(&format!("{} never got the completion of {:?}", client.user, client.view.pending));
            }
            if !client.view.calls.is_empty() {
                self.fail(&format!("{} still sees calls: {:?}", client.user, client.view.calls));
            }
        }
    }

    /// The records of a user's calls.
    pub fn records_of(&self, login: &str) -> Vec<HistoryRecord> {
        let users = self.store.users().expect("a store in memory can be read");
        let user = users.iter().find(|user| user.login == login).expect("a user of the world");
        let query = HistoryQuery { user: user.id, device: None, kind: None, before: None, after: None, max: 1000 };
        self.store.records(&query).expect("a store in memory can be read")
    }

    /// Each end of a call that a client was told of left its record.
    fn check_records(&self) {
        for client in self.clients.iter().filter(|client| client.session.is_some()) {
            let records = self.records_of(client.user);
            let is_recorded = |id: &&String| {
                let has_answered = records.iter().any(|record| record.kind == HistoryKind::Received);
                records.iter().any(|record| record.call.to_string() == **id)
                    || (has_answered && client.view.elsewhere.contains(*id))
            };
            let lost = client.view.ended.iter().find(|id| !is_recorded(id));
            if let Some(id) = lost {
                self.fail(&format!("the call {id} of {} left no record", client.user));
            }
        }
    }

    fn check_no_timer_is_left(&mut self) {
        self.put_out_lamps();
        for index in 0..self.phones.len() {
            self.unregister(PhoneId(index));
        }
        for index in 0..self.clients.len() {
            if self.clients[index].session.is_some() {
                self.log_out(ClientId(index));
            }
        }
        self.run_for(Duration::from_secs(120));
        let status = self.node.engine().status();
        if status.calls + status.transactions + status.registrations > 0 {
            self.fail(&format!("with nobody there, the engine holds {status:?}"));
        }
        if let Err(breach) = self.node.engine().is_at_rest() {
            self.fail(&breach);
        }
        let left = self.node.next_timeout().map(|at| at.saturating_duration_since(self.now.mono));
        // What counts failed attempts, and subscriptions nobody has come back for, may be forgotten later than this.
        // Streams that are up have timers of their own.
        if self.streams.is_empty() && left.is_some_and(|left| left < Duration::from_secs(5)) {
            self.fail(&format!("with nobody there, a timer is due in {left:?}"));
        }
        self.check_bindings_are_stored();
    }
}
