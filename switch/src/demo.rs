//! `switch demo`: a whole call shown on one machine.
//!
//! A switch is started on free loopback ports with a store of its own, as `switch run` starts one. Two built-in telephones register over
//! real sockets, a CAS client logs in over HTTP and makes a call between them; each telephone speaks a tone of its own, and what the other
//! hears is measured. What was sent is printed as it happened, or as one JSON object.

mod client;
mod ladder;
pub mod phone;
mod stage;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::LocalSet;

use self::client::Client;
use self::ladder::Ladder;
use self::phone::{Behaviour, End, Event, Phone, Status};
use self::stage::Handset;
use crate::config::Config;
use crate::control::{FirstUsers, Running};

/// The tones of 501 and 502.
const TONES: [u32; 2] = [440, 620];
/// What comes sooner or not at all.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long each listens before what it hears is judged.
const LISTEN: Duration = Duration::from_millis(400);

/// Shows the call. The exit code tells whether everything was as it should be.
pub fn run(json: bool) -> ExitCode {
    let played = play(json);
    let ok = played.as_ref().is_ok_and(Shown::is_ok);
    match played {
        Ok(shown) if json => ladder::print(&shown.to_json().to_string()),
        Ok(shown) => ladder::print(&shown.to_string()),
        Err(error) if json => ladder::print(&json!({"ok": false, "error": error.to_string()}).to_string()),
        Err(error) => eprintln!("{error}"),
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From the first telephone to the end of the switch.
fn play(json: bool) -> Result<Shown, DemoError> {
    let folder = Folder::make().map_err(DemoError::Io)?;
    let start = |error: &dyn fmt::Display| DemoError::Start(error.to_string());
    let running = Running::start(config(&folder), FirstUsers::Make(|_| {})).map_err(|error| start(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Io)?;
    let shown = LocalSet::new().block_on(&runtime, show(&running, json));
    running.stop();
    running.join().map_err(|error| start(&error))?;
    shown
}

/// Loopback, and whatever ports are free.
fn config(folder: &Folder) -> Config {
    let free = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config { data: folder.0.clone(), ..Config::default() };
    config.sip.udp = vec![free];
    config.sip.tcp = vec![free];
    config.cas.listen = vec![free];
    // Beside the default range, where a switch at work may be, and not where another demonstration is likely to be.
    let first = 30_000 + (std::process::id() % 13) as u16 * 200;
    config.media.ports = first..=first + 199;
    config
}

/// What the demonstration came to.
#[derive(Debug)]
struct Shown {
    registered: usize,
    make_call_to_invite: Duration,
    setup: Duration,
    /// What 501 and 502 heard: in the call, and again after the hold.
    heard: [[Option<u32>; 2]; 2],
    /// Neither heard the other while the call was held: there is music.
    apart_on_hold: bool,
    lost: u64,
    packets: u64,
    hung_up: bool,
    events: Vec<Value>,
}

impl Shown {
    fn is_ok(&self) -> bool {
        let right =
            |heard: &[Option<u32>; 2], tone: u32| heard.iter().all(|heard| heard.is_some_and(|hz| near(hz, tone)));
        self.registered == 2
            && right(&self.heard[0], TONES[1])
            && right(&self.heard[1], TONES[0])
            && self.apart_on_hold
            && self.lost == 0
            && self.hung_up
            && self.events.iter().any(|event| event["message"] == "call-ended-evt")
    }

    fn to_json(&self) -> Value {
        let heard = |index: usize| {
            let mut tones: Vec<u32> = self.heard[index].iter().flatten().copied().collect();
            tones.dedup();
            tones
        };
        json!({
            "ok": self.is_ok(),
            "registered": self.registered,
            "make_call_to_invite_us": self.make_call_to_invite.as_micros() as u64,
            "setup_ms": self.setup.as_millis() as u64,
            "heard": {"501": heard(0), "502": heard(1)},
            "rtp_lost": self.lost,
            "events": self.events,
        })
    }
}

/// Within what G.711 and a tenth of a second leave uncertain.
fn near(heard: u32, tone: u32) -> bool {
    heard.abs_diff(tone) <= 10
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hz = |heard: &[Option<u32>; 2]| {
            heard.map(|heard| heard.map_or("nothing".to_owned(), |hz| format!("{hz} Hz"))).join(", after the hold ")
        };
        writeln!(f)?;
        writeln!(f, "  make-call to INVITE   {} µs", self.make_call_to_invite.as_micros())?;
        writeln!(
            f,
            "  call set up           {} ms, of which 502 rang {} ms",
            self.setup.as_millis(),
            RINGING.as_millis()
        )?;
        writeln!(f, "  501 heard             {}   (502 speaks {} Hz)", hz(&self.heard[0]), TONES[1])?;
        writeln!(f, "  502 heard             {}   (501 speaks {} Hz)", hz(&self.heard[1]), TONES[0])?;
        writeln!(
            f,
            "  on hold               {}",
            if self.apart_on_hold { "neither heard the other" } else { "the other was heard" }
        )?;
        writeln!(f, "  RTP                   {} packets, {} lost", self.packets, self.lost)?;
        writeln!(f, "  CAS events            {}", self.events.len())?;
        write!(f, "\n  {}", if self.is_ok() { "All as it should be." } else { "Something is wrong." })
    }
}

/// How long 502 rings.
const RINGING: Duration = Duration::from_millis(250);

/// The play itself.
async fn show(running: &Running, json: bool) -> Result<Shown, DemoError> {
    let ready = running.ready();
    let (Some(&sip), Some(&http), Some(seeded)) = (ready.sip_udp.first(), ready.http.first(), &ready.first_users)
    else {
        return Err(DemoError::Start("the switch listens nowhere, or its store was not empty".to_owned()));
    };
    let ladder = Rc::new(Ladder::new(json));
    ladder.title(&format!("A switch of its own: SIP on {sip}, CAS on http://{http}"));
    let user = |login: &str| seeded.users.iter().find(|user| user.login == login);
    let (Some(caller), Some(callee)) = (user("501"), user("502")) else {
        return Err(DemoError::Start("the users 501 and 502 were not made".to_owned()));
    };
    let secret = |user: &crate::control::FirstUser| user.sip_secret.clone().unwrap_or_default();
    let a = Handset::new(0, "501", secret(caller), sip, Behaviour::Ring, &ladder).await.map_err(DemoError::Io)?;
    let b = Handset::new(1, "502", secret(callee), sip, Behaviour::Answer(RINGING), &ladder)
        .await
        .map_err(DemoError::Io)?;

    ladder.say("Two telephones register.");
    for handset in [&a, &b] {
        handset.press(Phone::register);
        until(|| handset.phone().is_registered()).await;
    }
    let registered = [&a, &b].iter().filter(|handset| handset.phone().is_registered()).count();

    ladder.say("A client of 501 logs in and calls 502. 501's own telephone rings first, and answers by itself.");
    let client = Client::log_in(http, "501", &caller.password, Rc::clone(&ladder)).await.map_err(DemoError::Client)?;
    let asked = client.make_call("502").await.map_err(DemoError::Client)?;
    until(|| b.told(&Event::Connected)).await;
    let make_call_to_invite = a.first_invite().map_or(PATIENCE, |at| at.saturating_duration_since(asked));
    let setup = asked.elapsed();
    let mut heard = [[None; 2]; 2];
    listen(&a, &b, &mut heard, 0, &ladder).await;

    ladder.say("502 puts the call on hold, and takes it back.");
    b.press(Phone::hold);
    until(|| b.told(&Event::Held(true))).await;
    let mut on_hold = [[None; 2]; 2];
    listen(&a, &b, &mut on_hold, 0, &ladder).await;
    b.press(Phone::resume);
    until(|| b.told(&Event::Held(false))).await;
    listen(&a, &b, &mut heard, 1, &ladder).await;
    let (lost, packets) = [&a, &b].iter().fold((0, 0), |(lost, packets), handset| {
        let phone = handset.phone();
        (lost + phone.ear().lost, packets + phone.ear().packets)
    });

    ladder.say("501 hangs up.");
    a.press(Phone::hang_up);
    until(|| b.told(&Event::Ended(End::There)) && client.has_seen("call-ended-evt")).await;
    let hung_up = [&a, &b].iter().all(|handset| handset.phone().status() == Status::Idle);
    // A note of the music may stand out, too; the other's tone is none of its notes.
    let hears_other = |index: usize| on_hold[index][0].is_some_and(|hz| near(hz, TONES[1 - index]));
    let apart_on_hold = !hears_other(0) && !hears_other(1);
    let events = client.log_out().await.map_err(DemoError::Client)?;
    Ok(Shown { registered, make_call_to_invite, setup, heard, apart_on_hold, lost, packets, hung_up, events })
}

/// What each hears now.
async fn listen(a: &Handset, b: &Handset, heard: &mut [[Option<u32>; 2]; 2], turn: usize, ladder: &Ladder) {
    // What was on its way when things changed is not what is heard from now on.
    tokio::time::sleep(Duration::from_millis(60)).await;
    [a, b].iter().for_each(|handset| handset.listen_anew());
    tokio::time::sleep(LISTEN).await;
    let tones = [a, b].map(|handset| handset.phone().ear().tone());
    for (heard, tone) in heard.iter_mut().zip(tones) {
        heard[turn] = tone;
    }
    let [first, second] = tones.map(|tone| tone.map_or("nothing".to_owned(), |hz| format!("{hz} Hz")));
    ladder.sound(&format!("501 hears {first}, 502 hears {second}"));
}

/// Waits until it is so, or too long.
async fn until(so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("switch-demo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Why there was nothing to show.
#[derive(Debug)]
enum DemoError {
    Io(io::Error),
    Start(String),
    Client(client::ClientError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::Io(error) => write!(f, "the demonstration has no folder or socket: {error}"),
            DemoError::Start(text) => write!(f, "the demonstration's switch did not run: {text}"),
            DemoError::Client(error) => write!(f, "the demonstration's client: {error}"),
        }
    }
}

impl std::error::Error for DemoError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole product in one go: sockets, threads, store, HTTP.
    #[test]
    fn the_demonstration_is_as_it_should_be() {
        let shown = play(true).unwrap();
        assert!(shown.is_ok(), "{shown:?}");
        assert!(shown.make_call_to_invite < shown.setup);
    }
}
