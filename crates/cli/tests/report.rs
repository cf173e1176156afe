//! The reports that commands write, through the built program: what each holds, where
//! it goes, and that it is left out where nobody wants it.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use common::{Folder, blobs, run, run_well, sparse};
use unet3d_volume::Volume;

/// Three annotated slices across z, of which one is held out.
const SHAPE: [usize; 3] = [24, 20, 24];

/// Enough to be through, far too little to learn.
const QUICK: &str = "--iterations 2 --patch 16,16,16";

fn pair() -> Folder {
    let folder = Folder::new();
    let (image, labels) = blobs(SHAPE, 1);
    folder.volume("image.nii.gz", &in_micrometres(image));
    folder.volume("labels.nii.gz", &in_micrometres(sparse(&labels)));
    folder
}

/// With a spacing of 2 by 1 by 1 µm.
fn in_micrometres(mut volume: Volume) -> Volume {
    volume.geometry.spacing_mm = Some([2e-3, 1e-3, 1e-3]);
    volume.geometry.world_from_volume = None;
    volume
}

/// A data set of three cases, of which slices are held out; where `split`, the last
/// case is.
fn data_set(split: bool) -> Folder {
    let folder = Folder::new();
    for i in 0..3 {
        let (image, labels) = blobs([24, 16, 20], i);
        folder.volume(&format!("data/imagesTr/case{i}.nii.gz"), &image);
        folder.volume(&format!("data/labelsTr/case{i}.nii.gz"), &sparse(&labels));
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii.gz"}"#,
    );
    if split {
        folder.bytes(
            "data/split.tsv",
            b"case\tsubject\tsplit\ncase0\ta\ttrain\ncase1\tb\tvalidate\ncase2\tc\tvalidate\n",
        );
    }
    folder
}

fn page(folder: &Folder, name: &str) -> String {
    let path = folder.path(name);
    let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    for outside in ["http:", "https:", "<link", "src=\"//"] {
        assert!(!page.contains(outside), "{name}: {outside}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.len() < 20_000_000, "{name}: {}", page.len());
    page
}

fn assert_holds(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_fill_tells_slices_scheme_command_spacing_volumes_and_scores() {
    let folder = pair();
    let ran = run_well(
        &folder,
        &format!(
            "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 \
             --classes 1=<inside>,2=outside {QUICK} --json"
        ),
    );
    assert_eq!(
        ran.json()["report"],
        folder.path("out.html").display().to_string()
    );
    let page = page(&folder, "out.html");
    assert_holds(
        &page,
        &[
            // What was annotated, and how its values were read.
            "<td>across z</td><td>3 of 24</td>",
            "--unlabeled 0 --classes",
            // The command, quoted for a shell and then for HTML, with version and date.
            "&#39;1=&lt;inside&gt;,2=outside&#39;",
            " UTC, in the folder ",
            // Lengths and volumes.
            "z 2 µm, y 1 µm, x 1 µm",
            " µm³</td>",
            // The slice held out, with a link into the slider.
            "data-slice=\"0,11\"",
            "class=\"held\"",
            "How far its certainty can be trusted",
            "How the training went",
        ],
    );
    assert!(!page.contains("<inside>"));
    // Every slice of every direction.
    assert_eq!(
        page.matches("\"image\":\"").count(),
        SHAPE.iter().sum::<usize>()
    );
}

#[test]
fn reports_go_where_flags_say_or_nowhere() {
    let folder = pair();
    let fill = "fill @image.nii.gz @labels.nii.gz --unlabeled 0 --method interpolate --json";
    let ran = run_well(
        &folder,
        &format!("{fill} -o @a.npy --report @pages/of-a.html"),
    );
    assert!(
        ran.json()["report"]
            .as_str()
            .is_some_and(|p| p.ends_with("of-a.html"))
    );
    page(&folder, "pages/of-a.html");
    let ran = run_well(&folder, &format!("{fill} -o @b.npy --no-report"));
    assert!(ran.json()["report"].is_null());
    assert!(!folder.path("b.html").exists() && folder.path("b.npy").exists());
    let ran = run(
        &folder,
        &format!("{fill} -o @c.npy --no-report --report @c.html"),
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    // The network's result does not depend on it.
    let fill = format!("fill @image.nii.gz @labels.nii.gz --unlabeled 0 {QUICK}");
    run_well(&folder, &format!("{fill} -o @with.npy"));
    run_well(&folder, &format!("{fill} -o @without.npy --no-report"));
    let bytes = |name| std::fs::read(folder.path(name)).expect("written");
    assert!(bytes("with.npy") == bytes("without.npy"));
    assert!(!folder.path("without.html").exists());
}

#[test]
fn an_interpolation_shows_what_was_scored() {
    let folder = pair();
    run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --method interpolate",
    );
    let page = page(&folder, "out.html");
    assert_holds(
        &page,
        &[
            "data-slice=\"0,11\"",
            "Each held-out slice",
            "--method interpolate",
            " µm³</td>",
        ],
    );
    for absent in [
        "How the training went",
        "certainty can be trusted",
        "<svg viewBox=\"0 0 330",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_training_shows_its_curve_and_the_best_and_the_worst_case() {
    let folder = data_set(true);
    let train = format!("train @data -o @run {QUICK}");
    let ran = run_well(&folder, &format!("{train} --json"));
    assert_eq!(
        ran.json()["report"],
        folder.path("run/report.html").display().to_string()
    );
    let page = page(&folder, "run/report.html");
    assert_holds(
        &page,
        &[
            "Each held-out case",
            "<td>case1</td>",
            "<td>case2</td>",
            "The best held-out case: case",
            "The worst held-out case: case",
            "id=\"slices-1-data\"",
            "id=\"slices-2-data\"",
            "mean IoU</text>",
            "config.toml",
        ],
    );
    // One of both is the best.
    let best = page
        .split("The best held-out case: case")
        .nth(1)
        .expect("it");
    let worst = page
        .split("The worst held-out case: case")
        .nth(1)
        .expect("it");
    assert_ne!(best[..1], worst[..1]);
}

#[test]
fn a_training_that_holds_slices_out_marks_them_and_its_report_can_be_left_out() {
    let folder = data_set(false);
    run_well(&folder, &format!("train @data -o @run {QUICK}"));
    let page = page(&folder, "run/report.html");
    assert_holds(
        &page,
        &[
            "class=\"held\"",
            "slices of 3 cases",
            "data-set=\"outline\" value=\"truth\" checked",
        ],
    );
    let ran = run_well(
        &folder,
        &format!("train @data -o @other {QUICK} --no-report --json"),
    );
    assert!(ran.json()["report"].is_null());
    assert!(!folder.path("other/report.html").exists());
}

#[test]
fn a_prediction_of_one_image_shows_every_slice_and_volumes() {
    let folder = pair();
    let model = common::model(1);
    folder.bytes("m.unet3d.safetensors", &model.to_bytes().expect("bytes"));
    let predict = "predict @m.unet3d.safetensors @image.nii.gz";
    let ran = run_well(
        &folder,
        &format!("{predict} -o @out.nii.gz --uncertainty @doubts.npy --json"),
    );
    assert_eq!(
        ran.json()["report"],
        folder.path("out.html").display().to_string()
    );
    let page = page(&folder, "out.html");
    assert_holds(
        &page,
        &[
            "image.nii.gz, segmented",
            "value=\"doubts\"",
            " µm³</td>",
            "m.unet3d.safetensors",
            "cannot be said where nobody annotated",
        ],
    );
    assert!(!page.contains("value=\"annotation\"") && !page.contains("data-at"));
    assert_eq!(
        page.matches("\"image\":\"").count(),
        SHAPE.iter().sum::<usize>()
    );
    // A report of another call is spared, and none is written where none is wanted.
    run_well(&folder, &format!("{predict} -o @out.npy"));
    assert!(folder.path("out-2.html").is_file());
    run_well(&folder, &format!("{predict} -o @quiet.npy --no-report"));
    assert!(!folder.path("quiet.html").exists());
}

#[test]
fn a_prediction_of_many_images_is_one_small_page_beside_their_folder() {
    let folder = pair();
    for i in 0..3 {
        let (image, _) = blobs(SHAPE, i);
        folder.volume(&format!("images/a <{i}>.nii.gz"), &image);
    }
    folder.bytes("images/broken.nii.gz", b"no volume");
    let model = common::model(1);
    folder.bytes("m.unet3d.safetensors", &model.to_bytes().expect("bytes"));
    let predict = "predict @m.unet3d.safetensors @images -o @out";
    let ran = run(&folder, predict);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let page = page(&folder, "out.html");
    assert_holds(
        &page,
        &[
            "3 images, segmented",
            "a &lt;2&gt;.nii.gz",
            "Not segmented",
            "broken.nii.gz",
        ],
    );
    assert!(page.len() < 200_000, "{}", page.len());
    // Image and result of each.
    assert_eq!(page.matches("<img alt=").count(), 3 * 2);
    // The report is no volume: what reads the folder passes it over.
    assert!(!ran.stdout.contains("out-2"));
    for name in ["a <0>.nii.gz", "a <1>.nii.gz", "a <2>.nii.gz"] {
        std::fs::remove_file(folder.path("out").join(name)).expect("removed");
    }
    run(&folder, predict);
    assert!(folder.path("out-2.html").is_file());
}

#[test]
fn a_report_that_cannot_be_written_loses_no_prediction() {
    let folder = pair();
    let model = common::model(1);
    folder.bytes("m.unet3d.safetensors", &model.to_bytes().expect("bytes"));
    folder.bytes("there.html", b"of others");
    let predict = "predict @m.unet3d.safetensors @image.nii.gz";
    // Known before anything is predicted.
    let ran = run(
        &folder,
        &format!("{predict} -o @out.npy --report @there.html"),
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("there.html") && !folder.path("out.npy").exists());
    let ran = run(&folder, &format!("{predict} -o @out.npy --report @out.npy"));
    assert!(ran.stderr.contains("--report") && !folder.path("out.npy").exists());
    assert_eq!(
        std::fs::read(folder.path("there.html")).expect("read"),
        b"of others"
    );
    run_well(
        &folder,
        &format!("{predict} -o @out.npy --report @there.html --overwrite"),
    );
    page(&folder, "there.html");
}
