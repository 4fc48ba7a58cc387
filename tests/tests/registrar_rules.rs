//! The rules of RFC 3261 §10.3, step by step, and those of Path (RFC 3327), GRUU (RFC 5627) and outbound (RFC 5626) that go with them, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::store::Registrations;
use tests::template::{Dialog, Sip, Template};
use tests::world::{DOMAIN, World};

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
const GRUU: &str = "sip:501@switch.local;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A REGISTER of 501's, credentials right, and what it was answered.
struct Office {
    world: World,
    phone: Template,
}

impl Office {
    fn new() -> Office {
        Office { world: World::new(1), phone: Template::new("501", 1) }
    }

    /// With these lines beside From, To, Call-ID and CSeq.
    fn register(&mut self, call_id: &str, number: u32, lines: &str) -> Sip {
        self.register_at(&format!("sip:{DOMAIN}"), &format!("sip:501@{DOMAIN}"), call_id, number, lines)
    }

    fn register_at(&mut self, uri: &str, to: &str, call_id: &str, number: u32, lines: &str) -> Sip {
        let nonce = self.phone.nonce(&mut self.world);
        let authorization = self.phone.authorization("REGISTER", "secret501", &nonce, Some(1));
        let lines = format!(
            "From: <sip:501@{DOMAIN}>;tag=r\r\nTo: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: {number} REGISTER\r\n{lines}{authorization}"
        );
        let request = self.phone.request("REGISTER", uri, &lines, "");
        self.phone.say(&mut self.world, &request);
        let call_id = call_id.to_owned();
        self.phone.wait(&mut self.world, |sip| sip.status() > 0 && sip.header("Call-ID") == call_id)
    }

    /// What is registered now, each contact with its parameters, in any order.
    fn contacts(&mut self) -> Vec<String> {
        let number = self.phone.fresh();
        contacts(&self.register("fetch", number, ""))
    }

    fn stored(&mut self) -> Vec<String> {
        self.world.store().bindings().unwrap().into_iter().map(|binding| binding.contact).collect()
    }
}

fn contacts(response: &Sip) -> Vec<String> {
    assert_eq!(response.status(), 200, "{}", response.0);
    let mut contacts: Vec<String> = all(response, "Contact");
    contacts.sort();
    contacts
}

/// Every line of a header.
fn all(message: &Sip, name: &str) -> Vec<String> {
    let lines = message.0.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned).collect()
}

#[test]
fn step_1_another_domain_in_the_request_uri_is_404() {
    let mut office = Office::new();
    let refused =
        office.register_at("sip:example.com", &format!("sip:501@{DOMAIN}"), "a", 1, "Contact: <sip:a@10.0.2.1>\r\n");
    assert_eq!((refused.status(), office.stored().len()), (404, 0));
}

#[test]
fn step_2_an_extension_required_and_not_known_is_420_and_named() {
    let mut office = Office::new();
    let refused = office.register("a", 1, "Require: gruu, secret-handshake, path\r\nContact: <sip:a@10.0.2.1>\r\n");
    assert_eq!((refused.status(), refused.header("Unsupported")), (420, "secret-handshake"));
    assert_eq!(office.register("a", 2, "Require: gruu, path, outbound\r\nContact: <sip:a@10.0.2.1>\r\n").status(), 200);
}

#[test]
fn step_3_without_credentials_it_is_401_and_changes_nothing() {
    let mut office = Office::new();
    let request = office.phone.register_request("a", 1, "Contact: <sip:a@10.0.2.1>\r\n", "");
    office.phone.say(&mut office.world, &request);
    office.phone.wait_status(&mut office.world, "REGISTER", 401);
    assert_eq!(office.stored().len(), 0);
}

#[test]
fn step_4_another_users_address_is_403() {
    let mut office = Office::new();
    let to = format!("sip:502@{DOMAIN}");
    let refused = office.register_at(&format!("sip:{DOMAIN}"), &to, "a", 1, "Contact: <sip:a@10.0.2.1>\r\n");
    assert_eq!((refused.status(), office.stored().len()), (403, 0));
}

#[test]
fn step_5_an_address_that_is_not_there_is_404() {
    for to in [format!("sip:nobody@{DOMAIN}"), format!("sip:{DOMAIN}"), "sip:501@example.com".to_owned()] {
        let mut office = Office::new();
        let refused = office.register_at(&format!("sip:{DOMAIN}"), &to, "a", 1, "Contact: <sip:a@10.0.2.1>\r\n");
        assert_eq!((refused.status(), office.stored().len()), (404, 0), "{to}");
    }
}

/// "all URI parameters MUST be removed … and any escaped characters MUST be converted".
#[test]
fn step_5_the_address_is_compared_without_parameters_and_escapes() {
    let mut office = Office::new();
    let to = format!("sip:%35%301@{};transport=tcp", DOMAIN.to_uppercase());
    let taken = office.register_at(&format!("sip:{DOMAIN}"), &to, "a", 1, "Contact: <sip:a@10.0.2.1>\r\n");
    assert_eq!((taken.status(), office.stored()), (200, vec!["sip:a@10.0.2.1".to_owned()]));
}

#[test]
fn step_6_without_contact_the_bindings_are_told_and_nothing_changes() {
    let mut office = Office::new();
    assert_eq!(office.contacts(), Vec::<String>::new());
    office.register("a", 1, "Contact: <sip:a@10.0.2.1>;expires=300\r\n");
    office.world.run_for(secs(100));
    let told = office.contacts();
    assert!(told[0].starts_with("<sip:a@10.0.2.1>;expires=") && told.len() == 1, "{told:?}");
    let left: u64 = told[0].rsplit('=').next().unwrap().parse().unwrap();
    assert!((195..=200).contains(&left), "what is left of 300 s after 100: {left}");
}

#[test]
fn step_6_star_beside_a_contact_or_with_another_time_than_zero_is_400() {
    let mut office = Office::new();
    office.register("a", 1, "Contact: <sip:a@10.0.2.1>\r\n");
    for (number, lines) in (2..).zip([
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nExpires: x\r\n",
        "Contact: *, <sip:b@10.0.2.1>\r\nExpires: 0\r\n",
        "Contact: *\r\nContact: <sip:b@10.0.2.1>\r\nExpires: 0\r\n",
        "Contact: *\r\nContact: *\r\nExpires: 0\r\n",
    ]) {
        assert_eq!(office.register("a", number, lines).status(), 400, "{lines}");
    }
    assert_eq!(office.stored(), ["sip:a@10.0.2.1"]);
}

#[test]
fn step_6_star_removes_all_unless_one_is_of_a_later_request() {
    let mut office = Office::new();
    office.register("a", 5, "Contact: <sip:a@10.0.2.1>\r\n");
    office.register("b", 1, "Contact: <sip:b@10.0.2.1>\r\n");
    for number in [4, 5] {
        // Not beside the request with the same number, which would be the same merged (§8.2.2.2).
        office.world.run_for(secs(33));
        let late = office.register("a", number, "Contact: *\r\nExpires: 0\r\n");
        assert_eq!((late.status(), office.stored().len()), (500, 2), "all or none");
    }
    assert_eq!(office.register("a", 6, "Contact: *\r\nExpires: 0\r\n").header("Contact"), "");
    assert_eq!(office.stored().len(), 0);
}

#[test]
fn step_7_how_long_a_contact_lives() {
    for (lines, lives) in [
        ("Contact: <sip:a@10.0.2.1>\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>\r\nExpires: 120\r\n", 120),
        ("Contact: <sip:a@10.0.2.1>;expires=180\r\nExpires: 120\r\n", 180),
        ("Contact: <sip:a@10.0.2.1>;expires=soon\r\nExpires: 120\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>;expires\r\nExpires: 120\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>\r\nExpires: Thu, 01 Dec 1994 16:00:00 GMT\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>;expires=99999999999\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>;expires=86400\r\n", 3600),
        ("Contact: <sip:a@10.0.2.1>;expires=60\r\n", 60),
    ] {
        let mut office = Office::new();
        let taken = office.register("a", 1, lines);
        assert_eq!(contacts(&taken), [format!("<sip:a@10.0.2.1>;expires={lives}")], "{lines}");
    }
}

/// "if and only if the requested expiration interval is greater than zero AND smaller than one hour AND less than a registrar-configured minimum".
#[test]
fn step_7_too_brief_an_interval_is_423_with_the_least_there_is() {
    let mut office = Office::new();
    for (number, lines) in (1..).zip([
        "Contact: <sip:a@10.0.2.1>;expires=59\r\n",
        "Contact: <sip:a@10.0.2.1>\r\nExpires: 1\r\n",
        "Contact: <sip:a@10.0.2.1>;expires=300, <sip:b@10.0.2.1>;expires=1\r\n",
    ]) {
        let refused = office.register("a", number, lines);
        assert_eq!((refused.status(), refused.header("Min-Expires")), (423, "60"), "{lines}");
    }
    assert_eq!(office.stored().len(), 0, "all or none");
    assert_eq!(office.register("a", 9, "Contact: <sip:a@10.0.2.1>;expires=0\r\n").status(), 200, "zero removes");
}

#[test]
fn step_7_each_contact_of_a_request_is_taken_and_all_are_told() {
    let mut office = Office::new();
    office.register("b", 1, "Contact: <sip:z@10.0.2.1>;expires=300\r\n");
    let taken = office.register(
        "a",
        1,
        "Contact: \"a, b\" <sip:a@10.0.2.1>;expires=100;q=0.5, <sip:b@10.0.2.1>;q=0.25;expires=200\r\n\
         Contact: <sip:c@10.0.2.1>;expires=300;q=1.0\r\nContact: <sip:d@10.0.2.1>;expires=0\r\n",
    );
    let expected = [
        "<sip:a@10.0.2.1>;expires=100;q=0.5",
        "<sip:b@10.0.2.1>;expires=200;q=0.25",
        "<sip:c@10.0.2.1>;expires=300",
        "<sip:z@10.0.2.1>;expires=300",
    ];
    assert_eq!(contacts(&taken), expected);
}

#[test]
fn step_7_the_same_contact_twice_counts_as_said_last() {
    let mut office = Office::new();
    let taken = office.register("a", 1, "Contact: <sip:a@10.0.2.1>;expires=100, <sip:a@10.0.2.1;x=y>;expires=200\r\n");
    assert_eq!(contacts(&taken).len(), 1);
    assert_eq!(office.stored().len(), 1);
}

/// §19.1.4: whether it is the same contact, by the RFC's own examples.
#[test]
fn step_7_contacts_are_compared_as_uris() {
    for (first, second, bindings) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp", 1),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", 1),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", 1),
        ("sip:alice@atlanta.com", "sip:ALICE@atlanta.com", 2),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", 2),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", 2),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", 2),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", 2),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", 2),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", 2),
    ] {
        let mut office = Office::new();
        office.register("a", 1, &format!("Contact: <{first}>\r\n"));
        let told = office.register("a", 2, &format!("Contact: <{second}>\r\n"));
        assert_eq!((contacts(&told).len(), office.stored().len()), (bindings, bindings), "{first} {second}");
    }
}

#[test]
fn step_7_an_old_request_of_the_same_call_id_changes_nothing_of_all_it_asks() {
    let mut office = Office::new();
    office.register("a", 5, "Contact: <sip:a@10.0.2.1>;expires=300\r\n");
    for number in [4, 5] {
        for lines in
            ["Contact: <sip:new@10.0.2.1>, <sip:a@10.0.2.1>;expires=600\r\n", "Contact: <sip:a@10.0.2.1>;expires=0\r\n"]
        {
            // Not beside the request with the same number, which would be the same merged (§8.2.2.2).
            office.world.run_for(secs(33));
            assert_eq!(office.register("a", number, lines).status(), 500, "{number} {lines}");
        }
    }
    assert_eq!(office.stored(), ["sip:a@10.0.2.1"]);
    // Another Call-ID is another registration of the same contact, whatever its number.
    assert_eq!(
        contacts(&office.register("b", 1, "Contact: <sip:a@10.0.2.1>;expires=600\r\n")),
        ["<sip:a@10.0.2.1>;expires=600"]
    );
    assert_eq!(contacts(&office.register("a", 1, "Contact: <sip:a@10.0.2.1>;expires=0\r\n")), Vec::<String>::new());
}

#[test]
fn step_7_a_contact_that_is_no_sip_uri_or_leads_back_here_is_refused() {
    let mut office = Office::new();
    for (number, (contact, status)) in (1..).zip([
        ("<mailto:a@example.com>".to_owned(), 400),
        ("<tel:+15551234>".to_owned(), 400),
        (format!("<sip:501@{DOMAIN}>"), 403),
        (format!("<sip:501@{DOMAIN};gr=urn:uuid:1>"), 403),
        ("<sip:".to_owned(), 400),
    ]) {
        assert_eq!(office.register("a", number, &format!("Contact: {contact}\r\n")).status(), status, "{contact}");
    }
    assert_eq!(office.stored().len(), 0);
}

#[test]
fn step_8_the_answer_has_a_date() {
    let mut office = Office::new();
    assert_eq!(office.register("a", 1, "").header("Date"), "Tue, 14 Nov 2023 22:13:20 GMT");
}

/// RFC 3327 §5.3: what was registered by way of proxies is reached by way of them.
#[test]
fn a_path_is_stored_told_and_followed() {
    let mut office = Office::new();
    let path = "<sip:p2.example.com:5070;lr>, <sip:p1@10.0.9.1;lr>";
    let taken = office.register(
        "a",
        1,
        &format!("Supported: path\r\nPath: {path}\r\nContact: <sip:a@192.168.0.9:5062>;expires=300\r\n"),
    );
    assert_eq!((taken.status(), taken.header("Path")), (200, path));
    office.world.restart();
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    caller.call(&mut office.world, "501", &body);
    let invite = office.phone.wait_request(&mut office.world, "INVITE");
    assert!(invite.0.starts_with("INVITE sip:a@192.168.0.9:5062 SIP/2.0\r\n"), "{}", invite.0);
    assert_eq!(all(&invite, "Route"), ["<sip:p2.example.com:5070;lr>", "<sip:p1@10.0.9.1;lr>"]);
}

#[test]
fn a_path_that_begins_with_an_address_goes_there() {
    let mut office = Office::new();
    let lines = "Supported: path\r\nPath: <sip:10.0.9.1:5080;lr>\r\nContact: <sip:a@192.168.0.9:5062>\r\n";
    assert_eq!(office.register("a", 1, lines).status(), 200);
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    caller.call(&mut office.world, "501", &body);
    office.world.run_for(secs(1));
    let proxy = "10.0.9.1:5080".parse().unwrap();
    let heard = office.world.received_by(proxy);
    assert!(heard.iter().any(|bytes| bytes.starts_with(b"INVITE sip:a@192.168.0.9:5062 SIP/2.0\r\n")), "{heard:?}");
}

/// RFC 3261 §12.2.1.1: on the way within the dialog are the proxies that have recorded themselves, and no others.
#[test]
fn proxies_of_a_path_are_on_the_way_of_what_follows_only_if_they_say_so() {
    for record in ["", "Record-Route: <sip:10.0.2.8:5060;lr>\r\n"] {
        let mut world = World::new(1);
        let mut phone = Template::new("501", 1);
        let mut proxy = Template::new("501", 8);
        let path = format!("Supported: path\r\nPath: <sip:{};lr>\r\nContact: <{}>\r\n", proxy.address(), phone.uri());
        phone.ask_to_register(&mut world, &path);
        phone.wait_status(&mut world, "REGISTER", 200);
        let mut caller = Template::new("502", 2);
        let body = caller.sdp();
        caller.call(&mut world, "501", &body);
        let invite = proxy.wait_request(&mut world, "INVITE");
        let body = phone.sdp();
        let response = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\n{record}From: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\nContact: <{}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            invite.header("Via"),
            invite.header("From"),
            invite.header("To"),
            invite.header("Call-ID"),
            phone.uri(),
            body.len()
        );
        proxy.say(&mut world, &response);
        let next = if record.is_empty() { &mut phone } else { &mut proxy };
        let ack = next.wait_request(&mut world, "ACK");
        assert_eq!(all(&ack, "Route").len(), usize::from(!record.is_empty()));
        let answered = caller.wait_status(&mut world, "INVITE", 200);
        let dialog = Dialog::of_caller(&answered);
        caller.say_within(&mut world, &dialog, "ACK", 2, "");
        caller.say_within(&mut world, &dialog, "BYE", 3, "");
        let next = if record.is_empty() { &mut phone } else { &mut proxy };
        let bye = next.wait_request(&mut world, "BYE");
        assert!(bye.0.starts_with("BYE sip:501@10.0.2.1:5060 "), "{}", bye.0);
    }
}

#[test]
fn a_path_that_the_phone_does_not_know_is_420_and_one_without_lr_400() {
    let mut office = Office::new();
    let contact = "Contact: <sip:a@10.0.2.1>\r\n";
    let refused = office.register("a", 1, &format!("Path: <sip:p1.example.com;lr>\r\n{contact}"));
    assert_eq!((refused.status(), refused.header("Unsupported")), (420, "path"));
    let strict = format!("Supported: path\r\nPath: <sip:p1.example.com>\r\n{contact}");
    assert_eq!(office.register("a", 2, &strict).status(), 400);
    assert_eq!(office.stored().len(), 0);
}

/// Registers a phone of 501's with an instance, at this port.
fn register_phone(world: &mut World, phone: &mut Template, lines: &str) -> Sip {
    let contact = format!("Supported: gruu, outbound, path\r\nContact: <{}>;{INSTANCE}{lines}\r\n", phone.uri());
    phone.ask_to_register(world, &contact);
    phone.wait(world, |sip| sip.status() > 0 && sip.status() != 401 && sip.method() == "REGISTER")
}

/// RFC 5627 §5.3.
#[test]
fn a_gruu_is_given_to_a_phone_that_knows_them_and_has_an_instance() {
    let mut office = Office::new();
    let contact = format!("Contact: <sip:a@10.0.2.1>;{INSTANCE}\r\n");
    let taken = office.register("a", 1, &format!("Supported: gruu\r\n{contact}"));
    assert!(taken.header("Contact").ends_with(&format!(";{INSTANCE};pub-gruu=\"{GRUU}\"")), "{}", taken.0);
    assert!(!office.register("a", 2, &contact).0.contains("pub-gruu"), "it does not know them");
    let plain = office.register("b", 1, "Supported: gruu\r\nContact: <sip:b@10.0.2.1>\r\n");
    assert_eq!(plain.0.matches("pub-gruu").count(), 1, "b has no instance");
}

/// RFC 5627 §5.4: the phone it means, wherever that is, and no other of the user's.
#[test]
fn a_call_to_a_gruu_rings_that_phone_alone() {
    let mut world = World::new(1);
    let mut desk = Template::new("501", 1);
    let mut soft = desk.at_port(5070);
    desk.register(&mut world);
    register_phone(&mut world, &mut soft, "");
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    caller.call_uri(&mut world, GRUU, "501", &body);
    let rung = soft.wait_request(&mut world, "INVITE");
    assert!(rung.0.starts_with(&format!("INVITE {} ", soft.uri())), "{}", rung.0);
    world.run_for(secs(1));
    assert_eq!(desk.hear(&mut world).iter().filter(|sip| sip.is("INVITE")).count(), 0);
}

#[test]
fn a_gruu_without_a_binding_is_480_and_one_that_never_was_404() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    register_phone(&mut world, &mut phone, "");
    phone.ask_to_register(&mut world, "Contact: *\r\nExpires: 0\r\n");
    phone.wait_status(&mut world, "REGISTER", 200);
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    for (uri, status) in [(GRUU, 480), ("sip:999@switch.local;gr=urn:uuid:1", 404), ("sip:501@switch.local;gr", 404)] {
        let invite = caller.call_uri(&mut world, uri, "501", &body);
        let refused = caller.wait(&mut world, |sip| sip.status() >= 300 && sip.number() == 2);
        caller.acknowledge_refusal(&mut world, &invite, &refused);
        assert_eq!(refused.status(), status, "{uri}");
    }
}

/// Linphone: given a GRUU, it writes nothing else into its Contact. What is sent there in the call finds it, even where it has moved to meanwhile.
#[test]
fn a_phone_whose_contact_is_its_gruu_is_reached_in_its_calls() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    register_phone(&mut world, &mut phone, "");
    let at = phone.uri();
    phone.claim(GRUU);
    let mut other = Template::new("502", 2);
    other.register(&mut world);
    let body = phone.sdp();
    phone.call(&mut world, "502", &body);
    let invite = other.wait_request(&mut world, "INVITE");
    let answer = other.sdp();
    other.respond(&mut world, &invite, 200, "b", &answer);
    other.wait_request(&mut world, "ACK");
    let answered = phone.wait_status(&mut world, "INVITE", 200);
    phone.say_within(&mut world, &Dialog::of_caller(&answered), "ACK", 2, "");
    // A re-INVITE from the other side: hold.
    let dialog = Dialog::of_callee(&invite, "b");
    let held = other.sdp().replace("m=audio", "a=inactive\r\nm=audio");
    other.say_within(&mut world, &dialog, "INVITE", 1, &held);
    other.wait_status(&mut world, "INVITE", 200);
    other.say_within(&mut world, &dialog, "ACK", 1, "");
    // Then it comes back from another port.
    let mut moved = phone.at_port(5070);
    register_phone(&mut world, &mut moved, "");
    other.say_within(&mut world, &dialog, "BYE", 2, "");
    let bye = moved.wait_request(&mut world, "BYE");
    assert!(bye.0.starts_with(&format!("BYE {} SIP/2.0", moved.uri())), "{}", bye.0);
    assert_ne!(at, moved.uri());
    moved.respond(&mut world, &bye, 200, "", "");
    world.run_for(secs(1));
    assert!(world.is_quiet());
}

/// RFC 5626 §6: one contact for each flow, each flow one contact.
#[test]
fn a_flow_takes_the_place_of_the_one_with_its_reg_id() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let taken = register_phone(&mut world, &mut phone, ";reg-id=1");
    assert_eq!((taken.status(), taken.header("Require")), (200, "outbound"));
    assert!(taken.header("Contact").ends_with(";reg-id=1"), "{}", taken.0);
    let mut moved = phone.at_port(5070);
    let taken = register_phone(&mut world, &mut moved, ";reg-id=1");
    assert_eq!(all(&taken, "Contact").len(), 1, "{}", taken.0);
    let second = register_phone(&mut world, &mut moved, ";reg-id=2");
    assert_eq!(all(&second, "Contact").len(), 2, "the same contact over another flow");
    assert_eq!(world.store().bindings().unwrap().len(), 2);
    world.restart();
    moved.ask_to_register(&mut world, "");
    assert_eq!(all(&moved.wait_status(&mut world, "REGISTER", 200), "Contact").len(), 2);
}

/// RFC 5626 §7: of several flows of a phone one is tried, the youngest first.
#[test]
fn a_phone_with_two_flows_rings_once_and_over_the_other_when_one_has_failed() {
    let mut world = World::new(1);
    let mut first = Template::new("501", 1).over_tcp(&mut world);
    let mut second = first.at_port(5070).over_tcp(&mut world);
    register_phone(&mut world, &mut first, ";reg-id=1");
    world.run_for(secs(1));
    register_phone(&mut world, &mut second, ";reg-id=2");
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "501", &body);
    second.wait_request(&mut world, "INVITE");
    world.run_for(secs(1));
    assert_eq!(first.hear(&mut world).iter().filter(|sip| sip.is("INVITE")).count(), 0);
    caller.cancel(&mut world, &invite);
    world.close_stream(second.stream().unwrap());
    world.run_for(secs(1));
    assert_eq!(world.registrations(), 1, "the flow ended with its connection");
    caller.call(&mut world, "501", &body);
    first.wait_request(&mut world, "INVITE");
    world.close_stream(first.stream().unwrap());
    world.run_for(secs(1));
    assert_eq!((world.registrations(), world.store().bindings().unwrap().len()), (0, 0));
}

#[test]
fn a_flow_whose_first_proxy_keeps_none_is_439_and_one_with_ob_is_taken() {
    let mut office = Office::new();
    let lines =
        |path: &str| format!("Supported: path, outbound\r\n{path}Contact: <sip:a@192.168.0.9>;{INSTANCE};reg-id=1\r\n");
    let hop = "Via: SIP/2.0/UDP 192.168.0.9;branch=z9hG4bKx\r\n";
    for (number, (path, status)) in (1..).zip([
        (hop.to_owned(), 439),
        (format!("{hop}Path: <sip:edge.example;lr>\r\n"), 439),
        (format!("{hop}Path: <sip:core.example;lr;ob>, <sip:edge.example;lr>\r\n"), 439),
        (format!("{hop}Path: <sip:core.example;lr>, <sip:token@edge.example;lr;ob>\r\n"), 200),
        (String::new(), 200),
    ]) {
        assert_eq!(office.register("a", number, &lines(&path)).status(), status, "{path}");
    }
}

#[test]
fn a_reg_id_counts_with_an_instance_and_outbound_alone() {
    let mut office = Office::new();
    let without_instance = "Supported: outbound\r\nContact: <sip:a@10.0.2.1>;reg-id=1\r\n";
    let without_outbound = format!("Contact: <sip:b@10.0.2.1>;{INSTANCE};reg-id=1\r\n");
    for (number, lines) in (1..).zip([without_instance, &without_outbound]) {
        let taken = office.register("a", number, lines);
        assert_eq!((taken.header("Require"), taken.0.matches("reg-id").count()), ("", 0), "{lines}");
    }
    let two = format!(
        "Supported: outbound\r\nContact: <sip:a@10.0.2.1>;{INSTANCE};reg-id=1, <sip:c@10.0.2.1>;{INSTANCE};reg-id=2\r\n"
    );
    assert_eq!(office.register("a", 3, &two).status(), 400, "one flow in each request");
}

/// RFC 5626 §7: 430 says that the flow is gone, and the next one is tried; so it is when the connection breaks while it rings.
#[test]
fn a_flow_that_fails_while_it_rings_is_followed_by_the_next() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 1);
    let mut edges = [8, 9].map(|host| Template::new("501", host));
    for (id, edge) in (1..).zip(&edges) {
        let path = format!("Supported: path, outbound\r\nPath: <sip:{};lr;ob>\r\n", edge.address());
        let contact = format!("{path}Contact: <sip:501@192.168.0.9>;{INSTANCE};reg-id={id}\r\n");
        phone.ask_to_register(&mut world, &contact);
        phone.wait_status(&mut world, "REGISTER", 200);
        world.run_for(secs(1));
    }
    let mut direct = phone.at_port(5070).over_tcp(&mut world);
    register_phone(&mut world, &mut direct, ";reg-id=3");
    let mut caller = Template::new("502", 2);
    let body = caller.sdp();
    let invite = caller.call(&mut world, "501", &body);
    direct.wait_request(&mut world, "INVITE");
    world.close_stream(direct.stream().unwrap());
    let first = edges[1].wait_request(&mut world, "INVITE");
    edges[1].respond(&mut world, &first, 430, "b", "");
    let second = edges[0].wait_request(&mut world, "INVITE");
    assert_eq!(all(&second, "Route"), [format!("<sip:{};lr;ob>", edges[0].address())]);
    assert!(second.number() > first.number() && second.header("Call-ID") == first.header("Call-ID"));
    edges[0].respond(&mut world, &second, 430, "c", "");
    let refused = caller.wait(&mut world, |sip| sip.status() >= 400 && sip.number() == 2);
    caller.acknowledge_refusal(&mut world, &invite, &refused);
    assert_eq!(refused.status(), 480, "{}", refused.0);
}
