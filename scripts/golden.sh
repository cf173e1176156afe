#!/usr/bin/env bash
# Makes the golden values in crates/unet/tests/data again: a Python environment
# in .venv (or where UNET3D_VENV says), then scripts/golden.py. Takes a few
# minutes and several GB of memory; needed only when a case is added or changed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${UNET3D_VENV:-$root/.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$root/scripts/golden-requirements.txt"
"$venv/bin/python" "$root/scripts/golden.py" --out "$root/crates/unet/tests/data" "$@"
