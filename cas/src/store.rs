//! What is kept: the storage traits, and the requests that travel to the thread that owns them.
//!
//! The node never touches a disk. It queues a [`Request`]; the store thread joins many of them into one commit and answers each with a
//! [`Reply`]. A change that a client or phone is told of is told after its `Reply::Written`.

use std::fmt;
use std::net::SocketAddr;

use crate::control::CallId;
use crate::site::{Device, DeviceId, Extension, Target, User, UserId};
use crate::time::Wall;

/// Everything read at the start.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The digest realm, fixed at first start.
    pub realm: String,
    /// Users by id.
    pub users: Vec<User>,
    /// Devices by id.
    pub devices: Vec<Device>,
    /// Numbers in their order.
    pub numbers: Vec<(Extension, Target)>,
    /// Bindings that had not ended when the store was opened.
    pub bindings: Vec<BindingRecord>,
    /// Subscriptions of sessions that were neither logged out nor abandoned.
    pub subscriptions: Vec<SubscriptionRecord>,
}

/// A registered contact (RFC 3261 §10.3), as it survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// The device.
    pub device: DeviceId,
    /// The Contact URI as registered: names the binding within the device.
    pub contact: String,
    /// `+sip.instance`, where the phone sent one.
    pub instance: Option<String>,
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
    /// Why it ended: [`Cause::name`](crate::control::Cause::name).
    pub cause: String,
    /// The media statistics of this user's leg, one JSON object; empty where no media flowed.
    pub media: String,
    /// The owner's note (S117); empty where there is none.
    pub note: String,
}

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
    /// Records of one user, newest first.
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
    /// At most so many.
    pub max: usize,
}

/// One change; `Put` makes or replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each names the record it changes")]
pub enum Change {
    PutUser(User),
    RemoveUser(UserId),
    PutDevice(Device),
    RemoveDevice(DeviceId),
    PutNumber(Extension, Target),
    RemoveNumber(Extension),
    PutBinding(BindingRecord),
    RemoveBinding { device: DeviceId, contact: String },
    PutHistory(HistoryRecord),
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
