//! What is watched on the wire: every request that reached the switch gets one final response, every 2xx its ACK, and nothing is sent more
//! often, or sooner again, than RFC 3261 lets it be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use switch::node::StreamId;

use super::trace::header;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Sendings of an INVITE in 64·T1 (timer A), and of anything else (timers E, G, and the 2xx).
const INVITES: u32 = 7;
const OTHERS: u32 = 11;
/// How long what is over is remembered, and how long an answer may be owed.
const MEMORY: Duration = Duration::from_secs(200);
/// How long ago the last request may have come that is not answered yet, with nothing else under way.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// How much later than it should something may be sent again.
const PUNCTUAL: Duration = Duration::from_millis(50);
/// A PRACK takes no longer than a message on a stream is under way.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A 2xx that comes later than this after its INVITE may find nobody (timers B and M).
const AWAITED: Duration = Duration::from_secs(30);

/// The messages of the world, by branch and method.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Requests that reached the switch.
    asked: BTreeMap<(String, String), Asked>,
    /// Requests of the switch.
    sent: BTreeMap<(String, String), Sent>,
    /// Final responses to the switch's INVITEs: a 2xx by dialog and number, a refusal by branch.
    finals: BTreeMap<String, Final>,
    /// Dialogs that the switch has hung up: what is answered within them later needs no ACK.
    hung_up: BTreeMap<(String, String), Instant>,
    /// Reliable provisional responses (RFC 3262).
    reliable: BTreeMap<Rseq, Reliable>,
    watched: u32,
}

#[derive(Debug)]
struct Asked {
    stream: Option<StreamId>,
    at: Instant,
    arrivals: u32,
    answer: Option<u16>,
    answers: u32,
}

#[derive(Debug)]
struct Sent {
    stream: Option<StreamId>,
    first: Instant,
    last: Instant,
    times: u32,
    /// Something was answered.
    answered: bool,
}

impl Sent {
    /// How long after its last sending it is sent again, where nothing is answered: never less, and hardly more.
    fn interval(&self, method: &str) -> Duration {
        let doubled = T1 * 2u32.pow(self.times.min(10) - 1);
        if method == "INVITE" { doubled } else { doubled.min(T2) }
    }

    fn most(method: &str) -> u32 {
        if method == "INVITE" { INVITES } else { OTHERS }
    }

    /// Whether it should have been sent again by now.
    fn is_overdue(&self, now: Instant, method: &str) -> bool {
        let unanswered = self.stream.is_none() && !self.answered && self.times < Sent::most(method);
        unanswered && now - self.last > self.interval(method) + PUNCTUAL
    }
}

/// Names a reliable provisional response: Call-ID, the tag of who sent it, its RSeq.
type Rseq = (String, String, u32);

#[derive(Debug)]
struct Reliable {
    stream: Option<StreamId>,
    at: Instant,
    pracked: bool,
}

#[derive(Debug)]
struct Final {
    stream: Option<StreamId>,
    at: Instant,
    arrivals: u32,
    acks: u32,
    /// Whether somebody must be waiting for it.
    awaited: bool,
}

/// What is looked at in a message.
struct Seen {
    /// `None`: a request.
    status: Option<u16>,
    branch: String,
    method: String,
    /// Names the INVITE's dialog and number.
    dialog: String,
    call_id: String,
    tag: String,
    /// The RSeq of a provisional response that wants a PRACK, or of the one that a PRACK is for.
    rseq: Option<u32>,
}

impl Wire {
    /// A message reaches the switch.
    pub(super) fn arrives(&mut self, now: Instant, stream: Option<StreamId>, bytes: &[u8]) {
        let Some(seen) = Seen::of(bytes) else { return };
        if seen.status.is_some()
            && let Some(sent) = self.sent.get_mut(&(seen.branch.clone(), seen.method.clone()))
        {
            sent.answered = true;
        }
        match seen.status {
            None if seen.method == "ACK" => {}
            None => {
                let asked = self.asked.entry((seen.branch, seen.method)).or_insert(Asked {
                    stream,
                    at: now,
                    arrivals: 0,
                    answer: None,
                    answers: 0,
                });
                asked.arrivals += 1;
            }
            Some(100..200) => {
                let over = self.hung_up.contains_key(&(seen.call_id.clone(), String::new()));
                let rseq = seen.rseq();
                let invite = self.sent.get(&(seen.branch, seen.method));
                if let Some(rseq) = rseq.filter(|_| !over && invite.is_some_and(|invite| now - invite.first < AWAITED))
                {
                    self.reliable.entry(rseq).or_insert(Reliable { stream, at: now, pracked: false });
                }
            }
            Some(200..) if seen.method == "INVITE" => {
                self.ringing_ends(now, &seen.call_id);
                let invite = self.sent.get(&(seen.branch.clone(), seen.method.clone()));
                let over = self.hung_up.contains_key(&(seen.call_id.clone(), seen.tag.clone()));
                let awaited = !over && invite.is_some_and(|invite| now - invite.first < AWAITED);
                let arrived = self.finals.entry(seen.acknowledged()).or_insert(Final {
                    stream,
                    at: now,
                    arrivals: 0,
                    acks: 0,
                    awaited,
                });
                arrived.arrivals += 1;
            }
            Some(_) => {}
        }
    }

    /// Bytes of any kind reach the switch. What names a request of its own may be an answer to it, as the switch reads it, and then it is not sent again.
    pub(super) fn thrown(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        if !text.trim_start().starts_with("sip/") {
            return;
        }
        for ((branch, _), sent) in self.sent.iter_mut().filter(|(_, sent)| !sent.answered) {
            sent.answered = text.contains(&branch.to_ascii_lowercase());
        }
    }

    /// The switch sends a message, on this stream or as a datagram. `Err`: how it breaks the rules.
    pub(super) fn leaves(&mut self, now: Instant, stream: Option<StreamId>, bytes: &[u8]) -> Result<(), String> {
        self.watched += 1;
        if self.watched.is_multiple_of(256) {
            self.forget_before(now)?;
        }
        let is_late = |(_, sent): &(&Rseq, &Reliable)| !sent.pracked && now - sent.at > AT_ONCE;
        if let Some(((call_id, _, rseq), _)) = self.reliable.iter().find(is_late) {
            return Err(format!("the reliable answer {rseq} in {call_id} was not acknowledged"));
        }
        let Some(seen) = Seen::of(bytes) else { return Ok(()) };
        match seen.status {
            Some(status @ 200..) => self.answered(seen, status, stream.is_some()),
            Some(_) => Ok(()),
            None if seen.method == "ACK" => self.acknowledged(&seen),
            None => self.requested(now, seen, stream),
        }
    }

    /// It is answered for good, or given up: what still comes of a reliable answer comes too late.
    fn ringing_ends(&mut self, now: Instant, call_id: &str) {
        self.reliable.retain(|(its, ..), sent| its != call_id || sent.pracked);
        self.hung_up.insert((call_id.to_owned(), String::new()), now);
    }

    fn answered(&mut self, seen: Seen, status: u16, on_stream: bool) -> Result<(), String> {
        let Some(asked) = self.asked.get_mut(&(seen.branch, seen.method.clone())) else { return Ok(()) };
        let method = &seen.method;
        if let Some(before) = asked.answer.filter(|before| *before != status) {
            return Err(format!("a {method} was answered {before} and then {status}"));
        }
        asked.answer = Some(status);
        asked.answers += 1;
        let repeated = method == "INVITE" && (status < 300 || !on_stream);
        let most = asked.arrivals + if repeated { OTHERS - 1 } else { 0 };
        match asked.answers > most {
            true => Err(format!("a {method} that came {} times was answered {} times", asked.arrivals, asked.answers)),
            false => Ok(()),
        }
    }

    fn acknowledged(&mut self, seen: &Seen) -> Result<(), String> {
        let known = match self.finals.get_mut(&seen.dialog) {
            Some(accepted) => accepted,
            None => match self.finals.get_mut(&seen.branch) {
                Some(refused) => refused,
                None => return Ok(()),
            },
        };
        known.acks += 1;
        match known.acks > known.arrivals {
            true => Err(format!("{} answers were acknowledged {} times", known.arrivals, known.acks)),
            false => Ok(()),
        }
    }

    fn requested(&mut self, now: Instant, seen: Seen, stream: Option<StreamId>) -> Result<(), String> {
        match seen.method.as_str() {
            "PRACK" => {
                if let Some(sent) = seen.rseq().and_then(|rseq| self.reliable.get_mut(&rseq)) {
                    sent.pracked = true;
                }
            }
            "CANCEL" => self.ringing_ends(now, &seen.call_id),
            _ => {}
        }
        if seen.method == "BYE" {
            self.hung_up.insert((seen.call_id.clone(), seen.tag.clone()), now);
        }
        let method = seen.method.clone();
        let key = (seen.branch, seen.method);
        let Some(sent) = self.sent.get_mut(&key) else {
            self.sent.insert(key, Sent { stream, first: now, last: now, times: 1, answered: false });
            return Ok(());
        };
        let (passed, least, late) = (now - sent.last, sent.interval(&method), sent.is_overdue(now, &method));
        sent.last = now;
        sent.times += 1;
        if stream.is_some() {
            return Err(format!("a {method} was sent again on a stream"));
        }
        if passed < least || late {
            return Err(format!("a {method} was sent again after {passed:?}, the {} time", sent.times));
        }
        match sent.times > Sent::most(&method) {
            true => Err(format!("a {method} was sent {} times", sent.times)),
            false => Ok(()),
        }
    }

    /// Whether the switch has sent this request before.
    pub(super) fn has_seen(&self, request: &[u8]) -> bool {
        let seen = Seen::of(request).filter(|seen| seen.status.is_none() && seen.method != "ACK");
        seen.is_some_and(|seen| self.sent.contains_key(&(seen.branch, seen.method)))
    }

    /// A connection broke, and with it the way of the answers.
    pub(super) fn broke(&mut self, stream: StreamId) {
        self.asked.retain(|_, asked| asked.stream != Some(stream));
        // Who is asked on it is given up: an answer by another connection finds nobody.
        self.sent.retain(|_, sent| sent.stream != Some(stream));
        self.finals.retain(|_, arrived| arrived.stream != Some(stream));
        self.reliable.retain(|_, sent| sent.stream != Some(stream));
    }

    /// What is over is forgotten. `Err`: something is owed for too long. An INVITE may ring.
    fn forget_before(&mut self, now: Instant) -> Result<(), String> {
        let owed = |((branch, method), asked): (&(String, String), &Asked)| {
            (asked.answer.is_none() && method != "INVITE" && now - asked.at > MEMORY)
                .then(|| format!("the {method} {branch} is not answered"))
        };
        if let Some(breach) = self.asked.iter().find_map(owed) {
            return Err(breach);
        }
        let late = |((branch, method), sent): (&(String, String), &Sent)| {
            sent.is_overdue(now, method).then(|| format!("the {method} {branch} was not sent again"))
        };
        if let Some(breach) = self.sent.iter().find_map(late) {
            return Err(breach);
        }
        self.owes_no_ack(now)?;
        self.asked.retain(|_, asked| asked.answer.is_none() || now - asked.at < MEMORY);
        self.sent.retain(|(_, method), sent| now - sent.last < if method == "INVITE" { 2 * MEMORY } else { MEMORY });
        self.finals.retain(|_, arrived| now - arrived.at < MEMORY);
        self.hung_up.retain(|_, at| now - *at < MEMORY);
        self.reliable.retain(|_, sent| now - sent.at < MEMORY);
        Ok(())
    }

    fn owes_no_ack(&self, now: Instant) -> Result<(), String> {
        let owed =
            |(_, arrived): &(&String, &Final)| arrived.awaited && arrived.acks == 0 && now - arrived.at > MEMORY / 2;
        self.finals
            .iter()
            .find(owed)
            .map_or(Ok(()), |(name, _)| Err(format!("the answer {name} was never acknowledged")))
    }

    /// Nothing is under way any more. `Err`: a request without a final response, an answer without its ACK.
    pub(super) fn settle(&mut self, now: Instant) -> Result<(), String> {
        let open = |(_, asked): &(&(String, String), &Asked)| asked.answer.is_none() && now - asked.at > UNDER_WAY;
        if let Some(((branch, method), _)) = self.asked.iter().find(open) {
            return Err(format!("the {method} {branch} was never answered"));
        }
        self.owes_no_ack(now)?;
        // A NOTIFY may wait for the answer of a slow telephone: how often it is sent counts on.
        let sent = std::mem::take(&mut self.sent);
        self.forget();
        self.sent = sent;
        Ok(())
    }

    /// The switch was restarted: what it had not answered, it never will.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.sent.clear();
        self.finals.clear();
        self.hung_up.clear();
        self.reliable.clear();
    }
}

impl Seen {
    fn of(bytes: &[u8]) -> Option<Seen> {
        let text = std::str::from_utf8(bytes).ok()?;
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let (number, method) = header(text, "CSeq")?.split_once(' ')?;
        let call_id = header(text, "Call-ID")?;
        let tag = header(text, "To")?.split_once("tag=").map_or("", |(_, tag)| tag.split(';').next().unwrap_or(tag));
        let via = header(text, "Via")?;
        let start = via.find("branch=")? + "branch=".len();
        let branch = via[start..].split([';', ',']).next()?;
        Some(Seen {
            status,
            branch: branch.to_owned(),
            method: method.trim().to_owned(),
            dialog: format!("{call_id} {number} {tag}"),
            call_id: call_id.to_owned(),
            tag: tag.to_owned(),
            rseq: header(text, "RSeq")
                .filter(|_| header(text, "Require").is_some())
                .or_else(|| header(text, "RAck")?.split(' ').next())
                .and_then(|number| number.trim().parse().ok()),
        })
    }

    /// The reliable provisional response that this is, or that this PRACK is for.
    fn rseq(&self) -> Option<Rseq> {
        Some((self.call_id.clone(), self.tag.clone(), self.rseq?))
    }

    /// What its ACK is known by.
    fn acknowledged(&self) -> String {
        match self.status {
            Some(200..300) => self.dialog.clone(),
            _ => self.branch.clone(),
        }
    }
}
