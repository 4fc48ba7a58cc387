//! SUBSCRIBE (RFC 6665 §4.2.1): which subscriptions are taken, for how long, and their renewal and end.

use std::collections::BTreeSet;
use std::time::Duration;

use cas::site::{DeviceId, UserId};

use super::list::{EXTENSION, MOST, Members};
use super::package::{ALLOW_EVENTS, accepts};
use super::watch::{Subject, subject};
use super::{Lamp, News, Notice, Of, Pace, Package, Reason, SubId, Subscription, list};
use crate::endpoint::Timer;
use crate::engine::{At, Engine};
use crate::sip::dialog::Dialog;
use crate::sip::event::Event;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Method, ParseError, Request, Response, Status};
use crate::sip::transaction::ServerTx;
use crate::sip::uri::{Params, Uri};

/// Shorter subscriptions and publications are refused with 423, longer ones shortened, seconds. What says nothing gets the longest.
///
/// A restart loses them: nothing of them is stored, as every state would have to be, with its version. A phone finds out when it renews (481), so that no lamp is wrong for longer
/// than this.
pub(super) const MIN_EXPIRES: u32 = 60;
pub(super) const MAX_EXPIRES: u32 = 600;

/// What a SUBSCRIBE asks for.
struct Wanted {
    package: Package,
    event: Event,
    seconds: u32,
}

impl Engine {
    /// A SUBSCRIBE outside of any dialog, from a device that has proved who it is.
    pub(crate) fn subscribed(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, device: DeviceId) {
        match self.subscribe(at, request, flow, device) {
            Ok((id, seconds, response)) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                self.tell_at_once(at, id, seconds);
            }
            Err(response) => self.endpoint.respond(at.now.mono, tx, &response),
        }
    }

    fn subscribe(
        &mut self,
        at: At<'_>,
        request: &Request,
        flow: Flow,
        device: DeviceId,
    ) -> Result<(SubId, u32, Response), Response> {
        if self.life.is_ending() {
            return Err(self.unavailable(request));
        }
        let Wanted { package, event, seconds } = wanted(request)?;
        let (number, uri) = self.resource(request, &flow)?;
        let own = at.site.device(device).and_then(|device| device.user);
        let of = match Members::named(&number, own) {
            Some(members) => list_of(at, request, members)?,
            None => {
                let found = subject(at.site, &number).ok_or_else(|| request.response(Status(404)))?;
                may_watch(package, found, own, request)?;
                Of::One(Lamp { number, subject: Some(found), version: 0, told: None })
            }
        };
        self.has_room_to_subscribe(request, device)?;
        let tag = self.endpoint.token();
        let mut dialog = Dialog::server(request, &tag, flow).map_err(|error| malformed(request, &error))?;
        dialog.number_from(super::lost::first_number(at.now.wall));
        let response = accepted(request, &dialog, &tag, seconds, matches!(of, Of::List { .. }));
        let id = SubId(self.subscriptions.number());
        let (ends, pace) = (at.now.mono, Pace::new(package.interval(), at.now.mono));
        let (notice, refused) = (Notice::Told, 0);
        self.ask_the_older(at, device, package, &dialog, &of);
        let sub = Subscription { device, package, event, dialog, tag, uri, of, ends, notice, pace, refused };
        self.subscriptions.insert(id, sub);
        self.watch(at, id, &BTreeSet::new());
        Ok((id, seconds, response))
    }

    /// §4.2.1.4: a NOTIFY follows every SUBSCRIBE that is accepted, at once; with no time to go it is the last one (§4.4.3).
    fn tell_at_once(&mut self, at: At<'_>, id: SubId, seconds: u32) {
        if seconds == 0 {
            return self.tell(at, id, News::End(Reason::Timeout));
        }
        let ends = at.now.mono + Duration::from_secs(seconds.into());
        if let Some(sub) = self.subscriptions.get_mut(id) {
            sub.ends = ends;
        }
        self.endpoint.timers.set(Timer::Subscription(id), ends);
        self.tell(at, id, News::Everything);
    }

    /// A phone that has started anew knows nothing of what it had subscribed to before: it is asked, by a NOTIFY, whether it still does.
    fn ask_the_older(&mut self, at: At<'_>, device: DeviceId, package: Package, dialog: &Dialog, of: &Of) {
        let Of::One(Lamp { subject: wanted, .. }) = of else { return };
        let is_same = |sub: &Subscription| {
            sub.package == package
                && sub.dialog.remote_target() == dialog.remote_target()
                && matches!(&sub.of, Of::One(lamp) if lamp.subject == *wanted)
        };
        let older = self.subscriptions.of_device(device).filter(|(_, sub)| is_same(sub)).map(|(id, _)| id);
        for id in older.collect::<Vec<SubId>>() {
            self.tell(at, id, News::Everything);
        }
    }

    /// Whose state it is about: a user part of ours.
    fn resource(&self, request: &Request, flow: &Flow) -> Result<(String, Uri), Response> {
        let unknown = || request.response(Status(404));
        if !self.serves(&request.uri, flow) {
            return Err(unknown());
        }
        let number = request.uri.user.clone().filter(|user| !user.is_empty()).ok_or_else(unknown)?;
        Ok((number.into(), Uri { params: Params::default(), headers: None, ..request.uri.clone() }))
    }

    fn has_room_to_subscribe(&mut self, request: &Request, device: DeviceId) -> Result<(), Response> {
        let limits = &self.settings.limits;
        if self.subscriptions.count_of_device(device) >= limits.subscriptions_per_device {
            return Err(because(request, 403, "Too many subscriptions of this phone"));
        }
        if self.subscriptions.len() >= limits.subscriptions {
            self.counts.turned_away += 1;
            return Err(self.unavailable(request));
        }
        Ok(())
    }

    /// A request in the dialog of a subscription.
    pub(crate) fn within_subscription(&mut self, at: At<'_>, tx: ServerTx, request: &Request, flow: Flow, id: SubId) {
        let response = match self.renew(request, flow, id) {
            Ok((seconds, response)) => {
                self.endpoint.respond(at.now.mono, tx, &response);
                return self.tell_at_once(at, id, seconds);
            }
            Err(response) => response,
        };
        self.endpoint.respond(at.now.mono, tx, &response);
    }

    /// §4.2.1: renewed, or taken back by an Expires of 0.
    fn renew(&mut self, request: &Request, flow: Flow, id: SubId) -> Result<(u32, Response), Response> {
        let unknown = || request.response(Status(481));
        let is_ending = self.life.is_ending();
        let sub = self.subscriptions.get_mut(id).filter(|sub| sub.dialog.owns(request)).ok_or_else(unknown)?;
        sub.dialog.receive(request, flow).map_err(|status| request.response(status))?;
        if request.method != Method::Subscribe {
            return Err(crate::engine::message::other_within(request));
        }
        let wanted = wanted(request)?;
        if (wanted.package, &wanted.event.id) != (sub.package, &sub.event.id) || sub.is_ending() || is_ending {
            return Err(unknown());
        }
        sub.dialog.refresh(request.headers.contacts());
        let is_list = matches!(sub.of, Of::List { .. });
        let response = accepted(request, &sub.dialog, &sub.tag, wanted.seconds, is_list);
        Ok((wanted.seconds, response))
    }
}

/// Which package, for how long, and whether its documents can be read there.
fn wanted(request: &Request) -> Result<Wanted, Response> {
    let event = request.headers.get(&Name::Event).map(Event::parse).transpose();
    let event = event.map_err(|error| malformed(request, &error))?;
    let known = event.and_then(|event| Some((Package::from_name(&event.package)?, event)));
    let Some((package, event)) = known else { return Err(bad_event(request)) };
    if !package.is_accepted(&request.headers) {
        return Err(request.response(Status(406)).with(Name::Accept, package.media_type()));
    }
    Ok(Wanted { package, event, seconds: seconds(request)? })
}

/// How long it is asked for, as it is granted; 0 for its end.
pub(super) fn seconds(request: &Request) -> Result<u32, Response> {
    match request.headers.expires().unwrap_or(MAX_EXPIRES) {
        1..MIN_EXPIRES => Err(request.response(Status(423)).with(Name::MinExpires, MIN_EXPIRES.to_string())),
        seconds => Ok(seconds.min(MAX_EXPIRES)),
    }
}

/// 489, and which packages there are (RFC 6665 §4.2.1.1).
pub(super) fn bad_event(request: &Request) -> Response {
    request.response(Status(489)).with(Name::AllowEvents, ALLOW_EVENTS)
}

fn malformed(request: &Request, error: &ParseError) -> Response {
    because(request, error.status.0, &error.text)
}

pub(super) fn because(request: &Request, status: u16, text: &str) -> Response {
    let mut response = request.response(Status(status));
    text.clone_into(&mut response.reason);
    response
}

/// A mailbox is its owner's business; lamps and presence are everybody's.
fn may_watch(package: Package, subject: Subject, own: Option<UserId>, request: &Request) -> Result<(), Response> {
    match (package, subject) {
        (Package::Summary, Subject::User(user)) if Some(user) != own => Err(request.response(Status(403))),
        (Package::Summary, Subject::Orbit(_)) => Err(request.response(Status(404))),
        _ => Ok(()),
    }
}

fn list_of(at: At<'_>, request: &Request, members: Members) -> Result<Of, Response> {
    // RFC 4662 §4.2: whoever does not know lists cannot read one.
    if !request.headers.lists(&Name::Supported, EXTENSION) && !request.headers.lists(&Name::Require, EXTENSION) {
        return Err(request.response(Status(421)).with(Name::Require, EXTENSION));
    }
    if !accepts(&request.headers, list::MEDIA_TYPE) || !accepts(&request.headers, "multipart/related") {
        return Err(request
            .response(Status(406))
            .with(Name::Accept, format!("multipart/related, {}", list::MEDIA_TYPE)));
    }
    let numbers = members.numbers(at.site);
    if numbers.len() > MOST {
        return Err(because(request, 403, "A list of more than 200"));
    }
    if request.headers.get(&Name::Event).is_some_and(|event| event.starts_with(b"message-summary")) {
        return Err(request.response(Status(404)));
    }
    let lamps = numbers.into_iter().map(|number| Lamp::new(at.site, number)).collect();
    Ok(Of::List { list: members, lamps, version: 0 })
}

/// §4.2.1.1: the 200 says for how long.
fn accepted(request: &Request, dialog: &Dialog, tag: &str, seconds: u32, is_list: bool) -> Response {
    let mut response = request.response_tagged(Status(200), tag);
    let headers = &mut response.headers;
    headers.copy(&request.headers, &Name::RecordRoute);
    headers.push(Name::Contact, dialog.flow().contact());
    headers.push(Name::Expires, seconds.to_string());
    headers.push(Name::AllowEvents, ALLOW_EVENTS);
    if is_list {
        headers.push(Name::Require, EXTENSION);
    }
    response
}
