//! Which address a leg's packets may come from (symmetric RTP, RFC 4961, with a guard).
//!
//! A telephone behind a NAT sends from an address it does not know, so the address in its SDP cannot be held against it. But an open port that
//! believes whoever sends first can be taken over by a stranger. Hence:
//!
//! - The signalled address is always right: its first packet locks the leg to it.
//! - Within [`GUARD`] of the answer, the first *other* source is taken instead; that is the telephone behind its NAT, or a stranger who was
//!   quick. If the signalled address speaks within the same five seconds, it wins the leg back and is locked: it cannot be a stranger's guess,
//!   and a telephone that reaches us from its signalled address is not behind a NAT that changes it.
//! - When the five seconds are over, whoever was taken stays. All others are strangers.
//!
//! The guard opens anew when an offer/answer exchange changes the address, and with every exchange as long as nobody has been taken (an early answer
//! may precede the telephone's first packet by the whole time it rings). In the first [`DRAIN`] after a change the telephone's former address
//! cannot be taken: its last packets are still on the way, and they must not shut out the new one.
//!
//! It also opens anew with an exchange, even of the same address, when the source that was taken has been quiet for [`QUIET`]: on hold nothing
//! is sent that would keep a NAT's mapping alive, and the telephone that comes back has another one. Until it speaks, sound goes to the old one.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a source other than the signalled one may be taken.
const GUARD: Duration = Duration::from_secs(5);
/// How long packets from a former address may still be on their way.
const DRAIN: Duration = Duration::from_secs(1);
/// A source that has said nothing for so long may have lost its mapping. One that merely sends no silence comes to no harm.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Latch {
    signalled: SocketAddr,
    opened: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody has spoken since the guard opened.
    Waiting { former: Option<SocketAddr> },
    /// Another source than the signalled one was first.
    Guest(SocketAddr),
    /// The guest was quiet when the guard opened anew: it is sent to until somebody speaks, perhaps itself.
    QuietGuest(SocketAddr),
    /// The signalled address.
    Locked,
}

impl Latch {
    pub(crate) fn new(now: Instant, signalled: SocketAddr) -> Latch {
        Latch { signalled, opened: now, state: State::Waiting { former: None } }
    }

    /// Another exchange settled this address; the telephone has been `quiet` for so long. Whether the telephone may be elsewhere now, so that
    /// nothing learnt of it holds any more.
    pub(crate) fn signal(&mut self, now: Instant, signalled: SocketAddr, quiet: Duration) -> bool {
        let moved = signalled != self.signalled;
        let state = match self.state {
            // Packets of a former address are on the way even if nobody has spoken from the one that followed it.
            State::Waiting { former } => State::Waiting { former },
            _ if moved => State::Waiting { former: self.peer() },
            State::Guest(guest) if quiet >= QUIET => State::QuietGuest(guest),
            State::QuietGuest(guest) => State::QuietGuest(guest),
            State::Guest(_) | State::Locked => return false,
        };
        *self = Latch { signalled, opened: now, state };
        moved || matches!(state, State::QuietGuest(_))
    }

    /// Whether a packet, already found to be RTP as agreed, is the telephone's. Takes its source where the guard allows.
    pub(crate) fn admits(&mut self, now: Instant, from: SocketAddr) -> bool {
        let age = now.saturating_duration_since(self.opened);
        let open = age < GUARD;
        match self.state {
            State::Locked => from == self.signalled,
            State::Guest(_) if open && from == self.signalled => self.take(State::Locked),
            State::Guest(guest) => from == guest,
            State::Waiting { .. } | State::QuietGuest(_) if from == self.signalled => self.take(State::Locked),
            State::QuietGuest(guest) if open || from == guest => self.take(State::Guest(from)),
            State::QuietGuest(_) => false,
            State::Waiting { former } if former == Some(from) && age < DRAIN => false,
            State::Waiting { .. } if open => self.take(State::Guest(from)),
            State::Waiting { .. } => false,
        }
    }

    fn take(&mut self, state: State) -> bool {
        self.state = state;
        true
    }

    /// The address the leg is locked to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self.state {
            State::Waiting { .. } => None,
            State::Guest(guest) | State::QuietGuest(guest) => Some(guest),
            State::Locked => Some(self.signalled),
        }
    }

    /// Where to send: what was taken, else what was signalled.
    pub(crate) fn destination(&self) -> SocketAddr {
        self.peer().unwrap_or(self.signalled)
    }
}

/// The same for RTCP: its source port may be any, its source address must be that of the RTP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RtcpLatch(Option<SocketAddr>);

impl RtcpLatch {
    /// Whether a report is the telephone's.
    pub(crate) fn admits(&mut self, rtp: &Latch, from: SocketAddr) -> bool {
        let ours = from.ip() == rtp.destination().ip();
        // The first port is kept; a later one is believed only when the address itself has changed with the RTP's.
        if ours && self.0.is_none_or(|taken| taken.ip() != from.ip()) {
            self.0 = Some(from);
        }
        ours && self.0 == Some(from)
    }

    /// Where reports go: whence the telephone's come; until then where it asked for them, unless its RTP has shown that address to be hidden
    /// behind a NAT, where nothing can be guessed.
    pub(crate) fn destination(&self, rtp: &Latch, signalled: SocketAddr) -> Option<SocketAddr> {
        let address: IpAddr = rtp.destination().ip();
        match self.0 {
            Some(taken) if taken.ip() == address => Some(taken),
            _ => (rtp.signalled.ip() == address).then_some(signalled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn seconds(start: Instant, tenths: u64) -> Instant {
        start + Duration::from_millis(tenths * 100)
    }

    #[test]
    fn the_signalled_address_locks_the_leg_at_once() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(1)));
        assert!(!latch.admits(start, at(2)));
        assert_eq!(latch.peer(), Some(at(1)));
    }

    #[test]
    fn the_first_other_source_is_taken_within_five_seconds_and_no_second_one() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert_eq!(latch.destination(), at(1));
        assert!(latch.admits(seconds(start, 49), at(2)));
        assert!(!latch.admits(seconds(start, 49), at(3)));
        assert_eq!(latch.destination(), at(2));
    }

    #[test]
    fn after_five_seconds_only_the_signalled_address_is_taken() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(!latch.admits(seconds(start, 50), at(2)));
        assert_eq!(latch.peer(), None);
        assert!(latch.admits(seconds(start, 51), at(1)));
    }

    #[test]
    fn the_signalled_address_wins_the_leg_back_within_the_window_only() {
        let start = Instant::now();
        let mut early = Latch::new(start, at(1));
        assert!(early.admits(start, at(2)));
        let mut late = early;
        assert!(early.admits(seconds(start, 49), at(1)));
        assert!(!early.admits(seconds(start, 49), at(2)));
        assert!(!late.admits(seconds(start, 50), at(1)));
        assert!(late.admits(seconds(start, 50), at(2)));
    }

    #[test]
    fn a_new_address_opens_the_guard_anew_and_the_old_one_cannot_slip_in() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(1)));
        let moved = seconds(start, 600);
        assert!(latch.signal(moved, at(5), Duration::ZERO));
        assert_eq!(latch.destination(), at(5));
        assert!(!latch.admits(moved, at(1)), "its last packets are on the way");
        assert!(latch.admits(moved, at(6)), "the telephone behind its new NAT");
    }

    #[test]
    fn the_same_address_again_changes_nothing_while_the_one_taken_speaks() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(2)));
        assert!(!latch.signal(seconds(start, 600), at(1), QUIET - Duration::from_millis(1)));
        assert!(!latch.admits(seconds(start, 600), at(1)));
        assert!(latch.admits(seconds(start, 600), at(2)));
    }

    #[test]
    fn a_guest_that_was_quiet_may_come_back_from_elsewhere_after_an_exchange() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(2)));
        let resumed = seconds(start, 6000);
        assert!(latch.signal(resumed, at(1), QUIET));
        assert_eq!(latch.destination(), at(2), "all that is known of it");
        let mut late = latch;
        assert!(latch.admits(seconds(resumed, 49), at(3)), "its new mapping");
        assert!(!latch.admits(seconds(resumed, 49), at(2)));
        assert_eq!(latch.destination(), at(3));
        assert!(!late.admits(seconds(resumed, 50), at(3)), "as after the first answer");
        assert!(late.admits(seconds(resumed, 50), at(2)), "the mapping lived on");
        assert!(!late.admits(seconds(resumed, 50), at(1)));
    }

    #[test]
    fn the_signalled_address_that_was_quiet_stays_locked() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(1)));
        assert!(!latch.signal(seconds(start, 6000), at(1), Duration::from_secs(600)));
        assert!(!latch.admits(seconds(start, 6000), at(2)));
    }

    #[test]
    fn the_old_address_cannot_slip_in_after_two_changes_in_a_row() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(latch.admits(start, at(1)));
        assert!(latch.signal(seconds(start, 600), at(5), Duration::ZERO));
        assert!(latch.signal(seconds(start, 603), at(6), Duration::ZERO));
        assert!(!latch.admits(seconds(start, 604), at(1)), "its last packets are on the way");
        assert!(latch.admits(seconds(start, 604), at(7)));
    }

    #[test]
    fn an_exchange_before_anybody_spoke_starts_the_five_seconds_again() {
        let start = Instant::now();
        let mut latch = Latch::new(start, at(1));
        assert!(!latch.signal(seconds(start, 200), at(1), Duration::from_secs(20)));
        assert!(latch.admits(seconds(start, 249), at(2)));
    }

    #[test]
    fn rtcp_is_believed_from_the_address_of_the_rtp_and_one_port() {
        let start = Instant::now();
        let rtp = Latch::new(start, at(1));
        let mut rtcp = RtcpLatch::default();
        assert_eq!(rtcp.destination(&rtp, at(2)), Some(at(2)));
        assert!(!rtcp.admits(&rtp, SocketAddr::from(([192, 0, 2, 9], 7))));
        assert!(rtcp.admits(&rtp, at(7)));
        assert!(!rtcp.admits(&rtp, at(8)));
        assert_eq!(rtcp.destination(&rtp, at(2)), Some(at(7)));
    }

    #[test]
    fn no_report_goes_to_an_address_hidden_behind_a_nat() {
        let start = Instant::now();
        let mut rtp = Latch::new(start, at(1));
        assert!(rtp.admits(start, SocketAddr::from(([203, 0, 113, 5], 40_000))));
        assert_eq!(RtcpLatch::default().destination(&rtp, at(2)), None);
    }
}
