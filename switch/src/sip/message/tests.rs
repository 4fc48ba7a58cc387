//! What is written, and responses to requests.

use super::*;

fn invite() -> Request {
    let mut request = Request::new(Method::Invite, Uri::parse("sip:502@h").unwrap());
    for (name, value) in [
        (Name::Via, "SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/UDP b;branch=z9hG4bK2"),
        (Name::MaxForwards, "70"),
        (Name::To, "<sip:502@h>"),
        (Name::Via, "SIP/2.0/TCP c"),
        (Name::From, "\"O'Brien\"  <sip:501@h>;tag=1"),
        (Name::CSeq, "0007 INVITE"),
        (Name::CallId, "x"),
        (Name::Timestamp, "54"),
    ] {
        request.headers.push(name, value);
    }
    request
}

#[test]
fn section_8_2_6_a_response_repeats_what_it_must_as_received() {
    let response = invite().response(Status(180));
    let tag = response.headers.to().unwrap().tag().expect("§8.2.6.2: a tag").to_owned();
    assert_eq!(
        response.encode(),
        format!(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/UDP b;branch=z9hG4bK2\r\nVia: SIP/2.0/TCP c\r\n\
         From: \"O'Brien\"  <sip:501@h>;tag=1\r\nTo: <sip:502@h>;tag={tag}\r\nCall-ID: x\r\nCSeq: 0007 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    );
}

#[test]
fn section_8_2_7_the_to_tag_is_the_same_for_the_same_request_and_that_of_the_request_where_it_has_one() {
    let tag = |request: &Request| request.response(Status(401)).headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(tag(&invite()), tag(&invite()));
    let mut within = invite();
    within.headers.set(Name::To, "<sip:502@h>;tag=theirs");
    assert_eq!(tag(&within), "theirs");
    assert_eq!(invite().response(Status(100)).headers.to().unwrap().tag(), None);
}

#[test]
fn section_8_2_6_1_a_timestamp_is_repeated_in_a_100_alone() {
    assert_eq!(invite().response(Status(100)).headers.get(&Name::Timestamp), Some(&b"54"[..]));
    assert_eq!(invite().response(Status(200)).headers.get(&Name::Timestamp), None);
}

#[test]
fn content_length_is_written_last_and_right() {
    let mut request = Request::new(Method::Message, Uri::parse("sip:502@h").unwrap()).with_body("text/plain", "grüße");
    request.headers.push_front(Name::ContentLength, "3");
    assert_eq!(
        request.encode(),
        "MESSAGE sip:502@h SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\ngrüße"
    );
}

#[test]
fn nothing_written_ends_its_line() {
    let mut request = Request::new(Method::Other("A B\r\n".into()), Uri::parse("sip:h").unwrap());
    request.headers.push(Name::Other("X\r\nEvil".into()), "a\r\nVia: b\n\0\x7f\tc");
    assert_eq!(request.encode(), "A-B-- sip:h SIP/2.0\r\nX--Evil: a  Via: b   \tc\r\nContent-Length: 0\r\n\r\n");
    let response =
        Response { status: Status(200), reason: "O\r\nK".into(), headers: Headers::default(), body: Bytes::new() };
    assert_eq!(response.encode(), "SIP/2.0 200 O  K\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn every_code_has_a_phrase() {
    assert_eq!(Status(486).phrase(), "Busy Here");
    assert_eq!(Status(499).phrase(), "Bad Request");
    assert!((100..700).all(|code| !Status(code).phrase().is_empty()));
}

#[test]
fn methods_are_read_as_they_are_written() {
    for method in ["INVITE", "ACK", "PUBLISH", "invite", "X"] {
        assert_eq!(Method::from_token(method).as_str(), method);
    }
    assert_eq!(Method::from_token("REFER"), Method::Refer);
    assert_eq!(Method::from_token("Refer"), Method::Other("Refer".into()));
}
