//! The torture messages of RFC 4475 and RFC 5118, one file each under `tests/torture`, with what its RFC asks of an element that receives it.
//!
//! The files are in the notation of RFC 4475 §2: `<hex>` spells bytes, `<repeat count=N>` repeats, every line ends with CRLF. Where RFC 5118
//! miscounts a body (§4.6, §4.8, §4.9), the file has the true length: those messages are meant to be well formed.

/// A message of the sets.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// `4475` or `5118`.
    pub rfc: u16,
    /// The section that has it.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What is odd about it.
    pub title: &'static str,
    /// What the RFC asks.
    pub asks: Asks,
    text: &'static str,
}

/// What an RFC asks of the element that receives a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It is well formed: any answer but one that says it is not.
    Taken,
    /// One of these answers.
    Refused(&'static [u16]),
    /// One of these answers, once it is known who asks: before that a challenge is as good.
    RefusedOnceKnown(&'static [u16]),
    /// Either: to be liberal and take it, or one of these answers.
    Liberal(&'static [u16]),
    /// No answer: it is a response, and belongs to nothing.
    Dropped,
}

impl Asks {
    /// Whether these answers (final ones, in order) are what is asked. `known`: the sender is trusted.
    pub fn allows(self, answers: &[u16], known: bool) -> bool {
        let taken = |status: u16| ![400, 505, 513].contains(&status);
        match self {
            Asks::Dropped => answers.is_empty(),
            Asks::Taken => !answers.is_empty() && answers.iter().all(|status| taken(*status)),
            Asks::Refused(these) => !answers.is_empty() && answers.iter().all(|status| these.contains(status)),
            Asks::RefusedOnceKnown(_) if !known => answers == [401],
            Asks::RefusedOnceKnown(these) => Asks::Refused(these).allows(answers, known),
            Asks::Liberal(these) => {
                !answers.is_empty() && answers.iter().all(|status| taken(*status) || these.contains(status))
            }
        }
    }

    /// As the table has it.
    pub fn describe(self) -> String {
        let list = |these: &[u16]| these.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
        match self {
            Asks::Taken => "well formed".to_owned(),
            Asks::Refused(these) | Asks::RefusedOnceKnown(these) => list(these),
            Asks::Liberal(these) => format!("well formed, or {}", list(these)),
            Asks::Dropped => "dropped".to_owned(),
        }
    }
}

impl Message {
    /// On the wire.
    pub fn bytes(&self) -> Vec<u8> {
        expand(self.text)
    }

    /// Whether it is an INVITE: what is answered to one depends on who asks.
    pub fn is_invite(&self) -> bool {
        self.text.starts_with("INVITE ")
    }

    /// How many bytes of its body are missing, where it claims more than it has.
    pub fn missing(&self) -> usize {
        let bytes = self.bytes();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("each has an end of its head") + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lengths = head.lines().filter_map(|line| line.split_once(':'));
        let length = lengths.find(|(name, _)| ["content-length", "l"].contains(&name.trim().to_lowercase().as_str()));
        let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0);
        length.saturating_sub(bytes.len() - end)
    }
}

/// Undoes the notation.
fn expand(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, name, attributes, inner, after)) = element(rest) {
        put(&mut bytes, before);
        match name {
            "hex" => {
                let digits: Vec<u32> = inner.chars().filter_map(|digit| digit.to_digit(16)).collect();
                bytes.extend(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8));
            }
            _ => {
                let count = attributes.trim().trim_start_matches("count=").parse().expect("a count");
                put(&mut bytes, &inner.repeat(count));
            }
        }
        rest = after;
    }
    put(&mut bytes, rest);
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.replace('\n', "\r\n").as_bytes());
}

/// The first element of the notation: what is before it, its name, its attributes, what it holds, what is after it.
fn element(text: &str) -> Option<(&str, &str, &str, &str, &str)> {
    let (at, name) =
        ["hex", "repeat"].iter().filter_map(|name| Some((text.find(&format!("<{name}"))?, *name))).min()?;
    let (attributes, rest) = text[at + 1 + name.len()..].split_once('>')?;
    let (inner, after) = rest.split_once(&format!("</{name}>"))?;
    Some((&text[..at], name, attributes, inner, after))
}

macro_rules! messages {
    ($($rfc:literal { $($section:literal $name:literal $asks:expr, $title:literal;)* })*) => {
        /// All of them, in the order of the RFCs.
        pub const MESSAGES: &[Message] = &[$($(
            Message {
                rfc: $rfc,
                section: $section,
                name: $name,
                title: $title,
                asks: $asks,
                text: include_str!(concat!("../torture/rfc", $rfc, "/", $name, ".sip")),
            },
        )*)*];
    };
}

use Asks::{Dropped, Liberal, Refused, RefusedOnceKnown, Taken};

messages! {
    4475 {
    "3.1.1.1" "wsinv" Taken, "A short tortuous INVITE";
    "3.1.1.2" "intmeth" Taken, "A wide range of valid characters";
    "3.1.1.3" "esc01" Taken, "Valid use of the % escaping mechanism";
    "3.1.1.4" "escnull" Taken, "Escaped nulls in URIs";
    "3.1.1.5" "esc02" Taken, "Use of % when it is not an escape";
    "3.1.1.6" "lwsdisp" Taken, "No blank between display name and <";
    "3.1.1.7" "longreq" Taken, "Long values in header fields";
    "3.1.1.8" "dblreq" Taken, "Extra trailing octets in a datagram";
    "3.1.1.9" "semiuri" Taken, "Semicolon-separated parameters in the user part";
    "3.1.1.10" "transports" Taken, "Varied and unknown transport types";
    "3.1.1.11" "mpart01" Taken, "A multipart MIME message";
    "3.1.1.12" "unreason" Dropped, "Unusual reason phrase";
    "3.1.1.13" "noreason" Dropped, "Empty reason phrase";
    "3.1.2.1" "badinv01" Refused(&[400]), "Extraneous header field separators";
    "3.1.2.2" "clerr" Refused(&[400]), "Content-Length larger than the message";
    "3.1.2.3" "ncl" Refused(&[400]), "Negative Content-Length";
    "3.1.2.4" "scalar02" Refused(&[400]), "Request scalar fields with overlarge values";
    "3.1.2.5" "scalarlg" Dropped, "Response scalar fields with overlarge values";
    "3.1.2.6" "quotbal" Refused(&[400]), "Unterminated quoted string in a display name";
    "3.1.2.7" "ltgtruri" Refused(&[400]), "<> enclosing the Request-URI";
    "3.1.2.8" "lwsruri" Refused(&[400]), "Malformed Request-URI: blanks within it";
    "3.1.2.9" "lwsstart" Liberal(&[400]), "Multiple blanks separating the parts of the request line";
    "3.1.2.10" "trws" Liberal(&[400]), "Blanks after the request line";
    "3.1.2.11" "escruri" Liberal(&[400]), "Escaped headers in the Request-URI";
    "3.1.2.12" "baddate" Liberal(&[400]), "Invalid time zone in Date";
    "3.1.2.13" "regbadct" Liberal(&[400]), "Contact that must be in brackets";
    "3.1.2.14" "badaspec" Liberal(&[400]), "Blanks within an addr-spec";
    "3.1.2.15" "baddn" Liberal(&[400]), "Non-token characters in a display name";
    "3.1.2.16" "badvers" Refused(&[505]), "Unknown protocol version";
    "3.1.2.17" "mismatch01" Refused(&[400]), "Start line and CSeq method mismatch";
    "3.1.2.18" "mismatch02" Refused(&[400, 501]), "Unknown method with CSeq method mismatch";
    "3.1.2.19" "bigcode" Dropped, "Overlarge response code";
    "3.2.1" "badbranch" Liberal(&[400]), "Missing transaction identifier";
    "3.3.1" "insuf" Refused(&[400]), "Missing required header fields";
    "3.3.2" "unkscm" Refused(&[416]), "Request-URI with an unknown scheme";
    "3.3.3" "novelsc" Refused(&[416]), "Request-URI with a known but atypical scheme";
    "3.3.4" "unksm2" Liberal(&[400]), "Unknown URI schemes in header fields";
    "3.3.5" "bext01" Refused(&[420]), "Proxy-Require and Require";
    "3.3.6" "invut" RefusedOnceKnown(&[415]), "Unknown Content-Type";
    "3.3.7" "regaut01" Refused(&[401]), "Unknown authorization scheme";
    "3.3.8" "multi01" Refused(&[400]), "Multiple values in single value required fields";
    "3.3.9" "mcl01" Refused(&[400]), "Multiple Content-Length values";
    "3.3.10" "bcast" Dropped, "200 OK response with broadcast Via";
    "3.3.11" "zeromf" Taken, "Max-Forwards of zero, to an endpoint";
    "3.3.12" "cparam01" Taken, "REGISTER with a Contact header parameter";
    "3.3.13" "cparam02" Taken, "REGISTER with a URL parameter";
    "3.3.14" "regescrt" Taken, "REGISTER with a URL escaped header";
    "3.3.15" "sdp01" RefusedOnceKnown(&[406]), "Unacceptable Accept offering";
    "3.4.1" "inv2543" Liberal(&[400]), "INVITE with RFC 2543 syntax";
    }
    5118 {
    "4.1" "ipv6-good" Taken, "Valid message with an IPv6 reference";
    "4.2" "ipv6-bad" Refused(&[400]), "Invalid message with an IPv6 reference";
    "4.3" "port-ambiguous" Taken, "Port ambiguous in a SIP URI";
    "4.4" "port-unambiguous" Taken, "Port unambiguous in a SIP URI";
    "4.5" "via-received-param-with-delim" Taken, "IPv6 reference delimiters in Via, with brackets";
    "4.5" "via-received-param-no-delim" Taken, "IPv6 reference delimiters in Via, without brackets";
    "4.6" "ipv6-in-sdp" Taken, "IPv6 addresses in the SDP body";
    "4.7" "mult-ip-in-header" Taken, "Multiple IP addresses in header fields";
    "4.8" "mult-ip-in-sdp" Taken, "Multiple IP addresses in the SDP body";
    "4.9" "ipv4-mapped-ipv6" Taken, "IPv4-mapped IPv6 addresses";
    "4.10" "ipv6-bug-abnf-3-colons" Taken, "The bug in RFC 3261's grammar: three colons";
    "4.10" "ipv6-correct-abnf-2-colons" Taken, "The same as it is meant: two colons";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_of_rfc_4475_section_2() {
        assert_eq!(expand("a<hex>0D 00\nff</hex>b\n<repeat count=3>xy</repeat>\n"), b"a\r\0\xffb\r\nxyxyxy\r\n");
        assert_eq!(expand("To: <sip:a@b>\n\n<audio>\n"), b"To: <sip:a@b>\r\n\r\n<audio>\r\n");
    }

    #[test]
    fn only_the_message_that_is_about_it_claims_more_than_it_has() {
        let liars: Vec<&str> =
            MESSAGES.iter().filter(|message| message.missing() > 0).map(|message| message.name).collect();
        assert_eq!(liars, ["clerr"]);
    }

    #[test]
    fn the_sets_are_whole() {
        let of = |rfc| MESSAGES.iter().filter(|message| message.rfc == rfc).count();
        assert_eq!((of(4475), of(5118)), (49, 12));
    }
}
