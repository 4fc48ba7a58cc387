//! The HTTP listener: connections to [`Request`]s, [`Reply`]s to bytes. HTTP/1.1 and HTTP/2 in clear, told apart by their first bytes.
//!
//! What the endpoints mean is not known here. The application is asked on the listener's own thread; a poll that waits costs a suspended
//! future and no thread. When a client goes away before its reply, the future that asked is dropped: so the application knows.

mod route;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cas::{Reply, Request, Source};

/// What a listener bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is answered 503 and closed.
    pub connections: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// The largest body.
    pub body: usize,
    /// A request's header must be there so long after its first byte.
    pub header_time: Duration,
    /// Likewise its body after its header.
    pub body_time: Duration,
    /// A connection without a request under way is closed after so long.
    pub idle: Duration,
    /// What is under way gets so long when the listener stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            streams: 64,
            body: 1 << 20,
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
pub async fn serve<A>(listener: TcpListener, ask: Rc<A>, limits: Limits, stop: impl Future<Output = ()>)
where
    A: AsyncFn(Request) -> Reply + 'static,
{
    let limits = Rc::new(limits);
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() >= limits.connections => turn_away(stream),
                Ok((stream, peer)) => {
                    let connection = connection(stream, peer.ip(), Rc::clone(&ask), Rc::clone(&limits), stopped.clone());
                    connections.spawn_local(connection);
                }
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

/// One connection more than there may be. The few bytes fit into the empty buffer of a new socket.
fn turn_away(stream: TcpStream) {
    tracing::warn!("an HTTP connection beyond the limit was turned away");
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
}

impl Activity {
    fn enter(self: &Rc<Self>) -> Busy {
        self.open.set(self.open.get() + 1);
        Busy(Rc::clone(self))
    }

    /// Ready once nothing was under way for so long.
    async fn idle(&self, limit: Duration) {
        loop {
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
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

async fn connection<A>(
    stream: TcpStream,
    peer: IpAddr,
    ask: Rc<A>,
    limits: Rc<Limits>,
    mut stopped: watch::Receiver<()>,
) where
    A: AsyncFn(Request) -> Reply + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let activity = Rc::new(Activity { open: Cell::new(0), since: Cell::new(Instant::now()) });
    let service = service_fn(|request| {
        let (busy, ask, limits) = (activity.enter(), Rc::clone(&ask), Rc::clone(&limits));
        async move {
            let reply = answer(&*ask, peer, request, &limits).await;
            drop(busy);
            Ok::<_, Infallible>(response(reply))
        }
    });
    let mut builder = auto::Builder::new(LocalExecutor);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(limits.streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error here is the client's: a broken connection, or bytes that are not HTTP.
        _ = connection.as_mut() => return,
        () = activity.idle(limits.idle) => {}
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, connection).await;
}

async fn answer(
    ask: &impl AsyncFn(Request) -> Reply,
    peer: IpAddr,
    request: hyper::Request<Incoming>,
    limits: &Limits,
) -> Reply {
    let (head, body) = request.into_parts();
    let endpoint = match route::endpoint(&head) {
        Ok(endpoint) => endpoint,
        Err(reply) => return reply,
    };
    let body = match head.method {
        Method::POST => match read(body, limits).await {
            Ok(body) => body,
            Err(reply) => return reply,
        },
        _ => Bytes::new(),
    };
    ask(Request { endpoint, session: route::session(&head), source: Source::Network(peer), body }).await
}

async fn read(body: Incoming, limits: &Limits) -> Result<Bytes, Reply> {
    match timeout(limits.body_time, Limited::new(body, limits.body).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(route::refusal(413, 1, None, &format!("a body has at most {} bytes", limits.body)))
        }
        Ok(Err(error)) => Err(route::refusal(400, 1, None, &format!("the body could not be read: {error}"))),
        Err(_) => Err(route::refusal(408, 1, None, "the body did not come in time")),
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
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
