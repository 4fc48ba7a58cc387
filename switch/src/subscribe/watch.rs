//! What can be watched, and how it stands: worked out from the tables of call control, of the registrar and of what was published.
//!
//! At the end of each step the users whose calls or phones were touched in it are looked at again; who watches them is told where their state is another than before.

use std::collections::BTreeSet;
use std::sync::Arc;

use cas::control::{CallId, CallState, Direction};
use cas::site::plan::Orbit;
use cas::site::{Access, Dialled, Site, UserId};

use super::{News, Package, SubId, Subscription};
use crate::call::leg::{Leg, LegState};
use crate::call::party::{Hold, Identity, PartyState};
use crate::call::{Call, Side};
use crate::engine::{At, Engine};
use crate::service::orbit::Slot;
use crate::subscribe::presence::{Handled, Presence};

/// What is behind a number that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    User(UserId),
    /// Where calls are parked.
    Orbit(Orbit),
}

impl Subject {
    /// Whose lamp shows what is parked there.
    pub(crate) fn of_slot(slot: Slot) -> Subject {
        match slot {
            Slot::Orbit(orbit) => Subject::Orbit(orbit),
            Slot::User(user) => Subject::User(user),
        }
    }

    /// Where calls are parked that its lamp shows.
    fn slot(self) -> Slot {
        match self {
            Subject::Orbit(orbit) => Slot::Orbit(orbit),
            Subject::User(user) => Slot::User(user),
        }
    }
}

/// How a subject stands, as one package tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Dialogs(Vec<DialogState>),
    Presence(Presence),
    Summary,
}

/// One call of a subject (RFC 4235 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialogState {
    pub(crate) id: CallId,
    /// Whether the subject began it.
    pub(crate) is_initiator: bool,
    pub(crate) progress: Progress,
    pub(crate) local: End,
    pub(crate) remote: End,
    /// By what it can be meant, in Replaces (RFC 3891).
    pub(crate) key: Option<DialogKey>,
}

/// How far it has come (RFC 4235 §3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No phone has rung yet.
    Trying,
    /// It rings.
    Early,
    /// Both have answered.
    Confirmed,
}

impl Progress {
    /// As documents have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Progress::Trying => "trying",
            Progress::Early => "early",
            Progress::Confirmed => "confirmed",
        }
    }
}

/// One end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) identity: Identity,
    /// Whether this end has put the other on hold.
    pub(crate) holds: bool,
}

/// The dialog between the switch and the phone of the subject, as the phone has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialogKey {
    pub(crate) call_id: String,
    /// The phone's tag; empty where it has not said one.
    pub(crate) local_tag: String,
    /// Ours.
    pub(crate) remote_tag: String,
}

/// What a number leads to that can be watched. A service is the same at all times.
pub(crate) fn subject(site: &Site, number: &str) -> Option<Subject> {
    match site.dialled(number) {
        Some(Dialled::User(user)) => Some(Subject::User(user)),
        Some(Dialled::Orbit(orbit)) => Some(Subject::Orbit(orbit)),
        Some(Dialled::Feature(_) | Dialled::Code(..)) => None,
        // A phone watches its mailbox by its own SIP user name, which need be no number.
        None => site.device_by_sip_user(number)?.user.map(Subject::User),
    }
}

impl Engine {
    /// What the lamp of a subject shows, oldest first: a user's calls, and what is parked at his extension; what is parked in an orbit.
    pub(crate) fn dialogs_of(&self, subject: Subject) -> Vec<DialogState> {
        let Subject::User(user) = subject else { return self.parked_state(subject.slot()).into_iter().collect() };
        let mut dialogs = self.calls_of(user);
        dialogs.extend(self.parked_state(subject.slot()));
        // Ids count up.
        dialogs.sort_by_key(|dialog| dialog.id);
        dialogs
    }

    /// A user's own calls.
    pub(super) fn calls_of(&self, user: UserId) -> Vec<DialogState> {
        let ends = self.table.ends_of(user).filter_map(|id| self.table.end(id));
        ends.filter_map(|(no, side)| self.dialog_state(self.table.call(no)?, side)).collect()
    }

    /// The call that is parked there, seen from there: its key is that of the dialog with the telephone of who is parked, the other way round.
    fn parked_state(&self, slot: Slot) -> Option<DialogState> {
        let call = self.table.call(self.parks.get(slot)?.call)?;
        let (who, keeper) = (&call.caller, &call.callee);
        let hold = matches!(who.state, PartyState::Up { hold, .. } if hold != Hold::default());
        let leg = who.leg().and_then(|leg| self.table.leg(leg)).map(key);
        Some(DialogState {
            id: keeper.id,
            is_initiator: false,
            progress: Progress::Confirmed,
            local: End { identity: keeper.identity.clone(), holds: false },
            remote: End { identity: who.identity.clone(), holds: hold },
            key: leg.map(|key| DialogKey { local_tag: key.remote_tag, remote_tag: key.local_tag, ..key }),
        })
    }

    /// One end of a call; `None` while there is nothing of it to see.
    fn dialog_state(&self, call: &Call, side: Side) -> Option<DialogState> {
        let (party, other) = (call.party(side), call.party(side.other()));
        let progress = match (&party.state, other.seen()) {
            (PartyState::Idle | PartyState::Service(_), _) => return None,
            (PartyState::Ringing { .. }, _) if call.reminds().is_some() => return None,
            (PartyState::Ringing { rung, .. }, _) if *rung => Progress::Early,
            (PartyState::Ringing { .. }, _) => Progress::Trying,
            (PartyState::Calling(_) | PartyState::Up { .. }, CallState::Dialing) => Progress::Trying,
            (PartyState::Calling(_), _) | (PartyState::Up { .. }, CallState::Ringing) => Progress::Early,
            (PartyState::Up { .. }, _) => Progress::Confirmed,
        };
        let end = |identity: &Identity, state: &PartyState| End {
            identity: identity.clone(),
            holds: matches!(state, PartyState::Up { hold, .. } if *hold != Hold::default()),
        };
        Some(DialogState {
            id: party.id,
            is_initiator: party.direction == Direction::Out,
            progress,
            local: end(&party.identity, &party.state),
            remote: end(&other.identity, &other.state),
            key: party.legs().first().and_then(|leg| self.table.leg(*leg)).map(key),
        })
    }

    /// How a subject stands now.
    pub(crate) fn state_of(&self, site: &Site, package: Package, subject: Subject) -> State {
        match package {
            Package::Dialog => State::Dialogs(self.dialogs_of(subject)),
            Package::Presence => State::Presence(self.presence_of(site, subject)),
            Package::Summary => State::Summary,
        }
    }

    /// Whether a phone of the user can be rung.
    pub(super) fn is_reachable(&self, site: &Site, user: UserId) -> bool {
        site.devices_of(user).any(|device| match device.access {
            Access::Digest { .. } => self.registrar.is_registered(device.id),
            Access::Address(_) => true,
        })
    }

    /// Tells the watchers of whatever was touched in this step how it stands now, if it is otherwise than before.
    pub(crate) fn light_lamps(&mut self, at: At<'_>) {
        let mut subjects = self.table.take_touched();
        subjects.extend(std::mem::take(&mut self.subscriptions.touched).into_iter().map(Subject::User));
        let of_each = |subject| [Package::Dialog, Package::Presence].map(|package| (package, subject));
        self.look_at(at, subjects.into_iter().flat_map(of_each));
    }

    /// All of them are looked at before anybody is told: a list tells of all its changes at once.
    fn look_at(&mut self, at: At<'_>, subjects: impl Iterator<Item = (Package, Subject)>) {
        let mut watchers = BTreeSet::new();
        for (package, subject) in subjects {
            let Some(before) = self.subscriptions.state(package, subject) else { continue };
            let now = self.state_of(at.site, package, subject);
            if *before != now {
                watchers.extend(self.subscriptions.changed(package, subject, Arc::new(now)));
            }
        }
        for id in watchers {
            self.tell(at, id, News::Changes);
        }
    }

    /// Another call handling mode is in force for these users.
    pub(crate) fn handling_changed(&mut self, at: At<'_>, users: &[UserId]) {
        for user in users {
            let handled = Handled::of(at.site, *user, at.now.wall);
            self.subscriptions.handled.insert(*user, handled);
        }
        self.subscriptions.touched.extend(users);
        self.light_lamps(at);
    }

    /// The site has changed: numbers may lead elsewhere, or nowhere; users may be called otherwise or have other devices.
    pub(crate) fn look_at_all(&mut self, at: At<'_>) {
        self.subscriptions.handled.retain(|user, _| at.site.user(*user).is_some());
        for id in self.subscriptions.ids() {
            self.look_at_subscription(at, id);
        }
        self.look_at(at, self.subscriptions.watched().into_iter());
    }

    fn look_at_subscription(&mut self, at: At<'_>, id: SubId) {
        let Some(sub) = self.subscriptions.get(id) else { return };
        if at.site.device(sub.device).is_none() {
            return self.tell(at, id, News::End(super::Reason::Rejected));
        }
        let Some(moved) = moved(at.site, sub) else { return };
        let before: BTreeSet<_> = sub.subjects().collect();
        if let Moved::Gone = moved {
            return self.tell(at, id, News::End(super::Reason::NoResource));
        }
        let Some(sub) = self.subscriptions.get_mut(id) else { return };
        match moved {
            Moved::Gone => {}
            Moved::Members(lamps) => {
                if let super::Of::List { lamps: old, .. } = &mut sub.of {
                    *old = lamps;
                }
            }
            Moved::Subjects => {
                for lamp in sub.lamps_mut() {
                    let now = subject(at.site, &lamp.number);
                    if now != lamp.subject {
                        (lamp.subject, lamp.told) = (now, None);
                    }
                }
            }
        }
        self.watch(at, id, &before);
        self.tell(at, id, News::Everything);
    }

    /// Enters a subscription with whom it watches, and those it watches no more leave.
    pub(super) fn watch(&mut self, at: At<'_>, id: SubId, before: &BTreeSet<(Package, Subject)>) {
        let Some(sub) = self.subscriptions.get(id) else { return };
        let now: BTreeSet<_> = sub.subjects().collect();
        for (package, subject) in before.difference(&now) {
            self.subscriptions.unwatch(*package, *subject, id);
        }
        for (package, subject) in &now {
            let state = match self.subscriptions.state(*package, *subject) {
                Some(state) => state,
                None => Arc::new(self.state_of(at.site, *package, *subject)),
            };
            self.subscriptions.watch(*package, *subject, id, state);
        }
        self.watch_calls();
    }
}

/// What a change of the site does to a subscription.
enum Moved {
    /// Its number leads nowhere.
    Gone,
    /// Some of its numbers lead elsewhere.
    Subjects,
    /// Its list has other members.
    Members(Vec<super::Lamp>),
}

fn moved(site: &Site, sub: &Subscription) -> Option<Moved> {
    match &sub.of {
        super::Of::One(lamp) => match subject(site, &lamp.number) {
            None => Some(Moved::Gone),
            now => (now != lamp.subject).then_some(Moved::Subjects),
        },
        super::Of::List { list, lamps, .. } => {
            let numbers = list.numbers(site);
            if !numbers.iter().eq(lamps.iter().map(|lamp| &lamp.number)) {
                let lamps = numbers.into_iter().map(|number| super::Lamp::new(site, number));
                return Some(Moved::Members(lamps.collect()));
            }
            let differs = |lamp: &super::Lamp| subject(site, &lamp.number) != lamp.subject;
            lamps.iter().any(differs).then_some(Moved::Subjects)
        }
    }
}

impl super::Lamp {
    pub(crate) fn new(site: &Site, number: String) -> super::Lamp {
        super::Lamp { subject: subject(site, &number), number, version: 0, told: None }
    }
}

fn key(leg: &Leg) -> DialogKey {
    let (call_id, local_tag) = match &leg.state {
        LegState::Incoming(incoming) => (incoming.dialog.call_id(), incoming.dialog.remote_tag()),
        LegState::Outgoing(outgoing) => (outgoing.asked.call_id.as_str(), outgoing.remote_tag.as_str()),
        LegState::Up(up) => (up.dialog.call_id(), up.dialog.remote_tag()),
    };
    DialogKey { call_id: call_id.to_owned(), local_tag: local_tag.to_owned(), remote_tag: leg.tag.clone() }
}
