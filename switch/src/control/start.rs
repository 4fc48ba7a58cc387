//! The start: everything opened in its order, and one clear line where something cannot be.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use cas::entropy::Entropy;
use cas::http;
use cas::store::folder::{Folder, FolderError};
use cas::store::sqlite::{OpenError, Sqlite};
use cas::store::thread::StoreThread;
use cas::store::trim::HistoryLimits;
use cas::store::{self, StoreError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::first_users::{SeedError, Seeded};
use super::over::{Over, Watch};
use super::{Parts, Told, media_events, open_files};
use crate::clock;
use crate::config::Config;
use crate::console::{self, Console, ConsoleError};
use crate::entropy::System;
use crate::helpers::{self, Pool};
use crate::net::tcp::{self, Listeners};
use crate::net::udp::Udp;
use crate::net::{BindError, Gauge};
use crate::node::{self, Input, Node, Settings, StoreUser, WorkerId};
use crate::sounds::{self, load};

/// Answers of other threads that may wait; the store and the helpers wait when there are more.
const ANSWERS: usize = 16 << 10;

/// Phones under one SIP user name.
const BINDINGS: usize = 16;

/// Where a switch listens, and whom it made.
#[derive(Clone, Debug)]
pub struct Ready {
    /// SIP over UDP.
    pub sip_udp: Vec<SocketAddr>,
    /// SIP over TCP.
    pub sip_tcp: Vec<SocketAddr>,
    /// CAS and web.
    pub http: Vec<SocketAddr>,
    /// The control socket.
    pub console: PathBuf,
    /// The address of ours that the world outside sees, as far as the routing table tells.
    pub address: Option<SocketAddr>,
    /// The users of a first start.
    pub first_users: Option<Seeded>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let http: Vec<String> = self.http.iter().map(|address| format!("http://{address}")).collect();
        let (udp, tcp, http) = (list(&self.sip_udp), list(&self.sip_tcp), http.join(", "));
        write!(f, "The switch is ready: SIP on UDP {udp} and TCP {tcp}; CAS on {http}")
    }
}

/// All that was opened, before the first step.
pub(super) struct Opened {
    pub(super) parts: Parts,
    pub(super) told: Told,
    pub(super) http: Vec<TcpListener>,
    /// Of each of them.
    pub(super) http_limits: http::Limits,
    pub(super) console: Console,
    pub(super) ready: Ready,
    /// Whether the store has no users: a first start.
    pub(super) empty: bool,
}

/// Opens everything: the store first, as it says whether another switch runs on the same folder; then the sockets; then the threads.
pub(super) fn open(config: &Config) -> Result<Opened, StartError> {
    let folder = Folder::open(&config.data)?;
    let key = folder.machine_key(&mut System::default())?;
    let path = folder.path().to_owned();
    let socket = path.join(console::SOCKET);
    let mut database = Sqlite::open(folder, &config.sip.domain)?;
    let now = clock::now();
    let snapshot = store::snapshot(&mut database, now.wall)?;

    let gauge = Gauge::new(config.limits.lag);
    let udp = Udp::bind(&config.sip.udp, Rc::clone(&gauge))?;
    let tcp = Listeners::bind("[sip] tcp", &config.sip.tcp)?;
    let http = Listeners::bind("[cas] listen", &config.cas.listen)?;
    let console = Console::bind(&socket)?;
    let ready = Ready {
        sip_udp: udp.addresses(),
        sip_tcp: tcp.addresses(),
        http: http.addresses(),
        console: socket,
        address: udp.outward(),
        first_users: None,
    };

    let over = Arc::new(Over::default());
    let watch = Watch(Arc::clone(&over));
    let (tell, answers) = mpsc::channel(ANSWERS);
    let (media, events) = media_events::start(&config.media, watch.clone()).map_err(StartError::Media)?;
    let store = start_store(database, config.history, tell.clone(), watch.clone()).map_err(StartError::Thread)?;
    let helpers = start_helpers(tell, watch).map_err(StartError::Thread)?;
    // There are few, and each is made once.
    let (teach, sounds) = mpsc::unbounded_channel();
    let teach = move |sound, is| drop(teach.send((sound, is)));
    load::start(&config.sound, teach).map_err(StartError::Thread)?;
    let settings = settings(config, media.ports());
    let node = Node::new(now, &settings, &snapshot, key, || Box::new(System::default()) as Box<dyn Entropy>);
    // Each RTP port is two: RTP and RTCP.
    let wanted = open_files::Connections { sip: config.limits.tcp, http: config.limits.http };
    let connections = open_files::connections(wanted, 2 * media.ports().len());
    let tcp_limits = tcp::Limits {
        connections: connections.sip,
        per_source: config.limits.tcp_per_source.min(connections.sip),
        ..tcp::Limits::default()
    };
    let http = http.into_inner();
    let of_each = connections.http / http.len().max(1);
    let per_source = config.limits.http_per_source.min(of_each);
    let http_limits = http::Limits { connections: of_each, per_source, ..http::Limits::default() };
    let parts = Parts { node, gauge, udp, tcp, tcp_limits, media, store, helpers, folder: path, over };
    let told = Told { answers, events, sounds };
    Ok(Opened { parts, told, http, http_limits, console, ready, empty: snapshot.users.is_empty() })
}

fn settings(config: &Config, ports: &[(WorkerId, media::Port)]) -> Settings {
    Settings {
        domain: config.sip.domain.clone(),
        digest: config.sip.digest,
        media_address: config.media.address,
        // A call has two legs, each with a port of its own.
        max_calls: config.limits.calls.min(ports.len() / 2),
        ports: ports.to_vec(),
        max_transactions: config.limits.transactions,
        follow_redirects: config.sip.follow_redirects,
        music_of: config.sound.music_of.keys().cloned().zip((0..).map(sounds::music_of)).collect(),
        hold_reminder: config.sound.hold_reminder,
        announcements: config.sound.announcements,
        max_bindings: BINDINGS,
        plan: config.plan.clone(),
        limits: node::Limits {
            calls_per_source: config.limits.calls_per_source,
            transactions_per_source: config.limits.transactions_per_source,
            registrations: config.limits.registrations,
            registrations_per_source: config.limits.registrations_per_source,
            subscriptions: config.limits.subscriptions,
            subscriptions_per_device: config.limits.subscriptions_per_device,
            call_backs: config.limits.call_backs,
            call_backs_per_user: config.limits.call_backs_per_user,
        },
        cas: cas::cas::Settings {
            sessions: config.limits.sessions,
            sessions_per_user: config.limits.sessions_per_user,
            sessions_per_source: config.limits.sessions_per_source,
            ..cas::cas::Settings::default()
        },
    }
}

fn start_store(
    database: Sqlite,
    limits: HistoryLimits,
    tell: mpsc::Sender<Input>,
    watch: Watch,
) -> io::Result<StoreThread<(StoreUser, store::RequestId)>> {
    StoreThread::start(Box::new(database), limits, move |(user, id), reply| {
        let _watched = &watch;
        // At the end of the switch nobody listens any more.
        let _ = tell.blocking_send(Input::Stored(user, id, reply));
    })
}

fn start_helpers(tell: mpsc::Sender<Input>, watch: Watch) -> io::Result<Pool> {
    Pool::start(helpers::THREADS, cas::cas::Work::run, move |id, finding| {
        let _watched = &watch;
        let _ = tell.blocking_send(Input::Helped(id, finding));
    })
}

/// Why a switch could not start: one line that names the setting and the remedy.
#[derive(Debug)]
pub enum StartError {
    /// The data folder.
    Folder(FolderError),
    /// The database in it.
    Open(OpenError),
    /// What is in the database.
    Read(StoreError),
    /// An address.
    Bind(BindError),
    /// The control socket.
    Console(ConsoleError),
    /// The media plane.
    Media(io::Error),
    /// The system grants no thread.
    Thread(io::Error),
    /// The first users.
    Seed(SeedError),
    /// The control thread has panicked; its message is on stderr.
    Broken,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Folder(error @ FolderError::InUse { .. }) => {
                write!(f, "data: {error}; stop that switch or set another folder")
            }
            StartError::Folder(error) => write!(f, "data: {error}"),
            StartError::Open(error) => write!(f, "data: {error}"),
            StartError::Read(error) => write!(f, "data: {error}"),
            StartError::Bind(error) => error.fmt(f),
            StartError::Console(error) => error.fmt(f),
            StartError::Media(error) if error.kind() == io::ErrorKind::AddrInUse => {
                f.write_str("[media] ports: other programs have all of them; set another range")
            }
            StartError::Media(error) => write!(f, "[media] ports: {error}"),
            StartError::Thread(error) => {
                write!(f, "the system grants no thread ({error}); raise its limit (ulimit -u)")
            }
            StartError::Seed(error) => error.fmt(f),
            StartError::Broken => f.write_str("a thread of the switch has panicked: please report the lines above"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Folder(error) => Some(error),
            StartError::Open(error) => Some(error),
            StartError::Read(error) => Some(error),
            StartError::Bind(error) => Some(error),
            StartError::Console(error) => Some(error),
            StartError::Media(error) | StartError::Thread(error) => Some(error),
            StartError::Seed(error) => Some(error),
            StartError::Broken => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),*) => {$(
        impl From<$source> for StartError {
            fn from(error: $source) -> StartError {
                StartError::$variant(error)
            }
        }
    )*};
}

from!(FolderError => Folder, OpenError => Open, StoreError => Read, BindError => Bind, ConsoleError => Console, SeedError => Seed);
