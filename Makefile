# The commands of a newcomer. What Debian packages are missing is installed first, or named.

.PHONY: run demo test soak bench stress lint

run:
	@tests/setup.sh run
	cargo run --locked --release --package switch

demo:
	@tests/setup.sh run
	cargo run --locked --release --package switch -- demo

test:
	@tests/setup.sh test
	cargo test --locked --workspace

# Ten thousand random walks of the virtual world. Takes some twenty minutes; a seed that fails is told with what replays it.
soak:
	@tests/setup.sh test
	cargo test --locked --release --package tests --test virtual_world -- --ignored --nocapture

# Takes a quarter of an hour; ARGS="--quick", ARGS="call relay" and the like take less: see benches/README.md.
bench:
	@tests/setup.sh bench
	cargo build --locked --release --package switch --package benches
	target/release/benches $(ARGS)

lint:
	@tests/setup.sh run
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

# More than the switch can do: calls, registrations, HTTP. Takes some four minutes.
stress:
	@tests/setup.sh run
	cargo build --locked --release --package switch --package tests
	target/release/stress
