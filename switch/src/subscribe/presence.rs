//! Event package `presence` (RFC 3856) in PIDF (RFC 3863): whether a user's phones can be reached, whether he is in a call (RFC 4480), and what his devices have
//! published of him.

use std::fmt::{self, Write as _};

use cas::site::Site;

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
    /// What his devices say.
    pub(crate) published: Vec<Tuple>,
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
                published: self.subscriptions.publications.of(user),
            },
            Subject::Orbit(_) => Presence {
                is_reachable: true,
                is_on_the_phone: !self.dialogs_of(subject).is_empty(),
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
    let note = match (presence.is_on_the_phone, presence.is_reachable) {
        (true, _) => "On the phone",
        (false, true) => "Available",
        (false, false) => "Offline",
    };
    // What stands outside of a tuple: RFC 3863 lets notes follow tuples, and what is not its own after those.
    writeln!(out, "<note>{note}</note>")?;
    if presence.is_on_the_phone {
        out.write_str(
            "<dm:person id=\"person\"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>\n",
        )?;
    }
    out.write_str("</presence>\n")
}

fn basic(is_open: bool) -> &'static str {
    if is_open { "<basic>open</basic>" } else { "<basic>closed</basic>" }
}
