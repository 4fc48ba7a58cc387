//! Music: calls whose callee has put the caller on hold. What the switch sends by itself, a packet, beside what the relay floor takes to bring one from here to there.

use std::io;
use std::time::Duration;

use super::phones::Phones;
use super::relay::{open, round};
use super::{Programs, Scale};
use crate::load::calls::{Calls, Hold};
use crate::load::relay::{PERIOD, Sound};
use crate::load::{Rate, drive};
use crate::process::Process;
use crate::report::{Comparison, Goal, Round, Series};
use crate::target::{self, Switch};

pub(super) fn music(programs: &Programs, scale: &Scale) -> io::Result<Vec<Comparison>> {
    let switch = Switch::start(&programs.switch, 2 * scale.phones)?;
    let (mut own, addresses) = open()?;
    let mut phones = Phones::register(switch.sip, &switch.users, Some(addresses))?;
    let mut calls = Calls::new(&mut phones.callers, &phones.callees, phones.places, Hold::Kept);
    calls.hold_callers();

    let (mut at_floor, [a, b]) = open()?;
    let floor = target::floor(&programs.bench, &["relay", &a.to_string(), &b.to_string()])?;

    let mut comparisons = Vec::new();
    for &count in &scale.relay_calls {
        let more = count.saturating_sub(calls.held.len());
        let tally = drive(&phones.line, &mut calls, Rate { per_second: 100.0, count: more });
        if let Some(complaint) = tally.complaint {
            return Err(io::Error::other(complaint));
        }
        at_floor.connect([vec![floor.address; count], vec![floor.address; count]]);
        let mut series = vec![Series::new("switch"), Series::new("floor")];
        for _ in 0..scale.rounds {
            series[1].rounds.push(round(&floor.process, &mut at_floor, scale.time()));
            series[0].rounds.push(listened(&switch.process, &mut own, count, scale.time()));
        }
        comparisons.push(Comparison {
            name: "music",
            what: format!(
                "music for {count} who are held, a packet; the floor: recvmmsg and sendmmsg of as much sound both ways"
            ),
            unit: "µs CPU",
            series,
            goals: vec![Goal::Ratio("floor", 1.35)],
            notes: Vec::new(),
        });
    }
    Ok(comparisons)
}

/// So many listen for so long, and say nothing.
fn listened(process: &Process, sound: &mut Sound, listeners: usize, time: Duration) -> Round {
    let before = process.cpu();
    let received = sound.hear(time);
    let spent = process.cpu().saturating_sub(before).as_secs_f64();
    let due = listeners as f64 * time.as_secs_f64() / PERIOD.as_secs_f64();
    let more = vec![
        ("µs a listener's second", spent * 1e6 / listeners as f64 / time.as_secs_f64()),
        // Whole packets: a round may catch one more or less of each stream.
        ("lost %", (1.0 - received as f64 / due).max(0.0) * 100.0),
    ];
    Round { value: spent * 1e6 / received.max(1) as f64, more }
}
