//! Transfer (S67), by REFER and by client, blind and attended, and what the displays show.

#![allow(clippy::unwrap_used, reason = "a test")]

use cas::store::HistoryKind;
use serde_json::{Value, json};
use tests::calls::{Phone, answers, nothing_is_left, registered, secs, talking};
use tests::template::{Dialog, Sip, Template, sdp};
use tests::world::{Ask, Behaviour, ClientId, DOMAIN, Event, Manners, PhoneId, Status, World, ports};

/// 501 and 502 talk, and 503 is there.
fn two_talk() -> (World, Phone, Phone, Template) {
    let mut world = World::new(1);
    let [a, b, c] = registered(&mut world, ["501", "502", "503"]);
    let (a, b) = talking(&mut world, a, b, "502");
    (world, a, b, c)
}

/// Who was transferred hangs up, and whom he has with him.
#[track_caller]
fn the_two_part(world: &mut World, transferred: &mut Phone, template: Template, dialog: Dialog) {
    transferred.hangs_up(world);
    Phone { template, dialog, number: 0 }.is_hung_up(world);
    nothing_is_left(world);
}

fn kinds(world: &World, user: &str) -> Vec<(HistoryKind, String, String)> {
    world.records_of(user).into_iter().map(|record| (record.kind, record.addr, record.cause)).collect()
}

#[test]
fn a_blind_transfer_is_done_by_the_switch_and_both_displays_follow() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let accepted = b.refer(&mut world, &format!("sip:503@{DOMAIN}"));
    assert_eq!(accepted.status(), 202);
    b.is_notified(&mut world, 100);
    // 501, whose telephone has not said that it takes UPDATE, is told by re-INVITE.
    a.is_shown(&mut world, "503");
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(invite.header("Referred-By"), format!("<sip:502@{DOMAIN}>"), "who sends the caller on");
    c.respond(&mut world, &invite, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    let dialog = Dialog::of_callee(&invite, "c");
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    world.run_for(secs(1));
    world.check();
    let client = world.log_in("501");
    let calls = world.calls(client);
    assert_eq!((&calls[0]["state"], &calls[0]["parties"][1][0]), (&json!("connected"), &json!("503")), "{calls:?}");
    the_two_part(&mut world, &mut a, c, dialog);
    assert_eq!(kinds(&world, "501"), [(HistoryKind::Placed, "502".into(), "normal".into())], "what was dialled");
    assert_eq!(kinds(&world, "502"), [(HistoryKind::Received, "501".into(), "transferred".into())]);
    assert_eq!(kinds(&world, "503"), [(HistoryKind::Received, "501".into(), "normal".into())]);
}

#[test]
fn who_cannot_be_reached_gives_the_call_back_to_the_one_who_transferred() {
    for status in [486, 603, 480] {
        let mut world = World::new(1);
        let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
        let (mut a, mut b) = talking(&mut world, a, b, "502");
        assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
        b.is_notified(&mut world, 100);
        a.is_shown(&mut world, "503");
        let invite = c.wait_request(&mut world, "INVITE");
        c.respond(&mut world, &invite, status, "c", "");
        c.wait_request(&mut world, "ACK");
        b.is_notified(&mut world, status);
        a.is_shown(&mut world, "502");
        world.run_for(secs(1));
        world.check();
        let client = world.log_in("502");
        assert_eq!(world.calls(client)[0]["parties"][1][0], "501");
        b.hangs_up(&mut world);
        a.is_hung_up(&mut world);
        nothing_is_left(&mut world);
    }
}

#[test]
fn a_transfer_that_leads_nowhere_is_refused_and_the_call_goes_on() {
    let mut world = World::new(1);
    let [a, b, _c] = registered(&mut world, ["501", "502", "503"]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    for (to, status) in [
        (format!("sip:999@{DOMAIN}"), 404),
        ("sip:503@elsewhere.example".to_owned(), 404),
        (format!("sip:501@{DOMAIN}"), 403),
        (format!("sip:502@{DOMAIN}"), 403),
        (format!("sip:503@{DOMAIN}?Replaces=nothing%3Bto-tag%3Da%3Bfrom-tag%3Db"), 404),
        (format!("sip:503@{DOMAIN}?Replaces=nothing"), 400),
    ] {
        assert_eq!(b.refer(&mut world, &to).status(), status, "{to}");
    }
    let two = b.ask(&mut world, "REFER", "Refer-To: <sip:503@x>\r\nRefer-To: <sip:504@x>\r\n", "");
    assert_eq!(two.status(), 400);
    assert!(a.template.hear(&mut world).iter().all(|sip| sip.status() > 0), "nobody was asked anything");
    b.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn rfc_4488_a_telephone_that_wants_no_subscription_gets_none() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let lines = format!("Refer-To: <sip:503@{DOMAIN}>\r\nRequire: norefersub\r\nRefer-Sub: false\r\n");
    let accepted = b.ask(&mut world, "REFER", &lines, "");
    assert_eq!((accepted.status(), accepted.header("Refer-Sub")), (202, "false"));
    a.is_shown(&mut world, "503");
    let dialog = answers(&mut world, &mut c);
    b.is_hung_up(&mut world);
    assert!(b.template.hear(&mut world).iter().all(|sip| !sip.is("NOTIFY")));
    the_two_part(&mut world, &mut a, c, dialog);
}

#[test]
fn a_transferor_that_hangs_up_at_once_leaves_the_other_two_to_each_other() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
    b.is_notified(&mut world, 100);
    a.is_shown(&mut world, "503");
    b.hangs_up(&mut world);
    let dialog = answers(&mut world, &mut c);
    world.run_for(secs(1));
    world.check();
    the_two_part(&mut world, &mut a, c, dialog);
}

#[test]
fn who_is_transferred_may_hang_up_before_anybody_answers() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
    b.is_notified(&mut world, 100);
    let invite = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &invite, 180, "c", "");
    a.is_shown(&mut world, "503");
    a.hangs_up(&mut world);
    b.is_notified(&mut world, 487);
    b.is_hung_up(&mut world);
    let cancel = c.wait_request(&mut world, "CANCEL");
    c.respond(&mut world, &cancel, 200, "c", "");
    c.respond(&mut world, &invite, 487, "c", "");
    nothing_is_left(&mut world);
}

/// 501 and 502 talk, 502 has called 503 as well from the same telephone; whether 503 has answered.
fn consulting(world: &mut World, answered: bool) -> (Phone, Phone, Phone, Template, Sip) {
    let [a, b, mut c] = registered(world, ["501", "502", "503"]);
    let (a, b) = talking(world, a, b, "502");
    let mut second = b.template.at_port(5060);
    let body = sdp(second.address(), 4002, "0 8");
    let invite = second.call(world, "503", &body);
    let rung = c.wait_request(world, "INVITE");
    let ok = match answered {
        true => {
            c.respond(world, &rung, 200, "c", &c.sdp());
            c.wait_request(world, "ACK");
            let ok = second.wait_status(world, "INVITE", 200);
            second.say_within(world, &Dialog::of_caller(&ok), "ACK", 2, "");
            ok
        }
        false => {
            c.respond(world, &rung, 180, "c", "");
            second.wait_status(world, "INVITE", 180)
        }
    };
    world.run_for(secs(1));
    let number = invite.number();
    (a, b, Phone { template: second, dialog: Dialog::of_caller(&ok), number }, c, rung)
}

/// Refer-To with Replaces for a dialog of the telephone's own: what is its remote tag is the to-tag.
fn replaces(number: &str, dialog: &Dialog) -> String {
    let tag = |address: &str| address.split_once("tag=").unwrap().1.to_owned();
    let (to, from) = (tag(&dialog.remote), tag(&dialog.local));
    format!("sip:{number}@{DOMAIN}?Replaces={}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}", dialog.call_id)
}

#[test]
fn an_attended_transfer_joins_the_two_far_ends() {
    let mut world = World::new(1);
    let (mut a, mut b, mut second, c, rung) = consulting(&mut world, true);
    let to = replaces("503", &second.dialog);
    assert_eq!(b.refer(&mut world, &to).status(), 202);
    b.is_notified(&mut world, 100);
    b.is_notified(&mut world, 200);
    b.is_hung_up(&mut world);
    second.is_hung_up(&mut world);
    let mut c = Phone { template: c, dialog: Dialog::of_callee(&rung, "c"), number: 0 };
    a.is_shown(&mut world, "503");
    c.is_shown(&mut world, "501");
    world.run_for(secs(1));
    world.check();
    c.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn an_attended_transfer_may_be_completed_before_the_third_answers() {
    for answers in [true, false] {
        let mut world = World::new(1);
        let (mut a, mut b, mut second, mut c, rung) = consulting(&mut world, false);
        let to = replaces("503", &second.dialog);
        assert_eq!(b.refer(&mut world, &to).status(), 202);
        b.is_notified(&mut world, 100);
        second.template.wait_status(&mut world, "INVITE", 487);
        a.is_shown(&mut world, "503");
        if answers {
            c.respond(&mut world, &rung, 200, "c", &c.sdp());
            c.wait_request(&mut world, "ACK");
            b.is_notified(&mut world, 200);
            b.is_hung_up(&mut world);
            let mut c = Phone { template: c, dialog: Dialog::of_callee(&rung, "c"), number: 0 };
            c.is_shown(&mut world, "501");
            world.run_for(secs(1));
            world.check();
            a.hangs_up(&mut world);
            c.is_hung_up(&mut world);
        } else {
            c.respond(&mut world, &rung, 486, "c", "");
            b.is_notified(&mut world, 486);
            a.is_shown(&mut world, "502");
            b.hangs_up(&mut world);
            a.is_hung_up(&mut world);
        }
        nothing_is_left(&mut world);
    }
}

#[track_caller]
fn tel(world: &mut World, client: ClientId, message: &str, members: &Value) -> Value {
    let mut request = json!({"topic": "tel", "message": message});
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    world.execute(client, request)
}

#[test]
fn a_client_transfers_blind_and_hears_what_came_of_it() {
    for reached in [true, false] {
        let mut world = World::new(1);
        let [a, b, mut c] = registered(&mut world, ["501", "502", "503"]);
        let (mut a, mut b) = talking(&mut world, a, b, "502");
        let client = world.log_in("502");
        let call = world.calls(client)[0].clone();
        assert!(call["actions"].as_array().unwrap().contains(&json!("blind-transfer")), "{call:?}");
        let nowhere = tel(&mut world, client, "blind-transfer", &json!({"call-id": call["call-id"], "dest": "999"}));
        assert_eq!(nowhere["error"], 21);
        let reply = tel(&mut world, client, "blind-transfer", &json!({"call-id": call["call-id"], "dest": "503"}));
        assert_eq!(reply["error"], 0, "{reply}");
        a.is_shown(&mut world, "503");
        if reached {
            let dialog = answers(&mut world, &mut c);
            b.is_hung_up(&mut world);
            assert_eq!(world.completion(client, &reply["response"])["error"], 0);
            a.hangs_up(&mut world);
            Phone { template: c, dialog, number: 0 }.is_hung_up(&mut world);
        } else {
            let invite = c.wait_request(&mut world, "INVITE");
            c.respond(&mut world, &invite, 486, "c", "");
            a.is_shown(&mut world, "502");
            assert_eq!(world.completion(client, &reply["response"])["error"], 24);
            b.hangs_up(&mut world);
            a.is_hung_up(&mut world);
        }
        nothing_is_left(&mut world);
    }
}

#[test]
fn a_client_consults_and_completes() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "consult", &json!({"call-id": call, "dest": "503"}));
    assert_eq!(reply["error"], 0, "{reply}");
    let second = reply["call-id"].clone();
    // His telephone is rung for the second call, and asked to hold the first.
    let offered = b.template.wait(&mut world, |sip| sip.is("INVITE") && sip.body().contains("a=inactive"));
    b.template.respond(&mut world, &offered, 200, "", &format!("{}a=inactive\r\n", b.template.sdp()));
    let rung = b.template.wait_request(&mut world, "INVITE");
    b.template.respond(&mut world, &rung, 200, "two", &b.template.sdp());
    let dialog = answers(&mut world, &mut c);
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    let rows = world.calls(client);
    for row in &rows {
        assert!(row["actions"].as_array().unwrap().contains(&json!("complete-transfer")), "{row:?}");
    }
    let reply = tel(&mut world, client, "complete-transfer", &json!({"call-id": call, "with": second}));
    assert_eq!(reply["error"], 0, "{reply}");
    assert_eq!(world.completion(client, &reply["response"])["error"], 0);
    for _ in 0..2 {
        b.is_hung_up(&mut world);
    }
    let mut c = Phone { template: c, dialog, number: 0 };
    a.is_shown(&mut world, "503");
    c.is_shown(&mut world, "501");
    assert!(world.calls(client).is_empty());
    world.check();
    a.hangs_up(&mut world);
    c.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_client_that_completes_before_the_third_answers_has_both_completed() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let consult = tel(&mut world, client, "consult", &json!({"call-id": call, "dest": "503"}));
    let second = consult["call-id"].clone();
    let offered = b.template.wait(&mut world, |sip| sip.is("INVITE") && sip.body().contains("a=inactive"));
    b.template.respond(&mut world, &offered, 200, "", &format!("{}a=inactive\r\n", b.template.sdp()));
    let rung = b.template.wait_request(&mut world, "INVITE");
    b.template.respond(&mut world, &rung, 200, "two", &b.template.sdp());
    let invite = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &invite, 180, "c", "");
    world.run_for(secs(1));
    let complete = tel(&mut world, client, "complete-transfer", &json!({"call-id": call, "with": second}));
    assert_eq!(complete["error"], 0, "{complete}");
    let consulted = world.completion(client, &consult["response"]);
    assert_eq!((&consulted["error"], &consulted["call-id"]), (&json!(0), &second), "{consulted}");
    c.respond(&mut world, &invite, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &complete["response"])["error"], 0);
    for _ in 0..2 {
        b.is_hung_up(&mut world);
    }
    world.check();
    a.hangs_up(&mut world);
    Phone { dialog: Dialog::of_callee(&invite, "c"), template: c, number: 0 }.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_client_sends_a_call_on_that_rings() {
    let mut world = World::new(1);
    let [mut a, mut b, mut c] = registered(&mut world, ["501", "502", "503"]);
    let body = a.sdp();
    a.call(&mut world, "502", &body);
    let invite = b.wait_request(&mut world, "INVITE");
    let client = world.log_in("502");
    let row = world.calls(client)[0].clone();
    assert!(row["actions"].as_array().unwrap().contains(&json!("redirect")), "{row:?}");
    let reply = tel(&mut world, client, "redirect", &json!({"call-id": row["call-id"], "dest": "503"}));
    assert_eq!(reply["error"], 0, "{reply}");
    b.respond(&mut world, &invite, 180, "b", "");
    let cancel = b.wait_request(&mut world, "CANCEL");
    b.respond(&mut world, &cancel, 200, "b", "");
    b.respond(&mut world, &invite, 487, "b", "");
    let rung = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &rung, 486, "c", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
    let seen_to = [(HistoryKind::Received, "501".into(), "forwarded".into())];
    assert_eq!(kinds(&world, "502"), seen_to, "he has missed nothing: he has sent it on");
}

#[test]
fn where_nobody_can_be_reached_a_call_is_not_sent_on_and_goes_on_as_it_was() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "blind-transfer", &json!({"call-id": call, "dest": "504"}));
    assert_eq!(reply["error"], 22, "504 has no telephone: {reply}");
    assert_eq!(b.refer(&mut world, &format!("sip:504@{DOMAIN}")).status(), 480);
    assert_eq!(world.calls(client)[0]["state"], "connected");
    // A second call rings at 502.
    let body = c.sdp();
    let waiting = c.call(&mut world, "502", &body);
    let rung = b.template.wait_request(&mut world, "INVITE");
    b.template.respond(&mut world, &rung, 180, "two", "");
    c.wait_status(&mut world, "INVITE", 180);
    let rings = world.calls(client)[1]["call-id"].clone();
    for (dest, error) in [("504", 22), ("503", 5), ("502", 5), ("999", 21)] {
        let reply = tel(&mut world, client, "redirect", &json!({"call-id": rings, "dest": dest}));
        assert_eq!(reply["error"], error, "{dest}: {reply}");
    }
    assert_eq!(world.calls(client)[1]["state"], "offering", "it rings on");
    c.cancel(&mut world, &waiting);
    let refused = c.wait_status(&mut world, "INVITE", 487);
    c.acknowledge_refusal(&mut world, &waiting, &refused);
    let cancel = b.template.wait_request(&mut world, "CANCEL");
    b.template.respond(&mut world, &cancel, 200, "two", "");
    b.template.respond(&mut world, &rung, 487, "two", "");
    b.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn who_was_sent_on_may_be_joined_with_others_once_nobody_waits_for_him() {
    let mut world = World::new(1);
    let [a, b, mut c, mut d] = registered(&mut world, ["501", "502", "503", "504"]);
    let client = world.log_in("501");
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
    let rung = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &rung, 180, "c", "");
    a.is_shown(&mut world, "503");
    // A second call of his, from 504.
    let body = d.sdp();
    d.call(&mut world, "501", &body);
    let second = a.template.wait_request(&mut world, "INVITE");
    a.template.respond(&mut world, &second, 200, "two", &a.template.sdp());
    let ok = d.wait_status(&mut world, "INVITE", 200);
    d.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
    a.template.wait_request(&mut world, "ACK");
    let offered = |world: &mut World| {
        let rows = world.calls(client);
        rows.iter().filter(|row| row["actions"].as_array().unwrap().contains(&json!("complete-transfer"))).count()
    };
    assert_eq!(offered(&mut world), 0, "502 waits for what comes of it");
    b.hangs_up(&mut world);
    // What the client is told is compared with what is so.
    world.check();
    assert_eq!(offered(&mut world), 1);
    a.hangs_up(&mut world);
    let cancel = c.wait_request(&mut world, "CANCEL");
    c.respond(&mut world, &cancel, 200, "c", "");
    c.respond(&mut world, &rung, 487, "c", "");
    Phone { template: d, dialog: Dialog::of_caller(&ok), number: 2 }.hangs_up(&mut world);
    let bye = a.template.wait_request(&mut world, "BYE");
    a.template.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

/// 501, who takes PCMU and PCMA, comes back to 502, who has taken G.722 and PCMU meanwhile: the offer that 501 gets, which says who is there.
fn comes_back(world: &mut World, a: &mut Phone, b: &mut Phone, c: &mut Template) -> Sip {
    assert_eq!(b.refer(world, &format!("sip:503@{DOMAIN}")).status(), 202);
    let rung = c.wait_request(world, "INVITE");
    a.is_shown(world, "503");
    // With nobody at the other end, 502 may have whatever it likes.
    let lines = "Contact: <sip:502@10.0.2.2:5060>\r\n";
    let taken = b.ask(world, "INVITE", lines, &sdp(b.template.address(), 4000, "9 0"));
    assert!(taken.body().contains("RTP/AVP 9 0\r\n"), "{}", taken.0);
    let number = b.number;
    b.template.say_within(world, &b.dialog, "ACK", number, "");
    c.respond(world, &rung, 486, "c", "");
    let offer = b.template.wait_request(world, "INVITE");
    assert!(offer.body().contains("RTP/AVP 0\r\n"), "501 does not know G.722: {}", offer.0);
    b.template.respond(world, &offer, 200, "", &sdp(b.template.address(), 4000, "0"));
    b.template.wait_request(world, "ACK");
    let offer = a.template.wait_request(world, "INVITE");
    assert!(!offer.body().contains(" PCMA/"), "502 has not taken it: {}", offer.0);
    assert!(offer.header("P-Asserted-Identity").contains("<sip:502@"), "{}", offer.0);
    offer
}

#[test]
fn who_comes_back_is_offered_what_the_other_understands() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let offer = comes_back(&mut world, &mut a, &mut b, &mut c);
    a.template.respond(&mut world, &offer, 200, "", &sdp(a.template.address(), 4000, "0"));
    a.template.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    world.check();
    b.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

/// Whom the offer names that waits for its answer is what the display shows by then, and no more whom it showed before.
#[test]
fn who_is_another_again_before_an_offer_is_answered_is_shown_after_it() {
    let (mut world, mut a, mut b, mut c) = two_talk();
    let offer = comes_back(&mut world, &mut a, &mut b, &mut c);
    assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
    let rung = c.wait_request(&mut world, "INVITE");
    a.template.respond(&mut world, &offer, 200, "", &sdp(a.template.address(), 4000, "0"));
    a.template.wait_request(&mut world, "ACK");
    a.is_shown(&mut world, "503");
    c.respond(&mut world, &rung, 486, "c", "");
    a.is_shown(&mut world, "502");
    world.run_for(secs(1));
    world.check();
    b.hangs_up(&mut world);
    a.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn who_is_sent_to_the_echo_before_his_prack_hears_himself_after_it() {
    let mut world = World::new(1);
    let [mut a, mut b] = registered(&mut world, ["501", "502"]);
    a.adds("Require: 100rel\r\n");
    let body = a.sdp();
    a.call(&mut world, "502", &body);
    a.adds("");
    let invite = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &invite, 180, "b", "");
    let ringing = a.wait_status(&mut world, "INVITE", 180);
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "redirect", &json!({"call-id": call, "dest": "*43"}));
    assert_eq!(reply["error"], 0, "{reply}");
    let cancel = b.wait_request(&mut world, "CANCEL");
    b.respond(&mut world, &cancel, 200, "b", "");
    b.respond(&mut world, &invite, 487, "b", "");
    let dialog = Dialog::of_caller(&ringing);
    a.adds(&format!("RAck: {} {} INVITE\r\n", ringing.header("RSeq"), ringing.number()));
    a.say_within(&mut world, &dialog, "PRACK", 3, "");
    a.adds("");
    a.wait_status(&mut world, "INVITE", 200);
    a.say_within(&mut world, &dialog, "ACK", 2, "");
    world.run_for(secs(1));
    // The audit knows who is to hear himself, and that he was told to the media plane.
    world.check();
    Phone { template: a, dialog, number: 3 }.hangs_up(&mut world);
    nothing_is_left(&mut world);
}

/// A world with telephones of these users that speak and hear, on so many media threads: 501 and the first of 502 talk.
fn speaking<const N: usize>(threads: u8, users: [&'static str; N]) -> (World, [PhoneId; N]) {
    let mut world = World::with(1, |settings| settings.ports = ports(threads));
    let phones = world.add_phones(users);
    world.connect_call(phones[0], phones[1]);
    (world, phones)
}

#[test]
fn who_was_sent_on_hears_whom_he_was_sent_to() {
    for threads in [1, 2] {
        let (mut world, [a, b, c]) = speaking(threads, ["501", "502", "503"]);
        assert!(world.transfer(b, "503", None, true));
        world.run_for(secs(3));
        assert_eq!(world.phone(b).status(), Status::Idle);
        assert!(world.events_of(b).contains(&Event::Transferred(200)));
        assert!(world.hear_each_other(a, c));
        // And on, to the echo, by the other of the two.
        assert!(world.transfer(c, "*43", None, false));
        world.run_for(secs(3));
        assert!(world.hears_itself(a));
        world.quiesce();
    }
}

#[test]
fn who_comes_back_hears_who_sent_him_on() {
    for threads in [1, 2] {
        let (mut world, [a, b, c]) = speaking(threads, ["501", "502", "503"]);
        world.teach(c, Manners { early_media: true, ..Manners::default() });
        world.behave(c, Behaviour::Ring);
        assert!(world.transfer(b, "503", None, true));
        world.run_for(secs(1));
        assert!(world.phone(b).awaits_transfer());
        world.listen();
        assert!(!world.ear(b).hears(400), "501 hears 503 ring, whatever that sounds like");
        assert!(world.reject(c, 486));
        world.run_for(secs(3));
        assert!(world.events_of(b).contains(&Event::Transferred(486)) && !world.phone(b).awaits_transfer());
        assert!(world.hear_each_other(a, b));
        world.quiesce();
    }
}

#[test]
fn the_far_ends_of_two_calls_of_one_user_hear_each_other() {
    for threads in [1, 2, 12] {
        let (mut world, [a, b, c, second]) = speaking(threads, ["501", "502", "503", "502"]);
        world.connect_call(second, c);
        // The second call of somebody else is not to be had.
        assert!(world.transfer(a, "503", Some(second), true));
        world.run_for(secs(1));
        assert!(world.events_of(a).contains(&Event::Answer(Ask::Refer, 404)));
        assert!(world.transfer(b, "503", Some(second), true));
        world.run_for(secs(3));
        assert_eq!([b, second].map(|phone| world.phone(phone).status()), [Status::Idle; 2]);
        assert!(world.hear_each_other(a, c));
        world.quiesce();
    }
}
