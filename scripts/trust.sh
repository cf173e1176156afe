#!/usr/bin/env bash
# Is what `fill` promises true? Fills crops of volumes whose truth is known, from a
# few slices each, and compares: expected IoU and its interval with the IoU of the
# voxels that were not annotated; the calibration error promised before and after
# with the true ones.
#
#   scripts/trust.sh OUT [CASE...]
#
# Takes the volumes fib25/ and nuclei/ from the folder in UNET3D_DATA (without it,
# phantoms alone), keeps each finished case in OUT and goes on where it was ended,
# writes OUT/trust.csv and OUT/trust.md. Needs jq. Variables: UNET3D, the program
# (default target/release/unet3d); ITERATIONS (default 150), THREADS (default all).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,13p' "$0"; exit 2; }
out=$(mkdir -p "$1" && cd "$1" && pwd); shift
here=$(cd "$(dirname "$0")/.." && pwd)
program=${UNET3D:-$here/target/release/unet3d}
data=${UNET3D_DATA:-}
iterations=${ITERATIONS:-150}
threads=${THREADS:-0}

# name, volume, crop z,y,x, slices kept, seed. Different places, numbers of slices
# and directions, as users have them. With a to d the method was chosen; e to g came
# after all was fixed.
cases="
fib-a      fib25        0:80,0:96,0:96          z=3,y=3,x=3  0
nuclei-a   nuclei/1135  0:100,0:100,0:100       z=3,y=3,x=3  1
phantom-a  phantom/11   0:64,0:96,0:96          z=3,y=3,x=3  2
fib-b      fib25        100:180,100:196,100:196 z=4,y=4,x=4  3
nuclei-b   nuclei/1136  0:100,0:100,0:100       z=4,y=4,x=4  4
phantom-b  phantom/12   0:64,0:96,0:96          z=5,y=5,x=3  5
fib-c      fib25        150:230,0:96,120:216    z=5,y=5,x=3  6
nuclei-c   nuclei/1135  0:100,0:100,0:100       z=6,y=3,x=0  7
phantom-c  phantom/13   0:64,16:112,16:112      z=3,y=3,x=0  8
fib-d      fib25        40:120,150:246,20:116   z=7,y=0,x=0  9
nuclei-d   nuclei/1136  0:80,10:96,10:96        z=3,y=3,x=3  10
phantom-d  phantom/14   0:64,0:96,0:96          z=6,y=0,x=4  11
fib-e      fib25        20:100,20:116,140:236   z=3,y=3,x=3  21
nuclei-e   nuclei/1136  10:100,0:90,0:90        z=5,y=3,x=3  22
phantom-e  phantom/31   0:64,0:96,16:112        z=4,y=3,x=3  23
fib-f      fib25        165:245,30:126,10:106   z=5,y=4,x=0  24
nuclei-f   nuclei/1135  0:90,10:100,10:100      z=4,y=4,x=3  25
phantom-f  phantom/32   0:64,16:112,0:96        z=3,y=5,x=5  26
fib-g      fib25        90:170,0:96,150:246     z=4,y=4,x=4  27
phantom-g  phantom/33   0:64,0:96,0:96          z=3,y=3,x=3  28
"

run_case() {
    local name=$1 volume=$2 crop=$3 slices=$4 seed=$5 image truth
    local folder=$out/$name
    [ -e "$folder/result.json" ] && return
    case $volume in
        phantom/*)
            local phantom=$out/phantom-of-seed-${volume#*/}
            [ -e "$phantom/truth.tif" ] ||
                "$program" demo -o "$phantom" --iterations 1 --seed "${volume#*/}" >/dev/null 2>&1
            image=$phantom/image.tif; truth=$phantom/truth.tif ;;
        *)
            [ -n "$data" ] || { echo "$name: skipped, UNET3D_DATA is not set" >&2; return; }
            case $volume in
                fib25) image=$data/fib25/image.tif; truth=$data/fib25/labels.tif ;;
                *) image=$data/${volume}_image.tif; truth=$data/${volume}_labels.tif ;;
            esac ;;
    esac
    mkdir -p "$folder"; cd "$folder"
    "$program" convert "$image" image.npy --crop "$crop" >/dev/null
    "$program" convert "$truth" truth.npy --crop "$crop" >/dev/null
    "$program" sparsify truth.npy -o sparse.npy --slices "$slices" --unlabeled 255 >/dev/null
    "$program" fill image.npy sparse.npy -o filled.npy --unlabeled 255 --seed "$seed" \
        --iterations "$iterations" --patch 48,64,64 --batch 1 --threads "$threads" --json >fill.json 2>fill.log
    local way
    for way in before after; do
        "$program" predict filled.unet3d.safetensors image.npy -o labels.npy --threads "$threads" \
            --probabilities probabilities.npy $([ $way = before ] && echo --uncalibrated) >/dev/null 2>&1
        "$program" evaluate filled.npy truth.npy --except sparse.npy --unlabeled 255 \
            --probabilities probabilities.npy --json >$way.json 2>/dev/null
    done
    jq -n --arg case "$name" --arg slices "$slices" --slurpfile fill fill.json \
        --slurpfile before before.json --slurpfile after after.json \
        '$fill[0] as $f | {case: $case, slices: $slices, expected: $f.expected_iou,
          low: $f.expected_interval[0], high: $f.expected_interval[1], true: $after[0].mean_iou,
          temperature: $f.calibration.temperature, promised_before: $f.calibration.ece_before,
          promised_after: $f.calibration.ece_after, ece_before: $before[0].ece, ece_after: $after[0].ece}' \
        >result.part
    rm -f probabilities.npy labels.npy
    mv result.part result.json
    jq -r '"\(.case): expected \(.expected), true \(.true)"' result.json >&2
}

while read -r name volume crop slices seed; do
    [ -n "$name" ] || continue
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    run_case "$name" "$volume" "$crop" "$slices" "$seed" </dev/null
done <<<"$cases"

results=("$out"/*/result.json)
[ -e "${results[0]}" ] || { echo "no case was run" >&2; exit 1; }
jq -r -s '(.[0] | keys_unsorted), (.[] | [.[]]) | @csv' "${results[@]}" >"$out/trust.csv"
{
    echo "| case | slices | expected IoU | interval | true | off by | inside | temperature | ECE promised | ECE true |"
    echo "|---|---|---|---|---|---|---|---|---|---|"
    jq -r -s 'def f(n): (. * pow(10; n) | round) / pow(10; n) | tostring;
        .[] | "| \(.case) | \(.slices) | \(.expected | f(3)) | \(.low | f(3)) to \(.high | f(3)) | \(.true | f(3)) | \(.expected - .true | f(3)) | \(if .true >= .low and .true <= .high then "yes" else "no" end) | \(.temperature | f(2)) | \(.promised_before | f(4)) to \(.promised_after | f(4)) | \(.ece_before | f(4)) to \(.ece_after | f(4)) |"' \
        "${results[@]}"
    jq -r -s 'def share(f): "\(map(select(f)) | length) of \(length)";
        "\nWithin 0.04 of the truth: \(share((.expected - .true) | fabs <= 0.04)). Inside the interval: \(share(.true >= .low and .true <= .high)). " +
        "ECE at most half where it was above 0.02: \(map(select(.ece_before > 0.02)) | share(.ece_after <= 0.5 * .ece_before)); the others were calibrated already. Mean ECE \((map(.ece_before) | add / length * 1e4 | round) / 1e4) to \((map(.ece_after) | add / length * 1e4 | round) / 1e4)."' \
        "${results[@]}"
} | tee "$out/trust.md"
