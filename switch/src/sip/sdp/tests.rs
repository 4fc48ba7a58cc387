use proptest::prelude::*;

use super::*;

const EVENTS: Codec = Codec::TelephoneEvent { rate: 8000 };

/// A body with an origin, a name and a time around these lines.
fn body(lines: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n{}\r\n", lines.trim().replace('\n', "\r\n"))
}

fn described(lines: &str) -> Description {
    parse(body(lines).as_bytes()).expect("a session description")
}

fn audio(lines: &str) -> Audio {
    described(lines).audio.expect("an audio stream")
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn session() -> Session {
    Session::new(4711, "192.0.2.9:20000".parse().unwrap())
}

fn answer(lines: &str, common: &[Codec], direction: Direction) -> String {
    session().answer(&described(lines), common, &[], None, direction).expect("an answer")
}

#[test]
fn a_telephones_offer_is_read() {
    let audio = audio(
        "c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 111 9 8 0 101 102\na=rtpmap:111 opus/48000/2\na=fmtp:111 useinbandfec=1\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=rtpmap:102 Telephone-Event/48000\na=ptime:20\na=rtcp-mux\n\
         a=candidate:1 1 UDP 1 192.0.2.5 4000 typ host",
    );
    assert_eq!(audio.rtp, address("192.0.2.5:4000"));
    assert_eq!(audio.rtcp, address("192.0.2.5:4001"));
    assert_eq!(audio.direction, Direction::SendRecv);
    let events_48 = Codec::TelephoneEvent { rate: 48000 };
    let payloads =
        [(111, Codec::Opus), (9, Codec::G722), (8, Codec::Pcma), (0, Codec::Pcmu), (101, EVENTS), (102, events_48)];
    assert_eq!(audio.payloads.0, payloads);
    assert_eq!(audio.fmtp, [(Codec::Opus, "useinbandfec=1".to_owned()), (EVENTS, "0-15".to_owned())]);
    assert_eq!(audio.ptime, Some(20));
    assert!(audio.rtcp_mux);
}

#[test]
fn line_ends_blanks_and_foreign_lines_do_not_matter() {
    let text = "v=0 \no=x 99999999999999999999999 1e9 IN IP4 host\ns=\u{e9}\nb=AS:x\nk=clear\nz=what\nc=IN  IP4 192.0.2.5 \t\n\
                m=audio  4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000  \n\n  \n\0\0";
    let audio = parse(text.as_bytes()).expect("readable").audio.expect("audio");
    assert_eq!(audio.rtp, address("192.0.2.5:4000"));
    let mut latin_1 = body("c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 0").into_bytes();
    latin_1.extend(b"i=caf\xe9\r\n");
    assert!(parse(&latin_1).is_ok());
}

#[test]
fn what_is_not_sdp_is_malformed() {
    let connected = "c=IN IP4 192.0.2.5\n";
    for lines in ["hello", "m=audio", "m=audio 70000 RTP/AVP 0", "c=IN\nm=audio 4000 RTP/AVP 0"] {
        let lines = format!("{connected}{lines}");
        assert!(matches!(parse(body(&lines).as_bytes()), Err(SdpError::Malformed(_))), "{lines}");
    }
    for bytes in [&b""[..], b"m=audio 4000 RTP/AVP 0", b"v=1\r\n", b"\xff\xfe"] {
        assert!(matches!(parse(bytes), Err(SdpError::Malformed(_))), "{bytes:?}");
    }
    // RFC 8866 §5.7: a c= line for the session or for each stream.
    assert!(matches!(parse(body("m=audio 4000 RTP/AVP 0").as_bytes()), Err(SdpError::Malformed(_))));
}

#[test]
fn no_more_than_16_streams_of_64_formats_are_read() {
    let lines = |count| format!("c=IN IP4 192.0.2.5\n{}", "m=audio 4000 RTP/AVP 0\n".repeat(count));
    assert_eq!(described(&lines(16)).lines.len(), 16);
    assert!(matches!(parse(body(&lines(17)).as_bytes()), Err(SdpError::Malformed(_))));
    let formats = |count| format!("c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP{}", " 0".repeat(count));
    assert_eq!(audio(&formats(64)).payloads.0, [(0, Codec::Pcmu)]);
    assert!(matches!(parse(body(&formats(65)).as_bytes()), Err(SdpError::Malformed(_))));
}

#[test]
fn the_stream_overrides_the_session() {
    let session = "c=IN IP4 192.0.2.5\na=inactive\n";
    let inherited = audio(&format!("{session}m=audio 4000 RTP/AVP 0"));
    assert_eq!((inherited.rtp, inherited.direction), (address("192.0.2.5:4000"), Direction::Inactive));
    let own = audio(&format!("{session}m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::5\na=recvonly"));
    assert_eq!((own.rtp, own.direction), (address("[2001:db8::5]:4000"), Direction::RecvOnly));
}

#[test]
fn hold_is_read_in_all_its_forms() {
    let held = |connection: &str, attribute: &str| {
        let audio = audio(&format!("c={connection}\nm=audio 4000 RTP/AVP 0\na={attribute}"));
        (audio.rtp.is_some(), audio.direction)
    };
    assert_eq!(held("IN IP4 192.0.2.5", "sendonly"), (true, Direction::SendOnly));
    assert_eq!(held("IN IP4 192.0.2.5", "inactive"), (true, Direction::Inactive));
    // RFC 3264 §8.4: the way of RFC 2543.
    assert_eq!(held("IN IP4 0.0.0.0", "sendrecv"), (false, Direction::SendOnly));
    assert_eq!(held("IN IP6 ::", "sendrecv"), (false, Direction::SendOnly));
    assert_eq!(held("IN IP4 0.0.0.0", "recvonly"), (false, Direction::Inactive));
    let refused = audio("m=audio 0 RTP/AVP 0");
    assert_eq!((refused.rtp, refused.rtcp, refused.direction), (None, None, Direction::Inactive));
}

#[test]
fn rtcp_goes_where_rfc_3605_says() {
    let rtcp =
        |port: u16, value: &str| audio(&format!("c=IN IP4 192.0.2.5\nm=audio {port} RTP/AVP 0\na=rtcp:{value}")).rtcp;
    assert_eq!(rtcp(4000, "5555"), address("192.0.2.5:5555"));
    assert_eq!(rtcp(4000, "5555 IN IP4 192.0.2.6"), address("192.0.2.6:5555"));
    assert_eq!(rtcp(4000, "0"), address("192.0.2.5:4001"));
    assert_eq!(rtcp(65535, "x"), None);
}

#[test]
fn payload_types_are_read_by_their_rtpmap() {
    let payloads =
        |line: &str, maps: &str| audio(&format!("c=IN IP4 192.0.2.5\nm=audio 4 RTP/AVP {line}\n{maps}")).payloads;
    assert_eq!(payloads("97 13 3", "a=rtpmap:97 pcmu/8000/1").0, [(97, Codec::Pcmu)]);
    // RFC 3551 §6: a fixed payload type keeps its meaning, though some telephones give G.722 its real rate.
    assert_eq!(payloads("9", "a=rtpmap:9 G722/16000").0, [(9, Codec::G722)]);
    // One payload type for each codec, the first.
    assert_eq!(payloads("0 97 0", "a=rtpmap:97 PCMU/8000").0, [(0, Codec::Pcmu)]);
    // RFC 7587 §7: Opus is opus/48000/2, nothing else.
    assert_eq!(
        payloads("96 0 300 x", "a=rtpmap:96 opus/48000\na=rtpmap:300 opus/48000/2\na=rtpmap:x").0,
        [(0, Codec::Pcmu)]
    );
}

#[test]
fn of_several_streams_the_first_usable_one_is_chosen() {
    let lines = "c=IN IP4 192.0.2.5\nm=video 5000 RTP/AVP 96\nm=audio 4000 RTP/SAVP 0\nm=audio 0 RTP/AVP 0\n\
                 m=audio 4002 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\nm=audio 4004 rtp/avpf 8";
    let described = described(lines);
    assert_eq!(described.audio.map(|audio| audio.payloads.0), Some(vec![(8, Codec::Pcma)]));
    assert_eq!(described.lines.iter().position(|line| line.chosen), Some(4));
}

#[test]
fn an_offer_without_a_usable_stream_is_not_acceptable() {
    for line in ["m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/SAVP 0", "m=audio 4000 RTP/AVP 3", "a=x"] {
        let offer = described(&format!("c=IN IP4 192.0.2.5\n{line}"));
        assert_eq!(offer.audio, None, "{line}");
        let mut session = session();
        let answer = session.answer(&offer, &[Codec::Pcmu], &[], None, Direction::SendRecv);
        assert!(matches!(answer, Err(SdpError::NotAcceptable(_))), "{line}");
    }
    for connection in ["IN IP4 phone.example.com", "IN IP4 224.2.1.1/127", "IN IP4 255.255.255.255"] {
        let body = body(&format!("c={connection}\nm=audio 4000 RTP/AVP 0"));
        assert!(matches!(parse(body.as_bytes()), Err(SdpError::NotAcceptable(_))), "{connection}");
    }
}

#[test]
fn an_offer_reads_as_rfc_8866_wants_it() {
    let payloads = PayloadMap(vec![(111, Codec::Opus), (0, Codec::Pcmu), (101, EVENTS)]);
    let fmtp = [(Codec::Opus, "useinbandfec=1".to_owned())];
    let offer = session().offer(&payloads, &fmtp, Some(20), Direction::SendRecv);
    let expected = "v=0\r\no=- 4711 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 20000 RTP/AVP 111 0 101\r\n\
                    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n\
                    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(offer, expected);
    let mut ipv6 = Session::new(1, "[2001:db8::9]:20000".parse().unwrap());
    let offer = ipv6.offer(&payloads, &[], None, Direction::SendRecv);
    assert!(offer.contains("o=- 1 1 IN IP6 2001:db8::9\r\n") && offer.contains("c=IN IP6 2001:db8::9\r\n"), "{offer}");
}

#[test]
fn the_version_rises_exactly_when_the_text_changes() {
    let mut session = session();
    let payloads = PayloadMap(vec![(0, Codec::Pcmu)]);
    let mut version = |direction| {
        let text = session.offer(&payloads, &[], None, direction);
        let origin = text.lines().find(|line| line.starts_with("o=")).expect("an origin").to_owned();
        origin.split(' ').skip(1).take(2).map(|word| word.parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(version(Direction::SendRecv), [4711, 1]);
    assert_eq!(version(Direction::SendRecv), [4711, 1]);
    assert_eq!(version(Direction::Inactive), [4711, 2]);
    assert_eq!(version(Direction::SendRecv), [4711, 3]);
}

#[test]
fn an_answer_keeps_the_offers_order_and_payload_types() {
    let offer = "c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 8 100 0 99\na=rtpmap:100 opus/48000/2\na=rtpmap:99 telephone-event/8000";
    let answer = answer(offer, &[EVENTS, Codec::Pcmu, Codec::Opus], Direction::SendRecv);
    assert!(answer.contains("m=audio 20000 RTP/AVP 100 0 99\r\n"), "{answer}");
}

#[test]
fn an_answer_without_a_common_voice_codec_is_refused_and_changes_nothing() {
    let offer = described("c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 8 99\na=rtpmap:99 telephone-event/8000");
    let mut session = session();
    let before = format!("{session:?}");
    let answer = session.answer(&offer, &[Codec::Opus, EVENTS], &[], None, Direction::SendRecv);
    assert!(matches!(answer, Err(SdpError::NotAcceptable(_))));
    assert_eq!(format!("{session:?}"), before);
}

#[test]
fn an_answer_has_the_offers_lines_and_refuses_all_but_the_audio() {
    let offer = "c=IN IP4 192.0.2.5\nm=video 5000 RTP/AVP 96 97\nm=audio 4000 RTP/AVPF 0\nm=application 9 UDP/BFCP *";
    let answer = answer(offer, &[Codec::Pcmu], Direction::SendRecv);
    let lines: Vec<_> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=video 0 RTP/AVP 96 97", "m=audio 20000 RTP/AVPF 0", "m=application 0 UDP/BFCP *"]);
}

/// RFC 3264 §8: no m= line of the session ever goes away or moves.
#[test]
fn an_offer_after_an_answer_keeps_the_lines() {
    let offer = described("c=IN IP4 192.0.2.5\nm=video 5000 RTP/AVP 96\nm=audio 4000 RTP/AVP 0");
    let mut session = session();
    session.answer(&offer, &[Codec::Pcmu], &[], None, Direction::SendRecv).expect("an answer");
    let again = session.offer(&PayloadMap(vec![(8, Codec::Pcma)]), &[], None, Direction::SendRecv);
    let lines: Vec<_> = again.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=video 0 RTP/AVP 96", "m=audio 20000 RTP/AVP 8"]);
}

/// RFC 3264 §6.
#[test]
fn a_stream_offered_with_port_0_is_answered_with_port_0() {
    let answer = answer("c=IN IP4 192.0.2.5\nm=audio 0 RTP/AVP 0 8", &[Codec::Pcmu], Direction::SendRecv);
    assert!(answer.ends_with("m=audio 0 RTP/AVP 0 8\r\n"), "{answer}");
}

/// RFC 3264 §6.1.
#[test]
fn the_direction_of_an_answer_is_legal_for_the_offer() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let legal = [
        ("sendrecv", SendRecv, "sendrecv"),
        ("sendrecv", SendOnly, "sendonly"),
        ("sendonly", SendRecv, "recvonly"),
        ("sendonly", SendOnly, "inactive"),
        ("recvonly", SendRecv, "sendonly"),
        ("recvonly", RecvOnly, "inactive"),
        ("inactive", SendRecv, "inactive"),
        ("sendrecv", Inactive, "inactive"),
    ];
    for (offered, wanted, answered) in legal {
        let offer = format!("c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 0\na={offered}");
        let answer = answer(&offer, &[Codec::Pcmu], wanted);
        assert!(answer.ends_with(&format!("a={answered}\r\n")), "{offered} {wanted:?}: {answer}");
    }
}

/// RFC 3264 §8.3.2.
#[test]
fn a_payload_type_keeps_its_meaning_for_the_session() {
    let mut session = session();
    let offer = |session: &mut Session, payloads: &[(u8, Codec)]| {
        session.offer(&PayloadMap(payloads.to_vec()), &[(Codec::Opus, "x=1".into())], None, Direction::SendRecv);
        session.payloads().0.clone()
    };
    assert_eq!(offer(&mut session, &[(96, Codec::Opus), (97, Codec::Pcmu)]), [(96, Codec::Opus), (0, Codec::Pcmu)]);
    assert_eq!(offer(&mut session, &[(0, Codec::Pcmu), (96, EVENTS)]), [(0, Codec::Pcmu), (97, EVENTS)]);
    assert_eq!(offer(&mut session, &[(111, Codec::Opus), (101, EVENTS)]), [(96, Codec::Opus), (97, EVENTS)]);
    let other = described("c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 120 0\na=rtpmap:120 opus/48000/2");
    session.answer(&other, &[Codec::Opus], &[], None, Direction::SendRecv).expect("an answer");
    assert_eq!(offer(&mut session, &[(96, Codec::Opus)]), [(120, Codec::Opus)]);
}

#[test]
fn parameters_cannot_bring_lines_of_their_own() {
    let payloads = PayloadMap(vec![(96, Codec::Opus), (101, EVENTS)]);
    for evil in ["x\r\na=evil", "x\na=evil", "x\ra=evil", "\0a=evil", "\u{85}a=evil"] {
        let fmtp = [(Codec::Opus, evil.to_owned()), (EVENTS, evil.to_owned())];
        let offer = session().offer(&payloads, &fmtp, None, Direction::SendRecv);
        assert!(!offer.contains("evil"), "{offer:?}");
        assert!(offer.contains("a=fmtp:101 0-16\r\n"), "{offer:?}");
    }
    let read = audio(
        "c=IN IP4 192.0.2.5\nm=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0\x0b-\x1b15",
    );
    assert_eq!(read.fmtp, [(EVENTS, "0-15".to_owned())]);
}

fn any_codecs() -> impl Strategy<Value = Vec<(u8, Codec)>> {
    let all = vec![
        (0, Codec::Pcmu),
        (8, Codec::Pcma),
        (9, Codec::G722),
        (96, Codec::Opus),
        (101, EVENTS),
        (110, Codec::TelephoneEvent { rate: 48000 }),
    ];
    proptest::sample::subsequence(all, 1..=6)
        .prop_shuffle()
        .prop_filter("a voice codec", |codecs| codecs.iter().any(|(_, c)| !matches!(c, Codec::TelephoneEvent { .. })))
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_lines_make_it_panic(lines in "([vcma]=[ -~\\t]{0,40}\r?\n|a=(rtpmap|fmtp|rtcp|ptime):[0-9 /.a-z]{0,20}\n|m=audio [0-9]{1,5} RTP/AVP [0-9 ]{1,12}\n){0,12}") {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.5\r\n{lines}");
        let whole = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nt=0 0\r\n{lines}");
        if let (Ok(theirs), Ok(ours)) = (sdp_types::Session::parse(whole.as_bytes()), parse(text.as_bytes())) {
            let theirs: Vec<_> = theirs.medias.iter().map(|media| (&media.media[..], media.port)).collect();
            let ours: Vec<_> = ours.lines.iter().map(|line| (&line.media[..], line.port)).collect();
            prop_assert_eq!(ours, theirs);
        }
        if let Ok(offer) = parse(text.as_bytes()) {
            let answer = session().answer(&offer, &[Codec::Pcmu, Codec::Pcma], &[], None, Direction::SendRecv);
            if let Ok(answer) = answer {
                let answer = parse(answer.as_bytes()).expect("our own answer is SDP");
                prop_assert_eq!(answer.lines.len(), offer.lines.len());
            }
        }
    }

    #[test]
    fn what_is_offered_is_read_back(codecs in any_codecs(), ptime in proptest::option::of(1..200u16)) {
        let mut session = session();
        let payloads = PayloadMap(codecs);
        let offer = session.offer(&payloads, &[], ptime, Direction::SendOnly);
        prop_assert_eq!(session.payloads(), &payloads);
        // Another reader, who knows the whole grammar, and how to write it.
        let theirs = sdp_types::Session::parse(offer.as_bytes()).expect("SDP");
        let mut rewritten = Vec::new();
        theirs.write(&mut rewritten).expect("memory");
        prop_assert_eq!(String::from_utf8_lossy(&rewritten), &offer[..]);
        let audio = parse(offer.as_bytes()).expect("SDP").audio.expect("audio");
        prop_assert_eq!(audio.payloads, payloads);
        prop_assert_eq!(audio.ptime, ptime);
        prop_assert_eq!(audio.direction, Direction::SendOnly);
        prop_assert_eq!(audio.rtp.map(|rtp| (rtp.ip(), rtp.port())), Some(session.local()));
    }
}
