#!/usr/bin/env bash
# Runs every example against a live chain: a video served over RTSP, `kinestream run` on it, subscribers beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

. scripts/common.sh

ran=0
work=$(mktemp -d)
trap 'end_started; rm -rf "$work"' EXIT
pass() { ran=$((ran + 1)); printf '    example %s: ok\n' "$1"; }
fail() {
    local log
    printf 'examples: %s: FAILED\n' "$1" >&2
    shift
    for log in "$@"; do printf -- '--- %s\n' "$log" >&2; tail -n 30 "$log" >&2; done
    exit 1
}

# Without default features nothing of GStreamer or zenoh may be pulled in.
cargo tree --quiet --no-default-features --edges normal --prefix none >"$work/tree"
! grep -E '^(gstreamer|glib|zenoh|tokio)' "$work/tree" ||
    fail "default-features = false depends on the crates above"
cargo run --quiet --no-default-features --example embed_stages "$work/overlay.jpg" >"$work/embed.log" 2>&1 ||
    fail embed_stages "$work/embed.log"
[ -s "$work/overlay.jpg" ] || fail "embed_stages: no picture" "$work/embed.log"
pass embed_stages

# A small video and a small network of a known contract: what moves in it does not matter here.
detector=tests/data/onnx/yolox.onnx
gst-launch-1.0 -q videotestsrc num-buffers=75 pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 \
    ! jpegenc ! avimux ! filesink "location=$work/video.avi"
"$bin/examples/embed_pipeline" "$detector" 30 >"$work/pipeline.log" 2>&1 || fail embed_pipeline "$work/pipeline.log"
pass embed_pipeline
serve "$work/video.avi" "$work/rtsp.log" || fail rtsp_server "$work/rtsp.log"
pass rtsp_server

endpoint="tcp/127.0.0.1:$(free_port)"
"$bin/kinestream" run configs/demo.toml --source "$rtsp_url" --detector "$detector" \
    --listen "$endpoint" --no-multicast-scouting --duration 120 >"$work/run.log" 2>&1 &
started+=($!)
timeout 60 "$KINESTREAM_PYTHON" examples/subscribe.py -e "$endpoint" --no-multicast-scouting --count 25 --timeout 50 \
    >"$work/subscribe.log" 2>&1 || fail subscribe.py "$work/subscribe.log" "$work/run.log"
pass subscribe.py
timeout 60 "$bin/examples/subscribe" "$endpoint" 25 >"$work/subscribe-rs.log" 2>&1 ||
    fail subscribe.rs "$work/subscribe-rs.log" "$work/run.log"
pass subscribe.rs
# Exit code 2 is an answer too: that there is none.
answered=0
timeout 60 "$KINESTREAM_PYTHON" examples/ask.py -e "$endpoint" --no-multicast-scouting street \
    "How far did each object travel in the last 2 seconds?" >"$work/ask.log" 2>&1 || answered=$?
if ! { [ "$answered" = 0 ] || [ "$answered" = 2 ]; } || ! [ -s "$work/ask.log" ] || grep -q 'no camera answers' "$work/ask.log"; then
    fail ask.py "$work/ask.log" "$work/run.log"
fi
pass ask.py

endpoint="tcp/127.0.0.1:$(free_port)"
mkdir "$work/messages"
"$KINESTREAM_PYTHON" -m grpc_tools.protoc -I proto "--python_out=$work/messages" proto/kinestream/v1/kinestream.proto
examples/launch_rtsp.sh "$rtsp_url" "$detector" "$endpoint" protobuf >"$work/launch.log" 2>&1 &
started+=($!)
timeout 60 "$KINESTREAM_PYTHON" examples/subscribe.py -e "$endpoint" --no-multicast-scouting --messages "$work/messages" \
    --count 25 --timeout 50 >"$work/subscribe.log" 2>&1 || fail launch_rtsp.sh "$work/subscribe.log" "$work/launch.log"
pass launch_rtsp.sh
examples/launch_overlay.sh "$work/video.avi" "$detector" "$work/annotated.mkv" >"$work/overlay.log" 2>&1 ||
    fail launch_overlay.sh "$work/overlay.log"
[ -s "$work/annotated.mkv" ] || fail "launch_overlay.sh: no video" "$work/overlay.log"
pass launch_overlay.sh

echo "examples: $ran examples ran"
