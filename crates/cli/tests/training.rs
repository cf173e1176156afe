//! `fill`, `train` and `demo` from files to files, with networks far too little
//! trained to be of use: what matters here is what is written, and that the
//! same run gives the same bits however it was disturbed.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Folder, Ran, blobs, program, run, run_well, sparse};

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

/// A data set in the usual layout, and a configuration for a few quick steps.
fn data_set() -> Folder {
    let folder = Folder::new();
    for i in 0..3 {
        // Three annotated slices each, so that one can be held out.
        let (image, labels) = blobs([24, 16, 20], i);
        folder.volume(&format!("data/imagesTr/case{i}.nii.gz"), &image);
        folder.volume(&format!("data/labelsTr/case{i}.nii.gz"), &sparse(&labels));
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii.gz"}"#,
    );
    folder.bytes(
        "config.toml",
        b"patch = [16, 16, 16]\nbatch = 1\ncheckpoint_every = 2\nvalidate_every = 5\n[budget]\niterations = 12\n",
    );
    folder
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn fill_writes_segmentation_model_and_report() {
    let folder = pair();
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --classes 1=inside,2=outside \
         --iterations 6 --patch 16,16,16 --uncertainty @doubts.npy --json",
    );
    let json = ran.json();
    assert!(folder.path("doubts.npy").is_file());
    assert_eq!(json["iterations"], 6);
    assert!(json["elapsed_s"].as_f64() > Some(0.0));
    let expected = json["expected_iou"].as_f64().expect("a number");
    let interval = json["expected_interval"].as_array().expect("an interval");
    assert!(interval[0].as_f64() < Some(expected) && Some(expected) < interval[1].as_f64());
    for field in ["temperature", "ece_before", "ece_after"] {
        assert!(json["calibration"][field].is_number(), "{json}");
    }
    assert!(json["expected_classes"][1]["interval"].is_array(), "{json}");
    assert!(
        json["out"]
            .as_str()
            .is_some_and(|p| p.ends_with("out.nii.gz"))
    );
    let image = unet3d_volume::read(&folder.path("image.nii.gz")).expect("read");
    let out = unet3d_volume::read(&folder.path("out.nii.gz")).expect("read");
    assert_eq!(out.geometry, image.geometry);
    let report = String::from_utf8(bytes(&folder.path("out.html"))).expect("UTF-8");
    for word in [
        "inside",
        "outside",
        "data:image/png",
        "<svg",
        "unet3d predict",
    ] {
        assert!(report.contains(word), "{word}");
    }
    // The model goes on to new volumes.
    run_well(
        &folder,
        "predict @out.unet3d.safetensors @image.nii.gz -o @again.nii.gz",
    );
    let again = unet3d_volume::read(&folder.path("again.nii.gz")).expect("read");
    assert_eq!(again.geometry.shape, SHAPE);
    run_well(
        &folder,
        "evaluate @out.nii.gz @truth.nii.gz --except @labels.nii.gz --unlabeled 0 --json",
    );
}

#[test]
fn fill_gives_the_same_bits_for_any_number_of_threads() {
    let folder = pair();
    for threads in [1, 2] {
        run_well(
            &folder,
            &format!(
                "fill @image.nii.gz @labels.nii.gz -o @{threads}.npy --unlabeled 0 --iterations 4 \
                 --patch 16,16,16 --threads {threads}"
            ),
        );
    }
    for ending in ["npy", "unet3d.safetensors"] {
        let read = |n| bytes(&folder.path(&format!("{n}.{ending}")));
        assert!(read(1) == read(2), "{ending}");
    }
}

#[test]
fn train_predicts_with_its_best_model() {
    let folder = data_set();
    let ran = run_well(&folder, "train @data -o @run --config @config.toml --json");
    let json = ran.json();
    assert_eq!(json["iterations"], 12);
    run_well(&folder, "predict @run @data/imagesTr -o @predicted");
    let ran = run_well(&folder, "evaluate @predicted @data/labelsTr --json");
    let json = ran.json();
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(
        json["classes"][0]["name"], "inside",
        "named by dataset.json"
    );
    assert_eq!(run_well(&folder, "info @run --json").json()["kind"], "run");
}

#[test]
fn check_finds_nothing_wrong_with_a_sound_data_set() {
    let folder = data_set();
    let json = run_well(&folder, "check @data --json").json();
    assert_eq!(json["errors"], 0, "{json}");
    assert_eq!(json["volumes"], 6);
}

#[test]
fn check_examines_a_list_of_cases() {
    let folder = data_set();
    folder.bytes(
        "data/list.toml",
        b"[labels]\nunlabeled = 0\nclasses = [{ value = 1, name = \"inside\" }, { value = 2, name = \"outside\" }]\n\
          [[case]]\nimage = \"imagesTr/case0.nii.gz\"\nlabels = \"labelsTr/case0.nii.gz\"\n\
          [[case]]\nimage = \"imagesTr/case1.nii.gz\"\nlabels = \"labelsTr/case1.nii.gz\"\n",
    );
    let json = run_well(&folder, "check @data/list.toml --json").json();
    assert_eq!(json["errors"], 0, "{json}");
    assert_eq!(json["volumes"], 4, "{json}");
}

#[test]
fn check_misses_the_images_of_labels() {
    let folder = data_set();
    std::fs::remove_dir_all(folder.path("data/imagesTr")).expect("removed");
    std::fs::remove_file(folder.path("data/dataset.json")).expect("removed");
    let ran = run(&folder, "check @data --unlabeled 0 --json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("imagesTr"), "{ran:?}");
}

#[test]
fn check_lists_what_is_wrong() {
    let folder = data_set();
    let (image, _) = blobs([24, 16, 20], 0);
    folder.volume("data/imagesTr/case1.nii.gz", &image);
    folder.volume("data/labelsTr/case2.nii.gz", &blobs([24, 16, 21], 0).1);
    folder.bytes("data/imagesTr/case0.nii.gz", b"broken");
    let ran = run(&folder, "check @data --json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let json = ran.json();
    let found = json["findings"].to_string();
    for word in ["case0.nii.gz", "[24, 16, 21]"] {
        assert!(found.contains(word), "{word}: {found}");
    }
}

/// Starts a run that goes on until it is stopped or done.
fn start(folder: &Folder, arguments: &[&str]) -> Child {
    let mut all = vec![
        "train".to_owned(),
        folder.path("data").display().to_string(),
        "-o".into(),
        folder.path("killed").display().to_string(),
        "--config".into(),
        folder.path("config.toml").display().to_string(),
    ];
    all.extend(arguments.iter().map(|a| (*a).to_owned()));
    program(&all)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Gives the configuration another number of steps.
fn lengthen(folder: &Folder, iterations: u32) {
    let config = String::from_utf8(bytes(&folder.path("config.toml"))).expect("UTF-8");
    let config = config.replace("iterations = 12", &format!("iterations = {iterations}"));
    folder.bytes("config.toml", config.as_bytes());
}

/// Waits until a file is there; a minute is enough on the slowest machine.
fn wait_for(path: &Path) {
    for _ in 0..6000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} did not appear", path.display());
}

/// Presses Ctrl-C.
#[cfg(unix)]
fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let folder = data_set();
    // Enough steps that kills fall between the first checkpoint and the end.
    lengthen(&folder, 40);
    run_well(&folder, "train @data -o @undisturbed --config @config.toml");
    let checkpoint = folder.path("killed/checkpoint.safetensors");
    let mut resume: &[&str] = &[];
    let mut kills_between = 0;
    // The first falls upon the first checkpoint, before which there is nothing
    // to resume; the others anywhere after it.
    for pause_ms in [0, 60, 30] {
        let mut child = start(&folder, resume);
        wait_for(&checkpoint);
        std::thread::sleep(Duration::from_millis(pause_ms));
        child.kill().expect("killed");
        let ended_well = child.wait().expect("ended").success();
        kills_between += u32::from(!ended_well);
        resume = &["--resume"];
    }
    assert!(kills_between > 0, "every kill came after the end");
    let ran = Ran::of(start(&folder, resume).wait_with_output().expect("ended"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = |run: &str| bytes(&folder.path(&format!("{run}/log.jsonl")));
    assert!(log("undisturbed") == log("killed"), "log.jsonl differs");
    for model in ["best.unet3d.safetensors", "last.unet3d.safetensors"] {
        let undisturbed = bytes(&folder.path(&format!("undisturbed/{model}")));
        assert!(
            undisturbed == bytes(&folder.path(&format!("killed/{model}"))),
            "{model} differs"
        );
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_model_and_resumes() {
    let folder = data_set();
    lengthen(&folder, 100_000);
    let child = start(&folder, &[]);
    wait_for(&folder.path("killed/checkpoint.safetensors"));
    interrupt(&child);
    let ran = Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("--resume"), "{ran:?}");
    run_well(
        &folder,
        "predict @killed @data/imagesTr/case0.nii.gz -o @p.nii",
    );
}

#[test]
fn demo_writes_everything_it_names() {
    let folder = Folder::new();
    let ran = run_well(
        &folder,
        "demo -o @demo --iterations 1 --patch 16,32,32 --json",
    );
    let json = ran.json();
    for field in ["mean_iou", "expected_iou", "elapsed_s", "iterations"] {
        assert!(json[field].is_number(), "{field}: {json}");
    }
    assert!(
        json["out"].as_str().is_some_and(|p| p.ends_with("demo")),
        "{json}"
    );
    let files = folder.files();
    for name in [
        "image.tif",
        "annotation.tif",
        "truth.tif",
        "result.tif",
        "report.html",
    ] {
        assert!(files.contains(&format!("demo/{name}")), "{name}: {files:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_fill_writes_what_it_learned() {
    let folder = pair();
    let path = |name: &str| folder.path(name).display().to_string();
    let child = program(&[
        "fill".to_owned(),
        path("image.nii.gz"),
        path("labels.nii.gz"),
        "-o".into(),
        path("out.nii.gz"),
        "--run".into(),
        path("run"),
        "--config".into(),
        folder
            .bytes(
                "config.toml",
                b"patch = [16, 16, 16]\ncheckpoint_every = 1\n[budget]\niterations = 1000000\n",
            )
            .display()
            .to_string(),
        "--unlabeled".into(),
        "0".into(),
        "--json".into(),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("started");
    wait_for(&folder.path("run/checkpoint.safetensors"));
    interrupt(&child);
    let ran = Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(ran.json()["interrupted"], true, "{ran:?}");
    assert!(ran.stderr.contains("learned so far"), "{ran:?}");
    assert!(folder.files().contains(&"out.nii.gz".to_owned()));
}
