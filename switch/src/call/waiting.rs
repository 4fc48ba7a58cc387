//! Call waiting: how many calls a user may have at a time, and what his telephones are told of one that comes while he is in another.
//!
//! Telephones play the tone themselves, each in the ear of whoever talks there.

use cas::site::{Access, Site, UserId};

use super::party::{Party, PartyState};
use super::{CallNo, Side};
use crate::engine::Engine;

/// Of a user with more calls than anybody has at hand not all are looked at.
const AT_HAND: usize = 16;

impl Engine {
    /// Whether one more call finds the user busy: he has one, and beside it as many as may wait (`[calls] waiting`). A call that has not reached his phones yet is
    /// none. A gateway is never busy: it says so itself, for each of those behind it.
    pub(crate) fn is_busy(&self, site: &Site, user: UserId) -> bool {
        let most = site.plan.waiting;
        if most >= self.settings.max_calls || is_gateway(site, user) {
            return false;
        }
        self.parties_of(user).filter(|(_, party)| party.is_engaged()).take(most + 1).count() > most
    }

    /// Whether somebody talks, or waits for an answer, at one of the user's phones in another call than this.
    pub(crate) fn is_in_another_call(&self, site: &Site, user: UserId, no: CallNo) -> bool {
        let is_at_it = |party: &Party| matches!(party.state, PartyState::Up { .. } | PartyState::Calling(_));
        !is_gateway(site, user)
            && self.parties_of(user).take(AT_HAND).any(|(other, party)| other != no && is_at_it(party))
    }

    /// The ends of a user's calls, oldest first; who is reminded of one is in no other.
    pub(crate) fn parties_of(&self, user: UserId) -> impl Iterator<Item = (CallNo, &Party)> {
        let ends = self.table.ends_of(user).filter_map(|id| self.table.end(id));
        let calls = ends.filter_map(|(no, side): (CallNo, Side)| Some((no, side, self.table.call(no)?)));
        calls.filter(|(.., call)| call.reminds().is_none()).map(|(no, side, call)| (no, call.party(side)))
    }
}

/// Whether a user stands for those behind a gateway.
pub(crate) fn is_gateway(site: &Site, user: UserId) -> bool {
    site.devices_of(user).any(|device| matches!(device.access, Access::Address(_)))
}
