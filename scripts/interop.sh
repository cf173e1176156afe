#!/usr/bin/env bash
# Checks that nibabel, tifffile, NumPy and Pillow read what this program writes,
# and the other way round. Needs Python 3 with venv, and its package index once.
# Prints the table that stands in docs/formats.md.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
venv="${INTEROP_VENV:-$target/interop-venv}"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet nibabel tifffile numpy imagecodecs pillow
fi
cargo build --quiet -p unet3d-volume --example interop
"$venv/bin/python" scripts/interop.py "$target/debug/examples/interop"
