//! What the CAS asks of call control. The engine of the switch implements [`CallControl`]; it is called as a plain function, in the same
//! step as the request that asks.

mod report;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

pub use self::report::{CallLine, CallReport, CallStage, LegReport, MessageReport, Shown};
use crate::site::{DeviceId, Role, Site, UserId, named};
use crate::store::Change;
use crate::time::{Now, Wall};

/// One user's end of a call. The two ends of a call between users have different ids. Shown to clients as an opaque string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Names an accepted command until its [`CallEvent::Completed`]. Unique while the switch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// On whose behalf something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user: UserId,
    /// His role at this instant.
    pub role: Role,
    /// The device he acts at, where he named one.
    pub device: Option<DeviceId>,
}

/// What a client or a phone may ask of call control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallCommand {
    /// Rings the user's own phone, then calls `dest` (S59, S77).
    MakeCall {
        /// What to dial.
        dest: String,
        /// The name shown until the far end's is known (S60).
        name_hint: Option<String>,
        /// Which of the user's devices; `None`: the assigned one.
        device: Option<DeviceId>,
    },
    /// Ends the user's part of a call (S66).
    Drop(CallId),
    /// Has a phone of the user's answer the call that rings there (S65).
    Answer {
        /// The call.
        call: CallId,
        /// Which of the user's devices; `None`: the one he acts at, or whichever rings.
        device: Option<DeviceId>,
    },
    /// Puts the user's own leg on hold (S63).
    Hold(CallId),
    /// Takes it off hold.
    Unhold(CallId),
    /// Sends DTMF to the far end (S69).
    SendDigits(CallId, Vec<Digit>),
    /// Sends the far end on to another number; the user's own part ends when that is reached, and goes on when it is not (S67).
    BlindTransfer(CallId, String),
    /// Sends a call that rings the user's phone on to another number (S69).
    Redirect(CallId, String),
    /// Puts a call on hold and calls another number from the same phone (S67).
    Consult(CallId, String),
    /// Parks the far end, whose call is then to be got by whoever wants it; the user's own part ends (S62).
    Park {
        /// The user's call.
        call: CallId,
        /// An orbit or an extension; `None`: the first free orbit.
        orbit: Option<String>,
    },
    /// Rings the user's own phone, which then has the call that is parked there (S62).
    Unpark {
        /// An orbit or an extension.
        orbit: String,
    },
    /// Rings the user's own phone, which then answers the call that rings at another's (S69), or gets what is parked there.
    Pickup {
        /// An extension or an orbit.
        ext: String,
    },
    /// Joins the far ends of two of the user's calls, whose own parts end (S67).
    CompleteTransfer {
        /// The call whose far end goes to that of the other.
        call: CallId,
        /// The other.
        with: CallId,
    },
}

/// A DTMF event, RFC 4733 §3.2: 0-9, 10 `*`, 11 `#`, 12-15 A-D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit(u8);

impl Digit {
    /// `0`-`9`, `*`, `#`, `A`-`D` in either case.
    pub fn from_char(c: char) -> Option<Digit> {
        "0123456789*#ABCD".find(c.to_ascii_uppercase()).map(|event| Digit(event as u8))
    }

    /// As it stands on the key.
    pub fn to_char(self) -> char {
        char::from(b"0123456789*#ABCD"[usize::from(self.0)])
    }

    /// The event number of RFC 4733.
    pub fn event(self) -> u8 {
        self.0
    }
}

/// A command that was accepted: a [`CallEvent::Completed`] with this ticket follows, exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Names the command until it is completed.
    pub ticket: Ticket,
    /// The end that the command began.
    pub call: Option<CallId>,
}

/// Why a command was not accepted, or what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code told to clients.
    pub code: RefusalCode,
    /// A sentence for the client's author.
    pub text: Cow<'static, str>,
}

/// The errors of call control, numbered as in the CAS protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum RefusalCode {
    /// The field has a bad value.
    BadValue = 5,
    /// Policy forbids it.
    NotPermitted = 10,
    /// No such call or device.
    NotFound = 11,
    /// Not possible in this state.
    WrongState = 12,
    /// Already gone.
    Gone = 13,
    /// Somebody else was first.
    Conflict = 14,
    /// The switch is full or ending.
    Overloaded = 20,
    /// No route to the number.
    NoRoute = 21,
    /// Device not registered.
    NotRegistered = 22,
    /// No answer in time.
    NoAnswer = 23,
    /// Busy.
    Busy = 24,
    /// Refused by the far end.
    Declined = 25,
    /// A limit is reached.
    Limit = 40,
    /// A fault of the switch.
    Internal = 50,
}

/// Declares the actions once: variant and the message of topic `tel` that does it.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)*) => {
        /// What may be done with a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            /// All, in the order in which clients are told them.
            pub const ALL: &[Action] = &[$(Action::$action,)*];

            /// The message of topic `tel`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Action::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// [`CallCommand::Drop`]
    Drop = "drop",
    /// [`CallCommand::Answer`]
    Answer = "answer",
    /// [`CallCommand::Hold`]
    Hold = "hold",
    /// [`CallCommand::Unhold`]
    Unhold = "unhold",
    /// [`CallCommand::SendDigits`]
    SendDigits = "send-digits",
    /// [`CallCommand::BlindTransfer`]
    BlindTransfer = "blind-transfer",
    /// [`CallCommand::Redirect`]
    Redirect = "redirect",
    /// [`CallCommand::Consult`]
    Consult = "consult",
    /// [`CallCommand::CompleteTransfer`]
    CompleteTransfer = "complete-transfer",
    /// [`CallCommand::Park`]
    Park = "park",
}

/// What may be done with a call now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u32);

impl Actions {
    /// Whether this one may.
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// The message names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Action::ALL.iter().filter(move |action| self.has(**action)).map(|action| action.name())
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl JsonSchema for Actions {
    fn schema_name() -> Cow<'static, str> {
        "Actions".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        json_schema!({"type": "array", "items": {"enum": names}, "uniqueItems": true})
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Actions {
        Actions(actions.into_iter().fold(0, |set, action| set | 1 << action as u32))
    }
}

/// Where a user's end of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// His own phone rings (make-call), or the far end has not rung yet.
    Dialing,
    /// The far end rings.
    Ringing,
    /// This user's phone rings.
    Offering,
    /// Talking.
    Connected,
    /// On hold by this user.
    Held,
    /// Parked by the other party: it waits for whoever gets it.
    Parked,
}

named!(CallState {
    Dialing = "dialing",
    Ringing = "ringing",
    Offering = "offering",
    Connected = "connected",
    Held = "held",
    Parked = "parked",
});

/// Who began the call, seen from the user's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This user called.
    Out,
    /// This user was called.
    In,
}

named!(Direction { Out = "out", In = "in" });

/// The far end as the user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyInfo {
    /// The number.
    pub addr: String,
    /// The name, from the store or the hint; may be empty.
    pub name: String,
    /// Where the far end stands.
    pub state: CallState,
}

/// Why a call ended or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody hung up.
    Normal,
    /// The caller gave up before the answer.
    Cancelled,
    /// Busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The called party declined.
    Declined,
    /// The number leads nowhere.
    NoRoute,
    /// No device registered.
    NotRegistered,
    /// Answered at another of the user's devices.
    AnsweredElsewhere,
    /// The call was sent on to another number before it was answered.
    Forwarded,
    /// The user has sent the other party on.
    Transferred,
    /// The user has parked the other party.
    Parked,
    /// It was sent on in a circle, or too often.
    Loop,
    /// Where something was to be got, there was nothing, or somebody else has got it.
    NothingThere,
    /// Whoever was to be called has given no number.
    Anonymous,
    /// A phone stopped answering.
    Vanished,
    /// The switch is full.
    Overloaded,
    /// The switch is ending.
    Shutdown,
    /// The two sides had no codec in common.
    Incompatible,
    /// Anything else the far end said.
    Failed,
}

named!(Cause {
    Normal = "normal",
    Cancelled = "cancelled",
    Busy = "busy",
    NoAnswer = "no-answer",
    Declined = "declined",
    NoRoute = "no-route",
    NotRegistered = "not-registered",
    AnsweredElsewhere = "answered-elsewhere",
    Forwarded = "forwarded",
    Transferred = "transferred",
    Parked = "parked",
    Loop = "loop",
    NothingThere = "nothing-there",
    Anonymous = "anonymous",
    Vanished = "vanished",
    Overloaded = "overloaded",
    Shutdown = "shutdown",
    Incompatible = "incompatible",
    Failed = "failed",
});

/// A user's end of a call: one row of `get-calls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallInfo {
    /// Names this end.
    pub id: CallId,
    /// Whose end it is.
    pub user: UserId,
    /// The device it is at, once one has answered or was chosen.
    pub device: Option<DeviceId>,
    /// Where it stands.
    pub state: CallState,
    /// Who began.
    pub direction: Direction,
    /// The others.
    pub parties: Vec<PartyInfo>,
    /// When this end began.
    pub started: Wall,
}

/// Which calls to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallQuery {
    /// Those of one user, oldest first.
    OfUser(UserId),
    /// One end.
    One(CallId),
}

/// A device that is reachable now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationInfo {
    /// The device.
    pub device: DeviceId,
    /// Its Contact, as it registered.
    pub contact: String,
    /// `udp` or `tcp`, and the address its requests come from.
    pub source: String,
    /// What it calls itself (User-Agent); may be empty.
    pub agent: String,
    /// When the binding ends.
    pub expires: Wall,
}

/// What a command has yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yield {
    /// That it is done.
    Done,
    /// This call.
    Call(CallId),
    /// That the call is parked here.
    Orbit(String),
}

impl From<Option<CallId>> for Yield {
    fn from(call: Option<CallId>) -> Yield {
        call.map_or(Yield::Done, Yield::Call)
    }
}

/// A parked call: one row of `get-parked`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedInfo {
    /// The orbit or extension where it is.
    pub orbit: String,
    /// Who is parked: his number.
    pub addr: String,
    /// His name; may be empty.
    pub name: String,
    /// The number of the user who has parked him.
    pub by: String,
    /// Since when.
    pub since: Wall,
    /// Where it stands.
    pub state: ParkedState,
}

/// Where a parked call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedState {
    /// It waits.
    Parked,
    /// It waits, and whoever parked it is rung.
    Recalling,
    /// Somebody has got it.
    Retrieved,
    /// It ended where it was.
    Ended,
}

named!(ParkedState {
    Parked = "parked",
    Recalling = "recalling",
    Retrieved = "retrieved",
    Ended = "ended",
});

/// A call-back of a user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallBackInfo {
    /// Who has booked it.
    pub user: UserId,
    /// Whom he wants to reach: his number.
    pub addr: String,
    /// His name; may be empty.
    pub name: String,
    /// Where it stands.
    pub state: CallBackState,
    /// Until when it may wait.
    pub until: Wall,
}

/// Where a call-back stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallBackState {
    /// It waits for both to be free.
    Booked,
    /// The booker's phones ring.
    Calling,
    /// The two have talked.
    Reached,
    /// The booker did not answer, or the other not, when it was his turn.
    Unreached,
    /// It has waited for long enough.
    Expired,
    /// It was taken back, or one of the two is no user any more.
    Cancelled,
}

named!(CallBackState {
    Booked = "booked",
    Calling = "calling",
    Reached = "reached",
    Unreached = "unreached",
    Expired = "expired",
    Cancelled = "cancelled",
});

/// The counts `switch status` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Calls up now.
    pub calls: usize,
    /// Bindings held now.
    pub registrations: usize,
    /// SIP transactions open now.
    pub transactions: usize,
    /// Calls begun since the start.
    pub calls_total: u64,
    /// No new calls are taken: the switch is ending.
    pub stopping: bool,
}

/// What the engine tells; the node hands it on to the CAS within the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// An end began or changed.
    Changed(CallInfo, Option<Cause>),
    /// An end is over: the last event of its id.
    Ended {
        /// The end.
        call: CallId,
        /// Whose it was.
        user: UserId,
        /// Why.
        cause: Cause,
        /// From its start; 0 where it was never answered.
        duration_msec: u64,
    },
    /// An accepted command came to its end.
    Completed(Ticket, Result<Yield, Refusal>),
    /// A parked call began, changed or is parked no more.
    Parked(ParkedInfo),
    /// A user's call-back was booked, is on its way or is over.
    CallBack(CallBackInfo),
    /// A device became reachable or ceased to be (S131).
    Device {
        /// The device.
        device: DeviceId,
        /// Whether it has a binding now.
        registered: bool,
    },
}

/// Call control, as the CAS sees it.
pub trait CallControl {
    /// Does it, or says why not. A refusal changes nothing.
    fn execute(&mut self, now: Now, site: &Site, who: &Principal, command: CallCommand) -> Result<Accepted, Refusal>;

    /// What [`execute`](Self::execute) would accept for this call now, by the same decision.
    fn allowed(&self, site: &Site, who: &Principal, call: CallId) -> Actions;

    /// Calls as they are at this instant.
    fn view(&self, site: &Site, who: &Principal, query: CallQuery) -> Vec<CallInfo>;

    /// Calls that are parked now, by orbit.
    fn parked(&self, site: &Site) -> Vec<ParkedInfo>;

    /// Whether [`CallCommand::Unpark`] would be accepted for what is parked there, by the same decision.
    fn may_unpark(&self, site: &Site, who: &Principal, orbit: &str) -> bool;

    /// Devices reachable now, by device.
    fn registrations(&self) -> Vec<RegistrationInfo>;

    /// Whether a device is reachable now.
    fn is_registered(&self, device: DeviceId) -> bool;

    /// The counts of `switch status`.
    fn status(&self) -> EngineStatus;

    /// The last so many calls, whoever's they are, oldest first; and how many there are.
    fn calls(&self, now: Now, shown: Shown, max: usize) -> (Vec<CallLine>, usize);

    /// One call that goes on or ended lately, by either of its ends. Has its streams counted afresh: a later report shows it.
    fn report(&mut self, now: Now, id: CallId) -> Option<CallReport>;

    /// Forgets where these devices can be reached: at this contact, or at all. Yields what the store is to forget with it.
    ///
    /// # Errors
    /// None is registered so; or a registration of one is under way. Nothing has changed then.
    fn unregister(
        &mut self,
        now: Now,
        site: &Site,
        devices: &[DeviceId],
        contact: Option<&str>,
    ) -> Result<Vec<Change>, Refusal>;
}
