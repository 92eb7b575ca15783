#!/usr/bin/env bash
# Builds the command, the plugin and the examples, and puts the plugin into $KINESTREAM_PLUGINS, which scripts/env.sh adds
# to GST_PLUGIN_PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# The folder outlives its clones: what one of them left for its next build and nobody has touched for a day goes.
if [ -d "$CARGO_TARGET_DIR/debug/incremental" ]; then
    find "$CARGO_TARGET_DIR/debug/incremental" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} +
fi

# One call for everything, examples included: cargo then picks the same dependency features as for the tests, and nothing
# is built twice.
cargo build --workspace --lib --bins --examples
built="$CARGO_TARGET_DIR/debug/libgstkinestream.so"
[ -f "$built" ] || { echo "build: cargo left no $built" >&2; exit 1; }
mkdir -p "$KINESTREAM_PLUGINS"
# A link would do, but GStreamer's registry looks at the time of the link, not of the library.
cmp -s "$built" "$KINESTREAM_PLUGINS/libgstkinestream.so" || install -m 755 "$built" "$KINESTREAM_PLUGINS/"
