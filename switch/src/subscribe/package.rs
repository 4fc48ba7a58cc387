//! The event packages there are.

use std::time::Duration;

use crate::sip::header::{Headers, Name};

/// What is said in Allow-Events.
pub(crate) const ALLOW_EVENTS: &str = "dialog, message-summary, presence";

/// An event package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Package {
    /// The calls of a number (RFC 4235).
    Dialog,
    /// Whether somebody can be reached (RFC 3856).
    Presence,
    /// What waits in a mailbox (RFC 3842).
    Summary,
}

impl Package {
    pub(crate) fn from_name(name: &str) -> Option<Package> {
        match name {
            "dialog" => Some(Package::Dialog),
            "presence" => Some(Package::Presence),
            "message-summary" => Some(Package::Summary),
            _ => None,
        }
    }

    /// The type of its documents.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Package::Dialog => "application/dialog-info+xml",
            Package::Presence => "application/pidf+xml",
            Package::Summary => "application/simple-message-summary",
        }
    }

    /// The least between two NOTIFYs, in the long run (RFC 4235 §3.10, RFC 3856 §6.10, RFC 3842 §3.10).
    pub(crate) fn interval(self) -> Duration {
        match self {
            Package::Dialog | Package::Summary => Duration::from_secs(1),
            Package::Presence => Duration::from_secs(5),
        }
    }

    /// Whether who says this of Accept takes what it sends. Nothing said means the package's own (RFC 6665 §3.1.3).
    pub(crate) fn is_accepted(self, headers: &Headers) -> bool {
        accepts(headers, self.media_type())
    }
}

/// Whether a type is among those accepted, or none is named.
pub(crate) fn accepts(headers: &Headers, wanted: &str) -> bool {
    headers.get(&Name::Accept).is_none()
        || [wanted, "application/*", "*/*"].iter().any(|name| headers.lists(&Name::Accept, name))
}
