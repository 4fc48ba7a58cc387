//! How a body is written: the request says so by `Content-Type`, the reply is as `Accept` wants it, else as the request was (RFC 9110 §12.5.1).

use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::http::request::Parts;

use crate::boundary::{Format, Reply};
use crate::wire::{json, xml};

const JSON: &str = "application/json";
/// Both names of XML; a client is told the one it uses (RFC 7303 §9.1 and §9.2).
const XML: [&str; 2] = ["application/xml", "text/xml"];

/// The media type of a reply, where the client has a say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Json,
    Xml(&'static str),
    /// Nothing was said: as the session does it, or JSON.
    Open,
}

/// How the request's own body is written. curl's own default is taken for JSON: a person typing means it.
pub(super) fn format(head: &Parts) -> Format {
    match xml_name(&content_type(head)) {
        Some(_) => Format::Xml,
        None => Format::Json,
    }
}

/// How the reply is to be written.
pub(super) fn wish(head: &Parts) -> Wish {
    let accepted = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0, None);
    for range in accepted.flat_map(|line| line.split(',')) {
        let (range, quality) = (essence(range), quality(range));
        // The first of several equals.
        if quality > best.0 {
            best = (quality, Some(range));
        }
    }
    match best.1.as_deref() {
        Some(JSON) => Wish::Json,
        Some(range) if xml_name(range).is_some() => Wish::Xml(xml_name(range).unwrap_or(XML[0])),
        // Anything at all, or nothing of ours: the reply is like the request.
        _ => {
            let sent = content_type(head);
            match (xml_name(&sent), sent.is_empty()) {
                (Some(name), _) => Wish::Xml(name),
                (None, true) => Wish::Open,
                (None, false) => Wish::Json,
            }
        }
    }
}

/// The same reply, written as the client wants it.
pub(super) fn written(reply: Reply, wish: Wish) -> Reply {
    let name = match (wish, reply.format) {
        (Wish::Xml(name), _) => name,
        (Wish::Open, Format::Xml) => XML[0],
        (Wish::Json, _) | (Wish::Open, Format::Json) => return reply,
    };
    if reply.content_type != JSON {
        return reply;
    }
    match json::decode(&reply.body) {
        Ok(value) => Reply { content_type: name, body: xml::encode(&value), ..reply },
        Err(failure) => {
            tracing::error!(text = failure.text, "a reply cannot be written as XML");
            reply
        }
    }
}

fn content_type(head: &Parts) -> String {
    essence(head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn xml_name(media_type: &str) -> Option<&'static str> {
    XML.into_iter().find(|name| *name == media_type).or_else(|| media_type.ends_with("+xml").then_some(XML[0]))
}

/// In thousandths (RFC 9110 §12.4.2); what cannot be read counts as nothing said.
fn quality(range: &str) -> u16 {
    let told = range.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let quality: f32 = told.and_then(|told| told.trim().parse().ok()).unwrap_or(1.0);
    (quality.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let builder = hyper::Request::builder().method("POST").uri("/execute");
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn s22_the_body_is_what_its_type_says_and_curls_default_is_json() {
        for (media_type, told) in [
            ("application/json", Format::Json),
            ("application/x-www-form-urlencoded", Format::Json),
            ("application/xml", Format::Xml),
            ("Text/XML; charset=utf-8", Format::Xml),
            ("application/soap+xml", Format::Xml),
        ] {
            assert_eq!(format(&head(&[("content-type", media_type)])), told, "{media_type}");
        }
        assert_eq!(format(&head(&[])), Format::Json);
    }

    #[test]
    fn s22_the_reply_is_what_is_accepted_or_else_as_the_request_was() {
        let of = |sent: &str, accepted: &str| wish(&head(&[("content-type", sent), ("accept", accepted)]));
        let (json, xml, text) = (Wish::Json, Wish::Xml("application/xml"), Wish::Xml("text/xml"));
        for (sent, accepted, wanted) in [
            ("application/xml", "*/*", xml),
            ("text/xml", "*/*", text),
            ("text/xml", "application/json", json),
            ("application/json", "text/xml", text),
            ("application/json", "text/html, application/xml;q=0.5, */*;q=0.1", json),
            ("application/json", "application/json;q=0.5, application/xml;q=0.9", xml),
            ("application/json", "application/xml, application/json", xml),
            ("application/xml", "application/json;q=0, */*", xml),
            ("application/x-www-form-urlencoded", "*/*", json),
        ] {
            assert_eq!(of(sent, accepted), wanted, "{sent}, {accepted}");
        }
        assert_eq!(wish(&head(&[])), Wish::Open);
        assert_eq!(wish(&head(&[("content-type", "text/xml")])), text);
    }

    #[test]
    fn a_reply_is_written_as_wanted_and_what_is_no_message_stays() {
        let reply = |format| Reply { format, ..Reply::json(200, "{\"a\":1}".into()) };
        let xml = written(reply(Format::Json), Wish::Xml("text/xml"));
        assert_eq!(xml.content_type, "text/xml");
        assert!(xml.body.ends_with(b"<cas><a type=\"number\">1</a></cas>\n"));
        assert_eq!(written(reply(Format::Xml), Wish::Open).content_type, "application/xml");
        assert_eq!(written(reply(Format::Xml), Wish::Json).content_type, "application/json");
        let metrics = written(Reply::new(200, "text/plain", "a 1"), Wish::Xml("text/xml"));
        assert_eq!((metrics.content_type, &metrics.body[..]), ("text/plain", &b"a 1"[..]));
    }
}
