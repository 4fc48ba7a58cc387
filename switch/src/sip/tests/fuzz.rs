//! Fuzz targets. `cargo test` runs each for a bounded number of inputs, most of them spelt from the words of the grammar, and prints the seed of one that
//! fails (`BOLERO_RANDOM_SEED` replays it); the same targets run under a coverage-guided fuzzer with `cargo bolero`.
//!
//! Of any input: nothing panics; what was read is written so that it reads the same; what is written is not longer than what was read by more than
//! its escapes.

use std::net::SocketAddr;

use bolero::check;
use bytes::Bytes;
use media::Codec;

use super::super::digest::Credentials;
use super::super::header::{Address, CSeq, Contacts, Headers, Name, Via};
use super::super::message::{Message, Method, Request, Response};
use super::super::sdp::{self, Direction, Session};
use super::super::uri::{Host, Uri};
use super::super::wire::{Frame, Framer, MAX_MESSAGE, Parsed, parse_datagram};

/// Inputs of one target in `cargo test`.
const INPUTS: usize = 4_000;
/// Words of an input at most.
const LENGTH: usize = 96;

/// What SIP headers and URIs are made of.
const SIP: &[&str] = &[
    "sip:",
    "sips:",
    "tel:",
    "urn:x",
    "SIP/2.0",
    "/UDP ",
    "/TCP ",
    "INVITE",
    "REGISTER",
    "ACK",
    " ",
    "\t",
    "\r\n ",
    "\n",
    "\r",
    "\0",
    ";",
    ",",
    ":",
    "@",
    "<",
    ">",
    "\"",
    "\\",
    "\\\"",
    "=",
    "?",
    "&",
    "%",
    "%00",
    "%41",
    "%zz",
    "%e4",
    "[",
    "]",
    "[::1]",
    "[2001:db8::9:1]",
    ":::",
    "127.0.0.1",
    "255.255.255.255",
    "host",
    "example.com",
    ":5060",
    ":65536",
    "user",
    "+4930",
    "*",
    "tag",
    "branch=",
    "z9hG4bK",
    "lr",
    "q=0.5",
    "expires=",
    "received=",
    "rport",
    "transport=tcp",
    "maddr=",
    "0",
    "1",
    "4294967296",
    "2147483648",
    "99999999999999999999",
    "-1",
    "é",
    "\u{ef80}",
    "lt<gt>;,",
    "Digest ",
    "username=",
    "realm=",
    "nonce=",
    "uri=",
    "response=",
    "qop=auth",
    "cnonce=",
    "nc=00000001",
    "algorithm=",
    "MD5",
    "SHA-256",
    "\"\"",
    "\"a,b\"",
    "\u{7f}",
    "()",
    "'",
    "`",
    "|",
    "^",
    "{",
    "}",
    "#",
];

/// What session descriptions are made of.
const SDP: &[&str] = &[
    "v=0",
    "o=- 1 1 IN IP4 192.0.2.1",
    "s=-",
    "c=IN IP4 192.0.2.1",
    "c=IN IP6 2001:db8::1",
    "c=IN IP4 0.0.0.0",
    "c=IN IP4 224.0.0.1/127/3",
    "c=IN IP4 host",
    "c=",
    "t=0 0",
    "m=audio 4000 RTP/AVP 0 8 101",
    "m=audio 4000 RTP/AVP ",
    "m=audio 0 RTP/AVP 0",
    "m=video 4002 RTP/AVP 31",
    "m=audio 65535/2 RTP/SAVP 9",
    "m=audio 65536 RTP/AVP 0",
    "m=",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:111 opus/48000/2",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:0 ",
    "a=fmtp:101 0-16",
    "a=fmtp:111 useinbandfec=1",
    "a=fmtp:",
    "a=ptime:20",
    "a=ptime:20.0",
    "a=ptime:99999999",
    "a=sendrecv",
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=rtcp:4001",
    "a=rtcp:4001 IN IP4 192.0.2.2",
    "a=rtcp-mux",
    "a=",
    "b=AS:64",
    "k=prompt",
    "z=0 0",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "=",
    ":",
    "/",
    "0",
    "96",
    "127",
    "128",
    "255",
    "-1",
    "18446744073709551616",
    "\0",
    "é",
];

/// Text of a fuzzer's bytes: the low ones are words, the others stand for themselves.
fn spell(bytes: &[u8], words: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in bytes {
        match words.get(usize::from(*byte)) {
            Some(word) => text.extend_from_slice(word.as_bytes()),
            None => text.push(*byte),
        }
    }
    text
}

/// The headers of a message that is as it should be.
const USUAL: &[(&str, &str)] = &[
    ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
    ("From", "<sip:a@example.com>;tag=1"),
    ("To", "<sip:b@example.com>"),
    ("Call-ID", "x@y"),
    ("CSeq", "1 INVITE"),
    ("Max-Forwards", "70"),
    ("Contact", "<sip:a@192.0.2.1>"),
];

/// What may stand beside them.
const OTHERS: &[&str] = &[
    "v",
    "f",
    "t",
    "i",
    "m",
    "l",
    "c",
    "CSeq",
    "Content-Length",
    "Route",
    "Record-Route",
    "Path",
    "Require",
    "Supported",
    "Allow",
    "Expires",
    "Max-Forwards",
    "Authorization",
    "Proxy-Authorization",
    "Contact",
    "Accept",
    "Session-Expires",
    "Min-SE",
    "RAck",
    "RSeq",
    "Reason",
    "X",
    "",
    "a b",
];

/// A message after so many changes: (what is done, where, with what).
type Changes = Vec<(u8, u8, Vec<u8>)>;

fn message(changes: &Changes) -> Vec<u8> {
    let mut start = b"INVITE sip:b@example.com SIP/2.0".to_vec();
    let mut lines: Vec<(String, Vec<u8>)> =
        USUAL.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let mut body = Vec::new();
    for (what, place, bytes) in changes {
        let text = spell(bytes, SIP);
        let at = usize::from(*place) % lines.len().max(1);
        match what % 8 {
            0 => start = text,
            1 => body = text,
            2 => lines.push((OTHERS[usize::from(*place) % OTHERS.len()].to_owned(), text)),
            3 if lines.len() > 1 => drop(lines.remove(at)),
            4 if !lines.is_empty() => lines.push(lines[at].clone()),
            5 if !lines.is_empty() => lines[at].1.extend_from_slice(&text),
            6 if !lines.is_empty() => lines[at].1 = text,
            _ if !lines.is_empty() => lines[at].1.splice(0..0, text).for_each(drop),
            _ => {}
        }
    }
    let mut message = start;
    for (name, value) in lines {
        message.extend_from_slice(format!("\r\n{name}: ").as_bytes());
        message.extend_from_slice(&value);
    }
    message.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
    message.extend_from_slice(&body);
    message
}

fn is_plain(text: &[u8]) -> bool {
    !text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

fn encode(message: &Message) -> Bytes {
    match message {
        Message::Request(request) => request.encode(),
        Message::Response(response) => response.encode(),
    }
}

/// Asks for every type a header may be of, whatever it is called.
fn ask(headers: &Headers) {
    let _ = (headers.via(), headers.reply_via(), headers.from(), headers.to(), headers.call_id(), headers.cseq());
    let _ = (headers.max_forwards(), headers.expires(), headers.contacts());
    for (name, value) in headers.iter() {
        let _ = (headers.tokens(name), headers.addresses(name), Credentials::parse(value));
        check_address(value);
        check_via(value);
        check_cseq(value);
    }
}

fn check_address(value: &[u8]) {
    let Ok(address) = Address::parse(value) else { return };
    let written = address.to_string();
    let again = Address::parse(written.as_bytes()).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again.uri, address.uri, "{written:?}");
    assert_eq!(again.to_string(), written);
    assert!(address.uri.same_as(&again.uri));
    let controls = |text: &str| text.chars().any(char::is_control);
    let awkward = address.display.as_deref().is_some_and(controls)
        || address.params.0.iter().any(|(_, value)| value.as_deref().is_some_and(controls));
    assert!(awkward || again == address, "{written:?}");
    assert!(written.len() <= 3 * value.len() + 16, "{} of {} bytes", written.len(), value.len());
}

fn check_via(value: &[u8]) {
    let Ok(via) = Via::parse(value) else { return };
    let written = via.to_string();
    let again = Via::parse(written.as_bytes()).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    assert_eq!((again.transport, again.host, again.port), (via.transport, via.host, via.port));
    assert!(written.len() <= 3 * value.len() + 16, "{} of {} bytes", written.len(), value.len());
}

fn check_cseq(value: &[u8]) {
    if let Ok(cseq) = CSeq::parse(value) {
        assert_eq!(CSeq::parse(cseq.to_string().as_bytes()), Ok(cseq));
    }
}

fn check_message(bytes: Vec<u8>) {
    let length = bytes.len();
    match parse_datagram(&Bytes::from(bytes)) {
        Parsed::Message(message) => {
            let (headers, text) = match &message {
                Message::Request(Request { headers, .. }) => (headers, ""),
                Message::Response(Response { headers, reason, .. }) => (headers, reason.as_str()),
            };
            ask(headers);
            let written = encode(&message);
            // Compact names are written out, escapes are escaped, and the length is said.
            assert!(written.len() <= 3 * length + 32 * headers.len() + 64, "{} of {length} bytes", written.len());
            let Parsed::Message(again) = parse_datagram(&written) else { panic!("{written:?} cannot be read") };
            // A control is written as a blank, and a blank at the edge of a value is none.
            if headers.iter().all(|(_, value)| is_plain(value)) && is_plain(text.as_bytes()) {
                assert_eq!(again, message, "{written:?}");
            }
        }
        Parsed::Answerable(request, error) => {
            ask(&request.headers);
            assert!([400, 505, 513].contains(&error.status.0));
            assert_ne!(request.method, Method::Ack);
            let response = request.response(error.status);
            assert!(response.headers.reply_via().is_ok());
            assert!(response.encode().len() <= 3 * length + 512, "an answer is no way to make much of little");
        }
        Parsed::KeepAlive | Parsed::Unusable(_) => {}
    }
}

#[test]
fn fuzz_wire_of_any_bytes() {
    check!().with_iterations(INPUTS).with_max_len(512).for_each(|bytes: &[u8]| check_message(bytes.to_vec()));
}

#[test]
fn fuzz_wire_of_words() {
    check!().with_iterations(INPUTS).with_type::<Changes>().for_each(|changes| check_message(message(changes)));
}

#[test]
fn fuzz_framer() {
    check!().with_iterations(INPUTS / 2).with_type::<(Vec<Changes>, Vec<u8>)>().for_each(|(messages, cuts)| {
        let stream: Vec<u8> = messages.iter().take(4).flat_map(message).collect();
        let whole = frames(&stream, &[]);
        assert_eq!(frames(&stream, cuts), whole);
        let lost = whole.iter().position(|frame| matches!(frame, Frame::Lost(_)));
        assert!(lost.is_none_or(|at| at + 1 == whole.len()), "nothing is read after it is lost");
    });
}

/// All frames of a stream in pieces of these sizes, and what is left as the last piece.
fn frames(stream: &[u8], cuts: &[u8]) -> Vec<Frame> {
    let (mut framer, mut found, mut rest) = (Framer::default(), Vec::new(), stream);
    let mut push = |framer: &mut Framer, piece: &[u8]| {
        framer.push(piece);
        while let Some(frame) = framer.next_frame() {
            assert!(found.len() <= stream.len(), "frames without end");
            found.push(frame);
        }
    };
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        push(&mut framer, piece);
        rest = after;
    }
    push(&mut framer, rest);
    found
}

/// A stream that never ends holds no more than a message and what came last, whatever it says.
#[test]
fn fuzz_framer_without_end() {
    check!().with_iterations(INPUTS / 40).with_max_len(LENGTH).for_each(|bytes: &[u8]| {
        let piece = spell(bytes, SIP).repeat(8);
        let mut framer = Framer::default();
        let mut pushed = 0;
        while pushed < 3 * MAX_MESSAGE && !piece.is_empty() {
            framer.push(&piece);
            pushed += piece.len();
            while framer.next_frame().is_some() {}
            assert!(framer.held() <= MAX_MESSAGE + piece.len(), "{} bytes are held", framer.held());
        }
    });
}

#[test]
fn fuzz_uri() {
    check!().with_iterations(INPUTS).with_max_len(LENGTH).for_each(|bytes: &[u8]| {
        let text = spell(bytes, SIP);
        let text = String::from_utf8_lossy(&text);
        for text in
            [text.clone(), format!("sip:{text}").into(), format!("sip:a@h;{text}").into(), format!("tel:{text}").into()]
        {
            let Ok(uri) = Uri::parse(&text) else { continue };
            let written = uri.to_string();
            assert_eq!(Uri::parse(&written).as_ref(), Ok(&uri), "{text:?} is written {written:?}");
            assert!(uri.same_as(&uri));
            assert!(written.is_ascii() && is_plain(written.as_bytes()) && written.len() <= 3 * text.len() + 8);
        }
        if let Ok(host) = Host::parse(&text) {
            assert_eq!(Host::parse(&host.to_string()), Ok(host));
        }
    });
}

#[test]
fn fuzz_typed_headers() {
    check!().with_iterations(INPUTS).with_type::<(u8, Vec<u8>)>().for_each(|(which, bytes)| {
        let text = spell(bytes, SIP);
        let prefixes = ["", "\"", "<sip:", "<sip:a@h>;", "sip:a@h;", "SIP/2.0/UDP h;", "1 ", "a <tel:+1>;"];
        let mut value = prefixes[usize::from(*which) % prefixes.len()].as_bytes().to_vec();
        value.extend_from_slice(&text);
        let mut headers = Headers::default();
        for (name, _) in USUAL {
            headers.push(Name::from_token(name.as_bytes()), value.clone());
        }
        for name in OTHERS {
            headers.push(Name::from_token(name.as_bytes()), value.clone());
        }
        ask(&headers);
        if let Ok(Contacts::List(list)) = headers.contacts() {
            assert!(list.len() <= super::super::header::MAX_VALUES);
        }
    });
}

#[test]
fn fuzz_credentials() {
    check!().with_iterations(INPUTS).with_max_len(LENGTH).for_each(|bytes: &[u8]| {
        let text = spell(bytes, SIP);
        let whole = b"Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"0\", ";
        for value in [&text[..], &[b"Digest ", &text[..]].concat(), &[&whole[..], &text].concat()] {
            if let Ok(Some(credentials)) = Credentials::parse(value) {
                assert!(!credentials.verify("", &Method::Invite), "nobody guesses a hash");
                assert!(!format!("{credentials:?}").contains("response"));
            }
        }
    });
}

#[test]
fn fuzz_sdp() {
    let codecs = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::TelephoneEvent { rate: 8000 }];
    let place: SocketAddr = "192.0.2.9:4000".parse().unwrap();
    check!().with_iterations(INPUTS).with_type::<(bool, Vec<u8>)>().for_each(|(usual, bytes)| {
        let head =
            if *usual { "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" } else { "" };
        // Between any two words a line may end, as mostly it does.
        let mut body = head.as_bytes().to_vec();
        for byte in bytes {
            body.extend_from_slice(&spell(&[*byte], SDP));
            body.extend_from_slice(if byte % 3 == 0 { b"" } else { b"\r\n" });
        }
        let Ok(description) = sdp::parse(&body) else { return };
        assert!(description.lines.len() <= sdp::MAX_MEDIA_LINES);
        for direction in [Direction::SendRecv, Direction::Inactive] {
            let mut session = Session::new(1, place);
            if let Ok(answer) = session.answer(&description, &codecs, &[], Some(20), direction) {
                let read = sdp::parse(answer.as_bytes()).unwrap_or_else(|error| panic!("{answer}: {error}"));
                assert_eq!(read.lines.len(), description.lines.len(), "RFC 3264 §6: as many lines\n{answer}");
                assert!(answer.len() <= body.len() + 128 * description.lines.len() + 512);
            }
            // A stream that is refused, or has no voice, is never offered to another.
            if let Some(audio) = description.audio.as_ref().filter(|audio| has_voice(audio)) {
                let offer = Session::new(2, place).offer(&audio.payloads, &audio.fmtp, audio.ptime, direction);
                let read = sdp::parse(offer.as_bytes()).unwrap_or_else(|error| panic!("{offer}: {error}"));
                assert_eq!(read.audio.map(|audio| audio.payloads.0.len()), Some(audio.payloads.0.len()), "{offer}");
            }
        }
    });
}

fn has_voice(audio: &sdp::Audio) -> bool {
    audio.payloads.0.iter().any(|(_, codec)| !matches!(codec, Codec::TelephoneEvent { .. }))
}

#[test]
fn fuzz_configuration() {
    const WORDS: &[&str] = &[
        "data",
        "domain",
        "digest",
        "udp",
        "tcp",
        "address",
        "ports",
        "listen",
        "level",
        "[sip]\n",
        "[media]\n",
        "[cas]\n",
        "[log]\n",
        " = ",
        "\"",
        "[",
        "]",
        ",",
        "\n",
        "20000-29999",
        "127.0.0.1:5060",
        "[::]:5060",
        "auto",
        "md5",
        "both",
        "0",
        "-1",
        "65536",
        "{",
        "}",
        "\\u0000",
        "'''",
        "#",
        "é",
        ".",
    ];
    check!().with_iterations(INPUTS / 4).with_max_len(LENGTH).for_each(|bytes: &[u8]| {
        let text = spell(bytes, WORDS);
        if let Err(error) = crate::config::Config::parse("fuzz", &String::from_utf8_lossy(&text)) {
            assert!(!error.to_string().is_empty());
        }
    });
}
