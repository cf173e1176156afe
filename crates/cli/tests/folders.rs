//! Folders and lists of images: what numbers in names mean, whether a folder of slices
//! is one volume or many, patterns that no shell expanded, and one bad image among good.

mod common;

use common::{Folder, Ran, blobs, model, run, run_well};
use serde_json::json;
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [16, 20, 24];

/// A folder with a model of so many channels, whose cases had one slice where
/// `of_one_slice` says so.
fn with_model(channels: usize, of_one_slice: Option<bool>) -> Folder {
    let folder = Folder::new();
    let mut model = model(channels);
    if let Some(one) = of_one_slice {
        model.pipeline.record = json!({ "cases_of_one_slice": one });
    }
    folder.bytes("m.unet3d.safetensors", &model.to_bytes().expect("bytes"));
    folder
}

fn put(folder: &Folder, names: &[&str]) {
    for (seed, name) in names.iter().enumerate() {
        folder.volume(name, &blobs(SHAPE, seed).0);
    }
}

/// A PNG of one slice.
fn png(folder: &Folder, name: &str, seed: usize) {
    let (image, _) = blobs([1, 20, 24], seed);
    folder.volume(name, &image);
}

/// Names of the results in `out`, sorted.
fn results(folder: &Folder, out: &str) -> Vec<String> {
    let start = format!("{out}/");
    let files = folder.files().into_iter();
    files
        .filter_map(|f| f.strip_prefix(&start).map(str::to_owned))
        .collect()
}

const PREDICT: &str = "predict @m.unet3d.safetensors";

#[test]
fn patients_with_numbers_are_no_channels() {
    for names in [
        &["in/scan_0001.nii", "in/scan_0002.nii", "in/scan_0003.nii"][..],
        &["in/scan_0000.nii", "in/scan_0001.nii"],
        &["in/scan_0000.nii", "in/scan_0002.nii"],
    ] {
        let folder = with_model(1, None);
        put(&folder, names);
        let ran = run_well(&folder, &format!("{PREDICT} @in -o @out"));
        let expected: Vec<_> = names.iter().map(|n| n.replace("in/", "")).collect();
        assert_eq!(results(&folder, "out"), expected);
        assert!(ran.stderr.contains("taken for images"), "{ran:?}");
    }
}

#[test]
fn one_channel_is_called_as_its_case() {
    let folder = with_model(1, None);
    put(
        &folder,
        &["in/a_0000.nii.gz", "in/b_0000.nii.gz", "in/c.nii.gz"],
    );
    folder.bytes("in/Thumbs.db", b"of Windows");
    folder.bytes("in/.DS_Store", b"of macOS");
    folder.bytes("in/a.json", b"{}");
    run_well(&folder, &format!("{PREDICT} @in -o @out"));
    assert_eq!(
        results(&folder, "out"),
        ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    );
}

#[test]
fn channels_come_together_from_folders_and_from_names() {
    let folder = with_model(2, None);
    let names = [
        "in/a_0000.nii",
        "in/a_0001.nii",
        "in/b_0000.nii",
        "in/b_0001.nii",
    ];
    put(&folder, &names);
    run_well(&folder, &format!("{PREDICT} @in -o @out"));
    assert_eq!(results(&folder, "out"), ["a.nii", "b.nii"]);
    // One file brings the other, whichever is named; both are one image.
    for named in [
        "@in/a_0000.nii",
        "@in/a_0001.nii",
        "@in/a_0000.nii @in/a_0001.nii",
    ] {
        let ran = run_well(&folder, &format!("{PREDICT} {named} -o @a.nii --overwrite"));
        assert!(ran.stderr.contains("channels of one image"), "{ran:?}");
    }
    let read = |name: &str| unet3d_volume::read(&folder.path(name)).expect("read");
    assert_eq!(read("a.nii").samples, read("out/a.nii").samples);
}

#[test]
fn a_channel_that_is_missing_is_told_by_its_name() {
    let folder = with_model(2, None);
    put(&folder, &["a_0000.nii"]);
    let ran = run(&folder, &format!("{PREDICT} @a_0000.nii -o @out.nii"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("a_0000, a_0001"), "{ran:?}");
}

#[test]
fn a_folder_of_slices_is_what_the_model_or_the_flag_says() {
    let expected = ["v0.png", "v1.png", "v2.png"];
    let case = |of_one_slice: Option<bool>, flags: &str| -> (Vec<String>, Ran) {
        let folder = with_model(1, of_one_slice);
        (0..3).for_each(|i| png(&folder, &format!("in/v{i}.png"), i));
        let ran = run_well(&folder, &format!("{PREDICT} @in -o @out {flags}"));
        (results(&folder, "out"), ran)
    };
    let stack = ["in/z0000.png", "in/z0001.png", "in/z0002.png"];
    for (of_one_slice, flags, results, told) in [
        (Some(true), "", expected, "images of one slice each"),
        (Some(false), "", stack, "one volume of 3 slices"),
        (None, "", stack, "one volume of 3 slices"),
        (None, "--as volumes", expected, ""),
        (Some(true), "--as slices", stack, ""),
    ] {
        let (found, ran) = case(of_one_slice, flags);
        assert_eq!(found, results, "{of_one_slice:?} {flags}");
        assert!(ran.stderr.contains(told), "{ran:?}");
        assert_eq!(
            ran.stderr.contains("taken for"),
            !told.is_empty(),
            "{ran:?}"
        );
    }
}

#[test]
fn a_folder_of_slices_is_what_the_description_beside_it_says() {
    for (name, kept) in [
        ("data/imagesTs/v0_0000.png", "v0.png"),
        ("data/imagesTs/v0_0000.tif", "v0.tif"),
    ] {
        let folder = with_model(1, None);
        let ending = &kept[2..];
        for i in 0..2 {
            png(&folder, &name.replace("v0", &format!("v{i}")), i);
        }
        folder.bytes(
            "data/dataset.json",
            format!("\u{feff}{{\"file_ending\": \"{ending}\"}}").as_bytes(),
        );
        run_well(&folder, &format!("{PREDICT} @data/imagesTs -o @out"));
        assert_eq!(
            results(&folder, "out"),
            [kept.to_owned(), kept.replace("v0", "v1")]
        );
    }
}

#[test]
fn training_on_cases_of_one_slice_is_remembered() {
    let folder = Folder::new();
    for i in 0..2 {
        let (image, labels) = blobs([1, 32, 32], i);
        folder.volume(&format!("data/imagesTr/v{i}_0000.png"), &image);
        folder.volume(&format!("data/labelsTr/v{i}.png"), &labels);
        folder.volume(&format!("new/n{i}.png"), &image);
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"channel_names": {"0": "gray"}, "labels": {"in": 1, "out": 2}, "file_ending": ".png"}"#,
    );
    run_well(&folder, "train @data -o @run --iterations 1");
    run_well(&folder, "predict @run @new -o @out");
    assert_eq!(results(&folder, "out"), ["n0.png", "n1.png"]);
}

#[test]
fn evaluate_matches_names_with_and_without_the_number() {
    let folder = Folder::new();
    for (i, name) in ["a", "b"].iter().enumerate() {
        let labels = blobs(SHAPE, i).1;
        folder.volume(&format!("plain/{name}.nii"), &labels);
        folder.volume(&format!("numbered/{name}_0000.nii.gz"), &labels);
    }
    for pair in ["@plain @numbered", "@numbered @plain", "@plain @plain"] {
        let json = run_well(&folder, &format!("evaluate {pair} --dense --json")).json();
        assert_eq!(json["cases"].as_array().map(Vec::len), Some(2), "{json}");
        assert_eq!(json["mean_iou"], 1.0, "{json}");
    }
    // Patients with numbers pair by their whole names.
    for i in 0..3 {
        let labels = blobs(SHAPE, i).1;
        folder.volume(&format!("p/scan_{i:04}.nii"), &labels);
        folder.volume(&format!("t/scan_{i:04}.nii"), &labels);
    }
    let json = run_well(&folder, "evaluate @p @t --dense --json").json();
    assert_eq!(json["mean_iou"], 1.0, "{json}");
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(3), "{json}");
}

#[test]
fn evaluate_takes_folders_of_slices_as_told() {
    let folder = Folder::new();
    for i in 0..3 {
        let labels = blobs([1, 20, 24], i).1;
        folder.volume(&format!("p/v{i}.png"), &labels);
        folder.volume(&format!("t/v{i}.png"), &labels);
    }
    let cases = |flags: &str| {
        let ran = run_well(&folder, &format!("evaluate @p @t --dense --json {flags}"));
        (
            ran.json()["cases"].as_array().map_or(1, Vec::len),
            ran.stderr.contains("one volume of 3 slices"),
        )
    };
    assert_eq!(cases(""), (1, true));
    assert_eq!(cases("--as volumes"), (3, false));
    folder.bytes("dataset.json", br#"{"file_ending": ".png"}"#);
    assert_eq!(cases(""), (3, false));
}

#[test]
fn check_reads_images_one_by_one_or_by_channels() {
    let folder = Folder::new();
    put(&folder, &["one/scan_0001.nii", "one/scan_0002.nii"]);
    put(
        &folder,
        &[
            "two/a_0000.nii",
            "two/a_0001.nii",
            "two/b_0000.nii",
            "two/b_0001.nii",
        ],
    );
    let volumes = |arguments: &str| {
        let ran = run_well(&folder, &format!("check {arguments} --json"));
        ran.json()["volumes"].as_u64().expect("a number")
    };
    assert_eq!(volumes("@one"), 2);
    assert_eq!(volumes("@two"), 2);
    assert_eq!(volumes("@one/scan_000?.nii"), 2);
}

#[test]
fn patterns_are_understood_where_no_shell_expanded_them() {
    let folder = with_model(1, None);
    put(
        &folder,
        &["in/a.nii", "in/b.nii", "in/c.npy", "in/d[1].nii"],
    );
    run_well(&folder, &format!("{PREDICT} @in/[ab].nii -o @out"));
    assert_eq!(results(&folder, "out"), ["a.nii", "b.nii"]);
    run_well(&folder, &format!("{PREDICT} @in/*.n?? -o @all"));
    assert_eq!(
        results(&folder, "all"),
        ["a.nii", "b.nii", "c.npy", "d[1].nii"]
    );
    // A name that is there is meant as it is.
    run_well(&folder, &format!("{PREDICT} @in/d[1].nii -o @d.nii"));
    let ran = run(&folder, &format!("{PREDICT} @in/*.tif -o @none"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("matches nothing"), "{ran:?}");
}

#[test]
fn a_bad_image_keeps_no_other_from_its_result() {
    let folder = with_model(1, None);
    put(&folder, &["in/a.nii", "in/c.nii"]);
    folder.bytes("in/b.nii", b"no volume");
    let (image, _) = blobs(SHAPE, 0);
    let Samples::U8(values) = &image.samples else {
        unreachable!("u8 image")
    };
    let twice = Samples::U8([&values[..], values].concat());
    let two = Volume::new(image.geometry.clone(), 2, twice).expect("valid");
    folder.volume("in/d.nii", &two);
    let nan = Samples::F32(vec![f32::NAN; SHAPE.iter().product()]);
    folder.volume(
        "in/e.nii",
        &Volume::new(Geometry::of_shape(SHAPE), 1, nan).expect("valid"),
    );

    let ran = run(&folder, &format!("{PREDICT} @in -o @out"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(results(&folder, "out"), ["a.nii", "c.nii"]);
    // The table names all five.
    let table = ran.stdout.split("result").nth(1).expect("a table");
    for name in ["a.nii", "b.nii", "c.nii", "d.nii", "e.nii"] {
        assert!(table.contains(name), "{name}: {table}");
    }
    assert!(ran.stdout.contains("2 images predicted, 3 not"), "{ran:?}");
    // What can be seen before is seen before the first prediction.
    let first = ran.stderr.find("predict").unwrap_or(ran.stderr.len());
    let early = &ran.stderr[..first];
    assert!(early.contains("b.nii"), "{ran:?}");

    let ran = run(&folder, &format!("{PREDICT} @in -o @again --json"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let json = ran.json();
    assert_eq!(json["files"].as_array().map(Vec::len), Some(2), "{json}");
    let failures = json["failures"].as_array().expect("a list");
    assert_eq!(failures.len(), 3, "{json}");
    for failure in failures {
        assert!(
            failure["error"].as_str().is_some_and(|e| e.len() > 10),
            "{json}"
        );
        assert!(
            failure["image"].is_string() && failure["out"].is_string(),
            "{json}"
        );
    }
}

#[test]
fn when_every_image_is_bad_nothing_is_written() {
    let folder = with_model(1, None);
    folder.bytes("in/a.nii", b"");
    folder.bytes("in/b.nii", b"no volume");
    let ran = run(&folder, &format!("{PREDICT} @in -o @out"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(results(&folder, "out"), Vec::<String>::new());
    assert!(ran.stdout.contains("0 images predicted, 2 not"), "{ran:?}");
}

#[test]
fn a_data_set_with_what_lies_about_in_folders_is_sound() {
    let folder = Folder::new();
    for i in 0..2 {
        let (mut image, mut labels) = blobs(SHAPE, i);
        (image.geometry.spacing_mm, labels.geometry.spacing_mm) = (None, None);
        folder.volume(&format!("data/imagesTr/c{i}_0000.tif"), &image);
        folder.volume(&format!("data/labelsTr/c{i}.tif"), &labels);
        for sub in ["imagesTr", "labelsTr"] {
            folder.bytes(
                &format!("data/{sub}/c{i}.json"),
                br#"{"spacing": [2.0, 1.0, 1.0]}"#,
            );
            folder.bytes(&format!("data/{sub}/Thumbs.db"), b"of Windows");
            folder.bytes(&format!("data/{sub}/old/c9.tif"), b"of last year");
        }
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"channel_names": {"0": "x"}, "labels": {"in": 1, "out": 2}, "file_ending": ".tif"}"#,
    );
    let json = run_well(&folder, "check @data --json").json();
    assert_eq!(
        (&json["errors"], &json["warnings"]),
        (&json!(0), &json!(0)),
        "{json}"
    );
    let json = run_well(&folder, "info @data/imagesTr/c0_0000.tif --json").json();
    assert!(json.to_string().contains("2.0"), "{json}");
}

#[test]
fn patterns_to_evaluate_pair_by_name() {
    let folder = Folder::new();
    for (seed, name) in ["a", "b", "c"].into_iter().enumerate() {
        let labels = blobs([6, 8, 8], seed).1;
        folder.volume(&format!("pred/{name}.nii"), &labels);
        if name != "b" {
            folder.volume(&format!("truth/{name}.nii"), &labels);
        }
    }
    // b has no truth: it is not scored against that of c.
    let ran = run(&folder, "evaluate @pred/*.nii @truth/*.nii --dense");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("b.nii"), "{ran:?}");
    std::fs::remove_file(folder.path("pred/b.nii")).expect("removed");
    let ran = run_well(&folder, "evaluate @pred/*.nii @truth/*.nii --dense --json");
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    assert_eq!(json["mean_iou"], 1.0, "{json}");
}
