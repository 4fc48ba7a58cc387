//! One call for people: who, its phones and what they count, and the ladder of its SIP messages.

use std::fmt::Write as _;

use serde_json::Value;

use super::admin::{Row, list, number, text};
use super::ask::Message;
use super::table::{clean, table};
use crate::clock::moment;

/// Between two lifelines.
const GAP: usize = 30;

/// Columns of what a leg counts: what it is called in the reply, and here.
const COUNTS: [(&str, &str); 8] = [
    ("received", "RECEIVED"),
    ("sent", "SENT"),
    ("lost", "LOST"),
    ("reordered", "REORDERED"),
    ("duplicate", "DUPLICATE"),
    ("strangers", "STRANGERS"),
    ("unusable", "UNUSABLE"),
    ("jitter-us", "JITTER"),
];

/// The reply to `get-call`.
pub(super) fn call(reply: &Message) -> String {
    let legs: Vec<Row<'_>> = list(reply.get("legs")).collect();
    let mut shown = heading(reply);
    if !legs.is_empty() {
        let _ = write!(shown, "\n{}", phones(&legs));
        let _ = write!(shown, "\n{}", media(&legs));
        let _ = write!(shown, "\n{}", ladder(reply, &legs));
    }
    shown
}

fn heading(reply: &Message) -> String {
    let get = |name: &str| text(reply.get(name));
    let state = match (get("state").as_str(), number(reply.get("ended"))) {
        ("ended", at) => format!("ended {}: {}", moment(at), get("cause")),
        (state, _) => state.to_owned(),
    };
    let talked = number(reply.get("talked")) as f64 / 1000.0;
    let rows = [
        ("call", format!("{} (far end {})", get("call-id"), get("far-id"))),
        ("from", get("from")),
        ("to", get("to")),
        ("began", moment(number(reply.get("started")))),
        ("state", state),
        ("talked", format!("{talked:.1} s")),
    ];
    table(&rows.map(|(name, value)| vec![name.to_owned(), value]))
}

/// A, B, C …
fn letter(index: usize) -> String {
    u8::try_from(index)
        .ok()
        .filter(|index| *index < 26)
        .map_or_else(|| format!("leg {index}"), |index| char::from(b'A' + index).to_string())
}

fn phones(legs: &[Row<'_>]) -> String {
    let names = ["LEG", "PARTY", "USER", "DEVICE", "PHONE", "SWITCH", "RTP PORT", "CODECS"];
    let mut rows = vec![names.map(str::to_owned).to_vec()];
    for (index, leg) in legs.iter().enumerate() {
        let codecs = leg.get("codecs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let codecs: Vec<String> = codecs.iter().map(|codec| text(Some(codec))).collect();
        rows.push(vec![
            letter(index),
            leg.text("party"),
            leg.text("user"),
            leg.text("device"),
            format!("{} {}", leg.text("transport"), leg.text("peer")),
            leg.text("local"),
            leg.text("rtp-port"),
            codecs.join(", "),
        ]);
    }
    table(&rows)
}

fn media(legs: &[Row<'_>]) -> String {
    let mut names = vec!["LEG".to_owned()];
    names.extend(COUNTS.map(|(_, name)| name.to_owned()));
    names.extend(["REPORTED LOSS", "ROUND TRIP", "COUNTED"].map(str::to_owned));
    let mut rows = vec![names];
    for (index, leg) in legs.iter().enumerate() {
        let media = leg.get("media").filter(|media| media.is_object());
        let count = |name: &str| number(media.and_then(|media| media.get(name)));
        let milliseconds = |name: &str| format!("{:.1} ms", count(name) as f64 / 1000.0);
        let mut row = vec![letter(index)];
        if media.is_some() {
            row.extend(
                COUNTS.map(|(name, _)| if name == "jitter-us" { milliseconds(name) } else { count(name).to_string() }),
            );
            row.push(format!("{:.1} %", count("reported-loss") as f64 / 2.56));
            row.push(milliseconds("round-trip-us"));
            row.push(moment(number(leg.get("counted"))));
        } else {
            row.push("nothing yet".to_owned());
        }
        rows.push(row);
    }
    table(&rows)
}

/// The caller's phones stand to the left of the switch, those of the called party to its right.
fn ladder(reply: &Message, legs: &[Row<'_>]) -> String {
    let is_caller = |index: usize| legs.get(index).is_some_and(|leg| leg.text("party") == "caller");
    let title = |caller: bool| {
        let names: Vec<String> = (0..legs.len()).filter(|index| is_caller(*index) == caller).map(letter).collect();
        names.join(" ")
    };
    let mut shown = format!("{:>12}   {:<GAP$} {:<GAP$} {}\n", "s", title(true), "switch", title(false));
    let omitted = number(reply.get("omitted"));
    let messages: Vec<Row<'_>> = list(reply.get("messages")).collect();
    for (place, message) in messages.iter().enumerate() {
        // What was left out stands between the first lines and the last, which are as many.
        if omitted > 0 && place == messages.len() / 2 {
            let _ = writeln!(shown, "{:>12}   … {omitted} more", "");
        }
        let leg = number(message.get("leg")) as usize;
        let from_phone = message.get("from-phone").and_then(Value::as_bool).unwrap_or_default();
        let caller = is_caller(leg);
        let arrow = arrow(&format!("{} {}", letter(leg), message.text("text")), from_phone == caller);
        let empty = " ".repeat(GAP);
        let (left, right) = if caller { (arrow, empty) } else { (empty, arrow) };
        let seconds = number(message.get("after-usec")) as f64 / 1e6;
        let _ = writeln!(shown, "{}", format!("{seconds:>12.6}   │{left}│{right}│").trim_end());
    }
    shown
}

/// `── text ──▶`, as wide as a gap.
fn arrow(text: &str, rightwards: bool) -> String {
    let width = GAP - 1;
    let text: String = clean(text).chars().take(width - 4).collect();
    let line = format!("{:─^width$}", format!(" {text} "));
    if rightwards { format!("{line}▶") } else { format!("◀{line}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply() -> Value {
        json!({
            "call-id": "a1", "far-id": "a2", "from": "501", "to": "502", "state": "ended", "started": 0,
            "talked": 2500, "ended": 3_600_000, "cause": "normal", "omitted": 0,
            "legs": [
                ["party", "user", "device", "transport", "peer", "local", "rtp-port", "codecs", "media", "counted"],
                ["caller", "501", "1", "udp", "192.0.2.1:5062", "192.0.2.7:5060", 20000, ["PCMU"], {"received": 5}, 1000],
                ["called", "502", "2", "tcp", "192.0.2.2:5062", "192.0.2.7:5060", 20002, [], null, null],
            ],
            "messages": [
                ["after-usec", "leg", "from-phone", "text"],
                [0, 0, true, "INVITE"], [150, 1, false, "INVITE"], [2_000_000, 1, true, "200 to INVITE"],
                [2_000_100, 0, false, "200 to INVITE, sendonly"],
            ],
        })
    }

    #[test]
    fn a_call_is_shown_as_a_ladder() {
        let shown = call(reply().as_object().unwrap());
        let lines: Vec<&str> = shown.lines().filter(|line| line.contains('│')).collect();
        assert_eq!(lines[0], "    0.000000   │───────── A INVITE ──────────▶│                              │");
        assert_eq!(lines[1], "    0.000150   │                              │───────── B INVITE ──────────▶│");
        assert!(lines[2].contains('◀') && lines[2].starts_with("    2.000000   │    "), "{shown}");
        assert!(lines[3].contains("◀─ A 200 to INVITE, sendonly ─"), "{shown}");
        assert!(shown.contains("ended 1970-01-01 01:00:00 UTC: normal"), "{shown}");
        assert!(shown.contains("udp 192.0.2.1:5062") && shown.contains("nothing yet"), "{shown}");
    }

    #[test]
    fn what_was_left_out_is_said_in_its_place() {
        let mut reply = reply();
        reply["omitted"] = json!(7);
        let shown = call(reply.as_object().unwrap());
        let lines: Vec<&str> = shown.lines().skip_while(|line| !line.contains('│')).collect();
        assert_eq!(lines[2].trim(), "… 7 more", "{shown}");
    }
}
