//! Who gets in, how fast, and how many.

use super::*;

#[test]
fn s42_a_login_yields_session_identity_and_permissions() {
    let mut bench = Bench::new();
    let id = bench.begin_login("501", "secret-501");
    let cookie = bench.replies[&id].headers.clone();
    let (status, reply) = bench.reply(id);
    let token = reply["SessionId"].as_str().unwrap();
    assert_eq!((status, token.len()), (200, 32), "128 bits");
    assert_eq!(cookie, [("set-cookie", format!("SessionId={token}; Path=/; HttpOnly; SameSite=Strict"))]);
    assert_eq!((&reply["user-id"], &reply["user-role"], &reply["error"]), (&json!("2"), &json!("user"), &json!(0)));
    assert_eq!(reply["home-cas"], REALM);
    assert!(reply["permissions"]["tel"].as_array().unwrap().contains(&json!("make-call")));
    let own = json!(["get-call-handling", "set-call-handling", "get-schedules", "set-schedule"]);
    assert_eq!(reply["permissions"]["config"], own);
    let admin = bench.try_login("admin", "secret-admin").1;
    assert!(admin["permissions"]["config"].as_array().unwrap().contains(&json!("add-user")));
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_answered_alike() {
    let mut bench = Bench::new();
    let wrong = bench.try_login("501", "nonsense");
    let unknown = bench.try_login("999", "nonsense");
    assert_eq!((wrong.0, &wrong.1["error"]), (401, &json!(10)));
    assert_eq!(wrong, unknown);
    bench.hold = true;
    bench.begin_login("999", "nonsense");
    assert_eq!(bench.jobs.len(), 1, "a hash is verified for nobody too");
}

#[test]
fn a_login_that_lacks_something_says_what() {
    let mut bench = Bench::new();
    for (body, status, error, field) in [
        ("{", 400, 1, Value::Null),
        ("[]", 400, 1, Value::Null),
        (r#"{"username":"501","password":"x"}"#, 200, 4, json!("app-id")),
        (r#"{"app-id":"x","username":"501"}"#, 200, 4, json!("password")),
        (r#"{"app-id":" ","username":"501","password":"x"}"#, 200, 5, json!("app-id")),
        (r#"{"app-id":"a\r\nb","username":"501","password":"x"}"#, 200, 5, json!("app-id")),
        (r#"{"app_id":"x","username":501,"password":"x"}"#, 200, 5, json!("username")),
    ] {
        let id = bench.post(Endpoint::Login, None, NETWORK, body.as_bytes());
        let (got, reply) = bench.reply(id);
        assert_eq!((got, &reply["error"], &reply["field"]), (status, &json!(error), &field), "{body}");
    }
}

const ELSEWHERE: Source = Source::Network(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

#[test]
fn guessing_gets_slower_and_the_right_password_from_elsewhere_never_does() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        assert_eq!(bench.try_login("501", "guess").0, 401);
    }
    for delay in [1, 2, 4] {
        let id = bench.begin_login("501", "guess");
        assert!(bench.replies.is_empty(), "the answer is held back");
        let right = bench.begin_login_from(ELSEWHERE, "501", "secret-501");
        assert_eq!(bench.reply(right).0, 200);
        // His own success forgives the name; the source is still known.
        bench.pass(Duration::from_millis(delay * 1000 - 1));
        assert!(bench.replies.is_empty());
        bench.pass(Duration::from_millis(1));
        // RFC 9110 §15.5.2: what a 401 asks for.
        let headers = [("www-authenticate", "Bearer".to_owned()), ("retry-after", delay.to_string())];
        assert_eq!(bench.replies[&id].headers, headers);
        assert_eq!(bench.reply(id).0, 401);
    }
    let id = bench.begin_login("501", "guess");
    bench.input(Input::Gone(id));
    bench.pass(Duration::from_secs(30));
    assert!(bench.replies.is_empty(), "nobody waits for it");
}

#[test]
fn a_right_password_is_taken_at_once_while_a_few_answers_are_held_back() {
    let mut bench = Bench::new();
    (0..5).for_each(|_| assert_eq!(bench.try_login("501", "guess").0, 401));
    let held: Vec<RequestId> = (0..7).map(|_| bench.begin_login("501", "guess")).collect();
    assert!(bench.replies.is_empty(), "seven answers are held back: {held:?}");
    assert_eq!(bench.try_login("501", "secret-501").0, 200);
}

#[test]
fn while_eight_answers_are_held_back_that_source_is_not_listened_to_on_that_user() {
    let mut bench = Bench::new();
    (0..5).for_each(|_| assert_eq!(bench.try_login("501", "guess").0, 401));
    let _: Vec<RequestId> = (0..8).map(|_| bench.begin_login("501", "guess")).collect();
    bench.hold = true;
    let id = bench.begin_login("501", "secret-501");
    assert!(bench.jobs.is_empty(), "it is not even verified");
    assert_eq!(bench.reply(id).0, 401);
    bench.hold = false;
    assert_eq!(bench.try_login("502", "secret-502").0, 200, "another user of the same source");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.try_login("501", "secret-501").0, 200, "the first of them has been given");
}

#[test]
fn no_more_guesses_are_looked_at_than_are_free_and_held_back() {
    let mut bench = Bench::new();
    bench.hold = true;
    let ids: Vec<RequestId> = (0..20).map(|_| bench.begin_login("501", "guess")).collect();
    let right = bench.begin_login("501", "secret-501");
    bench.release();
    assert_eq!(bench.cas.stats().failed_logins, 5 + 8);
    assert!(!bench.replies.contains_key(&ids[5]), "held back");
    assert_eq!(bench.reply(right).0, 401, "not looked at");
}

#[test]
fn a_user_who_is_removed_while_his_password_is_verified_does_not_get_in() {
    let mut bench = Bench::new();
    bench.hold = true;
    let id = bench.begin_login("501", "secret-501");
    bench.site.apply(&[Change::RemoveUser(UserId(2))]);
    bench.release();
    assert_eq!(bench.reply(id).0, 401);
}

#[test]
fn a_client_that_went_away_gets_no_session() {
    let mut bench = Bench::new();
    bench.hold = true;
    let id = bench.begin_login("501", "secret-501");
    bench.input(Input::Gone(id));
    bench.release();
    assert_eq!((bench.replies.len(), bench.cas.stats().sessions), (0, 0));
}

#[test]
fn the_least_used_of_too_many_sessions_of_a_user_ends() {
    let mut bench = Bench::new();
    let other = bench.log_in("502");
    let sessions: Vec<String> = (0..16)
        .map(|_| {
            bench.pass(Duration::from_millis(10));
            bench.log_in("501")
        })
        .collect();
    let poll = bench.poll(&sessions[0], 30, None);
    bench.log_in("501");
    assert!(!bench.replies.contains_key(&poll), "one that holds a poll is in use");
    let status = |bench: &mut Bench, session: &str| {
        let id = bench.send(session, &message("session", "keep-alive", json!({})));
        bench.reply(id).0
    };
    assert_eq!(status(&mut bench, &sessions[1]), 401);
    assert_eq!((status(&mut bench, &sessions[0]), status(&mut bench, &sessions[2])), (200, 200));
    assert_eq!(status(&mut bench, &other), 200);
}

#[test]
fn one_session_more_than_there_may_be_is_refused() {
    let mut bench = Bench::with(Settings { sessions: 1, ..Settings::default() });
    bench.log_in("501");
    let (status, reply) = bench.try_login("502", "secret-502");
    assert_eq!((status, &reply["error"]), (503, &json!(40)));
}

#[test]
fn one_session_more_than_there_may_be_of_a_source_is_refused_until_one_ends() {
    let mut bench = Bench::with(Settings { sessions_per_source: 1, ..Settings::default() });
    bench.log_in("501");
    let (status, reply) = bench.try_login("502", "secret-502");
    assert_eq!((status, &reply["error"]), (503, &json!(40)));
    assert_eq!(bench.cas.stats().overloads, 1);
    bench.pass(Settings::default().idle);
    bench.log_in("502");
}
