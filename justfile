# The commands of this repository. CI runs these very recipes (.ci/run), so what passes here passes there.
#
#   just            lists them
#   just ci         everything CI does, in its order

# Where CI's own tools live: ignored by git, gone with `cargo clean`.
tools := "target/tools"
cargo_deny_version := "0.20.2"
# An allowed licence or doubled crate that is no longer in the tree leaves deny.toml as well.
stale_exceptions := "-D license-not-encountered -D unmatched-skip -D unnecessary-skip"

# One set of features for the tests against others: Vicar is compiled once for all of them.
others := "authorities,interop"

# Test vectors that nobody here wrote, in a folder beside the checkout.
default_vectors := "../shared/vectors"

_list:
    @just --list --unsorted

# Everything CI does, in its order; the list of steps stands there and nowhere else.
ci:
    .ci/run

# Formatting is not discussed: rustfmt decides.
fmt:
    cargo fmt --check

# `--locked`: the first step that compiles notices when Cargo.lock was not updated with Cargo.toml.
# `-D warnings` goes to Clippy, not into RUSTFLAGS, which would rebuild every dependency.
#
# Clippy over everything that compiles, tests included.
lint:
    cargo clippy --locked --all-targets --all-features -- -D warnings

# `bench` measures this build; nothing else would notice code that only the demo keeps alive.
#
# The same without default features.
features:
    cargo clippy --locked --all-targets --no-default-features -- -D warnings

# `--document-private-items`: most of the text is about private items, and their links break as well.
#
# The documentation builds and no link in it is broken.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features --document-private-items

# Compiled once (two to three minutes on two cores), then kept.
#
# Installs cargo-deny, pinned.
deny-setup:
    @{{ tools }}/bin/cargo-deny --version 2>/dev/null | grep -qxF "cargo-deny {{ cargo_deny_version }}" \
        || cargo install -q cargo-deny --version {{ cargo_deny_version }} --locked --root {{ tools }}

# Offline, so that the answer depends on this commit alone; cargo-deny wants the manifests of all
# platforms, which building fetches only for this one. Advisories are checked by hand: deny.toml.
#
# Licences, banned and doubled dependencies, sources.
deny: deny-setup
    cargo fetch -q --locked
    {{ tools }}/bin/cargo-deny --offline --locked check {{ stale_exceptions }} bans licenses sources

# The README's test command: needs nothing but Rust and a C compiler.
test:
    cargo test

# Without it those tests pass and say that they were skipped.
#
# The same with the test vectors.
vectors folder=default_vectors:
    @test -d "{{ folder }}" || { echo "no folder {{ folder }}"; exit 1; }
    VICAR_VECTORS="$(cd "{{ folder }}" && pwd)" cargo test

# Install scripts stay off: the pinned packages have none, and a new one should not bring any. Nothing
# that is not pinned comes along either, so that every machine tests against the same versions.
#
# Installs the parties nobody here wrote: npm oidc-provider and jose, PyPI joserfc and msal.
interop-setup:
    cd tests/interop && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    python3 -m venv --clear tests/interop/.venv
    tests/interop/.venv/bin/pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: -r tests/interop/requirements.txt

# `--show-output` for the tables of who accepted what and who sent what.
#
# Vicar against those parties; `just interop-setup interop` from nothing.
interop:
    cargo test --features {{ others }} --test interop -- --show-output

# Needs Maven and a JDK, 17 or newer. A minute at first (270 MB), nothing while they are there.
#
# Installs authorities nobody here wrote: Keycloak and NAV's mock-oauth2-server.
authorities-setup:
    tests/authorities/setup

# Vicar on behalf of its callers at those; `just authorities-setup authorities` from nothing.
authorities:
    cargo test --features {{ others }} --test authorities

# It checks each sentence it says: a demo that shows what is not true is worse than none.
demo:
    cargo run -- demo --once

# Every file in config/ through the real `vicar check`, every bad file with its text, and
# config/schema.json against `vicar schema`. Part of `cargo test`; here for quick turns.
#
# The configuration files and the schema.
config:
    cargo test --test config

# Writes the schema for editors anew, from the types that loading checks against.
schema:
    cargo run -q -- schema > config/schema.json

# Never part of CI, because figures from a busy machine mean nothing. Installs missing peers.
#
# Beside Envoy and nginx on this machine, about eight minutes; options as in bench/README.md.
bench *options:
    cargo build --release --no-default-features
    python3 bench/run.py {{ options }}
