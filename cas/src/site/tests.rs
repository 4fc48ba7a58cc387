use super::*;

const REALM: &str = "switch.local";

fn user(id: u64, login: &str) -> User {
    User {
        id: UserId(id),
        login: login.to_owned(),
        first: "Vanessa".to_owned(),
        last: "Kensington".to_owned(),
        email: None,
        role: Role::User,
        password_hash: String::new(),
        pin_hash: None,
        pickup_group: None,
    }
}

fn phone(id: u64, owner: Option<u64>, sip_user: &str) -> Device {
    let access = Access::digest(&MachineKey([7; 32]), [0; 12], sip_user, REALM, "secret", None);
    Device { id: DeviceId(id), user: owner.map(UserId), access }
}

fn gateway(id: u64, address: &str) -> Device {
    Device { id: DeviceId(id), user: None, access: Access::Address(address.parse().unwrap()) }
}

fn number(text: &str, owner: u64) -> (Extension, Target) {
    (Extension(text.to_owned()), Target::User(UserId(owner)))
}

fn site() -> Site {
    Site::new(&Snapshot {
        realm: REALM.to_owned(),
        users: vec![user(1, "501"), user(2, "502")],
        devices: vec![phone(1, Some(1), "501"), phone(2, Some(2), "502"), phone(3, Some(1), "501b")],
        numbers: vec![number("501", 1), number("502", 2), number("599", 1)],
        last_user: UserId(9),
        last_device: DeviceId(3),
        ..Snapshot::default()
    })
}

fn ids<'a>(devices: impl Iterator<Item = &'a Device>) -> Vec<u64> {
    devices.map(|device| device.id.0).collect()
}

#[test]
fn a_snapshot_is_found_by_every_index() {
    let site = site();
    assert_eq!(site.user_by_login("502").unwrap().id, UserId(2));
    assert_eq!(site.device_by_sip_user("501b").unwrap().id, DeviceId(3));
    assert_eq!(ids(site.devices_of(UserId(1))), [1, 3]);
    assert_eq!(site.target("599"), Some(&Target::User(UserId(1))));
    assert_eq!(site.extension_of(UserId(1)).unwrap().as_str(), "501");
    assert_eq!(site.target("5"), None);
}

#[test]
fn a_renamed_user_is_no_longer_found_under_the_old_login() {
    let mut site = site();
    site.apply(&[Change::PutUser(user(1, "777"))]);
    assert!(site.user_by_login("501").is_none());
    assert_eq!(site.user_by_login("777").unwrap().id, UserId(1));
    assert_eq!(ids(site.devices_of(UserId(1))), [1, 3]);
}

#[test]
fn a_device_moves_between_users_and_names() {
    let mut site = site();
    site.apply(&[Change::PutDevice(phone(3, Some(2), "502b"))]);
    assert!(site.device_by_sip_user("501b").is_none());
    assert_eq!(site.device_by_sip_user("502b").unwrap().user, Some(UserId(2)));
    assert_eq!(ids(site.devices_of(UserId(1))), [1]);
    assert_eq!(ids(site.devices_of(UserId(2))), [2, 3]);
}

#[test]
fn a_removed_user_leaves_his_devices_unassigned_and_his_numbers_free() {
    let mut site = site();
    site.apply(&[Change::RemoveUser(UserId(1))]);
    assert!(site.user_by_login("501").is_none());
    assert_eq!(site.device(DeviceId(1)).unwrap().user, None);
    assert_eq!(ids(site.devices_of(UserId(1))), [0; 0]);
    assert_eq!((site.target("501"), site.target("599")), (None, None));
    assert_eq!(site.extension_of(UserId(1)), None);
}

#[test]
fn a_number_that_leads_elsewhere_is_no_longer_the_users_extension() {
    let mut site = site();
    site.apply(&[Change::PutNumber(Extension("501".to_owned()), Target::Feature(Feature::Echo))]);
    assert_eq!(site.target("501"), Some(&Target::Feature(Feature::Echo)));
    assert_eq!(site.extension_of(UserId(1)).unwrap().as_str(), "599");
    site.apply(&[Change::RemoveNumber(Extension("599".to_owned()))]);
    assert_eq!(site.extension_of(UserId(1)), None);
}

#[test]
fn a_gateway_is_known_by_its_address_in_both_writings() {
    let mut site = site();
    site.apply(&[Change::PutDevice(gateway(4, "192.0.2.1:5060"))]);
    let at = |site: &Site, text: &str| site.gateway_at(text.parse().unwrap()).map(|device| device.id);
    assert_eq!(at(&site, "192.0.2.1:5060"), Some(DeviceId(4)));
    assert_eq!(at(&site, "[::ffff:192.0.2.1]:5060"), Some(DeviceId(4)));
    assert_eq!(at(&site, "192.0.2.1:5061"), None);
    site.apply(&[Change::RemoveDevice(DeviceId(4))]);
    assert_eq!(at(&site, "192.0.2.1:5060"), None);
}

#[test]
fn ids_are_never_given_twice() {
    let mut site = site();
    assert_eq!((site.next_user(), site.next_user()), (UserId(10), UserId(11)));
    assert_eq!(site.next_device(), DeviceId(4));
    site.apply(&[Change::PutDevice(gateway(20, "192.0.2.1:5060")), Change::RemoveDevice(DeviceId(20))]);
    assert_eq!(site.next_device(), DeviceId(21));
}

#[test]
fn rfc_7616_section_3_9_1_ha1() {
    // HA1 by both hashes of the RFC's example user, computed with coreutils.
    let access = Access::digest(
        &MachineKey([1; 32]),
        [2; 12],
        "Mufasa",
        "http-auth@example.org",
        "Circle of Life",
        Some(DigestPolicy::Both),
    );
    let Access::Digest { ha1_md5, ha1_sha256, secret, .. } = access else { panic!("{access:?}") };
    assert_eq!(ha1_md5, "3d78807defe7de2157e2b0b6573a855f");
    assert_eq!(ha1_sha256, "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232");
    assert_eq!(MachineKey([1; 32]).open(&secret).unwrap(), b"Circle of Life");
}

#[test]
fn what_another_key_or_hand_sealed_does_not_open() {
    let key = MachineKey([1; 32]);
    let sealed = key.seal([3; 12], b"secret");
    assert_eq!(MachineKey([2; 32]).open(&sealed), None);
    for at in 0..sealed.0.len() {
        let mut changed = sealed.clone();
        changed.0[at] ^= 1;
        assert_eq!(key.open(&changed), None, "byte {at}");
        assert_eq!(key.open(&Sealed(sealed.0[..at].to_vec())), None, "cut at {at}");
    }
}

#[test]
fn secrets_are_not_in_debug_output() {
    let device = phone(1, None, "501");
    assert!(!format!("{:?} {:?}", device, MachineKey([0x41; 32])).contains("secret\""));
    assert_eq!(format!("{:?}", MachineKey([0x41; 32])), "MachineKey(…)");
}

#[test]
fn extensions_are_checked() {
    for good in ["1", "501", "0123456789"] {
        assert_eq!(Extension::parse_user(good).unwrap().as_str(), good);
    }
    for bad in ["", "*43", "50 1", "01234567890", "５０１", "+49"] {
        assert!(Extension::parse_user(bad).is_err(), "{bad}");
    }
    for good in ["*43", "#1*", "00493012345678"] {
        assert!(Extension::parse(good).is_ok(), "{good}");
    }
    assert_eq!(
        Extension::parse_user("5o1").unwrap_err().to_string(),
        "\"5o1\" is no extension: expected 1 to 10 digits"
    );
    assert!(Extension::parse(&"1".repeat(33)).is_err());
}

#[test]
fn names_split_and_join() {
    let split = |name| User::split_name(name);
    assert_eq!(split("  Vanessa  Kensington "), ("Vanessa".into(), "Kensington".into()));
    assert_eq!(split("Anna Maria Schmidt"), ("Anna Maria".into(), "Schmidt".into()));
    assert_eq!(split("Reception"), ("Reception".into(), "".into()));
    assert_eq!(split(""), ("".into(), "".into()));
    assert_eq!(user(1, "501").display_name(), "Vanessa Kensington");
    let nameless = User { first: String::new(), last: String::new(), ..user(1, "admin") };
    assert_eq!(nameless.display_name(), "admin");
}

#[test]
fn names_of_variants_read_back() {
    for role in [Role::User, Role::Admin] {
        assert_eq!(Role::from_name(role.name()), Some(role));
    }
    for policy in [DigestPolicy::Md5, DigestPolicy::Sha256, DigestPolicy::Both] {
        assert_eq!(DigestPolicy::from_name(policy.name()), Some(policy));
    }
    assert_eq!(Role::from_name("Admin"), None);
}
