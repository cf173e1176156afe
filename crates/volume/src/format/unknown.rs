//! What a file is that this program does not read, by its first bytes, and the
//! way out.
//!
//! One table: a name for people, where the bytes stand, the bytes, and what to
//! do. The first row that fits wins, so special cases stand before general ones.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::bytes::read_up_to;
use super::gzip;
use crate::Error;

const BIO_FORMATS: &str = "Open it in Fiji with File > Import > Bio-Formats and save it with \
                           File > Save As > Tiff, or convert it with Bio-Formats' bfconvert.";
const MEDICAL: &str = "Convert it to NIfTI (.nii.gz): in 3D Slicer or ITK-SNAP with File > Save, \
                       or with SimpleITK: sitk.WriteImage(sitk.ReadImage(IN), OUT).";
const DICOM: &str =
    "Convert the series to NIfTI with dcm2niix (dcm2niix -z y FOLDER), or in 3D Slicer.";
const EXPORT: &str = "Write the array to TIFF or NPY with Python: tifffile.imwrite(OUT, array, \
                      metadata={'axes': 'ZYX'}) or numpy.save(OUT, array).";
const PICTURE: &str = "Save the slices as PNG or TIFF: in Fiji with File > Import > Image Sequence, \
                       then File > Save As > Tiff. JPEG changes gray values, so take the originals where there are some.";
const UNPACK: &str = "Unpack it first, then give what was inside.";
const DOWNLOAD: &str = "The download did not bring the file itself: download it again.";
const NOT_A_VOLUME: &str = "Give a volume: NIfTI, TIFF, NPY, or a folder of PNG or TIFF slices.";

/// A kind of file.
struct Kind {
    name: &'static str,
    at: usize,
    bytes: &'static [u8],
    way_out: &'static str,
}

const fn kind(name: &'static str, at: usize, bytes: &'static [u8], way_out: &'static str) -> Kind {
    Kind {
        name,
        at,
        bytes,
        way_out,
    }
}

const KINDS: &[Kind] = &[
    // Volumes.
    kind(
        "a MATLAB 7.3 file (HDF5)",
        0,
        b"MATLAB 7.3 MAT-file",
        EXPORT,
    ),
    kind("a MATLAB file", 0, b"MATLAB 5.0 MAT-file", EXPORT),
    kind(
        "an HDF5 file (.h5, .ims of Imaris, .n5 and BigDataViewer are of this kind)",
        0,
        b"\x89HDF\r\n\x1a\n",
        "Open it in Fiji (Plugins > BigDataViewer, or File > Import > Bio-Formats for Imaris) and save it as TIFF, \
         or with Python: tifffile.imwrite(OUT, h5py.File(IN)[NAME][:], metadata={'axes': 'ZYX'}).",
    ),
    kind(
        "a NIfTI-2 file",
        4,
        b"n+2\0",
        "Convert it to NIfTI-1, as with nibabel: nibabel.Nifti1Image.from_image(nibabel.load(IN)).to_filename(OUT).",
    ),
    kind(
        "a NIfTI-2 file",
        4,
        b"ni2\0",
        "Convert it to NIfTI-1, as with nibabel: nibabel.Nifti1Image.from_image(nibabel.load(IN)).to_filename(OUT).",
    ),
    kind("a DICOM file", 128, b"DICM", DICOM),
    kind("an NRRD file", 0, b"NRRD", MEDICAL),
    kind("a MetaImage file", 0, b"ObjectType", MEDICAL),
    kind("a MetaImage file", 0, b"NDims", MEDICAL),
    kind("a MINC or NetCDF file", 0, b"CDF\x01", MEDICAL),
    kind("a MINC or NetCDF file", 0, b"CDF\x02", MEDICAL),
    kind("a VTK file", 0, b"# vtk DataFile", MEDICAL),
    kind("a VTK file", 0, b"<VTKFile", MEDICAL),
    kind("a Zeiss CZI file", 0, b"ZISRAWFILE", BIO_FORMATS),
    kind("a Nikon ND2 file", 0, b"\xda\xce\xbe\x0a", BIO_FORMATS),
    kind("an Olympus OIR file", 0, b"OLYMPUSRAWFORMAT", BIO_FORMATS),
    kind(
        "an Olympus OIB, Zeiss ZVI or Microsoft Office file",
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        BIO_FORMATS,
    ),
    kind("an Amira file", 0, b"# AmiraMesh", MEDICAL),
    kind("an Amira file", 0, b"# Avizo", MEDICAL),
    kind("an ICS file", 0, b"ics_version", BIO_FORMATS),
    kind("a SCANCO file", 0, b"CTDATA-HEADER", BIO_FORMATS),
    kind("a FITS file", 0, b"SIMPLE  =", BIO_FORMATS),
    kind("a DeltaVision file", 96, b"\xa0\xc0", BIO_FORMATS),
    kind("an MRC or CCP4 file", 208, b"MAP ", BIO_FORMATS),
    // Pictures.
    kind("a JPEG picture", 0, b"\xff\xd8\xff", PICTURE),
    kind(
        "a JPEG 2000 picture",
        0,
        b"\x00\x00\x00\x0cjP  ",
        BIO_FORMATS,
    ),
    kind("a JPEG 2000 picture", 0, b"\xff\x4f\xff\x51", BIO_FORMATS),
    kind("a GIF picture", 0, b"GIF8", PICTURE),
    kind("a WebP picture", 8, b"WEBP", PICTURE),
    kind("an AVI video", 8, b"AVI ", PICTURE),
    kind("an MP4 or HEIF file", 4, b"ftyp", PICTURE),
    kind("a Photoshop picture", 0, b"8BPS", PICTURE),
    kind("a GIMP picture", 0, b"gimp xcf", PICTURE),
    kind("an OpenEXR picture", 0, b"\x76\x2f\x31\x01", PICTURE),
    // Archives.
    kind("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c", UNPACK),
    kind("a RAR archive", 0, b"Rar!", UNPACK),
    kind("a tar archive", 257, b"ustar", UNPACK),
    kind("compressed with xz", 0, b"\xfd7zXZ\0", UNPACK),
    kind("compressed with bzip2", 0, b"BZh", UNPACK),
    kind("compressed with Zstandard", 0, b"\x28\xb5\x2f\xfd", UNPACK),
    // What is no volume at all.
    kind(
        "a Git LFS pointer, not the file it stands for",
        0,
        b"version https://git-lfs",
        "Fetch the file: git lfs pull.",
    ),
    kind(
        "a git-annex pointer, not the file it stands for",
        0,
        b"/annex/objects/",
        "Fetch the file: datalad get, or git annex get.",
    ),
    kind(
        "the macOS companion of another file",
        0,
        b"\x00\x05\x16\x07",
        "Give the file whose name lacks the ._ at its beginning.",
    ),
    kind("a PDF document", 0, b"%PDF", NOT_A_VOLUME),
    kind("a Python pickle", 0, b"\x80\x04\x95", EXPORT),
    kind("an SQLite database", 0, b"SQLite format 3", NOT_A_VOLUME),
];

/// Looks at a file that no format recognises.
pub(super) fn check(path: &Path, start: &[u8]) -> Result<(), Error> {
    if start.is_empty() {
        return Err(Error::field(
            path,
            "the length of the file",
            "0 bytes",
            "must hold a volume",
            "Copying or downloading it may have failed: try again.",
        ));
    }
    match name_of(start) {
        Some((name, way_out)) => Err(other(path, &name, way_out)),
        None => Ok(()),
    }
}

/// Looks at a folder without slices.
pub(super) fn check_folder(path: &Path) -> Result<(), Error> {
    const ZARR: &str = "Open it in Fiji (Plugins > BigDataViewer > HDF5/N5/Zarr/OME-NGFF) and save it as TIFF, or with \
                        Python: tifffile.imwrite(OUT, zarr.open(IN)[NAME][:], metadata={'axes': 'ZYX'}).";
    for (file, name) in [
        ("zarr.json", "a Zarr folder"),
        (".zarray", "a Zarr folder"),
        (".zgroup", "a Zarr folder"),
        (".zattrs", "a Zarr folder"),
        ("attributes.json", "an N5 folder"),
    ] {
        if path.join(file).is_file() {
            return Err(other(path, name, ZARR));
        }
    }
    if path.join("DICOMDIR").is_file() {
        return Err(other(path, "a DICOM folder", DICOM));
    }
    let Ok(entries) = fs::read_dir(path) else {
        return Ok(());
    };
    /// Enough to meet a slice of a series among notes and hidden files.
    const LOOKED_AT: usize = 50;
    for entry in entries.take(LOOKED_AT).flatten() {
        let file = entry.path();
        if !file.is_file() {
            continue;
        }
        let mut start = Vec::new();
        let read = fs::File::open(&file)
            .and_then(|file| file.take(super::START_BYTES).read_to_end(&mut start));
        if read.is_ok() && start.get(128..132) == Some(b"DICM") {
            return Err(other(path, "a folder of DICOM files", DICOM));
        }
    }
    Ok(())
}

fn other(path: &Path, name: &str, way_out: &'static str) -> Error {
    Error::OtherFormat {
        path: path.to_owned(),
        name: name.to_owned(),
        way_out,
    }
}

/// What the first bytes say.
fn name_of(start: &[u8]) -> Option<(String, &'static str)> {
    let has = |at: usize, bytes: &[u8]| start.get(at..at + bytes.len()) == Some(bytes);
    if start.starts_with(gzip::MAGIC) {
        let mut inside = vec![0; super::START_BYTES as usize];
        // What was read of the file ends within the compressed bytes.
        let mut members = flate2::bufread::GzDecoder::new(start);
        let found = read_up_to(&mut members, &mut inside).unwrap_or(inside.len());
        return Some(match name_of(&inside[..found]) {
            Some((name, way_out)) => (format!("{name}, compressed with gzip"), way_out),
            None => (
                "compressed with gzip and no NIfTI inside".to_owned(),
                UNPACK,
            ),
        });
    }
    if start.starts_with(b"PK\x03\x04") {
        let name_bytes = match start.get(26..28) {
            Some(&[low, high]) => usize::from(low) | usize::from(high) << 8,
            _ => 0,
        };
        let first = start.get(30..30 + name_bytes).unwrap_or_default();
        return Some(match first {
            first if first.ends_with(b".npy") => (
                "a NumPy archive (.npz)".to_owned(),
                "Write one array with numpy.save(OUT, numpy.load(IN)[NAME]).",
            ),
            first if first.ends_with(b".zarray") || first.ends_with(b".zgroup") => {
                ("a Zarr archive".to_owned(), EXPORT)
            }
            _ => ("a zip archive".to_owned(), UNPACK),
        });
    }
    // Leica LIF: 0x70, three zeros, a length, an asterisk.
    if has(0, &[0x70, 0, 0, 0]) && has(8, b"*") {
        return Some(("a Leica LIF file".to_owned(), BIO_FORMATS));
    }
    // BMP has two letters only: its length must agree with a header it has.
    if has(0, b"BM") && has(6, &[0; 4]) {
        return Some(("a BMP picture".to_owned(), PICTURE));
    }
    // Gatan DM3 and DM4: version, length, byte order.
    if matches!(start.get(..4), Some([0, 0, 0, 3 | 4]))
        && (has(8, &[0, 0, 0]) || has(12, &[0, 0, 0]))
    {
        return Some(("a Gatan DM3 or DM4 file".to_owned(), BIO_FORMATS));
    }
    // FreeSurfer MGH: version 1, highest byte first, and sizes below 65536.
    if has(0, &[0, 0, 0, 1, 0, 0]) && has(8, &[0, 0]) && has(12, &[0, 0]) {
        return Some((
            "a FreeSurfer MGH file".to_owned(),
            "Convert it to NIfTI: mri_convert IN OUT.nii.gz.",
        ));
    }
    // safetensors: a length of 64 bits, then JSON.
    if has(8, b"{\"") && has(5, &[0; 3]) {
        return Some((
            "a safetensors file, as models are kept in".to_owned(),
            "Give a volume here; a model goes where the command's help says MODEL.",
        ));
    }
    if let Some(kind) = KINDS.iter().find(|kind| has(kind.at, kind.bytes)) {
        return Some((kind.name.to_owned(), kind.way_out));
    }
    // ANALYZE 7.5: the size of its header, and no magic of NIfTI.
    if (has(0, &348i32.to_le_bytes()) || has(0, &348i32.to_be_bytes())) && start.len() >= 348 {
        return None;
    }
    text(start)
}

/// Kinds of text.
fn text(start: &[u8]) -> Option<(String, &'static str)> {
    /// Shorter ones may be the beginning of anything: TIFF begins with `II*`.
    const SHORTEST: usize = 8;
    if start.len() < SHORTEST {
        return None;
    }
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let is_text = |b: u8| b >= 0x20 && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t' | 0x0c);
    if !start.iter().all(|&b| is_text(b)) {
        return None;
    }
    let text = String::from_utf8_lossy(start).trim_start().to_lowercase();
    Some(
        if text.starts_with("<!doctype html") || text.starts_with("<html") {
            ("a web page".to_owned(), DOWNLOAD)
        } else if text.contains("<ome") && text.starts_with('<') {
            (
                "OME-XML, the description of images in other files".to_owned(),
                BIO_FORMATS,
            )
        } else if text.starts_with("<?xml") {
            ("an XML file".to_owned(), NOT_A_VOLUME)
        } else if text.contains("ndims =") || text.contains("objecttype =") {
            ("a MetaImage file".to_owned(), MEDICAL)
        } else {
            ("a text file".to_owned(), NOT_A_VOLUME)
        },
    )
}

#[cfg(test)]
mod tests;
