//! What `rsip` reads of a message is what we read of it, wherever both take it. `rsip` takes less: no compact names, no folding, no `tel:`, no IPv6, of several
//! values in a line the first. Messages are made of the choices of the grammar that it knows, from one seed.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::message::HeadersExt;

use super::super::header::{Address, Contacts, Headers};
use super::super::message::{Message, Request, Response};
use super::super::uri::Uri;
use super::super::wire::{Parsed, parse_datagram};

const MESSAGES: usize = 20_000;

struct Choices(ChaCha8Rng);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    /// Mostly the first: of what is seldom, a message has little, so that `rsip` takes many.
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        match self.below(10) {
            0..7 => of[0],
            _ => of[self.below(of.len())],
        }
    }

    fn uri(&mut self) -> String {
        let scheme = self.one(&["sip:", "sip:", "sip:", "sips:"]);
        let user = self.one(&[
            "",
            "501@",
            "+4930123@",
            "a.b-c_d!~*'()@",
            "501:secret@",
            "50%31@",
            "I%20have%20blanks@",
            "%c3%a4@",
            "a;b=c@",
            "a&b=$,@",
        ]);
        let host = self.one(&["example.com", "EXAMPLE.com", "192.0.2.1", "h", "a-b.c-d.example.org", "[2001:db8::1]"]);
        let port = self.one(&["", "", ":5060", ":1", ":65535"]);
        let params = self.one(&[
            "",
            "",
            ";transport=tcp",
            ";transport=UDP",
            ";lr",
            ";user=phone",
            ";maddr=192.0.2.9",
            ";ttl=5",
            ";x",
            ";x=y;z",
            ";method=INVITE",
            ";n%61me=v",
        ]);
        format!("{scheme}{user}{host}{port}{params}")
    }

    fn address(&mut self, params: &str) -> String {
        let uri = self.uri();
        let display = self.one(&[
            "",
            "",
            "Anna ",
            "A B ",
            "\"Anna\" ",
            "\"A, B\" ",
            "\"lt<gt>;,\" ",
            "\"q\\\"q\" ",
            "\"\" ",
            "\"grüße\" ",
        ]);
        let blank = self.one(&["", "", " "]);
        format!("{display}<{uri}>{blank}{params}")
    }

    fn via(&mut self) -> String {
        let transport = self.one(&["UDP", "TCP", "TLS", "WS"]);
        let sent_by = self.one(&["192.0.2.1", "192.0.2.1:5060", "host.example.com", "Host.Example.com:5062"]);
        let branch = self.one(&["z9hG4bK1", "z9hG4bK-a.b*c", "z9hG4bK_%+`'~", "old"]);
        let more =
            self.one(&["", ";rport", ";rport=5062", ";received=192.0.2.7", ";received=192.0.2.7;rport=1", ";x=y"]);
        match self.below(2) {
            0 => format!("SIP/2.0/{transport} {sent_by};branch={branch}{more}"),
            _ => format!("SIP/2.0/{transport} {sent_by}{more};branch={branch}"),
        }
    }

    fn message(&mut self) -> Vec<u8> {
        let method = self.one(&["INVITE", "REGISTER", "OPTIONS", "BYE", "MESSAGE", "SUBSCRIBE", "UPDATE"]);
        let start = match self.below(4) {
            0 => format!("SIP/2.0 {} Whatever it is", self.one(&["100", "180", "200", "302", "486", "503", "603"])),
            _ => format!("{method} {} SIP/2.0", self.uri()),
        };
        let body = self.one(&["", "v=0\r\n", "a\r\n\r\nb", "\0\u{1}\u{7f}", "grüße"]);
        let tag = self.one(&[";tag=1", ";tag=a-b.c*d", ";tag=x;y=z", "; tag=1", ";TAG=1"]);
        let to_tag = self.one(&["", "", ";tag=t"]);
        let mut lines = vec![
            format!("Via: {}", self.via()),
            format!("From: {}", self.address(tag)),
            format!("To: {}", self.address(to_tag)),
            format!(
                "Call-ID: {}",
                self.one(&["x@y", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "a!b%c*d+e", "(<>:\\\"/[]?{})@x"])
            ),
            format!("CSeq: {}{}{method}", self.one(&["1", "0", "0009", "2147483647"]), self.one(&[" ", " ", "  "])),
            format!("Content-Length: {}", body.len()),
        ];
        if self.below(2) == 0 {
            let params = self.one(&["", ";expires=60", ";q=0.5", ";q=0.5;expires=0"]);
            lines.push(format!("Contact: {}", self.address(params)));
        }
        for _ in 0..self.below(3) {
            lines.push(
                self.one(&[
                    "Max-Forwards: 70",
                    "Subject: a: b",
                    "X-Unknown: ;;,,;",
                    "User-Agent: x/1 (y)",
                    "Supported: 100rel, timer",
                    "Via: SIP/2.0/UDP below;branch=z9hG4bK2",
                ])
                .to_owned(),
            );
        }
        let (from, to) = (self.below(lines.len()), self.below(lines.len()));
        lines.swap(from, to);
        for line in &mut lines {
            match self.below(12) {
                0 => *line = line.replacen(": ", ":", 1),
                1 => *line = line.replacen(": ", ":  ", 1),
                2 => {
                    let at = line.find(':').unwrap_or(0);
                    line[..at].make_ascii_lowercase();
                }
                _ => {}
            }
        }
        format!("{start}\r\n{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
    }
}

/// What is compared, by name.
type Reading = BTreeMap<&'static str, String>;

/// A URI of one side in the writing of ours, so that what is compared is what was understood, and not how it is written.
fn normal(uri: &str) -> String {
    Uri::parse(uri).map_or_else(|error| format!("{uri} ({error})"), |uri| shown(&uri))
}

/// `rsip` writes the transports it knows in capitals; they compare without regard to case (RFC 3261 §19.1.4).
fn shown(uri: &Uri) -> String {
    let mut uri = uri.clone();
    if let Some(transport) = uri.params.value("transport").map(str::to_ascii_lowercase) {
        uri.params.set("transport", Some(transport.into()));
    }
    uri.to_string()
}

fn ours(message: &Message) -> Reading {
    let mut reading = Reading::new();
    let (headers, body): (&Headers, &Bytes) = match message {
        Message::Request(Request { method, uri, headers, body }) => {
            reading.insert("method", method.to_string());
            reading.insert("Request-URI", shown(uri));
            (headers, body)
        }
        Message::Response(Response { status, headers, body, .. }) => {
            reading.insert("status", status.0.to_string());
            (headers, body)
        }
    };
    let via = headers.via().unwrap();
    reading.insert("branch", via.branch().unwrap_or_default().to_owned());
    reading.insert("transport", via.transport.to_string());
    reading.insert("sent-by", format!("{}:{:?}", via.host, via.port));
    let mut address = |name: &'static str, tag: &'static str, address: &Address| {
        reading.insert(name, shown(&address.uri));
        reading.insert(tag, address.tag().unwrap_or_default().to_owned());
    };
    address("From", "From tag", headers.from().unwrap());
    address("To", "To tag", headers.to().unwrap());
    reading.insert("Call-ID", headers.call_id().unwrap().to_owned());
    let cseq = headers.cseq().unwrap();
    reading.insert("CSeq", format!("{} {}", cseq.number, cseq.method));
    if let Ok(Contacts::List(list)) = headers.contacts()
        && let Some(contact) = list.first()
    {
        reading.insert("Contact", shown(&contact.uri));
    }
    reading.insert("body", String::from_utf8_lossy(body).into_owned());
    reading
}

fn theirs(message: &rsip::SipMessage) -> Result<Reading, rsip::Error> {
    let mut reading = Reading::new();
    match message {
        rsip::SipMessage::Request(request) => {
            reading.insert("method", request.method.to_string());
            reading.insert("Request-URI", normal(&request.uri.to_string()));
        }
        rsip::SipMessage::Response(response) => {
            reading.insert("status", response.status_code.code().to_string());
        }
    }
    let via = message.via_header()?.typed()?;
    reading.insert("branch", via.branch().map(ToString::to_string).unwrap_or_default());
    reading.insert("transport", via.transport.to_string().to_uppercase());
    let port = via.uri.host_with_port.port.as_ref().map(|port| *port.value());
    reading.insert("sent-by", format!("{}:{port:?}", via.uri.host().to_string().to_lowercase()));
    let (from, to) = (message.from_header()?.typed()?, message.to_header()?.typed()?);
    reading.insert("From", normal(&from.uri.to_string()));
    reading.insert("From tag", from.tag().map(ToString::to_string).unwrap_or_default());
    reading.insert("To", normal(&to.uri.to_string()));
    reading.insert("To tag", to.tag().map(ToString::to_string).unwrap_or_default());
    reading.insert("Call-ID", message.call_id_header()?.value().to_owned());
    let cseq = message.cseq_header()?.typed()?;
    reading.insert("CSeq", format!("{} {}", cseq.seq, cseq.method));
    if let Ok(contact) = message.contact_header() {
        reading.insert("Contact", normal(&contact.typed()?.uri.to_string()));
    }
    reading.insert("body", String::from_utf8_lossy(message.body()).into_owned());
    Ok(reading)
}

#[test]
fn both_read_the_same_of_what_both_take() {
    let mut choices = Choices(ChaCha8Rng::seed_from_u64(1));
    let (mut compared, mut different) = (0, BTreeMap::new());
    for _ in 0..MESSAGES {
        let bytes = choices.message();
        let Parsed::Message(message) = parse_datagram(&Bytes::from(bytes.clone())) else {
            panic!("we take all of these: {}", String::from_utf8_lossy(&bytes));
        };
        let Ok(theirs) = rsip::SipMessage::try_from(&bytes[..]).and_then(|message| theirs(&message)) else { continue };
        compared += 1;
        for (what, read) in ours(&message) {
            let other = theirs.get(what).cloned().unwrap_or_else(|| "nothing".to_owned());
            if other != read {
                different.entry((what, read, other)).or_insert_with(|| String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    assert!(compared > MESSAGES / 4, "only {compared} of {MESSAGES} were taken by both");
    let mut first: Vec<_> = different.iter().collect();
    first.dedup_by_key(|((what, ..), _)| *what);
    assert!(different.is_empty(), "{} differences: {first:#?}", different.len());
}
