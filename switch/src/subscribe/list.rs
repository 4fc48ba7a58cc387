//! Resource lists (RFC 4662): many lamps in one subscription. A phone names the list by its address: `lamps` is everybody else, `lamps+501+502` these numbers in this
//! order.
//!
//! The first NOTIFY and that after each renewal name every resource; the others those that have changed. What would make a NOTIFY too long goes with the next
//! one: its resources are `pending` until then.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use cas::site::{Site, Target, UserId};

use super::watch::State;
use super::xml::{DECLARATION, Text};
use super::{Lamp, News, Subscription};
use crate::engine::Engine;
use crate::sip::uri::Uri;

/// The type of the part that names the resources.
pub(super) const MEDIA_TYPE: &str = "application/rlmi+xml";
/// The extension that a phone has to know (RFC 4662 §4.1).
pub(super) const EXTENSION: &str = "eventlist";
/// Resources of a list.
pub(super) const MOST: usize = 200;
/// What the first part of a list's address is.
const NAME: &str = "lamps";
/// Bytes of documents in one NOTIFY; a single longer one goes alone.
const ENOUGH: usize = 16_000;

/// What a list holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Members {
    /// Everybody with a number but him whose phone it is.
    Everybody {
        but: Option<UserId>,
    },
    Numbers(Vec<String>),
}

impl Members {
    /// The list that the user part of an address names, if it names one.
    pub(super) fn named(user: &str, own: Option<UserId>) -> Option<Members> {
        let mut parts = user.split('+');
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut numbers: Vec<String> = Vec::new();
        for number in parts.take(MOST + 1) {
            if !numbers.iter().any(|known| known == number) {
                numbers.push(number.to_owned());
            }
        }
        Some(if user == NAME { Members::Everybody { but: own } } else { Members::Numbers(numbers) })
    }

    /// The numbers in it, one more than [`MOST`] at most.
    pub(super) fn numbers(&self, site: &Site) -> Vec<String> {
        match self {
            Members::Numbers(numbers) => numbers.clone(),
            Members::Everybody { but } => {
                let is_other = |target: &Target| matches!(target, Target::User(user) if Some(*user) != *but);
                let others = site.numbers().filter(|(_, target)| is_other(target));
                others.map(|(number, _)| number.0.clone()).take(MOST + 1).collect()
            }
        }
    }
}

/// A resource's part of a NOTIFY.
struct Part {
    index: usize,
    state: Arc<State>,
    document: String,
}

impl Engine {
    /// The body of a list's NOTIFY, and what it tells of which of its resources; `None` where there is nothing to tell.
    pub(super) fn list_body(&self, sub: &Subscription, version: u32, news: News) -> Option<super::notify::Body> {
        let is_full = news > News::Changes;
        let mut parts: Vec<Part> = Vec::new();
        let mut length = 0;
        for (index, lamp) in sub.lamps().iter().enumerate() {
            let Some(state) = lamp.subject.and_then(|subject| self.subscriptions.state(sub.package, subject)) else {
                continue;
            };
            if !is_full && lamp.told.as_ref() == Some(&state) {
                continue;
            }
            if length >= ENOUGH {
                break;
            }
            let document = self.document(lamp, &resource(&sub.uri, &lamp.number), &state);
            length += document.len();
            parts.push(Part { index, state, document });
        }
        if parts.is_empty() && !is_full {
            return None;
        }
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _ = write(&mut text, sub, version, is_full, &parts);
        let content_type =
            format!("multipart/related;type=\"{MEDIA_TYPE}\";start=\"<list@{0}>\";boundary=\"list{0}\"", sub.tag);
        let told = parts.into_iter().map(|part| (part.index, part.state)).collect();
        Some(super::notify::Body { content_type, text, told })
    }
}

fn write(out: &mut String, sub: &Subscription, version: u32, is_full: bool, parts: &[Part]) -> fmt::Result {
    let (tag, lamps) = (&sub.tag, sub.lamps());
    write!(out, "--list{tag}\r\nContent-ID: <list@{tag}>\r\nContent-Type: {MEDIA_TYPE};charset=\"UTF-8\"\r\n")?;
    let uri = sub.uri.to_string();
    writeln!(
        out,
        "Content-Transfer-Encoding: binary\r\n\r\n{DECLARATION}<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"{}\" version=\"{version}\" fullState=\"{is_full}\">",
        Text(&uri)
    )?;
    for (index, lamp) in lamps.iter().enumerate() {
        let part = parts.iter().find(|part| part.index == index);
        if part.is_some() || is_full {
            write_resource(out, sub, (index, lamp), part.is_some())?;
        }
    }
    out.write_str("</list>\n")?;
    for part in parts {
        let Some(lamp) = lamps.get(part.index) else { continue };
        write!(
            out,
            "\r\n--list{tag}\r\nContent-ID: <{}.{}@{tag}>\r\nContent-Type: {};charset=\"UTF-8\"\r\nContent-Transfer-Encoding: binary\r\n\r\n{}",
            part.index,
            lamp.version,
            sub.package.media_type(),
            part.document
        )?;
    }
    write!(out, "\r\n--list{tag}--\r\n")
}

/// §5.1: a resource, and where in the message its document is.
fn write_resource(
    out: &mut String,
    sub: &Subscription,
    (index, lamp): (usize, &Lamp),
    has_document: bool,
) -> fmt::Result {
    let uri = resource(&sub.uri, &lamp.number).to_string();
    write!(out, "<resource uri=\"{}\"><instance id=\"{index}\" ", Text(&uri))?;
    match (lamp.subject, has_document) {
        (None, _) => out.write_str("state=\"terminated\" reason=\"noresource\"")?,
        (Some(_), true) => write!(out, "state=\"active\" cid=\"{index}.{}@{}\"", lamp.version, sub.tag)?,
        (Some(_), false) => out.write_str("state=\"pending\"")?,
    }
    out.write_str("/></resource>\n")
}

/// A member's address: that of the list with its number.
fn resource(list: &Uri, number: &str) -> Uri {
    Uri { user: Some(number.into()), ..list.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_named_by_its_address() {
        let but = Some(UserId(1));
        assert_eq!(Members::named("lamps", but), Some(Members::Everybody { but }));
        let numbers = |numbers: &[&str]| Some(Members::Numbers(numbers.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!(Members::named("lamps+501+*43+501", but), numbers(&["501", "*43"]));
        for other in ["501", "lampshade", "lamp+501", ""] {
            assert_eq!(Members::named(other, but), None, "{other}");
        }
    }
}
