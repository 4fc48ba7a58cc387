//! Call records: one for each user's end, written when its media leg has closed, with what the leg saw.

use cas::control::{Cause, Direction};
use cas::store::{HistoryKind, HistoryRecord};
use media::LegStats;
use serde_json::json;

use super::party::Party;

/// What a call was for whom it came to, and who has not answered it: missed, unless somebody else has answered.
pub(crate) fn unanswered(cause: Cause) -> Option<HistoryKind> {
    Some(if cause == Cause::AnsweredElsewhere { HistoryKind::Received } else { HistoryKind::Missed })
}

/// The record of one end; `None` where it is no user's, or where nobody has answered and that is no record.
pub(crate) fn history(
    party: &Party,
    cause: Cause,
    talked_msec: u64,
    unanswered: Option<HistoryKind>,
) -> Option<HistoryRecord> {
    // Whom the call never came to has missed nothing.
    let reached = party.direction == Direction::Out || party.told.is_some() || party.is_wanted;
    let kind = match party.direction {
        Direction::Out => HistoryKind::Placed,
        Direction::In if party.answered.is_some() => HistoryKind::Received,
        Direction::In => unanswered?,
    };
    Some(HistoryRecord {
        call: party.id,
        user: party.identity.user.filter(|_| reached)?,
        device: party.device,
        kind,
        addr: party.met.number.clone(),
        name: party.met.name.clone(),
        started: party.started.wall,
        duration_msec: talked_msec,
        cause: cause.name().to_owned(),
        media: String::new(),
        note: String::new(),
    })
}

/// What a leg saw, as the record keeps it.
pub(crate) fn statistics(stats: &LegStats) -> String {
    if stats.received == 0 && stats.sent == 0 {
        return String::new();
    }
    json!({
        "received": stats.received, "sent": stats.sent, "lost": stats.lost, "duplicate": stats.duplicate,
        "reordered": stats.reordered, "jitter-us": stats.jitter_us, "strangers": stats.strangers,
        "unusable": stats.unusable, "reported-loss": stats.reported_loss, "round-trip-us": stats.round_trip_us,
    })
    .to_string()
}
