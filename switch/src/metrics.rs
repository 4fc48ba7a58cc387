//! What `/metrics` shows, in the text format of Prometheus (0.0.4).

use std::fmt::Write as _;

use cas::cas::Stats;
use cas::control::CallControl;

use crate::engine::Engine;
use crate::histogram::Series;

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
    let setup = engine.setup_times();
    let durations = engine.transaction_times();
    let setup = [("until=\"ringing\"", setup.ringing.series()), ("until=\"answer\"", setup.answer.series())];
    let durations = [("role=\"server\"", durations.server.series()), ("role=\"client\"", durations.client.series())];
    encode(&gauges, &counters)
        + &histogram("call_setup_seconds", "From a phone's INVITE to our first 180 and to our 200", &setup)
        + &histogram("sip_transaction_seconds", "From a request to its final response", &durations)
}

/// A name without the prefix `switch_`, what it means, the value.
type Metric<T> = (&'static str, &'static str, T);

/// As text: what stands now, and what has happened since the start.
pub(crate) fn encode(gauges: &[Metric<usize>], counters: &[Metric<u64>]) -> String {
    let mut text = String::new();
    for (name, help, value) in gauges {
        let _ = writeln!(text, "# HELP switch_{name} {help}.\n# TYPE switch_{name} gauge\nswitch_{name} {value}");
    }
    for (name, help, value) in counters {
        let name = format!("switch_{name}_total");
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} counter\n{name} {value}");
    }
    text
}

/// A histogram: each bucket with all that are below it. `series` are told apart by a label, which may be empty.
pub(crate) fn histogram(name: &str, help: &str, series: &[(&str, Series<'_>)]) -> String {
    let name = format!("switch_{name}");
    let mut text = format!("# HELP {name} {help}.\n# TYPE {name} histogram\n");
    for (label, Series { bounds_us, buckets, sum_us }) in series {
        let comma = if label.is_empty() { "" } else { "," };
        let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let seconds = |us: u64| us as f64 / 1e6;
        let bounds = bounds_us.iter().map(|us| seconds(*us).to_string()).chain(["+Inf".to_owned()]);
        let mut below = 0;
        for (bound, count) in bounds.zip(*buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(text, "{name}_sum{braces} {}\n{name}_count{braces} {below}", seconds(*sum_us));
    }
    text
}
