//! Session timers (RFC 4028): a session that nobody refreshes is over, so that no call outlives its phones.

use std::time::Duration;

use super::leg::{Exchange, Leg, LegId, LegState, Reoffer, Session, Up};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::session_timer::{INTERVAL, SessionTimer, min_se};
use crate::sip::transaction::Unanswered;

/// How long after a refresh that has failed the next is tried: a transaction's life and a little.
const RETRY: Duration = Duration::from_secs(40);

impl Session {
    /// Says in a request that refreshes the session how it is to go on.
    pub(crate) fn ask(&self, request: &mut Request) {
        if let Session::Limited { timer, .. } = self {
            request.headers.push(Name::SessionExpires, timer.expires().to_string());
        }
    }
}

impl Engine {
    /// A 2xx, of ours or of the phone's, has settled how long the session lasts from now on.
    pub(crate) fn settle_session(&mut self, at: At<'_>, id: LegId, timer: Option<SessionTimer>) {
        let Some(up) = self.up(id) else { return };
        match timer {
            Some(timer) => {
                up.session = Session::Limited { timer, ends: at.now.mono + timer.interval() };
                self.endpoint.timers.set(Timer::Session(id), at.now.mono + timer.wait());
            }
            None => {
                up.session = Session::Unlimited;
                self.endpoint.timers.cancel(Timer::Session(id));
            }
        }
    }

    /// The session is to be refreshed, or was not (§10).
    pub(crate) fn session_due(&mut self, at: At<'_>, id: LegId) {
        let Some(leg) = self.table.leg(id) else { return };
        let (no, LegState::Up(up)) = (leg.call, &leg.state) else { return };
        let Session::Limited { timer, ends } = up.session else { return };
        if !timer.ours || at.now.mono >= ends {
            return self.vanished(at, no);
        }
        self.endpoint.timers.set(Timer::Session(id), ends.min(at.now.mono + RETRY));
        self.refresh(at, id);
    }

    /// By UPDATE where the phone takes it, which asks nothing about the sound; otherwise by an offer that says what was said before.
    fn refresh(&mut self, at: At<'_>, id: LegId) {
        let Some(Leg { state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        if up.takes.update {
            let mut update = up.dialog.request(Method::Update);
            let flow = up.dialog.flow();
            update.headers.push(Name::Contact, flow.contact());
            update.headers.push(Name::Supported, crate::engine::SUPPORTED);
            up.session.ask(&mut update);
            self.endpoint.request(at.now.mono, flow, update, Owner::Update(id));
        } else if matches!(up.exchange, Exchange::Settled) && up.next.is_none() {
            // One that is under way refreshes the session by itself.
            self.reoffer(at, id, Reoffer::again());
        }
    }

    /// The phone answers our UPDATE.
    pub(crate) fn update_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        let Some(up) = self.up(id) else { return };
        match response.status {
            status if status.is_provisional() => {}
            status if status.is_success() => {
                up.dialog.refresh(response.headers.contacts());
                self.settle_session(at, id, SessionTimer::settled(response));
            }
            Status(408 | 481) => self.update_unanswered(at, id, Unanswered::Timeout),
            // §7.3: a proxy or the phone wants longer intervals, and is given them once.
            Status(422) => {
                if let (Session::Limited { timer, .. }, Some(seconds)) = (&mut up.session, min_se(&response.headers))
                    && seconds > timer.seconds
                    && timer.seconds <= INTERVAL
                {
                    timer.seconds = seconds;
                    self.refresh(at, id);
                }
            }
            // It does not take UPDATE after all.
            Status(405 | 501) => {
                up.takes.update = false;
                self.refresh(at, id);
            }
            // Tried again before the session ends.
            _ => {}
        }
    }

    /// The phone is gone; where only its connection is, it may come back on another before the session ends.
    pub(crate) fn update_unanswered(&mut self, at: At<'_>, id: LegId, why: Unanswered) {
        if let (Some(leg), Unanswered::Timeout) = (self.table.leg(id), why) {
            self.vanished(at, leg.call);
        }
    }

    pub(crate) fn up(&mut self, id: LegId) -> Option<&mut Up> {
        match self.table.leg_mut(id).map(|leg| &mut leg.state) {
            Some(LegState::Up(up)) => Some(up),
            _ => None,
        }
    }
}
