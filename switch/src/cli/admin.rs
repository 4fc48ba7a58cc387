//! The administrator's commands: a message each, and what is shown of its reply.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{Answer, AskError, Effect, Message, ask};
use super::table::table;
use super::{
    AddUser, AdminCommand, RegistrationCommand, SessionCommand, TraceCommand, UserCommand, fail, ladder, print,
};
use crate::clock::{self, moment};
use crate::config::Config;

/// Carries out a command, and says what came of it.
pub fn admin(command: &AdminCommand, config: &Config) -> ExitCode {
    match run(command, config) {
        Ok(shown) => match (print(&shown.text), shown.well) {
            (printed, true) => printed,
            (_, false) => ExitCode::FAILURE,
        },
        Err(error) => fail(&error),
    }
}

/// What is shown, and whether it is what one hopes for.
struct Shown {
    text: String,
    well: bool,
}

/// In this time the media plane has counted what it was asked to count.
const COUNTING: Duration = Duration::from_millis(40);

fn run(command: &AdminCommand, config: &Config) -> Result<Shown, AskError> {
    let (message, effect) = message(command);
    let mut answer = ask(config, &message, effect)?;
    if matches!(command, AdminCommand::Call { .. }) {
        // The first asking has its streams counted, the second shows the counts.
        thread::sleep(COUNTING);
        answer = ask(config, &message, effect)?;
    }
    let reply = &answer.reply;
    let text = match command {
        AdminCommand::Status => return Ok(status(&answer)),
        AdminCommand::Registrations => registrations(reply, clock::now().wall.0),
        AdminCommand::Registration(RegistrationCommand::End { ext, .. }) => {
            let ended = number(reply.get("ended"));
            format!("{ext}: {ended} ended. A phone may register again: to keep it away, give it another secret.\n")
        }
        AdminCommand::Trace(command) => traced(command, reply),
        AdminCommand::Sessions => sessions(reply, clock::now().wall.0),
        AdminCommand::Session(SessionCommand::End { id }) => format!("Session {id} has ended.\n"),
        AdminCommand::Calls { ended } => calls(reply, *ended, clock::now().wall.0),
        AdminCommand::Call { .. } => ladder::call(reply),
        AdminCommand::Handling { .. } => handling(reply),
        AdminCommand::User(UserCommand::Add(user)) => {
            format!("{} is added: {}.\n{}", user.ext, user.name, secrets(reply))
        }
        AdminCommand::User(UserCommand::List) => users(reply),
        AdminCommand::User(UserCommand::Remove { ext }) => format!("{ext} is removed.\n"),
        AdminCommand::User(UserCommand::SetSecret { ext, .. }) => {
            format!("{ext} has another SIP secret: its phone must be given it too.\n{}", secrets(reply))
        }
        AdminCommand::User(UserCommand::Group { ext, group: Some(group), .. }) => {
            format!("{ext} is in the pickup group {group}.\n")
        }
        AdminCommand::User(UserCommand::Group { ext, group: None, .. }) => format!("{ext} is in no pickup group.\n"),
    };
    Ok(Shown { text, well: true })
}

fn message(command: &AdminCommand) -> (Value, Effect) {
    match command {
        AdminCommand::Status => (json!({"topic": "system", "message": "get-state"}), Effect::Reads),
        AdminCommand::Registrations => (json!({"topic": "system", "message": "get-registrations"}), Effect::Reads),
        AdminCommand::Registration(RegistrationCommand::End { ext, contact }) => {
            let message = json!({"topic": "system", "message": "end-registration", "ext": ext, "contact": contact});
            (without_nulls(message), Effect::Reads)
        }
        AdminCommand::Trace(TraceCommand::On { call, headers, limit }) => {
            let message = json!({
                "topic": "trace", "message": "start", "call-id": call, "headers-only": headers, "limit": limit,
            });
            (without_nulls(message), Effect::Runs)
        }
        AdminCommand::Trace(TraceCommand::Off) => (json!({"topic": "trace", "message": "stop"}), Effect::Runs),
        AdminCommand::Trace(TraceCommand::Status) => (json!({"topic": "trace", "message": "get-state"}), Effect::Runs),
        AdminCommand::Sessions => (json!({"topic": "system", "message": "get-sessions"}), Effect::Runs),
        AdminCommand::Session(SessionCommand::End { id }) => {
            (json!({"topic": "system", "message": "end-session", "session": id}), Effect::Runs)
        }
        AdminCommand::Calls { ended } => {
            (json!({"topic": "system", "message": "get-calls", "ended": ended}), Effect::Runs)
        }
        AdminCommand::Call { id } => (json!({"topic": "system", "message": "get-call", "call-id": id}), Effect::Runs),
        AdminCommand::Handling { ext, mode: None } => {
            (json!({"topic": "config", "message": "get-call-handling", "user": ext}), Effect::Reads)
        }
        AdminCommand::Handling { ext, mode: Some(mode) } => {
            let (member, value) =
                if mode == "schedule" { ("follow-schedule", json!(true)) } else { ("mode", json!(mode)) };
            let message = json!({"topic": "config", "message": "set-call-handling", "user": ext, member: value});
            (message, Effect::Writes)
        }
        AdminCommand::User(UserCommand::Add(user)) => (add_user(user), Effect::Writes),
        AdminCommand::User(UserCommand::List) => (json!({"topic": "config", "message": "get-users"}), Effect::Reads),
        AdminCommand::User(UserCommand::Remove { ext }) => {
            (json!({"topic": "config", "message": "delete-user", "ext": ext}), Effect::Writes)
        }
        AdminCommand::User(UserCommand::SetSecret { ext, secret }) => {
            let message = json!({"topic": "config", "message": "set-sip-secret", "ext": ext, "sip-secret": secret});
            (without_nulls(message), Effect::Writes)
        }
        AdminCommand::User(UserCommand::Group { ext, group, .. }) => {
            let message = json!({"topic": "config", "message": "modify-user", "ext": ext, "pickup-group": group});
            (message, Effect::Writes)
        }
    }
}

fn add_user(user: &AddUser) -> Value {
    without_nulls(json!({
        "topic": "config",
        "message": "add-user",
        "ext": user.ext,
        "name": user.name,
        "password": user.password,
        "sip-secret": user.sip_secret,
        "pin": user.pin,
        "email": user.email,
        "role": user.role,
        "digest": user.digest,
        "address": user.address.map(|address| address.to_string()),
        "pickup-group": user.pickup_group,
    }))
}

/// What was not given is absent, which is not the same as null.
fn without_nulls(mut message: Value) -> Value {
    if let Value::Object(members) = &mut message {
        members.retain(|_, value| !value.is_null());
    }
    message
}

/// What was made at random: nowhere else is it told.
fn secrets(reply: &Message) -> String {
    let made = [("password", "CAS password"), ("sip-secret", "SIP secret")];
    let made: Vec<Vec<String>> = made
        .iter()
        .filter_map(|(name, label)| Some(vec![format!("  {label}"), reply.get(*name)?.as_str()?.to_owned()]))
        .collect();
    match made.is_empty() {
        true => String::new(),
        false => table(&made) + "Write it down: it is not shown again.\n",
    }
}

fn status(answer: &Answer) -> Shown {
    let names = ["version", "users", "registrations", "calls", "calls-total", "transactions", "sessions"];
    let state = if answer.running { text(answer.reply.get("state")) } else { "not running".to_owned() };
    let mut rows = vec![vec!["state".to_owned(), state]];
    rows.extend(names.map(|name| vec![name.to_owned(), text(answer.reply.get(name))]));
    // As is the custom of such commands, a script sees by the exit code whether it runs.
    Shown { text: table(&rows), well: answer.running }
}

fn registrations(reply: &Message, now: u64) -> String {
    let mut rows = vec![header(&["USER", "SIP USER", "CONTACT", "SOURCE", "AGENT", "EXPIRES"])];
    for row in list(reply.get("registrations")) {
        let left = row.get("expires").and_then(Value::as_u64).unwrap_or(0).saturating_sub(now) / 1000;
        let mut cells = ["user", "sip-user", "contact", "source", "agent"].map(|name| row.text(name)).to_vec();
        cells.push(format!("{left} s"));
        rows.push(cells);
    }
    table(&rows)
}

fn traced(command: &TraceCommand, reply: &Message) -> String {
    let file = text(reply.get("file"));
    let how_far = || {
        let lost = match number(reply.get("lost")) {
            0 => String::new(),
            lost => format!(", {lost} found no room on their way to it"),
        };
        format!("{} packets, {} kB{lost}", number(reply.get("packets")), number(reply.get("bytes")) / 1000)
    };
    match (command, reply.get("on").and_then(Value::as_bool).unwrap_or_default()) {
        (TraceCommand::On { .. }, _) => format!("{file}\n"),
        (TraceCommand::Status, true) => format!("on: {file}: {}\n", how_far()),
        (_, _) if file.is_empty() => "off\n".to_owned(),
        (_, _) => format!("off: {file}: {}\n", how_far()),
    }
}

fn sessions(reply: &Message, now: u64) -> String {
    let mut rows = vec![header(&["SESSION", "USER", "CLIENT", "DEVICE", "FROM", "SINCE", "IDLE", "EVENTS"])];
    for row in list(reply.get("sessions")) {
        let mut cells = ["session", "user", "app-id", "device", "source"].map(|name| row.text(name)).to_vec();
        cells.push(span(now.saturating_sub(number(row.get("since")))));
        cells.push(span(number(row.get("idle"))));
        let polls = row.get("polling").and_then(Value::as_bool).unwrap_or_default();
        cells.push(if polls { "waits for them" } else { "" }.to_owned());
        rows.push(cells);
    }
    table(&rows)
}

fn calls(reply: &Message, ended: bool, now: u64) -> String {
    let names = if ended {
        ["CALL", "FROM", "TO", "BEGAN", "ENDED", "TALKED", "CAUSE"]
    } else {
        ["CALL", "FROM", "TO", "STATE", "BEGAN", "SINCE", "TALKED"]
    };
    let mut rows = vec![header(&names)];
    for row in list(reply.get("calls")) {
        let mut cells = ["call-id", "from", "to"].map(|name| row.text(name)).to_vec();
        let (began, talked) = (number(row.get("started")), span(number(row.get("talked"))));
        if ended {
            cells.extend([moment(began), moment(number(row.get("ended"))), talked, row.text("cause")]);
        } else {
            cells.extend([row.text("state"), moment(began), span(now.saturating_sub(began)), talked]);
        }
        rows.push(cells);
    }
    let (shown, total) = (rows.len() as u64 - 1, number(reply.get("total")));
    let more = if total > shown { format!("The last {shown} of {total}.\n") } else { String::new() };
    table(&rows) + &more
}

/// The mode in force, why, and what it does.
fn handling(reply: &Message) -> String {
    let source = match text(reply.get("source")).as_str() {
        "hand" => "chosen by hand".to_owned(),
        source => format!("by the schedule: {source}"),
    };
    let until = match number(reply.get("until")) {
        0 => String::new(),
        until => format!(", until {}", moment(until)),
    };
    let mut rows = vec![vec![text(reply.get("user")), format!("{} ({source}{until})", text(reply.get("name")))]];
    for (rule, value) in reply.get("rules").and_then(Value::as_object).into_iter().flatten() {
        let does = match value {
            Value::Null | Value::Bool(false) => continue,
            Value::Bool(true) => "yes".to_owned(),
            Value::Array(numbers) if numbers.is_empty() => continue,
            Value::Array(numbers) => numbers.iter().map(|number| text(Some(number))).collect::<Vec<_>>().join(", "),
            Value::Object(after) => format!("after {} rings: {}", number(after.get("rings")), text(after.get("to"))),
            other => text(Some(other)),
        };
        rows.push(vec![format!("  {rule}"), does]);
    }
    if rows.len() == 1 {
        rows.push(vec![String::new(), "the phones ring, and nothing else happens".to_owned()]);
    }
    table(&rows)
}

/// A duration in milliseconds, in seconds.
fn span(msec: u64) -> String {
    format!("{} s", msec / 1000)
}

fn users(reply: &Message) -> String {
    let mut rows = vec![header(&["EXT", "NAME", "ROLE", "E-MAIL", "PICKUP GROUP", "PHONES"])];
    for row in list(reply.get("users")) {
        let name = format!("{} {}", row.text("first"), row.text("last"));
        let phones: Vec<String> = list(row.get("devices")).map(phone).collect();
        rows.push(vec![
            row.text("user"),
            name.trim().to_owned(),
            row.text("role"),
            row.text("email"),
            row.text("pickup-group"),
            phones.join(", "),
        ]);
    }
    table(&rows)
}

/// `501`, `501 (sha256)` or `192.0.2.1:5060`.
fn phone(row: Row<'_>) -> String {
    let known_by = row.text("sip-user") + &row.text("address");
    match row.text("digest").as_str() {
        "" => known_by,
        digest => format!("{known_by} ({digest})"),
    }
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A row of a list whose first row names the columns.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    columns: &'a [Value],
    cells: &'a Value,
}

impl<'a> Row<'a> {
    pub(super) fn get(self, column: &str) -> Option<&'a Value> {
        self.cells.get(self.columns.iter().position(|name| name.as_str() == Some(column))?)
    }

    pub(super) fn text(self, column: &str) -> String {
        text(self.get(column))
    }
}

pub(super) fn list(value: Option<&Value>) -> impl Iterator<Item = Row<'_>> {
    let rows = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let columns = rows.first().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    rows.iter().skip(1).map(move |cells| Row { columns, cells })
}

pub(super) fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or_default()
}

pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
