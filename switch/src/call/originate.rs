//! How a call begins: an INVITE from a phone, or a client's make-call.

use std::net::IpAddr;
use std::time::Duration;

use cas::control::{Accepted, CallId, Cause, Direction as CallDirection, Principal, Refusal, RefusalCode};
use cas::site::DeviceId;

use super::cause::{Failure, Whose};
use super::forward::Course;
use super::leg::{Incoming, Leg, LegId, LegState, Terms};
use super::offer::{Offer, read_offer, refused};
use super::party::{Identity, Party, PartyState, Side};
use super::route::{self, Contact, Destination};
use super::trail::Trail;
use super::{Call, CallNo, Manner, Stage};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::journal::{DialogKey, Part};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::{Request, Status};
use crate::sip::sdp::Direction;
use crate::sip::session_timer::Grant;
use crate::sip::transaction::ServerTx;

/// How long a phone is rung.
pub(crate) const NO_ANSWER: Duration = Duration::from_secs(60);

impl Engine {
    /// An INVITE outside of any dialog, from a device that has proved who it is.
    pub(crate) fn invited(&mut self, at: At<'_>, tx: ServerTx, invite: Request, flow: Flow, device: DeviceId) {
        self.endpoint.respond(at.now.mono, tx, &invite.response(Status(100)));
        if self.is_full() || self.has_its_calls(&flow) {
            return self.overloaded(at, tx, &invite);
        }
        if self.has_come_back(&invite, &flow) {
            return self.endpoint.respond(at.now.mono, tx, &invite.response(Status(482)));
        }
        let (grant, offer) = match Grant::of(&invite).and_then(|grant| Ok((grant, read_offer(&invite)?))) {
            Ok(read) => read,
            Err(response) => return self.endpoint.respond(at.now.mono, tx, &response),
        };
        let replaced = match self.replaced(at, &invite, device) {
            Ok(replaced) => replaced,
            Err(response) => return self.endpoint.respond(at.now.mono, tx, &response),
        };
        let tag = self.endpoint.token();
        let begun = Dialog::server(&invite, &tag, flow).and_then(|dialog| Ok((dialog, invite.headers.cseq()?.number)));
        let (dialog, number) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.endpoint.respond(at.now.mono, tx, &refused(&invite, error.status, &error.text)),
        };
        let Some(place) = self.ports.take() else {
            return self.overloaded(at, tx, &invite);
        };
        let dialled = invite.uri.user.clone().unwrap_or_default();
        let served = self.serves(&invite.uri, &flow);
        let destination = if served { route::destination_of(at.site, &invite.uri) } else { None };
        let caller = route::caller_identity(at.site, device, &invite);
        let callee = route::identity(at.site, &dialled);
        let max_forwards = invite.headers.max_forwards().ok().flatten().map_or(70, |left| left.saturating_sub(1));
        let stage = Stage::Ringing { ticket: None, failure: None };
        let no = self.begin(at, caller, callee, stage, max_forwards, Some(flow.source()));
        let trail = self.trail_of(at.site, device, &invite, &flow);
        let leg = LegId(self.table.number(at.now));
        let sdp = self.session(&flow, place);
        let part = Part::new(leg, Side::Caller, device, flow, sdp.local().into());
        self.take_part(no, DialogKey::of_request(&invite), part);
        let (terms, audio) = match offer {
            Some((offer, audio)) => (Terms::Offered(offer), Some(audio)),
            None => (Terms::Open, None),
        };
        let provisional = Incoming::first_rseq(self.endpoint.entropy.number());
        let state = LegState::Incoming(Box::new(Incoming { tx, invite, terms, provisional, number, grant, dialog }));
        let (side, direction) = (Side::Caller, Direction::SendRecv);
        let number: String = dialled.into();
        let shown = Identity { user: None, number: number.clone(), name: String::new() };
        self.table.insert_leg(leg, Leg { call: no, side, device, tag, place, sdp, audio, direction, shown, state });
        self.open_media(leg, place);
        self.endpoint.transactions.set_owner(tx, Owner::Invite(leg));
        if let Some(call) = self.table.call_mut(no) {
            call.caller.device = Some(device);
            call.caller.state = PartyState::Calling(leg);
            call.trail = trail;
        }
        let user = self.table.call(no).and_then(|call| call.caller.identity.user);
        let is_outside = user.is_none();
        if let Some(user) = user.filter(|_| served && replaced.is_none()) {
            self.note_dialled(at, user, &number, destination.as_ref());
        }
        match destination {
            _ if replaced.is_some() => {
                if let Some(replaced) = replaced {
                    self.replace_dialog(at, no, replaced);
                }
            }
            // Who is behind a gateway might fetch any parked call, and open any telephone's microphone.
            Some(destination) if is_outside && destination.is_for_users() => {
                let failure = Failure { status: Status(403), cause: Cause::Declined };
                self.end_call(at, no, failure, None);
            }
            Some(destination) => self.reach_destination(at, no, &destination),
            None => self.turn_down(at, no, Failure::new(Cause::NoRoute)),
        }
    }

    /// Whether a client may begin a call.
    pub(crate) fn may_begin(&self) -> Result<(), Refusal> {
        if self.is_full() { Err(Failure::new(Cause::Overloaded).refusal(Whose::Far)) } else { Ok(()) }
    }

    /// make-call: rings the user's own phone, then the destination (S59, S77).
    pub(crate) fn make_call(
        &mut self,
        at: At<'_>,
        who: &Principal,
        dest: &str,
        name_hint: Option<String>,
        device: Option<DeviceId>,
    ) -> Result<Accepted, Refusal> {
        self.may_begin()?;
        let number = dialled(dest);
        let destination = self.may_dial(at, &number)?;
        self.may_reach(at, Some(who.user), &destination)?;
        if !self.is_worth_it(at.site, who, &destination) {
            let text = "Nothing is there to be got".to_owned();
            return Err(Refusal { code: RefusalCode::NoRoute, text: text.into() });
        }
        let own = match device {
            None => self.contacts(at.site, who.user),
            Some(device) if at.site.device(device).is_some_and(|device| device.user == Some(who.user)) => {
                self.device_contacts(at.site, device)
            }
            Some(_) => {
                let text = "The user has no such device".to_owned();
                return Err(Refusal { code: RefusalCode::NotFound, text: text.into() });
            }
        };
        if own.is_empty() {
            return Err(Failure::new(Cause::NotRegistered).refusal(Whose::Own));
        }
        let is_first = |contact: &Contact| contact.device == own[0].device;
        let is_own = matches!(destination, Destination::User(user) | Destination::Intercom(user) if user == who.user);
        if is_own && self.contacts(at.site, who.user).iter().all(is_first) {
            let text = "That is your own number, and no other device of yours can be rung";
            return Err(Refusal { code: RefusalCode::BadValue, text: text.into() });
        }
        self.note_dialled(at, who.user, &number, Some(&destination));
        let mut callee = route::identity(at.site, &number);
        let is_outside = matches!(destination, Destination::User(user) if super::waiting::is_gateway(at.site, user));
        if let Some(hint) = name_hint.filter(|_| is_outside || callee.name.is_empty()) {
            callee.name = hint;
        }
        Ok(self.ring_own(at, who, own, destination, callee))
    }

    /// Rings a user's own phones, then goes on to the destination.
    pub(crate) fn ring_own(
        &mut self,
        at: At<'_>,
        who: &Principal,
        own: Vec<Contact>,
        destination: Destination,
        callee: Identity,
    ) -> Accepted {
        let ticket = self.ticket();
        let caller = route::user_identity(at.site, who.user);
        let goal = self.to_be_got(at.site, who.user, &destination);
        let no =
            self.begin(at, caller, callee, Stage::RingingCaller { ticket: Some(ticket), destination, goal }, 70, None);
        let call = self.table.call(no).map(|call| call.caller.id);
        self.ring(at, no, Side::Caller, own, &Offer::everything());
        Accepted { ticket, call }
    }

    pub(crate) fn begin(
        &mut self,
        at: At<'_>,
        caller: Identity,
        callee: Identity,
        stage: Stage,
        max_forwards: u8,
        source: Option<IpAddr>,
    ) -> CallNo {
        let no = CallNo(self.table.number(at.now));
        let ids = [CallId(self.table.number(at.now)), CallId(self.table.number(at.now))];
        let (out, inward) = (CallDirection::Out, CallDirection::In);
        let [caller, callee] = [
            Party::new(ids[0], caller.clone(), out, callee.clone(), at.now),
            Party::new(ids[1], callee, inward, caller, at.now),
        ];
        tracing::debug!(call = %caller.id, far = %callee.id, "a call begins");
        let call = Call {
            stage,
            caller,
            callee,
            max_forwards,
            transferor: None,
            trail: Trail::default(),
            manner: Manner::Plain,
            course: Course::default(),
            source,
        };
        self.table.insert(no, call);
        self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + NO_ANSWER);
        self.counts.calls += 1;
        self.journal.begin(no, at.now);
        self.touch(no, None);
        no
    }

    /// The caller is there: on to whom he wants.
    pub(crate) fn reach_destination(&mut self, at: At<'_>, no: CallNo, destination: &Destination) {
        match destination {
            Destination::Service(feature) => self.serve(at, no, *feature),
            Destination::Orbit(slot) => self.retrieve(at, no, *slot),
            Destination::Park(spot) => self.park_held(at, no, *spot),
            Destination::Pickup(user) => self.pick_up_at(at, no, *user),
            Destination::GroupPickup => self.pick_up_in_group(at, no),
            Destination::Intercom(user) => {
                if let Some(call) = self.table.call_mut(no) {
                    call.manner = Manner::Intercom;
                }
                self.reach_destination(at, no, &Destination::User(*user));
            }
            Destination::Return => self.return_call(at, no),
            Destination::Redial => self.redial(at, no),
            Destination::CallBack(wanted) => self.book(at, no, *wanted),
            Destination::NoCallBack(wanted) => self.unbook(at, no, *wanted),
            Destination::Phone(sip_user, instance) => {
                let user = at.site.device_by_sip_user(sip_user).and_then(|device| device.user);
                if let Some(user) = user {
                    self.note_caller(at, no, user);
                }
                if user.is_some_and(|user| self.is_busy(at.site, user)) {
                    if let Some(call) = self.table.call_mut(no) {
                        call.callee.is_wanted = call.caller.identity.user != user;
                    }
                    return self.unreached(at, no, Failure::new(Cause::Busy));
                }
                let offer = self.offer_of(no, Side::Caller);
                match self.phone_contact(at.site, sip_user, instance) {
                    Some(contact) => self.ring(at, no, Side::Callee, vec![contact], &offer),
                    None => self.unreached(at, no, Failure::new(Cause::NotRegistered)),
                }
            }
            Destination::User(user) => self.reach_user(at, no, *user),
        }
    }

    fn overloaded(&mut self, at: At<'_>, tx: ServerTx, invite: &Request) {
        self.counts.turned_away += 1;
        let response = self.unavailable(invite);
        self.endpoint.respond(at.now.mono, tx, &response);
    }

    /// No call more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.life.is_ending() || self.table.len() >= self.settings.max_calls
    }
}

/// A number as it is written by people, without what they write for the eye.
pub(crate) fn dialled(number: &str) -> String {
    number.chars().filter(|c| !" -()./".contains(*c)).collect()
}
