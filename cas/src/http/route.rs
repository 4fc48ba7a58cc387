//! From the head of an HTTP request to an endpoint and a session. Paths match without regard to case.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, COOKIE};
use hyper::http::request::Parts;

use super::refusal;
use crate::boundary::{Endpoint, Reply};
use crate::wire::{Code, Failure};

/// How long a `GetEvents` waits that does not say.
const DEFAULT_POLL: u64 = 30;

/// Where the request is meant for; or the refusal of what is nowhere, of a wrong method, or of what cannot be read.
pub(super) fn endpoint(head: &Parts) -> Result<Endpoint, Reply> {
    let (methods, endpoint): (&[Method], _) = match head.uri.path().to_ascii_lowercase().as_str() {
        "/login" => (&[Method::POST], Endpoint::Login),
        "/execute" => (&[Method::POST], Endpoint::Execute),
        "/logout" => (&[Method::POST], Endpoint::Logout),
        // No HEAD: it must not change anything (RFC 9110 §9.2.1), and a poll takes what it is given.
        "/getevents" => (&[Method::GET], get_events(head)?),
        "/schema" => (&[Method::GET, Method::HEAD], Endpoint::Schema),
        "/health" => (&[Method::GET, Method::HEAD], Endpoint::Health),
        "/metrics" => (&[Method::GET, Method::HEAD], Endpoint::Metrics),
        _ => return Err(refusal(404, Failure::not_found("there is nothing at this path"))),
    };
    if !methods.contains(&head.method) {
        let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let failure = Failure::new(Code::MALFORMED, format!("this path takes {}", allowed.join(" and ")));
        return Err(refusal(405, failure).with_header("allow", allowed.join(", ")));
    }
    let malformed = |status, text| Err(refusal(status, Failure::new(Code::MALFORMED, text)));
    if is_encoded(head) {
        return malformed(415, "a body is taken as it is: send it without Content-Encoding");
    }
    Ok(endpoint)
}

fn get_events(head: &Parts) -> Result<Endpoint, Reply> {
    let timeout = number(head, "timeout")?.unwrap_or(DEFAULT_POLL);
    Ok(Endpoint::GetEvents { timeout, after: number(head, "after")? })
}

fn is_encoded(head: &Parts) -> bool {
    head.headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The session a request claims: query, bearer, or cookie. An empty one claims nothing.
pub(super) fn session(head: &Parts) -> Option<String> {
    let bearer = || {
        let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    let cookie = || {
        let lines = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case("SessionId")).map(|(_, value)| unquoted(value).to_owned())
    };
    let is_claim = |token: &String| !token.is_empty();
    query(head, "SessionId")
        .filter(is_claim)
        .or_else(|| bearer().filter(is_claim))
        .or_else(|| cookie().filter(is_claim))
}

/// The value of a cookie may stand in quotation marks (RFC 6265 §4.1.1).
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

fn number(head: &Parts, name: &str) -> Result<Option<u64>, Reply> {
    let bad = |_| refusal(200, Failure::bad(name, format!("{name} is a whole number")));
    query(head, name).map(|value| value.parse().map_err(bad)).transpose()
}

fn query(head: &Parts, name: &str) -> Option<String> {
    let pairs = head.uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut found = pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| decode(value));
    found.next()
}

/// Undoes percent-encoding. What is not well formed stays as it is: no token or number looks like it.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| first == b'%').and_then(|hex| hex::decode(hex).ok());
        match escaped {
            Some(byte) => {
                out.extend(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let builder = hyper::Request::builder().method(method).uri(uri);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap().into_parts().0
    }

    fn status(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        endpoint(&head(method, uri, headers)).err().map_or(200, |reply| reply.status)
    }

    #[test]
    fn paths_match_without_regard_to_case() {
        assert_eq!(endpoint(&head("POST", "/EXECUTE?x", &[])).unwrap(), Endpoint::Execute);
        assert_eq!(endpoint(&head("POST", "/Login", &[])).unwrap(), Endpoint::Login);
        assert_eq!(endpoint(&head("POST", "/logout", &[])).unwrap(), Endpoint::Logout);
        assert_eq!((status("POST", "/execute/", &[]), status("GET", "/", &[])), (404, 404));
        assert_eq!((status("GET", "/execute", &[]), status("POST", "/health", &[])), (405, 405));
    }

    #[test]
    fn get_events_reads_its_numbers() {
        let events = endpoint(&head("GET", "/GetEvents?SessionId=s&timeout=7&after=12", &[])).unwrap();
        assert_eq!(events, Endpoint::GetEvents { timeout: 7, after: Some(12) });
        let events = endpoint(&head("GET", "/getevents", &[])).unwrap();
        assert_eq!(events, Endpoint::GetEvents { timeout: DEFAULT_POLL, after: None });
    }

    #[test]
    fn a_bad_parameter_of_get_events_is_told_as_a_bad_value() {
        for (uri, field) in [("/getevents?timeout=soon", "timeout"), ("/getevents?timeout=1&after=-1", "after")] {
            let reply = endpoint(&head("GET", uri, &[])).unwrap_err();
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!((reply.status, &body["error"], &body["field"]), (200, &5.into(), &field.into()));
            assert!(body["timestamp"].is_u64());
        }
    }

    #[test]
    fn head_is_answered_where_it_changes_nothing() {
        assert_eq!((status("HEAD", "/health", &[]), status("HEAD", "/metrics", &[])), (200, 200));
        assert_eq!((status("HEAD", "/getevents", &[]), status("HEAD", "/execute", &[])), (405, 405));
        let reply = endpoint(&head("POST", "/health", &[])).unwrap_err();
        assert_eq!(reply.headers, [("allow", "GET, HEAD".to_owned())]);
    }

    #[test]
    fn an_encoded_body_is_refused() {
        assert_eq!(status("POST", "/execute", &[("content-encoding", "gzip")]), 415);
        assert_eq!(status("POST", "/execute", &[("content-encoding", "Identity")]), 200);
    }

    #[test]
    fn the_session_comes_by_query_bearer_or_cookie() {
        let of = |uri: &str, headers: &[(&str, &str)]| session(&head("GET", uri, headers));
        assert_eq!(of("/x?SessionId=a%62c", &[("authorization", "Bearer no")]).as_deref(), Some("abc"));
        assert_eq!(of("/x", &[("authorization", "bearer t"), ("cookie", "SessionId=c")]).as_deref(), Some("t"));
        assert_eq!(of("/x", &[("cookie", "a=1; SessionId=c; b=2")]).as_deref(), Some("c"));
        assert_eq!(of("/x?y=1", &[("authorization", "Basic Zm9v")]), None);
        assert_eq!(of("/x", &[("cookie", "SessionId=\"c\"")]).as_deref(), Some("c"));
        assert_eq!(of("/x?SessionId=", &[("authorization", "Bearer t")]).as_deref(), Some("t"));
        assert_eq!(
            of("/x?SessionId=", &[("authorization", "Bearer "), ("cookie", "SessionId=c")]).as_deref(),
            Some("c")
        );
        assert_eq!(of("/x?SessionId=", &[("cookie", "SessionId=")]), None);
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("a%2"), "a%2");
        assert_eq!(decode("%zz%41"), "%zzA");
    }
}
