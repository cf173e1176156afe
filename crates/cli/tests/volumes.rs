//! The commands that need no network, from files to files.

mod common;

use common::{Folder, blobs, run, run_well, sparse};

const SHAPE: [usize; 3] = [16, 20, 24];

#[test]
fn convert_keeps_samples_and_spacing() {
    let folder = Folder::new();
    let (image, _) = blobs(SHAPE, 1);
    folder.volume("image.nii.gz", &image);
    run_well(&folder, "convert @image.nii.gz @image.tif");
    run_well(&folder, "convert @image.tif @again.nii --spacing 3,2,1");
    let read = unet3d_volume::read(&folder.path("again.nii")).expect("read");
    assert_eq!(read.samples, image.samples);
    assert_eq!(read.geometry.spacing_mm, Some([3.0, 2.0, 1.0]));
}

#[test]
fn info_tells_shape_and_values() {
    let folder = Folder::new();
    let (_, labels) = blobs(SHAPE, 1);
    folder.volume("labels.npy", &labels);
    let ran = run_well(&folder, "info @labels.npy --json");
    let json = ran.json();
    assert_eq!(json["shape"], serde_json::json!(SHAPE));
    let voxels: u64 = json["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|v| v["voxels"].as_u64().expect("voxels"))
        .sum();
    assert_eq!(voxels as usize, SHAPE.iter().product::<usize>());
    let text = run_well(&folder, "info @labels.npy").stdout;
    assert!(text.contains("16 x 20 x 24"), "{text}");
}

#[test]
fn info_without_a_path_tells_of_the_program() {
    let folder = Folder::new();
    let json = run_well(&folder, "info --json").json();
    assert!(json["threads"].as_u64() > Some(0));
}

#[test]
fn sparsify_keeps_evenly_spaced_slices() {
    let folder = Folder::new();
    let (_, labels) = blobs(SHAPE, 1);
    folder.volume("labels.nii", &labels);
    let ran = run_well(
        &folder,
        "sparsify @labels.nii -o @s.nii --slices z=2,x=1 --json",
    );
    let json = ran.json();
    assert_eq!(json["unlabeled"], 0, "0 is no class");
    // floor((i + 0.5) 16 / 2) and floor(0.5 * 24)
    assert_eq!(json["slices"]["z"], serde_json::json!([4, 12]));
    assert_eq!(json["slices"]["x"], serde_json::json!([12]));
    let annotated = 2 * 20 * 24 + 16 * 20 - 2 * 20;
    assert_eq!(json["annotated_voxels"], annotated);
    let read = unet3d_volume::read(&folder.path("s.nii")).expect("read");
    let kept = (0..read.samples.len()).filter(|&i| read.samples.f64_at(i) != 0.0);
    assert_eq!(kept.count(), annotated);
}

#[test]
fn evaluate_scores_and_leaves_out() {
    let folder = Folder::new();
    let (_, labels) = blobs(SHAPE, 1);
    let (_, other) = blobs(SHAPE, 2);
    folder.volume("truth.nii", &labels);
    folder.volume("other.tif", &other);
    folder.volume("sparse.nii", &sparse(&labels));

    let perfect = run_well(&folder, "evaluate @truth.nii @truth.nii --json").json();
    assert_eq!(perfect["mean_iou"], 1.0);
    assert_eq!(perfect["classes"].as_array().map(Vec::len), Some(2));
    assert_eq!(perfect["classes"][0]["value"], 1);

    let flags = "--classes 1=inside,2=outside --json";
    let all = run_well(
        &folder,
        &format!("evaluate @other.tif @truth.nii --dense {flags}"),
    )
    .json();
    assert!(all["mean_iou"].as_f64() < Some(0.9));
    assert_eq!(all["classes"][0]["name"], "inside");
    assert_eq!(all["voxels"], 16 * 20 * 24);

    let rest = run_well(
        &folder,
        &format!("evaluate @other.tif @truth.nii --except @sparse.nii --unlabeled 0 {flags}"),
    );
    assert_eq!(
        rest.json()["voxels"],
        14 * 20 * 24,
        "two slices are left out"
    );
    let same = run_well(
        &folder,
        "evaluate @other.tif @truth.nii --except @sparse.nii --json",
    );
    assert_eq!(same.json()["mean_iou"], rest.json()["mean_iou"]);
    assert!(same.stderr.contains("--unlabeled 0"), "{}", same.stderr);
}

#[test]
fn evaluate_matches_folders_by_name() {
    let folder = Folder::new();
    for (i, name) in ["a", "b"].iter().enumerate() {
        let (_, labels) = blobs(SHAPE, i);
        folder.volume(&format!("truth/{name}.nii"), &labels);
        folder.volume(&format!("predicted/{name}.npy"), &labels);
    }
    let (_, extra) = blobs(SHAPE, 5);
    folder.volume("truth/c.nii", &extra);
    let json = run_well(&folder, "evaluate @predicted @truth --json").json();
    assert_eq!(json["mean_iou"], 1.0);
    let cases = json["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[0]["name"], "a.nii");
}

#[test]
fn evaluate_says_which_classes_are_absent() {
    let folder = Folder::new();
    let (_, labels) = blobs(SHAPE, 1);
    folder.volume("truth.nii", &labels);
    let ran = run_well(
        &folder,
        "evaluate @truth.nii @truth.nii --dense --classes 1=a,2=b,3=c --json",
    );
    let json = ran.json();
    assert!(json["classes"][2]["iou"].is_null());
    assert_eq!(
        json["mean_iou"], 1.0,
        "the mean is over the classes that occur"
    );
}

#[test]
fn help_teaches_with_an_example() {
    let folder = Folder::new();
    for command in COMMANDS {
        let text = run_well(&folder, &format!("{command} --help")).stdout;
        assert!(text.contains("Example"), "{command}: {text}");
        assert!(
            text.contains(&format!("unet3d {command}")),
            "{command}: {text}"
        );
    }
}

const COMMANDS: &[&str] = &[
    "demo", "fill", "train", "predict", "evaluate", "sparsify", "check", "info", "convert",
];

#[test]
fn usage_errors_end_with_2() {
    let folder = Folder::new();
    for arguments in [
        "",
        "nonsense",
        "convert",
        "sparsify a -o b --slices q=1",
        "evaluate a b --dense --unlabeled 0",
        "evaluate a b --tolerance-mm 1",
        "evaluate a b --surface=cubes",
        "evaluate a b --surface --tolerance-mm -1",
        "bench --repeats 0",
        "bench --batch none",
        "bench --preset tiny",
        "bench --serve nothing",
    ] {
        assert_eq!(run(&folder, arguments).code, Some(2), "{arguments:?}");
    }
}
