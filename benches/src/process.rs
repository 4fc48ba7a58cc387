//! A program under load: its CPU time and its memory, its children's included.
//!
//! Where the system has `setpriv`, the program ends even when this one is killed.

use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// How long a program gets to end when it is asked to.
const GRACE: Duration = Duration::from_secs(3);

/// A program that is to be put under load, without arguments yet.
pub fn command(program: &Path) -> Command {
    let Some(setpriv) = installed("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Where a program is, if it is installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A running program in a process group of its own. It ends with this.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// It is not there.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        let child = command.process_group(0).spawn()?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(Process { child, group })
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// CPU time so far, user and system, of all processes of the group, to the nanosecond (`clock_getcpuclockid`).
    pub fn cpu(&self) -> Duration {
        let clock = |pid| ClockId::pid_cpu_clock_id(pid).and_then(clock_gettime);
        self.members().into_iter().filter_map(|pid| clock(pid).ok()).map(Duration::from).sum()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let resident = |pid: Pid| -> Option<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        self.members().into_iter().filter_map(resident).sum::<u64>() * 1024
    }

    /// Processes of the group: the fifth word of `/proc/PID/stat`, counted from behind the name, which may hold anything.
    fn members(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else { return vec![self.group] };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let group = |pid: i32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
        };
        pids.filter(|pid| group(*pid) == Some(self.group.as_raw())).map(Pid::from_raw).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        let _ = killpg(self.group, Signal::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
