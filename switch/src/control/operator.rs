//! What an operator asks of the process and not of the telephone system: a trace in a file. Only through the control socket, in the form of CAS messages.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use cas::cas::{Reply, Request, Source};
use cas::control::CallId;
use serde::Deserialize;
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

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    topic: String,
    message: String,
    /// Only this call.
    call_id: Option<String>,
    /// Of RTP, the headers alone.
    headers_only: Option<bool>,
    /// The file's size at most, in megabytes.
    limit: Option<u64>,
}

/// Whether this is for the process.
pub(super) fn is_asked(request: &Request) -> bool {
    request.source == Source::Console && read(&request.body).is_some_and(|message| message.topic == TOPIC)
}

fn read(body: &[u8]) -> Option<Message> {
    serde_json::from_slice(body).ok()
}

/// Does it.
pub(super) async fn answer(control: &Rc<Control>, request: &Request) -> Reply {
    let Some(message) = read(&request.body) else { return reply("", Err((1, "this is no message".to_owned()))) };
    let done = match message.message.as_str() {
        "start" => start(control, &message),
        "stop" => stop(control).await,
        "get-state" => Ok(()),
        other => Err((3, format!("topic {TOPIC} has no message {other:?}"))),
    };
    reply(&message.message, done.map(|()| control.tracing.borrow().described()))
}

fn reply(message: &str, result: Result<Value, (u16, String)>) -> Reply {
    let mut told = json!({"topic": TOPIC, "message": message, "timestamp": clock::now().wall.0, "error": 0});
    match result {
        Ok(Value::Object(fields)) => fields.into_iter().for_each(|(name, value)| told[name] = value),
        Ok(_) => {}
        Err((code, text)) => {
            told["error"] = json!(code);
            told["error-text"] = json!(text);
        }
    }
    Reply::new(200, "application/json", Bytes::from(told.to_string()))
}

fn start(control: &Control, message: &Message) -> Result<(), (u16, String)> {
    let limit = message.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err((5, format!("limit is 1 to {MAX_LIMIT}, in megabytes")));
    }
    let wish = match &message.call_id {
        None => Wish::Everything,
        Some(text) => {
            let id = u64::from_str_radix(text, 16).ok().map(CallId);
            let id = id.filter(|id| control.node.borrow().engine().has_call(*id));
            Wish::Call(id.ok_or_else(|| (11, format!("there is no call {text}")))?)
        }
    };
    let mut tracing = control.tracing.borrow_mut();
    if let Some(recorder) = &tracing.recorder {
        return Err((12, format!("a trace is being written: {}", recorder.progress())));
    }
    let wanting = Wanting { limit: limit * 1_000_000, headers_only: message.headers_only == Some(true) };
    let recorder = Recorder::start(&tracing.folder, wanting)
        .map_err(|error| (50, format!("no file can be made in {}: {error}", tracing.folder.display())))?;
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

async fn stop(control: &Rc<Control>) -> Result<(), (u16, String)> {
    control.step(Input::Tap(None));
    control.media.borrow_mut().tap(|| None);
    let recorder = control.tracing.borrow_mut().recorder.take();
    let recorder = recorder.ok_or_else(|| (12, "no trace is being written".to_owned()))?;
    // The last of it goes to the disk, which may take its time.
    let stopped = tokio::task::spawn_blocking(move || recorder.stop()).await;
    let progress = stopped.map_err(|_| (50, "the thread that writes it has panicked".to_owned()))?;
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
