//! What becomes of a call by its callee's rules: forwarded, not to disturb, rung elsewhere too; in virtual time, with telephones of templates where their bytes matter.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::site::Extension;
use cas::site::handling::{Forward, NoAnswer, RING, Rules};
use cas::store::HistoryKind;
use serde_json::{Value, json};
use tests::calls::{Phone, answers, nothing_is_left, refused, registered, secs, talking, tel};
use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, DOMAIN, End, Handset, Status, Weather, World};

fn to(number: &str) -> Option<Forward> {
    Some(Forward::Number(Extension(number.to_owned())))
}

fn numbers(numbers: &[&str]) -> Vec<Extension> {
    numbers.iter().map(|number| Extension((*number).to_owned())).collect()
}

fn always(number: &str) -> Rules {
    Rules { always: to(number), ..Rules::default() }
}

fn busy(number: &str) -> Rules {
    Rules { busy: to(number), ..Rules::default() }
}

fn no_answer(rings: u8, number: &str) -> Rules {
    let to = Forward::Number(Extension(number.to_owned()));
    Rules { no_answer: Some(NoAnswer { rings, to }), ..Rules::default() }
}

fn not_registered(number: &str) -> Rules {
    Rules { not_registered: to(number), ..Rules::default() }
}

fn dnd() -> Rules {
    Rules { dnd: true, ..Rules::default() }
}

fn find_me(list: &[&str]) -> Rules {
    Rules { find_me: numbers(list), ..Rules::default() }
}

fn ring_also(list: &[&str]) -> Rules {
    Rules { ring_also: numbers(list), ..Rules::default() }
}

/// Everybody's telephone is there.
fn all(rules: &[(&'static str, Rules)]) -> (World, [Template; 4]) {
    let mut world = World::ordered(1, rules);
    let phones = registered(&mut world, ["501", "502", "503", "504"]);
    (world, phones)
}

fn calls(world: &mut World, caller: &mut Template, number: &str) -> Sip {
    let body = caller.sdp();
    caller.call(world, number, &body)
}

/// Kind, other party and cause of each of a user's records.
fn records(world: &World, user: &str) -> Vec<(HistoryKind, String, String)> {
    world.records_of(user).into_iter().map(|record| (record.kind, record.addr, record.cause)).collect()
}

/// The reasons of Diversion, the last first.
fn diversions(invite: &Sip) -> Vec<String> {
    let short = |value: &str| {
        let number = value.split(['<', '@']).nth(1).unwrap_or_default().trim_start_matches("sip:");
        format!("{number} {}", value.split("reason=").nth(1).unwrap_or_default())
    };
    invite.headers("Diversion").into_iter().map(short).collect()
}

#[track_caller]
fn is_silent(world: &mut World, phone: &mut Template) {
    let heard = phone.hear(world);
    assert!(heard.iter().all(|sip| !sip.is("INVITE")), "{heard:?}");
}

/// The phone rings.
#[track_caller]
fn rings(world: &mut World, phone: &mut Template) -> Sip {
    let invite = phone.wait_request(world, "INVITE");
    phone.respond(world, &invite, 180, "x", "");
    invite
}

/// The phone is told that it rings no more, and says so.
#[track_caller]
fn stops(world: &mut World, phone: &mut Template, invite: &Sip) -> Sip {
    let cancel = phone.wait_request(world, "CANCEL");
    assert_eq!(cancel.header("Call-ID"), invite.header("Call-ID"));
    phone.respond(world, &cancel, 200, "x", "");
    phone.respond(world, invite, 487, "x", "");
    phone.wait_request(world, "ACK");
    cancel
}

/// The caller has been answered by this number.
#[track_caller]
fn is_answered_by(world: &mut World, caller: &mut Template, number: &str) -> Phone {
    let ok = caller.wait_status(world, "INVITE", 200);
    assert!(ok.header("P-Asserted-Identity").contains(&format!("<sip:{number}@")), "{}", ok.0);
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(world, &dialog, "ACK", ok.number(), "");
    Phone { template: caller.at_port(caller.address().port()), dialog, number: ok.number() }
}

/// A phone that has answered hangs up.
fn hangs_up(world: &mut World, phone: &mut Template, dialog: &Dialog) {
    phone.say_within(world, dialog, "BYE", 100, "");
    phone.wait_status(world, "BYE", 200);
}

/// A phone that takes UPDATE is told whom it has now.
#[track_caller]
fn is_shown(world: &mut World, phone: &mut Template, number: &str) {
    let shows = |sip: &Sip| sip.header("P-Asserted-Identity").contains(&format!("<sip:{number}@"));
    let update = phone.wait(world, |sip| sip.is("UPDATE") && shows(sip));
    phone.respond(world, &update, 200, "", "");
}

#[test]
fn every_call_is_forwarded_and_the_own_telephone_is_silent() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", always("503"))]);
    let [client_a, client_c] = ["501", "503"].map(|user| world.log_in(user));
    calls(&mut world, &mut a, "502");
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["502 unconditional"]);
    assert!(invite.header("From").contains("<sip:501@"), "the phone shows who calls: {}", invite.0);
    a.wait_status(&mut world, "INVITE", 181);
    is_silent(&mut world, &mut b);
    let event = world.events_told(client_c).into_iter().find(|event| event["message"] == "call-evt").unwrap();
    assert_eq!((&event["state"], &event["cause"]), (&json!("offering"), &json!("forwarded")));
    assert_eq!(world.calls(client_a)[0]["parties"][1][0], "503", "the caller sees whom he gets");
    c.respond(&mut world, &invite, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    is_answered_by(&mut world, &mut a, "503");
    hangs_up(&mut world, &mut c, &Dialog::of_callee(&invite, "c"));
    a.wait_request(&mut world, "BYE");
    nothing_is_left(&mut world);
    assert_eq!(records(&world, "502"), [(HistoryKind::Received, "501".into(), "forwarded".into())]);
    assert_eq!(records(&world, "503"), [(HistoryKind::Received, "501".into(), "normal".into())]);
}

#[test]
fn who_is_busy_or_declines_is_forwarded_by_that_rule_alone() {
    for (status, follows) in [(486, true), (600, true), (603, true), (480, false), (404, false), (488, false)] {
        let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", busy("503"))]);
        calls(&mut world, &mut a, "502");
        let invite = b.wait_request(&mut world, "INVITE");
        b.respond(&mut world, &invite, status, "b", "");
        b.wait_request(&mut world, "ACK");
        if follows {
            let invite = c.wait_request(&mut world, "INVITE");
            assert_eq!(diversions(&invite), ["502 user-busy"]);
            let history = format!("<sip:502@{DOMAIN}?Reason=SIP%3Bcause%3D486>;index=1");
            assert_eq!(invite.headers("History-Info")[0], history);
            c.respond(&mut world, &invite, 480, "c", "");
            a.wait_status(&mut world, "INVITE", 480);
        } else {
            a.wait_status(&mut world, "INVITE", status);
            is_silent(&mut world, &mut c);
        }
        nothing_is_left(&mut world);
    }
}

#[test]
fn who_has_as_many_calls_as_may_wait_is_busy() {
    let mut world = World::furnished(1, |settings| settings.plan.waiting = 0, &[("502", busy("503"))]);
    let [mut a, b, mut c, d] = registered(&mut world, ["501", "502", "503", "504"]);
    let (mut d, _) = talking(&mut world, d, b, "502");
    calls(&mut world, &mut a, "502");
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["502 user-busy"]);
    c.respond(&mut world, &invite, 486, "c", "");
    a.wait_status(&mut world, "INVITE", 486);
    d.hangs_up(&mut world);
}

#[test]
fn after_so_many_rings_the_telephone_rings_no_more_and_the_next_does() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", no_answer(2, "503"))]);
    calls(&mut world, &mut a, "502");
    let invite = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &invite, 180, "b", "");
    a.wait_status(&mut world, "INVITE", 180);
    world.run_for(RING * 2 - secs(1));
    is_silent(&mut world, &mut c);
    assert!(b.hear(&mut world).is_empty());
    let cancel = stops(&mut world, &mut b, &invite);
    assert!(cancel.header("Reason").contains("Forwarded"), "{}", cancel.0);
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["502 no-answer"]);
    c.respond(&mut world, &invite, 180, "c", "");
    a.wait_status(&mut world, "INVITE", 180);
    // He has no rule of his own: it rings as long as calls do.
    world.run_for(secs(55));
    a.wait_status(&mut world, "INVITE", 480);
    stops(&mut world, &mut c, &invite);
    nothing_is_left(&mut world);
}

#[test]
fn an_answer_that_crosses_the_last_ring_is_hung_up_and_the_next_has_the_call() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", no_answer(1, "503"))]);
    calls(&mut world, &mut a, "502");
    let invite = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &invite, 180, "b", "");
    let cancel = b.wait_request(&mut world, "CANCEL");
    b.respond(&mut world, &invite, 200, "b", &b.sdp());
    b.respond(&mut world, &cancel, 200, "b", "");
    b.wait_request(&mut world, "ACK");
    let bye = b.wait_request(&mut world, "BYE");
    b.respond(&mut world, &bye, 200, "", "");
    answers(&mut world, &mut c);
    is_answered_by(&mut world, &mut a, "503").hangs_up(&mut world);
    c.wait_request(&mut world, "BYE");
}

#[test]
fn an_answer_in_the_last_moment_has_the_call() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", no_answer(1, "503"))]);
    calls(&mut world, &mut a, "502");
    let invite = b.wait_request(&mut world, "INVITE");
    world.run_for(RING - Duration::from_millis(50));
    b.respond(&mut world, &invite, 200, "b", &b.sdp());
    b.wait_request(&mut world, "ACK");
    let mut a = is_answered_by(&mut world, &mut a, "502");
    world.run_for(secs(10));
    is_silent(&mut world, &mut c);
    a.hangs_up(&mut world);
    let bye = b.wait_request(&mut world, "BYE");
    b.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

#[test]
fn who_is_not_there_is_forwarded_at_once() {
    let mut world = World::ordered(1, &[("502", not_registered("503"))]);
    let [mut a, mut c] = registered(&mut world, ["501", "503"]);
    calls(&mut world, &mut a, "502");
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["502 unavailable"]);
    c.respond(&mut world, &invite, 486, "c", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
    assert_eq!(records(&world, "502"), [(HistoryKind::Missed, "501".into(), "forwarded".into())]);
}

#[test]
fn a_mailbox_that_is_not_there_yet_is_480() {
    let voicemail = || Some(Forward::Voicemail);
    let unanswered = NoAnswer { rings: 1, to: Forward::Voicemail };
    for (rules, answer) in [
        (Rules { always: voicemail(), ..Rules::default() }, None),
        (Rules { busy: voicemail(), ..Rules::default() }, Some(486)),
        (Rules { dnd: true, busy: voicemail(), ..Rules::default() }, None),
        (Rules { no_answer: Some(unanswered), ..Rules::default() }, Some(180)),
        (Rules { not_registered: voicemail(), ..Rules::default() }, Some(500)),
    ] {
        let (mut world, [mut a, mut b, ..]) = all(&[("502", rules)]);
        calls(&mut world, &mut a, "502");
        if let Some(answer) = answer {
            let invite = b.wait_request(&mut world, "INVITE");
            b.respond(&mut world, &invite, answer, "b", "");
        }
        a.wait_status(&mut world, "INVITE", 480);
        if answer.is_none() {
            is_silent(&mut world, &mut b);
        }
        world.run_for(secs(1));
        assert_eq!(records(&world, "502").len(), 1, "he has missed it");
    }
}

#[test]
fn whoever_it_is_forwarded_to_has_rules_of_his_own() {
    let (mut world, [mut a, _, mut c, mut d]) = all(&[("502", always("503")), ("503", busy("504"))]);
    calls(&mut world, &mut a, "502");
    let invite = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &invite, 486, "c", "");
    let invite = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["503 user-busy", "502 unconditional"]);
    let history = [
        format!("<sip:502@{DOMAIN}>;index=1"),
        format!("<sip:503@{DOMAIN};cause=302?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1"),
        format!("<sip:504@{DOMAIN};cause=486>;index=1.1.1;mp=1.1"),
    ];
    assert_eq!(invite.headers("History-Info"), history);
    // The last one's word is what the caller hears.
    d.respond(&mut world, &invite, 404, "d", "");
    a.wait_status(&mut world, "INVITE", 404);
    nothing_is_left(&mut world);
}

#[test]
fn a_circle_ends_with_482_and_nobody_rings() {
    let (mut world, phones) = all(&[("502", always("503")), ("503", always("504")), ("504", always("502"))]);
    let [mut a, ..] = phones;
    let client = world.log_in("501");
    assert_eq!(refused(&mut world, &mut a, "502"), 482);
    let reply = tel(&mut world, client, "make-call", &json!({"dest": "502"}));
    assert_eq!(reply["error"], 0, "{reply}");
    answers(&mut world, &mut a);
    // He is told by a tone first.
    world.run_for(secs(6));
    let told = world.events_told(client);
    let ended: Vec<&Value> = told.iter().filter(|event| event["message"] == "call-ended-evt").collect();
    assert!(!ended.is_empty() && ended.iter().all(|event| event["cause"] == "loop"), "{told:?}");
}

#[test]
fn what_was_rung_before_a_circle_closes_is_what_the_caller_hears() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", busy("503")), ("503", busy("502"))]);
    calls(&mut world, &mut a, "502");
    for phone in [&mut b, &mut c] {
        let invite = phone.wait_request(&mut world, "INVITE");
        phone.respond(&mut world, &invite, 486, "x", "");
        phone.wait_request(&mut world, "ACK");
    }
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
    is_silent(&mut world, &mut b);
}

#[test]
fn a_call_is_sent_on_so_often_and_no_more() {
    let rules = [("502", always("503")), ("503", always("504"))];
    for (counter, status) in [(3, 0), (4, 482), (5, 482)] {
        let (mut world, [mut a, _, _, mut d]) = all(&rules);
        a.adds(&format!("Diversion: <tel:+15550100>;counter={counter}\r\n"));
        calls(&mut world, &mut a, "502");
        match status {
            0 => drop(d.wait_request(&mut world, "INVITE")),
            status => drop(a.wait_status(&mut world, "INVITE", status)),
        }
    }
}

#[test]
fn a_rule_that_leads_nowhere_or_back_is_as_if_it_were_not_there() {
    // Himself, the caller (who has the calls of the one he calls), nobody, an orbit, a code.
    for number in ["502", "501", "999", "700", "*68", "**503", "*80503", "*8"] {
        let (mut world, [mut a, mut b, ..]) = all(&[("502", always(number))]);
        calls(&mut world, &mut a, "502");
        let invite = b.wait_request(&mut world, "INVITE");
        assert!(diversions(&invite).is_empty(), "{number}: {}", invite.0);
        b.respond(&mut world, &invite, 486, "b", "");
        a.wait_status(&mut world, "INVITE", 486);
        nothing_is_left(&mut world);
    }
}

#[test]
fn a_service_answers_what_is_forwarded_to_it() {
    let mut world = World::ordered(1, &[("502", always("*43"))]);
    let [a] = world.add_phones(["501"]);
    world.call(a, "502");
    world.run_for(secs(1));
    assert!(world.hears_itself(a));
    world.quiesce();
}

#[test]
fn who_is_not_to_be_disturbed_is_busy_and_finds_the_call_in_his_history() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", dnd()), ("503", Rules { busy: to("502"), ..dnd() })]);
    assert_eq!(refused(&mut world, &mut a, "502"), 486);
    world.run_for(secs(1));
    assert_eq!(records(&world, "502"), [(HistoryKind::Missed, "501".into(), "busy".into())]);
    // Whoever has said where to, has it sent there: here, to one who is not to be disturbed either.
    assert_eq!(refused(&mut world, &mut a, "503"), 486);
    // An open microphone is a disturbance.
    assert_eq!(refused(&mut world, &mut a, "*80502"), 486);
    is_silent(&mut world, &mut b);
    is_silent(&mut world, &mut c);
    nothing_is_left(&mut world);
}

#[test]
fn do_not_disturb_goes_the_way_of_busy() {
    let (mut world, [mut a, _, mut c, _]) = all(&[("502", Rules { busy: to("503"), ..dnd() })]);
    calls(&mut world, &mut a, "502");
    let invite = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&invite), ["502 do-not-disturb"]);
    c.respond(&mut world, &invite, 486, "c", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}

#[test]
fn what_is_a_users_own_rings_whatever_he_has_ordered() {
    let (mut world, [_, mut b, mut c, _]) = all(&[("502", Rules { always: to("504"), ..dnd() })]);
    let client = world.log_in("502");
    // A call that his client makes.
    assert_eq!(tel(&mut world, client, "make-call", &json!({"dest": "503"}))["error"], 0);
    answers(&mut world, &mut b);
    answers(&mut world, &mut c);
    world.run_for(secs(1));
    // What he has parked, and nobody has got.
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = tel(&mut world, client, "park", &json!({"call-id": call}));
    assert_eq!(reply["error"], 0, "{reply}");
    let bye = b.wait_request(&mut world, "BYE");
    b.respond(&mut world, &bye, 200, "", "");
    is_shown(&mut world, &mut c, "700");
    world.run_for(secs(55));
    let recall = b.wait_request(&mut world, "INVITE");
    assert!(recall.header("From").contains("Recall 700"), "{}", recall.0);
    // And the second of his telephones, from the first.
    b.respond(&mut world, &recall, 486, "b", "");
    let mut second = Template::new("502", 20);
    second.register(&mut world);
    assert_eq!(refused(&mut world, &mut second, "502"), 486, "all his telephones are one device, which calls itself");
}

#[test]
fn an_intercom_is_for_the_one_who_is_called_and_nobody_else() {
    let rules = Rules { busy: to("503"), ring_also: numbers(&["503"]), ..always("504") };
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&[("502", rules)]);
    calls(&mut world, &mut a, "*80502");
    let invite = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &invite, 486, "b", "");
    a.wait_status(&mut world, "INVITE", 486);
    is_silent(&mut world, &mut c);
    is_silent(&mut world, &mut d);
    nothing_is_left(&mut world);
}

#[test]
fn telephones_of_others_ring_at_once_and_the_first_to_answer_has_the_call() {
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&[("502", ring_also(&["503", "504"]))]);
    let [client_a, client_b, client_c] = ["501", "502", "503"].map(|user| world.log_in(user));
    calls(&mut world, &mut a, "502");
    let [rung_b, rung_c] = [&mut b, &mut c].map(|phone| phone.wait_request(&mut world, "INVITE"));
    assert!(diversions(&rung_b).is_empty());
    assert_eq!(diversions(&rung_c), ["502 follow-me"]);
    assert!(rung_c.header("From").contains("<sip:501@"), "{}", rung_c.0);
    // The caller is told once that it rings, wherever it does.
    c.respond(&mut world, &rung_c, 180, "c", "");
    a.wait_status(&mut world, "INVITE", 180);
    b.respond(&mut world, &rung_b, 180, "b", "");
    let rung_d = rings(&mut world, &mut d);
    world.run_for(secs(1));
    assert!(a.hear(&mut world).iter().all(|sip| sip.status() <= 100));
    assert_eq!(world.calls(client_a)[0]["state"], "ringing");
    for client in [client_b, client_c] {
        assert_eq!(world.calls(client)[0]["state"], "offering");
        assert_eq!(world.calls(client)[0]["parties"][1][0], "501");
    }
    world.check();
    c.respond(&mut world, &rung_c, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    for (phone, rung) in [(&mut b, &rung_b), (&mut d, &rung_d)] {
        let cancel = stops(&mut world, phone, rung);
        assert!(cancel.header("Reason").contains("Call completed elsewhere"), "not missed: {}", cancel.0);
    }
    let mut a = is_answered_by(&mut world, &mut a, "503");
    world.run_for(secs(1));
    world.check();
    assert_eq!(world.calls(client_c)[0]["state"], "connected");
    assert!(world.calls(client_b).is_empty());
    a.hangs_up(&mut world);
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
    // It was answered: nobody has missed it.
    let elsewhere = || (HistoryKind::Received, "501".to_owned(), "answered-elsewhere".to_owned());
    assert_eq!(records(&world, "502"), [elsewhere()]);
    assert_eq!(records(&world, "504"), [elsewhere()]);
    assert_eq!(records(&world, "503"), [(HistoryKind::Received, "501".into(), "normal".into())]);
}

#[test]
fn the_own_telephone_answers_and_the_others_stop() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", ring_also(&["503"]))]);
    calls(&mut world, &mut a, "502");
    let rung = c.wait_request(&mut world, "INVITE");
    c.respond(&mut world, &rung, 180, "c", "");
    answers(&mut world, &mut b);
    stops(&mut world, &mut c, &rung);
    is_answered_by(&mut world, &mut a, "502").hangs_up(&mut world);
    let bye = b.wait_request(&mut world, "BYE");
    b.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

/// Those of whom each rings with the other; one twice; the caller, who is there already; nobody; and one who wants no calls.
#[test]
fn nobody_rings_twice_or_without_wanting_to() {
    let rules = [
        ("502", ring_also(&["503", "502", "501", "503", "999", "*43", "504"])),
        ("503", ring_also(&["502", "504"])),
        ("504", dnd()),
    ];
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&rules);
    calls(&mut world, &mut a, "502");
    let rung = [&mut b, &mut c].map(|phone| phone.wait_request(&mut world, "INVITE"));
    world.run_for(secs(1));
    let repeated = |phone: &mut Template, world: &mut World, first: &Sip| {
        phone.hear(world).iter().all(|sip| sip.header("Call-ID") == first.header("Call-ID"))
    };
    assert!(repeated(&mut b, &mut world, &rung[0]) && repeated(&mut c, &mut world, &rung[1]));
    is_silent(&mut world, &mut a);
    is_silent(&mut world, &mut d);
    // His own phones decide what has come of it; the last of all of them, when.
    b.respond(&mut world, &rung[0], 486, "b", "");
    world.run_for(secs(1));
    assert!(a.hear(&mut world).iter().all(|sip| sip.status() < 300));
    c.respond(&mut world, &rung[1], 603, "c", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}

#[test]
fn a_caller_who_gives_up_silences_everybody() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", ring_also(&["503"]))]);
    let invite = calls(&mut world, &mut a, "502");
    let rung = [&mut b, &mut c].map(|phone| phone.wait_request(&mut world, "INVITE"));
    for (phone, rung) in [&mut b, &mut c].into_iter().zip(&rung) {
        phone.respond(&mut world, rung, 180, "x", "");
    }
    a.wait_status(&mut world, "INVITE", 180);
    a.cancel(&mut world, &invite);
    for (phone, rung) in [&mut b, &mut c].into_iter().zip(&rung) {
        stops(&mut world, phone, rung);
    }
    a.wait_status(&mut world, "INVITE", 487);
    nothing_is_left(&mut world);
}

#[test]
fn who_is_looked_for_rings_elsewhere_after_his_rings_and_is_forwarded_after_as_many_again() {
    let rules = Rules { find_me: numbers(&["503"]), ..no_answer(2, "504") };
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&[("502", rules)]);
    calls(&mut world, &mut a, "502");
    let rung_b = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &rung_b, 180, "b", "");
    world.run_for(RING * 2 - secs(1));
    is_silent(&mut world, &mut c);
    let rung_c = c.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung_c), ["502 follow-me"]);
    c.respond(&mut world, &rung_c, 180, "c", "");
    world.run_for(RING * 2 - secs(1));
    assert!(b.hear(&mut world).is_empty(), "his own telephone rings on");
    is_silent(&mut world, &mut d);
    stops(&mut world, &mut b, &rung_b);
    stops(&mut world, &mut c, &rung_c);
    let rung_d = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung_d), ["502 no-answer"]);
    answers_now(&mut world, &mut d, &rung_d);
    is_answered_by(&mut world, &mut a, "504").hangs_up(&mut world);
    let bye = d.wait_request(&mut world, "BYE");
    d.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
    assert_eq!(records(&world, "502"), [(HistoryKind::Missed, "501".into(), "forwarded".into())]);
}

fn answers_now(world: &mut World, phone: &mut Template, invite: &Sip) {
    phone.respond(world, invite, 200, "y", &phone.sdp());
    phone.wait_request(world, "ACK");
}

#[test]
fn who_is_not_there_is_looked_for_at_once() {
    let mut world = World::ordered(1, &[("502", Rules { find_me: numbers(&["503"]), ..not_registered("504") })]);
    let [mut a, mut c, mut d] = registered(&mut world, ["501", "503", "504"]);
    calls(&mut world, &mut a, "502");
    let rung = c.wait_request(&mut world, "INVITE");
    // What it plays is not heard, but that it rings is told.
    c.respond(&mut world, &rung, 183, "c", &c.sdp());
    a.wait_status(&mut world, "INVITE", 180);
    c.respond(&mut world, &rung, 486, "c", "");
    let rung = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung), ["502 unavailable"]);
    answers_now(&mut world, &mut d, &rung);
    is_answered_by(&mut world, &mut a, "504").hangs_up(&mut world);
}

#[test]
fn who_is_busy_is_not_looked_for() {
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", find_me(&["503"]))]);
    calls(&mut world, &mut a, "502");
    let rung = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &rung, 486, "b", "");
    a.wait_status(&mut world, "INVITE", 486);
    is_silent(&mut world, &mut c);
}

/// The network loses what it can: who is found hears the caller, and all others are at rest.
#[test]
fn who_is_found_over_a_bad_network_is_heard() {
    for seed in 0..8 {
        let rules = Rules { find_me: numbers(&["503", "504"]), ring_also: numbers(&["504"]), ..no_answer(1, "*43") };
        let mut world = World::ordered(seed, &[("502", rules)]);
        let [a] = world.add_phones(["501"]);
        let [b, c, d] = [("502", Behaviour::Ring), ("503", Behaviour::Answer(secs(2))), ("504", Behaviour::Ring)].map(
            |(user, behaviour)| {
                let phone = world.add_phone(Handset { behaviour, ..Handset::of(user) });
                world.register(phone);
                phone
            },
        );
        world.run_for(secs(1));
        world.set_weather(Weather { lost: 15, ..Weather::CALM });
        assert!(world.call(a, "502"));
        world.run_for(RING + secs(20));
        world.set_weather(Weather::CALM);
        world.run_for(secs(40));
        if world.phone(c).status() == (Status::Talking { held: false }) {
            assert!(world.hear_each_other(a, c), "seed {seed}");
        }
        world.check();
        for phone in [b, d] {
            assert_eq!(world.phone(phone).status(), Status::Idle, "seed {seed}");
        }
        world.quiesce();
    }
}

#[test]
fn who_is_found_is_heard_and_shown() {
    let mut world = World::ordered(3, &[("502", ring_also(&["503"]))]);
    let [a, c] = world.add_phones(["501", "503"]);
    let b = world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of("502") });
    world.register(b);
    world.run_for(secs(1));
    assert!(world.call(a, "502"));
    world.run_for(secs(3));
    assert!(world.hear_each_other(a, c));
    assert_eq!(world.phone(b).status(), Status::Idle);
    world.hang_up(c);
    world.run_for(secs(1));
    assert_eq!(world.ended(a), Some(End::There));
    world.quiesce();
}

#[test]
fn what_rings_in_anothers_place_may_be_picked_up_sent_on_or_dropped() {
    // Picked up by the caller of a third telephone.
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&[("502", ring_also(&["503"]))]);
    calls(&mut world, &mut a, "502");
    let rung = [&mut b, &mut c].map(|phone| rings(&mut world, phone));
    let (mut picker, ok) = tests::calls::dials(&mut world, &mut d, "**503");
    assert!(ok.header("P-Asserted-Identity").contains("<sip:501@"), "{}", ok.0);
    for (phone, rung) in [&mut b, &mut c].into_iter().zip(&rung) {
        stops(&mut world, phone, rung);
    }
    is_answered_by(&mut world, &mut a, "504");
    world.check();
    picker.hangs_up(&mut world);
    a.wait_request(&mut world, "BYE");
    // Sent on by the client of the one who is rung: not to whom it rings for.
    let (mut world, [mut a, mut b, mut c, mut d]) = all(&[("502", ring_also(&["503"])), ("504", always("502"))]);
    let client = world.log_in("503");
    calls(&mut world, &mut a, "502");
    let rung = [&mut b, &mut c].map(|phone| rings(&mut world, phone));
    let call = world.calls(client)[0]["call-id"].clone();
    assert_eq!(tel(&mut world, client, "redirect", &json!({"call-id": call, "dest": "502"}))["error"], 5);
    assert_eq!(tel(&mut world, client, "redirect", &json!({"call-id": call, "dest": "504"}))["error"], 0);
    stops(&mut world, &mut c, &rung[1]);
    let rung_d = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung_d), ["503 deflection", "502 follow-me"]);
    answers_now(&mut world, &mut d, &rung_d);
    stops(&mut world, &mut b, &rung[0]);
    is_answered_by(&mut world, &mut a, "504").hangs_up(&mut world);
    // Dropped by that client: it rings on for the one who was called.
    let (mut world, [mut a, mut b, mut c, _]) = all(&[("502", ring_also(&["503"]))]);
    let client = world.log_in("503");
    calls(&mut world, &mut a, "502");
    let rung = [&mut b, &mut c].map(|phone| rings(&mut world, phone));
    let call = world.calls(client)[0]["call-id"].clone();
    assert_eq!(tel(&mut world, client, "drop", &json!({"call-id": call}))["error"], 0);
    stops(&mut world, &mut c, &rung[1]);
    answers_now(&mut world, &mut b, &rung[0]);
    is_answered_by(&mut world, &mut a, "502").hangs_up(&mut world);
}

#[test]
fn a_call_that_was_forwarded_may_be_sent_on_by_a_client_within_its_limits() {
    let (mut world, [mut a, _, mut c, mut d]) = all(&[("502", always("503"))]);
    let client = world.log_in("503");
    calls(&mut world, &mut a, "502");
    let rung = rings(&mut world, &mut c);
    let call = world.calls(client)[0]["call-id"].clone();
    let actions = world.calls(client)[0]["actions"].clone();
    assert!(actions.as_array().unwrap().contains(&json!("redirect")), "{actions}");
    assert_eq!(tel(&mut world, client, "redirect", &json!({"call-id": call, "dest": "502"}))["error"], 5);
    assert_eq!(tel(&mut world, client, "redirect", &json!({"call-id": call, "dest": "504"}))["error"], 0);
    stops(&mut world, &mut c, &rung);
    let rung = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung), ["503 deflection", "502 unconditional"]);
    d.respond(&mut world, &rung, 486, "d", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}

#[test]
fn who_is_transferred_to_somebody_is_forwarded_by_his_rules_and_comes_back_where_nobody_is() {
    let (mut world, [a, b, mut c, mut d]) = all(&[("503", no_answer(1, "504"))]);
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    assert_eq!(b.refer(&mut world, &format!("sip:503@{DOMAIN}")).status(), 202);
    b.is_notified(&mut world, 100);
    let rung = rings(&mut world, &mut c);
    stops(&mut world, &mut c, &rung);
    let rung = d.wait_request(&mut world, "INVITE");
    assert_eq!(diversions(&rung), ["503 no-answer"]);
    d.respond(&mut world, &rung, 486, "d", "");
    b.is_notified(&mut world, 486);
    world.run_for(secs(1));
    world.check();
    a.hangs_up(&mut world);
    b.is_hung_up(&mut world);
    nothing_is_left(&mut world);
}

#[test]
fn a_consultation_that_rings_elsewhere_is_completed_before_the_answer() {
    let (mut world, [a, b, mut c, mut d]) =
        all(&[("503", Rules { find_me: numbers(&["504"]), ..no_answer(1, "*43") })]);
    let client = world.log_in("502");
    let (mut a, mut b) = talking(&mut world, a, b, "502");
    let first = world.calls(client)[0]["call-id"].clone();
    let body = b.template.sdp();
    b.template.call(&mut world, "503", &body);
    let rung_c = rings(&mut world, &mut c);
    let rung_d = d.wait_request(&mut world, "INVITE");
    let calls = world.calls(client);
    let second = calls.iter().map(|call| call["call-id"].clone()).find(|id| *id != first).unwrap();
    let reply = tel(&mut world, client, "complete-transfer", &json!({"call-id": first, "with": second}));
    assert_eq!(reply["error"], 0, "{reply}");
    a.is_shown(&mut world, "503");
    world.check();
    answers_now(&mut world, &mut d, &rung_d);
    stops(&mut world, &mut c, &rung_c);
    a.is_shown(&mut world, "504");
    b.is_hung_up(&mut world);
    let shown = d.wait_request(&mut world, "INVITE");
    assert!(shown.header("P-Asserted-Identity").contains("<sip:501@"), "{}", shown.0);
    answers_now(&mut world, &mut d, &shown);
    a.hangs_up(&mut world);
    let bye = d.wait_request(&mut world, "BYE");
    d.respond(&mut world, &bye, 200, "", "");
    nothing_is_left(&mut world);
}

#[test]
fn a_client_calls_whom_only_his_rules_reach_and_is_told_who_answered() {
    let mut world = World::ordered(1, &[("502", always("503")), ("504", find_me(&["503"]))]);
    let [mut a, mut c] = registered(&mut world, ["501", "503"]);
    let client = world.log_in("501");
    for number in ["502", "504"] {
        let reply = tel(&mut world, client, "make-call", &json!({"dest": number}));
        assert_eq!(reply["error"], 0, "{reply}");
        let dialog = answers(&mut world, &mut a);
        answers(&mut world, &mut c);
        is_shown(&mut world, &mut a, "503");
        world.run_for(secs(1));
        let told = world.events_told(client);
        let done = told.iter().find(|event| event["message"] == "tel-completion-evt").unwrap();
        assert_eq!((&done["error"], &done["name"]), (&json!(0), &json!("make-call")), "{done}");
        assert_eq!(world.calls(client)[0]["parties"][1][0], "503");
        world.check();
        hangs_up(&mut world, &mut a, &dialog);
        let bye = c.wait_request(&mut world, "BYE");
        c.respond(&mut world, &bye, 200, "", "");
    }
    nothing_is_left(&mut world);
}

#[test]
fn what_was_ordered_outlives_a_restart() {
    let mut world = World::ordered(1, &[("502", always("503"))]);
    let [a, b, c] = world.add_phones(["501", "502", "503"]);
    world.restart();
    world.run_for(secs(1));
    assert!(world.call(a, "502"));
    world.run_for(secs(3));
    assert!(world.hear_each_other(a, c));
    assert_eq!(world.phone(b).status(), Status::Idle);
    world.quiesce();
}

/// A gateway's number is as good as any.
#[test]
fn a_gateway_is_told_for_whom_the_call_was() {
    let mut world = World::ordered(1, &[("502", always("600"))]);
    let admin = world.log_in("admin");
    let mut gateway = Template::new("600", 11);
    let user = json!({"topic": "config", "message": "add-user", "ext": "600", "name": "Gateway", "password": "pass", "address": gateway.address().to_string()});
    world.execute(admin, user);
    let [mut a] = registered(&mut world, ["501"]);
    calls(&mut world, &mut a, "502");
    let invite = gateway.wait_request(&mut world, "INVITE");
    assert!(invite.0.starts_with("INVITE sip:600@"), "{}", invite.0);
    assert_eq!(diversions(&invite), ["502 unconditional"]);
    gateway.respond(&mut world, &invite, 486, "x", "");
    a.wait_status(&mut world, "INVITE", 486);
    nothing_is_left(&mut world);
}
