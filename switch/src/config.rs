//! The configuration: a file, checked as a whole, immutable from then on.
//!
//! Users, devices and numbers are not here: they are data, in the store. Every setting has its default and its comment in one table,
//! from which the example is written and the defaults are read, so that they cannot differ.

mod change;
mod document;
mod read;

use crate::sounds::announcement::Audience;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cas::site::plan::{Code, Plan};
use cas::site::{DigestPolicy, Extension};
use cas::store::trim::HistoryLimits;
use media::tone::zone::Zone;

pub use self::change::Changes;
use self::document::Document;

/// What the switch runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the store and the control socket.
    pub data: PathBuf,
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[sound]`
    pub sound: Sound,
    /// `[cas]`
    pub cas: CasSection,
    /// `[calls]`, `[park]` and `[codes]`
    pub plan: Plan,
    /// `[limits]`
    pub limits: Limits,
    /// `[history]`
    pub history: HistoryLimits,
    /// `[log]`
    pub log: Log,
}

/// `[sip]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where UDP listens.
    pub udp: Vec<SocketAddr>,
    /// Where TCP listens.
    pub tcp: Vec<SocketAddr>,
    /// The SIP domain, lower case.
    pub domain: String,
    /// The digest of devices that name none of their own.
    pub digest: DigestPolicy,
    /// A phone that sends its callers on to another number (3xx) is followed.
    pub follow_redirects: bool,
}

/// `[media]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What is written into SDP; `None` (`auto`): the address that reaches the phone.
    pub address: Option<IpAddr>,
    /// RTP ports: whole pairs, the first even.
    pub ports: RangeInclusive<u16>,
    /// Threads that relay it.
    pub threads: NonZeroU8,
}

/// `[sound]`: what the switch itself lets phones hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// What those on hold hear.
    pub music: Music,
    /// What those hear who are held by these users: by extension.
    pub music_of: BTreeMap<String, PathBuf>,
    /// Whose tones they are.
    pub zone: Zone,
    /// After how long who has somebody on hold is rung; `None`: never.
    pub hold_reminder: Option<Duration>,
    /// Who is told that he reaches nobody.
    pub announcements: Audience,
}

/// Music on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Music {
    /// That which comes with the switch.
    BuiltIn,
    /// Silence.
    None,
    /// A WAV file.
    File(PathBuf),
}

/// `[cas]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CasSection {
    /// Where HTTP listens.
    pub listen: Vec<SocketAddr>,
}

/// `[limits]`: how much there may be, in all and of one source. A source is an IP address, or an IPv6 /64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time, where the RTP ports do not end it before.
    pub calls: usize,
    /// Calls at a time that phones of one source have begun.
    pub calls_per_source: usize,
    /// SIP requests whose answers are remembered.
    pub transactions: usize,
    /// Those of a source that the switch does not know.
    pub transactions_per_source: usize,
    /// Contacts of phones.
    pub registrations: usize,
    /// Contacts registered from one source.
    pub registrations_per_source: usize,
    /// Subscriptions of phones: lamps, presence, message counts.
    pub subscriptions: usize,
    /// Those of one phone.
    pub subscriptions_per_device: usize,
    /// Call-backs that are booked.
    pub call_backs: usize,
    /// Those of one user.
    pub call_backs_per_user: usize,
    /// SIP connections over TCP.
    pub tcp: usize,
    /// Those of one source.
    pub tcp_per_source: usize,
    /// CAS sessions.
    pub sessions: usize,
    /// Those of one user.
    pub sessions_per_user: usize,
    /// Those opened from one source.
    pub sessions_per_source: usize,
    /// HTTP connections.
    pub http: usize,
    /// Those of one source.
    pub http_per_source: usize,
    /// How long SIP datagrams may wait before new calls are turned away.
    pub lag: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// error, warn, info, debug or trace.
    pub level: String,
}

/// One setting, as the example shows it.
struct Setting {
    /// Empty for those before the first section.
    section: &'static str,
    key: &'static str,
    /// In TOML.
    default: &'static str,
    about: &'static str,
}

const fn setting(section: &'static str, key: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { section, key, default, about }
}

/// Every setting there is, in the order of the example.
#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    setting("", "data", r#""data""#, "folder of the store and the control socket"),
    setting("sip", "udp", r#"["0.0.0.0:5060", "[::]:5060"]"#, "where SIP over UDP listens"),
    setting("sip", "tcp", r#"["0.0.0.0:5060", "[::]:5060"]"#, "where SIP over TCP listens"),
    setting("sip", "domain", r#""switch.local""#, "the SIP domain, beside any address it listens on"),
    setting("sip", "digest", r#""md5""#, "md5, sha256 or both, the default of devices: some phones fail when offered SHA-256"),
    setting("sip", "follow-redirects", "true", "a phone may send its callers on (3xx) to another number of this switch"),
    setting("media", "address", r#""auto""#, "what is written into SDP: auto, or an address"),
    setting("media", "ports", r#""20000-29999""#, "RTP and RTCP ports over UDP: a call uses four"),
    setting("media", "threads", "1", "threads that relay it, each with its part of the ports: 1 to 32, no more than cores"),
    setting("sound", "music", r#""built-in""#, "what those on hold hear: built-in, none, or a WAV file of up to five minutes"),
    setting("sound", "music-of", "[]", r#"other music of single users, such as ["501 /srv/501.wav"], at most 50"#),
    setting("sound", "hold-reminder", "120", "seconds until who has somebody on hold is rung, to 3600; 0: never"),
    setting("sound", "announcements", r#""connected""#, "who is told by a voice or a tone that he reaches nobody: nobody, connected, everybody"),
    setting("sound", "zone", r#""eu""#, "whose ringback callers hear: a country, such as us, gb, de"),
    setting("cas", "listen", r#"["127.0.0.1:8080"]"#, "where CAS clients reach it, over HTTP"),
    setting("calls", "waiting", "2", "calls that may come to a user beside the one he has: the next caller hears busy; 0: no call waiting"),
    setting("calls", "call-back", "30", "minutes that a booked call-back waits for somebody to be free, from 1 to 1440"),
    setting("park", "orbits", r#""700-719""#, "where calls are parked, and retrieved by dialling the number"),
    setting("park", "recall", "60", "seconds until whoever parked a call is rung again, to 3600; 0: never"),
    setting("codes", "park", r#""*68""#, "parks the call on hold: at the first free orbit, or at a number dialled behind it; \"\": nothing does"),
    setting("codes", "retrieve", r#""*88""#, "and an extension behind it: gets the call parked there"),
    setting("codes", "pickup", r#""**""#, "and an extension behind it: answers the call that rings there"),
    setting("codes", "group-pickup", r#""*8""#, "answers the call that rings at another of one's pickup group"),
    setting("codes", "intercom", r#""*80""#, "and an extension behind it: calls it, and its phone answers by itself, where it can"),
    setting("codes", "return", r#""*69""#, "calls whoever called last, answered or not"),
    setting("codes", "redial", r#""*07""#, "calls the number dialled last, at whichever phone"),
    setting("codes", "call-back", r#""*66""#, "calls back when who was called in vain is free: the last one, or an extension behind it"),
    setting("codes", "no-call-back", r#""*86""#, "does not: of nobody, or of the extension behind it"),
    setting("limits", "calls", "10000", "calls at a time, where the RTP ports do not end it before"),
    setting("limits", "calls-per-source", "5000", "of them from one source: an IP address, or an IPv6 /64"),
    setting("limits", "transactions", "1000000", "SIP requests remembered; each stays for 32 s after its end"),
    setting("limits", "transactions-per-source", "10000", "of them from one source without gateway or registered phone"),
    setting("limits", "registrations", "50000", "contacts of phones"),
    setting("limits", "registrations-per-source", "20000", "of them registered from one source"),
    setting("limits", "subscriptions", "50000", "lamps, lists of lamps, presence and message counts that phones watch"),
    setting("limits", "subscriptions-per-device", "250", "of them of one phone"),
    setting("limits", "call-backs", "10000", "call-backs that users have booked"),
    setting("limits", "call-backs-per-user", "10", "of them of one user"),
    setting("limits", "tcp", "8192", "SIP connections over TCP"),
    setting("limits", "tcp-per-source", "512", "of them from one source without gateway or registered phone"),
    setting("limits", "sessions", "10000", "CAS sessions"),
    setting("limits", "sessions-per-user", "16", "of them of one user: one more login ends the least used"),
    setting("limits", "sessions-per-source", "5000", "of them from one source"),
    setting("limits", "http", "16384", "HTTP connections"),
    setting("limits", "http-per-source", "8192", "of them from one source"),
    setting("limits", "lag", "100", "ms that SIP may be behind before new calls get 503"),
    setting("history", "records", "10000", "call records kept of each user: the oldest go, from 1 to 1000000"),
    setting("history", "days", "0", "and no longer than so many days, to 36500; 0: any time"),
    setting("log", "level", r#""info""#, "error, warn, info, debug or trace"),
];

/// Limits that are parts of others.
const PARTS: [(&str, &str); 9] = [
    ("calls-per-source", "calls"),
    ("transactions-per-source", "transactions"),
    ("registrations-per-source", "registrations"),
    ("subscriptions-per-device", "subscriptions"),
    ("call-backs-per-user", "call-backs"),
    ("tcp-per-source", "tcp"),
    ("sessions-per-user", "sessions"),
    ("sessions-per-source", "sessions"),
    ("http-per-source", "http"),
];

/// The file with every default, each with its comment.
pub fn example() -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            text += &format!("\n[{section}]\n");
        }
        let line = format!("{} = {}", setting.key, setting.default);
        text += &format!("{line:<40} # {}\n", setting.about);
    }
    text
}

impl Default for Config {
    fn default() -> Config {
        Config::parse("", "").expect("the defaults are well formed: a test reads them")
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Config::parse(&path.display().to_string(), &text)
    }

    /// Checks a file's text. `name` is the file, for the errors.
    pub fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
        let defaults = example();
        let defaults = Document::read("the example", &defaults)?;
        let file = Document::read(name, text)?.or(&defaults);
        let config = Config {
            data: file.get("", "data", read::folder)?,
            sip: Sip {
                udp: file.get("sip", "udp", read::addresses)?,
                tcp: file.get("sip", "tcp", read::addresses)?,
                domain: file.get("sip", "domain", read::domain)?,
                digest: file.get("sip", "digest", read::digest)?,
                follow_redirects: file.get("sip", "follow-redirects", read::yes_or_no)?,
            },
            media: Media {
                address: file.get("media", "address", read::media_address)?,
                ports: file.get("media", "ports", read::ports)?,
                threads: file.get("media", "threads", read::threads)?,
            },
            sound: Sound {
                music: file.get("sound", "music", read::music)?,
                music_of: file.get("sound", "music-of", read::music_of)?,
                zone: file.get("sound", "zone", read::zone)?,
                hold_reminder: file.get("sound", "hold-reminder", read::delay)?,
                announcements: file.get("sound", "announcements", read::announcements)?,
            },
            cas: CasSection { listen: file.get("cas", "listen", read::addresses)? },
            plan: Plan {
                codes: codes(&file)?,
                orbits: file.get("park", "orbits", read::orbits)?,
                waiting: file.get("calls", "waiting", read::waiting)?,
                call_back: file.get("calls", "call-back", read::minutes)?,
                recall: file.get("park", "recall", read::delay)?,
            },
            limits: Limits {
                calls: file.get("limits", "calls", read::limit)?,
                calls_per_source: file.get("limits", "calls-per-source", read::limit)?,
                transactions: file.get("limits", "transactions", read::limit)?,
                transactions_per_source: file.get("limits", "transactions-per-source", read::limit)?,
                registrations: file.get("limits", "registrations", read::limit)?,
                registrations_per_source: file.get("limits", "registrations-per-source", read::limit)?,
                subscriptions: file.get("limits", "subscriptions", read::limit)?,
                subscriptions_per_device: file.get("limits", "subscriptions-per-device", read::limit)?,
                call_backs: file.get("limits", "call-backs", read::limit)?,
                call_backs_per_user: file.get("limits", "call-backs-per-user", read::limit)?,
                tcp: file.get("limits", "tcp", read::limit)?,
                tcp_per_source: file.get("limits", "tcp-per-source", read::limit)?,
                sessions: file.get("limits", "sessions", read::limit)?,
                sessions_per_user: file.get("limits", "sessions-per-user", read::limit)?,
                sessions_per_source: file.get("limits", "sessions-per-source", read::limit)?,
                http: file.get("limits", "http", read::limit)?,
                http_per_source: file.get("limits", "http-per-source", read::limit)?,
                lag: file.get("limits", "lag", read::lag)?,
            },
            history: HistoryLimits {
                records: file.get("history", "records", read::limit)?,
                days: file.get("history", "days", read::days)?,
            },
            log: Log { level: file.get("log", "level", read::level)? },
        };
        if config.sip.udp.is_empty() && config.sip.tcp.is_empty() {
            return Err(file.wrong("sip", "udp", "an address here or at tcp: no phone could reach the switch"));
        }
        if let Some(taken) = config.sip.udp.iter().find(|address| config.media.ports.contains(&address.port())) {
            let (port, ports) = (taken.port(), &config.media.ports);
            return Err(if file.sets("media", "ports") {
                file.wrong("media", "ports", &format!("a range without {port}, where SIP listens over UDP"))
            } else {
                let (first, last) = (ports.start(), ports.end());
                file.wrong(
                    "sip",
                    "udp",
                    &format!("no port of {first}-{last}, which are the media's unless it sets others"),
                )
            });
        }
        for (part, whole) in PARTS {
            if file.get("limits", part, read::limit)? > file.get("limits", whole, read::limit)? {
                // The error belongs to the line that the file has.
                return Err(match file.sets("limits", part) {
                    true => file.wrong("limits", part, &format!("no more than {whole}")),
                    false => file.wrong("limits", whole, &format!("no less than {part}, or {part} set too")),
                });
            }
        }
        Ok(config)
    }
}

/// The service that is there for every site: the caller hears himself.
const ECHO: &str = "*43";

/// Each code that there is, and no two alike; none is taken for the service, or would take it with what is dialled behind.
fn codes(file: &Document<'_>) -> Result<Vec<(Code, Extension)>, ConfigError> {
    let mut codes: Vec<(Code, Extension)> = Vec::new();
    for code in Code::ALL {
        let Some(written) = file.get("codes", code.name(), read::code)? else { continue };
        let is_echo = if code.takes_number() { ECHO.starts_with(written.as_str()) } else { ECHO == written.as_str() };
        if is_echo {
            let expected = format!("a code other than {ECHO}, which is the echo service, and not the beginning of it");
            return Err(file.wrong("codes", code.name(), &expected));
        }
        if let Some((other, _)) = codes.iter().find(|(_, other)| *other == written) {
            let (name, other) = (code.name(), other.name());
            let name = if file.sets("codes", name) { name } else { other };
            return Err(file.wrong("codes", name, "each code once"));
        }
        codes.push((code, written));
    }
    Ok(codes)
}

/// Why a file is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// There is no reading it.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says is wrong.
    Wrong {
        /// The file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        text: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, source } => write!(
                f,
                "cannot read {} ({source}): `switch config example` prints a file to begin with",
                path.display()
            ),
            ConfigError::Wrong { name, line, text } => write!(f, "{name}:{line}: {text}"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source),
            ConfigError::Wrong { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
