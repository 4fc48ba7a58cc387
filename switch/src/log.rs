//! Logs: to stderr, with the level of the configuration, and with what is personal shortened.
//!
//! Numbers and names of people, and the addresses of their phones, are written through [`Redacted`], at every level: a log that is mailed to
//! a vendor must not tell who called whom. Two things are shown whole on purpose: the source of a request with a wrong secret, as whoever defends
//! the switch must know where an attack comes from, and the SIP user name of a phone that comes or goes, as whoever runs it must know which. Secrets are written nowhere, in no form. What belongs to a call carries the
//! call's id as a field, by which its lines are found.

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

pub use self::lines::Guard;
use self::lines::Lines;

mod lines;

/// Shows the first two characters of something personal, then `…`: enough to recognise one's own number, not enough to learn another's.
#[derive(Clone, Copy)]
pub struct Redacted<T>(pub T);

/// How many characters are shown.
const SHOWN: usize = 2;

impl<T: fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.to_string();
        match whole.char_indices().nth(SHOWN) {
            // A text of one or two characters would be shown whole.
            None if whole.is_empty() => f.write_str("(empty)"),
            None => f.write_str("…"),
            Some((end, _)) => write!(f, "{}…", &whole[..end]),
        }
    }
}

impl<T: fmt::Display> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Begins logging to stderr, from a thread of its own: whoever reads it slowly, or not at all, holds up no call. What waits is written when the
/// guard is dropped. `level` is `error`, `warn`, `info`, `debug` or `trace`.
///
/// # Errors
/// The level is none, logging had begun before, or no thread can be had.
pub fn start(level: &str) -> Result<Guard, LogError> {
    let filter = EnvFilter::try_new(level).map_err(|error| LogError(error.to_string()))?;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_filter_reloading();
    let filter = subscriber.reload_handle();
    subscriber.try_init().map_err(|error| LogError(error.to_string()))?;
    // Not set before: logging begins once.
    let _ = LINES.set(lines.clone());
    let _ = CHANGE.set(Box::new(move |level| {
        let level = EnvFilter::try_new(level).map_err(|error| LogError(error.to_string()))?;
        filter.reload(level).map_err(|error| LogError(error.to_string()))
    }));
    lines.start(std::io::stderr()).map_err(|error| LogError(error.to_string()))
}

/// From now on with another level.
///
/// # Errors
/// The level is none, or nothing is logged.
pub fn change(level: &str) -> Result<(), LogError> {
    CHANGE.get().map_or_else(|| Err(LogError("nothing is logged".to_owned())), |change| change(level))
}

/// Sets the level. One for the process, as its log is.
static CHANGE: OnceLock<Change> = OnceLock::new();

type Change = Box<dyn Fn(&str) -> Result<(), LogError> + Send + Sync>;

/// What waits to be written. One for the process, as its log is.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Lines that were not written since the start, because whoever reads stderr was too slow.
pub fn dropped_lines() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

/// Why logging could not begin.
#[derive(Debug)]
pub struct LogError(String);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[log] level: {}; write error, warn, info, debug or trace", self.0)
    }
}

impl std::error::Error for LogError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_personal_is_shortened() {
        assert_eq!(Redacted("Vanessa Kensington").to_string(), "Va…");
        assert_eq!(Redacted("501").to_string(), "50…");
        assert_eq!(Redacted("Ünal").to_string(), "Ün…");
        assert_eq!(format!("{:?}", Redacted("192.0.2.1:5060")), "19…");
    }

    #[test]
    fn nothing_short_is_shown_whole() {
        assert_eq!(Redacted("50").to_string(), "…");
        assert_eq!(Redacted("").to_string(), "(empty)");
    }
}
