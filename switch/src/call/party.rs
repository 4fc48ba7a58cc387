//! One end of a call.

use std::time::Instant;

use cas::control::{Actions, CallId, CallInfo, CallState, Direction};
use cas::site::{DeviceId, UserId};
use cas::time::Now;

use super::CallNo;
use super::leg::LegId;
use crate::service::Service;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who began the call.
    Caller,
    /// Whom it is for.
    Callee,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// Who a party is, from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Whose end it is; a gateway or a service has no user.
    pub(crate) user: Option<UserId>,
    /// The number others see.
    pub(crate) number: String,
    /// The name others see; may be empty.
    pub(crate) name: String,
}

/// One end of a call.
#[derive(Debug)]
pub(crate) struct Party {
    /// Names this end to clients.
    pub(crate) id: CallId,
    pub(crate) identity: Identity,
    /// The device it is at, once that is known.
    pub(crate) device: Option<DeviceId>,
    /// Whether it called or was called.
    pub(crate) direction: Direction,
    /// Whom it called, or who called it: what its record is about, whoever it talks to later.
    pub(crate) met: Identity,
    pub(crate) started: Now,
    /// Somebody was to be reached here: what nobody answered was missed, whether or not a phone rang.
    pub(crate) is_wanted: bool,
    /// Since when it talks to anybody.
    pub(crate) answered: Option<Instant>,
    pub(crate) state: PartyState,
    /// What its user's clients were told last.
    pub(crate) told: Option<(CallInfo, Actions)>,
}

/// Where an end stands.
#[derive(Debug)]
pub(crate) enum PartyState {
    /// Not reached yet.
    Idle,
    /// The phone called us and waits.
    Calling(LegId),
    /// Its phones are being rung.
    Ringing {
        legs: Vec<LegId>,
        /// Calls that ring others in its place.
        also: Vec<CallNo>,
        /// At least one of all of them said so.
        rung: bool,
        /// The one whose sound the other party hears already (early media).
        heard: Option<LegId>,
    },
    /// Answered.
    Up { leg: LegId, hold: Hold },
    /// A service of the switch stands in for a phone.
    Service(Service),
}

/// Who has put a party's own leg on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The phone, by re-INVITE.
    pub(crate) by_phone: bool,
    /// A client.
    pub(crate) by_client: bool,
}

impl Party {
    pub(crate) fn new(id: CallId, identity: Identity, direction: Direction, met: Identity, now: Now) -> Party {
        let (device, answered, state, told) = (None, None, PartyState::Idle, None);
        Party { id, identity, device, direction, met, started: now, is_wanted: false, answered, state, told }
    }

    /// How long it has been talking; 0 where nobody has answered.
    pub(crate) fn talked_msec(&self, now: Instant) -> u64 {
        self.answered.map_or(0, |since| (now - since).as_millis() as u64)
    }

    /// The leg that has answered.
    pub(crate) fn leg(&self) -> Option<LegId> {
        match self.state {
            PartyState::Up { leg, .. } => Some(leg),
            _ => None,
        }
    }

    /// The leg that speaks for it in the other party's ear: the one that has answered or called, or is heard already.
    pub(crate) fn speaker(&self) -> Option<LegId> {
        match self.state {
            PartyState::Calling(leg) | PartyState::Up { leg, .. } => Some(leg),
            PartyState::Ringing { heard, .. } => heard,
            PartyState::Idle | PartyState::Service(_) => None,
        }
    }

    /// Every leg it has.
    pub(crate) fn legs(&self) -> Vec<LegId> {
        match &self.state {
            PartyState::Idle | PartyState::Service(_) => Vec::new(),
            PartyState::Calling(leg) | PartyState::Up { leg, .. } => vec![*leg],
            PartyState::Ringing { legs, .. } => legs.clone(),
        }
    }

    /// A phone of its user's rings for it, has called or has answered.
    pub(crate) fn is_engaged(&self) -> bool {
        matches!(self.state, PartyState::Ringing { .. } | PartyState::Calling(_) | PartyState::Up { .. })
    }

    /// The calls that ring others in its place.
    pub(crate) fn also(&self) -> Vec<CallNo> {
        match &self.state {
            PartyState::Ringing { also, .. } => also.clone(),
            _ => Vec::new(),
        }
    }

    /// How the other party sees it.
    pub(crate) fn seen(&self) -> CallState {
        match &self.state {
            PartyState::Idle | PartyState::Calling(_) | PartyState::Ringing { rung: false, .. } => CallState::Dialing,
            PartyState::Ringing { rung: true, .. } => CallState::Ringing,
            PartyState::Service(Service::Tells(..)) => CallState::Dialing,
            PartyState::Up { hold, .. } if *hold != Hold::default() => CallState::Held,
            PartyState::Up { .. } | PartyState::Service(_) => CallState::Connected,
        }
    }
}
