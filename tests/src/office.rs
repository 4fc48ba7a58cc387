//! The office in which real telephones ring: a switch, its users, and what they have on their desks. One scenario at a time, since each has telephones with clocks to
//! keep and a capture, and the machine may be small.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::baresip::{Baresip, Model};
use crate::process::Switch;
use crate::wav;
use crate::wire::Trace;

/// Waits for the scenario's turn, which lasts as long as the answer lives.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those who sit there.
const USERS: [(&str, &str); 3] = [("501", "Vanessa Kensington"), ("502", "Austin Powers"), ("503", "Basil Exposition")];

/// A running switch with the users 501, 502 and 503.
pub fn office() -> Switch {
    Switch::with_users(&USERS)
}

/// The same, whose music is a tone, so that it is known again.
pub fn office_with_music(hz: u32) -> Switch {
    let mut switch = Switch::new();
    let music = switch.config().with_file_name("music.wav");
    wav::write_tone(&music, hz, 8_000, 2);
    switch.set("sound", &format!("music = \"{}\"", music.display()));
    switch.run();
    for (extension, name) in USERS {
        switch.add_user(extension, name);
    }
    switch
}

/// The telephones of 501 and 502: hers speaks 440 Hz, his 1000 Hz.
pub fn telephones(switch: &Switch, model: impl Fn(&'static str, u32) -> Model) -> (Baresip, Baresip) {
    (Baresip::start(switch, model("501", 440)), Baresip::start(switch, model("502", 1_000)))
}

/// The same, plain ones, when she has called him and both hear the other.
pub fn talking(switch: &Switch) -> (Baresip, Baresip) {
    let (mut vanessa, mut austin) = telephones(switch, Model::new);
    vanessa.call(&mut austin);
    hear_each_other(&vanessa, 440, &austin, 1_000);
    (vanessa, austin)
}

/// Each hears the tone that the other speaks.
pub fn hear_each_other(one: &Baresip, speaks: u32, other: &Baresip, and: u32) {
    one.hears(and);
    other.hears(speaks);
}

/// One stream came to this telephone, and what it heard in it had no gap over 60 ms, as the stream itself counts time.
pub fn heard_without_a_gap(trace: &Trace, phone: &Baresip) {
    let heard = trace.rtp(&phone.rtp);
    assert!(heard.len() > 50, "{} packets", heard.len());
    for pair in heard.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let is_next = after.ssrc == before.ssrc && after.sequence == before.sequence.wrapping_add(1);
        assert!(is_next, "after {before:?} came {after:?}");
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert!((1..=480).contains(&step), "a gap of {} ms after {before:?}", step / 8);
    }
}
