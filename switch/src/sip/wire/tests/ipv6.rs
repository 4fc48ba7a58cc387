//! RFC 5118: the torture messages of IPv6.

use std::net::IpAddr;

use super::*;
use crate::sip::header::Via;
use crate::sip::uri::{Host, Uri};

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn ip(text: &str) -> Host {
    Host::Ip(text.parse::<IpAddr>().unwrap())
}

#[test]
fn valid_4_1_references_everywhere() {
    let request = request(
        r#"
REGISTER sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0

"#,
    );
    assert_eq!(request.uri.host, Some(ip("2001:db8::10")));
    assert_eq!(request.headers.via().unwrap().host, ip("2001:db8::9:1"));
}

#[test]
fn invalid_4_2_an_address_without_brackets() {
    assert_eq!(answered(&options_with("l: 0\n").replace("sip:501@switch.local SIP", "sip:2001:db8::10 SIP")), 400);
}

#[test]
fn port_ambiguous_4_3_all_within_the_brackets_is_the_address() {
    assert_eq!(uri("sip:[2001:db8::10:5070]").host, Some(ip("2001:db8::10:5070")));
    assert_eq!(uri("sip:[2001:db8::10:5070]").port, None);
}

#[test]
fn port_unambiguous_4_4() {
    assert_eq!(uri("sip:[2001:db8::10]:5070").host, Some(ip("2001:db8::10")));
    assert_eq!(uri("sip:[2001:db8::10]:5070").port, Some(5070));
}

#[test]
fn received_4_5_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via =
            Via::parse(format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111").as_bytes())
                .unwrap();
        assert_eq!(via.params.value("received"), Some("2001:db8::9:255"));
        assert_eq!(via.to_string(), "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3-111");
    }
}

#[test]
fn mult_ip_4_7_both_families_in_one_message() {
    let request = request(
        r#"
BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
Content-Length: 0

"#,
    );
    let via = request.headers.via().unwrap();
    assert_eq!((via.host.clone(), via.port), (ip("2001:db8::9:1"), Some(6050)));
}

#[test]
fn mapped_4_9_ipv4_mapped_addresses() {
    assert_eq!(uri("sip:user@[::ffff:192.0.2.10]").host, Some(ip("::ffff:192.0.2.10")));
    assert_eq!(uri("sip:user@[::ffff:192.0.2.10]:5060").to_string(), "sip:user@[::ffff:192.0.2.10]:5060");
}

#[test]
fn ipv6_bug_abnf_4_10_three_colons_read_as_two() {
    assert_eq!(uri("sip:user@[2001:db8:::192.0.2.1]").to_string(), "sip:user@[2001:db8::c000:201]");
    assert!(Uri::parse("sip:user@[2001:db8:::1]").is_err());
}

#[test]
fn malformed_references_are_refused() {
    for host in ["[::1", "::1]", "[::1]]", "[]", "[::1]5060", "[fe80::1%eth0]", "[192.0.2.1]"] {
        assert!(Uri::parse(&format!("sip:{host}")).is_err(), "{host}");
    }
}
