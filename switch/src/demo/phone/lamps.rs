//! Lamps: the telephone is told of the calls of a number (RFC 4235) and shows them, and its lamp key gets one of them: INVITE with Replaces (RFC 3891).

use std::time::{Duration, Instant};

use rsip::headers::Header;
use rsip::{Method, Request, Response};

use super::call::{Dialog, head};
use super::message::{self, Essentials};
use super::transaction::Purpose;
use super::{DialogName, Event, Phone};

/// How long it asks to be told, in seconds.
const EXPIRES: u32 = 120;
/// How long it waits before it asks again, where it was refused or nobody answered.
const AGAIN: Duration = Duration::from_secs(10);

/// A lamp of a telephone.
#[derive(Debug)]
pub(super) struct Lamp {
    pub(super) dialog: Dialog,
    /// When it asks again.
    due: Option<Instant>,
    /// It is to go out: the last NOTIFY is awaited.
    ending: bool,
    /// Of the last document.
    version: Option<u64>,
    lit: Vec<Lit>,
}

/// A call that a lamp shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lit {
    /// Its name in the documents.
    pub id: String,
    /// `trying`, `early` or `confirmed`.
    pub state: String,
    /// Whether whom the lamp is for has begun it.
    pub is_initiator: bool,
    /// Who is at its other end: the number.
    pub remote: String,
    /// By what it can be got.
    pub key: Option<DialogName>,
}

impl Lamp {
    /// RFC 4235 §4.1: the full state. `Err`: what is wrong with the document.
    fn take(&mut self, document: &str) -> Result<(), String> {
        let root = between(document, "<dialog-info ", ">").ok_or_else(|| format!("no dialog-info: {document}"))?;
        let version = attribute(root, "version").and_then(|version| version.parse().ok());
        let version = version.ok_or_else(|| format!("a dialog-info without version: {root}"))?;
        if attribute(root, "state") != Some("full") || self.version.is_some_and(|last| version != last + 1) {
            return Err(format!("after version {:?} of a lamp came {root}", self.version));
        }
        self.version = Some(version);
        self.lit = document.split("<dialog ").skip(1).filter_map(lit).collect();
        self.lit.sort();
        Ok(())
    }
}

impl Phone {
    /// Lights a lamp for this number; again, where there is one. False where it is switched off.
    pub fn watch(&mut self, now: Instant, number: &str) -> bool {
        if !self.on {
            return false;
        }
        let dialog = Dialog { cseq: 0, ..self.dialog_with(number) };
        self.lamps.insert(number.to_owned(), Lamp { dialog, due: None, ending: false, version: None, lit: Vec::new() });
        self.subscribe(now, number, EXPIRES);
        true
    }

    /// Puts it out.
    pub fn unwatch(&mut self, now: Instant, number: &str) {
        let Some(lamp) = self.lamps.get_mut(number) else { return };
        (lamp.due, lamp.ending) = (None, true);
        match lamp.dialog.remote_tag {
            Some(_) => self.subscribe(now, number, 0),
            // The switch has not taken it.
            None => drop(self.lamps.remove(number)),
        }
    }

    /// The numbers for which it has lamps.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.lamps.keys().map(String::as_str)
    }

    /// What a lamp shows, once that was told, and the tag of the switch in its subscription.
    pub fn lamp(&self, number: &str) -> Option<(&str, &[Lit])> {
        let lamp = self.lamps.get(number).filter(|lamp| lamp.version.is_some())?;
        Some((lamp.dialog.remote_tag.as_deref()?, &lamp.lit))
    }

    /// Whether a subscription of its was taken, and it was told nothing of it yet.
    pub fn awaits_lamp(&self) -> bool {
        self.lamps.values().any(|lamp| lamp.due.is_some() && lamp.dialog.remote_tag.is_some() && lamp.version.is_none())
    }

    /// Whether it has called, or calls, by the key beside a lamp.
    pub fn has_pressed_a_lamp(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.replaces.is_some())
    }

    /// Presses the key beside a lamp that is lit: whatever can be got of what it shows. False where there is nothing, or the line is in use.
    pub fn press_lamp(&mut self, now: Instant, number: &str) -> bool {
        let key = self.lamp(number).and_then(|(_, lit)| lit.iter().find_map(|call| call.key.clone()));
        key.is_some_and(|key| self.call_in_place_of(now, number, Some(key)))
    }

    fn subscribe(&mut self, now: Instant, number: &str, expires: u32) {
        let contact = self.contact();
        let Some(lamp) = self.lamps.get_mut(number) else { return };
        lamp.due = None;
        lamp.dialog.cseq += 1;
        let head = head(&lamp.dialog);
        let extra = vec![contact, Header::Event("dialog".into()), Header::Expires(expires.into())];
        let request = self.request(Method::Subscribe, head, extra, None);
        self.send_request(now, request, Purpose::Lamp, false);
    }

    fn lamp_of(&self, call_id: &str) -> Option<String> {
        self.lamps.iter().find(|(_, lamp)| lamp.dialog.call_id == call_id).map(|(number, _)| number.clone())
    }

    /// A SUBSCRIBE goes again, with credentials: its number.
    pub(super) fn lamp_challenged(&mut self, request: &Request) -> Option<u32> {
        let mut lamps = self.lamps.values_mut();
        let lamp = lamps.find(|lamp| message::is_of(request, &lamp.dialog.call_id))?;
        lamp.dialog.cseq += 1;
        Some(lamp.dialog.cseq)
    }

    /// A SUBSCRIBE was answered, or (408) was not. Where the switch does not know the subscription, another begins.
    pub(super) fn lamp_answered(&mut self, now: Instant, request: &Request, status: u16, answer: Option<&Response>) {
        let Some(number) = Essentials::of(request).ok().and_then(|asked| self.lamp_of(&asked.call_id)) else { return };
        let Some(lamp) = self.lamps.get_mut(&number) else { return };
        match (status, answer) {
            (..200, _) => {}
            (200..300, Some(answer)) => {
                let granted = message::value(answer, "Expires").and_then(|value| value.trim().parse().ok());
                let tag = Essentials::of(answer).ok().and_then(|essentials| essentials.to_tag);
                let (Some(granted), Some(tag), Some(target)) = (granted, tag, message::contact(answer)) else {
                    return self.tell(Event::Malformed("a 2xx to SUBSCRIBE without Expires, To tag or Contact".into()));
                };
                lamp.dialog.confirm(answer, tag, target);
                lamp.due = (!lamp.ending).then(|| now + Duration::from_secs(granted) * 2 / 3);
            }
            _ if lamp.ending => drop(self.lamps.remove(&number)),
            (481, _) => drop(self.watch(now, &number)),
            _ => {
                lamp.dialog.remote_tag = None;
                lamp.due = Some(now + AGAIN);
            }
        }
    }

    /// A NOTIFY for one of its lamps; false where it is for none.
    pub(super) fn receive_lamp(
        &mut self,
        now: Instant,
        key: &(String, String),
        request: &Request,
        its: &Essentials,
    ) -> bool {
        let is_its = |lamp: &Lamp| {
            let dialog = &lamp.dialog;
            dialog.call_id == its.call_id
                && its.to_tag.as_ref() == Some(&dialog.local_tag)
                && dialog.remote_tag.as_ref().is_none_or(|tag| *tag == its.from_tag)
        };
        let Some((number, lamp)) = self.lamps.iter_mut().find(|(_, lamp)| is_its(lamp)) else { return false };
        if its.cseq <= lamp.dialog.remote_cseq {
            // RFC 3261 §12.2.2.
            self.refuse(now, key, 500);
            return true;
        }
        // RFC 6665 §4.4.1: it may come before the answer to its SUBSCRIBE.
        lamp.dialog.remote_tag = Some(its.from_tag.clone());
        lamp.dialog.remote_cseq = its.cseq;
        let number = number.clone();
        let state = message::value(request, "Subscription-State").unwrap_or_default();
        let (is_over, ending) = (state.starts_with("terminated"), lamp.ending);
        let taken = match request.body.is_empty() {
            // Its last word may be that alone.
            true if is_over => Ok(()),
            _ => lamp.take(&String::from_utf8_lossy(&request.body)),
        };
        self.refuse(now, key, 200);
        if let Err(wrong) = taken {
            self.tell(Event::Malformed(wrong));
        }
        if is_over {
            self.lamps.remove(&number);
            if !ending {
                self.watch(now, &number);
            }
        }
        true
    }

    /// The connection is another: what was told over the old one may be lost.
    pub(super) fn renew_lamps(&mut self, now: Instant) {
        for lamp in self.lamps.values_mut().filter(|lamp| !lamp.ending) {
            lamp.due = Some(now);
        }
    }

    pub(super) fn lamps_due(&self) -> impl Iterator<Item = Instant> {
        self.lamps.values().filter_map(|lamp| lamp.due)
    }

    pub(super) fn elapse_lamps(&mut self, now: Instant) {
        let is_due = |lamp: &Lamp| lamp.due.is_some_and(|due| due <= now);
        let due: Vec<String> =
            self.lamps.iter().filter(|(_, lamp)| is_due(lamp)).map(|(number, _)| number.clone()).collect();
        for number in due {
            match self.lamps.get(&number).and_then(|lamp| lamp.dialog.remote_tag.as_ref()) {
                Some(_) => self.subscribe(now, &number, EXPIRES),
                None => drop(self.watch(now, &number)),
            }
        }
    }
}

/// One `<dialog>`, from within its tag; `None` where it is over.
fn lit(dialog: &str) -> Option<Lit> {
    let head = dialog.split('>').next()?;
    let state = between(dialog, "<state>", "</state>")?;
    let named = |name| attribute(head, name).map(str::to_owned);
    let key = named("call-id")
        .zip(named("local-tag"))
        .zip(named("remote-tag"))
        .map(|((call_id, local_tag), remote_tag)| DialogName::new(call_id, local_tag, remote_tag));
    let remote = between(dialog, "<remote>", "</remote>")?;
    let lit = Lit {
        id: named("id")?,
        state: state.to_owned(),
        is_initiator: attribute(head, "direction") == Some("initiator"),
        remote: between(remote, "sip:", "@")?.to_owned(),
        key,
    };
    (lit.state != "terminated").then_some(lit)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix("=\"")?.split('"').next())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}
