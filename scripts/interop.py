"""Compares this program's file formats with nibabel, tifffile, NumPy and Pillow.

Run by scripts/interop.sh. In comes the path of the example program `interop`;
what leaves is a table (Markdown) of what was checked, and exit code 1 if
anything differs. Each check is one file: written by a library and read here,
or converted here and read by the library. Compared are the samples (bit by
bit, but for scaled ones), their type, spacing and orientation.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import PIL
import tifffile
from PIL import Image

INTEROP = sys.argv[1]
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
RNG = np.random.default_rng(7)
WORK = None  # set below, for as long as the checks run
rows = {}
number = 0


def array(kind, shape):
    """Samples that fill their type's range."""
    kind = np.dtype(kind)
    if kind.kind == "f":
        return RNG.normal(size=shape).astype(kind)
    info = np.iinfo(kind)
    native = kind.newbyteorder("=")
    return RNG.integers(info.min, info.max, shape, dtype=native, endpoint=True).astype(kind)


def path(ending):
    global number
    number += 1
    return WORK / f"{number:04d}{ending}"


def interop(*arguments):
    done = subprocess.run([INTEROP, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return json.loads(done.stdout)


def same(what, found, expected, relative=0.0, absolute=0.0):
    if expected is None or found is None:
        if found is not expected:
            raise ValueError(f"{what}: {found} instead of {expected}")
        return
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise ValueError(f"{what}: shape {found.shape} instead of {expected.shape}")
    if relative == absolute == 0:
        equal = np.array_equal(found, expected)
    else:
        equal = np.allclose(found, expected, rtol=relative, atol=absolute)
    if not equal:
        raise ValueError(f"{what}: {found.ravel()[:8]} instead of {expected.ravel()[:8]}")


def check(group, name, action):
    passed, failed = rows.setdefault(group, [0, []])
    try:
        action()
        rows[group][0] = passed + 1
    except Exception as error:  # every failure is reported, none stops the others
        failed.append(f"{name}: {type(error).__name__} {error}")


def reads(group, name, file, expected, spacing=None, world=None, tolerance=0.0):
    """We read `file`, which a library wrote, as `expected`, [c, z, y, x] or [z, y, x]."""

    def action():
        out = path(".npy")
        summary = interop(file, out)
        found = np.load(out)
        whole = expected.reshape((-1,) + expected.shape[-3:])
        same("samples", found.reshape((-1,) + found.shape[-3:]), whole, tolerance, tolerance)
        if tolerance == 0 and summary["type"] != expected.dtype.newbyteorder("=").name:
            raise ValueError(f"type {summary['type']} instead of {expected.dtype}")
        # f32 in NIfTI headers, fractions of 32-bit numbers in TIFF tags.
        same("spacing", summary["spacing_mm"], spacing, relative=2e-7)
        same("orientation", summary["world_from_volume"], world, relative=2e-6, absolute=2e-6)

    check(group, name, action)


def nifti():
    turned = nibabel.eulerangles.euler2mat(0.3, -0.2, 0.9) @ np.diag([0.5, 0.75, 2.0])
    affine = nibabel.affines.from_matvec(turned, [-30, 12.5, 7])
    mirrored = affine @ np.diag([-1, 1, 1, 1])
    sheared = affine @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    zooms = (0.5, 0.75, 2.0)

    def write(data, ending=".nii", order="<", sform=affine, qform=affine, unit="mm", codes=(1, 1),
              klass=nibabel.Nifti1Image):
        """data is [z, y, x], with more axes before."""
        header = klass.header_class(endianness=order)
        header.set_data_dtype(data.dtype.newbyteorder(order))
        image = klass(np.ascontiguousarray(data).T, None, header, dtype=data.dtype)
        image.header.set_zooms(zooms + (1.0,) * (data.ndim - 3))
        image.header.set_xyzt_units(unit)
        image.set_qform(qform, codes[1] if qform is not None else 0, update_affine=False)
        image.set_sform(sform, codes[0] if sform is not None else 0)
        file = path(ending)
        nibabel.save(image, file)
        return file

    def place(file, mm=1.0):
        image = nibabel.load(file)
        spacing = np.array(image.header.get_zooms()[:3], float)[::-1] * mm
        if not (image.header["sform_code"] or image.header["qform_code"]):
            return spacing, None
        return spacing, image.affine[:3][:, [2, 1, 0, 3]] * mm

    group = "NIfTI-1 by nibabel: 10 types, .nii (both byte orders) and .nii.gz"
    for kind in TYPES:
        for order, ending in [("<", ".nii"), (">", ".nii"), ("<", ".nii.gz"), (">", ".nii.gz")]:
            data = array(kind, (4, 5, 6))
            file = write(data, ending, order)
            reads(group, f"{kind} {order} {ending}", file, data, *place(file))

    group = "NIfTI-1 by nibabel: sform, qform, both, neither, mirrored, sheared"
    data = array("i2", (4, 5, 6))
    for name, options in {
        "both": {},
        "sform": {"qform": None},
        "qform": {"sform": None},
        "neither": {"sform": None, "qform": None},
        "mirrored both": {"sform": mirrored, "qform": mirrored},
        "mirrored qform": {"sform": None, "qform": mirrored},
        "sheared": {"sform": sheared, "qform": None},
        "different": {"sform": affine, "qform": mirrored},
        "other codes": {"codes": (4, 2)},
    }.items():
        file = write(data, **options)
        reads(group, name, file, data, *place(file))

    group = "NIfTI-1 by nibabel: units m, mm, um"
    for unit, mm in [("meter", 1e3), ("mm", 1.0), ("micron", 1e-3)]:
        file = write(data, unit=unit)
        reads(group, unit, file, data, *place(file, mm))

    group = "NIfTI-1 by nibabel: scl_slope and scl_inter"
    for kind in ["u1", "i2", "u2", "i4", "f4"]:
        for slope in [(0.5, -3.0), (1.0, 10.0), (2e-3, 0.0)]:
            file = write(RNG.integers(0, 100, (4, 5, 6)).astype(kind))
            raw = bytearray(file.read_bytes())
            raw[112:120] = np.array(slope, "<f4").tobytes()
            file.write_bytes(raw)
            expected = nibabel.load(file).get_fdata().T
            reads(group, f"{kind} {slope}", file, expected, *place(file), tolerance=1e-6)

    group = "NIfTI-1 by nibabel: channels on axis 4 or 5, pair .hdr/.img"
    data = array("f4", (3, 4, 5, 6))
    file = write(data)
    reads(group, "4D", file, data, *place(file))
    file = write(data[:, None])
    reads(group, "5D", file, data, *place(file))
    for order in "<>":
        file = write(data, ".img", order, klass=nibabel.Nifti1Pair)
        reads(group, "pair .img", file, data, *place(file))
        reads(group, "pair .hdr", file.with_suffix(".hdr"), data, *place(file))

    group = "NIfTI-1 by us, read by nibabel: 10 types, 1 and 3 channels, turned, mirrored, sheared"
    for kind in TYPES:
        for shape in [(4, 5, 6), (3, 4, 5, 6)]:
            for ending, world in [(".nii", affine), (".nii.gz", mirrored), (".nii", sheared)]:
                data = array(kind, shape)
                source, target = write(data, sform=world, qform=None), path(ending)

                def action():
                    interop(source, target)
                    image = nibabel.load(target)
                    same("samples", np.asanyarray(image.dataobj).T, data)
                    same("sform", image.get_sform(), world, 2e-6, 2e-6)
                    if world is not sheared:
                        same("qform", image.get_qform(), world, 2e-6, 2e-6)
                        if not image.header["qform_code"]:
                            raise ValueError("no qform")
                    same("spacing", image.header.get_zooms()[:3], zooms, 2e-7)
                    if image.header.get_xyzt_units()[0] != "mm":
                        raise ValueError("unit")
                    if image.get_data_dtype() != data.dtype:
                        raise ValueError("type")

                check(group, f"{kind} {shape} {ending}", action)


def tiff():
    def write(data, **options):
        file = path(".tif")
        tifffile.imwrite(file, data, **options)
        return file

    um = 1e-3
    spacing = [0.5 * um, 0.25 * um, 0.125 * um]
    imagej = {"imagej": True, "resolution": (8, 4)}

    group = ("ImageJ hyperstack by tifffile: 3 types, z, channels, RGB, byte orders, deflate, "
             "one directory for all pages")
    for kind in ["u1", "u2", "f4"]:
        for order in "<>":
            for axes, shape in [("ZYX", (4, 33, 20)), ("ZCYX", (4, 2, 33, 20))]:
                data = array(kind, shape)
                expected = data if data.ndim == 3 else data.transpose(1, 0, 2, 3)
                for more in [{}, {"compression": "zlib"}, {"truncate": True}]:
                    metadata = {"axes": axes, "spacing": 0.5, "unit": "um" if more else "\\u00B5m"}
                    file = write(data, byteorder=order, metadata=metadata, **imagej, **more)
                    reads(group, f"{kind} {order} {axes} {more}", file, expected, spacing)
    data = array("u1", (4, 33, 20, 3))
    for truncate in [False, True]:
        file = write(data, imagej=True, truncate=truncate, metadata={"axes": "ZYXS"})
        reads(group, f"RGB {truncate}", file, data.transpose(3, 0, 1, 2))
    data = array("u1", (1, 33, 20))
    reads(group, "one slice", write(data, imagej=True), data)

    group = "OME-TIFF by tifffile: 8 types, axis orders, units, deflate, LZW, tiles, BigTIFF, RGB"
    sizes = {
        "PhysicalSizeZ": 500, "PhysicalSizeZUnit": "nm",
        "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "\u00b5m",
        "PhysicalSizeX": 0.125e-3, "PhysicalSizeXUnit": "mm",
    }
    for kind in ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]:
        for axes in ["ZYX", "CZYX", "ZCYX"]:
            data = array(kind, tuple({"Z": 4, "C": 2, "Y": 33, "X": 20}[a] for a in axes))
            expected = data.transpose(1, 0, 2, 3) if axes == "ZCYX" else data
            for compression in [None, "zlib", "lzw"]:
                file = write(data, ome=True, compression=compression, metadata={"axes": axes, **sizes})
                reads(group, f"{kind} {axes} {compression}", file, expected, spacing)
    data = array("u2", (2, 4, 33, 20))
    for name, options in {
        "tiles": {"tile": (16, 16)},
        "BigTIFF": {"bigtiff": True},
        "big-endian": {"byteorder": ">"},
        "all": {"tile": (16, 32), "bigtiff": True, "byteorder": ">", "compression": "zlib"},
    }.items():
        file = write(data, ome=True, metadata={"axes": "CZYX", **sizes}, **options)
        reads(group, name, file, data, spacing)
    data = array("u1", (4, 33, 20, 3))
    file = write(data, ome=True, photometric="rgb", metadata={"axes": "ZYXS", **sizes})
    reads(group, "RGB", file, data.transpose(3, 0, 1, 2), spacing)

    group = ("Plain multi-page by tifffile: 10 types, byte orders, BigTIFF, none, deflate, LZW, "
             "PackBits, predictor, tiles")
    for kind in TYPES:
        for order, big in [("<", False), (">", False), ("<", True), (">", True)]:
            for options in [
                {},
                {"compression": "zlib"},
                {"compression": "lzw"},
                {"compression": "packbits"},
                {"tile": (16, 16)},
                {"tile": (16, 16), "compression": "zlib"},
                {"compression": "zlib", "predictor": True},
                {"compression": "lzw", "predictor": True},
            ]:
                if "predictor" in options and kind in ["u8", "i8"]:
                    continue  # tifffile does not write these
                data = array(kind, (4, 33, 20))
                file = write(data, metadata=None, byteorder=order, bigtiff=big,
                             photometric="minisblack", **options)
                reads(group, f"{kind} {order} {big} {options}", file, data)

    group = ("Plain multi-page by tifffile: RGB, separate planes, palette, white is zero, "
             "tifffile's own shapes")
    data = array("u2", (4, 33, 20, 3))
    file = write(data, metadata=None, photometric="rgb")
    reads(group, "RGB", file, data.transpose(3, 0, 1, 2))
    data = array("u1", (4, 3, 33, 20))
    file = write(data, metadata=None, photometric="rgb", planarconfig="separate")
    reads(group, "planes", file, data.transpose(1, 0, 2, 3))
    data = array("u1", (4, 33, 20))
    for compression in [None, "zlib"]:
        for order in "<>":
            options = {"metadata": None, "compression": compression, "byteorder": order}
            file = write(data, photometric="miniswhite", **options)
            reads(group, f"white is zero {options}", file, data)
            file = write(data, photometric="palette", colormap=array("u2", (3, 256)), **options)
            reads(group, f"palette {options}", file, data)
    for axes, shape in [("ZYX", (4, 33, 20)), ("CZYX", (2, 4, 33, 20)), ("ZCYX", (4, 2, 33, 20)),
                        (None, (2, 4, 33, 20))]:
        data = array("i4", shape)
        file = write(data, metadata={"axes": axes} if axes else {}, photometric="minisblack")
        expected = data.transpose(1, 0, 2, 3) if axes == "ZCYX" else data
        reads(group, f"shaped {axes}", file, expected)

    group = "TIFF by us, read by tifffile: 10 types, 1 and 3 channels, spacing in um and mm"
    for kind in TYPES:
        for shape in [(4, 33, 20), (3, 4, 33, 20)]:
            for unit, mm in [("micron", um), ("mm", 1.0)]:
                data = array(kind, shape)
                source, target = path(".nii"), path(".tif")
                affine = np.diag([0.125 * mm, 0.25 * mm, 0.5 * mm, 1])
                nibabel.save(nibabel.Nifti1Image(data.T, affine, dtype=data.dtype), source)

                def action():
                    interop(source, target)
                    with tifffile.TiffFile(target) as file:
                        series = file.series[0]
                        expected = data if data.ndim == 3 else data.transpose(1, 0, 2, 3)
                        same("samples", series.asarray(), expected)
                        axes = "ZYX" if data.ndim == 3 else "ZCYX"
                        if series.dtype != data.dtype or series.axes != axes:
                            raise ValueError(f"{series.dtype} {series.axes}")
                        if file.is_imagej != (kind in ["u1", "u2", "i2", "f4"]):
                            raise ValueError("description")
                        if file.is_imagej:
                            found = file.imagej_metadata
                            tags = file.pages[0].tags
                            y, x = (tags[t].value for t in ["YResolution", "XResolution"])
                            sizes = [found["spacing"], y[1] / y[0], x[1] / x[0]]
                        else:
                            found = file.shaped_metadata[0]
                            sizes = found["spacing_zyx"]
                        same("spacing", sizes, [0.5, 0.25, 0.125], 2e-7)
                        if found["unit"] != unit:
                            raise ValueError(found["unit"])

                check(group, f"{kind} {shape} {unit}", action)


def npy():
    group = ("NPY by NumPy: 10 types and bool, byte orders, C and Fortran order, 3 and 4 axes, "
             "header versions 1 to 3")
    for kind in TYPES + ["?"]:
        for order in "<>":
            for shape in [(4, 5, 6), (3, 4, 5, 6)]:
                for fortran in [False, True]:
                    for version in [(1, 0), (2, 0), (3, 0)]:
                        if kind == "?":
                            data = RNG.integers(0, 2, shape).astype("?")
                        else:
                            data = array(np.dtype(kind).newbyteorder(order), shape)
                        file = path(".npy")
                        with open(file, "wb") as out:
                            stored = np.asfortranarray(data) if fortran else data
                            np.lib.format.write_array(out, stored, version)
                        expected = data.astype("u1") if kind == "?" else data
                        reads(group, f"{kind} {order} {shape} {fortran} {version}", file, expected)

    group = "NPY by us, read by NumPy: 10 types, 1 and 3 channels"
    for kind in TYPES:
        for shape in [(4, 5, 6), (3, 4, 5, 6)]:
            data = array(kind, shape)
            source, target = path(".tif"), path(".npy")
            tifffile.imwrite(source, data, photometric="minisblack",
                             metadata={"axes": "CZYX"[-data.ndim:]})

            def action():
                interop(source, target)
                found = np.load(target)
                same("samples", found, data)
                if found.dtype != data.dtype:
                    raise ValueError(found.dtype)

            check(group, f"{kind} {shape}", action)


def folders():
    def folder(slices, ending):
        out = path("")
        out.mkdir()
        for z, image in enumerate(slices):
            if ending == ".png":
                image.save(out / f"s{z}.png")
            else:
                tifffile.imwrite(out / f"s{z}.tif", image)
        return out

    group = "Folder of slices by Pillow and tifffile: PNG 8-bit, 16-bit, RGB, 1-bit, palette; TIFF"
    for kind in ["u1", "u2"]:
        data = array(kind, (12, 5, 6))
        reads(group, f"PNG {kind}", folder(map(Image.fromarray, data), ".png"), data)
    data = array("u1", (12, 5, 6, 3))
    reads(group, "PNG RGB", folder(map(Image.fromarray, data), ".png"), data.transpose(3, 0, 1, 2))
    data = RNG.integers(0, 2, (12, 5, 6)).astype("?")
    reads(group, "PNG 1-bit", folder(map(Image.fromarray, data), ".png"), data.astype("u1"))
    data = RNG.integers(0, 200, (12, 5, 6)).astype("u1")
    images = [Image.fromarray(image) for image in data]
    for image in images:
        image.putpalette([int(v) for v in RNG.integers(0, 255, 768)])
    reads(group, "PNG palette", folder(images, ".png"), data)
    for kind in TYPES:
        data = array(kind, (12, 5, 6))
        reads(group, f"TIFF {kind}", folder(data, ".tif"), data)

    group = "Folder of slices by us, read by Pillow and tifffile"
    for kind, shape in [("u1", (12, 5, 6)), ("u2", (12, 5, 6)), ("u1", (3, 12, 5, 6)),
                        ("f4", (12, 5, 6)), ("i4", (12, 5, 6))]:
        data = array(kind, shape)
        source, target = path(".npy"), path("")
        np.save(source, data)

        def action():
            interop(source, target)
            files = sorted(target.iterdir())
            found = np.stack([
                np.asarray(Image.open(f)) if f.suffix == ".png" else tifffile.imread(f).reshape(5, 6)
                for f in files
            ])
            same("samples", found if data.ndim == 3 else found.transpose(3, 0, 1, 2), data)

        check(group, f"{kind} {shape}", action)


with tempfile.TemporaryDirectory(prefix="unet3d-interop-") as folder_name:
    WORK = Path(folder_name)
    for part in [nifti, tiff, npy, folders]:
        part()

print(f"nibabel {nibabel.__version__}, tifffile {tifffile.__version__}, "
      f"imagecodecs {imagecodecs.__version__}, NumPy {np.__version__}, Pillow {PIL.__version__}\n")
print("| files | checked | equal |\n|---|---|---|")
for group, (passed, failed) in rows.items():
    print(f"| {group} | {passed + len(failed)} | {passed} |")
failures = [f"{group}\n    {line}" for group, (_, failed) in rows.items() for line in failed]
print(*failures, sep="\n", file=sys.stderr)
sys.exit(1 if failures else 0)
