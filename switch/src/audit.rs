//! What must hold in the engine between any two steps (`ARCHITECTURE.md`, invariants 2 and 4), seen from inside: tests ask after each step.

use cas::site::Site;
use media::LegId;

use crate::call::leg::{Leg, LegState, Session};
use crate::call::party::PartyState;
use crate::call::{Side, Stage};
use crate::endpoint::Timer;
use crate::engine::{Engine, Life};
use crate::service::Service;
use crate::subscribe::watch::subject;
use crate::subscribe::{Notice, SubId};

impl Engine {
    /// `Err`: a timer that nothing waits for, or something that waits without its timer; a leg without its call, or a call without its leg; a
    /// leg without its media leg, or the other way round; two that talk and are not to hear each other; a change that was not told.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_timers()?;
        self.audit_waiting()?;
        self.audit_legs()?;
        self.audit_displays()?;
        self.audit_transfers()?;
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
        match self.bridges().into_iter().find(|(a, b)| !self.seats.are_joined(*a, *b)) {
            Some((a, b)) => Err(format!("{a:?} and {b:?} talk and are not to hear each other")),
            None => Ok(()),
        }
    }

    /// With nobody in a call, nobody registered and nothing asked: only streams that are up may have their timer.
    pub fn is_at_rest(&self) -> Result<(), String> {
        let timer = self.endpoint.timers.armed().find(|timer| !matches!(timer, Timer::Idle(_)));
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

    /// The dialogs of telephones that talk to each other, by the tags the telephones gave them.
    pub fn talking(&self) -> Vec<(String, String)> {
        let tag = |leg| match self.table.leg(leg).map(|leg| &leg.state) {
            Some(LegState::Up(up)) => Some(up.dialog.remote_tag().to_owned()),
            _ => None,
        };
        self.bridges().into_iter().filter_map(|(a, b)| tag(a).zip(tag(b))).collect()
    }

    fn audit_timers(&self) -> Result<(), String> {
        let stray = self.endpoint.timers.armed().find(|timer| !match *timer {
            Timer::Transaction(timer) => self.endpoint.transactions.waits_for(timer),
            Timer::LateAnswer(tx) => self.late.contains_key(&tx),
            Timer::Binding(device) => self.registrar.next_end(device).is_some(),
            Timer::KeepAlive(device) => self.registrar.behind_nat(device).next().is_some(),
            Timer::NoAnswer(no) => self.table.call(no).is_some_and(|call| !matches!(call.stage, Stage::Talking)),
            Timer::Reoffer(leg) => match self.table.leg(leg).map(|leg| &leg.state) {
                Some(LegState::Up(up)) => up.next.is_some(),
                _ => false,
            },
            Timer::Session(leg) => self.is_limited(leg),
            Timer::Idle(stream) => self.endpoint.is_up(stream),
            Timer::Large(stream) => self.endpoint.waits_for_stream(stream),
            Timer::Unfinished(stream) => self.endpoint.is_mid_message(stream),
            Timer::Guard(guard) => self.guards.contains_key(&guard),
            Timer::Subscription(id) => self.may_end(id),
            Timer::Notify(id) => self.waits_to_tell(id),
            Timer::Publication(id) => self.subscriptions.publications().any(|known| known == id),
            Timer::Answered => self.history.has_answered(),
            Timer::Behind => !self.behind.is_empty(),
            Timer::Kept => self.history.kept() > 0,
            Timer::Stop => matches!(self.life, Life::Draining | Life::HangingUp),
        });
        stray.map_or(Ok(()), |timer| Err(format!("nothing waits for the timer {timer:?}")))
    }

    /// Whether the leg's session ends unless it is refreshed.
    fn is_limited(&self, leg: LegId) -> bool {
        match self.table.leg(leg).map(|leg| &leg.state) {
            Some(LegState::Up(up)) => matches!(up.session, Session::Limited { .. }),
            _ => false,
        }
    }

    fn audit_waiting(&self) -> Result<(), String> {
        let ringing = self.table.calls().filter(|(_, call)| !matches!(call.stage, Stage::Talking));
        let limited = self.table.legs().map(|(id, _)| id).filter(|id| self.is_limited(*id));
        let bound = self.registrar.devices().filter(|device| self.registrar.next_end(*device).is_some());
        let behind_nat = self.registrar.devices().filter(|device| self.registrar.behind_nat(*device).next().is_some());
        let mut wanted = ringing
            .map(|(no, _)| Timer::NoAnswer(no))
            .chain(bound.map(Timer::Binding))
            .chain(limited.map(Timer::Session))
            .chain(behind_nat.map(Timer::KeepAlive))
            .chain(self.late.keys().map(|tx| Timer::LateAnswer(*tx)))
            .chain(self.subscriptions.ids().into_iter().filter(|id| self.may_end(*id)).map(Timer::Subscription))
            .chain(self.subscriptions.lost_ids().map(Timer::Subscription))
            .chain(self.subscriptions.ids().into_iter().filter(|id| self.waits_to_tell(*id)).map(Timer::Notify))
            .chain(self.subscriptions.publications().map(Timer::Publication))
            .chain(self.history.has_answered().then_some(Timer::Answered))
            .chain((!self.behind.is_empty()).then_some(Timer::Behind))
            .chain((self.history.kept() > 0).then_some(Timer::Kept));
        let armed: std::collections::BTreeSet<Timer> = self.endpoint.timers.armed().collect();
        wanted.find(|timer| !armed.contains(timer)).map_or(Ok(()), |timer| Err(format!("{timer:?} is not armed")))
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

    fn audit_legs(&self) -> Result<(), String> {
        for (id, leg) in self.table.legs() {
            let listed = self.table.call(leg.call).is_some_and(|call| call.party(leg.side).legs().contains(&id));
            if !listed {
                return Err(format!("{id:?} is no part of a call"));
            }
        }
        for (no, call) in self.table.calls() {
            for side in [Side::Caller, Side::Callee] {
                let party = call.party(side);
                if let Some(id) = party.legs().into_iter().find(|id| self.table.leg(*id).is_none()) {
                    return Err(format!("{no:?} lists {id:?}, which is not there"));
                }
                if matches!(party.state, PartyState::Ringing { ref legs, .. } if legs.is_empty()) {
                    return Err(format!("{no:?} rings nobody"));
                }
            }
        }
        Ok(())
    }
}
