//! Digests (RFC 7616, RFC 8760): what is offered, what is taken, and of which credentials it is said that they are for something else.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::site::DigestPolicy;
use serde_json::json;
use switch::sip::digest::Algorithm::{Md5, Sha256};
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, Handset, Manners, World};

fn world(digest: DigestPolicy) -> World {
    World::with(1, |settings| settings.digest = digest)
}

/// The answer to a request of this method with these lines.
fn answer(world: &mut World, phone: &mut Template, method: &str, uri: &str, lines: &str) -> Sip {
    let number = phone.fresh();
    let lines = format!(
        "From: <sip:501@{DOMAIN}>;tag=r\r\nTo: <sip:501@{DOMAIN}>\r\nCall-ID: digest{number}\r\nCSeq: {number} {method}\r\n{lines}"
    );
    let request = phone.request(method, uri, &lines, "");
    phone.say(world, &request);
    phone.wait(world, |sip| sip.status() >= 200 && sip.number() == number)
}

fn registered(world: &mut World, phone: &mut Template, credentials: &str) -> Sip {
    let lines = format!("Authorization: {credentials}\r\n");
    answer(world, phone, "REGISTER", &format!("sip:{DOMAIN}"), &lines)
}

/// The algorithms offered, in their order.
fn offered(challenge: &Sip) -> Vec<&str> {
    assert_eq!(challenge.status(), 401, "{}", challenge.0);
    let lines = challenge.0.lines().filter(|line| line.starts_with("WWW-Authenticate:"));
    lines.map(|line| line.split("algorithm=").nth(1).unwrap().split(',').next().unwrap()).collect()
}

fn is_stale(challenge: &Sip) -> bool {
    challenge.status() == 401 && challenge.header("WWW-Authenticate").contains("stale=true")
}

/// RFC 8760 §2.4: the stronger first, and the client takes the first that it knows.
#[test]
fn each_policy_offers_and_takes_what_it_says() {
    for (policy, offers, takes) in [
        (DigestPolicy::Md5, vec!["MD5"], vec![Md5]),
        (DigestPolicy::Sha256, vec!["SHA-256"], vec![Sha256]),
        (DigestPolicy::Both, vec!["SHA-256", "MD5"], vec![Sha256, Md5]),
    ] {
        let mut world = world(policy);
        let mut phone = Template::new("501", 1);
        let uri = format!("sip:{DOMAIN}");
        assert_eq!(offered(&answer(&mut world, &mut phone, "REGISTER", &uri, "")), offers);
        for algorithm in [Md5, Sha256] {
            let nonce = phone.nonce(&mut world);
            let credentials = phone.credentials(algorithm, "REGISTER", &uri, &nonce, 1);
            let status = if takes.contains(&algorithm) { 200 } else { 401 };
            assert_eq!(registered(&mut world, &mut phone, &credentials).status(), status, "{policy:?} {algorithm:?}");
        }
    }
}

#[test]
fn a_call_is_made_with_sha_256() {
    let mut world = world(DigestPolicy::Both);
    let mut callee = Template::new("502", 2);
    let uri = format!("sip:502@{DOMAIN}");
    let nonce = callee.nonce(&mut world);
    let credentials = callee.credentials(Sha256, "REGISTER", &format!("sip:{DOMAIN}"), &nonce, 1);
    let contacts = format!("Contact: <{}>\r\n", callee.uri());
    let request = callee.register_request("r", 9, &contacts, &format!("Authorization: {credentials}\r\n"));
    callee.say(&mut world, &request);
    callee.wait_status(&mut world, "REGISTER", 200);
    let mut caller = Template::new("501", 1);
    let nonce = caller.nonce(&mut world);
    let credentials = caller.credentials(Sha256, "INVITE", &uri, &nonce, 1);
    let lines = caller.invite_lines("502");
    let body = caller.sdp();
    let lines = format!("{lines}CSeq: 1 INVITE\r\nAuthorization: {credentials}\r\n");
    let invite = caller.request("INVITE", &uri, &lines, &body);
    caller.say(&mut world, &invite);
    callee.wait_request(&mut world, "INVITE");
}

/// Telephones whose digests are none of ours: one knows SHA-256, the other MD5 alone.
#[test]
fn a_telephone_registers_and_calls_with_the_first_digest_that_it_knows() {
    let knows = Manners { sha256: true, ..Manners::default() };
    for (policy, manners, is_taken) in [
        (DigestPolicy::Md5, knows.clone(), true),
        (DigestPolicy::Both, knows.clone(), true),
        (DigestPolicy::Sha256, knows, true),
        (DigestPolicy::Both, Manners::default(), true),
        (DigestPolicy::Sha256, Manners::default(), false),
    ] {
        let mut world = world(policy);
        let phones = ["501", "502"].map(|user| {
            let phone = world.add_phone(Handset { manners: manners.clone(), ..Handset::of(user) });
            world.register(phone);
            phone
        });
        world.run_for(Duration::from_secs(1));
        let registered = phones.map(|phone| world.phone(phone).is_registered());
        assert_eq!(registered, [is_taken; 2], "{policy:?}, SHA-256 known: {}", manners.sha256);
        let [a, b] = phones;
        if is_taken {
            world.connect_call(a, b);
            assert!(world.hear_each_other(a, b));
            world.hang_up(b);
        }
        world.quiesce();
    }
}

/// A phone may have a policy of its own: it is told by who asks, not by who is called.
#[test]
fn a_device_with_a_policy_of_its_own_is_challenged_by_it_when_it_registers_and_when_it_calls() {
    let mut world = world(DigestPolicy::Md5);
    let admin = world.log_in("admin");
    let user = json!({"topic": "config", "message": "add-user", "ext": "505", "name": "N", "password": "pass", "sip-secret": "secret505", "digest": "sha256"});
    world.execute(admin, user);
    world.run_for(Duration::from_secs(1));
    let mut phone = Template::new("505", 5);
    let register = phone.register_request("r", 1, "", "");
    phone.say(&mut world, &register);
    assert_eq!(offered(&phone.wait_status(&mut world, "REGISTER", 401)), ["SHA-256"]);
    let mut plain = Template::new("501", 1);
    for (caller, dialled, expected) in [(&mut phone, "501", "SHA-256"), (&mut plain, "505", "MD5")] {
        let lines = caller.invite_lines(dialled);
        let body = caller.sdp();
        let invite =
            caller.request("INVITE", &format!("sip:{dialled}@{DOMAIN}"), &format!("{lines}CSeq: 1 INVITE\r\n"), &body);
        caller.say(&mut world, &invite);
        assert_eq!(offered(&caller.wait_status(&mut world, "INVITE", 401)), [expected]);
    }
}

/// RFC 7616 §3.3, §3.4: a nonce has its time and each of its counts one use; the phone that comes too late is told to use another, not that its
/// secret is wrong.
#[test]
fn a_nonce_too_old_or_a_count_used_before_is_stale() {
    for algorithm in [Md5, Sha256] {
        let mut world = world(DigestPolicy::Both);
        let mut phone = Template::new("501", 1);
        let uri = format!("sip:{DOMAIN}");
        let nonce = phone.nonce(&mut world);
        let mut told = |world: &mut World, count: u32| {
            let credentials = phone.credentials(algorithm, "REGISTER", &uri, &nonce, count);
            registered(world, &mut phone, &credentials)
        };
        assert_eq!(told(&mut world, 1).status(), 200);
        assert_eq!(told(&mut world, 5).status(), 200, "counts may be left out");
        assert!(is_stale(&told(&mut world, 5)) && is_stale(&told(&mut world, 2)), "but not come again, nor late");
        world.run_for(Duration::from_secs(301));
        assert!(is_stale(&told(&mut world, 6)));
    }
}

#[test]
fn a_wrong_secret_is_not_stale() {
    let mut world = world(DigestPolicy::Both);
    let mut phone = Template::new("501", 1);
    let nonce = phone.nonce(&mut world);
    let mut credentials = phone.credentials(Sha256, "REGISTER", &format!("sip:{DOMAIN}"), &nonce, 1);
    credentials = credentials.replace("response=\"", "response=\"0");
    let refused = registered(&mut world, &mut phone, &credentials);
    assert!(refused.status() == 401 && !is_stale(&refused));
}

/// RFC 7616 §3.4: only what was offered; `auth-int` is not, since phones that know it are not to be found.
#[test]
fn auth_int_is_400_and_an_algorithm_unknown_is_challenged_anew() {
    let mut world = world(DigestPolicy::Both);
    let mut phone = Template::new("501", 1);
    let nonce = phone.nonce(&mut world);
    let good = phone.credentials(Sha256, "REGISTER", &format!("sip:{DOMAIN}"), &nonce, 1);
    assert_eq!(registered(&mut world, &mut phone, &good.replace("qop=auth,", "qop=auth-int,")).status(), 400);
    for algorithm in ["MD5-sess", "SHA-256-sess", "SHA-512-256", "AKAv1-MD5"] {
        let other = good.replace("algorithm=SHA-256", &format!("algorithm={algorithm}"));
        assert_eq!(offered(&registered(&mut world, &mut phone, &other)), ["SHA-256", "MD5"], "{algorithm}");
    }
    assert_eq!(registered(&mut world, &mut phone, &good).status(), 200, "none of it has used the nonce");
}

/// RFC 7616 §3.4.6, RFC 3261 §22.4.
#[test]
fn credentials_for_a_call_to_somebody_else_are_400() {
    let mut world = world(DigestPolicy::Md5);
    let mut phone = Template::new("501", 1);
    let dialled = format!("sip:502@{DOMAIN}");
    for (uri, status) in [
        (dialled.clone(), 415),
        (format!("{dialled}:5060;transport=tcp;user=phone"), 415),
        ("sip:502@10.0.0.1".to_owned(), 415),
        (format!("sip:%3502@{DOMAIN}"), 415),
        (format!("sip:{DOMAIN}"), 415),
        (DOMAIN.to_owned(), 415),
        ("10.0.0.1:5060".to_owned(), 415),
        (format!("sip:503@{DOMAIN}"), 400),
        (format!("sip:5022@{DOMAIN}"), 400),
        ("sip:".to_owned(), 400),
        (String::new(), 400),
    ] {
        let nonce = phone.nonce(&mut world);
        let credentials = phone.credentials(Md5, "INVITE", &uri, &nonce, 1);
        // What is wrong with the body is told only to those who are known.
        let lines =
            format!("Contact: <{}>\r\nAuthorization: {credentials}\r\nContent-Type: text/plain\r\n", phone.uri());
        let told = answer(&mut world, &mut phone, "INVITE", &dialled, &lines).status();
        let known = if status == 415 { told != 400 && told != 401 } else { told == 400 };
        assert!(known, "{uri}: {told}");
    }
}

/// Whoever answers a challenge of 401 in the header of a proxy's means the same (RFC 3261 §22.3 lets a request carry several).
#[test]
fn credentials_in_a_proxys_header_are_taken_and_those_of_other_realms_passed_over() {
    let mut world = world(DigestPolicy::Md5);
    let mut phone = Template::new("501", 1);
    let uri = format!("sip:{DOMAIN}");
    let nonce = phone.nonce(&mut world);
    let good = phone.credentials(Md5, "REGISTER", &uri, &nonce, 1);
    let foreign = good.replace(&format!("realm=\"{DOMAIN}\""), "realm=\"elsewhere\"");
    let lines = format!("Authorization: {foreign}\r\nAuthorization: Basic YTpi\r\nProxy-Authorization: {good}\r\n");
    assert_eq!(answer(&mut world, &mut phone, "REGISTER", &uri, &lines).status(), 200);
    let lines = format!("Authorization: {foreign}\r\n");
    assert_eq!(answer(&mut world, &mut phone, "REGISTER", &uri, &lines).status(), 401);
}

/// Both HA1 are of the same secret: one phone may change from one algorithm to the other.
#[test]
fn algorithms_are_told_apart_whatever_their_case() {
    let mut world = world(DigestPolicy::Both);
    let mut phone = Template::new("501", 1);
    for (algorithm, written) in [(Md5, "md5"), (Sha256, "\"sha-256\"")] {
        let nonce = phone.nonce(&mut world);
        let credentials = phone.credentials(algorithm, "REGISTER", &format!("sip:{DOMAIN}"), &nonce, 1);
        let credentials =
            credentials.replace(&format!("algorithm={}", algorithm.as_str()), &format!("algorithm={written}"));
        assert_eq!(registered(&mut world, &mut phone, &credentials).status(), 200, "{written}");
    }
}
