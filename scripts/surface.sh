#!/usr/bin/env bash
# Makes the golden values in crates/metrics/tests/data again: a Python environment
# (where UNET3D_SURFACE_VENV says, else in the target folder) with the programs to
# compare with, then scripts/surface.py. Half a minute; needed only when a case is
# added or changed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${UNET3D_SURFACE_VENV:-${CARGO_TARGET_DIR:-$root/target}/surface-venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$root/scripts/surface-requirements.txt"
"$venv/bin/python" "$root/scripts/surface.py" --out "$root/crates/metrics/tests/data"
