//! Random walks through the virtual world; see `tests::world`. `WORLD_SEED=17 cargo test -p tests --test virtual_world` replays one,
//! `WORLD_SEEDS=5000` takes more than usual, `WORLD_STEPS=1000` goes further than usual.

use tests::world::World;

const SEEDS: u64 = 50;
const STEPS: u64 = 200;

#[test]
fn the_invariants_hold_on_random_walks() {
    match std::env::var("WORLD_SEED") {
        Ok(seed) => walk(seed.parse().expect("WORLD_SEED is a number")),
        Err(_) => (0..seeds()).for_each(walk),
    }
}

fn walk(seed: u64) {
    let compared = World::random(seed).walk(steps());
    assert!(compared > 0, "no client saw a call in the walk of {seed}");
}

fn seeds() -> u64 {
    number("WORLD_SEEDS", SEEDS)
}

fn steps() -> u64 {
    number("WORLD_STEPS", STEPS)
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |given| given.parse().expect("WORLD_SEEDS and WORLD_STEPS are numbers"))
}
