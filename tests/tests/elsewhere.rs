//! Telephones that send their callers elsewhere (3xx) or away for a while (503 with Retry-After), and digits by INFO.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::store::HistoryKind;
use serde_json::json;
use tests::template::{Dialog, Sip, Template, sdp};
use tests::world::{DOMAIN, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// 501 calls 502, whose telephone is there; so are those of 503 and 504.
fn ringing(world: &mut World) -> (Template, Template, Sip, Template, Template) {
    let [mut b, mut c, mut d] = [("502", 2), ("503", 3), ("504", 4)].map(|(user, host)| Template::new(user, host));
    for phone in [&mut b, &mut c, &mut d] {
        phone.register(world);
    }
    let mut a = Template::new("501", 1);
    let body = a.sdp();
    a.call(world, "502", &body);
    let invite = b.wait_request(world, "INVITE");
    (a, b, invite, c, d)
}

fn redirect(world: &mut World, phone: &mut Template, invite: &Sip, contacts: &str) {
    let response = format!(
        "SIP/2.0 302 Moved Temporarily\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=x\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: {contacts}\r\nContent-Length: 0\r\n\r\n",
        invite.header("Via"),
        invite.header("From"),
        invite.header("To"),
        invite.header("Call-ID"),
        invite.header("CSeq"),
    );
    phone.say(world, &response);
    phone.wait_request(world, "ACK");
}

#[test]
fn a_telephone_sends_its_callers_on_and_both_users_are_told() {
    let mut world = World::new(1);
    let (mut a, mut b, invite, mut c, _) = ringing(&mut world);
    let [client_a, client_b, client_c] = ["501", "502", "503"].map(|user| world.log_in(user));
    let contacts = format!("<sip:999@elsewhere.example>;q=0.9, <sip:504@{DOMAIN}>;q=0.1, <sip:503@{DOMAIN}>;q=0.7");
    redirect(&mut world, &mut b, &invite, &contacts);
    let next = c.wait_request(&mut world, "INVITE");
    assert_eq!(
        next.header("Diversion"),
        format!("\"First502 Last502\" <sip:502@{DOMAIN}>;reason=deflection"),
        "RFC 5806: {}",
        next.0
    );
    let history = [
        format!("<sip:502@{DOMAIN}?Reason=SIP%3Bcause%3D302>;index=1"),
        format!("<sip:503@{DOMAIN};cause=480>;index=1.1;mp=1"),
    ];
    assert_eq!(next.headers("History-Info"), history, "RFC 7044");
    assert_eq!(invite.header("Diversion").len() + invite.header("History-Info").len(), 0);
    let forwarded = a.wait_status(&mut world, "INVITE", 181);
    assert!(forwarded.header("P-Asserted-Identity").contains("<sip:503@"), "{}", forwarded.0);
    c.respond(&mut world, &next, 180, "c", "");
    a.wait_status(&mut world, "INVITE", 180);
    let told = world.events_told(client_b);
    let ended = told.iter().find(|event| event["message"] == "call-ended-evt").unwrap();
    assert_eq!(ended["cause"], "forwarded", "{told:?}");
    assert!(world.calls(client_b).is_empty());
    assert_eq!(world.calls(client_c)[0]["state"], "offering");
    assert_eq!(world.calls(client_a)[0]["parties"][1][0], "503", "the caller sees whom he gets");
    c.respond(&mut world, &next, 200, "c", &c.sdp());
    c.wait_request(&mut world, "ACK");
    let ok = a.wait_status(&mut world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    a.say_within(&mut world, &dialog, "ACK", 2, "");
    world.check();
    a.say_within(&mut world, &dialog, "BYE", 3, "");
    let bye = c.wait_request(&mut world, "BYE");
    c.respond(&mut world, &bye, 200, "", "");
    world.run_for(secs(40));
    let records = |world: &World, user| {
        world.records_of(user).into_iter().map(|record| (record.kind, record.cause)).collect::<Vec<_>>()
    };
    assert_eq!(records(&world, "502"), [(HistoryKind::Received, "forwarded".to_owned())]);
    assert_eq!(records(&world, "503"), [(HistoryKind::Received, "normal".to_owned())]);
    world.quiesce();
}

#[test]
fn telephones_that_send_callers_in_a_circle_are_followed_once_round() {
    let mut world = World::new(1);
    let (mut a, mut b, invite, mut c, _) = ringing(&mut world);
    redirect(&mut world, &mut b, &invite, &format!("<sip:503@{DOMAIN}>"));
    let next = c.wait_request(&mut world, "INVITE");
    redirect(&mut world, &mut c, &next, &format!("<sip:502@{DOMAIN}>"));
    let refused = a.wait_status(&mut world, "INVITE", 480);
    assert!(!refused.header("Reason").is_empty());
    world.run_for(secs(40));
    world.quiesce();
}

#[test]
fn where_nothing_is_to_be_followed_or_nothing_leads_here_the_caller_is_refused() {
    for (follow, contact) in
        [(false, format!("<sip:503@{DOMAIN}>")), (true, "<sip:503@elsewhere.example>".into()), (true, "*".into())]
    {
        let mut world = World::with(1, |settings| settings.follow_redirects = follow);
        let (mut a, mut b, invite, mut c, _) = ringing(&mut world);
        redirect(&mut world, &mut b, &invite, &contact);
        a.wait_status(&mut world, "INVITE", 480);
        world.run_for(secs(40));
        assert!(c.hear(&mut world).iter().all(|sip| !sip.is("INVITE")), "{contact}");
        world.quiesce();
    }
}

#[test]
fn rfc_3261_section_21_5_4_who_answers_503_is_not_asked_again_before_its_time() {
    let mut world = World::new(1);
    let (mut a, mut b, invite, ..) = ringing(&mut world);
    b.adds("Retry-After: 30 (maintenance);duration=60\r\n");
    b.respond(&mut world, &invite, 503, "b", "");
    b.adds("");
    b.wait_request(&mut world, "ACK");
    a.wait(&mut world, |sip| sip.status() >= 300 && sip.number() == 2);
    let body = a.sdp();
    a.call(&mut world, "502", &body);
    let refused = a.wait_status(&mut world, "INVITE", 503);
    assert!(!refused.header("Retry-After").is_empty());
    assert!(b.hear(&mut world).is_empty());
    world.run_for(secs(30));
    a.call(&mut world, "502", &body);
    let invite = b.wait_request(&mut world, "INVITE");
    b.respond(&mut world, &invite, 486, "b", "");
    a.wait_status(&mut world, "INVITE", 486);
    world.run_for(secs(40));
    world.quiesce();
}

/// The two in a call; the callee takes no telephone-events, and what it allows.
fn talking(allow: &str) -> (World, Template, Dialog, Template) {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    let mut caller = Template::new("501", 1);
    let body = sdp(caller.address(), 4000, "0 8");
    caller.call(&mut world, "502", &body);
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.adds(allow);
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.adds("");
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    (world, caller, dialog, callee)
}

/// An INFO of the caller's, and its answer.
fn inform(world: &mut World, caller: &mut Template, dialog: &Dialog, number: u32, content: &str, body: &str) -> Sip {
    let info = caller.request_within(dialog, "INFO", number, body).0.replace("application/sdp", content);
    caller.say(world, &info);
    caller.wait(world, |sip| sip.method() == "INFO" && sip.number() == number)
}

#[test]
fn digits_by_info_reach_a_telephone_that_knows_info_alone_one_after_the_other() {
    let (mut world, mut caller, dialog, mut callee) = talking("Allow: INVITE, INFO\r\n");
    let ok = inform(&mut world, &mut caller, &dialog, 3, "application/dtmf-relay", "Signal=5\r\nDuration=100\r\n");
    assert_eq!(ok.status(), 200);
    let first = callee.wait_request(&mut world, "INFO");
    assert!(first.body().starts_with("Signal=5\r\n") && first.header("Content-Type") == "application/dtmf-relay");
    // What a client sends goes the same way (S69), and waits for the answer to the one before.
    let client = world.log_in("501");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply =
        world.execute(client, json!({"topic": "tel", "message": "send-digits", "call-id": call, "digits": "1#"}));
    assert_eq!(reply["error"], 0, "{reply}");
    world.run_for(Duration::from_millis(100));
    assert!(callee.hear(&mut world).is_empty());
    callee.respond(&mut world, &first, 200, "", "");
    for digit in ["1", "#"] {
        let info = callee.wait_request(&mut world, "INFO");
        assert!(info.body().starts_with(&format!("Signal={digit}\r\n")), "{}", info.0);
        callee.respond(&mut world, &info, 200, "", "");
    }
    assert_eq!(inform(&mut world, &mut caller, &dialog, 4, "application/dtmf", "*").status(), 200);
    let info = callee.wait_request(&mut world, "INFO");
    assert!(info.body().starts_with("Signal=*\r\n"));
    callee.respond(&mut world, &info, 481, "", "");
    let bye = caller.wait_request(&mut world, "BYE");
    caller.respond(&mut world, &bye, 200, "", "");
    let bye = callee.wait_request(&mut world, "BYE");
    callee.respond(&mut world, &bye, 200, "", "");
    world.run_for(secs(40));
    world.quiesce();
}

#[test]
fn an_info_that_means_nothing_here_is_told_why() {
    let (mut world, mut caller, dialog, callee) = talking("");
    for (content, body, status) in [
        ("application/dtmf-relay", "Signal=5\r\n", 488),
        ("application/dtmf-relay", "Nothing\r\n", 400),
        ("application/media_control+xml", "<x/>", 415),
    ] {
        let number = caller.fresh() + 100;
        assert_eq!(inform(&mut world, &mut caller, &dialog, number, content, body).status(), status, "{body}");
    }
    caller.say_within(&mut world, &dialog, "INFO", 900, "");
    caller.wait_status(&mut world, "INFO", 200);
    caller.adds("Info-Package: foo\r\n");
    caller.say_within(&mut world, &dialog, "INFO", 901, "");
    caller.adds("");
    caller.wait_status(&mut world, "INFO", 469);
    drop(callee);
}
