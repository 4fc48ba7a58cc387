//! That a call was sent on, by whom and why: Diversion (RFC 5806), which gateways and telephones know, and History-Info (RFC 7044), which is the standard. Each tells what
//! the other does, in the words of RFC 7544.

use super::header::{Address, Headers, Name};
use super::uri::{Params, Uri, unescape};

/// The most values of either header that are read: a call that was sent on more often has gone astray anyway.
const MAX_READ: usize = 32;

/// One who has sent a call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Whom the call was for.
    pub by: Address,
    /// Why it went elsewhere.
    pub reason: Reason,
    /// How often it was sent on up to here since the one before: more than once where some of those who did are not named.
    pub counter: u32,
}

/// Declares the reasons once: variant, the word of RFC 5806 §4, the cause of RFC 7544 §6.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $word:literal, $cause:literal;)*) => {
        /// Why a call was sent on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// All of them; of several with one cause the first is what the cause is read as.
            pub const ALL: &[Reason] = &[$(Reason::$reason,)*];

            /// In Diversion.
            pub fn word(self) -> &'static str {
                match self {
                    $(Reason::$reason => $word,)*
                }
            }

            /// In the URI of whom it went to, in History-Info (RFC 4458).
            pub fn cause(self) -> u16 {
                match self {
                    $(Reason::$reason => $cause,)*
                }
            }
        }
    };
}

reasons! {
    /// Nobody has said.
    Unknown = "unknown", 404;
    /// Every call is.
    Unconditional = "unconditional", 302;
    /// He, or all his telephones, were busy.
    UserBusy = "user-busy", 486;
    /// He did not answer.
    NoAnswer = "no-answer", 408;
    /// He did so himself, with this call.
    Deflection = "deflection", 480;
    /// None of his telephones could be reached.
    Unavailable = "unavailable", 503;
    /// He is not to be disturbed.
    DoNotDisturb = "do-not-disturb", 404;
    /// He is looked for elsewhere.
    FollowMe = "follow-me", 404;
}

impl Reason {
    /// Read without regard to case; a word that is not known says nothing.
    pub fn from_word(word: &str) -> Reason {
        Reason::ALL.iter().copied().find(|reason| reason.word().eq_ignore_ascii_case(word)).unwrap_or(Reason::Unknown)
    }

    fn from_cause(cause: &str) -> Reason {
        match cause.parse() {
            // Once it rang, or before (RFC 7544 §5.2).
            Ok(487) => Reason::Deflection,
            Ok(cause) => Reason::ALL.iter().copied().find(|reason| reason.cause() == cause).unwrap_or(Reason::Unknown),
            Err(_) => Reason::Unknown,
        }
    }

    /// The response that made it be sent on, where it was one (RFC 7044 §10.2).
    fn response(self) -> Option<u16> {
        match self {
            Reason::UserBusy => Some(486),
            Reason::NoAnswer => Some(408),
            Reason::Deflection => Some(302),
            _ => None,
        }
    }
}

/// Those who have sent on what a message is about, the first one first; what is malformed is as if it were not there. Where both headers tell, the one that
/// names more (RFC 7544 §4.1: the other has met somebody who did not know it).
pub fn read(headers: &Headers) -> Vec<Diversion> {
    let (diversion, history) = (read_diversion(headers), read_history(headers));
    if history.len() > diversion.len() { history } else { diversion }
}

/// RFC 5806 §4: the last one first.
fn read_diversion(headers: &Headers) -> Vec<Diversion> {
    let read = |value| {
        let by = Address::parse(value).ok()?;
        let reason = by.params.value("reason").map_or(Reason::Unknown, Reason::from_word);
        let counter = by.params.value("counter").and_then(|counter| counter.parse().ok()).unwrap_or(1).max(1);
        Some(Diversion { by: Address { params: Params::default(), ..by }, reason, counter })
    };
    let mut all: Vec<_> = headers.values(&Name::Diversion).take(MAX_READ).filter_map(read).collect();
    all.reverse();
    all
}

/// RFC 7044 §5: an entry for each target, of which those that another was made of by a mapping (`mp`, or a cause in its URI) have sent the call on.
fn read_history(headers: &Headers) -> Vec<Diversion> {
    let entries = headers.values(&Name::HistoryInfo).take(MAX_READ);
    let entries: Vec<Address> = entries.filter_map(|value| Address::parse(value).ok()).collect();
    let by = |at: usize| {
        let entry = &entries[at];
        let named = |index: &str| entries[..at].iter().rposition(|other| other.params.value("index") == Some(index));
        let mapped = entry.params.value("mp").and_then(named);
        let cause = entry.uri.params.value("cause");
        let before = &entries[mapped.or(cause.and(at.checked_sub(1)))?];
        let response = before.uri.headers.as_deref().and_then(response_of);
        let reason = cause.or(response.as_deref()).map_or(Reason::Unknown, Reason::from_cause);
        let uri = Uri { headers: None, params: Params::default(), ..before.uri.clone() };
        Some(Diversion { by: Address { display: before.display.clone(), ..Address::new(uri) }, reason, counter: 1 })
    };
    (0..entries.len()).filter_map(by).collect()
}

/// The response among the headers of an entry's URI: `Reason=SIP%3Bcause%3D486`.
fn response_of(headers: &str) -> Option<String> {
    let mut fields = headers.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(name, value)| name.eq_ignore_ascii_case("Reason") && value.starts_with("SIP"))?;
    let value = unescape(value).ok()?;
    let (_, cause) = value.split_once("cause=")?;
    let end = cause.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(cause.len());
    // A redirection says who is to be asked instead, and not why.
    Some(cause[..end].to_owned()).filter(|cause| cause != "302")
}

/// Says in a request for `target` who has sent it there, the first one first.
pub fn write(headers: &mut Headers, diversions: &[Diversion], target: &Uri) {
    for diversion in diversions.iter().rev() {
        let mut by = diversion.by.clone();
        by.params.set("reason", Some(diversion.reason.word().into()));
        if diversion.counter > 1 {
            by.params.set("counter", Some(diversion.counter.to_string().into()));
        }
        headers.push(Name::Diversion, by.to_string());
    }
    let mut index = "1".to_owned();
    let mut cause = None;
    for (at, diversion) in diversions.iter().enumerate() {
        let mut entry = Address::new(diversion.by.uri.clone());
        entry.uri.headers = diversion.reason.response().map(|status| format!("Reason=SIP%3Bcause%3D{status}").into());
        push_entry(headers, entry, &mut index, at, cause);
        cause = Some(diversion.reason.cause());
    }
    if !diversions.is_empty() {
        push_entry(headers, Address::new(target.clone()), &mut index, diversions.len(), cause);
    }
}

/// An entry of its own, mapped from the one before.
fn push_entry(headers: &mut Headers, mut entry: Address, index: &mut String, at: usize, cause: Option<u16>) {
    entry.uri.params.remove("cause");
    if let Some(cause) = cause {
        entry.uri.params.set("cause", Some(cause.to_string().into()));
    }
    let before = index.clone();
    if at > 0 {
        index.push_str(".1");
    }
    entry.params.set("index", Some(index.as_str().into()));
    if at > 0 {
        entry.params.set("mp", Some(before.into()));
    }
    headers.push(Name::HistoryInfo, entry.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(Name, &'static str)]) -> Headers {
        let mut headers = Headers::default();
        lines.iter().for_each(|(name, value)| headers.push(name.clone(), *value));
        headers
    }

    fn told(diversions: &[Diversion]) -> Vec<(String, Reason, u32)> {
        diversions.iter().map(|one| (one.by.uri.to_string(), one.reason, one.counter)).collect()
    }

    #[test]
    fn rfc_5806_the_last_who_sent_a_call_on_stands_first() {
        let read = read(&headers(&[
            (Name::Diversion, "\"C, the third\" <sip:c@example.com>;reason=user-busy;counter=1;privacy=off"),
            (Name::Diversion, "<sip:b@example.com>;reason=\"no-answer\";counter=2, <tel:+1555>;reason=weather"),
        ]));
        let (one, a, b) = (Reason::Unknown, Reason::NoAnswer, Reason::UserBusy);
        assert_eq!(
            told(&read),
            [("tel:+1555".into(), one, 1), ("sip:b@example.com".into(), a, 2), ("sip:c@example.com".into(), b, 1)]
        );
        assert_eq!(read[2].by.display.as_deref(), Some("C, the third"));
    }

    #[test]
    fn rfc_7044_an_entry_that_was_mapped_names_who_was_there_before() {
        // Two targets of one user (rc) are no diversion; causes by RFC 4458, by Reason, and none.
        let read = read(&headers(&[(
            Name::HistoryInfo,
            "<sip:b@example.com>;index=1, <sip:b@10.0.0.2?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%22>;index=1.1;rc=1, \
             <sip:c@example.com;cause=408?Reason=SIP%3Bcause%3D302>;index=1.2;mp=1, <sip:d@example.com>;index=1.2.1;mp=1.2, \
             <sip:e@example.com>;index=1.3;mp=1.1",
        )]));
        assert_eq!(
            told(&read),
            [
                ("sip:b@example.com".into(), Reason::NoAnswer, 1),
                ("sip:c@example.com".into(), Reason::Unknown, 1),
                ("sip:b@10.0.0.2".into(), Reason::UserBusy, 1)
            ]
        );
    }

    #[test]
    fn what_is_malformed_or_too_much_is_left_out() {
        let (diversion, history) = (Name::Diversion, Name::HistoryInfo);
        for value in ["", "<sip:b@example.com", ",,", "<sip:@>;reason=x", "\"a\""] {
            assert!(read(&headers(&[(diversion.clone(), value), (history.clone(), value)])).is_empty(), "{value}");
        }
        // Nobody can be before the first, and an index names only what stands before it.
        for value in ["<sip:b@example.com;cause=302>;index=1", "<sip:b@example.com>;index=1;mp=1"] {
            assert!(read(&headers(&[(history.clone(), value)])).is_empty(), "{value}");
        }
        let many = "<sip:b@example.com>, ".repeat(1000).leak();
        assert_eq!(read(&headers(&[(diversion, many.trim_end_matches(", "))])).len(), MAX_READ);
    }

    #[test]
    fn each_header_tells_what_the_other_does() {
        let by = |text: &str, reason, counter| {
            let by = Address::parse(text.as_bytes()).unwrap();
            Diversion { by, reason, counter }
        };
        let all = [
            by("\"B\" <sip:502@switch.local>", Reason::UserBusy, 1),
            by("<sip:503@switch.local>", Reason::Unconditional, 1),
        ];
        let mut written = Headers::default();
        write(&mut written, &all, &Uri::parse("sip:504@switch.local").unwrap());
        let lines: Vec<_> =
            written.iter().map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect();
        let line = |name: &Name, value: &str| (name.clone(), value.to_owned());
        assert_eq!(
            lines,
            [
                line(&Name::Diversion, "<sip:503@switch.local>;reason=unconditional"),
                line(&Name::Diversion, "B <sip:502@switch.local>;reason=user-busy"),
                line(&Name::HistoryInfo, "<sip:502@switch.local?Reason=SIP%3Bcause%3D486>;index=1"),
                line(&Name::HistoryInfo, "<sip:503@switch.local;cause=486>;index=1.1;mp=1"),
                line(&Name::HistoryInfo, "<sip:504@switch.local;cause=302>;index=1.1.1;mp=1.1"),
            ]
        );
        assert_eq!(read(&written), all);
        written.remove(&Name::Diversion);
        assert_eq!(told(&read(&written)), told(&all));
        let mut nobody = Headers::default();
        write(&mut nobody, &[], &Uri::parse("sip:504@switch.local").unwrap());
        assert!(nobody.is_empty());
    }

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.word()), *reason);
            let cause = Reason::from_cause(&reason.cause().to_string());
            assert!(cause == *reason || (reason.cause() == 404 && cause == Reason::Unknown), "{reason:?}");
        }
        assert_eq!((Reason::from_word("User-Busy"), Reason::from_cause("487")), (Reason::UserBusy, Reason::Deflection));
    }
}
