//! Whom a call was for before it came to whom it is for now: told to every phone that it rings (`sip/diversion`), and how a call that goes in circles is found.
//!
//! What others have done to a call before it came here counts as well, as far as they tell: that is how one that two switches send each other comes to its end, where its hops
//! would last for a long time.

use cas::site::{Access, DeviceId, Dialled, Site, UserId};

use super::party::Identity;
use crate::engine::Engine;
use crate::sip::diversion::{self, Diversion, Reason};
use crate::sip::flow::Flow;
use crate::sip::header::Headers;
use crate::sip::message::Request;
use crate::sip::uri::Uri;

/// How often a call may be sent on: more is a loop that the numbers do not show.
const MAX_FORWARDS: usize = 5;

/// Those who have sent a call on, the first one first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(Vec<Stop>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    diversion: Diversion,
    /// Who that is here.
    user: Option<UserId>,
    source: Source,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It was here.
    Ours,
    /// A gateway, which speaks for those behind it.
    Gateway,
    /// A phone: taken as a reason to look for a loop, and not passed on.
    Phone,
}

impl Trail {
    /// Whether this user has sent the call on already.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.0.iter().any(|stop| stop.user == Some(user))
    }

    /// Whether it may be sent on once more.
    pub(crate) fn has_room(&self) -> bool {
        self.0.iter().map(|stop| stop.diversion.counter as usize).sum::<usize>() < MAX_FORWARDS
    }

    /// Whether it was sent on by this switch.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.iter().any(|stop| stop.source == Source::Ours)
    }

    pub(crate) fn push(&mut self, stop: Stop) {
        self.0.push(stop);
    }

    /// Tells it in a request for `target`.
    pub(crate) fn tell(&self, headers: &mut Headers, target: &Uri) {
        if self.0.is_empty() {
            return;
        }
        let told = self.0.iter().filter(|stop| stop.source != Source::Phone).map(|stop| stop.diversion.clone());
        diversion::write(headers, &told.collect::<Vec<_>>(), target);
    }
}

impl Engine {
    /// Somebody here sends a call on.
    pub(crate) fn stop_at(&self, who: &Identity, reason: Reason) -> Stop {
        let diversion = Diversion { by: self.address(who), reason, counter: 1 };
        Stop { diversion, user: who.user, source: Source::Ours }
    }

    /// What an INVITE tells of where the call has been.
    pub(crate) fn trail_of(&self, site: &Site, device: DeviceId, invite: &Request, flow: &Flow) -> Trail {
        let is_gateway = site.device(device).is_some_and(|device| matches!(device.access, Access::Address(_)));
        let source = if is_gateway { Source::Gateway } else { Source::Phone };
        let stop = |diversion: Diversion| {
            let uri = &diversion.by.uri;
            let number = uri.user.as_deref().filter(|_| self.serves(uri, flow));
            let user = number.and_then(|number| match site.dialled(number) {
                Some(Dialled::User(user)) => Some(user),
                _ => None,
            });
            Stop { diversion, user, source }
        };
        Trail(diversion::read(&invite.headers).into_iter().map(stop).collect())
    }
}
