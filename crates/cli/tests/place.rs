//! Volumes that are stored along other axes, in parts or without a place: the program
//! puts them where they belong, says so in one line, or refuses.

mod common;

use common::{Folder, blobs, model, run, run_well, sparse};
use unet3d_volume::place::Turn;
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [16, 20, 24];
const FEW: &str = "--iterations 2 --patch 16,16,16 --batch 1 --seed 3";

/// A slightly oblique place in the world, voxels of 2 x 1 x 1 mm.
fn place(shape: [usize; 3]) -> Geometry {
    // As a header holds them.
    let (sin, cos) = (f64::from(0.1f32.sin()), f64::from(0.1f32.cos()));
    Geometry {
        spacing_mm: Some([2.0, 1.0, 1.0]),
        world_from_volume: Some([
            [0.0, -sin, cos, -40.0],
            [0.0, cos, sin, 25.5],
            [2.0, 0.0, 0.0, 7.0],
        ]),
        ..Geometry::of_shape(shape)
    }
}

/// Image and labels at that place.
fn placed(seed: usize) -> (Volume, Volume) {
    let (mut image, mut labels) = blobs(SHAPE, seed);
    (image.geometry, labels.geometry) = (place(SHAPE), place(SHAPE));
    (image, labels)
}

fn turn(axes: [usize; 3], reversed: [bool; 3]) -> Turn {
    Turn::new(axes, reversed).expect("a turn")
}

/// Some turns that differ in kind: mirrored, all reversed, axes exchanged, cycled.
fn turns() -> [Turn; 4] {
    [
        turn([0, 1, 2], [false, false, true]),
        turn([0, 1, 2], [true; 3]),
        turn([2, 1, 0], [false; 3]),
        turn([1, 2, 0], [true, false, true]),
    ]
}

/// Removes results of the command before: nothing is written over.
fn clear(folder: &Folder) {
    for name in folder.files().iter().filter(|name| name.starts_with("out")) {
        std::fs::remove_file(folder.path(name)).expect("removed");
    }
}

fn read(folder: &Folder, name: &str) -> Volume {
    unet3d_volume::read(&folder.path(name)).expect("read")
}

#[test]
fn fill_writes_the_same_whatever_way_the_labels_are_stored() {
    let folder = Folder::new();
    let (image, labels) = placed(1);
    let labels = sparse(&labels);
    folder.volume("image.nii.gz", &image);
    folder.volume("labels.nii.gz", &labels);
    let command = |labels: &str, how: &str| {
        clear(&folder);
        run_well(
            &folder,
            &format!("fill @image.nii.gz @{labels} -o @out.nii.gz {how}"),
        )
    };
    let schemes = ["--unlabeled 0", "--painted-slices z --classes 0=0,1=a,2=b"];
    for how in schemes.map(|s| format!("{s} --method interpolate")) {
        let ran = command("labels.nii.gz", &how);
        assert!(!ran.stderr.contains("another orientation"), "{ran:?}");
        let expected = read(&folder, "out.nii.gz");
        assert_eq!(expected.geometry, read(&folder, "image.nii.gz").geometry);
        for turn in turns() {
            folder.volume("turned.nii.gz", &turn.volume(&labels));
            let ran = command("turned.nii.gz", &how);
            assert!(ran.stderr.contains("has another orientation"), "{ran:?}");
            assert_eq!(read(&folder, "out.nii.gz"), expected);
        }
    }
    let how = format!("--unlabeled 0 {FEW}");
    command("labels.nii.gz", &how);
    let expected = read(&folder, "out.nii.gz");
    command("turned.nii.gz", &how);
    assert_eq!(read(&folder, "out.nii.gz"), expected);
    assert_eq!(expected.geometry, read(&folder, "image.nii.gz").geometry);
}

#[test]
fn labels_exported_cropped_are_placed_and_nothing_is_annotated_around_them() {
    let folder = Folder::new();
    let (image, labels) = placed(2);
    folder.volume("image.nii.gz", &image);
    // Whole slices of a part: around them nobody looked.
    let part = sparse(&labels).crop([2..15, 4..20, 3..21]).expect("a part");
    let stored = turn([0, 2, 1], [false, true, false]).volume(&part);
    folder.volume("part.nii.gz", &stored);
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @part.nii.gz -o @out.nii.gz --painted-slices z --classes 0=0,1=a,2=b --method interpolate",
    );
    for part in [
        "part.nii.gz: once turned",
        "a box of",
        "z 2:15 of 16",
        "x 3:21 of 24",
        "not annotated",
    ] {
        assert!(ran.stderr.contains(part), "{part} in {}", ran.stderr);
    }
    let out = read(&folder, "out.nii.gz");
    assert_eq!(out.geometry, image.geometry);
    // The annotated slices are as they were painted.
    let (z, y, x) = (3, 10, 10);
    let at = out.index(0, [z, y, x]);
    assert_eq!(out.samples.i64_at(at), labels.samples.i64_at(at));
}

#[test]
fn a_side_that_states_no_place_takes_that_of_the_other() {
    let folder = Folder::new();
    let (image, labels) = placed(3);
    let labels = sparse(&labels);
    folder.volume("image.nii.gz", &image);
    folder.volume("labels.nii.gz", &labels);
    for [a, b] in [
        ["image.nii.gz", "labels.tif"],
        ["image.npy", "labels.nii.gz"],
        ["image.tif", "labels.nii.gz"],
        ["image.nii.gz", "labels.npy"],
    ] {
        folder.volume(a, &image);
        folder.volume(b, &labels);
        clear(&folder);
        let ran = run_well(
            &folder,
            &format!("fill @{a} @{b} -o @out.nii.gz --unlabeled 0 --method interpolate"),
        );
        assert!(ran.stderr.contains("does not state its place"), "{ran:?}");
        let out = read(&folder, "out.nii.gz");
        assert_eq!(
            out.geometry,
            read(&folder, "labels.nii.gz").geometry,
            "{a} {b}"
        );
    }
    // A spacing that is another one is no missing place.
    let mut wrong = labels.clone();
    wrong.geometry = Geometry {
        spacing_mm: Some([1.0, 1.0, 1.0]),
        ..Geometry::of_shape(SHAPE)
    };
    folder.volume("wrong.tif", &wrong);
    let ran = run(
        &folder,
        "fill @image.nii.gz @wrong.tif -o @other.nii.gz --unlabeled 0 --method interpolate",
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("another spacing"), "{ran:?}");
    assert!(!folder.path("other.nii.gz").exists());
}

#[test]
fn what_lies_elsewhere_is_refused_with_the_way_out() {
    let folder = Folder::new();
    let (image, labels) = placed(4);
    let mut labels = sparse(&labels);
    folder.volume("image.nii.gz", &image);
    labels.geometry.world_from_volume.as_mut().expect("a place")[1][3] += 0.4;
    folder.volume("labels.nii.gz", &labels);
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    folder.volume("data/imagesTr/a.nii.gz", &image);
    folder.volume("data/labelsTr/a.nii.gz", &labels);
    for command in [
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --method interpolate",
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --iterations 1",
        "suggest @m.safetensors @image.nii.gz @labels.nii.gz --unlabeled 0",
        "train @data -o @run --unlabeled 0 --iterations 1",
        "experiment slices-cv @image.nii.gz @labels.nii.gz --unlabeled 0 -o @cv --iterations 1",
        "experiment suggest @image.nii.gz @labels.nii.gz -o @suggest --iterations 1",
        "evaluate @image.nii.gz @labels.nii.gz --dense",
        "evaluate @image.nii.gz @image.nii.gz --except @labels.nii.gz --unlabeled 0",
        "evaluate @labels.nii.gz @labels.nii.gz --annotated @IMAGE",
        "evaluate @labels.nii.gz @labels.nii.gz --dense --probabilities @image.nii.gz",
    ] {
        let image = folder.path("image.nii.gz").display().to_string();
        let before = folder.files();
        let ran = run(&folder, &command.replace("@IMAGE", &image));
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        for part in [
            "lie between those of",
            "shape [16, 20, 24]",
            "spacing 2 x 1 x 1 mm",
            "RAS (oblique by 5.7 degrees)",
            "furthest corners are 0.4 mm apart",
            "--ignore-geometry",
        ] {
            assert!(
                ran.stderr.contains(part),
                "{command}: {part} in {}",
                ran.stderr
            );
        }
        assert_eq!(folder.files(), before, "{command}");
    }
    let checked = run(&folder, "check @image.nii.gz @labels.nii.gz --unlabeled 0");
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.stdout.contains("error: ") && checked.stdout.contains("lie between"),
        "{checked:?}"
    );
    // The way out, which is told.
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --method interpolate --ignore-geometry",
    );
    assert!(
        ran.stderr.contains("voxel by voxel as both are stored"),
        "{ran:?}"
    );
    assert_eq!(read(&folder, "out.nii.gz").geometry, image.geometry);
    run_well(
        &folder,
        "check @image.nii.gz @labels.nii.gz --unlabeled 0 --ignore-geometry",
    );
    run_well(
        &folder,
        "train @data -o @run --unlabeled 0 --iterations 1 --ignore-geometry",
    );
}

#[test]
fn evaluate_scores_alike_however_files_are_stored() {
    let folder = Folder::new();
    let (_, truth) = placed(1);
    let (_, predicted) = placed(2);
    let spots = sparse(&truth);
    folder.volume("truth.nii.gz", &truth);
    folder.volume("predicted.nii.gz", &predicted);
    folder.volume("spots.nii.gz", &spots);
    let voxels = predicted.samples.len();
    let two: Vec<f32> = (0..2 * voxels)
        .map(
            |i| match (i < voxels, predicted.samples.i64_at(i % voxels)) {
                (true, Some(1)) | (false, Some(2)) => 0.75,
                _ => 0.25,
            },
        )
        .collect();
    let probabilities = Volume::new(place(SHAPE), 2, Samples::F32(two)).expect("valid");
    folder.volume("p.nii.gz", &probabilities);
    let flags = "--classes 1=a,2=b --surface --json";
    let command = |p: &str, t: &str, s: &str, q: &str| {
        run_well(
            &folder,
            &format!("evaluate @{p} @{t} --except @{s} --unlabeled 0 --probabilities @{q} {flags}"),
        )
    };
    let expected = command(
        "predicted.nii.gz",
        "truth.nii.gz",
        "spots.nii.gz",
        "p.nii.gz",
    )
    .json();
    for (i, turn) in turns().into_iter().enumerate() {
        folder.volume("tp.nii.gz", &turn.volume(&predicted));
        folder.volume("ts.nii.gz", &turns()[(i + 1) % 4].volume(&spots));
        folder.volume("tq.nii.gz", &turns()[(i + 2) % 4].volume(&probabilities));
        let ran = command("tp.nii.gz", "truth.nii.gz", "ts.nii.gz", "tq.nii.gz");
        // The same voxels in the same order.
        assert_eq!(ran.json(), expected, "{turn:?}");
        // Each file is told of once.
        for name in ["tp.nii.gz", "ts.nii.gz", "tq.nii.gz"] {
            let told = ran
                .stderr
                .lines()
                .filter(|l| l.contains(&format!("{name}: has another orientation")));
            assert_eq!(told.count(), 1, "{name} in {}", ran.stderr);
        }
        // In the order of another truth: sums may round otherwise.
        folder.volume("tt.nii.gz", &turn.volume(&truth));
        let other = command("predicted.nii.gz", "tt.nii.gz", "spots.nii.gz", "p.nii.gz").json();
        for path in [
            "/mean_iou",
            "/mean_dice",
            "/surface/mean/hausdorff95",
            "/surface/mean/assd",
            "/ece",
        ] {
            let value = |v: &serde_json::Value| v.pointer(path).and_then(serde_json::Value::as_f64);
            let (a, b) = (value(&other).expect(path), value(&expected).expect(path));
            assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{path}: {a} {b}");
        }
    }
}

#[test]
fn evaluate_takes_what_lies_around_a_part_for_background() {
    let folder = Folder::new();
    // Class 1 in a corner of the box 4..12, background everywhere else.
    let map = |low: usize| {
        let values = (0..SHAPE.iter().product()).map(|i| {
            let at = Geometry::of_shape(SHAPE).position(i);
            u8::from(at.iter().all(|v| (low..12).contains(v)))
        });
        Volume::new(place(SHAPE), 1, Samples::U8(values.collect())).expect("valid")
    };
    let (truth, predicted) = (map(5), map(4));
    folder.volume("truth.nii.gz", &truth);
    folder.volume("predicted.nii.gz", &predicted);
    let box_of = [3..13, 4..14, 4..12];
    folder.volume(
        "part.nii.gz",
        &predicted.crop(box_of.clone()).expect("a part"),
    );
    folder.volume("part-of-truth.nii.gz", &truth.crop(box_of).expect("a part"));
    let whole = run_well(
        &folder,
        "evaluate @predicted.nii.gz @truth.nii.gz --dense --surface --json",
    );
    for command in [
        "evaluate @part.nii.gz @truth.nii.gz --dense --surface --json",
        "evaluate @predicted.nii.gz @part-of-truth.nii.gz --dense --surface --json",
    ] {
        let ran = run_well(&folder, command);
        assert_eq!(ran.json(), whole.json(), "{command}");
        assert!(
            ran.stderr.contains("is a box of") && ran.stderr.contains("background (0)"),
            "{ran:?}"
        );
    }
    // Of a part of a sparse annotation, what is around it is not annotated.
    let ran = run_well(
        &folder,
        "evaluate @predicted.nii.gz @part-of-truth.nii.gz --unlabeled 9 --json",
    );
    assert_eq!(ran.json()["voxels"], 10 * 10 * 8, "{ran:?}");
}

#[test]
fn masks_lie_where_their_labels_do() {
    let folder = Folder::new();
    let (image, labels) = placed(5);
    folder.volume("image.nii.gz", &image);
    folder.volume("labels.nii.gz", &labels);
    let mask = Volume {
        samples: Samples::U8(
            (0..labels.samples.len())
                .map(|i| u8::from(labels.geometry.position(i)[0] % 5 == 2))
                .collect(),
        ),
        ..labels.clone()
    };
    let fill = |mask: &str| {
        let mask = folder.path(mask).display().to_string();
        clear(&folder);
        let ran = run_well(
            &folder,
            &format!(
                "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --annotated {mask} --method interpolate"
            ),
        );
        (read(&folder, "out.nii.gz"), ran.stderr)
    };
    folder.volume("mask.nii.gz", &mask);
    let (expected, _) = fill("mask.nii.gz");
    for turn in turns() {
        folder.volume("turned.nii.gz", &turn.volume(&mask));
        let (found, told) = fill("turned.nii.gz");
        assert_eq!(found, expected);
        assert!(
            told.contains("turned.nii.gz: has another orientation"),
            "{told}"
        );
    }
    let part = mask.crop([0..16, 0..20, 0..12]).expect("a part");
    folder.volume("part.nii.gz", &part);
    let (_, told) = fill("part.nii.gz");
    assert!(told.contains("part.nii.gz: is a box of"), "{told}");
}

#[test]
fn channel_files_meet_in_the_world() {
    let folder = Folder::new();
    let (first, labels) = placed(1);
    let (second, _) = placed(2);
    let expected = {
        folder.volume("a/case_0000.nii.gz", &first);
        folder.volume("a/case_0001.nii.gz", &second);
        folder.bytes("m.safetensors", &model(2).to_bytes().expect("bytes"));
        run_well(&folder, "predict @m.safetensors @a -o @out-a");
        read(&folder, "out-a/case.nii.gz")
    };
    folder.volume("b/case_0000.nii.gz", &first);
    folder.volume("b/case_0001.nii.gz", &turns()[3].volume(&second));
    let ran = run_well(&folder, "predict @m.safetensors @b -o @out-b");
    assert!(
        ran.stderr
            .contains("case_0001.nii.gz: has another orientation"),
        "{ran:?}"
    );
    assert_eq!(read(&folder, "out-b/case.nii.gz"), expected);
    // A part of a channel is not enough.
    folder.volume("c/case_0000.nii.gz", &first);
    folder.volume(
        "c/case_0001.nii.gz",
        &second.crop([0..16, 0..20, 0..12]).expect("a part"),
    );
    let ran = run(&folder, "predict @m.safetensors @c -o @out-c");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("covers only a part of"), "{ran:?}");
    drop(labels);
}

#[test]
fn a_model_sees_images_as_it_learned_them_and_gives_results_back() {
    let folder = Folder::new();
    let (image, _) = placed(1);
    let mut model = model(1);
    model.pipeline.orientation = image.geometry.orientation();
    folder.bytes("m.safetensors", &model.to_bytes().expect("bytes"));
    folder.volume("image.nii.gz", &image);
    let all = "--probabilities @out-p.nii.gz --uncertainty @out-u.nii.gz";
    clear(&folder);
    let ran = run_well(
        &folder,
        &format!("predict @m.safetensors @image.nii.gz -o @out.nii.gz {all}"),
    );
    assert!(!ran.stderr.contains("turned"), "{ran:?}");
    let names = ["out.nii.gz", "out-p.nii.gz", "out-u.nii.gz"];
    let expected = names.map(|name| read(&folder, name));
    for turn in turns() {
        let turned = turn.volume(&image);
        folder.volume("turned.nii.gz", &turned);
        clear(&folder);
        let ran = run_well(
            &folder,
            &format!("predict @m.safetensors @turned.nii.gz -o @out.nii.gz {all}"),
        );
        let told = ran
            .stderr
            .lines()
            .filter(|l| l.contains("turned for the network"));
        assert_eq!(told.count(), 1, "{ran:?}");
        for (name, expected) in names.iter().zip(&expected) {
            let found = read(&folder, name);
            assert_eq!(found.geometry, read(&folder, "turned.nii.gz").geometry);
            assert_eq!(
                found.samples,
                turn.volume(expected).samples,
                "{name} {turn:?}"
            );
        }
        clear(&folder);
        let ran = run_well(
            &folder,
            &format!(
                "predict @m.safetensors @turned.nii.gz -o @out.nii.gz {all} --ignore-geometry"
            ),
        );
        assert!(
            ran.stderr
                .contains("taken as it is stored (--ignore-geometry)"),
            "{ran:?}"
        );
        assert_ne!(
            read(&folder, "out-u.nii.gz").samples,
            turn.volume(&expected[2]).samples
        );
    }
    // Neither side says how it lies: as stored, and where only the image does not, told.
    folder.volume("image.npy", &image);
    let ran = run_well(&folder, "predict @m.safetensors @image.npy -o @out.npy");
    assert!(
        ran.stderr.contains("does not state its orientation"),
        "{ran:?}"
    );
    assert_eq!(read(&folder, "out.npy").samples, expected[0].samples);
    // A bad voxel is named where the file has it.
    let mut gray = image.samples.to_f32();
    let at = image.index(0, [3, 5, 7]);
    gray[at] = f32::NAN;
    let bad = Volume::new(image.geometry.clone(), 1, Samples::F32(gray)).expect("valid");
    folder.volume("bad.nii.gz", &turns()[0].volume(&bad));
    let ran = run(&folder, "predict @m.safetensors @bad.nii.gz -o @no.nii.gz");
    assert!(ran.stderr.contains("[3, 5, 16]"), "{ran:?}");
}

#[test]
fn cases_of_different_orientation_train_as_if_stored_alike() {
    let folder = Folder::new();
    let dense = |name: &str, seed: usize, image: Turn, labels: Turn, set: &str| {
        let (gray, map) = placed(seed);
        folder.volume(
            &format!("{set}/imagesTr/{name}.nii.gz"),
            &image.volume(&gray),
        );
        folder.volume(
            &format!("{set}/labelsTr/{name}.nii.gz"),
            &labels.volume(&map),
        );
    };
    let [mirrored, _, exchanged, cycled] = turns();
    dense("a", 1, Turn::NONE, Turn::NONE, "alike");
    dense("b", 2, Turn::NONE, Turn::NONE, "alike");
    dense("a", 1, Turn::NONE, mirrored, "mixed");
    dense("b", 2, cycled, exchanged, "mixed");
    let train = |set: &str, run: &str, more: &str| {
        let ran = run_well(
            &folder,
            &format!("train @{set} -o @{run} --dense {more} {FEW}"),
        );
        let bytes = std::fs::read(folder.path(&format!("{run}/last.unet3d.safetensors")));
        let model = unet3d_predict::Model::from_bytes(&bytes.expect("a model"));
        (model.expect("a model"), ran.stderr)
    };
    let (alike, told) = train("alike", "run-alike", "");
    assert!(!told.contains("turned"), "{told}");
    let (mixed, told) = train("mixed", "run-mixed", "");
    assert_eq!(alike.parameters.values, mixed.parameters.values);
    assert_eq!(
        mixed.pipeline.orientation.map(|o| o.to_string()),
        Some("RAS".into())
    );
    let lines = |part: &str| told.lines().filter(|l| l.contains(part)).count();
    assert_eq!(lines("the cases before it as RAS"), 1, "{told}");
    assert_eq!(lines("has another orientation"), 2, "{told}");
    // As they are stored: once axes are exchanged, shapes of b's files differ.
    let as_stored = format!("train @mixed -o @no --dense --ignore-geometry {FEW}");
    let ran = run(&folder, &as_stored);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("another shape"), "{ran:?}");
    dense("b", 2, Turn::NONE, mirrored, "mixed");
    let (ignored, _) = train("mixed", "run-as-stored", "--ignore-geometry");
    assert_ne!(alike.parameters.values, ignored.parameters.values);
    assert_eq!(ignored.pipeline.orientation, None);
    let checked = run_well(&folder, "check @mixed --dense");
    assert!(
        checked.stdout.contains("warning") && checked.stdout.contains("has another orientation"),
        "{checked:?}"
    );
}

#[test]
fn results_keep_forms_codes_and_unit_of_their_image() {
    let folder = Folder::new();
    let (image, labels) = placed(1);
    // Sform and qform that differ, codes 2 and 1, in micrometres.
    let path = folder.volume("image.nii", &image);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[123] = 3;
    bytes[252..256].copy_from_slice(&[1, 0, 2, 0]);
    bytes[268..272].copy_from_slice(&12.5f32.to_le_bytes());
    std::fs::write(&path, &bytes).expect("written");
    let forms: Vec<u8> = [&bytes[76..92], &bytes[123..124], &bytes[252..328]].concat();
    let kept = |name: &str| {
        let bytes = std::fs::read(folder.path(name)).expect("read");
        [&bytes[76..92], &bytes[123..124], &bytes[252..328]].concat()
    };
    folder.volume("labels.npy", &sparse(&labels));
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    for command in [
        "predict @m.safetensors @image.nii -o @out.nii",
        "fill @image.nii @labels.npy -o @out.nii --unlabeled 0 --method interpolate",
        "convert @image.nii @out.nii",
    ] {
        clear(&folder);
        let ran = run_well(&folder, command);
        assert!(
            ran.stderr.contains("sform (code 2) and qform (code 1)"),
            "{command}: {ran:?}"
        );
        assert!(
            ran.stderr.contains("the sform is used"),
            "{command}: {ran:?}"
        );
        assert_eq!(kept("out.nii"), forms, "{command}");
    }
    let checked = run_well(&folder, "check @image.nii");
    assert!(
        checked.stdout.contains("qform") && checked.stdout.contains("1 warning"),
        "{checked:?}"
    );
    // A part begins elsewhere, in both forms and in the same unit.
    run_well(
        &folder,
        "convert @image.nii @part.nii --crop 1:16,2:20,3:24",
    );
    let bytes = std::fs::read(folder.path("part.nii")).expect("read");
    assert_eq!((bytes[123], &bytes[252..256]), (3, &[1u8, 0, 2, 0][..]));
    let number =
        |at: usize| f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (sin, cos) = (0.1f32.sin(), 0.1f32.cos());
    assert!((number(292) - (-40.0 + 3.0 * cos - 2.0 * sin)).abs() < 1e-5);
    assert!((number(268) - (12.5 + 3.0 * cos - 2.0 * sin)).abs() < 1e-4);
    assert!((number(276) - (7.0 + 2.0)).abs() < 1e-5);
}
