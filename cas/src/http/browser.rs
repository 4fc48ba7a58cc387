//! What a web page must not have a browser ask in its name. A program that is no browser sends none of these headers, except `Host`.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

use super::refusal;
use crate::boundary::Reply;
use crate::wire::{Code, Failure};

/// Refuses what comes from a page of another origin. On a loopback address only `localhost` and plain addresses are names of this machine: another
/// one was pointed here by its owner, so that a page of his counts as of the same origin (DNS rebinding).
pub(super) fn check(head: &Parts, is_loopback: bool) -> Result<(), Reply> {
    if is_loopback && !is_for_this_machine(head) {
        let failure = Failure::new(Code::NOT_PERMITTED, "this address is asked as localhost or by its IP address");
        return Err(refusal(421, failure));
    }
    match is_foreign(head) {
        true => Err(refusal(403, Failure::new(Code::NOT_PERMITTED, "a web page of another origin may not ask this"))),
        false => Ok(()),
    }
}

/// The target's authority counts before the header (RFC 9112 §3.2.2); with HTTP/2 it is there alone.
fn host(head: &Parts) -> Option<Authority> {
    let header = || head.headers.get(HOST)?.as_bytes().try_into().ok();
    head.uri.authority().cloned().or_else(header)
}

/// Whoever names no host names no other.
fn is_for_this_machine(head: &Parts) -> bool {
    // What programs write, which need not be taken apart.
    let written = || head.headers.get(HOST)?.to_str().ok();
    let is_plain = |host: &str| host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
    if head.uri.authority().is_none() && written().is_some_and(is_plain) {
        return true;
    }
    host(head).is_none_or(|host| is_this_machine(&host))
}

fn is_this_machine(host: &Authority) -> bool {
    let name = host.host();
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn is_foreign(head: &Parts) -> bool {
    // A plain GET has no Origin, and on this machine the cookie is sent to every port.
    let site = head.headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = head.headers.get(ORIGIN) else { return false };
    let is_own = || same(origin.to_str().ok()?, host(head)?.as_str());
    is_own() != Some(true)
}

/// Whether an origin (RFC 6454 §7) is that of the host asked; `null` is nobody's.
fn same(origin: &str, host: &str) -> Option<bool> {
    let (scheme, authority) = origin.split_once("://")?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    Some(bare(authority) == bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uri: &str, headers: &[(&str, &str)], is_loopback: bool) -> u16 {
        let builder = hyper::Request::builder().method("POST").uri(uri);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        check(&builder.body(()).unwrap().into_parts().0, is_loopback).err().map_or(200, |reply| reply.status)
    }

    #[test]
    fn a_page_of_another_origin_may_not_ask() {
        let with = |host, origin| status("/execute", &[("host", host), ("origin", origin)], false);
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("Switch.example", "http://switch.example:80"),
            ("switch.example:443", "https://switch.example"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(with(host, origin), 200, "{origin}");
        }
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:3000"),
            ("127.0.0.1:8080", "http://evil.example"),
            ("127.0.0.1:8080", "null"),
            ("switch.example", "https://switch.example:80"),
        ] {
            assert_eq!(with(host, origin), 403, "{origin}");
        }
        assert_eq!(status("/execute", &[("origin", "http://evil.example")], false), 403, "without a Host");
        assert_eq!(status("/execute", &[("host", "a"), ("sec-fetch-site", "same-site")], false), 403);
        assert_eq!(status("/execute", &[("host", "a"), ("sec-fetch-site", "same-origin")], false), 200);
    }

    #[test]
    fn a_loopback_address_is_asked_by_the_names_of_this_machine() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]", "192.0.2.1"] {
            assert_eq!(status("/execute", &[("host", host)], true), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8080", "switch"] {
            assert_eq!(status("/execute", &[("host", host)], true), 421, "{host}");
            assert_eq!(status("/execute", &[("host", host)], false), 200, "{host}");
        }
        assert_eq!(status("http://evil.example/execute", &[("host", "localhost")], true), 421);
        assert_eq!(status("/execute", &[], true), 200, "no browser leaves it out");
    }
}
