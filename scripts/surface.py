"""Golden values of surface metrics: what other programs find on masks made here.

In:  nothing but the table of cases at the end of this file.
Out: surface.json in crates/metrics/tests/data, which the Rust test
     crates/metrics/src/surface/golden.rs compares with ours.

Programs, by our name of the variant:

elements       DeepMind's `surface-distance`
voxels         SciPy (binary erosion, distance transform) and NumPy's percentile of
               each direction, which is how MONAI defines it
voxels-pooled  MedPy

Masks come from formulae that the Rust test repeats (`mask`), so that the file stays
small. Where a program has no finite value (an empty mask), the file has null.
"""

import argparse
import json
import pathlib

import numpy as np
from scipy import ndimage

# surface-distance 0.1 still asks for names that NumPy 2 and SciPy 1.15 took away.
np.bool, np.Inf, np.NaN = np.bool_, np.inf, np.nan
for name in ("filters", "morphology"):
    if not hasattr(ndimage, name):
        setattr(ndimage, name, ndimage)

import medpy.metric.binary as medpy  # noqa: E402
import surface_distance  # noqa: E402
from surface_distance import lookup_tables  # noqa: E402


# ---------------------------------------------------------------- the masks

def noise(shape, seed, one_in):
    """Every voxel by itself inside or not: SplitMix64 of its index and a seed."""
    with np.errstate(over="ignore"):
        x = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed << 32)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(40)) % np.uint64(one_in) == 0).reshape(shape)


def mask(shape, parts):
    """The union of parts: ["ball", z, y, x, r2], ["box", z0, z1, y0, y1, x0, x1] (ends not
    included), ["noise", seed, one_in]. Balls hold voxels nearer than the square root of
    r2, in voxels."""
    z, y, x = np.indices(shape)
    out = np.zeros(shape, bool)
    for kind, *n in parts:
        if kind == "ball":
            out |= (z - n[0]) ** 2 + (y - n[1]) ** 2 + (x - n[2]) ** 2 < n[3]
        elif kind == "box":
            out[n[0]:n[1], n[2]:n[3], n[4]:n[5]] = True
        else:
            out |= noise(shape, *n)
    return out


# ---------------------------------------------------------------- the programs

def finite(value):
    return float(value) if np.isfinite(value) else None


def elements(truth, prediction, spacing, tolerance):
    d = surface_distance.compute_surface_distances(truth, prediction, spacing)
    there, back = surface_distance.compute_average_surface_distance(d)
    distances = np.concatenate([d["distances_gt_to_pred"], d["distances_pred_to_gt"]])
    areas = np.concatenate([d["surfel_areas_gt"], d["surfel_areas_pred"]])
    return {
        "hausdorff": finite(distances.max()),
        "hausdorff95": finite(surface_distance.compute_robust_hausdorff(d, 95)),
        # The package has the two directions; together they are weighted by area.
        "assd": finite((distances * areas).sum() / areas.sum()),
        "truth_to_prediction": finite(there),
        "prediction_to_truth": finite(back),
        "surface_dice": finite(surface_distance.compute_surface_dice_at_tolerance(d, tolerance)),
    }


def border_distances(a, b, spacing):
    """From the border voxels of `a` to the nearest ones of `b`."""
    border = [m ^ ndimage.binary_erosion(m) for m in (a, b)]
    if not border[1].any():
        return np.full(border[0].sum(), np.inf)
    return ndimage.distance_transform_edt(~border[1], sampling=spacing)[border[0]]


def voxels(truth, prediction, spacing, tolerance):
    there = border_distances(truth, prediction, spacing)
    back = border_distances(prediction, truth, spacing)
    both = np.concatenate([there, back])
    mean = lambda d: finite(d.mean()) if d.size else None
    return {
        "hausdorff": finite(both.max()),
        "hausdorff95": max((finite(np.percentile(d, 95)) for d in (there, back)))
        if there.size and back.size else None,
        "assd": finite(both.mean()),
        "truth_to_prediction": mean(there),
        "prediction_to_truth": mean(back),
        "surface_dice": float((both <= tolerance).mean()),
    }


def pooled(truth, prediction, spacing, tolerance):
    out = voxels(truth, prediction, spacing, tolerance)
    if not (truth.any() and prediction.any()):
        return out  # MedPy refuses empty masks.
    out["hausdorff"] = float(medpy.hd(prediction, truth, spacing))
    out["hausdorff95"] = float(medpy.hd95(prediction, truth, spacing))
    out["assd"] = float(medpy.assd(prediction, truth, spacing))
    out["truth_to_prediction"] = float(medpy.asd(truth, prediction, spacing))
    out["prediction_to_truth"] = float(medpy.asd(prediction, truth, spacing))
    return out


# ---------------------------------------------------------------- the cases

# name, shape, spacing, tolerance, truth, prediction. Tolerances are no multiple of a
# spacing, except where both are whole numbers: elsewhere rounding would decide whether
# a distance equal to the tolerance is within.
CASES = [
    ["balls", [24, 26, 28], [1.0, 1.0, 1.0], 1.0, [["ball", 11, 12, 13, 65]], [["ball", 12, 13, 14, 50]]],
    ["balls, thick slices", [12, 40, 44], [3.3, 0.7, 0.8], 1.25, [["ball", 5, 19, 20, 90]], [["ball", 6, 21, 23, 80], ["ball", 2, 5, 5, 4]]],
    ["equal", [10, 11, 12], [2.0, 1.0, 1.0], 0.0, [["ball", 5, 5, 5, 14]], [["ball", 5, 5, 5, 14]]],
    ["noise", [11, 13, 17], [1.0, 1.0, 1.0], 1.0, [["noise", 1, 2]], [["noise", 2, 2]]],
    ["noise, anisotropic", [9, 14, 15], [2.5, 0.9, 1.1], 1.0, [["noise", 3, 3]], [["noise", 4, 5]]],
    ["thin noise", [15, 15, 15], [0.37, 1.3, 0.61], 1.2, [["noise", 5, 200]], [["noise", 6, 97]]],
    ["ball with noise", [20, 22, 24], [1.5, 0.5, 0.5], 0.8, [["ball", 10, 11, 12, 64]], [["ball", 10, 11, 12, 70], ["noise", 7, 301]]],
    ["touching the border", [8, 9, 10], [2.0, 1.1, 0.9], 1.0, [["box", 0, 8, 0, 5, 0, 10]], [["box", 0, 8, 0, 6, 0, 9]]],
    ["the whole volume", [5, 6, 7], [1.0, 2.0, 3.0], 1.0, [["box", 0, 5, 0, 6, 0, 7]], [["box", 0, 5, 0, 6, 0, 6]]],
    ["single voxels", [7, 8, 9], [3.0, 2.0, 1.0], 4.0, [["box", 1, 2, 2, 3, 3, 4]], [["box", 4, 5, 5, 6, 3, 4]]],
    ["a voxel in a corner", [7, 8, 9], [0.3, 0.2, 0.1], 0.55, [["box", 0, 1, 0, 1, 0, 1]], [["ball", 4, 4, 4, 7]]],
    ["thin plates", [16, 17, 18], [1.0, 1.0, 1.0], 2.0, [["box", 5, 6, 2, 15, 2, 16]], [["box", 7, 8, 2, 15, 2, 16]]],
    ["thin plates, anisotropic", [9, 17, 18], [5.0, 0.4, 0.6], 0.7, [["box", 2, 7, 8, 9, 3, 15]], [["box", 2, 7, 9, 10, 4, 16], ["box", 4, 5, 2, 4, 3, 15]]],
    ["one slice", [1, 20, 20], [4.0, 1.0, 1.0], 1.0, [["ball", 0, 9, 9, 30]], [["ball", 0, 10, 9, 36]]],
    ["nothing predicted", [8, 9, 10], [1.0, 2.0, 1.0], 1.0, [["ball", 4, 4, 4, 9]], []],
    ["nothing true", [8, 9, 10], [1.0, 2.0, 1.0], 1.0, [], [["ball", 4, 4, 4, 9]]],
]

AREA_SPACINGS = [[1.0, 1.0, 1.0], [2.5, 0.7, 1.3]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    cases = []
    for name, shape, spacing, tolerance, *masks in CASES:
        truth, prediction = (mask(shape, parts) for parts in masks)
        cases.append({
            "name": name, "shape": shape, "spacing": spacing, "tolerance": tolerance,
            "truth": masks[0], "prediction": masks[1],
            "voxels": [int(truth.sum()), int(prediction.sum())],
            "scores": {
                label: of(truth, prediction, spacing, tolerance)
                for label, of in (("elements", elements), ("voxels", voxels), ("voxels-pooled", pooled))
            },
        })
    # The areas of single codes too: in sums over a mask, errors could cancel.
    areas = [
        {"spacing": s, "areas": list(map(float, lookup_tables.create_table_neighbour_code_to_surface_area(s)))}
        for s in AREA_SPACINGS
    ]
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("    " + json.dumps(c) for c in cases)
    tables = ",\n".join("    " + json.dumps(a) for a in areas)
    text = f'{{\n  "cases": [\n{lines}\n  ],\n  "areas": [\n{tables}\n  ]\n}}\n'
    (out / "surface.json").write_text(text)
    print(f"{out / 'surface.json'}: {len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
