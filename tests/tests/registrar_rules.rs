//! The rules of RFC 3261 §10.3, step by step, and those of Path (RFC 3327), GRUU (RFC 5627) and outbound (RFC 5626) that go with them, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use cas::store::Registrations;
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, World};

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";

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
