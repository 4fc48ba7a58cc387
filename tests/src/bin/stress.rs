//! More than the switch can do, for as long as it takes to tell how it bears it: `make stress`, or `stress overload|storm|flood` for one of the three.
//!
//! Built in release mode along with the switch, which it starts on free loopback ports with a store of its own. What it prints are measurements of
//! this machine at this moment; what must hold whatever the machine is asserted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tests::crowd::{self, Calls, Line};
use tests::process::{Switch, loopback, ports};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    match arguments.first().map(String::as_str) {
        Some("overload") => overload(number(1, 60)),
        Some("storm") => storm(number(1, 10_000)),
        Some("flood") => flood(number(1, 5)),
        Some("clients") => clients(arguments.get(1).expect("an address").parse().expect("an address")),
        None => {
            overload(60);
            storm(10_000);
            flood(5);
        }
        Some(other) => panic!("there is no {other}: overload [SECONDS], storm [PHONES], flood [ROUNDS]"),
    }
}

/// A rate any machine bears.
const EASY: f64 = 300.0;

/// Ten times what the switch can do, for so many seconds; then the cost of a call again, and what is left in memory.
fn overload(seconds: u64) {
    let gateway = loopback(*ports(2).start());
    let mut switch = Switch::of_crowd(1, 1000, "");
    switch.run();
    switch.told(&["user", "add", "600", "--name", "Gateway", "--address", &gateway.to_string()]);
    let mut line = Line::new(switch.sip, gateway);
    // What a table needs once, it keeps: the time that transactions stay fills them.
    line.run(EASY, Duration::from_secs(40));
    let memory = switch.memory();
    let (cost, calls) = cost_of_a_call(&switch, &mut line);
    println!(
        "overload: {EASY} calls/s: {cost:.0} µs of processor a call, set-up {}; {} MB",
        set_up(&calls),
        mb(memory)
    );

    let rate = 10.0 * 1e6 / cost;
    let over = line.run(rate, Duration::from_secs(seconds));
    println!(
        "overload: {rate:.0} calls/s, ten times what one core can do, wanted for {seconds} s: offered {}, done {}, 503 {}, failed {}, repeated {}; set-up {}; {} MB",
        over.offered,
        over.done,
        over.put_off,
        over.failed,
        over.repeated,
        set_up(&over),
        mb(switch.memory())
    );
    line.run(0.0, Duration::from_secs(2));

    let (again, calls) = cost_of_a_call(&switch, &mut line);
    println!(
        "overload: two seconds later: {again:.0} µs a call ({:.2} of before), set-up {}",
        again / cost,
        set_up(&calls)
    );
    assert_eq!((calls.put_off, calls.failed), (0, 0), "two seconds later everybody is served");
    // The longest-lived transactions end.
    line.run(0.0, Duration::from_secs(40));
    let (calls, transactions) = (switch.metric("calls"), switch.metric("sip_transactions"));
    let after = switch.memory();
    println!("overload: forty seconds later: {calls} calls, {transactions} transactions; {} MB", mb(after));
    assert_eq!((calls, transactions), (0, 0), "nothing is left in the tables");
    assert!(after < memory + (16 << 20), "{} MB are kept", mb(after - memory));
}

fn cost_of_a_call(switch: &Switch, line: &mut Line) -> (f64, Calls) {
    let before = switch.cpu();
    let calls = line.run(EASY, Duration::from_secs(10));
    let cpu = switch.cpu() - before;
    (cpu.as_secs_f64() * 1e6 / calls.done.max(1) as f64, calls)
}

fn set_up(calls: &Calls) -> String {
    format!("p50 {:.1?} p99 {:.1?}", calls.percentile(50), calls.percentile(99))
}

fn mb(bytes: u64) -> u64 {
    bytes >> 20
}

/// So many telephones register within a minute after a power cut, the first time and once more with bindings that are known.
fn storm(phones: u64) {
    let count = usize::try_from(phones).expect("that many");
    let mut switch = Switch::of_crowd(count, 1, "");
    for what in ["the first time", "after a power cut"] {
        switch.run();
        // All of them in ten seconds is worse than in a minute.
        let storm = crowd::register(switch.sip, count, Duration::from_secs(10), Duration::from_secs(60));
        println!("storm: {count} telephones, {what}: {storm:?}; {} MB", mb(switch.memory()));
        assert_eq!(switch.metric("registrations"), phones);
        switch.kill();
    }
}

/// The round trip of an OPTIONS, idle and while clients flood the switch with HTTP, in turns.
fn flood(rounds: u64) {
    let mut switch = Switch::of_crowd(1, 1, "");
    switch.run();
    let (mut idle, mut flooded) = (Vec::new(), Vec::new());
    let mut served = 0;
    for round in 0..rounds {
        idle.push(round_trips(switch.sip, round * 2));
        let (before, start) = (switch.metric("http_turns_total"), Instant::now());
        let flood = Flood::start(switch.http);
        std::thread::sleep(Duration::from_millis(500));
        flooded.push(round_trips(switch.sip, round * 2 + 1));
        drop(flood);
        served += (switch.metric("http_turns_total") - before) / start.elapsed().as_secs().max(1);
    }
    let [(idle_half, idle_most), (half, most)] = [median(&idle), median(&flooded)];
    println!(
        "flood: OPTIONS idle p50 {idle_half:.0?} p99 {idle_most:.0?}; under a flood of HTTP p50 {half:.0?} p99 {most:.0?}: {:.2} and {:.2} times (medians of {rounds} rounds; HTTP had to wait {} times a second)",
        half.as_secs_f64() / idle_half.as_secs_f64(),
        most.as_secs_f64() / idle_most.as_secs_f64(),
        served / rounds
    );
}

/// p50 and p99 of a round.
type Times = (Duration, Duration);

fn median(rounds: &[Times]) -> Times {
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    (middle(rounds.iter().map(|(half, _)| *half).collect()), middle(rounds.iter().map(|(_, most)| *most).collect()))
}

fn round_trips(switch: SocketAddr, round: u64) -> Times {
    let socket = UdpSocket::bind(loopback(0)).expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let own = socket.local_addr().expect("a bound socket has an address");
    let mut times = Vec::new();
    for number in 0..1000 {
        let options = format!(
            "OPTIONS sip:{switch} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKf{round}x{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:f@{own}>;tag=f\r\nTo: <sip:{switch}>\r\nCall-ID: f{round}x{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let start = Instant::now();
        socket.send_to(options.as_bytes(), switch).expect("loopback takes it");
        let mut answer = [0; 2048];
        let length = socket.recv(&mut answer).expect("an answer");
        times.push(start.elapsed());
        assert!(answer[..length].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&answer[..length]));
        // By no rhythm of the switch's own.
        std::thread::sleep(Duration::from_micros(1500 + number * 7 % 1000));
    }
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Clients in a process of their own, less urgent than the switch and who measures it.
struct Flood(Child);

impl Flood {
    fn start(http: SocketAddr) -> Flood {
        let own = std::env::current_exe().expect("a program has a path");
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(own).arg("clients").arg(http.to_string()).stdin(Stdio::null());
        Flood(command.spawn().expect("a process for the clients"))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // It serves nothing else and ends by nothing else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As many requests as the switch takes, on 200 connections, until the process is ended.
fn clients(http: SocketAddr) {
    const AT_ONCE: usize = 16;
    let one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let request = one.repeat(AT_ONCE);
    let threads: Vec<std::thread::JoinHandle<()>> = (0..200)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(http).expect("the switch takes connections");
                let mut answers = vec![0; 16 << 10];
                stream.write_all(one).expect("the switch reads");
                // One answer is as long as the other.
                let length = stream.read(&mut answers).expect("the switch answers");
                answers.truncate(0);
                answers.resize(AT_ONCE * length, 0);
                loop {
                    stream.write_all(&request).expect("the switch reads");
                    stream.read_exact(&mut answers).expect("the switch answers");
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
}
