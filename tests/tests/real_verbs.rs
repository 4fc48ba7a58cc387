//! Transfer, park and pickup with telephones that we did not write: whom each hears, and that no stream breaks.

use tests::baresip::{Baresip, Model};
use tests::linphone::Linphone;
use tests::office::{hear_each_other, heard_without_a_gap, office, office_with_music, talking, turn};
use tests::process::Switch;
use tests::wire::Capture;

/// Basil's telephone, which speaks 700 Hz.
fn basils(switch: &Switch) -> Baresip {
    Baresip::start(switch, Model::new("503", 700))
}

/// S67: Vanessa asks Basil first, and then leaves Austin with him. Who is transferred hears music or a voice all the time, in one stream.
#[test]
fn s67_a_telephone_transfers_to_whom_it_has_asked() {
    let _turn = turn();
    let switch = office();
    let capture = Capture::start(&switch);
    let mut vanessa = Linphone::start(&switch, "501", 440);
    let (mut austin, mut basil) = (Baresip::start(&switch, Model::new("502", 1_000)), basils(&switch));

    let first = vanessa.dial("502");
    austin.answer();
    vanessa.talks(first);
    vanessa.hears(1_000);
    austin.hears(440);
    vanessa.hold(first);
    let second = vanessa.dial("503");
    basil.answer();
    vanessa.talks(second);
    vanessa.hears(700);
    basil.hears(440);
    vanessa.transfer(first, second);
    hear_each_other(&austin, 1_000, &basil, 700);
    vanessa.is_out_of(first);
    vanessa.is_out_of(second);
    hear_each_other(&austin, 1_000, &basil, 700);
    austin.hang_up();
    basil.closed();

    let trace = capture.stop();
    trace.is_well_formed();
    heard_without_a_gap(&trace, &austin);
    heard_without_a_gap(&trace, &basil);
}

/// S62: by the code, in a second call, which says where; who is parked hears music, and then whoever dials the orbit.
#[test]
fn s62_a_call_is_parked_and_fetched() {
    let _turn = turn();
    let switch = office_with_music(1_270);
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = talking(&switch);
    let mut basil = basils(&switch);

    vanessa.command("hold", None);
    vanessa.dial("*68");
    vanessa.event("CALL_ESTABLISHED");
    austin.hears(1_270);
    // Both of her calls: that with him, and that which has shown her where he is.
    vanessa.closed();
    vanessa.closed();
    basil.dial("700");
    basil.event("CALL_ESTABLISHED");
    hear_each_other(&austin, 1_000, &basil, 700);
    basil.hang_up();
    austin.closed();

    let trace = capture.stop();
    trace.is_well_formed();
    heard_without_a_gap(&trace, &austin);
    let shown = trace.fields("sip.P-Asserted-Identity contains \"Parked at 700\"", &["frame.number"]);
    assert!(!shown.is_empty(), "her telephone was told where he is");
}

/// S62: by a transfer to the orbit; S69: a call that rings elsewhere is answered by code.
#[test]
fn s69_what_is_parked_at_an_orbit_or_rings_elsewhere_is_got() {
    let _turn = turn();
    let switch = office_with_music(1_270);
    let capture = Capture::start(&switch);
    let (mut vanessa, mut austin) = talking(&switch);
    let mut basil = basils(&switch);

    vanessa.command("transfer", Some(&format!("sip:705@{}", switch.sip)));
    vanessa.closed();
    austin.hears(1_270);
    basil.dial("*88705");
    basil.event("CALL_ESTABLISHED");
    hear_each_other(&austin, 1_000, &basil, 700);
    basil.hang_up();
    austin.closed();

    austin.dial("501");
    vanessa.event("CALL_INCOMING");
    basil.dial("**501");
    basil.event("CALL_ESTABLISHED");
    vanessa.closed();
    hear_each_other(&austin, 1_000, &basil, 700);
    austin.hang_up();
    basil.closed();
    capture.stop().is_well_formed();
}
