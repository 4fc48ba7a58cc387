//! Telephones that we did not write, through the switch as a user runs it.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};

use serde_json::json;
use tests::baresip::{Baresip, Model, Transport};
use tests::curl::{Client, rows};
use tests::office::{hear_each_other, heard_without_a_gap, office, office_with_music, talking, telephones, turn};
use tests::process::{Switch, ports, until};
use tests::wav;
use tests::wire::{Capture, Trace};

/// Vanessa's CAS client, told of her calls.
fn watcher(switch: &Switch) -> Client {
    let mut client = Client::login(switch, "501");
    client.execute("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]]}));
    client
}

/// S59: both can call, both hear the other, either can hang up.
fn two_telephones_talk(model: impl Fn(&'static str, u32) -> Model) {
    let _turn = turn();
    two_telephones_talk_at(&office(), model).is_well_formed();
}

/// The same at this switch; what was on the wire.
fn two_telephones_talk_at(switch: &Switch, model: impl Fn(&'static str, u32) -> Model) -> Trace {
    let capture = Capture::start(switch);
    let (mut vanessa, mut austin) = telephones(switch, model);

    vanessa.call(&mut austin);
    hear_each_other(&vanessa, 440, &austin, 1_000);
    austin.hang_up();
    vanessa.closed();

    austin.call(&mut vanessa);
    hear_each_other(&vanessa, 440, &austin, 1_000);
    austin.hang_up();
    vanessa.closed();

    capture.stop()
}

#[test]
fn s59_two_telephones_talk_over_udp() {
    two_telephones_talk(Model::new);
}

#[test]
fn s59_two_telephones_talk_over_tcp() {
    two_telephones_talk(|extension, tone| Model { transport: Transport::Tcp, ..Model::new(extension, tone) });
}

/// Registered, rung and heard with no IPv4 between them.
#[test]
fn s59_two_telephones_talk_over_ipv6() {
    let _turn = turn();
    for transport in [Transport::Udp, Transport::Tcp] {
        let switch = Switch::start_on(Ipv6Addr::LOCALHOST.into());
        for (extension, name) in [("501", "Vanessa Kensington"), ("502", "Austin Powers")] {
            switch.add_user(extension, name);
        }
        let trace =
            two_telephones_talk_at(&switch, |extension, tone| Model { transport, ..Model::new(extension, tone) });
        trace.is_well_formed();
        let answers = trace.fields("sip.Status-Code == 200 && sdp", &["ipv6.src", "sdp.connection_info"]);
        assert!(answers.len() >= 4, "{answers:?}");
        assert!(answers.iter().all(|answer| answer == &["::1", "IN IP6 ::1"]), "{answers:?}");
    }
}

#[test]
fn s59_two_telephones_talk_in_g722() {
    two_telephones_talk(|extension, tone| Model { codecs: "g722", rate: 16_000, ..Model::new(extension, tone) });
}

/// Two media threads, each with the port of one leg: every call's legs begin apart, and one of them goes to the other's thread.
#[test]
fn s59_two_telephones_talk_through_two_media_threads() {
    let _turn = turn();
    let mut switch = Switch::new();
    let (first, last) = (*switch.rtp.start(), switch.rtp.start() + 3);
    let all = format!("ports = \"{first}-{}\"", switch.rtp.end());
    let config = std::fs::read_to_string(switch.config()).unwrap();
    switch.configure(&config.replace(&all, &format!("ports = \"{first}-{last}\"")));
    switch.set("media", "threads = 2");
    switch.run();
    switch.add_user("501", "Vanessa Kensington");
    switch.add_user("502", "Austin Powers");
    let (mut vanessa, mut austin) = telephones(&switch, Model::new);
    for _ in 0..2 {
        vanessa.call(&mut austin);
        hear_each_other(&vanessa, 440, &austin, 1_000);
        austin.command("sndcode", Some("7"));
        assert_eq!(vanessa.digits(1), "7");
        vanessa.hang_up();
        austin.closed();
    }
}

/// S63, from the telephone: nothing is sent to it while it holds, and it hears again afterwards.
#[test]
fn s63_a_telephone_holds_and_resumes() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let mut client = watcher(&switch);
    let (mut vanessa, mut austin) = talking(&switch);
    client.call_is("connected");
    vanessa.command("hold", None);
    client.call_is("held");
    client.nothing_happens();
    vanessa.command("resume", None);
    client.call_is("connected");
    // The recordings end with the first hold: digits show that the sound goes both ways again.
    austin.command("sndcode", Some("7"));
    assert_eq!(vanessa.digits(1), "7");
    vanessa.command("sndcode", Some("8"));
    assert_eq!(austin.digits(1), "8");
    vanessa.hang_up();
    austin.closed();

    let trace = capture.stop();
    trace.is_well_formed();
    let invites = trace.times(&format!("sip.Method == \"INVITE\" && udp.srcport == {}", vanessa.sip.port()));
    let [.., hold, resume] = invites[..] else { panic!("no hold and resume among {invites:?}") };
    assert!(resume - hold > 1.0, "on hold for a second: {invites:?}");
    let heard = trace.rtp_times(&vanessa.rtp);
    // What was on its way when she held may still arrive.
    let held: Vec<_> = heard.iter().filter(|time| **time > hold + 0.5 && **time < resume).collect();
    assert!(held.is_empty(), "held at {hold}, resumed at {resume}, sent to her at {held:?}");
    assert!(heard.iter().filter(|time| **time > resume).count() > 5, "resumed at {resume}: {heard:?}");
}

/// S69, from the telephone: digits pass as RFC 4733 events, each once.
#[test]
fn s69_digits_reach_the_other_telephone() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    // No digit before the stream has begun, or its first packets may be lost.
    let (mut vanessa, mut austin) = talking(&switch);
    let mut told = String::new();
    for digit in ["1", "5", "*", "0", "#"] {
        vanessa.command("sndcode", Some(digit));
        told += &austin.digits(1);
    }
    assert_eq!(told, "15*0#");
    austin.hang_up();
    vanessa.closed();
    let trace = capture.stop();
    trace.is_well_formed();
    assert_eq!(trace.digits(&austin.rtp), "15*0#");
}

/// S20, S36, S37, S41, S59, S66, S70, S71, S75, S77: a person with curl has his telephone call another.
#[test]
fn s77_curl_makes_a_call() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = telephones(&switch, Model::new);
    let mut client = watcher(&switch);

    let reply = client.execute("tel", "make-call", json!({"dest": "502"}));
    let call = reply["call-id"].clone();
    assert!(call.is_string(), "{reply}");
    assert!(!austin.has_rung(), "the caller's own telephone rings first");
    vanessa.answer();
    client.call_is("ringing");
    austin.answer();
    assert_eq!(client.call_is("connected")["call-id"], call);
    assert_eq!(client.completion(&reply)["call-id"], call);
    hear_each_other(&vanessa, 440, &austin, 1_000);

    let calls = client.calls();
    let [row] = &calls[..] else { panic!("not one call: {calls:?}") };
    assert_eq!((&row["call-id"], &row["state"], &row["direction"]), (&call, &json!("connected"), &json!("out")));
    assert_eq!(rows(&row["parties"])[0]["addr"], "502");
    let actions = row["actions"].as_array().expect("actions are an array");
    assert!(["drop", "hold", "send-digits"].iter().all(|action| actions.contains(&json!(action))), "{actions:?}");

    let reply = client.execute("tel", "send-digits", json!({"call-id": call, "digits": "42"}));
    client.completion(&reply);
    assert_eq!(austin.digits(2), "42");
    for (message, state) in [("hold", "held"), ("unhold", "connected")] {
        let reply = client.execute("tel", message, json!({"call-id": call}));
        client.completion(&reply);
        client.call_is(state);
    }

    let reply = client.execute("tel", "drop", json!({"call-id": call}));
    client.completion(&reply);
    let ended = client.event("call-ended-evt", |event| event["message"] == "call-ended-evt");
    assert_eq!(ended["call-id"], call);
    vanessa.closed();
    austin.closed();
    assert!(client.calls().is_empty());
    capture.stop().is_well_formed();
}

/// S65: baresip 1.0 knows no wish to be answered by itself. It is called anew within the one call, and rings on.
#[test]
fn s65_a_telephone_that_is_called_anew_rings_on_in_the_same_call() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = telephones(&switch, Model::new);
    let mut client = Client::login(&switch, "502");
    client.execute("subscribe", "subscribe-events", json!({"subscribe": [["tel", "device"]]}));
    vanessa.dial("502");
    austin.event("CALL_INCOMING");
    let call = client.call_is("offering")["call-id"].clone();
    let reply = client.execute("tel", "answer", json!({"call-id": call}));
    austin.event("CALL_CLOSED");
    austin.answer();
    vanessa.hears(1_000);
    austin.hears(440);
    assert_eq!(client.completion(&reply)["call-id"], call);
    austin.hang_up();
    vanessa.closed();
    capture.stop().is_well_formed();
}

/// S112, S113, S114.
#[test]
fn s112_calls_are_in_both_users_histories() {
    let _turn = turn();
    let switch = office();
    let (mut vanessa, mut austin) = talking(&switch);
    vanessa.hang_up();
    austin.closed();
    austin.dial("501");
    vanessa.event("CALL_INCOMING");
    austin.hang_up();
    vanessa.closed();

    let kinds = |user: &str| {
        let records = Client::login(&switch, user).records(2);
        let mut kinds: Vec<_> = records.iter().map(|r| format!("{} {}", r["type"], r["addr"])).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds("501"), ["\"missed\" \"502\"", "\"placed\" \"502\""]);
    assert_eq!(kinds("502"), ["\"placed\" \"501\"", "\"received\" \"501\""]);
}

#[test]
fn a_call_that_cannot_be_is_refused_with_the_right_status() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let mut vanessa = Baresip::start(&switch, Model::new("501", 440));
    assert!(vanessa.refused("999").starts_with("404"), "a number nobody has");
    assert!(vanessa.refused("502").starts_with("480"), "a user without a telephone");

    let mut austin = Baresip::start(&switch, Model::new("502", 1_000));
    vanessa.dial("502");
    austin.event("CALL_INCOMING");
    austin.hang_up();
    let reason = vanessa.closed();
    assert!(reason.starts_with("486"), "declined: {reason}");

    vanessa.dial("502");
    austin.event("CALL_INCOMING");
    vanessa.hang_up();
    austin.closed();
    capture.stop().is_well_formed();
}

#[test]
fn a_telephone_with_the_wrong_secret_is_not_registered() {
    let _turn = turn();
    let switch = office();
    switch.told(&["user", "set-secret", "502", "another-one"]);
    let mut austin = Baresip::boot(switch.sip, Model::new("502", 1_000));
    until("the telephone to be refused", || switch.log().contains("a wrong secret").then_some(()));
    assert!(!austin.command("reginfo", None).contains("OK"));
    assert!(!switch.told(&["registrations"]).contains("502"));
}

#[test]
fn star_43_echoes() {
    let _turn = turn();
    let switch = office();
    let mut vanessa = Baresip::start(&switch, Model::new("501", 440));
    vanessa.dial("*43");
    vanessa.event("CALL_ESTABLISHED");
    vanessa.hears(440);
    vanessa.hang_up();
}

/// A gateway is known by its address; SIPp is one that makes ten calls.
#[test]
fn a_gateway_calls_without_a_password() {
    let _turn = turn();
    gateway_calls_the_echo(&office());
}

/// The same with no IPv4 between them, SIP and sound.
#[test]
fn a_gateway_calls_over_ipv6() {
    let _turn = turn();
    let switch = Switch::start_on(Ipv6Addr::LOCALHOST.into());
    let capture = Capture::start(&switch);
    gateway_calls_the_echo(&switch);
    let trace = capture.stop();
    trace.is_well_formed();
    let answers = trace.fields("sip.Status-Code == 200 && sdp", &["ipv6.src", "sdp.connection_info"]);
    assert!(answers.len() >= 10, "{answers:?}");
    assert!(answers.iter().all(|answer| answer == &["::1", "IN IP6 ::1"]), "{answers:?}");
}

fn gateway_calls_the_echo(switch: &Switch) {
    let (host, ports) = (switch.sip.ip().to_string(), ports(40));
    let gateway = SocketAddr::new(switch.sip.ip(), *ports.start()).to_string();
    switch.told(&["user", "add", "600", "--name", "Gateway", "--address", &gateway]);
    let (signalling, sound) = (ports.start().to_string(), (ports.start() + 2).to_string());
    let mut sipp = Command::new("sipp");
    sipp.args(["-sn", "uac", "-s", "*43", "-i", &host, "-p", &signalling, "-mi", &host, "-mp", &sound]);
    sipp.args(["-m", "10", "-r", "10", "-d", "200", "-timeout", "30", "-timeout_error", "-nostdin"]);
    let output = sipp.arg(switch.sip.to_string()).stdin(Stdio::null()).output().expect("sipp is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// S63: who is held hears the site's music (here a tone, from a file), in one stream that does not break when it comes and goes.
#[test]
fn s63_who_is_held_hears_the_site_s_music() {
    let _turn = turn();
    let switch = office_with_music(700);
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = talking(&switch);
    for _ in 0..2 {
        vanessa.command("hold", None);
        austin.hears(700);
        vanessa.command("resume", None);
        austin.hears(440);
    }
    austin.hang_up();
    vanessa.closed();

    let trace = capture.stop();
    trace.is_well_formed();
    heard_without_a_gap(&trace, &austin);
}

/// S63: the music that comes with the switch is there without any setting.
#[test]
fn s63_the_music_that_comes_with_the_switch_is_heard() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = talking(&switch);
    vanessa.command("hold", None);
    until("some music to be heard", || {
        austin.heard_for(2.0).filter(|heard| loudness(heard) > 100.0 && !is_tone(heard))
    });
    vanessa.hang_up();
    austin.closed();
    capture.stop().is_well_formed();
}

fn loudness(samples: &[i16]) -> f64 {
    (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

/// Whether it is the other telephone's tone all through.
fn is_tone(samples: &[i16]) -> bool {
    samples.chunks(3_200).any(|part| wav::dominant(part, 8_000) == Some(440))
}
