//! Call handling modes and their schedules: what users and administrators may set, what the clock makes of it, and who is told.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::site::handling::{Forward, Handling, Mode, NoAnswer, Rules};

fn get(members: Value) -> Value {
    message("config", "get-call-handling", members)
}

fn set(members: Value) -> Value {
    message("config", "set-call-handling", members)
}

fn schedule(members: Value) -> Value {
    message("config", "set-schedule", members)
}

fn get_schedules(members: Value) -> Value {
    message("config", "get-schedules", members)
}

fn subscribe(bench: &mut Bench, session: &str, args: Value) -> Value {
    bench.execute(session, message("subscribe", "subscribe-events", json!({"subscribe": [["config", "", args]]})))
}

/// The rules of a mode that nobody has touched, but for one member.
fn rules(name: &str, value: Value) -> Value {
    let mut rules = json!({"dnd": false, "always": null, "busy": null, "no-answer": null, "not-registered": null,
        "find-me": [], "ring-also": []});
    rules[name] = value;
    rules
}

/// An instant of 2026, by the clock in London.
fn at(text: &str) -> Wall {
    let timestamp: jiff::Timestamp = format!("2026-{text}Z").parse().unwrap();
    Wall(u64::try_from(timestamp.as_millisecond()).unwrap())
}

impl Bench {
    /// The clock on the wall shows this, and the time until then has passed.
    fn wait_until(&mut self, wall: Wall) {
        let passed = Duration::from_millis(wall.0 - self.now.wall.0);
        self.pass(passed);
        assert_eq!(self.now.wall, wall);
    }

    fn mode(&self, user: u64) -> Mode {
        self.site.handling(UserId(user), self.now.wall).0
    }
}

/// What is in force, and where it comes from.
fn told(reply: &Value) -> (&str, &str) {
    (reply["mode"].as_str().unwrap_or_default(), reply["source"].as_str().unwrap_or_default())
}

#[test]
fn s90_a_user_reads_his_mode_what_it_does_and_what_he_may_choose() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let reply = bench.execute(&session, get(json!({})));
    let standard = rules("dnd", json!(false));
    let away = rules("always", json!("voicemail"));
    for (member, value) in [
        ("user", json!("501")),
        ("mode", json!("standard")),
        ("name", json!("Standard")),
        ("source", json!("hand")),
        ("chosen", json!("standard")),
        ("follow-schedule", json!(false)),
        ("until", json!(null)),
        ("rules", standard.clone()),
        ("actions", json!(["set-call-handling"])),
    ] {
        assert_eq!(reply[member], value, "{member} of {reply}");
    }
    let menu = &reply["menu"];
    let modes = json!([
        ["mode", "name", "rules"],
        ["standard", "Standard", standard],
        ["in-a-meeting", "In a Meeting", away],
        ["out-of-office", "Out of Office", away],
        ["extended-absence", "Extended Absence", away],
        ["custom", "Custom", standard]
    ]);
    assert_eq!((&menu["modes"], &menu["rings"], &menu["numbers"]), (&modes, &json!([1, 15]), &json!(5)));
    let permissions: Vec<&str> = reply["permissions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(permissions, ["get-call-handling", "set-call-handling", "get-schedules", "set-schedule"]);
}

#[test]
fn s91_a_mode_is_set_and_read_and_outlives_a_restart() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let reply = bench.execute(&session, set(json!({"mode": "out-of-office", "rules": {"always": " 502 "}})));
    assert_eq!((&reply["error"], &reply["mode"]), (&json!(0), &json!("out-of-office")), "{reply}");
    assert_eq!(reply["rules"], rules("always", json!("502")));
    assert_eq!(bench.mode(2), Mode::OutOfOffice);
    let mut bench = bench.restart();
    let (mode, rules) = bench.site.handling(UserId(2), bench.now.wall);
    assert_eq!((mode, &rules.always), (Mode::OutOfOffice, &Some(Forward::Number(Extension("502".into())))));
    assert_eq!(bench.mode(3), Mode::Standard, "another's is another's");
    let session = bench.log_in("501");
    assert_eq!(bench.execute(&session, get(json!({})))["mode"], "out-of-office");
}

#[test]
fn s91_rules_are_changed_member_by_member_in_the_mode_that_is_meant() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let mut ask = |members: Value| {
        let reply = bench.execute(&session, set(members));
        assert_eq!(reply["error"], 0, "{reply}");
        reply
    };
    // Of the mode in force, where none is named.
    ask(json!({"rules": {"no-answer": {"to": "*43"}, "busy": "voicemail"}}));
    let reply = ask(json!({"rules": {"no_answer": {"rings": 2.0, "to": "voicemail"}, "find-me": ["0171", "502"]}}));
    let expected = json!({"dnd": false, "always": null, "busy": "voicemail", "no-answer": {"rings": 2, "to": "voicemail"},
        "not-registered": null, "find-me": ["0171", "502"], "ring-also": []});
    assert_eq!((&reply["mode"], &reply["rules"]), (&json!("standard"), &expected));
    // Of another one, which does not come into force by it.
    let reply = ask(json!({"rules-of": "custom", "rules": {"dnd": true}}));
    assert_eq!((&reply["mode"], &reply["rules"]), (&json!("standard"), &expected));
    assert_eq!(reply["menu"]["modes"][5], json!(["custom", "Custom", rules("dnd", json!(true))]));
    // As they came.
    let reply = ask(json!({"rules": null, "mode": "standard"}));
    assert_eq!(reply["rules"], rules("dnd", json!(false)));
}

#[test]
fn a_bad_value_changes_nothing_and_is_named() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.execute(&session, set(json!({"mode": "custom", "rules": {"always": "502"}})));
    let before = (bench.site.clone(), store::snapshot(&mut bench.store, Wall(0)).unwrap());
    let six = json!(["1", "2", "3", "4", "5", "6"]);
    for (asked, error, field) in [
        (set(json!({})), 4, "mode"),
        (set(json!({"rules-of": "custom"})), 4, "mode"),
        (set(json!({"mode": "on-the-moon"})), 5, "mode"),
        (set(json!({"mode": "Standard"})), 5, "mode"),
        (set(json!({"mode": 3})), 5, "mode"),
        (set(json!({"rules": {}, "rules-of": "none"})), 5, "rules-of"),
        (set(json!({"follow-schedule": "yes"})), 5, "follow-schedule"),
        (set(json!({"mode": "standard", "rules": 7})), 5, "rules"),
        (set(json!({"mode": "standard", "rules": []})), 5, "rules"),
        (set(json!({"rules": {"dnd": null}})), 5, "rules"),
        (set(json!({"rules": {"always": ""}})), 5, "rules"),
        (set(json!({"rules": {"always": 502}})), 5, "rules"),
        (set(json!({"rules": {"always": "sip:502@example.com"}})), 5, "rules"),
        (set(json!({"rules": {"busy": "1".repeat(33)}})), 5, "rules"),
        (set(json!({"rules": {"busy": "501"}})), 5, "rules"),
        (set(json!({"rules": {"ring-also": ["501"]}})), 5, "rules"),
        (set(json!({"rules": {"always": "*68"}})), 5, "rules"),
        (set(json!({"rules": {"always": "700"}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": "502"}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": {"rings": 3}}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": {"rings": 0, "to": "502"}}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": {"rings": 16, "to": "502"}}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": {"rings": 260, "to": "502"}}})), 5, "rules"),
        (set(json!({"rules": {"no-answer": {"rings": 2.5, "to": "502"}}})), 5, "rules"),
        (set(json!({"rules": {"find-me": six}})), 5, "rules"),
        (set(json!({"rules": {"find-me": ["502", "502"]}})), 5, "rules"),
        (set(json!({"rules": {"find-me": "502"}})), 5, "rules"),
        (set(json!({"mode": "standard", "rules": {"dnd": true, "ring-also": [null]}})), 5, "rules"),
        (set(json!({"user": "502", "mode": "custom"})), 10, "user"),
        (set(json!({"user": "999", "mode": "custom"})), 10, "user"),
        (get(json!({"user": "502"})), 10, "user"),
        (get(json!({"user": 502})), 5, "user"),
        (get_schedules(json!({"user": "502"})), 10, "user"),
        (schedule(json!({})), 4, "kind"),
        (schedule(json!({"entries": []})), 4, "kind"),
        (schedule(json!({"kind": "custom"})), 4, "entries"),
        (schedule(json!({"kind": "weekly", "entries": []})), 5, "kind"),
        (schedule(json!({"kind": "custom", "entries": {}})), 5, "entries"),
        (schedule(json!({"kind": "custom", "entries": [7]})), 5, "entries"),
        (schedule(json!({"kind": "custom", "entries": [["from", "to"], ["x"]]})), 5, "entries"),
        (schedule(json!({"kind": "holiday", "entries": [{"date": "02-30", "mode": "custom"}]})), 5, "entries"),
        (schedule(json!({"kind": "holiday", "entries": [{"date": "12-25", "mode": "off"}]})), 5, "entries"),
        (
            schedule(
                json!({"kind": "holiday", "entries": [{"date": "12-25", "mode": "custom", "name": "x".repeat(51)}]}),
            ),
            5,
            "entries",
        ),
        (
            schedule(json!({"kind": "holiday", "entries": vec![json!({"date": "12-25", "mode": "custom"}); 65]})),
            5,
            "entries",
        ),
        (
            schedule(
                json!({"kind": "on-hours", "entries": [{"days": [], "from": "09:00", "to": "17:00", "mode": "custom"}]}),
            ),
            5,
            "entries",
        ),
        (
            schedule(
                json!({"kind": "on-hours", "entries": [{"days": ["mon"], "from": "09:00", "to": "09:00", "mode": "custom"}]}),
            ),
            5,
            "entries",
        ),
        (schedule(json!({"time-zone": "Europe/Atlantis"})), 5, "time-zone"),
        (schedule(json!({"off-hours": "closed"})), 5, "off-hours"),
        (schedule(json!({"site": true, "time-zone": "UTC"})), 10, "site"),
        (schedule(json!({"site": true, "user": "501", "time-zone": "UTC"})), 5, "site"),
        (schedule(json!({"user": "502", "time-zone": "UTC"})), 10, "user"),
        (set(json!({"mode": "standard", "dry-run": true})), 5, "dry-run"),
    ] {
        let reply = bench.execute(&session, asked.clone());
        let got = (reply["error"].as_u64().unwrap(), reply["field"].as_str().unwrap_or_default());
        assert_eq!(got, (error, field), "{asked} was answered {reply}");
        assert!(reply["error-text"].as_str().is_some_and(|text| text.len() > 8), "{reply}");
    }
    assert_eq!((bench.site.clone(), store::snapshot(&mut bench.store, Wall(0)).unwrap()), before);
    for asked in [get(json!({})), get_schedules(json!({})), set(json!({"mode": "custom"}))] {
        let reply = bench.console(asked);
        assert_eq!((&reply["error"], &reply["field"]), (&json!(4), &json!("user")), "the console is nobody: {reply}");
    }
    let reply = bench.console(set(json!({"user": "999", "mode": "custom"})));
    assert_eq!((&reply["error"], &reply["field"]), (&json!(11), &json!("user")));
}

#[test]
fn an_administrator_sets_it_for_others_and_the_console_too() {
    let mut bench = Bench::new();
    let admin = bench.log_in("admin");
    let reply = bench.execute(&admin, set(json!({"user": "502", "mode": "extended-absence"})));
    assert_eq!(
        (&reply["error"], &reply["user"], &reply["mode"]),
        (&json!(0), &json!("502"), &json!("extended-absence"))
    );
    assert_eq!(bench.console(get(json!({"user": "502"})))["mode"], "extended-absence");
    assert_eq!(bench.console(set(json!({"user": "502", "mode": "standard"})))["mode"], "standard");
    assert_eq!(bench.execute(&admin, get(json!({})))["user"], "admin", "his own, where he names nobody");
}

#[test]
fn a_change_that_the_disk_refuses_is_not_made() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    subscribe(&mut bench, &session, json!([]));
    bench.events(&session, 0);
    bench.hold = true;
    let asked = bench.send(&session, &set(json!({"mode": "out-of-office"})));
    assert_eq!(bench.mode(2), Mode::Standard, "not before it is on disk");
    bench.fail_store();
    assert_eq!(bench.reply(asked).1["error"], 50);
    assert_eq!((bench.mode(2), bench.events(&session, 1).len()), (Mode::Standard, 0));
    bench.hold = false;
    assert_eq!(bench.execute(&session, set(json!({"mode": "out-of-office"})))["mode"], "out-of-office");
}

#[test]
fn s91_what_is_set_is_told_to_its_user_and_to_administrators_who_asked_for_it() {
    let mut bench = Bench::new();
    let (own, other, admin) = (bench.log_in("501"), bench.log_in("502"), bench.log_in("admin"));
    for (session, args) in [(&own, json!([])), (&other, json!([])), (&admin, json!(["501"]))] {
        assert_eq!(subscribe(&mut bench, session, args)["error"], 0);
        let events = bench.events(session, 0);
        assert_eq!((events.len(), &events[0]["message"]), (1, &json!("snapshot-evt")));
        assert_eq!(events[0]["call-handling"].as_array().unwrap().len(), 2, "one user: {}", events[0]);
    }
    bench.execute(&own, set(json!({"mode": "in-a-meeting"})));
    let events = bench.events(&own, 1);
    let wanted = json!([
        {"topic": "config", "message": "config-changed-evt", "timestamp": 1_700_000_000_000u64, "sequence-id": 2,
         "user": "501", "what": "call-handling"},
        {"topic": "config", "message": "call-handling-evt", "timestamp": 1_700_000_000_000u64, "sequence-id": 3,
         "user": "501", "mode": "in-a-meeting", "name": "In a Meeting", "source": "hand", "follow-schedule": false,
         "until": null, "rules": rules("always", json!("voicemail")), "actions": ["set-call-handling"]}]);
    assert_eq!(json!(events), wanted);
    assert_eq!(json!(bench.events(&admin, 1)), wanted);
    assert!(bench.events(&other, 1).is_empty());
    assert_eq!(bench.handling_changes, [UserId(2)], "the engine is told");
    // The rules of a mode that is not in force: changed, and nothing else in force.
    bench.execute(&own, set(json!({"rules-of": "custom", "rules": {"dnd": true}})));
    let events = bench.events(&own, 3);
    assert_eq!((events.len(), &events[0]["message"]), (1, &json!("config-changed-evt")));
    let refused = subscribe(&mut bench, &other, json!(["501"]));
    assert_eq!((&refused["error"], &refused["field"]), (&json!(10), &json!("subscribe")));
    let unknown = subscribe(&mut bench, &admin, json!(["999"]));
    assert_eq!((&unknown["error"], &unknown["field"]), (&json!(11), &json!("subscribe")));
}

#[test]
fn s56_a_subscription_to_the_configuration_is_taken_up_after_a_restart() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    subscribe(&mut bench, &session, json!([]));
    let mut bench = bench.restart();
    let session = bench.log_in("501");
    let events = bench.events(&session, 0);
    assert_eq!(events[0]["call-handling"][1][0], "501", "{}", events[0]);
    bench.execute(&session, set(json!({"mode": "custom"})));
    assert_eq!(bench.events(&session, 1).len(), 2);
}

#[test]
fn s133_a_mode_changes_by_the_clock_and_who_watches_is_told_at_the_instant() {
    let mut bench = Bench::new();
    bench.now.wall = at("03-27T10:00:00");
    let session = bench.log_in("501");
    let week =
        json!([{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00", "mode": "standard"}]);
    let asked =
        json!({"kind": "on-hours", "entries": week, "time-zone": "Europe/Berlin", "off-hours": "out-of-office"});
    assert_eq!(bench.execute(&session, schedule(asked))["error"], 0);
    assert_eq!(bench.cas.core.modes.next_timeout(), None, "nobody follows it");
    let reply = bench.execute(&session, set(json!({"follow-schedule": true, "mode": "custom"})));
    assert_eq!((told(&reply), &reply["chosen"]), (("standard", "on-hours"), &json!("custom")));
    assert_eq!(reply["until"], at("03-27T16:00:00").0);
    subscribe(&mut bench, &session, json!([]));
    bench.events(&session, 0);
    let mut heard = 1;
    for (instant, mode, source) in [
        ("03-27T15:59:59.999", None, ""),
        ("03-27T16:00:00", Some("out-of-office"), "off-hours"),
        ("03-30T06:59:59.999", None, ""),
        // The clock was put forward on Sunday.
        ("03-30T07:00:00", Some("standard"), "on-hours"),
    ] {
        // The client is there all the while.
        while bench.now.wall.0 + 60_000 < at(instant).0 {
            bench.pass(Duration::from_secs(60));
            bench.execute(&session, message("session", "keep-alive", json!({})));
        }
        bench.wait_until(at(instant));
        let events = bench.events(&session, heard);
        assert_eq!(events.len(), usize::from(mode.is_some()), "{instant}: {events:?}");
        if let Some(mode) = mode {
            heard = events[0]["sequence-id"].as_u64().unwrap();
            assert_eq!((told(&events[0]), &events[0]["message"]), ((mode, source), &json!("call-handling-evt")));
        }
    }
    let reply = bench.execute(&session, set(json!({"mode": "in-a-meeting"})));
    assert_eq!((told(&reply), &reply["follow-schedule"]), (("in-a-meeting", "hand"), &json!(false)), "by hand is now");
    assert_eq!(bench.cas.core.modes.next_timeout(), None);
}

#[test]
fn the_timer_is_there_when_the_mode_changes_and_only_for_who_follows() {
    let mut bench = Bench::new();
    bench.now.wall = at("07-01T11:59:00");
    let entries =
        json!([["from", "to", "mode", "name"], ["2026-07-01T12:00", "2026-07-01T12:30", "in-a-meeting", "Lunch"]]);
    bench.console(schedule(json!({"user": "501", "kind": "custom", "entries": entries})));
    assert_eq!(bench.cas.next_timeout(), None);
    bench.console(set(json!({"user": "501", "follow-schedule": true})));
    for (minutes, mode) in [(1, Mode::InAMeeting), (30, Mode::Standard)] {
        let changes = bench.handling_changes.len();
        for _ in 0..minutes {
            let timer = bench.cas.next_timeout().expect("there is a timer");
            assert_eq!(bench.handling_changes.len(), changes);
            assert_eq!(timer - bench.now.mono, Duration::from_secs(60));
            bench.pass(Duration::from_secs(60));
        }
        assert_eq!((bench.mode(2), bench.handling_changes.len()), (mode, changes + 1));
    }
    let mut bench = bench.restart();
    bench.input(Input::Timeout);
    assert!(bench.cas.next_timeout().is_some(), "after a restart as before it");
    bench.console(message("config", "delete-user", json!({"ext": "501"})));
    bench.pass(Duration::from_secs(24 * 3600));
    assert_eq!(bench.cas.next_timeout(), None, "who is gone follows nothing");
}

#[test]
fn a_clock_that_is_set_is_followed() {
    let mut bench = Bench::new();
    bench.now.wall = at("07-01T08:00:00");
    let entries = json!([{"from": "2026-07-01T12:00", "to": "2026-07-01T13:00", "mode": "in-a-meeting"}]);
    bench.console(schedule(json!({"user": "501", "kind": "custom", "entries": entries})));
    bench.console(set(json!({"user": "501", "follow-schedule": true})));
    let mut changes = bench.handling_changes.len();
    for (instant, mode) in
        [("12:10:00", Mode::InAMeeting), ("09:00:00", Mode::Standard), ("12:20:00", Mode::InAMeeting)]
    {
        bench.now.wall = at(&format!("07-01T{instant}"));
        bench.input(Input::Timeout);
        changes += 1;
        assert_eq!((bench.mode(2), bench.handling_changes.len()), (mode, changes), "{instant}");
    }
}

#[test]
fn the_schedules_of_the_site_are_for_all_who_have_none_of_their_own() {
    let mut bench = Bench::new();
    bench.now.wall = at("12-25T10:00:00");
    let (first, second) = (bench.log_in("501"), bench.log_in("502"));
    for session in [&first, &second] {
        bench.execute(session, set(json!({"follow-schedule": true})));
        subscribe(&mut bench, session, json!([]));
        bench.events(session, 0);
    }
    bench.execute(&second, schedule(json!({"kind": "holiday", "entries": []})));
    bench.events(&second, 1);
    let entries = json!([["date", "mode", "name"], ["12-25", "extended-absence", "Christmas"]]);
    let asked = json!({"site": true, "kind": "holiday", "entries": entries, "time-zone": "europe/berlin"});
    let reply = bench.console(schedule(asked));
    assert_eq!(
        (&reply["user"], &reply["time-zone"], &reply["holiday"]),
        (&json!(null), &json!("Europe/Berlin"), &entries)
    );
    let events = bench.events(&first, 1);
    assert_eq!((&events[0]["user"], &events[0]["what"]), (&json!(null), &json!("schedules")), "{}", events[0]);
    assert_eq!(told(&events[1]), ("extended-absence", "holiday"));
    let events = bench.events(&second, 2);
    assert_eq!(events.len(), 1, "his own list is empty, and nothing else is in force: {events:?}");
    let reply = bench.execute(&first, get_schedules(json!({})));
    assert_eq!((&reply["holiday"], &reply["from-site"]), (&entries, &json!(["time-zone", "holiday"])));
    assert_eq!(
        (&reply["on-hours"], &reply["actions"]),
        (&json!([["days", "from", "to", "mode", "name"]]), &json!(["set-schedule"]))
    );
    let reply = bench.execute(&second, get_schedules(json!({})));
    assert_eq!((&reply["holiday"], &reply["from-site"]), (&json!([["date", "mode", "name"]]), &json!(["time-zone"])));
    let reply = bench.execute(&second, schedule(json!({"kind": "holiday", "entries": null})));
    assert_eq!(reply["from-site"], json!(["time-zone", "holiday"]), "the site's again");
    assert_eq!(bench.mode(3), Mode::ExtendedAbsence);
    let reply = bench.execute(&first, get_schedules(json!({"site": true})));
    assert_eq!((&reply["holiday"], &reply["actions"]), (&entries, &json!([])), "to be read by everybody");
}

#[test]
fn what_is_offered_is_accepted_and_what_is_not_is_refused() {
    let mut bench = Bench::new();
    for login in ["501", "admin"] {
        let session = bench.log_in(login);
        for site in [false, true] {
            let read = bench.execute(&session, get_schedules(json!({"site": site})));
            let offered = !read["actions"].as_array().unwrap().is_empty();
            let asked = schedule(json!({"site": site, "time-zone": "UTC"}));
            let reply = bench.execute(&session, asked);
            assert_eq!(reply["error"], if offered { 0 } else { 10 }, "{login}, site {site}: {reply}");
        }
    }
}

#[test]
fn who_is_no_administrator_any_more_is_told_of_himself_alone() {
    let mut bench = Bench::new();
    let asked = json!({"ext": "503", "name": "B", "role": "admin", "password": "p"});
    bench.console(message("config", "add-user", asked));
    let session = bench.try_login("503", "p").1["SessionId"].as_str().unwrap().to_owned();
    subscribe(&mut bench, &session, json!(["501", "503"]));
    assert_eq!(bench.events(&session, 0)[0]["call-handling"].as_array().unwrap().len(), 3);
    let mut user = bench.site.user_by_login("503").unwrap().clone();
    user.role = Role::User;
    bench.site.apply(&[Change::PutUser(user)]);
    bench.console(set(json!({"user": "501", "mode": "custom"})));
    assert!(bench.events(&session, 1).is_empty());
    bench.console(set(json!({"user": "503", "mode": "custom"})));
    assert_eq!(bench.events(&session, 1).len(), 2);
}

/// A number nobody has, or that of another.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![Just("502".to_owned()), Just("*43".to_owned()), "[0-9]{5,32}", "0[0-9#*]{1,31}"]
}

fn forward() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 1 => Just(json!("voicemail")), 2 => number().prop_map(Value::from)]
}

fn some_rules() -> impl Strategy<Value = Value> {
    let list = || proptest::collection::btree_set(number(), 0..=5).prop_map(|numbers| json!(numbers));
    let no_answer = prop_oneof![
        Just(Value::Null),
        (1_u8..=15, forward().prop_filter("somewhere", |to| !to.is_null()))
            .prop_map(|(rings, to)| json!({"rings": rings, "to": to})),
    ];
    let members = (any::<bool>(), forward(), forward(), no_answer, forward(), list(), list());
    (members, any::<u8>()).prop_map(|((dnd, always, busy, no_answer, not_registered, find_me, ring_also), given)| {
        let members = [
            ("dnd", json!(dnd)),
            ("always", always),
            ("busy", busy),
            ("no-answer", no_answer),
            ("not-registered", not_registered),
            ("find-me", find_me),
            ("ring-also", ring_also),
        ];
        let given = members.into_iter().enumerate().filter(|(index, _)| given & 1 << index != 0);
        Value::Object(given.map(|(_, (name, value))| (name.to_owned(), value)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever is set in whatever order: what is read is what was set last of each member, also after a restart.
    #[test]
    fn what_was_set_is_read(steps in vec((0..Mode::ALL.len(), any::<bool>(), some_rules()), 1..12)) {
        let mut bench = Bench::new();
        let session = bench.log_in("501");
        let mut expected: BTreeMap<Mode, Value> = BTreeMap::new();
        let mut chosen = Mode::Standard;
        let menu = bench.execute(&session, get(json!({})))["menu"]["modes"].clone();
        for (index, mode) in Mode::ALL.into_iter().enumerate() {
            expected.insert(mode, menu[index + 1][2].clone());
        }
        for (mode, choose, members) in steps {
            let mode = Mode::ALL[mode];
            let named = if choose { "mode" } else { "rules-of" };
            let reply = bench.execute(&session, set(json!({named: mode.name(), "rules": members})));
            prop_assert_eq!(&reply["error"], 0, "{}", reply);
            if choose {
                chosen = mode;
            }
            let rules = expected.get_mut(&mode).unwrap();
            for (name, value) in members.as_object().unwrap() {
                rules[name] = value.clone();
            }
            prop_assert_eq!((&reply["mode"], &reply["rules"]), (&json!(chosen.name()), &expected[&chosen]));
        }
        let mut bench = bench.restart();
        let session = bench.log_in("501");
        let reply = bench.execute(&session, get(json!({})));
        for (index, mode) in Mode::ALL.into_iter().enumerate() {
            prop_assert_eq!(&reply["menu"]["modes"][index + 1][2], &expected[&mode]);
        }
        // What was read can be set as it is.
        let again = bench.execute(&session, set(json!({"mode": reply["mode"], "rules": reply["rules"]})));
        prop_assert_eq!(&again["rules"], &reply["rules"]);
    }
}

#[test]
fn what_the_engine_is_given_is_what_was_set() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let members = json!({"dnd": true, "always": "voicemail", "busy": "502", "no-answer": {"rings": 3, "to": "0"},
        "not-registered": "*43", "find-me": ["0171"], "ring-also": ["1", "2"]});
    bench.execute(&session, set(json!({"mode": "custom", "rules": members})));
    let number = |text: &str| Extension(text.to_owned());
    let rules = Rules {
        dnd: true,
        always: Some(Forward::Voicemail),
        busy: Some(Forward::Number(number("502"))),
        no_answer: Some(NoAnswer { rings: 3, to: Forward::Number(number("0")) }),
        not_registered: Some(Forward::Number(number("*43"))),
        find_me: vec![number("0171")],
        ring_also: vec![number("1"), number("2")],
    };
    let expected = Handling { mode: Mode::Custom, follows: false, rules: [(Mode::Custom, rules)].into() };
    assert_eq!(bench.site.chosen_handling(UserId(2)), expected);
}

#[test]
fn s22_a_client_that_writes_xml_without_types_sets_rules_and_schedules() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    let mut ask = |inside: &str| {
        let body = format!("<?xml version=\"1.0\"?><cas><topic>config</topic>{inside}</cas>");
        let id = bench.post_as(Format::Xml, Endpoint::Execute, Some(&session), NETWORK, body.as_bytes());
        bench.reply(id).1
    };
    let reply =
        ask("<message>set_call_handling</message><mode>custom</mode><rules><dnd>true</dnd><always>0171</always>\
        <no_answer><rings>3</rings><to>502</to></no_answer><find-me><item>1</item></find-me></rules>");
    let expected = json!({"dnd": true, "always": "0171", "busy": null, "no-answer": {"rings": 3, "to": "502"},
        "not-registered": null, "find-me": ["1"], "ring-also": []});
    assert_eq!((&reply["mode"], &reply["rules"]), (&json!("custom"), &expected), "{reply}");
    let entry = "<days><item>mon</item></days><from>09:00</from><to>17:00</to><mode>standard</mode>";
    let row = "<item type=\"array\"><item>mon</item></item><item>09:00</item><item>17:00</item><item>standard</item>";
    let columns = "<item>days</item><item>from</item><item>to</item><item>mode</item>";
    // An entry without a type is an object: rows say that they are arrays.
    let rows = format!("<item type=\"array\">{columns}</item><item type=\"array\">{row}</item>");
    for entries in [format!("<item>{entry}</item>"), rows] {
        let reply = ask(&format!("<message>set-schedule</message><kind>on-hours</kind><entries>{entries}</entries>"));
        assert_eq!(reply["on-hours"][1], json!([["mon"], "09:00", "17:00", "standard", ""]), "{reply}");
    }
}

#[test]
fn a_whole_site_that_changes_at_once_is_told_within_the_instant() {
    let mut bench = Bench::new();
    bench.now.wall = at("07-01T08:00:00");
    let entries = json!([{"from": "2026-07-01T08:00", "to": "2026-07-01T09:00", "mode": "in-a-meeting"}]);
    bench.console(schedule(json!({"site": true, "kind": "custom", "entries": entries})));
    for n in 0..150 {
        let ext = (800 + n).to_string();
        let asked = json!({"ext": ext, "name": "N", "password": "p", "sip-secret": "s"});
        assert_eq!(bench.console(message("config", "add-user", asked))["error"], 0);
        bench.console(set(json!({"user": ext, "follow-schedule": true})));
    }
    let last = bench.site.user_by_login("949").unwrap().id.0;
    bench.handling_changes.clear();
    bench.now = Now { wall: at("07-01T09:00:00"), ..bench.now.plus(Duration::from_secs(3600)) };
    let mut steps = 0;
    while bench.handling_changes.len() < 150 {
        bench.input(Input::Timeout);
        steps += 1;
        assert!(steps < 4, "a part of them in each step");
        let timer = bench.cas.next_timeout();
        assert!(bench.handling_changes.len() == 150 || timer == Some(bench.now.mono), "and the next part at once");
    }
    assert_eq!(bench.mode(last), Mode::Standard);
}
