//! The stream: RFC 3261 §18.3, RFC 5626 §4.4.1.

use super::*;

/// All frames of a stream that comes in pieces of this size.
fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    frames
}

fn body_of(frame: &Frame) -> &[u8] {
    match frame {
        Frame::Parsed(Parsed::Message(Message::Request(request))) => &request.body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_are_cut_wherever_the_bytes_are() {
    let first = [&wire(&options_with("Content-Length: 5\n"))[..], b"a\r\nb\r"].concat();
    let stream = [&first[..], b"\r\n\r\n", &first, b"\r\n", &wire(&options_with("l: 0\n"))].concat();
    let whole = frames(&stream, stream.len());
    assert_eq!(whole.len(), 4);
    assert_eq!(body_of(&whole[0]), b"a\r\nb\r");
    assert_eq!(whole[1], Frame::Ping);
    assert_eq!(body_of(&whole[3]), b"");
    for piece in 1..stream.len() {
        assert_eq!(frames(&stream, piece), whole, "in pieces of {piece}");
    }
}

#[test]
fn a_double_line_end_is_a_ping_and_a_single_one_nothing() {
    assert_eq!(frames(b"\r\n", 1), []);
    assert_eq!(frames(b"\r\n\r\n", 1), [Frame::Ping]);
    assert_eq!(frames(b"\r\n\r\n\r\n\r\n\r\n", 3), [Frame::Ping, Frame::Ping]);
    let after_one = [b"\r\n", &wire(&options_with("l: 0\n"))[..]].concat();
    assert_eq!(frames(&after_one, 1).len(), 1);
}

#[test]
fn a_body_may_hold_what_looks_like_a_message() {
    let inner = wire(&options_with("l: 0\n"));
    let outer = [&wire(&options_with(&format!("l: {}\n", inner.len())))[..], &inner].concat();
    let frames = frames(&outer, 7);
    assert_eq!(frames.len(), 1);
    assert_eq!(body_of(&frames[0]), inner);
}

#[test]
fn a_malformed_message_that_says_its_length_leaves_the_stream_whole() {
    let bad = options_with("Nonsense\nl: 3\n\nabc").trim_end_matches('\n').to_owned();
    let stream = [wire(&bad), wire(&options_with("l: 0\n"))].concat();
    let frames = frames(&stream, 10);
    assert!(
        matches!(&frames[0], Frame::Parsed(Parsed::Answerable(request, error)) if error.status.0 == 400 && request.body == "abc")
    );
    assert!(matches!(&frames[1], Frame::Parsed(Parsed::Message(_))));
}

/// The status a stream is lost with.
fn lost(stream: &[u8]) -> u16 {
    let whole = frames(stream, stream.len());
    assert_eq!(frames(stream, 999), whole);
    match &whole[..] {
        [Frame::Lost(Parsed::Answerable(_, error))] => error.status.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_usable_content_length_the_stream_is_lost() {
    for length in ["", "l: x\n", "l: -1\n", "l: 1\nl: 2\n"] {
        assert_eq!(lost(&wire(&options_with(length))), 400, "{length}");
    }
}

#[test]
fn after_it_is_lost_nothing_is_read() {
    let stream = [wire(&options_with("")), wire(&options_with("l: 0\n"))].concat();
    assert_eq!(frames(&stream, 50).len(), 1);
}

#[test]
fn a_message_over_the_limit_is_a_513() {
    assert_eq!(lost(&wire(&options_with("l: 65535\n"))), 513);
    assert_eq!(lost(&wire(&options_with("l: 99999999999999999999999999\n"))), 513);
    assert_eq!(lost(&wire(&options_with(&"X: y\n".repeat(MAX_MESSAGE / 5)))), 513);
}

#[test]
fn a_message_of_just_the_limit_is_taken() {
    let head = wire(&options_with("l: 65000\n"));
    let length = MAX_MESSAGE - head.len();
    let head = wire(&options_with(&format!("l: {length}\n")));
    let stream = [&head[..], &vec![b'x'; length]].concat();
    assert_eq!(stream.len(), MAX_MESSAGE);
    assert_eq!(body_of(&frames(&stream, 4096)[0]).len(), length);
}

#[test]
fn bytes_that_never_end_a_head_are_lost_at_the_limit() {
    let frames = frames(&vec![b'x'; 3 * MAX_MESSAGE], 1000);
    assert!(matches!(&frames[..], [Frame::Lost(Parsed::Unusable(error))] if error.status.0 == 513));
}

#[test]
fn what_is_no_sip_ends_the_stream_and_what_only_looks_odd_does_not() {
    let good = wire(&options_with("l: 0\n"));
    for other in
        ["GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "90000\r\nVia: x\r\nl: 0\r\n\r\n", "\0\r\nl: 0\r\n\r\n"]
    {
        let frames = frames(&[other.as_bytes(), &good].concat(), 20);
        assert!(matches!(&frames[..], [Frame::Lost(Parsed::Unusable(_))]), "{other}: {frames:?}");
    }
    for odd in ["SIP/2.0 4294967301 better not\r\nl: 0\r\n\r\n", "OPTIONS  sip:a@b  SIP/2.0  \r\nl: 0\r\n\r\n"] {
        assert_eq!(frames(&[odd.as_bytes(), &good].concat(), 20).len(), 2, "{odd}");
    }
}

/// All frames of a stream that comes in two pieces.
fn frames_in_two(stream: &[u8], at: usize) -> (Vec<Frame>, bool) {
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    for piece in [&stream[..at], &stream[at..]] {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    (frames, framer.is_idle())
}

#[test]
fn a_stream_cut_in_two_at_any_byte_reads_the_same() {
    let with_body = wire(&options_with("Content-Length: 8\n\na\n\nb"));
    let folded = wire(&options_with("Subject: a\n b\n\tc\nl:\n 0\n"));
    let refused = wire(&options_with("Content-Length: 0\n").replace("1 OPTIONS", "x OPTIONS"));
    let response = wire("SIP/2.0 200 OK\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\nl: 2\n\n\n");
    let lost = wire("NONSENSE\nl: 0\n\n");
    let parts: [&[u8]; 9] =
        [b"\r\n", &with_body, &folded, b"\r\n\r\n", &refused, b"\r\n\r\n\r\n", &response, &folded, &lost];
    let stream = parts.concat();
    let (whole, _) = frames_in_two(&stream, 0);
    assert!(whole.len() > 6, "{}", whole.len());
    for at in 0..=stream.len() {
        assert_eq!(frames_in_two(&stream, at).0, whole, "cut at {at}");
    }
}

#[test]
fn a_framer_tells_at_every_byte_whether_a_message_has_begun() {
    let message = wire(&options_with("Content-Length: 6\n\nab\n"));
    let stream = [b"\r\n", &message[..], b"\r\n\r\n", &message].concat();
    let mut framer = Framer::default();
    let mut frames = 0;
    for (at, byte) in stream.iter().enumerate() {
        framer.push(&[*byte]);
        frames += std::iter::from_fn(|| framer.next_frame()).count();
        let within =
            (2..2 + message.len() - 1).contains(&at) || (2 + message.len() + 4..stream.len() - 1).contains(&at);
        assert_eq!(!framer.is_idle(), within, "after byte {at}");
    }
    assert_eq!(frames, 3, "two messages and a ping");
}
