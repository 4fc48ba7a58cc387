//! Lines on their way to stderr: whoever logs leaves them here, and a thread writes what has gathered. Woken for each line, it would cost more than
//! the call that the line tells of.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How long the first line waits for others.
const GATHERING: Duration = Duration::from_millis(20);
/// How long the end of the program waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(1);
/// What may wait while whoever reads stderr is slow, in bytes. Lines beyond are dropped and counted.
const MOST: usize = 4 << 20;

/// Where lines are left.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// The first line came, or the end.
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    dropped: u64,
    ended: bool,
}

/// Writes what waits when it is dropped.
#[derive(Debug)]
pub struct Guard {
    lines: Lines,
    thread: JoinHandle<()>,
}

impl Lines {
    /// Starts the thread that writes them.
    pub(super) fn start(self, to: impl Write + Send + 'static) -> io::Result<Guard> {
        let lines = self.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || lines.carry(to))?;
        Ok(Guard { lines: self, thread })
    }

    /// How many were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    /// A thread that panicked while it held this has left it as good as it was.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(&self, mut to: impl Write) {
        let mut text = Vec::new();
        loop {
            let waiting = self.waiting();
            let idle = |waiting: &mut Waiting| waiting.text.is_empty() && !waiting.ended;
            let waiting = self.0.came.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
            let gather = |waiting: &mut Waiting| !waiting.ended;
            let gathered = self.0.came.wait_timeout_while(waiting, GATHERING, gather);
            let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut text, &mut waiting.text);
            let ended = waiting.ended;
            drop(waiting);
            // Whoever read it has gone: there is nobody to tell.
            let _ = to.write_all(&text).and_then(|()| to.flush());
            text.clear();
            if ended {
                return;
            }
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        if waiting.text.len() + line.len() > MOST {
            waiting.dropped += 1;
            return Ok(line.len());
        }
        if waiting.text.is_empty() {
            self.0.came.notify_one();
        }
        waiting.text.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.waiting().ended = true;
        self.lines.0.came.notify_one();
        // Where nobody reads any more, it is left behind.
        let end = Instant::now() + LAST_LINES;
        while !self.thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is written.
    #[derive(Clone, Default)]
    struct Reader(Arc<Mutex<Vec<u8>>>);

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_waits_at_the_end_is_written_in_its_order() {
        let (reader, mut lines) = (Reader::default(), Lines::default());
        let guard = lines.clone().start(reader.clone()).unwrap();
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        drop(guard);
        assert_eq!(*reader.0.lock().unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let mut lines = Lines::default();
        lines.write_all(&vec![b'x'; MOST]).unwrap();
        lines.write_all(b"one more\n").unwrap();
        assert_eq!(lines.dropped(), 1);
    }
}
