//! Pickup (S69): by code, by the key of a lamp (Replaces, RFC 3891) and by client; what displays, lamps, records and clients are told.

#![allow(clippy::unwrap_used, reason = "a test")]

use cas::store::HistoryKind;
use serde_json::json;
use tests::calls::{Phone, dials, nothing_is_left, refused, registered, secs, talking, tel};
use tests::template::{Dialog, Sip, Template, sdp};
use tests::world::{DOMAIN, World};

fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// 501 calls 502, whose telephone rings; 503 is there, too.
fn ringing(world: &mut World) -> (Template, Template, Sip, Template) {
    let [mut a, mut b, c] = registered(world, ["501", "502", "503"]);
    let body = a.sdp();
    a.call(world, "502", &body);
    let rung = b.wait_request(world, "INVITE");
    b.respond(world, &rung, 180, "b", "");
    a.wait_status(world, "INVITE", 180);
    (a, b, rung, c)
}

/// The telephone that rang is told that the call was answered elsewhere.
#[track_caller]
fn rings_no_more(world: &mut World, phone: &mut Template, rung: &Sip) {
    let cancel = phone.wait_request(world, "CANCEL");
    assert!(cancel.header("Reason").contains("Call completed elsewhere"), "{}", cancel.0);
    phone.respond(world, &cancel, 200, "b", "");
    phone.respond(world, rung, 487, "b", "");
    phone.wait_request(world, "ACK");
}

/// Its call is answered.
#[track_caller]
fn is_answered(world: &mut World, mut phone: Template, by: &str) -> Phone {
    let ok = phone.wait_status(world, "INVITE", 200);
    assert!(ok.header("P-Asserted-Identity").contains(&format!("<sip:{by}@")), "{}", ok.0);
    let dialog = Dialog::of_caller(&ok);
    phone.say_within(world, &dialog, "ACK", 2, "");
    Phone { template: phone, dialog, number: 2 }
}

/// What a lamp shows of a number's one call, as the value of a Replaces header.
#[track_caller]
fn lamp_key(world: &mut World, number: &str) -> String {
    let mut lamp = Template::new("503", 50);
    lamp.ask(world, "SUBSCRIBE", number, "Event: dialog\r\nExpires: 60\r\n", "");
    let notify = lamp.wait_request(world, "NOTIFY");
    lamp.respond(world, &notify, 200, "", "");
    let [call_id, local, remote] =
        ["call-id=\"", "local-tag=\"", "remote-tag=\""].map(|start| between(notify.body(), start, "\"")[0]);
    format!("{call_id};to-tag={local};from-tag={remote}")
}

/// An INVITE with Replaces.
fn replaces(world: &mut World, phone: &mut Template, value: &str) -> Sip {
    phone.adds(&format!("Replaces: {value}\r\n"));
    let body = sdp(phone.address(), 4004, "0 8");
    let invite = phone.call(world, "502", &body);
    phone.adds("");
    invite
}

#[track_caller]
fn is_refused(world: &mut World, phone: &mut Template, value: &str, status: u16) {
    let invite = replaces(world, phone, value);
    let answer =
        phone.wait(world, |sip| sip.method() == "INVITE" && sip.status() >= 200 && sip.number() == invite.number());
    assert_eq!(answer.status(), status, "{value}");
    phone.acknowledge_refusal(world, &invite, &answer);
}

#[test]
fn a_call_that_rings_at_another_is_answered_by_code_or_by_the_key_of_a_lamp() {
    for code in ["**502", "*8", ""] {
        let mut world = World::new(1);
        let (a, mut b, rung, mut c) = ringing(&mut world);
        let mut c = if code.is_empty() {
            let key = lamp_key(&mut world, "502");
            replaces(&mut world, &mut c, &key);
            is_answered(&mut world, c, "501")
        } else {
            let (line, ok) = dials(&mut world, &mut c, code);
            assert!(ok.header("P-Asserted-Identity").contains("\"First501 Last501\" <sip:501@"), "{}", ok.0);
            line
        };
        rings_no_more(&mut world, &mut b, &rung);
        let mut a = is_answered(&mut world, a, "503");
        world.run_for(secs(1));
        world.check();
        let client = world.log_in("503");
        let row = world.calls(client).remove(0);
        assert_eq!(
            (&row["state"], &row["direction"], &row["parties"][1][0]),
            (&json!("connected"), &json!("in"), &json!("501"))
        );
        c.hangs_up(&mut world);
        a.is_hung_up(&mut world);
        nothing_is_left(&mut world);
        let kinds =
            |user: &str| world.records_of(user).into_iter().map(|r| (r.kind, r.addr, r.cause)).collect::<Vec<_>>();
        assert_eq!(kinds("501"), [(HistoryKind::Placed, "502".into(), "normal".into())]);
        let of_502 = world.records_of("502").into_iter().map(|record| record.duration_msec).collect::<Vec<_>>();
        assert_eq!(kinds("502"), [(HistoryKind::Received, "501".into(), "answered-elsewhere".into())], "not missed");
        assert_eq!(of_502, [0], "nor talked");
        assert_eq!(kinds("503"), [(HistoryKind::Received, "501".into(), "normal".into())]);
    }
}

#[test]
fn ones_own_call_picked_up_by_a_client_is_one_record() {
    let mut world = World::new(1);
    let (a, mut b, rung, _c) = ringing(&mut world);
    let client = world.log_in("502");
    let reply = tel(&mut world, client, "pickup", &json!({"ext": "502"}));
    assert_eq!(reply["error"], 0, "{reply}");
    // The telephone that rings for the call is rung for the client, too.
    let own = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &own, 200, "own", &b.sdp());
    b.wait_request(&mut world, "ACK");
    rings_no_more(&mut world, &mut b, &rung);
    let mut b = Phone { template: b, dialog: Dialog::of_callee(&own, "own"), number: 0 };
    let mut a = is_answered(&mut world, a, "502");
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
    let kinds: Vec<_> = world.records_of("502").into_iter().map(|record| (record.kind, record.addr)).collect();
    assert_eq!(kinds, [(HistoryKind::Received, "501".to_owned())]);
}

#[test]
fn a_client_that_picks_up_what_another_has_answered_meanwhile_is_told_so() {
    let mut world = World::new(1);
    let (a, mut b, rung, mut c) = ringing(&mut world);
    let client = world.log_in("503");
    let reply = tel(&mut world, client, "pickup", &json!({"ext": "502"}));
    let own = c.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &rung, 200, "b", &b.sdp());
    b.wait_request(&mut world, "ACK");
    let mut b = Phone { template: b, dialog: Dialog::of_callee(&rung, "b"), number: 0 };
    let mut a = is_answered(&mut world, a, "502");
    c.respond(&mut world, &own, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    let completion = world.completion(client, &reply["response"]);
    assert_eq!(completion["error"], 14, "{completion}");
    Phone { template: c, dialog: Dialog::of_callee(&own, "c"), number: 0 }.is_hung_up(&mut world);
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn pickup_of_nothing_is_refused_and_of_two_who_try_one_has_it() {
    let mut world = World::new(1);
    let (mut a, mut b, rung, mut c) = ringing(&mut world);
    for number in ["**503", "**501", "**999", "**700", "*81"] {
        assert_eq!(refused(&mut world, &mut c, number), 404, "{number}");
    }
    assert_eq!(refused(&mut world, &mut a.at_port(5060), "**502"), 404, "his own call");
    let mut d = Template::new("504", 4);
    d.register(&mut world);
    assert_eq!(refused(&mut world, &mut d, "*8"), 404, "he is in no group");
    let (mut line, _) = dials(&mut world, &mut d, "**502");
    assert_eq!(refused(&mut world, &mut c, "**502"), 404);
    assert_eq!(refused(&mut world, &mut c, "*8"), 404);
    rings_no_more(&mut world, &mut b, &rung);
    let ok = a.wait_status(&mut world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    a.say_within(&mut world, &dialog, "ACK", 2, "");
    world.check();
    line.hangs_up(&mut world);
    Phone { template: a, dialog, number: 2 }.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn without_a_codec_in_common_it_rings_on() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let body = sdp(a.address(), 4000, "0");
    a.call(&mut world, "502", &body);
    let rung = b.wait_request(&mut world, "INVITE");
    let body = sdp(c.address(), 4002, "8");
    let invite = c.call(&mut world, "**502", &body);
    let answer = c.wait_status(&mut world, "INVITE", 488);
    c.acknowledge_refusal(&mut world, &invite, &answer);
    b.respond(&mut world, &rung, 200, "b", &sdp(b.address(), 4000, "0"));
    b.wait_request(&mut world, "ACK");
    let mut a = is_answered(&mut world, a, "502");
    world.check();
    a.hangs_up(&mut world);
    Phone { template: b, dialog: Dialog::of_callee(&rung, "b"), number: 0 }.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn rfc_3891_3_what_cannot_be_replaced_is_refused_with_its_status() {
    let mut world = World::new(1);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let key = lamp_key(&mut world, "502");
    is_refused(&mut world, &mut c, "nothing;to-tag=a;from-tag=b", 481);
    is_refused(&mut world, &mut c, "nothing", 400);
    is_refused(&mut world, &mut c, &key, 403);
    let two = format!("{key}\r\nReplaces: {key}");
    is_refused(&mut world, &mut c, &two, 400);
    let mut own = Template::new("502", 7).at_port(5061);
    is_refused(&mut world, &mut own, &format!("{key};early-only"), 486);
    world.check();
    // Its telephone has not said yet that it knows of the end.
    a.hangs_up(&mut world);
    is_refused(&mut world, &mut own, &key, 603);
    b.is_hung_up(&mut world);
    world.run_for(secs(1));
    is_refused(&mut world, &mut own, &key, 481);
    // An early dialog that the telephone itself has begun.
    let body = sdp(own.address(), 4006, "0 8");
    own.call(&mut world, "503", &body);
    let rung = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &rung, 180, "c", "");
    own.wait_status(&mut world, "INVITE", 180);
    let key = lamp_key(&mut world, "502");
    is_refused(&mut world, &mut own.at_port(5070), &key, 481);
    c.respond(&mut world, &rung, 486, "c", "");
    own.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}

#[test]
fn a_conversation_goes_on_at_another_telephone_of_its_user() {
    let mut world = World::new(1);
    let [a, b, _c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let key = lamp_key(&mut world, "502");
    let mut second = Template::new("502", 7);
    replaces(&mut world, &mut second, &key);
    let mut second = is_answered(&mut world, second, "501");
    b.is_hung_up(&mut world);
    world.run_for(secs(1));
    world.check();
    let client = world.log_in("502");
    let rows = world.calls(client);
    assert_eq!(
        (rows.len(), &rows[0]["state"], &rows[0]["direction"]),
        (1, &json!("connected"), &json!("in")),
        "{rows:?}"
    );
    second.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// The telephone that had somebody on hold is out of the call: it is not reminded of him.
#[test]
fn a_conversation_on_hold_goes_on_at_another_telephone_and_nobody_is_reminded() {
    let mut world = World::with(1, |settings| settings.hold_reminder = Some(secs(5)));
    let [a, b, _c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let held = format!("{}a=sendonly\r\n", b.template.sdp());
    assert_eq!(b.ask(&mut world, "INVITE", "Contact: <sip:502@10.0.2.2:5060>\r\n", &held).status(), 200);
    let number = b.number;
    b.template.say_within(&mut world, &b.dialog, "ACK", number, "");
    let key = lamp_key(&mut world, "502");
    let mut second = Template::new("502", 7);
    replaces(&mut world, &mut second, &key);
    let mut second = is_answered(&mut world, second, "501");
    b.is_hung_up(&mut world);
    // Who is reminded of nobody is found after each step.
    world.run_for(secs(12));
    world.check();
    assert!(!b.template.hear(&mut world).iter().any(|sip| sip.is("INVITE")), "it rings");
    second.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn the_key_of_an_orbits_lamp_gets_who_is_parked() {
    let mut world = World::new(1);
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, &format!("sip:700@{DOMAIN}")).status(), 202);
    b.is_notified(&mut world, 100);
    b.is_shown(&mut world, "700");
    a.is_shown(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let key = lamp_key(&mut world, "700");
    replaces(&mut world, &mut c, &key);
    let mut c = is_answered(&mut world, c, "501");
    a.is_shown(&mut world, "503");
    world.check();
    c.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_recall_that_rings_at_the_parker_is_picked_up_by_another() {
    let mut world = World::with(1, |settings| settings.plan.recall = Some(secs(5)));
    let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, &format!("sip:*68@{DOMAIN}")).status(), 202);
    b.is_notified(&mut world, 100);
    b.is_shown(&mut world, "700");
    a.is_shown(&mut world, "700");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    let mut b = b.template;
    let rung = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &rung, 180, "b", "");
    let (mut line, _) = dials(&mut world, &mut c, "**502");
    rings_no_more(&mut world, &mut b, &rung);
    a.is_shown(&mut world, "503");
    world.run_for(secs(1));
    world.check();
    line.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_client_picks_up_and_hears_when_it_is_too_late() {
    for in_time in [true, false] {
        let mut world = World::new(1);
        let (a, mut b, rung, mut c) = ringing(&mut world);
        let client = world.log_in("503");
        assert_eq!(tel(&mut world, client, "pickup", &json!({"ext": "503"}))["error"], 11);
        assert_eq!(tel(&mut world, client, "pickup", &json!({}))["error"], 4);
        let reply = tel(&mut world, client, "pickup", &json!({"ext": "502"}));
        assert_eq!(reply["error"], 0, "{reply}");
        let own = c.wait_request(&mut world, "INVITE");
        assert!(own.header("P-Asserted-Identity").contains("<sip:501@"), "{}", own.0);
        if !in_time {
            b.respond(&mut world, &rung, 486, "b", "");
            b.wait_request(&mut world, "ACK");
        }
        c.respond(&mut world, &own, 200, "c", &c.sdp());
        c.wait_request(&mut world, "ACK");
        let mut c = Phone { template: c, dialog: Dialog::of_callee(&own, "c"), number: 0 };
        let completion = world.completion(client, &reply["response"]);
        if in_time {
            assert_eq!((&completion["error"], &completion["call-id"]), (&json!(0), &reply["call-id"]), "{completion}");
            rings_no_more(&mut world, &mut b, &rung);
            let mut a = is_answered(&mut world, a, "503");
            world.check();
            c.hangs_up(&mut world);
            a.is_hung_up(&mut world);
        } else {
            assert_eq!(completion["error"], 13, "{completion}");
            c.is_hung_up(&mut world);
        }
        nothing_is_left(&mut world);
    }
}
