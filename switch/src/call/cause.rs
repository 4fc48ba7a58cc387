//! Why calls fail and end: the words of SIP, of the ISDN (Q.850, for Reason headers, RFC 3326) and of the CAS, side by side.

use cas::control::{Cause, Refusal, RefusalCode};

use crate::sip::message::{Response, Status};

/// Why a party could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) cause: Cause,
}

impl Failure {
    /// With the status that stands for the cause.
    pub(crate) fn new(cause: Cause) -> Failure {
        Failure { status: Status(words(cause).0), cause }
    }

    /// What a phone's final answer means for the caller.
    pub(crate) fn from_response(response: &Response) -> Failure {
        let status = response.status;
        let cause = match status.0 {
            486 | 600 => Cause::Busy,
            403 | 603 | 607 | 608 => Cause::Declined,
            404 | 410 | 484 | 604 => Cause::NoRoute,
            408 | 480 | 487 => Cause::NoAnswer,
            415 | 488 | 606 => Cause::Incompatible,
            _ => Cause::Failed,
        };
        match status.0 {
            // Where it would send the caller is not passed on: its own phone might follow without asking.
            300..=399 => Failure { status: Status(480), cause: Cause::Declined },
            // The phone has no flow left (RFC 5626 §7): to the caller it is not there.
            430 => Failure::new(Cause::NotRegistered),
            // What says that a server is full, or wants credentials, concerns us and not the caller (RFC 3261 §16.7 6).
            401 | 407 | 487 | 503 => Failure::new(cause),
            _ => Failure { status, cause },
        }
    }

    /// Which of several answers tells the caller most: less is better (RFC 3261 §16.7 6).
    pub(crate) fn rank(self) -> u16 {
        match self.status.0 {
            status @ 600.. => status - 600,
            486 => 100,
            408 => 900,
            status => status,
        }
    }

    /// What a client is told of its make-call.
    pub(crate) fn refusal(self, whose: Whose) -> Refusal {
        let code = match self.cause {
            Cause::Busy => RefusalCode::Busy,
            Cause::NoAnswer => RefusalCode::NoAnswer,
            Cause::NoRoute | Cause::Anonymous => RefusalCode::NoRoute,
            Cause::NotRegistered => RefusalCode::NotRegistered,
            Cause::Overloaded | Cause::Shutdown => RefusalCode::Overloaded,
            Cause::Normal
            | Cause::Cancelled
            | Cause::Forwarded
            | Cause::Transferred
            | Cause::Parked
            | Cause::NothingThere => RefusalCode::Gone,
            Cause::AnsweredElsewhere => RefusalCode::Conflict,
            Cause::Declined | Cause::Loop | Cause::Incompatible | Cause::Vanished | Cause::Failed => {
                RefusalCode::Declined
            }
        };
        Refusal { code, text: format!("{} ({})", sentence(self.cause, whose), self.status.0).into() }
    }
}

/// Whose phone a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The caller's own, which a make-call rings first.
    Own,
    /// That of whom he calls.
    Far,
}

/// The value of a Reason header.
pub(crate) fn reason(cause: Cause) -> String {
    let (_, q850, text) = words(cause);
    match cause {
        // RFC 3326 §3.1's own example: the phone does not count it as missed.
        Cause::AnsweredElsewhere => "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned(),
        _ => format!("Q.850;cause={q850};text=\"{text}\""),
    }
}

/// The SIP status, the Q.850 cause and its text.
fn words(cause: Cause) -> (u16, u8, &'static str) {
    match cause {
        Cause::Normal => (487, 16, "Normal call clearing"),
        Cause::Cancelled => (487, 16, "Cancelled by the caller"),
        Cause::AnsweredElsewhere => (487, 26, "Answered elsewhere"),
        Cause::Forwarded => (487, 16, "Forwarded"),
        Cause::Transferred => (487, 16, "Transferred"),
        Cause::Parked => (487, 16, "Parked"),
        // RFC 3398 §8.2.6.1: an exchange routing error.
        Cause::Loop => (482, 25, "Call forwarded in a circle"),
        // Nobody is there at this number now, which others get as "unallocated".
        Cause::NothingThere => (404, 1, "Nothing is there"),
        // There is no route to nowhere.
        Cause::Anonymous => (404, 3, "The last caller gave no number"),
        Cause::Busy => (486, 17, "User busy"),
        Cause::NoAnswer => (480, 19, "No answer from user"),
        Cause::Declined => (603, 21, "Call rejected"),
        Cause::NoRoute => (404, 1, "Unallocated number"),
        Cause::NotRegistered => (480, 20, "Subscriber absent"),
        Cause::Overloaded => (503, 42, "Switch congestion"),
        Cause::Shutdown => (503, 41, "Temporary failure"),
        Cause::Incompatible => (488, 88, "Incompatible destination"),
        Cause::Vanished => (500, 27, "Destination out of order"),
        Cause::Failed => (500, 31, "Normal, unspecified"),
    }
}

fn sentence(cause: Cause, whose: Whose) -> String {
    let phone = match whose {
        Whose::Own => "Your own phone",
        Whose::Far => "The far end",
    };
    match cause {
        Cause::Busy => format!("{phone} is busy"),
        Cause::Declined => format!("{phone} declined the call"),
        Cause::NoAnswer => format!("{phone} did not answer in time"),
        Cause::Failed => format!("{phone} could not take the call"),
        Cause::NotRegistered => format!("{phone} is not registered"),
        Cause::Vanished => format!("{phone} no longer answers"),
        Cause::Normal | Cause::Cancelled => "The call was dropped before it was answered".to_owned(),
        Cause::AnsweredElsewhere => "Somebody else was first: the call was answered elsewhere".to_owned(),
        Cause::Forwarded | Cause::Transferred => "The call was sent on to another number".to_owned(),
        Cause::Parked => "The call was parked".to_owned(),
        Cause::Loop => "The call was sent on in a circle, or too often".to_owned(),
        Cause::NothingThere => "There is nothing there any more".to_owned(),
        Cause::Anonymous => "The last caller gave no number".to_owned(),
        Cause::NoRoute => "The number leads nowhere".to_owned(),
        Cause::Overloaded => "The switch takes no more calls now".to_owned(),
        Cause::Shutdown => "The switch is ending".to_owned(),
        Cause::Incompatible => "The two sides have no codec in common".to_owned(),
    }
}
