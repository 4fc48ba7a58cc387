//! SIPp's view: calls of another maker's load, challenged each time.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::phones::register_at;
use super::{Programs, Scale};
use crate::process::{self, Process};
use crate::report::{Comparison, Goal, Round, Series};
use crate::target::{Switch, free_ports, loopback, secret};

const SCENARIO: &str = include_str!("sipp/caller.xml");

pub(super) fn sipp(programs: &Programs, scale: &Scale) -> io::Result<Option<Comparison>> {
    let Some(sipp) = &programs.sipp else { return Ok(None) };
    let switch = Switch::start(&programs.switch, 2 * scale.phones)?;
    let (callers, callees) = switch.users.split_at(scale.phones);
    let first = free_ports(2)?;
    register_at(loopback(first), switch.sip, callees)?;

    let folder = tempfile::tempdir()?;
    let mut users = "SEQUENTIAL\n".to_owned();
    for (caller, callee) in callers.iter().zip(callees) {
        users += &format!("{caller};{callee};[authentication username={caller} password={}]\n", secret(caller));
    }
    fs::write(folder.path().join("users.csv"), users)?;
    fs::write(folder.path().join("caller.xml"), SCENARIO)?;
    let mut callee = command(sipp, folder.path(), first)?;
    let _callee = Process::start(callee.args(["-sn", "uas"]))?;
    let rate = scale.call_rate / 2.0;
    let mut series = Series::new("switch");
    for round in 0..scale.rounds.min(3) {
        let calls = (rate * scale.seconds).ceil().max(1.0);
        let statistics = folder.path().join(format!("round{round}.csv"));
        let mut caller = command(sipp, folder.path(), first + 1)?;
        caller.args(["-sf", "caller.xml", "-inf", "users.csv", "-r", &rate.to_string(), "-m", &calls.to_string()]);
        caller.args(["-trace_stat", "-fd", "1", "-stf"]).arg(&statistics).arg(switch.sip.to_string());
        let before = switch.process.cpu();
        caller.status()?;
        let spent = switch.process.cpu().saturating_sub(before);
        let statistics = fs::read_to_string(statistics)?;
        let count = |name| last(&statistics, name).unwrap_or(f64::NAN);
        let good = count("SuccessfulCall(C)");
        series.rounds.push(Round {
            value: spent.as_secs_f64() * 1e6 / good.max(1.0),
            more: vec![("failed", calls - good), ("repeated", count("Retransmissions(C)"))],
        });
    }
    Ok(Some(Comparison {
        name: "sipp",
        what: format!("calls of SIPp at {rate}/s, each challenged: 17 datagrams"),
        unit: "µs CPU",
        series: vec![series],
        goals: vec![Goal::MoreAtMost("failed", 0.0)],
        notes: Vec::new(),
    }))
}

fn command(sipp: &Path, folder: &Path, port: u16) -> io::Result<Command> {
    let mut command = process::command(sipp);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin", "-mp", &free_ports(8)?.to_string()]);
    Ok(command)
}

/// The last value of a column.
fn last(statistics: &str, column: &str) -> Option<f64> {
    let mut lines = statistics.lines();
    let at = lines.next()?.split(';').position(|name| name == column)?;
    lines.last()?.split(';').nth(at)?.parse().ok()
}
