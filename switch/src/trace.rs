//! A trace in a file: what the engine and the media threads saw of the wire, as Wireshark reads it.
//!
//! A thread of its own writes, at its own pace. SIP comes to it through a bounded queue, sound through a ring for each media thread; what does not fit is
//! counted, and no call waits for the disk. The file ends when it is as large as it may be, or the disk refuses.

mod packet;
mod pcapng;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use media::Port;
use media::net::Channel as Socket;
use media::tap::{Reader, Tap, Wanted, tap};

use self::packet::{Ends, Packets};
use self::pcapng::Pcapng;
use crate::clock;
use crate::engine::Seen;
use crate::node::Channel;

/// SIP messages that may wait for the disk.
const QUEUE: usize = 4096;
/// Bytes of sound that may wait for it, for each media thread: a fifth of a second of a thousand calls.
const RING: usize = 8 << 20;
/// Traces begun within one second.
const MOST_OF_A_SECOND: u32 = 100;
/// How often the rings are emptied.
const PACE: Duration = Duration::from_millis(20);

/// What is wanted of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Wanting {
    /// The file is no larger, in bytes.
    pub limit: u64,
    /// Of RTP, the headers without the sound.
    pub headers_only: bool,
}

/// A trace that is being written, seen from the control thread.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    queue: SyncSender<Entry>,
    wanted: Arc<Wanted>,
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

/// How it goes.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    packets: AtomicU64,
    lost: AtomicU64,
    over: AtomicBool,
}

/// The same at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Packets in it.
    pub packets: u64,
    /// Packets that found no room on their way to it.
    pub lost: u64,
}

/// What is sent to the thread.
enum Entry {
    Seen(u64, Seen),
    Rings(Vec<Reader>),
}

impl Recorder {
    /// Makes a file in the folder, named by the time, and starts to write to it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn start(folder: &Path, wanting: Wanting) -> io::Result<Recorder> {
        let stamp: String = clock::moment(clock::now().wall.0).chars().filter(char::is_ascii_digit).collect();
        let (path, file) = create(folder, &stamp)?;
        let (queue, entries) = sync_channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let telling = Arc::clone(&counts);
        let thread = thread::Builder::new().name("trace".into()).spawn(move || {
            let writer = Writer::new(file, wanting.limit, &telling);
            if let Err(error) = writer.and_then(|writer| writer.run(&entries)) {
                tracing::error!(%error, "the trace ends: its file cannot be written");
            }
            telling.over.store(true, Ordering::Relaxed);
        })?;
        Ok(Recorder { path, queue, wanted: Arc::default(), counts, thread })
    }

    /// Taps for the media threads, as many as are asked for until [`taps_made`](Self::taps_made).
    pub fn tap(&self, headers_only: bool, readers: &mut Vec<Reader>) -> Tap {
        let (tap, reader) = tap(Arc::clone(&self.wanted), RING, headers_only);
        readers.push(reader);
        tap
    }

    /// The other ends of the taps.
    pub fn taps_made(&self, readers: Vec<Reader>) {
        self.send(Entry::Rings(readers));
    }

    /// Something was seen.
    pub fn see(&self, seen: Seen) {
        match &seen {
            Seen::Leg(sound) => self.wanted.set(Port(sound.port()), true),
            Seen::LegEnded(port) => return self.wanted.set(*port, false),
            Seen::Message { .. } => {}
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        self.send(Entry::Seen(at, seen));
    }

    fn send(&self, entry: Entry) {
        match self.queue.try_send(entry) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => drop(self.counts.lost.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Whether it has ended by itself: the file is full, or the disk has refused.
    pub fn is_over(&self) -> bool {
        self.counts.over.load(Ordering::Relaxed)
    }

    /// How it goes.
    pub fn progress(&self) -> Progress {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { bytes, packets, lost, .. } = &*self.counts;
        Progress { path: self.path.clone(), bytes: count(bytes), packets: count(packets), lost: count(lost) }
    }

    /// Ends it: all that was seen is in the file when this returns.
    pub fn stop(self) -> Progress {
        let Recorder { path, queue, counts, thread, .. } = self;
        drop(queue);
        if thread.join().is_err() {
            tracing::error!("the thread that writes the trace has panicked");
        }
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress { path, bytes: count(&counts.bytes), packets: count(&counts.packets), lost: count(&counts.lost) }
    }
}

/// A file of its own, also for the second trace of one second.
fn create(folder: &Path, stamp: &str) -> io::Result<(PathBuf, File)> {
    let mut copy = 1;
    loop {
        let name = if copy == 1 { format!("trace-{stamp}.pcapng") } else { format!("trace-{stamp}-{copy}.pcapng") };
        let path = folder.join(name);
        // What is said in calls is nobody else's.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && copy < MOST_OF_A_SECOND => copy += 1,
            made => return made.map(|file| (path, file)),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { path, bytes, packets, lost } = self;
        write!(f, "{}: {packets} packets, {} kB", path.display(), bytes / 1000)?;
        if *lost > 0 { write!(f, "; {lost} found no room on their way to it") } else { Ok(()) }
    }
}

/// The thread's own.
struct Writer<'a> {
    file: Pcapng<BufWriter<File>>,
    limit: u64,
    counts: &'a Counts,
    rings: Vec<Reader>,
    /// What phones were told to send to: which address a port is at.
    ports: BTreeMap<Port, IpAddr>,
    packets: Packets,
    /// Lost in the rings, as far as it was counted.
    lost: u64,
}

/// A packet, and when it was seen.
struct Frame {
    at_usec: u64,
    incoming: bool,
    /// How long it would be, whole.
    length: usize,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn new(file: File, limit: u64, counts: &Counts) -> io::Result<Writer<'_>> {
        let file = Pcapng::new(BufWriter::new(file))?;
        let (rings, ports) = (Vec::new(), BTreeMap::new());
        Ok(Writer { file, limit, counts, rings, ports, packets: Packets::default(), lost: 0 })
    }

    /// Until nobody sends any more, or the file is full.
    fn run(mut self, entries: &Receiver<Entry>) -> io::Result<()> {
        loop {
            // How much waits in the rings is asked first: what is told of a leg has then come before its sound.
            let waiting: Vec<usize> = self.rings.iter().map(Reader::waiting).collect();
            let mut frames = Vec::new();
            let mut ending = false;
            match entries.recv_timeout(PACE) {
                Ok(entry) => self.take(entry, &mut frames),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => ending = true,
            }
            while let Ok(entry) = entries.try_recv() {
                self.take(entry, &mut frames);
            }
            self.take_sound(&waiting, ending, &mut frames);
            // Of one turn; a turn is shorter than anybody would notice.
            frames.sort_by_key(|frame| frame.at_usec);
            for frame in frames {
                if self.file.written() + pcapng::size(frame.bytes.len()) > self.limit {
                    tracing::warn!(limit = self.limit, "the trace ends: its file is as large as it may be");
                    return self.file.flush();
                }
                self.file.packet(frame.at_usec, frame.incoming, frame.length, &frame.bytes)?;
                self.counts.packets.fetch_add(1, Ordering::Relaxed);
            }
            self.file.flush()?;
            self.counts.bytes.store(self.file.written(), Ordering::Relaxed);
            if ending {
                return Ok(());
            }
        }
    }

    fn take(&mut self, entry: Entry, frames: &mut Vec<Frame>) {
        match entry {
            Entry::Rings(rings) => self.rings = rings,
            Entry::Seen(_, Seen::Leg(sound)) => drop(self.ports.insert(Port(sound.port()), sound.ip())),
            Entry::Seen(_, Seen::LegEnded(_)) => {}
            Entry::Seen(at_usec, Seen::Message { flow, incoming, bytes }) => {
                let ends = Ends::new(flow.local, flow.peer, incoming);
                let packets = match flow.channel {
                    Channel::Udp => vec![packet::udp(ends, bytes.len(), &bytes)],
                    Channel::Tcp(_) => self.packets.tcp(ends, &bytes),
                };
                let frame = |bytes: Vec<u8>| Frame { at_usec, incoming, length: bytes.len(), bytes };
                frames.extend(packets.into_iter().map(frame));
            }
        }
    }

    /// What waited in the rings; at the end, all.
    fn take_sound(&mut self, waiting: &[usize], all: bool, frames: &mut Vec<Frame>) {
        for (index, ring) in self.rings.iter_mut().enumerate() {
            let left_over = ring.waiting().saturating_sub(waiting.get(index).copied().unwrap_or_default());
            while all || ring.waiting() > left_over {
                let Some(seen) = ring.read() else { break };
                let Some(ip) = self.ports.get(&seen.port) else { continue };
                let port = seen.port.0 + u16::from(seen.channel == Socket::Rtcp);
                let ends = Ends::new(SocketAddr::new(*ip, port), seen.peer, seen.incoming);
                let bytes = packet::udp(ends, seen.length, seen.bytes);
                let length = bytes.len() + seen.length - seen.bytes.len();
                frames.push(Frame { at_usec: seen.at_usec, incoming: seen.incoming, length, bytes });
            }
        }
        let lost = self.rings.iter().map(Reader::lost).sum::<u64>();
        self.counts.lost.fetch_add(lost - self.lost, Ordering::Relaxed);
        self.lost = lost;
    }
}

impl<W: Write> fmt::Debug for Pcapng<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pcapng").field("written", &self.written()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
