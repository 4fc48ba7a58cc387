//! The registrar (RFC 3261 §10.3): which contacts a device can be reached at, for how long, and over which flow.
//!
//! What a phone is told is stored is stored: the 200 to a REGISTER that makes, moves or removes a binding waits for the store, and memory changes with
//! it. A pure refresh is answered at once and written behind. While one REGISTER of a device waits, its next ones queue.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cas::control::RegistrationInfo;
use cas::site::DeviceId;
use cas::store::{BindingRecord, Change, RequestId};
use cas::time::{Now, Wall};

use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::{Address, Contacts, Name};
use crate::sip::message::{ParseError, Request, Response, Status};
use crate::sip::transaction::ServerTx;
use crate::sip::uri::{Scheme, Uri};

/// Shorter registrations are refused with 423, longer ones shortened, seconds.
const MIN_EXPIRES: u32 = 60;
const MAX_EXPIRES: u32 = 3600;
/// REGISTERs of one device that may wait for the store.
const QUEUE: usize = 8;

/// Where a device can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) record: BindingRecord,
    /// The contact: the Request-URI of what is sent there.
    pub(crate) contact: Uri,
    pub(crate) flow: Flow,
    ends: Instant,
}

/// What the engine is to do about a REGISTER.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Answer now; write this behind (nothing, often).
    Now(Response, Vec<Change>),
    /// Write this first, as this request, then ask [`Registrar::stored`].
    AfterStore(Vec<Change>),
    /// An earlier REGISTER of the device waits; this one comes back from [`Registrar::stored`].
    Queued,
}

struct Waiting {
    device: DeviceId,
    tx: ServerTx,
    bindings: Vec<Binding>,
    response: Response,
    request: Request,
}

/// What a store reply brought about.
pub(crate) struct Settled {
    pub(crate) device: DeviceId,
    pub(crate) tx: ServerTx,
    pub(crate) response: Response,
    /// The device became reachable, or ceased to be.
    pub(crate) turned: Option<bool>,
    /// REGISTERs that waited for this one, in their order.
    pub(crate) queued: VecDeque<(ServerTx, Request, Flow)>,
}

/// Where every device can be reached, and what of that waits for the store.
pub(crate) struct Registrar {
    bindings: BTreeMap<DeviceId, Vec<Binding>>,
    waiting: BTreeMap<RequestId, Waiting>,
    busy: BTreeMap<DeviceId, VecDeque<(ServerTx, Request, Flow)>>,
    max_bindings: usize,
}

impl Registrar {
    /// With the bindings that outlived a restart.
    pub(crate) fn new(now: Now, records: &[BindingRecord], max_bindings: usize) -> Registrar {
        let mut registrar =
            Registrar { bindings: BTreeMap::new(), waiting: BTreeMap::new(), busy: BTreeMap::new(), max_bindings };
        for record in records {
            let left = Duration::from_millis(record.expires.0.saturating_sub(now.wall.0));
            let Ok(contact) = Uri::parse(&record.contact) else { continue };
            // The connection did not outlive the restart: number 0 is never up, so that the phone is connected to anew.
            let channel = if record.transport == "tcp" { Channel::Tcp(StreamId(0)) } else { Channel::Udp };
            let flow = Flow { channel, local: record.local, peer: record.source };
            let binding = Binding { record: record.clone(), contact, flow, ends: now.mono + left };
            registrar.bindings.entry(record.device).or_default().push(binding);
        }
        registrar
    }

    /// Where a device can be reached, the phone's preferred contact first.
    pub(crate) fn bindings(&self, device: DeviceId) -> Vec<&Binding> {
        let mut bindings: Vec<&Binding> = self.bindings.get(&device).into_iter().flatten().collect();
        bindings.sort_by_key(|binding| std::cmp::Reverse(binding.record.q));
        bindings
    }

    pub(crate) fn is_registered(&self, device: DeviceId) -> bool {
        self.bindings.get(&device).is_some_and(|bindings| !bindings.is_empty())
    }

    /// Whether the device has a binding that came from this address.
    pub(crate) fn is_registered_from(&self, device: DeviceId, source: IpAddr) -> bool {
        self.bindings.get(&device).into_iter().flatten().any(|binding| binding.flow.peer.ip() == source)
    }

    pub(crate) fn len(&self) -> usize {
        self.bindings.values().map(Vec::len).sum()
    }

    /// Devices with a binding.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.bindings.keys().copied()
    }

    pub(crate) fn view(&self) -> Vec<RegistrationInfo> {
        let info = |binding: &Binding| RegistrationInfo {
            device: binding.record.device,
            contact: binding.record.contact.clone(),
            source: format!("{} {}", binding.record.transport, binding.record.source),
            agent: binding.record.agent.clone(),
            expires: binding.record.expires,
        };
        self.bindings.values().flatten().map(info).collect()
    }

    /// When the next binding of a device ends. While a REGISTER waits for the store none does: its outcome replaces them all.
    pub(crate) fn next_end(&self, device: DeviceId) -> Option<Instant> {
        if self.busy.contains_key(&device) {
            return None;
        }
        self.bindings.get(&device)?.iter().map(|binding| binding.ends).min()
    }

    /// A REGISTER whose sender is known to be this device.
    pub(crate) fn register(
        &mut self,
        now: Now,
        tx: ServerTx,
        request: &Request,
        flow: Flow,
        device: DeviceId,
        store: RequestId,
    ) -> Answer {
        if let Some(queue) = self.busy.get_mut(&device) {
            if queue.len() >= QUEUE {
                return Answer::Now(request.response(Status(503)).with(Name::RetryAfter, "2"), Vec::new());
            }
            queue.push_back((tx, request.clone(), flow));
            return Answer::Queued;
        }
        let before = self.bindings.get(&device).map(Vec::as_slice).unwrap_or_default();
        let update =
            match read(now, request, flow, device).and_then(|register| register.update(before, self.max_bindings)) {
                Ok(update) => update,
                Err(refusal) => return Answer::Now(refusal.response(request), Vec::new()),
            };
        let response = accepted(now, request, &update.bindings);
        if update.is_refresh {
            self.bindings.insert(device, update.bindings);
            return Answer::Now(response, update.changes);
        }
        if update.changes.is_empty() {
            return Answer::Now(response, Vec::new());
        }
        self.busy.insert(device, VecDeque::new());
        let waiting = Waiting { device, tx, bindings: update.bindings, response, request: request.clone() };
        self.waiting.insert(store, waiting);
        Answer::AfterStore(update.changes)
    }

    /// The store has answered. A failed write changed nothing, and the phone is told so. `None`: not a request of the registrar's.
    pub(crate) fn stored(&mut self, store: RequestId, written: bool) -> Option<Settled> {
        let Waiting { device, tx, bindings, response, request } = self.waiting.remove(&store)?;
        let queued = self.busy.remove(&device).unwrap_or_default();
        if !written {
            let response = request.response(Status(500)).with(Name::RetryAfter, "5");
            return Some(Settled { device, tx, response, turned: None, queued });
        }
        let (was, is) = (self.is_registered(device), !bindings.is_empty());
        self.bindings.insert(device, bindings);
        if !is {
            self.bindings.remove(&device);
        }
        Some(Settled { device, tx, response, turned: (was != is).then_some(is), queued })
    }

    /// Ends the bindings whose time is over; whether the device is no longer reachable through it.
    pub(crate) fn expire(&mut self, now: Now, device: DeviceId) -> (Vec<Change>, bool) {
        // What waits for the store was worked out from these bindings; it will replace them.
        if self.busy.contains_key(&device) {
            return (Vec::new(), false);
        }
        self.retain(device, |binding| binding.ends > now.mono)
    }

    /// A device is no more.
    pub(crate) fn remove(&mut self, device: DeviceId) -> (Vec<Change>, bool) {
        self.retain(device, |_| false)
    }

    fn retain(&mut self, device: DeviceId, keep: impl Fn(&Binding) -> bool) -> (Vec<Change>, bool) {
        let Some(bindings) = self.bindings.get_mut(&device) else { return (Vec::new(), false) };
        let (kept, ended): (Vec<Binding>, Vec<Binding>) = std::mem::take(bindings).into_iter().partition(keep);
        let gone = kept.is_empty();
        *bindings = kept;
        if gone {
            self.bindings.remove(&device);
        }
        (ended.into_iter().map(|binding| removal(&binding)).collect(), gone)
    }
}

/// What a REGISTER comes to.
struct Update {
    bindings: Vec<Binding>,
    changes: Vec<Change>,
    /// Nothing but later ends: the same contacts from the same place.
    is_refresh: bool,
}

enum Refusal {
    Malformed(ParseError),
    TooBrief,
    OutOfOrder,
    TooMany,
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        Refusal::Malformed(error)
    }
}

impl Refusal {
    fn response(self, request: &Request) -> Response {
        match self {
            Refusal::Malformed(error) => {
                let mut response = request.response(error.status);
                response.reason = error.text;
                response
            }
            Refusal::TooBrief => request.response(Status(423)).with(Name::MinExpires, MIN_EXPIRES.to_string()),
            Refusal::OutOfOrder => {
                let mut response = request.response(Status(500));
                response.reason = "CSeq out of order".to_owned();
                response
            }
            Refusal::TooMany => {
                let mut response = request.response(Status(403));
                response.reason = "Too many contacts".to_owned();
                response
            }
        }
    }
}

/// A REGISTER being worked out, on a copy of the bindings.
struct Register<'a> {
    now: Now,
    request: &'a Request,
    flow: Flow,
    device: DeviceId,
    call_id: &'a str,
    cseq: u32,
}

impl Register<'_> {
    /// §10.3 steps 6 and 7.
    fn update(&self, before: &[Binding], max_bindings: usize) -> Result<Update, Refusal> {
        let headers = &self.request.headers;
        let (alive, ended): (Vec<&Binding>, Vec<&Binding>) =
            before.iter().partition(|binding| binding.ends > self.now.mono);
        let mut update = Update {
            bindings: alive.into_iter().cloned().collect(),
            changes: ended.into_iter().map(removal).collect(),
            is_refresh: true,
        };
        match headers.contacts()? {
            Contacts::Star if headers.expires() != Some(0) => {
                return Err(ParseError::bad("Contact: * needs Expires: 0").into());
            }
            Contacts::Star if !update.bindings.iter().all(|binding| self.is_after(binding)) => {
                return Err(Refusal::OutOfOrder);
            }
            Contacts::Star => {
                update.is_refresh = false;
                update.changes.extend(update.bindings.drain(..).map(|binding| removal(&binding)));
            }
            Contacts::List(contacts) => {
                update.is_refresh = !contacts.is_empty();
                let mut fresh = Vec::new();
                for contact in contacts {
                    fresh.extend(self.take(contact, &mut update)?);
                }
                update.bindings.extend(fresh);
            }
        }
        if update.bindings.len() > max_bindings {
            return Err(Refusal::TooMany);
        }
        Ok(update)
    }

    /// One contact: what it replaces leaves the update, what it makes is returned.
    fn take(&self, contact: Address, update: &mut Update) -> Result<Option<Binding>, Refusal> {
        let expires = expires(self.request, &contact)?;
        let instance = contact.params.value("+sip.instance").map(str::to_owned);
        // A phone that comes back from elsewhere (another port, after a reboot) is told by its instance (RFC 5626 §4.1).
        let same_uri = |binding: &Binding| binding.contact.same_as(&contact.uri);
        let same_phone = |binding: &Binding| instance.is_some() && binding.record.instance == instance;
        let known = update.bindings.iter().position(same_uri).or_else(|| update.bindings.iter().position(same_phone));
        let old = known.map(|at| update.bindings.remove(at));
        if old.as_ref().is_some_and(|old| !self.is_after(old)) {
            return Err(Refusal::OutOfOrder);
        }
        if expires == 0 {
            update.is_refresh = false;
            update.changes.extend(old.map(|old| removal(&old)));
            return Ok(None);
        }
        let record = self.record(&contact, instance, expires);
        match old {
            Some(old) if old.record.contact == record.contact && old.flow == self.flow => {}
            Some(old) => {
                update.is_refresh = false;
                if old.record.contact != record.contact {
                    update.changes.push(removal(&old));
                }
            }
            None => update.is_refresh = false,
        }
        update.changes.push(Change::PutBinding(record.clone()));
        let ends = self.now.mono + Duration::from_secs(expires.into());
        Ok(Some(Binding { record, contact: contact.uri, flow: self.flow, ends }))
    }

    fn record(&self, contact: &Address, instance: Option<String>, expires: u32) -> BindingRecord {
        let agent = self.request.headers.text(&Name::UserAgent).unwrap_or_default();
        BindingRecord {
            device: self.device,
            contact: contact.uri.to_string(),
            instance,
            q: q_value(contact),
            sip_call_id: self.call_id.to_owned(),
            cseq: self.cseq,
            agent: agent.chars().take(128).collect(),
            transport: self.flow.transport().to_owned(),
            local: self.flow.local,
            source: self.flow.peer,
            expires: Wall(self.now.wall.0 + u64::from(expires) * 1000),
        }
    }

    /// Not an old request that was long under way.
    fn is_after(&self, binding: &Binding) -> bool {
        binding.record.sip_call_id != self.call_id || binding.record.cseq < self.cseq
    }
}

fn read(now: Now, request: &Request, flow: Flow, device: DeviceId) -> Result<Register<'_>, Refusal> {
    let (call_id, cseq) = (request.headers.call_id()?, request.headers.cseq()?.number);
    Ok(Register { now, request, flow, device, call_id, cseq })
}

/// How long a contact is to live, in seconds; 0 removes it.
fn expires(request: &Request, contact: &Address) -> Result<u32, Refusal> {
    if !matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(ParseError::bad("Contact is not a SIP URI").into());
    }
    let own = contact.params.value("expires").map(|text| text.parse().unwrap_or(MAX_EXPIRES));
    match own.or_else(|| request.headers.expires()).unwrap_or(MAX_EXPIRES) {
        0 => Ok(0),
        brief if brief < MIN_EXPIRES => Err(Refusal::TooBrief),
        enough => Ok(enough.min(MAX_EXPIRES)),
    }
}

/// Thousandths; what cannot be read counts as absent.
fn q_value(contact: &Address) -> u16 {
    let q = contact.params.value("q").and_then(|text| text.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
    (q.unwrap_or(1.0) * 1000.0) as u16
}

fn removal(binding: &Binding) -> Change {
    Change::RemoveBinding { device: binding.record.device, contact: binding.record.contact.clone() }
}

/// §10.3 step 8.
fn accepted(now: Now, request: &Request, bindings: &[Binding]) -> Response {
    let mut response = request.response(Status(200));
    for binding in bindings {
        let mut contact = Address::new(binding.contact.clone());
        let left = binding.ends.saturating_duration_since(now.mono).as_secs();
        contact.params.set("expires", Some(left.to_string()));
        if let Some(instance) = &binding.record.instance {
            contact.params.set("+sip.instance", Some(instance.clone()));
        }
        response.headers.push(Name::Contact, contact.to_string());
    }
    let date = std::time::UNIX_EPOCH + Duration::from_millis(now.wall.0);
    response.headers.push(Name::Date, httpdate::fmt_http_date(date));
    response
}
