//! The driver that keeps everything in one SQLite file of the data folder.
//!
//! The write-ahead log is synced at every commit (`synchronous=FULL`): what was answered as written survives a power cut.

mod storage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::folder::Folder;
use super::{Store, StoreError, refusal};

pub(super) const FILE: &str = "switch.db";

/// In the order they were added, one for each change of the tables; never edited once released. The database counts them in
/// `user_version`.
const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/001_directory.sql"),
    include_str!("migrations/002_binding.sql"),
    include_str!("migrations/003_history.sql"),
    include_str!("migrations/004_subscription.sql"),
    include_str!("migrations/005_binding_path.sql"),
    include_str!("migrations/006_history_under_way.sql"),
    include_str!("migrations/007_pickup_group.sql"),
    include_str!("migrations/008_call_handling.sql"),
    include_str!("migrations/009_last_calls.sql"),
];

/// The version this binary brings a database to.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// How long to wait for a program that reads the database beside us, such as a backup.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// A store on disk.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    _folder: Folder,
}

impl Sqlite {
    /// Whether this data folder has a database.
    pub fn exists(data: &Path) -> bool {
        data.join(FILE).exists()
    }

    /// Opens the database of the folder, whose lock it keeps. A new one is made with this realm; an old one keeps its own.
    pub fn open(folder: Folder, realm_if_new: &str) -> Result<Sqlite, OpenError> {
        let path = folder.path().join(FILE);
        match connect(&path, realm_if_new) {
            Ok(Ok(connection)) => Ok(Sqlite { connection, _folder: folder }),
            Ok(Err(Newer { found })) => Err(OpenError::Newer { path, found, known: KNOWN }),
            Err(error) => Err(OpenError::Failed { path, error }),
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

/// The database has seen more migrations than this binary knows.
struct Newer {
    found: u32,
}

fn connect(path: &Path, realm: &str) -> Result<Result<Connection, Newer>, StoreError> {
    // SQLite gives its log the mode of the database: HA1 is as good as a password, in whatever folder it lies.
    let mode = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
    mode.open(path).map_err(|error| StoreError(error.to_string()))?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What undoes a request within a commit: no file has to outlive it, and it would be written several times for each record.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    if let Err(newer) = migrate(&mut connection)? {
        return Ok(Err(newer));
    }
    connection.execute("INSERT OR IGNORE INTO setting (name, value) VALUES ('realm', ?1)", [realm])?;
    Ok(Ok(connection))
}

fn migrate(connection: &mut Connection) -> Result<Result<(), Newer>, StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > KNOWN {
        return Ok(Err(Newer { found }));
    }
    for (number, sql) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}

impl Store for Sqlite {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE")
    }

    fn mark(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT request")
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        self.execute("RELEASE request")
    }

    fn undo(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO request; RELEASE request")
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("COMMIT")
    }

    fn abandon(&mut self) {
        // A full disk or a failing one has ended the transaction already.
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "could not roll back");
        }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError("the disk is full".to_owned()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => refusal::damaged(&error),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError("another program has locked the database".to_owned())
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                StoreError(format!("the database cannot be written ({error}): check its owner and mode"))
            }
            Some(ErrorCode::SystemIoFailure) => StoreError(format!("the disk fails ({error})")),
            Some(ErrorCode::ConstraintViolation) => constraint(&error.to_string()),
            Some(_) => StoreError(error.to_string()),
            // Not SQLite but what was read from it: a column holds what no version has written.
            None => refusal::damaged(&error),
        }
    }
}

/// SQLite names the column: `UNIQUE constraint failed: user.login`.
fn constraint(message: &str) -> StoreError {
    let about = |name| message.contains(name);
    if about("user.login") {
        refusal::login_taken()
    } else if about("device.sip_user") {
        refusal::sip_user_taken()
    } else if about("device.address") {
        refusal::address_taken()
    } else if about("FOREIGN KEY") {
        refusal::dangling()
    } else {
        StoreError(message.to_owned())
    }
}

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A later version of the switch has changed its tables.
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The last one this binary knows.
        known: u32,
    },
    /// Anything else.
    Failed {
        /// The database.
        path: PathBuf,
        /// Why.
        error: StoreError,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer version of the switch (its tables are of version {found}, this one knows {known}): \
                 run the newer version, or restore the backup made before",
                path.display()
            ),
            OpenError::Failed { path, error } => write!(f, "cannot open {}: {}", path.display(), error.0),
        }
    }
}

impl std::error::Error for OpenError {}
