//! What `/metrics` shows, in the text format of Prometheus.

use cas::cas::Stats;
use cas::control::CallControl;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::engine::Engine;

/// The counts of a switch at this instant.
pub(crate) fn render(engine: &Engine, clients: &Stats) -> String {
    let (status, counts) = (engine.status(), engine.counts());
    let (kept, lost) = engine.kept_records();
    let gauges = [
        ("calls", "Calls up now", status.calls),
        ("registrations", "Bindings held now", status.registrations),
        ("sip_transactions", "SIP transactions open now", status.transactions),
        ("rtp_ports_free", "RTP ports not in use", engine.free_ports()),
        ("rtp_ports_guarded", "RTP ports kept out of use because a phone may still send there", engine.guarded_ports()),
        ("records_kept", "Call records that wait for the store to be well again", kept),
        ("cas_sessions", "CAS sessions now", clients.sessions),
        ("cas_polls", "GetEvents waiting now", clients.polls),
        ("cas_pending", "Accepted commands not completed yet", clients.pending),
    ];
    let counters = [
        ("calls_begun", "Calls begun since the start", counts.calls),
        ("sip_messages", "SIP messages received", counts.messages),
        ("sip_malformed", "SIP messages that could not be read", counts.malformed),
        ("authentication_failures", "Requests with a wrong secret", counts.refused),
        (
            "sip_turned_away",
            "Requests answered 503: the switch was behind or full, or their source had its part",
            counts.turned_away,
        ),
        ("store_failures", "Writes that the store could not do", counts.store_failures),
        ("rtp_ports_unguarded", "RTP ports used again though a phone may still send there", counts.unguarded),
        ("records_lost", "Call records lost because too many waited for the store", lost),
        ("cas_messages", "CAS messages since the start", clients.messages),
        ("cas_events", "CAS events queued since the start", clients.events),
        ("cas_resyncs", "Event rings that overflowed", clients.resyncs),
        ("cas_login_failures", "Logins with a wrong name or password", clients.failed_logins),
        ("cas_overloads", "CAS requests turned away because a limit was reached", clients.overloads),
    ];
    encode(&gauges, &counters)
}

/// A name without the prefix `switch_`, what it means, the value.
type Metric<T> = (&'static str, &'static str, T);

/// As text: what stands now, and what has happened since the start.
pub(crate) fn encode(gauges: &[Metric<usize>], counters: &[Metric<u64>]) -> String {
    let mut registry = Registry::with_prefix("switch");
    for (name, help, value) in gauges {
        let gauge = Gauge::<i64>::default();
        gauge.set(*value as i64);
        registry.register(*name, *help, gauge);
    }
    for (name, help, value) in counters {
        let counter = Counter::<u64>::default();
        counter.inc_by(*value);
        registry.register(*name, *help, counter);
    }
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing to a String does not fail");
    text
}
