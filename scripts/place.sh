#!/usr/bin/env bash
# Checks with ITK (SimpleITK) and nibabel that results lie where their images do, and
# that labels land on the right voxels, for 20 oblique and permuted NIfTI files. Needs
# Python 3 with venv, and its package index once. Prints the table that stands in
# docs/formats.md.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
venv="${PLACE_VENV:-$target/place-venv}"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet nibabel numpy SimpleITK
fi
cargo build --quiet -p unet3d
"$venv/bin/python" scripts/place.py "$target/debug/unet3d"
