//! The order in which the switch starts, and nothing else.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use mimalloc::MiMalloc;
use switch::cli::{self, Cli, Command};
use switch::config::Config;
use switch::control::{Ending, FirstUsers, Running, Signals};
use switch::{demo, log};

/// Gives memory back to the system once it is no longer needed. The one of the C library kept half of an overload's for good.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = cli::parse();
    match &cli.command {
        None | Some(Command::Run) => run(&cli).unwrap_or_else(|error| cli::fail(&*error)),
        Some(Command::Demo { json }) => demo::run(*json),
        Some(Command::Config(command)) => cli::config(command),
        Some(Command::Backup { file }) => configured(&cli, |config| cli::backup(config, file)),
        Some(Command::Restore { file, replace }) => configured(&cli, |config| cli::restore(config, file, *replace)),
        Some(Command::Admin(command)) => configured(&cli, |config| cli::admin(command, config)),
    }
}

/// What needs the configuration.
fn configured(cli: &Cli, command: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match cli.config() {
        Ok(config) => command(&config),
        Err(error) => cli::fail(&error),
    }
}

/// `switch run`: configuration, logs, signals; then the control thread, which opens the store, the sockets and the media plane.
fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let config: Config = cli.config()?;
    let _log = log::start(&config.log.level)?;
    let signals = Signals::take()?;
    // Whoever wrote a configuration adds his own users.
    let first_users = if cli.config.is_none() { FirstUsers::Make(tell) } else { FirstUsers::Leave };
    let running = Running::start(config, first_users)?;
    tell(running.ready());
    match signals.wait(running) {
        Ending::InOrder(end) => end?,
        Ending::AtOnce => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// On standard output. That nobody reads it is no reason not to serve.
fn tell(what: &impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}
