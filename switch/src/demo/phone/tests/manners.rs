//! What a telephone knows beyond plain calls, each between two of them.

use super::*;

fn both(manners: Manners) -> [Manners; 2] {
    [manners.clone(), manners]
}

fn reliable() -> Manners {
    Manners { reliable: Reliable::Supported, ..Manners::default() }
}

fn early() -> Manners {
    Manners { early_media: true, ..reliable() }
}

fn timed(expires: u32, min: u32, refreshes: bool) -> Manners {
    Manners { timer: Some(SessionTimer { expires, min, refreshes }), ..Manners::default() }
}

/// The first calls; the second rings.
fn ringing(manners: [Manners; 2]) -> Pair {
    let mut pair = Pair::with(manners);
    pair.phones[1].behave(Behaviour::Ring);
    assert!(pair.press(0, |phone, now| phone.call(now, "502")));
    pair.seconds(1);
    pair
}

fn nobody_complains(pair: &Pair) {
    let complaint = pair.events.iter().flatten().find(|event| matches!(event, Event::Malformed(_) | Event::LeftAlone));
    assert_eq!(complaint, None, "{:#?}", pair.said);
}

fn hangs_up(pair: &mut Pair, index: usize) {
    pair.press(index, Phone::hang_up);
    pair.seconds(70);
    assert_eq!(pair.told(1 - index, &Event::Ended(End::There)), 1);
    assert!(pair.phones.iter().all(|phone| phone.is_quiet() && phone.next_timeout().is_none()));
    nobody_complains(pair);
}

/// RFC 3262 §3.
#[test]
fn a_reliable_ringing_is_repeated_until_its_prack_comes() {
    let mut pair = ringing(both(reliable()));
    assert_eq!((pair.said(0, "PRACK"), pair.said(1, "SIP/2.0 180")), (1, 1));
    assert!(pair.press(1, Phone::answer));
    pair.seconds(1);
    assert!(pair.hear_each_other());
    hangs_up(&mut pair, 0);

    let mut pair = Pair::with(both(reliable()));
    pair.phones[1].behave(Behaviour::Ring);
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.run(Duration::from_millis(7));
    pair.phones[0].vanish();
    pair.seconds(40);
    assert_eq!(pair.said(1, "SIP/2.0 180"), 7);
    assert_eq!(pair.told(1, &Event::Ended(End::Lost)), 1);
}

#[test]
fn who_does_not_know_reliable_answers_refuses_where_they_are_required() {
    let required = Manners { reliable: Reliable::Required, ..Manners::default() };
    let mut pair = Pair::with([required.clone(), Manners::default()]);
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.seconds(1);
    assert_eq!(pair.told(0, &Event::Ended(End::Refused(420))), 1);
    let mut pair = Pair::connected_with([required, reliable()]);
    assert_eq!(pair.said(0, "PRACK"), 1);
    hangs_up(&mut pair, 1);
}

#[test]
fn early_media_is_heard_before_the_answer_reliable_or_not() {
    for manners in [early(), Manners { early_media: true, ..Manners::default() }] {
        let mut pair = ringing(both(manners));
        assert_eq!(pair.said(1, "SIP/2.0 183"), 1);
        assert_eq!(pair.phones[0].status(), Status::Calling { ringing: true });
        assert!(pair.hear_each_other());
        assert!(pair.press(1, Phone::answer));
        pair.seconds(1);
        assert!(pair.hear_each_other());
        hangs_up(&mut pair, 0);
    }
}

/// RFC 3262 §5.
#[test]
fn picking_up_waits_for_the_prack_of_what_was_described() {
    let mut pair = Pair::with(both(early()));
    pair.phones[1].behave(Behaviour::Answer(Duration::ZERO));
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.run(Duration::from_millis(12));
    assert_eq!(pair.said(1, "SIP/2.0 200"), 0);
    pair.seconds(1);
    assert_eq!((pair.told(0, &Event::Connected), pair.told(1, &Event::Connected)), (1, 1));
    hangs_up(&mut pair, 0);
}

#[test]
fn an_offer_left_to_the_callee_is_answered_in_the_ack_or_the_prack() {
    let late = |manners| Manners { late_offer: true, ..manners };
    for manners in [both(Manners::default()), both(early()), both(reliable()), [Manners::default(), early()]] {
        let [caller, callee] = manners;
        let mut pair = Pair::connected_with([late(caller), callee]);
        assert!(pair.hear_each_other());
        let invite = &pair.said[0].1;
        assert!(invite.starts_with("INVITE") && !invite.contains("v=0"), "{invite}");
        hangs_up(&mut pair, 1);
    }
}

/// RFC 3311 §5.
#[test]
fn an_early_dialog_can_be_updated_by_either_side() {
    for index in 0..2 {
        let mut pair = ringing(both(Manners { update: true, ..early() }));
        assert!(pair.press(index, Phone::hold));
        pair.seconds(1);
        assert_eq!(pair.told(1 - index, &Event::HeldByOther(true)), 1, "{:#?}", pair.said);
        assert!(pair.press(index, Phone::resume));
        pair.seconds(1);
        assert_eq!((pair.said(index, "UPDATE"), pair.said(index, "INVITE")), (2, 1 - index));
        assert!(pair.press(1, Phone::answer));
        pair.seconds(1);
        assert!(pair.hear_each_other());
        hangs_up(&mut pair, 0);
    }
}

#[test]
fn a_change_goes_by_update_where_both_know_it_and_by_re_invite_where_not() {
    let update = Manners { update: true, ..Manners::default() };
    for (other, updates) in [(update.clone(), 1), (Manners::default(), 0)] {
        let mut pair = Pair::connected_with([update.clone(), other]);
        assert!(pair.press(0, Phone::hold));
        pair.seconds(1);
        assert_eq!((pair.told(0, &Event::Held(true)), pair.said(0, "UPDATE")), (1, updates));
        hangs_up(&mut pair, 1);
    }
}

#[test]
fn updates_that_cross_are_both_carried_out_in_the_end() {
    let mut pair = Pair::connected_with(both(Manners { update: true, ..Manners::default() }));
    assert!(pair.press(0, Phone::hold) && pair.press(1, Phone::hold));
    pair.seconds(10);
    assert_eq!((pair.told(0, &Event::Held(true)), pair.told(1, &Event::Held(true))), (1, 1));
    hangs_up(&mut pair, 0);
}

/// RFC 4028 §10.
#[test]
fn a_session_is_refreshed_by_whoever_said_so_and_by_either_method() {
    for update in [false, true] {
        for (caller, callee, refresher) in [(true, false, 0), (false, true, 1)] {
            let manners = |refreshes| Manners { update, ..timed(100, 90, refreshes) };
            let mut pair = Pair::connected_with([manners(caller), manners(callee)]);
            let before = pair.said.len();
            pair.seconds(170);
            assert_eq!(pair.phones[0].status(), Status::Talking { held: false }, "{:#?}", &pair.said[before..]);
            let method = if update { "UPDATE" } else { "INVITE" };
            let refreshes = |index| {
                pair.said[before..].iter().filter(|(by, text)| *by == index && text.starts_with(method)).count()
            };
            assert_eq!((refreshes(refresher), refreshes(1 - refresher)), (3, 0));
            hangs_up(&mut pair, 0);
        }
    }
}

#[test]
fn a_session_that_nobody_refreshes_is_hung_up() {
    let mut pair = Pair::connected_with(both(timed(90, 90, true)));
    pair.phones[0].vanish();
    pair.seconds(100);
    assert_eq!(pair.told(1, &Event::Ended(End::Expired)), 1);
}

/// RFC 4028 §7.3.
#[test]
fn an_interval_too_brief_is_asked_for_again_with_what_the_other_side_takes() {
    let mut pair = Pair::connected_with([timed(90, 90, true), timed(600, 300, false)]);
    assert_eq!((pair.said(0, "INVITE"), pair.said(1, "SIP/2.0 422")), (2, 1));
    assert!(
        pair.said
            .iter()
            .any(|(_, text)| text.starts_with("SIP/2.0 200") && text.contains("Session-Expires: 300;refresher=uac"))
    );
    hangs_up(&mut pair, 0);
}

#[test]
fn every_form_of_hold_silences_who_is_held() {
    for form in [Hold::SendOnly, Hold::Inactive, Hold::Zero] {
        let mut pair = Pair::connected();
        pair.phones[0].config.hold = form;
        assert!(pair.press(0, Phone::hold));
        pair.seconds(1);
        assert_eq!(pair.told(1, &Event::HeldByOther(true)), 1, "{form:?}");
        assert!(!pair.hear_each_other() && !pair.phones[0].ear().hears(640), "{form:?}");
        assert!(pair.press(0, Phone::resume));
        pair.seconds(1);
        assert!(pair.hear_each_other(), "{form:?}");
        hangs_up(&mut pair, 0);
    }
}

#[test]
fn a_re_invite_may_leave_the_offer_to_the_other_side() {
    let mut pair = Pair::connected();
    assert!(pair.press(0, Phone::ask_for_offer));
    pair.seconds(1);
    assert!(pair.hear_each_other());
    hangs_up(&mut pair, 1);
}

#[test]
fn a_telephone_may_move_and_turn_its_codecs_round_in_the_middle_of_a_call() {
    let mut pair = Pair::connected_with([Manners { ptime: 40, ..Manners::default() }, Manners::default()]);
    assert!(pair.press(0, |phone, now| phone.move_to(now, address(4100))));
    pair.seconds(1);
    assert!(pair.hear_each_other());
    assert!(pair.press(0, Phone::reorder));
    pair.seconds(1);
    assert!(pair.hear_each_other());
    assert_eq!(pair.phones[0].ear().codecs, [Codec::Pcmu, Codec::Pcma].into());
    let ear = pair.phones[0].ear();
    assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults), (1, 0, 0));
    assert!(ear.packets < pair.phones[1].ear().packets * 2 / 3);
    hangs_up(&mut pair, 0);
}

#[test]
fn a_change_that_is_thought_about_can_be_taken_back() {
    let slow = Manners { slow: Duration::from_secs(3), ..Manners::default() };
    let mut pair = Pair::connected_with([Manners::default(), slow]);
    assert!(pair.press(0, Phone::hold));
    pair.seconds(1);
    // Without a provisional answer it may not be (RFC 3261 §9.1).
    assert!(!pair.press(0, Phone::take_back));
    pair.seconds(5);
    assert_eq!(pair.told(0, &Event::Held(true)), 1);
    hangs_up(&mut pair, 0);
}

/// RFC 3261 §15.1.2.
#[test]
fn a_bye_overtakes_the_change_that_is_thought_about() {
    let slow = Manners { slow: Duration::from_secs(3), ..Manners::default() };
    let mut pair = Pair::connected_with([Manners::default(), slow]);
    assert!(pair.press(0, Phone::hold));
    pair.seconds(1);
    hangs_up(&mut pair, 0);
    assert_eq!(pair.said(1, "SIP/2.0 487"), 1);
}

#[test]
fn digits_go_by_info_in_both_its_forms() {
    for digits in [Digits::Relay, Digits::Plain] {
        let mut pair = Pair::connected_with(both(Manners { digits, ..Manners::default() }));
        assert!(pair.press(0, |phone, now| phone.press(now, "12#")));
        pair.seconds(1);
        assert_eq!((pair.phones[1].ear().digits(), pair.said(0, "INFO")), ("12#", 3));
        assert_eq!(pair.told(0, &Event::Answer(Ask::Info, 200)), 3);
        hangs_up(&mut pair, 1);
    }
}

#[test]
fn a_lost_ack_brings_the_200_again_and_one_that_never_comes_the_end() {
    let deaf = |deaf| [Manners { deaf, ..Manners::default() }, Manners::default()];
    let mut pair = Pair::with(deaf(Deaf::AtFirst(2)));
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.seconds(4);
    assert_eq!((pair.said(1, "SIP/2.0 200"), pair.said(0, "ACK"), pair.told(1, &Event::Connected)), (4, 1, 1));
    hangs_up(&mut pair, 0);

    let mut pair = Pair::with(deaf(Deaf::Always));
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.seconds(40);
    assert_eq!(
        (pair.said(0, "ACK"), pair.told(1, &Event::Ended(End::Lost)), pair.told(0, &Event::Ended(End::There))),
        (0, 1, 1)
    );
}

#[test]
fn who_answers_twice_is_acknowledged_twice() {
    let twice = Manners { answers: Answers::Twice, ..Manners::default() };
    let mut pair = Pair::connected_with([Manners::default(), twice]);
    assert_eq!(pair.said(0, "ACK"), 2);
    hangs_up(&mut pair, 0);
}

/// RFC 3261 §13.2.2.4.
#[test]
fn a_second_answer_from_behind_the_same_contact_is_acknowledged_and_hung_up() {
    for late_offer in [false, true] {
        let forked = Manners { answers: Answers::Forked, ..Manners::default() };
        let mut pair = Pair::connected_with([Manners { late_offer, ..Manners::default() }, forked]);
        pair.seconds(1);
        assert_eq!((pair.said(0, "ACK"), pair.said(0, "BYE")), (2, 1));
        assert!(pair.hear_each_other());
        hangs_up(&mut pair, 0);
    }
}

#[test]
fn a_telephone_names_those_who_can_be_called_instead() {
    let elsewhere = Manners { elsewhere: vec!["503".into(), "504".into()], ..Manners::default() };
    let mut pair = Pair::with([Manners::default(), elsewhere]);
    pair.phones[1].behave(Behaviour::Reject(302));
    pair.press(0, |phone, now| phone.call(now, "502"));
    pair.seconds(1);
    assert_eq!(pair.told(0, &Event::Ended(End::Refused(302))), 1);
    let (_, moved) = pair.said.iter().find(|(_, text)| text.starts_with("SIP/2.0 302")).unwrap();
    assert!(moved.contains("<sip:503@switch.local>") && moved.contains("<sip:504@switch.local>"), "{moved}");
}

#[test]
fn what_a_telephone_does_not_know_it_refuses_and_the_call_goes_on() {
    let within = [200, 603, 489, 200, 405, 405, 405];
    let outside = [486, 405, 489, 200, 405, 405, 481];
    let mut pair = Pair::connected();
    for (at, ask) in Ask::ALL.into_iter().enumerate() {
        for (inside, status) in [(true, within[at]), (false, outside[at])] {
            assert!(pair.press(0, |phone, now| phone.ask(now, ask, inside)));
            pair.seconds(1);
            assert_eq!(pair.events[0].last(), Some(&Event::Answer(ask, status)), "{ask:?} within {inside}");
        }
    }
    assert!(pair.hear_each_other());
    hangs_up(&mut pair, 0);
}

#[test]
fn whatever_is_lost_the_call_of_two_learned_telephones_comes_and_goes() {
    let learned = Manners {
        update: true,
        late_offer: true,
        timer: Some(SessionTimer { expires: 90, min: 90, refreshes: true }),
        ..early()
    };
    for every in 3..12 {
        let mut pair = Pair::with(both(learned.clone()));
        pair.lose = Some(every);
        pair.press(0, |phone, now| phone.call(now, "502"));
        pair.seconds(30);
        assert_eq!(
            (pair.told(0, &Event::Connected), pair.told(1, &Event::Connected)),
            (1, 1),
            "one of {every} lost {:#?}",
            pair.said
        );
        pair.press(0, Phone::hold);
        pair.seconds(300);
        assert_eq!(
            (pair.told(0, &Event::Held(true)), pair.told(1, &Event::HeldByOther(true))),
            (1, 1),
            "one of {every} lost"
        );
        hangs_up(&mut pair, 1);
    }
}
