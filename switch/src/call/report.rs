//! What an administrator is shown of calls: what call control holds, and what the journal remembers.

use cas::control::{CallId, CallLine, CallReport, CallStage, LegReport, Shown};
use cas::time::Now;
use media::Codec;

use super::party::{PartyState, Side};
use super::{Call, CallNo, Stage, record};
use crate::engine::Engine;
use crate::journal::{End, Entry, Part};

impl Engine {
    pub(crate) fn call_lines(&self, now: Now, shown: Shown, max: usize) -> (Vec<CallLine>, usize) {
        match shown {
            Shown::Live => {
                let total = self.table.len();
                let last = self.table.calls().skip(total.saturating_sub(max));
                (last.map(|(_, call)| line(call, now)).collect(), total)
            }
            Shown::Ended => {
                let total = self.journal.ended().count();
                let last = self.journal.ended().skip(total.saturating_sub(max));
                (last.map(|(_, entry, end)| ended_line(entry, end)).collect(), total)
            }
        }
    }

    pub(crate) fn call_report(&mut self, now: Now, id: CallId) -> Option<CallReport> {
        let of_end = |(_, _, end): &(CallNo, &Entry, &End)| end.caller == id || end.callee == id;
        let (no, line) = match self.table.end(id) {
            Some((no, _)) => (no, line(self.table.call(no)?, now)),
            None => self.journal.ended().rev().find(of_end).map(|(no, entry, end)| (no, ended_line(entry, end)))?,
        };
        let entry = self.journal.entry(no)?;
        let report = CallReport {
            line,
            legs: entry.parts.iter().map(leg).collect(),
            messages: entry.messages(),
            omitted: entry.omitted,
        };
        self.count_afresh(no);
        Some(report)
    }

    /// Asks the media plane; the answer is in the journal a few milliseconds later.
    fn count_afresh(&mut self, no: CallNo) {
        let legs = self.table.call(no).map(|call| [Side::Caller, Side::Callee].map(|side| call.party(side).legs()));
        for id in legs.into_iter().flatten().flatten() {
            let told = self.seats.count(id);
            self.media(told);
        }
    }
}

fn line(call: &Call, now: Now) -> CallLine {
    CallLine {
        id: call.caller.id,
        far: call.callee.id,
        from: call.caller.identity.number.clone(),
        to: call.callee.identity.number.clone(),
        stage: match (&call.stage, &call.callee.state) {
            (Stage::Talking, _) | (_, PartyState::Service(_)) => CallStage::Talking,
            _ => CallStage::Ringing,
        },
        started: call.caller.started.wall,
        talked_msec: call.talked_msec(now.mono),
    }
}

fn ended_line(entry: &Entry, end: &End) -> CallLine {
    CallLine {
        id: end.caller,
        far: end.callee,
        from: end.from.clone(),
        to: end.to.clone(),
        stage: CallStage::Ended(end.ended, end.cause),
        started: entry.started.wall,
        talked_msec: end.talked_msec,
    }
}

fn leg(part: &Part) -> LegReport {
    LegReport {
        is_caller: part.side == Side::Caller,
        device: part.device,
        transport: part.flow.transport(),
        peer: part.flow.peer,
        local: part.flow.local,
        port: part.sound.port(),
        codecs: part.codecs.iter().flatten().map(|codec| name(*codec)).collect(),
        media: part.counted.as_ref().map(|counted| record::statistics(&counted.1)).unwrap_or_default(),
        counted: part.counted.as_ref().map(|counted| counted.0),
    }
}

fn name(codec: Codec) -> String {
    match codec {
        Codec::Pcmu => "PCMU".to_owned(),
        Codec::Pcma => "PCMA".to_owned(),
        Codec::G722 => "G722".to_owned(),
        Codec::Opus => "opus".to_owned(),
        Codec::TelephoneEvent { rate } => format!("telephone-event/{rate}"),
    }
}
