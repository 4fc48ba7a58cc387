//! Lists, single headers, typed values.

use super::*;
use crate::sip::uri::{Host, Params, Uri};

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(Name::from_token(name.as_bytes()), value.to_string());
    }
    headers
}

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

#[test]
fn values_come_from_all_lines_of_the_name() {
    let headers =
        headers(&[("Contact", "<sip:a,b@h>;x=\"1,2\", \"c,\\\"d\" <sip:e>"), ("To", "<sip:t>"), ("m", "sip:f")]);
    let values: Vec<_> = headers.values(&Name::Contact).map(|value| std::str::from_utf8(value).unwrap()).collect();
    assert_eq!(values, ["<sip:a,b@h>;x=\"1,2\"", "\"c,\\\"d\" <sip:e>", "sip:f"]);
    let Ok(Contacts::List(contacts)) = headers.contacts() else { panic!() };
    assert_eq!(contacts[1].display.as_deref(), Some("c,\"d"));
}

#[test]
fn set_replaces_all_fields_in_the_place_of_the_first() {
    let mut headers = headers(&[("X-A", "1"), ("X-B", "1"), ("x-a", "2"), ("X-C", "1")]);
    headers.set(Name::Other("X-a".into()), "3");
    headers.set(Name::Other("X-D".into()), "4");
    let fields: Vec<_> =
        headers.iter().map(|(name, value)| format!("{}{}", name.as_str(), String::from_utf8_lossy(value))).collect();
    assert_eq!(fields, ["X-A3", "X-B1", "X-C1", "X-D4"]);
}

#[test]
fn the_top_via_is_replaced_and_those_below_stay() {
    let mut headers = headers(&[
        ("Via", "SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2,SIP/2.0/TCP c;branch=3"),
        ("Via", "SIP/2.0/UDP d;branch=4"),
    ]);
    let mut via = headers.via().unwrap().clone();
    via.params.set("received", Some("192.0.2.1".into()));
    headers.set_via(via.clone());
    let values: Vec<_> = headers.values(&Name::Via).map(String::from_utf8_lossy).collect();
    assert_eq!(
        values,
        [
            "SIP/2.0/UDP a;branch=1;received=192.0.2.1",
            "SIP/2.0/TCP b;branch=2",
            "SIP/2.0/TCP c;branch=3",
            "SIP/2.0/UDP d;branch=4"
        ]
    );
    headers.remove(&Name::Via);
    headers.set_via(via);
    assert_eq!(headers.values(&Name::Via).count(), 1);
}

#[test]
fn rfc_3581_an_rport_without_value_is_told_from_none() {
    let via = Via::parse(b"SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff").unwrap();
    assert_eq!(via.params.get("rport"), Some(None));
    assert_eq!((via.host, via.port), (Host::Ip("10.1.1.1".parse().unwrap()), Some(4540)));
}

#[test]
fn malformed_vias_are_refused() {
    for via in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 UDP h",
        "HTTP/2.0/UDP h",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;branch=1",
        "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP h;branch=1 x",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP h;branch=\"",
    ] {
        assert!(Via::parse(via.as_bytes()).is_err(), "{via}");
    }
}

#[test]
fn display_names_are_unquoted_and_quoted_again() {
    for (text, display, written) in [
        (r#""lt<gt>;," <sip:a>"#, Some(r"lt<gt>;,"), r#""lt<gt>;," <sip:a>"#),
        (r#""back\\slash \"q\"" <sip:a>"#, Some(r#"back\slash "q""#), r#""back\\slash \"q\"" <sip:a>"#),
        ("Alice <sip:a>", Some("Alice"), "Alice <sip:a>"),
        ("Alice  Liddell<sip:a>", Some("Alice  Liddell"), "\"Alice  Liddell\" <sip:a>"),
        ("Zoë (2) <sip:a>", Some("Zoë (2)"), "\"Zoë (2)\" <sip:a>"),
        ("\"\" <sip:a>", None, "<sip:a>"),
        ("<sip:a>", None, "<sip:a>"),
        ("sip:a", None, "<sip:a>"),
        ("\"a\\\r\\\nb\" <sip:a>", Some("a\r\nb"), "\"ab\" <sip:a>"),
    ] {
        let address = address(text);
        assert_eq!(address.display.as_deref(), display, "{text}");
        assert_eq!(address.to_string(), written);
    }
}

#[test]
fn a_display_name_that_is_no_utf_8_is_no_obstacle() {
    assert_eq!(Address::parse(b"\"\xff\" <sip:a>").unwrap().display.as_deref(), Some("\u{fffd}"));
    assert_eq!(Address::parse(b"\xff <sip:a>").unwrap().display.as_deref(), Some("\u{fffd}"));
}

#[test]
fn section_20_10_parameters_belong_to_the_header_or_to_the_uri() {
    let bare = address("sip:a@h;tag=1;lr");
    assert_eq!((bare.tag(), bare.params.get("lr"), bare.uri.params.get("lr")), (Some("1"), Some(None), None));
    let bracketed = address("<sip:a@h;lr>;tag=1");
    assert_eq!((bracketed.tag(), bracketed.uri.params.get("lr")), (Some("1"), Some(None)));
    let instance = address("sip:a@h;+sip.instance=\"<urn:uuid:0>\"");
    assert_eq!(instance.params.value("+sip.instance"), Some("<urn:uuid:0>"));
    assert_eq!(address("<sip:a@h>;TAG=Ab").tag(), Some("Ab"));
}

#[test]
fn malformed_addresses_are_refused() {
    for text in [
        "",
        "Alice",
        "<>",
        "<sip:a",
        "sip:a>",
        "\"Alice\"",
        "\"Alice\" sip:a",
        "\"Alice <sip:a>",
        "<sip:a> x",
        "<sip:a>;",
        "<sip:a>;=x",
        "<sip:a>;tag=",
        "<sip:a>,<sip:b>",
        "sip:a,sip:b",
        "sip:a?x=y",
        "a;b <sip:c>",
        "a,b <sip:c>",
        "<sip:a>;x=\"",
        "< sip:a >",
        "sip:a b",
        "<sip:a>;x y",
        "a\0 <sip:b>",
    ] {
        assert!(Address::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_star_stands_alone() {
    assert_eq!(headers(&[("Contact", " *")]).contacts(), Ok(Contacts::Star));
    assert_eq!(headers(&[]).contacts(), Ok(Contacts::List(Vec::new())));
    assert!(headers(&[("Contact", "*, <sip:a>")]).contacts().is_err());
    assert!(headers(&[("Contact", "*"), ("Contact", "*")]).contacts().is_err());
}

#[test]
fn cseq_is_a_number_below_2_31_and_a_method() {
    assert_eq!(CSeq::parse(b"2147483647 INVITE").unwrap().to_string(), "2147483647 INVITE");
    for value in ["2147483648 INVITE", "-1 INVITE", "1", "1INVITE", "INVITE", "1 INVITE x", "1 (x)", ""] {
        assert!(CSeq::parse(value.as_bytes()).is_err(), "{value}");
    }
}

#[test]
fn call_ids_are_one_word_of_ascii() {
    for (value, well_formed) in [("a@b", true), ("", false), ("a b", false), ("é", false), ("a\0", false)] {
        assert_eq!(headers(&[("i", value)]).call_id().is_ok(), well_formed, "{value}");
    }
}

#[test]
fn max_forwards_and_expires_are_numbers() {
    assert_eq!(headers(&[]).max_forwards(), Ok(None));
    assert_eq!(headers(&[("Max-Forwards", "0")]).max_forwards(), Ok(Some(0)));
    assert!(headers(&[("Max-Forwards", "256")]).max_forwards().is_err());
    assert!(headers(&[("Max-Forwards", "x")]).max_forwards().is_err());
    assert_eq!(headers(&[("Expires", "3600")]).expires(), Some(3600));
    assert_eq!(headers(&[("Expires", "99999999999")]).expires(), Some(u32::MAX));
    assert_eq!(headers(&[("Expires", "soon")]).expires(), None);
}

#[test]
fn tokens_are_lower_case_and_without_parameters() {
    let headers = headers(&[("Supported", "100rel, Replaces ,, path;x=y"), ("k", "GRUU")]);
    assert_eq!(headers.tokens(&Name::Supported), ["100rel", "replaces", "path", "gruu"]);
}

#[test]
fn an_address_is_made_of_a_uri() {
    let address = Address::new(Uri::sip(Some("501"), "[::1]:5060".parse().unwrap()));
    assert_eq!(address.to_string(), "<sip:501@[::1]:5060>");
    assert_eq!(address.params, Params::default());
}

#[test]
fn rack_names_a_response_and_rseq_is_a_number() {
    let mut headers = Headers::default();
    headers.push(Name::RAck, "776656 1 INVITE");
    headers.push(Name::RSeq, "988789");
    let rack = headers.rack().unwrap();
    assert_eq!((rack.rseq, rack.cseq.number, rack.cseq.method.as_str()), (776_656, 1, "INVITE"));
    assert_eq!(rack.to_string(), "776656 1 INVITE");
    assert_eq!(headers.rseq(), Some(988_789));
    for malformed in ["", "1", "1 INVITE", "x 1 INVITE", "1 x INVITE", "99999999999 1 INVITE", "1 1 INVITE x"] {
        headers.set(Name::RAck, malformed);
        assert!(headers.rack().is_err(), "{malformed}");
    }
}

#[test]
fn a_list_of_tokens_is_searched_without_regard_to_case_and_parameters() {
    let mut headers = Headers::default();
    headers.push(Name::Supported, "path, 100Rel;x=y");
    headers.push(Name::Supported, "timer");
    assert!(headers.lists(&Name::Supported, "100rel"));
    assert!(headers.lists(&Name::Supported, "timer"));
    assert!(!headers.lists(&Name::Supported, "time"));
}
