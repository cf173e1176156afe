//! What the program says of its own results: how far its certainty can be trusted, that
//! interpolation does better where it does, and numbers in correct English.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use common::{Folder, Ran, blobs, run, run_well, sparse};
use unet3d_volume::{Samples, Volume};

/// A column along z, which slices say all of, under noise that says little of it.
fn column() -> Folder {
    let shape = [24, 24, 24];
    let inside = |y: usize, x: usize| (y as f64 - 12.0).hypot(x as f64 - 11.0) < 6.0;
    let (mut gray, mut labels) = (Vec::new(), Vec::new());
    for i in 0..24 * 576 {
        let (z, y, x) = (i / 576, i / 24 % 24, i % 24);
        gray.push(((i * 7919) % 251) as u8);
        labels.push(match z % 5 == 2 {
            true => 1 + u8::from(inside(y, x)),
            false => 0,
        });
    }
    let like = blobs(shape, 0).0;
    let volume = |samples| Volume {
        samples,
        ..like.clone()
    };
    let folder = Folder::new();
    folder.volume("image.nii.gz", &volume(Samples::U8(gray)));
    folder.volume("labels.nii.gz", &volume(Samples::U8(labels)));
    folder
}

fn pair() -> Folder {
    let folder = Folder::new();
    let (image, labels) = blobs([24, 20, 24], 1);
    folder.volume("image.nii.gz", &image);
    folder.volume("labels.nii.gz", &sparse(&labels));
    folder
}

#[test]
fn certainty_is_praised_only_where_it_deserves_it() {
    // Noise and one step: whatever the network says, it does not know.
    for (folder, steps) in [(column(), 1), (pair(), 6)] {
        let ran = run_well(
            &folder,
            &format!(
                "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --iterations {steps} \
                 --patch 16,16,16 --json"
            ),
        );
        let calibration = &ran.json()["calibration"];
        let number = |name: &str| calibration[name].as_f64().expect("a number");
        let left = match number("temperature") {
            1.0 => number("ece_before"),
            _ => number("ece_after"),
        };
        let report = std::fs::read_to_string(folder.path("out.html")).expect("a report");
        for said in [&ran.stderr, &report] {
            assert_eq!(
                said.contains("can be taken as it is"),
                left < 0.03,
                "{left}"
            );
            assert_eq!(
                said.contains("only roughly right"),
                (0.03..0.1).contains(&left),
                "{left}"
            );
            assert_eq!(
                said.contains("must not be taken as a probability"),
                left >= 0.1,
                "{left}"
            );
        }
    }
}

#[test]
fn where_interpolation_does_better_that_is_said_first() {
    let folder = column();
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --iterations 1 --patch 16,16,16",
    );
    let place = |part: &str| {
        let found = ran.stdout.find(part);
        found.unwrap_or_else(|| panic!("{part}: {}", ran.stdout))
    };
    let first = place("Interpolation does better here than the network");
    assert!(first < place("Expected quality"));
    assert!(first < place("mean "));
    // And what to do, before all other commands.
    assert!(place("--method interpolate\n") < place("unet3d suggest"));
    let report = std::fs::read_to_string(folder.path("out.html")).expect("a report");
    assert!(report.contains("Interpolation does better here than the network"));
    // It keeps what it said of itself.
    let line = ran.stdout.lines().find(|l| l.contains("unet3d fill"));
    let line = line.expect("a command").trim();
    assert!(line.ends_with("--method interpolate"), "{line}");
    let words = line.strip_prefix("unet3d ").expect("the program");
    let ran = run_well(&folder, words);
    assert!(ran.stdout.contains("out-interpolated.nii.gz"), "{ran:?}");
}

#[test]
fn where_the_network_does_better_interpolation_is_named_after_the_scores() {
    // Gray values are the classes: little is to be learned, nothing to interpolate.
    let folder = Folder::new();
    let (_, mut labels) = blobs([24, 20, 24], 1);
    let Samples::U8(values) = &mut labels.samples else {
        panic!("u8 labels")
    };
    for (i, value) in values.iter_mut().enumerate() {
        let [z, y, x] = [i / 480, i / 24 % 20, i % 24];
        *value = 1 + u8::from((z / 3 * 7 + y / 4 * 5 + x / 4 * 3) % 11 < 5);
    }
    folder.volume("image.nii.gz", &labels);
    folder.volume("labels.nii.gz", &sparse(&labels));
    let ran = run_well(
        &folder,
        "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --iterations 40 --patch 16,16,16",
    );
    let place = |part: &str| {
        let found = ran.stdout.find(part);
        found.unwrap_or_else(|| panic!("{part}: {}", ran.stdout))
    };
    assert!(place("Expected quality") < place("Without a network, interpolation"));
    assert!(!ran.stdout.contains("--method interpolate"), "{ran:?}");
}

/// A number of things whose noun is in the wrong form.
fn wrong_count(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || ",;:()".contains(c))
        .collect();
    let nouns = [
        "step", "case", "tile", "channel", "slice", "voxel", "volume", "error", "warning", "image",
        "file", "thread", "sample", "byte",
    ];
    if text.contains("(s)") {
        return Some("(s)".into());
    }
    let wrong = words.windows(2).find(|pair| {
        let noun = pair[1].trim_end_matches('.');
        match pair[0] {
            "1" => nouns.iter().any(|n| noun == format!("{n}s")) || noun == "classes",
            n if n.parse::<u64>().is_ok() => nouns.contains(&noun),
            _ => false,
        }
    });
    wrong.map(|pair| pair.join(" "))
}

#[test]
fn one_of_something_is_not_said_in_the_plural() {
    let folder = pair();
    let (image, labels) = blobs([24, 20, 24], 1);
    folder.volume("data/imagesTr/a.nii.gz", &image);
    folder.volume("data/labelsTr/a.nii.gz", &sparse(&labels));
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii.gz"}"#,
    );
    let said = |ran: Ran, expected: &[&str]| {
        for text in [&ran.stdout, &ran.stderr] {
            assert_eq!(wrong_count(text), None, "{text}");
        }
        let all = format!("{}{}", ran.stdout, ran.stderr);
        for part in expected {
            assert!(all.contains(part), "{part}: {all}");
        }
    };
    let well = |arguments: &str| run_well(&folder, arguments);
    said(
        well(
            "fill @image.nii.gz @labels.nii.gz -o @out.nii.gz --unlabeled 0 --iterations 1 --patch 16,16,16",
        ),
        &["1 step in"],
    );
    said(
        well("predict @out.unet3d.safetensors @image.nii.gz -o @again.nii.gz"),
        &["in 1 tile of"],
    );
    said(well("info @out.unet3d.safetensors"), &["1 channel"]);
    said(well("convert @image.nii.gz @copy.npy"), &["1 channel"]);
    said(well("check @data"), &["2 volumes read"]);
    said(
        well("train @data -o @run --iterations 1 --patch 16,16,16"),
        &["1 case to learn from", "1 step in"],
    );
    // Errors count too.
    let refused = |arguments: &str| {
        let ran = run(&folder, arguments);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        ran
    };
    said(
        refused("predict @out.unet3d.safetensors @image.nii.gz -o @again.npy --tile 5x"),
        &[],
    );
    let mut one = labels.clone();
    if let Samples::U8(values) = &mut one.samples {
        values[0] = 9;
    }
    folder.volume("one.nii.gz", &one);
    said(
        refused("fill @image.nii.gz @one.nii.gz -o @x.npy --unlabeled 0 --classes 1=a,2=b"),
        &["1 such voxel"],
    );
}

#[test]
fn the_check_of_counts_finds_what_it_looks_for() {
    for wrong in [
        "1 cases",
        "is 1 steps.",
        "(1 tiles",
        "2 case",
        "1 classes",
        "3 channel(s)",
    ] {
        assert!(wrong_count(wrong).is_some(), "{wrong}");
    }
    for right in ["1 case", "0 cases", "11 steps", "1 class", "z 1, slices 2"] {
        assert_eq!(wrong_count(right), None, "{right}");
    }
}
