//! What label values and gray values mean: numbers of objects, classes that nothing
//! shows, labels that a header's scaling moved, and padding.

mod common;

use common::{Folder, blobs, run, run_well, sparse};
use unet3d_volume::{Geometry, Samples, Volume};

const SHAPE: [usize; 3] = [12, 24, 24];

fn volume(samples: Samples) -> Volume {
    Volume::new(Geometry::of_shape(SHAPE), 1, samples).expect("a volume")
}

fn voxels(value: impl Fn([usize; 3]) -> i64) -> Vec<i64> {
    let [z, y, x] = SHAPE;
    let at = |i: usize| [i / (y * x), i / x % y, i % x];
    (0..z * y * x).map(|i| value(at(i))).collect()
}

/// Cubes of 3 x 4 x 4 in rows of six, numbered from `first` on, or 0.
fn number([z, y, x]: [usize; 3], first: i64) -> i64 {
    let inside = z % 6 < 3 && y % 8 < 4 && x % 8 < 4;
    let number = z / 6 * 9 + y / 8 * 3 + x / 8;
    if inside { first + number as i64 } else { 0 }
}

/// An image in which the cubes are bright.
fn bright() -> Volume {
    let gray = voxels(|p| {
        let noise = (p[0] * 7919 + p[1] * 104_729 + p[2] * 1_299_709) % 29;
        noise as i64 + 40 + 120 * i64::from(number(p, 1) > 0)
    });
    volume(Samples::I32(gray.into_iter().map(|v| v as i32).collect()))
}

/// Every third slice holds its numbers, all others 999.
fn sparse_numbers(first: i64) -> Vec<i64> {
    voxels(|p| if p[0] % 3 == 1 { number(p, first) } else { 999 })
}

const QUESTION: [&str; 3] = [
    "are its values classes, or numbers of objects?",
    "18 values but 0",
    "--objects nucleus",
];

#[test]
fn numbers_of_objects_are_asked_about_by_fill_train_and_check() {
    let folder = Folder::new();
    folder.volume("image.nii", &bright());
    let dense = voxels(|p| number(p, 1));
    let files = [
        (
            "i64.npy",
            Samples::I64(voxels(|p| number(p, 5000))),
            "--dense",
        ),
        (
            "f32.nii",
            Samples::F32(dense.iter().map(|v| *v as f32).collect()),
            "--dense",
        ),
        (
            "u8.tif",
            Samples::U8(dense.iter().map(|v| *v as u8).collect()),
            "--painted-slices z",
        ),
        (
            "sparse.nii",
            Samples::I32(sparse_numbers(1).iter().map(|v| *v as i32).collect()),
            "--unlabeled 999",
        ),
    ];
    let mut asked = Vec::new();
    for (name, samples, scheme) in files {
        folder.volume(name, &volume(samples));
        for command in [
            format!("fill @image.nii @{name} -o @out.nii {scheme} --iterations 1"),
            format!("fill @image.nii @{name} -o @out.nii {scheme} --method interpolate"),
            format!("check @image.nii @{name} {scheme}"),
        ] {
            let ran = run(&folder, &command);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            asked.push((command, ran.code, QUESTION.map(|q| said.contains(q))));
        }
    }
    let list = "[labels]\ndense = true\n[[case]]\nimage = 'image.nii'\nlabels = 'f32.nii'\n";
    folder.bytes("list.toml", list.as_bytes());
    for command in [
        "train @list.toml -o @run --iterations 1",
        "check @list.toml",
    ] {
        let ran = run(&folder, command);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        asked.push((command.into(), ran.code, QUESTION.map(|q| said.contains(q))));
    }
    let silent: Vec<_> = (asked.iter())
        .filter(|(_, code, said)| *code != Some(1) || said.contains(&false))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(
        !folder
            .files()
            .iter()
            .any(|f| f.starts_with("out") || f.starts_with("run"))
    );
    // Whoever names the values as classes is not asked.
    let named: Vec<String> = (0..=18).map(|v| v.to_string()).collect();
    let command = format!(
        "check @image.nii @f32.nii --dense --classes {}",
        named.join(",")
    );
    let ran = run(&folder, &command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn objects_become_one_class_that_model_commands_and_lists_know() {
    let folder = Folder::new();
    folder.volume("image.nii", &bright());
    let numbers = sparse_numbers(1000).iter().map(|v| *v as f32).collect();
    folder.volume("labels.nii", &volume(Samples::F32(numbers)));
    let fill = "fill @image.nii @labels.nii -o @out.nii --patch 8,16,16";
    let objects = "--unlabeled 999 --objects nucleus";
    let ran = run_well(
        &folder,
        &format!("{fill} {objects} --iterations 2 --run @run"),
    );
    assert!(
        ran.stdout.contains("--unlabeled 999 --objects nucleus"),
        "{ran:?}"
    );
    let out = unet3d_volume::read(&folder.path("out.nii")).expect("read");
    assert!(
        out.to_integers()
            .expect("whole")
            .iter()
            .all(|v| (0..=1).contains(v))
    );
    let info = run_well(&folder, "info @out.unet3d.safetensors --json");
    let known = format!("{}{}", info.stdout, info.stderr);
    assert!(
        known.contains("nucleus") && known.contains("background"),
        "{info:?}"
    );
    // A resumed run knows what the values are without being told again.
    run_well(
        &folder,
        &format!("{fill} --iterations 2 --run @run --resume"),
    );
    let by_shape =
        format!("fill @image.nii @labels.nii -o @shape.nii {objects} --method interpolate --json");
    let classes = run_well(&folder, &by_shape).json()["classes"].clone();
    let named: Vec<_> = (0..2).map(|i| classes[i]["name"].clone()).collect();
    assert_eq!(named, ["background", "nucleus"]);
    // Of two truths that number differently, the same class.
    let other = sparse_numbers(1).iter().map(|v| *v as i32).collect();
    folder.volume("other.nii", &volume(Samples::I32(other)));
    let score = run_well(
        &folder,
        &format!("evaluate @shape.nii @other.nii {objects} --json"),
    );
    assert_eq!(score.json()["mean_iou"], 1.0);

    let list = "[labels]\nunlabeled = 999\nobjects = 'nucleus'\n\
                [[case]]\nimage = 'image.nii'\nlabels = 'labels.nii'\n";
    folder.bytes("list.toml", list.as_bytes());
    let ran = run_well(&folder, "check @list.toml");
    assert!(ran.stdout.contains("0 errors"), "{ran:?}");
    run_well(
        &folder,
        "train @list.toml -o @trained --iterations 1 --patch 8,16,16",
    );
    let config = std::fs::read_to_string(folder.path("trained/config.toml")).expect("read");
    assert!(config.contains("objects = \"nucleus\""), "{config}");
    // The flag over a list that does not say it.
    let list = list.replace("objects = 'nucleus'\n", "");
    folder.bytes("plain.toml", list.as_bytes());
    let ran = run_well(&folder, "check @plain.toml --objects cell");
    assert!(ran.stdout.contains("0 errors"), "{ran:?}");
}

#[test]
fn objects_that_cannot_be_meant_are_refused() {
    let folder = Folder::new();
    folder.volume("image.nii", &bright());
    folder.volume(
        "labels.nii",
        &volume(Samples::I64(voxels(|p| number(p, 1)))),
    );
    let fill = "fill @image.nii @labels.nii -o @out.nii --iterations 1";
    let ran = run(
        &folder,
        &format!("{fill} --dense --objects a --classes 0,1"),
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = run(&folder, &format!("{fill} --dense --objects background"));
    assert!(
        ran.code == Some(1) && ran.stderr.contains("name of their own"),
        "{ran:?}"
    );
    // Where 0 is not annotated there is nothing to tell the objects from.
    let ran = run(&folder, &format!("{fill} --unlabeled 0 --objects nucleus"));
    assert!(
        ran.code == Some(1) && ran.stderr.contains("--painted-slices"),
        "{ran:?}"
    );
    let list = "[labels]\ndense = true\nobjects = 'a'\nclasses = [{ value = 1, name = 'b' }]\n\
                [[case]]\nimage = 'image.nii'\nlabels = 'labels.nii'\n";
    folder.bytes("list.toml", list.as_bytes());
    let ran = run(&folder, "train @list.toml -o @run --iterations 1");
    assert!(
        ran.code == Some(1) && ran.stderr.contains("not both"),
        "{ran:?}"
    );
}

#[test]
fn a_class_that_nothing_shows_is_named_by_check_train_and_fill() {
    let folder = Folder::new();
    let classes = "classes = [{ value = 1, name = 'inside' }, { value = 2, name = 'outside' }, \
                   { value = 7, name = 'membrane' }]";
    let mut cases = String::new();
    for (seed, split) in ["train", "train", "validate"].into_iter().enumerate() {
        let (image, mut labels) = blobs([16, 16, 16], seed);
        if split == "validate" {
            // Shown in the case held out alone.
            let Samples::U8(values) = &mut labels.samples else {
                unreachable!()
            };
            values[..40].fill(7);
        }
        folder.volume(&format!("i{seed}.nii"), &image);
        folder.volume(&format!("l{seed}.nii"), &labels);
        cases += &format!(
            "[[case]]\nimage = 'i{seed}.nii'\nlabels = 'l{seed}.nii'\nsplit = '{split}'\n"
        );
    }
    let list = |name: &str, labels: &str, cases: &str| {
        let text = format!("[labels]\ndense = true\n{labels}\n{cases}");
        folder.bytes(name, text.as_bytes());
    };
    list("list.toml", classes, &cases);
    let ran = run_well(&folder, "check @list.toml");
    let not_learned = "class membrane, which the label scheme names, occurs in no";
    assert!(
        ran.stdout
            .contains(&format!("{not_learned} case to learn from")),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("0 errors, 1 warning."), "{ran:?}");
    let train = "--iterations 1 --patch 16,16,16";
    let ran = run_well(&folder, &format!("train @list.toml -o @run {train}"));
    assert!(
        ran.stderr
            .contains(&format!("Warning: {not_learned} training case")),
        "{ran:?}"
    );

    // In no case at all.
    let two = cases
        .split_inclusive("split = 'train'\n")
        .take(2)
        .collect::<String>();
    let two = two.replace("split = 'train'\n", "");
    list("two.toml", classes, &two);
    let ran = run_well(&folder, "check @two.toml");
    assert!(
        ran.stdout.contains(&format!(
            "warning: {}: {not_learned} case: nothing",
            folder.path("two.toml").display()
        )),
        "{ran:?}"
    );

    // In no case held out: nothing is promised, and the mean is of the others.
    let mut third = cases.clone();
    for (from, to) in [
        ("'train'", "'a'"),
        ("'validate'", "'train'"),
        ("'a'", "'validate'"),
    ] {
        third = third.replace(from, to);
    }
    list("third.toml", classes, &third);
    let not_scored = "The held-out cases do not show membrane: how good that is cannot be said";
    let ran = run_well(&folder, "check @third.toml");
    assert!(ran.stdout.contains(not_scored), "{ran:?}");
    let ran = run_well(
        &folder,
        &format!("train @third.toml -o @run3 {train} --json"),
    );
    assert!(ran.stderr.contains(not_scored), "{ran:?}");
    let last = &ran.json()["last"];
    assert!(last["classes"][2]["iou"].is_null(), "{last}");
    assert_eq!(last["classes_averaged"], 2);
    assert_eq!(last["mean_iou"], ran.json()["mean_iou"]);

    // Where all occur, nothing is said.
    list("all.toml", "", &two);
    let ran = run_well(&folder, "check @all.toml");
    assert!(
        !ran.stdout.contains("occurs in no") && !ran.stdout.contains("do not show"),
        "{ran:?}"
    );

    folder.volume("sparse.nii", &sparse(&blobs([16, 16, 16], 0).1));
    for method in [
        "-o @a.nii --iterations 1 --patch 16,16,16",
        "-o @b.nii --method interpolate",
    ] {
        let fill = "fill @i0.nii @sparse.nii --unlabeled 0";
        let names = "--classes 1=inside,2=outside,7=membrane,9=rest";
        let ran = run_well(&folder, &format!("{fill} {names} {method}"));
        let both =
            "classes membrane and rest, which the label scheme names, occur in no annotated voxel";
        assert!(ran.stderr.contains(both), "{ran:?}");
    }
}

#[test]
fn a_class_of_no_held_out_slice_is_not_in_the_score_of_an_interpolation() {
    let folder = Folder::new();
    let (image, mut labels) = blobs([24, 16, 16], 0);
    let Samples::U8(values) = &mut labels.samples else {
        unreachable!()
    };
    // Class 3 on the first annotated slice, and so large that it is interpolated into
    // the one held out; annotated are z = 3, 11 and 19, held out is 11.
    for (i, value) in values.iter_mut().enumerate() {
        let (z, y) = (i / 256, i / 16 % 16);
        if !(10..=12).contains(&z) && y < 8 {
            *value = 3;
        }
    }
    folder.volume("image.nii", &image);
    folder.volume("labels.nii", &sparse(&labels));
    let fill = "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --method interpolate";
    let ran = run_well(&folder, &format!("{fill} --json"));
    let json = ran.json();
    assert_eq!(json["held_out"]["z"], serde_json::json!([11]));
    let classes = &json["classes"];
    assert!(
        classes[2]["iou"].is_null() && classes[2]["predicted_voxels"].as_u64() > Some(0),
        "{json}"
    );
    let iou = |c: usize| classes[c]["iou"].as_f64().expect("a score");
    let mean = json["mean_iou"].as_f64().expect("a mean");
    assert!((mean - (iou(0) + iou(1)) / 2.0).abs() < 1e-12, "{json}");
    let sentence = "The held-out slices do not show class 3";
    assert!(ran.stderr.contains(sentence), "{ran:?}");
    let report = std::fs::read_to_string(folder.path("out.html")).expect("a report");
    assert!(report.contains(sentence));
}

/// A NIfTI file of stored numbers, of which the header says what they are.
fn scaled(folder: &Folder, name: &str, stored: Samples, slope: f32, intercept: f32) {
    let path = folder.volume(name, &volume(stored));
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[112..116].copy_from_slice(&slope.to_le_bytes());
    bytes[116..120].copy_from_slice(&intercept.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
}

#[test]
fn labels_moved_by_the_scaling_of_a_header_are_read_as_written() {
    let folder = Folder::new();
    folder.volume("image.nii", &bright());
    let labels = voxels(|p| match p[0] % 3 {
        1 => 1 + i64::from(number(p, 1) > 0),
        _ => 9,
    });
    let fill = "fill @image.nii @s.nii --method interpolate --unlabeled 9 --json";
    folder.volume("s.nii", &volume(Samples::I64(labels.clone())));
    run_well(&folder, &format!("{fill} -o @expected.nii"));
    let expected = unet3d_volume::read(&folder.path("expected.nii")).expect("read");
    // Each as programs choose them: 1 to 9 over all of the type; upside down; far off.
    let scalings = [
        ("i16", 8.0 / 65535.0, 1.0 + 32768.0 * 8.0 / 65535.0),
        ("i16", -8.0 / 65535.0, 1.0 + 32767.0 * 8.0 / 65535.0),
        ("u8", 8.0 / 255.0, 1.0),
        ("u16", 0.001, -20.0),
        ("i32", 1.0 / 3.0, 0.0),
        ("f32", 0.1, 0.5),
        ("f64", 1e-3, 0.0),
    ];
    let mut failures = Vec::new();
    for (i, (stored, slope, intercept)) in scalings.into_iter().enumerate() {
        let (slope, intercept) = (slope as f32, intercept as f32);
        let exact = |v: &i64| (*v as f64 - f64::from(intercept)) / f64::from(slope);
        let whole = |v: &i64| exact(v).round();
        let samples = match stored {
            "u8" => Samples::U8(labels.iter().map(|v| whole(v) as u8).collect()),
            "i16" => Samples::I16(labels.iter().map(|v| whole(v) as i16).collect()),
            "u16" => Samples::U16(labels.iter().map(|v| whole(v) as u16).collect()),
            "i32" => Samples::I32(labels.iter().map(|v| whole(v) as i32).collect()),
            "f32" => Samples::F32(labels.iter().map(|v| exact(v) as f32).collect()),
            _ => Samples::F64(labels.iter().map(exact).collect()),
        };
        scaled(&folder, "s.nii", samples, slope, intercept);
        let ran = run(&folder, &format!("{fill} -o @out{i}.nii"));
        let same = || {
            unet3d_volume::read(&folder.path(&format!("out{i}.nii")))
                .expect("read")
                .samples
                == expected.samples
        };
        if ran.code != Some(0) || !same() {
            failures.push((stored, slope, intercept, ran.stderr));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn labels_further_off_than_the_scaling_rounds_are_refused_and_name_it() {
    let folder = Folder::new();
    folder.volume("image.nii", &bright());
    // Probabilities stored in 0 to 255.
    let map = voxels(|p| (p[2] * 11) as i64)
        .iter()
        .map(|v| *v as u8)
        .collect();
    scaled(&folder, "map.nii", Samples::U8(map), 1.0 / 255.0, 0.0);
    let ran = run(
        &folder,
        "fill @image.nii @map.nii -o @out.nii --dense --iterations 1",
    );
    assert_eq!(ran.code, Some(1));
    for part in ["map.nii", "0.043137", "whole numbers", "scl_slope 0.0039"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    // Without a scaling, as strict as ever.
    let near = voxels(|p| (p[2] > 11) as i64)
        .into_iter()
        .map(|v| v as f32 * 0.999_984_7);
    folder.volume("near.nii", &volume(Samples::F32(near.collect())));
    let ran = run(&folder, "check @image.nii @near.nii --dense");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("0.9999847") && !ran.stdout.contains("scl_slope"),
        "{ran:?}"
    );
}

#[test]
fn padding_is_told_by_fill_train_and_predict() {
    let folder = Folder::new();
    let (image, labels) = blobs([16, 24, 24], 0);
    let Samples::U8(gray) = &image.samples else {
        unreachable!()
    };
    let padded = gray.iter().enumerate().map(|(i, v)| match i % 24 < 5 {
        true => -3024,
        false => i16::from(*v),
    });
    let padded = Volume {
        samples: Samples::I16(padded.collect()),
        ..image.clone()
    };
    folder.volume("image.nii", &image);
    folder.volume("padded.nii", &padded);
    folder.volume("labels.nii", &labels);
    let said = "a padding value of -3024 fills 21 % of the image and is left out of mean, deviation and clipping.";
    let short = "--dense --iterations 1 --patch 16,16,16";
    let ran = run_well(
        &folder,
        &format!("fill @padded.nii @labels.nii -o @out.nii {short}"),
    );
    assert!(ran.stderr.contains(said), "{ran:?}");
    let ran = run_well(
        &folder,
        "predict @out.unet3d.safetensors @padded.nii -o @p.nii",
    );
    assert!(ran.stderr.contains(said), "{ran:?}");
    let list = "[labels]\ndense = true\n[[case]]\nimage = 'padded.nii'\nlabels = 'labels.nii'\n";
    folder.bytes("list.toml", list.as_bytes());
    let ran = run_well(
        &folder,
        "train @list.toml -o @run --iterations 1 --patch 16,16,16",
    );
    let path = folder.path("padded.nii");
    assert!(
        ran.stderr.contains(&format!("{}: {said}", path.display())),
        "{ran:?}"
    );
    let ran = run_well(
        &folder,
        "predict @out.unet3d.safetensors @image.nii -o @q.nii",
    );
    assert!(!ran.stderr.contains("padding"), "{ran:?}");
}
