//! What all topics of the CAS work with: sessions, kept subscriptions, the queue of outputs, and the numbers they are known by.

use std::collections::VecDeque;

use crate::boundary::{Output, Reply, Request, RequestId, Settings, Stats};
use crate::control::Principal;
use crate::entropy::Entropy;
use crate::event::Event;
use crate::gone::Gone;
use crate::modes::Modes;
use crate::session::{SessionKey, Sessions};
use crate::site::{MachineKey, Site, UserId};
use crate::store::{self, Change};
use crate::subscription::{self, Kept};
use crate::time::Now;
use crate::wire::{Code, Failure, Fields, json};

/// What the topics work with.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) key: MachineKey,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) sessions: Sessions,
    pub(crate) kept: Kept,
    pub(crate) gone: Gone,
    pub(crate) modes: Modes,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) messages: u64,
    pub(crate) overloads: u64,
    last_store: u64,
    last_job: u64,
    last_subscription: u64,
    last_fault: u64,
}

impl Core {
    pub(crate) fn new(
        settings: Settings,
        snapshot: &store::Snapshot,
        key: MachineKey,
        entropy: Box<dyn Entropy>,
    ) -> Core {
        Core {
            sessions: Sessions::new(settings.idle, settings.ring),
            settings,
            key,
            entropy,
            kept: Kept::new(&snapshot.subscriptions),
            gone: Gone::default(),
            modes: Modes::default(),
            outputs: VecDeque::new(),
            messages: 0,
            overloads: 0,
            last_store: 0,
            last_job: 0,
            last_subscription: snapshot.subscriptions.iter().map(|record| record.id).max().unwrap_or(0),
            last_fault: 0,
        }
    }

    pub(crate) fn reply(&mut self, id: RequestId, reply: Reply) {
        self.outputs.push_back(Output::Reply(id, reply));
    }

    /// 401: the client logs in again.
    pub(crate) fn reply_no_session(&mut self, now: Now, id: RequestId) {
        self.reply(id, no_session(now));
    }

    /// The session a request claims, where there is one.
    pub(crate) fn session_of(&self, request: &Request) -> Option<SessionKey> {
        self.sessions.find(request.session.as_deref()?)
    }

    /// Who a session acts for, with his rights of this instant.
    pub(crate) fn principal(&self, site: &Site, key: SessionKey) -> Option<Principal> {
        let client = &self.sessions.get(key)?.client;
        let user = site.user(client.user)?;
        Some(Principal { user: user.id, role: user.role, device: client.device })
    }

    /// An event of a user's own calls and devices, to all his sessions that want it: made once there is one.
    pub(crate) fn tell(&mut self, now: Now, user: UserId, event: impl FnOnce() -> Event) {
        let wants = |key: &SessionKey| self.sessions.get(*key).is_some_and(subscription::sees_own_device);
        let keys: Vec<SessionKey> = self.sessions.of_user(user).into_iter().filter(wants).collect();
        if keys.is_empty() {
            return;
        }
        let event = event();
        for key in keys {
            self.sessions.push(now, key, event.clone());
        }
    }

    /// Ends a session: its poll is answered 401, its subscriptions are freed. Yields the write that makes the store forget them.
    pub(crate) fn end_session(&mut self, now: Now, key: SessionKey) -> Option<store::RequestId> {
        let (session, poll) = self.sessions.close(key)?;
        if let Some(request) = poll {
            self.reply_no_session(now, request);
        }
        self.write(session.subscriptions.into_keys().map(Change::RemoveSubscription).collect())
    }

    /// A write nobody need wait for; a failure is logged. `None` where there is nothing to write.
    pub(crate) fn write(&mut self, changes: Vec<Change>) -> Option<store::RequestId> {
        (!changes.is_empty()).then(|| self.store(store::Request::Write(changes)))
    }

    pub(crate) fn store(&mut self, request: store::Request) -> store::RequestId {
        self.last_store += 1;
        let id = store::RequestId(self.last_store);
        self.outputs.push_back(Output::Store(id, request));
        id
    }

    pub(crate) fn next_job(&mut self) -> u64 {
        self.last_job += 1;
        self.last_job
    }

    pub(crate) fn next_subscription(&mut self) -> u64 {
        self.last_subscription += 1;
        self.last_subscription
    }

    pub(crate) fn salt(&mut self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        salt
    }

    /// A fault of the switch: logged with an id that the reply repeats.
    pub(crate) fn fault(&mut self, what: &str) -> Failure {
        self.last_fault += 1;
        tracing::error!(fault = self.last_fault, "{what}");
        Failure::new(Code::INTERNAL, format!("the switch failed: fault {} in its log", self.last_fault))
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            sessions: self.sessions.len(),
            polls: self.sessions.polls(),
            messages: self.messages,
            events: self.sessions.events,
            resyncs: self.sessions.resyncs,
            overloads: self.overloads,
            ..Stats::default()
        }
    }
}

fn no_session(now: Now) -> Reply {
    Reply::refused(now, 401, Failure::new(Code::NOT_PERMITTED, "there is no such session: log in again"))
}

/// The answer to `POST /Logout`.
pub(crate) fn logged_out(now: Now) -> Reply {
    let mut fields = Fields::new();
    fields.insert("timestamp".into(), now.wall.0.into());
    fields.insert("response".into(), 0.into());
    fields.insert("error".into(), 0.into());
    fields.insert("permissions".into(), serde_json::Value::Array(Vec::new()));
    let reply = Reply::json(200, json::encode(&fields));
    reply.with_header("set-cookie", "SessionId=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict".to_owned())
}
