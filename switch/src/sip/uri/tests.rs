//! RFC 3261 §19.1, RFC 3966.

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

#[test]
fn section_19_1_3_the_examples_read_and_write() {
    for text in [
        "sip:alice@atlanta.com",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sips:1212@gateway.com",
        "sip:alice@192.0.2.4",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
    ] {
        assert_eq!(uri(text).to_string(), text.replace(":1234@", "@"), "a password is dropped, nothing else");
    }
    assert_eq!(uri("sip:alice;day=tuesday@atlanta.com").user.as_deref(), Some("alice;day=tuesday"));
}

#[test]
fn section_19_1_4_equal_uris() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:[2001:db8::1]", "sip:[2001:DB8:0::1]"),
        ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
        ("tel:7042;phone-context=EXAMPLE.com", "tel:7042;phone-context=example.com"),
        ("urn:service:sos", "urn:service:sos"),
    ] {
        assert!(uri(a).same_as(&uri(b)) && uri(b).same_as(&uri(a)), "{a} {b}");
    }
}

#[test]
fn section_19_1_4_different_uris() {
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:biloxi.com"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.1"),
        ("tel:7042;phone-context=example.com", "tel:7042"),
        ("tel:7042", "sip:7042@h"),
        ("urn:service:sos", "urn:service:SOS"),
    ] {
        assert!(!uri(a).same_as(&uri(b)) && !uri(b).same_as(&uri(a)), "{a} {b}");
    }
}

#[test]
fn what_a_user_may_not_hold_is_escaped() {
    let mut to = uri("sip:x@h");
    for (user, written) in [
        ("*43", "sip:*43@h"),
        ("#21", "sip:%2321@h"),
        ("a b@c:d", "sip:a%20b%40c%3Ad@h"),
        ("50%", "sip:50%25@h"),
        ("Zoë", "sip:Zo%C3%AB@h"),
        ("<x>\r\n\"\0", "sip:%3Cx%3E%0D%0A%22%00@h"),
        ("a;b?c/d", "sip:a;b?c/d@h"),
    ] {
        to.user = Some(user.into());
        assert_eq!(to.to_string(), written);
        assert_eq!(uri(written), to);
    }
}

#[test]
fn escaped_bytes_that_are_no_text_are_written_as_they_came() {
    for text in ["sip:%FF%80@h", "sip:a%C3@h", "sip:%EE%BE%80@h", "sip:h;x=%FF"] {
        let written = uri(text).to_string();
        assert_eq!(uri(&written), uri(text));
        assert_eq!(written, text);
    }
    assert_ne!(uri("sip:%80@h"), uri("sip:%EE%BE%80@h"), "a byte and what stands for it");
}

#[test]
fn tel_uris_have_parameters_and_no_host() {
    let local = uri("tel:7042;phone-context=example.com;ext=5");
    assert_eq!((local.scheme.clone(), local.user.as_deref(), local.host.clone()), (Scheme::Tel, Some("7042"), None));
    assert_eq!(local.params.value("phone-context"), Some("example.com"));
    assert_eq!(local.to_string(), "tel:7042;phone-context=example.com;ext=5");
    assert_eq!(uri("TEL:*21*5#").user.as_deref(), Some("*21*5#"));
}

#[test]
fn other_schemes_stay_as_they_are() {
    for text in ["urn:service:sos", "mailto:a@b.c?subject=x;y", "http://h/a;b=c?d#e", "im:a%zz"] {
        assert_eq!(uri(text).to_string(), text);
    }
}

#[test]
fn malformed_uris_are_refused() {
    for text in [
        "",
        "501",
        ":x",
        "sip:",
        "1a:x",
        "s p:x",
        "sip:@h",
        "sip::pw@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a@b:",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b:+1",
        "sip:a@b;",
        "sip:a@b;;lr",
        "sip:a@b;=x",
        "sip:a@b c",
        "sip:a@b/c",
        "sip:a%4@b",
        "sip:a%+1@b",
        "sip:a@b%41",
        "<sip:a@b>",
        "sip:a\"@b",
        "sip:a@b\r\n",
    ] {
        assert!(Uri::parse(text).is_err(), "{text}");
    }
    assert!(Uri::parse(&format!("sip:{}", "a".repeat(256))).is_err());
}

#[test]
fn header_parameters_are_quoted_where_they_must_be() {
    let mut params = Params::default();
    for (name, value) in [
        ("lr", None),
        ("q", Some("0.5")),
        ("text", Some("a b")),
        ("+sip.instance", Some("<urn:uuid:1>")),
        ("odd", Some("\\\"\r\n")),
        ("received", Some("2001:db8::1")),
        ("maddr", Some("[2001:db8::1]")),
        ("empty", Some("")),
    ] {
        params.set(name, value.map(Text::from));
    }
    assert_eq!(
        params.to_string(),
        r#";lr;q=0.5;text="a b";+sip.instance="<urn:uuid:1>";odd="\\\"";received=2001:db8::1;maddr=[2001:db8::1];empty="""#
    );
}

#[test]
fn a_tag_that_is_no_token_goes_back_as_it_came() {
    let mut scan = Scan::new(b";tag=a/b@c:d");
    let params = Params::parse_header(&mut scan).unwrap();
    assert_eq!(params.to_string(), ";tag=a/b@c:d");
    let hostile = Params(vec![("tag".into(), Some("x;y\r\nVia: z".into()))]);
    assert_eq!(hostile.to_string(), ";tag=\"x;yVia: z\"");
}

#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    for address in [[0, 9, 10, 99], [100, 101, 255, 0], [127, 0, 0, 1], [192, 168, 200, 205]].map(Ipv4Addr::from) {
        assert_eq!(Host::Ip(address.into()).to_string(), address.to_string());
    }
}
