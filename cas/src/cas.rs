//! The heart of the CAS: sessions, events, subscriptions, and the way of a message to its topic.

mod execute;
mod login;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::execute::{Command, JobWait, SiteQueue, StoreWait};
use self::login::Logins;
pub use self::schema::document as schema;
pub use crate::boundary::{
    Endpoint, Finding, Format, Input, Job, Output, Reply, Request, RequestId, Settings, Source, Stats, Work,
};
use crate::bulk::Exchange;
use crate::control::{CallControl, CallEvent, CallInfo, Cause, ParkedInfo, Ticket};
use crate::core::{Core, logged_out};
use crate::entropy::Entropy;
use crate::event::Event;
use crate::session::{Due, SessionKey};
use crate::site::{DeviceId, MachineKey, Site, UserId};
use crate::store;
use crate::subscription;
use crate::time::Now;
use crate::topic::{handling, parking, telephony};
use crate::wire::Failure;

/// The longest a `GetEvents` waits.
const MAX_POLL: Duration = Duration::from_secs(120);

/// The CAS.
pub struct Cas {
    core: Core,
    /// Bodies to `/Execute` that are not answered yet.
    exchanges: BTreeMap<RequestId, Exchange>,
    /// Those of them that can go on.
    runnable: VecDeque<RequestId>,
    /// What waits for the store.
    stored: BTreeMap<store::RequestId, StoreWait>,
    /// What waits for a helper.
    jobs: BTreeMap<u64, JobWait>,
    /// What waits for call control.
    tickets: BTreeMap<Ticket, Command>,
    /// What waits for its turn to change the site.
    site_queue: SiteQueue,
    logins: Logins,
}

/// What comes with every input.
struct Environment<'a> {
    now: Now,
    site: &'a mut Site,
    control: &'a mut dyn CallControl,
}

impl Cas {
    /// A CAS without sessions.
    pub fn new(settings: Settings, snapshot: &store::Snapshot, key: MachineKey, entropy: Box<dyn Entropy>) -> Cas {
        Cas {
            core: Core::new(settings, snapshot, key, entropy),
            exchanges: BTreeMap::new(),
            runnable: VecDeque::new(),
            stored: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tickets: BTreeMap::new(),
            site_queue: SiteQueue::default(),
            logins: Logins::default(),
        }
    }

    /// One input, handled to its end.
    pub fn handle(&mut self, now: Now, site: &mut Site, control: &mut dyn CallControl, input: Input) {
        let mut env = Environment { now, site, control };
        self.core.kept.start(now);
        self.expire(now);
        self.keep_time(now, env.site);
        match input {
            Input::Request(id, request) => self.request(&mut env, id, &request),
            Input::Gone(id) => self.gone(now, id),
            Input::Stored(id, result) => self.stored(&mut env, id, result),
            Input::Helped(id, finding) => self.helped(&mut env, id, finding),
            Input::Timeout => {}
        }
        self.run(&mut env);
        self.core.modes.arm(now);
    }

    /// Something happened to a call or a device: tells every session concerned.
    pub fn publish(&mut self, now: Now, site: &Site, control: &dyn CallControl, event: CallEvent) {
        match event {
            CallEvent::Changed(call, cause) => self.call_changed(now, site, control, &call, cause),
            CallEvent::Ended { call, user, cause, duration_msec } => {
                self.core.gone.ended(call, user);
                self.core.tell(now, user, || telephony::call_ended_event(now, call, cause, duration_msec));
            }
            CallEvent::Parked(call) => self.parked_changed(now, site, control, &call),
            CallEvent::CallBack(info) => self.core.tell(now, info.user, || telephony::call_back_event(now, &info)),
            CallEvent::Completed(ticket, result) => self.completed(now, site, ticket, result),
            CallEvent::Device { device, registered } => {
                if let Some((device, user)) = site.device(device).and_then(|device| Some((device, device.user?))) {
                    self.core.tell(now, user, || telephony::device_event(now, device, registered));
                    // Who has a telephone now may get what is parked.
                    self.tell_parked(now, site, control, user);
                }
            }
        }
    }

    /// The next output, in order. Polls are answered last, so that one answer carries all events of a step.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front().or_else(|| {
            let (request, events) = self.core.sessions.next_ready()?;
            Some(Output::Reply(request, events))
        })
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        let core = &self.core;
        let timers = [core.sessions.next_timeout(), core.kept.next_timeout(), core.modes.next_timeout()];
        timers.into_iter().chain([self.logins.next_timeout()]).flatten().min()
    }

    /// What the metrics count.
    pub fn stats(&self) -> Stats {
        Stats { pending: self.tickets.len(), failed_logins: self.logins.failed, ..self.core.stats() }
    }

    fn request(&mut self, env: &mut Environment<'_>, id: RequestId, request: &Request) {
        match request.endpoint {
            Endpoint::Login => self.login(env, id, request),
            Endpoint::Execute => self.execute(env, id, request),
            Endpoint::GetEvents { timeout, after } => match self.core.session_of(request) {
                Some(key) => self.get_events(env.now, id, key, Duration::from_secs(timeout), after),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Logout => match self.core.session_of(request) {
                Some(key) => self.logout(env.now, id, key),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Session => match self.core.session_of(request) {
                Some(_) => self.core.reply(id, Reply::json(200, Bytes::from_static(b"{}"))),
                None => self.core.reply_no_session(env.now, id),
            },
            Endpoint::Schema => {
                let reply = Reply::new(200, "application/schema+json", schema().clone());
                self.core.reply(id, reply);
            }
            Endpoint::Health => self.core.reply(id, Reply::json(200, Bytes::from_static(b"{\"status\":\"ok\"}"))),
            Endpoint::Metrics => {
                let failure = Failure::not_found("the node answers for the metrics");
                self.core.reply(id, Reply::refused(env.now, 404, failure));
            }
        }
    }

    fn get_events(&mut self, now: Now, id: RequestId, key: SessionKey, timeout: Duration, after: Option<u64>) {
        let superseded = self.core.sessions.poll(now, key, id, timeout.min(MAX_POLL), after);
        if let Some(old) = superseded {
            let format = self.core.sessions.get(key).map(|session| session.format).unwrap_or_default();
            self.core.reply(old, Reply { format, ..Reply::json(200, Bytes::from_static(b"[]")) });
        }
        self.expire(now);
    }

    /// Answered once the store has forgotten the subscriptions: they do not outlive the logout.
    fn logout(&mut self, now: Now, id: RequestId, key: SessionKey) {
        match self.core.end_session(now, key) {
            Some(store) => {
                self.stored.insert(store, StoreWait::Logout(id));
            }
            None => self.core.reply(id, logged_out(now)),
        }
    }

    fn gone(&mut self, now: Now, id: RequestId) {
        if self.core.sessions.poll_gone(now, id) || self.logins.gone(id) {
            return;
        }
        // What it asked is done all the same; only the answer is not wanted.
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.wanted = false;
        }
        for wait in self.jobs.values_mut() {
            match wait {
                JobWait::Login(attempt) if attempt.request == Some(id) => attempt.request = None,
                JobWait::Login(_) | JobWait::Message(..) => {}
            }
        }
        self.stored.retain(|_, wait| !matches!(wait, StoreWait::Logout(request) if *request == id));
    }

    /// Does what the time has come for.
    fn expire(&mut self, now: Now) {
        while let Some(due) = self.core.sessions.next_due(now) {
            match due {
                Due::PollEnded(request) => {
                    if let Some(events) = self.core.sessions.take_poll(now, request) {
                        self.core.reply(request, events);
                    }
                }
                Due::Abandoned(key) => {
                    self.core.end_session(now, key);
                }
            }
        }
        self.release_held_logins(now);
        let unclaimed = self.core.kept.expire(now);
        self.core.write(unclaimed);
    }

    /// Call handling modes that the clock has changed.
    fn keep_time(&mut self, now: Now, site: &Site) {
        let changed = self.core.modes.changed(site, now);
        if changed.is_empty() {
            return;
        }
        for user in &changed {
            handling::tell_mode(now, site, &mut self.core, *user);
        }
        self.core.outputs.push_back(Output::HandlingChanged(changed));
    }

    /// Parked calls are everybody's to see.
    fn parked_changed(&mut self, now: Now, site: &Site, control: &dyn CallControl, call: &ParkedInfo) {
        let sessions = self.core.sessions.all().filter(|(_, session)| subscription::sees_parked(session));
        let mut encoded: [Option<Event>; 2] = [None, None];
        for key in sessions.map(|(key, _)| key).collect::<Vec<_>>() {
            let Some(who) = self.core.principal(site, key) else { continue };
            let may = control.may_unpark(site, &who, &call.orbit);
            let event = encoded[usize::from(may)].get_or_insert_with(|| parking::event(now, call, may)).clone();
            self.core.sessions.push(now, key, event);
        }
    }

    fn tell_parked(&mut self, now: Now, site: &Site, control: &dyn CallControl, user: UserId) {
        let sees = |key: &SessionKey| self.core.sessions.get(*key).is_some_and(subscription::sees_parked);
        for key in self.core.sessions.of_user(user).into_iter().filter(sees).collect::<Vec<_>>() {
            let Some(who) = self.core.principal(site, key) else { continue };
            for call in control.parked(site) {
                let event = parking::event(now, &call, control.may_unpark(site, &who, &call.orbit));
                self.core.sessions.push(now, key, event);
            }
        }
    }

    /// The event is encoded once for all who may do the same with the call.
    fn call_changed(
        &mut self,
        now: Now,
        site: &Site,
        control: &dyn CallControl,
        call: &CallInfo,
        cause: Option<Cause>,
    ) {
        let mut encoded: Vec<(Option<DeviceId>, Event)> = Vec::new();
        for key in self.core.sessions.of_user(call.user) {
            let Some(who) = self.core.principal(site, key) else { continue };
            if !self.core.sessions.get(key).is_some_and(subscription::sees_own_device) {
                continue;
            }
            let known = encoded.iter().find(|(device, _)| *device == who.device).map(|(_, event)| event.clone());
            let event = known.unwrap_or_else(|| {
                let event = telephony::call_event(now, call, control.allowed(site, &who, call.id), cause);
                encoded.push((who.device, event.clone()));
                event
            });
            self.core.sessions.push(now, key, event);
        }
    }
}
