//! Random walks through the virtual world; see `tests::world`. `WORLD_SEED=17 cargo test -p tests --test virtual_world` replays one,
//! `WORLD_SEEDS=5000` takes more than usual.

use tests::world::World;

const SEEDS: u64 = 50;
const STEPS: u64 = 200;

#[test]
fn the_invariants_hold_on_random_walks() {
    match std::env::var("WORLD_SEED") {
        Ok(seed) => World::random(seed.parse().expect("WORLD_SEED is a number")).walk(STEPS),
        Err(_) => (0..seeds()).for_each(|seed| World::random(seed).walk(STEPS)),
    }
}

fn seeds() -> u64 {
    std::env::var("WORLD_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("WORLD_SEEDS is a number"))
}
