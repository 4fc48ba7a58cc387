//! curl as a CAS client: what a person at a terminal can do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{PATIENCE, Switch, password, until};
use crate::schema::Schema;

/// A session.
pub struct Client {
    http: SocketAddr,
    session: String,
    requests: u64,
    schema: &'static Schema,
    /// The number of the last event that came.
    last: u64,
    events: VecDeque<Value>,
}

impl Client {
    /// Logs in as a user added by [`Switch::add_user`].
    pub fn login(switch: &Switch, user: &str) -> Client {
        let body = json!({"app-id": "curl", "username": user, "password": password(user)});
        let reply = post(switch.http, "/login", &body);
        let session = reply["SessionId"].as_str().unwrap_or_else(|| panic!("no session: {reply}")).to_owned();
        let (http, schema) = (switch.http, schema(switch.http));
        Client { http, session, requests: 0, schema, last: 0, events: VecDeque::new() }
    }

    /// Sends a message, given without headers other than its topic and name, and returns the reply.
    ///
    /// # Panics
    /// When the reply has an error.
    pub fn execute(&mut self, topic: &str, message: &str, content: Value) -> Value {
        self.requests += 1;
        let mut request = json!({"topic": topic, "message": message, "timestamp": 0, "sequence-id": self.requests, "request-id": self.requests});
        let (Value::Object(request_members), Value::Object(content)) = (&mut request, content) else {
            panic!("the content of a message is an object");
        };
        request_members.extend(content);
        let reply = self.ask(&request);
        assert_eq!(reply["error"], 0, "{request} was answered {reply}");
        assert_eq!(reply["request-id"], self.requests, "{reply}");
        reply
    }

    /// Sends a message as it is, and returns the reply as it is.
    pub fn ask(&self, message: &Value) -> Value {
        let reply = post(self.http, &format!("/Execute?SessionId={}", self.session), message);
        self.schema.check(message, &reply);
        reply
    }

    /// The HTTP status that a keep-alive of this session is answered with.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn status_of_a_request(&self) -> u16 {
        let message =
            json!({"topic": "session", "message": "keep-alive", "timestamp": 0, "sequence-id": 1, "request-id": 1});
        let url = format!("http://{}/Execute?SessionId={}", self.http, self.session);
        let output = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-m", &PATIENCE.as_secs().to_string()])
            .args(["-H", "Content-Type: application/json", "--data-raw", &message.to_string(), &url])
            .output()
            .expect("curl is installed");
        let status = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        status.parse().unwrap_or_else(|e| panic!("{e}: {status}"))
    }

    /// Waits for the first event that fits, and takes it. Events are numbered without a gap.
    ///
    /// # Panics
    /// When it does not come.
    pub fn event(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(&fits) {
                return self.events.remove(at).expect("found just now");
            }
            assert!(Instant::now() < deadline, "no {what} among {:#?}", self.events);
            self.poll(2);
        }
    }

    /// Waits for an event of a call's that says it is in this state.
    pub fn call_is(&mut self, state: &str) -> Value {
        self.event(state, |event| event["message"] == "call-evt" && event["state"] == state)
    }

    /// Asserts that a second passes without an event.
    pub fn nothing_happens(&mut self) {
        let before = self.last;
        self.poll(1);
        assert_eq!(self.last, before, "{:#?}", self.events);
    }

    /// The user's calls now.
    pub fn calls(&mut self) -> Vec<Value> {
        rows(&self.execute("tel", "get-calls", json!({}))["calls"])
    }

    /// The user's call records, once there are as many.
    pub fn records(&mut self, count: usize) -> Vec<Value> {
        until("call records", || {
            let records = rows(&self.execute("history", "get-recs", json!({}))["recs"]);
            (records.len() >= count).then_some(records)
        })
    }

    fn poll(&mut self, seconds: u32) {
        let path = format!("/GetEvents?SessionId={}&timeout={seconds}&after={}", self.session, self.last);
        let Value::Array(events) = get(self.http, &path) else { panic!("events are an array") };
        for event in events {
            self.last += 1;
            assert_eq!(event["sequence-id"], self.last, "a gap before {event}");
            self.schema.check_event(&event);
            self.events.push_back(event);
        }
    }

    /// Waits for the completion of a request that was answered with `response`: it must have succeeded.
    pub fn completion(&mut self, reply: &Value) -> Value {
        let response = &reply["response"];
        assert!(response.as_u64().is_some_and(|n| n > 0), "not asynchronous: {reply}");
        let completion = self.event("completion", |event| {
            event["message"].as_str().is_some_and(|name| name.ends_with("-completion-evt"))
                && event["response"] == *response
        });
        assert_eq!(completion["error"], 0, "{completion}");
        completion
    }
}

/// The schema that a running switch gives. All switches of a test are the same program.
fn schema(http: SocketAddr) -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::new(get(http, "/schema")))
}

/// What curl was answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// Asks with curl's own arguments, and tells the answer as it is.
///
/// # Panics
/// When there is none.
pub fn ask(http: SocketAddr, path: &str, arguments: &[&str]) -> Answer {
    let seconds = PATIENCE.as_secs().to_string();
    let output = Command::new("curl")
        .args(["-sS", "-m", &seconds, "-w", "\n%{http_code} %{content_type}"])
        .args(arguments)
        .arg(format!("http://{http}{path}"))
        .output()
        .expect("curl is installed");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{path}: {told} {}", String::from_utf8_lossy(&output.stderr));
    let (body, end) = told.rsplit_once('\n').expect("curl ends with the line it was told to write");
    let (status, content_type) = end.split_once(' ').unwrap_or((end, ""));
    let status = status.parse().unwrap_or_else(|error| panic!("{error}: {end}"));
    Answer { status, content_type: content_type.to_owned(), body: body.to_owned() }
}

/// The rows of a columnar list as objects.
pub fn rows(list: &Value) -> Vec<Value> {
    let mut rows = list.as_array().into_iter().flatten();
    let columns: Vec<_> =
        rows.next().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let object = |row: &Value| {
        let values = row.as_array().into_iter().flatten().cloned();
        columns.iter().map(|column| (*column).to_owned()).zip(values).collect::<Value>()
    };
    rows.map(object).collect()
}

fn post(http: SocketAddr, path: &str, body: &Value) -> Value {
    curl(http, path, &["-H", "Content-Type: application/json", "--data-raw", &body.to_string()])
}

fn get(http: SocketAddr, path: &str) -> Value {
    curl(http, path, &[])
}

fn curl(http: SocketAddr, path: &str, arguments: &[&str]) -> Value {
    let seconds = PATIENCE.as_secs().to_string();
    let url = format!("http://{http}{path}");
    let output =
        Command::new("curl").args(["-sS", "--fail-with-body", "-m", &seconds]).args(arguments).arg(url).output();
    let output = output.expect("curl is installed");
    let body = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{path}: {body} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_the_first() {
        let list = json!([["id", "state"], ["a", "held"], ["b", null]]);
        assert_eq!(rows(&list), [json!({"id": "a", "state": "held"}), json!({"id": "b", "state": null})]);
        assert!(rows(&json!([["id"]])).is_empty() && rows(&Value::Null).is_empty());
    }
}
