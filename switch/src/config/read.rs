//! From a value of the file to what it means.

use crate::sounds::announcement::Audience;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cas::site::plan::Orbits;
use cas::site::{DigestPolicy, Extension};
use media::tone::zone::Zone;

use super::Music;
use super::document::{Value, Wrong};
use crate::sounds::wav;

/// A name of the DNS (RFC 1035 §3.1).
const MAX_DOMAIN: usize = 253;
/// More media threads than this help nobody: one relays some thousand streams.
const MAX_THREADS: u8 = 32;
/// An hour.
const MAX_DELAY: u64 = 3600;
/// A century.
const MAX_DAYS: u32 = 36_500;

pub(super) fn folder(value: &Value<'_>) -> Result<PathBuf, Wrong> {
    text(value, "the path of a folder", |text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

pub(super) fn addresses(value: &Value<'_>) -> Result<Vec<SocketAddr>, Wrong> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong(value, r#"a list of addresses with ports, such as ["0.0.0.0:5060"]"#);
    };
    let mut addresses = Vec::new();
    for item in items.iter() {
        let address: SocketAddr =
            text(item, r#"an address with a port, such as "0.0.0.0:5060" or "[::]:5060""#, |text| text.parse().ok())?;
        if addresses.contains(&address) && address.port() != 0 {
            return wrong(item, "each address once");
        }
        addresses.push(address);
    }
    Ok(addresses)
}

pub(super) fn domain(value: &Value<'_>) -> Result<String, Wrong> {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = |text: &str| text.len() <= MAX_DOMAIN && text.split('.').all(label);
    text(value, r#"a host name, such as "switch.local""#, |text| name(text).then(|| text.to_ascii_lowercase()))
}

pub(super) fn digest(value: &Value<'_>) -> Result<DigestPolicy, Wrong> {
    text(value, "md5, sha256 or both", DigestPolicy::from_name)
}

pub(super) fn media_address(value: &Value<'_>) -> Result<Option<IpAddr>, Wrong> {
    let one_host = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    text(value, r#""auto" or the address phones send their audio to, such as "192.0.2.1""#, |text| match text {
        "auto" => Some(None),
        text => text.parse().ok().filter(one_host).map(Some),
    })
}

pub(super) fn ports(value: &Value<'_>) -> Result<RangeInclusive<u16>, Wrong> {
    // RTP at an even port, its RTCP one above (RFC 3550 §11).
    let pairs = |range: &RangeInclusive<u16>| {
        range.start().is_multiple_of(2) && !range.end().is_multiple_of(2) && range.start() < range.end()
    };
    text(value, r#"an even port, a dash and a higher odd port, all above 1023, such as "20000-29999""#, |text| {
        let (first, last) = text.split_once('-')?;
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?).filter(pairs).filter(|range| *range.start() > 1023)
    })
}

pub(super) fn threads(value: &Value<'_>) -> Result<NonZeroU8, Wrong> {
    let threads = integer(value).and_then(|number| u8::try_from(number).ok()).and_then(NonZeroU8::new);
    threads.filter(|threads| threads.get() <= MAX_THREADS).map_or_else(|| wrong(value, "a number from 1 to 32"), Ok)
}

pub(super) fn orbits(value: &Value<'_>) -> Result<Orbits, Wrong> {
    text(value, r#"two numbers of one length and a dash, 1000 orbits at most, such as "700-719""#, Orbits::parse)
}

/// 0, never: `None`.
pub(super) fn delay(value: &Value<'_>) -> Result<Option<Duration>, Wrong> {
    let seconds = integer(value).and_then(|number| u64::try_from(number).ok()).filter(|seconds| *seconds <= MAX_DELAY);
    seconds.map_or_else(
        || wrong(value, "a number of seconds from 0 to 3600"),
        |seconds| Ok(Some(Duration::from_secs(seconds)).filter(|recall| !recall.is_zero())),
    )
}

/// Empty: `None`. Extensions and orbits are digits alone: with another sign at its beginning no code is in the way of one, nor one in its way.
pub(super) fn code(value: &Value<'_>) -> Result<Option<Extension>, Wrong> {
    text(value, r##"* or # and then digits, * and #, such as "*68", or "" for none"##, |text| match text {
        "" => Some(None),
        text => Extension::parse(text).ok().filter(|code| code.as_str().starts_with(['*', '#'])).map(Some),
    })
}

/// Users with music of their own.
const MOST_MUSIC: usize = 50;

pub(super) fn announcements(value: &Value<'_>) -> Result<Audience, Wrong> {
    text(value, "nobody, connected or everybody", |text| match text {
        "nobody" => Some(Audience::Nobody),
        "connected" => Some(Audience::Connected),
        "everybody" => Some(Audience::Everybody),
        _ => None,
    })
}

pub(super) fn music(value: &Value<'_>) -> Result<Music, Wrong> {
    match value.get_ref().as_str() {
        Some("built-in") => Ok(Music::BuiltIn),
        Some("none") => Ok(Music::None),
        Some(file) if !file.is_empty() => wav_file(value, file).map(Music::File),
        _ => wrong(value, "built-in, none, or the path of a WAV file"),
    }
}

pub(super) fn music_of(value: &Value<'_>) -> Result<BTreeMap<String, PathBuf>, Wrong> {
    let expected = r#"an extension and the path of a WAV file, such as "501 /srv/501.wav""#;
    let Some(items) = value.get_ref().as_array() else {
        return wrong(value, r#"a list of extensions with WAV files, such as ["501 /srv/501.wav"]"#);
    };
    let mut files = BTreeMap::new();
    for item in items.iter() {
        let (extension, file) = text(item, expected, |text| {
            let (extension, file) = text.split_once(' ')?;
            Extension::parse(extension).ok()?;
            Some((extension.to_owned(), file.trim().to_owned()))
        })?;
        let file = wav_file(item, &file)?;
        if files.insert(extension, file).is_some() {
            return wrong(item, "each extension once");
        }
    }
    if files.len() > MOST_MUSIC {
        return wrong(value, "50 of them at most");
    }
    Ok(files)
}

/// Looks into the file, so that a wrong one is told with its line and not when somebody waits for its music.
fn wav_file(value: &Value<'_>, file: &str) -> Result<PathBuf, Wrong> {
    let path = Path::new(file);
    match wav::check(path) {
        Ok(()) => Ok(path.to_owned()),
        Err(error) => wrong(value, &error.to_string()),
    }
}

pub(super) fn zone(value: &Value<'_>) -> Result<Zone, Wrong> {
    let expected = format!("one of {}", Zone::names().collect::<Vec<_>>().join(", "));
    text(value, &expected, |text| Zone::of(&text.to_ascii_lowercase()))
}

/// 0, for ever: `None`.
pub(super) fn days(value: &Value<'_>) -> Result<Option<u32>, Wrong> {
    let days = integer(value).and_then(|number| u32::try_from(number).ok()).filter(|days| *days <= MAX_DAYS);
    days.map_or_else(
        || wrong(value, "a number of days from 0 to 36500"),
        |days| Ok(Some(days).filter(|days| *days > 0)),
    )
}

pub(super) fn level(value: &Value<'_>) -> Result<String, Wrong> {
    let known = |text: &&str| ["error", "warn", "info", "debug", "trace"].contains(text);
    text(value, "error, warn, info, debug or trace", |text| Some(text).filter(known).map(str::to_owned))
}

pub(super) fn yes_or_no(value: &Value<'_>) -> Result<bool, Wrong> {
    value.get_ref().as_bool().map_or_else(|| wrong(value, "true or false"), Ok)
}

/// More than a million of anything is no limit.
const MOST: i64 = 1_000_000;

pub(super) fn limit(value: &Value<'_>) -> Result<usize, Wrong> {
    let number = integer(value).filter(|number| (1..=MOST).contains(number));
    number
        .and_then(|number| usize::try_from(number).ok())
        .map_or_else(|| wrong(value, "a number from 1 to 1000000"), Ok)
}

pub(super) fn minutes(value: &Value<'_>) -> Result<Duration, Wrong> {
    let number = integer(value).filter(|number| (1..=24 * 60).contains(number));
    let minutes = number.and_then(|number| u64::try_from(number).ok());
    minutes.map_or_else(
        || wrong(value, "a number of minutes from 1 to 1440"),
        |minutes| Ok(Duration::from_secs(60 * minutes)),
    )
}

pub(super) fn waiting(value: &Value<'_>) -> Result<usize, Wrong> {
    let number = integer(value).filter(|number| (0..=MOST).contains(number));
    number
        .and_then(|number| usize::try_from(number).ok())
        .map_or_else(|| wrong(value, "a number from 0 to 1000000"), Ok)
}

pub(super) fn lag(value: &Value<'_>) -> Result<Duration, Wrong> {
    // A phone repeats itself after 500 ms (RFC 3261 §17.1.1.1): beyond that the waiting makes the load.
    let number = integer(value).filter(|number| (10..=500).contains(number));
    let lag = number.and_then(|number| u64::try_from(number).ok()).map(Duration::from_millis);
    lag.map_or_else(|| wrong(value, "milliseconds from 10 to 500"), Ok)
}

fn integer(value: &Value<'_>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn text<T>(value: &Value<'_>, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Wrong> {
    value.get_ref().as_str().and_then(read).map_or_else(|| wrong(value, expected), Ok)
}

fn wrong<T>(value: &Value<'_>, expected: &str) -> Result<T, Wrong> {
    Err(Wrong { span: value.span(), expected: expected.to_owned() })
}
