//! Event package `presence` (RFC 3856) in PIDF (RFC 3863): whether a user's phones can be reached, whether he is in a call, and what his call handling mode says of him
//! (RFC 4480), and what his devices have published of him.

use std::fmt::{self, Write as _};

use cas::site::handling::Mode;
use cas::site::{Site, UserId};
use cas::time::Wall;

use super::watch::Subject;
use super::xml::{DECLARATION, Text};
use crate::engine::Engine;

/// What there is to know of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    /// A phone of his can be rung.
    pub(crate) is_reachable: bool,
    /// He is in a call, or being called.
    pub(crate) is_on_the_phone: bool,
    /// What he has made of his calls.
    pub(crate) handled: Handled,
    /// What his devices say.
    pub(crate) published: Vec<Tuple>,
}

/// The call handling mode that is in force for somebody. As it was noticed last: the clock may have gone on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handled {
    mode: Mode,
    /// Do not disturb.
    dnd: bool,
}

impl Handled {
    pub(super) fn of(site: &Site, user: UserId, now: Wall) -> Handled {
        let (mode, rules) = site.handling(user, now);
        Handled { mode, dnd: rules.dnd }
    }

    /// What people read of one who is not there for calls, and the activity it is in RFC 4480 §3.2.
    fn absence(self) -> Option<(&'static str, &'static str)> {
        match (self.mode, self.dnd) {
            (Mode::InAMeeting, _) => Some((Mode::InAMeeting.title(), "meeting")),
            (Mode::OutOfOffice, _) => Some((Mode::OutOfOffice.title(), "away")),
            (Mode::ExtendedAbsence, _) => Some((Mode::ExtendedAbsence.title(), "vacation")),
            (Mode::Standard | Mode::Custom, true) => Some(("Do not disturb", "busy")),
            (Mode::Standard | Mode::Custom, false) => None,
        }
    }
}

/// What a device says of its user (RFC 3863 §4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// Its name, unique among all of him.
    pub(crate) id: String,
    pub(crate) is_open: bool,
    /// In his own words; may be empty.
    pub(crate) note: String,
}

impl Engine {
    pub(super) fn presence_of(&self, site: &Site, subject: Subject) -> Presence {
        match subject {
            Subject::User(user) => Presence {
                is_reachable: self.is_reachable(site, user),
                is_on_the_phone: !self.calls_of(user).is_empty(),
                handled: self.subscriptions.handled.get(&user).copied().unwrap_or_default(),
                published: self.subscriptions.publications.of(user),
            },
            Subject::Orbit(_) => Presence {
                is_reachable: true,
                is_on_the_phone: !self.dialogs_of(subject).is_empty(),
                handled: Handled::default(),
                published: Vec::new(),
            },
        }
    }
}

/// The document of somebody; `entity` is his URI.
pub(super) fn document(entity: &str, presence: &Presence) -> String {
    let mut out = String::from(DECLARATION);
    // Writing to memory cannot fail.
    let _ = write(&mut out, entity, presence);
    out
}

fn write(out: &mut String, entity: &str, presence: &Presence) -> fmt::Result {
    let entity = Text(entity);
    writeln!(
        out,
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{entity}\">"
    )?;
    let basic = basic(presence.is_reachable);
    writeln!(out, "<tuple id=\"phone\"><status>{basic}</status><contact>{entity}</contact></tuple>")?;
    for tuple in &presence.published {
        write!(out, "<tuple id=\"{}\"><status>{}</status>", Text(&tuple.id), self::basic(tuple.is_open))?;
        if !tuple.note.is_empty() {
            write!(out, "<note>{}</note>", Text(&tuple.note))?;
        }
        out.write_str("</tuple>\n")?;
    }
    let absence = presence.handled.absence();
    let note = match (presence.is_on_the_phone, absence, presence.is_reachable) {
        (true, ..) => "On the phone",
        (false, Some((note, _)), _) => note,
        (false, None, true) => "Available",
        (false, None, false) => "Offline",
    };
    // What stands outside of a tuple: RFC 3863 lets notes follow tuples, and what is not its own after those.
    writeln!(out, "<note>{note}</note>")?;
    let activities = [presence.is_on_the_phone.then_some("on-the-phone"), absence.map(|(_, activity)| activity)];
    if activities.iter().any(Option::is_some) {
        out.write_str("<dm:person id=\"person\"><rpid:activities>")?;
        for activity in activities.into_iter().flatten() {
            write!(out, "<rpid:{activity}/>")?;
        }
        out.write_str("</rpid:activities></dm:person>\n")?;
    }
    out.write_str("</presence>\n")
}

fn basic(is_open: bool) -> &'static str {
    if is_open { "<basic>open</basic>" } else { "<basic>closed</basic>" }
}
