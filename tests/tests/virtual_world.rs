//! Random walks through the virtual world; see `tests::world`. `WORLD_SEED=17 cargo test -p tests --test virtual_world` replays one,
//! `WORLD_SEEDS=5000` takes more than usual, `WORLD_STEPS=1000` goes further than usual, `WORLD_FIRST=3000` begins elsewhere, `WORLD_WIRE=1`
//! shows in a replay every message as it is. `make soak` takes ten thousand.

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tests::world::{Walked, World};

const SEEDS: u64 = 200;
const STEPS: u64 = 500;
/// In a soak.
const MANY: u64 = 10_000;

#[test]
fn the_invariants_hold_on_random_walks() {
    walk_all(SEEDS);
}

#[test]
#[ignore = "minutes in a release build: make soak"]
fn the_invariants_hold_on_ten_thousand_random_walks() {
    walk_all(MANY);
}

/// Walks on all cores; every seed that fails is told with the command that replays it.
fn walk_all(usual: u64) {
    let steps = number("WORLD_STEPS", STEPS);
    if std::env::var_os("WORLD_SEED").is_some() {
        World::random(number("WORLD_SEED", 0)).walk(steps);
        return;
    }
    let (first, seeds) = (number("WORLD_FIRST", 0), number("WORLD_SEEDS", usual));
    let (next, failed, seen) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Walked::default()));
    let began = Instant::now();
    let walk = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= seeds {
                return;
            }
            match catch_unwind(|| World::random(first + at).walk(steps)) {
                Ok(walked) => seen.lock().expect("nobody panics with it").add(&walked),
                Err(_) => failed.lock().expect("nobody panics with it").push(first + at),
            }
            if (at + 1).is_multiple_of(500) {
                eprintln!(
                    "{} of {seeds} walks, {} failed, {:?}",
                    at + 1,
                    failed.lock().map_or(0, |f| f.len()),
                    began.elapsed()
                );
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(walk))));
    let (failed, seen) = (failed.into_inner().expect("the threads are done"), seen.into_inner().expect("so too"));
    eprintln!("{seeds} walks of {steps} steps in {:?}: {seen}", began.elapsed());
    for seed in &failed {
        eprintln!(
            "WORLD_SEED={seed} WORLD_STEPS={steps} cargo test --locked --package tests --test virtual_world   # replays a failure"
        );
    }
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    let seldom = seen.seldom((seeds / 20) as usize);
    assert!(seldom.is_empty(), "the walks saw too little of {seldom:?}: {seen}");
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |given| given.parse().expect("WORLD_SEED and its like are numbers"))
}
