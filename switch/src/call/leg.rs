//! One phone's part in a call: a dialog, early or confirmed, and a media leg.

use cas::control::Ticket;
use cas::site::DeviceId;

use super::CallNo;
use super::party::Side;
use crate::ports::Place;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::sdp::{self, Audio, Description, Direction};
use crate::sip::transaction::{ClientTx, ServerTx};

/// Names a leg within the switch, and its media leg; never used again.
pub(crate) use media::LegId;

/// See the module.
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
    pub(crate) flow: Flow,
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) tx: ClientTx,
    pub(crate) invite: Request,
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
    /// Our 2xx waits for its ACK.
    Unacknowledged(ServerTx),
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
    /// Our INVITE is being cancelled: a 2xx may still cross.
    Cancelling(Box<Outgoing>),
    /// Our 2xx waits for its ACK; a BYE follows (RFC 3261 §15), with this Reason.
    Unacknowledged { tx: ServerTx, dialog: Dialog, reason: String },
    /// A BYE is out, or came.
    Ended(Dialog),
}
