//! One end of a call.

use cas::control::{Actions, CallId, CallInfo, CallState};
use cas::site::{DeviceId, Feature, UserId};
use cas::time::Now;

use super::leg::LegId;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub(crate) started: Now,
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
        /// At least one of them said so.
        rung: bool,
        /// The one whose sound the other party hears already (early media).
        heard: Option<LegId>,
    },
    /// Answered.
    Up { leg: LegId, hold: Hold },
    /// A service of the switch stands in for a phone.
    Service(Feature),
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
    pub(crate) fn new(id: CallId, identity: Identity, now: Now) -> Party {
        Party { id, identity, device: None, started: now, state: PartyState::Idle, told: None }
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

    /// How the other party sees it.
    pub(crate) fn seen(&self) -> CallState {
        match &self.state {
            PartyState::Idle | PartyState::Calling(_) | PartyState::Ringing { rung: false, .. } => CallState::Dialing,
            PartyState::Ringing { rung: true, .. } => CallState::Ringing,
            PartyState::Up { hold, .. } if *hold != Hold::default() => CallState::Held,
            PartyState::Up { .. } | PartyState::Service(_) => CallState::Connected,
        }
    }
}
