//! The order in which the switch starts, and nothing else.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use mimalloc::MiMalloc;
use switch::cli::{self, Cli, Command};
use switch::config::{Changes, Config};
use switch::control::{Ending, FirstUsers, Running, Signals};
use switch::supervisor::Supervisor;
use switch::{demo, log};
use tracing::{error, info, warn};

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

/// HUP: what of the configuration may change while the switch runs does. A file that is wrong changes nothing.
fn reread(cli: &Cli, config: &mut Config, running: &Running) {
    if cli.config.is_none() {
        return info!("HUP: there is no configuration file to read again");
    }
    let new = match cli.config() {
        Ok(new) => new,
        Err(error) => return error!("HUP: {error}; the switch goes on as it was"),
    };
    let mut changed = config.clone();
    let Changes { live, at_restart } = changed.change(&new);
    if !running.change(changed.live()) {
        return error!("HUP: the switch has not taken the last changes yet: send it again");
    }
    *config = changed;
    if let Err(error) = log::change(&config.log.level) {
        warn!("HUP: {error}");
    }
    info!(changed = live.join(", "), "HUP: the configuration was read again");
    if !at_restart.is_empty() {
        warn!(settings = at_restart.join(", "), "HUP: these count from the next start on");
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
    let mut config: Config = cli.config()?;
    let _log = log::start(&config.log.level)?;
    let signals = Signals::take()?;
    // Whoever wrote a configuration adds his own users.
    let first_users = if cli.config.is_none() { FirstUsers::Make(tell) } else { FirstUsers::Leave };
    let supervisor = Supervisor::of_environment();
    let running = Running::start(config.clone(), first_users)?;
    tell(running.ready());
    supervisor.ready();
    match signals.wait(running, &supervisor, |running| reread(cli, &mut config, running)) {
        Ending::InOrder(end) => end?,
        Ending::AtOnce => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

/// On standard output. That nobody reads it is no reason not to serve.
fn tell(what: &impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}
