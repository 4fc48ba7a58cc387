//! RFC 4475, each message by its name there.

use super::*;
use crate::sip::header::{Contacts, Name};
use crate::sip::message::Method;
use crate::sip::uri::{Host, Scheme};

fn contact_list(request: &Request) -> Vec<crate::sip::header::Address> {
    match request.headers.contacts().unwrap() {
        Contacts::List(list) => list,
        Contacts::Star => panic!("a star"),
    }
}

#[test]
fn wsinv_3_1_1_1_a_short_tortuous_invite() {
    let request = request(
        r#"
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 150
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

v=0
o=mhandley 29739 7272939 IN IP4 192.0.2.3
s=-
c=IN IP4 192.0.2.4
t=0 0
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
"#,
    );
    let headers = &request.headers;
    assert_eq!(request.uri.to_string(), "sip:vivekg@chair-dnrc.example.com;unknownparam");
    assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
    let from = headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some(r#"J Rosenberg \""#));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(headers.max_forwards().unwrap(), Some(68));
    assert_eq!(headers.cseq().unwrap().number, 9);
    assert_eq!(headers.via().unwrap().branch(), Some("390skdjuw"));
    assert_eq!(headers.values(&Name::Via).count(), 3);
    assert_eq!(headers.get(&Name::Subject), Some(&b""[..]));
    assert_eq!(
        headers.get(&Name::Other("newfangledheader".into())),
        Some(&b"newfangled value continued newfangled value"[..])
    );
    assert_eq!(headers.get(&Name::Other("UnknownHeaderWithUnusualValue".into())), Some(&b";;,,;;,;"[..]));
    let contact = &contact_list(&request)[0];
    assert_eq!(contact.display.as_deref(), Some(r#"Quoted string """#));
    assert_eq!(contact.params.value("q"), Some("0.33"));
    assert_eq!(contact.params.value("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(headers.addresses(&Name::Route).unwrap()[0].uri.params.value("unknownwith"), Some("value"));
    assert_eq!(request.body.len(), 150);
}

#[test]
fn intmeth_3_1_1_2_a_wide_range_of_valid_characters() {
    let request = request(
        r#"
!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: "BEL:\\x07 NUL:\\x00 DEL:\\x7F" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="работающий";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_`'~:\xEF\xBB\xBF大停電
Content-Length: 0

"#,
    );
    assert_eq!(request.method, Method::Other("!interesting-Method0123456789_*+`.%indeed'~".into()));
    assert_eq!(request.uri.user.as_deref(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(request.uri.host, Some(Host::Name("example.com".into())));
    assert_eq!(request.headers.to().unwrap().display.as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    let from = request.headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.params.value("fromparam''~+*_!.-%"), Some("работающий"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(request.headers.call_id().unwrap(), r#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#);
    let unknown = Name::Other("extensionHeader-!.%*+_`'~".into());
    assert_eq!(request.headers.get(&unknown), Some("\u{feff}大停電".as_bytes()));
}

#[test]
fn esc01_3_1_1_3_valid_use_of_the_escaping_mechanism() {
    let request = request(
        r#"
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact:
  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 0

"#,
    );
    assert_eq!(request.uri.user.as_deref(), Some("sips:user@example.com"));
    assert_eq!(request.uri.to_string(), "sip:sips%3Auser%40example.com@example.net");
    assert_eq!(request.headers.to().unwrap().uri.user.as_deref(), Some("user"));
    assert_eq!(request.headers.from().unwrap().uri.user.as_deref(), Some("I have spaces"));
    let contact = &contact_list(&request)[0];
    assert_eq!(contact.uri.params.get("lr"), Some(None));
    assert_eq!(contact.uri.params.value("name"), Some("value%41"));
    assert_eq!(contact.uri.to_string(), "sip:caller@host5.example.net;lr;name=value%2541");
}

#[test]
fn escnull_3_1_1_4_escaped_nulls_in_uris() {
    let request = request(
        r#"
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0

"#,
    );
    let to = request.headers.to().unwrap();
    assert_eq!(to.uri.user.as_deref(), Some("null-\0-null"));
    assert_eq!(to.uri.to_string(), "sip:null-%00-null@example.com");
    let contacts = contact_list(&request);
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].uri.same_as(&contacts[1].uri));
}

#[test]
fn esc02_3_1_1_5_percent_where_it_escapes_nothing() {
    let request = request(
        r#"
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0

"#,
    );
    assert_eq!(request.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(request.headers.to().unwrap().display.as_deref(), Some("%Z%45"));
    assert_eq!(contact_list(&request).len(), 2);
}

#[test]
fn lwsdisp_3_1_1_6_no_blank_between_display_name_and_bracket() {
    let request = request(
        r#"
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0

"#,
    );
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("caller"));
}

#[test]
fn longreq_3_1_1_7_long_values() {
    let long = "a".repeat(500);
    let vias = (0..32)
        .map(|hop| format!("v: SIP/2.0/TCP sip{hop}.example.com;branch=z9hG4bKlonglong{hop};{long}=x\n"))
        .collect::<String>();
    let request = request(&format!(
        r#"
INVITE sip:user@example.com SIP/2.0
To: "I have a user name of {long} proportion"<sip:user@example.com:6000;unknownparam1=very{long}value;longparam{long}=shortvalue;very{long}ParameterNameWithNoValue>
F: sip:amazinglylongcallername{long}@example.net;tag=12{long}982424;unknownheaderparam{long}name=unknowheaderparam{long}value;unknownValueless{long}paramname
Call-ID: longreq.one{long}longcallid
CSeq: 3882340 INVITE
Unknown-{long}-Name: unknown-{long}-value; unknown-{long}-parameter-name = unknown-{long}-parameter-value
{vias}Max-Forwards: 70
Contact: <sip:amazinglylongcallername{long}@host5.example.net>
Content-Type: application/sdp
l: 5

v=0
"#
    ));
    assert_eq!(request.headers.values(&Name::Via).count(), 32);
    assert_eq!(request.headers.to().unwrap().uri.port, Some(6000));
    assert_eq!(request.headers.from().unwrap().tag().unwrap().len(), 508);
    assert_eq!(request.response(crate::sip::message::Status(100)).headers.values(&Name::Via).count(), 32);
}

#[test]
fn dblreq_3_1_1_8_a_second_request_in_the_datagram_is_ignored() {
    let text = r#"
REGISTER sip:example.com SIP/2.0
To: sip:j.user@example.com
From: sip:j.user@example.com;tag=43251j3j324
Max-Forwards: 8
I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
Contact: sip:j.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0


INVITE sip:joe@example.com SIP/2.0
t: sip:joe@example.com
From: sip:caller@example.net;tag=141334
Max-Forwards: 8
Call-ID: dblreq.0ha0isnda977644900765@192.0.2.15
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234
Content-Length: 0

"#;
    let request = request(text);
    assert_eq!(request.method, Method::Register);
    assert!(request.body.is_empty());
}

#[test]
fn semiuri_3_1_1_9_semicolons_in_the_user_part() {
    let request = request(
        r#"
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0

"#,
    );
    assert_eq!(request.uri.user.as_deref(), Some("user;par=u@example.net"));
    assert!(request.uri.params.0.is_empty());
    assert_eq!(request.uri.to_string(), "sip:user;par=u%40example.net@example.com");
    assert_eq!(request.headers.values(&Name::Accept).count(), 6);
}

#[test]
fn transports_3_1_1_10_varied_and_unknown_transports() {
    let request = request(
        r#"
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0

"#,
    );
    let transports: Vec<_> = request
        .headers
        .values(&Name::Via)
        .map(|value| crate::sip::header::Via::parse(value).unwrap().transport)
        .collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn mpart01_3_1_1_11_a_binary_multipart_body_stays_as_it_is() {
    let body = "--7a9cbec02ceef655\\x0d\\x0aContent-Type: text/plain\\x0d\\x0a\\x0d\\x0aHello\\x0d\\x0a--7a9cbec02ceef655\\x0d\\x0a\\x30\\x82\\x01\\x00\\xff\\x0a--7a9cbec02ceef655--";
    let head = r#"
MESSAGE sip:kumiko@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD+813gvYjcBUaZngQmXc9WNZSDNGCzA+fWl9MEUHWIZo1CeJebdY/XlgKeTa0Olvq0rt70Q5jiSfbqMJmQFteeivUhkMWYUA=
Contact: <sip:fluffy@127.0.0.1:5070>
To: <sip:kumiko@example.org>
From: <sip:fluffy@example.com>;tag=2fb0dcc9
Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..
CSeq: 1 MESSAGE
Content-Transfer-Encoding: binary
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Date: Sat, 15 Oct 2005 04:44:56 GMT
User-Agent: SIPimp.org/0.2.5 (curses)
Content-Length: 111

"#;
    let expected = wire(body);
    let request = request(&(head.replace("111", &expected.len().to_string()) + body));
    assert_eq!(request.body, expected);
    assert!(request.body.contains(&0) && request.body.contains(&0xff));
}

#[test]
fn unreason_3_1_1_12_a_reason_phrase_in_cyrillic() {
    let response = response(
        r#"
SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Call-ID: unreason.1234ksdfak3j2erwedfsASdf
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Length: 0
Contact: <sip:user@host198.example.com>

"#,
    );
    assert_eq!(response.reason, "= 2**3 * 5**2 но сто девяносто девять - простое");
}

#[test]
fn noreason_3_1_1_13_an_empty_reason_phrase() {
    let text = r#"
SIP/2.0 100 
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>

"#;
    assert_eq!(response(text).reason, "");
    assert_eq!(response(&text.replace("100 ", "100")), response(text));
}

#[test]
fn badinv01_3_1_2_1_extraneous_separators() {
    // The way back is in the Via, whatever else is in it.
    assert_eq!(
        answered(
            r#"
INVITE sip:user@example.com SIP/2.0
To: sip:j.user@example.com
From: sip:caller@example.net;tag=134161461246
Max-Forwards: 7
Call-ID: badinv01.0ha0isndaksdjasdf3234nas
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;;,;,,
Contact: "Joe" <sip:joe@example.org>;;;;
Content-Length: 152
Content-Type: application/sdp

v=0
o=mhandley 29739 7272939 IN IP4 192.0.2.15
s=-
c=IN IP4 192.0.2.15
t=0 0
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
"#
        ),
        400
    );
}

#[test]
fn clerr_3_1_2_2_content_length_larger_than_the_body() {
    assert_eq!(answered(&options_with("Content-Length: 9999\n\nv=0")), 400);
}

#[test]
fn ncl_3_1_2_3_negative_content_length() {
    assert_eq!(answered(&options_with("Content-Length: -999\n\nv=0")), 400);
}

#[test]
fn scalar02_3_1_2_4_request_scalars_out_of_range() {
    let text = r#"
REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3
To: <sip:user@example.com>
From: <sip:user@example.com>;tag=239232jh3
CSeq: 36893488147419103232 REGISTER
Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32
Max-Forwards: 300
Expires: 10000000000000000000000000000000000000
Contact: <sip:user@host129.example.com>
  ;expires=280297596632815
Content-Length: 0

"#;
    assert_eq!(answered(text), 400);
    let request = request(&text.replace("36893488147419103232", "36893488"));
    assert!(request.headers.max_forwards().is_err());
    assert_eq!(request.headers.expires(), Some(u32::MAX));
}

#[test]
fn scalarlg_3_1_2_5_response_scalars_out_of_range() {
    assert!(is_unusable(
        r#"
SIP/2.0 503 Service Unavailable
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129
To: <sip:user@example.com>
From: <sip:other@example.net>;tag=2easdjfejw
CSeq: 9292394834772304023312 OPTIONS
Call-ID: scalarlg.noase0of0234hn2qofoaf0232aewf2394r
Retry-After: 949302838503028349304023988
Warning: 1812 overture "In Progress"
Content-Length: 0

"#
    ));
}

#[test]
fn quotbal_3_1_2_6_unterminated_quote() {
    assert_eq!(
        answered(
            r#"
INVITE sip:user@example.com SIP/2.0
To: "Mr. J. User <sip:j.user@example.com>
From: sip:caller@example.net;tag=93334
Max-Forwards: 10
Call-ID: quotbal.aksdj
Contact: <sip:caller@host59.example.net>
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234
Content-Length: 0

"#
        ),
        400
    );
}

/// An INVITE with this request line.
fn invite_line(line: &str) -> String {
    options_with("Content-Length: 0\n")
        .replace("OPTIONS sip:501@switch.local SIP/2.0", line)
        .replace("1 OPTIONS", "1 INVITE")
}

#[test]
fn ltgtruri_3_1_2_7_request_uri_in_angle_brackets() {
    let text = invite_line("INVITE <sip:user@example.com> SIP/2.0");
    assert_eq!(answered(&text), 400);
    let Parsed::Answerable(request, _) = parse(&text) else { panic!() };
    assert_eq!(request.method, Method::Invite);
    assert_eq!(request.uri.scheme, Scheme::Other(Default::default()));
    assert_eq!(request.uri.user.as_deref(), Some("<sip:user@example.com>"));
}

#[test]
fn lwsruri_3_1_2_8_blank_within_the_request_uri() {
    assert_eq!(answered(&invite_line("INVITE sip:user@example.com; lr SIP/2.0")), 400);
}

#[test]
fn lwsstart_3_1_2_9_several_blanks_in_the_request_line() {
    assert_eq!(answered(&invite_line("INVITE  sip:user@example.com  SIP/2.0")), 400);
}

#[test]
fn trws_3_1_2_10_blanks_after_the_request_line() {
    assert_eq!(answered(&invite_line("INVITE sip:remote-target@example.com SIP/2.0  ")), 400);
}

#[test]
fn escruri_3_1_2_11_escaped_headers_in_the_request_uri() {
    assert_eq!(answered(&invite_line("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0")), 400);
}

#[test]
fn baddate_3_1_2_12_a_date_not_in_gmt_is_nobody_s_business_here() {
    let request = request(&options_with("Date: Fri, 01 Jan 2010 16:00:00 EST\n"));
    assert_eq!(request.headers.text(&Name::Date).unwrap(), "Fri, 01 Jan 2010 16:00:00 EST");
}

#[test]
fn regbadct_3_1_2_13_a_contact_that_must_be_in_brackets() {
    let text = options_with("Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\n");
    // Who needs the Contact asks for it and answers with what comes of that.
    assert_eq!(request(&text).headers.contacts().unwrap_err().status.0, 400);
}

#[test]
fn badaspec_3_1_2_14_blanks_within_an_addr_spec() {
    let to = "To: \"Watson, Thomas\" < sip:t.watson@example.org >";
    assert_eq!(answered(&options_with("l: 0\n").replace("To: <sip:501@switch.local>", to)), 400);
}

#[test]
fn baddn_3_1_2_15_a_display_name_that_must_be_quoted() {
    let to = "To: Watson, Thomas <sip:t.watson@example.org>";
    assert_eq!(answered(&options_with("l: 0\n").replace("To: <sip:501@switch.local>", to)), 400);
}

#[test]
fn badvers_3_1_2_16_another_version() {
    assert_eq!(answered(&options_with("l: 0\n").replace("SIP/2.0", "SIP/7.0")), 505);
}

#[test]
fn mismatch01_3_1_2_17_cseq_with_another_method() {
    assert_eq!(answered(&options_with("l: 0\n").replace("1 OPTIONS", "1 INVITE")), 400);
}

#[test]
fn mismatch02_3_1_2_18_cseq_with_another_method_than_the_unknown() {
    assert_eq!(answered(&invite_line("NEWMETHOD sip:user@example.com SIP/2.0")), 400);
}

#[test]
fn bigcode_3_1_2_19_an_overlarge_status_code() {
    let text = r#"
SIP/2.0 4294967301 better not break the receiver
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: bigcode.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i
CSeq: 353494 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>

"#;
    assert!(is_unusable(text));
    assert_eq!(response(&text.replace("4294967301", "699")).status.0, 699);
    assert!(is_unusable(&text.replace("4294967301", "700")));
    assert!(is_unusable(&text.replace("4294967301", "099")));
}

#[test]
fn badbranch_3_2_1_a_branch_of_nothing_but_the_cookie_is_left_to_the_transaction() {
    let request = request(&options_with("l: 0\n").replace("branch=z9hG4bK1", "branch=z9hG4bK"));
    assert_eq!(request.headers.via().unwrap().branch(), Some("z9hG4bK"));
}

#[test]
fn insuf_3_3_1_missing_required_headers_are_answered_along_the_via() {
    let text = r#"
INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: 5

v=0
"#;
    assert_eq!(answered(text), 400);
    assert!(is_unusable(&text.replace("INVITE", "ACK")), "an ACK is never answered");
}

#[test]
fn unkscm_3_3_2_an_unknown_scheme_is_read() {
    let request = request(&invite_line("INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"));
    assert_eq!(request.uri.scheme, Scheme::Other("nobodyknowsthisscheme".into()));
    assert_eq!(request.uri.user.as_deref(), Some("totallyopaquecontent"));
}

#[test]
fn novelsc_3_3_3_a_known_atypical_scheme_is_read() {
    let request = request(&invite_line("INVITE soap.beep://192.0.2.103:3002 SIP/2.0"));
    assert_eq!(request.uri.to_string(), "soap.beep://192.0.2.103:3002");
}

#[test]
fn multi01_3_3_8_several_values_where_one_is_allowed() {
    for line in ["From: <sip:other@example.net>;tag=2", "To: <sip:b@c>", "Call-ID: second@y", "CSeq: 1 OPTIONS"] {
        assert_eq!(answered(&options_with(&format!("{line}\n"))), 400, "{line}");
    }
    assert!(request(&options_with("Max-Forwards: 70\nMax-Forwards: 5\n")).headers.max_forwards().is_err());
}

#[test]
fn mcl01_3_3_9_several_content_lengths() {
    assert_eq!(answered(&options_with("Content-Length: 13\nl: 5\n\nThere's no way")), 400);
    assert_eq!(request(&options_with("Content-Length: 5\nl: 05\n\nThere's no way")).body, "There");
}

#[test]
fn cparam01_3_3_12_parameters_of_an_addr_spec_are_the_header_s() {
    let text = options_with("Contact: sip:+19725552222@gw1.example.net;unknownparam\n");
    let contact = &contact_list(&request(&text))[0];
    assert_eq!(contact.params.get("unknownparam"), Some(None));
    assert!(contact.uri.params.0.is_empty());
}

#[test]
fn cparam02_3_3_13_parameters_within_brackets_are_the_uri_s() {
    let text = options_with("Contact: <sip:+19725552222@gw1.example.net;unknownparam>\n");
    let contact = &contact_list(&request(&text))[0];
    assert_eq!(contact.uri.params.get("unknownparam"), Some(None));
    assert!(contact.params.0.is_empty());
}

#[test]
fn inv2543_3_4_1_a_request_of_rfc_2543() {
    let request = request(
        r#"
INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp

v=0
"#,
    );
    assert_eq!(request.headers.via().unwrap().branch(), None);
    assert_eq!(request.headers.from().unwrap().tag(), None);
    assert_eq!(request.body, "v=0\r\n");
}
