//! Telephones made of templates that are in calls: what scenarios of several telephones share.

use std::time::Duration;

use serde_json::{Value, json};

use crate::template::{Dialog, Sip, Template, sdp};
use crate::world::{ClientId, DOMAIN, World};

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A telephone and its dialog with the switch.
#[derive(Debug)]
pub struct Phone {
    /// The telephone.
    pub template: Template,
    /// Its dialog.
    pub dialog: Dialog,
    /// The CSeq of its last request.
    pub number: u32,
}

impl Phone {
    /// A request of its own within the dialog, and its answer.
    #[track_caller]
    pub fn ask(&mut self, world: &mut World, method: &str, lines: &str, body: &str) -> Sip {
        self.number += 1;
        let number = self.number;
        self.template.adds(lines);
        self.template.say_within(world, &self.dialog, method, number, body);
        self.template.adds("");
        self.template.wait(world, |sip| sip.status() >= 200 && sip.method() == method && sip.number() == number)
    }

    /// A REFER, and its answer.
    #[track_caller]
    pub fn refer(&mut self, world: &mut World, to: &str) -> Sip {
        self.ask(world, "REFER", &format!("Refer-To: <{to}>\r\nReferred-By: <sip:502@{DOMAIN}>\r\n"), "")
    }

    /// Waits for the NOTIFY of a REFER, answers it, and tells its status line.
    #[track_caller]
    pub fn is_notified(&mut self, world: &mut World, status: u16) -> Sip {
        let notify = self.template.wait_request(world, "NOTIFY");
        self.template.respond(world, &notify, 200, "", "");
        assert_eq!(notify.header("Content-Type"), "message/sipfrag;version=2.0");
        assert!(notify.body().starts_with(&format!("SIP/2.0 {status} ")), "{}", notify.0);
        let state = if status < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
        assert_eq!(notify.header("Subscription-State"), state);
        notify
    }

    /// It gets a BYE, which it answers.
    #[track_caller]
    pub fn is_hung_up(&mut self, world: &mut World) {
        let bye = self.template.wait_request(world, "BYE");
        self.template.respond(world, &bye, 200, "", "");
    }

    /// It says BYE.
    #[track_caller]
    pub fn hangs_up(&mut self, world: &mut World) {
        assert_eq!(self.ask(world, "BYE", "", "").status(), 200);
    }

    /// The switch tells it whom it has: by UPDATE, if it has said that it takes that.
    #[track_caller]
    pub fn is_shown(&mut self, world: &mut World, number: &str) {
        let shows = |sip: &Sip| sip.header("P-Asserted-Identity").contains(&format!("<sip:{number}@"));
        let told = self.template.wait(world, |sip| (sip.is("UPDATE") || sip.is("INVITE")) && shows(sip));
        let body = if told.is("INVITE") { self.template.sdp() } else { String::new() };
        self.template.respond(world, &told, 200, "", &body);
        if told.is("INVITE") {
            self.template.wait_request(world, "ACK");
        }
    }
}

/// `caller` calls `callee`, who has answered.
pub fn talking(world: &mut World, mut caller: Template, mut callee: Template, number: &str) -> (Phone, Phone) {
    // Whoever is transferred where, no lamp lies: asked after each step by the world.
    Template::new("504", 90).ask(
        world,
        "SUBSCRIBE",
        "lamps",
        "Event: dialog\r\nSupported: eventlist\r\nExpires: 60\r\n",
        "",
    );
    let body = caller.sdp();
    let invite = caller.call(world, number, &body);
    let rung = callee.wait_request(world, "INVITE");
    callee.adds("Allow: INVITE, UPDATE\r\n");
    callee.respond(world, &rung, 200, "b", &callee.sdp());
    callee.adds("");
    callee.wait_request(world, "ACK");
    let ok = caller.wait_status(world, "INVITE", 200);
    assert!(ok.header("P-Asserted-Identity").contains(&format!("<sip:{number}@")), "{}", ok.0);
    let dialog = Dialog::of_caller(&ok);
    caller.say_within(world, &dialog, "ACK", 2, "");
    world.run_for(secs(1));
    let caller = Phone { template: caller, dialog, number: invite.number() };
    (caller, Phone { template: callee, dialog: Dialog::of_callee(&rung, "b"), number: 0 })
}

/// Registered telephones, one at each host from 1 on.
pub fn registered<const N: usize>(world: &mut World, users: [&'static str; N]) -> [Template; N] {
    let mut host = 0;
    users.map(|user| {
        host += 1;
        let mut template = Template::new(user, host);
        template.register(world);
        template
    })
}

/// Everything ends, and is forgotten.
#[track_caller]
pub fn nothing_is_left(world: &mut World) {
    world.run_for(secs(40));
    assert!(world.is_quiet());
    world.quiesce();
}

/// A template that is rung answers.
#[track_caller]
pub fn answers(world: &mut World, template: &mut Template) -> Dialog {
    let invite = template.wait_request(world, "INVITE");
    template.adds("Allow: INVITE, UPDATE\r\n");
    template.respond(world, &invite, 200, "c", &template.sdp());
    template.adds("");
    template.wait_request(world, "ACK");
    Dialog::of_callee(&invite, "c")
}

/// Calls a number from another line of the same telephone, and is answered.
#[track_caller]
pub fn dials(world: &mut World, template: &mut Template, number: &str) -> (Phone, Sip) {
    let body = sdp(template.address(), 4002, "0 8");
    let invite = template.call(world, number, &body);
    let ok = template.wait_status(world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    template.say_within(world, &dialog, "ACK", 2, "");
    let line = Phone { template: template.at_port(template.address().port()), dialog, number: invite.number() };
    (line, ok)
}

/// A call to a number that is refused.
#[track_caller]
pub fn refused(world: &mut World, template: &mut Template, number: &str) -> u16 {
    let body = sdp(template.address(), 4002, "0 8");
    let invite = template.call(world, number, &body);
    let answer =
        template.wait(world, |sip| sip.method() == "INVITE" && sip.status() >= 300 && sip.number() == invite.number());
    template.acknowledge_refusal(world, &invite, &answer);
    answer.status()
}

/// A client says a message of topic `tel`.
#[track_caller]
pub fn tel(world: &mut World, client: ClientId, message: &str, members: &Value) -> Value {
    let mut request = json!({"topic": "tel", "message": message});
    if let (Some(request), Some(members)) = (request.as_object_mut(), members.as_object()) {
        request.extend(members.clone());
    }
    world.execute(client, request)
}
