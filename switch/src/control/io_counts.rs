//! What went wrong at the sockets and in the log, and how late the media threads were, for `/metrics`: what the node, which answers it, cannot know.

use bytes::Bytes;
use cas::cas::Reply;
use media::Lateness;

use super::Control;
use crate::{log, metrics};

/// How the text format ends.
const END: &[u8] = b"# EOF\n";

/// The node's metrics with these behind them.
pub(super) fn append(control: &Control, mut reply: Reply) -> Reply {
    let node = reply.body.strip_suffix(END).unwrap_or(&reply.body);
    let lateness = lateness(&control.media.borrow().lateness());
    reply.body = Bytes::from([node, lateness.as_bytes(), render(control).as_bytes()].concat());
    reply
}

/// A histogram of how late the media threads turned, every 5 ms: each bucket with all that are below it.
fn lateness(lateness: &Lateness) -> String {
    const NAME: &str = "switch_media_tick_lateness_seconds";
    let bounds = media::BOUNDS_US.iter().map(|us| format!("{}", *us as f64 / 1e6)).chain(["+Inf".to_owned()]);
    let mut text = format!("# HELP {NAME} How late the media threads turned.\n# TYPE {NAME} histogram\n");
    let mut below = 0;
    for (bound, turns) in bounds.zip(lateness.buckets) {
        below += turns;
        text += &format!("{NAME}_bucket{{le=\"{bound}\"}} {below}\n");
    }
    text + &format!("{NAME}_sum {}\n{NAME}_count {below}\n", lateness.sum_us as f64 / 1e6)
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
