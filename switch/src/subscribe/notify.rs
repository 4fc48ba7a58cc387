//! NOTIFY (RFC 6665 §4.2.2): what is told, when, and what becomes of a subscription whose phone does not take it.
//!
//! There is one NOTIFY under way for each subscription. What changes meanwhile is told after it, as it is then: a phone hears the latest, not everything.

use std::sync::Arc;
use std::time::Duration;

use super::list::EXTENSION;
use super::package::ALLOW_EVENTS;
use super::watch::State;
use super::{Lamp, News, Notice, Of, Reason, SubId, Subscription, dialog_info, presence, summary};
use crate::endpoint::{Owner, Timer};
use crate::engine::{At, Engine};
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response};
use crate::sip::uri::Uri;

/// NOTIFYs refused for now, in a row, before the subscription ends.
const PATIENCE: u8 = 3;
/// When such a one is tried again, where its answer does not say: seconds, and the most it may say.
const AGAIN: u64 = 5;
const LATEST: u64 = 60;

/// What a NOTIFY carries.
pub(super) struct Body {
    pub(super) content_type: String,
    pub(super) text: String,
    /// Which resources it tells of, and what.
    pub(super) told: Vec<(usize, Arc<State>)>,
}

impl Engine {
    /// A subscription has something to tell: now, after the NOTIFY that is under way, or when it is its turn.
    pub(crate) fn tell(&mut self, at: At<'_>, id: SubId, news: News) {
        let Some(sub) = self.subscriptions.get_mut(id) else { return };
        if let News::End(_) = news {
            self.endpoint.timers.cancel(Timer::Subscription(id));
        }
        let news = match &mut sub.notice {
            Notice::Unanswered(then) => return *then = (*then).max(Some(news)),
            Notice::Due(_) if news == News::Changes => return,
            Notice::Due(before) => (*before).max(news),
            Notice::Told => news,
        };
        let wait = if news == News::Changes { sub.pace.wait(at.now.mono) } else { Duration::ZERO };
        if wait.is_zero() {
            return self.send_notify(at, id, news);
        }
        sub.notice = Notice::Due(news);
        self.endpoint.timers.set(Timer::Notify(id), at.now.mono + wait);
    }

    /// The time has come for what waits.
    pub(crate) fn notify_due(&mut self, at: At<'_>, id: SubId) {
        if let Some(Notice::Due(news)) = self.subscriptions.get(id).map(|sub| &sub.notice) {
            self.send_notify(at, id, *news);
        }
    }

    /// A subscription has not been renewed in time.
    pub(crate) fn subscription_over(&mut self, at: At<'_>, id: SubId) {
        self.lost_is_over(id);
        self.tell(at, id, News::End(Reason::Timeout));
    }

    /// Every subscription ends, since the switch does.
    pub(crate) fn end_subscriptions(&mut self, at: At<'_>) {
        for id in self.subscriptions.ids() {
            self.tell(at, id, News::End(Reason::Probation));
        }
    }

    fn send_notify(&mut self, at: At<'_>, id: SubId, news: News) {
        self.endpoint.timers.cancel(Timer::Notify(id));
        let Some(sub) = self.subscriptions.get(id) else { return };
        let body = self.body(sub, news);
        let retry_after = self.endpoint.retry_after();
        let Some(sub) = self.subscriptions.get_mut(id) else { return };
        if body.is_none() && news == News::Changes {
            sub.notice = Notice::Told;
            return;
        }
        let left = sub.ends.saturating_duration_since(at.now.mono).as_secs();
        let mut request = sub.dialog.request(Method::Notify);
        let flow = sub.dialog.flow();
        request.headers.push(Name::Contact, flow.contact());
        request.headers.push(Name::Event, sub.event.to_string());
        request.headers.push(Name::SubscriptionState, state(news, left, retry_after));
        request.headers.push(Name::AllowEvents, ALLOW_EVENTS);
        if let Of::List { .. } = sub.of {
            request.headers.push(Name::Require, EXTENSION);
        }
        let request = sub.carry(request, body, news);
        sub.pace.count(at.now.mono);
        let owner = match news {
            News::End(_) => {
                self.forget_subscription(id);
                Owner::Nobody
            }
            News::Changes | News::Everything => {
                sub.notice = Notice::Unanswered(None);
                Owner::Notify(id)
            }
        };
        self.endpoint.request(at.now.mono, flow, request, owner);
    }

    /// The documents of what is to be told; `None`: none.
    fn body(&self, sub: &Subscription, news: News) -> Option<Body> {
        if matches!(news, News::End(Reason::NoResource | Reason::Rejected)) {
            return None;
        }
        match &sub.of {
            Of::List { version, .. } => self.list_body(sub, *version, news),
            Of::One(lamp) => {
                let state = self.subscriptions.state(sub.package, lamp.subject?)?;
                if news == News::Changes && lamp.told.as_ref() == Some(&state) {
                    return None;
                }
                let text = self.document(lamp, &sub.uri, &state);
                Some(Body { content_type: sub.package.media_type().to_owned(), text, told: vec![(0, state)] })
            }
        }
    }

    /// The document of one resource.
    pub(super) fn document(&self, lamp: &Lamp, uri: &Uri, state: &State) -> String {
        let entity = uri.to_string();
        match state {
            State::Dialogs(now) => {
                let told = match lamp.told.as_deref() {
                    Some(State::Dialogs(told)) => told.as_slice(),
                    _ => &[],
                };
                let address = |end: &super::watch::End| self.address(&end.identity);
                dialog_info::Document { entity: &entity, version: lamp.version, now, told, address }.write()
            }
            State::Presence(presence) => presence::document(&entity, presence),
            State::Summary => summary::document(&entity),
        }
    }

    /// The answer to a NOTIFY. Codes that say the dialog, or what it is for, is no more end the subscription (RFC 5057 §5.1); others are of the moment.
    pub(crate) fn notify_response(&mut self, at: At<'_>, id: SubId, response: &Response) {
        match response.status.0 {
            ..200 => {}
            200..300 => self.notified(at, id),
            401 | 403..=405 | 407 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604 => drop(self.forget_subscription(id)),
            _ => self.notify_again(at, id, response.headers.retry_after()),
        }
    }

    /// §4.2.2: nobody is there. What the phone believes from now on may be wrong: it hears so when it comes back.
    pub(crate) fn notify_unanswered(&mut self, at: At<'_>, id: SubId) {
        self.lose(at, id);
    }

    /// The phone has heard it.
    fn notified(&mut self, at: At<'_>, id: SubId) {
        let Some(sub) = self.subscriptions.get_mut(id) else { return };
        sub.refused = 0;
        let Notice::Unanswered(then) = std::mem::replace(&mut sub.notice, Notice::Told) else { return };
        // Without any: what did not fit into it, or nothing.
        self.tell(at, id, then.unwrap_or(News::Changes));
    }

    /// What the phone has taken of it is in doubt: it is told everything, later.
    fn notify_again(&mut self, at: At<'_>, id: SubId, after: Option<u64>) {
        let Some(sub) = self.subscriptions.get_mut(id) else { return };
        sub.refused += 1;
        let then = match &sub.notice {
            Notice::Unanswered(then) => (*then).max(Some(News::Everything)).unwrap_or(News::Everything),
            Notice::Told | Notice::Due(_) => return,
        };
        if sub.refused >= PATIENCE || matches!(then, News::End(_)) {
            return self.lose(at, id);
        }
        sub.notice = Notice::Due(then);
        let wait = Duration::from_secs(after.unwrap_or(AGAIN).clamp(1, LATEST));
        self.endpoint.timers.set(Timer::Notify(id), at.now.mono + wait);
    }

    /// It ends, and nobody is told.
    pub(super) fn forget_subscription(&mut self, id: SubId) -> Option<Subscription> {
        self.endpoint.timers.cancel(Timer::Subscription(id));
        self.endpoint.timers.cancel(Timer::Notify(id));
        let subscription = self.subscriptions.remove(id);
        self.watch_calls();
        subscription
    }
}

impl Subscription {
    /// Puts the body into the request, and notes what it tells.
    fn carry(&mut self, request: Request, body: Option<Body>, news: News) -> Request {
        if let Of::List { version, .. } = &mut self.of
            && body.is_some()
        {
            *version += 1;
        }
        if news > News::Changes {
            self.lamps_mut().iter_mut().for_each(|lamp| lamp.told = None);
        }
        let Some(Body { content_type, text, told }) = body else { return request };
        for (index, state) in told {
            if let Some(lamp) = self.lamps_mut().get_mut(index) {
                lamp.version += 1;
                lamp.told = Some(state);
            }
        }
        request.with_body(&content_type, text)
    }
}

/// Subscription-State (§8.2.3).
fn state(news: News, left: u64, retry_after: u64) -> String {
    match news {
        News::Changes | News::Everything => format!("active;expires={left}"),
        News::End(Reason::Probation) => format!("terminated;reason=probation;retry-after={retry_after}"),
        News::End(reason) => format!("terminated;reason={}", reason.name()),
    }
}
