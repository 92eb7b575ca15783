#!/usr/bin/env bash
# Runs every check, cheapest first, and stops at the first that fails. One profile serves all of them.
#
#   scripts/test.sh             all checks
#   scripts/test.sh NAME...     only these (format, lint, layers, library, documentation, integration, ...)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# The same cases in every run here; without it each run of a property test tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
started=$SECONDS

if cargo nextest --version >/dev/null 2>&1; then
    run_tests() { cargo nextest run --no-fail-fast --no-tests pass "$@"; }
else
    run_tests() { cargo test --quiet --no-fail-fast "$@"; }
fi

check_format() { cargo fmt --all --check; }
check_scripts() {
    local script
    for script in .ci/run scripts/*.sh examples/*.sh; do
        [ ! -e "$script" ] || bash -n "$script" || return 1
    done
}
check_lint() { cargo clippy --workspace --all-targets -- -D warnings; }
check_layers() { run_tests --workspace --test layering; }
check_library() { run_tests --workspace --lib --bins; }
check_documentation() { cargo test --quiet --doc --workspace; }
check_integration() {
    # The tests that open the loadable plugin or the command find both built.
    scripts/build.sh && run_tests --workspace --test '*'
}
check_elements() { scripts/inspect.sh --check; }
check_examples() { scripts/test-examples.sh; }

all=(format scripts lint layers library documentation integration elements examples)
[ $# -gt 0 ] || set -- "${all[@]}"

for name in "$@"; do
    declare -F "check_$name" >/dev/null || { echo "test: no check '$name'; there are: ${all[*]}" >&2; exit 2; }
done
for name in "$@"; do
    printf '\n==> %s\n' "$name"
    before=$SECONDS
    if ! "check_$name" 2>&1 | tee -a "$log"; then
        printf '\ntest: FAILED in "%s" after %d s; run it alone with: scripts/test.sh %s\n' "$name" $((SECONDS - started)) "$name" >&2
        exit 1
    fi
    printf '    %s: ok, %d s\n' "$name" $((SECONDS - before))
done

# nextest: "N tests run: P passed"; cargo test: "test result: ok. P passed"; our scripts: "P examples ran".
count() { { grep -oE "$1" "$log" || true; } | { grep -oE '[0-9]+' || true; } | awk '{n += $1} END {print n + 0}'; }
tests=$(count '[0-9]+ passed')
examples=$(count '[0-9]+ examples ran')
data=${KINESTREAM_DATA:-../shared/data}
[ -d "$data" ] && data="real data in $data" || data="no real data: tests that need it were skipped (set KINESTREAM_DATA)"
printf '\ntest: passed: %s: %d tests, %d examples; %s; %d s\n' "$*" "$tests" "$examples" "$data" $((SECONDS - started))
