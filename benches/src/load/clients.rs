//! CAS clients: kept connections, requests at a set rate, every answer read to its end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::{Rate, Tally};
use crate::sip::Message;
use crate::sockets;

/// What an answer may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// A connection of one client.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Since when an answer is awaited.
    asked: Option<Instant>,
    heard: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// Nobody listens there.
    pub fn open(server: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, asked: None, heard: Vec::new() })
    }

    /// # Errors
    /// The connection is broken.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.asked = Some(Instant::now());
        // A request is far smaller than the buffer of a connection that waits for nothing.
        self.stream.write_all(request)
    }

    /// The answer, when it is there: since when it was awaited, and its text.
    fn answer(&mut self) -> io::Result<Option<(Instant, String)>> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&self.heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if length.is_none_or(|length| body.len() < length) {
            return Ok(None);
        }
        let answer = text.into_owned();
        self.heard.clear();
        Ok(self.asked.take().map(|asked| (asked, answer)))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// There is none.
    pub fn wait(&mut self) -> io::Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some((_, answer)) = self.answer()? {
                return Ok(answer);
            }
            sockets::wait([&self.stream as &dyn AsFd].into_iter(), Duration::from_millis(100));
        }
        Err(ErrorKind::TimedOut.into())
    }
}

/// A POST of this body.
pub fn post(path: &str, session: Option<&str>, body: &str) -> Vec<u8> {
    let authorization = session.map(|session| format!("Authorization: Bearer {session}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{authorization}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Requests at a rate, each on the next connection that waits for nothing.
///
/// # Errors
/// A connection breaks.
pub fn ask_all(connections: &mut [(Connection, Vec<u8>)], rate: Rate) -> io::Result<Tally> {
    let (start, mut begun, mut tally) = (Instant::now(), 0, Tally::default());
    let mut turn = 0;
    loop {
        let due = rate.due(start.elapsed());
        while begun < due {
            let count = connections.len();
            let Some(at) = (0..count).map(|n| (turn + n) % count).find(|n| connections[*n].0.asked.is_none()) else {
                break;
            };
            let (connection, request) = &mut connections[at];
            connection.ask(request)?;
            (turn, begun) = (at + 1, begun + 1);
        }
        for (connection, _) in connections.iter_mut().filter(|(connection, _)| connection.asked.is_some()) {
            if let Some((asked, answer)) = connection.answer()? {
                take(&mut tally, &answer, Some(asked.elapsed()));
            }
        }
        if begun >= rate.count && tally.done + tally.failed >= begun || start.elapsed() > PATIENCE * 20 {
            return Ok(tally);
        }
        let waiting = connections.iter().map(|(connection, _)| &connection.stream as &dyn AsFd);
        let next = rate.next(start, begun).map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()));
        sockets::wait(waiting, next);
    }
}

fn take(tally: &mut Tally, answer: &str, time: Option<Duration>) {
    if answer.starts_with("HTTP/1.1 200") && answer.contains("\"error\":0") {
        tally.done += 1;
        time.into_iter().for_each(|time| tally.times.push(time));
    } else {
        tally.failed += 1;
        tally.complaint.get_or_insert_with(|| answer.to_owned());
    }
}

/// A client that makes calls, and his own telephone.
#[derive(Debug)]
pub struct Maker {
    /// Where he asks.
    pub connection: Connection,
    /// What he asks.
    pub request: Vec<u8>,
    /// His extension: what his own telephone is called by.
    pub user: String,
    /// Since when he waits for his telephone to ring, and whether it has.
    asked: Option<(Instant, bool)>,
}

impl Maker {
    /// Who has not asked for anything yet.
    pub fn new(connection: Connection, request: Vec<u8>, user: String) -> Maker {
        Maker { connection, request, user, asked: None }
    }
}

/// make-call at a rate: the time is that from writing the request to reading the INVITE that rings the client's own telephone, which is busy.
///
/// # Errors
/// A connection breaks.
pub fn make_calls(makers: &mut [Maker], phone: &UdpSocket, rate: Rate) -> io::Result<Tally> {
    let (start, mut begun, mut tally) = (Instant::now(), 0, Tally::default());
    let (mut turn, mut buffer, mut tag) = (0, [0; 8192], 0);
    let mut answers = Tally::default();
    loop {
        let now = Instant::now();
        let due = rate.due(now - start);
        while begun < due {
            let free = |maker: &Maker| maker.asked.is_none() && maker.connection.asked.is_none();
            let count = makers.len();
            let Some(at) = (0..count).map(|n| (turn + n) % count).find(|n| free(&makers[*n])) else { break };
            let maker = &mut makers[at];
            maker.asked = Some((Instant::now(), false));
            maker.connection.ask(&maker.request)?;
            (turn, begun) = (at + 1, begun + 1);
        }
        while let Ok((length, from)) = phone.recv_from(&mut buffer) {
            let now = Instant::now();
            let Some(message) = Message::read(&buffer[..length]) else { continue };
            let maker = makers.iter_mut().find(|maker| maker.user == message.user);
            match (maker, message.method) {
                (Some(maker), "INVITE") => {
                    tag += 1;
                    match &mut maker.asked {
                        Some((asked, rung @ false)) => {
                            *rung = true;
                            tally.times.push(now.saturating_duration_since(*asked));
                        }
                        _ => tally.repeated += 1,
                    }
                    phone.send_to(&message.answer("486 Busy Here", tag, None, ""), from)?;
                }
                (Some(maker), "ACK") => tally.done += usize::from(maker.asked.take().is_some()),
                _ => {}
            }
        }
        for maker in makers.iter_mut() {
            if maker.connection.asked.is_some()
                && let Some((_, answer)) = maker.connection.answer()?
            {
                take(&mut answers, &answer, None);
            }
            if maker.asked.is_some_and(|(asked, _)| asked.elapsed() > PATIENCE) {
                maker.asked = None;
                tally.failed += 1;
                tally.complaint.get_or_insert_with(|| "a telephone did not ring".to_owned());
            }
        }
        if begun >= rate.count && makers.iter().all(|maker| maker.asked.is_none() && maker.connection.asked.is_none()) {
            tally.failed += answers.failed;
            tally.complaint = tally.complaint.or(answers.complaint);
            return Ok(tally);
        }
        let streams = makers.iter().map(|maker| &maker.connection.stream as &dyn AsFd);
        let next = rate
            .next(start, begun)
            .map_or(Duration::from_millis(100), |at| at.saturating_duration_since(Instant::now()));
        sockets::wait(streams.chain([phone as &dyn AsFd]), next.min(Duration::from_millis(100)));
    }
}
