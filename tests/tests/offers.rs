//! Offer and answer in every order they may come (RFC 3264, RFC 6337): late, within the call by re-INVITE and UPDATE, in bodies of several parts.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::template::{Dialog, Sip, Template, branch, sdp};
use tests::world::{ClientId, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two templates; the callee is registered.
fn pair() -> (World, Template, Template) {
    let mut world = World::new(1);
    let mut callee = Template::new("502", 2);
    callee.register(&mut world);
    (world, Template::new("501", 1), callee)
}

/// The two in a call, each with the dialog it has with the switch.
fn talking() -> (World, (Template, Dialog), (Template, Dialog)) {
    let (mut world, mut caller, mut callee) = pair();
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    world.run_for(secs(1));
    caller.hear(&mut world);
    (world, (caller, dialog), (callee, Dialog::of_callee(&invite, "b")))
}

/// A request of a template's within its dialog, with these further lines, and its final answer.
#[track_caller]
fn ask(world: &mut World, who: &mut (Template, Dialog), method: &str, number: u32, lines: &str, body: &str) -> Sip {
    who.0.adds(lines);
    who.0.say_within(world, &who.1, method, number, body);
    who.0.adds("");
    who.0.wait(world, |sip| sip.status() >= 200 && sip.method() == method && sip.number() == number)
}

#[track_caller]
fn all_hang_up(world: &mut World, who: &mut (Template, Dialog), number: u32, other: &mut Template) {
    assert_eq!(ask(world, who, "BYE", number, "", "").status(), 200);
    let bye = other.wait_request(world, "BYE");
    other.respond(world, &bye, 200, "", "");
    world.run_for(secs(40));
    assert!(world.is_quiet());
    world.quiesce();
}

/// The value after `o=- ID ` and the direction.
fn version(sip: &Sip) -> u64 {
    let origin = sip.body().lines().find_map(|line| line.strip_prefix("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn rfc_3261_section_13_2_1_an_invite_without_an_offer_is_answered_with_one_and_the_ack_answers_it() {
    let (mut world, mut caller, mut callee) = pair();
    caller.call(&mut world, "502", "");
    let invite = callee.wait_request(&mut world, "INVITE");
    assert!(invite.body().contains("m=audio"));
    let body = sdp(callee.address(), 4000, "8 0");
    callee.respond(&mut world, &invite, 200, "b", &body);
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    assert!(ok.body().contains("RTP/AVP 8 0\r\n"), "what the callee has taken is offered, in its order: {}", ok.0);
    // The caller takes one of the two: the callee is told so, or it might speak the other.
    let dialog = Dialog::of_caller(&ok);
    let body = sdp(caller.address(), 4000, "0");
    caller.say_within(&mut world, &dialog, "ACK", 2, &body);
    let offer = callee.wait_request(&mut world, "INVITE");
    assert!(offer.body().contains("RTP/AVP 0\r\n"), "{}", offer.0);
    let body = sdp(callee.address(), 4000, "0");
    callee.respond(&mut world, &offer, 200, "", &body);
    callee.wait_request(&mut world, "ACK");
    world.run_for(secs(2));
    world.check();
    all_hang_up(&mut world, &mut (caller, dialog), 3, &mut callee);
}

#[test]
fn a_late_offer_whose_ack_brings_no_answer_ends_the_call() {
    for body in ["", "v=0\r\no=- 1 1 IN IP4 10.0.2.1\r\ns=-\r\nc=IN IP4 10.0.2.1\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n"] {
        let (mut world, mut caller, mut callee) = pair();
        caller.call(&mut world, "502", "");
        let invite = callee.wait_request(&mut world, "INVITE");
        callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
        callee.wait_request(&mut world, "ACK");
        let ok = caller.wait_status(&mut world, "INVITE", 200);
        caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, body);
        for phone in [&mut caller, &mut callee] {
            let bye = phone.wait_request(&mut world, "BYE");
            assert!(bye.header("Reason").contains("cause=88"), "{}", bye.0);
            phone.respond(&mut world, &bye, 200, "", "");
        }
        world.run_for(secs(40));
        world.quiesce();
    }
}

#[test]
fn rfc_3261_section_14_2_a_reinvite_without_an_offer_gets_all_that_the_call_can() {
    let (mut world, mut caller, mut callee) = talking();
    let ok = ask(&mut world, &mut caller, "INVITE", 3, "", "");
    assert!(ok.status() == 200 && ok.body().contains("RTP/AVP 0 8\r\n"), "{}", ok.0);
    // While our offer waits for its answer, no other may be made (§14.1, RFC 3311 §5.2).
    let body = caller.0.sdp();
    assert_eq!(ask(&mut world, &mut caller, "UPDATE", 4, "", &body).status(), 491);
    assert_eq!(ask(&mut world, &mut caller, "INVITE", 5, "", &body).status(), 491);
    let held = format!("{}a=sendonly\r\n", caller.0.sdp());
    caller.0.say_within(&mut world, &caller.1, "ACK", 3, &held);
    world.run_for(secs(1));
    let client = world.log_in("501");
    assert_eq!(world.calls(client)[0]["state"], "held", "the answer in the ACK counts");
    all_hang_up(&mut world, &mut caller, 6, &mut callee.0);
}

#[test]
fn rfc_3311_an_update_changes_the_session_and_is_no_invite() {
    let (mut world, mut caller, mut callee) = talking();
    let body = caller.0.sdp();
    let before = ask(&mut world, &mut caller, "UPDATE", 3, "", &body);
    assert_eq!((before.status(), before.header("Contact").is_empty()), (200, false));
    let held = format!("{}a=sendonly\r\n", caller.0.sdp());
    let ok = ask(&mut world, &mut caller, "UPDATE", 4, "", &held);
    assert!(ok.body().contains("a=recvonly"), "{}", ok.0);
    assert_eq!(version(&ok), version(&before) + 1, "RFC 3264 §8: the version counts the changes");
    let client = world.log_in("501");
    assert_eq!(world.calls(client)[0]["state"], "held");
    let again = ask(&mut world, &mut caller, "UPDATE", 5, "", &held);
    assert_eq!(version(&again), version(&ok), "nothing has changed");
    let empty = ask(&mut world, &mut caller, "UPDATE", 6, "", "");
    assert_eq!((empty.status(), empty.body()), (200, ""), "only a refresh");
    let nothing = sdp(caller.0.address(), 4000, "99");
    assert_eq!(ask(&mut world, &mut caller, "UPDATE", 7, "", &nothing).status(), 488);
    assert_eq!(world.calls(client)[0]["state"], "held", "a refused offer changes nothing");
    all_hang_up(&mut world, &mut callee, 9, &mut caller.0);
}

#[test]
fn rfc_3311_an_update_before_the_answer_is_taken_once_the_first_offer_has_its_answer() {
    let (mut world, mut caller, mut callee) = pair();
    caller.adds("Supported: 100rel\r\n");
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.respond(&mut world, &invite, 180, "b", "");
    let ringing = caller.wait_status(&mut world, "INVITE", 180);
    let mut caller = (caller, Dialog::of_caller(&ringing));
    let refused = ask(&mut world, &mut caller, "UPDATE", 3, "", &body);
    assert!(refused.status() == 500 && !refused.header("Retry-After").is_empty(), "{}", refused.0);
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    let progress = caller.0.wait_status(&mut world, "INVITE", 183);
    // The answer may have been lost: it counts from its PRACK on.
    assert_eq!(ask(&mut world, &mut caller, "UPDATE", 4, "", &body).status(), 500);
    let rack = format!("RAck: {} 2 INVITE\r\n", progress.header("RSeq"));
    assert_eq!(ask(&mut world, &mut caller, "PRACK", 5, &rack, "").status(), 200);
    let moved = sdp(caller.0.address(), 4200, "8");
    let ok = ask(&mut world, &mut caller, "UPDATE", 6, "", &moved);
    assert!(ok.status() == 200 && ok.body().contains("RTP/AVP 8\r\n"), "{}", ok.0);
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    caller.0.wait_status(&mut world, "INVITE", 200);
    caller.0.say_within(&mut world, &caller.1, "ACK", 2, "");
    // The callee might speak what the caller no longer takes: it is offered what is left.
    let offer = callee.wait_request(&mut world, "INVITE");
    assert!(offer.body().contains("RTP/AVP 8\r\n"), "{}", offer.0);
    callee.respond(&mut world, &offer, 200, "", &sdp(callee.address(), 4000, "8"));
    callee.wait_request(&mut world, "ACK");
    all_hang_up(&mut world, &mut caller, 7, &mut callee);
}

#[test]
fn a_client_s_hold_outlives_an_offer_of_the_switch_s_own() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = world.execute(client, serde_json::json!({"topic": "tel", "message": "hold", "call-id": call}));
    assert_eq!(reply["error"], 0, "{reply}");
    let held = callee.0.wait_request(&mut world, "INVITE");
    // Meanwhile the other takes fewer codecs, of which the held one is to be told.
    let only = sdp(caller.0.address(), 4000, "8");
    assert_eq!(ask(&mut world, &mut caller, "INVITE", 3, "", &only).status(), 200);
    caller.0.say_within(&mut world, &caller.1, "ACK", 3, "");
    let inactive = format!("{}a=inactive\r\n", callee.0.sdp());
    callee.0.respond(&mut world, &held, 200, "", &inactive);
    let fewer = callee.0.wait(&mut world, |sip| sip.is("INVITE") && sip.number() > held.number());
    assert!(fewer.body().contains("RTP/AVP 8\r\n") && fewer.body().contains("a=inactive"), "{}", fewer.0);
    let inactive = format!("{}a=inactive\r\n", sdp(callee.0.address(), 4000, "8"));
    callee.0.respond(&mut world, &fewer, 200, "", &inactive);
    callee.0.wait_request(&mut world, "ACK");
    assert_eq!(world.calls(client)[0]["state"], "held");
    all_hang_up(&mut world, &mut caller, 4, &mut callee.0);
}

#[test]
fn a_called_telephone_may_update_its_early_session() {
    let (mut world, mut caller, mut callee) = pair();
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let invite = callee.wait_request(&mut world, "INVITE");
    callee.adds("Require: 100rel\r\nRSeq: 1\r\n");
    callee.respond(&mut world, &invite, 183, "b", &callee.sdp());
    callee.adds("");
    let prack = callee.wait_request(&mut world, "PRACK");
    callee.respond(&mut world, &prack, 200, "b", "");
    let mut callee = (callee, Dialog::of_callee(&invite, "b"));
    let moved = sdp(callee.0.address(), 4300, "8");
    let ok = ask(&mut world, &mut callee, "UPDATE", 1, "", &moved);
    assert!(ok.status() == 200 && ok.body().contains("RTP/AVP 8\r\n"), "{}", ok.0);
    // Of a dialog nobody has heard of.
    let mut stranger = (callee.0.at_port(5099), Dialog::of_callee(&invite, "other"));
    assert_eq!(ask(&mut world, &mut stranger, "UPDATE", 1, "", "").status(), 481);
    callee.0.respond(&mut world, &invite, 486, "b", "");
    caller.wait_status(&mut world, "INVITE", 486);
    world.run_for(secs(40));
    world.quiesce();
}

#[test]
fn a_telephone_that_changes_its_codecs_in_mid_call_is_not_left_with_what_it_cannot_hear() {
    let (mut world, mut caller, mut callee) = talking();
    let only = sdp(caller.0.address(), 4000, "8");
    assert_eq!(ask(&mut world, &mut caller, "INVITE", 3, "", &only).status(), 200);
    caller.0.say_within(&mut world, &caller.1, "ACK", 3, "");
    let offer = callee.0.wait_request(&mut world, "INVITE");
    assert!(offer.body().contains("RTP/AVP 8\r\n"), "{}", offer.0);
    callee.0.respond(&mut world, &offer, 200, "", &sdp(callee.0.address(), 4000, "8"));
    callee.0.wait_request(&mut world, "ACK");
    all_hang_up(&mut world, &mut caller, 4, &mut callee.0);
}

#[test]
fn every_m_line_is_answered_and_only_the_sound_is_taken() {
    let (mut world, mut caller, mut callee) = pair();
    let body = format!(
        "{}a=ice-lite\r\na=crypto:1 x\r\na=rtpmap:0 PCMU/8000\r\nm=video 5000 RTP/AVP 34\r\nm=audio 6000 RTP/AVP 0\r\nm=image 7000 udptl t38\r\n",
        caller.sdp()
    );
    caller.call(&mut world, "502", &body);
    let invite = callee.wait_request(&mut world, "INVITE");
    assert_eq!(invite.body().matches("m=").count(), 1, "{}", invite.0);
    callee.respond(&mut world, &invite, 200, "b", &callee.sdp());
    callee.wait_request(&mut world, "ACK");
    let ok = caller.wait_status(&mut world, "INVITE", 200);
    let lines: Vec<&str> = ok.body().lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines[1..], ["m=video 0 RTP/AVP 34", "m=audio 0 RTP/AVP 0", "m=image 0 udptl t38"]);
    for unknown in ["crypto", "ice-lite", "speex"] {
        assert!(!ok.body().contains(unknown) && !invite.body().contains(unknown), "{unknown}");
    }
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(&mut world, &dialog, "ACK", 2, "");
    all_hang_up(&mut world, &mut (caller, dialog), 3, &mut callee);
}

/// An INVITE with these lines instead of its Content-Type, and its final answer.
#[track_caller]
fn answer_to(lines: &str, body: &str) -> (Sip, bool) {
    let (mut world, mut caller, mut callee) = pair();
    let invite = caller.invite_lines("502");
    let uri = format!("sip:502@{}", tests::world::DOMAIN);
    caller.say(
        &mut world,
        &caller.request_with_branch("INVITE", &uri, "z9hG4bKfirst", &format!("{invite}CSeq: 1 INVITE\r\n"), ""),
    );
    let challenge = caller.wait_status(&mut world, "INVITE", 401);
    let nonce = challenge.quoted("WWW-Authenticate", "nonce").to_owned();
    let authorization = caller.authorization("INVITE", &caller.secret(), &nonce, Some(1));
    let lines = format!("{invite}CSeq: 2 INVITE\r\n{authorization}{lines}");
    let second = caller.request_with_branch("INVITE", &uri, "z9hG4bKsecond", &lines, body);
    // The lines say themselves what the body is.
    let second = Sip(second.replacen("Content-Type: application/sdp\r\nContent-Length", "Content-Length", 1));
    assert_eq!(branch(&second), "z9hG4bKsecond");
    caller.say(&mut world, &second.0);
    world.run_for(secs(1));
    let rung = callee.hear(&mut world).into_iter().find(|sip| sip.is("INVITE"));
    if let Some(rung) = &rung {
        callee.respond(&mut world, rung, 486, "b", "");
    }
    let refused = caller.wait(&mut world, |sip| sip.status() >= 300 && sip.method() == "INVITE");
    caller.acknowledge_refusal(&mut world, &second, &refused);
    world.run_for(secs(40));
    world.quiesce();
    (refused, rung.is_some())
}

#[test]
fn rfc_3261_section_8_2_3_a_body_of_several_parts_is_read_and_one_that_cannot_be_says_what_can() {
    let offer = Template::new("501", 1).sdp();
    let part = |disposition: &str| {
        format!(
            "--b\r\nContent-Type: x/y\r\n{disposition}\r\n?\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{offer}--b--\r\n"
        )
    };
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n";
    let (busy, rung) = answer_to(mixed, &part(""));
    assert_eq!((busy.status(), rung), (486, true), "the offer was found: {}", busy.0);
    let (refused, rung) = answer_to(mixed, &part("Content-Disposition: x; handling=required\r\n"));
    assert_eq!((refused.status(), rung), (415, false));
    assert!(refused.header("Accept").contains("application/sdp"), "{}", refused.0);
    let (refused, _) = answer_to("Content-Type: text/plain\r\n", "hello");
    assert_eq!(refused.status(), 415);
    let (refused, _) = answer_to("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", &offer);
    assert_eq!((refused.status(), refused.header("Accept-Encoding")), (415, "identity"));
    let (refused, _) = answer_to("Content-Type: application/sdp\r\nAccept: text/plain\r\n", &offer);
    assert_eq!(refused.status(), 406);
    let (refused, _) = answer_to("Content-Type: multipart/mixed\r\n", &offer);
    assert_eq!(refused.status(), 400);
    let (busy, rung) =
        answer_to("Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n", "hello");
    assert_eq!((busy.status(), rung), (486, true), "an INVITE without an offer");
}

#[test]
fn rfc_3261_section_8_2_2_3_an_extension_that_is_not_known_is_named() {
    let offer = Template::new("501", 1).sdp();
    let (refused, _) = answer_to("Require: 100rel, foo, timer, bar\r\nContent-Type: application/sdp\r\n", &offer);
    assert_eq!((refused.status(), refused.header("Unsupported")), (420, "foo, bar"));
}

/// What a client asks of the one call of its user; the reply.
#[track_caller]
fn client_asks(world: &mut World, client: ClientId, message: &str) -> Value {
    let call = world.calls(client)[0]["call-id"].clone();
    let reply = world.execute(client, json!({"topic": "tel", "message": message, "call-id": call}));
    assert_eq!(reply["error"], 0, "{reply}");
    reply
}

#[test]
fn a_200_that_comes_again_does_not_answer_the_next_offer() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let hold = client_asks(&mut world, client, "hold");
    let first = callee.0.wait_request(&mut world, "INVITE");
    let answer = format!("{}a=inactive\r\n", callee.0.sdp());
    callee.0.respond(&mut world, &first, 200, "", &answer);
    callee.0.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &hold["response"])["error"], 0);
    let unhold = client_asks(&mut world, client, "unhold");
    let second = callee.0.wait_request(&mut world, "INVITE");
    // Its ACK was lost.
    callee.0.respond(&mut world, &first, 200, "", &answer);
    let ack = callee.0.wait_request(&mut world, "ACK");
    assert_eq!(ack.number(), first.number());
    assert_eq!(world.calls(client)[0]["state"], "held", "nobody has answered the second");
    let body = sdp(callee.0.address(), 4000, "0");
    assert_eq!(ask(&mut world, &mut callee, "INVITE", 7, "", &body).status(), 491);
    let body = callee.0.sdp();
    callee.0.respond(&mut world, &second, 200, "", &body);
    assert_eq!(world.completion(client, &unhold["response"])["error"], 0);
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

#[test]
fn rfc_3261_section_14_2_a_phone_that_is_in_the_middle_of_something_is_offered_anew() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let hold = client_asks(&mut world, client, "hold");
    let first = callee.0.wait_request(&mut world, "INVITE");
    callee.0.adds("Retry-After: 2\r\n");
    callee.0.respond(&mut world, &first, 500, "", "");
    callee.0.adds("");
    callee.0.wait_request(&mut world, "ACK");
    world.run_for(Duration::from_millis(1900));
    assert!(callee.0.hear(&mut world).iter().all(|sip| !sip.is("INVITE")), "it is left alone for so long");
    let again = callee.0.wait_request(&mut world, "INVITE");
    assert_eq!(again.number(), first.number() + 1);
    let body = format!("{}a=inactive\r\n", callee.0.sdp());
    callee.0.respond(&mut world, &again, 200, "", &body);
    assert_eq!(world.completion(client, &hold["response"])["error"], 0);
    // One that says it is out of order for longer, or not for how long, is not asked again.
    let unhold = client_asks(&mut world, client, "unhold");
    let refused = callee.0.wait_request(&mut world, "INVITE");
    callee.0.respond(&mut world, &refused, 500, "", "");
    assert_eq!(world.completion(client, &unhold["response"])["error"], 25);
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

#[test]
fn what_one_phone_leaves_of_an_offer_of_ours_the_other_is_told() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    client_asks(&mut world, client, "hold");
    let offer = callee.0.wait_request(&mut world, "INVITE");
    assert!(offer.body().contains("RTP/AVP 0 8\r\n"), "{}", offer.0);
    let body = format!("{}a=inactive\r\n", sdp(callee.0.address(), 4000, "8"));
    callee.0.respond(&mut world, &offer, 200, "", &body);
    let told = caller.0.wait_request(&mut world, "INVITE");
    assert!(told.body().contains("RTP/AVP 8\r\n"), "{}", told.0);
    let body = sdp(caller.0.address(), 4000, "8");
    caller.0.respond(&mut world, &told, 200, "", &body);
    caller.0.wait_request(&mut world, "ACK");
    world.run_for(secs(1));
    world.check();
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

#[test]
fn who_answers_silence_with_silence_does_not_hold() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let hold = client_asks(&mut world, client, "hold");
    let offer = callee.0.wait_request(&mut world, "INVITE");
    let silent = format!("{}a=inactive\r\n", callee.0.sdp());
    callee.0.respond(&mut world, &offer, 200, "", &silent);
    callee.0.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &hold["response"])["error"], 0);
    // The telephone has the switch offer, which is silence, and its ACK answers that.
    let ok = ask(&mut world, &mut callee, "INVITE", 7, "", "");
    assert!(ok.body().contains("a=inactive"), "{}", ok.0);
    callee.0.say_within(&mut world, &callee.1, "ACK", 7, &silent);
    let unhold = client_asks(&mut world, client, "unhold");
    let offer = callee.0.wait_request(&mut world, "INVITE");
    let body = callee.0.sdp();
    callee.0.respond(&mut world, &offer, 200, "", &body);
    callee.0.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &unhold["response"])["error"], 0);
    assert_eq!(world.calls(client)[0]["state"], "connected");
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

#[test]
fn who_answers_the_switchs_offer_with_sound_holds_no_longer() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let holding = format!("{}a=sendonly\r\n", callee.0.sdp());
    let ok = ask(&mut world, &mut callee, "INVITE", 7, "", &holding);
    assert!(ok.body().contains("a=recvonly"), "{}", ok.0);
    callee.0.say_within(&mut world, &callee.1, "ACK", 7, "");
    world.run_for(secs(1));
    assert_eq!(world.calls(client)[0]["state"], "held");
    for (asks, attribute) in [("hold", "a=inactive\r\n"), ("unhold", "a=sendrecv\r\n")] {
        let asked = client_asks(&mut world, client, asks);
        let offer = callee.0.wait_request(&mut world, "INVITE");
        let body = format!("{}{attribute}", callee.0.sdp());
        callee.0.respond(&mut world, &offer, 200, "", &body);
        callee.0.wait_request(&mut world, "ACK");
        assert_eq!(world.completion(client, &asked["response"])["error"], 0);
    }
    assert_eq!(world.calls(client)[0]["state"], "connected");
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

/// RFC 3264 §8.4, RFC 4028 §7.4.
#[test]
fn the_resume_key_takes_back_what_a_client_has_put_on_hold_and_a_refresh_does_not() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let hold = client_asks(&mut world, client, "hold");
    let offer = callee.0.wait_request(&mut world, "INVITE");
    let silent = format!("{}a=inactive\r\n", callee.0.sdp());
    callee.0.respond(&mut world, &offer, 200, "", &silent);
    callee.0.wait_request(&mut world, "ACK");
    assert_eq!(world.completion(client, &hold["response"])["error"], 0);
    let ok = ask(&mut world, &mut callee, "INVITE", 7, "", &silent);
    assert!(ok.body().contains("a=inactive"), "{}", ok.0);
    callee.0.say_within(&mut world, &callee.1, "ACK", 7, "");
    assert_eq!(world.calls(client)[0]["state"], "held");
    let body = callee.0.sdp();
    let ok = ask(&mut world, &mut callee, "INVITE", 8, "", &body);
    assert!(!ok.body().contains("a=inactive"), "{}", ok.0);
    callee.0.say_within(&mut world, &callee.1, "ACK", 8, "");
    world.run_for(secs(1));
    let row = &world.calls(client)[0];
    assert_eq!(row["state"], "connected");
    assert!(row["actions"].as_array().unwrap().contains(&json!("hold")), "{row:?}");
    all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
}

#[test]
fn a_telephone_that_puts_an_offer_off_again_and_again_is_asked_no_more_and_the_client_is_told() {
    for (status, lines) in [(491, ""), (500, "Retry-After: 1\r\n")] {
        let (mut world, mut caller, mut callee) = talking();
        let client = world.log_in("502");
        let hold = client_asks(&mut world, client, "hold");
        for _ in 0..6 {
            let offer = callee.0.wait_request(&mut world, "INVITE");
            callee.0.adds(lines);
            callee.0.respond(&mut world, &offer, status, "", "");
            callee.0.adds("");
            callee.0.wait_request(&mut world, "ACK");
        }
        assert_eq!(world.completion(client, &hold["response"])["error"], 25, "{status}");
        world.run_for(secs(20));
        assert!(callee.0.hear(&mut world).iter().all(|sip| !sip.is("INVITE")), "{status}");
        assert_eq!(world.calls(client)[0]["state"], "connected");
        all_hang_up(&mut world, &mut caller, 3, &mut callee.0);
    }
}

/// RFC 3261 §12.2.1.2: the dialog is gone.
#[test]
fn a_client_whose_telephone_is_silent_is_told_that_it_did_not_answer() {
    let (mut world, mut caller, mut callee) = talking();
    let client = world.log_in("502");
    let hold = client_asks(&mut world, client, "hold");
    callee.0.wait_request(&mut world, "INVITE");
    world.run_for(secs(40));
    assert_eq!(world.completion(client, &hold["response"])["error"], 23);
    let bye = caller.0.wait_request(&mut world, "BYE");
    caller.0.respond(&mut world, &bye, 200, "", "");
    world.run_for(secs(40));
    assert!(world.is_quiet());
}
