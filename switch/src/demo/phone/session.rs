//! Session timers (RFC 4028): a call that is not refreshed ends.

use std::time::{Duration, Instant};

use rsip::headers::Header;
use rsip::message::HasHeaders;
use rsip::{Request, Response};

use super::call::{Change, Phase, Want};
use super::{End, Phone, message};

/// The interval of a call, and whose part it is to refresh it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    expires: u32,
    ours: bool,
    /// When this side must refresh, or may give up.
    pub(super) due: Instant,
    /// When it is over whoever refreshes.
    ends: Instant,
}

impl Session {
    /// RFC 4028 §10: the refresher acts at half of the interval; the other waits until shortly before its end.
    fn begin(now: Instant, expires: u32, ours: bool) -> Session {
        let early = 32.min(expires / 3);
        let ends = now + Duration::from_secs(u64::from(expires - early));
        let due = if ours { now + Duration::from_secs(u64::from(expires / 2)) } else { ends };
        Session { expires, ours, due, ends }
    }
}

impl Phone {
    /// What an INVITE or UPDATE of this side says of the session's length (RFC 4028 §7.1, §7.4).
    pub(super) fn session_headers(&self) -> Vec<Header> {
        let Some(timer) = self.config.manners.timer else { return Vec::new() };
        let call = self.call.as_ref();
        let min = timer.min.max(call.map_or(0, |call| call.min_expires));
        let running = call.and_then(|call| call.session_timer);
        let expires = running.map_or(timer.expires, |session| session.expires).max(min);
        let ours = running.map_or(timer.refreshes, |session| session.ours);
        let refresher = if ours { "uac" } else { "uas" };
        vec![
            message::extra("Session-Expires", &format!("{expires};refresher={refresher}")),
            message::extra("Min-SE", &min),
        ]
    }

    /// The shortest interval this side takes, where an INVITE asks for less.
    pub(super) fn too_brief(&self, request: &Request) -> Option<Header> {
        let timer = self.config.manners.timer?;
        let (expires, _) = message::number(request, "Session-Expires", "refresher")?;
        (expires < timer.min).then(|| message::extra("Min-SE", &timer.min))
    }

    /// Takes what an INVITE or UPDATE asks for, and says what the 2xx has to (RFC 4028 §9).
    pub(super) fn session_asked(&mut self, now: Instant, request: &Request) -> Vec<Header> {
        let Some(timer) = self.config.manners.timer else { return Vec::new() };
        let Some(call) = &mut self.call else { return Vec::new() };
        call.peer.learn(request);
        let asked = message::number(request, "Session-Expires", "refresher");
        let least = message::number(request, "Min-SE", "").map_or(0, |(least, _)| least);
        let expires = asked.map_or(timer.expires.max(least), |(expires, _)| expires);
        let ours = match asked.and_then(|(_, refresher)| refresher) {
            _ if !call.peer.timer => true,
            Some(refresher) => refresher == "uas",
            None => timer.refreshes,
        };
        call.session_timer = Some(Session::begin(now, expires, ours));
        let refresher = if ours { "uas" } else { "uac" };
        let mut headers = vec![message::extra("Session-Expires", &format!("{expires};refresher={refresher}"))];
        if !ours {
            headers.push(Header::Require("timer".into()));
        }
        headers
    }

    /// A 2xx to an INVITE or UPDATE of this side says what was agreed on (RFC 4028 §7.2).
    pub(super) fn session_agreed(&mut self, now: Instant, response: &Response) {
        let agreed = message::number(response, "Session-Expires", "refresher");
        let asked = self.config.manners.timer;
        let Some(call) = &mut self.call else { return };
        call.session_timer = match (agreed, asked) {
            (Some((expires, refresher)), Some(_)) => {
                Some(Session::begin(now, expires, refresher.is_none_or(|refresher| refresher == "uac")))
            }
            _ => None,
        };
    }

    /// The interval was too short for the other side (422): the one it takes.
    pub(super) fn session_minimum(&mut self, response: &impl HasHeaders) -> bool {
        let minimum = message::number(response, "Min-SE", "").map(|(minimum, _)| minimum);
        match (minimum, &mut self.call, self.config.manners.timer) {
            (Some(minimum), Some(call), Some(timer)) if minimum > call.min_expires.max(timer.min) => {
                call.min_expires = minimum;
                true
            }
            _ => false,
        }
    }

    pub(super) fn elapse_session(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        let Some(session) = &mut call.session_timer else { return };
        if session.due > now || !matches!(call.phase, Phase::Talking(_)) {
            return;
        }
        if session.ends <= now {
            self.bye(now);
            return self.end(End::Expired);
        }
        session.due = session.ends;
        if matches!(call.change, Change::None) {
            self.change(now, Want::Refresh);
        }
    }
}
