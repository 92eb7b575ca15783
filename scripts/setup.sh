#!/usr/bin/env bash
# Installs what Kinestream needs on Debian 12, Debian 13 or Ubuntu 24.04, and only what is missing:
# GStreamer and build tools by apt, Rust by rustup, ONNX Runtime and the Python client's packages into a venv.
#
#   scripts/setup.sh            install what is missing
#   scripts/setup.sh --dry-run  say what would be installed, change nothing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

dry_run=false
case "${1:-}" in
    "") ;;
    --dry-run) dry_run=true ;;
    *) echo "usage: scripts/setup.sh [--dry-run]" >&2; exit 2 ;;
esac

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "needs root for: $*. Run it as root, or install sudo."
    fi
}

# The packages of scripts/packages.txt that dpkg does not have.
missing_packages() {
    local package
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' scripts/packages.txt | while read -r package; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' ok installed$' || echo "$package"
    done
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        pkg-config --exists gstreamer-1.0 gstreamer-video-1.0 gstreamer-rtsp-server-1.0 2>/dev/null ||
            die "no apt-get here: install the counterparts of scripts/packages.txt with your package manager, then run this again"
        say "packages: no apt-get here, but pkg-config finds GStreamer $(pkg-config --modversion gstreamer-1.0)"
        return
    fi
    local -a missing
    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -eq 0 ]; then
        say "packages: all there (GStreamer $(pkg-config --modversion gstreamer-1.0))"
        return
    fi
    say "packages: installing ${missing[*]} (apt, a few minutes)"
    if $dry_run; then return; fi
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] || die "apt ran, yet these are still missing: ${missing[*]}"
}

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

install_rust() {
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    if ! command -v cargo >/dev/null 2>&1; then
        say "rust: installing the stable toolchain (rustup, about a minute)"
        if $dry_run; then return; fi
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c rustfmt -c clippy
        . scripts/env.sh
    fi
    found=$(rustc --version | cut -d ' ' -f 2)
    if ! at_least "$found" "$needed"; then
        command -v rustup >/dev/null 2>&1 ||
            die "rust: found $found, need $needed or newer: remove the distribution's rustc and cargo, then run this again"
        say "rust: updating $found (need $needed or newer)"
        if $dry_run; then return; fi
        rustup update stable
        found=$(rustc --version | cut -d ' ' -f 2)
        at_least "$found" "$needed" || die "rust: still $found after the update: check 'rustup show'"
    fi
    say "rust: $found"
}

# The venv is made again when its requirements change or its interpreter is gone.
install_python() {
    local stamp="$KINESTREAM_VENV/.requirements.sha256" wanted
    wanted=$(sha256sum <scripts/requirements.txt)
    if [ -x "$KINESTREAM_VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] &&
        "$KINESTREAM_VENV/bin/python" -c '' 2>/dev/null && [ -f "${ORT_DYLIB_PATH:-}" ]; then
        say "python: venv is up to date, ONNX Runtime at $ORT_DYLIB_PATH"
        return
    fi
    say "python: ONNX Runtime, zenoh and protobuf into $KINESTREAM_VENV (pip, about a minute)"
    if $dry_run; then return; fi
    # A venv made by an interpreter that has since gone cannot be mended, only made again.
    python3 -m venv --clear "$KINESTREAM_VENV"
    "$KINESTREAM_VENV/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary :all: \
        -r scripts/requirements.txt
    echo "$wanted" >"$stamp"
    unset ORT_DYLIB_PATH
    . scripts/env.sh
    [ -f "${ORT_DYLIB_PATH:-}" ] || die "python: onnxruntime is installed, but its libonnxruntime.so is not where it should be"
    say "python: done, ONNX Runtime at $ORT_DYLIB_PATH"
}

install_packages
install_rust
install_python
