//! Registrations and authentication in hard orders: what only a telephone out of step, a slow store or a guesser brings about.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::store::Registrations;
use serde_json::json;
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, Event, Status, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a REGISTER with these lines and credentials is answered.
fn answer(world: &mut World, phone: &mut Template, contacts: &str, authorization: &str) -> Sip {
    let number = phone.fresh();
    let request = phone.register_request(&phone.call_id(), number, contacts, authorization);
    phone.say(world, &request);
    phone.wait(world, |sip| sip.status() > 0 && sip.number() == number)
}

fn bindings(world: &mut World) -> Vec<String> {
    world.store().bindings().unwrap().into_iter().map(|binding| binding.contact).collect()
}

#[test]
fn a_nonce_of_any_characters_and_any_length_is_only_a_wrong_one() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let long = "n".repeat(5_000);
    for nonce in
        ["123456789012345\u{e9}89012345678", "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}", "", &long]
    {
        let authorization = phone.authorization("REGISTER", &phone.secret(), nonce, Some(1));
        let refused = answer(&mut world, &mut phone, "", &authorization);
        assert_eq!(refused.status(), 401, "{nonce}");
        assert!(refused.header("WWW-Authenticate").contains("stale=true"), "{nonce}");
    }
    phone.register(&mut world);
}

#[test]
fn credentials_that_cannot_be_read_are_400_and_ones_too_long_no_harm() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let long = format!("Authorization: Digest username=\"{}\"\r\n", "x".repeat(7_000));
    for authorization in ["Authorization: Digest\r\n", "Authorization: Digest username=\"\r\n", &long] {
        assert_eq!(answer(&mut world, &mut phone, "", authorization).status(), 400, "{authorization:.40}");
    }
    let number = phone.fresh();
    let endless = format!("Authorization: Digest username=\"{}\"\r\n", "x".repeat(60_000));
    let request = phone.register_request(&phone.call_id(), number, "", &endless);
    phone.say(&mut world, &request);
    world.run_for(secs(1));
    assert!(phone.hear(&mut world).iter().all(|sip| (400..600).contains(&sip.status())));
    phone.register(&mut world);
}

/// RFC 7616 §3.4: a nonce count is used once; RFC 2069 knows none, and its nonce is good for one request.
#[test]
fn credentials_used_twice_are_stale() {
    for count in [Some(1), None] {
        let mut world = World::new(1);
        let mut phone = Template::new("501", 1);
        let nonce = phone.nonce(&mut world);
        let contact = format!("Contact: <{}>;expires=300\r\n", phone.uri());
        let authorization = phone.authorization("REGISTER", &phone.secret(), &nonce, count);
        assert_eq!(answer(&mut world, &mut phone, &contact, &authorization).status(), 200, "{count:?}");
        let replayed = answer(&mut world, &mut phone, &contact, &authorization);
        assert_eq!(replayed.status(), 401);
        assert!(replayed.header("WWW-Authenticate").contains("stale=true"), "{count:?}");
        let next = phone.authorization("REGISTER", &phone.secret(), &nonce, Some(2));
        assert_eq!(answer(&mut world, &mut phone, &contact, &next).status(), 200);
    }
}

#[test]
fn a_binding_that_ends_while_its_renewal_waits_for_the_store_is_renewed() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let contact = format!("Contact: <{}>;expires=60\r\n", phone.uri());
    phone.ask_to_register(&mut world, &contact);
    phone.wait_status(&mut world, "REGISTER", 200);
    let client = world.log_in("501");
    world.run_for(secs(55));
    // From another port the contact has moved, and the answer waits.
    world.slow_store(secs(10));
    let mut moved = phone.at_port(5070);
    moved.ask_to_register(&mut world, &contact);
    world.run_for(secs(8));
    assert!(moved.hear(&mut world).is_empty());
    moved.wait_status(&mut world, "REGISTER", 200);
    world.run_for(secs(40));
    assert_eq!(bindings(&mut world), [phone.uri()]);
    let device = |event: &serde_json::Value| event["message"] == "device-evt";
    assert!(!world.events_told(client).iter().any(device), "it was reachable all the time");
    world.run_for(secs(30));
    assert_eq!(bindings(&mut world), Vec::<String>::new());
    assert!(world.events_told(client).iter().any(device));
}

#[test]
fn a_store_that_fails_is_500_and_changes_nothing() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    world.fail_store(true);
    let contact = format!("Contact: <{}>\r\n", phone.uri());
    phone.ask_to_register(&mut world, &contact);
    let refused = phone.wait_status(&mut world, "REGISTER", 500);
    assert!(!refused.header("Retry-After").is_empty());
    world.fail_store(false);
    phone.ask_to_register(&mut world, "");
    assert_eq!(phone.wait_status(&mut world, "REGISTER", 200).header("Contact"), "");
    phone.register(&mut world);
    world.fail_store(true);
    phone.ask_to_register(&mut world, "Contact: *\r\nExpires: 0\r\n");
    phone.wait_status(&mut world, "REGISTER", 500);
    world.fail_store(false);
    phone.ask_to_register(&mut world, "");
    assert!(phone.wait_status(&mut world, "REGISTER", 200).header("Contact").contains(&phone.uri()));
}

#[test]
fn eight_registers_wait_in_their_order_and_the_ninth_is_503() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let nonce = phone.nonce(&mut world);
    world.slow_store(secs(1));
    let mut numbers = Vec::new();
    for count in 1..=10 {
        let number = phone.fresh();
        numbers.push(number);
        let contact = format!("Contact: <sip:501@10.0.2.1:{}>;expires=300\r\n", 6000 + count % 2);
        let authorization = phone.authorization("REGISTER", &phone.secret(), &nonce, Some(count));
        let request = phone.register_request(&phone.call_id(), number, &contact, &authorization);
        phone.say(&mut world, &request);
    }
    let refused = phone.hear(&mut world);
    assert_eq!(refused.iter().map(|sip| (sip.status(), sip.number())).collect::<Vec<_>>(), [(503, numbers[9])]);
    assert!(!refused[0].header("Retry-After").is_empty());
    world.run_for(secs(20));
    let answered: Vec<(u16, u32)> = phone.hear(&mut world).iter().map(|sip| (sip.status(), sip.number())).collect();
    assert_eq!(answered, numbers[..9].iter().map(|number| (200, *number)).collect::<Vec<_>>());
    assert_eq!(bindings(&mut world).len(), 2);
}

#[test]
fn a_sixth_wrong_secret_waits_and_neither_the_telephone_at_home_nor_another_user_does() {
    let mut world = World::new(1);
    let mut home = Template::new("501", 1);
    home.register(&mut world);
    let mut guesser = Template::new("501", 2);
    let mut neighbour = Template::new("502", 2).at_port(5080);
    for _ in 0..6 {
        let nonce = guesser.nonce(&mut world);
        let number = guesser.fresh();
        let authorization = guesser.authorization("REGISTER", "guess", &nonce, Some(1));
        let request = guesser.register_request("guess", number, "", &authorization);
        guesser.say(&mut world, &request);
    }
    assert_eq!(guesser.hear(&mut world).iter().filter(|sip| sip.status() == 401).count(), 5);
    home.register(&mut world);
    neighbour.register(&mut world);
    world.run_for(Duration::from_millis(900));
    assert!(guesser.hear(&mut world).is_empty());
    world.run_for(Duration::from_millis(110));
    assert_eq!(guesser.hear(&mut world).iter().map(Sip::status).collect::<Vec<_>>(), [401]);
}

#[test]
fn at_home_a_wrong_secret_is_never_kept_waiting_and_told_403_in_the_end() {
    let mut world = World::new(1);
    let mut home = Template::new("501", 1);
    home.register(&mut world);
    let mut heard = Vec::new();
    for _ in 0..12 {
        let nonce = home.nonce(&mut world);
        let number = home.fresh();
        let authorization = home.authorization("REGISTER", "guess", &nonce, Some(1));
        let request = home.register_request("guess", number, "", &authorization);
        home.say(&mut world, &request);
        heard.extend(home.hear(&mut world).iter().map(Sip::status));
    }
    assert_eq!(heard, [[401; 10].as_slice(), &[403; 2]].concat());
    home.register(&mut world);
}

/// RFC 3261 §9.2: the INVITE waits for its answer like any other.
#[test]
fn a_cancel_of_an_invite_whose_401_is_held_back_is_487() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let mut last = None;
    for _ in 0..6 {
        let nonce = phone.nonce(&mut world);
        let lines = phone.invite_lines("502");
        let authorization = phone.authorization("INVITE", "guess", &nonce, Some(1));
        let body = phone.sdp();
        let uri = format!("sip:502@{DOMAIN}");
        let invite = phone.request("INVITE", &uri, &format!("{lines}CSeq: 1 INVITE\r\n{authorization}"), &body);
        phone.say(&mut world, &invite);
        last = Some(Sip(invite));
    }
    phone.hear(&mut world);
    let invite = last.unwrap();
    phone.cancel(&mut world, &invite);
    phone.wait_status(&mut world, "CANCEL", 200);
    let refused = phone.wait_status(&mut world, "INVITE", 487);
    phone.acknowledge_refusal(&mut world, &invite, &refused);
    world.run_for(secs(5));
    assert_eq!(phone.hear(&mut world), []);
}

/// RFC 5626 §4.1: one instance has one place.
#[test]
fn a_telephone_that_comes_back_elsewhere_replaces_itself_by_its_instance() {
    let mut world = World::new(1);
    let phone = Template::new("501", 1);
    let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
    for port in [5061, 5062] {
        let mut phone = phone.at_port(port);
        let contact = format!("Contact: <{}>;{instance}\r\n", phone.uri());
        phone.ask_to_register(&mut world, &contact);
        let answer = phone.wait_status(&mut world, "REGISTER", 200);
        assert_eq!(answer.0.matches("Contact:").count(), 1, "{answer:?}");
        assert_eq!(bindings(&mut world), [phone.uri()]);
    }
}

/// Each Contact of one REGISTER is a binding (RFC 3261 §10.3 7), but one instance is one telephone.
#[test]
fn two_contacts_of_one_instance_in_one_register_are_consistent_in_memory_and_store() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
    let contacts =
        format!("Contact: <sip:501@10.0.2.1:5061>;{instance}\r\nContact: <sip:501@10.0.2.1:5062>;{instance}\r\n");
    for _ in 0..3 {
        phone.ask_to_register(&mut world, &contacts);
        let answer = phone.wait_status(&mut world, "REGISTER", 200);
        let stored = bindings(&mut world);
        assert_eq!(answer.0.matches("Contact:").count(), stored.len(), "{answer:?} {stored:?}");
    }
}

#[test]
fn star_ends_all_bindings_and_only_with_expires_0() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    phone.register(&mut world);
    phone.at_port(5070).register(&mut world);
    phone.ask_to_register(&mut world, "Contact: *\r\nExpires: 5\r\n");
    phone.wait_status(&mut world, "REGISTER", 400);
    assert_eq!(bindings(&mut world).len(), 2);
    phone.ask_to_register(&mut world, "Contact: *\r\nExpires: 0\r\n");
    phone.wait_status(&mut world, "REGISTER", 200);
    assert_eq!(bindings(&mut world), Vec::<String>::new());
}

/// Timers go by the monotonic clock.
#[test]
fn a_wall_clock_that_jumps_ends_no_registration_and_no_session() {
    for hours in [-1, 1] {
        let mut world = World::new(1);
        let [a, b] = world.add_phones(["501", "502"]);
        let mut phone = Template::new("503", 1);
        phone.register(&mut world);
        let client = world.log_in("501");
        world.set_clock(hours * 3600);
        for _ in 0..10 {
            world.run_for(secs(25));
            world.check();
        }
        phone.ask_to_register(&mut world, "");
        let left = phone.wait_status(&mut world, "REGISTER", 200).header("Contact").to_owned();
        assert!(left.contains("expires=4") || left.contains("expires=5"), "{left}");
        world.connect_call(a, b);
        assert_eq!(world.calls(client).len(), 1);
        world.run_for(secs(60));
        phone.ask_to_register(&mut world, "");
        assert_eq!(phone.wait_status(&mut world, "REGISTER", 200).header("Contact"), "");
        world.check();
        world.quiesce();
    }
}

#[test]
fn a_user_deleted_while_a_register_of_his_waits_is_registered_nowhere() {
    for register_first in [true, false] {
        let mut world = World::new(1);
        let [caller] = world.add_phones(["502"]);
        let admin = world.log_in("admin");
        let mut phone = Template::new("501", 1);
        let nonce = phone.nonce(&mut world);
        let contact = format!("Contact: <{}>;expires=300\r\n", phone.uri());
        let number = phone.fresh();
        let authorization = phone.authorization("REGISTER", &phone.secret(), &nonce, Some(1));
        let request = phone.register_request(&phone.call_id(), number, &contact, &authorization);
        let deletion = json!({"topic": "config", "message": "delete-user", "ext": "501"});
        world.slow_store(secs(1));
        let asked = world.begin(admin, deletion);
        if register_first {
            phone.say(&mut world, &request);
        }
        world.run_for(Duration::from_millis(500));
        if !register_first {
            phone.say(&mut world, &request);
        }
        world.run_for(secs(8));
        assert!(world.reply_to(asked).is_some());
        assert_eq!(bindings(&mut world).len(), 1, "the caller's");
        assert_eq!(world.registrations(), 1, "the caller's");
        let answers = phone.hear(&mut world);
        assert_eq!(answers.len(), 1, "{answers:?}");
        world.call(caller, "501");
        world.run_for(secs(1));
        assert_eq!(world.phone(caller).status(), Status::Idle);
        assert!(world.events_of(caller).iter().any(|event| matches!(event, Event::Ended(_))));
        world.quiesce();
    }
}

/// What waits takes one contact of two away; the other is the deleted device's all the same.
#[test]
fn a_user_deleted_while_a_contact_of_his_is_taken_back_is_left_with_none() {
    let mut world = World::new(1);
    let admin = world.log_in("admin");
    let mut phone = Template::new("501", 1);
    phone.ask_to_register(&mut world, "Contact: <sip:501@10.0.2.1:6001>\r\nContact: <sip:501@10.0.2.1:6002>\r\n");
    phone.wait_status(&mut world, "REGISTER", 200);
    let nonce = phone.nonce(&mut world);
    world.slow_store(secs(1));
    let asked = world.begin(admin, json!({"topic": "config", "message": "delete-user", "ext": "501"}));
    // The second waits for the first.
    for (count, contact) in [(1, "<sip:501@10.0.2.1:6001>;expires=0"), (2, "<sip:501@10.0.2.1:6003>")] {
        let authorization = phone.authorization("REGISTER", &phone.secret(), &nonce, Some(count));
        let number = phone.fresh();
        let contact = format!("Contact: {contact}\r\n");
        let request = phone.register_request(&phone.call_id(), number, &contact, &authorization);
        phone.say(&mut world, &request);
    }
    world.run_for(secs(8));
    assert!(world.reply_to(asked).is_some());
    assert_eq!(phone.hear(&mut world).iter().map(Sip::status).collect::<Vec<_>>(), [403, 403]);
    assert_eq!((world.registrations(), bindings(&mut world)), (0, Vec::new()));
}

/// A telephone over TCP, with a flow for each connection (RFC 5626).
fn flow(world: &mut World, port: u16) -> Template {
    Template::new("501", 1).at_port(port).over_tcp(world)
}

fn register_flow(world: &mut World, phone: &mut Template, id: u32) {
    let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
    let contact = format!("Supported: path, outbound\r\nContact: <{}>;{instance};reg-id={id}\r\n", phone.uri());
    phone.ask_to_register(world, &contact);
}

#[test]
fn a_flow_that_ends_while_another_of_the_telephone_waits_for_the_store_is_no_more() {
    let mut world = World::new(1);
    let [mut first, mut second] = [5061, 5062].map(|port| flow(&mut world, port));
    register_flow(&mut world, &mut first, 1);
    first.wait_status(&mut world, "REGISTER", 200);
    world.slow_store(secs(1));
    register_flow(&mut world, &mut second, 2);
    world.close_stream(first.stream().unwrap());
    second.wait_status(&mut world, "REGISTER", 200);
    world.run_for(secs(3));
    assert_eq!((world.registrations(), bindings(&mut world)), (1, vec![second.uri()]));
}

#[test]
fn a_flow_that_ends_while_it_waits_for_the_store_leaves_nobody_registered() {
    let mut world = World::new(1);
    let mut phone = flow(&mut world, 5061);
    let client = world.log_in("501");
    world.slow_store(secs(1));
    register_flow(&mut world, &mut phone, 1);
    world.close_stream(phone.stream().unwrap());
    world.run_for(secs(5));
    assert_eq!((world.registrations(), bindings(&mut world)), (0, Vec::new()));
    let told = world.events_told(client).into_iter().filter(|event| event["message"] == "device-evt");
    let registered: Vec<bool> = told.map(|event| event["registered"].as_bool().unwrap()).collect();
    assert_eq!(registered, [true, false]);
}
