//! What must hold in the engine between any two steps (`ARCHITECTURE.md`, invariants 2 and 4), seen from inside: tests ask after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use cas::control::CallId;
use cas::site::Site;
use media::LegId;

use crate::call::bookings::{Booking, BookingState};
use crate::call::leg::{Exchange, Leg, LegState, Said, Session, Up};
use crate::call::party::{Party, PartyState};
use crate::call::remind::Reminder;
use crate::call::transfer::Asked;
use crate::call::{Call, CallNo, Manner, Side, Stage};
use crate::endpoint::{Owner, Timer};
use crate::engine::{Engine, Life};
use crate::service::Service;
use crate::service::orbit::Recall;
use crate::sip::uri::Text;
use crate::subscribe::watch::{DialogState, State, subject};
use crate::subscribe::{Notice, SubId};

/// What a telephone waits for that has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    /// It is parked.
    Parked,
    /// It was sent to another that does not ring yet.
    Sent,
    /// The one for it rings.
    Rung,
}

impl Engine {
    /// `Err`: a timer that nothing waits for, or something that waits without its timer; a leg without its call, or a call without its leg; a
    /// leg without its media leg, or the other way round; two that talk and are not to hear each other; a change that was not told.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_timers()?;
        self.audit_legs()?;
        self.audit_displays()?;
        self.audit_transfers()?;
        self.audit_parks()?;
        self.audit_reminders()?;
        self.audit_bookings()?;
        self.audit_media()?;
        match self.touched.is_empty() && self.completions.is_empty() {
            true => Ok(()),
            false => Err(format!("changes were left untold: {:?} {:?}", self.touched, self.completions)),
        }
    }

    /// The legs whose phones hear each other.
    pub fn bridges(&self) -> Vec<(LegId, LegId)> {
        let talking = self.table.calls().filter(|(_, call)| matches!(call.stage, Stage::Talking));
        let agreed = |leg: &LegId| self.table.leg(*leg).is_some_and(Leg::is_agreed);
        let legs = talking.filter_map(|(_, call)| call.caller.leg().zip(call.callee.leg()));
        legs.filter(|(a, b)| agreed(a) && agreed(b)).collect()
    }

    /// The legs whose phones hear themselves.
    pub fn echoes(&self) -> Vec<LegId> {
        let talking = self.table.calls().filter(|(_, call)| matches!(call.stage, Stage::Talking));
        let legs = talking.filter(|(_, call)| is_echo(call)).filter_map(|(_, call)| call.caller.leg());
        legs.filter(|leg| self.table.leg(*leg).is_some_and(Leg::is_agreed)).collect()
    }

    /// The legs of which each may hear the other: those of a call, before its answer (early media) and after it; and with itself the one that hears an
    /// echo.
    pub fn partners(&self) -> Vec<(LegId, LegId)> {
        let mut partners = Vec::new();
        for (_, call) in self.table.calls() {
            partners.extend(call.caller.speaker().zip(call.callee.speaker()));
            if is_echo(call) {
                partners.extend(call.caller.leg().map(|leg| (leg, leg)));
            }
        }
        partners
    }

    /// Our tag in the dialog of a leg.
    pub fn tag_of(&self, leg: LegId) -> Option<&str> {
        self.table.leg(leg).map(|leg| leg.tag.as_str())
    }

    /// Whom a telephone has been told that it has, number and name, by our tag in its dialog; `None` where it is about to be told, or is being told.
    pub fn shown_at(&self, tag: &str) -> Option<(String, String)> {
        let id = self.table.by_tag(tag)?;
        let up = self.up_of(id)?;
        let is_settled = matches!(up.exchange, Exchange::Settled) && up.next.is_none();
        let told = is_settled && !self.endpoint.transactions.is_asking(Owner::Display(id));
        let address = self.other_of(id).filter(|_| told).map(|other| self.address(other))?;
        let text = |text: Option<Text>| text.map(|text| text.to_string()).unwrap_or_default();
        Some((text(address.uri.user), text(address.display)))
    }

    /// What a telephone shows as the lamp whose subscription has this tag of ours: name, state, whether whom it is for has begun it, and the other's number, of
    /// each call; `None` where it is about to be told, or is being told.
    pub fn lit_at(&self, tag: &str) -> Option<Vec<(String, &'static str, bool, String)>> {
        let sub = self.subscriptions.get(self.subscriptions.by_tag(tag)?)?;
        let [lamp] = sub.lamps() else { return None };
        let (Notice::Told, Some(State::Dialogs(dialogs))) = (&sub.notice, lamp.told.as_deref()) else { return None };
        let lit = |dialog: &DialogState| {
            let remote = self.address(&dialog.remote.identity).uri.user.map(|user| user.to_string());
            (dialog.id.to_string(), dialog.progress.name(), dialog.is_initiator, remote.unwrap_or_default())
        };
        Some(dialogs.iter().map(lit).collect())
    }

    /// The telephones that have answered and have no other at the other end of their calls, by the tags they gave: those that are parked, and those that wait for
    /// one that is rung, or (`rung`) rings.
    pub fn waiting(&self) -> Vec<(String, Waits)> {
        let waits = |call: &Call| match (&call.stage, &call.callee.state) {
            (Stage::Talking, PartyState::Service(Service::Park(_))) => Some(Waits::Parked),
            (Stage::Ringing { ticket: None, .. }, PartyState::Ringing { heard: None, rung: false, .. })
                // A call-back begins with silence.
                if call.manner != Manner::CallBack => {
                Some(Waits::Sent)
            }
            (Stage::Ringing { .. }, PartyState::Ringing { heard: None, rung: true, .. }) => Some(Waits::Rung),
            _ => None,
        };
        let waiting = self.table.calls().filter_map(|(_, call)| Some((call.caller.leg()?, waits(call)?)));
        waiting
            .filter(|(leg, _)| self.has_agreed(*leg))
            .filter_map(|(leg, waits)| Some((self.far_tag(leg)?, waits)))
            .collect()
    }

    /// The tag that a telephone that has answered gave its dialog.
    fn far_tag(&self, leg: LegId) -> Option<String> {
        self.up_of(leg).map(|up| up.dialog.remote_tag().to_owned())
    }

    fn up_of(&self, leg: LegId) -> Option<&Up> {
        match self.table.leg(leg).map(|leg| &leg.state) {
            Some(LegState::Up(up)) => Some(up),
            _ => None,
        }
    }

    /// Whether somebody is to be told what comes of a transfer that was asked for in the dialog with this tag of ours.
    pub fn is_transferring(&self, tag: &str) -> bool {
        let Some(leg) = self.table.by_tag(tag) else { return false };
        let is_its = |asked: &Asked| matches!(asked, Asked::Phone { leg: its, .. } if *its == leg);
        let shows = |party: &Party| match &party.state {
            PartyState::Service(Service::Parked(_, asked, _)) => asked.as_ref().is_some_and(is_its),
            _ => false,
        };
        self.table.calls().any(|(_, call)| {
            let waits = call.transferor.as_ref().is_some_and(|transferor| is_its(&transferor.asked));
            waits || shows(&call.caller) || shows(&call.callee)
        })
    }

    fn audit_media(&self) -> Result<(), String> {
        let known = |leg: &LegId| {
            self.table.leg(*leg).is_some() || self.table.is_closing(*leg) || self.guards.contains_key(leg)
        };
        if let Some(leg) = self.seats.legs().find(|leg| !known(leg)) {
            return Err(format!("the media leg {leg:?} is nobody's"));
        }
        if let Some((leg, _)) = self.table.legs().find(|(leg, _)| self.seats.thread(*leg).is_none()) {
            return Err(format!("{leg:?} has no media leg"));
        }
        if let Some((a, b)) = self.bridges().into_iter().find(|(a, b)| !self.seats.are_joined(*a, *b)) {
            return Err(format!("{a:?} and {b:?} talk and are not to hear each other"));
        }
        match self.echoes().into_iter().find(|leg| !self.seats.hears_itself(*leg)) {
            Some(leg) => Err(format!("{leg:?} is with the echo and is not to hear itself")),
            None => self.audit_ears(),
        }
    }

    /// Who has somebody on hold is reminded, and nobody else.
    fn audit_reminders(&self) -> Result<(), String> {
        let waits = |id: &CallId| {
            let call = self.table.end(*id).and_then(|(no, side)| Some((self.table.call(no)?, side)));
            call.is_some_and(|(call, side)| self.keeps_waiting(call, side))
        };
        let mut all = self.table.calls().flat_map(|(_, call)| [call.caller.id, call.callee.id]);
        if let Some(id) = all.find(|id| waits(id) && !self.reminders.contains_key(id)) {
            return Err(format!("{id} has somebody on hold and is not reminded"));
        }
        let rings = |how: &Reminder, id: CallId| match how {
            Reminder::Later => true,
            Reminder::Ringing(no) => self.table.call(*no).and_then(Call::reminds) == Some(id),
        };
        match self.reminders.iter().find(|(id, how)| !waits(id) || !rings(how, **id)) {
            Some((id, how)) => Err(format!("{id} is reminded ({how:?}) of nobody")),
            None => Ok(()),
        }
    }

    /// Every ear has what it is to hear, and nobody else's voice.
    fn audit_ears(&self) -> Result<(), String> {
        for (no, call) in self.table.calls() {
            for side in [Side::Caller, Side::Callee] {
                let Some(leg) = call.party(side).speaker() else { continue };
                let (wanted, hears) = (self.sound_for(call, side), self.seats.sound(leg));
                if wanted != hears {
                    return Err(format!("{leg:?} of {no:?} is to hear {wanted:?}, and hears {hears:?}"));
                }
                if self.is_astray(call, side, leg) {
                    return Err(format!("{leg:?} of {no:?} hears somebody who is not in the call"));
                }
            }
        }
        Ok(())
    }

    /// With nobody in a call, nobody registered and nothing asked: only streams that are up may have their timer, and call-backs of those who may come again.
    pub fn is_at_rest(&self) -> Result<(), String> {
        let timer = self.endpoint.timers.armed().find(|timer| !matches!(timer, Timer::Idle(_) | Timer::CallBack(_)));
        timer.map_or(Ok(()), |timer| Err(format!("with nobody there, {timer:?} is armed")))
    }

    /// Whether a dialog is there whose local tag this is.
    pub fn holds_dialog(&self, tag: &str) -> bool {
        self.table.by_tag(tag).is_some()
    }

    /// Whether such a dialog is ending: its telephone is to be told, or has been.
    pub fn is_ending(&self, tag: &str) -> bool {
        self.table.by_tag(tag).is_some_and(|leg| self.table.leaving(leg).is_some())
    }

    /// The dialogs of telephones that talk to each other, or to the echo and so to themselves, and are asked for nothing, by the tags the telephones gave
    /// them.
    pub fn talking(&self) -> Vec<(String, String)> {
        let echoes = self.echoes().into_iter().map(|leg| (leg, leg));
        let pairs = self.bridges().into_iter().chain(echoes);
        pairs
            .filter(|(a, b)| self.has_agreed(*a) && self.has_agreed(*b))
            .filter_map(|(a, b)| self.far_tag(a).zip(self.far_tag(b)))
            .collect()
    }

    /// Whether no offer of ours waits, for its turn or its answer: until that is there, a phone may speak what its partner does not understand.
    fn has_agreed(&self, leg: LegId) -> bool {
        self.up_of(leg).is_some_and(|up| {
            let is_answered = match up.exchange {
                Exchange::Settled => true,
                Exchange::Unacknowledged { said, .. } => said == Said::Answer,
                Exchange::Offered { .. } => false,
            };
            is_answered && up.next.is_none()
        })
    }

    fn audit_timers(&self) -> Result<(), String> {
        let wanted: BTreeSet<Timer> = self.wanted_timers().collect();
        let armed: BTreeSet<Timer> = self.endpoint.timers.armed().collect();
        if let Some(timer) = wanted.difference(&armed).next() {
            return Err(format!("{timer:?} is not armed"));
        }
        match armed.difference(&wanted).find(|timer| !self.may_be_armed(**timer)) {
            Some(timer) => Err(format!("nothing waits for the timer {timer:?}")),
            None => Ok(()),
        }
    }

    /// Timers that something waits for.
    fn wanted_timers(&self) -> impl Iterator<Item = Timer> {
        let ringing = self.table.calls().filter(|(_, call)| !matches!(call.stage, Stage::Talking));
        let limited = self.table.legs().map(|(id, _)| id).filter(|id| self.is_limited(*id));
        let prompted = self.table.legs().filter(|(_, leg)| leg.is_prompted()).map(|(id, _)| id);
        let met = self.table.legs().map(|(id, _)| id).filter(|id| self.offers_again(*id) == Some(true));
        let bound = self.registrar.devices().filter(|device| self.registrar.next_end(*device).is_some());
        let behind_nat = self.registrar.devices().filter(|device| self.registrar.behind_nat(*device).next().is_some());
        let recalls = self.parks.iter().filter(|(_, parked)| parked.recall == Recall::Waiting);
        let noticing = self.table.calls().map(|(no, _)| no).filter(|no| self.is_notice(*no));
        let waits = |booking: &Booking| matches!(booking.state, BookingState::Waits(_));
        let booked = self.bookings.iter().filter(move |(_, booking)| waits(booking));
        let showing = self.table.calls().map(|(no, _)| no).filter(|no| self.shows_where_parked(*no));
        ringing
            .map(|(no, _)| Timer::NoAnswer(no))
            .chain(
                self.reminders.iter().filter(|(_, how)| **how == Reminder::Later).map(|(id, _)| Timer::Reminder(*id)),
            )
            .chain(recalls.map(|(_, parked)| Timer::Recall(parked.call)))
            .chain(showing.map(Timer::Parked))
            .chain(noticing.map(Timer::Notice))
            .chain(booked.map(|(id, _)| Timer::CallBack(id)))
            .chain(self.endpoint.transactions.wanted().map(Timer::Transaction))
            .chain(bound.map(Timer::Binding))
            .chain(limited.map(Timer::Session))
            .chain(met.map(Timer::Reoffer))
            .chain(prompted.map(Timer::Prompt))
            .chain(behind_nat.map(Timer::KeepAlive))
            .chain(self.late.keys().map(|tx| Timer::LateAnswer(*tx)))
            .chain(self.endpoint.waited_for().map(Timer::Large))
            .chain(self.subscriptions.ids().into_iter().filter(|id| self.may_end(*id)).map(Timer::Subscription))
            .chain(self.subscriptions.lost_ids().map(Timer::Subscription))
            .chain(self.subscriptions.ids().into_iter().filter(|id| self.waits_to_tell(*id)).map(Timer::Notify))
            .chain(self.subscriptions.publications().map(Timer::Publication))
            .chain(self.history.has_answered().then_some(Timer::Answered))
            .chain((!self.behind.is_empty()).then_some(Timer::Behind))
            .chain((self.history.kept() > 0).then_some(Timer::Kept))
            .chain(matches!(self.life, Life::Draining | Life::HangingUp).then_some(Timer::Stop))
    }

    /// Timers that may be armed, and need not be: one that has fired has asked for an end that has not come yet.
    fn may_be_armed(&self, timer: Timer) -> bool {
        match timer {
            Timer::Idle(stream) => self.endpoint.is_up(stream),
            Timer::Unfinished(stream) => self.endpoint.is_mid_message(stream),
            Timer::Guard(guard) => self.guards.contains_key(&guard),
            Timer::Reoffer(leg) => self.offers_again(leg).is_some(),
            _ => false,
        }
    }

    /// Whether an offer of ours waits in this leg; and whether for nothing but its time, since no exchange is under way.
    fn offers_again(&self, leg: LegId) -> Option<bool> {
        let up = self.up_of(leg).filter(|up| up.next.is_some());
        up.map(|up| matches!(up.exchange, Exchange::Settled))
    }

    /// Whether the leg's session ends unless it is refreshed.
    fn is_limited(&self, leg: LegId) -> bool {
        self.up_of(leg).is_some_and(|up| matches!(up.session, Session::Limited { .. }))
    }

    /// No phone that could have been told shows another than it has.
    fn audit_displays(&self) -> Result<(), String> {
        let misled = self.table.legs().map(|(id, _)| id).find(|id| self.is_misled(*id));
        misled.map_or(Ok(()), |id| Err(format!("{id:?} shows another than it has")))
    }

    /// Whether a subscription ends when it is not renewed; or a phone that has lost one gives it up then.
    fn may_end(&self, id: SubId) -> bool {
        match self.subscriptions.get(id) {
            Some(sub) => !sub.is_ending(),
            None => self.subscriptions.lost_ids().any(|lost| lost == id),
        }
    }

    fn waits_to_tell(&self, id: SubId) -> bool {
        matches!(self.subscriptions.get(id).map(|sub| &sub.notice), Some(Notice::Due(_)))
    }

    /// No lamp lies: what a phone was told last is what is, or it is about to be told, or a NOTIFY is under way.
    pub fn audit_lamps(&self, site: &Site) -> Result<(), String> {
        for (package, subject) in self.subscriptions.watched() {
            let now = self.state_of(site, package, subject);
            if self.subscriptions.state(package, subject).as_deref() != Some(&now) {
                return Err(format!("{subject:?} is {now:?}, and its watchers were not told"));
            }
        }
        for (id, sub) in self.subscriptions.iter().filter(|(_, sub)| matches!(sub.notice, Notice::Told)) {
            let dark = sub.lamps().iter().find(|lamp| {
                let state = lamp.subject.and_then(|subject| self.subscriptions.state(sub.package, subject));
                lamp.subject != subject(site, &lamp.number) || lamp.told != state
            });
            if let Some(lamp) = dark {
                return Err(format!("{id:?} was told {lamp:?}, which is not so"));
            }
        }
        Ok(())
    }

    /// Nobody waits for a transfer that is settled.
    fn audit_transfers(&self) -> Result<(), String> {
        for (no, call) in self.table.calls() {
            for party in [&call.caller, &call.callee] {
                let PartyState::Service(Service::Transfer(to)) = party.state else { continue };
                let waits = self.table.call(to).and_then(|to| to.transferor.as_ref()).is_some_and(|who| who.call == no);
                if !waits {
                    return Err(format!("{no:?} waits for the transfer to {to:?}, which is settled"));
                }
            }
        }
        Ok(())
    }

    fn shows_where_parked(&self, no: CallNo) -> bool {
        let tells = |party: &Party| matches!(party.state, PartyState::Service(Service::Parked(..)));
        self.table.call(no).is_some_and(|call| tells(&call.caller) || tells(&call.callee))
    }

    /// What is parked has its place and a call that keeps it, and the other way round; who is rung for it, a call that rings.
    fn audit_parks(&self) -> Result<(), String> {
        for (slot, parked) in self.parks.iter() {
            let call = self.table.call(parked.call);
            let keeps = |call: &Call| call.caller.leg().is_some() && is_service(&call.callee, Service::Park(slot));
            if !call.is_some_and(keeps) {
                return Err(format!("nobody is parked at {slot:?}: {call:?}"));
            }
            if let Recall::Ringing(no) = parked.recall
                && !self.table.call(no).is_some_and(|call| is_service(&call.caller, Service::Recall(slot)))
            {
                return Err(format!("nobody is rung for {slot:?}"));
            }
        }
        for (no, call) in self.table.calls() {
            let kept = match call.callee.state {
                PartyState::Service(Service::Park(slot)) => {
                    self.parks.get(slot).is_some_and(|parked| parked.call == no)
                }
                _ => true,
            };
            let rung = match call.caller.state {
                PartyState::Service(Service::Recall(slot)) => {
                    self.parks.get(slot).is_some_and(|parked| parked.recall == Recall::Ringing(no))
                }
                _ => true,
            };
            if !kept || !rung {
                return Err(format!("{no:?} is parked nowhere"));
            }
        }
        Ok(())
    }

    /// Who is rung to call somebody back is so by a call, one for each who is wanted.
    fn audit_bookings(&self) -> Result<(), String> {
        let mut called = BTreeSet::new();
        for (id, booking) in self.bookings.iter() {
            let BookingState::Calls(no) = booking.state else { continue };
            let is_its = |call: &Call| call.caller.identity.user == Some(booking.booker);
            if !self.table.call(no).is_some_and(is_its) {
                return Err(format!("{id:?} has no call: {booking:?}"));
            }
            if !called.insert(booking.wanted) {
                return Err(format!("two are called back for the same user: {booking:?}"));
            }
        }
        match self.bookings.is_empty() || self.table.are_watched {
            true => Ok(()),
            false => Err("nobody sees when those are free who are waited for".to_owned()),
        }
    }

    /// No call-back waits whose turn it is.
    pub fn audit_call_backs(&self, site: &Site) -> Result<(), String> {
        let due = self.bookings.iter().find(|(_, booking)| self.is_due(site, booking));
        due.map_or(Ok(()), |(id, booking)| Err(format!("both are free, and {id:?} waits: {booking:?}")))
    }

    fn audit_legs(&self) -> Result<(), String> {
        for (id, leg) in self.table.legs() {
            let listed = self.table.call(leg.call).is_some_and(|call| call.party(leg.side).legs().contains(&id));
            if !listed {
                return Err(format!("{id:?} is no part of a call"));
            }
        }
        for (no, call) in self.table.calls() {
            let is_listed = |sought| {
                let (other, side) = self.table.end(sought)?;
                Some(self.table.call(other)?.party(side).also().contains(&no))
            };
            if call.sought().is_some_and(|sought| is_listed(sought) != Some(true)) {
                return Err(format!("{no:?} rings somebody for nobody"));
            }
            for side in [Side::Caller, Side::Callee] {
                let party = call.party(side);
                if let Some(id) = party.legs().into_iter().find(|id| self.table.leg(*id).is_none()) {
                    return Err(format!("{no:?} lists {id:?}, which is not there"));
                }
                if matches!(&party.state, PartyState::Ringing { legs, also, .. } if legs.is_empty() && also.is_empty())
                {
                    return Err(format!("{no:?} rings nobody"));
                }
                let brings =
                    |other: &CallNo| self.table.call(*other).is_some_and(|other| other.sought() == Some(party.id));
                if let Some(other) = party.also().into_iter().find(|other| !brings(other)) {
                    return Err(format!("{other:?} rings nobody for {no:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Deliberate breakages, for tests of what looks at the timers: no step of the engine does this.
impl Engine {
    /// The timers that are armed, and when they are due.
    pub fn timers(&self) -> BTreeMap<Timer, Instant> {
        let timers = &self.endpoint.timers;
        timers.armed().filter_map(|timer| Some((timer, timers.due(timer)?))).collect()
    }

    /// Arms a timer for another instant, whether or not it is armed; `None`: disarms it.
    pub fn tamper(&mut self, timer: Timer, at: Option<Instant>) {
        match at {
            Some(at) => self.endpoint.timers.set(timer, at),
            None => self.endpoint.timers.cancel(timer),
        }
    }
}

fn is_echo(call: &Call) -> bool {
    matches!(call.callee.state, PartyState::Service(Service::Echo))
}

fn is_service(party: &Party, service: Service) -> bool {
    matches!(party.state, PartyState::Service(is) if is == service)
}

#[cfg(test)]
mod tests;
