//! One leg: everything about the streams to and from one telephone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::bridge::Joined;
use crate::clock::Clock;
use crate::command::{Codec, Event, LegId, LegStats, Port, Repeat, SoundId, Stream, StreamStart};
use crate::dtmf::{Generator, Key, Listener};
use crate::egress::{Egress, Feeder, Place, Source};
use crate::latch::{Latch, RtcpLatch};
use crate::net::{Channel, Net};
use crate::player::{Due, Player};
use crate::reception::{Arrival, Reception};
use crate::rtcp::{LONGEST, Reporter, Sent};
use crate::rtp::{self, Header};
use crate::sound::{LONGEST as LONGEST_SOUND, PACKETS, Sounds};

/// After each of these without RTP the engine is told.
const QUIET: Duration = Duration::from_secs(60);

/// One telephone's end of a media stream: all that is known of it, so that it can go from one worker to another (see [`Command::Detach`]). From outside it
/// is a name.
///
/// [`Command::Detach`]: crate::Command::Detach
#[derive(Debug)]
pub struct Leg {
    pub(crate) id: LegId,
    pub(crate) port: Port,
    /// Who hears it.
    pub(crate) joined: Joined,
    /// When time next brings something; until then a turn has nothing to do but to pass on what comes.
    due: Option<Instant>,
    /// What its telephone hears instead of whoever it is joined to, and how many there were before.
    player: Option<Player>,
    played: u32,
    phase: Phase,
    stats: LegStats,
}

#[derive(Debug)]
enum Phase {
    /// No offer/answer exchange has come to its end.
    Opened(StreamStart),
    Settled(Box<Settled>),
}

/// What a leg is once both sides agreed on its streams.
#[derive(Debug)]
struct Settled {
    stream: Stream,
    /// `None` as long as the telephone has named no address.
    latch: Option<Latch>,
    rtcp_latch: RtcpLatch,
    /// When RTP last came, and how often the engine has been told since that it does not.
    heard: Instant,
    told: u32,
    reception: Reception,
    listener: Listener,
    egress: Egress,
    /// The codec of the sound last sent.
    sounded: Option<Codec>,
    generator: Generator,
    reporter: Reporter,
}

/// A packet that was taken from a telephone, on its way to whoever hears it. Its bytes are in the worker's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    source: Source,
    codec: Codec,
    header: Header,
    /// The length of its payload.
    pub(crate) payload: usize,
}

/// There is one leg of a name, wherever it is.
impl PartialEq for Leg {
    fn eq(&self, other: &Leg) -> bool {
        self.id == other.id
    }
}

impl Eq for Leg {}

impl Leg {
    /// Its name.
    pub fn id(&self) -> LegId {
        self.id
    }

    pub(crate) fn new(id: LegId, port: Port, start: StreamStart) -> Leg {
        let (phase, stats) = (Phase::Opened(start), LegStats::default());
        Leg { id, port, joined: Joined::Nobody, due: None, player: None, played: 0, phase, stats }
    }

    /// An exchange of offer and answer settled this.
    pub(crate) fn update(&mut self, now: Instant, stream: Stream) {
        match &mut self.phase {
            Phase::Opened(start) => self.phase = Phase::Settled(Box::new(Settled::new(now, *start, stream))),
            Phase::Settled(settled) => settled.update(now, stream),
        }
        self.due = Some(now);
    }

    /// Presses keys towards the telephone. Those for which there is no room, or no payload type, are counted.
    pub(crate) fn send_digits(&mut self, now: Instant, digits: &[u8]) {
        let refused = match &mut self.phase {
            Phase::Settled(settled) if settled.event_type().is_some() => settled.generator.push(digits),
            Phase::Settled(_) | Phase::Opened(_) => digits.len(),
        };
        self.stats.unsent += refused as u64;
        self.due = Some(now);
    }

    /// The telephone hears a sound of the switch's.
    pub(crate) fn play(&mut self, now: Instant, sound: SoundId, repeat: Repeat) {
        self.due = Some(now);
        self.played = self.played.wrapping_add(1);
        self.player = Some(Player::new(sound, repeat, self.played));
    }

    /// What is played ends when somebody else is heard, or soon.
    pub(crate) fn hush(&mut self, now: Instant) {
        if let Some(player) = &mut self.player {
            player.hush(now);
            self.due = Some(now);
        }
    }

    /// The feed of the stream to the telephone ends here: whatever comes next is another.
    pub(crate) fn interrupt(&mut self) {
        if let Phase::Settled(settled) = &mut self.phase {
            settled.egress.interrupt();
        }
    }

    /// Takes a datagram from the RTP socket. What it returns is to be heard by others.
    pub(crate) fn ingress(
        &mut self,
        now: Instant,
        clock: &Clock,
        from: SocketAddr,
        datagram: &[u8],
        events: &mut impl FnMut(Event),
    ) -> Option<Packet> {
        let (id, stats) = (self.id, &mut self.stats);
        let (Phase::Settled(settled), Some((header, payload))) = (&mut self.phase, rtp::read(datagram)) else {
            stats.unusable += 1;
            return None;
        };
        let codec = settled.stream.incoming.codec(header.payload_type);
        if !settled.admits(now, from, header, codec) {
            *if codec.is_some() { &mut stats.strangers } else { &mut stats.unusable } += 1;
            return None;
        }
        (settled.heard, settled.told) = (now, 0);
        let event = matches!(codec, Some(Codec::TelephoneEvent { .. }));
        let generation = settled.reception.generation();
        match settled.reception.take(now, clock, header, codec.filter(|_| !event).map(Codec::clock_rate)) {
            Arrival::New => {}
            Arrival::Late => stats.reordered += 1,
            Arrival::Duplicate => {
                stats.duplicate += 1;
                return None;
            }
            Arrival::Stray => {
                stats.unusable += 1;
                return None;
            }
        }
        let mut up = |Key { digit, held }| events(Event::Dtmf { leg: id, digit, duration: held });
        if generation != settled.reception.generation() {
            settled.listener.restart(&mut up);
        }
        let Some(codec) = codec.filter(|_| settled.stream.receive) else {
            stats.unusable += 1;
            settled.reception.withhold();
            return None;
        };
        stats.received += 1;
        stats.received_bytes += payload.len() as u64;
        let mut rate = codec.clock_rate();
        if event {
            settled.listener.hear(now, header.timestamp, payload, rate, &mut up);
            self.due = earlier(self.due, settled.listener.expires());
            // The timestamp is in the clock of the sound it interrupts, whatever that of its duration: one SSRC has one (RFC 3550 §5.1).
            rate = settled.reception.sound_rate().unwrap_or(rate);
        }
        let source = Source { feeder: Feeder::Leg(id), generation: settled.reception.generation(), rate };
        Some(Packet { source, codec, header, payload: payload.len() })
    }

    /// Makes a packet that was taken from somebody one of this leg's stream: `datagram` is rewritten. Where it is to be sent, if it is.
    pub(crate) fn relay(&mut self, now: Instant, packet: Packet, datagram: &mut [u8]) -> Option<SocketAddr> {
        let Phase::Settled(settled) = &mut self.phase else { return None };
        // Our own stream, come back (RFC 3550 §8.2): an address that a telephone named leads to one of our ports. It would go round for ever.
        if packet.header.ssrc == settled.egress.ssrc() {
            self.stats.unsent += 1;
            return None;
        }
        match self.player {
            Some(player) if player.gives_way() => self.player = None,
            Some(_) => return None,
            None => {}
        }
        let Some(to) = settled.destination().filter(|_| !settled.generator.sounding()) else {
            settled.egress.interrupt();
            return None;
        };
        let Some(payload_type) = settled.stream.outgoing.payload_type(packet.codec) else {
            settled.egress.interrupt();
            self.stats.unsent += 1;
            return None;
        };
        let event = matches!(packet.codec, Codec::TelephoneEvent { .. });
        let Header { sequence, timestamp, marker, .. } = packet.header;
        let Some(place) = settled.egress.place(now, packet.source, sequence, timestamp, event) else {
            self.stats.unsent += 1;
            return None;
        };
        if !event {
            settled.sounded = Some(packet.codec);
        }
        rtp::rewrite(datagram, settled.header(payload_type, marker, place));
        Some(to)
    }

    /// Sends a packet of this leg's stream, and counts it.
    pub(crate) fn send(&mut self, to: SocketAddr, packet: &[u8], payload: usize, net: &mut impl Net) {
        if net.send(self.port, Channel::Rtp, to, packet) {
            self.stats.sent += 1;
            self.stats.sent_bytes += payload as u64;
        } else {
            self.stats.unsent += 1;
        }
    }

    /// Takes a datagram from the RTCP socket.
    pub(crate) fn ingress_rtcp(&mut self, now: Instant, clock: &Clock, from: SocketAddr, datagram: &[u8]) {
        let Phase::Settled(settled) = &mut self.phase else {
            self.stats.unusable += 1;
            return;
        };
        let rtcp = &mut settled.rtcp_latch;
        if !settled.latch.as_ref().is_some_and(|latch| rtcp.admits(latch, from)) {
            self.stats.strangers += 1;
            return;
        }
        match settled.reporter.read(now, clock, datagram) {
            Ok(Some(heard)) => {
                self.stats.reported_loss = heard.fraction_lost;
                if let Some(time) = heard.round_trip {
                    self.stats.round_trip_us = time.as_micros() as u32;
                }
            }
            Ok(None) => {}
            Err(_) => self.stats.unusable += 1,
        }
    }

    /// Whether time brings something: to [`press`](Self::press), or to [`tick`](Self::tick).
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// What time itself brings, but for our own digits: the end of a key, our own sounds, reports, the silence of the telephone.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        clock: &Clock,
        sounds: &Sounds,
        net: &mut impl Net,
        events: &mut impl FnMut(Event),
    ) {
        let leg = self.id;
        let Phase::Settled(settled) = &mut self.phase else { return };
        settled.listener.expire(now, &mut |Key { digit, held }| events(Event::Dtmf { leg, digit, duration: held }));
        let minutes = (now.saturating_duration_since(settled.heard).as_secs() / QUIET.as_secs()) as u32;
        if minutes > settled.told {
            settled.told = minutes;
            events(Event::Silent { leg, quiet: QUIET * minutes });
        }
        let report = settled.reporter.due(now);
        if self.player.is_some() {
            self.speak(now, clock, sounds, net, events);
        }
        if report {
            self.report(now, clock, false, net);
        }
        self.due = match &self.phase {
            Phase::Settled(settled) => earlier(Some(settled.next(now)), self.player.map(|player| player.wakes(now))),
            Phase::Opened(_) => None,
        };
    }

    /// Sends what is due of our own digits.
    pub(crate) fn press(&mut self, now: Instant, net: &mut impl Net) {
        let Phase::Settled(settled) = &mut self.phase else { return };
        if !settled.generator.busy() {
            return;
        }
        let (Some(to), Some((payload_type, rate))) = (settled.destination(), settled.event_type()) else {
            self.stats.unsent += settled.generator.clear() as u64;
            return;
        };
        // One SSRC has one clock (RFC 3550 §5.1): where that of the digits is another, it counts their durations only.
        let clock = settled.sound_rate();
        let egress = &mut settled.egress;
        let Some(step) = settled.generator.step(now, rate, || egress.interject(now, clock)) else { return };
        let header = Header {
            payload_type,
            marker: step.first,
            sequence: egress.number(),
            timestamp: step.timestamp,
            ssrc: egress.ssrc(),
        };
        self.send(to, &rtp::event_packet(header, step.payload), step.payload.len(), net);
    }

    /// Sends what is due of the sound that is played.
    fn speak(
        &mut self,
        now: Instant,
        clock: &Clock,
        sounds: &Sounds,
        net: &mut impl Net,
        events: &mut impl FnMut(Event),
    ) {
        let (Phase::Settled(settled), Some(player)) = (&mut self.phase, &mut self.player) else { return };
        let (nth, of_sound) = match player.due(now, clock, sounds) {
            Due::Nothing => return,
            Due::Packet { nth, of_sound, skipped } => {
                // What we left out ourselves, the network has not lost.
                if skipped {
                    settled.egress.interrupt();
                }
                (nth, of_sound)
            }
            Due::Over(play) => {
                self.player = None;
                if let Some(play) = play {
                    events(Event::Played { leg: self.id, play });
                }
                return;
            }
        };
        let Some(to) = settled.destination().filter(|_| !settled.generator.sounding()) else {
            return settled.egress.interrupt();
        };
        let sound = sounds.get(player.sound);
        let payload = settled.voice().and_then(|(payload_type, codec)| {
            sound?.payload(codec, of_sound).map(|payload| (payload_type, codec, payload))
        });
        let Some((payload_type, codec, payload)) = payload else {
            settled.egress.interrupt();
            self.stats.unsent += 1;
            return;
        };
        let rate = codec.clock_rate();
        let source = Source { feeder: Feeder::Player, generation: player.generation, rate };
        let timestamp = nth.wrapping_mul(rate / PACKETS);
        let Some(place) = settled.egress.place(now, source, nth as u16, timestamp, false) else { return };
        settled.sounded = Some(codec);
        let mut packet = [0; rtp::HEADER + LONGEST_SOUND];
        let length = rtp::write(settled.header(payload_type, false, place), payload, &mut packet);
        self.send(to, &packet[..length], payload.len(), net);
    }

    fn report(&mut self, now: Instant, clock: &Clock, bye: bool, net: &mut impl Net) {
        let Phase::Settled(settled) = &mut self.phase else { return };
        let Some(to) = settled.rtcp_destination() else { return };
        let timestamp = settled.egress.timestamp(now, settled.sound_rate());
        let sent = Sent { timestamp, packets: self.stats.sent, bytes: self.stats.sent_bytes };
        let mut packet = [0; LONGEST];
        let length = settled.reporter.write(now, clock, sent, settled.reception.report(), bye, &mut packet);
        // A report that is lost is followed by the next.
        net.send(self.port, Channel::Rtcp, to, &packet[..length]);
    }

    /// The end: says BYE, unless nothing was ever said (RFC 3550 §6.3.7), and gives the account.
    pub(crate) fn close(&mut self, now: Instant, clock: &Clock, net: &mut impl Net) -> LegStats {
        let spoke = match &self.phase {
            Phase::Settled(settled) => self.stats.sent > 0 || settled.reporter.spoke(),
            Phase::Opened(_) => false,
        };
        if spoke {
            self.report(now, clock, true, net);
        }
        self.stats()
    }

    /// What the leg has seen so far.
    pub(crate) fn stats(&self) -> LegStats {
        match &self.phase {
            Phase::Opened(_) => self.stats,
            Phase::Settled(settled) => LegStats {
                lost: settled.reception.lost(),
                jitter_us: settled.reception.jitter_us(),
                peer: settled.latch.as_ref().and_then(Latch::peer),
                ..self.stats
            },
        }
    }
}

impl Settled {
    fn new(now: Instant, start: StreamStart, stream: Stream) -> Settled {
        Settled {
            latch: stream.remote.map(|remote| Latch::new(now, remote)),
            stream,
            rtcp_latch: RtcpLatch::default(),
            heard: now,
            told: 0,
            reception: Reception::default(),
            listener: Listener::default(),
            egress: Egress::new(start),
            sounded: None,
            generator: Generator::new(),
            reporter: Reporter::new(now, start),
        }
    }

    fn update(&mut self, now: Instant, stream: Stream) {
        // An address taken away (hold by `c=0.0.0.0`) leaves the lock as it is, for the telephone that comes back to it.
        match (&mut self.latch, stream.remote) {
            (Some(latch), Some(remote)) => {
                if latch.signal(now, remote, now.saturating_duration_since(self.heard)) {
                    self.rtcp_latch = RtcpLatch::default();
                }
            }
            (latch @ None, Some(remote)) => *latch = Some(Latch::new(now, remote)),
            (_, None) => {}
        }
        self.stream = stream;
    }

    /// When time next brings something, if nothing comes until then.
    fn next(&self, now: Instant) -> Instant {
        let silence = self.heard + QUIET * (self.told + 1);
        let key = earlier(self.listener.expires(), self.generator.next(now));
        let regular = self.reporter.next().min(silence);
        key.map_or(regular, |key| key.min(regular))
    }

    /// Whether a packet is the telephone's. Only what is RTP as agreed may take the leg (see `latch`); what is not is still known by its source
    /// (a keep-alive, RFC 6263 §4.6, or comfort noise nobody asked for), so that its number is not taken for lost.
    fn admits(&mut self, now: Instant, from: SocketAddr, header: Header, codec: Option<Codec>) -> bool {
        let Some(latch) = &mut self.latch else { return false };
        match codec {
            Some(_) => latch.admits(now, from),
            None => latch.peer() == Some(from) && self.reception.knows(header.ssrc),
        }
    }

    /// Where sound goes, if the telephone wants any.
    fn destination(&self) -> Option<SocketAddr> {
        self.stream.remote?;
        self.latch.as_ref().filter(|_| self.stream.send).map(Latch::destination)
    }

    /// Where reports go. Their direction is not that of the sound: a stream on hold has reports too (RFC 3264 §5.1).
    fn rtcp_destination(&self) -> Option<SocketAddr> {
        let signalled = self.stream.remote_rtcp?;
        self.rtcp_latch.destination(self.latch.as_ref()?, signalled)
    }

    /// The header of a packet of sound. The first of its feed has the marker (RFC 3551 §4.1).
    fn header(&self, payload_type: u8, marker: bool, place: Place) -> Header {
        Header {
            payload_type,
            marker: marker || place.first,
            sequence: place.sequence,
            timestamp: place.timestamp,
            ssrc: self.egress.ssrc(),
        }
    }

    /// Payload type and codec of what we say ourselves: what the telephone heard last, so that it need not change, or what it prefers.
    fn voice(&self) -> Option<(u8, Codec)> {
        let sounds = |(_, codec): &&(u8, Codec)| !matches!(codec, Codec::TelephoneEvent { .. });
        let outgoing = &self.stream.outgoing.0;
        let same = outgoing.iter().find(|(_, codec)| Some(*codec) == self.sounded);
        same.or_else(|| outgoing.iter().find(sounds)).copied()
    }

    /// The clock of the sound we send: that of the last, else of the codec preferred.
    fn sound_rate(&self) -> u32 {
        let mut codecs = self.stream.outgoing.0.iter().map(|(_, codec)| *codec);
        let preferred = codecs.find(|codec| !matches!(codec, Codec::TelephoneEvent { .. }));
        self.egress.rate().or(preferred.map(Codec::clock_rate)).unwrap_or(8000)
    }

    /// Payload type and clock of the digits we send: the clock of the sound (RFC 4733 §2.1), or, where the telephone agreed to no such events,
    /// the one it prefers, as some answer Opus with events at 8000 Hz. Digits that are a little odd are better than none.
    fn event_type(&self) -> Option<(u8, u32)> {
        let sound = self.sound_rate();
        let mut events = self.stream.outgoing.0.iter().filter_map(|&(payload_type, codec)| match codec {
            Codec::TelephoneEvent { rate } => Some((payload_type, rate)),
            _ => None,
        });
        let preferred = events.clone().next();
        events.find(|(_, rate)| *rate == sound).or(preferred)
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
