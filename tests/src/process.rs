//! The switch as a user runs it: the binary, a configuration file, a data folder, the command line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before a test gives up: long, because a busy machine is slow and only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The switch's binary, built from the sources as they are now, in the profile of the tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        if test.parent().and_then(Path::file_name).is_some_and(|folder| folder != "deps") {
            // A program beside the switch, built along with it.
            return test.with_file_name("switch");
        }
        let folder = test.ancestors().nth(2).expect("tests are built into target/PROFILE/deps");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        // Together with the tests' dependencies, as `cargo test --workspace` resolves them: nothing is compiled twice.
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bins", "--tests", "--profile", profile, "--target-dir"])
            .arg(folder.parent().expect("the profile's folder is in the target folder"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(build.is_ok_and(|status| status.success()), "the switch does not build");
        folder.join("switch")
    })
}

/// A run of free ports on loopback that no other test is given: below the RTP ports of the default configuration, all of which a
/// demonstration takes, and below those that the system hands out by itself.
pub fn ports(size: u16) -> RangeInclusive<u16> {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    const FIRST: u32 = 10_000;
    const ALL: u32 = 10_000;
    // Other test processes begin elsewhere.
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(7_919) % ALL / 2 * 2));
    let size = size.next_multiple_of(2);
    for _ in 0..1_000 {
        let offset = next.fetch_add(u32::from(size), Ordering::Relaxed) % (ALL - u32::from(size)) / 2 * 2;
        let first = u16::try_from(FIRST + offset).expect("below 20,000");
        let run = first..=first + size - 1;
        let free = |port| TcpListener::bind(loopback(port)).is_ok() && UdpSocket::bind(loopback(port)).is_ok();
        if run.clone().all(free) {
            return run;
        }
    }
    panic!("no {size} ports in a row are free");
}

/// A port on this machine.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A switch with a store of its own on free loopback ports.
pub struct Switch {
    child: Option<Child>,
    folder: TempDir,
    /// Where it speaks SIP, on UDP and TCP.
    pub sip: SocketAddr,
    /// Where its CAS listens.
    pub http: SocketAddr,
    /// Its ports for RTP and RTCP.
    pub rtp: RangeInclusive<u16>,
}

impl Switch {
    /// Prepared, with a configuration file, but not running.
    pub fn new() -> Switch {
        Switch::new_on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same with SIP and RTP at this address of the machine.
    fn new_on(host: IpAddr) -> Switch {
        UdpSocket::bind((host, 0)).unwrap_or_else(|error| panic!("this machine has no {host}: {error}"));
        let ports = ports(2);
        let switch = Switch {
            child: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
            sip: SocketAddr::new(host, *ports.start()),
            http: loopback(*ports.end()),
            rtp: self::ports(40),
        };
        let (sip, http, first, last) = (switch.sip, switch.http, switch.rtp.start(), switch.rtp.end());
        let data = switch.folder.path().join("data");
        switch.configure(&format!(
            "data = {data:?}\n[sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n[media]\naddress = \"{host}\"\n\
             ports = \"{first}-{last}\"\n[cas]\nlisten = [\"{http}\"]\n"
        ));
        switch
    }

    /// Prepared with so many telephones in its store ([`crowd`](crate::crowd)), RTP ports for `calls` calls, and these lines of configuration.
    pub fn of_crowd(phones: usize, calls: u16, lines: &str) -> Switch {
        let mut switch = Switch::new();
        switch.rtp = ports(4 * calls);
        let (sip, http, first, last) = (switch.sip, switch.http, switch.rtp.start(), switch.rtp.end());
        let data = switch.data();
        switch.configure(&format!(
            "data = {data:?}\n[sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n[media]\nports = \"{first}-{last}\"\n\
             [cas]\nlisten = [\"{http}\"]\n[log]\nlevel = \"warn\"\n[calls]\nwaiting = 1000000\n{lines}"
        ));
        crate::crowd::settle(&data, phones);
        switch
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// A number of its `/metrics`, named without `switch_`.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix("switch_")?.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    fn metrics(&self) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.http)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().expect("the switch tells its metrics")
    }

    /// The memory it has, in bytes (`VmRSS`).
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        1024 * kilobytes.expect("Linux tells kilobytes")
    }

    /// The processor time that its threads have had so far.
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("a running process has threads");
        let time = |thread: std::io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.filter_map(time).sum())
    }

    /// Running and ready.
    pub fn start() -> Switch {
        Switch::start_on(Ipv4Addr::LOCALHOST.into())
    }

    /// The same with SIP and RTP at this address of the machine.
    pub fn start_on(host: IpAddr) -> Switch {
        let mut switch = Switch::new_on(host);
        switch.run();
        switch
    }

    /// Running, with these users.
    pub fn with_users(users: &[(&str, &str)]) -> Switch {
        let switch = Switch::start();
        for (extension, name) in users {
            switch.add_user(extension, name);
        }
        switch
    }

    /// Writes the configuration file anew.
    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("the configuration file is written");
    }

    /// Sets something in a section of the configuration file that has not set it yet.
    pub fn set(&self, section: &str, setting: &str) {
        let text = fs::read_to_string(self.config()).expect("there is a configuration file");
        let head = format!("[{section}]\n");
        let (before, after) = text.split_once(&head).unwrap_or((&text, ""));
        self.configure(&format!("{before}{head}{setting}\n{after}"));
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("switch.toml")
    }

    /// The folder of the store and the control socket.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the process and waits until it serves.
    pub fn run(&mut self) {
        self.run_with(&[]);
    }

    /// The same with these variables in its environment.
    pub fn run_with(&mut self, environment: &[(&str, &str)]) {
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(self.config()).envs(environment.iter().copied());
        self.begin(command);
    }

    /// As [`run`](Switch::run), with the data folder on a disk of its own of so many bytes, which only this process sees, and on which the
    /// folder is as it was. It is gone with the process. Needs no more than the system's permission to make such a view (`unshare`).
    pub fn run_on_small_disk(&mut self, size: u32) {
        let script = r#"mkdir -p "$1.disk" && mount -t tmpfs -o size="$3" tmpfs "$1.disk" && cp -a "$1/." "$1.disk" &&
            mount --bind "$1.disk" "$1" && exec "$0" run --config "$2""#;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(binary()).arg(self.data()).arg(self.config()).arg(size.to_string());
        self.begin(command);
    }

    /// What a start says whose data folder is on a file system for reading only, in a view of its own: one line, and a failure.
    pub fn refused_on_read_only_disk(&self) -> String {
        let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$0" run --config "$2""#;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(binary()).arg(self.data()).arg(self.config()).current_dir(self.folder.path());
        let output = command.stdin(Stdio::null()).output().expect("unshare is part of util-linux");
        assert!(!output.status.success(), "it starts: {output:?}");
        String::from_utf8(output.stderr).expect("the switch prints UTF-8")
    }

    /// As long as the answer lives, what a running switch writes to its disk fails so: `EIO`, `EROFS`. For one that runs
    /// [on a disk of its own](Switch::run_on_small_disk), where this needs no permission of the system's.
    pub fn fail_disk(&self, error: &str) -> FailingDisk {
        let id = self.child.as_ref().expect("running").id().to_string();
        let inject = format!("inject=pwrite64:error={error}");
        let mut command = Command::new("nsenter");
        command.args(["--user", "--preserve-credentials", "--target", &id]);
        command.args(["strace", "-f", "-e", "trace=pwrite64", "-e", &inject, "-o", "/dev/null", "-p", &id]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut strace = child.expect("strace is installed (tests/setup.sh)");
        let mut told = BufReader::new(strace.stderr.take().expect("it is piped"));
        let mut line = String::new();
        told.read_line(&mut line).expect("strace prints UTF-8");
        assert!(line.contains("attached"), "{line}");
        FailingDisk { strace, _told: told }
    }

    /// The data folder as a running switch sees it.
    pub fn seen_data(&self) -> PathBuf {
        let id = self.child.as_ref().expect("running").id();
        PathBuf::from(format!("/proc/{id}/root{}", self.data().display()))
    }

    fn begin(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let again = log.try_clone().expect("a second handle to the log");
        let child = command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(log).stderr(again).spawn();
        self.child = Some(child.expect("the switch is started"));
        let (http, log) = (self.http, self.log_file());
        let child = self.child.as_mut().expect("started just now");
        until("the switch to be healthy", || {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                panic!("the switch ended with {status}:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            healthy(http).then_some(())
        });
    }

    /// Runs `switch --config FILE ARGUMENTS` to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.config()).args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).output().expect("the switch's command runs")
    }

    /// What a command prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn told(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "switch {}: {output:?}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("commands print UTF-8")
    }

    /// One line on standard error, and a failure: what a command has to say when it cannot do what it is asked.
    pub fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(!output.status.success(), "switch {} succeeds", arguments.join(" "));
        let complaint = String::from_utf8(output.stderr).expect("commands print UTF-8");
        assert_eq!(complaint.lines().count(), 1, "switch {}: not one line:\n{complaint}", arguments.join(" "));
        complaint
    }

    /// Adds a user whose password is [`password`] and whose SIP secret is [`secret`].
    pub fn add_user(&self, extension: &str, name: &str) {
        let (password, secret) = (password(extension), secret(extension));
        self.told(&["user", "add", extension, "--name", name, "--password", &password, "--sip-secret", &secret]);
    }

    /// Ends it in order (SIGTERM) and waits for that.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended()
    }

    /// Asks it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Asks it to end in order and does not wait.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits for the end that was asked for.
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("running");
        let status = until("the switch to end", || child.try_wait().expect("a child can be asked"));
        self.child = None;
        status
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }

    /// All it has logged and printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process ids are positive i32");
        kill(Pid::from_raw(id), signal).expect("our own child can be signalled");
    }
}

impl Default for Switch {
    fn default() -> Switch {
        Switch::new()
    }
}

/// A disk that fails; it is well again when this is dropped.
#[derive(Debug)]
pub struct FailingDisk {
    strace: Child,
    /// Open, or strace could not say that it ends.
    _told: BufReader<ChildStderr>,
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        // Asked to end, it lets go of the switch in order.
        let id = Pid::from_raw(self.strace.id().cast_signed());
        let _ = kill(id, Signal::SIGTERM);
        let _ = self.strace.wait();
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself: then there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the switch's log ---\n{}", self.log());
        }
    }
}

/// The password of a user added by [`Switch::add_user`].
pub fn password(extension: &str) -> String {
    format!("password-{extension}")
}

/// The SIP secret of a user added by [`Switch::add_user`].
pub fn secret(extension: &str) -> String {
    format!("secret-{extension}")
}

fn healthy(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(String::from_utf8_lossy(&status).into_owned())
    };
    ask().is_ok_and(|status| status == "HTTP/1.1 200")
}
