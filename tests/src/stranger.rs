//! Somebody who sends the real switch whatever bytes he likes, over UDP and TCP, and after each asks by an OPTIONS whether it still lives.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::process::PATIENCE;
use crate::template::Sip;

/// Where answers go when no port is named (RFC 3261 §18.2.2).
const DEFAULT_PORT: u16 = 5060;

/// An address of this machine that no other test process has: all of 127/8 is the loopback interface.
pub fn own_address(host: u8) -> IpAddr {
    let id = std::process::id();
    Ipv4Addr::new(127, (id >> 8 & 0x7f) as u8 + 1, id as u8, host).into()
}

/// Somebody on UDP.
pub struct Stranger {
    /// The first one sends; all hear, for what a Via names decides where answers go.
    sockets: Vec<UdpSocket>,
    switch: SocketAddr,
    asked: u32,
}

impl Stranger {
    /// At the default port of this address, hearing at these others too.
    ///
    /// # Panics
    /// When a port stays taken: 5060 by something that is bound to all addresses of the machine.
    pub fn at(address: IpAddr, others: &[u16], switch: SocketAddr) -> Stranger {
        let bind = |port: &u16| {
            let wanted = format!("UDP port {port} of {address} to be free: answers go there");
            let socket = crate::process::until(&wanted, || UdpSocket::bind((address, *port)).ok());
            socket.set_nonblocking(true).expect("a socket can be set");
            socket
        };
        let sockets = [DEFAULT_PORT].iter().chain(others).map(bind).collect();
        Stranger { sockets, switch, asked: 0 }
    }

    /// Whom it speaks to.
    pub fn switch(&self) -> SocketAddr {
        self.switch
    }

    /// Where it sends from.
    pub fn address(&self) -> SocketAddr {
        self.sockets[0].local_addr().expect("bound")
    }

    /// Sends bytes; nothing is waited for.
    pub fn send(&self, bytes: &[u8]) {
        self.sockets[0].send_to(bytes, self.switch).expect("loopback takes a datagram");
    }

    /// Sends bytes, then an OPTIONS: what was answered by the time that was.
    pub fn ask(&mut self, bytes: &[u8]) -> Vec<Sip> {
        self.send(bytes);
        self.answers()
    }

    /// What was answered to all that was sent: an OPTIONS is sent, and the switch reads in order.
    pub fn answers(&mut self) -> Vec<Sip> {
        self.asked += 1;
        let (options, call_id) = options(self.address(), "UDP", self.asked);
        self.send(options.as_bytes());
        let mut heard = Vec::new();
        crate::process::until("an OPTIONS to be answered", || {
            heard.extend(self.hear());
            is_answered(&mut heard, &call_id).then_some(())
        });
        // Answers to other ports were sent before that one.
        heard.extend(self.hear());
        heard
    }

    fn hear(&self) -> Vec<Sip> {
        let mut heard = Vec::new();
        let mut buffer = [0; 65_536];
        for socket in &self.sockets {
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((length, _)) => heard.push(Sip(String::from_utf8_lossy(&buffer[..length]).into_owned())),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("the switch cannot be heard: {error}"),
                }
            }
        }
        heard
    }

    /// Acknowledges a refused INVITE, so that it is not refused again.
    pub fn acknowledge(&self, refusal: &Sip) {
        self.send(ack_of(refusal).as_bytes());
    }
}

/// The ACK of a refusal (RFC 3261 §17.1.1.3), as far as it can be told from the refusal alone.
pub fn ack_of(refusal: &Sip) -> String {
    let lines = ["Via", "From", "To", "Call-ID"].map(|name| format!("{name}: {}\r\n", refusal.header(name)));
    format!(
        "ACK sip:switch.invalid SIP/2.0\r\n{}CSeq: {} ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        lines.concat(),
        refusal.number()
    )
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    unread: Vec<u8>,
    asked: u32,
}

impl Connection {
    /// Opens one from this address.
    pub fn open(switch: SocketAddr) -> Connection {
        let stream = TcpStream::connect_timeout(&switch, PATIENCE).expect("the switch listens");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket can be set");
        stream.set_nodelay(true).expect("a socket can be set");
        let address = stream.local_addr().expect("connected");
        Connection { stream, address, unread: Vec::new(), asked: 0 }
    }

    /// Its address on this side.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends bytes. Whether the switch has closed the connection shows when it is asked.
    pub fn send(&mut self, bytes: &[u8]) {
        // A connection that the switch has closed takes no more: that is told by `answers`.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes, then an OPTIONS: what was answered by the time that was, and whether it was, or the connection was closed.
    pub fn ask(&mut self, bytes: &[u8]) -> (Vec<Sip>, bool) {
        self.send(bytes);
        self.answers()
    }

    /// What was answered to all that was sent, and whether the connection goes on.
    pub fn answers(&mut self) -> (Vec<Sip>, bool) {
        self.asked += 1;
        let (options, call_id) = options(self.address, "TCP", self.asked);
        self.send(options.as_bytes());
        let mut heard = Vec::new();
        let open = crate::process::until("an OPTIONS to be answered, or the connection to be closed", || {
            let closed = self.read();
            heard.extend(std::iter::from_fn(|| self.take_message()));
            match is_answered(&mut heard, &call_id) {
                true => Some(true),
                false => closed.then_some(false),
            }
        });
        (heard, open)
    }

    /// Sends no more, and waits for the switch to close too.
    pub fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        crate::process::until("the connection to be closed", || self.read().then_some(()));
    }

    /// Whether it has ended.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                false
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    fn take_message(&mut self) -> Option<Sip> {
        let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = Sip(String::from_utf8_lossy(&self.unread[..end]).into_owned());
        let length = head.header("Content-Length").parse().unwrap_or(0);
        if self.unread.len() < end + length {
            return None;
        }
        let message: Vec<u8> = self.unread.drain(..end + length).collect();
        Some(Sip(String::from_utf8_lossy(&message).into_owned()))
    }
}

/// An OPTIONS of one's own, and its Call-ID.
fn options(from: SocketAddr, transport: &str, number: u32) -> (String, String) {
    let call_id = format!("alive{number}-{from}");
    let request = format!(
        "OPTIONS sip:switch.invalid SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bKalive{number};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:stranger@example.com>;tag=s\r\nTo: <sip:switch.invalid>\r\nCall-ID: {call_id}\r\nCSeq: {number} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    (request, call_id)
}

/// Takes the answer to such an OPTIONS out of what was heard.
fn is_answered(heard: &mut Vec<Sip>, call_id: &str) -> bool {
    let at = heard.iter().position(|sip| sip.header("Call-ID") == call_id);
    at.is_some_and(|at| heard.remove(at).status() == 200)
}
