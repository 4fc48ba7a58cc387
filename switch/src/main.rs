//! The start, in its order, and nothing else.

use std::process::ExitCode;

use switch::cli::{self, Cli, Command};
use switch::config::Config;
use switch::control::{Ending, FirstUsers, Running, Signals};
use switch::{demo, log};

fn main() -> ExitCode {
    let cli = cli::parse();
    let config = cli.config();
    match &cli.command {
        None | Some(Command::Run) => match config {
            Ok(config) => run(&cli, config),
            Err(error) => cli::fail(&error),
        },
        Some(Command::Demo { json }) => demo::run(*json),
        Some(Command::Config(command)) => cli::config(command),
        Some(Command::Admin(command)) => match config {
            Ok(config) => cli::admin(command, &config),
            Err(error) => cli::fail(&error),
        },
    }
}

fn run(cli: &Cli, config: Config) -> ExitCode {
    if let Err(error) = log::start(&config.log.level) {
        return cli::fail(&error);
    }
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return cli::fail(&error),
    };
    // Whoever names a configuration has users of his own in mind.
    let first_users = if cli.config.is_none() { FirstUsers::Make } else { FirstUsers::Leave };
    let running = match Running::start(config, first_users) {
        Ok(running) => running,
        Err(error) => return cli::fail(&error),
    };
    println!("{}", running.ready());
    if let Some(users) = &running.ready().first_users {
        println!("\n{users}");
    }
    match signals.wait(running) {
        Ending::InOrder(Ok(())) => ExitCode::SUCCESS,
        Ending::InOrder(Err(error)) => cli::fail(&error),
        Ending::AtOnce => ExitCode::FAILURE,
    }
}
