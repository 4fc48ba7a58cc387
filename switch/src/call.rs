//! Calls: a back-to-back user agent.
//!
//! A [`Call`] joins two [`Party`]s: who called, and who is called. A party is a user's end of the call and has the id that clients see; while it is being
//! rung it may have several [`Leg`]s, once it has answered it has one. A leg is one SIP dialog with one phone and one media leg.
//!
//! One file for each verb; each is an `impl Engine` block that runs to its end within one step. What changed is told at the end of the step
//! ([`Engine::tell_changes`](crate::engine::Engine)), by comparing with what was told before.

pub(crate) mod answer;
pub(crate) mod bookings;
pub(crate) mod call_back;
pub(crate) mod cause;
pub(crate) mod control;
pub(crate) mod digits;
pub(crate) mod display;
pub(crate) mod ear;
pub(crate) mod early;
pub(crate) mod find_me;
pub(crate) mod forward;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod last;
pub(crate) mod leg;
pub(crate) mod notice;
pub(crate) mod offer;
pub(crate) mod originate;
pub(crate) mod park;
pub(crate) mod party;
pub(crate) mod pickup;
pub(crate) mod probe;
pub(crate) mod prompt;
pub(crate) mod record;
pub(crate) mod redirect;
pub(crate) mod refresh;
pub(crate) mod release;
pub(crate) mod remind;
pub(crate) mod report;
pub(crate) mod ring;
pub(crate) mod route;
pub(crate) mod sound;
pub(crate) mod table;
pub(crate) mod tell;
pub(crate) mod trail;
pub(crate) mod transfer;
pub(crate) mod update;
pub(crate) mod waiting;

use std::time::Instant;

use cas::control::{CallId, Ticket};
use std::net::IpAddr;

pub(crate) use leg::LegId;
pub(crate) use party::{Party, PartyState, Side};

use cause::Failure;
use forward::Course;
use route::Destination;
use trail::Trail;
use transfer::Transferor;

use crate::service::Service;

/// Names a call within the switch; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNo(pub u64);

/// Two parties and how far they have come.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) stage: Stage,
    /// Who began it.
    pub(crate) caller: Party,
    /// Whom it is for.
    pub(crate) callee: Party,
    /// How many more hops a request of this call may take (RFC 3261 §16.6 3).
    pub(crate) max_forwards: u8,
    /// Who has sent the caller on to the callee, until that is reached or not.
    pub(crate) transferor: Option<Transferor>,
    /// Who has sent the caller on to the present callee.
    pub(crate) trail: Trail,
    pub(crate) manner: Manner,
    /// How far it has come in what its callee has ordered for his calls.
    pub(crate) course: Course,
    /// Whence the INVITE came that began it; `None` for a client's.
    pub(crate) source: Option<IpAddr>,
}

/// How a callee's phones are rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Until somebody answers.
    #[default]
    Plain,
    /// They are asked to answer by themselves.
    Intercom,
    /// The caller's own are rung first, as they would be by the callee: he has booked it.
    CallBack,
}

/// How far a call has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// make-call: the caller's own phone is rung before the destination is.
    RingingCaller {
        /// Completed when the far end answers or fails; a call-back has none.
        ticket: Option<Ticket>,
        /// Where to, then.
        destination: Destination,
        /// What is to be got there: another may be first.
        goal: Option<CallNo>,
    },
    /// The far party is rung.
    Ringing {
        /// make-call: completed when it answers or fails.
        ticket: Option<Ticket>,
        /// The best of the final answers so far.
        failure: Option<Failure>,
    },
    /// Both have answered.
    Talking,
}

impl Call {
    /// The end of the call on hold that this one reminds its user of.
    pub(crate) fn reminds(&self) -> Option<CallId> {
        match self.caller.state {
            PartyState::Service(Service::Reminder(id)) => Some(id),
            _ => None,
        }
    }

    /// The end of another call in whose place this one rings somebody.
    pub(crate) fn sought(&self) -> Option<CallId> {
        match self.caller.state {
            PartyState::Service(Service::Seek(sought)) => Some(sought),
            _ => None,
        }
    }

    pub(crate) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    /// How long its parties have been talking to anybody: the longer of the two.
    pub(crate) fn talked_msec(&self, now: Instant) -> u64 {
        self.caller.talked_msec(now).max(self.callee.talked_msec(now))
    }

    pub(crate) fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }
}
