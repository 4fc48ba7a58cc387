//! What the switch and the telephones send, carried to where it goes through the world's weather, and what the switch asks of store, media
//! and helpers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cas::cas::{Finding, Job, Work};
use switch::demo::phone::{Ask, Config, End, Event, PhoneInput, PhoneOutput, Status, Transport};
use switch::node::{Channel, Flow, Input, Output, StreamId};

use super::cast::Line;
use super::deed::Deed;
use super::network::below;
use super::{Due, PhoneId, World, site, switch_address, trace};

/// No message is under way for longer.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// By then a telephone has given up the second answer of a call.
const GIVEN_UP: Duration = Duration::from_secs(70);

/// A TCP connection of a telephone: it delivers in order.
#[derive(Debug)]
pub(super) struct Stream {
    phone: PhoneId,
    to_switch: Instant,
    to_phone: Instant,
}

impl World {
    /// Does what the switch asks.
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(flow, bytes) => self.send_from_node(flow, bytes),
            Output::Connect(stream, peer) if self.accepts(stream, peer) => {}
            Output::Connect(stream, peer) => {
                // Telephones accept no connections: they keep one of their own. What one in a call is not told of, it does not know.
                let is_it = |config: &Config| config.transport == Transport::Tcp && config.sip == peer;
                for line in self.phones.iter_mut().filter(|line| is_it(line.phone.config())) {
                    line.stale |= line.phone.status() != Status::Idle;
                }
                self.schedule(Duration::from_millis(1), Due::Node(Box::new(Input::FlowClosed(stream))));
            }
            Output::Close(stream) if self.visitors.remove(&stream).is_some() => {
                self.wire.broke(stream);
                self.schedule(Duration::from_millis(1), Due::Node(Box::new(Input::FlowClosed(stream))));
            }
            Output::Close(stream) => self.cut(stream, true),
            Output::Resolve(peer) => {
                let resolved = Input::Resolved(peer, Some(switch_address()));
                self.schedule(Duration::from_millis(1), Due::Node(Box::new(resolved)));
            }
            Output::Media(worker, command) => {
                self.note(|| match &command {
                    media::Command::Attach(leg) => format!("switch → media  {worker:?} Attach({:?})", leg.id()),
                    command => format!("switch → media  {worker:?} {command:?}"),
                });
                if let Err(breach) = self.plane.command(self.now.mono, worker, command) {
                    self.fail(&breach);
                }
            }
            Output::Store(who, id, request) => {
                let delay = self.store_delay + Duration::from_millis(u64::from(below(&mut self.random, 30)));
                let last = self.store_queue.last().map_or(self.now.mono, |(at, ..)| *at);
                self.store_queue.push((last.max(self.now.mono + delay), who, id, request));
            }
            Output::Help(Job { id, work }) => {
                let delay = Duration::from_millis(10 + u64::from(below(&mut self.random, 40)));
                self.schedule(delay, Due::Node(Box::new(Input::Helped(id, help(work)))));
            }
            Output::Reply(id, reply) => {
                if !self.unanswered.remove(&id) {
                    self.fail("a reply to a request that was answered, or never made");
                }
                self.replies.insert(id, reply);
            }
            Output::Traced(_) => {}
            Output::Stopped => self.stops += 1,
        }
    }

    fn send_from_node(&mut self, flow: Flow, bytes: Bytes) {
        let phone = match flow.channel {
            Channel::Tcp(stream) if self.visitors.contains_key(&stream) => None,
            Channel::Udp => {
                self.phones.iter().position(|line| line.phone.config().sip.ip() == flow.peer.ip()).map(PhoneId)
            }
            Channel::Tcp(stream) => match self.streams.get(&stream) {
                Some(stream) => Some(stream.phone),
                // Cut a moment ago: the switch is about to be told. What it says now, nobody hears.
                None => {
                    let of_peer = |line: &&mut Line| line.phone.config().sip.ip() == flow.peer.ip();
                    for line in self.phones.iter_mut().filter(of_peer) {
                        line.stale |= line.phone.status() != Status::Idle;
                    }
                    return self.shake();
                }
            },
        };
        let name = phone.map_or_else(|| flow.peer.to_string(), |phone| self.phones[phone.0].name());
        self.note(|| format!("switch → {name}  {}", trace::sip(&bytes)));
        if let Err(breach) = self.wire.leaves(self.now.mono, stream_of(flow), &bytes) {
            self.fail(&breach);
        }
        if let Some(phone) = phone {
            self.check_orders(phone, &bytes);
        }
        match (phone, flow.channel) {
            (None, _) => self.strangers.entry(flow.peer).or_default().push(bytes),
            (Some(phone), Channel::Udp) => {
                for delay in self.weather.copies(&mut self.random) {
                    self.schedule(delay, Due::Sip(phone, bytes.clone()));
                }
            }
            (Some(phone), Channel::Tcp(stream)) => {
                let arrival = self.now.mono + self.weather.delay(&mut self.random);
                let at = self.streams.get_mut(&stream).map_or(arrival, |stream| {
                    stream.to_phone = stream.to_phone.max(arrival);
                    stream.to_phone
                });
                self.schedule_at(at, Due::Sip(phone, bytes));
            }
        }
    }

    /// Hands a telephone an input and carries out what it causes.
    pub(super) fn tell_phone(&mut self, id: PhoneId, input: PhoneInput) {
        self.phones[id.0].phone.handle(self.now.mono, input);
        self.drain_phone(id);
    }

    /// Carries out what a telephone wants done.
    pub(super) fn drain_phone(&mut self, id: PhoneId) {
        while let Some(output) = self.phones[id.0].phone.poll_output() {
            match output {
                PhoneOutput::Event(event) => self.phone_event(id, event),
                PhoneOutput::Rtp(bytes, to) => {
                    let from = self.phones[id.0].phone.config().rtp;
                    if to.ip() != switch_address().ip() {
                        self.fail(&format!("the switch told a telephone to send its sound to {to}"));
                    }
                    self.spoke(id, &bytes, to.port());
                    if self.trace.is_full() {
                        self.note(|| format!("rtp phone {} → {}, {} bytes", id.0, to.port(), bytes.len()));
                    }
                    for delay in self.weather.copies(&mut self.random) {
                        self.schedule(delay, Due::Media(media::Port(to.port()), bytes.clone(), from));
                    }
                }
                PhoneOutput::Sip(bytes, _) => self.send_from_phone(id, &bytes),
            }
        }
        self.follow_call(id);
    }

    fn phone_event(&mut self, id: PhoneId, event: Event) {
        let name = self.phones[id.0].name();
        self.note(|| format!("{name}  {event:?}"));
        if let Event::Malformed(why) = &event {
            self.fail(&format!("{name} cannot read what the switch sent: {why}"));
        }
        if let Event::Incoming(_) = event {
            // One that was under way while the switch was restarted is nobody's.
            let tag = self.phones[id.0].phone.remote_tag();
            let known = tag.is_some_and(|tag| self.node.engine().holds_dialog(tag));
            let stale = !known && self.now.mono - self.started < UNDER_WAY;
            self.phones[id.0].renew(self.now.mono, stale);
        }
        let line = &self.phones[id.0];
        let of_stale = event == Event::LeftAlone && line.was_stale.is_some_and(|at| self.now.mono - at < GIVEN_UP);
        let lost = matches!(event, Event::Ended(End::Lost) | Event::LeftAlone);
        if lost && !line.stale && !of_stale && self.is_unshaken() {
            self.fail(&format!("{name} was left alone in calm weather: {event:?}"));
        }
        let dialled = line.phone.far().and_then(Deed::of_number);
        let by_lamp = line.phone.has_pressed_a_lamp();
        match event {
            Event::Answer(Ask::Refer, 202) => self.saw(Deed::Transferred),
            Event::Transferred(200) => self.saw(Deed::Reached),
            Event::Connected if by_lamp => self.saw(Deed::GotByLamp),
            Event::Connected => dialled.into_iter().for_each(|deed| self.saw(deed)),
            _ => {}
        }
        self.phones[id.0].take_event(event);
    }

    fn send_from_phone(&mut self, id: PhoneId, bytes: &Bytes) {
        let name = self.phones[id.0].name();
        self.note(|| format!("{name} → switch  {}", trace::sip(bytes)));
        let peer = self.phones[id.0].phone.config().sip;
        match self.phones[id.0].phone.config().transport {
            Transport::Udp => {
                let flow = Flow { channel: Channel::Udp, local: switch_address(), peer };
                for delay in self.weather.copies(&mut self.random) {
                    self.schedule(delay, Due::Node(Box::new(Input::Datagram(flow, bytes.clone()))));
                }
            }
            Transport::Tcp => self.send_on_stream(id, bytes),
        }
    }

    fn send_on_stream(&mut self, id: PhoneId, bytes: &Bytes) {
        let stream = match self.phones[id.0].stream {
            Some(stream) => stream,
            None => self.connect(id),
        };
        if !self.streams.contains_key(&stream) {
            // Cut a moment ago: the telephone is about to be told.
            return;
        }
        self.wire.arrives(self.now.mono, Some(stream), bytes);
        // A stream has no message boundaries: it may come in pieces.
        let middle = below(&mut self.random, bytes.len() as u32) as usize;
        for piece in [bytes.slice(..middle), bytes.slice(middle..)] {
            let arrival = self.now.mono + self.weather.delay(&mut self.random);
            let Some(state) = self.streams.get_mut(&stream) else { return };
            state.to_switch = state.to_switch.max(arrival);
            let at = state.to_switch;
            self.schedule_at(at, Due::Node(Box::new(Input::Stream(stream, piece))));
        }
    }

    fn connect(&mut self, phone: PhoneId) -> StreamId {
        let stream = StreamId(self.next_stream);
        self.next_stream += 2;
        let peer = SocketAddr::new(self.phones[phone.0].phone.config().sip.ip(), 30_000 + stream.0 as u16 % 30_000);
        let arrival = self.now.mono + self.weather.delay(&mut self.random);
        self.streams.insert(stream, Stream { phone, to_switch: arrival, to_phone: arrival });
        self.phones[phone.0].stream = Some(stream);
        let flow = Flow { channel: Channel::Tcp(stream), local: switch_address(), peer };
        self.schedule_at(arrival, Due::Node(Box::new(Input::FlowOpened(flow))));
        stream
    }

    /// Ends a TCP connection; the switch is told, also where it was the one who closed it, unless it is no more.
    pub(super) fn cut(&mut self, stream: StreamId, tell: bool) {
        let Some(state) = self.streams.remove(&stream) else { return };
        self.wire.broke(stream);
        self.shake();
        // A call that rings has lost its way to be cancelled.
        let line = &mut self.phones[state.phone.0];
        line.stale |= line.phone.status() == Status::Ringing;
        line.was_cut = true;
        // And what is under way to tell of a transfer is lost.
        line.phone.forget_transfers();
        self.schedule_at(state.to_phone.max(self.now.mono), Due::Cut(state.phone, stream));
        if tell {
            let at = state.to_switch.max(self.now.mono);
            self.schedule_at(at, Due::Node(Box::new(Input::FlowClosed(stream))));
        }
    }
}

fn stream_of(flow: Flow) -> Option<StreamId> {
    match flow.channel {
        Channel::Tcp(stream) => Some(stream),
        Channel::Udp => None,
    }
}

/// What a helper would find, without the hours of argon2.
fn help(work: Work) -> Finding {
    match work {
        Work::Verify { hash, password } => Finding::Verified(hash == site::hash(&password)),
        Work::Hash { passwords, .. } => {
            Finding::Hashed(passwords.iter().map(|password| site::hash(password)).collect())
        }
    }
}
