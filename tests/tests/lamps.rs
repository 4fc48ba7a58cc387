//! Subscriptions: lamps, presence, lists, message counts and publications, by telephones that say exactly what each rule needs, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tests::template::{Dialog, Sip, Template};
use tests::world::{Behaviour, DOMAIN, Handset, PhoneId, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A subscription as a telephone has it.
struct Watch {
    dialog: Dialog,
    number: u32,
}

impl Watch {
    /// Says a SUBSCRIBE within it.
    fn renew(&mut self, world: &mut World, phone: &mut Template, lines: &str) {
        self.number += 1;
        let about = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} SUBSCRIBE\r\nContact: <{}>\r\n{lines}",
            self.dialog.local,
            self.dialog.remote,
            self.dialog.call_id,
            self.number,
            phone.uri()
        );
        let request = phone.request("SUBSCRIBE", &self.dialog.target, &about, "");
        phone.say(world, &request);
    }
}

/// Subscribes; the answer that comes, whatever it is.
#[track_caller]
fn ask(world: &mut World, phone: &mut Template, number: &str, lines: &str) -> Sip {
    phone.ask(world, "SUBSCRIBE", number, lines, "");
    phone.wait(world, |sip| sip.status() >= 200 && sip.method() == "SUBSCRIBE")
}

/// Subscribes and takes the first NOTIFY.
#[track_caller]
fn watch(world: &mut World, phone: &mut Template, number: &str, lines: &str) -> (Watch, Sip) {
    let answer = ask(world, phone, number, lines);
    assert_eq!(answer.status(), 200, "{answer:?}");
    let notify = take(world, phone);
    (Watch { dialog: Dialog::of_caller(&answer), number: 2 }, notify)
}

/// The next NOTIFY, answered.
#[track_caller]
fn take(world: &mut World, phone: &mut Template) -> Sip {
    let notify = phone.wait_request(world, "NOTIFY");
    phone.respond(world, &notify, 200, "", "");
    notify
}

/// What comes in this time, but for what has come already.
fn hear(world: &mut World, phone: &mut Template, time: Duration) -> Vec<Sip> {
    phone.hear(world);
    world.run_for(time);
    phone.hear(world)
}

const DIALOG: &str = "Event: dialog\r\nAccept: application/dialog-info+xml\r\n";

/// The text between two marks, each time they come.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn states(notify: &Sip) -> Vec<&str> {
    between(notify.body(), "<state>", "</state>")
}

fn version(notify: &Sip) -> u32 {
    between(notify.body(), "dialog-info\" version=\"", "\"")[0].parse().unwrap()
}

/// A watcher of 503 at 10.0.2.1, and telephones of 501 and 502.
fn office() -> (World, Template, [PhoneId; 2]) {
    let mut world = World::new(1);
    let phones = world.add_phones(["501", "502"]);
    (world, Template::new("503", 1), phones)
}

#[test]
fn a_lamp_follows_a_call_from_its_first_ring_to_its_end() {
    let mut world = World::new(1);
    let [caller] = world.add_phones(["502"]);
    let callee = world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of("501") });
    world.register(callee);
    world.run_for(secs(1));
    let mut phone = Template::new("503", 1);
    let (_, first) = watch(&mut world, &mut phone, "501", DIALOG);
    assert_eq!((version(&first), states(&first)), (0, vec![]));
    assert!(first.body().contains("state=\"full\" entity=\"sip:501@switch.local\""), "{first:?}");
    assert_eq!(first.header("Content-Type"), "application/dialog-info+xml");
    assert_eq!(first.header("Event"), "dialog");
    assert!(first.header("Subscription-State").starts_with("active;expires="), "{first:?}");

    world.call(caller, "501");
    let ringing = phone.wait(&mut world, |sip| sip.is("NOTIFY"));
    phone.respond(&mut world, &ringing, 200, "", "");
    let mut last = ringing;
    while states(&last) != ["early"] {
        assert_eq!(states(&last), ["trying"]);
        last = take(&mut world, &mut phone);
    }
    assert!(last.body().contains("direction=\"recipient\""), "{last:?}");
    assert!(last.body().contains("<local><identity display=\"First501 Last501\">sip:501@switch.local</identity>"));
    assert!(last.body().contains("<remote><identity display=\"First502 Last502\">sip:502@switch.local</identity>"));
    assert!(last.body().contains(" call-id=\"") && last.body().contains(" remote-tag=\""), "{last:?}");

    world.answer(callee);
    let up = take(&mut world, &mut phone);
    assert_eq!(states(&up), ["confirmed"]);
    assert_eq!(between(up.body(), "pval=\"", "\""), ["yes", "yes"]);
    world.hold(callee);
    let held = take(&mut world, &mut phone);
    assert_eq!((states(&held), between(held.body(), "pval=\"", "\"")), (vec!["confirmed"], vec!["no", "yes"]));
    world.hang_up(callee);
    let over = take(&mut world, &mut phone);
    assert_eq!(states(&over), ["terminated"]);
    assert_eq!(version(&over), version(&held) + 1);
    assert!(hear(&mut world, &mut phone, secs(30)).is_empty(), "nothing more has changed");
}

#[test]
fn the_one_who_calls_is_the_initiator() {
    let (mut world, mut phone, [caller, callee]) = office();
    watch(&mut world, &mut phone, "502", DIALOG);
    world.behave(callee, Behaviour::Answer(secs(1)));
    world.call(callee, "501");
    let notify = take(&mut world, &mut phone);
    assert!(notify.body().contains("direction=\"initiator\""), "{notify:?}");
    assert!(world.phone(caller).is_registered());
}

#[test]
fn only_the_latest_is_told_while_a_notify_is_unanswered() {
    let (mut world, mut phone, [caller, callee]) = office();
    watch(&mut world, &mut phone, "501", DIALOG);
    world.behave(callee, Behaviour::Answer(Duration::from_millis(100)));
    world.call(caller, "502");
    let first = phone.wait_request(&mut world, "NOTIFY");
    world.run_for(secs(3));
    let copies = phone.hear(&mut world);
    assert!(copies.iter().all(|copy| copy.number() == first.number()), "one at a time: {copies:?}");
    phone.respond(&mut world, &first, 200, "", "");
    let second = take(&mut world, &mut phone);
    assert_eq!((states(&second), version(&second)), (vec!["confirmed"], version(&first) + 1));
}

#[test]
fn notifies_come_no_faster_than_one_a_second_after_the_first_few() {
    let (mut world, mut phone, [caller, callee]) = office();
    watch(&mut world, &mut phone, "501", DIALOG);
    world.connect_call(caller, callee);
    while states(&take(&mut world, &mut phone)) != ["confirmed"] {}
    world.run_for(secs(10));
    let mut notifies = Vec::new();
    for turn in 0..40 {
        if turn % 2 == 0 {
            world.hold(caller)
        } else {
            world.resume(caller)
        };
        world.run_for(Duration::from_millis(250));
        for notify in phone.hear(&mut world).into_iter().filter(|sip| sip.is("NOTIFY")) {
            phone.respond(&mut world, &notify, 200, "", "");
            notifies.push(version(&notify));
        }
    }
    assert!((8..=16).contains(&notifies.len()), "{notifies:?}");
    assert!(notifies.windows(2).all(|pair| pair[1] == pair[0] + 1), "no version is left out: {notifies:?}");
}

#[test]
fn a_subscription_ends_when_it_is_not_renewed() {
    let (mut world, mut phone, _) = office();
    let (mut watch, _) = watch(&mut world, &mut phone, "501", &format!("{DIALOG}Expires: 100\r\n"));
    world.run_for(secs(90));
    watch.renew(&mut world, &mut phone, &format!("{DIALOG}Expires: 100\r\n"));
    assert_eq!(phone.wait_status(&mut world, "SUBSCRIBE", 200).header("Expires"), "100");
    assert_eq!(states(&take(&mut world, &mut phone)), Vec::<&str>::new(), "each renewal is told everything");
    assert!(hear(&mut world, &mut phone, secs(95)).is_empty());
    let last = take(&mut world, &mut phone);
    assert_eq!(last.header("Subscription-State"), "terminated;reason=timeout");
    watch.renew(&mut world, &mut phone, DIALOG);
    phone.wait_status(&mut world, "SUBSCRIBE", 481);
}

#[test]
fn a_subscription_is_taken_back_and_a_state_can_be_fetched() {
    let (mut world, mut phone, _) = office();
    let (mut watch, _) = watch(&mut world, &mut phone, "501", DIALOG);
    watch.renew(&mut world, &mut phone, &format!("{DIALOG}Expires: 0\r\n"));
    assert_eq!(phone.wait_status(&mut world, "SUBSCRIBE", 200).header("Expires"), "0");
    assert_eq!(take(&mut world, &mut phone).header("Subscription-State"), "terminated;reason=timeout");
    let answer = ask(&mut world, &mut phone, "501", &format!("{DIALOG}Expires: 0\r\n"));
    assert_eq!((answer.status(), answer.header("Expires")), (200, "0"));
    let fetched = take(&mut world, &mut phone);
    assert_eq!(fetched.header("Subscription-State"), "terminated;reason=timeout");
    assert!(fetched.body().contains("<dialog-info"), "{fetched:?}");
    assert_eq!(world.subscriptions(), 0);
}

#[test]
fn what_cannot_be_subscribed_to_is_refused_with_its_status() {
    let (mut world, mut phone, _) = office();
    for (number, lines, status) in [
        ("501", "Event: refer\r\n", 489),
        ("501", "", 489),
        ("501", "Event: dialog;=\r\n", 400),
        ("501", "Event: dialog\r\nAccept: text/plain\r\n", 406),
        ("501", "Event: dialog\r\nExpires: 59\r\n", 423),
        ("999", "Event: dialog\r\n", 404),
        ("*43", "Event: dialog\r\n", 404),
        ("501", "Event: message-summary\r\n", 403),
        ("lamps", "Event: dialog\r\n", 421),
    ] {
        let answer = ask(&mut world, &mut phone, number, lines);
        assert_eq!(answer.status(), status, "{number} {lines}: {answer:?}");
        match status {
            489 => assert_eq!(answer.header("Allow-Events"), "dialog, message-summary, presence"),
            423 => assert_eq!(answer.header("Min-Expires"), "60"),
            421 => assert_eq!(answer.header("Require"), "eventlist"),
            406 => assert_eq!(answer.header("Accept"), "application/dialog-info+xml"),
            _ => {}
        }
    }
    assert_eq!(world.subscriptions(), 0);
    let granted = ask(&mut world, &mut phone, "501", "Event: dialog\r\nExpires: 999999\r\n");
    assert_eq!(granted.header("Expires"), "600");
}

#[test]
fn a_stranger_does_not_subscribe() {
    let (mut world, mut phone, _) = office();
    let lines = phone.invite_lines("501") + DIALOG + "CSeq: 1 SUBSCRIBE\r\n";
    let bare = phone.request("SUBSCRIBE", &format!("sip:501@{DOMAIN}"), &lines, "");
    phone.say(&mut world, &bare);
    let challenge = phone.wait_status(&mut world, "SUBSCRIBE", 401);
    let nonce = challenge.quoted("WWW-Authenticate", "nonce").to_owned();
    let wrong = phone.authorization("SUBSCRIBE", "wrong", &nonce, Some(1));
    let again = phone.request("SUBSCRIBE", &format!("sip:501@{DOMAIN}"), &format!("{lines}{wrong}"), "");
    phone.say(&mut world, &again);
    phone.wait_status(&mut world, "SUBSCRIBE", 401);
    assert_eq!(world.subscriptions(), 0);
}

#[test]
fn subscriptions_have_a_limit_for_each_device_and_in_all() {
    let mut world = World::with(1, |settings| {
        settings.limits.subscriptions_per_device = 2;
        settings.limits.subscriptions = 3;
    });
    let (mut one, mut other) = (Template::new("503", 1), Template::new("504", 2));
    watch(&mut world, &mut one, "501", DIALOG);
    let (mut second, _) = watch(&mut world, &mut one, "502", DIALOG);
    assert_eq!(ask(&mut world, &mut one, "504", DIALOG).status(), 403);
    watch(&mut world, &mut other, "501", DIALOG);
    let full = ask(&mut world, &mut other, "502", DIALOG);
    assert_eq!(full.status(), 503);
    assert!(!full.header("Retry-After").is_empty(), "{full:?}");
    second.renew(&mut world, &mut one, &format!("{DIALOG}Expires: 0\r\n"));
    take(&mut world, &mut one);
    watch(&mut world, &mut other, "502", DIALOG);
}

#[test]
fn a_phone_that_knows_nothing_of_it_ends_a_subscription() {
    let (mut world, mut phone, [caller, _]) = office();
    watch(&mut world, &mut phone, "501", DIALOG);
    world.call(caller, "502");
    let notify = phone.wait_request(&mut world, "NOTIFY");
    phone.respond(&mut world, &notify, 481, "", "");
    assert!(hear(&mut world, &mut phone, secs(60)).is_empty());
    assert_eq!(world.subscriptions(), 0);
}

#[test]
fn a_refusal_of_the_moment_is_followed_by_everything() {
    let (mut world, mut phone, [caller, callee]) = office();
    watch(&mut world, &mut phone, "501", DIALOG);
    world.connect_call(caller, callee);
    let notify = phone.wait_request(&mut world, "NOTIFY");
    phone.respond(&mut world, &notify, 500, "", "");
    phone.hear(&mut world);
    let again = phone.wait(&mut world, |sip| sip.is("NOTIFY") && sip.number() > notify.number());
    assert_eq!((states(&again), version(&again)), (vec!["confirmed"], version(&notify) + 1));
    let mut last = again;
    for _ in 0..2 {
        phone.respond(&mut world, &last, 503, "", "");
        world.run_for(secs(6));
        last = phone.hear(&mut world).pop().unwrap_or(last);
    }
    assert_eq!(world.subscriptions(), 0, "not for ever");
}

/// RFC 6665 §4.2.2 ends the subscription; the phone that was only out of reach believes in it until it hears otherwise.
#[test]
fn a_phone_that_was_out_of_reach_hears_that_its_subscription_is_lost_when_it_registers_again() {
    let (mut world, mut phone, [caller, _]) = office();
    phone.register(&mut world);
    watch(&mut world, &mut phone, "501", DIALOG);
    world.call(caller, "502");
    world.run_for(secs(40));
    assert_eq!(world.subscriptions(), 0);
    phone.hear(&mut world);
    phone.register(&mut world);
    let told = take(&mut world, &mut phone);
    assert_eq!(told.header("Subscription-State"), "terminated;reason=deactivated");
    phone.register(&mut world);
    assert!(hear(&mut world, &mut phone, secs(60)).is_empty(), "once");
}

#[test]
fn a_phone_that_subscribes_again_is_asked_whether_it_still_knows_the_older_one() {
    let (mut world, mut phone, _) = office();
    let (older, _) = watch(&mut world, &mut phone, "501", DIALOG);
    ask(&mut world, &mut phone, "501", DIALOG);
    let asked = phone.wait(&mut world, |sip| sip.is("NOTIFY") && sip.header("Call-ID") == older.dialog.call_id);
    phone.respond(&mut world, &asked, 481, "", "");
    take(&mut world, &mut phone);
    world.run_for(secs(1));
    assert_eq!(world.subscriptions(), 1);
}

#[test]
fn a_restart_loses_subscriptions_and_the_next_renewal_finds_out() {
    let (mut world, mut phone, [caller, callee]) = office();
    let (mut lost, _) = watch(&mut world, &mut phone, "501", DIALOG);
    world.connect_call(caller, callee);
    world.restart();
    lost.renew(&mut world, &mut phone, DIALOG);
    phone.wait_status(&mut world, "SUBSCRIBE", 481);
    phone.hear(&mut world);
    let (_, first) = watch(&mut world, &mut phone, "501", DIALOG);
    assert_eq!((version(&first), states(&first)), (0, vec![]), "the switch knows nothing of the call any more");
}

#[test]
fn a_stop_ends_every_subscription_and_says_when_to_come_again() {
    let (mut world, mut phone, _) = office();
    watch(&mut world, &mut phone, "501", DIALOG);
    world.stop();
    let last = take(&mut world, &mut phone);
    assert!(last.header("Subscription-State").starts_with("terminated;reason=probation;retry-after="), "{last:?}");
}

#[test]
fn presence_tells_whether_somebody_can_be_reached_and_is_on_the_phone() {
    let mut world = World::new(1);
    let [caller] = world.add_phones(["502"]);
    let mut phone = Template::new("503", 1);
    let (_, first) = watch(&mut world, &mut phone, "501", "Event: presence\r\nAccept: application/pidf+xml\r\n");
    assert_eq!(between(first.body(), "<basic>", "</basic>"), ["closed"]);
    let callee = world.add_phone(Handset { behaviour: Behaviour::Ring, ..Handset::of("501") });
    world.register(callee);
    let there = take(&mut world, &mut phone);
    assert_eq!(between(there.body(), "<basic>", "</basic>"), ["open"]);
    world.call(caller, "501");
    let busy = take(&mut world, &mut phone);
    assert!(busy.body().contains("<rpid:on-the-phone/>"), "{busy:?}");
    world.hang_up(caller);
    let free = take(&mut world, &mut phone);
    assert!(!free.body().contains("<rpid:on-the-phone/>") && free.body().contains("<note>Available</note>"));
}

#[test]
fn a_mailbox_has_nothing_waiting_and_is_its_owners() {
    let (mut world, mut phone, _) = office();
    let lines = "Event: message-summary\r\nAccept: application/simple-message-summary\r\n";
    let (_, notify) = watch(&mut world, &mut phone, "503", lines);
    assert_eq!(notify.header("Content-Type"), "application/simple-message-summary");
    let expected = "Messages-Waiting: no\r\nMessage-Account: sip:503@switch.local\r\nVoice-Message: 0/0 (0/0)\r\n";
    assert_eq!(notify.body(), expected);
}

/// The documents of a list's NOTIFY by the number they are about, and what its first part says.
fn parts(notify: &Sip) -> (String, Vec<(String, String)>) {
    let content_type = notify.header("Content-Type");
    let boundary = content_type.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let boundary = format!("--{boundary}");
    let mut parts = notify.body().split(&boundary).skip(1);
    let root = parts.next().unwrap().to_owned();
    let documents = parts.filter(|part| !part.starts_with("--"));
    let named = documents.map(|part| {
        let cid = between(part, "Content-ID: <", ">")[0];
        assert!(root.contains(&format!("cid=\"{cid}\"")), "{cid} is not in {root}");
        (between(part, "entity=\"sip:", "@")[0].to_owned(), part.to_owned())
    });
    (root.clone(), named.collect())
}

const LIST: &str = "Event: dialog\r\nSupported: eventlist\r\n\
    Accept: application/dialog-info+xml, application/rlmi+xml, multipart/related\r\n";

#[test]
fn a_list_of_lamps_is_one_subscription() {
    let (mut world, mut phone, [caller, callee]) = office();
    let answer = ask(&mut world, &mut phone, "lamps", LIST);
    assert_eq!((answer.status(), answer.header("Require")), (200, "eventlist"));
    let first = take(&mut world, &mut phone);
    let (root, documents) = parts(&first);
    assert!(root.contains("fullState=\"true\"") && root.contains("version=\"0\""), "{root}");
    let numbers: Vec<&str> = documents.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers, ["501", "502", "504"], "everybody but its own user");
    world.behave(callee, Behaviour::Answer(secs(1)));
    world.call(caller, "502");
    let mut last = String::new();
    for list_version in 1..9 {
        let (root, documents) = parts(&take(&mut world, &mut phone));
        assert!(
            root.contains("fullState=\"false\"") && root.contains(&format!("version=\"{list_version}\"")),
            "{root}"
        );
        assert!(documents.iter().all(|(number, _)| number != "504"), "only what has changed");
        last.extend(documents.into_iter().filter(|(number, _)| number == "502").map(|(_, document)| document));
        if last.contains("<state>confirmed</state>") {
            return;
        }
    }
    panic!("the lamp of 502 never came to the call: {last}");
}

#[test]
fn a_list_names_its_numbers() {
    let (mut world, mut phone, _) = office();
    ask(&mut world, &mut phone, "lamps+502+777+501", LIST);
    let (root, documents) = parts(&take(&mut world, &mut phone));
    assert_eq!(between(&root, "<resource uri=\"sip:", "@"), ["502", "777", "501"]);
    assert!(root.contains("state=\"terminated\" reason=\"noresource\""), "{root}");
    assert_eq!(documents.len(), 2);
    let many: Vec<String> = (0..201).map(|number| format!("+{number}")).collect();
    assert_eq!(ask(&mut world, &mut phone, &format!("lamps{}", many.concat()), LIST).status(), 403);
}

#[test]
fn a_long_list_comes_in_several_notifies() {
    let (mut world, mut phone, _) = office();
    // 501 and many numbers nobody has, but of those nothing is told; 501 to 504 in calls would hardly fill one. Names are what makes documents long.
    let numbers: String = (0..199).map(|number| format!("+9{number:03}")).collect();
    ask(&mut world, &mut phone, &format!("lamps+501{numbers}"), LIST);
    let (root, documents) = parts(&take(&mut world, &mut phone));
    assert_eq!((between(&root, "<resource ", "/>").len() >= 200, documents.len()), (true, 1));
}

const PIDF: &str = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:501@switch.local\">\
    <tuple id=\"x\"><status><basic>closed</basic></status><note>Gone &amp; away</note></tuple></presence>";
const PUBLISH: &str = "Event: presence\r\nContent-Type: application/pidf+xml\r\n";

/// Publishes; the answer.
#[track_caller]
fn publish(world: &mut World, phone: &mut Template, number: &str, lines: &str, body: &str) -> Sip {
    phone.ask(world, "PUBLISH", number, lines, body);
    phone.wait(world, |sip| sip.status() >= 200 && sip.method() == "PUBLISH")
}

#[test]
fn what_a_phone_publishes_is_told_renewed_changed_and_taken_back() {
    let mut world = World::new(1);
    let (mut watcher, mut phone) = (Template::new("503", 1), Template::new("501", 2));
    watch(&mut world, &mut watcher, "501", "Event: presence\r\n");
    let first = publish(&mut world, &mut phone, "501", &format!("{PUBLISH}Expires: 100\r\n"), PIDF);
    assert_eq!((first.status(), first.header("Expires")), (200, "100"));
    let told = take(&mut world, &mut watcher);
    assert!(told.body().contains("<note>Gone &amp; away</note>"), "{told:?}");

    world.run_for(secs(90));
    let by = |answer: &Sip| format!("Event: presence\r\nSIP-If-Match: {}\r\n", answer.header("SIP-ETag"));
    let renewed = publish(&mut world, &mut phone, "501", &format!("{}Expires: 100\r\n", by(&first)), "");
    assert_eq!(renewed.status(), 200);
    assert_ne!(renewed.header("SIP-ETag"), first.header("SIP-ETag"));
    assert_eq!(publish(&mut world, &mut phone, "501", &by(&first), "").status(), 412, "the older tag");
    let lines = format!("{}Content-Type: application/pidf+xml\r\n", by(&renewed));
    let changed = publish(&mut world, &mut phone, "501", &lines, &PIDF.replace("Gone", "Far"));
    assert!(take(&mut world, &mut watcher).body().contains("<note>Far &amp; away</note>"));
    assert_eq!(publish(&mut world, &mut phone, "501", &format!("{}Expires: 0\r\n", by(&changed)), "").status(), 200);
    assert!(!take(&mut world, &mut watcher).body().contains("<note>Far"));
}

#[test]
fn a_publication_ends_when_it_is_not_renewed() {
    let mut world = World::new(1);
    let (mut watcher, mut phone) = (Template::new("503", 1), Template::new("501", 2));
    publish(&mut world, &mut phone, "501", &format!("{PUBLISH}Expires: 60\r\n"), PIDF);
    let (_, first) = watch(&mut world, &mut watcher, "501", "Event: presence\r\n");
    assert!(first.body().contains("Gone"));
    world.run_for(secs(61));
    assert!(!take(&mut world, &mut watcher).body().contains("Gone"));
}

#[test]
fn what_cannot_be_published_is_refused_with_its_status() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 2);
    for (number, lines, body, status) in [
        ("502", PUBLISH, PIDF, 403),
        ("999", PUBLISH, PIDF, 404),
        ("501", "Event: dialog\r\nContent-Type: application/pidf+xml\r\n", PIDF, 489),
        ("501", "Event: presence\r\nContent-Type: text/plain\r\n", "hello", 415),
        ("501", PUBLISH, "hello", 400),
        ("501", "Event: presence\r\n", "", 400),
        ("501", "Event: presence\r\nExpires: 10\r\nContent-Type: application/pidf+xml\r\n", PIDF, 423),
        ("501", "Event: presence\r\nSIP-If-Match: nothing\r\n", "", 412),
    ] {
        assert_eq!(publish(&mut world, &mut phone, number, lines, body).status(), status, "{number} {lines}");
    }
    for _ in 0..4 {
        assert_eq!(publish(&mut world, &mut phone, "501", PUBLISH, PIDF).status(), 200);
    }
    assert_eq!(publish(&mut world, &mut phone, "501", PUBLISH, PIDF).status(), 503);
}

#[test]
fn options_and_allow_tell_of_events() {
    let mut world = World::new(1);
    let mut phone = Template::new("501", 2);
    let lines = phone.invite_lines("501") + "CSeq: 1 OPTIONS\r\n";
    let options = phone.request("OPTIONS", &format!("sip:{DOMAIN}"), &lines, "");
    phone.say(&mut world, &options);
    let answer = phone.wait_status(&mut world, "OPTIONS", 200);
    assert_eq!(answer.header("Allow-Events"), "dialog, message-summary, presence");
    for method in ["SUBSCRIBE", "NOTIFY", "PUBLISH"] {
        assert!(answer.header("Allow").contains(method), "{answer:?}");
    }
}
