//! What the switch knows of its people and their telephones: users, devices, numbers. Read by the engine and by the CAS, changed only
//! after the store has confirmed the change.
//!
//! A user, a device and a number are three things: users are assigned to devices, a user may have several, and numbers name users,
//! services or (later) groups and orbits.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::store::Snapshot;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// A user of the site.
    UserId;
    /// A telephone, softphone or gateway.
    DeviceId;
}

/// What a person dials: digits, `*` and `#`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(pub String);

/// What a user may do by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls, and what is his own.
    User,
    /// Users, devices and numbers as well.
    Admin,
}

/// A person, or the administrator (who has neither number nor device).
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Bytes sealed under the machine key: nonce, then ciphertext and tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// The key of this machine, kept beside the store (mode 0600): seals what must not be read from a stolen database.
#[derive(Clone)]
pub struct MachineKey(pub [u8; 32]);

impl std::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MachineKey(…)")
    }
}

/// What a number leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All devices of a user.
    User(UserId),
    /// A service of the switch.
    Feature(Feature),
}

/// Services reached by dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Plays the caller his own voice.
    Echo,
}

/// The data of one site.
#[derive(Clone, Debug)]
pub struct Site {
    /// The digest realm, fixed at first start so that a changed domain breaks no phone.
    pub realm: String,
    users: BTreeMap<UserId, User>,
    devices: BTreeMap<DeviceId, Device>,
    numbers: BTreeMap<Extension, Target>,
}

impl Site {
    /// The site as the store holds it.
    pub fn new(snapshot: &Snapshot) -> Site {
        todo!("{snapshot:?}")
    }

    /// One user.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// Users by id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The user who logs in under this name.
    pub fn user_by_login(&self, login: &str) -> Option<&User> {
        self.users.values().find(|user| user.login == login)
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
        self.devices.values().filter(move |device| device.user == Some(user))
    }

    /// The device that authenticates under this SIP user name. Indexed: asked for every REGISTER and INVITE.
    pub fn device_by_sip_user(&self, sip_user: &str) -> Option<&Device> {
        todo!("{sip_user}")
    }

    /// The gateway at this address. Indexed: asked for every request.
    pub fn gateway_at(&self, address: SocketAddr) -> Option<&Device> {
        todo!("{address}")
    }

    /// What a dialled number leads to.
    pub fn target(&self, number: &str) -> Option<&Target> {
        todo!("{number}")
    }

    /// The first number that leads to this user: what others see as his extension.
    pub fn extension_of(&self, user: UserId) -> Option<&Extension> {
        todo!("{user:?}")
    }
}
