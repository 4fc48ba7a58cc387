//! The telephones and the capture without a switch between them: what they show of it later is not made by themselves.

use tests::baresip::{Baresip, Model};
use tests::process::loopback;
use tests::wire::Capture;

#[test]
fn two_telephones_called_directly_hear_each_other() {
    let nowhere = loopback(9);
    let alone = |extension, tone| Model { expires: 0, ..Model::new(extension, tone) };
    let mut callee = Baresip::boot(nowhere, alone("502", 1_000));
    let mut caller = Baresip::boot(callee.sip, alone("501", 440));
    let capture = Capture::of(callee.sip.port(), &callee.rtp);

    caller.dial("502");
    callee.answer();
    caller.event("CALL_ESTABLISHED");
    caller.hears(1_000);
    callee.hears(440);
    caller.command("sndcode", Some("5"));
    assert_eq!(callee.digits(1), "5");
    callee.command("hangup", None);
    caller.event("CALL_CLOSED");

    let trace = capture.stop();
    trace.is_well_formed();
    assert_eq!(trace.digits(&callee.rtp), "5");
}
