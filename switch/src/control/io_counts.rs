//! What went wrong at the sockets and in the log, for `/metrics`: what the node, which answers it, cannot know.

use bytes::Bytes;
use cas::cas::Reply;

use super::Control;
use crate::{log, metrics};

/// How the text format ends.
const END: &[u8] = b"# EOF\n";

/// The node's metrics with these behind them.
pub(super) fn append(control: &Control, mut reply: Reply) -> Reply {
    let node = reply.body.strip_suffix(END).unwrap_or(&reply.body);
    reply.body = Bytes::from([node, render(control).as_bytes()].concat());
    reply
}

fn render(control: &Control) -> String {
    let (udp, tcp) = (control.udp.counts(), control.tcp.counts());
    let counters = [
        ("net_udp_full", "Datagrams not sent because the kernel had no room", udp.full.get()),
        ("net_udp_unsent", "Datagrams the kernel refused to send", udp.unsent.get()),
        ("net_udp_receive_errors", "Errors on receiving datagrams", udp.receive_errors.get()),
        ("net_tcp_refused", "SIP connections closed at once because a limit was reached", tcp.refused.get()),
        ("net_tcp_overflowed", "SIP connections cut because the peer did not read", tcp.overflowed.get()),
        ("net_tcp_unsent", "SIP messages for connections that were gone", tcp.unsent.get()),
        ("log_dropped", "Lines not logged because nobody took them", log::dropped_lines()),
    ];
    metrics::encode(&[], &counters)
}
