//! What a phone displays of the other party: told when it is called or answered, and anew whenever it is another (P-Asserted-Identity, RFC 3325, by UPDATE or
//! re-INVITE, RFC 4916), so that no display lies after a transfer.

use super::CallNo;
use super::leg::{Exchange, Leg, LegId, LegState, Reoffer};
use super::party::{Identity, Side};
use crate::endpoint::Owner;
use crate::engine::{At, Engine};
use crate::sip::header::{Address, Name};
use crate::sip::message::{Method, Request, Response};
use crate::sip::uri::{Host, Params, Scheme, Text, Uri};

impl Engine {
    /// A party as an address of this switch.
    pub(crate) fn address(&self, identity: &Identity) -> Address {
        let user = if identity.number.is_empty() { "anonymous" } else { &identity.number };
        let uri = Uri {
            scheme: Scheme::Sip,
            user: Some(user.into()),
            host: Some(Host::Name(self.settings.domain.as_str().into())),
            port: None,
            params: Params::default(),
            headers: None,
        };
        let display = Some(identity.name.as_str().into()).filter(|name: &Text| !name.is_empty());
        Address { display, uri, params: Params::default() }
    }

    /// Who is at the other end of a leg.
    pub(crate) fn other_of(&self, id: LegId) -> Option<&Identity> {
        let leg = self.table.leg(id)?;
        Some(&self.table.call(leg.call)?.party(leg.side.other()).identity)
    }

    /// Says in a request within the dialog who is there: that is what the phone shows from then on.
    pub(crate) fn assert_identity(&mut self, id: LegId, request: &mut Request) {
        let Some(other) = self.other_of(id).cloned() else { return };
        request.headers.push(Name::PAssertedIdentity, self.address(&other).encode());
        if let Some(leg) = self.table.leg_mut(id) {
            leg.shown = other;
        }
    }

    /// The phones of a call that show somebody else are told whom they have; one that is in the middle of an exchange, after it.
    pub(crate) fn show(&mut self, at: At<'_>, no: CallNo) {
        for side in [Side::Caller, Side::Callee] {
            let leg = self.table.call(no).and_then(|call| call.party(side).leg());
            if let Some(id) = leg.filter(|id| self.is_misled(*id)) {
                self.tell_identity(at, id);
            }
        }
    }

    /// Whether a phone that could be told now shows another than it has.
    pub(crate) fn is_misled(&self, id: LegId) -> bool {
        let Some(Leg { shown, state: LegState::Up(up), .. }) = self.table.leg(id) else { return false };
        let free = matches!(up.exchange, Exchange::Settled) && up.next.is_none();
        free && self.other_of(id).is_some_and(|other| (&other.number, &other.name) != (&shown.number, &shown.name))
    }

    fn tell_identity(&mut self, at: At<'_>, id: LegId) {
        let Some(other) = self.other_of(id).cloned() else { return };
        let Some(Leg { shown, state: LegState::Up(up), .. }) = self.table.leg_mut(id) else { return };
        *shown = other;
        if !up.takes.update {
            return self.reoffer(at, id, Reoffer::again());
        }
        let mut update = up.dialog.request(Method::Update);
        let flow = up.dialog.flow();
        update.headers.push(Name::Contact, flow.contact());
        update.headers.push(Name::Supported, crate::engine::SUPPORTED);
        up.session.ask(&mut update);
        self.assert_identity(id, &mut update);
        self.endpoint.request(at.now.mono, flow, update, Owner::Display(id));
    }

    /// A phone that would not take the UPDATE (now) is told by re-INVITE, which is made again where it meets another.
    pub(crate) fn display_response(&mut self, at: At<'_>, id: LegId, response: &Response) {
        match response.status.0 {
            100..=299 | 408 | 481 => self.update_response(at, id, response),
            _ => {
                if self.up(id).is_some_and(|up| up.next.is_none()) {
                    self.reoffer(at, id, Reoffer::again());
                }
            }
        }
    }
}
