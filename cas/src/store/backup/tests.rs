use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::entropy::Entropy;
use crate::site::{Access, Device, DeviceId, Role, User, UserId};
use crate::store::sqlite::Sqlite;
use crate::store::{Change, Reply, Request, Store, run, snapshot};
use crate::time::Wall;

/// The same bytes again and again: a key for each.
struct Constant(u8);

impl Entropy for Constant {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(self.0);
    }
}

/// A data folder with one user of this name, whose phone's secret is sealed under this key; its store is open.
fn open(data: &Path, key: u8, login: &str) -> Box<Sqlite> {
    let folder = Folder::open(data).unwrap();
    let key = folder.machine_key(&mut Constant(key)).unwrap();
    let mut store = Box::new(Sqlite::open(folder, "switch.local").unwrap());
    let user = User {
        id: UserId(1),
        login: login.into(),
        first: login.into(),
        last: String::new(),
        email: None,
        role: Role::User,
        password_hash: String::new(),
        pin_hash: None,
        pickup_group: None,
    };
    let access = Access::digest(&key, [1; 12], login, "switch.local", "secret", None);
    let device = Device { id: DeviceId(1), user: Some(UserId(1)), access };
    let write = Request::Write(vec![Change::PutUser(user), Change::PutDevice(device)]);
    assert_eq!(run(&mut *store, [&write]), [Ok(Reply::Written)]);
    store
}

fn made(data: &Path, key: u8, login: &str) {
    open(data, key, login).close().unwrap();
}

/// The user of a folder, seen as a start of the switch sees it; his phone's secret can be read.
fn user_of(data: &Path) -> String {
    let folder = Folder::open(data).unwrap();
    let key = folder.machine_key(&mut Constant(0)).unwrap();
    let mut store = Sqlite::open(folder, "other").unwrap();
    let snapshot = snapshot(&mut store, Wall(0)).unwrap();
    let Access::Digest { secret, .. } = &snapshot.devices[0].access else { panic!() };
    assert_eq!(key.open(secret).as_deref(), Some(&b"secret"[..]), "the key is that of the database");
    Box::new(store).close().unwrap();
    snapshot.users[0].login.clone()
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A backup of a folder with this user.
    fn backup(&self, key: u8, login: &str) -> PathBuf {
        let (data, file) = (self.path(&format!("data of {login}")), self.path(&format!("{login}.tar")));
        made(&data, key, login);
        assert_eq!(backup(&data, &file).unwrap(), Contents { users: 1, records: 0 });
        file
    }
}

#[test]
fn what_is_backed_up_while_the_store_is_open_is_restored() {
    let place = Place::new();
    let (data, file, other) = (place.path("data"), place.path("b.tar"), place.path("other"));
    let store = open(&data, 7, "501");
    backup(&data, &file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "nothing else is left: {files:?}");
    store.close().unwrap();
    assert_eq!(restore(&other, &file, false).unwrap(), Contents { users: 1, records: 0 });
    assert_eq!(user_of(&other), "501");
    for name in [FILE, KEY] {
        assert_eq!(fs::metadata(other.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_backup_is_not_overwritten_and_one_of_nothing_is_not_made() {
    let place = Place::new();
    let file = place.backup(7, "501");
    let before = fs::read(&file).unwrap();
    assert!(matches!(backup(&place.path("data of 501"), &file), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(matches!(backup(&place.path("nowhere"), &place.path("n.tar")), Err(BackupError::NoStore(_))));
    assert!(!place.path("n.tar").exists() && !place.path("nowhere").exists());
}

/// A kill leaves the files beside; somebody else may have put something of their names there.
#[test]
fn what_lies_beside_a_backup_is_neither_kept_nor_followed() {
    let place = Place::new();
    let (data, file, other) = (place.path("data"), place.path("b.tar"), place.path("other"));
    made(&data, 7, "501");
    fs::write(&other, b"theirs").unwrap();
    std::os::unix::fs::symlink(&other, beside(&file, "db")).unwrap();
    fs::write(beside(&file, "new"), b"half").unwrap();
    fs::set_permissions(beside(&file, "new"), fs::Permissions::from_mode(0o666)).unwrap();
    backup(&data, &file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&other).unwrap(), b"theirs");
    assert!(beside(&file, "db").symlink_metadata().is_err() && beside(&file, "new").symlink_metadata().is_err());
    restore(&place.path("restored"), &file, false).unwrap();
    // Nor is a name taken that leads nowhere.
    let dangling = place.path("dangling.tar");
    std::os::unix::fs::symlink(place.path("nowhere.tar"), &dangling).unwrap();
    assert!(matches!(backup(&data, &dangling), Err(BackupError::Exists(_))));
    assert!(!place.path("nowhere.tar").exists());
}

/// What does not come about leaves no name behind that the next backup would refuse to take.
#[test]
fn a_backup_has_its_name_only_when_it_is_whole() {
    let place = Place::new();
    let (data, file) = (place.path("data"), place.path("b.tar"));
    made(&data, 7, "501");
    // Where its file is to be written is a folder: the backup ends in the midst of its work.
    fs::create_dir(beside(&file, "new")).unwrap();
    assert!(matches!(backup(&data, &file), Err(BackupError::Io { .. })));
    assert!(file.symlink_metadata().is_err() && beside(&file, "db").symlink_metadata().is_err());
    fs::remove_dir(beside(&file, "new")).unwrap();
    backup(&data, &file).unwrap();
}

#[test]
fn a_backup_to_a_file_that_another_is_being_made_to_leaves_that_alone() {
    let place = Place::new();
    let (data, file) = (place.path("data"), place.path("b.tar"));
    made(&data, 7, "501");
    let mut other = claim(&beside(&file, "new")).unwrap().unwrap();
    other.write_all(b"its first bytes").unwrap();
    fs::write(beside(&file, "db"), b"its copy").unwrap();
    let told = backup(&data, &file).unwrap_err();
    assert!(
        matches!(&told, BackupError::Busy(named) if *named == file) && told.to_string().contains("b.tar"),
        "{told}"
    );
    assert_eq!(fs::read(beside(&file, "new")).unwrap(), b"its first bytes");
    assert_eq!(fs::read(beside(&file, "db")).unwrap(), b"its copy");
    // A kill ends the lock, and what is left is in nobody's way.
    drop(other);
    backup(&data, &file).unwrap();
}

#[test]
fn of_many_backups_to_one_file_at_once_one_is_made_and_whole() {
    let place = Place::new();
    let (data, file) = (place.path("data"), place.path("b.tar"));
    made(&data, 7, "501");
    let start = std::sync::Barrier::new(8);
    let made = std::thread::scope(|scope| {
        let begin = || {
            start.wait();
            backup(&data, &file)
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let (done, refused): (Vec<_>, Vec<_>) = made.iter().partition(|one| one.is_ok());
    assert!(refused.iter().all(|one| matches!(one, Err(BackupError::Busy(_) | BackupError::Exists(_)))), "{refused:?}");
    assert_eq!(done.len(), 1, "{refused:?}");
    let files: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "nothing else is left: {files:?}");
    restore(&place.path("restored"), &file, false).unwrap();
}

#[test]
fn a_store_is_replaced_only_when_told_and_kept() {
    let place = Place::new();
    let (new, data) = (place.backup(7, "501"), place.path("data"));
    made(&data, 9, "502");
    assert!(matches!(restore(&data, &new, false), Err(BackupError::Occupied(_))));
    assert_eq!(user_of(&data), "502");
    restore(&data, &new, true).unwrap();
    assert_eq!(user_of(&data), "501");
    assert_eq!(user_of(&data.join(REPLACED)), "502");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let place = Place::new();
    let (new, data) = (place.backup(7, "501"), place.path("data"));
    let store = open(&data, 9, "502");
    assert!(matches!(restore(&data, &new, true), Err(BackupError::Folder(FolderError::InUse { .. }))));
    store.close().unwrap();
    assert_eq!(user_of(&data), "502");
}

#[test]
fn a_backup_that_was_cut_or_changed_anywhere_restores_nothing() {
    let place = Place::new();
    let (good, data) = (place.backup(7, "501"), place.path("data"));
    made(&data, 9, "502");
    let bytes = fs::read(&good).unwrap();
    let bad = place.path("bad.tar");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&bad, bytes).unwrap();
        let error = restore(&data, &bad, true).map(|_| ()).unwrap_err();
        assert!(matches!(error, BackupError::Damaged(_)), "{what}: {error}");
        assert!(!data.join(UNCHECKED).exists() && !data.join(CHECKED).exists(), "{what}");
    };
    // Without the two empty blocks at its end a tar is complete all the same.
    for length in (0..bytes.len() - 2048).step_by(997) {
        refused(&bytes[..length], &format!("cut at {length}"));
    }
    for at in (0..bytes.len() - 2048).step_by(1499) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // What no reader of a tar looks at may be changed: dates, owners.
        fs::write(&bad, &changed).unwrap();
        if let Err(error) = restore(&data, &bad, true) {
            assert!(matches!(error, BackupError::Damaged(_)), "changed at {at}: {error}");
            assert_eq!(user_of(&data), "502", "changed at {at}");
        } else {
            assert_eq!(user_of(&data), "501", "changed at {at}");
            fs::remove_dir_all(&data).unwrap();
            made(&data, 9, "502");
        }
    }
    assert_eq!(user_of(&data), "502");
}

#[test]
fn an_archive_with_other_members_or_another_key_is_none() {
    let place = Place::new();
    let (data, bad) = (place.path("data"), place.path("bad.tar"));
    place.backup(7, "501");
    let database = place.path("data of 501").join(FILE);
    for name in ["../escape", "/tmp/escape", "readme"] {
        let mut archive = tar::Builder::new(File::create(&bad).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
        archive.finish().unwrap();
        assert!(matches!(restore(&data, &bad, false), Err(BackupError::Damaged(_))), "{name}");
    }
    assert!(!place.path("escape").exists());
    pack(&database, format!("{}\n", "ab".repeat(32)).as_bytes(), &anew(&bad).unwrap()).unwrap();
    let error = restore(&data, &bad, false).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("machine key"), "{error}");
}

/// Killed before each change it makes to the disk, in turn: whoever opens the folder next finds the old store or the new one, whole.
#[test]
fn a_restore_that_is_killed_at_any_instant_has_happened_or_not() {
    let place = Place::new();
    let new = place.backup(7, "501");
    let mut seen = Vec::new();
    for steps in 0.. {
        let data = place.path(&format!("data {steps}"));
        made(&data, 9, "502");
        // As a killed switch leaves them.
        fs::write(data.join(LOGS[1]), b"").unwrap();
        let mut left = steps;
        let result = restore_by(&data, &new, true, &mut || {
            left -= 1;
            if left < 0 { Err(io::Error::other("killed")) } else { Ok(()) }
        });
        seen.push(user_of(&data));
        assert!(!data.join(UNCHECKED).exists() && !data.join(CHECKED).exists());
        if result.is_ok() {
            break;
        }
    }
    let (old, new): (Vec<_>, Vec<_>) = seen.iter().partition(|user| *user == "502");
    assert!(old.len() >= 4 && new.len() >= 4, "{seen:?}");
    assert!(seen.is_sorted_by(|a, b| a >= b), "once it has happened it stays so: {seen:?}");
}
