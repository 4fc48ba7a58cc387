//! A store in one file, and back: a tar of the database, the machine key and the sums of both.
//!
//! The database is copied by SQLite as it is at one instant, through a connection of its own: a switch that runs is neither asked nor held up. What is
//! restored is checked first, in a folder of its own within the data folder; renaming that folder is the instant at which it counts. Whatever comes after
//! (the old files out of the way, the new ones to their places) is taken up again by whoever opens the data folder next, should it be cut short.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::StoreError;
use super::folder::{Folder, FolderError, KEY, sync_folder};
use super::sqlite::{BUSY, FILE, KNOWN};
use crate::site::{MachineKey, Sealed};

/// What is not checked yet.
const UNCHECKED: &str = "restore";
/// What is checked, and on its way to its places.
const CHECKED: &str = "restored";
/// What was there before.
const REPLACED: &str = "replaced";
/// Beside the database, while it is open or was not closed in order.
const LOGS: [&str; 2] = ["switch.db-wal", "switch.db-shm"];
/// The third member: `sha256sum -c` reads it.
const SUMS: &str = "SHA256SUMS";
/// A key is 64 digits and a line end, the sums are two lines.
const SMALL: u64 = 4096;

/// Called before each change to the disk; an error ends all at once, as a kill would. Tests count with it.
type Step<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Users.
    pub users: u64,
    /// Call records.
    pub records: u64,
}

/// Writes a backup of a data folder, whether a switch runs on it or not. The file gets mode 0600 and must not be there.
///
/// # Errors
/// There is nothing to back up, the file is there or another backup to it is being made, or the disk refuses; no file is left then.
pub fn backup(data: &Path, file: &Path) -> Result<Contents, BackupError> {
    if !data.join(FILE).exists() {
        return Err(BackupError::NoStore(data.to_owned()));
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { path, source }
    };
    // Hours of work are not for a name that is taken; whoever takes it meanwhile has it.
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let (copy, unfinished) = (beside(file, "db"), beside(file, "new"));
    let claim = claim(&unfinished).map_err(io(&unfinished))?;
    let claim = claim.ok_or_else(|| BackupError::Busy(file.to_owned()))?;
    let result = copy_database(data, &copy).and_then(|()| {
        let key_file = data.join(KEY);
        let key = fs::read(&key_file).map_err(io(&key_file))?;
        let contents = check(&copy, &key)?;
        pack(&copy, &key, &claim).map_err(io(&unfinished))?;
        // It gets its name when it is whole, so that a kill leaves none that is not.
        name(&unfinished, file).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
            _ => BackupError::Io { path: file.to_owned(), source },
        })?;
        Ok(contents)
    });
    let _ = (fs::remove_file(&copy), fs::remove_file(&unfinished));
    let contents = result?;
    sync_folder(folder_of(file)).map_err(io(file))?;
    Ok(contents)
}

/// Puts a backup into a data folder on which no switch runs. What is there already is an error, unless it may be replaced; it is kept in a folder beside.
///
/// # Errors
/// The backup is damaged or incomplete, the folder is in use, or the disk refuses. The folder is then as it was.
pub fn restore(data: &Path, file: &Path, may_replace: bool) -> Result<Contents, BackupError> {
    restore_by(data, file, may_replace, &mut || Ok(()))
}

fn restore_by(data: &Path, file: &Path, may_replace: bool, step: Step<'_>) -> Result<Contents, BackupError> {
    let archive = File::open(file).map_err(|source| BackupError::Io { path: file.to_owned(), source })?;
    let folder = Folder::open(data).map_err(BackupError::Folder)?;
    let data = folder.path();
    if !may_replace && [FILE, KEY].iter().any(|name| data.join(name).exists()) {
        return Err(BackupError::Occupied(data.to_owned()));
    }
    let unchecked = data.join(UNCHECKED);
    let io = |source| BackupError::Io { path: unchecked.clone(), source };
    step().and_then(|()| DirBuilder::new().mode(0o700).create(&unchecked)).map_err(io)?;
    let contents = unpack(archive, &unchecked, step).and_then(|key| check(&unchecked.join(FILE), &key));
    let contents = match contents {
        Ok(contents) => contents,
        Err(error) => {
            if step().is_ok() {
                let _ = fs::remove_dir_all(&unchecked);
            }
            return Err(error);
        }
    };
    let io = |source| BackupError::Io { path: data.to_owned(), source };
    let replaced = data.join(REPLACED);
    if replaced.exists() {
        step().and_then(|()| fs::remove_dir_all(&replaced)).map_err(io)?;
    }
    // From here on it counts.
    step().and_then(|()| fs::rename(&unchecked, data.join(CHECKED))).and_then(|()| sync_folder(data)).map_err(io)?;
    finish_by(data, step).map_err(io)?;
    Ok(contents)
}

/// Ends a restore that was cut short: all of it, or nothing. For whoever has locked the folder.
pub(super) fn finish(data: &Path) -> io::Result<()> {
    let unchecked = data.join(UNCHECKED);
    if unchecked.exists() {
        fs::remove_dir_all(unchecked)?;
    }
    finish_by(data, &mut || Ok(()))
}

fn finish_by(data: &Path, step: Step<'_>) -> io::Result<()> {
    let (checked, replaced) = (data.join(CHECKED), data.join(REPLACED));
    if !checked.exists() {
        return Ok(());
    }
    // The logs of the old database go before it: beside the new one they would be taken for its own.
    for (new, old) in [(FILE, &[LOGS[0], LOGS[1], FILE][..]), (KEY, &[KEY])] {
        if !checked.join(new).exists() {
            continue;
        }
        for name in old.iter().filter(|name| data.join(name).exists()) {
            step()?;
            DirBuilder::new().recursive(true).mode(0o700).create(&replaced)?;
            fs::rename(data.join(name), replaced.join(name))?;
        }
        step()?;
        fs::rename(checked.join(new), data.join(new))?;
        sync_folder(data)?;
    }
    step()?;
    fs::remove_dir_all(checked)?;
    sync_folder(data)
}

/// The database as it is now, in a file of its own.
fn copy_database(data: &Path, to: &Path) -> Result<(), BackupError> {
    // SQLite fills a file that is empty, and keeps its mode.
    anew(to).map_err(|source| BackupError::Io { path: to.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(data.join(FILE), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        Ok(())
    };
    copy().map_err(|error| BackupError::Store(error.into()))
}

/// Whether a database is whole, of a version we know, and sealed under this key.
fn check(database: &Path, key: &[u8]) -> Result<Contents, BackupError> {
    let damaged = |what: &str| BackupError::Damaged(what.to_owned());
    let key = key_of(key).ok_or_else(|| damaged("its machine key is no key"))?;
    let look = || -> rusqlite::Result<Result<Contents, BackupError>> {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 || version > KNOWN {
            return Ok(Err(BackupError::Version { found: version, known: KNOWN }));
        }
        let verdict: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(Err(BackupError::Damaged(format!("its database is damaged: {verdict}"))));
        }
        let mut secrets = connection.prepare("SELECT secret FROM device WHERE secret IS NOT NULL")?;
        let opens = secrets.query_map([], |row| row.get(0).map(|sealed| key.open(&Sealed(sealed)).is_some()))?;
        for opens in opens {
            if !opens? {
                return Ok(Err(damaged("its machine key is not the one of its database")));
            }
        }
        let count = |table| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        let (users, records): (i64, i64) = (count("user")?, count("history")?);
        Ok(Ok(Contents { users: users.cast_unsigned(), records: records.cast_unsigned() }))
    };
    look().map_err(|error| BackupError::Damaged(format!("its database cannot be read: {error}")))?
}

fn key_of(text: &[u8]) -> Option<MachineKey> {
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim_ascii_end(), &mut key).ok()?;
    Some(MachineKey(key))
}

fn pack(database: &Path, key: &[u8], to: &File) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    let mut sums = String::new();
    append(&mut archive, KEY, key.len() as u64, key, &mut sums)?;
    let file = File::open(database)?;
    append(&mut archive, FILE, file.metadata()?.len(), file, &mut sums)?;
    let told = std::mem::take(&mut sums);
    append(&mut archive, SUMS, told.len() as u64, told.as_bytes(), &mut sums)?;
    archive.into_inner()?.sync_all()
}

fn append(
    archive: &mut tar::Builder<&File>,
    name: &str,
    size: u64,
    content: impl Read,
    sums: &mut String,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o600);
    let mut content = Summed { inner: content, sum: Sha256::new() };
    archive.append_data(&mut header, name, &mut content)?;
    *sums += &format!("{}  {name}\n", hex::encode(content.sum.finalize()));
    Ok(())
}

/// The members, into a folder; yields the key. Only the three that a backup has are taken, whatever else there is, and wherever it says it belongs.
fn unpack(archive: File, folder: &Path, step: Step<'_>) -> Result<Vec<u8>, BackupError> {
    let damaged = |what: &str| BackupError::Damaged(what.to_owned());
    let unreadable = |error: io::Error| BackupError::Damaged(format!("it cannot be read: {error}"));
    let io = |source| BackupError::Io { path: folder.to_owned(), source };
    let (mut key, mut told, mut sums) = (None, None, String::new());
    let mut has_database = false;
    for member in tar::Archive::new(archive).entries().map_err(unreadable)? {
        let member = member.map_err(unreadable)?;
        let name = member.path().map(|path| path.display().to_string()).unwrap_or_default();
        if !member.header().entry_type().is_file() {
            return Err(damaged("it is no backup of a switch"));
        }
        let size = member.size();
        let mut member = Summed { inner: member, sum: Sha256::new() };
        match name.as_str() {
            FILE if !has_database => {
                step().map_err(io)?;
                let mut file = private().create_new(true).open(folder.join(FILE)).map_err(io)?;
                copy(&mut member, &mut file, folder)?;
                file.sync_all().map_err(io)?;
                has_database = true;
            }
            KEY | SUMS if size <= SMALL => {
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes).map_err(unreadable)?;
                *if name == KEY { &mut key } else { &mut told } = Some(bytes);
            }
            _ => return Err(damaged("it is no backup of a switch")),
        }
        if name != SUMS {
            sums += &format!("{}  {name}\n", hex::encode(member.sum.finalize()));
        }
    }
    let (Some(key), Some(told), true) = (key, told, has_database) else { return Err(damaged("it is not complete")) };
    if told != sums.as_bytes() {
        return Err(damaged("its sums are not right"));
    }
    step().map_err(io)?;
    let mut file = private().create_new(true).open(folder.join(KEY)).map_err(io)?;
    file.write_all(&key).and_then(|()| file.sync_all()).and_then(|()| sync_folder(folder)).map_err(io)?;
    Ok(key)
}

/// Errors of reading are the archive's, those of writing the folder's.
fn copy(from: &mut impl Read, to: &mut File, folder: &Path) -> Result<(), BackupError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length =
            from.read(&mut buffer).map_err(|error| BackupError::Damaged(format!("it cannot be read: {error}")))?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).map_err(|source| BackupError::Io { path: folder.to_owned(), source })?;
    }
}

/// Adds up what is read.
struct Summed<R> {
    inner: R,
    sum: Sha256,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.sum.update(&buffer[..length]);
        Ok(length)
    }
}

fn private() -> OpenOptions {
    OpenOptions::new().write(true).mode(0o600).clone()
}

/// A file of ours alone. What a backup that was killed has left there is removed first; so is anything else of that name, which keeps neither its owner
/// nor its mode, and leads nowhere else.
fn anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => private().create_new(true).open(path),
    }
}

/// The file in which a backup comes about, anew and locked; the lock goes with the process, however that ends. `None`: another backup has it. What one
/// that was killed has left there is locked by nobody, and only who has locked it removes it.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let left = match path.symlink_metadata() {
        Ok(left) if left.is_file() => match File::open(path) {
            Ok(left) => Some(left),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        },
        Ok(_) | Err(_) => None,
    };
    if let Some(left) = &left
        && !(is_locked(left)? && is_named(left, path)?)
    {
        return Ok(None);
    }
    let made = match left {
        Some(_) => anew(path),
        // What is there and no file is in nobody's work.
        None if path.symlink_metadata().is_ok_and(|left| !left.is_file()) => anew(path),
        None => private().create_new(true).open(path),
    };
    match made {
        Ok(file) => Ok((is_locked(&file)? && is_named(&file, path)?).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks a file, if nobody else has.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether it is this file that has the name now.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, named) = (file.metadata()?, path.symlink_metadata());
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
}

/// Gives a file a name that nobody has: a link does not replace what is there, as renaming would. Disks that know no links (FAT) have it renamed.
fn name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => match to.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        result => result,
    }
}

/// `FILE.ending`, in the same folder.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug)]
pub enum BackupError {
    /// The folder has no database.
    NoStore(PathBuf),
    /// The file is there already.
    Exists(PathBuf),
    /// Another backup to the file is under way.
    Busy(PathBuf),
    /// The folder has a store already.
    Occupied(PathBuf),
    /// The folder cannot be used; a switch may run on it.
    Folder(FolderError),
    /// The backup is none, or not whole.
    Damaged(String),
    /// Its tables are of a version that is not known.
    Version {
        /// Theirs.
        found: u32,
        /// The last one this binary knows.
        known: u32,
    },
    /// The database could not be copied.
    Store(StoreError),
    /// The system refused.
    Io {
        /// What it was about.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::NoStore(data) => write!(f, "{} has no store: there is nothing to back up", data.display()),
            BackupError::Exists(file) => {
                write!(f, "{} is there already and is not overwritten: name another file", file.display())
            }
            BackupError::Busy(file) => {
                write!(f, "another backup to {} is being made: wait for it, or name another file", file.display())
            }
            BackupError::Occupied(data) => write!(
                f,
                "{} has a store already: restore into another folder, or give --replace (it is then kept in {})",
                data.display(),
                data.join(REPLACED).display()
            ),
            BackupError::Folder(error @ FolderError::InUse { .. }) => write!(f, "{error}; stop that switch first"),
            BackupError::Folder(error) => error.fmt(f),
            BackupError::Damaged(what) => write!(f, "the backup is of no use: {what}"),
            BackupError::Version { found, known } => write!(
                f,
                "the backup was made by a newer version of the switch (its tables are of version {found}, this one knows {known}): \
                 restore it with that version"
            ),
            BackupError::Store(error) => error.fmt(f),
            BackupError::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for BackupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BackupError::Folder(error) => Some(error),
            BackupError::Store(error) => Some(error),
            BackupError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
