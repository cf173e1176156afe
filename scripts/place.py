"""Compares where results and their images lie, in the eyes of ITK and nibabel.

Run by scripts/place.sh. In comes the path of the program; what leaves is a table
(Markdown), and exit code 1 if anything differs. Each of 20 cases is an image with a
random oblique affine, stored in one of the 48 orders of axes, and labels of a box of
it in another order. `fill --method interpolate` and `predict` write their results;
ITK must place the eight corners of each within a thousandth of a voxel of the image's
(TransformIndexToPhysicalPoint), nibabel must give the same affine, forms and codes,
and every voxel that was annotated must have its class at the same point of the world.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

PROGRAM = os.path.abspath(sys.argv[1])
CASES = 20
SHAPE = (20, 18, 16)  # i, j, k of the base grid
UNLABELED = 255
RNG = np.random.default_rng(15)
ORDERS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def oblique(case):
    """Rotation times spacing; every fourth case is mirrored (a negative determinant)."""
    angles = RNG.uniform(-0.6, 0.6, 3)
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*angles) @ np.diag(RNG.uniform(0.3, 2.5, 3))
    if case % 4 == 3:
        affine[:3, 0] *= -1
    affine[:3, 3] = RNG.uniform(-80, 80, 3)
    return affine


def turned(image, order):
    """The same volume in another order of axes."""
    axes, signs = order
    transform = np.column_stack([axes, signs])
    return image.as_reoriented(transform)


def run(folder, *arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stderr


def corners(path):
    """The eight outermost voxels in ITK's world."""
    image = sitk.ReadImage(str(path))
    ends = [(0, n - 1) for n in image.GetSize()]
    points = [image.TransformIndexToPhysicalPoint(corner) for corner in itertools.product(*ends)]
    return np.array(points), min(image.GetSpacing())


def same_place(result, image):
    """The largest distance of corners in voxels, by ITK; raises where nibabel disagrees."""
    (a, voxel), (b, _) = corners(result), corners(image)
    a_nib, b_nib = nib.load(result), nib.load(image)
    if not np.array_equal(a_nib.affine, b_nib.affine):
        raise ValueError(f"nibabel: affine {a_nib.affine.tolist()} instead of {b_nib.affine.tolist()}")
    for field in ("qform_code", "sform_code", "xyzt_units"):
        if a_nib.header[field] != b_nib.header[field]:
            raise ValueError(f"nibabel: {field} {a_nib.header[field]} instead of {b_nib.header[field]}")
    return float(np.abs(a - b).max() / voxel)


def at_world(image, points):
    """Values of the voxels that stand at these points of the world, by nibabel's affine."""
    index = nib.affines.apply_affine(np.linalg.inv(image.affine), points)
    whole = np.rint(index).astype(int)
    if np.abs(index - whole).max() > 1e-2:
        raise ValueError("a point lies between voxels")
    return np.asanyarray(image.dataobj)[tuple(whole.T)]


def case(folder, number, image_order, labels_order, model):
    i, j, k = np.indices(SHAPE)
    blob = ((i - 9) / 7) ** 2 + ((j - 8) / 6) ** 2 + ((k - 7) / 6) ** 2 < 1
    affine = oblique(number)
    gray = (100 + 100 * blob + RNG.normal(0, 9, SHAPE)).astype(np.int16)
    labels = np.full(SHAPE, UNLABELED, np.uint8)
    labels[:, :, 1::4] = blob[:, :, 1::4]
    # A box of it, as exported cropped.
    low = RNG.integers(0, 3, 3)
    box = nib.Nifti1Image(labels, affine).slicer[low[0] :, low[1] :, low[2] :]
    image = turned(nib.Nifti1Image(gray, affine), image_order)
    image.set_sform(image.affine, 2)
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm")
    image_path, labels_path = folder / "image.nii.gz", folder / "labels.nii.gz"
    nib.save(image, image_path)
    nib.save(turned(box, labels_order), labels_path)
    filled, predicted = folder / "filled.nii.gz", folder / "predicted.nii.gz"
    run(folder, "fill", image_path, labels_path, "-o", filled, "--unlabeled", UNLABELED, "--method", "interpolate")
    run(folder, "predict", model, image_path, "-o", predicted)
    found = {"fill": same_place(filled, image_path), "predict": same_place(predicted, image_path)}
    stored = np.argwhere(np.asanyarray(box.dataobj) != UNLABELED)
    points = nib.affines.apply_affine(box.affine, stored)
    wrong = at_world(nib.load(filled), points) != np.asanyarray(box.dataobj)[tuple(stored.T)]
    return found, int(wrong.sum()), len(points)


def model(folder):
    """A model that learned from two images in the plain order, for a step."""
    for name, shift in (("a", 0), ("b", 3)):
        i, j, k = np.indices(SHAPE)
        blob = (i - 9) ** 2 + (j - 8) ** 2 + (k - 7 - shift) ** 2 < 40
        for part, array in (("imagesTr", (100 + 100 * blob).astype(np.int16)), ("labelsTr", blob.astype(np.uint8))):
            (folder / "data" / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([1, 1, 2, 1.0])), folder / "data" / part / f"{name}.nii.gz")
    run(folder, "train", folder / "data", "-o", folder / "run", "--dense", "--iterations", 2)
    return folder / "run"


failures = []
furthest = {"fill": 0.0, "predict": 0.0}
passed, wrong, checked = 0, 0, 0
with tempfile.TemporaryDirectory() as work:
    learned = model(Path(work))
    for number in range(CASES):
        folder = Path(work) / str(number)
        folder.mkdir()
        image_order, labels_order = (ORDERS[n] for n in RNG.integers(0, len(ORDERS), 2))
        try:
            found, off, points = case(folder, number, image_order, labels_order, learned)
            for name, distance in found.items():
                furthest[name] = max(furthest[name], distance)
            wrong, checked = wrong + off, checked + points
            if max(found.values()) > 1e-3 or off:
                raise ValueError(f"corners {found} voxels apart, {off} of {points} labels elsewhere")
            passed += 1
        except Exception as error:  # every failure is reported, none stops the others
            failures.append(f"case {number}: {type(error).__name__} {error}")

print(f"SimpleITK {sitk.Version_VersionString()}, nibabel {nib.__version__}, NumPy {np.__version__}\n")
print("| of 20 oblique and permuted images, labels a box in another order | found |\n|---|---|")
print(f"| results in the place of their image | {passed} of {CASES} |")
for name, distance in furthest.items():
    print(f"| `{name}`: furthest corner from the image's, by ITK | {distance:.1e} voxels |")
print(f"| annotated voxels whose class `fill` gives at another point of the world | {wrong} of {checked} |")
for failure in failures:
    print(failure, file=sys.stderr)
sys.exit(1 if failures else 0)
