//! More than the real switch can do, and what is left of it afterwards. Scaled down from what `make stress` does for minutes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use tests::crowd::{self, Line};
use tests::process::{Switch, loopback, ports, until};

/// Long: a busy machine is slow, and only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn ten_thousand_telephones_come_back_after_a_power_cut_and_their_registrations_are_kept() {
    const PHONES: usize = 10_000;
    let mut switch = Switch::of_crowd(PHONES, 1, "");
    switch.run();
    let storm = crowd::register(switch.sip, PHONES, Duration::from_secs(10), PATIENCE);
    println!("{storm:?}");
    assert_eq!(switch.metric("registrations"), PHONES as u64);
    assert_eq!(switch.metric("store_failures_total"), 0, "the store carried them all");
    switch.kill();
    switch.run();
    assert_eq!(switch.metric("registrations"), PHONES as u64, "what was confirmed was stored");
}

#[test]
fn after_far_too_many_calls_it_serves_as_before_and_keeps_nothing_of_them() {
    let gateway = loopback(*ports(2).start());
    // The lag is what a slow test machine does not take for an overload by itself.
    let mut switch = Switch::of_crowd(1, 200, "[limits]\nlag = 200\n");
    switch.run();
    switch.told(&["user", "add", "600", "--name", "Gateway", "--address", &gateway.to_string()]);
    let mut line = Line::new(switch.sip, gateway);
    let before = line.run(50.0, Duration::from_secs(2));
    assert_eq!((before.done, before.failed), (100, 0), "{before:?}");

    let over = line.run(5000.0, Duration::from_secs(4));
    println!("offered {}, done {}, put off {}, failed {}", over.offered, over.done, over.put_off, over.failed);
    assert!(over.done > 0 && over.put_off > 0, "it served what it could and told the others");
    assert!(switch.metric("sip_turned_away_total") > 0);
    line.run(0.0, Duration::from_secs(2));

    let after = line.run(50.0, Duration::from_secs(2));
    assert_eq!((after.done, after.failed, after.put_off), (100, 0, 0), "two seconds later it serves everybody");
    // Transactions stay for 32 s to absorb repetitions (RFC 3261 §17.1.1.2, RFC 6026).
    until("nothing to be left of the calls", || {
        (switch.metric("calls") == 0 && switch.metric("rtp_ports_free") == 400).then_some(())
    });
}
