//! From a dialled number to who is to be rung.

use cas::site::plan::Code;
use cas::site::{Access, DeviceId, Dialled, Feature, Site, UserId};

use super::party::Identity;
use crate::endpoint::Owner;
use crate::engine::Engine;
use crate::registrar::{Binding, gruu};
use crate::service::orbit::Slot;
use crate::sip::flow::Flow;
use crate::sip::header::{Address, Name, Via};
use crate::sip::message::Request;
use crate::sip::uri::{Host, Scheme, Text, Uri};

/// What a number leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A user's devices.
    User(UserId),
    /// One phone, registered as this SIP user, by its instance (RFC 5627).
    Phone(String, String),
    /// A service of the switch.
    Service(Feature),
    /// Whoever is parked there. For whoever is sent there: that he is parked.
    Orbit(Slot),
    /// That a call is parked.
    Park(Spot),
    /// The call that rings for this user.
    Pickup(UserId),
    /// The call that rings for another of the caller's group.
    GroupPickup,
    /// This user's devices, which are to answer by themselves.
    Intercom(UserId),
    /// Whoever called the caller last.
    Return,
    /// What the caller dialled last.
    Redial,
    /// That the caller is called back when this user is free, or the last one he has called in vain.
    CallBack(Option<UserId>),
    /// That he is not.
    NoCallBack(Option<UserId>),
}

impl Destination {
    /// Whether only a user has it: what is parked or rings here, his own last calls, and telephones that answer by themselves.
    pub(crate) fn is_for_users(&self) -> bool {
        match self {
            Destination::Orbit(_)
            | Destination::Park(_)
            | Destination::Pickup(_)
            | Destination::GroupPickup
            | Destination::Intercom(_)
            | Destination::Return
            | Destination::Redial
            | Destination::CallBack(_)
            | Destination::NoCallBack(_) => true,
            Destination::User(_) | Destination::Phone(..) | Destination::Service(_) => false,
        }
    }
}

/// Where a call is to be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The first orbit that is free.
    FirstFree,
    /// There.
    At(Slot),
}

/// A phone to be rung: where, and as whom to address it.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    pub(crate) device: DeviceId,
    pub(crate) uri: Uri,
    /// The proxies to go by (RFC 3327).
    pub(crate) route: Vec<Address>,
    pub(crate) flow: Flow,
    /// Other flows of the same phone, to be tried when this one fails (RFC 5626 §7).
    pub(crate) spare: Vec<Contact>,
    /// Whether it can be told to talk, as far as it has said when it registered.
    pub(crate) takes_talk: bool,
}

impl Contact {
    /// Where the next hop listens.
    pub(crate) fn next_hop(&self) -> &Uri {
        self.route.first().map_or(&self.uri, |hop| &hop.uri)
    }
}

/// Where a number leads.
pub(crate) fn destination(site: &Site, number: &str) -> Option<Destination> {
    Some(match site.dialled(number)? {
        Dialled::User(user) => Destination::User(user),
        Dialled::Feature(feature) => Destination::Service(feature),
        Dialled::Orbit(orbit) => Destination::Orbit(Slot::Orbit(orbit)),
        Dialled::Code(Code::Park, "") => Destination::Park(Spot::FirstFree),
        Dialled::Code(Code::Park, there) => Destination::Park(Spot::At(Slot::of(site, there)?)),
        Dialled::Code(Code::Retrieve, there) => Destination::Orbit(Slot::of(site, there)?),
        Dialled::Code(Code::GroupPickup, _) => Destination::GroupPickup,
        Dialled::Code(Code::Return, _) => Destination::Return,
        Dialled::Code(Code::Redial, _) => Destination::Redial,
        Dialled::Code(Code::CallBack, "") => Destination::CallBack(None),
        Dialled::Code(Code::NoCallBack, "") => Destination::NoCallBack(None),
        Dialled::Code(code @ (Code::Pickup | Code::Intercom | Code::CallBack | Code::NoCallBack), there) => {
            let Dialled::User(user) = site.dialled(there)? else { return None };
            match code {
                Code::Intercom => Destination::Intercom(user),
                Code::CallBack => Destination::CallBack(Some(user)),
                Code::NoCallBack => Destination::NoCallBack(Some(user)),
                _ => Destination::Pickup(user),
            }
        }
    })
}

/// Where a Request-URI of ours leads.
pub(crate) fn destination_of(site: &Site, uri: &Uri) -> Option<Destination> {
    let user = uri.user.as_deref()?;
    match gruu::instance(uri) {
        None => destination(site, user),
        // Temporary ones are not given out.
        Some("") => None,
        Some(instance) => {
            site.device_by_sip_user(user)?;
            Some(Destination::Phone(user.to_owned(), instance.to_owned()))
        }
    }
}

/// Who a number is, as others see it.
pub(crate) fn identity(site: &Site, number: &str) -> Identity {
    let name = match site.dialled(number) {
        Some(Dialled::User(user)) => return user_identity(site, user),
        Some(Dialled::Code(Code::Intercom, there)) => match site.dialled(there) {
            Some(Dialled::User(user)) => return user_identity(site, user),
            _ => "",
        },
        Some(Dialled::Feature(Feature::Echo)) => "Echo",
        Some(Dialled::Orbit(_)) => "Park",
        Some(Dialled::Code(..)) | None => "",
    };
    Identity { user: None, number: number.to_owned(), name: name.to_owned() }
}

/// Who a user is, as others see him.
pub(crate) fn user_identity(site: &Site, id: UserId) -> Identity {
    let number = site.extension_of(id).map(|extension| extension.0.clone()).unwrap_or_default();
    let name = site.user(id).map(cas::site::User::display_name).unwrap_or_default();
    Identity { user: Some(id), number, name }
}

/// Who calls: what the store says of the device, whatever the phone claims. A gateway speaks for those behind it.
pub(crate) fn caller_identity(site: &Site, device: DeviceId, invite: &Request) -> Identity {
    let device = site.device(device);
    let is_gateway = device.is_some_and(|device| matches!(device.access, Access::Address(_)));
    if !is_gateway {
        return match device.and_then(|device| device.user) {
            Some(user) => user_identity(site, user),
            None => Identity { user: None, number: String::new(), name: String::new() },
        };
    }
    let asserted = invite.headers.values(&Name::PAssertedIdentity).next().and_then(|value| Address::parse(value).ok());
    let claimed = asserted.as_ref().or_else(|| invite.headers.from().ok());
    let text = |text: Option<&Text>| text.map(Text::to_string).unwrap_or_default();
    let number = text(claimed.and_then(|address| address.uri.user.as_ref()));
    let name = text(claimed.and_then(|address| address.display.as_ref()));
    Identity { user: None, number, name }
}

impl Engine {
    /// Whether a Request-URI is meant for this switch: its domain, or an address it is spoken to at.
    pub(crate) fn serves(&self, uri: &Uri, flow: &Flow) -> bool {
        match (&uri.scheme, &uri.host) {
            (Scheme::Tel, _) => true,
            (_, Some(Host::Name(name))) => {
                *name == self.settings.domain || (name == "localhost" && flow.local.ip().is_loopback())
            }
            (_, Some(Host::Ip(ip))) => *ip == flow.local.ip() || self.settings.media_address == Some(*ip),
            (_, None) => false,
        }
    }

    /// RFC 3261 §16.3 4, as far as it concerns one who makes a call of each call: an INVITE of ours came back, by a proxy, for the same number. For
    /// another number it is no loop. Where a gateway makes a new call of it, nothing tells that it is the same but its hops, which run out.
    pub(crate) fn has_come_back(&self, invite: &Request, flow: &Flow) -> bool {
        let below = invite.headers.values(&Name::Via).skip(1).filter_map(|value| Via::parse(value).ok());
        let ours =
            below.filter(|via| via.host == Host::Ip(flow.local.ip()) && via.port.unwrap_or(5060) == flow.local.port());
        let mut sent = ours.filter_map(|via| match self.endpoint.transactions.owner_of_branch(via.branch()?) {
            Some(Owner::Invite(leg)) => self.table.call(self.table.leg(leg)?.call),
            _ => None,
        });
        sent.any(|call| Some(call.callee.identity.number.as_str()) == invite.uri.user.as_deref())
    }

    /// The phones of a user that can be rung now.
    pub(crate) fn contacts(&self, site: &Site, user: UserId) -> Vec<Contact> {
        site.devices_of(user).flat_map(|device| self.device_contacts(site, device.id)).collect()
    }

    /// The phone a GRUU means, if it can be rung now.
    pub(crate) fn phone_contact(&self, site: &Site, sip_user: &str, instance: &str) -> Option<Contact> {
        let device = site.device_by_sip_user(sip_user)?.id;
        let phone = self.endpoint.phone(sip_user, instance)?;
        let (uri, route) = (phone.uri.clone(), phone.route.clone());
        Some(Contact { device, uri, route, flow: phone.flow, spare: Vec::new(), takes_talk: phone.takes_talk })
    }

    /// Whether a device can be rung now.
    pub(crate) fn can_be_rung(&self, site: &Site, device: DeviceId) -> bool {
        match site.device(device).map(|device| &device.access) {
            Some(Access::Address(peer)) => self.gateways.get(peer).copied().flatten().is_some(),
            Some(Access::Digest { .. }) => {
                !self.registrar.bindings(device, |stream| self.endpoint.is_up(stream)).is_empty()
            }
            None => false,
        }
    }

    /// Where a device can be rung now.
    pub(crate) fn device_contacts(&self, site: &Site, device: DeviceId) -> Vec<Contact> {
        match site.device(device).map(|device| &device.access) {
            Some(Access::Address(peer)) => {
                let number =
                    site.device(device).and_then(|device| device.user).and_then(|user| site.extension_of(user));
                let local = self.gateways.get(peer).copied().flatten();
                let contact = local.map(|local| Contact {
                    device,
                    uri: Uri::sip(number.map(|number| number.0.as_str()), *peer),
                    route: Vec::new(),
                    flow: Flow { channel: crate::sip::flow::Channel::Udp, local, peer: *peer },
                    spare: Vec::new(),
                    takes_talk: false,
                });
                contact.into_iter().collect()
            }
            Some(Access::Digest { .. }) => {
                let mut contacts: Vec<(&Binding, Contact)> = Vec::new();
                for binding in self.registrar.bindings(device, |stream| self.endpoint.is_up(stream)) {
                    let contact = Contact {
                        device,
                        uri: binding.contact.clone(),
                        route: binding.path.clone(),
                        flow: binding.way(),
                        spare: Vec::new(),
                        takes_talk: binding.takes_talk,
                    };
                    match contacts.iter_mut().find(|(first, _)| binding.is_flow_beside(first)) {
                        Some((_, first)) => first.spare.push(contact),
                        None => contacts.push((binding, contact)),
                    }
                }
                contacts.into_iter().map(|(_, contact)| contact).collect()
            }
            None => Vec::new(),
        }
    }
}
