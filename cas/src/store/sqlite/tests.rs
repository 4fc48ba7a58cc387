use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;
use crate::entropy::Entropy;
use crate::store::folder::FolderError;
use crate::store::tests::{REALM, everything, leads_to, of_user, open, record, site, user, write};
use crate::store::{Change, Directory, History, Reply, Request, run};

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_realm_is_that_of_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut store = Sqlite::open(Folder::open(folder.path()).unwrap(), "other.example").unwrap();
    assert_eq!(everything(&mut store).realm, REALM);
}

#[test]
fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = Folder::open(folder.path()).unwrap_err().to_string();
    let lock = folder.path().join("switch.lock");
    let pid = std::process::id();
    assert_eq!(error, format!("the data folder is in use: {} is locked by process {pid}", lock.display()));
    drop(store);
    Folder::open(folder.path()).unwrap();
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("switch.lock");
    fs::write(&lock, "1\n").unwrap();
    let script = r#"exec 9<"$0"; flock -n 9 && echo locked && exec sleep 600"#;
    let mut holder = Command::new("sh").args(["-c", script]).arg(&lock).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = [0; 7];
    std::io::Read::read_exact(&mut holder.stdout.take().unwrap(), &mut told).unwrap();
    assert!(matches!(Folder::open(folder.path()), Err(FolderError::InUse { holder: Some(1), .. })));
    holder.kill().unwrap();
    holder.wait().unwrap();
    Folder::open(folder.path()).unwrap();
}

#[test]
fn folder_and_files_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/data");
    let folder = Folder::open(&path).unwrap();
    folder.machine_key(&mut Counting(0)).unwrap();
    let mut store = Sqlite::open(folder, REALM).unwrap();
    write(&mut store, &site()).unwrap();
    assert_eq!(mode(&path), 0o700);
    for file in ["machine.key", "switch.lock", "switch.db", "switch.db-wal"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_machine_key_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let key = Folder::open(folder.path()).unwrap().machine_key(&mut Counting(0)).unwrap();
    let again = Folder::open(folder.path()).unwrap().machine_key(&mut Counting(99)).unwrap();
    assert_eq!((key.0[0], key.0), (1, again.0));
}

#[test]
fn a_database_whose_machine_key_is_gone_gets_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Folder::open(folder.path()).unwrap();
    opened.machine_key(&mut Counting(0)).unwrap();
    drop(Sqlite::open(opened, REALM).unwrap());
    let key = folder.path().join("machine.key");
    fs::remove_file(&key).unwrap();
    let error = Folder::open(folder.path()).unwrap().machine_key(&mut Counting(0)).unwrap_err();
    assert!(matches!(&error, FolderError::MissingKey(path) if *path == key), "{error}");
    assert!(error.to_string().contains("restore it from the backup"), "{error}");
    assert!(!key.exists());
}

#[test]
fn a_damaged_machine_key_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.key");
    for damaged in ["", "abc", &"0".repeat(63), &"g".repeat(64)] {
        fs::write(&path, damaged).unwrap();
        let error = Folder::open(folder.path()).unwrap().machine_key(&mut Counting(0)).unwrap_err().to_string();
        assert!(error.contains("machine.key is damaged: expected 64 hexadecimal digits"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Folder::open(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot use {}: ", path.display())), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let error = Sqlite::open(Folder::open(folder.path()).unwrap(), REALM).unwrap_err();
    assert_eq!(error, OpenError::Newer { path: folder.path().join("switch.db"), found: 99, known: KNOWN });
    assert!(error.to_string().contains("written by a newer version of the switch"), "{error}");
}

#[test]
fn every_version_comes_up_to_this_one() {
    for version in 1..=KNOWN {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join(FILE)).unwrap();
        MIGRATIONS[..version as usize].iter().for_each(|sql| old.execute_batch(sql).unwrap());
        old.pragma_update(None, "user_version", version).unwrap();
        old.execute_batch(
            "INSERT INTO user (id, login, first, last, role, password_hash) VALUES (1, '501', '', '', 'user', '')",
        )
        .unwrap();
        drop(old);
        let mut store = open(folder.path());
        assert_eq!(everything(&mut store).users[0].login, "501", "from version {version}");
        write(&mut store, &[Change::PutHistory(record(1, 1, 1))]).unwrap();
    }
}

#[test]
fn bindings_made_before_there_were_paths_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(FILE)).unwrap();
    MIGRATIONS[..4].iter().for_each(|sql| old.execute_batch(sql).unwrap());
    old.pragma_update(None, "user_version", 4).unwrap();
    let local = "10.0.0.1:5060";
    old.execute_batch(&format!(
        "INSERT INTO device (id, address) VALUES (1, '192.0.2.1:5060');
         INSERT INTO binding VALUES (1, 'sip:a@192.0.2.7', '<urn:uuid:1>', 500, 'c', 3, '', 'udp', '{local}', '{local}', 9)"
    ))
    .unwrap();
    drop(old);
    let [kept] = &everything(&mut open(folder.path())).bindings[..] else { panic!("one binding") };
    let told = (kept.contact.as_str(), kept.reg_id, kept.path.as_str(), kept.q, kept.cseq);
    assert_eq!(told, ("sip:a@192.0.2.7", 0, "", 500, 3));
}

#[test]
fn the_last_calls_of_before_are_those_of_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(FILE)).unwrap();
    MIGRATIONS[..8].iter().for_each(|sql| old.execute_batch(sql).unwrap());
    old.pragma_update(None, "user_version", 8).unwrap();
    old.execute_batch(
        "INSERT INTO user (id, login, first, last, role, password_hash) VALUES (1, '501', '', '', 'user', ''), (2, '502', '', '', 'user', '');
         INSERT INTO history VALUES
             (1, 1, NULL, 'placed', '503', '', 100, 0, 'normal', '', ''), (2, 1, NULL, 'placed', '502', '', 200, 0, 'busy', '', ''),
             (3, 1, NULL, 'placed', '*68', '', 300, 0, 'normal', '', ''), (4, 1, NULL, 'received', '504', '', 100, 0, 'normal', '', ''),
             (5, 1, NULL, 'missed', '', '', 200, 0, 'normal', '', '')",
    )
    .unwrap();
    drop(old);
    let last = everything(&mut open(folder.path())).last_calls;
    let told: Vec<_> = last.iter().map(|last| (last.user.0, last.dialled.as_deref(), last.caller.as_deref())).collect();
    assert_eq!(told, [(1, Some("502"), Some("")), (2, None, None)]);
}

#[test]
fn a_file_that_is_no_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "no database at all, ".repeat(1000)).unwrap();
    let error = Sqlite::open(Folder::open(folder.path()).unwrap(), REALM).unwrap_err().to_string();
    assert!(
        error.contains("switch.db: the database is damaged") && error.contains("restore it from a backup"),
        "{error}"
    );
}

#[test]
fn a_column_that_makes_no_sense_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &site()).unwrap();
    store.connection.execute_batch("UPDATE user SET role = 'king'").unwrap();
    let error = crate::store::snapshot(&mut store, crate::time::Wall(0)).unwrap_err().to_string();
    assert!(error.contains("the database is damaged") && error.contains("\"king\""), "{error}");
}

#[test]
fn a_full_disk_is_told_and_undoes_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &site()).unwrap();
    let before = everything(&mut store);
    let pages: u32 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    let large = crate::site::User { first: "x".repeat(100_000), ..user(9, "509") };
    assert_eq!(
        write(&mut store, &[leads_to("503", 1), Change::PutUser(large)]),
        Err(StoreError("the disk is full".to_owned()))
    );
    assert_eq!(everything(&mut store), before);

    store.connection.pragma_update(None, "max_page_count", pages + 100).unwrap();
    let request = Request::Write(vec![Change::PutHistory(record(1, 1, 1))]);
    assert_eq!(run(&mut store, &[request]), [Ok(Reply::Written)]);
}

#[test]
fn a_database_that_another_program_has_locked_is_told_and_works_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &site()).unwrap();
    // How long to wait is the operator's patience, not the test's.
    store.connection.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let changes = [Change::PutUser(user(9, "509")), leads_to("509", 9)];
    assert_eq!(write(&mut store, &changes), Err(StoreError("another program has locked the database".to_owned())));
    assert_eq!(store.users().unwrap().len(), 2, "what is there can be read");

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(everything(&mut store).users.len(), 2);
    write(&mut store, &changes).unwrap();
    assert_eq!(everything(&mut store).users.len(), 3);
}

#[test]
fn every_commit_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").unwrap(), 2.into(), "2 is FULL");
    assert_eq!(pragma("foreign_keys").unwrap(), 1.into());
}

#[test]
fn history_is_read_by_its_index_and_not_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut plan = Vec::new();
    let sql = "EXPLAIN QUERY PLAN SELECT * FROM history WHERE user = 1 AND started > -1 AND started < 9 ORDER BY started DESC, call DESC";
    let mut statement = store.connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get::<_, String>("detail").unwrap());
    }
    assert_eq!(plan, ["SEARCH history USING INDEX history_user_started (user=? AND started>? AND started<?)"]);
    assert_eq!(store.records(&of_user(1)), Ok(Vec::new()));
}

#[test]
fn closing_leaves_no_log_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &site()).unwrap();
    Box::new(store).close().unwrap();
    assert!(!folder.path().join("switch.db-wal").exists());
}
