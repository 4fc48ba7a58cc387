//! The hold reminder: who has somebody on hold for long is rung at the telephone that holds, and has him when he answers. Telephones by template, with two
//! lines.

use std::time::Duration;

use cas::control::CallState;
use cas::store::HistoryKind;
use tests::calls::{refused, secs};
use tests::template::{Dialog, Template};
use tests::world::World;

/// 501 has called 502, who has put him on hold.
struct Held {
    world: World,
    caller: Template,
    holder: Template,
    dialog: Dialog,
    number: u32,
}

impl Held {
    fn new() -> Held {
        let mut world = World::with(1, |settings| settings.hold_reminder = Some(secs(20)));
        let [mut caller, mut holder] = [Template::new("501", 1), Template::new("502", 2)];
        caller.register(&mut world);
        holder.register(&mut world);
        let body = caller.sdp();
        caller.call(&mut world, "502", &body);
        let rung = holder.wait_request(&mut world, "INVITE");
        holder.respond(&mut world, &rung, 200, "b", &holder.sdp());
        holder.wait_request(&mut world, "ACK");
        let ok = caller.wait_status(&mut world, "INVITE", 200);
        caller.say_within(&mut world, &Dialog::of_caller(&ok), "ACK", 2, "");
        let mut held = Held { world, caller, holder, dialog: Dialog::of_callee(&rung, "b"), number: 0 };
        held.world.run_for(secs(1));
        held.offer("sendonly");
        held
    }

    /// The holder's telephone makes an offer, which is taken.
    #[track_caller]
    fn offer(&mut self, direction: &str) {
        self.number += 1;
        let (number, body) = (self.number, format!("{}a={direction}\r\n", self.holder.sdp()));
        self.holder.say_within(&mut self.world, &self.dialog, "INVITE", number, &body);
        let answer = self.holder.wait(&mut self.world, |sip| sip.status() >= 200 && sip.number() == number);
        assert_eq!(answer.status(), 200);
        self.holder.say_within(&mut self.world, &self.dialog, "ACK", number, "");
        self.world.run_for(Duration::from_millis(100));
    }

    #[track_caller]
    fn is_reminded(&mut self) -> tests::template::Sip {
        let invite = self.holder.wait_request(&mut self.world, "INVITE");
        assert!(invite.header("From").starts_with("\"On hold: First501 Last501\" <sip:501@"), "{}", invite.0);
        invite
    }

    /// Nobody is left in a call, nor reminded.
    fn ends(mut self) {
        self.world.run_for(secs(40));
        assert!(self.world.is_quiet());
        self.world.quiesce();
    }

    fn hangs_up(&mut self) {
        let bye = self.caller.wait_request(&mut self.world, "BYE");
        self.caller.respond(&mut self.world, &bye, 200, "", "");
    }
}

#[test]
fn who_answers_the_reminder_has_the_one_who_waits() {
    let mut held = Held::new();
    held.world.run_for(secs(18));
    assert!(held.holder.hear(&mut held.world).is_empty(), "not yet");
    held.world.run_for(secs(2));
    let invite = held.is_reminded();
    let (holder, world) = (&mut held.holder, &mut held.world);
    holder.respond(world, &invite, 200, "r", &holder.sdp());
    holder.wait_request(world, "ACK");
    let bye = holder.wait_request(world, "BYE");
    holder.respond(world, &bye, 200, "", "");
    assert_eq!(bye.header("Call-ID"), held.dialog.call_id);
    // From now on his display says whom he has, and not that somebody waits.
    let shown = holder.wait_request(world, "INVITE");
    assert!(shown.header("P-Asserted-Identity").starts_with("\"First501 Last501\" <sip:501@"), "{}", shown.0);
    holder.respond(world, &shown, 200, "", &holder.sdp());
    holder.wait_request(world, "ACK");
    world.run_for(secs(1));
    for (user, other) in [("501", "502"), ("502", "501")] {
        let ends = world.ends_of(user);
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!((ends[0].state, ends[0].parties[0].addr.as_str()), (CallState::Connected, other));
    }
    world.run_for(secs(60));
    assert!(holder.hear(world).iter().all(|sip| !sip.is("INVITE")), "he is not reminded any more");
    let second = Dialog::of_callee(&invite, "r");
    holder.say_within(world, &second, "BYE", 1, "");
    holder.wait_status(world, "BYE", 200);
    held.hangs_up();
    held.ends();
}

#[test]
fn who_does_not_answer_is_rung_again_later_and_the_other_waits_on() {
    let mut held = Held::new();
    held.world.run_for(secs(20));
    for _ in 0..3 {
        let invite = held.is_reminded();
        held.holder.respond(&mut held.world, &invite, 486, "r", "");
        held.holder.wait_request(&mut held.world, "ACK");
        held.world.run_for(secs(18));
        assert!(held.holder.hear(&mut held.world).iter().all(|sip| !sip.is("INVITE")));
        assert_eq!(held.world.ends_of("502")[0].state, CallState::Held);
        held.world.run_for(secs(2));
    }
    let invite = held.is_reminded();
    held.holder.respond(&mut held.world, &invite, 486, "r", "");
    held.number += 1;
    held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
    held.hangs_up();
    held.ends();
}

#[test]
fn taking_the_call_off_hold_ends_the_ringing_and_so_does_its_end() {
    for off_hold in [true, false] {
        let mut held = Held::new();
        held.world.run_for(secs(20));
        let invite = held.is_reminded();
        held.holder.respond(&mut held.world, &invite, 180, "r", "");
        if off_hold {
            held.offer("sendrecv");
        } else {
            held.number += 1;
            held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
        }
        let cancel = held.holder.wait_request(&mut held.world, "CANCEL");
        held.holder.respond(&mut held.world, &cancel, 200, "", "");
        held.holder.respond(&mut held.world, &invite, 487, "r", "");
        held.holder.wait_request(&mut held.world, "ACK");
        if off_hold {
            held.world.run_for(secs(60));
            assert!(held.holder.hear(&mut held.world).iter().all(|sip| !sip.is("INVITE")));
            held.number += 1;
            held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
        }
        held.hangs_up();
        held.ends();
    }
}

/// He knows of it, and would only be disturbed.
#[test]
fn who_talks_in_another_call_at_that_telephone_is_left_alone_until_it_is_over() {
    let mut held = Held::new();
    let mut third = Template::new("503", 3);
    third.register(&mut held.world);
    let mut second = held.holder.at_port(5061);
    let body = second.sdp();
    second.call(&mut held.world, "503", &body);
    let rung = third.wait_request(&mut held.world, "INVITE");
    third.respond(&mut held.world, &rung, 200, "c", &third.sdp());
    third.wait_request(&mut held.world, "ACK");
    let ok = second.wait_status(&mut held.world, "INVITE", 200);
    let dialog = Dialog::of_caller(&ok);
    second.say_within(&mut held.world, &dialog, "ACK", 2, "");
    held.world.run_for(secs(50));
    assert!(held.holder.hear(&mut held.world).is_empty());
    second.say_within(&mut held.world, &dialog, "BYE", 3, "");
    let bye = third.wait_request(&mut held.world, "BYE");
    third.respond(&mut held.world, &bye, 200, "", "");
    held.world.run_for(secs(10));
    let invite = held.is_reminded();
    held.holder.respond(&mut held.world, &invite, 486, "r", "");
    held.number += 1;
    held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
    held.hangs_up();
    held.ends();
}

/// Until it is answered: clients and records know nothing of it, nobody picks it up, and it is not sent on.
#[test]
fn a_reminder_is_a_bell_and_no_call() {
    let mut held = Held::new();
    let client = held.world.log_in("502");
    let mut third = Template::new("503", 3);
    third.register(&mut held.world);
    held.world.run_for(secs(19));
    let invite = held.is_reminded();
    held.holder.respond(&mut held.world, &invite, 180, "r", "");
    held.world.run_for(secs(1));
    assert_eq!(held.world.calls(client).len(), 1);
    assert_eq!(refused(&mut held.world, &mut third, "**502"), 404);
    held.holder.claim("sip:503@switch.local");
    held.holder.respond(&mut held.world, &invite, 302, "r", "");
    held.holder.wait_request(&mut held.world, "ACK");
    held.world.run_for(secs(1));
    assert!(third.hear(&mut held.world).iter().all(|sip| !sip.is("INVITE")));
    assert!(held.world.records_of("502").iter().all(|record| record.kind != HistoryKind::Missed));
    held.number += 1;
    held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
    held.hangs_up();
    held.ends();
}

/// A short hold is nobody's business.
#[test]
fn who_takes_the_call_off_hold_in_time_is_not_reminded() {
    let mut held = Held::new();
    held.world.run_for(secs(15));
    held.offer("sendrecv");
    held.world.run_for(secs(60));
    assert!(held.holder.hear(&mut held.world).iter().all(|sip| !sip.is("INVITE")));
    held.number += 1;
    held.holder.say_within(&mut held.world, &held.dialog, "BYE", held.number, "");
    held.hangs_up();
    held.ends();
}
