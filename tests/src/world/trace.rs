//! What happened last, for the report of a failure.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Lines kept, and in a replay.
const KEPT: usize = 120;
const KEPT_IN_REPLAY: usize = 100_000;

/// Whether messages are shown as they are, and sound too.
fn is_full() -> bool {
    static FULL: OnceLock<bool> = OnceLock::new();
    *FULL.get_or_init(|| std::env::var_os("WORLD_WIRE").is_some())
}

/// The last things that happened.
#[derive(Debug)]
pub(super) struct Trace {
    start: Instant,
    kept: usize,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new(start: Instant) -> Trace {
        let replay = std::env::var_os("WORLD_SEED").is_some();
        Trace { start, kept: if replay { KEPT_IN_REPLAY } else { KEPT }, lines: VecDeque::new() }
    }

    /// Whether every packet of sound is noted.
    pub(super) fn is_full(&self) -> bool {
        is_full()
    }

    pub(super) fn note(&mut self, now: Instant, line: impl FnOnce() -> String) {
        if self.lines.len() == self.kept {
            self.lines.pop_front();
        }
        let at: Duration = now - self.start;
        self.lines.push_back(format!("{:>10.3}  {}", at.as_secs_f64(), line()));
    }

    pub(super) fn print(&self) {
        for line in &self.lines {
            eprintln!("{line}");
        }
    }
}

/// A SIP message in a line: its start, whose it is, and its number. As it is where WORLD_WIRE is set.
pub(super) fn sip(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if is_full() {
        return text.into_owned();
    }
    let start = text.lines().next().unwrap_or_default();
    let call_id = header(&text, "Call-ID").unwrap_or_default();
    let cseq = header(&text, "CSeq").unwrap_or_default();
    let direction = ["sendonly", "recvonly", "inactive"].into_iter().find(|word| text.contains(&format!("a={word}")));
    let branch = header(&text, "Via").and_then(|via| via.split_once("branch=")).map_or("", |(_, rest)| rest);
    let short = |text: &str, from: usize| text.chars().skip(from).take(6).collect::<String>();
    format!("{start}  [{cseq}] {}/{} {}", short(call_id, 0), short(branch, 7), direction.unwrap_or_default())
}

/// The value of a header's first line, long or compact.
pub(super) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let short = match name {
        "Call-ID" => "i",
        "Via" => "v",
        "To" => "t",
        _ => name,
    };
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        let key = key.trim();
        (key.eq_ignore_ascii_case(name) || key.eq_ignore_ascii_case(short)).then(|| value.trim())
    })
}
