//! Calls that come back: hops that are counted, and proxies that return what they got (RFC 3261 §16.3, §8.1.1.6), in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::json;
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, World};

/// A world with a gateway at each of these numbers.
fn gateways<const N: usize>(numbers: [&'static str; N]) -> (World, [Template; N]) {
    let mut world = World::new(1);
    let admin = world.log_in("admin");
    let mut host = 10;
    let gateways = numbers.map(|number| {
        host += 1;
        let gateway = Template::new(number, host);
        let address = gateway.address().to_string();
        let user = json!({"topic": "config", "message": "add-user", "ext": number, "name": "Gateway", "password": "pass", "address": address});
        world.execute(admin, user);
        gateway
    });
    world.run_for(Duration::from_secs(1));
    (world, gateways)
}

/// A gateway calls a number with so many hops left.
fn call(world: &mut World, gateway: &mut Template, number: &str, hops: Option<u8>) -> Sip {
    let lines = gateway.invite_lines(number);
    let body = gateway.sdp();
    let invite =
        gateway.request("INVITE", &format!("sip:{number}@{DOMAIN}"), &format!("{lines}CSeq: 1 INVITE\r\n"), &body);
    let line = hops.map(|hops| format!("Max-Forwards: {hops}\r\n")).unwrap_or_default();
    let invite = invite.replace("Max-Forwards: 70\r\n", &line);
    gateway.say(world, &invite);
    Sip(invite)
}

#[test]
fn every_hop_is_counted() {
    for (hops, left) in [(Some(5), "4"), (Some(1), "0"), (Some(255), "254"), (None, "70")] {
        let (mut world, [mut gateway]) = gateways(["600"]);
        let mut phone = Template::new("501", 1);
        phone.register(&mut world);
        call(&mut world, &mut gateway, "501", hops);
        assert_eq!(phone.wait_request(&mut world, "INVITE").header("Max-Forwards"), left);
    }
}

/// Two gateways that make a new call of every call and send it to the other: nothing shows that it is one and the same but its hops.
#[test]
fn a_call_that_goes_round_between_gateways_ends_with_its_hops() {
    let (mut world, [mut a, mut b]) = gateways(["600", "601"]);
    let first = call(&mut world, &mut a, "601", Some(4));
    let mut rung = vec![b.wait_request(&mut world, "INVITE")];
    for turn in 0..4 {
        let (from, to, number) = if turn % 2 == 0 { (&mut b, &mut a, "600") } else { (&mut a, &mut b, "601") };
        let hops: u8 = rung.last().unwrap().header("Max-Forwards").parse().unwrap();
        assert_eq!(hops, 3 - turn);
        let invite = call(&mut world, from, number, Some(hops));
        if hops == 0 {
            let refused = from.wait_status(&mut world, "INVITE", 483);
            from.acknowledge_refusal(&mut world, &invite, &refused);
            break;
        }
        rung.push(to.wait_request(&mut world, "INVITE"));
    }
    assert_eq!(rung.len(), 4);
    // Each tells the one before it why.
    for (turn, invite) in rung.iter().enumerate().rev() {
        let gateway = if turn % 2 == 0 { &mut b } else { &mut a };
        gateway.respond(&mut world, invite, 483, "x", "");
        gateway.wait_request(&mut world, "ACK");
        world.run_for(Duration::from_millis(100));
    }
    let refused = a.wait(&mut world, |sip| sip.status() == 483 && sip.header("Call-ID") == first.header("Call-ID"));
    a.acknowledge_refusal(&mut world, &first, &refused);
    world.run_for(Duration::from_secs(60));
    assert!(world.is_quiet());
}

/// What a proxy makes of an INVITE that it got: its own Via above those that are there, one hop less.
fn forwarded(got: &Sip, uri: &str, proxy: &Template) -> String {
    let (_, rest) = got.0.split_once("\r\n").unwrap();
    let hops: u8 = got.header("Max-Forwards").parse().unwrap();
    let rest = rest.replace(&format!("Max-Forwards: {hops}"), &format!("Max-Forwards: {}", hops - 1));
    format!("INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKproxy;rport\r\n{rest}", proxy.address())
}

#[test]
fn an_invite_that_a_proxy_returns_for_the_same_number_is_482() {
    let (mut world, [mut proxy]) = gateways(["600"]);
    let mut phone = Template::new("501", 1);
    let body = phone.sdp();
    phone.call(&mut world, "600", &body);
    let got = proxy.wait_request(&mut world, "INVITE");
    proxy.say(&mut world, &forwarded(&got, &format!("sip:600@{DOMAIN}"), &proxy));
    proxy.wait_status(&mut world, "INVITE", 482);
}

/// A spiral is no loop: the number it comes back for is another.
#[test]
fn an_invite_that_a_proxy_returns_for_another_number_rings_there() {
    let (mut world, [mut proxy]) = gateways(["600"]);
    let mut other = Template::new("502", 2);
    other.register(&mut world);
    let mut phone = Template::new("501", 1);
    let body = phone.sdp();
    phone.call(&mut world, "600", &body);
    let got = proxy.wait_request(&mut world, "INVITE");
    proxy.say(&mut world, &forwarded(&got, &format!("sip:502@{DOMAIN}"), &proxy));
    assert_eq!(other.wait_request(&mut world, "INVITE").header("Max-Forwards"), "67");
}

/// A telephone of 502 that sends every call to the gateway, which makes a new call of it that comes back: it keeps this header, or says this line.
fn comes_back(says: &str) -> (World, Template, Template, Sip) {
    let (mut world, [mut gateway]) = gateways(["600"]);
    let [mut caller, mut phone] = [("501", 1), ("502", 2)].map(|(user, host)| Template::new(user, host));
    phone.register(&mut world);
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let rung = phone.wait_request(&mut world, "INVITE");
    phone.adds(&format!("Contact: <sip:600@{DOMAIN}>\r\n"));
    phone.respond(&mut world, &rung, 302, "x", "");
    phone.wait_request(&mut world, "ACK");
    phone.adds("");
    let sent_on = gateway.wait_request(&mut world, "INVITE");
    let got = sent_on.headers(says).into_iter().map(|value| format!("{says}: {value}\r\n"));
    gateway.adds(&if says.contains(':') { format!("{says}\r\n") } else { got.collect() });
    let invite = call(&mut world, &mut gateway, "502", Some(60));
    gateway.adds("");
    (world, gateway, phone, invite)
}

#[test]
fn a_call_that_a_gateway_brings_back_to_who_sent_it_there_is_482() {
    for header in ["Diversion", "History-Info"] {
        let (mut world, mut gateway, mut phone, invite) = comes_back(header);
        let refused = gateway.wait_status(&mut world, "INVITE", 482);
        assert_eq!(refused.header("Call-ID"), invite.header("Call-ID"));
        assert!(refused.header("Reason").contains("Q.850;cause=25"), "RFC 3398: {}", refused.0);
        assert!(phone.hear(&mut world).iter().all(|sip| !sip.is("INVITE")), "{header}");
    }
}

/// The same number at another switch is another telephone.
#[test]
fn who_is_called_alike_elsewhere_is_another() {
    let (mut world, _, mut phone, _) = comes_back("Diversion: <sip:502@elsewhere.example>;reason=no-answer");
    let rung = phone.wait_request(&mut world, "INVITE");
    assert_eq!(
        rung.header("Diversion"),
        "<sip:502@elsewhere.example>;reason=no-answer",
        "a gateway's word is passed on"
    );
    assert_eq!(rung.headers("History-Info").len(), 2);
}

#[test]
fn what_was_sent_on_often_enough_elsewhere_is_sent_on_no_more() {
    for (counter, follows) in [(4, true), (5, false), (u32::MAX, false)] {
        let (mut world, [mut gateway]) = gateways(["600"]);
        let [mut phone, mut other] = [("502", 2), ("503", 3)].map(|(user, host)| Template::new(user, host));
        phone.register(&mut world);
        other.register(&mut world);
        gateway.adds(&format!("Diversion: <tel:+15550100>;reason=unknown;counter={counter}\r\n"));
        call(&mut world, &mut gateway, "502", Some(60));
        gateway.adds("");
        let rung = phone.wait_request(&mut world, "INVITE");
        phone.adds(&format!("Contact: <sip:503@{DOMAIN}>\r\n"));
        phone.respond(&mut world, &rung, 302, "x", "");
        match follows {
            true => drop(other.wait_request(&mut world, "INVITE")),
            false => drop(gateway.wait_status(&mut world, "INVITE", 480)),
        }
    }
}

/// A phone may say what it likes of where its call has been: it is not believed, and not passed on.
#[test]
fn what_a_telephone_says_of_others_is_not_passed_on() {
    let mut world = World::new(1);
    let [mut caller, mut phone] = [("501", 1), ("502", 2)].map(|(user, host)| Template::new(user, host));
    phone.register(&mut world);
    caller.adds("Diversion: <sip:503@elsewhere.example>;reason=user-busy\r\n");
    let body = caller.sdp();
    caller.call(&mut world, "502", &body);
    let rung = phone.wait_request(&mut world, "INVITE");
    assert!(rung.headers("Diversion").is_empty() && rung.headers("History-Info").is_empty(), "{}", rung.0);
}
