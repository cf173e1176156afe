//! Content that is named, and content that must not be.

use super::*;
use crate::read;

fn message(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    read(&path).expect_err(name).to_string()
}

fn at(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![1; 600];
    all[place..place + bytes.len()].copy_from_slice(bytes);
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn content_is_named_with_the_way_out_under_any_name() {
    let zip = |name: &[u8]| {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name);
        bytes
    };
    let lif = {
        let mut bytes = at(0, &[0x70, 0, 0, 0]);
        bytes[8] = b'*';
        bytes
    };
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("HDF5", at(0, b"\x89HDF\r\n\x1a\n"), "Fiji"),
        ("DICOM", at(128, b"DICM"), "dcm2niix"),
        ("NRRD", b"NRRD0004\ntype: short\n".to_vec(), "3D Slicer"),
        (
            "MetaImage",
            b"ObjectType = Image\nNDims = 3\n".to_vec(),
            "SimpleITK",
        ),
        (
            "MetaImage",
            b"# by hand\nNDims = 3\nDimSize = 4 4 4\n".to_vec(),
            "SimpleITK",
        ),
        ("CZI", at(0, b"ZISRAWFILE"), "Bio-Formats"),
        ("LIF", lif, "Bio-Formats"),
        ("ND2", at(0, b"\xda\xce\xbe\x0a"), "Bio-Formats"),
        (
            "OIB",
            at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            "Bio-Formats",
        ),
        ("MRC", at(208, b"MAP "), "Bio-Formats"),
        ("JPEG", at(0, b"\xff\xd8\xff\xe0"), "originals"),
        ("GIF", b"GIF89a--------".to_vec(), "PNG or TIFF"),
        (
            "BMP",
            [b"BM1234".to_vec(), vec![0; 40]].concat(),
            "PNG or TIFF",
        ),
        ("npz", zip(b"arr_0.npy"), "numpy.save"),
        ("zip archive", zip(b"word/document.xml"), "Unpack"),
        (
            "tar archive, compressed with gzip",
            gzip(&at(257, b"ustar")),
            "Unpack",
        ),
        (
            "MGH file, compressed with gzip",
            gzip(&[0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]),
            "mri_convert",
        ),
        (
            "no NIfTI inside",
            gzip(b"\x01\x02\x03\x04 anything"),
            "Unpack",
        ),
        ("NIfTI-2", at(4, b"n+2\0\r\n\x1a\n"), "NIfTI-1"),
        (
            "MATLAB",
            b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec(),
            "numpy.save",
        ),
        (
            "safetensors",
            [&9u64.to_le_bytes()[..], b"{\"a\": 1}"].concat(),
            "model",
        ),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3".to_vec(), "Give a volume"),
        (
            "web page",
            b"<!DOCTYPE html><html><head>".to_vec(),
            "download",
        ),
        (
            "Git LFS",
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "git lfs pull",
        ),
        (
            "OME-XML",
            b"<?xml version=\"1.0\"?><OME xmlns=\"x\">".to_vec(),
            "Bio-Formats",
        ),
        (
            "XML",
            b"<?xml version=\"1.0\"?><svg>".to_vec(),
            "Give a volume",
        ),
        (
            "text file",
            b"value,name\n1,nucleus\n".to_vec(),
            "Give a volume",
        ),
        ("0 bytes", Vec::new(), "again"),
    ];
    let mut failures = Vec::new();
    for (word, bytes, way_out) in cases {
        for name in ["a.bin", "a.nii", "a.nii.gz", "a.tif", "a.npy", "a.png", "a"] {
            let message = message(name, bytes);
            if !message.contains(word)
                || !message.contains(way_out)
                || message.contains("truncated")
            {
                failures.push(format!("{name} {word}: {message}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn folders_are_named_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let make = |name: &str, file: &str, bytes: &[u8]| {
        let inside = folder.path().join(name);
        fs::create_dir_all(&inside).expect("a folder");
        fs::write(inside.join(file), bytes).expect("written");
        read(&inside).expect_err(name).to_string()
    };
    assert!(make("a.zarr", ".zgroup", b"{}").contains("Zarr"));
    assert!(make("b.zarr", "zarr.json", b"{}").contains("Zarr"));
    assert!(make("c.n5", "attributes.json", b"{}").contains("N5"));
    assert!(make("d", "IM0001", &at(128, b"DICM")).contains("dcm2niix"));
    assert!(make("e", "1.dcm", &at(128, b"DICM")).contains("DICOM"));
    assert!(make("f", "notes.txt", b"nothing").contains("without slices"));
}

/// Samples can look like anything: the second file of a pair is never named.
#[test]
fn samples_of_a_pair_are_not_taken_for_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("a.nii");
    let samples = crate::Samples::U8(vec![b'x'; 24]);
    let volume =
        crate::Volume::new(crate::Geometry::of_shape([2, 3, 4]), 1, samples).expect("valid");
    crate::write(&whole, &volume).expect("written");
    let mut bytes = fs::read(&whole).expect("read");
    fs::write(folder.path().join("b.img"), &bytes[352..]).expect("written");
    bytes.truncate(348);
    bytes[344..348].copy_from_slice(b"ni1\0");
    bytes[108..112].copy_from_slice(&0f32.to_le_bytes());
    fs::write(folder.path().join("b.hdr"), &bytes).expect("written");
    for name in ["b.img", "b.hdr"] {
        assert_eq!(read(&folder.path().join(name)).expect(name), volume);
    }
}
