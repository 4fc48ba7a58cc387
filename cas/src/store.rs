//! What is kept: the storage traits, and the requests that travel to the thread that owns them.
//!
//! The node never touches a disk. It queues a [`Request`]; the [store thread](thread) joins many of them into one commit and answers each
//! with a [`Reply`]. A change that a client or phone is told of is told after its `Reply::Written`.
//!
//! Each kind of data is behind a trait of its own; a [`Store`] joins them, so that one [`Request::Write`] may touch several and is still
//! all or nothing. Two drivers, [`sqlite`] and [`memory`], pass the same tests.

pub mod backup;
pub mod folder;
pub mod memory;
pub mod sqlite;
#[cfg(test)]
mod tests;
pub mod thread;
pub mod trim;

use std::fmt;
use std::net::SocketAddr;

use crate::control::CallId;
use crate::site::handling::Handling;
use crate::site::schedule::Schedules;
use crate::site::{Device, DeviceId, Extension, Target, User, UserId, named};
use crate::time::Wall;

/// Everything read at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The digest realm, fixed at first start.
    pub realm: String,
    /// Users by id.
    pub users: Vec<User>,
    /// Devices by id.
    pub devices: Vec<Device>,
    /// Numbers in their order.
    pub numbers: Vec<(Extension, Target)>,
    /// Call handling of users who have set any, by user.
    pub handlings: Vec<(UserId, Handling)>,
    /// Schedules of users, and of the site, which come first.
    pub schedules: Vec<(Option<UserId>, Schedules)>,
    /// Bindings that had not ended when the store was opened.
    pub bindings: Vec<BindingRecord>,
    /// Subscriptions of sessions that were neither logged out nor abandoned.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// Whom users dialled and by whom they were called last, by user.
    pub last_calls: Vec<LastCalls>,
    /// The highest id a user was ever given: none is given twice.
    pub last_user: UserId,
    /// The highest id a device was ever given.
    pub last_device: DeviceId,
}

/// A registered contact (RFC 3261 §10.3), as it survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// The device.
    pub device: DeviceId,
    /// The Contact URI as registered: names the binding within the device, together with the next.
    pub contact: String,
    /// The reg-id of an outbound flow (RFC 5626 §4.2), 0 where it is none.
    pub reg_id: u32,
    /// `+sip.instance`, where the phone sent one.
    pub instance: Option<String>,
    /// The Path values (RFC 3327), with commas between, as they came; empty where there were none.
    pub path: String,
    /// q in thousandths, 1000 where the phone sent none.
    pub q: u16,
    /// The Call-ID of the REGISTER.
    pub sip_call_id: String,
    /// Its CSeq number.
    pub cseq: u32,
    /// The User-Agent; may be empty.
    pub agent: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// The address of the switch the phone spoke to.
    pub local: SocketAddr,
    /// Where the REGISTER came from: received and rport (RFC 3581).
    pub source: SocketAddr,
    /// When it ends.
    pub expires: Wall,
}

/// What one end of a call leaves behind (S112-S114).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRecord {
    /// The user's end of the call: the record's id is its string form.
    pub call: CallId,
    /// Whose record it is.
    pub user: UserId,
    /// The device it was at, where one was.
    pub device: Option<DeviceId>,
    /// Placed, received or missed.
    pub kind: HistoryKind,
    /// The other party's number.
    pub addr: String,
    /// The other party's name.
    pub name: String,
    /// When the end began.
    pub started: Wall,
    /// Talking time; 0 where it was never answered.
    pub duration_msec: u64,
    /// Why it ended: [`Cause::name`](crate::control::Cause::name), or [`CUT_SHORT`]; empty as long as it goes on.
    pub cause: String,
    /// The media statistics of this user's leg, one JSON object; empty where no media flowed.
    pub media: String,
    /// The owner's note (S117); empty where there is none.
    pub note: String,
}

/// The cause of a call that was going on when the switch ended without being asked to.
pub const CUT_SHORT: &str = "restart";

/// The kind of a history record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    /// This user called.
    Placed,
    /// This user was called and answered.
    Received,
    /// This user was called and did not answer.
    Missed,
}

named!(HistoryKind { Placed = "placed", Received = "received", Missed = "missed" });

/// Whom a user dialled last, and who called him last: what the codes for it dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCalls {
    /// The user.
    pub user: UserId,
    /// What he dialled, as he did; `None`: nothing yet.
    pub dialled: Option<String>,
    /// The number of the caller; empty where he gave none; `None`: nobody has called yet.
    pub caller: Option<String>,
}

/// A subscription, as it survives a restart: kept by user, client and device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Unique within the store.
    pub id: u64,
    /// Whose.
    pub user: UserId,
    /// The client's `app-id`.
    pub app_id: String,
    /// The device the session named, if any.
    pub device: Option<DeviceId>,
    /// `tel`, …
    pub topic: String,
    /// `device`, …; may be empty.
    pub kind: String,
    /// The arguments, in the client's order.
    pub args: Vec<String>,
}

/// Names a request until its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Work for the store thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// All of it or nothing, durable when answered.
    Write(Vec<Change>),
    /// Records of one user's calls that have ended, newest first.
    History(HistoryQuery),
}

/// Which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose.
    pub user: UserId,
    /// Only those at this device.
    pub device: Option<DeviceId>,
    /// Only of this kind.
    pub kind: Option<HistoryKind>,
    /// Only those begun before.
    pub before: Option<Wall>,
    /// Only those begun after.
    pub after: Option<Wall>,
    /// At most so many, and never more than [`MAX_HISTORY`].
    pub max: usize,
}

/// The most records that one [`Request::History`] yields.
pub const MAX_HISTORY: usize = 1000;

/// One change. `Put` makes or replaces; removing what is not there is no error.
///
/// Removing a user leaves his devices unassigned and removes his numbers, call handling, schedules, history and subscriptions; removing a device
/// removes its bindings and subscriptions. A login, a SIP user name and a gateway's address are unique: a `Put` that would take one from another record is
/// an error, as is one that names a user or device that is not there. A call record, and what tells of the last calls, may come after its user has gone, and goes the
/// way of his others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each names the record it changes")]
pub enum Change {
    PutUser(User),
    RemoveUser(UserId),
    PutDevice(Device),
    RemoveDevice(DeviceId),
    PutNumber(Extension, Target),
    RemoveNumber(Extension),
    PutHandling(UserId, Handling),
    /// Of a user, or of the site.
    PutSchedules(Option<UserId>, Schedules),
    PutBinding(BindingRecord),
    RemoveBinding {
        device: DeviceId,
        contact: String,
        reg_id: u32,
    },
    PutHistory(HistoryRecord),
    PutLastCalls(LastCalls),
    PutSubscription(SubscriptionRecord),
    RemoveSubscription(u64),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// On disk.
    Written,
    /// Newest first.
    History(Vec<HistoryRecord>),
}

/// Why the store could not do it. The request changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// The refusals both drivers give alike.
mod refusal {
    use super::StoreError;

    pub(super) fn login_taken() -> StoreError {
        StoreError("another user has this login".to_owned())
    }

    pub(super) fn sip_user_taken() -> StoreError {
        StoreError("another device has this SIP user name".to_owned())
    }

    pub(super) fn address_taken() -> StoreError {
        StoreError("another gateway has this address".to_owned())
    }

    pub(super) fn dangling() -> StoreError {
        StoreError("the record names a user or device that is not there".to_owned())
    }

    pub(super) fn damaged(error: &rusqlite::Error) -> StoreError {
        StoreError(format!("the database is damaged ({error}): restore it from a backup"))
    }
}

/// Users, devices and numbers.
pub trait Directory {
    /// Users by id.
    fn users(&self) -> Result<Vec<User>, StoreError>;
    /// Devices by id.
    fn devices(&self) -> Result<Vec<Device>, StoreError>;
    /// Numbers in their order.
    fn numbers(&self) -> Result<Vec<(Extension, Target)>, StoreError>;
    /// The highest ids ever given.
    fn last_ids(&self) -> Result<(UserId, DeviceId), StoreError>;
    /// [`Change::PutUser`]
    fn put_user(&mut self, user: &User) -> Result<(), StoreError>;
    /// [`Change::RemoveUser`]
    fn remove_user(&mut self, id: UserId) -> Result<(), StoreError>;
    /// [`Change::PutDevice`]
    fn put_device(&mut self, device: &Device) -> Result<(), StoreError>;
    /// [`Change::RemoveDevice`]
    fn remove_device(&mut self, id: DeviceId) -> Result<(), StoreError>;
    /// [`Change::PutNumber`]
    fn put_number(&mut self, number: &Extension, target: &Target) -> Result<(), StoreError>;
    /// [`Change::RemoveNumber`]
    fn remove_number(&mut self, number: &Extension) -> Result<(), StoreError>;
}

/// What becomes of calls, and when.
pub trait CallHandling {
    /// Call handling by user.
    fn handlings(&self) -> Result<Vec<(UserId, Handling)>, StoreError>;
    /// [`Change::PutHandling`]
    fn put_handling(&mut self, user: UserId, handling: &Handling) -> Result<(), StoreError>;
    /// Schedules: the site's, then those of users by id.
    fn schedules(&self) -> Result<Vec<(Option<UserId>, Schedules)>, StoreError>;
    /// [`Change::PutSchedules`]
    fn put_schedules(&mut self, owner: Option<UserId>, schedules: &Schedules) -> Result<(), StoreError>;
}

/// What was settled once for the site.
pub trait Configuration {
    /// The digest realm.
    fn realm(&self) -> Result<String, StoreError>;
}

/// Bindings of the registrar.
pub trait Registrations {
    /// All bindings, by device, contact and reg-id.
    fn bindings(&self) -> Result<Vec<BindingRecord>, StoreError>;
    /// [`Change::PutBinding`]
    fn put_binding(&mut self, binding: &BindingRecord) -> Result<(), StoreError>;
    /// [`Change::RemoveBinding`]
    fn remove_binding(&mut self, device: DeviceId, contact: &str, reg_id: u32) -> Result<(), StoreError>;
    /// Removes those that ended at this instant or before.
    fn remove_ended_bindings(&mut self, now: Wall) -> Result<(), StoreError>;
}

/// Call history.
pub trait History {
    /// [`Request::History`]
    fn records(&self, query: &HistoryQuery) -> Result<Vec<HistoryRecord>, StoreError>;
    /// Records that tell of no end: their calls were cut short.
    fn end_records(&mut self) -> Result<(), StoreError>;
    /// How many records a user has.
    fn count_records(&self, user: UserId) -> Result<usize, StoreError>;
    /// Removes a user's oldest records, at most so many: of all, or of those begun before an instant. How many were removed.
    fn remove_oldest(&mut self, user: UserId, before: Option<Wall>, most: usize) -> Result<usize, StoreError>;
    /// [`Change::PutHistory`]
    fn put_record(&mut self, record: &HistoryRecord) -> Result<(), StoreError>;
    /// Last calls by user.
    fn last_calls(&self) -> Result<Vec<LastCalls>, StoreError>;
    /// [`Change::PutLastCalls`]
    fn put_last_calls(&mut self, last: &LastCalls) -> Result<(), StoreError>;
}

/// Subscriptions of CAS clients.
pub trait Subscriptions {
    /// Subscriptions by id.
    fn subscriptions(&self) -> Result<Vec<SubscriptionRecord>, StoreError>;
    /// [`Change::PutSubscription`]
    fn put_subscription(&mut self, subscription: &SubscriptionRecord) -> Result<(), StoreError>;
    /// [`Change::RemoveSubscription`]
    fn remove_subscription(&mut self, id: u64) -> Result<(), StoreError>;
}

/// All storages, and the transaction over them. Outside of this module, use [`run`] and [`snapshot`].
pub trait Store: Directory + CallHandling + Configuration + Registrations + History + Subscriptions {
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), StoreError>;
    /// Within it, marks the point that [`undo`](Self::undo) returns to.
    fn mark(&mut self) -> Result<(), StoreError>;
    /// Keeps what was changed since the mark.
    fn keep(&mut self) -> Result<(), StoreError>;
    /// Undoes what was changed since the mark.
    fn undo(&mut self) -> Result<(), StoreError>;
    /// Ends the transaction: all of it survives a power cut from here on.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Ends the transaction, if there is one, as if it had never begun.
    fn abandon(&mut self);
    /// Brings everything into its final place and closes.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Everything the switch starts from. Bindings that ended while it was down are removed, calls that were going on when it ended were cut short.
pub fn snapshot(store: &mut dyn Store, now: Wall) -> Result<Snapshot, StoreError> {
    store.remove_ended_bindings(now)?;
    store.end_records()?;
    let (last_user, last_device) = store.last_ids()?;
    Ok(Snapshot {
        realm: store.realm()?,
        users: store.users()?,
        devices: store.devices()?,
        numbers: store.numbers()?,
        handlings: store.handlings()?,
        schedules: store.schedules()?,
        bindings: store.bindings()?,
        subscriptions: store.subscriptions()?,
        last_calls: store.last_calls()?,
        last_user,
        last_device,
    })
}

/// Does all the requests, in order, in one commit. A request that fails changes nothing and leaves the others alone; where the commit
/// itself fails, none of them is done.
pub fn run<'a>(
    store: &mut dyn Store,
    requests: impl IntoIterator<Item = &'a Request> + Clone,
) -> Vec<Result<Reply, StoreError>> {
    commit(store, requests.clone()).unwrap_or_else(|error| {
        store.abandon();
        requests.into_iter().map(|_| Err(error.clone())).collect()
    })
}

/// The outer error ends the transaction, those within only their request.
fn commit<'a>(
    store: &mut dyn Store,
    requests: impl IntoIterator<Item = &'a Request>,
) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
    store.begin()?;
    let mut replies = Vec::new();
    for request in requests {
        replies.push(match request {
            Request::Write(changes) => write(store, changes)?,
            Request::History(query) => store.records(query).map(Reply::History),
        });
    }
    store.commit()?;
    Ok(replies)
}

fn write(store: &mut dyn Store, changes: &[Change]) -> Result<Result<Reply, StoreError>, StoreError> {
    store.mark()?;
    match changes.iter().try_for_each(|change| apply(store, change)) {
        Ok(()) => store.keep().map(|()| Ok(Reply::Written)),
        // Where the change has ended the transaction (a full disk), its own error tells why, not that of the undo.
        Err(error) => store.undo().map_err(|_| error.clone()).map(|()| Err(error)),
    }
}

fn apply(store: &mut dyn Store, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::PutUser(user) => store.put_user(user),
        Change::RemoveUser(id) => store.remove_user(*id),
        Change::PutDevice(device) => store.put_device(device),
        Change::RemoveDevice(id) => store.remove_device(*id),
        Change::PutNumber(number, target) => store.put_number(number, target),
        Change::RemoveNumber(number) => store.remove_number(number),
        Change::PutHandling(user, handling) => store.put_handling(*user, handling),
        Change::PutSchedules(owner, schedules) => store.put_schedules(*owner, schedules),
        Change::PutBinding(binding) => store.put_binding(binding),
        Change::RemoveBinding { device, contact, reg_id } => store.remove_binding(*device, contact, *reg_id),
        Change::PutHistory(record) => store.put_record(record),
        Change::PutLastCalls(last) => store.put_last_calls(last),
        Change::PutSubscription(subscription) => store.put_subscription(subscription),
        Change::RemoveSubscription(id) => store.remove_subscription(*id),
    }
}
