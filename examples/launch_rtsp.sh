#!/usr/bin/env bash
# The whole chain on a camera, as one gst-launch-1.0 line: states and answers leave over zenoh until Ctrl-C.
#
#   examples/launch_rtsp.sh URI DETECTOR [LISTEN] [ENCODING]
#
# URI is rtsp://…, v4l2:///dev/video0, file:///… or any other that GStreamer opens; LISTEN is where zenoh subscribers connect.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: $0 URI DETECTOR [LISTEN] [ENCODING]" >&2; exit 2; }

exec gst-launch-1.0 -q \
    kinesrc "uri=$1" \
    ! kinerecon ! kinetrack "model=$2" ! kinemotion ! kinevlm \
    ! kinepublish site=example camera-name=launch "listen=${3:-tcp/127.0.0.1:7447}" "encoding=${4:-json}" \
    ! fakesink sync=false
