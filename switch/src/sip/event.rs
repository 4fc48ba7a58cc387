//! Event (RFC 6665 §8.2.1): what a subscription is about, and which of several of the same dialog it is.

use std::fmt;

use super::lex::{Scan, trim};
use super::message::ParseError;
use super::uri::Params;

/// An Event header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The package, with its templates: `dialog`, `presence.winfo`. They compare with regard to case (§8.2.1).
    pub package: String,
    /// The `id` parameter.
    pub id: Option<String>,
}

impl Event {
    /// The header's value. Parameters other than `id` say nothing here.
    pub fn parse(value: &[u8]) -> Result<Event, ParseError> {
        let malformed = || ParseError::bad("Malformed Event");
        let mut scan = Scan::new(trim(value));
        let package = scan.token().ok_or_else(malformed)?.to_owned();
        let params = Params::parse_header(&mut scan)?;
        scan.skip_space();
        match scan.is_empty() {
            true => Ok(Event { package, id: params.value("id").map(str::to_owned) }),
            false => Err(malformed()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package)?;
        let mut params = Params::default();
        if let Some(id) = &self.id {
            params.set("id", Some(id.as_str().into()));
        }
        write!(f, "{params}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_and_its_id_are_read_and_written() {
        let event = Event::parse(b" dialog ;sla;id=7").unwrap();
        assert_eq!(event, Event { package: "dialog".to_owned(), id: Some("7".to_owned()) });
        assert_eq!(event.to_string(), "dialog;id=7");
        assert_eq!(Event::parse(b"presence").unwrap().to_string(), "presence");
        for malformed in ["", ";id=1", "dialog x", "dialog;=1"] {
            assert!(Event::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }
}
