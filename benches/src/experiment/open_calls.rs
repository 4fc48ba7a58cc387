//! Calls held open without sound: their memory, and what a call costs beside many of them.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::phones::Phones;
use super::{Programs, Scale, measured};
use crate::load::calls::{Calls, Hold};
use crate::load::{Rate, Tally, drive};
use crate::report::{Comparison, Goal, Round, Series};
use crate::target::Switch;

/// Calls opened a second.
const OPENING: f64 = 500.0;
/// So many of them at each telephone, or a few more: what happens to a call is told to whoever has others at the same telephone, so that what is open
/// elsewhere is another thing than what is open here.
const OF_EACH: usize = 2;
/// How often those that are still missing are tried.
const TRIES: usize = 20;
/// How many the others are compared with.
const FEW: usize = 100;
/// As long as anything is left of how a call was set up.
const REMAINS: Duration = Duration::from_secs(34);

pub(super) fn open_calls(programs: &Programs, scale: &Scale) -> io::Result<Vec<Comparison>> {
    let many = scale.open_calls.min(possible());
    let few = FEW.min(many / 2);
    let switch = Switch::start(&programs.switch, 2 * scale.phones.max(many / OF_EACH))?;
    let mut phones = Phones::register(switch.sip, &switch.users, None)?;
    let line = &phones.line;
    let mut calls = Calls::new(&mut phones.callers, &phones.callees, phones.places, Hold::Kept);
    let all_well = |tally: Tally| match tally.complaint {
        Some(complaint) => Err(io::Error::other(complaint)),
        None => Ok(()),
    };
    // On a machine that has other things to do a call may be turned away (503): it is tried again.
    let open = |calls: &mut Calls<'_>, wanted: usize| {
        calls.set_hold(Hold::Kept);
        for left in (0..TRIES).rev() {
            let count = wanted.saturating_sub(calls.held.len());
            let tally = drive(line, calls, Rate { per_second: OPENING, count });
            match tally.complaint {
                None => break,
                Some(complaint) if left == 0 => return Err(io::Error::other(complaint)),
                Some(_) => {}
            }
        }
        Ok(())
    };
    let beside = |calls: &mut Calls<'_>, series: &mut Series| {
        calls.set_hold(Hold::Not);
        for _ in 0..scale.rounds {
            series
                .rounds
                .push(measured(&switch.process, || Ok(drive(line, calls, scale.rate(scale.call_rate / 2.0))))?);
        }
        Ok::<(), io::Error>(())
    };
    open(&mut calls, few)?;
    let (mut beside_few, mut beside_many) = (Series::new("few"), Series::new("many"));
    beside(&mut calls, &mut beside_few)?;
    if scale.patient {
        // What the calls before have left is neither memory of open ones nor work beside them.
        thread::sleep(REMAINS);
    }
    let before = switch.process.memory();
    open(&mut calls, many)?;
    let at_once = switch.process.memory().saturating_sub(before) as f64 / (many - few) as f64 / 1024.0;
    let idle = idle(&switch, if scale.patient { REMAINS } else { scale.time() });
    let later = switch.process.memory().saturating_sub(before) as f64 / (many - few) as f64 / 1024.0;
    beside(&mut calls, &mut beside_many)?;
    let count = calls.end_all_but(few);
    all_well(drive(line, &mut calls, Rate { per_second: OPENING, count }))?;
    let memory = Series {
        name: "switch".to_owned(),
        rounds: vec![Round { value: at_once, more: vec![("when settled", later)] }],
    };
    Ok(vec![
        Comparison {
            name: "memory",
            what: format!("of each of {many} open calls, its transactions included"),
            unit: "KB",
            series: vec![memory],
            goals: vec![Goal::AtMost(24.0)],
            notes: vec![format!(
                "with {many} open calls and nothing else to do the switch takes {idle:.1} % of a core"
            )],
        },
        Comparison {
            name: "beside",
            what: format!(
                "whole calls at {}/s beside {many} open ones (many) and beside {few} (few)",
                scale.call_rate / 2.0
            ),
            unit: "µs CPU",
            series: vec![beside_many, beside_few],
            goals: vec![Goal::Ratio("few", 1.1)],
            notes: Vec::new(),
        },
    ])
}

/// Per cent of a core.
fn idle(switch: &Switch, time: Duration) -> f64 {
    let before = switch.process.cpu();
    thread::sleep(time);
    switch.process.cpu().saturating_sub(before).as_secs_f64() / time.as_secs_f64() * 100.0
}

/// A call has two legs of two sockets each, half of the open files are the media's, and some room is left for the calls beside.
fn possible() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let calls = usize::try_from(hard / 2 / 4).unwrap_or(usize::MAX);
    calls - calls / 10
}
