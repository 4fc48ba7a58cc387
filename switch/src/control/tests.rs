//! A whole switch in a thread, on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::*;
use crate::config::Config;

/// The data folder of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("control-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn config(&self, sip: &str) -> Config {
        // A port pair for each test of this process; where somebody else has it, these tests do without media.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let ports = 31_000 + (std::process::id() % 500) as u16 * 20 + NEXT.fetch_add(2, Ordering::Relaxed);
        let text = format!(
            "data = {:?}\n[sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n[media]\nports = \"{}-{}\"\n[cas]\nlisten = [\"127.0.0.1:0\"]\n",
            self.0,
            ports,
            ports + 1,
        );
        Config::parse("test", &text).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(folder: &Folder, first_users: FirstUsers) -> Running {
    Running::start(folder.config("127.0.0.1:0"), first_users).unwrap()
}

fn end(running: Running) {
    running.stop();
    running.join().unwrap();
}

fn options(transport: &str, from: std::net::SocketAddr) -> String {
    format!(
        "OPTIONS sip:switch.local SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bK-1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:t@switch.local>;tag=1\r\nTo: <sip:switch.local>\r\nCall-ID: o-1\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

fn console(running: &Running, message: &str) -> String {
    let mut stream = UnixStream::connect(&running.ready().console).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    writeln!(stream, "{message}").unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    reply
}

#[test]
fn it_answers_options_over_udp_and_tcp() {
    let folder = Folder::new("options");
    let running = start(&folder, FirstUsers::Leave);
    let mut answer = [0; 2048];

    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    phone.send_to(options("UDP", phone.local_addr().unwrap()).as_bytes(), running.ready().sip_udp[0]).unwrap();
    let (length, from) = phone.recv_from(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&answer[..length]));
    assert_eq!(from, running.ready().sip_udp[0]);

    let mut phone = TcpStream::connect(running.ready().sip_tcp[0]).unwrap();
    phone.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    phone.write_all(options("TCP", phone.local_addr().unwrap()).as_bytes()).unwrap();
    let length = phone.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&answer[..length]));
    end(running);
}

#[test]
fn it_answers_http() {
    let folder = Folder::new("http");
    let running = start(&folder, FirstUsers::Leave);
    for (path, expected) in [("/health", "HTTP/1.1 200"), ("/metrics", "switch_net_udp_unsent_total 0")] {
        let mut client = TcpStream::connect(running.ready().http[0]).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert!(reply.contains(expected), "{path}: {reply}");
    }
    end(running);
}

#[test]
fn the_first_users_are_made_once_and_survive() {
    let folder = Folder::new("first");
    let running = start(&folder, FirstUsers::Make(|_| {}));
    let made = running.ready().first_users.clone().expect("the store was empty");
    let logins: Vec<&str> = made.users.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(logins, ["admin", "501", "502"]);
    assert!(made.users[0].sip_secret.is_none() && made.users[1].sip_secret.is_some());
    assert_ne!(made.users[1].password, made.users[2].password);
    end(running);

    let running = start(&folder, FirstUsers::Make(|_| {}));
    assert_eq!(running.ready().first_users, None);
    let reply = console(&running, r#"{"topic":"config","message":"get-users"}"#);
    assert!(reply.contains(r#""Vanessa""#) && reply.contains(r#""error":0"#), "{reply}");
    end(running);
}

#[test]
fn the_first_users_are_told_before_any_is_made() {
    let folder = Folder::new("told");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let opened = start::open(&folder.config("127.0.0.1:0")).unwrap();
        let control = Control::new(opened.parts);
        control.begin(opened.told);
        let users = || control.node.borrow().site().users().count();
        let mut told = Vec::new();
        let tell = |seeded: &Seeded| {
            assert_eq!(users(), 0);
            told = seeded.users.clone();
        };
        let made = first_users::make(&control, &opened.ready, tell).await.unwrap();
        assert_eq!((told, users()), (made.users, 3));
    });
}

#[test]
fn an_orderly_end_leaves_nothing_behind() {
    let folder = Folder::new("end");
    let running = start(&folder, FirstUsers::Leave);
    let (sip, socket) = (running.ready().sip_udp[0], running.ready().console.clone());
    assert!(socket.exists());
    end(running);
    assert!(!socket.exists());
    UdpSocket::bind(sip).expect("the port is free again");
}

#[test]
fn a_taken_port_ends_the_start_with_one_line() {
    let folder = Folder::new("taken");
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let error = Running::start(folder.config(&taken), FirstUsers::Leave).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("[sip] udp") && error.contains(&taken) && !error.contains('\n'), "{error}");
}

#[test]
fn a_second_switch_on_the_same_folder_is_refused() {
    let folder = Folder::new("second");
    let running = start(&folder, FirstUsers::Leave);
    let error = Running::start(folder.config("127.0.0.1:0"), FirstUsers::Leave).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("data: "), "{error}");
    end(running);
}

#[test]
fn sip_that_waits_is_handled_before_a_request_of_a_client_and_at_each_turn_of_http() {
    let folder = Folder::new("first-sip");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let opened = start::open(&folder.config("127.0.0.1:0")).unwrap();
        let control = Control::new(opened.parts);
        control.begin(opened.told);
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let say =
            || phone.send_to(options("UDP", phone.local_addr().unwrap()).as_bytes(), opened.ready.sip_udp[0]).unwrap();
        let handled = || control.node.borrow().engine().counts().messages;
        // Nothing here gives the sockets' own tasks a turn.
        say();
        let request = Request { endpoint: cas::cas::Endpoint::Health, ..Request::of_console("") };
        let asked = control.ask(request);
        assert_eq!(handled(), 1);
        say();
        control.sip_first();
        assert_eq!(handled(), 2);
        drop(asked);
    });
}

#[test]
fn a_step_that_panics_ends_the_switch() {
    let folder = Folder::new("panic");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let opened = start::open(&folder.config("127.0.0.1:0")).unwrap();
        let control = Control::new(opened.parts);
        let other = Rc::clone(&control);
        let task = tokio::task::spawn_local(async move {
            // A step within a step: as good a bug as any.
            let _held = other.node.borrow_mut();
            other.step(Input::Timeout);
        });
        assert!(task.await.unwrap_err().is_panic());
        control.over.wait().await;
        assert!(control.over.is_broken());
        control.step(Input::Timeout);
    });
}

#[test]
fn a_wake_is_never_before_what_is_due_and_never_a_tick_after() {
    let alarm = Alarm::new();
    for micros in [0, 1, 9_999, 10_000, 10_001, 20_400, 1_234_567] {
        let at = alarm.start + Duration::from_micros(micros);
        let late = alarm.wake(at).checked_duration_since(at).unwrap();
        assert!(late < WAKE, "{micros} µs: {late:?} late");
    }
}
