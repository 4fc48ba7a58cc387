//! A telephone for demonstration and tests, without I/O: its SIP is `rsip`, its RTP `rtp-rs`, its transactions and session descriptions
//! are its own, so that the switch's protocol stack is never tested against itself.
//!
//! It has one line: a second call finds it busy. Messages and time go in by [`Phone::handle`], what it sends and what happens to it comes
//! out of [`Phone::poll_output`]; the keys a person would press are methods. It speaks IPv4 only (`rsip` does).

mod answers;
mod ask;
mod audio;
mod call;
mod change;
mod dispatch;
mod display;
mod ear;
mod early;
mod fork;
mod incoming;
mod keys;
mod lamps;
mod manners;
mod message;
mod registration;
mod sdp;
mod session;
mod stream;
mod transaction;
mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rsip::Method;

pub use self::display::Shown;
pub use self::ear::Ear;
pub use self::lamps::Lit;
pub use self::manners::{Answers, Ask, Deaf, Digits, Hold, Manners, Reliable, SessionTimer};
pub use self::sdp::{Codec, Direction};
pub use self::stream::Talk;
pub use self::transfer::DialogName;

use self::call::{Agreement, Call, Change};
use self::fork::Ghost;
use self::lamps::Lamp;
use self::message::{Body, Essentials, Framer};
use self::registration::Registration;
use self::transaction::{Client, Purpose, Server};

/// What a telephone is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// SIP user name, also that of its digest.
    pub user: String,
    /// Secret of its digest.
    pub secret: String,
    /// The SIP domain it registers in.
    pub domain: String,
    /// Where every request is sent.
    pub registrar: SocketAddr,
    /// Its own SIP address.
    pub sip: SocketAddr,
    /// Its own RTP address.
    pub rtp: SocketAddr,
    /// UDP or TCP.
    pub transport: Transport,
    /// In the order of its preference; [`Codec::Event`] for DTMF.
    pub codecs: Vec<Codec>,
    /// The tone it speaks.
    pub tone_hz: u32,
    /// How much it speaks.
    pub talk: Talk,
    /// What it does when called.
    pub behaviour: Behaviour,
    /// Answers at once where the caller asks for it (Call-Info: answer-after=0, Alert-Info: auto-answer).
    pub auto_answer: bool,
    /// How it puts a call on hold.
    pub hold: Hold,
    /// The registration asked for, in seconds.
    pub expires: u32,
    /// What it knows beyond plain calls, and where it is contrary.
    pub manners: Manners,
}

/// How a telephone sends SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// One connection to the registrar.
    Tcp,
}

/// What a telephone does when called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings until somebody presses a key.
    Ring,
    /// Answers by itself after so long.
    Answer(Duration),
    /// Answers with this status at once.
    Reject(u16),
}

/// What a telephone is given.
#[derive(Clone, Debug)]
pub enum PhoneInput {
    /// SIP came: a datagram, or any piece of the stream.
    Sip(Bytes, SocketAddr),
    /// RTP came.
    Rtp(Bytes, SocketAddr),
    /// The TCP connection has ended; the next output opens another.
    Disconnected,
    /// Time passed.
    Tick,
}

/// What a telephone wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneOutput {
    /// Send SIP.
    Sip(Bytes, SocketAddr),
    /// Send RTP.
    Rtp(Bytes, SocketAddr),
    /// Something happened.
    Event(Event),
}

/// What happened to a telephone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Registered, newly or again.
    Registered,
    /// The registration was taken back.
    Unregistered,
    /// The registrar refused with this status, or did not answer (408).
    RegistrationFailed(u16),
    /// It rings; the caller as told by P-Asserted-Identity, else by From.
    Incoming(String),
    /// The far end was reached: a provisional status above 100.
    Progress(u16),
    /// The call is up, the answer acknowledged.
    Connected,
    /// This telephone's hold or resumption was agreed to.
    Held(bool),
    /// The other side has put this telephone on hold, or taken it off.
    HeldByOther(bool),
    /// A hold or resumption was refused.
    ChangeRefused(u16),
    /// The call is over.
    Ended(End),
    /// A digit was heard.
    Digit(char),
    /// What came of a transfer that this telephone has asked for.
    Transferred(u16),
    /// What this telephone asked was answered.
    Answer(Ask, u16),
    /// A second answer of this telephone was never hung up.
    LeftAlone,
    /// A message came that `rsip` cannot read, or that lacks what it must have.
    Malformed(String),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This side hung up, gave up or declined.
    Here,
    /// The other side hung up or gave up.
    There,
    /// The call was refused with this status.
    Refused(u16),
    /// The answer was never acknowledged, or the dialog was lost.
    Lost,
    /// Nobody refreshed the session (RFC 4028).
    Expired,
}

/// What the telephone's display would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No call.
    Idle,
    /// Calling; `ringing` once the far end rings.
    Calling {
        /// A 180 or 183 came.
        ringing: bool,
    },
    /// It rings.
    Ringing,
    /// In a call.
    Talking {
        /// On hold by this telephone.
        held: bool,
    },
}

/// A telephone.
#[derive(Debug)]
pub struct Phone {
    config: Config,
    random: ChaCha8Rng,
    on: bool,
    registration: Registration,
    call: Option<Call>,
    ear: Ear,
    clients: BTreeMap<String, Client>,
    servers: BTreeMap<(String, MethodName), Server>,
    /// re-INVITEs that are still thought about.
    asked: Vec<(Instant, (String, MethodName))>,
    /// INVITEs to which nothing is said yet.
    unheard: Vec<(Instant, (String, MethodName))>,
    ghosts: Vec<Ghost>,
    /// By number.
    lamps: BTreeMap<String, Lamp>,
    framer: Framer,
    outputs: VecDeque<PhoneOutput>,
}

/// A method as a key; an ACK counts as the INVITE it belongs to.
type MethodName = String;

impl Phone {
    /// A telephone, switched on but not registered. All its random choices come from the seed.
    pub fn new(config: Config, seed: u64) -> Phone {
        Phone {
            config,
            random: ChaCha8Rng::seed_from_u64(seed),
            on: true,
            registration: Registration::default(),
            call: None,
            ear: Ear::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            asked: Vec::new(),
            unheard: Vec::new(),
            ghosts: Vec::new(),
            lamps: BTreeMap::new(),
            framer: Framer::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes what it does when called.
    pub fn behave(&mut self, behaviour: Behaviour) {
        self.config.behaviour = behaviour;
    }

    /// Changes its manners.
    pub fn teach(&mut self, manners: Manners) {
        self.config.manners = manners;
    }

    /// Whether both sides have described their sound, and so may be heard, and this one has nothing new to say of it.
    pub fn is_settled(&self) -> bool {
        let settled = |call: &Call| call.agreement == Agreement::Settled && matches!(call.change, Change::None);
        self.call.as_ref().is_some_and(settled)
    }

    /// Who is at the other end, as far as this telephone knows: the number dialled, or the caller's.
    pub fn far(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.far.as_str())
    }

    /// The Call-ID of its call.
    pub fn call_id(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.dialog.call_id.as_str())
    }

    /// Whether it was put on hold by the other side.
    pub fn is_held(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.held_by_other)
    }

    /// Whether it speaks, as things stand.
    pub fn speaks(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.stream.sends())
    }

    /// Where its sound comes from: what comes from elsewhere belongs to another call.
    pub fn listens_to(&self) -> Option<SocketAddr> {
        self.call.as_ref()?.stream.source()
    }

    /// The tag that this telephone gave its call.
    pub fn tag(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.dialog.local_tag.as_str())
    }

    /// The tag that the other side gave the call, once it has: it names its dialog there.
    pub fn remote_tag(&self) -> Option<&str> {
        self.call.as_ref()?.dialog.remote_tag.as_deref()
    }

    /// What it hears, since its last call began.
    pub fn ear(&self) -> &Ear {
        &self.ear
    }

    /// Forgets the sound heard so far.
    pub fn listen_anew(&mut self) {
        self.ear.forget_sound();
    }

    /// What its display shows.
    pub fn status(&self) -> Status {
        self.call.as_ref().map_or(Status::Idle, Call::status)
    }

    /// Whether it believes itself registered.
    pub fn is_registered(&self) -> bool {
        self.registration.is_up()
    }

    /// Whether nothing is under way: no call, no request unanswered. An INVITE of a call that is over is not waited for.
    pub fn is_quiet(&self) -> bool {
        let awaited = |client: &Client| client.is_open() && client.request.method != Method::Invite;
        self.call.is_none()
            && !self.clients.values().any(awaited)
            && !self.servers.values().any(|s| !s.is_answered())
            && self.ghosts.is_empty()
    }

    /// The plug is pulled: calls and transactions are forgotten without a word, and nothing is heard or answered any more.
    pub fn vanish(&mut self) {
        self.on = false;
        self.registration = Registration::default();
        self.call = None;
        self.clients.clear();
        self.servers.clear();
        self.asked.clear();
        self.unheard.clear();
        self.ghosts.clear();
        self.lamps.clear();
        self.framer = Framer::default();
        self.outputs.clear();
    }

    /// The plug is put back.
    pub fn come_back(&mut self) {
        self.on = true;
    }

    /// Whether it is switched on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// One input, handled to its end.
    pub fn handle(&mut self, now: Instant, input: PhoneInput) {
        if !self.on {
            return;
        }
        match input {
            PhoneInput::Sip(bytes, from) if self.config.transport == Transport::Tcp => {
                self.framer.push(&bytes);
                while let Some(message) = self.framer.next() {
                    self.receive(now, &message, from);
                }
            }
            PhoneInput::Sip(bytes, from) => self.receive(now, &bytes, from),
            PhoneInput::Rtp(bytes, from) => self.hear(now, &bytes, from),
            PhoneInput::Disconnected => {
                self.framer = Framer::default();
                self.registration.try_again(now);
                self.renew_lamps(now);
            }
            PhoneInput::Tick => {}
        }
        self.elapse(now);
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<PhoneOutput> {
        self.outputs.pop_front()
    }

    /// When [`PhoneInput::Tick`] is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        if !self.on {
            return None;
        }
        self.clients
            .values()
            .filter_map(Client::next_timeout)
            .chain(self.servers.values().filter_map(Server::next_timeout))
            .chain(self.registration.next_timeout())
            .chain(self.call.as_ref().and_then(Call::next_timeout))
            .chain(self.asked.iter().chain(&self.unheard).map(|(at, _)| *at))
            .chain(self.ghosts.iter().map(Ghost::next_timeout))
            .chain(self.lamps_due())
            .min()
    }

    fn hear(&mut self, now: Instant, packet: &[u8], from: SocketAddr) {
        let Some(call) = self.call.as_ref().filter(|call| call.stream.source() == Some(from)) else { return };
        if let Some(digit) = self.ear.hear(now, packet, |format| call.stream.codec(format)) {
            self.tell(Event::Digit(digit));
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(PhoneOutput::Event(event));
    }

    fn send(&mut self, bytes: Bytes, to: SocketAddr) {
        self.outputs.push_back(PhoneOutput::Sip(bytes, to));
    }

    fn is_reliable(&self) -> bool {
        self.config.transport == Transport::Tcp
    }

    /// Sends a request under a transaction of its own; its branch is returned.
    fn send_request(&mut self, now: Instant, request: rsip::Request, purpose: Purpose, authorised: bool) -> String {
        let branch =
            Essentials::of(&request).map(|essentials| essentials.branch).expect("this telephone wrote the request");
        self.send(message::encode(request.clone()), self.config.registrar);
        let client = Client::begin(now, request, purpose, authorised, self.is_reliable());
        self.clients.insert(branch.clone(), client);
        branch
    }

    fn token(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token())
    }

    /// Its address of record.
    fn address_of_record(&self) -> rsip::Uri {
        message::uri(Some(&self.config.user), rsip::Host::from(self.config.domain.as_str()).into())
    }

    /// A From or To of its own.
    fn identity(&self, tag: &str) -> String {
        format!("<{}>;tag={tag}", self.address_of_record())
    }

    fn contact(&self) -> rsip::Header {
        let uri = message::uri(Some(&self.config.user), self.config.sip.into());
        let transport = if self.is_reliable() { ";transport=tcp" } else { "" };
        rsip::Header::Contact(format!("<{uri}{transport}>").into())
    }

    /// A request with a fresh branch.
    fn request(&mut self, method: Method, head: Head, extra: Vec<rsip::Header>, body: Option<Body>) -> rsip::Request {
        use rsip::Header;
        let transport = if self.is_reliable() { "TCP" } else { "UDP" };
        let branch = self.branch();
        let mut headers = rsip::Headers::default();
        headers.push(Header::Via(message::via(transport, self.config.sip, &branch).into()));
        headers.extend(head.route.into_iter().map(|route| Header::Route(route.into())).collect());
        headers.push(Header::MaxForwards("70".into()));
        headers.push(Header::From(head.from.into()));
        headers.push(Header::To(head.to.into()));
        headers.push(Header::CallId(head.call_id.into()));
        headers.push(Header::CSeq(format!("{} {method}", head.cseq).into()));
        headers.push(Header::UserAgent("test phone".into()));
        headers.extend(extra);
        let mut request =
            rsip::Request { method, uri: head.target, version: rsip::Version::V2, headers, body: Vec::new() };
        message::with_body(&mut request.headers, &mut request.body, body);
        request
    }
}

/// What says where a request belongs.
struct Head {
    target: rsip::Uri,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    route: Vec<String>,
}

#[cfg(test)]
mod tests;
