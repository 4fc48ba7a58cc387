//! What the compiler does not hold: invariant 1, and the shape of the repository.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// No I/O, clock, randomness or map order in what runs in a [`Node`](switch::node::Node), but for the words of `std::net` that only name addresses.
const FORBIDDEN: [&str; 13] = [
    "Instant::now",
    "SystemTime::now",
    "HashMap",
    "HashSet",
    "RandomState",
    "getrandom",
    "std::fs",
    "std::io",
    "std::thread",
    "std::env",
    "UdpSocket",
    "TcpStream",
    "tokio",
];

/// Where the node's code is; what is pure and what is not stand apart by file.
const PURE: [&str; 22] = [
    "switch/src/node.rs",
    "switch/src/engine.rs",
    "switch/src/engine",
    "switch/src/endpoint.rs",
    "switch/src/endpoint",
    "switch/src/journal.rs",
    "switch/src/registrar.rs",
    "switch/src/registrar",
    "switch/src/auth.rs",
    "switch/src/histogram.rs",
    "switch/src/ports.rs",
    "switch/src/seats.rs",
    "switch/src/call.rs",
    "switch/src/call",
    "switch/src/service.rs",
    "switch/src/service",
    "switch/src/sip.rs",
    "switch/src/sip",
    "switch/src/subscribe.rs",
    "switch/src/subscribe",
    "cas/src",
    "media/src",
];

/// The edges within them: listeners, drivers, threads.
const EDGES: [&str; 8] = [
    "cas/src/http",
    "cas/src/store",
    "cas/src/password.rs",
    "media/src/plane.rs",
    "media/src/net",
    "media/src/codec",
    "media/src/tap.rs",
    "media/src/clock.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.extend(path.extension().is_some_and(|end| end == "rs").then(|| path.to_owned()));
        return;
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.for_each(|entry| sources(&entry.unwrap().path(), found));
}

fn product_code(path: &Path) -> String {
    without_tests(&fs::read_to_string(path).unwrap())
}

/// The code of a file without its comments, and without the tests at its end. What else in it is for tests only stands among the rest, and is looked at too.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_stands_behind_something_for_tests_only_is_looked_at() {
    let code = without_tests(
        "//! HashMap\n#[cfg(test)]\nmod tests;\nuse std::fs;\n\n    #[cfg(test)]\n    fn held() {}\n    std::io\n#[cfg(test)]\nmod tests {\n    use tokio;\n}\n",
    );
    assert_eq!(["HashMap", "std::fs", "std::io", "tokio"].map(|word| code.contains(word)), [false, true, true, false]);
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[test]
fn what_runs_in_a_node_asks_neither_the_system_nor_chance() {
    let root = root();
    let mut files = Vec::new();
    PURE.iter().for_each(|path| sources(&root.join(path), &mut files));
    let is_edge = |path: &Path| EDGES.iter().any(|edge| path.to_str().unwrap().contains(edge));
    files.retain(|path| !is_edge(path) && !is_test(path));
    assert!(files.len() > 80, "only {} files were found", files.len());
    for path in files {
        let code = product_code(&path);
        let word = FORBIDDEN.iter().find(|word| code.contains(**word));
        assert_eq!(word, None, "{}", path.display());
    }
}

/// Invariant 8: no lock on the way of a packet. An uncontended one would show in no system call, so the words are looked for; the threads share sockets and
/// two counters a turn, which nobody waits for. `media/tests/no_alloc.rs` counts allocations.
#[test]
fn the_media_plane_knows_no_lock() {
    let mut files = Vec::new();
    sources(&root().join("media/src"), &mut files);
    for path in files.into_iter().filter(|path| !is_test(path)) {
        let code = product_code(&path);
        let word = ["Mutex", "RwLock", "Condvar", "Barrier", "mpsc", "OnceLock", "LazyLock"]
            .iter()
            .find(|word| code.contains(**word));
        assert_eq!(word, None, "{}", path.display());
    }
}

#[test]
fn every_source_file_begins_with_what_it_is_for() {
    let root = root();
    let mut files = Vec::new();
    ["switch", "cas", "media"].iter().for_each(|path| sources(&root.join(path), &mut files));
    for path in files.into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} says nothing of itself", path.display());
    }
}
