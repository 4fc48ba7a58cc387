//! What the administrator is shown of any call, whoever's it is: a line of the list, and the whole of one.

use std::net::SocketAddr;

use super::{CallId, Cause};
use crate::site::DeviceId;
use crate::time::Wall;

/// Which calls the administrator wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Those of now.
    Live,
    /// Those that ended lately, as far as they are remembered.
    Ended,
}

/// One call, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// The caller's end: it names the call here.
    pub id: CallId,
    /// The called party's end.
    pub far: CallId,
    /// The caller's number.
    pub from: String,
    /// The called number.
    pub to: String,
    /// How far it has come.
    pub stage: CallStage,
    /// When it began.
    pub started: Wall,
    /// For how long the two have been talking; 0 where they have not.
    pub talked_msec: u64,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    /// Not answered yet.
    Ringing,
    /// Both have answered.
    Talking,
    /// Over, at this time and for this reason.
    Ended(Wall, Cause),
}

impl CallStage {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            CallStage::Ringing => "ringing",
            CallStage::Talking => "talking",
            CallStage::Ended(..) => "ended",
        }
    }
}

/// All that is known of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The call.
    pub line: CallLine,
    /// Every phone that had a part in it, in the order they came.
    pub legs: Vec<LegReport>,
    /// Its SIP messages, in their order.
    pub messages: Vec<MessageReport>,
    /// How many messages there were besides, between the first and the last of those.
    pub omitted: u32,
}

/// One phone's part in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Whether it is of the party that called.
    pub is_caller: bool,
    /// The phone.
    pub device: DeviceId,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// Where it is.
    pub peer: SocketAddr,
    /// Our address towards it.
    pub local: SocketAddr,
    /// The RTP port it sends to.
    pub port: u16,
    /// What was agreed, the preferred codec first; empty before an answer.
    pub codecs: Vec<String>,
    /// What its stream has counted, one JSON object as in call records; empty while nothing was.
    pub media: String,
    /// When that was counted.
    pub counted: Option<Wall>,
}

/// One SIP message of a call, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageReport {
    /// Since the call began, in microseconds.
    pub after_usec: u64,
    /// Whose: an index into the legs.
    pub leg: usize,
    /// Whether the phone sent it.
    pub from_phone: bool,
    /// The method, or the status and the method it answers.
    pub text: String,
}
