//! One REGISTER, worked out on a copy of the bindings: what they will be if all of it can be done (RFC 3261 §10.3 6 and 7).

use std::time::Duration;

use cas::site::DeviceId;
use cas::store::{BindingRecord, Change};
use cas::time::{Now, Wall};

use super::refusal::Refusal;
use super::{Binding, MAX_EXPIRES, MIN_EXPIRES, accepted, gruu, is_known_to_talk, removal, supports};
use crate::sip::flow::Flow;
use crate::sip::header::{Address, Contacts, Name};
use crate::sip::message::{ParseError, Request};
use crate::sip::uri::{Scheme, Uri};

/// What a REGISTER comes to.
pub(super) struct Update {
    pub(super) bindings: Vec<Binding>,
    pub(super) changes: Vec<Change>,
    /// Nothing but later ends: the same contacts from the same place.
    pub(super) is_refresh: bool,
}

impl Update {
    /// The same contact twice in one request: what is said last counts.
    fn forget_replaced(&mut self, fresh: &mut Vec<Binding>, binding: &Binding) {
        let (replaced, kept): (Vec<Binding>, Vec<Binding>) =
            std::mem::take(fresh).into_iter().partition(|earlier| binding.replaces(earlier));
        *fresh = kept;
        self.changes.extend(replaced.iter().filter(|earlier| !earlier.has_key_of(binding)).map(removal));
    }
}

/// A REGISTER being worked out.
pub(super) struct Register<'a> {
    now: Now,
    request: &'a Request,
    flow: Flow,
    device: DeviceId,
    call_id: &'a str,
    cseq: u32,
    of_record: Option<Uri>,
    path: Vec<Address>,
}

impl<'a> Register<'a> {
    pub(super) fn read(now: Now, request: &'a Request, flow: Flow, device: DeviceId) -> Result<Register<'a>, Refusal> {
        let headers = &request.headers;
        let (call_id, cseq, path) = (headers.call_id()?, headers.cseq()?.number, headers.addresses(&Name::Path)?);
        if !path.is_empty() && !supports(request, "path") {
            return Err(Refusal::PathNotKnown);
        }
        if path.iter().any(|hop| hop.uri.params.get("lr").is_none()) {
            return Err(ParseError::bad("Path without loose routing").into()); // RFC 3327 §4
        }
        Ok(Register { now, request, flow, device, call_id, cseq, of_record: accepted::of_record(request), path })
    }

    pub(super) fn update(&self, before: &[Binding], max_bindings: usize) -> Result<Update, Refusal> {
        let (alive, ended): (Vec<&Binding>, Vec<&Binding>) =
            before.iter().partition(|binding| binding.ends > self.now.mono);
        let mut update = Update {
            bindings: alive.into_iter().cloned().collect(),
            changes: ended.into_iter().map(removal).collect(),
            is_refresh: true,
        };
        match self.request.headers.contacts()? {
            Contacts::Star => self.remove_all(&mut update)?,
            Contacts::List(contacts) => {
                update.is_refresh = !contacts.is_empty();
                self.check_flows(&contacts)?;
                let mut fresh: Vec<Binding> = Vec::new();
                for contact in contacts {
                    let binding = self.take(contact, &mut update)?;
                    if let Some(binding) = &binding {
                        update.forget_replaced(&mut fresh, binding);
                    }
                    fresh.extend(binding);
                }
                update.bindings.extend(fresh);
            }
        }
        if update.bindings.len() > max_bindings {
            return Err(Refusal::TooMany);
        }
        Ok(update)
    }

    /// Step 6.
    fn remove_all(&self, update: &mut Update) -> Result<(), Refusal> {
        if self.request.headers.expires() != Some(0) {
            return Err(ParseError::bad("Contact: * needs Expires: 0").into());
        }
        if !update.bindings.iter().all(|binding| self.is_after(binding)) {
            return Err(Refusal::OutOfOrder);
        }
        update.is_refresh = false;
        update.changes.extend(update.bindings.drain(..).map(|binding| removal(&binding)));
        Ok(())
    }

    /// RFC 5626 §6: a request that registers a flow registers nothing else, and the flow begins at the first proxy, if there is any.
    fn check_flows(&self, contacts: &[Address]) -> Result<(), Refusal> {
        let made = contacts.iter().filter(|contact| !matches!(expires(self.request, contact), Ok(0))).count();
        if contacts.iter().all(|contact| reg_id(self.request, contact) == 0) {
            return Ok(());
        }
        if made > 1 {
            return Err(ParseError::bad("More than one Contact with a reg-id").into());
        }
        // The first proxy of the request's way has added its Path first, below those of all others.
        let keeps_flow = |hop: &Address| hop.uri.params.get("ob").is_some();
        let is_direct = self.request.headers.values(&Name::Via).nth(1).is_none();
        match self.path.last().map_or(is_direct, keeps_flow) {
            true => Ok(()),
            false => Err(Refusal::FirstHopLacksOutbound),
        }
    }

    /// One contact: what it replaces leaves the update, what it makes is returned.
    fn take(&self, contact: Address, update: &mut Update) -> Result<Option<Binding>, Refusal> {
        if self.leads_back(&contact.uri) {
            return Err(Refusal::Loops);
        }
        let expires = expires(self.request, &contact)?;
        let binding = self.binding(contact, expires);
        let known = update.bindings.iter().position(|old| binding.replaces(old));
        let known = known.or_else(|| update.bindings.iter().position(|old| binding.is_of_same_phone_as(old)));
        let old = known.map(|at| update.bindings.remove(at));
        if old.as_ref().is_some_and(|old| !self.is_after(old)) {
            return Err(Refusal::OutOfOrder);
        }
        if expires == 0 {
            update.is_refresh = false;
            update.changes.extend(old.map(|old| removal(&old)));
            return Ok(None);
        }
        let is_same = |old: &Binding| {
            old.has_key_of(&binding) && old.flow == binding.flow && old.record.path == binding.record.path
        };
        update.is_refresh &= old.as_ref().is_some_and(is_same);
        update.changes.extend(old.filter(|old| !old.has_key_of(&binding)).map(|old| removal(&old)));
        update.changes.push(Change::PutBinding(binding.record.clone()));
        Ok(Some(binding))
    }

    fn leads_back(&self, contact: &Uri) -> bool {
        let Some(of_record) = &self.of_record else { return false };
        contact.same_as(of_record)
            || (gruu::instance(contact).is_some() && contact.host == of_record.host && contact.port == of_record.port)
    }

    fn binding(&self, contact: Address, expires: u32) -> Binding {
        let agent = self.request.headers.text(&Name::UserAgent).unwrap_or_default();
        let path: Vec<String> = self.path.iter().map(Address::to_string).collect();
        let record = BindingRecord {
            device: self.device,
            contact: contact.uri.to_string(),
            reg_id: reg_id(self.request, &contact),
            instance: contact.params.value("+sip.instance").map(str::to_owned),
            path: path.join(", "),
            q: q_value(&contact),
            sip_call_id: self.call_id.to_owned(),
            cseq: self.cseq,
            agent: agent.chars().take(128).collect(),
            transport: self.flow.transport().to_owned(),
            local: self.flow.local,
            source: self.flow.peer,
            expires: Wall(self.now.wall.0 + u64::from(expires) * 1000),
        };
        let ends = self.now.mono + Duration::from_secs(expires.into());
        let headers = &self.request.headers;
        let takes_talk = match headers.get(&Name::AllowEvents) {
            Some(_) => headers.lists(&Name::AllowEvents, "talk"),
            None => is_known_to_talk(&record.agent),
        };
        let (contact, path, flow, since) = (contact.uri, self.path.clone(), self.flow, self.now.mono);
        Binding { record, contact, path, flow, takes_talk, since, ends }
    }

    /// Not an old request that was long under way.
    fn is_after(&self, binding: &Binding) -> bool {
        binding.record.sip_call_id != self.call_id || binding.record.cseq < self.cseq
    }
}

impl Binding {
    /// Whether it takes the place of another: the same contact (§19.1.4), or the same flow of the same phone (RFC 5626 §6).
    fn replaces(&self, old: &Binding) -> bool {
        match (self.record.reg_id, old.record.reg_id) {
            (0, 0) => self.contact.same_as(&old.contact),
            (ours, theirs) => ours == theirs && self.record.instance == old.record.instance,
        }
    }

    /// A phone without flows that comes back from elsewhere (another port, after a reboot) is told by its instance.
    fn is_of_same_phone_as(&self, old: &Binding) -> bool {
        self.record.reg_id == 0
            && old.record.reg_id == 0
            && self.record.instance.is_some()
            && self.record.instance == old.record.instance
    }

    /// Whether the store knows it under the same name.
    fn has_key_of(&self, other: &Binding) -> bool {
        self.record.contact == other.record.contact && self.record.reg_id == other.record.reg_id
    }
}

/// Which flow of its phone a contact is (RFC 5626 §4.2), 0 where it is none: then the rules of RFC 3261 alone count.
pub(super) fn reg_id(request: &Request, contact: &Address) -> u32 {
    let id = contact.params.value("reg-id").and_then(|text| text.parse().ok()).filter(|id| *id < 1 << 31);
    match contact.params.value("+sip.instance") {
        Some(_) if supports(request, "outbound") => id.unwrap_or(0),
        _ => 0,
    }
}

/// How long a contact is to live, in seconds; 0 removes it. What cannot be read means an hour (§10.2.1.1). Too short is refused, too long shortened
/// (step 7).
fn expires(request: &Request, contact: &Address) -> Result<u32, Refusal> {
    if !matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(ParseError::bad("Contact is not a SIP URI").into());
    }
    let own = contact.params.get("expires").map(|text| text.and_then(|text| text.parse().ok()).unwrap_or(MAX_EXPIRES));
    match own.or_else(|| request.headers.expires()).unwrap_or(MAX_EXPIRES) {
        0 => Ok(0),
        brief if brief < MIN_EXPIRES => Err(Refusal::TooBrief),
        enough => Ok(enough.min(MAX_EXPIRES)),
    }
}

/// Thousandths; what cannot be read counts as absent.
fn q_value(contact: &Address) -> u16 {
    let q = contact.params.value("q").and_then(|text| text.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
    (q.unwrap_or(1.0) * 1000.0).round() as u16
}
