#!/usr/bin/env bash
# Kills a training run ten times at random moments, resumes it each time, and
# compares its models and its log, byte for byte, with those of a run that nobody
# disturbed and with those of one on a single thread. Fails where fewer kills than
# asked for fell between the first checkpoint and the end.
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
landed=0
# A kill may come before the first checkpoint; such are made up for.
for ((i = 1; landed < kills && i <= 3 * kills; i++)); do
    "$unet3d" train "$work/data" -o "$work/killed" --config "$work/config.toml" "${flags[@]}" >>"$work/log" 2>&1 &
    pid=$!
    # Kills are spread over the run; all pauses together are at most as long as
    # it, half as long on average, so that none should come too late.
    pause=$((RANDOM * milliseconds / kills / 32768))
    sleep "$((pause / 1000)).$(printf %03d $((pause % 1000)))"
    kill -KILL "$pid" 2>/dev/null || true
    status=0
    wait "$pid" 2>/dev/null || status=$?
    if ((status == 0)); then
        echo "kill $i: the run had ended already"
        flags=(--resume)
        break
    elif ((status != 137)); then
        echo "the run failed by itself (code $status):" >&2
        tail -n 5 "$work/log" >&2
        exit 1
    elif [[ -e $work/killed/checkpoint.safetensors ]]; then
        echo "kill $i after $pause ms"
        landed=$((landed + 1))
        flags=(--resume)
    else
        # Killed before its first checkpoint, a run is begun anew.
        echo "kill $i after $pause ms: before the first checkpoint"
        rm -rf "$work/killed"
        flags=()
    fi
done
train "$work/killed" "${flags[@]}"

for file in best.unet3d.safetensors last.unet3d.safetensors log.jsonl; do
    for run in one-thread killed; do
        cmp "$work/undisturbed/$file" "$work/$run/$file"
    done
    echo "$file: identical, byte for byte"
done

echo "$landed kills fell between the first checkpoint and the end"
if ((landed < kills)); then
    echo "fewer than the $kills asked for: give more ITERATIONS" >&2
    exit 1
fi
