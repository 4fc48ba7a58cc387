//! What somebody sends who wants to do harm: every size has its limit, and no input takes more than linear time to read.

use super::*;
use crate::sip::header::{MAX_VALUES, Name};
use crate::sip::uri::MAX_PARAMS;

#[test]
fn a_line_over_the_limit_is_a_513() {
    let fits = format!("Subject: {}\n", "x".repeat(MAX_LINE - "Subject: ".len()));
    request(&options_with(&fits));
    assert_eq!(answered(&options_with(&fits.replace("Subject", "Subjects"))), 513);
    let folded = format!("Subject: x\n{}", format!(" {}\n", "y".repeat(1000)).repeat(17));
    assert_eq!(answered(&options_with(&folded)), 513);
}

#[test]
fn a_request_line_over_the_limit_is_a_513() {
    let user = "5".repeat(MAX_LINE);
    assert_eq!(answered(&options_with("").replace("sip:501@switch.local SIP", &format!("sip:{user}@h SIP"))), 513);
}

#[test]
fn header_fields_over_the_limit_are_a_513() {
    request(&options_with(&"X: y\n".repeat(MAX_HEADERS - 5)));
    assert_eq!(answered(&options_with(&"X: y\n".repeat(MAX_HEADERS - 4))), 513);
}

#[test]
fn parameters_over_the_limit_are_a_400() {
    let to = |params| {
        options_with("").replace("To: <sip:501@switch.local>", &format!("To: <sip:501@h>{}", ";x".repeat(params)))
    };
    request(&to(MAX_PARAMS));
    assert_eq!(answered(&to(MAX_PARAMS + 1)), 400);
    let uri = |params| options_with("").replace("local SIP", &format!("local{} SIP", ";x".repeat(params)));
    request(&uri(MAX_PARAMS));
    assert_eq!(answered(&uri(MAX_PARAMS + 1)), 400);
}

#[test]
fn values_over_the_limit_are_an_error_to_who_asks() {
    let routes = |count| request(&options_with(&format!("Route: <sip:a>{}\n", ",<sip:a>".repeat(count - 1))));
    assert_eq!(routes(MAX_VALUES).headers.addresses(&Name::Route).unwrap().len(), MAX_VALUES);
    assert_eq!(routes(MAX_VALUES + 1).headers.addresses(&Name::Route).unwrap_err().status.0, 400);
    let contacts = request(&options_with(&format!("Contact: {}\n", "<sip:a>,".repeat(MAX_VALUES + 1))));
    assert_eq!(contacts.headers.contacts().unwrap_err().status.0, 400);
    let allow = request(&options_with(&format!("Allow: {}\n", "x,".repeat(MAX_VALUES + 1))));
    assert_eq!(allow.headers.tokens(&Name::Allow).len(), MAX_VALUES);
}

#[test]
fn no_pattern_of_64_kb_does_harm_or_takes_for_ever() {
    let patterns = [
        ",", "\"", "\\", "<", ">", "<>", "\"\\", ";", ";a", "=", "%", "%zz", ":", "@", "?", "&", "[", "\r", "\n ",
        " \n", "\"<", "a,", "::",
    ];
    // Hundreds of messages of 64 KB: this would not end if anything were quadratic.
    let mut asked = 0;
    for pattern in patterns {
        let long = pattern.repeat(16_000 / pattern.len());
        for place in [
            "Via: SIP/2.0/UDP h;branch=",
            "Via: ",
            "From: ",
            "To: \"",
            "To: <sip:",
            "To: sip:a@",
            "Contact: ",
            "Route: <",
            "Allow: ",
            "CSeq: ",
            "",
        ] {
            let datagram = Bytes::from(options_with(&format!("{place}{long}\n").repeat(4)));
            // Whatever is asked of it; the verdict is others' business.
            let request = match parse_datagram(&datagram) {
                Parsed::Message(Message::Request(request)) => request,
                Parsed::Answerable(request, _) => *request,
                _ => continue,
            };
            asked += 1;
            let headers = &request.headers;
            let _ = (
                headers.contacts(),
                headers.tokens(&Name::Allow),
                headers.addresses(&Name::Route),
                headers.via(),
                request.encode(),
            );
        }
    }
    assert!(asked > 100, "only {asked} could be asked anything");
}
