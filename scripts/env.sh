# shellcheck shell=bash
# The environment in which cargo, the tests and the demo run. Sourced by the other scripts (`. scripts/env.sh`), and by
# hand when you want to call cargo yourself. Whatever is already set stays as it is.

KINESTREAM_CACHE=${KINESTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kinestream}
KINESTREAM_VENV=${KINESTREAM_VENV:-$KINESTREAM_CACHE/venv}
KINESTREAM_PYTHON=${KINESTREAM_PYTHON:-$KINESTREAM_VENV/bin/python}
export KINESTREAM_CACHE KINESTREAM_VENV KINESTREAM_PYTHON

# Outside the checkout, so that clones share what is built.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$KINESTREAM_CACHE/target}

# `make build` puts the loadable plugin into a folder of its own: GStreamer scans plugin paths recursively, and cargo's
# folder is full of libraries that are no plugins.
export KINESTREAM_PLUGINS=${KINESTREAM_PLUGINS:-$CARGO_TARGET_DIR/gstreamer-1.0}
case ":${GST_PLUGIN_PATH:-}:" in
    *":$KINESTREAM_PLUGINS:"*) ;;
    *) export GST_PLUGIN_PATH="$KINESTREAM_PLUGINS${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}" ;;
esac

# The Python wheel brings the shared library of ONNX Runtime, which is loaded when the first model is opened.
if [ -z "${ORT_DYLIB_PATH:-}" ]; then
    for library in "$KINESTREAM_VENV"/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*; do
        [ -f "$library" ] && export ORT_DYLIB_PATH="$library"
    done
    unset library
fi

# rustup writes this line into the login shell's profile, which the running shell has not read yet.
if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
