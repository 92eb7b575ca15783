#!/usr/bin/env bash
# Draws what the chain finds in a video file into a new one, as one gst-launch-1.0 line, as fast as it goes.
#
#   examples/launch_overlay.sh VIDEO DETECTOR OUT.mkv [CAMERA]
#
# CLASSES=car,person in the environment keeps to these classes. CAMERA is a camera file (docs/camera.md); without one a field of view is assumed and values are marked as not reliable.
set -euo pipefail

[ $# -ge 3 ] || { echo "usage: $0 VIDEO DETECTOR OUT.mkv [CAMERA]" >&2; exit 2; }
recon=(kinerecon)
[ $# -lt 4 ] || recon+=("camera=$4")
track=(kinetrack "model=$2")
[ -z "${CLASSES:-}" ] || track+=("classes=$CLASSES")

# The first encoder that is installed; JPEG always is.
if gst-inspect-1.0 --exists x264enc; then
    encode=(x264enc speed-preset=veryfast ! h264parse)
elif gst-inspect-1.0 --exists openh264enc; then
    encode=(openh264enc ! h264parse)
else
    encode=(jpegenc)
fi

exec gst-launch-1.0 -q \
    filesrc "location=$1" ! decodebin ! queue \
    ! "${recon[@]}" ! "${track[@]}" ! kinemotion ! kinevlm \
    ! kineoverlay ! videoconvert ! "${encode[@]}" ! matroskamux ! filesink "location=$3"
