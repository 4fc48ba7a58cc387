//! The 200 to a REGISTER (RFC 3261 §10.3 8, RFC 3327 §5.3, RFC 5626 §6, RFC 5627 §5.3).

use std::time::{Duration, UNIX_EPOCH};

use cas::time::Now;
use compact_str::ToCompactString as _;

use super::register::reg_id;
use super::{Binding, gruu, supports};
use crate::sip::header::{Address, Name};
use crate::sip::message::{Request, Response, Status};
use crate::sip::uri::{Params, Uri};

/// All bindings there are now, each with the seconds it has left.
pub(super) fn response(now: Now, request: &Request, bindings: &[Binding]) -> Response {
    let mut response = request.response(Status(200));
    let of_record = of_record(request).filter(|_| supports(request, "gruu"));
    for binding in bindings {
        let contact = contact(now, binding, of_record.as_ref());
        response.headers.push(Name::Contact, contact.encode());
    }
    if supports(request, "path") {
        response.headers.copy(&request.headers, &Name::Path);
    }
    if is_outbound(request) {
        response.headers.push(Name::Require, "outbound");
    }
    let date = UNIX_EPOCH + Duration::from_millis(now.wall.0);
    response.headers.push(Name::Date, httpdate::fmt_http_date(date));
    response
}

fn contact(now: Now, binding: &Binding, of_record: Option<&Uri>) -> Address {
    let record = &binding.record;
    let mut contact = Address::new(binding.contact.clone());
    let left = binding.ends.saturating_duration_since(now.mono).as_millis().div_ceil(1000);
    contact.params.set("expires", Some(left.to_compact_string()));
    if record.q < 1000 {
        contact.params.set("q", Some((f64::from(record.q) / 1000.0).to_compact_string()));
    }
    if let Some(instance) = &record.instance {
        contact.params.set("+sip.instance", Some(instance.as_str().into()));
        if let Some(of_record) = of_record {
            contact.params.set("pub-gruu", Some(gruu::public(of_record, instance).to_compact_string()));
        }
    }
    if record.reg_id > 0 {
        contact.params.set("reg-id", Some(record.reg_id.to_compact_string()));
    }
    contact
}

/// The address-of-record: the To URI without what does not belong to it (§10.3 5).
pub(super) fn of_record(request: &Request) -> Option<Uri> {
    let to = request.headers.to().ok()?.uri.clone();
    Some(Uri { params: Params::default(), headers: None, ..to })
}

/// Whether a flow was registered: then the phone hears that it was.
fn is_outbound(request: &Request) -> bool {
    let mut contacts = request.headers.values(&Name::Contact).filter_map(|value| Address::parse(value).ok());
    contacts.any(|contact| reg_id(request, &contact) > 0)
}
