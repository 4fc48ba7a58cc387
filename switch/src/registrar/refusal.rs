//! Why a REGISTER is refused, and with what answer.

use super::MIN_EXPIRES;
use crate::sip::header::Name;
use crate::sip::message::{ParseError, Request, Response, Status};

/// A REGISTER that changes nothing.
pub(super) enum Refusal {
    Malformed(ParseError),
    /// A contact's time is below the least (RFC 3261 §10.3 7).
    TooBrief,
    /// Its binding was made by a later request of the same Call-ID (§10.3 6, 7).
    OutOfOrder,
    /// More contacts than one device may have.
    TooMany,
    /// A contact that leads back here: a GRUU or the address-of-record itself (RFC 5627 §5.1).
    Loops,
    /// A Path, and the phone does not say that it knows what that is (RFC 3327 §5.3).
    PathNotKnown,
    /// The first proxy on the way keeps no flow (RFC 5626 §6).
    FirstHopLacksOutbound,
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        Refusal::Malformed(error)
    }
}

impl Refusal {
    pub(super) fn response(self, request: &Request) -> Response {
        let because = |status, text: &str| {
            let mut response = request.response(Status(status));
            text.clone_into(&mut response.reason);
            response
        };
        match self {
            Refusal::Malformed(error) => because(error.status.0, &error.text),
            Refusal::TooBrief => request.response(Status(423)).with(Name::MinExpires, MIN_EXPIRES.to_string()),
            Refusal::OutOfOrder => because(500, "CSeq out of order"),
            Refusal::TooMany => because(403, "Too many contacts"),
            Refusal::Loops => because(403, "A contact that leads back to the registrar"),
            Refusal::PathNotKnown => request.response(Status(420)).with(Name::Unsupported, "path"),
            Refusal::FirstHopLacksOutbound => request.response(Status(439)),
        }
    }
}
