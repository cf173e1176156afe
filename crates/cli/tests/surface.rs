//! `evaluate --surface` and `--summary`, from files to JSON and tables.

mod common;

use common::{Folder, blobs, run_well, sparse};
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [16, 20, 24];

/// A box of class 1 in class 0 that begins at `z`, of 4 voxels along each axis.
fn cube(z: usize) -> Volume {
    let geometry = Geometry {
        spacing_mm: Some([2.0, 1.0, 0.5]),
        ..Geometry::of_shape(SHAPE)
    };
    let inside = |i: usize| {
        let at = geometry.position(i);
        (z..z + 4).contains(&at[0]) && (8..12).contains(&at[1]) && (8..12).contains(&at[2])
    };
    let voxels = (0..geometry.voxels()).map(|i| u8::from(inside(i)));
    Volume {
        samples: Samples::U8(voxels.collect()),
        channels: 1,
        geometry,
        scaling: None,
        notes: Vec::new(),
        placed: None,
    }
}

#[test]
fn distances_are_in_mm_of_the_truth() {
    let folder = Folder::new();
    folder.volume("truth.nii", &cube(4));
    folder.volume("prediction.npy", &cube(5));
    let ran = run_well(
        &folder,
        "evaluate @prediction.npy @truth.nii --surface --json",
    );
    let json = ran.json();
    let surface = &json["surface"];
    assert_eq!(surface["unit"], "mm");
    assert_eq!(surface["variant"], "elements");
    assert_eq!(surface["spacing"], serde_json::json!([2.0, 1.0, 0.5]));
    assert_eq!(surface["tolerance"], 2.0, "the longest edge of a voxel");
    let cube = &surface["classes"][1];
    assert_eq!(cube["value"], 1);
    assert_eq!(cube["surface_dice"], 1.0);
    // One voxel of 2 mm apart along z: the lower face is outside of the other box.
    assert_eq!(cube["hausdorff"], 2.0);
    assert_eq!([&cube["pairs"], &cube["infinite"]], [1, 0]);
    assert!(json["mean_iou"].is_number() && surface.get("cases").is_none());

    let strict = "evaluate @prediction.npy @truth.nii --surface --tolerance-mm 1.5 --json";
    let json = run_well(&folder, strict).json();
    assert!(json["surface"]["classes"][1]["surface_dice"].as_f64() < Some(1.0));

    let text = run_well(&folder, "evaluate @prediction.npy @truth.nii --surface").stdout;
    assert!(
        text.contains("distances in mm; spacing 2 x 1 x 0.5"),
        "{text}"
    );
    assert!(text.contains("surface Dice within 2.000 mm"), "{text}");
}

#[test]
fn without_spacing_distances_are_in_voxels_and_the_flag_gives_it() {
    let folder = Folder::new();
    folder.volume("truth.npy", &cube(4));
    folder.volume("prediction.npy", &cube(7));
    let evaluate = "evaluate @prediction.npy @truth.npy --surface=voxels";
    let json = run_well(&folder, &format!("{evaluate} --json")).json();
    assert_eq!(json["surface"]["unit"], "voxels");
    assert_eq!(json["surface"]["variant"], "voxels");
    assert_eq!(json["surface"]["tolerance"], 1.0);
    assert_eq!(json["surface"]["classes"][1]["hausdorff"], 3.0);
    let text = run_well(&folder, evaluate).stdout;
    assert!(text.contains("distances in voxels"), "{text}");
    assert!(text.contains("--spacing"), "{text}");

    let json = run_well(&folder, &format!("{evaluate} --spacing 5,9,9 --json")).json();
    assert_eq!(json["surface"]["unit"], "mm");
    assert_eq!(json["surface"]["classes"][1]["hausdorff"], 15.0);
}

#[test]
fn surface_at_voxels_that_are_left_out_does_not_count() {
    let folder = Folder::new();
    let (_, truth) = blobs(SHAPE, 1);
    let mut prediction = truth.clone();
    // Wrong on one slice alone, one that was annotated.
    if let Samples::U8(values) = &mut prediction.samples {
        values[3 * 20 * 24..4 * 20 * 24].fill(1);
    }
    folder.volume("truth.nii", &truth);
    folder.volume("prediction.nii", &prediction);
    folder.volume("sparse.nii", &sparse(&truth));
    let evaluate = "evaluate @prediction.nii @truth.nii --surface=voxels --json";
    let all = run_well(&folder, evaluate).json();
    let rest = run_well(
        &folder,
        &format!("{evaluate} --except @sparse.nii --unlabeled 0"),
    )
    .json();
    let distance = |json: &serde_json::Value| json["surface"]["mean"]["assd"].as_f64();
    assert!(distance(&rest) < distance(&all), "{rest} {all}");
}

#[test]
fn several_files_have_means_and_infinite_distances_are_counted() {
    let folder = Folder::new();
    let mut empty = cube(4);
    empty.samples = Samples::U8(vec![0; SHAPE.iter().product()]);
    folder.volume("truth/a.nii", &cube(4));
    folder.volume("truth/b.nii", &cube(4));
    folder.volume("predicted/a.nii", &cube(4));
    folder.volume("predicted/b.nii", &empty);
    let evaluate = "evaluate @predicted @truth --dense --surface";
    let json = run_well(&folder, &format!("{evaluate} --json")).json();
    let cube = &json["surface"]["classes"][1];
    assert_eq!([&cube["pairs"], &cube["infinite"]], [2, 1]);
    assert_eq!(cube["assd"], 0.0);
    assert_eq!(cube["surface_dice"], 0.5);
    let missed = &json["surface"]["cases"][1]["classes"][1];
    assert!(missed["hausdorff"].is_null());
    assert_eq!(missed["surface_dice"], 0.0);
    let text = run_well(&folder, evaluate).stdout;
    assert!(text.contains("1 of 4 pairs of surfaces"), "{text}");
}

#[test]
fn the_summary_is_that_of_nnunet() {
    let folder = Folder::new();
    folder.volume("truth/a.nii", &cube(4));
    folder.volume("predicted/a.nii", &cube(5));
    let flags = "--classes 0=outside,1=cube,2=absent --summary @new/summary.json";
    let ran = run_well(
        &folder,
        &format!("evaluate @predicted @truth --dense {flags}"),
    );
    assert!(ran.stderr.contains("summary.json"), "{}", ran.stderr);
    let text = std::fs::read_to_string(folder.path("new/summary.json")).expect("written");
    assert!(text.contains("\"Dice\": NaN,"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&text.replace("NaN", "null")).expect("JSON but for NaN");
    let case = &json["metric_per_case"][0];
    let file = |name: &str| folder.path(name).display().to_string();
    assert_eq!(case["prediction_file"], file("predicted/a.nii"));
    assert_eq!(case["reference_file"], file("truth/a.nii"));
    let cube = &case["metrics"]["1"];
    assert_eq!([&cube["TP"], &cube["FP"], &cube["FN"]], [48, 16, 16]);
    assert_eq!(cube["TN"], 16 * 20 * 24 - 80);
    assert_eq!(cube["Dice"], 0.75);
    assert_eq!(json["mean"]["1"]["Dice"], 0.75);
    assert!(json["mean"]["2"]["IoU"].is_null() && json["foreground_mean"]["IoU"].is_null());
    assert!(case["metrics"].get("0").is_none());
}
