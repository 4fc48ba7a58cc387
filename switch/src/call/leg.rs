//! One phone's part in a call: a dialog, early or confirmed, and a media leg.

use std::collections::VecDeque;
use std::time::Instant;

use cas::control::{Digit, Ticket};
use cas::site::DeviceId;

use super::party::{Identity, Side};
use super::route::Contact;
use super::{CallNo, Manner};
use crate::ports::Place;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Address, Contacts, Headers, Name};
use crate::sip::message::{Request, Response, Status};
use crate::sip::sdp::{self, Audio, Description, Direction};
use crate::sip::session_timer::{Grant, SessionTimer};
use crate::sip::transaction::{ClientTx, ServerTx};
use crate::sip::uri::Uri;

/// Names a leg within the switch, and its media leg; never used again.
pub(crate) use media::LegId;

/// A leg of a call: its dialog, its place in the media plane, its side of the session.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) call: CallNo,
    pub(crate) side: Side,
    pub(crate) device: DeviceId,
    /// Our tag in its dialog.
    pub(crate) tag: String,
    /// Where its RTP comes to.
    pub(crate) place: Place,
    /// Our side of its offers and answers.
    pub(crate) sdp: sdp::Session,
    /// What the phone last said of its sound; `None` until it has.
    pub(crate) audio: Option<Audio>,
    /// What we last said of ours.
    pub(crate) direction: Direction,
    /// Whom the phone was told last that it has.
    pub(crate) shown: Identity,
    pub(crate) state: LegState,
}

impl Leg {
    /// Offer and answer have been exchanged: there may be sound.
    pub(crate) fn is_agreed(&self) -> bool {
        match &self.state {
            LegState::Incoming(incoming) => matches!(incoming.terms, Terms::Agreed(_)),
            // Our offer went with the INVITE, or goes with the 2xx: whatever the phone has said is the answer.
            LegState::Outgoing(_) | LegState::Up(_) => self.audio.is_some(),
        }
    }

    /// Whether a client waits for its answer.
    pub(crate) fn is_prompted(&self) -> bool {
        matches!(&self.state, LegState::Outgoing(outgoing) if outgoing.prompt.ticket().is_some())
    }

    /// The way to the phone.
    pub(crate) fn flow(&self) -> Flow {
        match &self.state {
            LegState::Incoming(incoming) => incoming.dialog.flow(),
            LegState::Outgoing(outgoing) => outgoing.flow,
            LegState::Up(up) => up.dialog.flow(),
        }
    }
}

/// Where a leg stands.
#[derive(Debug)]
pub(crate) enum LegState {
    /// The phone called us and has no final answer.
    Incoming(Box<Incoming>),
    /// We called the phone and have no final answer.
    Outgoing(Box<Outgoing>),
    /// Answered.
    Up(Box<Up>),
}

#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) tx: ServerTx,
    pub(crate) invite: Request,
    pub(crate) terms: Terms,
    pub(crate) provisional: Provisional,
    /// The number of the INVITE, and so of its ACK.
    pub(crate) number: u32,
    /// What the INVITE is granted of session timers.
    pub(crate) grant: Option<Grant>,
    /// Early, and confirmed by our 2xx.
    pub(crate) dialog: Dialog,
}

/// How far offer and answer have come before the 2xx to a phone's INVITE (RFC 3261 §13.2.1, RFC 3262 §5).
#[derive(Debug)]
pub(crate) enum Terms {
    /// Its offer waits for our answer.
    Offered(Description),
    /// It made no offer: ours goes with the first reliable provisional response, or with the 2xx.
    Open,
    /// Ours is out in a reliable provisional response: its PRACK answers.
    Proposed,
    /// Agreed. With our answer, where that went out in a response that may have been lost: it is said again in the 2xx.
    Agreed(Option<String>),
}

/// Whether a provisional response of ours waits for its PRACK (RFC 3262 §3): one at a time.
#[derive(Debug)]
pub(crate) enum Provisional {
    /// None does; the RSeq of the next that wants one.
    Free { next: u32 },
    /// This one does; what is to be said after it.
    Unpracked { rseq: u32, then: Option<Then> },
}

/// What waits for a PRACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// A further provisional response.
    Tell(Status),
    /// The 2xx: the callee is there (RFC 3262 §3: not before the PRACK of a response with a session description).
    Answer,
}

impl Incoming {
    /// A response that makes the dialog, or confirms it (RFC 3261 §12.1.1).
    pub(crate) fn response(&self, tag: &str, status: Status) -> Response {
        let mut response = self.invite.response_tagged(status, tag);
        response.headers.copy(&self.invite.headers, &Name::RecordRoute);
        response.headers.push(Name::Contact, self.dialog.flow().contact());
        response.headers.push(Name::Allow, crate::engine::ALLOW);
        response.headers.push(Name::Supported, crate::engine::SUPPORTED);
        response
    }

    /// Every provisional response but 100 has to be reliable (RFC 3262 §3).
    pub(crate) fn wants_reliable(&self) -> bool {
        self.invite.headers.lists(&Name::Require, "100rel")
    }

    /// A provisional response may be reliable.
    pub(crate) fn knows_reliable(&self) -> bool {
        self.wants_reliable() || self.invite.headers.lists(&Name::Supported, "100rel")
    }
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) tx: ClientTx,
    pub(crate) flow: Flow,
    /// What was asked for: an INVITE that must be sent again in other words is made from it.
    pub(crate) asked: Asked,
    /// The tag that the phone has last said for itself, by which others may name the dialog; empty before.
    pub(crate) remote_tag: String,
    /// Made by the phone's provisional responses, those that are reliable or of a phone that is to be spoken to before it answers; several where a proxy forks.
    pub(crate) early: Vec<EarlyDialog>,
    pub(crate) prompt: Prompt,
}

impl Outgoing {
    pub(crate) fn new(tx: ClientTx, flow: Flow, asked: Asked, prompt: Prompt) -> Outgoing {
        Outgoing { tx, flow, asked, remote_tag: String::new(), early: Vec::new(), prompt }
    }

    /// The dialog in which a phone that takes it can be told to talk.
    pub(crate) fn talks_in(&mut self) -> Option<&mut Dialog> {
        let (takes, tag) = (self.asked.takes_talk, &self.remote_tag);
        let early = self.early.iter_mut().find(|early| takes && early.dialog.remote_tag() == tag);
        early.map(|early| &mut early.dialog)
    }

    /// The way of what follows in the dialog that a response makes: proxies that the INVITE went by but that have not recorded themselves are not on
    /// it (RFC 3261 §12.2.1.1).
    pub(crate) fn way_after(&self, response: &Response) -> Flow {
        let is_direct = self.asked.route.is_empty() || response.headers.get(&Name::RecordRoute).is_some();
        match response.headers.contacts() {
            Ok(Contacts::List(contacts)) if !is_direct => {
                contacts.first().and_then(|contact| self.flow.to(&contact.uri)).unwrap_or(self.flow)
            }
            _ => self.flow,
        }
    }
}

/// What an INVITE of ours said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) uri: Uri,
    /// The Path that its registration came along (RFC 3327 §5.3), its Route.
    pub(crate) route: Vec<Address>,
    /// Where else the same phone can be asked.
    pub(crate) spare: Vec<Contact>,
    pub(crate) call_id: String,
    pub(crate) number: u32,
    /// Its Session-Expires, in seconds.
    pub(crate) seconds: u32,
    /// Whether the phone is to answer by itself.
    pub(crate) manner: Manner,
    /// Whether the phone can be told to talk, as far as it has said.
    pub(crate) takes_talk: bool,
}

/// A dialog that a provisional response has made (RFC 3261 §12.1), and the last RSeq seen in it (RFC 3262 §4), if any was.
#[derive(Debug)]
pub(crate) struct EarlyDialog {
    pub(crate) dialog: Dialog,
    pub(crate) rseq: Option<u32>,
}

/// What a client of its user does to have a phone that rings answer (S65).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Nothing: it rings until somebody answers.
    #[default]
    None,
    /// It was told to talk.
    Told(Ticket),
    /// Its INVITE is cancelled; another follows, for as long as somebody wants it with the wish that it answers by itself.
    Cancelled(Option<Ticket>),
    /// Its INVITE wishes that it answers by itself.
    Wished(Ticket),
}

impl Prompt {
    /// Who wants it to answer.
    pub(crate) fn ticket(self) -> Option<Ticket> {
        match self {
            Prompt::None => None,
            Prompt::Told(ticket) | Prompt::Wished(ticket) => Some(ticket),
            Prompt::Cancelled(ticket) => ticket,
        }
    }

    /// That of the next INVITE to the same phone.
    pub(crate) fn next(self) -> Prompt {
        self.ticket().map_or(Prompt::None, Prompt::Wished)
    }
}

#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) dialog: Dialog,
    pub(crate) exchange: Exchange,
    /// The number of the last re-INVITE that the phone accepted when it had been given up; 0 for none.
    pub(crate) accepted_late: u32,
    /// An offer of ours that waits for the exchange that is under way.
    pub(crate) next: Option<Reoffer>,
    /// What the phone has said it takes.
    pub(crate) takes: Takes,
    pub(crate) session: Session,
    /// Digits that go by INFO, one at a time: the first is under way.
    pub(crate) digits: VecDeque<Digit>,
}

impl Up {
    pub(crate) fn new(dialog: Dialog, exchange: Exchange, takes: Takes) -> Up {
        Up {
            dialog,
            exchange,
            accepted_late: 0,
            next: None,
            takes,
            session: Session::Unlimited,
            digits: VecDeque::new(),
        }
    }
}

/// What a phone's last Allow named, of what makes a difference here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Takes {
    pub(crate) update: bool,
    pub(crate) info: bool,
}

impl Takes {
    /// What a later message names, if it names anything.
    pub(crate) fn renew(&mut self, headers: &Headers) {
        if headers.get(&Name::Allow).is_some() {
            *self = Takes::of(headers);
        }
    }

    pub(crate) fn of(headers: &Headers) -> Takes {
        Takes { update: headers.lists(&Name::Allow, "UPDATE"), info: headers.lists(&Name::Allow, "INFO") }
    }
}

/// Whether a session ends unless it is refreshed (RFC 4028).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Session {
    /// The phone knows no session timers.
    Unlimited,
    /// It ends then.
    Limited { timer: SessionTimer, ends: Instant },
}

/// The INVITE transaction within a dialog: one at a time, whoever began it (RFC 3261 §14).
#[derive(Debug)]
pub(crate) enum Exchange {
    /// None is under way.
    Settled,
    /// Our 2xx waits for its ACK, which has the number of its INVITE.
    Unacknowledged { tx: ServerTx, number: u32, said: Said },
    /// Our re-INVITE, of this number, waits for its final response.
    Offered { number: u32, reoffer: Reoffer },
}

/// What of the exchange our 2xx has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// All: it had the answer, or that was given before.
    Answer,
    /// It had our offer: the ACK brings the answer (RFC 3261 §13.2.1).
    Offer,
}

/// An offer of ours within a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Reoffer {
    /// What we want to do; `None`: what we do already, whatever that is by then.
    pub(crate) direction: Option<Direction>,
    /// Completed with its outcome.
    pub(crate) ticket: Option<Ticket>,
    /// How often the phone has put it off.
    pub(crate) put_off: u8,
}

impl Reoffer {
    /// For a client, to whom what comes of it is told.
    pub(crate) fn asked(direction: Direction, ticket: Ticket) -> Reoffer {
        Reoffer { direction: Some(direction), ticket: Some(ticket), put_off: 0 }
    }

    /// What we do already, said anew.
    pub(crate) fn again() -> Reoffer {
        Reoffer { direction: None, ticket: None, put_off: 0 }
    }
}

/// A leg that is no longer part of a call, until the phone has heard so.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) tag: String,
    pub(crate) state: LeavingState,
}

#[derive(Debug)]
pub(crate) enum LeavingState {
    /// Our INVITE is being cancelled, for this Reason: a 2xx may still cross.
    Cancelling { outgoing: Box<Outgoing>, reason: String },
    /// Our 2xx waits for its ACK; a BYE follows (RFC 3261 §15), with this Reason.
    Unacknowledged { tx: ServerTx, number: u32, dialog: Dialog, reason: String },
    /// A BYE is out, or came.
    Ended(Dialog),
}
