//! One phone's part in a call: a dialog, early or confirmed, and a media leg.

use cas::control::Ticket;
use cas::site::DeviceId;

use super::CallNo;
use super::party::Side;
use crate::ports::Place;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::sip::sdp::{self, Audio, Description, Direction};
use crate::sip::transaction::{ClientTx, ServerTx};

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
    pub(crate) state: LegState,
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
    pub(crate) offer: Description,
    pub(crate) audio: Audio,
    /// The number of the INVITE, and so of its ACK.
    pub(crate) number: u32,
    /// Early, and confirmed by our 2xx.
    pub(crate) dialog: Dialog,
}

impl Incoming {
    /// A response that makes the dialog, or confirms it (RFC 3261 §12.1.1).
    pub(crate) fn response(&self, tag: &str, status: Status) -> Response {
        let mut response = self.invite.response(status);
        response.set_to_tag(tag);
        response.headers.copy(&self.invite.headers, &Name::RecordRoute);
        response.headers.push(Name::Contact, self.dialog.flow().contact());
        response.headers.push(Name::Allow, crate::engine::ALLOW);
        response
    }
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) tx: ClientTx,
    pub(crate) flow: Flow,
}

#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) dialog: Dialog,
    /// What the phone last said of its audio.
    pub(crate) audio: Audio,
    /// What we last said of ours.
    pub(crate) direction: Direction,
    pub(crate) exchange: Exchange,
    /// An offer of ours that waits for the exchange that is under way.
    pub(crate) next: Option<Reoffer>,
}

/// The INVITE transaction within a dialog: one at a time, whoever began it (RFC 3261 §14).
#[derive(Debug)]
pub(crate) enum Exchange {
    /// None is under way.
    Settled,
    /// Our 2xx waits for its ACK, which has the number of its INVITE.
    Unacknowledged { tx: ServerTx, number: u32 },
    /// Our re-INVITE waits for its final response.
    Offered(Reoffer),
}

/// An offer of ours within a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Reoffer {
    /// What we want to do.
    pub(crate) direction: Direction,
    /// Completed with its outcome.
    pub(crate) ticket: Option<Ticket>,
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
