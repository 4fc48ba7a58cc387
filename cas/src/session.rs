//! Sessions: who is logged in, found by token, by user and by the instant something is due.
//!
//! The token itself is not kept, only its hash: comparing it tells nothing by the time it takes. A session ends by logout, by being
//! abandoned (no request for the configured time, no poll held, nothing under way), with its user, or because its user logged in too often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::attempts::network;
use crate::boundary::{Format, Reply, RequestId};
use crate::event::{Event, Ring};
use crate::repeat::Repeats;
use crate::site::{DeviceId, UserId};
use crate::store::SubscriptionRecord;
use crate::time::{Now, Wall};

/// Names a session within the CAS; never used again. Who knows it cannot act for the session: that takes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) u64);

/// Who a session is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    pub(crate) user: UserId,
    /// The client's name for its own kind.
    pub(crate) app_id: String,
    /// The device it stands at, where it named one.
    pub(crate) device: Option<DeviceId>,
}

/// One login.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Where it logged in from, and when.
    pub(crate) from: IpAddr,
    pub(crate) since: Wall,
    /// How it wrote its login, and is told events where a poll does not say.
    pub(crate) format: Format,
    pub(crate) subscriptions: BTreeMap<u64, SubscriptionRecord>,
    pub(crate) repeats: Repeats,
    /// Commands accepted by call control and not completed.
    pub(crate) pending: usize,
    /// Where it was opened from.
    source: IpAddr,
    token: TokenHash,
    events: Ring,
    poll: Option<Poll>,
    /// The `response` last given.
    response: u32,
    /// Requests under way.
    pub(crate) busy: usize,
    last_used: Instant,
    /// The entry of this session in [`Sessions::timers`]: never later than what is due.
    armed: Instant,
}

/// A `GetEvents` that waits.
#[derive(Clone, Copy, Debug)]
struct Poll {
    request: RequestId,
    until: Instant,
}

type TokenHash = [u8; 32];

impl Session {
    /// The number of the last event queued.
    pub(crate) fn last_event(&self) -> u64 {
        self.events.last()
    }

    /// A number for a request that stays pending: small, and given once in a session.
    pub(crate) fn next_response(&mut self) -> u32 {
        self.response = self.response.checked_add(1).unwrap_or(1);
        self.response
    }

    /// How long nothing was heard from it; nothing while a poll is held.
    pub(crate) fn idle(&self, now: Now) -> Duration {
        self.poll.map_or(now.mono.saturating_duration_since(self.last_used), |_| Duration::ZERO)
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.poll.is_some()
    }

    /// What waits, as the answer to a poll.
    fn deliver(&mut self) -> Reply {
        Reply { format: self.format, ..Reply::json(200, self.events.deliver()) }
    }

    fn due(&self, idle: Duration) -> Instant {
        self.poll.map_or(self.last_used + idle, |poll| poll.until)
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    sessions: BTreeMap<SessionKey, Session>,
    by_token: BTreeMap<TokenHash, SessionKey>,
    by_user: BTreeMap<UserId, BTreeSet<SessionKey>>,
    /// How many were opened from each source.
    by_source: BTreeMap<IpAddr, usize>,
    /// One entry for each session.
    timers: BTreeSet<(Instant, SessionKey)>,
    polls: BTreeMap<RequestId, SessionKey>,
    /// Polls that have something to deliver.
    ready: BTreeSet<SessionKey>,
    idle: Duration,
    ring: usize,
    last: u64,
    /// Rings that overflowed since the start.
    pub(crate) resyncs: u64,
    /// Events queued since the start.
    pub(crate) events: u64,
}

/// What the time has come for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The poll has waited long enough: it gets what there is.
    PollEnded(RequestId),
    /// Nothing was heard from the client for too long.
    Abandoned(SessionKey),
}

impl Sessions {
    pub(crate) fn new(idle: Duration, ring: usize) -> Sessions {
        Sessions {
            sessions: BTreeMap::new(),
            by_token: BTreeMap::new(),
            by_user: BTreeMap::new(),
            by_source: BTreeMap::new(),
            timers: BTreeSet::new(),
            polls: BTreeMap::new(),
            ready: BTreeSet::new(),
            idle,
            ring,
            last: 0,
            resyncs: 0,
            events: 0,
        }
    }

    /// `from`: the address that logged in.
    pub(crate) fn open(&mut self, now: Now, client: Client, from: IpAddr, token: &str) -> SessionKey {
        let source = network(from);
        *self.by_source.entry(source).or_default() += 1;
        self.last += 1;
        let key = SessionKey(self.last);
        let token = hash(token);
        let armed = now.mono + self.idle;
        self.by_token.insert(token, key);
        self.by_user.entry(client.user).or_default().insert(key);
        self.timers.insert((armed, key));
        let session = Session {
            client,
            from,
            since: now.wall,
            format: Format::Json,
            subscriptions: BTreeMap::new(),
            repeats: Repeats::default(),
            pending: 0,
            source,
            token,
            events: Ring::new(self.ring),
            poll: None,
            response: 0,
            busy: 0,
            last_used: now.mono,
            armed,
        };
        self.sessions.insert(key, session);
        key
    }

    /// Ends a session; yields it, and the poll it held.
    pub(crate) fn close(&mut self, key: SessionKey) -> Option<(Session, Option<RequestId>)> {
        let session = self.sessions.remove(&key)?;
        self.by_token.remove(&session.token);
        if let Some(keys) = self.by_user.get_mut(&session.client.user) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_user.remove(&session.client.user);
            }
        }
        if let Some(opened) = self.by_source.get_mut(&session.source) {
            *opened -= 1;
            if *opened == 0 {
                self.by_source.remove(&session.source);
            }
        }
        self.timers.remove(&(session.armed, key));
        self.ready.remove(&key);
        let poll = session.poll.map(|poll| poll.request);
        if let Some(request) = poll {
            self.polls.remove(&request);
        }
        Some((session, poll))
    }

    pub(crate) fn find(&self, token: &str) -> Option<SessionKey> {
        self.by_token.get(&hash(token)).copied()
    }

    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// How many were opened from the source of this address.
    pub(crate) fn of_source(&self, from: IpAddr) -> usize {
        self.by_source.get(&network(from)).copied().unwrap_or_default()
    }

    /// All of them, in the order they logged in.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.sessions.iter().map(|(key, session)| (*key, session))
    }

    /// Polls that wait.
    pub(crate) fn polls(&self) -> usize {
        self.polls.len()
    }

    pub(crate) fn of_user(&self, user: UserId) -> Vec<SessionKey> {
        self.by_user.get(&user).into_iter().flatten().copied().collect()
    }

    /// Of a user's sessions, the one that was used least lately; one that holds a poll or has something under way only where all do.
    pub(crate) fn least_used(&self, user: UserId) -> Option<SessionKey> {
        let keys = self.by_user.get(&user)?.iter();
        keys.filter_map(|key| self.sessions.get(key).map(|session| (key, session)))
            .min_by_key(|(key, session)| (session.poll.is_some() || session.busy > 0, session.last_used, **key))
            .map(|(key, _)| *key)
    }

    /// A request of this session begins.
    pub(crate) fn enter(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.busy += 1;
            session.last_used = now.mono;
        }
    }

    /// It has been answered.
    pub(crate) fn leave(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.busy = session.busy.saturating_sub(1);
            session.last_used = now.mono;
        }
    }

    /// Queues an event.
    pub(crate) fn push(&mut self, now: Now, key: SessionKey, event: Event) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        self.events += 1;
        self.resyncs += u64::from(session.events.push(now, event));
        if session.poll.is_some() {
            session.last_used = now.mono;
            self.ready.insert(key);
        }
    }

    /// A client asks for events: [`next_ready`](Self::next_ready) or [`next_due`](Self::next_due) answers. A poll that waited is superseded.
    pub(crate) fn poll(
        &mut self,
        now: Now,
        key: SessionKey,
        request: RequestId,
        timeout: Duration,
        after: Option<u64>,
    ) -> Option<RequestId> {
        let session = self.sessions.get_mut(&key)?;
        session.last_used = now.mono;
        session.events.acknowledge(now, after);
        let until = now.mono + timeout;
        let superseded = session.poll.replace(Poll { request, until }).map(|poll| poll.request);
        if let Some(request) = superseded {
            self.polls.remove(&request);
        }
        self.polls.insert(request, key);
        match session.events.is_waiting() {
            true => self.ready.insert(key),
            false => self.ready.remove(&key),
        };
        if until < session.armed {
            self.timers.remove(&(session.armed, key));
            session.armed = until;
            self.timers.insert((until, key));
        }
        superseded
    }

    /// The connection of a poll has gone. Whether it was one.
    pub(crate) fn poll_gone(&mut self, now: Now, request: RequestId) -> bool {
        self.end_poll(now, request).is_some()
    }

    /// The next poll that has something to deliver, with it.
    pub(crate) fn next_ready(&mut self) -> Option<(RequestId, Reply)> {
        let key = self.ready.pop_first()?;
        let session = self.sessions.get_mut(&key)?;
        let request = session.poll.take()?.request;
        self.polls.remove(&request);
        Some((request, session.deliver()))
    }

    /// Ends a poll; yields what it is answered with.
    pub(crate) fn take_poll(&mut self, now: Now, request: RequestId) -> Option<Reply> {
        let key = self.end_poll(now, request)?;
        self.sessions.get_mut(&key).map(Session::deliver)
    }

    fn end_poll(&mut self, now: Now, request: RequestId) -> Option<SessionKey> {
        let key = self.polls.remove(&request)?;
        self.ready.remove(&key);
        let session = self.sessions.get_mut(&key)?;
        session.poll = None;
        session.last_used = now.mono;
        Some(key)
    }

    /// When [`next_due`](Self::next_due) has something, at the earliest.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What the time has come for. A session that was used since its timer was set is given a new one.
    pub(crate) fn next_due(&mut self, now: Now) -> Option<Due> {
        while let Some(&(at, key)) = self.timers.first()
            && at <= now.mono
        {
            let session = self.sessions.get_mut(&key)?;
            let due = session.due(self.idle);
            let polled = session.poll.map(|poll| poll.request);
            if due <= now.mono && polled.is_none() && session.busy == 0 {
                return Some(Due::Abandoned(key));
            }
            self.timers.remove(&(at, key));
            session.armed = if due > now.mono { due } else { now.mono + self.idle };
            self.timers.insert((session.armed, key));
            if let Some(request) = polled.filter(|_| due <= now.mono) {
                return Some(Due::PollEnded(request));
            }
        }
        None
    }
}

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::event::Resync;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const IDLE: Duration = Duration::from_secs(120);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn sessions() -> (Sessions, Now) {
        (Sessions::new(IDLE, 8), Now { mono: Instant::now(), wall: Wall(0) })
    }

    fn client(user: u64) -> Client {
        Client { user: UserId(user), app_id: "test".into(), device: None }
    }

    #[test]
    fn a_session_is_found_by_its_token_until_it_is_closed() {
        let (mut sessions, now) = sessions();
        let key = sessions.open(now, client(1), SOURCE, "abc");
        assert_eq!(sessions.find("abc"), Some(key));
        assert_eq!(sessions.find("abd"), None);
        assert_eq!(sessions.of_source(SOURCE), 1);
        assert!(sessions.close(key).is_some());
        assert!(sessions.by_source.is_empty());
        assert_eq!((sessions.find("abc"), sessions.len(), sessions.next_timeout()), (None, 0, None));
    }

    #[test]
    fn s48_an_idle_session_is_abandoned_and_a_used_one_is_not() {
        let (mut sessions, now) = sessions();
        let key = sessions.open(now, client(1), SOURCE, "abc");
        sessions.enter(now.plus(seconds(60)), key);
        assert_eq!(sessions.next_due(now.plus(IDLE)), None, "a request is under way");
        sessions.leave(now.plus(seconds(200)), key);
        assert_eq!(sessions.next_due(now.plus(seconds(319))), None);
        assert_eq!(sessions.next_timeout(), Some(now.mono + seconds(320)));
        assert_eq!(sessions.next_due(now.plus(seconds(320))), Some(Due::Abandoned(key)));
    }

    #[test]
    fn a_poll_ends_in_time_and_counts_as_use() {
        let (mut sessions, now) = sessions();
        let key = sessions.open(now, client(1), SOURCE, "abc");
        assert_eq!(sessions.poll(now, key, RequestId(1), seconds(30), None), None);
        assert_eq!(sessions.next_timeout(), Some(now.mono + seconds(30)));
        let then = now.plus(seconds(30));
        assert_eq!(sessions.next_due(then), Some(Due::PollEnded(RequestId(1))));
        assert_eq!(sessions.take_poll(then, RequestId(1)).unwrap().body, "[]");
        assert_eq!(sessions.next_due(then.plus(seconds(119))), None);
        assert_eq!(sessions.next_due(then.plus(IDLE)), Some(Due::Abandoned(key)));
    }

    #[test]
    fn a_poll_is_ready_once_an_event_came_and_a_second_supersedes_it() {
        let (mut sessions, now) = sessions();
        let key = sessions.open(now, client(1), SOURCE, "abc");
        sessions.poll(now, key, RequestId(1), seconds(30), None);
        assert_eq!(sessions.poll(now, key, RequestId(2), seconds(30), None), Some(RequestId(1)));
        assert!(sessions.next_ready().is_none());
        sessions.push(now, key, Event::of(now, &Resync {}));
        assert_eq!(sessions.next_ready().map(|(request, _)| request), Some(RequestId(2)));
        assert_eq!(sessions.polls(), 0);
    }

    #[test]
    fn the_least_used_session_is_one_without_a_poll() {
        let (mut sessions, now) = sessions();
        let first = sessions.open(now, client(1), SOURCE, "a");
        let second = sessions.open(now.plus(seconds(1)), client(1), SOURCE, "b");
        sessions.open(now, client(2), SOURCE, "c");
        assert_eq!(sessions.least_used(UserId(1)), Some(first));
        sessions.poll(now, first, RequestId(1), seconds(30), None);
        assert_eq!(sessions.least_used(UserId(1)), Some(second));
    }
}
