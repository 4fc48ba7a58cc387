//! Whole messages.

use super::*;

#[test]
fn an_ordinary_request_reads_and_writes() {
    let text = "OPTIONS sip:501@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1;rport\r\nFrom: \"A\" <sip:a@b>;tag=1\r\nTo: <sip:501@switch.local>\r\nCall-ID: x@y\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    match parse_datagram(&Bytes::from_static(text.as_bytes())) {
        Parsed::Message(Message::Request(request)) => assert_eq!(request.encode(), text),
        other => panic!("{other:?}"),
    }
}
