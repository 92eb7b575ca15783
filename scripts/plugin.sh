#!/usr/bin/env bash
# Builds the loadable GStreamer plugin and puts it into $KINESTREAM_PLUGINS, which scripts/env.sh adds to GST_PLUGIN_PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

cargo build --package gst-plugin-kinestream
built="$CARGO_TARGET_DIR/debug/libgstkinestream.so"
[ -f "$built" ] || { echo "plugin: cargo left no $built" >&2; exit 1; }
mkdir -p "$KINESTREAM_PLUGINS"
# A link would do, but GStreamer's registry looks at the time of the link, not of the library.
cmp -s "$built" "$KINESTREAM_PLUGINS/libgstkinestream.so" || install -m 755 "$built" "$KINESTREAM_PLUGINS/"
