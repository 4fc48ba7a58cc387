//! The command line.

mod admin;
mod ask;
mod ladder;
mod offline;
mod table;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cas::store::backup::Contents;
use clap::{Args, Parser, Subcommand};

pub use self::admin::admin;
use crate::config::{self, Config, ConfigError};

/// A telephony switch with its application server: SIP and RTP for the telephones, CAS over HTTP for everything else
#[derive(Parser)]
#[command(name = "switch", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration [default: none, every setting has its default]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Run the switch (also without a command)
    Run,
    /// Show a call: two built-in phones and a CAS client on a switch of their own
    Demo {
        /// Print one JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Print or check a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write a backup, also while the switch runs: users, registrations, call records and the machine key, in one file
    Backup {
        /// The file, which must not be there: a tar, as secret as the data folder
        file: PathBuf,
    },
    /// Put a backup into the data folder, while no switch runs
    Restore {
        /// The file that `backup` wrote
        file: PathBuf,
        /// Replace what is in the data folder; it is kept in its folder `replaced`
        #[arg(long)]
        replace: bool,
    },
    /// What is asked of a running switch, or of its store.
    #[command(flatten)]
    Admin(AdminCommand),
}

/// `switch config …`
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print a file with every setting, its default and a comment
    Example,
    /// Check a file
    Check {
        /// The file
        file: PathBuf,
    },
}

/// What is done through the control socket while the switch runs, else in the store.
#[derive(Subcommand)]
pub enum AdminCommand {
    /// Show how the switch is doing; fails where none runs
    Status,
    /// Show the registered phones
    Registrations,
    /// End registrations
    #[command(subcommand)]
    Registration(RegistrationCommand),
    /// Show the CAS sessions
    Sessions,
    /// End CAS sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// Show the calls that go on
    Calls {
        /// Show those that ended lately instead
        #[arg(long)]
        ended: bool,
    },
    /// Show one call: its phones, what their sound counts, its SIP messages with their times
    Call {
        /// Its id, as `calls`, the log and CAS clients know it
        id: String,
    },
    /// Write what goes over the wire, SIP and sound, to a file for Wireshark
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Add, show, change or remove users
    #[command(subcommand)]
    User(UserCommand),
    /// Show what becomes of calls to a user, or put another mode into force
    Handling {
        /// The extension
        ext: String,
        /// The mode, or `schedule`: whatever the user's schedules say [default: only show it]
        #[arg(value_parser = ["standard", "in-a-meeting", "out-of-office", "extended-absence", "custom", "schedule"])]
        mode: Option<String>,
    },
}

/// `switch registration …`
#[derive(Subcommand)]
pub enum RegistrationCommand {
    /// Forget where a user's phones are. They may register again
    End {
        /// The extension
        ext: String,
        /// Only what is registered at this contact
        #[arg(long)]
        contact: Option<String>,
    },
}

/// `switch trace …`
#[derive(Subcommand)]
pub enum TraceCommand {
    /// Begin: a new file in the data folder. It holds what is said in calls; the secrets of phones are covered
    On {
        /// Only this call, which goes on
        #[arg(long, value_name = "ID")]
        call: Option<String>,
        /// Of the sound, only the headers
        #[arg(long)]
        headers: bool,
        /// End by itself when the file has so many megabytes
        #[arg(long, value_name = "MB", default_value_t = 100)]
        limit: u64,
    },
    /// End
    Off,
    /// Show how it goes
    Status,
}

/// `switch session …`
#[derive(Subcommand)]
pub enum SessionCommand {
    /// Log a client out. It may log in again
    End {
        /// The session, as `sessions` shows it
        id: String,
    },
}

/// `switch user …`
#[derive(Subcommand)]
pub enum UserCommand {
    /// Add a user with a number and a first phone; what is not given is made at random and printed once
    Add(Box<AddUser>),
    /// Show all users
    List,
    /// Remove a user with all numbers and phones
    Remove {
        /// The extension
        ext: String,
    },
    /// Give a user's phone another SIP secret
    SetSecret {
        /// The extension
        ext: String,
        /// The secret [default: a random one]
        secret: Option<String>,
    },
    /// Put a user into a pickup group, whose members answer one another's calls by *8
    Group {
        /// The extension
        ext: String,
        /// The group
        #[arg(required_unless_present = "none")]
        group: Option<String>,
        /// Instead: take the user out of the group
        #[arg(long, conflicts_with = "group")]
        none: bool,
    },
}

/// `switch user add …`
#[derive(Args)]
pub struct AddUser {
    /// The extension, 1 to 10 digits: also the CAS user name and the phone's SIP user name
    pub ext: String,
    /// First and last name
    #[arg(long)]
    pub name: String,
    /// The CAS password
    #[arg(long)]
    pub password: Option<String>,
    /// The phone's secret
    #[arg(long)]
    pub sip_secret: Option<String>,
    /// What is typed on a telephone, 4 to 16 digits
    #[arg(long)]
    pub pin: Option<String>,
    /// The e-mail address, which the directory shows
    #[arg(long)]
    pub email: Option<String>,
    /// What the user may do [default: user, and admin for `admin`]
    #[arg(long, value_parser = ["user", "admin"])]
    pub role: Option<String>,
    /// How the phone is challenged [default: as [sip] digest says]
    #[arg(long, value_parser = ["md5", "sha256", "both"])]
    pub digest: Option<String>,
    /// A gateway, known by its address: no digest, no registration, no limits per source
    #[arg(long, value_name = "IP:PORT", conflicts_with_all = ["sip_secret", "digest"])]
    pub address: Option<SocketAddr>,
    /// The pickup group, whose members answer one another's calls by *8
    #[arg(long, value_name = "NAME")]
    pub pickup_group: Option<String>,
}

/// The command line of this process. Ends it where that is wrong (2) or asks for help (0).
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// The configuration the command runs with.
    pub fn config(&self) -> Result<Config, ConfigError> {
        self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)
    }
}

/// `switch config …`
pub fn config(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Example => print(&config::example()),
        ConfigCommand::Check { file } => match Config::load(file) {
            Ok(_) => print(&format!("{}: all is well\n", file.display())),
            Err(error) => fail(&error),
        },
    }
}

/// `switch backup`
pub fn backup(config: &Config, file: &Path) -> ExitCode {
    match cas::store::backup::backup(&config.data, file) {
        Ok(Contents { users, records }) => print(&format!(
            "{}: {users} users, {records} call records. Keep it as you keep passwords.\n",
            file.display()
        )),
        Err(error) => fail(&error),
    }
}

/// `switch restore`
pub fn restore(config: &Config, file: &Path, replace: bool) -> ExitCode {
    match cas::store::backup::restore(&config.data, file, replace) {
        Ok(Contents { users, records }) => {
            let data = config.data.display();
            print(&format!("{data} has {users} users and {records} call records from {}.\n", file.display()))
        }
        Err(error) => fail(&error),
    }
}

/// Says why it could not be done.
pub fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("switch: {error}");
    ExitCode::FAILURE
}

/// To standard output. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests;
