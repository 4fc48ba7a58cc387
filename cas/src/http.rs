//! The HTTP listener: connections to [`Request`]s, [`Reply`]s to bytes. HTTP/1.1 and HTTP/2 in clear, told apart by their first bytes.
//!
//! What the endpoints mean is not known here. The application is asked on the listener's own thread; a poll that waits costs a suspended
//! future and no thread. When a client goes away before its reply, the future that asked is dropped: so the application knows.

mod body;
mod browser;
mod negotiate;
mod route;
#[cfg(test)]
mod tests;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::body::Budget;
pub use self::turn::Turns;
use self::turn::{InTurn, Place};
use crate::attempts::network;
use crate::boundary::{Endpoint, Reply, Request, Source};
use crate::time::{Now, Wall};
use crate::wire::Failure;

/// What a listener bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is answered 503 and closed.
    pub connections: usize,
    /// Likewise those of one source: an address, or an IPv6 /64.
    pub per_source: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// The largest body of a session.
    pub body: usize,
    /// The largest body of anybody else: a login, say.
    pub small_body: usize,
    /// Bodies under way in all, in bytes; one more is answered 503.
    pub bodies: usize,
    /// A request's header must be there so long after its first byte.
    pub header_time: Duration,
    /// Likewise its body after its header.
    pub body_time: Duration,
    /// A connection without a request under way is closed after so long; one that has not made any, after `header_time`.
    pub idle: Duration,
    /// What is under way gets so long when the listener stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            per_source: 8192,
            streams: 128,
            body: 1 << 20,
            small_body: 4 << 10,
            bodies: 64 << 20,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            idle: Duration::from_secs(150),
            grace: Duration::from_secs(2),
        }
    }
}

/// Serves until `stop` is ready, then lets what is under way end. Must run within a [`tokio::task::LocalSet`].
///
/// `ask` answers; what it returns is dropped before it is ready where nobody waits for the reply any more.
pub async fn serve<A>(
    listener: TcpListener,
    ask: Rc<A>,
    limits: Limits,
    turns: Rc<Turns>,
    stop: impl Future<Output = ()>,
) where
    A: AsyncFn(Request) -> Reply + 'static,
{
    let bodies = Budget::new(limits.bodies);
    let listening = Rc::new(Listening { ask, limits, bodies, turns: Rc::clone(&turns) });
    let (door, sources) = (Place::new(&turns), Rc::new(Sources::default()));
    let limits = &listening.limits;
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = poll_fn(|context| door.poll(context, |context| listener.poll_accept(context))) => match accepted {
                Ok((stream, _)) if connections.len() >= limits.connections => turn_away(stream, &turns),
                Ok((stream, peer)) => match sources.enter(peer.ip(), limits.per_source) {
                    Some(entered) => {
                        let (listening, stopped) = (Rc::clone(&listening), stopped.clone());
                        connections.spawn_local(InTurn::new(&turns, async move {
                            connection(stream, peer.ip(), listening, stopped).await;
                            drop(entered);
                        }));
                    }
                    None => turn_away(stream, &turns),
                },
                Err(error) => {
                    // Out of file descriptors, say: others may be closed meanwhile.
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop((listener, stopping));
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.grace, all_ended).await.is_err() {
        tracing::info!("HTTP requests under way were cut off");
    }
}

/// What the connections of a listener share.
struct Listening<A> {
    ask: Rc<A>,
    limits: Limits,
    bodies: Rc<Budget>,
    turns: Rc<Turns>,
}

/// The connections of each source.
#[derive(Default)]
struct Sources(RefCell<BTreeMap<IpAddr, usize>>);

impl Sources {
    fn enter(self: &Rc<Sources>, peer: IpAddr, limit: usize) -> Option<Entered> {
        let source = network(peer);
        let mut open = self.0.borrow_mut();
        let open = open.entry(source).or_default();
        if *open >= limit {
            return None;
        }
        *open += 1;
        Some(Entered { sources: Rc::clone(self), source })
    }
}

/// A connection's part of its source's, until it is dropped.
struct Entered {
    sources: Rc<Sources>,
    source: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.sources.0.borrow_mut();
        if let Some(count) = open.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

/// One connection more than there may be. The few bytes fit into the empty buffer of a new socket.
fn turn_away(stream: TcpStream, turns: &Turns) {
    let refused = turns.refused.get() + 1;
    turns.refused.set(refused);
    if refused.is_power_of_two() {
        tracing::warn!(refused, "HTTP connections beyond a limit were turned away");
    }
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if let Ok(mut stream) = stream.into_std() {
        // Whether the client hears it or finds the connection closed makes no difference to us.
        let _ = stream.write(answer);
    }
}

/// The requests under way on a connection, and since when there are none.
struct Activity {
    open: Cell<usize>,
    since: Cell<Instant>,
    /// Whether there was any.
    begun: Cell<bool>,
}

impl Activity {
    fn enter(self: &Rc<Self>) -> Busy {
        self.open.set(self.open.get() + 1);
        self.begun.set(true);
        Busy(Rc::clone(self))
    }

    /// Ready once nothing was under way for so long, or nothing came at all for the shorter time.
    async fn idle(&self, limit: Duration, first: Duration) {
        loop {
            let limit = if self.begun.get() { limit } else { first.min(limit) };
            let since = if self.open.get() == 0 { self.since.get() } else { Instant::now() };
            if since + limit <= Instant::now() {
                return;
            }
            sleep_until(since + limit).await;
        }
    }
}

struct Busy(Rc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.since.set(Instant::now());
    }
}

/// What hyper spawns for the streams of an HTTP/2 connection stays on this thread.
#[derive(Clone)]
struct LocalExecutor(Rc<Turns>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(InTurn::new(&self.0, future));
    }
}

async fn connection<A>(stream: TcpStream, peer: IpAddr, listening: Rc<Listening<A>>, mut stopped: watch::Receiver<()>)
where
    A: AsyncFn(Request) -> Reply + 'static,
{
    let limits = &listening.limits;
    let is_loopback = stream.local_addr().is_ok_and(|local| local.ip().to_canonical().is_loopback());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let activity = Rc::new(Activity { open: Cell::new(0), since: Cell::new(Instant::now()), begun: Cell::new(false) });
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (busy, listening) = (activity.enter(), Rc::clone(&listening));
        async move {
            let is_head = request.method() == Method::HEAD;
            let (head, body) = request.into_parts();
            let wish = negotiate::wish(&head);
            let reply = listening.answer(peer, is_loopback, head, body).await;
            drop(busy);
            let reply = negotiate::written(reply.unwrap_or_else(|refusal| refusal), wish);
            Ok::<_, Infallible>(response(reply, is_head))
        }
    });
    let mut builder = auto::Builder::new(LocalExecutor(Rc::clone(&listening.turns)));
    // One piece is written with less ado than two, and copying an answer costs less than that.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time).writev(false);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(limits.streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error here is the client's: a broken connection, or bytes that are not HTTP.
        _ = connection.as_mut() => return,
        () = activity.idle(limits.idle, limits.header_time) => {}
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, connection).await;
}

impl<A: AsyncFn(Request) -> Reply> Listening<A> {
    /// What the application says, or else the listener's own refusal.
    async fn answer(&self, peer: IpAddr, is_loopback: bool, head: Parts, body: Incoming) -> Result<Reply, Reply> {
        browser::check(&head, is_loopback)?;
        let endpoint = route::endpoint(&head)?;
        let (session, format) = (route::session(&head), negotiate::format(&head));
        let mut request = Request { endpoint, session, source: Source::Network(peer), format, body: Bytes::new() };
        if head.method != Method::POST {
            return Ok((self.ask)(request).await);
        }
        let limit = match endpoint {
            Endpoint::Execute if body::is_large(&body, &self.limits) => {
                if let Err(refusal) = self.admit(&request).await {
                    body::discard(body, &self.limits).await;
                    return Err(refusal);
                }
                self.limits.body
            }
            _ => self.limits.small_body,
        };
        let (body, reserved) = body::read(body, limit, &self.limits, &self.bodies).await?;
        request.body = body;
        let reply = (self.ask)(request).await;
        drop(reserved);
        Ok(reply)
    }

    /// Nothing large is taken from a stranger.
    async fn admit(&self, request: &Request) -> Result<(), Reply> {
        let reply = (self.ask)(Request { endpoint: Endpoint::Session, ..request.clone() }).await;
        if reply.status == 200 { Ok(()) } else { Err(reply) }
    }
}

/// A refusal by the listener itself, with a CAS body that tells why.
fn refusal(status: u16, failure: Failure) -> Reply {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Now { mono: std::time::Instant::now(), wall: Wall(wall.as_millis() as u64) };
    Reply::refused(now, status, failure)
}

/// The answer to HEAD is that to GET, without the body (RFC 9110 §9.3.2).
fn response(reply: Reply, is_head: bool) -> Response<Full<Bytes>> {
    let length = is_head.then_some(reply.body.len());
    let mut response = Response::new(Full::new(if is_head { Bytes::new() } else { reply.body }));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(length) = length {
        // That of a body which is there is written by itself.
        headers.insert(CONTENT_LENGTH, length.into());
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in reply.headers {
        match HeaderValue::try_from(value) {
            Ok(value) => {
                headers.append(name, value);
            }
            Err(error) => tracing::error!(name, %error, "a header of a reply cannot be written"),
        }
    }
    response
}
