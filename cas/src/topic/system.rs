//! Topic `system`: how the switch is doing, and who is reachable.

use serde_json::json;

use super::{Context, Outcome, Progress};
use crate::site::Access;
use crate::wire::Fields;
use crate::wire::rows::Rows;

pub(super) fn get_state(cx: &mut Context<'_>, _: Fields) -> Outcome {
    let status = cx.control.status();
    let stats = cx.core.stats();
    Ok(Progress::Done(Fields::from_iter([
        ("state".to_owned(), json!(if status.stopping { "stopping" } else { "running" })),
        ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ("calls".to_owned(), json!(status.calls)),
        ("calls-total".to_owned(), json!(status.calls_total)),
        ("registrations".to_owned(), json!(status.registrations)),
        ("transactions".to_owned(), json!(status.transactions)),
        ("sessions".to_owned(), json!(stats.sessions)),
        ("users".to_owned(), json!(cx.site.users().count())),
    ])))
}

pub(super) fn get_registrations(cx: &mut Context<'_>, _: Fields) -> Outcome {
    let mut rows = Rows::new(&["device", "user", "sip-user", "contact", "source", "agent", "expires"]);
    for binding in cx.control.registrations() {
        let device = cx.site.device(binding.device);
        let user = device.and_then(|device| device.user).and_then(|user| cx.site.extension_of(user));
        let sip_user = device.and_then(|device| match &device.access {
            Access::Digest { sip_user, .. } => Some(sip_user.as_str()),
            Access::Address(_) => None,
        });
        rows.push(vec![
            binding.device.0.to_string().into(),
            user.map(|extension| extension.0.as_str()).into(),
            sip_user.into(),
            binding.contact.into(),
            binding.source.into(),
            binding.agent.into(),
            binding.expires.0.into(),
        ]);
    }
    Ok(Progress::Done(Fields::from_iter([("registrations".to_owned(), rows.into())])))
}
