//! What is annotated: slices that a person states, empty ones included, slices that look
//! unlike the others, and folders that hold only the annotated slices.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use common::{Folder, Ran, blobs, model, run, run_well};
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [59, 24, 24];

/// The tumour, on 31 of 59 slices.
fn is_tumour([z, y, x]: [usize; 3]) -> bool {
    let d = |v: usize, centre: f64, radius: f64| ((v as f64 - centre) / radius).powi(2);
    d(z, 27.0, 15.5) + d(y, 13.0, 8.0) + d(x, 11.0, 6.0) < 1.0
}

fn volume(shape: [usize; 3], value: impl Fn([usize; 3]) -> u8) -> Volume {
    let geometry = Geometry {
        spacing_mm: Some([1.0; 3]),
        ..Geometry::of_shape(shape)
    };
    let values = (0..geometry.voxels()).map(|i| value(geometry.position(i)));
    let samples = Samples::U8(values.collect());
    Volume::new(geometry, 1, samples).expect("a volume")
}

/// A body that fills most of each slice, the tumour a little brighter, noise.
fn mr() -> Volume {
    volume(SHAPE, |p| {
        let [z, y, x] = p;
        let noise = (x * 7919 + y * 104_729 + z * 1_299_709) % 41;
        let is_body = (y as f64 - 12.0).hypot(x as f64 - 12.0) < 11.0;
        let gray = if is_tumour(p) { 150 } else { 100 };
        (if is_body { gray + noise } else { noise }) as u8
    })
}

/// The tumour painted on the z slices that `is_painted` says.
fn painted(is_painted: impl Fn(usize) -> bool) -> Volume {
    volume(SHAPE, |p| u8::from(is_painted(p[0]) && is_tumour(p)))
}

/// A folder with the image and labels painted on every tenth slice.
fn tumour() -> Folder {
    let folder = Folder::new();
    folder.volume("mr.nii.gz", &mr());
    folder.volume("labels.nii.gz", &painted(|z| z % 10 == 0));
    folder
}

/// The z slices on which a volume holds anything but 0.
fn slices(folder: &Folder, name: &str) -> Vec<usize> {
    let volume = unet3d_volume::read(&folder.path(name)).expect("read");
    let [depth, height, width] = volume.geometry.shape;
    let area = height * width;
    let holds = |z: &usize| (z * area..(z + 1) * area).any(|i| volume.samples.f64_at(i) != 0.0);
    (0..depth).filter(holds).collect()
}

fn refused(folder: &Folder, arguments: &str, words: &[&str]) {
    let before = folder.files();
    let ran = run(folder, arguments);
    assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert_eq!(folder.files(), before, "{arguments}");
}

/// Runs the program, which must end well, where it wrote nothing called `out` before.
fn run_anew(folder: &Folder, arguments: &str) -> Ran {
    for name in folder
        .files()
        .iter()
        .filter(|name| name.starts_with("out."))
    {
        std::fs::remove_file(folder.path(name)).expect("removed");
    }
    run_well(folder, arguments)
}

fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn a_tumour_ends_at_slices_that_were_stated_to_be_empty() {
    let folder = tumour();
    let fill = "fill @mr.nii.gz @labels.nii.gz --method interpolate --json -o";
    // Painted slices alone cannot say where it ends.
    run_well(
        &folder,
        &format!("{fill} @painted.nii.gz --painted-slices z"),
    );
    assert_eq!(slices(&folder, "painted.nii.gz").len(), 59);

    let ran = run_well(
        &folder,
        &format!("{fill} @stated.nii.gz --annotated-slices z=every:10"),
    );
    let found = slices(&folder, "stated.nii.gz");
    let truth: Vec<usize> = (12..=42).collect();
    let beyond = |z: &&usize| **z + 2 < truth[0] || **z > truth[30] + 2;
    assert!(!found.iter().any(|z| beyond(&z)), "{found:?}");
    assert!(found.len() >= 27, "{found:?}");
    let every_tenth: Vec<usize> = (0..59).step_by(10).collect();
    assert_eq!(ran.json()["annotated"]["z"], serde_json::json!(every_tenth));
    says(&ran, &["annotated: z 0, 10, 20, 30, 40, 50 (6 slices)"]);
    let report = std::fs::read_to_string(folder.path("stated.html")).expect("a report");
    assert!(report.contains("--annotated-slices"), "the command");
}

#[test]
fn slices_are_stated_in_every_way_and_kept_in_the_run() {
    let folder = tumour();
    folder.bytes("config.toml", b"patch = [16, 16, 16]\nbatch = 1\n");
    let fill = "fill @mr.nii.gz @labels.nii.gz -o @out.nii.gz --method interpolate --json";
    for flags in [
        "--annotated-slices z=0,10,20,30,40,50",
        "--annotated-slices z=0..50:10",
        "--annotated-slices z=0,10 --annotated-slices z=20..50:10",
        "--annotated-slices z=every:10,y=13",
    ] {
        let ran = run_anew(&folder, &format!("{fill} {flags}"));
        says(&ran, &["z 0, 10, 20, 30, 40, 50 (6 slices)"]);
        let y = if flags.contains("y=") {
            vec![13]
        } else {
            vec![]
        };
        assert_eq!(
            ran.json()["annotated"]["y"],
            serde_json::json!(y),
            "{flags}"
        );
    }
    let learn = "fill @mr.nii.gz @labels.nii.gz -o @filled.nii.gz --run @run --config @config.toml";
    let ran = run_well(
        &folder,
        &format!("{learn} --iterations 1 --annotated-slices z=every:10"),
    );
    says(&ran, &["--annotated-slices z=every:10 --minutes"]);
    let config = std::fs::read_to_string(folder.path("run/config.toml")).expect("kept");
    assert!(config.contains("z=every:10"), "{config}");
}

#[test]
fn slices_that_cannot_be_meant() {
    let folder = tumour();
    let fill = "fill @mr.nii.gz @labels.nii.gz -o @out.nii.gz --iterations 1";
    for (flags, words) in [
        (
            "z=4,59",
            &["labels.nii.gz", "z 59", "59 slices", "0 to 58"][..],
        ),
        ("z=10,20,10", &["labels.nii.gz", "z 10", "twice"]),
        (
            "axial=10",
            &["labels.nii.gz", "axial", "orientation is not known"],
        ),
        // As a viewer counts them.
        (
            "z=21,31,41",
            &["labels.nii.gz", "Fiji", "--annotated-slices z=20,30,40"],
        ),
        ("z=1,3", &["labels.nii.gz", "z 20, 30, 40 (3 slices)"]),
    ] {
        refused(
            &folder,
            &format!("{fill} --annotated-slices {flags}"),
            words,
        );
    }
    for flags in [
        "--annotated-slices z=",
        "--annotated-slices 4,14",
        "--annotated-slices w=4",
        "--annotated-slices z=9..4",
        "--annotated-slices z=every:0",
        "--annotated-slices z=4 --painted-slices z",
        "--painted-slices w",
    ] {
        let ran = run(&folder, &format!("{fill} {flags}"));
        assert_eq!(ran.code, Some(2), "{flags}: {ran:?}");
    }
}

#[test]
fn planes_of_the_body_are_axes_where_the_orientation_is_known() {
    let folder = Folder::new();
    // The first axis runs from left to right: its slices are sagittal.
    let oriented = |mut volume: Volume| {
        volume.geometry.world_from_volume = Some([
            [1.0, 0.0, 0.0, -30.0],
            [0.0, 0.0, 1.0, -12.0],
            [0.0, -1.0, 0.0, 12.0],
        ]);
        volume
    };
    folder.volume("mr.nii.gz", &oriented(mr()));
    folder.volume("labels.nii.gz", &oriented(painted(|z| z % 10 == 0)));
    let fill = "fill @mr.nii.gz @labels.nii.gz -o @out.nii.gz --method interpolate";
    for flags in [
        "--annotated-slices sagittal=every:10",
        "--annotated-slices z=0,10,20,30 --annotated-slices sagittal=40,50",
    ] {
        let ran = run_anew(&folder, &format!("{fill} {flags}"));
        says(
            &ran,
            &["annotated: z 0, 10, 20, 30, 40, 50 (6 sagittal slices)"],
        );
    }
    let ran = run_anew(&folder, &format!("{fill} --painted-slices sagittal"));
    says(&ran, &["annotated: z 20, 30, 40 (3 sagittal slices)"]);
    refused(
        &folder,
        "fill @mr.nii.gz @labels.nii.gz -o @other.nii.gz --painted-slices z,sagittal --method interpolate",
        &["sagittal, which is z here"],
    );
}

#[test]
fn odd_slices_are_told_before_training_and_by_check() {
    let folder = Folder::new();
    folder.volume("mr.nii.gz", &mr());
    let mut click = painted(|z| z % 10 == 0);
    let mut half = painted(|z| [15, 20, 25, 30, 35].contains(&z));
    let (Samples::U8(clicked), Samples::U8(halved)) = (&mut click.samples, &mut half.samples)
    else {
        panic!("uint8");
    };
    clicked[5 * 576 + 2 * 24 + 3] = 1;
    for i in 25 * 576..26 * 576 {
        if i / 24 % 24 < 13 {
            halved[i] = 0;
        }
    }
    folder.volume("click.nii.gz", &click);
    folder.volume("half.nii.gz", &half);
    let of_click = [
        "click.nii.gz: z 5 holds 1 painted voxel",
        "--annotated-slices z=20,30,40",
    ];
    let of_half = [
        "half.nii.gz: z 25: a structure ends in a straight edge",
        "z 20 and z 30",
    ];
    for (name, words) in [("click", of_click), ("half", of_half)] {
        for method in ["--method interpolate", "--iterations 1 --patch 16,16,16"] {
            let ran = run_anew(
                &folder,
                &format!(
                    "fill @mr.nii.gz @{name}.nii.gz -o @out.nii.gz --painted-slices z {method}"
                ),
            );
            says(&ran, &words);
            let report = std::fs::read_to_string(folder.path("out.html")).expect("a report");
            assert!(
                report.contains(&words[0][words[0].find("z ").unwrap_or(0)..]),
                "{name}"
            );
        }
        let ran = run_well(
            &folder,
            &format!("check @mr.nii.gz @{name}.nii.gz --painted-slices z"),
        );
        says(&ran, &words);
        says(&ran, &["warning: ", "1 warning."]);
        folder.bytes(
            "list.toml",
            format!(
                "[labels]\npainted_slices = ['z']\n[[case]]\nimage = 'mr.nii.gz'\nlabels = '{name}.nii.gz'\n"
            )
            .as_bytes(),
        );
        let ran = run_well(
            &folder,
            &format!("train @list.toml -o @run-{name} --iterations 1 --patch 16,16,16"),
        );
        says(&ran, &words);
    }
}

#[test]
fn paint_outside_of_stated_slices_is_told() {
    let folder = tumour();
    let ran = run_anew(
        &folder,
        "fill @mr.nii.gz @labels.nii.gz -o @out.nii.gz --method interpolate --annotated-slices z=0,20,30,50",
    );
    says(
        &ran,
        &[
            "painted voxels lie outside",
            "z 40 (1 slice)",
            "z=0,20,30,50,40",
        ],
    );
}

#[test]
fn stated_slices_go_on_around_labels_that_were_cut_to_their_paint() {
    let folder = Folder::new();
    let placed = |mut volume: Volume| {
        volume.geometry.world_from_volume = Some([
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0],
        ]);
        volume
    };
    folder.volume("mr.nii.gz", &placed(mr()));
    let labels = placed(painted(|z| z % 10 == 0));
    folder.volume("labels.nii.gz", &labels);
    let cut = labels.crop([20..41, 5..22, 5..18]).expect("cut");
    folder.volume("cut.nii.gz", &cut);
    for name in ["labels", "cut"] {
        let ran = run_well(
            &folder,
            &format!(
                "fill @mr.nii.gz @{name}.nii.gz -o @{name}-out.nii --annotated-slices axial=every:10 --method interpolate"
            ),
        );
        says(&ran, &["z 0, 10, 20, 30, 40, 50 (6 axial slices)"]);
    }
    let read = |name: &str| unet3d_volume::read(&folder.path(name)).expect("read");
    assert_eq!(read("labels-out.nii").samples, read("cut-out.nii").samples);
}

#[test]
fn lists_of_cases_state_slices() {
    let folder = tumour();
    folder.volume("other.nii.gz", &painted(|z| z % 10 == 5));
    let case = |labels: &str, more: &str| {
        format!(
            "[[case]]\nname = '{labels}'\nimage = 'mr.nii.gz'\nlabels = '{labels}.nii.gz'\n{more}\n"
        )
    };
    let list = |head: &str, first: &str, second: &str| {
        let text = format!("{head}\n{}{}", case("labels", first), case("other", second));
        folder.bytes("list.toml", text.as_bytes());
    };
    let listed = [
        "labels.nii.gz: annotated: z 0, 10, 20, 30, 40, 50 (6 slices)",
        "other.nii.gz: annotated: z 5, 15, 25, 35, 45, 55 (6 slices)",
    ];
    let of_other = "annotated_slices = { z = [5, 15, '25..55:10'] }";
    // One for all and one that differs; each its own, with and without [labels].
    for (head, first) in [
        ("[labels]\nannotated_slices = 'z=every:10'", ""),
        (
            "[labels]\nclasses = [{ value = 0, name = 'none' }, { value = 1, name = 'tumour' }]",
            "annotated_slices = { z = 'every:10' }",
        ),
        ("", "annotated_slices = 'z=every:10'"),
    ] {
        list(head, first, of_other);
        let ran = run_well(&folder, "check @list.toml");
        says(&ran, &listed);
    }
    let ran = run_well(
        &folder,
        "train @list.toml -o @run --iterations 1 --patch 16,16,16",
    );
    says(
        &ran,
        &["labels: annotated: z 0, 10", "other: annotated: z 5, 15"],
    );
    let ran = run_well(&folder, "train @list.toml -o @run --resume");
    says(&ran, &["other: annotated: z 5, 15"]);
    // Slices stated for all by whoever runs it win.
    let ran = run_well(&folder, "check @list.toml --annotated-slices z=20..35:5");
    says(
        &ran,
        &["other.nii.gz: annotated: z 20, 25, 30, 35 (4 slices)"],
    );
    list("", "annotated_slices = 'z=every:10'", "");
    let ran = run(&folder, "check @list.toml");
    assert_eq!(ran.code, Some(1));
    says(&ran, &["annotated_slices"]);
}

#[test]
fn suggest_keeps_to_the_directions_that_can_be_painted() {
    let folder = tumour();
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    let suggest = "suggest @m.safetensors @mr.nii.gz @labels.nii.gz --count 3 --by evenly-spaced";
    let ran = run_well(
        &folder,
        &format!("{suggest} --annotated-slices z=every:10 --directions z --json"),
    );
    let json = ran.json();
    let named = json["slices"].as_array().expect("slices");
    assert_eq!(named.len(), 3);
    let mut all: Vec<u64> = Vec::new();
    for slice in named {
        assert_eq!(slice["axis"], "z");
        let index = slice["index"].as_u64().expect("a number");
        says(&ran, &[&format!("z {index} (slice {} in Fiji)", index + 1)]);
        all.push(index);
    }
    all.sort_unstable();
    let all: Vec<String> = all.iter().map(u64::to_string).collect();
    let flag = format!("--annotated-slices z=every:10,{}", all.join(","));
    says(&ran, &[&flag, "take those out that you do not annotate"]);

    let ran = run_well(
        &folder,
        &format!("{suggest} --painted-slices z --directions x,z --json"),
    );
    let json = ran.json();
    let axes = json["slices"].as_array().expect("slices").iter();
    assert!(axes.clone().all(|s| s["axis"] == "z" || s["axis"] == "x"));
    assert!(axes.clone().any(|s| s["axis"] == "x"));
    says(&ran, &["--painted-slices z,x"]);
    refused(
        &folder,
        &format!("{suggest} --painted-slices z --directions coronal"),
        &["--directions", "mr.nii.gz", "coronal"],
    );
}

/// Folders of PNG: the whole image, labels of z 2, 5, 8, 11, 14 (of 16), the last empty.
fn stacks() -> Folder {
    let folder = Folder::new();
    let (image, truth) = blobs([16, 20, 24], 1);
    let slice = |volume: &Volume, z: usize| {
        let part = volume.crop([z..z + 1, 0..20, 0..24]).expect("a slice");
        Volume::new(Geometry::of_shape([1, 20, 24]), 1, part.samples).expect("a slice")
    };
    for z in 0..16 {
        folder.volume(&format!("image/slice_{z:02}.png"), &slice(&image, z));
    }
    for z in [2, 5, 8, 11] {
        let Samples::U8(mut values) = slice(&truth, z).samples else {
            panic!("uint8");
        };
        values.iter_mut().for_each(|v| *v = u8::from(*v == 1));
        let labels = Volume::new(Geometry::of_shape([1, 20, 24]), 1, Samples::U8(values));
        folder.volume(
            &format!("labels/slice_{z:02}.png"),
            &labels.expect("a slice"),
        );
    }
    let empty = volume([1, 20, 24], |_| 0);
    folder.volume("labels/slice_14.png", &empty);
    folder.volume("whole.tif", &image);
    folder
}

#[test]
fn a_folder_of_the_annotated_slices_is_annotation_of_these() {
    let folder = stacks();
    let told = "z 2, 5, 8, 11, 14 (5 slices)";
    for flags in [
        "--painted-slices z",
        "--dense",
        "--annotated-slices z=2..14:3",
    ] {
        for method in ["--method interpolate", "--iterations 1 --patch 16,16,16"] {
            let ran = run_anew(
                &folder,
                &format!("fill @image @labels -o @out.nii.gz {flags} {method} --json"),
            );
            says(&ran, &[told]);
            assert_eq!(
                ran.json()["annotated"]["z"],
                serde_json::json!([2, 5, 8, 11, 14])
            );
            let out = unet3d_volume::read(&folder.path("out.nii.gz")).expect("read");
            assert_eq!(out.geometry.shape, [16, 20, 24]);
        }
        let ran = run_well(&folder, &format!("check @image @labels {flags}"));
        says(&ran, &[told]);
    }
    // Nothing says what 0 means: the question names the slices as they are numbered.
    let ran = run(
        &folder,
        "fill @image @labels -o @none.nii.gz --iterations 1",
    );
    assert_eq!(ran.code, Some(1));
    says(&ran, &["--annotated-slices z=2,5,8,11,14"]);

    folder.bytes(
        "list.toml",
        b"[labels]\npainted_slices = ['z']\n[[case]]\nimage = 'image'\nlabels = 'labels'\n",
    );
    let ran = run_well(
        &folder,
        "train @list.toml -o @run --iterations 1 --patch 16,16,16",
    );
    says(&ran, &[told]);
    let ran = run_well(
        &folder,
        "suggest @run @image @labels --painted-slices z --directions z",
    );
    says(&ran, &[told]);
}

#[test]
fn slices_whose_place_is_not_said_are_refused() {
    let folder = stacks();
    let interpolate = "-o @out.nii.gz --painted-slices z --method interpolate";
    // Beside one file, numbers from 2 to 14 may count from 0 or from 1.
    refused(
        &folder,
        &format!("fill @whole.tif @labels {interpolate}"),
        &[
            "labels",
            "--annotated-slices z=2,5,8,11,14",
            "--annotated-slices z=1,4,7,10,13",
        ],
    );
    let ran = run_anew(
        &folder,
        "fill @whole.tif @labels -o @out.nii.gz --annotated-slices z=2..14:3 --method interpolate",
    );
    says(&ran, &["z 2, 5, 8, 11, 14 (5 slices)"]);
    std::fs::rename(
        folder.path("labels/slice_14.png"),
        folder.path("labels/slice_24.png"),
    )
    .expect("renamed");
    refused(
        &folder,
        &format!(
            "fill @image @labels {}",
            interpolate.replace("out.", "other.")
        ),
        &["labels", "slice_24", "image"],
    );
}
