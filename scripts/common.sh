# shellcheck shell=bash
# What the demo and the example tests share: finding data, a video served as a camera, free ports, ending what was started.

# shellcheck disable=SC2034  # for the scripts that source this
data=${KINESTREAM_DATA:-../shared/data}
bin="$CARGO_TARGET_DIR/debug"
started=()

# Ends what this script started, by process id, the newest first.
end_started() {
    local index
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do
        # What was killed ends with a status of its own, which is no failure here.
        if kill "${started[index]}" 2>/dev/null; then wait "${started[index]}" 2>/dev/null || true; fi
    done
    started=()
    return 0
}

free_port() {
    "$KINESTREAM_PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# await_url LOG: waits until the server that was started last prints its address into LOG, and sets `rtsp_url`.
await_url() {
    local waited
    for ((waited = 0; waited < 300; waited++)); do
        rtsp_url=$(grep -so 'rtsp://[^ ]*' "$1" || true)
        [ -z "$rtsp_url" ] || return 0
        kill -0 "${started[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "the RTSP server did not start:" >&2
    cat "$1" >&2
    return 1
}

# serve FILE LOG: serves the file over RTSP, and sets `rtsp_url` once it answers.
serve() {
    "$bin/examples/rtsp_server" "$1" "$(free_port)" >"$2" 2>&1 &
    started+=($!)
    await_url "$2"
}
