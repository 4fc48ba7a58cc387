//! From the head of an HTTP request to an endpoint and a session. Paths match without regard to case.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use hyper::http::request::Parts;
use serde_json::json;

use crate::cas::{Endpoint, Reply};

/// How long a `GetEvents` waits that does not say.
const DEFAULT_POLL: u64 = 30;

/// Where the request is meant for; or the refusal of what is nowhere, of a wrong method, or of what cannot be read.
pub(super) fn endpoint(head: &Parts) -> Result<Endpoint, Reply> {
    let (method, endpoint) = match head.uri.path().to_ascii_lowercase().as_str() {
        "/login" => (Method::POST, Endpoint::Login),
        "/execute" => (Method::POST, Endpoint::Execute),
        "/logout" => (Method::POST, Endpoint::Logout),
        "/getevents" => {
            let timeout = number(head, "timeout")?.unwrap_or(DEFAULT_POLL);
            (Method::GET, Endpoint::GetEvents { timeout, after: number(head, "after")? })
        }
        "/health" => (Method::GET, Endpoint::Health),
        "/metrics" => (Method::GET, Endpoint::Metrics),
        _ => return Err(refusal(404, 11, None, "there is nothing at this path")),
    };
    if head.method != method {
        let reply = refusal(405, 1, None, &format!("this path takes {method}"));
        return Err(reply.with_header("allow", method.to_string()));
    }
    match is_xml(head) {
        true => Err(refusal(400, 1, None, "this switch speaks JSON: send Content-Type: application/json")),
        false => Ok(endpoint),
    }
}

/// curl's own default is taken for JSON: a person typing means it.
fn is_xml(head: &Parts) -> bool {
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/xml" || media_type == "text/xml" || media_type.ends_with("+xml")
}

/// The session a request claims: query, bearer, or cookie.
pub(super) fn session(head: &Parts) -> Option<String> {
    let bearer = || {
        let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    let cookie = || {
        let lines = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case("SessionId")).map(|(_, value)| value.to_owned())
    };
    query(head, "SessionId").or_else(bearer).or_else(cookie)
}

fn number(head: &Parts, name: &str) -> Result<Option<u64>, Reply> {
    let bad = |_| refusal(400, 5, Some(name), &format!("{name} is a whole number"));
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

/// A refusal by the listener itself, with a CAS body that tells why.
pub(super) fn refusal(status: u16, error: u16, field: Option<&str>, text: &str) -> Reply {
    let mut body = json!({"response": 0, "error": error, "error-text": text, "permissions": []});
    if let Some(field) = field {
        body["field"] = field.into();
    }
    Reply::new(status, "application/json", body.to_string())
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
        assert_eq!(status("GET", "/getevents?timeout=soon", &[]), 400);
    }

    #[test]
    fn the_session_comes_by_query_bearer_or_cookie() {
        let of = |uri: &str, headers: &[(&str, &str)]| session(&head("GET", uri, headers));
        assert_eq!(of("/x?SessionId=a%62c", &[("authorization", "Bearer no")]).as_deref(), Some("abc"));
        assert_eq!(of("/x", &[("authorization", "bearer t"), ("cookie", "SessionId=c")]).as_deref(), Some("t"));
        assert_eq!(of("/x", &[("cookie", "a=1; SessionId=c; b=2")]).as_deref(), Some("c"));
        assert_eq!(of("/x?y=1", &[("authorization", "Basic Zm9v")]), None);
    }

    #[test]
    fn xml_is_refused_with_a_reason_and_curls_default_is_taken() {
        assert_eq!(status("POST", "/execute", &[("content-type", "text/xml; charset=utf-8")]), 400);
        assert_eq!(status("POST", "/execute", &[("content-type", "application/x-www-form-urlencoded")]), 200);
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("a%2"), "a%2");
        assert_eq!(decode("%zz%41"), "%zzA");
    }
}
