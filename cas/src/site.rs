//! What the switch knows of its people and their telephones: users, devices, numbers. Read by the engine and by the CAS, changed only
//! after the store has confirmed the change.
//!
//! A user, a device and a number are three things: users are assigned to devices, a user may have several, and numbers name users,
//! services; codes and orbits are the plan's ([`plan`]).

mod extension;
pub mod handling;
pub mod plan;
pub mod schedule;
mod secret;
#[cfg(test)]
mod tests;
pub(crate) mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub use self::extension::{Extension, ExtensionError};
use self::handling::Handling;
use self::plan::{Code, Orbit, Plan};
use self::schedule::Schedules;
pub use self::secret::{MachineKey, Sealed};
use crate::store::{Change, Snapshot};

/// The name of each variant in the store, in messages and on the command line, and the way back.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// As it is written: in messages, in the store, on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }

            /// What [`name`](Self::name) wrote.
            pub fn from_name(name: &str) -> Option<$type> {
                match name {
                    $($name => Some($type::$variant),)*
                    _ => None,
                }
            }
        }

        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({"type": "string", "enum": [$($name),*]})
            }
        }
    };
}
pub(crate) use named;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// A user of the site.
    UserId;
    /// A telephone, softphone or gateway.
    DeviceId;
}

/// What a user may do by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls, and what is his own.
    User,
    /// Users, devices and numbers as well.
    Admin,
}

named!(Role { User = "user", Admin = "admin" });

/// A person, or the administrator (who has neither number nor device).
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Given at creation, never used again.
    pub id: UserId,
    /// The CAS user name: the extension, or `admin`.
    pub login: String,
    /// First name, or the whole name where it has one word.
    pub first: String,
    /// Last name.
    pub last: String,
    /// Where voicemail and reports go.
    pub email: Option<String>,
    /// The default rights.
    pub role: Role,
    /// argon2id, PHC string format.
    pub password_hash: String,
    /// argon2id, PHC string format: the PIN typed on a telephone.
    pub pin_hash: Option<String>,
    /// Those who answer one another's calls by a code; `None`: nobody does.
    pub pickup_group: Option<String>,
}

/// Which digests a device is challenged with (RFC 8760); some phones fail when SHA-256 is among those offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestPolicy {
    /// MD5 alone, what every phone knows.
    Md5,
    /// SHA-256 alone.
    Sha256,
    /// SHA-256 first, then MD5.
    Both,
}

named!(DigestPolicy { Md5 = "md5", Sha256 = "sha256", Both = "both" });

/// A telephone, softphone or gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Given at creation, never used again.
    pub id: DeviceId,
    /// Whose calls it rings for and makes, if anybody's.
    pub user: Option<UserId>,
    /// How the device is known.
    pub access: Access,
}

/// How the switch knows that a request comes from a device.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// By digest over its own SIP user name and secret.
    Digest {
        /// The SIP user name (`501`), unique among devices.
        sip_user: String,
        /// The secret, sealed under the machine key: provisioning needs it in clear, a thief of the store does not get it.
        secret: Sealed,
        /// MD5(user:realm:secret), RFC 7616 §3.4.2, lower-case hex.
        ha1_md5: String,
        /// SHA-256 of the same.
        ha1_sha256: String,
        /// `None`: the site's.
        policy: Option<DigestPolicy>,
    },
    /// A gateway, known by its address alone.
    Address(SocketAddr),
}

/// What a number leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All devices of a user.
    User(UserId),
    /// A service of the switch.
    Feature(Feature),
}

/// What somebody has dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled<'a> {
    /// A user.
    User(UserId),
    /// A service of the switch.
    Feature(Feature),
    /// A place where calls are parked.
    Orbit(Orbit),
    /// A feature code, and what is behind it.
    Code(Code, &'a str),
}

/// Services reached by dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Plays the caller his own voice.
    Echo,
}

named!(Feature { Echo = "echo" });

impl User {
    /// First and last name as others see them; the login where there is neither.
    pub fn display_name(&self) -> String {
        let name = format!("{} {}", self.first, self.last);
        match name.trim() {
            "" => self.login.clone(),
            name => name.to_owned(),
        }
    }

    /// A whole name as first and last: the last word is the last name, a single word the first.
    pub fn split_name(name: &str) -> (String, String) {
        let words: Vec<&str> = name.split_whitespace().collect();
        match words.as_slice() {
            [] => (String::new(), String::new()),
            [first] => ((*first).to_owned(), String::new()),
            [first @ .., last] => (first.join(" "), (*last).to_owned()),
        }
    }
}

/// The data of one site. Every look-up is by an index, none by a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The digest realm, fixed at first start so that a changed domain breaks no phone.
    pub realm: String,
    /// What can be dialled besides the numbers of the store.
    pub plan: Plan,
    users: BTreeMap<UserId, User>,
    devices: BTreeMap<DeviceId, Device>,
    numbers: BTreeMap<Extension, Target>,
    handlings: BTreeMap<UserId, Handling>,
    /// Those of the site are nobody's.
    schedules: BTreeMap<Option<UserId>, Schedules>,
    by_login: BTreeMap<String, UserId>,
    by_sip_user: BTreeMap<String, DeviceId>,
    by_address: BTreeMap<SocketAddr, DeviceId>,
    devices_of: BTreeSet<(UserId, DeviceId)>,
    numbers_of: BTreeSet<(UserId, Extension)>,
    last_user: UserId,
    last_device: DeviceId,
}

impl Site {
    /// The site as the store holds it.
    pub fn new(snapshot: &Snapshot) -> Site {
        let mut site = Site {
            realm: snapshot.realm.clone(),
            plan: Plan::default(),
            users: BTreeMap::new(),
            devices: BTreeMap::new(),
            numbers: BTreeMap::new(),
            handlings: snapshot.handlings.iter().cloned().collect(),
            schedules: snapshot.schedules.iter().cloned().collect(),
            by_login: BTreeMap::new(),
            by_sip_user: BTreeMap::new(),
            by_address: BTreeMap::new(),
            devices_of: BTreeSet::new(),
            numbers_of: BTreeSet::new(),
            last_user: snapshot.last_user,
            last_device: snapshot.last_device,
        };
        snapshot.users.iter().for_each(|user| site.put_user(user.clone()));
        snapshot.devices.iter().for_each(|device| site.put_device(device.clone()));
        snapshot.numbers.iter().for_each(|(number, target)| site.put_number(number.clone(), target.clone()));
        site
    }

    /// Takes over what the store has confirmed. Changes to other storages are left to those who keep them.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PutUser(user) => self.put_user(user.clone()),
                Change::RemoveUser(id) => self.remove_user(*id),
                Change::PutDevice(device) => self.put_device(device.clone()),
                Change::RemoveDevice(id) => self.remove_device(*id),
                Change::PutNumber(number, target) => self.put_number(number.clone(), target.clone()),
                Change::RemoveNumber(number) => self.remove_number(number),
                Change::PutHandling(user, handling) => {
                    self.handlings.insert(*user, handling.clone());
                }
                Change::PutSchedules(owner, schedules) => {
                    self.schedules.insert(*owner, schedules.clone());
                }
                Change::PutBinding(_)
                | Change::RemoveBinding { .. }
                | Change::PutHistory(_)
                | Change::PutLastCalls(_)
                | Change::PutSubscription(_)
                | Change::RemoveSubscription(_) => {}
            }
        }
    }

    /// An id for a new user. It is taken with the call: two users being added at once get different ones.
    pub fn next_user(&mut self) -> UserId {
        self.last_user.0 += 1;
        self.last_user
    }

    /// An id for a new device, likewise.
    pub fn next_device(&mut self) -> DeviceId {
        self.last_device.0 += 1;
        self.last_device
    }

    /// One user.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// Users by id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// Who answers this user's calls, and whose he answers: others of his group.
    pub fn pickup_group(&self, user: UserId) -> impl Iterator<Item = UserId> {
        let group = self.users.get(&user).and_then(|user| user.pickup_group.as_deref());
        let others = self.users.values().filter(move |other| group.is_some() && other.pickup_group.as_deref() == group);
        others.map(|other| other.id).filter(move |other| *other != user)
    }

    /// The user who logs in under this name.
    pub fn user_by_login(&self, login: &str) -> Option<&User> {
        self.by_login.get(login).and_then(|id| self.users.get(id))
    }

    /// One device.
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.get(&id)
    }

    /// Devices by id.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// The devices that ring for a user, by id.
    pub fn devices_of(&self, user: UserId) -> impl Iterator<Item = &Device> {
        self.devices_of
            .range((user, DeviceId(0))..)
            .take_while(move |(owner, _)| *owner == user)
            .filter_map(|(_, id)| self.devices.get(id))
    }

    /// The device that authenticates under this SIP user name. Indexed: asked for every REGISTER and INVITE.
    pub fn device_by_sip_user(&self, sip_user: &str) -> Option<&Device> {
        self.by_sip_user.get(sip_user).and_then(|id| self.devices.get(id))
    }

    /// The gateway at this address. Indexed: asked for every request.
    pub fn gateway_at(&self, address: SocketAddr) -> Option<&Device> {
        self.by_address.get(&canonical(address)).and_then(|id| self.devices.get(id))
    }

    /// What a dialled number leads to.
    pub fn target(&self, number: &str) -> Option<&Target> {
        self.numbers.get(number)
    }

    /// What whoever dials this means. A number of the store goes before what the configuration would make of it.
    pub fn dialled<'a>(&self, number: &'a str) -> Option<Dialled<'a>> {
        match self.target(number) {
            Some(Target::User(user)) => Some(Dialled::User(*user)),
            Some(Target::Feature(feature)) => Some(Dialled::Feature(*feature)),
            None => match self.plan.orbits.at(number) {
                Some(orbit) => Some(Dialled::Orbit(orbit)),
                None => self.plan.code(number).map(|(code, rest)| Dialled::Code(code, rest)),
            },
        }
    }

    /// Numbers in their order.
    pub fn numbers(&self) -> impl Iterator<Item = (&Extension, &Target)> {
        self.numbers.iter()
    }

    /// The first number that leads to this user: what others see as his extension.
    pub fn extension_of(&self, user: UserId) -> Option<&Extension> {
        let (owner, number) = self.numbers_of.range((user, Extension(String::new()))..).next()?;
        (*owner == user).then_some(number)
    }

    fn put_user(&mut self, user: User) {
        self.last_user = self.last_user.max(user.id);
        if let Some(old) = self.users.get(&user.id) {
            self.by_login.remove(&old.login);
        }
        self.by_login.insert(user.login.clone(), user.id);
        self.users.insert(user.id, user);
    }

    fn remove_user(&mut self, id: UserId) {
        let Some(user) = self.users.remove(&id) else { return };
        self.by_login.remove(&user.login);
        self.handlings.remove(&id);
        self.schedules.remove(&Some(id));
        let devices: Vec<DeviceId> = self.devices_of(id).map(|device| device.id).collect();
        for device in devices {
            self.devices_of.remove(&(id, device));
            self.devices.entry(device).and_modify(|device| device.user = None);
        }
        while let Some(number) = self.extension_of(id).cloned() {
            self.remove_number(&number);
        }
    }

    fn put_device(&mut self, device: Device) {
        self.remove_device(device.id);
        self.last_device = self.last_device.max(device.id);
        match &device.access {
            Access::Digest { sip_user, .. } => self.by_sip_user.insert(sip_user.clone(), device.id),
            Access::Address(address) => self.by_address.insert(canonical(*address), device.id),
        };
        if let Some(user) = device.user {
            self.devices_of.insert((user, device.id));
        }
        self.devices.insert(device.id, device);
    }

    fn remove_device(&mut self, id: DeviceId) {
        let Some(device) = self.devices.remove(&id) else { return };
        match &device.access {
            Access::Digest { sip_user, .. } => self.by_sip_user.remove(sip_user),
            Access::Address(address) => self.by_address.remove(&canonical(*address)),
        };
        if let Some(user) = device.user {
            self.devices_of.remove(&(user, id));
        }
    }

    fn put_number(&mut self, number: Extension, target: Target) {
        self.remove_number(&number);
        if let Target::User(user) = target {
            self.numbers_of.insert((user, number.clone()));
        }
        self.numbers.insert(number, target);
    }

    fn remove_number(&mut self, number: &Extension) {
        if let Some(Target::User(user)) = self.numbers.remove(number) {
            self.numbers_of.remove(&(user, number.clone()));
        }
    }
}

/// An IPv4 peer of a socket that serves both families comes as `::ffff:a.b.c.d`: the same gateway.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
