//! Event package `dialog` (RFC 4235): the lamp of a number. Each document is the full state; a call that has ended since the last one is in it once more, as
//! terminated, for phones that wait for that word.

use std::fmt::{self, Write as _};

use super::watch::{DialogState, End};
use super::xml::{DECLARATION, Text};
use crate::sip::header::Address;

/// What a document is made of.
pub(super) struct Document<'a, A> {
    /// The resource as the phone wrote it.
    pub(super) entity: &'a str,
    pub(super) version: u32,
    pub(super) now: &'a [DialogState],
    /// What was told last.
    pub(super) told: &'a [DialogState],
    /// An identity as an address of this switch.
    pub(super) address: A,
}

impl<A: Fn(&End) -> Address> Document<'_, A> {
    pub(super) fn write(&self) -> String {
        let mut out = String::from(DECLARATION);
        // Writing to memory cannot fail.
        let _ = self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) -> fmt::Result {
        let entity = Text(self.entity);
        writeln!(
            out,
            "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{}\" state=\"full\" entity=\"{entity}\">",
            self.version
        )?;
        for dialog in self.now {
            self.write_dialog(out, dialog, dialog.progress.name())?;
        }
        let is_over = |dialog: &&DialogState| !self.now.iter().any(|now| now.id == dialog.id);
        for dialog in self.told.iter().filter(is_over) {
            self.write_dialog(out, dialog, "terminated")?;
        }
        out.write_str("</dialog-info>\n")
    }

    fn write_dialog(&self, out: &mut String, dialog: &DialogState, state: &str) -> fmt::Result {
        write!(out, "<dialog id=\"{}\"", dialog.id)?;
        if let Some(key) = &dialog.key {
            write!(out, " call-id=\"{}\"", Text(&key.call_id))?;
            for (name, tag) in [("local-tag", &key.local_tag), ("remote-tag", &key.remote_tag)] {
                if !tag.is_empty() {
                    write!(out, " {name}=\"{}\"", Text(tag))?;
                }
            }
        }
        let direction = if dialog.is_initiator { "initiator" } else { "recipient" };
        writeln!(out, " direction=\"{direction}\">\n<state>{state}</state>")?;
        let is_up = state == "confirmed";
        self.write_end(out, "local", &dialog.local, is_up)?;
        self.write_end(out, "remote", &dialog.remote, is_up)?;
        out.write_str("</dialog>\n")
    }

    /// §4.1.6: who it is, and whether he has put the other on hold (`+sip.rendering`, §5.2).
    fn write_end(&self, out: &mut String, name: &str, end: &End, is_up: bool) -> fmt::Result {
        let address = (self.address)(end);
        let uri = address.uri.to_string();
        write!(out, "<{name}><identity")?;
        if let Some(display) = &address.display {
            write!(out, " display=\"{}\"", Text(display))?;
        }
        write!(out, ">{0}</identity><target uri=\"{0}\"", Text(&uri))?;
        match is_up {
            true => {
                let renders = if end.holds { "no" } else { "yes" };
                write!(out, "><param pname=\"+sip.rendering\" pval=\"{renders}\"/></target>")?;
            }
            false => out.write_str("/>")?,
        }
        writeln!(out, "</{name}>")
    }
}
