//! The helper pool: a few threads for what would burn or block the control thread.
//!
//! Its threads have a small share of a processor that others want too, so that a flood of logins costs those who flood, and never the calls. How many jobs wait
//! is bounded by who gives them: the CAS has 256 logins and one change of the site under way at a time, and answers 503 beyond.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use cas::cas::{Finding, Job, Work};
use thread_priority::{ThreadPriority, set_current_thread_priority};
use tracing::debug;

/// Threads: argon2 takes a core for some 20 ms, and a small machine has two.
pub const THREADS: usize = 2;

/// The threads and the queue before them. Dropped, it lets them finish what waits and joins them.
pub struct Pool {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads` threads that do jobs by `work` and hand each finding to `done`.
    ///
    /// # Errors
    /// The system grants no thread.
    pub fn start(
        threads: usize,
        work: fn(Work) -> Finding,
        done: impl Fn(u64, Finding) + Clone + Send + 'static,
    ) -> io::Result<Pool> {
        let (queue, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let spawn = |number| {
            let (jobs, done) = (Arc::clone(&jobs), done.clone());
            let name = format!("helper-{number}");
            thread::Builder::new().name(name).spawn(move || {
                step_back();
                while let Some(Job { id, work: asked }) = next(&jobs) {
                    done(id, work(asked));
                }
            })
        };
        let threads = (0..threads).map(spawn).collect::<Result<_, _>>()?;
        Ok(Pool { queue: Some(queue), threads })
    }

    /// Queues a job.
    pub fn submit(&self, job: Job) {
        let queue = self.queue.as_ref().expect("the queue is there until the pool is dropped");
        // Without a thread left the job is lost, as the switch is: the panic that ended the last one ends it.
        let _ = queue.send(job);
    }
}

/// As the crate counts, where 50 is ordinary: nice 10, with which a thread gets a tenth of what one of the switch's others gets. With the least
/// there is, any busy program on the machine would make a login take seconds.
const PRIORITY: u8 = 22;

/// Where the system does not permit it, logins and calls compete as equals.
pub(crate) fn step_back() {
    let priority = PRIORITY.try_into().map_or(ThreadPriority::Min, ThreadPriority::Crossplatform);
    if let Err(error) = set_current_thread_priority(priority) {
        debug!(?error, "a helper thread keeps its priority");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Without a sender the threads' receiver ends, after the last job.
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The next job, waited for by one idle thread at a time: the others wait for the lock.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, password: &str) -> Job {
        Job { id, work: Work::Verify { hash: "right".into(), password: password.into() } }
    }

    fn compare(work: Work) -> Finding {
        match work {
            Work::Verify { hash, password } => Finding::Verified(hash == password),
            Work::Hash { passwords, .. } => Finding::Hashed(passwords),
        }
    }

    #[test]
    fn every_job_is_answered_under_its_own_id() {
        let (done, answers) = channel();
        let pool = Pool::start(2, compare, move |id, finding| done.send((id, finding)).unwrap()).unwrap();
        for id in 0..16 {
            pool.submit(job(id, if id % 2 == 0 { "right" } else { "wrong" }));
        }
        drop(pool);
        let mut answers: Vec<_> = answers.iter().collect();
        answers.sort_by_key(|(id, _)| *id);
        let expected: Vec<_> = (0..16).map(|id| (id, Finding::Verified(id % 2 == 0))).collect();
        assert_eq!(answers, expected);
    }

    #[test]
    fn helpers_step_back_behind_every_other_thread() {
        let (done, answers) = channel();
        let nice = move |_, _| done.send(niceness_of_this_thread()).unwrap();
        let pool = Pool::start(1, compare, nice).unwrap();
        pool.submit(job(1, "right"));
        assert_eq!(answers.recv().unwrap(), 10);
        assert!(niceness_of_this_thread() < 10, "the others keep theirs");
    }

    fn niceness_of_this_thread() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The 19th field; the second is in parentheses and may contain anything (proc_pid_stat(5)).
        let after_name = stat.rsplit(')').next().unwrap();
        after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
    }
}
