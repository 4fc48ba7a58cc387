//! What went wrong at the sockets and in the log, and how late the media threads were, for `/metrics`: what the node, which answers it, cannot know.

use bytes::Bytes;
use cas::cas::Reply;
use media::Lateness;

use super::Control;
use crate::histogram::Series;
use crate::{log, metrics};

/// The node's metrics with these behind them.
pub(super) fn append(control: &Control, mut reply: Reply) -> Reply {
    let late = lateness(&control.media.borrow().lateness());
    let times = control.times.get();
    let lag = metrics::histogram(
        "control_lag_seconds",
        "How late the control thread did what was due at a time",
        &[("", times.lag.series())],
    );
    let invite = metrics::histogram(
        "make_call_invite_seconds",
        "From a client's make-call to the INVITE on the wire",
        &[("", times.make_call.series())],
    );
    let others = render(control);
    let parts = [&reply.body[..], late.as_bytes(), lag.as_bytes(), invite.as_bytes(), others.as_bytes()];
    reply.body = Bytes::from(parts.concat());
    reply
}

/// A histogram of how late the media threads turned, every 5 ms.
fn lateness(lateness: &Lateness) -> String {
    let series = Series { bounds_us: &media::BOUNDS_US, buckets: &lateness.buckets, sum_us: lateness.sum_us };
    metrics::histogram("media_tick_lateness_seconds", "How late the media threads turned", &[("", series)])
}

fn render(control: &Control) -> String {
    let (udp, tcp) = (control.udp.counts(), control.tcp.counts());
    let counters = [
        ("net_udp_full", "Datagrams not sent because the kernel had no room", udp.full.get()),
        ("net_udp_dropped", "Datagrams the kernel dropped because a SIP socket was full", udp.dropped.get()),
        ("net_udp_unsent", "Datagrams the kernel refused to send", udp.unsent.get()),
        ("net_udp_receive_errors", "Errors on receiving datagrams", udp.receive_errors.get()),
        ("net_tcp_refused", "SIP connections closed at once because a limit was reached", tcp.refused.get()),
        ("net_tcp_overflowed", "SIP connections cut because the peer did not read", tcp.overflowed.get()),
        ("net_tcp_unsent", "SIP messages for connections that were gone", tcp.unsent.get()),
        ("http_refused", "HTTP connections answered 503 because a limit was reached", control.http_turns.refused()),
        ("http_turns", "Times that HTTP had to wait for SIP and the timers", control.http_turns.begun()),
        (
            "history_trimmed",
            "Call records removed because there were too many or they were too old",
            control.store.trimmed(),
        ),
        ("trace_lost", "Packets that found no room on their way to a trace", control.tracing.borrow().lost()),
        ("log_dropped", "Lines not logged because nobody took them", log::dropped_lines()),
    ];
    metrics::encode(&[], &counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_a_histogram_whose_buckets_hold_those_below() {
        let mut counted = Lateness { sum_us: 1_500_000, ..Lateness::default() };
        (counted.buckets[0], counted.buckets[3], counted.buckets[10]) = (5, 2, 1);
        let text = lateness(&counted);
        let lines: Vec<&str> =
            text.lines().map(|line| line.trim_start_matches("switch_media_tick_lateness_seconds")).collect();
        assert_eq!(
            lines[2..6],
            [
                "_bucket{le=\"0.00005\"} 5",
                "_bucket{le=\"0.0001\"} 5",
                "_bucket{le=\"0.00016\"} 5",
                "_bucket{le=\"0.00025\"} 7"
            ]
        );
        assert_eq!(lines[11..], ["_bucket{le=\"0.05\"} 7", "_bucket{le=\"+Inf\"} 8", "_sum 1.5", "_count 8"]);
    }
}
