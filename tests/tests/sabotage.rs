//! Every deliberate breakage is noticed by what the virtual world checks, within a few walks, and none is noticed where there is none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tests::world::{Fault, World, take_breach};

/// Walks in which a fault must be noticed, and their steps.
const WALKS: u64 = 60;
const STEPS: u64 = 200;

#[test]
fn every_deliberate_breakage_is_noticed() {
    // The control: what ends a walk below is the fault's doing.
    for seed in 0..WALKS {
        World::random(seed).walk(STEPS);
    }
    // A breach is a panic, and here each is as it should be.
    std::panic::set_hook(Box::new(|_| {}));
    let found: Vec<_> =
        Fault::ALL.into_iter().map(|fault| (fault, (0..WALKS).find_map(|seed| noticed(seed, fault)))).collect();
    drop(std::panic::take_hook());
    for (fault, by) in &found {
        eprintln!("{:<20} {}", format!("{fault:?}"), by.as_deref().unwrap_or("NOT NOTICED"));
    }
    let unnoticed: Vec<_> = found.into_iter().filter(|(_, by)| by.is_none()).map(|(fault, _)| fault).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?} went unnoticed");
}

/// The breach that ended a walk with this fault. That something else panicked is no check's merit, and does not count.
fn noticed(seed: u64, fault: Fault) -> Option<String> {
    let walk = || World::random(seed).sabotage(fault).walk(STEPS);
    catch_unwind(AssertUnwindSafe(walk)).err()?;
    let text = take_breach()?;
    Some(format!("walk {seed}: {}", text.lines().next().unwrap_or_default().chars().take(110).collect::<String>()))
}
