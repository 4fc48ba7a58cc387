//! Users are added, changed and removed by the console and by administrators.

use super::*;

fn add(members: Value) -> Value {
    message("config", "add-user", members)
}

#[test]
fn a_user_is_added_with_device_and_number_and_his_secrets_are_told_once() {
    let mut bench = Bench::new();
    let reply = bench.console(add(json!({"ext": "503", "name": "Basil Exposition", "wait": true, "request-id": 1})));
    assert_eq!((&reply["error"], &reply["user-id"], &reply["user"]), (&json!(0), &json!("4"), &json!("503")));
    let (password, secret) = (reply["password"].as_str().unwrap(), reply["sip-secret"].as_str().unwrap());
    assert!(password.len() == 16 && secret.len() == 16 && password != secret, "{reply}");
    assert_eq!(bench.site_changes, 1);
    let expected = Access::digest(&MachineKey([7; 32]), [0; 12], "503", REALM, secret, None);
    let device = bench.site.device_by_sip_user("503").unwrap();
    match (&device.access, expected) {
        (Access::Digest { ha1_md5, .. }, Access::Digest { ha1_md5: expected, .. }) => assert_eq!(*ha1_md5, expected),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.try_login("503", password).0, 200);
    let stored = store::snapshot(&mut bench.store, Wall(0)).unwrap();
    assert_eq!((stored.users.len(), stored.devices.len()), (4, 3));
    assert_eq!(stored.users[3].display_name(), "Basil Exposition");
}

#[test]
fn what_was_given_is_not_told_again() {
    let mut bench = Bench::new();
    let members = json!({"ext": "503", "name": "B", "password": "p", "sip-secret": "s", "pin": "1234",
        "email": "b@example.com", "role": "admin", "digest": "both"});
    let reply = bench.console(add(members));
    assert_eq!(reply["error"], 0, "{reply}");
    assert!(reply.get("password").is_none() && reply.get("sip-secret").is_none());
    let user = bench.site.user_by_login("503").unwrap();
    assert_eq!((user.role, user.pin_hash.as_deref()), (Role::Admin, Some("hash:1234")));
    let session = bench.try_login("503", "p").1["SessionId"].as_str().unwrap().to_owned();
    assert_eq!(bench.execute(&session, message("config", "get-users", json!({})))["error"], 0);
}

#[test]
fn a_gateway_is_known_by_its_address() {
    let mut bench = Bench::new();
    let reply = bench.console(add(json!({"ext": "600", "name": "Gateway", "address": "192.0.2.9:5060"})));
    assert_eq!(reply["error"], 0, "{reply}");
    assert!(reply.get("sip-secret").is_none());
    assert!(bench.site.gateway_at("192.0.2.9:5060".parse().unwrap()).is_some());
    let again = bench.console(add(json!({"ext": "601", "name": "G", "address": "192.0.2.9:5060"})));
    assert_eq!((&again["error"], &again["field"]), (&json!(14), &json!("address")));
}

#[test]
fn what_is_wrong_with_a_new_user_is_told_by_field() {
    let mut bench = Bench::new();
    for (members, error, field) in [
        (json!({"name": "B"}), 4, "ext"),
        (json!({"ext": "503"}), 4, "name"),
        (json!({"ext": "503", "name": null}), 5, "name"),
        (json!({"ext": "503", "name": "B", "password": "a\u{0}b"}), 5, "password"),
        (json!({"ext": "700", "name": "B"}), 14, "ext"),
        (json!({"ext": "5o3", "name": "B"}), 5, "ext"),
        (json!({"ext": "501", "name": "B"}), 14, "ext"),
        (json!({"ext": "admin", "name": "B"}), 14, "ext"),
        (json!({"ext": "503", "name": " "}), 5, "name"),
        (json!({"ext": "503", "name": "B", "password": ""}), 5, "password"),
        (json!({"ext": "503", "name": "B", "sip-secret": "a b"}), 5, "sip-secret"),
        (json!({"ext": "503", "name": "B", "pin": "12a4"}), 5, "pin"),
        (json!({"ext": "503", "name": "B", "email": "nobody"}), 5, "email"),
        (json!({"ext": "503", "name": "B", "role": "king"}), 5, "role"),
        (json!({"ext": "503", "name": "B", "digest": "sha1"}), 5, "digest"),
        (json!({"ext": "503", "name": "B", "address": "here"}), 5, "address"),
        (json!({"ext": "503", "name": "B", "address": "192.0.2.1:5060", "sip-secret": "x"}), 5, "address"),
    ] {
        let reply = bench.console(add(members.clone()));
        assert_eq!((&reply["error"], &reply["field"]), (&json!(error), &json!(field)), "{members}: {reply}");
    }
    assert_eq!((bench.site.users().count(), bench.site_changes), (3, 0));
}

#[test]
fn a_number_that_is_an_orbit_is_refused_as_one() {
    let reply = Bench::new().console(add(json!({"ext": "700", "name": "B"})));
    assert!(
        reply["error-text"].as_str().unwrap().starts_with("700 is an orbit: calls are parked at 700-719"),
        "{reply}"
    );
}

#[test]
fn changes_of_the_site_are_made_one_after_the_other() {
    let mut bench = Bench::new();
    bench.hold = true;
    let body = |name: &str| add(json!({"ext": "503", "name": name})).to_string();
    let post = |bench: &mut Bench, name| bench.post(Endpoint::Execute, None, Source::Console, body(name).as_bytes());
    let (first, second) = (post(&mut bench, "First"), post(&mut bench, "Second"));
    assert_eq!(bench.jobs.len(), 1);
    bench.hold = false;
    bench.release();
    assert_eq!(bench.reply(first).1["error"], 0);
    let reply = bench.reply(second).1;
    assert_eq!((&reply["error"], &reply["field"]), (&json!(14), &json!("ext")));
}

#[test]
fn a_change_that_the_disk_refuses_is_not_made_and_the_next_one_is() {
    let mut bench = Bench::new();
    bench.hold = true;
    let asked = add(json!({"ext": "503", "name": "B"})).to_string();
    let id = bench.post(Endpoint::Execute, None, Source::Console, asked.as_bytes());
    bench.release();
    bench.fail_store();
    assert_eq!(bench.reply(id).1["error"], 50);
    assert!(bench.site.user_by_login("503").is_none());
    bench.hold = false;
    assert_eq!(bench.console(add(json!({"ext": "503", "name": "B"})))["error"], 0);
}

#[test]
fn a_removed_user_is_gone_with_all_that_was_his() {
    let mut bench = Bench::new();
    let session = bench.log_in("501");
    bench.subscribe(&session);
    bench.events(&session, 0);
    let poll = bench.poll(&session, 30, Some(1));
    let reply = bench.console(message("config", "delete-user", json!({"ext": "501"})));
    assert_eq!(reply["error"], 0, "{reply}");
    assert_eq!(bench.reply(poll).0, 401);
    assert!(bench.site.device_by_sip_user("501").is_none() && bench.site.target("501").is_none());
    assert_eq!(bench.try_login("501", "secret-501").0, 401);
    let stored = store::snapshot(&mut bench.store, Wall(0)).unwrap();
    assert_eq!((stored.users.len(), stored.devices.len(), stored.subscriptions.len()), (2, 1, 0));
    let reply = bench.console(message("config", "delete-user", json!({"ext": "501"})));
    assert_eq!((&reply["error"], &reply["field"]), (&json!(11), &json!("ext")));
    assert_eq!(bench.console(add(json!({"ext": "501", "name": "Next"})))["user-id"], "4", "no id is used again");
}

#[test]
fn the_last_administrator_stays() {
    let mut bench = Bench::new();
    let reply = bench.console(message("config", "delete-user", json!({"ext": "admin"})));
    assert_eq!(reply["error"], 12);
    bench.console(add(json!({"ext": "503", "name": "B", "role": "admin"})));
    assert_eq!(bench.console(message("config", "delete-user", json!({"ext": "admin"})))["error"], 0);
    assert_eq!(bench.console(add(json!({"ext": "admin"})))["error"], 0, "an administrator without number");
    assert_eq!(bench.site.extension_of(bench.site.user_by_login("admin").unwrap().id), None);
}

#[test]
fn a_sip_secret_is_replaced() {
    let mut bench = Bench::new();
    let before = bench.site.device_by_sip_user("501").unwrap().clone();
    let reply = bench.console(message("config", "set-sip-secret", json!({"ext": "501"})));
    assert_eq!((reply["sip-secret"].as_str().map(str::len), &reply["device"]), (Some(16), &json!("1")));
    assert_ne!(bench.site.device_by_sip_user("501").unwrap().access, before.access);
    let given = json!({"ext": "501", "sip-secret": "mine", "device": "1"});
    let reply = bench.console(message("config", "set-sip-secret", given));
    assert!(reply["error"] == 0 && reply.get("sip-secret").is_none(), "{reply}");
    let other = bench.console(message("config", "set-sip-secret", json!({"ext": "501", "device": "2"})));
    assert_eq!(other["error"], 11, "another user's device");
}

#[test]
fn a_password_is_changed_by_who_knows_the_old_one() {
    let mut bench = Bench::new();
    let (session, other) = (bench.log_in("501"), bench.log_in("501"));
    let change =
        |old: &str| message("session", "change-password", json!({"old-password": old, "new-password": "new-secret"}));
    assert_eq!(bench.execute(&session, change("wrong"))["error"], 10);
    assert_eq!(bench.execute(&session, change("secret-501"))["error"], 0);
    assert_eq!((bench.try_login("501", "secret-501").0, bench.try_login("501", "new-secret").0), (401, 200));
    let id = bench.send(&other, &message("session", "keep-alive", json!({})));
    assert_eq!(bench.reply(id).0, 401, "his other sessions have ended");
    assert_eq!(bench.execute(&session, message("session", "get-state", json!({})))["user"], "501");
}

#[test]
fn an_administrator_who_was_removed_while_waiting_changes_nothing() {
    let mut bench = Bench::new();
    bench.console(add(json!({"ext": "503", "name": "B", "role": "admin", "password": "p"})));
    let session = bench.try_login("503", "p").1["SessionId"].as_str().unwrap().to_owned();
    bench.hold = true;
    let remove = message("config", "delete-user", json!({"ext": "503"})).to_string();
    bench.post(Endpoint::Execute, None, Source::Console, remove.as_bytes());
    let late = bench.send(&session, &add(json!({"ext": "504", "name": "C"})));
    bench.hold = false;
    bench.release();
    assert_eq!(bench.reply(late).1["error"], 10);
    assert!(bench.site.user_by_login("504").is_none());
}

#[test]
fn a_users_pickup_group_is_set_changed_and_taken_away() {
    let mut bench = Bench::new();
    let group = |bench: &Bench| bench.site.user_by_login("501").unwrap().pickup_group.clone();
    let modify = |members: Value| message("config", "modify-user", members);
    for (ext, name) in [("501", "sales"), ("502", " sales ")] {
        assert_eq!(bench.console(modify(json!({"ext": ext, "pickup-group": name})))["error"], 0);
    }
    assert_eq!(group(&bench).as_deref(), Some("sales"));
    assert_eq!(bench.site.pickup_group(UserId(2)).collect::<Vec<_>>(), [UserId(3)]);
    for (members, error) in [
        (json!({"ext": "501", "pickup-group": ""}), 5),
        (json!({"ext": "501"}), 4),
        (json!({"ext": "509", "pickup-group": "sales"}), 11),
    ] {
        assert_eq!(bench.console(modify(members))["error"], error);
    }
    assert_eq!(bench.console(modify(json!({"ext": "501", "pickup-group": null})))["error"], 0);
    assert_eq!((group(&bench), bench.site.pickup_group(UserId(2)).count()), (None, 0));
    let reply = bench.console(add(json!({"ext": "503", "name": "Basil", "pickup-group": "sales"})));
    assert_eq!(reply["error"], 0, "{reply}");
    assert_eq!(bench.site.user_by_login("503").unwrap().pickup_group.as_deref(), Some("sales"));
}

#[test]
fn what_can_be_dialled_already_is_no_extension() {
    let mut bench = Bench::new();
    for ext in ["501", "700", "719"] {
        let reply = bench.console(add(json!({"ext": ext, "name": "Basil"})));
        assert_eq!((&reply["error"], &reply["field"]), (&json!(14), &json!("ext")), "{reply}");
    }
    let reply = bench.console(add(json!({"ext": "720", "name": "Basil"})));
    assert_eq!(reply["error"], 0, "{reply}");
}
