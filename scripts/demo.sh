#!/usr/bin/env bash
# Shows the whole chain: a camera is served over RTSP, `kinestream run` watches it, and separate zenoh subscribers show
# objects and answers. The camera is a simulated one, whose truth is known, unless VIDEO= is given.
#
#   SCENE=     street-fixed, street-drive, plaza, court or parking   default: street-fixed
#   SEED=      which world of the scene                              default: 100004, not one of those trained on
#   VIDEO=     video file instead of a simulated camera
#   DETECTOR=  manifest or ONNX file instead of the built-in detector
#   CLASSES=   classes to keep to                                    default: all
#   CAMERA=    camera file                                           default: the simulated camera's; none with VIDEO=
#   DURATION=  seconds to watch                                      default: 40
#
# Leaves demo/: annotated.mp4, report.json, and of a simulated camera birdseye.png and errors.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/common.sh

say() { printf '\ndemo: %s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

scene=${SCENE:-street-fixed}
seed=${SEED:-100004}
duration=${DURATION:-40}
options=()
if [ -n "${DETECTOR:-}" ]; then
    [ -f "$DETECTOR" ] || die "no detector at $DETECTOR. Give an ONNX file or a manifest (docs/models.md)"
    options+=(--detector "$DETECTOR")
fi
[ -z "${CLASSES:-}" ] || options+=(--classes "$CLASSES")
if [ -n "${CAMERA:-}" ]; then
    [ -f "$CAMERA" ] || die "no camera file at $CAMERA (docs/camera.md)"
    options+=(--camera-file "$CAMERA")
fi
[ -z "${VIDEO:-}" ] || [ -f "$VIDEO" ] || die "no video at $VIDEO"

say "building (the first time takes some minutes)"
scripts/build.sh
trap end_started EXIT
rm -rf demo
mkdir demo

if [ -n "${VIDEO:-}" ]; then
    say "serving $VIDEO over RTSP"
    serve "$VIDEO" demo/rtsp.log
else
    say "serving a simulated camera over RTSP: kinestream sim serve --scene $scene --seed $seed"
    [ -n "${CAMERA:-}" ] || options+=(--camera-file demo/camera.toml)
    "$bin/kinestream" sim serve --scene "$scene" --seed "$seed" --port "$(free_port)" --fps 25 \
        --camera-out demo/camera.toml --truth-out demo/truth.jsonl >demo/rtsp.log 2>&1 &
    started+=($!)
    await_url demo/rtsp.log
    case $scene in street-drive) options+=(--ego visual) ;; esac
fi
endpoint="tcp/127.0.0.1:$(free_port)"

say "running: kinestream run configs/demo.toml --source $rtsp_url ${options[*]} --record demo/annotated.mp4 (for $((duration + 3)) s)"
"$bin/kinestream" run configs/demo.toml --source "$rtsp_url" "${options[@]}" --record demo/annotated.mp4 \
    --listen "$endpoint" --no-multicast-scouting --duration $((duration + 3)) --report demo/report.json >demo/run.log 2>&1 &
started+=($!)
run=$!

say "separate programs watch over zenoh: kinestream watch -e $endpoint"
sleep 1
watch() { "$bin/kinestream" watch -e "$endpoint" --no-multicast-scouting --duration "$duration" "$@"; }
watch --format json >demo/tracks.jsonl 2>demo/watch.err &
started+=($!)
recorder=$!
watched=0
if [ -t 1 ]; then
    watch || watched=$?
else
    # Without a terminal the table is drawn again and again below itself: show the last one with objects, and all answers.
    watch >demo/watch.log || watched=$?
    awk -v RS= '/═/ {last = $0} END {print last}' demo/watch.log
    grep -E '^  [a-z]+: ' demo/watch.log | grep -v 'There is no answer' | sort -u | tail -n 40 || true
fi
if [ "$watched" != 0 ]; then
    tail -n 20 demo/run.log >&2
    die "the subscriber failed"
fi
say "another asks: python examples/ask.py street \"Which object moved fastest in the last 10 seconds?\""
"$KINESTREAM_PYTHON" examples/ask.py -e "$endpoint" --no-multicast-scouting street \
    "Which object moved fastest in the last 10 seconds?" || true
wait "$recorder" || { cat demo/watch.err >&2; die "the recording subscriber failed"; }
wait "$run" || { tail -n 20 demo/run.log >&2; die "kinestream run failed"; }
end_started

say "what was measured: demo/report.json"
"$KINESTREAM_PYTHON" - demo/report.json <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
rss = report["rss_bytes"]["max"] / 2**20
print(
    f"  {report['frames']} frames, {report['fps']:.1f} frames/s, {report['drops']} dropped,"
    f" {report['reconnects']} reconnects, {rss:.0f} MiB of memory"
)
for camera in report["cameras"]:
    rows = {"capture to publish": camera["capture_to_publish"], **camera["stages"]}
    for name, latency in rows.items():
        if latency:
            print(f"  {name:<20} p50 {latency['p50_ms']:7.2f} ms   p95 {latency['p95_ms']:7.2f} ms   max {latency['max_ms']:7.2f} ms")
PYTHON
left="demo/annotated.mp4, demo/report.json"
if [ -z "${VIDEO:-}" ]; then
    say "what subscribers heard against what was true: kinestream eval recorded"
    "$bin/kinestream" eval recorded --truth demo/truth.jsonl --tracks demo/tracks.jsonl --plot demo/birdseye.png \
        >demo/errors.txt || die "the comparison failed"
    cat demo/errors.txt
    left+=", demo/birdseye.png, demo/errors.txt"
fi
say "done: $left"
