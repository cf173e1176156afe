//! What needs no learning, through the built program: `fill --method
//! interpolate`, and the data sets that `phantom` makes.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use common::{Folder, blobs, run, run_well, sparse};
use unet3d_volume::Volume;

/// Three annotated slices across z, of which one is held out.
const SHAPE: [usize; 3] = [24, 20, 24];

fn pair() -> Folder {
    let folder = Folder::new();
    let (image, labels) = blobs(SHAPE, 1);
    folder.volume("image.nii.gz", &image);
    folder.volume("labels.nii.gz", &sparse(&labels));
    folder.volume("truth.nii.gz", &labels);
    folder
}

fn read(folder: &Folder, name: &str) -> Volume {
    unet3d_volume::read(&folder.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn interpolation_writes_segmentation_and_report_and_no_model() {
    let folder = pair();
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --method interpolate --unlabeled 0 \
         --classes 1=inside,2=outside --json",
    );
    let json = ran.json();
    assert_eq!(json["iterations"], 0);
    assert_eq!(json["held_out"]["z"], serde_json::json!([11]));
    let expected = json["expected_iou"].as_f64().expect("a score");
    assert_eq!(json["mean_iou"].as_f64(), Some(expected));
    assert!(json["elapsed_s"].as_f64() > Some(0.0));
    assert!(
        json["out"]
            .as_str()
            .is_some_and(|p| p.ends_with("out.nii.gz"))
    );
    assert!(folder.files().iter().all(|f| !f.contains("safetensors")));

    // Annotated voxels keep their class, all others have one; the blobs are
    // wider than the gaps between slices, so most are right.
    let (out, labels) = (read(&folder, "out.nii.gz"), read(&folder, "labels.nii.gz"));
    assert_eq!(out.geometry, labels.geometry);
    let (out, labels) = (
        out.to_integers().expect("whole"),
        labels.to_integers().expect("whole"),
    );
    assert!(out.iter().zip(&labels).all(|(o, l)| *l == 0 || o == l));
    assert!(out.iter().all(|o| *o == 1 || *o == 2));
    let scores = run_well(
        &folder,
        "evaluate @out.nii.gz @truth.nii.gz --except @labels.nii.gz --unlabeled 0 --json",
    );
    let measured = scores.json()["mean_iou"].as_f64().expect("a score");
    assert!(measured > 0.6, "{measured}");

    let report = std::fs::read_to_string(folder.path("out.html")).expect("a report");
    for word in ["inside", "data:image/png", "interpolated", "--unlabeled 0"] {
        assert!(report.contains(word), "{word}");
    }
    for word in ["the training went", "parameters"] {
        assert!(!report.contains(word), "{word}");
    }
}

#[test]
fn the_score_of_interpolation_stands_beside_that_of_the_network() {
    let folder = pair();
    let fill = "fill @image.nii.gz @labels.nii.gz --unlabeled 0 --json";
    let alone = run_well(&folder, &format!("{fill} -o @a.npy --method interpolate")).json();
    let network = "--iterations 2 --patch 16,16,16";
    let ran = run_well(&folder, &format!("{fill} -o @b.npy {network}"));
    assert_eq!(ran.json()["interpolation_iou"], alone["expected_iou"]);
    // After two steps the network is the worse one, which is said in both places.
    let said = "Interpolation does better here than the network";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let report = std::fs::read_to_string(folder.path("b.html")).expect("a report");
    assert!(report.contains(said));
}

#[test]
fn a_phantom_is_a_data_set_that_train_and_check_read() {
    let folder = Folder::new();
    let make = "phantom --samples 2 --shape 20,24,24 --shape 18,24,28 --slices z=3,y=3,x=2 --json";
    let json = run_well(&folder, &format!("{make} -o @data")).json();
    assert_eq!(json["cases"][1]["shape"], serde_json::json!([18, 24, 28]));
    assert_eq!(json["cases"][0]["slices"]["x"], serde_json::json!([6, 18]));
    let (image, labels) = (
        read(&folder, "data/imagesTr/sample2.tif"),
        read(&folder, "data/labelsTr/sample2.tif"),
    );
    let truth = read(&folder, "data/truth/sample2.tif");
    assert_eq!((image.channels, image.geometry.shape), (3, [18, 24, 28]));
    let spacing = image.geometry.spacing_mm.expect("a spacing");
    assert!((spacing[0] - 0.00204).abs() < 1e-8, "{spacing:?}");
    let (labels, truth) = (
        labels.to_integers().expect("whole"),
        truth.to_integers().expect("whole"),
    );
    assert!(labels.iter().zip(&truth).all(|(l, t)| *l == 3 || l == t));
    assert!(truth.iter().all(|t| (0..3).contains(t)));

    run_well(&folder, "check @data");
    let trained = "train @data -o @run --iterations 1 --patch 16,16,16 --batch 1 --json";
    assert_eq!(run_well(&folder, trained).json()["iterations"], 1);
    run_well(&folder, "evaluate @data/truth @data/truth --dense");

    // The same again, bit for bit; another seed is another specimen.
    run_well(&folder, &format!("{make} -o @again"));
    run_well(&folder, &format!("{make} -o @other --seed 1"));
    let bytes = |name: &str| std::fs::read(folder.path(name)).expect("read");
    let file = "imagesTr/sample1.tif";
    assert!(bytes(&format!("data/{file}")) == bytes(&format!("again/{file}")));
    assert!(bytes(&format!("data/{file}")) != bytes(&format!("other/{file}")));
}

#[test]
fn the_samples_of_the_paper_are_planned_with_its_sizes_and_slices() {
    // Too little memory for any: what is refused is the first of the paper's.
    let folder = Folder::new();
    let ran = run(&folder, "phantom --paper -o @paper --memory 1MB");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("64 x 244 x 248"), "{ran:?}");
    assert!(folder.files().is_empty());
}
