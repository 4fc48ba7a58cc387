//! Whom the telephone shows: as a caller the number dialled, as one who is called whom the INVITE names, and then whomever the other side asserts (RFC 3325) in
//! its answers and in requests within the call (RFC 4916).

use rsip::headers::UntypedHeader;
use rsip::message::{HasHeaders, HeadersExt};

use super::{Phone, message};

/// What stands on the display during a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The number.
    pub number: String,
    /// The name; may be empty.
    pub name: String,
}

impl Shown {
    /// Only the number is known.
    pub(super) fn dialled(number: &str) -> Shown {
        Shown { number: number.to_owned(), name: String::new() }
    }

    /// Who calls: the asserted identity, else From.
    pub(super) fn of_caller(invite: &impl HeadersExt) -> Shown {
        let from = || invite.from_header().ok().map(|from| Shown::read(from.value()));
        Shown::asserted(invite).or_else(from).unwrap_or_default()
    }

    fn asserted(message: &impl HasHeaders) -> Option<Shown> {
        message::other(message, "P-Asserted-Identity").map(Shown::read)
    }

    /// An address: `"Name" <sip:number@domain>`, or without the quotation marks, or without all but the URI.
    fn read(address: &str) -> Shown {
        let (name, rest) = address.split_once("sip:").unwrap_or_default();
        let name = name.trim_end_matches('<').trim().trim_matches('"').to_owned();
        Shown { number: rest.split(['@', '>', ';']).next().unwrap_or_default().to_owned(), name }
    }
}

impl Phone {
    /// Whom its display shows, in a call.
    pub fn shows(&self) -> Option<&Shown> {
        self.call.as_ref().map(|call| &call.shown)
    }

    /// The other side may say who it is.
    pub(super) fn show(&mut self, message: &impl HasHeaders) {
        if let (Some(call), Some(shown)) = (&mut self.call, Shown::asserted(message)) {
            call.shown = shown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn an_address_is_read_with_and_without_its_name() {
        let shown = |number: &str, name: &str| Shown { number: number.into(), name: name.into() };
        assert_eq!(Shown::read("\"First501 Last501\" <sip:501@switch.local>;tag=a"), shown("501", "First501 Last501"));
        assert_eq!(Shown::read("Desk <sip:501@switch.local>"), shown("501", "Desk"));
        assert_eq!(Shown::read("sip:501@switch.local;tag=b"), shown("501", ""));
        assert_eq!(Shown::read("<sip:*43@switch.local>"), shown("*43", ""));
        assert_eq!(Shown::read("nonsense"), shown("", ""));
    }
}
