//! Sound: G.711 in packets of 20 ms, both ways over every call, each packet with its number and the time it was sent.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::sample::Times;
use crate::sockets::{self, Received, Receiver, Sender};

/// Packets of a stream follow each other so.
pub const PERIOD: Duration = Duration::from_millis(20);
/// Streams are spread over the period in so many parts, as telephones are.
const PARTS: usize = 20;
/// An RTP header and 160 samples.
const LENGTH: usize = 172;
/// How long the last packets may be under way.
const REST: Duration = Duration::from_millis(300);

/// Both ends of all calls: one socket for all callers, one for all callees.
#[derive(Debug)]
pub struct Sound {
    sockets: [UdpSocket; 2],
    /// Where the stream of each call's end is sent: callers', callees'.
    to: [Vec<SocketAddr>; 2],
    /// The next number of each stream.
    numbers: [Vec<u32>; 2],
}

/// What was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Packets sent.
    pub sent: usize,
    /// Packets that came.
    pub received: usize,
    /// From sending to receiving.
    pub delays: Times,
}

impl Heard {
    /// Which part did not come.
    pub fn loss(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }
}

impl Sound {
    /// # Errors
    /// The addresses are taken.
    pub fn open(addresses: [SocketAddr; 2]) -> std::io::Result<Sound> {
        let [callers, callees] = addresses.map(sockets::udp);
        Ok(Sound { sockets: [callers?, callees?], to: [Vec::new(), Vec::new()], numbers: [Vec::new(), Vec::new()] })
    }

    /// From now on the streams are these.
    pub fn connect(&mut self, to: [Vec<SocketAddr>; 2]) {
        self.numbers = [vec![0; to[0].len()], vec![0; to[1].len()]];
        self.to = to;
    }

    /// Sends on all streams for so long, and counts what comes out at the other ends.
    pub fn run(&mut self, time: Duration) -> Heard {
        let start = Instant::now();
        let mut heard = Heard::default();
        let (mut receiver, mut sender) = (Receiver::new(), Sender::new());
        let step = PERIOD / PARTS as u32;
        let steps = (time.as_micros() / step.as_micros()) as usize;
        for number in 0..steps {
            let due = start + step * number as u32;
            self.listen(start, due, &mut receiver, &mut heard);
            for side in 0..2 {
                heard.sent += self.speak(start, side, number % PARTS, &mut sender);
            }
        }
        self.listen(start, Instant::now() + REST, &mut receiver, &mut heard);
        heard
    }

    /// Says nothing for so long, and counts the packets that come.
    pub fn hear(&mut self, time: Duration) -> usize {
        let start = Instant::now();
        let mut heard = Heard::default();
        self.listen(start, start + time, &mut Receiver::new(), &mut heard);
        heard.received
    }

    /// What is due of one side's streams.
    fn speak(&mut self, start: Instant, side: usize, part: usize, sender: &mut Sender) -> usize {
        let mut packet = [0xff; LENGTH];
        packet[..2].copy_from_slice(&[0x80, 0]);
        let mut sent = 0;
        for (stream, to) in self.to[side].iter().enumerate().skip(part).step_by(PARTS) {
            let number = &mut self.numbers[side][stream];
            packet[2..4].copy_from_slice(&(*number as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&number.wrapping_mul(160).to_be_bytes());
            packet[8..12].copy_from_slice(&((side as u32) << 24 | (stream as u32 + 1)).to_be_bytes());
            packet[12..20].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
            *number += 1;
            sent += 1;
            sender.push(*to, &packet);
            if sender.is_full() {
                sender.flush(&self.sockets[side]);
            }
        }
        sender.flush(&self.sockets[side]);
        sent
    }

    fn listen(&self, start: Instant, until: Instant, receiver: &mut Receiver, heard: &mut Heard) {
        loop {
            let mut count = 0;
            for socket in &self.sockets {
                count += receiver.receive(socket, |Received { datagram, .. }| {
                    // Reports come to another port; what is no sound of ours is not counted.
                    let Some(sent) = datagram.get(12..20).filter(|_| datagram.len() == LENGTH) else { return };
                    let sent = Duration::from_nanos(sent.try_into().map_or(0, u64::from_be_bytes));
                    heard.received += 1;
                    heard.delays.push(start.elapsed().saturating_sub(sent));
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if count == 0 {
                sockets::wait(self.sockets.iter().map(|socket| socket as &dyn AsFd), left);
            }
        }
    }
}
