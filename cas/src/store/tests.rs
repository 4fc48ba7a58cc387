//! One suite for both drivers, and what only one of them can show.

mod crash;
mod equal;
mod failing;
mod power;

use std::path::Path;
use std::sync::mpsc;

use super::folder::Folder;
use super::memory::Memory;
use super::sqlite::Sqlite;
use super::thread::StoreThread;
use super::trim::HistoryLimits;
use super::*;
use crate::site::handling::{Forward, Mode, NoAnswer, Rules};
use crate::site::written;
use crate::site::{Access, DigestPolicy, Feature, MachineKey, Role};

pub(super) const REALM: &str = "switch.local";

pub(super) fn user(id: u64, login: &str) -> User {
    User {
        id: UserId(id),
        login: login.to_owned(),
        first: "Vanessa".to_owned(),
        last: "Kensington".to_owned(),
        email: Some("v@example.org".to_owned()),
        role: Role::User,
        password_hash: "$argon2id$…".to_owned(),
        pin_hash: None,
        pickup_group: None,
    }
}

pub(super) fn phone(id: u64, owner: Option<u64>, sip_user: &str) -> Device {
    let access = Access::digest(&MachineKey([7; 32]), [0; 12], sip_user, REALM, "secret", Some(DigestPolicy::Both));
    Device { id: DeviceId(id), user: owner.map(UserId), access }
}

pub(super) fn gateway(id: u64, address: &str) -> Device {
    Device { id: DeviceId(id), user: None, access: Access::Address(address.parse().unwrap()) }
}

pub(super) fn leads_to(number: &str, owner: u64) -> Change {
    Change::PutNumber(Extension(number.to_owned()), Target::User(UserId(owner)))
}

pub(super) fn binding(device: u64, contact: &str, expires: u64) -> BindingRecord {
    BindingRecord {
        device: DeviceId(device),
        contact: contact.to_owned(),
        reg_id: 1,
        instance: Some("<urn:uuid:1>".to_owned()),
        path: "<sip:edge.example;lr>".to_owned(),
        q: 500,
        sip_call_id: "1@phone".to_owned(),
        cseq: 4_000_000_000,
        agent: String::new(),
        transport: "udp".to_owned(),
        local: "[2001:db8::1]:5060".parse().unwrap(),
        source: "192.0.2.7:5062".parse().unwrap(),
        expires: Wall(expires),
    }
}

pub(super) fn record(call: u64, owner: u64, started: u64) -> HistoryRecord {
    HistoryRecord {
        call: CallId(call),
        user: UserId(owner),
        device: Some(DeviceId(1)),
        kind: HistoryKind::Placed,
        addr: "502".to_owned(),
        name: "O'Neil \"Äöü\"".to_owned(),
        started: Wall(started),
        duration_msec: 1500,
        cause: "normal".to_owned(),
        media: "{\"received\":7}".to_owned(),
        note: String::new(),
    }
}

fn last(owner: u64, dialled: Option<&str>, caller: Option<&str>) -> Change {
    let [dialled, caller] = [dialled, caller].map(|number| number.map(str::to_owned));
    Change::PutLastCalls(LastCalls { user: UserId(owner), dialled, caller })
}

pub(super) fn subscription(id: u64, owner: u64, device: Option<u64>) -> SubscriptionRecord {
    SubscriptionRecord {
        id,
        user: UserId(owner),
        app_id: "pcm".to_owned(),
        device: device.map(DeviceId),
        topic: "tel".to_owned(),
        kind: "monitor".to_owned(),
        args: vec!["501".to_owned(), "a \"b\"".to_owned()],
    }
}

/// A user's own rules for one mode, each of another kind.
pub(super) fn handling(mode: Mode, follows: bool, digits: &str) -> Handling {
    let number = || Extension(format!("50{digits}"));
    let rules = Rules {
        dnd: follows,
        always: (!follows).then(|| Forward::Number(number())),
        busy: Some(Forward::Voicemail),
        no_answer: Some(NoAnswer { rings: 3, to: Forward::Number(Extension("*43".to_owned())) }),
        not_registered: None,
        find_me: vec![number(), Extension("0#".to_owned())],
        ring_also: vec![number()],
    };
    Handling { mode, follows, rules: [(mode, rules), (Mode::Custom, Rules::default())].into() }
}

/// Schedules of all kinds, or, with another name, of one.
pub(super) fn schedules(name: &str) -> Schedules {
    let entries = serde_json::json!({
        "time-zone": "Europe/Berlin",
        "off-hours": if name.is_empty() { None } else { Some("out-of-office") },
        "on-hours": [{"days": ["mon", "sun"], "from": "22:00", "to": "06:00", "mode": "standard", "name": name}],
        "holiday": [{"date": "02-29", "mode": "custom", "name": ""}, {"date": "2026-12-25", "mode": "standard"}],
        "custom": if name.is_empty() { None } else { Some([0; 0]) },
    });
    written::read_schedules(&entries.to_string()).unwrap()
}

/// Two users with a phone and a number each, and a gateway.
pub(super) fn site() -> Vec<Change> {
    vec![
        Change::PutUser(user(1, "501")),
        Change::PutUser(User {
            role: Role::Admin,
            email: None,
            pin_hash: Some("$".to_owned()),
            pickup_group: Some("sales".to_owned()),
            ..user(2, "502")
        }),
        Change::PutDevice(phone(1, Some(1), "501")),
        Change::PutDevice(phone(2, Some(2), "502")),
        Change::PutDevice(gateway(3, "[2001:db8::9]:5060")),
        leads_to("501", 1),
        leads_to("502", 2),
    ]
}

pub(super) fn write(store: &mut dyn Store, changes: &[Change]) -> Result<(), StoreError> {
    let mut replies = run(store, &[Request::Write(changes.to_vec())]);
    assert_eq!(replies.len(), 1);
    replies.remove(0).map(|reply| assert_eq!(reply, Reply::Written))
}

pub(super) fn everything(store: &mut dyn Store) -> Snapshot {
    snapshot(store, Wall(0)).unwrap()
}

pub(super) fn of_user(owner: u64) -> HistoryQuery {
    HistoryQuery { user: UserId(owner), device: None, kind: None, before: None, after: None, max: 100 }
}

fn calls(store: &mut dyn Store, query: HistoryQuery) -> Vec<u64> {
    match run(store, &[Request::History(query)]).remove(0).unwrap() {
        Reply::History(records) => records.iter().map(|record| record.call.0).collect(),
        Reply::Written => panic!("asked for history"),
    }
}

pub(super) fn open(path: &Path) -> Sqlite {
    Sqlite::open(Folder::open(path).unwrap(), REALM).unwrap()
}

/// Each test of the suite gets a new store, and a way to close and open it again.
type Reopen<'a> = &'a dyn Fn(Box<dyn Store>) -> Box<dyn Store>;

macro_rules! suite {
    ($($name:ident)*) => {
        mod memory_driver {
            $(#[test] fn $name() {
                super::$name(Box::new(super::Memory::new(super::REALM)), &|store| store);
            })*
        }
        mod sqlite_driver {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(Box::new(super::open(folder.path())), &|store| {
                    store.close().unwrap();
                    Box::new(super::open(folder.path()))
                });
            })*
        }
    };
}

suite! {
    a_new_store_has_the_echo_number_and_the_realm
    everything_written_is_read_back
    put_replaces
    a_write_is_all_or_nothing
    a_request_that_fails_leaves_the_others_of_its_commit_alone
    a_login_a_sip_user_and_an_address_are_unique
    names_may_move_within_a_write
    a_removed_user_takes_what_is_his_and_leaves_his_devices
    a_removed_device_takes_its_bindings_and_subscriptions
    a_record_naming_what_is_not_there_is_refused
    a_call_record_may_come_after_its_user_has_gone
    removing_what_is_not_there_is_no_error
    the_last_ids_outlive_their_records
    an_undone_write_takes_no_ids
    bindings_that_ended_while_down_are_not_loaded
    history_comes_newest_first_and_filtered
    history_is_limited
    a_call_that_goes_on_is_no_history_yet_and_was_cut_short_where_the_switch_ended
    a_read_sees_the_writes_before_it
}

fn a_new_store_has_the_echo_number_and_the_realm(mut store: Box<dyn Store>, _: Reopen<'_>) {
    let expected = Snapshot {
        realm: REALM.to_owned(),
        numbers: vec![(Extension("*43".to_owned()), Target::Feature(Feature::Echo))],
        ..Snapshot::default()
    };
    assert_eq!(everything(&mut *store), expected);
}

fn everything_written_is_read_back(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    let mut changes = site();
    changes.extend([
        Change::PutBinding(binding(2, "sip:502@192.0.2.7:5062", 9000)),
        Change::PutBinding(BindingRecord { instance: None, ..binding(2, "sip:502@192.0.2.6", u64::MAX >> 1) }),
        Change::PutHistory(record(u64::MAX, 1, 1_700_000_000_000)),
        Change::PutSubscription(subscription(5, 1, Some(1))),
        Change::PutSubscription(subscription(4, 2, None)),
        Change::PutHandling(UserId(2), handling(Mode::OutOfOffice, true, "1")),
        Change::PutSchedules(Some(UserId(2)), schedules("night \"shift\"")),
        Change::PutSchedules(None, schedules("")),
        last(1, Some("*80502"), Some("")),
        last(2, None, Some("501")),
    ]);
    write(&mut *store, &changes).unwrap();
    let mut store = reopen(store);
    let snapshot = everything(&mut *store);
    assert_eq!(snapshot.users.iter().map(|user| user.id.0).collect::<Vec<_>>(), [1, 2]);
    for change in changes {
        let found = match &change {
            Change::PutUser(user) => snapshot.users.contains(user),
            Change::PutDevice(device) => snapshot.devices.contains(device),
            Change::PutNumber(number, target) => snapshot.numbers.contains(&(number.clone(), target.clone())),
            Change::PutBinding(binding) => snapshot.bindings.contains(binding),
            Change::PutSubscription(subscription) => snapshot.subscriptions.contains(subscription),
            Change::PutHandling(user, handling) => snapshot.handlings.contains(&(*user, handling.clone())),
            Change::PutSchedules(owner, schedules) => snapshot.schedules.contains(&(*owner, schedules.clone())),
            Change::PutLastCalls(last) => snapshot.last_calls.contains(last),
            Change::PutHistory(record) => store.records(&of_user(1)).unwrap() == std::slice::from_ref(record),
            other => panic!("{other:?}"),
        };
        assert!(found, "{change:?}");
    }
}

fn put_replaces(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let (old, new) = (binding(1, "sip:501@192.0.2.7", 1000), binding(1, "sip:501@192.0.2.7", 2000));
    let renamed = User { first: "V.".to_owned(), ..user(1, "777") };
    let reached = gateway(1, "192.0.2.1:5060");
    let noted = HistoryRecord { note: "call back".to_owned(), ..record(1, 1, 1) };
    let before = [
        Change::PutBinding(old),
        Change::PutHistory(record(1, 1, 1)),
        Change::PutHandling(UserId(1), handling(Mode::Custom, false, "2")),
        last(1, Some("502"), None),
        Change::PutSchedules(None, schedules("old")),
        Change::PutSchedules(Some(UserId(1)), schedules("old")),
    ];
    write(&mut *store, &before).unwrap();
    let after = [
        Change::PutUser(renamed.clone()),
        Change::PutDevice(reached.clone()),
        leads_to("501", 2),
        Change::PutBinding(new.clone()),
        Change::PutHistory(noted.clone()),
        Change::PutHandling(UserId(1), Handling::default()),
        last(1, None, Some("502")),
        Change::PutSchedules(None, schedules("new")),
        Change::PutSchedules(Some(UserId(1)), Schedules::default()),
    ];
    write(&mut *store, &after).unwrap();
    let mut store = reopen(store);
    let snapshot = everything(&mut *store);
    assert_eq!((&snapshot.users[0], &snapshot.devices[0]), (&renamed, &reached));
    assert_eq!(snapshot.numbers[1], (Extension("501".to_owned()), Target::User(UserId(2))));
    assert_eq!(snapshot.bindings, [new]);
    assert_eq!(
        snapshot.last_calls.into_iter().map(Change::PutLastCalls).collect::<Vec<_>>(),
        [last(1, None, Some("502"))]
    );
    assert_eq!(snapshot.handlings, [(UserId(1), Handling::default())]);
    assert_eq!(snapshot.schedules, [(None, schedules("new")), (Some(UserId(1)), Schedules::default())]);
    assert_eq!(store.records(&of_user(1)).unwrap(), [noted]);
}

fn a_write_is_all_or_nothing(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let before = everything(&mut *store);
    let changes = [
        Change::PutUser(user(9, "509")),
        Change::RemoveUser(UserId(2)),
        Change::PutDevice(phone(9, Some(9), "509")),
        leads_to("509", 77),
    ];
    assert_eq!(write(&mut *store, &changes), Err(refusal::dangling()));
    assert_eq!(everything(&mut *store), before);
    assert_eq!(everything(&mut *reopen(store)), before);
}

fn a_request_that_fails_leaves_the_others_of_its_commit_alone(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    let requests = [
        Request::Write(site()),
        Request::Write(vec![Change::RemoveUser(UserId(1)), leads_to("509", 77)]),
        Request::Write(vec![Change::PutUser(user(3, "503"))]),
    ];
    let replies = run(&mut *store, &requests);
    assert_eq!(replies, [Ok(Reply::Written), Err(refusal::dangling()), Ok(Reply::Written)]);
    let users = everything(&mut *reopen(store)).users;
    assert_eq!(users.iter().map(|user| user.id.0).collect::<Vec<_>>(), [1, 2, 3]);
}

fn a_login_a_sip_user_and_an_address_are_unique(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let before = everything(&mut *store);
    let refused = [
        (Change::PutUser(user(9, "501")), refusal::login_taken()),
        (Change::PutUser(user(2, "501")), refusal::login_taken()),
        (Change::PutDevice(phone(9, None, "501")), refusal::sip_user_taken()),
        (Change::PutDevice(phone(3, None, "501")), refusal::sip_user_taken()),
        (Change::PutDevice(gateway(9, "[2001:db8::9]:5060")), refusal::address_taken()),
    ];
    for (change, refusal) in refused {
        assert_eq!(write(&mut *store, std::slice::from_ref(&change)), Err(refusal), "{change:?}");
    }
    assert_eq!(everything(&mut *store), before);
}

fn names_may_move_within_a_write(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let changes = [
        Change::RemoveDevice(DeviceId(1)),
        Change::PutDevice(phone(4, Some(1), "501")),
        Change::PutUser(user(1, "601")),
        Change::PutUser(user(2, "501")),
    ];
    write(&mut *store, &changes).unwrap();
    assert_eq!(everything(&mut *store).users[1].login, "501");
}

fn a_removed_user_takes_what_is_his_and_leaves_his_devices(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let his = [
        leads_to("511", 1),
        Change::PutHistory(record(1, 1, 1)),
        Change::PutHistory(record(2, 2, 1)),
        Change::PutSubscription(subscription(1, 1, None)),
        Change::PutSubscription(subscription(2, 2, None)),
        Change::PutHandling(UserId(1), handling(Mode::Standard, true, "1")),
        Change::PutSchedules(Some(UserId(1)), schedules("his")),
        Change::PutSchedules(None, schedules("the site's")),
        last(1, Some("502"), None),
        last(2, Some("501"), None),
    ];
    write(&mut *store, &his).unwrap();
    write(&mut *store, &[Change::RemoveUser(UserId(1))]).unwrap();
    let mut store = reopen(store);
    let snapshot = everything(&mut *store);
    assert_eq!(snapshot.devices.iter().map(|device| device.user).collect::<Vec<_>>(), [None, Some(UserId(2)), None]);
    assert_eq!(snapshot.numbers.iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>(), ["*43", "502"]);
    assert_eq!(snapshot.subscriptions, [subscription(2, 2, None)]);
    assert_eq!(snapshot.last_calls.iter().map(|last| last.user).collect::<Vec<_>>(), [UserId(2)]);
    assert_eq!((snapshot.handlings, snapshot.schedules), (vec![], vec![(None, schedules("the site's"))]));
    assert_eq!((calls(&mut *store, of_user(1)), calls(&mut *store, of_user(2))), (vec![], vec![2]));
}

fn a_removed_device_takes_its_bindings_and_subscriptions(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let its = [
        Change::PutBinding(binding(1, "sip:a@192.0.2.1", 9)),
        Change::PutBinding(binding(1, "sip:b@192.0.2.1", 9)),
        Change::PutBinding(binding(2, "sip:a@192.0.2.1", 9)),
        Change::PutSubscription(subscription(1, 1, Some(1))),
        Change::PutSubscription(subscription(2, 1, Some(2))),
        Change::PutHistory(record(1, 1, 1)),
    ];
    write(&mut *store, &its).unwrap();
    write(&mut *store, &[Change::RemoveDevice(DeviceId(1))]).unwrap();
    let mut store = reopen(store);
    let snapshot = everything(&mut *store);
    assert_eq!(snapshot.bindings, [binding(2, "sip:a@192.0.2.1", 9)]);
    assert_eq!(snapshot.subscriptions, [subscription(2, 1, Some(2))]);
    assert_eq!(store.records(&of_user(1)).unwrap(), [record(1, 1, 1)]);
}

fn a_record_naming_what_is_not_there_is_refused(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let dangling = [
        Change::PutDevice(phone(9, Some(77), "509")),
        leads_to("509", 77),
        Change::PutBinding(binding(77, "sip:a@192.0.2.1", 9)),
        Change::PutSubscription(subscription(1, 77, None)),
        Change::PutSubscription(subscription(1, 1, Some(77))),
        Change::PutHandling(UserId(77), Handling::default()),
        Change::PutSchedules(Some(UserId(77)), Schedules::default()),
    ];
    for change in dangling {
        assert_eq!(write(&mut *store, std::slice::from_ref(&change)), Err(refusal::dangling()), "{change:?}");
    }
}

fn a_call_record_may_come_after_its_user_has_gone(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    write(&mut *store, &[Change::RemoveUser(UserId(1))]).unwrap();
    let late = [1, 2].map(|user| Change::PutHistory(record(user, user, 1)));
    write(&mut *store, &late).unwrap();
    write(&mut *store, &[last(1, Some("502"), None), last(2, Some("501"), None)]).unwrap();
    assert_eq!((calls(&mut *store, of_user(1)), calls(&mut *store, of_user(2))), (vec![], vec![2]));
    assert_eq!(everything(&mut *store).last_calls.iter().map(|last| last.user).collect::<Vec<_>>(), [UserId(2)]);
}

fn removing_what_is_not_there_is_no_error(mut store: Box<dyn Store>, _: Reopen<'_>) {
    let before = everything(&mut *store);
    let changes = [
        Change::RemoveUser(UserId(1)),
        Change::RemoveDevice(DeviceId(1)),
        Change::RemoveNumber(Extension("501".to_owned())),
        Change::RemoveBinding { device: DeviceId(1), contact: "sip:a@192.0.2.1".to_owned(), reg_id: 1 },
        Change::RemoveSubscription(1),
    ];
    write(&mut *store, &changes).unwrap();
    assert_eq!(everything(&mut *store), before);
}

fn the_last_ids_outlive_their_records(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &[Change::PutUser(user(7, "507")), Change::PutDevice(gateway(8, "192.0.2.1:5060"))]).unwrap();
    write(&mut *store, &[Change::RemoveUser(UserId(7)), Change::RemoveDevice(DeviceId(8))]).unwrap();
    write(&mut *store, &[Change::PutUser(user(3, "503"))]).unwrap();
    let snapshot = everything(&mut *reopen(store));
    assert_eq!((snapshot.last_user, snapshot.last_device), (UserId(7), DeviceId(8)));
}

fn an_undone_write_takes_no_ids(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &[Change::PutUser(user(7, "507")), leads_to("509", 77)]).unwrap_err();
    assert_eq!(everything(&mut *store).last_user, UserId(0));
}

fn bindings_that_ended_while_down_are_not_loaded(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let bindings =
        [binding(1, "sip:a@192.0.2.1", 999), binding(1, "sip:b@192.0.2.1", 1000), binding(1, "sip:c@192.0.2.1", 1001)];
    write(&mut *store, &bindings.clone().map(Change::PutBinding)).unwrap();
    let mut store = reopen(store);
    let loaded = snapshot(&mut *store, Wall(1000)).unwrap().bindings;
    assert_eq!(loaded, bindings[2..]);
}

fn history_comes_newest_first_and_filtered(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let records = [
        record(1, 1, 100),
        HistoryRecord { kind: HistoryKind::Missed, device: None, ..record(2, 1, 300) },
        HistoryRecord { device: Some(DeviceId(2)), ..record(3, 1, 200) },
        record(4, 2, 250),
        record(5, 1, 300),
    ];
    write(&mut *store, &records.map(Change::PutHistory)).unwrap();
    let mut ask = |query| calls(&mut *store, query);
    assert_eq!(ask(of_user(1)), [5, 2, 3, 1]);
    assert_eq!(ask(HistoryQuery { max: 2, ..of_user(1) }), [5, 2]);
    assert_eq!(ask(HistoryQuery { before: Some(Wall(300)), ..of_user(1) }), [3, 1]);
    assert_eq!(ask(HistoryQuery { after: Some(Wall(200)), ..of_user(1) }), [5, 2]);
    assert_eq!(ask(HistoryQuery { kind: Some(HistoryKind::Missed), ..of_user(1) }), [2]);
    assert_eq!(ask(HistoryQuery { device: Some(DeviceId(2)), ..of_user(1) }), [3]);
    assert_eq!(ask(of_user(3)), [0; 0]);
}

fn history_is_limited(mut store: Box<dyn Store>, _: Reopen<'_>) {
    write(&mut *store, &site()).unwrap();
    let records: Vec<Change> = (0..MAX_HISTORY as u64 + 5).map(|n| Change::PutHistory(record(n, 1, n))).collect();
    write(&mut *store, &records).unwrap();
    assert_eq!(calls(&mut *store, HistoryQuery { max: usize::MAX, ..of_user(1) }).len(), MAX_HISTORY);
}

fn a_call_that_goes_on_is_no_history_yet_and_was_cut_short_where_the_switch_ended(
    mut store: Box<dyn Store>,
    reopen: Reopen<'_>,
) {
    let begun = |call| HistoryRecord { cause: String::new(), duration_msec: 0, ..record(call, 1, call) };
    let mut changes = site();
    changes.extend([1, 2].map(|call| Change::PutHistory(begun(call))));
    write(&mut *store, &changes).unwrap();
    assert_eq!(store.records(&of_user(1)), Ok(Vec::new()));
    write(&mut *store, &[Change::PutHistory(record(1, 1, 1))]).unwrap();
    assert_eq!(store.records(&of_user(1)), Ok(vec![record(1, 1, 1)]));

    let mut store = reopen(store);
    everything(&mut *store);
    let cut_short = HistoryRecord { cause: CUT_SHORT.to_owned(), ..begun(2) };
    assert_eq!(store.records(&of_user(1)), Ok(vec![cut_short, record(1, 1, 1)]));
}

fn a_read_sees_the_writes_before_it(mut store: Box<dyn Store>, _: Reopen<'_>) {
    let requests = [
        Request::Write(site()),
        Request::Write(vec![Change::PutHistory(record(1, 1, 1))]),
        Request::History(of_user(1)),
    ];
    assert_eq!(run(&mut *store, &requests)[2], Ok(Reply::History(vec![record(1, 1, 1)])));
}

#[test]
fn the_thread_answers_everything_in_order_before_it_ends() {
    let (sender, answers) = mpsc::channel();
    let thread = StoreThread::start(Box::new(Memory::new(REALM)), HistoryLimits::default(), move |tag, reply| {
        sender.send((tag, reply)).unwrap()
    });
    let thread = thread.unwrap();
    thread.submit(0, Request::Write(site())).unwrap();
    for n in 1..500 {
        thread.submit(n, Request::Write(vec![Change::PutHistory(record(n, 1, n))])).unwrap();
    }
    thread.submit(500, Request::Write(vec![leads_to("509", 77)])).unwrap();
    thread.submit(501, Request::History(HistoryQuery { max: 1, ..of_user(1) })).unwrap();
    thread.stop().unwrap();
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), (0..=501).collect::<Vec<_>>());
    assert!(answers[..500].iter().all(|(_, reply)| *reply == Ok(Reply::Written)));
    assert_eq!(answers[500].1, Err(refusal::dangling()));
    assert_eq!(answers[501].1, Ok(Reply::History(vec![record(499, 1, 499)])));
}

#[test]
fn a_full_queue_is_told_at_once() {
    let (go, wait) = mpsc::channel::<()>();
    let thread = StoreThread::start(Box::new(Memory::new(REALM)), HistoryLimits::default(), move |_, _| {
        let _ = wait.recv();
    });
    let thread = thread.unwrap();
    let mut tags = 0..;
    let (refused, error) = tags.find_map(|tag| thread.submit(tag, Request::Write(Vec::new())).err()).unwrap();
    assert!(refused >= thread::QUEUE, "{refused}");
    assert_eq!(error.0, "more than 4096 requests wait for the disk");
    drop(go);
    thread.stop().unwrap();
}
