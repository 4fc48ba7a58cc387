//! The files the process may have open, shared out: a connection accepted beyond them would fail, and the next database or log file with it.

use nix::sys::resource::{Resource, getrlimit};
use tracing::warn;

/// Kept for all that is no connection: the database, the listeners, the control socket and its clients, the route probes.
const OWN: usize = 64;

/// Connections, where the limit is so low that the shares make no sense.
const LEAST: usize = 16;

/// Fewer phones over TCP than this are worth a warning.
const FEW: usize = 1024;

/// Of three connections one is a phone's, two are clients'.
const PARTS: usize = 3;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    /// SIP over TCP.
    pub(super) sip: usize,
    /// HTTP, on all listeners.
    pub(super) http: usize,
}

/// Of what is wanted, what the limit of this process leaves, which the media plane has raised as far as it goes, and of which it has taken `media` files.
pub(super) fn connections(wanted: Connections, media: usize) -> Connections {
    // A system that does not tell has none worth the name.
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let shared = share(usize::try_from(limit).unwrap_or(usize::MAX), wanted, media);
    let Connections { sip, http } = shared;
    if shared.sip < FEW.min(wanted.sip) {
        warn!(
            limit,
            media, sip, http, "the limit on open files leaves room for few connections: raise it (LimitNOFILE)"
        );
    }
    shared
}

fn share(limit: usize, wanted: Connections, media: usize) -> Connections {
    let left = limit.saturating_sub(media).saturating_sub(OWN);
    let sip = (left / PARTS).max(LEAST).min(wanted.sip);
    Connections { sip, http: left.saturating_sub(sip).max(LEAST).min(wanted.http) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Connections = Connections { sip: 8192, http: 16_384 };

    #[test]
    fn a_high_limit_grants_what_is_wanted() {
        assert_eq!(share(1 << 20, WANTED, 20_000), WANTED);
    }

    #[test]
    fn what_is_granted_fits_beside_the_media_ports() {
        for limit in [1024, 4096, 20_000, 65_536] {
            let media = limit / 2;
            let Connections { sip, http } = share(limit, WANTED, media);
            assert!(sip > 100 && http > sip, "{limit}: {sip}, {http}");
            assert!(media + OWN + sip + http <= limit, "{limit}: {sip}, {http}");
        }
    }

    #[test]
    fn the_lowest_limit_leaves_a_few() {
        assert_eq!(share(64, WANTED, 64), Connections { sip: LEAST, http: LEAST });
    }
}
