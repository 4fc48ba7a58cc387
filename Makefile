# The commands of a newcomer. What Debian packages are missing is installed first, or named.

.PHONY: run demo test lint

run:
	@tests/setup.sh run
	cargo run --locked --release --package switch

demo:
	@tests/setup.sh run
	cargo run --locked --release --package switch -- demo

test:
	@tests/setup.sh test
	cargo test --locked --workspace

lint:
	@tests/setup.sh run
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
