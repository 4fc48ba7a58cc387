//! The registrar (RFC 3261 §10.3): which contacts a device can be reached at, for how long, and over which flow.
//!
//! What a phone is told is stored is stored: the 200 to a REGISTER that makes, moves or removes a binding waits for the store, and memory changes with
//! it. A pure refresh is answered at once and written behind. While one REGISTER of a device waits, its next ones queue.
//!
//! A contact may come with a way to it (Path, RFC 3327), with the phone it belongs to (GRUU, RFC 5627), and as one of several flows of that phone
//! (RFC 5626).

mod accepted;
pub(crate) mod gruu;
mod refusal;
mod register;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cas::control::RegistrationInfo;
use cas::site::DeviceId;
use cas::store::{BindingRecord, Change, RequestId};
use cas::time::Now;

use crate::sip::flow::{Channel, Flow, StreamId};
use crate::sip::header::{Address, Name};
use crate::sip::message::{Request, Response, Status};
use crate::sip::transaction::ServerTx;
use crate::sip::uri::{Host, Uri};

use self::register::Register;

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
    /// The Route set of what is sent there (RFC 3327 §5.3).
    pub(crate) path: Vec<Address>,
    /// How its REGISTER came.
    pub(crate) flow: Flow,
    /// Whether it can be told to talk (NOTIFY, event `talk`): it says so, or is of a make that does.
    pub(crate) takes_talk: bool,
    /// When it was last confirmed.
    since: Instant,
    ends: Instant,
}

impl Binding {
    /// Whether it is another flow of the same phone.
    pub(crate) fn is_flow_beside(&self, other: &Binding) -> bool {
        self.record.reg_id > 0 && other.record.reg_id > 0 && self.record.instance == other.record.instance
    }

    /// How requests go to it: to the first proxy of its path, where that has an address; else back the way its REGISTER came.
    pub(crate) fn way(&self) -> Flow {
        let Some(Address { uri, .. }) = self.path.first() else { return self.flow };
        match self.flow.to(uri) {
            // A connection that the proxy has opened, from whatever port.
            Some(to) if to.is_reliable() && self.flow.is_reliable() && to.peer.ip() == self.flow.peer.ip() => self.flow,
            Some(to) => to,
            None => self.flow,
        }
    }

    /// Whether it is a flow that ended with its connection: the phone makes another, and none can be made from here (RFC 5626 §7).
    fn has_failed(&self, is_up: impl Fn(StreamId) -> bool) -> bool {
        match self.flow.channel {
            Channel::Tcp(stream) => self.record.reg_id > 0 && self.path.is_empty() && !is_up(stream),
            Channel::Udp => false,
        }
    }
}

/// A phone that can be meant by a GRUU.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) instance: String,
    pub(crate) uri: Uri,
    pub(crate) route: Vec<Address>,
    pub(crate) flow: Flow,
    pub(crate) takes_talk: bool,
    since: Instant,
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
    flow: Flow,
}

/// What a store reply brought about.
pub(crate) struct Settled {
    pub(crate) device: DeviceId,
    pub(crate) tx: ServerTx,
    /// How the REGISTER came.
    pub(crate) flow: Flow,
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
            let Ok(path) = Address::parse_list(record.path.as_bytes()) else { continue };
            // The connection did not outlive the restart.
            let channel = if record.transport == "tcp" { Channel::ENDED } else { Channel::Udp };
            let flow = Flow { channel, local: record.local, peer: record.source };
            let (since, ends, takes_talk) = (now.mono, now.mono + left, is_known_to_talk(&record.agent));
            let binding = Binding { record: record.clone(), contact, path, flow, takes_talk, since, ends };
            registrar.bindings.entry(record.device).or_default().push(binding);
        }
        registrar
    }

    /// Where a device can be reached, the phone's preferred contact first, of several flows of one phone the youngest (RFC 5626 §7); without those that
    /// are known to have failed.
    pub(crate) fn bindings(&self, device: DeviceId, is_up: impl Fn(StreamId) -> bool) -> Vec<&Binding> {
        let all = self.bindings.get(&device).into_iter().flatten();
        let mut bindings: Vec<&Binding> = all.filter(|binding| !binding.has_failed(&is_up)).collect();
        bindings.sort_by_key(|binding| std::cmp::Reverse((binding.record.q, binding.since)));
        bindings
    }

    /// The ways to phones of a device that sit behind a NAT and do nothing about it: their contact is not where their REGISTER came from.
    pub(crate) fn behind_nat(&self, device: DeviceId) -> impl Iterator<Item = Flow> {
        let all = self.bindings.get(&device).into_iter().flatten();
        let is_behind = |binding: &&Binding| {
            let Binding { contact, path, flow, record, .. } = binding;
            let is_elsewhere =
                contact.host != Some(Host::Ip(flow.peer.ip())) || contact.port.unwrap_or(5060) != flow.peer.port();
            flow.channel == Channel::Udp && is_elsewhere && path.is_empty() && record.reg_id == 0
        };
        all.filter(is_behind).map(|binding| binding.flow)
    }

    /// The contacts of a device that were registered over this connection.
    pub(crate) fn contacts_over(&self, device: DeviceId, stream: StreamId) -> Vec<Uri> {
        let all = self.bindings.get(&device).into_iter().flatten();
        all.filter(|binding| binding.flow.channel == Channel::Tcp(stream))
            .map(|binding| binding.contact.clone())
            .collect()
    }

    /// The phones of a device that have a GRUU, and how each is reached.
    pub(crate) fn phones(&self, device: DeviceId, is_up: impl Fn(StreamId) -> bool) -> Vec<Phone> {
        let phone = |binding: &Binding| {
            let instance = binding.record.instance.clone()?;
            let (uri, route) = (binding.contact.clone(), binding.path.clone());
            let (flow, takes_talk, since) = (binding.way(), binding.takes_talk, binding.since);
            Some(Phone { instance, uri, route, flow, takes_talk, since })
        };
        let mut phones: Vec<Phone> = self.bindings(device, is_up).into_iter().filter_map(phone).collect();
        // Of several contacts of one phone the youngest is meant (RFC 5627 §5.4).
        phones.sort_by_key(|phone| std::cmp::Reverse(phone.since));
        phones
    }

    pub(crate) fn is_registered(&self, device: DeviceId) -> bool {
        self.bindings.get(&device).is_some_and(|bindings| !bindings.is_empty())
    }

    /// Whether the device has a binding that came from this address.
    pub(crate) fn is_registered_from(&self, device: DeviceId, source: IpAddr) -> bool {
        self.bindings.get(&device).into_iter().flatten().any(|binding| binding.flow.peer.ip() == source)
    }

    /// The addresses that a device's bindings came from.
    pub(crate) fn sources(&self, device: DeviceId) -> impl Iterator<Item = IpAddr> {
        self.bindings.get(&device).into_iter().flatten().map(|binding| binding.flow.peer.ip())
    }

    /// REGISTERs that wait for the store.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
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
        let update = Register::read(now, request, flow, device);
        let update = match update.and_then(|register| register.update(before, self.max_bindings)) {
            Ok(update) => update,
            Err(refusal) => return Answer::Now(refusal.response(request), Vec::new()),
        };
        let response = accepted::response(now, request, &update.bindings);
        if update.is_refresh {
            self.bindings.insert(device, update.bindings);
            return Answer::Now(response, update.changes);
        }
        if update.changes.is_empty() {
            return Answer::Now(response, Vec::new());
        }
        self.busy.insert(device, VecDeque::new());
        let waiting = Waiting { device, tx, bindings: update.bindings, response, request: request.clone(), flow };
        self.waiting.insert(store, waiting);
        Answer::AfterStore(update.changes)
    }

    /// The store has answered. A failed write changed nothing, and the phone is told so. A device that is no more (`is_there`) has taken its bindings
    /// along, those in the store too, and gets none back. `None`: not a request of the registrar's.
    pub(crate) fn stored(
        &mut self,
        store: RequestId,
        written: bool,
        is_there: impl Fn(DeviceId) -> bool,
    ) -> Option<Settled> {
        let Waiting { device, tx, bindings, response, request, flow } = self.waiting.remove(&store)?;
        let queued = self.busy.remove(&device).unwrap_or_default();
        let refusal = match written {
            _ if !is_there(device) => Some(request.response(Status(403))),
            false => Some(request.response(Status(500)).with(Name::RetryAfter, "5")),
            true => None,
        };
        if let Some(response) = refusal {
            return Some(Settled { device, tx, flow, response, turned: None, queued });
        }
        let (was, is) = (self.is_registered(device), !bindings.is_empty());
        self.bindings.insert(device, bindings);
        if !is {
            self.bindings.remove(&device);
        }
        Some(Settled { device, tx, flow, response, turned: (was != is).then_some(is), queued })
    }

    /// Ends the bindings whose time is over; whether the device is no longer reachable through it.
    pub(crate) fn expire(&mut self, now: Now, device: DeviceId) -> (Vec<Change>, bool) {
        // What waits for the store was worked out from these bindings; it will replace them.
        if self.busy.contains_key(&device) {
            return (Vec::new(), false);
        }
        self.retain(device, |binding| binding.ends > now.mono)
    }

    /// This device's flows over connections that have ended are no more (RFC 5626 §4.2.1: a flow is its connection).
    pub(crate) fn flows_failed(&mut self, device: DeviceId, is_up: impl Fn(StreamId) -> bool) -> (Vec<Change>, bool) {
        // What waits for the store was worked out from these bindings; when it has replaced them, they are looked through again.
        if self.busy.contains_key(&device) {
            return (Vec::new(), false);
        }
        self.retain(device, |binding| !binding.has_failed(&is_up))
    }

    /// Whether a registration of the device waits for the store.
    pub(crate) fn is_busy(&self, device: DeviceId) -> bool {
        self.busy.contains_key(&device)
    }

    /// Ends what is registered at this contact, or all there is; not while the device [is busy](Self::is_busy).
    pub(crate) fn end(&mut self, device: DeviceId, contact: Option<&str>) -> (Vec<Change>, bool) {
        self.retain(device, |binding| contact.is_some_and(|contact| binding.record.contact != contact))
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

/// Makes whose phones can be told to talk, whether they say so when they register or not.
const TALKING: [&str; 5] = ["poly", "yealink", "snom", "aastra", "mitel"];

/// Whether a phone's User-Agent is of such a make.
fn is_known_to_talk(agent: &str) -> bool {
    let is_of = |make: &&str| agent.get(..make.len()).is_some_and(|start| start.eq_ignore_ascii_case(make));
    TALKING.iter().any(is_of)
}

/// Whether a phone says that it knows an extension.
fn supports(request: &Request, tag: &str) -> bool {
    request.headers.tokens(&Name::Supported).iter().any(|token| token == tag)
}

fn removal(binding: &Binding) -> Change {
    Change::RemoveBinding {
        device: binding.record.device,
        contact: binding.record.contact.clone(),
        reg_id: binding.record.reg_id,
    }
}
