//! The way of a message: opened, admitted, begun by its topic, waited for, answered.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::login::Attempt;
use super::{Cas, Environment};
use crate::boundary::{Finding, Job, Output, Reply, Request, RequestId, Source};
use crate::bulk::{Asker, Exchange, MAX_PARTS, Step};
use crate::control::{CallId, Refusal, Ticket, Yield};
use crate::core::logged_out;
use crate::event::{Completion, Event};
use crate::permission;
use crate::repeat::{Fingerprint, Place, RepeatKey, Seen};
use crate::site::Site;
use crate::store::{self, StoreError};
use crate::time::Now;
use crate::topic::telephony::{Commanded, MAX_PENDING};
use crate::topic::{self, Arrival, Context, Grade, Mode, Outcome, Progress, Spec, Waiting};
use crate::wire::shape::ANY_MESSAGE;
use crate::wire::{self, Code, Failure, Fields, Head, json};

/// Exchanges under way.
const MAX_EXCHANGES: usize = 4096;
/// Those of one session: no client can take them all. Twice as many as its commands may be: one that waits for all of them can still look, and drop them.
const MAX_EXCHANGES_OF_SESSION: usize = 2 * MAX_PENDING;
/// Messages waiting for their turn to change the site.
const MAX_SITE_QUEUE: usize = 64;

/// Members of every reply, whatever the message yields.
const HEADERS: [&str; 7] = ["topic", "message", "timestamp", "sequence-id", "request-id", "response", "permissions"];

/// One message under way.
pub(super) struct Task {
    place: Place,
    asker: Asker,
    spec: &'static Spec,
    head: Head,
    /// Set where a repeat must not be done twice.
    repeat: Option<RepeatKey>,
}

/// A message that call control has accepted, until its completion.
pub(super) struct Command {
    task: Task,
    /// What the client was told to know it by.
    response: u32,
    /// The call it is about.
    call: Option<CallId>,
}

/// Who waits for the store.
pub(super) enum StoreWait {
    Message(Box<Task>, Waiting),
    Logout(RequestId),
}

/// Who waits for a helper.
pub(super) enum JobWait {
    Login(Attempt),
    Message(Box<Task>, Waiting),
}

/// Messages that change the site: one is under way, the others wait in their order.
#[derive(Default)]
pub(super) struct SiteQueue {
    is_busy: bool,
    waiting: VecDeque<(Task, Fields)>,
}

impl Cas {
    /// `POST /Execute`
    pub(super) fn execute(&mut self, env: &mut Environment<'_>, id: RequestId, request: &Request) {
        let asker = match request.source {
            Source::Console => Asker::Console,
            Source::Network(_) => match self.core.session_of(request) {
                Some(key) => Asker::Session(key),
                None => return self.core.reply_no_session(env.now, id),
            },
        };
        let overload = match self.is_busy(asker) {
            // The session lives, and what it may do is the protocol's: not HTTP's to refuse.
            true => Some((200, format!("{MAX_EXCHANGES_OF_SESSION} requests of this session are waiting"))),
            false if self.exchanges.len() >= MAX_EXCHANGES => Some((503, "too many requests at once".to_owned())),
            false => None,
        };
        if let Some((status, text)) = overload {
            self.core.overloads += 1;
            let failure = Failure::new(Code::OVERLOADED, format!("{text}: try again in a second"));
            return self.core.reply(id, Reply::refused(env.now, status, failure).with_retry_after(1));
        }
        match read(request).and_then(|body| exchange(asker, body)) {
            Ok(exchange) => {
                if let Asker::Session(key) = asker {
                    self.core.sessions.enter(env.now, key);
                }
                self.exchanges.insert(id, exchange);
                self.runnable.push_back(id);
            }
            Err(failure) => {
                let status = if failure.code == Code::MALFORMED { 400 } else { 200 };
                self.core.reply(id, Reply::refused(env.now, status, failure));
            }
        }
    }

    /// Whether the session has as many requests under way as it may have.
    fn is_busy(&self, asker: Asker) -> bool {
        match asker {
            Asker::Session(key) => self.core.sessions.get(key).is_some_and(|s| s.busy >= MAX_EXCHANGES_OF_SESSION),
            Asker::Console => false,
        }
    }

    /// Goes on with all that can go on.
    pub(super) fn run(&mut self, env: &mut Environment<'_>) {
        loop {
            if let Some(id) = self.runnable.pop_front() {
                self.proceed(env, id);
            } else if !self.site_queue.is_busy
                && let Some((task, fields)) = self.site_queue.waiting.pop_front()
            {
                self.site_queue.is_busy = true;
                // He may have lost the right to it while he waited.
                match self.permitted(env.site, task.asker, task.spec) {
                    Ok(()) => self.begin(env, task, fields),
                    Err(failure) => self.settle(env, task, Err(failure)),
                }
            } else {
                return;
            }
        }
    }

    fn proceed(&mut self, env: &mut Environment<'_>, id: RequestId) {
        while let Some(exchange) = self.exchanges.get_mut(&id) {
            let asker = exchange.asker;
            match exchange.step() {
                Step::Begin(index, part) => {
                    let place = Place { request: id, index };
                    let waits_for_it = self.admit(env, place, asker, part);
                    if let Some(exchange) = self.exchanges.get_mut(&id).filter(|_| waits_for_it) {
                        exchange.hold(index);
                    }
                }
                Step::Wait => return,
                Step::Finished(body) => self.finish(env.now, id, body),
            }
        }
    }

    fn finish(&mut self, now: Now, id: RequestId, body: Bytes) {
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        if let Asker::Session(key) = exchange.asker {
            self.core.sessions.leave(now, key);
        }
        if exchange.wanted {
            self.core.reply(id, Reply::json(200, body));
        }
    }

    /// Opens a message and begins it, or answers why not. Yields whether those after it must wait for its reply.
    fn admit(&mut self, env: &mut Environment<'_>, place: Place, asker: Asker, part: Value) -> bool {
        self.core.messages += 1;
        let (head, opened) = wire::open(part);
        let admitted = opened.and_then(|fields| {
            let spec = topic::find(&head.topic, &head.message)?;
            self.permitted(env.site, asker, spec)?;
            refuse_dry_run(spec, &fields)?;
            Ok((spec, fields))
        });
        let (spec, fields) = match admitted {
            Ok(admitted) => admitted,
            Err(failure) => {
                let reply = self.reply(env.now, env.site, asker, &head, 0, Err(failure));
                self.deliver(env.now, place, reply);
                return false;
            }
        };
        let repeat = match (&head.request_id, spec.mode, asker) {
            (Some(id), Mode::Write | Mode::Site | Mode::Asynchronous, Asker::Session(_)) => Some(RepeatKey::new(id)),
            _ => None,
        };
        let task = Task { place, asker, spec, head, repeat };
        if let Some(task) = self.admit_new(env, task, &fields) {
            self.enqueue(env, task, fields);
        }
        spec.mode != Mode::Asynchronous
    }

    /// A repeat is given what the first one was; yields the task where it is no repeat.
    fn admit_new(&mut self, env: &mut Environment<'_>, task: Task, fields: &Fields) -> Option<Task> {
        let (Some(key), Asker::Session(session)) = (&task.repeat, task.asker) else { return Some(task) };
        let Some(session) = self.core.sessions.get_mut(session) else { return Some(task) };
        let failure = match session.repeats.begin(env.now.mono, key, Fingerprint::of(fields), task.place) {
            Seen::New => return Some(task),
            Seen::Joined => return None,
            Seen::Answered(reply) => {
                self.deliver(env.now, task.place, reply);
                return None;
            }
            Seen::OtherContent => {
                Failure::of("request-id", Code::CONFLICT, "this request-id was used for another request")
            }
            Seen::Full => Failure::new(Code::OVERLOADED, "too many requests of this session are pending"),
        };
        let reply = self.reply(env.now, env.site, task.asker, &task.head, 0, Err(failure));
        self.deliver(env.now, task.place, reply);
        None
    }

    fn enqueue(&mut self, env: &mut Environment<'_>, task: Task, fields: Fields) {
        if task.spec.mode != Mode::Site {
            return self.begin(env, task, fields);
        }
        if self.site_queue.waiting.len() < MAX_SITE_QUEUE {
            return self.site_queue.waiting.push_back((task, fields));
        }
        self.core.overloads += 1;
        let failure = Failure::new(Code::OVERLOADED, "too many changes of the site are waiting: try again");
        self.answer(env.now, env.site, &task, Err(failure));
    }

    fn begin(&mut self, env: &mut Environment<'_>, task: Task, fields: Fields) {
        let outcome = (task.spec.begin)(&mut self.context(env, task.asker), fields);
        self.settle(env, task, outcome);
    }

    fn resume(&mut self, env: &mut Environment<'_>, task: Task, waiting: Waiting, arrival: Arrival) {
        let outcome = topic::resume(&mut self.context(env, task.asker), waiting, arrival);
        self.settle(env, task, outcome);
    }

    fn context<'a>(&'a mut self, env: &'a mut Environment<'_>, asker: Asker) -> Context<'a> {
        Context { now: env.now, site: env.site, control: env.control, core: &mut self.core, asker }
    }

    /// Does what a topic decided.
    fn settle(&mut self, env: &mut Environment<'_>, task: Task, outcome: Outcome) {
        let done = match outcome {
            Ok(Progress::Store(request, waiting)) => {
                let id = self.core.store(request);
                self.stored.insert(id, StoreWait::Message(Box::new(task), waiting));
                return;
            }
            Ok(Progress::Help(work, waiting)) => {
                let id = self.core.next_job();
                self.jobs.insert(id, JobWait::Message(Box::new(task), waiting));
                return self.core.outputs.push_back(Output::Help(Job { id, work }));
            }
            Ok(Progress::Pending(ticket, call)) => return self.accepted(env, task, ticket, call),
            Ok(Progress::Done(fields)) => Ok(fields),
            Err(failure) => Err(failure),
        };
        if task.spec.mode == Mode::Site {
            self.site_queue.is_busy = false;
        }
        self.answer(env.now, env.site, &task, done);
    }

    /// Call control has begun: the client is told so at once, unless it waits for the end (S37, S38, S40).
    fn accepted(&mut self, env: &mut Environment<'_>, task: Task, ticket: Ticket, call: Option<CallId>) {
        let Asker::Session(key) = task.asker else { return };
        let Some(session) = self.core.sessions.get_mut(key) else {
            return self.answer(env.now, env.site, &task, Err(Failure::ended()));
        };
        session.pending += 1;
        let response = session.next_response();
        if !task.head.wait {
            let fields = json::fields(&Commanded::about(call));
            let reply = self.reply(env.now, env.site, task.asker, &task.head, response, Ok(fields));
            self.deliver_to_all(env.now, &task, &reply, true);
        }
        self.tickets.insert(ticket, Command { task, response, call });
    }

    /// Call control has come to the end of a command (S39, S41).
    pub(super) fn completed(&mut self, now: Now, site: &Site, ticket: Ticket, result: Result<Yield, Refusal>) {
        let Some(Command { task, response, call }) = self.tickets.remove(&ticket) else { return };
        let Asker::Session(key) = task.asker else { return };
        if let Some(session) = self.core.sessions.get_mut(key) {
            session.pending = session.pending.saturating_sub(1);
        }
        let result = match result {
            Ok(Yield::Done) => Ok(Commanded::about(call)),
            Ok(Yield::Call(made)) => Ok(Commanded::about(Some(made))),
            Ok(Yield::Orbit(orbit)) => Ok(Commanded { orbit: Some(orbit), ..Commanded::about(call) }),
            Err(refusal) => Err(Failure { call_id: call.map(|call| call.to_string()), ..refusal.into() }),
        };
        if task.head.wait {
            // However it ended, it was begun: a repeat must not begin it again.
            let result = result.map(|commanded| json::fields(&commanded));
            let reply = self.reply(now, site, task.asker, &task.head, 0, result);
            return self.deliver_to_all(now, &task, &reply, true);
        }
        let completion = Completion::new(task.head.request_id, task.spec.name, response, result);
        let message = format!("{}-completion-evt", task.spec.topic);
        self.core.sessions.push(now, key, Event::new(now, task.spec.topic, &message, &completion));
    }

    /// The store has answered.
    pub(super) fn stored(
        &mut self,
        env: &mut Environment<'_>,
        id: store::RequestId,
        result: Result<store::Reply, StoreError>,
    ) {
        match (self.stored.remove(&id), result) {
            (Some(StoreWait::Message(task, waiting)), result) => {
                self.resume(env, *task, waiting, Arrival::Stored(result));
            }
            (Some(StoreWait::Logout(request)), Ok(_)) => self.core.reply(request, logged_out(env.now)),
            (Some(StoreWait::Logout(request)), Err(error)) => {
                let failure = self.core.fault(&error.to_string());
                self.core.reply(request, Reply::refused(env.now, 200, failure));
            }
            (None, Ok(_)) => {}
            (None, Err(error)) => drop(self.core.fault(&error.to_string())),
        }
    }

    /// A helper has answered.
    pub(super) fn helped(&mut self, env: &mut Environment<'_>, id: u64, finding: Finding) {
        match self.jobs.remove(&id) {
            Some(JobWait::Message(task, waiting)) => self.resume(env, *task, waiting, Arrival::Helped(finding)),
            Some(JobWait::Login(attempt)) => self.verified(env, attempt, finding == Finding::Verified(true)),
            None => {}
        }
    }

    /// The final reply, to the asker and to all who repeated the request meanwhile. Where nothing was begun nothing is remembered: the
    /// client corrects the message, or tries it again, under the same `request-id`.
    fn answer(&mut self, now: Now, site: &Site, task: &Task, result: Result<Fields, Failure>) {
        let remember = result.is_ok();
        let reply = self.reply(now, site, task.asker, &task.head, 0, result);
        self.deliver_to_all(now, task, &reply, remember);
    }

    fn deliver_to_all(&mut self, now: Now, task: &Task, reply: &Bytes, remember: bool) {
        let mut others = Vec::new();
        if let (Some(key), Asker::Session(session)) = (&task.repeat, task.asker)
            && let Some(session) = self.core.sessions.get_mut(session)
        {
            others = match remember {
                true => session.repeats.answered(key, reply),
                false => session.repeats.forget(key),
            };
        }
        self.deliver(now, task.place, reply.clone());
        others.into_iter().for_each(|place| self.deliver(now, place, reply.clone()));
    }

    fn deliver(&mut self, now: Now, place: Place, reply: Bytes) {
        let Some(exchange) = self.exchanges.get_mut(&place.request) else { return };
        let goes_on = exchange.is_held_by(place.index);
        if let Some(body) = exchange.fill(place.index, reply) {
            self.finish(now, place.request, body);
        } else if goes_on {
            self.runnable.push_back(place.request);
        }
    }

    /// The decision that lists an action in `permissions` too.
    fn permitted(&self, site: &Site, asker: Asker, spec: &Spec) -> Result<(), Failure> {
        permission::check(self.grade(site, asker).ok_or_else(Failure::ended)?, spec)
    }

    fn grade(&self, site: &Site, asker: Asker) -> Option<Grade> {
        match asker {
            Asker::Console => Some(Grade::Console),
            Asker::Session(key) => self.core.principal(site, key).map(|who| Grade::from(who.role)),
        }
    }

    /// A reply: headers, outcome, permissions (S122).
    fn reply(
        &self,
        now: Now,
        site: &Site,
        asker: Asker,
        head: &Head,
        response: u32,
        result: Result<Fields, Failure>,
    ) -> Bytes {
        let mut reply = json::Object::new();
        for (header, name) in [("topic", &head.topic), ("message", &head.message)] {
            if !name.is_empty() {
                reply.member(header, name);
            }
        }
        let last_event = match asker {
            Asker::Session(key) => self.core.sessions.get(key).map_or(0, |session| session.last_event()),
            Asker::Console => 0,
        };
        reply.member("timestamp", &now.wall.0);
        reply.member("sequence-id", &last_event);
        if let Some(id) = &head.request_id {
            reply.member("request-id", id);
        }
        reply.member("response", &response);
        if result.is_ok() {
            reply.member("error", &0);
        }
        for (name, value) in &result.unwrap_or_else(Failure::described) {
            debug_assert!(!HEADERS.contains(&name.as_str()), "no topic yields a header");
            reply.member(name, value);
        }
        let grade = self.grade(site, asker);
        reply
            .encoded("permissions", grade.map_or(permission::NOTHING, |grade| permission::encoded(grade, &head.topic)));
        reply.finish()
    }
}

/// A message, or an array of them.
fn read(request: &Request) -> Result<Value, Failure> {
    static SHAPE: LazyLock<Value> = LazyLock::new(|| {
        let message = json!({"$ref": ANY_MESSAGE});
        json!({"anyOf": [{"type": "array", "items": message}, message]})
    });
    wire::decode(request.format, &request.body, &SHAPE, topic::asked)
}

fn exchange(asker: Asker, body: Value) -> Result<Exchange, Failure> {
    if !body.is_object() && !body.is_array() {
        return Err(Failure::new(Code::MALFORMED, "the body is a message (an object), or an array of them"));
    }
    let exchange = Exchange::new(asker, body);
    match exchange.parts() <= MAX_PARTS {
        true => Ok(exchange),
        false => Err(Failure::new(Code::LIMIT, format!("a bulk request has at most {MAX_PARTS} messages"))),
    }
}

/// A dry run that did the thing would be the worst answer of all.
fn refuse_dry_run(spec: &Spec, fields: &Fields) -> Result<(), Failure> {
    match wire::member(fields, "dry-run") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(()),
        Some(_) if spec.mode == Mode::Read => Ok(()),
        Some(_) => Err(Failure::bad("dry-run", "dry runs are not served yet: nothing was done")),
    }
}
