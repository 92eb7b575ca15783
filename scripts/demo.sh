#!/usr/bin/env bash
# Shows the whole chain on a video: an RTSP server plays it as a camera, `kinestream run` watches that camera, and a
# separate zenoh subscriber shows objects and answers. Then draws the same into demo/annotated.mkv.
#
#   VIDEO=     video file          default: car-detection.mp4 of the data folder
#   DETECTOR=  manifest or ONNX    default: yolox_nano.onnx of the data folder
#   CLASSES=   classes to keep to   default: road users with the default detector, else all
#   CAMERA=    camera file         default: none, so a field of view is assumed and values are marked as not reliable
#   DURATION=  seconds to watch    default: 30
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/common.sh

say() { printf '\ndemo: %s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

video=${VIDEO:-$data/video/car-detection.mp4}
detector=${DETECTOR:-$data/models/yolox_nano.onnx}
[ -n "${DETECTOR:-}" ] || CLASSES=${CLASSES:-person,bicycle,car,motorcycle,bus,truck}
duration=${DURATION:-30}
[ -f "$video" ] || die "no video at $video. Give your own: make demo VIDEO=street.mp4 DETECTOR=yolox_nano.onnx"
[ -f "$detector" ] || die "no detector at $detector. Give your own, an ONNX file or a manifest (docs/models.md): make demo DETECTOR=yolox_nano.onnx"
options=()
[ -z "${CLASSES:-}" ] || options+=(--classes "$CLASSES")
if [ -n "${CAMERA:-}" ]; then
    [ -f "$CAMERA" ] || die "no camera file at $CAMERA (docs/camera.md)"
    options+=(--camera-file "$CAMERA")
fi

say "building (the first time takes some minutes)"
scripts/build.sh
trap end_started EXIT
rm -rf demo
mkdir demo

say "serving $video over RTSP"
serve "$video" demo/rtsp.log
endpoint="tcp/127.0.0.1:$(free_port)"

say "running: kinestream run configs/demo.toml --source $rtsp_url --detector $detector ${options[*]} (for $((duration + 5)) s)"
"$bin/kinestream" run configs/demo.toml --source "$rtsp_url" --detector "$detector" "${options[@]}" \
    --listen "$endpoint" --no-multicast-scouting --duration $((duration + 5)) --report demo/report.json >demo/run.log 2>&1 &
started+=($!)
run=$!

say "a separate program watches over zenoh: kinestream watch -e $endpoint"
sleep 2
watch() { "$bin/kinestream" watch -e "$endpoint" --no-multicast-scouting --duration "$duration"; }
watched=0
if [ -t 1 ]; then
    watch || watched=$?
else
    # Without a terminal the table is drawn again and again below itself: show the last one with objects, and all answers.
    watch >demo/watch.log || watched=$?
    awk -v RS= '/═/ {last = $0} END {print last}' demo/watch.log
    grep -E '^  [a-z]+: ' demo/watch.log | grep -v 'There is no answer' | sort -u || true
fi
if [ "$watched" != 0 ]; then
    tail -n 20 demo/run.log >&2
    die "the subscriber failed"
fi
say "another asks: python examples/ask.py street \"Which object moved fastest in the last 10 seconds?\""
"$KINESTREAM_PYTHON" examples/ask.py -e "$endpoint" --no-multicast-scouting street \
    "Which object moved fastest in the last 10 seconds?" || true
wait "$run" || { tail -n 20 demo/run.log >&2; die "kinestream run failed"; }

annotated=demo/annotated.mkv
say "drawing the same into $annotated: examples/launch_overlay.sh $video $detector $annotated ${CAMERA:-}"
CLASSES=${CLASSES:-} examples/launch_overlay.sh "$video" "$detector" "$annotated" ${CAMERA:+"$CAMERA"} >demo/annotated.log 2>&1 ||
    { tail -n 20 demo/annotated.log >&2; die "drawing failed"; }

say "what was measured: demo/report.json"
"$KINESTREAM_PYTHON" - demo/report.json <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
print(f"  {report['frames']} frames, {report['fps']:.1f} frames/s, {report['drops']} dropped, {report['reconnects']} reconnects")
for camera in report["cameras"]:
    rows = {"capture to publish": camera["capture_to_publish"], **camera["stages"]}
    for name, latency in rows.items():
        if latency:
            print(f"  {name:<20} p50 {latency['p50_ms']:7.2f} ms   p95 {latency['p95_ms']:7.2f} ms   max {latency['max_ms']:7.2f} ms")
PYTHON
say "done: $annotated, demo/report.json"
