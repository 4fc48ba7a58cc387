//! PUBLISH (RFC 3903): what a device says of its user's presence, for as long as it says. Each answer names the state by a new entity tag, by which it is renewed,
//! changed and taken back; one that is not known any more is 412, and the device publishes anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cas::site::{DeviceId, UserId};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event as Xml;

use super::Package;
use super::accept::{bad_event, because, seconds};
use super::presence::Tuple;
use super::watch::{Subject, subject};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::sip::body::is_type;
use crate::sip::event::Event;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::sip::transaction::ServerTx;

/// Publications of one device.
const OF_DEVICE: usize = 4;
/// Bytes of a document.
const LONGEST: usize = 16_384;
/// Tuples that are taken of one document, and characters of a note.
const TUPLES: usize = 4;
const NOTE: usize = 200;

/// Names a publication within the switch; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PubId(pub u64);

#[derive(Debug)]
struct Publication {
    user: UserId,
    device: DeviceId,
    tag: String,
    tuples: Vec<Tuple>,
}

/// What is published, and by which entity tag.
#[derive(Debug, Default)]
pub(super) struct Publications {
    all: BTreeMap<PubId, Publication>,
    tags: BTreeMap<String, PubId>,
    of_users: BTreeSet<(UserId, PubId)>,
}

impl Publications {
    /// What there is of a user, oldest first.
    pub(super) fn of(&self, user: UserId) -> Vec<Tuple> {
        let ids = self.of_users.range((user, PubId(0))..=(user, PubId(u64::MAX)));
        let of_user = ids.filter_map(|(_, id)| Some((id.0, self.all.get(id)?)));
        let named = |(id, publication): (u64, &Publication)| {
            let tuples = publication.tuples.iter().enumerate();
            tuples
                .map(move |(index, tuple)| Tuple { id: format!("p{id}-{index}"), ..tuple.clone() })
                .collect::<Vec<_>>()
        };
        of_user.flat_map(named).collect()
    }

    fn insert(&mut self, id: PubId, publication: Publication) {
        self.tags.insert(publication.tag.clone(), id);
        self.of_users.insert((publication.user, id));
        self.all.insert(id, publication);
    }

    fn remove(&mut self, id: PubId) -> Option<Publication> {
        let publication = self.all.remove(&id)?;
        self.tags.remove(&publication.tag);
        self.of_users.remove(&(publication.user, id));
        Some(publication)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PubId> {
        self.all.keys().copied()
    }
}

impl Engine {
    /// A PUBLISH, from a device that has proved who it is.
    pub(crate) fn published(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        let response = match self.publish(at, request, flow, device) {
            Ok(response) | Err(response) => response,
        };
        self.endpoint.respond(at.now.mono, tx, &response);
    }

    /// §6, in its order of steps.
    fn publish(&mut self, at: At<'_>, request: &Request, flow: Flow, device: DeviceId) -> Result<Response, Response> {
        let number = request.uri.user.as_deref().filter(|_| self.serves(&request.uri, &flow)).unwrap_or_default();
        let found = subject(at.site, number).ok_or_else(|| request.response(Status(404)))?;
        let event = request.headers.get(&Name::Event).and_then(|event| Event::parse(event).ok());
        if event.and_then(|event| Package::from_name(&event.package)) != Some(Package::Presence) {
            return Err(bad_event(request));
        }
        let Subject::User(user) = found else { return Err(request.response(Status(404))) };
        if at.site.device(device).and_then(|device| device.user) != Some(user) {
            return Err(request.response(Status(403)));
        }
        let known = self.condition(request, device)?;
        let seconds = seconds(request)?;
        if seconds == 0 {
            return match known {
                Some(id) => Ok(self.unpublish(request, id)),
                None => Err(because(request, 400, "Nothing to take back")),
            };
        }
        let tuples = match (request.body.is_empty(), known) {
            (false, _) => Some(tuples(request)?),
            (true, Some(_)) => None,
            (true, None) => return Err(because(request, 400, "Nothing to publish")),
        };
        if known.is_none() && !self.has_room_to_publish(device) {
            self.counts.turned_away += 1;
            return Err(self.unavailable(request));
        }
        Ok(self.take(at, request, (known, user, device), tuples, seconds))
    }

    /// §6 step 3: which publication it is about; `None` for a new one.
    fn condition(&self, request: &Request, device: DeviceId) -> Result<Option<PubId>, Response> {
        let Some(tag) = request.headers.text(&Name::SipIfMatch) else { return Ok(None) };
        let publications = &self.subscriptions.publications;
        let known = publications.tags.get(tag.trim()).copied();
        let own = known.filter(|id| publications.all.get(id).is_some_and(|known| known.device == device));
        own.map(Some).ok_or_else(|| request.response(Status(412)))
    }

    fn has_room_to_publish(&self, device: DeviceId) -> bool {
        let publications = &self.subscriptions.publications.all;
        publications.len() < self.settings.limits.subscriptions
            && publications.values().filter(|publication| publication.device == device).count() < OF_DEVICE
    }

    fn take(
        &mut self,
        at: At<'_>,
        request: &Request,
        (known, user, device): (Option<PubId>, UserId, DeviceId),
        tuples: Option<Vec<Tuple>>,
        seconds: u32,
    ) -> Response {
        let tag = self.endpoint.token();
        let id = known.unwrap_or_else(|| PubId(self.subscriptions.number()));
        let publications = &mut self.subscriptions.publications;
        let before = publications.remove(id);
        let tuples = tuples.or(before.map(|before| before.tuples)).unwrap_or_default();
        publications.insert(id, Publication { user, device, tag: tag.clone(), tuples });
        self.endpoint.timers.set(Timer::Publication(id), at.now.mono + Duration::from_secs(seconds.into()));
        self.subscriptions.touch(Some(user));
        request.response(Status(200)).with(Name::SipEtag, tag).with(Name::Expires, seconds.to_string())
    }

    fn unpublish(&mut self, request: &Request, id: PubId) -> Response {
        self.endpoint.timers.cancel(Timer::Publication(id));
        self.publication_over(id);
        // §6 step 5: an answer has a tag, though there is nothing left that it names.
        let tag = self.endpoint.token();
        request.response(Status(200)).with(Name::SipEtag, tag).with(Name::Expires, "0")
    }

    /// It was not renewed, or taken back.
    pub(crate) fn publication_over(&mut self, id: PubId) {
        let publication = self.subscriptions.publications.remove(id);
        self.subscriptions.touch(publication.map(|publication| publication.user));
    }

    /// What devices that are no more have said is gone with them.
    pub(crate) fn keep_publications(&mut self, is_there: impl Fn(DeviceId) -> bool) {
        let publications = &self.subscriptions.publications.all;
        let gone = publications.iter().filter(|(_, publication)| !is_there(publication.device));
        for id in gone.map(|(id, _)| *id).collect::<Vec<PubId>>() {
            self.endpoint.timers.cancel(Timer::Publication(id));
            self.publication_over(id);
        }
    }
}

/// What a PIDF document says.
fn tuples(request: &Request) -> Result<Vec<Tuple>, Response> {
    if !is_type(&request.headers, Package::Presence.media_type()) {
        return Err(request.response(Status(415)).with(Name::Accept, Package::Presence.media_type()));
    }
    if request.body.len() > LONGEST {
        return Err(request.response(Status(413)));
    }
    let text = std::str::from_utf8(&request.body).ok();
    text.and_then(read).ok_or_else(|| because(request, 400, "Not a PIDF document"))
}

/// The status and the note of each tuple; anything else is passed over. `None`: not a presence document.
fn read(text: &str) -> Option<Vec<Tuple>> {
    let mut reader = Reader::from_str(text);
    let (mut tuples, mut path): (Vec<Tuple>, Vec<String>) = (Vec::new(), Vec::new());
    let mut is_presence = false;
    loop {
        let text = match reader.read_event().ok()? {
            Xml::Eof => return (is_presence && path.is_empty()).then_some(tuples),
            Xml::Start(element) => {
                let name = element.local_name().as_ref().to_owned();
                is_presence |= path.is_empty() && name == "presence";
                if name == "tuple" && tuples.len() < TUPLES {
                    tuples.push(Tuple::default());
                }
                path.push(name);
                continue;
            }
            Xml::End(_) => {
                path.pop()?;
                continue;
            }
            // Nothing is declared here: there are no entities but XML's own.
            Xml::DocType(_) => return None,
            Xml::Text(text) => text.into_inner().into_owned(),
            Xml::CData(text) => text.into_inner().into_owned(),
            Xml::GeneralRef(name) => unescape(&format!("&{};", &*name)).ok()?.into_owned(),
            _ => continue,
        };
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let Some(tuple) = tuples.last_mut() else { continue };
        match names[..] {
            ["presence", "tuple", "status", "basic"] => tuple.is_open = text.trim() == "open",
            ["presence", "tuple", "note"] => {
                let room = NOTE.saturating_sub(tuple.note.chars().count());
                tuple.note.extend(text.chars().take(room));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(is_open: bool, note: &str) -> Tuple {
        Tuple { id: String::new(), is_open, note: note.to_owned() }
    }

    #[test]
    fn status_and_note_of_each_tuple_are_read() {
        let text = "<?xml version='1.0'?>\n<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' entity='sip:501@x'>\
            <p:tuple id='a'><p:status><p:basic> open </p:basic></p:status><p:note>Back &amp; <![CDATA[<well>]]></p:note></p:tuple>\
            <p:tuple id='b'><p:status><p:basic>closed</p:basic></p:status></p:tuple><p:note>else</p:note></p:presence>";
        assert_eq!(read(text), Some(vec![tuple(true, "Back & <well>"), tuple(false, "")]));
    }

    #[test]
    fn what_is_no_document_of_presence_is_refused() {
        for text in [
            "",
            "hello",
            "<presence>",
            "<other/>",
            "<a><b></a></b>",
            "<!DOCTYPE x [<!ENTITY y 'z'>]><presence></presence>",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("<presence></presence>"), Some(vec![]));
        let long = format!("<presence><tuple><note>{}</note></tuple></presence>", "x".repeat(1000));
        assert_eq!(read(&long).unwrap()[0].note.len(), NOTE);
    }
}
