#!/usr/bin/env bash
# Every check of the project, from a fresh clone to the closing line. Runs as root or as an
# ordinary user; what is missing is installed first (packages with apt, through sudo if need be).
#
#   ./test.sh                 everything
#   ./test.sh STEP...         only these steps, e.g. ./test.sh format lint tidy
#   ./test.sh help            the steps' names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

steps=(install format lint tidy deny unit release stories fuzz docs instructions)
target="${CARGO_TARGET_DIR:-$PWD/target}"
export FOREGATE_BIN="$target/release/foregate"

# One dependency selection for all test builds (`--workspace`), so nothing is compiled twice.
workspace_test() { cargo test --locked --workspace --no-fail-fast "$@"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root and there is no sudo: $*" >&2
        return 1
    fi
}

# A program, and the Debian packages that bring it.
need() {
    local program=$1
    shift
    if command -v "$program" >/dev/null; then
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "\`$program\` is missing; install it (Debian: $*)" >&2
        return 1
    fi
    need_package "$@"
}

need_package() {
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# Python's libraries that stories use as clients and backends, in a place of their own.
python_libraries() {
    local python="$target/python/bin/python3"
    if ! "$python" -c 'import grpc, h2, jsonschema, openapi_spec_validator, websockets' 2>/dev/null; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || need_package python3-venv
        python3 -m venv "$target/python"
        "$python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    fi
}

step_install() {
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env"
    fi
    if ! command -v cargo >/dev/null; then
        echo "cargo is missing: install Rust (rustup, or your distribution's package)" >&2
        return 1
    fi
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
    need cc gcc libc6-dev
    need curl curl ca-certificates
    need h2load nghttp2-client
    need openssl openssl
    need python3 python3
    need valgrind valgrind libc6-dbg
    need pebble pebble
    need /usr/sbin/named bind9
    need dig bind9-dnsutils
    need sslscan sslscan
    need testssl testssl.sh bsdextrautils bind9-dnsutils procps
    need chromium chromium
    need systemd-analyze systemd
    need ss iproute2
    python_libraries
    cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
    cargo --version
}

step_format() { cargo fmt --all --check; }

step_lint() { cargo clippy --locked --workspace --all-targets --quiet -- -D warnings; }

step_tidy() { cargo run --locked --quiet --package xtask -- tidy; }

# Advisories are not among the checks: `cargo deny check advisories` runs where the advisory
# database can be fetched.
step_deny() { cargo deny --locked check bans licenses sources; }

step_unit() { workspace_test --lib --bins; }

step_release() { cargo build --locked --release --package foregate; }

# End to end, against the release binary.
step_stories() { workspace_test --test '*'; }

step_fuzz() { cargo run --locked --release --quiet --package foregate-fuzz -- --smoke 5; }

step_docs() {
    cargo run --locked --quiet --package xtask -- reference --check
    cargo run --locked --quiet --package xtask -- docs
    workspace_test --doc --quiet
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
}

# User instructions a proxied request costs, against the recorded figure.
step_instructions() { bench/instructions --check; }

if [ "${1:-}" = help ]; then
    echo "steps: ${steps[*]}"
    exit
fi
wanted=("$@")
[ "${#wanted[@]}" -gt 0 ] || wanted=("${steps[@]}")
for step in "${wanted[@]}"; do
    if ! declare -F "step_$step" >/dev/null; then
        echo "no step \`$step\`; there are: ${steps[*]}" >&2
        exit 2
    fi
done

summary=()
running=""
finish() {
    local code=$?
    echo
    for line in "${summary[@]:-}"; do echo "$line"; done
    if [ "$code" -ne 0 ]; then
        echo "FAILED: ${running:-before the first step}"
    else
        echo "all ${#wanted[@]} steps passed in ${SECONDS} s"
    fi
}
trap finish EXIT

for step in "${wanted[@]}"; do
    running=$step
    echo
    echo "== $step"
    began=$SECONDS
    "step_$step"
    took="$(printf '%5d s  %s' $((SECONDS - began)) "$step")"
    echo "== $took"
    summary+=("$took")
done
