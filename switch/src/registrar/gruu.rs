//! GRUUs (RFC 5627): a URI of the user that means one of his phones, wherever that is registered now.
//!
//! Only public ones are given out. They are worked out from the address-of-record and the phone's instance, so that nothing has to be kept, and mean
//! the same as long as the user is there: without a binding of the phone they are 480.

use crate::sip::uri::{Params, Uri};

/// The GRUU of an instance (`<urn:…>`, as a Contact tells it) under an address-of-record.
pub(crate) fn public(of_record: &Uri, instance: &str) -> Uri {
    let mut params = Params::default();
    params.set("gr", Some(bare(instance).into()));
    Uri { params, headers: None, ..of_record.clone() }
}

/// The instance that a URI means, if it is a GRUU; empty for one of a kind that is not given out.
pub(crate) fn instance(uri: &Uri) -> Option<&str> {
    uri.params.get("gr").map(Option::unwrap_or_default)
}

/// Whether a binding's instance is the one a GRUU names (compared as URNs are written: phones do not change the case of their own).
pub(crate) fn names(gr: &str, instance: &str) -> bool {
    bare(instance).eq_ignore_ascii_case(gr)
}

fn bare(instance: &str) -> &str {
    instance.trim_start_matches('<').trim_end_matches('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_5627_section_3_1_a_public_gruu_is_the_address_of_record_with_gr() {
        let of_record = Uri::parse("sip:callee@example.com;transport=tcp").unwrap();
        let gruu = public(&of_record, "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>");
        assert_eq!(gruu.to_string(), "sip:callee@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
        let gr = instance(&gruu).unwrap();
        assert!(names(gr, "<urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6>"));
        assert!(!names(gr, "<urn:uuid:0>"));
        assert_eq!(instance(&of_record), None);
    }
}
