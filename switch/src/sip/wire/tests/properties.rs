//! What holds for any message and any bytes.

use proptest::prelude::*;

use super::*;
use crate::sip::header::{Address, CSeq, Headers, Name, Via};
use crate::sip::message::{Method, Status};
use crate::sip::uri::{Host, Params, Scheme, Text, Uri};

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

/// Any text that holds no control character, awkward ones more often.
fn text() -> BoxedStrategy<Text> {
    prop_oneof![r#"[ "\\<>;,@%?=:a-z]{1,10}"#, r"\PC{1,10}"].prop_map(Text::from).boxed()
}

fn host() -> BoxedStrategy<Host> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z]{1,5})?".prop_map(|name| Host::Name(name.into())),
        any::<std::net::Ipv4Addr>().prop_map(|address| Host::Ip(address.into())),
        any::<std::net::Ipv6Addr>().prop_map(|address| Host::Ip(address.into())),
    ]
    .boxed()
}

fn params() -> BoxedStrategy<Params> {
    prop::collection::vec(("[a-z][a-z0-9.-]{0,8}", prop::option::of(text())), 0..4)
        .prop_map(|params| {
            // These are written without quotes, whatever they hold.
            let bare = ["branch", "expires", "maddr", "q", "received", "rport", "tag", "ttl"];
            let params = params.into_iter().filter(|(name, _)| !bare.contains(&name.as_str()));
            Params(params.map(|(name, value)| (name.into(), value)).collect())
        })
        .boxed()
}

fn sip_uri() -> impl Strategy<Value = Uri> {
    let scheme = prop_oneof![Just(Scheme::Sip), Just(Scheme::Sips)];
    let headers = prop::option::of("[a-z]{1,5}=[a-z%0-9]{0,5}(&[a-z]{1,4}=x)?".prop_map(Text::from));
    (scheme, prop::option::of(text()), host(), prop::option::of(any::<u16>()), params(), headers).prop_map(
        |(scheme, user, host, port, params, headers)| Uri { scheme, user, host: Some(host), port, params, headers },
    )
}

fn uri() -> BoxedStrategy<Uri> {
    let number = ("[+*#0-9.-]{1,12}", params()).prop_map(|(number, params)| Uri {
        scheme: Scheme::Tel,
        user: Some(number.into()),
        host: None,
        port: None,
        params,
        headers: None,
    });
    let other = ("[a-z][a-z0-9+.-]{0,6}", "[!#-;=?-~]{1,20}")
        .prop_filter("known", |(scheme, _)| !["sip", "sips", "tel"].contains(&scheme.as_str()))
        .prop_map(|(scheme, rest)| Uri::verbatim(Scheme::Other(scheme.into()), &rest));
    prop_oneof![4 => sip_uri().boxed(), 1 => number.boxed(), 1 => other.boxed()].boxed()
}

fn address() -> BoxedStrategy<Address> {
    (prop::option::of(text()), uri(), params())
        .prop_map(|(display, uri, params)| Address { display, uri, params })
        .boxed()
}

fn via() -> impl Strategy<Value = Via> {
    ("[A-Z]{2,4}", host(), prop::option::of(any::<u16>()), params(), token()).prop_map(
        |(transport, host, port, mut params, branch)| {
            params.set("branch", Some(format!("z9hG4bK{branch}").into()));
            Via { transport: transport.into(), host, port, params }
        },
    )
}

fn method() -> impl Strategy<Value = Method> {
    token()
        .prop_filter("a status line", |token| !token.starts_with("SIP/"))
        .prop_map(|token| Method::from_token(&token))
}

prop_compose! {
    fn headers(method: Method)(
        vias in prop::collection::vec(via(), 1..3),
        from in address(),
        to in address(),
        call_id in "[!-~]{1,20}",
        number in 0u32..1 << 31,
        others in prop::collection::vec((token(), r"([!-~\x80-\xff]([ -~\t]{0,10}[!-~])?)?"), 0..5),
    ) -> Headers {
        let mut headers = Headers::default();
        for via in vias {
            headers.push(Name::Via, via.to_string());
        }
        headers.push(Name::From, from.to_string());
        headers.push(Name::To, to.to_string());
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, CSeq { number, method: method.clone() }.to_string());
        for (name, value) in others {
            headers.push(Name::Other(format!("X-{name}")), value);
        }
        headers
    }
}

fn body() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

fn any_request() -> impl Strategy<Value = Request> {
    (method(), uri(), body()).prop_flat_map(|(method, mut uri, body)| {
        uri.headers = None;
        headers(method.clone()).prop_map(move |headers| Request {
            method: method.clone(),
            uri: uri.clone(),
            headers,
            body: body.clone(),
        })
    })
}

fn any_response() -> impl Strategy<Value = Response> {
    (100u16..700, r"([!-~äø]([ -~]{0,10}[!-~])?)?", headers(Method::Invite), body())
        .prop_map(|(status, reason, headers, body)| Response { status: Status(status), reason, headers, body })
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![any_request().prop_map(Message::Request).boxed(), any_response().prop_map(Message::Response).boxed()]
}

fn encode(message: &Message) -> Bytes {
    match message {
        Message::Request(request) => request.encode(),
        Message::Response(response) => response.encode(),
    }
}

/// A whole message with some bytes changed, or no message at all.
fn any_bytes() -> BoxedStrategy<Vec<u8>> {
    let damaged = (any_message().boxed(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4))
        .prop_map(|(message, changes)| {
            let mut bytes = encode(&message).to_vec();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        });
    prop_oneof![4 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..300), 1 => r#"[\r\n :;,<>"\\a-zA-Z0-9/@%]{0,200}"#.prop_map(String::into_bytes)].boxed()
}

/// Asks for everything a message can be asked for.
fn ask(headers: &Headers) {
    let _ = (headers.via(), headers.from(), headers.to(), headers.cseq(), headers.max_forwards(), headers.contacts());
    for (name, value) in headers.iter() {
        let _ = (headers.tokens(name), headers.addresses(name), crate::sip::digest::Credentials::parse(value));
        let _ = Address::parse(value).map(|address| (address.to_string(), address.uri.same_as(&address.uri)));
        let _ = Via::parse(value).map(|via| via.to_string());
    }
}

/// All frames of a stream in pieces of these sizes, by turns.
fn frames(stream: &[u8], pieces: &[usize]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let (mut frames, mut rest, mut turn) = (Vec::new(), stream, 0);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(pieces[turn % pieces.len()].min(rest.len()));
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
        (rest, turn) = (after, turn + 1);
    }
    frames
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was(message in any_message()) {
        prop_assert_eq!(parse_datagram(&encode(&message)), Parsed::Message(message));
    }

    #[test]
    fn a_uri_written_reads_as_it_was(uri in uri()) {
        let written = uri.to_string();
        prop_assert_eq!(Uri::parse(&written), Ok(uri.clone()), "{}", written);
        prop_assert!(uri.same_as(&uri));
    }

    #[test]
    fn an_address_written_reads_as_it_was(address in address()) {
        let written = address.to_string();
        let mut read = Address::parse(written.as_bytes()).unwrap();
        // An unquoted display name would lose its outer blanks, a quoted one keeps them.
        prop_assert_eq!(read.display.take(), address.display);
        prop_assert_eq!((read.uri, read.params), (address.uri, address.params), "{}", written);
    }

    #[test]
    fn a_via_written_reads_as_it_was(via in via()) {
        prop_assert_eq!(Via::parse(via.to_string().as_bytes()), Ok(via));
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in any_bytes()) {
        match parse_datagram(&Bytes::from(bytes)) {
            Parsed::Message(message) => {
                let (Message::Request(Request { headers, .. }) | Message::Response(Response { headers, .. })) = &message;
                ask(headers);
                let again = matches!(parse_datagram(&encode(&message)), Parsed::Message(_));
                prop_assert!(again, "what was read can be written");
            }
            Parsed::Answerable(request, error) => {
                ask(&request.headers);
                prop_assert!([400, 505, 513].contains(&error.status.0));
                prop_assert!(request.response(error.status).headers.reply_via().is_ok());
            }
            Parsed::KeepAlive | Parsed::Unusable(_) => {}
        }
    }

    #[test]
    fn nothing_that_is_written_leaves_its_line(
        name in any::<String>(), value in any::<Vec<u8>>(), method in any::<String>(), user in any::<String>(), reason in any::<String>(),
    ) {
        let mut uri = Uri::parse("sip:a@b").unwrap();
        let [user, reason_text] = [&user, &reason].map(Text::from);
        uri.user = Some(user.clone());
        uri.host = Some(Host::Name(reason_text.clone()));
        uri.params.set(&name, Some(user.clone()));
        uri.headers = Some(reason_text.clone());
        let mut params = Params::default();
        params.set(&name, Some(reason_text.clone()));
        params.set("tag", Some(reason_text.clone()));
        let address = Address { display: Some(user), uri: uri.clone(), params: params.clone() };
        let mut request = Request::new(Method::Other(method.clone()), uri);
        request.headers.push(Name::Other(name), value);
        request.headers.push(Name::From, address.to_string());
        request.headers.push(Name::Via, Via { transport: method.into(), host: Host::Name(reason_text), port: None, params }.to_string());
        let response = Response { status: Status(200), reason, headers: request.headers.clone(), body: Bytes::new() };
        for written in [request.encode(), response.encode()] {
            prop_assert!(written.ends_with(b"\r\n\r\n"));
            let controls = written.iter().filter(|byte| **byte != b'\t' && byte.is_ascii_control()).count();
            prop_assert_eq!(controls, 2 * 6, "the ends of six lines and nothing else");
        }
    }

    #[test]
    fn a_stream_reads_the_same_in_any_pieces(
        parts in prop::collection::vec(prop_oneof![any_bytes(), any_message().prop_map(|m| encode(&m).to_vec()), Just(b"\r\n".to_vec())], 1..5),
        pieces in prop::collection::vec(1usize..50, 1..5),
    ) {
        let stream = parts.concat();
        prop_assert_eq!(frames(&stream, &pieces), frames(&stream, &[stream.len().max(1)]));
    }
}
