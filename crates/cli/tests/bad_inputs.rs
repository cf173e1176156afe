//! Bad inputs: each is refused with a clear error, an exit code that is not 0,
//! and nothing half-written. docs/correctness.md lists them under the same names.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use std::io::Write;
use std::path::Path;

use common::{Folder, Ran, blobs, model, program, run, skipped, sparse};
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [16, 20, 24];

/// Runs what must be refused: code 1, one error that holds all of `words`,
/// nothing on standard output, and the same files as before.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) -> Ran {
    let before = folder.files();
    let ran = run(folder, arguments);
    assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
    assert!(ran.stderr.contains("error: "), "{ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    assert_eq!(ran.stdout, "", "{ran:?}");
    for word in words {
        assert!(
            ran.stderr.contains(word),
            "{word:?} is missing in: {}",
            ran.stderr
        );
    }
    assert_eq!(folder.files(), before, "{arguments} left something behind");
    ran
}

fn image() -> Volume {
    blobs(SHAPE, 1).0
}

fn labels() -> Volume {
    blobs(SHAPE, 1).1
}

/// The bytes of `volume` in the format of `name`.
fn bytes_of(name: &str, volume: &Volume) -> Vec<u8> {
    let folder = Folder::new();
    std::fs::read(folder.volume(name, volume)).expect("read")
}

/// A folder with an image and its sparse labels.
fn pair() -> Folder {
    let folder = Folder::new();
    folder.volume("image.nii", &image());
    folder.volume("labels.nii", &sparse(&labels()));
    folder
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("written")
}

// Files.

#[test]
fn missing_file() {
    refused(
        &Folder::new(),
        "info @nothing.nii",
        &["nothing.nii", "spelling"],
    );
}

#[test]
fn empty_file() {
    let folder = Folder::new();
    folder.bytes("empty.nii", b"");
    refused(&folder, "info @empty.nii", &["empty.nii"]);
}

#[test]
fn unknown_format() {
    let folder = Folder::new();
    folder.bytes("notes.txt", b"no volume at all");
    refused(
        &folder,
        "info @notes.txt",
        &["notes.txt", "text file", "NIfTI"],
    );
}

#[test]
fn text_named_as_volume() {
    for name in [
        "text.nii",
        "text.nii.gz",
        "text.npy",
        "text.tif",
        "text.png",
    ] {
        let folder = Folder::new();
        folder.bytes(
            name,
            &b"this is no volume, whatever its name says. ".repeat(20),
        );
        refused(&folder, &format!("info @{name}"), &[name]);
    }
}

#[test]
fn nifti_truncated() {
    let bytes = bytes_of("a.nii", &image());
    for keep in [100, 348, 352, bytes.len() - 1] {
        let folder = Folder::new();
        folder.bytes("a.nii", &bytes[..keep]);
        refused(&folder, "convert @a.nii @b.npy", &["a.nii"]);
    }
}

#[test]
fn nifti_gz_truncated() {
    let bytes = bytes_of("a.nii.gz", &image());
    for keep in [10, 40, bytes.len() / 2, bytes.len() - 4] {
        let folder = Folder::new();
        folder.bytes("a.nii.gz", &bytes[..keep]);
        refused(&folder, "convert @a.nii.gz @b.npy", &["a.nii.gz"]);
    }
}

#[test]
fn nifti_gz_corrupt() {
    let mut bytes = bytes_of("a.nii.gz", &image());
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 16] {
        *byte ^= 0xa5;
    }
    let folder = Folder::new();
    folder.bytes("a.nii.gz", &bytes);
    refused(&folder, "convert @a.nii.gz @b.npy", &["a.nii.gz"]);
}

/// A NIfTI header with one field changed.
fn nifti_with(offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes_of("a.nii", &image());
    bytes[offset..offset + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn nifti_dimension_zero() {
    let folder = Folder::new();
    // dim[3] stands at byte 40 + 2 * 3.
    folder.bytes("a.nii", &nifti_with(46, &0i16.to_le_bytes()));
    refused(&folder, "info @a.nii", &["a.nii", "dim[3]"]);
}

#[test]
fn nifti_dimensions_too_large() {
    let folder = Folder::new();
    let dims: Vec<u8> = [3i16, 32767, 32767, 32767]
        .iter()
        .flat_map(|d| d.to_le_bytes())
        .collect();
    let bytes = nifti_with(40, &dims);
    folder.bytes("a.nii", &bytes);
    refused(&folder, "info @a.nii", &["a.nii"]);
    folder.bytes("b.nii.gz", &gzip(&bytes));
    refused(&folder, "info @b.nii.gz", &["b.nii.gz"]);
}

#[test]
fn nifti_type_unknown() {
    let folder = Folder::new();
    // Type 1536 is a 128-bit float, which no code here can hold.
    folder.bytes("a.nii", &nifti_with(70, &1536i16.to_le_bytes()));
    refused(&folder, "info @a.nii", &["a.nii", "datatype"]);
}

#[test]
fn npy_truncated() {
    let bytes = bytes_of("a.npy", &image());
    for keep in [4, 20, 128, bytes.len() - 1] {
        let folder = Folder::new();
        folder.bytes("a.npy", &bytes[..keep]);
        refused(&folder, "convert @a.npy @b.nii", &["a.npy"]);
    }
}

#[test]
fn npy_header_corrupt() {
    for (from, to) in [("'shape'", "'shade'"), ("|u1", "|O8"), ("(16", "(-6")] {
        let bytes = bytes_of("a.npy", &image());
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from} in the header"));
        let mut bytes = bytes;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let folder = Folder::new();
        folder.bytes("a.npy", &bytes);
        refused(&folder, "info @a.npy", &["a.npy"]);
    }
}

#[test]
fn tiff_truncated() {
    let bytes = bytes_of("a.tif", &image());
    for keep in [4, 8, bytes.len() / 3, bytes.len() - 8] {
        let folder = Folder::new();
        folder.bytes("a.tif", &bytes[..keep]);
        refused(&folder, "convert @a.tif @b.nii", &["a.tif"]);
    }
}

#[test]
fn tiff_directory_outside_the_file() {
    let mut bytes = bytes_of("a.tif", &image());
    // Bytes 4 to 7 of a classic TIFF say where its first directory is.
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let folder = Folder::new();
    folder.bytes("a.tif", &bytes);
    refused(&folder, "info @a.tif", &["a.tif"]);
}

/// A folder of three PNG slices, the second replaced by `bytes`.
fn slices_with(bytes: impl Fn(&[u8]) -> Vec<u8>) -> Folder {
    let folder = Folder::new();
    for i in 0..3 {
        let path = folder.path(&format!("slices/{i}.png"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        write_png(&path, 12, 10);
    }
    let path = folder.path("slices/1.png");
    let old = std::fs::read(&path).expect("read");
    std::fs::write(&path, bytes(&old)).expect("written");
    folder
}

fn write_png(path: &Path, width: u32, height: u32) {
    let file = std::fs::File::create(path).expect("created");
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("written");
    let gray: Vec<u8> = (0..width * height).map(|i| (i * 37 % 251) as u8).collect();
    writer.write_image_data(&gray).expect("written");
}

#[test]
fn png_slice_truncated() {
    let folder = slices_with(|bytes| bytes[..bytes.len() / 2].to_vec());
    refused(&folder, "convert @slices @b.nii", &["1.png"]);
}

#[test]
fn png_slice_corrupt() {
    let folder = slices_with(|bytes| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        bytes
    });
    refused(&folder, "convert @slices @b.nii", &["1.png"]);
}

#[test]
fn slices_of_different_sizes() {
    let folder = slices_with(<[u8]>::to_vec);
    write_png(&folder.path("slices/1.png"), 12, 11);
    refused(&folder, "convert @slices @b.nii", &["1.png"]);
}

#[test]
fn folder_without_volumes() {
    let folder = Folder::new();
    folder.bytes("data/readme.txt", b"no volumes here");
    refused(&folder, "evaluate @data @data", &["data", "no volume"]);
}

// Outputs.

#[test]
fn output_extension_unknown() {
    let folder = Folder::new();
    folder.volume("a.nii", &image());
    refused(&folder, "convert @a.nii @b.docx", &["b.docx", "format"]);
}

#[test]
fn output_as_a_pair_of_files() {
    let folder = pair();
    for name in ["out.img", "out.hdr", "out.img.gz", "out.hdr.gz"] {
        refused(
            &folder,
            &format!("fill @image.nii @labels.nii -o @{name} --unlabeled 0 {QUICK}"),
            &[name, "format", ".nii.gz"],
        );
    }
}

#[test]
fn output_unwritable() {
    let folder = Folder::new();
    folder.volume("a.nii", &image());
    // A file where a folder would have to be: refused to every user.
    refused(&folder, "convert @a.nii @a.nii/b.nii", &["a.nii", "folder"]);
}

#[test]
fn output_is_input() {
    let folder = Folder::new();
    let path = folder.volume("a.nii", &image());
    let before = std::fs::read(&path).expect("read");
    refused(&folder, "convert @a.nii @a.nii", &["both input and output"]);
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[test]
fn output_is_a_folder() {
    let folder = pair();
    std::fs::create_dir(folder.path("taken.nii")).expect("made");
    for flags in [
        "-o @taken.nii",
        "-o @out.nii --model @taken.nii",
        "-o @out.nii --report @taken.nii",
    ] {
        refused(
            &folder,
            &format!("fill @image.nii @labels.nii {flags} --unlabeled 0 {QUICK}"),
            &["taken.nii", "a folder", "a file"],
        );
    }
}

#[test]
fn output_into_a_folder_of_other_things() {
    let folder = pair();
    folder.bytes("thesis/chapter.txt", b"years of work");
    refused(
        &folder,
        &format!("fill @image.nii @labels.nii -o @thesis --unlabeled 0 {QUICK}"),
        &["thesis", "chapter.txt"],
    );
}

#[test]
fn outputs_at_one_path() {
    let folder = pair();
    for (flags, both) in [
        ("--model @out.nii", ["--out", "--model"]),
        ("--report @out.nii", ["--out", "--report"]),
        ("--model @x --report @x", ["--model", "--report"]),
        ("--model @labels.nii", ["both input", "output"]),
    ] {
        refused(
            &folder,
            &format!("fill @image.nii @labels.nii -o @out.nii --unlabeled 0 {flags} {QUICK}"),
            &both,
        );
    }
}

#[test]
fn output_as_one_slice() {
    refused(
        &pair(),
        &format!("fill @image.nii @labels.nii -o @out.png --unlabeled 0 {QUICK}"),
        &["out.png", "16 slices", ".nii.gz"],
    );
}

#[test]
fn demo_over_files_of_others() {
    let folder = Folder::new();
    let path = folder.bytes("mine/result.tif", b"years of work");
    refused(
        &folder,
        &format!("demo -o @mine {QUICK}"),
        &["mine", "result.tif", "another folder"],
    );
    assert_eq!(std::fs::read(path).expect("read"), b"years of work");
}

#[test]
fn learning_flags_where_nothing_is_learned() {
    let folder = pair();
    for flag in [
        "--minutes 1",
        "--seed 3",
        "--run @run",
        "--model @m.safetensors",
    ] {
        refused(
            &folder,
            &format!(
                "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --method interpolate {flag}"
            ),
            &[&flag[..5], "interpolate learns nothing", "--method network"],
        );
    }
}

#[test]
fn phantom_into_a_folder_with_files() {
    let folder = Folder::new();
    folder.bytes("mine/notes.txt", b"years of work");
    refused(
        &folder,
        "phantom -o @mine --shape 16",
        &["mine", "notes.txt", "empty folder"],
    );
}

#[test]
fn phantom_that_cannot_be_meant() {
    let folder = Folder::new();
    refused(
        &folder,
        "phantom -o @data --shape 1000000,1000000,1000000",
        &["--shape", "memory"],
    );
    refused(
        &folder,
        "phantom -o @data --slices z=1 --slices z=2",
        &["--slices", "2 times", "3 samples"],
    );
}

#[test]
fn disk_full() {
    // A disk of 64 KiB, where the system lets a test make one.
    let folder = Folder::new();
    let disk = folder.path("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&disk)
        .output()
        .is_ok_and(|o| o.status.success());
    if !mounted {
        skipped("disk_full", "only root may mount a small disk here");
        return;
    }
    let mut large = blobs([64, 64, 64], 1).0;
    if let Samples::U8(values) = &mut large.samples {
        // Noise, which no compression makes smaller (xorshift of Marsaglia, 2003).
        let mut state = 1_u32;
        for value in values {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *value = (state >> 24) as u8;
        }
    }
    folder.volume("large.nii", &large);
    let result = std::panic::catch_unwind(|| {
        refused(
            &folder,
            "convert @large.nii @disk/a.nii",
            &["a.nii", "disk is full"],
        );
        refused(
            &folder,
            "convert @large.nii @disk/a.npy",
            &["a.npy", "disk is full"],
        );
        // How small this becomes is known only when it is too late.
        refused(
            &folder,
            "convert @large.nii @disk/a.nii.gz",
            &["a.nii.gz", "disk is full"],
        );
    });
    let unmounted = std::process::Command::new("umount").arg(&disk).status();
    assert!(unmounted.expect("umount").success());
    result.unwrap_or_else(|e| std::panic::resume_unwind(e));
}

#[test]
fn standard_output_full() {
    let folder = Folder::new();
    let path = folder.volume("a.nii", &image());
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        skipped("standard_output_full", "this system has no /dev/full");
        return;
    };
    let arguments = ["info".as_ref(), path.as_os_str(), "--json".as_ref()];
    let ran = Ran::of(program(&arguments).stdout(full).output().expect("started"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("standard output"), "{ran:?}");
}

// Labels.

#[test]
fn labels_without_a_scheme() {
    let folder = pair();
    folder.volume("prediction.nii", &labels());
    let ran = refused(
        &folder,
        "evaluate @prediction.nii @labels.nii",
        &[
            "labels.nii",
            "--unlabeled 0",
            "--painted-slices",
            "--annotated MASK",
            "--dense",
        ],
    );
    assert!(
        ran.stderr.contains("87.50 %"),
        "the share of value 0: {}",
        ran.stderr
    );
}

#[test]
fn label_value_outside_the_classes() {
    let folder = pair();
    refused(
        &folder,
        "evaluate @labels.nii @labels.nii --dense --classes 0=none,1=inside",
        &["labels.nii", "value 2", "class"],
    );
}

#[test]
fn labels_with_fractions() {
    let folder = pair();
    let mut values = labels().samples.to_f32();
    values[100] = 1.5;
    let fractions = Volume {
        samples: Samples::F32(values),
        ..labels()
    };
    folder.volume("f.nii", &fractions);
    refused(
        &folder,
        "sparsify @f.nii -o @s.nii --slices z=1",
        &["f.nii", "1.5", "whole"],
    );
}

#[test]
fn labels_of_several_channels() {
    let folder = Folder::new();
    let (a, b) = (labels().samples.to_f32(), labels().samples.to_f32());
    let two = Volume {
        geometry: Geometry::of_shape(SHAPE),
        channels: 2,
        samples: Samples::F32([a, b].concat()),
        scaling: None,
        notes: Vec::new(),
        placed: None,
    };
    folder.volume("two.nii", &two);
    refused(
        &folder,
        "sparsify @two.nii -o @s.nii --slices z=1",
        &["two.nii", "2 channels"],
    );
}

#[test]
fn instance_numbers_instead_of_classes() {
    let folder = Folder::new();
    let numbers = (0..SHAPE.iter().product::<usize>())
        .map(|i| (i / 8) as u16)
        .collect();
    let instances = Volume {
        samples: Samples::U16(numbers),
        ..labels()
    };
    folder.volume("instances.nii", &instances);
    refused(
        &folder,
        "sparsify @instances.nii -o @s.nii --slices z=1",
        &["instances.nii", "at most 255"],
    );
}

#[test]
fn mask_of_another_shape() {
    let folder = pair();
    folder.volume("mask.nii", &blobs([4, 5, 6], 1).1);
    refused(
        &folder,
        &format!(
            "evaluate @labels.nii @labels.nii --annotated {}",
            folder.path("mask.nii").display()
        ),
        &["mask.nii", "shape", "[4, 5, 6]"],
    );
}

#[test]
fn unlabeled_value_is_a_class() {
    let folder = Folder::new();
    folder.volume("dense.nii", &labels());
    refused(
        &folder,
        "sparsify @dense.nii -o @s.nii --slices z=1 --unlabeled 2",
        &["--unlabeled", "class 2", "--partial"],
    );
}

#[test]
fn prediction_and_truth_differ_in_shape() {
    let folder = Folder::new();
    folder.volume("a.nii", &labels());
    folder.volume("b.nii", &blobs([16, 20, 25], 1).1);
    refused(
        &folder,
        "evaluate @a.nii @b.nii --dense",
        &["a.nii", "b.nii", "shape", "[16, 20, 25]"],
    );
}

#[test]
fn nothing_left_to_score() {
    let folder = Folder::new();
    folder.volume("a.nii", &labels());
    refused(
        &folder,
        "evaluate @a.nii @a.nii --except @a.nii --unlabeled 0",
        &["a.nii", "no voxel", "--except"],
    );
}

#[test]
fn probabilities_of_another_shape() {
    let folder = Folder::new();
    folder.volume("truth.npy", &labels());
    folder.volume("p.npy", &labels());
    refused(
        &folder,
        "evaluate @truth.npy @truth.npy --dense --probabilities @p.npy",
        &["p.npy", "1 channel,", "2 classes", "--classes"],
    );
}

#[test]
fn prediction_without_truth() {
    let folder = Folder::new();
    folder.volume("predicted/a.nii", &labels());
    folder.volume("predicted/b.nii", &labels());
    folder.volume("truth/a.nii", &labels());
    refused(
        &folder,
        "evaluate @predicted @truth --dense",
        &["b.nii", "truth"],
    );
}

/// Two label volumes without spacing, and one with.
fn with_and_without_spacing() -> Folder {
    let folder = Folder::new();
    folder.volume("a.npy", &labels());
    folder.volume("truth/a.npy", &labels());
    folder.volume("truth/b.nii", &labels());
    folder
}

#[test]
fn surface_of_a_truth_annotated_in_part() {
    let folder = pair();
    folder.volume("prediction.nii", &blobs(SHAPE, 1).1);
    refused(
        &folder,
        "evaluate @prediction.nii @labels.nii --unlabeled 0 --surface",
        &["labels.nii", "--surface", "not annotated", "dense truth"],
    );
}

#[test]
fn surface_of_one_slice() {
    let folder = Folder::new();
    folder.volume("slice.nii", &blobs([1, 20, 24], 1).1);
    refused(
        &folder,
        "evaluate @slice.nii @slice.nii --surface",
        &["slice.nii", "one voxel along z", "--surface"],
    );
}

#[test]
fn tolerance_in_mm_without_spacing() {
    refused(
        &with_and_without_spacing(),
        "evaluate @a.npy @a.npy --surface --tolerance-mm 1",
        &["a.npy", "--tolerance-mm", "--spacing"],
    );
}

#[test]
fn surfaces_with_and_without_spacing() {
    refused(
        &with_and_without_spacing(),
        "evaluate @truth @truth --surface",
        &["a.npy", "b.nii", "--spacing"],
    );
}

#[test]
fn summary_over_an_input() {
    let folder = with_and_without_spacing();
    for path in ["truth/a.npy", "truth"] {
        refused(
            &folder,
            &format!("evaluate @truth @truth --summary @{path}"),
            &[path, "--summary"],
        );
    }
    refused(
        &folder,
        "evaluate @truth/a.npy @truth/a.npy --annotated @a.npy --summary @a.npy",
        &["a.npy", "--summary"],
    );
}

// Models and prediction.

/// A folder with an image and a model for `channels`.
fn with_model(channels: usize) -> Folder {
    let folder = Folder::new();
    folder.volume("image.nii", &image());
    folder.bytes("m.safetensors", &model(channels).to_bytes().expect("bytes"));
    folder
}

#[test]
fn model_truncated() {
    let bytes = model(1).to_bytes().expect("bytes");
    for keep in [0, 4, 200, bytes.len() - 4] {
        let folder = with_model(1);
        folder.bytes("m.safetensors", &bytes[..keep]);
        refused(
            &folder,
            "predict @m.safetensors @image.nii -o @out.nii",
            &["m.safetensors"],
        );
    }
}

/// The model's bytes with one text replaced by another of the same length.
fn edited_model(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = model(1).to_bytes().expect("bytes");
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{from} in {}", String::from_utf8_lossy(&bytes[..900])));
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn model_of_a_newer_version() {
    let folder = with_model(1);
    folder.bytes(
        "m.safetensors",
        &edited_model("format_version\\\":1", "format_version\\\":9"),
    );
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii",
        &["m.safetensors", "9", "newer"],
    );
}

#[test]
fn model_of_another_program() {
    let folder = with_model(1);
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(1f32.to_le_bytes());
    folder.bytes("m.safetensors", &bytes);
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii",
        &["m.safetensors", "unet3d"],
    );
}

#[test]
fn model_with_nan() {
    let folder = with_model(1);
    let mut model = model(1);
    model.parameters.values[3] = f32::NAN;
    // A model that is not finite cannot be written, so the bytes are changed.
    match model.to_bytes() {
        Err(error) => assert!(error.to_string().contains("finite"), "{error}"),
        Ok(bytes) => {
            folder.bytes("m.safetensors", &bytes);
            refused(
                &folder,
                "predict @m.safetensors @image.nii -o @out.nii",
                &["finite"],
            );
        }
    }
    let mut bytes = common::model(1).to_bytes().expect("bytes");
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.bytes("m.safetensors", &bytes);
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii",
        &["m.safetensors", "finite"],
    );
}

#[test]
fn run_folder_without_a_model() {
    let folder = with_model(1);
    folder.bytes("run/log.jsonl", b"");
    refused(
        &folder,
        "predict @run @image.nii -o @out.nii",
        &["run", "no model"],
    );
}

#[test]
fn wrong_number_of_channels() {
    let folder = with_model(3);
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii",
        &["image.nii", "1 channel", "3"],
    );
}

#[test]
fn tile_that_the_network_cannot_take() {
    let folder = with_model(1);
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii --tile 16,17,16",
        &["tile", "17", "16", "y"],
    );
}

#[test]
fn memory_too_small() {
    let folder = with_model(1);
    refused(
        &folder,
        "predict @m.safetensors @image.nii -o @out.nii --memory 100kB",
        &["image.nii", "memory"],
    );
}

#[test]
fn nan_in_an_image_to_predict() {
    let folder = with_model(1);
    let mut values = image().samples.to_f32();
    values[2 * 480 + 3 * 24 + 4] = f32::NAN;
    folder.volume(
        "nan.nii",
        &Volume {
            samples: Samples::F32(values),
            ..image()
        },
    );
    refused(
        &folder,
        "predict @m.safetensors @nan.nii -o @out.nii",
        &["nan.nii", "NaN", "2, 3, 4"],
    );
}

#[test]
fn several_images_into_a_file() {
    let folder = with_model(1);
    folder.volume("b.nii", &image());
    folder.volume("out.nii", &image());
    refused(
        &folder,
        "predict @m.safetensors @image.nii @b.nii -o @out.nii",
        &["out.nii", "folder"],
    );
}

#[test]
fn several_images_of_one_name() {
    let folder = with_model(1);
    folder.volume("x/image.nii", &image());
    std::fs::create_dir(folder.path("out")).expect("made");
    refused(
        &folder,
        "predict @m.safetensors @image.nii @x/image.nii -o @out",
        &["image.nii", "two images"],
    );
}

// The machine.

#[test]
fn instructions_that_the_machine_does_not_have() {
    let folder = with_model(1);
    folder.volume("labels.nii", &sparse(&labels()));
    for command in [
        format!("fill @image.nii @labels.nii -o @out.nii --unlabeled 0 {QUICK}"),
        format!("demo -o @demo {QUICK}"),
        "predict @m.safetensors @image.nii -o @out.nii".into(),
    ] {
        for (name, isa) in [("--isa", "sse9"), ("--isa", "AVX2")] {
            refused(
                &folder,
                &format!("{command} {name} {isa}"),
                &[name, isa, "portable"],
            );
        }
    }
}

#[test]
fn instructions_wrong_in_the_environment() {
    let folder = with_model(1);
    let path = |name: &str| folder.path(name).display().to_string();
    let ran = program(&[
        "predict".into(),
        path("m.safetensors"),
        path("image.nii"),
        "-o".into(),
        path("out.nii"),
    ])
    .env("UNET3D_ISA", "mmx")
    .output();
    let ran = Ran::of(ran.expect("started"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for word in ["UNET3D_ISA", "mmx", "portable"] {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
    assert!(!folder.path("out.nii").exists());
}

#[test]
fn bench_size_that_the_network_cannot_take() {
    for (arguments, words) in [
        ("--size 93,92,92", ["--size", "93 along z", "92 and 100"]),
        ("--size 92,92,64", ["--size", "64 along x", "92"]),
        ("--preset small --size 16,17,16", ["17 along y", "16", "20"]),
        (
            "--preset twin2d --size 1,93,100",
            ["93 along y", "92", "100"],
        ),
    ] {
        refused(&Folder::new(), &format!("bench {arguments}"), &words);
    }
}

#[test]
fn bench_larger_than_the_memory() {
    for arguments in [
        "--preset small --size 16 --memory 1MB",
        "--size 1004 --batch 7",
        "--preset small --size 4000000000000",
    ] {
        let words = ["memory"];
        refused(&Folder::new(), &format!("bench {arguments}"), &words);
    }
}

#[test]
fn bench_of_a_network_that_is_none() {
    let folder = Folder::new();
    folder.bytes("a.toml", b"preset = \"smal\"");
    for (arguments, words) in [
        ("--config @nothing.toml", ["nothing.toml", "read"]),
        ("--config @a.toml", ["a.toml", "smal"]),
        ("--classes 300", ["--classes", "255"]),
        ("--preset small --size 16 --isa mmx", ["--isa", "mmx"]),
    ] {
        refused(&folder, &format!("bench {arguments}"), &words);
    }
}

// Learning.

const QUICK: &str = "--iterations 1 --patch 16,16,16";

#[test]
fn fill_without_a_scheme() {
    refused(
        &pair(),
        &format!("fill @image.nii @labels.nii -o @out.nii {QUICK}"),
        &[
            "labels.nii",
            "--unlabeled 0",
            "--painted-slices",
            "--annotated MASK",
            "--dense",
        ],
    );
}

#[test]
fn image_and_labels_differ_in_shape() {
    let folder = pair();
    folder.volume("labels.nii", &blobs([16, 20, 25], 1).1);
    refused(
        &folder,
        &format!("fill @image.nii @labels.nii -o @out.nii --dense {QUICK}"),
        &["image.nii", "labels.nii", "[16, 20, 25]"],
    );
}

#[test]
fn no_annotated_voxel() {
    let folder = pair();
    let empty = Volume {
        samples: Samples::U8(vec![0; SHAPE.iter().product()]),
        ..labels()
    };
    folder.volume("labels.nii", &empty);
    for flag in ["--unlabeled 0", "--painted-slices z"] {
        refused(
            &folder,
            &format!("fill @image.nii @labels.nii -o @out.nii {flag} {QUICK}"),
            &["labels.nii", "no annotated voxel"],
        );
    }
}

#[test]
fn only_one_class() {
    let folder = pair();
    let mut values = vec![0; SHAPE.iter().product()];
    values[..480].fill(1);
    folder.volume(
        "labels.nii",
        &Volume {
            samples: Samples::U8(values),
            ..labels()
        },
    );
    refused(
        &folder,
        &format!("fill @image.nii @labels.nii -o @out.nii --unlabeled 0 {QUICK}"),
        &["labels.nii", "two classes", "--painted-slices"],
    );
}

#[test]
fn nan_in_an_image_to_learn_from() {
    let folder = pair();
    let mut values = image().samples.to_f32();
    values[480 + 24 + 1] = f32::INFINITY;
    folder.volume(
        "image.nii",
        &Volume {
            samples: Samples::F32(values),
            ..image()
        },
    );
    refused(
        &folder,
        &format!("fill @image.nii @labels.nii -o @out.nii --unlabeled 0 {QUICK}"),
        &["image.nii", "inf", "1, 1, 1"],
    );
}

#[test]
fn patch_that_the_network_cannot_take() {
    refused(
        &pair(),
        "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --iterations 1 --patch 16,17,16",
        &["17", "16", "y"],
    );
}

#[test]
fn patch_of_the_paper_too_small() {
    refused(
        &pair(),
        "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --iterations 1 --preset paper --patch 64,64,64",
        &["64", "92"],
    );
}

#[test]
fn learning_rate_below_zero() {
    refused(
        &pair(),
        &format!("fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --lr 0 {QUICK}"),
        &["--lr", "above 0"],
    );
}

#[test]
fn memory_too_small_to_learn() {
    refused(
        &pair(),
        "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --iterations 1 --memory 1MB",
        &["memory"],
    );
}

#[test]
fn report_unwritable() {
    refused(
        &pair(),
        &format!(
            "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --report /dev/null/r.html {QUICK}"
        ),
        &["/dev/null"],
    );
}

#[test]
fn configuration_with_an_unknown_field() {
    let folder = pair();
    folder.bytes("config.toml", b"bach = 2");
    refused(
        &folder,
        &format!(
            "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --config {}",
            folder.path("config.toml").display()
        ),
        &["config.toml", "bach"],
    );
}

/// A data set of two cases.
fn data_set() -> Folder {
    let folder = Folder::new();
    for name in ["a", "b"] {
        folder.volume(&format!("data/imagesTr/{name}.nii"), &image());
        folder.volume(&format!("data/labelsTr/{name}.nii"), &sparse(&labels()));
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii"}"#,
    );
    folder
}

#[test]
fn data_set_without_cases() {
    let folder = Folder::new();
    folder.bytes("data/imagesTr/readme.txt", b"nothing");
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"a": 0, "b": 1}, "file_ending": ".nii"}"#,
    );
    refused(&folder, &format!("train @data -o @run {QUICK}"), &["data"]);
}

#[test]
fn data_set_without_a_scheme() {
    let folder = data_set();
    std::fs::remove_file(folder.path("data/dataset.json")).expect("removed");
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["--unlabeled", "--dense"],
    );
}

#[test]
fn data_set_description_corrupt() {
    let folder = data_set();
    folder.bytes("data/dataset.json", b"{\"labels\": {\"a\": 0,");
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["dataset.json"],
    );
}

#[test]
fn case_without_image() {
    let folder = data_set();
    std::fs::remove_file(folder.path("data/imagesTr/b.nii")).expect("removed");
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["case b", "imagesTr"],
    );
}

#[test]
fn case_with_labels_of_another_shape() {
    let folder = data_set();
    folder.volume("data/labelsTr/b.nii", &blobs([16, 20, 25], 1).1);
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["b.nii", "[16, 20, 25]"],
    );
}

#[test]
fn case_with_other_channels() {
    let folder = data_set();
    let two = Volume {
        channels: 2,
        samples: Samples::F32([image().samples.to_f32(), image().samples.to_f32()].concat()),
        ..image()
    };
    folder.volume("data/imagesTr/b.nii", &two);
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["channels"],
    );
}

#[test]
fn run_that_is_there_already() {
    let folder = data_set();
    let done = run(&folder, &format!("train @data -o @run {QUICK}"));
    assert_eq!(done.code, Some(0), "{done:?}");
    refused(
        &folder,
        &format!("train @data -o @run {QUICK}"),
        &["run", "--resume"],
    );
}

#[test]
fn nothing_to_resume() {
    refused(
        &data_set(),
        "train @data -o @run --resume",
        &["run", "--resume"],
    );
}

#[test]
fn nothing_to_suggest() {
    let folder = with_model(1);
    folder.volume("labels.npy", &labels());
    refused(
        &folder,
        "suggest @m.safetensors @image.nii @labels.npy --dense",
        &["labels.npy", "every voxel is annotated"],
    );
}

// The table.

#[test]
fn the_table_lists_every_test() {
    let source = include_str!("bad_inputs.rs");
    let table = include_str!("../../../docs/correctness.md");
    let tests: Vec<&str> = source
        .split("#[test]\nfn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .filter(|name| *name != "the_table_lists_every_test")
        .collect();
    // The first table of the page; others list the tests of other files.
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .map_while(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(
        rows, tests,
        "docs/correctness.md lists the tests of bad_inputs.rs in their order"
    );
    assert!(tests.len() >= 25);
}
