//! Subscriptions (RFC 6665): lamps, presence and message counts on phones.
//!
//! A phone asks to be told of an event package about a number, or about a list of numbers; it is told the state at once, and anew whenever that changes, as long as it
//! renews its subscription. What it is told is worked out from the tables of call control and of the registrar at the end of each step ([`watch`]), and compared with
//! what it was told before: no verb of call control has to think of lamps, and none can forget them.
//!
//! [`accept`] answers SUBSCRIBE, [`notify`] sends and paces NOTIFY, [`lost`] mends what a phone believes wrongly, [`publish`] takes PUBLISH; one file for each package:
//! [`dialog_info`], [`presence`], [`summary`]; [`list`] holds several resources in one subscription.

pub(crate) mod accept;
pub(crate) mod dialog_info;
pub(crate) mod list;
pub(crate) mod lost;
pub(crate) mod notify;
pub(crate) mod package;
pub(crate) mod presence;
pub(crate) mod publish;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod watch;
mod xml;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cas::site::DeviceId;

use crate::sip::dialog::Dialog;
use crate::sip::event::Event;
use crate::sip::uri::Uri;

pub(crate) use package::Package;
use watch::{State, Subject};

/// Names a subscription within the switch; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u64);

/// What a phone has asked to be told.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) device: DeviceId,
    pub(crate) package: Package,
    /// The Event header that each NOTIFY repeats.
    pub(crate) event: Event,
    pub(crate) dialog: Dialog,
    /// Our tag in it.
    pub(crate) tag: String,
    /// The resource as the phone wrote it.
    pub(crate) uri: Uri,
    pub(crate) of: Of,
    pub(crate) ends: Instant,
    pub(crate) notice: Notice,
    pub(crate) pace: Pace,
    /// NOTIFYs in a row that were refused for now.
    pub(crate) refused: u8,
}

/// One resource, or a list of them (RFC 4662).
#[derive(Debug)]
pub(crate) enum Of {
    One(Lamp),
    List { list: list::Members, lamps: Vec<Lamp>, version: u32 },
}

/// A resource as a subscription shows it.
#[derive(Debug)]
pub(crate) struct Lamp {
    pub(crate) number: String,
    /// What the number leads to now; `None`: to nothing any more.
    pub(crate) subject: Option<Subject>,
    /// Of its next document.
    pub(crate) version: u32,
    /// What was sent last; `None` where all of it is to be sent.
    pub(crate) told: Option<Arc<State>>,
}

/// What a subscription has to tell.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Nothing: the phone knows what there is.
    Told,
    /// This, when the timer says so.
    Due(News),
    /// A NOTIFY has no answer yet; this after it. One at a time: what is told is what is, not what was.
    Unanswered(Option<News>),
}

/// The more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// What has changed.
    Changes,
    /// All there is.
    Everything,
    /// That it is over.
    End(Reason),
}

/// Why a subscription is over (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// It was not renewed, or taken back.
    Timeout,
    /// The number is no more.
    NoResource,
    /// The device is no more.
    Rejected,
    /// The switch stops: the phone is to come again in a while.
    Probation,
    /// The switch lost it: the phone is to come again at once.
    Deactivated,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::NoResource => "noresource",
            Reason::Rejected => "rejected",
            Reason::Probation => "probation",
            Reason::Deactivated => "deactivated",
        }
    }
}

/// Not more NOTIFYs than one for each interval; a few may come at once after a rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// What was sent is paid for until then.
    paid: Instant,
}

/// NOTIFYs that may come at once.
const BURST: u32 = 4;

impl Pace {
    pub(crate) fn new(interval: Duration, now: Instant) -> Pace {
        Pace { interval, paid: now }
    }

    /// How long the next one has to wait.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.paid.saturating_duration_since(now).saturating_sub(self.interval * (BURST - 1))
    }

    pub(crate) fn count(&mut self, now: Instant) {
        self.paid = self.paid.max(now) + self.interval;
    }
}

impl Subscription {
    /// The resources of it.
    pub(crate) fn lamps(&self) -> &[Lamp] {
        match &self.of {
            Of::One(lamp) => std::slice::from_ref(lamp),
            Of::List { lamps, .. } => lamps,
        }
    }

    pub(crate) fn lamps_mut(&mut self) -> &mut [Lamp] {
        match &mut self.of {
            Of::One(lamp) => std::slice::from_mut(lamp),
            Of::List { lamps, .. } => lamps,
        }
    }

    /// What it watches.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (Package, Subject)> {
        self.lamps().iter().filter_map(|lamp| Some((self.package, lamp.subject?)))
    }

    /// Whether all that is left of it is to tell so.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.notice, Notice::Due(News::End(_)) | Notice::Unanswered(Some(News::End(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_come_at_once_and_then_one_for_each_interval() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::new(second, start);
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), Duration::ZERO);
            pace.count(start);
        }
        assert_eq!(pace.wait(start), second);
        assert_eq!(pace.wait(start + second), Duration::ZERO);
        pace.count(start + second);
        assert_eq!(pace.wait(start + second), second);
        assert_eq!(pace.wait(start + second * 60), Duration::ZERO);
    }
}
