//! Descriptions in all their forms, and what is refused.

use std::fs;
use std::path::Path;

use unet3d_volume::labels::Direction;
use unet3d_volume::{Annotated, Class, Geometry, LabelScheme, Normalise, Samples, Volume};

use super::{Split, find, write_split};
use crate::Error;

pub(super) fn volume(value: u8) -> Volume {
    let mut samples = vec![value; 27];
    samples[0] = 0;
    Volume::new(Geometry::of_shape([3; 3]), 1, Samples::U8(samples)).unwrap()
}

pub(super) fn write(folder: &Path, name: &str, value: u8) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    unet3d_volume::write(&path, &volume(value)).unwrap();
}

pub(super) fn text(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// `n` cases `c0`, `c1` and so on, with channels as files where `channels` is above 1.
pub(super) fn folder(n: usize, channels: usize, json: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..n {
        write(folder.path(), &format!("labelsTr/c{i}.nii.gz"), 1);
        for channel in 0..channels {
            let name = match channels {
                1 => format!("imagesTr/c{i}.nii.gz"),
                _ => format!("imagesTr/c{i}_{channel:04}.nii.gz"),
            };
            write(folder.path(), &name, 10);
        }
    }
    text(folder.path(), "dataset.json", json);
    folder
}

fn class(value: i64, name: &str) -> Class {
    Class {
        value,
        name: name.into(),
    }
}

#[test]
fn the_decathlons_layout() {
    let json = r#"{"name": "H", "labels": {"1": "front", "0": "background"}, "training": [
        {"image": "./imagesTr/c0.nii.gz", "label": "./labelsTr/c0.nii.gz"},
        {"image": "./imagesTr/c1.nii.gz", "label": "./labelsTr/c1.nii.gz"}]}"#;
    let folder = folder(2, 1, json);
    let mut found = find(folder.path(), None).unwrap();
    assert_eq!(found.name, "H");
    assert_eq!(
        found.scheme.classes,
        [class(0, "background"), class(1, "front")]
    );
    assert_eq!(found.scheme.annotated, Annotated::Dense);
    let cases = found.load(Split::Train, &Normalise::default()).unwrap();
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[1].name, "c1");
    assert_eq!(cases[1].labels.class_voxels(), [1, 26]);
    assert_eq!(found.how_split, "no case held out, too few are there: 2");
}

#[test]
fn nnu_nets_layout_with_channels_and_ignore() {
    let json = r#"{"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz",
        "labels": {"background": 0, "a": 1, "ignore": 2}, "numTraining": 1}"#;
    let folder = folder(1, 2, json);
    text(folder.path(), "labelsTr/notes.txt", "");
    let mut found = find(folder.path(), None).unwrap();
    assert_eq!(found.scheme.annotated, Annotated::Except(2));
    assert_eq!(found.scheme.classes.len(), 2);
    let cases = found.load(Split::Train, &Normalise::default()).unwrap();
    assert_eq!(cases[0].image.channels, 2);
    fs::remove_file(folder.path().join("imagesTr/c0_0000.nii.gz")).unwrap();
    let error = find(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("channel 0 is missing"), "{error}");
}

#[test]
fn a_given_scheme_wins_but_classes_stay() {
    let folder = folder(1, 1, r#"{"labels": {"0": "b", "1": "f"}}"#);
    let given = LabelScheme::new(Vec::new(), Annotated::Except(0));
    let refused = find(folder.path(), Some(&given)).unwrap_err().to_string();
    assert!(refused.contains('0'), "0 cannot be a class too: {refused}");
    let given = LabelScheme {
        annotated: Annotated::Except(7),
        ..given
    };
    let found = find(folder.path(), Some(&given)).unwrap();
    assert_eq!(found.scheme.annotated, Annotated::Except(7));
    assert_eq!(found.scheme.classes.len(), 2);
}

#[test]
fn without_a_scheme_the_caller_is_told_which_file_to_ask_about() {
    let folder = folder(1, 1, "{}");
    match find(folder.path(), None) {
        Err(Error::NoScheme { labels }) => assert!(labels.ends_with("labelsTr/c0.nii.gz")),
        other => panic!("{other:?}"),
    }
    let dense = LabelScheme::new(Vec::new(), Annotated::Dense);
    let mut found = find(folder.path(), Some(&dense)).unwrap();
    found.settle_classes().unwrap();
    assert_eq!(
        found
            .scheme
            .classes
            .iter()
            .map(|c| c.value)
            .collect::<Vec<_>>(),
        [0, 1]
    );
}

#[test]
fn split_file_and_split_by_subject() {
    let json = r#"{"labels": {"0": "b", "1": "f"}}"#;
    let folder = folder(10, 1, json);
    let by_itself = find(folder.path(), None).unwrap();
    assert_eq!(by_itself.of(Split::Validate).count(), 2);
    assert_eq!(by_itself, find(folder.path(), None).unwrap());

    let mut cases = by_itself.cases.clone();
    for (i, case) in cases.iter_mut().enumerate() {
        case.subject = Some((i / 2).to_string());
        case.split = if i < 2 { Split::Test } else { Split::Train };
    }
    write_split(&cases, &folder.path().join("split.tsv")).unwrap();
    let found = find(folder.path(), None).unwrap();
    assert_eq!(found.cases, cases);
    assert_eq!(found.how_split, "as split.tsv says");

    for (wrong, part) in [
        ("case\tsplit\nc0\ttrain\n", "no line for case c1"),
        ("case\tsplit\nc0\ttraining\n", "line 2"),
        ("name\tfold\n", "columns"),
    ] {
        text(folder.path(), "split.tsv", wrong);
        let error = find(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_list_of_cases() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.nii", "b.nii", "a-labels.nii", "b-labels.nii"] {
        write(folder.path(), name, 1);
    }
    let list = |labels: &str, split: &str| {
        let list = format!(
            "name = 'k'\n[labels]\n{labels}\n[[case]]\nimage = 'a.nii'\nlabels = 'a-labels.nii'\nsubject = 's'\n\
             split = 'train'\n[[case]]\nimage = ['b.nii', 'a.nii']\nlabels = 'b-labels.nii'\n{split}"
        );
        text(folder.path(), "list.toml", &list);
        find(&folder.path().join("list.toml"), None)
    };
    let found = list("painted_slices = ['z', 'x']", "split = 'validate'").unwrap();
    assert_eq!(
        found.scheme.annotated,
        Annotated::PaintedSlices(vec![Direction::Z, Direction::X])
    );
    assert_eq!(found.cases[0].subject.as_deref(), Some("s"));
    assert_eq!(found.cases[1].images.len(), 2);
    assert_eq!(found.of(Split::Validate).count(), 1);

    let of_all = list(
        "annotated_slices = { z = [0, 2], y = 'every:2' }",
        "split = 'validate'\nannotated_slices = 'z=1'",
    );
    let of_all = of_all.unwrap();
    let flag = |case: usize| of_all.cases[case].scheme(&of_all.scheme).annotated.flag();
    assert_eq!(flag(0), "--annotated-slices y=every:2,z=0,2");
    assert_eq!(flag(1), "--annotated-slices z=1");
    // Whoever asks for other slices means all cases.
    let asked = LabelScheme {
        classes: vec![],
        objects: None,
        annotated: Annotated::Slices("x=1".parse().unwrap()),
    };
    let path = folder.path().join("list.toml");
    let found = find(&path, Some(&asked)).unwrap();
    assert_eq!(
        found.cases[1].scheme(&found.scheme).annotated,
        asked.annotated
    );
    // The scheme that a run keeps is the data set's own.
    assert_eq!(find(&path, Some(&of_all.scheme)).unwrap(), of_all);

    for (labels, split, part) in [
        (
            "annotated_slices = 'z=0..x'",
            "split = 'test'",
            "z=every:10",
        ),
        (
            "annotated_slices = { z = [] }",
            "split = 'test'",
            "names no slice",
        ),
        (
            "annotated_slices = 'z=0'\ndense = true",
            "split = 'test'",
            "states 2 ways",
        ),
        (
            "dense = true",
            "split = 'test'\nannotated_slices = 'z=0'",
            "case[1].annotated_slices",
        ),
        ("dense = true", "", "1 of 2 cases"),
        ("", "split = 'test'", "states 0 ways"),
        (
            "dense = true\nunlabeled = 0",
            "split = 'test'",
            "states 2 ways",
        ),
        ("painted_slices = ['w']", "split = 'test'", "\"w\""),
        ("dence = true", "split = 'test'", "dence"),
        ("masks = true", "split = 'test'", "mask"),
    ] {
        let error = list(labels, split).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn folders_that_are_no_data_sets() {
    let empty = tempfile::tempdir().unwrap();
    assert!(find(empty.path(), None).is_err());
    assert!(find(&empty.path().join("nothing.toml"), None).is_err());
    text(empty.path(), "dataset.json", "{");
    assert!(
        find(empty.path(), None)
            .unwrap_err()
            .to_string()
            .contains("JSON")
    );
    let regions = folder(1, 1, r#"{"labels": {"background": 0, "whole": [1, 2]}}"#);
    let error = find(regions.path(), None).unwrap_err().to_string();
    assert!(error.contains("Regions"), "{error}");
}
