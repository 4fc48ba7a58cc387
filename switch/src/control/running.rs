//! A switch at work, as the thread that started it sees it.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use cas::cas::{Endpoint, Reply, Request};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tracing::{error, info};

use super::start::{Opened, open};
use super::{Control, FirstUsers, Ready, StartError, io_counts, operator};
use crate::config::Config;
use crate::node::{Input, Live};
use crate::supervisor::Supervisor;

/// Changes of settings that may wait.
const CHANGES: usize = 4;

/// A running switch. It ends when it is told to [`stop`](Running::stop), not when this is dropped.
pub struct Running {
    ready: Ready,
    stop: Arc<Notify>,
    ended: oneshot::Receiver<()>,
    changes: mpsc::Sender<Live>,
    thread: JoinHandle<Result<(), EndError>>,
}

impl Running {
    /// Starts a switch in a thread of its own, and waits until it serves.
    ///
    /// # Errors
    /// Whatever keeps it from serving; nothing of it is left then.
    pub fn start(config: Config, first_users: FirstUsers) -> Result<Running, StartError> {
        let (tell_ready, ready) = sync_channel(1);
        let (tell_ended, ended) = oneshot::channel();
        let stop = Arc::new(Notify::new());
        let stopping = Arc::clone(&stop);
        let (changes, changed) = mpsc::channel(CHANGES);
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            let _tell_ended = tell_ended;
            run(&config, first_users, &tell_ready, &stopping, changed)
        });
        let thread = thread.map_err(StartError::Thread)?;
        match ready.recv() {
            Ok(ready) => Ok(Running { ready: ready?, stop, ended, changes, thread }),
            // The thread has panicked; its message is on stderr.
            Err(_) => Err(StartError::Broken),
        }
    }

    /// Where it listens, and whom it made.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Ends it in order: no new calls, ten seconds for the running ones, then BYE. Returns at once.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Settings that may change while it runs. Whether they were taken: not where earlier ones still wait.
    pub fn change(&self, live: Live) -> bool {
        self.changes.try_send(live).is_ok()
    }

    /// Waits for the end.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the end of the thread closes the channel.
        let _ = (&mut self.ended).await;
    }

    /// Waits for the end and says how it was.
    ///
    /// # Errors
    /// Something was lost at the end, or a thread has panicked.
    pub fn join(self) -> Result<(), EndError> {
        self.thread.join().unwrap_or(Err(EndError::Broken))
    }
}

/// The control thread from its first line to its last.
fn run(
    config: &Config,
    first_users: FirstUsers,
    ready: &SyncSender<Result<Ready, StartError>>,
    stop: &Notify,
    changed: mpsc::Receiver<Live>,
) -> Result<(), EndError> {
    let refuse = |error| {
        // The starter waits for exactly this.
        let _ = ready.send(Err(error));
        Ok(())
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StartError::Thread(error)),
    };
    let tasks = LocalSet::new();
    let served = tasks.block_on(&runtime, async {
        let opened = open(config)?;
        serve(opened, first_users, ready, stop, changed).await
    });
    // The tasks' hold on the control ends with them.
    drop(tasks);
    match served {
        Ok(control) => end(control),
        Err(error) => refuse(error),
    }
}

/// Serves until the node has stopped.
async fn serve(
    opened: Opened,
    first_users: FirstUsers,
    tell_ready: &SyncSender<Result<Ready, StartError>>,
    stop: &Notify,
    changed: mpsc::Receiver<Live>,
) -> Result<Rc<Control>, StartError> {
    let Opened { parts, told, http, http_limits, console, mut ready, empty } = opened;
    let control = Control::new(parts);
    control.begin(told);
    spawn_local(Rc::clone(&control).hear(changed, Input::Change));
    spawn_local(Supervisor::of_environment().show_life());
    if let (true, FirstUsers::Make(tell)) = (empty, first_users) {
        let made = tokio::select! {
            made = super::first_users::make(&control, &ready, tell) => made?,
            // Nobody would answer.
            () = control.over.wait() => return Err(StartError::Broken),
        };
        ready.first_users = Some(made);
    }
    let (http_stop, _) = watch::channel(());
    let (mut http_servers, mut console_server) = (JoinSet::new(), JoinSet::new());
    let app = app(&control);
    for listener in http {
        let mut stopping = http_stop.subscribe();
        let stop = async move { drop(stopping.changed().await) };
        http_servers.spawn_local(cas::http::serve(
            listener,
            Rc::clone(&app),
            http_limits.clone(),
            Rc::clone(&control.http_turns),
            stop,
        ));
    }
    console_server.spawn_local(async move { console.serve(app).await });
    // Nobody waits who has given up; the switch runs all the same.
    let _ = tell_ready.send(Ok(ready));

    tokio::select! {
        () = stop.notified() => {
            info!("stopping: no new calls, ten seconds for the running ones");
            control.step(Input::Stop);
            control.over.wait().await;
        }
        () = control.over.wait() => {}
    }
    console_server.shutdown().await;
    drop(http_stop);
    while http_servers.join_next().await.is_some() {}
    control.tcp.finish().await;
    Ok(control)
}

/// What answers HTTP and the control socket.
fn app(control: &Rc<Control>) -> Rc<impl AsyncFn(Request) -> Reply + 'static> {
    let control = Rc::clone(control);
    Rc::new(async move |request: Request| match request.endpoint {
        _ if operator::is_asked(&request) => operator::answer(&control, &request).await,
        Endpoint::Metrics => io_counts::append(&control, control.ask(request).await),
        _ => control.ask(request).await,
    })
}

/// Ends what has threads of its own, in order: the media workers, then the store, which does and answers all it was given.
fn end(control: Rc<Control>) -> Result<(), EndError> {
    let Some(control) = Rc::into_inner(control) else {
        error!("something still holds the control thread's state");
        return Err(EndError::Broken);
    };
    drop(control.media);
    control.tracing.into_inner().end();
    drop(control.helpers);
    control.store.stop().map_err(EndError::Store)?;
    if control.over.is_broken() {
        return Err(EndError::Broken);
    }
    info!("the switch has ended");
    Ok(())
}

/// What went wrong at the end.
#[derive(Debug)]
pub enum EndError {
    /// The store could not be closed in order.
    Store(cas::store::StoreError),
    /// A thread has panicked; its message is on stderr.
    Broken,
}

impl fmt::Display for EndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndError::Store(error) => write!(f, "the switch ended, but {error}"),
            EndError::Broken => f.write_str("a thread of the switch has panicked: please report the lines above"),
        }
    }
}

impl std::error::Error for EndError {}
