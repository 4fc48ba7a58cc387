//! The CAS clients of the world: each keeps its own picture of its user's calls from the events it is told, and complains when an event is
//! missing, comes twice, or does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::cas::{Endpoint, Format, Reply, Request, RequestId, Source};
use serde_json::{Map, Value, json};
use switch::node::Input;

use super::deed::Deed;
use super::{World, site};
use crate::schema::Schema;

/// How long an answer that waits for the store or a helper may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names a client of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(pub(super) usize);

/// A client of one user.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: &'static str,
    pub(super) session: Option<String>,
    /// When the session was last used; an idle one may be abandoned.
    pub(super) used: Instant,
    /// The last event it has.
    after: u64,
    sent: u64,
    pub(super) view: View,
    /// A login or a poll whose reply is awaited.
    pub(super) login: Option<RequestId>,
    pub(super) poll: Option<RequestId>,
}

/// What a client knows from events alone.
#[derive(Debug, Default)]
pub(super) struct View {
    /// A snapshot came: all that follows must fit.
    pub(super) complete: bool,
    /// By call-id, the last that was told.
    pub(super) calls: BTreeMap<String, Map<String, Value>>,
    /// What is parked, by orbit, once a snapshot of that came.
    pub(super) parked: Option<BTreeMap<String, Map<String, Value>>>,
    pub(super) ended: BTreeSet<String>,
    /// Those of them that were answered elsewhere: where he has picked up what rang for himself, the record is that of the end he did it with.
    pub(super) elsewhere: BTreeSet<String>,
    /// Requests whose completion is awaited, by `response`.
    pub(super) pending: BTreeMap<u64, String>,
    completed: BTreeMap<u64, Value>,
    log: Vec<Value>,
}

impl View {
    /// What this client asked for that has come to a good end, as this event tells.
    fn is_done(&self, event: &Value) -> Option<&str> {
        let done = text(event, "message") == "tel-completion-evt" && event["error"] == 0;
        let response = event["response"].as_u64().filter(|_| done)?;
        self.pending.get(&response).map(String::as_str)
    }

    /// Takes an event. `Err`: it does not fit what was told before.
    fn take(&mut self, event: &Value) -> Result<(), String> {
        Schema::of_sources().check_event(event);
        let name = format!("{}/{}", text(event, "topic"), text(event, "message"));
        match name.as_str() {
            "tel/snapshot-evt" if event["kind"] == "device" => {
                self.calls = rows(&event["calls"])?.into_iter().map(|call| (id(&call), call)).collect();
                self.complete = true;
            }
            "tel/snapshot-evt" if event["kind"] == "park" => {
                self.parked = Some(rows(&event["parked"])?.into_iter().map(|call| (orbit(&call), call)).collect());
            }
            "tel/parked-evt" => {
                let call = event.as_object().cloned().unwrap_or_default();
                let Some(parked) = &mut self.parked else { return Ok(()) };
                let is_over = matches!(text(event, "state"), "retrieved" | "ended");
                let before = if is_over { parked.remove(&orbit(&call)) } else { parked.insert(orbit(&call), call) };
                let is_new = before.is_none_or(|before| before["since"] != event["since"]);
                if is_new && text(event, "state") != "parked" {
                    return Err(format!("a parked-evt of a call never told of: {event}"));
                }
            }
            "tel/call-evt" => {
                let call = event.as_object().cloned().unwrap_or_default();
                if self.ended.contains(&id(&call)) {
                    return Err(format!("a call-evt after the call-ended-evt: {event}"));
                }
                self.calls.insert(id(&call), call);
            }
            "tel/call-ended-evt" => {
                let id = text(event, "call-id").to_owned();
                if !self.ended.insert(id.clone()) {
                    return Err(format!("a second call-ended-evt: {event}"));
                }
                if event["cause"] == "answered-elsewhere" {
                    self.elsewhere.insert(id.clone());
                }
                if self.calls.remove(&id).is_none() && self.complete {
                    return Err(format!("a call-ended-evt of a call never told of: {event}"));
                }
            }
            "tel/tel-completion-evt" => {
                let response = event["response"].as_u64().ok_or("a completion without response")?;
                if self.pending.remove(&response).is_none() {
                    return Err(format!("a completion of nothing that was pending: {event}"));
                }
                self.completed.insert(response, event.clone());
            }
            "session/resync-evt" => (self.complete, self.parked) = (false, None),
            _ => {}
        }
        if self.log.len() < 1000 {
            self.log.push(event.clone());
        }
        Ok(())
    }
}

impl World {
    /// Adds a client of this user, not logged in.
    pub fn add_client(&mut self, user: &'static str) -> ClientId {
        let (used, view) = (self.now.mono, View::default());
        self.clients.push(Client { user, session: None, used, after: 0, sent: 0, view, login: None, poll: None });
        ClientId(self.clients.len() - 1)
    }

    /// Adds a client, logged in and subscribed to its user's calls.
    pub fn log_in(&mut self, user: &'static str) -> ClientId {
        let client = self.add_client(user);
        self.begin_login(client);
        let end = self.now.mono + PATIENCE;
        while self.clients[client.0].login.is_some() && self.now.mono < end {
            self.run_for(Duration::from_millis(10));
        }
        assert!(self.clients[client.0].session.is_some(), "{user} is logged in");
        let reply = self.execute(
            client,
            json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["tel", "device"]]}),
        );
        assert_eq!(reply["error"], 0, "{reply}");
        self.events_told(client);
        client
    }

    pub(super) fn begin_login(&mut self, client: ClientId) {
        let user = self.clients[client.0].user;
        let body = json!({"app-id": "world", "username": user, "password": site::secret(user)});
        let id = self.post(client, Endpoint::Login, &body);
        self.clients[client.0].login = Some(id);
        self.settle_clients();
    }

    /// Sends a message, waits for its reply, and remembers the completion it promises.
    #[track_caller]
    pub fn execute(&mut self, client: ClientId, message: Value) -> Value {
        let asked = self.dress(client, message);
        let id = self.post(client, Endpoint::Execute, &asked);
        let reply = self.await_reply(id);
        self.take_execute(client, &asked, &reply)
    }

    /// Sends a message whose reply needs nobody else, so that it comes within the step.
    pub(super) fn execute_at_once(&mut self, client: ClientId, message: Value) -> Value {
        let asked = self.dress(client, message);
        self.execute_as_is(client, &asked)
    }

    /// Sends it as it is: a second time, a repetition.
    pub(super) fn execute_as_is(&mut self, client: ClientId, asked: &Value) -> Value {
        let id = self.post(client, Endpoint::Execute, asked);
        match self.replies.remove(&id) {
            Some(reply) => self.take_execute(client, asked, &reply),
            None => self.fail(&format!("no reply within the step to {asked}")),
        }
    }

    /// Adds the headers a client sends.
    pub(super) fn dress(&mut self, client: ClientId, mut message: Value) -> Value {
        let client = &mut self.clients[client.0];
        client.sent += 1;
        message["sequence-id"] = client.sent.into();
        message["request-id"] = format!("{}-{}", client.user, client.sent).into();
        message["timestamp"] = self.now.wall.0.into();
        message
    }

    fn take_execute(&mut self, client: ClientId, asked: &Value, reply: &Reply) -> Value {
        let value = self.read(client, reply);
        self.note(|| format!("            reply  {value}"));
        if reply.status != 200 {
            return value;
        }
        Schema::of_sources().check(asked, &value);
        for header in ["topic", "message", "request-id"] {
            if value[header] != asked[header] {
                self.fail(&format!("the reply's {header} is not the request's: {asked} was answered {value}"));
            }
        }
        if !value["error"].is_u64() || !value["response"].is_u64() {
            self.fail(&format!("a reply without error or response: {value}"));
        }
        if let Some(response @ 1..) = value["response"].as_u64() {
            let name = text(asked, "message").to_owned();
            self.clients[client.0].view.pending.insert(response, name);
        }
        value
    }

    /// The number of the last event a client has.
    pub fn last_event(&self, client: ClientId) -> u64 {
        self.clients[client.0].after
    }

    /// The events told since this was last asked.
    #[track_caller]
    pub fn events_told(&mut self, client: ClientId) -> Vec<Value> {
        self.fetch(client);
        std::mem::take(&mut self.clients[client.0].view.log)
    }

    /// What became of a request that was answered with this `response`; waits for it.
    #[track_caller]
    pub fn completion(&mut self, client: ClientId, response: &Value) -> Value {
        let response = response.as_u64().expect("a response number");
        for _ in 0..2_000 {
            self.fetch(client);
            if let Some(event) = self.clients[client.0].view.completed.remove(&response) {
                return event;
            }
            self.run_for(Duration::from_millis(50));
        }
        self.fail(&format!("no completion of {response} in 100 s"))
    }

    /// The rows of `get-calls`.
    #[track_caller]
    pub fn calls(&mut self, client: ClientId) -> Vec<Map<String, Value>> {
        let reply = self.execute_at_once(client, json!({"topic": "tel", "message": "get-calls"}));
        match rows(&reply["calls"]) {
            Ok(rows) => rows,
            Err(error) => self.fail(&error),
        }
    }

    /// Fetches the events that wait, without waiting for more.
    pub(super) fn fetch(&mut self, client: ClientId) {
        let after = Some(self.clients[client.0].after);
        let id = self.post(client, Endpoint::GetEvents { timeout: 0, after }, &Value::Null);
        match self.replies.remove(&id) {
            Some(reply) => self.take_events(client, &reply),
            None => self.fail("GetEvents with timeout 0 was not answered at once"),
        }
    }

    /// Opens a long poll.
    pub(super) fn begin_poll(&mut self, client: ClientId, timeout: u64) {
        let after = Some(self.clients[client.0].after);
        let id = self.post(client, Endpoint::GetEvents { timeout, after }, &Value::Null);
        self.clients[client.0].poll = Some(id);
        self.settle_clients();
    }

    /// The connection of a long poll breaks: its reply, if it had one, is lost.
    pub(super) fn break_poll(&mut self, client: ClientId) {
        let Some(id) = self.clients[client.0].poll.take() else { return };
        self.unanswered.remove(&id);
        self.replies.remove(&id);
        self.tell_node(Input::RequestGone(id));
    }

    /// Logs out.
    pub fn log_out(&mut self, client: ClientId) {
        let id = self.post(client, Endpoint::Logout, &Value::Null);
        let reply = self.await_reply(id);
        assert!(matches!(reply.status, 200 | 401), "Logout was answered {}", reply.status);
        self.close_session(client);
    }

    /// Takes the replies to logins and polls that have come.
    pub(super) fn settle_clients(&mut self) {
        for index in 0..self.clients.len() {
            let client = ClientId(index);
            if let Some(reply) = self.clients[index].login.and_then(|id| self.replies.remove(&id)) {
                self.clients[index].login = None;
                self.take_login(client, &reply);
            }
            if let Some(reply) = self.clients[index].poll.and_then(|id| self.replies.remove(&id)) {
                self.clients[index].poll = None;
                self.take_events(client, &reply);
            }
        }
    }

    fn take_login(&mut self, client: ClientId, reply: &Reply) {
        let value = self.read(client, reply);
        let Some(session) = value["SessionId"].as_str() else {
            self.fail(&format!("a right password was answered {value}"));
        };
        let client = &mut self.clients[client.0];
        client.session = Some(session.to_owned());
        client.after = 0;
        client.view = View::default();
    }

    fn take_events(&mut self, client: ClientId, reply: &Reply) {
        let value = self.read(client, reply);
        if reply.status != 200 {
            return;
        }
        let Some(events) = value.as_array() else { self.fail(&format!("events are no array: {value}")) };
        for event in events {
            let Some(number) = event["sequence-id"].as_u64() else { self.fail(&format!("unnumbered: {event}")) };
            let state = &mut self.clients[client.0];
            if number <= state.after {
                continue;
            }
            if number != state.after + 1 && event["message"] != "resync-evt" {
                let breach = format!("event {} of {} is missing", state.after + 1, state.user);
                self.fail(&breach);
            }
            state.after = number;
            let done = state.view.is_done(event).map(str::to_owned);
            let taken = state.view.take(event);
            let user = state.user;
            self.note(|| format!("         event {user}  {event}"));
            self.count(done.as_deref(), event);
            if let Err(breach) = taken {
                self.fail(&breach);
            }
        }
    }

    /// What an event tells that was done.
    fn count(&mut self, done: Option<&str>, event: &Value) {
        done.and_then(Deed::of_message).into_iter().for_each(|deed| self.saw(deed));
        if matches!(done, Some("blind-transfer" | "complete-transfer")) {
            self.saw(Deed::Reached);
        }
        let deed = match text(event, "state") {
            "parked" => Deed::Parked,
            "recalling" => Deed::Recalled,
            "retrieved" => Deed::Retrieved,
            _ => return,
        };
        let told = ["orbit", "since", "state"].map(|member| event[member].to_string());
        if text(event, "message") == "parked-evt" && self.parks_told.insert(told.into()) {
            self.saw(deed);
        }
    }

    /// A reply's body. A session that is gone must have been idle for its time.
    fn read(&mut self, client: ClientId, reply: &Reply) -> Value {
        let Ok(value) = serde_json::from_slice::<Value>(&reply.body) else {
            self.fail(&format!("a body that is not JSON: {:?}", reply.body));
        };
        let idle = self.now.mono - self.clients[client.0].used;
        match reply.status {
            200 => self.clients[client.0].used = self.now.mono,
            401 if idle >= self.settings.cas.idle => self.close_session(client),
            status => self.fail(&format!("HTTP {status} after {idle:?}: {value}")),
        }
        value
    }

    /// Asks, and lets time pass until the answer is there.
    fn await_reply(&mut self, id: RequestId) -> Reply {
        let end = self.now.mono + PATIENCE;
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            if self.now.mono >= end {
                self.fail("a request was not answered in time");
            }
            self.run_for(Duration::from_millis(5));
        }
    }

    /// Sends a request and returns its reply as it is.
    #[track_caller]
    pub fn ask(&mut self, client: ClientId, endpoint: Endpoint, body: &Value) -> Reply {
        let id = self.post(client, endpoint, body);
        self.await_reply(id)
    }

    /// The reply to a request, if it has come.
    pub fn reply_to(&mut self, id: RequestId) -> Option<Reply> {
        self.replies.remove(&id)
    }

    /// Logs a client in whose session is gone. What the login was answered.
    #[track_caller]
    pub fn log_in_again(&mut self, client: ClientId) -> u16 {
        self.begin_login(client);
        self.run_for(Duration::from_millis(200));
        if self.clients[client.0].session.is_some() { 200 } else { 401 }
    }

    /// The session of a client that is logged in.
    pub fn session(&self, client: ClientId) -> Option<&str> {
        self.clients[client.0].session.as_deref()
    }

    /// Asks in a session, whether or not there still is one.
    #[track_caller]
    pub fn ask_in(&mut self, session: &str, endpoint: Endpoint, body: &Value) -> Reply {
        let id = self.post_in(Some(session.to_owned()), endpoint, body.to_string().into());
        self.await_reply(id)
    }

    /// Sends a request to the switch.
    pub fn post(&mut self, client: ClientId, endpoint: Endpoint, body: &Value) -> RequestId {
        let Client { user, session, .. } = &self.clients[client.0];
        let (user, session) = (*user, session.clone());
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.note(|| format!("CAS {user} → switch  {endpoint:?} {}", String::from_utf8_lossy(&body)));
        self.post_in(session, endpoint, body)
    }

    pub(super) fn post_in(&mut self, session: Option<String>, endpoint: Endpoint, body: Bytes) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.unanswered.insert(id);
        let source = Source::Network(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.tell_node(Input::Request(id, Request { endpoint, session, source, format: Format::Json, body }));
        id
    }

    /// The switch forgot all sessions.
    pub(super) fn forget_sessions(&mut self) {
        for index in 0..self.clients.len() {
            self.close_session(ClientId(index));
        }
    }

    pub(super) fn close_session(&mut self, client: ClientId) {
        let client = &mut self.clients[client.0];
        client.session = None;
        client.view = View::default();
        client.after = 0;
        client.login = None;
        client.poll = None;
    }
}

/// Columnar rows as objects.
pub(super) fn rows(value: &Value) -> Result<Vec<Map<String, Value>>, String> {
    let no_rows = || format!("no rows: {value}");
    let mut lines = value.as_array().ok_or_else(no_rows)?.iter();
    let names = lines.next().and_then(Value::as_array).ok_or_else(no_rows)?;
    lines
        .map(|line| {
            let cells = line.as_array().filter(|cells| cells.len() == names.len()).ok_or_else(no_rows)?;
            Ok(names
                .iter()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .zip(cells.iter().cloned())
                .collect())
        })
        .collect()
}

fn id(call: &Map<String, Value>) -> String {
    call.get("call-id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn orbit(call: &Map<String, Value>) -> String {
    call.get("orbit").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
