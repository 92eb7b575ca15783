#!/usr/bin/env bash
# Writes each element's `gst-inspect-1.0` output to docs/elements/, without what differs from machine to machine.
#
#   scripts/inspect.sh          write
#   scripts/inspect.sh --check  compare with what is committed; differences are changes of the API
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

plugin="$KINESTREAM_PLUGINS/libgstkinestream.so"
[ -f "$plugin" ] || { echo "inspect: no $plugin; run scripts/build.sh first" >&2; exit 1; }
export GST_REGISTRY_FORK=no LC_ALL=C NO_COLOR=1
elements=$(gst-inspect-1.0 "$plugin" | sed -n 's/^  \(kine[a-z]*\): .*/\1/p' | sort)
[ -n "$elements" ] || { echo "inspect: the plugin has no elements; see GST_DEBUG=GST_PLUGIN_LOADING:5" >&2; exit 1; }

# The plugin's file, version and dates are the machine's.
inspect() { gst-inspect-1.0 --no-colors "$1" | sed -e '/^Plugin Details:/,/^$/d' -e 's/[[:space:]]*$//'; }
# Name and blurb of each property, signal and action: what all GStreamer versions print alike.
gist() { grep -E '^  [a-z][a-z-]* +: ' "$1" | tr -s ' ' || true; }

version=$(gst-inspect-1.0 --version | sed -n 's/^GStreamer //p')
written=$(cat docs/elements/VERSION 2>/dev/null || true)
case "${1:-}" in
    "")
        mkdir -p docs/elements
        rm -f docs/elements/*.txt
        for element in $elements; do inspect "$element" >"docs/elements/$element.txt"; done
        echo "$version" >docs/elements/VERSION
        echo "inspect: wrote docs/elements/ for: ${elements//$'\n'/ }"
        ;;
    --check)
        found=$(mktemp -d)
        trap 'rm -rf "$found"' EXIT
        for element in $elements; do inspect "$element" >"$found/$element.txt"; done
        cp docs/elements/VERSION "$found/"
        if [ "${version%.*}" = "${written%.*}" ]; then
            diff -ru docs/elements "$found" || { echo "inspect: docs/elements differs: run scripts/inspect.sh and look at the change" >&2; exit 1; }
        else
            # gst-inspect-1.0 words its output differently from version to version.
            diff <(cd docs/elements && ls ./*.txt) <(cd "$found" && ls ./*.txt)
            for element in $elements; do
                diff <(gist "docs/elements/$element.txt") <(gist "$found/$element.txt") ||
                    { echo "inspect: the properties of $element differ: run scripts/inspect.sh with GStreamer $written" >&2; exit 1; }
            done
        fi
        echo "inspect: $(wc -w <<<"$elements") elements are as documented"
        ;;
    *) echo "usage: scripts/inspect.sh [--check]" >&2; exit 2 ;;
esac
