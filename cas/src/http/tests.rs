//! Over real sockets on the loopback.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use super::*;

/// An application that tells what it was asked. `GetEvents` waits until it is told to answer, or the client goes.
#[derive(Default)]
struct App {
    asked: RefCell<Vec<Request>>,
    polls: RefCell<BTreeMap<usize, oneshot::Sender<Reply>>>,
    polled: Notify,
    gone: Notify,
}

/// Tells when a poll is dropped without its reply.
struct Gone<'a>(&'a Notify, bool);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.notify_one();
        }
    }
}

impl App {
    async fn ask(&self, request: Request) -> Reply {
        let body = request.body.clone();
        let polls = matches!(request.endpoint, Endpoint::GetEvents { .. });
        let (is_session, is_live) = (request.endpoint == Endpoint::Session, request.session.is_some());
        self.asked.borrow_mut().push(request);
        if is_session && !is_live {
            return Reply::new(401, "application/json", "{}");
        }
        if !polls {
            let reply = Reply::new(200, "application/json", body);
            return reply.with_header("set-cookie", "SessionId=s; HttpOnly".to_owned());
        }
        let (tell, reply) = oneshot::channel();
        let mut gone = Gone(&self.gone, true);
        self.polls.borrow_mut().insert(self.asked.borrow().len(), tell);
        self.polled.notify_one();
        let reply = reply.await.expect("the test answers");
        gone.1 = false;
        reply
    }

    fn answer_poll(&self) {
        let (_, tell) = self.polls.borrow_mut().pop_first().expect("a poll waits");
        tell.send(Reply::new(200, "application/json", "[]")).expect("it still waits");
    }
}

/// Runs a test against a listener; ends with the listener's own end.
fn with_listener(limits: Limits, test: impl AsyncFnOnce(SocketAddr, Rc<App>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, app) = (listener.local_addr().unwrap(), Rc::new(App::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let asked = Rc::clone(&app);
        let ask = Rc::new(async move |request| asked.ask(request).await);
        let turns = Turns::new(|| {});
        tokio::task::spawn_local(Rc::clone(&turns).run());
        let server = tokio::task::spawn_local(serve(listener, ask, limits, turns, async move {
            let _ = stopped.await;
        }));
        test(address, app).await;
        drop(stop);
        timeout(Duration::from_secs(10), server).await.expect("the listener ends").expect("without a panic");
    });
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends, and reads until the server closes.
async fn converse(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await;
    read.expect("the server closes").expect("readable text");
    text
}

fn post(path: &str, extra: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{extra}\r\n{body}"
    )
}

#[test]
fn s20_a_request_reaches_the_application_and_its_reply_the_client() {
    with_listener(Limits::default(), async |address, app| {
        let answer = converse(address, &post("/execute?sessionid=abc", "", "{\"a\":1}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        assert!(answer.contains("set-cookie: SessionId=s; HttpOnly\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"a\":1}"), "{answer}");
        let asked = app.asked.borrow();
        assert_eq!((asked[0].endpoint, asked[0].session.as_deref()), (Endpoint::Execute, Some("abc")));
        assert_eq!(asked[0].source, Source::Network("127.0.0.1".parse().unwrap()));
    });
}

#[test]
fn what_the_listener_refuses_itself() {
    let limits = Limits { small_body: 10, ..Limits::default() };
    with_listener(limits, async |address, app| {
        for (request, status) in [
            (post("/nowhere", "", ""), "404"),
            (post("/health", "", ""), "405"),
            (post("/execute", "Content-Encoding: gzip\r\n", "x"), "415"),
            (post("/execute", "Origin: http://evil.example\r\n", "{}"), "403"),
            (post("/execute", "", "{}").replace("localhost", "evil.example"), "421"),
            (post("/login", "", "0123456789a"), "400"),
            ("GET /GetEvents?timeout=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(), "200"),
        ] {
            let answer = converse(address, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request} was answered {answer}");
            for member in ["\"error\":", "\"error-text\":", "\"timestamp\":"] {
                assert!(answer.contains(member), "{answer}");
            }
        }
        assert!(app.asked.borrow().is_empty());
    });
}

#[test]
fn a_large_body_is_taken_from_a_session_alone() {
    let limits = Limits { small_body: 10, body: 20, ..Limits::default() };
    with_listener(limits, async |address, app| {
        let chunked = "POST /execute?SessionId=s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                       Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
        for (request, status) in [
            (post("/execute", "", "0123456789"), "200"),
            (post("/execute", "", "0123456789a"), "401"),
            (post("/execute?SessionId=s", "", "0123456789a"), "200"),
            (chunked.to_owned(), "200"),
            (chunked.replace("SessionId=s", ""), "401"),
            (post("/execute?SessionId=s", "", "0123456789 0123456789"), "400"),
        ] {
            let answer = converse(address, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request} was answered {answer}");
        }
        let bodies = app.asked.borrow().iter().filter(|asked| asked.endpoint == Endpoint::Execute).count();
        assert_eq!(bodies, 3);
    });
}

#[test]
fn bodies_under_way_are_limited_in_all() {
    let limits = Limits { bodies: 10, ..Limits::default() };
    with_listener(limits, async |address, _| {
        let mut half = connect(address).await;
        half.write_all(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 6\r\n\r\n12345",
        )
        .await
        .unwrap();
        // Until the listener has seen the first one, there is room for another.
        while !converse(address, &post("/login", "", "54321")).await.starts_with("HTTP/1.1 503") {}
        assert!(converse(address, &post("/login", "", "4321")).await.starts_with("HTTP/1.1 200"));
        half.write_all(b"6").await.unwrap();
        assert!(read_to_end(&mut half).await.starts_with("HTTP/1.1 200"));
        assert!(converse(address, &post("/login", "", "0123456789")).await.starts_with("HTTP/1.1 200"), "all is free");
    });
}

#[test]
fn the_answer_to_head_is_that_to_get_without_its_body() {
    with_listener(Limits::default(), async |address, _| {
        let head = "HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (head, get) = (converse(address, head).await, converse(address, &head.replace("HEAD", "GET")).await);
        let (get_head, body) = get.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(get_head.contains(&length) && head.contains(&length), "{head}");
        assert!(head.starts_with("HTTP/1.1 404") && head.ends_with("\r\n\r\n"), "{head}");
    });
}

#[test]
fn a_poll_waits_while_another_connection_is_served() {
    with_listener(Limits::default(), async |address, app| {
        let mut poll = connect(address).await;
        poll.write_all(b"GET /GetEvents?timeout=9&after=3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        app.polled.notified().await;
        assert!(converse(address, &post("/logout", "", "")).await.starts_with("HTTP/1.1 200"));
        assert_eq!(app.asked.borrow()[0].endpoint, Endpoint::GetEvents { timeout: 9, after: Some(3) });
        app.answer_poll();
        assert!(read_to_end(&mut poll).await.ends_with("[]"));
    });
}

#[test]
fn the_application_is_told_when_a_client_goes() {
    with_listener(Limits::default(), async |address, app| {
        let mut poll = connect(address).await;
        poll.write_all(b"GET /GetEvents HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        app.polled.notified().await;
        drop(poll);
        timeout(Duration::from_secs(10), app.gone.notified()).await.expect("told");
    });
}

#[test]
fn http_2_in_clear_serves_a_poll_and_a_request_on_one_connection() {
    with_listener(Limits::default(), async |address, app| {
        let io = TokioIo::new(connect(address).await);
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        let driver = tokio::task::spawn_local(connection);
        let request = |method, path: &str, body: &'static str| {
            let uri = format!("http://localhost{path}");
            hyper::Request::builder().method(method).uri(uri).body(Full::new(Bytes::from(body))).unwrap()
        };
        let poll = tokio::task::spawn_local(client.send_request(request(Method::GET, "/getevents", "")));
        app.polled.notified().await;
        let reply = client.send_request(request(Method::POST, "/execute", "[1]")).await.unwrap();
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "[1]");
        app.answer_poll();
        assert_eq!(poll.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes(), "[]");
        let lost = tokio::task::spawn_local(client.send_request(request(Method::GET, "/getevents", "")));
        app.polled.notified().await;
        lost.abort();
        timeout(Duration::from_secs(10), app.gone.notified()).await.expect("a reset stream tells as much");
        drop(client);
        let _ = driver.await;
    });
}

#[test]
fn a_large_body_is_refused_over_http_2_too() {
    with_listener(Limits::default(), async |address, _| {
        let io = TokioIo::new(connect(address).await);
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        let driver = tokio::task::spawn_local(connection);
        for (path, bytes, status) in [("/execute", 300_000, 401), ("/execute?SessionId=s", 3_000_000, 400)] {
            let body = Full::new(Bytes::from(vec![b' '; bytes]));
            let request = hyper::Request::post(format!("http://localhost{path}")).body(body).unwrap();
            let reply = client.send_request(request).await.expect("an answer");
            assert_eq!(reply.status(), status);
            reply.into_body().collect().await.expect("the answer's body too");
        }
        drop(client);
        let _ = driver.await;
    });
}

#[test]
fn connections_are_limited_and_the_one_too_many_is_answered() {
    let (in_all, of_one) =
        (Limits { connections: 1, ..Limits::default() }, Limits { per_source: 1, ..Limits::default() });
    for limits in [in_all, of_one] {
        with_listener(limits, async |address, app| {
            let mut first = connect(address).await;
            first.write_all(b"GET /getevents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            app.polled.notified().await;
            let answer = read_to_end(&mut connect(address).await).await;
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            app.answer_poll();
            assert!(read_to_end(&mut first).await.starts_with("HTTP/1.1 200"));
        });
    }
}

#[test]
fn who_has_never_asked_anything_is_closed_long_before_who_pauses() {
    let limits =
        Limits { header_time: Duration::from_millis(100), grace: Duration::from_millis(100), ..Limits::default() };
    with_listener(limits, async |address, _| {
        for half in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut stream = connect(address).await;
            stream.write_all(half.as_bytes()).await.unwrap();
            let mut told = Vec::new();
            let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut told)).await;
            read.expect("the server closes").expect("in order");
        }
    });
}

#[test]
fn who_says_nothing_or_stops_half_way_is_closed() {
    let short = Duration::from_millis(100);
    let limits = Limits { idle: short, header_time: short, body_time: short, grace: short, ..Limits::default() };
    with_listener(limits, async |address, _| {
        assert_eq!(read_to_end(&mut connect(address).await).await, "", "nothing was asked");
        for half in ["P", "PRI * HTTP/2.0\r\n", "POST /execute HTTP/1.1\r\nHo"] {
            let answer = converse(address, half).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{half:?} was answered {answer}");
        }
        let half = "POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{";
        assert!(converse(address, half).await.starts_with("HTTP/1.1 408"));
    });
}

#[test]
fn the_listener_ends_with_a_poll_under_way() {
    let limits = Limits { grace: Duration::from_millis(100), ..Limits::default() };
    with_listener(limits, async |address, app| {
        let mut poll = connect(address).await;
        poll.write_all(b"GET /getevents HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        app.polled.notified().await;
        // The listener stops now; the connection is cut off in the end.
        tokio::task::spawn_local(async move { drop(read_to_end(&mut poll).await) });
    });
}
