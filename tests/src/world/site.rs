//! The site of the world: its users, its store, its settings.

use cas::cas::Settings as CasSettings;
use cas::entropy::Entropy;
use cas::site::plan::Plan;
use cas::site::{Access, Device, DeviceId, DigestPolicy, Extension, MachineKey, Role, Target, User, UserId};
use cas::store::{self, Change, Request, memory::Memory};
use cas::time::Now;
use media::Port;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use switch::node::{Limits, Node, Settings, WorkerId};
use switch::sounds::MUSIC_OF_USERS;
use switch::sounds::announcement::Audience;

use super::DOMAIN;

/// The users, each with one device and number; `admin` has neither.
pub(super) const USERS: [&str; 4] = ["501", "502", "503", "504"];
/// A login that nobody has.
pub(super) const NOBODY: &str = "nobody";
const REALM: &str = "switch.local";

/// What a test's argon2 makes of a password.
pub(super) fn hash(password: &str) -> String {
    format!("$world${password}")
}

/// A user's password, and his device's secret.
pub(super) fn secret(user: &str) -> String {
    format!("secret{user}")
}

/// RTP ports, divided among so many media workers.
pub fn ports(workers: u8) -> Vec<(WorkerId, Port)> {
    (0..24).map(|index: u16| (WorkerId(index as u8 % workers), Port(20_000 + 2 * index))).collect()
}

pub(super) fn settings() -> Settings {
    Settings {
        domain: DOMAIN.to_owned(),
        digest: DigestPolicy::Md5,
        media_address: None,
        ports: ports(1),
        max_calls: 10,
        max_transactions: 500,
        follow_redirects: true,
        // The callers of one of the users hear other music.
        music_of: [("503".to_owned(), MUSIC_OF_USERS)].into(),
        hold_reminder: None,
        announcements: Audience::Nobody,
        max_bindings: 4,
        plan: Plan::default(),
        limits: Limits::default(),
        cas: CasSettings::default(),
    }
}

/// A store as a first start and a few `user add` leave it.
pub(super) fn store(key: &MachineKey) -> Memory {
    let mut memory = Memory::new(REALM);
    let mut changes = vec![Change::PutUser(user(1, "admin", Role::Admin))];
    for (index, name) in USERS.into_iter().enumerate() {
        let id = index as u64 + 2;
        let access = Access::digest(key, [id as u8; 12], name, REALM, &secret(name), None);
        changes.push(Change::PutUser(user(id, name, Role::User)));
        changes.push(Change::PutDevice(Device { id: DeviceId(id), user: Some(UserId(id)), access }));
        changes.push(Change::PutNumber(Extension(name.to_owned()), Target::User(UserId(id))));
    }
    let written = store::run(&mut memory, [&Request::Write(changes)]).remove(0);
    written.expect("the users of the world can be stored");
    memory
}

fn user(id: u64, login: &str, role: Role) -> User {
    User {
        id: UserId(id),
        login: login.to_owned(),
        first: format!("First{login}"),
        last: format!("Last{login}"),
        email: None,
        role,
        password_hash: hash(&secret(login)),
        pin_hash: None,
        // 502 and 503 answer each other's calls.
        pickup_group: ["502", "503"].contains(&login).then(|| "sales".to_owned()),
    }
}

pub(super) fn node(now: Now, settings: &Settings, store: &mut Memory, key: &MachineKey, seed: u64) -> Node {
    let snapshot = store::snapshot(store, now.wall).expect("a store in memory can be read");
    let mut seeds = ChaCha20Rng::seed_from_u64(seed);
    Node::new(now, settings, &snapshot, key.clone(), move || {
        Box::new(Seeded(ChaCha20Rng::seed_from_u64(seeds.next_u64())))
    })
}

/// The switch of the world without a world around it, for whoever carries its outputs himself.
pub fn bare(now: Now, seed: u64) -> Node {
    let key = MachineKey([7; 32]);
    node(now, &settings(), &mut store(&key), &key, seed)
}

struct Seeded(ChaCha20Rng);

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}
