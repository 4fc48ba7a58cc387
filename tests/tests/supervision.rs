//! Whoever supervises the switch: told by the protocol of systemd, by HUP and by metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tests::baresip::{Baresip, Model};
use tests::curl::Client;
use tests::process::{PATIENCE, Switch, until};

/// A supervisor that only listens.
struct Listener {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Listener {
    fn new() -> Listener {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Listener { socket, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits until it is told this; yields what it was told before.
    fn hears(&self, what: &str) -> Vec<String> {
        let mut before = Vec::new();
        let mut buffer = [0; 256];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what} is not told: {error}"));
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.starts_with(what) {
                return before;
            }
            before.push(told);
        }
    }
}

#[test]
fn systemd_is_told_what_the_switch_does_and_that_it_lives() {
    let listener = Listener::new();
    let mut switch = Switch::new();
    let path = listener.path();
    // For 200 ms there may be silence: a sign of life comes each 100.
    switch.run_with(&[("NOTIFY_SOCKET", path.to_str().expect("UTF-8")), ("WATCHDOG_USEC", "200000")]);
    listener.hears("READY=1");
    for _ in 0..3 {
        listener.hears("WATCHDOG=1");
    }
    switch.hang_up();
    listener.hears("RELOADING=1\nMONOTONIC_USEC=");
    let meanwhile = listener.hears("READY=1");
    assert!(meanwhile.iter().all(|told| told == "WATCHDOG=1"), "{meanwhile:?}");
    listener.hears("WATCHDOG=1");
    switch.ask_to_end();
    listener.hears("STOPPING=1");
    assert!(switch.ended().success());
}

#[test]
fn hup_changes_what_may_change_and_a_wrong_file_nothing() {
    let switch = Switch::start();
    let text = fs::read_to_string(switch.config()).expect("it was written");
    let shows_debug = || switch.log().contains("DEBUG");
    let provoke = || {
        drop(
            std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"nonsense\r\n\r\n", switch.sip)),
        )
    };
    let told = |words: &str| until(words, || switch.log().contains(words).then_some(()));
    assert!(!shows_debug());

    switch.configure(&format!("{text}[log]\nlevel = \"loud\"\n"));
    switch.hang_up();
    told("the switch goes on as it was");
    let line = text.lines().count() + 2;
    assert!(switch.log().contains(&format!("switch.toml:{line}: level = \"loud\"")), "{}", switch.log());

    let moved =
        text.replace("[sip]\n", "[sip]\ndomain = \"example.org\"\n").replace("ports = ", "threads = 2\nports = ");
    switch.configure(&format!("{moved}[log]\nlevel = \"debug\"\n"));
    switch.hang_up();
    told("[sip] domain, [log] level");
    told("[media] threads");
    until("a line at the new level", || {
        provoke();
        shows_debug().then_some(())
    });
    // And it serves.
    assert!(switch.told(&["status"]).contains("running"));
}

fn metrics(switch: &Switch) -> String {
    let mut stream = TcpStream::connect(switch.http).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it answers");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

/// As strict as `promtool check metrics`: every sample has its family's HELP and TYPE before it, no series is there twice, buckets rise to their count.
/// Yields the samples.
fn checked(text: &str) -> BTreeMap<String, f64> {
    let (mut types, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let mut samples = BTreeMap::new();
    let mut bucket: Option<(String, f64, f64)> = None;
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and words");
            assert!(helped.insert(name.to_owned()) && !words.is_empty(), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert!(helped.contains(name), "TYPE without HELP: {line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let name = series.split('{').next().expect("split yields one at least");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        let part = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| Some((name.strip_suffix(end)?, end)));
        match (types.get(name).map(String::as_str), part) {
            (Some("counter"), _) => assert!(name.ends_with("_total") && value >= 0.0, "{line}"),
            (Some("gauge"), _) => {}
            (_, Some((family, end))) if types.get(family).map(String::as_str) == Some("histogram") => {
                if end == "_bucket" {
                    let (labels, le) = series.rsplit_once("le=\"").expect("a bucket has its bound");
                    let bound: f64 = le.trim_end_matches("\"}").parse().expect("a bound");
                    if let Some((_, lower, below)) = bucket.take().filter(|(of, ..)| of == labels) {
                        assert!(bound > lower && value >= below, "{line}");
                    }
                    bucket = Some((labels.to_owned(), bound, value));
                } else if end == "_count" {
                    let (_, bound, below) = bucket.take().expect("buckets before their count");
                    assert!(bound.is_infinite() && (below - value).abs() < f64::EPSILON, "{line}");
                }
            }
            other => panic!("no type: {line} {other:?}"),
        }
    }
    samples
}

#[test]
fn metrics_are_what_prometheus_reads_and_tell_how_long_things_took() {
    let switch = Switch::with_users(&[("501", "Vanessa Kensington"), ("502", "Austin Powers")]);
    checked(&metrics(&switch));
    let mut vanessa = Baresip::start(&switch, Model::new("501", 440));
    let mut austin = Baresip::start(&switch, Model::new("502", 1_000));
    vanessa.call(&mut austin);
    austin.hang_up();
    vanessa.closed();
    let mut client = Client::login(&switch, "501");
    client.execute("tel", "make-call", serde_json::json!({"dest": "502"}));
    let samples = checked(&metrics(&switch));
    let value = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name}"));
    let count = |name: &str| value(name) as u64;
    assert_eq!(count("switch_call_setup_seconds_count{until=\"ringing\"}"), 1);
    assert_eq!(count("switch_call_setup_seconds_count{until=\"answer\"}"), 1);
    assert!(count("switch_sip_transaction_seconds_count{role=\"server\"}") >= 5);
    assert!(count("switch_sip_transaction_seconds_count{role=\"client\"}") >= 2);
    assert_eq!(count("switch_make_call_invite_seconds_count"), 1);
    assert!(count("switch_control_lag_seconds_count") > 0);
    assert!(value("switch_call_setup_seconds_sum{until=\"answer\"}") > 0.0);
}

#[test]
fn the_sample_unit_names_what_is_there() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../switch/switch.service");
    let text = fs::read_to_string(&unit).expect("the sample unit");
    for line in
        ["Type=notify", "WatchdogSec=", "ExecReload=/bin/kill -HUP $MAINPID", "NoNewPrivileges=yes", "LimitNOFILE="]
    {
        assert!(text.contains(line), "{line} is missing");
    }
    // Where systemd is at hand, its own opinion; the program itself need not be installed.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("switch.service");
    fs::write(&copy, text.replace("/usr/local/bin/switch", "/bin/true")).expect("written");
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("switch.service"), "{said}");
    }
}
