//! One CAS message and its reply: through the control socket of the running switch, or, where none runs, in the store itself.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cas::store::StoreError;
use cas::store::folder::FolderError;
use cas::store::sqlite::OpenError;
use serde_json::{Map, Value};

use super::offline;
use crate::config::Config;
use crate::console::SOCKET;

/// A switch that takes longer for an answer does not work.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer: all users of a large site.
const LONGEST: u64 = 64 << 20;

/// A CAS message or a reply.
pub(super) type Message = Map<String, Value>;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Message,
    /// Whether a switch runs.
    pub(super) running: bool,
}

/// What a message does, where no switch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only asks: nothing is made for it.
    Reads,
    /// It is of a switch that runs, and of nothing else.
    Runs,
    /// It may be the first to write, before any first start.
    Writes,
}

/// Asks the switch whose data folder the configuration names.
pub(super) fn ask(config: &Config, message: &Value, effect: Effect) -> Result<Answer, AskError> {
    let path = config.data.join(SOCKET);
    let (body, running) = match UnixStream::connect(&path) {
        Ok(stream) => {
            let line = converse(&stream, message).map_err(|source| AskError::Socket { path, source })?;
            (line.into(), true)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            if effect == Effect::Runs {
                return Err(AskError::NotRunning(config.data.clone()));
            }
            (offline::ask(config, message, effect)?, false)
        }
        Err(source) => return Err(AskError::Socket { path, source }),
    };
    let reply: Message = serde_json::from_slice(&body).map_err(|_| AskError::Garbled)?;
    match reply.get("error").and_then(Value::as_u64) {
        Some(0) => Ok(Answer { reply, running }),
        Some(code) => {
            let text = reply.get("error-text").and_then(Value::as_str).unwrap_or_default();
            Err(AskError::Refused { code, text: text.to_owned() })
        }
        None => Err(AskError::Garbled),
    }
}

fn converse(mut stream: &UnixStream, message: &Value) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{message}\n").as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    match line.last() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it had answered")),
    }
}

/// Why there is no answer, or not the one wanted.
#[derive(Debug)]
pub(super) enum AskError {
    /// A switch runs and cannot be spoken to.
    Socket { path: PathBuf, source: io::Error },
    /// No switch runs, and what was asked is of a running one.
    NotRunning(PathBuf),
    /// No switch runs, and there is no store to look into.
    NoStore(PathBuf),
    /// The data folder.
    Folder(FolderError),
    /// The database.
    Open(OpenError),
    /// Reading or closing it.
    Store(StoreError),
    /// The CAS has refused.
    Refused { code: u64, text: String },
    /// The CAS has answered what is no answer.
    Garbled,
}

impl AskError {
    pub(super) fn no_store(data: &Path) -> AskError {
        AskError::NoStore(data.to_owned())
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Socket { path, source } => {
                write!(f, "cannot speak to the switch through {}: {source}", path.display())
            }
            AskError::NotRunning(data) => write!(f, "no switch runs with the data folder {}", data.display()),
            AskError::NoStore(data) => {
                write!(f, "no switch runs, and {} has no store yet: start one, or add a user", data.display())
            }
            AskError::Folder(error) => error.fmt(f),
            AskError::Open(error) => error.fmt(f),
            AskError::Store(error) => error.fmt(f),
            AskError::Refused { code, text } if text.is_empty() => write!(f, "refused with error {code}"),
            AskError::Refused { text, .. } => f.write_str(text),
            AskError::Garbled => f.write_str("the answer is no CAS reply: is another version of the switch running?"),
        }
    }
}

impl std::error::Error for AskError {}

impl From<FolderError> for AskError {
    fn from(error: FolderError) -> AskError {
        AskError::Folder(error)
    }
}

impl From<OpenError> for AskError {
    fn from(error: OpenError) -> AskError {
        AskError::Open(error)
    }
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> AskError {
        AskError::Store(error)
    }
}
