//! The data folder: who may use it (one process at a time, and nobody but its owner), and the machine key in it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::backup;
use super::sqlite::Sqlite;
use crate::entropy::Entropy;
use crate::site::MachineKey;

const LOCK: &str = "switch.lock";
pub(super) const KEY: &str = "machine.key";

/// The data folder, locked for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Drop for Folder {
    /// Said, and not left to the end of the file's last handle: a child that is being started at this instant holds one until it runs its own program.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the data folder's lock goes with the process");
        }
    }
}

impl Folder {
    /// Makes the folder (mode 0700) where there is none, and locks it against every other process.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let failed = |source| FolderError::Io { doing: "use", path: path.to_owned(), source };
        make(path).map_err(failed)?;
        let name = path.join(LOCK);
        let lock = lock(&name)?;
        // A restore that was cut short is brought to its end, or has never been.
        backup::finish(path).map_err(failed)?;
        Ok(Folder { path: path.to_owned(), lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The machine key, made at the first start: before the database, some of which is sealed under it.
    ///
    /// # Errors
    /// There is a database and no key: another one would open none of the secrets in it.
    pub fn machine_key(&self, entropy: &mut dyn Entropy) -> Result<MachineKey, FolderError> {
        let path = self.path.join(KEY);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut key = [0; 32];
                match hex::decode_to_slice(text.trim_end(), &mut key) {
                    Ok(()) => Ok(MachineKey(key)),
                    Err(_) => Err(FolderError::BadKey(path)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if Sqlite::exists(&self.path) {
                    return Err(FolderError::MissingKey(path));
                }
                let mut key = [0; 32];
                entropy.fill(&mut key);
                self.write_key(&path, key).map_err(|source| FolderError::Io { doing: "write", path, source })?;
                Ok(MachineKey(key))
            }
            Err(source) => Err(FolderError::Io { doing: "read", path, source }),
        }
    }

    /// Whole or not at all, whatever happens meanwhile: what was sealed under half a key would be lost.
    fn write_key(&self, path: &Path, key: [u8; 32]) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{}", hex::encode(key))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_folder(&self.path)
    }
}

/// Makes a folder, and those above it that are missing; each survives a power cut once the one above it is synced.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let parents = missing.into_iter().filter_map(Path::parent);
    parents.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).try_for_each(sync_folder)
}

/// The lock goes with the process, however that ends; the file stays and names the last holder.
fn lock(path: &Path) -> Result<File, FolderError> {
    let failed = |source| FolderError::Io { doing: "write", path: path.to_owned(), source };
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    let mut file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: a lock file that cannot be read names nobody.
            let _ = file.read_to_string(&mut holder);
            return Err(FolderError::InUse { lock: path.to_owned(), holder: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// A new or renamed file survives a power cut when its folder is synced too.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Why the data folder cannot be used.
#[derive(Debug)]
pub enum FolderError {
    /// Another process has it.
    InUse {
        /// The lock file.
        lock: PathBuf,
        /// The process that holds it, as far as it can be told.
        holder: Option<u32>,
    },
    /// The machine key of a database is gone.
    MissingKey(PathBuf),
    /// The machine key is no key.
    BadKey(PathBuf),
    /// The system refused.
    Io {
        /// `read`, `write` …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::InUse { lock, holder } => {
                write!(f, "the data folder is in use: {} is locked by ", lock.display())?;
                match holder {
                    Some(pid) => write!(f, "process {pid}"),
                    None => f.write_str("another process"),
                }
            }
            FolderError::MissingKey(path) => write!(
                f,
                "{} is missing, and without it the phones' secrets in the database beside it cannot be read; restore it from the \
                 backup of the database",
                path.display()
            ),
            FolderError::BadKey(path) => {
                write!(f, "{} is damaged: expected 64 hexadecimal digits; restore it from a backup", path.display())
            }
            FolderError::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FolderError::Io { source, .. } => Some(source),
            FolderError::InUse { .. } | FolderError::MissingKey(_) | FolderError::BadKey(_) => None,
        }
    }
}
