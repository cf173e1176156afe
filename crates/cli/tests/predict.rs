//! `predict` and `info` with a model that was never trained: what matters here
//! is which files appear where.

mod common;

use common::{Folder, blobs, model, run_well, sparse};

const SHAPE: [usize; 3] = [16, 20, 24];

fn folder_with_model() -> Folder {
    let folder = Folder::new();
    folder.bytes(
        "run/best.unet3d.safetensors",
        &model(1).to_bytes().expect("bytes"),
    );
    folder.volume("image.nii.gz", &blobs(SHAPE, 1).0);
    folder
}

#[test]
fn predict_writes_labels_and_probabilities_with_the_geometry_of_the_image() {
    let folder = folder_with_model();
    let json = run_well(
        &folder,
        "predict @run @image.nii.gz -o @out/labels.nii.gz --probabilities @out/p.nii --memory 500MB --json",
    )
    .json();
    assert_eq!(json["files"].as_array().map(Vec::len), Some(1));
    let image = unet3d_volume::read(&folder.path("image.nii.gz")).expect("read");
    let labels = unet3d_volume::read(&folder.path("out/labels.nii.gz")).expect("read");
    assert_eq!(labels.geometry, image.geometry);
    let probabilities = unet3d_volume::read(&folder.path("out/p.nii")).expect("read");
    assert_eq!(probabilities.channels, 2);
    let voxels = labels.geometry.voxels();
    for i in (0..voxels).step_by(97) {
        let p = [0, 1].map(|c| probabilities.samples.f32_at(c * voxels + i));
        assert!((p[0] + p[1] - 1.0).abs() < 1e-5, "{p:?}");
        let expected = if p[1] > p[0] { 2.0 } else { 1.0 };
        assert_eq!(labels.samples.f64_at(i), expected);
    }
}

#[test]
fn doubts_are_written_and_probabilities_measured_against_the_truth() {
    let folder = folder_with_model();
    folder.volume("truth.npy", &blobs(SHAPE, 1).1);
    run_well(
        &folder,
        "predict @run @image.nii.gz -o @labels.npy --probabilities @p.npy --uncertainty @doubts.nii.gz --mirrored",
    );
    let image = unet3d_volume::read(&folder.path("image.nii.gz")).expect("read");
    let doubts = unet3d_volume::read(&folder.path("doubts.nii.gz")).expect("read");
    assert_eq!(doubts.geometry, image.geometry);
    let values = (0..doubts.geometry.voxels()).map(|i| doubts.samples.f32_at(i));
    assert!(values.clone().all(|v| (0.0..=1.0).contains(&v)));
    assert!(values.fold(0.0, f32::max) > 0.5);
    let json = run_well(
        &folder,
        "evaluate @labels.npy @truth.npy --dense --probabilities @p.npy --json",
    )
    .json();
    let ece = json["ece"].as_f64().expect("a number");
    assert!(ece > 0.0 && ece < 1.0, "{ece}");
    assert!(json["mean_iou"].is_number());
}

#[test]
fn suggest_names_slices_that_are_not_annotated() {
    let folder = folder_with_model();
    folder.volume("sparse.nii.gz", &sparse(&blobs(SHAPE, 1).1));
    for by in ["uncertainty", "evenly-spaced", "random"] {
        let ran = run_well(
            &folder,
            &format!(
                "suggest @run @image.nii.gz @sparse.nii.gz --unlabeled 0 --count 4 --by {by} --json"
            ),
        );
        let json = ran.json();
        let slices = json["slices"].as_array().expect("slices");
        assert_eq!(slices.len(), 4, "{by}");
        for slice in slices {
            // Annotated are z 3 and 11.
            let index = slice["index"].as_u64().expect("index");
            assert!(
                slice["axis"] != "z" || (index != 3 && index != 11),
                "{by}: {slice}"
            );
        }
        assert!(ran.stderr.contains("unet3d fill"), "{by}");
    }
    // The command to go on with reads the labels as this one did.
    let flags = "--unlabeled 0 --classes 1=inside,2=outside";
    let labels = "suggest @run @image.nii.gz @sparse.nii.gz";
    let ran = run_well(&folder, &format!("{labels} {flags} --by evenly-spaced"));
    assert!(ran.stdout.contains(&format!("-o OUT {flags}")));
}

#[test]
fn predict_keeps_the_names_of_a_folder() {
    let folder = folder_with_model();
    for name in ["images/a.nii", "images/b.npy"] {
        folder.volume(name, &blobs(SHAPE, 2).0);
    }
    run_well(
        &folder,
        "predict @run/best.unet3d.safetensors @images -o @labels --probabilities @p",
    );
    let files = folder.files();
    for name in ["labels/a.nii", "labels/b.npy", "p/a.nii", "p/b.npy"] {
        assert!(files.iter().any(|f| f == name), "{name} in {files:?}");
    }
    let several = run_well(&folder, "predict @run @images/a.nii @image.nii.gz -o @more");
    assert!(
        several.stdout.contains("more/image.nii.gz") || several.stdout.contains("image.nii.gz")
    );
    assert!(folder.path("more/a.nii").is_file() && folder.path("more/image.nii.gz").is_file());
}

#[test]
fn predictions_do_not_depend_on_threads() {
    let folder = folder_with_model();
    for threads in [1, 2, 3] {
        run_well(
            &folder,
            &format!(
                "predict @run @image.nii.gz -o @{threads}.npy --threads {threads} --tile 24,24,24"
            ),
        );
    }
    let read = |n: usize| std::fs::read(folder.path(&format!("{n}.npy"))).expect("read");
    assert!(read(1) == read(2) && read(2) == read(3));
}

#[test]
fn every_instruction_set_can_be_forced() {
    use unet3d_kernels::Isa;
    let folder = folder_with_model();
    for isa in Isa::available() {
        run_well(
            &folder,
            &format!(
                "predict @run @image.nii.gz -o @{isa}.npy --probabilities @p-{isa}.npy --isa {isa}"
            ),
        );
    }
    let read = |isa: Isa| {
        let volume = unet3d_volume::read(&folder.path(&format!("p-{isa}.npy"))).expect("read");
        volume.samples.to_f32()
    };
    let (plain, best) = (read(Isa::PORTABLE), read(Isa::best()));
    let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4;
    assert!(!plain.iter().zip(&best).any(far));
    // Plain code has no fused product, so it rounds otherwise.
    assert_eq!(plain == best, Isa::best() == Isa::PORTABLE);
}

#[test]
fn info_tells_of_models_and_runs() {
    let folder = folder_with_model();
    let text = run_well(&folder, "info @run").stdout;
    for word in ["best.unet3d.safetensors", "inside", "16 x 16 x 16"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json = run_well(&folder, "info @run/best.unet3d.safetensors --json").json();
    assert_eq!(json["kind"], "model");
    assert!(json["parameters"].as_u64() > Some(1000));
}
