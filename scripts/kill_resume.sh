#!/usr/bin/env bash
# Kills a training run ten times at random moments, resumes it each time, and
# compares its model, byte for byte, with that of a run that nobody disturbed
# and with that of one on a single thread.
#
#   scripts/kill_resume.sh [KILLS] [ITERATIONS]      (10 kills, 150 iterations)
#
# The data are those of the demo's phantom, so nothing needs to be downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-10}
iterations=${2:-150}

cargo build --release --quiet -p unet3d
unet3d=${CARGO_TARGET_DIR:-target}/release/unet3d
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A data set of one case: the phantom, its annotation (3 is not annotated).
"$unet3d" demo -o "$work/demo" --iterations 1 --patch 16,32,32 >/dev/null 2>&1
mkdir -p "$work/data/imagesTr" "$work/data/labelsTr"
cp "$work/demo/image.tif" "$work/data/imagesTr/phantom.tif"
cp "$work/demo/annotation.tif" "$work/data/labelsTr/phantom.tif"
cat >"$work/data/dataset.json" <<'EOF'
{"labels": {"inside": 0, "tubule": 1, "background": 2, "ignore": 3}, "file_ending": ".tif"}
EOF
cat >"$work/config.toml" <<EOF
patch = [16, 32, 32]
checkpoint_every = 4
validate_every = 50
[budget]
iterations = $iterations
EOF

train() { # RUN, then further flags
    local run=$1
    shift
    "$unet3d" train "$work/data" -o "$run" --config "$work/config.toml" "$@" >>"$work/log" 2>&1
}

begin=$(date +%s%N)
train "$work/undisturbed"
milliseconds=$((($(date +%s%N) - begin) / 1000000))
echo "undisturbed: $iterations steps in $milliseconds ms"
train "$work/one-thread" --threads 1

flags=()
for ((i = 1; i <= kills; i++)); do
    "$unet3d" train "$work/data" -o "$work/killed" --config "$work/config.toml" "${flags[@]}" >>"$work/log" 2>&1 &
    pid=$!
    # Kills are spread over the run; on average the last falls at 70 % of it, so
    # that rarely one comes too late.
    pause=$((RANDOM * 14 * milliseconds / kills / 327680))
    sleep "$((pause / 1000)).$(printf %03d $((pause % 1000)))"
    kill -KILL "$pid" 2>/dev/null && echo "kill $i after $pause ms" || echo "kill $i: had ended already"
    wait "$pid" 2>/dev/null || true
    # Killed before its first checkpoint, a run is begun anew.
    if compgen -G "$work/killed/*checkpoint*" >/dev/null; then flags=(--resume); else rm -rf "$work/killed"; flags=(); fi
done
train "$work/killed" "${flags[@]}"

for model in best last; do
    for run in one-thread killed; do
        cmp "$work/undisturbed/$model.unet3d.safetensors" "$work/$run/$model.unet3d.safetensors"
    done
    echo "$model model: identical, byte for byte"
done
