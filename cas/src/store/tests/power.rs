//! The power fails at any instant: whatever had been confirmed is there, whole, and the database is sound.
//!
//! A process writes to a store under `strace`, which records every system call that touches a file, with its bytes. From this record the test builds what a
//! disk may hold after a power cut between any two calls: everything that was synced, and of what was not, any part, cut at any sector, in any order. It
//! opens each of these folders as a start of the switch would. No other way shows what SQLite, the kernel's promises and our own files make of one another
//! without a kernel module or a file system of our own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::entropy::Entropy;

const FOLDER: &str = "SWITCH_TEST_POWER_FOLDER";

/// Requests the process makes: enough for the log to be checkpointed.
const REQUESTS: u64 = 450;

/// Calls kept of each user: the oldest are removed while others are written.
const RECORDS: usize = 60;

/// What a disk writes whole.
const SECTOR: usize = 512;

struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(7);
    }
}

/// The nth request: the records of both ends of a call, and a registration. After a power cut all three are there or none.
fn request(n: u64) -> Request {
    Request::Write(vec![
        Change::PutHistory(record(2 * n, 1, n)),
        Change::PutBinding(BindingRecord { cseq: n as u32, ..binding(1, "sip:501@192.0.2.7", u64::MAX >> 1) }),
        Change::PutHistory(record(2 * n + 1, 2, n)),
    ])
}

/// Not a test by itself: the process that writes. It prints the number of each request the store has confirmed.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let folder = Folder::open(Path::new(&path)).unwrap();
    folder.machine_key(&mut Fixed).unwrap();
    let mut store = Sqlite::open(folder, REALM).unwrap();
    write(&mut store, &site()).unwrap();
    let (sender, answers) = mpsc::channel();
    let limits = HistoryLimits { records: RECORDS, days: None };
    let thread = StoreThread::start(Box::new(store), limits, move |n: u64, reply| {
        assert_eq!(reply, Ok(Reply::Written));
        std::io::stdout().write_all(format!("confirmed {n}\n").as_bytes()).unwrap();
        sender.send(()).unwrap();
    });
    let thread = thread.unwrap();
    let mut waiting = 0;
    for n in 1..=REQUESTS {
        thread.submit(n, request(n)).unwrap();
        waiting += 1;
        // Now one in a commit, now several.
        while waiting > 0 && (n % 7 < 4 || n == REQUESTS) {
            answers.recv().unwrap();
            waiting -= 1;
        }
    }
    // No orderly close: the power fails.
    std::process::exit(0);
}

/// What the process did to its files, and what it was told.
#[derive(Debug)]
enum Deed {
    Create(String),
    Write(String, usize, Vec<u8>),
    Append(String, Vec<u8>),
    Truncate(String, usize),
    Sync(String),
    SyncFolder,
    Rename(String, String),
    Unlink(String),
    Confirmed(u64),
}

/// Reads the record of `strace -y -xx`: all strings in hexadecimal.
fn deeds(record: &str, folder: &str) -> Vec<Deed> {
    let deeds = record.lines().filter_map(|line| deed(line, folder));
    deeds.filter(|deed| !matches!(deed, Deed::Create(name) if name.ends_with("-shm"))).collect()
}

fn deed(line: &str, folder: &str) -> Option<Deed> {
    let (call, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    let result: i64 = result.split(['<', ' ']).next()?.parse().ok().filter(|result| *result >= 0)?;
    let strings: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(unhex).collect();
    let text =
        |index: usize| String::from_utf8_lossy(strings.get(index).map(Vec::as_slice).unwrap_or_default()).into_owned();
    let inside = |path: &str| Some(path.strip_prefix(folder)?.trim_start_matches('/').to_owned());
    let descriptor =
        || Some(String::from_utf8_lossy(&unhex(arguments.split_once('<')?.1.split_once('>')?.0)).into_owned());
    let last = || arguments.rsplit(", ").next()?.parse::<usize>().ok();
    // What the log's index holds is made anew from the log.
    let kept = |name: String| Some(name).filter(|name| !name.is_empty() && !name.ends_with("-shm"));
    match call {
        "openat" if arguments.contains("O_CREAT") => Some(Deed::Create(kept(inside(&text(0))?)?)),
        "pwrite64" => Some(Deed::Write(kept(inside(&descriptor()?)?)?, last()?, strings.into_iter().next()?)),
        "write" => match text(0).strip_prefix("confirmed ") {
            Some(number) => Some(Deed::Confirmed(number.trim().parse().ok()?)),
            None => Some(Deed::Append(kept(inside(&descriptor()?)?)?, strings.into_iter().next()?)),
        },
        "ftruncate" => Some(Deed::Truncate(kept(inside(&descriptor()?)?)?, last()?)),
        "fsync" | "fdatasync" => Some(match inside(&descriptor()?)? {
            name if name.is_empty() => Deed::SyncFolder,
            name => Deed::Sync(kept(name)?),
        }),
        "rename" => Some(Deed::Rename(inside(&text(0))?, inside(&text(1))?)),
        "unlink" => Some(Deed::Unlink(kept(inside(&text(0))?)?)),
        "mkdir" | "openat" => None,
        other => panic!("{other} = {result} is not modelled"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |pair: &str| u8::from_str_radix(pair, 16).expect("strace prints hexadecimal");
    text.split("\\x").skip(1).map(|pair| digits(&pair[..2])).collect()
}

/// A small generator, so that a failure replays.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// How much of what was not synced has reached the disk all the same.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    Everything,
    Some,
}

/// The disk: what it holds for certain, and what is on its way.
#[derive(Default)]
struct Disk {
    files: Vec<File>,
    /// Names of files as a start will find them, and what was done to names since they were last synced.
    names: BTreeMap<String, usize>,
    pending_names: Vec<(String, Option<usize>)>,
    /// Names as the process sees them.
    seen: BTreeMap<String, usize>,
}

#[derive(Default)]
struct File {
    certain: Vec<u8>,
    pending: Vec<(usize, Written)>,
    /// As the process sees it.
    length: usize,
}

enum Written {
    Bytes(Vec<u8>),
    End,
}

impl Disk {
    fn does(&mut self, deed: &Deed) {
        match deed {
            Deed::Create(name) if self.seen.contains_key(name) => {}
            Deed::Create(name) => {
                self.files.push(File::default());
                self.name(name, Some(self.files.len() - 1));
            }
            Deed::Write(name, at, bytes) => self.file(name).write(*at, bytes),
            Deed::Append(name, bytes) => {
                let file = self.file(name);
                file.write(file.length, bytes);
            }
            Deed::Truncate(name, length) => {
                let file = self.file(name);
                file.pending.push((*length, Written::End));
                file.length = *length;
            }
            Deed::Sync(name) => self.file(name).sync(),
            Deed::SyncFolder => {
                for (name, file) in std::mem::take(&mut self.pending_names) {
                    rename(&mut self.names, name, file);
                }
            }
            Deed::Rename(from, to) => {
                let file = self.seen.get(from).copied();
                self.name(from, None);
                self.name(to, file);
            }
            Deed::Unlink(name) => self.name(name, None),
            Deed::Confirmed(_) => {}
        }
    }

    fn name(&mut self, name: &str, file: Option<usize>) {
        rename(&mut self.seen, name.to_owned(), file);
        self.pending_names.push((name.to_owned(), file));
    }

    fn file(&mut self, name: &str) -> &mut File {
        let index = self.seen.get(name).unwrap_or_else(|| panic!("{name} was not made"));
        &mut self.files[*index]
    }

    /// Puts what may be left after a power cut into a folder.
    fn cut(&self, luck: Luck, random: &mut Random, folder: &Path) {
        let mut names = self.names.clone();
        let reached = match luck {
            Luck::Nothing => 0,
            Luck::Everything => self.pending_names.len(),
            // A file system keeps the order of names.
            Luck::Some => random.below(self.pending_names.len() + 1),
        };
        for (name, file) in &self.pending_names[..reached] {
            rename(&mut names, name.clone(), *file);
        }
        for (name, file) in names {
            std::fs::write(folder.join(name), self.files[file].cut(luck, random)).unwrap();
        }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

impl File {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.pending.push((at, Written::Bytes(bytes.to_vec())));
        self.length = self.length.max(at + bytes.len());
    }

    fn sync(&mut self) {
        for (at, written) in std::mem::take(&mut self.pending) {
            apply(&mut self.certain, at, &written);
        }
    }

    /// Some of the sectors of some of the writes, or none, or all.
    fn cut(&self, luck: Luck, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.certain.clone();
        for (at, written) in &self.pending {
            match (luck, written) {
                (Luck::Nothing, _) => {}
                (Luck::Everything, _) => apply(&mut bytes, *at, written),
                (Luck::Some, Written::End) if random.below(2) == 0 => apply(&mut bytes, *at, written),
                (Luck::Some, Written::End) => {}
                (Luck::Some, Written::Bytes(all)) => {
                    let torn = random.below(4) == 0;
                    let whole = random.below(2) == 0;
                    for (index, sector) in all.chunks(SECTOR).enumerate() {
                        if if torn { random.below(2) == 0 } else { whole } {
                            apply(&mut bytes, at + index * SECTOR, &Written::Bytes(sector.to_vec()));
                        }
                    }
                }
            }
        }
        bytes
    }
}

fn apply(file: &mut Vec<u8>, at: usize, written: &Written) {
    match written {
        Written::End => file.resize(at, 0),
        Written::Bytes(bytes) => {
            file.resize(file.len().max(at + bytes.len()), 0);
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Starts on what is left: everything confirmed is there, whole; nothing else but what was asked for; the database is sound.
fn check(path: &Path, confirmed: u64) -> Result<(), String> {
    let folder = Folder::open(path).map_err(|error| error.to_string())?;
    folder.machine_key(&mut Fixed).map_err(|error| error.to_string())?;
    let mut store = Sqlite::open(folder, REALM).map_err(|error| error.to_string())?;
    let snapshot = snapshot(&mut store, Wall(0)).map_err(|error| error.to_string())?;
    let newest = snapshot.bindings.first().map_or(0, |binding| u64::from(binding.cseq));
    if newest < confirmed {
        return Err(format!("{confirmed} was confirmed, {newest} is there"));
    }
    for user in [1, 2] {
        let records =
            store.records(&HistoryQuery { max: RECORDS, ..of_user(user) }).map_err(|error| error.to_string())?;
        let found: Vec<u64> = records.iter().map(|record| record.started.0).collect();
        let expected: Vec<u64> = (1..=newest).rev().take(RECORDS).collect();
        if found != expected {
            return Err(format!(
                "half of a request is there: the registration of {newest}, and of user {user} {found:?}"
            ));
        }
    }
    Box::new(store).close().map_err(|error| error.to_string())?;
    let database = rusqlite::Connection::open(path.join("switch.db")).map_err(|error| error.to_string())?;
    let verdict = database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        verdict => Err(format!("the database is damaged: {verdict:?}")),
    }
}

/// The record of a process that wrote.
fn recorded() -> Vec<Deed> {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let calls = "trace=mkdir,openat,write,pwrite64,pwritev,pwritev2,writev,fsync,fdatasync,sync_file_range,ftruncate,truncate,\
                 fallocate,unlink,unlinkat,rename,renameat,renameat2,link,copy_file_range,sendfile";
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "100000", "-e", calls, "-e", "signal=none", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::power::child", "--ignored", "--nocapture"])
        .env(FOLDER, &folder)
        .stdout(Stdio::null())
        .status()
        .expect("strace is installed (tests/setup.sh)");
    assert!(status.success());
    let record = std::fs::read_to_string(&log).unwrap();
    assert!(!record.contains("<unfinished"), "calls of two threads overlap: the order of their effects is not known");
    deeds(&record, folder.to_str().unwrap())
}

#[test]
fn what_was_confirmed_survives_a_power_cut_at_any_instant() {
    let deeds = recorded();
    let count = |of: fn(&Deed) -> bool| deeds.iter().filter(|deed| of(deed)).count();
    assert_eq!(count(|deed| matches!(deed, Deed::Confirmed(_))) as u64, REQUESTS);
    let checkpointed = count(|deed| matches!(deed, Deed::Write(name, ..) if name == "switch.db"));
    assert!(checkpointed > 20, "the log was brought into the database: {checkpointed}");

    let mut random = Random(0x5eed);
    let mut disk = Disk::default();
    let (mut confirmed, mut cuts) = (0, 0);
    for (index, deed) in deeds.iter().enumerate() {
        // Each instant of the beginning, when files are made; of the rest some, and most of those of a checkpoint.
        let rare = matches!(deed, Deed::Sync(name) | Deed::Write(name, ..) if name == "switch.db");
        let chosen = index < 60 || random.below(if rare { 6 } else { 60 }) == 0;
        for luck in [Luck::Nothing, Luck::Everything, Luck::Some, Luck::Some].into_iter().filter(|_| chosen) {
            let folder = tempfile::tempdir().unwrap();
            disk.cut(luck, &mut random, folder.path());
            if let Err(breach) = check(folder.path(), confirmed) {
                panic!("the power fails before call {index} ({deed:.100?}), {luck:?} of the rest is written: {breach}");
            }
            cuts += 1;
        }
        disk.does(deed);
        if let Deed::Confirmed(n) = deed {
            confirmed = confirmed.max(*n);
        }
    }
    assert!(cuts > 400, "{cuts}");
}
