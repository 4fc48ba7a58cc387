//! `benches`: runs the experiments and writes the report; `benches floor …`: is one of the floors.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::experiment::{self, Experiment, Programs, Scale};
use benches::floor::Floor;
use benches::report::{Report, svg, text};
use clap::{Parser, Subcommand};

/// The switch under load, beside its floors and its peers
#[derive(Parser)]
#[command(name = "benches", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// What is measured [default: everything]
    #[arg(value_enum)]
    experiments: Vec<Experiment>,

    /// Rounds of each
    #[arg(long)]
    rounds: Option<usize>,

    /// Seconds of a round
    #[arg(long)]
    seconds: Option<f64>,

    /// Three short rounds: to see that all is well, not to be quoted
    #[arg(long)]
    quick: bool,

    /// Without Kamailio and rtpengine
    #[arg(long)]
    alone: bool,

    /// The switch [default: the one built beside this program]
    #[arg(long, value_name = "FILE")]
    switch: Option<PathBuf>,

    /// Where report.txt, report.json and cost.svg are written
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Be one of the floors, until standard input ends
    #[command(subcommand)]
    Floor(Floor),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Some(Command::Floor(floor)) => floor.serve(),
        None => run(&cli),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<()> {
    let mut scale = if cli.quick { Scale::quick() } else { Scale::full() };
    scale.rounds = cli.rounds.unwrap_or(scale.rounds).max(1);
    scale.seconds = cli.seconds.unwrap_or(scale.seconds);
    let mut programs = Programs::find(cli.switch.clone())?;
    if cli.alone {
        (programs.kamailio, programs.rtpengine) = (None, None);
    }
    let chosen = if cli.experiments.is_empty() { Experiment::ALL } else { &cli.experiments[..] };
    let mut report = Report::new(&scale);
    for experiment in chosen {
        eprintln!("{experiment:?} …");
        experiment::run(*experiment, &programs, &scale, &mut report)?;
        // After each, so that nothing is lost where a later one fails.
        write(cli, &report)?;
    }
    print!("{}", text::table(&report));
    println!("\nAlso in {}: report.txt, report.json, cost.svg", cli.out.display());
    Ok(())
}

fn write(cli: &Cli, report: &Report) -> io::Result<()> {
    fs::create_dir_all(&cli.out)?;
    fs::write(cli.out.join("report.txt"), text::table(report))?;
    fs::write(cli.out.join("report.json"), format!("{:#}\n", report.json()))?;
    fs::write(cli.out.join("cost.svg"), svg::curve(report))
}
