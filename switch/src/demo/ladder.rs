//! The picture of what was sent: three lifelines and a column for the CAS, drawn as it happens.

use std::io::{self, Write};
use std::time::Instant;

/// Between two lifelines.
const GAP: usize = 24;

/// The picture. With JSON wanted, nothing is drawn.
#[derive(Debug)]
pub(super) struct Ladder {
    start: Instant,
    hidden: bool,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToSwitch,
    FromSwitch,
}

impl Ladder {
    pub(super) fn new(hidden: bool) -> Ladder {
        Ladder { start: Instant::now(), hidden }
    }

    fn print(&self, line: &str) {
        if !self.hidden {
            print(line);
        }
    }

    pub(super) fn title(&self, text: &str) {
        self.print(&format!("{text}\n"));
        self.print(&format!("{:>9}   {:<GAP$} {:<GAP$} {:<4}  CAS client of 501", "ms", "501", "switch", "502"));
    }

    /// What happens next, in words.
    pub(super) fn say(&self, text: &str) {
        self.print(&format!("\n  {text}"));
    }

    /// A SIP message of a telephone: its method, or its status and reason.
    pub(super) fn sip(&self, phone: usize, way: Way, message: &[u8]) {
        let empty = " ".repeat(GAP);
        // 501 stands to the left of the switch, 502 to its right.
        let arrow = arrow(&label(message), (way == Way::ToSwitch) == (phone == 0));
        let (left, right) = if phone == 0 { (arrow, empty) } else { (empty, arrow) };
        self.row(&left, &right, "");
    }

    /// A CAS message.
    pub(super) fn cas(&self, way: Way, text: &str) {
        let arrow = if way == Way::ToSwitch { "◀─" } else { "─▶" };
        let empty = " ".repeat(GAP);
        self.row(&empty, &empty, &format!("{arrow} {text}"));
    }

    /// What is heard.
    pub(super) fn sound(&self, text: &str) {
        let width = 2 * GAP + 1;
        let at = self.start.elapsed().as_secs_f64() * 1000.0;
        self.print(&format!("{at:>9.1}   │{text:┄^width$}│"));
    }

    fn row(&self, left: &str, right: &str, note: &str) {
        let at = self.start.elapsed().as_secs_f64() * 1000.0;
        self.print(format!("{at:>9.1}   │{left}│{right}│   {note}").trim_end());
    }
}

/// Writes a line; where nobody reads any more, that is no fault.
pub(super) fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// `── text ──▶`, as wide as a gap.
fn arrow(text: &str, rightwards: bool) -> String {
    let width = GAP - 1;
    let text: String = text.chars().take(width - 4).collect();
    let line = format!("{:─^width$}", format!(" {text} "));
    if rightwards { format!("{line}▶") } else { format!("◀{line}") }
}

/// The method, or status and reason; with a hold, its direction.
fn label(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let start = text.lines().next().unwrap_or_default();
    let name = match start.strip_prefix("SIP/2.0 ") {
        Some(status) => status.to_owned(),
        None => start.split(' ').next().unwrap_or_default().to_owned(),
    };
    let direction = ["sendonly", "recvonly", "inactive"].into_iter().find(|word| text.contains(&format!("a={word}")));
    direction.map_or(name.clone(), |direction| format!("{name} {direction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_is_as_wide_as_the_gap() {
        for text in ["BYE", "INVITE", "487 Request Terminated or worse"] {
            for rightwards in [true, false] {
                assert_eq!(arrow(text, rightwards).chars().count(), GAP);
            }
        }
    }

    #[test]
    fn a_label_is_the_method_or_the_status_and_names_a_hold() {
        assert_eq!(label(b"INVITE sip:a@b SIP/2.0\r\n\r\na=sendonly\r\n"), "INVITE sendonly");
        assert_eq!(label(b"SIP/2.0 200 OK\r\n\r\n"), "200 OK");
    }
}
