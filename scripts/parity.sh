#!/usr/bin/env bash
# Compares LLaVA-OneVision in its 0.5B size, with random weights, with transformers: every layer, then the times of both in
# the same run. PyTorch goes into a venv of its own (6 GB), the folder takes 2 GB; both lie in KINESTREAM_CACHE.
#
#   scripts/parity.sh            both
#   scripts/parity.sh layers     every layer only
#   scripts/parity.sh time       times only; THREADS=, FRAMES=, REPEATS=
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

venv=$KINESTREAM_CACHE/parity
folder=$KINESTREAM_CACHE/llava-onevision-0.5b-random
packages=(torch==2.15.0 torchvision transformers==5.23.0 safetensors==0.8.0)
python=${KINESTREAM_PARITY_PYTHON:-$venv/bin/python}
threads=${THREADS:-$(nproc)}

if [ ! -x "$python" ]; then
    echo "parity: PyTorch and transformers into $venv (pip, some minutes)"
    python3 -m venv "$venv"
    "$python" -m pip install --disable-pip-version-check --quiet "${packages[@]}"
fi

bench() { RAYON_NUM_THREADS=$threads cargo bench --quiet --profile dev --bench llava_onevision -- "$@"; }
what=${1:-both}
if [ ! -f "$folder/expected.st" ]; then
    "$python" tools/parity/full.py make "$folder"
fi
if [ "$what" != time ]; then
    bench parity "$folder"
fi
if [ "$what" != layers ]; then
    frames=${FRAMES:-8} repeats=${REPEATS:-3}
    bench --help >/dev/null
    echo "load before: $(cut -d ' ' -f 1-3 /proc/loadavg), $threads threads, $frames frames, best of $repeats"
    echo "transformers:"
    "$python" tools/parity/full.py time "$folder" --threads "$threads" --frames "$frames" --repeats "$repeats" 2>/dev/null
    echo "kinestream:"
    bench time "$folder" "$frames" 48 16 "$repeats"
fi
