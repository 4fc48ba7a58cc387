//! Park (S62): by the code, by transfer and by client; retrieved by dialling and by client; recall; what displays, lamps and clients are told.

#![allow(clippy::unwrap_used, reason = "a test")]

use cas::store::HistoryKind;
use serde_json::{Value, json};
use switch::sounds::MUSIC;
use tests::calls::{Phone, dials, nothing_is_left, refused, registered, secs, talking, tel};
use tests::template::{Dialog, Sip, Template};
use tests::world::{ClientId, DOMAIN, World};

/// Puts its call on hold.
#[track_caller]
fn holds(world: &mut World, phone: &mut Phone) {
    let body = format!("{}a=sendonly\r\n", phone.template.sdp());
    let answer = phone.ask(world, "INVITE", "", &body);
    assert_eq!(answer.status(), 200);
    let (dialog, number) = (phone.dialog.clone(), phone.number);
    phone.template.say_within(world, &dialog, "ACK", number, "");
}

fn parked(world: &mut World, client: ClientId) -> Vec<Value> {
    let reply = tel(world, client, "get-parked", &json!({}));
    reply["parked"].as_array().unwrap()[1..].to_vec()
}

/// 501 and 502 talk, and 502 parks 501 by transfer.
fn parked_by_refer(world: &mut World, number: &str) -> (Phone, Phone, Template) {
    let [a, b, c] = registered(world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(world, a, b, "502");
    assert_eq!(b.refer(world, &format!("sip:{number}@{DOMAIN}")).status(), 202);
    b.is_notified(world, 100);
    let orbit = if number == "*68" { "700" } else { number };
    b.is_shown(world, orbit);
    a.is_shown(world, orbit);
    (a, b, c)
}

#[test]
fn a_call_is_parked_by_transfer_shown_and_retrieved_by_dialling_the_orbit() {
    for number in ["*68", "700", "705"] {
        let orbit = if number == "*68" { "700" } else { number };
        let mut world = World::new(1);
        let (mut a, mut b, mut c) = parked_by_refer(&mut world, number);
        let watcher = world.log_in("503");
        let row = parked(&mut world, watcher).remove(0);
        assert_eq!(
            (&row[0], &row[1], &row[3], &row[6]),
            (&json!(orbit), &json!("501"), &json!("502"), &json!(["unpark"]))
        );
        // Its display has had the time to be read.
        let told = b.is_notified(&mut world, 200);
        assert!(told.body().contains(&format!("200 Parked at {orbit}")), "{}", told.0);
        b.is_hung_up(&mut world);
        let client = world.log_in("501");
        assert_eq!(world.calls(client)[0]["state"], "parked");
        let (mut line, ok) = dials(&mut world, &mut c, orbit);
        assert!(ok.header("P-Asserted-Identity").contains("\"First501 Last501\" <sip:501@"), "{}", ok.0);
        a.is_shown(&mut world, "503");
        world.run_for(secs(1));
        world.check();
        assert_eq!(world.calls(client)[0]["state"], "connected");
        assert!(parked(&mut world, watcher).is_empty());
        line.hangs_up(&mut world);
        a.is_hung_up(&mut world);
        nothing_is_left(&mut world);
        let kinds =
            |user: &str| world.records_of(user).into_iter().map(|r| (r.kind, r.addr, r.cause)).collect::<Vec<_>>();
        assert_eq!(kinds("501"), [(HistoryKind::Placed, "502".into(), "normal".into())]);
        assert_eq!(kinds("502"), [(HistoryKind::Received, "501".into(), "parked".into())]);
        assert_eq!(kinds("503"), [(HistoryKind::Placed, "501".into(), "normal".into())]);
    }
}

#[test]
fn the_code_parks_the_call_on_hold_and_its_answer_shows_where() {
    for (number, orbit) in [("*68", "700"), ("*68707", "707"), ("*68504", "504")] {
        let mut world = World::new(1);
        let [a, b, mut c, _d] = registered(&mut world, ["501", "502", "503", "504"]);
        let (mut a, mut b) = talking(&mut world, a, b, "502");
        holds(&mut world, &mut b);
        let (mut line, ok) = dials(&mut world, &mut b.template.at_port(5060), number);
        assert!(ok.header("P-Asserted-Identity").contains(&format!("\"Parked at {orbit}\" <sip:{orbit}@")), "{}", ok.0);
        // Both lines share an address: what comes for one may be heard by the other.
        b.is_hung_up(&mut world);
        a.is_shown(&mut world, orbit);
        line.is_hung_up(&mut world);
        world.check();
        let back = if orbit == "504" { "*88504" } else { orbit };
        let (mut other, _) = dials(&mut world, &mut c, back);
        a.is_shown(&mut world, "503");
        world.run_for(secs(1));
        world.check();
        a.hangs_up(&mut world);
        other.is_hung_up(&mut world);
        nothing_is_left(&mut world);
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// The next NOTIFY, answered.
#[track_caller]
fn notified(world: &mut World, watcher: &mut Template) -> Sip {
    let notify = watcher.wait_request(world, "NOTIFY");
    watcher.respond(world, &notify, 200, "", "");
    notify
}

/// The lamp of the extension shows it beside its user's own calls, and its key gets it, whether that names the dialog or dials the code for pickup; his presence does not.
#[test]
fn a_call_parked_at_an_extension_lights_its_lamp_and_the_key_gets_it() {
    for code in ["", "**502", "*88502"] {
        let mut world = World::new(1);
        let [a, b, mut c, _d] = registered(&mut world, ["501", "504", "503", "502"]);
        let (mut a, mut b) = talking(&mut world, a, b, "504");
        let mut lamp = Template::new("503", 50);
        let mut presence = lamp.at_port(5070);
        lamp.ask(&mut world, "SUBSCRIBE", "502", "Event: dialog\r\nExpires: 60\r\n", "");
        presence.ask(&mut world, "SUBSCRIBE", "502", "Event: presence\r\nExpires: 60\r\n", "");
        assert!(!notified(&mut world, &mut lamp).body().contains("<dialog "));
        assert!(notified(&mut world, &mut presence).body().contains("Available"));
        holds(&mut world, &mut b);
        let (mut line, _) = dials(&mut world, &mut b.template.at_port(5060), "*68502");
        b.is_hung_up(&mut world);
        a.is_shown(&mut world, "502");
        line.is_hung_up(&mut world);
        let notify = notified(&mut world, &mut lamp);
        let body = notify.body();
        assert_eq!(between(body, "<state>", "</state>"), ["confirmed"], "{body}");
        assert!(body.contains("direction=\"recipient\"") && body.contains(">sip:501@"), "{body}");
        let [call_id, local, remote] =
            ["call-id=\"", "local-tag=\"", "remote-tag=\""].map(|start| between(body, start, "\"")[0].to_owned());
        assert!(presence.hear(&mut world).iter().all(|sip| !sip.is("NOTIFY")), "he is not on the phone");
        let mut other = match code {
            "" => {
                c.adds(&format!("Replaces: {call_id};to-tag={local};from-tag={remote}\r\n"));
                let other = dials(&mut world, &mut c, "502").0;
                c.adds("");
                other
            }
            code => dials(&mut world, &mut c, code).0,
        };
        a.is_shown(&mut world, "503");
        // What was told before may have come again meanwhile.
        let dark = |sip: &Sip| between(sip.body(), "<state>", "</state>") == ["terminated"];
        let notify = lamp.wait(&mut world, |sip| sip.is("NOTIFY") && dark(sip));
        lamp.respond(&mut world, &notify, 200, "", "");
        world.run_for(secs(1));
        world.check();
        a.hangs_up(&mut world);
        other.is_hung_up(&mut world);
        nothing_is_left(&mut world);
    }
}

#[test]
fn wrong_use_gets_its_status_and_the_call_goes_on() {
    let mut world = World::new(1);
    let (mut a, mut b, mut c) = parked_by_refer(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    // Empty orbits, and nothing to be parked.
    for number in ["701", "*88502", "*68", "*68705", "*88999"] {
        assert_eq!(refused(&mut world, &mut c, number), 404, "{number}");
    }
    let [mut d] = registered(&mut world, ["504"]).map(|_| Template::new("504", 9));
    d.register(&mut world);
    let (mut c, mut d) = talking(&mut world, c, d, "504");
    // Taken.
    for (number, status, cause) in [("700", 486, "Q.850;cause=17"), ("*88502", 404, "Q.850;cause=1")] {
        let refused = d.refer(&mut world, &format!("sip:{number}@{DOMAIN}"));
        assert_eq!(refused.status(), status, "{number}");
        assert!(refused.header("Reason").starts_with(cause), "{}", refused.0);
    }
    holds(&mut world, &mut d);
    assert_eq!(refused(&mut world, &mut d.template.at_port(5060), "*68700"), 486);
    let client = world.log_in("504");
    let call = world.calls(client)[0]["call-id"].clone();
    for (orbit, error) in [("700", 24), ("999", 21), ("*43", 21)] {
        let reply = tel(&mut world, client, "park", &json!({"call-id": call, "orbit": orbit}));
        assert_eq!(reply["error"], error, "{reply}");
    }
    for members in [json!({"orbit": "701"}), json!({"ext": "501"}), json!({"orbit": "nowhere"})] {
        assert_eq!(tel(&mut world, client, "unpark", &members)["error"], 11, "{members}");
    }
    assert_eq!(tel(&mut world, client, "unpark", &json!({}))["error"], 4);
    world.check();
    d.hangs_up(&mut world);
    c.is_hung_up(&mut world);
    a.hangs_up(&mut world);
    nothing_is_left(&mut world);
}

/// With one orbit only.
fn with_one_orbit(seed: u64, recall: Option<std::time::Duration>) -> World {
    World::with(seed, |settings| {
        settings.plan.orbits = cas::site::plan::Orbits::parse("700-700").unwrap();
        settings.plan.recall = recall;
    })
}

#[test]
fn full_orbits_refuse_until_one_is_free_again_and_an_extension_takes_a_call_nevertheless() {
    let mut world = with_one_orbit(1, None);
    let [a, b, c, d] = registered(&mut world, ["501", "502", "503", "504"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let (mut c, mut d) = talking(&mut world, c, d, "504");
    let clients = [world.log_in("502"), world.log_in("504")];
    let offers =
        |world: &mut World, client| world.calls(client)[0]["actions"].as_array().unwrap().contains(&json!("park"));
    assert!(offers(&mut world, clients[1]));
    let call = world.calls(clients[0])[0]["call-id"].clone();
    let reply = tel(&mut world, clients[0], "park", &json!({"call-id": call}));
    let completion = world.completion(clients[0], &reply["response"]);
    assert_eq!((&completion["error"], &completion["orbit"]), (&json!(0), &json!("700")), "{completion}");
    b.is_hung_up(&mut world);
    a.is_shown(&mut world, "700");
    world.check();
    // There are extensions, too.
    assert!(offers(&mut world, clients[1]));
    let call = world.calls(clients[1])[0]["call-id"].clone();
    assert_eq!(tel(&mut world, clients[1], "park", &json!({"call-id": call}))["error"], 40);
    assert_eq!(d.refer(&mut world, &format!("sip:*68@{DOMAIN}")).status(), 486);
    // Nobody is rung where recall is off.
    world.run_for(secs(30));
    assert_eq!(parked(&mut world, clients[1]).len(), 1);
    let reply = tel(&mut world, clients[1], "park", &json!({"call-id": call, "orbit": "501"}));
    assert_eq!(world.completion(clients[1], &reply["response"])["orbit"], "501");
    d.is_hung_up(&mut world);
    c.is_shown(&mut world, "501");
    a.hangs_up(&mut world);
    world.run_for(secs(1));
    world.check();
    assert_eq!(parked(&mut world, clients[1]).len(), 1);
    c.hangs_up(&mut world);
    nothing_is_left(&mut world);
}

/// 501 is parked by 502 in an orbit whose recall is due after five seconds; 503 is there, too.
fn soon_recalled() -> (World, Phone, Template, Template) {
    let mut world = with_one_orbit(1, Some(secs(5)));
    let (a, mut b, c) = parked_by_refer(&mut world, "*68");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    (world, a, b.template, c)
}

#[test]
fn nobody_gets_it_in_time_and_the_parker_is_rung_and_told_why() {
    let (mut world, mut a, mut b, _c) = soon_recalled();
    let client = world.log_in("503");
    let rung = b.wait_request(&mut world, "INVITE");
    assert!(rung.header("P-Asserted-Identity").contains("\"Recall 700: First501 Last501\" <sip:501@"), "{}", rung.0);
    assert_eq!(parked(&mut world, client)[0][5], "recalling");
    b.adds("Allow: INVITE, UPDATE\r\n");
    b.respond(&mut world, &rung, 200, "r", &b.sdp());
    b.adds("");
    b.wait_request(&mut world, "ACK");
    let mut b = Phone { template: b, dialog: Dialog::of_callee(&rung, "r"), number: 0 };
    b.is_shown(&mut world, "501");
    a.is_shown(&mut world, "502");
    world.run_for(secs(1));
    world.check();
    assert!(parked(&mut world, client).is_empty());
    b.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_parker_who_is_busy_or_gone_is_rung_again_and_the_call_waits() {
    let (mut world, mut a, mut b, mut c) = soon_recalled();
    for _ in 0..2 {
        let rung = b.wait_request(&mut world, "INVITE");
        b.respond(&mut world, &rung, 486, "r", "");
        b.wait_request(&mut world, "ACK");
    }
    let gone = format!("Contact: <{}>;expires=0\r\n", b.uri());
    b.ask_to_register(&mut world, &gone);
    b.wait_status(&mut world, "REGISTER", 200);
    b.hear(&mut world);
    world.run_for(secs(15));
    assert!(b.hear(&mut world).iter().all(|sip| !sip.is("INVITE")), "nobody can be rung");
    let (mut line, _) = dials(&mut world, &mut c, "700");
    a.is_shown(&mut world, "503");
    world.check();
    line.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn who_is_got_or_hangs_up_while_the_parker_is_rung_rings_him_no_more() {
    for is_got in [true, false] {
        let (mut world, mut a, mut b, mut c) = soon_recalled();
        let rung = b.wait_request(&mut world, "INVITE");
        b.respond(&mut world, &rung, 180, "r", "");
        let line = is_got.then(|| dials(&mut world, &mut c, "700").0);
        if is_got {
            a.is_shown(&mut world, "503");
        } else {
            a.hangs_up(&mut world);
        }
        let cancel = b.wait_request(&mut world, "CANCEL");
        assert_eq!(cancel.header("Reason").contains("completed elsewhere"), is_got, "{}", cancel.0);
        b.respond(&mut world, &cancel, 200, "r", "");
        b.respond(&mut world, &rung, 487, "r", "");
        world.run_for(secs(1));
        world.check();
        if let Some(mut line) = line {
            line.hangs_up(&mut world);
            a.is_hung_up(&mut world);
        }
        nothing_is_left(&mut world);
    }
}

#[test]
fn two_who_want_the_same_call_do_not_both_get_it() {
    let mut world = World::new(1);
    let (mut a, mut b, mut c) = parked_by_refer(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let mut d = Template::new("504", 4);
    d.register(&mut world);
    // A client's own telephone is rung; meanwhile another has the call.
    let client = world.log_in("504");
    let reply = tel(&mut world, client, "unpark", &json!({"orbit": "700"}));
    assert_eq!(reply["error"], 0, "{reply}");
    let rung = d.wait_request(&mut world, "INVITE");
    let (mut line, _) = dials(&mut world, &mut c, "700");
    assert_eq!(refused(&mut world, &mut b.template, "700"), 404);
    a.is_shown(&mut world, "503");
    d.respond(&mut world, &rung, 200, "d", &d.sdp());
    d.wait_request(&mut world, "ACK");
    let completion = world.completion(client, &reply["response"]);
    assert_eq!(completion["error"], 14, "somebody else was first: {completion}");
    let bye = d.wait_request(&mut world, "BYE");
    d.respond(&mut world, &bye, 200, "", "");
    world.check();
    line.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// Who has hung up is gone, which is not the same as got by another.
#[test]
fn a_client_that_wants_one_who_has_hung_up_is_told_that_he_is_gone() {
    let mut world = World::new(1);
    let (mut a, mut b, mut c) = parked_by_refer(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let client = world.log_in("503");
    let reply = tel(&mut world, client, "unpark", &json!({"orbit": "700"}));
    let rung = c.wait_request(&mut world, "INVITE");
    a.hangs_up(&mut world);
    c.respond(&mut world, &rung, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    let completion = world.completion(client, &reply["response"]);
    assert_eq!(completion["error"], 13, "{completion}");
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

#[test]
fn make_call_to_where_nothing_is_to_be_got_begins_nothing() {
    let mut world = World::new(1);
    let [_a, _b, _c] = registered(&mut world, ["501", "502", "503"]);
    let client = world.log_in("501");
    for dest in ["700", "*88502", "**502", "*8", "*68", "*68705"] {
        let reply = tel(&mut world, client, "make-call", &json!({"dest": dest}));
        assert_eq!((&reply["error"], &reply["field"]), (&json!(21), &json!("dest")), "{dest}: {reply}");
        assert!(world.calls(client).is_empty());
    }
    nothing_is_left(&mut world);
}

#[test]
fn a_client_parks_and_unparks_and_others_are_told() {
    for (place, members) in [("703", json!({"orbit": "703"})), ("504", json!({"ext": "504"}))] {
        let mut world = World::new(1);
        let [a, b, mut c, _d] = registered(&mut world, ["501", "502", "503", "504"]);
        let (mut a, mut b) = talking(&mut world, a, b, "502");
        let [client, other] = [world.log_in("502"), world.log_in("503")];
        let park = json!({"topic": "subscribe", "message": "subscribe-events", "subscribe": [["tel", "park"]]});
        assert_eq!(world.execute(other, park)["error"], 0);
        let snapshot = world.events_told(other).pop().unwrap();
        assert_eq!(
            (&snapshot["kind"], snapshot["parked"].as_array().unwrap().len()),
            (&json!("park"), 1),
            "{snapshot}"
        );
        let row = world.calls(client)[0].clone();
        assert!(row["actions"].as_array().unwrap().contains(&json!("park")), "{row:?}");
        let reply = tel(&mut world, client, "park", &json!({"call-id": row["call-id"], "orbit": place}));
        assert_eq!(world.completion(client, &reply["response"])["orbit"], place);
        b.is_hung_up(&mut world);
        a.is_shown(&mut world, place);
        let event = world.events_told(other).pop().unwrap();
        assert_eq!(event["message"], "parked-evt");
        for (member, value) in [("orbit", place), ("addr", "501"), ("by", "502"), ("state", "parked")] {
            assert_eq!(event[member], value, "{event}");
        }
        assert_eq!(event["actions"], json!(["unpark"]));
        // Whose telephone is gone may have nothing; when it is back, he is told.
        let gone = format!("Contact: <{}>;expires=0\r\n", c.uri());
        c.ask_to_register(&mut world, &gone);
        c.wait_status(&mut world, "REGISTER", 200);
        assert_eq!(world.events_told(other).pop().unwrap()["actions"], json!([]));
        assert_eq!(tel(&mut world, other, "unpark", &members)["error"], 22);
        c.register(&mut world);
        assert_eq!(world.events_told(other).pop().unwrap()["actions"], json!(["unpark"]));
        let reply = tel(&mut world, other, "unpark", &members);
        assert!(reply["call-id"].is_string(), "{reply}");
        let rung = c.wait_request(&mut world, "INVITE");
        assert!(rung.header("P-Asserted-Identity").contains("<sip:501@"), "{}", rung.0);
        c.respond(&mut world, &rung, 200, "c", &c.sdp());
        c.wait_request(&mut world, "ACK");
        let completion = world.completion(other, &reply["response"]);
        assert_eq!((&completion["error"], &completion["call-id"]), (&json!(0), &reply["call-id"]), "{completion}");
        a.is_shown(&mut world, "503");
        assert!(
            world.events_told(other).iter().any(|event| event["state"] == "retrieved" && event["actions"] == json!([]))
        );
        world.check();
        let mut c = Phone { template: c, dialog: Dialog::of_callee(&rung, "c"), number: 0 };
        c.hangs_up(&mut world);
        a.is_hung_up(&mut world);
        nothing_is_left(&mut world);
    }
}

#[test]
fn a_restart_forgets_what_was_parked_and_whoever_waits_is_told_so() {
    let mut world = World::new(1);
    let (mut a, mut b, mut c) = parked_by_refer(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    world.restart();
    assert_eq!(refused(&mut world, &mut c, "700"), 404);
    assert_eq!(a.ask(&mut world, "BYE", "", "").status(), 481);
    nothing_is_left(&mut world);
}

#[test]
fn the_parker_may_hang_up_before_he_has_read_it_all_and_who_is_parked_too() {
    for parker_first in [true, false] {
        let mut world = World::new(1);
        let (mut a, mut b, _c) = parked_by_refer(&mut world, "*68");
        if parker_first {
            b.hangs_up(&mut world);
            world.check();
            a.hangs_up(&mut world);
        } else {
            a.hangs_up(&mut world);
            world.check();
            b.is_notified(&mut world, 200);
            b.is_hung_up(&mut world);
        }
        nothing_is_left(&mut world);
    }
}

#[test]
fn who_is_parked_hears_music_and_then_whoever_got_him() {
    let mut world = World::new(1);
    let [a, b, c] = world.add_phones(["501", "502", "503"]);
    let client = world.log_in("502");
    world.call(a, "502");
    world.run_for(secs(3));
    assert!(world.hear_each_other(a, b));
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "park", &json!({"call-id": call}));
    assert_eq!(world.completion(client, &reply["response"])["orbit"], "700");
    // 502 talks to somebody else meanwhile.
    world.run_for(secs(1));
    world.call(b, "*43");
    world.run_for(secs(2));
    assert!(world.hears_sound(a, MUSIC));
    world.check();
    world.call(c, "700");
    world.run_for(secs(2));
    assert!(world.hear_each_other(a, c));
    assert_eq!(world.ear(a).sources(), 1, "one source for the life of the dialog");
    world.quiesce();
}

#[test]
fn a_call_parked_beside_a_user_who_is_no_more_is_at_an_orbit() {
    let mut world = World::new(1);
    let [a, b, mut c] = registered(&mut world, ["501", "503", "504"]);
    let (mut a, mut b) = talking(&mut world, a, b, "503");
    let (client, admin, watcher) = (world.log_in("503"), world.log_in("admin"), world.log_in("504"));
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "park", &json!({"call-id": call, "orbit": "502"}));
    assert_eq!(world.completion(client, &reply["response"])["orbit"], "502");
    b.is_hung_up(&mut world);
    a.is_shown(&mut world, "502");
    let deletion = json!({"topic": "config", "message": "delete-user", "ext": "502"});
    assert_eq!(world.execute(admin, deletion)["error"], 0);
    a.is_shown(&mut world, "700");
    assert_eq!(parked(&mut world, watcher)[0][0], "700");
    world.check();
    let (mut line, _) = dials(&mut world, &mut c, "700");
    a.is_shown(&mut world, "504");
    a.hangs_up(&mut world);
    line.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn what_is_parked_is_not_fetched_beyond_the_limit_of_calls() {
    let mut world = World::with(1, |settings| settings.max_calls = 1);
    let (mut a, mut b, _c) = parked_by_refer(&mut world, "*68");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let client = world.log_in("503");
    assert_eq!(parked(&mut world, client)[0][6], json!([]));
    assert_eq!(tel(&mut world, client, "unpark", &json!({"orbit": "700"}))["error"], 20);
    a.hangs_up(&mut world);
    nothing_is_left(&mut world);
}
