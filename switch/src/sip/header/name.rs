//! Header names: found without allocation, compared without regard to case.

use std::hash::{Hash, Hasher};

/// Declares the names once: variant and customary spelling.
macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// The header names the switch distinguishes; compact forms read as their long ones. Names compare without regard to case, and
        /// `Other` equals the variant of the same name.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "each is its own name")]
        pub enum Name {
            $($name,)*
            Other(String),
        }

        const KNOWN: &[(&str, Name)] = &[$(($text, Name::$name),)*];

        impl Name {
            /// The long form, in customary case; of an unknown name what was written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Name::$name => $text,)*
                    Name::Other(name) => name,
                }
            }
        }
    };
}

names! {
    Accept = "Accept",
    AcceptContact = "Accept-Contact",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events",
    AnswerMode = "Answer-Mode",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CallId = "Call-ID",
    CallInfo = "Call-Info",
    Contact = "Contact",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    CSeq = "CSeq",
    Date = "Date",
    Diversion = "Diversion",
    ErrorInfo = "Error-Info",
    Event = "Event",
    Expires = "Expires",
    FlowTimer = "Flow-Timer",
    From = "From",
    HistoryInfo = "History-Info",
    Identity = "Identity",
    InReplyTo = "In-Reply-To",
    Join = "Join",
    MaxForwards = "Max-Forwards",
    MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    Organization = "Organization",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    Path = "Path",
    Priority = "Priority",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    Reason = "Reason",
    RecordRoute = "Record-Route",
    ReferSub = "Refer-Sub",
    ReferTo = "Refer-To",
    ReferredBy = "Referred-By",
    RejectContact = "Reject-Contact",
    RemotePartyId = "Remote-Party-ID",
    Replaces = "Replaces",
    ReplyTo = "Reply-To",
    RequestDisposition = "Request-Disposition",
    Require = "Require",
    RetryAfter = "Retry-After",
    Route = "Route",
    RSeq = "RSeq",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires",
    SipEtag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    Subject = "Subject",
    SubscriptionState = "Subscription-State",
    Supported = "Supported",
    TargetDialog = "Target-Dialog",
    Timestamp = "Timestamp",
    To = "To",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    UserToUser = "User-to-User",
    Via = "Via",
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
}

/// Open addressing over [`KNOWN`]: 0 is an empty slot, else the index plus one.
static SLOTS: [u8; 256] = slots();

const _: () = assert!(KNOWN.len() < 128, "an index fits a byte, and half the slots stay empty");

const fn slots() -> [u8; 256] {
    let mut slots = [0; 256];
    let mut index = 0;
    while index < KNOWN.len() {
        let mut slot = slot(KNOWN[index].0.as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % slots.len();
        }
        index += 1;
        slots[slot] = index as u8;
    }
    slots
}

/// Length, first, middle and last letter tell the known names apart well enough.
const fn slot(name: &[u8]) -> usize {
    let (first, middle, last) = (name[0] | 0x20, name[name.len() / 2] | 0x20, name[name.len() - 1] | 0x20);
    (name.len() * 7 + first as usize * 5 + middle as usize * 31 + last as usize * 3) % 256
}

impl Name {
    /// Long or compact form, any case; a token, which is ASCII.
    pub fn from_token(token: &[u8]) -> Name {
        match token {
            [] => return Name::Other(String::new()),
            [letter] => {
                if let Some(name) = Name::from_compact(*letter) {
                    return name;
                }
            }
            _ => {}
        }
        let mut slot = slot(token);
        while let Some(index) = usize::from(SLOTS[slot]).checked_sub(1) {
            let (text, name) = &KNOWN[index];
            if text.as_bytes().eq_ignore_ascii_case(token) {
                return name.clone();
            }
            slot = (slot + 1) % SLOTS.len();
        }
        Name::Other(String::from_utf8_lossy(token).into_owned())
    }

    /// The compact forms registered with IANA.
    fn from_compact(letter: u8) -> Option<Name> {
        Some(match letter.to_ascii_lowercase() {
            b'a' => Name::AcceptContact,
            b'b' => Name::ReferredBy,
            b'c' => Name::ContentType,
            b'd' => Name::RequestDisposition,
            b'e' => Name::ContentEncoding,
            b'f' => Name::From,
            b'i' => Name::CallId,
            b'j' => Name::RejectContact,
            b'k' => Name::Supported,
            b'l' => Name::ContentLength,
            b'm' => Name::Contact,
            b'o' => Name::Event,
            b'r' => Name::ReferTo,
            b's' => Name::Subject,
            b't' => Name::To,
            b'u' => Name::AllowEvents,
            b'v' => Name::Via,
            b'x' => Name::SessionExpires,
            b'y' => Name::Identity,
            _ => return None,
        })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Other(_), _) | (_, Name::Other(_)) => self.as_str().eq_ignore_ascii_case(other.as_str()),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (text, name) in KNOWN {
            for spelling in [text.to_string(), text.to_ascii_lowercase(), text.to_ascii_uppercase()] {
                let found = Name::from_token(spelling.as_bytes());
                assert_eq!(found.as_str(), *text);
                assert_eq!(&found, name);
            }
        }
    }

    #[test]
    fn compact_forms_read_as_long_ones() {
        for (compact, long) in
            [("v", "Via"), ("F", "From"), ("t", "To"), ("I", "Call-ID"), ("m", "Contact"), ("l", "Content-Length")]
        {
            assert_eq!(Name::from_token(compact.as_bytes()).as_str(), long);
        }
        assert_eq!(Name::from_token(b"z"), Name::Other("Z".to_owned()));
    }

    #[test]
    fn other_names_compare_without_case_and_equal_the_known() {
        assert_eq!(Name::from_token(b"X-Thing"), Name::Other("x-thing".to_owned()));
        assert_eq!(Name::Other("refer-to".to_owned()), Name::ReferTo);
        assert_ne!(Name::Other("Refer".to_owned()), Name::ReferTo);
    }
}
