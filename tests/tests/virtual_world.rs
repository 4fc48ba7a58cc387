//! Random walks through the virtual world; see `tests::world`. `WORLD_SEED=17 cargo test -p tests --test virtual_world` replays one.

use tests::world::World;

const SEEDS: u64 = 50;
const STEPS: u64 = 200;

#[test]
fn the_invariants_hold_on_random_walks() {
    match std::env::var("WORLD_SEED") {
        Ok(seed) => World::random(seed.parse().expect("WORLD_SEED is a number")).walk(STEPS),
        Err(_) => (0..SEEDS).for_each(|seed| World::random(seed).walk(STEPS)),
    }
}
