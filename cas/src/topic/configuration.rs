//! Topic `config`, as far as it is for administrators and the control socket: users with their first device and number.
//!
//! A change is checked, stored, and then made in memory, in this order; the reply follows. Messages of this kind are done one after the other.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telephony::device_id;
use super::{Context, Nothing, Outcome, Progress, Waiting};
use crate::boundary::{Output, Work};
use crate::session::SessionKey;
use crate::site::{Access, Device, DeviceId, Dialled, DigestPolicy, Extension, Role, Site, Target, User, UserId};
use crate::store::{Change, Request};
use crate::wire::rows::{Table, row};
use crate::wire::{Code, Failure, Fields, json};

/// The administrator who is no telephone user.
const ADMIN: &str = "admin";
const MAX_NAME: usize = 100;
const MAX_SECRET: usize = 128;
/// Characters of a password that a user chooses.
const LEAST_OWN: usize = 8;

/// What `add-user` waits with while a helper hashes.
pub(crate) struct NewUser {
    user: User,
    /// The number and the first device.
    telephone: Option<(Extension, Device)>,
    /// What was made here is told once.
    made: Made,
}

/// Secrets that the request did not give.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_secret: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Added {
    #[serde(flatten)]
    made: Made,
    user_id: String,
    user: String,
    /// The first device, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SecretSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_secret: Option<String>,
    device: String,
}

row! {
    /// A user.
    pub(super) struct UserRow {
        user_id: String,
        /// The extension, or `admin`.
        user: String,
        first: String,
        last: String,
        email: Option<String>,
        role: Role,
        devices: Table<UserDevice>,
        pickup_group: Option<String>,
    }
}

row! {
    /// A device of a user's.
    pub(super) struct UserDevice {
        device: String,
        sip_user: Option<String>,
        /// null: as the configuration says.
        digest: Option<DigestPolicy>,
        /// Of a gateway.
        address: Option<String>,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Users {
    users: Table<UserRow>,
}

/// A change of the site under way to the store.
pub(crate) struct SiteWrite {
    pub(super) changes: Vec<Change>,
    /// Sessions that end with it.
    pub(super) ends: Vec<SessionKey>,
    /// A user who is no more.
    pub(super) gone: Option<UserId>,
    pub(super) reply: Fields,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AddUser {
    ext: String,
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String")]
    name: Option<String>,
    password: Option<String>,
    sip_secret: Option<String>,
    pin: Option<String>,
    email: Option<String>,
    #[schemars(with = "Option<Role>")]
    role: Option<String>,
    #[schemars(with = "Option<DigestPolicy>")]
    digest: Option<String>,
    address: Option<String>,
    pickup_group: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ModifyUser {
    ext: String,
    /// Left out: as it is; null: none.
    #[serde(default, deserialize_with = "present")]
    pickup_group: Option<Option<String>>,
}

/// A member that is there, null or not.
pub(super) fn present<'de, D, T>(value: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(value).map(Some)
}

/// A member that may be left out, and is a text where it is there.
fn not_null<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DeleteUser {
    ext: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SetSipSecret {
    ext: String,
    sip_secret: Option<String>,
    /// Which of the user's devices; the first that has a secret, by default.
    device: Option<String>,
}

pub(super) fn add_user(cx: &mut Context<'_>, request: AddUser) -> Outcome<Added> {
    let extension = match request.ext.as_str() {
        ADMIN => None,
        ext => Some(Extension::parse_user(ext).map_err(|error| Failure::bad("ext", error.to_string()))?),
    };
    let mut made = Made::default();
    let password = request.password.as_deref();
    let password = given_or_made(cx, "password", password, check_password, &mut made.password)?;
    let user = new_user(cx, &request, extension.is_none())?;
    let telephone = extension.map(|ext| new_telephone(cx, &request, ext, user.id, &mut made)).transpose()?;
    let passwords: Vec<String> = std::iter::once(password).chain(request.pin).collect();
    let salts = passwords.iter().map(|_| cx.core.salt()).collect();
    let new = NewUser { user, telephone, made };
    Ok(Progress::Help(Work::Hash { passwords, salts }, Waiting::NewUser(Box::new(new))))
}

fn new_user(cx: &mut Context<'_>, request: &AddUser, is_admin: bool) -> Result<User, Failure> {
    is_free(cx.site, &request.ext)?;
    let name = request.name.as_deref().or(is_admin.then_some("Administrator"));
    let name = name.ok_or_else(|| Failure::missing("name"))?.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Failure::bad("name", format!("name is 1 to {MAX_NAME} characters")));
    }
    if request
        .pin
        .as_ref()
        .is_some_and(|pin| !(4..=16).contains(&pin.len()) || !pin.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Failure::bad("pin", "pin is 4 to 16 digits"));
    }
    let role = match request.role.as_deref() {
        None if is_admin => Role::Admin,
        None => Role::User,
        Some(role) => Role::from_name(role).ok_or_else(|| Failure::bad("role", "role is user or admin"))?,
    };
    let (first, last) = User::split_name(name);
    let email = request.email.as_deref().map(check_email).transpose()?;
    let pickup_group = request.pickup_group.as_deref().map(check_group).transpose()?;
    let id = cx.site.next_user();
    let login = request.ext.clone();
    Ok(User { id, login, first, last, email, role, password_hash: String::new(), pin_hash: None, pickup_group })
}

/// Whether a new user may have this number.
fn is_free(site: &Site, ext: &str) -> Result<(), Failure> {
    let text = match site.dialled(ext) {
        Some(Dialled::Orbit(_)) => {
            format!("{ext} is an orbit: calls are parked at {} ([park] orbits of the configuration)", site.plan.orbits)
        }
        Some(Dialled::User(_) | Dialled::Feature(_) | Dialled::Code(..)) => format!("{ext} is taken"),
        None if site.user_by_login(ext).is_some() => format!("{ext} is taken"),
        None => return Ok(()),
    };
    Err(taken("ext", text))
}

/// The number, and a device of the same name: by digest, or a gateway known by its address.
fn new_telephone(
    cx: &mut Context<'_>,
    request: &AddUser,
    extension: Extension,
    user: UserId,
    made: &mut Made,
) -> Result<(Extension, Device), Failure> {
    let policy = request.digest.as_deref().map(|name| {
        DigestPolicy::from_name(name).ok_or_else(|| Failure::bad("digest", "digest is md5, sha256 or both"))
    });
    let access = match &request.address {
        Some(address) => gateway(cx.site, request, address)?,
        None => {
            if cx.site.device_by_sip_user(&extension.0).is_some() {
                return Err(taken("ext", format!("a device has the SIP user name {extension}")));
            }
            let secret = request.sip_secret.as_deref();
            let secret = given_or_made(cx, "sip-secret", secret, check_sip_secret, &mut made.sip_secret)?;
            digest(cx, &extension.0, &secret, policy.transpose()?)
        }
    };
    let device = Device { id: cx.site.next_device(), user: Some(user), access };
    Ok((extension, device))
}

fn gateway(site: &Site, request: &AddUser, address: &str) -> Result<Access, Failure> {
    if request.sip_secret.is_some() || request.digest.is_some() {
        return Err(Failure::bad("address", "a gateway is known by its address: it has neither sip-secret nor digest"));
    }
    let bad = |_| Failure::bad("address", "address is IP:PORT, as in 192.0.2.1:5060 or [2001:db8::1]:5060");
    let address: SocketAddr = address.parse().map_err(bad)?;
    match site.gateway_at(address) {
        Some(_) => Err(taken("address", format!("there is a gateway at {address}"))),
        None => Ok(Access::Address(address)),
    }
}

fn digest(cx: &mut Context<'_>, sip_user: &str, secret: &str, policy: Option<DigestPolicy>) -> Access {
    let mut nonce = [0; 12];
    cx.core.entropy.fill(&mut nonce);
    Access::digest(&cx.core.key, nonce, sip_user, &cx.site.realm, secret, policy)
}

/// The secrets of a new user are hashed: it goes to the store.
pub(super) fn hashed(cx: &mut Context<'_>, new: NewUser, hashes: Vec<String>) -> Outcome {
    let NewUser { mut user, telephone, made } = new;
    let mut hashes = hashes.into_iter();
    let Some(password_hash) = hashes.next() else { return Err(cx.core.fault("a password was not hashed")) };
    user.password_hash = password_hash;
    user.pin_hash = hashes.next();
    let mut added = Added { made, user_id: user.id.0.to_string(), user: user.login.clone(), device: None };
    let target = Target::User(user.id);
    let mut changes = vec![Change::PutUser(user)];
    if let Some((extension, device)) = telephone {
        added.device = Some(device.id.0.to_string());
        changes.extend([Change::PutDevice(device), Change::PutNumber(extension, target)]);
    }
    Ok(store(SiteWrite { changes, ends: Vec::new(), gone: None, reply: json::fields(&added) }))
}

fn store<R>(write: SiteWrite) -> Progress<R> {
    Progress::Store(Request::Write(write.changes.clone()), Waiting::Site(Box::new(write)))
}

/// The store has it: memory follows, and the engine is told.
pub(super) fn written(cx: &mut Context<'_>, write: SiteWrite) -> Progress {
    cx.site.apply(&write.changes);
    if let Some(user) = write.gone {
        cx.core.kept.forget(user);
    }
    for session in write.ends {
        cx.core.end_session(cx.now, session);
    }
    let devices = write.changes.iter().filter_map(|change| match change {
        Change::PutDevice(device) => Some(device.id),
        Change::RemoveDevice(id) => Some(*id),
        _ => None,
    });
    cx.core.outputs.push_back(Output::SiteChanged(devices.collect()));
    Progress::Done(write.reply)
}

/// Removes the user, his numbers and devices; his sessions and subscriptions end.
pub(super) fn delete_user(cx: &mut Context<'_>, request: DeleteUser) -> Outcome<Nothing> {
    let user = known_user(cx.site, &request.ext)?;
    let is_last = || !cx.site.users().any(|other| other.role == Role::Admin && other.id != user.id);
    if user.role == Role::Admin && is_last() {
        return Err(Failure::new(Code::WRONG_STATE, "the last administrator cannot be removed"));
    }
    let id = user.id;
    let numbers = cx.site.numbers().filter(|(_, target)| **target == Target::User(id));
    let mut changes: Vec<Change> = numbers.map(|(number, _)| Change::RemoveNumber(number.clone())).collect();
    changes.extend(cx.site.devices_of(id).map(|device| Change::RemoveDevice(device.id)));
    changes.push(Change::RemoveUser(id));
    let ends = cx.core.sessions.of_user(id);
    Ok(store(SiteWrite { changes, ends, gone: Some(id), reply: Fields::new() }))
}

/// Changes what is the user's own.
pub(super) fn modify_user(cx: &mut Context<'_>, request: ModifyUser) -> Outcome<Nothing> {
    let mut user = known_user(cx.site, &request.ext)?.clone();
    let group = request.pickup_group.ok_or_else(|| Failure::missing("pickup-group"))?;
    user.pickup_group = group.as_deref().map(check_group).transpose()?;
    Ok(store(SiteWrite { changes: vec![Change::PutUser(user)], ends: Vec::new(), gone: None, reply: Fields::new() }))
}

pub(super) fn set_sip_secret(cx: &mut Context<'_>, request: SetSipSecret) -> Outcome<SecretSet> {
    let user = known_user(cx.site, &request.ext)?.id;
    let wanted = request.device.as_ref().map(|id| device_id(cx.site, id)).transpose()?;
    let missing = || {
        let field = if wanted.is_some() { "device" } else { "ext" };
        Failure::of(field, Code::NOT_FOUND, format!("{} has no such device with a secret", request.ext))
    };
    let (mut device, sip_user, policy) = digest_device(cx.site, user, wanted).ok_or_else(missing)?;
    let mut made = None;
    let secret = given_or_made(cx, "sip-secret", request.sip_secret.as_deref(), check_sip_secret, &mut made)?;
    device.access = digest(cx, &sip_user, &secret, policy);
    let reply = json::fields(&SecretSet { sip_secret: made, device: device.id.0.to_string() });
    let changes = vec![Change::PutDevice(device)];
    Ok(store(SiteWrite { changes, ends: Vec::new(), gone: None, reply }))
}

/// The first of a user's devices that has a secret, or the wanted one.
fn digest_device(
    site: &Site,
    user: UserId,
    wanted: Option<DeviceId>,
) -> Option<(Device, String, Option<DigestPolicy>)> {
    let mut devices = site.devices_of(user).filter(|device| wanted.is_none_or(|wanted| device.id == wanted));
    devices.find_map(|device| match &device.access {
        Access::Digest { sip_user, policy, .. } => Some((device.clone(), sip_user.clone(), *policy)),
        Access::Address(_) => None,
    })
}

pub(super) fn get_users(cx: &mut Context<'_>, _: Nothing) -> Outcome<Users> {
    let row = |user: &User| UserRow {
        user_id: user.id.0.to_string(),
        user: user.login.clone(),
        first: user.first.clone(),
        last: user.last.clone(),
        email: user.email.clone(),
        role: user.role,
        devices: cx.site.devices_of(user.id).map(device_row).collect(),
        pickup_group: user.pickup_group.clone(),
    };
    Ok(Progress::Done(Users { users: cx.site.users().map(row).collect() }))
}

fn device_row(device: &Device) -> UserDevice {
    let (sip_user, digest, address) = match &device.access {
        Access::Digest { sip_user, policy, .. } => (Some(sip_user.clone()), *policy, None),
        Access::Address(address) => (None, None, Some(address.to_string())),
    };
    UserDevice { device: device.id.0.to_string(), sip_user, digest, address }
}

fn known_user<'a>(site: &'a Site, ext: &str) -> Result<&'a User, Failure> {
    let not_found = || Failure::of("ext", Code::NOT_FOUND, format!("there is no user {ext}"));
    site.user_by_login(ext).ok_or_else(not_found)
}

/// What was given, checked; else a random one, which the reply tells this once.
fn given_or_made(
    cx: &mut Context<'_>,
    field: &str,
    given: Option<&str>,
    check: fn(&str, &str) -> Result<(), Failure>,
    told: &mut Option<String>,
) -> Result<String, Failure> {
    if let Some(given) = given {
        return check(field, given).map(|()| given.to_owned());
    }
    let made = cx.core.entropy.secret();
    *told = Some(made.clone());
    Ok(made)
}

/// What an administrator gives: any text that can be typed and is not too long to be hashed.
fn check_password(field: &str, password: &str) -> Result<(), Failure> {
    match (1..=MAX_SECRET).contains(&password.len()) && !password.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Failure::bad(field, format!("{field} is 1 to {MAX_SECRET} bytes, without control characters"))),
    }
}

/// What a user chooses for himself: nothing that is guessed by trying (NIST SP 800-63B §5.1.1.2).
pub(super) fn check_own_password(field: &str, password: &str) -> Result<(), Failure> {
    check_password(field, password)?;
    match password.chars().count() >= LEAST_OWN {
        true => Ok(()),
        false => Err(Failure::bad(field, format!("{field} has at least {LEAST_OWN} characters"))),
    }
}

fn check_sip_secret(field: &str, secret: &str) -> Result<(), Failure> {
    match (1..=MAX_SECRET).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Failure::bad(field, format!("{field} is 1 to {MAX_SECRET} visible ASCII characters"))),
    }
}

fn check_group(group: &str) -> Result<String, Failure> {
    let group = group.trim();
    match (1..=MAX_NAME).contains(&group.chars().count()) && !group.chars().any(char::is_control) {
        true => Ok(group.to_owned()),
        false => Err(Failure::bad("pickup-group", format!("pickup-group is a name of 1 to {MAX_NAME} characters"))),
    }
}

fn check_email(email: &str) -> Result<String, Failure> {
    let parts = email.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    match parts.is_some() && email.len() <= 254 && !email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        true => Ok(email.to_owned()),
        false => Err(Failure::bad("email", "email is an address as in name@example.com")),
    }
}

fn taken(field: &str, text: String) -> Failure {
    Failure::of(field, Code::CONFLICT, text)
}
