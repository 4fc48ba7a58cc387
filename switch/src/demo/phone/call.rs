//! The telephone's one call: where it stands, its dialog (RFC 3261 §12), its offers and answers (RFC 3264).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rsip::headers::{Header, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use rsip::{Request, Response};

use super::early::Provisional;
use super::message;
use super::sdp::{Description, Origin};
use super::session::Session;
use super::stream::Stream;
use super::transaction::Resend;
use super::transfer::Referral;
use super::{DialogName, Head, Shown, Status};

/// A call, from the first INVITE to the last word about it.
#[derive(Debug)]
pub(super) struct Call {
    /// The number dialled, or the caller's.
    pub(super) far: String,
    /// What stands on the display.
    pub(super) shown: Shown,
    /// Whose place it is to have, where it is called for that.
    pub(super) replaces: Option<DialogName>,
    pub(super) dialog: Dialog,
    pub(super) phase: Phase,
    pub(super) stream: Stream,
    pub(super) held: bool,
    pub(super) held_by_other: bool,
    pub(super) change: Change,
    pub(super) session: u64,
    pub(super) version: u64,
    /// What this side last wrote.
    pub(super) local: Description,
    pub(super) remote: Origin,
    pub(super) agreement: Agreement,
    /// What the other side can do.
    pub(super) peer: Peer,
    /// As a caller: the last reliable provisional answer of each early dialog (RFC 3262 §4).
    pub(super) rseqs: BTreeMap<String, u32>,
    /// As a callee: the one whose PRACK is awaited.
    pub(super) provisional: Option<Provisional>,
    /// The session timer, once it runs.
    pub(super) session_timer: Option<Session>,
    /// The shortest interval the other side takes.
    pub(super) min_expires: u32,
    /// Digits that wait for the INFO before them to be answered.
    pub(super) digits: std::collections::VecDeque<char>,
    /// Transfers that it has asked for and wants to hear of, by the number of the REFER.
    pub(super) referrals: BTreeMap<u32, Referral>,
}

/// Where the first offer and its answer stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// There is no offer yet.
    Open,
    /// This side has made it; the answer is not there for good.
    Offered,
    /// The other side has made it, and has no answer for good.
    Owed(Description),
    /// Both are exchanged.
    Settled,
}

/// What the other side has said it can do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) reliable: bool,
    pub(super) timer: bool,
    pub(super) update: bool,
}

impl Peer {
    /// What a message adds to what is known.
    pub(super) fn learn(&mut self, message: &impl HasHeaders) {
        let can = |option| ["Supported", "k", "Require"].iter().any(|name| message::lists(message, name, option));
        self.reliable |= can("100rel");
        self.timer |= can("timer");
        self.update |= message::lists(message, "Allow", "UPDATE");
    }
}

/// Both ends of the dialog, as headers.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) local_tag: String,
    pub(super) remote_tag: Option<String>,
    /// From and To of what is sent from here.
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: rsip::Uri,
    pub(super) route: Vec<String>,
    pub(super) cseq: u32,
    pub(super) remote_cseq: u32,
}

/// Where the call stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// The INVITE is out.
    Calling {
        branch: String,
        ringing: bool,
        /// The caller hung up: CANCEL as soon as it may be sent, BYE if it comes too late (RFC 3261 §9.1, §15).
        giving_up: bool,
    },
    /// It rings here.
    Ringing { key: (String, String), request: Box<Request>, answer_at: Option<Instant> },
    /// Up; a 2xx of this side may still wait for its ACK.
    Talking(Option<Unacknowledged>),
}

/// A 2xx to an INVITE, repeated until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    pub(super) answer: Bytes,
    pub(super) to: SocketAddr,
    pub(super) resend: Resend,
    pub(super) until: Instant,
    /// The 2xx had the offer: the ACK has the answer.
    pub(super) offered: bool,
    /// The 2xx is that to the first INVITE.
    pub(super) first: bool,
    /// Hang up as soon as the ACK is there.
    pub(super) leaving: bool,
}

/// A change that this side asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Hold, or its end.
    Hold(bool),
    /// Other codecs, or another place.
    Sound,
    /// Nothing new: the session goes on (RFC 4028).
    Refresh,
    /// The other side is to make the offer.
    Unsaid,
}

/// A change of this side.
#[derive(Debug)]
pub(super) enum Change {
    None,
    /// The re-INVITE or UPDATE is out; `offers` where it has a session description.
    Pending {
        branch: String,
        want: Want,
        offers: bool,
        /// What this side had written before.
        before: Box<Description>,
    },
    /// It met one of the other side (491) and is tried again (RFC 3261 §14.1).
    Again {
        at: Instant,
        want: Want,
    },
}

impl Dialog {
    /// The other side has taken what began it, or what goes on with it.
    pub(super) fn confirm(&mut self, response: &Response, tag: String, target: rsip::Uri) {
        if let Ok(to) = response.to_header() {
            to.value().clone_into(&mut self.remote);
        }
        self.remote_tag = Some(tag);
        self.target = target;
        self.route = record_route(response).rev().collect();
    }
}

impl Call {
    pub(super) fn status(&self) -> Status {
        match &self.phase {
            Phase::Calling { ringing, .. } => Status::Calling { ringing: *ringing },
            Phase::Ringing { .. } => Status::Ringing,
            Phase::Talking(_) => Status::Talking { held: self.held },
        }
    }

    /// A request of this dialog was challenged: it goes again under another branch.
    pub(super) fn challenged(&mut self, old_branch: &str, new_branch: &str) {
        if let Phase::Calling { branch, .. } = &mut self.phase
            && branch == old_branch
        {
            new_branch.clone_into(branch);
        }
        if let Change::Pending { branch, .. } = &mut self.change
            && branch == old_branch
        {
            new_branch.clone_into(branch);
        }
    }

    pub(super) fn is_changing(&self) -> bool {
        matches!(self.change, Change::Pending { .. })
    }

    /// Whether an offer of this side is out, so that one of the other side must wait (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(super) fn is_offering(&self) -> bool {
        let unanswered = matches!(&self.phase, Phase::Talking(Some(waiting)) if waiting.offered);
        matches!(self.change, Change::Pending { offers: true, .. })
            || self.agreement == Agreement::Offered
            || unanswered
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Ringing { answer_at, .. } => *answer_at,
            Phase::Talking(Some(unacknowledged)) => Some(unacknowledged.resend.at().min(unacknowledged.until)),
            _ => None,
        };
        let again = match self.change {
            Change::Again { at, .. } => Some(at),
            _ => None,
        };
        let provisional = self.provisional.as_ref().map(Provisional::next_timeout);
        let session = self.session_timer.map(|session| session.due);
        [phase, again, provisional, session, self.stream.next_timeout()].into_iter().flatten().min()
    }

    /// Writes a description of this side; the version rises when it differs from the last (RFC 3264 §8).
    pub(super) fn write(&mut self, description: Description) -> String {
        if self.local != description {
            self.version += 1;
        }
        self.local = description;
        self.local.write(self.session, self.version)
    }

    /// The other side's description came.
    pub(super) fn settle(&mut self, now: Instant, remote: &Description) {
        self.stream.settle(now, &self.local, remote);
    }
}

/// CANCEL has its INVITE's branch.
pub(super) fn cancel_key(branch: &str) -> String {
    format!("{branch} CANCEL")
}

pub(super) fn head(dialog: &Dialog) -> Head {
    Head {
        target: dialog.target.clone(),
        from: dialog.local.clone(),
        to: dialog.remote.clone(),
        call_id: dialog.call_id.clone(),
        cseq: dialog.cseq,
        route: dialog.route.clone(),
    }
}

/// Record-Route, one line each.
pub(super) fn record_route(message: &impl HasHeaders) -> impl DoubleEndedIterator<Item = String> {
    let lines = message.headers().iter().filter_map(|header| match header {
        Header::RecordRoute(route) => Some(route.value().to_owned()),
        _ => None,
    });
    lines.collect::<Vec<_>>().into_iter()
}
