#!/usr/bin/env bash
# Trains the default models anew in the simulator, exports them to models/ and scores them (tools/train; docs/models.md).
# Interrupted, it goes on where it was when run again.
#
#   MINUTES=   of training, each net on one core     default: 80
#   RUN=       folder of samples, checkpoints, logs  default: in the cache, outside the checkout
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

minutes=${MINUTES:-80}
run=${RUN:-$KINESTREAM_CACHE/train}
venv=$KINESTREAM_CACHE/train-venv
python=$venv/bin/python

say() { printf 'models: %s\n' "$*"; }

wanted=$(sha256sum <tools/train/requirements.txt)
if [ ! -x "$python" ] || [ "$(cat "$venv/.requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
    say "PyTorch and what goes with it into $venv (pip, some minutes)"
    python3 -m venv --clear "$venv"
    "$python" -m pip install --disable-pip-version-check --quiet --only-binary :all: -r tools/train/requirements.txt
    echo "$wanted" >"$venv/.requirements.sha256"
fi

say "building the simulator"
cargo build --workspace --bins
export KINESTREAM=$CARGO_TARGET_DIR/debug/kinestream OMP_NUM_THREADS=1
mkdir -p "$run"

say "simulating into $run/pool, training for $minutes minutes; logs in $run"
"$python" tools/train/pool.py --out "$run/pool" >"$run/pool.log" 2>&1 &
pool=$!
trap 'kill "$pool" 2>/dev/null || true' EXIT
trainings=()
for task in detector depth; do
    "$python" tools/train/train.py "$task" --pool "$run/pool" --out "$run" --minutes "$minutes" >>"$run/$task.log" 2>&1 &
    trainings+=($!)
done
for training in "${trainings[@]}"; do wait "$training"; done
kill "$pool" 2>/dev/null || true

for task in detector depth; do
    "$python" tools/train/export.py "$task" --run "$run"
    cp "$run/$task.jsonl" "tools/train/$task.jsonl"
done
"$python" tools/train/plot.py --run "$run" --out tools/train/losses.png
say "scoring on worlds that no training saw"
"$python" tools/train/evaluate.py --out tools/train/scores.json
