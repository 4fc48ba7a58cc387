//! Whole messages: the torture sets of the RFCs, limits, framing, properties.

mod framing;
mod hostile;
mod ipv6;
mod properties;
mod syntax;
mod torture;

use super::*;
use crate::sip::message::{Request, Response};

/// Text as in the RFCs, its lines made to end with CRLF, `\xHH` standing for a byte.
fn wire(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start_matches('\n');
    while let Some(at) = rest.find("\\x").filter(|at| rest.len() >= at + 4) {
        let byte = u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap();
        bytes.extend_from_slice(rest[..at].replace('\n', "\r\n").as_bytes());
        bytes.push(byte);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.replace('\n', "\r\n").as_bytes());
    bytes.into()
}

fn parse(text: &str) -> Parsed {
    parse_datagram(&wire(text))
}

fn request(text: &str) -> Request {
    match parse(text) {
        Parsed::Message(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

fn response(text: &str) -> Response {
    match parse(text) {
        Parsed::Message(Message::Response(response)) => response,
        other => panic!("no response: {other:?}"),
    }
}

/// What is answered to a request that can be answered.
fn answered(text: &str) -> u16 {
    match parse(text) {
        Parsed::Answerable(_, error) => error.status.0,
        other => panic!("not answerable: {other:?}"),
    }
}

fn is_unusable(text: &str) -> bool {
    matches!(parse(text), Parsed::Unusable(_))
}

/// An OPTIONS with these lines added.
fn options_with(lines: &str) -> String {
    format!(
        "OPTIONS sip:501@switch.local SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1;rport
From: \"A\" <sip:a@b>;tag=1
To: <sip:501@switch.local>
Call-ID: x@y
CSeq: 1 OPTIONS
{lines}
"
    )
}
