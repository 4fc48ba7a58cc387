//! Session timers (RFC 4028): what one side asks for, and what the other grants.

use std::fmt;
use std::time::Duration;

use super::header::{Headers, Name};
use super::lex::{Scan, number, trim};
use super::message::{ParseError, Request, Response, Status};
use super::uri::Params;

/// Shorter sessions are refused with 422 (§5: never below 90 s).
pub const MIN_SE: u32 = 90;
/// What the switch asks for, and grants to who names no interval (§4: half an hour is recommended).
pub const INTERVAL: u32 = 1800;

/// Which end of the transaction that settles it refreshes the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

/// The value of Session-Expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// How long the session lasts without a refresh, in seconds.
    pub seconds: u32,
    /// Who refreshes, where that is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// The header of a message; `None` where there is none.
    pub fn of(headers: &Headers) -> Result<Option<SessionExpires>, ParseError> {
        let Some(value) = headers.get(&Name::SessionExpires) else { return Ok(None) };
        let malformed = || ParseError::bad("Malformed Session-Expires");
        let mut scan = Scan::new(trim(value));
        let seconds = number(scan.take_while(|byte| byte.is_ascii_digit())).ok_or_else(malformed)?;
        let params = Params::parse_header(&mut scan)?;
        if !scan.is_empty() {
            return Err(malformed());
        }
        let refresher = match params.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => return Err(malformed()),
            None => None,
        };
        Ok(Some(SessionExpires { seconds: u32::try_from(seconds).unwrap_or(u32::MAX), refresher }))
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// The Min-SE of a message, in seconds; malformed reads as absent.
pub fn min_se(headers: &Headers) -> Option<u32> {
    let seconds = headers.get(&Name::MinSe)?.split(|byte| *byte == b';').next().and_then(|text| number(trim(text)))?;
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// What a request that makes or refreshes a session is granted (§9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// With its refresher.
    expires: SessionExpires,
    /// The requester knows session timers.
    supported: bool,
}

impl Grant {
    /// `Ok(None)`: who asks knows no session timers, and no proxy on the way wants one. `Err`: the 422, or the 400.
    pub fn of(request: &Request) -> Result<Option<Grant>, Response> {
        let headers = &request.headers;
        let supported = headers.lists(&Name::Supported, "timer") || headers.lists(&Name::Require, "timer");
        let asked = SessionExpires::of(headers).map_err(|error| {
            let mut response = request.response(error.status);
            response.reason = error.text;
            response
        })?;
        let seconds = match asked {
            Some(asked) if asked.seconds < MIN_SE && supported => {
                return Err(request.response(Status(422)).with(Name::MinSe, MIN_SE.to_string()));
            }
            Some(asked) => asked.seconds.max(MIN_SE),
            None if supported => INTERVAL.max(min_se(headers).unwrap_or(0)),
            None => return Ok(None),
        };
        // Who does not know the extension cannot be asked to refresh; who names nobody leaves it to the switch.
        let refresher = asked.and_then(|asked| asked.refresher).filter(|_| supported).unwrap_or(Refresher::Uas);
        Ok(Some(Grant { expires: SessionExpires { seconds, refresher: Some(refresher) }, supported }))
    }

    /// Says so in the 2xx.
    pub fn write(&self, response: &mut Response) {
        response.headers.push(Name::SessionExpires, self.expires.to_string());
        if self.supported && self.expires.refresher == Some(Refresher::Uac) {
            response.headers.push(Name::Require, "timer");
        }
    }

    /// What it comes to for the switch.
    pub fn timer(&self) -> SessionTimer {
        SessionTimer { seconds: self.expires.seconds, ours: self.expires.refresher != Some(Refresher::Uac) }
    }
}

/// A session that lasts no longer than this without a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// How long, in seconds.
    pub seconds: u32,
    /// The switch refreshes it; otherwise the phone does.
    pub ours: bool,
}

impl SessionTimer {
    /// What is asked for in a request of ours that begins a session.
    pub fn wanted(seconds: u32) -> SessionTimer {
        SessionTimer { seconds, ours: true }
    }

    /// As a request of ours says it.
    pub fn expires(self) -> SessionExpires {
        let refresher = if self.ours { Refresher::Uac } else { Refresher::Uas };
        SessionExpires { seconds: self.seconds, refresher: Some(refresher) }
    }

    /// What the 2xx to a request of ours settles (§7.2); `None`: the session does not expire.
    pub fn settled(response: &Response) -> Option<SessionTimer> {
        let granted = SessionExpires::of(&response.headers).ok().flatten()?;
        let ours = granted.refresher != Some(Refresher::Uas);
        Some(SessionTimer { seconds: granted.seconds.max(MIN_SE), ours })
    }

    /// How long it lasts.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// When, after the last refresh, there is something to do: half the interval for the one who refreshes; for the other shortly before it ends,
    /// so that the BYE arrives in time (§10).
    pub fn wait(self) -> Duration {
        let interval = self.interval();
        if self.ours { interval / 2 } else { interval - (interval / 3).min(Duration::from_secs(32)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Method;
    use super::super::uri::Uri;
    use super::*;

    fn request(fields: &[(Name, &str)]) -> Request {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:b@example.com").expect("a URI"));
        for (name, value) in fields {
            request.headers.push(name.clone(), (*value).to_owned());
        }
        request
    }

    fn granted(fields: &[(Name, &str)]) -> (Option<String>, bool) {
        let request = request(fields);
        let mut response = request.response(Status(200));
        if let Some(grant) = Grant::of(&request).expect("well formed") {
            grant.write(&mut response);
        }
        let text = response.headers.text(&Name::SessionExpires).map(|text| text.into_owned());
        (text, response.headers.get(&Name::Require).is_some())
    }

    #[test]
    fn rfc_4028_section_9_table_2_who_refreshes() {
        assert_eq!(granted(&[]), (None, false));
        assert_eq!(granted(&[(Name::Supported, "timer")]), (Some("1800;refresher=uas".into()), false));
        let both = |value| granted(&[(Name::Supported, "100rel, timer"), (Name::SessionExpires, value)]);
        assert_eq!(both("600"), (Some("600;refresher=uas".into()), false));
        assert_eq!(both("600;refresher=uac"), (Some("600;refresher=uac".into()), true));
        assert_eq!(both("600 ; refresher=UAS"), (Some("600;refresher=uas".into()), false));
        // A proxy wants it, the phone does not know of it.
        assert_eq!(granted(&[(Name::SessionExpires, "60")]), (Some("90;refresher=uas".into()), false));
    }

    #[test]
    fn rfc_4028_section_6_too_short_an_interval_is_a_422() {
        let request = request(&[(Name::Supported, "timer"), (Name::SessionExpires, "60")]);
        let response = Grant::of(&request).expect_err("too short");
        assert_eq!((response.status, response.headers.get(&Name::MinSe)), (Status(422), Some(b"90".as_slice())));
    }

    #[test]
    fn a_malformed_session_expires_is_a_400_and_a_malformed_min_se_is_none() {
        for value in ["", "x", "1x", "600;refresher=both", "-1"] {
            let request = request(&[(Name::SessionExpires, value)]);
            assert_eq!(Grant::of(&request).expect_err("malformed").status, Status(400), "{value}");
        }
        assert_eq!(min_se(&request(&[(Name::MinSe, "x")]).headers), None);
        assert_eq!(min_se(&request(&[(Name::MinSe, "120;a=b")]).headers), Some(120));
        assert_eq!(min_se(&request(&[(Name::MinSe, "99999999999")]).headers), Some(u32::MAX));
    }

    #[test]
    fn the_one_who_waits_acts_before_the_end() {
        assert_eq!(SessionTimer { seconds: 90, ours: false }.wait(), Duration::from_secs(60));
        assert_eq!(SessionTimer { seconds: 1800, ours: false }.wait(), Duration::from_secs(1768));
        assert_eq!(SessionTimer { seconds: 1800, ours: true }.wait(), Duration::from_secs(900));
    }
}
