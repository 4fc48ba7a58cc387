//! The CAS driven from outside: requests in, outputs out, with a store in memory, helpers that find at once, and a call control of its own.

#![allow(clippy::needless_pass_by_value, reason = "messages are written where they are sent")]

mod configuration;
mod directory;
mod encodings;
mod events;
mod fuzz;
mod handling;
mod login;
mod messages;
mod schema;
mod system;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::control::*;
use crate::site::{Access, Device, Extension, Role, Target, User, UserId};
use crate::store::memory::Memory;
use crate::store::{Change, StoreError};
use crate::time::Wall;

const REALM: &str = "switch.local";

/// Not random, but never the same twice.
struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// A call control that accepts what it is told to.
#[derive(Default)]
struct FakeControl {
    calls: Vec<CallInfo>,
    registered: Vec<RegistrationInfo>,
    parked: Vec<ParkedInfo>,
    reports: Vec<CallReport>,
    commands: Vec<CallCommand>,
    refuse: Option<Refusal>,
    tickets: u64,
}

impl CallControl for FakeControl {
    fn execute(&mut self, _: Now, _: &Site, _: &Principal, command: CallCommand) -> Result<Accepted, Refusal> {
        if let Some(refusal) = self.refuse.clone() {
            return Err(refusal);
        }
        self.tickets += 1;
        let is_new = matches!(command, CallCommand::MakeCall { .. });
        self.commands.push(command);
        Ok(Accepted { ticket: Ticket(self.tickets), call: is_new.then_some(CallId(0xa0 + self.tickets)) })
    }

    fn allowed(&self, _: &Site, who: &Principal, call: CallId) -> Actions {
        let own = self.calls.iter().any(|info| info.id == call && info.user == who.user);
        [Action::Drop, Action::Hold].into_iter().filter(|_| own).collect()
    }

    fn view(&self, _: &Site, _: &Principal, query: CallQuery) -> Vec<CallInfo> {
        let wanted = |info: &&CallInfo| match query {
            CallQuery::OfUser(user) => info.user == user,
            CallQuery::One(id) => info.id == id,
        };
        self.calls.iter().filter(wanted).cloned().collect()
    }

    fn parked(&self, _: &Site) -> Vec<ParkedInfo> {
        self.parked.clone()
    }

    fn may_unpark(&self, _: &Site, who: &Principal, orbit: &str) -> bool {
        let has_phone = self.registered.iter().any(|binding| binding.device.0 + 1 == who.user.0);
        has_phone && self.parked.iter().any(|call| call.orbit == orbit)
    }

    fn registrations(&self) -> Vec<RegistrationInfo> {
        self.registered.clone()
    }

    fn is_registered(&self, device: crate::site::DeviceId) -> bool {
        self.registered.iter().any(|binding| binding.device == device)
    }

    fn status(&self) -> EngineStatus {
        EngineStatus { calls: self.calls.len(), ..EngineStatus::default() }
    }

    fn calls(&self, _: Now, _: Shown, max: usize) -> (Vec<CallLine>, usize) {
        (self.reports.iter().take(max).map(|report| report.line.clone()).collect(), self.reports.len())
    }

    fn report(&mut self, _: Now, id: CallId) -> Option<CallReport> {
        self.reports.iter().find(|report| report.line.id == id).cloned()
    }

    fn unregister(
        &mut self,
        _: Now,
        _: &Site,
        devices: &[DeviceId],
        contact: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        let wanted = |binding: &RegistrationInfo| {
            devices.contains(&binding.device) && contact.is_none_or(|contact| binding.contact == contact)
        };
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.registered).into_iter().partition(wanted);
        self.registered = kept;
        if gone.is_empty() {
            return Err(Refusal { code: RefusalCode::NotFound, text: "It is not registered".into() });
        }
        let removal = |binding: RegistrationInfo| Change::RemoveBinding {
            device: binding.device,
            contact: binding.contact,
            reg_id: 0,
        };
        Ok(gone.into_iter().map(removal).collect())
    }
}

/// A CAS and its surroundings.
struct Bench {
    cas: Cas,
    site: Site,
    control: FakeControl,
    now: Now,
    store: Memory,
    /// Store requests and jobs are left waiting.
    hold: bool,
    stored: Vec<(store::RequestId, store::Request)>,
    jobs: Vec<Job>,
    replies: BTreeMap<RequestId, Reply>,
    /// What was asked, as long as it is not answered.
    asked: BTreeMap<RequestId, Value>,
    site_changes: usize,
    handling_changes: Vec<UserId>,
    next: u64,
}

fn user(id: u64, login: &str, name: &str, role: Role) -> User {
    let (first, last) = User::split_name(name);
    let email = (role == Role::User).then(|| format!("{first}@example.com"));
    let password_hash = format!("hash:secret-{login}");
    User {
        id: UserId(id),
        login: login.into(),
        first,
        last,
        email,
        role,
        password_hash,
        pin_hash: None,
        pickup_group: None,
    }
}

fn phone(id: u64, owner: u64, sip_user: &str) -> Device {
    let access = Access::digest(&MachineKey([7; 32]), [0; 12], sip_user, REALM, "sip-secret", None);
    Device { id: DeviceId(id), user: Some(UserId(owner)), access }
}

impl Bench {
    /// `admin`, Vanessa at 501 and Austin at 502.
    fn new() -> Bench {
        Bench::with(Settings::default())
    }

    fn with(settings: Settings) -> Bench {
        let mut store = Memory::new(REALM);
        let changes = vec![
            Change::PutUser(user(1, "admin", "Administrator", Role::Admin)),
            Change::PutUser(user(2, "501", "Vanessa Kensington", Role::User)),
            Change::PutUser(user(3, "502", "Austin Powers", Role::User)),
            Change::PutDevice(phone(1, 2, "501")),
            Change::PutDevice(phone(2, 3, "502")),
            Change::PutNumber(Extension("501".into()), Target::User(UserId(2))),
            Change::PutNumber(Extension("502".into()), Target::User(UserId(3))),
        ];
        assert_eq!(store::run(&mut store, [&store::Request::Write(changes)]), [Ok(store::Reply::Written)]);
        let now = Now { mono: Instant::now(), wall: Wall(1_700_000_000_000) };
        Bench::start(settings, store, now)
    }

    fn start(settings: Settings, mut store: Memory, now: Now) -> Bench {
        let snapshot = store::snapshot(&mut store, now.wall).unwrap();
        Bench {
            cas: Cas::new(settings, &snapshot, MachineKey([7; 32]), Box::new(Counter(0))),
            site: Site::new(&snapshot),
            control: FakeControl::default(),
            now,
            store,
            hold: false,
            stored: Vec::new(),
            jobs: Vec::new(),
            replies: BTreeMap::new(),
            asked: BTreeMap::new(),
            site_changes: 0,
            handling_changes: Vec::new(),
            next: 0,
        }
    }

    /// The switch is started again with what the store holds.
    fn restart(self) -> Bench {
        Bench::start(self.cas.core.settings.clone(), self.store, self.now)
    }

    fn input(&mut self, input: Input) {
        self.cas.handle(self.now, &mut self.site, &mut self.control, input);
        self.settle();
    }

    fn publish(&mut self, event: CallEvent) {
        self.cas.publish(self.now, &self.site, &self.control, event);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.cas.poll_output() {
            match output {
                Output::Reply(id, reply) => {
                    schema::check_reply(self.asked.remove(&id).as_ref(), &reply);
                    assert!(self.replies.insert(id, reply).is_none(), "{id:?} was answered twice");
                }
                Output::Store(id, request) => self.stored.push((id, request)),
                Output::Help(job) => self.jobs.push(job),
                Output::SiteChanged(_) => self.site_changes += 1,
                Output::HandlingChanged(users) => self.handling_changes.extend(users),
            }
        }
        let waits = !self.stored.is_empty() || !self.jobs.is_empty();
        if waits && !self.hold {
            self.release();
        }
    }

    /// Store and helpers do what waits.
    fn release(&mut self) {
        for (id, request) in std::mem::take(&mut self.stored) {
            let result = store::run(&mut self.store, [&request]).remove(0);
            self.input(Input::Stored(id, result));
        }
        for Job { id, work } in std::mem::take(&mut self.jobs) {
            let finding = match work {
                Work::Verify { hash, password } => Finding::Verified(hash == format!("hash:{password}")),
                Work::Hash { passwords, .. } => {
                    Finding::Hashed(passwords.iter().map(|password| format!("hash:{password}")).collect())
                }
            };
            self.input(Input::Helped(id, finding));
        }
    }

    /// The disk fails at all that waits.
    fn fail_store(&mut self) {
        for (id, _) in std::mem::take(&mut self.stored) {
            self.input(Input::Stored(id, Err(StoreError("no space".into()))));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.input(Input::Timeout);
    }

    fn post(&mut self, endpoint: Endpoint, session: Option<&str>, source: Source, body: &[u8]) -> RequestId {
        self.post_as(Format::Json, endpoint, session, source, body)
    }

    fn post_as(
        &mut self,
        format: Format,
        endpoint: Endpoint,
        session: Option<&str>,
        source: Source,
        body: &[u8],
    ) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        if endpoint == Endpoint::Execute
            && format == Format::Json
            && let Ok(asked) = serde_json::from_slice(body)
        {
            self.asked.insert(id, asked);
        }
        let (session, body) = (session.map(str::to_owned), Bytes::copy_from_slice(body));
        self.input(Input::Request(id, Request { endpoint, session, source, format, body }));
        id
    }

    fn send(&mut self, session: &str, message: &Value) -> RequestId {
        self.post(Endpoint::Execute, Some(session), NETWORK, message.to_string().as_bytes())
    }

    fn poll(&mut self, session: &str, timeout: u64, after: Option<u64>) -> RequestId {
        self.post(Endpoint::GetEvents { timeout, after }, Some(session), NETWORK, b"")
    }

    /// Takes the reply to a request: there must be one.
    #[track_caller]
    fn reply(&mut self, id: RequestId) -> (u16, Value) {
        let reply = self.replies.remove(&id).expect("the request was answered");
        (reply.status, serde_json::from_slice(&reply.body).expect("a reply is JSON"))
    }

    #[track_caller]
    fn execute(&mut self, session: &str, message: Value) -> Value {
        let id = self.send(session, &message);
        let (status, reply) = self.reply(id);
        assert_eq!(status, 200, "{message}: {reply}");
        reply
    }

    #[track_caller]
    fn console(&mut self, message: Value) -> Value {
        let id = self.post(Endpoint::Execute, None, Source::Console, message.to_string().as_bytes());
        self.reply(id).1
    }

    #[track_caller]
    fn log_in(&mut self, login: &str) -> String {
        let (status, reply) = self.try_login(login, &format!("secret-{login}"));
        assert_eq!(status, 200, "{reply}");
        reply["SessionId"].as_str().expect("a session").to_owned()
    }

    #[track_caller]
    fn try_login(&mut self, login: &str, password: &str) -> (u16, Value) {
        let id = self.begin_login(login, password);
        self.reply(id)
    }

    fn begin_login(&mut self, login: &str, password: &str) -> RequestId {
        self.begin_login_from(NETWORK, login, password)
    }

    fn begin_login_from(&mut self, source: Source, login: &str, password: &str) -> RequestId {
        let body = json!({"app-id": "test", "username": login, "password": password});
        self.post(Endpoint::Login, None, source, body.to_string().as_bytes())
    }

    #[track_caller]
    fn events(&mut self, session: &str, after: u64) -> Vec<Value> {
        let id = self.poll(session, 0, Some(after));
        let (status, events) = self.reply(id);
        assert_eq!(status, 200, "{events}");
        events.as_array().expect("events are an array").clone()
    }

    fn subscribe(&mut self, session: &str) -> Value {
        self.execute(session, message("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]]})))
    }
}

const NETWORK: Source = Source::Network(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

/// A message with these members.
fn message(topic: &str, name: &str, members: Value) -> Value {
    let mut message = json!({"topic": topic, "message": name});
    if let (Value::Object(message), Value::Object(mut members)) = (&mut message, members) {
        message.append(&mut members);
    }
    message
}

/// A call of this user to the other one.
fn call(id: u64, user: u64, state: CallState) -> CallInfo {
    CallInfo {
        id: CallId(id),
        user: UserId(user),
        device: Some(DeviceId(1)),
        state,
        direction: Direction::Out,
        parties: vec![PartyInfo { addr: "502".into(), name: "Austin Powers".into(), state }],
        started: Wall(1000),
    }
}
