//! What an operator asks of the process and not of the telephone system: a trace in a file. Only through the control socket, in the form of CAS messages.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use cas::cas::{Reply, Request, Source};
use cas::control::CallId;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::Control;
use crate::clock;
use crate::engine::{Seen, Wish};
use crate::node::Input;
use crate::trace::{Progress, Recorder, Wanting};

/// The topic.
const TOPIC: &str = "trace";
/// The size of a file, in megabytes.
const LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 100_000;
/// Of an id that is none, so much is told back.
const LONGEST_SHOWN: usize = 32;

/// The trace that is being written, and what became of the last one.
pub(super) struct Tracing {
    folder: PathBuf,
    recorder: Option<Recorder>,
    last: Option<Progress>,
}

impl Tracing {
    pub(super) fn new(folder: PathBuf) -> Tracing {
        Tracing { folder, recorder: None, last: None }
    }

    pub(super) fn see(&self, seen: Seen) {
        if let Some(recorder) = &self.recorder {
            recorder.see(seen);
        }
    }

    /// With the switch.
    pub(super) fn end(self) {
        if let Some(recorder) = self.recorder {
            let progress = recorder.stop();
            info!(%progress, "the trace has ended");
        }
    }

    /// Packets that found no room in a trace, of this one or the last.
    pub(super) fn lost(&self) -> u64 {
        self.progress().map_or(0, |progress| progress.lost)
    }

    fn progress(&self) -> Option<Progress> {
        self.recorder.as_ref().map(Recorder::progress).or_else(|| self.last.clone())
    }

    fn described(&self) -> Value {
        let mut told = json!({"on": self.recorder.is_some()});
        if let Some(Progress { path, bytes, packets, lost }) = self.progress() {
            told["file"] = json!(path.display().to_string());
            told["bytes"] = json!(bytes);
            told["packets"] = json!(packets);
            told["lost"] = json!(lost);
        }
        told
    }
}

/// What the topic can do.
const MESSAGES: [&str; 3] = ["start", "stop", "get-state"];

/// Why it was not done.
struct Failure {
    code: u16,
    text: String,
    /// The member to blame.
    field: Option<&'static str>,
}

impl Failure {
    fn new(code: u16, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), field: None }
    }

    fn of(field: &'static str, code: u16, text: impl Into<String>) -> Failure {
        Failure { field: Some(field), ..Failure::new(code, text) }
    }
}

/// What `start` asks for.
struct Asked {
    wish: Wish,
    wanting: Wanting,
}

/// Whether this is for the process.
pub(super) fn is_asked(request: &Request) -> bool {
    request.source == Source::Console && read(&request.body).is_some_and(|message| message["topic"] == TOPIC)
}

fn read(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

/// Does it.
pub(super) async fn answer(control: &Rc<Control>, request: &Request) -> Reply {
    let message = read(&request.body).unwrap_or_default();
    let done = match message["message"].as_str() {
        Some("start") => {
            asked(&message, |id| control.node.borrow().engine().has_call(id)).and_then(|asked| start(control, asked))
        }
        Some("stop") => stop(control).await,
        Some("get-state") => Ok(()),
        Some(other) => Err(Failure::new(3, format!("topic {TOPIC} has no message {other:?}"))),
        None => Err(Failure::of("message", 4, "message is missing")),
    };
    reply(&message, done.map(|()| control.tracing.borrow().described()))
}

fn reply(asked: &Value, result: Result<Value, Failure>) -> Reply {
    let mut told = json!({"topic": TOPIC, "timestamp": clock::now().wall.0, "sequence-id": 0});
    for header in ["message", "request-id"] {
        if let Some(value) = asked.get(header) {
            told[header] = value.clone();
        }
    }
    told["response"] = json!(0);
    told["error"] = json!(0);
    match result {
        Ok(Value::Object(fields)) => fields.into_iter().for_each(|(name, value)| told[name] = value),
        Ok(_) => {}
        Err(Failure { code, text, field }) => {
            told["error"] = json!(code);
            told["error-text"] = json!(text);
            if let Some(field) = field {
                told["field"] = json!(field);
            }
        }
    }
    told["permissions"] = json!(MESSAGES);
    Reply::new(200, "application/json", Bytes::from(told.to_string()))
}

fn asked(message: &Value, has_call: impl FnOnce(CallId) -> bool) -> Result<Asked, Failure> {
    let bad = |field, expected: String| Failure::of(field, 5, format!("{field} is {expected}"));
    let limit = match message.get("limit") {
        None => LIMIT,
        Some(limit) => limit
            .as_u64()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| bad("limit", format!("1 to {MAX_LIMIT}, in megabytes")))?,
    };
    let headers_only = match message.get("headers-only") {
        None => false,
        Some(only) => only.as_bool().ok_or_else(|| bad("headers-only", "true or false".to_owned()))?,
    };
    let wish = match message.get("call-id") {
        None => Wish::Everything,
        Some(Value::String(text)) => {
            let id = u64::from_str_radix(text, 16).ok().map(CallId).filter(|id| has_call(*id));
            // It is the administrator's own, who may have mistyped it.
            let shown: String = text.chars().take(LONGEST_SHOWN).collect();
            Wish::Call(id.ok_or_else(|| Failure::of("call-id", 11, format!("there is no call {shown}")))?)
        }
        Some(_) => return Err(bad("call-id", "a string".to_owned())),
    };
    Ok(Asked { wish, wanting: Wanting { limit: limit * 1_000_000, headers_only } })
}

fn start(control: &Control, Asked { wish, wanting }: Asked) -> Result<(), Failure> {
    let mut tracing = control.tracing.borrow_mut();
    if let Some(recorder) = &tracing.recorder {
        return Err(Failure::new(12, format!("a trace is being written: {}", recorder.progress())));
    }
    let recorder = Recorder::start(&tracing.folder, wanting)
        .map_err(|error| Failure::new(50, format!("no file can be made in {}: {error}", tracing.folder.display())))?;
    let mut readers = Vec::new();
    if !control.media.borrow_mut().tap(|| Some(recorder.tap(wanting.headers_only, &mut readers))) {
        warn!("a media thread is held up: its sound is not in the trace");
    }
    recorder.taps_made(readers);
    info!(file = %recorder.progress().path.display(), "a trace begins");
    tracing.recorder = Some(recorder);
    drop(tracing);
    control.step(Input::Tap(Some(wish)));
    Ok(())
}

async fn stop(control: &Rc<Control>) -> Result<(), Failure> {
    control.step(Input::Tap(None));
    control.media.borrow_mut().tap(|| None);
    let recorder = control.tracing.borrow_mut().recorder.take();
    let recorder = recorder.ok_or_else(|| Failure::new(12, "no trace is being written"))?;
    // The last of it goes to the disk, which may take its time.
    let stopped = tokio::task::spawn_blocking(move || recorder.stop()).await;
    let progress = stopped.map_err(|_| Failure::new(50, "the thread that writes it has panicked"))?;
    info!(%progress, "the trace has ended");
    control.tracing.borrow_mut().last = Some(progress);
    Ok(())
}

/// A trace whose file is full has ended by itself: nothing more is copied for it.
pub(super) async fn stop_if_over(control: &Rc<Control>) {
    if control.tracing.borrow().recorder.as_ref().is_some_and(Recorder::is_over) {
        // It is there: that was asked just now.
        let _ = stop(control).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &Value, result: Result<Value, Failure>) -> Value {
        serde_json::from_slice(&reply(message, result).body).unwrap()
    }

    #[test]
    fn a_member_that_is_wrong_is_told_by_its_name() {
        for (member, value, code) in [
            ("limit", json!("x"), 5),
            ("limit", json!(0), 5),
            ("limit", json!(100_001), 5),
            ("headers-only", json!(1), 5),
            ("call-id", json!(7), 5),
            ("call-id", json!("a7"), 11),
            ("call-id", json!("no"), 11),
        ] {
            let message = json!({"topic": "trace", "message": "start", member: value});
            let failure = asked(&message, |_| false).err().map(|failure| (failure.field, failure.code));
            assert_eq!(failure, Some((Some(member), code)), "{message}");
        }
        let right = json!({"topic": "trace", "message": "start", "limit": 7, "headers-only": true, "call-id": "a7"});
        let asked = asked(&right, |id| id == CallId(0xa7)).ok().unwrap();
        assert_eq!((asked.wanting.limit, asked.wanting.headers_only), (7_000_000, true));
    }

    #[test]
    fn a_reply_has_the_headers_of_all_replies() {
        let message = json!({"topic": "trace", "message": "stop", "request-id": 5});
        let reply = told(&message, Err(Failure::of("limit", 5, "wrong")));
        assert_eq!((&reply["request-id"], &reply["response"], &reply["error"]), (&json!(5), &json!(0), &json!(5)));
        assert_eq!((&reply["field"], &reply["permissions"]), (&json!("limit"), &json!(MESSAGES)));
        assert_eq!(told(&message, Ok(json!({"on": false})))["on"], false);
    }
}
