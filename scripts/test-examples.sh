#!/usr/bin/env bash
# Runs every example against a live chain: a video served over RTSP, `kinestream run` on it, subscribers beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

ran=0
pass() { ran=$((ran + 1)); printf '    example %s: ok\n' "$1"; }
fail() { printf 'examples: %s: FAILED\n' "$1" >&2; [ -z "${2:-}" ] || tail -n 30 "$2" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Without default features nothing of GStreamer or zenoh may be pulled in.
cargo tree --quiet --no-default-features --edges normal --prefix none >"$work/tree"
if grep -E '^(gstreamer|glib|zenoh|tokio)' "$work/tree"; then
    fail "default-features = false still depends on the crates above"
fi
cargo run --quiet --no-default-features --example embed_stages "$work/overlay.jpg" >"$work/log" 2>&1 ||
    fail embed_stages "$work/log"
[ -s "$work/overlay.jpg" ] || fail "embed_stages left no picture" "$work/log"
pass embed_stages

echo "examples: $ran examples ran"
