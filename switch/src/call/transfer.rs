//! Transfer (S67): the other party of a call goes to somebody else, and the switch itself sees to it (it is never left to the far phone).
//!
//! Whoever transfers keeps his call until the other is reached: there [`Service::Transfer`] stands in for the one who went. If nobody is reached, that one
//! comes back. A phone asks by REFER (RFC 3515; with Replaces, RFC 3891, for the second call of an attended transfer), a client by message.

use cas::control::{CallId, Cause, Principal, Refusal, RefusalCode, Ticket};
use cas::site::{Access, Role};

use super::cause::{Failure, Whose};
use super::forward::Course;
use super::leg::{LegId, LegState};
use super::offer::{has_sound, refused};
use super::party::{Identity, Party, PartyState, Side};
use super::route::{self, Destination, Spot};
use super::trail::Trail;
use super::{Call, CallNo, Manner, Stage};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::service::Service;
use crate::service::orbit::Slot;
use crate::sip::header::{Address, Name};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::replaces::Replaces;
use crate::sip::transaction::ServerTx;
use media::PayloadMap;

/// Who has sent a caller on, and wants to know what comes of it.
#[derive(Debug)]
pub(crate) struct Transferor {
    /// His own call, until then.
    pub(crate) call: CallNo,
    pub(crate) asked: Asked,
}

/// How a transfer was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// By a client.
    Client(Ticket),
    /// By REFER in the dialog of this leg, which wants to be notified (or, by `norefersub`, RFC 4488, does not).
    Phone { leg: LegId, number: u32, notify: bool },
}

/// One end of a call that is to be transferred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) call: CallNo,
    /// The side of the one who transfers.
    pub(crate) side: Side,
}

impl Engine {
    /// REFER within a call.
    pub(crate) fn referred(&mut self, at: At<'_>, tx: ServerTx, request: &Request, id: LegId) {
        let begun = self.read_refer(at, request, id);
        let (response, transfer) = match begun {
            Ok(transfer) => {
                let notify =
                    !request.headers.get(&Name::ReferSub).is_some_and(|value| value.eq_ignore_ascii_case(b"false"));
                let mut response = request.response(Status(202));
                if let Some(leg) = self.table.leg(id) {
                    response.headers.push(Name::Contact, leg.flow().contact());
                }
                if !notify {
                    response.headers.push(Name::ReferSub, "false");
                }
                let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
                (response, Some((transfer, Asked::Phone { leg: id, number, notify })))
            }
            Err(response) => (response, None),
        };
        self.endpoint.respond(at.now.mono, tx, &response);
        if let Some((transfer, asked)) = transfer {
            self.notify(at, &asked, Status(100));
            match transfer {
                Refer::Blind(end, number, destination) => self.send_to(at, end, &number, &destination, asked),
                Refer::Attended(end, with) => self.join_ends(at, end, with, asked),
            }
        }
    }

    fn read_refer(&self, at: At<'_>, request: &Request, id: LegId) -> Result<Refer, Response> {
        let bad = |text: &str| refused(request, Status(400), text);
        let mut targets = request.headers.addresses(&Name::ReferTo).map_err(|error| bad(&error.text))?.into_iter();
        let (Some(Address { mut uri, .. }), None) = (targets.next(), targets.next()) else {
            return Err(bad("Exactly one Refer-To is needed"));
        };
        let Some(leg) = self.table.leg(id) else { return Err(request.response(Status(481))) };
        let who = self.principal(at, id).ok_or_else(|| request.response(Status(403)))?;
        let own = self.table.call(leg.call).map(|call| call.party(leg.side).id);
        let own = own.ok_or_else(|| request.response(Status(481)))?;
        let refuse = |refusal: Refusal| refused(request, status_of(refusal.code), &refusal.text);
        if let Some(replaces) = Replaces::of_uri(&uri).map_err(|error| bad(&error.text))? {
            let with = self.by_replaces(&replaces).and_then(|leg| self.table.leg(leg));
            let with = with.and_then(|leg| Some(self.table.call(leg.call)?.party(leg.side).id));
            let with = with.ok_or_else(|| refused(request, Status(404), "There is no such call to transfer to"))?;
            let (end, with) = self.may_complete(&who, own, with).map_err(refuse)?;
            return Ok(Refer::Attended(end, with));
        }
        if uri.params.value("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(bad("Only calls can be asked for by REFER"));
        }
        uri.headers = None;
        let flow = leg.flow();
        let number = uri.user.clone().filter(|_| self.serves(&uri, &flow)).unwrap_or_default();
        let (end, destination) = self.may_blind_transfer(at, &who, own, &number).map_err(refuse)?;
        Ok(Refer::Blind(end, number.into(), destination))
    }

    /// The user of the phone that a leg is, as one who asks.
    fn principal(&self, at: At<'_>, id: LegId) -> Option<Principal> {
        let leg = self.table.leg(id)?;
        // A gateway speaks for whoever is behind it: those may not send callers about in here.
        if let Some(Access::Address(_)) = at.site.device(leg.device).map(|device| &device.access) {
            return None;
        }
        let user = self.table.call(leg.call)?.party(leg.side).identity.user?;
        let role = at.site.user(user).map_or(Role::User, |user| user.role);
        Some(Principal { user, role, device: Some(leg.device) })
    }

    /// The leg of the dialog that a Replaces names (RFC 3891 §3): our tag is its to-tag, whichever way round some phones write them.
    pub(crate) fn by_replaces(&self, replaces: &Replaces) -> Option<LegId> {
        let matches = |ours: &str, theirs: &str| {
            let id = self.table.by_tag(ours)?;
            let dialog = match &self.table.leg(id)?.state {
                LegState::Incoming(incoming) => &incoming.dialog,
                LegState::Up(up) => &up.dialog,
                LegState::Outgoing(outgoing) => {
                    let same = outgoing.asked.call_id == replaces.call_id;
                    return same.then_some(id);
                }
            };
            dialog.is(&replaces.call_id, theirs).then_some(id)
        };
        matches(&replaces.to_tag, &replaces.from_tag).or_else(|| matches(&replaces.from_tag, &replaces.to_tag))
    }

    /// Where a blind transfer may go: the call is answered, a phone is at its other end, and the number leads somewhere.
    pub(crate) fn may_blind_transfer(
        &self,
        at: At<'_>,
        who: &Principal,
        id: CallId,
        number: &str,
    ) -> Result<(End, Destination), Refusal> {
        let end = self.may_transfer(who, id)?;
        let destination = match self.may_dial(at, number)? {
            Destination::Park(spot) => return self.may_park_there(at, who, id, spot),
            Destination::Orbit(slot @ Slot::Orbit(_)) => return self.may_park_there(at, who, id, Spot::At(slot)),
            Destination::Orbit(Slot::User(_))
            | Destination::Pickup(_)
            | Destination::GroupPickup
            | Destination::Intercom(_)
            | Destination::Return
            | Destination::Redial
            | Destination::CallBack(_)
            | Destination::NoCallBack(_) => {
                return Err(Failure::new(Cause::NoRoute).refusal(Whose::Far));
            }
            destination => destination,
        };
        self.may_begin()?;
        let other = self.table.call(end.call).and_then(|call| call.party(end.side.other()).identity.user);
        match destination {
            Destination::User(user) if Some(user) == other || user == who.user => {
                Err(Refusal { code: RefusalCode::BadValue, text: "That is one of the two who are in the call".into() })
            }
            destination => {
                self.may_reach(at, other, &destination)?;
                Ok((end, destination))
            }
        }
    }

    /// Who is sent to an orbit is parked there.
    fn may_park_there(
        &self,
        at: At<'_>,
        who: &Principal,
        id: CallId,
        spot: Spot,
    ) -> Result<(End, Destination), Refusal> {
        let (end, slot) = self.may_park(at.site, who, id, spot)?;
        Ok((end, Destination::Orbit(slot)))
    }

    /// Whether a call's far end may be sent on at all.
    pub(crate) fn may_transfer(&self, who: &Principal, id: CallId) -> Result<End, Refusal> {
        let (call, side) = self.may_drop(who, id)?;
        let talking = self.table.call(call).filter(|call| matches!(call.stage, Stage::Talking));
        match talking.map(|call| (call.party(side).leg(), call.party(side.other()).leg())) {
            Some((Some(_), Some(_))) if self.life.is_ending() => Err(Failure::new(Cause::Shutdown).refusal(Whose::Far)),
            Some((Some(_), Some(_))) => Ok(End { call, side }),
            _ => Err(wrong_state("Both ends of the call must be answered phones")),
        }
    }

    /// The two ends of an attended transfer: of the second call the other party may still be rung.
    pub(crate) fn may_complete(&self, who: &Principal, id: CallId, with: CallId) -> Result<(End, End), Refusal> {
        let first = self.may_transfer(who, id)?;
        let (call, side) = self.may_drop(who, with)?;
        let second = End { call, side };
        let Some(with) = self.table.call(call).filter(|_| call != first.call) else {
            return Err(wrong_state("A transfer needs another call"));
        };
        let there = match (&with.stage, &with.party(side.other()).state) {
            (Stage::Talking, PartyState::Up { .. }) => true,
            (Stage::Ringing { .. }, PartyState::Ringing { .. }) => side == Side::Caller,
            _ => false,
        };
        if !there || with.transferor.is_some() {
            return Err(wrong_state("At the far end of the other call there is nobody to transfer to"));
        }
        match self.have_codec_in_common(first, second) {
            true => Ok((first, second)),
            false => Err(wrong_state("The two far ends have no codec in common")),
        }
    }

    /// A call that some other of the user's calls may be completed with.
    pub(crate) fn may_complete_with_any(&self, who: &Principal, id: CallId) -> Result<CallId, Refusal> {
        self.may_transfer(who, id)?;
        let mut others = self.table.ends_of(who.user).filter(|other| *other != id);
        let with = others.find(|with| self.may_complete(who, id, *with).is_ok());
        with.ok_or_else(|| wrong_state("There is no other call that this one can be joined with"))
    }

    fn have_codec_in_common(&self, first: End, second: End) -> bool {
        let spoken = |end: End| {
            let party = self.table.call(end.call)?.party(end.side.other());
            Some(&self.table.leg(party.speaker()?)?.audio.as_ref()?.payloads)
        };
        let (Some(ours), Some(theirs)) = (spoken(first), spoken(second)) else { return true };
        let common = ours.0.iter().filter(|(_, codec)| theirs.payload_type(*codec).is_some());
        has_sound(&PayloadMap(common.copied().collect()))
    }

    /// A number that leads somewhere.
    pub(crate) fn may_dial(&self, at: At<'_>, number: &str) -> Result<Destination, Refusal> {
        route::destination(at.site, number).ok_or_else(|| Failure::new(Cause::NoRoute).refusal(Whose::Far))
    }

    /// Blind: the far end goes to whom it has not met.
    pub(crate) fn send_to(&mut self, at: At<'_>, end: End, number: &str, destination: &Destination, asked: Asked) {
        if let Destination::Orbit(slot) = destination {
            return self.park(at, end, *slot, asked);
        }
        let to = route::identity(at.site, number);
        let no = CallNo(self.table.number(at.now));
        let Some(caller) = self.take_far(at, end, no) else { return };
        let callee = self.party(at, to, caller.identity.clone());
        let stage = Stage::Ringing { ticket: None, failure: None };
        self.begin_transferred(at, (no, end.call), [caller, callee], stage, Some(Transferor { call: end.call, asked }));
        self.touch(no, Some(Cause::Transferred));
        self.reach_destination(at, no, destination);
    }

    /// Attended: the far ends of two calls are joined; where the second is still rung, the first waits for it.
    pub(crate) fn join_ends(&mut self, at: At<'_>, first: End, second: End, asked: Asked) {
        let no = CallNo(self.table.number(at.now));
        let ringing = self.table.call(second.call).is_some_and(|call| matches!(call.stage, Stage::Ringing { .. }));
        let (Some(caller), Some(callee)) = (self.take_far(at, first, no), self.take_far(at, second, no)) else {
            return;
        };
        let transferor = Transferor { call: first.call, asked };
        let transferred = Failure::new(Cause::Transferred);
        if ringing {
            let stage = Stage::Ringing { ticket: None, failure: None };
            self.begin_transferred(at, (no, first.call), [caller, callee], stage, Some(transferor));
            self.settle_consultation(second);
            self.goes_on_as(second.call, no);
            self.end_call(at, second.call, transferred, None);
            self.join(no);
        } else {
            self.begin_transferred(at, (no, first.call), [caller, callee], Stage::Talking, None);
            self.end_call(at, second.call, transferred, None);
            self.settle_transfer(at, &transferor, Ok(()));
            self.join(no);
            self.agree(at, no, Side::Caller);
            self.agree(at, no, Side::Callee);
        }
        self.touch(no, Some(Cause::Transferred));
    }

    /// A client's consultation that is not answered yet has led where it was to lead: the transfer goes on with it.
    fn settle_consultation(&mut self, consultation: End) {
        let Some(call) = self.table.call_mut(consultation.call) else { return };
        let id = call.party(consultation.side).id;
        let ticket = match &mut call.stage {
            Stage::Ringing { ticket, .. } => ticket.take(),
            _ => None,
        };
        if let Some(ticket) = ticket {
            self.complete(ticket, Ok(Some(id)));
        }
    }

    /// Who has sent a caller on, as the phone that rings for him is told (RFC 3892).
    pub(crate) fn referrer(&self, no: CallNo) -> Option<Address> {
        let own = self.table.call(self.table.call(no)?.transferor.as_ref()?.call)?;
        let sent = |party: &Party| matches!(party.state, PartyState::Service(Service::Transfer(to)) if to == no);
        let by = [(&own.caller, &own.callee), (&own.callee, &own.caller)].into_iter().find(|(_, far)| sent(far))?.0;
        Some(Address { display: None, ..self.address(&by.identity) })
    }

    /// The far party leaves a call; [`Service::Transfer`] stands in for it.
    fn take_far(&mut self, at: At<'_>, end: End, to: CallNo) -> Option<Party> {
        let side = end.side.other();
        let far = self.table.call(end.call)?.party(side);
        let (identity, direction) = (Identity { user: None, ..far.identity.clone() }, far.direction);
        let met = far.met.clone();
        let mut standin = Party::new(CallId(self.table.number(at.now)), identity, direction, met, at.now);
        standin.state = PartyState::Service(Service::Transfer(to));
        self.touch(end.call, None);
        self.table.replace(end.call, side, standin)
    }

    pub(crate) fn party(&mut self, at: At<'_>, identity: Identity, met: Identity) -> Party {
        let id = CallId(self.table.number(at.now));
        Party::new(id, identity, cas::control::Direction::In, met, at.now)
    }

    /// A call of parties of which at least one comes from `from`, and counts for the same source.
    pub(crate) fn begin_transferred(
        &mut self,
        at: At<'_>,
        (no, from): (CallNo, CallNo),
        [caller, callee]: [Party; 2],
        stage: Stage,
        transferor: Option<Transferor>,
    ) {
        let source = self.table.call(from).and_then(|call| call.source);
        tracing::debug!(call = %caller.id, far = %callee.id, "a call begins by transfer");
        if !matches!(stage, Stage::Talking) {
            self.endpoint.timers.set(Timer::NoAnswer(no), at.now.mono + super::originate::NO_ANSWER);
        }
        let (max_forwards, trail, manner, course) = (70, Trail::default(), Manner::Plain, Course::default());
        self.journal.begin(no, at.now);
        for (side, party) in [(Side::Caller, &caller), (Side::Callee, &callee)] {
            for leg in party.legs() {
                self.journal.hand_over(leg, no, side);
            }
        }
        self.table.insert(no, Call { stage, caller, callee, max_forwards, transferor, trail, manner, course, source });
        self.counts.calls += 1;
        self.touch(no, None);
    }

    /// Nothing is left to be tried for a call: who was sent on comes back to the one who sent him, if that one is still there.
    pub(crate) fn give_up(&mut self, at: At<'_>, no: CallNo, failure: Failure) {
        let transferor = self.table.call_mut(no).and_then(|call| call.transferor.take());
        let Some(transferor) = transferor else { return self.turn_down(at, no, failure) };
        self.give_back(at, no, transferor.call);
        self.settle_transfer(at, &transferor, Err(failure));
        self.end_call(at, no, failure, None);
    }

    fn give_back(&mut self, at: At<'_>, no: CallNo, to: CallNo) {
        let away = |party: &Party| matches!(party.state, PartyState::Service(Service::Transfer(gone)) if gone == no);
        let Some(call) = self.table.call(to) else { return };
        let side = if away(&call.caller) { Side::Caller } else { Side::Callee };
        if !away(call.party(side)) {
            return;
        }
        let nobody = Identity { user: None, number: String::new(), name: String::new() };
        let standin = self.party(at, nobody.clone(), nobody);
        let Some(back) = self.table.replace(no, Side::Caller, standin) else { return };
        self.table.replace(to, side, back);
        self.touch(to, None);
        self.join(to);
        // Meanwhile each may have taken what the other does not know.
        self.agree(at, to, Side::Caller);
        self.agree(at, to, Side::Callee);
    }

    /// What has come of a transfer: its asker is told, and where it was reached, his own call ends.
    pub(crate) fn settle_transfer(&mut self, at: At<'_>, transferor: &Transferor, outcome: Result<(), Failure>) {
        self.notify(at, &transferor.asked, outcome.map_or_else(|failure| failure.status, |()| Status(200)));
        if let Asked::Client(ticket) = transferor.asked {
            self.complete(ticket, outcome.map(|()| None).map_err(|failure| failure.refusal(Whose::Far)));
        }
        if outcome.is_ok() {
            self.end_call(at, transferor.call, Failure::new(Cause::Transferred), None);
        }
    }

    /// RFC 3515 §2.4.4: the state of a REFER, as the status line of what was done for it.
    fn notify(&mut self, at: At<'_>, asked: &Asked, status: Status) {
        self.notify_line(at, asked, status, status.phrase());
    }

    /// The same in other words.
    pub(crate) fn notify_line(&mut self, at: At<'_>, asked: &Asked, status: Status, phrase: &str) {
        let Asked::Phone { leg, number, notify: true } = *asked else { return };
        let Some(up) = self.up(leg) else { return };
        let mut notify = up.dialog.request(Method::Notify);
        let flow = up.dialog.flow();
        let state = match status.is_provisional() {
            true => "active;expires=60",
            false => "terminated;reason=noresource",
        };
        notify.headers.push(Name::Event, format!("refer;id={number}"));
        notify.headers.push(Name::SubscriptionState, state);
        notify.headers.push(Name::Contact, flow.contact());
        let line = format!("SIP/2.0 {} {phrase}\r\n", status.0);
        let notify = notify.with_body("message/sipfrag;version=2.0", line);
        self.endpoint.request(at.now.mono, flow, notify, Owner::Nobody);
    }

    /// A call that was being transferred is over before anybody was reached; or he who transferred it has gone.
    pub(crate) fn end_transfers(&mut self, at: At<'_>, no: CallNo, call: &mut Call) {
        if let Some(transferor) = call.transferor.take() {
            let own = transferor.call;
            self.settle_transfer(at, &transferor, Err(Failure::new(Cause::Cancelled)));
            self.end_call(at, own, Failure::new(Cause::Normal), None);
        }
        for side in [Side::Caller, Side::Callee] {
            let PartyState::Service(Service::Transfer(to)) = call.party(side).state else { continue };
            let is_his = |transferor: &mut Transferor| transferor.call == no;
            let transferor = self.table.call_mut(to).and_then(|call| call.transferor.take_if(is_his));
            // Whom nobody waits for any more may be joined with others.
            self.touch(to, None);
            if let Some(Transferor { asked: Asked::Client(ticket), .. }) = transferor {
                self.complete(ticket, Ok(None));
            }
        }
    }
}

/// What a REFER asks for.
enum Refer {
    Blind(End, String, Destination),
    Attended(End, End),
}

pub(crate) fn wrong_state(text: &'static str) -> Refusal {
    Refusal { code: RefusalCode::WrongState, text: text.into() }
}

/// What a phone is told that may not.
fn status_of(code: RefusalCode) -> Status {
    Status(match code {
        RefusalCode::NoRoute | RefusalCode::NotFound => 404,
        RefusalCode::NotRegistered => 480,
        RefusalCode::Overloaded => 503,
        // No orbit is free, or not the one that was wanted.
        RefusalCode::Busy | RefusalCode::Limit => 486,
        _ => 403,
    })
}
