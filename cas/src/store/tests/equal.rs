//! Whatever is asked of them, the two drivers answer and keep the same.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn change() -> impl Strategy<Value = Change> {
    let id = || 1_u64..5;
    let name = || (0_u64..4).prop_map(|n| format!("50{n}"));
    let owner = || proptest::option::of(id());
    let kind = prop_oneof![Just(HistoryKind::Placed), Just(HistoryKind::Missed)];
    prop_oneof![
        4 => (id(), name()).prop_map(|(id, login)| Change::PutUser(user(id, &login))),
        1 => id().prop_map(|id| Change::RemoveUser(UserId(id))),
        4 => (id(), owner(), name()).prop_map(|(id, owner, name)| Change::PutDevice(phone(id, owner, &name))),
        1 => (id(), id()).prop_map(|(id, host)| Change::PutDevice(gateway(id, &format!("192.0.2.{host}:5060")))),
        1 => id().prop_map(|id| Change::RemoveDevice(DeviceId(id))),
        3 => (name(), id()).prop_map(|(number, owner)| leads_to(&number, owner)),
        1 => name().prop_map(|number| Change::PutNumber(Extension(number), Target::Feature(Feature::Echo))),
        1 => name().prop_map(|number| Change::RemoveNumber(Extension(number))),
        3 => (id(), name(), any::<u32>()).prop_map(|(id, contact, at)| Change::PutBinding(binding(id, &contact, at.into()))),
        1 => (id(), name()).prop_map(|(id, contact)| Change::RemoveBinding { device: DeviceId(id), contact, reg_id: 1 }),
        3 => (any::<u64>(), id(), 0_u64..9, kind, any::<String>()).prop_map(|(call, owner, at, kind, name)| {
            Change::PutHistory(HistoryRecord { kind, name, ..record(call, owner, at) })
        }),
        3 => (id(), id(), owner()).prop_map(|(id, owner, at)| Change::PutSubscription(subscription(id, owner, at))),
        1 => id().prop_map(Change::RemoveSubscription),
        2 => (id(), 0..Mode::ALL.len(), any::<bool>()).prop_map(|(id, mode, follows)| {
            Change::PutHandling(UserId(id), handling(Mode::ALL[mode], follows, &id.to_string()))
        }),
        2 => (owner(), name()).prop_map(|(owner, name)| {
            Change::PutSchedules(owner.map(UserId), schedules(if name == "500" { "" } else { &name }))
        }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let query = (1_u64..5, any::<bool>(), proptest::option::of(0_u64..9), proptest::option::of(0_u64..9), 0_usize..9);
    prop_oneof![
        4 => vec(change(), 1..4).prop_map(Request::Write),
        1 => query.prop_map(|(owner, missed, before, after, max)| {
            let kind = missed.then_some(HistoryKind::Missed);
            let (before, after) = (before.map(Wall), after.map(Wall));
            Request::History(HistoryQuery { kind, before, after, max, ..of_user(owner) })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn memory_and_sqlite_are_equal(batches in vec(vec(request(), 1..6), 1..12), now in any::<u32>()) {
        let folder = tempfile::tempdir().unwrap();
        let (mut memory, mut sqlite) = (Memory::new(REALM), open(folder.path()));
        for batch in &batches {
            prop_assert_eq!(run(&mut memory, batch), run(&mut sqlite, batch));
        }
        let now = Wall(now.into());
        Box::new(sqlite).close().unwrap();
        let mut sqlite = open(folder.path());
        let snapshots = (snapshot(&mut memory, now).unwrap(), snapshot(&mut sqlite, now).unwrap());
        prop_assert_eq!(&snapshots.0, &snapshots.1);
        for user in 1..5 {
            prop_assert_eq!(memory.records(&of_user(user)).unwrap(), sqlite.records(&of_user(user)).unwrap());
        }
    }

    /// What the site makes of confirmed changes is what the store would have it start from.
    #[test]
    fn a_site_kept_up_to_date_is_the_site_read_anew(writes in vec(vec(change(), 1..4), 1..24)) {
        let mut memory = Memory::new(REALM);
        let mut site = crate::site::Site::new(&everything(&mut memory));
        for changes in &writes {
            if write(&mut memory, changes).is_ok() {
                site.apply(changes);
            }
        }
        prop_assert_eq!(site, crate::site::Site::new(&everything(&mut memory)));
    }
}
