//! Telephones by the thousand, against the real switch: plain bytes on few sockets, each telephone a few lines of state. They keep to the clockwork of
//! RFC 3261 (§17.1: repeat after 0.5, 1, 2, 4 … seconds) and to what a 503 tells them in its Retry-After.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use cas::entropy::Entropy;
use cas::site::{Access, Device, DeviceId, Extension, Role, Target, User, UserId};
use cas::store::folder::Folder;
use cas::store::sqlite::Sqlite;
use cas::store::{self, Change, Request, Store};
use switch::entropy::System;
use switch::sip::digest::{self, Algorithm};
use switch::sip::message::Method;

use crate::process::secret;
use crate::template::Sip;

/// The realm of a store made here.
const REALM: &str = "switch.local";
/// The first of the crowd's extensions.
const FIRST: usize = 10_000;
/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2.
const T2: Duration = Duration::from_secs(4);

/// A telephone's extension.
pub fn extension(number: usize) -> String {
    (FIRST + number).to_string()
}

/// Writes so many users, each with a device and a number, into the store of a switch that does not run.
///
/// # Panics
/// Where they cannot be stored.
pub fn settle(data: &Path, count: usize) {
    let folder = Folder::open(data).expect("a data folder");
    let key = folder.machine_key(&mut System::default()).expect("a machine key");
    let mut database = Sqlite::open(folder, REALM).expect("a database");
    let mut requests = Vec::new();
    // Nobody of them logs in.
    let password_hash =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    for number in 0..count {
        let (id, login) = (number as u64 + 1, extension(number));
        let mut nonce = [0; 12];
        System::default().fill(&mut nonce);
        let access = Access::digest(&key, nonce, &login, REALM, &secret(&login), None);
        let user = User {
            id: UserId(id),
            login: login.clone(),
            first: "Phone".to_owned(),
            last: login.clone(),
            email: None,
            role: Role::User,
            password_hash: password_hash.clone(),
            pin_hash: None,
            pickup_group: None,
        };
        let changes = vec![
            Change::PutUser(user),
            Change::PutDevice(Device { id: DeviceId(id), user: Some(UserId(id)), access }),
            Change::PutNumber(Extension(login), Target::User(UserId(id))),
        ];
        requests.push(Request::Write(changes));
    }
    for batch in requests.chunks(1000) {
        for written in store::run(&mut database, batch) {
            written.expect("the crowd can be stored");
        }
    }
    Box::new(database).close().expect("the database closes");
}

/// A socket that never waits, with as large a buffer as the system grants.
fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a free address");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(8 << 20));
    socket
}

/// What has come to a socket.
fn heard(socket: &UdpSocket, buffer: &mut [u8]) -> Option<Sip> {
    match socket.recv(buffer) {
        Ok(length) => Some(Sip(String::from_utf8_lossy(&buffer[..length]).into_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => None,
        Err(error) => panic!("a telephone cannot hear: {error}"),
    }
}

/// What came of a storm of registrations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storm {
    /// From the first REGISTER to the last 200.
    pub took: Duration,
    /// Datagrams sent, repetitions included.
    pub sent: u64,
    /// Of them repetitions, as no answer came in time.
    pub repeated: u64,
    /// 503 with Retry-After.
    pub put_off: u64,
}

/// A telephone that wants to be registered.
struct Registering {
    number: usize,
    cseq: u32,
    authorization: String,
    /// When it speaks next, and how long it waits after that.
    due: Instant,
    interval: Duration,
}

impl Registering {
    fn request(&self, own: SocketAddr) -> String {
        let (user, Registering { number, cseq, authorization, .. }) = (extension(self.number), self);
        format!(
            "REGISTER sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKcrowd{number}x{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{REALM}>;tag=c{number}\r\nTo: <sip:{user}@{REALM}>\r\n\
             Call-ID: crowd-{number}-{own}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{user}@{own}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-{number:012}>\"\r\nExpires: 3600\r\n\
             User-Agent: crowd\r\n{authorization}Content-Length: 0\r\n\r\n"
        )
    }

    fn answer(&mut self, challenge: &Sip) {
        let user = extension(self.number);
        let (nonce, uri) = (challenge.quoted("WWW-Authenticate", "nonce"), format!("sip:{REALM}"));
        let ha1 = digest::ha1(Algorithm::Md5, &user, REALM, &secret(&user));
        let auth = Some(("c", "00000001"));
        let response = digest::response(Algorithm::Md5, &ha1, nonce, auth, &Method::Register, &uri);
        self.authorization = format!(
            "Authorization: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", qop=auth, nc=00000001, cnonce=\"c\"\r\n"
        );
    }
}

/// So many telephones register, each for the first time at some moment within `spread`, and try until they are.
///
/// # Panics
/// When they are not within `patience`, or are told anything but that they are, must prove who they are, or come again later.
pub fn register(switch: SocketAddr, count: usize, spread: Duration, patience: Duration) -> Storm {
    let socket = socket(SocketAddr::new(switch.ip(), 0));
    let own = socket.local_addr().expect("a bound socket has an address");
    let (start, mut storm) = (Instant::now(), Storm::default());
    let phone = |number: usize| {
        let due = start + spread.mul_f64(number as f64 / count as f64);
        (number, Registering { number, cseq: 1, authorization: String::new(), due, interval: T1 })
    };
    let mut phones: BTreeMap<usize, Registering> = (0..count).map(phone).collect();
    let mut agenda: BTreeSet<(Instant, usize)> = phones.values().map(|phone| (phone.due, phone.number)).collect();
    let mut buffer = [0; 4096];
    while !phones.is_empty() {
        let mut idle = true;
        while let Some(sip) = heard(&socket, &mut buffer) {
            idle = false;
            let number = sip.header("Call-ID").split('-').nth(1).and_then(|number| number.parse().ok());
            let Some(phone) = number.and_then(|number: usize| phones.get_mut(&number)) else { continue };
            if phone.cseq != sip.number() {
                continue;
            }
            let number = phone.number;
            agenda.remove(&(phone.due, number));
            let wait = match sip.status() {
                200 => {
                    phones.remove(&number);
                    continue;
                }
                401 => {
                    phone.answer(&sip);
                    Duration::ZERO
                }
                503 => {
                    storm.put_off += 1;
                    Duration::from_secs(sip.header("Retry-After").parse().expect("a 503 says when to try again"))
                }
                status => panic!("telephone {number} was told {status}: {}", sip.0),
            };
            phone.cseq += 1;
            phone.interval = T1;
            phone.due = Instant::now() + wait;
            agenda.insert((phone.due, number));
        }
        let now = Instant::now();
        while let Some((_, number)) = agenda.first().copied().filter(|(at, _)| *at <= now) {
            idle = false;
            agenda.pop_first();
            let Some(phone) = phones.get_mut(&number) else { continue };
            storm.sent += 1;
            storm.repeated += u64::from(phone.interval > T1);
            // What the system does not take now is repeated as if it had been lost.
            let _ = socket.send_to(phone.request(own).as_bytes(), switch);
            phone.due = now + phone.interval;
            phone.interval = (phone.interval * 2).min(T2);
            agenda.insert((phone.due, number));
        }
        assert!(start.elapsed() < patience, "{} of {count} are not registered: {storm:?}", phones.len());
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Storm { took: start.elapsed(), ..storm }
}

/// What came of a load of calls.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// INVITEs of new calls sent.
    pub offered: u64,
    /// Calls answered, acknowledged and hung up.
    pub done: u64,
    /// 503 with Retry-After.
    pub put_off: u64,
    /// Anything else than these two, or nothing within 32 s.
    pub failed: u64,
    /// Requests repeated for want of an answer.
    pub repeated: u64,
    /// From the INVITE to its 2xx.
    pub set_up: Vec<Duration>,
}

impl Calls {
    /// A part per hundred of the set-up times.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.set_up.clone();
        times.sort();
        times.get(times.len() * percent / 100).or(times.last()).copied().unwrap_or_default()
    }
}

/// A gateway that calls, and the telephone that is called and answers at once.
pub struct Line {
    gateway: UdpSocket,
    phone: UdpSocket,
    switch: SocketAddr,
    last: u64,
    open: BTreeMap<u64, Open>,
    agenda: BTreeSet<(Instant, u64)>,
}

/// A call of the gateway's: what it last said and was not answered yet.
struct Open {
    begun: Instant,
    said: String,
    is_bye: bool,
    due: Instant,
    interval: Duration,
}

impl Line {
    /// The gateway is known to the switch by its address, telephone 0 of the crowd is registered.
    pub fn new(switch: SocketAddr, gateway: SocketAddr) -> Line {
        let (gateway, phone) = (socket(gateway), socket(SocketAddr::new(switch.ip(), 0)));
        let mut line = Line { gateway, phone, switch, last: 0, open: BTreeMap::new(), agenda: BTreeSet::new() };
        line.register();
        line
    }

    fn register(&mut self) {
        let own = self.phone.local_addr().expect("a bound socket has an address");
        let now = Instant::now();
        let mut phone = Registering { number: 0, cseq: 1, authorization: String::new(), due: now, interval: T1 };
        let mut buffer = [0; 4096];
        loop {
            let _ = self.phone.send_to(phone.request(own).as_bytes(), self.switch);
            let answer = crate::process::until("an answer to REGISTER", || heard(&self.phone, &mut buffer));
            match answer.status() {
                200 => return,
                401 => phone.answer(&answer),
                status => panic!("the telephone was told {status}"),
            }
            phone.cseq += 1;
        }
    }

    /// Calls at this rate for so long, then waits until the last one is over.
    pub fn run(&mut self, rate: f64, time: Duration) -> Calls {
        let (start, mut calls) = (Instant::now(), Calls::default());
        let mut buffer = [0; 4096];
        loop {
            let elapsed = start.elapsed();
            let wanted = (rate * elapsed.min(time).as_secs_f64()) as u64;
            // Not more at once than a socket holds.
            for _ in calls.offered..wanted.min(calls.offered + 64) {
                calls.offered += 1;
                self.begin();
            }
            let mut idle = calls.offered == wanted;
            for _ in 0..256 {
                let (phone, gateway) = (heard(&self.phone, &mut buffer), heard(&self.gateway, &mut buffer));
                if phone.is_none() && gateway.is_none() {
                    break;
                }
                idle = false;
                if let Some(request) = phone {
                    self.answer(&request);
                }
                if let Some(response) = gateway {
                    self.heard(&response, &mut calls);
                }
            }
            self.repeat(&mut calls);
            if elapsed >= time && self.open.is_empty() && calls.offered == wanted {
                return calls;
            }
            if idle {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    fn begin(&mut self) {
        self.last += 1;
        let (id, own) = (self.last, self.gateway.local_addr().expect("a bound socket has an address"));
        let sdp = crate::template::sdp(own, 4000, "0 8");
        let to = extension(0);
        let invite = format!(
            "INVITE sip:{to}@{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKline{id};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:600@{REALM}>;tag=l{id}\r\nTo: <sip:{to}@{REALM}>\r\nCall-ID: line-{id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:600@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.say(id, Instant::now(), invite, false);
    }

    fn say(&mut self, id: u64, begun: Instant, said: String, is_bye: bool) {
        let due = Instant::now() + T1;
        let _ = self.gateway.send_to(said.as_bytes(), self.switch);
        self.agenda.insert((due, id));
        self.open.insert(id, Open { begun, said, is_bye, due, interval: T1 });
    }

    fn repeat(&mut self, calls: &mut Calls) {
        let now = Instant::now();
        while let Some((_, id)) = self.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.agenda.pop_first();
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.interval > Duration::from_secs(16) {
                calls.failed += 1;
                self.open.remove(&id);
                continue;
            }
            calls.repeated += 1;
            let _ = self.gateway.send_to(open.said.as_bytes(), self.switch);
            open.interval *= 2;
            open.due = now + open.interval;
            self.agenda.insert((open.due, id));
        }
    }

    /// What the gateway hears.
    fn heard(&mut self, sip: &Sip, calls: &mut Calls) {
        let id = sip.header("Call-ID").strip_prefix("line-").and_then(|id| id.parse().ok());
        let Some(id) = id else { return };
        let own = self.gateway.local_addr().expect("a bound socket has an address");
        let within = |method: &str, number: u32, branch: String, uri: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
                 To: {}\r\nCall-ID: line-{id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
                sip.header("From"),
                sip.header("To")
            )
        };
        match (sip.method(), sip.status()) {
            ("INVITE", 100..200) => {
                // It is being dealt with: nothing is repeated any more.
                if let Some(open) = self.open.get_mut(&id).filter(|open| !open.is_bye) {
                    self.agenda.remove(&(open.due, id));
                    open.interval = Duration::from_secs(32);
                    open.due = Instant::now() + open.interval;
                    self.agenda.insert((open.due, id));
                }
            }
            ("INVITE", 200) => {
                let target = sip.contact();
                let ack = within("ACK", 1, format!("z9hG4bKack{id}"), &target);
                let _ = self.gateway.send_to(ack.as_bytes(), self.switch);
                let Some(open) = self.open.get(&id).filter(|open| !open.is_bye) else { return };
                let begun = open.begun;
                calls.set_up.push(begun.elapsed());
                self.agenda.remove(&(open.due, id));
                let bye = within("BYE", 2, format!("z9hG4bKbye{id}"), &target);
                self.say(id, begun, bye, true);
            }
            ("INVITE", status) => {
                let uri = format!("sip:{}@{REALM}", extension(0));
                let ack = within("ACK", 1, format!("z9hG4bKline{id}"), &uri);
                let _ = self.gateway.send_to(ack.as_bytes(), self.switch);
                if self.forget(id) {
                    match status {
                        503 => calls.put_off += 1,
                        _ => calls.failed += 1,
                    }
                }
            }
            ("BYE", 200..) if self.open.get(&id).is_some_and(|open| open.is_bye) => {
                self.forget(id);
                calls.done += 1;
            }
            _ => {}
        }
    }

    fn forget(&mut self, id: u64) -> bool {
        let open = self.open.remove(&id);
        if let Some(open) = &open {
            self.agenda.remove(&(open.due, id));
        }
        open.is_some()
    }

    /// What the telephone says to a request.
    fn answer(&self, request: &Sip) {
        let own = self.phone.local_addr().expect("a bound socket has an address");
        let body = match request.method() {
            "INVITE" => crate::template::sdp(own, 4002, "0 8"),
            "ACK" => return,
            _ if request.status() != 0 => return,
            _ => String::new(),
        };
        let (to, content) =
            (request.header("To"), if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" });
        let tag = if to.contains(";tag=") { String::new() } else { format!(";tag=p{}", request.header("Call-ID")) };
        let response = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:{}@{own}>\r\n\
             {content}Content-Length: {}\r\n\r\n{body}",
            request.header("Via"),
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            extension(0),
            body.len()
        );
        let _ = self.phone.send_to(response.as_bytes(), self.switch);
    }
}
