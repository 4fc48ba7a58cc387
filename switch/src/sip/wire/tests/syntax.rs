//! The rules of RFC 3261 §7 and §18.3.

use super::*;

use crate::sip::header::{Contacts, Name};
use crate::sip::message::Method;
use crate::sip::uri::Scheme;

#[test]
fn an_ordinary_request_reads_and_writes() {
    let text = options_with("Content-Length: 0\n");
    assert_eq!(request(&text).encode(), wire(&text));
}

#[test]
fn a_keep_alive_is_line_ends_or_nothing() {
    for text in ["", "\r\n", "\r\n\r\n", "\n"] {
        assert_eq!(parse_datagram(&Bytes::from_static(text.as_bytes())), Parsed::KeepAlive);
    }
    assert!(matches!(parse_datagram(&Bytes::from_static(b"\0\0\0\0")), Parsed::Unusable(_)));
}

#[test]
fn line_ends_before_a_message_are_skipped() {
    let text = options_with("l: 0\n");
    assert_eq!(parse(&format!("\n\n{text}")), parse(&text));
}

#[test]
fn lines_may_end_with_lf_alone() {
    let text = options_with("Subject: a\n b\nl: 2\n\nhi");
    assert_eq!(parse_datagram(&Bytes::from(text.clone())), parse(&text));
}

#[test]
fn a_carriage_return_alone_ends_no_line() {
    assert_eq!(answered(&options_with("Subject: a\rTo: <sip:x@y>\n")), 400);
    assert!(is_unusable("SIP/2.0 200 O\rK\nVia: SIP/2.0/UDP h\n\n"));
}

#[test]
fn section_7_3_1_folding_becomes_one_blank() {
    let request =
        request(&options_with("Subject: I know you're there,  \n   pick up the phone\n\t \n \tand answer!\n"));
    assert_eq!(request.headers.text(&Name::Subject).unwrap(), "I know you're there, pick up the phone and answer!");
}

#[test]
fn a_folded_first_line_is_no_header() {
    let text = "OPTIONS sip:a@b SIP/2.0\n To: <sip:z@z>\n  ;x\n";
    let rest = options_with("l: 0\n");
    let rest = rest.split_once('\n').unwrap().1;
    assert_eq!(answered(&format!("{text}{rest}")), 400);
}

#[test]
fn a_header_without_a_colon_or_with_a_bad_name_is_a_400() {
    for line in ["Subject", "Sub ject: x", ": x", "Sübject: x", "(a): x"] {
        assert_eq!(answered(&options_with(&format!("{line}\n"))), 400, "{line}");
    }
}

#[test]
fn unknown_headers_stay_as_they_are() {
    let request = request(&options_with("X-Odd:  a \\x80\\xff\\x01 b \n"));
    assert_eq!(request.headers.get(&Name::Other("x-odd".into())), Some(&b"a \x80\xff\x01 b"[..]));
    assert_eq!(request.headers.iter().last().unwrap().0.as_str(), "X-Odd");
}

#[test]
fn header_values_share_the_memory_of_the_datagram() {
    let datagram = wire(&options_with("Subject: here\n"));
    let Parsed::Message(Message::Request(request)) = parse_datagram(&datagram) else { panic!() };
    let range = datagram.as_ptr_range();
    assert!(range.contains(&request.headers.get(&Name::Subject).unwrap().as_ptr()));
}

#[test]
fn section_18_3_without_content_length_a_datagram_is_body_to_its_end() {
    assert_eq!(request(&options_with("\nabc")).body, "abc\r\n");
}

#[test]
fn section_18_3_what_follows_the_body_is_ignored() {
    assert_eq!(request(&options_with("Content-Length: 3\n\nabcdef")).body, "abc");
}

#[test]
fn a_content_length_that_is_no_number_is_a_400() {
    for length in ["", "-1", "+1", "1 1", "0x1", "1,1", "99999999999999999999999999"] {
        assert_eq!(answered(&options_with(&format!("Content-Length: {length}\n"))), 400, "{length}");
    }
}

#[test]
fn section_7_1_the_version_is_read_in_any_case() {
    assert_eq!(request(&options_with("").replacen("SIP/2.0", "sip/2.0", 1)).method, Method::Options);
    for (version, status) in
        [("SIP/3.0", 505), ("SIP/2.1", 505), ("SIP/2", 400), ("SIP2.0", 400), ("HTTP/1.1", 400), ("", 400)]
    {
        assert_eq!(answered(&options_with("").replacen("SIP/2.0", version, 1)), status, "{version}");
    }
}

#[test]
fn section_7_1_methods_differ_by_case() {
    assert_eq!(request(&options_with("").replace("OPTIONS", "options")).method, Method::Other("options".into()));
}

#[test]
fn a_malformed_request_uri_is_kept_to_be_answered() {
    for target in ["sip:", "501", "sip:a@b@c", "sip:a@b:port", "sip:%zz@b", "sip:a@b;;lr", "*"] {
        let text = options_with("").replace("sip:501@switch.local SIP", &format!("{target} SIP"));
        let Parsed::Answerable(request, error) = parse(&text) else { panic!("{target}") };
        assert_eq!(error.status.0, 400, "{target}");
        assert_eq!(request.uri.scheme, Scheme::Other(Default::default()));
        assert_eq!(request.uri.to_string(), target);
    }
}

#[test]
fn what_is_no_sip_is_unusable() {
    for text in ["GET / HTTP/1.1\nHost: x\n\n", "\u{1}\u{2}", "INVITE", "SIP/2.0 200 OK", "OPTIONS sip:a@b SIP/2.0\n\n"]
    {
        assert!(is_unusable(text), "{text}");
    }
}

#[test]
fn headers_that_do_not_end_are_a_400() {
    let text = options_with("");
    assert_eq!(answered(text.trim_end_matches('\n')), 400);
    assert_eq!(answered(&format!("{} never ending", text.trim_end_matches('\n').to_owned() + "\n")), 400);
}

#[test]
fn a_response_with_bad_headers_is_unusable() {
    let text = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: x\nCSeq: 1 BYE\n\n";
    assert_eq!(response(text).status.0, 200);
    for header in [
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\n",
        "From: <sip:a@b>;tag=1\n",
        "To: <sip:a@b>\n",
        "Call-ID: x\n",
        "CSeq: 1 BYE\n",
    ] {
        assert!(is_unusable(&text.replace(header, "")), "{header}");
    }
}

#[test]
fn two_contacts_in_a_line_are_two_whatever_their_names_look_like() {
    let text = options_with("m: \"lt<gt>;,\" <sip:501@a;x=\"y\">;q=1\n").replace("x=\"y\"", "x=y");
    let two = text.replace(
        ";q=1",
        ";q=1 , \"a, b\" <tel:+1-201-555-0123;phone-context=example.com>;expires=0,<sip:50%31@[::1]:5062>",
    );
    let Contacts::List(contacts) = request(&two).headers.contacts().unwrap() else { panic!() };
    let names: Vec<_> = contacts.iter().map(|contact| contact.display.as_deref()).collect();
    assert_eq!(names, [Some("lt<gt>;,"), Some("a, b"), None]);
    let uris: Vec<_> = contacts.iter().map(|contact| contact.uri.to_string()).collect();
    assert_eq!(uris, ["sip:501@a;x=y", "tel:+1-201-555-0123;phone-context=example.com", "sip:501@[::1]:5062"]);
    assert_eq!(contacts[1].params.value("expires"), Some("0"));
}

/// In every header, at every place: what no line may hold is read or refused, and never sent on.
#[test]
fn foreign_bytes_anywhere_do_no_harm() {
    let whole = wire(&options_with("Contact: \"A\" <sip:a@b>;q=1\nl: 0\n"));
    for foreign in [
        &b"\0"[..],
        b"\r",
        b"\n",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\r\n ",
        b"\xef\xbb\xbf",
        b"%00",
    ] {
        for at in 0..=whole.len() {
            let bytes = [&whole[..at], foreign, &whole[at..]].concat();
            let answer = match parse_datagram(&Bytes::from(bytes)) {
                Parsed::Message(Message::Request(request)) => request.response(crate::sip::message::Status(200)),
                Parsed::Answerable(request, error) => request.response(error.status),
                _ => continue,
            };
            let written = answer.encode();
            let (lines, controls) = (
                written.iter().filter(|byte| **byte == b'\n').count(),
                written.iter().filter(|byte| byte.is_ascii_control()).count(),
            );
            assert_eq!(controls, 2 * lines, "{foreign:?} at {at}: {written:?}");
        }
    }
}
