//! The control socket, `switch.sock` in the data folder: a CAS message per line, a reply per line.
//!
//! Whoever may open the file is the administrator, so it is made with mode 0600. `switch user`, `status` and the other commands speak
//! through it to a running switch, and need neither a password nor a port.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cas::cas::{Reply, Request};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

/// Its name in the data folder.
pub const SOCKET: &str = "switch.sock";

/// The longest line.
pub const LINE: usize = 64 << 10;

/// Connections served at a time; more wait in the kernel.
const CONNECTIONS: usize = 16;

/// Connections that may wait.
const BACKLOG: i32 = 16;

/// The listening socket; dropped, it removes its file.
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Binds the socket; what a dead switch left behind is replaced. Must be called within the control thread's runtime.
    ///
    /// # Errors
    /// A running switch holds it, or the file cannot be made.
    pub fn bind(path: &Path) -> Result<Console, ConsoleError> {
        let error = |source| ConsoleError::Failed { path: path.to_owned(), source };
        match StdStream::connect(path) {
            Ok(_) => return Err(ConsoleError::Running(path.to_owned())),
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(error)?
            }
            // No file, or one that binding will complain about.
            Err(_) => {}
        }
        let listener = listen(path).map_err(error)?;
        Ok(Console { listener, path: path.to_owned() })
    }

    /// The socket's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves each connection, for ever. Must run in a `LocalSet`.
    pub async fn serve<A>(&self, ask: Rc<A>)
    where
        A: AsyncFn(Request) -> Reply + 'static,
    {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let ask = Rc::clone(&ask);
                    tokio::task::spawn_local(async move {
                        // A client that goes in the middle of a line has nobody to be told.
                        let _ = converse(stream, &*ask).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection to the control socket could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux makes the file with the mode of the unbound socket: at no moment can another user open it.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}

async fn converse(stream: UnixStream, ask: &impl AsyncFn(Request) -> Reply) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let length = (&mut reader).take(LINE as u64 + 1).read_until(b'\n', &mut line).await?;
        if length == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > LINE {
            return writer.write_all(TOO_LONG).await;
        }
        let request = Request::of_console(line);
        let reply = ask(request).await;
        writer.write_all(&reply.body).await?;
        writer.write_all(b"\n").await?;
    }
}

/// The last thing said to a client that does not keep to lines (error 1: the body cannot be read).
const TOO_LONG: &[u8] = b"{\"error\":1,\"error-text\":\"a line is 64 KB at most\"}\n";

/// Why there is no control socket.
#[derive(Debug)]
pub enum ConsoleError {
    /// Another switch answers there.
    Running(PathBuf),
    /// The system refused.
    Failed {
        /// The socket's file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsoleError::Running(path) => write!(
                f,
                "data: a switch is already running with this folder, {} answers; stop it or set another folder",
                path.display()
            ),
            ConsoleError::Failed { path, source } => write!(
                f,
                "data: the control socket {} cannot be made ({source}); set a folder with a short path that this user may write",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ConsoleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConsoleError::Running(_) => None,
            ConsoleError::Failed { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use cas::cas::{Endpoint, Source};
    use tokio::task::LocalSet;

    use super::*;

    /// A folder of one test's own, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("console-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join(SOCKET)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Answers each request with its own body, in brackets.
    async fn echo(request: Request) -> Reply {
        assert_eq!((request.endpoint, request.source), (Endpoint::Execute, Source::Console));
        let body = [b"[", &request.body[..], b"]"].concat();
        Reply::new(200, "application/json", body)
    }

    fn with_console(test: &str, client: impl AsyncFnOnce(UnixStream)) {
        let folder = Folder::new(test);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let console = Console::bind(&folder.socket()).unwrap();
            let stream = UnixStream::connect(console.path()).await.unwrap();
            tokio::select! {
                () = console.serve(Rc::new(echo)) => panic!("serving does not end"),
                () = client(stream) => {}
            }
        });
        assert!(!folder.socket().exists(), "the file goes with the console");
    }

    #[test]
    fn each_line_has_its_reply() {
        with_console("lines", async |mut stream| {
            stream.write_all(b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut replies = String::new();
            stream.read_to_string(&mut replies).await.unwrap();
            assert_eq!(replies, "[{\"a\":1}]\n[{\"a\":2}]\n[{\"a\":3}]\n");
        });
    }

    #[test]
    fn a_line_beyond_the_limit_ends_the_connection_with_a_reason() {
        with_console("long", async |mut stream| {
            stream.write_all(&vec![b'x'; LINE + 1]).await.unwrap();
            let mut replies = String::new();
            stream.read_to_string(&mut replies).await.unwrap();
            assert!(replies.contains("\"error\":1"), "{replies}");
        });
    }

    #[test]
    fn only_the_owner_may_open_it() {
        let folder = Folder::new("mode");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _in_runtime = runtime.enter();
        let console = Console::bind(&folder.socket()).unwrap();
        let mode = fs::metadata(console.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_live_socket_is_respected_and_a_dead_one_replaced() {
        let folder = Folder::new("stale");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _in_runtime = runtime.enter();
        // What is left of a killed process: a file nobody listens at.
        drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
        let console = Console::bind(&folder.socket()).unwrap();
        assert!(matches!(Console::bind(&folder.socket()), Err(ConsoleError::Running(_))));
        drop(console);
    }
}
