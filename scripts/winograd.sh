#!/usr/bin/env bash
# Trains 300 steps with Winograd and 300 with the direct sums, for two seeds, on a phantom;
# writes the table and the curves of docs/performance.md. Some three minutes on two cores.
#
#   scripts/winograd.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?a folder to work in}
cargo build --release --manifest-path "$here/../Cargo.toml" -p unet3d
unet3d=$here/../target/release/unet3d
mkdir -p "$out" && cd "$out"
[ -d phantom ] || "$unet3d" phantom -o phantom --samples 1 --shape 64,112,112 --slices z=3,y=3,x=3
image=phantom/imagesTr/sample1.tif
labels=phantom/labelsTr/sample1.tif
for seed in 0 1; do
    for way in fastest direct; do
        name=$way-$seed
        [ -e "$name.json" ] && continue
        "$unet3d" fill "$image" "$labels" -o "$name.tif" --unlabeled 3 --iterations 300 \
            --patch 48,48,48 --batch 1 --seed "$seed" --convolution "$way" --run "$name" --json >"$name.part"
        "$unet3d" evaluate "$name.tif" phantom/truth/sample1.tif --dense --except "$labels" --json >"$name.scores"
        mv "$name.part" "$name.json"
    done
done
python3 "$here/winograd.py"
