//! Names of files of any bytes: nothing panics, results bear exactly the names of
//! their images, and `--json` stays JSON.

#![cfg(unix)]

mod common;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use common::{Folder, Ran, blobs, model, program, sparse};

const SHAPE: [usize; 3] = [16, 20, 24];

/// Latin-1, bytes that no encoding has, and a name that is UTF-8 but odd.
const NAMES: [&[u8]; 3] = [b"L\xe4sion", b"\xff\xfe", "腫 瘍'\"".as_bytes()];

fn path(folder: &Folder, name: &[u8], ending: &str) -> PathBuf {
    folder
        .path("")
        .join(OsStr::from_bytes(&[name, ending.as_bytes()].concat()))
}

fn ran(arguments: &[&OsStr]) -> Ran {
    let ran = Ran::of(program(arguments).output().expect("started"));
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    ran
}

fn well(arguments: &[&OsStr]) -> Ran {
    let ran = ran(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran
}

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn every_command_takes_names_that_are_no_utf_8() {
    for name in NAMES {
        let folder = Folder::new();
        let (image, labels) = blobs(SHAPE, 1);
        let of = |ending: &str| path(&folder, name, ending);
        let (image_path, labels_path) = (of("-i.nii.gz"), of("-l.nii.gz"));
        unet3d_volume::write(&image_path, &image).expect("written");
        unet3d_volume::write(&labels_path, &sparse(&labels)).expect("written");
        let (image, labels) = (image_path.as_os_str(), labels_path.as_os_str());

        well(&[os("info"), image]);
        well(&[os("info"), image, os("--json")]).json();
        let converted = of("-c.npy");
        let json = well(&[os("convert"), image, converted.as_os_str(), os("--json")]).json();
        assert!(json["out"].is_string());
        assert!(converted.is_file());
        let dense = of("-dense.tif");
        let fill = [
            os("fill"),
            image,
            labels,
            os("-o"),
            dense.as_os_str(),
            os("--unlabeled"),
            os("0"),
        ];
        well(
            &[
                &fill[..],
                &[os("--method"), os("interpolate"), os("--json")],
            ]
            .concat(),
        )
        .json();
        assert!(dense.is_file() && of("-dense.html").is_file());
        let kept = of("-kept.npy");
        let sparsify = [
            os("sparsify"),
            dense.as_os_str(),
            os("-o"),
            kept.as_os_str(),
        ];
        well(&[&sparsify[..], &[os("--slices"), os("z=2"), os("--json")]].concat()).json();
        well(&[
            os("check"),
            image,
            labels,
            os("--unlabeled"),
            os("0"),
            os("--json"),
        ])
        .json();
        let evaluate = [
            os("evaluate"),
            dense.as_os_str(),
            labels,
            os("--unlabeled"),
            os("0"),
        ];
        let summary = of("-summary.json");
        well(
            &[
                &evaluate[..],
                &[os("--json"), os("--summary"), summary.as_os_str()],
            ]
            .concat(),
        )
        .json();
        let text = std::fs::read_to_string(&summary).expect("read");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }
}

#[test]
fn learning_and_predicting_under_such_names() {
    let name = NAMES[0];
    let folder = Folder::new();
    let (image, labels) = blobs(SHAPE, 1);
    let of = |ending: &str| path(&folder, name, ending);
    let (image_path, labels_path, mask_path) = (of("-i.nii.gz"), of("-l.nii.gz"), of("-mask.npy"));
    unet3d_volume::write(&image_path, &image).expect("written");
    unet3d_volume::write(&labels_path, &sparse(&labels)).expect("written");
    // The labels' own annotated voxels as a mask: its name goes into the configuration.
    unet3d_volume::write(&mask_path, &sparse(&labels)).expect("written");
    let (image, labels) = (image_path.as_os_str(), labels_path.as_os_str());
    let (out, run) = (of("-out.nii.gz"), of("-run"));
    let fill = [os("fill"), image, labels, os("-o"), out.as_os_str()];
    let flags = [
        os("--annotated"),
        mask_path.as_os_str(),
        os("--iterations"),
        os("1"),
        os("--json"),
    ];
    let run_flags = [os("--run"), run.as_os_str()];
    let json = well(&[&fill[..], &flags, &run_flags].concat()).json();
    assert!(json["model"].is_string(), "{json}");
    let model = of("-out.unet3d.safetensors");
    assert!(out.is_file() && model.is_file() && run.is_dir());

    well(&[os("info"), model.as_os_str(), os("--json")]).json();
    let suggest = [
        os("suggest"),
        model.as_os_str(),
        image,
        labels,
        os("--unlabeled"),
        os("0"),
    ];
    well(&[&suggest[..], &[os("--json")]].concat()).json();

    // A data set whose folder, cases and run bear such names.
    let data = of("-data");
    for (sub, volume) in [("imagesTr", &image_path), ("labelsTr", &labels_path)] {
        std::fs::create_dir_all(data.join(sub)).expect("made");
        let file = path(&folder, name, ".nii.gz");
        let file = data.join(sub).join(file.file_name().expect("a name"));
        std::fs::copy(volume, file).expect("copied");
    }
    let run = of("-data-run");
    let train = [os("train"), data.as_os_str(), os("-o"), run.as_os_str()];
    let flags = [
        os("--unlabeled"),
        os("0"),
        os("--iterations"),
        os("1"),
        os("--json"),
    ];
    well(&[&train[..], &flags].concat()).json();
}

#[test]
fn results_have_the_very_names_of_their_images() {
    let folder = Folder::new();
    folder.bytes("m.unet3d.safetensors", &model(1).to_bytes().expect("bytes"));
    std::fs::create_dir(folder.path("in")).expect("made");
    let name = |name: &[u8], ending: &str| {
        OsString::from(OsStr::from_bytes(&[name, ending.as_bytes()].concat()))
    };
    let mut expected = Vec::new();
    for (i, bytes) in NAMES.iter().enumerate() {
        let image = blobs(SHAPE, i).0;
        unet3d_volume::write(&folder.path("in").join(name(bytes, "_0000.nii.gz")), &image)
            .expect("written");
        expected.push(name(bytes, ".nii.gz"));
    }
    let (model, input, out) = (
        folder.path("m.unet3d.safetensors"),
        folder.path("in"),
        folder.path("out"),
    );
    let predict = [
        os("predict"),
        model.as_os_str(),
        input.as_os_str(),
        os("-o"),
        out.as_os_str(),
    ];
    let json = well(&[&predict[..], &[os("--json")]].concat()).json();
    assert_eq!(json["files"].as_array().map(Vec::len), Some(3));
    let found = std::fs::read_dir(&out).expect("listed");
    let mut found: Vec<_> = found.map(|e| e.expect("an entry").file_name()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
