//! Replaces (RFC 3891): the dialog whose place is to be taken, in a header, or escaped in a URI as REFER carries it (RFC 3515 §2.1).

use super::lex::{Scan, is_space, trim};
use super::message::ParseError;
use super::uri::{Params, Uri, unescape};

/// Names a dialog as the one who gets it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The Call-ID.
    pub call_id: String,
    /// The tag of the one who gets it.
    pub to_tag: String,
    /// The tag of his peer.
    pub from_tag: String,
    /// Only while it is early.
    pub early_only: bool,
}

impl Replaces {
    /// The header's value.
    pub fn parse(value: &[u8]) -> Result<Replaces, ParseError> {
        let malformed = || ParseError::bad("Malformed Replaces");
        let mut scan = Scan::new(trim(value));
        let call_id = scan.take_while(|byte| byte != b';' && !is_space(byte));
        let call_id = std::str::from_utf8(call_id).ok().filter(|id| !id.is_empty()).ok_or_else(malformed)?.to_owned();
        let params = Params::parse_header(&mut scan)?;
        let tag = |name| params.value(name).map(str::to_owned).ok_or_else(malformed);
        let early_only = params.get("early-only").is_some();
        Ok(Replaces { call_id, to_tag: tag("to-tag")?, from_tag: tag("from-tag")?, early_only })
    }

    /// That among the headers of a URI, if there is one.
    pub fn of_uri(uri: &Uri) -> Result<Option<Replaces>, ParseError> {
        let headers = uri.headers.as_deref().unwrap_or_default();
        let mut fields = headers.split('&').filter_map(|field| field.split_once('='));
        let value = fields.find(|(name, _)| name.eq_ignore_ascii_case("Replaces")).map(|(_, value)| value);
        value.map(|value| Replaces::parse(unescape(value)?.as_bytes())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_by_a_header_and_escaped_in_a_uri() {
        let expected = Replaces {
            call_id: "98asjd8@test.com".into(),
            to_tag: "12345".into(),
            from_tag: "54321".into(),
            early_only: false,
        };
        assert_eq!(Replaces::parse(b"98asjd8@test.com;to-tag=12345;from-tag=54321").unwrap(), expected);
        let uri = "sip:b@example.com?Subject=x&Replaces=98asjd8%40test.com%3Bto-tag%3D12345%3Bfrom-tag%3D54321";
        assert_eq!(Replaces::of_uri(&Uri::parse(uri).unwrap()).unwrap(), Some(expected));
        assert_eq!(Replaces::of_uri(&Uri::parse("sip:b@example.com").unwrap()).unwrap(), None);
        assert!(Replaces::parse(b"a;to-tag=1;from-tag=2;early-only").unwrap().early_only);
        for malformed in ["", "a", "a;to-tag=1", ";to-tag=1;from-tag=2", "a b;to-tag=1;from-tag=2"] {
            assert!(Replaces::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }
}
