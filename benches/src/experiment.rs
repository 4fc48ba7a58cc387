//! The experiments: each puts the switch, its floor and its peers under the same load in turn, round after round.

mod calls;
mod clients;
mod music;
mod open_calls;
mod phones;
mod register;
mod relay;
mod sipp;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::load::{Rate, Tally};
use crate::process::{Process, installed};
use crate::report::{Report, Round};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Experiment {
    /// Whole calls at a set rate
    Call,
    /// Whole calls at one rate after another
    Curve,
    /// REGISTER with digest
    Register,
    /// Sound over open calls
    Relay,
    /// Music for those who are held
    Music,
    /// A small request of a CAS client
    Request,
    /// make-call until the telephone rings
    MakeCall,
    /// Memory of an open call, and what a call costs beside many
    OpenCalls,
    /// SIPp's view of a call
    Sipp,
}

impl Experiment {
    /// Every one, in the order of the report.
    pub const ALL: &[Experiment] = &[
        Experiment::Call,
        Experiment::Register,
        Experiment::Relay,
        Experiment::Music,
        Experiment::Request,
        Experiment::MakeCall,
        Experiment::OpenCalls,
        Experiment::Curve,
        Experiment::Sipp,
    ];
}

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Rounds of each program.
    pub rounds: usize,
    /// Seconds of a round.
    pub seconds: f64,
    /// Telephones that call, and as many that are called.
    pub phones: usize,
    /// Calls a second.
    pub call_rate: f64,
    /// Calls a second of the curve, one after another, and the rounds of each.
    pub curve: (Vec<f64>, usize),
    /// REGISTERs a second.
    pub register_rate: f64,
    /// Calls with sound.
    pub relay_calls: Vec<usize>,
    /// Requests of clients a second.
    pub request_rate: f64,
    /// make-calls a second.
    pub make_rate: f64,
    /// Calls open at a time, as far as there are open files for their ports.
    pub open_calls: usize,
    /// Whether to wait until nothing is left of a call: its transactions stay for 32 s (RFC 6026).
    pub patient: bool,
}

impl Scale {
    /// What is to be quoted.
    pub fn full() -> Scale {
        Scale {
            rounds: 7,
            seconds: 3.0,
            phones: 40,
            call_rate: 1000.0,
            curve: (vec![100.0, 250.0, 500.0, 1000.0, 2000.0, 3500.0, 5000.0, 6500.0], 3),
            register_rate: 1000.0,
            relay_calls: vec![100, 600],
            request_rate: 2000.0,
            make_rate: 100.0,
            open_calls: 10_000,
            patient: true,
        }
    }

    /// To see that all is well.
    pub fn quick() -> Scale {
        Scale {
            rounds: 3,
            seconds: 1.0,
            phones: 10,
            curve: (vec![500.0, 2000.0, 5000.0], 1),
            patient: false,
            ..Scale::full()
        }
    }

    /// For a test: it must work, and need not mean anything.
    pub fn tiny() -> Scale {
        Scale {
            rounds: 1,
            seconds: 0.2,
            phones: 2,
            call_rate: 20.0,
            curve: (vec![10.0, 20.0], 1),
            register_rate: 20.0,
            relay_calls: vec![2],
            request_rate: 20.0,
            make_rate: 10.0,
            open_calls: 4,
            patient: false,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn rate(&self, per_second: f64) -> Rate {
        Rate::new(per_second, self.time())
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This one: the floors.
    pub bench: PathBuf,
    /// The switch.
    pub switch: PathBuf,
    /// A peer, where it is installed.
    pub kamailio: Option<PathBuf>,
    /// A peer, where it is installed.
    pub rtpengine: Option<PathBuf>,
    /// A load, where it is installed.
    pub sipp: Option<PathBuf>,
}

impl Programs {
    /// Beside this one, or where the system has them.
    ///
    /// # Errors
    /// The switch has not been built.
    pub fn find(switch: Option<PathBuf>) -> io::Result<Programs> {
        let bench = std::env::current_exe()?;
        let switch = switch.unwrap_or_else(|| bench.with_file_name("switch"));
        if !switch.is_file() {
            return Err(io::Error::other(format!("{} is missing: `make bench` builds it", switch.display())));
        }
        let [kamailio, rtpengine, sipp] = ["kamailio", "rtpengine", "sipp"].map(installed);
        Ok(Programs { bench, switch, kamailio, rtpengine, sipp })
    }
}

/// Runs one, and adds what came of it to the report.
///
/// # Errors
/// A program does not start, or a connection breaks.
pub fn run(experiment: Experiment, programs: &Programs, scale: &Scale, report: &mut Report) -> io::Result<()> {
    match experiment {
        Experiment::Call => report.comparisons.push(calls::call(programs, scale)?),
        Experiment::Curve => {
            let (curves, comparison) = calls::curve(programs, scale)?;
            report.curves = curves;
            report.comparisons.push(comparison);
        }
        Experiment::Register => report.comparisons.push(register::register(programs, scale)?),
        Experiment::Relay => report.comparisons.extend(relay::relay(programs, scale)?),
        Experiment::Music => report.comparisons.extend(music::music(programs, scale)?),
        Experiment::Request => report.comparisons.push(clients::request(programs, scale)?),
        Experiment::MakeCall => report.comparisons.push(clients::make_call(programs, scale)?),
        Experiment::OpenCalls => report.comparisons.extend(open_calls::open_calls(programs, scale)?),
        Experiment::Sipp => report.comparisons.extend(sipp::sipp(programs, scale)?),
    }
    Ok(())
}

/// CPU of each operation of a run in microseconds, and what else was seen.
fn measured(process: &Process, run: impl FnOnce() -> io::Result<Tally>) -> io::Result<Round> {
    let before = process.cpu();
    let mut tally = run()?;
    let spent = process.cpu().saturating_sub(before);
    if let Some(complaint) = &tally.complaint {
        eprintln!("  {} failed, the first: {complaint}", tally.failed);
    }
    let more = vec![
        ("p50 µs", tally.times.per_mille(500)),
        ("p99 µs", tally.times.per_mille(990)),
        ("failed", tally.failed as f64),
        ("repeated", tally.repeated as f64),
    ];
    Ok(Round { value: spent.as_secs_f64() * 1e6 / tally.done.max(1) as f64, more })
}
