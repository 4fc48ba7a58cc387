//! Random walks through the virtual world; see `tests::world`. `WORLD_SEED=17 cargo test -p tests --test virtual_world` replays one,
//! `WORLD_SEEDS=5000` takes more than usual, `WORLD_STEPS=1000` goes further than usual.

use tests::world::World;

const SEEDS: u64 = 50;
const STEPS: u64 = 200;

#[test]
fn the_invariants_hold_on_random_walks() {
    match std::env::var("WORLD_SEED") {
        Ok(seed) => World::random(seed.parse().expect("WORLD_SEED is a number")).walk(steps()),
        Err(_) => (0..seeds()).for_each(|seed| World::random(seed).walk(steps())),
    }
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
