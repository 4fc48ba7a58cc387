//! A CAS client in a hundred lines: plain HTTP/1.1, a connection for each request.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::ladder::{Ladder, Way};

/// The longest answer taken.
const LONGEST: u64 = 1 << 20;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that is logged in, subscribed to its user's calls, and fetches events.
pub(super) struct Client {
    server: Server,
    session: String,
    events: Rc<RefCell<Vec<Value>>>,
    polling: JoinHandle<()>,
    ladder: Rc<Ladder>,
}

#[derive(Clone, Copy)]
struct Server(SocketAddr);

impl Client {
    pub(super) async fn log_in(
        address: SocketAddr,
        user: &str,
        password: &str,
        ladder: Rc<Ladder>,
    ) -> Result<Client, ClientError> {
        let server = Server(address);
        let body = json!({"app-id": "demo", "username": user, "password": password});
        ladder.cas(Way::ToSwitch, "POST /login");
        let reply = server.request("POST", "/login", &body).await?;
        let session = reply["SessionId"].as_str().ok_or_else(|| ClientError::Refused(reply.clone()))?.to_owned();
        let events = Rc::new(RefCell::new(Vec::new()));
        let subscribe = json!({"topic": "subscribe", "message": "subscribe-events", "request-id": 1, "subscribe": [["tel", "device"]]});
        execute(server, &session, &subscribe, &ladder).await?;
        let poll = poll(server, session.clone(), Rc::clone(&events), Rc::clone(&ladder));
        let polling = tokio::task::spawn_local(poll);
        Ok(Client { server, session, events, polling, ladder })
    }

    /// Asks for a call; when the request was written.
    pub(super) async fn make_call(&self, dest: &str) -> Result<Instant, ClientError> {
        let message = json!({"topic": "tel", "message": "make-call", "request-id": 2, "dest": dest});
        execute(self.server, &self.session, &message, &self.ladder).await
    }

    /// Whether an event of this name has come.
    pub(super) fn has_seen(&self, message: &str) -> bool {
        self.events.borrow().iter().any(|event| event["message"] == message)
    }

    /// Ends the session; all events that came.
    pub(super) async fn log_out(self) -> Result<Vec<Value>, ClientError> {
        self.polling.abort();
        self.ladder.cas(Way::ToSwitch, "POST /Logout");
        self.server.request("POST", &format!("/Logout?SessionId={}", self.session), &Value::Null).await?;
        Ok(self.events.take())
    }
}

/// Executes a message; when it was written.
async fn execute(server: Server, session: &str, message: &Value, ladder: &Ladder) -> Result<Instant, ClientError> {
    let mut connection = server.connect().await?;
    let path = format!("/Execute?SessionId={session}");
    let written = Instant::now();
    connection.write_all(&encode(server, "POST", &path, message)).await?;
    ladder.cas(Way::ToSwitch, &describe(message));
    let reply = answer(connection).await?;
    ladder.cas(Way::FromSwitch, &format!("response {}, error {}", reply["response"], reply["error"]));
    if reply["error"] == 0 { Ok(written) } else { Err(ClientError::Refused(reply)) }
}

/// Fetches events until it is aborted.
async fn poll(server: Server, session: String, events: Rc<RefCell<Vec<Value>>>, ladder: Rc<Ladder>) {
    let mut after = 0;
    loop {
        let path = format!("/GetEvents?SessionId={session}&timeout=5&after={after}");
        let Ok(Value::Array(new)) = server.request("GET", &path, &Value::Null).await else { return };
        for event in new {
            ladder.cas(Way::FromSwitch, &describe(&event));
            after = event["sequence-id"].as_u64().unwrap_or(after);
            events.borrow_mut().push(event);
        }
    }
}

/// A message in a few words.
fn describe(message: &Value) -> String {
    let text = |member: &str| message[member].as_str().unwrap_or_default();
    let detail = match text("message") {
        "make-call" => format!(" {}", text("dest")),
        "call-evt" => format!(" {}", text("state")),
        "call-ended-evt" => format!(" {}", text("cause")),
        "tel-completion-evt" => format!(" {}, error {}", text("name"), message["error"]),
        _ => String::new(),
    };
    format!("{}/{}{detail}", text("topic"), text("message"))
}

impl Server {
    async fn connect(self) -> Result<TcpStream, ClientError> {
        let connection = TcpStream::connect(self.0).await?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }

    async fn request(self, method: &str, path: &str, body: &Value) -> Result<Value, ClientError> {
        let mut connection = self.connect().await?;
        connection.write_all(&encode(self, method, path, body)).await?;
        answer(connection).await
    }
}

fn encode(server: Server, method: &str, path: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        server.0,
        body.len()
    )
    .into_bytes()
}

/// The body of the answer; the server closes behind it.
async fn answer(connection: TcpStream) -> Result<Value, ClientError> {
    let mut bytes = Vec::new();
    let reading = connection.take(LONGEST);
    tokio::pin!(reading);
    tokio::time::timeout(PATIENCE, reading.read_to_end(&mut bytes)).await.map_err(|_| ClientError::Late)??;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| ClientError::NotHttp(text.clone().into_owned()))?;
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or(Value::Null) };
    if head.split(' ').nth(1) == Some("200") { Ok(body) } else { Err(ClientError::Refused(body)) }
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum ClientError {
    Io(io::Error),
    Late,
    NotHttp(String),
    Refused(Value),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        ClientError::Io(error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Io(error) => write!(f, "the CAS cannot be reached: {error}"),
            ClientError::Late => f.write_str("the CAS did not answer in time"),
            ClientError::NotHttp(text) => write!(f, "the CAS answered what is not HTTP: {text}"),
            ClientError::Refused(reply) => write!(f, "the CAS refused: {reply}"),
        }
    }
}
